/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the image's functions: a table in its read-only data, which tools/install/image-symbols makes. */
#ifndef XMHF_SYMBOLS_H
#define XMHF_SYMBOLS_H

#include "lib/base.h"

struct symbol {
	const char *name, *file; /* file: "" if the object came without lines */
	u64 start;
	u32 first_line, last_line; /* 0: not known */
};

/* The function that an address of text lies in. False: it lies in none, or the image has no table. */
bool symbol_find(u64 address, struct symbol *symbol);

#endif
