/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See cpuid.h. One table of what is hidden: features that work on physical addresses or leave VMX, and what enumerates
 * MSRs that the policy refuses (vmx/msr_policy.c); a key of memory is that of memory whoever owns it. OSXSAVE, OSPKE,
 * APIC and NX follow the guest's state, not the core's.
 * Leaves of hypervisors below are empty: their MSRs make that hypervisor write to addresses which no EPT of ours
 * checks.
 */
#include "vmx/cpuid.h"

#include "core/cmdline.h"
#include "cpu/lapic.h"
#include "cpu/speculation.h"
#include "cpu/x86.h"
#include "mem/phys_bits.h"
#include "nested/nested.h"
#include "vmx/msr_policy.h"
#include "vmx/vmx_insn.h"

#define HYPERVISOR_LEAVES 0x4000u /* bits 31:16 */
#define ECX1_VMX BIT(5)
#define ECX1_OSXSAVE BIT(27)
#define EDX1_APIC BIT(9)
#define ECX7_OSPKE BIT(4)
#define EDX7_ARCH_CAPABILITIES BIT(29)
#define EDX_NX BIT(20)
#define PERFMON_VERSION 0xffu
#define PERFMON_VERSION_MAX 5u /* 6 has the counters at 0x19xx */
#define EVERY (~0u) /* subleaf */
#define ALL (~0u)   /* bits */

#define EVERYTHING_OF(leaf)                                                                     \
	{ leaf, EVERY, GPR_RAX, ALL }, { leaf, EVERY, GPR_RBX, ALL },                           \
	{ leaf, EVERY, GPR_RCX, ALL }, { leaf, EVERY, GPR_RDX, ALL }

static const struct hidden { u32 leaf, subleaf; u8 reg; u32 bits; } hidden[] = {
	{ 1, EVERY, GPR_RCX, BIT(6) },                 /* SMX */
	{ 6, EVERY, GPR_RAX, BIT(19) | BIT(23) },      /* hardware feedback, thread director */
	{ 6, EVERY, GPR_RCX, 0xff00 }, { 6, EVERY, GPR_RDX, ALL },
	{ 7, 0, GPR_RBX, BIT(25) },                    /* Intel PT */
	{ 7, 0, GPR_RCX, BIT(13) },                    /* memory encryption (TME) */
	{ 7, 0, GPR_RDX, BIT(5) | BIT(18) | BIT(19) }, /* user interrupts, PCONFIG, architectural branch records */
	{ 7, 1, GPR_RAX, BIT(8) | BIT(17) | BIT(27) }, /* leaf 0x23, FRED, lists of MSRs in an instruction */
	{ 7, 1, GPR_RCX, BIT(5) },                     /* MSR number in an instruction */
	{ 7, 1, GPR_RDX, BIT(15) },                    /* MSRs at CPL 3 */
	{ 0xd, 1, GPR_RCX, (u32)~XSS_ALLOWED }, { 0xd, 1, GPR_RDX, ALL },
	EVERYTHING_OF(0x14),
	EVERYTHING_OF(0x1c),
	EVERYTHING_OF(0x23),
};

/* Leaves below 64 with a row, or a case in adjust(). */
#define ADJUSTED (BIT(1) | BIT(6) | BIT(7) | BIT(0xa) | BIT(0xd) | BIT(0x14) | BIT(0x1c) | BIT(0x23))

static void set_if(u64 *gpr, u64 bit, bool on)
{
	*gpr = on ? *gpr | bit : *gpr & ~bit;
}

/* A level of XMHF fills the first register that no level below has filled. */
static void announce(u64 *gpr)
{
	static const u8 order[] = { GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX };
	u32 below = 0;

	while (below < ARRAY_SIZE(order) && gpr[order[below]] == XMHF_LEAF)
		below++;
	for (u32 i = below; i < ARRAY_SIZE(order); i++)
		gpr[order[i]] = i == below ? XMHF_LEAF : 0;
}

static void adjust_by_state(struct percpu *cpu, u32 leaf, u32 subleaf)
{
	u64 *gpr = cpu->gpr, cr4 = vmread(VMCS_GUEST_CR4);

	if (leaf == 1) {
		gpr[GPR_RCX] &= ~(nested_enabled() ? 0 : ECX1_VMX);
		set_if(&gpr[GPR_RCX], ECX1_OSXSAVE, cr4 & CR4_OSXSAVE);
		set_if(&gpr[GPR_RDX], EDX1_APIC, gpr[GPR_RDX] & EDX1_APIC && cpu->apic.base & APIC_BASE_ENABLE);
	} else if (leaf == 7 && subleaf == 0) {
		set_if(&gpr[GPR_RCX], ECX7_OSPKE, cr4 & CR4_PKE);
		if (speculation_does(SPEC_L1D_FLUSH))
			gpr[GPR_RDX] |= EDX7_ARCH_CAPABILITIES; /* ours, where the CPU has none */
	} else if (leaf == 0xa && (gpr[GPR_RAX] & PERFMON_VERSION) > PERFMON_VERSION_MAX) {
		gpr[GPR_RAX] = (gpr[GPR_RAX] & ~(u64)PERFMON_VERSION) | PERFMON_VERSION_MAX;
	} else if (leaf == 0x80000008) {
		gpr[GPR_RAX] = (gpr[GPR_RAX] & ~0xffull) | phys_bits();
	} else if (leaf == 0x80000001 && cpu->xd_disabled) {
		gpr[GPR_RDX] &= ~EDX_NX;
	}
}

static __attribute__((noinline)) void adjust(struct percpu *cpu, u32 leaf, u32 subleaf)
{
	u64 *gpr = cpu->gpr;

	if (leaf == XMHF_LEAF && !cmdline_is("announce", "off")) {
		announce(gpr);
		return;
	}
	if (leaf >> 16 == HYPERVISOR_LEAVES) {
		gpr[GPR_RAX] = gpr[GPR_RBX] = gpr[GPR_RCX] = gpr[GPR_RDX] = 0;
		return;
	}
	for (const struct hidden *h = hidden; h < hidden + ARRAY_SIZE(hidden); h++)
		if (h->leaf == leaf && (h->subleaf == subleaf || h->subleaf == EVERY))
			gpr[h->reg] &= ~h->bits;
	adjust_by_state(cpu, leaf, subleaf);
}

void cpuid_emulate(struct percpu *cpu)
{
	u32 leaf = (u32)cpu->gpr[GPR_RAX], subleaf = (u32)cpu->gpr[GPR_RCX];
	struct cpuid_regs r = cpuid(leaf, subleaf);

	cpu->gpr[GPR_RAX] = r.eax;
	cpu->gpr[GPR_RBX] = r.ebx;
	cpu->gpr[GPR_RCX] = r.ecx;
	cpu->gpr[GPR_RDX] = r.edx;
	if (leaf < 64 ? ADJUSTED >> leaf & 1 : leaf >> 30)
		adjust(cpu, leaf, subleaf);
}
