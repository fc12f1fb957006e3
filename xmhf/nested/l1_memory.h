/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L1's memory, page by page, for what is read there again and again: EPT12, operands, bitmaps. Each CPU remembers the last
 * pages that it looked up in EPT01, until EPT01 takes rights away (ept01_generation).
 */
#ifndef XMHF_NESTED_L1_MEMORY_H
#define XMHF_NESTED_L1_MEMORY_H

#include "lib/base.h"

#define PAGE_ADDR (~(u64)(PAGE_SIZE - 1))

#define L1_PAGES 32 /* a power of two */
struct l1_pages {
	u64 generation; /* ept01_generation of all entries */
	struct {
		u64 gpa1;   /* page, with the rights in its low bits */
		void *page; /* direct map; NULL: empty */
	} entry[L1_PAGES];
};

/* The page at gpa1, which is page-aligned, if L1 has RAM there with these rights; else NULL. */
void *l1_page(u64 gpa1, u32 rights);

#endif
