/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * Tests on the simulator by cmocka: each has a process and so a machine of its own. Include it after <cmocka.h>.
 *
 *     static void counts(void **state) { (void)state; sim_boot(hypapps, NULL); sim_run(0, code, NULL); ... }
 *     const struct CMUnitTest tests[] = { sim_test(counts), sim_test_fault(holds_a_lock, "lock") };
 */
#ifndef HYPAPI_SIM_CMOCKA_H
#define HYPAPI_SIM_CMOCKA_H

#include <stdio.h>
#include <string.h>

#include <hypapi/sim.h>

/** One test, for the macros below. @since 1.2 */
struct sim_case {
	const char *name;       /**< of the function */
	CMUnitTestFunction test; /**< the function */
	int status;             /**< exit status that it must have */
	const char *fault;      /**< part of the text of the fault that the simulator must find; NULL: none */
};

/** @cond */
static inline int sim_case_in_child(void *arg)
{
	const struct sim_case *c = (const struct sim_case *)arg;
	const struct CMUnitTest one[] = { { c->name, c->test, NULL, NULL, NULL } };

	if (!freopen("/dev/null", "w", stdout))
		return 1;
	return cmocka_run_group_tests_name(c->name, one, NULL, NULL);
}

static inline void sim_case_run(void **state)
{
	struct sim_case *c = (struct sim_case *)*state;
	char fault[SIM_FAULT_BYTES];
	int status = sim_isolated(sim_case_in_child, c, fault);

	if (status != c->status)
		print_error("%s: exit status %d, not %d\n", c->name, status, c->status);
	assert_int_equal(status, c->status);
	if (c->fault && !strstr(fault, c->fault))
		print_error("%s: the fault \"%s\" is not about \"%s\"\n", c->name, fault, c->fault);
	assert_true(!c->fault || strstr(fault, c->fault));
}

#define sim_case_of(f, status, text) { #f, sim_case_run, NULL, NULL, &(struct sim_case){ #f, f, status, text } }
/** @endcond */

/**
 * A row of struct CMUnitTest: the function passes as with cmocka_unit_test(), and the simulator finds no fault.
 * @since 1.2
 */
#define sim_test(f) sim_case_of(f, 0, NULL)
/** A row: the simulator finds a fault whose text contains `text`. @since 1.2 */
#define sim_test_fault(f, text) sim_case_of(f, SIM_FAULT_STATUS, text)
/** A row: the machine is reset, by a verdict HYPAPI_KILL or by the guest. @since 1.2 */
#define sim_test_reset(f) sim_case_of(f, SIM_RESET_STATUS, NULL)

#endif
