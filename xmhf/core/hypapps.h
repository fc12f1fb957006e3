/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chain of hypapps: what was linked in, checked at boot, and asked by priority for each event. Callers: exit
 * handlers of all modes, power, CPU start.
 */
#ifndef XMHF_HYPAPPS_H
#define XMHF_HYPAPPS_H

#include <hypapi/hypapi.h>

#include "cpu/percpu.h"
#include "mem/guest.h"

#define MAX_HYPAPPS 8

struct event_stats;

/* How far the handling of an event has come; all zero at first. */
struct dispatch_progress {
	u32 stops;    /* begins to undo at the end */
	bool moved;   /* by hypapi_inject(), hypapi_partition_leave(): the instruction is not stepped over */
	bool walking; /* `walk` is good: until something may have made it stale */
};

/* One event on its way through the chain; on the stack of the CPU that raised it. */
struct dispatch {
	struct hypapi_event ev;             /* what the hypapp sees */
	struct percpu *cpu;
	const struct hypapp_descriptor *app; /* the one that is asked now */
	struct event_stats *stats;          /* its counts */
	u32 capabilities;                   /* its own */
	struct dispatch_progress progress;
	u64 stop_start;                     /* with a trace: tick at which the stop was asked for */
	struct guest_walk walk;             /* of the caller's memory */
	struct partition *enter;            /* to be entered when the verdict is HANDLED, or NO_ENTRY */
	struct hypapi_partition_entry entry;
};

/* In events that enter no partition: as if another one were asked for already. */
#define NO_ENTRY ((struct partition *)1)

struct hypapps_violation {
	gpa1_t gpa1;
	gpa2_t gpa2;
	gva_t gva;
	u32 access;
	bool gva_valid;
};

/* Checks all descriptors, and refuses a conflict by one line that names both hypapps. Then HYPAPI_EV_INIT. Boot CPU. */
void hypapps_init(void);
void hypapps_cpu_init(struct percpu *cpu);

/* Is a hypapp whose name is the first `len` characters linked in? Works before hypapps_init(). */
bool hypapps_find(const char *name, size_t len);

/* Place of a linked hypapp in the chain, plus 1. */
u32 hypapps_number(const struct hypapp_descriptor *app);

/* The chain as a list; i below the count. */
u32 hypapps_count(void);
const struct hypapp_descriptor *hypapps_get(u32 i);

/* Stops the other CPUs until the end of the event. True: another stop came first, what was read may be stale. */
bool hypapps_stop(struct dispatch *d);
void hypapps_end_stop(struct dispatch *d);

/* CPUID, VMCALL: true if no hypapp took it, and nothing was done. Works in every run mode. */
must_check bool hypapps_cpuid(struct percpu *cpu, u32 leaf);
must_check bool hypapps_hypercall(struct percpu *cpu);

/* What came of an instruction that hypapps were asked about. */
enum asked {
	ASKED_NOBODY,  /* nobody took it: the core's own, or L1's */
	ASKED_HANDLED, /* done; what the guest reads is in the arguments, and the instruction is to be completed */
	ASKED_ENDED,   /* a fault was raised, or the guest tries again */
};

/* The ports [port, port + size) or one of them, or an MSR: claimed at the level that runs? Called where any are. */
bool hypapps_claim_port(const struct percpu *cpu, u32 port, u32 size);
bool hypapps_claim_msr(const struct percpu *cpu, u32 msr);

/* Port I/O and RDMSR, WRMSR of L1 or L2, which runs: all who claim a part of it are asked. `value` is the result. */
must_check enum asked hypapps_port_io(struct percpu *cpu, struct hypapi_port_io_args *io);
must_check enum asked hypapps_msr(struct percpu *cpu, struct hypapi_msr_args *msr);

/* An entry of L1's MSR lists, as L1's access; whatever VMCS is current. ENDED: the access is refused. */
must_check enum asked hypapps_msr_list(struct percpu *cpu, struct hypapi_msr_args *msr);

/* EXIT102, EXIT201, EXIT202: all who subscribed are told, with the level running that goes on. */
void hypapps_crossing(struct percpu *cpu, enum hypapi_event_type type, u32 reason, u64 qualification);

/* L1's memory types have changed, by this write. */
void hypapps_mtrr(struct percpu *cpu, u32 msr, u64 value);

/*
 * An access that EPT01 (after EPT12) may not allow: nothing if it does; else asks the owner of the page; the default
 * is #GP.
 */
void hypapps_violation(struct percpu *cpu, const struct hypapps_violation *v);

/* A partition needs its owner. True: nobody answered. */
must_check bool hypapps_partition_exit(struct percpu *cpu, const struct hypapi_partition_exit_args *args);

/* SHUTDOWN, RESET, TRIPLE_FAULT: all are told. */
void hypapps_notify(struct percpu *cpu, enum hypapi_event_type type);

#endif
