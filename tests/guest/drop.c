/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF with hypapps/careless and hypapp-fault=drop: each boot another fault. After the first ones the machine goes on
 * without that hypapp; the last ones are those after which it must not, and is reset. With one CPU CMOS memory counts
 * the boots. With two, way=N is the only one (the emulator's BIOS does not bear many resets then): the second CPU runs
 * a partition, or is in a handler of the hypapp, when the first one meets the fault.
 */
#include "../../hypapps/careless/careless.h"
#include "test.h"

#define CMOS_BOOTS 0x6e
#define L2_BASE 0x4c415000u
#define VERIFY_EVENTS 0x207u
#define MTRR_FIX_C0000 0x268
enum { HYPERCALL = 2, VIOLATION = 4, MTRR = 8, WORK = 23 };	/* enum hypapi_event_type */

static const struct way {
	const char *what;
	u32 event, fault;	/* where it faults, and how */
	void (*cause)(void);	/* that event */
	void (*second)(void *);	/* what the second CPU does meanwhile */
	bool resets;
} ways[];

static struct { u64 rbx; u32 vector; } answer, second;
static u64 *guarded, *pages;
static const struct way *way;

static void judge(const char *what, bool ok)
{
	print(ok ? "T %s, %s: ok\n" : "T FAIL %s, %s\n", way->what, what);
}

/* The vector; RBX in *rbx. */
static u32 call_of(u32 base, u32 number, u64 rcx, u64 rdx, u64 *rbx)
{
	u64 rax = base + number;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(rax), "=b"(*rbx), "+c"(rcx), "+d"(rdx) :: "memory");
	return last_fault();
}

static u32 call(u32 number, u64 rcx, u64 rdx)
{
	return answer.vector = call_of(0, number, rcx, rdx, &answer.rbx);
}

static u32 write_guarded(void)
{
	fault_reset();
	asm volatile(MAY_FAULT("movq $5, %0") : "=m"(*guarded) :: "memory");
	return last_fault();
}

/* How often hypapps/verify was told of a change of MTRRs. */
static u64 others_told(void)
{
	call(VERIFY_EVENTS, MTRR, 0);
	return answer.rbx;
}

/* Other types for the BIOS' memory, or the one before. */
static u32 write_mtrr(void)
{
	return try_wrmsr(MTRR_FIX_C0000, rdmsr(MTRR_FIX_C0000) ^ 0x0606060606060606);
}

/* ---- Ways ---- */

static void by_call(void) { answer.vector = call(CARELESS_FAULT, way->fault, 0); }
static void by_write(void) { answer.vector = write_guarded(); }
static void by_mtrr(void) { answer.vector = write_mtrr(); }
static void by_work(void) { answer.vector = call(CARELESS_POST, 1, 0) == NO_FAULT ? VEC_UD : NO_FAULT; }

static u64 rbx_of_l2;

static void in_l2(void)
{
	u64 rax = L2_BASE + CARELESS_FAULT;

	asm volatile("vmcall" : "+a"(rax), "=b"(rbx_of_l2) : "c"((u64)way->fault) : "rdx", "memory");
	l2_end();
}

/* The fault is the hypapp's, its L2 gets #UD, which its exception bitmap sends here. */
static void by_l2(void)
{
	hv_on();
	hv_init(&l2, HV_LONG64, in_l2);
	vmwrite(VMCS_EXCEPTION_BITMAP, ~0u);
	answer.vector = hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_EXCEPTION_NMI ? l2.exit.intr_info & 0xff :
											 NO_FAULT;
	hv_off();
}

/* Runs for ever, by a jump to itself. */
static void run_partition(void *arg)
{
	(void)arg;
	second.vector = call_of(0, CARELESS_ENTER, 0, 0, &second.rbx);
}

static void spin(void *arg)
{
	(void)arg;
	second.vector = call_of(0, CARELESS_SPIN, 0, 0, &second.rbx);
}

static void nothing(void *arg)
{
	(void)arg;
	second.vector = NO_FAULT;
}

static const struct way ways[] = {
	{ "#PF, a partition runs", HYPERCALL, FAULT_PF, by_call, run_partition, false },
	{ "#UD with dirty registers", HYPERCALL, FAULT_UD, by_call, spin, false },
	{ "#DE in L2", HYPERCALL, FAULT_DE, by_l2, run_partition, false },
	{ "in a stop", HYPERCALL, FAULT_STOPPED, by_call, run_partition, false },
	{ "in a stop that the event began", VIOLATION, FAULT_UD, by_write, nothing, false },
	{ "stack overflow", HYPERCALL, FAULT_OVERFLOW, by_call, spin, false },
	{ "in WORK", WORK, FAULT_PF, by_work, run_partition, false },
	{ "in PREPARE", MTRR, FAULT_PF, by_mtrr, nothing, false },
	{ "in a call", HYPERCALL, FAULT_IN_CALL, by_call, nothing, true },
	{ "with a lock", HYPERCALL, FAULT_LOCKED, by_call, nothing, true },
	{ "after an exception", HYPERCALL, FAULT_INJECTED, by_call, nothing, true },
	{ "a jump to nowhere", HYPERCALL, FAULT_JUMP, by_call, nothing, true },
};

static u32 next_boot(void)
{
	outb(0x70, CMOS_BOOTS);
	u8 boot = inb(0x71);

	outb(0x70, CMOS_BOOTS);
	outb(0x71, boot + 1);
	return boot;
}

/* A loop that counts in its data. */
static void make_partition(void)
{
	static const u8 loop[] = { 0x48, 0xff, 0x05, 0xf9, 0x0f, 0x00, 0x00, 0xeb, 0xf7 }; /* incq data; jmp back */

	pages = page_alloc_many(2, PAGE_SIZE);
	for (u32 i = 0; i < sizeof(loop); i++)
		((u8 *)pages)[i] = loop[i];
	for (u32 i = 512; i < 1024; i++)
		pages[i] = 1;
	judge("partition", call(CARELESS_PARTITION, (u64)pages, 0) == NO_FAULT && pages[1023] == 0);
}

static void before(void)
{
	u64 value;

	guarded = page_alloc();
	guarded[0] = 1;
	make_partition();
	judge("guard", call(CARELESS_GUARD, (u64)guarded, 0) == NO_FAULT && write_guarded() == VEC_GP);
	judge("claims", cpuid(CARELESS_LEAF, 0).eax == CARELESS_WORD &&
			try_rdmsr(CARELESS_MSR, &value) == NO_FAULT && value == CARELESS_WORD);
}

static bool data_is_zero(void)
{
	for (u32 i = 512; i < 1024; i++)
		if (pages[i])
			return false;
	pages[512] = 7;
	return pages[512] == 7;
}

static void after(u64 told)
{
	u64 value;

	judge("the event", answer.vector == (way->event == VIOLATION || way->event == MTRR ? VEC_GP : VEC_UD));
	if (cpu_count > 1)
		judge("the second CPU", second.vector == (way->second == run_partition ? VEC_GP : NO_FAULT));
	judge("hypercalls", call(CARELESS_KEEP, 0, 0) == VEC_UD);
	judge("CPUID", cpuid(CARELESS_LEAF, 0).eax != CARELESS_WORD);
	judge("MSR", try_rdmsr(CARELESS_MSR, &value) == VEC_GP);
	judge("the page stays guarded", write_guarded() == VEC_GP && guarded[0] == 1);
	judge("code comes back", *(u8 *)pages == 0x48);
	judge("data is wiped", data_is_zero());
	judge("MTRR", write_mtrr() == NO_FAULT);
	judge("others are told", others_told() == told + 1);
}

static void use(void)
{
	u64 told = others_told();

	if (cpu_count > 1)
		smp_run(1, way->second, NULL);
	if (cpu_count > 1 && way->second == run_partition)
		do
			call(CARELESS_PEEK, 0, 0);
		while (answer.rbx < 100);
	if (way->event != HYPERCALL)
		call(CARELESS_ARM, way->event, way->fault);
	way->cause();
	if (way->resets)
		fail("the machine goes on after a fault: %s", way->what);
	if (cpu_count > 1)
		smp_wait(1);
	after(told);
}

DEFINE_TEST(drop, "drop", "XMHF with hypapps/careless: a hypapp that faults is dropped, or the machine reset")
{
	smp_start();
	u32 boot = cpu_count == 1 ? next_boot() : (u32)option_number("way", 0);

	if (boot >= ARRAY_SIZE(ways)) {
		print("T all faults are over\n");
		return;
	}
	way = &ways[boot];
	print("T boot %u\n", boot);
	before();
	use();
	if (cpu_count > 1)
		return;
	outb(0xcf9, 6);
	fail("no reset");
}
