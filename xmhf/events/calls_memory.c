/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hypapi's calls on physical memory of L1 and L2, and on the rights that L1 has to it. See events/calls.c. */
#include <hypapi/hypapi.h>

#include "events/calls.h"
#include "iommu/iommu.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "mem/page_copy.h"
#include "mem/pages.h"
#include "nested/nested.h"
#include "vmx/vmx.h"

#define MAX_RESTRICT_PAGES 512

_Static_assert(MAX_HYPAPPS <= 31, "five bits of an entry of EPT01 name the hypapp that restricts its page");

int hypapi_translate_gpa2(const struct hypapi_event *ev, gpa2_t gpa2, uint32_t rights, struct hypapi_page *page)
{
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_MEMORY, true, &d);
	struct guest_page found;

	if (error)
		return error;
	if (!nested_translate(this_cpu(), gpa2, &found))
		return HYPAPI_EFAULT;
	/* A partition's page has no rights, but EPT12 has: what L2 may not write there may be another machine's. */
	if (found.watched && (rights & HYPAPI_W))
		return HYPAPI_EFAULT;
	if (found.rights && (found.rights & rights) != (rights & HYPAPI_RWX))
		return HYPAPI_EFAULT;
	*page = (struct hypapi_page){ .hpa = found.hpa, .gpa1 = found.gpa1, .gpa2 = gpa2, .rights = found.rights };
	return found.rights ? HYPAPI_OK : HYPAPI_EPERM;
}

/* ---- Copies ---- */

/*
 * L1's own RAM, at its identity: neither root's nor a partition's, whatever a hypapp left of its rights. A page of
 * which the core keeps something is only read: the address may be one that a guest named.
 */
static void *l1_memory(gpa1_t gpa1, bool write)
{
	if (write && ept01_is_guarded(gpa1.addr & HYPAPI_PAGE_MASK))
		return NULL;
	return ept01_entry(gpa1) & EPT01_RAM ? phys_to_virt(HPA(gpa1.addr)) : NULL;
}

/* Where EPT12 leads from a byte of L2's, with the right to access it so, and leaves a mark of a write. */
static bool l2_byte(gpa2_t gpa2, bool write, gpa1_t *gpa1)
{
	if (write)
		return nested_gpa1_to_write(this_cpu(), gpa2, gpa1);
	return nested_gpa1(this_cpu(), gpa2, HYPAPI_R, gpa1);
}

/* `address` is an L2-physical one if l2, else an L1-physical one. */
static int copy_physical(u64 address, bool l2, void *buf, size_t len, bool write)
{
	if (len > MAX_COPY_BYTES || address + len < address)
		return HYPAPI_EINVAL;
	for_each_page_part(done, part, address, len) {
		gpa1_t gpa1 = GPA1(address + done);

		if (l2 && !l2_byte(GPA2(address + done), write, &gpa1))
			return HYPAPI_EFAULT;
		void *memory = l1_memory(gpa1, write);

		if (!memory)
			return HYPAPI_EPERM;
		copy_part(memory, (u8 *)buf + done, part, write);
	}
	return HYPAPI_OK;
}

int hypapi_copy_from_gpa1(const struct hypapi_event *ev, void *dst, gpa1_t src, size_t len_bytes)
{
	if (!delivery(ev, HYPAPI_CAP_MEMORY))
		return HYPAPI_EPERM;
	return copy_physical(src.addr, false, dst, len_bytes, false);
}

int hypapi_copy_to_gpa1(const struct hypapi_event *ev, gpa1_t dst, const void *src, size_t len_bytes)
{
	if (!delivery(ev, HYPAPI_CAP_MEMORY))
		return HYPAPI_EPERM;
	return copy_physical(dst.addr, false, (void *)src, len_bytes, true);
}

int hypapi_copy_from_gpa2(const struct hypapi_event *ev, void *dst, gpa2_t src, size_t len_bytes)
{
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_MEMORY, true, &d);

	return error ? error : copy_physical(src.addr, true, dst, len_bytes, false);
}

int hypapi_copy_to_gpa2(const struct hypapi_event *ev, gpa2_t dst, const void *src, size_t len_bytes)
{
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_MEMORY, true, &d);

	return error ? error : copy_physical(dst.addr, true, (void *)src, len_bytes, true);
}

/* ---- Rights ---- */

/* What an entry of EPT01 can hold. */
static bool rights_ok(u32 rights)
{
	if (rights & ~(u32)HYPAPI_RWX)
		return false;
	return (rights & HYPAPI_R) || !rights || (rights == HYPAPI_X && (vmx_ept_vpid_cap & EPTCAP_EXEC_ONLY));
}

static bool restrict_args_ok(u64 address, size_t page_count, u32 rights)
{
	return rights_ok(rights) && page_count && page_count <= MAX_RESTRICT_PAGES && !(address & (PAGE_SIZE - 1));
}

static int check_pages(struct dispatch *d, gpa1_t page, size_t page_count)
{
	int error = HYPAPI_OK;

	for (size_t i = 0; i < page_count && !error; i++)
		error = ept01_check_restrict(GPA1(page.addr + i * PAGE_SIZE), hypapps_number(d->link->app));
	return error;
}

static u32 rights_of(gpa1_t page)
{
	struct ept01_leaf leaf;

	return is_root_memory(page.addr) || !ept01_lookup(page, &leaf) || leaf.owner ? 0 : leaf.rights;
}

static bool gives_rights(gpa1_t page, size_t page_count, u32 rights)
{
	for (size_t i = 0; i < page_count; i++)
		if (rights & ~rights_of(GPA1(page.addr + i * PAGE_SIZE)))
			return true;
	return false;
}

static int restrict_pages(struct dispatch *d, gpa1_t page, size_t page_count, u32 rights)
{
	int error = check_pages(d, page, page_count);

	if (unlikely(d->link->droppable) && !error)
		d->progress.opened |= gives_rights(page, page_count, rights);
	return error ? error : ept01_restrict(page, page_count, rights, hypapps_number(d->link->app));
}

int hypapi_memory_restrict(struct hypapi_event *ev, gpa1_t page, size_t page_count, uint32_t rights)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_MEMORY);

	if (!d)
		return HYPAPI_EPERM;
	if (!restrict_args_ok(page.addr, page_count, rights) || page.addr >= BIT(46))
		return HYPAPI_EINVAL;
	return restrict_pages(d, page, page_count, rights);
}

int hypapi_dma_restrict(struct hypapi_event *ev, gpa1_t page, size_t page_count, uint32_t rights)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_MEMORY);

	if (!d)
		return HYPAPI_EPERM;
	if ((rights && rights != HYPAPI_RW) || !restrict_args_ok(page.addr, page_count, HYPAPI_RWX) ||
	    page.addr >= BIT(46))
		return HYPAPI_EINVAL;
	if (!iommu_is_on())
		return HYPAPI_ENOTSUP;
	for (size_t i = 0; i < page_count; i++)
		if (!(ept01_entry(GPA1(page.addr + i * PAGE_SIZE)) & EPT01_RAM))
			return HYPAPI_EPERM;
	int error = check_pages(d, page, page_count);

	if (rights && !error)
		d->progress.opened = true;
	return error ? error : ept01_restrict_dma(page, page_count, rights, hypapps_number(d->link->app));
}

/* Always under a stop: where EPT12 leads does not change between the look at it and the restriction. */
int hypapi_memory_restrict_gpa2(struct hypapi_event *ev, gpa2_t page, uint32_t rights, gpa1_t *gpa1)
{
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_MEMORY, true, &d);
	gpa1_t found;

	if (error)
		return error;
	if (!restrict_args_ok(page.addr, 1, rights))
		return HYPAPI_EINVAL;
	if (!quiesce_owned(&this_cpu()->quiesce))
		return HYPAPI_ESTATE;
	if (!nested_gpa1(this_cpu(), page, 0, &found))
		return HYPAPI_EFAULT;
	error = restrict_pages(d, found, 1, rights);
	if (!error || error == HYPAPI_EDMA)
		*gpa1 = found;
	return error;
}

int hypapi_memory_rights(const struct hypapi_event *ev, gpa1_t page, uint32_t *rights)
{
	if (!delivery(ev, HYPAPI_CAP_MEMORY))
		return HYPAPI_EPERM;
	*rights = rights_of(page);
	return HYPAPI_OK;
}

int hypapi_memory_rights_gpa2(const struct hypapi_event *ev, gpa2_t page, uint32_t *rights, gpa1_t *gpa1)
{
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_MEMORY, true, &d);

	if (error)
		return error;
	if (!nested_gpa1(this_cpu(), page, 0, gpa1))
		return HYPAPI_EFAULT;
	*rights = rights_of(*gpa1);
	return HYPAPI_OK;
}
