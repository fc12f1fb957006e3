/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulator must find what is planted here: flushes that the core forgets, locks in two orders, a stop with a lock
 * held, a value that is used though a stop came between. Each test runs the same code with and without the fault. The
 * flushes are dropped between the core's files, by the linker's --wrap (hypapi/sim/sim.mk).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/lock.h>
#include <hypapi/sim_cmocka.h>

enum { TAKE = 0x10, LOCK_AB, LOCK_BA, STOP_LOCKED, COUNT, COUNT_RUNNING, HLT = 12, GP = 13, TSAN_STATUS = 66 };
enum { FLUSH_EPT = 1, FLUSH_EPT02 = 2 }; /* enum quiesce_work of the core */

/* ---- The core's flush work on its way from who takes rights to the release ---- */

struct quiesce_cpu;
void __real_quiesce_add_work(struct quiesce_cpu *self, uint32_t work);
void __wrap_quiesce_add_work(struct quiesce_cpu *self, uint32_t work);
static uint32_t dropped_work;

void __wrap_quiesce_add_work(struct quiesce_cpu *self, uint32_t work)
{
	__real_quiesce_add_work(self, work & ~dropped_work);
}

/* ---- A hypapp, with faults to be switched on ---- */

static struct hypapi_lock lock_a, lock_b;
static uint64_t counter;          /* changed under a stop */
static uint64_t running_counter;  /* changed without one: a race */
static bool ignore_answer;        /* planted: a stop came between, and what was read before is used all the same */

static void take_both(struct hypapi_lock *first, struct hypapi_lock *second)
{
	hypapi_lock(first);
	hypapi_lock(second);
	hypapi_unlock(second);
	hypapi_unlock(first);
}

/* RBX: page; RCX: the rights that L1 keeps. */
static int take_page(struct hypapi_event *ev)
{
	int stop = hypapi_quiesce(ev);

	return stop < 0 ? stop : hypapi_memory_restrict(ev, GPA1(hypapi_reg_get(ev, HYPAPI_REG_RBX)), 1,
							(uint32_t)hypapi_reg_get(ev, HYPAPI_REG_RCX));
}

static int stop_with_lock(struct hypapi_event *ev)
{
	hypapi_lock(&lock_a);
	int stop = hypapi_quiesce(ev);

	hypapi_unlock(&lock_a);
	return stop;
}

static int count(struct hypapi_event *ev)
{
	uint64_t seen = counter;
	int stop = hypapi_quiesce(ev);

	if (stop > 0 && !ignore_answer)
		seen = counter;
	counter = seen + 1;
	return stop < 0 ? stop : 0;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	int result = 0;

	switch (ev->args.hypercall.number) {
	case TAKE: result = take_page(ev); break;
	case LOCK_AB: take_both(&lock_a, &lock_b); break;
	case LOCK_BA: take_both(&lock_b, &lock_a); break;
	case STOP_LOCKED: result = stop_with_lock(ev); break;
	case COUNT: result = count(ev); break;
	case COUNT_RUNNING: running_counter++; break;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)result);
	return HYPAPI_HANDLED;
}

/* The memory that was taken: L1 gets #GP. */
static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_DENY;
}

HYPAPP_DEFINE(faulty,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = TAKE, .last = COUNT_RUNNING },
	});

static const struct hypapp_descriptor *const hypapps[] = { &hypapp_faulty, NULL };

/* ---- A page that is taken while another CPU has its translation ---- */

static gpa1_t page;
static struct sim_l2 *l2;
static uint32_t progress; /* atomic; the two CPUs take turns */

static void wait_for(uint32_t step)
{
	while (__atomic_load_n(&progress, __ATOMIC_ACQUIRE) < step)
		sim_pause();
}

static void reach(uint32_t step)
{
	__atomic_store_n(&progress, step, __ATOMIC_RELEASE);
}

static void taker(void *arg)
{
	(void)arg;
	wait_for(1);
	sim_set(HYPAPI_REG_RBX, page.addr);
	sim_set(HYPAPI_REG_RCX, 0);
	sim_assert(sim_hypercall(TAKE) == 0 && sim_get(HYPAPI_REG_RAX) == 0);
	reach(2);
}

static void reader(void *arg)
{
	gva_t at = *(const gva_t *)arg;
	uint64_t value;

	sim_write64(at, 1);
	reach(1);
	wait_for(2);
	sim_assert(sim_read(at, &value, sizeof(value)) == GP);
}

static void reader_in_l2(void *arg)
{
	sim_assert(sim_l2_run(l2, reader, arg, NULL) == HLT);
}

static void page_is_taken(uint32_t dropped, bool from_l2)
{
	gva_t at = GVA(0x3000);

	dropped_work = dropped;
	sim_boot(hypapps, &(struct sim_options){ .seconds = 5 });
	l2 = sim_l2_create(1 << 20);
	page = sim_l2_memory(l2, GPA2(at.addr));
	at.addr = from_l2 ? at.addr : page.addr;
	sim_start(1, from_l2 ? reader_in_l2 : reader, &at);
	sim_start(0, taker, NULL);
	sim_wait();
}

static void flushes_l1(void **state) { (void)state; page_is_taken(0, false); }
static void flushes_l2(void **state) { (void)state; page_is_taken(0, true); }
static void forgets_l1(void **state) { (void)state; page_is_taken(FLUSH_EPT | FLUSH_EPT02, false); }
static void forgets_l2(void **state) { (void)state; page_is_taken(FLUSH_EPT | FLUSH_EPT02, true); }
static void forgets_ept02(void **state) { (void)state; page_is_taken(FLUSH_EPT02, true); }

/* ---- Locks ---- */

static void hypercalls(void *arg)
{
	for (const uint32_t *number = arg; *number; number++)
		sim_assert(sim_hypercall(*number) == 0);
}

/* One after the other, so that no run depends on luck: the order is wrong, though nobody waits. */
static void with_hypercalls(const uint32_t *first, const uint32_t *second)
{
	sim_boot(hypapps, &(struct sim_options){ .seconds = 5 });
	sim_run(0, hypercalls, (void *)first);
	sim_run(1, hypercalls, (void *)second);
}

static void locks_in_one_order(void **state)
{
	(void)state;
	with_hypercalls((const uint32_t[]){ LOCK_AB, 0 }, (const uint32_t[]){ LOCK_AB, COUNT, 0 });
}

static void locks_in_two_orders(void **state)
{
	(void)state;
	with_hypercalls((const uint32_t[]){ LOCK_AB, 0 }, (const uint32_t[]){ LOCK_BA, 0 });
}

static void stops_with_a_lock(void **state)
{
	(void)state;
	with_hypercalls((const uint32_t[]){ STOP_LOCKED, 0 }, (const uint32_t[]){ 0 });
}

/* ---- What was read before a stop ---- */

static void stops_meet(bool planted)
{
	const uint32_t calls[] = { COUNT, COUNT, COUNT, COUNT, COUNT, 0 };

	ignore_answer = planted;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 3, .collide = true, .seconds = 5 });
	sim_run_all(hypercalls, (void *)calls);
	if (counter != 3 * 5)
		sim_fault("of 15 calls %lu were counted", (unsigned long)counter);
}

static void reads_again(void **state) { (void)state; stops_meet(false); }
static void uses_stale_value(void **state) { (void)state; stops_meet(true); }

#ifdef __SANITIZE_THREAD__
static void counts_without_a_stop(void **state)
{
	const uint32_t calls[] = { COUNT_RUNNING, 0 };

	(void)state;
	sim_boot(hypapps, NULL);
	sim_run_all(hypercalls, (void *)calls);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(flushes_l1),
		sim_test(flushes_l2),
		sim_test_fault(forgets_l1, "CPU 1, L1: a stale translation"),
		sim_test_fault(forgets_l2, "CPU 1, L2: a stale translation"),
		sim_test_fault(forgets_ept02, "CPU 1, L2: a wrong translation"),
		sim_test(locks_in_one_order),
		sim_test_fault(locks_in_two_orders, "lock order"),
		sim_test_fault(stops_with_a_lock, "with a lock held"),
		sim_test(reads_again),
		sim_test_fault(uses_stale_value, "of 15 calls"),
#ifdef __SANITIZE_THREAD__
		sim_case_of(counts_without_a_stop, TSAN_STATUS, NULL),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
