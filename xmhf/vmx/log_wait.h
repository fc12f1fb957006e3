/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * While lines of the log wait for the UART, each VM entry of this CPU gives it what it takes, and the preemption timer
 * makes exits for that. Meanwhile the guest's accesses to ports exit: a write to the UART's data register comes after
 * what waits, in the order in which it would be if lines went out at once. Without lines that wait there is nothing
 * of all this in a VMCS, but in one that was not at hand when the last line went: that costs one exit more.
 */
#ifndef XMHF_LOG_WAIT_H
#define XMHF_LOG_WAIT_H

#include "cpu/percpu.h"

/* Once, when the clock is known. */
void log_wait_init(void);

/* By entry.S, if GUARD_LOG is set: last of all that touches the VMCS. */
void log_wait_at_entry(struct percpu *cpu);

/* Exit by the timer, of L1 or L2. */
void log_wait_timer(struct percpu *cpu);

/* The guest is about to write to the UART's data register. */
void log_wait_for_guest(struct percpu *cpu);

#endif
