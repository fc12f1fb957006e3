/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See sim_replay.h. A delivery is either a cause, which is an instruction of the guest, or what follows from one (a
 * partition's exit, a repeated hypercall's last delivery); only causes are carried out, and all are compared, CPU by
 * CPU in their order. Two CPUs that met when the trace was made do not meet here: a delivery that ended in a plain
 * retry came again until it ended otherwise.
 */
#include <hypapi/sim_replay.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events/event_info.h"
#include "events/hypapps.h"
#include "hypapi/sim/machine.h"
#include "report/trace.h"

#define MAX_CPUS_REPLAYED 16
#define MAX_RECORDED (MAX_CPUS_REPLAYED * TRACE_ENTRIES)
#define L2_BYTES (4ul << 20)

struct delivery {
	u32 cpu;
	struct hypapi_trace_entry entry;
};

static struct delivery recorded[MAX_RECORDED];
static u32 recorded_count;
static const struct hypapp_descriptor *booted[MAX_HYPAPPS + 1]; /* in the order of the log, which is the chain's */
static sim_replay_act *acts[MAX_HYPAPPS];
static struct sim_l2 *l2;

/*
 * Of each CPU: what is expected, how far that is compared, the last delivery seen or not to be compared, and the
 * hypercall that is repeated.
 */
static struct {
	u32 next;
	u64 seen;
	_Atomic u64 ready;
	const struct hypapi_trace_entry *repeating;
} progress[MAX_CPUS_REPLAYED];

/* ---- The log ---- */

/* As xmhf/report/trace.c writes it. */
static bool read_entry(const char *line, struct delivery *d)
{
	static const char prefix[] = "xmhf: trace ";
	u64 n[15];
	char *at = (char *)line + sizeof(prefix) - 1;

	if (strncmp(line, prefix, sizeof(prefix) - 1))
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(n); i++) {
		const char *from = at;

		n[i] = strtoull(from, &at, 0);
		if (at == from)
			return false;
	}
	d->cpu = (u32)n[0];
	d->entry = (struct hypapi_trace_entry){
		.serial = n[1], .start = n[2], .ticks = n[3], .type = (u8)n[4], .level = (u8)n[5], .hypapp = (u8)n[6],
		.verdict = (u8)n[7], .number = (u32)n[8], .next = (u8)n[9], .stopped = (u8)n[10], .stops = (u8)n[11],
	};
	return d->cpu < MAX_CPUS_REPLAYED && d->entry.type < HYPAPI_EV_COUNT && recorded_count < MAX_RECORDED;
}

static bool read_hypapp(const char *line, const struct sim_replay_hypapp *known, struct sim_replay_result *result)
{
	u32 count = 0;
	char name[64];

	if (sscanf(line, "xmhf: hypapp %63[^,], priority", name) != 1)
		return true;
	while (booted[count])
		count++;
	for (; known->hypapp && strcmp(known->hypapp->name, name); known++)
		;
	snprintf(result->difference, sizeof(result->difference), "hypapp %s is not linked into the replay", name);
	if (!known->hypapp || count == MAX_HYPAPPS)
		return false;
	booted[count] = known->hypapp;
	acts[count] = known->act;
	return true;
}

static int by_start(const void *a, const void *b)
{
	const struct delivery *x = a, *y = b;

	return x->entry.start < y->entry.start ? -1 : x->entry.start > y->entry.start;
}

static bool read_log(const char *log, const struct sim_replay_hypapp *known, struct sim_replay_result *result)
{
	for (const char *line = log; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (!read_hypapp(line, known, result))
			return false;
		if (read_entry(line, &recorded[recorded_count]))
			recorded_count++;
	}
	qsort(recorded, recorded_count, sizeof(*recorded), by_start);
	snprintf(result->difference, sizeof(result->difference), "the log names no hypapp, or has no trace");
	return recorded_count && booted[0];
}

/* ---- What is to be done, and what to be compared ---- */

static bool has_default(const struct hypapi_trace_entry *e)
{
	return e->type == HYPAPI_EV_HYPERCALL || e->type == HYPAPI_EV_CPUID;
}

static bool is_consequence(const struct hypapi_trace_entry *e)
{
	return e->type == HYPAPI_EV_PARTITION_EXIT;
}

/* The guest's instruction is tried again: how often depends on time. */
static bool is_repeated(const struct hypapi_trace_entry *e)
{
	return e->verdict == HYPAPI_RETRY && !e->stops;
}

static bool is_left_out(const struct hypapi_trace_entry *e)
{
	if (e->level == HYPAPI_L0 || e->hypapp >= MAX_HYPAPPS || !booted[e->hypapp] || is_repeated(e))
		return true;
	return !is_consequence(e) && !has_default(e) && !acts[e->hypapp];
}

/* The end of a hypercall that is under way, since it began with a stop and a retry. Follows the CPU's hypercalls. */
static bool ends_hypercall(const struct delivery *d)
{
	const struct hypapi_trace_entry **begun = &progress[d->cpu].repeating, *first = *begun;

	if (d->entry.type != HYPAPI_EV_HYPERCALL)
		return false;
	*begun = d->entry.verdict == HYPAPI_RETRY ? &d->entry : NULL;
	return first && first->number == d->entry.number;
}

void sim_replay_ready(void)
{
	atomic_store(&progress[sim_self->index].ready, sim_self->core->trace->serial);
}

static void cause_here(void *arg)
{
	const struct hypapi_trace_entry *e = arg;

	if (acts[e->hypapp] && acts[e->hypapp](e))
		return;
	__builtin_memset(sim_self->core->gpr, 0, sizeof(sim_self->core->gpr));
	if (e->type == HYPAPI_EV_HYPERCALL)
		(void)sim_hypercall(e->number);
	else if (e->type == HYPAPI_EV_CPUID)
		(void)sim_cpuid(e->number, 0);
}

/* What L2's instruction comes to in L1 does not matter. */
static void cause(void *arg)
{
	const struct hypapi_trace_entry *e = arg;

	if (e->level == HYPAPI_L2)
		(void)sim_l2_run(l2, cause_here, arg, NULL);
	else
		cause_here(arg);
}

static void describe(char *text, size_t size, const struct hypapi_trace_entry *e)
{
	if (!e)
		snprintf(text, size, "nothing");
	else
		snprintf(text, size, "%s 0x%x of L%u to %s (verdict %u, stops %u, then %u)", event_info[e->type].name,
			 e->number, e->level, booted[e->hypapp]->name, e->verdict, e->stops, e->next);
}

static bool alike(const struct hypapi_trace_entry *a, const struct hypapi_trace_entry *b)
{
	return a->type == b->type && a->level == b->level && a->number == b->number && a->hypapp == b->hypapp &&
	       a->verdict == b->verdict && a->stops == b->stops && a->next == b->next;
}

/* The next delivery that is expected on a CPU, NULL: none. */
static const struct hypapi_trace_entry *expected(u32 cpu)
{
	for (u32 *i = &progress[cpu].next; *i < recorded_count; (*i)++)
		if (recorded[*i].cpu == cpu && !is_left_out(&recorded[*i].entry))
			return &recorded[(*i)++].entry;
	return NULL;
}

/* Either may be NULL. */
static void differs(struct sim_replay_result *result, u32 cpu, const struct hypapi_trace_entry *want,
		    const struct hypapi_trace_entry *came)
{
	char was[100], is[100];

	if (result->different++)
		return;
	describe(was, sizeof(was), want);
	describe(is, sizeof(is), came);
	snprintf(result->difference, sizeof(result->difference), "CPU %u: recorded is %s, %s came", cpu, was, is);
}

/* What came on a CPU since the last time. */
static void compare(u32 cpu, struct sim_replay_result *result)
{
	static struct hypapi_trace_entry got[TRACE_ENTRIES];
	size_t count = sim_trace(cpu, got, TRACE_ENTRIES);

	for (size_t i = 0; i < count; i++) {
		u64 serial = got[i].serial;

		if (serial <= progress[cpu].seen || serial <= progress[cpu].ready || got[i].level == HYPAPI_L0 ||
		    is_repeated(&got[i]))
			continue;
		const struct hypapi_trace_entry *want = expected(cpu);

		if (want && alike(want, &got[i]))
			result->same++;
		else
			differs(result, cpu, want, &got[i]);
	}
	progress[cpu].seen = count ? got[count - 1].serial : 0;
}

int sim_replay(const char *log, const struct sim_replay_hypapp *hypapps, struct sim_replay_result *result)
{
	struct sim_options options = { .cpus = 1, .options = "trace=on" };

	*result = (struct sim_replay_result){ 0 };
	if (!read_log(log, hypapps, result))
		return HYPAPI_EINVAL;
	result->difference[0] = 0;
	result->recorded = recorded_count;
	for (u32 i = 0; i < recorded_count; i++)
		options.cpus = MAX(options.cpus, recorded[i].cpu + 1);
	sim_boot(booted, &options);
	l2 = sim_l2_create(L2_BYTES);
	for (u32 i = 0; i < recorded_count; i++) {
		struct delivery *d = &recorded[i];

		result->left_out += is_left_out(&d->entry);
		if (is_left_out(&d->entry) || is_consequence(&d->entry) || ends_hypercall(d))
			continue;
		sim_run(d->cpu, cause, &d->entry);
		compare(d->cpu, result);
	}
	for (u32 cpu = 0; cpu < options.cpus; cpu++)
		for (const struct hypapi_trace_entry *e; (e = expected(cpu));)
			differs(result, cpu, e, NULL);
	return HYPAPI_OK;
}
