/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store of a guest that exits: its instruction, and the registers that take part. VMCS01 or VMCS02 is current.
 * Callers: apic/apic_guard.c, power/wake.c.
 */
#ifndef XMHF_GUEST_STORE_H
#define XMHF_GUEST_STORE_H

#include "apic/store.h"
#include "cpu/percpu.h"
#include "mem/guest.h"

/* 16, 32 or 64. */
static inline unsigned int guest_code_size(void)
{
	u64 cs = vmread(VMCS_GUEST_CS_AR);

	if (cs & AR_L && vmread(VMCS_ENTRY_CTLS) & ENTRYCTL_IA32E)
		return 64;
	return cs & AR_DB ? 32 : 16;
}

/*
 * The instruction at RIP, good until the CPU asks for the next one; len is 0 if it cannot be read, or is no store that
 * is known.
 */
const struct store *guest_store_fetch(struct percpu *cpu, unsigned int code_size);

/* What it stores. */
static inline u64 guest_store_value(const struct percpu *cpu, const struct store *s)
{
	return s->immediate ? s->value : guest_reg(cpu, s->reg) >> (s->high_byte ? 8 : 0);
}

/* A register takes an operand of this store's size. */
void guest_store_put(struct percpu *cpu, const struct store *s, unsigned int reg, u64 value);

#endif
