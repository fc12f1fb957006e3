/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share: see verify.c. */
#ifndef VERIFY_H
#define VERIFY_H

#include <hypapi/hypapi.h>

/* Hypercalls, for the guest. Answers: EAX 0; RBX what the call returned, RDX its result. */
enum {
	VERIFY_RESTRICT = 0x200, VERIFY_RIGHTS, VERIFY_VIOLATIONS, VERIFY_READ, VERIFY_WRITE, VERIFY_TRANSLATE,
	VERIFY_ERRORS,
	VERIFY_EVENTS, VERIFY_ANSWER, VERIFY_WINDOW, VERIFY_REGISTER, VERIFY_INJECT, VERIFY_CLEAR, VERIFY_PARTITION,
	VERIFY_OVERFLOW, /* of the root stack, on purpose */
	VERIFY_RESTRICT_GPA2, VERIFY_RIGHTS_GPA2, VERIFY_READ_GPA2, VERIFY_WRITE_GPA2,
	VERIFY_FAULT, /* of this hypapp, on purpose */
	VERIFY_LAST = VERIFY_FAULT
};

/* The two hypapps of this folder. */
enum { VERIFY, BYSTANDER, APPS };

/* What they saw of an event, and what they answer: to the guest's wish, PASS at first. Updated by atomic operations. */
struct seen { uint64_t count, last; };
extern struct seen verify_seen[APPS][HYPAPI_ABORT + 1][HYPAPI_EV_COUNT][HYPAPI_L2 + 1];
extern uint8_t verify_answers[APPS][HYPAPI_EV_COUNT][HYPAPI_L2 + 1];

/* Notes an event, and returns the answer to it. */
enum hypapi_verdict verify_note(const struct hypapi_event *ev, uint32_t app, uint64_t arguments);

/* 1 and a line in the log if a call did not answer what its documentation says; also counted for verify_wrong(). */
uint64_t verify_expect(const char *what, int64_t got, int64_t wanted);

/* errors.c: what was wrong in the calls that it makes, and in all before them. In a hypercall, the CPUs not stopped. */
uint64_t verify_errors(struct hypapi_event *ev);
/*
 * The same in an event of level L0, in INIT_SIGNAL, where none of the guest's state can be reached, and in a hypapp
 * without capabilities.
 */
void verify_errors_l0(struct hypapi_event *ev);
void verify_errors_no_guest(struct hypapi_event *ev);
void verify_errors_bare(struct hypapi_event *ev);

/*
 * partition.c: of 64 pages from `pages` on, whose first begins with UD2. Answers when the partition has run; true: it
 * runs next.
 */
bool verify_partition(struct hypapi_event *ev, uint64_t pages);
enum hypapi_verdict verify_partition_exit(struct hypapi_event *ev);

/* Ends a hypercall. */
void verify_answer(struct hypapi_event *ev, int64_t returned, uint64_t result);

#endif
