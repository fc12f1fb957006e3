/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See efi_map.h. A range is cut out of the entries that it meets; the pieces around it are new entries at the end, for
 * a map has no order. Unit-tested.
 */
#include "boot/efi_map.h"

#include "lib/string.h"

static void set_range(struct efi_memory *m, u64 start, u64 end, u32 type)
{
	m->start = start;
	m->pages = (end - start) / PAGE_SIZE;
	m->type = type;
}

/* As the entry at `like`, but [start, end), if that is something. False: there is no room. */
static bool add_piece(struct boot_efi *efi, const struct efi_memory *like, u64 start, u64 end)
{
	u8 *to = efi->map + efi->map_bytes;

	if (start >= end)
		return true;
	if (efi->entry_bytes > sizeof(efi->map) - efi->map_bytes)
		return false;
	memcpy(to, like, efi->entry_bytes);
	set_range((struct efi_memory *)to, start, end, like->type);
	efi->map_bytes += efi->entry_bytes;
	return true;
}

bool efi_map_reserve(struct boot_efi *efi, u64 start, u64 end)
{
	const u64 bytes = efi->map_bytes;

	if (efi->entry_bytes < sizeof(struct efi_memory))
		return false;
	for (u64 at = 0; at + efi->entry_bytes <= bytes; at += efi->entry_bytes) {
		struct efi_memory *m = (struct efi_memory *)(efi->map + at);
		const u64 from = m->start, to = from + m->pages * PAGE_SIZE;

		if (from >= end || to <= start)
			continue;
		if (!add_piece(efi, m, from, start) || !add_piece(efi, m, end, to))
			return false;
		set_range(m, MAX(from, start), MIN(to, end), EFI_RESERVED);
	}
	return true;
}
