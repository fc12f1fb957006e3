/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exits of L1, through one table. An empty slot reaches exit_unexpected(): no control that we set can cause such an
 * exit. Exits of L2 and of partitions go to tables of their own (nested/exit.c, vmx/partition_run.c). Some handlers are
 * shared.
 */
#include "vmx/exit.h"

#include "apic/apic_guard.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "mem/guest.h"
#include "mem/partition.h"
#include "nested/nested.h"
#include "power/power.h"
#include "report/audit.h"
#include "report/control.h"
#include "report/log.h"
#include "vmx/cpuid.h"
#include "vmx/interrupts.h"
#include "vmx/io.h"
#include "vmx/log_wait.h"
#include "vmx/msr.h"
#include "vmx/vmx.h"

/*
 * #DB as if it had been delivered: DR6 takes the pending bits, DR7.GD and DEBUGCTL.LBR are cleared (SDM vol. 3, "Basic
 * VM-Exit Information").
 */
static void reflect_debug_exception(void)
{
	u64 pending = vmread(VMCS_EXIT_QUALIFICATION), dr6;

	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	dr6 = (dr6 & ~0xful) | (pending & 0x600f);
	asm volatile("mov %0, %%dr6" : : "r"(dr6));
	vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~BIT(13));
	vmwrite(VMCS_GUEST_DEBUGCTL, vmread(VMCS_GUEST_DEBUGCTL) & ~DEBUGCTL_LBR);
	vmx_inject(VEC_DB, 0);
}

/* INT1 is a trap: it is delivered with the address behind it, and sets nothing in DR6. */
static void reflect_int1(u64 info)
{
	vmx_end_interrupt_shadow();
	vmwrite(VMCS_ENTRY_INSN_LEN, vmread(VMCS_EXIT_INSN_LEN));
	vmwrite(VMCS_ENTRY_INTR_INFO, info & (INTR_VECTOR | INTR_TYPE | INTR_VALID));
}

void exit_exception_nmi(struct percpu *cpu)
{
	u64 info = vmread(VMCS_EXIT_INTR_INFO);

	if ((info & INTR_TYPE) == INTR_TYPE_NMI) {
		vmx_requeue_event();
		vmx_take_nmi_exit(cpu);
	} else if ((info & INTR_TYPE) == INTR_TYPE_PRIV_SW_EXCEPTION) {
		reflect_int1(info);
	} else if ((info & INTR_VECTOR) == VEC_DB) {
		reflect_debug_exception();
	} else {
		vmx_inject(info & INTR_VECTOR, (u32)vmread(VMCS_EXIT_INTR_ERROR));
	}
}

/* Bochs takes this exit before the privilege check, so the check is ours. */
static void exit_xsetbv(struct percpu *cpu)
{
	u64 value = cpu->gpr[GPR_RDX] << 32 | (u32)cpu->gpr[GPR_RAX];

	if (guest_cpl() != 0 || !xsetbv_safe((u32)cpu->gpr[GPR_RCX], value))
		vmx_inject_gp();
	else
		vmx_skip_instruction();
}

static void exit_invd(struct percpu *cpu)
{
	(void)cpu;
	wbinvd(); /* INVD would throw away the core's own dirty lines */
	vmx_skip_instruction();
}

/*
 * MOV to CR0 or CR4 that changes a bit of ours in the guest's eyes. The guest's idea of that bit is updated and the
 * instruction runs again, so hardware does all the rest, its faults included.
 */
static void exit_cr_access(struct percpu *cpu)
{
	u64 qualification = vmread(VMCS_EXIT_QUALIFICATION), value = guest_reg(cpu, qualification >> 8 & 15);

	if ((qualification & 15) == 0 && nested_in_vmx(cpu)) {
		vmx_inject_gp(); /* a bit that is fixed in VMX operation */
		return;
	}
	if ((qualification & 15) == 0) {
		vmwrite(VMCS_CR0_SHADOW, (vmread(VMCS_CR0_SHADOW) & ~VMX_CR0_MASK) | (value & VMX_CR0_MASK));
		return;
	}
	bool refused = (value & ~rdmsr(MSR_IA32_VMX_CR4_FIXED1)) || (value & CR4_SMXE) ||
		       ((value & CR4_VMXE) && !nested_enabled()) || (!(value & CR4_VMXE) && nested_in_vmx(cpu));

	if (refused)
		vmx_inject_gp();
	else
		vmwrite(VMCS_CR4_SHADOW, value & VMX_CR4_MASK);
}

void exit_cpuid(struct percpu *cpu)
{
	u32 leaf = (u32)cpu->gpr[GPR_RAX];

	if (event_cpuid(cpu, leaf) == TAKEN)
		return;
	cpuid_emulate(cpu);
	vmx_skip_instruction();
}

static void exit_vmcall(struct percpu *cpu)
{
	/* What nobody claims is #UD, or VMfail if L1 is in VMX root operation. */
	if (event_hypercall(cpu) == NOT_TAKEN && control_hypercall(cpu) == NOT_TAKEN)
		nested_insn(cpu);
}

void vmx_requeue_access(u64 qualification)
{
	vmx_requeue_event();
	/* An IRET that faulted here had unblocked NMIs before (SDM vol. 3, "Exit Qualification for EPT Violations"). */
	if ((qualification & EPT_QUAL_NMI_UNBLOCK) && !(vmread(VMCS_IDT_INFO) & INTR_VALID))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
}

_Static_assert(EPT_QUAL_READ == HYPAPI_R && EPT_QUAL_WRITE == HYPAPI_W && EPT_QUAL_FETCH == HYPAPI_X, "rights");

static __attribute__((noinline)) void memory_violation(struct percpu *cpu, gpa1_t gpa1, gpa2_t gpa2,
						       u64 qualification)
{
	vmx_requeue_access(qualification);
	struct event_violation v = { .gpa1 = gpa1, .gpa2 = gpa2, .access = qualification & EPT_QUAL_ACCESS,
				       .gva_valid = qualification & EPT_QUAL_GLA_FINAL };

	if (qualification & EPT_QUAL_GLA_VALID)
		v.gva = GVA(vmread(VMCS_GUEST_LINEAR_ADDR));
	event_violation(cpu, &v);
}

void vmx_violation(struct percpu *cpu, gpa1_t gpa1, gpa2_t gpa2, u64 qualification)
{
	if (apic_guard_violation(cpu, gpa1, qualification) == NOT_TAKEN)
		memory_violation(cpu, gpa1, gpa2, qualification);
}

static void exit_ept_violation(struct percpu *cpu)
{
	vmx_violation(cpu, GPA1(vmread(VMCS_GUEST_PHYS_ADDR)), GPA2(0), vmread(VMCS_EXIT_QUALIFICATION));
}

static void exit_task_switch(struct percpu *cpu)
{
	log_limited(LOG_WARN, "a hardware task switch in L1 is not supported: #GP instead");
	/* A task gate may be that of #GP. */
	vmx_raise(cpu, VEC_GP, (u32)vmread(VMCS_EXIT_QUALIFICATION) & 0xfffc, GVA(0));
}

/* An INIT that no ICR sent: from the I/O APIC, a message-signaled interrupt or LINT. */
void exit_init(struct percpu *cpu)
{
	atomic_store(&cpu->apic.request, REQUEST_INIT);
	cpu->work = 1;
}

static void exit_inject_ud(struct percpu *cpu)
{
	(void)cpu;
	vmx_inject_ud();
}

static exit_handler *const l1_exits[EXIT_REASON_COUNT] = {
	[EXIT_EXCEPTION_NMI] = exit_exception_nmi,
	[EXIT_TRIPLE_FAULT] = power_triple_fault,
	[EXIT_INIT] = exit_init,
	[EXIT_EXTERNAL_INTR] = exit_interrupt,
	[EXIT_INTR_WINDOW] = exit_interrupt_window,
	[EXIT_NMI_WINDOW] = exit_nmi_window,
	[EXIT_TASK_SWITCH] = exit_task_switch,
	[EXIT_CPUID] = exit_cpuid,
	[EXIT_GETSEC] = exit_inject_ud,
	[EXIT_INVD] = exit_invd,
	[EXIT_RSM] = exit_inject_ud,
	[EXIT_VMCALL] = exit_vmcall,
	[EXIT_VMCLEAR ... EXIT_VMXON] = nested_insn,
	[EXIT_CR_ACCESS] = exit_cr_access,
	[EXIT_IO] = exit_io,
	[EXIT_RDMSR] = exit_msr,
	[EXIT_WRMSR] = exit_msr,
	[EXIT_EPT_VIOLATION] = exit_ept_violation,
	[EXIT_INVEPT] = nested_insn,
	[EXIT_INVVPID] = nested_insn,
	[EXIT_PREEMPTION_TIMER] = log_wait_timer,
	[EXIT_XSETBV] = exit_xsetbv,
	[EXIT_VMFUNC] = exit_inject_ud,
};

/*
 * No guest is known to get here; if one does, its machine is reset like after a triple fault, secrets wiped, and not
 * halted.
 */
static _Noreturn void exit_unexpected(struct percpu *cpu, u32 reason)
{
	log_error("CPU %u: exit reason 0x%x, which no control asks for, qualification %lx", cpu->index, reason,
		  vmread(VMCS_EXIT_QUALIFICATION));
	power_triple_fault(cpu);
}

void vmx_handle_exit(struct percpu *cpu)
{
	u32 reason = cpu->exit_reason = (u32)vmread(VMCS_EXIT_REASON);
	struct world *w = cpu->world;

	cpu->exits[w->mode]++;
	if (unlikely(!w->launched) && !(reason & EXIT_REASON_ENTRY_FAILED))
		w->launched = true;
	if (w->mode == RUN_L1) {
		if (unlikely(reason >= EXIT_REASON_COUNT || !l1_exits[reason]))
			exit_unexpected(cpu, reason);
		l1_exits[reason](cpu);
	} else if (w->mode == RUN_L2) {
		nested_exit(cpu, reason);
	} else {
		partition_exit(cpu, reason);
	}
	/* Not at those of L1, whose timer stores to the APIC page: it would do nothing else. */
	if (CONFIG_AUDIT && w->mode == RUN_L2 && reason == EXIT_EPT_VIOLATION)
		audit_ept02(cpu);
}

void vmx_entry_failed(struct percpu *cpu)
{
	if (nested_entry_refused(cpu))
		return;
	panic("CPU %u: VM entry refused, mode %d, error %lu", cpu->index, cpu->world->mode, vmread(VMCS_INSN_ERROR));
}
