/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page tables of root mode: the image with the rights of its sections, the direct map, and uncached device pages.
 */
#ifndef XMHF_ROOT_MAP_H
#define XMHF_ROOT_MAP_H

#include "lib/base.h"

/* Builds the tables for an image at `image` and the memory below `top`. Pages come from the pool. Returns CR3. */
u64 root_map_build(hpa_t image, u64 top);

/* CR3 of the same tables with the low 4 GiB also mapped as they are, for CPUs that come from real mode. */
u64 root_map_trampoline_cr3(void);

/* Maps one page of device memory, uncached. Boot only. */
void *root_map_uncached(hpa_t page);

#endif
