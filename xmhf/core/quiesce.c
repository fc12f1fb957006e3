/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stopping every other CPU: the protocol of quiesce.h, independent of hardware.
 *
 * Who may own a stop is decided by one word, stop.owner; the owner passes it on to a CPU that asks, so nobody starves.
 * Nothing else is contended: a CPU acknowledges in its own cache line, and the release is one store that all spin on.
 * Invariants (docs/quiesce.md says why each holds):
 *   - stop.epoch, .work, .released and the list of CPUs are written by the owner only;
 *   - a CPU takes exactly one NMI a stop for its own; seen trails stop.epoch, and ack trails seen, by at most one;
 *   - the owner returns from quiesce_begin() only when every other online CPU's ack is stop.epoch, and no CPU leaves
 *     quiesce_serve() before stop.released has reached it.
 * Callers: see quiesce.h.
 */
#include "core/quiesce.h"

static struct {
	line_aligned _Atomic u32 owner; /* CPU index + 1, or 0; CPUs that ask spin on it */
	_Atomic u64 epoch;              /* newest stop */
	_Atomic u32 joining;            /* a CPU that waits to come online, as an owner word, or 0 */
	struct quiesce_cpu *first;      /* online CPUs, newest first; guarded by owner */
	u32 online;                     /* how many; guarded by owner */

	line_aligned _Atomic u64 released; /* newest stop that has ended; stopped CPUs spin on it */
	_Atomic u32 work;                  /* flush work of that release; written before it */
} stop;

static _Atomic u64 bound_ticks = QUIESCE_BOUND_DEFAULT;

#define load(p, order) atomic_load_explicit(p, memory_order_##order)
#define store(p, v, order) atomic_store_explicit(p, v, memory_order_##order)

/* Takes the owner word if it is free, or has been handed to this CPU. Acquires all that earlier owners wrote. */
static bool take_owner_word(u32 me)
{
	u32 owner = load(&stop.owner, acquire);

	if (owner == me)
		return true;
	return owner == 0 && atomic_compare_exchange_strong_explicit(&stop.owner, &owner, me, memory_order_acquire,
								     memory_order_relaxed);
}

/* Who gets the owner word at the release: a CPU that comes online, else the next CPU in the round that asks, so that
 * each waits for at most all others; 0: nobody. */
static u32 next_owner(const struct quiesce_cpu *self)
{
	u32 joining = load(&stop.joining, relaxed);
	if (joining)
		return joining;
	for (const struct quiesce_cpu *c = self->next; c != self; c = c->next) {
		if (!c)
			c = stop.first;
		if (c == self)
			break;
		if (load(&c->asking, relaxed))
			return c->index + 1;
	}
	return 0;
}

void quiesce_online(struct quiesce_cpu *self, u32 index)
{
	u32 me = index + 1;

	self->index = index;
	while (!take_owner_word(me)) {
		if (load(&stop.joining, relaxed) == 0)
			store(&stop.joining, me, relaxed); /* of two at once one is overwritten and tries again */
		quiesce_hook_relax();
	}
	if (load(&stop.joining, relaxed) == me)
		store(&stop.joining, 0, relaxed);

	u64 epoch = load(&stop.epoch, relaxed);
	store(&self->seen, epoch, relaxed);
	store(&self->ack, epoch, relaxed);
	self->next = stop.first;
	stop.first = self;
	stop.online++;
	self->online = true;
	atomic_signal_fence(memory_order_seq_cst); /* only then may an NMI be taken for a stop's */
	store(&stop.owner, next_owner(self), release);
}

bool quiesce_nmi(struct quiesce_cpu *self)
{
	if (!self->online)
		return true;
	/* The owner has stored its epoch and not been sent an NMI: what it gets is the guest's, whatever seen says. */
	u64 epoch = load(&stop.epoch, acquire);
	if (epoch == load(&self->seen, relaxed) || load(&stop.owner, relaxed) == self->index + 1)
		return false;
	store(&self->seen, epoch, relaxed);
	store(&self->pending, 1, relaxed);
	return true;
}

void quiesce_serve(struct quiesce_cpu *self)
{
	if (quiesce_hook_locks_held())
		quiesce_hook_broken("a CPU came to a safe point with a lock held");
	if (quiesce_owned(self))
		quiesce_hook_broken("the owner of a stop was stopped");

	u64 start = quiesce_hook_ticks();
	while (load(&self->pending, relaxed)) {
		/* Cleared before seen is read: the next stop's NMI may come at any instruction after the release. */
		store(&self->pending, 0, relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		u64 epoch = load(&self->seen, relaxed);

		store(&self->ack, epoch, release); /* the owner sees all that this CPU and its guest did before */
		while (load(&stop.released, acquire) < epoch)
			quiesce_hook_relax();
		u32 work = load(&stop.work, relaxed); /* cannot change before this CPU acknowledges the next stop */
		if (work)
			quiesce_hook_flush(work);
		self->count.served++;
	}
	self->count.ticks_stopped += quiesce_hook_ticks() - start;
}

/* Names every CPU that has not acknowledged epoch. */
static void name_silent(u64 epoch, u64 waited_ticks)
{
	for (struct quiesce_cpu *c = stop.first; c; c = c->next)
		if (load(&c->ack, acquire) != epoch)
			quiesce_hook_silent(c->index, epoch, load(&c->seen, relaxed) == epoch, waited_ticks);
}

static void wait_for_acks(u64 epoch, u64 start)
{
	u64 bound = load(&bound_ticks, relaxed);
	bool named = false;

	for (struct quiesce_cpu *c = stop.first; c; c = c->next) {
		while (load(&c->ack, acquire) != epoch) {
			u64 waited_ticks = quiesce_hook_ticks() - start;
			if (!named && waited_ticks > bound) {
				name_silent(epoch, waited_ticks);
				named = true;
			}
			quiesce_hook_relax();
		}
	}
}

/* This CPU has the owner word: a new epoch, one NMI to the others, all acknowledged. */
static void stop_others(struct quiesce_cpu *self)
{
	u64 epoch = load(&stop.epoch, relaxed) + 1;

	store(&self->seen, epoch, relaxed);
	store(&self->ack, epoch, relaxed);
	store(&stop.epoch, epoch, seq_cst); /* before the NMI: one that finds the old epoch counts as the guest's */
	if (stop.online == 1)
		return;
	u64 start = quiesce_hook_ticks();
	quiesce_hook_send_nmi_all_but_self();
	self->count.nmis_sent++;
	wait_for_acks(epoch, start);
}

bool quiesce_begin(struct quiesce_cpu *self)
{
	if (self->depth) {
		self->depth++;
		return false;
	}
	if (quiesce_hook_locks_held())
		quiesce_hook_broken("a stop was asked for with a lock held");
	if (!self->online)
		quiesce_hook_broken("a stop was asked for by a CPU that is not online");

	u64 start = quiesce_hook_ticks();
	u64 served = self->count.served;
	store(&self->asking, 1, relaxed);
	while (!take_owner_word(self->index + 1)) {
		quiesce_poll(self); /* the winner waits for this CPU: serve its stop, or both wait for ever */
		quiesce_hook_relax();
	}
	store(&self->asking, 0, relaxed);
	self->depth = 1;
	stop_others(self);
	self->count.asked++;
	self->count.ticks_waited += quiesce_hook_ticks() - start;
	return self->count.served != served;
}

void quiesce_end(struct quiesce_cpu *self)
{
	if (self->depth == 0)
		quiesce_hook_broken("a stop was ended by a CPU that owns none");
	if (self->depth > 1) {
		self->depth--;
		return;
	}

	u32 work = self->work;
	self->work = 0;
	self->depth = 0;
	store(&stop.work, work, relaxed); /* nobody reads it: all online CPUs spin on released */
	store(&stop.released, load(&stop.epoch, relaxed), release);
	store(&stop.owner, next_owner(self), release);
	if (work)
		quiesce_hook_flush(work);
}

void quiesce_add_work(struct quiesce_cpu *self, u32 work)
{
	if (!quiesce_owned(self))
		quiesce_hook_broken("flush work was added without a stop");
	self->work |= work;
}

u64 quiesce_epoch(const struct quiesce_cpu *self)
{
	return quiesce_owned(self) ? load(&stop.epoch, relaxed) : 0;
}

void quiesce_set_bound(u64 ticks)
{
	store(&bound_ticks, ticks, relaxed);
}
