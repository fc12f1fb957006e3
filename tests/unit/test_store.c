/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding of stores: the forms that operating systems use on ACPI tables, in 16-, 32- and 64-bit code, and all that is
 * cut short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apic/store.h"

enum { NONE = 0 };

static const struct row {
	unsigned int code_size;
	const char *insn;
	unsigned int bytes; /* and the length expected, but for those that are not known */
	int kind;           /* -1: not known */
	unsigned int size, reg;
	int64_t immediate;  /* 0: none */
	unsigned int flags; /* 1: high byte, 2: REP */
} rows[] = {
	{ 64, "\x89\x77\x0c", 3, STORE_MOV, 4, 6, 0, 0 },                                  /* mov %esi, 12(%rdi) */
	{ 64, "\x48\x89\x77\x18", 4, STORE_MOV, 8, 6, 0, 0 },                              /* mov %rsi, 24(%rdi) */
	{ 64, "\x4c\x89\x84\x88\x10\x00\x00\x00", 8, STORE_MOV, 8, 8, 0, 0 },             /* mov %r8, 16(%rax,%rcx,4) */
	{ 64, "\x44\x89\x05\x01\x02\x03\x04", 7, STORE_MOV, 4, 8, 0, 0 },                  /* mov %r8d, disp(%rip) */
	{ 64, "\x66\x89\x04\x25\x00\x10\x00\x00", 8, STORE_MOV, 2, 0, 0, 0 },              /* mov %ax, 0x1000 */
	{ 64, "\x88\x67\x0c", 3, STORE_MOV, 1, 0, 0, 1 },                                  /* mov %ah, 12(%rdi) */
	{ 64, "\x40\x88\x67\x0c", 4, STORE_MOV, 1, 4, 0, 0 },                              /* mov %spl, 12(%rdi) */
	{ 64, "\xc7\x47\x0c\x00\x90\x00\x00", 7, STORE_MOV, 4, 0, 0x9000, 0 },             /* movl $0x9000, 12(%rdi) */
	{ 64, "\x48\xc7\x47\x18\xff\xff\xff\xff", 8, STORE_MOV, 8, 0, -1, 0 },             /* movq $-1, 24(%rdi) */
	{ 64, "\x66\xc7\x47\x0c\x34\x12", 6, STORE_MOV, 2, 0, 0x1234, 0 },
	{ 64, "\xc6\x47\x0c\x5a", 4, STORE_MOV, 1, 0, 0x5a, 0 },
	{ 64, "\xa3\x01\x02\x03\x04\x05\x06\x07\x08", 9, STORE_MOV, 4, 0, 0, 0 },
	{ 32, "\xa3\x01\x02\x03\x04", 5, STORE_MOV, 4, 0, 0, 0 },
	{ 16, "\xa3\x01\x02", 3, STORE_MOV, 2, 0, 0, 0 },
	{ 64, "\xf0\x0f\xb1\x17", 4, STORE_CMPXCHG, 4, 2, 0, 0 },                        /* lock cmpxchg %edx, (%rdi) */
	{ 64, "\xf0\x48\x0f\xb1\x57\x10", 6, STORE_CMPXCHG, 8, 2, 0, 0 },
	{ 64, "\x87\x47\x10", 3, STORE_XCHG, 4, 0, 0, 0 },
	{ 32, "\x86\x1d\x00\x10\x00\x00", 6, STORE_XCHG, 1, 3, 0, 0 },
	{ 64, "\xf3\x48\xab", 3, STORE_STOS, 8, 0, 0, 2 },
	{ 64, "\xf3\xa4", 2, STORE_MOVS, 1, 0, 0, 2 },
	{ 64, "\xa5", 1, STORE_MOVS, 4, 0, 0, 0 },
	{ 32, "\x64\x89\x0b", 3, STORE_MOV, 4, 1, 0, 0 },                                  /* mov %ecx, %fs:(%ebx) */
	{ 32, "\x67\x89\x0e\x34\x12", 5, STORE_MOV, 4, 1, 0, 0 },                          /* addr16: disp16 */
	{ 32, "\x40", 1, -1, 0, 0, 0, 0 },                                                 /* INC, no REX here */
	{ 16, "\x89\x0e\x34\x12", 4, STORE_MOV, 2, 1, 0, 0 },
	{ 16, "\x66\x89\x47\x0c", 4, STORE_MOV, 4, 0, 0, 0 },
	{ 16, "\x67\x66\x89\x48\x0c", 5, STORE_MOV, 4, 1, 0, 0 },
	{ 64, "\x01\x47\x0c", 3, -1, 0, 0, 0, 0 },                                         /* ADD */
	{ 64, "\x89\xf7", 2, -1, 0, 0, 0, 0 },                                             /* to a register */
	{ 64, "\xc7\x4f\x0c\x00\x90\x00\x00", 7, -1, 0, 0, 0, 0 },                         /* /1 */
	{ 64, "\xf0\x89\x77\x0c", 4, -1, 0, 0, 0, 0 },                                     /* LOCK MOV is #UD */
	{ 64, "\x0f\x29\x07", 3, -1, 0, 0, 0, 0 },                                         /* MOVAPS */
};

static void all_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		struct store s = store_decode((const u8 *)r->insn, r->bytes, r->code_size);
		bool ok = r->kind < 0 ? s.len == 0 :
			  s.len == r->bytes && s.kind == r->kind && s.size == r->size && s.reg == r->reg &&
			  s.immediate == (r->immediate != 0) && (!r->immediate || (int64_t)s.value == r->immediate) &&
			  s.high_byte == (r->flags & 1) && s.rep == ((r->flags & 2) != 0);

		if (!ok)
			fail_msg("row %zu: len %u kind %u size %u reg %u", i, s.len, s.kind, s.size, s.reg);
	}
}

/* One byte less is never taken for a whole instruction; the sanitizer watches the end. */
static void cut_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned int bytes = 0; rows[i].kind >= 0 && bytes < rows[i].bytes; bytes++) {
			u8 *exact = test_malloc(bytes + 1);

			memcpy(exact, rows[i].insn, bytes);
			if (store_decode(exact, bytes, rows[i].code_size).len)
				fail_msg("row %zu is known by %u bytes", i, bytes);
			test_free(exact);
		}
	}
}

static void only_prefixes(void **state)
{
	u8 insn[STORE_MAX_INSN];

	(void)state;
	memset(insn, 0x66, sizeof(insn));
	assert_int_equal(store_decode(insn, sizeof(insn), 64).len, NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_forms), cmocka_unit_test(cut_short), cmocka_unit_test(only_prefixes),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
