/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See stats.h. */
#include "report/stats.h"

#include "events/event_info.h"
#include "mem/pages.h"
#include "report/log.h"
#include "vmx/msr.h"

void stats_cpu_init(struct percpu *cpu)
{
	cpu->hypapp_stats = pages_boot_alloc(ALIGN_UP(sizeof(struct hypapp_stats), PAGE_SIZE) / PAGE_SIZE);
}

struct event_stats stats_sum(u32 app, u32 type, u32 level)
{
	struct event_stats sum = { 0 };

	for (u32 i = 0; i < cpu_count; i++) {
		const struct event_stats *one = &cpus[i]->hypapp_stats->of[app][type][level];

		sum.count += one->count;
		sum.stops += one->stops;
		sum.ticks += one->ticks;
		sum.ticks_stopped += one->ticks_stopped;
	}
	return sum;
}

static void log_row(u32 app, u32 type, u32 level)
{
	struct event_stats sum = stats_sum(app, type, level);

	if (sum.count)
		log_now("stat event %s L%u %s count %lu stops %lu ticks %lu ticks-stopped %lu", event_info[type].name,
			level, hypapps_get(app)->name, sum.count, sum.stops, sum.ticks, sum.ticks_stopped);
}

void stats_log(void)
{
	for (u32 app = 0; app < hypapps_count(); app++)
		for (u32 type = 0; type < HYPAPI_EV_COUNT; type++)
			for (u32 level = 0; level <= HYPAPI_L2; level++)
				log_row(app, type, level);
	for (u32 i = 0; i < cpu_count; i++) {
		const struct quiesce_counters *q = &cpus[i]->quiesce.count;
		const u64 *exits = cpus[i]->exits;

		log_now("stat cpu %u exits-l1 %lu exits-l2 %lu exits-pal %lu stops %lu served %lu nmis-sent %lu "
			"ticks-waiting %lu ticks-stopped %lu", i, exits[RUN_L1], exits[RUN_L2], exits[RUN_PARTITION],
			q->owned, q->served, q->nmis_sent, q->ticks_waited, q->ticks_stopped);
	}
	msr_log_watched();
}
