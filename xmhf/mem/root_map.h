/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page tables of root mode: the image with the rights of its sections, the direct map, stacks, and uncached device
 * pages. Invariants: nothing but the image's text is executable; text and read-only data are writable by no alias; the
 * page under each stack is not mapped.
 */
#ifndef XMHF_ROOT_MAP_H
#define XMHF_ROOT_MAP_H

#include "lib/base.h"

/* Builds the tables for an image at `image` and the memory below `top`. Pages come from the pool. Returns CR3. */
u64 root_map_build(hpa_t image, u64 top);

/* The same CR3 again; it is root's on all CPUs. */
u64 root_map_cr3(void);

/*
 * A zeroed stack for a CPU, over a page that stays unmapped: its top. At boot, after the move; once for each.
 * root_map_guard() tells whose page under which stack an address lies in, by name; NULL: in none.
 */
enum root_stack { ROOT_STACK_MAIN, ROOT_STACK_NMI, ROOT_STACK_FAULT, ROOT_STACKS };
u64 root_map_stack(u32 cpu_index, enum root_stack stack);
u64 root_map_stack_bytes(enum root_stack stack);
/* Of a stack that nobody is on. */
void root_map_wipe_stack(u32 cpu_index, enum root_stack stack);
const char *root_map_guard(u64 address, u32 *cpu_index);

/*
 * CR3 of the same tables with the low `bytes`, a multiple of 2 MiB, also mapped as they are, for CPUs that come from
 * real mode or from the firmware.
 */
u64 root_map_low_cr3(u64 bytes);
/* All CPUs are here: the low mapping, which is writable and executable, goes. */
void root_map_low_done(void);

/* Maps one page of device memory, uncached. Boot only. */
void *root_map_uncached(hpa_t page);

/* Panics unless the tables keep the invariants above. Called in audit builds. */
void root_map_audit(void);

#endif
