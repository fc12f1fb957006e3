/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of xmhf/vmx/vmx_insn.h: a VMCS is an array of fields, INVEPT and INVVPID act on the TLB of mmu.c. */
#ifndef XMHF_VMX_INSN_H
#define XMHF_VMX_INSN_H

#include "hypapi/sim/flushes.h"
#include "lib/base.h"
#include "report/insn_counts.h"
#include "vmx/vmcs.h"

bool vmx_is_on(void);
_Noreturn void vmx_field_failed(const char *insn, u32 field, u64 value);

bool vmx_vmread(u32 field, u64 *value);
must_check bool vmx_vmwrite(u32 field, u64 value);
must_check bool vmxon(const hpa_t *region);
must_check bool vmclear(const hpa_t *region);
must_check bool vmptrld(const hpa_t *region);
must_check bool machine_invept(enum invept_type type, u64 eptp);
must_check bool machine_invvpid(enum invvpid_type type, u16 vpid, u64 linear);

#define invept(type, eptp) (FLUSH_REMOVED("invept(" #type ", " #eptp ")") || machine_invept(type, eptp))
#define invvpid(type, vpid, linear)                                                                                  \
	(FLUSH_REMOVED("invvpid(" #type ", " #vpid ", " #linear ")") || machine_invvpid(type, vpid, linear))
#define flush_ept(type, eptp) ((void)(FLUSH_REMOVED("flush_ept(" #type ", " #eptp ")") || machine_invept(type, eptp)))
#define flush_vpid(type, vpid)                                                                                       \
	((void)(FLUSH_REMOVED("flush_vpid(" #type ", " #vpid ")") || machine_invvpid(type, vpid, 0)))

static inline u64 vmread(u32 field)
{
	u64 v;

	if (unlikely(!vmx_vmread(field, &v)))
		vmx_field_failed("VMREAD", field, 0);
	return v;
}

static inline void vmwrite(u32 field, u64 value)
{
	if (unlikely(!vmx_vmwrite(field, value)))
		vmx_field_failed("VMWRITE", field, value);
}

#define vmread_row(field) vmread(field)
#define vmwrite_row(field, value) vmwrite(field, value)

#endif
