/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map that the guest will see: the firmware's, less the core's own ranges. Invariant: sorted, no two ranges
 * meet, and two that touch are of two types, however many ranges the firmware told, in whatever order. Pure functions
 * on boot_info; unit-tested.
 */
#include "boot/boot_info.h"

#include "boot/efi_map.h"
#include "report/log.h"

#define ADDRESS_SPACE_END (1ull << 52)

/* The map in the making: too much for the stack, and the boot CPU alone comes here. */
static struct memory_range made[MAX_MEMORY_RANGES];
static u32 made_count;

static void append(u64 start, u64 end, u32 type)
{
	struct memory_range *last = &made[made_count - (made_count > 0)];

	if (start >= end)
		return;
	if (made_count && last->type == type && last->start + last->size == start) {
		last->size += end - start;
		return;
	}
	if (made_count == MAX_MEMORY_RANGES)
		boot_refuse("the memory map has more than %u entries", MAX_MEMORY_RANGES);
	made[made_count++] = (struct memory_range){ start, end - start, type };
}

static u64 rank(u32 type)
{
	return type == MEMORY_RAM ? 0 : type == MEMORY_ACPI ? 1 : 2 + (u64)type;
}

/* Where [start, end) meets a range the type of higher rank stays, or, by force, `type`. */
static void lay(u64 start, u64 end, u32 type, bool by_force)
{
	u64 at = start; /* up to here [start, end) is laid */

	made_count = 0;
	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];
		u64 r_end = r->start + r->size;

		append(r->start, MIN(r_end, start), r->type);
		append(at, MIN(r->start, end), type);
		append(MAX(r->start, start), MIN(r_end, end), by_force || rank(type) > rank(r->type) ? type : r->type);
		append(MAX(r->start, end), r_end, r->type);
		at = MAX(at, MIN(r_end, end));
	}
	append(at, end, type);
	for (u32 i = 0; i < made_count; i++)
		boot_info.memory[i] = made[i];
	boot_info.memory_count = made_count;
}

void memory_map_add(u64 start, u64 size, u32 type)
{
	bool leaves = start >= ADDRESS_SPACE_END || size > ADDRESS_SPACE_END - start;

	if (!leaves)
		lay(start, start + size, type, false);
	else if (type != MEMORY_RAM)
		lay(start, ADDRESS_SPACE_END, type, false);
}

void memory_map_set(u64 start, u64 end, u32 type)
{
	lay(start, end, type, true);
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

/* RAM by now, but an operating system still reads tables there that the firmware has left for it. */
static bool meets_boot_services(u64 start, u64 end, u64 *below)
{
	const struct boot_efi *efi = &boot_info.efi;

	for (u64 at = 0; efi->entry_bytes && at + sizeof(struct efi_memory) <= efi->map_bytes; at += efi->entry_bytes) {
		const struct efi_memory *m = (const struct efi_memory *)(efi->map + at);

		if ((m->type == EFI_BOOT_CODE || m->type == EFI_BOOT_DATA) && start < m->start + m->pages * PAGE_SIZE &&
		    m->start < end) {
			*below = m->start;
			return true;
		}
	}
	return false;
}

static u64 find(u64 size, u64 align, u64 low, u64 high, bool spare)
{
	u64 best = 0;

	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];
		u64 start = MAX(r->start, low), end = MIN(r->start + r->size, high);

		while (r->type == MEMORY_RAM && end > start && end - start >= size) {
			u64 at = ALIGN_DOWN(end - size, align);

			if (at < start)
				break;
			if (!meets_module(at, at + size, &end) &&
			    !(spare && meets_boot_services(at, at + size, &end))) {
				best = at;
				break;
			}
		}
	}
	return best;
}

u64 memory_map_find(u64 size, u64 align, u64 low, u64 high)
{
	u64 at = find(size, align, low, high, true);

	return at ? at : find(size, align, low, high, false);
}

bool memory_map_is_usable(const struct memory_range *r)
{
	return r->type == MEMORY_RAM || r->type == MEMORY_ACPI;
}

int memory_map_is_ram(u64 start, u64 end)
{
	u64 usable = 0;

	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];
		u64 from = MAX(r->start, start), to = MIN(r->start + r->size, end);

		if (memory_map_is_usable(r) && from < to)
			usable += to - from;
	}
	return !usable ? 0 : usable == end - start ? 1 : -1;
}

u64 memory_map_top(void)
{
	u64 top = 0;

	for (u32 i = 0; i < boot_info.memory_count; i++)
		if (boot_info.memory[i].type == MEMORY_RAM)
			top = boot_info.memory[i].start + boot_info.memory[i].size;
	return top;
}
