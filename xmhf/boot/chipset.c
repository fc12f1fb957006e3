/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See chipset.h. A lock is believed when a write that it forbids has had no effect. Register numbers are those of
 * Intel's datasheets: 440FX (290549), 3 Series (316966), and vol. 2 of those of the Core processors.
 */
#include "boot/chipset.h"

#include "boot/pci.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "power/pm_base.h"
#include "report/log.h"

#define VENDOR_INTEL 0x8086u

#define SMRAM_ENABLE BIT(3)
#define SMRAM_LOCK BIT(4)
#define SMRAM_CLOSED BIT(5)
#define SMRAM_OPEN BIT(6)
#define REGISTER_LOCK BIT(0)
#define PAM_BYTES 7u

/* Addresses that a bridge holds, by the place and form in which it holds them. at 0: it has no such register. */
struct address { u8 at, bytes, shift; u64 mask; };

struct bridge {
	const char *name;
	u8 smram, smram_fixed; /* register, and which of its bits the lock covers */
	struct address tolud, tseg, remap_base, remap_limit;
	u8 locks[6];           /* registers whose bit 0 locks them, 0 ends */
	u8 pam;                /* first of the registers of who may write 0xC0000 to 0xFFFFF */
	bool ports_only;       /* the ports are the one way to its registers, which can be guarded there as well */
};

/* Its lock leaves the enable bit, and QEMU's has no lock. */
static const struct bridge i440fx = {
	.name = "440FX", .smram = 0x72, .smram_fixed = SMRAM_OPEN, .pam = 0x59, .ports_only = true,
};

/* The lock of SMRAM covers none of the others. */
static const struct bridge q35 = {
	.name = "Q35", .smram = 0x9d, .smram_fixed = SMRAM_OPEN | SMRAM_ENABLE,
	.tolud = { 0xb0, 2, 16, 0xfff0 }, .tseg = { 0xac, 4, 0, 0xfff00000 },
	.remap_base = { 0x98, 2, 26, 0x3ff }, .remap_limit = { 0x9a, 2, 26, 0x3ff },
};

static const struct bridge client = {
	.name = "of a client processor", .smram = 0x88, .smram_fixed = SMRAM_OPEN | SMRAM_ENABLE,
	.tolud = { 0xbc, 4, 0, 0xfff00000 }, .tseg = { 0xb8, 4, 0, 0xfff00000 },
	.remap_base = { 0x90, 8, 0, BITS(38, 20) }, .remap_limit = { 0x98, 8, 0, BITS(38, 20) },
	.locks = { 0x90, 0x98, 0xa0, 0xa8, 0xb8, 0xbc },
};

/* By device number: 2nd to 10th generation Core, and Xeon E3 and E of those. */
static const struct { u16 device; const struct bridge *bridge; } known[] = {
	{ 0x1237, &i440fx }, { 0x29c0, &q35 },
	{ 0x0100, &client }, { 0x0104, &client }, { 0x0108, &client },
	{ 0x0150, &client }, { 0x0154, &client }, { 0x0158, &client },
	{ 0x0a04, &client }, { 0x0c00, &client }, { 0x0c04, &client }, { 0x0c08, &client }, { 0x0d04, &client },
	{ 0x1604, &client }, { 0x1610, &client }, { 0x1614, &client }, { 0x1618, &client },
	{ 0x1900, &client }, { 0x1904, &client }, { 0x190c, &client }, { 0x190f, &client }, { 0x1910, &client },
	{ 0x1918, &client }, { 0x191f, &client },
	{ 0x5900, &client }, { 0x5904, &client }, { 0x590c, &client }, { 0x590f, &client }, { 0x5910, &client },
	{ 0x5914, &client }, { 0x5918, &client }, { 0x591f, &client },
	{ 0x3e10, &client }, { 0x3e18, &client }, { 0x3e1f, &client }, { 0x3e20, &client }, { 0x3e30, &client },
	{ 0x3e31, &client }, { 0x3e34, &client }, { 0x3ec2, &client }, { 0x3ec4, &client }, { 0x3ec6, &client },
	{ 0x3eca, &client }, { 0x3ecc, &client }, { 0x3ed0, &client },
	{ 0x9b33, &client }, { 0x9b43, &client }, { 0x9b44, &client }, { 0x9b53, &client }, { 0x9b54, &client },
	{ 0x9b61, &client }, { 0x9b63, &client }, { 0x9b64, &client }, { 0x9b71, &client },
};

static u8 config_read8(u8 at)
{
	return (u8)(pci_read32(at) >> 8 * (at & 3));
}

static u64 config_read(u8 at, unsigned int bytes)
{
	u64 value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (u64)config_read8((u8)(at + i)) << 8 * i;
	return value;
}

static u64 read_address(const struct address *a)
{
	return a->at ? (config_read(a->at, a->bytes) & a->mask) << a->shift : 0;
}

static const struct bridge *find_bridge(u32 id)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (id == (VENDOR_INTEL | (u32)known[i].device << 16))
			return known[i].bridge;
	return NULL;
}

/* Closes SMRAM, locks it, and tries to open it. */
static bool lock_smram(const struct bridge *b)
{
	u8 value = config_read8(b->smram), tried;

	if (!(value & SMRAM_LOCK)) {
		value &= (u8)~SMRAM_OPEN;
		pci_write8(b->smram, value);
		pci_write8(b->smram, value | SMRAM_LOCK);
	}
	value = config_read8(b->smram);
	pci_write8(b->smram, (u8)((value & ~SMRAM_CLOSED) ^ b->smram_fixed));
	tried = config_read8(b->smram);
	pci_write8(b->smram, value);
	return value & SMRAM_LOCK && !(value & SMRAM_OPEN) && !((value ^ tried) & b->smram_fixed);
}

/* The registers that have a lock of their own. False: L1 may change one that decides about memory. */
static bool lock_registers(const struct bridge *b)
{
	bool locked = b->locks[0];

	for (size_t i = 0; i < ARRAY_SIZE(b->locks) && b->locks[i]; i++) {
		u8 low = config_read8(b->locks[i]);

		if (!(low & REGISTER_LOCK))
			pci_write8(b->locks[i], low | REGISTER_LOCK);
		locked &= config_read8(b->locks[i]) & REGISTER_LOCK;
	}
	return locked;
}

/* Registers that hold 0 have not been set up (an emulator), and say nothing. */
static void check_root_memory(const struct bridge *b)
{
	u64 tolud = read_address(&b->tolud), tseg = read_address(&b->tseg), first = read_address(&b->remap_base);
	/* Inclusive: the bits below the register's unit are ones. */
	u64 last = read_address(&b->remap_limit) | (b->remap_limit.shift ? BITS(25, 0) : BITS(19, 0));

	if (tolud && root_end > tolud)
		boot_refuse("host bridge: root memory ends at 0x%lx, but low RAM at 0x%lx", root_end, tolud);
	if (tseg && tseg < tolud && root_end > tseg)
		boot_refuse("host bridge: root memory ends at 0x%lx, but TSEG begins at 0x%lx", root_end, tseg);
	if (first && first <= last && first < root_end && last >= root_start)
		boot_refuse("host bridge: root memory at 0x%lx meets remapping of 0x%lx to 0x%lx", root_start, first,
			    last);
	/* Up to the end of RAM, with the display's memory that some bridges have there: a CPU has no use for that. */
	if (tseg && tseg < tolud)
		mtrr_keep_uncached(tseg, tolud);
}

bool chipset_lock(void)
{
	u32 id = (u32)config_read(0, 4);
	const struct bridge *b = find_bridge(id);
	bool smram, map;

	if (!b) {
		log_warn("host bridge %x:%x is not known: SMRAM and its memory map may be open", id & 0xffff, id >> 16);
		return false;
	}
	check_root_memory(b);
	smram = lock_smram(b) | b->ports_only;
	if (b->ports_only) {
		pm_base_guard(PCI_ADDRESS(0, 0, 0, b->smram));
		/* The BIOS's copy in RAM, by which it wakes the machine, stays as read-only as the BIOS has made it. */
		for (u32 at = b->pam; at < b->pam + PAM_BYTES; at++)
			pm_base_guard(PCI_ADDRESS(0, 0, 0, at));
	}
	map = lock_registers(b);
	log_at(smram ? LOG_INFO : LOG_WARN, "host bridge %s: SMRAM is %slocked, its memory map is %s", b->name,
	       smram ? "" : "NOT ", map ? "locked" : b->tolud.at ? "not" : "fixed");
	return smram;
}
