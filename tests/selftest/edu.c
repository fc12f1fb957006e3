/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See edu.h. */
#include "edu.h"

#include "boot/pci.h"
#include "cpu/clock.h"
#include "cpu/mmio.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "mem/root_map.h"
#include "selftest.h"

#define EDU_ID 0x11e81234u
#define EDU_BUFFER 0x40000u
#define PCI_COMMAND 4
#define PCI_BAR0 0x10
#define PCI_MEMORY_AND_MASTER 6u
enum { EDU_SOURCE = 0x80, EDU_TARGET = 0x88, EDU_COUNT = 0x90, EDU_COMMAND = 0x98 };
enum { EDU_RUN = 1, EDU_TO_RAM = 2 };
#define DMA_MS 20000

/* Where edu shows what it has read, and gets what it shall write. */
#define MAILBOX 0x2800000ul
#define SECRET 0x5ec2e7000ul
#define FORGED 0xf026ed000ul

static volatile u8 *edu;

bool edu_find(void)
{
	for (u32 device = 0; device < 32; device++) {
		u32 bar = PCI_ADDRESS(0, device, 0, PCI_BAR0), command = PCI_ADDRESS(0, device, 0, PCI_COMMAND);

		if (pci_read32(PCI_ADDRESS(0, device, 0, 0)) != EDU_ID)
			continue;
		pci_write8(command, (u8)pci_read32(command) | PCI_MEMORY_AND_MASTER);
		edu = root_map_uncached(HPA(pci_read32(bar) & ~0xfu));
		return true;
	}
	return false;
}

static void begin(u64 from, u64 to, u32 command)
{
	mmio_write64(edu + EDU_SOURCE, from);
	mmio_write64(edu + EDU_TARGET, to);
	mmio_write32(edu + EDU_COUNT, EDU_WORDS * sizeof(u64));
	mmio_write32(edu + EDU_COMMAND, EDU_RUN | command);
}

void edu_end(void)
{
	u64 start = rdtsc();

	while (mmio_read32(edu + EDU_COMMAND) & EDU_RUN) {
		if (rdtsc() - start > DMA_MS * clock_ticks_per_ms())
			panic("edu does not end its transfer");
		/* No PAUSE, nor another look at the device: QEMU that counts instructions (-icount) is slow at both. */
		for (u32 i = 0; i < 20000; i++)
			asm volatile("");
	}
}

void edu_takes(u64 page)
{
	begin(page, EDU_BUFFER, 0);
	edu_end();
}

void edu_begins_to_put(u64 page)
{
	begin(EDU_BUFFER, page, EDU_TO_RAM);
}

void edu_puts(u64 page)
{
	edu_begins_to_put(page);
	edu_end();
}

u64 *edu_words(u64 page) { return phys_to_virt(HPA(page)); }

void edu_fill(u64 page, u64 value)
{
	for (u32 i = 0; i < EDU_WORDS; i++)
		edu_words(page)[i] = value + i;
}

bool edu_holds(u64 page, u64 value)
{
	for (u32 i = 0; i < EDU_WORDS; i++)
		if (edu_words(page)[i] != value + i)
			return false;
	return true;
}

void edu_load(u64 value)
{
	edu_fill(MAILBOX, value);
	edu_takes(MAILBOX);
}

bool edu_reads(u64 page)
{
	u64 saved[EDU_WORDS];

	memcpy(saved, edu_words(page), sizeof(saved));
	edu_fill(page, SECRET);
	edu_fill(MAILBOX, 0);
	edu_takes(page);
	edu_puts(MAILBOX);
	memcpy(edu_words(page), saved, sizeof(saved));
	return edu_holds(MAILBOX, SECRET);
}

bool edu_writes(u64 page)
{
	u64 saved[EDU_WORDS];
	bool changed;

	memcpy(saved, edu_words(page), sizeof(saved));
	edu_load(FORGED);
	edu_puts(page);
	changed = memcmp(saved, edu_words(page), sizeof(saved));
	check_that(!changed || edu_holds(page, FORGED), "0x%lx is as before or as the device has it", page);
	memcpy(edu_words(page), saved, sizeof(saved));
	return changed;
}
