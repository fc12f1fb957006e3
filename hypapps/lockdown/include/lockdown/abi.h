/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lockdown's guest interface: numbers that hypervisor and guest programs share. VMCALL with EAX = call, plus the L2
 * hypercall base in L2; EAX answers enum lockdown_result. Includes nothing.
 */
#ifndef LOCKDOWN_ABI_H
#define LOCKDOWN_ABI_H

#define LOCKDOWN_VERSION 1u

enum lockdown_call {
	LOCKDOWN_STATUS = 0x400, /* EBX: enum lockdown_environment that runs, ECX: how many there are, EDX:
	                            LOCKDOWN_VERSION */
	/* Those that follow are for CPL 0, else #UD. */
	LOCKDOWN_SWITCH = 0x401, /* ECX: enum lockdown_environment that shall run */
	LOCKDOWN_GUARD = 0x402,  /* RCX: linear address. From now on no code runs from its page, until a reset */
	LOCKDOWN_COUNTS = 0x403, /* on all CPUs, RBX: accesses to the disk's ports, RCX: commands refused, RDX: fetches
	                            refused */
	LOCKDOWN_LAST = 0x40f,   /* claimed; those between are #UD */
};

enum lockdown_environment {
	LOCKDOWN_RED = 1,   /* untrusted: any code, any site */
	LOCKDOWN_GREEN = 2, /* trusted: approved code, approved sites */
};

enum lockdown_result {
	LOCKDOWN_OK = 0,
	LOCKDOWN_E_ABSENT = 1, /* switch: there is no such environment */
	LOCKDOWN_E_LEVEL = 2,  /* switch: not from L2 */
	LOCKDOWN_E_FAULT = 3,  /* guard: the caller cannot read there, or the page has another owner */
};

#endif
