/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT02, what runs L2: EPT12 composed with EPT01, filled on demand. A software TLB: each CPU has its own page pool and
 * roots, keyed by the full EPTP12, so there is no lock, no other CPU's root to spare, and INVEPT means what it says.
 *
 * Invariants: a root page stays where it is, so the EPTP of a live VMCS02 never dangles, whatever is dropped. A leaf
 * that hardware can reach was made, or found equal to EPT12, after the last invalidation of its root, and made or found
 * right after EPT01 last lost rights. Tables outlive invalidations: their entries are "aged" (unreachable) from the
 * top. When the way to a table of small pages is used again its leaves are compared with EPT12, and stay or go; which
 * ones went is noted. A table pointer that is kept in a non-present entry is stored inverted (L1TF: no address of RAM
 * there). Pure: flushing hardware is the caller's duty after each function that says so.
 */
#ifndef XMHF_NESTED_EPT02_H
#define XMHF_NESTED_EPT02_H

#include "mem/ept.h"
#include "nested/ept12.h"

/* Pages of a CPU, unless said otherwise: they map about 500 MiB of L2 by 4 KiB pages before they start over. */
#define EPT02_PAGES 256
#define EPT02_PAGES_MIN 64
#define EPT02_PAGES_MAX 16384
#define EPT02_ROOTS 32 /* at most */

/* Of so many pages that many are roots: 4 of the usual number. */
static inline u32 ept02_root_count(u32 page_count)
{
	return MIN(MAX(page_count / 64, 4u), EPT02_ROOTS);
}

struct ept02_used {
	u64 word[8]; /* bit: this entry of the table may be other than 0, or is of a large page that L2 used before */
	u64 lost[8]; /* of small pages: used before the table was aged, but not kept, and not filled in again yet */
	u64 since;   /* the leaves were made, or looked at, after this many changes of EPT01 */
	u64 row;     /* of small pages: where entry 0 leads to, or would, if all are RAM and in a row */
	bool filled, mixed; /* there is a small page, there are some that are in no row */
	bool again;  /* there is something in `lost` */
	u16 misses;  /* in this table, since it was emptied or aged */
};

struct ept02 {
	u64 key[EPT02_ROOTS];   /* EPTP12; 0: the root is free */
	u32 leaves[EPT02_ROOTS]; /* that the root can reach, at most */
	u32 victim;             /* next root to give to another EPTP12 */
	u32 next;               /* pages from here on are free */
	u32 page_count, root_count;
	u64 changes;            /* of EPT01, after which no aged leaf may stay */
	u64 (*pages)[512];      /* the first root_count ones are the roots */
	struct ept02_used *used; /* of each page */
};

/* pages: page_count zeroed pages in a row, in the direct map; used: zeroed, one for each. */
void ept02_init(struct ept02 *ept, void *pages, struct ept02_used *used, u32 page_count);

/*
 * The root for an EPTP12, made if there is none. *flush: set if its EPTP02 had another meaning before, and hardware
 * must forget it (INVEPT single).
 */
u32 ept02_root(struct ept02 *ept, u64 eptp12, bool *flush);

/*
 * EPTP02 of a root. It has accessed and dirty flags on if EPTP12 has, for what the CPU's own walks of L2's page tables
 * count as: writes then. The flags in EPT02 itself mean nothing.
 */
u64 ept02_pointer(const struct ept02 *ept, u32 root);

/*
 * Maps gpa2 by a leaf at `level` (1, 2, 3), with EPT_LARGE in it above level 1. The answer: the table that it is in.
 * NULL: the pool is used up; the caller then calls ept02_empty() and tries again, which cannot fail.
 * l12: the leaf of EPT12 that the entry was made from, as just walked; NULL: no other leaf stays. A small page's leaf
 * in a table that was aged stays if the table of l12, which L1 may write to meanwhile, has it still, with all rights
 * and no flag to be set by an access; if L2 used it; and if it is RAM that L1 had with all rights since.
 */
must_check u64 *ept02_map(struct ept02 *ept, u32 root, u64 gpa2, unsigned int level, u64 entry,
			  const struct ept12_leaf *l12);

/*
 * After a miss that was mapped by table[index], at `level`: which entries of the table are worth to be filled with it,
 * so that L2 need not miss each. Those around it, more with each miss, for L2 may want one page of the table or all;
 * and what L2 used before the table was aged. Where flags are in use, hardware has told what that is.
 */
struct ept02_window {
	u64 *table;
	u64 wanted[8]; /* a bit for each entry; of those that are not 0 it means nothing */
	u32 *leaves;
	struct ept02_used *used;
};
struct ept02_window ept02_window(struct ept02 *ept, u32 root, u64 *table, u32 index, unsigned int level);

/* Fills in a neighbour of that miss, RAM, by a whole entry, where there is 0. */
static inline void ept02_add(const struct ept02_window *w, u32 index, u64 entry)
{
	w->table[index] = entry;
	w->used->word[index / 64] |= BIT(index % 64);
	w->used->mixed |= (entry & EPT_ADDR) - index * PAGE_SIZE != w->used->row;
	++*w->leaves;
}

/* The first entry, from `index` on, whose bit is set; 512: none. */
static inline u32 ept02_next(const u64 *bits, u32 index)
{
	for (u32 word = index / 64; word < 8; word++, index = word * 64) {
		u64 left = bits[word] >> index % 64;

		if (left)
			return index + (u32)__builtin_ctzll(left);
	}
	return 512;
}

/*
 * Makes all leaves of one EPTP12 unreachable, and those of other ones with the same table, as INVEPT does. The answer:
 * whether this EPTP12 has a root. *roots: a bit for each root that then needs INVEPT single. All: then INVEPT all.
 */
bool ept02_invalidate(struct ept02 *ept, u64 eptp12, u32 *roots);
void ept02_invalidate_all(struct ept02 *ept);

/*
 * After a change of EPT01: drops the leaves that may not stay. Then INVEPT all. A look at a leaf costs a hundredth of
 * the violation that would bring it back, and changes can follow each other as fast as the budget of stops allows
 * anybody. Only of more than EPT02_LOOKS, 128 MiB of small pages, all are dropped. Where the losses are known, small
 * pages in a row are not looked at one by one.
 */
#define EPT02_LOOKS 32768
struct ept02_change {
	/* Of up to 64 entries in a row, those are leaves whose bit is set. Answers which ones stay. */
	u64 (*keep)(const u64 *entries, u64 leaves, unsigned int level);
	/* A table stays that leads into the 2 MiB around a page that was lost. */
	void (*remember)(u64 page);
	const u64 *losses; /* ept01_losses; NULL: they are not known */
	u64 since, now;    /* of ept01_generation: those after `since` */
};
void ept02_revalidate(struct ept02 *ept, const struct ept02_change *change);

/*
 * Memory type of a leaf: type12, bits 6:3 of EPT12's leaf, as on a bare machine, where with EPT no MTRR counts. But
 * what is no RAM and uncached in EPT01 L2 gets uncached, or write-combined: cached lines of a device that root uses,
 * the local APIC above all, would answer in the device's place, or end in a machine check in root.
 */
static inline u64 ept02_type(u64 type12, bool ram, u8 type01)
{
	u64 type = type12 & EPT_TYPE;

	return ram || type01 || type == EPT_WC ? type12 : type12 & ~EPT_TYPE;
}

/* Gives all tables but the roots back to the pool. Then INVEPT all. */
void ept02_empty(struct ept02 *ept);

#endif
