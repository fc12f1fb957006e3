/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is to outlive a PAL: monotonic counters, and the memory of the NV PAL. The store behind it is one file, nv.c: in
 * RAM, as there is no TPM yet, so all of it lives for one boot, and says so.
 */
#ifndef TRUSTVISOR_NV_H
#define TRUSTVISOR_NV_H

#include <stdbool.h>
#include <stdint.h>

#define NV_BYTES 4096

bool nv_is_persistent(void);
/**
 * The counter of an owner, 64 bytes. Atomic: no two callers that add get the same value.
 * @return false: there is no room for another counter
 */
bool nv_counter(const void *owner, uint32_t owner_len, bool add, uint64_t *value);
/** NV_BYTES of memory, of whoever calls until nv_give_back(). */
uint8_t *nv_take(void);
void nv_give_back(void);
void nv_wipe(void);

#endif
