/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts the other CPUs at boot: INIT, SIPI, the trampoline in low memory, and then they park like CPUs that the
 * guest's INIT has reached (apic/smp.c). Caller: main.c, on the boot CPU.
 */
#include "cpu/smp_boot.h"

#include "apic/smp.h"
#include "boot/acpi.h"
#include "boot/efi.h"
#include "cpu/lapic.h"
#include "cpu/smm.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "lib/string.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/root_map.h"
#include "report/log.h"
#include "vmx/vmx.h"

#define TRAMPOLINE 0x8000ul
#define XAPIC_ID_MAX 254
#define START_TIMEOUT_US 1000000
#define READY_TIMEOUT_US 10000000 /* the SMI of its probe may take it to firmware that waits for all CPUs */

extern const char trampoline_start[], trampoline_end[];
extern const u64 trampoline_cr3, trampoline_cpu, trampoline_stack;

_Atomic bool smp_work_began;

static _Atomic u32 arrived, started; /* the CPU that starts counts itself in; the boot CPU reads */

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

static bool grows(const _Atomic u32 *count, u32 before, u32 timeout_us)
{
	for (u32 us = 0; us < timeout_us && atomic_load(count) == before; us += 10)
		smp_delay_us(10);
	return atomic_load(count) != before;
}

static void send_init(u32 apic_id)
{
	lapic_send(apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	smp_delay_us(200);
	lapic_send(apic_id, ICR_INIT | ICR_LEVEL);
}

static bool start_one(struct percpu *cpu, u64 cr3)
{
	u32 here = atomic_load(&arrived), ready = atomic_load(&started);

	*(u64 *)in_trampoline(&trampoline_cr3) = cr3;
	*(u64 *)in_trampoline(&trampoline_cpu) = (u64)cpu;
	*(u64 *)in_trampoline(&trampoline_stack) = cpu->stack_top;
	send_init(cpu->apic_id);
	smp_delay_us(10000);
	for (int sipi = 0; sipi < 2; sipi++) {
		lapic_send(cpu->apic_id, ICR_STARTUP | ICR_ASSERT | TRAMPOLINE >> 12);
		if (!grows(&arrived, here, START_TIMEOUT_US / 2))
			continue;
		if (!grows(&started, ready, READY_TIMEOUT_US))
			boot_refuse("CPU with APIC id %u stops while it starts", cpu->apic_id);
		return true;
	}
	/* It must not come later, when the trampoline is another CPU's. */
	send_init(cpu->apic_id);
	return false;
}

void smp_let_work_begin(void)
{
	u64 waiting = 0;

	atomic_store(&smp_work_began, true);
	for (u32 i = 0; i < cpu_count; i++)
		if (atomic_load(&cpus[i]->mail_for))
			waiting |= BIT(i);
	(void)!quiesce_kick(&this_cpu()->quiesce, waiting);
}

static void start_all(void)
{
	u8 *low = phys_to_virt(HPA(TRAMPOLINE)), *saved = pages_boot_alloc(1);
	u64 cr3 = root_map_low_cr3(SIZE_2M);
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
}

/* No stop would reach it. Out of x2APIC mode the guest cannot go (apic/apic_guard.c). */
static void check_ids(void)
{
	for (u32 i = 0; i < acpi_info.cpu_count; i++)
		if (acpi_info.apic_ids[i] > XAPIC_ID_MAX && !(this_cpu()->apic.base & APIC_BASE_X2APIC))
			boot_refuse("a CPU has APIC id %u, above 254, and x2APIC mode is off: switch it on in the "
				    "firmware's menu, or the CPU off", acpi_info.apic_ids[i]);
}

void smp_start_others(void)
{
	check_ids();
	if (efi_stays())
		efi_start_others();
	else
		start_all();
}

void smp_join(struct percpu *cpu)
{
	write_cr3(root_map_cr3());
	percpu_load(cpu);
	atomic_fetch_add(&arrived, 1);
	cpu->apic.base = rdmsr(MSR_APIC_BASE);
	lapic_check(cpu->apic.base);
	traps_unblock_nmi();
	mtrr_read(cpu);
	smm_probe(cpu);
	vmx_start(cpu);
	event_cpu_prepare(cpu);
	event_cpu_init(cpu);
	quiesce_online(&cpu->quiesce, cpu->index);
}

_Noreturn void ap_main(struct percpu *cpu)
{
	smp_join(cpu);
	cpu->apic.parked = true;
	atomic_fetch_add(&started, 1);
	smp_park(cpu);
	vmx_run(cpu);
}
