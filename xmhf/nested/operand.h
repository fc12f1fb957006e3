/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operands of VMX instructions, from the instruction information of the exit: of L1's, with VMCS01 at hand. For L2's
 * VMREAD and VMWRITE there are the slow functions, with VMCS02 at hand.
 */
#ifndef XMHF_NESTED_OPERAND_H
#define XMHF_NESTED_OPERAND_H

#include "mem/guest.h"

/* VM-exit instruction information, as VMREAD, VMWRITE, INVEPT, VMPTRLD ... share it */
#define OPERAND_IS_REG BIT(10)
#define OPERAND_REG1(info) ((info) >> 3 & 15)
#define OPERAND_REG2(info) ((info) >> 28 & 15)

#define OPERAND_PAGES 8 /* that are kept; a power of two */

/* What a register operand gives or takes. */
static inline u64 operand_width(bool long_mode, u64 value)
{
	return long_mode ? value : (u32)value;
}

/*
 * Where a memory operand is, if that is plain; else NULL, and the slow functions do the access or inject its fault.
 */
void *operand_at(struct percpu *cpu, u32 info, bool long_mode, size_t len_bytes, bool write);
/*
 * False: a fault was injected, or L1 runs with the EPT violation of L2. Memory that nobody has reads as all ones.
 */
must_check bool operand_read_slow(struct percpu *cpu, u32 info, bool long_mode, void *dst, size_t len_bytes);
must_check bool operand_write_slow(struct percpu *cpu, u32 info, bool long_mode, const void *src, size_t len_bytes);

/*
 * The memory operand. False: a fault was injected, the instruction ends. Memory that L1 does not own reads as all
 * ones.
 */
static always_inline must_check bool operand_read(struct percpu *cpu, u32 info, bool long_mode, void *dst,
						  size_t len_bytes)
{
	const void *at = operand_at(cpu, info, long_mode, len_bytes, false);

	if (unlikely(!at))
		return operand_read_slow(cpu, info, long_mode, dst, len_bytes);
	__builtin_memcpy(dst, at, len_bytes);
	return true;
}

static always_inline must_check bool operand_write(struct percpu *cpu, u32 info, bool long_mode, const void *src,
						   size_t len_bytes)
{
	void *at = operand_at(cpu, info, long_mode, len_bytes, true);

	if (unlikely(!at))
		return operand_write_slow(cpu, info, long_mode, src, len_bytes);
	__builtin_memcpy(at, src, len_bytes);
	return true;
}

#endif
