/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exits of L1, through one table. An empty slot reaches exit_unexpected(): no control that we set can cause such an exit.
 * Exits of L2 and of partitions go to tables of their own (nested/exit.c, vmx/partition_run.c). Some handlers are
 * shared.
 */
#include "vmx/exit.h"

#include "apic/apic_guard.h"
#include "apic/smp.h"
#include "cpu/paging.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "mem/partition.h"
#include "nested/nested.h"
#include "power/power.h"
#include "report/audit.h"
#include "report/control.h"
#include "report/log.h"
#include "vmx/cpuid.h"
#include "vmx/double_fault.h"
#include "vmx/interrupts.h"
#include "vmx/io.h"
#include "vmx/msr.h"
#include "vmx/vmx.h"

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

static always_inline void skip(u64 len)
{
	u64 old = vmread(VMCS_GUEST_RIP), rip = old + len;
	u64 shadow = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (unlikely((old ^ rip) >> 32) && !(vmread(VMCS_GUEST_CS_AR) & AR_L))
		rip = (u32)rip;
	vmwrite(VMCS_GUEST_RIP, rip);
	if (unlikely(shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, shadow & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
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

/* The delivery of an event ends blocking by STI and MOV SS; left set, with TF, the entry itself would be refused. */
static void end_interrupt_shadow(void)
{
	u64 shadow = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (unlikely(shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, shadow & ~(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

void vmx_inject(unsigned int vector, u32 error_code)
{
	u64 info = vector | INTR_TYPE_HW_EXCEPTION | INTR_VALID;

	/* In real mode an exception pushes no error code. */
	if ((ERROR_CODE_VECTORS >> vector & 1) && (vmread(VMCS_GUEST_CR0) & CR0_PE)) {
		info |= INTR_ERROR_CODE;
		vmwrite(VMCS_ENTRY_ERROR_CODE, error_code);
	}
	end_interrupt_shadow();
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
	vmwrite(VMCS_ENTRY_INTR_INFO, info & ~INTR_RESERVED);
	vmwrite(VMCS_ENTRY_INSN_LEN, vmread(VMCS_EXIT_INSN_LEN));
	if (info & INTR_ERROR_CODE)
		vmwrite(VMCS_ENTRY_ERROR_CODE, vmread(VMCS_IDT_ERROR));
	/* The NMI whose delivery was interrupted blocks NMIs already; it must not block its own delivery. */
	if ((info & INTR_TYPE) == INTR_TYPE_NMI)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~(u64)INTERRUPTIBILITY_NMI);
}

void vmx_take_nmi_exit(struct percpu *cpu)
{
	/* First whose it is, then the IRET that lets the next one in. */
	percpu_take_nmi(cpu);
	traps_unblock_nmi();
}

/* #DB as if it had been delivered: DR6 takes the pending bits, DR7.GD and DEBUGCTL.LBR are cleared (SDM vol. 3, "Basic VM-Exit Information"). */
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
	end_interrupt_shadow();
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

/* Injects one of the guest's NMIs, or asks for the NMI window. VMCS01 is current. */
static void inject_pending_nmi(struct percpu *cpu)
{
	u64 blocked = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_STI;
	u64 now = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (unlikely(cpu->stale_nmi_block) && now & INTERRUPTIBILITY_NMI) {
		now &= ~(u64)INTERRUPTIBILITY_NMI;
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, now);
	}
	/* While a handler runs, a bare CPU keeps one NMI for later, however many come. */
	if (now & INTERRUPTIBILITY_NMI)
		cpu->guest_nmis = 1;
	if ((now & blocked) || (vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID)) {
		vmwrite(VMCS_PROC_CTLS, vmread(VMCS_PROC_CTLS) | PROC_NMI_WINDOW);
		return;
	}
	if (unlikely(event_nmi(cpu) == TAKEN)) {
		if (__atomic_sub_fetch(&cpu->guest_nmis, 1, __ATOMIC_RELAXED))
			cpu->work = 1;
		return;
	}
	cpu->stale_nmi_block = false;
	vmwrite(VMCS_ENTRY_INTR_INFO, VEC_NMI | INTR_TYPE_NMI | INTR_VALID);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	if (__atomic_sub_fetch(&cpu->guest_nmis, 1, __ATOMIC_RELAXED))
		vmwrite(VMCS_PROC_CTLS, vmread(VMCS_PROC_CTLS) | PROC_NMI_WINDOW);
}

/* INIT, or INIT and already the SIPI after it. */
static void handle_init(struct percpu *cpu)
{
	if (event_init_signal(cpu) == TAKEN) {
		atomic_store(&cpu->request, REQUEST_NONE);
		return;
	}
	/* It never parks, so there is always a CPU that runs. */
	if (cpu->index == 0)
		power_init_boot_cpu(cpu);
	if (cpu->world->mode == RUN_PARTITION)
		partition_abort(cpu);
	nested_teardown(cpu);
	cpu->windows[0] = cpu->windows[1] = 0;
	smp_park(cpu);
}

void vmx_handle_work(struct percpu *cpu)
{
	cpu->work = 0;
	quiesce_poll(&cpu->quiesce);
	if (atomic_load(&cpu->request))
		handle_init(cpu);
	if (cpu->world->mode == RUN_L2)
		nested_work(cpu);
	if (atomic_load(&cpu->mail_for))
		event_work(cpu);
	if (!cpu->guest_nmis)
		return;
	if (cpu->world->mode == RUN_L1)
		inject_pending_nmi(cpu);
	else if (cpu->world->mode == RUN_L2)
		nested_pending_nmi(cpu);
	/* A partition takes no NMI: partition_leave() sets work again. */
}

static void exit_triple_fault(struct percpu *cpu)
{
	power_triple_fault(cpu);
}

/* Bochs takes this exit before the privilege check, so the check is ours. */
void exit_xsetbv(struct percpu *cpu)
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

static u64 cr_source(const struct percpu *cpu, u64 qualification)
{
	unsigned int reg = qualification >> 8 & 15;

	return reg == GPR_RSP ? vmread(VMCS_GUEST_RSP) : cpu->gpr[reg];
}

/*
 * MOV to CR0 or CR4 that changes a bit of ours in the guest's eyes. The guest's idea of that bit is updated and the
 * instruction runs again, so hardware does all the rest, its faults included.
 */
static void exit_cr_access(struct percpu *cpu)
{
	u64 qualification = vmread(VMCS_EXIT_QUALIFICATION), value = cr_source(cpu, qualification);

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

void exit_vmcall(struct percpu *cpu)
{
	/* What nobody claims is #UD, or VMfail if L1 is in VMX root operation. */
	if (event_hypercall(cpu) == NOT_TAKEN && control_hypercall(cpu) == NOT_TAKEN)
		nested_insn(cpu);
}

void vmx_requeue_access(u64 qualification)
{
	vmx_requeue_event();
	/* An IRET that faulted here had unblocked NMIs already (SDM vol. 3, "Exit Qualification for EPT Violations"). */
	if ((qualification & EPT_QUAL_NMI_UNBLOCK) && !(vmread(VMCS_IDT_INFO) & INTR_VALID))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
}

void vmx_violation(struct percpu *cpu, gpa1_t gpa1, gpa2_t gpa2, u64 qualification)
{
	if (apic_guard_violation(cpu, gpa1, qualification) == TAKEN)
		return;
	vmx_requeue_access(qualification);
	struct event_violation v = { .gpa1 = gpa1, .gpa2 = gpa2, .access = qualification & EPT_QUAL_ACCESS,
				       .gva_valid = qualification & EPT_QUAL_GLA_FINAL };

	if (qualification & EPT_QUAL_GLA_VALID)
		v.gva = GVA(vmread(VMCS_GUEST_LINEAR_ADDR));
	event_violation(cpu, &v);
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
	atomic_store(&cpu->request, REQUEST_INIT);
	cpu->work = 1;
}

static void exit_inject_ud(struct percpu *cpu)
{
	(void)cpu;
	vmx_inject_ud();
}

static exit_handler *const l1_exits[EXIT_REASON_COUNT] = {
	[EXIT_EXCEPTION_NMI] = exit_exception_nmi,
	[EXIT_TRIPLE_FAULT] = exit_triple_fault,
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
	[EXIT_RDMSR] = exit_rdmsr,
	[EXIT_WRMSR] = exit_wrmsr,
	[EXIT_EPT_VIOLATION] = exit_ept_violation,
	[EXIT_INVEPT] = nested_insn,
	[EXIT_INVVPID] = nested_insn,
	[EXIT_XSETBV] = exit_xsetbv,
	[EXIT_VMFUNC] = exit_inject_ud,
};

/* No guest is known to get here; if one does, its machine is reset like after a triple fault, secrets wiped, and not halted. */
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

	cpu->stats.exits[w->mode]++;
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
	if (reason == EXIT_EPT_VIOLATION)
		audit_ept02(cpu);
}

void vmx_entry_failed(struct percpu *cpu)
{
	if (nested_entry_refused(cpu))
		return;
	panic("CPU %u: VM entry refused, mode %d, error %lu", cpu->index, cpu->world->mode, vmread(VMCS_INSN_ERROR));
}
