/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * quiesce: a hypapp for tests, that stops the CPUs, or those that use one EPT, and posts work to them, in every way
 * that hypapi has, as random numbers choose, and checks what must hold meanwhile. It gives a guest power over all CPUs,
 * so it belongs in test images only.
 *
 *     EAX    RCX, RDX                      answers: EAX 0; RBX the number of faults found so far
 *     0x300  gpa1 of the counters, gpa1    the guest's counters, which its CPUs increment all the time, and PAGES
 *            of the first page             pages that they write to all the time; before any other number
 *     0x301  random number, counter        one of the mixes below; the counter is one that only those CPUs move whose
 *                                          guest runs on the caller's EPT
 *     0x302                                all CPUs are done: the counts are compared
 *     0x303                                RDX: how much work is posted and not yet delivered
 *     0x304  form, counter                 the mix with that number, first of `mixes`; RDX 0: none
 *     0x305                                never comes back: this CPU stops for nobody
 *     CPUID leaf 0x51554945                a stop by the subscription's initial flag
 *
 * Each fault is a line "quiesce: FAULT". Shared variables are of three kinds: `only_stopped` is read by whoever is in a
 * handler and written under a stop of all only; `running` is written without one; the rest is a CPU's own.
 */
#include <hypapi/hypapi.h>

enum {
	QUIESCE_SETUP = 0x300, QUIESCE_MIX, QUIESCE_END, QUIESCE_OPEN, QUIESCE_FORM, QUIESCE_HANG, QUIESCE_LAST = 0x30f
};
enum { LEAF = 0x51554945, CPUS = 64, PAGES = 4, COUNTERS = 2, GUEST_COUNTERS = 4, COUNTER_OF_L1 = 0 };
enum { EVENT_HYPERCALL, EVENT_CPUID, EVENT_VIOLATION, EVENT_WORK, EVENTS };

static const char *const event_names[EVENTS] = { "hypercall", "cpuid", "ept-violation", "work" };

/* A CPU's own. Others read `inside` under their stop, and all of it when everybody is done. */
struct cpu {
	volatile bool inside;              /* runs a handler, without a stop, before or after one */
	bool busy;                         /* with an event, whether it has stopped others or not */
	bool holds;                        /* has those stopped that use one EPT */
	volatile uint64_t ept;             /* inside: identity of the EPT of the event's level; 0: level L0 */
	uint64_t seen, seen_holds;         /* only_stopped.stops, running.holds when that began */
	uint64_t random;
	uint64_t moved;                    /* how often others went on under its stop of one EPT */
	uint32_t posted[CPUS], taken[CPUS];/* work posted to each CPU, and taken here from each */
	uint64_t count[EVENTS];
	uint64_t stops[EVENTS][HYPAPI_L2 + 1];
	uint64_t stale;                    /* hypapi_quiesce() answered 1 */
	uint64_t longest;                  /* stops of others before this CPU got its own, the most */
} __attribute__((aligned(64)));

static struct cpu cpus[CPUS];
static uint32_t cpu_count;

static struct {
	uint32_t owner;                    /* CPU + 1 of the one that has the others stopped */
	uint64_t epoch, first_epoch;       /* of the newest stop, and of the one of QUIESCE_SETUP */
	uint64_t stops;                    /* from that one on */
	uint64_t holds;                    /* running.holds at that time */
	uint64_t content[PAGES];           /* a sum over each page whose rights are restricted */
} only_stopped;

static struct {
	volatile uint64_t counters[COUNTERS];  /* incremented by all CPUs, not atomically: they need only move */
	uint32_t rights[PAGES];                /* RWX may be written without a stop, since that gives rights */
	uint64_t faults;
	uint64_t holds;                        /* stops of one EPT so far; written by the CPU that has one, like the
	                                          next */
	uint32_t holder;                       /* CPU + 1 */
} running;

static gpa1_t guest_counters, guest_pages;
static bool is_set_up;

/* ---- Checks ---- */

static void check(bool holds, const struct hypapi_event *ev, const char *rule)
{
	if (!holds && __atomic_fetch_add(&running.faults, 1, __ATOMIC_RELAXED) < 20)
		hypapi_log("quiesce: FAULT on CPU %u, event %u of L%u, epoch %lu: %s", ev->cpu, ev->type, ev->level,
			   ev->epoch, rule);
}

static uint32_t event_of(const struct hypapi_event *ev)
{
	if (ev->type == HYPAPI_EV_HYPERCALL)
		return EVENT_HYPERCALL;
	if (ev->type == HYPAPI_EV_WORK)
		return EVENT_WORK;
	return ev->type == HYPAPI_EV_CPUID ? EVENT_CPUID : EVENT_VIOLATION;
}

static void spin(uint64_t times)
{
	for (times &= 63; times; times--)
		__builtin_ia32_pause();
}

static gpa1_t page_at(uint32_t page)
{
	return GPA1(guest_pages.addr + page * HYPAPI_PAGE_SIZE);
}

static uint64_t page_sum(struct hypapi_event *ev, uint32_t page)
{
	uint64_t words[CPUS], sum = 0;

	check(!hypapi_copy_from_gpa1(ev, words, page_at(page), sizeof(words)), ev, "a page is read");
	for (uint32_t i = 0; i < CPUS; i++)
		sum = sum * 31 + words[i];
	return sum;
}

/* A page that the guest may not write has not changed since the right was taken, and the core knows the rights. */
static void check_page(struct hypapi_event *ev, uint32_t page)
{
	uint32_t rights = ~0u, limit = __atomic_load_n(&running.rights[page], __ATOMIC_RELAXED);

	check(!hypapi_memory_rights(ev, page_at(page), &rights) && rights == limit, ev,
	      "a page has the rights that were set");
	check(limit & HYPAPI_W || page_sum(ev, page) == only_stopped.content[page], ev,
	      "a page without W does not change");
}

/* Under a stop nobody else is in a handler, and neither a handler's nor a guest's counters move. */
static void check_nobody_moves(struct hypapi_event *ev, uint64_t ticks)
{
	uint64_t handlers[COUNTERS] = { running.counters[0], running.counters[1] };
	uint64_t before[GUEST_COUNTERS], after[GUEST_COUNTERS];

	check(!hypapi_copy_from_gpa1(ev, before, guest_counters, sizeof(before)), ev, "the counters are read");
	spin(ticks);
	for (uint32_t i = 0; i < cpu_count; i++)
		check(i == ev->cpu || !cpus[i].inside, ev, "no other CPU is in a handler under a stop");
	check(!hypapi_copy_from_gpa1(ev, after, guest_counters, sizeof(after)), ev, "the counters are read");
	for (uint32_t i = 0; i < COUNTERS; i++)
		check(running.counters[i] == handlers[i], ev, "no handler moves a counter under a stop");
	for (uint32_t i = 0; i < GUEST_COUNTERS; i++)
		check(before[i] == after[i], ev, "no guest moves a counter under a stop");
}

/* Under a stop of one EPT nobody else's guest runs on it, or has a handler run for it; the others may go on. */
static void check_ept_rests(struct hypapi_event *ev, uint64_t ept, uint32_t counter, uint64_t ticks)
{
	uint64_t before[GUEST_COUNTERS], after[GUEST_COUNTERS];
	bool moved = false;

	check(!hypapi_copy_from_gpa1(ev, before, guest_counters, sizeof(before)), ev, "the counters are read");
	spin(ticks);
	for (uint32_t i = 0; i < cpu_count; i++)
		check(i == ev->cpu || !cpus[i].inside || cpus[i].ept != ept, ev,
		      "no handler runs for a guest on a held EPT");
	spin(ticks >> 6);
	check(!hypapi_copy_from_gpa1(ev, after, guest_counters, sizeof(after)), ev, "the counters are read");
	check(before[counter] == after[counter], ev, "no guest on a held EPT moves its counter");
	for (uint32_t i = 0; i < GUEST_COUNTERS; i++)
		moved |= before[i] != after[i];
	cpus[ev->cpu].moved += moved;
}

/* ---- From running to stopped and back ---- */

static void enter_running(const struct hypapi_event *ev)
{
	struct cpu *me = &cpus[ev->cpu];

	uint64_t ept = 0;

	if (ev->level != HYPAPI_L0)
		hypapi_ept_identity(ev, ev->level == HYPAPI_L2 ? ev->eptp02 : ev->eptp01, &ept);
	me->ept = ept;
	me->seen_holds = __atomic_load_n(&running.holds, __ATOMIC_RELAXED);
	me->seen = only_stopped.stops; /* exact: a stop that this CPU has not acknowledged has not written it yet */
	me->inside = true;
}

static void leave_running(const struct hypapi_event *ev)
{
	cpus[ev->cpu].inside = false;
}

/* A new stop of this CPU. answer: what hypapi_quiesce() returned, or negative after a stop by the flag. */
static void stop_begun(struct hypapi_event *ev, int answer)
{
	struct cpu *me = &cpus[ev->cpu];
	uint64_t others = only_stopped.stops - me->seen;

	check(ev->stopped, ev, "ev->stopped is true under a stop");
	check(ev->epoch == only_stopped.epoch + 1 + running.holds - only_stopped.holds, ev,
	      "the epoch moves by exactly the stops");
	check(answer != 0 || others == 0, ev, "the answer 0 tells that no other CPU's stop came before");
	check(answer != 1 || others || running.holds != me->seen_holds, ev, "the answer 1 tells of other CPUs' stops");
	check(running.holder == (me->holds ? ev->cpu + 1 : 0), ev, "no other CPU has an EPT stopped under a stop");
	/* One of each other CPU, and one more where the word was free and several took it at once. */
	check(others <= cpu_count, ev, "no CPU waits for more than one stop of each other");
	check(!only_stopped.owner, ev, "one CPU at a time has the others stopped");
	me->stops[event_of(ev)][ev->level]++;
	me->stale += answer == 1;
	if (others > me->longest)
		me->longest = others;
	only_stopped.owner = ev->cpu + 1;
	only_stopped.epoch = ev->epoch;
	only_stopped.holds = running.holds;
	only_stopped.stops++;
	check_nobody_moves(ev, ev->epoch);
}

/* Before the core, or release(), lets the others go. */
static void stop_ends(struct hypapi_event *ev)
{
	check(only_stopped.owner == ev->cpu + 1, ev, "the stop is still this CPU's");
	only_stopped.owner = 0;
}

static void hold_ends(struct hypapi_event *ev)
{
	check(running.holder == ev->cpu + 1, ev, "the stop of an EPT is still this CPU's");
	running.holder = 0;
	cpus[ev->cpu].holds = false;
}

static void stop(struct hypapi_event *ev)
{
	int answer;

	if (!cpus[ev->cpu].holds)
		leave_running(ev);
	answer = hypapi_quiesce(ev);
	check(answer == 0 || answer == 1, ev, "hypapi_quiesce() answers 0 or 1");
	stop_begun(ev, answer);
}

static void release(struct hypapi_event *ev)
{
	uint64_t epoch = ev->epoch;

	stop_ends(ev);
	check(hypapi_resume(ev) == HYPAPI_OK, ev, "hypapi_resume() releases a stop");
	check(!ev->stopped && ev->epoch == epoch, ev, "ev->stopped is false after the release, and the epoch stays");
	if (!cpus[ev->cpu].holds)
		enter_running(ev);
}

/* ---- Work on other CPUs ---- */

static uint64_t next_random(struct cpu *me)
{
	me->random ^= me->random << 13;
	me->random ^= me->random >> 7;
	me->random ^= me->random << 17;
	return me->random;
}

/* How much a CPU has posted to another that is not delivered. */
static uint32_t open_posts(uint32_t from, uint32_t to)
{
	return cpus[from].posted[to] - __atomic_load_n(&cpus[to].taken[from], __ATOMIC_RELAXED);
}

/* To those of the CPUs that have no work of this CPU's any more; what it posts is one bit, its own. */
static void post(struct hypapi_event *ev, uint64_t cpu_mask)
{
	struct cpu *me = &cpus[ev->cpu];
	bool running_now = me->inside;
	int answer;

	/* Work that begets more than one piece of work on average would never end. */
	if (ev->level == HYPAPI_L0)
		cpu_mask = 1ull << (next_random(me) >> 32) % cpu_count;
	for (uint32_t i = 0; i < CPUS; i++) {
		if (i >= cpu_count || open_posts(ev->cpu, i))
			cpu_mask &= ~(1ull << i);
		me->posted[i] += cpu_mask >> i & 1;
	}
	if (!cpu_mask)
		return;
	if (running_now)
		leave_running(ev);
	answer = hypapi_post(ev, cpu_mask, 1ull << ev->cpu);
	check(answer == 0 || (answer == 1 && running_now), ev, "hypapi_post() answers 0 or 1, and 0 under a stop");
	if (running_now)
		enter_running(ev);
}

static void take_work(struct hypapi_event *ev)
{
	struct cpu *me = &cpus[ev->cpu];

	check(ev->args.work.bits && ev->level == HYPAPI_L0, ev, "WORK has bits and is of level L0");
	for (uint32_t i = 0; i < CPUS; i++) {
		if (!(ev->args.work.bits >> i & 1))
			continue;
		check(i < cpu_count && open_posts(i, ev->cpu) == 1, ev, "work that was posted comes once");
		__atomic_fetch_add(&me->taken[i], 1, __ATOMIC_RELAXED);
	}
}

static uint64_t all_open_posts(void)
{
	uint64_t sum = 0;

	for (uint32_t from = 0; from < cpu_count; from++)
		for (uint32_t to = 0; to < cpu_count; to++)
			sum += open_posts(from, to);
	return sum;
}

/* ---- Mixes; each may begin with the CPUs running or, after redelivery, stopped ---- */

static void mix_running(struct hypapi_event *ev, uint64_t random)
{
	check(!ev->stopped, ev, "ev->stopped is false without a stop");
	check(hypapi_resume(ev) == HYPAPI_ESTATE, ev, "there is no stop to release");
	running.counters[0]++;
	spin(random);
	running.counters[1]++;
	check(!only_stopped.owner, ev, "no handler runs under another CPU's stop");
}

static void mix_stopped(struct hypapi_event *ev, uint64_t random)
{
	if (!ev->stopped)
		stop(ev);
	check_nobody_moves(ev, random);
}

static void mix_early(struct hypapi_event *ev, uint64_t random)
{
	mix_stopped(ev, random);
	release(ev);
	mix_running(ev, random >> 6);
}

static void mix_nested(struct hypapi_event *ev, uint64_t random)
{
	uint64_t epoch, count = random & 3;

	mix_stopped(ev, 0);
	epoch = ev->epoch;
	for (uint64_t i = 0; i < count; i++)
		check(hypapi_quiesce(ev) == 0, ev, "a stop in a stop changes nothing");
	check(ev->stopped && ev->epoch == epoch, ev, "a stop in a stop has no epoch of its own");
	for (uint64_t i = 0; i < count; i++)
		check(!hypapi_resume(ev) && ev->stopped && ev->epoch == epoch, ev, "an inner release releases nothing");
	check_nobody_moves(ev, random >> 2);
	if (random & 0x100)
		mix_early(ev, random >> 9);
	else if (random & 0x200)
		check(hypapi_quiesce(ev) == 0, ev, "a stop that the event's end must release twice");
}

static void mix_twice(struct hypapi_event *ev, uint64_t random)
{
	mix_early(ev, random);
	stop(ev);
	mix_early(ev, random >> 12);
}

static void mix_post(struct hypapi_event *ev, uint64_t random)
{
	post(ev, random);
	spin(random >> 8);
	if (random & 0x40)
		post(ev, ~0ull);
}

static void mix_post_stopped(struct hypapi_event *ev, uint64_t random)
{
	mix_stopped(ev, random);
	post(ev, random);
	check_nobody_moves(ev, random >> 8);
}

static void mix_post_between_stops(struct hypapi_event *ev, uint64_t random)
{
	mix_early(ev, random);
	post(ev, random >> 6);
	mix_stopped(ev, random >> 12);
}

/* Which EPT, by the event's level and chance, and the counter that only its users move. */
static hypapi_ept_t choose_ept(const struct hypapi_event *ev, uint64_t random, uint32_t *counter)
{
	bool l2 = ev->level == HYPAPI_L2 && ev->type == HYPAPI_EV_HYPERCALL && (random & 1);

	*counter = l2 ? (uint32_t)hypapi_reg_get(ev, HYPAPI_REG_RDX) % GUEST_COUNTERS : COUNTER_OF_L1;
	return l2 ? ev->eptp02 : ev->eptp01;
}

static void release_ept(struct hypapi_event *ev)
{
	uint64_t epoch = ev->epoch;

	hold_ends(ev);
	check(hypapi_resume(ev) == HYPAPI_OK, ev, "hypapi_resume() releases a stop of an EPT");
	check(!ev->stopped && ev->epoch == epoch, ev, "the epoch stays after the release");
	enter_running(ev);
}

static void hold_begun(struct hypapi_event *ev, int answer)
{
	struct cpu *me = &cpus[ev->cpu];

	check(answer == 0 || answer == 1, ev, "hypapi_quiesce_ept() answers 0 or 1");
	check(answer != 0 || only_stopped.stops == me->seen, ev, "the answer 0 tells that no other stop came before");
	check(!ev->stopped, ev, "ev->stopped is false under a stop of one EPT");
	check(!only_stopped.owner && !running.holder, ev, "one CPU at a time has others stopped");
	running.holder = ev->cpu + 1;
	__atomic_store_n(&running.holds, running.holds + 1, __ATOMIC_RELAXED);
	check(ev->epoch == only_stopped.epoch + running.holds - only_stopped.holds, ev,
	      "a stop of one EPT has an epoch");
	me->holds = true;
	me->seen = only_stopped.stops;
	me->seen_holds = running.holds;
	me->stale += answer == 1;
	me->stops[event_of(ev)][ev->level]++;
}

/* A stop of all that begins and ends inside one of an EPT, or of another EPT, which must be refused. */
static void inside_hold(struct hypapi_event *ev, uint64_t random, hypapi_ept_t ept)
{
	if (random & 1) {
		mix_stopped(ev, random >> 1);
		release(ev);
	}
	if (ev->level == HYPAPI_L2 && (random & 2))
		check(hypapi_quiesce_ept(ev, ept.id == ev->eptp01.id ? ev->eptp02 : ev->eptp01) == HYPAPI_ESTATE, ev,
		      "a stop of a second EPT is refused");
	if (random & 4)
		check(!hypapi_quiesce_ept(ev, ept) && !hypapi_resume(ev), ev, "a stop of an EPT in itself is free");
	if (random & 8)
		post(ev, random >> 4);
}

static void mix_ept(struct hypapi_event *ev, uint64_t random)
{
	uint64_t id = 0, epoch = ev->epoch;
	uint32_t counter;
	hypapi_ept_t ept = choose_ept(ev, random, &counter);

	if (ev->stopped) {
		check(!hypapi_quiesce_ept(ev, ept) && ev->epoch == epoch, ev,
		      "a stop of an EPT in a stop of all changes nothing");
		check(!hypapi_resume(ev) && ev->stopped, ev, "and its release releases nothing");
		check_nobody_moves(ev, random);
		return;
	}
	check(hypapi_quiesce_ept(ev, (hypapi_ept_t){ HYPAPI_NONE }) == HYPAPI_ESTALE, ev, "no handle is refused");
	leave_running(ev);
	hold_begun(ev, hypapi_quiesce_ept(ev, ept));
	check(!hypapi_ept_identity(ev, ept, &id), ev, "an EPT has an identity");
	check_ept_rests(ev, id, counter, random >> 1);
	inside_hold(ev, random >> 13, ept);
	check_ept_rests(ev, id, counter, random >> 7);
	if (random & 0x1000)
		release_ept(ev);
}

static void mix_ept_twice(struct hypapi_event *ev, uint64_t random)
{
	mix_ept(ev, random | 0x1000);
	if (!ev->stopped)
		mix_ept(ev, random >> 3);
}

/* Takes rights to a page that the other CPUs use, or gives some back. */
static void mix_rights(struct hypapi_event *ev, uint64_t random)
{
	static const uint32_t choices[] = { 0, HYPAPI_R, HYPAPI_RX, HYPAPI_RW };
	uint32_t page = random % PAGES, rights = choices[random >> 2 & 3];

	mix_stopped(ev, 0);
	check_page(ev, page);
	only_stopped.content[page] = page_sum(ev, page);
	running.rights[page] = rights;
	check(!hypapi_memory_restrict(ev, page_at(page), 1, rights), ev, "rights change under a stop");
	check_page(ev, page);
	if (random & 0x10)
		mix_early(ev, random >> 5);
	else if (random & 0x20)
		mix_nested(ev, random >> 6);
}

static const struct mix {
	bool by_flag; /* asks for redelivery; else begins with the CPUs running */
	void (*run)(struct hypapi_event *ev, uint64_t random);
} mixes[] = {
	{ false, mix_running }, { true, mix_stopped }, { false, mix_stopped },
	{ true, mix_early }, { false, mix_early }, { true, mix_nested },   { false, mix_nested },
	{ true, mix_twice }, { false, mix_twice }, { false, mix_ept }, { false, mix_ept }, { true, mix_ept },
	{ false, mix_ept_twice }, { false, mix_post }, { false, mix_post }, { true, mix_post_stopped },
	{ false, mix_post_stopped }, { false, mix_post_between_stops },
};
enum { MIXES = sizeof(mixes) / sizeof(mixes[0]) };
/* In the audit build each of these walks all EPTs, which takes its time. */
static const struct mix seldom[] = { { true, mix_rights }, { false, mix_rights } };
enum { FORMS = MIXES + sizeof(seldom) / sizeof(seldom[0]) };

static const struct mix *choose(uint64_t random)
{
	if (random % 16 == 0)
		return &seldom[random / 16 % (sizeof(seldom) / sizeof(seldom[0]))];
	return &mixes[(random & 0xffff) % MIXES];
}

/* The begin of a delivery. False: the handler must ask for redelivery. */
static bool begin(struct hypapi_event *ev, bool by_flag)
{
	struct cpu *me = &cpus[ev->cpu];

	check(!me->busy, ev, "an event comes when no other is at hand");
	if (ev->stopped) {
		me->busy = true;
		stop_begun(ev, -1);
		ev->quiesce = false; /* a later RETRY means the guest */
		return true;
	}
	check(!ev->epoch, ev, "an event without a stop has no epoch");
	enter_running(ev);
	if (by_flag) {
		leave_running(ev);
		ev->quiesce = true;
	}
	me->busy = !by_flag;
	return !by_flag;
}

static void finish(struct hypapi_event *ev)
{
	struct cpu *me = &cpus[ev->cpu];

	me->count[event_of(ev)]++;
	me->busy = false;
	if (ev->stopped)
		stop_ends(ev);
	if (me->holds)
		hold_ends(ev);
	leave_running(ev);
}

/* ---- Events ---- */

static void give_back(struct hypapi_event *ev, uint32_t page)
{
	__atomic_store_n(&running.rights[page], HYPAPI_RWX, __ATOMIC_RELAXED);
	check(!hypapi_memory_restrict(ev, page_at(page), 1, HYPAPI_RWX), ev, "rights are given back");
}

/* The guest used a page that was taken. It gets it back, in one of four ways in turn, and tries again. */
static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	uint64_t page = (ev->args.violation.gpa1.addr - guest_pages.addr) / HYPAPI_PAGE_SIZE;
	uint64_t way = cpus[ev->cpu].count[EVENT_VIOLATION] & 3;

	check(page < PAGES && ev->args.violation.access, ev, "a violation is about a page that was taken");
	if (page >= PAGES)
		return HYPAPI_DENY;
	if (!begin(ev, way == 1))
		return HYPAPI_RETRY;
	if (way & 2)
		stop(ev);
	if (ev->stopped)
		check_page(ev, (uint32_t)page);
	give_back(ev, (uint32_t)page);
	if (way == 3)
		release(ev);
	finish(ev);
	return HYPAPI_RETRY;
}

static void set_up(struct hypapi_event *ev)
{
	guest_counters = GPA1(hypapi_reg_get(ev, HYPAPI_REG_RCX));
	guest_pages = GPA1(hypapi_reg_get(ev, HYPAPI_REG_RDX));
	for (uint32_t i = 0; i < PAGES; i++)
		running.rights[i] = HYPAPI_RWX;
	for (uint32_t i = 0; i < CPUS; i++)
		cpus[i].random = 0x9e3779b97f4a7c15 * (i + 1);
	check(hypapi_quiesce(ev) >= 0, ev, "the first stop");
	cpus[ev->cpu].stops[EVENT_HYPERCALL][ev->level]++;
	only_stopped.first_epoch = only_stopped.epoch = ev->epoch;
	only_stopped.stops = 1;
	is_set_up = true;
}

static void log_cpu(uint32_t i)
{
	const struct cpu *c = &cpus[i];

	hypapi_log("quiesce: CPU %u hypercalls %lu cpuids %lu violations %lu work %lu stale answers %lu "
		   "longest wait %lu stops",
		   i, c->count[EVENT_HYPERCALL], c->count[EVENT_CPUID], c->count[EVENT_VIOLATION], c->count[EVENT_WORK],
		   c->stale, c->longest);
}

static uint64_t stops_of(uint32_t event, uint32_t level)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < cpu_count; i++)
		sum += cpus[i].stops[event][level];
	return sum;
}

static void compare_counts(struct hypapi_event *ev)
{
	uint64_t sum = 0, events = 0, moved = 0;

	enter_running(ev);
	stop(ev);
	for (uint32_t page = 0; page < PAGES; page++) {
		check_page(ev, page);
		give_back(ev, page);
	}
	for (uint32_t event = 0; event < EVENTS; event++)
		for (uint32_t level = HYPAPI_L0; level <= HYPAPI_L2; level++)
			sum += stops_of(event, level);
	check(sum == only_stopped.stops + running.holds, ev,
	      "what the CPUs counted is what was counted under the stops");
	check(sum == ev->epoch - only_stopped.first_epoch + 1, ev, "the epoch moved by the stops of all CPUs");
	for (uint32_t i = 0; i < cpu_count; i++) {
		log_cpu(i);
		moved += cpus[i].moved;
		for (uint32_t event = 0; event < EVENTS; event++)
			events += cpus[i].count[event];
	}
	check(moved || cpu_count == 1 || !stops_of(EVENT_HYPERCALL, HYPAPI_L2), ev,
	      "CPUs on other EPTs go on under a stop of one");
	check(!all_open_posts(), ev, "what was posted was delivered");
	hypapi_log("quiesce: %lu events, %lu stops, of them %lu of one EPT, where others went on %lu times, faults %lu",
		   events,
		   sum, running.holds, moved, running.faults);
	stop_ends(ev);
}

static enum hypapi_verdict answer(struct hypapi_event *ev)
{
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, running.faults);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_mix(struct hypapi_event *ev)
{
	uint64_t random = hypapi_reg_get(ev, HYPAPI_REG_RCX);
	const struct mix *mix = choose(random);

	if (!begin(ev, mix->by_flag))
		return HYPAPI_RETRY;
	mix->run(ev, random >> 16);
	finish(ev);
	return answer(ev);
}

/* One mix by its number, always in the same way. */
static enum hypapi_verdict on_form(struct hypapi_event *ev)
{
	uint64_t number = hypapi_reg_get(ev, HYPAPI_REG_RCX);
	const struct mix *mix = number < MIXES ? &mixes[number] : &seldom[number - MIXES];

	if (number >= FORMS) {
		hypapi_reg_set(ev, HYPAPI_REG_RDX, 0);
		return answer(ev);
	}
	if (!begin(ev, mix->by_flag))
		return HYPAPI_RETRY;
	mix->run(ev, 0xffffffffffffffff);
	finish(ev);
	hypapi_reg_set(ev, HYPAPI_REG_RDX, 1);
	return answer(ev);
}

/* Posted work: whatever a guest's event may do, at level L0. */
static enum hypapi_verdict on_work(struct hypapi_event *ev)
{
	struct cpu *me = &cpus[ev->cpu];
	uint64_t random = ev->stopped ? me->random : next_random(me);
	const struct mix *mix = choose(random);

	if (!begin(ev, mix->by_flag))
		return HYPAPI_RETRY;
	take_work(ev);
	mix->run(ev, random >> 16);
	finish(ev);
	return HYPAPI_PASS;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	if (ev->args.hypercall.number == QUIESCE_SETUP)
		set_up(ev);
	else if (ev->args.hypercall.number == QUIESCE_MIX && is_set_up)
		return on_mix(ev);
	else if (ev->args.hypercall.number == QUIESCE_END && is_set_up)
		compare_counts(ev);
	else if (ev->args.hypercall.number == QUIESCE_FORM && is_set_up)
		return on_form(ev);
	else if (ev->args.hypercall.number == QUIESCE_HANG)
		for (;;)
			__asm__ volatile("hlt"); /* an NMI ends it, and the next begins */
	else if (ev->args.hypercall.number == QUIESCE_OPEN && is_set_up)
		hypapi_reg_set(ev, HYPAPI_REG_RDX, all_open_posts());
	else
		return HYPAPI_DENY;
	return answer(ev);
}

static enum hypapi_verdict on_cpuid(struct hypapi_event *ev)
{
	if (!is_set_up)
		return HYPAPI_PASS;
	cpus[ev->cpu].seen = only_stopped.stops; /* it never ran without the stop */
	stop_begun(ev, -1);
	if (ev->args.cpuid.subleaf & 1)
		mix_early(ev, ev->args.cpuid.subleaf >> 1);
	finish(ev);
	return answer(ev);
}

static enum hypapi_verdict on_cpu_init(struct hypapi_event *ev)
{
	cpu_count = ev->args.cpu_init.cpu_count < CPUS ? ev->args.cpu_init.cpu_count : CPUS;
	return HYPAPI_PASS;
}

/* For comparison with the core's statistics, which follow in the log. */
static enum hypapi_verdict on_shutdown(struct hypapi_event *ev)
{
	check(ev->stopped, ev, "ev->stopped is true at power-off");
	for (uint32_t event = 0; event < EVENTS && is_set_up; event++)
		for (uint32_t level = HYPAPI_L0; level <= HYPAPI_L2; level++)
			hypapi_log("quiesce: own count %s L%u stops %lu", event_names[event], level,
				   stops_of(event, level));
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(quiesce,
	.priority = 3000,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_WORK,
	.subscriptions = {
		{ .type = HYPAPI_EV_CPU_INIT, .handler = on_cpu_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_CPUID, .levels = HYPAPI_LEVELS_GUEST, .quiesce = true, .handler = on_cpuid },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
		{ .type = HYPAPI_EV_WORK, .handler = on_work },
		{ .type = HYPAPI_EV_SHUTDOWN, .handler = on_shutdown },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST,
		  .first = QUIESCE_SETUP, .last = QUIESCE_LAST },
		{ .kind = HYPAPI_CLAIM_CPUID, .levels = HYPAPI_LEVELS_GUEST, .first = LEAF, .last = LEAF },
	});
