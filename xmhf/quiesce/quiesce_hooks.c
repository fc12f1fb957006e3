/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What quiesce/quiesce.c needs of this machine. */
#include <hypapi/calls.h>

#include "cpu/lapic.h"
#include "cpu/percpu.h"
#include "cpu/x86.h"
#include "events/dispatch.h"
#include "nested/nested.h"
#include "power/power.h"
#include "power/reset.h"
#include "quiesce/quiesce.h"
#include "report/audit.h"
#include "report/log.h"
#include "vmx/vmx_insn.h"

void quiesce_hook_send_nmi_all_but_self(void)
{
	lapic_send(0, ICR_OTHERS | ICR_ASSERT | ICR_NMI);
}

void quiesce_hook_send_nmi(u32 cpu)
{
	lapic_send(cpus[cpu]->apic_id, ICR_ASSERT | ICR_NMI);
}

void quiesce_hook_flush(u32 work)
{
	if (work & QUIESCE_FLUSH_EPT02)
		nested_drop_ept02(this_cpu());
	flush_ept(INVEPT_ALL, 0); /* after the tables have changed, once for all of them */
	if (CONFIG_AUDIT)
		audit_all(this_cpu());
}

u64 quiesce_hook_ticks(void)
{
	return rdtsc();
}

void quiesce_hook_relax(void)
{
	cpu_pause();
	if (unlikely(atomic_load_explicit(&reset_is_near, memory_order_relaxed)))
		reset_end_cpu(this_cpu());
}

u32 quiesce_hook_locks_held(void)
{
	return this_cpu()->locks_held;
}

/* As far as another CPU sees it: the delivery lies on that CPU's stack, and may be over. */
static void name_hypapp(u32 cpu)
{
	const struct dispatch *d = __atomic_load_n(&cpus[cpu]->dispatch, __ATOMIC_RELAXED);
	const struct link *link = d ? __atomic_load_n(&d->link, __ATOMIC_RELAXED) : NULL;

	if (hypapps_has_link(link))
		log_error("CPU %u is in hypapp %s, in its handler of event %s", cpu, link->app->name,
			  hypapi_event_name(d->ev.type));
}

void quiesce_hook_silent(u32 cpu, u64 epoch, bool nmi_taken, u64 ticks)
{
	static const char *const modes[] = { "L1", "L2", "a partition" };
	const struct percpu *silent = cpus[cpu];

	log_error("CPU %u has not answered stop %lu for %lu ticks: %s, %s, %s", cpu, epoch, ticks,
		  nmi_taken ? "it took the NMI" : "no NMI arrived", modes[silent->world->mode],
		  silent->apic.parked ? "parked" : "not parked");
	name_hypapp(cpu);
	log_flush(); /* this CPU may wait for ever */
}

void quiesce_hook_give_up(void)
{
	log_error("the machine is reset without the CPUs that do not answer");
	power_reset(this_cpu());
}

void quiesce_hook_broken(const char *rule)
{
	panic("quiesce: %s", rule);
}
