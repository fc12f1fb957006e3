/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rate of lines that a guest can cause. One of them takes milliseconds at the serial line's speed, under a lock
 * that others may wait for, so a loop of them would be a weapon. Any CPU, no lock.
 */
#include "report/log.h"

#include "cpu/clock.h"
#include "cpu/x86.h"
#include "lib/base.h"

/*
 * `due` is when the lines so far would have been written at the steady rate; a burst may run ahead of it. More than a
 * burst it never is: then L1 has set back this CPU's time stamp counter, or another one's was ahead.
 */
bool log_allowed(struct log_limit *limit, unsigned int burst, unsigned int interval_ms)
{
	u64 now = rdtsc(), interval = interval_ms * clock_ticks_per_ms(), start;
	u64 due = __atomic_load_n(&limit->due, __ATOMIC_RELAXED);
	u32 dropped;

	do {
		start = due > now && due - now <= (burst + 1) * interval ? due : now;
		if (start - now >= burst * interval && interval) {
			__atomic_fetch_add(&limit->dropped, 1, __ATOMIC_RELAXED);
			return false;
		}
	} while (!__atomic_compare_exchange_n(&limit->due, &due, start + interval, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	dropped = __atomic_exchange_n(&limit->dropped, 0, __ATOMIC_RELAXED);
	if (unlikely(dropped))
		log_dropped(dropped);
	return true;
}
