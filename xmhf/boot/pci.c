/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See pci.h. */
#include "boot/pci.h"

#include "cpu/x86.h"

struct spinlock pci_lock;

/* Selects a register; answers what the address port held. */
static u32 select_register(u32 address)
{
	spin_lock(&pci_lock);
	u32 before = inl(PCI_ADDRESS_PORT);

	outl(PCI_ADDRESS_PORT, (u32)PCI_ENABLE | (address & ~3u));
	return before;
}

static void restore(u32 before)
{
	outl(PCI_ADDRESS_PORT, before);
	spin_unlock(&pci_lock);
}

u32 pci_read32(u32 address)
{
	u32 before = select_register(address), value = inl(PCI_DATA_PORT);

	restore(before);
	return value;
}

void pci_write8(u32 address, u8 value)
{
	u32 before = select_register(address);

	outb((u16)(PCI_DATA_PORT + (address & 3)), value);
	restore(before);
}
