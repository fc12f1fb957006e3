/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF only: who is not L1's kernel stops the other CPU in a loop, in every way there is, and that CPU keeps its speed.
 * Two CPUs, TrustVisor and helloworld. The storms run at CPL 3 of L1 and in L2; each must make progress, too, and never
 * see an error that is not its own. Lines begin with "T FAIL" where something is wrong.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "test.h"

#define HELLO_STOP_BY_FLAG 0x101u
#define L2_BASE TV_L2_BASE_DEFAULT
#define FIRST_TICKS 2500000ull		/* a storm uses up what is allowed as a burst */
#define DRAIN_TICKS 800000ull		/* and what comes back while others are refused */
#define WINDOW_TICKS 1500000ull
#define SLICE_TICKS 100000ull		/* of measuring a PAL, at most: interrupts wait so long */
#define PAL_RET 0xc3			/* the PAL's code */

enum form { REFUSED_TWICE, REFUSED_OWNED, SUCCEEDS, DESTROYED, HELLO, FORMS };

static const char *const form_names[FORMS] = {
	"registrations with a page twice", "registrations with a page of a PAL", "register and unregister",
	"register and write to it", "helloworld's stop",
};

extern u64 page_pdpt[512];
static struct tv_pal_sections good, twice, owned;
static const struct tv_pal_params params;
static u8 *code, *data, *stack, *other;
static volatile u32 form, hypercall_base, errors, rounds;
static volatile bool over, is_first;
static volatile u64 phase, alone, stormed;	/* the victim's counts */

static void judge(const char *where, const char *what, bool is_good)
{
	print(is_good ? "T %s, %s: good\n" : "T FAIL %s, %s: BAD\n", where, what);
}

static u32 tv(u32 command, const void *c, const void *s, const void *d)
{
	u32 eax = command + hypercall_base;

	asm volatile("vmcall" : "+a"(eax) : "c"(c), "d"(0ull), "S"(s), "D"(d) : "rbx", "memory");
	return eax;
}

static u32 ask(const struct tv_pal_sections *sections)
{
	return tv(TV_CMD_REGISTER, sections, &params, code);
}

/* One round of the storm: true if all of it came out as it must. */
static bool one_round(void)
{
	switch (form) {
	case REFUSED_TWICE:
		return ask(&twice) == TV_E_OWNED;
	case REFUSED_OWNED:
		return ask(&owned) == TV_E_OWNED;
	case SUCCEEDS:
		code[0] = PAL_RET;
		return ask(&good) == TV_OK && tv(TV_CMD_UNREGISTER, code, NULL, NULL) == TV_OK;
	case DESTROYED:
		if (ask(&good) != TV_OK)
			return false;
		*(volatile u8 *)data = 1;
		return true;
	default:
		return tv(HELLO_STOP_BY_FLAG, NULL, NULL, NULL) == 1; /* not for these */
	}
}

static void storm(void)
{
	while (!over) {
		errors += !one_round();
		rounds++;
	}
}

static void user_storm(void)
{
	storm();
	asm volatile("int $0x80");
}

static void l2_storm(void)
{
	storm();
	l2_end();
}

/* What the other CPU gets done in a window. */
static u64 count_for(u64 ticks)
{
	u64 end = rdtsc() + ticks, count = 0;

	while (rdtsc() < end)
		count++;
	return count;
}

static void victim(void *unused)
{
	(void)unused;
	alone = count_for(WINDOW_TICKS);
	phase = 1;
	count_for(is_first ? FIRST_TICKS : DRAIN_TICKS);
	is_first = false;
	rounds = 0;
	stormed = count_for(WINDOW_TICKS);
	over = true;
}

static void run_storm(bool in_l2)
{
	over = false;
	errors = rounds = 0;
	phase = 0;
	smp_run(1, victim, NULL);
	while (!phase)
		pause();
	if (in_l2) {
		hypercall_base = L2_BASE;
		hv_init(&l2, HV_LONG64, l2_storm);
		if (hv_run(&l2) != VMX_OK || l2.exit.reason != EXIT_VMCALL)
			errors++;
		hypercall_base = 0;
	} else if (user_run(user_storm).vector != NO_FAULT) {
		errors++;
	}
	smp_wait(1);
}

/* ---- Interrupts of a caller that waits for its turn ---- */

/* Each registration stands behind STI, which blocks interrupts for one instruction. */
static void l2_storm_behind_sti(void)
{
	while (!over) {
		u32 eax = TV_CMD_REGISTER + L2_BASE;

		code[0] = PAL_RET;
		asm volatile("cli; sti; vmcall" : "+a"(eax) : "c"(&good), "d"(0ull), "S"(&params), "D"(code) : "rbx",
			     "memory");
		errors += eax != TV_OK || tv(TV_CMD_UNREGISTER, code, NULL, NULL) != TV_OK;
		rounds++;
	}
	l2_end();
}

/* How long the slowest of some interrupts takes to arrive there. */
static void send_probes(void *unused)
{
	volatile u32 *count = &l2.cpu->irq_count[VEC_TEST];

	(void)unused;
	count_for(DRAIN_TICKS);
	stormed = 0;
	for (u32 i = 0; i < 12; i++) {
		u64 start = rdtsc(), taken;
		u32 before = *count;

		send_ipi(0, VEC_TEST);
		while (*count == before && rdtsc() - start < WINDOW_TICKS)
			;
		taken = rdtsc() - start;
		stormed = taken > stormed ? taken : stormed;
		count_for(30011 * i);
	}
	over = true;
}

static void judge_interrupts(void)
{
	over = false;
	errors = rounds = 0;
	hypercall_base = L2_BASE;
	hv_init(&l2, HV_LONG64, l2_storm_behind_sti);
	smp_run(1, send_probes, NULL);
	if (hv_run(&l2) != VMX_OK || l2.exit.reason != EXIT_VMCALL)
		errors++;
	smp_wait(1);
	hypercall_base = 0;
	print("%u rounds, %u errors, the slowest interrupt took %lu ticks\n", rounds, errors, stormed);
	judge("L2", "interrupts come while a registration behind STI waits",
	      errors == 0 && stormed < SLICE_TICKS + 30000);
}

/* ---- An L2 with many pages, whose tables EPT02 holds until memory changes hands ---- */

#define VICTIM_PAGES 400ull
static u8 *victim_pages;
static struct vcpu victim_l2;
static struct ept12 victim_ept;

/* What L2 gets done in a window, with a look at each of its pages in turn. */
static u64 walk_for(u64 ticks)
{
	u64 end = rdtsc() + ticks, count = 0;

	for (; rdtsc() < end; count++)
		(void)*(volatile u8 *)&victim_pages[count % VICTIM_PAGES * PAGE_SIZE];
	return count;
}

static void l2_victim(void)
{
	walk_for(DRAIN_TICKS);
	alone = walk_for(WINDOW_TICKS);
	phase = 1;
	walk_for(DRAIN_TICKS);
	rounds = 0;
	stormed = walk_for(WINDOW_TICKS);
	over = true;
	l2_end();
}

static void run_victim_l2(void *unused)
{
	(void)unused;
	hv_on();
	victim_l2.ept = &victim_ept;
	hv_init(&victim_l2, HV_LONG64, l2_victim);
	if (hv_run(&victim_l2) != VMX_OK || victim_l2.exit.reason != EXIT_VMCALL)
		errors++;
	hv_off();
}

static void judge_l2_victim(void)
{
	victim_pages = page_alloc_many(512, BIT(21));
	ept_init(&victim_ept);
	ept_map_range(&victim_ept, 0, (u64)victim_pages, EPT_2M, EPT_RWX | EPT_WB);
	ept_map_range(&victim_ept, (u64)victim_pages, (u64)victim_pages + BIT(21), EPT_4K, EPT_RWX | EPT_WB);
	ept_map_range(&victim_ept, (u64)victim_pages + BIT(21), BIT(32), EPT_2M, EPT_RWX | EPT_WB);
	over = false;
	errors = rounds = phase = 0;
	form = SUCCEEDS;
	smp_run(1, run_victim_l2, NULL);
	while (!phase)
		pause();
	if (user_run(user_storm).vector != NO_FAULT)
		errors++;
	smp_wait(1);
	print("%u rounds, %u errors, the L2 on the other CPU counts %lu, alone %lu\n", rounds, errors, stormed, alone);
	judge("CPL 3", "register and unregister, beside an L2 with many pages",
	      errors == 0 && rounds > 2 && stormed * 4 >= alone * 3);
}

/* Ticks that the kernel's register and unregister take; 0: an error. Most is for measuring. */
static u64 kernel_takes(void)
{
	u64 start = rdtsc();
	bool ok = ask(&good) == TV_OK && tv(TV_CMD_UNREGISTER, code, NULL, NULL) == TV_OK;

	return ok ? rdtsc() - start : 0;
}

static u64 kernel_alone;

/* The kernel's own registrations do not wait, however little the others have left. */
static void judge_kernel(const char *where)
{
	u64 taken = kernel_takes();

	judge(where, "L1's kernel does not wait", taken && taken < kernel_alone + 40000);
}

static void all_forms(const char *where, bool in_l2)
{
	for (u32 f = 0; f < FORMS; f++) {
		form = f;
		is_first = f == SUCCEEDS;
		run_storm(in_l2);
		print("%s, %s: %u rounds, %u errors, the other CPU counts %lu, alone %lu\n", where, form_names[f],
		      rounds,
		      errors, stormed, alone);
		judge(where, form_names[f], errors == 0 && rounds > 2 && stormed * 10 >= alone * 9);
		if (f == SUCCEEDS)
			judge_kernel(where);
	}
}

static struct tv_pal_sections pages(const void *data_page, const void *stack_page)
{
	return (struct tv_pal_sections){ .num_sections = 3, .sections = {
		{ TV_SECTION_CODE, 1, (u64)code }, { TV_SECTION_PARAM, 1, (u64)data_page }, /* it is not measured */
		{ TV_SECTION_STACK, 1, (u64)stack_page } } };
}

DEFINE_TEST(stop_storm, "stop-storm", "XMHF only: storms of stops by others than L1's kernel; two CPUs")
{
	static struct tv_pal_sections others;

	if (!hv_supported())
		return;
	code = page_alloc();
	data = page_alloc();
	stack = page_alloc();
	other = page_alloc();
	code[0] = PAL_RET;
	page_pdpt[4] = page_pdpt[0]; /* the first GiB has a second name */
	good = pages(data, stack);
	twice = pages(data, data + BIT(32));
	owned = pages(data, other);
	others = (struct tv_pal_sections){ .num_sections = 2, .sections = {
		{ TV_SECTION_CODE, 1, (u64)page_alloc() }, { TV_SECTION_STACK, 1, (u64)other } } };
	hv_identity_ept();
	smp_start();
	hv_on();
	judge("L1", "a PAL of the kernel",
	      tv(TV_CMD_REGISTER, &others, &params, (void *)others.sections[0].start_addr) == TV_OK);
	kernel_alone = kernel_takes();
	all_forms("CPL 3", false);
	all_forms("L2", true);
	judge_interrupts();
	judge_l2_victim();
	hv_off();
}
