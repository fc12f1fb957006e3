/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest asks hypapps/careless for: EAX, with the L2 base in L2. Shared with the tests, which run it. */
#ifndef CARELESS_H
#define CARELESS_H

enum careless_call {
	/* Mistakes, each with a line of its own in the log. */
	CARELESS_NO_VERDICT = 0x240,
	CARELESS_ERROR_AS_VERDICT,
	CARELESS_KEEP,          /* the pointer to this event */
	CARELESS_KEPT_EVENT,    /* uses it */
	CARELESS_COPIED_EVENT,
	CARELESS_NO_REGISTER,
	CARELESS_NO_CAPABILITY,
	CARELESS_RETRY,         /* RCX: so often; 0: for ever */
	CARELESS_RESTRICT,      /* the page RCX may not be written; RDX: so often it says so wrongly, 0: for ever */
	CARELESS_SLOW,          /* RCX: ticks */
	CARELESS_ENDLESS,
	CARELESS_LOCKED,        /* returns with a lock held */
	CARELESS_FRESH,         /* RBX: the word at RSI */
	CARELESS_STAY,          /* RDX: enum careless_stay */
	/* What it has until it faults. */
	CARELESS_GUARD,         /* nobody writes to the page RCX */
	CARELESS_PARTITION,     /* of two pages from RCX on: code, data */
	CARELESS_ENTER,         /* RDX: verdict + 1; 0: that it is handled */
	CARELESS_ENTER_AGAIN,   /* from within the partition */
	CARELESS_PEEK,          /* RBX: the first word of its data */
	CARELESS_POST,          /* WORK, for the CPUs RCX */
	CARELESS_FAULT,         /* RCX: enum careless_fault */
	CARELESS_ARM,           /* the next event of type RCX faults so: RDX */
	CARELESS_SPIN,          /* a handler that lasts until one faults */
	CARELESS_LAST,
};

/* How a partition's caller does not come back: at its exits, or at CPUID of CARELESS_LEAF. */
enum careless_stay { STAY_NOT, STAY_AND_DO_NOTHING, STAY_BY_ENTERING, STAY_BY_CPUID };

enum careless_fault { FAULT_PF, FAULT_DE, FAULT_UD, FAULT_STOPPED, FAULT_OVERFLOW, FAULT_IN_CALL, FAULT_LOCKED,
	FAULT_INJECTED, FAULT_JUMP, FAULT_OPENED,
	WAIT_FOR_REFUSAL };     /* no fault: the handler lasts until a call answers HYPAPI_EPERM, which a drop brings */
extern _Bool careless_waits;    /* in there */

#define CARELESS_LEAF 0x43415245u
#define CARELESS_MSR 0x1f10u
#define CARELESS_WORD 0x600d1deau /* what both answer */

#endif
