/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs of guests, by the table of msr_policy.c: the MSR bitmap is made from it, and exits of both levels and MSR lists
 * are answered by it. The bitmap starts with all writes exiting. An MSR that L1 reaches without an exit comes here all
 * the same from L2, or by a list: then it is where the guest's value lives, in the current VMCS or in the CPU.
 */
#include "vmx/msr.h"

#include "apic/apic_guard.h"
#include "core/cmdline.h"
#include "cpu/paging.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "report/log.h"
#include "vmx/exit.h"
#include "vmx/msr_policy.h"
#include "vmx/vmx.h"

/* MSRs by number, a bit each; any CPU sets bits. */
struct msr_set { _Atomic u8 bits[2 * BITMAP_MSRS / 8]; };

static struct msr_set said;          /* a dropped write has been logged */
static struct msr_set *written;      /* [level]: option msr=watch, else NULL */
static const char *const source_names[] = { [MSR_BY_L1] = "L1", [MSR_BY_L2] = "L2", [MSR_BY_LIST] = "list" };

/* Guest MSRs that live in the VMCS while a guest runs. */
static const struct { u32 msr, field; } in_vmcs[] = {
	{ MSR_FS_BASE, VMCS_GUEST_FS_BASE }, { MSR_GS_BASE, VMCS_GUEST_GS_BASE }, { MSR_PAT, VMCS_GUEST_PAT },
	{ MSR_SYSENTER_CS, VMCS_GUEST_SYSENTER_CS }, { MSR_SYSENTER_ESP, VMCS_GUEST_SYSENTER_ESP },
	{ MSR_SYSENTER_EIP, VMCS_GUEST_SYSENTER_EIP }, { MSR_EFER, VMCS_GUEST_EFER },
	{ MSR_DEBUGCTL, VMCS_GUEST_DEBUGCTL },
};

/* ---- sets and the bitmap ---- */

static u32 msr_at(u32 place)
{
	return place < BITMAP_MSRS ? place : 0xc0000000 + place - BITMAP_MSRS;
}

static bool has(const struct msr_set *set, u32 msr)
{
	u32 place = msr_place(msr, false);

	return atomic_load(&set->bits[place / 8]) >> (place % 8) & 1;
}

/* False: it was there already. */
static bool add(struct msr_set *set, u32 msr)
{
	u32 place = msr_place(msr, false);
	u8 bit = (u8)BIT(place % 8);

	return !(atomic_fetch_or(&set->bits[place / 8], bit) & bit);
}

static void intercept(u32 msr, const struct msr_row *row)
{
	u32 read = msr_place(msr, false), write = msr_place(msr, true);

	if (row->read != MSR_PASS)
		vmx_msr_bitmap[read / 8] |= (u8)BIT(read % 8);
	if (row->write == MSR_PASS && !written)
		vmx_msr_bitmap[write / 8] &= (u8)~BIT(write % 8);
}

void msr_init(void)
{
	if (cmdline_is("msr", "strict"))
		msr_policy_strict();
	if (cmdline_is("msr", "watch"))
		written = pages_boot_alloc(ALIGN_UP(ARRAY_SIZE(source_names) * sizeof(*written),
						    PAGE_SIZE) / PAGE_SIZE);
	memset(vmx_msr_bitmap + PAGE_SIZE / 2, 0xff, PAGE_SIZE / 2);
	for (u32 i = 0; i < msr_row_count; i++)
		for (u32 msr = msr_rows[i].first; msr <= msr_rows[i].last; msr++)
			intercept(msr, &msr_rows[i]);
}

void msr_intercept_lvts(void)
{
	for (u32 i = 0; i < msr_row_count; i++)
		for (u32 msr = msr_rows[i].first; msr_rows[i].writer == apic_guard_write_lvt &&
		     msr <= msr_rows[i].last; msr++) {
			u32 place = msr_place(msr, true);

			/* A hypapp's claims may have given L2 a bitmap of its own by now. */
			vmx_msr_bitmap[place / 8] |= (u8)BIT(place % 8);
			vmx_msr_bitmap_l2[place / 8] |= (u8)BIT(place % 8);
		}
}

void msr_watch(enum msr_source source, u32 msr)
{
	if (unlikely(written) && msr_in_bitmap(msr))
		(void)add(&written[source], msr);
}

void msr_log_watched(void)
{
	static const char *const answers[] = { "pass", "mask", "drop", "refuse", "own" };

	for (u32 source = 0; written && source < ARRAY_SIZE(source_names); source++)
		for (u32 place = 0; place < 2 * BITMAP_MSRS; place++)
			if (written[source].bits[place / 8] & BIT(place % 8))
				log_now("stat msr %s 0x%x %s", source_names[source], msr_at(place),
					 answers[msr_find(msr_at(place))->write]);
}

bool msr_drop(const struct percpu *cpu, u32 msr, const char *why)
{
	static struct log_limit limit;
	u64 value;

	if (!rdmsr_safe(msr, &value))
		return false;
	/* One line of each, but not all in one second: a hypervisor below may have every MSR. */
	if (!has(&said, msr) && log_allowed(&limit, 8, 1000) && add(&said, msr))
		log_warn("CPU %u: writes of MSR 0x%x are dropped (%s)", cpu->index, msr, why);
	return true;
}

/* ---- MSRs in the VMCS ---- */

static u32 vmcs_field_of(u32 msr)
{
	for (size_t i = 0; i < ARRAY_SIZE(in_vmcs); i++)
		if (in_vmcs[i].msr == msr)
			return in_vmcs[i].field;
	return 0;
}

/* What WRMSR would check, for the MSRs that live in the VMCS. `value` may be adjusted. */
static bool vmcs_msr_is_valid(const struct percpu *cpu, u32 msr, u64 *value)
{
	u64 efer_bits = EFER_SCE | EFER_LME | EFER_LMA | (cpu->xd_disabled ? 0 : EFER_NXE);
	u64 efer = vmread(VMCS_GUEST_EFER);

	switch (msr) {
	case MSR_PAT:
		return is_valid_pat(*value);
	case MSR_SYSENTER_CS:
		*value = (u32)*value;
		return true;
	case MSR_EFER:
		if ((*value & ~efer_bits) || ((*value ^ efer) & EFER_LME && vmread(VMCS_GUEST_CR0) & CR0_PG))
			return false;
		*value = (*value & ~EFER_LMA) | (efer & EFER_LMA);
		return true;
	case MSR_DEBUGCTL:
		return !(*value & ~DEBUGCTL_VALID);
	default:
		return is_canonical(*value, LINEAR_BITS);
	}
}

bool msr_read_vmcs(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)cpu;
	*value = vmread(vmcs_field_of(msr));
	return true;
}

bool msr_write_vmcs(struct percpu *cpu, u32 msr, u64 value)
{
	if (!vmcs_msr_is_valid(cpu, msr, &value))
		return false;
	vmwrite(vmcs_field_of(msr), value);
	return true;
}

/* ---- RDMSR and WRMSR ---- */

bool msr_read(struct percpu *cpu, u32 msr, u64 *value)
{
	const struct msr_row *row = msr_find(msr);

	if (row->read == MSR_REFUSE)
		return false;
	return row->reader ? row->reader(cpu, msr, value) : rdmsr_safe(msr, value);
}

static bool write_masked(u32 msr, u64 mask, u64 value)
{
	u64 old;

	return rdmsr_safe(msr, &old) && wrmsr_safe(msr, (old & ~mask) | (value & mask));
}

bool msr_write(struct percpu *cpu, u32 msr, u64 value)
{
	const struct msr_row *row = msr_find(msr);

	if (row->writer)
		return row->writer(cpu, msr, value);
	switch (row->write) {
	case MSR_PASS:
		return wrmsr_safe(msr, value);
	case MSR_MASK:
		return write_masked(msr, row->mask, value);
	case MSR_DROP:
		return msr_drop(cpu, msr, row->why);
	default:
		return false;
	}
}

void msr_perform(struct percpu *cpu, const struct hypapi_msr_args *msr, bool handled)
{
	u64 value = msr->value;

	if (msr->write)
		msr_watch(cpu->world->mode == RUN_L2 ? MSR_BY_L2 : MSR_BY_L1, msr->msr);
	if (!handled && !(msr->write ? msr_write(cpu, msr->msr, value) : msr_read(cpu, msr->msr, &value))) {
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
		return;
	}
	if (!msr->write) {
		cpu->gpr[GPR_RAX] = (u32)value;
		cpu->gpr[GPR_RDX] = value >> 32;
	}
	vmx_skip_instruction();
}

void exit_msr(struct percpu *cpu)
{
	struct hypapi_msr_args msr = msr_args(cpu);
	enum taken answer = event_msr(cpu, &msr);

	if (answer != TAKEN)
		msr_perform(cpu, &msr, answer == ANSWERED);
}
