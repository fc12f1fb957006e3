/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=verify-events: ports and MSRs that hypapps/verify claims, in L1, in L2, and where L1 wants them of its L2, too;
 * L1's MSR lists; and what is told of MTRRs and of crossings between L1 and L2.
 */
#include "verify.h"

enum { STORE = 0x5c00, DENIED = 0x5c08, PASSED = 0x5c0a, STOPPED = 0x5c0c };
enum { MSR_STORE = 0x1f00, MSR_DENIED, MSR_PASSED, MSR_UNCLAIMED, MSR_TSC_AUX = 0xc0000103 };
#define IN BIT(20)
#define STRING BIT(21)
#define REP BIT(22)
#define SIZE(n) ((u64)(n) << 16)
#define COUNT(n) ((u64)(n) << 24)
#define WRITTEN BIT(32)
#define LIST BIT(33)

static u64 in(u16 port, u32 size)
{
	u64 rax = 0x1122334455667788;

	if (size == 1)
		asm volatile("inb %1, %%al" : "+a"(rax) : "d"(port) : "memory");
	else if (size == 2)
		asm volatile("inw %1, %%ax" : "+a"(rax) : "d"(port) : "memory");
	else
		asm volatile("inl %1, %%eax" : "+a"(rax) : "d"(port) : "memory");
	return rax;
}

static void out(u16 port, u32 value) { asm volatile("outl %0, %1" :: "a"(value), "d"(port) : "memory"); }
static void outw(u16 port, u16 value) { asm volatile("outw %0, %1" :: "a"(value), "d"(port) : "memory"); }

static u32 try_inb(u16 port)
{
	fault_reset();
	asm volatile(MAY_FAULT("inb %%dx, %%al") :: "d"(port), "a"(0) : "memory");
	return last_fault();
}

static void use_ports(u64 level)
{
	struct events before = events(PORT_IO, level);

	out(STORE, 0xa1b2c3d4);
	note("OUT", came(PORT_IO, level, &before, 1, STORE | SIZE(4) | COUNT(1)));
	note("IN of 4 bytes", in(STORE, 4) == 0xa1b2c3d4);
	note("IN of 2 bytes", in(STORE, 2) == 0x112233445566c3d4);
	note("IN of 1 byte", in(STORE, 1) == 0x11223344556677d4);
	note("IN's event", came(PORT_IO, level, &before, 4, STORE | SIZE(1) | IN | COUNT(1)));
	outw(STORE - 1, 0x55aa);
	note("OUT from below", in(STORE, 4) == 0x55aa && events(PORT_IO, level).count == before.count + 6);
	in(STORE - 1, 1);
	in(STORE + 0x10, 1);
	note("another port", came(PORT_IO, level, &before, 6, STORE | SIZE(4) | IN | COUNT(1)));
	note("DENY", try_inb(DENIED) == VEC_GP && came(PORT_IO, level, &before, 7, DENIED | SIZE(1) | IN | COUNT(1)));
	note("PASS", (in(PASSED, 1) & 0xff) == 0xff &&
	     came(PORT_IO, level, &before, 8, PASSED | SIZE(1) | IN | COUNT(1)));
	out(STOPPED, 0x77);
	note("a stop", in(STOPPED, 4) == 0x77 && came(PORT_IO, level, &before, 10, STOPPED | SIZE(4) | IN | COUNT(1)));
}

static u8 buffer[64];

static bool faulted(u32 error)
{
	return last_fault() == VEC_PF && this_cpu()->fault.cr2 == (u64)UNMAPPED && this_cpu()->fault.error == error;
}

static void use_strings(u64 level)
{
	struct events before = events(PORT_IO, level);
	u64 at = (u64)buffer, count = 3;

	copy_bytes(buffer, "abcdefgh", 8);
	asm volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(STORE) : "memory");
	note("REP OUTS", at == (u64)buffer + 3 && count == 0 && in(STORE, 4) == 'c');
	note("REP OUTS' events", events(PORT_IO, level).count == before.count + 4);
	at = (u64)buffer;
	asm volatile("outsl" : "+S"(at) : "d"(STORE) : "memory");
	note("OUTS", at == (u64)buffer + 4 && came(PORT_IO, level, &before, 5, STORE | SIZE(4) | STRING | COUNT(1)));
	at = (u64)buffer + 32;
	count = 2;
	asm volatile("rep insw" : "+D"(at), "+c"(count) : "d"(STORE) : "memory");
	note("REP INS", at == (u64)buffer + 36 && count == 0 && *(u32 *)(buffer + 32) == 0x62616261 &&
	     buffer[36] == 0 && came(PORT_IO, level, &before, 7, STORE | SIZE(2) | IN | STRING | REP | COUNT(1)));
	at = (u64)buffer + 50;
	asm volatile("std; insb; cld" : "+D"(at) : "d"(STORE) : "memory");
	note("INS, downward", at == (u64)buffer + 49 && buffer[50] == 'a' && buffer[49] == 0 && buffer[51] == 0);
	at = (u64)buffer;
	asm volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(STORE) : "memory");
	note("REP without a count", at == (u64)buffer && events(PORT_IO, level).count == before.count + 8);
	fault_reset();
	asm volatile(MAY_FAULT("outsb") :: "S"(UNMAPPED), "d"(STORE) : "memory");
	note("OUTS from nowhere", faulted(0));
	fault_reset();
	asm volatile(MAY_FAULT("insb") :: "D"(UNMAPPED), "d"(STORE) : "memory");
	note("INS to nowhere", faulted(2));
	note("no event of those", events(PORT_IO, level).count == before.count + 8);
}

static void use_msrs(u64 level)
{
	struct events before = events(MSR, level);
	u64 value;

	wrmsr(MSR_STORE, 0x123456789abcdef0);
	note("WRMSR", came(MSR, level, &before, 1, MSR_STORE | WRITTEN));
	note("RDMSR", rdmsr(MSR_STORE) == 0x123456789abcdef0 && came(MSR, level, &before, 2, MSR_STORE));
	note("MSR, DENY", try_rdmsr(MSR_DENIED, &value) == VEC_GP && try_wrmsr(MSR_DENIED, 0) == VEC_GP &&
	     came(MSR, level, &before, 4, MSR_DENIED | WRITTEN));
	note("MSR, PASS, absent", try_rdmsr(MSR_PASSED, &value) == VEC_GP && came(MSR, level, &before, 5, MSR_PASSED));
	wrmsr(MSR_TSC_AUX, 0x1234);
	note("MSR, PASS", rdmsr(MSR_TSC_AUX) == 0x1234 && came(MSR, level, &before, 7, MSR_TSC_AUX));
	note("an MSR without a claim", try_rdmsr(MSR_UNCLAIMED, &value) == VEC_GP && rdmsr(MSR_TSC_AUX - 1) + 1 != 0 &&
	     came(MSR, level, &before, 8 - 1, MSR_TSC_AUX));
}

static void user_in(void) { asm volatile("movw $0x5c00, %%dx; inb %%dx, %%al; int $0x80" ::: "memory"); }
static void user_rdmsr(void) { asm volatile("movl $0x1f00, %%ecx; rdmsr; int $0x80" ::: "memory"); }

static void use_as_user(void)
{
	struct events ports = events(PORT_IO, 1), msrs = events(MSR, 1);

	note("CPL 3", user_run(user_in).vector == VEC_GP && user_run(user_rdmsr).vector == VEC_GP &&
	     came(PORT_IO, 1, &ports, 0, 0) && came(MSR, 1, &msrs, 0, 0));
}

/* Two phases: verify prepares, bystander too, and one may deny. */
static void use_mtrrs(void)
{
	struct events before = events(MTRR, 0), asked = events(MTRR, PREPARE), aborted = events(MTRR, ABORT);
	struct events second = events(MTRR, BYSTANDER | PREPARE), second_aborted = events(MTRR, BYSTANDER | ABORT);
	u64 old = rdmsr(0x268), new = old ^ 0x0606060606060606;

	wrmsr(0x268, old);
	note("MTRR, the same value", came(MTRR, 0, &before, 0, 0) && came(MTRR, PREPARE, &asked, 0, 0));
	wrmsr(0x268, new);
	note("MTRR, another value", came(MTRR, 0, &before, 1, 0x268) && came(MTRR, PREPARE, &asked, 1, 0x268) &&
	     came(MTRR, BYSTANDER | PREPARE, &second, 1, 0) && rdmsr(0x268) == new);
	answer_with(MTRR, BYSTANDER, DENY);
	note("MTRR, denied by the second", try_wrmsr(0x268, old) == VEC_GP && rdmsr(0x268) == new &&
	     came(MTRR, 0, &before, 1, 0x268) && came(MTRR, PREPARE, &asked, 2, 0x268) &&
	     came(MTRR, ABORT, &aborted, 1, 0x268) && came(MTRR, BYSTANDER | ABORT, &second_aborted, 0, 0));
	answer_with(MTRR, 0, DENY);
	note("MTRR, denied by the first", try_wrmsr(0x268, old) == VEC_GP && came(MTRR, PREPARE, &asked, 3, 0x268) &&
	     came(MTRR, ABORT, &aborted, 1, 0x268) && came(MTRR, BYSTANDER | PREPARE, &second, 2, 0));
	answer_with(MTRR, 0, PASS);
	answer_with(MTRR, BYSTANDER, PASS);
	wrmsr(0x268, old);
	note("MTRR, allowed again", rdmsr(0x268) == old && came(MTRR, 0, &before, 2, 0x268));
}

/* ---- L2 ---- */

static void l2_use_all(void)
{
	use_ports(2);
	use_strings(2);
	use_msrs(2);
	l2_end();
}

static void as_it_is(struct vcpu *v) { (void)v; }
static void no_io_bitmaps(struct vcpu *v) { (void)v; hv_clear(VMCS_CPU_CONTROLS, CPU_IO_BITMAPS); }

static void in_l2(void)
{
	struct events in_l1 = events(PORT_IO, 1), entries = events(EXIT102, 2), exits = events(EXIT201, 1);
	struct events ours = events(EXIT202, 2);

	note("no exit to L1", l2_runs(l2_use_all, as_it_is));
	note("no event of L1", came(PORT_IO, 1, &in_l1, 0, 0));
	note("EXIT102", came(EXIT102, 2, &entries, 1, EXIT_VMLAUNCH));
	note("EXIT201", came(EXIT201, 1, &exits, 1, EXIT_VMCALL));
	note("EXIT202", events(EXIT202, 2).count > ours.count + 40);
	print_notes("L2");
	note("no exit to L1", l2_runs(l2_use_all, no_io_bitmaps));
	print_notes("L2 without I/O bitmaps");
}

/* L1 wants them as well: the hypapp comes first, and what it passes is L1's exit. */
static u64 wanted_value;

static void l2_wanted(void)
{
	out(STORE, 0x600d);
	wrmsr(MSR_STORE, 0x1dea);
	wanted_value = in(STORE, 4) << 32 | rdmsr(MSR_STORE);
	in(PASSED, 1);
	rdmsr(MSR_TSC_AUX);
	asm volatile("outsb" :: "S"(UNMAPPED), "d"(PASSED) : "memory");
	l2_end();
}

static void want_all(void)
{
	static const u32 reasons[] = { EXIT_IO, EXIT_RDMSR, EXIT_IO, EXIT_VMCALL };
	bool ok = true;

	hv_init(&l2, HV_LONG64, l2_wanted);
	set_bytes(l2.io_bitmap_a, 0xff, PAGE_SIZE);
	set_bytes(l2.msr_bitmap, 0xff, PAGE_SIZE);
	for (u32 i = 0; i < ARRAY_SIZE(reasons) && ok; i++) {
		running = 2;
		ok = hv_run(&l2) == VMX_OK && l2.exit.reason == reasons[i];
		running = 1;
		if (!ok)
			print("exit %u has reason %x, qualification %lx\n", i, l2.exit.reason, l2.exit.qualification);
		hv_skip(&l2);
	}
	note("PASS is L1's exit, a fault of the operand too", ok);
	note("HANDLED is not", wanted_value == (0x600dull << 32 | 0x1dea));
	print_notes("L2, L1 wants it");
}

/* ---- MSR lists ---- */

static struct { u32 index, reserved; u64 value; } *list;

static void with_list(struct vcpu *v)
{
	(void)v;
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, (u64)list);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 2);
	vmwrite(VMCS_EXIT_MSR_STORE_ADDR, (u64)(list + 2));
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
}

/* An MTRR of L1's, as its list loads it: a denial fails the entry. */
static void mtrr_in_list(void)
{
	struct events before = events(MTRR, 0);
	u64 old = rdmsr(0x268), new = old ^ 0x0606060606060606;

	list[1].index = 0x268;
	list[1].value = new;
	list[2].index = MSR_TSC_AUX;
	answer_with(MTRR, BYSTANDER, DENY);
	note("MTRR, denied", !l2_runs((void *)l2_end, with_list) && (u16)l2.exit.reason == EXIT_BAD_MSR_LOAD &&
	     rdmsr(0x268) == old && came(MTRR, 0, &before, 0, 0));
	answer_with(MTRR, BYSTANDER, PASS);
	note("MTRR", l2_runs((void *)l2_end, with_list) && rdmsr(0x268) == new && came(MTRR, 0, &before, 1, 0x268));
	wrmsr(0x268, old);
}

static void lists(void)
{
	struct events before = events(MSR, 1), entries = events(EXIT102, 2), exits = events(EXIT201, 1);

	list = page_alloc();
	list[0].index = MSR_TSC_AUX;
	list[0].value = 0x4321;
	list[1].index = list[2].index = MSR_STORE;
	list[1].value = 0xfeed;
	note("HANDLED and PASS", l2_runs((void *)l2_end, with_list) && list[2].value == 0xfeed &&
	     rdmsr(MSR_TSC_AUX) == 0x4321);
	list[1].index = MSR_DENIED;
	note("DENY fails the entry", !l2_runs((void *)l2_end, with_list) && (u16)l2.exit.reason == EXIT_BAD_MSR_LOAD &&
	     l2.exit.qualification == 2);
	note("the events", came(MSR, 1, &before, 6, MSR_DENIED | WRITTEN | LIST));
	note("EXIT102 and EXIT201 of an entry that failed",
	     came(EXIT102, 2, &entries, 1, EXIT_VMLAUNCH) && came(EXIT201, 1, &exits, 2, BIT(31) | EXIT_BAD_MSR_LOAD));
	mtrr_in_list();
	print_notes("MSR lists");
}

DEFINE_TEST(verify_events, "verify-events", "XMHF with hypapps/verify: ports, MSRs, MTRRs, crossings between L1 and L2")
{
	use_ports(1);
	use_strings(1);
	use_msrs(1);
	use_as_user();
	use_mtrrs();
	print_notes("L1");
	hv_on();
	in_l2();
	want_all();
	lists();
	hv_off();
}
