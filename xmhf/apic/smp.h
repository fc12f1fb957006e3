/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other CPUs: started by the core before the guest, parked in root until the guest starts them by SIPI. */
#ifndef XMHF_SMP_H
#define XMHF_SMP_H

#include "cpu/percpu.h"

/* Starts every CPU of the MADT but this one, in turn; each ends in smp_park(). One that stays silent is left out, by name. */
void smp_start_others(void);

/* At boot: about that many microseconds. */
void smp_delay_us(u32 us);

/* A guest's INIT and SIPI for the CPUs that `icr` names; the rest of the ICR's modes is the caller's. `dest`: APIC destination. */
void smp_guest_init(u32 icr, u32 dest);
void smp_guest_sipi(u32 icr, u32 dest);

/* Waits in root for the guest's SIPI, serving stops; leaves with VMCS01 set up to start at the SIPI's vector. */
void smp_park(struct percpu *cpu);

/* All CPUs of the MADT have been started, or left out; from then on parked ones get WORK. */
extern _Atomic bool smp_all_started;

#endif
