/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See hypapps_check.h. */
#include "core/hypapps_check.h"

#include <hypapi/control.h>

#include "lib/base.h"
#include "lib/printf.h"
#include "lib/string.h"

#define CORE_FEATURES (HYPAPI_FEATURE_NESTED | HYPAPI_FEATURE_PARTITIONS)
#define CAPABILITIES (HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_QUIESCE)

static const char *const claim_names[] = { "", "hypercalls", "CPUID leaves", "ports", "MSRs" };

/* Events at one level only: a subscription to others would never be called. 1.0 did not look at its own. */
static const struct { u32 type, levels; } one_level_events[] = {
	{ HYPAPI_EV_EXIT102, HYPAPI_LEVEL_BIT(HYPAPI_L2) },
	{ HYPAPI_EV_EXIT201, HYPAPI_LEVEL_BIT(HYPAPI_L1) },
	{ HYPAPI_EV_EXIT202, HYPAPI_LEVEL_BIT(HYPAPI_L2) },
};

static const u32 raised_events =
	BIT(HYPAPI_EV_INIT) | BIT(HYPAPI_EV_CPU_INIT) | BIT(HYPAPI_EV_HYPERCALL) | BIT(HYPAPI_EV_CPUID) |
	BIT(HYPAPI_EV_EPT_VIOLATION) | BIT(HYPAPI_EV_PARTITION_EXIT) | BIT(HYPAPI_EV_PORT_IO) | BIT(HYPAPI_EV_MSR) |
	BIT(HYPAPI_EV_MTRR) | BIT(HYPAPI_EV_EXIT102) | BIT(HYPAPI_EV_EXIT201) | BIT(HYPAPI_EV_EXIT202) |
	BIT(HYPAPI_EV_SHUTDOWN) | BIT(HYPAPI_EV_RESET) | BIT(HYPAPI_EV_TRIPLE_FAULT);

struct report { char *buf; size_t size; };
#define complain(r, ...) (format((r)->buf, (r)->size, __VA_ARGS__), false)

static bool check_versions(const struct hypapp_descriptor *app, const struct report *r)
{
	if (app->magic != HYPAPP_MAGIC || app->size != sizeof(*app))
		return complain(r, "hypapp %s: its descriptor is not one of hypapi", app->name);
	if (app->major != HYPAPI_MAJOR || app->minor > HYPAPI_MINOR)
		return complain(r, "hypapp %s needs hypapi %u.%u, the core has %u.%u", app->name, app->major, app->minor,
				HYPAPI_MAJOR, HYPAPI_MINOR);
	if (app->needs & ~(u32)CORE_FEATURES)
		return complain(r, "hypapp %s needs features 0x%x that the core has not", app->name, app->needs & ~(u32)CORE_FEATURES);
	if (app->capabilities & ~(u32)CAPABILITIES)
		return complain(r, "hypapp %s declares unknown capabilities 0x%x", app->name, app->capabilities & ~(u32)CAPABILITIES);
	return true;
}

static bool is_at_a_level(const struct hypapi_subscription *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(one_level_events); i++)
		if (one_level_events[i].type == s->type)
			return s->levels & one_level_events[i].levels;
	return true;
}

static bool check_subscriptions(const struct hypapp_descriptor *app, const struct report *r)
{
	for (const struct hypapi_subscription *s = app->subscriptions; s < app->subscriptions + HYPAPI_MAX_SUBSCRIPTIONS && s->handler; s++) {
		if (s->type >= HYPAPI_EV_COUNT || !(raised_events & BIT(s->type)))
			return complain(r, "hypapp %s subscribes to event %u, which this core does not raise", app->name, s->type);
		if (!is_at_a_level(s))
			return complain(r, "hypapp %s subscribes to event %u at levels 0x%x, where it does not occur",
					app->name, s->type, s->levels);
		if (s->quiesce && !(app->capabilities & HYPAPI_CAP_QUIESCE))
			return complain(r, "hypapp %s asks for stops at event %u without HYPAPI_CAP_QUIESCE", app->name, s->type);
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
	for (const struct hypapi_claim *c = app->claims; c < app->claims + HYPAPI_MAX_CLAIMS && c->kind; c++) {
		if (c->kind >= ARRAY_SIZE(claim_names))
			return complain(r, "hypapp %s: claims of kind %u are not supported by this core", app->name, c->kind);
		if (!in_range(c))
			return complain(r, "hypapp %s: the claim of %s 0x%x to 0x%x is out of range", app->name, claim_names[c->kind],
					c->first, c->last);
		if (c->kind == HYPAPI_CLAIM_HYPERCALL && c->first <= HYPAPI_CONTROL_LAST &&
		    c->last >= HYPAPI_CONTROL_FIRST)
			return complain(r, "hypapp %s: hypercalls 0x%x to 0x%x are the core's own", app->name,
					HYPAPI_CONTROL_FIRST, HYPAPI_CONTROL_LAST);
	}
	return true;
}

static const struct hypapi_claim *overlap(const struct hypapi_claim *c, const struct hypapp_descriptor *b)
{
	for (const struct hypapi_claim *d = b->claims; d < b->claims + HYPAPI_MAX_CLAIMS && d->kind; d++)
		if (c->kind == d->kind && (c->levels & d->levels) && c->first <= d->last && d->first <= c->last)
			return d;
	return NULL;
}

static bool check_pair(const struct hypapp_descriptor *a, const struct hypapp_descriptor *b, const struct report *r)
{
	if (!strcmp(a->name, b->name))
		return complain(r, "two hypapps have the name %s", a->name);
	if (a->priority == b->priority)
		return complain(r, "hypapps %s and %s have the same priority %d", a->name, b->name, a->priority);
	for (const struct hypapi_claim *c = a->claims; c < a->claims + HYPAPI_MAX_CLAIMS && c->kind; c++) {
		const struct hypapi_claim *d = overlap(c, b);

		if (d)
			return complain(r, "hypapps %s and %s both claim %s 0x%x to 0x%x", a->name, b->name, claim_names[c->kind],
					MAX(c->first, d->first), MIN(c->last, d->last));
	}
	return true;
}

bool hypapps_check(const struct hypapp_descriptor *const *apps, size_t count, char *message, size_t size)
{
	const struct report r = { message, size };

	for (size_t i = 0; i < count; i++) {
		if (!check_versions(apps[i], &r) || !check_subscriptions(apps[i], &r) || !check_claims(apps[i], &r))
			return false;
		for (size_t j = 0; j < i; j++)
			if (!check_pair(apps[j], apps[i], &r))
				return false;
	}
	return true;
}
