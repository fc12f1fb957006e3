/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See dmar.h. A structure's handler gets it whole: the walk has compared its length with the table and with the row. */
#include "iommu/dmar.h"

#include "lib/string.h"

#define TABLE_LENGTH 4 /* of every ACPI table */
#define TABLE_WIDTH 36
#define TABLE_STRUCTURES 48
#define UNIT_THE_REST BIT(0)
#define MIN_WIDTH 32
#define MAX_WIDTH 64
#define ADDRESS_END BIT(52)

enum { DRHD = 0, RMRR = 1, ATSR = 2, KINDS };
enum { DRHD_FLAGS = 4, DRHD_SEGMENT = 6, DRHD_BASE = 8, DRHD_SCOPES = 16 };
enum { RMRR_BASE = 8, RMRR_LIMIT = 16, RMRR_SCOPES = 24 };
enum { ATSR_SCOPES = 8 };
enum { SCOPE_LENGTH = 1, SCOPE_PATH = 6 };

/* A way to a device, of pairs: device, function. */
static const char *check_path(const u8 *at, u32 bytes)
{
	if (bytes % 2 || !bytes)
		return "a device scope whose path is no way to a device";
	for (u32 i = 0; i < bytes; i += 2)
		if (at[i] > 31 || at[i + 1] > 7)
			return "a device scope with a device above 31 or a function above 7";
	return NULL;
}

static const char *check_scopes(const u8 *at, const u8 *end)
{
	const char *wrong = NULL;

	for (; at < end && !wrong; at += at[SCOPE_LENGTH]) {
		if (end - at < SCOPE_PATH || at[SCOPE_LENGTH] < SCOPE_PATH || at[SCOPE_LENGTH] > end - at)
			return "a device scope that does not end in its structure";
		wrong = check_path(at + SCOPE_PATH, at[SCOPE_LENGTH] - SCOPE_PATH);
	}
	return wrong;
}

static const char *parse_drhd(struct dmar *dmar, const u8 *at, u32 length)
{
	u64 base = number_at(at + DRHD_BASE, 8);

	if (dmar->unit_count == DMAR_MAX_UNITS)
		return "more remapping units than XMHF has room for";
	if (!base || base % PAGE_SIZE || base >= ADDRESS_END)
		return "a remapping unit whose registers cannot be where it says";
	for (u32 i = 0; i < dmar->unit_count; i++)
		if (dmar->units[i].base == base)
			return "two remapping units with the same registers";
	dmar->units[dmar->unit_count++] = (struct dmar_unit){ base, (u16)number_at(at + DRHD_SEGMENT, 2),
							      at[DRHD_FLAGS] & UNIT_THE_REST };
	return check_scopes(at + DRHD_SCOPES, at + length);
}

static const char *parse_rmrr(struct dmar *dmar, const u8 *at, u32 length)
{
	u64 start = number_at(at + RMRR_BASE, 8), last = number_at(at + RMRR_LIMIT, 8);

	if (dmar->region_count == DMAR_MAX_REGIONS)
		return "more reserved memory regions than XMHF has room for";
	if (start % PAGE_SIZE || last % PAGE_SIZE != PAGE_SIZE - 1 || start > last || last >= ADDRESS_END)
		return "a reserved memory region that is not whole pages of memory";
	dmar->regions[dmar->region_count++] = (struct dmar_region){ start, last + 1 };
	return check_scopes(at + RMRR_SCOPES, at + length);
}

/* Whose own translations the unit would let through; none are. */
static const char *parse_atsr(struct dmar *dmar, const u8 *at, u32 length)
{
	(void)dmar;
	return check_scopes(at + ATSR_SCOPES, at + length);
}

static const struct {
	u32 min_bytes;
	const char *(*parse)(struct dmar *dmar, const u8 *at, u32 length);
} kinds[KINDS] = {
	[DRHD] = { DRHD_SCOPES, parse_drhd },
	[RMRR] = { RMRR_SCOPES, parse_rmrr },
	[ATSR] = { ATSR_SCOPES, parse_atsr },
};

/* The specification wants structures of unknown kinds skipped. */
static const char *parse_structure(struct dmar *dmar, const u8 *at, size_t left, u32 *length)
{
	if (left < 4)
		return "bytes behind its last structure";
	u32 kind = (u32)number_at(at, 2);

	*length = (u32)number_at(at + 2, 2);
	if (*length < 4 || *length > left)
		return "a structure that does not end in the table";
	if (kind >= KINDS)
		return NULL;
	if (*length < kinds[kind].min_bytes)
		return "a structure that is too short for its kind";
	return kinds[kind].parse(dmar, at, *length);
}

const char *dmar_parse(struct dmar *dmar, const void *table, size_t bytes)
{
	const u8 *at = table, *end = at + bytes;
	const char *wrong = NULL;
	u32 length = TABLE_STRUCTURES;

	memset(dmar, 0, sizeof(*dmar));
	if (bytes < TABLE_STRUCTURES || number_at(at + TABLE_LENGTH, 4) != bytes)
		return "a length that is not the table's";
	if (at[TABLE_WIDTH] + 1 < MIN_WIDTH || at[TABLE_WIDTH] + 1 > MAX_WIDTH)
		return "a width of addresses that no machine has";
	for (at += length; at < end && !wrong; at += length)
		wrong = parse_structure(dmar, at, (size_t)(end - at), &length);
	if (!wrong && !dmar->unit_count)
		wrong = "no remapping unit";
	return wrong;
}

static bool has_the_rest(const struct dmar *dmar, u16 segment)
{
	for (u32 i = 0; i < dmar->unit_count; i++)
		if (dmar->units[i].segment == segment && dmar->units[i].the_rest)
			return true;
	return false;
}

int dmar_open_segment(const struct dmar *dmar)
{
	for (u32 i = 0; i < dmar->unit_count; i++)
		if (!has_the_rest(dmar, dmar->units[i].segment))
			return dmar->units[i].segment;
	return -1;
}
