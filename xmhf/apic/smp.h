/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's INIT and SIPI: a CPU that has had the one is parked in root until the other comes. */
#ifndef XMHF_SMP_H
#define XMHF_SMP_H

#include "cpu/percpu.h"

/*
 * A guest's INIT and SIPI for the CPUs that `icr` names; the rest of the ICR's modes is the caller's. `dest`: APIC
 * destination.
 */
void smp_guest_init(u32 icr, u32 dest);
void smp_guest_sipi(u32 icr, u32 dest);

/* Waits in root for the guest's SIPI, serving stops; leaves with VMCS01 set up to start at the SIPI's vector. */
void smp_park(struct percpu *cpu);

#endif
