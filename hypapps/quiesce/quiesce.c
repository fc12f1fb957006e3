/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * quiesce: a hypapp for tests, that stops the CPUs in every way that hypapi has, as a guest's random numbers choose,
 * and checks what must hold meanwhile. It gives a guest power over all CPUs, so it belongs in test images only.
 *
 *     EAX    RCX, RDX                      answers: EAX 0; RBX the number of faults found so far
 *     0x300  gpa1 of two counters, gpa1    the guest's counters, which its CPUs increment all the time, and PAGES
 *            of the first page             pages that they write to all the time; before any other number
 *     0x301  random number                 one of the mixes below
 *     0x302                                all CPUs are done: the counts are compared
 *     CPUID leaf 0x51554945                a stop by the subscription's initial flag
 *
 * Each fault is a line "quiesce: FAULT". Shared variables are of three kinds: `only_stopped` is read by whoever is in a
 * handler and written under a stop only; `running` is written without one; the rest is a CPU's own.
 */
#include <hypapi/hypapi.h>

enum { QUIESCE_SETUP = 0x300, QUIESCE_MIX, QUIESCE_END, QUIESCE_LAST = 0x30f };
enum { LEAF = 0x51554945, CPUS = 64, PAGES = 4, COUNTERS = 2 };
enum { EVENT_HYPERCALL, EVENT_CPUID, EVENT_VIOLATION, EVENTS };

static const char *const event_names[EVENTS] = { "hypercall", "cpuid", "ept-violation" };

/* A CPU's own. Others read `inside` under their stop, and all of it when everybody is done. */
struct cpu {
	volatile bool inside;              /* runs a handler, without a stop, before or after one */
	uint64_t seen;                     /* only_stopped.epoch when that began */
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
	uint64_t content[PAGES];           /* a sum over each page whose rights are restricted */
} only_stopped;

static struct {
	volatile uint64_t counters[COUNTERS];  /* incremented by all CPUs, not atomically: they need only move */
	uint32_t rights[PAGES];                /* RWX may be written without a stop, since that gives rights */
	uint64_t faults;
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
	uint64_t handlers[COUNTERS] = { running.counters[0], running.counters[1] }, before[COUNTERS], after[COUNTERS];

	check(!hypapi_copy_from_gpa1(ev, before, guest_counters, sizeof(before)), ev, "the counters are read");
	spin(ticks);
	for (uint32_t i = 0; i < cpu_count; i++)
		check(i == ev->cpu || !cpus[i].inside, ev, "no other CPU is in a handler under a stop");
	check(!hypapi_copy_from_gpa1(ev, after, guest_counters, sizeof(after)), ev, "the counters are read");
	for (uint32_t i = 0; i < COUNTERS; i++) {
		check(running.counters[i] == handlers[i], ev, "no handler moves a counter under a stop");
		check(before[i] == after[i], ev, "no guest moves a counter under a stop");
	}
}

/* ---- From running to stopped and back ---- */

static void enter_running(const struct hypapi_event *ev)
{
	struct cpu *me = &cpus[ev->cpu];

	me->inside = true;
	me->seen = only_stopped.epoch; /* exact: a stop that this CPU has not acknowledged has not written it yet */
}

static void leave_running(const struct hypapi_event *ev)
{
	cpus[ev->cpu].inside = false;
}

/* A new stop of this CPU. answer: what hypapi_quiesce() returned, or negative after a stop by the flag. */
static void stop_begun(struct hypapi_event *ev, int answer)
{
	struct cpu *me = &cpus[ev->cpu];
	uint64_t others = only_stopped.epoch - me->seen;

	check(ev->stopped, ev, "ev->stopped is true under a stop");
	check(ev->epoch == only_stopped.epoch + 1, ev, "the epoch moves by exactly the stops");
	check(answer < 0 || (answer == 1) == (others != 0), ev, "the answer 1 tells of other CPUs' stops, 0 of none");
	/* One of each other CPU, and one more where the word was free and several took it at once. */
	check(others <= cpu_count, ev, "no CPU waits for more than one stop of each other");
	check(!only_stopped.owner, ev, "one CPU at a time has the others stopped");
	me->stops[event_of(ev)][ev->level]++;
	me->stale += answer == 1;
	if (others > me->longest)
		me->longest = others;
	only_stopped.owner = ev->cpu + 1;
	only_stopped.epoch = ev->epoch;
	only_stopped.stops++;
	check_nobody_moves(ev, ev->epoch);
}

/* Before the core, or release(), lets the others go. */
static void stop_ends(struct hypapi_event *ev)
{
	check(only_stopped.owner == ev->cpu + 1, ev, "the stop is still this CPU's");
	only_stopped.owner = 0;
}

static void stop(struct hypapi_event *ev)
{
	int answer;

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
	enter_running(ev);
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
	{ true, mix_twice }, { false, mix_twice },
};
/* In the audit build each of these walks all EPTs, which takes its time. */
static const struct mix seldom[] = { { true, mix_rights }, { false, mix_rights } };

static const struct mix *choose(uint64_t random)
{
	if (random % 16 == 0)
		return &seldom[random / 16 % (sizeof(seldom) / sizeof(seldom[0]))];
	return &mixes[(random & 0xffff) % (sizeof(mixes) / sizeof(mixes[0]))];
}

/* The begin of a delivery. False: the handler must ask for redelivery. */
static bool begin(struct hypapi_event *ev, bool by_flag)
{
	if (ev->stopped) {
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
	return !by_flag;
}

static void finish(struct hypapi_event *ev)
{
	cpus[ev->cpu].count[event_of(ev)]++;
	if (ev->stopped)
		stop_ends(ev);
	else
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
	check(hypapi_quiesce(ev) >= 0, ev, "the first stop");
	cpus[ev->cpu].stops[EVENT_HYPERCALL][ev->level]++;
	only_stopped.first_epoch = only_stopped.epoch = ev->epoch;
	only_stopped.stops = 1;
	is_set_up = true;
}

static void log_cpu(uint32_t i)
{
	const struct cpu *c = &cpus[i];

	hypapi_log("quiesce: CPU %u hypercalls %lu cpuids %lu violations %lu stale answers %lu longest wait %lu stops",
		   i, c->count[EVENT_HYPERCALL], c->count[EVENT_CPUID], c->count[EVENT_VIOLATION], c->stale,
		   c->longest);
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
	uint64_t sum = 0;

	enter_running(ev);
	stop(ev);
	for (uint32_t page = 0; page < PAGES; page++) {
		check_page(ev, page);
		give_back(ev, page);
	}
	for (uint32_t event = 0; event < EVENTS; event++)
		sum += stops_of(event, HYPAPI_L1) + stops_of(event, HYPAPI_L2);
	check(sum == only_stopped.stops, ev, "what the CPUs counted is what was counted under the stops");
	check(sum == ev->epoch - only_stopped.first_epoch + 1, ev, "the epoch moved by the stops of all CPUs");
	for (uint32_t i = 0; i < cpu_count; i++)
		log_cpu(i);
	hypapi_log("quiesce: %lu stops, faults %lu", sum, running.faults);
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

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	if (ev->args.hypercall.number == QUIESCE_SETUP)
		set_up(ev);
	else if (ev->args.hypercall.number == QUIESCE_MIX && is_set_up)
		return on_mix(ev);
	else if (ev->args.hypercall.number == QUIESCE_END && is_set_up)
		compare_counts(ev);
	else
		return HYPAPI_DENY;
	return answer(ev);
}

static enum hypapi_verdict on_cpuid(struct hypapi_event *ev)
{
	if (!is_set_up)
		return HYPAPI_PASS;
	cpus[ev->cpu].seen = only_stopped.epoch; /* it never ran without the stop */
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
		for (uint32_t level = HYPAPI_L1; level <= HYPAPI_L2; level++)
			hypapi_log("quiesce: own count %s L%u stops %lu", event_names[event], level,
				   stops_of(event, level));
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(quiesce,
	.priority = 3000,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_CPU_INIT, .handler = on_cpu_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_CPUID, .levels = HYPAPI_LEVELS_GUEST, .quiesce = true, .handler = on_cpuid },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
		{ .type = HYPAPI_EV_SHUTDOWN, .handler = on_shutdown },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST,
		  .first = QUIESCE_SETUP, .last = QUIESCE_LAST },
		{ .kind = HYPAPI_CLAIM_CPUID, .levels = HYPAPI_LEVELS_GUEST, .first = LEAF, .last = LEAF },
	});
