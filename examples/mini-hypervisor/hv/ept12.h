/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT tables for L2: build, look at and damage single entries. Four levels, leaves of 4 KiB, 2 MiB or 1 GiB. The caller
 * runs INVEPT after a change that takes rights away (ept_flush()).
 */
#ifndef HV_EPT12_H
#define HV_EPT12_H

#include "vmx.h"

enum ept_bits {
	EPT_R = 1, EPT_W = 2, EPT_X = 4, EPT_RWX = 7, EPT_WB = 6 << 3, EPT_UC = 0, EPT_IGNORE_PAT = 1 << 6,
	EPT_LARGE = 1 << 7,
	EPT_ACCESSED = 1 << 8, EPT_DIRTY = 1 << 9,
};
#define EPTP_WB_4_LEVELS (6 | 3 << 3)
#define EPTP_AD (1u << 6)
#define EPT_ADDRESS 0x000ffffffffff000ull

/* Leaf levels, also the `level` argument everywhere: 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB. */
enum { EPT_4K = 1, EPT_2M = 2, EPT_1G = 3 };

struct ept12 {
	u64 *root;
	u64 eptp;
};

void ept_init(struct ept12 *ept);
/* Maps one leaf; splits nothing: a larger leaf there is an error of the caller. bits are EPT_R... and memory type. */
void ept_map(struct ept12 *ept, u64 gpa, u64 hpa, int level, u64 bits);
/* Maps [start, end) one to one with leaves of that level. */
void ept_map_range(struct ept12 *ept, u64 start, u64 end, int level, u64 bits);
/* The entry of that level that covers gpa; tables above it are made. */
u64 *ept_entry(struct ept12 *ept, u64 gpa, int level);
/* INVEPT, single context. */
void ept_flush(const struct ept12 *ept);

static inline u64 ept_leaf_size(int level) { return PAGE_SIZE << (9 * (level - 1)); }

#endif
