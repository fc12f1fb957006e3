/* SPDX-License-Identifier: GPL-2.0-or-later */
/* General registers of a guest, by the number of the instruction encoding. [GPR_RSP] is unused: the VMCS has it. */
#ifndef XMHF_GPR_H
#define XMHF_GPR_H

enum gpr { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_R8, GPR_R15 = 15, GPR_COUNT };

#endif
