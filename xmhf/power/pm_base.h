/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the chipset has its PM1 control register, on PIIX4 and ICH9: the guest can move it by PCI configuration, and
 * events follow. That no sleep gets past the core does not depend on this, but on wake.h.
 */
#ifndef XMHF_PM_BASE_H
#define XMHF_PM_BASE_H

#include "cpu/percpu.h"
#include "events/taken.h"

/* At boot; a chipset that is not known is not watched. */
void pm_base_init(void);

/* From here on guests do not change the byte of PCI configuration at this address (see boot/pci.h). At boot. */
#define PM_BASE_MAX_GUARDED 8
void pm_base_guard(u32 address);

/* The port of PM1a_CNT as the chipset has it now, 0: not known, or switched off. */
u16 pm_base_control(void);

/* A write of the guest: one to the ports of PCI configuration, of a known chipset, is taken and carried out. */
must_check enum taken pm_base_takes(struct percpu *cpu, u16 port, unsigned int size, u32 value);

#endif
