/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start from xmhf.efi (boot/efi/): the firmware stays, as a part of L1. It starts the other CPUs, since it is the
 * one that knows how, and each goes on as a guest where it was. After VM entry nothing of the core calls the firmware.
 */
#ifndef XMHF_EFI_H
#define XMHF_EFI_H

#include "cpu/percpu.h"

/* Whether the core was started so. Constant after boot. */
bool efi_stays(void);

/* The firmware brings the other CPUs, each to efi_cpu_main(). Boot CPU, once. */
void efi_start_others(void);

/* The guest of this CPU is what the firmware had on it. Its VMCS01 is at hand. */
void efi_guest(struct percpu *cpu);

#endif
