/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The devices' tables: random changes against an array of rights, with every kind of unit, and pools that run out. The
 * walk of the test is its own: it takes an entry as the specification has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "iommu/domain.h"
#include "mem/pages.h"

#define POOL_PAGES 64
#define GIB 1024ul
#define ROUNDS 4000

u64 machine_direct_map;
static struct domain domain;
static u32 free_pages, order[POOL_PAGES];
static bool in_use[POOL_PAGES];

void *page_alloc(void)
{
	void *page;

	if (!free_pages)
		return NULL;
	page = phys_to_virt(HPA(order[--free_pages] * PAGE_SIZE));
	in_use[order[free_pages]] = true;
	for (size_t i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(((u8 *)page)[i], 0);
	return page;
}

void page_free(void *page)
{
	u32 number = (u32)(virt_to_phys(page).addr / PAGE_SIZE);

	assert_true(in_use[number]);
	in_use[number] = false;
	order[free_pages++] = number;
}

static void fresh(u32 levels, u32 largest, bool grants_flush, u32 pages)
{
	memset((void *)machine_direct_map, 0, POOL_PAGES * PAGE_SIZE);
	memset(in_use, 0, sizeof(in_use));
	for (free_pages = 0; free_pages < pages; free_pages++)
		order[free_pages] = free_pages;
	domain = (struct domain){ .levels = levels, .largest = largest, .coherent = grants_flush,
				  .grants_flush = grants_flush, .most_tables = POOL_PAGES };
	assert_true(domain_init(&domain));
}

/* What a device may do at `at`, and that it comes out where it went in. */
static u64 walk(u64 at)
{
	u64 table = virt_to_phys(domain.root).addr;

	for (int shift = 12 + 9 * ((int)domain.levels - 1);; shift -= 9) {
		u64 entry = ((u64 *)phys_to_virt(HPA(table)))[at >> shift & 511], target = entry & BITS(51, 12);

		if (!(entry & 3))
			return 0;
		assert_int_equal(entry & ~(BITS(51, 12) | 3 | BIT(7)), 0);
		if (shift == 12 || entry & BIT(7)) {
			assert_true(shift <= 12 + 9 * ((int)domain.largest - 1));
			assert_int_equal(entry & BIT(7), shift == 12 ? 0 : BIT(7));
			assert_int_equal(target, at >> shift << shift);
			return entry & 3;
		}
		assert_true(target / PAGE_SIZE < POOL_PAGES && in_use[target / PAGE_SIZE]);
		table = target;
	}
}

static u32 tables(void)
{
	u32 count = 0;

	for (u32 i = 0; i < POOL_PAGES; i++)
		count += in_use[i];
	return count;
}

/* Rights page by page in two windows: over a boundary of 2 MiB, and over one of 1 GiB. */
#define WINDOW 1536ul
static const u64 windows[] = { 5 * SIZE_2M - 512 * PAGE_SIZE, GIB << 20 };
static u8 model[2][WINDOW];

static void compare(void)
{
	for (u32 w = 0; w < 2; w++)
		for (u64 page = 0; page < WINDOW; page++) {
			u64 at = windows[w] - 256 * PAGE_SIZE + page * PAGE_SIZE;

			assert_int_equal(walk(at), model[w][page]);
		}
}

static void random_change(void)
{
	u32 w = (u32)rand() & 1, first = (u32)rand() % WINDOW, count = 1 + (u32)rand() % (rand() % 2 ? 3 : 600);
	u64 rights = (u64)rand() & 3, at = windows[w] - 256 * PAGE_SIZE + first * PAGE_SIZE;
	bool remembered = false;

	count = MIN(count, (u32)WINDOW - first);
	for (u32 i = 0; i < count; i++)
		remembered |= model[w][first + i] && model[w][first + i] != rights;
	assert_true(domain_set(&domain, at, at + count * PAGE_SIZE, rights));
	memset(&model[w][first], (int)rights, count);
	if (remembered)
		assert_true(domain.owes_flush);
}

static void random_changes(u32 levels, u32 largest, bool grants_flush)
{
	u32 start;

	fresh(levels, largest, grants_flush, POOL_PAGES);
	assert_true(domain_set(&domain, 0, 4 * SIZE_1G >> (largest == 1 ? 7 : 0), DOMAIN_RW));
	start = tables();
	memset(model, 3, sizeof(model));
	if (largest == 1)
		memset(model[1], 0, sizeof(model[1]));
	for (u32 i = 0; i < ROUNDS; i++) {
		random_change();
		if (!(i % 50))
			compare();
		if (rand() % 2)
			domain_flushed(&domain);
	}
	compare();
	/* All given back: not a page is lost. */
	domain_flushed(&domain);
	for (u32 w = 0; w < 2; w++) {
		u64 at = windows[w] - 256 * PAGE_SIZE;

		assert_true(domain_set(&domain, at, at + WINDOW * PAGE_SIZE, w && largest == 1 ? 0 : DOMAIN_RW));
		domain_flushed(&domain);
	}
	/* What has less than all rights keeps its tables: of the second window, where leaves are small, all five. */
	assert_int_equal(tables(), start + (largest == 1 ? 5 : 0));
}

static void changes(void **state)
{
	(void)state;
	for (u32 levels = 3; levels <= 4; levels++)
		for (u32 largest = 1; largest <= 3; largest++)
			random_changes(levels, largest, largest & 1);
}

/* Who is refused for want of a page has the rights that it had, and so has the rest of a table that was begun. */
static void no_pages(void **state)
{
	(void)state;
	for (u32 pages = 1; pages < 5; pages++) {
		bool done;

		fresh(4, 3, false, pages);
		done = domain_set(&domain, 0, SIZE_1G, DOMAIN_RW);
		assert_int_equal(done, pages >= 2);
		if (!done)
			continue;
		done = domain_set(&domain, 7 * SIZE_2M, 7 * SIZE_2M + PAGE_SIZE, DOMAIN_R);
		assert_int_equal(done, pages >= 4);
		assert_int_equal(walk(7 * SIZE_2M), done ? DOMAIN_R : DOMAIN_RW);
		assert_int_equal(walk(7 * SIZE_2M + PAGE_SIZE), DOMAIN_RW);
		assert_int_equal(walk(8 * SIZE_2M), DOMAIN_RW);
	}
}

/* A page that comes and goes costs its table once; many of them cost no more than what may be kept. */
static void kept_tables(void **state)
{
	u32 start;

	(void)state;
	fresh(4, 2, false, POOL_PAGES);
	assert_true(domain_set(&domain, 0, 4 * SIZE_1G, DOMAIN_RW));
	start = tables();
	assert_int_equal(start, 1 + domain.tables);
	domain.merge_above = domain.tables + 4;
	for (u64 i = 0; i < 3000; i++) {
		u64 at = i * (i < 10 ? PAGE_SIZE : SIZE_2M) % (3 * SIZE_1G);

		assert_true(domain_set(&domain, at, at + PAGE_SIZE, 0));
		assert_int_equal(walk(at), 0);
		domain_flushed(&domain);
		assert_true(domain_set(&domain, at, at + PAGE_SIZE, DOMAIN_RW));
		assert_int_equal(walk(at), DOMAIN_RW);
		if (i < 10)
			assert_true(tables() == start + 1 && !domain.retired_count);
		assert_in_range(tables(), start, start + 5);
		assert_int_equal(tables(), 1 + domain.tables + domain.retired_count);
	}
}

/* 64 GiB and its hole: the tables are few. Nothing is at addresses that they do not have. */
static void large_memory(void **state)
{
	(void)state;
	fresh(3, 3, false, 4);
	assert_true(domain_set(&domain, 0, 0xc0000000, DOMAIN_RW));
	assert_true(domain_set(&domain, 4 * SIZE_1G, 65 * SIZE_1G, DOMAIN_RW));
	assert_int_equal(tables(), 1);
	assert_int_equal(walk(64 * SIZE_1G), DOMAIN_RW);
	assert_true(domain_set(&domain, BIT(39), BIT(40), DOMAIN_RW));
	assert_true(domain_prepare(&domain, BIT(39)));
	assert_int_equal(tables(), 1);
	assert_int_equal(walk(0xc0000000), 0);
	fresh(4, 2, false, POOL_PAGES);
	assert_true(domain_set(&domain, 0, 48 * SIZE_1G, DOMAIN_RW));
	assert_int_equal(tables(), 2 + 48);
}

/* Not a page more than the bound; what is dropped comes back whole and clean (page_alloc() looks). */
static void bounded(void **state)
{
	(void)state;
	fresh(4, 1, false, POOL_PAGES);
	domain.most_tables = 9;
	assert_false(domain_set(&domain, 0, 16 * SIZE_2M, DOMAIN_RW));
	assert_int_equal(tables(), 1 + 9);
	domain_drop(&domain);
	assert_int_equal(tables(), 0);
	while (free_pages)
		(void)page_alloc();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes), cmocka_unit_test(no_pages), cmocka_unit_test(kept_tables),
		cmocka_unit_test(large_memory), cmocka_unit_test(bounded),
	};

	machine_direct_map = (u64)mmap(NULL, POOL_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (machine_direct_map == (u64)MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
