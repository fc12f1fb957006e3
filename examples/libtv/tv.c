/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libtv for Linux: see tv.h.
 *
 * The hypervisor takes physical pages, Linux hands out virtual ones. Before a registration this file makes sure that
 * the two stay together: each page is written once, so that it is no longer shared with the page cache or another
 * process, and locked, so that it is not swapped out. Code stays writable until it is registered, since only what the
 * process may write is taken. (Linux may still move locked pages when it compacts memory; a
 * machine for production has vm.compact_unevictable_allowed=0.)
 */
#define _GNU_SOURCE
#include "tv.h"

#include <stddef.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096
#define REGISTER_TRIES 8

extern char tv_pal_text_start[], tv_pal_text_end[], tv_pal_data_start[], tv_pal_data_end[], tv_pal_param_end[],
	tv_pal_stack_end[];

TV_PAL_DATA uint64_t tv_pal_is_there = 0;

enum tv_level tv_detect(void)
{
	static enum tv_level level; /* every thread that races for it writes the same */
	static bool known;

	if (!__atomic_load_n(&known, __ATOMIC_ACQUIRE)) {
		enum tv_level found = TV_NONE;

		if (tv_present(0, NULL, NULL))
			found = TV_IN_L1;
		else if (tv_present(TV_L2_BASE_DEFAULT, NULL, NULL))
			found = TV_IN_L2;
		__atomic_store_n(&level, found, __ATOMIC_RELAXED);
		__atomic_store_n(&known, true, __ATOMIC_RELEASE);
	}
	return __atomic_load_n(&level, __ATOMIC_RELAXED);
}

static uint32_t call(uint32_t command, const void *rcx, const void *rsi, const void *rdi)
{
	enum tv_level level = tv_detect();

	if (level == TV_NONE)
		return TV_E_UNSUPPORTED;
	return tv_hypercall(level == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0, command, (uintptr_t)rcx, 0, (uintptr_t)rsi,
			    (uintptr_t)rdi);
}

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

/* Writes one byte of each page with what it holds, and reads it: the page is this process's own, present and mapped. */
static void touch(char *start, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i += PAGE_BYTES)
		*(volatile char *)&start[i] = *(volatile char *)&start[i];
}

static bool is_code(const struct tv_pal_section *section)
{
	return section->type == TV_SECTION_CODE || section->type == TV_SECTION_SHARED_CODE;
}

static bool prepare_section(const struct tv_pal_section *section)
{
	size_t len_bytes = (size_t)section->page_num * PAGE_BYTES;
	char *start = (char *)(uintptr_t)section->start_addr;

	madvise(start, len_bytes, MADV_NOHUGEPAGE);   /* fails harmlessly on a kernel without huge pages */
	madvise(start, len_bytes, MADV_UNMERGEABLE); /* and without KSM; outside, all PALs look alike */
	if (madvise(start, len_bytes, MADV_DONTFORK))
		return false;
	if (is_code(section) && mprotect(start, len_bytes, PROT_READ | PROT_WRITE | PROT_EXEC))
		return false;
	touch(start, len_bytes);
	return mlock(start, len_bytes) == 0;
}

/* The word that entry points look at, if it is in these sections. Each access is one that the compiler keeps. */
static volatile uint64_t *word_in(const struct tv_pal_sections *sections)
{
	for (uint32_t i = 0; i < sections->num_sections && i < TV_MAX_SECTIONS; i++)
		if ((uintptr_t)&tv_pal_is_there - sections->sections[i].start_addr <
		    (uint64_t)sections->sections[i].page_num * PAGE_BYTES)
			return &tv_pal_is_there;
	return NULL;
}

/* Not while it reads as zero: the write would end a PAL that is registered. */
static void clear_word(const struct tv_pal_sections *sections)
{
	volatile uint64_t *word = word_in(sections);

	if (word && *word)
		*word = 0;
}

bool tv_prepare(const struct tv_pal_sections *sections)
{
	volatile uint64_t *word = word_in(sections);

	for (uint32_t i = 0; i < sections->num_sections && i < TV_MAX_SECTIONS; i++)
		if (!prepare_section(&sections->sections[i]))
			return tv_finish(sections, TV_E_FAULT), false;
	if (word)
		*word = 1;
	return true;
}

uint32_t tv_finish(const struct tv_pal_sections *sections, uint32_t result)
{
	if (result != TV_OK)
		clear_word(sections);
	for (uint32_t i = 0; i < sections->num_sections && i < TV_MAX_SECTIONS; i++) {
		const struct tv_pal_section *section = &sections->sections[i];

		/* If that fails, the PAL is as safe: a write would end it. */
		if (is_code(section))
			mprotect((void *)(uintptr_t)section->start_addr, (size_t)section->page_num * PAGE_BYTES,
				 PROT_READ | PROT_EXEC);
	}
	return result;
}

uint32_t tv_register(const struct tv_pal_sections *sections, const struct tv_pal_params *params, const void *entry)
{
	/*
	 * Constants may lie in a page that nobody has touched yet, which the hypervisor cannot read: hand over copies.
	 */
	const struct tv_pal_sections own_sections = *sections;
	const struct tv_pal_params own_params = *params;
	uint32_t result = TV_E_FAULT;

	if (tv_detect() == TV_NONE)
		return TV_E_UNSUPPORTED;
	/*
	 * Between touch and call a page can get lost again. In L2, one that L1 took away looks like one that L1 keeps.
	 */
	for (int i = 0; i < REGISTER_TRIES && (result == TV_E_FAULT || result == TV_E_OWNED); i++) {
		if (!tv_prepare(sections))
			return TV_E_FAULT;
		result = call(TV_CMD_REGISTER, &own_sections, &own_params, entry);
	}
	return tv_finish(sections, result);
}

uint32_t tv_unregister(const struct tv_pal_sections *sections, const void *entry)
{
	uint32_t result = call(TV_CMD_UNREGISTER, entry, NULL, NULL);

	if (result != TV_E_BUSY)
		clear_word(sections);
	for (uint32_t i = 0; i < sections->num_sections && result != TV_E_BUSY; i++) {
		const struct tv_pal_section *section = &sections->sections[i];
		void *start = (void *)(uintptr_t)section->start_addr;

		munlock(start, (size_t)section->page_num * PAGE_BYTES);
		madvise(start, (size_t)section->page_num * PAGE_BYTES, MADV_DOFORK);
	}
	return result;
}

uint32_t tv_test(void)
{
	return call(TV_CMD_TEST, NULL, NULL, NULL);
}

const char *tv_result_text(uint32_t result)
{
	static const char *const texts[] = {
		[TV_OK] = "success", [TV_E_INVALID] = "bad descriptor",
		[TV_E_FAULT] = "page not mapped or right missing",
		[TV_E_OWNED] = "page used twice or owned", [TV_E_NO_PAL] = "no such PAL",
		[TV_E_BUSY] = "PAL is running",
		[TV_E_NO_ROOM] = "too many PALs", [TV_E_IN_PAL] = "called by a PAL",
		[TV_E_NOT_IN_PAL] = "not called by a PAL", [TV_E_UNSUPPORTED] = "not supported",
		[TV_E_UNKNOWN] = "unknown command",
	};

	return result < sizeof(texts) / sizeof(texts[0]) && texts[result] ? texts[result] : "unknown result";
}
