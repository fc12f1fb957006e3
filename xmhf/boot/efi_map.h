/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory map of EFI firmware (UEFI specification, "EFI_BOOT_SERVICES.GetMemoryMap()"). */
#ifndef XMHF_EFI_MAP_H
#define XMHF_EFI_MAP_H

#include "boot/boot_info.h"

/* Packed: a loader puts it where it likes. Entries may be longer. */
struct efi_memory { u32 type, reserved; u64 start, virtual, pages, attributes; } __attribute__((packed));
enum {
	EFI_RESERVED = 0, EFI_LOADER_CODE = 1, EFI_LOADER_DATA = 2, EFI_BOOT_CODE = 3, EFI_BOOT_DATA = 4,
	EFI_CONVENTIONAL = 7, EFI_UNUSABLE = 8, EFI_ACPI = 9, EFI_NVS = 10,
};

/*
 * Makes [start, end), which begins and ends with a page, reserved memory in the map: an operating system may look for
 * free memory there alone, as Linux does for its own place. False: there is no room, or the map is none.
 */
bool efi_map_reserve(struct boot_efi *efi, u64 start, u64 end);

#endif
