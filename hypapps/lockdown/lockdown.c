/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lockdown: what a port of Lockdown claims from hypapi, with an answer to each. Lockdown has two environments on one
 * machine, a red one for anything and a green one for approved code, of which one runs at a time and the user chooses.
 * Here there is the red one alone. README.md has the answers and what a full port still needs; docs/porting.md takes
 * this hypapp as its example.
 *
 * State is per CPU, or constant after INIT, or the disk's (disk.c). All handlers run on several CPUs at once.
 */
#include <hypapi/hypapi.h>

#include <lockdown/abi.h>

#include "disk.h"

/* One a CPU, in hypapi_cpu_storage(). */
struct counts { uint64_t accesses, commands_refused, fetches_refused; };

static struct counts *counts_of(const struct hypapi_event *ev, uint32_t cpu)
{
	return hypapi_cpu_storage(ev, cpu);
}

static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	(void)ev;
	disk_init(hypapi_option("lockdown.disk"));
	hypapi_log("lockdown: the red environment, %s",
		   disk_is_limited() ? "with its own sectors" : "with the whole disk");
	/* Disk commands are judged by their sectors; where in memory the data goes is judged by the IOMMU alone. */
	if (disk_is_limited() && !(hypapi_features() & HYPAPI_FEATURE_DMA))
		hypapi_log("lockdown: no DMA protection: the disk can be told to write any memory");
	return HYPAPI_PASS;
}

/* ---- Disk and sleep ---- */

static enum hypapi_verdict on_port(struct hypapi_event *ev)
{
	struct counts *counts = counts_of(ev, ev->cpu);

	counts->accesses++;
	return disk_access(&ev->args.port_io, &counts->commands_refused);
}

/*
 * The firmware wakes L1 without a hypervisor below, so there is no sleep where something is guarded. In a full port
 * this is the switch: PREPARE looks whether the user has asked for it, COMMIT parks this environment and wakes the
 * other.
 */
static enum hypapi_verdict on_sleep(struct hypapi_event *ev)
{
	bool refused = ev->phase == HYPAPI_PREPARE && disk_is_limited();

	if (refused || ev->phase == HYPAPI_COMMIT)
		hypapi_log("lockdown: sleep of type %u%s", ev->args.sleep.type, refused ? " is refused" : "");
	return refused ? HYPAPI_DENY : HYPAPI_PASS;
}

/* ---- Approved code ---- */

/*
 * The right to fetch goes, for everybody who has the page; reads and writes go on. Who asks must be allowed to write to
 * it: a page that L1 shares among its machines, each of which may only read it, is not one machine's to guard.
 */
static enum lockdown_result guard(struct hypapi_event *ev, gva_t at)
{
	struct hypapi_page page;

	/* The stop first: what it may make stale is read after it. */
	if (hypapi_quiesce(ev) < 0 || hypapi_translate(ev, at, HYPAPI_RW, &page) != HYPAPI_OK)
		return LOCKDOWN_E_FAULT;
	page.gpa1.addr &= HYPAPI_PAGE_MASK;
	return hypapi_memory_restrict(ev, page.gpa1, 1, HYPAPI_RW) == HYPAPI_OK ? LOCKDOWN_OK : LOCKDOWN_E_FAULT;
}

/* No list of approved code, so none is approved: #GP where the code was to run. */
static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	if (!(ev->args.violation.access & HYPAPI_X))
		return HYPAPI_PASS;
	counts_of(ev, ev->cpu)->fetches_refused++;
	return HYPAPI_DENY;
}

/* ---- Calls ---- */

static enum lockdown_result status(struct hypapi_event *ev)
{
	hypapi_reg_set(ev, HYPAPI_REG_RBX, LOCKDOWN_RED);
	hypapi_reg_set(ev, HYPAPI_REG_RCX, 1);
	hypapi_reg_set(ev, HYPAPI_REG_RDX, LOCKDOWN_VERSION);
	return LOCKDOWN_OK;
}

/* A machine of L1's is not an environment: it has no say in which one runs. */
static enum lockdown_result switch_to(const struct hypapi_event *ev, uint32_t environment)
{
	if (ev->level == HYPAPI_L2)
		return LOCKDOWN_E_LEVEL;
	return environment == LOCKDOWN_RED ? LOCKDOWN_OK : LOCKDOWN_E_ABSENT;
}

/* The counts of other CPUs stand still only while these are stopped. */
static enum lockdown_result sum_counts(struct hypapi_event *ev)
{
	struct counts sum = { 0 };
	const struct counts *counts;

	if (hypapi_quiesce(ev) < 0)
		return LOCKDOWN_E_FAULT;
	for (uint32_t cpu = 0; (counts = counts_of(ev, cpu)); cpu++) {
		sum.accesses += counts->accesses;
		sum.commands_refused += counts->commands_refused;
		sum.fetches_refused += counts->fetches_refused;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RBX, sum.accesses);
	hypapi_reg_set(ev, HYPAPI_REG_RCX, sum.commands_refused);
	hypapi_reg_set(ev, HYPAPI_REG_RDX, sum.fetches_refused);
	return LOCKDOWN_OK;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint64_t argument = hypapi_reg_get(ev, HYPAPI_REG_RCX);
	enum lockdown_result result;

	if (ev->cpl && ev->args.hypercall.number != LOCKDOWN_STATUS)
		return HYPAPI_DENY;
	switch (ev->args.hypercall.number) {
	case LOCKDOWN_STATUS:
		result = status(ev);
		break;
	case LOCKDOWN_SWITCH:
		result = switch_to(ev, (uint32_t)argument);
		break;
	case LOCKDOWN_GUARD:
		result = guard(ev, GVA(ev->long_mode ? argument : (uint32_t)argument));
		break;
	case LOCKDOWN_COUNTS:
		result = sum_counts(ev);
		break;
	default:
		return HYPAPI_DENY;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, result);
	return HYPAPI_HANDLED;
}

HYPAPP_DEFINE(lockdown,
	.priority = 400,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE,
	.cpu_bytes = sizeof(struct counts),
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_PORT_IO, .levels = HYPAPI_LEVELS_GUEST, .handler = on_port },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
		{ .type = HYPAPI_EV_SLEEP, .two_phase = true, .handler = on_sleep },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = LOCKDOWN_STATUS,
		  .last = LOCKDOWN_LAST },
		{ .kind = HYPAPI_CLAIM_PORT, .levels = HYPAPI_LEVELS_GUEST, .first = DISK_FIRST_PORT,
		  .last = DISK_LAST_PORT },
	});
