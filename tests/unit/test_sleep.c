/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order of a sleep: the CPUs meet, hypapps are told and wipe, caches are written back, the write takes place, and
 * only then may the others go on. In the emulator a WBINVD that is missing does not show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../hypapi/sim/machine/cpu/x86_insn.h"
#include "../../xmhf/power/power.c"

void partition_wipe(struct percpu *cpu) { memset(cpu->gpr, 0, sizeof(cpu->gpr)); }

struct acpi_info acpi_info = { .s5 = { .found = true, .values = { 5, 5 } } };
struct percpu *cpus[MAX_CPUS];
u32 cpu_count = 2;
enum log_level log_threshold = LOG_ERROR;

static struct percpu two[2];
static char order[64];
static bool sleep_allowed;

static void step(const char *what)
{
	strcat(strcat(order, *order ? " " : ""), what);
}

bool quiesce_begin(struct quiesce_cpu *self) { (void)self; step("stop"); return false; }
bool quiesce_end(struct quiesce_cpu *self) { (void)self; step("go"); return true; }

bool event_prepare(struct percpu *cpu, enum hypapi_event_type type, const void *args, size_t size)
{
	(void)cpu, (void)args, (void)size;
	step(type == HYPAPI_EV_SLEEP ? "ask" : "?");
	return sleep_allowed;
}

void event_tell(struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level, const void *args, size_t size)
{
	(void)cpu, (void)level, (void)args, (void)size;
	step(type == HYPAPI_EV_SLEEP ? "tell" : type == HYPAPI_EV_SHUTDOWN ? "wipe" : "?");
}

void machine_wbinvd(void)
{
	for (size_t reg = 0; reg < GPR_COUNT; reg++)
		assert_int_equal(two[1].gpr[reg], 0); /* it runs a PAL */
	step("wbinvd");
}

void reset_wait_ms(u32 ms) { assert_in_range(ms, 1, 1000); step("wait"); }
void ports_write(u16 port, unsigned int size, u32 value) { (void)port, (void)size, (void)value; step("write"); }

/* Not reached, or of no interest here. */
void reset_machine(struct percpu *cpu) { (void)cpu; abort(); }
void vmx_field_failed(const char *insn, u32 field, u64 value) { (void)insn, (void)field, (void)value; abort(); }
u64 machine_ticks(void) { return 0; }
void log_line(enum log_level level, const char *format, ...) { (void)level, (void)format; }
bool log_allowed(struct log_limit *l, unsigned int burst, unsigned int ms)
{
	(void)l, (void)burst, (void)ms;
	return false;
}
void log_flush(void) { }
void quiesce_give_up(void) { }
void partition_wipe_all(void) { }
static bool is_once, at_once;
void log_at_once(bool now) { at_once = now; }
bool cmdline_is(const char *name, const char *word)
{
	return is_once && !strcmp(name, "log-output") && !strcmp(word, "once");
}
void stats_log(void) { }
void trace_log(void) { }
void ports_init(void) { }
void pm_base_init(void) { }
void wake_init(void) { }

static void sleeps(u32 type, const char *expected)
{
	const struct power_sleep sleep = { .type = type };

	order[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(two); i++) {
		cpus[i] = &two[i];
		memset(two[i].gpr, 0x55, sizeof(two[i].gpr));
	}
	two[0].quiesce.online = true;
	two[0].world = &two[0].l1;
	two[1].world = &two[1].partition.world;
	two[1].world->mode = RUN_PARTITION;
	power_sleep(&two[0], &sleep);
	assert_string_equal(order, expected);
}

static void the_order_of_a_sleep(void **state)
{
	(void)state;
	sleeps(5, "stop wipe wbinvd write wait go");
	sleep_allowed = true;
	sleeps(1, "stop ask tell wipe wbinvd write wait go");
	sleep_allowed = false;
	sleeps(1, "stop ask go");
}

/* Where the machine has not slept the log goes on as the boot option says. */
static void the_log_afterwards(void **state)
{
	(void)state;
	sleeps(5, "stop wipe wbinvd write wait go");
	assert_false(at_once);
	is_once = true;
	sleeps(5, "stop wipe wbinvd write wait go");
	assert_true(at_once);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_of_a_sleep), cmocka_unit_test(the_log_afterwards),
	};

	return cmocka_run_group_tests_name("sleep", tests, NULL, NULL);
}
