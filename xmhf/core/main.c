/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the loader to the guest: the order in which the core comes to life. boot_main() runs where the loader put the image,
 * moves it to the top of low RAM, and goes on in core_main() there; what it allocates after the move stays for ever.
 */
#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "boot/guest_start.h"
#include "core/cmdline.h"
#include "core/config.h"
#include "core/events.h"
#include "core/hypapps.h"
#include "core/log.h"
#include "core/stop_budget.h"
#include "core/trace.h"
#include "cpu/apic_guard.h"
#include "cpu/clock.h"
#include "cpu/lapic.h"
#include "cpu/smm.h"
#include "cpu/smp.h"
#include "cpu/speculation.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/ept01.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/partition.h"
#include "mem/root_map.h"
#include "nested/nested.h"
#include "power/power.h"
#include "power/wake.h"
#include "vmx/cpuid.h"
#include "vmx/msr.h"
#include "vmx/vmx.h"

/* Root memory: the image, what each CPU needs (its structure, nested state and EPT02 pool), and the shared pool. */
#define POOL_BYTES (4ul << 20)
#define BYTES_PER_CPU (1152ul << 10)
/* A PAL that runs longer than this with interrupts held back is ended. */
#define PARTITION_MS 50
#define PARTITION_MS_MAX 60000ul
/* A CPU in SMM for a firmware's long job, or one that a host has put aside, takes a good part of a second to stop. */
#define STOP_BOUND_MS 1000
#define STOP_MS_MAX 600000ul
#define IMAGE_LOAD 0x200000ul
#define IMAGE_VIRTUAL 0xffffffff80000000ul

extern const char image_end[];
void boot_relocate(void *dst, const void *src, u64 bytes, u64 cr3);

static const char *const log_names[] = { "error", "warn", "info", "debug" };

static void set_log_level(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(log_names); i++)
		if (cmdline_is("log", log_names[i]))
			log_threshold = (enum log_level)i;
}

static u64 reserve_root_memory(void)
{
	u64 image = (u64)image_end - IMAGE_VIRTUAL;
	u64 per_cpu = BYTES_PER_CPU + trace_bytes() + ALIGN_UP(hypapps_cpu_bytes(), PAGE_SIZE);
	u32 count = MAX(acpi_info.cpu_count, 1u);
	u64 size = ALIGN_UP(image + POOL_BYTES + count * per_cpu + smm_bytes(count), SIZE_2M);
	u64 at = memory_map_find(size, SIZE_2M, 16 * SIZE_2M, 1ul << 32);

	if (!at)
		boot_refuse("no %lu MiB of free RAM below 4 GiB for the core", size >> 20);
	root_start = at;
	root_end = at + size;
	memory_map_set(root_start, root_end, MEMORY_RESERVED);
	wake_reserve();
	pages_init(HPA(at + image));
	return image;
}

/* Options in real time, as ticks. */
static void set_bounds(void)
{
	u64 per_ms = clock_ticks_per_ms(), bound = cmdline_ms("stop-bound", "", STOP_BOUND_MS, STOP_MS_MAX), timeout = 0;

	if (!cmdline_is("stop-timeout", "wait"))
		timeout = cmdline_ms("stop-timeout", "reset:", 0, STOP_MS_MAX);
	stop_budget_init(cmdline_number("stop-share", STOP_SHARE_DEFAULT, STOP_SHARE_ALL), per_ms);
	quiesce_set_bounds(bound * per_ms, timeout * per_ms);
	partition_set_time(cmdline_ms("partition-time", "", PARTITION_MS, PARTITION_MS_MAX) * per_ms);
}

static _Noreturn void core_main(void)
{
	struct percpu *cpu;

	traps_init();
	lapic_init();
	cpu = percpu_create(cpuid(1, 0).ebx >> 24);
	percpu_load(cpu);
	cpu->apic_base = rdmsr(MSR_APIC_BASE);
	cpu->apic_id = lapic_id();
	traps_unblock_nmi();
	log_info("XMHF %s, hypapi %u.%u: root memory %lx to %lx (%lu MiB), %u CPUs, tick %lu", CONFIG_VERSION, HYPAPI_MAJOR,
		 HYPAPI_MINOR, root_start, root_end, (root_end - root_start) >> 20, MAX(acpi_info.cpu_count, 1u), rdtsc());
	clock_calibrate();
	mtrr_read(cpu);
	mtrr_publish(cpu);
	ept01_init();
	ept01_map_all(memory_map_top());
	vmx_msr_bitmap = vmx_msr_bitmap_l2 = pages_boot_alloc(1);
	vmx_io_bitmaps = vmx_io_bitmaps_l2 = pages_boot_alloc(2);
	nested_init();
	msr_init();
	cpuid_init();
	power_init();
	set_bounds();
	apic_guard_init();
	hypapps_init();
	smm_init();
	smm_probe(cpu);
	vmx_start(cpu);
	event_cpu_init(cpu);
	quiesce_online(&cpu->quiesce, cpu->index);
	smp_start_others();
	smm_finish();
	log_info("%u of %u CPUs run under the core; %zu KiB of root memory are free", cpu_count, MAX(acpi_info.cpu_count, 1u),
		 pages_left() * 4);
	if (CONFIG_AUDIT)
		root_map_audit();
	percpu_use_ept(cpu, QUIESCE_EPT01);
	guest_start(cpu);
	vmx_run(cpu);
}

_Noreturn void boot_main(u32 magic, u32 info)
{
	serial_init();
	multiboot_parse(magic, info);
	cmdline_parse(boot_info.cmdline);
	set_log_level();
	speculation_init();
	vmx_check_features();
	acpi_parse();

	u64 image = reserve_root_memory();
	u64 cr3 = root_map_build(HPA(root_start), MAX(memory_map_top(), 1ul << 32));

	vmx_set_root_cr3(cr3);
	boot_relocate(phys_to_virt(HPA(root_start)), phys_to_virt(HPA(IMAGE_LOAD)), image, cr3);
	core_main();
}
