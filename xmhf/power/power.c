/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See power.h: the order of a way down, the same for all. */
#include "power/power.h"

#include "boot/acpi.h"
#include "core/cmdline.h"
#include "cpu/smm.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "lib/string.h"
#include "mem/partition.h"
#include "power/pm_base.h"
#include "power/ports.h"
#include "power/reset.h"
#include "power/wake.h"
#include "report/log.h"
#include "report/stats.h"
#include "report/trace.h"
#include "vmx/vmx_insn.h"

/* Firmware may take its time in SMM before the machine sleeps. */
#define SLEEP_MS 200

static void stop_others(struct percpu *cpu)
{
	if (cpu->quiesce.online)
		(void)!quiesce_begin(&cpu->quiesce);
}

/*
 * The others are stopped. Hypapps wipe; what they could not end has no registers left either, but for those of the FPU,
 * which its CPU clears when it resets, or goes on.
 */
static void tell(struct percpu *cpu, enum hypapi_event_type event)
{
	log_at_once(true);
	event_tell(cpu, event, HYPAPI_L0, EVENT_NO_ARGS);
	/* An SMI that met a PAL has left its registers behind. */
	for (u32 i = 0; i < cpu_count; i++)
		if (cpus[i]->smm_map)
			memset(cpus[i]->smm_map, 0, SMM_MAP_BYTES);
	for (u32 i = 0; i < cpu_count; i++)
		if (cpus[i]->world->mode == RUN_PARTITION)
			partition_wipe(cpus[i]);
	stats_log();
	trace_log();
	log_flush();
}

void power_init(void)
{
	ports_init();
	pm_base_init();
	wake_init();
}

void power_reset(struct percpu *cpu)
{
	log_info("the guest resets the machine");
	stop_others(cpu);
	tell(cpu, HYPAPI_EV_RESET);
	reset_machine(cpu);
}

void power_fault(struct percpu *cpu)
{
	quiesce_give_up();
	cpu->locks_held = 0; /* whoever waits for one gives up as well */
	stop_others(cpu);
	partition_wipe_all();
	tell(cpu, HYPAPI_EV_RESET);
	reset_machine(cpu);
}

void power_triple_fault(struct percpu *cpu)
{
	log_warn("CPU %u: triple fault in L1 at RIP %lx, CR3 %lx: the machine is reset, as the bare one would be",
		 cpu->index, vmread(VMCS_GUEST_RIP), vmread(VMCS_GUEST_CR3));
	stop_others(cpu);
	event_tell(cpu, HYPAPI_EV_TRIPLE_FAULT, HYPAPI_L0, EVENT_NO_ARGS);
	tell(cpu, HYPAPI_EV_RESET);
	reset_machine(cpu);
}

/* False: a hypapp denies it. */
static bool may_sleep(struct percpu *cpu, u32 type)
{
	if (!event_prepare(cpu, HYPAPI_EV_SLEEP, EVENT_ARGS(sleep, .type = type)))
		return false;
	event_tell(cpu, HYPAPI_EV_SLEEP, HYPAPI_L0, EVENT_ARGS(sleep, .type = type));
	return true;
}

void power_sleep(struct percpu *cpu, const struct power_sleep *sleep)
{
	const struct aml_package *s5 = &acpi_info.s5;
	bool power_off = !s5->found || sleep->type == s5->values[sleep->block];

	log_limited(LOG_INFO, "the guest asks for sleep type %u%s", sleep->type,
		    power_off ? "" : ", which is not power-off");
	stop_others(cpu);
	if (power_off || may_sleep(cpu, sleep->type)) {
		tell(cpu, HYPAPI_EV_SHUTDOWN);
		wbinvd();
		ports_write(sleep->port, sleep->size, sleep->value);
		reset_wait_ms(SLEEP_MS);
		log_at_once(cmdline_is("log-output", "once"));
		log_info("the machine did not sleep: the guest goes on");
	}
	quiesce_end(&cpu->quiesce);
}
