/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See operand.h. Address arithmetic and its checks follow the Intel SDM vol. 3, "VM-Exit Instruction Information" and
 * vol. 1, "Specifying an Offset": the fault is the one that the same operand gives in an ordinary instruction.
 */
#include "nested/operand.h"

#include "cpu/paging.h"
#include "cpu/x86.h"
#include "nested/state.h"
#include "vmx/exit.h"

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

/* The effective address, cut to the address size of the instruction. */
static always_inline u64 offset_of(const struct percpu *cpu, u32 info)
{
	u64 offset = vmread(VMCS_EXIT_QUALIFICATION);

	if (!(info & BIT(27)))
		offset += guest_reg(cpu, info >> 23 & 15);
	if (!(info & BIT(22)))
		offset += guest_reg(cpu, info >> 18 & 15) << (info & 3);
	return offset & guest_address_mask(info);
}

/* In either half of a 48-bit address space, with room for any operand. */
static bool plainly_canonical(u64 addr)
{
	return addr < BIT(47) - 64 || (addr >= BITS(63, 47) && addr < -64ull);
}

static always_inline u64 base_64(u32 seg)
{
	return likely(seg < SEG_FS) ? 0 : vmread(seg == SEG_FS ? VMCS_GUEST_FS_BASE : VMCS_GUEST_GS_BASE);
}

static bool linear_64(u64 offset, u32 seg, size_t len, gva_t *linear)
{
	u64 addr = offset + base_64(seg);
	u32 bits = vmread(VMCS_GUEST_CR4) & CR4_LA57 ? LINEAR_BITS_LA57 : LINEAR_BITS;

	*linear = GVA(addr);
	return is_canonical(addr, bits) && is_canonical(addr + len - 1, bits);
}

/* Access rights and limit of a segment outside 64-bit mode; len bytes at offset. */
static bool segment_allows(u32 ar, u64 limit, u64 offset, size_t len, bool write)
{
	u64 last = offset + len - 1;

	if ((ar & AR_UNUSABLE) || (write && ((ar & AR_CODE) || !(ar & AR_WRITABLE))) ||
	    (!write && (ar & AR_CODE) && !(ar & AR_WRITABLE)))
		return false;
	if (!(ar & AR_CODE) && (ar & AR_CONFORMING)) /* expand-down: the limit is the forbidden part */
		return offset > limit && last <= (ar & AR_DB ? 0xffffffff : 0xffff);
	return last <= limit;
}

static bool linear_32(u64 offset, u32 seg, size_t len, bool write, gva_t *linear)
{
	u32 step = 2 * MIN(seg, (u32)SEG_GS), ar = (u32)vmread(VMCS_GUEST_ES_AR + step);

	*linear = GVA((u32)(vmread(VMCS_GUEST_ES_BASE + step) + offset));
	return segment_allows(ar, vmread(VMCS_GUEST_ES_LIMIT + step), offset, len, write);
}

/* False: a fault was raised. */
static bool linear_address(struct percpu *cpu, u32 info, bool long_mode, size_t len, bool write, gva_t *linear)
{
	u64 offset = offset_of(cpu, info);
	u32 seg = info >> 15 & 7;

	if (long_mode ? linear_64(offset, seg, len, linear) : linear_32(offset, seg, len, write, linear))
		return true;
	vmx_raise(cpu, seg == SEG_SS ? VEC_SS : VEC_GP, 0, GVA(0));
	return false;
}

/* 4-level paging, a supervisor's access, without faults: what is not plain success leaves levels 0. */
static void walk(struct l1_memory *memory, struct operand_walk *w, bool write)
{
	u64 need = PTE_P | (write ? PTE_W : 0), table = w->cr3 & PTE_ADDR, user = PTE_U, writable = PTE_W;
	u64 flags = PTE_A | (write ? PTE_D : 0);
	u64 reserved = (nested_caps.phys_reserved & BITS(51, 12)) | (w->efer & EFER_NXE ? 0 : PTE_NX);
	u32 levels = 0;

	w->levels = 0;
	for (u32 shift = 39;; shift -= 9) {
		const u64 *page = l1_page(memory, table, HYPAPI_R);
		u64 entry = page ? __atomic_load_n(&page[w->linear >> shift & 511], __ATOMIC_RELAXED) : 0;

		if ((entry & (need | reserved)) != need || is_malformed_pte(entry, shift))
			return;
		w->level[levels].at = &page[w->linear >> shift & 511];
		w->level[levels++].entry = entry;
		user &= entry;
		writable &= entry;
		table = entry & PTE_ADDR;
		/* Flags are set on the slow way. */
		bool leaf = shift == 12 || ((entry & PTE_LARGE) && shift <= 30);

		if (leaf && (flags & ~entry))
			return;
		if (leaf) {
			u64 offset = BIT(shift) - 1;

			table = (table & ~offset) | (w->linear & offset);
			break;
		}
	}
	w->page = user && (w->cr4 & (CR4_SMAP | CR4_PKE)) ? NULL : l1_page(memory, table, write ? HYPAPI_RW : HYPAPI_R);
	w->writable = write && writable;
	w->levels = w->page ? levels : 0;
}

/* The walk of this page anew. */
static __attribute__((noinline)) void *walk_again(struct nested_cpu *n, struct operand_walk *w, u64 linear, bool write)
{
	*w = (struct operand_walk){ .linear = linear & PAGE_ADDR, .cr3 = vmread(VMCS_GUEST_CR3),
				    .cr4 = vmread(VMCS_GUEST_CR4), .efer = vmread(VMCS_GUEST_EFER),
				    .generation = ept01_generation };
	if (!(w->cr4 & CR4_LA57))
		walk(&n->memory, w, write);
	return w->levels ? w->page + (linear & (PAGE_SIZE - 1)) : NULL;
}

static always_inline bool still_holds(const struct operand_walk *w, u64 linear, bool write)
{
	if (w->linear != (linear & PAGE_ADDR) || w->writable < write || w->generation != ept01_generation)
		return false;
	if (w->cr3 != vmread(VMCS_GUEST_CR3) || w->cr4 != vmread(VMCS_GUEST_CR4) || w->efer != vmread(VMCS_GUEST_EFER))
		return false;
	for (u32 i = 0; i < w->levels; i++)
		if (__atomic_load_n(w->level[i].at, __ATOMIC_RELAXED) != w->level[i].entry)
			return false;
	return w->levels;
}

void *operand_at(struct percpu *cpu, u32 info, bool long_mode, size_t len, bool write)
{
	u64 linear = offset_of(cpu, info) + base_64(info >> 15 & 7);

	if (unlikely(!long_mode || !plainly_canonical(linear) || (linear & (PAGE_SIZE - 1)) + len > PAGE_SIZE))
		return NULL;
	struct operand_walk *w = &cpu->nested->walks[linear >> PAGE_SHIFT & (OPERAND_WALKS - 1)];

	if (likely(still_holds(w, linear, write)))
		return w->page + (linear & (PAGE_SIZE - 1));
	return walk_again(cpu->nested, w, linear, write);
}

static enum guest_access_result access(struct percpu *cpu, gva_t linear, void *buf, size_t len, bool write,
				       struct guest_fault *fault)
{
	if (write)
		return guest_write(cpu, linear, buf, len, fault);
	enum guest_access_result result = guest_begin_access(cpu, linear, len, HYPAPI_R, fault);

	return result == GUEST_OK ? guest_read(cpu, buf, linear, len, fault) : result;
}

/* What L1 maps for L2 between an access and the question whether EPT12 allows it is there at the second try. */
static bool access_slow(struct percpu *cpu, u32 info, bool long_mode, void *buf, size_t len, bool write)
{
	enum guest_access_result result = GUEST_NOT_OWNED;
	struct guest_fault fault;
	gva_t linear;

	if (!linear_address(cpu, info, long_mode, len, write, &linear))
		return false;
	for (u32 tries = 0; tries < 2 && result == GUEST_NOT_OWNED; tries++) {
		result = access(cpu, linear, buf, len, write, &fault);
		if (result == GUEST_NOT_OWNED && nested_missed(cpu, linear, len, write ? HYPAPI_W : HYPAPI_R))
			return false;
	}
	if (result == GUEST_PAGE_FAULT)
		vmx_raise(cpu, VEC_PF, fault.error_code, fault.gva);
	else if (result == GUEST_NOT_OWNED && !write)
		__builtin_memset(buf, 0xff, len);
	return result != GUEST_PAGE_FAULT;
}

bool operand_read_slow(struct percpu *cpu, u32 info, bool long_mode, void *dst, size_t len)
{
	return access_slow(cpu, info, long_mode, dst, len, false);
}

bool operand_write_slow(struct percpu *cpu, u32 info, bool long_mode, const void *src, size_t len)
{
	return access_slow(cpu, info, long_mode, (void *)src, len, true);
}
