/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tv_device.h. Sections that were registered once stay the driver's until the process ends: a file of the driver
 * each, found again by their addresses. Another process than the one that made a file, as after fork(), has none of it.
 */
#define _GNU_SOURCE
#include "tv_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../linux-driver/trustvisor_ioctl.h"

#define PAGE_BYTES 4096

struct device_pal {
	struct device_pal *next; /* constant once it is in the list */
	pid_t process;
	int file;
	struct tv_pal_sections sections;
};

static struct device_pal *pals; /* atomic: only grows */

bool tv_device_is_there(void)
{
	return access(TV_DEVICE, F_OK) == 0;
}

static struct device_pal *find(const struct tv_pal_sections *sections)
{
	struct device_pal *pal = __atomic_load_n(&pals, __ATOMIC_ACQUIRE);
	size_t len = sections->num_sections * sizeof(sections->sections[0]);

	while (pal && (pal->process != getpid() || pal->sections.num_sections != sections->num_sections ||
		       memcmp(pal->sections.sections, sections->sections, len)))
		pal = pal->next;
	return pal;
}

static size_t section_bytes(const struct tv_pal_section *section)
{
	return (size_t)section->page_num * PAGE_BYTES;
}

static bool fill_section(int file, const struct tv_pal_section *section, off_t at)
{
	const char *from = (const char *)(uintptr_t)section->start_addr;
	size_t done = 0;

	while (done < section_bytes(section)) {
		ssize_t part = pwrite(file, from + done, section_bytes(section) - done, at + (off_t)done);

		if (part <= 0)
			return false;
		done += (size_t)part;
	}
	return true;
}

/* `again`: they are the driver's pages already, but for shared code, of which it gets a new copy. */
static bool fill(int file, const struct tv_pal_sections *sections, bool again)
{
	off_t at = 0;

	for (uint32_t i = 0; i < sections->num_sections; i++) {
		const struct tv_pal_section *section = &sections->sections[i];

		if ((!again || section->type == TV_SECTION_SHARED_CODE) && !fill_section(file, section, at))
			return false;
		at += (off_t)section_bytes(section);
	}
	return true;
}

static bool map(int file, const struct tv_pal_sections *sections)
{
	off_t at = 0;

	for (uint32_t i = 0; i < sections->num_sections; i++) {
		const struct tv_pal_section *section = &sections->sections[i];
		void *start = (void *)(uintptr_t)section->start_addr;
		int rights = PROT_READ | (section->type == TV_SECTION_CODE ? PROT_EXEC : PROT_WRITE);

		if (section->type != TV_SECTION_SHARED_CODE &&
		    mmap(start, section_bytes(section), rights, MAP_SHARED | MAP_FIXED, file, at) != start)
			return false;
		at += (off_t)section_bytes(section);
	}
	return true;
}

static uint32_t result_of_errno(void)
{
	switch (errno) {
	case EACCES:
	case EPERM:
		return TV_E_DENIED;
	case EFAULT:
		return TV_E_FAULT;
	case EBUSY:
		return TV_E_OWNED;
	case ENOMEM:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
		return TV_E_NO_ROOM;
	default:
		return TV_E_INVALID;
	}
}

/* Nothing of the program is changed before all that may well fail has been done. */
static uint32_t give_to_driver(int file, const struct tv_pal_sections *sections)
{
	struct tv_ioc_create request = { .size = sizeof(request), .num_sections = sections->num_sections };

	if (sections->num_sections > TV_MAX_SECTIONS)
		return TV_E_INVALID;
	memcpy(request.sections, sections->sections, sizeof(request.sections));
	if (ioctl(file, TV_IOC_CREATE, &request) || !fill(file, sections, false) || !map(file, sections))
		return result_of_errno();
	return TV_OK;
}

static uint32_t make(const struct tv_pal_sections *sections, struct device_pal **made)
{
	struct device_pal *pal = calloc(1, sizeof(*pal));
	uint32_t result;

	if (!pal)
		return TV_E_NO_ROOM;
	pal->process = getpid();
	pal->sections = *sections;
	pal->file = open(TV_DEVICE, O_RDWR | O_CLOEXEC);
	result = pal->file < 0 ? result_of_errno() : give_to_driver(pal->file, sections);
	if (result != TV_OK) {
		if (pal->file >= 0)
			close(pal->file);
		free(pal);
		return result;
	}
	pal->next = __atomic_load_n(&pals, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&pals, &pal->next, pal, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	*made = pal;
	return TV_OK;
}

uint32_t tv_device_register(const struct tv_pal_sections *sections, const struct tv_list_entry *entries, uint32_t count,
			    uint32_t flags, const struct tv_pal_options *options)
{
	/* Without options it is what the first version of the driver understands, too. */
	struct tv_ioc_register request = { .size = options ? sizeof(request) : TV_IOC_REGISTER_SIZE_1,
					   .entry_count = count, .flags = flags };
	struct device_pal *pal = find(sections);
	uint32_t result = TV_OK;
	int answer;

	if (count == 0 || count > TV_MAX_ENTRIES)
		return TV_E_INVALID;
	if (!pal)
		result = make(sections, &pal);
	else if (!fill(pal->file, sections, true))
		result = result_of_errno();
	if (result != TV_OK)
		return result;
	memcpy(request.entries, entries, count * sizeof(entries[0]));
	if (options)
		request.options = *options;
	answer = ioctl(pal->file, TV_IOC_REGISTER, &request);
	return answer < 0 ? result_of_errno() : (uint32_t)answer;
}

uint32_t tv_device_unregister(const struct tv_pal_sections *sections)
{
	const struct device_pal *pal = find(sections);
	int answer = pal ? ioctl(pal->file, TV_IOC_UNREGISTER) : TV_E_NO_PAL;

	return answer < 0 ? result_of_errno() : (uint32_t)answer;
}

bool tv_device_status(const struct tv_pal_sections *sections, struct tv_status *status)
{
	struct tv_ioc_status answer = { .size = sizeof(answer) };
	const struct device_pal *pal = find(sections);

	if (!pal || ioctl(pal->file, TV_IOC_STATUS, &answer) < 0)
		return false;
	*status = (struct tv_status){ .present = answer.present, .why = answer.why, .vector = answer.vector,
				      .error_code = answer.error_code, .calls = answer.calls, .rip = answer.rip,
				      .address = answer.address };
	return true;
}
