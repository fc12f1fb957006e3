/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-256 (FIPS 180-4) of whole blocks, for measuring: by the CPU's instructions, if it has them (sha256_ni.S). Else 45
 * instructions a byte, where the library takes 60, and most of a registration is this. What saves them: a sum of
 * rotations is a chain of rotations; the schedule stays in 16 words; and of a round's majority one half is the next
 * round's other half. Not for secrets' sake, but it has no branch or table that depends on data either.
 */
#include "sha256.h"

#include <cpuid.h>

static bool by_instruction; /* constant after sha256_init() */

const uint32_t sha256_constants[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t ror(uint32_t x, uint32_t by)
{
	return x >> by | x << (32 - by);
}

/* The functions of section 4.1.2: rotations by 2, 13, 22; by 6, 11, 25; by 7, 18; by 17, 19. */
#define SUM0(x) ror(ror(ror(x, 9) ^ (x), 11) ^ (x), 2)
#define SUM1(x) ror(ror(ror(x, 14) ^ (x), 5) ^ (x), 6)
#define SIGMA0(x) (ror(ror(x, 11) ^ (x), 7) ^ (x) >> 3)
#define SIGMA1(x) (ror(ror(x, 2) ^ (x), 17) ^ (x) >> 10)

/* The i-th word of the schedule, with its constant: of the block, or of the 16 words before. */
#define W(i) w[(i) & 15]
#define FIRST(i) (W(i) = load(block + 4 * (i)), W(i) + k[i])
#define NEXT(i) (W(i) += SIGMA1(W((i) + 14)) + W((i) + 9) + SIGMA0(W((i) + 1)), W(i) + k[i])

/* The names move, not the values. In: bc = b ^ c; out: the same for the next round. */
#define ROUND(a, b, c, d, e, f, g, h, word)                                                                           \
	do {                                                                                                          \
		h += (word);                                                                                          \
		h += (((f) ^ (g)) & (e)) ^ (g);                                                                       \
		h += SUM1(e);                                                                                         \
		ab = (a) ^ (b);                                                                                       \
		bc = (bc & ab) ^ (b);                                                                                 \
		d += h;                                                                                               \
		h += SUM0(a) + bc;                                                                                    \
		bc = ab;                                                                                              \
	} while (0)
#define ROUNDS_8(word, i)                                                                                             \
	ROUND(a, b, c, d, e, f, g, h, word((i) + 0)); ROUND(h, a, b, c, d, e, f, g, word((i) + 1));                   \
	ROUND(g, h, a, b, c, d, e, f, word((i) + 2)); ROUND(f, g, h, a, b, c, d, e, word((i) + 3));                   \
	ROUND(e, f, g, h, a, b, c, d, word((i) + 4)); ROUND(d, e, f, g, h, a, b, c, word((i) + 5));                   \
	ROUND(c, d, e, f, g, h, a, b, word((i) + 6)); ROUND(b, c, d, e, f, g, h, a, word((i) + 7))

static inline uint32_t load(const uint8_t *at)
{
	uint32_t word;

	__builtin_memcpy(&word, at, sizeof(word));
	return __builtin_bswap32(word);
}

static void hash_block(uint32_t state[8], const uint8_t *block)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	uint32_t w[16], ab, bc = b ^ c;
	const uint32_t *k = sha256_constants;

	ROUNDS_8(FIRST, 0);
	ROUNDS_8(FIRST, 8);
	while (k < sha256_constants + 48) {
		k += 16;
		ROUNDS_8(NEXT, 0);
		ROUNDS_8(NEXT, 8);
	}
	state[0] += a, state[1] += b, state[2] += c, state[3] += d;
	state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void sha256_begin(struct sha256 *sha)
{
	*sha = (struct sha256){ { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
				  0x5be0cd19 }, 0 };
}

void sha256_init(void)
{
	uint32_t a, b, c, d;

	by_instruction = __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSSE3 && c & bit_SSE4_1 &&
			 __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}

uint32_t sha256_insns_a_byte(void)
{
	return by_instruction ? 3 : 45;
}

void sha256_blocks_plain(struct sha256 *sha, const void *blocks, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		hash_block(sha->state, (const uint8_t *)blocks + i * SHA256_BLOCK);
	sha->count += count;
}

void sha256_blocks(struct sha256 *sha, const void *blocks, uint32_t count)
{
	if (!by_instruction) {
		sha256_blocks_plain(sha, blocks, count);
	} else if (count) {
		sha256_ni(sha->state, blocks, count);
		sha->count += count;
	}
}

void sha256_end(struct sha256 *sha, uint8_t out[32])
{
	uint8_t last[SHA256_BLOCK] = { 0x80 };
	uint64_t bits = __builtin_bswap64(sha->count * SHA256_BLOCK * 8);

	__builtin_memcpy(last + SHA256_BLOCK - sizeof(bits), &bits, sizeof(bits));
	hash_block(sha->state, last);
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t word = __builtin_bswap32(sha->state[i]);

		__builtin_memcpy(out + 4 * i, &word, sizeof(word));
	}
}
