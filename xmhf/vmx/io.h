/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port I/O of the guest on the few ports that the core intercepts. */
#ifndef XMHF_IO_H
#define XMHF_IO_H

#include "vmx/exit.h"

/* Exit reason 30, for L1 and for L2 where L1 does not want it. VMCS01 or VMCS02 is current. */
exit_handler exit_io;

#endif
