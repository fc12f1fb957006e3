/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See symbols.h. The table: a count, entries in order of their addresses, texts. */
#include "report/symbols.h"

struct entry {
	u32 at;         /* bytes from text_start */
	u32 name, file; /* bytes from symbols_start */
	u16 first_line, last_line;
};

extern const char symbols_start[], text_start[], text_end[];

bool symbol_find(u64 address, struct symbol *symbol)
{
	u32 count = *(const u32 *)symbols_start, low = 0, high = count;
	const struct entry *entries = (const struct entry *)(symbols_start + 8);
	u64 at = address - (u64)text_start;

	if (address < (u64)text_start || address >= (u64)text_end)
		return false;
	while (low < high) { /* the first that begins behind the address */
		u32 middle = (low + high) / 2;

		if (entries[middle].at > at)
			high = middle;
		else
			low = middle + 1;
	}
	if (!low)
		return false;
	const struct entry *e = &entries[low - 1];

	*symbol = (struct symbol){ symbols_start + e->name, symbols_start + e->file, (u64)text_start + e->at,
				   e->first_line, e->last_line };
	return true;
}
