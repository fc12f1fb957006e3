/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stopping every other CPU, and letting them go again.
 *
 * One CPU, the owner, broadcasts one NMI; every other online CPU acknowledges at its next safe point and spins there
 * until the release, then does the flush work that the release carries. Nothing here knows hardware: what is needed
 * of it are the hooks at the end, so that the same C file runs in the core, on host threads under ThreadSanitizer and
 * in the simulator. docs/quiesce.md has the invariants and why they hold; tests/model/quiesce.pml is the model.
 *
 * Callers: the event chain and mem/ (begin, add_work, end), the NMI entries (nmi), the VM-entry path and every wait
 * loop in root (poll), CPU start (online).
 */
#ifndef XMHF_CORE_QUIESCE_H
#define XMHF_CORE_QUIESCE_H

#include "lib/base.h"

/* Flush work: what each CPU, the owner included, does for itself before it enters a guest again. Bits may be ored. */
enum quiesce_work {
	QUIESCE_FLUSH_EPT01 = BIT(0), /* rights were taken away in EPT01: drop translations made from it */
	QUIESCE_FLUSH_EPT02 = BIT(1), /* drop this CPU's EPT02 roots: leaves in them were made from the old EPT01 */
	QUIESCE_FLUSH_PARTITION = BIT(2), /* a partition's EPT lost a mapping */
	QUIESCE_FLUSH_MTRR = BIT(3), /* memory types of EPT01 were changed */
};

/* Written by their CPU only; exact for another reader only while that CPU is stopped. */
struct quiesce_counters {
	u64 asked;         /* stops that this CPU owned; nested ones are not counted again */
	u64 served;        /* stops of other CPUs that this CPU sat through */
	u64 nmis_sent;     /* ICR writes; one broadcast is one, and there is none while this CPU is alone */
	u64 ticks_waited;  /* from the outermost quiesce_begin() until it returned */
	u64 ticks_stopped; /* in quiesce_serve(), flush work included */
};

/* A CPU's part, embedded zeroed in its struct percpu. All of it is written by this CPU only. */
struct quiesce_cpu {
	/* Public part, one cache line: other CPUs may read it. */
	line_aligned _Atomic u64 ack; /* newest epoch that this CPU has acknowledged */
	_Atomic u64 seen;             /* newest epoch whose NMI this CPU has taken; written by quiesce_nmi() */
	_Atomic u32 asking;           /* waits for the owner word; a release hands it over */
	u32 index;                    /* CPU number; constant once online */
	struct quiesce_cpu *next;     /* list of online CPUs; constant once online */

	/* Private part: this CPU's normal context and its NMI handler. */
	line_aligned _Atomic u32 pending; /* not 0: a stop waits to be served; read last before VM entry */
	bool online;
	u32 depth;                    /* nested quiesce_begin()s; not 0 exactly while this CPU owns the stop */
	u32 work;                     /* flush work gathered for the release, enum quiesce_work */
	struct quiesce_counters count;
};

/* For the assembly before VM entry: `cmpl $0, %gs:(percpu's quiesce_cpu + QUIESCE_PENDING)`. */
#define QUIESCE_PENDING 64
_Static_assert(offsetof(struct quiesce_cpu, pending) == QUIESCE_PENDING, "assembly reads this offset");

/*
 * Makes this CPU one that stops wait for. Call once on the CPU itself, when its NMI handler calls quiesce_nmi() and
 * before it enters a guest, with nothing cached from EPT01: the CPU owes no earlier flush work. While another CPU owns
 * a stop this waits until its release. index: below 2^32 - 1, different for each CPU.
 */
void quiesce_online(struct quiesce_cpu *self, u32 index);

/*
 * An NMI has arrived: at an NMI VM exit (before the IRET that unblocks NMIs), or from vector 2 in root. True: it was a
 * stop's (or came before this CPU was online) and there is nothing more to do. False: it is the guest's, count it for
 * injection. Takes no lock, touches no VMCS. The caller, if it interrupted root code inside the restartable sequence
 * before VM entry, then moves the return address back to the sequence's first check, whatever the answer.
 */
must_check bool quiesce_nmi(struct quiesce_cpu *self);

/* Acknowledges the pending stop, sits through it, does its flush work. Only at a safe point: no lock held. */
void quiesce_serve(struct quiesce_cpu *self);

/*
 * The safe point: before VM entry, and in every loop in root that waits for another CPU or for a guest's SIPI. What an
 * owner asks of this CPU (park for an INIT, say) it leaves in struct percpu under its stop: look at such requests after
 * this. No NMI is ever sent for another purpose, it would be taken for the guest's.
 */
static inline void quiesce_poll(struct quiesce_cpu *self)
{
	if (unlikely(atomic_load_explicit(&self->pending, memory_order_relaxed)))
		quiesce_serve(self);
}

/*
 * Returns with every other online CPU stopped. Free when this CPU has them stopped already: begins are counted, the
 * last quiesce_end() releases. True: other CPUs' stops were served while this one waited, so whatever the caller read
 * before may be stale and must be validated again. Never call it with a lock held.
 */
must_check bool quiesce_begin(struct quiesce_cpu *self);

/* Ends one begin. The last one lets the others go, with the flush work, and does that work on this CPU too. */
void quiesce_end(struct quiesce_cpu *self);

/* Adds flush work (enum quiesce_work, ored) to this CPU's stop; it must own one. */
void quiesce_add_work(struct quiesce_cpu *self, u32 work);

/* Whether this CPU has the others stopped, and the epoch of that stop (0: none). Epochs begin at 1 and only grow. */
static inline bool quiesce_owned(const struct quiesce_cpu *self)
{
	return self->depth != 0;
}

u64 quiesce_epoch(const struct quiesce_cpu *self);

/* After this many ticks of quiesce_begin() the CPUs that have not answered are named, once a stop; the wait goes on. */
void quiesce_set_bound(u64 ticks);
#define QUIESCE_BOUND_DEFAULT 200000000ull

/*
 * Hooks, implemented by whoever links quiesce.c. "This CPU" is the one that calls.
 */

/*
 * One NMI to all CPUs but this one. Earlier stores must be visible before an NMI can arrive: x2APIC mode needs
 * MFENCE; LFENCE before the WRMSR (Intel SDM vol. 3, "MSR Access in x2APIC Mode"). Restores the guest's ICR high half.
 */
void quiesce_hook_send_nmi_all_but_self(void);

/* Flush work (enum quiesce_work, ored, never 0) on this CPU, in normal context. It must not begin a stop. */
void quiesce_hook_flush(u32 work);

/* This CPU's time stamp counter. */
u64 quiesce_hook_ticks(void);

/* Once around a spin loop: PAUSE. */
void quiesce_hook_relax(void);

/* How many locks this CPU holds. */
u32 quiesce_hook_locks_held(void);

/* Logs an error: CPU number, the stop's epoch, ticks waited, that CPU's last known state. nmi_taken: its NMI handler
 * has run, so that it hangs in root before a safe point; else the NMI itself has not arrived. */
void quiesce_hook_silent(u32 cpu, u64 epoch, bool nmi_taken, u64 ticks);

/* A caller broke a rule of this interface: panic with the rule's text. */
_Noreturn void quiesce_hook_broken(const char *rule);

#endif
