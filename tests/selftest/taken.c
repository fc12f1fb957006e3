/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What L1 loses, devices lose: pages of a partition and of a hypapp, taken by mem/partition.c and the doors of
 * mem/ept01.c, against a device that reads and writes where it is told. With the option iommu=off the same attacks must
 * succeed, or the test would show nothing. For a q35 machine with more than 2 GiB, so that it has RAM above 4 GiB.
 */
#include "edu.h"
#include "selftest.h"

#include "boot/boot_info.h"
#include "cpu/percpu.h"
#include "iommu/domain.h"
#include "iommu/iommu.h"
#include "iommu/vtd.h"
#include "mem/ept01.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/partition.h"

#define MAX_PAGES 16
#define FIRST_GVA 0x400000ul
#define HYPAPP 1u /* its number in EPT01 */
#define INSIDE 0x5ec2e7200ul
#define FORGED 0xf026ed200ul

static const struct hypapp_descriptor owner = { .name = "selftest" };
static bool on;
static u64 pages[MAX_PAGES];
static u32 page_count;
static u64 partition; /* its handle */
static struct vtd_fault last;

static void remember(const struct vtd_fault *fault) { last = *fault; }

/* A page of L1's RAM, if the machine has it. */
static void add(u64 page)
{
	if (memory_map_is_ram(page, page + PAGE_SIZE) > 0)
		pages[page_count++] = page;
}

static void add_both_sides_of(u64 boundary)
{
	add(boundary - PAGE_SIZE);
	add(boundary);
}

static void choose_pages(void)
{
	add(root_low - PAGE_SIZE);
	add(0x100000);
	add_both_sides_of(32 * SIZE_2M);
	add_both_sides_of(SIZE_1G);
	add_both_sides_of(root_start);
	add(root_end);
	add(4 * SIZE_1G);
	add(memory_map_top() - PAGE_SIZE);
	check_that(page_count >= 9, "%u pages at boundaries", page_count);
}

/* One fault, of this page, or none. */
static void judge_fault(bool expected, u64 page, bool write)
{
	u32 count = iommu_report_faults(remember);

	check_that(count == expected && (!expected || (last.address == page && last.write == write)),
		   expected ? "which is a fault of 0x%lx" : "without a fault of 0x%lx", page);
}

/* Writes come first: QEMU reports no fault of a page that it remembers as read-only. */
static void devices_have(u64 rights, const char *what)
{
	bool writes = !on || (rights & DOMAIN_W), reads = !on || (rights & DOMAIN_R);
	u64 mailbox = 48 * SIZE_2M;

	(void)iommu_report_faults(NULL);
	edu_load(FORGED);
	for (u32 i = 0; i < page_count; i++) {
		edu_fill(pages[i], INSIDE);
		edu_puts(pages[i]);
		check_that(edu_holds(pages[i], writes ? FORGED : INSIDE), "%s: a device %s 0x%lx", what,
			   writes ? "writes" : "does not write", pages[i]);
		judge_fault(!writes, pages[i], true);
	}
	for (u32 i = 0; i < page_count; i++) {
		edu_fill(pages[i], INSIDE);
		edu_fill(mailbox, 0);
		edu_takes(pages[i]);
		edu_puts(mailbox);
		check_that(edu_holds(mailbox, INSIDE) == reads, "%s: a device %s 0x%lx", what,
			   reads ? "reads" : "does not read", pages[i]);
		judge_fault(!reads, pages[i], false);
	}
}

/* ---- Ways to take all the pages, and to give them back ---- */

static bool create(void)
{
	static const struct partition_home home = { .gpa1 = PARTITION_NO_HOME };
	struct partition_page wanted[MAX_PAGES];

	for (u32 i = 0; i < page_count; i++)
		wanted[i] = (struct partition_page){ (FIRST_GVA + i * PAGE_SIZE) | HYPAPI_RW, pages[i] };
	return partition_create(&owner, wanted, page_count, &home, &partition) == HYPAPI_OK;
}

static bool destroy(void)
{
	return partition_destroy(this_cpu(), partition_get(partition, &owner)) == HYPAPI_OK;
}

static bool restrict_to(u32 rights)
{
	for (u32 i = 0; i < page_count; i++)
		if (ept01_check_restrict(GPA1(pages[i]), HYPAPP) ||
		    ept01_restrict(GPA1(pages[i]), 1, rights, HYPAPP))
			return false;
	return true;
}

static bool to_readable(void) { return restrict_to(HYPAPI_R); }
static bool to_nothing(void) { return restrict_to(0); }
static bool to_all(void) { return restrict_to(HYPAPI_RWX); }

static bool let_devices(bool allowed)
{
	for (u32 i = 0; i < page_count; i++)
		if (ept01_check_restrict(GPA1(pages[i]), HYPAPP) ||
		    ept01_restrict_dma(GPA1(pages[i]), 1, allowed, HYPAPP))
			return false;
	return true;
}

static bool no_devices(void) { return let_devices(false); }
static bool devices_again(void) { return let_devices(true); }

/* What devices have left, and the same that a page loses while a transfer to it is under way. */
static const struct way {
	const char *name;
	bool (*take)(void), (*give)(void);
	u64 rights;
} ways[] = {
	{ "a partition's page", create, destroy, 0 },
	{ "a hypapp's page", to_nothing, to_all, 0 },
	{ "a page to be read", to_readable, to_all, DOMAIN_R },
	{ "a page without devices", no_devices, devices_again, 0 },
};

static void in_the_middle(const struct way *way)
{
	edu_load(FORGED);
	edu_puts(pages[0]);
	edu_fill(pages[0], INSIDE);
	edu_begins_to_put(pages[0]);
	check_that(way->take(), "%s: taken while a device begins to write it", way->name);
	edu_fill(pages[0], INSIDE + 1);
	edu_end();
	check_that(edu_holds(pages[0], on ? INSIDE + 1 : FORGED), "%s: nothing comes in afterwards", way->name);
	judge_fault(on, pages[0], true);
	check_that(way->give(), "%s: given back", way->name);
}

/* The unit remembers a translation of each page. */
static void warm(void)
{
	for (u32 i = 0; i < page_count; i++)
		edu_takes(pages[i]);
}

/* As core_main() does. The stop is never ended: the flush that it owes L1 is one that this CPU has not. */
static void start_core(void)
{
	struct percpu *cpu = this_cpu();

	on = iommu_start(false);
	mtrr_read(cpu);
	mtrr_publish(cpu);
	partition_init();
	ept01_init(partition_limit);
	ept01_map_all(memory_map_top());
	iommu_hide_registers();
	quiesce_online(&cpu->quiesce, cpu->index);
	(void)!quiesce_begin(&cpu->quiesce);
}

void selftest(void)
{
	if (!check_that(edu_find(), "there is an edu device"))
		return;
	start_core();
	choose_pages();
	devices_have(DOMAIN_RW, "L1's memory");
	for (u32 i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *way = &ways[i];

		warm();
		if (!check_that(way->take(), "%s: taken", way->name))
			continue;
		devices_have(way->rights, way->name);
		check_that(way->give(), "%s: given back", way->name);
		in_the_middle(way);
	}
	devices_have(DOMAIN_RW, "what was given back");
}
