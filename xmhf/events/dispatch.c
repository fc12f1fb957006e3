/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See dispatch.h: what is seldom enough to be called. */
#include "events/dispatch.h"

#include "cpu/clock.h"
#include "events/event_info.h"
#include "power/power.h"
#include "quiesce/stop_budget.h"
#include "report/log.h"
#include "report/trace.h"

#define LONGEST_WAIT_MS 10

/* L1's kernel can stop the machine by other means, and is trusted not to. Level L0 has CPL 0. */
static inline bool trusted(const struct dispatch *d)
{
	return d->ev.level != HYPAPI_L2 && d->ev.cpl == 0;
}

static __attribute__((noinline)) bool budget_admits(struct dispatch *d)
{
	d->progress.admitted = !event_info[d->ev.type].repeats || quiesce_owns_any(&this_cpu()->quiesce);
	if (!d->progress.admitted) {
		u64 now = rdtsc();

		d->progress.admitted = stop_budget_ready_at(now) == now;
	}
	return d->progress.admitted;
}

/* In line: who is trusted pays nothing for the budget. */
static inline bool may_stop(struct dispatch *d)
{
	return trusted(d) || d->progress.admitted || budget_admits(d);
}

bool dispatch_may_stop(struct dispatch *d)
{
	return may_stop(d);
}

/* True: others' stops were served meanwhile. What others are charged from now on does not lengthen the wait. */
static __attribute__((noinline)) bool wait_for_budget(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;
	u64 now = rdtsc(), served = quiesce->count.served;
	u64 until = MIN(stop_budget_ready_at(now), now + LONGEST_WAIT_MS * clock_ticks_per_ms());

	while ((long)(rdtsc() - until) < 0) {
		quiesce_poll(quiesce);
		cpu_pause();
	}
	d->progress.admitted = true;
	return quiesce->count.served != served;
}

static inline void stop_began(struct dispatch *d, const struct quiesce_cpu *quiesce)
{
	d->progress.stops++;
	d->progress.walking = false;
	d->ev.epoch = quiesce->epoch;
}

bool dispatch_stop(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;
	bool late = !may_stop(d) && wait_for_budget(d);
	bool stale = quiesce_begin(quiesce) | late;

	stop_began(d, quiesce);
	d->ev.stopped = true;
	return stale;
}

bool dispatch_stop_ept(struct dispatch *d, u64 ept)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;
	bool late = !may_stop(d) && wait_for_budget(d);
	bool stale = quiesce_begin_ept(quiesce, ept) | late;

	stop_began(d, quiesce);
	return stale;
}

void dispatch_end_stop(struct dispatch *d)
{
	d->progress.stops--;
	if (quiesce_end(&this_cpu()->quiesce))
		dispatch_count_stop(d, !trusted(d));
}

static __attribute__((noinline)) void charge_and_trace(struct dispatch *d, u64 start, u64 now, bool charge)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;

	if (charge) {
		stop_budget_charge(now, now - quiesce->since);
		quiesce->since = now; /* the stop of an EPT around it goes on perhaps */
		d->progress.admitted = false;
	}
	if (this_cpu()->trace)
		trace_stop(this_cpu(), start, now);
}

/* A stop of all inside a stop of one EPT counts the ticks of both, when that one ends. */
void dispatch_count_stop(struct dispatch *d, bool charge)
{
	struct percpu *cpu = this_cpu();
	struct event_stats *stats = dispatch_stats(cpu->hypapp_stats, d->link);
	u64 now = rdtsc(), start = quiesce_owns_any(&cpu->quiesce) ? now : cpu->quiesce.asked_at;

	stats->stops++;
	stats->ticks_stopped += now - start;
	if (unlikely(charge || cpu->trace))
		charge_and_trace(d, start, now, charge);
}

void dispatch_count_kick(const struct dispatch *d)
{
	if (!trusted(d))
		stop_budget_charge(rdtsc(), 0);
}

enum hypapi_verdict dispatch_settle(struct dispatch *d, enum hypapi_verdict verdict)
{
	/* Without budget the instruction is tried again, from its beginning. */
	while (verdict == HYPAPI_RETRY && d->ev.quiesce && !d->ev.stopped && may_stop(d)) {
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
