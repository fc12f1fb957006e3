/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * A lock for a hypapp's own data, where an atomic variable is not enough and a stop of all CPUs too much. It needs
 * nothing of the core; no capability, no initialisation but zeros. A CPU that waits spins.
 *
 * No lock may be held at a stop: not when hypapi_quiesce(), hypapi_quiesce_ept(), hypapi_post() or
 * hypapi_partition_destroy() is called, and not when a handler returns. The CPU that waits for the lock could not be
 * stopped then, and both would wait for ever. Several locks are taken in one order by all. The simulator finds what
 * breaks these rules in a hypapp that was compiled with HYPAPI_SIM defined.
 */
#ifndef HYPAPI_LOCK_H
#define HYPAPI_LOCK_H

#include <stdint.h>

/** A lock; zeroed: free. CPUs get it in the order in which they came. @since 1.2 */
struct hypapi_lock {
	uint32_t next;    /**< ticket of the CPU that comes next */
	uint32_t serving; /**< ticket of the CPU that has it */
};

#ifdef HYPAPI_SIM
/** @cond */
void hypapi_sim_lock(struct hypapi_lock *lock, const char *name);
void hypapi_sim_unlock(struct hypapi_lock *lock);
#define hypapi_lock(lock) hypapi_sim_lock(lock, #lock)
#define hypapi_unlock(lock) hypapi_sim_unlock(lock)
/** @endcond */
#else
/** @cond */
/* How many CPUs hold or want one of this hypapp's locks: who faults meanwhile is not dropped. */
__attribute__((weak)) uint32_t hypapi_locks_held;
/** @endcond */

/**
 * Takes a lock; waits for it. Any CPU, in a handler.
 * @param lock  not held by this CPU
 * @since 1.2
 */
static inline void hypapi_lock(struct hypapi_lock *lock)
{
	(void)__atomic_fetch_add(&hypapi_locks_held, 1, __ATOMIC_RELAXED);
	uint32_t mine = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != mine)
		__builtin_ia32_pause();
}

/**
 * Gives it back.
 * @param lock  held by this CPU
 * @since 1.2
 */
static inline void hypapi_unlock(struct hypapi_lock *lock)
{
	__atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
	(void)__atomic_fetch_sub(&hypapi_locks_held, 1, __ATOMIC_RELAXED);
}

#endif
#endif
