/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory and string functions, as in the C library, and a few more. */
#ifndef XMHF_STRING_H
#define XMHF_STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *dst, const void *src, size_t n);
void *memset(void *dst, int value, size_t n);
void *memmove(void *dst, const void *src, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);

/* Clears a copy of a secret: a store that no compiler leaves out, though nobody reads it. */
static inline void wipe(void *at, size_t n)
{
	__builtin_memset(at, 0, n);
	asm volatile("" : : "r"(at) : "memory");
}

/* Moves words that may be secret: the place they come from has zeros afterwards. */
static inline void move_words(uint64_t *to, uint64_t *from, size_t count)
{
	const uint64_t *source = from;
	size_t left = count;

	asm volatile("rep movsq" : "+D"(to), "+S"(source), "+c"(left) : : "memory");
	asm volatile("rep stosq" : "+D"(from), "+c"(count) : "a"(0ull) : "memory");
}

/* A number of `bytes` bytes, at most eight, the lowest first, that may stand anywhere. */
static inline uint64_t number_at(const void *at, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

/*
 * Takes the hexadecimal digits from *at up to `end`, which is skipped if it is not the string's. False: there are none,
 * or something else, or more than `max`.
 */
bool string_take_hex(const char **at, char end, uint64_t max, uint64_t *value);

/* Copies at most size - 1 characters and always ends dst with NUL. Returns the length of src. */
size_t string_copy(char *dst, const char *src, size_t size);

#endif
