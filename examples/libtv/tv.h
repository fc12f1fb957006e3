/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libtv: TrustVisor for 64-bit Linux programs, in L1 and in L2 alike.
 *
 * A PAL is a function that lives, with everything that it touches, in sections of its own:
 *
 *     TV_PAL_DATA static uint64_t key = 0;
 *     TV_PAL_CODE uint64_t sign(uint64_t number) { return number * key; }
 *     TV_PAL_PAGES(1, 1);                          once in a program: pages for parameters and stack
 *
 *     struct tv_pal_sections sections;
 *     const struct tv_pal_params params = { .num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } };
 *
 *     key = 12345;                                 the last moment when anybody outside sees it
 *     tv_own_sections(&sections);
 *     if (tv_register(&sections, &params, sign) == TV_OK)
 *             result = sign(7);                    runs isolated
 *     tv_unregister(&sections, sign);
 *
 * Link with libtv.a and -Wl,-T,pal.ld, which aligns the sections to pages. PAL code must not reach outside: compile its
 * file with TV_PAL_CFLAGS of examples.mk (position-independent, no jump tables, no calls into the C library, no SIMD),
 * and put its constants into TV_PAL_DATA too. One set of sections can be one PAL at a time.
 *
 * The functions are thread-safe as long as two threads do not use the same sections.
 */
#ifndef TV_H
#define TV_H

#include "tv_hypercall.h"

#define TV_PAL_CODE __attribute__((section(".pal.text"), noinline, used))
#define TV_PAL_DATA __attribute__((section(".pal.data"), used))
#define TV_PAL_PAGES(param_pages, stack_pages)                                                               \
	__attribute__((section(".pal.param"), used, aligned(4096))) char tv_pal_param[(param_pages) * 4096]; \
	__attribute__((section(".pal.stack"), used, aligned(4096))) char tv_pal_stack[(stack_pages) * 4096]

/** Where the caller runs: answer of tv_detect(). */
enum tv_level { TV_NONE = 0, TV_IN_L1 = 1, TV_IN_L2 = 2 };

/** Whether TrustVisor is there, and for which level. Asks the CPU once; thread-safe. */
enum tv_level tv_detect(void);

/** Describes the sections that TV_PAL_CODE, TV_PAL_DATA and TV_PAL_PAGES made in this program. */
void tv_own_sections(struct tv_pal_sections *sections);

/** The first half of tv_register(): makes every page of the sections private to this process, present and locked. */
bool tv_prepare(const struct tv_pal_sections *sections);

/**
 * Makes the pages ready as tv_prepare() does, and registers the PAL.
 * From then on, calling `entry` runs the PAL. Children made by fork() do not get the sections.
 * @return enum tv_result; TV_E_UNSUPPORTED without TrustVisor; TV_E_FAULT also if locking the pages is not allowed
 */
uint32_t tv_register(const struct tv_pal_sections *sections, const struct tv_pal_params *params, const void *entry);

/**
 * Ends the PAL. What it could write is zero afterwards.
 * @return enum tv_result
 */
uint32_t tv_unregister(const struct tv_pal_sections *sections, const void *entry);

/** The test command: TV_OK, or TV_E_UNSUPPORTED without TrustVisor. */
uint32_t tv_test(void);

/** Text of an enum tv_result. */
const char *tv_result_text(uint32_t result);

#endif
