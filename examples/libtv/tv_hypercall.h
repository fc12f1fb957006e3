/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instructions with which a guest talks to TrustVisor, 64-bit or 32-bit. Freestanding: Linux programs use it by way
 * of tv.h, bare-metal guests directly. Works from any privilege level.
 */
#ifndef TV_HYPERCALL_H
#define TV_HYPERCALL_H

#include <stdbool.h>
#include <stdint.h>

#include "../../hypapps/trustvisor/include/trustvisor/abi.h"

/**
 * VMCALL. On a machine without XMHF below this raises #UD (L1) or reaches L1's hypervisor (L2): detect first.
 * @param base     0 in L1, the L2 hypercall base in L2
 * @param command  enum tv_command
 * @return enum tv_result
 */
static inline uint32_t tv_hypercall(uint32_t base, uint32_t command, uintptr_t rcx, uintptr_t rdx,
				    uintptr_t rsi, uintptr_t rdi)
{
	uintptr_t rax = base + command;

	__asm__ volatile("vmcall" : "+a"(rax), "+c"(rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi) : : "memory", "cc");
	return (uint32_t)rax;
}

/**
 * Asks by CPUID whether TrustVisor serves this level.
 * @param base  0 to ask as L1, the L2 hypercall base to ask as L2
 * @param pal   if not NULL: number of the PAL that runs on this CPU, TV_CPUID_NO_PAL outside
 * @param mode  if not NULL: TV_CPUID_LONG_MODE, TV_CPUID_EPT12
 */
static inline bool tv_present(uint32_t base, uint32_t *pal, uint32_t *mode)
{
	uint32_t eax = TV_CPUID_LEAF, ebx, ecx = base, edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	if (eax != TV_CPUID_PRESENT)
		return false;
	if (pal)
		*pal = ebx;
	if (mode)
		*mode = ecx;
	return true;
}

/**
 * Whether a word of a page of code is what everybody sees there while it is registered.
 * @param number  of the word in its page, 0 to 511
 */
static inline bool tv_reads_as_code(uint64_t word, uint64_t number)
{
	uint64_t other = word ^ TV_INT3_WORD;

	return number < 512 - TV_MARK_WORDS ? other == 0 : other == (other & 0x0101010101010101) * (0xcc ^ 0xf1);
}

#endif
