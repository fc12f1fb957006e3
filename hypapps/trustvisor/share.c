/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command 6: ranges of the caller's memory that a PAL finds at their own addresses. The PAL has pages of the core's
 * there. A call copies the ranges in and the return copies them back, with the caller's rights and at the caller's
 * addresses of that moment. So a PAL never reaches a page of a guest's: what the operating system does with one
 * meanwhile concerns nobody. It is as if the caller's thread alone had the memory during a call.
 *
 * Shared code is the same for good: the PAL has a copy, made under the stop of its registration and measured. The
 * caller goes on with the page itself, as does who else has it, so that nobody's change of it reaches the PAL, and no
 * use of it is seen in a cache that others share.
 *
 * The pages are root memory, of which there is little: they have limits of their own (limits.c).
 */
#include "pal.h"

/* Of a PAL by its number; belongs to who has the PAL. */
static struct shared {
	uint32_t count, page_count; /* the first is in the PAL, too, where each call looks */
	struct shared_range ranges[TV_MAX_SHARED];
} shared_of[TV_MAX_PALS];

static struct shared *shared(const struct pal *pal)
{
	return &shared_of[pal_number(pal)];
}

const struct shared_range *share_ranges(const struct pal *pal)
{
	return shared(pal)->ranges;
}

static uint8_t code_copies[TV_MAX_SHARED_PAGES][HYPAPI_PAGE_SIZE]; /* used under the stop only */

int share_read_code(const struct hypapi_event *ev, const struct pal *pal, const struct tv_list_page *listed)
{
	uint32_t number = 0, copies = 0;
	int rc = HYPAPI_OK;

	for (uint32_t i = 0; i < pal->sections.num_sections; i++) {
		const struct tv_pal_section *section = &pal->sections.sections[i];

		for (uint32_t n = 0; n < section->page_num; n++, number++) {
			gva_t at = GVA(section->start_addr + n * HYPAPI_PAGE_SIZE);
			struct hypapi_page page;

			if (section->type != TV_SECTION_SHARED_CODE)
				continue;
			if (listed)
				rc = list_read_physical(ev, code_copies[copies++],
							listed[number].physical & HYPAPI_PAGE_MASK, HYPAPI_PAGE_SIZE);
			else
				rc = hypapi_translate(ev, at, HYPAPI_RX, &page);
			if (rc == HYPAPI_OK && !listed)
				rc = hypapi_copy_from(ev, code_copies[copies++], at, HYPAPI_PAGE_SIZE);
			if (rc != HYPAPI_OK)
				return rc;
		}
	}
	return HYPAPI_OK;
}

int share_add_code(struct hypapi_event *ev, struct pal *pal)
{
	gva_t pages[TV_MAX_SHARED_PAGES];
	uint32_t count = 0;
	int rc;

	for (uint32_t i = 0; i < pal->sections.num_sections; i++)
		for (uint32_t n = 0; n < pal->sections.sections[i].page_num; n++)
			if (pal->sections.sections[i].type == TV_SECTION_SHARED_CODE)
				pages[count++] = GVA(pal->sections.sections[i].start_addr + n * HYPAPI_PAGE_SIZE);
	if (!count)
		return HYPAPI_OK;
	if (!limits_take_shared(pal, count))
		return HYPAPI_ENOMEM;
	shared(pal)->page_count = count; /* share_forget() gives them back */
	rc = hypapi_partition_add_memory(ev, pal->partition, pages, count, HYPAPI_RX);
	for (uint32_t i = 0; i < count && rc == HYPAPI_OK; i++)
		rc = hypapi_partition_write(ev, pal->partition, pages[i], code_copies[i], HYPAPI_PAGE_SIZE);
	return rc;
}

void share_forget(struct pal *pal)
{
	limits_give_shared(pal, shared(pal)->page_count);
	*shared(pal) = (struct shared){ .count = 0 };
}

/* Two arrays of words: addresses, and lengths in bytes. Read once. A PAL's null pointers stay null. */
static int read_ranges(struct hypapi_event *ev, const struct pal *pal, struct shared_range *ranges,
		       uint64_t count)
{
	uint32_t width = pal->word_bytes;
	uint8_t words[2][TV_MAX_SHARED * 8 + 8] = { { 0 } };
	int rc = copy_in(ev, words[0], tv_arg(ev, HYPAPI_REG_RDX), count * width);

	if (rc == HYPAPI_OK)
		rc = copy_in(ev, words[1], tv_arg(ev, HYPAPI_REG_RSI), count * width);
	for (uint64_t i = 0; i < count && rc == HYPAPI_OK; i++) {
		ranges[i] = (struct shared_range){ 0, 0 };
		__builtin_memcpy(&ranges[i].start, &words[0][i * width], width);
		__builtin_memcpy(&ranges[i].len_bytes, &words[1][i * width], width);
		if (ranges[i].len_bytes == 0 || ranges[i].len_bytes > TV_MAX_SHARED_PAGES * HYPAPI_PAGE_SIZE ||
		    ranges[i].start < HYPAPI_PAGE_SIZE || ranges[i].start >= pal_address_limit(pal) ||
		    ranges[i].start + ranges[i].len_bytes > pal_address_limit(pal))
			rc = HYPAPI_EINVAL;
	}
	return rc;
}

static bool overlap(const struct shared_range *a, const struct shared_range *b)
{
	return a->start < b->start + b->len_bytes && b->start < a->start + a->len_bytes;
}

static bool has_page(const struct shared_range *range, uint64_t page)
{
	return (range->start & HYPAPI_PAGE_MASK) <= page && page < range->start + range->len_bytes;
}

/* The pages that the PAL does not have by the ranges before it. More than fit are refused. */
static bool new_pages(const struct shared *s, uint32_t had, gva_t *pages, uint32_t *count)
{
	*count = 0;
	for (uint32_t i = had; i < s->count; i++) {
		uint64_t end = s->ranges[i].start + s->ranges[i].len_bytes;

		for (uint64_t page = s->ranges[i].start & HYPAPI_PAGE_MASK; page < end; page += HYPAPI_PAGE_SIZE) {
			uint32_t before = 0;

			while (before < i && !has_page(&s->ranges[before], page))
				before++;
			if (before < i)
				continue;
			if (s->page_count + *count == TV_MAX_SHARED_PAGES)
				return false;
			pages[(*count)++] = GVA(page);
		}
	}
	return true;
}

static bool ranges_are_apart(const struct shared *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		for (uint32_t j = 0; j < i; j++)
			if (overlap(&s->ranges[i], &s->ranges[j]))
				return false;
	return true;
}

/* With the PAL owned. All of the ranges, or none. */
static int add_ranges(struct hypapi_event *ev, struct pal *pal, uint64_t count)
{
	struct shared wanted = *shared(pal);
	gva_t pages[TV_MAX_SHARED_PAGES];
	uint32_t had = wanted.count, page_count;
	int rc;

	if (count == 0 || count > TV_MAX_SHARED - had)
		return HYPAPI_EINVAL;
	rc = read_ranges(ev, pal, &wanted.ranges[had], count);
	if (rc != HYPAPI_OK)
		return rc;
	wanted.count += (uint32_t)count;
	if (!ranges_are_apart(&wanted))
		return HYPAPI_EINVAL;
	if (!new_pages(&wanted, had, pages, &page_count) || !limits_take_shared(pal, page_count))
		return HYPAPI_ENOMEM;
	rc = page_count ? hypapi_partition_add_memory(ev, pal->partition, pages, page_count, HYPAPI_RW) :
			  HYPAPI_OK;
	if (rc != HYPAPI_OK) {
		limits_give_shared(pal, page_count);
		return rc;
	}
	wanted.page_count += page_count;
	*shared(pal) = wanted;
	pal->shared_count = wanted.count;
	return HYPAPI_OK;
}

uint32_t tv_share(struct hypapi_event *ev)
{
	struct pal *pal = pal_of_caller(ev, GVA(tv_arg(ev, HYPAPI_REG_RCX)));
	int rc;

	if (!pal)
		return TV_E_NO_PAL;
	if (!pal_change_state(pal, PAL_READY, PAL_RUNNING))
		return TV_E_BUSY;
	rc = add_ranges(ev, pal, tv_arg(ev, HYPAPI_REG_RDI));
	pal_let_go(ev, pal, PAL_READY);
	return tv_result_of(rc);
}
