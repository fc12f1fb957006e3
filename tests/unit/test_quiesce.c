/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of xmhf/quiesce/quiesce.c on one thread: counters, nesting, whose NMI it was, naming of a silent CPU, the
 * release's flush work, hand-over, stops of one EPT, kicks. The other CPUs are played by the hooks: what they do while
 * this thread waits is a script that quiesce_hook_relax() takes one step of a call. Concurrency is tested by
 * quiesce_threads.c and the model.
 *
 *   gcc -std=gnu11 -g -fsanitize=address,undefined -Wall -Wextra -Werror -I xmhf -I hypapi/include THIS_FILE -lcmocka
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* Included, not linked: each test starts with its file-local state cleared. */
#include "quiesce/quiesce.c"

enum { CPUS = 3, BOUND = 200000000, EPT12 = 0x1000 | 0x1e };

static struct quiesce_cpu cpus[CPUS];
static struct quiesce_cpu *const zero = &cpus[0], *const one = &cpus[1], *const two = &cpus[2];

/* What the hooks saw and what they answer. */
static u64 now;
static u32 broadcasts, flushes, flushed_work, locks;
static u64 directed; /* mask of CPUs that were sent an NMI of their own */
static u32 silent_cpus[8], silent_count;
static bool silent_nmi_taken;
static u64 silent_ticks;
static u32 given_up;
static jmp_buf machine_is_down;
static void (*on_relax)(u32 turn); /* the other CPUs' next step */
static u32 relax_turn;

void quiesce_hook_send_nmi_all_but_self(void)
{
	broadcasts++;
}

void quiesce_hook_send_nmi(u32 cpu)
{
	assert_int_equal(directed & BIT(cpu), 0);
	directed |= BIT(cpu);
}

void quiesce_hook_flush(u32 work)
{
	flushes++;
	flushed_work = work;
}

u64 quiesce_hook_ticks(void)
{
	return now += 10;
}

void quiesce_hook_relax(void)
{
	assert_non_null(on_relax); /* nobody else would ever move: it would spin for ever */
	assert_true(relax_turn < 1000);
	on_relax(relax_turn++);
}

u32 quiesce_hook_locks_held(void)
{
	return locks;
}

void quiesce_hook_silent(u32 cpu, u64 epoch, bool nmi_taken, u64 ticks)
{
	assert_int_equal(epoch, load(&stop.epoch, relaxed));
	silent_cpus[silent_count++] = cpu;
	silent_nmi_taken = nmi_taken;
	silent_ticks = ticks;
}

/* As the core's: what is done on the way down asks for stops. */
_Noreturn void quiesce_hook_give_up(void)
{
	given_up++;
	assert_true(load(&quiesce_given_up, relaxed));
	(void)!quiesce_begin(zero);
	assert_true(quiesce_owned(zero));
	(void)!quiesce_begin(zero);
	longjmp(machine_is_down, 1);
}

_Noreturn void quiesce_hook_broken(const char *rule)
{
	mock_assert(0, rule, __FILE__, __LINE__); /* back to expect_assert_failure() */
	__builtin_unreachable();
}

static int set_up(void **state)
{
	(void)state;
	memset(&stop, 0, sizeof stop);
	memset(cpus, 0, sizeof cpus);
	store(&quiesce_held, QUIESCE_NOT_HELD, relaxed);
	directed = 0;
	now = given_up = broadcasts = flushes = flushed_work = locks = silent_count = relax_turn = 0;
	on_relax = NULL;
	quiesce_set_bounds(BOUND, 0);
	store(&quiesce_given_up, false, relaxed);
	for (u32 i = 0; i < CPUS; i++)
		quiesce_online(&cpus[i], i);
	return 0;
}

/* Another CPU takes its NMI and acknowledges; what it does after the release is not played. */
static void answer(struct quiesce_cpu *cpu)
{
	assert_true(quiesce_nmi(cpu));
	assert_int_equal(load(&cpu->pending, relaxed), 1);
	store(&cpu->pending, 0, relaxed);
	store(&cpu->ack, load(&cpu->seen, relaxed), release);
}

static void both_answer(u32 turn)
{
	if (turn % 2 == 0)
		answer(one);
	else
		answer(two);
}

static void stop_by_zero(void)
{
	relax_turn = 0;
	on_relax = both_answer;
	assert_false(quiesce_begin(zero));
}

/* cpu owns the word and has stopped the world by epoch, without this file's begin. */
static void foreign_stop(struct quiesce_cpu *cpu, u64 epoch)
{
	store(&stop.owner, cpu->index + 1, relaxed);
	store(&stop.epoch, epoch, relaxed);
	for (struct quiesce_cpu *c = stop.first; c; c = c->next)
		if (c != cpu)
			set_signal(c, SIGNAL_STOP);
}

static void foreign_release(u32 work, u32 next)
{
	store(&stop.work, work, relaxed);
	store(&stop.released, load(&stop.epoch, relaxed), relaxed);
	store(&stop.owner, next, relaxed);
}

static void a_stop_waits_for_all_and_counts(void **state)
{
	(void)state;
	assert_int_equal(quiesce_epoch(zero), 0);
	stop_by_zero();
	assert_int_equal(relax_turn, 2);
	assert_true(quiesce_owned(zero));
	assert_int_equal(quiesce_epoch(zero), 1);
	assert_int_equal(broadcasts, 1);
	assert_int_equal(zero->count.owned, 1);
	assert_int_equal(zero->count.nmis_sent, 1);
	assert_true(zero->count.ticks_waited > 0);
	assert_int_equal(zero->count.served, 0);

	quiesce_end(zero);
	assert_false(quiesce_owned(zero));
	assert_int_equal(quiesce_epoch(zero), 0);
	assert_int_equal(zero->epoch, 1); /* the trace reads it after the stop */
	assert_int_equal(load(&stop.released, relaxed), 1);
	assert_int_equal(load(&stop.owner, relaxed), 0);
	assert_int_equal(flushes, 0); /* no work was added */

	stop_by_zero();
	assert_int_equal(quiesce_epoch(zero), 2);
	assert_int_equal(broadcasts, 2);
	quiesce_end(zero);
}

static void nested_begins_are_free(void **state)
{
	(void)state;
	stop_by_zero();
	u64 waited = zero->count.ticks_waited;
	on_relax = NULL;
	locks = 1; /* no stop is begun, so the rule on locks does not apply */
	assert_false(quiesce_begin(zero));
	locks = 0;
	assert_int_equal(zero->count.owned, 1);
	assert_int_equal(zero->count.ticks_waited, waited);
	assert_int_equal(broadcasts, 1);

	quiesce_end(zero);
	assert_true(quiesce_owned(zero));
	assert_int_equal(load(&stop.released, relaxed), 0);
	quiesce_end(zero);
	assert_false(quiesce_owned(zero));
	assert_int_equal(load(&stop.released, relaxed), 1);
}

static void a_cpu_alone_sends_no_nmi(void **state)
{
	(void)state;
	memset(&stop, 0, sizeof stop);
	memset(cpus, 0, sizeof cpus);
	quiesce_online(zero, 0);
	assert_false(quiesce_begin(zero));
	assert_int_equal(quiesce_epoch(zero), 1);
	assert_false(quiesce_nmi(zero));
	quiesce_end(zero);
	assert_int_equal(broadcasts, 0);
	assert_int_equal(zero->count.nmis_sent, 0);
	assert_int_equal(zero->count.owned, 1);
}

static void whose_nmi_it_was(void **state)
{
	(void)state;
	assert_false(quiesce_nmi(one)); /* no stop was ever asked for: the guest's */
	foreign_stop(zero, 1);
	assert_true(quiesce_nmi(one));
	assert_int_equal(load(&one->seen, relaxed), load(&one->signal, relaxed));
	assert_int_equal(load(&one->ack, relaxed), 0); /* the handler acknowledges nothing */
	assert_false(quiesce_nmi(one)); /* a second one in the same stop: whichever came first, one is the guest's */
	assert_int_equal(load(&one->pending, relaxed), 1);
}

static void the_owners_nmis_are_the_guests(void **state)
{
	(void)state;
	foreign_stop(zero, 1); /* nobody signals it */
	assert_false(quiesce_nmi(zero));
	assert_int_equal(load(&zero->pending, relaxed), 0);
	assert_int_equal(load(&zero->seen, relaxed), 0);
}

static void an_nmi_before_online_is_nobodys(void **state)
{
	(void)state;
	struct quiesce_cpu late = { 0 };
	foreign_stop(zero, 1);
	assert_true(quiesce_nmi(&late));
	assert_int_equal(load(&late.pending, relaxed), 0);
}

static void two_stops_in_one_serve(u32 turn)
{
	if (turn == 0) {
		assert_int_equal(load(&one->ack, relaxed), load(&one->signal, relaxed));
		foreign_release(QUIESCE_FLUSH_EPT, 0);
		foreign_stop(two, 2);
		assert_true(quiesce_nmi(one)); /* before the first release was even noticed */
	} else {
		assert_int_equal(load(&one->ack, relaxed), load(&one->signal, relaxed));
		assert_int_equal(flushes, 1);
		foreign_release(0, 0);
	}
}

static void a_stop_that_follows_at_once_is_served_too(void **state)
{
	(void)state;
	foreign_stop(zero, 1);
	assert_true(quiesce_nmi(one));
	on_relax = two_stops_in_one_serve;
	quiesce_poll(one);
	assert_int_equal(relax_turn, 2);
	assert_int_equal(one->count.served, 2);
	assert_int_equal(flushes, 1);
	assert_int_equal(load(&one->pending, relaxed), 0);
	assert_true(one->count.ticks_stopped > 0);

	quiesce_poll(one); /* nothing pending: no hook is called */
	assert_int_equal(relax_turn, 2);
}

/* CPU 1 has the word when CPU 0 asks; then it stops, releases and hands over, and the others answer CPU 0. */
static void loser_script(u32 turn)
{
	switch (turn) {
	case 0:
		assert_int_equal(load(&zero->wants_owner, relaxed), 1);
		foreign_stop(one, 1);
		assert_true(quiesce_nmi(zero));
		break;
	case 1:
		/* served from inside quiesce_begin() */
		assert_int_equal(load(&zero->ack, relaxed), load(&zero->signal, relaxed));
		assert_int_equal(next_owner(one), 1);
		answer(two);
		foreign_release(QUIESCE_FLUSH_EPT02, 1);
		break;
	case 2:
		break; /* back in the loop that waits for the word */
	default:
		both_answer(turn);
	}
}

static void the_loser_serves_and_is_told(void **state)
{
	(void)state;
	store(&stop.owner, 2, relaxed);
	on_relax = loser_script;
	assert_true(quiesce_begin(zero)); /* what was read before may be stale */
	assert_int_equal(quiesce_epoch(zero), 2);
	assert_int_equal(zero->count.served, 1);
	assert_int_equal(zero->count.owned, 1);
	assert_int_equal(flushed_work, QUIESCE_FLUSH_EPT02);
	assert_int_equal(load(&zero->wants_owner, relaxed), 0);
	quiesce_end(zero);

	stop_by_zero(); /* nothing was served this time, and begin says so */
	quiesce_end(zero);
}

static void the_word_goes_round(void **state)
{
	(void)state;
	store(&one->wants_owner, 1, relaxed);
	store(&two->wants_owner, 1, relaxed);
	stop_by_zero();
	quiesce_end(zero);
	u32 first = load(&stop.owner, relaxed);
	assert_true(first == 2 || first == 3);
	struct quiesce_cpu *next = &cpus[first - 1];
	store(&next->wants_owner, 0, relaxed);
	store(&zero->wants_owner, 1, relaxed); /* asked later: its turn comes after the one who waits already */
	assert_int_equal(next_owner(next), 5 - first);
	store(&stop.joining, 8, relaxed); /* a CPU that comes online is first */
	assert_int_equal(next_owner(next), 8);
}

static void release_carries_the_work(void **state)
{
	(void)state;
	stop_by_zero();
	quiesce_add_work(zero, QUIESCE_FLUSH_EPT);
	quiesce_add_work(zero, QUIESCE_FLUSH_EPT02);
	quiesce_end(zero);
	assert_int_equal(load(&stop.work, relaxed), QUIESCE_FLUSH_EPT | QUIESCE_FLUSH_EPT02);
	assert_int_equal(flushes, 1); /* the owner has a TLB too */
	assert_int_equal(flushed_work, QUIESCE_FLUSH_EPT | QUIESCE_FLUSH_EPT02);

	stop_by_zero(); /* the next release does not repeat it */
	quiesce_end(zero);
	assert_int_equal(load(&stop.work, relaxed), 0);
	assert_int_equal(flushes, 1);
}

static void answer_late(u32 turn)
{
	if (turn == 0)
		answer(two);
	else if (turn == 50)
		assert_true(quiesce_nmi(one));
	else if (turn == 90)
		store(&one->ack, load(&one->seen, relaxed), release);
}

static void a_silent_cpu_is_named_once_a_stop(void **state)
{
	(void)state;
	quiesce_set_bounds(200, 0);
	on_relax = answer_late;
	assert_false(quiesce_begin(zero));
	assert_int_equal(silent_count, 1);
	assert_int_equal(silent_cpus[0], 1);
	assert_false(silent_nmi_taken);
	assert_true(silent_ticks > 200);
	quiesce_end(zero);

	store(&one->pending, 0, relaxed);
	quiesce_set_bounds(700, 0); /* this time its NMI has arrived before the bound */
	relax_turn = 0;
	assert_false(quiesce_begin(zero));
	assert_int_equal(silent_count, 2);
	assert_true(silent_nmi_taken);
	quiesce_end(zero);
}

static void only_two_answers(u32 turn)
{
	if (turn == 0 && load(&two->signal, relaxed) != load(&two->seen, relaxed))
		answer(two);
}

static void without_a_timeout_the_wait_goes_on(void **state)
{
	(void)state;
	quiesce_set_bounds(100, 0);
	on_relax = answer_late; /* long after */
	assert_false(quiesce_begin(zero));
	assert_int_equal(given_up, 0);
}

/*
 * A stop of all, one of an EPT, a kick: each ends in the hook once, with a silent CPU and with the stops of the hook.
 */
static void a_timeout_takes_the_machine_down(void **state)
{
	for (volatile u32 form = 0; form < 3; form++) {
		set_up(state);
		quiesce_set_bounds(100, 500);
		on_relax = only_two_answers;
		assert_false(quiesce_use(one, EPT12));
		assert_false(quiesce_use(two, EPT12));
		if (setjmp(machine_is_down) == 0) {
			if (form == 0)
				(void)!quiesce_begin(zero);
			else if (form == 1)
				(void)!quiesce_begin_ept(zero, EPT12);
			else
				(void)!quiesce_kick(zero, BIT(1));
			fail();
		}
		assert_int_equal(given_up, 1);
		assert_in_range(now, 500, 2000);
		assert_int_equal(load(&stop.owner, relaxed), 1);
	}
}

static void take_nmi_of_two(u32 turn)
{
	if (turn == 3)
		assert_true(quiesce_nmi(two));
}

static void a_kick_waits_for_the_nmi_and_stops_nobody(void **state)
{
	(void)state;
	on_relax = take_nmi_of_two;
	assert_false(quiesce_kick(zero, BIT(0) | BIT(2)));
	assert_int_equal(relax_turn, 4);
	assert_int_equal(directed, BIT(2));
	assert_int_equal(broadcasts, 0);
	assert_int_equal(zero->count.owned, 0);
	assert_int_equal(load(&stop.owner, relaxed), 0);
	assert_int_equal(load(&stop.epoch, relaxed), 0);
	assert_false(quiesce_nmi(one)); /* nobody called it */
	on_relax = NULL;
	quiesce_poll(two); /* returns at once */
	assert_int_equal(two->count.served, 0);
	assert_false(quiesce_nmi(two));

	assert_false(quiesce_kick(zero, BIT(0))); /* itself only: nothing to do */
	stop_by_zero();
	assert_false(quiesce_kick(zero, ~0ull)); /* they are at a safe point */
	assert_int_equal(directed, BIT(2));
	quiesce_end(zero);
}

static void a_stop_follows_a_kick_that_was_not_looked_at(void **state)
{
	(void)state;
	on_relax = take_nmi_of_two;
	assert_false(quiesce_kick(zero, BIT(2)));
	stop_by_zero();
	assert_int_equal(load(&two->ack, relaxed), load(&two->signal, relaxed));
	quiesce_end(zero);
}

/* CPU 1 runs on the EPT, CPU 2 comes to use it while CPU 0 waits for CPU 1. */
static void hold_script(u32 turn)
{
	switch (turn) {
	case 0:
		assert_int_equal(directed, BIT(1));
		assert_true(quiesce_use(two, EPT12));
		assert_int_equal(load(&two->pending, relaxed), 1); /* without any NMI */
		break;
	case 1:
		assert_true(quiesce_nmi(one));
		break;
	case 2:
		store(&one->hold_ack, load(&stop.hold, relaxed), release);
		break;
	default:
		store(&two->hold_ack, load(&stop.hold, relaxed), release);
	}
}

static void a_stop_of_one_ept_waits_for_those_that_use_it(void **state)
{
	(void)state;
	assert_false(quiesce_use(one, EPT12));
	assert_false(quiesce_use(two, QUIESCE_EPT01));
	on_relax = hold_script;
	assert_false(quiesce_begin_ept(zero, EPT12));
	assert_true(relax_turn > 2);
	assert_false(quiesce_owned(zero));
	assert_int_equal(quiesce_holds(zero), EPT12);
	assert_int_equal(quiesce_epoch(zero), 1);
	assert_int_equal(zero->count.owned, 1);
	assert_int_equal(broadcasts, 0);
	assert_true(quiesce_use(zero, EPT12)); /* the owner looks, too, but when it does the stop is over */
	quiesce_end(zero);
	on_relax = NULL;
	quiesce_poll(zero);
}

static void others_use_others(void **state)
{
	(void)state;
	assert_false(quiesce_use(one, EPT12));
	assert_false(quiesce_begin_ept(zero, QUIESCE_EPT01)); /* nobody is sent an NMI, nobody is waited for */
	assert_int_equal(directed, 0);
	quiesce_end(zero);
	assert_int_equal(load(&stop.owner, relaxed), 0);
	assert_int_equal(quiesce_holds(zero), QUIESCE_NOT_HELD);
	assert_int_equal(quiesce_epoch(zero), 0);
}

static void kinds_of_stops_nest(void **state)
{
	(void)state;
	assert_false(quiesce_begin_ept(zero, EPT12));
	on_relax = both_answer;
	assert_false(quiesce_begin(zero)); /* stops the rest */
	assert_int_equal(quiesce_epoch(zero), 2);
	assert_false(quiesce_begin_ept(zero, EPT12)); /* in a stop of all there is nothing to do */
	quiesce_end(zero);
	assert_false(quiesce_begin_ept(zero, QUIESCE_EPT01)); /* of whichever EPT */
	quiesce_end(zero);
	assert_true(quiesce_owned(zero));
	quiesce_add_work(zero, QUIESCE_FLUSH_EPT);
	quiesce_end(zero);
	assert_false(quiesce_owned(zero));
	assert_int_equal(load(&stop.released, relaxed), 2);
	assert_int_equal(flushes, 1);
	assert_int_equal(quiesce_holds(zero), EPT12); /* the rest goes on */
	assert_int_equal(load(&stop.owner, relaxed), 1);
	assert_false(quiesce_begin_ept(zero, EPT12));
	quiesce_end(zero);
	assert_int_equal(quiesce_holds(zero), EPT12);
	quiesce_end(zero);
	assert_int_equal(load(&stop.owner, relaxed), 0);
	expect_assert_failure(quiesce_end(zero));
}

/* CPU 1 is held by CPU 0, which stops all meanwhile, and at last releases the EPT. */
static void held_script(u32 turn)
{
	switch (turn) {
	case 0:
		assert_int_equal(load(&one->hold_ack, relaxed), 5);
		foreign_stop(zero, 6);
		assert_true(quiesce_nmi(one));
		break;
	case 1:
		assert_int_equal(load(&one->ack, relaxed), load(&one->signal, relaxed));
		foreign_release(QUIESCE_FLUSH_EPT02, 1);
		break;
	case 2:
		assert_int_equal(flushes, 1);
		break; /* held still */
	default:
		store(&quiesce_held, QUIESCE_NOT_HELD, relaxed);
	}
}

static void a_held_cpu_serves_stops_of_all(void **state)
{
	(void)state;
	store(&stop.owner, 1, relaxed);
	store(&stop.hold, 5, relaxed);
	store(&stop.epoch, 5, relaxed);
	store(&quiesce_held, EPT12, relaxed);
	assert_true(quiesce_use(one, EPT12));
	on_relax = held_script;
	quiesce_poll(one);
	assert_int_equal(relax_turn, 4);
	assert_int_equal(one->count.served, 2);
}

static void all_answer_late(u32 turn)
{
	if (turn >= 40)
		both_answer(turn);
}

static void every_silent_cpu_is_named(void **state)
{
	(void)state;
	quiesce_set_bounds(100, 0);
	on_relax = all_answer_late;
	assert_false(quiesce_begin(zero));
	assert_int_equal(silent_count, 2);
	assert_int_equal(silent_cpus[0] + silent_cpus[1], 3);
	quiesce_end(zero);
}

static void free_the_word(u32 turn)
{
	if (turn == 1) {
		assert_int_equal(load(&stop.joining, relaxed), 4);
		foreign_release(0, next_owner(zero));
	}
}

static void a_cpu_comes_online_between_stops(void **state)
{
	(void)state;
	struct quiesce_cpu late = { 0 };
	foreign_stop(zero, 1);
	on_relax = free_the_word;
	quiesce_online(&late, 3);
	assert_int_equal(relax_turn, 2);
	assert_int_equal(load(&stop.owner, relaxed), 0);
	assert_int_equal(load(&stop.joining, relaxed), 0);
	assert_int_equal(stop.online, 4);
	assert_false(quiesce_nmi(&late)); /* the stop before it came is not its own */
}

static void broken_rules_are_found(void **state)
{
	(void)state;
	expect_assert_failure(quiesce_end(zero));
	expect_assert_failure(quiesce_add_work(zero, 1));
	locks = 1;
	expect_assert_failure((void)!quiesce_begin(zero));
	foreign_stop(one, 1);
	assert_true(quiesce_nmi(zero));
	expect_assert_failure(quiesce_poll(zero));
	struct quiesce_cpu offline = { 0 };
	locks = 0;
	expect_assert_failure((void)!quiesce_begin(&offline));
	expect_assert_failure((void)!quiesce_kick(&offline, 2));
	store(&stop.owner, 0, relaxed);
	assert_false(quiesce_begin_ept(two, EPT12));
	expect_assert_failure((void)!quiesce_begin_ept(two, QUIESCE_EPT01));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_stop_waits_for_all_and_counts, set_up),
		cmocka_unit_test_setup(nested_begins_are_free, set_up),
		cmocka_unit_test_setup(a_cpu_alone_sends_no_nmi, set_up),
		cmocka_unit_test_setup(whose_nmi_it_was, set_up),
		cmocka_unit_test_setup(the_owners_nmis_are_the_guests, set_up),
		cmocka_unit_test_setup(an_nmi_before_online_is_nobodys, set_up),
		cmocka_unit_test_setup(a_stop_that_follows_at_once_is_served_too, set_up),
		cmocka_unit_test_setup(the_loser_serves_and_is_told, set_up),
		cmocka_unit_test_setup(the_word_goes_round, set_up),
		cmocka_unit_test_setup(release_carries_the_work, set_up),
		cmocka_unit_test_setup(a_silent_cpu_is_named_once_a_stop, set_up),
		cmocka_unit_test_setup(every_silent_cpu_is_named, set_up),
		cmocka_unit_test_setup(without_a_timeout_the_wait_goes_on, set_up),
		cmocka_unit_test_setup(a_timeout_takes_the_machine_down, set_up),
		cmocka_unit_test_setup(a_cpu_comes_online_between_stops, set_up),
		cmocka_unit_test_setup(a_kick_waits_for_the_nmi_and_stops_nobody, set_up),
		cmocka_unit_test_setup(a_stop_follows_a_kick_that_was_not_looked_at, set_up),
		cmocka_unit_test_setup(a_stop_of_one_ept_waits_for_those_that_use_it, set_up),
		cmocka_unit_test_setup(others_use_others, set_up),
		cmocka_unit_test_setup(kinds_of_stops_nest, set_up),
		cmocka_unit_test_setup(a_held_cpu_serves_stops_of_all, set_up),
		cmocka_unit_test_setup(broken_rules_are_found, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
