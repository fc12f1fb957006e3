/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The few facts that the core takes from ACPI tables. Lengths in the tables are not trusted. */
#ifndef XMHF_ACPI_H
#define XMHF_ACPI_H

#include "boot/aml.h"
#include "boot/pci.h"
#include "cpu/percpu.h"

/* Where a register is (ACPI specification, "Generic Address Structure"); addr 0: there is none. */
enum acpi_space { ACPI_MEMORY = 0, ACPI_IO = 1, ACPI_PCI = 2 };
struct acpi_register {
	u8 space;
	u64 addr; /* ACPI_PCI: device, function and offset on bus 0, 16 bits each */
};

/* The serial port that the firmware uses itself, as its table SPCR has it. */
struct acpi_spcr {
	bool found;
	u8 type;              /* 0 and 1: 16550; 0x12: 16550 with the width of its registers */
	struct acpi_register at;
	u8 width, access;     /* of a register: bits; and 1 for bytes, 2 and 3 for 2 and 4 of them, 0: not said */
	bool is_pci;          /* then: identity as configuration space has it, address of its function */
	u32 pci_id, pci_address;
	u8 pci_segment;
};

struct acpi_place { u64 addr, bytes; };

#define ACPI_PM1_BLOCKS 2
#define ACPI_WAY_MAX 4
#define ACPI_CODE_MAX 128
struct acpi_info {
	u32 apic_ids[MAX_CPUS]; /* of enabled CPUs, in MADT order */
	u32 cpu_count;
	const void *fadt;       /* the table, where the firmware has it; NULL: none */
	/* I/O ports of control blocks a and b, of the old fields and then the new; 0: none */
	u16 pm1_cnt[2 * ACPI_PM1_BLOCKS];
	struct aml_package s5;  /* their SLP_TYP for power-off */
	struct acpi_register sleep_control, reset;
	u8 reset_value;
	u64 facs[2];            /* of the old field and the new, perhaps the same; 0: none */
	/*
	 * By which a firmware finds the FACS when it wakes the machine: RSDP (not in the EBDA, which the BIOS
	 * writes), RSDT, XSDT, FADT.
	 */
	struct acpi_place way_to_facs[ACPI_WAY_MAX];
	u32 way_count;
	struct acpi_place code[ACPI_CODE_MAX]; /* tables with byte code: each DSDT, SSDT, PSDT */
	u32 code_count;
	struct acpi_spcr spcr;
	const void *dmar;       /* the table, where the firmware has it; its length is sane. NULL: none */
	u32 dmar_bytes;
};

extern struct acpi_info acpi_info;

/* The PCI address of a register in configuration space. */
static inline u32 acpi_pci_address(const struct acpi_register *r)
{
	return PCI_ADDRESS(0, r->addr >> 32 & 31, r->addr >> 16 & 7, r->addr & 0xff);
}

/* Whether the bytes of a table add up to 0. */
static inline bool acpi_checksum_ok(const void *data, size_t len)
{
	u8 sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += ((const u8 *)data)[i];
	return sum == 0;
}

/* Once, after boot_info is filled. A machine without ACPI has one CPU and no power ports. */
void acpi_parse(void);

/*
 * In the firmware's tables, before anything reads them for the guest: \_S2 and \_S3 have other names, because the core
 * cannot be resumed from these sleeps. Not before it is sure that the guest starts.
 */
void acpi_hide_sleep(void);

#endif
