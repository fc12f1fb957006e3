/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers of devices in uncached pages: each access is one instruction. A host test has a model in its place. */
#ifndef XMHF_MMIO_H
#define XMHF_MMIO_H

#include "lib/base.h"

static inline u32 mmio_read32(const volatile u8 *at) { return *(const volatile u32 *)at; }
static inline u64 mmio_read64(const volatile u8 *at) { return *(const volatile u64 *)at; }
static inline void mmio_write32(volatile u8 *at, u32 value) { *(volatile u32 *)at = value; }
static inline void mmio_write64(volatile u8 *at, u64 value) { *(volatile u64 *)at = value; }

#endif
