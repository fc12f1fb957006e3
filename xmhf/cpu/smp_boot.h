/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start of the other CPUs at boot, before the guest: each ends in smp_park() of apic/smp.h. */
#ifndef XMHF_SMP_BOOT_H
#define XMHF_SMP_BOOT_H

#include "cpu/percpu.h"

/* Starts every CPU of the MADT but this one, in turn. One that stays silent is left out, by name. Boot CPU, once. */
void smp_start_others(void);

/* A CPU that has come, on its own stack, gets all that makes it one of the core's. */
void smp_join(struct percpu *cpu);

/* About that many microseconds. */
void smp_delay_us(u32 us);

/*
 * Other CPUs work from now on: those that are parked get WORK, first what handlers of CPU_INIT have posted to their own
 * CPUs, and those that the firmware has started enter their guests (boot/efi.c). Not before, since both may stop the
 * others: an NMI would kill a CPU in the trampoline, which has no IDT, or one in the firmware, and the boot CPU has no
 * safe point before its guest. Boot CPU, right before that.
 */
void smp_let_work_begin(void);
extern _Atomic bool smp_work_began;

#endif
