/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What L2 can reach in differential fuzzing: a dozen pages, mapped by EPT12 one by one, so that whatever L2 executes,
 * it finds the same bytes on both machines and harms nobody. Its interrupt tables lead to one VMCALL a vector.
 */
#include "diff.h"

struct world diff_world;

extern const u8 page_pml4[];

const u32 diff_msrs[] = { 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103, 0x174, 0x175, 0x176,
	0 };

#define GATE_BYTES 16u		/* of code behind each gate */

static void fill_tables(struct world *w)
{
	w->pml4[0] = (u64)w->pdpt | 7;
	w->pdpt[0] = (u64)w->pd | 7;
	w->pae[0] = (u64)w->pd | 1;
	for (u64 i = 0; i < 512; i++)
		w->pd[i] = i << 21 | 0x87;
}

/* movl $trap + vector, %eax; vmcall. In 16-bit code the prefix makes it 32 bits; elsewhere it would make it 16. */
static void write_stub(u8 *at, u32 vector, bool is_16_bit)
{
	static const u8 vmcall[] = { 0x0f, 0x01, 0xc1 };
	u32 value = DIFF_TRAP + vector;

	if (is_16_bit)
		*at++ = 0x66;
	*at++ = 0xb8;
	copy_bytes(at, &value, 4);
	copy_bytes(at + 4, vmcall, sizeof(vmcall));
}

/* Stubs of the first 128 vectors: 64- and 32-bit code shares a page, real mode has another. Vectors above share one. */
static void fill_gates(struct world *w)
{
	u8 *stubs = w->code + 0x800;

	for (u32 vector = 0; vector < 256; vector++) {
		u64 at = (u64)stubs + (vector & 127) * GATE_BYTES, dpl3 = vector & 1 ? 0x60 : 0;

		w->idt64[vector * 2] = (at & 0xffff) | SEL_CODE64 << 16 | (0x8eull | dpl3) << 40 | (at >> 16) << 48;
		w->idt64[vector * 2 + 1] = 0;
		w->idt32[vector] = (at & 0xffff) | SEL_CODE32 << 16 | (0x8eull | dpl3) << 40 | (at >> 16) << 48;
		((u32 *)w->ivt)[vector] = 0x9800u + (vector & 127) * GATE_BYTES;
	}
}

static void write_stubs(struct world *w, bool is_16_bit)
{
	for (u32 vector = 0; vector < 128; vector++)
		write_stub(w->code + 0x800 + vector * GATE_BYTES, vector, is_16_bit);
}

static void fill_bitmaps(struct world *w)
{
	set_bytes(w->ones, 0xff, PAGE_SIZE);
	set_bytes(w->safe_msrs, 0xff, PAGE_SIZE);
	set_bytes(w->safe_ports, 0xff, PAGE_SIZE);
	for (const u32 *msr = diff_msrs; *msr; msr++)
		for (u32 write = 0; write < 2; write++)
			w->safe_msrs[(*msr & 0x1fff) / 8 + (*msr >> 31) * 0x400 + write * 0x800] &= (u8)~BIT(*msr & 7);
	w->safe_ports[0x80 / 8] &= 0xf0;	/* 0x80 to 0x83: no device looks */
}

static void make(struct world *w)
{
	u8 **const bytes[] = { &w->code, &w->ivt, &w->stack, &w->ones, &w->safe_msrs, &w->safe_ports, &w->zeros,
			       &w->virtual_apic };
	u64 **const words[] = { &w->idt64, &w->idt32, &w->pml4, &w->pdpt, &w->pd, &w->pae };

	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++)
		*bytes[i] = page_alloc();
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		*words[i] = page_alloc();
	w->play = page_alloc_many(PLAY_PAGES, PAGE_SIZE);
	w->lists = page_alloc();
	ept_init(&w->ept);
	w->v.ept = &w->ept;
	fill_gates(w);
	fill_bitmaps(w);
}

/*
 * Flags that are set stay: to clear them would ask for an INVEPT. So does a page that led elsewhere; one that has more
 * rights now does not. True: the INVEPT is owed.
 */
static bool map(struct ept12 *ept, u64 gpa, const void *page)
{
	const u64 flags = EPT_ACCESSED | EPT_DIRTY;
	u64 *entry = ept_entry(ept, gpa, EPT_4K), mapped = (u64)page | EPT_RWX | EPT_WB | (*entry & flags);

	u64 changed = *entry ^ mapped;
	bool had_rights = *entry & EPT_RWX;

	if (changed)
		*entry = mapped;
	return had_rights && (changed & ~(u64)EPT_RWX);
}

bool diff_map_all(struct ept12 *ept)
{
	struct world *w = &diff_world;
	void *const pages[] = { w->code, w->stack, w->idt64, w->idt32, w->pml4, w->pdpt, w->pd, w->pae };

	bool flush = false;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		flush |= map(ept, (u64)pages[i], pages[i]);
	for (u64 i = 0; i < PLAY_PAGES; i++)
		flush |= map(ept, (u64)w->play + i * PAGE_SIZE, w->play + i * PAGE_SIZE);
	/* struct cpu: GDT and TSS; its end may lie on a second page. */
	flush |= map(ept, (u64)w->v.cpu & ~(PAGE_SIZE - 1), (void *)((u64)w->v.cpu & ~(PAGE_SIZE - 1)));
	flush |= map(ept, 0, w->ivt);
	flush |= map(ept, LOW_CODE, w->code);
	flush |= map(ept, LOW_STACK - PAGE_SIZE, w->stack);
	return flush;
}

struct ept12 *diff_ept(void)
{
	struct world *w = &diff_world;

	return w->other.root && (vmread(VMCS_EPTP) & EPT_ADDRESS) == (u64)w->other.root ? &w->other : &w->ept;
}

void diff_mend_ept(void)
{
	struct ept12 *ept = diff_ept();

	if (diff_map_all(ept))
		ept_flush(ept);
}

static void clear_flags(u64 *table, int level)
{
	for (u32 i = 0; i < 512; i++) {
		if (level > EPT_4K && (table[i] & EPT_RWX))
			clear_flags((u64 *)(table[i] & EPT_ADDRESS), level - 1);
		table[i] &= ~(u64)(EPT_ACCESSED | EPT_DIRTY);
	}
}

void diff_clear_flags(struct ept12 *ept)
{
	clear_flags(ept->root, 4);
}

/* Every way in which an entry can be less than all. */
void diff_edit_entry(u64 gpa, u64 choice, u64 target)
{
	static const u64 entries[] = { 0, EPT_R, EPT_R | EPT_W, EPT_X, EPT_R | EPT_X, EPT_W, EPT_W | EPT_X, EPT_RWX |
		2 << 3,
				       EPT_RWX | 7 << 3, EPT_RWX | BIT(51), EPT_RWX | EPT_LARGE, EPT_RWX, EPT_RWX |
					EPT_IGNORE_PAT,
				       EPT_RWX | BIT(52), EPT_RWX | BIT(63), EPT_RWX | EPT_ACCESSED, EPT_R | EPT_X |
					EPT_DIRTY };
	u64 bits = entries[choice % ARRAY_SIZE(entries)];
	u64 hpa = target % 4 ? gpa : (u64)diff_world.play + 3 * PAGE_SIZE;

	*ept_entry(diff_ept(), gpa, EPT_4K) = bits ? hpa | (bits & 0x38 ? bits : bits | EPT_WB) : 0;
}

void diff_edit_ept(void)
{
	struct world *w = &diff_world;
	void *const targets[] = { w->code, w->stack, w->idt64, w->idt32, w->pd, w->play, w->play + PAGE_SIZE,
				  w->play + 2 * PAGE_SIZE };
	u64 gpa = (u64)targets[diff_below(ARRAY_SIZE(targets))], bits = diff_random(), target = diff_random();

	diff_edit_entry(gpa, bits, target);
}

/* ---- modes ---- */

struct segments { u32 cs, data; u16 cs_sel, data_sel; };

static void set_segments(const struct segments *s)
{
	for (u32 i = 0; i < 6; i++) {
		bool is_code = i == 1;
		u16 sel = is_code ? s->cs_sel : s->data_sel;

		vmwrite(VMCS_GUEST_ES_SEL + 2 * i, sel);
		vmwrite(VMCS_GUEST_ES_RIGHTS + 2 * i, is_code ? s->cs : s->data);
	}
}

static void as_compat(void)
{
	vmwrite(VMCS_GUEST_CS_SEL, SEL_CODE32);
	vmwrite(VMCS_GUEST_CS_RIGHTS, 0xc09b);
}

static void as_pae(void)
{
	struct world *w = &diff_world;

	hv_set(VMCS_GUEST_CR0, CR0_PG | CR0_WP);
	hv_set(VMCS_CR0_SHADOW, CR0_PG | CR0_WP);
	hv_set(VMCS_GUEST_CR4, CR4_PAE);
	vmwrite(VMCS_GUEST_CR3, (u64)w->pae);
	vmwrite(VMCS_GUEST_PDPTE0, w->pae[0]);
	for (u32 field = VMCS_GUEST_PDPTE1; field <= VMCS_GUEST_PDPTE3; field += 2)
		vmwrite(field, 0);
}

static void as_v86(void)
{
	static const struct segments low = { 0xf3, 0xf3, 0, 0 };

	set_segments(&low);
	for (u32 i = 0; i < 6; i++) {
		vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, 0xffff);
		vmwrite(VMCS_GUEST_ES_BASE + 2 * i, 0);
	}
	hv_set(VMCS_GUEST_RFLAGS, BIT(17) | 3 << 12);
}

static const struct { enum hv_mode base; void (*change)(void); } modes[MODES] = {
	[MODE_64] = { HV_LONG64, NULL },     [MODE_64_USER] = { HV_USER64, NULL },
	[MODE_COMPAT] = { HV_LONG64, as_compat }, [MODE_PAE] = { HV_PROTECTED32, as_pae },
	[MODE_32] = { HV_PROTECTED32, NULL },	  [MODE_V86] = { HV_PROTECTED32, as_v86 },
	[MODE_16] = { HV_REAL16, NULL },
};

static bool is_low(enum diff_mode mode)
{
	return mode == MODE_V86 || mode == MODE_16;
}

void diff_load_code(enum diff_mode mode)
{
	struct world *w = &diff_world;

	write_stubs(w, mode == MODE_16);
	diff_write_code(w->code, 0x600, mode <= MODE_64_USER);
	vmwrite(VMCS_GUEST_RIP, is_low(mode) ? LOW_CODE : (u64)w->code);
}

void diff_world_reset(enum diff_mode mode)
{
	struct world *w = &diff_world;

	if (!w->code)
		make(w);
	hv_init(&w->v, modes[mode].base, w->code);
	diff_mend_ept();
	fill_tables(w);
	ept_flush(&w->ept);
	set_bytes(w->stack, 0, PAGE_SIZE);
	set_bytes(w->virtual_apic, 0, PAGE_SIZE);
	set_bytes(w->lists, 0, PAGE_SIZE);
	for (u64 i = 0; i < PLAY_PAGES * PAGE_SIZE / 8; i += 8)
		((u64 *)w->play)[i] = i * 0x9e3779b97f4a7c15ull;
	if (modes[mode].base <= HV_USER64)
		vmwrite(VMCS_GUEST_CR3, (u64)w->pml4);
	if (modes[mode].change)
		modes[mode].change();
	vmwrite(VMCS_GUEST_IDTR_BASE, modes[mode].base <= HV_USER64 ? (u64)w->idt64 : is_low(mode) ? 0 : (u64)w->idt32);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, modes[mode].base <= HV_USER64 ? 0xfff : mode == MODE_16 ? 0x3ff : 0x7ff);
	if (mode == MODE_V86)
		vmwrite(VMCS_GUEST_IDTR_BASE, (u64)w->idt32);
	vmwrite(VMCS_GUEST_RSP, is_low(mode) ? LOW_STACK - 8 : (u64)w->stack + PAGE_SIZE - 8);
	vmwrite(VMCS_MSR_BITMAP, (u64)w->ones);
	vmwrite(VMCS_IO_BITMAP_A, (u64)w->safe_ports);
	vmwrite(VMCS_IO_BITMAP_B, (u64)w->ones);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, (u64)w->virtual_apic);
}
