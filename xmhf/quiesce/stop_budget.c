/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See stop_budget.h. */
#include "quiesce/stop_budget.h"

/*
 * Stopped time that may be owed before others have to wait. Some thousand registrations on silicon, 200 in an emulator.
 */
#define DEPTH_MS 50
/* What each other CPU loses beside the stop, by exit, entry and flush: a hundredth of this, 10 us. */
#define BESIDE_MS_PART 100

static struct {
	line_aligned _Atomic u64 paid_at; /* the tick; by any CPU */
	/* Constant after boot. */
	line_aligned u64 share;           /* percent; 0: no cap */
	u64 depth, beside;                /* ticks of stopped time */
} budget;

/* How long it takes to pay for a stop of so many ticks. */
static u64 time_to_pay(u64 ticks)
{
	return ticks * 100 / budget.share;
}

void stop_budget_init(u64 share_percent, u64 ticks_per_ms)
{
	budget.share = share_percent == STOP_SHARE_ALL ? 0 : share_percent;
	budget.depth = ticks_per_ms * DEPTH_MS;
	budget.beside = ticks_per_ms / BESIDE_MS_PART;
	atomic_store_explicit(&budget.paid_at, 0, memory_order_relaxed);
}

/*
 * No more is ever owed than twice the depth. So nobody waits long because a stop met firmware in SMM, and an L1 that
 * sets its time stamp counters back does not stop registrations for ever.
 */
static u64 most(u64 now)
{
	return now + time_to_pay(2 * budget.depth);
}

u64 stop_budget_ready_at(u64 now)
{
	u64 paid_at = atomic_load_explicit(&budget.paid_at, memory_order_relaxed);

	if (!budget.share)
		return now;
	if (unlikely(paid_at > most(now))) {
		u64 less = most(now);

		atomic_compare_exchange_strong_explicit(&budget.paid_at, &paid_at, less, memory_order_relaxed,
							memory_order_relaxed);
		paid_at = less;
	}
	return MAX(now + time_to_pay(budget.depth), paid_at) - time_to_pay(budget.depth);
}

void stop_budget_charge(u64 now, u64 ticks)
{
	u64 paid_at = atomic_load_explicit(&budget.paid_at, memory_order_relaxed), later;

	if (!budget.share)
		return;
	ticks = MIN(ticks, budget.depth) + budget.beside;
	do {
		later = MIN(MAX(paid_at, now) + time_to_pay(ticks), most(now));
	} while (!atomic_compare_exchange_weak_explicit(&budget.paid_at, &paid_at, later, memory_order_relaxed,
							memory_order_relaxed));
}
