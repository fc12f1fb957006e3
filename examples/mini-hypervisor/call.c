/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls a hypapp: `test=call number=0x200 times=3` makes that hypercall from this program, which is L1, and then as
 * often from an L2, and shows what came back. Then it powers the machine off, so that XMHF logs its counts and its
 * trace.
 */
#include "hv/hv.h"

#define L2_BASE 0x4c415000u
#define L2_DONE 0xe0d

static u32 number, times;

struct answer { u64 rax, rbx, rcx, rdx; };
static struct answer last;

/* #UD is what a number gets that nobody claims, or that its hypapp denies. */
static bool call(u32 eax)
{
	last = (struct answer){ .rax = eax };
	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(last.rax), "+b"(last.rbx), "+c"(last.rcx), "+d"(last.rdx) :: "memory");
	return last_fault() == NO_FAULT;
}

static void show(const char *level, bool is_answered)
{
	if (is_answered)
		print("%s: hypercall 0x%x answers RAX 0x%lx, RBX 0x%lx, RCX 0x%lx, RDX 0x%lx\n", level, number,
		      last.rax,
		      last.rbx, last.rcx, last.rdx);
	else
		print("%s: hypercall 0x%x is refused: %s\n", level, number, vector_name(last_fault()));
}

static void l2_calls(void)
{
	for (u32 i = 0; i < times; i++)
		call(L2_BASE + number);
	l2_vmcall(L2_DONE);
}

static void call_from_l2(void)
{
	static struct vcpu v;

	if (!hv_supported())
		return;
	hv_on();
	hv_init(&v, HV_LONG64, l2_calls);
	if (hv_run(&v) != VMX_OK || v.exit.reason != EXIT_VMCALL)
		fail("L2: exit %u", v.exit.reason);
	/* An exit with another number is a call that no hypapp took: it is this program's, as L2's hypervisor. */
	if (v.regs[RAX] == L2_DONE)
		show("L2", last_fault() == NO_FAULT);
	else
		print("L2: hypercall 0x%x is nobody's: its hypervisor gets the exit\n", number);
	hv_off();
}

DEFINE_TEST(call_hypapp, "call", "a hypercall to a hypapp, from L1 and from L2: number=N times=N")
{
	number = (u32)option_number("number", 0x200);
	times = (u32)option_number("times", 1);
	for (u32 i = 0; i < times; i++)
		show("L1", call(number));
	call_from_l2();
	print("T end call\n");
	machine_off();
}
