/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's own hypercalls on the host: who is answered under which option, and what a record then tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <hypapi/control.h>

#include "boot/boot_info.h"
#include "core/cmdline.h"
#include "events/event_info.h"
#include "events/hypapps.h"
#include "mem/guest.h"
#include "report/control.h"
#include "report/log_output.h"
#include "report/stats.h"
#include "report/trace.h"
#include "vmx/vmx.h"

struct boot_info boot_info;
enum log_level log_threshold = LOG_ERROR;
u32 cpu_count = 1;
struct percpu *cpus[MAX_CPUS];
const struct event_info event_info[HYPAPI_EV_COUNT];
static struct percpu cpu;
static struct trace ring;
static const char *option; /* of control= */
static struct hypapi_trace_entry got;
static bool skipped;

bool cmdline_is(const char *name, const char *word)
{
	assert_string_equal(name, "control");
	return !strcmp(option, word);
}

enum guest_access_result guest_write(struct percpu *owner, gva_t dst, const void *src, size_t len_bytes,
				     struct guest_fault *fault)
{
	(void)owner, (void)fault;
	assert_int_equal(dst.addr, 0x1000);
	memcpy(&got, src, len_bytes);
	return GUEST_OK;
}

void trace_get(const struct trace *t, u32 place, struct hypapi_trace_entry *entry)
{
	*entry = t->ring[place];
}

void vmx_skip_instruction(void)
{
	skipped = true;
}

bool vmx_vmread(u32 field, u64 *value)
{
	*value = field == VMCS_GUEST_CS_AR ? AR_L : field == VMCS_ENTRY_CTLS ? ENTRYCTL_IA32E : 0;
	return true;
}

void vmx_field_failed(const char *insn, u32 field, u64 value)
{
	(void)value;
	fail_msg("%s of field 0x%x", insn, field);
	abort();
}

void *machine_self(void)
{
	return &cpu;
}

void log_line(enum log_level level, const char *format, ...) { (void)level, (void)format; }

/* What other records are made of. */
u32 hypapps_count(void) { return 0; }
const struct hypapp_descriptor *hypapps_get(u32 i) { (void)i; return NULL; }
struct event_stats stats_sum(u32 app, u32 type, u32 level)
{
	(void)app, (void)type, (void)level;
	return (struct event_stats){ 0 };
}
const struct log_ring *log_ring_of(u32 boots_ago, u32 index) { (void)boots_ago, (void)index; return NULL; }
bool log_ring_copy(const struct log_ring *r, u32 place, struct log_record *copy)
{
	(void)r, (void)place, (void)copy;
	return false;
}
size_t log_ring_format(struct log_record *line, char *buf, size_t size) { (void)line, (void)buf; return size; }

static int begin(void **state)
{
	(void)state;
	cpu = (struct percpu){ .world = &cpu.l1, .trace = &ring };
	cpu.l1.mode = RUN_L1;
	cpus[0] = &cpu;
	got = (struct hypapi_trace_entry){ .serial = 99 };
	ring.ring[3] = (struct hypapi_trace_entry){
		.serial = 4, .number = 0x1b, .access = HYPAPI_TRACE_WRITE, .address = 0x5000, .value = 0xfee00900,
	};
	skipped = false;
	return 0;
}

/* The record in place 3 of CPU 0, with a buffer of so many bytes; RAX. */
static u64 ask(const char *control, u64 size)
{
	option = control;
	cpu.gpr[GPR_RAX] = HYPAPI_CONTROL_TRACE;
	cpu.gpr[GPR_RBX] = 0x1000;
	cpu.gpr[GPR_RCX] = size;
	cpu.gpr[GPR_RDX] = 3;
	assert_int_equal(control_hypercall(&cpu), strcmp(control, "off") ? TAKEN : NOT_TAKEN);
	return cpu.gpr[GPR_RAX];
}

static void test_values_need_their_option(void **state)
{
	(void)state;
	assert_int_equal(ask("values", sizeof(got)), 1);
	assert_int_equal(got.address, 0x5000);
	assert_int_equal(got.value, 0xfee00900);
	assert_int_equal(ask("on", sizeof(got)), 1);
	assert_int_equal(got.serial, 4);
	assert_int_equal(got.number, 0x1b);
	assert_int_equal(got.access, HYPAPI_TRACE_WRITE);
	assert_int_equal(got.address, 0);
	assert_int_equal(got.value, 0);
}

/* A program of the time before 1.3 has a shorter buffer. */
static void test_record_is_cut(void **state)
{
	(void)state;
	got.address = 0x77;
	assert_int_equal(ask("values", offsetof(struct hypapi_trace_entry, address)), 1);
	assert_int_equal(got.number, 0x1b);
	assert_int_equal(got.address, 0x77);
}

static void test_off_and_l2_are_not_answered(void **state)
{
	(void)state;
	assert_int_equal(ask("off", sizeof(got)), HYPAPI_CONTROL_TRACE);
	option = "values";
	cpu.l1.mode = RUN_L2;
	assert_int_equal(control_hypercall(&cpu), NOT_TAKEN);
	assert_int_equal(got.serial, 99);
	assert_false(skipped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_values_need_their_option, begin),
		cmocka_unit_test_setup(test_record_is_cut, begin),
		cmocka_unit_test_setup(test_off_and_l2_are_not_answered, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
