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

void log_line(enum log_level level, const char *format, ...)
{
	(void)level, (void)format;
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

/* What an entry says of each event: a row has the arguments, and the four members that come of them. */
static const struct {
	u32 type;
	struct hypapi_event ev;
	struct hypapi_trace_entry want;
} subjects[] = {
#define ROW(name, member, arguments, ...) { HYPAPI_EV_##name, { .args = { .member = arguments } }, { __VA_ARGS__ } }
#define IS(...) { __VA_ARGS__ }
	ROW(HYPERCALL, hypercall, IS(.number = 0x42), .number = 0x42),
	ROW(CPUID, cpuid, IS(.leaf = 0x7a567254, .subleaf = 3), .number = 0x7a567254, .value = 3),
	ROW(EPT_VIOLATION, violation,
	    IS(.hpa = { 0x9000 }, .gpa1 = { 0x5008 }, .gpa2 = { 0x1008 }, .gva = { 0x400008 }, .access = HYPAPI_W,
	       .gva_valid = true), .access = HYPAPI_W, .address = 0x5008, .value = 0x400008),
	ROW(EPT_VIOLATION, violation, IS(.gpa1 = { 0x5008 }, .gva = { 1 }, .access = HYPAPI_R), .access = HYPAPI_R,
	    .address = 0x5008),
	ROW(PARTITION_EXIT, partition_exit,
	    IS(.reason = HYPAPI_PEXIT_EXCEPTION, .vector = 14, .error_code = 7, .address = { 0x6000 }),
	    .number = HYPAPI_PEXIT_EXCEPTION, .access = 14, .address = 0x6000, .value = 7),
	ROW(PORT_IO, port_io, IS(.port = 0x71, .size = 1, .in = true, .value = 0x26), .number = 0x71,
	    .access = 1 | HYPAPI_TRACE_IN, .value = 0x26),
	ROW(PORT_IO, port_io, IS(.port = 0x1f0, .size = 4, .string = true, .gva = { 0x8000 }, .value = 5),
	    .number = 0x1f0, .access = 4 | HYPAPI_TRACE_STRING, .address = 0x8000, .value = 5),
	ROW(MSR, msr, IS(.msr = 0x1b, .write = true, .value = 0xfee00900), .number = 0x1b,
	    .access = HYPAPI_TRACE_WRITE, .value = 0xfee00900),
	ROW(MSR, msr, IS(.msr = 0x10, .list = true), .number = 0x10, .access = HYPAPI_TRACE_LIST),
	ROW(MTRR, mtrr, IS(.msr = 0x2ff, .value = 0xc06), .number = 0x2ff, .value = 0xc06),
	ROW(EXIT102, exit, IS(.reason = 20), .number = 20),
	ROW(EXIT201, exit, IS(.reason = 30, .qualification = 0x710008), .number = 30, .value = 0x710008),
	ROW(EXIT202, exit, IS(.reason = 48, .qualification = 0x181), .number = 48, .value = 0x181),
	ROW(EPT02_ROOT, ept02_root, IS(.eptp12 = 0x701e, .old_eptp12 = 0x801e), .address = 0x701e, .value = 0x801e),
	ROW(EPT02_FLUSH, ept02_flush, IS(.eptp12 = 0x701e, .cause = HYPAPI_FLUSH_POOL), .number = HYPAPI_FLUSH_POOL,
	    .address = 0x701e),
	ROW(INTERRUPT, interrupt, IS(.vector = 0x30, .acknowledged = true), .number = 0x30),
	ROW(SLEEP, sleep, IS(.type = 5), .number = 5),
	ROW(WORK, work, IS(.bits = 1ull << 40 | 1), .value = 1ull << 40 | 1),
	ROW(DMA_FAULT, dma_fault,
	    IS(.address = 0xa000, .segment = 2, .bus = 3, .device = 4, .function = 5, .reason = 6, .write = true),
	    .number = 6, .access = HYPAPI_TRACE_WRITE, .address = 0xa000, .value = 2 << 16 | 3 << 8 | 4 << 3 | 5),
	ROW(NMI, reserved[0], 0x55, 0),
};

static void test_subject(void **state)
{
	static const struct link link;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(subjects); i++) {
		struct dispatch d = { .link = &link, .ev = subjects[i].ev };
		const struct hypapi_trace_entry *want = &subjects[i].want;

		d.ev.type = subjects[i].type;
		trace_delivery(&cpu, &d, 1, 2, HYPAPI_PASS);
		assert_int_equal(at(i).type, subjects[i].type);
		assert_int_equal(at(i).number, want->number);
		assert_int_equal(at(i).access, want->access);
		assert_int_equal(at(i).address, want->address);
		assert_int_equal(at(i).value, want->value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_off_takes_no_memory, begin, end),
		cmocka_unit_test_setup_teardown(test_entry, begin, end),
		cmocka_unit_test_setup_teardown(test_subject, begin, end),
		cmocka_unit_test_setup_teardown(test_oldest_is_overwritten, begin, end),
		cmocka_unit_test_setup_teardown(test_stop_belongs_to_its_delivery, begin, end),
		cmocka_unit_test_setup_teardown(test_partition_is_next, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
