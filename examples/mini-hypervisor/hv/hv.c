/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mini-hypervisor: VMX on and off, VMCS set-up from tables, one entry and exit. See hv.h for its use.
 * Segments, modes and constant fields are tables; only what depends on the CPU (capabilities, our own tables) is code.
 */
#include "hv.h"

extern const u8 hv_exit[];
extern const u8 page_pml4[];

struct field_value { u16 field; u64 value; };

/* Access rights in VMCS form (Intel SDM vol. 3, "Guest Register State"); bit 16 means unusable. */
struct segment { u16 selector; u32 rights; u32 limit; };
enum { CS, SS, DATA };

static const struct mode {
	struct segment segment[3];
	u64 cr0, cr4, efer;
	bool has_paging;
} modes[] = {
	[HV_LONG64] = { { { SEL_CODE64, 0xa09b, ~0u }, { SEL_DATA, 0xc093, ~0u }, { SEL_DATA, 0xc093, ~0u } },
			CR0_PG | CR0_WP | CR0_NE | CR0_PE, CR4_PAE, EFER_LMA | EFER_LME, true },
	[HV_USER64] = { { { SEL_USER_CODE64, 0xa0fb, ~0u }, { SEL_USER_DATA, 0xc0f3, ~0u },
		{ SEL_USER_DATA, 0xc0f3, ~0u } },
			CR0_PG | CR0_WP | CR0_NE | CR0_PE, CR4_PAE, EFER_LMA | EFER_LME, true },
	[HV_PROTECTED32] = { { { SEL_CODE32, 0xc09b, ~0u }, { SEL_DATA, 0xc093, ~0u }, { SEL_DATA, 0xc093, ~0u } },
			     CR0_NE | CR0_PE, 0, 0, false },
	[HV_REAL16] = { { { 0, 0x9b, 0xffff }, { 0, 0x93, 0xffff }, { 0, 0x93, 0xffff } }, CR0_NE, 0, 0, false },
};

/* Fields that are the same for every L2. Zero fields are not written: VMCLEAR does not zero, so they are here too. */
static const struct field_value constant_fields[] = {
	{ VMCS_VPID, 1 }, { VMCS_LINK_POINTER, ~0ull }, { VMCS_GUEST_DEBUGCTL, 0 },
	{ VMCS_GUEST_PAT, 0x0007040600070406 },
	{ VMCS_HOST_PAT, 0x0007040600070406 }, { VMCS_EXCEPTION_BITMAP, 0 }, { VMCS_PF_ERROR_MASK, 0 },
	{ VMCS_PF_ERROR_MATCH, 0 }, { VMCS_CR3_TARGET_COUNT, 0 }, { VMCS_EXIT_MSR_STORE_COUNT, 0 },
	{ VMCS_EXIT_MSR_LOAD_COUNT, 0 }, { VMCS_ENTRY_MSR_LOAD_COUNT, 0 }, { VMCS_ENTRY_INTR_INFO, 0 },
	{ VMCS_ENTRY_ERROR_CODE, 0 }, { VMCS_ENTRY_INSN_LENGTH, 0 }, { VMCS_TPR_THRESHOLD, 0 }, { VMCS_TSC_OFFSET, 0 },
	{ VMCS_GUEST_LDTR_SEL, 0 }, { VMCS_GUEST_LDTR_LIMIT, 0 }, { VMCS_GUEST_LDTR_RIGHTS, 0x10082 },
	{ VMCS_GUEST_LDTR_BASE, 0 }, { VMCS_GUEST_TR_SEL, SEL_TSS }, { VMCS_GUEST_TR_RIGHTS, 0x8b },
	{ VMCS_GUEST_INTERRUPTIBILITY, 0 }, { VMCS_GUEST_ACTIVITY, 0 }, { VMCS_GUEST_SMBASE, 0 },
	{ VMCS_GUEST_SYSENTER_CS, 0 }, { VMCS_GUEST_SYSENTER_ESP, 0 }, { VMCS_GUEST_SYSENTER_EIP, 0 },
	{ VMCS_PREEMPTION_TIMER, 0 }, { VMCS_GUEST_DR7, 0x400 }, { VMCS_GUEST_RFLAGS, 2 },
	{ VMCS_GUEST_PENDING_DEBUG, 0 },
	{ VMCS_CR0_MASK, 0 }, { VMCS_CR0_SHADOW, 0 }, { VMCS_CR4_MASK, CR4_VMXE }, { VMCS_CR4_SHADOW, 0 },
	{ VMCS_GUEST_ES_BASE, 0 }, { VMCS_GUEST_CS_BASE, 0 }, { VMCS_GUEST_SS_BASE, 0 }, { VMCS_GUEST_DS_BASE, 0 },
	{ VMCS_GUEST_FS_BASE, 0 },
	{ VMCS_HOST_ES_SEL, SEL_DATA }, { VMCS_HOST_CS_SEL, SEL_CODE64 }, { VMCS_HOST_SS_SEL, SEL_DATA },
	{ VMCS_HOST_DS_SEL, SEL_DATA }, { VMCS_HOST_FS_SEL, 0 }, { VMCS_HOST_GS_SEL, 0 }, { VMCS_HOST_TR_SEL, SEL_TSS },
	{ VMCS_HOST_FS_BASE, 0 }, { VMCS_HOST_SYSENTER_CS, 0 }, { VMCS_HOST_SYSENTER_ESP, 0 },
	{ VMCS_HOST_SYSENTER_EIP, 0 },
};

static u64 vmxon_regions[MAX_CPUS];

bool hv_supported(void)
{
	u64 control;

	if (!(cpuid(1, 0).ecx & BIT(5))) {
		print("this CPU shows no VMX\n");
		return false;
	}
	control = rdmsr(MSR_FEATURE_CONTROL);
	if (!(control & 1))
		wrmsr(MSR_FEATURE_CONTROL, control | 5);
	else if (!(control & 4))
		print("the firmware has locked VMX out\n");
	return rdmsr(MSR_FEATURE_CONTROL) & 4;
}

u64 hv_vmcs_alloc(void)
{
	u32 *page = page_alloc();

	page[0] = rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
	return (u64)page;
}

void hv_on(void)
{
	u64 *region = &vmxon_regions[this_cpu()->index];

	if (!*region)
		*region = hv_vmcs_alloc();
	write_cr0(read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0));
	write_cr4(read_cr4() | CR4_VMXE);
	if (try_vmxon(region) != VMX_OK)
		fail("VMXON");
}

void hv_off(void)
{
	if (try_vmxoff() != VMX_OK)
		fail("VMXOFF");
	write_cr4(read_cr4() & ~(u64)CR4_VMXE);
}

struct ept12 *hv_identity_ept(void)
{
	static struct ept12 ept;

	if (!ept.root) {
		ept_init(&ept);
		ept_map_range(&ept, 0, BIT(32), EPT_2M, EPT_RWX | EPT_WB);
	}
	return &ept;
}

u32 hv_controls(u32 msr, u32 wanted)
{
	u64 allowed = rdmsr(msr);

	return (wanted & (u32)(allowed >> 32)) | (u32)allowed;
}

void hv_set(u32 field, u64 bits) { vmwrite(field, vmread(field) | bits); }
void hv_clear(u32 field, u64 bits) { vmwrite(field, vmread(field) & ~bits); }

static void fill_controls(const struct vcpu *v, const struct mode *mode)
{
	u32 entry = ENTRYC_LOAD_EFER | ENTRYC_LOAD_PAT | (mode->efer & EFER_LMA ? ENTRYC_GUEST_64 : 0);

	vmwrite(VMCS_PIN_CONTROLS, hv_controls(MSR_VMX_TRUE_PIN, 0));
	vmwrite(VMCS_CPU_CONTROLS, hv_controls(MSR_VMX_TRUE_CPU,
		CPU_SECONDARY | CPU_MSR_BITMAP | CPU_IO_BITMAPS | CPU_HLT));
	vmwrite(VMCS_CPU_CONTROLS2, hv_controls(MSR_VMX_CPU2, CPU2_EPT | CPU2_VPID | CPU2_UNRESTRICTED | CPU2_RDTSCP));
	vmwrite(VMCS_EXIT_CONTROLS, hv_controls(MSR_VMX_TRUE_EXIT, EXITC_HOST_64 | EXITC_SAVE_EFER | EXITC_LOAD_EFER |
						EXITC_SAVE_PAT | EXITC_LOAD_PAT));
	vmwrite(VMCS_ENTRY_CONTROLS, hv_controls(MSR_VMX_TRUE_ENTRY, entry));
	vmwrite(VMCS_EPTP, v->ept->eptp);
	vmwrite(VMCS_MSR_BITMAP, (u64)v->msr_bitmap);
	vmwrite(VMCS_IO_BITMAP_A, (u64)v->io_bitmap_a);
	vmwrite(VMCS_IO_BITMAP_B, (u64)v->io_bitmap_b);
}

static void fill_host(void)
{
	struct cpu *cpu = this_cpu();

	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmwrite(VMCS_HOST_GS_BASE, (u64)cpu);
	vmwrite(VMCS_HOST_TR_BASE, (u64)cpu->tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (u64)cpu->gdt);
	vmwrite(VMCS_HOST_IDTR_BASE, (u64)idt);
	vmwrite(VMCS_HOST_RIP, (u64)hv_exit);
}

/* The encodings of one segment register's fields lie two apart, in the order ES CS SS DS FS GS. */
static void fill_segments(const struct mode *mode)
{
	static const u8 role[] = { DATA, CS, SS, DATA, DATA, DATA };

	for (u32 i = 0; i < ARRAY_SIZE(role); i++) {
		const struct segment *s = &mode->segment[role[i]];

		vmwrite(VMCS_GUEST_ES_SEL + 2 * i, s->selector);
		vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, s->limit);
		vmwrite(VMCS_GUEST_ES_RIGHTS + 2 * i, s->rights);
	}
}

static void fill_guest(const struct vcpu *v, const struct mode *mode, const void *code)
{
	fill_segments(mode);
	vmwrite(VMCS_GUEST_GS_BASE, (u64)v->cpu);
	vmwrite(VMCS_GUEST_TR_BASE, (u64)v->cpu->tss);
	vmwrite(VMCS_GUEST_TR_LIMIT, sizeof(v->cpu->tss) - 1);
	vmwrite(VMCS_GUEST_GDTR_BASE, (u64)v->cpu->gdt);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, sizeof(v->cpu->gdt) - 1);
	vmwrite(VMCS_GUEST_IDTR_BASE, mode == &modes[HV_REAL16] ? 0 : (u64)idt);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, sizeof(idt) - 1);
	vmwrite(VMCS_GUEST_CR0, mode->cr0);
	vmwrite(VMCS_CR0_SHADOW, mode->cr0);
	vmwrite(VMCS_GUEST_CR4, mode->cr4 | rdmsr(MSR_VMX_CR4_FIXED0));
	vmwrite(VMCS_GUEST_CR3, mode->has_paging ? (u64)page_pml4 : 0);
	vmwrite(VMCS_GUEST_EFER, mode->efer);
	vmwrite(VMCS_GUEST_RIP, (u64)code);
	vmwrite(VMCS_GUEST_RSP, mode->efer ? v->stack_top - 8 : LOW_STACK);
}

void hv_fill(struct vcpu *v, enum hv_mode mode, const void *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(constant_fields); i++)
		vmwrite(constant_fields[i].field, constant_fields[i].value);
	fill_controls(v, &modes[mode]);
	fill_host();
	fill_guest(v, &modes[mode], code);
	v->host_rsp = 0;
}

void hv_init(struct vcpu *v, enum hv_mode mode, const void *code)
{
	if (!v->vmcs) {
		v->vmcs = hv_vmcs_alloc();
		v->ept = v->ept ? v->ept : hv_identity_ept();
		v->cpu = page_alloc();
		v->msr_bitmap = page_alloc();
		v->io_bitmap_a = page_alloc();
		v->io_bitmap_b = page_alloc();
		v->stack_top = (u64)page_alloc_many(2, PAGE_SIZE) + 2 * PAGE_SIZE;
		cpu_fill(v->cpu, (u64)page_alloc() + PAGE_SIZE);
		v->cpu->index = MAX_CPUS - 1;
	}
	set_bytes(v->regs, 0, sizeof(v->regs));
	v->launched = 0;
	if (try_vmclear(&v->vmcs) != VMX_OK || try_vmptrld(&v->vmcs) != VMX_OK)
		fail("VMCLEAR and VMPTRLD");
	hv_fill(v, mode, code);
}

static void read_exit(struct vm_exit *e)
{
	e->reason = (u32)vmread(VMCS_EXIT_REASON);
	e->qualification = vmread(VMCS_EXIT_QUALIFICATION);
	e->length = (u32)vmread(VMCS_EXIT_INSN_LENGTH);
	e->intr_info = (u32)vmread(VMCS_EXIT_INTR_INFO);
	e->intr_error = (u32)vmread(VMCS_EXIT_ERROR_CODE);
	e->idt_info = (u32)vmread(VMCS_IDT_VECTORING_INFO);
	e->idt_error = (u32)vmread(VMCS_IDT_VECTORING_ERROR);
	e->insn_info = (u32)vmread(VMCS_EXIT_INSN_INFO);
}

vmx_result hv_run(struct vcpu *v)
{
	vmx_result result = hv_enter(v);

	if (result == VMX_OK) {
		read_exit(&v->exit);
		if (!(v->exit.reason & EXIT_ENTRY_FAILED))
			v->launched = 1;
	} else if (result == VMX_FAIL_VALID) {
		v->insn_error = (u32)vmread(VMCS_INSN_ERROR);
	}
	return result;
}

void hv_skip(struct vcpu *v)
{
	vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + v->exit.length);
}

void *hv_low_code(const void *from, size_t size)
{
	return copy_bytes((void *)LOW_CODE, from, size);
}
