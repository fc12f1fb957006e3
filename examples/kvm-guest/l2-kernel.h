/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the L2 kernel (ring 0) and its one program (ring 3); both see the same memory from user_start on. */
#ifndef L2_KERNEL_H
#define L2_KERNEL_H

#include <stdint.h>

#include "../libtv/tv_hypercall.h"
#include "l2.h"

/*
 * Written by ring 3 before it tries something; a page fault or INT3 then continues at `rip` with RAX = 1, and clears
 * `rip`.
 */
struct recovery {
	uint64_t rip, rsp;
	uint64_t cr2, error_code; /* of the fault */
};
extern struct recovery recovery[L2_MAX_VCPUS]; /* in l2-user.c */

/* What ring 3 asks of the kernel, by INT L2_VECTOR: RAX is an enum l2_call and then the answer, enum tv_result. */
enum l2_call {
	L2_CALL_REGISTER,   /* RDI: a PAL's first page, of code, data, param and stack; RSI: struct tv_list_entry */
	L2_CALL_UNREGISTER,
	L2_CALL_STATUS,     /* answers enum tv_why, + 256 if the PAL is there */
};
#define L2_VECTOR 31 /* of the CPU's own, but none that it uses */

void user_main(uint32_t vcpu, uint32_t vcpus, uint32_t rounds);

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

#endif
