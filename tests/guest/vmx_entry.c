/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM entries that must fail, and how: bad controls give VMfail 7, bad host state VMfail 8, bad guest state exit 33, a
 * bad MSR in the load list exit 34 (vmx_msr_lists.c). One row damages one field of a good VMCS. After each row L1 must
 * be as it was, and the mended VMCS must run. The bare run is the oracle. Left out, because Bochs 2.7 does not do what
 * the SDM says: "entry to SMM" outside SMM, CR0.PG = 0 in IA-32e mode, reserved bits of DEBUGCTL, a RIP that is not
 * canonical (all accepted or reported as another failure). INT n of length 0 is allowed or not by a capability bit that
 * a hypervisor may hide.
 */
#include "test.h"

enum op { SET, ADD, DROP };	/* replace the field, set bits, clear bits */

struct damage { u16 field; u8 op; u64 value; };

struct row {
	const char *what;
	struct damage damage[3];
	enum hv_mode mode;
};

#define WIDE BIT(51)		/* above MAXPHYADDR of any CPU so far */
#define BAD_VA BIT(63)
#define EVENT(v) INTR_VALID | (v)

static const struct row control_rows[] = {
	{ "pin controls 0", { { VMCS_PIN_CONTROLS, SET, 0 } }, 0 },
	{ "pin controls, reserved bit", { { VMCS_PIN_CONTROLS, ADD, BIT(31) } }, 0 },
	{ "processor controls 0", { { VMCS_CPU_CONTROLS, SET, 0 } }, 0 },
	{ "processor controls, reserved bit", { { VMCS_CPU_CONTROLS, ADD, BIT(0) } }, 0 },
	{ "secondary controls, reserved bit", { { VMCS_CPU_CONTROLS2, ADD, BIT(31) } }, 0 },
	{ "exit controls 0", { { VMCS_EXIT_CONTROLS, SET, 0 } }, 0 },
	{ "exit controls, reserved bit", { { VMCS_EXIT_CONTROLS, ADD, BIT(31) } }, 0 },
	{ "entry controls 0", { { VMCS_ENTRY_CONTROLS, SET, 0 } }, 0 },
	{ "entry controls, reserved bit", { { VMCS_ENTRY_CONTROLS, ADD, BIT(31) } }, 0 },
	{ "deactivate dual-monitor treatment", { { VMCS_ENTRY_CONTROLS, ADD, ENTRYC_DUAL_MONITOR } }, 0 },
	{ "CR3 targets: 5", { { VMCS_CR3_TARGET_COUNT, SET, 5 } }, 0 },
	{ "CR3 targets: 4", { { VMCS_CR3_TARGET_COUNT, SET, 4 } }, 0 },
	{ "I/O bitmap A unaligned", { { VMCS_IO_BITMAP_A, ADD, 1 } }, 0 },
	{ "I/O bitmap A too wide", { { VMCS_IO_BITMAP_A, ADD, WIDE } }, 0 },
	{ "I/O bitmap B unaligned", { { VMCS_IO_BITMAP_B, ADD, 0x800 } }, 0 },
	{ "I/O bitmap B too wide", { { VMCS_IO_BITMAP_B, ADD, WIDE } }, 0 },
	{ "I/O bitmaps bad but not used", { { VMCS_CPU_CONTROLS, DROP, CPU_IO_BITMAPS },
	  { VMCS_IO_BITMAP_A, SET, ~0ull },
					    { VMCS_IO_BITMAP_B, SET, ~0ull } }, 0 },
	{ "MSR bitmap unaligned", { { VMCS_MSR_BITMAP, ADD, 8 } }, 0 },
	{ "MSR bitmap too wide", { { VMCS_MSR_BITMAP, ADD, WIDE } }, 0 },
	{ "MSR bitmap bad but not used", { { VMCS_CPU_CONTROLS, DROP, CPU_MSR_BITMAP },
	  { VMCS_MSR_BITMAP, SET, ~0ull } }, 0 },
	{ "virtual NMIs without NMI exiting", { { VMCS_PIN_CONTROLS, ADD, PIN_VIRTUAL_NMI } }, 0 },
	{ "NMI window without virtual NMIs", { { VMCS_CPU_CONTROLS, ADD, CPU_NMI_WINDOW } }, 0 },
	{ "VPID 0", { { VMCS_VPID, DROP, 0xffff } }, 0 },
	{ "VPID 0, VPID off", { { VMCS_VPID, DROP, 0xffff }, { VMCS_CPU_CONTROLS2, DROP, CPU2_VPID } }, 0 },
	{ "EPTP memory type 3", { { VMCS_EPTP, DROP, 7 }, { VMCS_EPTP, ADD, 3 } }, 0 },
	{ "EPTP 3 levels", { { VMCS_EPTP, DROP, 8 } }, 0 },
	{ "EPTP reserved bit 8", { { VMCS_EPTP, ADD, BIT(8) } }, 0 },
	{ "EPTP reserved bit 11", { { VMCS_EPTP, ADD, BIT(11) } }, 0 },
	{ "EPTP too wide", { { VMCS_EPTP, ADD, WIDE } }, 0 },
	{ "unrestricted guest without EPT", { { VMCS_CPU_CONTROLS2, DROP, CPU2_EPT } }, 0 },
	{ "no EPT, no unrestricted guest", { { VMCS_CPU_CONTROLS2, DROP, CPU2_EPT | CPU2_UNRESTRICTED } }, 0 },
	{ "save preemption timer without the timer", { { VMCS_EXIT_CONTROLS, ADD, EXITC_SAVE_TIMER } }, 0 },
	{ "TPR shadow, page unaligned", { { VMCS_CPU_CONTROLS, ADD, CPU_TPR_SHADOW },
	  { VMCS_VIRTUAL_APIC_ADDR, SET, 0x1000001 } }, 0 },
	{ "TPR shadow, page too wide", { { VMCS_CPU_CONTROLS, ADD, CPU_TPR_SHADOW },
	  { VMCS_VIRTUAL_APIC_ADDR, SET, WIDE } }, 0 },
	{ "TPR threshold reserved bits", { { VMCS_CPU_CONTROLS, ADD, CPU_TPR_SHADOW },
	  { VMCS_VIRTUAL_APIC_ADDR, SET, 0x2fff000 },
					   { VMCS_TPR_THRESHOLD, SET, 0x10 } }, 0 },
	{ "x2APIC mode without TPR shadow", { { VMCS_CPU_CONTROLS2, ADD, CPU2_X2APIC } }, 0 },
	{ "exit MSR-store list unaligned", { { VMCS_EXIT_MSR_STORE_COUNT, SET, 1 },
	  { VMCS_EXIT_MSR_STORE_ADDR, SET, 0x1000008 } }, 0 },
	{ "exit MSR-store list too wide", { { VMCS_EXIT_MSR_STORE_COUNT, SET, 1 },
	  { VMCS_EXIT_MSR_STORE_ADDR, SET, WIDE } }, 0 },
	{ "exit MSR-load list unaligned", { { VMCS_EXIT_MSR_LOAD_COUNT, SET, 1 },
	  { VMCS_EXIT_MSR_LOAD_ADDR, SET, 0x1000004 } }, 0 },
	{ "exit MSR-load list too wide", { { VMCS_EXIT_MSR_LOAD_COUNT, SET, 1 },
	  { VMCS_EXIT_MSR_LOAD_ADDR, SET, WIDE } }, 0 },
	{ "entry MSR-load list unaligned", { { VMCS_ENTRY_MSR_LOAD_COUNT, SET, 1 },
	  { VMCS_ENTRY_MSR_LOAD_ADDR, SET, 1 } }, 0 },
	{ "entry MSR-load list too wide", { { VMCS_ENTRY_MSR_LOAD_COUNT, SET, 1 },
	  { VMCS_ENTRY_MSR_LOAD_ADDR, SET, WIDE } }, 0 },
	{ "MSR lists bad but empty", { { VMCS_EXIT_MSR_STORE_ADDR, SET, ~0ull },
	  { VMCS_EXIT_MSR_LOAD_ADDR, SET, ~0ull },
				       { VMCS_ENTRY_MSR_LOAD_ADDR, SET, ~0ull } }, 0 },
	{ "event of type 1", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(1 << 8 | 3) } }, 0 },
	{ "NMI with vector 3", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_NMI | 3) } }, 0 },
	{ "exception with vector 32", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | 32) } }, 0 },
	{ "#GP without error code", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | 13) } }, 0 },
	{ "#UD with error code", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | INTR_ERROR | 6) } }, 0 },
	{ "interrupt with error code", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_EXTERNAL | INTR_ERROR | 32) },
					 { VMCS_GUEST_RFLAGS, ADD, 0x200 } }, 0 },
	{ "event, reserved bit", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | BIT(13) | 6) } }, 0 },
	{ "error code with high bits", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | INTR_ERROR | 13) },
					 { VMCS_ENTRY_ERROR_CODE, SET, 0x10000 } }, 0 },
	{ "INT n of length 16", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_SOFT_INT | 0x42) },
	  { VMCS_ENTRY_INSN_LENGTH, SET, 16 } }, 0 },
	{ "#GP with error code in real mode", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | INTR_ERROR | 13) } },
	  HV_REAL16 },
	{ "#GP with error code, PE 0, no unrestricted guest",
	  { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | INTR_ERROR | 13) },
	    { VMCS_CPU_CONTROLS2, DROP, CPU2_UNRESTRICTED } }, HV_REAL16 },
	{ "#GP without error code, PE 0, no unrestricted guest",
	  { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | 13) }, { VMCS_CPU_CONTROLS2, DROP, CPU2_UNRESTRICTED } },
	  HV_REAL16 },
	{ "event bad but not valid", { { VMCS_ENTRY_INTR_INFO, SET, 0x7fffffff } }, 0 },
};

static const struct row host_rows[] = {
	{ "host CR0.PE = 0", { { VMCS_HOST_CR0, DROP, CR0_PE } }, 0 },
	{ "host CR0.PG = 0", { { VMCS_HOST_CR0, DROP, CR0_PG } }, 0 },
	{ "host CR0.NE = 0", { { VMCS_HOST_CR0, DROP, CR0_NE } }, 0 },
	{ "host CR4.VMXE = 0", { { VMCS_HOST_CR4, DROP, CR4_VMXE } }, 0 },
	{ "host CR4.PAE = 0", { { VMCS_HOST_CR4, DROP, CR4_PAE } }, 0 },
	{ "host CR4 reserved bit", { { VMCS_HOST_CR4, ADD, BIT(31) } }, 0 },
	{ "host CR3 too wide", { { VMCS_HOST_CR3, ADD, WIDE } }, 0 },
	{ "host SYSENTER_ESP", { { VMCS_HOST_SYSENTER_ESP, SET, BAD_VA } }, 0 },
	{ "host SYSENTER_EIP", { { VMCS_HOST_SYSENTER_EIP, SET, BAD_VA } }, 0 },
	{ "host PAT type 2", { { VMCS_HOST_PAT, SET, 2 } }, 0 },
	{ "host PAT type 8", { { VMCS_HOST_PAT, SET, 8ull << 56 } }, 0 },
	{ "host EFER.LMA = 0", { { VMCS_HOST_EFER, DROP, EFER_LMA } }, 0 },
	{ "host EFER.LME = 0", { { VMCS_HOST_EFER, DROP, EFER_LME } }, 0 },
	{ "host EFER reserved bit", { { VMCS_HOST_EFER, ADD, BIT(1) } }, 0 },
	{ "32-bit host", { { VMCS_EXIT_CONTROLS, DROP, EXITC_HOST_64 } }, 0 },
	{ "host ES selector, RPL 3", { { VMCS_HOST_ES_SEL, ADD, 3 } }, 0 },
	{ "host CS selector, TI", { { VMCS_HOST_CS_SEL, ADD, 4 } }, 0 },
	{ "host SS selector, RPL 1", { { VMCS_HOST_SS_SEL, ADD, 1 } }, 0 },
	{ "host DS selector, TI", { { VMCS_HOST_DS_SEL, ADD, 4 } }, 0 },
	{ "host FS selector, RPL 3", { { VMCS_HOST_FS_SEL, ADD, 3 } }, 0 },
	{ "host GS selector, TI", { { VMCS_HOST_GS_SEL, ADD, 4 } }, 0 },
	{ "host TR selector, RPL 2", { { VMCS_HOST_TR_SEL, ADD, 2 } }, 0 },
	{ "host CS selector 0", { { VMCS_HOST_CS_SEL, SET, 0 } }, 0 },
	{ "host TR selector 0", { { VMCS_HOST_TR_SEL, SET, 0 } }, 0 },
	{ "host FS base", { { VMCS_HOST_FS_BASE, SET, BAD_VA } }, 0 },
	{ "host GS base", { { VMCS_HOST_GS_BASE, SET, BAD_VA } }, 0 },
	{ "host TR base", { { VMCS_HOST_TR_BASE, SET, BAD_VA } }, 0 },
	{ "host GDTR base", { { VMCS_HOST_GDTR_BASE, SET, BAD_VA } }, 0 },
	{ "host IDTR base", { { VMCS_HOST_IDTR_BASE, SET, BAD_VA } }, 0 },
	{ "host RIP", { { VMCS_HOST_RIP, SET, BAD_VA } }, 0 },
	{ "host and guest bad: host first", { { VMCS_HOST_CS_SEL, SET, 0 }, { VMCS_GUEST_RFLAGS, SET, 0 } }, 0 },
	{ "control and host bad: control first", { { VMCS_VPID, DROP, 0xffff }, { VMCS_HOST_CS_SEL, SET, 0 } }, 0 },
};

static const struct row guest_rows[] = {
	{ "CR0.PG without PE", { { VMCS_GUEST_CR0, DROP, CR0_PE } }, 0 },
	{ "CR0.NE = 0", { { VMCS_GUEST_CR0, DROP, CR0_NE } }, 0 },
	{ "CR4.VMXE = 0", { { VMCS_GUEST_CR4, DROP, CR4_VMXE } }, 0 },
	{ "CR4.PAE = 0 in IA-32e mode", { { VMCS_GUEST_CR4, DROP, CR4_PAE } }, 0 },
	{ "CR4 reserved bit", { { VMCS_GUEST_CR4, ADD, BIT(31) } }, 0 },
	{ "CR4.PCIDE outside IA-32e mode", { { VMCS_GUEST_CR4, ADD, CR4_PCIDE } }, HV_PROTECTED32 },
	{ "CR3 too wide", { { VMCS_GUEST_CR3, ADD, WIDE } }, 0 },
	{ "DR7 high half", { { VMCS_ENTRY_CONTROLS, ADD, ENTRYC_LOAD_DEBUG }, { VMCS_GUEST_DR7, ADD, BIT(32) } }, 0 },
	{ "SYSENTER_ESP", { { VMCS_GUEST_SYSENTER_ESP, SET, BAD_VA } }, 0 },
	{ "SYSENTER_EIP", { { VMCS_GUEST_SYSENTER_EIP, SET, BAD_VA } }, 0 },
	{ "PAT type 3", { { VMCS_GUEST_PAT, SET, 3 } }, 0 },
	{ "EFER.LMA = 0 in IA-32e mode", { { VMCS_GUEST_EFER, DROP, EFER_LMA } }, 0 },
	{ "EFER.LME = 0 in IA-32e mode", { { VMCS_GUEST_EFER, DROP, EFER_LME } }, 0 },
	{ "EFER reserved bit", { { VMCS_GUEST_EFER, ADD, BIT(2) } }, 0 },
	{ "EFER.LMA = 1 outside IA-32e mode", { { VMCS_GUEST_EFER, ADD, EFER_LMA } }, HV_PROTECTED32 },
	{ "IA-32e mode with paging off", { { VMCS_ENTRY_CONTROLS, ADD, ENTRYC_GUEST_64 } }, HV_PROTECTED32 },
	{ "CS not code", { { VMCS_GUEST_CS_RIGHTS, DROP, 8 } }, 0 },
	{ "CS not accessed", { { VMCS_GUEST_CS_RIGHTS, DROP, 1 } }, 0 },
	{ "CS a system segment", { { VMCS_GUEST_CS_RIGHTS, DROP, 0x10 } }, 0 },
	{ "CS not present", { { VMCS_GUEST_CS_RIGHTS, DROP, 0x80 } }, 0 },
	{ "CS reserved bit", { { VMCS_GUEST_CS_RIGHTS, ADD, 0x100 } }, 0 },
	{ "CS with L and D", { { VMCS_GUEST_CS_RIGHTS, ADD, 0x4000 } }, 0 },
	{ "CS limit without granularity", { { VMCS_GUEST_CS_RIGHTS, DROP, 0x8000 } }, 0 },
	{ "CS unusable", { { VMCS_GUEST_CS_RIGHTS, ADD, 0x10000 } }, 0 },
	{ "CS DPL above SS DPL", { { VMCS_GUEST_CS_RIGHTS, ADD, 0x60 } }, 0 },
	{ "CS base high half", { { VMCS_GUEST_CS_BASE, SET, BIT(32) } }, 0 },
	{ "SS read-only", { { VMCS_GUEST_SS_RIGHTS, DROP, 2 } }, 0 },
	{ "SS base high half", { { VMCS_GUEST_SS_BASE, SET, BIT(32) } }, 0 },
	{ "SS reserved bit", { { VMCS_GUEST_SS_RIGHTS, ADD, 0x200 } }, 0 },
	{ "SS unusable", { { VMCS_GUEST_SS_RIGHTS, ADD, 0x10000 } }, 0 },
	{ "DS execute-only", { { VMCS_GUEST_DS_RIGHTS, SET, 0xc099 } }, 0 },
	{ "DS limit", { { VMCS_GUEST_DS_LIMIT, SET, 0xfffff } }, 0 },
	{ "ES not accessed", { { VMCS_GUEST_ES_RIGHTS, DROP, 1 } }, 0 },
	{ "ES bad but unusable", { { VMCS_GUEST_ES_RIGHTS, SET, 0x10000 } }, 0 },
	{ "FS base", { { VMCS_GUEST_FS_BASE, SET, BAD_VA } }, 0 },
	{ "GS base", { { VMCS_GUEST_GS_BASE, SET, BAD_VA } }, 0 },
	{ "TR available", { { VMCS_GUEST_TR_RIGHTS, SET, 0x89 } }, 0 },
	{ "TR unusable", { { VMCS_GUEST_TR_RIGHTS, ADD, 0x10000 } }, 0 },
	{ "TR 16-bit", { { VMCS_GUEST_TR_RIGHTS, SET, 0x83 } }, 0 },
	{ "TR selector, TI", { { VMCS_GUEST_TR_SEL, ADD, 4 } }, 0 },
	{ "TR base", { { VMCS_GUEST_TR_BASE, SET, BAD_VA } }, 0 },
	{ "TR limit", { { VMCS_GUEST_TR_LIMIT, SET, 0x100000 } }, 0 },
	{ "LDTR usable, not an LDT", { { VMCS_GUEST_LDTR_RIGHTS, SET, 0x89 } }, 0 },
	{ "LDTR selector, TI", { { VMCS_GUEST_LDTR_RIGHTS, SET, 0x82 }, { VMCS_GUEST_LDTR_SEL, SET, 4 } }, 0 },
	{ "LDTR good", { { VMCS_GUEST_LDTR_RIGHTS, SET, 0x82 } }, 0 },
	{ "GDTR base", { { VMCS_GUEST_GDTR_BASE, SET, BAD_VA } }, 0 },
	{ "GDTR limit", { { VMCS_GUEST_GDTR_LIMIT, SET, 0x10000 } }, 0 },
	{ "IDTR base", { { VMCS_GUEST_IDTR_BASE, SET, BAD_VA } }, 0 },
	{ "IDTR limit", { { VMCS_GUEST_IDTR_LIMIT, SET, 0x10000 } }, 0 },
	{ "RIP high half in 32-bit mode", { { VMCS_GUEST_RIP, ADD, BIT(32) } }, HV_PROTECTED32 },
	{ "RFLAGS bit 1 = 0", { { VMCS_GUEST_RFLAGS, SET, 0 } }, 0 },
	{ "RFLAGS bit 15", { { VMCS_GUEST_RFLAGS, ADD, BIT(15) } }, 0 },
	{ "RFLAGS bit 22", { { VMCS_GUEST_RFLAGS, ADD, BIT(22) } }, 0 },
	{ "RFLAGS.VM in IA-32e mode", { { VMCS_GUEST_RFLAGS, ADD, BIT(17) } }, 0 },
	{ "RFLAGS.VM in real mode", { { VMCS_GUEST_RFLAGS, ADD, BIT(17) } }, HV_REAL16 },
	{ "interrupt with IF = 0", { { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_EXTERNAL | 0x42) } }, 0 },
	{ "activity state 4", { { VMCS_GUEST_ACTIVITY, SET, 4 } }, 0 },
	{ "HLT and blocking by STI", { { VMCS_GUEST_ACTIVITY, SET, 1 }, { VMCS_GUEST_INTERRUPTIBILITY, SET, BLOCK_STI },
				       { VMCS_GUEST_RFLAGS, ADD, 0x200 } }, 0 },
	{ "HLT at CPL 3", { { VMCS_GUEST_ACTIVITY, SET, 1 } }, HV_USER64 },
	{ "shutdown and an exception", { { VMCS_GUEST_ACTIVITY, SET, 2 },
	  { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_HARD | 6) } }, 0 },
	{ "interruptibility, reserved bit", { { VMCS_GUEST_INTERRUPTIBILITY, SET, BIT(5) } }, 0 },
	{ "blocking by STI and MOV SS", { { VMCS_GUEST_INTERRUPTIBILITY, SET, 3 },
	  { VMCS_GUEST_RFLAGS, ADD, 0x200 } }, 0 },
	{ "blocking by STI, IF = 0", { { VMCS_GUEST_INTERRUPTIBILITY, SET, BLOCK_STI } }, 0 },
	{ "interrupt, blocking by MOV SS", { { VMCS_GUEST_INTERRUPTIBILITY, SET, BLOCK_MOV_SS },
	  { VMCS_GUEST_RFLAGS, ADD, 0x200 },
					     { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_EXTERNAL | 0x42) } }, 0 },
	{ "NMI, blocking by MOV SS", { { VMCS_GUEST_INTERRUPTIBILITY, SET, BLOCK_MOV_SS },
				       { VMCS_ENTRY_INTR_INFO, SET, EVENT(INTR_NMI | 2) } }, 0 },
	{ "blocking by SMI outside SMM", { { VMCS_GUEST_INTERRUPTIBILITY, SET, BLOCK_SMI } }, 0 },
	{ "pending debug, reserved bit", { { VMCS_GUEST_PENDING_DEBUG, SET, BIT(5) } }, 0 },
	{ "link pointer unaligned", { { VMCS_LINK_POINTER, SET, 0x1000010 } }, 0 },
	{ "link pointer too wide", { { VMCS_LINK_POINTER, SET, WIDE } }, 0 },
	{ "link pointer to a page without revision", { { VMCS_LINK_POINTER, SET, 0x2fff000 } }, 0 },
	{ "PDPTE reserved bit", { { VMCS_GUEST_CR0, ADD, CR0_PG }, { VMCS_GUEST_CR4, ADD, CR4_PAE },
				  { VMCS_GUEST_PDPTE1, SET, 0x1000007 } }, HV_PROTECTED32 },
	{ "a good one", { { VMCS_GUEST_RFLAGS, ADD, 0 } }, 0 },
};

extern const u8 entry_l2_32[], entry_l2_16[], entry_l2_16_end[];
asm(".code32\n entry_l2_32: movl $0xe0d, %eax; vmcall; hlt\n"
    ".code16\n entry_l2_16: movl $0xe0d, %eax; vmcall; hlt\n entry_l2_16_end:\n .code64\n");

static struct vcpu v;
static u32 broken_entries, changed_state;

static const void *code_for(enum hv_mode mode)
{
	if (mode == HV_PROTECTED32)
		return entry_l2_32;
	if (mode == HV_REAL16)
		return hv_low_code(entry_l2_16, (size_t)(entry_l2_16_end - entry_l2_16));
	return l2_end;
}

static void apply(const struct damage *d)
{
	if (!d->field && !d->value && d->op == SET)
		return;		/* an unused slot: to SET field 0, VPID, to 0 is written as DROP */
	if (d->op == SET)
		vmwrite(d->field, d->value);
	else if (d->op == ADD)
		hv_set(d->field, d->value);
	else
		hv_clear(d->field, d->value);
}

/*
 * What a failed entry must leave alone in L1; the checks before it and the host state after it may touch all of these.
 */
struct l1_state { u64 cr0, cr3, cr4, efer, gs, pat, dr7; };

static struct l1_state read_l1_state(void)
{
	return (struct l1_state){ read_cr0(), read_cr3(), read_cr4(), rdmsr(MSR_EFER), rdmsr(0xc0000101), rdmsr(0x277),
				  read_dr7() };
}

static void check_l1_state(const struct l1_state *before)
{
	struct l1_state after = read_l1_state();
	const u64 *a = (const u64 *)before, *b = (const u64 *)&after;

	for (size_t i = 0; i < sizeof(after) / 8; i++) {
		if (a[i] == b[i])
			continue;
		print("L1 state word %lu: %lx became %lx\n", i, a[i], b[i]);
		changed_state++;
	}
}

static void run_row(const struct row *row)
{
	struct l1_state before = read_l1_state();
	vmx_result result;

	hv_init(&v, row->mode, code_for(row->mode));
	for (size_t i = 0; i < ARRAY_SIZE(row->damage); i++)
		apply(&row->damage[i]);
	result = hv_run(&v);
	if (result == VMX_OK)
		t_exit(row->what, &v);
	else
		t_result(row->what, result);
	check_l1_state(&before);
	/* The same VMCS, mended, without VMCLEAR: a failed entry leaves it clear, a good one launched. */
	hv_fill(&v, row->mode, code_for(row->mode));
	v.regs[RAX] = 0;
	if (hv_run(&v) == VMX_OK && v.exit.reason == EXIT_VMCALL && v.regs[RAX] == L2_END)
		return;
	print("T %s: the mended VMCS does not run: exit %x\n", row->what, v.exit.reason);
	broken_entries++;
}

static void run_rows(const char *title, const struct row *rows, size_t count)
{
	print("T -- %s\n", title);
	for (size_t i = 0; i < count; i++)
		run_row(&rows[i]);
	print("T broken entries %u, changed L1 state %u\n", broken_entries, changed_state);
}

DEFINE_TEST(vmx_entry, "vmx-entry", "VM entries that fail: controls, host state, guest state")
{
	if (!hv_supported())
		return;
	hv_on();
	run_rows("controls", control_rows, ARRAY_SIZE(control_rows));
	run_rows("host state", host_rows, ARRAY_SIZE(host_rows));
	run_rows("guest state", guest_rows, ARRAY_SIZE(guest_rows));
	hv_off();
}
