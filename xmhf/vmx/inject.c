/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See inject.h. */
#include "vmx/inject.h"

#include "cpu/paging.h"
#include "cpu/x86.h"
#include "mem/guest.h"
#include "nested/nested.h"
#include "power/power.h"
#include "vmx/double_fault.h"
#include "vmx/vmx_insn.h"

/*
 * What the end of an instruction does besides: RF is cleared, and TF traps unless it counts branches (SDM vol. 3,
 * "Single-Stepping").
 */
static void complete_instruction(void)
{
	u64 rflags = vmread(VMCS_GUEST_RFLAGS);

	if (likely(!(rflags & (RFLAGS_TF | RFLAGS_RF))))
		return;
	vmwrite(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	if (rflags & RFLAGS_TF && !(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

static always_inline void end_interrupt_shadow(void)
{
	u64 shadow = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (unlikely(shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, shadow & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

static always_inline void skip(u64 len)
{
	u64 old = vmread(VMCS_GUEST_RIP), rip = old + len;

	if (unlikely((old ^ rip) >> 32) && !guest_long_mode())
		rip = (u32)rip;
	vmwrite(VMCS_GUEST_RIP, rip);
	end_interrupt_shadow();
	complete_instruction();
}

void vmx_skip_instruction(void)
{
	skip(vmread(VMCS_EXIT_INSN_LEN));
}

void vmx_skip_bytes(u32 len)
{
	skip(len);
}

void vmx_end_interrupt_shadow(void)
{
	end_interrupt_shadow();
}

void vmx_save_as_fault(unsigned int vector)
{
	u64 rflags = vmread(VMCS_GUEST_RFLAGS);

	if (vector != VEC_DB && !(rflags & RFLAGS_RF))
		vmwrite(VMCS_GUEST_RFLAGS, rflags | RFLAGS_RF);
}

void vmx_inject(unsigned int vector, u32 error_code)
{
	u64 info = vector | INTR_TYPE_HW_EXCEPTION | INTR_VALID;

	/* In real mode an exception pushes no error code. */
	if ((ERROR_CODE_VECTORS >> vector & 1) && (vmread(VMCS_GUEST_CR0) & CR0_PE)) {
		info |= INTR_ERROR_CODE;
		vmwrite(VMCS_ENTRY_ERROR_CODE, error_code);
	}
	vmx_end_interrupt_shadow();
	vmx_save_as_fault(vector);
	vmwrite(VMCS_ENTRY_INTR_INFO, info);
}

void vmx_inject_ud(void)
{
	vmx_inject(VEC_UD, 0);
}

void vmx_inject_gp(void)
{
	vmx_inject(VEC_GP, 0);
}

void vmx_inject_pf(gva_t gva, u32 error_code)
{
	write_cr2(gva.addr);
	vmx_inject(VEC_PF, error_code);
}

static void triple_fault(struct percpu *cpu)
{
	if (cpu->world->mode == RUN_L2)
		nested_reflect_triple_fault(cpu);
	else
		power_triple_fault(cpu);
}

/*
 * The event whose delivery came to an exit gives way to the exception, as on hardware; an NMI blocks NMIs all the same.
 * False: the CPU shuts down.
 */
static __attribute__((noinline)) bool give_way(u32 first, u32 *vector, u32 *error_code, gva_t cr2)
{
	u32 type = first & INTR_TYPE, second = *vector;
	bool program = type == INTR_TYPE_SW_INTR || type == INTR_TYPE_SW_EXCEPTION;

	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
	if (type == INTR_TYPE_NMI)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
	*vector = double_fault(first, second);
	if (*vector != second && second == VEC_PF)
		write_cr2(cr2.addr);
	if (*vector == VEC_DF)
		*error_code = 0;
	else if (second == VEC_GP && !program)
		*error_code |= ERROR_CODE_EXT;
	return *vector != SHUTDOWN;
}

void vmx_raise(struct percpu *cpu, unsigned int vector, u32 error_code, gva_t cr2)
{
	u32 first = (u32)vmread(VMCS_IDT_INFO);

	if (unlikely(first & INTR_VALID) && !give_way(first, &vector, &error_code, cr2))
		triple_fault(cpu);
	else if (cpu->world->mode == RUN_L2)
		nested_inject(cpu, vector, error_code, cr2);
	else if (vector == VEC_PF)
		vmx_inject_pf(cr2, error_code);
	else
		vmx_inject(vector, error_code);
}

void vmx_requeue_event(void)
{
	u64 info = vmread(VMCS_IDT_INFO);

	if (likely(!(info & INTR_VALID)))
		return;
	/* Bochs says so of real mode's exceptions too, which have none, and then refuses the entry. */
	if ((info & INTR_ERROR_CODE) && !(vmread(VMCS_GUEST_CR0) & CR0_PE))
		info &= ~(u64)INTR_ERROR_CODE;
	vmwrite(VMCS_ENTRY_INTR_INFO, info & ~INTR_RESERVED);
	vmwrite(VMCS_ENTRY_INSN_LEN, vmread(VMCS_EXIT_INSN_LEN));
	if (info & INTR_ERROR_CODE)
		vmwrite(VMCS_ENTRY_ERROR_CODE, vmread(VMCS_IDT_ERROR));
	/* The NMI whose delivery was interrupted blocks NMIs already; it must not block its own delivery. */
	if ((info & INTR_TYPE) == INTR_TYPE_NMI)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~(u64)INTERRUPTIBILITY_NMI);
}
