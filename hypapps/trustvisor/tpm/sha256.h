/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SHA-256 of what has whole blocks, fast: see sha256.c. For everything else there is the library. */
#ifndef TRUSTVISOR_SHA256_H
#define TRUSTVISOR_SHA256_H

#include <stdbool.h>
#include <stdint.h>

#define SHA256_BLOCK 64u /* bytes */

struct sha256 {
	uint32_t state[8];
	uint64_t count; /* of blocks */
};

/** Once, at the beginning: whether the CPU has the instructions. */
void sha256_init(void);
/** What it costs, rounded up; for slices. */
uint32_t sha256_insns_a_byte(void);
void sha256_begin(struct sha256 *sha);
/** By the CPU's instructions, if it has them; and without, if it has them or not. */
void sha256_blocks_plain(struct sha256 *sha, const void *blocks, uint32_t count);
void sha256_blocks(struct sha256 *sha, const void *blocks, uint32_t count);
void sha256_end(struct sha256 *sha, uint8_t out[32]);

/* sha256_ni.S, of a CPU that has the instructions; `count` is 1 or more */
void sha256_ni(uint32_t state[8], const void *blocks, uint64_t count);
extern const uint32_t sha256_constants[64]; /* of the 64 rounds, aligned to 16 */

#endif
