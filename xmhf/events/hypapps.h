/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which hypapps there are: what was linked in, checked at boot and kept in priority order, with the chain of each event
 * at each level and the owners of claimed numbers. Constant after boot. Callers: dispatch and events, control, command
 * line.
 */
#ifndef XMHF_HYPAPPS_H
#define XMHF_HYPAPPS_H

#include <hypapi/hypapi.h>

#include "cpu/percpu.h"

/* One subscription at one level: all that a delivery needs, next to each other. */
struct link {
	hypapi_handler *deliver; /* the handler, or dispatch_slowly() if there is more to do than to call it */
	hypapi_handler *handler;
	const struct hypapp_descriptor *app;
	u32 capabilities;
	u32 counts;              /* where its counts stand in struct hypapp_stats, bytes */
	bool quiesce, two_phase; /* as subscribed */
	bool droppable;          /* see events/drop.h */
};

/* A word of a link that a drop on another CPU may change at any time: the old one is found, or the new one. */
#define link_now(link, member) __atomic_load_n(&(link)->member, __ATOMIC_RELAXED)

/* Ticks that a handler may take before it is named, by the boot option hypapp-time; else no bound. */
extern u64 hypapps_longest;

/* From now on it is asked and told nothing, as drop.h says, and its calls are refused. Any CPU. */
void hypapps_silence(const struct hypapp_descriptor *app);

/* Is it one of the chains' links, as another CPU sees it in passing? */
bool hypapps_has_link(const struct link *link);

/* Who is asked about an event at a level, by priority. */
struct chain {
	const struct link *first;
	u32 count;
};

#define for_each_link(link, chain) \
	for (const struct link *link = (chain)->first, *end_ = link + (chain)->count; link < end_; link++)

extern struct chain hypapps_chains[HYPAPI_EV_COUNT][HYPAPI_L2 + 1];

static inline const struct chain *hypapps_chain(enum hypapi_event_type type, enum hypapi_level level)
{
	return &hypapps_chains[type][level];
}

static inline bool hypapps_subscribed(enum hypapi_event_type type, enum hypapi_level level)
{
	return hypapps_chain(type, level)->count;
}

/* Does any hypapp subscribe to an event that a crossing between L1 and L2 raises, or ends the wait for? */
bool hypapps_watch_crossings(void);

/* Checks all descriptors, and refuses a conflict by one line that names both hypapps. Then HYPAPI_EV_INIT. Boot CPU. */
void hypapps_init(void);

/* Is a hypapp whose name is the first `len` characters linked in? Works before hypapps_init(). */
bool hypapps_find(const char *name, size_t len);

/* What hypapi_cpu_storage() takes for one CPU, all hypapps together, bytes. Works before hypapps_init(). */
size_t hypapps_cpu_bytes(void);

/* Gives this CPU its storage, once. */
void hypapps_cpu_init(struct percpu *cpu);

/* What a hypapp has there; NULL: it asked for none, or the CPU has not been given its own. */
void *hypapps_storage(const struct hypapp_descriptor *app, const struct percpu *cpu);

/* Place of a linked hypapp in the chain, plus 1. */
u32 hypapps_number(const struct hypapp_descriptor *app);

/* The chain as a list; i below the count. */
u32 hypapps_count(void);
const struct hypapp_descriptor *hypapps_get(u32 i);

/* The link of one hypapp to an event at a level; NULL: it did not subscribe. */
const struct link *hypapps_link_of(const struct hypapp_descriptor *app, enum hypapi_event_type type,
				   enum hypapi_level level);

/*
 * For a link to MSR in L1 the one in L1's MSR lists: neither VMCS holds L1's state in the middle of an entry or exit,
 * so there are no calls on registers and memory.
 */
const struct link *hypapps_link_of_list(const struct link *link);

/* All claims of CPUID leaves, ports and MSRs, by their kind and level; `span` is last - first. */
extern struct claims {
	struct { u32 first, span; const struct link *link; } of[MAX_HYPAPPS * 2 * HYPAPI_MAX_CLAIMS];
	u32 count;
} hypapps_claims[HYPAPI_CLAIM_MSR + 1][HYPAPI_L2 + 1];
extern u32 hypapps_cpuid_lowest, hypapps_cpuid_highest; /* of the claimed leaves: most leaves are far from them */

/* Who claims a number of one of these kinds; NULL: nobody. */
static inline const struct link *hypapps_claim(enum hypapi_claim_kind kind, enum hypapi_level level, u32 number)
{
	const struct claims *claims = &hypapps_claims[kind][level];

	for (u32 i = 0; i < claims->count; i++)
		if (number - claims->of[i].first <= claims->of[i].span)
			return claims->of[i].link;
	return NULL;
}

/* Who claims a hypercall of L1 or L2; NULL: nobody. */
extern const struct link *hypapps_hypercalls[HYPAPI_L2 + 1][HYPAPI_HYPERCALL_MAX + 1];

#endif
