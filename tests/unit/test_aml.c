/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot/aml.c on the host: what firmware writes, what is no definition, and code that ends in the middle of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot/aml.h"

void *malloc(size_t);
void free(void *);
void *memcpy(void *, const void *, size_t);

#define S5 '_', 'S', '5', '_'

/* In a buffer of its own size, so that the sanitizer sees a byte read behind it. */
static struct aml_package find(const u8 *aml, size_t len)
{
	u8 *exact = malloc(len ? len : 1);

	memcpy(exact, aml, len);
	struct aml_package p = aml_find_package(exact, len, "_S5_");

	free(exact);
	return p;
}

static const struct {
	u8 aml[24];
	size_t len;
	bool found;
	u8 a, b;
} cases[] = {
	{ { 0x08, S5, 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x06, 0x00, 0x00 }, 12, true, 5, 6 },
	{ { 0x08, 0x5c, S5, 0x12, 0x06, 0x04, 0x00, 0x01, 0x00, 0x00 }, 12, true, 0, 1 },
	{ { 0x08, S5, 0x12, 0x4a, 0x00, 0x02, 0x0b, 0x07, 0x01, 0x0c, 0x03, 0, 0, 1 }, 17, true, 7, 3 },
	/* a long one */
	{ { 0x08, S5, 0x12, 0x04, 0x01, 0x0a, 0x07 }, 10, true, 7, 7 },		/* one element */
	{ { S5, S5, 0x08, S5, 0x12, 0x04, 0x01, 0x01 }, 17, true, 1, 1 },	/* uses of the name before */
	{ { 0x08, S5, 0x0a, 5, 0x08, S5, 0x12, 0x04, 0x01, 0x01 }, 16, true, 1, 1 }, /* no package, then one */
	{ { 0x5c, S5, 0x12, 0x06, 0x04, 0x00, 0x00 }, 9, false, 0, 0 },		/* no Name */
	{ { 0x08, S5, 0x12, 0x06, 0x00, 0x01, 0x01 }, 9, false, 0, 0 },		/* no element */
	{ { 0x08, S5, 0x12, 0x0a, 0x02, 0x0d, 'a', 0, 0x01 }, 11, false, 0, 0 },	/* a string */
	{ { 0x08, S5, 0x12, 0x0a, 0x02, 0x01, 0x0d, 'a', 0 }, 11, false, 0, 0 },
	{ { 0x08, S5 }, 5, false, 0, 0 },
	{ { 0 }, 0, false, 0, 0 },
};

static void test_packages(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct aml_package p = find(cases[i].aml, cases[i].len);

		if (p.found != cases[i].found || (p.found && (p.values[0] != cases[i].a || p.values[1] != cases[i].b)))
			fail_msg("case %zu: found %d, values %u and %u", i, p.found, p.values[0], p.values[1]);
	}
}

/* Cut anywhere, a definition is none until its second element is whole. */
static void test_cut_short(void **state)
{
	(void)state;
	for (size_t len = 0; len < cases[2].len; len++)
		assert_false(find(cases[2].aml, len).found);
	for (size_t len = 0; len < 12; len++)
		assert_int_equal(find(cases[0].aml, len).found, false);
	assert_true(find(cases[0].aml, 12).found);
}

/* Every length byte there is, before two elements. */
static void test_lengths(void **state)
{
	(void)state;
	for (u32 lead = 0; lead < 256; lead++) {
		const u8 aml[] = { 0x08, S5, 0x12, (u8)lead, 0xff, 0xff, 0xff, 0x02, 0x00, 0x01 };
		struct aml_package p = find(aml, sizeof(aml));

		assert_int_equal(p.found, lead >> 6 == 3);
	}
}

/* Definitions get the other name, be it there or not; uses, strings, and what is no package keep it. */
static void test_rename(void **state)
{
	static const struct { u8 before[24], after[24]; size_t len; u32 count; } renames[] = {
		{ { 0x08, S5, 0x12, 0x04, 0x01, 0x01, 0x08, 0x5c, S5, 0x12, 0x04, 0x01, 0x02 },
		  { 0x08, 'X', 'S', '5', '_', 0x12, 0x04, 0x01, 0x01, 0x08, 0x5c, S5, 0x12, 0x04, 0x01, 0x02 }, 19, 1 },
		{ { 0x08, S5, 0x12, 0x04, 0x01, 0x01, 0x08, 0x5c, S5, 0x12, 0x04, 0x01, 0x01 },
		  { 0x08, 'X', 'S', '5', '_', 0x12, 0x04, 0x01, 0x01, 0x08, 0x5c, 'X', 'S', '5', '_', 0x12, 0x04, 0x01,
		    0x01 }, 19, 2 },
		{ { 0x70, S5, 0x60, 0x0d, 0x08, S5, 0x00, 0x08, S5, 0x0a, 0x05 },
		  { 0x70, S5, 0x60, 0x0d, 0x08, S5, 0x00, 0x08, S5, 0x0a, 0x05 }, 21, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(renames); i++) {
		u8 *exact = malloc(renames[i].len);

		memcpy(exact, renames[i].before, renames[i].len);
		assert_int_equal(aml_rename_packages(exact, renames[i].len, "_S5_", 'X'), renames[i].count);
		assert_memory_equal(exact, renames[i].after, renames[i].len);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packages),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_rename),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
