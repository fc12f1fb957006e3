/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration by the address and data ports. The pair has one lock, which accesses of the guest take as well
 * where they are intercepted (power/pm_base.c); the guest finds its address as it left it.
 */
#ifndef XMHF_PCI_H
#define XMHF_PCI_H

#include "cpu/spinlock.h"

#define PCI_ADDRESS_PORT 0xcf8
#define PCI_DATA_PORT 0xcfc
#define PCI_ENABLE BIT(31)

/* An address as the port has it, without the enable bit. */
#define PCI_ADDRESS(bus, device, function, offset) \
	((u32)(bus) << 16 | (u32)(device) << 11 | (u32)(function) << 8 | (u32)(offset))

extern struct spinlock pci_lock;

u32 pci_read32(u32 address);
void pci_write8(u32 address, u8 value);

#endif
