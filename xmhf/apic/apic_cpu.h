/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a CPU has of the guest's local APIC. Written by its CPU, but for `request`. */
#ifndef XMHF_APIC_CPU_H
#define XMHF_APIC_CPU_H

#include "lib/base.h"

/* What another CPU may ask of this one. */
enum cpu_request { REQUEST_NONE, REQUEST_INIT, REQUEST_SIPI };

struct apic_cpu {
	u64 base;       /* IA32_APIC_BASE as the guest sees it */

	/* Other CPUs read these while they have this one stopped. */
	u32 logical_id; /* LDR of xAPIC mode, bits 31:24, as the guest last wrote it */
	bool parked;    /* waits for SIPI in root */

	/* And write this, then. */
	_Atomic u32 request; /* enum cpu_request | SIPI vector << 8 */
};

#endif
