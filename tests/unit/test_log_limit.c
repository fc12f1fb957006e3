/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report/log_limit.c: a burst, then a rate; and no time stamp counter that a guest has written silences a line for
 * ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define XMHF_X86_INSN_H /* in place of the real instructions */
#include "lib/base.h"

#define PER_MS 1000ull
#define BURST 8u
#define INTERVAL_MS 1000u

static u64 now;

static u64 rdtsc(void) { return now; }

#include "../../xmhf/report/log_limit.c"

enum log_level log_threshold = LOG_INFO;
static u32 said; /* how many lines were left out */

u64 clock_ticks_per_ms(void) { return PER_MS; }

void log_dropped(u32 count) { said = count; }

/* How many of so many lines come, each after so many ticks. */
static u32 lines(struct log_limit *limit, u32 count, u64 ticks)
{
	u32 came = 0;

	for (u32 i = 0; i < count; i++, now += ticks)
		came += log_allowed(limit, BURST, INTERVAL_MS);
	return came;
}

static void a_burst_and_then_a_rate(void **state)
{
	struct log_limit limit = { 0 };

	(void)state;
	now = 1ull << 40;
	assert_int_equal(lines(&limit, 100, 0), BURST);
	now += INTERVAL_MS * PER_MS;
	assert_int_equal(lines(&limit, 1, 1), 1);
	assert_int_equal(said, 100 - BURST);
	assert_in_range(lines(&limit, 10000, INTERVAL_MS * PER_MS / 100), 99, 101);
}

static void a_counter_set_back_silences_nobody(void **state)
{
	struct log_limit limit = { 0 };

	(void)state;
	now = 1ull << 60; /* L1 has written it, on one CPU */
	assert_int_equal(lines(&limit, 100, 0), BURST);
	now = 1ull << 40; /* that of another one */
	assert_int_equal(lines(&limit, 100, 0), BURST);
	now = ~0ull - 10; /* it wraps */
	assert_true(lines(&limit, 100, 1) >= 1);
	assert_in_range(lines(&limit, 1000, INTERVAL_MS * PER_MS), 990, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_and_then_a_rate),
		cmocka_unit_test(a_counter_set_back_silences_nobody),
	};

	return cmocka_run_group_tests_name("log_limit", tests, NULL, NULL);
}
