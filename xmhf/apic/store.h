/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding of an instruction that stores to a page which L1 may read and not write, but for some of its bytes. Pure,
 * so that it is tested on the host. What is known of it: MOV, XCHG, CMPXCHG, STOS and MOVS, in 16-, 32- and 64-bit
 * code. Where the store goes is known from the exit and not decoded. Caller: apic/guest_store.c.
 */
#ifndef XMHF_STORE_H
#define XMHF_STORE_H

#include "lib/base.h"

#define STORE_MAX_INSN 15

enum store_kind { STORE_MOV, STORE_XCHG, STORE_CMPXCHG, STORE_STOS, STORE_MOVS };

struct store {
	u8 len;          /* of the instruction in bytes, 0: not one that is known */
	u8 kind;         /* enum store_kind */
	u8 size;         /* of the store: 1, 2, 4 or 8 bytes */
	u8 reg;          /* whose value is stored, or that takes the old one; the encoding's number */
	bool high_byte;  /* it is AH, CH, DH or BH: bits 15:8 of `reg` */
	bool immediate;  /* `value` is stored instead */
	bool rep;        /* STOS, MOVS */
	u8 segment;      /* MOVS: of the source; ES, CS, SS, DS, FS, GS as the encoding has them */
	u8 address_size; /* MOVS, STOS: 2, 4 or 8 */
	u64 value;
};

/* code_size: 16, 32 or 64. Reads up to `bytes` bytes; an instruction that does not end there is not known. */
struct store store_decode(const u8 *insn, unsigned int bytes, unsigned int code_size);

#endif
