/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the machine is made to reset, and how CPUs end; the simulator has other ways. Caller: power.c, and those who
 * wait in root.
 */
#ifndef XMHF_RESET_H
#define XMHF_RESET_H

#include "cpu/percpu.h"

/* Set for good once the machine goes down: a CPU that waits in root then ends in reset_end_cpu(). */
extern _Atomic bool reset_is_near;

/* Wipes this CPU's registers of guests and its stack, writes back its caches, and halts. */
_Noreturn void reset_end_cpu(struct percpu *cpu);

/*
 * Under a stop that lasts for ever: ends the other CPUs, wipes what root memory has of guests' registers and what
 * lies on the stacks, writes caches back, and resets by the first way that works.
 */
_Noreturn void reset_machine(struct percpu *cpu);

/* Waits; a bound for hardware that was told to do something. */
void reset_wait_ms(u32 ms);

#endif
