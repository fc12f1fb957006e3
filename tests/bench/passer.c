/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypapp that passes, for the cost of asking it: compiled with NAME and NUMBER (1, 2, 3) into three hypapps of one
 * image. All are told of EXIT202, in a chain. Number 1 claims a hypercall and passes it in L1, where the #UD follows
 * that an unclaimed one has; in L2 it handles it, which is an exit 202.
 */
#include <hypapi/hypapi.h>

#define DEFINE(name, ...) HYPAPP_DEFINE(name, __VA_ARGS__) /* so that NAME is expanded */
enum { CALL = 0x700 };

static enum hypapi_verdict pass(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_PASS;
}

#if NUMBER == 1
static enum hypapi_verdict handle(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_HANDLED;
}
#endif

DEFINE(NAME,
	.priority = 8000 + NUMBER,
	.subscriptions = {
		{ .type = HYPAPI_EV_EXIT202, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = pass },
#if NUMBER == 1
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .handler = pass },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = handle },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL, .last = CALL },
#endif
	});
