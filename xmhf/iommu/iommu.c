/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See iommu.h. All units of all segments have the same tables: every bus has the same page of context entries, and
 * every entry leads to the one domain. The translation type is 0: what devices translate for themselves is blocked.
 */
#include "iommu/iommu.h"

#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "core/cmdline.h"
#include "cpu/clock.h"
#include "cpu/x86.h"
#include "iommu/dmar.h"
#include "iommu/domain.h"
#include "iommu/vtd.h"
#include "lib/string.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "mem/root_map.h"
#include "report/log.h"

#define TABLE_ENTRIES 256 /* of the root table and of a context table */
#define PRESENT BIT(0)
#define CONTEXT_WIDTH(levels) ((levels) - 2ul)
#define CONTEXT_DOMAIN(number) ((u64)(number) << 8)
#define BOOT_TABLES 128 /* half of the pool: units that have no large pages cannot hold much memory */
#define KEPT_TABLES 32
#define LOOK_MS 10
#define FAULTS_AT_ONCE 16

static struct dmar dmar;
static struct vtd_unit units[DMAR_MAX_UNITS];
static u32 unit_count; /* that are on */
static struct domain domain;
static bool silent; /* a unit has not answered to a flush */
static u64 next_look; /* for faults: a tick. By any CPU */
static bool looking;  /* one of them is at it */

/* Devices are not held back: false, after a line that says why. */
#define unprotected(...) ({ log_warn("no DMA protection: " __VA_ARGS__); false; })

static bool probe_units(void)
{
	for (u32 i = 0; i < dmar.unit_count; i++) {
		u64 base = dmar.units[i].base;
		const char *wrong = "its registers would be in RAM";

		if (!memory_map_is_ram(base, base + PAGE_SIZE) && !is_root_memory(base))
			wrong = vtd_probe(&units[i], root_map_uncached(HPA(base)), base, dmar.units[i].segment);
		if (wrong)
			return unprotected("the IOMMU at 0x%lx cannot be used, %s", base, wrong);
	}
	return true;
}

/* What all units can do. Four levels, where all have them: memory may lie above 512 GiB. */
static bool choose_tables(void)
{
	u32 levels = VTD_LEVELS;

	domain = (struct domain){ .largest = 3, .coherent = true, .most_tables = BOOT_TABLES };
	for (u32 i = 0; i < dmar.unit_count; i++) {
		levels &= units[i].levels;
		domain.largest = MIN(domain.largest, units[i].largest_leaf);
		domain.coherent &= units[i].is_coherent;
		domain.grants_flush |= units[i].grants_flush;
	}
	domain.levels = levels & BIT(4) ? 4 : 3;
	return levels || unprotected("the IOMMUs have no number of table levels in common");
}

static bool holds_a_unit(const struct dmar_region *r)
{
	for (u32 i = 0; i < dmar.unit_count; i++)
		if (dmar.units[i].base >= r->start && dmar.units[i].base < r->end)
			return true;
	return false;
}

/* The firmware's devices keep their regions, but none that is root's: neither can be held then. */
static void check_regions(void)
{
	for (u32 i = 0; i < dmar.region_count; i++) {
		const struct dmar_region *r = &dmar.regions[i];

		if (meets_root_memory(r->start, r->end) || holds_a_unit(r))
			boot_refuse("the firmware's devices use 0x%lx to 0x%lx, which the core has: only iommu=off "
				    "starts here", r->start, r->end);
	}
}

/* Each whole page that L1 may use; then no page with something else in it. What entries disagree about is none. */
static bool fill_from_map(void)
{
	bool done = true;

	for (u32 usable = 2; usable-- && done;)
		for (u32 i = 0; i < boot_info.memory_count && done; i++) {
			const struct memory_range *r = &boot_info.memory[i];
			u64 start = r->start, end = start + r->size;

			if (memory_map_is_usable(r) != usable)
				continue;
			if (usable)
				done = domain_set(&domain, ALIGN_UP(start, PAGE_SIZE), ALIGN_DOWN(end, PAGE_SIZE),
						  DOMAIN_RW);
			else
				done = domain_set(&domain, ALIGN_DOWN(start, PAGE_SIZE), ALIGN_UP(end, PAGE_SIZE), 0);
		}
	return done;
}

/* Root memory last, whatever the firmware's map and regions say of it. What cannot be held leaves the pool whole. */
static bool fill_domain(void)
{
	bool made = domain_init(&domain), done = made && fill_from_map();

	for (u32 i = 0; i < dmar.region_count && done; i++)
		done = domain_set(&domain, dmar.regions[i].start, dmar.regions[i].end, DOMAIN_RW);
	done = done && domain_set(&domain, root_start, root_end, 0);
	if (done && root_low)
		done = domain_set(&domain, root_low, root_low + ROOT_LOW_BYTES, 0);
	if (done)
		return true;
	if (made)
		domain_drop(&domain);
	return unprotected("the tables for this memory would be too large");
}

/* One context table for all buses. */
static u64 make_root_table(void)
{
	u64 *root = pages_boot_alloc(1), *context = pages_boot_alloc(1);

	for (u32 i = 0; i < TABLE_ENTRIES; i++) {
		root[2 * i] = virt_to_phys(context).addr | PRESENT;
		context[2 * i] = virt_to_phys(domain.root).addr | PRESENT;
		context[2 * i + 1] = CONTEXT_DOMAIN(VTD_DOMAIN) | CONTEXT_WIDTH(domain.levels);
	}
	domain_write_back(&domain, root, PAGE_SIZE);
	domain_write_back(&domain, context, PAGE_SIZE);
	return virt_to_phys(root).addr;
}

/* While the tables are made. */
static bool protect_root(void)
{
	for (u32 i = 0; i < dmar.unit_count; i++)
		if (!vtd_protect(&units[i], root_start, root_end))
			return false;
	return true;
}

static bool start_units(void)
{
	u64 root = make_root_table();
	u32 *done = pages_boot_alloc(1);

	for (u32 i = 0; i < dmar.unit_count; i++)
		if (!vtd_start(&units[i], root, pages_boot_alloc(1), &done[i]))
			return false;
	domain_flushed(&domain);
	domain.merge_above = domain.tables + KEPT_TABLES;
	domain.most_tables = ~0u;
	unit_count = dmar.unit_count;
	silent = false;
	return true;
}

/* All units are off: not some devices on tables and others not. */
static void stop_units(void)
{
	for (u32 i = 0; i < dmar.unit_count; i++)
		(void)vtd_stop(&units[i]);
}

/*
 * L1 must not look for the units. "RAMD" has the letters of the true name, so the checksum stays right. False: the
 * table is in memory that keeps what it has.
 */
static bool rename_table(const char *name)
{
	void *table = (void *)acpi_info.dmar;

	memcpy(table, name, 4);
	return !memcmp(table, name, 4);
}

static bool find_units(bool x2apic)
{
	if (!acpi_info.dmar)
		return unprotected("the firmware shows no Intel IOMMU");
	const char *wrong = dmar_parse(&dmar, acpi_info.dmar, acpi_info.dmar_bytes);

	if (wrong)
		return unprotected("the firmware's DMAR table has %s", wrong);
	if (x2apic)
		return unprotected("the CPUs are in x2APIC mode, for which L1 needs the IOMMU's interrupt remapping");
	check_regions();
	return probe_units() && choose_tables();
}

static bool turn_on(void)
{
	int open = dmar_open_segment(&dmar);

	if (!rename_table("RAMD"))
		return unprotected("the firmware's DMAR table cannot be hidden");
	if (!protect_root() || !fill_domain() || !start_units()) {
		stop_units();
		(void)rename_table("DMAR");
		return false;
	}
	if (open >= 0)
		log_warn("devices of PCI segment %d that the DMAR table does not name are not held back", open);
	log_info("DMA protection: %u IOMMUs, %u levels, leaves up to level %u, invalidation by %s", unit_count,
		 domain.levels, domain.largest, units[0].queue ? "queue" : "registers");
	return true;
}

bool iommu_start(bool x2apic)
{
	if (cmdline_is("iommu", "off"))
		log_info("no DMA protection: iommu=off");
	else if (find_units(x2apic) && turn_on())
		return true;
	if (cmdline_is("iommu", "require"))
		boot_refuse("iommu=require: devices of this machine cannot be held back");
	return false;
}

void iommu_end(void)
{
	if (!unit_count)
		return;
	unit_count = 0;
	stop_units();
	(void)rename_table("DMAR");
}

void iommu_hide_registers(void)
{
	for (u32 i = 0; i < unit_count; i++)
		ept01_hide_page(GPA1(units[i].base));
	(void)!iommu_flush(); /* of guarded pages, too, which are L1's to read */
}

bool iommu_is_on(void)
{
	return unit_count;
}

_Static_assert(DOMAIN_R == HYPAPI_R && DOMAIN_W == HYPAPI_W, "rights as hypapi has them");

bool iommu_set(u64 start, u64 end, u64 rights)
{
	return !unit_count || domain_set(&domain, start, end, rights);
}

bool iommu_prepare(u64 page)
{
	return !unit_count || domain_prepare(&domain, page);
}

bool iommu_flush(void)
{
	if (!domain.owes_flush)
		return true;
	__atomic_store_n(&next_look, 0, __ATOMIC_RELAXED);
	for (u32 i = 0; i < unit_count && !silent; i++)
		silent = !vtd_flush(&units[i]);
	if (!silent)
		domain_flushed(&domain);
	return !silent;
}

static void report(const struct vtd_fault *f)
{
	log_limited(LOG_WARN, "device %04x:%02x:%02x.%x is kept from %s 0x%lx: %s (%u)", f->segment, f->source >> 8,
		    f->source >> 3 & 31, f->source & 7, f->write ? "writing" : "reading", f->address,
		    vtd_fault_reason(f->reason), f->reason);
}

bool iommu_look_is_due(void)
{
	return unlikely(unit_count) && rdtsc() >= __atomic_load_n(&next_look, __ATOMIC_RELAXED);
}

/* A device may raise faults without end: what is more at once waits for the next look, or is lost. */
static u32 take_faults(struct vtd_unit *unit, void (*tell)(const struct vtd_fault *fault))
{
	struct vtd_fault fault;
	u32 taken = 0;

	for (; taken < FAULTS_AT_ONCE && vtd_next_fault(unit, &fault); taken++) {
		report(&fault);
		if (tell)
			tell(&fault);
	}
	if (vtd_lost_faults(unit))
		log_limited(LOG_WARN, "the IOMMU at 0x%lx had more faults than it can record", unit->base);
	return taken;
}

/* Nobody waits for who is at it: that CPU may be about to stop the others. */
u32 iommu_report_faults(void (*tell)(const struct vtd_fault *fault))
{
	u32 count = 0;

	if (__atomic_exchange_n(&looking, true, __ATOMIC_ACQUIRE))
		return 0;
	__atomic_store_n(&next_look, rdtsc() + LOOK_MS * clock_ticks_per_ms(), __ATOMIC_RELAXED);
	for (u32 i = 0; i < unit_count; i++)
		count += take_faults(&units[i], tell);
	__atomic_store_n(&looking, false, __ATOMIC_RELEASE);
	return count;
}
