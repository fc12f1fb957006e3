/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adler-32 (RFC 1950, section 9), written as a library from elsewhere may be: it builds with flags of its own only, and
 * has a global name that any other hypapp may have, too. Both are what the build has to cope with.
 */
#include <adler32.h>

uint32_t answer(const void *bytes, size_t len_bytes, int unused)
{
	uint32_t low = 1, high = 0;

	for (size_t i = 0; i < len_bytes; i++) {
		low = (low + ((const uint8_t *)bytes)[i]) % ADLER_MODULUS;
		high = (high + low) % ADLER_MODULUS;
	}
	return high << 16 | low;
}
