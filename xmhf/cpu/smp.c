/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU start, and the guest's INIT and SIPI. Invariants: no INIT or SIPI of the guest reaches a LAPIC; a CPU's request
 * word changes only while that CPU is stopped or parked. A parked CPU is in HLT with a stop as its only alarm clock,
 * so a SIPI is handed over under a stop, too.
 */
#include "cpu/smp.h"

#include "boot/acpi.h"
#include "core/events.h"
#include "core/log.h"
#include "cpu/lapic.h"
#include "cpu/smm.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/root_map.h"
#include "nested/nested.h"
#include "vmx/exit.h"
#include "vmx/vmx.h"

#define TRAMPOLINE 0x8000ul
#define START_TIMEOUT_US 1000000

extern const char trampoline_start[], trampoline_end[];
extern const u64 trampoline_cr3, trampoline_cpu, trampoline_stack;

static _Atomic u32 started; /* the CPU that starts counts itself in; the boot CPU reads */
/* No WORK before: its handler may stop the others, and an NMI would kill a CPU in the trampoline, which has no IDT. */
static _Atomic bool all_started;

void smp_delay_us(u32 us)
{
	/* A write to the POST port takes about a microsecond on every PC. */
	while (us--)
		outb(0x80, 0);
}

static void *in_trampoline(const void *symbol)
{
	return phys_to_virt(HPA(TRAMPOLINE + (u64)((const char *)symbol - trampoline_start)));
}

static bool start_one(struct percpu *cpu, u64 cr3)
{
	u32 before = atomic_load(&started);

	*(u64 *)in_trampoline(&trampoline_cr3) = cr3;
	*(u64 *)in_trampoline(&trampoline_cpu) = (u64)cpu;
	*(u64 *)in_trampoline(&trampoline_stack) = cpu->stack_top;
	lapic_send(cpu->apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	smp_delay_us(200);
	lapic_send(cpu->apic_id, ICR_INIT | ICR_LEVEL);
	smp_delay_us(10000);
	for (int sipi = 0; sipi < 2; sipi++) {
		lapic_send(cpu->apic_id, ICR_STARTUP | ICR_ASSERT | TRAMPOLINE >> 12);
		for (u32 us = 0; us < START_TIMEOUT_US / 2; us += 10) {
			if (atomic_load(&started) != before)
				return true;
			smp_delay_us(10);
		}
	}
	return false;
}

/* What handlers of CPU_INIT have posted to their own CPUs. */
static void let_work_begin(void)
{
	u64 waiting = 0;

	atomic_store(&all_started, true);
	for (u32 i = 0; i < cpu_count; i++)
		if (atomic_load(&cpus[i]->mail_for))
			waiting |= BIT(i);
	(void)!quiesce_kick(&this_cpu()->quiesce, waiting);
}

void smp_start_others(void)
{
	u8 *low = phys_to_virt(HPA(TRAMPOLINE)), *saved = pages_boot_alloc(1);
	u64 cr3 = root_map_trampoline_cr3();
	size_t len = (size_t)(trampoline_end - trampoline_start);

	memcpy(saved, low, PAGE_SIZE);
	memcpy(low, trampoline_start, len);
	for (u32 i = 0; i < acpi_info.cpu_count; i++) {
		if (acpi_info.apic_ids[i] == this_cpu()->apic_id)
			continue;
		if (!start_one(percpu_create(acpi_info.apic_ids[i]), cr3)) {
			log_error("CPU with APIC id %u does not start and is left out", acpi_info.apic_ids[i]);
			cpu_count--;
		}
	}
	memcpy(low, saved, PAGE_SIZE);
	root_map_trampoline_done();
	let_work_begin();
}

_Noreturn void ap_main(struct percpu *cpu)
{
	write_cr3(vmx_root_cr3());
	percpu_load(cpu);
	cpu->apic_base = rdmsr(MSR_APIC_BASE);
	traps_unblock_nmi();
	mtrr_read(cpu);
	smm_probe(cpu);
	vmx_start(cpu);
	event_cpu_init(cpu);
	quiesce_online(&cpu->quiesce, cpu->index);
	cpu->parked = true;
	atomic_fetch_add(&started, 1);
	smp_park(cpu);
	vmx_run(cpu);
}

static void start_at(struct percpu *cpu, u32 vector)
{
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	/* INIT ends blocking by NMI. Bochs keeps it, whatever is written to the field. */
	cpu->stale_nmi_block = vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI;
	cpu->gpr[GPR_RDX] = cpuid(1, 0).eax; /* family, model, stepping: SDM vol. 3, "Processor State After Reset" */
	vmx_reset_guest(cpu);
	write_cr2(0);
	asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3; mov %1, %%dr6" : : "r"(0ul), "r"(0xffff0ff0ul));
	if (!invvpid(INVVPID_SINGLE, VPID_L1, 0))
		panic("INVVPID failed");
	/* Neither VM entry nor VM exit changes CR0.CD and NW: they are the guest's, and it will clear them. */
	write_cr0(read_cr0() | CR0_CD | CR0_NW);
	vmwrite(VMCS_GUEST_CS_SEL, vector << 8);
	vmwrite(VMCS_GUEST_CS_BASE, vector << 12);
	vmwrite(VMCS_GUEST_RIP, 0);
}

void smp_park(struct percpu *cpu)
{
	u32 request;

	cpu->parked = true;
	percpu_use_ept(cpu, QUIESCE_EPT_NONE);
	while (((request = atomic_exchange(&cpu->request, REQUEST_NONE)) & 0xff) != REQUEST_SIPI) {
		/* The NMI handler sets work; if it ran between the check and HLT it came back to the check. */
		asm volatile(".globl park_check, park_end\n"
			     "park_check: cmpl $0, %%gs:%c0\n"
			     "jne park_end\n"
			     "hlt\n"
			     "park_end:" : : "i"(PERCPU_WORK) : "memory", "cc");
		cpu->work = 0;
		quiesce_poll(&cpu->quiesce);
		if (atomic_load(&cpu->mail_for) && atomic_load(&all_started))
			event_work(cpu);
		cpu->guest_nmis = 0; /* a CPU that waits for SIPI takes no NMI */
	}
	cpu->parked = false;
	percpu_use_ept(cpu, QUIESCE_EPT01);
	start_at(cpu, request >> 8);
}

/* Does the ICR's destination name this CPU? (SDM vol. 3, "Determining IPI Destination") */
static bool is_target(const struct percpu *cpu, u32 icr, u32 dest)
{
	const struct percpu *self = this_cpu();
	bool x2apic = self->apic_base & APIC_BASE_X2APIC;

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
	return cpu->logical_id & dest;
}

static void post(u32 icr, u32 dest, u32 request)
{
	struct percpu *self = this_cpu();

	/* The answer says that another stop came between: nothing here was read before. */
	(void)!quiesce_begin(&self->quiesce);
	for (u32 i = 0; i < cpu_count; i++) {
		if (!is_target(cpus[i], icr, dest))
			continue;
		/* A SIPI is for CPUs that wait for it, or are about to; an INIT discards a SIPI that came before it. */
		if ((request & 0xff) == REQUEST_INIT || cpus[i]->parked || atomic_load(&cpus[i]->request))
			atomic_store(&cpus[i]->request, request);
	}
	quiesce_end(&self->quiesce);
	if (atomic_load(&self->request))
		self->work = 1;
}

void smp_guest_init(u32 icr, u32 dest)
{
	/* INIT level de-assert does nothing on a CPU since the Pentium 4. */
	if ((icr & (ICR_LEVEL | ICR_ASSERT)) != ICR_LEVEL)
		post(icr, dest, REQUEST_INIT);
}

void smp_guest_sipi(u32 icr, u32 dest)
{
	post(icr, dest, REQUEST_SIPI | (icr & ICR_VECTOR) << 8);
}
