/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypapp-fault=drop: a droppable hypapp that faults in its own code is left, and the machine goes on without it.
 *
 * The handlers of such a hypapp run below a guard, drop_guarded(), in the one place where handlers are called slowly.
 * A fault goes back to the guard only if RIP is in the hypapp's own text and the innermost delivery is the guard's. The
 * core calls a hypapp by deliveries only, each with its guard, so then no call of hypapi is on its way on this side of
 * the guard, and there is nothing of the core's to be undone but what the delivery itself holds: its stops, and a
 * partition that it has claimed to enter. Other CPUs that are in handlers of this hypapp finish them; their calls of
 * hypapi are refused.
 *
 * Nothing fails open: restrictions stay and are answered DENY, and so is what the handler was asked about. A hypapp
 * that has given rights to memory in this very delivery is not dropped, since it may have been about to take them back.
 * Callers: dispatch.c, report/fault.c, vmx/work.c, apic/smp.c.
 */
#ifndef XMHF_DROP_H
#define XMHF_DROP_H

#include "events/dispatch.h"

/* On the stack of the CPU that runs the handler. */
struct guard {
	u64 rsp;              /* where guard_return finds what the core wants back */
	struct dispatch *d;
	struct guard *outer;  /* of an event around this one */
	u64 cr2;              /* the guest's: a #PF here writes over it */
	bool dropped;
};

/* Which hypapps were dropped: bit i for the one with number i + 1. */
extern _Atomic hypapp_mask drop_dropped;

/* Does the option hypapp-fault=drop hold for this hypapp? At boot. */
bool drop_applies(const struct hypapp_descriptor *app);
bool drop_is_dropped(const struct hypapp_descriptor *app);

/* Runs the handler of a droppable hypapp. */
enum hypapi_verdict drop_guarded(struct dispatch *d);

/* May the hypapp that faults on this CPU be left? NULL: yes; else why not. */
const char *drop_obstacle(const struct percpu *cpu, bool in_own_text);
/* Is this address in the code of the hypapp that has the event at hand? */
bool drop_is_own_text(const struct percpu *cpu, u64 rip);

/* What remains to be done with the CPUs stopped, at the next safe point: its partitions end, and are wiped. */
void drop_work(struct percpu *cpu);

/* guard.S: stores RSP in *rsp and calls handler(ev). A jump to guard_return with that RSP returns from guard_call(). */
enum hypapi_verdict guard_call(hypapi_handler *handler, struct hypapi_event *ev, u64 *rsp);
extern const char guard_return[];

#endif
