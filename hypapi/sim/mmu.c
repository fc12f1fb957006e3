/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a guest's access reaches memory: the TLB, then the guest's page tables and the EPT that the current VMCS names.
 * The rules are those of the SDM vol. 3, "Caching Translation Information": a translation that was cached is used until
 * INVEPT or INVVPID drops it, whatever the tables say by now. Then the judgement that hardware does not have: may
 * whoever runs here touch this page? An entry that outlived its page is so found at its first use.
 */
#include "hypapi/sim/machine.h"

#include "cpu/x86.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "mem/partition.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_LARGE BIT(7)
#define PTE_NX BIT(63)
#define PF_PRESENT BIT(0)
#define PF_WRITE BIT(1)
#define PF_USER BIT(2)
#define PF_FETCH BIT(4)

void mmu_flush(struct sim_cpu *c, bool by_eptp, u64 eptp, bool by_vpid, u16 vpid, bool by_gva, u64 gva)
{
	for (struct tlb_entry *e = c->tlb; e < c->tlb + TLB_ENTRIES; e++)
		if ((!by_eptp || e->eptp == eptp) && (!by_vpid || e->vpid == vpid) &&
		    (!by_gva || (e->gva ^ gva) < PAGE_SIZE))
			e->gva = 0;
}

/* A guest-physical address through an EPT, or NULL-like rights 0 where it ends. */
static u32 walk_ept(u64 eptp, u64 gpa, u64 *hpa)
{
	const u64 *table = phys_to_virt(HPA(eptp & EPT_ADDR));
	u32 rights = HYPAPI_RWX;

	for (unsigned int level = EPT_LEVELS;; level--) {
		u64 entry = __atomic_load_n(&table[ept_index(gpa, level)], __ATOMIC_ACQUIRE);
		u64 offset = EPT_LEVEL_SIZE(level) - 1;

		rights &= entry & EPT_RIGHTS;
		if (!rights)
			return 0;
		if (level == 1 || (entry & EPT_LARGE)) {
			*hpa = (entry & EPT_ADDR & ~offset) | (gpa & offset);
			return rights;
		}
		table = phys_to_virt(HPA(entry & EPT_ADDR));
	}
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

/* The guest's page tables: none, or four levels. `allowed`: what they leave at this privilege. */
static enum mmu_result walk_guest(u64 gva, u32 rights, u64 *gpa, u32 *allowed, struct mmu_fault *fault)
{
	u64 cr0 = vmread(VMCS_GUEST_CR0), efer = vmread(VMCS_GUEST_EFER), eptp = vmread(VMCS_EPTP);
	u64 table = vmread(VMCS_GUEST_CR3) & EPT_ADDR, entry, hpa, refused = 0;
	bool user = AR_DPL(vmread(VMCS_GUEST_SS_AR)) == 3;

	*gpa = gva;
	*allowed = HYPAPI_RWX;
	if (!(cr0 & CR0_PG))
		return MMU_OK;
	if (!(efer & EFER_LMA) || (vmread(VMCS_GUEST_CR4) & CR4_LA57))
		sim_fault("a guest pages with other than four levels, which is not simulated");
	if ((u64)((int64_t)(gva << 16) >> 16) != gva)
		return page_fault(fault, rights, false, user); /* #GP on hardware, but for a fetch */
	for (unsigned int level = 4;; level--) {
		u64 at = table + ept_index(gva, level) * 8;
		u32 there = walk_ept(eptp, at, &hpa);

		if (!(there & HYPAPI_R))
			return violation(fault, at, HYPAPI_R, there, false);
		entry = __atomic_load_n((u64 *)phys_to_virt(HPA(hpa)), __ATOMIC_ACQUIRE);
		if (!(entry & PTE_P))
			return page_fault(fault, rights, false, user);
		refused |= entry ^ (PTE_W | PTE_U);
		table = entry & EPT_ADDR;
		if (level == 1 || (entry & PTE_LARGE)) {
			u64 offset = EPT_LEVEL_SIZE(level) - 1;

			*gpa = (table & ~offset) | (gva & offset);
			break;
		}
	}
	if (user && (refused & PTE_U))
		*allowed = 0;
	if ((refused & PTE_W) && (user || (cr0 & CR0_WP)))
		*allowed &= ~(u32)HYPAPI_W;
	if ((refused & PTE_NX) && (efer & EFER_NXE))
		*allowed &= ~(u32)HYPAPI_X;
	return (*allowed & rights) == rights ? MMU_OK : page_fault(fault, rights, true, user);
}

static const char *const world_names[] = { "L1", "L2", "a partition" };

/* The page does not belong to whoever runs here. */
static _Noreturn void breach(const struct sim_cpu *c, const struct tlb_entry *e, bool cached, const char *whose,
			     u32 number)
{
	u64 now = 0;
	u32 rights = walk_ept(e->eptp, e->gpa, &now);

	sim_fault("CPU %u, %s: a %s translation of 0x%lx (physical 0x%lx) leads to host page 0x%lx, %s %u; "
		  "the EPT leads to 0x%lx with rights %u", c->index, world_names[c->core->mode],
		  cached ? "stale" : "wrong", e->gva & HYPAPI_PAGE_MASK, e->gpa, e->hpa, whose, number, now, rights);
}

/* Its own pages, and its page tables, which lie in root memory. */
static void judge_partition(const struct sim_cpu *c, const struct tlb_entry *e, u32 rights, bool cached)
{
	u32 runs = partition_handle(c->core) & 0xff, owner = ept01_owner(GPA1(e->hpa));

	if (is_root_memory(e->hpa) && (rights & HYPAPI_W))
		breach(c, e, cached, "which is the core's, not that of partition", runs);
	if (!is_root_memory(e->hpa) && owner != runs)
		breach(c, e, cached, "whose owner is (0: L1) partition", owner);
}

/* Where a page of L1 lies changes under a stop only, which carries a flush: a page that was given back, say. */
static void judge_place(const struct sim_cpu *c, const struct tlb_entry *e)
{
	u64 now;

	if (walk_ept(e->eptp, e->gpa, &now) && now != e->hpa)
		breach(c, e, true, "and L1 has it elsewhere by now; owner", 0);
}

static void judge(const struct sim_cpu *c, const struct tlb_entry *e, u32 rights, bool cached)
{
	u64 entry = ept01_entry(GPA1(e->hpa));

	if (cached && c->core->mode == RUN_L1)
		judge_place(c, e);
	if (c->core->mode == RUN_PARTITION) {
		judge_partition(c, e, rights, cached);
		return;
	}
	if (ept01_is_stand_in(e->hpa, e->rights))
		return;
	if (is_root_memory(e->hpa))
		breach(c, e, cached, "which is the core's, for owner", 0);
	if (ept01_entry_owner(entry))
		breach(c, e, cached, "which is that of partition", ept01_entry_owner(entry));
	if ((entry & EPT01_HYPAPP) && (entry & rights) != rights)
		breach(c, e, cached, "to which L1's rights were taken by hypapp", ept01_entry_hypapp(entry));
}

enum mmu_result mmu_translate(struct sim_cpu *c, u64 gva, u32 rights, u64 *hpa, struct mmu_fault *fault)
{
	u64 eptp = vmread(VMCS_EPTP), page = gva & HYPAPI_PAGE_MASK;
	u16 vpid = (u16)vmread(VMCS_VPID);
	u64 place = page >> PAGE_SHIFT ^ page >> 21 ^ eptp >> PAGE_SHIFT ^ vpid;
	struct tlb_entry *e = &c->tlb[place & (TLB_ENTRIES - 1)];
	bool cached = e->gva == (page | 1) && e->eptp == eptp && e->vpid == vpid && (e->rights & rights) == rights;

	if (!cached) {
		u32 allowed, there;
		u64 gpa;
		enum mmu_result result = walk_guest(gva, rights, &gpa, &allowed, fault);

		if (result != MMU_OK)
			return result;
		there = walk_ept(eptp, gpa, hpa);
		if ((there & rights) != rights) {
			if (e->gva == (page | 1) && e->eptp == eptp)
				e->gva = 0; /* a violation drops what it was about */
			return violation(fault, gpa, rights, there, true);
		}
		*e = (struct tlb_entry){ .gva = page | 1, .eptp = eptp, .vpid = vpid, .rights = there & allowed,
					 .gpa = gpa & HYPAPI_PAGE_MASK, .hpa = *hpa & HYPAPI_PAGE_MASK };
	}
	judge(c, e, rights, cached);
	*hpa = e->hpa | (gva & (PAGE_SIZE - 1));
	return MMU_OK;
}
