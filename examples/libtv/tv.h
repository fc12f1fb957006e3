/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libtv: TrustVisor for Linux programs in C and C++, in L1 and in L2 alike; for Python see tv.py. A 32-bit program
 * (on a 64-bit kernel) has 32-bit PALs: parameters and results are words of four bytes, uintptr_t.
 *
 * A PAL is a function that lives, with everything that it touches, in sections of its own:
 *
 *     TV_PAL_DATA static uint64_t key = 0;
 *     TV_PAL_ENTRY(sign, (uint64_t number), (number)) { return number * key; }
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
 * Where the driver is (/dev/trustvisor), registrations go through it, and who may not open it may not register; where
 * it is not, through the hypercall. With the driver the sections become its pages, for the rest of the process's life:
 * files, sockets and debuggers do not reach them, and children do not have them.
 *
 * Link with libtv.a, or with libtv.so and libtv_pal.a, and -Wl,-T,pal.ld, which aligns the sections to pages;
 * `pkg-config libtv` has it all. PAL code must not reach outside: compile its
 * file with TV_PAL_CFLAGS of examples.mk (position-independent, no jump tables, no calls into the C library; no SIMD,
 * unless it is registered with TV_LIST_FPU; in 32-bit programs, whose position-independent code calls what lies
 * elsewhere, -fno-pie and -no-pie), and put its constants into TV_PAL_DATA too. One set of sections can be one PAL at a
 * time.
 *
 * A call that does not reach the PAL does not compute without protection. While the PAL is registered, its code reads
 * as INT3 and its data as zeros, so a copy (by fork(), migration, swapping) traps; where the code itself is back and
 * the PAL is gone, TV_PAL_ENTRY answers TV_NOT_IN_PAL. Not before tv_register() has returned: until then the data is
 * still there.
 *
 * The functions are thread-safe as long as two threads do not use the same sections.
 */
#ifndef TV_H
#define TV_H

#include "tv_hypercall.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TV_PAL_CODE __attribute__((section(".pal.text"), noinline, used))
#define TV_PAL_DATA __attribute__((section(".pal.data"), used))

/** What an entry point answers outside of its PAL. A PAL's own results should differ from it. */
#define TV_NOT_IN_PAL ((uintptr_t)-1)

/**
 * Not 0 while the program fills in a PAL's data, and in the PAL. Whoever looks at it from outside while the PAL is
 * registered sees 0, and so does everybody afterwards.
 */
extern uint64_t tv_pal_is_there __attribute__((visibility("hidden")));

/**
 * Defines an entry point that returns uintptr_t: TV_PAL_ENTRY(name, (parameters), (their names)) { body }. Its first
 * act is to see whether it runs in the PAL.
 */
#define TV_PAL_ENTRY(name, parameters, names)                                                                \
	static inline __attribute__((always_inline)) uintptr_t name##_in_pal parameters;                     \
	TV_PAL_CODE uintptr_t name parameters                                                                \
	{                                                                                                    \
		return *(volatile uint64_t *)&tv_pal_is_there ? name##_in_pal names : TV_NOT_IN_PAL;         \
	}                                                                                                    \
	static inline __attribute__((always_inline)) uintptr_t name##_in_pal parameters

#define TV_PAL_PAGES(param_pages, stack_pages)                                                               \
	__attribute__((section(".pal.param"), used, aligned(4096))) char tv_pal_param[(param_pages) * 4096]; \
	__attribute__((section(".pal.stack"), used, aligned(4096))) char tv_pal_stack[(stack_pages) * 4096]

/** Where the caller runs: answer of tv_detect(). */
enum tv_level { TV_NONE = 0, TV_IN_L1 = 1, TV_IN_L2 = 2 };

/** Whether TrustVisor is there, and for which level. Asks the CPU once; thread-safe. */
enum tv_level tv_detect(void);

/** Describes the sections that TV_PAL_CODE, TV_PAL_DATA and TV_PAL_PAGES made in this program. */
void tv_own_sections(struct tv_pal_sections *sections);

/**
 * The first half of tv_register(), for who makes the hypercall himself: every page of the sections becomes private to
 * this process, present, locked, and writable: TrustVisor takes no page that the caller could not write itself.
 * @return false: the pages cannot be locked, or their code is a PAL already, which stays
 */
bool tv_prepare(const struct tv_pal_sections *sections);

/**
 * The other half: takes the right to write from the code again, and, if the registration failed, lets calls fail.
 * @param result  of the hypercall
 * @return result
 */
uint32_t tv_finish(const struct tv_pal_sections *sections, uint32_t result);

/**
 * Makes the pages ready as tv_prepare() does, registers the PAL, and ends as tv_finish() does.
 * From then on, calling `entry` runs the PAL. Children made by fork() do not get the sections.
 * @return enum tv_result; TV_E_UNSUPPORTED without TrustVisor; TV_E_FAULT also if locking the pages is not allowed;
 *         TV_E_OWNED also if the sections are a PAL already, which stays
 */
uint32_t tv_register(const struct tv_pal_sections *sections, const struct tv_pal_params *params, const void *entry);

/**
 * Ends the PAL. What it could write is zero afterwards.
 * @return enum tv_result
 */
uint32_t tv_unregister(const struct tv_pal_sections *sections, const void *entry);

/**
 * The same for a PAL with several entry points, which share its sections.
 * @param count  1 to TV_MAX_ENTRIES; without the driver 1
 * @param flags  TV_LIST_ERRORS: a call that fails returns TV_CALL_FAILED, in place of SIGSEGV; TV_LIST_FPU: the PAL
 *               may use FPU and SIMD, in registers of its own; without the driver 0
 * @return enum tv_result; TV_E_UNSUPPORTED also for what only the driver can do; TV_E_DENIED: not this process
 */
uint32_t tv_register_entries(const struct tv_pal_sections *sections, const struct tv_list_entry *entries,
			     uint32_t count, uint32_t flags);

/**
 * The same with options that are measured with the PAL, so that its keys depend on them and a quote tells them: an
 * owner tag, 32 bytes of the caller's choice; TV_PAL_DEBUG; TV_PAL_FIXED. With the driver or without.
 * @param options  NULL: none
 * @return enum tv_result; TV_E_INVALID also for other flags
 */
uint32_t tv_register_options(const struct tv_pal_sections *sections, const struct tv_list_entry *entries,
			     uint32_t count, uint32_t flags, const struct tv_pal_options *options);

/**
 * Ranges of this program's memory that the PAL finds at their own addresses, as a call finds them; what the PAL changes
 * there is seen after its return. They end with the PAL.
 * @param entry      of a registered PAL
 * @param addresses  `count` of them; a range must not touch pages of the PAL's sections
 * @param lengths    in bytes
 * @param count      1 to TV_MAX_SHARED; all ranges of a PAL touch at most TV_MAX_SHARED_PAGES pages
 * @return enum tv_result
 */
uint32_t tv_share(const void *entry, const uintptr_t *addresses, const uintptr_t *lengths, uintptr_t count);

/** Why a PAL ended, or why its last failed call did. */
struct tv_status {
	bool present;        /* it is registered, and has not ended */
	uint32_t why;        /* enum tv_why */
	uint32_t vector;     /* of TV_WHY_FAULT */
	uint32_t error_code;
	uint32_t calls;      /* since the registration */
	uint64_t rip;        /* in the PAL */
	uint64_t address;    /* of a page fault */
};

/** @return false: nothing is known of these sections, which is always so without the driver */
bool tv_status(const struct tv_pal_sections *sections, struct tv_status *status);

/** The test command: TV_OK, or TV_E_UNSUPPORTED without TrustVisor. */
uint32_t tv_test(void);

/** Text of an enum tv_result. */
const char *tv_result_text(uint32_t result);
/** Text of an enum tv_why. */
const char *tv_why_text(uint32_t why);

#ifdef __cplusplus
}

/* A pointer to a function is no pointer to data there. */
template <class Result, class... Parameters>
inline uint32_t tv_register(const struct tv_pal_sections *sections, const struct tv_pal_params *params,
			    Result (*entry)(Parameters...))
{
	return tv_register(sections, params, reinterpret_cast<const void *>(entry));
}

template <class Result, class... Parameters>
inline uint32_t tv_unregister(const struct tv_pal_sections *sections, Result (*entry)(Parameters...))
{
	return tv_unregister(sections, reinterpret_cast<const void *>(entry));
}
#endif

#endif
