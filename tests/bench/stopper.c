/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypapp for make bench: each form of stopping and of calling other CPUs, with nothing else in the handler.
 *
 *     EAX    RCX
 *     0x720                   nothing
 *     0x721                   a stop by the call, until the end of the event
 *     0x722                   a stop, released early
 *     0x723                   a stop in a stop
 *     0x724  gpa1 of a page   a stop under which rights are taken, so that the release carries a flush
 *     0x725                   a stop of EPT01
 *     0x726                   a stop of EPT02, from L2
 *     0x727  mask of CPUs     work on those CPUs, in which they do nothing
 *     0x728                   work on this CPU, in which it stops the others
 */
#include <hypapi/hypapi.h>

enum { CALL_NOTHING = 0x720, CALL_STOP, CALL_EARLY, CALL_NESTED, CALL_FLUSH, CALL_EPT01, CALL_EPT02, CALL_POST,
       CALL_LATER };

#define WORK_NOTHING 1u
#define WORK_STOP 2u

static void take_and_give(struct hypapi_event *ev)
{
	gpa1_t page = GPA1(hypapi_reg_get(ev, HYPAPI_REG_RCX));

	hypapi_quiesce(ev);
	if (hypapi_memory_restrict(ev, page, 1, HYPAPI_R) || hypapi_memory_restrict(ev, page, 1, HYPAPI_RWX))
		hypapi_log("stopper: page 0x%lx is not L1's", page.addr);
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	switch (ev->args.hypercall.number) {
	case CALL_NESTED:
		hypapi_quiesce(ev);
		hypapi_quiesce(ev);
		break;
	case CALL_STOP:
		hypapi_quiesce(ev);
		break;
	case CALL_EARLY:
		hypapi_quiesce(ev);
		hypapi_resume(ev);
		break;
	case CALL_FLUSH:
		take_and_give(ev);
		break;
	case CALL_EPT01:
		hypapi_quiesce_ept(ev, ev->eptp01);
		break;
	case CALL_EPT02:
		hypapi_quiesce_ept(ev, ev->eptp02);
		break;
	case CALL_POST:
		hypapi_post(ev, hypapi_reg_get(ev, HYPAPI_REG_RCX), WORK_NOTHING);
		break;
	case CALL_LATER:
		hypapi_post(ev, 1ull << ev->cpu, WORK_STOP);
		break;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_work(struct hypapi_event *ev)
{
	if (ev->args.work.bits & WORK_STOP)
		hypapi_quiesce(ev);
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(stopper,
	.priority = 100,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_WORK,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_WORK, .handler = on_work },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL_NOTHING,
		  .last = CALL_LATER },
	});
