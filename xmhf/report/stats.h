/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts per hypapp, event and level; each CPU writes its own, the report adds them up. */
#ifndef XMHF_STATS_H
#define XMHF_STATS_H

#include "cpu/percpu.h"
#include "events/hypapps.h"

/* Gives this CPU its counts, once. Boot. */
void stats_cpu_init(struct percpu *cpu);

struct hypapp_stats {
	struct event_stats { u64 count, stops, ticks, ticks_stopped; } of[MAX_HYPAPPS][HYPAPI_EV_COUNT][HYPAPI_L2 + 1];
};

/* Over all CPUs. */
struct event_stats stats_sum(u32 app, u32 type, u32 level);

/* Lines "stat ..." on the log: the table at the end of `make run` is made from them. */
void stats_log(void);

#endif
