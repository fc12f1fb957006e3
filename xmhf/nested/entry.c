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

/* Groups that checks of one unmerged group read, from the table of checks; [GROUP_COUNT] masks. */
static u32 reads_with[GROUP_COUNT];

void nested_entry_init(void)
{
	for (u32 g = 0; g < GROUP_COUNT; g++)
		reads_with[g] = entry_check_reads(1u << g);
}

/* Without EPT12 and in 32-bit mode CR3 says where PDPTEs are, and CR4 whether: L2 may have written both. */
static inline bool may_want_pdptes(const struct vmcs12 *v)
{
	return unlikely(!vmcs12_uses_ept(v)) && !(v->entry_ctls & ENTRYCTL_IA32E);
}

/* What the checks and fill_env() look at. */
static u32 groups_to_read(const struct active_vmcs *a)
{
	u32 reads = may_want_pdptes(&a->vmcs12) ? GROUP(CRS) : 0;

	for (u32 unmerged = a->unmerged; unmerged; unmerged &= unmerged - 1)
		reads |= reads_with[__builtin_ctz(unmerged)];
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
	const struct active_vmcs *a = n->current;
	const struct vmcs12 *v = &a->vmcs12;
	const u8 *page = a->virtual_apic; /* scratch_page answers for what is no RAM */

	if (!(v->proc_ctls & PROC_TPR_SHADOW))
		return 0;
	if ((a->unmerged & (GROUP(EXEC) | GROUP(PROC))) || !page)
		page = l1_page(&n->memory, v->virtual_apic_addr & PAGE_ADDR, HYPAPI_RW);
	return page ? *(const volatile u8 *)(page + 0x80) : 0xff;
}

static void fill_env(struct nested_cpu *n, struct entry_env *env, bool l1_long_mode)
{
	const struct vmcs12 *v = &n->current->vmcs12;

	env->caps = &nested_caps;
	env->current = GPA1(n->current->gpa1);
	env->l1_long_mode = l1_long_mode;
	env->vtpr = read_vtpr(n);
	env->link_revision = ~0u;
	if (unlikely(v->link_pointer != ~0ull) &&
	    !ept01_read(GPA1(v->link_pointer & PAGE_ADDR), &env->link_revision, sizeof(env->link_revision)))
		env->link_revision = ~0u;
	env->wants_pdptes = entry_wants_pdptes(v);
	if (unlikely(env->wants_pdptes))
		fill_pdptes(env, v);
}

static enum entry_check run_checks(const struct active_vmcs *a, const struct entry_env *env)
{
	u32 groups = a->unmerged;

	if ((a->vmcs12.proc_ctls & PROC_TPR_SHADOW) || a->vmcs12.link_pointer != ~0ull)
		groups |= GROUP(MEMORY);
	if (env->wants_pdptes)
		groups |= GROUP(PDPTE);
	return entry_check_run(&a->vmcs12, env, groups);
}

void nested_report_root(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	u64 now = nested_eptp12(cpu), before = n->reported_eptp12;

	if (now == before || !hypapps_subscribed(HYPAPI_EV_EPT02_ROOT, HYPAPI_L2))
		return;
	bool made = now && now == n->made_eptp12;

	n->reported_eptp12 = now;
	n->made_eptp12 = 0;
	event_tell(cpu, HYPAPI_EV_EPT02_ROOT, HYPAPI_L2,
		   EVENT_ARGS(ept02_root, .eptp12 = now, .old_eptp12 = before, .made = made));
}

void nested_crossed(struct percpu *cpu, enum hypapi_event_type type)
{
	const struct vmcs12 *v = vmcs12_of(cpu);

	if (cpu->guest_nmis)
		cpu->work = 1;
	cpu->windows[0] = cpu->windows[1] = 0;
	if (type == HYPAPI_EV_EXIT201) {
		event_tell(cpu, type, HYPAPI_L1, EVENT_ARGS(exit, v->exit_reason, v->exit_qualification));
		return;
	}
	nested_report_root(cpu);
	event_tell(cpu, type, HYPAPI_L2, EVENT_ARGS(exit, .reason = v->launched ? EXIT_VMRESUME : EXIT_VMLAUNCH));
}

/* Of the world whose VMCS is current. */
static struct l2_leftover registers_now(void)
{
	return (struct l2_leftover){
		.cr0 = vmread(VMCS_GUEST_CR0), .efer = vmread(VMCS_GUEST_EFER), .pat = vmread(VMCS_GUEST_PAT),
	};
}

/*
 * An entry that fails after the controls were accepted: L1 goes on at its host state, with the exit reason's top bit
 * set, NMIs blocked as they were, and nothing of L2 saved (SDM vol. 3, "VM-Entry Failures During or After Loading
 * Guest State"). VMCS02 may hold what L1's MSR list has loaded, so all of it is written anew at the next entry.
 */
void nested_entry_failed(struct percpu *cpu, u32 reason, u64 qualification)
{
	struct active_vmcs *a = cpu->nested->current;
	struct vmcs12 *v = &a->vmcs12;

	v->exit_reason = reason | EXIT_REASON_ENTRY_FAILED;
	v->exit_qualification = qualification;
	a->unsaved = true;
	a->unmerged |= GROUPS_MERGED;
	struct l2_leftover kept = registers_now();

	nested_shadow_publish(cpu, a);
	nested_to_l1(cpu);
	/* L2's list comes behind the rest of its state: what the host does not load is L2's already. */
	if (reason != EXIT_BAD_MSR_LOAD)
		kept = registers_now();
	kept.nmi_blocked = vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI;
	/* An entry and an exit without VPID, for all that L1 knows. */
	nested_resume_l1(cpu, &kept, 0, true);
}

/* Without EPT12 the CPU loads PDPTEs at the entry; with our EPT in force it takes them from VMCS02. */
static void load_pdptes(const struct entry_env *env)
{
	for (u32 i = 0; i < 4; i++)
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, env->pdpte[i]);
}

static void commit(struct percpu *cpu, const struct entry_env *env, const struct l1_registers *l1)
{
	struct nested_cpu *n = cpu->nested;
	struct vmcs12 *v = &n->current->vmcs12;

	if (v->entry_msr_load_count)
		vmcs02_read(cpu, n->current, GROUP(CRS)); /* what the list overwrites in VMCS02 */
	/* L2 reaches it in L1's memory only (nested/shadow12.c). */
	if (unlikely(vmcs12_shadows(v) && v->link_pointer != NO_VMCS))
		nested_deactivate(cpu, v->link_pointer);
	vmcs02_merge(cpu, l1);
	if (unlikely(env->wants_pdptes))
		load_pdptes(env);
	u32 failed = v->entry_msr_load_count ? msr_area_load(cpu, v->entry_msr_load_addr, v->entry_msr_load_count) : 0;

	if (unlikely(failed)) {
		nested_entry_failed(cpu, EXIT_BAD_MSR_LOAD, failed);
		return;
	}
	if (n->missed.access)
		nested_refill(cpu);
	speculation_to_l2(cpu);
	world_enter(cpu, &n->current->l2);
	if (unlikely(cpu->crossing))
		nested_crossed(cpu, HYPAPI_EV_EXIT102);
}

static enum vmx_error judge(struct percpu *cpu, const struct entry_env *env, const struct l1_registers *l1)
{
	enum entry_check failed = run_checks(cpu->nested->current, env);

	if (likely(failed == ENTRY_CHECKS_PASSED)) {
		commit(cpu, env, l1);
		return VMXERR_NONE;
	}
	log_limited(LOG_DEBUG, "CPU %u: L2 entry refused: %s (%s)", cpu->index, entry_check_info[failed].text,
		  entry_check_info[failed].section);
	if (entry_check_error(failed)) {
		nested_load_vmcs01(cpu);
		return entry_check_error(failed);
	}
	nested_entry_failed(cpu, EXIT_BAD_GUEST_STATE, entry_check_qualification(failed));
	return VMXERR_NONE;
}

/* Only those that the entry does not load. */
static always_inline void read_l1_registers(struct l1_registers *l1, const struct vmcs12 *v)
{
	if (!(v->entry_ctls & ENTRYCTL_LOAD_EFER))
		l1->efer = vmread(VMCS_GUEST_EFER);
	if (!(v->entry_ctls & ENTRYCTL_LOAD_PAT))
		l1->pat = vmread(VMCS_GUEST_PAT);
	if (!(v->entry_ctls & ENTRYCTL_LOAD_DEBUG)) {
		l1->debugctl = vmread(VMCS_GUEST_DEBUGCTL);
		l1->dr7 = vmread(VMCS_GUEST_DR7);
	}
}

enum vmx_error nested_enter(struct percpu *cpu, bool launch, bool l1_long_mode)
{
	struct active_vmcs *a = cpu->nested->current;
	struct l1_registers l1;
	struct entry_env env;

	if (vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_MOV_SS)
		return VMXERR_MOV_SS;
	if (launch && a->vmcs12.launched)
		return VMXERR_VMLAUNCH_NOT_CLEAR;
	if (!launch && !a->vmcs12.launched)
		return VMXERR_VMRESUME_NOT_LAUNCHED;
	/* From the collection on VMCS01 is not at hand, until L1 goes on. */
	read_l1_registers(&l1, &a->vmcs12);
	nested_shadow_collect(cpu, a, false);
	if (unlikely(a->pages_since != ept01_generation))
		a->unmerged |= GROUP(EXEC) | GROUP(PROC);
	u32 reads = groups_to_read(a);

	if (reads)
		vmcs02_read(cpu, a, reads);
	fill_env(cpu->nested, &env, l1_long_mode);
	return judge(cpu, &env, &l1);
}
