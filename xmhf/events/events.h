/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events, raised. event_tell() and event_prepare() do for most: such an event is a row in event_info.c, a structure in
 * hypapi/event.h and a page in docs/. What a guest did that a hypapp may answer has a function of its own, which asks
 * those whose business it is and does what their verdict means. Callers: exit handlers of all run modes, power, CPU
 * start.
 */
#ifndef XMHF_EVENTS_H
#define XMHF_EVENTS_H

#include <hypapi/event.h>

#include "cpu/percpu.h"
#include "events/taken.h"

/* An access that EPT01, after EPT12, may not allow. */
struct event_violation {
	gpa1_t gpa1;
	gpa2_t gpa2;
	gva_t gva;
	u32 access;
	bool gva_valid;
};

/* An event's own arguments, the structure hypapi_NAME_args, for the two functions below. */
#define EVENT_ARGS(name, ...) &(struct hypapi_##name##_args){ __VA_ARGS__ }, sizeof(struct hypapi_##name##_args)
#define EVENT_NO_ARGS NULL, 0

/*
 * Tells all who subscribed to the event at this level, whatever they answer; perhaps in the middle of another event.
 * `level` is HYPAPI_L0, or the one that runs. Nobody subscribed: nothing is done.
 */
void event_tell(struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level, const void *args,
		size_t size);

/*
 * An event of two phases, of level L0: may it take place? False: a hypapp denies it, and all who had prepared know.
 * After true the caller does what it asked for, and tells the event.
 */
must_check bool event_prepare(struct percpu *cpu, enum hypapi_event_type type, const void *args, size_t size);

/* A CPU's memory for hypapps. Once for each, before its first event; works before hypapps_init(). */
void event_cpu_prepare(struct percpu *cpu);

/* CPU_INIT. Once on each CPU, before it enters L1. */
void event_cpu_init(struct percpu *cpu);

/* CPUID, VMCALL; never ANSWERED. Works in every run mode. */
must_check enum taken event_cpuid(struct percpu *cpu, u32 leaf);
must_check enum taken event_hypercall(struct percpu *cpu);

/* One of the ports [port, port + size) is claimed at the level that runs. Called where any are. */
bool event_claims_port(const struct percpu *cpu, u32 port, u32 size);

/* Port I/O and RDMSR, WRMSR of L1 or L2, which runs: all who claim a part of it are asked. `value` is the result. */
must_check enum taken event_port_io(struct percpu *cpu, struct hypapi_port_io_args *io);
must_check enum taken event_msr(struct percpu *cpu, struct hypapi_msr_args *msr);

/* An entry of L1's MSR lists, as L1's access; whatever VMCS is current. TAKEN: the access is refused. */
must_check enum taken event_msr_list(struct percpu *cpu, struct hypapi_msr_args *msr);

/* Signals for whoever runs, before they are delivered. */
must_check enum taken event_interrupt(struct percpu *cpu, const struct hypapi_interrupt_args *args);
must_check enum taken event_nmi(struct percpu *cpu);
must_check enum taken event_init_signal(struct percpu *cpu);

/* INTERRUPT_WINDOW, NMI_WINDOW: those who wait for it are told, and wait no longer. */
void event_window(struct percpu *cpu, enum hypapi_event_type type);

/* Nothing if the access is allowed after all; else the owner of the page is asked. The default is #GP. */
void event_violation(struct percpu *cpu, const struct event_violation *v);

/* A partition needs its owner. */
must_check enum taken event_partition_exit(struct percpu *cpu, const struct hypapi_partition_exit_args *args);

/* What hypapi_post() has left on this CPU goes to its hypapps. At a safe point, outside of any event. */
void event_work(struct percpu *cpu);

/* What devices were kept from is logged, and told. At a safe point as well. */
void event_dma_faults(void);

#endif
