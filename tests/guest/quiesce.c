/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF with hypapps/quiesce: every CPU, in L1 and in L2 by turns, asks for random mixes of stops of all, stops of one
 * EPT and work on others, uses pages whose rights are taken away under it, and sends NMIs to the others. There are two
 * EPT12, for CPUs with an even and an odd index. The hypapp checks what holds under a stop; here is checked that memory
 * keeps what is written, that no NMI is invented, and that every CPU makes progress. rounds=N: events to cause, in all,
 * beside those that they cause; seed=N: other random numbers. test=quiesce-forms has each of the mixes once, one by
 * one; with parked=1 the other CPUs are never started. The long run, after `make check-files`:
 *
 *	tools/mkiso.py -o build/torture.iso --loader syslinux --xmhf build/audit/xmhf.elf \
 *		--kernel-file build/guest/test.bzimage --append "test=quiesce rounds=1000000 seed=2"
 *	tests/run/emulator.py --image build/torture.iso --cpus 8 --timeout 36000 --show \
 *		--expect '^T end quiesce' --fail '^T FAIL' --fail '^xmhf: quiesce: FAULT' --fail '^xmhf: PANIC'
 */
#include "test.h"

#define L2_BASE 0x4c415000u
#define L2_PAUSE 0xe0eu			/* RAX of the VMCALL with which L2 lets L1 run for a while */
#define LEAF 0x51554945u
#define BATCH 40u			/* rounds at one level before the other has its turn */
#define WORDS (PAGE_SIZE / sizeof(u64))
enum { SETUP = 0x300, MIX, END, OPEN, FORM };
/*
 * Counters: of rounds in L1, of NMIs, of rounds in L2 on either EPT12; by all CPUs and not atomically, they need only
 * move.
 */
enum { IN_L1, NMIS, IN_L2 };

static volatile u64 *counters;
static volatile u64 *pages;		/* four; each CPU has a word of its own in each */
static u64 wanted, done;
static struct ept12 epts[2];
static volatile u32 ready;		/* CPUs that are: preparing takes long while others stop all the time */

/* Of one CPU, for both of its levels. */
static struct worker {
	struct vcpu v;
	u64 random, faults;
	u32 rounds[2];			/* in L1, in L2 */
	u32 sent, wrong;
} workers[MAX_CPUS];

static void judge(const char *what, bool ok)
{
	print(ok ? "T %s: ok\n" : "T FAIL %s\n", what);
}

static u64 next_random(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random * 0x2545f4914f6cdd1d;
}

static u64 call_result;		/* RDX; where one CPU alone calls */

static u64 call(u32 number, u64 rcx, u64 rdx)
{
	u64 rax = number, faults;

	asm volatile("vmcall" : "+a"(rax), "=b"(faults), "+d"(rdx) : "c"(rcx) : "memory");
	call_result = rdx;
	return rax ? ~0ull : faults;
}

static void count_nmi(struct trap_frame *f)
{
	if (f->vector == VEC_NMI)
		counters[NMIS]++;
}

static void use_page(struct worker *w, u64 random)
{
	volatile u64 *word = pages + (random & 3) * WORDS + (w - workers);

	*word = random;
	if (*word != random)
		w->wrong++;
}

static void one_round(struct worker *w, u32 base)
{
	u64 random = next_random(w), counter = base ? IN_L2 + (w - workers) % 2 : IN_L1;

	for (u32 i = 0; i < 8; i++)
		counters[counter]++;
	if (random >> 61 == 0)
		cpuid(LEAF, (u32)random);
	else if (random >> 61 <= 2)
		use_page(w, random);
	else
		w->faults = call(base + MIX, random, counter);
}

/* False: all CPUs together have done what was wanted. */
static bool batch(struct worker *w, u32 base)
{
	for (u32 i = 0; i < BATCH; i++) {
		if (__atomic_fetch_add(&done, 1, __ATOMIC_RELAXED) >= wanted)
			return false;
		one_round(w, base);
		w->rounds[base != 0]++;
	}
	return true;
}

static void l2_work(void)
{
	struct worker *w = &workers[this_cpu()->index];

	while (batch(w, L2_BASE))
		l2_vmcall(L2_PAUSE);
	l2_end();
}

static void prepare_l2(struct worker *w, void (*code)(void))
{
	hv_init(&w->v, HV_LONG64, code);
	vmwrite(VMCS_EPTP, epts[(w - workers) % 2].eptp);
	w->v.cpu->index = this_cpu()->index;
}

static void nmi_to_another(struct worker *w)
{
	u32 self = (u32)(w - workers), to = (u32)(next_random(w) >> 32) % cpu_count;

	if (to == self)
		return;
	send_nmi(to);
	w->sent++;
}

static bool run_l2(struct worker *w)
{
	if (hv_run(&w->v) != VMX_OK || w->v.exit.reason != EXIT_VMCALL)
		fail("L2 of CPU %u: exit %x", (u32)(w - workers), w->v.exit.reason);
	hv_skip(&w->v);
	return w->v.regs[RAX] == L2_PAUSE;
}

/* NMIs are sent by L1, so they meet the others wherever those are, L2 included. */
static void work(void *unused)
{
	struct worker *w = &workers[this_cpu()->index];

	(void)unused;
	hv_on();
	prepare_l2(w, l2_work);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (ready < cpu_count)
		pause();
	while (batch(w, 0)) {
		nmi_to_another(w);
		if (!run_l2(w))
			break;
		nmi_to_another(w);
	}
	hv_off();
}

static void judge_progress(void)
{
	u32 sent = 0, taken = 0, wrong = 0, slow = 0;
	u64 fair = wanted / cpu_count / 4;

	for (u32 i = 0; i < cpu_count; i++) {
		struct worker *w = &workers[i];
		u32 nmis = cpus[i].irq_count[VEC_NMI] + w->v.cpu->irq_count[VEC_NMI];

		print("CPU %u: %u rounds in L1, %u in L2, %u NMIs sent, %u taken\n", i, w->rounds[0], w->rounds[1],
		      w->sent, nmis);
		sent += w->sent;
		taken += nmis;
		wrong += w->wrong;
		slow += w->rounds[0] < fair / 2 || w->rounds[1] < fair / 2;
	}
	judge("memory keeps what is written", wrong == 0);
	judge("every CPU makes progress at both levels", slow == 0);
	/* Some merge with others, as on the bare machine. */
	judge("NMIs arrive, and none is invented", taken <= sent && (cpu_count == 1 || taken > sent / 4));
}

/* The core's statistics, which the case compares with the hypapp's counts, are logged at power-off. */
static void power_off(void)
{
	while (!(inb(0x3fd) & 0x40))
		pause();
	asm volatile("outw %0, %1" :: "a"((u16)0x2000), "d"((u16)0xb004));
	fail("no power-off");
}

static void set_up(void)
{
	counters = page_alloc();
	pages = page_alloc_many(4, PAGE_SIZE);
	set_bytes((void *)pages, 0, 4 * PAGE_SIZE);
	for (u32 i = 0; i < 2; i++) {
		ept_init(&epts[i]);
		ept_map_range(&epts[i], 0, 2ull << 30, EPT_2M, EPT_RWX | EPT_WB);
	}
	hv_identity_ept();
	judge("the hypapp is there", call(SETUP, (u64)counters, (u64)pages) == 0);
}

/* Soon after the last event nothing is left open. */
static bool all_work_comes(u32 base)
{
	for (u32 i = 0; i < 100000; i++) {
		call(base + OPEN, 0, 0);
		if (!call_result)
			return true;
	}
	return false;
}

DEFINE_TEST(quiesce, "quiesce", "XMHF with hypapps/quiesce: random mixes of stops on all CPUs in L1 and L2, with NMIs")
{
	u64 seed = option_number("seed", 1);

	if (!hv_supported())
		return;
	wanted = option_number("rounds", 20000);
	smp_start();
	set_up();
	irq_hook = count_nmi;
	for (u32 i = 0; i < cpu_count; i++)
		workers[i].random = seed * 0x9e3779b97f4a7c15 + i + 1;
	for (u32 i = 1; i < cpu_count; i++)
		smp_run(i, work, NULL);
	work(NULL);
	for (u32 i = 1; i < cpu_count; i++)
		smp_wait(i);
	judge_progress();
	judge("work that was posted is delivered", all_work_comes(0));
	judge("the hypapp finds no fault", call(END, 0, 0) == 0);
	print("T end quiesce\n");
	power_off();
}

/* ---- the mixes one by one ---- */

static volatile bool stay;

static void l2_spin(void)
{
	struct worker *w = &workers[this_cpu()->index];

	while (stay)
		counters[IN_L2 + (w - workers) % 2]++;
	l2_end();
}

static void wait_in_l1(void *unused)
{
	(void)unused;
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (stay)
		counters[IN_L1]++;
}

static void wait_in_l2(void *unused)
{
	struct worker *w = &workers[this_cpu()->index];

	(void)unused;
	hv_on();
	prepare_l2(w, l2_spin);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	run_l2(w);
	hv_off();
}

static u32 forms, forms_wrong;

static void all_forms(u32 base)
{
	u64 more = 1;

	for (u32 form = 0; more; form++) {
		u64 faults = call(base + FORM, form, base ? IN_L2 : IN_L1);

		more = call_result;
		forms += more;
		if (faults || !all_work_comes(base)) {
			print("form %u in L%u: faults %lu\n", form, base ? 2 : 1, faults);
			forms_wrong++;
		}
	}
}

static void l2_all_forms(void)
{
	all_forms(L2_BASE);
	l2_end();
}

static void forms_from_l1(const char *what)
{
	forms = forms_wrong = 0;
	all_forms(0);
	judge(what, forms >= 20 && !forms_wrong);
}

static void forms_from_both_levels(const char *what, void (*others)(void *unused))
{
	stay = true;
	ready = forms = forms_wrong = 0;
	for (u32 i = 1; i < cpu_count; i++)
		smp_run(i, others, NULL);
	while (ready < cpu_count - 1)
		pause();
	all_forms(0);
	prepare_l2(&workers[0], l2_all_forms);
	run_l2(&workers[0]);
	stay = false;
	for (u32 i = 1; i < cpu_count; i++)
		smp_wait(i);
	print("%u forms\n", forms);
	judge(what, forms >= 2 * 20 && !forms_wrong);
}

DEFINE_TEST(quiesce_forms, "quiesce-forms", "XMHF with hypapps/quiesce: each form of stop and of work once")
{
	if (!hv_supported())
		return;
	if (!option_number("parked", 0))
		smp_start();
	set_up();
	if (option_number("parked", 0)) {
		forms_from_l1("each form while the others wait for SIPI");
	} else {
		forms_from_l1("each form while the others are in HLT");
		hv_on();
		forms_from_both_levels("each form while the others run in L1", wait_in_l1);
		forms_from_both_levels("each form while the others run in L2", wait_in_l2);
		hv_off();
	}
	judge("the hypapp finds no fault", call(END, 0, 0) == 0);
	print("T end quiesce-forms\n");
	power_off();
}
