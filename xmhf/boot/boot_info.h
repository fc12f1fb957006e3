/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware and boot loader told: copied once, so that nothing is read from their memory later. Nothing behind
 * boot/ looks for it by itself. Each way in fills the same structure: multiboot.c, and efi.c under xmhf.efi.
 */
#ifndef XMHF_BOOT_INFO_H
#define XMHF_BOOT_INFO_H

#include "lib/base.h"

#define MAX_MEMORY_RANGES 400
#define MAX_MODULES 4
#define CMDLINE_BYTES 1024
#define EFI_MAP_BYTES (4 * PAGE_SIZE)
#define BASE_MEMORY_END 0xa0000ul
#define BDA_BASE_KIB 0x413ul /* BIOS data area: KiB of base memory */

enum memory_type { MEMORY_RAM = 1, MEMORY_RESERVED = 2, MEMORY_ACPI = 3, MEMORY_NVS = 4, MEMORY_BAD = 5 };

/* An E820 entry, as the guest gets it. */
struct memory_range {
	u64 start, size;
	u32 type;
} __attribute__((packed));

struct boot_module {
	u64 start, end; /* physical, end exclusive */
	char cmdline[CMDLINE_BYTES];
};

/* ACPI's root pointer (ACPI specification, "Root System Description Pointer"). */
#define RSDP_NEW 2 /* the lowest revision with the fields from `length` on */
struct boot_rsdp {
	char signature[8]; /* "RSD PTR ", or empty: there is none */
	u8 checksum, oem[6], revision;
	u32 rsdt, length;
	u64 xsdt;
	u8 extended_checksum, reserved[3];
} __attribute__((packed));

/* A linear framebuffer of red, green and blue; width 0: there is none. */
struct boot_framebuffer {
	u64 addr;
	u32 pitch_bytes, width, height;
	u8 bits_per_pixel;
	struct { u8 lowest_bit, bits; } red, green, blue;
};

enum firmware_kind { FIRMWARE_BIOS, FIRMWARE_EFI };

/* With what an operating system finds the runtime services of 64-bit firmware; table 0: not told. */
struct boot_efi {
	u64 table;          /* physical, EFI_SYSTEM_TABLE */
	u32 map_bytes, entry_bytes, entry_version;
	u8 map[EFI_MAP_BYTES]; /* GetMemoryMap() */
};

struct boot_info {
	enum firmware_kind firmware;
	_Atomic u32 boot_services; /* 1: L1 is the firmware, whose boot services have not ended yet */
	struct memory_range memory[MAX_MEMORY_RANGES]; /* sorted; no two meet, and two that touch are of two types */
	u32 memory_count;
	u64 base_memory_end;   /* below 1 MiB, what is above it is the firmware's, whatever the map says */
	struct boot_rsdp rsdp; /* a copy; its checksums are right, or xmhf.efi has told it */
	u64 rsdp_addr;         /* where the BIOS finds it in its ROM; 0: not there, or it is not known where */
	struct boot_framebuffer framebuffer;
	struct boot_efi efi;
	struct boot_module modules[MAX_MODULES];
	u32 module_count;
	char cmdline[CMDLINE_BYTES];
};

extern struct boot_info boot_info;

/* Fills boot_info from the loader's information; refuses with one line what it cannot use. */
void multiboot_parse(u32 magic, u32 info);

/* What the loader did not tell, from the firmware's own places in memory. After the loader's information. */
void firmware_complete(void);

/* A copy of the RSDP at `found` into boot_info, the old part alone if that is all. False if it is none. */
bool firmware_take_rsdp(const void *found, size_t bytes);

/*
 * Adds what the firmware tells, in any order. Of two types for one address RAM is the last choice, ACPI tables, which
 * an operating system may reuse, the last but one; of the others the larger number wins. RAM that leaves the address
 * space is left out.
 */
void memory_map_add(u64 start, u64 size, u32 type);

/* Makes [start, end) of type `type`, whatever was there. */
void memory_map_set(u64 start, u64 end, u32 type);

/*
 * The highest RAM range of `size` bytes, aligned, in [low, high), that meets no module, and, if it can be, no memory
 * of EFI's boot services; 0 if there is none.
 */
u64 memory_map_find(u64 size, u64 align, u64 low, u64 high);

/* Whether an operating system may use it as RAM, perhaps once it has read the ACPI tables in it. */
bool memory_map_is_usable(const struct memory_range *range);

/* Whether [start, end) is memory that an operating system may use as RAM: 1 all of it, 0 nothing, -1 a part. */
int memory_map_is_ram(u64 start, u64 end);

/* First address above all RAM. */
u64 memory_map_top(void);

#endif
