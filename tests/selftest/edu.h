/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device that reads and writes where it is told: QEMU's edu. A transfer takes it 100 ms, and has a few words of the
 * page that is named. Addresses are host-physical, of whole pages.
 */
#ifndef EDU_H
#define EDU_H

#include "lib/base.h"

#define EDU_WORDS 8u

/* Finds the device, and lets it be bus master. */
bool edu_find(void);

/* From a page of memory to the device; from the device to a page. The first two wait for the end. */
void edu_takes(u64 page);
void edu_puts(u64 page);
void edu_begins_to_put(u64 page);
void edu_end(void);

/* The device holds value, value + 1, ... : to be put. By a page of L1's. */
void edu_load(u64 value);

/* The words of a page by the CPU. */
u64 *edu_words(u64 page);
void edu_fill(u64 page, u64 value);
bool edu_holds(u64 page, u64 value);

/* Whether the device learns what is in the page, and whether it changes the page, which gets back what it had. */
bool edu_reads(u64 page);
bool edu_writes(u64 page);

#endif
