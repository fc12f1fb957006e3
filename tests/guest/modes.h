/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses that modes.S and modes.c share. */
#ifndef GUEST_MODES_H
#define GUEST_MODES_H

#define MODE_LOG 0x7000			/* below 1 MiB: real mode writes it too; 0x7100 and 0x7200 are its scratch */
#define MODE_VIRTUAL 0x40000000		/* mapped to mode_pages[] in the 32-bit modes */
#define MODE_UNMAPPED 0x60000000
#define SEL_MODE_TSS 0x58		/* the last entry of struct cpu's GDT */

#endif
