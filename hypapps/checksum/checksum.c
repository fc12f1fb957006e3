/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * checksum: answers the Adler-32 checksum of eight bytes. It is small, but it is built of all that a hypapp can have: a
 * sub-folder, call/, and a library with flags of its own, adler/, which library.mk describes.
 *
 *     EAX = 0x680 (L1) or L2 base + 0x680 (L2), RBX = the bytes
 *     answer: EAX = 0, EBX = their checksum
 */
#include "call/call.h"

static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	(void)ev;
	hypapi_log("checksum: ready");
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(checksum,
	.priority = 680,
	.capabilities = HYPAPI_CAP_REGISTERS,
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = call },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL, .last = CALL },
	});
