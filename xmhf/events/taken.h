/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One answer for all who may take what a guest did or what comes for it: hypapps by the events of events/events.h, the
 * core's own hypercalls, the guards of APIC, wake and power-management ports, and the owner of a partition.
 */
#ifndef XMHF_TAKEN_H
#define XMHF_TAKEN_H

enum taken {
	NOT_TAKEN, /* nothing was done: the next one is asked, and at last it is the guest's or L1's */
	ANSWERED,  /* the result is in the arguments, and the caller completes the instruction */
	TAKEN,     /* nothing is left to do: carried out, or a fault was raised, or the guest tries again */
};

#endif
