/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See hypapps_check.h. */
#include "events/hypapps_check.h"

#include <hypapi/control.h>

#include "events/event_info.h"
#include "lib/base.h"
#include "lib/printf.h"
#include "lib/string.h"

#define CAPABILITIES (HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_QUIESCE | \
		      HYPAPI_CAP_WORK | HYPAPI_CAP_INTERRUPTS)

static const char *const claim_names[] = { "", "hypercalls", "CPUID leaves", "ports", "MSRs" };

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

struct report { char *buf; size_t size; };
#define complain(r, ...) (format((r)->buf, (r)->size, __VA_ARGS__), false)

static bool check_versions(const struct hypapp_descriptor *app, u32 features, const struct report *r)
{
	if (app->magic != HYPAPP_MAGIC || app->size < HYPAPP_SIZE_1_0 ||
	    (app->size > sizeof(*app) && app->minor <= HYPAPI_MINOR))
		return complain(r, "hypapp %s: its descriptor is not one of hypapi", app->name);
	if (app->major != HYPAPI_MAJOR || app->minor > HYPAPI_MINOR)
		return complain(r, "hypapp %s needs hypapi %u.%u, the core has %u.%u", app->name, app->major,
				app->minor, HYPAPI_MAJOR, HYPAPI_MINOR);
	if (app->needs & ~features)
		return complain(r, "hypapp %s needs features 0x%x that the core has not", app->name,
				app->needs & ~features);
	if (app->capabilities & ~(u32)CAPABILITIES)
		return complain(r, "hypapp %s declares unknown capabilities 0x%x", app->name,
				app->capabilities & ~(u32)CAPABILITIES);
	if (app->cpu_bytes > HYPAPI_MAX_CPU_BYTES)
		return complain(r, "hypapp %s wants %u bytes of storage for each CPU, the most is %u", app->name,
				app->cpu_bytes, HYPAPI_MAX_CPU_BYTES);
	return true;
}

static bool check_more(const struct hypapp_descriptor *app, const struct report *r)
{
	if (app->more_subscription_count > HYPAPI_MAX_SUBSCRIPTIONS || app->more_claim_count > HYPAPI_MAX_CLAIMS)
		return complain(r, "hypapp %s has %u more subscriptions and %u more claims, the most is %u each",
				app->name, app->more_subscription_count, app->more_claim_count,
				HYPAPI_MAX_SUBSCRIPTIONS);
	if (!app->more_subscriptions != !app->more_subscription_count || !app->more_claims != !app->more_claim_count)
		return complain(r, "hypapp %s: more_subscriptions and more_claims each need the array and its count",
				app->name);
	return true;
}

static bool check_subscription(const struct hypapp_descriptor *app, const struct hypapi_subscription *s,
			       const struct report *r)
{
	const struct event_info *event = &event_info[s->type];
	u32 missing = event->capabilities & ~app->capabilities;

	if (!(event->levels & (HYPAPI_LEVEL_BIT(HYPAPI_L0) | s->levels)) && !event->any_level)
		return complain(r, "hypapp %s subscribes to event %s at levels 0x%x, where it does not occur",
				app->name, event->name, s->levels);
	if (s->quiesce && !(app->capabilities & HYPAPI_CAP_QUIESCE))
		return complain(r, "hypapp %s asks for stops at event %s without HYPAPI_CAP_QUIESCE", app->name,
				event->name);
	if (s->two_phase && !event->two_phase)
		return complain(r, "hypapp %s asks for two phases of event %s, which has one", app->name, event->name);
	if (missing)
		return complain(r, "hypapp %s subscribes to event %s without the capabilities 0x%x", app->name,
				event->name, missing);
	return true;
}

static bool check_subscriptions(const struct hypapp_descriptor *app, const struct report *r)
{
	const struct hypapi_subscription *s;

	for (u32 i = 0; (s = hypapp_subscription(app, i)); i++) {
		if (s->type >= HYPAPI_EV_COUNT || !event_info[s->type].levels)
			return complain(r, "hypapp %s subscribes to event %u, which this core does not raise",
					app->name, s->type);
		if (!check_subscription(app, s, r))
			return false;
	}
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

static bool check_claims(const struct hypapp_descriptor *app, const struct report *r)
{
	const struct hypapi_claim *c;

	for (u32 i = 0; (c = hypapp_claim(app, i)); i++) {
		if (c->kind >= ARRAY_SIZE(claim_names))
			return complain(r, "hypapp %s: claims of kind %u are not supported by this core", app->name,
					c->kind);
		if (!in_range(c))
			return complain(r, "hypapp %s: the claim of %s 0x%x to 0x%x is out of range", app->name,
					claim_names[c->kind], c->first, c->last);
		if (c->kind == HYPAPI_CLAIM_HYPERCALL && c->first <= HYPAPI_CONTROL_LAST &&
		    c->last >= HYPAPI_CONTROL_FIRST)
			return complain(r, "hypapp %s: hypercalls 0x%x to 0x%x are the core's own", app->name,
					HYPAPI_CONTROL_FIRST, HYPAPI_CONTROL_LAST);
	}
	return true;
}

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

static bool check_pair(const struct hypapp_descriptor *a, const struct hypapp_descriptor *b, const struct report *r)
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
					claim_names[c->kind], MAX(c->first, d->first), MIN(c->last, d->last));
	}
	return true;
}

bool hypapps_check(const struct hypapp_descriptor *const *apps, size_t count, u32 features, char *message, size_t size)
{
	const struct report r = { message, size };

	for (size_t i = 0; i < count; i++) {
		if (!check_versions(apps[i], features, &r) || !check_more(apps[i], &r) ||
		    !check_subscriptions(apps[i], &r) || !check_claims(apps[i], &r))
			return false;
		for (size_t j = 0; j < i; j++)
			if (!check_pair(apps[j], apps[i], &r))
				return false;
	}
	return true;
}
