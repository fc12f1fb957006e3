/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypapp that passes, for the cost of asking it: compiled with NAME and NUMBER (1, 2, 3) into three hypapps of one
 * image. All are told of EXIT202, in a chain. Number 1 claims a hypercall and passes it in L1, where the #UD follows
 * that an unclaimed one has; in L2 it handles it, which is an exit 202. CPUID of its leaf logs a few lines, with what
 * one of them took; ECX tells them apart (tests/guest/log_load.c).
 */
#include <hypapi/hypapi.h>

#define DEFINE(name, ...) HYPAPP_DEFINE(name, __VA_ARGS__) /* so that NAME is expanded */
enum { CALL = 0x700, LEAF = 0x700, LINES = 8 };

static enum hypapi_verdict pass(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_PASS;
}

#if NUMBER == 1
static uint64_t tick(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static enum hypapi_verdict log_lines(struct hypapi_event *ev)
{
	uint32_t round = ev->args.cpuid.subleaf;
	uint64_t before = tick(), nothing = tick() - before, ticks = 0;

	for (uint32_t i = 0; i < LINES; i++) {
		uint64_t start = tick();

		hypapi_log("passer: round %u of CPU %u, line %u of a %s", round, ev->cpu, i, "load");
		ticks = tick() - start - nothing;
	}
	hypapi_log("passer: round %u of CPU %u: a line took %lu ticks", round, ev->cpu, (unsigned long)ticks);
	return HYPAPI_PASS;
}

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
		{ .type = HYPAPI_EV_CPUID, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .handler = log_lines },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL, .last = CALL },
		{ .kind = HYPAPI_CLAIM_CPUID, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .first = LEAF, .last = LEAF },
#endif
	});
