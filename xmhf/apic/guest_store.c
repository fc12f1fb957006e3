/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See guest_store.h. */
#include "apic/guest_store.h"

#include "mem/ept01.h"
#include "vmx/vmx_insn.h"

/*
 * The last instruction that was looked at. An operating system has one or two for its APIC: where it was executed by
 * L1's 64-bit code its page is kept, and the bytes are looked at again at each use. Owner of each: its CPU.
 */
static struct known_code {
	struct guest_kept page;
	u64 rip;
	const u8 *insn;
	u64 first, last; /* of its bytes, eight each */
	struct store store;
} known[MAX_CPUS];

#define LAST (STORE_MAX_INSN - sizeof(u64))

static inline u64 eight_bytes(const u8 *at)
{
	u64 bytes;

	__builtin_memcpy(&bytes, at, sizeof(bytes));
	return bytes;
}

static inline bool is_known(const struct known_code *k)
{
	/* Code that is executed has no entry with the execute-disable bit: EFER has no say. */
	return k->rip == vmread(VMCS_GUEST_RIP) && guest_kept_holds_in_l1(&k->page, PTE_A | PTE_D) &&
	       eight_bytes(k->insn) == k->first && eight_bytes(k->insn + LAST) == k->last;
}

static void remember(struct known_code *k, struct guest_walk *w, gva_t rip)
{
	u64 offset = rip.addr & (PAGE_SIZE - 1);
	struct guest_page page;

	if (offset > PAGE_SIZE - STORE_MAX_INSN || guest_walk_page(w, rip, HYPAPI_R, &page, NULL) != GUEST_OK)
		return;
	guest_keep(&k->page, w, rip.addr - offset, page.memory);
	if (!k->page.memory)
		return;
	k->rip = rip.addr;
	k->insn = page.memory;
}

static __attribute__((noinline)) const struct store *fetch_and_decode(struct percpu *cpu, unsigned int code_size)
{
	gva_t rip = GVA((code_size == 64 ? 0 : vmread(VMCS_GUEST_CS_BASE)) + vmread(VMCS_GUEST_RIP));
	size_t in_page = MIN(PAGE_SIZE - (rip.addr & (PAGE_SIZE - 1)), (size_t)STORE_MAX_INSN), bytes = STORE_MAX_INSN;
	struct known_code *k = &known[cpu->index];
	u8 insn[STORE_MAX_INSN];
	struct guest_walk w;

	k->page.memory = NULL; /* until remember() */
	guest_walk_begin(&w, cpu, guest_cpl());
	if (guest_walk_read(&w, insn, rip, STORE_MAX_INSN, NULL) != GUEST_OK) {
		bytes = in_page;
		if (guest_walk_read(&w, insn, rip, bytes, NULL) != GUEST_OK)
			bytes = 0;
	} else if (code_size == 64 && cpu->world->mode == RUN_L1) {
		remember(k, &w, rip);
	}
	k->first = eight_bytes(insn);
	k->last = eight_bytes(insn + LAST);
	k->store = store_decode(insn, (unsigned int)bytes, code_size);
	return &k->store;
}

const struct store *guest_store_fetch(struct percpu *cpu, unsigned int code_size)
{
	const struct known_code *k = &known[cpu->index];

	if (likely(code_size == 64 && cpu->world->mode == RUN_L1 && is_known(k)))
		return &k->store;
	return fetch_and_decode(cpu, code_size);
}

/* A register takes an operand of this size: 32 bits clear the rest, fewer leave it. */
void guest_store_put(struct percpu *cpu, const struct store *s, unsigned int reg, u64 value)
{
	u64 old = guest_reg(cpu, reg), shift = s->high_byte ? 8 : 0;
	u64 mask = s->size >= 4 ? ~0ull : (BIT(8 * s->size) - 1) << shift;

	guest_set_reg(cpu, reg, (old & ~mask) | (value << shift & mask));
}
