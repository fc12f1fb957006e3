/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The example PAL, used by Linux programs and by the L2 kernel of kvm-guest: a secret that its owner fills in before
 * the registration, and two entry points. Each is registered on its own, with the same sections.
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

#endif
