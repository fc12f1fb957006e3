/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store of a guest that exits: its instruction, and the registers that take part. VMCS01 or VMCS02 is current.
 * Callers: apic/apic_guard.c, power/wake.c.
 */
#ifndef XMHF_GUEST_STORE_H
#define XMHF_GUEST_STORE_H

#include "apic/store.h"
#include "cpu/percpu.h"

/* 16, 32 or 64. */
unsigned int guest_code_size(void);

/* The instruction at RIP; len is 0 if it cannot be read, or is no store that is known. */
struct store guest_store_fetch(struct percpu *cpu, unsigned int code_size);

/* What it stores. */
u64 guest_store_value(const struct percpu *cpu, const struct store *s);

/* A register takes an operand of this store's size. */
void guest_store_put(struct percpu *cpu, const struct store *s, unsigned int reg, u64 value);

#endif
