/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMLAUNCH and VMRESUME of L1 (exit 102), as a transaction: nothing of L1 changes before the last check has passed.
 * What lies in L1's memory is copied once into struct entry_env and judged there. Caller: nested/insn.c.
 */
#include "cpu/speculation.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "events/hypapps.h"
#include "mem/ept01.h"
#include "nested/state.h"
#include "report/log.h"

/* Groups that checks of one dirty group read, from the table of checks; [GROUP_COUNT] masks. */
static u32 reads_with[GROUP_COUNT];

void nested_entry_init(void)
{
	for (u32 g = 0; g < GROUP_COUNT; g++)
		reads_with[g] = entry_check_reads(1u << g);
}

static u32 groups_to_sync(u32 dirty)
{
	u32 reads = 0;

	for (; dirty; dirty &= dirty - 1)
		reads |= reads_with[__builtin_ctz(dirty)];
	return reads;
}

static void fill_pdptes(struct entry_env *env, const struct vmcs12 *v)
{
	if (!ept01_read(GPA1(v->guest_cr3 & BITS(31, 5)), env->pdpte, sizeof(env->pdpte)))
		__builtin_memset(env->pdpte, 0xff, sizeof(env->pdpte));
}

/* The check reads VTPR where hardware would; the page is translated again if EPT01 or the address changed. */
static u8 read_vtpr(struct nested_cpu *n)
{
	const struct vmcs12 *v = &n->vmcs12;
	const u8 *page = n->virtual_apic; /* scratch_page answers for what is no RAM */

	if (!(v->proc_ctls & PROC_TPR_SHADOW))
		return 0;
	if ((n->dirty & (GROUP(EXEC) | GROUP(PROC))) || !page) {
		l1_memory_check(&n->memory);
		page = l1_page(&n->memory, v->virtual_apic_addr & PAGE_ADDR, HYPAPI_RW);
	}
	return page ? *(const volatile u8 *)(page + 0x80) : 0xff;
}

static void fill_env(struct nested_cpu *n, struct entry_env *env)
{
	const struct vmcs12 *v = &n->vmcs12;

	env->caps = &nested_caps;
	env->current = GPA1(n->current);
	env->l1_long_mode = vmread(VMCS_ENTRY_CTLS) & ENTRYCTL_IA32E;
	env->vtpr = read_vtpr(n);
	env->link_revision = ~0u;
	if (unlikely(v->link_pointer != ~0ull) &&
	    !ept01_read(GPA1(v->link_pointer & PAGE_ADDR), &env->link_revision, sizeof(env->link_revision)))
		env->link_revision = ~0u;
	env->wants_pdptes = entry_wants_pdptes(v);
	if (unlikely(env->wants_pdptes))
		fill_pdptes(env, v);
}

static enum entry_check run_checks(struct nested_cpu *n, const struct entry_env *env)
{
	u32 groups = n->dirty;

	if ((n->vmcs12.proc_ctls & PROC_TPR_SHADOW) || n->vmcs12.link_pointer != ~0ull)
		groups |= GROUP(MEMORY);
	if (env->wants_pdptes)
		groups |= GROUP(PDPTE);
	return entry_check_run(&n->vmcs12, env, groups);
}

static void tell_root(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	u64 now = nested_eptp12(cpu), before = n->eptp12_told;

	if (now == before)
		return;
	bool made = now && now == n->eptp12_made;

	n->eptp12_told = now;
	n->eptp12_made = 0;
	event_tell(cpu, HYPAPI_EV_EPT02_ROOT, HYPAPI_L2,
		   EVENT_ARGS(ept02_root, .eptp12 = now, .old_eptp12 = before, .made = made));
}

void nested_crossed(struct percpu *cpu, enum hypapi_event_type type)
{
	const struct nested_cpu *n = cpu->nested;

	if (cpu->guest_nmis)
		cpu->work = 1;
	cpu->windows[0] = cpu->windows[1] = 0;
	if (type == HYPAPI_EV_EXIT201) {
		event_tell(cpu, type, HYPAPI_L1, EVENT_ARGS(exit, n->vmcs12.exit_reason, n->vmcs12.exit_qualification));
		return;
	}
	if (hypapps_subscribed(HYPAPI_EV_EPT02_ROOT, HYPAPI_L2))
		tell_root(cpu);
	event_tell(cpu, type, HYPAPI_L2, EVENT_ARGS(exit, .reason = n->entering ? EXIT_VMLAUNCH : EXIT_VMRESUME));
}

/*
 * An entry that fails after the controls were accepted: L1 goes on at its host state, with the exit reason's top bit
 * set, NMIs blocked as they were, and nothing of L2 saved (SDM vol. 3, "VM-Entry Failures During or After Loading
 * Guest State"). VMCS02 may hold what L1's MSR list has loaded, so all of it is written anew at the next entry.
 */
void nested_entry_failed(struct percpu *cpu, u32 reason, u64 qualification)
{
	struct nested_cpu *n = cpu->nested;
	struct vmcs12 *v = &n->vmcs12;

	nested_to_l1(cpu);
	if (n->entering)
		v->launched = 0;
	n->entering = false;
	v->exit_reason = reason | EXIT_REASON_ENTRY_FAILED;
	v->exit_qualification = qualification;
	n->modified = true;
	n->dirty |= GROUPS_ALL & ~(GROUP(MEMORY) | GROUP(INFO));
	nested_shadow_publish(cpu);
	struct l2_leftover kept = {
		.cr0 = vmread(VMCS_GUEST_CR0), .efer = vmread(VMCS_GUEST_EFER), .pat = vmread(VMCS_GUEST_PAT),
		.nmi_blocked = vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI,
	};
	u32 abort = nested_load_host_state(cpu, &kept);

	flush_vpid(INVVPID_SINGLE, VPID_L1); /* an entry and an exit without VPID, for all that L1 knows */
	if (!abort && msr_area_load(cpu, v->exit_msr_load_addr, v->exit_msr_load_count))
		abort = VMX_ABORT_MSR_LOAD;
	if (unlikely(abort))
		nested_abort(cpu, abort);
	nested_crossed(cpu, HYPAPI_EV_EXIT201);
}

/* Without EPT12 the CPU loads PDPTEs at the entry; with our EPT in force it takes them from VMCS02. */
static void load_pdptes(const struct entry_env *env)
{
	for (u32 i = 0; i < 4; i++)
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, env->pdpte[i]);
}

static void commit(struct percpu *cpu, const struct entry_env *env, bool launch)
{
	struct nested_cpu *n = cpu->nested;
	struct vmcs12 *v = &n->vmcs12;

	if (v->entry_msr_load_count)
		vmcs02_sync(cpu, GROUP(CRS)); /* what the list overwrites in VMCS02 */
	vmcs02_merge(cpu);
	if (unlikely(env->wants_pdptes))
		load_pdptes(env);
	if (launch) {
		n->entering = true;
		v->launched = 1;
		n->modified = true;
	}
	u32 failed = v->entry_msr_load_count ? msr_area_load(cpu, v->entry_msr_load_addr, v->entry_msr_load_count) : 0;

	if (unlikely(failed)) {
		nested_entry_failed(cpu, EXIT_BAD_MSR_LOAD, failed);
		return;
	}
	if (n->missed_access)
		nested_refill(cpu);
	speculation_to_l2(cpu);
	world_enter(cpu, &n->l2);
	if (unlikely(cpu->crossing))
		nested_crossed(cpu, HYPAPI_EV_EXIT102);
}

enum vmx_error nested_enter(struct percpu *cpu, bool launch)
{
	struct nested_cpu *n = cpu->nested;
	struct entry_env env;

	if (vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_MOV_SS)
		return VMXERR_MOV_SS;
	if (launch && n->vmcs12.launched)
		return VMXERR_VMLAUNCH_NOT_CLEAR;
	if (!launch && !n->vmcs12.launched)
		return VMXERR_VMRESUME_NOT_LAUNCHED;
	nested_shadow_collect(cpu);
	if (unlikely(n->ept01_seen != ept01_generation))
		n->dirty |= GROUP(EXEC) | GROUP(PROC);
	if (n->lazy)
		vmcs02_sync(cpu, groups_to_sync(n->dirty));
	fill_env(n, &env);
	enum entry_check failed = run_checks(n, &env);

	if (likely(failed == ENTRY_CHECKS_PASSED)) {
		commit(cpu, &env, launch);
		return VMXERR_NONE;
	}
	log_limited(LOG_DEBUG, "CPU %u: L2 entry refused: %s (%s)", cpu->index, entry_check_info[failed].text,
		  entry_check_info[failed].section);
	if (entry_check_error(failed))
		return entry_check_error(failed);
	nested_entry_failed(cpu, EXIT_BAD_GUEST_STATE, entry_check_qualification(failed));
	return VMXERR_NONE;
}
