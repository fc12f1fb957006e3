/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA protection of the core itself against a device. First without the IOMMU, and on tables of a firmware, where the
 * attack succeeds; then on XMHF's. QEMU's IOMMU keeps translations until they are flushed, so a forgotten flush is
 * seen: the test forgets one itself.
 */
#include "edu.h"
#include "selftest.h"

#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "cpu/mmio.h"
#include "iommu/dmar.h"
#include "iommu/domain.h"
#include "iommu/iommu.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "mem/root_map.h"

/* L1's: two neighbours in one 2 MiB page. */
#define PAGE_A 0x2000000ul
#define PAGE_B (PAGE_A + PAGE_SIZE)
#define SECRET 0x5ec2e7100ul
#define FORGED 0xf026ed100ul

static void blocked(u64 page, const char *what)
{
	iommu_report_faults(NULL);
	check_that(!edu_writes(page), "a device cannot write %s (0x%lx)", what, page);
	check_that(iommu_report_faults(NULL) == 1, "and that is a fault");
}

static void blocked_both_ways(u64 page, const char *what)
{
	blocked(page, what);
	check_that(!edu_reads(page), "nor read it");
	check_that(iommu_report_faults(NULL) == 1, "and that is a fault");
}

static void allowed(u64 page, const char *what)
{
	check_that(edu_reads(page) && edu_writes(page), "a device reads and writes %s (0x%lx)", what, page);
	check_that(!iommu_report_faults(NULL), "without a fault");
}

/* One transfer that begins in L1's memory and goes on into root's. */
static void over_the_boundary(void)
{
	u64 half = EDU_WORDS / 2 * sizeof(u64), first = root_start - half, *words = edu_words(first), saved[EDU_WORDS];

	memcpy(saved, words, sizeof(saved));
	edu_load(FORGED);
	edu_puts(first);
	check_that(words[0] == FORGED && words[EDU_WORDS / 2 - 1] == FORGED + EDU_WORDS / 2 - 1,
		   "a transfer goes up to root memory");
	check_that(!memcmp(words + EDU_WORDS / 2, saved + EDU_WORDS / 2, half), "and ends there");
	check_that(iommu_report_faults(NULL) == 1, "and that is a fault");
	memcpy(words, saved, half);
}

static void root_is_out_of_reach(u64 secret)
{
	blocked_both_ways(secret, "a page of the core's pool");
	blocked(root_start, "the first page of root memory");
	blocked(root_end - PAGE_SIZE, "the last page of root memory");
	blocked(root_low, "root's first page below 1 MiB");
	blocked(root_low + ROOT_LOW_BYTES - PAGE_SIZE, "root's last page there");
	over_the_boundary();
	allowed(root_start - PAGE_SIZE, "the page below root memory");
	if (memory_map_is_ram(root_end, root_end + PAGE_SIZE) > 0)
		allowed(root_end, "the page above root memory");
}

static void a_page_is_taken(void)
{
	allowed(PAGE_A, "a page of L1");
	check_that(iommu_set(PAGE_A, PAGE_B, 0), "the page is taken");
	check_that(edu_writes(PAGE_A), "a flush that is forgotten shows: the device still writes it");
	check_that(iommu_flush(), "the units are flushed");
	blocked_both_ways(PAGE_A, "the page");
	allowed(PAGE_B, "its neighbour");

	check_that(iommu_set(PAGE_A, PAGE_B, DOMAIN_R) && iommu_flush(), "the page may be read");
	check_that(edu_reads(PAGE_A) && !iommu_report_faults(NULL), "a device reads it");
	check_that(iommu_flush() && !edu_writes(PAGE_A), "and does not write it");
	iommu_report_faults(NULL);

	check_that(iommu_set(PAGE_A, PAGE_B, DOMAIN_RW) && iommu_flush(), "the page is given back");
	allowed(PAGE_A, "the page");
}

/* The transfer is under way when the page goes. */
static void taken_in_the_middle(void)
{
	edu_load(FORGED);
	edu_puts(PAGE_A);
	edu_fill(PAGE_A, SECRET);
	edu_begins_to_put(PAGE_A);
	check_that(iommu_set(PAGE_A, PAGE_B, 0) && iommu_flush(), "a page is taken while a device begins to write it");
	edu_end();
	check_that(edu_holds(PAGE_A, SECRET), "nothing comes in after the flush");
	check_that(iommu_report_faults(NULL) == 1, "and that is a fault");
	check_that(iommu_set(PAGE_A, PAGE_B, DOMAIN_RW) && iommu_flush(), "the page is given back");
}

/* More than a queue has room for. */
static void many_flushes(void)
{
	size_t pool = pages_left();
	bool good = true;

	for (u32 i = 0; i < 1000 && good; i++)
		good = iommu_set(PAGE_A, PAGE_B, i & DOMAIN_RW) && iommu_flush();
	check_that(good, "a thousand changes, each with its flush");
	check_that(pages_left() + 2 >= pool, "that cost the pool no more than one does");
	check_that(iommu_set(PAGE_A, PAGE_B, 0) && iommu_flush(), "the last of them takes the page");
	blocked(PAGE_A, "the page");
}

/* A firmware that has the unit on: everything passes, and its queue is on. By its own means, not by the driver's. */
static void be_the_firmware(void)
{
	enum { CAP = 0x08, GCMD = 0x18, RTADDR = 0x20, IQT = 0x88, IQA = 0x90, QUEUE = 1 << 26, ROOT = 1 << 30 };
	static struct dmar dmar;
	u64 *root = page_alloc(), *context = page_alloc(), *queue = page_alloc();
	volatile u8 *regs;

	if (!acpi_info.dmar || dmar_parse(&dmar, acpi_info.dmar, acpi_info.dmar_bytes))
		return;
	regs = root_map_uncached(HPA(dmar.units[0].base));
	root[0] = virt_to_phys(context).addr | 1;
	for (u32 i = 0; i < 256; i++) {
		context[2 * i] = 1 | 2 << 2; /* present, pass-through */
		context[2 * i + 1] = 7 << 8 | (mmio_read64(regs + CAP) & BIT(10) ? 2 : 1);
	}
	mmio_write64(regs + RTADDR, virt_to_phys(root).addr);
	mmio_write64(regs + IQA, virt_to_phys(queue).addr);
	mmio_write32(regs + GCMD, ROOT);
	mmio_write32(regs + GCMD, QUEUE);
	queue[0] = 5 | 1 << 5; /* a unit lets its queue be turned off after a wait only; its status goes to the queue's
	                          end */
	queue[1] = virt_to_phys(queue).addr + PAGE_SIZE - 8;
	mmio_write32(regs + IQT, 16);
	mmio_write32(regs + GCMD, QUEUE | 1u << 31);
}

void selftest(void)
{
	void *page = page_alloc();
	u64 secret = virt_to_phys(page).addr;

	if (!check_that(edu_find(), "there is an edu device"))
		return;
	check_that(!iommu_is_on() && edu_reads(secret) && edu_writes(secret),
		   "without it a device reads and writes root memory");
	be_the_firmware();
	check_that(edu_reads(secret) && edu_writes(secret), "and by a firmware's tables, too");
	if (!check_that(iommu_start(false) && iommu_is_on(), "the IOMMU starts"))
		return;
	root_is_out_of_reach(secret);
	a_page_is_taken();
	taken_in_the_middle();
	many_flushes();
}
