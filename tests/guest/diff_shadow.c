/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Differential fuzzing of VMCS shadowing: L1's shadow VMCS, full of numbers, its bitmaps and link pointer, L2's VMREAD
 * and VMWRITE, and what stands in the shadow VMCS afterwards. Its numbers are apart from the story's.
 */
#include "diff.h"

enum { VMREAD_BITMAP = 0x2026, VMWRITE_BITMAP = 0x2028 };
#define SHADOW 0x80000000u	/* of the revision identifier */

#define FIELD_ENCODING(name, encoding) encoding,
/* Those that both machines have, which is all of the list but the first; the others are of features beside it. */
static const u16 fields[] = { VMCS_FIELDS(FIELD_ENCODING) 0x0004, PML_INDEX, 0x200c, 0x200e, 0x2018, 0x2024,
			      VMREAD_BITMAP, VMWRITE_BITMAP, 0x202a, 0x202c };

static u64 shadow;
static u8 *bitmaps[2];		/* VMREAD, VMWRITE */

bool diff_shadows(void)
{
	return (rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_SHADOW_VMCS) && !(diff_aside(5) % 3);
}

static bool is_hidden(u32 field)
{
	return field == VMCS_APIC_ACCESS_ADDR;
}

/* A field, its high half, or what names none: no CPU has an index of 64 or more, the bitmaps end before bit 15. */
static u64 some_encoding(void)
{
	u64 n = diff_apart(), field = fields[diff_apart() % ARRAY_SIZE(fields)];

	if (is_hidden((u32)field))
		field = VMCS_GUEST_RIP;
	switch (n % 16) {
	case 0: return (n >> 8 & 0x7c7f) | 0x80;
	case 1: return field | 1ull << (15 + (n >> 8) % 49);
	case 2: case 3: return field | 1;
	default: return field;
	}
}

/* movq $encoding, %rax; VMREAD or VMWRITE. In other modes than 64-bit the move is one of 32 bits. */
size_t diff_put_vmcs_access(u8 *at, bool is_64)
{
	static const u8 operands[] = { 0xc3, 0xc1, 0xc2, 0xc5, 0xc0, 0xc7, 0x07, 0x07, 0x06, 0x06, 0x03 };
	u64 encoding = some_encoding(), n = diff_apart();
	bool is_wide = is_64 && encoding >> 32;
	u8 *end = at;

	if (is_wide)
		*end++ = 0x48;
	*end++ = 0xb8;
	copy_bytes(end, &encoding, is_wide ? 8 : 4);
	end += is_wide ? 8 : 4;
	if (is_64 && !(n >> 16 & 7))
		*end++ = n >> 19 & 1 ? 0x41 : 0x48;	/* R8 and those behind it; no meaning */
	*end++ = 0x0f;
	*end++ = n >> 8 & 1 ? 0x79 : 0x78;
	*end++ = operands[n % ARRAY_SIZE(operands)];
	return (size_t)(end - at);
}

static void fill_bitmap(u8 *bitmap)
{
	u64 *words = (u64 *)bitmap, choice = diff_apart();

	set_bytes(bitmap, choice % 8 == 7 ? 0xff : 0, PAGE_SIZE);
	for (u32 i = 0; choice % 8 < 4 && i < PAGE_SIZE / 8; i++)
		words[i] = choice & 1 ? diff_apart() & diff_apart() & diff_apart() : diff_apart() & diff_apart();
}

static u64 some_page(u64 good)
{
	static const u64 wrong[] = { 8, 0x800, BIT(51), BIT(63) };
	u64 n = diff_apart();

	return good | (n % 16 ? 0 : wrong[n >> 4 & 3]);
}

static u64 some_link(void)
{
	switch (diff_apart() % 16) {
	case 0: case 1: return ~0ull;
	case 2: return (u64)diff_world.zeros;
	case 3: return diff_world.v.vmcs;
	case 4: return some_page(shadow);
	default: return shadow;
	}
}

/*
 * The shadow VMCS is current meanwhile. It may stay active, and then an entry finds it so. Who interferes may have made
 * it one that cannot be opened.
 */
static bool open_shadow(void)
{
	if (try_vmptrld(&shadow) == VMX_OK)
		return true;
	if (!option_number("interfere", 0))
		fail("VMPTRLD of a shadow VMCS");
	return false;
}

static void close_shadow(bool clear)
{
	if ((clear && try_vmclear(&shadow) != VMX_OK) || try_vmptrld(&diff_world.v.vmcs) != VMX_OK)
		fail("back from a shadow VMCS");
}

/* Each field, or now and then one of them, gets a number. */
static void write_shadow(u32 one_in)
{
	if (!open_shadow())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!is_hidden(fields[i]) && !(diff_apart() % one_in))
			try_vmwrite(fields[i], diff_apart());
	close_shadow(diff_apart() % 4);
}

/* Operands in memory lie where EPT12 is edited, once in a while across pages. */
static void aim(void)
{
	struct world *w = &diff_world;

	for (u32 reg = RSI; reg <= RDI; reg++) {
		u64 n = diff_apart(), page = n % 3, offset = n & 0x700 ? n >> 12 & 0xff8 : 0xffd;

		w->v.regs[reg] = (u64)w->play + page * PAGE_SIZE + offset;
		if (!(n >> 32 & 3))
			diff_edit_entry((u64)w->play + page * PAGE_SIZE, n >> 40, n >> 48);
	}
	ept_flush(&w->ept);
}

void diff_vary_shadow(void)
{
	if (!diff_shadows())
		return;
	if (!shadow) {
		shadow = hv_vmcs_alloc();
		*(u32 *)shadow |= SHADOW;
		bitmaps[0] = page_alloc();
		bitmaps[1] = page_alloc();
	}
	try_vmclear(&shadow);
	write_shadow(1);
	fill_bitmap(bitmaps[0]);
	fill_bitmap(bitmaps[1]);
	if (diff_apart() % 8)
		hv_set(VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS);
	vmwrite(VMREAD_BITMAP, some_page((u64)bitmaps[0]));
	vmwrite(VMWRITE_BITMAP, some_page((u64)bitmaps[1]));
	vmwrite(VMCS_LINK_POINTER, some_link());
	vmwrite(VMCS_INSN_ERROR, 0);
	aim();
}

void diff_change_shadow(void)
{
	if (!diff_shadows())
		return;
	switch (diff_apart() % 16) {
	case 0: vmwrite(VMCS_CPU_CONTROLS2, vmread(VMCS_CPU_CONTROLS2) ^ CPU2_SHADOW_VMCS); break;
	case 1: vmwrite(VMCS_LINK_POINTER, some_link()); break;
	case 2: fill_bitmap(bitmaps[diff_apart() % 2]); break;
	case 3: case 4: write_shadow(8); break;
	case 5: close_shadow(true); break;
	}
}

void diff_note_shadow(void (*note)(const char *what, u64 value))
{
	if (!diff_shadows())
		return;
	note("error of L2's", vmread(VMCS_INSN_ERROR));
	if (!open_shadow())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!is_hidden(fields[i])) {
			note("shadow's field", fields[i]);
			note("is", vmread(fields[i]));
		}
	close_shadow(true);
}

void *diff_shadow_page(u32 which)
{
	return which < 2 ? bitmaps[which] : (void *)shadow;
}
