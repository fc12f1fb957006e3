/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory map that the guest will see: the firmware's, less the core's own range. Pure functions on boot_info; unit-tested. */
#include "boot/boot_info.h"
#include "report/log.h"

static void append(struct memory_range *map, u32 *count, u64 start, u64 end, u32 type)
{
	if (start >= end)
		return;
	if (*count == MAX_MEMORY_RANGES)
		boot_refuse("the memory map has more than %u entries", MAX_MEMORY_RANGES);
	map[(*count)++] = (struct memory_range){ start, end - start, type };
}

void memory_map_set(u64 start, u64 end, u32 type)
{
	static struct memory_range map[MAX_MEMORY_RANGES]; /* too much for the stack; the boot CPU alone comes here */
	u32 count = 0;
	bool placed = false;

	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];
		u64 r_end = r->start + r->size;

		if (r_end <= start || r->start >= end) {
			append(map, &count, r->start, r_end, r->type);
			continue;
		}
		append(map, &count, r->start, start, r->type);
		if (!placed)
			append(map, &count, start, end, type);
		placed = true;
		append(map, &count, end, r_end, r->type);
	}
	if (!placed)
		append(map, &count, start, end, type);
	for (u32 i = 0; i < count; i++)
		boot_info.memory[i] = map[i];
	boot_info.memory_count = count;
}

static bool meets_module(u64 start, u64 end, u64 *below)
{
	for (u32 i = 0; i < boot_info.module_count; i++) {
		const struct boot_module *m = &boot_info.modules[i];

		if (start < m->end && m->start < end) {
			*below = m->start;
			return true;
		}
	}
	return false;
}

u64 memory_map_find(u64 size, u64 align, u64 low, u64 high)
{
	u64 best = 0;

	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];
		u64 start = MAX(r->start, low), end = MIN(r->start + r->size, high);

		while (r->type == MEMORY_RAM && end > start && end - start >= size) {
			u64 at = ALIGN_DOWN(end - size, align);

			if (at < start)
				break;
			if (!meets_module(at, at + size, &end)) {
				best = MAX(best, at);
				break;
			}
		}
	}
	return best;
}

bool memory_map_is_usable(const struct memory_range *r)
{
	return r->type == MEMORY_RAM || r->type == MEMORY_ACPI;
}

/* Where the usable entries end that cover `at`; `at` if none does. */
static u64 usable_to(u64 at)
{
	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];
		u64 end = r->start + r->size;

		if (memory_map_is_usable(r) && r->start <= at && at < end) {
			at = end;
			i = (u32)-1; /* entries come in any order */
		}
	}
	return at;
}

int memory_map_is_ram(u64 start, u64 end)
{
	bool usable = false, other = usable_to(start) < end;

	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];
		bool meets = r->start < end && r->start + r->size > start;

		usable |= meets && memory_map_is_usable(r);
		other |= meets && !memory_map_is_usable(r);
	}
	return usable ? (other ? -1 : 1) : 0;
}

u64 memory_map_top(void)
{
	u64 top = 0;

	for (u32 i = 0; i < boot_info.memory_count; i++)
		if (boot_info.memory[i].type == MEMORY_RAM)
			top = MAX(top, boot_info.memory[i].start + boot_info.memory[i].size);
	return top;
}
