/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of your own for @NAME@: this program is L1, alone on the machine, and `make guest` boots it on the image. It
 * calls @NAME@ from CPL 0 and CPL 3, from an L2 of its own, and from all CPUs at once, and prints what comes back.
 * lib/guest.h describes what there is to build on (printing, faults, pages, CPUs, options of the command line), hv/hv.h
 * how an L2 is made; both are in @PREFIX@/share/hypapi/guest.
 */
#include "hv/hv.h"

enum { CALL_COUNT = 0x200, L2_DONE = 0xe0d };
#define L2_BASE 0x4c415000u /* what L2 adds to a hypercall's number: hypapi_l2_hypercall_base() */

struct registers {
	u64 rax, rbx, rcx, rdx, rsi, rdi;
	u32 vector; /* the exception that the call was answered by, or NO_FAULT */
};

/* At CPL 0, where an exception can be caught. */
static void call(struct registers *r)
{
	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(r->rax), "+b"(r->rbx), "+c"(r->rcx), "+d"(r->rdx), "+S"(r->rsi),
		     "+D"(r->rdi) :: "memory");
	r->vector = last_fault();
}

static void show(const char *who, const struct registers *r)
{
	print("%s: RAX 0x%lx, RBX 0x%lx, RCX 0x%lx, RDX 0x%lx, %s\n", who, r->rax, r->rbx, r->rcx, r->rdx,
	      r->vector == NO_FAULT ? "no exception" : vector_name(r->vector));
}

/* ---- CPL 3: the same address space, another privilege. INT 0x80 ends it, and an exception does ---- */

static struct registers of_user;

static void user_code(void)
{
	asm volatile("vmcall" : "+a"(of_user.rax), "+b"(of_user.rbx) :: "memory");
	asm volatile("int $0x80");
}

static void from_user(void)
{
	of_user = (struct registers){ .rax = CALL_COUNT };
	of_user.vector = user_run(user_code).vector;
	show("L1, CPL 3", &of_user);
}

/* ---- L2: this program is its hypervisor ---- */

static struct registers of_l2;

static void l2_code(void)
{
	of_l2 = (struct registers){ .rax = L2_BASE + CALL_COUNT };
	call(&of_l2);
	l2_vmcall(L2_DONE);
}

static void from_l2(void)
{
	static struct vcpu v;

	if (!hv_supported())
		return;
	hv_on();
	hv_init(&v, HV_LONG64, l2_code); /* HV_USER64: at CPL 3 */
	if (hv_run(&v) != VMX_OK || v.exit.reason != EXIT_VMCALL || v.regs[RAX] != L2_DONE)
		print("L2: exit %u, RAX 0x%lx: a call that no hypapp claims is its hypervisor's\n", v.exit.reason,
		      v.regs[RAX]);
	else
		show("L2", &of_l2);
	hv_off();
}

/* ---- All CPUs at once ---- */

static void on_cpu(void *arg)
{
	call(arg);
}

static void from_all_cpus(void)
{
	static struct registers of[MAX_CPUS];

	for (u32 i = 0; i < cpu_count; i++)
		of[i] = (struct registers){ .rax = CALL_COUNT };
	for (u32 i = 1; i < cpu_count; i++)
		smp_run(i, on_cpu, &of[i]);
	on_cpu(&of[0]);
	for (u32 i = 1; i < cpu_count; i++)
		smp_wait(i);
	for (u32 i = 0; i < cpu_count; i++)
		show("all CPUs", &of[i]);
}

DEFINE_TEST(guest, "guest", "@NAME@, called from every side")
{
	struct registers r = { .rax = CALL_COUNT };

	call(&r);
	show("L1, CPL 0", &r);
	from_user();
	from_l2();
	smp_start();
	from_all_cpus();
	print("guest: end\n");
	machine_off();
}
