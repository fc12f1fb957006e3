/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See store.h. Encodings: Intel SDM vol. 2, "Instruction Format". */
#include "apic/store.h"

enum { SEG_DS = 3, REG_AX = 0 };
enum { REX_R = 4, REX_W = 8 };

struct decoder {
	const u8 *insn;
	unsigned int at, bytes, code_size;
	unsigned int operand_size, address_size, rex;
	bool lock;
	struct store store;
};

static u8 peek(const struct decoder *d)
{
	return d->at < d->bytes ? d->insn[d->at] : 0;
}

static u8 next(struct decoder *d)
{
	u8 byte = peek(d);

	d->at++;
	return byte;
}

static u64 next_value(struct decoder *d, unsigned int size)
{
	u64 value = 0;

	for (unsigned int i = 0; i < size; i++)
		value |= (u64)next(d) << 8 * i;
	return value;
}

/* True: it was one, and is noted. */
static bool prefix(struct decoder *d, u8 byte)
{
	static const u8 segments[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

	for (u8 i = 0; i < ARRAY_SIZE(segments); i++) {
		if (byte == segments[i]) {
			d->store.segment = i;
			return true;
		}
	}
	if (byte == 0x66)
		d->operand_size = d->code_size == 16 ? 4 : 2;
	else if (byte == 0x67)
		d->address_size = d->code_size == 32 ? 2 : 4;
	else if (byte == 0xf2 || byte == 0xf3)
		d->store.rep = true;
	else if (byte == 0xf0)
		d->lock = true;
	else
		return false;
	return true;
}

static void prefixes(struct decoder *d)
{
	while (d->at < d->bytes && prefix(d, peek(d)))
		d->at++;
	if (d->code_size == 64 && (peek(d) & 0xf0) == 0x40)
		d->rex = next(d);
	if (d->rex & REX_W)
		d->operand_size = 8;
}

/* Skips ModRM, SIB and displacement. False: the operand is a register. `reg` is taken from it. */
static bool modrm(struct decoder *d)
{
	u8 byte = next(d), mod = byte >> 6, rm = byte & 7;

	d->store.reg = (u8)((byte >> 3 & 7) | (d->rex & REX_R ? 8 : 0));
	if (mod == 3)
		return false;
	if (d->address_size == 2) {
		d->at += mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
		return true;
	}
	u8 base = rm == 4 ? next(d) & 7 : rm;

	d->at += mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
	return true;
}

/* Without REX the numbers 4 to 7 of byte registers are the high halves of the first four. */
static void byte_register(struct decoder *d)
{
	if (d->store.size != 1 || d->rex || d->store.reg < 4)
		return;
	d->store.reg &= 3;
	d->store.high_byte = true;
}

static bool operand(struct decoder *d, enum store_kind kind, u8 opcode)
{
	bool memory = modrm(d);

	d->store.kind = (u8)kind;
	d->store.size = (u8)(opcode & 1 ? d->operand_size : 1);
	byte_register(d);
	return memory;
}

static bool immediate(struct decoder *d, u8 opcode)
{
	if (!operand(d, STORE_MOV, opcode) || (d->store.reg & 7))
		return false;
	unsigned int bytes = MIN(d->store.size, 4);

	d->store.immediate = true;
	d->store.value = next_value(d, bytes);
	if (d->store.size == 8)
		d->store.value = (u64)(int64_t)(int)d->store.value;
	return true;
}

static bool string(struct decoder *d, enum store_kind kind, u8 opcode)
{
	d->store.kind = (u8)kind;
	d->store.size = (u8)(opcode & 1 ? d->operand_size : 1);
	d->store.reg = REG_AX;
	return true;
}

static bool by_opcode(struct decoder *d)
{
	u8 opcode = next(d);

	switch (opcode) {
	case 0x86: case 0x87:
		return operand(d, STORE_XCHG, opcode);
	case 0x88: case 0x89:
		return !d->lock && operand(d, STORE_MOV, opcode);
	case 0xc6: case 0xc7:
		return !d->lock && immediate(d, opcode);
	case 0xa2: case 0xa3:
		d->at += d->address_size;
		return !d->lock && string(d, STORE_MOV, opcode);
	case 0xa4: case 0xa5:
		return !d->lock && string(d, STORE_MOVS, opcode);
	case 0xaa: case 0xab:
		return !d->lock && string(d, STORE_STOS, opcode);
	case 0x0f:
		opcode = next(d);
		return (opcode & 0xfe) == 0xb0 && operand(d, STORE_CMPXCHG, opcode);
	}
	return false;
}

struct store store_decode(const u8 *insn, unsigned int bytes, unsigned int code_size)
{
	struct decoder d = {
		.insn = insn, .bytes = MIN(bytes, (unsigned int)STORE_MAX_INSN), .code_size = code_size,
		.operand_size = code_size == 16 ? 2 : 4, .address_size = code_size / 8, .store = { .segment = SEG_DS },
	};

	prefixes(&d);
	if (by_opcode(&d) && d.at <= d.bytes)
		d.store.len = (u8)d.at;
	d.store.address_size = (u8)d.address_size;
	return d.store;
}
