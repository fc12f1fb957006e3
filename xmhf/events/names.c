/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See names.h, and hypapi/calls.h for those that hypapps call. */
#include "events/names.h"

#include "events/event_info.h"
#include "lib/base.h"
#include "lib/printf.h"

static const char *const capabilities[] = {
	"HYPAPI_CAP_REGISTERS", "HYPAPI_CAP_MEMORY", "HYPAPI_CAP_PARTITIONS", "HYPAPI_CAP_QUIESCE", "HYPAPI_CAP_WORK",
	"HYPAPI_CAP_INTERRUPTS",
};
_Static_assert(ALL_CAPABILITIES == (1u << ARRAY_SIZE(capabilities)) - 1, "a name for each");

static const char *const features[] = {
	"HYPAPI_FEATURE_NESTED", "HYPAPI_FEATURE_PARTITIONS", "HYPAPI_FEATURE_DMA",
};

static struct names names_of(u32 mask, const char *between, const char *const *table, u32 count)
{
	struct names names = { "0" };
	size_t len = 0;

	for (u32 left = mask; left; left &= left - 1) {
		u32 bit = (u32)__builtin_ctz(left);
		const char *before = len ? between : "";

		if (bit < count)
			len += format(names.text + len, sizeof(names.text) - len, "%s%s", before, table[bit]);
		else
			len += format(names.text + len, sizeof(names.text) - len, "%s0x%x", before, 1u << bit);
	}
	return names;
}

struct names capability_names(u32 mask, const char *between)
{
	return names_of(mask, between, capabilities, ARRAY_SIZE(capabilities));
}

struct names feature_names(u32 mask)
{
	return names_of(mask, " | ", features, ARRAY_SIZE(features));
}

const char *level_names(u32 levels)
{
	static const char *const names[] = { "no guest", "L1", "L2", "L1 and L2" };

	return names[levels / HYPAPI_LEVEL_BIT(HYPAPI_L1) & 3];
}

const char *hypapi_error_name(int error)
{
	static const char *const names[] = {
		[-HYPAPI_OK] = "HYPAPI_OK", [-HYPAPI_EINVAL] = "HYPAPI_EINVAL", [-HYPAPI_EFAULT] = "HYPAPI_EFAULT",
		[-HYPAPI_EPERM] = "HYPAPI_EPERM", [-HYPAPI_ENOMEM] = "HYPAPI_ENOMEM",
		[-HYPAPI_ESTALE] = "HYPAPI_ESTALE", [-HYPAPI_EBUSY] = "HYPAPI_EBUSY",
		[-HYPAPI_ENOTSUP] = "HYPAPI_ENOTSUP", [-HYPAPI_ESTATE] = "HYPAPI_ESTATE",
		[-HYPAPI_EEXIST] = "HYPAPI_EEXIST", [-HYPAPI_ERANDOM] = "HYPAPI_ERANDOM",
		[-HYPAPI_EDMA] = "HYPAPI_EDMA", [-HYPAPI_ENOTMAPPED] = "HYPAPI_ENOTMAPPED",
	};

	return -(u32)error < ARRAY_SIZE(names) ? names[-(u32)error] : "unknown";
}

const char *hypapi_event_name(uint32_t type)
{
	return type < HYPAPI_EV_COUNT ? event_info[type].name : "unknown";
}

const char *hypapi_verdict_name(uint32_t verdict)
{
	static const char *const names[] = {
		[HYPAPI_PASS] = "pass", [HYPAPI_HANDLED] = "handled", [HYPAPI_DENY] = "deny",
		[HYPAPI_RETRY] = "retry", [HYPAPI_KILL] = "kill",
	};

	return verdict < ARRAY_SIZE(names) ? names[verdict] : "unknown";
}
