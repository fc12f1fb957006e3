/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an SMI runs: 16-bit code, copied to SMBASE + 0x8000 and entered there with IP 0x8000. The data segments are
 * based at 0 and reach 4 GiB (SDM vol. 3, "SMI Handler Execution Environment"); Bochs ignores the base of CS for
 * data, so CS is not used. It counts in its mailbox, and moves SMBASE where that says so. RSM gives back all
 * registers.
 */
	.section .rodata
	.globl smm_stub, smm_stub_mailbox, smm_stub_end
	.balign 16
	.code16
smm_stub:
	movl $0x12345678, %esi	/* the address of a struct smm_mailbox, filled in */
	.set smm_stub_mailbox, . - 4
	movl 4(%esi), %ebx
	testl %ebx, %ebx
	jz 1f
	movl 8(%esi), %eax
	movl %eax, (%ebx)
1:	incl (%esi)
	rsm
smm_stub_end:
