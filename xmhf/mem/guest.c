/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See guest.h. One walker for all paging modes, driven by a description of the mode (SDM vol. 3, "Paging"). The guest
 * may change its tables while we walk: every entry is read once, and what it says is checked in the copy. A walk
 * remembers the table that its last leaf was in, as the CPU's own paging-structure caches do, so neighbours cost one
 * entry each.
 */
#include "mem/guest.h"

#include "cpu/paging.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/page_copy.h"
#include "mem/pages.h"
#include "mem/phys_bits.h"
#include "nested/nested.h"
#include "vmx/inject.h"

/* A guest-physical address of the level that runs, to host-physical, with the rights that the EPTs allow. */
bool guest_physical_page(struct percpu *cpu, u64 gpa, struct guest_page *page)
{
	if (cpu->world->mode == RUN_L2)
		return nested_translate(cpu, GPA2(gpa), page);
	u64 entry = ept01_entry(GPA1(gpa));

	if (!(entry & EPT_RIGHTS))
		return false;
	page->memory = ept01_memory(entry, gpa);
	page->fleeting = page->clean = page->watched = false;
	page->hpa = HPA((entry & EPT_ADDR) | (gpa & (PAGE_SIZE - 1)));
	page->gpa1 = GPA1(gpa);
	page->rights = entry & EPT_RIGHTS;
	/* A partition's page: where it really is, and no rights. */
	if (unlikely(entry & EPT01_TAKEN)) {
		page->hpa = HPA(gpa);
		page->rights = 0;
	}
	return true;
}

/* A #PF for an access that wanted these rights; `why`: PF_PRESENT, PF_RESERVED, PF_KEY. */
static enum guest_access_result fault_at(const struct guest_walk *w, struct guest_fault *fault, gva_t gva, u32 rights,
					 u32 why)
{
	u32 error_code = why | (w->cpl == 3 ? PF_USER : 0) | (rights & HYPAPI_W ? PF_WRITE : 0);

	if (rights & HYPAPI_X && ((w->efer & EFER_NXE) || (w->cr4 & CR4_SMEP)))
		error_code |= PF_FETCH;
	if (fault)
		*fault = (struct guest_fault){ gva, error_code };
	return GUEST_PAGE_FAULT;
}

void guest_raise(struct percpu *cpu, enum guest_access_result result, const struct guest_fault *fault)
{
	if (result == GUEST_PAGE_FAULT)
		vmx_raise(cpu, VEC_PF, fault->error_code, fault->gva);
	else
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
}

/* Rights to the page that the last walk came to which its protection key takes. refused: as in rights_of(). */
static inline u32 key_refuses(const struct guest_walk *w, u64 refused)
{
	u32 key;

	if (likely(!w->pkru) || (refused & PTE_U))
		return 0;
	key = PTE_KEY(w->at[w->level].entry);
	if (w->pkru & PKRU_NO_ACCESS(key))
		return HYPAPI_RW;
	return (w->pkru & PKRU_NO_WRITE(key)) && (w->cpl == 3 || (vmread(VMCS_GUEST_CR0) & CR0_WP)) ? HYPAPI_W : 0;
}

/*
 * Rights that are left to an access at this privilege. refused: PTE_W, PTE_U, PTE_NX, as walk_tables() collects them.
 */
static inline u32 rights_of(const struct guest_walk *w, u64 refused)
{
	bool user = w->cpl == 3;
	u32 rights = HYPAPI_R;

	if (user && (refused & PTE_U))
		return 0;
	if (!user && !(refused & PTE_U) && (w->cr4 & CR4_SMAP) && !(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_AC))
		rights = 0;
	if (rights && (!(refused & PTE_W) || (!user && !(vmread(VMCS_GUEST_CR0) & CR0_WP))))
		rights |= HYPAPI_W;
	rights &= ~key_refuses(w, refused);
	if (!(refused & w->nx) && (user || (refused & PTE_U) || !(w->cr4 & CR4_SMEP)))
		rights |= HYPAPI_X;
	return rights;
}

/* Is this entry, of a table whose index stands at `shift`, a leaf? */
static inline bool is_leaf(const struct guest_walk *w, u64 entry, u32 shift, u32 levels)
{
	if (shift == PAGE_SHIFT)
		return true;
	if (likely(!(entry & PTE_LARGE)))
		return false;
	if (levels >= 4)
		return shift <= 30;
	return levels == 3 ? shift == 21 : w->cr4 & CR4_PSE;
}

static inline u64 leaf_address(u64 entry, u64 gva, u32 shift)
{
	u64 offset = (1ull << shift) - 1, base = entry & PTE_ADDR;

	if (unlikely(shift == 22)) /* PSE-36 */
		base = (entry & 0xffc00000) | (entry & BITS(20, 13)) << 19;
	return (base & ~offset) | (gva & offset);
}

/* Memory that a page walk reads: where the core sees gpa, or NULL if the guest may not read there. */
static always_inline const void *readable(struct guest_walk *w, u64 gpa, bool in_l2)
{
	if (in_l2)
		return nested_readable(w->cpu, GPA2(gpa), &w->fleeting);
	u64 entry = ept01_entry(GPA1(gpa));

	return likely(entry & HYPAPI_R) ? ept01_memory(entry, gpa) : NULL;
}

void guest_walk_begin(struct guest_walk *w, struct percpu *cpu, u32 cpl)
{
	w->cpu = cpu;
	w->cpl = cpl;
	w->fleeting = false;
	w->levels = 0;
	w->efer = vmread(VMCS_GUEST_EFER);
	if (!(w->efer & EFER_LMA) && !(vmread(VMCS_GUEST_CR0) & CR0_PG))
		return;
	w->cr4 = vmread(VMCS_GUEST_CR4);
	w->nx = w->efer & EFER_NXE ? PTE_NX : 0;
	if (w->efer & EFER_LMA)
		w->levels = w->cr4 & CR4_LA57 ? 5 : 4;
	else
		w->levels = w->cr4 & CR4_PAE ? 3 : 2;
	w->pkru = w->levels >= 4 && unlikely(w->cr4 & CR4_PKE) ? rdpkru() : 0;
	w->level = w->levels - 1;
	w->at[w->level].refused = 0;
	w->at[w->level].gpa = vmread(VMCS_GUEST_CR3) & (w->levels == 2 ? BITS(31, 12) : PTE_ADDR);
	w->at[w->level].table = NULL;
}

/* Below four levels; entries of PAE paging's first level have no rights, and what is reserved there refuses nothing. */
static u64 load_legacy_entry(u32 levels, const void *table, u64 gva, u32 shift)
{
	if (levels == 2)
		return __atomic_load_n((const u32 *)table + (gva >> shift & 1023), __ATOMIC_RELAXED);
	u64 entry = __atomic_load_n((const u64 *)table + (gva >> shift & (shift == 30 ? 3 : 511)), __ATOMIC_RELAXED);

	return shift == 30 ? (entry | PTE_W | PTE_U) & ~PTE_NX : entry;
}

/* Of two levels a large page has address bits 39:32 in bits 20:13, as far as the CPU has them; bit 21 is none. */
static u64 pse36_reserved(void)
{
	return BITS(21, MIN(MAX(phys_bits(), 32u), 40u) - 32 + 13);
}

/* Of an entry with unusual bits. The first level of PAE paging was judged when CR3 was loaded. */
static inline bool has_reserved(const struct guest_walk *w, u64 entry, u32 shift, u32 levels)
{
	if (levels >= 3)
		return (levels > 3 || shift < 30) &&
		       ((entry & w->unusual & ~PTE_LARGE) || is_malformed_pte(entry, shift));
	return shift > PAGE_SHIFT && (entry & PTE_LARGE) && (w->cr4 & CR4_PSE) && (entry & pse36_reserved());
}

/* What the walk that came to GUEST_PAGE_FAULT met. */
static u32 why_not(const struct guest_walk *w)
{
	return w->at[w->level].entry & PTE_P ? PF_PRESENT | PF_RESERVED : 0;
}

/*
 * Walks to the leaf, from the lowest table of the last walk that covers gva. On success *gpa, and in *refused what
 * some entry on the way does not give: PTE_W, PTE_U; and PTE_NX. GUEST_PAGE_FAULT: not present, or malformed, as the
 * entry says that was read last. In line once for each mode that is worth it, with constant `levels` and `in_l2`.
 */
static always_inline enum guest_access_result walk_tables(struct guest_walk *w, u64 gva, u32 levels, bool in_l2,
							  u64 *gpa, u64 *refused)
{
	u32 bits = levels == 2 ? 10 : 9, level = w->level, shift = PAGE_SHIFT + bits * level;

	for (; level < levels - 1 && (gva ^ w->gva) >> (shift + bits); level++)
		shift += bits;
	w->gva = gva;
	*refused = w->at[level].refused;
	for (const void *table = w->at[level].table;;) {
		u64 entry = levels >= 4 ? __atomic_load_n((const u64 *)table + (gva >> shift & 511), __ATOMIC_RELAXED) :
					  load_legacy_entry(levels, table, gva, shift);

		w->level = level;
		w->at[level].entry = entry;
		if (!(entry & PTE_P) || (unlikely(entry & w->unusual) && has_reserved(w, entry, shift, levels)))
			return GUEST_PAGE_FAULT;
		*refused |= entry ^ (PTE_W | PTE_U);
		if (is_leaf(w, entry, shift, levels)) {
			*gpa = leaf_address(entry, gva, shift);
			return GUEST_OK;
		}
		table = readable(w, entry & PTE_ADDR, in_l2);
		if (!table)
			return GUEST_NOT_OWNED;
		level--;
		shift -= bits;
		w->at[level].table = table;
		if (in_l2)
			w->at[level].gpa = entry & PTE_ADDR;
		w->at[level].refused = *refused;
	}
}

static __attribute__((noinline)) enum guest_access_result walk_any(struct guest_walk *w, u64 gva, u64 *gpa,
								   u64 *refused)
{
	return walk_tables(w, gva, w->levels, w->cpu->world->mode == RUN_L2, gpa, refused);
}

static inline bool may_be_used(const struct guest_walk *w, u64 gva)
{
	if (likely(w->levels == 4))
		return is_canonical(gva, LINEAR_BITS);
	return w->levels < 4 ? gva == (u32)gva : is_canonical(gva, LINEAR_BITS_LA57);
}

/* The first level of PAE paging is four registers of the CPU, whatever L1 or L2 has in memory by now. */
static const void *load_pdptes(struct guest_walk *w)
{
	for (u32 i = 0; i < ARRAY_SIZE(w->pdpte); i++)
		w->pdpte[i] = vmread(VMCS_GUEST_PDPTE0 + 2 * i);
	return w->pdpte;
}

/* Before the first walk; or L1 may have mapped the table that CR3 names since the last one wanted it. */
static __attribute__((noinline)) bool read_top(struct guest_walk *w)
{
	u32 top = w->levels - 1;

	w->unusual = (BITS(w->levels == 3 ? 62 : 51, 0) & ~(BIT(phys_bits()) - 1)) | (PTE_NX & ~w->nx) | PTE_LARGE;
	w->level = top;
	w->at[top].table = unlikely(w->levels == 3) ? load_pdptes(w) :
			   readable(w, w->at[top].gpa, w->cpu->world->mode == RUN_L2);
	return w->at[top].table;
}

/* In line: by each page of a copy. */
static always_inline enum guest_access_result walk(struct guest_walk *w, u64 gva, u64 *gpa, u64 *refused)
{
	if (!w->at[w->levels - 1].table && !read_top(w))
		return GUEST_NOT_OWNED;
	if (unlikely(w->levels != 4))
		return walk_any(w, gva, gpa, refused);
	return w->cpu->world->mode == RUN_L2 ? walk_tables(w, gva, 4, true, gpa, refused) :
					walk_tables(w, gva, 4, false, gpa, refused);
}

enum guest_access_result guest_walk_page(struct guest_walk *w, gva_t gva, u32 rights, struct guest_page *page,
					 struct guest_fault *fault)
{
	u64 gpa = gva.addr, refused;
	u32 allowed = HYPAPI_RWX;

	if (w->levels) {
		if (unlikely(!may_be_used(w, gva.addr)))
			return fault_at(w, fault, gva, rights, 0);
		enum guest_access_result result = walk(w, gva.addr, &gpa, &refused);

		if (result == GUEST_PAGE_FAULT)
			return fault_at(w, fault, gva, rights, why_not(w));
		if (result != GUEST_OK)
			return result;
		allowed = rights_of(w, refused);
		if ((allowed & rights) != rights)
			return fault_at(w, fault, gva, rights,
					PF_PRESENT | (rights & key_refuses(w, refused) ? PF_KEY : 0));
	}
	if (!guest_physical_page(w->cpu, gpa, page))
		return GUEST_NOT_OWNED;
	w->fleeting |= page->fleeting;
	if ((page->rights & rights) != rights)
		return GUEST_NOT_OWNED;
	page->rights &= allowed;
	return GUEST_OK;
}

/* The flags that the CPU sets in the leaf of the page tables before such an access. */
static inline u64 flags_of(u32 rights)
{
	return rights & HYPAPI_W ? PTE_A | PTE_D : PTE_A;
}

/* What the last walk came to has not all of these flags yet. */
static inline bool leaf_lacks(const struct guest_walk *w, u64 flags)
{
	return w->levels && (flags & ~w->at[w->level].entry);
}

/* An access of gpa2, to which the last walk came, waits for a full log: by the page, or by its leaf's flags. */
static bool awaits_log(const struct guest_walk *w, gpa2_t gpa2, u32 rights)
{
	if (w->cpu->world->mode != RUN_L2)
		return false;
	return nested_awaits_log(w->cpu, gpa2, rights & HYPAPI_W) ||
	       (leaf_lacks(w, flags_of(rights)) && nested_awaits_log(w->cpu, GPA2(w->at[w->level].gpa), true));
}

bool guest_walk_missed(struct guest_walk *w, gva_t gva, u32 rights, struct guest_miss *miss)
{
	enum guest_access_result result = GUEST_OK;
	u64 gpa = gva.addr, refused;

	if (w->levels) {
		result = walk(w, gva.addr, &gpa, &refused);
		if (result == GUEST_NOT_OWNED)
			gpa = w->at[w->levels - 1].table ? w->at[w->level].entry & PTE_ADDR : w->at[w->levels - 1].gpa;
	}
	*miss = (struct guest_miss){ GPA2(gpa), result == GUEST_OK ? rights : HYPAPI_R, result != GUEST_OK,
				     result == GUEST_OK && awaits_log(w, GPA2(gpa), rights) };
	return result != GUEST_PAGE_FAULT;
}

bool guest_path_record(struct guest_path *path, const struct guest_walk *w)
{
	static const u64 nothing;

	path->levels = GUEST_NO_PATH;
	path->generation = __atomic_load_n(&ept01_generation, __ATOMIC_RELAXED);
	if (w->levels < 4 || w->fleeting)
		return false;
	/* RFLAGS.AC and PKRU have a say in a supervisor's access to a user's page, and are not asked again. */
	if (w->cpl != 3 && !(guest_walk_refused(w) & PTE_U) && (w->cr4 & (CR4_SMAP | CR4_PKE)))
		return false;
	for (u32 level = 0; level < ARRAY_SIZE(path->at); level++) {
		path->at[level] = &nothing;
		path->entry[level] = 0;
	}
	for (u32 level = w->level; level < w->levels; level++) {
		u32 index = (u32)(path->gva >> (PAGE_SHIFT + 9 * level)) & 511;

		path->at[level] = (const u64 *)w->at[level].table + index;
		path->entry[level] = w->at[level].entry;
	}
	path->ept = atomic_load_explicit(&w->cpu->quiesce.using, memory_order_relaxed);
	path->cpu = w->cpu->index;
	path->ept12_changes = w->cpu->ept12_changes;
	path->top = w->at[w->levels - 1].gpa;
	path->cr4 = w->cr4;
	path->efer = w->efer;
	path->cpl = w->cpl;
	path->pkru = w->pkru;
	path->levels = w->levels;
	return true;
}

void guest_keep(struct guest_kept *kept, const struct guest_walk *w, u64 page, void *memory)
{
	kept->path.gva = page;
	kept->path.generation = __atomic_load_n(&ept01_generation, __ATOMIC_RELAXED);
	kept->memory = memory && guest_path_record(&kept->path, w) ? memory : NULL;
}

/* The leaf of the last walk, if it is still what was read, gets these flags, as the CPU sets them before an access. */
static bool mark_leaf(const struct guest_walk *w, u64 flags)
{
	u32 bits = w->levels == 2 ? 10 : 9, index = w->gva >> (PAGE_SHIFT + bits * w->level) & (BIT(bits) - 1);
	u64 old = w->at[w->level].entry, new = old | flags;
	u32 old32 = (u32)old;
	void *table = (void *)w->at[w->level].table;

	if (w->cpu->world->mode == RUN_L2 && nested_awaits_log(w->cpu, GPA2(w->at[w->level].gpa), true))
		return false;
	/*
	 * A table that EPT12 lets L2 only read stays as it is: L1 watches it, and would be told by an exit, not by a
	 * copy. So does one in a page that L1 may only read. The page that is written is asked for itself: EPT12 may
	 * lead to another one by now.
	 */
	if (!(ept01_entry(GPA1(virt_to_phys(table).addr)) & HYPAPI_W) ||
	    (w->cpu->world->mode == RUN_L2 && !nested_mark_used(w->cpu, GPA2(w->at[w->level].gpa), HYPAPI_W)))
		return true;
	if (w->levels == 2)
		return __atomic_compare_exchange_n((u32 *)table + index, &old32, (u32)new, false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((u64 *)table + index, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* False: another CPU of the guest has changed the page's mapping, or L1's log is full. */
static inline bool mark_used(const struct guest_walk *w, const struct guest_page *page, u32 rights)
{
	if (unlikely(leaf_lacks(w, flags_of(rights))) && !mark_leaf(w, flags_of(rights)))
		return false;
	return likely(!page->clean) || nested_mark_used(w->cpu, page->gpa2, rights);
}

#define MARK_TRIES 8

/* Of an access: whether it may be made, flags and log as before it, and all of it; of a read without its flags. */
enum use { LOOK, MARK, COPY };

static enum guest_access_result each_page(struct guest_walk *w, gva_t gva, void *buf, size_t len, u32 rights,
					  enum use use, struct guest_fault *fault)
{
	enum guest_access_result result;
	bool marks = use == MARK || (use == COPY && rights == HYPAPI_W);
	struct guest_page page;
	u32 tries = 0;

	for_each_page_part(done, part, gva.addr, len) {
		do {
			result = guest_walk_page(w, GVA(gva.addr + done), rights, &page, fault);
			if (result != GUEST_OK)
				return result;
			if (!page.memory || tries++ == MARK_TRIES)
				return GUEST_NOT_OWNED;
		} while (marks && unlikely(!mark_used(w, &page, rights)));
		tries = 0;
		if (use == COPY)
			copy_part(page.memory, (u8 *)buf + done, part, rights == HYPAPI_W);
	}
	return GUEST_OK;
}

/*
 * Pages that the core has read for guests twice or more: a caller's stack is read at each call of a partition. Without
 * memory: read once. Owner of each row: its CPU.
 */
#define KNOWN_PAGES 4 /* a power of two */
static struct guest_kept known_pages[MAX_CPUS][KNOWN_PAGES];

static struct guest_kept *place_of(const struct guest_walk *w, u64 page)
{
	return &known_pages[w->cpu->index][page / PAGE_SIZE % KNOWN_PAGES];
}

static __attribute__((noinline)) enum guest_access_result read_anew(struct guest_walk *w, void *dst, gva_t src,
								    size_t len, struct guest_fault *fault,
								    struct guest_kept *known)
{
	u64 offset = src.addr & (PAGE_SIZE - 1);
	struct guest_page page;

	if (offset + len > PAGE_SIZE || !len)
		return each_page(w, src, dst, len, HYPAPI_R, COPY, fault);
	enum guest_access_result result = guest_walk_page(w, src, HYPAPI_R, &page, fault);

	if (result != GUEST_OK || !page.memory)
		return result == GUEST_OK ? GUEST_NOT_OWNED : result;
	memcpy(dst, page.memory, len);
	/* To record its way takes half as long as a walk. */
	bool again = known->path.gva == src.addr - offset &&
		     known->path.generation == __atomic_load_n(&ept01_generation, __ATOMIC_RELAXED);

	guest_keep(known, w, src.addr - offset, again ? (u8 *)page.memory - offset : NULL);
	return GUEST_OK;
}

enum guest_access_result guest_walk_read(struct guest_walk *w, void *dst, gva_t src, size_t len,
					 struct guest_fault *fault)
{
	u64 offset = src.addr & (PAGE_SIZE - 1);
	struct guest_kept *known = place_of(w, src.addr);

	if (offset + len > PAGE_SIZE || known->path.gva != src.addr - offset || !known->memory ||
	    !guest_path_holds(&known->path, w))
		return read_anew(w, dst, src, len, fault, known);
	memcpy(dst, known->memory + offset, len);
	return GUEST_OK;
}

enum guest_access_result guest_walk_write(struct guest_walk *w, gva_t dst, const void *src, size_t len,
					  struct guest_fault *fault)
{
	enum guest_access_result result = GUEST_OK;

	/* One page needs no separate check. L1's log may have room for some of several. */
	if ((dst.addr & (PAGE_SIZE - 1)) + len > PAGE_SIZE) {
		result = each_page(w, dst, NULL, len, HYPAPI_W, LOOK, fault);
		if (result == GUEST_OK && w->cpu->world->mode == RUN_L2)
			result = each_page(w, dst, NULL, len, HYPAPI_W, MARK, fault);
	}
	return result == GUEST_OK ? each_page(w, dst, (void *)src, len, HYPAPI_W, COPY, fault) : result;
}

enum guest_access_result guest_begin_access(struct percpu *cpu, gva_t at, size_t len, u32 rights,
					    struct guest_fault *fault)
{
	struct guest_walk w;

	guest_walk_begin(&w, cpu, guest_cpl());
	return each_page(&w, at, NULL, len, rights, MARK, fault);
}

enum guest_access_result guest_read(struct percpu *cpu, void *dst, gva_t src, size_t len, struct guest_fault *fault)
{
	struct guest_walk w;

	guest_walk_begin(&w, cpu, guest_cpl());
	return guest_walk_read(&w, dst, src, len, fault);
}

enum guest_access_result guest_write(struct percpu *cpu, gva_t dst, const void *src, size_t len,
				     struct guest_fault *fault)
{
	struct guest_walk w;

	guest_walk_begin(&w, cpu, guest_cpl());
	return guest_walk_write(&w, dst, src, len, fault);
}
