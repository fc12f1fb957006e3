/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What leads to TrustVisor's deliveries: PALs of two pages, code and stack, and a caller that registers, calls, writes
 * to and unregisters the newest. What of it a recorded delivery was is told by its verdict, stops and what ran next.
 */
#include <trustvisor/abi.h>

#include "replay.h"

enum { MAX_PALS = 64, PAGE = 0x1000, PAL_BYTES = 4 * PAGE };

static struct { uint64_t first; uint32_t pals; } levels[HYPAPI_L2 + 1]; /* addresses of the level's first PAL */

static uint64_t pal_at(uint32_t level, uint32_t number)
{
	if (level == HYPAPI_L1 && !levels[level].first)
		levels[level].first = sim_memory(MAX_PALS * PAL_BYTES).addr;
	return (level == HYPAPI_L2 ? PAGE : levels[level].first) + number * PAL_BYTES;
}

static uint64_t newest(uint32_t level)
{
	return pal_at(level, levels[level].pals - 1);
}

/* Nothing at all is asked for where no stop was recorded: such a request is refused before. */
static void register_pal(uint32_t level, bool refused)
{
	uint64_t at = pal_at(level, levels[level].pals);
	const struct tv_pal_sections sections = { .num_sections = refused ? 0 : 2, .sections = {
		{ TV_SECTION_CODE, 1, at }, { TV_SECTION_STACK, 1, at + PAGE } } };
	const struct tv_pal_params params = { 0 };

	sim_assert(levels[level].pals < MAX_PALS);
	sim_assert(!sim_write(GVA(at + 2 * PAGE), &sections, sizeof(sections)));
	sim_assert(!sim_write(GVA(at + 3 * PAGE), &params, sizeof(params)));
	sim_set(HYPAPI_REG_RCX, at + 2 * PAGE);
	sim_set(HYPAPI_REG_RSI, at + 3 * PAGE);
	sim_set(HYPAPI_REG_RDI, at);
	sim_assert(!sim_hypercall(TV_CMD_REGISTER));
	levels[level].pals += !refused && (uint32_t)sim_get(HYPAPI_REG_RAX) == TV_OK;
}

/* A log that begins in the middle may use a PAL that it does not register. */
static void need_pal(uint32_t level)
{
	if (levels[level].pals)
		return;
	register_pal(level, false);
	sim_replay_ready();
}

static void unregister_pal(uint32_t level, bool refused)
{
	if (!refused)
		need_pal(level);
	sim_set(HYPAPI_REG_RCX, refused ? pal_at(level, MAX_PALS - 1) : newest(level));
	sim_assert(!sim_hypercall(TV_CMD_UNREGISTER));
	levels[level].pals -= !refused;
}

static void violation(const struct hypapi_trace_entry *entry)
{
	need_pal(entry->level);
	if (entry->next == HYPAPI_TRACE_PARTITION) {
		sim_call(GVA(newest(entry->level)));
	} else if (entry->verdict == HYPAPI_RETRY) {
		sim_write64(GVA(newest(entry->level) + PAGE), 0);
		levels[entry->level].pals--;
	} else {
		sim_call(GVA(newest(entry->level) + 1));
	}
}

static void pal(void *arg)
{
	(void)arg;
}

bool trustvisor_act(const struct hypapi_trace_entry *entry)
{
	sim_partition_code(pal, NULL);
	if (entry->type == HYPAPI_EV_EPT_VIOLATION)
		violation(entry);
	else if (entry->type == HYPAPI_EV_HYPERCALL && entry->number == TV_CMD_REGISTER)
		register_pal(entry->level, !entry->stops);
	else if (entry->type == HYPAPI_EV_HYPERCALL && entry->number == TV_CMD_UNREGISTER)
		unregister_pal(entry->level, !entry->stops);
	else if (entry->type == HYPAPI_EV_CPUID && entry->level == HYPAPI_L2)
		sim_cpuid(entry->number, hypapi_l2_hypercall_base());
	else
		return false;
	return true;
}
