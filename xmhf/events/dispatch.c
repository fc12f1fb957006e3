/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See dispatch.h: what is seldom enough to be called. */
#include "events/dispatch.h"

#include "cpu/clock.h"
#include "events/drop.h"
#include "events/event_info.h"
#include "power/power.h"
#include "quiesce/stop_budget.h"
#include "report/log.h"
#include "report/trace.h"
#include "vmx/vmx_insn.h"

#define LONGEST_WAIT_MS 10
#define REPEATS 2000u /* of one event in a row before it is named */

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

bool dispatch_may_stop(struct dispatch *d)
{
	return trusted(d) || d->progress.admitted || budget_admits(d);
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

bool dispatch_stop(struct dispatch *d, u64 ept)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;
	bool late = !dispatch_may_stop(d) && wait_for_budget(d);
	bool stale = (ept == DISPATCH_STOP_ALL ? quiesce_begin(quiesce) : quiesce_begin_ept(quiesce, ept)) | late;

	d->progress.stops++;
	d->ev.epoch = quiesce->epoch;
	d->ev.stopped = quiesce_owned(quiesce);
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

void dispatch_repeats(const struct dispatch *d, u64 address)
{
	struct repeat *r = &this_cpu()->repeat;
	u64 rip = vmread(VMCS_GUEST_RIP);

	if (r->rip != rip || r->address != address || r->type != d->ev.type)
		*r = (struct repeat){ rip, address, d->ev.type, 0 };
	if (++r->count % REPEATS == 0)
		log_limited(LOG_WARN, "hypapp %s: event %s of L%u at RIP 0x%lx, address 0x%lx has come %u times in a "
			    "row: the guest makes no progress", d->link->app->name, hypapi_event_name(d->ev.type),
			    d->ev.level, rip, address, r->count);
}

static inline enum hypapi_verdict run_handler(struct dispatch *d)
{
	return unlikely(d->link->droppable) ? drop_guarded(d) : link_now(d->link, handler)(&d->ev);
}

/* A monitor must not fail open. */
static __attribute__((noinline)) enum hypapi_verdict no_verdict(const struct dispatch *d, enum hypapi_verdict verdict)
{
	log_limited(LOG_WARN, "hypapp %s answers event %s with %d (%s), which is no verdict: taken for deny",
		    d->link->app->name, hypapi_event_name(d->ev.type), (int)verdict,
		    hypapi_error_name((int)verdict));
	return HYPAPI_DENY;
}

/* A stop by the flag belongs to the group, too; what was compiled before 1.3 has had it without. */
static __attribute__((noinline)) enum hypapi_verdict undeclared_stop(const struct dispatch *d)
{
	log_limited(LOG_WARN, "hypapp %s sets the quiesce flag in event %s: add HYPAPI_CAP_QUIESCE to .capabilities",
		    d->link->app->name, hypapi_event_name(d->ev.type));
	return d->link->app->minor < 3 ? HYPAPI_RETRY : HYPAPI_DENY;
}

/* Another answer than HANDLED: what the hypapp has claimed to enter is free again. */
static void give_up_entry(struct dispatch *d)
{
	if (d->progress.enters)
		partition_release(d->enter);
	d->progress.enters = false;
}

static enum hypapi_verdict settle(struct dispatch *d, enum hypapi_verdict verdict, bool counted)
{
	if (!counted && verdict == HYPAPI_RETRY && d->ev.quiesce && !d->ev.stopped &&
	    !(d->link->app->capabilities & HYPAPI_CAP_QUIESCE))
		verdict = undeclared_stop(d);
	/* Without budget the instruction is tried again, from its beginning. */
	while (verdict == HYPAPI_RETRY && d->ev.quiesce && !d->ev.stopped && dispatch_may_stop(d) &&
	       !d->progress.raised) {
		give_up_entry(d);
		/* The handler begins again after it: what it has read does not matter. */
		(void)dispatch_stop(d, DISPATCH_STOP_ALL);
		verdict = run_handler(d);
	}
	if (!counted && verdict > HYPAPI_KILL) /* settled before, it can be DISPATCH_RAISED */
		verdict = no_verdict(d, verdict);
	/* Who asks for a stop that has no budget waits; a violation is counted where its address is known. */
	if (!counted && verdict == HYPAPI_RETRY && event_info[d->ev.type].repeats &&
	    d->ev.type != HYPAPI_EV_EPT_VIOLATION && (!d->ev.quiesce || d->ev.stopped))
		dispatch_repeats(d, 0);
	if (verdict == HYPAPI_KILL) {
		log_warn("hypapp %s asks for a reset", d->link->app->name);
		power_reset(this_cpu());
	}
	while (d->progress.stops)
		dispatch_end_stop(d);
	d->ev.stopped = quiesce_owned(&this_cpu()->quiesce) || !this_cpu()->quiesce.online;
	if (verdict != HYPAPI_HANDLED || d->progress.raised)
		give_up_entry(d);
	return verdict;
}

static enum hypapi_verdict outcome(const struct dispatch *d, enum hypapi_verdict verdict)
{
	return d->progress.raised ? DISPATCH_RAISED : verdict;
}

enum hypapi_verdict dispatch_settle(struct dispatch *d, enum hypapi_verdict verdict)
{
	if (verdict == HYPAPI_HANDLED && !d->progress.stops && !d->progress.raised)
		return verdict; /* it enters a partition */
	return outcome(d, settle(d, verdict, link_now(d->link, deliver) == dispatch_slowly));
}

enum hypapi_verdict dispatch_slowly(struct hypapi_event *ev)
{
	struct dispatch *d = (struct dispatch *)ev;
	u64 start = rdtsc();

	_Static_assert(offsetof(struct dispatch, ev) == 0, "the event begins its delivery");
	ev->quiesce = link_now(d->link, quiesce);
	if (ev->quiesce && !ev->stopped) {
		if (!dispatch_may_stop(d)) {
			ev->quiesce = false;
			return HYPAPI_RETRY;
		}
		(void)dispatch_stop(d, DISPATCH_STOP_ALL);
	}
	enum hypapi_verdict verdict = settle(d, run_handler(d), false);

	ev->quiesce = false; /* who asked this looks at the verdict as well */
	u64 now = rdtsc();

	if (unlikely(now - start > hypapps_longest))
		log_limited(LOG_WARN, "hypapp %s took %lu ticks for event %s of L%u", d->link->app->name, now - start,
			    hypapi_event_name(d->ev.type), d->ev.level);
	if (this_cpu()->trace)
		trace_delivery(this_cpu(), d, start, now, verdict);
	return outcome(d, verdict);
}
