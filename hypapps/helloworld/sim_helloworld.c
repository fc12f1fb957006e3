/* SPDX-License-Identifier: GPL-2.0-or-later */
/* helloworld on the simulator: its three calls, from L1 and from L2, by one CPU and by all of them at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

extern const struct hypapp_descriptor hypapp_helloworld;
static const struct hypapp_descriptor *const hypapps[] = { &hypapp_helloworld, NULL };

enum { RUNNING = 0x100, STOP_BY_FLAG, STOP_BY_CALL, UNUSED, NOT_CLAIMED = 0x200, CALLS = 30 };
enum { UD = 6, HLT = 12, VMCALL = 18 };

/* ---- What the guests do ---- */

static uint32_t call(uint32_t number)
{
	sim_set(HYPAPI_REG_RBX, 0);
	sim_assert(sim_hypercall(number) == 0);
	sim_assert(sim_get(HYPAPI_REG_RAX) == 0);
	return (uint32_t)sim_get(HYPAPI_REG_RBX);
}

static void is_refused(uint32_t number)
{
	sim_set(HYPAPI_REG_RBX, 77);
	sim_assert(sim_hypercall(number) == 0);
	sim_assert(sim_get(HYPAPI_REG_RAX) == 1 && sim_get(HYPAPI_REG_RBX) == 77);
}

/* The stops are for L1's kernel alone. */
static void without_rights(void *arg)
{
	uint32_t *answer = arg;

	*answer = call(RUNNING);
	is_refused(STOP_BY_FLAG);
	is_refused(STOP_BY_CALL);
}

static void as_process(void *arg)
{
	sim_set_mode(true, 3);
	without_rights(arg);
	sim_set_mode(true, 0);
}

static void each_once(void *arg)
{
	uint32_t *answers = arg;

	for (uint32_t i = 0; i < 3; i++)
		answers[i] = call(RUNNING + i);
	sim_assert(sim_hypercall(UNUSED) == UD);
}

static void call_many(uint32_t forms)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < CALLS; i++) {
		uint32_t count = call(RUNNING + i % forms);

		sim_assert(count > last);
		last = count;
	}
}

static void many(void *arg)
{
	(void)arg;
	call_many(3);
}

static void many_in_l2(void *arg)
{
	(void)arg;
	call_many(1);
}

static void in_l2(void *arg)
{
	struct sim_l2 *l2 = sim_l2_create(1 << 20);

	sim_assert(sim_l2_run(l2, without_rights, arg, NULL) == HLT);
}

static void many_in_both(void *arg)
{
	many(NULL);
	sim_assert(sim_l2_run(arg, many_in_l2, NULL, NULL) == HLT);
	many(NULL);
}

static void call_of_nobody(void *arg)
{
	(void)arg;
	sim_hypercall(NOT_CLAIMED);
	sim_fault("L2 goes on after a VMCALL that is L1's");
}

static void l1_sees_others(void *arg)
{
	(void)arg;
	sim_assert(sim_hypercall(NOT_CLAIMED) == UD);
	sim_assert(sim_l2_run(sim_l2_create(1 << 20), call_of_nobody, NULL, NULL) == VMCALL);
}

/* ---- Tests ---- */

/* Deliveries to helloworld on a CPU, and the stops that they began. */
static uint32_t deliveries(uint32_t cpu, uint32_t level, uint32_t *stops)
{
	struct hypapi_trace_entry entries[512];
	size_t count = sim_trace(cpu, entries, 512);
	uint32_t found = 0;

	*stops = 0;
	for (size_t i = 0; i < count; i++)
		if (entries[i].type == HYPAPI_EV_HYPERCALL && entries[i].level == level) {
			found++;
			*stops += entries[i].stops;
		}
	return found;
}

static void answers_l1_and_l2(void **state)
{
	uint32_t answers[5], stops;

	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .options = "trace=on" });
	sim_run(0, each_once, answers);
	sim_run(1, in_l2, answers + 3);
	sim_run(1, as_process, answers + 4);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(answers[i], i + 1);
	assert_int_equal(deliveries(0, HYPAPI_L1, &stops), 4);
	assert_int_equal(stops, 2);
	assert_int_equal(deliveries(1, HYPAPI_L2, &stops), 3);
	assert_int_equal(stops, 0);
	assert_int_equal(deliveries(1, HYPAPI_L1, &stops), 3);
	assert_int_equal(stops, 0);
}

static void leaves_the_rest_alone(void **state)
{
	(void)state;
	sim_boot(hypapps, NULL);
	sim_run(0, l1_sees_others, NULL);
}

static void counts_on_all_cpus(void **state)
{
	struct sim_l2 *l2;
	uint32_t last[3];

	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 4 });
	l2 = sim_l2_create(1 << 20);
	sim_run_all(many_in_both, l2);
	sim_run(2, each_once, last);
	assert_int_equal(last[2], 4 * 3 * CALLS + 3);
}

static void counts_when_stops_meet(void **state)
{
	uint32_t last[3];

	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 3, .collide = true });
	sim_run_all(many, NULL);
	sim_run(0, each_once, last);
	assert_int_equal(last[2], 3 * CALLS + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(answers_l1_and_l2),
		sim_test(leaves_the_rest_alone),
		sim_test(counts_on_all_cpus),
		sim_test(counts_when_stops_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
