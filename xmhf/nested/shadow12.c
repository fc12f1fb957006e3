/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS shadowing as L1 uses it for its L2 (Intel SDM vol. 3, "VMREAD", "VMWRITE", "VMCS Types: Ordinary and Shadow").
 * VMCS02 never has it, so that each VMREAD and VMWRITE of L2 is an exit. L0 looks at L1's bitmaps, and carries out what
 * they let through on the shadow VMCS that VMCS12's link pointer names. That one is not active while L2 runs: it lies
 * in L1's memory, laid out as struct vmcs12. L1 may write there at any time, so a field is a number, and nothing else
 * of the region is looked at. Callers: the table of nested/exit.c.
 */
#include "nested/state.h"

struct access {
	u64 encoding;
	u32 info; /* VM-exit instruction information */
	bool long_mode, write;
};

/* VMCS02 is at hand. */
static struct access access_of(const struct percpu *cpu, u32 reason)
{
	struct access a = { .info = (u32)vmread(VMCS_EXIT_INSN_INFO), .long_mode = guest_long_mode(),
			    .write = reason == EXIT_VMWRITE };

	a.encoding = operand_width(a.long_mode, guest_reg(cpu, OPERAND_REG2(a.info)));
	return a;
}

/* Bit 15 and those above it have no place in the bitmaps. Where L1 has no RAM all bits are 1. */
bool nested_wants_vmcs_access(struct percpu *cpu, u32 reason)
{
	const struct vmcs12 *v = vmcs12_of(cpu);

	if (likely(!vmcs12_shadows(v)))
		return true;
	const struct access a = access_of(cpu, reason);
	const u8 *bitmap = l1_page(&cpu->nested->memory, a.write ? v->vmwrite_bitmap : v->vmread_bitmap, HYPAPI_R);

	return a.encoding >> 15 || !bitmap || bitmap[a.encoding / 8] >> a.encoding % 8 & 1;
}

static int write_field(struct percpu *cpu, const struct access *a, struct vmcs12 *shadow)
{
	const struct vmcs12_field *field = vmcs12_find(a->encoding);
	u64 value = 0;

	if (a->info & OPERAND_IS_REG)
		value = operand_width(a->long_mode, guest_reg(cpu, OPERAND_REG1(a->info)));
	else if (!operand_read_slow(cpu, a->info, a->long_mode, &value, a->long_mode ? 8 : 4))
		return INSN_DONE;
	if (!field)
		return VMXERR_BAD_FIELD;
	if (field->access == VMCS_ACCESS_RO && !(NESTED_CAP(&nested_caps, MISC) & VMX_MISC_VMWRITE_ALL))
		return VMXERR_READ_ONLY_FIELD;
	if (shadow)
		(void)vmcs12_write(shadow, field, a->encoding, value);
	return VMXERR_NONE;
}

static int read_field(struct percpu *cpu, const struct access *a, const struct vmcs12 *shadow)
{
	const struct vmcs12_field *field = vmcs12_find(a->encoding);

	if (!field)
		return VMXERR_BAD_FIELD;
	u64 value = shadow ? vmcs12_read(shadow, field, a->encoding) :
			     field->mask >> (a->encoding & VMCS_ENC_HIGH ? 32 : 0);

	if (!(a->info & OPERAND_IS_REG))
		return operand_write_slow(cpu, a->info, a->long_mode, &value, a->long_mode ? 8 : 4) ? VMXERR_NONE :
												      INSN_DONE;
	guest_set_reg(cpu, OPERAND_REG1(a->info), operand_width(a->long_mode, value));
	return VMXERR_NONE;
}

/* The bitmaps let it through. VMfail writes its number where L1 looks for it: into the VMCS of L2, not the shadow. */
void nested_vmcs_access(struct percpu *cpu)
{
	const struct access a = access_of(cpu, cpu->exit_reason);
	u64 link = vmcs12_of(cpu)->link_pointer;
	int result = INSN_INVALID;

	if (guest_cpl()) {
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
		return;
	}
	if (link != NO_VMCS) {
		/* Taken from L1 since the entry: it reads as all ones and takes no write. */
		struct vmcs12 *shadow = l1_page(&cpu->nested->memory, link, a.write ? HYPAPI_RW : HYPAPI_R);

		result = a.write ? write_field(cpu, &a, shadow) : read_field(cpu, &a, shadow);
	}
	if (result != INSN_DONE)
		nested_end_insn(cpu, result);
}
