/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF with tests/bench/passer.c: every CPU makes the hypapp log, as fast as it can, and, if there is one CPU, prints
 * lines of its own in between. tests/run/log_lines.py judges that none is torn and all are counted. The last lines come
 * while the CPU only waits in a loop: the preemption timer gets them out.
 */
#include "test.h"

#define LEAF 0x700u
/* With 9 lines each: 100,008 of each CPU. */
#define ROUNDS 11112u
#define LAST_ROUND 100000u

static u32 running;

/* Nothing here exits by itself. */
static void wait_for(u64 ticks)
{
	u64 end = rdtsc() + ticks;

	while (rdtsc() < end)
		pause();
}

static void load(void *arg)
{
	u32 cpu = *(u32 *)arg;

	for (u32 i = 0; i < ROUNDS; i++) {
		cpuid(LEAF, i);
		if (i % 8 == 0 && cpu_count == 1)
			print("T CPU %u prints in round %u of its load, and this line ends here.\n", cpu, i);
	}
	__atomic_fetch_sub(&running, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&running, __ATOMIC_RELAXED))
		pause();
	/* Until the rate allows a round of each CPU again: 16 lines a second. */
	wait_for(14000000ul * cpu_count);
	cpuid(LEAF, LAST_ROUND);
	wait_for(14000000ul * cpu_count);
	cpuid(LEAF, LAST_ROUND + 1);
	wait_for(6000000);
}

DEFINE_TEST(log_load, "log-load", "XMHF with a hypapp that logs: lines under load, and while a CPU does not exit")
{
	u32 index[16];

	smp_start();
	running = cpu_count;
	for (u32 i = 0; i < cpu_count; i++)
		index[i] = i;
	for (u32 i = 1; i < cpu_count; i++)
		smp_run(i, load, &index[i]);
	load(&index[0]);
	for (u32 i = 1; i < cpu_count; i++)
		smp_wait(i);
}
