/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * @NAME@'s test, on the simulator: `make test` builds it with the hypapp and the core's own code and runs it, once with
 * AddressSanitizer and UBSan, once with ThreadSanitizer. hypapi/sim.h documents each call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

extern const struct hypapp_descriptor hypapp_@NAME@;
static const struct hypapp_descriptor *const hypapps[] = { &hypapp_@NAME@, NULL };

enum { CALL_COUNT = 0x200, CALL_UNUSED = 0x201, UD = 6, HLT = 12, CPUS = 4, CALLS = 100 };

/* ---- Guest code: each sim_ call is an instruction of the level that runs ---- */

/* What the guest gets back from one hypercall. */
static uint64_t count_once(void)
{
	sim_assert_equal(sim_hypercall(CALL_COUNT), 0);
	sim_assert_equal(sim_get(HYPAPI_REG_RAX), 0);
	return sim_get(HYPAPI_REG_RBX);
}

static void call(void *arg)
{
	*(uint64_t *)arg = count_once();
	sim_assert_equal(sim_hypercall(CALL_UNUSED), UD);
}

/* L1 runs an L2, which makes the same call. */
static void call_from_l2(void *arg)
{
	sim_assert_equal(sim_l2_run(sim_l2_create(1 << 20), call, arg, NULL), HLT);
}

static void call_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < CALLS; i++)
		(void)count_once();
}

/* ---- Tests: each has a machine of its own ---- */

static void answers_both_levels(void **state)
{
	uint64_t in_l1, in_l2;

	(void)state;
	sim_boot(hypapps, NULL);
	sim_run(0, call, &in_l1);
	sim_run(1, call_from_l2, &in_l2);
	assert_int_equal(in_l1, 1);
	assert_int_equal(in_l2, 2);
}

static void counts_all_cpus(void **state)
{
	uint64_t count;

	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = CPUS });
	sim_run_all(call_often, NULL);
	sim_run(0, call, &count);
	assert_int_equal(count, CPUS * CALLS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { sim_test(answers_both_levels), sim_test(counts_all_cpus) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
