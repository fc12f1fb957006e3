/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory and string functions that a freestanding C compiler expects; the C library's names. */
#include "lib/string.h"

void *memcpy(void *dst, const void *src, size_t n)
{
	void *to = dst;
	size_t quads = n / 8;

	n &= 7;
	asm volatile("rep movsq" : "+D"(to), "+S"(src), "+c"(quads) : : "memory");
	asm volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(n) : : "memory");
	return dst;
}

void *memset(void *dst, int value, size_t n)
{
	void *to = dst;
	size_t quads = n / 8;

	n &= 7;
	asm volatile("rep stosq" : "+D"(to), "+c"(quads) : "a"(0x0101010101010101ul * (unsigned char)value) : "memory");
	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	char *to = dst;
	const char *from = src;

	if (to <= from || to >= from + n)
		return memcpy(dst, src, n);
	while (n--)
		to[n] = from[n];
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return x[i] - y[i];
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i] || !a[i])
			return (unsigned char)a[i] - (unsigned char)b[i];
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, ~(size_t)0);
}
