/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differential fuzzing leaves out, by name: where the emulator does not do what the manual says, what the manual
 * leaves open, and what would take the machine out of L1's hands. Each rule looks at what is the same on both machines
 * only: the VMCS and L2's registers.
 */
#include "diff.h"

static bool is_canonical(u64 address)
{
	return (u64)((int64_t)(address << 16) >> 16) == address;
}

static bool in_ia32e(void)
{
	return vmread(VMCS_ENTRY_CONTROLS) & ENTRYC_GUEST_64;
}

/* ---- L1 would not survive it, or L2 leave its pages ---- */

static bool leaves_its_fence(void)
{
	return !(vmread(VMCS_CPU_CONTROLS2) & CPU2_EPT) || !(vmread(VMCS_CPU_CONTROLS) & CPU_SECONDARY);
}

static bool reaches_devices(void)
{
	return !(vmread(VMCS_CPU_CONTROLS) & (CPU_IO_BITMAPS | CPU_IO));
}

static bool runs_for_ever(void)
{
	return !(vmread(VMCS_PIN_CONTROLS) & PIN_PREEMPTION_TIMER);
}

/* An entry of an exit's list that cannot be stored or loaded is a VMX abort: the end of the machine. */
static bool aborts_by_list(u64 address, u64 count)
{
	const struct msr_entry *entries = (const struct msr_entry *)address;

	if (address & 0xf || address >> 32)
		return false; /* the entry is refused */
	for (u64 i = 0; i < count; i++) {
		const u32 *msr = diff_msrs;

		while (*msr && *msr != entries[i].index)
			msr++;
		if (!*msr || entries[i].reserved)
			return true;
	}
	return false;
}

static bool aborts_at_exit(void)
{
	return aborts_by_list(vmread(VMCS_EXIT_MSR_STORE_ADDR), vmread(VMCS_EXIT_MSR_STORE_COUNT)) ||
	       aborts_by_list(vmread(VMCS_EXIT_MSR_LOAD_ADDR), vmread(VMCS_EXIT_MSR_LOAD_COUNT));
}

/* ---- What the manual leaves open ---- */

/*
 * Vol. 3, "Limit Checking": where the limit is that of 4 GiB, an access that goes beyond it may be a fault or not. An
 * operand of VMREAD or VMWRITE; 64-bit mode has no limits.
 */
static bool operand_beyond_4g(void)
{
	const u64 *regs = diff_world.v.regs;
	const u64 pointers[] = { regs[RBX], regs[RSI], regs[RDI] };

	for (u32 i = 0; i < ARRAY_SIZE(pointers); i++)
		if (diff_shadows() && !in_ia32e() && (u32)pointers[i] > 0xfffffffc)
			return true;
	return false;
}

/* ---- Bochs 2.7 ---- */

/* Vol. 3, "Checks on Guest RIP, RFLAGS, and SSP": not made for RIP. */
static bool rip_beyond_canonical(void)
{
	return !is_canonical(vmread(VMCS_GUEST_RIP)) || (vmread(VMCS_GUEST_RIP) >> 32 &&
		!(vmread(VMCS_GUEST_CS_RIGHTS) & 0x2000));
}

static bool debugctl_reserved(void)
{
	return vmread(VMCS_GUEST_DEBUGCTL) != 0;
}

static bool pending_debug_high(void)
{
	return vmread(VMCS_GUEST_PENDING_DEBUG) >> 13;
}

static bool ia32e_without_paging(void)
{
	return in_ia32e() && !(vmread(VMCS_GUEST_CR0) & CR0_PG);
}

static bool entry_to_smm(void)
{
	return vmread(VMCS_ENTRY_CONTROLS) & (ENTRYC_SMM | ENTRYC_DUAL_MONITOR);
}

/* MOV to CR0 clears what is fixed without unrestricted guest, and then no entry is possible. */
static bool cr0_not_fixed(void)
{
	return !(vmread(VMCS_CPU_CONTROLS2) & CPU2_UNRESTRICTED) &&
	       (vmread(VMCS_CR0_MASK) & (CR0_PE | CR0_PG)) != (CR0_PE | CR0_PG);
}

/* A fault or exit in the middle of an instruction finds the single step behind it pending already. */
static bool single_step(void)
{
	return vmread(VMCS_GUEST_RFLAGS) & 0x100;
}

/* Nothing but SIPI would end it, and a hypervisor may hide it. */
static bool waits_for_sipi(void)
{
	return vmread(VMCS_GUEST_ACTIVITY) == 3;
}

/* Vol. 3, "Checks on Guest Segment Registers": the DPL of SS, usable or not, is that of CS. */
static bool dpl_of_ss(void)
{
	return (vmread(VMCS_GUEST_CS_RIGHTS) ^ vmread(VMCS_GUEST_SS_RIGHTS)) & 0x60;
}

/* Vol. 3, "Checks on Guest Non-Register State": not made for virtual NMIs. */
static bool nmi_into_blocking(void)
{
	return (vmread(VMCS_ENTRY_INTR_INFO) & (INTR_VALID | 0x700)) == (INTR_VALID | INTR_NMI) &&
	       (vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCK_NMI);
}

/*
 * Looked at even where the guest is unrestricted; the manual knows no such check. A refusal by the CPU of what XMHF has
 * found valid comes after L1's MSR list was loaded.
 */
static bool rpl_of_cs(void)
{
	u64 rights = vmread(VMCS_GUEST_CS_RIGHTS), rpl = vmread(VMCS_GUEST_CS_SEL) & 3, dpl = rights >> 5 & 3;

	if ((vmread(VMCS_GUEST_RFLAGS) & BIT(17)) || !(rights & 8))
		return false;
	return rights & 4 ? rpl < dpl : rpl != dpl;
}

/* Vol. 3, "Checks on Guest Non-Register State": which events may be injected into HLT and shutdown; not looked at. */
static bool event_into_sleep(void)
{
	u64 activity = vmread(VMCS_GUEST_ACTIVITY), info = vmread(VMCS_ENTRY_INTR_INFO), event = info & 0x7ff;
	bool allowed = (event & 0x700) == INTR_NMI || event == (INTR_HARD | VEC_MC);

	if (activity == 1)
		allowed |= (event & 0x700) == INTR_EXTERNAL || event == (INTR_HARD | VEC_DB);
	return (info & INTR_VALID) && (activity == 1 || activity == 2) && !allowed;
}

/* Vol. 3, "Checks on Guest RIP, RFLAGS, and SSP": VM is 0 where CR0.PE is; not looked at. */
static bool v86_without_protection(void)
{
	return (vmread(VMCS_GUEST_RFLAGS) & BIT(17)) && !(vmread(VMCS_GUEST_CR0) & CR0_PE);
}

/* Vol. 3, "VM-Entry Controls for Event Injection": type 7 is reserved without a monitor trap flag; not looked at. */
static bool other_event(void)
{
	return (vmread(VMCS_ENTRY_INTR_INFO) & (INTR_VALID | 0x700)) == (INTR_VALID | 0x700) &&
	       !(rdmsr(MSR_VMX_TRUE_CPU) >> 32 & BIT(27));
}

/*
 * Vol. 3, "Vectored-Event Injection": RIP behind a software event counts 32 bits; carried into bit 32, and a handler
 * then begins above 4 GiB, which shows where it causes an exit at once.
 */
static bool software_event_at_4g(void)
{
	u64 info = vmread(VMCS_ENTRY_INTR_INFO), rip = vmread(VMCS_GUEST_RIP);

	return (info & INTR_VALID) && (info & 0x700) >= INTR_SOFT_INT && !in_ia32e() &&
	       (rip + vmread(VMCS_ENTRY_INSN_LENGTH)) >> 32;
}

static bool smm_blocking(void)
{
	return vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCK_SMI;
}

/* Vol. 3, "Page-Modification Logging": the index counts where a flag has to be set; Bochs looks at it at each walk. */
static bool full_log(void)
{
	bool has_flags = (vmread(VMCS_EPTP) & EPTP_AD) || (vmread(VMCS_CPU_CONTROLS2) & CPU2_VMFUNC);

	return (vmread(VMCS_CPU_CONTROLS2) & CPU2_PML) && has_flags && vmread(PML_INDEX) > 511;
}

static const struct { const char *name; bool (*excludes)(void); } rules[] = {
	{ "L2 leaves its fence", leaves_its_fence },
	{ "L2 reaches devices", reaches_devices },
	{ "L2 runs for ever", runs_for_ever },
	{ "L2 waits for SIPI", waits_for_sipi },
	{ "VMX abort by an exit's list", aborts_at_exit },
	{ "operand beyond 4 GiB", operand_beyond_4g },
	{ "Bochs: RIP is not canonical", rip_beyond_canonical },
	{ "Bochs: DEBUGCTL", debugctl_reserved },
	{ "Bochs: pending debug exceptions, bits 63:13", pending_debug_high },
	{ "Bochs: IA-32e mode without paging", ia32e_without_paging },
	{ "Bochs: entry to SMM", entry_to_smm },
	{ "Bochs: fixed bits of CR0", cr0_not_fixed },
	{ "Bochs: single step", single_step },
	{ "Bochs: DPL of SS", dpl_of_ss },
	{ "Bochs: NMI while NMIs are blocked", nmi_into_blocking },
	{ "Bochs: RPL of CS", rpl_of_cs },
	{ "Bochs: event into HLT or shutdown", event_into_sleep },
	{ "Bochs: virtual-8086 mode without protection", v86_without_protection },
	{ "Bochs: type 7 without a monitor trap flag", other_event },
	{ "Bochs: software event at 4 GiB", software_event_at_4g },
	{ "Bochs: blocking by SMI", smm_blocking },
	{ "Bochs: full log", full_log },
};

const char *diff_excluded(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].excludes())
			return rules[i].name;
	return NULL;
}

u64 diff_ignored(u32 field, u32 reason)
{
	/* The manual: RFLAGS as the fault would have pushed them. Bochs saves RF as it was. */
	if (field == VMCS_GUEST_RFLAGS && (reason == EXIT_EXCEPTION_NMI || reason == EXIT_EPT_VIOLATION ||
					   reason == EXIT_EPT_MISCONFIG || reason == EXIT_PML_FULL))
		return BIT(16);
	return 0;
}

/* The only load is one that fails, so that L2 does not run where nothing but the link pointer was wrong. */
bool diff_order_is_free(void)
{
	struct msr_entry *bad = diff_world.lists + 24;
	struct vm_exit told = diff_world.v.exit;
	const u32 bad_state = EXIT_BAD_GUEST_STATE | EXIT_ENTRY_FAILED;
	bool fails;

	if (told.reason != bad_state || vmread(VMCS_LINK_POINTER) == ~0ull)
		return false;
	bad->index = 0xc0000100;
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, (u64)bad);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
	vmwrite(VMCS_LINK_POINTER, ~0ull);
	fails = hv_run(&diff_world.v) == VMX_OK && diff_world.v.exit.reason == bad_state;
	diff_world.v.exit = told;
	return fails;
}
