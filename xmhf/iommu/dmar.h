/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI DMAR table (VT-d specification, "BIOS Considerations"): which remapping units there are, and what the
 * firmware wants its devices to reach. Pure; unit-tested. The firmware's lengths and addresses are not trusted. A table
 * with an error is refused as a whole: a unit that is left out is a device that nobody holds.
 */
#ifndef XMHF_DMAR_H
#define XMHF_DMAR_H

#include "lib/base.h"

#define DMAR_MAX_UNITS 32
#define DMAR_MAX_REGIONS 32
#define DMAR_MAX_SCOPES 256
#define DMAR_MAX_HOPS 8

enum dmar_scope_type { DMAR_ENDPOINT = 1, DMAR_BRIDGE = 2, DMAR_IOAPIC = 3, DMAR_HPET = 4, DMAR_ACPI_DEVICE = 5 };

/* A device, or with DMAR_BRIDGE all behind it: a way from `bus` over bridges, each hop device << 3 | function. */
struct dmar_scope {
	u8 type, id, bus, hops;
	u8 path[DMAR_MAX_HOPS];
};

/* Part of dmar.scopes. */
struct dmar_scopes {
	u16 first, count;
};

struct dmar_unit {
	u64 base;      /* of its registers: below 2^52, on a page of its own */
	u16 segment;
	bool the_rest; /* INCLUDE_PCI_ALL: also what no other unit of the segment names */
	struct dmar_scopes scopes;
};

/* RMRR: [start, end), whole pages, that these devices of the firmware go on to use. */
struct dmar_region {
	u64 start, end;
	u16 segment;
	struct dmar_scopes scopes;
};

struct dmar {
	u8 width; /* of DMA addresses, in bits */
	bool x2apic_opt_out, interrupt_remapping;
	bool ats; /* ATSR: some root ports let devices translate for themselves */
	struct dmar_unit units[DMAR_MAX_UNITS];
	struct dmar_region regions[DMAR_MAX_REGIONS];
	struct dmar_scope scopes[DMAR_MAX_SCOPES];
	u32 unit_count, region_count, scope_count;
};

/* Fills *dmar from a table of `bytes` readable bytes. NULL, or what is wrong with it. */
const char *dmar_parse(struct dmar *dmar, const void *table, size_t bytes);

/* The first segment whose devices are not all held by some unit, for want of INCLUDE_PCI_ALL; -1: none. */
int dmar_open_segment(const struct dmar *dmar);

#endif
