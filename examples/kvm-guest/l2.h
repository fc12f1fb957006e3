/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the L2 kernel and the program that starts it (kvm-guest.c) agree upon.
 *
 * The image is loaded at L2_LOAD and entered there in 32-bit protected mode, flat segments, paging off, with
 * EBX = number of this vCPU, ESI = number of vCPUs, EDI = stress rounds. Reports are 32-bit OUTs.
 */
#ifndef L2_H
#define L2_H

#define L2_MAX_VCPUS 2
#define L2_MEMORY 0x400000 /* bytes; also what its page tables map */
#define L2_LOAD 0x100000

#define L2_PORT_PRINT 0x500 /* EAX: address of a string that ends with NUL: one line */
#define L2_PORT_PING 0x504  /* nothing: the round trip that is measured */
#define L2_PORT_LOOK 0x508  /* EAX: address of a PAL; an IN from here then tells if L1 sees anything of it */
#define L2_PORT_SPOIL 0x50c /* EAX: address of a word; L1 writes L2_SPOILED there */
#define L2_PORT_EXIT 0x510  /* EAX: 0 if all went well; ends the machine */
#define L2_PORT_ROLE 0x514  /* an IN tells an enum l2_role */
#define L2_PORT_MEET 0x518  /* waits until the other machine does the same */
/*
 * EAX: address of a page, the same in both machines, + 1 if L1 shall not try for long. Both write, and it returns when
 * L1 has merged the two pages or given up; an IN then tells which.
 */
#define L2_PORT_MERGE 0x51c
#define L2_PORT_WAY 0x520   /* an IN tells L2_WAY_... */

/* One machine alone, or two, of which one tries to take over the other's function. */
enum l2_role { L2_ALONE, L2_VICTIM, L2_ATTACKER };

/*
 * EAX: address of a page + enum l2_disturbance: what L1's Linux shall do to it. An IN then tells whether it did.
 */
#define L2_PORT_DISTURB 0x524

enum l2_disturbance { L2_MOVE = 1, L2_COLLAPSE, L2_PAGE_OUT, L2_DISTURBANCES };

/*
 * An IN tells an enum l2_last: what the machine shall be at when it is killed. EAX of an OUT: address of the PAL, whose
 * machine is at it now, or begins in this moment.
 */
#define L2_PORT_LAST 0x528

enum l2_last { L2_LIVES, L2_REGISTERS, L2_RESTS, L2_CALLS, L2_IN_PAL, L2_LASTS };

#define L2_WAY_LIST 1u  /* the L2 kernel registers PALs, by list */
#define L2_WAY_QUICK 2u /* nothing is measured */
#define L2_WAY_DISTURB 4u /* nothing else, and L1 is asked to disturb */

#define L2_LOOK_PAGES 4
#define L2_SPOILED 4712

#endif
