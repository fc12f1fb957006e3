/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a partition runs: this CPU's partition VMCS, CPL 3, flat segments, every exception and every privileged
 * instruction an exit. Its controls owe nothing to any guest: no external-interrupt exit, no bitmap of L1's choosing,
 * so "no exit to L1 while a PAL runs" holds by construction. NMIs reach root and wait for the caller. The preemption
 * timer is the core's own: code that holds interrupts back has a bound. The timer stands still in root, so a partition
 * that goes on after an exit is asked for the time, too, and gets what is left of it.
 */
#include "cpu/speculation.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "lib/string.h"
#include "mem/ept.h"
#include "mem/partition_state.h"
#include "nested/nested.h"
#include "report/log.h"
#include "vmx/exit.h"
#include "vmx/vmx.h"

extern const char vmx_exit_partition[];

#define AR_CODE64 0xa0fb
#define AR_CODE32 0xc0fb
#define AR_DATA 0xc0f3
#define SEL_PARTITION_DATA 0x2b

#define P_PIN (VMX_PIN | PIN_PREEMPTION_TIMER)
#define P_PROC (PROC_TSC_OFFSETTING | PROC_HLT_EXITING | PROC_MWAIT_EXITING | PROC_MONITOR_EXITING | \
		PROC_RDPMC_EXITING | PROC_UNCOND_IO_EXITING | PROC_MOV_DR_EXITING | PROC_SECONDARY)
#define P_PROC2 (PROC2_EPT | PROC2_VPID | PROC2_RDTSCP)
#define P_ENTRY (VMX_ENTRY | ENTRYCTL_IA32E)

/* What no partition changes. The rest is in changed_state, which the first one gets, too: the VMCS is nobody's yet. */
static const struct vmx_value fixed_state[] = {
	{ VMCS_EXCEPTION_BITMAP, 0xffffffff }, { VMCS_PF_ERROR_MASK, 0 }, { VMCS_PF_ERROR_MATCH, 0 },
	{ VMCS_LINK_POINTER, ~0ull }, { VMCS_VPID, VPID_PARTITION },
	{ VMCS_GUEST_EFER, EFER_LME | EFER_LMA | EFER_NXE }, { VMCS_GUEST_PAT, PAT_RESET },
	{ VMCS_GUEST_CS_SEL, 0x33 }, { VMCS_GUEST_CS_LIMIT, 0xffffffff },
	{ VMCS_GUEST_SS_SEL, SEL_PARTITION_DATA }, { VMCS_GUEST_SS_LIMIT, 0xffffffff }, { VMCS_GUEST_SS_AR, AR_DATA },
	{ VMCS_GUEST_DR7, 0x400 }, { VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE }, { VMCS_ENTRY_INTR_INFO, 0 },
	{ VMCS_GUEST_CR3, PARTITION_TABLES },
	{ VMCS_GUEST_GDTR_BASE, 0 }, { VMCS_GUEST_GDTR_LIMIT, 0 }, { VMCS_GUEST_IDTR_BASE, 0 },
	{ VMCS_GUEST_IDTR_LIMIT, 0 },
	{ VMCS_GUEST_SYSENTER_CS, 0 }, { VMCS_GUEST_DEBUGCTL, 0 },
	{ VMCS_GUEST_LDTR_AR, AR_UNUSABLE }, { VMCS_GUEST_TR_SEL, 0x40 }, { VMCS_GUEST_TR_LIMIT, 0x67 },
	{ VMCS_GUEST_TR_AR, AR_TSS_BUSY },
};

/* Constant after boot. */
static u64 time_ticks;  /* a partition's bound */
static u32 timer_shift; /* by which a unit of the preemption timer is more ticks */
static u32 timer_start; /* the bound in units */

static u32 timer_units(u64 ticks)
{
	return (u32)MIN(ticks >> timer_shift, 0xfffffffful);
}

void partition_set_time(u64 ticks)
{
	timer_shift = rdmsr(MSR_IA32_VMX_MISC) & VMX_MISC_TIMER_SHIFT;
	time_ticks = ticks;
	timer_start = timer_units(ticks);
}

/* The clock by which a partition has its time: it stands still while others have the CPU stopped. */
static inline u64 own_ticks(const struct percpu *cpu)
{
	return rdtsc() - cpu->quiesce.count.ticks_stopped;
}

/* What each entry from here on begins with: exits do not save the timer. */
static void set_timer(struct partition_cpu *c, u32 units)
{
	if (likely(c->timer == units) || !(vmx_pin_caps.may & PIN_PREEMPTION_TIMER))
		return;
	c->timer = units;
	vmwrite(VMCS_PREEMPTION_TIMER, units);
}

/*
 * What another partition may have changed. At CPL 3, without I/O privilege or a descriptor table, that is little: the
 * null selector can be loaded, flags can be set. All else keeps the values of fixed_state for ever: moves to DR7 exit,
 * instructions that write segment bases, and STI, fault, and a VM exit clears the event injection.
 */
static const struct vmx_value changed_state[] = {
	{ VMCS_GUEST_PENDING_DEBUG, 0 }, { VMCS_GUEST_INTERRUPTIBILITY, 0 },
	{ VMCS_GUEST_DS_SEL, SEL_PARTITION_DATA }, { VMCS_GUEST_DS_AR, AR_DATA }, { VMCS_GUEST_DS_LIMIT, 0xffffffff },
	{ VMCS_GUEST_ES_SEL, SEL_PARTITION_DATA }, { VMCS_GUEST_ES_AR, AR_DATA }, { VMCS_GUEST_ES_LIMIT, 0xffffffff },
	{ VMCS_GUEST_FS_SEL, SEL_PARTITION_DATA }, { VMCS_GUEST_FS_AR, AR_DATA }, { VMCS_GUEST_FS_LIMIT, 0xffffffff },
	{ VMCS_GUEST_GS_SEL, SEL_PARTITION_DATA }, { VMCS_GUEST_GS_AR, AR_DATA }, { VMCS_GUEST_GS_LIMIT, 0xffffffff },
	{ VMCS_GUEST_FS_BASE, 0 }, { VMCS_GUEST_GS_BASE, 0 },
};

/* Without: an FPU or SIMD instruction is #UD by EM, so that state of the caller stays unreachable in the CPU. */
static void set_fpu(struct partition_cpu *c, bool on)
{
	c->fpu = on;
	vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG | (on ? 0 : CR0_EM));
	vmwrite(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | (on ? CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE : 0));
}

/*
 * Makes the VMCS this partition's, for a caller with this clock. Nothing is written if it is so already: what is left
 * there was its own.
 */
static void take_over(struct partition_cpu *c, const struct partition *p, u64 tsc_offset, bool long_mode)
{
	if (likely(c->handle == p->handle && c->tsc_offset == tsc_offset && c->long_mode == long_mode))
		return;
	c->handle = p->handle;
	c->tsc_offset = tsc_offset;
	c->long_mode = long_mode;
	vmx_set_fields(changed_state, ARRAY_SIZE(changed_state));
	vmwrite(VMCS_TSC_OFFSET, tsc_offset);
	vmwrite(VMCS_GUEST_CS_AR, long_mode ? AR_CODE64 : AR_CODE32);
	if (unlikely(c->fpu != !!p->fpu.own))
		set_fpu(c, !c->fpu);
}

/* Once more if the first one has ended before it ran: all that take_over() writes is written again, too. */
static void first_use(struct percpu *cpu)
{
	cpu->partition.handle = HYPAPI_NONE;
	set_fpu(&cpu->partition, false);
	vmx_set_host_state(cpu);
	if (!speculation_guards_exits())
		vmwrite(VMCS_HOST_RIP, (u64)vmx_exit_partition);
	vmwrite(VMCS_PIN_CTLS, vmx_controls(&vmx_pin_caps, P_PIN));
	vmwrite(VMCS_PROC_CTLS, vmx_controls(&vmx_proc_caps, P_PROC));
	vmwrite(VMCS_PROC2_CTLS, vmx_controls(&vmx_proc2_caps, P_PROC2));
	vmwrite(VMCS_EXIT_CTLS, vmx_controls(&vmx_exit_caps, VMX_EXIT));
	vmwrite(VMCS_ENTRY_CTLS, vmx_controls(&vmx_entry_caps, P_ENTRY));
	vmx_set_fields(fixed_state, ARRAY_SIZE(fixed_state));
	vmwrite(VMCS_CR0_MASK, ~0ull);
	vmwrite(VMCS_CR4_MASK, ~0ull);
}

void partition_enter(struct percpu *cpu, struct partition *p, struct hypapi_partition_entry *entry)
{
	struct partition_cpu *c = &cpu->partition;

	c->running = p;
	c->since = own_ticks(cpu);
	c->caller = cpu->world;
	memcpy(c->caller_gpr, cpu->gpr, sizeof(cpu->gpr));
	world_enter(cpu, &c->world);
	if (!c->world.launched)
		first_use(cpu);
	/*
	 * Nothing is flushed: what this CPU caches under an EPT is found under that EPT's root only, and when a
	 * partition ends, the INVEPT of that stop drops it on every CPU before the root is used again.
	 */
	world_set_ept(&c->world, ept_pointer(p->ept_root), QUIESCE_EPT_NONE);
	/* The partition has its caller's clock. */
	take_over(c, p, c->caller->mode == RUN_L2 ? nested_tsc_offset(cpu) : 0, entry->long_mode);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED1);
	set_timer(c, timer_start);
	vmwrite(VMCS_GUEST_RIP, entry->rip);
	vmwrite(VMCS_GUEST_RSP, entry->gpr[GPR_RSP]);
	move_words(cpu->gpr, entry->gpr, GPR_COUNT);
	if (unlikely(p->fpu.own))
		fpu_enter(&p->fpu, c->long_mode);
	speculation_partition_crossed();
}

void partition_leave(struct percpu *cpu)
{
	struct partition_cpu *c = &cpu->partition;

	world_enter(cpu, c->caller);
	move_words(cpu->gpr, c->caller_gpr, GPR_COUNT);
	if (unlikely(c->running->fpu.own)) {
		if (c->wiped)
			fpu_clear(); /* what was wiped in memory is still in this CPU's registers */
		fpu_leave(&c->running->fpu, c->long_mode);
	}
	partition_release(c->running);
	c->running = NULL;
	c->wiped = false;
	speculation_touched(cpu);
	speculation_partition_crossed();
	/* NMIs and an INIT that came meanwhile are the caller's. */
	cpu->work |= cpu->guest_nmis != 0 || atomic_load(&cpu->apic.request);
}

void partition_wipe(struct percpu *cpu)
{
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	fpu_wipe_own(&cpu->partition.running->fpu);
	cpu->partition.wiped = true;
}

void partition_wipe_caller(struct percpu *cpu)
{
	memset(cpu->partition.caller_gpr, 0, sizeof(cpu->partition.caller_gpr));
	if (cpu->partition.running)
		fpu_wipe(&cpu->partition.running->fpu);
}

void partition_abort(struct percpu *cpu)
{
	const struct hypapi_partition_exit_args args = { .reason = HYPAPI_PEXIT_INIT, .exit_reason = EXIT_INIT };

	if (event_partition_exit(cpu, &args) == NOT_TAKEN)
		log_limited(LOG_DEBUG, "CPU %u: INIT ends a partition whose owner has no answer", cpu->index);
	if (cpu->world->mode == RUN_PARTITION)
		partition_leave(cpu);
}

void partition_end_orphan(struct percpu *cpu)
{
	struct partition *p = cpu->partition.running;

	log_warn("CPU %u: a partition of hypapp %s, which was dropped, ends here: its caller gets #GP", cpu->index,
		 p->app->name);
	partition_leave(cpu);
	/* At once: in what the exception leads to, others may have ended it, and made another one in its place. */
	if (partition_destroy(cpu, p) == HYPAPI_OK)
		cpu->work = 1; /* what its caller has to look for, and a stop that came meanwhile */
	vmx_raise(cpu, VEC_GP, 0, GVA(0));
}

u64 partition_handle(const struct percpu *cpu)
{
	return cpu->world->mode == RUN_PARTITION ? cpu->partition.running->handle : HYPAPI_NONE;
}

const struct hypapp_descriptor *partition_owner(const struct percpu *cpu)
{
	return cpu->partition.running->app;
}

static void exit_to_owner(struct percpu *cpu, const struct hypapi_partition_exit_args *args)
{
	if (event_partition_exit(cpu, args) == TAKEN)
		return;
	log_limited(LOG_WARN, "CPU %u: nobody answers for a partition's exit %u, vector %u: its caller gets #GP",
		    cpu->index, args->exit_reason, args->vector);
	if (cpu->world->mode == RUN_PARTITION)
		partition_leave(cpu);
	vmx_raise(cpu, VEC_GP, 0, GVA(0));
}

enum taken partition_raise(struct percpu *cpu, unsigned int vector)
{
	const struct hypapi_partition_exit_args args = { .reason = HYPAPI_PEXIT_EXCEPTION, .vector = vector };

	if (cpu->world->mode != RUN_PARTITION)
		return NOT_TAKEN;
	exit_to_owner(cpu, &args);
	return TAKEN;
}

static void exception(struct percpu *cpu)
{
	u64 info = vmread(VMCS_EXIT_INTR_INFO);
	struct hypapi_partition_exit_args args = { .reason = HYPAPI_PEXIT_EXCEPTION, .vector = info & INTR_VECTOR };

	if ((info & INTR_TYPE) == INTR_TYPE_NMI) {
		vmx_take_nmi_exit(cpu);
		return;
	}
	if (info & INTR_ERROR_CODE)
		args.error_code = (u32)vmread(VMCS_EXIT_INTR_ERROR);
	if (args.vector == VEC_PF)
		args.address = GVA(vmread(VMCS_EXIT_QUALIFICATION));
	exit_to_owner(cpu, &args);
}

static void hypercall(struct percpu *cpu)
{
	if (event_hypercall(cpu) == NOT_TAKEN)
		partition_raise(cpu, VEC_UD);
}

/* A reason without a row, and what has no handler here, is for the owner to answer. */
static const struct {
	exit_handler *handle;
	enum hypapi_partition_exit why; /* what the owner is told; 0: HYPAPI_PEXIT_INSTRUCTION */
	u8 vector;
} rows[EXIT_REASON_COUNT + 1] = {
	[EXIT_EXCEPTION_NMI] = { .handle = exception },
	[EXIT_TRIPLE_FAULT] = { .why = HYPAPI_PEXIT_EXCEPTION, .vector = VEC_DF },
	[EXIT_INIT] = { .handle = exit_init },
	[EXIT_CPUID] = { .handle = exit_cpuid },
	[EXIT_VMCALL] = { .handle = hypercall },
	[EXIT_EPT_VIOLATION] = { .why = HYPAPI_PEXIT_EPT },
	[EXIT_EPT_MISCONFIG] = { .why = HYPAPI_PEXIT_EPT },
	[EXIT_PREEMPTION_TIMER] = { .why = HYPAPI_PEXIT_TIME },
};

/* Who does not leave it to its caller now is not asked again. */
static __attribute__((noinline)) void time_is_over(struct percpu *cpu, u32 reason)
{
	if (reason != EXIT_PREEMPTION_TIMER)
		exit_to_owner(cpu, &(struct hypapi_partition_exit_args){ .reason = HYPAPI_PEXIT_TIME,
									  .exit_reason = EXIT_PREEMPTION_TIMER });
	if (cpu->world->mode != RUN_PARTITION)
		return;
	log_limited(LOG_WARN, "hypapp %s does not leave a partition whose time is over: its caller gets #GP",
		    partition_owner(cpu)->name);
	partition_leave(cpu);
	vmx_raise(cpu, VEC_GP, 0, GVA(0));
}

void partition_end_wiped(struct percpu *cpu)
{
	partition_raise(cpu, VEC_GP);
	if (!cpu->partition.wiped)
		return;
	log_warn("CPU %u: hypapp %s does not leave a partition without registers: its caller gets #GP", cpu->index,
		 partition_owner(cpu)->name);
	partition_leave(cpu);
	vmx_raise(cpu, VEC_GP, 0, GVA(0));
}

static void handle(struct percpu *cpu, u32 reason)
{
	u32 row = MIN(reason, EXIT_REASON_COUNT);

	if (rows[row].handle) {
		rows[row].handle(cpu);
		return;
	}
	exit_to_owner(cpu, &(struct hypapi_partition_exit_args){
		.reason = rows[row].why ? rows[row].why : HYPAPI_PEXIT_INSTRUCTION,
		.exit_reason = reason, .vector = rows[row].vector });
}

/*
 * A partition that runs on has the time that it had: whoever answered the exit, and also if its owner has left it and
 * entered it, or another one, since the caller has not run and the interrupts of this CPU wait. The timer does not
 * bound that. It runs in the partition alone, and an exit takes a hundred times what the instruction took. So it gets
 * what is left.
 */
void partition_exit(struct percpu *cpu, u32 reason)
{
	u64 since = cpu->partition.since;

	handle(cpu, reason);
	if (likely(cpu->world->mode != RUN_PARTITION))
		return;
	cpu->partition.since = since;
	u64 spent = own_ticks(cpu) - since;

	if (unlikely(reason == EXIT_PREEMPTION_TIMER || spent > time_ticks))
		time_is_over(cpu, reason);
	else
		set_timer(&cpu->partition, timer_units(time_ticks - spent));
}
