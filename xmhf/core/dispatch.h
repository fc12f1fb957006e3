/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One event on its way to hypapps: what they see of it, who is asked, stops, counts. In line, because every instruction
 * here is paid at each event: dispatch_begin(), then dispatch_ask() for each link, then dispatch_end().
 * Callers: events.c, and hypapi's calls for the event at hand.
 */
#ifndef XMHF_DISPATCH_H
#define XMHF_DISPATCH_H

#include "core/hypapps.h"
#include "core/stats.h"
#include "cpu/percpu.h"
#include "cpu/x86.h"
#include "mem/guest.h"
#include "mem/partition.h"

/* One begin of a stop, as dispatch_progress counts them: above every verdict, so that both are one test. */
#define ONE_STOP 8u

/* How far the handling of an event has come; all zero at first. */
struct dispatch_progress {
	u32 stops;       /* begins to undo when the hypapp has answered, times ONE_STOP */
	union {
		struct {
			bool moved;   /* by hypapi_inject(), hypapi_partition_leave(): the instruction is not stepped over */
			bool entered; /* `enter` is to be entered when the verdict is HANDLED; or no partition can be */
		};
		u16 special; /* either of them */
	};
	bool walking;    /* `walk` is good: until something may have made it stale */
};

/* On the stack of the CPU that raised the event. */
struct dispatch {
	struct hypapi_event ev;    /* what the hypapp sees */
	struct percpu *cpu;
	struct dispatch *outer;    /* the event that this one came in the middle of */
	const struct link *link;   /* who is asked now */
	u64 stop_start;            /* tick at which the stop was asked for */
	struct dispatch_progress progress;
	struct guest_walk walk;    /* of the caller's memory */
	struct partition *enter;   /* if progress.entered; NULL in events that enter none */
	struct hypapi_partition_entry entry;
};

/* cpu->callbacks counts in these steps: the bits below hold a level, in a handle. */
#define DISPATCH_CALLBACK 4ul

/* Stops the other CPUs until the end of the event. True: another stop came first, what was read may be stale. */
bool dispatch_stop(struct dispatch *d);
void dispatch_end_stop(struct dispatch *d);
/* One more stop on behalf of the hypapp, from tick `start` until now. */
void dispatch_count_stop(struct dispatch *d, u64 start);

/* The counts of a link on this CPU. */
static inline struct event_stats *dispatch_stats(const struct percpu *cpu, const struct link *link)
{
	return (struct event_stats *)((u8 *)cpu->hypapp_stats + link->counts);
}

/* Asks a link that begins with a stop or is traced. */
enum hypapi_verdict dispatch_ask_slow(struct dispatch *d, const struct link *link, u64 start);

/* What is not simply an answer: stops to end, the handler once more under a stop, a reset. */
enum hypapi_verdict dispatch_settle(struct dispatch *d, enum hypapi_verdict verdict);

/* The CPU's index, and the flags behind it, all false at first: one store. */
static always_inline void store_cpu(struct hypapi_event *ev, u64 index)
{
	_Static_assert(offsetof(struct hypapi_event, cpl) == offsetof(struct hypapi_event, cpu) + 7, "eight bytes");
	*(u64 *)&ev->cpu = index;
}

/* Fills in what every event carries. The arguments, and the rest of `d`, are the caller's. */
static always_inline void dispatch_begin(struct dispatch *d, struct percpu *cpu, enum hypapi_event_type type,
					 enum hypapi_level level, enum run_mode mode)
{
	struct hypapi_event *ev = &d->ev;
	u64 callback = cpu->callbacks += DISPATCH_CALLBACK;

	d->cpu = cpu;
	d->outer = cpu->dispatch;
	cpu->dispatch = d;
	d->progress = (struct dispatch_progress){ 0 };
	ev->size = sizeof(*ev);
	ev->major = HYPAPI_MAJOR;
	ev->minor = HYPAPI_MINOR;
	ev->type = type;
	ev->level = level;
	store_cpu(ev, cpu->index);
	ev->epoch = 0;
	/* While a CPU starts, no other runs a guest, and it takes no part in stops yet. */
	if (unlikely(quiesce_owned(&cpu->quiesce)) || (level == HYPAPI_L0 && !cpu->quiesce.online)) {
		ev->stopped = true;
		ev->epoch = quiesce_epoch(&cpu->quiesce);
	}
	ev->cpl = level == HYPAPI_L0 ? 0 : (u8)guest_cpl();
	ev->long_mode = level == HYPAPI_L0 || guest_long_mode();
	ev->eptp01.id = callback | HYPAPI_L1;
	ev->eptp02.id = level == HYPAPI_L2 ? callback | HYPAPI_L2 : HYPAPI_NONE;
	ev->partition.id = mode == RUN_PARTITION ? partition_handle(cpu) : HYPAPI_NONE;
	ev->phase = HYPAPI_COMMIT;
	ev->decided_by = 0;
}

/*
 * Asks one hypapp, and counts. Stops that it began have ended when this returns. start: the tick at which it is asked, and
 * then at which it has answered. ev.quiesce is false.
 */
static always_inline enum hypapi_verdict dispatch_ask(struct dispatch *d, struct percpu *cpu, const struct link *link,
						      u64 *start)
{
	struct event_stats *stats;
	enum hypapi_verdict verdict;
	u64 asked = *start;

	d->link = link;
	if (unlikely(link->slow)) {
		verdict = dispatch_ask_slow(d, link, asked);
		*start = rdtsc();
		return verdict;
	}
	verdict = link->handler(&d->ev);
	if (unlikely((verdict | d->progress.stops) > HYPAPI_DENY))
		verdict = dispatch_settle(d, verdict);
	*start = rdtsc();
	stats = dispatch_stats(cpu, link);
	stats->count++;
	asked = *start - asked;
	asm("" : "+r"(asked)); /* else GCC makes four instructions of the next two */
	stats->ticks += asked;
	return verdict;
}
_Static_assert(ONE_STOP > HYPAPI_KILL, "one test for both");

/* In this event no partition can be entered. */
static always_inline void dispatch_no_entry(struct dispatch *d)
{
	d->progress.entered = true;
	d->enter = NULL;
}

static always_inline void dispatch_end(struct dispatch *d, struct percpu *cpu)
{
	cpu->dispatch = d->outer;
}

/* Asks one hypapp, and ends the event. */
static always_inline enum hypapi_verdict dispatch_to(struct dispatch *d, struct percpu *cpu, const struct link *link)
{
	u64 start = rdtsc();
	enum hypapi_verdict verdict = dispatch_ask(d, cpu, link, &start);

	dispatch_end(d, cpu);
	return verdict;
}

/* Asks all of a chain, whatever they answer, and ends the event. */
static always_inline void dispatch_tell(struct dispatch *d, struct percpu *cpu, const struct chain *chain)
{
	u64 start = rdtsc();

	for_each_link(link, chain) {
		d->ev.quiesce = false;
		(void)dispatch_ask(d, cpu, link, &start);
	}
	dispatch_end(d, cpu);
}

#endif
