/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mini-hypervisor, as a library: everything between VMXON and a running L2, small enough to read at once.
 *
 *	hv_on();                            VMXON on this CPU
 *	hv_init(&v, HV_LONG64, l2_code);    VMCLEAR, VMPTRLD, fill the VMCS from tables
 *	while (hv_run(&v) == VMX_OK)        VMLAUNCH or VMRESUME until the next VM exit
 *		switch (v.exit.reason) ...
 *	hv_off();
 *
 * L2 shares the address space of this program (EPT12 maps the first 4 GiB one to one, CR3 is our own), so its code is
 * an ordinary function here. It gets its own stack, GDT, TSS and struct cpu, so it may expect faults and count
 * interrupts by itself. Another EPT12 is vmwrite(VMCS_EPTP, ept.eptp) after hv_init(); fields.h has the fields' names.
 * Each struct vcpu belongs to the CPU that hv_init() ran on until VMCLEAR.
 */
#ifndef HV_H
#define HV_H

#include "ept12.h"

enum hv_mode {
	HV_LONG64,	/* 64-bit ring 0, paging as ours */
	HV_USER64,	/* 64-bit ring 3 */
	HV_PROTECTED32,	/* 32-bit ring 0, flat, paging off */
	HV_REAL16,	/* real mode; the code address must be below 64 KiB */
};

enum reg { RAX, RCX, RDX, RBX, RSP_UNUSED, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

struct vm_exit {
	u32 reason;		/* the basic reason and EXIT_ENTRY_FAILED */
	u64 qualification;
	u32 length;
	u32 intr_info, intr_error, idt_info, idt_error, insn_info;
};

struct vcpu {
	u64 regs[16];		/* offset 0, used by run.S: all but RSP, which is in the VMCS */
	u64 host_rsp;		/* offset 128: what HOST_RSP holds */
	u64 launched;		/* offset 136 */
	u64 vmcs;		/* physical address */
	struct ept12 *ept;
	struct cpu *cpu;	/* L2's own per-CPU data */
	u8 *msr_bitmap, *io_bitmap_a, *io_bitmap_b;	/* all zero: exit on nothing */
	u64 stack_top;
	struct vm_exit exit;
	u32 insn_error;		/* after VMX_FAIL_VALID */
};

/* True where the CPU and the firmware allow VMX; otherwise prints why not. */
bool hv_supported(void);
void hv_on(void);
void hv_off(void);
u64 hv_vmcs_alloc(void);			/* a page that carries the revision identifier */
/*
 * The shared one-to-one EPT: 4 GiB in 2 MiB leaves. The first call builds it: with several CPUs, call it before the
 * race.
 */
struct ept12 *hv_identity_ept(void);

void hv_init(struct vcpu *v, enum hv_mode mode, const void *code);
/* Fills the current VMCS again from the tables; v->vmcs must be current. For tests that damage fields. */
void hv_fill(struct vcpu *v, enum hv_mode mode, const void *code);
/* One entry. VMX_OK: v->exit tells why L2 stopped (or that the entry failed late); VMX_FAIL_*: it never began. */
vmx_result hv_run(struct vcpu *v);
/* hv_run() without reading anything: for measurements; v->launched must be set. */
vmx_result hv_enter(struct vcpu *v);
void hv_skip(struct vcpu *v);			/* RIP past the instruction that exited */
/* Gives control bits the values that the capability MSR forces, with `wanted` set where allowed. */
u32 hv_controls(u32 msr, u32 wanted);
void hv_set(u32 field, u64 bits);
void hv_clear(u32 field, u64 bits);
/* Puts code of this image, made of position-independent 16-bit instructions, at LOW_CODE. */
void *hv_low_code(const void *from, size_t size);

/* What L2 code uses. */
static inline u64 l2_vmcall(u64 rax)
{
	asm volatile("vmcall" : "+a"(rax) :: "memory");
	return rax;
}

#endif
