/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second-level tables of the one domain that all devices share (VT-d specification, "Second-Level Paging
 * Entries"): a device's address is the host-physical one, or leads nowhere. Pages of the shared pool; leaves are as
 * large as rights and units allow. Who changes the tables holds the others off. A change counts once the units were
 * flushed.
 */
#ifndef XMHF_DOMAIN_H
#define XMHF_DOMAIN_H

#include "lib/base.h"

#define DOMAIN_R BIT(0)
#define DOMAIN_W BIT(1)
#define DOMAIN_RW (DOMAIN_R | DOMAIN_W)
#define DOMAIN_RETIRED 16

struct domain {
	u64 *root;
	u32 levels;        /* 3 or 4: addresses of 39 or 48 bits */
	u32 largest;       /* level of the largest leaf: 1: 4 KiB, 2: 2 MiB, 3: 1 GiB */
	bool coherent;     /* units see what the CPU has only in its caches */
	bool grants_flush; /* units may remember, too, that a page has no rights */
	bool owes_flush;   /* what units remember may differ from the tables */
	u32 tables;        /* beside the root */
	u32 most_tables;   /* that there may be */
	u32 merge_above;   /* so many may stay that say no more than a leaf: what was taken once is taken again */
	u32 retired_count;
	u64 *retired[DOMAIN_RETIRED]; /* tables that became leaves: units may walk them until the next flush */
};

/* Makes an empty root for a domain of which the units' properties and the bound are set. False: the pool is empty. */
bool domain_init(struct domain *domain);

/*
 * Gives [start, end), whole pages, these rights. False: there is no page for a table, or one too many; then a first
 * part may have them and the rest has what it had. What the tables cannot address has no rights.
 */
bool domain_set(struct domain *domain, u64 start, u64 end, u64 rights);

/*
 * Makes the tables that domain_set() of this page alone needs: it cannot fail from then on, until it has given the page
 * all rights. False: the pool has no page for a table.
 */
must_check bool domain_prepare(struct domain *domain, u64 page);

/* Gives all table pages back. No unit may know them. */
void domain_drop(struct domain *domain);

/* All units have been flushed since the last change. */
void domain_flushed(struct domain *domain);

/* Makes what was written at `at` visible to units that do not look into the CPU's caches. */
void domain_write_back(const struct domain *domain, const void *at, size_t bytes);

#endif
