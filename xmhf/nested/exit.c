/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exits of L2. One table by exit reason says whether L1 wants it (exit 201) and who deals with it in L0 otherwise
 * (exit 202), and which exit-information fields the SDM defines for it: only those are read. A reason without a row is
 * one that only L1's own controls can cause, and is L1's. Callers: vmx/exit.c, and what raises exits by software here.
 */
#include "cpu/x86.h"
#include "events/events.h"
#include "events/hypapps.h"
#include "mem/ept01.h"
#include "nested/state.h"
#include "report/log.h"
#include "vmx/interrupts.h"
#include "vmx/log_wait.h"
#include "vmx/vmx.h"

/* Exit-information fields that are defined for a reason, beside reason and IDT-vectoring information. */
enum { HAS_QUAL = 1, HAS_LEN = 2, HAS_INFO = 4, HAS_INTR = 8, HAS_GLA = 16, HAS_GPA = 32 };

struct exit_row {
	bool (*l1_wants)(struct percpu *cpu, u32 reason); /* NULL: not before L0; not looked at without `handle` */
	exit_handler *handle; /* in L0, if L1 does not want it; may still reflect it. NULL: L1's, always */
	u8 has;
};

/* ---- Predicates ---- */

/* Page faults are asked for by error code as well (SDM vol. 3, "Exception Bitmap"); L0 asks for none of its own. */
static bool wants_exception(struct percpu *cpu, u32 reason)
{
	u32 info = (u32)vmread(VMCS_EXIT_INTR_INFO), vector = info & INTR_VECTOR;

	(void)reason;
	if ((info & INTR_TYPE) == INTR_TYPE_NMI)
		return false;
	return vector == VEC_PF || (vmcs12_of(cpu)->exception_bitmap >> (vector & 31) & 1);
}

static bool wants_interrupt(struct percpu *cpu, u32 reason)
{
	(void)cpu, (void)reason;
	return !hypapps_subscribed(HYPAPI_EV_INTERRUPT, HYPAPI_L2);
}

/* L1's window, but not while the core or hypapps wait for the same one: they come first, and then it opens again. */
static bool wants_window(struct percpu *cpu, u32 reason)
{
	bool nmi = reason == EXIT_NMI_WINDOW;
	u32 control = nmi ? PROC_NMI_WINDOW : PROC_INTR_WINDOW;

	return !cpu->windows[nmi] && !(nmi && cpu->nested->nmi_window) && (vmcs12_of(cpu)->proc_ctls & control);
}

bool nested_uses_timer(const struct percpu *cpu)
{
	return vmcs12_of(cpu)->pin_ctls & PIN_PREEMPTION_TIMER;
}

static bool wants_timer(struct percpu *cpu, u32 reason)
{
	(void)reason;
	return nested_uses_timer(cpu);
}

/* ---- L0's part ---- */

/* A hypapp comes before L1, which gets the exit if the hypapp does not take the interrupt. */
static void l0_interrupt(struct percpu *cpu)
{
	u64 info = vmread(VMCS_EXIT_INTR_INFO);

	if (interrupt_offer(cpu, info & INTR_VALID, info & INTR_VECTOR) == NOT_TAKEN)
		nested_reflect_hardware(cpu, EXIT_EXTERNAL_INTR);
}

static void l0_interrupt_window(struct percpu *cpu)
{
	event_window(cpu, HYPAPI_EV_INTERRUPT_WINDOW);
	vmcs02_windows(cpu);
}

static void l0_nmi_window(struct percpu *cpu)
{
	event_window(cpu, HYPAPI_EV_NMI_WINDOW);
	vmcs02_nmi_window(cpu, false);
	cpu->work = 1;
}

/* CPUID and VMCALL in a hypapp's range are the chain's, all others L1's, untouched. */
static void l0_cpuid(struct percpu *cpu)
{
	if (event_cpuid(cpu, (u32)cpu->gpr[GPR_RAX]) == NOT_TAKEN)
		nested_reflect_hardware(cpu, EXIT_CPUID);
}

static void l0_vmcall(struct percpu *cpu)
{
	if (event_hypercall(cpu) == NOT_TAKEN)
		nested_reflect_hardware(cpu, EXIT_VMCALL);
}

/*
 * VMCS02 allows no VM function, so that each is an exit; without the control, or above 63, VMFUNC is #UD by the
 * hardware. What EPTP switching does not take is L1's exit (SDM vol. 3, "EPTP Switching").
 */
static void l0_vmfunc(struct percpu *cpu)
{
	struct vmcs12 *v = vmcs12_of(cpu);
	u64 index = (u32)cpu->gpr[GPR_RCX], eptp;

	if (!vmcs12_switches_eptp(v) || (u32)cpu->gpr[GPR_RAX] || index >= PAGE_SIZE / sizeof(eptp) ||
	    !ept01_read(GPA1(v->eptp_list_addr + index * sizeof(eptp)), &eptp, sizeof(eptp)) ||
	    !ept12_pointer_ok(&nested_caps, eptp)) {
		nested_reflect_hardware(cpu, EXIT_VMFUNC);
		return;
	}
	v->eptp = eptp;
	if (nested_caps.needs & BIT(NEED_VE))
		v->eptp_index = (u16)index;
	cpu->nested->current->unsaved = true;
	cpu->nested->missed.access = 0;
	nested_select_ept02(cpu);
	world_enter(cpu, cpu->world); /* on another EPT: who has that stopped waits for this CPU, or this CPU for him */
	vmx_skip_instruction();
	nested_report_root(cpu);
}

static const struct exit_row rows[EXIT_REASON_COUNT] = {
	[EXIT_EXCEPTION_NMI] = { wants_exception, exit_exception_nmi, HAS_QUAL | HAS_INTR | HAS_LEN },
	[EXIT_INIT] = { NULL, exit_init, 0 }, /* L1's, by vmx/work.c */
	[EXIT_EXTERNAL_INTR] = { wants_interrupt, l0_interrupt, HAS_INTR },
	[EXIT_INTR_WINDOW] = { wants_window, l0_interrupt_window, 0 },
	[EXIT_NMI_WINDOW] = { wants_window, l0_nmi_window, 0 },
	[EXIT_TASK_SWITCH] = { .has = HAS_QUAL | HAS_LEN },
	[EXIT_SIPI] = { .has = HAS_QUAL },
	[EXIT_CPUID] = { NULL, l0_cpuid, HAS_LEN },
	[EXIT_GETSEC] = { .has = HAS_LEN },
	[EXIT_HLT] = { .has = HAS_LEN },
	[EXIT_INVD] = { .has = HAS_LEN },
	[EXIT_INVLPG] = { .has = HAS_QUAL | HAS_LEN | HAS_GLA },
	[EXIT_RDPMC] = { .has = HAS_LEN },
	[EXIT_RDTSC] = { .has = HAS_LEN },
	[EXIT_RSM] = { .has = HAS_LEN },
	[EXIT_VMCALL] = { NULL, l0_vmcall, HAS_LEN },
	[EXIT_VMCLEAR] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_VMLAUNCH] = { .has = HAS_LEN },
	[EXIT_VMPTRLD] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_VMPTRST] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_VMREAD] = { nested_wants_vmcs_access, nested_vmcs_access, HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_VMRESUME] = { .has = HAS_LEN },
	[EXIT_VMWRITE] = { nested_wants_vmcs_access, nested_vmcs_access, HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_VMXOFF] = { .has = HAS_LEN },
	[EXIT_VMXON] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_CR_ACCESS] = { .has = HAS_QUAL | HAS_LEN | HAS_GLA },
	[EXIT_MOV_DR] = { .has = HAS_QUAL | HAS_LEN },
	[EXIT_IO] = { NULL, nested_io_exit, HAS_QUAL | HAS_LEN | HAS_INFO | HAS_GLA },
	[EXIT_RDMSR] = { NULL, nested_msr_exit, HAS_LEN },
	[EXIT_WRMSR] = { NULL, nested_msr_exit, HAS_LEN },
	[EXIT_MWAIT] = { .has = HAS_QUAL | HAS_LEN },
	[EXIT_MONITOR] = { .has = HAS_LEN },
	[EXIT_PAUSE] = { .has = HAS_LEN },
	[EXIT_APIC_ACCESS] = { .has = HAS_QUAL | HAS_LEN },
	[EXIT_GDTR_IDTR] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_LDTR_TR] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_EPT_VIOLATION] = { NULL, nested_ept_fault, HAS_QUAL | HAS_GLA | HAS_GPA },
	[EXIT_EPT_MISCONFIG] = { NULL, nested_ept_fault, HAS_GPA },
	[EXIT_INVEPT] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_RDTSCP] = { .has = HAS_LEN },
	[EXIT_PREEMPTION_TIMER] = { wants_timer, log_wait_timer, 0 },
	[EXIT_INVVPID] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_WBINVD] = { .has = HAS_LEN },
	[EXIT_XSETBV] = { .has = HAS_LEN },
	[EXIT_RDRAND] = { .has = HAS_LEN | HAS_INFO },
	[EXIT_INVPCID] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_VMFUNC] = { NULL, l0_vmfunc, HAS_LEN },
	[EXIT_RDSEED] = { .has = HAS_LEN | HAS_INFO },
	[EXIT_XSAVES] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
	[EXIT_XRSTORS] = { .has = HAS_QUAL | HAS_LEN | HAS_INFO },
};

/* ---- Exit 201 ---- */

/*
 * With NMI exiting and without virtual NMIs, L2's IRET does not end blocking by NMI (SDM vol. 3, "Changes to
 * Instruction Behavior in VMX Non-Root Operation"): an exit finds it as the entry left it. VMCS02 has virtual NMIs.
 */
static u32 interruptibility12(struct active_vmcs *a)
{
	u32 now = (u32)vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (!vmcs12_keeps_nmis_blocked(&a->vmcs12) || (now & INTERRUPTIBILITY_NMI))
		return now;
	a->unmerged |= GROUP(NONREG); /* VMCS02 says otherwise, and other controls may make that count */
	return now | INTERRUPTIBILITY_NMI;
}

/*
 * What L1's hypervisors look at after every exit; the rest of the guest state waits in VMCS02. Without PAE paging the
 * CPU saves no PDPTEs.
 */
static void save_guest_state(struct active_vmcs *a)
{
	struct vmcs12 *v = &a->vmcs12;

	v->guest_rip = vmread_row(VMCS_GUEST_RIP);
	v->guest_rsp = vmread_row(VMCS_GUEST_RSP);
	v->guest_rflags = vmread_row(VMCS_GUEST_RFLAGS);
	v->guest_cr0 = vmread_row(VMCS_GUEST_CR0);
	v->guest_cs_ar = (u32)vmread_row(VMCS_GUEST_CS_AR);
	v->guest_ss_ar = (u32)vmread_row(VMCS_GUEST_SS_AR);
	v->guest_interruptibility = interruptibility12(a);
	v->guest_activity = (u32)vmread_row(VMCS_GUEST_ACTIVITY);
	v->guest_pending_debug = vmread_row(VMCS_GUEST_PENDING_DEBUG);
	v->entry_ctls = (v->entry_ctls & ~(u32)ENTRYCTL_IA32E) | (u32)(vmread(VMCS_ENTRY_CTLS) & ENTRYCTL_IA32E);
	v->entry_intr_info &= ~(u32)INTR_VALID;
	if (v->exit_ctls & EXITCTL_SAVE_TIMER)
		v->preemption_timer = (u32)vmread(VMCS_PREEMPTION_TIMER);
	a->unread = v->entry_ctls & ENTRYCTL_IA32E ? GROUPS_LAZY & ~GROUP(PDPTE) : GROUPS_LAZY;
	a->unsaved = true;
}

/* NMIs are blocked for L1 after an NMI exit, and where L2 blocked them and had no virtual NMIs. */
static bool nmis_stay_blocked(const struct vmcs12 *v)
{
	if (v->exit_reason == EXIT_EXCEPTION_NMI && (v->exit_intr_info & INTR_TYPE) == INTR_TYPE_NMI)
		return true;
	return !(v->pin_ctls & PIN_VIRTUAL_NMIS) && (v->guest_interruptibility & INTERRUPTIBILITY_NMI);
}

void nested_reflect(struct percpu *cpu)
{
	struct active_vmcs *a = cpu->nested->current;
	struct vmcs12 *v = &a->vmcs12;
	u32 abort = 0;

	v->launched = 1;
	save_guest_state(a);
	if (unlikely(!(v->exit_ctls & EXITCTL_HOST_64) && (v->entry_ctls & ENTRYCTL_IA32E)))
		abort = VMX_ABORT_IA32E;
	struct l2_leftover l2 = { .cr0 = v->guest_cr0, .nmi_blocked = nmis_stay_blocked(v) };

	if (!(v->exit_ctls & EXITCTL_LOAD_EFER))
		l2.efer = vmread(VMCS_GUEST_EFER);
	if (!(v->exit_ctls & EXITCTL_LOAD_PAT))
		l2.pat = vmread(VMCS_GUEST_PAT);
	if (cpu->nested->nmi_window)
		vmcs02_nmi_window(cpu, false);
	if (unlikely(v->exit_reason == EXIT_EPT_MISCONFIG))
		nested_shadow_foresee(a);
	if (v->exit_msr_store_count && !abort &&
	    msr_area_store(cpu, v->exit_msr_store_addr, v->exit_msr_store_count))
		abort = VMX_ABORT_MSR_STORE;
	nested_shadow_publish(cpu, a);
	nested_to_l1(cpu);
	if (unlikely(v->exit_reason == EXIT_EPT_MISCONFIG))
		nested_shadow_widen(cpu, a);
	nested_resume_l1(cpu, &l2, abort, !a->own_vpid);
}

void nested_reflect_hardware(struct percpu *cpu, u32 reason)
{
	struct vmcs12 *v = nested_begin_exit(cpu, reason);
	u32 has = reason < EXIT_REASON_COUNT ? rows[reason].has : 0;

	if (has & HAS_LEN)
		v->exit_insn_len = (u32)vmread(VMCS_EXIT_INSN_LEN);
	if (has & HAS_QUAL)
		v->exit_qualification = vmread(VMCS_EXIT_QUALIFICATION);
	if (has & HAS_INFO)
		v->exit_insn_info = (u32)vmread(VMCS_EXIT_INSN_INFO);
	if (has & HAS_INTR) {
		v->exit_intr_info = (u32)vmread(VMCS_EXIT_INTR_INFO);
		if (v->exit_intr_info & INTR_ERROR_CODE)
			v->exit_intr_error = (u32)vmread(VMCS_EXIT_INTR_ERROR);
	}
	if (has & HAS_GLA)
		v->guest_linear_addr = vmread(VMCS_GUEST_LINEAR_ADDR);
	if (has & HAS_GPA)
		v->guest_phys_addr = vmread(VMCS_GUEST_PHYS_ADDR);
	nested_read_idt_info(v);
	nested_reflect(cpu);
}

/* ---- Exit 202 ---- */

/* Hypapps are told if L2 goes on: the exit may have become L1's after all, or a partition's call. */
static __attribute__((noinline)) void handle_and_tell(struct percpu *cpu, const struct exit_row *row, u32 reason)
{
	u64 qualification = row->has & HAS_QUAL ? vmread(VMCS_EXIT_QUALIFICATION) : 0;

	row->handle(cpu);
	if (cpu->world->mode == RUN_L2)
		event_tell(cpu, HYPAPI_EV_EXIT202, HYPAPI_L2,
			   EVENT_ARGS(exit, .reason = reason, .qualification = qualification));
}

void nested_exit(struct percpu *cpu, u32 reason)
{
	if (unlikely(reason & EXIT_REASON_ENTRY_FAILED)) {
		nested_entry_failed(cpu, reason & EXIT_REASON_BASIC, vmread(VMCS_EXIT_QUALIFICATION));
		return;
	}
	const struct exit_row *row = &rows[likely(reason < EXIT_REASON_COUNT) ? reason : EXIT_TRIPLE_FAULT];

	vmcs12_of(cpu)->launched = 1;
	if (!row->handle || (row->l1_wants && row->l1_wants(cpu, reason)))
		nested_reflect_hardware(cpu, reason);
	else if (unlikely(hypapps_subscribed(HYPAPI_EV_EXIT202, HYPAPI_L2)))
		handle_and_tell(cpu, row, reason);
	else
		row->handle(cpu);
}
