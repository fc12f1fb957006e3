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

/*
 * What is not plain success of a supervisor's access is not kept, nor a write that CR0.WP has a say in. Flags are set
 * on the slow way.
 */
static __attribute__((noinline)) void *walk(struct percpu *cpu, struct guest_kept *kept, u64 linear, bool write)
{
	u64 offset = linear & (PAGE_SIZE - 1), flags = write ? PTE_A | PTE_D : PTE_A;
	struct guest_page page;
	struct guest_walk w;

	kept->memory = NULL;
	guest_walk_begin(&w, cpu, 0);
	if (guest_walk_page(&w, GVA(linear - offset), write ? HYPAPI_RW : HYPAPI_R, &page, NULL) != GUEST_OK ||
	    (flags & ~w.at[w.level].entry) || (write && (guest_walk_refused(&w) & PTE_W)))
		return NULL;
	guest_keep(kept, &w, linear - offset, page.memory);
	return kept->memory ? kept->memory + offset : NULL;
}

/* With all bits of the entries, so that flags which L1 has cleared are set again, on the slow way. */
static always_inline bool still_holds(const struct guest_kept *kept, u64 linear)
{
	return kept->path.gva == (linear & PAGE_ADDR) && kept->path.efer == vmread(VMCS_GUEST_EFER) &&
	       guest_kept_holds_in_l1(kept, 0);
}

void *operand_at(struct percpu *cpu, u32 info, bool long_mode, size_t len, bool write)
{
	u64 linear = offset_of(cpu, info) + base_64(info >> 15 & 7);

	if (unlikely(!long_mode || !plainly_canonical(linear) || (linear & (PAGE_SIZE - 1)) + len > PAGE_SIZE))
		return NULL;
	struct guest_kept *kept = &cpu->nested->operands[write][linear >> PAGE_SHIFT & (OPERAND_PAGES - 1)];

	if (likely(still_holds(kept, linear)))
		return kept->memory + (linear & (PAGE_SIZE - 1));
	return walk(cpu, kept, linear, write);
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
