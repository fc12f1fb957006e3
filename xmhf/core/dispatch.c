/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See dispatch.h: what is seldom enough to be called. */
#include "core/dispatch.h"

#include "core/log.h"
#include "core/stop_budget.h"
#include "core/trace.h"
#include "cpu/clock.h"
#include "power/power.h"

/* A stop of all inside a stop of one EPT counts the ticks of both. */
static void note_start(struct dispatch *d, const struct quiesce_cpu *quiesce)
{
	if (!quiesce_owns_any(quiesce))
		d->stop_start = rdtsc();
	d->progress.stops += ONE_STOP;
	d->progress.walking = false;
}

/*
 * An instruction that can begin again; in the others a stop is charged and never put off. In a partition, too: its time
 * is bounded.
 */
#define EVENTS_THAT_REPEAT (BIT(HYPAPI_EV_HYPERCALL) | BIT(HYPAPI_EV_CPUID) | BIT(HYPAPI_EV_EPT_VIOLATION) | \
			    BIT(HYPAPI_EV_PORT_IO) | BIT(HYPAPI_EV_MSR))
#define LONGEST_WAIT_MS 10

/* L1's kernel can stop the machine by other means, and is trusted not to. */
static bool trusted(const struct dispatch *d)
{
	return d->ev.level == HYPAPI_L0 || (d->ev.level == HYPAPI_L1 && d->ev.cpl == 0);
}

bool dispatch_may_stop(struct dispatch *d)
{
	d->progress.admitted |= trusted(d) || !(EVENTS_THAT_REPEAT & BIT(d->ev.type)) ||
				quiesce_owns_any(&this_cpu()->quiesce);
	if (!d->progress.admitted) {
		u64 now = rdtsc();

		d->progress.admitted = stop_budget_ready_at(now) == now;
	}
	return d->progress.admitted;
}

/* True: others' stops were served meanwhile. What others are charged from now on does not lengthen the wait. */
static bool wait_for_budget(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;
	u64 now = rdtsc(), served = quiesce->count.served;

	if (likely(dispatch_may_stop(d)))
		return false;
	u64 until = MIN(stop_budget_ready_at(now), now + LONGEST_WAIT_MS * clock_ticks_per_ms());

	while ((long)(rdtsc() - until) < 0) {
		quiesce_poll(quiesce);
		cpu_pause();
	}
	d->progress.admitted = true;
	return quiesce->count.served != served;
}

bool dispatch_stop(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;
	bool late = wait_for_budget(d);

	note_start(d, quiesce);
	bool stale = quiesce_begin(quiesce) | late;

	d->ev.epoch = quiesce_epoch(quiesce);
	d->ev.stopped = true;
	return stale;
}

bool dispatch_stop_ept(struct dispatch *d, u64 ept)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;

	bool late = wait_for_budget(d);

	note_start(d, quiesce);
	bool stale = quiesce_begin_ept(quiesce, ept) | late;

	d->ev.epoch = quiesce_epoch(quiesce);
	return stale;
}

void dispatch_end_stop(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;

	d->progress.stops -= ONE_STOP;
	if (quiesce_end(quiesce))
		dispatch_count_stop(d, quiesce_owns_any(quiesce) ? rdtsc() : d->stop_start, !trusted(d));
}

void dispatch_count_stop(struct dispatch *d, u64 start, bool charge)
{
	struct event_stats *stats = dispatch_stats(this_cpu()->hypapp_stats, d->link);
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;
	u64 now = rdtsc();

	if (charge) {
		stop_budget_charge(now, now - quiesce->since);
		quiesce->since = now; /* the stop of an EPT around it goes on perhaps */
		d->progress.admitted = false;
	}

	stats->stops++;
	stats->ticks_stopped += now - start;
	if (unlikely(this_cpu()->trace))
		trace_stop(this_cpu(), start, now);
}

void dispatch_count_kick(const struct dispatch *d)
{
	if (!trusted(d))
		stop_budget_charge(rdtsc(), 0);
}

enum hypapi_verdict dispatch_settle(struct dispatch *d, enum hypapi_verdict verdict)
{
	/* Without budget the instruction is tried again, from its beginning. */
	while (verdict == HYPAPI_RETRY && d->ev.quiesce && !d->ev.stopped && dispatch_may_stop(d)) {
		(void)dispatch_stop(d); /* the handler begins again after it: what it has read does not matter */
		verdict = d->link->handler(&d->ev);
	}
	if (verdict == HYPAPI_KILL) {
		log_warn("hypapp %s asks for a reset", d->link->app->name);
		power_reset(this_cpu());
	}
	while (d->progress.stops)
		dispatch_end_stop(d);
	d->ev.stopped = quiesce_owned(&this_cpu()->quiesce) || !this_cpu()->quiesce.online;
	return verdict;
}

enum hypapi_verdict dispatch_slowly(struct hypapi_event *ev)
{
	struct dispatch *d = (struct dispatch *)ev;
	u64 start = rdtsc();
	enum hypapi_verdict verdict;

	_Static_assert(offsetof(struct dispatch, ev) == 0, "the event begins its delivery");
	ev->quiesce = d->link->quiesce;
	if (ev->quiesce && !ev->stopped) {
		if (!dispatch_may_stop(d)) {
			ev->quiesce = false;
			return HYPAPI_RETRY;
		}
		(void)dispatch_stop(d);
	}
	verdict = dispatch_settle(d, d->link->handler(ev));
	ev->quiesce = false; /* who asked this looks at the verdict as well */
	if (this_cpu()->trace)
		trace_delivery(this_cpu(), d, start, rdtsc(), verdict);
	return verdict;
}
