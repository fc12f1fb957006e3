/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the core must keep of the guest's local APIC: that no INIT or SIPI reaches another CPU past the core, and that
 * no guest moves or disables the APIC that stops depend on. Everything else of the APIC is the guest's.
 */
#ifndef XMHF_APIC_GUARD_H
#define XMHF_APIC_GUARD_H

#include "cpu/lapic.h"
#include "events/taken.h"

/* At boot: makes the APIC page read-only in EPT01. */
void apic_guard_init(void);

/* An EPT violation in the APIC page: a store is taken, carried out or faulted. */
must_check enum taken apic_guard_store(struct percpu *cpu, gpa1_t gpa1, u64 qualification);

/* In line, because the violations that it is not about are a PAL's calls. */
must_check static inline enum taken apic_guard_violation(struct percpu *cpu, gpa1_t gpa1, u64 qualification)
{
	if ((gpa1.addr & HYPAPI_PAGE_MASK) != LAPIC_BASE)
		return NOT_TAKEN;
	return apic_guard_store(cpu, gpa1, qualification);
}

bool apic_guard_read_base(struct percpu *cpu, u32 msr, u64 *value);
bool apic_guard_write_base(struct percpu *cpu, u32 msr, u64 value);
bool apic_guard_write_icr(struct percpu *cpu, u32 msr, u64 value);
bool apic_guard_write_lvt(struct percpu *cpu, u32 msr, u64 value);

#endif
