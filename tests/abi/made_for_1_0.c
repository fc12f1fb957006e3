/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypapp that was compiled against hypapi 1.0; its object is kept as made_for_1_0.s, which is never made again: every
 * later minor version must link and run it. It knows the event of 1.0, so it looks at what 1.0 had and no further.
 *
 *     EAX = 0x600: EAX = 0; EBX = calls so far; ECX = minor version of the core; EDX = bytes of the event beyond 1.0's
 */
#include <hypapi/hypapi.h>

enum { CALL = 0x600 };

static uint32_t calls;

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	if (ev->type != HYPAPI_EV_HYPERCALL || ev->args.hypercall.number != CALL || ev->partition.id ||
	    ev->size < sizeof(*ev))
		return HYPAPI_DENY;
	if (!ev->stopped) {
		ev->quiesce = true;
		return HYPAPI_RETRY;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, ++calls);
	hypapi_reg_set(ev, HYPAPI_REG_RCX, ev->minor);
	hypapi_reg_set(ev, HYPAPI_REG_RDX, ev->size - sizeof(*ev));
	return HYPAPI_HANDLED;
}

HYPAPP_DEFINE(made_for_1_0,
	.priority = 7000,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE,
	.subscriptions = { { .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall } },
	.claims = { { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL, .last = CALL } });
