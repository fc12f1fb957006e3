/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operands of L1's VMX instructions, from the instruction information of the exit. VMCS01 is current. */
#ifndef XMHF_NESTED_OPERAND_H
#define XMHF_NESTED_OPERAND_H

#include "cpu/percpu.h"
#include "vmx/vmcs.h"

/* VM-exit instruction information, as VMREAD, VMWRITE, INVEPT, VMPTRLD ... share it */
#define OPERAND_IS_REG BIT(10)
#define OPERAND_REG1(info) ((info) >> 3 & 15)
#define OPERAND_REG2(info) ((info) >> 28 & 15)

u64 operand_reg(const struct percpu *cpu, u32 reg);
void operand_set_reg(struct percpu *cpu, u32 reg, u64 value);

/* The memory operand. False: a fault was injected, the instruction ends. Memory that L1 does not own reads as all ones. */
must_check bool operand_read(struct percpu *cpu, u32 info, bool long_mode, void *dst, size_t len_bytes);
must_check bool operand_write(struct percpu *cpu, u32 info, bool long_mode, const void *src, size_t len_bytes);

#endif
