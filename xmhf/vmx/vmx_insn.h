/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMX instructions. Those that may fail say so by their result; vmread() and vmwrite() panic, for fields that are
 * there.
 */
#ifndef XMHF_VMX_INSN_H
#define XMHF_VMX_INSN_H

#include "lib/base.h"
#include "report/insn_counts.h"
#include "vmx/vmcs.h"

/* Whether this CPU is in VMX operation and has a current VMCS. */
bool vmx_is_on(void);

/* Panics with the field and the VM-instruction error. */
_Noreturn void vmx_field_failed(const char *insn, u32 field, u64 value);

static inline bool vmx_vmread(u32 field, u64 *value)
{
	bool ok;
	u64 v;

	insn_count(INSN_VMREAD);
	asm volatile("vmread %2, %1" : "=@cca"(ok), "=r"(v) : "r"((u64)field) : "memory");
	*value = v;
	return ok;
}

static inline u64 vmread(u32 field)
{
	u64 v;

	if (unlikely(!vmx_vmread(field, &v)))
		vmx_field_failed("VMREAD", field, 0);
	return v;
}

static inline must_check bool vmx_vmwrite(u32 field, u64 value)
{
	bool ok;

	insn_count(INSN_VMWRITE);
	asm volatile("vmwrite %1, %2" : "=@cca"(ok) : "r"(value), "r"((u64)field) : "memory");
	return ok;
}

static inline void vmwrite(u32 field, u64 value)
{
	if (unlikely(!vmx_vmwrite(field, value)))
		vmx_field_failed("VMWRITE", field, value);
}

/*
 * The same for rows of fields that every CPU has, in a VMCS that is at hand: the first checked access before or behind
 * them would show that it is not.
 */
static always_inline u64 vmread_row(u32 field)
{
	u64 v;

	insn_count(INSN_VMREAD);
	asm volatile("vmread %1, %0" : "=r"(v) : "r"((u64)field) : "cc", "memory");
	return v;
}

static always_inline void vmwrite_row(u32 field, u64 value)
{
	insn_count(INSN_VMWRITE);
	asm volatile("vmwrite %0, %1" : : "r"(value), "r"((u64)field) : "cc", "memory");
}

#define VMX_INSN_HPA(name, count)                                                              \
	static inline must_check bool name(const hpa_t *region)                                \
	{                                                                                      \
		bool ok;                                                                       \
		count;                                                                         \
		asm volatile(#name " %1" : "=@cca"(ok) : "m"(*region) : "memory");         \
		return ok;                                                                     \
	}
VMX_INSN_HPA(vmxon, )
VMX_INSN_HPA(vmclear, insn_count(INSN_VMCLEAR))
VMX_INSN_HPA(vmptrld, insn_count(INSN_VMPTRLD))

static inline must_check bool invept(enum invept_type type, u64 eptp)
{
	struct { u64 eptp, zero; } operand = { eptp, 0 };
	bool ok;

	insn_count(INSN_INVEPT);
	asm volatile("invept %1, %2" : "=@cca"(ok) : "m"(operand), "r"((u64)type) : "memory");
	return ok;
}

static inline must_check bool invvpid(enum invvpid_type type, u16 vpid, u64 linear)
{
	struct { u64 vpid, linear; } operand = { vpid, linear };
	bool ok;

	insn_count(INSN_INVVPID);
	asm volatile("invvpid %1, %2" : "=@cca"(ok) : "m"(operand), "r"((u64)type) : "memory");
	return ok;
}

/*
 * The core's own flushes, with operands that cannot be wrong. Each call of these two, of invept() and of invvpid() is a
 * site that tests/sim/sim_flushes.c removes: a test must fail then.
 */
static inline void flush_ept(enum invept_type type, u64 eptp)
{
	if (unlikely(!invept(type, eptp)))
		vmx_field_failed("INVEPT", (u32)type, eptp);
}

static inline void flush_vpid(enum invvpid_type type, u16 vpid)
{
	if (unlikely(!invvpid(type, vpid, 0)))
		vmx_field_failed("INVVPID", vpid, 0);
}

#endif
