/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS12: the VMCS that L1 writes for L2, as data. struct vmcs12 is both the copy in root memory that L0 works on and
 * the layout of L1's VMCS region in memory (behind the revision identifier L1 may not look). VMPTRLD copies it in,
 * VMCLEAR and VMPTRLD of another copy it out, so nobody but the owning CPU can change what has been checked.
 * Pure: no hardware access. Callers: the VMX instruction handlers, the entry checks, vmcs02.
 */
#ifndef XMHF_NESTED_VMCS12_H
#define XMHF_NESTED_VMCS12_H

#include "nested/caps.h"

/*
 * Fields that are checked, merged and read back together. MODE is what most other checks look at; MODE, RIP, FLAGS
 * and NONREG are read back at every exit to L1, SEGS, CRS and PDPTE only when somebody asks.
 */
enum vmcs_group {
	GROUP_EXEC,   /* VM-execution controls that a hypervisor rarely changes */
	GROUP_PROC,   /* primary processor-based controls and TPR threshold: window requests */
	GROUP_EXITS,  /* VM-exit controls */
	GROUP_ENTRY,  /* VM-entry controls, without the event */
	GROUP_EVENT,  /* event injection, preemption timer */
	GROUP_HOST,   /* host state */
	GROUP_MODE,   /* guest CR0, access rights of CS and SS */
	GROUP_CRS,    /* other guest control registers and MSRs */
	GROUP_SEGS,   /* guest segments and descriptor tables */
	GROUP_PDPTE,
	GROUP_RIP,    /* RIP, RSP */
	GROUP_FLAGS,  /* RFLAGS */
	GROUP_NONREG, /* activity, interruptibility, pending debug exceptions, link pointer */
	GROUP_INFO,   /* exit information */
	GROUP_MEMORY, /* no fields: L1's memory, which may change at any time, and which VMCS is current */
	GROUP_COUNT,
};
#define GROUP(name) (1u << GROUP_##name)
#define GROUPS_ALL ((1u << GROUP_COUNT) - 1)
#define GROUPS_LAZY (GROUP(CRS) | GROUP(SEGS) | GROUP(PDPTE))
#define GROUPS_MERGED (GROUPS_ALL & ~(GROUP(MEMORY) | GROUP(INFO))) /* what VMCS02 is made of */

enum vmcs_role { ROLE_COPY, ROLE_PASS, ROLE_MERGE, ROLE_HOST, ROLE_INFO };

/* Expand the argument for the roles that have a place in vmcs12, drop it for HIDDEN. */
#define VMCS12_IF_COPY(...) __VA_ARGS__
#define VMCS12_IF_PASS(...) __VA_ARGS__
#define VMCS12_IF_MERGE(...) __VA_ARGS__
#define VMCS12_IF_HOST(...) __VA_ARGS__
#define VMCS12_IF_INFO(...) __VA_ARGS__
#define VMCS12_IF_HIDDEN(...)

#define VMCS12_U_16 u16
#define VMCS12_U_32 u32
#define VMCS12_U_64 u64
#define VMCS12_U_NAT u64

struct vmcs12 {
	u32 revision; /* SDM vol. 3, "Format of the VMCS Region" */
	u32 abort;    /* VMX-abort indicator */
	u32 launched; /* launch state: 0 clear, 1 launched */
	u32 unused;
#define FIELD(NAME, member, encoding, width, access, role, group, needs) VMCS12_IF_##role(VMCS12_U_##width member;)
#include "vmx/vmcs_fields.def"
#undef FIELD
	u64 end; /* a field may be read with an eight-byte load */
};
_Static_assert(sizeof(struct vmcs12) <= PAGE_SIZE, "L1's VMCS region is one page");
_Static_assert(sizeof(struct vmcs12) % 8 == 0, "copied in eight-byte words");

/* The secondary controls, 0 if they are off. */
static inline u32 vmcs12_proc2(const struct vmcs12 *vmcs12)
{
	return vmcs12->proc_ctls & PROC_SECONDARY ? vmcs12->proc2_ctls : 0;
}

static inline bool vmcs12_uses_ept(const struct vmcs12 *vmcs12)
{
	return vmcs12_proc2(vmcs12) & PROC2_EPT;
}

static inline bool vmcs12_switches_eptp(const struct vmcs12 *vmcs12)
{
	return (vmcs12_proc2(vmcs12) & PROC2_VMFUNC) && (vmcs12->vm_function_controls & VMFUNC_EPTP_SWITCHING);
}

/* Writes of L2 are logged by L0, where it sets EPT12's dirty flags. */
#define PML_ENTRIES (PAGE_SIZE / sizeof(u64))
static inline bool vmcs12_logs_writes(const struct vmcs12 *vmcs12)
{
	return (vmcs12_proc2(vmcs12) & PROC2_PML) && (vmcs12->eptp & EPTP_AD);
}

/* L2's VMREAD and VMWRITE may reach the shadow VMCS that the link pointer names. */
static inline bool vmcs12_shadows(const struct vmcs12 *vmcs12)
{
	return vmcs12_proc2(vmcs12) & PROC2_SHADOW_VMCS;
}

/* It is a shadow VMCS itself, which cannot be entered. */
static inline bool vmcs12_is_shadow(const struct vmcs12 *vmcs12)
{
	return vmcs12->revision & VMCS_REGION_SHADOW;
}

/* NMIs are blocked from the entry to the next exit, whatever L2 does; valid until that exit is saved. */
static inline bool vmcs12_keeps_nmis_blocked(const struct vmcs12 *v)
{
	if ((v->pin_ctls & (PIN_NMI_EXITING | PIN_VIRTUAL_NMIS)) != PIN_NMI_EXITING)
		return false;
	return (v->guest_interruptibility & INTERRUPTIBILITY_NMI) ||
	       (v->entry_intr_info & (INTR_VALID | INTR_TYPE)) == (INTR_VALID | INTR_TYPE_NMI);
}

struct vmcs12_field {
	u16 encoding;
	u16 offset;  /* into struct vmcs12 */
	u8 width;    /* enum vmcs_width */
	u8 access;   /* VMCS_ACCESS_RW or _RO */
	u8 role;     /* enum vmcs_role */
	u8 group;    /* enum vmcs_group */
	u8 need;     /* enum nested_need */
	u64 mask;    /* the bits that the field has */
};

enum vmcs12_index {
#define FIELD(NAME, member, encoding, width, access, role, group, needs) VMCS12_IF_##role(VMCS12_##NAME,)
#include "vmx/vmcs_fields.def"
#undef FIELD
	VMCS12_FIELD_COUNT,
};
_Static_assert(VMCS12_FIELD_COUNT < 256, "field numbers are bytes in the lookup table");

/* The group of each field, and what it needs, for code that names the field. */
enum {
#define FIELD(NAME, member, encoding, width, access, role, group, needs) VMCS12_GROUP_OF_##NAME = GROUP_##group,
#include "vmx/vmcs_fields.def"
#undef FIELD
};
enum {
#define FIELD(NAME, member, encoding, width, access, role, group, needs) VMCS12_NEED_OF_##NAME = NEED_##needs,
#include "vmx/vmcs_fields.def"
#undef FIELD
};

extern const struct vmcs12_field vmcs12_fields[VMCS12_FIELD_COUNT];

/* Once at boot, before vmcs12_find(). needs: nested_caps.needs, which fields exist for L1. */
void vmcs12_init(u32 needs);

/*
 * The fields become those of L1's region, which may change meanwhile: each word is read once. Answers the groups in
 * which it differs from what was here.
 */
u32 vmcs12_replace(struct vmcs12 *vmcs12, const void *region);

/* Highest index among the fields that exist, for IA32_VMX_VMCS_ENUM. */
u32 vmcs12_highest_index(u32 needs);

/*
 * Encoding -> slot of the lookup table: width (2 bits), type (2 bits), low six bits of the index. No architected index
 * is above 63 (vmcs12.c asserts it), so a bit outside the slot means "no such field".
 */
#define VMCS12_SLOT(e) (((e) >> 1 & 0x3f) | ((e) >> 4 & 0xc0) | ((e) >> 5 & 0x300))
#define VMCS12_SLOT_BITS 0x6c7full
#define VMCS12_SLOTS 1024
extern u8 vmcs12_slots[VMCS12_SLOTS]; /* field number plus one; 0: no field */

/* The field that an encoding (of either access type) names; NULL: L1 has no such field. */
static inline const struct vmcs12_field *vmcs12_find(u64 encoding)
{
	u32 number = encoding & ~VMCS12_SLOT_BITS ? 0 : vmcs12_slots[VMCS12_SLOT((u32)encoding)];

	if (unlikely(!number))
		return NULL;
	const struct vmcs12_field *field = &vmcs12_fields[number - 1];

	return (encoding & VMCS_ENC_HIGH) && field->width != VMCS_WIDTH_64 ? NULL : field;
}

/*
 * VMREAD and VMWRITE of a field (SDM vol. 3, "VMREAD", "VMWRITE"): encoding and value are zero-extended from 32 bits
 * outside 64-bit mode; with the high access type the value is the upper half. A write answers whether it changed the
 * field.
 */
static inline u64 vmcs12_read(const struct vmcs12 *vmcs12, const struct vmcs12_field *field, u64 encoding)
{
	u64 raw;

	__builtin_memcpy(&raw, (const u8 *)vmcs12 + field->offset, sizeof(raw));
	return (raw & field->mask) >> (encoding & VMCS_ENC_HIGH ? 32 : 0);
}

static inline bool vmcs12_write(struct vmcs12 *vmcs12, const struct vmcs12_field *field, u64 encoding, u64 value)
{
	u8 *at = (u8 *)vmcs12 + field->offset;
	u64 raw;

	__builtin_memcpy(&raw, at, sizeof(raw));
	if (unlikely(encoding & VMCS_ENC_HIGH))
		value = value << 32 | (u32)raw;
	u64 changed = (raw ^ value) & field->mask;

	raw ^= changed; /* what lies behind a narrow field stays */
	__builtin_memcpy(at, &raw, sizeof(raw));
	return changed;
}

#endif
