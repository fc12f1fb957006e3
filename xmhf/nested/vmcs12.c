/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access to VMCS12 by encoding. The descriptor array and the lookup table are expanded from vmx/vmcs_fields.def;
 * a lookup is one table read, since VMREAD and VMWRITE are the commonest exits of a guest hypervisor.
 * State: the group lists, written once at boot by vmcs12_init(). Callers: see vmcs12.h.
 */
#include "nested/vmcs12.h"

const struct vmcs12_field vmcs12_fields[VMCS12_FIELD_COUNT] = {
#define FIELD(NAME, member, encoding, width, access, role, group, needs)                                             \
	VMCS12_IF_##role({ encoding, offsetof(struct vmcs12, member), VMCS_WIDTH_##width, VMCS_ACCESS_##access,      \
			   ROLE_##role, GROUP_##group, NEED_##needs },)
#include "vmx/vmcs_fields.def"
#undef FIELD
};

/*
 * Encoding -> slot: width (2 bits), type (2 bits), low six bits of the index. No architected index is above 63; the
 * static assertion below rejects a row that would break this, and a bit outside the slot means "no such field".
 */
#define SLOT(e) (((e) >> 1 & 0x3f) | ((e) >> 4 & 0xc0) | ((e) >> 5 & 0x300))
#define SLOT_BITS 0x6c7full
#define SLOT_COUNT 1024

static const u8 slot_field[SLOT_COUNT] = { /* field number plus one; 0: no field */
#define FIELD(NAME, member, encoding, width, access, role, group, needs)                                             \
	VMCS12_IF_##role([SLOT(encoding)] = VMCS12_##NAME + 1,)
#include "vmx/vmcs_fields.def"
#undef FIELD
};

#define FIELD(NAME, member, encoding, width, access, role, group, needs)                                             \
	_Static_assert(!((encoding) & ~SLOT_BITS), #NAME ": index too large for the lookup table");
#include "vmx/vmcs_fields.def"
#undef FIELD

static const u64 width_mask[] = {
	[VMCS_WIDTH_16] = 0xffff,
	[VMCS_WIDTH_32] = 0xffffffff,
	[VMCS_WIDTH_64] = ~0ull,
	[VMCS_WIDTH_NAT] = ~0ull,
};

struct vmcs12_group vmcs12_groups[GROUP_COUNT];

void vmcs12_init(u32 needs)
{
	for (u32 g = 0; g < GROUP_COUNT; g++)
		vmcs12_groups[g].count = 0;
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++) {
		const struct vmcs12_field *field = &vmcs12_fields[i];
		struct vmcs12_group *group = &vmcs12_groups[field->group];

		if ((field->role == ROLE_COPY || field->role == ROLE_PASS) && (needs >> field->need & 1) &&
		    group->count < VMCS12_GROUP_MAX)
			group->field[group->count++] = i;
	}
}

const struct vmcs12_field *vmcs12_find(u64 encoding, u32 needs)
{
	if (encoding & ~SLOT_BITS)
		return NULL;
	u32 number = slot_field[SLOT(encoding)];
	if (!number)
		return NULL;
	const struct vmcs12_field *field = &vmcs12_fields[number - 1];
	if (!(needs >> field->need & 1) || ((encoding & VMCS_ENC_HIGH) && field->width != VMCS_WIDTH_64))
		return NULL;
	return field;
}

u32 vmcs12_highest_index(u32 needs)
{
	u32 highest = 0;

	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++)
		if (needs >> vmcs12_fields[i].need & 1)
			highest = MAX(highest, VMCS_ENC_INDEX((u32)vmcs12_fields[i].encoding));
	return highest;
}

u64 vmcs12_get(const struct vmcs12 *vmcs12, const struct vmcs12_field *field)
{
	u64 raw;

	__builtin_memcpy(&raw, (const u8 *)vmcs12 + field->offset, sizeof(raw));
	return raw & width_mask[field->width];
}

bool vmcs12_set(struct vmcs12 *vmcs12, const struct vmcs12_field *field, u64 value)
{
	u8 *at = (u8 *)vmcs12 + field->offset;
	u64 raw;

	__builtin_memcpy(&raw, at, sizeof(raw));
	u64 changed = (raw ^ value) & width_mask[field->width];
	raw ^= changed;
	__builtin_memcpy(at, &raw, sizeof(raw));
	return changed;
}

enum vmx_error vmcs12_vmread(const struct vmcs12 *vmcs12, const struct nested_caps *caps, u64 encoding, u64 *value)
{
	const struct vmcs12_field *field = vmcs12_find(encoding, caps->needs);

	if (!field)
		return VMXERR_BAD_FIELD;
	*value = vmcs12_get(vmcs12, field) >> (encoding & VMCS_ENC_HIGH ? 32 : 0);
	return VMXERR_NONE;
}

enum vmx_error vmcs12_vmwrite(struct vmcs12 *vmcs12, const struct nested_caps *caps, u64 encoding, u64 value,
			      u32 *dirty)
{
	const struct vmcs12_field *field = vmcs12_find(encoding, caps->needs);

	if (!field)
		return VMXERR_BAD_FIELD;
	if (field->access == VMCS_ACCESS_RO && !(NESTED_CAP(caps, MISC) & VMX_MISC_VMWRITE_ALL))
		return VMXERR_READ_ONLY_FIELD;
	if (encoding & VMCS_ENC_HIGH)
		value = value << 32 | (u32)vmcs12_get(vmcs12, field);
	if (vmcs12_set(vmcs12, field, value))
		*dirty |= 1u << field->group;
	return VMXERR_NONE;
}
