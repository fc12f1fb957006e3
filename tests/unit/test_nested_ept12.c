/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The walk of EPT12: what each malformed entry gives at each level, rights, page sizes, accessed and dirty flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "nested/ept12.h"

#define PAGES 8
#define EPTP (EPTP_WALK_4 | EPT_TYPE_WB)
#define FLAG_A BIT(8)
#define FLAG_D BIT(9)

static _Alignas(PAGE_SIZE) u64 memory[PAGES][512]; /* L1's RAM from address 0; table of level n is page 4 - n */
static struct nested_caps caps;
static u32 reads, race_at;     /* race_at: L1 changes that entry behind our back before the n-th replacement */

const u64 *ept12_at(gpa1_t entry)
{
	reads++;
	return entry.addr < sizeof(memory) ? &memory[entry.addr / 4096][entry.addr % 4096 / 8] : NULL;
}

bool ept12_replace(gpa1_t entry, u64 old, u64 new)
{
	u64 *at = &memory[entry.addr / 4096][entry.addr % 4096 / 8];

	if (race_at && !--race_at)
		*at = 0;
	if (*at != old)
		return false;
	*at = new;
	return true;
}

/* Four levels that map address 0 to 0x5000, all rights. */
static int fresh(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	memset(&caps, 0, sizeof(caps));
	caps.phys_reserved = BITS(63, 40);
	NESTED_CAP(&caps, EPT_VPID_CAP) = EPTCAP_WALK_4 | EPTCAP_WB | EPTCAP_UC | EPTCAP_2M | EPTCAP_1G | EPTCAP_AD |
					  EPTCAP_EXEC_ONLY;
	for (u32 i = 0; i < 3; i++)
		memory[i][0] = (i + 1) * 4096 | HYPAPI_RWX;
	memory[3][0] = 0x5000 | HYPAPI_RWX | EPT_TYPE_WB << EPT_TYPE_SHIFT;
	race_at = reads = 0;
	return 0;
}

static u64 *entry(u32 level)
{
	return &memory[4 - level][0];
}

static enum ept12_result walk(u64 gpa2, struct ept12_leaf *leaf)
{
	return ept12_walk(&caps, EPTP, GPA2(gpa2), leaf);
}

/* Four levels translate 48 bits; beyond them hardware finds nothing, and not what the low bits say. */
static void addresses_above_four_levels(void **state)
{
	struct ept12_leaf leaf;

	fresh(state);
	assert_int_equal(walk(BIT(48), &leaf), EPT12_NOT_PRESENT);
	assert_int_equal(leaf.rights, 0);
	assert_int_equal(walk(BIT(51) + 0x123, &leaf), EPT12_NOT_PRESENT);
	/* A leaf and a table whose address has a bit that the CPU has not. */
	*entry(1) |= BIT(40);
	assert_int_equal(walk(0, &leaf), EPT12_MISCONFIG);
	*entry(1) &= ~BIT(40);
	*entry(3) |= BIT(51);
	assert_int_equal(walk(0, &leaf), EPT12_MISCONFIG);
}

static void plain_walk(void **state)
{
	struct ept12_leaf leaf;

	fresh(state);
	assert_int_equal(walk(0x123, &leaf), EPT12_MAPPED);
	assert_int_equal(leaf.gpa1.addr, 0x5123);
	assert_int_equal(leaf.rights, HYPAPI_RWX);
	assert_int_equal(leaf.type, EPT_TYPE_WB << EPT_TYPE_SHIFT);
	assert_int_equal(leaf.level, 1);
	assert_int_equal(reads, 4); /* each entry once */
	assert_int_equal(walk(0x1000, &leaf), EPT12_NOT_PRESENT);
	assert_int_equal(walk(BIT(39), &leaf), EPT12_NOT_PRESENT);
	assert_int_equal(leaf.rights, 0);
}

static void rights_are_anded(void **state)
{
	struct ept12_leaf leaf;

	for (u32 level = 1; level <= 4; level++)
		for (u32 rights = 0; rights < 8; rights++) {
			fresh(state);
			*entry(level) = (*entry(level) & ~7ull) | rights;
			enum ept12_result want = rights == 0 ? EPT12_NOT_PRESENT :
						 rights == 2 || rights == 6 ? EPT12_MISCONFIG : EPT12_MAPPED;

			assert_int_equal(walk(0, &leaf), want);
			if (want == EPT12_MAPPED)
				assert_int_equal(leaf.rights, rights);
			if (rights == HYPAPI_X) {
				NESTED_CAP(&caps, EPT_VPID_CAP) &= ~EPTCAP_EXEC_ONLY;
				assert_int_equal(walk(0, &leaf), EPT12_MISCONFIG);
			}
		}
}

static void large_pages(void **state)
{
	struct ept12_leaf leaf;

	fresh(state);
	*entry(2) = 0x40000000 | EPT_LARGE | HYPAPI_RX;
	assert_int_equal(walk(0x12345, &leaf), EPT12_MAPPED);
	assert_int_equal(leaf.gpa1.addr, 0x40012345);
	assert_int_equal(leaf.level, 2);
	*entry(3) = 0x80000000 | EPT_LARGE | HYPAPI_RW | EPT_IGNORE_PAT;
	assert_int_equal(walk(0x345678, &leaf), EPT12_MAPPED);
	assert_int_equal(leaf.gpa1.addr, 0x80345678);
	assert_int_equal(leaf.level, 3);
	assert_int_equal(leaf.type, EPT_IGNORE_PAT);
	*entry(3) |= BIT(12);
	assert_int_equal(walk(0, &leaf), EPT12_MISCONFIG); /* address bits below the page size */
	*entry(3) = 0x80000000 | EPT_LARGE | HYPAPI_RW;
	NESTED_CAP(&caps, EPT_VPID_CAP) &= ~EPTCAP_1G;
	assert_int_equal(walk(0, &leaf), EPT12_MISCONFIG);
	*entry(4) |= EPT_LARGE;
	assert_int_equal(walk(0, &leaf), EPT12_MISCONFIG);
}

static void reserved_bits(void **state)
{
	struct ept12_leaf leaf;

	for (u32 level = 1; level <= 4; level++)
		for (u32 bit = 3; bit < 64; bit++) {
			bool table_bit = level > 1 && bit <= 7, beyond = bit >= 40 && bit <= 51;

			fresh(state);
			if (bit == 7 && level < 4)
				continue; /* another kind of entry */
			if (level == 1 && bit <= 5)
				continue; /* memory type, below */
			if (level > 1 && bit >= 12 && bit < 40)
				continue; /* another table */
			*entry(level) |= BIT(bit);
			enum ept12_result got = walk(0, &leaf);

			assert_true((got == EPT12_MISCONFIG) == (table_bit || beyond));
		}
	for (u64 type = 0; type < 8; type++) {
		fresh(state);
		*entry(1) = 0x5000 | HYPAPI_RWX | type << EPT_TYPE_SHIFT;
		assert_true((walk(0, &leaf) == EPT12_MISCONFIG) == (type == 2 || type == 3 || type == 7));
	}
	fresh(state);
	*entry(3) = BIT(30) | HYPAPI_RWX; /* a table where L1 has no RAM: all ones */
	assert_int_equal(walk(0, &leaf), EPT12_MISCONFIG);
}

static void accessed_and_dirty(void **state)
{
	struct ept12_leaf leaf;
	bool dirty = true;

	fresh(state);
	assert_int_equal(walk(0, &leaf), EPT12_MAPPED);
	assert_int_equal(ept12_unset(&leaf, false), FLAG_A);
	assert_int_equal(ept12_unset(&leaf, true), FLAG_A | FLAG_D);
	assert_true(ept12_mark(&leaf, false, &dirty));
	assert_false(dirty);
	assert_int_equal(ept12_unset(&leaf, false), 0);
	assert_int_equal(ept12_unset(&leaf, true), FLAG_D);
	for (u32 level = 1; level <= 4; level++)
		assert_int_equal(*entry(level) & (FLAG_A | FLAG_D), FLAG_A);
	assert_int_equal(walk(0, &leaf), EPT12_MAPPED);
	assert_true(ept12_mark(&leaf, true, &dirty));
	assert_true(dirty);
	assert_int_equal(*entry(1) & (FLAG_A | FLAG_D), FLAG_A | FLAG_D);
	assert_int_equal(*entry(2) & (FLAG_A | FLAG_D), FLAG_A);
	assert_int_equal(ept12_unset(&leaf, true), 0);
	/* Each table's accessed flag counts, and a dirty flag of the leaf alone. */
	for (u32 level = 1; level <= 4; level++) {
		*entry(level) &= ~FLAG_A;
		*entry(level) |= FLAG_D;
		assert_int_equal(walk(0, &leaf), EPT12_MAPPED);
		assert_int_equal(ept12_unset(&leaf, true), FLAG_A);
		*entry(level) |= FLAG_A;
	}
	for (u32 at = 1; at <= 4; at++) {
		fresh(state);
		assert_int_equal(walk(0, &leaf), EPT12_MAPPED);
		race_at = at;
		assert_false(ept12_mark(&leaf, true, &dirty));
	}
}

static bool same_leaf(const struct ept12_leaf *a, const struct ept12_leaf *b)
{
	return a->gpa1.addr == b->gpa1.addr && a->rights == b->rights && a->type == b->type && a->level == b->level &&
	       ept12_unset(a, true) == ept12_unset(b, true);
}

/* The walk by what is kept is the one that is made afresh. Answers how often memory was looked for: 4 without it. */
static u32 again(u64 eptp12, u64 gpa2, u64 generation, struct ept12_kept *kept)
{
	struct ept12_leaf fresh_leaf, *leaf;

	reads = 0;
	enum ept12_result result = ept12_walk_again(&caps, eptp12, GPA2(gpa2), generation, kept, &leaf);
	u32 looked = reads;

	assert_int_equal(result, ept12_walk(&caps, eptp12, GPA2(gpa2), &fresh_leaf));
	assert_int_equal(leaf->depth, fresh_leaf.depth);
	assert_int_equal(leaf->rights, fresh_leaf.rights);
	if (result == EPT12_MAPPED)
		assert_true(same_leaf(leaf, &fresh_leaf));
	for (u32 i = 0; i < leaf->depth; i++) {
		assert_int_equal(leaf->at[i].addr, fresh_leaf.at[i].addr);
		assert_int_equal(leaf->entry[i], fresh_leaf.entry[i]);
	}
	return looked;
}

static void kept_walks(void **state)
{
	struct ept12_kept kept[EPT12_KEPT] = { 0 };
	struct ept12_leaf *leaf;
	bool dirty;

	fresh(state);
	assert_int_equal(again(EPTP, 0, 1, kept), 4);
	assert_int_equal(again(EPTP, 0, 1, kept), 0);
	/* Another page of the 2 MiB, and whatever L1 writes to its entry. */
	assert_int_equal(again(EPTP, 0x7000, 1, kept), 0);
	for (u64 bits = 0; bits < 64; bits++) {
		memory[3][7] = 0x6000 | bits;
		assert_int_equal(again(EPTP, 0x7123, 1, kept), 0);
		memory[3][7] = BIT(bits) | HYPAPI_R;
		assert_int_equal(again(EPTP, 0x7fff, 1, kept), 0);
	}
	/* Every bit of every entry above counts, and it is seen again when it is as before. */
	for (u32 level = 2; level <= 4; level++)
		for (u32 bit = 0; bit < 64; bit++) {
			*entry(level) ^= BIT(bit);
			assert_true(again(EPTP, 0, 1, kept) > 0);
			(void)again(EPTP, 0, 1, kept);
			*entry(level) ^= BIT(bit);
			(void)again(EPTP, 0, 1, kept);
			assert_int_equal(again(EPTP, 0, 1, kept), 0);
		}
	/* Another EPTP, another 2 MiB in the same place, L1's memory elsewhere. */
	assert_int_equal(again(EPTP | EPTP_AD, 0, 1, kept), 4);
	assert_int_equal(again(EPTP, 0, 1, kept), 4);
	memory[2][EPT12_KEPT] = memory[2][0];
	assert_int_equal(again(EPTP, EPT12_KEPT * SIZE_2M, 1, kept), 4);
	assert_int_equal(again(EPTP, 0, 1, kept), 4);
	assert_int_equal(again(EPTP, 0, 2, kept), 4);
	/* Flags that are set are part of what is kept. */
	assert_int_equal(ept12_walk_again(&caps, EPTP, GPA2(0), 2, kept, &leaf), EPT12_MAPPED);
	assert_true(ept12_mark(leaf, true, &dirty));
	assert_int_equal(again(EPTP, 0, 2, kept), 0);
	/* What came to no last table is not kept, nor is one where L1 has no RAM. */
	*entry(2) = 0x40000000 | EPT_LARGE | HYPAPI_RX;
	assert_int_equal(again(EPTP, 0, 2, kept), 3);
	assert_int_equal(again(EPTP, 0, 2, kept), 3);
	*entry(2) = BIT(30) | HYPAPI_RWX;
	assert_int_equal(again(EPTP, 0, 2, kept), 4);
	assert_int_equal(again(EPTP, 0, 2, kept), 4);
	assert_int_equal(again(EPTP, BIT(48), 2, kept), 0);
	assert_int_equal(again(EPTP, 0, 2, kept), 4);
}

static void pointers(void **state)
{
	fresh(state);
	assert_true(ept12_pointer_ok(&caps, EPTP));
	assert_true(ept12_pointer_ok(&caps, EPTP | EPTP_AD));
	assert_true(ept12_pointer_ok(&caps, EPTP_WALK_4 | EPT_TYPE_UC));
	assert_false(ept12_pointer_ok(&caps, EPTP_WALK_4 | 4));
	assert_false(ept12_pointer_ok(&caps, EPT_TYPE_WB | 4 << 3));
	assert_false(ept12_pointer_ok(&caps, EPTP | BIT(7)));
	assert_false(ept12_pointer_ok(&caps, EPTP | BIT(40)));
	NESTED_CAP(&caps, EPT_VPID_CAP) &= ~EPTCAP_AD;
	assert_false(ept12_pointer_ok(&caps, EPTP | EPTP_AD));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_walk),
		cmocka_unit_test(addresses_above_four_levels), cmocka_unit_test(rights_are_anded),
		cmocka_unit_test(large_pages),
		cmocka_unit_test(reserved_bits), cmocka_unit_test(accessed_and_dirty), cmocka_unit_test(kept_walks),
		cmocka_unit_test(pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
