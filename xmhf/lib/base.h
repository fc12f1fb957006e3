/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every file of the core may use: sizes, bit helpers, attributes. No state. */
#ifndef XMHF_BASE_H
#define XMHF_BASE_H

#include <hypapi/types.h>
#include <stdatomic.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define PAGE_SIZE 4096ul
#define PAGE_SHIFT 12
#define SIZE_1K 1024ul
#define SIZE_2M (1ul << 21)
#define SIZE_1G (1ul << 30)
/* What an entry of a table maps, of page tables, EPT and devices' tables: 4 KiB at level 1, 2: 2 MiB, 3: 1 GiB. */
#define LEVEL_SHIFT(level) (PAGE_SHIFT + 9 * ((level) - 1))
#define LEVEL_SIZE(level) (1ul << LEVEL_SHIFT(level))
#define CACHE_LINE 64

#define BIT(n) (1ul << (n))
#define BITS(hi, lo) ((~0ul >> (63 - (hi))) & (~0ul << (lo)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a) (((x) + (a) - 1) & ~((typeof(x))(a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((typeof(x))(a) - 1))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define must_check __attribute__((warn_unused_result))
#define line_aligned __attribute__((aligned(CACHE_LINE)))
#define always_inline inline __attribute__((__always_inline__))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
