/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How wide a physical address is. The bits that multi-key memory encryption (TME-MK) takes for key numbers count as
 * bits that are not there: an address with one of them is another name of memory that it does not say.
 */
#ifndef XMHF_PHYS_BITS_H
#define XMHF_PHYS_BITS_H

#include "lib/base.h"

extern u32 phys_bits_known; /* 0: not asked for yet */
u32 phys_bits_ask(void);

/* Of this machine; the same on every CPU. */
static inline u32 phys_bits(void)
{
	return likely(phys_bits_known) ? phys_bits_known : phys_bits_ask();
}

/* width: MAXPHYADDR; activate: IA32_TME_ACTIVATE, 0 where there is none. */
static inline u32 phys_bits_without_keys(u32 width, u64 activate)
{
	u32 keys = (activate & 3) == 3 ? (u32)(activate >> 32) & 15 : 0; /* locked and enabled */

	return keys < width ? width - keys : width;
}

#endif
