/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See hypapps.h. The chain of an event type is an array in priority order, made at boot. Claims are exclusive, so CPUID and
 * hypercalls go to the one hypapp that claimed the number; violations and partition exits go to the partition's owner.
 */
#include "core/hypapps.h"

#include "core/config.h"
#include "core/hypapps_check.h"
#include "core/insn_counts.h"
#include "core/log.h"
#include "core/stats.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "mem/partition.h"
#include "vmx/exit.h"
#include "vmx/power.h"

struct link {
	const struct hypapp_descriptor *app;
	const struct hypapi_subscription *sub;
	u32 app_index;
};

extern const struct hypapp_descriptor *const hypapps_linked[]; /* made by the build, NULL at the end */
const char HYPAPI_VERSION_SYMBOL[] = "hypapi";

static const struct hypapp_descriptor *apps[MAX_HYPAPPS]; /* by priority */
static u32 app_count;
static struct link chains[HYPAPI_EV_COUNT][MAX_HYPAPPS];
static u32 chain_len[HYPAPI_EV_COUNT];

/* All claims of one kind at one level, and who answers; `span` is last - first. */
struct claims {
	struct { u32 first, span; const struct link *link; } of[MAX_HYPAPPS * HYPAPI_MAX_CLAIMS];
	u32 count;
};
static struct claims hypercall_claims[HYPAPI_L2 + 1], cpuid_claims[HYPAPI_L2 + 1];

u32 hypapps_number(const struct hypapp_descriptor *app)
{
	u32 i = 0;

	while (apps[i] != app)
		i++;
	return i + 1;
}

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

static void build_chains(void)
{
	for (u32 i = 0; i < app_count; i++)
		for (const struct hypapi_subscription *s = apps[i]->subscriptions;
		     s < apps[i]->subscriptions + HYPAPI_MAX_SUBSCRIPTIONS && s->handler; s++)
			chains[s->type][chain_len[s->type]++] = (struct link){ apps[i], s, i };
}

static const struct link *link_of(const struct hypapp_descriptor *app, u32 type, u32 level)
{
	for (u32 i = 0; i < chain_len[type]; i++)
		if (chains[type][i].app == app && (chains[type][i].sub->levels & HYPAPI_LEVEL_BIT(level)))
			return &chains[type][i];
	return NULL;
}

static void build_claims(struct claims *all, u32 kind, u32 type)
{
	for (u32 i = 0; i < app_count; i++)
		for (const struct hypapi_claim *c = apps[i]->claims; c < apps[i]->claims + HYPAPI_MAX_CLAIMS && c->kind; c++)
			for (u32 level = HYPAPI_L1; level <= HYPAPI_L2; level++) {
				const struct link *link = link_of(apps[i], type, level);
				struct claims *claims = &all[level];

				if (c->kind != kind || !(c->levels & HYPAPI_LEVEL_BIT(level)) || !link)
					continue;
				claims->of[claims->count].first = c->first;
				claims->of[claims->count].span = c->last - c->first;
				claims->of[claims->count++].link = link;
			}
}

static inline const struct link *find_claim(const struct claims *claims, u32 number)
{
	for (u32 i = 0; i < claims->count; i++)
		if (number - claims->of[i].first <= claims->of[i].span)
			return claims->of[i].link;
	return NULL;
}

void hypapps_init(void)
{
	char message[160];

	for (size_t i = 0; hypapps_linked[i]; i++)
		sort_in(hypapps_linked[i]);
	if (!hypapps_check(apps, app_count, message, sizeof(message)))
		boot_refuse("%s", message);
	build_chains();
	build_claims(hypercall_claims, HYPAPI_CLAIM_HYPERCALL, HYPAPI_EV_HYPERCALL);
	build_claims(cpuid_claims, HYPAPI_CLAIM_CPUID, HYPAPI_EV_CPUID);
	stats_init(apps, app_count);
	for (u32 i = 0; i < app_count; i++)
		log_info("hypapp %s, priority %d, hypapi %u.%u", apps[i]->name, apps[i]->priority, apps[i]->major, apps[i]->minor);
	hypapps_notify(this_cpu(), HYPAPI_EV_INIT);
}

/* What every event carries. The arguments, and the rest of `d`, are the caller's. */
static always_inline void fill_event(struct dispatch *d, struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level)
{
	struct hypapi_event *ev = &d->ev;
	u64 callback = ++cpu->callbacks << 2;

	d->cpu = cpu;
	d->stops = 0;
	d->injected = d->left_partition = d->walking = false;
	d->enter = NULL;
	ev->size = sizeof(*ev);
	ev->major = HYPAPI_MAJOR;
	ev->minor = HYPAPI_MINOR;
	ev->type = type;
	ev->level = level;
	ev->cpu = cpu->index;
	ev->stopped = quiesce_owned(&cpu->quiesce);
	ev->epoch = quiesce_epoch(&cpu->quiesce);
	ev->eptp01.id = callback | HYPAPI_L1;
	ev->eptp02.id = level == HYPAPI_L2 ? callback | HYPAPI_L2 : HYPAPI_NONE;
	ev->partition.id = cpu->mode == RUN_PARTITION ? partition_handle(cpu) : HYPAPI_NONE;
	ev->cpl = level == HYPAPI_L0 ? 0 : (u8)guest_cpl();
	ev->long_mode = level == HYPAPI_L0 || guest_long_mode();
}

static enum hypapi_level level_of(const struct percpu *cpu)
{
	enum run_mode mode = cpu->mode == RUN_PARTITION ? cpu->caller_mode : cpu->mode;

	return mode == RUN_L2 ? HYPAPI_L2 : HYPAPI_L1;
}

static __attribute__((noinline)) void stop_for(struct dispatch *d)
{
	/* The handler begins, or begins again, after this: it has read nothing that could be stale. */
	(void)!quiesce_begin(&d->cpu->quiesce);
	d->ev.epoch = quiesce_epoch(&d->cpu->quiesce);
	d->stops++;
	d->walking = false;
	d->ev.stopped = true;
}

/* After the handler: what costs nothing when there was no stop. */
static __attribute__((noinline)) void end_stops(struct dispatch *d, struct event_stats *stats, u64 asked_before)
{
	stats->stops += d->cpu->quiesce.count.asked - asked_before;
	for (; d->stops; d->stops--)
		quiesce_end(&d->cpu->quiesce);
}

static __attribute__((noinline)) void kill_by(struct dispatch *d)
{
	log_warn("hypapp %s asks for a reset", d->app->name);
	power_reset(d->cpu);
}

/* Asks one hypapp, counts, and ends the stops that it began. */
static always_inline enum hypapi_verdict deliver(struct dispatch *d, const struct link *link)
{
	struct percpu *cpu = d->cpu;
	struct event_stats *stats = &cpu->hypapp_stats->of[link->app_index][d->ev.type][d->ev.level];
	struct dispatch *outer = cpu->dispatch;
	u64 asked = cpu->quiesce.count.asked, start = rdtsc();
	enum hypapi_verdict verdict;

	cpu->dispatch = d;
	d->app = link->app;
	d->capabilities = link->app->capabilities;
	d->ev.quiesce = link->sub->quiesce;
	if (d->ev.quiesce && !d->ev.stopped)
		stop_for(d);
	verdict = link->sub->handler(&d->ev);
	while (unlikely(verdict == HYPAPI_RETRY) && d->ev.quiesce && !d->ev.stopped) {
		stop_for(d);
		verdict = link->sub->handler(&d->ev);
	}
	cpu->dispatch = outer;
	if (unlikely(verdict == HYPAPI_KILL))
		kill_by(d);
	if (unlikely(cpu->quiesce.count.asked != asked || d->stops))
		end_stops(d, stats, asked);
	stats->count++;
	stats->ticks += rdtsc() - start;
	return verdict;
}

/* Asks the one hypapp that an event belongs to. */
static enum hypapi_verdict deliver_to(struct dispatch *d, const struct hypapp_descriptor *app)
{
	const struct link *link = link_of(app, d->ev.type, d->ev.level);

	return link ? deliver(d, link) : HYPAPI_PASS;
}

/* HANDLED, after the caller has stepped over what has to be stepped over. */
static inline void finish(struct dispatch *d)
{
	if (d->enter)
		partition_enter(d->cpu, d->enter, &d->entry);
}

static __attribute__((noinline)) bool not_handled(struct dispatch *d, enum hypapi_verdict verdict, unsigned int deny_vector)
{
	if (verdict == HYPAPI_DENY && !partition_raise(d->cpu, deny_vector))
		vmx_raise(d->cpu, deny_vector, 0, GVA(0));
	return verdict == HYPAPI_PASS;
}

/* An instruction that a hypapp claims: true if it stays the guest's. One function, so that the way there and back is short. */
static __attribute__((noinline)) bool offer(struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level,
					    const struct link *link, u32 number)
{
	struct dispatch d;
	enum hypapi_verdict verdict;

	fill_event(&d, cpu, type, level);
	d.ev.args.cpuid.leaf = number; /* the number of a hypercall, too */
	d.ev.args.cpuid.subleaf = (u32)cpu->gpr[GPR_RCX];
	verdict = deliver(&d, link);
	if (unlikely(verdict != HYPAPI_HANDLED))
		return not_handled(&d, verdict, type == HYPAPI_EV_CPUID ? VEC_GP : VEC_UD);
	if (likely(!d.injected && !d.left_partition))
		vmx_skip_instruction();
	finish(&d);
	return false;
}
_Static_assert(offsetof(struct hypapi_cpuid_args, leaf) == offsetof(struct hypapi_hypercall_args, number), "offer() sets both");

bool hypapps_cpuid(struct percpu *cpu, u32 leaf)
{
	enum hypapi_level level = level_of(cpu);
	const struct link *link = find_claim(&cpuid_claims[level], leaf);

	if (CONFIG_INSN_COUNTS && insn_counts_cpuid(cpu, leaf)) {
		vmx_skip_instruction();
		return false;
	}
	return likely(!link) || offer(cpu, HYPAPI_EV_CPUID, level, link, leaf);
}

bool hypapps_hypercall(struct percpu *cpu)
{
	enum hypapi_level level = level_of(cpu);
	u32 number = (u32)cpu->gpr[GPR_RAX] - (level == HYPAPI_L2 ? CONFIG_L2_HYPERCALL_BASE : 0);
	const struct link *link = find_claim(&hypercall_claims[level], number);

	return !link || offer(cpu, HYPAPI_EV_HYPERCALL, level, link, number);
}

void hypapps_violation(struct percpu *cpu, const struct hypapps_violation *v)
{
	const struct hypapp_descriptor *owner = NULL;
	enum hypapi_verdict verdict;
	struct dispatch d;

	fill_event(&d, cpu, HYPAPI_EV_EPT_VIOLATION, level_of(cpu));
	d.ev.args.violation = (struct hypapi_violation_args){
		.hpa = HPA(v->gpa1.addr), .gpa1 = v->gpa1, .gpa2 = v->gpa2, .gva = v->gva, .access = v->access,
		.gva_valid = v->gva_valid, .owner = partition_by_owner(ept01_owner(v->gpa1), &owner),
	};
	if (!owner && ept01_hypapp(v->gpa1))
		owner = apps[ept01_hypapp(v->gpa1) - 1];
	verdict = owner ? deliver_to(&d, owner) : HYPAPI_PASS;
	if (verdict == HYPAPI_PASS || verdict == HYPAPI_DENY)
		/* Not #PF: an operating system whose page tables allow the access takes that as spurious, and retries for ever. */
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
	else if (verdict == HYPAPI_HANDLED)
		finish(&d);
}

bool hypapps_partition_exit(struct percpu *cpu, const struct hypapi_partition_exit_args *args)
{
	struct dispatch d;

	fill_event(&d, cpu, HYPAPI_EV_PARTITION_EXIT, level_of(cpu));
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
		fill_event(&d, cpu, type, HYPAPI_L0);
		deliver(&d, &chains[type][i]);
	}
}

void hypapps_cpu_init(struct percpu *cpu)
{
	struct dispatch d = { 0 };

	stats_cpu_init(cpu);
	for (u32 i = 0; i < chain_len[HYPAPI_EV_CPU_INIT]; i++) {
		fill_event(&d, cpu, HYPAPI_EV_CPU_INIT, HYPAPI_L0);
		d.ev.args.cpu_init.cpu_count = cpu_count;
		deliver(&d, &chains[HYPAPI_EV_CPU_INIT][i]);
	}
}
