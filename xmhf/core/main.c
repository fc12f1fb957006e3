/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From boot_main(), which has read the firmware's tables and moved the image to root memory, to the guest: the order in
 * which the core comes to life. What is allocated here stays for ever.
 */
#include "apic/apic_guard.h"
#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "boot/guest_start.h"
#include "boot/start.h"
#include "core/cmdline.h"
#include "core/config.h"
#include "cpu/clock.h"
#include "cpu/lapic.h"
#include "cpu/smm.h"
#include "cpu/smp_boot.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "events/hypapps.h"
#include "iommu/iommu.h"
#include "mem/ept01.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/partition.h"
#include "mem/root_map.h"
#include "nested/nested.h"
#include "power/power.h"
#include "power/wake.h"
#include "quiesce/stop_budget.h"
#include "report/display.h"
#include "report/log.h"
#include "report/log_output.h"
#include "vmx/log_wait.h"
#include "vmx/msr.h"
#include "vmx/vmx.h"
#include "vmx/interrupts.h"

/* A PAL that runs longer than this with interrupts held back is ended. */
#define PARTITION_MS 50
#define PARTITION_MS_MAX 60000ul
/* A CPU in SMM for a firmware's long job, or one that a host has put aside, takes a good part of a second to stop. */
#define STOP_BOUND_MS 1000
#define STOP_MS_MAX 600000ul

/* Options in real time, as ticks. */
static void set_bounds(void)
{
	u64 per_ms = clock_ticks_per_ms(), timeout = 0;
	u64 bound = cmdline_ms("stop-bound", "", STOP_BOUND_MS, STOP_MS_MAX);

	if (!cmdline_is("stop-timeout", "wait"))
		timeout = cmdline_ms("stop-timeout", "reset:", 0, STOP_MS_MAX);
	stop_budget_init(cmdline_number("stop-share", STOP_SHARE_DEFAULT, STOP_SHARE_ALL), per_ms);
	quiesce_set_bounds(bound * per_ms, timeout * per_ms);
	partition_set_time(cmdline_ms("partition-time", "", PARTITION_MS, PARTITION_MS_MAX) * per_ms);
}

/*
 * Why in this order:
 *   - exceptions are reported from traps_init() on; locks and this_cpu() work from percpu_load() on;
 *   - EPT01 takes its memory types from the MTRRs of mtrr_publish();
 *   - what the core itself intercepts, up to apic_guard_init(), is in the bitmaps before hypapps_init(): the first
 *     claim of a hypapp copies them for L2;
 *   - hypapps_init() tells hypapps of the start, on a CPU that has memory for them; interrupts_init() looks into its
 *     chains; vmx_start() makes VMCS01 with what these two found;
 *   - CPU_INIT is told before a CPU takes part in stops, and on this CPU before the others start;
 *   - smm_finish() judges what all CPUs have found; then none starts, or goes back to its firmware, any more;
 *   - from acpi_hide_sleep() on what is the firmware's is changed, since nothing refuses to go on any more;
 *   - smp_let_work_begin() is last: from then on other CPUs may stop this one.
 */
_Noreturn void core_main(void)
{
	vmx_check_features();
	traps_init();
	lapic_init();
	struct percpu *cpu = percpu_create(initial_apic_id());

	percpu_load(cpu);
	log_at_once(true);
	cpu->apic.base = rdmsr(MSR_APIC_BASE);
	cpu->apic_id = lapic_id();
	traps_unblock_nmi();
	log_info("XMHF %s, hypapi %u.%u: root memory %lx to %lx (%lu MiB), %u CPUs, tick %lu", CONFIG_VERSION,
		 HYPAPI_MAJOR, HYPAPI_MINOR, root_start, root_end, (root_end - root_start) >> 20,
		 MAX(acpi_info.cpu_count, 1u), rdtsc());
	log_tell_before();
	clock_calibrate();
	(void)iommu_start(cpu->apic.base & APIC_BASE_X2APIC);
	mtrr_read(cpu);
	mtrr_publish(cpu);
	partition_init();
	ept01_init(partition_limit);
	ept01_map_all(memory_map_top());
	vmx_bitmaps_init();
	nested_init();
	msr_init();
	power_init();
	set_bounds();
	apic_guard_init();
	iommu_hide_registers();
	event_cpu_prepare(cpu);
	hypapps_init();
	interrupts_init();
	smm_init();
	smm_probe(cpu);
	vmx_start(cpu);
	event_cpu_init(cpu);
	quiesce_online(&cpu->quiesce, cpu->index);
	smp_start_others();
	smm_finish();
	root_map_low_done();
	log_info("%u of %u CPUs run under the core; %zu KiB of root memory are free", cpu_count,
		 MAX(acpi_info.cpu_count, 1u), pages_left() * 4);
	if (CONFIG_AUDIT)
		root_map_audit();
	world_enter(cpu, &cpu->l1);
	log_wait_init();
	guest_start(cpu);
	acpi_hide_sleep();
	wake_arm();
	smm_mask_lvts(cpu);
	display_close();
	log_at_once(cmdline_is("log-output", "once"));
	smp_let_work_begin();
	vmx_run(cpu);
}
