/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See lapic.h. The registers are mapped uncached by the page tables, whatever MTRRs say. */
#include "cpu/lapic.h"

#include "core/insn_counts.h"
#include "cpu/x86.h"
#include "mem/root_map.h"

static volatile u8 *registers;

void lapic_init(void)
{
	registers = root_map_uncached(HPA(LAPIC_BASE));
}

static bool in_x2apic_mode(void)
{
	return this_cpu()->apic_base & APIC_BASE_X2APIC;
}

u32 lapic_read(u32 offset)
{
	if (in_x2apic_mode())
		return (u32)rdmsr(MSR_X2APIC_FIRST + offset / 16);
	return *(volatile u32 *)(registers + offset);
}

void lapic_write(u32 offset, u32 value)
{
	*(volatile u32 *)(registers + offset) = value;
}

u32 lapic_id(void)
{
	return in_x2apic_mode() ? lapic_read(0x20) : lapic_read(0x20) >> 24;
}

static void wait_idle(void)
{
	while (lapic_read(LAPIC_ICR_LOW) & ICR_BUSY)
		cpu_pause();
}

void lapic_send(u32 apic_id, u32 icr_low)
{
	insn_count(INSN_IPI);
	if (in_x2apic_mode()) {
		asm volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC_ICR, (u64)apic_id << 32 | icr_low);
		return;
	}
	u32 guest_high = lapic_read(LAPIC_ICR_HIGH);

	wait_idle();
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR_LOW, icr_low);
	wait_idle();
	lapic_write(LAPIC_ICR_HIGH, guest_high);
}

void lapic_nmi_others(void)
{
	insn_count(INSN_IPI);
	if (in_x2apic_mode()) {
		lapic_send(0, ICR_OTHERS | ICR_ASSERT | ICR_NMI);
		return;
	}
	wait_idle();
	lapic_write(LAPIC_ICR_LOW, ICR_OTHERS | ICR_ASSERT | ICR_NMI);
}

bool lapic_in_service(u8 vector)
{
	return lapic_read(LAPIC_ISR + vector / 32u * 16) >> (vector % 32) & 1;
}

void lapic_eoi(void)
{
	if (in_x2apic_mode())
		wrmsr(MSR_X2APIC_FIRST + LAPIC_EOI / 16, 0);
	else
		lapic_write(LAPIC_EOI, 0);
}
