/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the C library has not; apart from string.c, so that tests on the host link it beside the C library. */
#include "lib/string.h"

size_t string_copy(char *dst, const char *src, size_t size)
{
	size_t n = strlen(src);

	if (size) {
		size_t kept = n < size ? n : size - 1;

		memcpy(dst, src, kept);
		dst[kept] = 0;
	}
	return n;
}
