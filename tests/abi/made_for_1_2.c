/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hypapp that was compiled against hypapi 1.2, as made_for_1_0.c was against 1.0: made_for_1_2.s is never made again.
 * It uses what came with 1.2, and what 1.3 has changed beneath it: partitions, stops by the call, pages that read as
 * zeros.
 *
 *     EAX = 0x601, RSI = a page whose first byte the caller has set: EAX = 0; EBX = calls so far on this CPU; ECX =
 *     minor version of the core; EDX = that byte, read in a partition that was made of the page, plus 256 if WORK came
 *     before
 */
#include <hypapi/hypapi.h>

enum { CALL = 0x601, WORK_BIT = 1 };

static uint32_t work;

/* The byte, or a negative error. */
static int use_partition(struct hypapi_event *ev, gva_t at)
{
	const struct hypapi_partition_page page = { .gva = at, .rights = HYPAPI_RW };
	hypapi_partition_t partition;
	uint8_t byte = 0;
	int error = hypapi_quiesce(ev);

	if (error >= 0)
		error = hypapi_partition_create(ev, &page, 1, &partition);
	if (error)
		return error;
	error = hypapi_partition_read(ev, partition, &byte, at, 1);
	if (!error)
		error = hypapi_partition_destroy(ev, partition);
	return error ? error : byte;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint32_t *calls = hypapi_cpu_storage(ev, ev->cpu);
	int byte = use_partition(ev, GVA(hypapi_reg_get(ev, HYPAPI_REG_RSI)));

	if (byte < 0 || !calls || hypapi_post(ev, 1ull << ev->cpu, WORK_BIT) < 0)
		return HYPAPI_DENY;
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, ++*calls);
	hypapi_reg_set(ev, HYPAPI_REG_RCX, ev->minor);
	hypapi_reg_set(ev, HYPAPI_REG_RDX, (uint64_t)byte | (uint64_t)(work ? 256 : 0));
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_work(struct hypapi_event *ev)
{
	if (ev->args.work.bits == WORK_BIT)
		__atomic_store_n(&work, 1, __ATOMIC_RELAXED);
	return HYPAPI_HANDLED;
}

HYPAPP_DEFINE(made_for_1_2,
	.priority = 7001,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_WORK,
	.cpu_bytes = sizeof(uint32_t),
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_WORK, .handler = on_work },
	},
	.claims = { { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CALL, .last = CALL } });
