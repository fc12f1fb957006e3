/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bystander: a second hypapp beside verify, asked after it. It has no capability, so that each call refuses it, and
 * denies changes that verify has prepared for. Its second subscription to MTRR is one without phases.
 */
#include "../verify/verify.h"

static enum hypapi_verdict on_event(struct hypapi_event *ev)
{
	return verify_note(ev, BYSTANDER, 0);
}

static enum hypapi_verdict on_flush(struct hypapi_event *ev)
{
	return verify_note(ev, BYSTANDER, (ev->args.ept02_flush.eptp12 & ~0xfffull) | ev->args.ept02_flush.cause);
}

static enum hypapi_verdict on_root(struct hypapi_event *ev)
{
	const struct hypapi_ept02_root_args *root = &ev->args.ept02_root;

	/* EPTP12s are below 2^32 in the tests, and aligned. */
	return verify_note(ev, BYSTANDER,
			   (root->eptp12 & ~0xfffull) | (root->old_eptp12 & ~0xfffull) << 32 | root->made);
}

/* COMMIT alone, after the change. */
static enum hypapi_verdict on_mtrr(struct hypapi_event *ev)
{
	verify_expect("a phase without two_phase", ev->phase, HYPAPI_COMMIT);
	verify_errors_bare(ev);
	return HYPAPI_DENY; /* is ignored */
}

static enum hypapi_verdict on_down(struct hypapi_event *ev)
{
	hypapi_log("bystander: %s", ev->type == HYPAPI_EV_SHUTDOWN ? "shutdown" : "reset");
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(bystander,
	.priority = 2500,
	.subscriptions = {
		{ .type = HYPAPI_EV_MTRR, .two_phase = true, .handler = on_event },
		{ .type = HYPAPI_EV_MTRR, .handler = on_mtrr },
		{ .type = HYPAPI_EV_SLEEP, .two_phase = true, .handler = on_event },
		{ .type = HYPAPI_EV_INIT_SIGNAL, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .handler = on_event },
		{ .type = HYPAPI_EV_EPT02_ROOT, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = on_root },
		{ .type = HYPAPI_EV_EPT02_FLUSH, .levels = HYPAPI_LEVELS_GUEST, .handler = on_flush },
		{ .type = HYPAPI_EV_SHUTDOWN, .handler = on_down },
		{ .type = HYPAPI_EV_RESET, .handler = on_down },
	});
