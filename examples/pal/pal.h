/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The example PAL, used by Linux programs and by the L2 kernel of kvm-guest: a secret that its owner fills in before
 * the registration, and three entry points. Each is registered on its own, with the same sections.
 */
#ifndef EXAMPLE_PAL_H
#define EXAMPLE_PAL_H

#include "../libtv/tv.h"

#define PAL_BUFFER_WORDS 8

/* The owner's view before the registration; zeros while it is registered and afterwards. */
struct pal_data {
	uint64_t secret;
	uint64_t calls; /* since the registration */
};
extern struct pal_data pal_data;

/** Parameters: two integers. @return their sum plus the secret */
uint64_t pal_add(uint64_t a, uint64_t b);

/**
 * Parameters: an integer, a pointer to PAL_BUFFER_WORDS words. Reverses the words and encrypts each with the secret, a
 * number of the caller's and its place; doing it to the result of a call with the same number gives the words back.
 * @return how many calls the PAL has had, this one included
 */
uint64_t pal_crypt(uint64_t number, uint64_t *words);

/** Parameters: two integers, ignored. @return the time stamp counter in the PAL, which splits a call into halves */
uint64_t pal_time(uint64_t a, uint64_t b);

enum pal_misuse { PAL_LOOP, PAL_NULL_SEGMENTS, PAL_HALT, PAL_FPU, PAL_LOOP_OF_EXITS };

/**
 * Parameters: what to do that a PAL should not (enum pal_misuse), an integer, ignored.
 * @return the first parameter, if the PAL comes back from it
 */
uint64_t pal_misuse(uint64_t how, uint64_t unused);

/** The time stamp counter, after all that came before. */
static inline __attribute__((always_inline)) uint64_t read_ticks(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

#define BENCH_WARM_UP 10
#define BENCH_SAMPLES 101

/* Measured by pal-bench in L1 and by kvm-guest in L2; one sample of each comes from one round. */
enum bench_part { BENCH_REGISTER, BENCH_INVOKE, BENCH_RETURN, BENCH_UNREGISTER, BENCH_PARTS };

/** Puts a sample into its place in a sorted array of `count`. */
static inline void bench_insert(uint64_t *sorted, int count, uint64_t sample)
{
	for (; count > 0 && sorted[count - 1] > sample; count--)
		sorted[count] = sorted[count - 1];
	sorted[count] = sample;
}

#endif
