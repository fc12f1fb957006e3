/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quiesce/stop_budget.c: what share of the time storms of all forms get, and that nobody waits who does not storm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "quiesce/stop_budget.h"

#define PER_MS 20000ull
#define SECOND (1000 * PER_MS)
#define BESIDE (PER_MS / 100)

static u64 now;

/* Asks as soon as it may, again and again, until so long has passed: the time that the machine stood still. */
static u64 storm(u64 length, u64 duration)
{
	u64 end = now + duration, stopped = 0;

	while (now < end) {
		u64 at = stop_budget_ready_at(now);

		assert_in_range(at, now, now + 100 * SECOND);
		if (at > now) {
			now = at;
			continue;
		}
		now += length;
		stop_budget_charge(now, length);
		stopped += length + BESIDE;
	}
	return stopped;
}

static int start(void **state)
{
	(void)state;
	now = 1000 * SECOND;
	stop_budget_init(STOP_SHARE_DEFAULT, PER_MS);
	return 0;
}

static void a_storm_gets_its_share(void **state)
{
	static const u64 lengths[] = { 1, 300, 2500, 100000, 2 * SECOND };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		start(state);
		u64 duration = 1000 * (lengths[i] + PER_MS * 10), first = storm(lengths[i], duration), then;

		assert_true(first <= duration / 20 + 50 * PER_MS + lengths[i] + BESIDE || lengths[i] > 50 * PER_MS);
		then = storm(lengths[i], duration);
		if (lengths[i] <= 50 * PER_MS) /* of longer ones only so much is charged */
			assert_in_range(then, duration / 20 - duration / 100, duration / 20 + lengths[i] + BESIDE);
	}
}

static void a_burst_does_not_wait(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 300; i++) {
			assert_int_equal(stop_budget_ready_at(now), now);
			now += 3000;
			stop_budget_charge(now, 3000);
		}
		now += SECOND;
	}
	for (int i = 0; i < 400; i++)
		stop_budget_charge(now, 3000);
	assert_true(stop_budget_ready_at(now) > now);
}

static void shares_are_what_was_asked_for(void **state)
{
	static const u64 shares[] = { 1, 5, 33, 99 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
		stop_budget_init(shares[i], PER_MS);
		now = 7 * SECOND;
		(void)storm(2000, 20 * SECOND);
		u64 stopped = storm(2000, 20 * SECOND);

		assert_in_range(stopped, 20 * SECOND * shares[i] / 102, 20 * SECOND * shares[i] / 98);
	}
	stop_budget_init(STOP_SHARE_ALL, PER_MS);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(stop_budget_ready_at(now), now);
		stop_budget_charge(now, SECOND);
	}
}

/* The wait is known at once, and has a bound: what is charged to others meanwhile is for those that come later. */
static void the_wait_has_a_bound(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		stop_budget_charge(now, SECOND);
	assert_in_range(stop_budget_ready_at(now), now + SECOND, now + SECOND + PER_MS);
	now = stop_budget_ready_at(now);
	assert_int_equal(stop_budget_ready_at(now), now);
}

static void a_clock_set_back_does_not_close_it(void **state)
{
	(void)state;
	stop_budget_charge(now, 100);
	now = SECOND; /* L1 writes the time stamp counter */
	u64 at = stop_budget_ready_at(now);

	assert_in_range(at, now, now + SECOND + PER_MS);
	assert_int_equal(stop_budget_ready_at(at), at);
	assert_in_range(storm(2000, 100 * SECOND), 4 * SECOND, 6 * SECOND);
	now += 100000 * SECOND; /* forward: nothing is owed */
	assert_int_equal(stop_budget_ready_at(now), now);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, start)
	const struct CMUnitTest tests[] = {
		TEST(a_storm_gets_its_share), TEST(a_burst_does_not_wait), TEST(shares_are_what_was_asked_for),
		TEST(the_wait_has_a_bound), TEST(a_clock_set_back_does_not_close_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
