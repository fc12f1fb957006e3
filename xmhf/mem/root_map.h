/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page tables of root mode: the image with the rights of its sections, the direct map, stacks, and uncached device
 * pages. Invariants: nothing but the image's text is executable; text and read-only data are writable by no alias; the
 * page under each stack is not mapped.
 */
#ifndef XMHF_ROOT_MAP_H
#define XMHF_ROOT_MAP_H

#include "lib/base.h"

#define IMAGE_VIRTUAL 0xffffffff80000000ul /* the linker's address of the image */

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

/*
 * A window on device memory wherever it is, uncached and not executable, in the tables that the CPU is on: those of the
 * start as well. At most ROOT_WINDOW_BYTES less 2 MiB. Boot CPU, at boot. root_map_windows(): again, in root's own
 * tables, once the image has moved; the addresses stay the same.
 */
enum root_window { ROOT_WINDOW_SCREEN, ROOT_WINDOW_CONSOLE, ROOT_WINDOWS };
#define ROOT_WINDOW_BYTES (1ul << 30)
void *root_map_window(enum root_window window, u64 physical, u64 bytes);
void root_map_windows(void);
void root_map_window_close(enum root_window window);

/* Panics unless the tables keep the invariants above. Called in audit builds. */
void root_map_audit(void);

#endif
