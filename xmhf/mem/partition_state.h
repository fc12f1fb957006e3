/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct partition, for the two files that implement partitions and for nobody else. */
#ifndef XMHF_PARTITION_STATE_H
#define XMHF_PARTITION_STATE_H

#include "cpu/fpu.h"
#include "mem/ept.h"
#include "mem/partition.h"

/*
 * A partition's physical addresses are of our making, so that its EPT is as small as can be: page i of the list lies
 * at i * PAGE_SIZE, page-table page i at PARTITION_TABLES + i * PAGE_SIZE. Two level-1 tables map all of it, and tell
 * the core where each page really is.
 */
#define PARTITION_TABLES SIZE_2M
#define PARTITION_MAX_TABLES 512
#define PARTITION_KEPT_TABLES 6 /* stay with the slot, empty; the others go back to the pool */

/* A page and the entry of the partition's page tables that maps it. */
struct partition_mapping {
	u64 gva;
	u64 *entry;
};

struct partition {
	const struct hypapp_descriptor *app; /* owner; NULL: free. Changed under a stop */
	u64 handle;                          /* different for each partition ever made; its number in the low bits */
	u32 page_count, table_count;
	u32 own_count;                       /* of the pages, the last so many are root memory */
	_Atomic u32 runner;                  /* CPU index + 1; 0: does not run */
	struct partition_home home;          /* by whoever holds home_busy */
	_Atomic bool home_busy;
	struct fpu fpu;                      /* no pages: the partition has no FPU */

	/* Pages of root memory that stay with the slot once made; empty while it is free. */
	u64 *ept_root;
	u64 *page_frames;                    /* EPT entries of the pages, by number */
	u64 *table_frames;                   /* EPT entries of the page tables; 0 is the level-4 table */
	u64 *page_tables;                    /* that one */
	struct partition_mapping *mappings;  /* of the pages, by number */
	u64 **parents;                       /* the entry that leads to page table i, but for the first */
};

_Static_assert(PARTITION_MAX_PAGES * sizeof(struct partition_mapping) <= PAGE_SIZE, "the list is one page");
_Static_assert(PARTITION_MAX_TABLES * sizeof(u64 *) <= PAGE_SIZE, "the list is one page");
_Static_assert(PARTITION_MAX_PAGES <= 512, "one level-1 table maps them");

#endif
