/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * starter: a third hypapp beside verify, for what hypapi answers while CPUs start (verify's subscriptions are used up).
 * Each CPU asks for WORK in its CPU_INIT; that comes when all CPUs have started, and stops the others.
 */
#include "../verify/verify.h"

#define FREE_PAGE GPA1(0x300000) /* of L1, which it uses for nothing else */
#define expect(what, got, wanted) ((void)verify_expect(what, got, wanted))

static uint64_t started, first_works; /* CPUs; the second one is changed under a stop */

static enum hypapi_verdict on_start(struct hypapi_event *ev)
{
	expect("stop at the start", hypapi_quiesce(ev), 0);
	expect("stop of an EPT at the start", hypapi_quiesce_ept(ev, ev->eptp01), 0);
	expect("stopped at the start", ev->stopped, true);
	expect("rights taken at the start", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_R), HYPAPI_OK);
	expect("rights given back at the start", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_RWX), HYPAPI_OK);
	expect("post to another at the start", hypapi_post(ev, 1ull << !ev->cpu, 1), HYPAPI_EINVAL);
	expect("post at the start", hypapi_post(ev, 1ull << ev->cpu, 1), 0);
	__atomic_fetch_add(&started, 1, __ATOMIC_RELAXED);
	return HYPAPI_PASS;
}

static enum hypapi_verdict on_work(struct hypapi_event *ev)
{
	expect("stop in the first work", hypapi_quiesce(ev) < 0, false);
	first_works++;
	return HYPAPI_PASS;
}

static enum hypapi_verdict on_down(struct hypapi_event *ev)
{
	(void)ev;
	hypapi_log("starter: %lu CPUs started, %lu had work", started, first_works);
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(starter,
	.priority = 2600,
	.capabilities = HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_WORK,
	.subscriptions = {
		{ .type = HYPAPI_EV_CPU_INIT, .handler = on_start },
		{ .type = HYPAPI_EV_WORK, .handler = on_work },
		{ .type = HYPAPI_EV_SHUTDOWN, .handler = on_down },
	});
