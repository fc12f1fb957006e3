/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See root_map.h. Text is executable and not writable, the rest never executable. The direct map uses 1 GiB pages where
 * the CPU has them. Built while the boot tables are live; the direct map of those reaches the first 4 GiB, where all
 * pages of the pool are.
 */
#include "mem/root_map.h"

#include "cpu/x86.h"
#include "mem/pages.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_UC (BIT(3) | BIT(4)) /* PCD and PWT: PAT entry 3, uncached after reset and in our IA32_PAT */
#define PTE_LARGE BIT(7)
#define PTE_NX BIT(63)
#define PTE_ADDR BITS(51, 12)

#define IMAGE_VIRTUAL 0xffffffff80000000ul
#define DEVICE_VIRTUAL 0xffffffffc0000000ul

extern const char text_start[], text_end[], rodata_end[], image_end[];

static u64 *pml4;
static u64 device_next = DEVICE_VIRTUAL;

static u64 *next_table(u64 *entry)
{
	if (!(*entry & PTE_P))
		*entry = virt_to_phys(pages_boot_alloc(1)).addr | PTE_P | PTE_W;
	return phys_to_virt(HPA(*entry & PTE_ADDR));
}

/* level: 1 for 4 KiB, 2 for 2 MiB, 3 for 1 GiB */
static void map(u64 virtual, u64 physical, unsigned int level, u64 flags)
{
	u64 *table = pml4;

	for (unsigned int l = 4; l > level; l--)
		table = next_table(&table[virtual >> (12 + 9 * (l - 1)) & 511]);
	table[virtual >> (12 + 9 * (level - 1)) & 511] = physical | flags | PTE_P | (level > 1 ? PTE_LARGE : 0);
}

static void map_image(u64 image)
{
	/* The .boot pages come first in the image and are not used after the move: they stay unmapped. */
	for (u64 v = (u64)text_start; v < (u64)image_end; v += PAGE_SIZE) {
		u64 flags = v < (u64)text_end ? 0 : v < (u64)rodata_end ? PTE_NX : PTE_NX | PTE_W;

		map(v, image + (v - IMAGE_VIRTUAL), 1, flags);
	}
}

static void map_direct(u64 top)
{
	bool huge = cpuid(0x80000001, 0).edx & BIT(26);
	u64 size = huge ? SIZE_1G : SIZE_2M;

	for (u64 at = 0; at < MAX(top, 1ul << 32); at += size)
		map(DIRECT_MAP + at, at, huge ? 3 : 2, PTE_NX | PTE_W);
	direct_map_end = MAX(top, 1ul << 32);
}

u64 root_map_build(hpa_t image, u64 top)
{
	pml4 = pages_boot_alloc(1);
	map_image(image.addr);
	map_direct(top);
	map(DEVICE_VIRTUAL, 0, 1, 0); /* makes the tables; the entry itself is replaced */
	return virt_to_phys(pml4).addr;
}

u64 root_map_trampoline_cr3(void)
{
	u64 *copy = pages_boot_alloc(1), *low = pages_boot_alloc(1);

	for (unsigned int i = 256; i < 512; i++)
		copy[i] = pml4[i];
	copy[0] = virt_to_phys(low).addr | PTE_P | PTE_W;
	/* The trampoline lies in the first 2 MiB. */
	u64 *pd = pages_boot_alloc(1);

	low[0] = virt_to_phys(pd).addr | PTE_P | PTE_W;
	pd[0] = PTE_P | PTE_W | PTE_LARGE;
	return virt_to_phys(copy).addr;
}

void *root_map_uncached(hpa_t page)
{
	u64 at = device_next;

	map(at, page.addr, 1, PTE_NX | PTE_W | PTE_UC);
	asm volatile("invlpg (%0)" : : "r"(at) : "memory");
	device_next += PAGE_SIZE;
	return (void *)at;
}
