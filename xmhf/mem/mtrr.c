/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See mtrr.h. Rules: Intel SDM vol. 3, "Memory Type Range Registers (MTRRs)" and "MTRR Precedences". */
#include "mem/mtrr.h"

#include "cpu/x86.h"
#include "events/events.h"
#include "lib/string.h"
#include "mem/ept01.h"

#define DEF_ENABLE BIT(11)
#define DEF_FIXED BIT(10)
#define MASK_VALID BIT(11)
#define TYPE_UC 0
#define TYPE_WT 4
#define FIXED_END 0x100000ul

/* SMRAM, closed or behind a lock: what is there is uncached. The second is TSEG, where it is known; set at boot. */
static struct { u64 start, end; } smram[] = { { 0xa0000, 0xc0000 }, { 0, 0 } };

static u32 variable_count;
static u64 address_bits; /* mask of the physical-address bits */

/* The values that EPT01 follows; written under a stop, or at boot. */
static struct mtrr_cpu live;
/* The variable ranges of `live` that are on: a CPU has more, and each leaf of EPT01 is asked for. */
static struct range { u64 base, mask; int type; } ranges[16];
static u32 range_count;

static const struct { u32 msr; u32 start, step; } fixed_ranges[11] = {
	{ MSR_MTRR_FIX64K, 0, 0x10000 }, { MSR_MTRR_FIX16K, 0x80000, 0x4000 }, { MSR_MTRR_FIX16K + 1, 0xa0000, 0x4000 },
	{ MSR_MTRR_FIX4K, 0xc0000, 0x1000 }, { MSR_MTRR_FIX4K + 1, 0xc8000, 0x1000 },
	{ MSR_MTRR_FIX4K + 2, 0xd0000, 0x1000 },
	{ MSR_MTRR_FIX4K + 3, 0xd8000, 0x1000 }, { MSR_MTRR_FIX4K + 4, 0xe0000, 0x1000 },
	{ MSR_MTRR_FIX4K + 5, 0xe8000, 0x1000 }, { MSR_MTRR_FIX4K + 6, 0xf0000, 0x1000 },
	{ MSR_MTRR_FIX4K + 7, 0xf8000, 0x1000 },
};

void mtrr_read(struct percpu *cpu)
{
	variable_count = MIN((u32)rdmsr(MSR_MTRRCAP) & 0xff, 16u);
	address_bits = BITS((cpuid(0x80000008, 0).eax & 0xff) - 1, 12);
	cpu->mtrr.def_type = rdmsr(MSR_MTRR_DEF_TYPE);
	for (u32 i = 0; i < ARRAY_SIZE(fixed_ranges); i++)
		cpu->mtrr.fixed[i] = rdmsr(fixed_ranges[i].msr);
	for (u32 i = 0; i < 2 * variable_count; i++)
		cpu->mtrr.var[i] = rdmsr(MSR_MTRR_PHYSBASE0 + i);
}

void mtrr_publish(const struct percpu *cpu)
{
	live = cpu->mtrr;
	range_count = 0;
	for (u32 i = 0; i < 2 * variable_count; i += 2)
		if (live.var[i + 1] & MASK_VALID)
			ranges[range_count++] = (struct range){ live.var[i] & address_bits,
								live.var[i + 1] & address_bits, live.var[i] & 0xff };
}

void mtrr_keep_uncached(u64 start, u64 end)
{
	smram[1].start = start;
	smram[1].end = end;
	ept01_retype(EPT01_EVERYWHERE);
}

static int fixed_type(u64 addr)
{
	for (u32 i = ARRAY_SIZE(fixed_ranges); i-- > 0;)
		if (addr >= fixed_ranges[i].start)
			return live.fixed[i] >> (addr - fixed_ranges[i].start) / fixed_ranges[i].step * 8 & 0xff;
	return TYPE_UC;
}

/* UC wins over all; WT over WB; anything else that overlaps is undefined and taken as UC. */
static int combine(int a, int b)
{
	if (a == b || a < 0)
		return b;
	return a + b == TYPE_WT + MTRR_WB ? TYPE_WT : TYPE_UC;
}

static int variable_type(u64 start, u64 size)
{
	int type = -1;

	for (const struct range *r = ranges; r < ranges + range_count; r++) {
		/* The mask's bits inside the range decide whether it is wholly in or wholly out. */
		if ((start ^ r->base) & r->mask & ~(size - 1))
			continue;
		if (r->mask & (size - 1))
			return -1;
		type = combine(type, r->type);
	}
	return type >= 0 ? type : (int)(live.def_type & 0xff);
}

int mtrr_type(u64 start, u64 size)
{
	if (!(live.def_type & DEF_ENABLE))
		return TYPE_UC;
	/* Lines of L1's that were cached while SMRAM is closed would be what the firmware's code in SMM finds there. */
	for (size_t i = 0; i < ARRAY_SIZE(smram); i++)
		if (start < smram[i].end && start + size > smram[i].start)
			return size > PAGE_SIZE &&
			       (start < smram[i].start || start + size > smram[i].end) ? -1 : TYPE_UC;
	if (start >= FIXED_END || !(live.def_type & DEF_FIXED))
		return variable_type(start, size);
	return size > PAGE_SIZE ? -1 : fixed_type(start);
}

static u64 *slot(struct percpu *cpu, u32 msr)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return &cpu->mtrr.def_type;
	if (msr - MSR_MTRR_PHYSBASE0 < 2 * variable_count)
		return &cpu->mtrr.var[msr - MSR_MTRR_PHYSBASE0];
	for (u32 i = 0; i < ARRAY_SIZE(fixed_ranges); i++)
		if (fixed_ranges[i].msr == msr)
			return &cpu->mtrr.fixed[i];
	return NULL;
}

bool mtrr_read_msr(struct percpu *cpu, u32 msr, u64 *value)
{
	const u64 *s = slot(cpu, msr);

	if (s)
		*value = *s;
	return s;
}

static bool type_ok(u64 type)
{
	return type <= 6 && type != 2 && type != 3;
}

static bool value_ok(u32 msr, u64 value)
{
	if (msr == MSR_MTRR_DEF_TYPE)
		return !(value & ~(0xffull | DEF_FIXED | DEF_ENABLE)) && type_ok(value & 0xff);
	if (msr - MSR_MTRR_PHYSBASE0 < 32)
		return msr & 1 ? !(value & ~(address_bits | MASK_VALID)) :
				 !(value & ~(address_bits | 0xff)) && type_ok(value & 0xff);
	for (int i = 0; i < 64; i += 8)
		if (!type_ok(value >> i & 0xff))
			return false;
	return true;
}

struct span {
	u64 start, end;
};

/* What a variable range covers; if its mask has holes, everything. */
static struct span span_of(u64 base, u64 mask)
{
	u64 fixed = mask & address_bits, inside = ~fixed & (address_bits | (PAGE_SIZE - 1)), start = base & fixed;

	if (!(mask & MASK_VALID))
		return (struct span){ 0, 0 };
	if (inside & (inside + 1))
		return (struct span){ EPT01_EVERYWHERE };
	return (struct span){ start, start + inside + 1 };
}

static void retype_span(struct span s)
{
	if (s.start < s.end)
		ept01_retype(s.start, s.end);
}

/* From `old` to the live values. A type depends on the ranges that cover the address, and on the default. */
static void retype_changes(const struct mtrr_cpu *old)
{
	if (old->def_type != live.def_type) {
		ept01_retype(EPT01_EVERYWHERE);
		return;
	}
	if (memcmp(old->fixed, live.fixed, sizeof(live.fixed)))
		ept01_retype(0, FIXED_END);
	for (u32 i = 0; i < 2 * variable_count; i += 2) {
		struct span before = span_of(old->var[i], old->var[i + 1]);
		struct span now = span_of(live.var[i], live.var[i + 1]);

		if (old->var[i] == live.var[i] && old->var[i + 1] == live.var[i + 1])
			continue;
		if (before.start != now.start || before.end != now.end)
			retype_span(before);
		retype_span(now);
	}
}

/* EPT01 follows this CPU's values from here on, unless a hypapp denies it: false. */
static __attribute__((noinline)) bool change_types(struct percpu *cpu, u32 msr, u64 value)
{
	if (!event_prepare(cpu, HYPAPI_EV_MTRR, EVENT_ARGS(mtrr, .msr = msr, .value = value)))
		return false;
	(void)!quiesce_begin(&cpu->quiesce);
	const struct mtrr_cpu old = live;

	mtrr_publish(cpu);
	retype_changes(&old);
	quiesce_end(&cpu->quiesce);
	event_tell(cpu, HYPAPI_EV_MTRR, HYPAPI_L0, EVENT_ARGS(mtrr, .msr = msr, .value = value));
	return true;
}

bool mtrr_write_msr(struct percpu *cpu, u32 msr, u64 value)
{
	u64 *s = slot(cpu, msr), old;

	if (!s || !value_ok(msr, value))
		return false;
	if (*s == value)
		return true;
	old = *s;
	*s = value;
	/*
	 * While an operating system changes its MTRRs it keeps them off and the caches disabled, on every CPU in turn;
	 * EPT01 is touched once, by the first CPU that turns them on again with something new in them.
	 */
	if (!(cpu->mtrr.def_type & DEF_ENABLE) || !memcmp(&cpu->mtrr, &live, sizeof(live)))
		return true;
	if (change_types(cpu, msr, value))
		return true;
	*s = old;
	return false;
}
