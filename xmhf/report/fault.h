/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An exception in root that nobody expects. In a hypapp, or in a call that it makes: it is named, with event, handler,
 * function, lines, registers and a back trace; then it is dropped (events/drop.h), or the memory of partitions is
 * wiped, and the machine reset. A fault of the core's own panics.
 */
#ifndef XMHF_FAULT_H
#define XMHF_FAULT_H

#include "cpu/traps.h"

/* On the stack for exceptions. Returns, with another frame to return to, if the hypapp is dropped. */
void fault_in_root(struct trap_frame *frame);

#endif
