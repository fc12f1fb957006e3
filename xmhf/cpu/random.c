/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypapi_random(): the CPU's random numbers, tested as they come.
 *
 * RDSEED is the noise source, RDRAND a generator that it feeds; a word is the exclusive or of both, so that one of them
 * may be weak. Each goes through the two tests of NIST SP 800-90B, section 4.4, from its first word on: two equal words
 * in a row, and one byte value that comes too often. Their bounds are for half of the entropy that is promised, at a
 * chance of a false alarm of 2^-30. Who fails once is never asked again, and nobody gets a number from then on: known
 * faults (a generator that answers all ones after a sleep) are of that kind.
 */
#include <hypapi/hypapi.h>

#include "cpu/spinlock.h"
#include "lib/string.h"

#define LEAF1_ECX_RDRAND BIT(30)
#define LEAF7_EBX_RDSEED BIT(18)
#define TRIES 128          /* of an instruction that has nothing at the moment; RDSEED's source is slow, and shared */
#define WINDOW 512         /* bytes, of the adaptive proportion test */
#define WINDOW_CUTOFF 71   /* so many like the first are an alarm: for 4 bits of entropy in a byte */
#define STARTUP_WORDS 128  /* tested and thrown away */
#define MAX_BYTES 256

struct source {
	bool (*read)(u64 *word);
	bool present, failed;
	u64 last;              /* the word before */
	u32 in_window, equal;  /* bytes of this window, and how many are like the first */
	u8 first;
};

static struct spinlock lock;
static bool started;
static struct source sources[] = { { .read = rdseed }, { .read = rdrand } }; /* guarded by lock, as all of this is */

static void test_byte(struct source *source, u8 byte)
{
	if (source->in_window == 0) {
		source->first = byte;
		source->equal = 0;
	}
	source->equal += byte == source->first;
	source->failed |= source->equal >= WINDOW_CUTOFF;
	source->in_window = (source->in_window + 1) % WINDOW;
}

static void test_word(struct source *source, u64 word)
{
	source->failed |= word == source->last;
	source->last = word;
	for (u32 i = 0; i < sizeof(word); i++)
		test_byte(source, (u8)(word >> 8 * i));
}

/* False: nothing now. */
static bool draw(struct source *source, u64 *word)
{
	for (u32 i = 0; i < TRIES; i++) {
		if (source->read(word)) {
			test_word(source, *word);
			return true;
		}
		cpu_pause();
	}
	return false;
}

static void start(void)
{
	u64 word;

	sources[0].present = cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & LEAF7_EBX_RDSEED;
	sources[1].present = cpuid(1, 0).ecx & LEAF1_ECX_RDRAND;
	for (struct source *source = sources; source < sources + ARRAY_SIZE(sources); source++)
		for (u32 i = 0; source->present && i < STARTUP_WORDS && draw(source, &word); i++)
			;
	started = true;
}

/* RDSEED may be used up by another CPU's guest: RDRAND is enough then. */
static int next_word(u64 *word)
{
	bool drawn = false;
	u64 one;

	*word = 0;
	for (struct source *source = sources; source < sources + ARRAY_SIZE(sources); source++)
		if (source->present && draw(source, &one)) {
			*word ^= one;
			drawn = true;
		}
	if (sources[0].failed || sources[1].failed)
		return HYPAPI_ERANDOM;
	return drawn ? HYPAPI_OK : sources[0].present || sources[1].present ? HYPAPI_EBUSY : HYPAPI_ENOTSUP;
}

int hypapi_random(void *dst, size_t len_bytes)
{
	u8 *at = dst;
	int rc = HYPAPI_OK;
	u64 word;

	if (len_bytes == 0 || len_bytes > MAX_BYTES)
		return HYPAPI_EINVAL;
	spin_lock(&lock);
	if (!started)
		start();
	for (size_t done = 0; rc == HYPAPI_OK && done < len_bytes; done += sizeof(word)) {
		rc = next_word(&word);
		memcpy(at + done, &word, MIN(sizeof(word), len_bytes - done));
	}
	spin_unlock(&lock);
	wipe(&word, sizeof(word));
	if (rc != HYPAPI_OK)
		wipe(dst, len_bytes);
	return rc;
}
