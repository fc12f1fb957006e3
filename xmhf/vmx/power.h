/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reset and power-off of the machine by the guest: seen before they take effect, so that hypapps can wipe their secrets. */
#ifndef XMHF_POWER_H
#define XMHF_POWER_H

#include "cpu/percpu.h"

/* Intercepts the ports; at boot, after ACPI is parsed. */
void power_init(void);

/* The guest writes an intercepted port. True: done (the machine goes down), do not write it. */
bool power_port_write(struct percpu *cpu, u16 port, unsigned int size, u32 value);

/* A CPU of L1 shut down by a triple fault: the bare machine resets, and so does this one. */
_Noreturn void power_triple_fault(struct percpu *cpu);

/* Tells the hypapps, prints the statistics and resets. */
_Noreturn void power_reset(struct percpu *cpu);

#endif
