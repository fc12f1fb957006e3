/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stopping and calling other CPUs: the protocol of quiesce.h, independent of hardware.
 *
 * Who may send NMIs and own a stop is decided by one word, stop.owner; the owner passes it on to a CPU that asks, so
 * nobody starves. Nothing else is contended: a CPU acknowledges in its own cache line, and the release is one store
 * that all spin on. Invariants (docs/quiesce.md says why each holds):
 *   - all of `stop` but joining, quiesce_held, and each CPU's signal, are written by the owner only;
 *   - the owner does not go on before each CPU that it has signaled has taken its NMI: a CPU takes exactly one NMI for
 *     each signal, and seen trails signal by at most one;
 *   - the owner returns from quiesce_begin() only when every other online CPU's ack is its signal, and no CPU leaves
 *     quiesce_serve() before stop.released has reached the epoch; the same holds of the CPUs that use a held EPT.
 * Callers: see quiesce.h.
 */
#include "quiesce/quiesce.h"

static struct {
	line_aligned _Atomic u32 owner; /* CPU index + 1, or 0; CPUs that ask spin on it */
	_Atomic u64 epoch;              /* newest stop, of all or of one EPT */
	_Atomic u32 joining;            /* a CPU that waits to come online, as an owner word, or 0 */
	struct quiesce_cpu *first;      /* online CPUs, newest first; guarded by owner */
	u32 online;                     /* how many; guarded by owner */

	line_aligned _Atomic u64 released; /* newest stop of all that has ended; stopped CPUs spin on it */
	_Atomic u32 work;                  /* flush work of that release; written before it */
	_Atomic u64 hold;                  /* epoch of the newest stop of one EPT */
} stop;

line_aligned _Atomic u64 quiesce_held = QUIESCE_NOT_HELD;

/* A signal is a number that grows. Odd: stop until the release. Even: come to a safe point, and look. */
#define SIGNAL_STOP 1u

static _Atomic u64 bound_ticks = ~0ull, timeout_ticks = ~0ull; /* constant after boot */
_Atomic bool quiesce_given_up; /* set once, by the owner of a stop that is never released */

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
		if (load(&c->wants_owner, relaxed))
			return c->index + 1;
	}
	return 0;
}

static void give_word(const struct quiesce_cpu *self)
{
	store(&stop.owner, next_owner(self), release);
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

	self->next = stop.first;
	stop.first = self;
	stop.online++;
	self->online = true;
	atomic_signal_fence(memory_order_seq_cst); /* only then may an NMI be taken for a stop's */
	give_word(self);
}

bool quiesce_nmi(struct quiesce_cpu *self)
{
	if (!self->online)
		return true;
	u64 signal = load(&self->signal, acquire);
	if (signal == load(&self->seen, relaxed))
		return false;
	store(&self->seen, signal, relaxed);
	store(&self->pending, 1, relaxed);
	return true;
}

/* Until the owner of a stop of all, which waits for this CPU, releases it. */
static void sit_through_stop(struct quiesce_cpu *self, u64 signal)
{
	u64 epoch = load(&stop.epoch, relaxed); /* this stop's: it came with the signal, and stays until the release */

	store(&self->ack, signal, release); /* the owner sees all that this CPU and its guest did before */
	while (load(&stop.released, acquire) < epoch)
		quiesce_hook_relax();
	u32 work = load(&stop.work, relaxed); /* cannot change before this CPU acknowledges the next stop */
	if (work)
		quiesce_hook_flush(work);
	self->count.served++;
}

/* Until the EPT that this CPU uses is held no longer, or a stop of all comes in between. */
static void sit_while_held(struct quiesce_cpu *self)
{
	u64 using = load(&self->using, relaxed);

	while (!load(&self->pending, relaxed)) {
		/* In this order: what is acknowledged is this stop of the EPT, or one that is over. */
		u64 hold = load(&stop.hold, acquire);
		if (load(&quiesce_held, acquire) != using)
			return;
		if (load(&self->hold_ack, relaxed) != hold) {
			store(&self->hold_ack, hold, release);
			self->count.served++;
		}
		quiesce_hook_relax();
	}
}

void quiesce_serve(struct quiesce_cpu *self)
{
	if (quiesce_hook_locks_held())
		quiesce_hook_broken("a CPU came to a safe point with a lock held");
	if (self->depth || self->holds)
		quiesce_hook_broken("the owner of a stop was stopped");

	u64 start = quiesce_hook_ticks();
	while (load(&self->pending, relaxed)) {
		/* Cleared before seen is read: the next NMI may come at any instruction after the release. */
		store(&self->pending, 0, relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		u64 signal = load(&self->seen, relaxed);

		if ((signal & SIGNAL_STOP) && signal != load(&self->ack, relaxed))
			sit_through_stop(self, signal);
		sit_while_held(self);
	}
	self->count.ticks_stopped += quiesce_hook_ticks() - start;
}

/* What the owner waits for. */
enum wait { UNTIL_TOLD, UNTIL_STOPPED, UNTIL_HELD };

static always_inline bool has_answered(const struct quiesce_cpu *c, enum wait wait)
{
	u64 signal = load(&c->signal, relaxed);

	if (wait == UNTIL_STOPPED)
		return load(&c->ack, acquire) == signal;
	if (load(&c->seen, relaxed) != signal)
		return false;
	return wait == UNTIL_TOLD || load(&c->using, acquire) != load(&quiesce_held, relaxed) ||
	       load(&c->hold_ack, acquire) == load(&stop.hold, relaxed);
}

/* Names every CPU that has not answered. */
static void name_silent(const struct quiesce_cpu *self, enum wait wait, u64 waited_ticks)
{
	for (struct quiesce_cpu *c = stop.first; c; c = c->next)
		if (c != self && !has_answered(c, wait))
			quiesce_hook_silent(c->index, load(&stop.epoch, relaxed),
					    load(&c->seen, relaxed) == load(&c->signal, relaxed), waited_ticks);
}

void quiesce_give_up(void)
{
	store(&quiesce_given_up, true, relaxed);
	store(&timeout_ticks, load(&bound_ticks, relaxed), relaxed);
}

/* The wait goes on no longer: the machine goes down now, or it does already and does not need that CPU for it. */
static void give_up(void)
{
	if (load(&quiesce_given_up, relaxed))
		return;
	quiesce_give_up();
	quiesce_hook_give_up();
}

static always_inline void wait_for_others(const struct quiesce_cpu *self, enum wait wait)
{
	u64 start = quiesce_hook_ticks(), bound = load(&bound_ticks, relaxed);
	bool named = false;

	for (struct quiesce_cpu *c = stop.first; c; c = c->next) {
		while (c != self && !has_answered(c, wait)) {
			u64 waited_ticks = quiesce_hook_ticks() - start;
			if (!named && waited_ticks > bound) {
				name_silent(self, wait, waited_ticks);
				named = true;
			}
			if (unlikely(waited_ticks > load(&timeout_ticks, relaxed))) {
				give_up();
				break;
			}
			quiesce_hook_relax();
		}
	}
}

/*
 * Waits for the owner word; `since` is the caller's to set, to the tick before. True: others' stops were served
 * meanwhile.
 */
static bool take_word(struct quiesce_cpu *self)
{
	if (quiesce_hook_locks_held())
		quiesce_hook_broken("a stop was asked for with a lock held");
	if (!self->online)
		quiesce_hook_broken("a stop was asked for by a CPU that is not online");

	u64 served = self->count.served;
	store(&self->wants_owner, 1, relaxed);
	while (!take_owner_word(self->index + 1)) {
		quiesce_poll(self); /* the winner waits for this CPU: serve its stop, or both wait for ever */
		quiesce_hook_relax();
		self->since = quiesce_hook_ticks();
	}
	store(&self->wants_owner, 0, relaxed);
	return self->count.served != served;
}

/* The next signal of a kind for c. Release: before its NMI, and with all that c must find then. */
static always_inline void set_signal(struct quiesce_cpu *c, u32 kind)
{
	store(&c->signal, (load(&c->signal, relaxed) | SIGNAL_STOP) + 1 + kind, release);
}

static void signal_one(struct quiesce_cpu *self, struct quiesce_cpu *c)
{
	set_signal(c, 0);
	quiesce_hook_send_nmi(c->index);
	self->count.nmis_sent++;
}

static u64 next_epoch(struct quiesce_cpu *self)
{
	self->epoch = load(&stop.epoch, relaxed) + 1;
	store(&stop.epoch, self->epoch, relaxed);
	return self->epoch;
}

/* This CPU has the owner word: a new epoch, one NMI to the others, all acknowledged. */
static void stop_others(struct quiesce_cpu *self)
{
	next_epoch(self);
	if (stop.online == 1)
		return;
	for (struct quiesce_cpu *c = stop.first; c; c = c->next)
		if (c != self)
			set_signal(c, SIGNAL_STOP);
	quiesce_hook_send_nmi_all_but_self();
	self->count.nmis_sent++;
	wait_for_others(self, UNTIL_STOPPED);
}

bool quiesce_begin(struct quiesce_cpu *self)
{
	if (self->depth) {
		self->depth++;
		return false;
	}
	u64 start = quiesce_hook_ticks();
	bool stale = false;

	if (!self->holds) {
		self->asked_at = self->since = start;
		stale = take_word(self);
	}
	self->depth = 1;
	stop_others(self);
	self->count.owned++;
	self->count.ticks_waited += quiesce_hook_ticks() - start;
	return stale;
}

/* This CPU has the owner word. Who begins to use the EPT after the loop has looked at it sees that it is held. */
static void hold_others(struct quiesce_cpu *self, u64 ept)
{
	store(&stop.hold, next_epoch(self), release);
	store(&quiesce_held, ept, seq_cst);
	for (struct quiesce_cpu *c = stop.first; c; c = c->next)
		if (c != self && load(&c->using, seq_cst) == ept)
			signal_one(self, c);
	wait_for_others(self, UNTIL_HELD);
}

bool quiesce_begin_ept(struct quiesce_cpu *self, u64 ept)
{
	if (!self->depth && self->holds && quiesce_holds(self) != ept)
		quiesce_hook_broken("an EPT was stopped while another one is");
	if (self->depth || self->holds) {
		*(self->depth ? &self->depth : &self->holds) += 1;
		return false;
	}
	u64 start = self->asked_at = self->since = quiesce_hook_ticks();
	bool stale = take_word(self);

	self->holds = 1;
	hold_others(self, ept);
	self->count.owned++;
	self->count.ticks_waited += quiesce_hook_ticks() - start;
	return stale;
}

bool quiesce_kick(struct quiesce_cpu *self, u64 cpus)
{
	bool owner = self->depth || self->holds, stale;

	if (self->depth || !(cpus & ~BIT(self->index)))
		return false;
	stale = owner ? false : take_word(self);
	for (struct quiesce_cpu *c = stop.first; c; c = c->next)
		if (c != self && (cpus >> c->index & 1))
			signal_one(self, c);
	wait_for_others(self, UNTIL_TOLD);
	if (!owner)
		give_word(self);
	return stale;
}

static void release_all(struct quiesce_cpu *self)
{
	u32 work = self->work;

	self->work = 0;
	self->depth = 0;
	store(&stop.work, work, relaxed); /* nobody reads it: all online CPUs spin on released */
	store(&stop.released, load(&stop.epoch, relaxed), release);
	if (!self->holds)
		give_word(self);
	if (work)
		quiesce_hook_flush(work);
}

static void release_ept(struct quiesce_cpu *self)
{
	self->holds = 0;
	store(&quiesce_held, QUIESCE_NOT_HELD, release);
	give_word(self);
}

bool quiesce_end(struct quiesce_cpu *self)
{
	if (self->depth > 1)
		self->depth--;
	else if (self->depth)
		return release_all(self), true;
	else if (self->holds > 1)
		self->holds--;
	else if (self->holds)
		return release_ept(self), true;
	else
		quiesce_hook_broken("a stop was ended by a CPU that owns none");
	return false;
}

void quiesce_add_work(struct quiesce_cpu *self, u32 work)
{
	if (!quiesce_owned(self))
		quiesce_hook_broken("flush work was added without a stop");
	self->work |= work;
}

u64 quiesce_epoch(const struct quiesce_cpu *self)
{
	return self->depth || self->holds ? self->epoch : 0;
}

void quiesce_set_bounds(u64 bound, u64 timeout)
{
	store(&bound_ticks, bound, relaxed);
	store(&timeout_ticks, timeout ? timeout : ~0ull, relaxed);
}
