/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trace: a ring per CPU with the last deliveries of events to hypapps; boot option trace=on. A CPU writes its own
 * ring; any CPU reads all of them at any time. Without the option cpu->trace is NULL, and callers test only that.
 */
#ifndef XMHF_TRACE_H
#define XMHF_TRACE_H

#include <hypapi/control.h>

#include "events/dispatch.h"

#define TRACE_ENTRIES 512u

struct trace {
	u64 serial;                        /* of the newest entry */
	struct hypapi_trace_entry pending; /* stop members only: stops since the newest entry */
	struct hypapi_trace_entry ring[TRACE_ENTRIES];
};

/* Root memory that a CPU's ring takes, 0 without the option. */
size_t trace_bytes(void);

/* Gives this CPU a ring, if the option says so. Boot. */
void trace_cpu_init(struct percpu *cpu);

/* Copies what stands in a place; its serial is 0 if that is empty, or was written meanwhile. Any CPU. */
void trace_get(const struct trace *t, u32 place, struct hypapi_trace_entry *entry);

/* A stop that the delivery at hand asked for at tick `start` is over; its epoch is this CPU's newest. Owner. */
void trace_stop(struct percpu *cpu, u64 start, u64 now);

/* The delivery `d`, from tick `start` on, is over. */
void trace_delivery(const struct percpu *cpu, const struct dispatch *d, u64 start, u64 now,
		    enum hypapi_verdict verdict);

/* Lines "trace ..." on the log, all CPUs, oldest first in each; tools/timeline.py reads them. */
void trace_log(void);

#endif
