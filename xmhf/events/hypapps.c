/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See hypapps.h. Descriptors are copied, so that one of an older minor version, which is shorter, reads as zero at its
 * end. Claims are exclusive, so what is claimed goes to one hypapp; violations and partition exits go to the owner.
 */
#include "events/hypapps.h"

#include "core/cmdline.h"
#include "cpu/clock.h"
#include "events/dispatch.h"
#include "events/drop.h"
#include "events/event_info.h"
#include "events/events.h"
#include "events/hypapps_check.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "report/log.h"
#include "report/stats.h"
#include "report/trace.h"
#include "vmx/vmx.h"

#define HYPAPP_MS_MAX 60000ul

extern const struct hypapp_descriptor *const hypapps_linked[]; /* made by the build, NULL at the end */
const char HYPAPI_VERSION_SYMBOL[] = "hypapi";

static struct hypapp_descriptor copies[MAX_HYPAPPS];
static const struct hypapp_descriptor *apps[MAX_HYPAPPS]; /* the copies, by priority */
static u32 app_count;

/* In the order of chains; then those of L1's MSR lists. */
static struct link links[MAX_HYPAPPS * 2 * HYPAPI_MAX_SUBSCRIPTIONS * 2 + MAX_HYPAPPS];
static const struct link *list_links;
struct chain hypapps_chains[HYPAPI_EV_COUNT][HYPAPI_L2 + 1];
u64 hypapps_longest = ~0ul;

bool hypapps_has_link(const struct link *link)
{
	return link >= links && link < links + ARRAY_SIZE(links) && link->app;
}

const struct link *hypapps_hypercalls[HYPAPI_L2 + 1][HYPAPI_HYPERCALL_MAX + 1];

struct claims hypapps_claims[HYPAPI_CLAIM_MSR + 1][HYPAPI_L2 + 1];
u32 hypapps_cpuid_lowest = ~0u, hypapps_cpuid_highest;

bool hypapps_find(const char *name, size_t len)
{
	for (size_t i = 0; hypapps_linked[i]; i++)
		if (!strncmp(hypapps_linked[i]->name, name, len) && !hypapps_linked[i]->name[len])
			return true;
	return false;
}

static u32 cpu_bytes(const struct hypapp_descriptor *app)
{
	return app->size > offsetof(struct hypapp_descriptor, cpu_bytes) ? ALIGN_UP(app->cpu_bytes, CACHE_LINE) : 0;
}

size_t hypapps_cpu_bytes(void)
{
	size_t sum = 0;

	for (size_t i = 0; hypapps_linked[i]; i++)
		sum += MIN(cpu_bytes(hypapps_linked[i]), HYPAPI_MAX_CPU_BYTES);
	return sum;
}

void hypapps_cpu_init(struct percpu *cpu)
{
	size_t bytes = hypapps_cpu_bytes();

	if (bytes)
		cpu->hypapp_storage = pages_boot_alloc(ALIGN_UP(bytes, PAGE_SIZE) / PAGE_SIZE);
}

void *hypapps_storage(const struct hypapp_descriptor *app, const struct percpu *cpu)
{
	size_t at = 0;

	for (u32 i = 0; apps[i] != app; i++)
		at += cpu_bytes(apps[i]);
	return app->cpu_bytes && cpu->hypapp_storage ? cpu->hypapp_storage + at : NULL;
}

static void sort_in(const struct hypapp_descriptor *app)
{
	u32 at = app_count;

	if (app_count == MAX_HYPAPPS)
		boot_refuse("more than %u hypapps are linked in", MAX_HYPAPPS);
	/* What is no descriptor is read as far as the check looks at it. */
	memcpy(&copies[app_count], app, MIN(MAX(app->size, HYPAPP_SIZE_1_0), sizeof(*app)));
	app = &copies[app_count++];
	for (; at && apps[at - 1]->priority > app->priority; at--)
		apps[at] = apps[at - 1];
	apps[at] = app;
}

u32 hypapps_number(const struct hypapp_descriptor *app)
{
	u32 i = 0;

	while (apps[i] != app)
		i++;
	return i + 1;
}

u32 hypapps_count(void)
{
	return app_count;
}

const struct hypapp_descriptor *hypapps_get(u32 i)
{
	return apps[i];
}

/* Of hypapp number i + 1. */
static struct link make_link(u32 i, const struct hypapi_subscription *s, u32 level)
{
	return (struct link){
		.deliver = s->quiesce || trace_bytes() || ~hypapps_longest || drop_applies(apps[i]) ? dispatch_slowly :
												      s->handler,
		.handler = s->handler, .app = apps[i],
		.capabilities = apps[i]->capabilities & ~event_info[s->type].withheld,
		.counts = (u32)offsetof(struct hypapp_stats, of[i][s->type][level]),
		.quiesce = s->quiesce, .two_phase = s->two_phase, .droppable = drop_applies(apps[i]),
	};
}

/* The links of one event at one level, from *next on. */
static void build_chain(u32 type, u32 level, struct link **next)
{
	struct chain *chain = &hypapps_chains[type][level];
	const struct hypapi_subscription *s;
	u32 bit = HYPAPI_LEVEL_BIT(level);

	chain->first = *next;
	for (u32 i = 0; i < app_count && (event_info[type].levels & bit); i++)
		for (u32 j = 0; (s = hypapp_subscription(apps[i], j)); j++)
			if (s->type == type && (level == HYPAPI_L0 || (s->levels & bit)))
				*(*next)++ = make_link(i, s, level);
	chain->count = (u32)(*next - chain->first);
}

static void build_chains(void)
{
	struct link *next = links;

	for (u32 type = 0; type < HYPAPI_EV_COUNT; type++)
		for (u32 level = HYPAPI_L0; level <= HYPAPI_L2; level++)
			build_chain(type, level, &next);
	list_links = next;
	for_each_link(link, hypapps_chain(HYPAPI_EV_MSR, HYPAPI_L1)) {
		*next = *link;
		next++->capabilities &= HYPAPI_CAP_QUIESCE;
	}
}

const struct link *hypapps_link_of_list(const struct link *link)
{
	return list_links + (link - hypapps_chain(HYPAPI_EV_MSR, HYPAPI_L1)->first);
}

const struct link *hypapps_link_of(const struct hypapp_descriptor *app, enum hypapi_event_type type,
				   enum hypapi_level level)
{
	for_each_link(link, hypapps_chain(type, level))
		if (link->app == app)
			return link;
	return NULL;
}

/* In place of a dropped hypapp's handlers: a page that it restricted stays so; all else is nobody's. */
static enum hypapi_verdict nobody(struct hypapi_event *ev)
{
	return ev->type == HYPAPI_EV_EPT_VIOLATION ? HYPAPI_DENY : HYPAPI_PASS;
}

/* Calls on other CPUs look at this word by a plain instruction, which is as good (see calls.h): no race to report. */
static __attribute__((noinline, no_sanitize("thread"))) void take_capabilities(struct link *link)
{
	__atomic_store_n(&link->capabilities, 0, __ATOMIC_RELAXED);
}

void hypapps_silence(const struct hypapp_descriptor *app)
{
	for (struct link *link = links; link < links + ARRAY_SIZE(links); link++)
		if (link->app == app) {
			__atomic_store_n(&link->handler, nobody, __ATOMIC_RELAXED);
			__atomic_store_n(&link->deliver, nobody, __ATOMIC_RELAXED);
			__atomic_store_n(&link->quiesce, false, __ATOMIC_RELAXED);
			take_capabilities(link);
		}
}

/* Of events that a crossing between L1 and L2 raises, or ends the wait for. */
bool hypapps_watch_crossings(void)
{
	static const u8 types[] = { HYPAPI_EV_EXIT102, HYPAPI_EV_EXIT201, HYPAPI_EV_EPT02_ROOT,
				    HYPAPI_EV_INTERRUPT_WINDOW, HYPAPI_EV_NMI_WINDOW };
	bool watched = false;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		watched |= hypapps_subscribed(types[i], HYPAPI_L1) || hypapps_subscribed(types[i], HYPAPI_L2);
	return watched;
}

/* ---- Claims ---- */

static void add_claim(const struct hypapi_claim *c, u32 level, const struct link *link)
{
	struct claims *claims = &hypapps_claims[c->kind][level];

	switch (c->kind) {
	case HYPAPI_CLAIM_HYPERCALL:
		for (u32 number = c->first; number <= c->last; number++)
			hypapps_hypercalls[level][number] = link;
		return;
	case HYPAPI_CLAIM_CPUID:
		hypapps_cpuid_lowest = MIN(hypapps_cpuid_lowest, c->first);
		hypapps_cpuid_highest = MAX(hypapps_cpuid_highest, c->last);
		break;
	case HYPAPI_CLAIM_PORT:
		vmx_claim_ports(level, c->first, c->last);
		break;
	case HYPAPI_CLAIM_MSR:
		vmx_claim_msrs(level, c->first, c->last);
		break;
	}
	claims->of[claims->count].first = c->first;
	claims->of[claims->count].span = c->last - c->first;
	claims->of[claims->count++].link = link;
}

static void build_claims(const struct hypapp_descriptor *app)
{
	const struct hypapi_claim *c;

	for (u32 n = 0; (c = hypapp_claim(app, n)); n++)
		for (u32 level = HYPAPI_L1; level <= HYPAPI_L2; level++) {
			const struct link *link = hypapps_link_of(app, hypapp_claim_kinds[c->kind].event, level);

			if (link && (c->levels & HYPAPI_LEVEL_BIT(level)))
				add_claim(c, level, link);
		}
}

static void warn(const char *message)
{
	log_warn("%s", message);
}

void hypapps_init(void)
{
	char message[224];
	const struct hypapps_report report = { message, sizeof(message), warn };

	if (cmdline_get("hypapp-time"))
		hypapps_longest = cmdline_ms("hypapp-time", "", 0, HYPAPP_MS_MAX) * clock_ticks_per_ms();
	for (size_t i = 0; hypapps_linked[i]; i++)
		sort_in(hypapps_linked[i]);
	if (!hypapps_check(apps, app_count, hypapi_features(), &report))
		boot_refuse("%s", message);
	build_chains();
	for (u32 i = 0; i < app_count; i++)
		build_claims(apps[i]);
	for (u32 i = 0; i < app_count; i++)
		log_info("hypapp %s, priority %d, hypapi %u.%u", apps[i]->name, apps[i]->priority, apps[i]->major,
			 apps[i]->minor);
	event_tell(this_cpu(), HYPAPI_EV_INIT, HYPAPI_L0, EVENT_NO_ARGS);
}
