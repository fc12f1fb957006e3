/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * @NAME@: counts its hypercalls, from L1 and from L2 alike.
 *
 *     EAX = 0x200 (L1) or L2 base + 0x200 (L2)
 *     answer: EAX = 0, EBX = number of such calls so far on all CPUs, this one included
 */
#include <hypapi/hypapi.h>

/* The hypercall numbers claimed below: choose a range that no other hypapp of the image has. */
enum { CALL_COUNT = 0x200, CALL_LAST = 0x20f };

/* Callbacks run on all CPUs at once: what they share is atomic, or is changed under a stop only. */
static uint32_t calls;

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	if (ev->args.hypercall.number != CALL_COUNT)
		return HYPAPI_DENY; /* claimed, but not in use: #UD for the caller */
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED));
	return HYPAPI_HANDLED;
}

/* Once, on the boot CPU, before L1 starts. PASS: the other hypapps get this event too. */
static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	(void)ev;
	hypapi_log("@NAME@: ready");
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(@NAME@,
	.priority = 500, /* unique in the image; the smaller is asked first */
	.capabilities = HYPAPI_CAP_REGISTERS, /* the groups of calls that it may make */
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL_COUNT,
		  .last = CALL_LAST },
	});
