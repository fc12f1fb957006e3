/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libtv for Linux: see tv.h. Where the driver is, tv_device.c does the work; what follows is about the other way.
 *
 * The hypervisor takes physical pages, Linux hands out virtual ones. Before a registration this file makes sure that
 * the two stay together: each page is written once, so that it is no longer shared with the page cache or another
 * process, and locked, so that it is not swapped out. Code stays writable until it is registered, since only what the
 * process may write is taken. (Linux may still move locked pages when it compacts memory; a
 * machine for production has vm.compact_unevictable_allowed=0.)
 */
#define _GNU_SOURCE
#include "tv_device.h"

#include <stddef.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096
#define REGISTER_TRIES 8

/* In the program (tv_pal.c), if it has sections of its own. */
extern volatile uint64_t *const tv_pal_word __attribute__((weak));

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

static uint32_t call(uint32_t command, const void *rcx, const void *rdx, const void *rsi, const void *rdi)
{
	enum tv_level level = tv_detect();

	if (level == TV_NONE)
		return TV_E_UNSUPPORTED;
	return tv_hypercall(level == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0, command, (uintptr_t)rcx, (uintptr_t)rdx,
			    (uintptr_t)rsi, (uintptr_t)rdi);
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/*
 * Each page becomes this process's own, present and mapped: Linux does that without a store, which would end a PAL that
 * has the page already. Where it does not know how, a byte of each page is written with what it holds.
 */
static void touch(char *start, size_t len_bytes)
{
	if (!madvise(start, len_bytes, MADV_POPULATE_WRITE))
		return;
	for (size_t i = 0; i < len_bytes; i += PAGE_BYTES)
		*(volatile char *)&start[i] = *(volatile char *)&start[i];
}

static bool is_code(const struct tv_pal_section *section)
{
	return section->type == TV_SECTION_CODE;
}

/* Shared code stays what it is; it must be there to be copied. */
static bool read_shared(const char *start, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i += PAGE_BYTES)
		(void)*(const volatile char *)&start[i];
	return true;
}

/* The process's own, for a store; nothing is stored yet, which would end a PAL that has the pages already. */
static bool open_section(const struct tv_pal_section *section)
{
	size_t len_bytes = (size_t)section->page_num * PAGE_BYTES;
	char *start = (char *)(uintptr_t)section->start_addr;

	if (section->type == TV_SECTION_SHARED_CODE)
		return true;
	madvise(start, len_bytes, MADV_NOHUGEPAGE);   /* fails harmlessly on a kernel without huge pages */
	madvise(start, len_bytes, MADV_UNMERGEABLE); /* and without KSM; outside, all PALs look alike */
	if (madvise(start, len_bytes, MADV_DONTFORK))
		return false;
	return !is_code(section) || !mprotect(start, len_bytes, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static bool fill_section(const struct tv_pal_section *section)
{
	size_t len_bytes = (size_t)section->page_num * PAGE_BYTES;
	char *start = (char *)(uintptr_t)section->start_addr;

	if (section->type == TV_SECTION_SHARED_CODE)
		return read_shared(start, len_bytes);
	touch(start, len_bytes);
	return mlock(start, len_bytes) == 0;
}

/* The word that entry points look at, if it is in these sections. Each access is one that the compiler keeps. */
static volatile uint64_t *word_in(const struct tv_pal_sections *sections)
{
	for (uint32_t i = 0; &tv_pal_word && i < sections->num_sections && i < TV_MAX_SECTIONS; i++)
		if ((uintptr_t)tv_pal_word - sections->sections[i].start_addr <
		    (uint64_t)sections->sections[i].page_num * PAGE_BYTES)
			return tv_pal_word;
	return NULL;
}

/* Not while it reads as zero: the write would end a PAL that is registered. */
static void clear_word(const struct tv_pal_sections *sections)
{
	volatile uint64_t *word = word_in(sections);

	if (word && *word)
		*word = 0;
}

/* Code that is a PAL's already reads so, whatever its entry point. The section is open, so it can be read. */
static bool is_registered(const struct tv_pal_section *section)
{
	const volatile uint64_t *words = (const void *)(uintptr_t)section->start_addr;
	uint64_t i = 0;

	if (!is_code(section) || !section->page_num)
		return false;
	while (i < PAGE_BYTES / sizeof(*words) && tv_reads_as_code(words[i], i))
		i++;
	return i == PAGE_BYTES / sizeof(*words);
}

static uint32_t prepare(const struct tv_pal_sections *sections)
{
	volatile uint64_t *word = word_in(sections);

	for (uint32_t i = 0; i < sections->num_sections && i < TV_MAX_SECTIONS; i++)
		if (!open_section(&sections->sections[i]))
			return tv_finish(sections, TV_E_FAULT);
	for (uint32_t i = 0; i < sections->num_sections && i < TV_MAX_SECTIONS; i++)
		if (is_registered(&sections->sections[i]))
			return tv_finish(sections, TV_E_OWNED); /* what follows would end it */
	for (uint32_t i = 0; i < sections->num_sections && i < TV_MAX_SECTIONS; i++)
		if (!fill_section(&sections->sections[i]))
			return tv_finish(sections, TV_E_FAULT);
	if (word)
		*word = 1;
	return TV_OK;
}

bool tv_prepare(const struct tv_pal_sections *sections)
{
	return prepare(sections) == TV_OK;
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

static uint32_t register_by_hypercall(const struct tv_pal_sections *sections, const struct tv_list_entry *entry,
				      const struct tv_pal_options *options)
{
	/*
	 * Constants may lie in a page that nobody has touched yet, which the hypervisor cannot read: hand over copies.
	 */
	const struct tv_pal_sections own_sections = *sections;
	const struct tv_pal_params own_params = entry->params;
	const struct tv_pal_options own_options = options ? *options : (struct tv_pal_options){ .flags = 0 };
	uint32_t result = TV_E_FAULT;

	/* Between touch and call a page can get lost again. */
	for (int i = 0; i < REGISTER_TRIES && result == TV_E_FAULT; i++) {
		uint32_t ready = prepare(sections);

		if (ready != TV_OK)
			return ready;
		result = call(TV_CMD_REGISTER, &own_sections, options ? &own_options : NULL, &own_params,
			      (const void *)(uintptr_t)entry->address);
	}
	return tv_finish(sections, result);
}

static uint32_t register_by_device(const struct tv_pal_sections *sections, const struct tv_list_entry *entries,
				   uint32_t count, uint32_t flags, const struct tv_pal_options *options)
{
	volatile uint64_t *word = word_in(sections);
	struct tv_status status;
	uint32_t result;

	if (tv_device_status(sections, &status) && status.present)
		return TV_E_OWNED; /* the write would end it */
	if (word)
		*word = 1;
	result = tv_device_register(sections, entries, count, flags | (sizeof(void *) == 4 ? TV_LIST_32BIT : 0),
				    options);
	if (result != TV_OK)
		clear_word(sections);
	return result;
}

/* What the interface of command 1 has no place for. */
static bool needs_device(const struct tv_list_entry *entries, uint32_t count, uint32_t flags)
{
	if (count != 1 || flags)
		return true;
	for (uint32_t i = 0; i < entries->params.num_params && i < TV_MAX_PARAMS; i++)
		if (entries->params.params[i].type == TV_PARAM_BUFFER)
			return true;
	return false;
}

uint32_t tv_register_options(const struct tv_pal_sections *sections, const struct tv_list_entry *entries,
			     uint32_t count, uint32_t flags, const struct tv_pal_options *options)
{
	if (tv_detect() == TV_NONE)
		return TV_E_UNSUPPORTED;
	if (tv_device_is_there())
		return register_by_device(sections, entries, count, flags, options);
	if (needs_device(entries, count, flags))
		return TV_E_UNSUPPORTED;
	return register_by_hypercall(sections, entries, options);
}

uint32_t tv_register_entries(const struct tv_pal_sections *sections, const struct tv_list_entry *entries,
			     uint32_t count, uint32_t flags)
{
	return tv_register_options(sections, entries, count, flags, NULL);
}

uint32_t tv_register(const struct tv_pal_sections *sections, const struct tv_pal_params *params, const void *entry)
{
	const struct tv_list_entry one = { .address = (uintptr_t)entry, .params = *params };

	return tv_register_entries(sections, &one, 1, 0);
}

static void unlock_sections(const struct tv_pal_sections *sections)
{
	for (uint32_t i = 0; i < sections->num_sections; i++) {
		const struct tv_pal_section *section = &sections->sections[i];
		void *start = (void *)(uintptr_t)section->start_addr;

		if (section->type == TV_SECTION_SHARED_CODE)
			continue;
		munlock(start, (size_t)section->page_num * PAGE_BYTES);
		madvise(start, (size_t)section->page_num * PAGE_BYTES, MADV_DOFORK);
	}
}

uint32_t tv_unregister(const struct tv_pal_sections *sections, const void *entry)
{
	bool device = tv_detect() != TV_NONE && tv_device_is_there();
	uint32_t result = device ? tv_device_unregister(sections) : call(TV_CMD_UNREGISTER, entry, NULL, NULL, NULL);

	if (result == TV_E_BUSY)
		return result;
	clear_word(sections);
	if (!device)
		unlock_sections(sections);
	return result;
}

uint32_t tv_share(const void *entry, const uintptr_t *addresses, const uintptr_t *lengths, uintptr_t count)
{
	uintptr_t at[TV_MAX_SHARED], len[TV_MAX_SHARED]; /* constants may lie in a page that nobody has touched yet */

	if (tv_detect() == TV_NONE)
		return TV_E_UNSUPPORTED;
	if (count > TV_MAX_SHARED)
		return TV_E_INVALID;
	for (uintptr_t i = 0; i < count; i++)
		at[i] = addresses[i], len[i] = lengths[i];
	return tv_hypercall(tv_detect() == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0, TV_CMD_SHARE, (uintptr_t)entry,
			    (uintptr_t)at, (uintptr_t)len, count);
}

bool tv_status(const struct tv_pal_sections *sections, struct tv_status *status)
{
	return tv_device_status(sections, status);
}

uint32_t tv_test(void)
{
	return call(TV_CMD_TEST, NULL, NULL, NULL, NULL);
}

const char *tv_result_text(uint32_t result)
{
	static const char *const texts[] = {
		[TV_OK] = "success", [TV_E_INVALID] = "bad descriptor",
		[TV_E_FAULT] = "page not mapped or right missing",
		[TV_E_OWNED] = "a page is used twice, or is a PAL's already", [TV_E_NO_PAL] = "no such PAL",
		[TV_E_BUSY] = "PAL is running",
		[TV_E_NO_ROOM] = "too many PALs", [TV_E_IN_PAL] = "called by a PAL",
		[TV_E_NOT_IN_PAL] = "not called by a PAL", [TV_E_UNSUPPORTED] = "not supported",
		[TV_E_UNKNOWN] = "unknown command", [TV_E_DENIED] = "not allowed to this caller",
	};

	return result < sizeof(texts) / sizeof(texts[0]) && texts[result] ? texts[result] : "unknown result";
}

const char *tv_why_text(uint32_t why)
{
	static const char *const texts[] = {
		[TV_WHY_NONE] = "nothing has failed", [TV_WHY_FAULT] = "exception in the PAL",
		[TV_WHY_EXIT] = "the PAL did what no PAL may", [TV_WHY_TIME] = "the PAL ran too long",
		[TV_WHY_WRITTEN] = "somebody wrote to the PAL's pages",
		[TV_WHY_LOST] = "the PAL's pages are no longer there",
		[TV_WHY_ENDED] = "ended by the operating system", [TV_WHY_CALLER] = "bad stack or parameters of a call",
	};

	return why < sizeof(texts) / sizeof(texts[0]) ? texts[why] : "unknown reason";
}
