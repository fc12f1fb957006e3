/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See guest_store.h. */
#include "apic/guest_store.h"

#include "mem/ept01.h"
#include "mem/guest.h"
#include "vmx/vmx_insn.h"

unsigned int guest_code_size(void)
{
	u64 cs = vmread(VMCS_GUEST_CS_AR);

	return cs & AR_L && guest_long_mode() ? 64 : cs & AR_DB ? 32 : 16;
}

/*
 * The last instruction that L1's 64-bit code stored by: an operating system has one or two for its APIC. It was
 * executed where RIP leads to, so where the tables on the way are the same and have the same entries, it is in the same
 * page. Way and bytes are looked at again at each use, so nothing has to forget it. Owner of each: its CPU.
 */
static struct known_code {
	struct guest_path path; /* gva: RIP */
	u64 cr3;
	gpa1_t gpa1;
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

static inline bool is_known(const struct known_code *k, u64 rip)
{
	u64 entry;

	if (k->path.gva != rip || k->cr3 != vmread(VMCS_GUEST_CR3) || k->path.cr4 != vmread(VMCS_GUEST_CR4) ||
	    !guest_path_is_same(&k->path))
		return false;
	entry = ept01_entry(k->gpa1);
	const u8 *insn = entry & HYPAPI_R ? ept01_memory(entry, k->gpa1.addr) : NULL;

	return insn && eight_bytes(insn) == k->first && eight_bytes(insn + LAST) == k->last;
}

static void remember(struct known_code *k, struct guest_walk *w, gva_t rip, const u8 *insn)
{
	struct guest_page page;

	if ((rip.addr & (PAGE_SIZE - 1)) > PAGE_SIZE - STORE_MAX_INSN ||
	    guest_walk_page(w, rip, HYPAPI_R, &page, NULL) != GUEST_OK)
		return;
	k->path.gva = rip.addr;
	guest_path_record(&k->path, w);
	k->path.gva = k->path.levels == GUEST_NO_PATH ? ~0ull : rip.addr; /* no instruction is there */
	k->cr3 = vmread(VMCS_GUEST_CR3);
	k->gpa1 = page.gpa1;
	k->first = eight_bytes(insn);
	k->last = eight_bytes(insn + LAST);
	k->store = store_decode(insn, STORE_MAX_INSN, 64);
}

static struct store fetch_and_decode(struct percpu *cpu, gva_t rip, unsigned int code_size)
{
	size_t in_page = MIN(PAGE_SIZE - (rip.addr & (PAGE_SIZE - 1)), (size_t)STORE_MAX_INSN), bytes = STORE_MAX_INSN;
	u8 insn[STORE_MAX_INSN];
	struct guest_walk w;

	guest_walk_begin(&w, cpu);
	if (guest_walk_read(&w, insn, rip, STORE_MAX_INSN, NULL) != GUEST_OK) {
		bytes = in_page;
		if (guest_walk_read(&w, insn, rip, bytes, NULL) != GUEST_OK)
			bytes = 0;
	} else if (code_size == 64 && cpu->world->mode == RUN_L1) {
		remember(&known[cpu->index], &w, rip, insn);
	}
	return store_decode(insn, (unsigned int)bytes, code_size);
}

struct store guest_store_fetch(struct percpu *cpu, unsigned int code_size)
{
	const struct known_code *k = &known[cpu->index];
	u64 rip = vmread(VMCS_GUEST_RIP);

	if (likely(code_size == 64 && cpu->world->mode == RUN_L1 && is_known(k, rip)))
		return k->store;
	return fetch_and_decode(cpu, GVA((code_size == 64 ? 0 : vmread(VMCS_GUEST_CS_BASE)) + rip), code_size);
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
