/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long the machine may stand still for those that nobody trusts: L2, and L1 outside of its kernel. One account for
 * all of them and all CPUs. Each of their stops is charged with its length and with what it costs the others beside; a
 * stop may begin while the debt is below `depth`, so that ordinary use, a burst, never waits, and a storm gets its
 * share.
 *
 * One number holds all of it: the tick at which everything charged so far is paid for, if of each tick `share` percent
 * pay. Any CPU reads and changes it, without a lock. Callers: events/dispatch.c, and hypapi's calls that stop CPUs.
 */
#ifndef XMHF_STOP_BUDGET_H
#define XMHF_STOP_BUDGET_H

#include "lib/base.h"

#define STOP_SHARE_DEFAULT 5ul /* percent */
#define STOP_SHARE_ALL 100ul   /* nothing is charged */

/* Before any guest runs. share_percent: 1 to 100; ticks_per_ms as of clock.h. */
void stop_budget_init(u64 share_percent, u64 ticks_per_ms);

/* The tick from which on a stop may begin: `now`, or a later one. */
u64 stop_budget_ready_at(u64 now);

/* A stop has lasted so many ticks, or other CPUs were interrupted (0 ticks). */
void stop_budget_charge(u64 now, u64 ticks);

#endif
