/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See hypapps.h. The chain of an event type is an array in priority order, made at boot. Claims are exclusive, so
 * CPUID and hypercalls go to the one hypapp that claimed the number; violations and partition exits go to the
 * partition's owner. A link holds all that a delivery needs, next to each other.
 */
#include "core/hypapps.h"

#include "core/config.h"
#include "core/hypapps_check.h"
#include "core/insn_counts.h"
#include "core/log.h"
#include "core/stats.h"
#include "core/trace.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "mem/partition.h"
#include "nested/nested.h"
#include "vmx/exit.h"
#include "vmx/io.h"
#include "vmx/msr.h"
#include "vmx/power.h"
#include "vmx/vmx.h"

struct link {
	hypapi_handler *handler;
	const struct hypapp_descriptor *app;
	u32 levels, capabilities;
	u32 counts; /* where its counts stand in struct hypapp_stats, bytes */
	bool quiesce;
};

extern const struct hypapp_descriptor *const hypapps_linked[]; /* made by the build, NULL at the end */
const char HYPAPI_VERSION_SYMBOL[] = "hypapi";

static const struct hypapp_descriptor *apps[MAX_HYPAPPS]; /* by priority */
static u32 app_count;
static struct link chains[HYPAPI_EV_COUNT][MAX_HYPAPPS];
static u32 chain_len[HYPAPI_EV_COUNT];

/* Who claims a hypercall of L1 or L2: a place in hypercall_links, 0 for nobody. */
static u8 hypercall_claims[HYPAPI_L2 + 1][HYPAPI_HYPERCALL_MAX + 1];
static const struct link *hypercall_links[2 * MAX_HYPAPPS * HYPAPI_MAX_CLAIMS + 1];
_Static_assert(ARRAY_SIZE(hypercall_links) <= 257, "a place is a byte");

/* All claims of CPUID leaves at one level; `span` is last - first. */
struct claims {
	struct { u32 first, span; const struct link *link; } of[MAX_HYPAPPS * HYPAPI_MAX_CLAIMS];
	u32 count;
};
static struct claims cpuid_claims[HYPAPI_L2 + 1], port_claims[HYPAPI_L2 + 1], msr_claims[HYPAPI_L2 + 1];
static u32 cpuid_lowest = ~0u, cpuid_highest; /* of the claimed leaves: most leaves are far from them */

bool hypapps_find(const char *name, size_t len)
{
	for (size_t i = 0; hypapps_linked[i]; i++)
		if (!strncmp(hypapps_linked[i]->name, name, len) && !hypapps_linked[i]->name[len])
			return true;
	return false;
}

static void sort_in(const struct hypapp_descriptor *app)
{
	u32 at = app_count++;

	if (app_count > MAX_HYPAPPS)
		boot_refuse("more than %u hypapps are linked in", MAX_HYPAPPS);
	for (; at && apps[at - 1]->priority > app->priority; at--)
		apps[at] = apps[at - 1];
	apps[at] = app;
}

u32 hypapps_number(const struct hypapp_descriptor *app)
{
	u32 i = 0;

	while (apps[i] != app)
		i++;
	return i + 1;
}

u32 hypapps_count(void)
{
	return app_count;
}

const struct hypapp_descriptor *hypapps_get(u32 i)
{
	return apps[i];
}

static void build_chains(void)
{
	for (u32 i = 0; i < app_count; i++)
		for (const struct hypapi_subscription *s = apps[i]->subscriptions;
		     s < apps[i]->subscriptions + HYPAPI_MAX_SUBSCRIPTIONS && s->handler; s++)
			chains[s->type][chain_len[s->type]++] = (struct link){
				.handler = s->handler, .app = apps[i], .levels = s->levels, .quiesce = s->quiesce,
				.capabilities = apps[i]->capabilities,
				.counts = (u32)offsetof(struct hypapp_stats, of[i][s->type]),
			};
}

static const struct link *link_of(const struct hypapp_descriptor *app, u32 type, u32 level)
{
	for (const struct link *l = chains[type]; l < chains[type] + chain_len[type]; l++)
		if (l->app == app && (l->levels & HYPAPI_LEVEL_BIT(level)))
			return l;
	return NULL;
}

static void add_claim(struct claims *claims, const struct hypapi_claim *c, const struct link *link)
{
	claims->of[claims->count].first = c->first;
	claims->of[claims->count].span = c->last - c->first;
	claims->of[claims->count++].link = link;
}

static void add_cpuid_claim(const struct hypapi_claim *c, u32 level, const struct link *link)
{
	add_claim(&cpuid_claims[level], c, link);
	cpuid_lowest = MIN(cpuid_lowest, c->first);
	cpuid_highest = MAX(cpuid_highest, c->last);
}

static void add_port_claim(const struct hypapi_claim *c, u32 level, const struct link *link)
{
	add_claim(&port_claims[level], c, link);
	vmx_claim_ports(level, c->first, c->last);
}

static void add_msr_claim(const struct hypapi_claim *c, u32 level, const struct link *link)
{
	add_claim(&msr_claims[level], c, link);
	vmx_claim_msrs(level, c->first, c->last);
}

static void add_hypercall_claim(const struct hypapi_claim *c, u32 level, const struct link *link)
{
	static u32 links;

	hypercall_links[++links] = link;
	for (u32 number = c->first; number <= c->last; number++)
		hypercall_claims[level][number] = (u8)links;
}

static void build_claims(const struct hypapp_descriptor *app)
{
	static const struct {
		u32 kind, type;
		void (*add)(const struct hypapi_claim *c, u32 level, const struct link *link);
	} kinds[] = {
		{ HYPAPI_CLAIM_HYPERCALL, HYPAPI_EV_HYPERCALL, add_hypercall_claim },
		{ HYPAPI_CLAIM_CPUID, HYPAPI_EV_CPUID, add_cpuid_claim },
		{ HYPAPI_CLAIM_PORT, HYPAPI_EV_PORT_IO, add_port_claim },
		{ HYPAPI_CLAIM_MSR, HYPAPI_EV_MSR, add_msr_claim },
	};

	for (const struct hypapi_claim *c = app->claims; c < app->claims + HYPAPI_MAX_CLAIMS && c->kind; c++)
		for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
			for (u32 level = HYPAPI_L1; level <= HYPAPI_L2 && c->kind == kinds[i].kind; level++) {
				const struct link *link = link_of(app, kinds[i].type, level);

				if (link && (c->levels & HYPAPI_LEVEL_BIT(level)))
					kinds[i].add(c, level, link);
			}
}

static inline const struct link *find_claim(const struct claims *claims, u32 number)
{
	for (u32 i = 0; i < claims->count; i++)
		if (number - claims->of[i].first <= claims->of[i].span)
			return claims->of[i].link;
	return NULL;
}

static bool is_subscribed(u32 type, u32 level)
{
	for (u32 i = 0; i < chain_len[type]; i++)
		if (chains[type][i].levels & HYPAPI_LEVEL_BIT(level))
			return true;
	return false;
}

/* What nobody asks for has no handler, no intercept and no test: the exit tables hold other handlers from here on. */
static void arm(void)
{
	if (port_claims[HYPAPI_L1].count)
		vmx_replace_exit(EXIT_IO, exit_io_claimed);
	if (msr_claims[HYPAPI_L1].count) {
		vmx_replace_exit(EXIT_RDMSR, exit_msr_claimed);
		vmx_replace_exit(EXIT_WRMSR, exit_msr_claimed);
	}
	nested_arm(port_claims[HYPAPI_L2].count, msr_claims[HYPAPI_L2].count, msr_claims[HYPAPI_L1].count,
		   is_subscribed(HYPAPI_EV_EXIT202, HYPAPI_L2));
}

void hypapps_init(void)
{
	char message[160];

	for (size_t i = 0; hypapps_linked[i]; i++)
		sort_in(hypapps_linked[i]);
	if (!hypapps_check(apps, app_count, message, sizeof(message)))
		boot_refuse("%s", message);
	build_chains();
	for (u32 i = 0; i < app_count; i++)
		build_claims(apps[i]);
	arm();
	stats_init(apps, app_count);
	for (u32 i = 0; i < app_count; i++)
		log_info("hypapp %s, priority %d, hypapi %u.%u", apps[i]->name, apps[i]->priority, apps[i]->major,
			 apps[i]->minor);
	hypapps_notify(this_cpu(), HYPAPI_EV_INIT);
}

/* What every event carries. The arguments, and the rest of `d`, are the caller's. */
static always_inline void fill_event(struct dispatch *d, struct percpu *cpu, enum hypapi_event_type type,
				     enum hypapi_level level, enum run_mode mode)
{
	struct hypapi_event *ev = &d->ev;
	u64 callback = ++cpu->callbacks << 2;

	d->cpu = cpu;
	d->progress = (struct dispatch_progress){ 0 };
	d->enter = NULL;
	ev->size = sizeof(*ev);
	ev->major = HYPAPI_MAJOR;
	ev->minor = HYPAPI_MINOR;
	ev->type = type;
	ev->level = level;
	ev->cpu = cpu->index;
	/* While a CPU starts, no other runs a guest, and it takes no part in stops yet. */
	ev->stopped = quiesce_owned(&cpu->quiesce) || !cpu->quiesce.online;
	ev->epoch = ev->stopped ? quiesce_epoch(&cpu->quiesce) : 0;
	ev->eptp01.id = callback | HYPAPI_L1;
	ev->eptp02.id = level == HYPAPI_L2 ? callback | HYPAPI_L2 : HYPAPI_NONE;
	ev->partition.id = mode == RUN_PARTITION ? partition_handle(cpu) : HYPAPI_NONE;
	ev->cpl = level == HYPAPI_L0 ? 0 : (u8)guest_cpl();
	ev->long_mode = level == HYPAPI_L0 || guest_long_mode();
}

static always_inline enum hypapi_level level_of(const struct percpu *cpu)
{
	enum run_mode mode = cpu->mode == RUN_PARTITION ? cpu->caller_mode : cpu->mode;

	return mode == RUN_L2 ? HYPAPI_L2 : HYPAPI_L1;
}

bool hypapps_stop(struct dispatch *d)
{
	struct quiesce_cpu *quiesce = &d->cpu->quiesce;
	u64 asked = quiesce->count.asked;

	if (unlikely(d->cpu->trace) && !quiesce_owned(quiesce))
		d->stop_start = rdtsc();
	bool stale = quiesce_begin(quiesce);

	d->stats->stops += quiesce->count.asked - asked;
	d->ev.epoch = quiesce_epoch(quiesce);
	d->ev.stopped = true;
	d->progress.stops++;
	d->progress.walking = false;
	return stale;
}

static always_inline void end_stop(struct dispatch *d)
{
	quiesce_end(&d->cpu->quiesce);
	if (unlikely(d->cpu->trace) && !quiesce_owned(&d->cpu->quiesce))
		trace_stop(d->cpu, d->stop_start, rdtsc());
}

static __attribute__((noinline)) void end_stops(struct dispatch *d)
{
	for (; d->progress.stops; d->progress.stops--)
		end_stop(d);
}

void hypapps_end_stop(struct dispatch *d)
{
	d->progress.stops--;
	end_stop(d);
}

/* What is not simply an answer: a stop and the handler once more, or the end. */
static __attribute__((noinline)) enum hypapi_verdict settle(struct dispatch *d, const struct link *link,
							    enum hypapi_verdict verdict)
{
	while (verdict == HYPAPI_RETRY && d->ev.quiesce && !d->ev.stopped) {
		(void)hypapps_stop(d); /* the handler begins again after it: what it has read does not matter */
		verdict = link->handler(&d->ev);
	}
	if (verdict == HYPAPI_KILL) {
		log_warn("hypapp %s asks for a reset", link->app->name);
		power_reset(d->cpu);
	}
	return verdict;
}

/* Asks one hypapp, counts, and ends the stops that it began. */
static always_inline enum hypapi_verdict deliver(struct dispatch *d, struct percpu *cpu, const struct link *link,
						 enum hypapi_level level)
{
	struct event_stats *stats = (struct event_stats *)((u8 *)cpu->hypapp_stats + link->counts) + level;
	struct dispatch *outer = cpu->dispatch;
	u64 start = rdtsc(), now;
	enum hypapi_verdict verdict;

	cpu->dispatch = d;
	d->stats = stats;
	d->app = link->app;
	d->capabilities = link->capabilities;
	d->ev.quiesce = link->quiesce;
	if (unlikely(link->quiesce) && !d->ev.stopped)
		(void)hypapps_stop(d);
	verdict = link->handler(&d->ev);
	if (unlikely(verdict > HYPAPI_DENY))
		verdict = settle(d, link, verdict);
	cpu->dispatch = outer;
	if (unlikely(d->progress.stops))
		end_stops(d);
	now = rdtsc();
	stats->count++;
	stats->ticks += now - start;
	if (unlikely(cpu->trace))
		trace_delivery(d, start, now, verdict);
	return verdict;
}

/* Asks the one hypapp that an event belongs to. */
static enum hypapi_verdict deliver_to(struct dispatch *d, const struct hypapp_descriptor *app)
{
	const struct link *link = link_of(app, d->ev.type, d->ev.level);

	return link ? deliver(d, d->cpu, link, d->ev.level) : HYPAPI_PASS;
}

/* HANDLED, after the caller has stepped over what has to be stepped over. */
static inline void finish(struct dispatch *d)
{
	if (d->enter)
		partition_enter(d->cpu, d->enter, &d->entry);
}

static __attribute__((noinline)) bool not_handled(struct dispatch *d, enum hypapi_verdict verdict,
						  unsigned int deny_vector)
{
	if (verdict == HYPAPI_DENY && !partition_raise(d->cpu, deny_vector))
		vmx_raise(d->cpu, deny_vector, 0, GVA(0));
	return verdict == HYPAPI_PASS;
}

/* An instruction that a hypapp claims: true if it stays the guest's. In line, once for each kind. */
static always_inline bool offer(struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level,
				enum run_mode mode, const struct link *link, u32 number)
{
	struct dispatch d;
	enum hypapi_verdict verdict;

	fill_event(&d, cpu, type, level, mode);
	d.ev.args.cpuid.leaf = number; /* the number of a hypercall, too */
	if (type == HYPAPI_EV_CPUID)
		d.ev.args.cpuid.subleaf = (u32)cpu->gpr[GPR_RCX];
	verdict = deliver(&d, cpu, link, level);
	if (unlikely(verdict != HYPAPI_HANDLED))
		return not_handled(&d, verdict, type == HYPAPI_EV_CPUID ? VEC_GP : VEC_UD);
	if (likely(!d.progress.moved))
		vmx_skip_instruction();
	finish(&d);
	return false;
}
_Static_assert(offsetof(struct hypapi_cpuid_args, leaf) == offsetof(struct hypapi_hypercall_args, number),
	       "offer() sets both");

static __attribute__((noinline)) bool offer_cpuid(struct percpu *cpu, enum hypapi_level level, const struct link *link,
						  u32 leaf)
{
	return offer(cpu, HYPAPI_EV_CPUID, level, cpu->mode, link, leaf);
}

bool hypapps_cpuid(struct percpu *cpu, u32 leaf)
{
	enum hypapi_level level;
	const struct link *link;

	if (CONFIG_INSN_COUNTS && insn_counts_cpuid(cpu, leaf)) {
		vmx_skip_instruction();
		return false;
	}
	if (likely(leaf < cpuid_lowest || leaf > cpuid_highest))
		return true;
	level = level_of(cpu);
	link = find_claim(&cpuid_claims[level], leaf);
	return !link || offer_cpuid(cpu, level, link, leaf);
}

/* EAX is the number in L1; L2 adds its base, so that its own hypervisor's numbers stay free. */
static always_inline bool hypercall(struct percpu *cpu, enum hypapi_level level, enum run_mode mode)
{
	u32 number = (u32)cpu->gpr[GPR_RAX] - (level == HYPAPI_L2 ? CONFIG_L2_HYPERCALL_BASE : 0);
	u32 place = number <= HYPAPI_HYPERCALL_MAX ? hypercall_claims[level][number] : 0;

	return !place || offer(cpu, HYPAPI_EV_HYPERCALL, level, mode, hypercall_links[place], number);
}

static __attribute__((noinline)) bool partition_hypercall(struct percpu *cpu)
{
	return hypercall(cpu, level_of(cpu), RUN_PARTITION);
}

bool hypapps_hypercall(struct percpu *cpu)
{
	if (cpu->mode == RUN_L1)
		return hypercall(cpu, HYPAPI_L1, RUN_L1);
	return cpu->mode == RUN_L2 ? hypercall(cpu, HYPAPI_L2, RUN_L2) : partition_hypercall(cpu);
}

bool hypapps_claim_port(const struct percpu *cpu, u32 port, u32 size)
{
	for (u32 i = 0; i < size; i++)
		if (find_claim(&port_claims[level_of(cpu)], port + i))
			return true;
	return false;
}

bool hypapps_claim_msr(const struct percpu *cpu, u32 msr)
{
	return find_claim(&msr_claims[level_of(cpu)], msr);
}

/* What a verdict comes to. After hypapi_inject() there is nothing left to do. */
static enum asked settled(struct dispatch *d, enum hypapi_verdict verdict)
{
	if (d->progress.moved)
		return ASKED_ENDED;
	if (verdict == HYPAPI_DENY)
		vmx_raise(d->cpu, VEC_GP, 0, GVA(0));
	return verdict == HYPAPI_PASS ? ASKED_NOBODY : verdict == HYPAPI_HANDLED ? ASKED_HANDLED : ASKED_ENDED;
}

/* The ports of one access may have several owners: each is asked once, from the lowest port up. */
enum asked hypapps_port_io(struct percpu *cpu, struct hypapi_port_io_args *io)
{
	enum hypapi_level level = level_of(cpu);
	const struct link *last = NULL, *link;
	enum asked answer = ASKED_NOBODY;
	struct dispatch d;

	for (u32 i = 0; i < io->size && answer == ASKED_NOBODY; i++) {
		link = find_claim(&port_claims[level], io->port + i);
		if (!link || link == last)
			continue;
		last = link;
		fill_event(&d, cpu, HYPAPI_EV_PORT_IO, level, cpu->mode);
		d.enter = NO_ENTRY;
		d.ev.args.port_io = *io;
		answer = settled(&d, deliver(&d, cpu, link, level));
	}
	if (answer == ASKED_HANDLED)
		io->value = d.ev.args.port_io.value;
	return answer;
}

enum asked hypapps_msr(struct percpu *cpu, struct hypapi_msr_args *msr)
{
	enum hypapi_level level = level_of(cpu);
	const struct link *link = find_claim(&msr_claims[level], msr->msr);
	struct dispatch d;

	if (!link)
		return ASKED_NOBODY;
	fill_event(&d, cpu, HYPAPI_EV_MSR, level, cpu->mode);
	d.enter = NO_ENTRY;
	d.ev.args.msr = *msr;
	enum asked answer = settled(&d, deliver(&d, cpu, link, level));

	msr->value = answer == ASKED_HANDLED ? d.ev.args.msr.value : msr->value;
	return answer;
}

/* Neither VMCS holds L1's state in the middle of an entry or exit: no calls on registers and memory in this event. */
enum asked hypapps_msr_list(struct percpu *cpu, struct hypapi_msr_args *msr)
{
	const struct link *claimed = find_claim(&msr_claims[HYPAPI_L1], msr->msr);
	struct dispatch d;

	if (!claimed)
		return ASKED_NOBODY;
	struct link link = *claimed;

	link.capabilities &= HYPAPI_CAP_QUIESCE;
	fill_event(&d, cpu, HYPAPI_EV_MSR, HYPAPI_L1, cpu->mode);
	d.enter = NO_ENTRY;
	d.ev.cpl = 0;
	d.ev.args.msr = *msr;
	enum hypapi_verdict verdict = deliver(&d, cpu, &link, HYPAPI_L1);

	if (verdict == HYPAPI_HANDLED)
		msr->value = d.ev.args.msr.value;
	return verdict == HYPAPI_HANDLED ? ASKED_HANDLED : verdict == HYPAPI_DENY ? ASKED_ENDED : ASKED_NOBODY;
}

void hypapps_crossing(struct percpu *cpu, enum hypapi_event_type type, u32 reason, u64 qualification)
{
	enum hypapi_level level = level_of(cpu);
	struct dispatch d;

	for (const struct link *link = chains[type]; link < chains[type] + chain_len[type]; link++) {
		if (!(link->levels & HYPAPI_LEVEL_BIT(level)))
			continue;
		fill_event(&d, cpu, type, level, cpu->mode);
		d.enter = NO_ENTRY;
		d.ev.args.exit = (struct hypapi_exit_args){ .reason = reason, .qualification = qualification };
		deliver(&d, cpu, link, level);
	}
	/* In the middle of another event, if that raised an exception that L1 wants: a stop may have been served. */
	if (cpu->dispatch)
		cpu->dispatch->progress.walking = false;
}

void hypapps_mtrr(struct percpu *cpu, u32 msr, u64 value)
{
	struct dispatch d;

	for (u32 i = 0; i < chain_len[HYPAPI_EV_MTRR]; i++) {
		fill_event(&d, cpu, HYPAPI_EV_MTRR, HYPAPI_L0, cpu->mode);
		d.ev.args.mtrr = (struct hypapi_mtrr_args){ .msr = msr, .value = value };
		deliver(&d, cpu, &chains[HYPAPI_EV_MTRR][i], HYPAPI_L0);
	}
}

void hypapps_violation(struct percpu *cpu, const struct hypapps_violation *v)
{
	const struct hypapp_descriptor *owner = NULL;
	u64 entry = ept01_entry(v->gpa1);
	enum hypapi_verdict verdict;
	struct dispatch d;

	/* Allowed by now, or never forbidden. */
	if (((entry & EPT_RIGHTS) && (entry & v->access) == v->access) ||
	    (!(entry & EPT01_OWNER_BITS) && ept01_touch(v->gpa1, v->access)))
		return;
	fill_event(&d, cpu, HYPAPI_EV_EPT_VIOLATION, level_of(cpu), cpu->mode);
	d.ev.args.violation = (struct hypapi_violation_args){
		.hpa = HPA(v->gpa1.addr), .gpa1 = v->gpa1, .gpa2 = v->gpa2, .gva = v->gva, .access = v->access,
		.gva_valid = v->gva_valid, .owner = partition_by_owner(ept01_entry_owner(entry), &owner),
	};
	if (unlikely(entry & EPT01_HYPAPP))
		owner = apps[ept01_entry_hypapp(entry) - 1];
	verdict = owner ? deliver_to(&d, owner) : HYPAPI_PASS;
	if (verdict == HYPAPI_PASS || verdict == HYPAPI_DENY)
		/*
		 * Not #PF: an operating system whose page tables allow the access takes that as spurious, and retries
		 * for ever.
		 */
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
	else if (verdict == HYPAPI_HANDLED)
		finish(&d);
}

bool hypapps_partition_exit(struct percpu *cpu, const struct hypapi_partition_exit_args *args)
{
	struct dispatch d;

	fill_event(&d, cpu, HYPAPI_EV_PARTITION_EXIT, level_of(cpu), RUN_PARTITION);
	d.ev.args.partition_exit = *args;
	enum hypapi_verdict verdict = deliver_to(&d, partition_owner(cpu));

	if (verdict == HYPAPI_HANDLED)
		finish(&d);
	return verdict == HYPAPI_PASS || verdict == HYPAPI_DENY;
}

void hypapps_notify(struct percpu *cpu, enum hypapi_event_type type)
{
	struct dispatch d = { 0 };

	for (u32 i = 0; i < chain_len[type]; i++) {
		fill_event(&d, cpu, type, HYPAPI_L0, cpu->mode);
		deliver(&d, cpu, &chains[type][i], HYPAPI_L0);
	}
}

void hypapps_cpu_init(struct percpu *cpu)
{
	struct dispatch d = { 0 };

	stats_cpu_init(cpu);
	cpu->watched = (is_subscribed(HYPAPI_EV_EXIT102, HYPAPI_L2) ? (u32)BIT(HYPAPI_EV_EXIT102) : 0) |
		       (is_subscribed(HYPAPI_EV_EXIT201, HYPAPI_L1) ? (u32)BIT(HYPAPI_EV_EXIT201) : 0);
	trace_cpu_init(cpu);
	for (u32 i = 0; i < chain_len[HYPAPI_EV_CPU_INIT]; i++) {
		fill_event(&d, cpu, HYPAPI_EV_CPU_INIT, HYPAPI_L0, cpu->mode);
		d.ev.args.cpu_init.cpu_count = cpu_count;
		deliver(&d, cpu, &chains[HYPAPI_EV_CPU_INIT][i], HYPAPI_L0);
	}
}
