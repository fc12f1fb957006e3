/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pal-stress ROUNDS: on every CPU at once, a process of its own registers the example PAL, calls it and unregisters it,
 * ROUNDS times, and checks every result. Exit code 0 only if all are right, 2 without TrustVisor.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pal.h"

#define CALLS_PER_ROUND 4
#define MAX_CPUS 64

TV_PAL_PAGES(1, 1);

static const struct tv_pal_params params = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } };

static bool one_round(const struct tv_pal_sections *sections, uint64_t round)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = pal_add;
	uint64_t secret = round * 0x9e3779b97f4a7c15 + (uint64_t)getpid();
	uint32_t result;
	bool right = true;

	pal_data.secret = secret;
	result = tv_register(sections, &params, pal_add);
	if (result != TV_OK) {
		printf("pal-stress: register: %s\n", tv_result_text(result));
		return false;
	}
	for (uint64_t i = 0; i < CALLS_PER_ROUND; i++)
		right &= add(round, i) == round + i + secret;
	right &= tv_unregister(sections, pal_add) == TV_OK;
	return right && pal_data.secret == 0;
}

static int run_on(int cpu, uint64_t rounds)
{
	struct tv_pal_sections sections;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("sched_setaffinity");
		return 1;
	}
	tv_own_sections(&sections);
	for (uint64_t i = 1; i <= rounds; i++)
		if (!one_round(&sections, i)) {
			printf("pal-stress: CPU %d: wrong in round %lu\n", cpu, (unsigned long)i);
			return 1;
		}
	printf("pal-stress: CPU %d: %lu rounds right\n", cpu, (unsigned long)rounds);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 200;
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	int failures = 0, status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (tv_detect() == TV_NONE) {
		puts("pal-stress: no TrustVisor on this machine");
		return 2;
	}
	if (cpus > MAX_CPUS)
		cpus = MAX_CPUS;
	for (int cpu = 0; cpu < cpus; cpu++) {
		pid_t child = fork();

		if (child == 0)
			return run_on(cpu, rounds);
		failures += child < 0;
	}
	while (wait(&status) > 0)
		failures += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	printf("pal-stress: %d CPUs, %lu rounds each: %s\n", cpus, (unsigned long)rounds, failures ? "FAILED" : "ok");
	return failures != 0;
}
