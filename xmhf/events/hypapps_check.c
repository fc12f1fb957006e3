/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See hypapps_check.h. */
#include "events/hypapps_check.h"

#include <hypapi/control.h>

#include "events/event_info.h"
#include "events/names.h"
#include "lib/base.h"
#include "lib/printf.h"
#include "lib/string.h"

#define GUEST_LEVELS HYPAPI_LEVELS_GUEST
#define FEATURES (HYPAPI_FEATURE_NESTED | HYPAPI_FEATURE_PARTITIONS | HYPAPI_FEATURE_DMA)
#define STRICT_SINCE 3 /* the minor version whose descriptors are refused where older ones are warned of */

const struct hypapp_claim_kind hypapp_claim_kinds[] = {
	[HYPAPI_CLAIM_HYPERCALL] = { "hypercalls", HYPAPI_EV_HYPERCALL },
	[HYPAPI_CLAIM_CPUID] = { "CPUID leaves", HYPAPI_EV_CPUID },
	[HYPAPI_CLAIM_PORT] = { "ports", HYPAPI_EV_PORT_IO },
	[HYPAPI_CLAIM_MSR] = { "MSRs", HYPAPI_EV_MSR },
};

const struct hypapi_subscription *hypapp_subscription(const struct hypapp_descriptor *app, u32 i)
{
	u32 own = 0;

	while (own < HYPAPI_MAX_SUBSCRIPTIONS && app->subscriptions[own].handler)
		own++;
	return i < own ? &app->subscriptions[i] :
	       i - own < app->more_subscription_count ? &app->more_subscriptions[i - own] : NULL;
}

const struct hypapi_claim *hypapp_claim(const struct hypapp_descriptor *app, u32 i)
{
	u32 own = 0;

	while (own < HYPAPI_MAX_CLAIMS && app->claims[own].kind)
		own++;
	return i < own ? &app->claims[i] : i - own < app->more_claim_count ? &app->more_claims[i - own] : NULL;
}

#define complain(r, ...) (format((r)->message, (r)->size, __VA_ARGS__), false)
/* What nobody looked for before STRICT_SINCE: who was built then goes on. */
#define object(r, app, ...) (format((r)->message, (r)->size, __VA_ARGS__), tolerated(r, app))

static bool tolerated(const struct hypapps_report *r, const struct hypapp_descriptor *app)
{
	if (app->minor >= STRICT_SINCE)
		return false;
	r->warn(r->message);
	return true;
}

static bool check_versions(const struct hypapp_descriptor *app, u32 features, const struct hypapps_report *r)
{
	if (app->magic != HYPAPP_MAGIC || app->size < HYPAPP_SIZE_1_0 ||
	    (app->size > sizeof(*app) && app->minor <= HYPAPI_MINOR))
		return complain(r, "hypapp %s: its descriptor is not one of hypapi: make it by HYPAPP_DEFINE()",
				app->name);
	if (app->major != HYPAPI_MAJOR || app->minor > HYPAPI_MINOR)
		return complain(r, "hypapp %s needs hypapi %u.%u, the core has %u.%u", app->name, app->major,
				app->minor, HYPAPI_MAJOR, HYPAPI_MINOR);
	if (app->needs & ~(u32)FEATURES)
		return complain(r, "hypapp %s: .needs has %s, which is no feature of hypapi", app->name,
				feature_names(app->needs & ~(u32)FEATURES).text);
	if (app->needs & ~features)
		return complain(r, "hypapp %s: .needs has %s, which this machine or core has not", app->name,
				feature_names(app->needs & ~features).text);
	return true;
}

static bool check_members(const struct hypapp_descriptor *app, const struct hypapps_report *r)
{
	if (app->capabilities & ~(u32)ALL_CAPABILITIES)
		return complain(r, "hypapp %s: .capabilities has %s, which is no capability of hypapi", app->name,
				capability_names(app->capabilities & ~(u32)ALL_CAPABILITIES, " | ").text);
	if (app->cpu_bytes > HYPAPI_MAX_CPU_BYTES)
		return complain(r, "hypapp %s: .cpu_bytes is %u, the most is %u", app->name, app->cpu_bytes,
				HYPAPI_MAX_CPU_BYTES);
	if (app->more_subscription_count > HYPAPI_MAX_SUBSCRIPTIONS || app->more_claim_count > HYPAPI_MAX_CLAIMS)
		return complain(r, "hypapp %s: .more_subscription_count is %u and .more_claim_count is %u, the most is "
				"%u each", app->name, app->more_subscription_count, app->more_claim_count,
				HYPAPI_MAX_SUBSCRIPTIONS);
	if (!app->more_subscriptions != !app->more_subscription_count || !app->more_claims != !app->more_claim_count)
		return complain(r, "hypapp %s: .more_subscriptions and .more_claims each need the array and its count",
				app->name);
	if (!app->priority)
		return object(r, app, "hypapp %s: .priority is not given: choose one that is not 0 and unique in the "
			      "image", app->name);
	return true;
}

/* An entry of an array that ends before the first without `member`, perhaps in `gap`: the list would leave it out. */
static bool check_entry(const struct hypapp_descriptor *app, const struct hypapps_report *r, const char *entry,
			const char *member, bool has_member, bool has_more, bool *gap)
{
	*gap |= !has_member;
	if (!has_member && has_more)
		return object(r, app, "hypapp %s: %s, has no .%s", app->name, entry, member);
	if (has_member && *gap)
		return object(r, app, "hypapp %s: %s, lies behind an empty entry, which ends the list: close the gap",
			      app->name, entry);
	return true;
}

/* ---- Subscriptions ---- */

static bool check_gaps(const struct hypapp_descriptor *app, const struct hypapps_report *r)
{
	char entry[64];
	bool gap = false;

	for (u32 i = 0; i < HYPAPI_MAX_SUBSCRIPTIONS; i++) {
		const struct hypapi_subscription *s = &app->subscriptions[i];

		format(entry, sizeof(entry), ".subscriptions[%u], of event %s", i, hypapi_event_name(s->type));
		if (!check_entry(app, r, entry, "handler", s->handler,
				 s->type || s->levels || s->quiesce || s->two_phase, &gap))
			return false;
	}
	for (u32 i = 0; i < app->more_subscription_count; i++)
		if (!app->more_subscriptions[i].handler)
			return complain(r, "hypapp %s: .more_subscriptions[%u], of event %s, has no .handler",
					app->name, i, hypapi_event_name(app->more_subscriptions[i].type));
	return true;
}

static bool check_levels(const struct hypapp_descriptor *app, const struct hypapi_subscription *s,
			 const struct hypapps_report *r)
{
	const struct event_info *event = &event_info[s->type];
	const char *occurs = level_names(event->levels);

	if ((event->levels & HYPAPI_LEVEL_BIT(HYPAPI_L0)) || (event->levels & s->levels))
		return true;
	if (event->any_level)
		return object(r, app, "hypapp %s: the subscription to event %s has no .levels of %s: it is never asked",
			      app->name, event->name, occurs);
	return complain(r, "hypapp %s: the subscription to event %s has no .levels of %s, where it occurs", app->name,
			event->name, occurs);
}

static bool check_capabilities(const struct hypapp_descriptor *app, const struct hypapi_subscription *s,
			       const struct hypapps_report *r)
{
	const struct event_info *event = &event_info[s->type];
	u32 missing = event->capabilities & ~app->capabilities;

	if (s->quiesce && !(app->capabilities & HYPAPI_CAP_QUIESCE))
		return complain(r, "hypapp %s: the subscription to event %s has .quiesce: add HYPAPI_CAP_QUIESCE to "
				".capabilities", app->name, event->name);
	if (missing)
		return complain(r, "hypapp %s subscribes to event %s: add %s to .capabilities", app->name, event->name,
				capability_names(missing, " | ").text);
	if (event->comes_by && !(event->comes_by & app->capabilities))
		return object(r, app, "hypapp %s subscribes to event %s, which never comes without %s in .capabilities",
			      app->name, event->name, capability_names(event->comes_by, " or ").text);
	return true;
}

/* A second handler for what one hypapp answers would never run. */
static bool check_twice(const struct hypapp_descriptor *app, u32 i, const struct hypapps_report *r)
{
	const struct hypapi_subscription *s = hypapp_subscription(app, i), *before;
	bool everywhere = event_info[s->type].levels & HYPAPI_LEVEL_BIT(HYPAPI_L0);

	for (u32 j = 0; j < i && event_info[s->type].one_handler; j++) {
		before = hypapp_subscription(app, j);
		if (before->type == s->type && (everywhere || (before->levels & s->levels)))
			return object(r, app, "hypapp %s subscribes to event %s twice at one level: the second handler "
				      "is never called", app->name, event_info[s->type].name);
	}
	return true;
}

static bool check_subscriptions(const struct hypapp_descriptor *app, const struct hypapps_report *r)
{
	const struct hypapi_subscription *s;

	if (!check_gaps(app, r))
		return false;
	for (u32 i = 0; (s = hypapp_subscription(app, i)); i++) {
		if (s->type >= HYPAPI_EV_COUNT || !event_info[s->type].levels)
			return complain(r, "hypapp %s subscribes to event %u, which this core does not raise",
					app->name, s->type);
		if (!check_levels(app, s, r) || !check_capabilities(app, s, r) || !check_twice(app, i, r))
			return false;
		if (s->two_phase && !event_info[s->type].two_phase)
			return complain(r, "hypapp %s: the subscription to event %s has .two_phase, and the event has "
					"one phase", app->name, event_info[s->type].name);
	}
	return true;
}

/* ---- Claims ---- */

static bool check_claim_gaps(const struct hypapp_descriptor *app, const struct hypapps_report *r)
{
	char entry[64];
	bool gap = false;

	for (u32 i = 0; i < HYPAPI_MAX_CLAIMS; i++) {
		const struct hypapi_claim *c = &app->claims[i];

		format(entry, sizeof(entry), ".claims[%u], 0x%x to 0x%x", i, c->first, c->last);
		if (!check_entry(app, r, entry, "kind", c->kind, c->levels || c->first || c->last, &gap))
			return false;
	}
	for (u32 i = 0; i < app->more_claim_count; i++)
		if (!app->more_claims[i].kind)
			return complain(r, "hypapp %s: .more_claims[%u] has no .kind", app->name, i);
	return true;
}

static bool in_range(const struct hypapi_claim *c)
{
	if (c->last < c->first)
		return false;
	switch (c->kind) {
	case HYPAPI_CLAIM_HYPERCALL:
		return c->last <= HYPAPI_HYPERCALL_MAX;
	case HYPAPI_CLAIM_PORT:
		return c->last <= HYPAPI_PORT_MAX;
	case HYPAPI_CLAIM_MSR: /* what the CPU's MSR bitmap covers; the others always exit, and do not exist */
		return c->last <= HYPAPI_MSR_LOW_MAX ||
		       (c->first >= HYPAPI_MSR_HIGH_MIN && c->last <= HYPAPI_MSR_HIGH_MAX);
	default:
		return true;
	}
}

static u32 subscribed_levels(const struct hypapp_descriptor *app, u32 event)
{
	const struct hypapi_subscription *s;
	u32 levels = 0;

	for (u32 i = 0; (s = hypapp_subscription(app, i)); i++)
		levels |= s->type == event ? s->levels : 0;
	return levels & GUEST_LEVELS;
}

static bool check_claim(const struct hypapp_descriptor *app, const struct hypapi_claim *c,
			const struct hypapps_report *r)
{
	if (c->kind >= ARRAY_SIZE(hypapp_claim_kinds))
		return complain(r, "hypapp %s: claims of kind %u are not supported by this core", app->name, c->kind);
	const char *name = hypapp_claim_kinds[c->kind].name;
	u32 unheard = c->levels & GUEST_LEVELS & ~subscribed_levels(app, hypapp_claim_kinds[c->kind].event);

	if (!in_range(c))
		return complain(r, "hypapp %s: the claim of %s 0x%x to 0x%x is out of range", app->name, name,
				c->first, c->last);
	if (c->kind == HYPAPI_CLAIM_HYPERCALL && c->first <= HYPAPI_CONTROL_LAST && c->last >= HYPAPI_CONTROL_FIRST)
		return complain(r, "hypapp %s: hypercalls 0x%x to 0x%x are the core's own", app->name,
				HYPAPI_CONTROL_FIRST, HYPAPI_CONTROL_LAST);
	if (!(c->levels & GUEST_LEVELS))
		return object(r, app, "hypapp %s: the claim of %s 0x%x to 0x%x has no .levels of L1 and L2: it is "
			      "never asked", app->name, name, c->first, c->last);
	if (unheard)
		return object(r, app, "hypapp %s: the claim of %s 0x%x to 0x%x in %s needs a subscription to event %s "
			      "there", app->name, name, c->first, c->last, level_names(unheard),
			      event_info[hypapp_claim_kinds[c->kind].event].name);
	return true;
}

/* Subscriptions whose event comes for what is claimed. */
static bool check_unclaimed(const struct hypapp_descriptor *app, u32 kind, const struct hypapps_report *r)
{
	const struct hypapp_claim_kind *k = &hypapp_claim_kinds[kind];
	u32 levels = subscribed_levels(app, k->event);
	const struct hypapi_claim *c;

	for (u32 i = 0; (c = hypapp_claim(app, i)); i++)
		levels &= c->kind == kind ? ~c->levels : ~0u;
	return !levels || object(r, app, "hypapp %s: the subscription to event %s in %s needs a claim of %s there",
				 app->name, event_info[k->event].name, level_names(levels), k->name);
}

static bool check_claims(const struct hypapp_descriptor *app, const struct hypapps_report *r)
{
	const struct hypapi_claim *c;

	if (!check_claim_gaps(app, r))
		return false;
	for (u32 i = 0; (c = hypapp_claim(app, i)); i++)
		if (!check_claim(app, c, r))
			return false;
	for (u32 kind = HYPAPI_CLAIM_NONE + 1; kind < ARRAY_SIZE(hypapp_claim_kinds); kind++)
		if (!check_unclaimed(app, kind, r))
			return false;
	return true;
}

/* ---- Two hypapps ---- */

static const struct hypapi_claim *overlap(const struct hypapi_claim *c, const struct hypapp_descriptor *b)
{
	const struct hypapi_claim *d;

	for (u32 i = 0; (d = hypapp_claim(b, i)); i++)
		if (c->kind == d->kind && (c->levels & d->levels) && c->first <= d->last && d->first <= c->last)
			return d;
	return NULL;
}

/* The first exclusive event that both would own at some level; HYPAPI_EV_COUNT: none. */
static u32 shared_event(const struct hypapp_descriptor *a, const struct hypapp_descriptor *b)
{
	const struct hypapi_subscription *s, *t;

	for (u32 i = 0; (s = hypapp_subscription(a, i)); i++)
		for (u32 j = 0; (t = hypapp_subscription(b, j)); j++)
			if (s->type == t->type && event_info[s->type].exclusive && (s->levels & t->levels))
				return s->type;
	return HYPAPI_EV_COUNT;
}

static bool check_pair(const struct hypapp_descriptor *a, const struct hypapp_descriptor *b,
		       const struct hypapps_report *r)
{
	if (!strcmp(a->name, b->name))
		return complain(r, "two hypapps have the name %s", a->name);
	if (a->priority == b->priority)
		return complain(r, "hypapps %s and %s have the same priority %d", a->name, b->name, a->priority);
	u32 shared = shared_event(a, b);
	const struct hypapi_claim *c;

	if (shared != HYPAPI_EV_COUNT)
		return complain(r, "hypapps %s and %s both own event %s", a->name, b->name, event_info[shared].name);
	for (u32 i = 0; (c = hypapp_claim(a, i)); i++) {
		const struct hypapi_claim *d = overlap(c, b);

		if (d)
			return complain(r, "hypapps %s and %s both claim %s 0x%x to 0x%x", a->name, b->name,
					hypapp_claim_kinds[c->kind].name, MAX(c->first, d->first),
					MIN(c->last, d->last));
	}
	return true;
}

bool hypapps_check(const struct hypapp_descriptor *const *apps, size_t count, u32 features,
		   const struct hypapps_report *r)
{
	for (size_t i = 0; i < count; i++) {
		if (!check_versions(apps[i], features, r) || !check_members(apps[i], r) ||
		    !check_subscriptions(apps[i], r) || !check_claims(apps[i], r))
			return false;
		for (size_t j = 0; j < i; j++)
			if (!check_pair(apps[j], apps[i], r))
				return false;
	}
	return true;
}
