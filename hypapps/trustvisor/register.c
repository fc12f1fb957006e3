/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registration and removal of PALs.
 *
 * The caller's descriptors are copied once, and everything is decided from the copy: first without a stop, so that a
 * wrong request costs the other CPUs nothing; then the CPUs are stopped, and all that page tables and the table of PALs
 * say is looked at under the stop, since a guest changes its page tables without one. hypapi_partition_create() checks
 * every page against the rights that the *PAL* will have (not those that some descriptor names), and that no page is
 * used twice or owned already. Then the stop is over, and the pages are measured: by whoever repeats the command.
 *
 * Whose pages they are: reading and executing a page is everybody's right who maps the same file. So a caller that is
 * not L1's kernel must be able to write each page, code too: such a page is nobody else's to trust. Shared code stays
 * where it is (share.c).
 */
#include "pal.h"
#include "tpm/tpm.h"

uint32_t tv_result_of(int error)
{
	switch (error) {
	case HYPAPI_OK:
		return TV_OK;
	case HYPAPI_EFAULT:
		return TV_E_FAULT;
	case HYPAPI_EPERM:
		return TV_E_OWNED;
	case HYPAPI_ENOTMAPPED:
		return TV_REPEAT; /* page_in() */
	case HYPAPI_ENOMEM:
		return TV_E_NO_ROOM;
	case HYPAPI_EBUSY:
		return TV_E_BUSY;
	case HYPAPI_ENOTSUP:
		return TV_E_UNSUPPORTED;
	default:
		return TV_E_INVALID;
	}
}

/*
 * What of L2's memory L1 has not mapped yet, or not for writing, it maps before the caller's instruction comes again.
 * What the caller's own page tables lack is an error: to raise a fault for it would end a program that made a mistake.
 */
void page_in(struct hypapi_event *ev, uint64_t at, uint64_t len_bytes, uint32_t rights)
{
	for (uint64_t end = at + len_bytes; at < end; at = (at & HYPAPI_PAGE_MASK) + HYPAPI_PAGE_SIZE)
		if (hypapi_page_in(ev, GVA(at), rights) == HYPAPI_OK)
			return;
}

int copy_in(struct hypapi_event *ev, void *dst, uint64_t src, size_t len_bytes)
{
	int rc = hypapi_copy_from(ev, dst, GVA(src), len_bytes);

	if (rc == HYPAPI_ENOTMAPPED)
		page_in(ev, src, len_bytes, HYPAPI_R);
	return rc;
}

/* ---- Descriptors ---- */

/*
 * Reads a count (u32, u32 of padding) and that many elements of 16 bytes, as sections and parameters both are. Existing
 * callers may have laid out no more than these, so what lies on the next page is read only if it is needed; the rest of
 * the first page is read at once, since finding a page costs more than its bytes. Unused elements are zeroed.
 */
static int copy_counted(struct hypapi_event *ev, void *dst, uint64_t src, uint32_t max_count)
{
	size_t full = sizeof(struct tv_pal_sections), on_page = HYPAPI_PAGE_SIZE - (src & ~HYPAPI_PAGE_MASK);
	size_t first = full < on_page ? full : on_page, wanted;
	uint8_t *bytes = dst;
	int rc = copy_in(ev, bytes, src, first);
	uint32_t count;

	if (rc == HYPAPI_OK && first < sizeof(uint32_t))
		rc = copy_in(ev, bytes + first, src + first, sizeof(uint32_t) - first);
	if (rc != HYPAPI_OK)
		return rc;
	first = first < sizeof(uint32_t) ? sizeof(uint32_t) : first;
	__builtin_memcpy(&count, bytes, sizeof(count));
	if (count > max_count)
		return HYPAPI_EINVAL;
	wanted = 2 * sizeof(uint32_t) + count * sizeof(struct tv_pal_section);
	if (wanted > first)
		return copy_in(ev, bytes + first, src + first, wanted - first);
	__builtin_memset(bytes + wanted, 0, first - wanted);
	return HYPAPI_OK;
}

static bool section_is_valid(const struct tv_pal_section *section, uint64_t limit)
{
	if (section->type < TV_SECTION_CODE || section->type > TV_SECTION_SHARED_CODE)
		return false;
	if (section->page_num == 0 || section->page_num > TV_MAX_PAGES)
		return false;
	/* Null pointers stay null in a PAL. Start first: the sum of two such numbers cannot overflow */
	return (section->start_addr & ~HYPAPI_PAGE_MASK) == 0 && section->start_addr > 0 &&
	       section->start_addr < limit &&
	       section_end(section) <= limit;
}

static bool sections_overlap(const struct tv_pal_section *a, const struct tv_pal_section *b)
{
	return a->start_addr < section_end(b) && b->start_addr < section_end(a);
}

/* Counts the pages, too. */
static bool sections_are_valid(struct pal *pal)
{
	const struct tv_pal_section *sections = pal->sections.sections;

	pal->page_count = pal->copied_count = 0;
	for (uint32_t i = 0; i < pal->sections.num_sections; i++) {
		if (!section_is_valid(&sections[i], pal_address_limit(pal)))
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (sections_overlap(&sections[i], &sections[j]))
				return false;
		pal->page_count += sections[i].page_num;
		if (sections[i].type == TV_SECTION_SHARED_CODE)
			pal->copied_count += sections[i].page_num;
	}
	return pal->page_count <= TV_MAX_PAGES && pal->copied_count <= TV_MAX_SHARED_PAGES;
}

static const struct tv_pal_section *find_section(const struct pal *pal, uint32_t type)
{
	for (uint32_t i = 0; i < pal->sections.num_sections; i++)
		if (pal->sections.sections[i].type == type)
			return &pal->sections.sections[i];
	return NULL;
}

static bool entry_is_code(const struct pal *pal, uint64_t entry)
{
	for (uint32_t i = 0; i < pal->sections.num_sections; i++) {
		const struct tv_pal_section *section = &pal->sections.sections[i];

		if (section->type == TV_SECTION_CODE && entry >= section->start_addr && entry < section_end(section))
			return true;
	}
	return false;
}

/*
 * Where each parameter will stand in the param section: a word with their number, then for the last one first three
 * words {type, size in bytes, value}, and after those of a pointer the words that it points to.
 */
static bool place_params(const struct pal *pal, struct pal_entry *entry)
{
	const struct tv_pal_section *section = find_section(pal, TV_SECTION_PARAM);
	uint32_t max_type = pal->by_list ? TV_PARAM_BUFFER : TV_PARAM_POINTER;
	uint64_t position = pal->word_bytes;

	if (!section)
		return entry->params.num_params == 0;
	for (uint32_t i = entry->params.num_params; i-- > 0;) {
		const struct tv_pal_param *param = &entry->params.params[i];

		if (param->type < TV_PARAM_INTEGER || param->type > max_type)
			return false;
		if (param->type == TV_PARAM_BUFFER &&
		    (i + 1 == entry->params.num_params || param[1].type != TV_PARAM_INTEGER))
			return false;
		position += 3 * pal->word_bytes;
		entry->copy_at[i] = section->start_addr + position;
		if (param->type == TV_PARAM_INTEGER)
			continue;
		if (param->size > TV_MAX_PAGES * HYPAPI_PAGE_SIZE / pal->word_bytes)
			return false;
		position += param->size * pal->word_bytes;
		entry->pointer_count++;
	}
	return position <= section_end(section) - section->start_addr;
}

static bool entries_are_valid(struct pal *pal)
{
	for (uint32_t i = 0; i < pal->entry_count; i++) {
		if (!entry_is_code(pal, pal->entries[i].at.addr) || !place_params(pal, &pal->entries[i]))
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (pal->entries[j].at.addr == pal->entries[i].at.addr)
				return false;
	}
	return true;
}

void pal_clear(struct pal *pal)
{
	__builtin_memset(pal, 0, offsetof(struct pal, entries));
}

bool pal_is_valid(struct pal *pal)
{
	const struct tv_pal_section *stack = find_section(pal, TV_SECTION_STACK);
	const struct tv_pal_section *param = find_section(pal, TV_SECTION_PARAM);

	if (!sections_are_valid(pal) || !stack || !entries_are_valid(pal))
		return false;
	pal->param_start = param ? param->start_addr : 0;
	pal->stack_end = section_end(stack);
	return true;
}

bool pal_set_options(struct pal *pal, const struct tv_pal_options *options)
{
	pal->tpm_flags = options->flags;
	__builtin_memcpy(pal->owner_tag, options->owner_tag, sizeof(pal->owner_tag));
	return !(options->flags & ~(TV_PAL_DEBUG | TV_PAL_FIXED)) && !options->reserved;
}

/* Programs of before have 0 there. */
static int read_options(struct hypapi_event *ev, struct pal *pal)
{
	uint64_t at = tv_arg(ev, HYPAPI_REG_RDX);
	struct tv_pal_options options;
	int rc;

	if (!at)
		return HYPAPI_OK;
	rc = copy_in(ev, &options, at, sizeof(options));
	if (rc != HYPAPI_OK)
		return rc;
	return pal_set_options(pal, &options) ? HYPAPI_OK : HYPAPI_EINVAL;
}

/* Copies and checks all that the caller's request says by itself. */
static uint32_t read_request(struct hypapi_event *ev, struct pal *pal)
{
	struct pal_entry *entry = &pal->entries[0];
	int rc;

	pal_clear(pal);
	pal->entry_count = 1;
	__builtin_memset(entry, 0, sizeof(*entry));
	entry->at = GVA(tv_arg(ev, HYPAPI_REG_RDI));
	pal->level = ev->level;
	pal->caller = tv_caller(ev);
	pal->space = tv_space(ev);
	pal->cpl = ev->cpl;
	pal->long_mode = ev->long_mode;
	pal->word_bytes = ev->long_mode ? 8 : 4;
	rc = copy_counted(ev, &pal->sections, tv_arg(ev, HYPAPI_REG_RCX), TV_MAX_SECTIONS);
	if (rc == HYPAPI_OK)
		rc = copy_counted(ev, &entry->params, tv_arg(ev, HYPAPI_REG_RSI), TV_MAX_PARAMS);
	if (rc == HYPAPI_OK)
		rc = read_options(ev, pal);
	if (rc != HYPAPI_OK)
		return tv_result_of(rc);
	return pal_is_valid(pal) ? TV_OK : TV_E_INVALID;
}

/* Refuses what cannot succeed, as things are now: another CPU can change it until the stop. */
static uint32_t check_before_stop(struct hypapi_event *ev, const struct pal *pal, const struct tv_list_page *pages)
{
	uint32_t rights = is_l1_kernel(ev) ? HYPAPI_RX : HYPAPI_RWX;
	uint64_t entry = pal->entries[0].at.addr;
	struct hypapi_page page;
	int rc = pages ? HYPAPI_OK : hypapi_translate(ev, GVA(entry), rights, &page);

	if (rc == HYPAPI_ENOTMAPPED)
		page_in(ev, entry, 1, rights);
	if (rc != HYPAPI_OK)
		return tv_result_of(rc);
	if (!pal_free_slot() || !limits_have_room(pal))
		return TV_E_NO_ROOM;
	return limits_are_wary(pal) ? tv_result_of(limits_foresee(ev, pal, pages)) : TV_OK;
}

/* ---- Commands ---- */

/* The home is the page that holds the end of the stack. */
static size_t list_pages(const struct hypapi_event *ev, const struct pal *pal, const struct tv_list_page *listed,
			 struct hypapi_partition_page *pages)
{
	uint32_t more = (is_l1_kernel(ev) ? 0 : HYPAPI_CALLER_WRITES) | (listed ? HYPAPI_FRAME : 0);
	size_t count = 0, number = 0;

	for (uint32_t i = 0; i < pal->sections.num_sections; i++) {
		const struct tv_pal_section *section = &pal->sections.sections[i];
		uint32_t rights = more | (section_is_code(section) ? HYPAPI_RX : HYPAPI_RW);

		if (section->type == TV_SECTION_SHARED_CODE) {
			number += section->page_num;
			continue;
		}
		for (uint64_t gva = section->start_addr; gva < section_end(section); gva += HYPAPI_PAGE_SIZE, count++) {
			bool home = gva == pal->stack_end - HYPAPI_PAGE_SIZE;

			pages[count].gva = GVA(gva);
			pages[count].rights = home ? rights | HYPAPI_HOME : rights;
			if (listed)
				pages[count].frame = (uint32_t)(listed[number++].physical / HYPAPI_PAGE_SIZE);
		}
	}
	return count;
}

static uint32_t take_pages(struct hypapi_event *ev, struct pal *pal, const struct tv_list_page *listed)
{
	static struct hypapi_partition_page pages[TV_MAX_PAGES]; /* used under the stop only */
	struct pal *slot = pal_free_slot();
	int rc;

	if (!slot || !limits_have_room(pal))
		return TV_E_NO_ROOM;
	if (pal->by_list && !list_find_home(ev, pal->home_physical, &pal->home_gpa1))
		return TV_E_FAULT;
	rc = share_read_code(ev, pal, listed);
	if (rc != HYPAPI_OK)
		return tv_result_of(rc);
	rc = hypapi_partition_create(ev, pages, list_pages(ev, pal, listed, pages), &pal->partition);
	if (rc == HYPAPI_OK && (pal->flags & TV_LIST_FPU)) {
		rc = hypapi_partition_add_fpu(ev, pal->partition);
		if (rc != HYPAPI_OK)
			hypapi_partition_destroy(ev, pal->partition);
	}
	if (rc != HYPAPI_OK)
		return tv_result_of(rc);
	pal->state = PAL_FREE;
	pal_note_request(ev, pal->by_list, pal->request);
	__builtin_memcpy(slot, pal, offsetof(struct pal, entries) + pal->entry_count * sizeof(struct pal_entry));
	limits_take(slot);
	pal_set_state(slot, PAL_MEASURING);
	rc = share_add_code(ev, slot);
	if (rc != HYPAPI_OK) {
		pal_destroy(ev, slot, TV_WHY_NONE);
		pal_set_state(slot, PAL_FREE); /* nobody has been told of it */
	}
	return tv_result_of(rc);
}

uint32_t tv_stop(struct hypapi_event *ev)
{
	int stop;

	if (!hypapi_may_stop(ev))
		return TV_REPEAT;
	stop = hypapi_quiesce(ev);
	return stop < 0 ? tv_result_of(stop) : TV_OK;
}

uint32_t pal_take(struct hypapi_event *ev, struct pal *pal, const struct tv_list_page *pages)
{
	uint32_t result;

	limits_name(ev, pal);
	result = check_before_stop(ev, pal, pages);
	if (result == TV_OK)
		result = tv_stop(ev);
	if (result != TV_OK)
		return result;
	result = take_pages(ev, pal, pages);
	if (result == TV_OK)
		return TV_REPEAT;
	limits_failed(pal);
	/* The core does not tell a page that L1 has not mapped. It is paged in when the command comes again. */
	if (result == TV_E_OWNED && ev->level == HYPAPI_L2 && limits_foresee(ev, pal, pages) == HYPAPI_ENOTMAPPED)
		return TV_REPEAT;
	return result;
}

void pal_note_request(const struct hypapi_event *ev, bool by_list, uint64_t request[4])
{
	static const enum hypapi_reg args[4] = { HYPAPI_REG_RCX, HYPAPI_REG_RDX, HYPAPI_REG_RSI, HYPAPI_REG_RDI };

	for (uint32_t i = 0; i < 4; i++)
		request[i] = i && by_list ? 0 : tv_arg(ev, args[i]);
}

/*
 * What the registers lead to is not read again: it may be the PAL's by now. Two who repeat one request take turns; who
 * comes after the last slice finds nothing to go on with, and registers what is registered.
 */
uint32_t pal_measure(struct hypapi_event *ev, struct pal *pal)
{
	uint32_t result;

	if (!pal_change_state(pal, PAL_MEASURING, PAL_RUNNING))
		return TV_REPEAT; /* another CPU is at it, or it has just gone */
	result = measure_slice(ev, pal);
	if (result == TV_OK || result == TV_REPEAT)
		pal_let_go(ev, pal, result == TV_OK ? PAL_READY : PAL_MEASURING);
	else
		pal_destroy(ev, pal, TV_WHY_LOST);
	return result;
}

uint32_t pal_abandon(struct hypapi_event *ev, struct pal *pal)
{
	if (!pal_change_state(pal, PAL_MEASURING, PAL_RUNNING))
		return TV_REPEAT;
	if (pal_destroy(ev, pal, TV_WHY_LOST) == HYPAPI_OK)
		pal_set_state(pal, PAL_FREE); /* nobody has been told of it */
	return TV_E_FAULT;
}

uint32_t tv_register(struct hypapi_event *ev)
{
	struct pal *pal = &own_cpu(ev)->pal, *begun;
	uint32_t result = limits_allow(ev, false);

	if (result != TV_OK)
		return result;
	begun = pal_by_request(ev, false);
	if (begun && !pal_is_callers(ev, begun))
		return pal_awaits_home(ev, begun) ? TV_REPEAT : pal_abandon(ev, begun);
	if (begun)
		return pal_measure(ev, begun);
	result = read_request(ev, pal);
	return result == TV_OK ? pal_take(ev, pal, NULL) : result;
}

/* No CPU has it, so that it can go. */
static uint32_t find_at_rest(const struct hypapi_event *ev, struct pal **pal)
{
	*pal = pal_by_entry(ev, GVA(tv_arg(ev, HYPAPI_REG_RCX)));
	if (!*pal)
		return TV_E_NO_PAL;
	return pal_is_at_rest(*pal) ? TV_OK : TV_E_BUSY;
}

uint32_t tv_unregister(struct hypapi_event *ev)
{
	struct pal *pal;
	uint32_t result = limits_allow(ev, false);

	if (result == TV_OK)
		result = find_at_rest(ev, &pal);
	if (result == TV_OK)
		result = tv_stop(ev);
	if (result == TV_OK)
		result = find_at_rest(ev, &pal); /* page tables have changed without a stop, perhaps */
	return result == TV_OK ? tv_result_of(pal_destroy(ev, pal, TV_WHY_NONE)) : result;
}
