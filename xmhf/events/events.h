/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events, raised: one function for each kind, which asks those hypapps whose business it is and does what their verdict
 * means. Callers: exit handlers of all run modes, power, CPU start.
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

/* EXIT102, EXIT201, EXIT202: all who subscribed are told, with the level running that goes on. */
void event_crossing(struct percpu *cpu, enum hypapi_event_type type, u32 reason, u64 qualification);

/*
 * Two-phase events. May this write put a change of L1's memory types into force, may L1 sleep? False: somebody denied, and
 * all who had prepared know. Then, after the change and before the sleep, all are told.
 */
must_check bool event_mtrr_prepare(struct percpu *cpu, u32 msr, u64 value);
void event_mtrr(struct percpu *cpu, u32 msr, u64 value);
must_check bool event_sleep_prepare(struct percpu *cpu, u32 type);
void event_sleep(struct percpu *cpu, u32 type);

/* Level of whoever runs: EPT02 has changed, or has been dropped, and L2 goes on, or L1. */
void event_ept02_root(struct percpu *cpu, const struct hypapi_ept02_root_args *args);
void event_ept02_flush(struct percpu *cpu, u64 eptp12, u32 cause);

/* Signals for whoever runs, before they are delivered. */
must_check enum taken event_interrupt(struct percpu *cpu, const struct hypapi_interrupt_args *args);
must_check enum taken event_nmi(struct percpu *cpu);
must_check enum taken event_init_signal(struct percpu *cpu);

/* INTERRUPT_WINDOW, NMI_WINDOW: those who asked are told, and have to ask again. */
void event_window(struct percpu *cpu, enum hypapi_event_type type);

/* Nothing if the access is allowed after all; else the owner of the page is asked. The default is #GP. */
void event_violation(struct percpu *cpu, const struct event_violation *v);

/* A partition needs its owner. */
must_check enum taken event_partition_exit(struct percpu *cpu, const struct hypapi_partition_exit_args *args);

/* What hypapi_post() has left on this CPU goes to its hypapps. At a safe point, outside of any event. */
void event_work(struct percpu *cpu);

/* Events without arguments and of level L0: all are told. */
void event_notify(struct percpu *cpu, enum hypapi_event_type type);

#endif
