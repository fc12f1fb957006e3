/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ticket lock. Invariant: a CPU that holds any lock never begins a stop, and never serves one (an NMI only sets a
 * flag), so the number of locks held is counted per CPU and quiesce_begin() asserts that it is zero.
 */
#ifndef XMHF_SPINLOCK_H
#define XMHF_SPINLOCK_H

#include "cpu/percpu.h"
#include "cpu/x86.h"

#define SPINS_AFTER_GIVING_UP 100000u

struct spinlock {
	_Atomic u32 next, serving;
};

static inline void spin_lock(struct spinlock *lock)
{
	percpu_locks_add(1);
	u32 mine = atomic_fetch_add_explicit(&lock->next, 1, memory_order_relaxed);

	for (u32 turn = 0; atomic_load_explicit(&lock->serving, memory_order_acquire) != mine; turn++) {
		/* Its holder never comes back perhaps. All that is left to do is to wipe, and to reset. */
		if (unlikely(atomic_load_explicit(&quiesce_given_up, memory_order_relaxed)) &&
		    turn > SPINS_AFTER_GIVING_UP)
			break;
		cpu_pause();
	}
}

/* False: somebody has it, or waits for it. */
static inline bool spin_trylock(struct spinlock *lock)
{
	u32 now = atomic_load_explicit(&lock->serving, memory_order_relaxed);

	if (!atomic_compare_exchange_strong_explicit(&lock->next, &now, now + 1, memory_order_acquire,
						     memory_order_relaxed))
		return false;
	percpu_locks_add(1);
	return true;
}

static inline void spin_unlock(struct spinlock *lock)
{
	u32 now = atomic_load_explicit(&lock->serving, memory_order_relaxed);

	atomic_store_explicit(&lock->serving, now + 1, memory_order_release);
	percpu_locks_add(-1);
}

#endif
