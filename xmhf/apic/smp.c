/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's INIT and SIPI. Invariants: no INIT or SIPI of the guest reaches a LAPIC; a CPU's request word changes
 * only while that CPU is stopped or parked. A parked CPU is in HLT with a stop as its only alarm clock, so a SIPI is
 * handed over under a stop, too.
 */
#include "apic/smp.h"

#include "cpu/lapic.h"
#include "cpu/smp_boot.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/drop.h"
#include "events/events.h"
#include "lib/string.h"
#include "report/log.h"
#include "vmx/exit.h"
#include "vmx/vmx.h"

static void start_at(struct percpu *cpu, u32 vector)
{
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	/* INIT ends blocking by NMI. Bochs keeps it, whatever is written to the field. */
	cpu->stale_nmi_block = vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI;
	cpu->gpr[GPR_RDX] = cpuid(1, 0).eax; /* family, model, stepping: SDM vol. 3, "Processor State After Reset" */
	vmx_reset_guest();
	write_cr2(0);
	reset_debug_registers();
	flush_vpid(INVVPID_SINGLE, VPID_L1);
	/* Neither VM entry nor VM exit changes CR0.CD and NW: they are the guest's, and it will clear them. */
	write_cr0(read_cr0() | CR0_CD | CR0_NW);
	vmwrite(VMCS_GUEST_CS_SEL, vector << 8);
	vmwrite(VMCS_GUEST_CS_BASE, vector << 12);
	vmwrite(VMCS_GUEST_RIP, 0);
}

void smp_park(struct percpu *cpu)
{
	u32 request;

	log_flush(); /* this CPU enters no guest for a while */
	cpu->apic.parked = true;
	percpu_use_ept(cpu, QUIESCE_EPT_NONE);
	lapic_reset();
	cpu->apic.logical_id = 0;
	while (((request = atomic_exchange(&cpu->apic.request, REQUEST_NONE)) & 0xff) != REQUEST_SIPI) {
		traps_halt();
		cpu->work = 0;
		quiesce_poll(&cpu->quiesce);
		if (atomic_load(&cpu->mail_for) && atomic_load(&smp_work_began))
			event_work(cpu);
		if (unlikely(atomic_load(&drop_dropped)) && atomic_load(&smp_work_began))
			drop_work(cpu);
		cpu->guest_nmis = 0; /* a CPU that waits for SIPI takes no NMI */
	}
	cpu->apic.parked = false;
	percpu_use_ept(cpu, QUIESCE_EPT01);
	start_at(cpu, request >> 8);
}

/* Does the ICR's destination name this CPU? (SDM vol. 3, "Determining IPI Destination") */
static bool is_target(const struct percpu *cpu, u32 icr, u32 dest)
{
	const struct percpu *self = this_cpu();
	bool x2apic = self->apic.base & APIC_BASE_X2APIC;

	switch (icr & ICR_SHORTHAND) {
	case ICR_SELF:
		return cpu == self;
	case ICR_ALL:
		return true;
	case ICR_OTHERS:
		return cpu != self;
	}
	if (dest == (x2apic ? 0xffffffff : 0xff))
		return true;
	if (!(icr & ICR_LOGICAL))
		return cpu->apic_id == dest;
	if (x2apic)
		return (cpu->apic_id >> 4) == dest >> 16 && (dest & BIT(cpu->apic_id & 15));
	return cpu->apic.logical_id & dest;
}

void smp_post(u32 icr, u32 dest, u32 request)
{
	struct percpu *self = this_cpu();

	/* The answer says that another stop came between: nothing here was read before. */
	(void)!quiesce_begin(&self->quiesce);
	for (u32 i = 0; i < cpu_count; i++) {
		if (!is_target(cpus[i], icr, dest))
			continue;
		/* A SIPI is for CPUs that wait for it, or are about to; an INIT discards a SIPI that came before it. */
		if ((request & 0xff) == REQUEST_INIT || cpus[i]->apic.parked || atomic_load(&cpus[i]->apic.request))
			atomic_store(&cpus[i]->apic.request, request);
	}
	quiesce_end(&self->quiesce);
	if (atomic_load(&self->apic.request))
		self->work = 1;
}
