/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF only: MSRs that must not be written, by L1, by an L2 whose hypervisor asks for no exit, and by a list of L1. The
 * emulated CPU has those of tests/run/danger.msrs as plain registers. test=msr-policy judges itself.
 */
#include "test.h"

enum answer { GP, DROP, KEEP };	/* KEEP: accepted, of what is written only `takes` is taken */

static const struct { u32 msr; enum answer answer; u64 value, takes; } writes[] = {
	{ 0x33, GP, BIT(29), 0 }, { 0x33, GP, BIT(28), 0 }, { 0x33, DROP, BIT(31), 0 },
	{ 0x140, GP, 1, 0 }, { 0x140, DROP, 0, 0 },
	{ 0x150, DROP, 0x8000001100000000, 0 }, { 0x199, KEEP, 0x1ff, 0xff00 },
	{ 0x3f1, DROP, 1, 0 }, { 0x3f4, GP, 0x1001, 0 }, { 0x560, GP, 0x1000, 0 }, { 0x5f0, DROP, 1, 0 },
	{ 0x600, DROP, 0x1000, 0 }, { 0x982, GP, 2, 0 }, { 0x17d0, GP, 0x1001, 0 }, { 0x17d1, GP, 1, 0 },
	{ 0x1fff, GP, 0, 0 }, { 0x2000, GP, 0, 0 }, { 0x4b564d00, GP, 0x1001, 0 }, { 0x4b564d02, GP, 0x1001, 0 },
	{ 0x40000000, GP, 1, 0 }, { 0x40000001, GP, 0x1001, 0 }, { 0xc0000fff, GP, 0, 0 }, { 0xc0010015, GP, 0, 0 },
	{ 0xda0, GP, BIT(8), 0 },
};

static u32 l2_msr, l2_vector;
static u64 l2_value;
static struct { u32 index, reserved; u64 value; } *list;

static void judge(const char *way, u32 msr, u64 value, bool is_good)
{
	if (!is_good)
		print("T FAIL %s: write of %x, %lx: BAD\n", way, msr, value);
}

static u32 by_l1(u32 msr, u64 value) { return try_wrmsr(msr, value); }

static void l2_writes(void)
{
	l2_vector = try_wrmsr(l2_msr, l2_value);
	l2_end();
}

static u32 by_l2(u32 msr, u64 value)
{
	l2_msr = msr;
	l2_value = value;
	l2_vector = ~0u;
	hv_init(&l2, HV_LONG64, l2_writes);
	hv_run(&l2);
	/* Beyond the bitmaps it is always L1's. */
	return l2.exit.reason == EXIT_WRMSR && (msr & ~0xc0001fffu || msr >> 30 == 1 || msr >> 30 == 2) ? VEC_GP
													: l2_vector;
}

static u32 by_list(u32 msr, u64 value)
{
	hv_init(&l2, HV_LONG64, l2_end);
	list->index = msr;
	list->value = value;
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, (u64)list);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
	hv_run(&l2);
	return l2.exit.reason == (EXIT_BAD_MSR_LOAD | EXIT_ENTRY_FAILED) ? VEC_GP :
	       l2.exit.reason == EXIT_VMCALL ? NO_FAULT : ~0u;
}

static void all_writes(const char *way, u32 (*write)(u32 msr, u64 value))
{
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		u32 msr = writes[i].msr;
		u64 before = 0, after = 0, want;
		bool readable = try_rdmsr(msr, &before) == NO_FAULT;
		u32 vector = write(msr, writes[i].value);

		want = (before & ~writes[i].takes) | (writes[i].value & writes[i].takes);
		judge(way, msr, writes[i].value, vector == (writes[i].answer == GP ? VEC_GP : NO_FAULT));
		judge(way, msr, writes[i].value,
		      readable == (try_rdmsr(msr, &after) == NO_FAULT) && (!readable || after == want));
		if (readable && after == writes[i].value && after != want)
			print("T FAIL %s: %lx got into %x\n", way, after, msr);
	}
	judge(way, 0x79, 0x100000, write(0x79, 0x100000) == (write == by_list ? VEC_GP : NO_FAULT));
	print("T %s: done\n", way);
}

static bool empty(struct cpuid r) { return !(r.eax | r.ebx | r.ecx | r.edx); }

/* How many levels of XMHF there are, by the registers that they have filled. */
static void leaves(void)
{
	const u32 x = 0x46484d58;
	struct cpuid r = cpuid(x, 0);
	u32 levels = r.edx == x ? 4 : r.ecx == x ? 3 : r.ebx == x ? 2 : r.eax == x;

	print("T levels of XMHF: %u\n", levels);
	if (!empty(cpuid(0x40000000, 0)) || !empty(cpuid(0x40000001, 0)) || !empty(cpuid(0x40000100, 0)))
		print("T FAIL leaves of a hypervisor below\n");
}

/* As on a bare CPU: the bit takes NX out of CPUID and makes EFER.NXE reserved. */
static void xd_disable(void)
{
	u64 old = rdmsr(0x1a0);

	judge("XD", 0x1a0, BIT(34), try_wrmsr(0x1a0, old | BIT(34)) == NO_FAULT && rdmsr(0x1a0) == (old | BIT(34)));
	judge("XD", MSR_EFER, EFER_NXE, !(cpuid(0x80000001, 0).edx & BIT(20)) &&
	      try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE) == VEC_GP);
	judge("XD", 0x1a0, old, try_wrmsr(0x1a0, old) == NO_FAULT && rdmsr(0x1a0) == old);
	judge("XD", MSR_EFER, EFER_NXE, (cpuid(0x80000001, 0).edx & BIT(20)) &&
	      try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE) == NO_FAULT);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_NXE);
}

DEFINE_TEST(msr_policy, "msr-policy", "XMHF only: writes of MSRs that would reach past the tables")
{
	if (!hv_supported())
		return;
	all_writes("L1", by_l1);
	hv_on();
	list = page_alloc();
	all_writes("L2", by_l2);
	all_writes("list", by_list);
	hv_off();
	leaves();
	xd_disable();
}

DEFINE_TEST(xmhf_levels, "xmhf-levels",
	    "XMHF only: how many levels of it there are, and the leaves of other hypervisors")
{
	leaves();
}
