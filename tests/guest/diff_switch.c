/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Differential fuzzing of EPTP switching: a second EPT12 in which some pages are others, a list of EPTPs good and bad,
 * L2's VMFUNC. Its numbers are apart from the story's.
 */
#include "diff.h"

enum { EPTP_INDEX = 0x0004, VM_FUNCTIONS = 0x2018, EPTP_LIST = 0x2024 };

static u64 *list;

bool diff_switches(void)
{
	return (rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_VMFUNC) && !(diff_aside(6) % 4);
}

/* movl $function, %eax; movl $index, %ecx; vmfunc. In 16-bit code something else. */
size_t diff_put_vmfunc(u8 *at)
{
	static const u32 functions[] = { 1, 63, 64, ~0u }, indexes[] = { 511, 512, BIT(31), ~0u };
	u64 n = diff_apart();
	u32 function = n % 16 ? 0 : functions[n >> 4 & 3], index = n >> 8 & 7 ? n >> 16 & 7 : indexes[n >> 11 & 3];

	*at = 0xb8;
	copy_bytes(at + 1, &function, 4);
	at[5] = 0xb9;
	copy_bytes(at + 6, &index, 4);
	copy_bytes(at + 10, (const u8[]){ 0x0f, 0x01, 0xd4 }, 3);
	return 13;
}

static u64 some_eptp(void)
{
	static const u64 wrong[] = { 1, 2, 7, 8, 0x20, 0x80, 0x800, BIT(51), BIT(63) };
	u64 n = diff_apart(), eptp = n & 1 ? diff_world.ept.eptp : diff_world.other.eptp;

	if (!(n >> 1 & 3))
		eptp |= EPTP_AD;
	if (!(n >> 4 & 7))
		eptp ^= wrong[(n >> 8) % ARRAY_SIZE(wrong)];
	return n >> 16 & 15 ? eptp : diff_apart();
}

static void fill_list(void)
{
	for (u32 i = 0; i < 512; i++)
		list[i] = i < 8 || i == 511 ? some_eptp() : 0;
}

/* The second EPT12 of this story: of the pages to play with most are others. */
static void fill_other(void)
{
	struct world *w = &diff_world;
	u64 n = diff_apart();

	if (!w->other.root)
		ept_init(&w->other);
	diff_map_all(&w->other);
	diff_clear_flags(&w->other);
	for (u64 i = 0; i < PLAY_PAGES; i++)
		ept_map(&w->other, (u64)w->play + i * PAGE_SIZE,
			(u64)w->play + (i + (n >> i & 1)) % PLAY_PAGES * PAGE_SIZE, EPT_4K, EPT_RWX | EPT_WB);
	ept_flush(&w->other);
}

void diff_vary_switch(void)
{
	static const u64 wrong[] = { 8, 0x800, BIT(51), BIT(63) };
	u64 n = diff_apart();

	if (!diff_switches())
		return;
	if (!list)
		list = page_alloc();
	fill_other();
	fill_list();
	if (n & 7)
		hv_set(VMCS_CPU_CONTROLS2, CPU2_VMFUNC);
	vmwrite(VM_FUNCTIONS, n >> 3 & 7 ? 1 : n >> 6 & 3);
	vmwrite(EPTP_LIST, (u64)list | (n >> 8 & 15 ? 0 : wrong[n >> 12 & 3]));
	if (!(n >> 16 & 3))
		diff_edit_entry((u64)diff_world.play, n >> 32, n >> 40);
}

void diff_change_switch(void)
{
	u64 n = diff_apart();

	if (!diff_switches())
		return;
	switch (n % 8) {
	case 0: vmwrite(VMCS_CPU_CONTROLS2, vmread(VMCS_CPU_CONTROLS2) ^ CPU2_VMFUNC); break;
	case 1: list[n >> 8 & 7] = some_eptp(); break;
	case 2: vmwrite(VM_FUNCTIONS, n >> 8 & 1); break;
	}
}

void diff_note_switch(void (*note)(const char *what, u64 value))
{
	struct world *w = &diff_world;

	if (!diff_switches())
		return;
	note("EPTP", vmread(VMCS_EPTP));
	note("index of EPTP", vmread(EPTP_INDEX));
	for (u64 i = 0; i < PLAY_PAGES; i++) {
		note("EPT entry", *ept_entry(&w->ept, (u64)w->play + i * PAGE_SIZE, EPT_4K));
		note("other EPT's entry", *ept_entry(&w->other, (u64)w->play + i * PAGE_SIZE, EPT_4K));
	}
}

u64 *diff_list(void)
{
	return list;
}
