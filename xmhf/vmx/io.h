/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port I/O of the guest on the ports that the core intercepts or a hypapp claims. */
#ifndef XMHF_IO_H
#define XMHF_IO_H

#include "events/events.h"
#include "mem/guest.h"
#include "vmx/exit.h"

/* One access: what the instruction says, its value, and what its memory operand came to. */
struct io {
	struct hypapi_port_io_args args; /* count 0: a REP that has nothing to do */
	u64 mask;                        /* of RAX, or of the address registers of a string form */
	enum guest_access_result result; /* of fetching the memory operand */
	struct guest_fault fault;
};

/* Fetches the access and asks the hypapps, unless its memory operand faults. VMCS01 or VMCS02 is current. */
must_check enum taken io_offer(struct percpu *cpu, struct io *io);
/* Does what the core does without hypapps; or the fault. */
void io_perform(struct percpu *cpu, struct io *io);
/* The access is done: its result goes where the instruction wants it. */
void io_complete(struct percpu *cpu, struct io *io);

/* Exit reason 30, for L1 and for L2 where L1 does not want it. VMCS01 or VMCS02 is current. */
exit_handler exit_io;

#endif
