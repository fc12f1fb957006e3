/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI DMAR table (VT-d specification, "BIOS Considerations"): which remapping units there are, and what the
 * firmware wants its devices to reach. Pure; unit-tested. The firmware's lengths and addresses are not trusted. A table
 * with an error is refused as a whole: a unit that is left out is a device that nobody holds. The scopes, which name
 * the devices of a structure, must be well formed, but nobody needs to know them: all devices have the same tables.
 */
#ifndef XMHF_DMAR_H
#define XMHF_DMAR_H

#include "lib/base.h"

#define DMAR_MAX_UNITS 32
#define DMAR_MAX_REGIONS 32
struct dmar_unit {
	u64 base;      /* of its registers: below 2^52, on a page of its own */
	u16 segment;
	bool the_rest; /* INCLUDE_PCI_ALL: also what no other unit of the segment names */
};

/* RMRR: [start, end), whole pages, that devices of the firmware go on to use. */
struct dmar_region {
	u64 start, end;
};

struct dmar {
	struct dmar_unit units[DMAR_MAX_UNITS];
	struct dmar_region regions[DMAR_MAX_REGIONS];
	u32 unit_count, region_count;
};

/* Fills *dmar from a table of `bytes` readable bytes. NULL, or what is wrong with it. */
const char *dmar_parse(struct dmar *dmar, const void *table, size_t bytes);

/* The first segment whose devices are not all held by some unit, for want of INCLUDE_PCI_ALL; -1: none. */
int dmar_open_segment(const struct dmar *dmar);

#endif
