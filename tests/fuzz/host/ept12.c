/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks of EPT12: the input is capabilities, EPTP, an address and eight pages of tables, which change while they are
 * read. Whatever stands there, a leaf lies below the CPU's address width and has rights that all levels gave.
 */
#include "target.h"

#include "nested/ept12.h"

#define PAGES 8

static _Alignas(PAGE_SIZE) u64 memory[PAGES * 512];
static u32 reads, changes_at;

const u64 *ept12_at(gpa1_t entry)
{
	MUST(!(entry.addr & 7));
	if (++reads == changes_at)
		memory[entry.addr / 8 % ARRAY_SIZE(memory)] ^= 1;
	return entry.addr < sizeof(memory) ? &memory[entry.addr / 8] : NULL;
}

/* By what is kept of the walk before, and after the table has changed. */
static void walk_again(const struct nested_caps *caps, u64 eptp, u64 gpa2)
{
	static struct ept12_kept kept[EPT12_KEPT];
	struct ept12_leaf *leaf, fresh;

	memset(kept, 0, sizeof(kept));
	changes_at = 0;
	for (u32 i = 0; i < 3; i++) {
		enum ept12_result result = ept12_walk_again(caps, eptp, GPA2(gpa2), 1, kept, &leaf);

		MUST(result == ept12_walk(caps, eptp, GPA2(gpa2), &fresh) && leaf->depth == fresh.depth);
		MUST(leaf->rights == fresh.rights && leaf->all == fresh.all);
		MUST(result != EPT12_MAPPED || leaf->gpa1.addr == fresh.gpa1.addr);
		memory[(gpa2 >> i) % ARRAY_SIZE(memory)] ^= gpa2;
	}
}

bool ept12_replace(gpa1_t entry, u64 old, u64 new)
{
	if (entry.addr >= sizeof(memory))
		return true;
	if (memory[entry.addr / 8] != old)
		return false;
	memory[entry.addr / 8] = new;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct { u64 cap, eptp, gpa2, changes_at; } head;
	struct nested_caps caps = { .phys_reserved = BITS(63, 40) };
	struct ept12_leaf leaf;
	bool dirty = false;

	take(&data, &size, &head, sizeof(head));
	memset(memory, 0, sizeof(memory));
	take(&data, &size, memory, size < sizeof(memory) ? size : sizeof(memory));
	NESTED_CAP(&caps, EPT_VPID_CAP) = head.cap;
	if (!ept12_pointer_ok(&caps, head.eptp))
		return 0;
	walk_again(&caps, head.eptp, head.gpa2);
	reads = 0;
	changes_at = head.changes_at % 8;
	enum ept12_result result = ept12_walk(&caps, head.eptp, GPA2(head.gpa2), &leaf);

	MUST(leaf.depth <= EPT_LEVELS && reads == leaf.depth);
	if (result != EPT12_MAPPED)
		return 0;
	MUST(leaf.level >= 1 && leaf.level <= 3 && leaf.depth == EPT_LEVELS + 1 - leaf.level);
	MUST(!(leaf.gpa1.addr & caps.phys_reserved) && !(leaf.rights & ~(u32)HYPAPI_RWX));
	/* Write without read is a misconfiguration at each level; over several, rights are what is left. */
	for (u32 i = 0; i < leaf.depth; i++)
		MUST((leaf.entry[i] & leaf.rights) == leaf.rights);
	if (ept12_mark(&leaf, leaf.rights & HYPAPI_W, &dirty))
		MUST(!ept12_unset(&leaf, leaf.rights & HYPAPI_W));
	return 0;
}
