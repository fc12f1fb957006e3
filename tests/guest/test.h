/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the VMX tests share: printing of results and VM exits by the transcript rule (only what the SDM defines for that
 * exit), and a loop that runs one piece of L2 code to its end. Each test file holds tables and L2 code on top of it.
 */
#ifndef GUEST_TEST_H
#define GUEST_TEST_H

#include "hv/hv.h"

#define L2_END 0xe0d		/* RAX of the VMCALL that ends a piece of L2 code */
#define HIGH_GPA 0x100000000ull	/* 4 GiB: above everything that the identity EPT maps */
#define UNMAPPED ((u64 *)0x140000000)	/* canonical, but not in our page tables */
#define NONCANONICAL ((u64 *)0x8000000000000000)

/* "T what: ok", "VMfailInvalid", "VMfail 7" or "#GP(0)". */
void t_result(const char *what, vmx_result result);
void t_fault(const char *what, u32 vector);
void t_check(const char *what, bool is_true);
/* One line for the exit in v->exit. */
void t_exit(const char *what, const struct vcpu *v);

/* The numbers of t_exit()'s line, one by one. */
void t_note_exit(const struct vm_exit *e, void (*note)(const char *what, u64 value));
/* Whether an exit of this reason has an instruction length. */
bool t_has_length(u32 reason);

/* Called for each exit but the end; true: dealt with, false: the default (skip the instruction) shall follow. */
typedef bool (*exit_handler)(struct vcpu *v);

/*
 * Enters v again and again, printing each exit, until L2 calls L2_END, or an exit comes that has no instruction to skip
 * and that the handler does not take. Returns false in that last case and when an entry fails.
 */
bool t_run(const char *what, struct vcpu *v, exit_handler handler);
/* hv_init() of the file's common vcpu, then t_run(). `prepare` may change the VMCS. */
bool t_l2(const char *what, enum hv_mode mode, const void *code, void (*prepare)(struct vcpu *), exit_handler handler);
/* The vcpu of t_l2(). */
extern struct vcpu l2;

static inline void l2_end(void) { l2_vmcall(L2_END); }
/* VMCALL that reports a value into the transcript. */
static inline void l2_report(u64 value) { l2_vmcall(0x1000000000000ull | value); }

#endif
