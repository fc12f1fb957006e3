/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How L1 starts: a Linux bzImage that came as a module, the boot drive's first sector, or the firmware that xmhf.efi
 * came from, which goes on. VMCS01 of the boot CPU is current.
 */
#ifndef XMHF_GUEST_START_H
#define XMHF_GUEST_START_H

#include "boot/boot_info.h"
#include "cpu/percpu.h"

/* Chooses by the option "boot", or by whether there is a module. Refuses by one line what it cannot start. */
void guest_start(struct percpu *cpu);

/*
 * modules[0]: kernel, modules[1], if it is there: initrd. The load makes both ready in memory and answers the address
 * of the 32-bit entry, which wants GUEST_LINUX_PARAMS in RSI, flat segments of 4 GiB and paging off.
 */
#define GUEST_LINUX_PARAMS 0x10000ul
u64 guest_linux_load(void);
void guest_start_linux(struct percpu *cpu);
void guest_start_chain(struct percpu *cpu);

#endif
