/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See guest_store.h. */
#include "apic/guest_store.h"

#include "mem/guest.h"
#include "vmx/vmx_insn.h"

unsigned int guest_code_size(void)
{
	u64 cs = vmread(VMCS_GUEST_CS_AR);

	return cs & AR_L && guest_long_mode() ? 64 : cs & AR_DB ? 32 : 16;
}

struct store guest_store_fetch(struct percpu *cpu, unsigned int code_size)
{
	gva_t rip = GVA((code_size == 64 ? 0 : vmread(VMCS_GUEST_CS_BASE)) + vmread(VMCS_GUEST_RIP));
	size_t in_page = MIN(PAGE_SIZE - (rip.addr & (PAGE_SIZE - 1)), (size_t)STORE_MAX_INSN), bytes = STORE_MAX_INSN;
	u8 insn[STORE_MAX_INSN];

	if (guest_read(cpu, insn, rip, STORE_MAX_INSN, NULL) != GUEST_OK) {
		bytes = in_page;
		if (guest_read(cpu, insn, rip, bytes, NULL) != GUEST_OK)
			bytes = 0;
	}
	return store_decode(insn, (unsigned int)bytes, code_size);
}

/* A register takes an operand of this size: 32 bits clear the rest, fewer leave it. */
void guest_store_put(struct percpu *cpu, const struct store *s, unsigned int reg, u64 value)
{
	u64 old = guest_reg(cpu, reg), shift = s->high_byte ? 8 : 0;
	u64 mask = s->size >= 4 ? ~0ull : (BIT(8 * s->size) - 1) << shift;

	guest_set_reg(cpu, reg, (old & ~mask) | (value << shift & mask));
}

u64 guest_store_value(const struct percpu *cpu, const struct store *s)
{
	return s->immediate ? s->value : guest_reg(cpu, s->reg) >> (s->high_byte ? 8 : 0);
}
