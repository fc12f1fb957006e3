/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ends of the machine: reset, power-off and sleep, asked for by the guest. All ways down have one order: the CPUs
 * meet, hypapps are told and wipe, root wipes what it has copies of, caches are written back, and only then does the
 * machine go, under that stop. docs/security.md, "Sleep, reset and power", lists the ways and what cannot be seen.
 */
#ifndef XMHF_POWER_H
#define XMHF_POWER_H

#include "cpu/percpu.h"

/* Intercepts the ports and guards the wake; at boot, after ACPI is parsed and EPT01 is there. */
void power_init(void);

/* The guest writes an intercepted port: carried out, unless that ends the machine or a hypapp denies it. */
void power_port_write(struct percpu *cpu, u16 port, unsigned int size, u32 value);

/* A write of the guest that asks for sleep or power-off. It is done once all have wiped, unless a hypapp denies it. */
struct power_sleep {
	u32 type;           /* SLP_TYP */
	unsigned int block; /* PM1 control block 0 or 1, as \_S5 has a value for each */
	u16 port;
	u8 size;
	u32 value;
};
void power_sleep(struct percpu *cpu, const struct power_sleep *sleep);

/* A CPU of L1 shut down by a triple fault: the bare machine resets, and so does this one. */
_Noreturn void power_triple_fault(struct percpu *cpu);

/* Tells the hypapps, prints the statistics, wipes and resets. */
_Noreturn void power_reset(struct percpu *cpu);

/*
 * A hypapp has brought this CPU down in the middle of anything: the core wipes what partitions can write, then the
 * same. No CPU and no lock is waited for longer than `stop-bound`. On an empty main stack.
 */
_Noreturn void power_fault(struct percpu *cpu);

#endif
