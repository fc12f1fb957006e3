/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu/clock.c against an interval timer and a time stamp counter of this file: each instruction takes its time, and
 * some of it is stolen, as SMM and a host's scheduler do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define XMHF_X86_INSN_H /* in place of the real instructions */
#include "lib/base.h"

struct cpuid_regs { u32 eax, ebx, ecx, edx; };

static struct {
	u64 now, hz, port_ticks; /* the counter, its rate, what a port access takes */
	bool dead;               /* the timer does not count */
	u8 port_b;
	u32 latch, bytes;
	u64 over_at;
	u64 steal_every, steal_ticks, accesses;
	struct cpuid_regs leaf15, leaf16;
	u32 highest;
} pc;

static u64 rdtsc(void) { return pc.now++; }

static void access_port(void)
{
	pc.now += pc.port_ticks;
	if (pc.steal_every && ++pc.accesses % pc.steal_every == 0)
		pc.now += pc.steal_ticks;
}

static u8 inb(u16 port)
{
	access_port();
	return port == 0x61 ? (u8)(pc.port_b | (pc.now >= pc.over_at && !pc.dead ? 0x20 : 0)) : 0xff;
}

static void outb(u16 port, u8 value)
{
	access_port();
	if (port == 0x61)
		pc.port_b = value;
	if (port == 0x43) {
		assert_int_equal(value, 0xb0);
		pc.bytes = pc.latch = 0;
		pc.over_at = ~0ull;
	}
	if (port != 0x42)
		return;
	pc.latch |= (u32)value << 8 * pc.bytes++;
	if (pc.bytes == 2 && (pc.port_b & 3) == 1)
		pc.over_at = pc.now + (pc.latch + 1ull) * pc.hz / 1193182;
}

static struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	return leaf == 0 ? (struct cpuid_regs){ .eax = pc.highest } : leaf == 0x15 ? pc.leaf15 : pc.leaf16;
}

#include "cpu/clock.c"

static u32 warnings;
enum log_level log_threshold = LOG_INFO;

void log_line(enum log_level level, const char *f, ...)
{
	(void)f;
	warnings += level == LOG_WARN;
}

static int start(void **state)
{
	(void)state;
	warnings = 0;
	pc = (typeof(pc)){ .now = 123456789, .hz = 2000000000, .port_ticks = 2000, .port_b = 0x02, .over_at = ~0ull,
			   .highest = 0x16 };
	return 0;
}

static void assert_rate(u64 khz, u32 warned)
{
	clock_calibrate();
	if (clock_ticks_per_ms() < khz - khz / 100 || clock_ticks_per_ms() > khz + khz / 100)
		fail_msg("%lu kHz, not %lu", clock_ticks_per_ms(), khz);
	assert_int_equal(warnings, warned);
	assert_int_equal(pc.port_b, 0x02); /* as it was */
}

static void finds_rates_of_all_sizes(void **state)
{
	static const u64 mhz[] = { 2, 4, 20, 800, 2400, 5500, 9000 };

	for (size_t i = 0; i < ARRAY_SIZE(mhz); i++) {
		start(state);
		pc.hz = mhz[i] * 1000000;
		pc.port_ticks = mhz[i] < 100 ? 1 : mhz[i]; /* an instruction, or a microsecond */
		assert_rate(mhz[i] * 1000, 0);
	}
}

static void stays_below_20_ms(void **state)
{
	u64 begin = pc.now;

	(void)state;
	pc.steal_every = 50; /* no round is good enough */
	pc.steal_ticks = 100000;
	clock_calibrate();
	assert_in_range(pc.now - begin, 1, 22 * pc.hz / 1000);
}

/* SMIs of 3 ms, now in the middle of a round, now at its end: the quiet round counts. */
static void takes_the_quiet_round(void **state)
{
	for (u64 every = 8000; every < 20000; every += 61) {
		start(state);
		pc.steal_every = every;
		pc.steal_ticks = 6000000;
		assert_rate(2000000, 0);
	}
}

static void falls_back_to_cpuid(void **state)
{
	u64 begin = pc.now;

	(void)state;
	pc.dead = true;
	pc.leaf15 = (struct cpuid_regs){ 2, 200, 24000000, 0 };
	assert_rate(2400000, 1);
	assert_in_range(pc.now - begin, 1, 110000000); /* one round was enough to see it */
	pc.leaf15.ecx = 0;
	pc.leaf16.eax = 2100;
	assert_rate(2100000, 2);
}

static void falls_back_to_a_guess(void **state)
{
	(void)state;
	pc.dead = true;
	pc.leaf15 = (struct cpuid_regs){ 1, 1, 1, 0 }; /* a kilohertz of nonsense */
	assert_rate(3000000, 1);
	pc.highest = 0x14;
	pc.leaf16.eax = 2100;
	assert_rate(3000000, 2);
}

/* No timer at all: the port reads as all ones, so each round is over at once. */
static void sees_that_there_is_no_timer(void **state)
{
	(void)state;
	pc.hz = 1;
	pc.leaf16.eax = 2100;
	assert_rate(2100000, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, start)
	const struct CMUnitTest tests[] = {
		TEST(finds_rates_of_all_sizes), TEST(stays_below_20_ms), TEST(takes_the_quiet_round),
		TEST(falls_back_to_cpuid), TEST(falls_back_to_a_guess), TEST(sees_that_there_is_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
