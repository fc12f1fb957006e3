/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of xmhf/cpu/spinlock.h: the same ticket lock, and each is told to the order check of hypapi/sim/lock.c. */
#ifndef XMHF_SPINLOCK_H
#define XMHF_SPINLOCK_H

#include "cpu/percpu.h"
#include "cpu/x86.h"

struct spinlock {
	_Atomic u32 next, serving;
};

void lock_taking(const void *lock, const char *name); /* before a CPU waits for it */
void lock_left(const void *lock);

static inline void spin_lock_named(struct spinlock *lock, const char *name)
{
	percpu_locks_add(1);
	lock_taking(lock, name);
	u32 mine = atomic_fetch_add_explicit(&lock->next, 1, memory_order_relaxed);

	while (atomic_load_explicit(&lock->serving, memory_order_acquire) != mine)
		cpu_pause();
}
#define spin_lock(lock) spin_lock_named(lock, #lock)

static inline void spin_unlock(struct spinlock *lock)
{
	u32 now = atomic_load_explicit(&lock->serving, memory_order_relaxed);

	lock_left(lock);
	atomic_store_explicit(&lock->serving, now + 1, memory_order_release);
	percpu_locks_add(-1);
}

#endif
