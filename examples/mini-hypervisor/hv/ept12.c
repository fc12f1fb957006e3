/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builder of L2's EPT tables. Tables come from the page pool and are never freed. Callers: hv.c and the tests. */
#include "ept12.h"

void ept_init(struct ept12 *ept)
{
	ept->root = page_alloc();
	ept->eptp = (u64)ept->root | EPTP_WB_4_LEVELS;
}

u64 *ept_entry(struct ept12 *ept, u64 gpa, int level)
{
	u64 *table = ept->root;

	for (int at = 4;; at--) {
		u64 *entry = &table[gpa >> (12 + 9 * (at - 1)) & 511];

		if (at == level)
			return entry;
		if (!(*entry & EPT_RWX))
			*entry = (u64)page_alloc() | EPT_RWX;
		else if (*entry & EPT_LARGE)
			fail("ept_entry: 0x%lx lies in a larger leaf", gpa);
		table = (u64 *)(*entry & EPT_ADDRESS);
	}
}

void ept_map(struct ept12 *ept, u64 gpa, u64 hpa, int level, u64 bits)
{
	*ept_entry(ept, gpa, level) = hpa | bits | (level > EPT_4K ? EPT_LARGE : 0);
}

void ept_map_range(struct ept12 *ept, u64 start, u64 end, int level, u64 bits)
{
	for (u64 at = start; at < end; at += ept_leaf_size(level))
		ept_map(ept, at, at, level, bits);
}

void ept_flush(const struct ept12 *ept)
{
	struct inv_descriptor d = { ept->eptp, 0 };

	if (try_invept(1, &d) != VMX_OK)
		fail("INVEPT of an EPTP in use failed");
}
