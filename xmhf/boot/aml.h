/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one thing that the core looks for, and changes, in ACPI's byte code; pure, so that it is tested on the host.
 * Caller: boot/acpi.c.
 */
#ifndef XMHF_AML_H
#define XMHF_AML_H

#include "lib/base.h"

struct aml_package {
	bool found;
	u8 values[2]; /* the first two elements; the second is the first where there is one only */
};

/*
 * The package of small integers that Name(_XXX) or Name(\_XXX) defines, as those of sleep states are (ACPI
 * specification, "\_Sx (System States)"). Code is not run, so the first definition counts. No byte outside of `len` is
 * read.
 */
struct aml_package aml_find_package(const u8 *aml, size_t len, const char name[4]);

/*
 * Gives each such package another name, which differs in its first character. The same four bytes elsewhere stay. How
 * many there were.
 */
u32 aml_rename_packages(u8 *aml, size_t len, const char name[4], char first);

#endif
