/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MTRRs of one CPU as the guest has written them. Owner: the CPU. */
#ifndef XMHF_MTRR_CPU_H
#define XMHF_MTRR_CPU_H

#include "lib/base.h"

struct mtrr_cpu {
	u64 def_type;
	u64 fixed[11];
	u64 var[32]; /* base, mask in turn */
};

#endif
