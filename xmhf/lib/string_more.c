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

bool string_take_hex(const char **at, char end, uint64_t max, uint64_t *value)
{
	const char *from = *at;

	for (*value = 0; **at && **at != end; (*at)++) {
		char c = **at | 0x20;
		uint64_t digit = c >= '0' && c <= '9' ? (uint64_t)(c - '0') :
				 c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a' + 10) : 16;

		if (digit == 16 || *value > max >> 4)
			return false;
		*value = *value << 4 | digit;
	}
	if (*at == from || **at != end || *value > max)
		return false;
	*at += end != 0;
	return true;
}
