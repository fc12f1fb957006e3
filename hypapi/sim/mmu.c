/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a guest's access reaches memory: the TLB, then the guest's page tables and the EPT that the current VMCS names.
 * The rules are those of the SDM vol. 3, "Caching Translation Information", for a CPU that keeps all that it may keep:
 * what was cached is used until something drops it that must, whatever the tables say by now. Every guest runs with
 * EPT, so there are no linear mappings in the manual's sense, but combined ones (struct tlb_linear), by VPID, PCID and
 * EP4TA, and guest-physical ones (struct tlb_physical), by EP4TA, those that lead to EPT tables among them. Then the
 * judgement that hardware does not have: may whoever runs here touch this page?
 */
#include "hypapi/sim/machine.h"

#include "cpu/paging.h"
#include "cpu/x86.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "mem/partition.h"

#define PCID_MASK 0xfffull
#define CR3_NO_FLUSH BIT(63)

/* ---- What the CPU keeps, and what drops it ---- */

static u64 ep4ta(void)
{
	return vmread(VMCS_EPTP) & EPT_ADDR;
}

static u16 vpid_now(void)
{
	return vmread(VMCS_PROC2_CTLS) & PROC2_VPID ? (u16)vmread(VMCS_VPID) : 0;
}

static u16 pcid_now(void)
{
	return vmread(VMCS_GUEST_CR4) & CR4_PCIDE ? vmread(VMCS_GUEST_CR3) & PCID_MASK : 0;
}

static struct tlb_linear *linear_set(struct sim_cpu *c, u64 page, u64 root)
{
	return &c->linear[TLB_WAYS * ((page >> PAGE_SHIFT ^ page >> 21 ^ page >> 39 ^ root >> PAGE_SHIFT) % TLB_SETS)];
}

static struct tlb_physical *physical_set(struct sim_cpu *c, u64 gpa, unsigned int level, u64 root)
{
	u64 page = gpa >> LEVEL_SHIFT(level);

	return &c->physical[TLB_WAYS * ((page ^ page >> 9 ^ root >> PAGE_SHIFT ^ level << 7) % TLB_SETS)];
}

static struct tlb_linear *find_linear(struct sim_cpu *c, u64 page)
{
	u64 root = ep4ta();
	u16 vpid = vpid_now(), pcid = pcid_now();

	for (struct tlb_linear *e = linear_set(c, page, root), *end = e + TLB_WAYS; e < end; e++)
		if (e->valid && e->gva == page && e->ep4ta == root && e->vpid == vpid && (e->global || e->pcid == pcid))
			return e;
	return NULL;
}

static struct tlb_physical *find_physical(struct sim_cpu *c, u64 gpa, unsigned int level, u64 root)
{
	for (struct tlb_physical *e = physical_set(c, gpa, level, root), *end = e + TLB_WAYS; e < end; e++)
		if (e->valid && e->level == level && e->ep4ta == root && !((e->gpa ^ gpa) >> LEVEL_SHIFT(level)))
			return e;
	return NULL;
}

static void keep_linear(struct sim_cpu *c, const struct tlb_linear *new)
{
	struct tlb_linear *set = linear_set(c, new->gva, new->ep4ta), *at = find_linear(c, new->gva);

	for (u32 i = 0; i < TLB_WAYS && !at; i++)
		at = set[i].valid ? NULL : &set[i];
	*(at ? at : &set[c->tlb_victim++ % TLB_WAYS]) = *new;
}

static void keep_physical(struct sim_cpu *c, const struct tlb_physical *new)
{
	struct tlb_physical *set = physical_set(c, new->gpa, new->level, new->ep4ta);
	struct tlb_physical *at = find_physical(c, new->gpa, new->level, new->ep4ta);

	for (u32 i = 0; i < TLB_WAYS && !at; i++)
		at = set[i].valid ? NULL : &set[i];
	*(at ? at : &set[c->tlb_victim++ % TLB_WAYS]) = *new;
}

void mmu_invept(struct sim_cpu *c, bool all, u64 eptp)
{
	for (u32 i = 0; i < TLB_ENTRIES; i++) {
		c->linear[i].valid &= !all && c->linear[i].ep4ta != (eptp & EPT_ADDR);
		c->physical[i].valid &= !all && c->physical[i].ep4ta != (eptp & EPT_ADDR);
	}
}

void mmu_drop_linear(struct sim_cpu *c, const struct tlb_drop *d)
{
	for (struct tlb_linear *e = c->linear; e < c->linear + TLB_ENTRIES; e++) {
		bool vpid = d->every_vpid ? e->vpid != 0 : e->vpid == d->vpid;
		bool pcid = d->every_pcid || e->pcid == d->pcid || (e->global && d->globals);

		if (vpid && pcid && (d->globals || !e->global) && (!d->one || e->gva == (d->gva & HYPAPI_PAGE_MASK)))
			e->valid = false;
	}
}

/* SDM vol. 3, "Operations that Invalidate Cached Mappings": those of the guest, for the VPID that it runs with. */
void mmu_guest_drops(struct sim_cpu *c, enum mmu_guest_insn insn, u64 operand)
{
	struct tlb_drop d = { .vpid = vpid_now(), .pcid = pcid_now() };

	if (insn == MMU_MOV_CR3 && (vmread(VMCS_GUEST_CR4) & CR4_PCIDE)) {
		if (operand & CR3_NO_FLUSH)
			return;
		d.pcid = operand & PCID_MASK;
	} else if (insn == MMU_INVLPG) {
		d.one = d.globals = true;
		d.gva = operand;
	} else if (insn == MMU_EVERYTHING) {
		d.every_pcid = d.globals = true;
	}
	mmu_drop_linear(c, &d);
}

void mmu_crossing(struct sim_cpu *c)
{
	if (!vpid_now())
		mmu_drop_linear(c, &(struct tlb_drop){ .every_pcid = true, .globals = true });
}

void mmu_leave_behind(struct sim_cpu *c)
{
	for (u64 gpa = 0; gpa < TLB_ENTRIES * PAGE_SIZE; gpa += PAGE_SIZE)
		keep_physical(c, &(struct tlb_physical){
			.valid = true, .level = 1, .gpa = gpa, .ep4ta = ept01_pointer & EPT_ADDR,
			.to = { .hpa = root_start, .rights = HYPAPI_RWX, .type = EPT_TYPE_WB } });
}

/* ---- Walks ---- */

/* A guest-physical address through an EPT, from a table at `level`; `to` holds what led there, and becomes the page. */
static void walk_ept_from(struct sim_cpu *c, u64 root, u64 gpa, unsigned int level, struct tlb_target *to)
{
	for (;; level--) {
		const u64 *table = phys_to_virt(HPA(to->hpa));
		u64 entry = __atomic_load_n(&table[ept_index(gpa, level)], __ATOMIC_ACQUIRE);
		u64 offset = LEVEL_SIZE(level) - 1;
		bool leaf = level == 1 || (entry & EPT_LARGE);

		to->rights &= entry & EPT_RIGHTS;
		if (!to->rights)
			return;
		to->hpa = leaf ? ((entry & EPT_ADDR & ~offset) | (gpa & offset)) & HYPAPI_PAGE_MASK : entry & EPT_ADDR;
		to->type = (entry & EPT_TYPE) >> EPT_TYPE_SHIFT;
		/* A level's place keeps what its entry led to: the next table; level 1's, the page. */
		if (c)
			keep_physical(c, &(struct tlb_physical){ .valid = true, .level = leaf ? 1 : level, .gpa = gpa,
								 .ep4ta = root, .to = *to });
		if (leaf)
			return;
	}
}

/* As the tables are now. Rights 0: it ends somewhere. */
static struct tlb_target walk_ept(u64 root, u64 gpa)
{
	struct tlb_target to = { .hpa = root, .rights = HYPAPI_RWX };

	walk_ept_from(NULL, root, gpa, EPT_LEVELS, &to);
	return to;
}

static void drop_physical(struct sim_cpu *c, u64 root, u64 gpa)
{
	struct tlb_physical *e;

	for (unsigned int level = 1; level <= EPT_LEVELS; level++)
		if ((e = find_physical(c, gpa, level, root)))
			e->valid = false;
}

/*
 * By what is cached, from the entry that is nearest to the page on. Where that refuses, the CPU walks anew: the
 * violation that it would raise otherwise drops what it has used.
 */
static struct tlb_target translate_gpa(struct sim_cpu *c, u64 gpa, u32 rights)
{
	u64 root = ep4ta();
	struct tlb_target to;

	for (unsigned int level = 1; level <= EPT_LEVELS; level++) {
		const struct tlb_physical *e = find_physical(c, gpa, level, root);

		if (!e)
			continue;
		to = e->to;
		to.cached = level == 1;
		if (level > 1)
			walk_ept_from(c, root, gpa, level - 1, &to);
		if ((to.rights & rights) == rights)
			return to;
		break;
	}
	drop_physical(c, root, gpa);
	to = (struct tlb_target){ .hpa = root, .rights = HYPAPI_RWX };
	walk_ept_from(c, root, gpa, EPT_LEVELS, &to);
	return to;
}

static enum mmu_result violation(struct mmu_fault *fault, u64 gpa, u32 rights, u32 allowed, bool final)
{
	fault->gpa = gpa;
	fault->qualification = rights | (u64)allowed << EPT_QUAL_RIGHTS_SHIFT | EPT_QUAL_GLA_VALID |
			       (final ? EPT_QUAL_GLA_FINAL : 0);
	return MMU_VIOLATION;
}

static enum mmu_result page_fault(struct mmu_fault *fault, u32 rights, bool present, bool user)
{
	fault->error_code = (present ? PF_PRESENT : 0) | (rights & HYPAPI_W ? PF_WRITE : 0) | (user ? PF_USER : 0) |
			    (rights & HYPAPI_X && vmread(VMCS_GUEST_EFER) & EFER_NXE ? PF_FETCH : 0);
	return MMU_PAGE_FAULT;
}

/* ---- May whoever runs here touch this page? ---- */

static const char *const world_names[] = { "L1", "L2", "a partition" };

/* The page does not belong to whoever runs here. */
static _Noreturn void breach(const struct sim_cpu *c, const struct tlb_linear *e, const char *whose, u32 number)
{
	struct tlb_target now = walk_ept(e->ep4ta, e->gpa);

	sim_fault("CPU %u, %s: a %s translation of 0x%lx (physical 0x%lx) leads to host page 0x%lx, %s %u; "
		  "the EPT leads to 0x%lx with rights %u", c->index, world_names[c->core->world->mode],
		  e->to.cached ? "stale" : "wrong", e->gva & HYPAPI_PAGE_MASK, e->gpa, e->to.hpa, whose, number,
		  now.hpa,
		  now.rights);
}

/* Memory that the core gave to it. */
static bool has_own(u32 partition, const struct tlb_linear *e)
{
	return partition_has_own(partition, e->gpa) && walk_ept(e->ep4ta, e->gpa).hpa == e->to.hpa;
}

/* Its own pages, and its page tables, which lie in root memory. */
static void judge_partition(const struct sim_cpu *c, const struct tlb_linear *e, u32 rights)
{
	u32 runs = partition_number(partition_handle(c->core)), owner = ept01_owner(GPA1(e->to.hpa));

	if (is_root_memory(e->to.hpa) && (rights & HYPAPI_W) && !has_own(runs, e))
		breach(c, e, "which is the core's, not that of partition", runs);
	if (!is_root_memory(e->to.hpa) && owner != runs)
		breach(c, e, "whose owner is (0: L1) partition", owner);
}

/* Where a page of L1 lies, and its type, change under a stop only, which carries a flush: a page given back, say. */
static void judge_place(const struct sim_cpu *c, const struct tlb_linear *e)
{
	struct tlb_target now = walk_ept(e->ep4ta, e->gpa);

	if (now.rights && now.hpa != e->to.hpa)
		breach(c, e, "and L1 has it elsewhere by now; owner", 0);
	if (now.rights && now.type != e->to.type)
		breach(c, e, "and its memory type is by now", now.type);
}

static void judge(const struct sim_cpu *c, const struct tlb_linear *e, u32 rights)
{
	u64 entry = ept01_entry(GPA1(e->to.hpa));

	if (c->core->world->mode == RUN_L1)
		judge_place(c, e);
	if (c->core->world->mode == RUN_PARTITION) {
		judge_partition(c, e, rights);
		return;
	}
	if (ept01_is_stand_in(e->to.hpa, e->to.rights))
		return;
	if (is_root_memory(e->to.hpa))
		breach(c, e, "which is the core's, for owner", 0);
	if (ept01_entry_owner(entry))
		breach(c, e, "which is that of partition", ept01_entry_owner(entry));
	if ((entry & EPT01_HYPAPP) && (entry & rights) != rights)
		breach(c, e, "to which L1's rights were taken by hypapp", ept01_entry_hypapp(entry));
}

/* L1's virtual-APIC page, to which the CPU itself writes for L2: it is L1's, or one that the core puts in its place. */
void mmu_judge_vmcs(const struct sim_cpu *c)
{
	u64 page = vmread(VMCS_VIRTUAL_APIC_ADDR);

	if (c->core->world->mode == RUN_L2 && (vmread(VMCS_PROC_CTLS) & PROC_TPR_SHADOW) && !is_root_memory(page) &&
	    ept01_owner(GPA1(page)))
		sim_fault("CPU %u: L2's virtual-APIC page is host page 0x%lx of partition %u", c->index, page,
			  ept01_owner(GPA1(page)));
}

/* ---- The guest's page tables ---- */

/* What page-table bits refuse, at the privilege and in the mode of this moment. */
static u32 allowed_now(u64 refused)
{
	bool user = AR_DPL(vmread(VMCS_GUEST_SS_AR)) == 3;
	u32 allowed = user && (refused & PTE_U) ? 0 : HYPAPI_RWX;

	if ((refused & PTE_W) && (user || (vmread(VMCS_GUEST_CR0) & CR0_WP)))
		allowed &= ~(u32)HYPAPI_W;
	if ((refused & PTE_NX) && (vmread(VMCS_GUEST_EFER) & EFER_NXE))
		allowed &= ~(u32)HYPAPI_X;
	return allowed;
}

/* The guest's page tables, of four or five levels. Fills gpa, refused and global of `e`. */
static enum mmu_result walk_guest(struct sim_cpu *c, struct tlb_linear *e, u64 gva, u32 rights, struct mmu_fault *fault)
{
	u64 cr4 = vmread(VMCS_GUEST_CR4), table = vmread(VMCS_GUEST_CR3) & EPT_ADDR, entry;
	unsigned int levels = cr4 & CR4_LA57 ? 5 : 4, unused = 64 - LEVEL_SHIFT(levels + 1);
	bool user = AR_DPL(vmread(VMCS_GUEST_SS_AR)) == 3;

	if (!(vmread(VMCS_GUEST_EFER) & EFER_LMA))
		sim_fault("a guest pages by other than 64-bit tables, which is not simulated");
	if ((u64)((int64_t)(gva << unused) >> unused) != gva)
		return page_fault(fault, rights, false, user); /* #GP on hardware, but for a fetch */
	for (unsigned int level = levels;; level--) {
		u64 at = table + ept_index(gva, level) * 8;
		struct tlb_target there = translate_gpa(c, at, HYPAPI_R);

		if (!(there.rights & HYPAPI_R))
			return violation(fault, at, HYPAPI_R, there.rights, false);
		judge(c, &(struct tlb_linear){ .gva = gva, .ep4ta = e->ep4ta, .gpa = at, .to = there }, HYPAPI_R);
		entry = __atomic_load_n((u64 *)phys_to_virt(HPA(there.hpa + (at & (PAGE_SIZE - 1)))), __ATOMIC_ACQUIRE);
		if (!(entry & PTE_P))
			return page_fault(fault, rights, false, user);
		e->refused |= entry ^ (PTE_W | PTE_U);
		table = entry & EPT_ADDR;
		if (level == 1 || (entry & PTE_LARGE)) {
			u64 offset = LEVEL_SIZE(level) - 1;

			e->gpa = ((table & ~offset) | (gva & offset)) & HYPAPI_PAGE_MASK;
			e->global = (entry & PTE_G) && (cr4 & CR4_PGE);
			break;
		}
	}
	return (allowed_now(e->refused) & rights) == rights ? MMU_OK : page_fault(fault, rights, true, user);
}

/* ---- An access ---- */

/* A translation that is not cached, or not with these rights. Without paging only the physical address is kept. */
static enum mmu_result fill(struct sim_cpu *c, struct tlb_linear *new, u64 gva, u32 rights, struct mmu_fault *fault)
{
	enum mmu_result result = vmread(VMCS_GUEST_CR0) & CR0_PG ? walk_guest(c, new, gva, rights, fault) : MMU_OK;
	struct tlb_linear *old = find_linear(c, new->gva);

	if (result == MMU_PAGE_FAULT)
		mmu_guest_drops(c, MMU_INVLPG, gva);
	if (result != MMU_OK)
		return result;
	new->to = translate_gpa(c, new->gpa, rights);
	if ((new->to.rights & rights) == rights)
		return MMU_OK;
	if (old)
		old->valid = false; /* a violation drops what it was about */
	return violation(fault, new->gpa | (gva & (PAGE_SIZE - 1)), rights, new->to.rights, true);
}

enum mmu_result mmu_translate(struct sim_cpu *c, u64 gva, u32 rights, u64 *hpa, struct mmu_fault *fault)
{
	bool paging = vmread(VMCS_GUEST_CR0) & CR0_PG;
	u64 page = gva & HYPAPI_PAGE_MASK;
	struct tlb_linear new = { .valid = true, .vpid = vpid_now(), .pcid = pcid_now(), .ep4ta = ep4ta(), .gva = page,
				  .gpa = page }, *found = paging ? find_linear(c, page) : NULL;

	if (found && (found->to.rights & allowed_now(found->refused) & rights) == rights) {
		new = *found;
		new.to.cached = true;
	} else {
		enum mmu_result result = fill(c, &new, gva, rights, fault);

		if (result != MMU_OK)
			return result;
		if (paging)
			keep_linear(c, &new);
	}
	judge(c, &new, rights);
	*hpa = new.to.hpa | (gva & (PAGE_SIZE - 1));
	return MMU_OK;
}
