/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of xmhf/vmx/vmx_insn.h: a VMCS is an array of fields, INVEPT and INVVPID act on the TLB of mmu.c. */
#ifndef XMHF_VMX_INSN_H
#define XMHF_VMX_INSN_H

#include "core/insn_counts.h"
#include "lib/base.h"
#include "vmx/vmcs.h"

bool vmx_is_on(void);
_Noreturn void vmx_field_failed(const char *insn, u32 field, u64 value);

bool vmx_vmread(u32 field, u64 *value);
must_check bool vmx_vmwrite(u32 field, u64 value);
must_check bool vmxon(hpa_t region);
must_check bool vmclear(hpa_t region);
must_check bool vmptrld(hpa_t region);
must_check bool invept(enum invept_type type, u64 eptp);
must_check bool invvpid(enum invvpid_type type, u16 vpid, u64 linear);

static inline u64 vmread(u32 field)
{
	u64 v;

	if (unlikely(!vmx_vmread(field, &v)))
		vmx_field_failed("VMREAD", field, 0);
	return v;
}

static inline u64 vmread_again(u32 field) { return vmread(field); }

static inline void vmwrite(u32 field, u64 value)
{
	if (unlikely(!vmx_vmwrite(field, value)))
		vmx_field_failed("VMWRITE", field, value);
}

#endif
