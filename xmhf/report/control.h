/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's own hypercalls: hypapi/control.h says what they answer. */
#ifndef XMHF_CONTROL_H
#define XMHF_CONTROL_H

#include "cpu/percpu.h"
#include "events/taken.h"

/* A VMCALL that no hypapp claims; never ANSWERED. */
must_check enum taken control_hypercall(struct percpu *cpu);

#endif
