/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the firmware and the boot loader told: copied once, so that nothing is read from loader memory later. */
#ifndef XMHF_BOOT_INFO_H
#define XMHF_BOOT_INFO_H

#include "lib/base.h"

#define MAX_MEMORY_RANGES 64
#define MAX_MODULES 4
#define CMDLINE_BYTES 1024

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

struct boot_info {
	struct memory_range memory[MAX_MEMORY_RANGES];
	u32 memory_count;
	struct boot_module modules[MAX_MODULES];
	u32 module_count;
	char cmdline[CMDLINE_BYTES];
};

extern struct boot_info boot_info;

/* Fills boot_info from the loader's information; refuses with one line what it cannot use. */
void multiboot_parse(u32 magic, u32 info);

/* Makes [start, end) of type `type` in boot_info.memory, splitting and merging what was there. */
void memory_map_set(u64 start, u64 end, u32 type);

/* The highest RAM range of `size` bytes, aligned, in [low, high), that meets no module; 0 if there is none. */
u64 memory_map_find(u64 size, u64 align, u64 low, u64 high);

/* Whether an operating system may use it as RAM, perhaps once it has read the ACPI tables in it. */
bool memory_map_is_usable(const struct memory_range *range);

/*
 * Whether [start, end) is memory that an operating system may use as RAM: 1 all of it, 0 nothing, -1 a part. What
 * entries disagree about is none: a firmware's map may name a device's range inside a larger one of RAM.
 */
int memory_map_is_ram(u64 start, u64 end);

/* First address above all RAM. */
u64 memory_map_top(void);

#endif
