/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registration by list: a kernel names the physical pages of a PAL, and processes call it. No page table of the caller
 * is walked: the request itself, too, lies at a physical address. What a PAL is, is decided by the same checks as in
 * register.c, on the sections that the list makes.
 *
 * A handle belongs to the level that registered, and at L2 to the virtual machine that has the home page: whose
 * L2-physical address of it leads there, and may be written. A page that L1 merged with one of another machine is the
 * home of neither. That is looked at again under the stop, for EPT12 changes without one.
 */
#include "pal.h"

#define MAX_PHYSICAL (1ull << 44)

/*
 * A kernel names its own machine's memory. Without EPT12 (shadow paging) an L2-physical address is one of L1's, so that
 * L2's kernel would name, and take, any page of L1's.
 */
static bool may_name_pages(const struct hypapi_event *ev)
{
	uint64_t eptp12 = 0;

	if (!is_kernel(ev) || ev->level == HYPAPI_L1)
		return is_kernel(ev);
	return hypapi_ept_identity(ev, ev->eptp02, &eptp12) == HYPAPI_OK && eptp12;
}

int list_read_physical(const struct hypapi_event *ev, void *dst, uint64_t src, size_t len_bytes)
{
	struct hypapi_page page;
	int rc = HYPAPI_OK;

	if (src >= MAX_PHYSICAL || (src & ~HYPAPI_PAGE_MASK))
		return HYPAPI_EINVAL;
	if (ev->level == HYPAPI_L1)
		return hypapi_copy_from_gpa1(ev, dst, GPA1(src), len_bytes);
	for (size_t done = 0; done < len_bytes && rc == HYPAPI_OK; done += HYPAPI_PAGE_SIZE) {
		size_t part = len_bytes - done < HYPAPI_PAGE_SIZE ? len_bytes - done : HYPAPI_PAGE_SIZE;

		rc = hypapi_translate_gpa2(ev, GPA2(src + done), HYPAPI_R, &page);
		if (rc == HYPAPI_OK)
			rc = hypapi_copy_from_gpa1(ev, (uint8_t *)dst + done, page.gpa1, part);
	}
	return rc;
}

/* The whole array that a request of this size may have is read at most; nothing past page_count is looked at. */
static uint32_t read_list(const struct hypapi_event *ev, struct tv_list *list)
{
	uint64_t at = tv_arg(ev, HYPAPI_REG_RCX);
	int rc = list_read_physical(ev, list, at, offsetof(struct tv_list, pages));

	if (rc != HYPAPI_OK)
		return tv_result_of(rc);
	if (list->version != TV_LIST_VERSION || (list->flags & ~TV_LIST_FLAGS) || list->page_count == 0 ||
	    list->page_count > TV_MAX_PAGES || list->entry_count == 0 || list->entry_count > TV_MAX_ENTRIES)
		return TV_E_INVALID;
	/* The counts are those of the first reading, whatever stands there now. */
	struct { uint32_t flags, entries, pages; } first = { list->flags, list->entry_count, list->page_count };

	rc = list_read_physical(ev, list, at, offsetof(struct tv_list, pages) + first.pages * sizeof(list->pages[0]));
	list->flags = first.flags;
	list->entry_count = first.entries;
	list->page_count = first.pages;
	return tv_result_of(rc);
}

/* Neighbours of one type become sections. The order of the pages stays, so that both lists go together. */
static bool make_sections(struct pal *pal, const struct tv_list *list)
{
	struct tv_pal_sections *sections = &pal->sections;
	struct tv_pal_section *last = NULL;

	for (uint32_t i = 0; i < list->page_count; i++) {
		const struct tv_list_page *page = &list->pages[i];
		uint32_t type = (uint32_t)(page->physical & ~HYPAPI_PAGE_MASK);

		if (page->physical >= MAX_PHYSICAL)
			return false;
		if (last && last->type == type && section_end(last) == page->linear) {
			last->page_num++;
			continue;
		}
		if (sections->num_sections == TV_MAX_SECTIONS)
			return false;
		last = &sections->sections[sections->num_sections++];
		*last = (struct tv_pal_section){ .type = type, .page_num = 1, .start_addr = page->linear };
	}
	return true;
}

static bool make_entries(struct pal *pal, const struct tv_list *list)
{
	pal->entry_count = list->entry_count;
	for (uint32_t i = 0; i < list->entry_count; i++) {
		if (list->entries[i].params.num_params > TV_MAX_PARAMS)
			return false;
		pal->entries[i] = (struct pal_entry){ .at = GVA(list->entries[i].address),
						      .params = list->entries[i].params };
	}
	return true;
}

/* The page by which the PAL's callers are known, and at L2 its virtual machine. */
static void note_home(struct pal *pal, const struct tv_list *list)
{
	for (uint32_t i = 0; i < list->page_count; i++)
		if (list->pages[i].linear == pal->stack_end - HYPAPI_PAGE_SIZE)
			pal->home_physical = list->pages[i].physical & HYPAPI_PAGE_MASK;
}

bool list_find_home(const struct hypapi_event *ev, uint64_t physical, gpa1_t *gpa1)
{
	struct hypapi_page page = { .gpa1 = GPA1(0) };
	int rc;

	*gpa1 = GPA1(physical);
	if (ev->level == HYPAPI_L1)
		return true;
	rc = hypapi_translate_gpa2(ev, GPA2(physical), HYPAPI_RW, &page);
	*gpa1 = page.gpa1;
	return rc == HYPAPI_OK || (rc == HYPAPI_EPERM && page.gpa1.addr);
}

bool list_is_owner(const struct hypapi_event *ev, const struct pal *pal)
{
	gpa1_t home;

	return pal->level == ev->level && list_find_home(ev, pal->home_physical, &home) &&
	       home.addr == pal->home_gpa1.addr;
}

static uint32_t make_pal(const struct hypapi_event *ev, const struct tv_list *list, struct pal *pal)
{
	pal_clear(pal);
	pal->by_list = true;
	pal->flags = list->flags;
	pal->level = ev->level;
	pal->caller = tv_caller(ev);
	pal->space = tv_space(ev);
	pal->cpl = 3;
	pal->long_mode = !(list->flags & TV_LIST_32BIT);
	pal->word_bytes = pal->long_mode ? 8 : 4;
	if (!pal_set_options(pal, &list->options) || !make_sections(pal, list) || !make_entries(pal, list) ||
	    !pal_is_valid(pal))
		return TV_E_INVALID;
	if (list->flags & TV_LIST_FPU)
		pal->tpm_flags |= TV_PAL_FPU;
	note_home(pal, list);
	return TV_OK;
}

/* The handle is told when the PAL is measured. */
static uint32_t go_on(struct hypapi_event *ev, struct pal *pal)
{
	uint64_t handle = pal->partition.id;
	uint32_t result = pal_measure(ev, pal);

	if (result == TV_OK) {
		hypapi_reg_set(ev, HYPAPI_REG_RCX, (uint32_t)handle);
		hypapi_reg_set(ev, HYPAPI_REG_RDX, handle >> 32);
	}
	return result;
}

/* L1 maps the page again when its L2 reads there. Where it has another one for L2, nobody could go on. */
static uint32_t home_is_gone(struct hypapi_event *ev, struct pal *pal)
{
	gpa1_t home;

	if (!list_find_home(ev, pal->home_physical, &home))
		return TV_E_FAULT;
	return home.addr == pal->home_gpa1.addr ? TV_REPEAT : pal_abandon(ev, pal);
}

uint32_t tv_register_list(struct hypapi_event *ev)
{
	struct tv_list *list = &own_cpu(ev)->list;
	struct pal *pal = &own_cpu(ev)->pal, *begun;
	uint32_t result = may_name_pages(ev) ? limits_allow(ev, true) : TV_E_DENIED;

	if (result != TV_OK)
		return result;
	begun = pal_by_request(ev, true);
	if (begun)
		return list_is_owner(ev, begun) ? go_on(ev, begun) : home_is_gone(ev, begun);
	result = read_list(ev, list);
	if (result == TV_OK)
		result = make_pal(ev, list, pal);
	return result == TV_OK ? pal_take(ev, pal, list->pages) : result;
}

/* ---- By handle ---- */

static uint32_t find_by_handle(const struct hypapi_event *ev, struct pal **pal)
{
	uint64_t handle = (uint32_t)tv_arg(ev, HYPAPI_REG_RCX) | tv_arg(ev, HYPAPI_REG_RDX) << 32;

	if (!may_name_pages(ev))
		return TV_E_DENIED;
	*pal = pal_by_partition((hypapi_partition_t){ handle });
	if (!*pal || !(*pal)->by_list || pal_state(*pal) == PAL_FREE || !list_is_owner(ev, *pal))
		return TV_E_NO_PAL;
	return TV_OK;
}

/* One that runs ends with its call: that CPU is not waited for here, where it could not be interrupted. */
uint32_t tv_unregister_list(struct hypapi_event *ev)
{
	struct pal *pal;
	uint32_t result = find_by_handle(ev, &pal);

	if (result == TV_OK && pal_is_at_rest(pal))
		result = tv_stop(ev);
	if (result == TV_OK)
		result = find_by_handle(ev, &pal);
	if (result != TV_OK)
		return result;
	if (pal_change_state(pal, PAL_ENDED, PAL_FREE))
		return TV_OK;
	if (ev->stopped && pal_is_at_rest(pal)) {
		result = tv_result_of(pal_destroy(ev, pal, TV_WHY_ENDED));
		pal_change_state(pal, PAL_ENDED, PAL_FREE);
		return result;
	}
	__atomic_store_n(&pal->doomed_why, TV_WHY_ENDED, __ATOMIC_RELAXED);
	pal_change_state(pal, PAL_RUNNING, PAL_DOOMED);
	return TV_E_BUSY;
}

uint32_t tv_status_list(struct hypapi_event *ev)
{
	struct pal *pal;
	uint32_t result = find_by_handle(ev, &pal);

	if (result != TV_OK)
		return result;
	hypapi_reg_set(ev, HYPAPI_REG_RCX, (pal_state(pal) != PAL_ENDED) | pal->why << 8 | pal->vector << 16);
	hypapi_reg_set(ev, HYPAPI_REG_RDX, pal->error_code);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, __atomic_load_n(&pal->calls, __ATOMIC_RELAXED));
	hypapi_reg_set(ev, HYPAPI_REG_RSI, pal->rip);
	hypapi_reg_set(ev, HYPAPI_REG_RDI, pal->address);
	return TV_OK;
}
