/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies page by page, where each page has to be found first: by EPT01, by a guest's page tables, in a partition.
 */
#ifndef XMHF_PAGE_COPY_H
#define XMHF_PAGE_COPY_H

#include "lib/base.h"
#include "lib/string.h"

/* How much of [addr, addr + len) lies in the first page. */
static inline size_t page_part(u64 addr, size_t len)
{
	return MIN(len, PAGE_SIZE - (addr & (PAGE_SIZE - 1)));
}

/* The parts of [addr, addr + len), a page each: `part` bytes from addr + done. */
#define for_each_page_part(done, part, addr, len)                                                                     \
	for (size_t done = 0, part; done < (len) && (part = page_part((addr) + done, (len) - done)); done += part)

/* Between a buffer and a part's memory. */
static inline void copy_part(void *memory, void *buf, size_t len, bool write)
{
	if (write)
		memcpy(memory, buf, len);
	else
		memcpy(buf, memory, len);
}

#endif
