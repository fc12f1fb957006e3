/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DMAR table: what a good one says, what is refused with which words, and a bounded number of random ones under the
 * sanitizers. Each table is a block of its own size, so that a read behind its end is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iommu/dmar.h"

#define FUZZ_ROUNDS 1000000ul
enum { ENDPOINT = 1, BRIDGE = 2, IOAPIC = 3 }; /* scopes */

static uint8_t table[70000];
static size_t used;
static struct dmar dmar;

static void put(size_t at, uint64_t value, size_t bytes) { memcpy(table + at, &value, bytes); }

static void begin(uint8_t width, uint8_t flags)
{
	memset(table, 0, sizeof(table));
	memcpy(table, "DMAR", 4);
	table[36] = (uint8_t)(width - 1);
	table[37] = flags;
	used = 48;
}

static size_t structure(uint16_t kind, uint16_t bytes)
{
	size_t at = used;

	put(at, kind, 2);
	put(at + 2, bytes, 2);
	used += bytes;
	return at;
}

static size_t drhd(uint8_t flags, uint16_t segment, uint64_t base, uint16_t scope_bytes)
{
	size_t at = structure(0, (uint16_t)(16 + scope_bytes));

	put(at + 4, flags, 1);
	put(at + 6, segment, 2);
	put(at + 8, base, 8);
	return at + 16;
}

static size_t rmrr(uint64_t base, uint64_t last, uint16_t scope_bytes)
{
	size_t at = structure(1, (uint16_t)(24 + scope_bytes));

	put(at + 8, base, 8);
	put(at + 16, last, 8);
	return at + 24;
}

/* Of one hop. */
static void scope(size_t at, uint8_t type, uint8_t bus, uint8_t device, uint8_t function)
{
	const uint8_t bytes[] = { type, 8, 0, 0, 5, bus, device, function };

	memcpy(table + at, bytes, sizeof(bytes));
}

static const char *parse(void)
{
	uint8_t *copy = malloc(used);
	const char *wrong;

	put(4, used, 4);
	memcpy(copy, table, used);
	wrong = dmar_parse(&dmar, copy, used);
	free(copy);
	return wrong;
}

static void a_good_table(void **state)
{
	size_t at;

	(void)state;
	begin(39, 3);
	at = drhd(0, 0, 0xfed90000, 16);
	scope(at, IOAPIC, 0xff, 0, 0);
	scope(at + 8, ENDPOINT, 0, 2, 1);
	structure(7, 12); /* of a kind that nobody knows */
	drhd(1, 0, 0xfed91000, 0);
	drhd(0, 1, 0x10fed90000, 0);
	at = rmrr(0x7b000000, 0x7b7fffff, 8);
	scope(at, ENDPOINT, 0, 0x14, 0);
	at = structure(2, 16) + 8;
	scope(at, BRIDGE, 0, 1, 0);
	assert_null(parse());
	assert_int_equal(dmar.unit_count, 3);
	assert_int_equal(dmar.units[0].base, 0xfed90000);
	assert_true(!dmar.units[0].the_rest && dmar.units[1].the_rest);
	assert_int_equal(dmar.units[2].segment, 1);
	assert_int_equal(dmar.region_count, 1);
	assert_int_equal(dmar.regions[0].start, 0x7b000000);
	assert_int_equal(dmar.regions[0].end, 0x7b800000);
	assert_int_equal(dmar_open_segment(&dmar), 1);
	dmar.units[2].segment = 0;
	assert_int_equal(dmar_open_segment(&dmar), -1);
}

/* Every prefix of the good table, with a length that is right and with the whole one's. */
static void cut_tables(void **state)
{
	size_t whole;

	(void)state;
	a_good_table(state);
	whole = used;
	for (used = 1; used < whole; used++) {
		uint8_t *copy = malloc(used);

		put(4, whole, 4);
		memcpy(copy, table, used);
		assert_non_null(dmar_parse(&dmar, copy, used));
		free(copy);
		if (used < 64 + 16)
			assert_non_null(parse());
		else
			(void)parse(); /* structures that are left out as a whole are not missed */
	}
}

static void refused(const char *words)
{
	const char *wrong = parse();

	assert_non_null(wrong);
	if (!strstr(wrong, words))
		fail_msg("refused as \"%s\", not as \"%s\"", wrong, words);
}

static void bad_units(void **state)
{
	static const uint64_t bases[] = { 0, 0xfed90010, 1ull << 52, ~0ull, ~0ull << 12 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		begin(39, 0);
		drhd(1, 0, bases[i], 0);
		refused("cannot be where it says");
	}
	begin(39, 0);
	drhd(1, 0, 0xfed90000, 0);
	drhd(1, 1, 0xfed90000, 0);
	refused("the same registers");
	begin(39, 0);
	for (unsigned int i = 0; i <= DMAR_MAX_UNITS; i++)
		drhd(1, 0, 0xfed90000 + i * PAGE_SIZE, 0);
	refused("more remapping units");
	begin(39, 0);
	refused("no remapping unit");
	begin(31, 0);
	drhd(1, 0, 0xfed90000, 0);
	refused("a width");
	table[36] = 64;
	refused("a width");
	table[36] = 255;
	refused("a width");
}

static void bad_regions(void **state)
{
	static const struct { uint64_t base, last; } regions[] = {
		{ 0x1000, 0x1ffe }, { 0x1001, 0x1fff }, { 0x2000, 0x1fff }, { 0x1000, ~0ull }, { 0, ~0ull },
		{ 1ull << 52, (1ull << 52) + 0xfff }, { ~0xfffull, ~0ull },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		begin(39, 0);
		drhd(1, 0, 0xfed90000, 0);
		rmrr(regions[i].base, regions[i].last, 0);
		refused("not whole pages");
	}
	begin(39, 0);
	drhd(1, 0, 0xfed90000, 0);
	for (unsigned int i = 0; i <= DMAR_MAX_REGIONS; i++)
		rmrr(0x1000, 0x1fff, 0);
	refused("more reserved memory regions");
}

static void bad_scopes(void **state)
{
	size_t at;

	(void)state;
	for (unsigned int length = 0; length < 256; length++) {
		begin(39, 0);
		at = drhd(1, 0, 0xfed90000, 24);
		scope(at, ENDPOINT, 0, 1, 0);
		scope(at + 8, ENDPOINT, 0, 1, 0);
		scope(at + 16, ENDPOINT, 0, 1, 0);
		table[at + 1] = (uint8_t)length;
		if (length == 8 || length == 16)
			assert_true(length == 8 ? !parse() : !!parse()); /* the type and length of the next as a hop */
		else if (length != 24)
			assert_non_null(parse());
	}
	begin(39, 0);
	scope(drhd(1, 0, 0xfed90000, 8), ENDPOINT, 0, 32, 0);
	refused("a device above 31");
	begin(39, 0);
	scope(drhd(1, 0, 0xfed90000, 8), ENDPOINT, 0, 0, 8);
	refused("function above 7");
	/* As many as a structure has room for: nobody counts them. The last one is looked at, too. */
	begin(39, 0);
	at = drhd(1, 0, 0xfed90000, 65512);
	for (unsigned int i = 0; i < 65512 / 8; i++)
		scope(at + 8 * i, ENDPOINT, 0, 1, 0);
	assert_null(parse());
	scope(at + 65512 - 8, ENDPOINT, 0, 32, 0);
	refused("a device above 31");
}

static void bad_lengths(void **state)
{
	(void)state;
	for (unsigned int kind = 0; kind < 4; kind++) {
		for (unsigned int length = 0; length < 40; length++) {
			static const unsigned int needs[] = { 16, 24, 8, 4 };
			size_t at;

			begin(39, 0);
			drhd(1, 0, 0xfed90000, 0);
			at = structure((uint16_t)kind, 40);
			put(at + 2, length, 2);
			put(at + 8, kind ? 0x1000 : 0xfed91000, 8);
			put(at + 16, kind ? 0x1fff : 0, 8);
			used = at + MAX(length, 4u);
			if (length < needs[kind])
				assert_non_null(parse());
			else if (length == needs[kind])
				assert_null(parse());
			used = at + 3;
			refused("bytes behind");
		}
	}
}

static uint64_t seed = 88172645463325252ull;

static uint64_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* Numbers that are near a limit more often than not. */
static uint64_t random_field(void)
{
	static const uint64_t odd[] = { 0, 1, 3, 4, 8, 16, 24, 0xff, 0xfff, 0x1000, 0xffff, 0xfed90000, 0xffffffff,
					1ull << 52, ~0ull };

	return random_number() % 4 ? odd[random_number() % ARRAY_SIZE(odd)] : random_number();
}

static void check_result(const char *wrong)
{
	assert_true(dmar.unit_count <= DMAR_MAX_UNITS && dmar.region_count <= DMAR_MAX_REGIONS);
	if (wrong)
		return;
	assert_true(dmar.unit_count);
	for (unsigned int i = 0; i < dmar.unit_count; i++)
		assert_true(dmar.units[i].base && !(dmar.units[i].base % PAGE_SIZE) && dmar.units[i].base < 1ull << 52);
	for (unsigned int i = 0; i < dmar.region_count; i++)
		assert_true(dmar.regions[i].start < dmar.regions[i].end && dmar.regions[i].end <= 1ull << 52);
}

/* The good table with some fields changed, and its length too. DMAR_FUZZ_ROUNDS: another number of rounds. */
static void random_tables(void **state)
{
	const char *wish = getenv("DMAR_FUZZ_ROUNDS");
	unsigned long rounds = wish ? strtoul(wish, NULL, 10) : FUZZ_ROUNDS, good = 0;
	static uint8_t first[512];
	size_t whole;

	a_good_table(state);
	whole = used;
	memcpy(first, table, whole);
	for (unsigned long i = 0; i < rounds; i++) {
		const char *wrong;

		memcpy(table, first, sizeof(first));
		used = random_number() % 4 ? whole : 48 + random_number() % (sizeof(first) - 48 - 8);
		for (uint64_t changes = random_number() % 4; changes; changes--)
			put(36 + random_number() % (used - 36), random_field(), 1ul << random_number() % 4);
		wrong = parse();
		check_result(wrong);
		good += !wrong;
	}
	printf("%lu random tables, %lu of them good\n", rounds, good);
	assert_in_range(good, rounds / 100, rounds - rounds / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_table), cmocka_unit_test(cut_tables), cmocka_unit_test(bad_units),
		cmocka_unit_test(bad_regions), cmocka_unit_test(bad_scopes), cmocka_unit_test(bad_lengths),
		cmocka_unit_test(random_tables),
	};

	return cmocka_run_group_tests_name("dmar", tests, NULL, NULL);
}
