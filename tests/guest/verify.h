/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests on hypapps/verify share (verify.c has it): its hypercalls, the events that it and bystander have seen,
 * and notes, since L2 shares our memory but cannot print. Each line says "ok", or "T FAIL", which fails the case.
 */
#ifndef GUEST_VERIFY_H
#define GUEST_VERIFY_H

#include "test.h"

#define L2_BASE 0x4c415000u
enum {
	RESTRICT = 0x200, RIGHTS, VIOLATIONS, READ, WRITE, TRANSLATE, ERRORS, EVENTS, ANSWER, WINDOW, REGISTER, INJECT,
	CLEAR,
	PARTITION, RESTRICT_GPA2 = 0x20f, RIGHTS_GPA2, READ_GPA2, WRITE_GPA2,
};
enum type {
	PORT_IO = 6, MSR, MTRR, EXIT102, EXIT201, EXIT202, EPT02_ROOT, EPT02_FLUSH, INTERRUPT, NMI, INTERRUPT_WINDOW,
	INIT_SIGNAL = 19, SLEEP = 21, NMI_WINDOW,
};
enum verdict { PASS, HANDLED, DENY };
/* Beside the level of an event, from bit 8 on: seen by bystander, in which phase. */
#define BYSTANDER (1u << 8)
#define PREPARE (1u << 12)
#define ABORT (2u << 12)

extern u32 running;		/* level of the code that asks: 1 or 2 */

struct answer { u64 returned, result; };
struct answer verify_call(u32 number, u64 rcx, u64 rdx);

struct events { u64 count, last; };
struct events events(enum type type, u64 where);
/* How many more than `before`, and the last one's arguments. */
bool came(enum type type, u64 where, const struct events *before, u64 count, u64 last);
/* The hypapp answers so from now on. */
void answer_with(enum type type, u64 where, enum verdict verdict);

void note(const char *what, bool ok);
void print_notes(const char *where);

/* The file's vcpu runs `code` until it calls L2_END: true. `prepare` may change the VMCS. */
bool l2_runs(const void *code, void (*prepare)(struct vcpu *));

#endif
