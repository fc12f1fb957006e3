/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of an exception that comes up while an event is being delivered: Intel SDM vol. 3, "Interrupt 8 - Double
 * Fault Exception (#DF)". Without it an event whose stack or gate lies in memory that is not the guest's would be
 * answered by #GP, whose delivery ends in the same #GP, for ever. Pure. Callers: vmx_raise(), host tests.
 */
#ifndef XMHF_DOUBLE_FAULT_H
#define XMHF_DOUBLE_FAULT_H

#include "cpu/x86.h"
#include "vmx/vmcs.h"

#define SHUTDOWN 256 /* no vector: a triple fault */

#define CONTRIBUTORY_FAULTS (BIT(VEC_DE) | BIT(VEC_TS) | BIT(VEC_NP) | BIT(VEC_SS) | BIT(VEC_GP) | BIT(VEC_CP))
#define PAGE_FAULTS (BIT(VEC_PF) | BIT(VEC_VE))

/* first: IDT-vectoring information of the exit; vector: the exception. The answer: a vector, or SHUTDOWN. */
static inline u32 double_fault(u32 first, u32 vector)
{
	u64 before = BIT(first & 63), now = BIT(vector & 63);

	if ((first & (INTR_VALID | INTR_TYPE)) != (INTR_VALID | INTR_TYPE_HW_EXCEPTION))
		return vector;
	if (before == BIT(VEC_DF))
		return now & (CONTRIBUTORY_FAULTS | PAGE_FAULTS) ? SHUTDOWN : vector;
	if ((before & (CONTRIBUTORY_FAULTS | PAGE_FAULTS)) && (now & CONTRIBUTORY_FAULTS))
		return VEC_DF;
	return before & PAGE_FAULTS && now & PAGE_FAULTS ? VEC_DF : vector;
}

#endif
