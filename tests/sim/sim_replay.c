/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A trace that was recorded on the emulator replays: the lives of some PALs on two CPUs of a Linux, one of them
 * destroyed by the other CPU (tests/sim/pal.trace, lines of a run of the case trace/pal). And what does not fit is
 * found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "replay.h"

/* The file, with `from` replaced by `to` where that is given. */
static char *recorded(const char *from, const char *to)
{
	static char text[1 << 16], changed[sizeof(text) + 100];
	FILE *file = fopen(SIM_TRACE, "rb");
	char *at;

	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = 0;
	fclose(file);
	at = from ? strstr(text, from) : NULL;
	if (!from)
		return text;
	assert_non_null(at);
	snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	return changed;
}

static int replay(const char *log, struct sim_replay_result *result)
{
	return sim_replay(log, replay_hypapps, result);
}

static void the_recorded_trace(void **state)
{
	struct sim_replay_result result;

	(void)state;
	assert_int_equal(replay(recorded(NULL, NULL), &result), HYPAPI_OK);
	assert_string_equal(result.difference, "");
	assert_int_equal(result.different, 0);
	assert_int_equal(result.recorded, 52);
	assert_int_equal(result.left_out, 21);
	assert_int_equal(result.same, 31);
}

/* The hypercall 0xff: another verdict. */
static void a_verdict_that_differs(void **state)
{
	struct sim_replay_result result;

	(void)state;
	assert_int_equal(replay(recorded(" 2 1 0 1 0xff 1", " 2 1 0 2 0xff 1"), &result), HYPAPI_OK);
	assert_int_equal(result.different, 1);
	assert_non_null(strstr(result.difference, "CPU 1: recorded is hypercall 0xff of L1 to trustvisor (verdict 2"));
}

/* The exit of a PAL that was never called. */
static void a_delivery_that_does_not_come(void **state)
{
	struct sim_replay_result result;

	(void)state;
	assert_int_equal(replay(recorded(" 2 1 0 1 0xff 1", " 5 1 0 1 0xff 1"), &result), HYPAPI_OK);
	assert_true(result.different > 0);
}

static void no_trace(void **state)
{
	struct sim_replay_result result;

	(void)state;
	assert_int_equal(replay("xmhf: hypapp trustvisor, priority 100, hypapi 1.2\n", &result), HYPAPI_EINVAL);
	assert_int_equal(replay("xmhf: hypapp other, priority 100, hypapi 1.2\n", &result), HYPAPI_EINVAL);
	assert_non_null(strstr(result.difference, "other"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(the_recorded_trace),
		sim_test(a_verdict_that_differs),
		sim_test(a_delivery_that_does_not_come),
		sim_test(no_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
