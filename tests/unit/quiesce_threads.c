/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The quiesce protocol (xmhf/quiesce/quiesce.c itself, included below) on host threads, one a CPU.
 *
 * An NMI is SIGUSR1: like the real one it is blocked from its arrival until the handler returns, and one more is
 * latched meanwhile; further ones merge. A device thread adds the guest's NMIs. VM entry is the restartable sequence
 * in assembly, with a wide window. What a stop protects are plain variables, so that under ThreadSanitizer each
 * missing order is a reported race; the values are checked too, and NMIs and stops are counted. CPUs 0 to 2 ask for
 * stops of all, stops of one of two EPTs, and post work to others; CPU 3 comes online while they do, parks in root, and
 * halts in its guest. Each guest visit runs on the one EPT or the other.
 *
 * Twice, as ThreadSanitizer delays signals to atomic operations and so never lets one hit the entry window:
 *   gcc -std=gnu11 -O1 -g -fsanitize=thread -Wall -Wextra -Werror -I xmhf -I hypapi/include THIS_FILE -pthread
 *   gcc -std=gnu11 -O2 -Wall -Wextra -Werror -I xmhf -I hypapi/include THIS_FILE -pthread
 * It must fail (exit status not 0) with -DBREAK_RESTART (second line: a guest is entered with a
 * stop pending) and with -DBREAK_RELEASE (first line: release stores become relaxed, races are reported).
 * Argument: stops for each asker (default 4000).
 */
#define _GNU_SOURCE
#include "quiesce/quiesce.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef BREAK_RELEASE
#define memory_order_release memory_order_relaxed
#endif
#include "quiesce/quiesce.c"

enum { ASKERS = 3, CPUS = 4, EPTS = 2, WATCHDOG_S = 110, VISIT_STEPS = 200 };

/* One host thread. Plain members belong to the thread, except cell: the owner of a stop touches all of them. */
static struct host_cpu {
	struct quiesce_cpu q;
	pthread_t thread;
	_Atomic bool powered;             /* has an NMI handler: gets broadcasts */
	_Atomic u64 guest_nmis_sent;      /* by the device */
	u32 in_guest;                     /* set by the entry sequence */
	_Atomic u32 work;                 /* what the last check before it reads; stays set until visit_guest() looks */
	volatile sig_atomic_t exit_now;   /* an NMI VM exit is due before the next guest instruction */
	u64 nmis_ours, nmis_guest;
	u32 locks;
	u64 flushed;                      /* copy of flush_wanted at the last flush */
	u64 cell[EPTS];                   /* guest memory of this CPU */
	_Atomic u64 mail, mail_taken;     /* work posted to this CPU: how often, and how far it has come with it */
	u64 visits, full_stops;
} cpus[CPUS];

static _Thread_local struct host_cpu *me;
static u64 stops_per_asker = 4000;
static _Atomic u32 askers_done;
static _Atomic u64 failures;

/* What stops protect. */
static u64 world;        /* changes only under a stop of all; read by guests and by handlers */
static u64 view[EPTS];   /* changes under a stop of that EPT, or of all; read by the guests that run on it */
static u64 flush_wanted; /* the same; each CPU must have flushed before it enters its guest */
static u64 locked_work;  /* changes under the spin lock, or under a stop without it */
static _Atomic u32 spin_lock;

#define CHECK(what) do { if (!(what)) fail(#what, __LINE__); } while (0)

static void fail(const char *what, int line)
{
	if (atomic_fetch_add(&failures, 1) < 10)
		printf("line %d: CPU %ld: false: %s\n", line, me ? (long)(me - cpus) : -1, what);
}

/* Hooks of quiesce.h. */

void quiesce_hook_send_nmi_all_but_self(void)
{
	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++)
		if (c != me && atomic_load(&c->powered))
			pthread_kill(c->thread, SIGUSR1);
}

void quiesce_hook_send_nmi(u32 cpu)
{
	pthread_kill(cpus[cpu].thread, SIGUSR1);
}

void quiesce_hook_flush(u32 work)
{
	CHECK(work == QUIESCE_FLUSH_EPT);
	me->flushed = flush_wanted;
}

u64 quiesce_hook_ticks(void)
{
	return __builtin_ia32_rdtsc();
}

void quiesce_hook_relax(void)
{
	sched_yield();
}

u32 quiesce_hook_locks_held(void)
{
	return me->locks;
}

void quiesce_hook_silent(u32 cpu, u64 epoch, bool nmi_taken, u64 ticks)
{
	printf("CPU %u silent: epoch %llu, NMI taken: %d, %llu ticks\n", cpu, (unsigned long long)epoch, nmi_taken,
	       (unsigned long long)ticks);
}

_Noreturn void quiesce_hook_give_up(void)
{
	printf("a stop was given up without a timeout\n");
	exit(1);
}

_Noreturn void quiesce_hook_broken(const char *rule)
{
	printf("broken rule: %s\n", rule);
	_exit(1);
}

/*
 * VM entry: rdi = the work word, rsi = in_guest. Returns 1 in the guest, 0 with work to do. Both words are
 * compared and written by one instruction each, as `cmpl; jne; vmresume` are.
 */
u32 enter_guest(_Atomic u32 *work, u32 *in_guest);
extern const char enter_check[], enter_done[];
__asm__(".text\n"
	"enter_guest:\n"
	"enter_check:\n"
	"	cmpl $0, (%rdi)\n"
	"	jne 1f\n"
	"	.rept 40\n	pause\n	.endr\n"
	"	movl $1, (%rsi)\n"
	"enter_done:\n"
	"	movl $1, %eax\n"
	"	ret\n"
	"1:	xorl %eax, %eax\n"
	"	ret\n");

static void nmi_handler(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info;
	if (quiesce_nmi(&me->q))
		me->nmis_ours += me->q.online;
	else
		me->nmis_guest++;
	atomic_store_explicit(&me->work, 1, memory_order_relaxed);
	if (*(volatile u32 *)&me->in_guest) {
		me->exit_now = 1;
		return;
	}
#ifndef BREAK_RESTART
	greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	if (*rip >= (greg_t)enter_check && *rip < (greg_t)enter_done)
		*rip = (greg_t)enter_check;
#else
	(void)context;
#endif
}

static void take_mail(void)
{
	u64 posted = atomic_load(&me->mail);

	if (posted != atomic_load(&me->mail_taken))
		atomic_store(&me->mail_taken, posted);
}

static u64 ept_of(u32 e)
{
	return QUIESCE_EPT01 + e;
}

/* The guest, from entry to exit. halts: it does nothing but wait for an NMI. */
static void visit_guest(bool halts)
{
	u32 e = me->visits++ / 2 % EPTS;

	if (quiesce_use(&me->q, ept_of(e)))
		atomic_store_explicit(&me->work, 1, memory_order_relaxed);
	do {
		atomic_store_explicit(&me->work, 0, memory_order_relaxed);
		quiesce_poll(&me->q);
		take_mail();
	} while (!enter_guest(&me->work, &me->in_guest));

	u32 pending = atomic_load(&me->q.pending) | atomic_load(&me->work); /* read before exit_now: an NMI in the guest
	                                                                       sets both */
	CHECK(!pending || me->exit_now);
	u64 world_at_entry = world, view_at_entry = view[e];
	CHECK(me->flushed == flush_wanted);
	for (int i = 0; (halts || i < VISIT_STEPS) && !me->exit_now && atomic_load(&askers_done) < ASKERS; i++) {
		if (halts)
			usleep(20);
		me->cell[e]++;
		__asm__ volatile("" ::: "memory"); /* read the world again */
		CHECK(world == world_at_entry);
		CHECK(view[e] == view_at_entry);
	}
	*(volatile u32 *)&me->in_guest = 0;
	me->exit_now = 0;
}

static void work_under_lock(void)
{
	while (atomic_exchange_explicit(&spin_lock, 1, memory_order_acquire))
		sched_yield();
	me->locks++;
	locked_work++;
	me->locks--;
	atomic_store_explicit(&spin_lock, 0, memory_order_seq_cst);
}

/* Nobody but this CPU moves memory of this EPT. */
static void touch_view(u32 e)
{
	u64 sum = 0;

	view[e]++;
	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++)
		sum += ++c->cell[e];
	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++)
		sum -= c->cell[e];
	CHECK(sum == 0);
}

/* An event whose handler reads, asks for a stop, validates what it read, and changes everything. */
static void handle_with_stop(u64 round)
{
	u64 world_before = world;
	bool again = quiesce_begin(&me->q);
	CHECK(again || world == world_before);
	me->full_stops++;
	bool nested = round % 3 == 0;
	if (nested)
		CHECK(!quiesce_begin(&me->q));
	CHECK(quiesce_epoch(&me->q) != 0);

	world++;
	locked_work++;
	touch_view(0);
	touch_view(1);
	if (round % 2) {
		flush_wanted++;
		quiesce_add_work(&me->q, QUIESCE_FLUSH_EPT);
	}
	if (round % 16 == 0)
		sched_yield();
	if (nested)
		quiesce_end(&me->q);
	quiesce_end(&me->q);
}

/* Stops one EPT, and now and then all others inside of that. */
static void handle_with_stop_of_ept(u64 round)
{
	u32 e = round / 2 % EPTS;
	u64 world_before = world;
	bool again = quiesce_begin_ept(&me->q, ept_of(e));

	CHECK(again || world == world_before);
	touch_view(e);
	if (round % 5 == 0) {
		handle_with_stop(round);
		touch_view(e);
	}
	if (round % 7 == 0) {
		CHECK(!quiesce_begin_ept(&me->q, ept_of(e)));
		quiesce_end(&me->q);
		CHECK(!quiesce_kick(&me->q, ~0ull));
	}
	quiesce_end(&me->q);
}

/* Posts work to some CPUs, and now and then waits until one of them has done it, as a wait loop in root must. */
static void handle_with_post(u64 round)
{
	u64 targets = round / 4 % BIT(CPUS), world_before = world, posted = 0;
	struct host_cpu *last = NULL;

	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++)
		if (targets >> (c - cpus) & 1 && atomic_load(&c->powered) && c != me) {
			posted = atomic_fetch_add(&c->mail, 1) + 1;
			last = c;
		}
	bool again = quiesce_kick(&me->q, targets);
	CHECK(again || world == world_before);
	while (round % 8 == 0 && last && atomic_load(&last->mail_taken) < posted) {
		quiesce_poll(&me->q);
		take_mail();
		sched_yield();
	}
}

static void *asker(void *arg)
{
	me = arg;
	atomic_store(&me->powered, true);
	quiesce_online(&me->q, (u32)(me - cpus));
	me->flushed = flush_wanted; /* nothing is cached yet; from online to the first poll no stop can proceed */
	for (u64 round = 0; round < stops_per_asker; round++) {
		visit_guest(false);
		work_under_lock();
		if (round % 4 < 2)
			handle_with_stop(round);
		else if (round % 4 == 2)
			handle_with_stop_of_ept(round);
		else
			handle_with_post(round + 1);
	}
	atomic_fetch_add(&askers_done, 1);
	while (atomic_load(&askers_done) < ASKERS)
		visit_guest(false);
	take_mail(); /* that came after the last visit */
	return NULL;
}

/* Comes online late; parks in root and halts in its guest in turn. */
static void *latecomer(void *arg)
{
	me = arg;
	atomic_store(&me->powered, true);
	usleep(20000);
	quiesce_online(&me->q, (u32)(me - cpus));
	me->flushed = flush_wanted;
	while (atomic_load(&askers_done) < ASKERS) {
		for (int i = 0; i < 50; i++) {
			quiesce_poll(&me->q);
			sched_yield();
		}
		visit_guest(true);
	}
	take_mail();
	return NULL;
}

static void *device(void *arg)
{
	u32 n = 0;
	while (atomic_load(&askers_done) < ASKERS) {
		struct host_cpu *c = cpus + n++ % CPUS;
		usleep(100);
		if (!atomic_load(&c->powered))
			continue;
		atomic_fetch_add(&c->guest_nmis_sent, 1);
		pthread_kill(c->thread, SIGUSR1);
	}
	return arg;
}

static void *watchdog(void *arg)
{
	for (u64 epoch = ~0ull; epoch != atomic_load(&stop.epoch);) {
		epoch = atomic_load(&stop.epoch);
		sleep(WATCHDOG_S);
	}
	printf("quiesce_threads: hangs\n");
	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++)
		printf("CPU %ld: seen %llu ack %llu pending %u in guest %u\n", (long)(c - cpus),
		       (unsigned long long)atomic_load(&c->q.seen), (unsigned long long)atomic_load(&c->q.ack),
		       atomic_load(&c->q.pending), *(volatile u32 *)&c->in_guest);
	fflush(stdout);
	_exit(1);
	return arg;
}

/* After the threads have ended: counters add up, no NMI was invented. */
static u64 check_counts(void)
{
	u64 stops = 0, full_stops = 0;
	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++) {
		stops += c->q.count.owned;
		full_stops += c->full_stops;
	}
	CHECK(full_stops >= ASKERS * stops_per_asker / 2);
	CHECK(stops == atomic_load(&stop.epoch));
	CHECK(world == full_stops);
	CHECK(locked_work == full_stops + ASKERS * stops_per_asker);
	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++) {
		CHECK(c->q.count.served + c->q.count.owned <= stops);
		CHECK(c->nmis_ours == atomic_load(&c->q.signal) >> 1);
		CHECK(atomic_load(&c->q.signal) == atomic_load(&c->q.seen));
		CHECK(c->nmis_guest <= atomic_load(&c->guest_nmis_sent));
		CHECK(atomic_load(&c->mail) == atomic_load(&c->mail_taken));
		CHECK(c->q.depth == 0 && c->q.holds == 0);
		printf("CPU %ld: asked %llu served %llu, guest NMIs sent %llu counted %llu\n", (long)(c - cpus),
		       (unsigned long long)c->q.count.owned, (unsigned long long)c->q.count.served,
		       (unsigned long long)atomic_load(&c->guest_nmis_sent), (unsigned long long)c->nmis_guest);
	}
	return stops;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		stops_per_asker = strtoull(argv[1], NULL, 0);
	struct sigaction action = { .sa_sigaction = nmi_handler, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR1, &action, NULL);

	struct timespec start, now;
	clock_gettime(CLOCK_MONOTONIC, &start);
	quiesce_set_bounds(120000000000ull, 0);
	pthread_t device_thread, watchdog_thread;
	pthread_create(&watchdog_thread, NULL, watchdog, NULL);
	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++)
		pthread_create(&c->thread, NULL, c - cpus < ASKERS ? asker : latecomer, c);
	pthread_create(&device_thread, NULL, device, NULL);
	pthread_join(device_thread, NULL);
	for (struct host_cpu *c = cpus; c < cpus + CPUS; c++)
		pthread_join(c->thread, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);

	u64 stops = check_counts();
	u64 failed = atomic_load(&failures);
	printf("quiesce_threads: %llu stops on %d threads in %ld ms: %s\n", (unsigned long long)stops, CPUS,
	       (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000, failed ? "FAILED" : "ok");
	return failed != 0;
}
