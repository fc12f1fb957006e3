/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Included before everything (sim.mk): physical memory is wherever mmap() put it. */
#ifndef HYPAPI_SIM_DIRECT_MAP_H
#define HYPAPI_SIM_DIRECT_MAP_H

extern unsigned long machine_direct_map;
#define DIRECT_MAP machine_direct_map

#endif
