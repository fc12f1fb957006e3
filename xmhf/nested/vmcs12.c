/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access to VMCS12 by encoding. The descriptor array and the lookup table are expanded from vmx/vmcs_fields.def;
 * a lookup is one table read, since VMREAD and VMWRITE are the commonest exits of a guest hypervisor.
 * State: the lookup tables, written once at boot. Callers: see vmcs12.h.
 */
#include "nested/vmcs12.h"

const struct vmcs12_field vmcs12_fields[VMCS12_FIELD_COUNT] = {
#define FIELD(NAME, member, encoding, width, access, role, group, needs)                                             \
	VMCS12_IF_##role({ encoding, offsetof(struct vmcs12, member), VMCS_WIDTH_##width, VMCS_ACCESS_##access,      \
			   ROLE_##role, GROUP_##group, NEED_##needs, (VMCS12_U_##width)~0ull },)
#include "vmx/vmcs_fields.def"
#undef FIELD
};

#define FIELD(NAME, member, encoding, width, access, role, group, needs)                                             \
	_Static_assert(!((encoding) & ~VMCS12_SLOT_BITS), #NAME ": index too large for the lookup table");
#include "vmx/vmcs_fields.def"
#undef FIELD

u8 vmcs12_slots[VMCS12_SLOTS];

#define WORDS (sizeof(struct vmcs12) / sizeof(u64))
static u16 groups_in_word[WORDS];
_Static_assert(GROUP_COUNT <= 16, "a bit for each group");

void vmcs12_init(u32 needs)
{
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++) {
		const struct vmcs12_field *field = &vmcs12_fields[i];

		vmcs12_slots[VMCS12_SLOT(field->encoding)] = needs >> field->need & 1 ? i + 1 : 0;
		groups_in_word[field->offset / sizeof(u64)] |= (u16)(1u << field->group);
	}
}

u32 vmcs12_replace(struct vmcs12 *vmcs12, const void *region)
{
	const volatile u64 *from = region;
	u64 *to = (u64 *)vmcs12;
	u32 differ = 0;

	for (u32 i = 0; i < WORDS; i++) {
		u64 word = from[i];

		if (word != to[i])
			differ |= groups_in_word[i];
		to[i] = word;
	}
	return differ;
}

u32 vmcs12_highest_index(u32 needs)
{
	u32 highest = 0;

	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++)
		if (needs >> vmcs12_fields[i].need & 1)
			highest = MAX(highest, VMCS_ENC_INDEX((u32)vmcs12_fields[i].encoding));
	return highest;
}
