/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An exception in root that nobody expects. In a hypapp, or in a call that it makes: it is named, with event, handler,
 * function, lines, registers and a back trace, the memory of partitions is wiped, and the machine reset. A fault of the
 * core's own panics.
 */
#ifndef XMHF_FAULT_H
#define XMHF_FAULT_H

#include "cpu/traps.h"

/* On the stack for exceptions. */
_Noreturn void fault_in_root(const struct trap_frame *frame);

#endif
