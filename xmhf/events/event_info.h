/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of each event before any hypapp is asked: one table, for the check of descriptors, the chains, hypapi's
 * calls, reports and the trace. A new event is a row here, its arguments in hypapi/event.h, and a page in docs/events/.
 */
#ifndef XMHF_EVENT_INFO_H
#define XMHF_EVENT_INFO_H

#include <hypapi/hypapp.h>

#include "lib/base.h"

/* A member of an event. */
struct event_member {
	u8 at, bytes; /* 0 bytes: none */
};

/* A bool in an event, and what it is in the trace's access. */
struct event_flag {
	u8 at, bit;
};

struct event_info {
	const char *name;
	u32 levels;       /* where it occurs, mask of HYPAPI_LEVEL_BIT(); 0: this core does not raise it */
	bool two_phase;   /* may be subscribed to with two_phase */
	bool exclusive;   /* one hypapp alone at each level, since it can take the thing away from the guest */
	bool any_level;   /* 1.0 did not look at the levels of a subscription */
	bool one_handler; /* a hypapp that subscribes twice has one handler called */
	u32 capabilities; /* that a subscription needs */
	u32 comes_by;     /* capabilities: without one of them the event never comes */
	u32 withheld;     /* capabilities that no hypapp has in this event */
	bool raises;      /* an exception may be raised in the guest; the others only tell */
	bool enters;      /* a partition may be entered */
	bool repeats;     /* of an instruction that can begin again: a stop without budget is put off, else charged */
	struct event_member number, access, address, value; /* what the trace tells under these names */
	struct event_flag flags[2]; /* what it tells in `access`, too */
};

extern const struct event_info event_info[HYPAPI_EV_COUNT];

#endif
