/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC, which the guest owns and the core borrows for NMIs and for starting CPUs. The ICR is written only
 * when it is idle, and the guest's high half of it stays as it is, or comes back.
 */
#ifndef XMHF_LAPIC_H
#define XMHF_LAPIC_H

#include "cpu/percpu.h"

#define LAPIC_BASE 0xfee00000ull
#define LAPIC_ID 0x20
#define LAPIC_VERSION 0x30 /* 23:16: number of LVT entries, less 1 */
#define LAPIC_TPR 0x80
#define LAPIC_EOI 0xb0
#define LAPIC_LDR 0xd0
#define LAPIC_DFR 0xe0
#define LAPIC_SVR 0xf0
#define LAPIC_ISR 0x100 /* 32 vectors each 16 bytes */
#define LAPIC_ESR 0x280
#define LAPIC_LVT_CMCI 0x2f0
#define LAPIC_ICR_LOW 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_THERMAL 0x330
#define LAPIC_LVT_PERF 0x340
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_LINT1 0x360
#define LAPIC_LVT_ERROR 0x370
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_DIVIDE 0x3e0
#define LVT_MASKED BIT(16)
#define SVR_RESET 0xffu /* disabled by software; NMIs are taken and IPIs sent all the same */

#define APIC_BASE_BSP BIT(8)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_ADDR BITS(51, 12)

#define ICR_VECTOR 0xffu
#define ICR_MODE BITS(10, 8)
#define ICR_SMI (2u << 8)
#define ICR_NMI (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_STARTUP (6u << 8)
#define ICR_LOGICAL BIT(11)
#define ICR_BUSY BIT(12)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)
#define ICR_SHORTHAND BITS(19, 18)
#define ICR_SELF (1u << 18)
#define ICR_ALL (2u << 18)
#define ICR_OTHERS (3u << 18)

#define LVT_MODE BITS(10, 8)
#define LVT_SMI (2u << 8)

void lapic_check(u64 base);           /* refuses a CPU with this IA32_APIC_BASE whose APIC cannot be used */
void lapic_init(void);                /* the same of the boot CPU, and maps the page; once */
u32 lapic_id(void);
/*
 * The id of this CPU before lapic_init(), while memory is mapped as it is. Firmware may have given a CPU another one
 * than CPUID tells, and its tables have that.
 */
u32 lapic_boot_id(void);
/* An xAPIC register of this CPU; also in x2APIC mode, by MSR. A write that the register refuses is lost. */
u32 lapic_read(u32 offset);
void lapic_write(u32 offset, u32 value);
/* With a shorthand in icr_low apic_id does not count. */
void lapic_send(u32 apic_id, u32 icr_low);
/*
 * This CPU's registers as an INIT leaves them. Interrupts that it has accepted but not delivered stay, and the ICR's
 * low half: nothing but a real INIT clears these.
 */
void lapic_reset(void);
bool lapic_in_service(u8 vector);     /* this CPU's APIC has delivered it, and waits for its EOI */
void lapic_eoi(void);                 /* of the highest vector in service */

/*
 * Entries of the local vector table that have a delivery mode: number i of those that this CPU's APIC has; 0: no more.
 * Older APICs lack the last ones, which are there from this "max LVT entry" of the version on.
 */
static inline u32 lapic_mode_lvt(u32 i)
{
	static const struct { u16 offset, max_lvt; } lvts[] = {
		{ LAPIC_LVT_LINT0, 0 }, { LAPIC_LVT_LINT1, 0 }, { LAPIC_LVT_PERF, 4 }, { LAPIC_LVT_THERMAL, 5 },
		{ LAPIC_LVT_CMCI, 6 },
	};

	if (i >= ARRAY_SIZE(lvts) || (lapic_read(LAPIC_VERSION) >> 16 & 0xff) < lvts[i].max_lvt)
		return 0;
	return lvts[i].offset;
}

#endif
