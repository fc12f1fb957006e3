/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L1's memory, for what is read there again and again: EPT12, operands, bitmaps. Each CPU remembers the pages and the
 * mapping that it looked up last in EPT01, until EPT01 loses rights: each look-up compares ept01_generation. What it
 * answers is good until the next safe point.
 */
#ifndef XMHF_NESTED_L1_MEMORY_H
#define XMHF_NESTED_L1_MEMORY_H

#include "mem/ept01.h"

#define PAGE_ADDR (~(u64)(PAGE_SIZE - 1))
#define L1_PAGES 64 /* a power of two */

struct l1_memory {
	u64 generation; /* ept01_generation of all that follows */
	struct {
		u64 tag;    /* L1-physical page, with the rights in its low bits; 0: empty */
		void *page; /* in the direct map */
	} page[L1_PAGES];
	u64 leaf_base, leaf_mask; /* the large mapping that `leaf` describes; mask 0: none */
	struct ept01_leaf leaf;   /* hpa: of its first byte */
};

void *l1_page_slow(struct l1_memory *memory, u64 gpa1, u32 rights);

/* The page at gpa1, which is page-aligned, if L1 has RAM there with these rights; else NULL. */
static inline void *l1_page(struct l1_memory *memory, u64 gpa1, u32 rights)
{
	u32 i = (u32)(gpa1 >> PAGE_SHIFT ^ gpa1 >> (PAGE_SHIFT + 6)) & (L1_PAGES - 1);
	u64 tag = memory->page[i].tag;

	if (likely((tag & PAGE_ADDR) == gpa1 && (tag & rights) == rights && memory->generation == ept01_generation))
		return memory->page[i].page;
	return l1_page_slow(memory, gpa1, rights);
}

/* ept01_lookup(), quick for what lies in the large mapping that was looked up last. */
bool l1_leaf(struct l1_memory *memory, gpa1_t gpa1, struct ept01_leaf *leaf);

#endif
