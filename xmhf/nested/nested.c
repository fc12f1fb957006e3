/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start and end of nested VMX, and what raises events in L2 from outside: see nested.h. */
#include "nested/nested.h"

#include "core/cmdline.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "events/hypapps.h"
#include "mem/pages.h"
#include "mem/phys_bits.h"
#include "nested/state.h"
#include "power/power.h"
#include "report/log.h"
#include "vmx/vmx.h"

struct nested_caps nested_caps;
static bool enabled;
static u32 ept02_pages = EPT02_PAGES; /* of each CPU */

/* ---- Boot ---- */

static u64 used_bytes(void)
{
	return ALIGN_UP(ept02_pages * sizeof(struct ept02_used), PAGE_SIZE);
}

u64 nested_plan(void)
{
	ept02_pages = (u32)MAX(cmdline_number("ept02-pages", EPT02_PAGES, EPT02_PAGES_MAX), (u64)EPT02_PAGES_MIN);
	return ept02_pages * PAGE_SIZE + used_bytes();
}

static void read_hardware(struct nested_hw *hw)
{
	u32 widths = cpuid(0x80000008, 0).eax;

	*hw = (struct nested_hw){ .phys_bits = (u8)phys_bits(), .linear_bits = (u8)(widths >> 8),
				  .efer_valid = EFER_SCE };
	for (u32 i = 0; i < NESTED_MSR_COUNT; i++)
		if (!rdmsr_safe(NESTED_MSR_FIRST + i, &hw->msr[i]))
			hw->msr[i] = 0;
	if (hw->linear_bits > 48 && !(cpuid(7, 0).ecx & BIT(16)))
		hw->linear_bits = 48;
	u32 features = cpuid(0x80000001, 0).edx;

	hw->efer_valid = (features & BIT(11) ? EFER_SCE : 0) | (features & BIT(29) ? EFER_LME | EFER_LMA : 0) |
			 (features & BIT(20) ? EFER_NXE : 0);
	hw->debugctl_valid = DEBUGCTL_VALID;
	hw->rtm = cpuid(7, 0).ebx & BIT(11);
}

void nested_init(void)
{
	struct nested_hw hw;

	enabled = !cmdline_is("nested", "off");
	if (!enabled)
		return;
	read_hardware(&hw);
	nested_caps_compute(&nested_caps, &hw);
	vmcs12_init(nested_caps.needs);
	nested_entry_init();
}

bool nested_enabled(void)
{
	return enabled;
}

void nested_start(struct percpu *cpu)
{
	if (!enabled)
		return;
	struct nested_cpu *n = pages_boot_alloc(ALIGN_UP(sizeof(*n), PAGE_SIZE) / PAGE_SIZE);

	n->msrs.bitmap = pages_boot_alloc(1);
	n->ports.bitmap = pages_boot_alloc(2);
	n->scratch_page = pages_boot_alloc(1);
	__builtin_memset(n->msrs.bitmap, 0xff, PAGE_SIZE);
	__builtin_memset(n->ports.bitmap, 0xff, 2 * PAGE_SIZE);
	__builtin_memset(n->scratch_page, 0xff, PAGE_SIZE); /* as an empty bus, and as the checks judge it */
	ept02_init(&n->ept02, pages_boot_alloc(ept02_pages), pages_boot_alloc(used_bytes() / PAGE_SIZE), ept02_pages);
	cpu->nested = n;
	for (u32 i = 0; i < ACTIVE_VMCSS; i++) {
		n->active[i].gpa1 = NO_VMCS;
		n->active[i].unmerged = GROUPS_MERGED;
		vmcs02_init(cpu, &n->active[i]);
	}
	nested_load_vmcs01(cpu);
	nested_shadow_init(cpu);
}

/* ---- Life ---- */

void nested_load_vmcs01(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;

	/* L1's VMREADs look for it in memory (SDM vol. 3, "VMCS Types: Ordinary and Shadow"). */
	if (n && n->open_shadow && !vmclear(&n->open_shadow->vmcs))
		panic("VMCLEAR of a shadow VMCS failed");
	if (n)
		n->open_shadow = NULL;
	world_load(cpu, &cpu->l1);
}

/*
 * In VMX operation L1 cannot clear PE, PG or NE: MOV to CR0 exits then, and vmx/exit.c answers #GP. VMCS01 is current.
 */
void nested_fix_cr0(bool fixed)
{
	u64 mask = VMX_CR0_MASK | (fixed ? NESTED_CAP(&nested_caps, CR0_FIXED0) : 0);

	vmwrite(VMCS_CR0_MASK, mask);
	vmwrite(VMCS_CR0_SHADOW, vmread(VMCS_CR0_SHADOW) | (fixed ? mask : 0));
}

void nested_teardown(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	bool in_vmx = nested_in_vmx(cpu);

	if (in_vmx)
		nested_deactivate_all(cpu);
	nested_to_l1(cpu);
	if (!in_vmx)
		return;
	nested_fix_cr0(false);
	n->in_vmx = n->nmi_window = n->init_held = false;
	n->reported_eptp12 = 0;
	nested_close_all(&n->msrs);
	nested_close_all(&n->ports);
	nested_shadow_link(cpu);
	nested_shadow_enable(cpu, false);
}

bool nested_in_vmx(const struct percpu *cpu)
{
	return cpu->nested && cpu->nested->in_vmx;
}

bool nested_read_msr(u32 msr, u64 *value)
{
	return enabled && nested_caps_rdmsr(&nested_caps, msr, value);
}

/* A shutdown of the CPU, which the machine answers like a triple fault. */
void nested_abort(struct percpu *cpu, u32 indicator)
{
	log_error("CPU %u: L1's exit from L2 ends in VMX abort %u", cpu->index, indicator);
	nested_teardown(cpu);
	power_triple_fault(cpu);
}

bool nested_entry_refused(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;

	if (cpu->world->mode != RUN_L2)
		return false;
	u32 error = (u32)vmread(VMCS_INSN_ERROR);

	log_limited(LOG_ERROR, "CPU %u: VMCS02 refused with error %u, which the checks let through", cpu->index, error);
	nested_to_l1(cpu);
	n->current->unmerged = GROUPS_MERGED;
	nested_end_insn(cpu, error == VMXERR_BAD_HOST ? VMXERR_BAD_HOST : VMXERR_BAD_CONTROLS);
	return true;
}

void nested_work(struct percpu *cpu)
{
	if (!cpu->nested->pool_emptied)
		return;
	cpu->nested->pool_emptied = false;
	event_tell(cpu, HYPAPI_EV_EPT02_FLUSH, HYPAPI_L2, EVENT_ARGS(ept02_flush, .cause = HYPAPI_FLUSH_POOL));
}

u64 nested_tsc_offset(const struct percpu *cpu)
{
	const struct vmcs12 *v = vmcs12_of(cpu);

	return v->proc_ctls & PROC_TSC_OFFSETTING ? v->tsc_offset : 0;
}

/* ---- Events for L2 ---- */

/*
 * An exit in place of an entry: an event that this was to deliver is told with the exit, so that it is not lost, and
 * taken out of VMCS02, so that the next entry does not deliver it unasked.
 */
static void reflect_undelivered(struct percpu *cpu, u32 reason, u32 intr_info)
{
	struct vmcs12 *v = nested_begin_exit(cpu, reason);

	v->exit_intr_info = intr_info;
	v->idt_info = (u32)vmread(VMCS_ENTRY_INTR_INFO);
	if (v->idt_info & INTR_VALID) {
		v->idt_error = (u32)vmread(VMCS_ENTRY_ERROR_CODE);
		v->exit_insn_len = (u32)vmread(VMCS_ENTRY_INSN_LEN);
		vmwrite(VMCS_ENTRY_INTR_INFO, 0);
	}
	nested_reflect(cpu);
}

/* A hypapp's, or L1's by an exit, or L2's. The next one is looked at anew where nothing has become of L2. */
static void deliver_nmi(struct percpu *cpu, bool exits)
{
	const u32 info = INTR_VALID | INTR_TYPE_NMI | VEC_NMI;
	bool taken = event_nmi(cpu) == TAKEN;

	bool more = __atomic_sub_fetch(&cpu->guest_nmis, 1, __ATOMIC_RELAXED);

	if (taken) {
		cpu->work |= more;
	} else if (exits) {
		reflect_undelivered(cpu, EXIT_EXCEPTION_NMI, info);
	} else {
		vmwrite(VMCS_ENTRY_INTR_INFO, info);
		vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
		if (more)
			vmcs02_nmi_window(cpu, true);
	}
}

/* L2's blocking of virtual NMIs, now or once the event of this entry is delivered. */
static bool blocks_virtual_nmis(u64 interruptibility, u64 event)
{
	return (interruptibility & INTERRUPTIBILITY_NMI) ||
	       (event & (INTR_VALID | INTR_TYPE)) == (INTR_VALID | INTR_TYPE_NMI);
}

/*
 * With NMI exiting L1 gets an exit at the next instruction boundary; with virtual NMIs not even NMI blocking of L2
 * holds it back. Without, the NMI is L2's own. What has to wait waits for the NMI window, which opens after event
 * delivery and the shadow of STI or MOV SS. Where L2 blocks virtual NMIs the window stays shut until its IRET: there
 * the exit comes at once.
 */
void nested_pending_nmi(struct percpu *cpu)
{
	u32 pin12 = vmcs12_of(cpu)->pin_ctls;
	u64 now = vmread(VMCS_GUEST_INTERRUPTIBILITY), event = vmread(VMCS_ENTRY_INTR_INFO);

	if (vmcs12_keeps_nmis_blocked(vmcs12_of(cpu)))
		return; /* L1's exit sees to it */
	bool waits = (now & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)) || (event & INTR_VALID);

	if (pin12 & PIN_VIRTUAL_NMIS) {
		waits &= !blocks_virtual_nmis(now, event);
	} else if (now & INTERRUPTIBILITY_NMI) {
		cpu->guest_nmis = 1; /* a bare CPU keeps no more for later */
		waits = true;
	}
	if (waits)
		vmcs02_nmi_window(cpu, true);
	else
		deliver_nmi(cpu, pin12 & PIN_NMI_EXITING);
}

/*
 * With the event whose delivery it ends; but #DF stands for that, too (SDM vol. 3, "Information for VM Exits That Occur
 * During Event Delivery").
 */
static void reflect_exception(struct percpu *cpu, unsigned int vector, bool has_error, u32 error_code, gva_t cr2)
{
	struct vmcs12 *v = nested_begin_exit(cpu, EXIT_EXCEPTION_NMI);

	v->exit_qualification = vector == VEC_PF ? cr2.addr : 0;
	v->exit_intr_info = INTR_VALID | INTR_TYPE_HW_EXCEPTION | vector | (has_error ? (u32)INTR_ERROR_CODE : 0);
	v->exit_intr_error = has_error ? error_code : 0;
	if (vector != VEC_DF)
		nested_read_idt_info(v);
	vmx_save_as_fault(vector);
	nested_reflect(cpu);
}

void nested_inject(struct percpu *cpu, unsigned int vector, u32 error_code, gva_t cr2)
{
	const struct vmcs12 *v = vmcs12_of(cpu);
	bool wanted = v->exception_bitmap >> vector & 1, has_error = vector != VEC_UD;

	/* Page faults are asked for by error code (SDM vol. 3, "Exception Bitmap"). */
	if (vector == VEC_PF && (error_code & v->pf_error_mask) != v->pf_error_match)
		wanted = !wanted;
	if (!wanted && vector == VEC_PF)
		vmx_inject_pf(cr2, error_code);
	else if (!wanted)
		vmx_inject(vector, error_code);
	else
		reflect_exception(cpu, vector, has_error, error_code, cr2);
}

void nested_hold_init(struct percpu *cpu)
{
	cpu->nested->init_held = true;
}

void nested_reflect_init(struct percpu *cpu)
{
	reflect_undelivered(cpu, EXIT_INIT, 0);
}

void nested_reflect_triple_fault(struct percpu *cpu)
{
	nested_begin_exit(cpu, EXIT_TRIPLE_FAULT);
	nested_reflect(cpu);
}
