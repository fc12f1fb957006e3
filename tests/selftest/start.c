/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The start by itself: what boot_main() has read and where it has put the image. For a q35 machine of QEMU with two
 * CPUs and 256 MiB.
 */
#include "selftest.h"

#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "cpu/x86.h"
#include "mem/pages.h"

static bool is_zero(const u64 *page)
{
	for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*page); i++)
		if (page[i])
			return false;
	return true;
}

void selftest(void)
{
	u64 *page = page_alloc(), *again;

	check_that(acpi_info.cpu_count == 2, "the MADT has %u CPUs", acpi_info.cpu_count);
	check_that(acpi_info.facs[0] && acpi_info.pm1_cnt[0], "the FADT has a FACS and a PM1 control block");
	check_that(memory_map_top() > 200ul << 20, "RAM ends at 0x%lx", memory_map_top());
	check_that(root_end > root_start && memory_map_is_ram(root_start, root_end) == 0, "root memory is not L1's");
	check_that(is_root_memory(read_cr3()), "root's page tables are in root memory");
	check_that(page && is_root_memory(virt_to_phys(page).addr) && is_zero(page), "a page of the pool is zero");
	page[1] = 1;
	page_free(page);
	page[1] = 0;
	again = page_alloc();
	check_that(again == page && is_zero(again), "a page comes back to the pool");
}
