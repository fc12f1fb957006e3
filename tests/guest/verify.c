/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF with hypapps/verify: hypapi's errors, rights to L1's memory seen from L1 and L2, and physical access from both
 * levels. Each line says "ok", or "T FAIL", which fails the case.
 */
#include "verify.h"

#define WINDOW 0x80000000ull	/* L2-physical and linear: above the RAM of the machine */
#define ALIAS (WINDOW + PAGE_SIZE)
#define CLEAN (WINDOW + 2 * PAGE_SIZE)	/* a page that only the hypapp writes to */
#define NOTHING (WINDOW + 3 * PAGE_SIZE)

enum { R = 1, W = 2, RWX = 7 };
/* enum hypapi_reg */
enum {
	REG_CS = 22, REG_FS_BASE, REG_GS_BASE, REG_TR_BASE, REG_GDTR_BASE, REG_GDTR_LIMIT, REG_IDTR_BASE,
	REG_IDTR_LIMIT,
};

u32 running = 1;

struct answer verify_call(u32 number, u64 rcx, u64 rdx)
{
	struct answer a = { .result = rdx };
	u64 rax = (running == 2 ? L2_BASE : 0) + number;

	asm volatile("vmcall" : "+a"(rax), "=b"(a.returned), "+d"(a.result) : "c"(rcx) : "memory");
	return a;
}

struct events events(enum type type, u64 where)
{
	struct answer a = verify_call(EVENTS, type | where << 8, 0);

	return (struct events){ a.returned, a.result };
}

bool came(enum type type, u64 where, const struct events *before, u64 count, u64 last)
{
	struct events now = events(type, where);

	return now.count == before->count + count && (!count || now.last == last);
}

void answer_with(enum type type, u64 where, enum verdict verdict)
{
	verify_call(ANSWER, type | where << 8, verdict);
}

static struct { const char *what; bool ok; } notes[64];
static u32 note_count;

void note(const char *what, bool ok)
{
	notes[note_count].what = what;
	notes[note_count++].ok = ok;
}

void print_notes(const char *where)
{
	for (u32 i = 0; i < note_count; i++)
		print(notes[i].ok ? "T %s, %s: ok\n" : "T FAIL %s, %s\n", where, notes[i].what);
	note_count = 0;
}

bool l2_runs(const void *code, void (*prepare)(struct vcpu *))
{
	bool ended;

	hv_init(&l2, HV_LONG64, code);
	prepare(&l2);
	running = 2;
	ended = hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMCALL && l2.regs[RAX] == L2_END;
	running = 1;
	return ended;
}

static void judge(const char *what, bool ok)
{
	print(ok ? "T %s: ok\n" : "T FAIL %s\n", what);
}

static u64 violation_count(void)
{
	return verify_call(VIOLATIONS, 0, 0).returned;
}

/* What reads, writes and the hypapp see of one page. */
static void use_page(volatile u64 *page, const char *what)
{
	u64 at = (u64)page, before = verify_call(VIOLATIONS, 0, 0).returned;
	struct answer last;
	bool ok = true;

	page[0] = 0x1234;
	ok &= verify_call(RESTRICT, at, R).returned == 0 && verify_call(RIGHTS, at, 0).result == R;
	ok &= page[0] == 0x1234 && verify_call(VIOLATIONS, 0, 0).returned == before;
	ok &= verify_call(WRITE, at, 0x5678).returned == 0 && page[0] == 0x5678;
	page[0] = 0x9abc;
	last = verify_call(VIOLATIONS, 0, 0);
	ok &= last.returned == before + 1 && (last.result & ~0xfffull) == at && last.result & W;
	ok &= page[0] == 0x9abc && verify_call(RIGHTS, at, 0).result == RWX;
	ok &= verify_call(RESTRICT, at, 0).returned == 0 && verify_call(RIGHTS, at, 0).result == 0;
	ok &= verify_call(READ, at, 0).result == 0x9abc && verify_call(VIOLATIONS, 0, 0).returned == before + 1;
	ok &= page[0] == 0x9abc && verify_call(VIOLATIONS, 0, 0).returned == before + 2;
	/* judged by L1 in the end: printing is L1's */
	*(volatile u64 *)(at + 8) = ok;
	if (running == 1)
		judge(what, ok);
}

static void as_it_is(struct vcpu *v) { (void)v; }

/* The registers that hypapi tells of the caller, and what this CPU says. */
static bool registers(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) gdtr, idtr;
	u16 cs;

	asm("sgdt %0; sidt %1; movw %%cs, %2" : "=m"(gdtr), "=m"(idtr), "=r"(cs));
	return verify_call(REGISTER, REG_CS, 0).result == cs &&
	       verify_call(REGISTER, REG_GS_BASE, 0).result == (u64)this_cpu() &&
	       verify_call(REGISTER, REG_FS_BASE, 0).result == rdmsr(0xc0000100) &&
	       verify_call(REGISTER, REG_TR_BASE, 0).result == (u64)this_cpu()->tss &&
	       verify_call(REGISTER, REG_GDTR_BASE, 0).result == gdtr.base &&
	       verify_call(REGISTER, REG_GDTR_LIMIT, 0).result == gdtr.limit &&
	       verify_call(REGISTER, REG_IDTR_BASE, 0).result == idtr.base &&
	       verify_call(REGISTER, REG_IDTR_LIMIT, 0).result == idtr.limit;
}

static u32 inject(u32 vector, u64 number)
{
	u64 rax = (running == 2 ? L2_BASE : 0) + INJECT;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(rax) : "c"(vector), "d"(number) : "memory");
	return last_fault();
}

static bool injections(void)
{
	struct fault *fault = &this_cpu()->fault;

	return inject(VEC_UD, 0) == VEC_UD && inject(VEC_GP, 0x18) == VEC_GP && fault->error == 0x18 &&
	       inject(VEC_PF, 6) == VEC_PF && fault->error == 6 && fault->cr2 == 6;
}

static bool clearing(void)
{
	u64 rax = (running == 2 ? L2_BASE : 0) + CLEAR;
	register u64 r9 asm("r9") = 9, r10 asm("r10") = 10;

	asm volatile("vmcall" : "+a"(rax), "+r"(r9), "+r"(r10) : "c"(BIT(9)) : "memory");
	return r9 == 0 && r10 == 10;
}

/* What the hypapp makes of our pages while it runs, and that we have them back. */
static bool partitions(void)
{
	u16 *pages = page_alloc_many(304, PAGE_SIZE);
	bool ok;

	pages[0] = 0x0b0f; /* UD2 */
	ok = verify_call(PARTITION, (u64)pages, 0).returned == 0 && pages[0] == 0x0b0f;
	pages[0] = 0;
	return ok;
}

static bool all_calls(void)
{
	bool ok[] = { registers(), injections(), clearing(), partitions() };

	return ok[0] && ok[1] && ok[2] && ok[3] && verify_call(ERRORS, 0, 0).returned == 0;
}

static volatile u64 *shared;

static void l2_use(void)
{
	use_page(shared, "");
	shared[2] = verify_call(TRANSLATE, (u64)shared + 5, R | W).result;
	shared[3] = verify_call(TRANSLATE, HIGH_GPA, R).returned;
	shared[4] = all_calls();
	l2_end();
}

/* ---- Rights by L2-physical address: WINDOW and ALIAS lead to `shared`, and then WINDOW elsewhere ---- */

static struct ept12 ept;

static void with_window(struct vcpu *v)
{
	(void)v;
	vmwrite(VMCS_EPTP, ept.eptp);
}

/* A store of L2's is a violation of the page that is guarded, or none. verify gives the page back then. */
static bool stores(u64 at, u64 violations)
{
	u64 before = violation_count();
	struct answer last;

	*(volatile u64 *)at = at;
	last = verify_call(VIOLATIONS, 0, 0);
	return last.returned == before + violations && (!violations || last.result == ((u64)shared | W)) &&
	       *(volatile u64 *)at == at;
}

static bool guards(u64 at)
{
	struct answer a = verify_call(RESTRICT_GPA2, at, R);

	return a.returned == 0 && a.result == (u64)shared;
}

static void l2_guard(void)
{
	struct answer a;

	note("not restricted yet", stores(WINDOW, 0) && stores(ALIAS, 0));
	note("restricted", guards(WINDOW));
	a = verify_call(RIGHTS_GPA2, ALIAS, 0);
	note("its rights at the alias", a.returned == 0 && a.result == ((u64)shared | R));
	note("may be read", *(volatile u64 *)WINDOW == ALIAS);
	note("a store at the alias", stores(ALIAS, 1));
	note("a store at its own address", guards(ALIAS) && stores(WINDOW, 1));
	note("restricted for the next", guards(WINDOW));
	note("a copy of the hypapp's", verify_call(WRITE_GPA2, WINDOW, 5).returned == 0 && *(volatile u64 *)ALIAS == 5);
	a = verify_call(READ_GPA2, ALIAS, 0);
	note("and back", a.returned == 0 && a.result == 5);
	note("a copy to a clean page", verify_call(WRITE_GPA2, CLEAN + 8, 6).returned == 0);
	note("nothing is there", (long)verify_call(RESTRICT_GPA2, NOTHING, R).returned == -2);
	l2_end();
}

static void l2_use_what_is_mapped_anew(void)
{
	note("another page at the address is not restricted", stores(WINDOW, 0));
	note("the page is, at its alias", stores(ALIAS, 1));
	l2_end();
}

static void rights_by_l2_address(void)
{
	volatile u64 *other = page_alloc(), *clean = page_alloc();
	bool l1_stores;

	ept_init(&ept);
	ept.eptp |= EPTP_AD;
	ept_map_range(&ept, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB);
	ept_map_range(&ept, 0xfe000000, BIT(32), EPT_2M, EPT_RWX | EPT_UC);
	ept_map(&ept, WINDOW, (u64)shared, EPT_4K, EPT_RWX | EPT_WB);
	ept_map(&ept, ALIAS, (u64)shared, EPT_4K, EPT_RWX | EPT_WB);
	ept_map(&ept, CLEAN, (u64)clean, EPT_4K, EPT_RWX | EPT_WB);
	if (!l2_runs(l2_guard, with_window))
		fail("L2 exits by reason %x", l2.exit.reason);
	note("which is dirty now", clean[1] == 6 && (*ept_entry(&ept, CLEAN, EPT_4K) & EPT_DIRTY));
	ept_map(&ept, WINDOW, (u64)other, EPT_4K, EPT_RWX | EPT_WB);
	ept_flush(&ept);
	if (!l2_runs(l2_use_what_is_mapped_anew, with_window))
		fail("L2 exits by reason %x", l2.exit.reason);
	note("L2's stores went to these pages", other[0] == WINDOW && shared[0] == ALIAS);
	l1_stores = verify_call(RESTRICT, (u64)shared, R).returned == 0 && stores((u64)shared, 1);
	note("L1's own store", l1_stores);
	print_notes("rights by L2 address");
}

/* ---- Rights where L2 chooses its EPT12 by VMFUNC ---- */

enum { VM_FUNCTIONS = 0x2018, EPTP_LIST = 0x2024, EXIT_BY_VMFUNC = 59 };

static struct ept12 second;
static u64 *eptps;

static void with_two(struct vcpu *v)
{
	with_window(v);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_VMFUNC);
	vmwrite(VM_FUNCTIONS, 1);
	vmwrite(EPTP_LIST, (u64)eptps);
}

static void switch_to(u64 index)
{
	asm volatile(".byte 0x0f, 0x01, 0xd4" :: "a"(0), "c"(index) : "memory");
}

/* `shared` is at WINDOW by the first and at ALIAS by the second, which have both let L2 write to it before. */
static void l2_switches(void)
{
	note("not restricted yet, by the first", stores(WINDOW, 0));
	switch_to(1);
	note("not restricted yet, by the second", stores(ALIAS, 0));
	switch_to(0);
	note("restricted by the first", guards(WINDOW));
	switch_to(1);
	note("another page by the second", stores(WINDOW, 0));
	note("a store by the second", stores(ALIAS, 1));
	note("restricted by the second", guards(ALIAS));
	switch_to(0);
	note("a store by the first", stores(WINDOW, 1));
	note("what both store", *(volatile u64 *)WINDOW == WINDOW);
	note("the list is taken", verify_call(RESTRICT, (u64)eptps, 0).returned == 0);
	switch_to(1);
	l2_end();
}

static void rights_by_vmfunc(void)
{
	bool ended;

	if (!(rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_VMFUNC))
		return;
	eptps = page_alloc();
	ept_map(&ept, WINDOW, (u64)shared, EPT_4K, EPT_RWX | EPT_WB);
	ept_init(&second);
	ept_map_range(&second, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB);
	ept_map(&second, WINDOW, (u64)page_alloc(), EPT_4K, EPT_RWX | EPT_WB);
	ept_map(&second, ALIAS, (u64)shared, EPT_4K, EPT_RWX | EPT_WB);
	ept_flush(&ept);
	eptps[0] = ept.eptp;
	eptps[1] = second.eptp;
	ended = l2_runs(l2_switches, with_two);
	note("a list that is taken chooses nothing", !ended && l2.exit.reason == EXIT_BY_VMFUNC &&
	     vmread(VMCS_EPTP) == ept.eptp && verify_call(RIGHTS, (u64)eptps, 0).result == 0);
	print_notes("VMFUNC");
}

DEFINE_TEST(verify, "verify", "XMHF with hypapps/verify: hypapi's calls and errors, rights to memory in L1 and L2")
{
	u64 before;

	shared = page_alloc();
	wrmsr(0x268, rdmsr(0x268) ^ 0x0606060606060606); /* events of level L0 */
	wrmsr(0x268, rdmsr(0x268) ^ 0x0606060606060606);
	judge("registers in L1", registers());
	judge("injections in L1", injections());
	judge("cleared registers in L1", clearing());
	judge("partitions in L1", partitions());
	judge("documented answers in L1", verify_call(ERRORS, 0, 0).returned == 0);
	use_page(shared, "rights to a page, from L1");
	judge("EPT12 in L1", (long)verify_call(TRANSLATE, 0x1000, R).returned == -7);
	hv_on();
	if (!l2_runs(l2_use, as_it_is))
		fail("L2 exits by reason %x", l2.exit.reason);
	judge("rights to a page, from L2", shared[1] == 1);
	judge("L2-physical to L1-physical", shared[2] == (u64)shared + 5 && (long)shared[3] == -2);
	judge("the calls and their documented answers in L2", shared[4] == 1);
	/* L1 takes a page from itself while L2 has used it, and L2's tables follow. */
	before = violation_count();
	judge("restricted by L1", verify_call(RESTRICT, (u64)shared, R).returned == 0);
	shared[0] = 1;
	judge("seen once", violation_count() == before + 1);
	rights_by_l2_address();
	rights_by_vmfunc();
	hv_off();
}
