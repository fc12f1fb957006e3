/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzz targets share: the entry that libFuzzer or driver.c calls, and a check that ends the program. */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* Takes `size` bytes from the front of the input; what is not there is zero. */
static inline void take(const uint8_t **data, size_t *left, void *to, size_t size)
{
	size_t have = size < *left ? size : *left;

	memset(to, 0, size);
	memcpy(to, *data, have);
	*data += have;
	*left -= have;
}

#endif
