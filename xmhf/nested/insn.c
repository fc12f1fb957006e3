/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMX instructions of L1, one function each, through one table by exit reason. Who may execute them and how they
 * report success and failure is the same for all, and done once (Intel SDM vol. 3, "VMX Instruction Reference").
 */
#include "cpu/x86.h"
#include "mem/ept01.h"
#include "nested/operand.h"
#include "nested/state.h"
#include "vmx/vmx.h"

/* What an instruction answers beside 0 (VMsucceed) and a VM-instruction error (VMfail). */
#define INSN_DONE (-1)    /* a fault was injected, or another world runs: RIP and flags stay */
#define INSN_INVALID (-2) /* VMfailInvalid */

struct insn {
	struct percpu *cpu;
	struct nested_cpu *n;
	bool long_mode;
};

/* ---- Life of a VMCS ---- */

static bool pointer_ok(u64 gpa1)
{
	return !(gpa1 & ((PAGE_SIZE - 1) | nested_caps.phys_reserved));
}

static bool read_pointer(const struct insn *i, u64 *gpa1)
{
	return operand_read(i->cpu, (u32)vmread(VMCS_EXIT_INSN_INFO), i->long_mode, gpa1, sizeof(*gpa1));
}

/* No RAM reads as all ones, which is no revision of ours. */
static u32 read_revision(u64 gpa1)
{
	u32 revision;

	return ept01_read(GPA1(gpa1), &revision, sizeof(revision)) ? revision : ~0u;
}

/* The current VMCS goes back to L1's memory, whole, if it differs. Where L1 has no RAM by now it is lost, as on a bus. */
static void put_current(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	bool stored = true;

	if (n->current == NO_VMCS)
		return;
	nested_shadow_collect(cpu);
	vmcs02_sync(cpu, GROUPS_LAZY);
	n->lazy = 0;
	if (n->modified)
		stored = ept01_write(GPA1(n->current), &n->vmcs12, sizeof(n->vmcs12));
	(void)stored;
	n->modified = false;
}

static void set_current(struct percpu *cpu, u64 gpa1)
{
	struct nested_cpu *n = cpu->nested;

	n->current = gpa1;
	n->dirty = GROUPS_ALL & ~(GROUP(MEMORY) | GROUP(INFO));
	nested_shadow_switch(cpu);
}

static int insn_vmptrld(const struct insn *i)
{
	struct nested_cpu *n = i->n;
	u64 gpa1;

	if (!read_pointer(i, &gpa1))
		return INSN_DONE;
	if (gpa1 == n->current)
		return VMXERR_NONE;
	if (!pointer_ok(gpa1))
		return VMXERR_VMPTRLD_BAD_ADDR;
	if (gpa1 == n->vmxon.addr)
		return VMXERR_VMPTRLD_VMXON_PTR;
	if (read_revision(gpa1) != NESTED_REVISION)
		return VMXERR_VMPTRLD_BAD_REVISION;
	put_current(i->cpu);
	if (!ept01_read(GPA1(gpa1), &n->vmcs12, sizeof(n->vmcs12)))
		return VMXERR_VMPTRLD_BAD_REVISION;
	n->vmcs12.revision = NESTED_REVISION;
	n->vmcs12.launched = n->vmcs12.launched == 1;
	set_current(i->cpu, gpa1);
	return VMXERR_NONE;
}

static int insn_vmptrst(const struct insn *i)
{
	u32 info = (u32)vmread(VMCS_EXIT_INSN_INFO);

	return operand_write(i->cpu, info, i->long_mode, &i->n->current, sizeof(i->n->current)) ? VMXERR_NONE : INSN_DONE;
}

static int insn_vmclear(const struct insn *i)
{
	struct nested_cpu *n = i->n;
	const u32 clear = 0;
	u64 gpa1;

	if (!read_pointer(i, &gpa1))
		return INSN_DONE;
	if (!pointer_ok(gpa1))
		return VMXERR_VMCLEAR_BAD_ADDR;
	if (gpa1 == n->vmxon.addr)
		return VMXERR_VMCLEAR_VMXON_PTR;
	if (gpa1 == n->current) {
		n->modified |= n->vmcs12.launched;
		n->vmcs12.launched = 0;
		put_current(i->cpu);
		set_current(i->cpu, NO_VMCS);
	} else if (!ept01_write(GPA1(gpa1 + offsetof(struct vmcs12, launched)), &clear, sizeof(clear))) {
		return VMXERR_NONE; /* no RAM there: nothing can be launched from it either */
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
	if (!pointer_ok(gpa1) || read_revision(gpa1) != NESTED_REVISION)
		return INSN_INVALID;
	nested_fix_cr0(true);
	n->in_vmx = true;
	n->vmxon = GPA1(gpa1);
	n->current = NO_VMCS;
	return VMXERR_NONE;
}

static int insn_vmxoff(const struct insn *i)
{
	put_current(i->cpu);
	nested_teardown(i->cpu);
	return VMXERR_NONE;
}

/* ---- VMREAD, VMWRITE ---- */

static u64 operand_width(const struct insn *i, u64 value)
{
	return i->long_mode ? value : (u32)value;
}

/* A group that is newer in VMCS02 is fetched before the first look at it. */
static void fetch_group(const struct insn *i, u64 encoding)
{
	const struct vmcs12_field *field = vmcs12_find(encoding, nested_caps.needs);

	if (field && (i->n->lazy >> field->group & 1))
		vmcs02_sync(i->cpu, 1u << field->group);
}

static int insn_vmread(const struct insn *i)
{
	u32 info = (u32)vmread(VMCS_EXIT_INSN_INFO);
	u64 encoding = operand_width(i, operand_reg(i->cpu, OPERAND_REG2(info))), value;

	if (i->n->current == NO_VMCS)
		return INSN_INVALID;
	if (i->n->lazy)
		fetch_group(i, encoding);
	enum vmx_error error = vmcs12_vmread(&i->n->vmcs12, &nested_caps, encoding, &value);

	if (error)
		return error;
	if (likely(info & OPERAND_IS_REG)) {
		operand_set_reg(i->cpu, OPERAND_REG1(info), operand_width(i, value));
		return VMXERR_NONE;
	}
	return operand_write(i->cpu, info, i->long_mode, &value, i->long_mode ? 8 : 4) ? VMXERR_NONE : INSN_DONE;
}

static int insn_vmwrite(const struct insn *i)
{
	u32 info = (u32)vmread(VMCS_EXIT_INSN_INFO);
	u64 encoding = operand_width(i, operand_reg(i->cpu, OPERAND_REG2(info))), value = 0;

	if (i->n->current == NO_VMCS)
		return INSN_INVALID;
	if (likely(info & OPERAND_IS_REG))
		value = operand_width(i, operand_reg(i->cpu, OPERAND_REG1(info)));
	else if (!operand_read(i->cpu, info, i->long_mode, &value, i->long_mode ? 8 : 4))
		return INSN_DONE;
	if (i->n->lazy)
		fetch_group(i, encoding);
	i->n->modified = true;
	enum vmx_error error = vmcs12_vmwrite(&i->n->vmcs12, &nested_caps, encoding, value, &i->n->dirty);

	if (unlikely(i->n->dirty & GROUP(INFO))) { /* exit information is shadowed for reading */
		i->n->dirty &= ~GROUP(INFO);
		nested_shadow_publish(i->cpu);
	}
	return error;
}

/* ---- Entry ---- */

static int enter(const struct insn *i, bool launch)
{
	if (i->n->current == NO_VMCS)
		return INSN_INVALID;
	enum vmx_error error = nested_enter(i->cpu, launch);

	return error ? (int)error : INSN_DONE;
}

static int insn_vmlaunch(const struct insn *i)
{
	return enter(i, true);
}

static int insn_vmresume(const struct insn *i)
{
	return enter(i, false);
}

/* ---- Invalidation ---- */

struct descriptor {
	u64 low, high;
};

/* Type in a register, descriptor in memory; the type is checked first. `types`: those that exist, a bit each. */
static int read_descriptor(const struct insn *i, u32 types, u64 *type, struct descriptor *d)
{
	u32 info = (u32)vmread(VMCS_EXIT_INSN_INFO);

	*type = operand_width(i, operand_reg(i->cpu, OPERAND_REG2(info)));
	if (*type > 31 || !(types >> *type & 1))
		return VMXERR_BAD_INVALIDATE;
	return operand_read(i->cpu, info, i->long_mode, d, sizeof(*d)) ? VMXERR_NONE : INSN_DONE;
}

static int insn_invept(const struct insn *i)
{
	u64 cap = NESTED_CAP(&nested_caps, EPT_VPID_CAP), type;
	u32 types = (cap & EPTCAP_INVEPT_SINGLE ? 1u << INVEPT_SINGLE : 0) | (cap & EPTCAP_INVEPT_ALL ? 1u << INVEPT_ALL : 0);
	struct descriptor d;

	if (!(cap & EPTCAP_INVEPT)) {
		vmx_inject_ud();
		return INSN_DONE;
	}
	int result = read_descriptor(i, types, &type, &d);

	if (result)
		return result;
	if (type == INVEPT_SINGLE && !ept12_pointer_ok(&nested_caps, d.low))
		return VMXERR_BAD_INVALIDATE;
	nested_invept(i->cpu, (enum invept_type)type, d.low);
	return VMXERR_NONE;
}

static bool vpid_descriptor_ok(u64 type, const struct descriptor *d)
{
	u32 unused = 64 - nested_caps.linear_bits;

	if (d->low >> 16 || (type != INVVPID_ALL && !d->low))
		return false;
	return type != INVVPID_ADDR || (u64)((int64_t)(d->high << unused) >> unused) == d->high;
}

/* VPIDs that share VPID_L2 are flushed at every entry anyway. */
static void flush_vpid(enum invvpid_type type, const struct descriptor *d)
{
	bool own = false;
	u16 vpid02 = vpid02_of((u16)d->low, &own);

	if (type == INVVPID_ALL ? !invvpid(type, 0, 0) : own && !invvpid(type, vpid02, d->high))
		vmx_field_failed("INVVPID", vpid02, d->high);
}

static int insn_invvpid(const struct insn *i)
{
	u64 cap = NESTED_CAP(&nested_caps, EPT_VPID_CAP), type;
	struct descriptor d;

	if (!(cap & EPTCAP_INVVPID)) {
		vmx_inject_ud();
		return INSN_DONE;
	}
	int result = read_descriptor(i, cap >> 40 & 15, &type, &d);

	if (result)
		return result;
	if (!vpid_descriptor_ok(type, &d))
		return VMXERR_BAD_INVALIDATE;
	flush_vpid((enum invvpid_type)type, &d);
	return VMXERR_NONE;
}

/* The dual-monitor treatment is not there to be called (SDM vol. 3, "VMCALL"). */
static int insn_vmcall(const struct insn *i)
{
	(void)i;
	return VMXERR_VMCALL_IN_ROOT;
}

/* ---- What all share ---- */

static int (*const insns[EXIT_REASON_COUNT])(const struct insn *) = {
	[EXIT_VMCALL] = insn_vmcall,
	[EXIT_VMCLEAR] = insn_vmclear,
	[EXIT_VMLAUNCH] = insn_vmlaunch,
	[EXIT_VMPTRLD] = insn_vmptrld,
	[EXIT_VMPTRST] = insn_vmptrst,
	[EXIT_VMREAD] = insn_vmread,
	[EXIT_VMRESUME] = insn_vmresume,
	[EXIT_VMWRITE] = insn_vmwrite,
	[EXIT_VMXOFF] = insn_vmxoff,
	[EXIT_VMXON] = insn_vmxon,
	[EXIT_INVEPT] = insn_invept,
	[EXIT_INVVPID] = insn_invvpid,
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

static void complete(const struct insn *i, int result)
{
	u64 rflags = vmread(VMCS_GUEST_RFLAGS) & ~RFLAGS_ARITHMETIC;

	if (result == INSN_INVALID || (result && i->n->current == NO_VMCS)) {
		rflags |= RFLAGS_CF;
	} else if (result) {
		rflags |= RFLAGS_ZF;
		i->n->vmcs12.insn_error = (u32)result;
		i->n->modified = true;
	}
	vmwrite(VMCS_GUEST_RFLAGS, rflags);
	vmx_skip_instruction();
}

void nested_insn(struct percpu *cpu)
{
	u32 reason = (u32)vmread(VMCS_EXIT_REASON);
	struct insn i = { cpu, cpu->nested, guest_long_mode() };

	if (!may_execute(&i, reason))
		return;
	int result = insns[reason](&i);

	if (result != INSN_DONE)
		complete(&i, result);
}
