/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA protection under a real operating system: turned on as the core does it, and then Linux is started on the bare
 * machine, whose devices have no other tables. It does not see the units. Its part is tests/selftest/devices. The
 * memory map has so many holes that Linux gets a part of it by setup_data.
 */
#include "selftest.h"

#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "boot/guest_start.h"
#include "cpu/x86.h"
#include "iommu/iommu.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "mem/root_map.h"

#define TO_LINUX 0x8000ul /* a page below 1 MiB that is nobody's yet */
/* Reserved pages, so that the map has more ranges than boot_params has room for. */
#define HOLES 150u
#define HOLE(i) ((128ul << 20) + (i) * 0x10000ul)

extern const char to_linux[], to_linux_end[];

static void table_is_hidden(const void *table, u32 bytes)
{
	u8 sum = 0;

	for (u32 i = 0; i < bytes; i++)
		sum = (u8)(sum + ((const u8 *)table)[i]);
	acpi_info = (struct acpi_info){ 0 };
	acpi_parse();
	check_that(!acpi_info.dmar && !sum, "the DMAR table is hidden, its checksum right");
	check_that(acpi_info.cpu_count, "and the other tables are there");
}

/* By variables of its first process. */
static void tell_linux(void)
{
	char *text = boot_info.modules[0].cmdline;
	size_t used = strlen(text);

	(void)format(text + used, sizeof(boot_info.modules[0].cmdline) - used,
		     " root_start=0x%lx root_end=0x%lx hole=0x%lx ranges=%u", root_start, root_end, HOLE(HOLES / 2),
		     boot_info.memory_count);
}

void selftest(void)
{
	const void *table = acpi_info.dmar;
	u32 bytes = acpi_info.dmar_bytes;
	u64 entry, cr3 = root_map_low_cr3(SIZE_2M);

	for (u64 i = 0; i < HOLES; i++)
		memory_map_set(HOLE(i), HOLE(i) + PAGE_SIZE, MEMORY_RESERVED);
	if (!check_that(iommu_start(false), "the IOMMU starts"))
		return;
	table_is_hidden(table, bytes);
	tell_linux();
	entry = guest_linux_load();
	memcpy(phys_to_virt(HPA(TO_LINUX)), to_linux, (size_t)(to_linux_end - to_linux));
	log_flush();
	asm volatile("mov %0, %%cr3" : : "r"(cr3) : "memory");
	asm volatile("jmp *%0" : : "r"(TO_LINUX), "D"(entry), "S"(GUEST_LINUX_PARAMS) : "memory");
	__builtin_unreachable();
}
