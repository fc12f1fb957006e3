/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See lapic.h. The registers are mapped uncached by the page tables, whatever MTRRs say. */
#include "cpu/lapic.h"

#include "cpu/traps.h"
#include "cpu/x86.h"
#include "mem/pages.h"
#include "mem/root_map.h"
#include "report/insn_counts.h"
#include "report/log.h"

static volatile u8 *registers;

void lapic_check(u64 base)
{
	if (!(base & APIC_BASE_ENABLE))
		boot_refuse("the firmware has switched the local APIC off, by which the core stops a CPU");
	if (!(base & APIC_BASE_X2APIC) && (base & APIC_BASE_ADDR) != LAPIC_BASE)
		boot_refuse("the firmware has moved the local APIC to 0x%lx, and the core knows it at 0x%lx alone",
			    base & APIC_BASE_ADDR, (u64)LAPIC_BASE);
}

void lapic_init(void)
{
	lapic_check(rdmsr(MSR_APIC_BASE));
	registers = root_map_uncached(HPA(LAPIC_BASE));
}

static bool in_x2apic_mode(void)
{
	return this_cpu()->apic.base & APIC_BASE_X2APIC;
}

u32 lapic_read(u32 offset)
{
	if (in_x2apic_mode())
		return (u32)rdmsr(MSR_X2APIC_FIRST + offset / 16);
	return *(volatile u32 *)(registers + offset);
}

void lapic_write(u32 offset, u32 value)
{
	if (in_x2apic_mode())
		(void)!wrmsr_safe(MSR_X2APIC_FIRST + offset / 16, value);
	else
		*(volatile u32 *)(registers + offset) = value;
}

u32 lapic_id(void)
{
	return in_x2apic_mode() ? lapic_read(LAPIC_ID) : lapic_read(LAPIC_ID) >> 24;
}

u32 lapic_boot_id(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	if (base & APIC_BASE_X2APIC)
		return (u32)rdmsr(MSR_X2APIC_FIRST + LAPIC_ID / 16);
	if ((base & (APIC_BASE_ENABLE | APIC_BASE_ADDR)) == (APIC_BASE_ENABLE | LAPIC_BASE))
		return *(volatile u32 *)physical_at(LAPIC_BASE + LAPIC_ID) >> 24;
	return initial_apic_id();
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
	wait_idle();
	if (icr_low & ICR_SHORTHAND) {
		lapic_write(LAPIC_ICR_LOW, icr_low);
		return;
	}
	u32 guest_high = lapic_read(LAPIC_ICR_HIGH);

	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR_LOW, icr_low);
	wait_idle();
	lapic_write(LAPIC_ICR_HIGH, guest_high);
}

bool lapic_in_service(u8 vector)
{
	return lapic_read(LAPIC_ISR + vector / 32u * 16) >> (vector % 32) & 1;
}

void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}

/*
 * What INIT leaves in the registers (SDM vol. 3, "Local APIC State After It Receives an INIT Reset"). Sources of
 * interrupts come first, the APIC itself is disabled last. The low half of the ICR would send what is written to it.
 */
static const struct after_init { u16 offset; bool xapic_only; u32 value; } after_init[] = {
	{ LAPIC_LVT_TIMER, false, LVT_MASKED }, { LAPIC_TIMER_INITIAL, false, 0 }, { LAPIC_TIMER_DIVIDE, false, 0 },
	{ LAPIC_LVT_ERROR, false, LVT_MASKED }, { LAPIC_ESR, false, 0 }, { LAPIC_ESR, false, 0 },
	{ LAPIC_TPR, false, 0 }, { LAPIC_DFR, true, ~0u }, { LAPIC_LDR, true, 0 }, { LAPIC_ICR_HIGH, true, 0 },
	{ LAPIC_SVR, false, SVR_RESET },
};

static bool any_in_service(void)
{
	u32 bits = 0;

	for (u32 i = 0; i < 8; i++)
		bits |= lapic_read(LAPIC_ISR + i * 16);
	return bits;
}

void lapic_reset(void)
{
	for (u32 i = 0, lvt; (lvt = lapic_mode_lvt(i)); i++)
		lapic_write(lvt, LVT_MASKED);
	for (u32 i = 0; i < 256 && any_in_service(); i++)
		lapic_eoi();
	for (size_t i = 0; i < ARRAY_SIZE(after_init); i++)
		if (!after_init[i].xapic_only || !in_x2apic_mode())
			lapic_write(after_init[i].offset, after_init[i].value);
}
