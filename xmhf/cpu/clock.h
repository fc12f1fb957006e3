/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast the time stamp counter runs, so that bounds in milliseconds can be compared with it. Measured once at boot
 * against the PC's interval timer. Callers: all who turn an option or a bound in real time into ticks.
 */
#ifndef XMHF_CLOCK_H
#define XMHF_CLOCK_H

#include "lib/base.h"

/*
 * Measures; takes up to 20 ms. Once, on the boot CPU, before any guest runs. Uses channel 2 of the timer, and leaves it
 * idle.
 */
void clock_calibrate(void);

/* Ticks of the time stamp counter in a millisecond: from 500 to 10,000,000, after clock_calibrate(). */
u64 clock_ticks_per_ms(void);

#endif
