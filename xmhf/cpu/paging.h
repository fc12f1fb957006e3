/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging and exceptions as the manual defines them, for whatever walks a guest's tables, makes some, or judges what a
 * guest loads (SDM vol. 3, "Paging", "Interrupt and Exception Handling"). No state; the simulator uses it as well.
 */
#ifndef XMHF_PAGING_H
#define XMHF_PAGING_H

/* Vectors that push an error code, a bit each: #DF, #TS, #NP, #SS, #GP, #PF, #AC. #CP, #VC, #SX no guest has. */
#define ERROR_CODE_VECTORS 0x27d00
#define ERROR_CODE_VECTORS_HIDDEN 0x60200000

#ifndef __ASSEMBLER__
#include "lib/base.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_LARGE BIT(7)
#define PTE_G BIT(8)
#define PTE_NX BIT(63)
#define PTE_ADDR BITS(51, 12)
#define PTE_KEY(entry) ((u32)((entry) >> 59) & 15)

/* Error code of #PF. */
#define PF_PRESENT BIT(0)
#define PF_WRITE BIT(1)
#define PF_USER BIT(2)
#define PF_RESERVED BIT(3)
#define PF_FETCH BIT(4)
#define PF_KEY BIT(5)

/* Of a protection key in PKRU: what is taken from user pages. */
#define PKRU_NO_ACCESS(key) BIT(2 * (key))
#define PKRU_NO_WRITE(key) BIT(2 * (key) + 1)

/* Width of linear addresses, by levels of paging. */
#define LINEAR_BITS 48
#define LINEAR_BITS_LA57 57

/* Whether the bits from linear_bits - 1 up are equal. */
static inline bool is_canonical(u64 addr, u32 linear_bits)
{
	u32 unused = 64 - linear_bits;

	return (u64)((int64_t)(addr << unused) >> unused) == addr;
}

/*
 * Reserved bits of an entry of 64 bits whose index stands at `shift`, beside those that the CPU's width and EFER.NXE
 * make so: a table of 512 GiB or more is no page, and a large page is aligned.
 */
static inline bool is_malformed_pte(u64 entry, u32 shift)
{
	if (likely(!(entry & PTE_LARGE)) || shift == 12)
		return false;
	return shift > 30 || (entry & BITS(shift - 1, 13));
}

/* Each byte of IA32_PAT is one of the memory types 0, 1, 4, 5, 6, 7: no bit above 2 set, and not 2 or 3. */
static inline bool is_valid_pat(u64 pat)
{
	const u64 every = 0x0101010101010101ull;

	return !(pat & (0xf8 * every)) && !((pat >> 1 & ~(pat >> 2)) & every);
}

#endif
#endif
