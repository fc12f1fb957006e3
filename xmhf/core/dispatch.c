/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See dispatch.h: what is seldom enough to be called. */
#include "core/dispatch.h"

#include "core/log.h"
#include "core/trace.h"
#include "vmx/power.h"

bool dispatch_stop(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &d->cpu->quiesce;

	if (!quiesce_owned(quiesce))
		d->stop_start = rdtsc();
	bool stale = quiesce_begin(quiesce);

	d->ev.epoch = quiesce_epoch(quiesce);
	d->ev.stopped = true;
	d->progress.stops += ONE_STOP;
	d->progress.walking = false;
	return stale;
}

void dispatch_end_stop(struct dispatch *d)
{
	d->progress.stops -= ONE_STOP;
	quiesce_end(&d->cpu->quiesce);
	if (!quiesce_owned(&d->cpu->quiesce))
		dispatch_count_stop(d, d->stop_start);
}

void dispatch_count_stop(struct dispatch *d, u64 start)
{
	struct event_stats *stats = dispatch_stats(d->cpu, d->link);
	u64 now = rdtsc();

	stats->stops++;
	stats->ticks_stopped += now - start;
	if (unlikely(d->cpu->trace))
		trace_stop(d->cpu, start, now);
}

enum hypapi_verdict dispatch_settle(struct dispatch *d, enum hypapi_verdict verdict)
{
	while (verdict == HYPAPI_RETRY && d->ev.quiesce && !d->ev.stopped) {
		(void)dispatch_stop(d); /* the handler begins again after it: what it has read does not matter */
		verdict = d->link->handler(&d->ev);
	}
	if (verdict == HYPAPI_KILL) {
		log_warn("hypapp %s asks for a reset", d->link->app->name);
		power_reset(d->cpu);
	}
	while (d->progress.stops)
		dispatch_end_stop(d);
	d->ev.stopped = quiesce_owned(&d->cpu->quiesce) || !d->cpu->quiesce.online;
	return verdict;
}

enum hypapi_verdict dispatch_ask_slow(struct dispatch *d, const struct link *link, u64 start)
{
	struct event_stats *stats = dispatch_stats(d->cpu, d->link);
	enum hypapi_verdict verdict;
	u64 now;

	d->ev.quiesce = link->quiesce;
	if (link->quiesce && !d->ev.stopped)
		(void)dispatch_stop(d);
	verdict = dispatch_settle(d, link->handler(&d->ev));
	now = rdtsc();
	stats->count++;
	stats->ticks += now - start;
	if (d->cpu->trace)
		trace_delivery(d, start, now, verdict);
	return verdict;
}
