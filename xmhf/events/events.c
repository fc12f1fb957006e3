/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See events.h. */
#include "events/events.h"

#include "core/config.h"
#include "events/dispatch.h"
#include "events/event_info.h"
#include "iommu/iommu.h"
#include "iommu/vtd.h"
#include "lib/string.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "power/wake.h"
#include "report/insn_counts.h"
#include "report/log.h"
#include "report/trace.h"
#include "vmx/exit.h"

/* The level that runs; for a partition, that of its caller. */
static enum hypapi_level event_level(const struct percpu *cpu)
{
	enum run_mode mode = cpu->world->mode == RUN_PARTITION ? cpu->partition.caller->mode : cpu->world->mode;

	return mode == RUN_L2 ? HYPAPI_L2 : HYPAPI_L1;
}

/* To one hypapp, perhaps in the middle of another event. */
static enum hypapi_verdict deliver(struct dispatch *d, struct percpu *cpu, const struct link *link)
{
	struct dispatch *outer = cpu->dispatch;

	d->ev.quiesce = false;
	enum hypapi_verdict verdict = dispatch_to(d, cpu, link);

	cpu->dispatch = outer;
	return verdict;
}

/* HANDLED, after the caller has stepped over what has to be stepped over. */
static inline void finish(struct dispatch *d)
{
	if (d->progress.enters)
		partition_enter(this_cpu(), d->enter, &d->entry);
}

/* DENY and RETRY of what a guest did. `vector`: what it gets for that. Other verdicts have been dealt with. */
static __attribute__((noinline)) void refuse(struct percpu *cpu, unsigned int vector, enum hypapi_verdict verdict)
{
	if (verdict == HYPAPI_RETRY)
		vmx_end_interrupt_shadow();
	else if (verdict == HYPAPI_DENY && partition_raise(cpu, vector) == NOT_TAKEN)
		vmx_raise(cpu, vector, 0, GVA(0));
}

/* ---- CPUID and hypercalls ---- */

/* An instruction that a hypapp claims, with its event begun. In line, once for each kind. */
static always_inline enum taken offer(struct dispatch *d, struct percpu *cpu, const struct link *link)
{
	enum hypapi_verdict verdict = dispatch_to(d, cpu, link);

	if (unlikely(verdict != HYPAPI_HANDLED)) {
		if (verdict == HYPAPI_PASS)
			return NOT_TAKEN;
		refuse(cpu, d->ev.type == HYPAPI_EV_CPUID ? VEC_GP : VEC_UD, verdict);
		return TAKEN;
	}
	if (likely(!d->progress.moved))
		vmx_skip_instruction();
	if (unlikely(d->progress.enters))
		finish(d);
	return TAKEN;
}

static __attribute__((noinline)) enum taken offer_cpuid(struct percpu *cpu, enum hypapi_level level,
							const struct link *link, u32 leaf)
{
	struct dispatch d;

	dispatch_begin_alone(&d, cpu, HYPAPI_EV_CPUID, level, cpu->world->mode);
	d.ev.args.cpuid = (struct hypapi_cpuid_args){ .leaf = leaf, .subleaf = (u32)cpu->gpr[GPR_RCX] };
	return offer(&d, cpu, link);
}

enum taken event_cpuid(struct percpu *cpu, u32 leaf)
{
	if (CONFIG_INSN_COUNTS && insn_counts_cpuid(cpu, leaf) == ANSWERED) {
		vmx_skip_instruction();
		return TAKEN;
	}
	if (likely(leaf < hypapps_cpuid_lowest || leaf > hypapps_cpuid_highest))
		return NOT_TAKEN;
	enum hypapi_level level = event_level(cpu);
	const struct link *link = hypapps_claim(HYPAPI_CLAIM_CPUID, level, leaf);

	return link ? offer_cpuid(cpu, level, link, leaf) : NOT_TAKEN;
}

/* EAX is the number in L1; L2 adds its base, so that its own hypervisor's numbers stay free. */
static always_inline enum taken hypercall(struct percpu *cpu, enum hypapi_level level, enum run_mode mode)
{
	u32 number = (u32)cpu->gpr[GPR_RAX] - (level == HYPAPI_L2 ? CONFIG_L2_HYPERCALL_BASE : 0);
	const struct link *link = number <= HYPAPI_HYPERCALL_MAX ? hypapps_hypercalls[level][number] : NULL;
	struct dispatch d;

	if (!link)
		return NOT_TAKEN;
	dispatch_begin_alone(&d, cpu, HYPAPI_EV_HYPERCALL, level, mode);
	d.ev.args.hypercall.number = number;
	return offer(&d, cpu, link);
}

static __attribute__((noinline)) enum taken partition_hypercall(struct percpu *cpu)
{
	return hypercall(cpu, event_level(cpu), RUN_PARTITION);
}

enum taken event_hypercall(struct percpu *cpu)
{
	if (cpu->world->mode == RUN_L1)
		return hypercall(cpu, HYPAPI_L1, RUN_L1);
	return cpu->world->mode == RUN_L2 ? hypercall(cpu, HYPAPI_L2, RUN_L2) : partition_hypercall(cpu);
}

/* ---- Ports and MSRs ---- */

bool event_claims_port(const struct percpu *cpu, u32 port, u32 size)
{
	for (u32 i = 0; i < size; i++)
		if (hypapps_claim(HYPAPI_CLAIM_PORT, event_level(cpu), port + i))
			return true;
	return false;
}

/* What a verdict on a port or MSR comes to. After hypapi_inject() there is nothing left to do. */
static enum taken access_answer(struct dispatch *d, enum hypapi_verdict verdict)
{
	if (d->progress.moved)
		return TAKEN;
	refuse(this_cpu(), VEC_GP, verdict);
	return verdict == HYPAPI_PASS ? NOT_TAKEN : verdict == HYPAPI_HANDLED ? ANSWERED : TAKEN;
}

/* The ports of one access may have several owners: each is asked once, from the lowest port up. */
enum taken event_port_io(struct percpu *cpu, struct hypapi_port_io_args *io)
{
	enum hypapi_level level = event_level(cpu);
	const struct link *last = NULL, *link;
	enum taken answer = NOT_TAKEN;
	struct dispatch d;

	for (u32 i = 0; i < io->size && answer == NOT_TAKEN; i++) {
		link = hypapps_claim(HYPAPI_CLAIM_PORT, level, io->port + i);
		if (!link || link == last)
			continue;
		last = link;
		dispatch_begin(&d, cpu, HYPAPI_EV_PORT_IO, level);
		d.ev.args.port_io = *io;
		answer = access_answer(&d, dispatch_to(&d, cpu, link));
	}
	if (answer == ANSWERED)
		io->value = d.ev.args.port_io.value;
	return answer;
}

enum taken event_msr(struct percpu *cpu, struct hypapi_msr_args *msr)
{
	enum hypapi_level level = event_level(cpu);
	const struct link *link = hypapps_claim(HYPAPI_CLAIM_MSR, level, msr->msr);
	struct dispatch d;

	if (!link)
		return NOT_TAKEN;
	dispatch_begin(&d, cpu, HYPAPI_EV_MSR, level);
	d.ev.args.msr = *msr;
	enum taken answer = access_answer(&d, dispatch_to(&d, cpu, link));

	msr->value = answer == ANSWERED ? d.ev.args.msr.value : msr->value;
	return answer;
}

enum taken event_msr_list(struct percpu *cpu, struct hypapi_msr_args *msr)
{
	const struct link *claimed = hypapps_claim(HYPAPI_CLAIM_MSR, HYPAPI_L1, msr->msr);
	struct dispatch d;

	if (!claimed)
		return NOT_TAKEN;
	dispatch_begin(&d, cpu, HYPAPI_EV_MSR, HYPAPI_L1);
	d.ev.cpl = 0;
	d.ev.args.msr = *msr;
	enum hypapi_verdict verdict = deliver(&d, cpu, hypapps_link_of_list(claimed));

	if (verdict == HYPAPI_HANDLED)
		msr->value = d.ev.args.msr.value;
	return verdict == HYPAPI_HANDLED ? ANSWERED : verdict == HYPAPI_DENY ? TAKEN : NOT_TAKEN;
}

/* ---- Memory and partitions ---- */

/* Is the access allowed by now, or was it never forbidden? */
static inline bool is_allowed(const struct event_violation *v, u64 entry)
{
	return ((entry & EPT_RIGHTS) && (entry & v->access) == v->access) ||
	       (!(entry & EPT01_MARKS) && ept01_touch(v->gpa1, v->access));
}

/* The hypapp that restricts the page, or that owns the partition which has it; NULL: neither. */
static inline const struct hypapp_descriptor *owner_of(u64 entry, hypapi_partition_t *partition)
{
	const struct hypapp_descriptor *owner = NULL;

	*partition = partition_by_number(ept01_entry_owner(entry), &owner);
	return unlikely(entry & EPT01_HYPAPP) ? hypapps_get(ept01_entry_hypapp(entry) - 1) : owner;
}

void event_violation(struct percpu *cpu, const struct event_violation *v)
{
	enum hypapi_level level = event_level(cpu);
	u64 entry = ept01_entry(v->gpa1);
	enum hypapi_verdict verdict = HYPAPI_PASS;
	hypapi_partition_t partition;
	struct dispatch d;

	if (is_allowed(v, entry))
		return;
	const struct hypapp_descriptor *owner = owner_of(entry, &partition);
	const struct link *link = owner ? hypapps_link_of(owner, HYPAPI_EV_EPT_VIOLATION, level) : NULL;

	if (link) {
		dispatch_begin(&d, cpu, HYPAPI_EV_EPT_VIOLATION, level);
		d.ev.args.violation = (struct hypapi_violation_args){
			.hpa = HPA(v->gpa1.addr), .gpa1 = v->gpa1, .gpa2 = v->gpa2, .gva = v->gva, .access = v->access,
			.gva_valid = v->gva_valid, .owner = partition,
		};
		verdict = dispatch_to(&d, cpu, link);
		if (verdict == DISPATCH_RAISED)
			return;
	}
	if (!link && cpu->world->mode == RUN_L1 && (v->access & HYPAPI_W) && v->gva_valid &&
	    wake_guard_store(cpu, v->gpa1) == TAKEN)
		return;
	/*
	 * Not #PF: an operating system whose page tables allow the access takes that as spurious, and retries for ever.
	 */
	refuse(cpu, VEC_GP, verdict == HYPAPI_PASS ? HYPAPI_DENY : verdict);
	if (verdict == HYPAPI_HANDLED)
		finish(&d);
	if (link && verdict != HYPAPI_PASS && verdict != HYPAPI_DENY && !d.progress.moved && !d.progress.enters)
		dispatch_repeats(&d, v->gpa1.addr);
}

enum taken event_partition_exit(struct percpu *cpu, const struct hypapi_partition_exit_args *args)
{
	enum hypapi_level level = event_level(cpu);
	const struct link *link = hypapps_link_of(partition_owner(cpu), HYPAPI_EV_PARTITION_EXIT, level);
	struct dispatch d;

	if (!link)
		return NOT_TAKEN;
	dispatch_begin(&d, cpu, HYPAPI_EV_PARTITION_EXIT, level);
	d.ev.args.partition_exit = *args;
	enum hypapi_verdict verdict = dispatch_to(&d, cpu, link);

	if (verdict == HYPAPI_HANDLED)
		finish(&d);
	return verdict == HYPAPI_PASS || verdict == HYPAPI_DENY ? NOT_TAKEN : TAKEN;
}

/* ---- Events that tell ---- */

static void begin_with(struct dispatch *d, struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level,
		       const void *args, size_t size)
{
	dispatch_begin(d, cpu, type, level);
	if (size)
		memcpy(&d->ev.args, args, size);
}

void event_tell(struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level, const void *args, size_t size)
{
	const struct chain *chain = hypapps_chain(type, level);
	struct dispatch d;

	if (!chain->count)
		return;
	begin_with(&d, cpu, type, level, args, size);
	dispatch_tell(&d, cpu, chain);
}

void event_work(struct percpu *cpu)
{
	struct dispatch d;

	for (u32 waiting = atomic_exchange(&cpu->mail_for, 0); waiting; waiting &= waiting - 1) {
		u32 i = (u32)__builtin_ctz(waiting);

		dispatch_begin(&d, cpu, HYPAPI_EV_WORK, HYPAPI_L0);
		d.ev.args.work.bits = atomic_exchange(&cpu->mail[i], 0);
		/* Nothing, if it was posted while the event before it was on its way, and went along. */
		if (d.ev.args.work.bits)
			(void)dispatch_to(&d, cpu, hypapps_link_of(hypapps_get(i), HYPAPI_EV_WORK, HYPAPI_L0));
	}
}

static void tell_fault(const struct vtd_fault *f)
{
	event_tell(this_cpu(), HYPAPI_EV_DMA_FAULT, HYPAPI_L0,
		   EVENT_ARGS(dma_fault, .address = f->address, .segment = f->segment, .bus = (u8)(f->source >> 8),
			      .device = f->source >> 3 & 31, .function = f->source & 7, .reason = f->reason,
			      .write = f->write));
}

void event_dma_faults(void)
{
	(void)iommu_report_faults(tell_fault);
}

/* ---- Two phases ---- */

/* To those before `end` that take part; who denies, or NULL. */
static const struct link *deliver_phase(struct dispatch *d, enum hypapi_phase phase, const struct link *first,
					const struct link *end)
{
	d->ev.phase = phase;
	for (const struct link *link = first; link < end; link++)
		if (link->two_phase && deliver(d, this_cpu(), link) == HYPAPI_DENY && phase == HYPAPI_PREPARE)
			return link;
	return NULL;
}

bool event_prepare(struct percpu *cpu, enum hypapi_event_type type, const void *args, size_t size)
{
	const struct chain *chain = hypapps_chain(type, HYPAPI_L0);
	struct dispatch d;

	begin_with(&d, cpu, type, HYPAPI_L0, args, size);
	const struct link *denies = deliver_phase(&d, HYPAPI_PREPARE, chain->first, chain->first + chain->count);

	if (denies) {
		log_limited(LOG_INFO, "hypapp %s denies event %s", denies->app->name, event_info[type].name);
		d.ev.decided_by = hypapps_number(denies->app);
		(void)deliver_phase(&d, HYPAPI_ABORT, chain->first, denies);
	}
	return !denies;
}

/* ---- Signals ---- */

enum taken event_interrupt(struct percpu *cpu, const struct hypapi_interrupt_args *args)
{
	enum hypapi_level level = event_level(cpu);
	const struct chain *chain = hypapps_chain(HYPAPI_EV_INTERRUPT, level);
	struct dispatch d;

	begin_with(&d, cpu, HYPAPI_EV_INTERRUPT, level, args, sizeof(*args));
	return deliver(&d, cpu, chain->first) == HYPAPI_HANDLED && args->acknowledged ? TAKEN : NOT_TAKEN;
}

enum taken event_nmi(struct percpu *cpu)
{
	enum hypapi_level level = event_level(cpu);
	const struct chain *chain = hypapps_chain(HYPAPI_EV_NMI, level);
	struct dispatch d;

	if (likely(!chain->count))
		return NOT_TAKEN;
	dispatch_begin(&d, cpu, HYPAPI_EV_NMI, level);
	return deliver(&d, cpu, chain->first) == HYPAPI_HANDLED ? TAKEN : NOT_TAKEN;
}

/*
 * An L2 or a partition may have run here. It goes on as it was if a hypapp takes the INIT. Otherwise it ends, and its
 * owner is told only after this event.
 */
enum taken event_init_signal(struct percpu *cpu)
{
	const struct chain *chain = hypapps_chain(HYPAPI_EV_INIT_SIGNAL, HYPAPI_L1);
	enum hypapi_verdict verdict = HYPAPI_PASS;
	struct dispatch d;

	if (likely(!chain->count))
		return NOT_TAKEN;
	dispatch_begin(&d, cpu, HYPAPI_EV_INIT_SIGNAL, HYPAPI_L1);
	d.ev.cpl = 0;
	for (u32 i = 0; i < chain->count && verdict == HYPAPI_PASS; i++)
		verdict = deliver(&d, cpu, &chain->first[i]);
	return verdict == HYPAPI_HANDLED ? TAKEN : NOT_TAKEN;
}

void event_window(struct percpu *cpu, enum hypapi_event_type type)
{
	hypapp_mask *window = &cpu->windows[type == HYPAPI_EV_NMI_WINDOW], waiting = *window;
	enum hypapi_level level = event_level(cpu);
	struct dispatch d;

	if (!waiting)
		return;
	*window = 0;
	dispatch_begin(&d, cpu, type, level);
	for_each_link(link, hypapps_chain(type, level))
		if (waiting & BIT(hypapps_number(link->app) - 1))
			(void)deliver(&d, cpu, link);
}

/* ---- Start of a CPU ---- */

void event_cpu_prepare(struct percpu *cpu)
{
	stats_cpu_init(cpu);
	hypapps_cpu_init(cpu);
}

void event_cpu_init(struct percpu *cpu)
{
	trace_cpu_init(cpu);
	cpu->watched = hypapps_watch_crossings();
	event_tell(cpu, HYPAPI_EV_CPU_INIT, HYPAPI_L0, EVENT_ARGS(cpu_init, .cpu_count = cpu_count));
}
