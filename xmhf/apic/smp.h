/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's INIT and SIPI: a CPU that has had the one is parked in root until the other comes. */
#ifndef XMHF_SMP_H
#define XMHF_SMP_H

#include "cpu/percpu.h"

/* A guest's INIT or SIPI, as struct apic_cpu has a `request`, for the CPUs that `icr` and its destination name. */
void smp_post(u32 icr, u32 dest, u32 request);

/* Waits in root for the guest's SIPI, serving stops; leaves with VMCS01 set up to start at the SIPI's vector. */
void smp_park(struct percpu *cpu);

#endif
