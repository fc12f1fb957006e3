/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=vmx-diff interfere=1: the second CPU of L1 changes what a hypervisor below reads while the first tells its
 * stories: entries of EPT12, without INVEPT or with one of its own, tables and code of L2, bitmaps, the list of MSRs
 * of an entry, the virtual-APIC page, the page of the link pointer, the list of EPTPs, the bitmaps of VMREAD and
 * VMWRITE and the shadow VMCS, in its bytes and as an active VMCS of both CPUs. No hash means anything then: a core
 * that audits itself must neither lose a page nor panic, and L1 goes on. Left alone is what would end L1 or let L2
 * reach devices: lists of exits, bits of the bitmaps that were 1, and of EPTPs all that lead to no table of L1's or the
 * core's.
 */
#include "diff.h"

static volatile bool is_running;
static u64 state = 88172645463325252ull;	/* numbers of this CPU's own: the seeds' are the first one's */

static u64 next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Memory that L1 has not, if the map tells of any below the devices: the core's is among it. */
static u64 not_ours(void)
{
	for (u32 i = 0; i < e820_count; i++)
		if (e820_map[i].type != 1 && e820_map[i].addr >= 0x100000 && e820_map[i].addr < 0xfc000000)
			return e820_map[i].addr + next() % (e820_map[i].size / PAGE_SIZE + 1) * PAGE_SIZE;
	return 0;
}

static void change_ept(void)
{
	struct world *w = &diff_world;
	void *const pages[] = { w->code, w->stack, w->idt64, w->pd, w->play, w->play + PAGE_SIZE,
				w->play + 2 * PAGE_SIZE, w->play + 5 * PAGE_SIZE };
	u64 gpa = (u64)pages[next() % ARRAY_SIZE(pages)];
	u64 hpa = next() & 1 ? gpa : next() & 1 ? not_ours() : (u64)w->play + 3 * PAGE_SIZE;

	u64 entry = next() % 4 ? hpa | (next() & 0x307) | EPT_WB : (next() & ~0xfffull) | EPT_RWX;

	*ept_entry(&w->ept, gpa, EPT_4K) = entry;
}

static void change_page(void)
{
	struct world *w = &diff_world;
	u64 *const pages[] = { w->idt64, w->idt32, w->pml4, w->pdpt, w->pd, w->pae, (u64 *)w->code, (u64 *)w->stack,
			       (u64 *)w->zeros, (u64 *)w->virtual_apic, (u64 *)w->play };

	pages[next() % ARRAY_SIZE(pages)][next() % 512] ^= BIT(next() % 64);
}

static void change_bitmap(void)
{
	struct world *w = &diff_world;
	u8 *page = next() & 1 ? w->safe_msrs : w->safe_ports, *at = page + next() % PAGE_SIZE, old = *at;

	*(volatile u8 *)at = 0xff;
	for (u32 i = 0; i < 50; i++)
		pause();
	*(volatile u8 *)at = old;
}

static void change_list(void)
{
	struct msr_entry *entry = &diff_world.lists[next() % 8];

	if (next() & 1)
		entry->value = next();
	else
		entry->reserved = next() & 1;
}

static void change_eptps(void)
{
	const u64 eptps[] = { diff_world.ept.eptp, diff_world.other.eptp, not_ours() | EPTP_WB_4_LEVELS, next() };
	u64 *list = diff_list(), eptp = eptps[next() % ARRAY_SIZE(eptps)];

	if (list)
		list[next() % 8] = eptp | (next() & 1 ? EPTP_AD : 0) | (next() % 4 ? 0 : BIT(63));
}

/* A bit of the shadow VMCS may make it one that VMPTRLD refuses, for some moments. */
static void change_shadow(void)
{
	u64 *page = diff_shadow_page((u32)(next() % 3)), which = next() % 512, bit = BIT(next() % 64);

	if (!page)
		return;
	page[which] ^= bit;
	for (u32 i = 0; i < 50; i++)
		pause();
	page[which] ^= bit;
}

/* What is written here and what the other CPU writes meet in one region, whole, when either lets go of it. */
static void use_shadow(void)
{
	static const u16 some[] = { VMCS_GUEST_RIP, VMCS_GUEST_CR3, VMCS_GUEST_ES_SEL, VMCS_GUEST_TR_RIGHTS, VMCS_EPTP,
				    VMCS_LINK_POINTER, VMCS_EXIT_REASON, VMCS_PIN_CONTROLS, VMCS_HOST_FS_BASE };
	u64 shadow = (u64)diff_shadow_page(2), value;

	if (!shadow || try_vmptrld(&shadow) != VMX_OK)
		return;
	for (u64 i = next() % 12; i; i--)
		if (next() & 1)
			try_vmwrite(some[next() % ARRAY_SIZE(some)], next());
		else
			try_vmread(some[next() % ARRAY_SIZE(some)], &value);
	if (next() % 4)
		try_vmclear(&shadow);
}

static void disturb(void *unused)
{
	static void (*const changes[])(void) = { change_ept, change_ept, change_page, change_bitmap, change_list,
						 change_eptps, change_shadow, use_shadow };
	struct inv_descriptor everything = { 0, 0 };

	(void)unused;
	hv_on();
	while (is_running) {
		changes[next() % ARRAY_SIZE(changes)]();
		if (!(next() % 16))
			try_invept(2, &everything);
		if (!(next() % 16))
			try_invvpid(2, &everything);
	}
	hv_off();
}

void diff_interfere(bool on)
{
	is_running = on;
	if (on)
		smp_run(1, disturb, NULL);
	else
		smp_wait(1);
}
