/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Root memory: the range at the top of low RAM that belongs to the core, its 4 KiB pages, and the direct map through
 * which root sees all physical memory. Pages are handed out zeroed; the pool is guarded by its own lock.
 */
#ifndef XMHF_PAGES_H
#define XMHF_PAGES_H

#include "lib/base.h"

#ifndef DIRECT_MAP /* the simulator has it elsewhere */
#define DIRECT_MAP 0xffff800000000000ul
#endif

/* The core's own range, host-physical: [root_start, root_end), 2 MiB aligned. Constant after boot. */
extern u64 root_start, root_end;
/*
 * And a part of it below 1 MiB, where the firmware goes when it wakes the machine (power/wake.h); 0: none. Constant
 * after boot.
 */
extern u64 root_low;
#define ROOT_LOW_BYTES 0x2000ul

static inline void *phys_to_virt(hpa_t hpa)
{
	return (void *)(DIRECT_MAP + hpa.addr);
}

/* The same of a number that a firmware or a loader has told. */
static inline void *physical_at(u64 addr)
{
	return phys_to_virt(HPA(addr));
}

/*
 * For addresses in the direct map only (all that page_alloc() and pages_boot_alloc() return), not for those of the
 * image.
 */
static inline hpa_t virt_to_phys(const void *p)
{
	return HPA((u64)p - DIRECT_MAP);
}

/* First address that the direct map does not reach; memory above it (devices) is not touched by root. */
extern u64 direct_map_end;

/* Whether any of [start, end) is root memory. */
static inline bool meets_root_memory(u64 start, u64 end)
{
	return (start < root_end && root_start < end) ||
	       (root_low && start < root_low + ROOT_LOW_BYTES && root_low < end);
}

static inline bool is_root_memory(u64 hpa)
{
	return meets_root_memory(hpa, hpa + 1);
}

/* The pool becomes [start, root_end). Once, at boot. */
void pages_init(hpa_t start);

/*
 * `count` zeroed pages in a row, aligned to one page, from the never-freed part; panics when boot needs more than
 * there is.
 */
void *pages_boot_alloc(size_t count);

/* One zeroed page, or NULL when the pool is empty. Any CPU. Who frees a page has cleared what it wrote there. */
void *page_alloc(void);
/* The same for what L1 needs of its own machine: the last pages are kept for that, whatever partitions take. */
void *page_alloc_for_l1(void);
void page_free(void *page);
size_t pages_left(void);

#endif
