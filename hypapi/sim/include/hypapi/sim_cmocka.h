/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * Tests on the simulator by cmocka: each has a process and so a machine of its own. Include it after <cmocka.h>. What a
 * test prints is shown when its process has ended.
 *
 *     static void counts(void **state) { (void)state; sim_boot(hypapps, NULL); sim_run(0, code, NULL); ... }
 *     const struct CMUnitTest tests[] = { sim_test(counts), sim_test_fault(holds_a_lock, "lock") };
 */
#ifndef HYPAPI_SIM_CMOCKA_H
#define HYPAPI_SIM_CMOCKA_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <hypapi/sim.h>

/** One test, for the macros below. @since 1.2 */
struct sim_case {
	const char *name;       /**< of the function */
	CMUnitTestFunction test; /**< the function */
	int status;             /**< exit status that it must have */
	const char *fault;      /**< part of the text of the fault that the simulator must find; NULL: none */
};

/** @cond */
static FILE *sim_case_output; /* of the test that runs */

static inline int sim_case_in_child(void *arg)
{
	const struct sim_case *c = (const struct sim_case *)arg;
	const struct CMUnitTest one[] = { { c->name, c->test, NULL, NULL, NULL } };

	if (!sim_case_output || dup2(fileno(sim_case_output), STDOUT_FILENO) < 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	return cmocka_run_group_tests_name(c->name, one, NULL, NULL);
}

/* All but the framework's lines about a group of one. */
static inline void sim_case_show(FILE *output)
{
	char line[512];

	rewind(output);
	while (fgets(line, sizeof(line), output))
		if (line[0] != '[')
			print_message("%s", line);
	fclose(output);
}

static inline void sim_case_run(void **state)
{
	struct sim_case *c = (struct sim_case *)*state;
	char fault[SIM_FAULT_BYTES];

	sim_case_output = tmpfile();
	int status = sim_isolated(sim_case_in_child, c, fault);

	if (sim_case_output)
		sim_case_show(sim_case_output);
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
