/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts per hypapp, event and level; each CPU writes its own, the report adds them up. */
#ifndef XMHF_STATS_H
#define XMHF_STATS_H

#include <hypapi/hypapp.h>

#include "cpu/percpu.h"

void stats_init(const struct hypapp_descriptor *const *apps, u32 count);
void stats_cpu_init(struct percpu *cpu);
void stats_event(struct percpu *cpu, u32 app, u32 type, u32 level, u64 ticks, u64 stops);

/* Lines "stat ..." on the log: the table at the end of `make run` is made from them. */
void stats_log(void);

#endif
