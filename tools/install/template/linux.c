/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program for Linux that calls @NAME@: `make linux` runs it in L1, `make linux LEVEL=2` in a KVM guest, in L2. Any
 * .c file here is such a program: `make linux PROGRAM=its_name`. It is linked statically, for nothing else is there.
 */
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>

enum { CALL_COUNT = 0x200 };
#define L2_BASE 0x4c415000u /* what L2 adds to a hypercall's number: hypapi_l2_hypercall_base() */

/* KVM's guests see by CPUID that there is a hypervisor; L1 does not. */
static int level(void)
{
	unsigned int eax, ebx, ecx, edx;

	__cpuid(1, eax, ebx, ecx, edx);
	return ecx >> 31 ? 2 : 1;
}

int main(void)
{
	uint64_t rax = (level() == 2 ? L2_BASE : 0) + CALL_COUNT, rbx = 0;

	__asm__ volatile("vmcall" : "+a"(rax), "+b"(rbx) :: "memory");
	printf("L%d: RAX %ld, RBX %ld\n", level(), (long)rax, (long)rbx);
	return rax != 0; /* `make linux` fails then */
}
