/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See hypapps.h. The chain of an event type is an array in priority order, made at boot. Claims are exclusive, so CPUID and
 * hypercalls go to the one hypapp that claimed the number; violations and partition exits go to the partition's owner.
 */
#include "core/hypapps.h"

#include "core/hypapps_check.h"
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

void hypapps_init(void)
{
	char message[160];

	for (size_t i = 0; hypapps_linked[i]; i++)
		sort_in(hypapps_linked[i]);
	if (!hypapps_check(apps, app_count, message, sizeof(message)))
		boot_refuse("%s", message);
	build_chains();
	stats_init(apps, app_count);
	for (u32 i = 0; i < app_count; i++)
		log_info("hypapp %s, priority %d, hypapi %u.%u", apps[i]->name, apps[i]->priority, apps[i]->major, apps[i]->minor);
	hypapps_notify(this_cpu(), HYPAPI_EV_INIT);
}

static void fill_event(struct dispatch *d, struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level)
{
	struct hypapi_event *ev = &d->ev;

	d->cpu = cpu;
	d->stops = 0;
	d->injected = d->left_partition = false;
	d->enter = NULL;
	ev->size = sizeof(*ev);
	ev->major = HYPAPI_MAJOR;
	ev->minor = HYPAPI_MINOR;
	ev->type = type;
	ev->level = level;
	ev->cpu = cpu->index;
	ev->stopped = quiesce_owned(&cpu->quiesce);
	ev->epoch = quiesce_epoch(&cpu->quiesce);
	cpu->callbacks++;
	ev->eptp01.id = cpu->callbacks << 2 | HYPAPI_L1;
	ev->eptp02.id = level == HYPAPI_L2 ? cpu->callbacks << 2 | HYPAPI_L2 : HYPAPI_NONE;
	ev->partition.id = partition_handle(cpu);
	ev->cpl = level == HYPAPI_L0 ? 0 : (u8)guest_cpl();
	ev->long_mode = level == HYPAPI_L0 || guest_long_mode();
}

static enum hypapi_level level_of(const struct percpu *cpu)
{
	enum run_mode mode = cpu->mode == RUN_PARTITION ? cpu->caller_mode : cpu->mode;

	return mode == RUN_L2 ? HYPAPI_L2 : HYPAPI_L1;
}

static void stop_for(struct dispatch *d)
{
	if (quiesce_begin(&d->cpu->quiesce) || !d->stops)
		d->ev.epoch = quiesce_epoch(&d->cpu->quiesce);
	d->stops++;
	d->ev.stopped = true;
}

static enum hypapi_verdict ask(struct dispatch *d, const struct link *link)
{
	u64 start = rdtsc(), asked = d->cpu->quiesce.count.asked;
	enum hypapi_verdict verdict;

	d->app = link->app;
	d->ev.quiesce = link->sub->quiesce;
	if (d->ev.quiesce && !d->ev.stopped)
		stop_for(d);
	verdict = link->sub->handler(&d->ev);
	while (verdict == HYPAPI_RETRY && d->ev.quiesce && !d->ev.stopped) {
		stop_for(d);
		verdict = link->sub->handler(&d->ev);
	}
	stats_event(d->cpu, link->app_index, d->ev.type, d->ev.level, rdtsc() - start, d->cpu->quiesce.count.asked - asked);
	return verdict;
}

/* Asks `only`, or everyone by priority, until one does not pass. */
static enum hypapi_verdict deliver(struct dispatch *d, const struct hypapp_descriptor *only)
{
	struct dispatch *outer = d->cpu->dispatch;
	enum hypapi_verdict verdict = HYPAPI_PASS;
	u32 type = d->ev.type;

	d->cpu->dispatch = d;
	for (u32 i = 0; i < chain_len[type] && verdict == HYPAPI_PASS; i++) {
		const struct link *link = &chains[type][i];

		if ((link->sub->levels & HYPAPI_LEVEL_BIT(d->ev.level) || d->ev.level == HYPAPI_L0) && (!only || only == link->app))
			verdict = ask(d, link);
	}
	d->cpu->dispatch = outer;
	if (verdict == HYPAPI_KILL) {
		log_warn("hypapp %s asks for a reset", d->app->name);
		power_reset(d->cpu);
	}
	while (d->stops) {
		d->stops--;
		quiesce_end(&d->cpu->quiesce);
	}
	return verdict;
}

/* HANDLED, after the caller has stepped over what has to be stepped over. */
static void finish(struct dispatch *d)
{
	if (d->enter)
		partition_enter(d->cpu, d->enter, &d->entry);
}

static const struct hypapp_descriptor *claimant(u32 kind, u32 level, u32 number)
{
	for (u32 i = 0; i < app_count; i++)
		for (const struct hypapi_claim *c = apps[i]->claims; c < apps[i]->claims + HYPAPI_MAX_CLAIMS && c->kind; c++)
			if (c->kind == kind && (c->levels & HYPAPI_LEVEL_BIT(level)) && number >= c->first && number <= c->last)
				return apps[i];
	return NULL;
}

/* An instruction of the guest that was offered to the chain: true if it stays the guest's. */
static bool instruction_verdict(struct dispatch *d, enum hypapi_verdict verdict, unsigned int deny_vector)
{
	if (verdict == HYPAPI_PASS)
		return true;
	if (verdict == HYPAPI_DENY) {
		if (!partition_raise(d->cpu, deny_vector))
			vmx_raise(d->cpu, deny_vector, 0, GVA(0));
	} else if (verdict == HYPAPI_HANDLED && !d->injected && !d->left_partition) {
		vmx_skip_instruction();
	}
	if (verdict == HYPAPI_HANDLED)
		finish(d);
	return false;
}

bool hypapps_cpuid(struct percpu *cpu, u32 leaf)
{
	enum hypapi_level level = level_of(cpu);
	const struct hypapp_descriptor *app = claimant(HYPAPI_CLAIM_CPUID, level, leaf);
	struct dispatch d;

	if (likely(!app))
		return true;
	fill_event(&d, cpu, HYPAPI_EV_CPUID, level);
	d.ev.args.cpuid.leaf = leaf;
	d.ev.args.cpuid.subleaf = (u32)cpu->gpr[GPR_RCX];
	return instruction_verdict(&d, deliver(&d, app), VEC_GP);
}

bool hypapps_hypercall(struct percpu *cpu)
{
	enum hypapi_level level = level_of(cpu);
	u32 number = (u32)cpu->gpr[GPR_RAX] - (level == HYPAPI_L2 ? hypapi_l2_hypercall_base() : 0);
	const struct hypapp_descriptor *app = claimant(HYPAPI_CLAIM_HYPERCALL, level, number);
	struct dispatch d;

	if (!app)
		return true;
	fill_event(&d, cpu, HYPAPI_EV_HYPERCALL, level);
	d.ev.args.hypercall.number = number;
	return instruction_verdict(&d, deliver(&d, app), VEC_UD);
}

void hypapps_violation(struct percpu *cpu, const struct hypapps_violation *v)
{
	struct ept01_leaf leaf = { 0 };
	const struct hypapp_descriptor *owner = NULL;
	enum hypapi_verdict verdict;
	struct dispatch d;

	ept01_lookup(v->gpa1, &leaf);
	fill_event(&d, cpu, HYPAPI_EV_EPT_VIOLATION, level_of(cpu));
	d.ev.args.violation = (struct hypapi_violation_args){
		.hpa = HPA(v->gpa1.addr), .gpa1 = v->gpa1, .gpa2 = v->gpa2, .gva = v->gva, .access = v->access,
		.gva_valid = v->gva_valid, .owner = partition_by_owner(leaf.owner, &owner),
	};
	verdict = owner ? deliver(&d, owner) : HYPAPI_PASS;
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
	enum hypapi_verdict verdict = deliver(&d, partition_owner(cpu->partition));

	if (verdict == HYPAPI_HANDLED)
		finish(&d);
	return verdict == HYPAPI_PASS || verdict == HYPAPI_DENY;
}

void hypapps_notify(struct percpu *cpu, enum hypapi_event_type type)
{
	struct dispatch d = { 0 };

	for (u32 i = 0; i < chain_len[type]; i++) {
		fill_event(&d, cpu, type, HYPAPI_L0);
		deliver(&d, chains[type][i].app);
	}
}

void hypapps_cpu_init(struct percpu *cpu)
{
	struct dispatch d = { 0 };

	stats_cpu_init(cpu);
	for (u32 i = 0; i < chain_len[HYPAPI_EV_CPU_INIT]; i++) {
		fill_event(&d, cpu, HYPAPI_EV_CPU_INIT, HYPAPI_L0);
		d.ev.args.cpu_init.cpu_count = cpu_count;
		deliver(&d, chains[HYPAPI_EV_CPU_INIT][i].app);
	}
}
