/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checksum on the simulator: its call from L1 and from L2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "call/call.h"

extern const struct hypapp_descriptor hypapp_checksum;
static const struct hypapp_descriptor *const hypapps[] = { &hypapp_checksum, NULL };

enum { HLT = 12 };

static void ask(void *arg)
{
	uint64_t *bytes = arg;

	sim_set(HYPAPI_REG_RBX, *bytes);
	sim_assert(sim_hypercall(CALL) == 0);
	sim_assert(sim_get(HYPAPI_REG_RAX) == 0);
	*bytes = sim_get(HYPAPI_REG_RBX);
}

static void ask_from_l2(void *arg)
{
	sim_assert(sim_l2_run(sim_l2_create(1 << 20), ask, arg, NULL) == HLT);
}

/* "Adler-32", first byte lowest; the answer was made by zlib's adler32(). */
static void answers_both_levels(void **state)
{
	uint64_t in_l1 = 0x32332d72656c6441, in_l2 = in_l1;

	(void)state;
	sim_boot(hypapps, NULL);
	sim_run(0, ask, &in_l1);
	sim_run(0, ask_from_l2, &in_l2);
	assert_int_equal(in_l1, 0x0c34027b);
	assert_int_equal(in_l2, in_l1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { sim_test(answers_both_levels) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
