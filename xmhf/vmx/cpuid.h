/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID as the guest sees it: the CPU's own, less what the core hides. */
#ifndef XMHF_CPUID_H
#define XMHF_CPUID_H

#include "cpu/percpu.h"

/* Where XMHF says that it is there (docs/options.md, announce): in EAX, if one alone runs. */
#define XMHF_LEAF 0x46484d58u

/* Executes CPUID for the guest's EAX and ECX; the answer goes to its registers. */
void cpuid_emulate(struct percpu *cpu);

#endif
