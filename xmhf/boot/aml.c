/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See aml.h. Encoding: ACPI specification, "ACPI Machine Language (AML) Specification". */
#include "boot/aml.h"

#include "lib/string.h"

enum {
	AML_ZERO = 0x00, AML_ONE = 0x01, AML_NAME = 0x08, AML_BYTE = 0x0a, AML_WORD = 0x0b, AML_DWORD = 0x0c,
	AML_PACKAGE = 0x12, AML_ROOT = 0x5c,
};

struct reader { const u8 *at, *end; bool over; };

/* 0 past the end, which `over` tells. */
static u8 next(struct reader *r)
{
	r->over |= r->at == r->end;
	return r->over ? 0 : *r->at++;
}

static void skip(struct reader *r, u32 count)
{
	while (count--)
		(void)next(r);
}

/* An integer; of more than a byte the lowest. False: something else. */
static bool read_integer(struct reader *r, u8 *value)
{
	u8 op = next(r);
	bool is_constant = op == AML_ZERO || op == AML_ONE;

	*value = is_constant ? op : next(r);
	skip(r, op == AML_WORD ? 1 : op == AML_DWORD ? 3 : 0);
	return is_constant || (op >= AML_BYTE && op <= AML_DWORD);
}

/* Its length is not needed: the elements are counted, and read one by one. */
static struct aml_package read_package(struct reader r)
{
	struct aml_package p = { .found = false };

	if (next(&r) != AML_PACKAGE)
		return p;
	skip(&r, next(&r) >> 6); /* further bytes of the length */
	u8 count = next(&r);

	p.found = count && read_integer(&r, &p.values[0]);
	p.values[1] = p.values[0];
	if (count > 1)
		p.found &= read_integer(&r, &p.values[1]);
	p.found &= !r.over;
	return p;
}

/* What Name() of `name` defines, the name standing at `i`, which is not 0. */
static struct aml_package defined_at(const u8 *aml, size_t len, size_t i, const char name[4])
{
	bool defines = aml[i - 1] == AML_NAME || (i > 1 && aml[i - 1] == AML_ROOT && aml[i - 2] == AML_NAME);

	if (!defines || memcmp(aml + i, name, 4))
		return (struct aml_package){ .found = false };
	return read_package((struct reader){ aml + i + 4, aml + len, false });
}

struct aml_package aml_find_package(const u8 *aml, size_t len, const char name[4])
{
	struct aml_package p = { .found = false };

	for (size_t i = 1; i + 4 <= len && !p.found; i++)
		p = defined_at(aml, len, i, name);
	return p;
}

u32 aml_rename_packages(u8 *aml, size_t len, const char name[4], char first)
{
	u32 count = 0;

	for (size_t i = 1; i + 4 <= len; i++)
		if (defined_at(aml, len, i, name).found) {
			aml[i] = (u8)first;
			count++;
		}
	return count;
}
