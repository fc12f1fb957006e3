/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended page tables as a data structure: four levels, leaves of 4 KiB, 2 MiB and 1 GiB. Used for EPT01; the layout
 * of entries is that of partitions' EPTs and of EPT02, too. Nothing here flushes; who takes rights away does, under a
 * stop.
 */
#ifndef XMHF_EPT_H
#define XMHF_EPT_H

#include "lib/base.h"
#include "mem/pages.h"

/*
 * EPT entry (SDM vol. 3, "The Extended Page Table Mechanism"). Rights are the same bits in entries, in qualifications
 * of violations, in hypapi and, as far as they go, in the tables of devices.
 */
#define EPT_RIGHTS 7ull
_Static_assert(EPT_RIGHTS == HYPAPI_RWX && HYPAPI_R == BIT(0) && HYPAPI_W == BIT(1) && HYPAPI_X == BIT(2), "an entry");
#define EPT_TYPE_SHIFT 3
#define EPT_TYPE (7ull << EPT_TYPE_SHIFT)
#define EPT_WC (1ull << EPT_TYPE_SHIFT)
#define EPT_WB (6ull << EPT_TYPE_SHIFT)
#define EPT_IGNORE_PAT BIT(6)
#define EPT_LARGE BIT(7)
#define EPT_ACCESSED BIT(8) /* these two where EPTP has EPTP_AD */
#define EPT_DIRTY BIT(9)
#define EPT_ADDR BITS(51, 12)
#define EPT_SUPPRESS_VE BIT(63)
#define EPT_LEVELS 4

static inline unsigned int ept_index(u64 gpa, unsigned int level)
{
	return (gpa >> LEVEL_SHIFT(level)) & 511;
}

struct ept {
	u64 *root;              /* level-4 table, direct map */
	void *(*alloc)(void);   /* a zeroed table page or NULL */
};

/* Above level 1: an entry that leads to no further table. */
static inline bool ept_is_leaf(u64 entry)
{
	return (entry & EPT_LARGE) || !(entry & EPT_RIGHTS);
}

/* Each step of a walk: what it finds in a table was there before the entry that leads to it, whoever made both. */
static inline u64 ept_load(const u64 *entry)
{
	return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static inline u64 *ept_below(u64 entry, u64 gpa, unsigned int level)
{
	return (u64 *)phys_to_virt(HPA(entry & EPT_ADDR)) + ept_index(gpa, level);
}

/*
 * The entry that maps gpa, or the first non-present one on the way. Never NULL. In line: it is most of a page walk's
 * cost.
 */
static inline u64 *ept_find(const struct ept *ept, u64 gpa, unsigned int *level)
{
	u64 *at = &ept->root[ept_index(gpa, 4)], entry = ept_load(at);

	*level = 4;
	if (!ept_is_leaf(entry)) {
		*level = 3;
		at = ept_below(entry, gpa, 3);
		entry = ept_load(at);
		if (!ept_is_leaf(entry)) {
			*level = 2;
			at = ept_below(entry, gpa, 2);
			entry = ept_load(at);
			if (!ept_is_leaf(entry)) {
				*level = 1;
				at = ept_below(entry, gpa, 1);
			}
		}
	}
	return at;
}

/*
 * The entry for gpa in the table at `level`, with the tables made on the way, and larger leaves split, which keeps what
 * they map. NULL: no table page was free, and nothing changed that a guest can see.
 */
must_check u64 *ept_make(struct ept *ept, u64 gpa, unsigned int level);

static inline u64 ept_pointer(const u64 *root)
{
	return virt_to_phys(root).addr + (3 << 3) + 6; /* 4-level walk, write-back */
}

#endif
