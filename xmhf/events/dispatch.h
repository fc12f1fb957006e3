/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One event on its way to hypapps: what they see of it, who gets it, stops, counts. In line, because every instruction
 * here is paid at each event: dispatch_begin(), then dispatch_to() or dispatch_tell().
 * Callers: events.c, and hypapi's calls for the event at hand.
 */
#ifndef XMHF_DISPATCH_H
#define XMHF_DISPATCH_H

#include "cpu/percpu.h"
#include "cpu/x86.h"
#include "events/hypapps.h"
#include "mem/guest.h"
#include "mem/partition.h"
#include "report/stats.h"

/* How far the handling of an event has come; all zero at first. */
struct dispatch_progress {
	union {          /* `unsettled`: one look tells whether there is more than the answer */
		struct {
			u32 stops;   /* begins to undo when the hypapp has answered */
			bool raised; /* by hypapi_inject(), hypapi_page_in(): the verdict does not matter */
			bool enters; /* the partition `enter`, claimed, when the verdict is HANDLED */
		};
		u64 unsettled;
	};
	bool moved;      /* by hypapi_inject(), hypapi_partition_leave(): the instruction is not stepped over */
	bool opened;     /* rights to memory were given: who faults after that has not decided all that follows */
	bool admitted;   /* a stop of this event need not wait for the budget */
	u32 walked;      /* 0, or what guest_walk_stamp() was when `walk` began */
};

/* On the stack of the CPU that raised the event; aligned so that it needs no register of its own. */
struct dispatch {
	struct hypapi_event ev;    /* what the hypapp sees */
	const struct link *link;   /* who has it now */
	struct dispatch_progress progress;
	struct guest_walk walk;    /* of the caller's memory */
	struct partition *enter;   /* if progress.enters */
	struct hypapi_partition_entry entry;
} __attribute__((aligned(16)));

/* cpu->callbacks counts in these steps: the bits below hold a level, in a handle. */
#define DISPATCH_CALLBACK 16ul
_Static_assert((CALLBACKS_PLACE & -CALLBACKS_PLACE) == DISPATCH_CALLBACK, "the next event has another place");

/*
 * Stops have a budget where somebody who is not trusted has caused the event (quiesce/stop_budget.h). True: one may
 * begin at once, and this event need not ask again. Trusted events always may.
 */
must_check bool dispatch_may_stop(struct dispatch *d);

/*
 * Stops the other CPUs until the end of the event: all, or those whose guest runs on this EPT, as quiesce_begin_ept()
 * names it. True: another stop came first, what was read may be stale. Waits for the budget, for a while, unless
 * dispatch_may_stop() was asked: the last resort, since interrupts wait with it.
 */
#define DISPATCH_STOP_ALL QUIESCE_NOT_HELD
bool dispatch_stop(struct dispatch *d, u64 ept);
void dispatch_end_stop(struct dispatch *d);
/* One more stop of this CPU on behalf of the hypapp has just ended. charge: to the budget, too. */
void dispatch_count_stop(struct dispatch *d, bool charge);
/* Other CPUs were interrupted by this event, without a stop. */
void dispatch_count_kick(const struct dispatch *d);

/* The counts of a link among those of a CPU. */
static inline struct event_stats *dispatch_stats(struct hypapp_stats *stats, const struct link *link)
{
	return (struct event_stats *)((u8 *)stats + link->counts);
}

/* Stands for the handler of a link that begins with a stop or is traced. */
hypapi_handler dispatch_slowly;

/*
 * The guest executes its instruction again after `d`, and nothing has changed, perhaps: says so if that goes on. For a
 * violation `address` is where.
 */
void dispatch_repeats(const struct dispatch *d, u64 address);

/* The core's own verdict: the guest has its fault, whatever the hypapp has answered. */
#define DISPATCH_RAISED ((enum hypapi_verdict)(HYPAPI_KILL + 1))

/* What is not simply an answer: stops to end, the handler once more under a stop, a reset. */
enum hypapi_verdict dispatch_settle(struct dispatch *d, enum hypapi_verdict verdict);

/* Of the partition that runs here. */
static inline struct guest_mode partition_mode(const struct percpu *cpu)
{
	return (struct guest_mode){ .cpl = 3, .long_mode = cpu->partition.long_mode };
}

/*
 * Fills in what every event carries; the arguments and the rest of `d` are left to the caller. For an event that a
 * guest's instruction has caused just now: no other event is at hand, so this CPU has nobody stopped.
 */
static always_inline void dispatch_begin_alone(struct dispatch *d, struct percpu *cpu, enum hypapi_event_type type,
					       enum hypapi_level level, enum run_mode mode)
{
	struct hypapi_event *ev = &d->ev;
	u64 callback = cpu->callbacks += DISPATCH_CALLBACK;
	struct guest_mode guest = { .cpl = 0, .long_mode = true };

	if (level != HYPAPI_L0)
		guest = mode == RUN_PARTITION ? partition_mode(cpu) : guest_mode();

	d->progress = (struct dispatch_progress){ 0 };
	ev->size = sizeof(*ev);
	ev->major = HYPAPI_MAJOR;
	ev->minor = HYPAPI_MINOR;
	ev->type = type;
	ev->level = level;
	ev->cpu = cpu->index;
	ev->quiesce = false;
	ev->stopped = false;
	ev->epoch = 0;
	ev->cpl = guest.cpl;
	ev->long_mode = guest.long_mode;
	ev->eptp01.id = callback | HYPAPI_L1;
	ev->eptp02.id = level == HYPAPI_L2 ? callback | HYPAPI_L2 : HYPAPI_NONE;
	ev->partition.id = mode == RUN_PARTITION ? partition_handle(cpu) : HYPAPI_NONE;
	ev->phase = HYPAPI_COMMIT;
	ev->decided_by = 0;
}

/* The same for any event, perhaps in the middle of another one. */
static always_inline void dispatch_begin(struct dispatch *d, struct percpu *cpu, enum hypapi_event_type type,
					 enum hypapi_level level)
{
	dispatch_begin_alone(d, cpu, type, level, cpu->world->mode);
	/* While a CPU starts, no other runs a guest, and it takes no part in stops yet. */
	if (unlikely(quiesce_owned(&cpu->quiesce)) || (level == HYPAPI_L0 && !cpu->quiesce.online)) {
		d->ev.stopped = true;
		d->ev.epoch = quiesce_epoch(&cpu->quiesce);
	}
}

/* To one hypapp. Stops that it began have ended when this returns. */
static always_inline enum hypapi_verdict dispatch_link(struct dispatch *d, const struct link *link)
{
	d->link = link;
	enum hypapi_verdict verdict = link_now(link, deliver)(&d->ev);

	if (unlikely(verdict > HYPAPI_DENY || d->progress.unsettled))
		verdict = dispatch_settle(d, verdict);
	return verdict;
}

static always_inline void dispatch_count(struct hypapp_stats *stats, const struct link *link, u32 ticks)
{
	struct event_stats *counts = dispatch_stats(stats, link);

	counts->count++;
	counts->ticks += ticks;
}

/* To one hypapp what a guest has done just now: no other event is at hand. */
static always_inline enum hypapi_verdict dispatch_to(struct dispatch *d, struct percpu *cpu, const struct link *link)
{
	u32 start = rdtsc_low();

	cpu->dispatch = d;
	enum hypapi_verdict verdict = dispatch_link(d, link);

	dispatch_count(cpu->hypapp_stats, link, rdtsc_low() - start);
	cpu->dispatch = NULL;
	return verdict;
}

/* To all of a chain, whatever they answer; perhaps in the middle of another event. */
static always_inline void dispatch_tell(struct dispatch *d, struct percpu *cpu, const struct chain *chain)
{
	struct hypapp_stats *stats = cpu->hypapp_stats;
	struct dispatch *outer = cpu->dispatch;
	u32 start = rdtsc_low();

	cpu->dispatch = d;
	for_each_link(link, chain) {
		d->ev.quiesce = false;
		(void)dispatch_link(d, link);
		u32 end = rdtsc_low();

		dispatch_count(stats, link, end - start);
		start = end;
	}
	cpu->dispatch = outer;
}

#endif
