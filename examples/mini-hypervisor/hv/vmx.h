/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMX instructions in two forms. The lean form is what a hypervisor uses in its loop. The try_ form never ends the
 * program: it says how the instruction ended, be it a VMfail or a fault, which is what a test prints.
 */
#ifndef HV_VMX_H
#define HV_VMX_H

#include "../lib/guest.h"
#include "fields.h"

/* 0 done, 1 VMfailInvalid, 2 VMfailValid, 0x100 + vector a fault. */
typedef u32 vmx_result;
enum { VMX_OK = 0, VMX_FAIL_INVALID = 1, VMX_FAIL_VALID = 2, VMX_FAULT = 0x100 };

static inline u64 vmread(u32 field)
{
	u64 value;

	asm volatile("vmread %1, %0" : "=r"(value) : "r"((u64)field) : "cc");
	return value;
}

static inline void vmwrite(u32 field, u64 value)
{
	asm volatile("vmwrite %1, %0" :: "r"((u64)field), "r"(value) : "cc");
}

/* Runs INSN with the given operands; CF and ZF tell the result, unless it faulted. */
#define TRY_VMX(insn, ...)                                                                                            \
	({                                                                                                            \
		u8 cf_ = 0, zf_ = 0;                                                                                  \
		fault_reset();                                                                                        \
		asm volatile("test %%rsp, %%rsp\n\t" MAY_FAULT(insn) : "=@ccc"(cf_), "=@ccz"(zf_) : __VA_ARGS__        \
			     : "memory");                                                                             \
		vmx_result_of(cf_, zf_);                                                                              \
	})

static inline vmx_result vmx_result_of(bool cf, bool zf)
{
	u32 vector = last_fault();

	return vector != NO_FAULT ? VMX_FAULT + vector : cf ? VMX_FAIL_INVALID : zf ? VMX_FAIL_VALID : VMX_OK;
}

struct inv_descriptor { u64 first, second; };

static inline vmx_result try_vmxon(const u64 *pointer) { return TRY_VMX("vmxon %2", "m"(*pointer)); }
static inline vmx_result try_vmclear(const u64 *pointer) { return TRY_VMX("vmclear %2", "m"(*pointer)); }
static inline vmx_result try_vmptrld(const u64 *pointer) { return TRY_VMX("vmptrld %2", "m"(*pointer)); }
static inline vmx_result try_vmxoff(void) { return TRY_VMX("vmxoff", "i"(0)); }
static inline vmx_result try_vmcall(u32 eax) { return TRY_VMX("vmcall", "a"(eax)); }
static inline vmx_result try_vmlaunch(void) { return TRY_VMX("vmlaunch", "i"(0)); }
static inline vmx_result try_vmresume(void) { return TRY_VMX("vmresume", "i"(0)); }

static inline vmx_result try_vmwrite(u64 field, u64 value)
{
	return TRY_VMX("vmwrite %3, %2", "r"(field), "r"(value));
}

static inline vmx_result try_invept(u64 type, const struct inv_descriptor *d)
{
	return TRY_VMX("invept %3, %2", "r"(type), "m"(*d));
}

static inline vmx_result try_invvpid(u64 type, const struct inv_descriptor *d)
{
	return TRY_VMX("invvpid %3, %2", "r"(type), "m"(*d));
}

static inline vmx_result try_vmptrst(u64 *pointer)
{
	return TRY_VMX("vmptrst (%2)", "r"(pointer));
}

/* *value is left alone where VMREAD fails, as the manual says of its destination. */
static inline vmx_result try_vmread(u64 field, u64 *value)
{
	return TRY_VMX("vmread %2, (%3)", "r"(field), "r"(value));
}

#endif
