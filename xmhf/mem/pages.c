/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See pages.h. A free page is zero but for the list's link, so that handing it out costs nothing. Boot allocations come
 * from the low end of the pool and stay.
 */
#include "mem/pages.h"

#include "cpu/spinlock.h"
#include "lib/string.h"
#include "report/log.h"

u64 root_start, root_end, root_low, direct_map_end = 1ul << 32;

static struct spinlock pool_lock;
static u64 next;         /* first byte never handed out; pool_lock */
static void **free_list; /* pool_lock */
static size_t free_count; /* pool_lock */

void pages_init(hpa_t start)
{
	next = ALIGN_UP(start.addr, PAGE_SIZE);
}

static void *take_new(size_t count)
{
	u64 at = next;

	if (root_end - at < count * PAGE_SIZE)
		return NULL;
	next += count * PAGE_SIZE;
	return phys_to_virt(HPA(at));
}

void *pages_boot_alloc(size_t count)
{
	spin_lock(&pool_lock);
	void *pages = take_new(count);
	spin_unlock(&pool_lock);

	if (!pages)
		panic("root memory is too small: %zu pages more are needed at boot", count);
	return memset(pages, 0, count * PAGE_SIZE);
}

#define KEPT_FOR_L1 64

/* Leaves that many pages. */
static void *take(size_t leave)
{
	spin_lock(&pool_lock);
	void **page = free_list;

	if (unlikely(pages_left() <= leave)) {
		spin_unlock(&pool_lock);
		return NULL;
	}
	if (likely(page)) {
		free_list = *page;
		free_count--;
		spin_unlock(&pool_lock);
		*page = NULL;
		return page;
	}
	page = take_new(1);
	spin_unlock(&pool_lock);
	return page ? memset(page, 0, PAGE_SIZE) : NULL;
}

void *page_alloc(void)
{
	return take(KEPT_FOR_L1);
}

void *page_alloc_for_l1(void)
{
	return take(0);
}

void page_free(void *page)
{
	spin_lock(&pool_lock);
	*(void **)page = free_list;
	free_list = page;
	free_count++;
	spin_unlock(&pool_lock);
}

size_t pages_left(void)
{
	return free_count + (root_end - next) / PAGE_SIZE;
}
