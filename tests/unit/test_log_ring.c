/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report/log_ring.c: a line comes out as it was put in, whatever its arguments are; under load none is torn, and all
 * are counted, as written or as left out. Owners and reader are threads, as CPUs are: the program is built for
 * ThreadSanitizer, too.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/log_ring.h"

#define OWNERS 4u
#define LINES_OF_ONE 25000u

extern const char __executable_start, _end;

static struct log_ring rings[OWNERS];
static _Atomic uint64_t ticks;

static uint32_t put(struct log_ring *ring, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	uint32_t more = log_ring_put(ring, ++ticks, LOG_INFO, format, args);
	va_end(args);
	return more;
}

/* The oldest line, which is taken out; NULL: none. */
static const char *take(struct log_ring *ring)
{
	static char text[256];
	const struct log_record *next = log_ring_next(ring);
	struct log_record copy;

	if (!next)
		return NULL;
	copy = *next;
	log_ring_take(ring);
	log_ring_format(&copy, text, sizeof(text));
	return text;
}

static int begin(void **state)
{
	(void)state;
	memset(rings, 0, sizeof(rings));
	ticks = 0;
	log_ring_constants(&__executable_start, &_end);
	return 0;
}

/* Twice each: the second time what the format takes is remembered. */
static void as_it_was_asked_for(void **state)
{
	char name[] = "a name that changes", *none = NULL;

	(void)state;
	for (int i = 0; i < 2; i++) {
		put(rings, "%s: %d of %u, 0x%lx %c%%", name, -5, 7u, 0xfedcba9876543210ul, 'x');
		put(rings, "%s|%-4u|%04x|%p|%zu", none, 1u, 2u, (void *)0x10, sizeof(int));
		name[0] = 'b';
		assert_string_equal(take(rings), i ? "b name that changes: -5 of 7, 0xfedcba9876543210 x%" :
						     "a name that changes: -5 of 7, 0xfedcba9876543210 x%");
		assert_string_equal(take(rings), "(null)|1   |0002|10|4");
	}
	assert_null(take(rings));
}

/* What does not fit into words and short strings is formatted at once: nothing of it is lost, nor read later. */
static void what_does_not_fit(void **state)
{
	char made[] = "made at run time: %u", longer[100];

	(void)state;
	memset(longer, 'y', sizeof(longer));
	longer[99] = 0;
	for (int i = 0; i < 2; i++) {
		strcpy(made, "made at run time: %u");
		put(rings, made, 1u);
		put(rings, "%u%u%u%u%u%u%u%u%u", 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u);
		put(rings, "%s!", longer);
		put(rings, "%s %s %s", "1234567890123456789012345678901234567890123456789012345678901",
		    "2234567890123456789012345678901234567890123456789012345678901",
		    "3234567890123456789012345678901234567890123456789012345678901");
		memset(made, '%', sizeof(made) - 1);
		assert_string_equal(take(rings), "made at run time: 1");
		assert_string_equal(take(rings), "123456789");
		assert_int_equal(strlen(take(rings)), 100);
		assert_non_null(strstr(take(rings), " 3234567890123456789012345678901234567890123456789012345678901"));
	}
}

static void full(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < LOG_LINES; i++)
		assert_int_equal(put(rings, "line %u", i), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(put(rings, "lost"), 0);
	assert_string_equal(take(rings), "line 0");
	assert_int_equal(put(rings, "lost, for there must be room for the count as well"), 0);
	assert_string_equal(take(rings), "line 1");
	assert_int_equal(put(rings, "again"), 2);
	for (uint32_t i = 2; i < LOG_LINES; i++)
		assert_non_null(take(rings));
	assert_string_equal(take(rings), "4 lines were left out, the like of which follow");
	assert_string_equal(take(rings), "again");
	assert_null(take(rings));
}

/* RAM may hold anything after a reset. */
static void whatever_a_record_says(void **state)
{
	struct log_record bad;
	char text[256];

	(void)state;
	memset(&bad, 'z', sizeof(bad));
	bad.format = "%s %s %s %s %s %s %s %s";
	log_ring_format(&bad, text, sizeof(text));
	bad.format = "%u %u %u %u %u %u %u %u %u";
	log_ring_format(&bad, text, sizeof(text));
	assert_string_equal(text, "?");
	bad.format = (const char *)16;
	log_ring_format(&bad, text, sizeof(text));
	assert_string_equal(text, "?");
	memset(&bad, 'z', sizeof(bad));
	bad.format = NULL;
	assert_int_equal(log_ring_format(&bad, text, sizeof(text)), LOG_TEXT_BYTES - 1);
}

/* ---- Load ---- */

static _Atomic uint32_t finished;

static void *owner(void *arg)
{
	uint32_t me = (uint32_t)(uintptr_t)arg;
	char name[32];

	for (uint32_t i = 0; i < LINES_OF_ONE; i++) {
		snprintf(name, sizeof(name), "owner-%u-%u", me, i);
		/* A name twice, and numbers that belong together. */
		put(&rings[me], "%s: %u %lu %s", name, i, (unsigned long)i * 3, name);
		/* Half of them in bursts, which overflow; the others so that the reader keeps up. */
		while (i > LINES_OF_ONE / 2 && log_ring_next(&rings[me]))
			sched_yield();
	}
	finished++;
	return NULL;
}

static void load(void **state)
{
	pthread_t thread[OWNERS];
	uint64_t written = 0, left_out = 0;
	uint32_t next[OWNERS] = { 0 };
	bool over = false;

	(void)state;
	finished = 0;
	for (uintptr_t i = 0; i < OWNERS; i++)
		pthread_create(&thread[i], NULL, owner, (void *)i);
	for (bool last = false; !over; over = last) {
		last = finished == OWNERS;
		sched_yield();
		for (uint32_t i = 0; i < OWNERS; i++)
			for (const char *text; (text = take(&rings[i]));) {
				uint32_t lost, who, n, number;
				unsigned long thrice;
				char name[2][64];

				if (sscanf(text, "%u lines were left out", &lost) == 1) {
					left_out += lost;
					continue;
				}
				assert_int_equal(sscanf(text, "%63[^:]: %u %lu %63s", name[0], &number, &thrice,
							name[1]), 4);
				assert_int_equal(sscanf(name[0], "owner-%u-%u", &who, &n), 2);
				assert_string_equal(name[0], name[1]);
				assert_true(who == i && n == number && thrice == 3ul * n && n >= next[i]);
				next[i] = n + 1;
				written++;
			}
	}
	for (uint32_t i = 0; i < OWNERS; i++) {
		pthread_join(thread[i], NULL);
		left_out += rings[i].dropped;
	}
	assert_int_equal(written + left_out, OWNERS * LINES_OF_ONE);
	assert_true(left_out > 0 && written >= OWNERS * LINES_OF_ONE / 2);
	printf("%lu lines whole, %lu left out and counted\n", written, left_out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(as_it_was_asked_for, begin), cmocka_unit_test_setup(what_does_not_fit, begin),
		cmocka_unit_test_setup(full, begin), cmocka_unit_test_setup(whatever_a_record_says, begin),
		cmocka_unit_test_setup(load, begin),
	};

	return cmocka_run_group_tests_name("log_ring", tests, NULL, NULL);
}
