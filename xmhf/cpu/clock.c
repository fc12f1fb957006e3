/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See clock.h. Channel 2 of the 8254 counts down once for each round; its output is seen in port 0x61. A round says how
 * much it can be wrong by: what passed between the reads of the TSC around its start and around its end. Firmware in
 * SMM, or a host that takes the virtual CPU away, makes that long, so the round with the smallest doubt is taken.
 *
 * CPUID's word comes second: emulators report the frequency of the CPU that they imitate.
 */
#include "cpu/clock.h"

#include "cpu/x86.h"
#include "report/log.h"

#define PIT_HZ 1193182ul
#define PIT_CHANNEL_2 0x42
#define PIT_COMMAND 0x43
#define PIT_ONE_SHOT_2 0xb0 /* channel 2, low byte and high byte, mode 0: the output rises when the count is over */
#define PORT_B 0x61
#define PORT_B_GATE BIT(0)
#define PORT_B_SPEAKER BIT(1)
#define PORT_B_OUTPUT BIT(5)

#define ROUNDS 4
#define ROUND_MS 5ul
#define ROUND_COUNT (PIT_HZ * ROUND_MS / 1000)
#define GOOD_ENOUGH 500 /* a doubt of one part in this ends the search */
#define STILL_USABLE 10

#define MIN_TICKS_PER_MS 500ul
#define MAX_TICKS_PER_MS 10000000ul
#define GUESS_TICKS_PER_MS 3000000ul

static u64 ticks_per_ms = GUESS_TICKS_PER_MS;

struct round { u64 ticks, doubt; };

/* Until the count is over. False: it is not within twice the time that it takes, by the fastest clock there may be. */
static bool time_one_shot(struct round *round)
{
	u64 before, start, last, now;

	outb(PIT_COMMAND, PIT_ONE_SHOT_2);
	outb(PIT_CHANNEL_2, ROUND_COUNT & 0xff);
	before = rdtsc();
	outb(PIT_CHANNEL_2, ROUND_COUNT >> 8);
	start = now = rdtsc();
	do {
		last = now;
		if (last - start > 2 * ROUND_MS * MAX_TICKS_PER_MS)
			return false;
		bool over = inb(PORT_B) & PORT_B_OUTPUT;

		now = rdtsc();
		if (over)
			break;
	} while (true);
	*round = (struct round){ (now - start + last - before) / 2, (start - before) + (now - last) };
	return true;
}

static bool plausible(u64 rate)
{
	return rate >= MIN_TICKS_PER_MS && rate <= MAX_TICKS_PER_MS;
}

/* Ticks in a millisecond, or 0. */
static u64 measure(void)
{
	struct round best = { 0, ~0ull }, round;
	u8 port_b = inb(PORT_B);

	outb(PORT_B, (u8)((port_b & ~PORT_B_SPEAKER) | PORT_B_GATE));
	for (u32 i = 0; i < ROUNDS && best.doubt > best.ticks / GOOD_ENOUGH; i++) {
		if (!time_one_shot(&round))
			break;
		if (round.doubt < best.doubt)
			best = round;
	}
	outb(PORT_B, port_b);
	if (best.doubt > best.ticks / STILL_USABLE)
		return 0;
	/* The output rises one count after zero. */
	u64 rate = best.ticks * PIT_HZ / ((ROUND_COUNT + 1) * 1000);

	return plausible(rate) ? rate : 0;
}

/* The same by CPUID: crystal and ratio, or the base frequency; 0: not enumerated. */
static u64 by_cpuid(void)
{
	u32 highest = cpuid(0, 0).eax;
	u64 rate = 0;

	if (highest >= 0x15) {
		struct cpuid_regs r = cpuid(0x15, 0);

		if (r.eax && r.ebx)
			rate = (u64)r.ecx * r.ebx / r.eax / 1000;
	}
	if (!rate && highest >= 0x16)
		rate = (cpuid(0x16, 0).eax & 0xffff) * 1000ull;
	return plausible(rate) ? rate : 0;
}

void clock_calibrate(void)
{
	u64 rate = measure();

	if (rate) {
		log_info("the TSC runs at %lu kHz", rate);
	} else if ((rate = by_cpuid())) {
		log_warn("the interval timer is no good: the TSC runs at %lu kHz by CPUID's word", rate);
	} else {
		rate = GUESS_TICKS_PER_MS;
		log_warn("nothing says how fast the TSC runs: %lu kHz are taken, bounds in time are rough", rate);
	}
	ticks_per_ms = rate;
}

u64 clock_ticks_per_ms(void)
{
	return ticks_per_ms;
}
