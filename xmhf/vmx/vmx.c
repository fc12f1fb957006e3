/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See vmx.h. What VMCS01 runs is L1 as it would run without us: only what protects the core or serves a claim exits. */
#include "vmx/vmx.h"

#include <hypapi/hypapp.h>

#include "cpu/speculation.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "nested/nested.h"
#include "report/log.h"
#include "vmx/exit.h"
#include "vmx/interrupts.h"

struct vmx_control_caps vmx_pin_caps, vmx_proc_caps, vmx_proc2_caps, vmx_exit_caps, vmx_entry_caps;
u64 vmx_basic, vmx_ept_vpid_cap;

extern const char vmx_exit_entry[], vmx_exit_guarded[];

#define PROC_WANTED (PROC_MSR_BITMAPS | PROC_IO_BITMAPS | PROC_SECONDARY)
#define PROC2_NEEDED (PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED)
/*
 * Without these controls the instructions that CPUID shows would be #UD in the guest. PCONFIG, which CPUID hides, is
 * #UD: it sets keys of memory that is the core's, too.
 */
#define PROC2_GUEST_INSNS (PROC2_RDTSCP | PROC2_INVPCID | PROC2_XSAVES | PROC2_USER_WAIT)

static const struct { const struct vmx_control_caps *caps; u64 bits; const char *what; } needed_controls[] = {
	{ &vmx_proc_caps, PROC_SECONDARY, "secondary processor-based controls" },
	{ &vmx_proc2_caps, PROC2_EPT, "extended page tables (EPT)" },
	{ &vmx_proc2_caps, PROC2_UNRESTRICTED, "unrestricted guest" },
	{ &vmx_proc2_caps, PROC2_VPID, "virtual-processor identifiers (VPID)" },
	{ &vmx_proc_caps, PROC_MSR_BITMAPS | PROC_IO_BITMAPS, "MSR and I/O bitmaps" },
	{ &vmx_pin_caps, VMX_PIN, "NMI exiting and virtual NMIs" },
	{ &vmx_exit_caps, VMX_EXIT, "64-bit host, and saving and loading of IA32_EFER and IA32_PAT" },
	{ &vmx_entry_caps, VMX_ENTRY, "loading of IA32_EFER and IA32_PAT at VM entry" },
};

static const struct { u64 bits; const char *what; } needed_ept[] = {
	{ EPTCAP_WALK_4, "EPT with a 4-level walk" },
	{ EPTCAP_WB, "EPT with write-back paging structures" },
	{ EPTCAP_2M, "EPT with 2 MiB pages" },
	{ EPTCAP_INVEPT | EPTCAP_INVEPT_ALL | EPTCAP_INVEPT_SINGLE, "INVEPT" },
	{ EPTCAP_INVVPID | EPTCAP_INVVPID_SINGLE | EPTCAP_INVVPID_ALL, "INVVPID" },
};

static struct vmx_control_caps read_caps(u32 msr)
{
	u64 value = rdmsr(msr);

	return (struct vmx_control_caps){ .must = (u32)value, .may = (u32)(value >> 32) };
}

static void check_feature_control(void)
{
	u64 value = rdmsr(MSR_IA32_FEATURE_CONTROL);

	if (!(value & FEATURE_CONTROL_LOCK))
		wrmsr(MSR_IA32_FEATURE_CONTROL, value | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
	else if (!(value & FEATURE_CONTROL_VMX))
		boot_refuse("the firmware has disabled VMX (IA32_FEATURE_CONTROL is locked at 0x%lx): switch on "
			    "virtualization (VT-x, VMX) in its menu, then power off and on", value);
}

static _Noreturn void lacks(const char *what)
{
	boot_refuse("this CPU lacks %s: XMHF needs a newer one, or, in a virtual machine, a host that has it", what);
}

void vmx_check_features(void)
{
	if (!(cpuid(1, 0).ecx & BIT(5)))
		boot_refuse("this CPU has no VMX: switch on virtualization (VT-x, VMX) in the firmware's menu, or, "
			    "for a virtual machine, nested virtualization on its host; old CPUs do not have it");
	check_feature_control();
	vmx_basic = rdmsr(MSR_IA32_VMX_BASIC);
	if (!(vmx_basic & VMX_BASIC_TRUE_CTLS))
		lacks("VMX true controls (IA32_VMX_BASIC bit 55)");
	vmx_pin_caps = read_caps(MSR_IA32_VMX_TRUE_PINBASED_CTLS);
	vmx_proc_caps = read_caps(MSR_IA32_VMX_TRUE_PROCBASED_CTLS);
	vmx_exit_caps = read_caps(MSR_IA32_VMX_TRUE_EXIT_CTLS);
	vmx_entry_caps = read_caps(MSR_IA32_VMX_TRUE_ENTRY_CTLS);
	if (vmx_proc_caps.may & PROC_SECONDARY)
		vmx_proc2_caps = read_caps(MSR_IA32_VMX_PROCBASED_CTLS2);
	for (size_t i = 0; i < ARRAY_SIZE(needed_controls); i++)
		if ((needed_controls[i].caps->may & needed_controls[i].bits) != (u32)needed_controls[i].bits)
			lacks(needed_controls[i].what);
	vmx_ept_vpid_cap = rdmsr(MSR_IA32_VMX_EPT_VPID_CAP);
	for (size_t i = 0; i < ARRAY_SIZE(needed_ept); i++)
		if ((vmx_ept_vpid_cap & needed_ept[i].bits) != needed_ept[i].bits)
			lacks(needed_ept[i].what);
}

u32 vmx_controls(const struct vmx_control_caps *caps, u64 wanted)
{
	return ((u32)wanted | caps->must) & caps->may;
}

bool vmx_is_on(void)
{
	return read_cr4() & CR4_VMXE && this_cpu()->world->vmcs.addr;
}

void vmx_field_failed(const char *insn, u32 field, u64 value)
{
	panic("%s of field 0x%x (value 0x%lx) failed", insn, field, value);
}

static const struct vmx_value host_state[] = {
	{ VMCS_HOST_CS_SEL, SEL_CODE }, { VMCS_HOST_SS_SEL, SEL_DATA }, { VMCS_HOST_DS_SEL, SEL_DATA },
	{ VMCS_HOST_ES_SEL, SEL_DATA }, { VMCS_HOST_FS_SEL, 0 }, { VMCS_HOST_GS_SEL, 0 }, { VMCS_HOST_TR_SEL, SEL_TSS },
	{ VMCS_HOST_FS_BASE, 0 }, { VMCS_HOST_SYSENTER_CS, 0 }, { VMCS_HOST_SYSENTER_ESP, 0 },
	{ VMCS_HOST_SYSENTER_EIP, 0 }, { VMCS_HOST_PAT, PAT_RESET }, { VMCS_HOST_EFER, EFER_LME | EFER_LMA | EFER_NXE },
};

void vmx_set_host_state(struct percpu *cpu)
{
	vmx_set_fields(host_state, ARRAY_SIZE(host_state));
	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_GS_BASE, (u64)cpu);
	vmwrite(VMCS_HOST_TR_BASE, (u64)cpu->tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (u64)cpu->gdt);
	vmwrite(VMCS_HOST_IDTR_BASE, traps_idt_base());
	vmwrite(VMCS_HOST_RSP, cpu->stack_top);
	vmwrite(VMCS_HOST_RIP, (u64)(speculation_guards_exits() ? vmx_exit_guarded : vmx_exit_entry));
}

static void set_controls(void)
{
	vmwrite(VMCS_PIN_CTLS, vmx_controls(&vmx_pin_caps, VMX_PIN | interrupts_pin));
	vmwrite(VMCS_PROC_CTLS, vmx_controls(&vmx_proc_caps, PROC_WANTED));
	vmwrite(VMCS_PROC2_CTLS, vmx_controls(&vmx_proc2_caps, PROC2_NEEDED | PROC2_GUEST_INSNS));
	vmwrite(VMCS_EXIT_CTLS, vmx_controls(&vmx_exit_caps, VMX_EXIT));
	vmwrite(VMCS_ENTRY_CTLS, vmx_controls(&vmx_entry_caps, VMX_ENTRY));
	vmwrite(VMCS_EXCEPTION_BITMAP, VMX_EXCEPTIONS);
	vmwrite(VMCS_CR0_MASK, VMX_CR0_MASK);
	vmwrite(VMCS_CR4_MASK, VMX_CR4_MASK);
	vmwrite(VMCS_MSR_BITMAP, virt_to_phys(vmx_msr_bitmap).addr);
	vmwrite(VMCS_IO_BITMAP_A, virt_to_phys(vmx_io_bitmaps).addr);
	vmwrite(VMCS_IO_BITMAP_B, virt_to_phys(vmx_io_bitmaps).addr + PAGE_SIZE);
	vmwrite(VMCS_VPID, VPID_L1);
	vmwrite(VMCS_LINK_POINTER, ~0ull);
}

void vmx_set_fields(const struct vmx_value *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		vmwrite(values[i].field, values[i].value);
}

static const u8 reset_rights[SEGMENT_COUNT] = {
	[SEGMENT_ES] = 0x93, [SEGMENT_CS] = 0x9b, [SEGMENT_SS ... SEGMENT_GS] = 0x93, [SEGMENT_LDTR] = 0x82,
	[SEGMENT_TR] = AR_TSS_BUSY,
};

/* Everything else of the guest state is zero after INIT. */
static const struct vmx_value reset_state[] = {
	{ VMCS_GUEST_CR0, CR0_ET | CR0_NE }, { VMCS_CR0_SHADOW, CR0_ET }, { VMCS_GUEST_CR3, 0 },
	{ VMCS_GUEST_CR4, CR4_VMXE }, { VMCS_CR4_SHADOW, 0 }, { VMCS_GUEST_EFER, 0 },
	{ VMCS_GUEST_GDTR_BASE, 0 }, { VMCS_GUEST_GDTR_LIMIT, 0xffff }, { VMCS_GUEST_IDTR_BASE, 0 },
	{ VMCS_GUEST_IDTR_LIMIT, 0xffff },
	{ VMCS_GUEST_RFLAGS, RFLAGS_FIXED1 }, { VMCS_GUEST_RSP, 0 }, { VMCS_GUEST_RIP, 0 }, { VMCS_GUEST_DR7, 0x400 },
	{ VMCS_GUEST_DEBUGCTL, 0 }, { VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE }, { VMCS_GUEST_INTERRUPTIBILITY, 0 },
	{ VMCS_GUEST_PENDING_DEBUG, 0 }, { VMCS_GUEST_SYSENTER_CS, 0 }, { VMCS_GUEST_SYSENTER_ESP, 0 },
	{ VMCS_GUEST_SYSENTER_EIP, 0 }, { VMCS_ENTRY_INTR_INFO, 0 },
};

void vmx_reset_guest(void)
{
	for (u32 i = 0; i < SEGMENT_COUNT; i++)
		vmx_set_segment(i, 0, 0, 0xffff, reset_rights[i]);
	vmx_set_fields(reset_state, ARRAY_SIZE(reset_state));
	vmwrite(VMCS_ENTRY_CTLS, vmx_controls(&vmx_entry_caps, VMX_ENTRY));
}

static void enable_vmx(void)
{
	u64 fixed0 = rdmsr(MSR_IA32_VMX_CR0_FIXED0), cr4 = read_cr4() | rdmsr(MSR_IA32_VMX_CR4_FIXED0) | CR4_VMXE;

	cr4 |= cpuid(1, 0).ecx & BIT(26) ? CR4_OSXSAVE : 0;
	cr4 |= cpuid(7, 0).ecx & BIT(3) ? CR4_PKE : 0; /* for RDPKRU; root has no user pages */
	write_cr0((read_cr0() | fixed0) & rdmsr(MSR_IA32_VMX_CR0_FIXED1));
	write_cr4(cr4 & rdmsr(MSR_IA32_VMX_CR4_FIXED1));
}

void vmx_start(struct percpu *cpu)
{
	u32 *region = pages_boot_alloc(1);
	hpa_t vmxon_region = virt_to_phys(region);

	enable_vmx();
	check_feature_control();
	region[0] = vmx_basic & VMX_BASIC_REVISION;
	if (!vmxon(&vmxon_region))
		panic("VMXON failed");
	world_init(&cpu->l1, RUN_L1);
	world_init(&cpu->partition.world, RUN_PARTITION);
	world_first(&cpu->l1);
	world_set_ept(&cpu->l1, ept01_pointer, QUIESCE_EPT01);
	vmx_set_host_state(cpu);
	set_controls();
	vmx_reset_guest();
	vmwrite(VMCS_GUEST_PAT, rdmsr(MSR_PAT));
	/* All that is cached under an EPT, for every VPID. Nothing of the core runs with a VPID and without EPT. */
	flush_ept(INVEPT_ALL, 0);
	nested_start(cpu);
}
