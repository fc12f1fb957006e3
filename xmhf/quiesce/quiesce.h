/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stopping every other CPU, or those whose guest runs on one EPT, and letting them go again; and calling single CPUs to
 * their next safe point.
 *
 * One CPU at a time owns the word. It signals others by one NMI each; a CPU that is to stop acknowledges at its next
 * safe point and spins there until the release, then does the flush work that the release carries. Nothing here knows
 * hardware: what is needed of it are the hooks at the end, so that the same C file runs in the core, on host threads
 * under ThreadSanitizer and in the simulator. docs/quiesce.md has the invariants and why they hold;
 * tests/model/quiesce.pml is the model.
 *
 * Callers: the event chain and mem/ (begin, add_work, end), hypapi_post() (kick), the NMI entries (nmi), the VM-entry
 * path and every wait loop in root (poll), crossings (use), CPU start (online).
 */
#ifndef XMHF_QUIESCE_H
#define XMHF_QUIESCE_H

#include "lib/base.h"

/* Flush work: what each CPU, the owner included, does for itself before it enters a guest again. Bits may be ored. */
enum quiesce_work {
	QUIESCE_FLUSH_EPT = BIT(0),   /* an EPT has changed: drop all that the CPU remembers of EPTs */
	QUIESCE_FLUSH_EPT02 = BIT(1), /* drop what this CPU's EPT02 has of EPT01 as it was; comes with the other one */
};

/*
 * What a CPU's guest runs on: one of these, or the address of an EPT12 with this bit. Of an EPTP12 the address alone
 * tells which tables are used; L1 may run them with other memory types and flags on another CPU.
 */
#define QUIESCE_EPT_NONE 0ull /* a partition, or nothing: parked */
#define QUIESCE_EPT01 1ull
#define QUIESCE_EPT12 2ull

/* Written by their CPU only; exact for another reader only while that CPU is stopped. */
struct quiesce_counters {
	u64 owned;         /* stops that this CPU owned, of all or of one EPT; nested ones are not counted again */
	u64 served;        /* stops of other CPUs that this CPU sat through */
	u64 nmis_sent;     /* ICR writes; one broadcast is one, and there is none while this CPU is alone */
	u64 ticks_waited;  /* from the outermost begin until it returned */
	u64 ticks_stopped; /* in quiesce_serve(), flush work included */
};

/* A CPU's part, embedded zeroed in its struct percpu. Written by this CPU only, but for `signal`. */
struct quiesce_cpu {
	/* Public part, one cache line: other CPUs may read it. */
	line_aligned _Atomic u64 signal; /* by the owner: number of its newest NMI for this CPU, and whether that is a
	                                    stop's */
	_Atomic u64 seen;                /* newest signal whose NMI this CPU has taken; written by quiesce_nmi() */
	_Atomic u64 ack;                 /* newest stop of all, as a signal, that it has acknowledged */
	_Atomic u64 hold_ack;            /* newest stop of the EPT that it uses, as an epoch, that it has
	                                    acknowledged */
	_Atomic u64 using;               /* what its guest runs on */
	_Atomic u32 wants_owner;         /* waits for the owner word; a release hands it over */
	u32 index;                       /* CPU number; constant once online */
	struct quiesce_cpu *next;        /* list of online CPUs; constant once online */

	/* Private part: this CPU's normal context and its NMI handler. */
	line_aligned _Atomic u32 pending; /* not 0: look, at the next safe point, whether there is a stop to be
	                                     served */
	bool online;
	u32 depth;                    /* nested begins of a stop of all; not 0 exactly while this CPU owns one */
	u32 holds;                    /* the same of a stop of one EPT; a stop of all may be inside of it, not around
	                                 it */
	u64 epoch;                    /* newest stop that this CPU owned */
	u64 asked_at;                 /* the tick at which its outermost stop was asked for */
	u64 since;                    /* the tick from which on it has had the owner word for that */
	u32 work;                     /* flush work gathered for the release, enum quiesce_work */
	struct quiesce_counters count;
};

/*
 * Makes this CPU one that stops wait for. Call once on the CPU itself, when its NMI handler calls quiesce_nmi() and
 * before it enters a guest, with nothing cached from EPT01: the CPU owes no earlier flush work. While another CPU owns
 * a stop this waits until its release. index: below 2^32 - 1, different for each CPU.
 */
void quiesce_online(struct quiesce_cpu *self, u32 index);

/*
 * An NMI has arrived: at an NMI VM exit (before the IRET that unblocks NMIs), or from vector 2 in root. True: it was
 * one of ours (or came before this CPU was online) and there is nothing more to do. False: it is the guest's, count it
 * for injection. Takes no lock, touches no VMCS. The caller, if it interrupted root code inside the restartable
 * sequence before VM entry, then moves the return address back to the sequence's first check, whatever the answer.
 */
must_check bool quiesce_nmi(struct quiesce_cpu *self);

/* Acknowledges what stops there are for this CPU, sits through them, does their flush work. No lock may be held. */
void quiesce_serve(struct quiesce_cpu *self);

/*
 * The safe point: before VM entry, and in every loop in root that waits for another CPU or for a guest's SIPI. What
 * another CPU asks of this one (park for an INIT, work of a hypapp) it leaves in struct percpu, under its stop or
 * before its kick: look at such requests after this. No NMI is ever sent in another way, it would be taken for the
 * guest's.
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

/*
 * Returns with every other CPU stopped whose guest runs on this EPT (QUIESCE_EPT01, or an EPT12), and no others; those
 * that come to use it wait. Answers and counts as quiesce_begin(), which may be called inside. Inside a stop of all it
 * stops nobody. One EPT at a time.
 */
must_check bool quiesce_begin_ept(struct quiesce_cpu *self, u64 ept);

/*
 * Ends the newest begin. The last one of a kind lets the others go, and answers true; of a stop of all with the flush
 * work, done here too.
 */
bool quiesce_end(struct quiesce_cpu *self);

/*
 * Each of these CPUs (mask of indexes) comes to its next safe point, and looks for what was left for it in memory
 * before. Under a stop of all nobody needs to be told: there they are. Answers as quiesce_begin(), and has the same
 * rules.
 */
must_check bool quiesce_kick(struct quiesce_cpu *self, u64 cpus);

/* The EPT that a CPU has stopped, or QUIESCE_NOT_HELD. Only its owner writes it. */
extern _Atomic u64 quiesce_held;
#define QUIESCE_NOT_HELD (~0ull)

/*
 * The guest of this CPU runs on another EPT from here on; what it did on the one before is done. True: that one is
 * stopped, this CPU must come to a safe point before it enters the guest. On the way from L1 to L2 and back.
 */
must_check static inline bool quiesce_use(struct quiesce_cpu *self, u64 ept)
{
	/* Either this sees what an owner holds, or the owner sees this: both store first, and then look. */
	atomic_exchange_explicit(&self->using, ept, memory_order_seq_cst);
	if (likely(atomic_load_explicit(&quiesce_held, memory_order_seq_cst) != ept))
		return false;
	atomic_store_explicit(&self->pending, 1, memory_order_relaxed);
	return true;
}

/* Adds flush work (enum quiesce_work, ored) to this CPU's stop of all; it must own one. */
void quiesce_add_work(struct quiesce_cpu *self, u32 work);

/* Whether this CPU has anybody stopped. */
static inline bool quiesce_owns_any(const struct quiesce_cpu *self)
{
	return self->depth | self->holds;
}

/* Whether this CPU has all others stopped. */
static inline bool quiesce_owned(const struct quiesce_cpu *self)
{
	return self->depth != 0;
}

/* The EPT that this CPU has stopped, or QUIESCE_NOT_HELD; both may hold. */
static inline u64 quiesce_holds(const struct quiesce_cpu *self)
{
	return self->holds ? atomic_load_explicit(&quiesce_held, memory_order_relaxed) : QUIESCE_NOT_HELD;
}

/* The epoch of this CPU's newest stop of either kind (0: it owns none). Epochs begin at 1 and only grow. */
u64 quiesce_epoch(const struct quiesce_cpu *self);

/*
 * After `bound` ticks of a wait for others the CPUs that have not answered are named, once a stop, and the wait goes
 * on. After `timeout` ticks, unless that is 0, quiesce_hook_give_up() is called; the owner word is kept for ever, and
 * the stops that it begins wait for nobody longer than `bound`.
 */
void quiesce_set_bounds(u64 bound, u64 timeout);

/* The machine goes down, and this CPU takes part in nothing else: no CPU and no lock is waited for without bound. */
void quiesce_give_up(void);

/* A CPU is taking the machine down without one that does not answer, which may hold a lock. */
extern _Atomic bool quiesce_given_up;

/*
 * Hooks, implemented by whoever links quiesce.c. "This CPU" is the one that calls.
 */

/*
 * One NMI to all CPUs but this one. Earlier stores must be visible before an NMI can arrive: x2APIC mode needs
 * MFENCE; LFENCE before the WRMSR (Intel SDM vol. 3, "MSR Access in x2APIC Mode"). Restores the guest's ICR high half.
 */
void quiesce_hook_send_nmi_all_but_self(void);

/* The same to one other CPU, by its index. */
void quiesce_hook_send_nmi(u32 cpu);

/* Flush work (enum quiesce_work, ored, never 0) on this CPU, in normal context. It must not begin a stop. */
void quiesce_hook_flush(u32 work);

/* This CPU's time stamp counter. */
u64 quiesce_hook_ticks(void);

/* Once around a spin loop: PAUSE. Does not come back once the machine goes down (power/reset.h). */
void quiesce_hook_relax(void);

/* How many locks this CPU holds. */
u32 quiesce_hook_locks_held(void);

/* Logs an error: CPU number, the stop's epoch, ticks waited, that CPU's last known state. nmi_taken: its NMI handler
 * has run, so that it hangs in root before a safe point; else the NMI itself has not arrived. */
void quiesce_hook_silent(u32 cpu, u64 epoch, bool nmi_taken, u64 ticks);

/* A CPU has not stopped within the timeout: takes the machine down, without it. */
_Noreturn void quiesce_hook_give_up(void);

/* A caller broke a rule of this interface: panic with the rule's text. */
_Noreturn void quiesce_hook_broken(const char *rule);

#endif
