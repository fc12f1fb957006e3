/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT12, the table that L1 keeps for its L2, walked in software: what hardware would find there, malformed entries
 * included. Pure but for ept12_at() and ept12_replace(), the ways to L1's memory. Callers: ept02, address
 * translation, host tests.
 */
#ifndef XMHF_NESTED_EPT12_H
#define XMHF_NESTED_EPT12_H

#include "mem/ept.h"
#include "nested/caps.h"

enum ept12_result {
	EPT12_MAPPED,      /* a leaf; whether its rights allow the access is for the caller to see */
	EPT12_NOT_PRESENT, /* EPT violation; rights are those that the walk had collected */
	EPT12_MISCONFIG,   /* EPT misconfiguration */
};

struct ept12_leaf {
	gpa1_t gpa1;  /* of the byte asked for */
	u32 rights;   /* AND over the walk, enum hypapi_rights */
	u64 all;      /* AND over the walk, of all bits of the entries */
	u64 type;     /* bits 6:3 of the leaf: memory type and "ignore PAT" in place */
	u8 level;     /* 1, 2, 3: 4 KiB, 2 MiB, 1 GiB */
	u8 depth;     /* entries read, the leaf included */
	gpa1_t at[EPT_LEVELS];
	const u64 *memory[EPT_LEVELS]; /* the same, by ept12_at() */
	u64 entry[EPT_LEVELS];
};

enum ept12_result ept12_walk(const struct nested_caps *caps, u64 eptp12, gpa2_t gpa2, struct ept12_leaf *leaf);

/*
 * Walks that came to a last table, one for each 2 MiB of L2, with the entries that they read: as long as those above
 * the last level hold the same, so does the way. L2 misses mostly where it missed before, and each miss that L1 mends
 * is walked twice. Nothing is believed that was not read again.
 */
#define EPT12_KEPT 8 /* a power of two */
struct ept12_kept {
	u64 eptp12;     /* 0: nothing is kept */
	u64 region;     /* of 2 MiB */
	u64 generation; /* of L1's memory: as long as it is the same, ept12_at() answers the same */
	struct ept12_leaf leaf;
};

/* ept12_walk() by the kept walks. The leaf is the caller's to work on, until the next walk. */
enum ept12_result ept12_walk_again(const struct nested_caps *caps, u64 eptp12, gpa2_t gpa2, u64 generation,
				   struct ept12_kept *kept, struct ept12_leaf **leaf);

/*
 * An access that `leaf` allows is about to be made, with accessed and dirty flags in use: sets the accessed flags of
 * the walk, and the leaf's dirty flag for a write (SDM vol. 3, "Accessed and Dirty Flags for EPT"). *dirty: the flag
 * afterwards. False: L1 changed an entry meanwhile, walk again.
 */
must_check bool ept12_mark(struct ept12_leaf *leaf, bool write, bool *dirty);

/* Which flags, EPT_ACCESSED and EPT_DIRTY, ept12_mark() would have to set. */
static inline u64 ept12_unset(const struct ept12_leaf *leaf, bool write)
{
	return (EPT_ACCESSED & ~leaf->all) | (write ? EPT_DIRTY & ~leaf->entry[leaf->depth - 1] : 0);
}

/*
 * Another entry of the table in which `leaf` was found: whether an access may be made by it without a flag being set,
 * with `flags` (accessed and dirty) in use or not. Then *near is what it maps, with the rights for such accesses;
 * at[] and entry[] are not filled.
 */
must_check bool ept12_neighbour(const struct nested_caps *caps, const struct ept12_leaf *leaf, u64 entry, bool flags,
				struct ept12_leaf *near);

/* What VM entry checks of an EPTP (SDM vol. 3, "VM-Execution Control Fields"), each with a row of its own. */
static inline bool ept12_type_ok(const struct nested_caps *caps, u64 eptp12)
{
	u64 cap = NESTED_CAP(caps, EPT_VPID_CAP), type = eptp12 & EPTP_TYPE;

	return (type == EPT_TYPE_WB && (cap & EPTCAP_WB)) || (type == EPT_TYPE_UC && (cap & EPTCAP_UC));
}

static inline bool ept12_walk_ok(u64 eptp12)
{
	return (eptp12 & EPTP_WALK) == EPTP_WALK_4;
}

static inline bool ept12_flags_ok(const struct nested_caps *caps, u64 eptp12)
{
	return !(eptp12 & EPTP_AD) || (NESTED_CAP(caps, EPT_VPID_CAP) & EPTCAP_AD);
}

static inline bool ept12_reserved_ok(const struct nested_caps *caps, u64 eptp12)
{
	return !(eptp12 & (BITS(11, 7) | caps->phys_reserved));
}

/* All of it: INVEPT asks that, too. */
static inline bool ept12_pointer_ok(const struct nested_caps *caps, u64 eptp12)
{
	return ept12_type_ok(caps, eptp12) && ept12_walk_ok(eptp12) && ept12_flags_ok(caps, eptp12) &&
	       ept12_reserved_ok(caps, eptp12);
}

/*
 * Where an entry is in root memory, in a page that is aligned there, too. NULL: L1 has no RAM there, it reads as all
 * ones. Supplied by who links ept12.c.
 */
const u64 *ept12_at(gpa1_t entry);
/* Replaces an entry if it still is `old`. Where L1 has no RAM to write to, true: the write is lost, as on a bus. */
bool ept12_replace(gpa1_t entry, u64 old, u64 new);

#endif
