/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One remapping unit: its registers (VT-d specification, "Register Descriptions"). Invalidations go by the queue where
 * the unit has one, else by registers, never by both. Every wait has a bound, and what did not answer is named in the
 * log. One CPU at a time.
 */
#ifndef XMHF_VTD_H
#define XMHF_VTD_H

#include "lib/base.h"

#define VTD_WAIT_MS 200
#define VTD_LEVELS (BIT(3) | BIT(4)) /* numbers of table levels, a bit each */
#define VTD_DOMAIN 1 /* its number; units with caching mode keep 0 for themselves */

struct vtd_descriptor {
	u64 low, high;
};

struct vtd_unit {
	volatile u8 *regs; /* one page, uncached */
	u64 base;          /* its host-physical address */
	u64 cap, ecap;
	u16 segment;
	u32 levels;                     /* VTD_LEVELS, of those that it has */
	u32 largest_leaf;               /* this and the next two as in struct domain */
	bool is_coherent, grants_flush;
	struct vtd_descriptor *queue; /* a page; NULL: the unit has no queue */
	volatile u32 *done;           /* the unit writes the number of the last flush that has ended */
	u32 tail, flushes;
};

struct vtd_fault {
	u16 segment, source; /* bus << 8 | device << 3 | function */
	bool write;
	u8 reason;
	u64 address;
};

/* Looks at a unit whose page of registers is mapped. NULL, or why it cannot be used. */
const char *vtd_probe(struct vtd_unit *unit, volatile void *regs, u64 base, u16 segment);

/*
 * No device reaches [start, end), below 4 GiB, until vtd_start() or vtd_stop(): where the unit has such a range, which
 * may be larger than that. False: the unit does not answer.
 */
bool vtd_protect(const struct vtd_unit *unit, u64 start, u64 end);

/*
 * Translation by this root table from now on, whatever the firmware had. queue, done: a zeroed page and a word in root
 * memory, for the unit alone. False: the unit does not answer.
 */
bool vtd_start(struct vtd_unit *unit, u64 root_table, void *queue, u32 *done);

/* Every device goes everywhere again. False: the unit does not answer. */
bool vtd_stop(struct vtd_unit *unit);

/* When it returns true, the unit has forgotten all translations, and accesses by these have ended. */
bool vtd_flush(struct vtd_unit *unit);

/* Takes the next fault that the unit recorded. False: there is none. */
bool vtd_next_fault(struct vtd_unit *unit, struct vtd_fault *fault);
/* Whether there were more, since the last call, than it has records for. */
bool vtd_lost_faults(const struct vtd_unit *unit);
const char *vtd_fault_reason(u8 reason);

#endif
