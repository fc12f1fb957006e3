/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of libtv lies in the program itself, also where the rest is a shared library: the word that entry points look
 * at, which is of the PAL's data, and the sections that the program's linker made.
 */
#include "tv.h"

#define PAGE_BYTES 4096

extern char tv_pal_text_start[], tv_pal_text_end[], tv_pal_data_start[], tv_pal_data_end[], tv_pal_param_end[],
	tv_pal_stack_end[];

TV_PAL_DATA uint64_t tv_pal_is_there = 0;

/* The library finds it by this. */
__attribute__((visibility("default"))) volatile uint64_t *const tv_pal_word = &tv_pal_is_there;

static struct tv_pal_section section(uint32_t type, const char *start, const char *end)
{
	return (struct tv_pal_section){ .type = type, .page_num = (uint32_t)((end - start) / PAGE_BYTES),
					.start_addr = (uintptr_t)start };
}

void tv_own_sections(struct tv_pal_sections *sections)
{
	*sections = (struct tv_pal_sections){ .num_sections = 4, .sections = {
		section(TV_SECTION_CODE, tv_pal_text_start, tv_pal_text_end),
		section(TV_SECTION_DATA, tv_pal_data_start, tv_pal_data_end),
		section(TV_SECTION_PARAM, tv_pal_data_end, tv_pal_param_end),
		section(TV_SECTION_STACK, tv_pal_param_end, tv_pal_stack_end) } };
}
