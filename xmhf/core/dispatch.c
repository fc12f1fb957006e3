/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See dispatch.h: what is seldom enough to be called. */
#include "core/dispatch.h"

#include "core/log.h"
#include "core/trace.h"
#include "vmx/power.h"

/* A stop of all inside a stop of one EPT counts the ticks of both. */
static void note_start(struct dispatch *d, const struct quiesce_cpu *quiesce)
{
	if (!quiesce_owns_any(quiesce))
		d->stop_start = rdtsc();
	d->progress.stops += ONE_STOP;
	d->progress.walking = false;
}

bool dispatch_stop(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;

	note_start(d, quiesce);
	bool stale = quiesce_begin(quiesce);

	d->ev.epoch = quiesce_epoch(quiesce);
	d->ev.stopped = true;
	return stale;
}

bool dispatch_stop_ept(struct dispatch *d, u64 ept)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;

	note_start(d, quiesce);
	bool stale = quiesce_begin_ept(quiesce, ept);

	d->ev.epoch = quiesce_epoch(quiesce);
	return stale;
}

void dispatch_end_stop(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;

	d->progress.stops -= ONE_STOP;
	if (quiesce_end(quiesce))
		dispatch_count_stop(d, quiesce_owns_any(quiesce) ? rdtsc() : d->stop_start);
}

void dispatch_count_stop(struct dispatch *d, u64 start)
{
	struct event_stats *stats = dispatch_stats(this_cpu()->hypapp_stats, d->link);
	u64 now = rdtsc();

	stats->stops++;
	stats->ticks_stopped += now - start;
	if (unlikely(this_cpu()->trace))
		trace_stop(this_cpu(), start, now);
}

enum hypapi_verdict dispatch_settle(struct dispatch *d, enum hypapi_verdict verdict)
{
	while (verdict == HYPAPI_RETRY && d->ev.quiesce && !d->ev.stopped) {
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
	if (ev->quiesce && !ev->stopped)
		(void)dispatch_stop(d);
	verdict = dispatch_settle(d, d->link->handler(ev));
	ev->quiesce = false; /* who asked this looks at the verdict as well */
	if (this_cpu()->trace)
		trace_delivery(this_cpu(), d, start, rdtsc(), verdict);
	return verdict;
}
