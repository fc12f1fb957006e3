/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See drop.h. */
#include "events/drop.h"

#include "core/cmdline.h"
#include "cpu/x86.h"
#include "events/event_info.h"
#include "report/log.h"

#define DROPPABLE_SINCE 3 /* the minor version whose descriptors may say so */

_Atomic hypapp_mask drop_dropped;
static _Atomic hypapp_mask unswept; /* of those: partitions are there perhaps */

static hypapp_mask bit_of(const struct hypapp_descriptor *app)
{
	return (hypapp_mask)BIT(hypapps_number(app) - 1);
}

bool drop_applies(const struct hypapp_descriptor *app)
{
	return app->minor >= DROPPABLE_SINCE && app->droppable && cmdline_is("hypapp-fault", "drop");
}

bool drop_is_dropped(const struct hypapp_descriptor *app)
{
	return atomic_load(&drop_dropped) & bit_of(app);
}

/* Left in the middle of its handler, of which only this CPU's delivery knows. */
static enum hypapi_verdict drop(struct dispatch *d, u64 cr2)
{
	const struct hypapp_descriptor *app = d->link->app;

	write_cr2(cr2);
	hypapps_silence(app);
	atomic_fetch_or(&drop_dropped, bit_of(app));
	atomic_fetch_or(&unswept, bit_of(app));
	this_cpu()->work = 1;
	d->ev.quiesce = false;
	return event_info[d->ev.type].raises || event_info[d->ev.type].two_phase ? HYPAPI_DENY : HYPAPI_PASS;
}

enum hypapi_verdict drop_guarded(struct dispatch *d)
{
	struct percpu *cpu = this_cpu();
	struct guard guard = { .d = d, .outer = cpu->handler_guard, .cr2 = read_cr2() };

	cpu->handler_guard = &guard;
	enum hypapi_verdict verdict = guard_call(link_now(d->link, handler), &d->ev, &guard.rsp);

	cpu->handler_guard = guard.outer;
	return likely(!guard.dropped) ? verdict : drop(d, guard.cr2);
}

/* The same hypapp is in the middle of another event on this CPU: it would go on there. */
static bool is_nested(const struct guard *guard)
{
	for (const struct guard *g = guard->outer; g; g = g->outer)
		if (g->d->link->app == guard->d->link->app)
			return true;
	return false;
}

bool drop_is_own_text(const struct percpu *cpu, u64 rip)
{
	const struct hypapp_descriptor *app = cpu->dispatch ? cpu->dispatch->link->app : NULL;

	return app && rip >= (u64)app->text_start && rip < (u64)app->text_end;
}

const char *drop_obstacle(const struct percpu *cpu, bool in_own_text)
{
	const struct guard *guard = cpu->handler_guard;

	if (!cpu->dispatch || !cpu->dispatch->link->droppable)
		return "it is not droppable, or the option hypapp-fault=drop is not given";
	const struct hypapp_descriptor *app = cpu->dispatch->link->app;

	if (!in_own_text || !guard || guard->d != cpu->dispatch)
		return "RIP is not in its own code, in a call of hypapi perhaps";
	if (!cpu->quiesce.online)
		return "the CPUs have not started yet";
	if (cpu->locks_held || (app->locks_held && __atomic_load_n(app->locks_held, __ATOMIC_RELAXED)))
		return "a lock is held";
	if (guard->d->progress.moved || guard->d->progress.raised)
		return "it has injected an exception, or left a partition";
	/* For a moment, perhaps: nobody else would close it. */
	if (guard->d->progress.opened)
		return "it has given rights to memory";
	return is_nested(guard) ? "it is in the middle of another event, too" : NULL;
}

void drop_work(struct percpu *cpu)
{
	if (cpu->world->mode == RUN_PARTITION && drop_is_dropped(partition_owner(cpu)))
		partition_end_orphan(cpu);
	/* What runs on another CPU ends there, on its way out of this stop. */
	for (u32 left = atomic_exchange(&unswept, 0); left; left &= left - 1)
		if (!partition_destroy_all(cpu, hypapps_get((u32)__builtin_ctz(left))))
			atomic_fetch_or(&unswept, (hypapp_mask)(left & -left));
}
