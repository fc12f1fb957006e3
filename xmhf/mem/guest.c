/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See guest.h. One walker for all paging modes, driven by a description of the mode (SDM vol. 3, "Paging"). The guest may
 * change its tables while we walk: every entry is read once, and what it says is checked in the copy. A walk remembers the
 * table that its last leaf was in, as the CPU's own paging-structure caches do, so neighbours cost one entry each.
 */
#include "mem/guest.h"

#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/ept.h"
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

void guest_walk_begin(struct guest_walk *w, struct percpu *cpu)
{
	w->cpu = cpu;
	w->cpl = guest_cpl();
	w->table = NULL;
	w->levels = 0;
	w->cr0 = vmread(VMCS_GUEST_CR0);
	if (!(w->cr0 & CR0_PG))
		return;
	w->cr3 = vmread(VMCS_GUEST_CR3) & BITS(51, 12);
	w->cr4 = vmread(VMCS_GUEST_CR4);
	w->efer = vmread(VMCS_GUEST_EFER);
	w->rflags = vmread(VMCS_GUEST_RFLAGS);
	w->nx = w->efer & EFER_NXE ? PTE_NX : 0;
	w->index_bits = 9;
	if (w->efer & EFER_LMA) {
		w->levels = w->cr4 & CR4_LA57 ? 5 : 4;
	} else if (w->cr4 & CR4_PAE) {
		w->levels = 3;
		w->cr3 = vmread(VMCS_GUEST_CR3) & BITS(31, 5);
	} else {
		w->levels = 2;
		w->index_bits = 10;
	}
}

/* A guest-physical address of the level that runs, to host-physical, with the rights that the EPTs allow. */
static inline bool physical(struct percpu *cpu, u64 gpa, struct guest_page *page)
{
	u64 entry, hpa;

	if (cpu->mode == RUN_L2)
		return nested_translate(cpu, GPA2(gpa), page);
	entry = ept01_entry(GPA1(gpa));
	hpa = (entry & EPT_ADDR) | (gpa & (PAGE_SIZE - 1));
	if (!(entry & EPT_RIGHTS) || hpa >= direct_map_end)
		return false;
	/* A partition's page: where it really is, and no rights. */
	page->hpa = entry & EPT01_OWNER_BITS ? HPA(gpa) : HPA(hpa);
	page->gpa1 = GPA1(gpa);
	page->rights = entry & EPT01_OWNER_BITS ? 0 : entry & EPT_RIGHTS;
	return true;
}

/* A #PF for an access that wanted these rights. `present`: the page is there, but does not allow it. */
static enum guest_access_result fault_at(const struct guest_walk *w, struct guest_fault *fault, gva_t gva, u32 rights, bool present)
{
	u32 error_code = (present ? PF_PRESENT : 0) | (w->cpl == 3 ? PF_USER : 0) | (rights & HYPAPI_W ? PF_WRITE : 0);

	if (rights & HYPAPI_X && ((w->efer & EFER_NXE) || (w->cr4 & CR4_SMEP)))
		error_code |= PF_FETCH;
	if (fault)
		*fault = (struct guest_fault){ gva, error_code };
	return GUEST_PAGE_FAULT;
}

/* Rights that the collected entry bits give to an access at this privilege. `all`: AND of U and W, OR of NX. */
static u32 rights_of(const struct guest_walk *w, u64 all)
{
	bool user = w->cpl == 3;
	u32 rights = HYPAPI_R;

	if (user && !(all & PTE_U))
		return 0;
	if (!user && (all & PTE_U) && (w->cr4 & CR4_SMAP) && !(w->rflags & RFLAGS_AC))
		rights = 0;
	if (rights && ((all & PTE_W) || (!user && !(w->cr0 & CR0_WP))))
		rights |= HYPAPI_W;
	if (!(all & PTE_NX) && (user || !(all & PTE_U) || !(w->cr4 & CR4_SMEP)))
		rights |= HYPAPI_X;
	return rights;
}

/* Is this entry, of the table that is walked, a leaf? */
static inline bool is_leaf(const struct guest_walk *w, u64 entry)
{
	if (w->shift == PAGE_SHIFT)
		return true;
	if (likely(!(entry & PTE_LARGE)))
		return false;
	if (w->levels >= 4)
		return w->shift <= 30;
	return w->levels == 3 ? w->shift == 21 : w->cr4 & CR4_PSE;
}

static inline u64 leaf_address(const struct guest_walk *w, u64 entry, u64 gva)
{
	u64 size = 1ull << w->shift, base = entry & BITS(51, 12);

	if (unlikely(w->shift == 22)) /* PSE-36 */
		base = (entry & 0xffc00000) | (entry & BITS(20, 13)) << 19;
	return (base & ~(size - 1)) | (gva & (size - 1));
}

/* Goes on to the table at gpa. False: the guest may not read it. */
static inline bool to_table(struct guest_walk *w, u64 gpa, u32 shift)
{
	struct guest_page page;
	bool ok = physical(w->cpu, gpa, &page) && (page.rights & HYPAPI_R);

	w->table = ok ? phys_to_virt(page.hpa) : NULL;
	w->shift = shift;
	return ok;
}

/* Below four levels; entries of PAE paging's first level have no rights, and what is reserved there reads as all of them. */
static u64 load_legacy_entry(const struct guest_walk *w, u64 gva)
{
	if (w->levels == 2)
		return ((const volatile u32 *)w->table)[gva >> w->shift & 1023];
	u64 entry = ((const volatile u64 *)w->table)[gva >> w->shift & 511];

	return w->shift == 30 ? (entry | PTE_W | PTE_U) & ~PTE_NX : entry;
}

static inline u64 load_entry(const struct guest_walk *w, u64 gva)
{
	return likely(w->levels >= 4) ? ((const volatile u64 *)w->table)[gva >> w->shift & 511] : load_legacy_entry(w, gva);
}

/* Walks to the leaf. On success *gpa and *all (see rights_of). GUEST_PAGE_FAULT: not present. */
static inline enum guest_access_result walk(struct guest_walk *w, u64 gva, u64 *gpa, u64 *all)
{
	/* Is it in the table that was read last, too? */
	if (!w->table || (gva ^ w->gva) >> (w->shift + w->index_bits)) {
		w->all = PTE_W | PTE_U;
		if (!to_table(w, w->cr3, PAGE_SHIFT + w->index_bits * (w->levels - 1)))
			return GUEST_NOT_OWNED;
	}
	w->gva = gva;
	for (;;) {
		u64 entry = load_entry(w, gva);

		if (!(entry & PTE_P))
			return GUEST_PAGE_FAULT;
		*all = (w->all & (entry | PTE_NX)) | (entry & w->nx);
		if (is_leaf(w, entry)) {
			*gpa = leaf_address(w, entry, gva);
			return GUEST_OK;
		}
		w->all = *all;
		if (!to_table(w, entry & BITS(51, 12), w->shift - w->index_bits))
			return GUEST_NOT_OWNED;
	}
}

static bool is_canonical(const struct guest_walk *w, u64 gva)
{
	unsigned int shift = w->levels == 5 ? 7 : 16;

	return w->levels < 4 ? gva == (u32)gva : (u64)((long)(gva << shift) >> shift) == gva;
}

enum guest_access_result guest_walk_page(struct guest_walk *w, gva_t gva, u32 rights, struct guest_page *page,
					 struct guest_fault *fault)
{
	u64 gpa = gva.addr, all;
	u32 allowed = HYPAPI_RWX;

	if (w->levels) {
		enum guest_access_result result = is_canonical(w, gva.addr) ? walk(w, gva.addr, &gpa, &all) : GUEST_PAGE_FAULT;

		if (result != GUEST_OK)
			return result == GUEST_PAGE_FAULT ? fault_at(w, fault, gva, rights, false) : result;
		allowed = rights_of(w, all);
		if ((allowed & rights) != rights)
			return fault_at(w, fault, gva, rights, true);
	}
	page->gpa2 = GPA2(gpa);
	if (!physical(w->cpu, gpa, page) || (page->rights & rights) != rights)
		return GUEST_NOT_OWNED;
	page->rights &= allowed;
	return GUEST_OK;
}

static enum guest_access_result each_page(struct guest_walk *w, gva_t gva, void *buf, size_t len, u32 rights, bool copy,
					  struct guest_fault *fault)
{
	for (size_t done = 0; done < len;) {
		gva_t at = GVA(gva.addr + done);
		size_t part = MIN(len - done, PAGE_SIZE - (at.addr & (PAGE_SIZE - 1)));
		struct guest_page page;
		enum guest_access_result result = guest_walk_page(w, at, rights, &page, fault);

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

enum guest_access_result guest_walk_read(struct guest_walk *w, void *dst, gva_t src, size_t len, struct guest_fault *fault)
{
	return each_page(w, src, dst, len, HYPAPI_R, true, fault);
}

enum guest_access_result guest_walk_write(struct guest_walk *w, gva_t dst, const void *src, size_t len, struct guest_fault *fault)
{
	enum guest_access_result result = GUEST_OK;

	/* One page needs no separate check. */
	if ((dst.addr & (PAGE_SIZE - 1)) + len > PAGE_SIZE)
		result = each_page(w, dst, (void *)src, len, HYPAPI_W, false, fault);
	return result == GUEST_OK ? each_page(w, dst, (void *)src, len, HYPAPI_W, true, fault) : result;
}

enum guest_access_result guest_read(struct percpu *cpu, void *dst, gva_t src, size_t len, struct guest_fault *fault)
{
	struct guest_walk w;

	guest_walk_begin(&w, cpu);
	return guest_walk_read(&w, dst, src, len, fault);
}

enum guest_access_result guest_write(struct percpu *cpu, gva_t dst, const void *src, size_t len, struct guest_fault *fault)
{
	struct guest_walk w;

	guest_walk_begin(&w, cpu);
	return guest_walk_write(&w, dst, src, len, fault);
}
