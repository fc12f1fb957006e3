/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT02 as hardware sees it: random maps, invalidations, root changes and pool exhaustion against a list of what may be
 * reachable. The direct map of the core is plain arithmetic, so ordinary host memory serves as the pool.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "nested/ept02.h"
#include "vmx/vmcs.h"

static struct ept02 ept;

/* EPT12's table that the leaf `small` is in. */
static u64 table12[512];
static const struct ept12_leaf small = { .level = 1, .depth = 4, .entry = { HYPAPI_RWX, HYPAPI_RWX, HYPAPI_RWX },
					 .at[3] = { .addr = 0x123456008 } };

const u64 *ept12_at(gpa1_t entry)
{
	assert_int_equal(entry.addr, 0x123456000);
	return table12;
}

/* Pages are far apart for a host pointer in the direct map's arithmetic only if the address has 48 bits; it has. */
static u64 *table_of(u64 entry)
{
	return (u64 *)((entry & EPT_ADDR) - 0x800000000000ull);
}

static u64 hardware_walk(u32 root, u64 gpa2, u32 *level)
{
	u64 *table = table_of(ept02_pointer(&ept, root));

	for (*level = EPT_LEVELS;; --*level) {
		u64 entry = table[ept_index(gpa2, *level)];

		if (!(entry & EPT_RIGHTS))
			return 0;
		if (*level == 1 || (entry & EPT_LARGE))
			return entry;
		table = table_of(entry);
	}
}

static void fresh_pool(u32 page_count)
{
	static void *pool;
	static struct ept02_used used[EPT02_PAGES_MAX];

	free(pool);
	pool = aligned_alloc(4096, page_count * 4096);
	memset(pool, 0, page_count * 4096);
	memset(used, 0, sizeof(used));
	ept02_init(&ept, pool, used, page_count);
}

static int fresh(void **state)
{
	(void)state;
	fresh_pool(EPT02_PAGES);
	return 0;
}

/* EPT12's type, but no device that EPT01 has uncached in a cache. */
static void memory_types(void **state)
{
	(void)state;
	for (u64 type = 0; type < 8; type++)
		for (u64 pat = 0; pat <= EPT_IGNORE_PAT; pat += EPT_IGNORE_PAT) {
			u64 type12 = type << EPT_TYPE_SHIFT | pat;

			assert_int_equal(ept02_type(type12, true, 0), type12);
			assert_int_equal(ept02_type(type12, true, 6), type12);
			assert_int_equal(ept02_type(type12, false, 6), type12); /* flash, say */
			assert_int_equal(ept02_type(type12, false, 0), type == 1 ? type12 : pat);
		}
}

static void maps_and_forgets(void **state)
{
	u32 level, found;
	bool flush;

	(void)state;
	u32 root = ept02_root(&ept, 0x101e, &flush);

	assert_true(flush);
	assert_int_equal(ept02_root(&ept, 0x101e, &flush), root);
	assert_false(flush);
	assert_true(ept02_map(&ept, root, 0x7000, 1, 0xabc000 | HYPAPI_RW, NULL));
	assert_true(ept02_map(&ept, root, 0x40200000, 2, 0x600000 | HYPAPI_RX | EPT_LARGE, NULL));
	assert_int_equal(hardware_walk(root, 0x7000, &level), 0xabc000 | HYPAPI_RW);
	assert_int_equal(level, 1);
	assert_int_equal(hardware_walk(root, 0x40212345, &level), 0x600000 | HYPAPI_RX | EPT_LARGE);
	assert_int_equal(level, 2);
	assert_false(ept02_invalidate(&ept, 0x201e, &found));
	assert_false(ept02_invalidate(&ept, 0, &found)); /* a free root is nobody's */
	assert_true(ept02_invalidate(&ept, 0x101e, &found));
	assert_int_equal(found, 1u << root);
	assert_int_equal(hardware_walk(root, 0x7000, &level), 0);
	assert_true(ept02_map(&ept, root, 0x8000, 1, 0xdef000 | HYPAPI_RW, NULL));
	assert_int_equal(hardware_walk(root, 0x7000, &level), 0); /* the same tables, but nothing old in them */
	assert_int_equal(hardware_walk(root, 0x40200000, &level), 0);
	assert_int_equal(hardware_walk(root, 0x8000, &level), 0xdef000 | HYPAPI_RW);
}

/* INVEPT knows bits 51:12 only: the same table with other flags goes, too, with or without a root of its own. */
static void the_same_table_goes_whatever_its_flags(void **state)
{
	u32 plain, other, level, found;
	bool flush;

	(void)state;
	plain = ept02_root(&ept, 0x101e, &flush);
	other = ept02_root(&ept, 0x201e, &flush);
	assert_true(ept02_map(&ept, plain, 0x7000, 1, 0xabc000 | HYPAPI_RW, NULL));
	assert_true(ept02_map(&ept, other, 0x7000, 1, 0xdef000 | HYPAPI_RW, NULL));
	assert_false(ept02_invalidate(&ept, 0x101e | EPTP_AD, &found));
	assert_int_equal(found, 1u << plain);
	assert_int_equal(hardware_walk(plain, 0x7000, &level), 0);
	assert_int_equal(hardware_walk(other, 0x7000, &level), 0xdef000 | HYPAPI_RW);
	u32 flagged = ept02_root(&ept, 0x101e | EPTP_AD, &flush);

	assert_int_not_equal(flagged, plain);
	assert_true(ept02_map(&ept, plain, 0x7000, 1, 0xabc000 | HYPAPI_RW, NULL));
	assert_true(ept02_map(&ept, flagged, 0x7000, 1, 0xabc000 | HYPAPI_RW, NULL));
	assert_true(ept02_invalidate(&ept, 0x101e, &found));
	assert_int_equal(found, 1u << plain | 1u << flagged);
	assert_int_equal(hardware_walk(plain, 0x7000, &level), 0);
	assert_int_equal(hardware_walk(flagged, 0x7000, &level), 0);
}

static void tables_are_used_again(void **state)
{
	u32 root, found;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	for (u32 i = 0; i < 10 * EPT02_PAGES; i++) {
		assert_true(ept02_map(&ept, root, 0x7000, 1, 0xabc000 | HYPAPI_RW, NULL));
		assert_true(ept02_invalidate(&ept, 0x101e, &found));
	}
	assert_int_equal(ept.next, ept.root_count + 3);
}

/* No address of a table or page of ours stands as it is in an entry that is not present (L1TF). */
static void absent_entries_name_no_table(void **state)
{
	u32 root, found;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	assert_true(ept02_map(&ept, root, 0x7000, 1, 0xabc000 | HYPAPI_RW, NULL));
	u64 table = table_of(ept02_pointer(&ept, root))[0] & EPT_ADDR;

	assert_true(ept02_invalidate(&ept, 0x101e, &found));
	assert_int_equal(table_of(ept02_pointer(&ept, root))[0] & EPT_RIGHTS, 0);
	assert_int_equal(table_of(ept02_pointer(&ept, root))[0] & table, 0);
}

static void large_and_small_replace_each_other(void **state)
{
	u32 root, level;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	assert_true(ept02_map(&ept, root, 0x200000, 2, 0x600000 | HYPAPI_RWX | EPT_LARGE, NULL));
	assert_true(ept02_map(&ept, root, 0x201000, 1, 0x9000 | HYPAPI_R, NULL));
	assert_int_equal(hardware_walk(root, 0x201000, &level), 0x9000 | HYPAPI_R);
	assert_int_equal(hardware_walk(root, 0x202000, &level), 0);
	assert_true(ept02_map(&ept, root, 0x200000, 2, 0x800000 | HYPAPI_RWX | EPT_LARGE, NULL));
	assert_int_equal(hardware_walk(root, 0x201000, &level), 0x800000 | HYPAPI_RWX | EPT_LARGE);
}

/* A large leaf that was aged leaves nothing behind that a second ageing could take for a table. */
static void a_large_leaf_ages_once(void **state)
{
	u32 root, level, found;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	assert_true(ept02_map(&ept, root, 0x200000, 2, 0x600000 | HYPAPI_RWX | EPT_LARGE, NULL));
	for (u32 i = 0; i < 3; i++) {
		assert_true(ept02_invalidate(&ept, 0x101e, &found));
		assert_true(ept02_map(&ept, root, 0x400000, 2, 0x800000 | HYPAPI_RWX | EPT_LARGE, NULL));
		assert_int_equal(hardware_walk(root, 0x200000, &level), 0);
	}
	assert_true(ept02_map(&ept, root, 0x201000, 1, 0x9000 | HYPAPI_R, NULL));
	assert_int_equal(hardware_walk(root, 0x201000, &level), 0x9000 | HYPAPI_R);
	assert_int_equal(hardware_walk(root, 0x200000, &level), 0);
}

static void roots_do_not_share(void **state)
{
	u32 level;
	bool flush;

	(void)state;
	for (u64 key = 1; key <= 3 * ept.root_count; key++) {
		u32 root = ept02_root(&ept, key << 12, &flush);

		assert_int_equal(hardware_walk(root, 0x7000, &level), 0);
		assert_true(ept02_map(&ept, root, 0x7000, 1, key << 20 | HYPAPI_R, NULL));
		assert_int_equal(hardware_walk(root, 0x7000, &level), key << 20 | HYPAPI_R);
	}
	assert_int_equal(ept02_pointer(&ept, 0) & ~EPT_ADDR, EPTP_WALK_4 | EPT_TYPE_WB);
	u32 root = ept02_root(&ept, 0x5000 | EPTP_AD, &flush);

	assert_true(ept02_pointer(&ept, root) & EPTP_AD);
}

/* "EPT01" of these tests: memory from 1 GiB on is lost, where nothing is said of what was lost. */
static u32 looks, remembers;

static u64 below_1g(const u64 *entries, u64 leaves, unsigned int level)
{
	u64 stay = 0;

	assert_in_range(level, 1, 3);
	for (; leaves; leaves &= leaves - 1, looks++) {
		u64 entry = entries[__builtin_ctzll(leaves)];

		assert_true(entry & EPT_RIGHTS && (level == 1 || (entry & EPT_LARGE)));
		stay |= (entry & EPT_ADDR) < 0x40000000 ? leaves & -leaves : 0;
	}
	return stay;
}

static void remember(u64 page)
{
	(void)page;
	remembers++;
}

static const struct ept02_change some_change = { .keep = below_1g, .remember = remember };

static void revalidation_drops_what_is_lost(void **state)
{
	u32 one, two, level;
	bool flush;

	(void)state;
	one = ept02_root(&ept, 0x101e, &flush);
	two = ept02_root(&ept, 0x201e, &flush);
	assert_true(ept02_map(&ept, one, 0x7000, 1, 0xabc000 | HYPAPI_RWX, NULL));
	assert_true(ept02_map(&ept, one, 0x8000, 1, 0x40000000 | HYPAPI_RWX, NULL));
	assert_true(ept02_map(&ept, one, 0x200000, 2, 0x40200000 | HYPAPI_RWX | EPT_LARGE, NULL));
	assert_true(ept02_map(&ept, one, 0x400000, 2, 0x600000 | HYPAPI_RX | EPT_LARGE, NULL));
	assert_true(ept02_map(&ept, two, 0x7000, 1, 0x50000000 | HYPAPI_R, NULL));
	looks = 0;
	ept02_revalidate(&ept, &some_change);
	assert_int_equal(looks, 5);
	assert_int_equal(hardware_walk(one, 0x7000, &level), 0xabc000 | HYPAPI_RWX);
	assert_int_equal(hardware_walk(one, 0x8000, &level), 0);
	assert_int_equal(hardware_walk(one, 0x200000, &level), 0);
	assert_int_equal(hardware_walk(one, 0x400000, &level), 0x600000 | HYPAPI_RX | EPT_LARGE);
	assert_int_equal(hardware_walk(two, 0x7000, &level), 0);
	/* The holes can be filled, and later invalidations know nothing of what was there. */
	assert_true(ept02_map(&ept, one, 0x201000, 1, 0x9000 | HYPAPI_RWX, NULL));
	ept02_invalidate_all(&ept);
	assert_true(ept02_map(&ept, one, 0x9000, 1, 0xa000 | HYPAPI_RWX, NULL));
	assert_int_equal(hardware_walk(one, 0x7000, &level), 0);
	assert_int_equal(hardware_walk(one, 0x201000, &level), 0);
}

/* Where the losses are known, pages of RAM in a row are asked for if they are lost; all else is asked for always. */
static void revalidation_asks_for_what_was_lost(void **state)
{
	static u64 losses[EPT01_LOSSES];
	struct ept02_change change = { .keep = below_1g, .remember = remember, .losses = losses, .since = 7, .now = 7 };
	u64 ram = HYPAPI_RWX | EPT01_RAM;
	u32 root, level;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	for (u64 i = 1; i < 9; i++) {
		assert_true(ept02_map(&ept, root, i << 12, 1, (0x40200000 + (i << 12)) | ram, NULL)); /* a row */
		/* none */
		assert_true(ept02_map(&ept, root, 0x200000 + (i << 12), 1, (0x300000 + (i << 13)) | ram, NULL));
	}
	assert_true(ept02_map(&ept, root, 0x400000, 2, 0x800000 | ram | EPT_LARGE, NULL));
	assert_true(ept02_map(&ept, root, 0x600000, 1, 0x40000000 | HYPAPI_R, NULL)); /* a stand-in, say */
	looks = remembers = 0;
	ept02_revalidate(&ept, &change);
	assert_int_equal(looks, 10);
	assert_int_equal(remembers, 0);
	assert_int_equal(hardware_walk(root, 0x600000, &level), 0);
	assert_int_equal(hardware_walk(root, 0x3000, &level), 0x40203000 | ram);

	change.now = 11;
	losses[8] = 0x40203000; /* one of the row */
	losses[9] = 0x40209000; /* the row would lead there */
	losses[10] = 0x40000000; /* another region */
	losses[11] = 0x40208000 - SIZE_2M; /* before the row */
	losses[12] = 0x40204000; /* not yet */
	looks = 0;
	ept02_revalidate(&ept, &change);
	assert_int_equal(looks, 10);
	assert_int_equal(remembers, 2 + 2); /* the row begins at 0x40200000: the region before touches it */
	assert_int_equal(hardware_walk(root, 0x3000, &level), 0);
	assert_int_equal(hardware_walk(root, 0x4000, &level), 0x40204000 | ram);
	/* The hole may be filled by a page that is in no row. */
	assert_true(ept02_map(&ept, root, 0x3000, 1, 0x1000 | ram, NULL));
	looks = 0;
	ept02_revalidate(&ept, &change);
	assert_int_equal(looks, 9 + 8);
	assert_int_equal(hardware_walk(root, 0x4000, &level), 0);
	assert_int_equal(hardware_walk(root, 0x3000, &level), 0x1000 | ram);
}

static u32 wanted_count(const struct ept02_window *w)
{
	u32 count = 0;

	for (u32 i = ept02_next(w->wanted, 0); i < 512; i = ept02_next(w->wanted, i + 1))
		count++;
	return count;
}

static bool is_wanted(const struct ept02_window *w, u32 index)
{
	return w->wanted[index / 64] >> index % 64 & 1;
}

/* More with each miss, and where the miss is among them; from the start again when the table was emptied. */
static void windows_grow_with_misses(void **state)
{
	u32 root, found, first = 0, before;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	for (u32 round = 0; round < 2; round++) {
		u64 *table = ept02_map(&ept, root, 300 << 12, 1, 0x1000 | HYPAPI_RWX, NULL);

		before = 0;
		for (u32 miss = 0; miss < 20; miss++) {
			struct ept02_window w = ept02_window(&ept, root, table, 300, 1);

			assert_ptr_equal(w.table, table);
			assert_true(is_wanted(&w, 300) && wanted_count(&w) >= before);
			before = wanted_count(&w);
			if (!miss && !round)
				first = before;
			if (!miss)
				assert_int_equal(before, first);
		}
		assert_int_equal(before, 512);
		assert_true(ept02_invalidate(&ept, 0x101e, &found));
	}
}

/*
 * After INVEPT a table's first miss wants what was used before, beside its neighbours, and later ones do not. It is a
 * hint: nothing of it can be reached before it is filled in again.
 */
static void what_was_used_is_wanted_again(void **state)
{
	u32 root, found, level;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	assert_true(ept02_map(&ept, root, 400 << 12, 1, 0x190000 | HYPAPI_RWX, NULL));
	assert_true(ept02_map(&ept, root, 500 << 12, 1, 0x1f4000 | HYPAPI_RWX, NULL));
	assert_true(ept02_invalidate(&ept, 0x101e, &found));
	/* A single page, as after L1 has mended it, asks for nothing; a second INVEPT makes nothing forgotten. */
	u64 *table = ept02_map(&ept, root, 5 << 12, 1, 0x5000 | HYPAPI_RWX, NULL);

	assert_true(ept02_invalidate(&ept, 0x101e, &found));
	assert_ptr_equal(ept02_map(&ept, root, 5 << 12, 1, 0x5000 | HYPAPI_RWX, NULL), table);
	assert_int_equal(hardware_walk(root, 400 << 12, &level), 0);
	struct ept02_window w = ept02_window(&ept, root, table, 5, 1);

	assert_true(is_wanted(&w, 400) && is_wanted(&w, 500) && is_wanted(&w, 6) && !is_wanted(&w, 401));
	ept02_add(&w, 400, 0x190000 | HYPAPI_RWX);
	assert_int_equal(hardware_walk(root, 400 << 12, &level), 0x190000 | HYPAPI_RWX);
	w = ept02_window(&ept, root, table, 5, 1);
	assert_true(!is_wanted(&w, 500) && is_wanted(&w, 6));
	/* 500 was not filled in again: not in use any more. */
	assert_true(ept02_invalidate(&ept, 0x101e, &found));
	assert_true(ept02_map(&ept, root, 5 << 12, 1, 0x5000 | HYPAPI_RWX, NULL));
	w = ept02_window(&ept, root, table, 5, 1);
	assert_true(is_wanted(&w, 400) && !is_wanted(&w, 500));
	/* A pool that starts over knows nothing of before. */
	ept02_empty(&ept);
	table = ept02_map(&ept, root, 5 << 12, 1, 0x5000 | HYPAPI_RWX, NULL);
	w = ept02_window(&ept, root, table, 5, 1);
	assert_true(!is_wanted(&w, 400));
}

/*
 * A leaf stays over INVEPT if it is what EPT12 says now, and nothing else does: no other address, right or type, no
 * flag that an access would set, no page that is not RAM with all rights, none that L2 did not use, none after EPT01
 * changed.
 */
static void leaves_that_ept12_has_still_stay(void **state)
{
	enum { PAGES = 12, MISSED = 100 };
	const u64 wb = 6 << 3, all = HYPAPI_RWX | wb, flags = EPT_ACCESSED | EPT_DIRTY, eptp = 0x101e | EPTP_AD;
	const u64 missed = (MISSED << 12) | all | EPT01_RAM;
	u32 root, found, level;
	bool flush;

	(void)state;
	root = ept02_root(&ept, eptp, &flush);
	ept.changes = 5;
	for (u32 round = 0; round < 4; round++) {
		struct ept12_leaf leaf = small;
		u64 *table = ept02_map(&ept, root, MISSED << 12, 1, missed, NULL);

		for (u64 i = 0; i < PAGES; i++) {
			assert_true(ept02_map(&ept, root, i << 12, 1, i << 12 | all | EPT01_RAM, NULL));
			table[i] |= flags;
			table12[i] = i << 12 | all | flags | EPT_SUPPRESS_VE;
		}
		table12[1] ^= 0x100000;
		table12[2] &= ~HYPAPI_W;
		table12[3] &= ~EPT_DIRTY;
		table12[4] &= ~EPT_ACCESSED;
		table12[5] ^= 0x10;
		table12[6] |= EPT_IGNORE_PAT;
		table12[7] = 0;
		table[8] &= ~EPT01_RAM;
		table[9] &= ~HYPAPI_X;
		table12[9] &= ~HYPAPI_X;
		table[10] &= ~EPT_ACCESSED;
		assert_true(ept02_invalidate(&ept, eptp, &found));
		assert_int_equal(hardware_walk(root, 0, &level), 0);
		ept.changes += round == 2;
		if (round == 1)
			leaf.entry[1] &= ~HYPAPI_W; /* what is above allows less */
		assert_ptr_equal(ept02_map(&ept, root, MISSED << 12, 1, missed, &leaf), table);
		for (u64 i = 0; i < PAGES; i++) {
			bool stays = (i == 0 || i == 11) && round != 1 && round != 2;

			assert_int_equal(hardware_walk(root, i << 12, &level), stays ? i << 12 | all | EPT01_RAM : 0);
		}
		struct ept02_window w = ept02_window(&ept, root, table, MISSED, 1);

		assert_true(is_wanted(&w, 1) && is_wanted(&w, 7) && !is_wanted(&w, 10));
		assert_int_equal(is_wanted(&w, 0), round == 1 || round == 2);
		assert_int_equal(ept.leaves[root], round == 1 || round == 2 ? 1 : 3);
		ept02_invalidate_all(&ept);
	}
}

/* Of a root that another EPTP12 gets, too, nothing stays but what the new EPT12 has. */
static void a_root_that_changes_hands_keeps_no_secret(void **state)
{
	const u64 all = HYPAPI_RWX | EPT01_RAM;
	u32 root, level;
	bool flush;

	(void)state;
	for (u64 key = 1; key <= ept.root_count; key++) {
		root = ept02_root(&ept, key << 12 | 0x1e, &flush);
		assert_true(ept02_map(&ept, root, 0x1000, 1, key << 20 | all, &small));
		assert_true(ept02_map(&ept, root, 0x2000, 1, 0x2000 | all, &small));
	}
	table12[1] = 0x77000 | HYPAPI_RWX;
	table12[2] = 0x2000 | HYPAPI_RWX;
	root = ept02_root(&ept, 0x77701e, &flush);
	assert_true(flush);
	assert_true(ept02_map(&ept, root, 0x3000, 1, 0x3000 | all, &small));
	assert_int_equal(hardware_walk(root, 0x1000, &level), 0);
	assert_int_equal(hardware_walk(root, 0x2000, &level), 0x2000 | all);
}

/* With flags in use hardware tells which leaves L2 has used: small ones, and large ones within 64 of the miss. */
static void the_accessed_flag_tells_what_was_used(void **state)
{
	u32 root, found;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e | EPTP_AD, &flush);
	u64 *table = ept02_map(&ept, root, 400 << 12, 1, 0x190000 | HYPAPI_RWX, NULL);
	u64 *large = ept02_map(&ept, root, 0x200000, 2, 0x600000 | HYPAPI_RWX | EPT_LARGE, NULL);

	assert_true(ept02_map(&ept, root, 401 << 12, 1, 0x191000 | HYPAPI_RWX, NULL));
	assert_true(ept02_map(&ept, root, 50 * SIZE_2M, 2, 0x800000 | HYPAPI_RWX | EPT_LARGE, NULL));
	assert_true(ept02_map(&ept, root, 51 * SIZE_2M, 2, 0xa00000 | HYPAPI_RWX | EPT_LARGE, NULL));
	table[401] |= EPT_ACCESSED;
	large[51] |= EPT_ACCESSED;
	assert_true(ept02_invalidate(&ept, 0x101e | EPTP_AD, &found));
	assert_ptr_equal(ept02_map(&ept, root, 5 << 12, 1, 0x5000 | HYPAPI_RWX, NULL), table);
	struct ept02_window w = ept02_window(&ept, root, table, 5, 1);

	assert_true(is_wanted(&w, 401) && !is_wanted(&w, 400));
	assert_ptr_equal(ept02_map(&ept, root, 0x200000, 2, 0x600000 | HYPAPI_RWX | EPT_LARGE, NULL), large);
	w = ept02_window(&ept, root, large, 1, 2);
	assert_true(is_wanted(&w, 51) && !is_wanted(&w, 50) && large[51] == 0);
}

static void neighbours_are_leaves_like_others(void **state)
{
	u64 ram = HYPAPI_RWX | EPT01_RAM;
	u32 root, level, found;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	u64 *table = ept02_map(&ept, root, 0x5000, 1, 0x105000 | ram, NULL);
	struct ept02_window w = ept02_window(&ept, root, table, 5, 1);

	ept02_add(&w, 6, 0x106000 | ram);
	assert_false(w.used->mixed);
	ept02_add(&w, 7, 0x50000000 | ram);
	assert_true(w.used->mixed);
	assert_int_equal(hardware_walk(root, 0x6000, &level), 0x106000 | ram);
	assert_int_equal(ept.leaves[root], 3);
	looks = 0;
	ept02_revalidate(&ept, &some_change);
	assert_int_equal(looks, 3);
	assert_int_equal(ept.leaves[root], 2);
	assert_int_equal(hardware_walk(root, 0x7000, &level), 0);
	/* One that is in no row with the others is found all the same when its page is lost. */
	const u64 losses[EPT01_LOSSES] = { [1] = 0x50000000 };
	const struct ept02_change change = { .keep = below_1g, .remember = remember, .losses = losses, .now = 1 };

	ept02_add(&w, 8, 0x50000000 | ram);
	ept02_revalidate(&ept, &change);
	assert_int_equal(hardware_walk(root, 0x8000, &level), 0);
	assert_int_equal(hardware_walk(root, 0x6000, &level), 0x106000 | ram);
	assert_true(ept02_invalidate(&ept, 0x101e, &found));
	assert_true(ept02_map(&ept, root, 0x9000, 1, 0x1000 | ram, NULL));
	assert_int_equal(hardware_walk(root, 0x6000, &level), 0);
}

static void revalidation_leaves_aged_entries_alone(void **state)
{
	u32 root, level, found;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	assert_true(ept02_map(&ept, root, 0x7000, 1, 0xabc000 | HYPAPI_RWX, NULL));
	assert_true(ept02_map(&ept, root, 0x40000000, 2, 0x600000 | HYPAPI_RWX | EPT_LARGE, NULL));
	assert_true(ept02_invalidate(&ept, 0x101e, &found));
	/* another way from the root on */
	assert_true(ept02_map(&ept, root, 0x8000000000, 1, 0xdef000 | HYPAPI_RWX, NULL));
	looks = 0;
	ept02_revalidate(&ept, &some_change);
	assert_int_equal(looks, 1);
	assert_int_equal(hardware_walk(root, 0x8000000000, &level), 0xdef000 | HYPAPI_RWX);
	assert_int_equal(hardware_walk(root, 0x7000, &level), 0);
	/* the aged tables serve again, empty */
	assert_true(ept02_map(&ept, root, 0x8000, 1, 0x1000 | HYPAPI_RWX, NULL));
	assert_int_equal(ept.next, ept.root_count + 7);
	assert_int_equal(hardware_walk(root, 0x7000, &level), 0);
	assert_int_equal(hardware_walk(root, 0x40000000, &level), 0);
}

static void too_many_leaves_all_go(void **state)
{
	u32 root, level;
	bool flush;

	(void)state;
	root = ept02_root(&ept, 0x101e, &flush);
	for (u64 i = 0; i < EPT02_LOOKS; i++)
		assert_true(ept02_map(&ept, root, i << 12, 1, (0x1000000 + (i << 12)) | HYPAPI_RWX, NULL));
	looks = 0;
	ept02_revalidate(&ept, &some_change);
	assert_int_equal(looks, EPT02_LOOKS);
	assert_int_equal(hardware_walk(root, 0x7000, &level), 0x1007000 | HYPAPI_RWX);
	assert_true(ept02_map(&ept, root, 0x40000000, 1, 0x2000 | HYPAPI_RWX, NULL));
	ept02_revalidate(&ept, &some_change);
	assert_int_equal(looks, EPT02_LOOKS);
	for (u64 i = 0; i < EPT02_LOOKS; i++)
		assert_int_equal(hardware_walk(root, i << 12, &level), 0);
	assert_int_equal(hardware_walk(root, 0x40000000, &level), 0);
	assert_true(ept02_map(&ept, root, 0x7000, 1, 0x3000 | HYPAPI_RWX, NULL));
	ept02_revalidate(&ept, &some_change);
	assert_int_equal(looks, EPT02_LOOKS + 1);
}

/* By `ept02-pages`: roots, and how many tables there are. */
static void pools_of_other_sizes(void **state)
{
	static const struct { u32 pages, roots; } sizes[] = { { 64, 4 }, { 256, 4 }, { 512, 8 }, { 2048, 32 },
							      { EPT02_PAGES_MAX, 32 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		u32 made = 0, level, found;
		bool flush;

		fresh_pool(sizes[i].pages);
		assert_int_equal(ept.root_count, sizes[i].roots);
		for (u64 key = 1; key <= sizes[i].roots; key++) {
			u32 root = ept02_root(&ept, key << 12, &flush);

			assert_true(flush && ept02_map(&ept, root, 0x7000, 1, key << 20 | HYPAPI_R, NULL));
		}
		for (u64 key = 1; key <= sizes[i].roots; key++) {
			u32 root = ept02_root(&ept, key << 12, &flush);

			assert_false(flush);
			assert_int_equal(hardware_walk(root, 0x7000, &level), key << 20 | HYPAPI_R);
		}
		while (ept02_map(&ept, 0, made * SIZE_2M + SIZE_1G, 1, 0x5000 | HYPAPI_R, NULL))
			made++;
		assert_int_equal(ept.next, sizes[i].pages);
		assert_in_range(made, sizes[i].pages - 4 * sizes[i].roots - sizes[i].pages / 512 - 2,
				sizes[i].pages - 4 * sizes[i].roots);
		assert_true(ept02_invalidate(&ept, sizes[i].roots << 12, &found));
		assert_int_equal(found, 1u << (sizes[i].roots - 1));
	}
}

#define MODEL 64
#define SPACE BIT(36)

/* Random work; the model knows the last leaf of each address, hardware must never see another. */
static void random_work(void **state)
{
	struct { u64 gpa2, entry; u32 root; } model[MODEL];
	u32 count = 0, emptied = 0, level, found;
	bool flush;

	(void)state;
	srandom(1);
	for (u32 step = 0; step < 60000; step++) {
		u32 what = (u32)random() % 100;
		u64 key = (1 + (u64)random() % 3) << 12;
		u32 root = ept02_root(&ept, key, &flush);

		if (what == 0) {
			assert_true(ept02_invalidate(&ept, key, &found));
			for (u32 i = 0; i < count; i++)
				if (model[i].root == root)
					model[i--] = model[--count];
			continue;
		}
		u64 gpa2 = ((u64)random() << 12) % SPACE, entry = ((u64)random() << 12 & BITS(39, 12)) | HYPAPI_RW;

		if (!ept02_map(&ept, root, gpa2, 1, entry, NULL)) {
			ept02_empty(&ept);
			count = 0;
			emptied++;
			assert_true(ept02_map(&ept, root, gpa2, 1, entry, NULL));
		}
		for (u32 i = 0; i < count; i++)
			if (model[i].root == root && model[i].gpa2 == gpa2)
				model[i--] = model[--count];
		if (count == MODEL)
			count--;
		model[count].gpa2 = gpa2, model[count].entry = entry, model[count++].root = root;
		u32 i = (u32)random() % count;

		assert_int_equal(hardware_walk(model[i].root, model[i].gpa2, &level), model[i].entry);
		u64 never = ((u64)random() << 12) % SPACE + SPACE;

		assert_int_equal(hardware_walk(root, never, &level), 0);
	}
	assert_true(emptied > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_types),
		cmocka_unit_test_setup(maps_and_forgets, fresh),
		cmocka_unit_test_setup(the_same_table_goes_whatever_its_flags, fresh),
		cmocka_unit_test_setup(tables_are_used_again, fresh),
		cmocka_unit_test_setup(absent_entries_name_no_table, fresh),
		cmocka_unit_test_setup(large_and_small_replace_each_other, fresh),
		cmocka_unit_test_setup(a_large_leaf_ages_once, fresh),
		cmocka_unit_test_setup(roots_do_not_share, fresh),
		cmocka_unit_test_setup(revalidation_drops_what_is_lost, fresh),
		cmocka_unit_test_setup(revalidation_asks_for_what_was_lost, fresh),
		cmocka_unit_test_setup(windows_grow_with_misses, fresh),
		cmocka_unit_test_setup(what_was_used_is_wanted_again, fresh),
		cmocka_unit_test_setup(leaves_that_ept12_has_still_stay, fresh),
		cmocka_unit_test_setup(a_root_that_changes_hands_keeps_no_secret, fresh),
		cmocka_unit_test_setup(the_accessed_flag_tells_what_was_used, fresh),
		cmocka_unit_test_setup(neighbours_are_leaves_like_others, fresh),
		cmocka_unit_test_setup(revalidation_leaves_aged_entries_alone, fresh),
		cmocka_unit_test_setup(too_many_leaves_all_go, fresh),
		cmocka_unit_test(pools_of_other_sizes),
		cmocka_unit_test_setup(random_work, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
