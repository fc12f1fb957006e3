/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of order, found before they are a deadlock: every "B is taken while A is held" is remembered for the whole
 * run, and one that closes a circle is reported, though the CPUs never met. A stop counts as a lock that may not be
 * taken with any other held: the core's own check of that (locks_held) ends the run, since these locks are counted
 * there, too. Also here: stops that meet (sim_options.collide). Callers: the locks of core and hypapps, and the chain.
 */
#include "hypapi/sim/machine.h"

#define HYPAPI_SIM
#include <hypapi/lock.h>

#include "cpu/spinlock.h"

#define MAX_EDGES 256

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static struct edge { const void *held, *taken; u32 cpu; } edges[MAX_EDGES];
static u32 edge_count;

/* The first step of a way from one lock to another, NULL: there is none. */
static const struct edge *way(const void *from, const void *to, u32 depth)
{
	for (const struct edge *e = edges; e < edges + edge_count && depth < MAX_EDGES; e++)
		if (e->held == from && (e->taken == to || way(e->taken, to, depth + 1)))
			return e;
	return NULL;
}

static void note_order(const struct sim_cpu *c, u32 held, const void *lock, const char *name)
{
	const void *holds = c->held[held].lock;
	const struct edge *back = way(lock, holds, 0);

	if (holds == lock)
		sim_fault("CPU %u takes %s, which it holds already", c->index, name);
	if (back)
		sim_fault("lock order: CPU %u takes %s (%p) while it holds %s (%p); not so CPU %u", c->index,
			  name, lock, c->held[held].name, holds, back->cpu);
	for (u32 i = 0; i < edge_count; i++)
		if (edges[i].held == holds && edges[i].taken == lock)
			return;
	if (edge_count == MAX_EDGES)
		sim_fault("more than %u pairs of locks", MAX_EDGES);
	edges[edge_count++] = (struct edge){ holds, lock, c->index };
}

void lock_taking(const void *lock, const char *name)
{
	struct sim_cpu *c = sim_self;

	if (!c)
		return;
	/* Only where there is something to check: the mutex would hide races between CPUs from ThreadSanitizer. */
	if (c->held_count) {
		pthread_mutex_lock(&mutex);
		for (u32 i = 0; i < c->held_count; i++)
			note_order(c, i, lock, name);
		pthread_mutex_unlock(&mutex);
	}
	if (c->held_count == LOCKS_HELD)
		sim_fault("CPU %u holds more than %u locks", c->index, LOCKS_HELD);
	c->held[c->held_count].lock = lock;
	c->held[c->held_count++].name = name;
}

void lock_left(const void *lock)
{
	struct sim_cpu *c = sim_self;

	if (!c)
		return;
	for (u32 i = 0; i < c->held_count; i++)
		if (c->held[i].lock == lock) {
			c->held[i] = c->held[--c->held_count];
			return;
		}
	sim_fault("CPU %u gives back a lock that it does not hold", c->index);
}

/* hypapi/lock.h in a hypapp that is built for the simulator. */
_Static_assert(sizeof(struct hypapi_lock) == sizeof(struct spinlock), "the same ticket lock");

void hypapi_sim_lock(struct hypapi_lock *lock, const char *name)
{
	spin_lock_named((struct spinlock *)lock, name);
}

void hypapi_sim_unlock(struct hypapi_lock *lock)
{
	spin_unlock((struct spinlock *)lock);
}

/* ---- Stops that meet ---- */

static u32 waiting, round_number;

static void let_go(void)
{
	waiting = 0;
	round_number++;
}

/* Waits for company, but not if this CPU is asked to stop itself. */
static void meet(struct sim_cpu *c)
{
	pthread_mutex_lock(&mutex);
	u32 mine = round_number;

	waiting++;
	while (round_number == mine) {
		if (waiting > 1 || waiting >= atomic_load_explicit(&machine_active, memory_order_relaxed)) {
			let_go();
		} else if (atomic_load(&c->core->quiesce.pending)) {
			waiting--;
			break;
		} else {
			pthread_mutex_unlock(&mutex);
			machine_relax();
			pthread_mutex_lock(&mutex);
		}
	}
	pthread_mutex_unlock(&mutex);
}

/* The core's files but quiesce.c are compiled with these names in place of quiesce_begin() and its like (sim.mk). */
bool sim_quiesce_begin(struct quiesce_cpu *self);
bool sim_quiesce_begin_ept(struct quiesce_cpu *self, u64 ept);

static void ask(const struct quiesce_cpu *self)
{
	if (machine_options.collide && !self->depth && !self->holds && sim_self->runs)
		meet(sim_self);
}

bool sim_quiesce_begin(struct quiesce_cpu *self)
{
	ask(self);
	return quiesce_begin(self);
}

bool sim_quiesce_begin_ept(struct quiesce_cpu *self, u64 ept)
{
	ask(self);
	return quiesce_begin_ept(self, ept);
}
