/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * l1-modes and vmx-modes: the tour of modes.S in L1, and the same in L2, where it needs "unrestricted guest". Prints
 * the log that the tour leaves. Everything that the 32-bit modes need below 4 GiB is prepared here.
 */
#include "modes.h"
#include "test.h"

u32 mode_tour(u64 gs_base, u64 cr3);
extern const u8 mode_trap_ud[], mode_trap_gp[], mode_trap_pf[], mode_trap_int[], low_start[], low_end[];

u64 mode_idt[0x43];
u32 mode_tss[26];
u32 mode_pd[1024] __attribute__((aligned(4096)));
u64 mode_pdpt[12] __attribute__((aligned(4096)));	/* three sets of four */

static u64 *pds[2];
static u8 *pages;	/* two 4 MiB pages with different first words; the second is 2 MiB-aligned only */

static void set_gate(u32 vector, const u8 *handler, u32 dpl)
{
	u64 at = (u64)handler;

	mode_idt[vector] = (at & 0xffff) | SEL_CODE32 << 16 | (0x8eull | dpl << 5) << 40 | at >> 16 << 48;
}

static void prepare(void)
{
	u64 tss = (u64)mode_tss;

	pages = page_alloc_many(2048, 0x400000);
	*(u32 *)pages = 0x4444;
	*(u32 *)(pages + 0x400000) = 0x5555;
	for (u32 i = 0; i < 1024; i++)
		mode_pd[i] = i < 16 ? i << 22 | 0x83 : 0;		/* 64 MiB one to one */
	mode_pd[MODE_VIRTUAL >> 22] = (u32)(u64)pages | 0x83;
	for (u32 i = 0; i < 2; i++) {
		u64 *low = page_alloc();

		pds[i] = page_alloc();
		for (u32 n = 0; n < 64; n++)
			low[n] = (u64)n << 21 | 0x83;
		pds[i][0] = ((u64)pages + i * 0x400000) | 0x83;
		mode_pdpt[i * 4] = (u64)low | 1;
		mode_pdpt[i * 4 + (MODE_VIRTUAL >> 30)] = (u64)pds[i] | 1;
	}
	mode_pdpt[8] = mode_pdpt[0];
	mode_pdpt[9] = mode_pdpt[1] | 2;				/* bit 1 is reserved */
	set_gate(6, mode_trap_ud, 0);
	set_gate(13, mode_trap_gp, 0);
	set_gate(14, mode_trap_pf, 0);
	set_gate(0x42, mode_trap_int, 3);
	this_cpu()->gdt[SEL_MODE_TSS / 8] = (sizeof(mode_tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40;
	mode_tss[25] = sizeof(mode_tss) << 16;
	hv_low_code(low_start, (size_t)(low_end - low_start));
}

/* TR holds the 32-bit TSS now; the 64-bit one is loaded again. */
static void restore_task_register(void)
{
	this_cpu()->gdt[SEL_TSS / 8] &= ~(2ull << 40);
	this_cpu()->gdt[SEL_MODE_TSS / 8] &= ~(2ull << 40);
	asm volatile("ltr %w0" :: "r"(SEL_TSS) : "memory");
}

static u32 tour(void)
{
	u32 end = mode_tour((u64)this_cpu(), read_cr3());

	restore_task_register();
	return end;
}

static void print_log(const char *who, u32 end)
{
	for (u32 at = MODE_LOG; at < end; at += 4)
		print("T %s %u: %x\n", who, (at - MODE_LOG) / 4, *(u32 *)(u64)at);
	set_bytes((void *)MODE_LOG, 0, 0x200);
}

DEFINE_TEST(l1_modes, "l1-modes", "protected, PAE, virtual-8086 and real mode, and back")
{
	prepare();
	print_log("first tour", tour());
	print_log("second tour", tour());
}

static u32 l2_end_of_log;

static void l2_tour(void)
{
	u64 tss = (u64)mode_tss;

	this_cpu()->gdt[SEL_MODE_TSS / 8] = (sizeof(mode_tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40;
	l2_end_of_log = tour();
	l2_end();
}

/* CPUID is answered like in L1, so that the two logs can be compared. */
static bool answer_cpuid(struct vcpu *v)
{
	struct cpuid r;

	if (v->exit.reason != EXIT_CPUID)
		return false;
	r = cpuid((u32)v->regs[RAX], (u32)v->regs[RCX]);
	v->regs[RAX] = r.eax;
	v->regs[RBX] = r.ebx;
	v->regs[RCX] = r.ecx;
	v->regs[RDX] = r.edx;
	print("T   IA-32e %u, CR0.PG %u, PE %u, VM %u\n", !!(vmread(VMCS_ENTRY_CONTROLS) & ENTRYC_GUEST_64),
	      !!(vmread(VMCS_GUEST_CR0) & CR0_PG), !!(vmread(VMCS_GUEST_CR0) & CR0_PE),
	      !!(vmread(VMCS_GUEST_RFLAGS) & BIT(17)));
	return false;
}

static void own_cr0(struct vcpu *v)
{
	(void)v;
	vmwrite(VMCS_CR0_MASK, CR0_NE | CR0_PG | CR0_PE);
}

/*
 * L1 owns PE and PG: it carries out L2's changes of mode itself, as a hypervisor without unrestricted guest's ease
 * would.
 */
static bool move_to_cr0(struct vcpu *v)
{
	u64 value = v->regs[v->exit.qualification >> 8 & 15], old = vmread(VMCS_GUEST_CR0);
	bool is_long = (value & CR0_PG) && (vmread(VMCS_GUEST_EFER) & EFER_LME);

	if (v->exit.reason != EXIT_CR_ACCESS)
		return answer_cpuid(v);
	if ((value & CR0_PG && !(value & CR0_PE)) || (is_long && !(vmread(VMCS_GUEST_CR4) & CR4_PAE))) {
		vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_HARD | INTR_ERROR | VEC_GP);
		vmwrite(VMCS_ENTRY_ERROR_CODE, 0);
		return true;
	}
	vmwrite(VMCS_CR0_SHADOW, value);
	vmwrite(VMCS_GUEST_CR0, value | CR0_NE);
	if ((value ^ old) & CR0_PG) {
		hv_clear(VMCS_ENTRY_CONTROLS, ENTRYC_GUEST_64);
		hv_clear(VMCS_GUEST_EFER, EFER_LMA);
		if (is_long) {
			hv_set(VMCS_ENTRY_CONTROLS, ENTRYC_GUEST_64);
			hv_set(VMCS_GUEST_EFER, EFER_LMA);
		}
		if (value & CR0_PG && !is_long && vmread(VMCS_GUEST_CR4) & CR4_PAE)
			for (u32 i = 0; i < 4; i++)
				vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, ((u64 *)(vmread(VMCS_GUEST_CR3) & ~31ull))[i]);
	}
	return false;
}

DEFINE_TEST(vmx_modes, "vmx-modes", "the same tour of modes in L2, with CR0 in L2's hands and in L1's")
{
	if (!hv_supported())
		return;
	prepare();
	hv_on();
	t_l2("L2's CR0", HV_LONG64, l2_tour, NULL, answer_cpuid);
	print_log("in L2", l2_end_of_log);
	t_l2("L1's CR0", HV_LONG64, l2_tour, own_cr0, move_to_cr0);
	print_log("in L2", l2_end_of_log);
	hv_off();
}
