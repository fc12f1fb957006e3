/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's own hypercalls: hypapi/control.h says what they answer. */
#ifndef XMHF_CONTROL_H
#define XMHF_CONTROL_H

#include "cpu/percpu.h"

/* A VMCALL of L1 that no hypapp claims: true if it is not the core's either, and nothing was done. */
must_check bool control_hypercall(struct percpu *cpu);

#endif
