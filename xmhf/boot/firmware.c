/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a BIOS leaves in memory: how much base memory there is, and ACPI's root pointer. The only file that looks for
 * something in the firmware's memory. A BIOS's own pointer goes before the loader's copy, because that is the one by
 * which it finds its tables when the machine wakes (power/wake.h). Under EFI there is nothing to look for.
 */
#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "lib/string.h"
#include "mem/pages.h"

/* BIOS data area */
#define BDA_EBDA 0x40eul      /* segment of the extended BIOS data area */
#define BASE_KIB_SANE 128
#define EBDA_LOWEST 0x80000ul
#define EBDA_SEARCHED 1024
#define ROM_START 0xe0000ul
#define ROM_END 0x100000ul

#define RSDP_OLD_BYTES offsetof(struct boot_rsdp, length)

bool firmware_take_rsdp(const void *found, size_t bytes)
{
	const struct boot_rsdp *rsdp = found;

	if (bytes < RSDP_OLD_BYTES || memcmp(rsdp->signature, "RSD PTR ", 8) || !acpi_checksum_ok(rsdp, RSDP_OLD_BYTES))
		return false;
	bool is_new = bytes >= sizeof(*rsdp) && rsdp->revision >= RSDP_NEW && acpi_checksum_ok(rsdp, sizeof(*rsdp));

	memset(&boot_info.rsdp, 0, sizeof(boot_info.rsdp));
	memcpy(&boot_info.rsdp, rsdp, is_new ? sizeof(*rsdp) : RSDP_OLD_BYTES);
	return true;
}

static u64 find_rsdp(u64 start, u64 end)
{
	for (u64 at = start; at + sizeof(struct boot_rsdp) <= end; at += 16)
		if (firmware_take_rsdp(physical_at(at), sizeof(struct boot_rsdp)))
			return at;
	return 0;
}

void firmware_complete(void)
{
	boot_info.base_memory_end = BASE_MEMORY_END;
	if (boot_info.firmware != FIRMWARE_BIOS)
		return;

	u64 base_kib = number_at(physical_at(BDA_BASE_KIB), 2), ebda = number_at(physical_at(BDA_EBDA), 2) << 4;

	if (base_kib >= BASE_KIB_SANE)
		boot_info.base_memory_end = MIN(base_kib << 10, BASE_MEMORY_END);
	/* In the EBDA, which the BIOS writes, its place is of no use. */
	if (ebda < EBDA_LOWEST || ebda >= BASE_MEMORY_END ||
	    !find_rsdp(ebda, MIN(ebda + EBDA_SEARCHED, BASE_MEMORY_END)))
		boot_info.rsdp_addr = find_rsdp(ROM_START, ROM_END);
}
