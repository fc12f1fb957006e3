/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access to VMCS12 by encoding. The descriptor array and the lookup table are expanded from vmx/vmcs_fields.def;
 * a lookup is one table read, since VMREAD and VMWRITE are the commonest exits of a guest hypervisor.
 * State: the lookup table, written once at boot. Callers: see vmcs12.h.
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

void vmcs12_init(u32 needs)
{
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++)
		vmcs12_slots[VMCS12_SLOT(vmcs12_fields[i].encoding)] = needs >> vmcs12_fields[i].need & 1 ? i + 1 : 0;
}

u32 vmcs12_highest_index(u32 needs)
{
	u32 highest = 0;

	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++)
		if (needs >> vmcs12_fields[i].need & 1)
			highest = MAX(highest, VMCS_ENC_INDEX((u32)vmcs12_fields[i].encoding));
	return highest;
}
