/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures register, invoke, return and unregister of a PAL with four sections of a page and two integer parameters.
 * Prints "B OPERATION CPUS TICKS", medians. Exit code 0 only if every step worked, 2 without TrustVisor.
 */
#include <stdio.h>

#include "pal.h"

TV_PAL_PAGES(1, 1);

static const struct tv_pal_params two_integers = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } };
static uint64_t samples[BENCH_PARTS][BENCH_SAMPLES];

int main(void)
{
	static const char *const names[BENCH_PARTS] = { "register", "invoke", "return", "unregister" };
	uint64_t (*volatile time)(uint64_t, uint64_t) = pal_time;
	uint32_t base = tv_detect() == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0;
	struct tv_pal_sections sections;
	bool right;

	if (tv_detect() == TV_NONE) {
		puts("pal-bench: no TrustVisor on this machine");
		return 2;
	}
	tv_own_sections(&sections);
	/* The library makes the pages ready, which is not to be measured; unregister leaves them so. */
	right = tv_prepare(&sections);
	for (int i = -BENCH_WARM_UP; i < BENCH_SAMPLES && right; i++) {
		uint64_t at[BENCH_PARTS + 1];

		tv_pal_is_there = 1; /* unregister zeroes the PAL's data */
		at[0] = read_ticks();
		right &= tv_hypercall(base, TV_CMD_REGISTER, (uintptr_t)&sections, 0, (uintptr_t)&two_integers,
				      (uintptr_t)pal_time) == TV_OK;
		at[1] = read_ticks();
		at[2] = time(1, 2);
		at[3] = read_ticks();
		right &= at[2] != TV_NOT_IN_PAL;
		right &= tv_hypercall(base, TV_CMD_UNREGISTER, (uintptr_t)pal_time, 0, 0, 0) == TV_OK;
		at[4] = read_ticks();
		for (int part = 0; i >= 0 && part < BENCH_PARTS; part++)
			bench_insert(samples[part], i, at[part + 1] - at[part]);
	}
	for (int part = 0; right && part < BENCH_PARTS; part++)
		printf("B pal-%s-l%d 1 %lu\n", names[part], (int)tv_detect(),
		       (unsigned long)samples[part][BENCH_SAMPLES / 2]);
	printf("pal-bench: %s\n", right ? "ok" : "FAILED");
	return !right;
}
