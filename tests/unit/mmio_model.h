/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Included before everything, in place of xmhf/cpu/mmio.h: the registers are a model's. */
#ifndef XMHF_MMIO_H
#define XMHF_MMIO_H

#include "hypapi/sim/machine/direct_map.h"
#include "lib/base.h"

u32 mmio_read32(const volatile u8 *at);
u64 mmio_read64(const volatile u8 *at);
void mmio_write32(volatile u8 *at, u32 value);
void mmio_write64(volatile u8 *at, u64 value);

#endif
