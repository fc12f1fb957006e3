/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the loader to core_main(): boot_main() runs where the loader put the image, reads what loader and firmware tell,
 * and moves the image to the top of low RAM. Nothing here needs VMX. What is allocated after the move stays for ever.
 */
#include "boot/start.h"

#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "core/cmdline.h"
#include "cpu/smm.h"
#include "cpu/speculation.h"
#include "events/hypapps.h"
#include "mem/pages.h"
#include "mem/partition.h"
#include "mem/root_map.h"
#include "nested/nested.h"
#include "power/wake.h"
#include "report/log.h"
#include "report/console.h"
#include "report/display.h"
#include "report/log_output.h"
#include "report/trace.h"

/*
 * Root memory: the image, what each CPU needs (its structure, nested state and EPT02 pool), what partitions need, what
 * grows with RAM (of each 2 MiB an entry in two tables, and EPT01's books), and a pool for the rest.
 */
#define POOL_BYTES (1ul << 20)
#define BYTES_PER_CPU (128ul << 10) /* without the pool */
#define BYTES_PER_2M 64ul
#define IMAGE_LOAD 0x200000ul

extern const char image_end[];
void boot_relocate(void *dst, const void *src, u64 bytes, u64 cr3);

static const char *const log_names[] = { "error", "warn", "info", "debug" };

static void set_log_level(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(log_names); i++)
		if (cmdline_is("log", log_names[i]))
			log_threshold = (enum log_level)i;
}

u64 boot_root_bytes(void)
{
	u64 image = (u64)image_end - IMAGE_VIRTUAL;
	u64 per_cpu = BYTES_PER_CPU + nested_plan() + trace_bytes() + ALIGN_UP(hypapps_cpu_bytes(), PAGE_SIZE);
	u32 count = MAX(acpi_info.cpu_count, 1u);
	u64 tables = POOL_BYTES + partition_plan() + memory_map_top() / SIZE_2M * BYTES_PER_2M;

	return ALIGN_UP(image + log_bytes(count) + tables + count * per_cpu + smm_bytes(count), SIZE_2M);
}

void boot_read_options(void)
{
	cmdline_parse(boot_info.cmdline);
	set_log_level();
	console_choose();
	acpi_parse();
	console_choose_by_acpi();
	speculation_init();
}

_Noreturn void boot_move(u64 loaded, u64 root, u64 bytes, u64 low)
{
	u64 image = (u64)image_end - IMAGE_VIRTUAL;
	u32 count = MAX(acpi_info.cpu_count, 1u);

	root_start = root;
	root_end = root + bytes;
	memory_map_set(root_start, root_end, MEMORY_RESERVED);
	wake_reserve(low);
	/* First of all: at the same place in the next boot. */
	log_init(phys_to_virt(HPA(root + image)), count);
	pages_init(HPA(root + image + log_bytes(count)));

	u64 cr3 = root_map_build(HPA(root), MAX(memory_map_top(), 1ul << 32));

	boot_relocate(phys_to_virt(HPA(root)), phys_to_virt(HPA(loaded)), image, cr3);
	root_map_windows();
	core_main();
}

_Noreturn void boot_main(u32 magic, u32 info)
{
	multiboot_parse(magic, info);
	firmware_complete();
	display_open();
	boot_read_options();

	u64 bytes = boot_root_bytes(), root = memory_map_find(bytes, SIZE_2M, 16 * SIZE_2M, 1ul << 32);

	if (!root)
		boot_refuse("no %lu MiB of free RAM below 4 GiB for the core: give fewer partitions (option "
			    "partitions), or smaller modules", bytes >> 20);
	boot_move(IMAGE_LOAD, root, bytes, 0);
}
