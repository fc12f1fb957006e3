/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of what has whole blocks, fast: see sha256.c. For everything else there is the library. */
#ifndef TRUSTVISOR_SHA256_H
#define TRUSTVISOR_SHA256_H

#include <stdint.h>

#define SHA256_BLOCK 64u /* bytes */

struct sha256 {
	uint32_t state[8];
	uint64_t count; /* of blocks */
};

void sha256_begin(struct sha256 *sha);
void sha256_blocks(struct sha256 *sha, const void *blocks, uint32_t count);
void sha256_end(struct sha256 *sha, uint8_t out[32]);

#endif
