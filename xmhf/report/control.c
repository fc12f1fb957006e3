/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See control.h. Every command fills one record, which is copied to the caller through its own page tables and rights.
 * Nothing is changed, and no CPU is stopped: sums over the CPUs are of values that may move meanwhile.
 */
#include "report/control.h"

#include <hypapi/control.h>

#include "boot/efi_handoff.h"
#include "core/cmdline.h"
#include "core/config.h"
#include "events/calls.h"
#include "events/event_info.h"
#include "events/hypapps.h"
#include "lib/string.h"
#include "mem/guest.h"
#include "report/log.h"
#include "report/log_output.h"
#include "report/stats.h"
#include "report/trace.h"
#include "vmx/exit.h"

union record {
	struct hypapi_control_version version;
	struct hypapi_control_hypapp hypapp;
	struct hypapi_control_name name;
	struct hypapi_control_stat stat;
	struct hypapi_trace_entry entry;
	struct hypapi_control_log log;
};

static bool get_version(u64 index, union record *r)
{
	r->version = (struct hypapi_control_version){
		.major = HYPAPI_MAJOR, .minor = HYPAPI_MINOR, .cpu_count = cpu_count, .hypapp_count = hypapps_count(),
		.trace_entries = this_cpu()->trace ? TRACE_ENTRIES : 0,
		.flags = cmdline_is("control", "values") ? HYPAPI_CONTROL_VALUES : 0,
	};
	string_copy(r->version.version.name, CONFIG_VERSION, sizeof(r->version.version.name));
	return index == 0;
}

static bool get_hypapp(u64 index, union record *r)
{
	const struct hypapp_descriptor *app = index < hypapps_count() ? hypapps_get((u32)index) : NULL;

	if (!app)
		return false;
	r->hypapp = (struct hypapi_control_hypapp){ .priority = app->priority, .major = app->major, .minor = app->minor,
						    .capabilities = app->capabilities };
	string_copy(r->hypapp.name.name, app->name, sizeof(r->hypapp.name.name));
	return true;
}

static bool get_event(u64 index, union record *r)
{
	if (index >= HYPAPI_EV_COUNT)
		return false;
	string_copy(r->name.name, event_info[index].name, sizeof(r->name.name));
	return true;
}

static bool get_stat(u64 index, union record *r)
{
	const u32 levels = HYPAPI_L2 + 1;
	u64 app = index / (HYPAPI_EV_COUNT * levels), type = index / levels % HYPAPI_EV_COUNT, level = index % levels;

	if (app >= hypapps_count())
		return false;
	struct event_stats sum = stats_sum((u32)app, (u32)type, (u32)level);

	r->stat = (struct hypapi_control_stat){ .hypapp = (u32)app, .type = (u32)type, .level = (u32)level,
						.count = sum.count, .stops = sum.stops, .ticks = sum.ticks,
						.ticks_stopped = sum.ticks_stopped };
	return true;
}

static bool get_trace(u64 index, union record *r)
{
	u64 cpu = index >> 32, place = (u32)index;

	if (cpu >= cpu_count || place >= TRACE_ENTRIES || !cpus[cpu]->trace)
		return false;
	trace_get(cpus[cpu]->trace, (u32)place, &r->entry);
	if (!cmdline_is("control", "values")) /* any process of L1 may ask, and these are the kernel's or a PAL's */
		r->entry.address = r->entry.value = 0;
	return true;
}

static bool get_log(u64 index, union record *r)
{
	const struct log_ring *ring = log_ring_of(index >> 63, (u32)(index >> 32) & 0x7fffffff);
	struct log_record line;

	_Static_assert(HYPAPI_LOG_LINES == LOG_LINES && sizeof(r->log.text) > LOG_TEXT_BYTES, "frozen since 1.3");
	if (!ring || (u32)index >= LOG_LINES)
		return false;
	r->log = (struct hypapi_control_log){ 0 };
	if (!log_ring_copy(ring, (u32)index, &line))
		return true;
	r->log.serial = line.serial;
	r->log.tick = line.tick;
	r->log.level = line.level;
	log_ring_format(&line, r->log.text, sizeof(r->log.text));
	return true;
}

static const struct command {
	bool (*get)(u64 index, union record *r);
	size_t size;
} commands[] = {
	[HYPAPI_CONTROL_VERSION - HYPAPI_CONTROL_FIRST] = { get_version, sizeof(struct hypapi_control_version) },
	[HYPAPI_CONTROL_HYPAPP - HYPAPI_CONTROL_FIRST] = { get_hypapp, sizeof(struct hypapi_control_hypapp) },
	[HYPAPI_CONTROL_EVENT - HYPAPI_CONTROL_FIRST] = { get_event, sizeof(struct hypapi_control_name) },
	[HYPAPI_CONTROL_STAT - HYPAPI_CONTROL_FIRST] = { get_stat, sizeof(struct hypapi_control_stat) },
	[HYPAPI_CONTROL_TRACE - HYPAPI_CONTROL_FIRST] = { get_trace, sizeof(struct hypapi_trace_entry) },
	[HYPAPI_CONTROL_LOG - HYPAPI_CONTROL_FIRST] = { get_log, sizeof(struct hypapi_control_log) },
};

static int64_t run(struct percpu *cpu, const struct command *command)
{
	union record record = { 0 };
	size_t size = MIN(cpu->gpr[GPR_RCX], command->size);

	if (!command->get(cpu->gpr[GPR_RDX], &record))
		return 0;
	int error = result_of(guest_write(cpu, GVA(cpu->gpr[GPR_RBX]), &record, size, NULL));

	return error ? error : 1;
}

/* Told once, by xmhf.efi (boot/efi/). */
static bool boot_services_end(const struct percpu *cpu)
{
	return (u32)cpu->gpr[GPR_RAX] == EFI_HYPERCALL_EXIT && cpu->world->mode == RUN_L1 && guest_cpl() == 0 &&
	       atomic_exchange(&boot_info.boot_services, 0);
}

enum taken control_hypercall(struct percpu *cpu)
{
	if (unlikely(boot_services_end(cpu))) {
		log_info("the firmware's boot services have ended: the operating system has the machine");
		vmx_skip_instruction();
		return TAKEN;
	}
	u32 command = (u32)cpu->gpr[GPR_RAX] - HYPAPI_CONTROL_FIRST;

	if (cpu->world->mode != RUN_L1 || command >= ARRAY_SIZE(commands) || !guest_long_mode() ||
	    !(cmdline_is("control", "on") || cmdline_is("control", "values")))
		return NOT_TAKEN;
	cpu->gpr[GPR_RAX] = (u64)run(cpu, &commands[command]);
	vmx_skip_instruction();
	return TAKEN;
}
