/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See guest.h. One walker for all paging modes, driven by a description of the mode (SDM vol. 3, "Paging"). The guest may
 * change its tables while we walk: every entry is read once, and what it says is checked in the copy.
 */
#include "mem/guest.h"

#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "nested/nested.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_LARGE BIT(7)
#define PTE_NX BIT(63)

#define PF_PRESENT BIT(0)
#define PF_WRITE BIT(1)
#define PF_USER BIT(2)
#define PF_RESERVED BIT(3)
#define PF_FETCH BIT(4)

struct paging {
	u64 cr0, cr3, cr4, efer;
	unsigned int levels;     /* 0: paging off */
	unsigned int entry_bytes;
	unsigned int index_bits;
};

static struct paging read_paging(void)
{
	struct paging p = { .cr0 = vmread(VMCS_GUEST_CR0), .cr3 = vmread(VMCS_GUEST_CR3), .cr4 = vmread(VMCS_GUEST_CR4),
			    .efer = vmread(VMCS_GUEST_EFER) };

	if (!(p.cr0 & CR0_PG))
		return p;
	p.entry_bytes = 8;
	p.index_bits = 9;
	if (p.efer & EFER_LMA) {
		p.levels = p.cr4 & CR4_LA57 ? 5 : 4;
	} else if (p.cr4 & CR4_PAE) {
		p.levels = 3;
	} else {
		p.levels = 2;
		p.entry_bytes = 4;
		p.index_bits = 10;
	}
	return p;
}

/* A guest-physical address of the level that runs, to host-physical, with the rights that the EPTs allow. */
static bool physical(struct percpu *cpu, u64 gpa, struct guest_page *page)
{
	struct ept01_leaf leaf;

	if (cpu->mode == RUN_L2)
		return nested_translate(cpu, GPA2(gpa), page);
	if (!ept01_lookup(GPA1(gpa), &leaf))
		return false;
	/* A partition's page: where it really is, and no rights. */
	page->hpa = leaf.owner ? HPA(gpa) : leaf.hpa;
	page->gpa1 = GPA1(gpa);
	page->rights = leaf.owner ? 0 : leaf.rights;
	return leaf.hpa.addr < direct_map_end;
}

static enum guest_access_result fault_at(struct guest_fault *fault, gva_t gva, u64 error_code)
{
	if (fault)
		*fault = (struct guest_fault){ gva, (u32)error_code };
	return GUEST_PAGE_FAULT;
}

/* Rights that the collected entry bits give to an access at this privilege. `all`: AND of U and W, OR of NX. */
static u32 rights_of(const struct paging *p, u64 all, bool user, u64 rflags)
{
	u32 rights = HYPAPI_R;

	if (user && !(all & PTE_U))
		return 0;
	if (!user && (all & PTE_U) && (p->cr4 & CR4_SMAP) && !(rflags & RFLAGS_AC))
		rights = 0;
	if (rights && ((all & PTE_W) || (!user && !(p->cr0 & CR0_WP))))
		rights |= HYPAPI_W;
	if (!(all & PTE_NX) && (user || !(all & PTE_U) || !(p->cr4 & CR4_SMEP)))
		rights |= HYPAPI_X;
	return rights;
}

static u64 load_entry(const struct guest_page *page, unsigned int bytes)
{
	const void *at = phys_to_virt(page->hpa);

	return bytes == 8 ? *(const volatile u64 *)at : *(const volatile u32 *)at;
}

/* Is this entry a leaf at `level` (1: the last one)? */
static bool is_leaf(const struct paging *p, u64 entry, unsigned int level)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_LARGE) || level > 3)
		return false;
	return p->levels == 2 ? p->cr4 & CR4_PSE : level == 2 || p->levels >= 4;
}

static u64 leaf_address(const struct paging *p, u64 entry, unsigned int level, u64 gva)
{
	u64 size = 1ull << (12 + p->index_bits * (level - 1)), base = entry & BITS(51, 12);

	if (p->levels == 2 && level == 2) /* PSE-36 */
		base = (entry & 0xffc00000) | (entry & BITS(20, 13)) << 19;
	return (base & ~(size - 1)) | (gva & (size - 1));
}

/* Walks to the leaf. On success *gpa and *all (see rights_of). */
static enum guest_access_result walk(struct percpu *cpu, const struct paging *p, gva_t gva, u64 access_bits, u64 *gpa,
				     u64 *all, struct guest_fault *fault)
{
	u64 table = p->cr3 & (p->levels == 3 ? BITS(31, 5) : BITS(51, 12));
	u64 index_mask = (1u << p->index_bits) - 1;

	*all = PTE_W | PTE_U;
	for (unsigned int level = p->levels;; level--) {
		u64 index = gva.addr >> (12 + p->index_bits * (level - 1)) & (p->levels == 3 && level == 3 ? 3 : index_mask);
		struct guest_page page;

		if (!physical(cpu, table + index * p->entry_bytes, &page) || !(page.rights & HYPAPI_R))
			return GUEST_NOT_OWNED;
		u64 entry = load_entry(&page, p->entry_bytes);

		if (!(entry & PTE_P))
			return fault_at(fault, gva, access_bits & ~PF_PRESENT);
		if (!(p->levels == 3 && level == 3)) { /* a PDPTE of PAE paging has no rights */
			*all &= (entry & (PTE_W | PTE_U)) | PTE_NX;
			*all |= p->efer & EFER_NXE ? entry & PTE_NX : 0;
		}
		if (is_leaf(p, entry, level)) {
			*gpa = leaf_address(p, entry, level, gva.addr);
			return GUEST_OK;
		}
		table = entry & (p->entry_bytes == 8 ? BITS(51, 12) : BITS(31, 12));
	}
}

static bool is_canonical(const struct paging *p, u64 gva)
{
	unsigned int shift = p->levels == 5 ? 7 : 16;

	return p->levels < 4 ? gva == (u32)gva : (u64)((long)(gva << shift) >> shift) == gva;
}

enum guest_access_result guest_translate(struct percpu *cpu, gva_t gva, u32 rights, unsigned int cpl,
					 struct guest_page *page, struct guest_fault *fault)
{
	struct paging p = read_paging();
	u64 access = PF_PRESENT | (cpl == 3 ? PF_USER : 0) | (rights & HYPAPI_W ? PF_WRITE : 0);
	u64 gpa = gva.addr, all;
	u32 allowed = HYPAPI_RWX;

	if (rights & HYPAPI_X && p.levels && ((p.efer & EFER_NXE) || (p.cr4 & CR4_SMEP)))
		access |= PF_FETCH;
	if (p.levels) {
		if (!is_canonical(&p, gva.addr))
			return fault_at(fault, gva, access & ~PF_PRESENT);
		enum guest_access_result result = walk(cpu, &p, gva, access, &gpa, &all, fault);

		if (result != GUEST_OK)
			return result;
		allowed = rights_of(&p, all, cpl == 3, vmread(VMCS_GUEST_RFLAGS));
		if ((allowed & rights) != rights)
			return fault_at(fault, gva, access);
	}
	page->gpa2 = GPA2(gpa);
	if (!physical(cpu, gpa, page) || (page->rights & rights) != rights)
		return GUEST_NOT_OWNED;
	page->rights &= allowed;
	return GUEST_OK;
}

static enum guest_access_result each_page(struct percpu *cpu, gva_t gva, void *buf, size_t len, u32 rights, bool copy,
					  struct guest_fault *fault)
{
	unsigned int cpl = guest_cpl();

	for (size_t done = 0; done < len;) {
		gva_t at = GVA(gva.addr + done);
		size_t part = MIN(len - done, PAGE_SIZE - (at.addr & (PAGE_SIZE - 1)));
		struct guest_page page;
		enum guest_access_result result = guest_translate(cpu, at, rights, cpl, &page, fault);

		if (result != GUEST_OK)
			return result;
		if (copy && rights == HYPAPI_W)
			memcpy(phys_to_virt(page.hpa), (u8 *)buf + done, part);
		else if (copy)
			memcpy((u8 *)buf + done, phys_to_virt(page.hpa), part);
		done += part;
	}
	return GUEST_OK;
}

enum guest_access_result guest_read(struct percpu *cpu, void *dst, gva_t src, size_t len, struct guest_fault *fault)
{
	return each_page(cpu, src, dst, len, HYPAPI_R, true, fault);
}

enum guest_access_result guest_write(struct percpu *cpu, gva_t dst, const void *src, size_t len, struct guest_fault *fault)
{
	enum guest_access_result result = GUEST_OK;

	/* One page needs no separate check. */
	if ((dst.addr & (PAGE_SIZE - 1)) + len > PAGE_SIZE)
		result = each_page(cpu, dst, (void *)src, len, HYPAPI_W, false, fault);
	return result == GUEST_OK ? each_page(cpu, dst, (void *)src, len, HYPAPI_W, true, fault) : result;
}
