/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See root_map.h. The direct map uses 1 GiB pages where the CPU has them, and smaller ones around the image's text and
 * read-only data, whose alias there is read-only as well. Built while the boot tables are live; the direct map of those
 * reaches the first 4 GiB, where all pages of the pool are.
 */
#include "mem/root_map.h"

#include "cpu/paging.h"
#include "cpu/percpu.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "report/log.h"

#define PTE_UC (PTE_PCD | PTE_PWT) /* PAT entry 3, uncached after reset and in our IA32_PAT */

#define STACKS_VIRTUAL 0xffffffffb0000000ul
#define DEVICE_VIRTUAL 0xffffffffc0000000ul
#define WINDOWS_VIRTUAL 0xffffff0000000000ul

extern const char text_start[], text_end[], rodata_end[], image_end[], boot_stack_guard[];

/* Each CPU has SLOT_PAGES of addresses: of every stack its guard page, not mapped, then its pages. */
#define SLOT_PAGES 16
static const struct { u8 guard, pages; const char *name; } stacks[ROOT_STACKS] = {
	[ROOT_STACK_MAIN] = { 0, 4, "main stack" },
	[ROOT_STACK_NMI] = { 5, 1, "NMI stack" },
	[ROOT_STACK_FAULT] = { 7, 2, "stack for exceptions" },
};

static u64 *pml4, *low_pml4;
static u64 text_hpa, text_end_hpa, rodata_end_hpa; /* the image's, where it is now */
static u64 device_next = DEVICE_VIRTUAL;

static u64 *next_table(u64 *entry)
{
	if (!(*entry & PTE_P))
		*entry = virt_to_phys(pages_boot_alloc(1)).addr | PTE_P | PTE_W;
	return phys_to_virt(HPA(*entry & PTE_ADDR));
}

/* level: 1 for 4 KiB, 2 for 2 MiB, 3 for 1 GiB */
static void map_in(u64 *table, u64 virtual, u64 physical, unsigned int level, u64 flags)
{
	for (unsigned int l = 4; l > level; l--)
		table = next_table(&table[virtual >> LEVEL_SHIFT(l) & 511]);
	table[virtual >> LEVEL_SHIFT(level) & 511] = physical | flags | PTE_P | (level > 1 ? PTE_LARGE : 0);
}

static void map(u64 virtual, u64 physical, unsigned int level, u64 flags)
{
	map_in(pml4, virtual, physical, level, flags);
}

static void map_image(u64 image)
{
	/* The .boot pages come first in the image and are not used after the move: they stay unmapped. */
	for (u64 v = (u64)text_start; v < (u64)image_end; v += PAGE_SIZE) {
		u64 flags = v < (u64)text_end ? 0 : v < (u64)rodata_end ? PTE_NX : PTE_NX | PTE_W;

		if (v != (u64)boot_stack_guard)
			map(v, image + (v - IMAGE_VIRTUAL), 1, flags);
	}
}

/* The largest page from `at` on that is read-only throughout, or not at all. */
static unsigned int direct_level(u64 at, unsigned int level)
{
	for (; level > 1; level--) {
		u64 end = at + LEVEL_SIZE(level);
		bool outside = end <= text_hpa || at >= rodata_end_hpa;
		bool inside = at >= text_hpa && end <= rodata_end_hpa;

		if (!(at & (LEVEL_SIZE(level) - 1)) && (outside || inside))
			break;
	}
	return level;
}

static void map_direct(u64 top)
{
	unsigned int largest = cpuid(0x80000001, 0).edx & BIT(26) ? 3 : 2, level;

	for (u64 at = 0; at < MAX(top, 1ul << 32); at += LEVEL_SIZE(level)) {
		level = direct_level(at, largest);
		map(DIRECT_MAP + at, at, level, PTE_NX | (at >= text_hpa && at < rodata_end_hpa ? 0 : PTE_W));
	}
	direct_map_end = MAX(top, 1ul << 32);
}

u64 root_map_build(hpa_t image, u64 top)
{
	pml4 = pages_boot_alloc(1);
	text_hpa = image.addr + ((u64)text_start - IMAGE_VIRTUAL);
	text_end_hpa = image.addr + ((u64)text_end - IMAGE_VIRTUAL);
	rodata_end_hpa = image.addr + ((u64)rodata_end - IMAGE_VIRTUAL);
	map_image(image.addr);
	map_direct(top);
	map(DEVICE_VIRTUAL, 0, 1, 0); /* makes the tables; the entry itself is replaced */
	return root_map_cr3();
}

u64 root_map_cr3(void)
{
	return virt_to_phys(pml4).addr;
}

u64 root_map_low_cr3(u64 bytes)
{
	low_pml4 = memcpy(pages_boot_alloc(1), pml4, PAGE_SIZE);
	for (u64 at = 0; at < bytes; at += SIZE_2M)
		map_in(low_pml4, at, at, 2, PTE_W);
	return virt_to_phys(low_pml4).addr;
}

void root_map_low_done(void)
{
	low_pml4[0] = 0;
}

static u64 stack_bottom(u32 cpu_index, enum root_stack stack)
{
	return STACKS_VIRTUAL + (cpu_index * SLOT_PAGES + stacks[stack].guard + 1) * PAGE_SIZE;
}

u64 root_map_stack(u32 cpu_index, enum root_stack stack)
{
	u64 at = stack_bottom(cpu_index, stack);

	for (unsigned int page = 0; page < stacks[stack].pages; page++, at += PAGE_SIZE)
		map(at, virt_to_phys(pages_boot_alloc(1)).addr, 1, PTE_NX | PTE_W);
	return at;
}

u64 root_map_stack_bytes(enum root_stack stack)
{
	return stacks[stack].pages * PAGE_SIZE;
}

void root_map_wipe_stack(u32 cpu_index, enum root_stack stack)
{
	memset((void *)stack_bottom(cpu_index, stack), 0, root_map_stack_bytes(stack));
}

const char *root_map_guard(u64 address, u32 *cpu_index)
{
	u64 page = (address - STACKS_VIRTUAL) / PAGE_SIZE;

	*cpu_index = 0;
	if (ALIGN_DOWN(address, PAGE_SIZE) == (u64)boot_stack_guard)
		return "boot stack";
	*cpu_index = (u32)(page / SLOT_PAGES);
	if (address < STACKS_VIRTUAL || page / SLOT_PAGES >= MAX_CPUS)
		return NULL;
	for (unsigned int i = 0; i < ROOT_STACKS; i++)
		if (page % SLOT_PAGES == stacks[i].guard)
			return stacks[i].name;
	return NULL;
}

void *root_map_uncached(hpa_t page)
{
	u64 at = device_next;

	map(at, page.addr, 1, PTE_NX | PTE_W | PTE_UC);
	asm volatile("invlpg (%0)" : : "r"(at) : "memory");
	device_next += PAGE_SIZE;
	return (void *)at;
}

/* ---- Windows ---- */

/* A table of 1 GiB pages' size, and below it one for each window. In the image, and so where it is. */
static u64 window_tables[1 + ROOT_WINDOWS][512] __attribute__((aligned(PAGE_SIZE)));

/* By the tables that the CPU is on. */
static u64 physical_of(const void *at)
{
	u64 entry = read_cr3(), size = LEVEL_SIZE(5);

	for (unsigned int level = 4; level && !(level < 4 && (entry & PTE_LARGE)); level--) {
		const u64 *table = phys_to_virt(HPA(entry & PTE_ADDR));

		size = LEVEL_SIZE(level);
		entry = table[(u64)at / size & 511];
	}
	return (entry & PTE_ADDR & ~(size - 1)) | ((u64)at & (size - 1));
}

void root_map_windows(void)
{
	u64 *top = phys_to_virt(HPA(read_cr3() & PTE_ADDR));

	for (unsigned int i = 0; i < ROOT_WINDOWS; i++)
		window_tables[0][i] = physical_of(window_tables[1 + i]) | PTE_P | PTE_W;
	top[WINDOWS_VIRTUAL >> 39 & 511] = physical_of(window_tables[0]) | PTE_P | PTE_W;
	write_cr3(read_cr3());
}

void *root_map_window(enum root_window window, u64 physical, u64 bytes)
{
	u64 *table = window_tables[1 + window], offset = physical % SIZE_2M, first = physical - offset;

	for (u64 i = 0; i * SIZE_2M < offset + bytes; i++)
		table[i] = (first + i * SIZE_2M) | PTE_P | PTE_W | PTE_NX | PTE_LARGE | PTE_UC;
	root_map_windows();
	return (void *)(WINDOWS_VIRTUAL + window * ROOT_WINDOW_BYTES + offset);
}

void root_map_window_close(enum root_window window)
{
	memset(window_tables[1 + window], 0, PAGE_SIZE);
	write_cr3(read_cr3());
}

static void audit_leaf(u64 virtual, u64 entry, unsigned int level)
{
	u64 hpa = entry & PTE_ADDR & ~(LEVEL_SIZE(level) - 1), end = hpa + LEVEL_SIZE(level);

	if (!(entry & PTE_NX) && (hpa < text_hpa || end > text_end_hpa))
		panic("audit: root may execute %lx at %lx, which is not its text", hpa, virtual);
	if ((entry & PTE_W) && hpa < rodata_end_hpa && end > text_hpa)
		panic("audit: root may write its text or read-only data at %lx", virtual);
	if (root_map_guard(virtual, &(u32){ 0 }))
		panic("audit: the page under a root stack is mapped, at %lx", virtual);
}

static u32 audit_table(const u64 *table, unsigned int level, u64 base)
{
	u32 leaves = 0;

	for (unsigned int i = 0; i < 512; i++) {
		u64 at = base + i * LEVEL_SIZE(level);

		if (!(table[i] & PTE_P))
			continue;
		if (level > 1 && !(table[i] & PTE_LARGE)) {
			leaves += audit_table(phys_to_virt(HPA(table[i] & PTE_ADDR)), level - 1, at);
		} else {
			audit_leaf(at, table[i], level);
			leaves++;
		}
	}
	return leaves;
}

void root_map_audit(void)
{
	u32 leaves = 0;

	if (read_cr3() != root_map_cr3() || (low_pml4 && low_pml4[0]))
		panic("audit: root runs on other tables than its own");
	for (u64 i = 0; i < 512; i++)
		if (pml4[i] & PTE_P)
			leaves += audit_table(phys_to_virt(HPA(pml4[i] & PTE_ADDR)), 3,
					      (i << 39) | (i >= 256 ? ~0ul << 48 : 0));
	log_info("audit: root's tables, %u leaves: only text executes, and no alias of it is writable", leaves);
}
