/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The budget of stops in the core: a storm by each form of asking, from L1 at CPL 3 and from L2, gets its share of the
 * time and is answered all the same; L1's kernel never waits. Ticks are nanoseconds of this host, so the bounds are
 * one-sided: a slow host makes fewer stops, never more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

enum { BY_FLAG = 0x740, BY_SUBSCRIPTION, BY_CALL, BY_QUESTION, IS_CLOSED, HLT = 12 };
enum { DRAIN_MS = 200, WINDOW_MS = 200 };
/* One percent of the window, at 10 us beside each stop; and what has gathered when the window begins. */
#define MOST_STOPS 300u

static uint32_t deliveries, stops; /* by one CPU */

static enum hypapi_verdict done(struct hypapi_event *ev, uint64_t answer)
{
	stops += ev->stopped;
	hypapi_reg_set(ev, HYPAPI_REG_RAX, answer);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	deliveries++;
	switch (ev->args.hypercall.number) {
	case BY_FLAG:
		ev->quiesce = true;
		return ev->stopped ? done(ev, 0) : HYPAPI_RETRY;
	case BY_CALL:
		return done(ev, hypapi_quiesce(ev) < 0);
	case BY_QUESTION:
		if (!hypapi_may_stop(ev))
			return HYPAPI_RETRY;
		return done(ev, hypapi_quiesce(ev) < 0);
	default:
		return done(ev, !hypapi_may_stop(ev));
	}
}

static enum hypapi_verdict on_cpuid(struct hypapi_event *ev)
{
	deliveries++;
	return done(ev, !ev->stopped);
}

HYPAPP_DEFINE(asker,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_CPUID, .levels = HYPAPI_LEVELS_GUEST, .quiesce = true, .handler = on_cpuid },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = BY_FLAG, .last = IS_CLOSED },
		{ .kind = HYPAPI_CLAIM_CPUID, .levels = HYPAPI_LEVELS_GUEST, .first = BY_SUBSCRIPTION,
		  .last = BY_SUBSCRIPTION },
	});
static const struct hypapp_descriptor *const hypapps[] = { &hypapp_asker, NULL };

static void ask(uint32_t form)
{
	if (form == BY_SUBSCRIPTION)
		sim_assert(sim_cpuid(form, 0) == 0);
	else
		sim_assert(sim_hypercall(form) == 0);
	sim_assert(form == IS_CLOSED || sim_get(HYPAPI_REG_RAX) == 0);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void ask_for(uint32_t form, uint64_t ms)
{
	for (uint64_t end = now_ms() + ms; now_ms() < end;)
		ask(form);
}

static void storm(void *arg)
{
	uint32_t form = *(uint32_t *)arg;

	ask_for(form, DRAIN_MS);
	stops = 0;
	ask_for(form, WINDOW_MS);
}

static void storm_at_cpl_3(void *arg)
{
	sim_set_mode(true, 3);
	storm(arg);
	sim_set_mode(true, 0);
}

static void storm_in_l2(void *arg)
{
	sim_assert(sim_l2_run(sim_l2_create(1 << 20), storm, arg, NULL) == HLT);
}

static void check_storms(sim_code *code, uint32_t step)
{
	for (uint32_t form = BY_FLAG; form <= BY_QUESTION; form += step) {
		sim_run(0, code, &form);
		if (stops > MOST_STOPS)
			fail_msg("form 0x%x: %u stops", form, stops);
	}
}

static void storms_at_cpl_3_get_their_share(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .options = "stop-share=1" });
	check_storms(storm_at_cpl_3, 1);
}

static void storms_in_l2_get_their_share(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .options = "stop-share=1" });
	check_storms(storm_in_l2, 2);
}

/* After a storm of others: each call is delivered as often as it needs. */
static void of_the_kernel(void *arg)
{
	(void)arg;
	deliveries = 0;
	for (uint32_t i = 0; i < 100; i++) {
		ask(BY_FLAG);
		ask(BY_QUESTION);
		ask(BY_SUBSCRIPTION);
		ask(BY_CALL);
		ask(IS_CLOSED);
		sim_assert(sim_get(HYPAPI_REG_RAX) == 0);
	}
	sim_assert(deliveries == 600);
}

static void the_kernel_does_not_wait(void **state)
{
	uint32_t form = BY_FLAG;

	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .options = "stop-share=1" });
	sim_run(0, storm_at_cpl_3, &form);
	sim_run(0, of_the_kernel, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(storms_at_cpl_3_get_their_share),
		sim_test(storms_in_l2_get_their_share),
		sim_test(the_kernel_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
