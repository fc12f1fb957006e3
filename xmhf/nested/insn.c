/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMX instructions of L1, one function each, through one table by exit reason. Who may execute them and how they
 * report success and failure is the same for all, and done once (Intel SDM vol. 3, "VMX Instruction Reference").
 */
#include "cpu/paging.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "lib/string.h"
#include "nested/operand.h"
#include "nested/state.h"
#include "vmx/vmx.h"

struct insn {
	struct percpu *cpu;
	struct nested_cpu *n;
	u32 info; /* VM-exit instruction information */
	bool long_mode;
};

/* ---- Life of a VMCS ---- */

static bool pointer_ok(u64 gpa1)
{
	return !(gpa1 & ((PAGE_SIZE - 1) | nested_caps.phys_reserved));
}

static bool read_pointer(const struct insn *i, u64 *gpa1)
{
	return operand_read(i->cpu, i->info, i->long_mode, gpa1, sizeof(*gpa1));
}

/* The operand of VMPTRLD and VMCLEAR, which is never NO_VMCS; 0, or what the instruction answers. */
static int read_vmcs_pointer(const struct insn *i, enum vmx_error bad_addr, enum vmx_error vmxon_ptr, u64 *gpa1)
{
	if (!read_pointer(i, gpa1))
		return INSN_DONE;
	if (!pointer_ok(*gpa1))
		return (int)bad_addr;
	return *gpa1 == i->n->vmxon.addr ? (int)vmxon_ptr : VMXERR_NONE;
}

/* Which bits of the revision identifier VMPTRLD takes beside the number: L1's CPU may have shadow VMCSs. */
static u32 shadow_indicator(void)
{
	return nested_caps.needs & BIT(NEED_SHADOW_VMCS) ? (u32)VMCS_REGION_SHADOW : 0;
}

/* Of a VMCS or VMXON region; NULL: no RAM of L1's, which reads as all ones. */
static bool has_revision(const void *region, u32 indicator)
{
	return region && (*(const volatile u32 *)region & ~indicator) == NESTED_REVISION;
}

static struct active_vmcs *find_active(struct nested_cpu *n, u64 gpa1)
{
	for (u32 i = 0; i < ACTIVE_VMCSS; i++)
		if (n->active[i].gpa1 == gpa1)
			return &n->active[i];
	return NULL;
}

/*
 * It goes back to L1's memory, whole, if it differs. Where L1 has no RAM by now it is lost, as on a bus. VMCS01 may not
 * be at hand afterwards.
 */
static void deactivate(struct percpu *cpu, struct active_vmcs *a)
{
	if (unlikely(cpu->world == &a->l2))
		a->unmerged = GROUPS_MERGED; /* L2 was cut off, and nothing of it was saved */
	nested_shadow_collect(cpu, a, true);
	vmcs02_read(cpu, a, GROUPS_LAZY);
	void *region = a->unsaved ? l1_page(&cpu->nested->memory, a->gpa1, HYPAPI_RW) : NULL;

	if (region)
		memcpy(region, &a->vmcs12, sizeof(a->vmcs12));
	a->gpa1 = NO_VMCS;
	if (cpu->nested->current == a)
		cpu->nested->current = NULL;
}

void nested_deactivate(struct percpu *cpu, u64 gpa1)
{
	struct active_vmcs *a = find_active(cpu->nested, gpa1);

	if (a)
		deactivate(cpu, a);
}

void nested_deactivate_all(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;

	for (u32 i = 0; i < ACTIVE_VMCSS; i++) {
		if (n->active[i].gpa1 != NO_VMCS)
			deactivate(cpu, &n->active[i]);
		n->active[i].unmerged |= GROUP(EXITS); /* checked by L1's mode, which may be another one after VMXON */
	}
}

/* A place for one more, in turn of another one if all are taken. */
static struct active_vmcs *make_room(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	struct active_vmcs *a = find_active(n, NO_VMCS);

	if (a)
		return a;
	a = &n->active[n->next_to_go];
	n->next_to_go = (n->next_to_go + 1) % ACTIVE_VMCSS;
	deactivate(cpu, a);
	return a;
}

static struct active_vmcs *activate(struct percpu *cpu, u64 gpa1, const void *region)
{
	struct active_vmcs *a = make_room(cpu);

	/* VMCS02 still has what the one before left: what does not differ need not be checked and merged again. */
	a->unmerged |= vmcs12_replace(&a->vmcs12, region) & GROUPS_MERGED;
	a->vmcs12.revision = NESTED_REVISION | (a->vmcs12.revision & shadow_indicator());
	a->vmcs12.launched = a->vmcs12.launched == 1;
	a->gpa1 = gpa1;
	a->unsaved = false;
	nested_shadow_activated(cpu, a);
	return a;
}

static void set_current(struct percpu *cpu, struct active_vmcs *a)
{
	struct nested_cpu *n = cpu->nested;

	n->current = a;
	n->missed.access = 0;
	/* VMCS02's EPT counts, though VMCS12 may have none now: a primary control alone turns it on again. */
	if (a && (a->proc2 & PROC2_EPT) && n->ept02.key[a->root] != a->vmcs12.eptp)
		a->unmerged |= GROUP(EXEC); /* another one has got the root meanwhile */
	nested_load_vmcs01(cpu);
	nested_shadow_link(cpu);
}

u64 nested_vmcs12(const struct percpu *cpu)
{
	return cpu->nested->current->gpa1;
}

static bool is_current(const struct nested_cpu *n, u64 gpa1)
{
	return n->current && n->current->gpa1 == gpa1;
}

static int insn_vmptrld(const struct insn *i)
{
	struct nested_cpu *n = i->n;
	u64 gpa1;
	int result = read_vmcs_pointer(i, VMXERR_VMPTRLD_BAD_ADDR, VMXERR_VMPTRLD_VMXON_PTR, &gpa1);

	if (result || is_current(n, gpa1))
		return result;
	const void *region = l1_page(&n->memory, gpa1, HYPAPI_R);

	if (!has_revision(region, shadow_indicator()))
		return VMXERR_VMPTRLD_BAD_REVISION;
	struct active_vmcs *a = find_active(n, gpa1);

	set_current(i->cpu, a ? a : activate(i->cpu, gpa1, region));
	return VMXERR_NONE;
}

static int insn_vmptrst(const struct insn *i)
{
	u64 current = i->n->current ? i->n->current->gpa1 : NO_VMCS;
	bool written = operand_write(i->cpu, i->info, i->long_mode, &current, sizeof(current));

	return written ? VMXERR_NONE : INSN_DONE;
}

static int insn_vmclear(const struct insn *i)
{
	struct nested_cpu *n = i->n;
	u64 gpa1;
	int result = read_vmcs_pointer(i, VMXERR_VMCLEAR_BAD_ADDR, VMXERR_VMCLEAR_VMXON_PTR, &gpa1);

	if (result)
		return result;
	struct active_vmcs *a = find_active(n, gpa1);

	if (a) {
		a->unsaved |= a->vmcs12.launched;
		a->vmcs12.launched = 0;
		deactivate(i->cpu, a);
		set_current(i->cpu, n->current);
	} else {
		volatile struct vmcs12 *region = l1_page(&n->memory, gpa1, HYPAPI_RW);

		if (region)
			region->launched = 0;
	}
	return VMXERR_NONE;
}

/* ---- VMX operation ---- */

/* CR0 and CR4 of L1 as VMX operation wants them. */
static bool control_registers_ok(void)
{
	u64 cr0 = (vmread(VMCS_GUEST_CR0) & ~VMX_CR0_MASK) | (vmread(VMCS_CR0_SHADOW) & VMX_CR0_MASK);
	u64 cr4 = (vmread(VMCS_GUEST_CR4) & ~VMX_CR4_MASK) | (vmread(VMCS_CR4_SHADOW) & VMX_CR4_MASK);

	return (cr0 & NESTED_CAP(&nested_caps, CR0_FIXED0)) == NESTED_CAP(&nested_caps, CR0_FIXED0) &&
	       !(cr0 & ~NESTED_CAP(&nested_caps, CR0_FIXED1)) &&
	       (cr4 & NESTED_CAP(&nested_caps, CR4_FIXED0)) == NESTED_CAP(&nested_caps, CR4_FIXED0) &&
	       !(cr4 & ~NESTED_CAP(&nested_caps, CR4_FIXED1));
}

static int insn_vmxon(const struct insn *i)
{
	struct nested_cpu *n = i->n;
	u64 gpa1;

	if (n->in_vmx)
		return VMXERR_VMXON_IN_ROOT;
	if (!control_registers_ok()) {
		vmx_inject_gp();
		return INSN_DONE;
	}
	if (!read_pointer(i, &gpa1))
		return INSN_DONE;
	if (!pointer_ok(gpa1) || !has_revision(l1_page(&n->memory, gpa1, HYPAPI_R), 0))
		return INSN_INVALID;
	nested_fix_cr0(true);
	n->in_vmx = true;
	n->vmxon = GPA1(gpa1);
	nested_shadow_enable(i->cpu, true);
	return VMXERR_NONE;
}

static int insn_vmxoff(const struct insn *i)
{
	bool init = i->n->init_held;

	nested_teardown(i->cpu);
	if (init)
		exit_init(i->cpu);
	return VMXERR_NONE;
}

/* ---- VMREAD, VMWRITE ---- */

static void fetch(const struct insn *i, u32 groups)
{
	vmcs02_read(i->cpu, i->n->current, groups);
	nested_load_vmcs01(i->cpu);
}

/*
 * The field that the second register operand names; if it is newer in VMCS02, it has been fetched. NULL: there is
 * none.
 */
static always_inline const struct vmcs12_field *find_field(const struct insn *i, u64 *encoding)
{
	*encoding = operand_width(i->long_mode, guest_reg(i->cpu, OPERAND_REG2(i->info)));
	const struct vmcs12_field *field = vmcs12_find(*encoding);

	if (field && unlikely(i->n->current->unread >> field->group & 1))
		fetch(i, 1u << field->group);
	return field;
}

static int insn_vmread(const struct insn *i)
{
	u64 encoding;

	if (unlikely(!i->n->current))
		return INSN_INVALID;
	const struct vmcs12_field *field = find_field(i, &encoding);

	if (!field)
		return VMXERR_BAD_FIELD;
	u64 value = vmcs12_read(&i->n->current->vmcs12, field, encoding);

	nested_shadow_missed(i->cpu, field);
	if (likely(i->info & OPERAND_IS_REG)) {
		guest_set_reg(i->cpu, OPERAND_REG1(i->info), operand_width(i->long_mode, value));
		return VMXERR_NONE;
	}
	return operand_write(i->cpu, i->info, i->long_mode, &value, i->long_mode ? 8 : 4) ? VMXERR_NONE : INSN_DONE;
}

static int insn_vmwrite(const struct insn *i)
{
	u64 encoding, value = 0;

	if (unlikely(!i->n->current))
		return INSN_INVALID;
	if (likely(i->info & OPERAND_IS_REG))
		value = operand_width(i->long_mode, guest_reg(i->cpu, OPERAND_REG1(i->info)));
	else if (!operand_read(i->cpu, i->info, i->long_mode, &value, i->long_mode ? 8 : 4))
		return INSN_DONE;
	const struct vmcs12_field *field = find_field(i, &encoding);

	if (!field)
		return VMXERR_BAD_FIELD;
	if (field->access == VMCS_ACCESS_RO && !(NESTED_CAP(&nested_caps, MISC) & VMX_MISC_VMWRITE_ALL))
		return VMXERR_READ_ONLY_FIELD;
	struct active_vmcs *a = i->n->current;

	if (unlikely(field->group == GROUP_EXITS))
		fetch(i, GROUP(CRS)); /* what the last exit saved, these controls say */
	if (vmcs12_write(&a->vmcs12, field, encoding, value)) {
		a->unsaved = true;
		a->unmerged |= 1u << field->group & GROUPS_MERGED;
		if (unlikely(nested_shadow_shows(i->n, field))) {
			nested_shadow_publish(i->cpu, a);
			nested_load_vmcs01(i->cpu);
		}
	}
	nested_shadow_missed(i->cpu, field);
	return VMXERR_NONE;
}

/* ---- Entry ---- */

static int insn_enter(const struct insn *i)
{
	if (!i->n->current || vmcs12_is_shadow(&i->n->current->vmcs12))
		return INSN_INVALID;
	enum vmx_error error = nested_enter(i->cpu, i->cpu->exit_reason == EXIT_VMLAUNCH, i->long_mode);

	return error ? (int)error : INSN_DONE;
}

/* ---- Invalidation ---- */

struct descriptor {
	u64 low, high;
};

/*
 * Type in a register, descriptor in memory; the type is checked first. exists: whether L1's CPU has the instruction;
 * types: of it, a bit each.
 */
static int read_descriptor(const struct insn *i, bool exists, u32 types, u64 *type, struct descriptor *d)
{
	if (!exists) {
		vmx_inject_ud();
		return INSN_DONE;
	}
	*type = operand_width(i->long_mode, guest_reg(i->cpu, OPERAND_REG2(i->info)));
	if (*type > 31 || !(types >> *type & 1))
		return VMXERR_BAD_INVALIDATE;
	return operand_read(i->cpu, i->info, i->long_mode, d, sizeof(*d)) ? VMXERR_NONE : INSN_DONE;
}

static int insn_invept(const struct insn *i)
{
	u64 cap = NESTED_CAP(&nested_caps, EPT_VPID_CAP), type;
	u32 types = cap >> 24 & (1u << INVEPT_SINGLE | 1u << INVEPT_ALL); /* bits 25 and 26 */
	struct descriptor d;
	int result = read_descriptor(i, cap & EPTCAP_INVEPT, types, &type, &d);

	if (result)
		return result;
	/* An EPTP12 that has a root here is one that passed an entry's checks. */
	if (!nested_invept(i->cpu, (enum invept_type)type, d.low) && !ept12_pointer_ok(&nested_caps, d.low))
		return VMXERR_BAD_INVALIDATE;
	event_tell(i->cpu, HYPAPI_EV_EPT02_FLUSH, HYPAPI_L1,
		   EVENT_ARGS(ept02_flush, .eptp12 = type == INVEPT_ALL ? 0 : d.low, .cause = HYPAPI_FLUSH_INVEPT));
	return VMXERR_NONE;
}

static bool vpid_descriptor_ok(u64 type, const struct descriptor *d)
{
	u32 bits = vmread(VMCS_GUEST_CR4) & CR4_LA57 ? LINEAR_BITS_LA57 : LINEAR_BITS;

	if (d->low >> 16 || (type != INVVPID_ALL && !d->low))
		return false;
	return type != INVVPID_ADDR || is_canonical(d->high, bits);
}

/*
 * VPIDs that share VPID_L2 are flushed at every entry anyway. The CPU judges an address by root's paging, so that it
 * may refuse one that is canonical for L1.
 */
static bool invvpid_of_l1(enum invvpid_type type, const struct descriptor *d)
{
	bool own = false;
	u16 vpid02 = vpid02_of((u16)d->low, &own);

	if (type == INVVPID_ALL)
		return invvpid(type, 0, 0);
	return !own || invvpid(type, vpid02, d->high) ||
	       (type == INVVPID_ADDR && invvpid(INVVPID_SINGLE, vpid02, 0));
}

static int insn_invvpid(const struct insn *i)
{
	u64 cap = NESTED_CAP(&nested_caps, EPT_VPID_CAP), type;
	struct descriptor d;
	int result = read_descriptor(i, cap & EPTCAP_INVVPID, cap >> 40 & 15, &type, &d);

	if (result)
		return result;
	bool ok = vpid_descriptor_ok(type, &d) && invvpid_of_l1((enum invvpid_type)type, &d);

	return ok ? VMXERR_NONE : VMXERR_BAD_INVALIDATE;
}

/* The dual-monitor treatment is not there to be called (SDM vol. 3, "VMCALL"). */
static int insn_vmcall(const struct insn *i)
{
	(void)i;
	return VMXERR_VMCALL_IN_ROOT;
}

/* ---- What all share ---- */

static const struct insn_row {
	int (*execute)(const struct insn *);
	bool has_operand; /* the exit has instruction information */
} insns[EXIT_REASON_COUNT] = {
	[EXIT_VMCALL] = { insn_vmcall, false },
	[EXIT_VMCLEAR] = { insn_vmclear, true },
	[EXIT_VMLAUNCH] = { insn_enter, false },
	[EXIT_VMPTRLD] = { insn_vmptrld, true },
	[EXIT_VMPTRST] = { insn_vmptrst, true },
	[EXIT_VMREAD] = { insn_vmread, true },
	[EXIT_VMRESUME] = { insn_enter, false },
	[EXIT_VMWRITE] = { insn_vmwrite, true },
	[EXIT_VMXOFF] = { insn_vmxoff, false },
	[EXIT_VMXON] = { insn_vmxon, true },
	[EXIT_INVEPT] = { insn_invept, true },
	[EXIT_INVVPID] = { insn_invvpid, true },
};

/* Real mode, virtual-8086 mode and compatibility mode have no VMX instructions; hardware says so itself, mostly. */
static bool mode_allows(bool long_mode)
{
	if (likely(long_mode))
		return true;
	return (vmread(VMCS_GUEST_CR0) & CR0_PE) && !(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_VM) &&
	       !(vmread(VMCS_ENTRY_CTLS) & ENTRYCTL_IA32E);
}

/* False: a fault was injected. The exit comes before the CPU's own test of the privilege level. */
static bool may_execute(const struct insn *i, u32 reason)
{
	bool on = i->n && (i->n->in_vmx || (reason == EXIT_VMXON && (vmread(VMCS_CR4_SHADOW) & CR4_VMXE)));

	if (unlikely(!on || !mode_allows(i->long_mode))) {
		vmx_inject_ud();
		return false;
	}
	if (unlikely(guest_cpl())) {
		vmx_inject_gp();
		return false;
	}
	return true;
}

/* Flags and RIP together: vmx_skip_instruction() would read what is known here. */
static void complete(const struct insn *i, int result)
{
	u64 old = vmread(VMCS_GUEST_RFLAGS), rflags = old & ~RFLAGS_ARITHMETIC;

	if (result == INSN_INVALID || (result && !i->n->current)) {
		rflags |= RFLAGS_CF;
	} else if (unlikely(result)) {
		rflags |= RFLAGS_ZF;
		i->n->current->vmcs12.insn_error = (u32)result;
		i->n->current->unsaved = true;
	}
	if (rflags != old)
		vmwrite(VMCS_GUEST_RFLAGS, rflags);
	if (unlikely(!i->long_mode || (rflags & RFLAGS_TF) || vmread(VMCS_GUEST_INTERRUPTIBILITY)))
		vmx_skip_instruction();
	else
		vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSN_LEN));
}

void nested_end_insn(struct percpu *cpu, int result)
{
	complete(&(struct insn){ .cpu = cpu, .n = cpu->nested, .long_mode = guest_long_mode() }, result);
}

void nested_insn(struct percpu *cpu)
{
	u32 reason = cpu->exit_reason;
	struct insn i = { .cpu = cpu, .n = cpu->nested, .long_mode = guest_long_mode() };

	if (!may_execute(&i, reason))
		return;
	if (insns[reason].has_operand)
		i.info = (u32)vmread(VMCS_EXIT_INSN_INFO);
	int result = insns[reason].execute(&i);

	if (result != INSN_DONE)
		complete(&i, result);
}
