/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See phys_bits.h (Intel SDM vol. 3, "Total Memory Encryption"). Asked at boot, and for CPUID. */
#include "mem/phys_bits.h"

#include "cpu/traps.h"
#include "cpu/x86.h"

#define MSR_TME_ACTIVATE 0x982
#define ECX7_TME BIT(13)

u32 phys_bits_known; /* by any CPU: all find the same */

u32 phys_bits_ask(void)
{
	u64 activate = 0;

	if (!(cpuid(7, 0).ecx & ECX7_TME) || !rdmsr_safe(MSR_TME_ACTIVATE, &activate))
		activate = 0;
	return phys_bits_known = phys_bits_without_keys(cpuid(0x80000008, 0).eax & 0xff, activate);
}
