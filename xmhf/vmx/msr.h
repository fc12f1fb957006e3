/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The MSRs that the core does not leave to the guest. msr_read() and msr_write() are in vmx/exit.h. */
#ifndef XMHF_MSR_H
#define XMHF_MSR_H

/* Fills vmx_msr_bitmap from the policy table. Once, after smp mode is chosen. */
void msr_init(void);

#endif
