/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypapp that was compiled against hypapi 1.1, as made_for_1_0.c was against 1.0: made_for_1_1.s is never made again.
 * It uses the port that came with 1.1, and makes mistakes for which 1.3 refuses a new hypapp. It runs all the same, and
 * the core warns: no priority; a subscription that no claim belongs to; one behind a gap.
 *
 *     IN from PORT, 4 bytes: minor version of the core << 16 | bytes of the event beyond 1.1's
 *     EAX = 0x602, RSI = an address where nothing is mapped: EAX = 0; EBX = what hypapi_translate() answers, negated
 */
#include <hypapi/hypapi.h>

enum { PORT = 0x612, CALL = 0x602 };

static enum hypapi_verdict on_port(struct hypapi_event *ev)
{
	if (!ev->args.port_io.in || ev->args.port_io.size != 4)
		return HYPAPI_DENY;
	ev->args.port_io.value = (uint64_t)ev->minor << 16 | (ev->size - sizeof(*ev));
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	struct hypapi_page page;
	int error = hypapi_translate(ev, GVA(hypapi_reg_get(ev, HYPAPI_REG_RSI)), HYPAPI_R, &page);

	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, (uint64_t)-error);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_msr(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_DENY;
}

HYPAPP_DEFINE(made_for_1_1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY,
	.subscriptions = {
		{ .type = HYPAPI_EV_PORT_IO, .levels = HYPAPI_LEVELS_GUEST, .handler = on_port },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_MSR, .levels = HYPAPI_LEVELS_GUEST, .handler = on_msr },
		[4] = { .type = HYPAPI_EV_MTRR, .handler = on_msr },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_PORT, .levels = HYPAPI_LEVELS_GUEST, .first = PORT, .last = PORT + 3 },
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL, .last = CALL },
	});
