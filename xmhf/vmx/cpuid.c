/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See cpuid.h. What is hidden, and why: SMX and Intel PT work on physical addresses or leave VMX; VMX when nesting is
 * off; TME, PCONFIG and the key bits of an address, since a key is that of memory whoever owns it. OSXSAVE and OSPKE
 * follow the guest's CR4, not the core's.
 */
#include "vmx/cpuid.h"

#include "cpu/x86.h"
#include "mem/phys_bits.h"
#include "nested/nested.h"
#include "vmx/vmx_insn.h"

enum { LEAF_FEATURES = 1, LEAF_EXTENDED = 7, LEAF_PT = 0x14 };
#define LEAF_WIDTHS 0x80000008u
#define ECX1_VMX BIT(5)
#define ECX1_SMX BIT(6)
#define ECX1_OSXSAVE BIT(27)
#define EBX7_PT BIT(25)
#define ECX7_OSPKE BIT(4)
#define ECX7_TME BIT(13)
#define EDX7_PCONFIG BIT(18)

static u32 follow(u32 reg, u64 bit, u64 cr4_bit)
{
	return vmread(VMCS_GUEST_CR4) & cr4_bit ? reg | (u32)bit : reg & ~(u32)bit;
}

static __attribute__((noinline)) void adjust(struct percpu *cpu, u32 leaf, u32 subleaf)
{
	u64 *gpr = cpu->gpr;

	if (leaf == LEAF_FEATURES) {
		gpr[GPR_RCX] &= ~(ECX1_SMX | (nested_enabled() ? 0 : ECX1_VMX));
		gpr[GPR_RCX] = follow((u32)gpr[GPR_RCX], ECX1_OSXSAVE, CR4_OSXSAVE);
	} else if (leaf == LEAF_EXTENDED && subleaf == 0) {
		gpr[GPR_RBX] &= ~EBX7_PT;
		gpr[GPR_RCX] = follow((u32)gpr[GPR_RCX] & ~(u32)ECX7_TME, ECX7_OSPKE, CR4_PKE);
		gpr[GPR_RDX] &= ~EDX7_PCONFIG;
	} else if (leaf == LEAF_WIDTHS) {
		gpr[GPR_RAX] = (gpr[GPR_RAX] & ~0xffull) | phys_bits();
	} else if (leaf == LEAF_PT) {
		gpr[GPR_RAX] = gpr[GPR_RBX] = gpr[GPR_RCX] = gpr[GPR_RDX] = 0;
	}
}

void cpuid_emulate(struct percpu *cpu)
{
	u32 leaf = (u32)cpu->gpr[GPR_RAX], subleaf = (u32)cpu->gpr[GPR_RCX];
	struct cpuid_regs r = cpuid(leaf, subleaf);

	cpu->gpr[GPR_RAX] = r.eax;
	cpu->gpr[GPR_RBX] = r.ebx;
	cpu->gpr[GPR_RCX] = r.ecx;
	cpu->gpr[GPR_RDX] = r.edx;
	if (leaf == LEAF_FEATURES || leaf == LEAF_EXTENDED || leaf == LEAF_PT || leaf == LEAF_WIDTHS)
		adjust(cpu, leaf, subleaf);
}
