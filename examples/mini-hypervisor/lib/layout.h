/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Constants that assembly and C of a bare-metal guest share: selectors, fixed addresses, offsets in struct cpu and the
 * few architectural bits that both need. Offsets are checked against the C struct in cpu.c.
 */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#define SEL_CODE64 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x18
#define SEL_USER_CODE32 0x23
#define SEL_USER_DATA 0x2b
#define SEL_USER_CODE64 0x33
#define SEL_CODE16 0x38
#define SEL_DATA16 0x40
#define SEL_TSS 0x48

#define AP_TRAMPOLINE 0x8000	/* one page below 1 MiB; SIPI vector 8 */
#define AP_FIRST_STATE 0x8ff0	/* what a CPU found when it started: CR0, EDX, CS, FLAGS */
#define LOW_CODE 0x9000		/* one page for real-mode pieces of tests */
#define LOW_STACK 0xb000	/* their stack grows down from here */
#define POOL_START 0x1000000	/* page_alloc() hands out this range */
#define POOL_END 0x3000000

#define CPU_FIXUP 8
#define CPU_USER_RETURN_RSP 16

#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_EM 0x4
#define CR0_TS 0x8
#define CR0_NE 0x20
#define CR0_WP 0x10000
#define CR0_AM 0x40000
#define CR0_NW 0x20000000
#define CR0_CD 0x40000000
#define CR0_PG 0x80000000

#define CR4_TSD 0x4
#define CR4_DE 0x8
#define CR4_PSE 0x10
#define CR4_PAE 0x20
#define CR4_PGE 0x80
#define CR4_OSFXSR 0x200
#define CR4_UMIP 0x800
#define CR4_VMXE 0x2000
#define CR4_FSGSBASE 0x10000
#define CR4_PCIDE 0x20000
#define CR4_OSXSAVE 0x40000

#define MSR_EFER 0xc0000080
#define EFER_SCE 0x1
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define EFER_NXE 0x800

#endif
