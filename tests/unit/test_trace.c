/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The trace's ring on the host: what stands in it when it is empty, full and written over, and to whom stops belong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/cmdline.h"
#include "mem/pages.h"
#include "report/log.h"
#include "report/trace.h"

enum log_level log_threshold = LOG_INFO;
u32 cpu_count = 1;
struct percpu *cpus[MAX_CPUS];
static struct percpu cpu;
static bool option;
static u32 lines;

bool cmdline_is(const char *name, const char *word)
{
	assert_string_equal(name, "trace");
	assert_string_equal(word, "on");
	return option;
}

void *pages_boot_alloc(size_t count)
{
	return calloc(count, PAGE_SIZE);
}

u32 hypapps_number(const struct hypapp_descriptor *app)
{
	(void)app;
	return 3;
}

void log_now(const char *format, ...)
{
	(void)format;
	lines++;
}

static int begin(void **state)
{
	(void)state;
	cpu = (struct percpu){ .world = &cpu.l1 };
	cpus[0] = &cpu;
	lines = 0;
	option = true;
	trace_cpu_init(&cpu);
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(cpu.trace);
	return 0;
}

static struct hypapi_trace_entry at(u32 place)
{
	struct hypapi_trace_entry entry;

	trace_get(cpu.trace, place, &entry);
	return entry;
}

static void deliver(u64 start, u32 number)
{
	static const struct link link;
	struct dispatch d = { .link = &link };

	d.ev.type = HYPAPI_EV_HYPERCALL;
	d.ev.level = HYPAPI_L2;
	d.ev.args.hypercall.number = number;
	trace_delivery(&cpu, &d, start, start + 10, HYPAPI_HANDLED);
}

static void test_off_takes_no_memory(void **state)
{
	struct percpu other = { 0 };

	(void)state;
	option = false;
	trace_cpu_init(&other);
	assert_null(other.trace);
	assert_int_equal(trace_bytes(), 0);
}

static void test_entry(void **state)
{
	(void)state;
	assert_int_equal(at(0).serial, 0);
	deliver(100, 0x42);
	assert_int_equal(at(0).serial, 1);
	assert_int_equal(at(0).start, 100);
	assert_int_equal(at(0).ticks, 10);
	assert_int_equal(at(0).number, 0x42);
	assert_int_equal(at(0).level, HYPAPI_L2);
	assert_int_equal(at(0).next, HYPAPI_L2);
	assert_int_equal(at(0).hypapp, 2);
	assert_int_equal(at(0).verdict, HYPAPI_HANDLED);
	assert_int_equal(at(1).serial, 0);
}

static void test_oldest_is_overwritten(void **state)
{
	(void)state;
	for (u32 i = 1; i <= TRACE_ENTRIES + 2; i++)
		deliver(i, i);
	assert_int_equal(at(0).serial, TRACE_ENTRIES + 1);
	assert_int_equal(at(1).number, TRACE_ENTRIES + 2);
	assert_int_equal(at(2).serial, 3);
	trace_log();
	assert_int_equal(lines, TRACE_ENTRIES);
}

static void test_stop_belongs_to_its_delivery(void **state)
{
	(void)state;
	cpu.quiesce.epoch = 7;
	trace_stop(&cpu, 105, 108);
	deliver(100, 1);
	deliver(200, 2);
	assert_int_equal(at(0).stops, 1);
	assert_int_equal(at(0).stop_epoch, 7);
	assert_int_equal(at(0).stop_start, 105);
	assert_int_equal(at(0).stop_ticks, 3);
	assert_int_equal(at(1).stops, 0);
	assert_int_equal(at(1).stop_epoch, 0);
}

static void test_partition_is_next(void **state)
{
	(void)state;
	cpu.world->mode = RUN_PARTITION;
	deliver(1, 1);
	cpu.world->mode = RUN_L2;
	deliver(2, 2);
	assert_int_equal(at(0).next, HYPAPI_TRACE_PARTITION);
	assert_int_equal(at(1).next, HYPAPI_L2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_off_takes_no_memory, begin, end),
		cmocka_unit_test_setup_teardown(test_entry, begin, end),
		cmocka_unit_test_setup_teardown(test_oldest_is_overwritten, begin, end),
		cmocka_unit_test_setup_teardown(test_stop_belongs_to_its_delivery, begin, end),
		cmocka_unit_test_setup_teardown(test_partition_is_next, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
