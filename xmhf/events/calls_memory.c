/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hypapi's calls on physical memory of L1 and L2, and on the rights that L1 has to it. See events/calls.c. */
#include <hypapi/hypapi.h>

#include "events/calls.h"
#include "lib/string.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "mem/pages.h"
#include "nested/nested.h"
#include "vmx/vmx.h"

#define MAX_RESTRICT_PAGES 512

_Static_assert(MAX_HYPAPPS <= 31, "five bits of an entry of EPT01 name the hypapp that restricts its page");

int hypapi_translate_gpa2(const struct hypapi_event *ev, gpa2_t gpa2, uint32_t rights, struct hypapi_page *page)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_MEMORY);
	struct guest_page found;

	if (!d)
		return HYPAPI_EPERM;
	if (!in_guest(d) || this_cpu()->world->mode != RUN_L2)
		return HYPAPI_ENOTSUP;
	if (!nested_translate(this_cpu(), gpa2, &found))
		return HYPAPI_EFAULT;
	if (found.rights && (found.rights & rights) != (rights & HYPAPI_RWX))
		return HYPAPI_EFAULT;
	*page = (struct hypapi_page){ .hpa = found.hpa, .gpa1 = found.gpa1, .gpa2 = gpa2, .rights = found.rights };
	return found.rights ? HYPAPI_OK : HYPAPI_EPERM;
}

/*
 * L1's own RAM, at its identity: neither root's nor a partition's, whatever a hypapp left of its rights. A page of which
 * the core keeps something is only read: the address may be one that a guest named.
 */
static void *l1_memory(u64 gpa1, bool write)
{
	if (write && ept01_is_guarded(gpa1 & HYPAPI_PAGE_MASK))
		return NULL;
	return ept01_entry(GPA1(gpa1)) & EPT01_RAM ? phys_to_virt(HPA(gpa1)) : NULL;
}

static int copy_gpa1(const struct hypapi_event *ev, gpa1_t gpa1, void *buf, size_t len, bool write)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_MEMORY);

	if (!d)
		return HYPAPI_EPERM;
	if (len > MAX_COPY_BYTES || gpa1.addr + len < gpa1.addr)
		return HYPAPI_EINVAL;
	for (size_t done = 0; done < len;) {
		u64 at = gpa1.addr + done;
		size_t part = MIN(len - done, PAGE_SIZE - (at & (PAGE_SIZE - 1)));
		void *memory = l1_memory(at, write);

		if (!memory)
			return HYPAPI_EPERM;
		if (write)
			memcpy(memory, (u8 *)buf + done, part);
		else
			memcpy((u8 *)buf + done, memory, part);
		done += part;
	}
	return HYPAPI_OK;
}

int hypapi_copy_from_gpa1(const struct hypapi_event *ev, void *dst, gpa1_t src, size_t len_bytes)
{
	return copy_gpa1(ev, src, dst, len_bytes, false);
}

int hypapi_copy_to_gpa1(const struct hypapi_event *ev, gpa1_t dst, const void *src, size_t len_bytes)
{
	return copy_gpa1(ev, dst, (void *)src, len_bytes, true);
}

static bool restrict_args_ok(gpa1_t page, size_t page_count, u32 rights)
{
	bool exec_only = vmx_ept_vpid_cap & EPTCAP_EXEC_ONLY;
	bool rights_ok = !(rights & ~(u32)HYPAPI_RWX) && ((rights & HYPAPI_R) || !rights || (rights == HYPAPI_X && exec_only));

	return rights_ok && page_count && page_count <= MAX_RESTRICT_PAGES && !(page.addr & (PAGE_SIZE - 1)) &&
	       page.addr < BIT(46);
}

int hypapi_memory_restrict(struct hypapi_event *ev, gpa1_t page, size_t page_count, uint32_t rights)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_MEMORY);
	bool takes = false;

	if (!d)
		return HYPAPI_EPERM;
	if (!restrict_args_ok(page, page_count, rights))
		return HYPAPI_EINVAL;
	u32 app = hypapps_number(d->link->app);

	d->progress.walking = false;
	for (size_t i = 0; i < page_count; i++) {
		int error = ept01_check_restrict(GPA1(page.addr + i * PAGE_SIZE), rights, app, &takes);

		if (error)
			return error;
	}
	/* While this CPU starts no guest has run on any. */
	if (takes && !quiesce_owned(&this_cpu()->quiesce) && this_cpu()->quiesce.online)
		return HYPAPI_ESTATE;
	ept01_restrict(page, page_count, rights, app);
	return HYPAPI_OK;
}

int hypapi_memory_rights(const struct hypapi_event *ev, gpa1_t page, uint32_t *rights)
{
	struct ept01_leaf leaf;

	if (!delivery(ev, HYPAPI_CAP_MEMORY))
		return HYPAPI_EPERM;
	*rights = is_root_memory(page.addr) || !ept01_lookup(page, &leaf) || leaf.owner ? 0 : leaf.rights;
	return HYPAPI_OK;
}
