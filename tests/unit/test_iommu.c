/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA protection on a model of what QEMU lacks: several units and segments, units without a queue, with a write
 * buffer, with protected ranges, left on by a firmware, and such as do not answer. The model notes what a unit is told,
 * a letter each: W write buffer, Q and q queue on and off, R root table, c contexts, i IOTLB, T and t translation,
 * P and p ranges on and off, x interrupt remapping off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "cpu/clock.h"
#include "iommu/domain.h"
#include "iommu/iommu.h"
#include "iommu/vtd.h"
#include "mem/pages.h"
#include "mem/root_map.h"
#include "report/log.h"

#define MACHINE_BYTES (64ul << 20)
#define ROOT (48ul << 20)
#define BASE 0xfed90000ul
#define MAX_MODELS 3
#define FRO 0x220u
#define IRO 0xf0u
#define GOOD_CAP (BIT(55) | BIT(54) | BIT(35) | BIT(34) | (u64)FRO / 16 << 24 | BIT(10) | BIT(9))
#define GOOD_ECAP ((u64)IRO / 16 << 8)
#define QI BIT(1)

struct model {
	_Alignas(8) u8 regs[4096];
	char told[5000];
	u32 deaf;       /* commands of GCMD that are not done */
	bool deaf_queue, deaf_contexts, deaf_iotlb, queue_error, deaf_ranges;
};

u64 machine_direct_map, root_start = ROOT, root_end = ROOT + (8ul << 20), root_low, direct_map_end = MACHINE_BYTES;
struct boot_info boot_info;
struct acpi_info acpi_info;
enum log_level log_threshold = LOG_INFO;
static struct model models[MAX_MODELS];
static u64 next_page;
static char lines[4000];
static const char *iommu_option;
static u64 hidden[MAX_MODELS];
static u32 hidden_count;
static jmp_buf refusal;

/* ---- The core around it ---- */

void log_line(enum log_level level, const char *f, ...)
{
	size_t used = strlen(lines);
	va_list args;

	(void)level;
	va_start(args, f);
	vsnprintf(lines + used, sizeof(lines) - used, f, args);
	va_end(args);
}
void boot_refuse(const char *f, ...) { log_line(LOG_ERROR, "%s", f), longjmp(refusal, 1); }
bool cmdline_is(const char *name, const char *word)
{
	assert_string_equal(name, "iommu");
	return iommu_option && !strcmp(iommu_option, word);
}
void ept01_hide_page(gpa1_t page) { hidden[hidden_count++] = page.addr; }
bool log_allowed(struct log_limit *l, unsigned int b, unsigned int i) { (void)l, (void)b, (void)i; return true; }
static u64 ticks_per_ms = 100;
u64 clock_ticks_per_ms(void) { return ticks_per_ms; }
void *page_alloc(void)
{
	next_page += PAGE_SIZE;
	return next_page > root_end ? NULL : memset(phys_to_virt(HPA(next_page - PAGE_SIZE)), 0, PAGE_SIZE);
}
void *pages_boot_alloc(size_t count)
{
	assert_int_equal(count, 1);
	return page_alloc();
}
void page_free(void *page) { (void)page; }
void *root_map_uncached(hpa_t page) { return models[(page.addr - BASE) / PAGE_SIZE].regs; }

/* ---- The units ---- */

static u32 *r32(struct model *m, u32 reg) { return (u32 *)(m->regs + reg); }
static u64 *r64(struct model *m, u32 reg) { return (u64 *)(m->regs + reg); }

static struct model *model_of(const volatile u8 *at, u32 *reg)
{
	struct model *m = &models[((u64)at - (u64)models) / sizeof(*m)];

	*reg = (u32)(at - m->regs);
	assert_true(*reg < sizeof(m->regs));
	return m;
}

static void tell(struct model *m, char what) { m->told[strlen(m->told)] = what; }

u32 mmio_read32(const volatile u8 *at) { return *(const volatile u32 *)at; }
u64 mmio_read64(const volatile u8 *at) { return *(const volatile u64 *)at; }

static void do_command(struct model *m, u32 value)
{
	static const struct { u32 bit; char on, off; bool once; } commands[] = {
		{ 1u << 27, 'W', 0, true }, { 1u << 26, 'Q', 'q', false }, { 1u << 30, 'R', 0, true },
		{ 1u << 31, 'T', 't', false },
		{ 1u << 25, 'X', 'x', false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		u32 bit = commands[i].bit, *status = r32(m, 0x1c);
		bool on = value & bit;

		if (commands[i].once ? !on : on == !!(*status & bit))
			continue;
		tell(m, on ? commands[i].on : commands[i].off);
		if (m->deaf & bit) {
			*status = commands[i].on == 'W' ? *status | bit : *status;
			continue;
		}
		*status = on && commands[i].on != 'W' ? *status | bit : *status & ~bit;
		if (commands[i].on == 'Q')
			*r64(m, 0x80) = 0;
	}
}

static void run_queue(struct model *m)
{
	while (!m->deaf_queue && *r32(m, 0x80) != *r32(m, 0x88)) {
		u64 *d = phys_to_virt(HPA(*r64(m, 0x90) + *r32(m, 0x80)));

		if (m->queue_error) {
			*r32(m, 0x34) |= 1u << 4;
			return;
		}
		if ((d[0] & 15) == 1)
			tell(m, 'c');
		else if ((d[0] & 15) == 2)
			assert_int_equal(d[0] & 0xf0, 0xd0), tell(m, 'i');
		else if ((d[0] & 15) == 5)
			*(u32 *)phys_to_virt(HPA(d[1])) = (u32)(d[0] >> 32);
		else
			fail_msg("descriptor %lx", d[0]);
		*r32(m, 0x80) = (*r32(m, 0x80) + 16) % 4096;
	}
}

void mmio_write32(volatile u8 *at, u32 value)
{
	u32 reg;
	struct model *m = model_of(at, &reg);

	switch (reg) {
	case 0x18: do_command(m, value); return;
	case 0x34: *r32(m, reg) &= ~value; return;
	case 0x64:
		tell(m, value >> 31 ? 'P' : 'p');
		value = value >> 31 && !m->deaf_ranges ? value | 1 : value & ~1u;
		break;
	case 0x68: value &= ~0u << 20; break;
	case 0x6c: value = (value & ~0u << 20); break;
	case 0x88: *r32(m, reg) = value; run_queue(m); return;
	case FRO + 12: *r32(m, reg) &= ~(value & 1u << 31); *r32(m, 0x34) &= ~2u; return;
	}
	*r32(m, reg) = value;
}

/* Those that a unit with its queue on does not take. */
void mmio_write64(volatile u8 *at, u64 value)
{
	u32 reg;
	struct model *m = model_of(at, &reg);

	if (reg == 0x28 || reg == IRO + 8) {
		bool iotlb = reg != 0x28, deaf = iotlb ? m->deaf_iotlb : m->deaf_contexts;

		assert_false(*r32(m, 0x1c) & 1u << 26);
		assert_true(!iotlb || (value & BIT(48) && value & BIT(49)));
		tell(m, iotlb ? 'i' : 'c');
		value = deaf ? value : (value & ~BIT(63)) | (iotlb ? BIT(57) : BIT(59));
	}
	*r64(m, reg) = value;
}

/* ---- The machine ---- */

static u8 table[512];
static u32 used;

static void add_unit(u16 segment, u64 base, u64 cap, u64 ecap)
{
	u64 unit[2] = { 0 | 16ull << 16 | 1ull << 32 | (u64)segment << 48, base };

	memcpy(table + used, unit, 16);
	used += 16;
	if (base - BASE < MAX_MODELS * PAGE_SIZE) {
		struct model *m = &models[(base - BASE) / PAGE_SIZE];

		*r32(m, 0) = 0x10;
		*r64(m, 8) = cap;
		*r64(m, 0x10) = ecap;
	}
}

static void add_region(u64 start, u64 last)
{
	u64 region[3] = { 1 | 24ull << 16, start, last };

	memcpy(table + used, region, 24);
	used += 24;
}

static void begin(void)
{
	static const struct memory_range map[] = {
		{ 0x100000, ROOT - 0x100000, MEMORY_RAM }, { 0, 0x9fc00, MEMORY_RAM },
		{ ROOT, 8ul << 20, MEMORY_RESERVED },
		{ 0x500800, 0x1000, MEMORY_RESERVED }, { ROOT + (8ul << 20), 4ul << 20, MEMORY_ACPI },
		{ 60ul << 20, 4ul << 20, MEMORY_NVS },
	};

	memset(models, 0, sizeof(models));
	memset(lines, 0, sizeof(lines));
	memset(table, 0, sizeof(table));
	memcpy(table, "DMAR", 4);
	iommu_option = NULL;
	hidden_count = 0;
	table[36] = 38;
	used = 48;
	boot_info.memory_count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		memory_map_add(map[i].start, map[i].size, map[i].type);
	next_page = ROOT + (1ul << 20);
}

static u8 table_sum(void)
{
	u8 sum = 0;

	for (u32 i = 0; i < used; i++)
		sum = (u8)(sum + table[i]);
	return sum;
}

/* The table is hidden if, and only if, the units are on. */
static bool start_in(bool x2apic)
{
	bool on;
	u8 sum;

	memcpy(table + 4, &used, 4);
	sum = table_sum();
	acpi_info.dmar = table;
	acpi_info.dmar_bytes = used;
	on = iommu_start(x2apic);
	assert_int_equal(table_sum(), sum);
	assert_int_equal(!memcmp(table, "DMAR", 4), !on);
	return on;
}

static bool start(void)
{
	return start_in(false);
}

static void assert_line(const char *words)
{
	if (!strstr(lines, words))
		fail_msg("not said: %s; but: %s", words, lines);
}

/* What a device with this source-id may do at `at`, by the tables that the unit was given. */
static u64 rights(struct model *m, u32 source, u64 at)
{
	u64 *root = phys_to_virt(HPA(*r64(m, 0x20))), *context, entry;
	int shift;

	assert_int_equal(root[2 * (source >> 8)] & 0xfff, 1);
	context = phys_to_virt(HPA(root[2 * (source >> 8)] & ~0xfffull));
	entry = context[2 * (source & 255)];
	assert_int_equal(entry & 0xfff, 1); /* present, translation type 0 */
	shift = 12 + 9 * (int)((context[2 * (source & 255) + 1] & 7) + 1);
	for (entry |= 3; entry & 3; shift -= 9) {
		entry = ((u64 *)phys_to_virt(HPA(entry & BITS(51, 12))))[at >> shift & 511];
		if (shift == 12 || entry & BIT(7))
			return entry & 3;
	}
	return 0;
}

/* ---- Tests ---- */

static void one_unit(u64 cap, u64 ecap, const char *start_told, const char *flush_told)
{
	struct model *m = &models[0];

	begin();
	add_unit(0, BASE, cap, ecap);
	assert_true(start());
	assert_string_equal(m->told, start_told);
	memset(m->told, 0, sizeof(m->told));
	assert_true(iommu_flush());
	assert_string_equal(m->told, ""); /* nothing has changed */
	assert_int_equal(rights(m, 0xffff, 0x200000), DOMAIN_RW);
	assert_true(iommu_set(0x200000, 0x201000, DOMAIN_R));
	assert_true(iommu_flush());
	assert_string_equal(m->told, flush_told);
	assert_int_equal(rights(m, 0x1234, 0x200000), DOMAIN_R);
	assert_int_equal(rights(m, 0, 0x201000), DOMAIN_RW);
}

static void the_order(void **state)
{
	(void)state;
	one_unit(GOOD_CAP, GOOD_ECAP | QI, "QRciT", "i");
	one_unit(GOOD_CAP, GOOD_ECAP, "RciT", "i");
	one_unit(GOOD_CAP | BIT(4), GOOD_ECAP, "WRciT", "Wi");
	one_unit(GOOD_CAP & ~BIT(10), GOOD_ECAP | QI, "QRciT", "i");
	one_unit(GOOD_CAP & ~BIT(35) & ~BIT(34), GOOD_ECAP | 1, "RciT", "i");
	/* New rights are told to units that keep the absence of a page. */
	for (u32 caching = 0; caching < 2; caching++) {
		one_unit(GOOD_CAP | (caching ? BIT(7) : 0), GOOD_ECAP, "RciT", "i");
		memset(models[0].told, 0, sizeof(models[0].told));
		assert_true(iommu_set(0x200000, 0x201000, DOMAIN_RW)); /* from read-only: remembered by all */
		assert_true(iommu_flush());
		assert_string_equal(models[0].told, "i");
		assert_true(iommu_set(0x200000, 0x201000, 0));
		assert_true(iommu_flush());
		assert_true(iommu_set(0x200000, 0x201000, DOMAIN_RW));
		assert_true(iommu_flush());
		assert_string_equal(models[0].told, caching ? "iii" : "ii");
	}
}

/* What the firmware has on stays on until the new tables are there; its queue comes to its end, its ranges go. */
static void firmware_had_it_on(void **state)
{
	struct model *m = &models[0];

	(void)state;
	begin();
	add_unit(0, BASE, GOOD_CAP | BIT(5) | BIT(6), GOOD_ECAP | QI);
	*r32(m, 0x1c) = 1u << 31 | 1u << 30 | 1u << 26 | 1u << 25;
	*r32(m, 0x64) = 1u << 31 | 1;
	*r32(m, 0x80) = *r32(m, 0x88) = 0x70;
	*r32(m, 0x34) = 1u << 4;
	assert_true(start());
	assert_string_equal(m->told, "pPqQRcipx");
	assert_int_equal(*r32(m, 0x1c), 1u << 31 | 1u << 30 | 1u << 26);
	assert_int_equal(*r32(m, 0x64), 0);

	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP | QI);
	*r32(m, 0x1c) = 1u << 31 | 1u << 26;
	*r32(m, 0x88) = 0x70;
	assert_false(start());
	assert_line("end of the firmware's queue");
	assert_string_equal(m->told, "t");

	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP | QI);
	*r32(m, 0x1c) = 1u << 31;
	*r64(m, 0x20) = BIT(10);
	assert_false(start());
	assert_line("in a mode that cannot be left");
}

/* A start that refuses after this: no unit has its tables any more, the next system finds all, or the next start. */
static void given_back(void **state)
{
	(void)state;
	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP | QI);
	add_unit(1, BASE + PAGE_SIZE, GOOD_CAP, GOOD_ECAP);
	iommu_end(); /* nothing to do */
	assert_string_equal(models[0].told, "");
	assert_true(start());
	iommu_end();
	assert_false(iommu_is_on());
	assert_string_equal(models[0].told, "QRciTt");
	assert_string_equal(models[1].told, "RciTt");
	assert_memory_equal(table, "DMAR", 4);
	assert_true(start());
	assert_string_equal(models[0].told, "QRciTtqQRciT");
}

/* Root memory by a range of the unit's while the tables are made; also where they come to nothing. */
static void protected_ranges(void **state)
{
	struct model *m = &models[0];

	(void)state;
	for (u32 high = 0; high < 2; high++) {
		begin();
		add_unit(0, BASE, GOOD_CAP | BIT(5) | (high ? BIT(6) : 0), GOOD_ECAP | QI);
		assert_true(start());
		assert_string_equal(m->told, "PQRciTp");
		assert_int_equal(*r32(m, 0x68), ROOT);
		assert_int_equal(*r32(m, 0x6c) | 0xfffff, ROOT + (8ul << 20) - 1);
		assert_true(high ? *r64(m, 0x70) > *r64(m, 0x78) : !*r64(m, 0x70));
	}
	begin();
	add_unit(0, BASE, GOOD_CAP | BIT(5), GOOD_ECAP | QI);
	m->deaf = 1u << 31;
	assert_false(start());
	assert_string_equal(m->told, "PQRciTp");
	begin();
	add_unit(0, BASE, GOOD_CAP | BIT(5), GOOD_ECAP | QI);
	m->deaf_ranges = true;
	assert_false(start());
	assert_line("start of the protected memory range");
}

static bool refuses(void)
{
	if (setjmp(refusal))
		return true;
	(void)start();
	return false;
}

static void options(void **state)
{
	(void)state;
	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP);
	iommu_option = "off";
	assert_false(start());
	assert_line("iommu=off");
	assert_string_equal(models[0].told, "");
	begin();
	iommu_option = "require";
	assert_true(refuses());
	assert_line("iommu=require");
	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP);
	assert_false(start_in(true));
	assert_line("x2APIC");
	assert_string_equal(models[0].told, "");
	iommu_hide_registers();
	assert_int_equal(hidden_count, 0);
	assert_false(iommu_is_on());
}

/* The units' registers are not L1's where they are on. */
static void registers_are_hidden(void **state)
{
	(void)state;
	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP);
	add_unit(0, BASE + PAGE_SIZE, GOOD_CAP, GOOD_ECAP);
	iommu_option = "require";
	assert_false(refuses());
	assert_true(iommu_is_on());
	iommu_hide_registers();
	assert_int_equal(hidden_count, 2);
	assert_int_equal(hidden[0], BASE);
	assert_int_equal(hidden[1], BASE + PAGE_SIZE);
}

static void several_units(void **state)
{
	(void)state;
	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP | QI | 1);
	add_unit(0, BASE + PAGE_SIZE, GOOD_CAP & ~BIT(35), GOOD_ECAP);
	add_unit(1, BASE + 2 * PAGE_SIZE, GOOD_CAP & ~BIT(10), GOOD_ECAP | QI);
	table[48 + 32 + 4] = 0; /* nobody holds what segment 1 does not name */
	assert_true(start());
	assert_line("devices of PCI segment 1 that");
	assert_line("3 IOMMUs, 3 levels, leaves up to level 2");
	assert_true(iommu_set(0x200000, 0x201000, 0));
	assert_true(iommu_flush());
	for (u32 i = 0; i < 3; i++) {
		assert_string_equal(models[i].told, i == 1 ? "RciTi" : "QRciTi");
		assert_int_equal(rights(&models[i], 0x100 * i, 0x200000), 0);
	}
	begin();
	add_unit(0, BASE, GOOD_CAP & ~BIT(10), GOOD_ECAP);
	add_unit(0, BASE + PAGE_SIZE, GOOD_CAP & ~BIT(9), GOOD_ECAP);
	assert_false(start());
	assert_line("no number of table levels in common");
}

static void silent(u64 ecap, u32 deaf, const char *words)
{
	begin();
	add_unit(0, BASE, GOOD_CAP | (deaf == 1u << 27 ? BIT(4) : 0), ecap);
	add_unit(0, BASE + PAGE_SIZE, GOOD_CAP | (deaf == 1u << 27 ? BIT(4) : 0), ecap);
	models[1].deaf = deaf;
	models[1].deaf_contexts = deaf == 1;
	models[1].deaf_iotlb = deaf == 2;
	models[1].deaf_queue = deaf == 3;
	models[1].queue_error = deaf == 4;
	assert_false(start());
	assert_line(words);
	assert_line("0xfed91000");
	/* All devices or none. */
	assert_false(*r32(&models[0], 0x1c) & 1u << 31);
	assert_false(iommu_is_on());
}

static void no_answer(void **state)
{
	(void)state;
	silent(GOOD_ECAP, 1u << 30, "load of the root table");
	silent(GOOD_ECAP, 1u << 31, "start of translation");
	silent(GOOD_ECAP, 1u << 27, "flush of the write buffer");
	silent(GOOD_ECAP | QI, 1u << 26, "start of queued invalidation");
	silent(GOOD_ECAP, 1, "context invalidation");
	silent(GOOD_ECAP, 2, "within 200 ms: IOTLB invalidation");
	silent(GOOD_ECAP | QI, 3, "context invalidation (fault status 0x0)");
	silent(GOOD_ECAP | QI, 4, "context invalidation (fault status 0x10)");
	/* Later: who takes a page is told. */
	for (u32 queue = 0; queue < 2; queue++) {
		one_unit(GOOD_CAP, GOOD_ECAP | (queue ? QI : 0), queue ? "QRciT" : "RciT", "i");
		models[0].deaf_iotlb = models[0].deaf_queue = true;
		assert_true(iommu_set(0x200000, 0x201000, 0));
		assert_false(iommu_flush());
		assert_line("IOTLB invalidation");
		assert_false(iommu_flush()); /* it is still owed */
	}
}

static void what_cannot_be_used(void **state)
{
	static const struct { u64 cap, ecap; const char *words; } units[] = {
		{ ~0ull, ~0ull, "does not answer" }, { 0, 0, "does not answer" },
		{ GOOD_CAP & ~BIT(9) & ~BIT(10), GOOD_ECAP, "neither three nor four levels" },
		{ GOOD_CAP & ~BIT(54), GOOD_ECAP, "cannot wait" }, { GOOD_CAP & ~BIT(55), GOOD_ECAP, "cannot wait" },
		{ GOOD_CAP | 0x3ffull << 24, GOOD_ECAP, "outside of its first page" },
		{ GOOD_CAP | 0xffull << 40, GOOD_ECAP, "outside of its first page" },
		{ GOOD_CAP, 0x3ffull << 8, "outside of its first page" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		begin();
		add_unit(0, BASE, units[i].cap, units[i].ecap);
		assert_false(start());
		assert_line(units[i].words);
		assert_string_equal(models[0].told, "");
	}
	for (u32 i = 0; i < 2; i++) {
		begin();
		add_unit(0, i ? ROOT : 0x300000, 0, 0);
		assert_false(start());
		assert_line("its registers would be in RAM");
	}
	begin();
	assert_false(start());
	assert_line("no remapping unit");
	acpi_info.dmar = NULL;
	assert_false(iommu_start(false));
	assert_line("shows no Intel IOMMU");
}

static void what_devices_reach(void **state)
{
	static const struct { u64 at, rights; } pages[] = {
		{ 0, DOMAIN_RW }, { 0x9e000, DOMAIN_RW }, { 0x9f000, 0 }, { 0xa0000, 0 }, { 0x100000, DOMAIN_RW },
		{ 0x4ff000, DOMAIN_RW }, { 0x500000, 0 }, { 0x501000, 0 }, { 0x502000, DOMAIN_RW },
		{ ROOT - PAGE_SIZE, DOMAIN_RW },
		{ ROOT, 0 }, { ROOT + (8ul << 20) - PAGE_SIZE, 0 }, { ROOT + (8ul << 20), DOMAIN_RW },
		{ 61ul << 20, 0 },
		{ 62ul << 20, DOMAIN_RW }, { (62ul << 20) + PAGE_SIZE, 0 }, { 1ul << 32, 0 }, { BIT(39), 0 },
	};

	(void)state;
	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP);
	add_region(62ul << 20, (62ul << 20) + PAGE_SIZE - 1); /* in memory of the firmware */
	assert_true(start());
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		assert_int_equal(rights(&models[0], 0x1f, pages[i].at), pages[i].rights);
	/* The firmware says that a device goes on to use what became root memory. */
	for (u32 i = 0; i < 2; i++) {
		begin();
		root_low = i ? 0x90000 : 0;
		add_unit(0, BASE, GOOD_CAP, GOOD_ECAP);
		add_region(i ? 0x91000 : ROOT - PAGE_SIZE, i ? 0x91fff : ROOT + PAGE_SIZE - 1);
		assert_true(refuses());
		assert_line("which the core has");
		assert_string_equal(models[0].told, "");
	}
	/* Or a unit's registers. */
	begin();
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP);
	add_unit(0, BASE + PAGE_SIZE, GOOD_CAP, GOOD_ECAP);
	add_region(BASE + PAGE_SIZE, BASE + 3 * PAGE_SIZE - 1);
	assert_true(refuses());
	assert_line("which the core has");
	/* All of memory that has no name, by pages of 2 MiB: the pool is not used up for that. */
	begin();
	add_unit(0, BASE, GOOD_CAP & ~BIT(35), GOOD_ECAP);
	add_region(1ul << 32, (1ul << 47) - 1);
	u64 pool = next_page;
	assert_false(start());
	assert_line("too large");
	assert_in_range(next_page, pool + PAGE_SIZE, pool + 140 * PAGE_SIZE);
	/* Root memory is out of reach whatever the map says. */
	begin();
	memory_map_set(ROOT, ROOT + (8ul << 20), MEMORY_RAM);
	add_unit(0, BASE, GOOD_CAP, GOOD_ECAP);
	assert_true(start());
	assert_int_equal(rights(&models[0], 0, ROOT), 0);
	assert_int_equal(rights(&models[0], 0, ROOT - PAGE_SIZE), DOMAIN_RW);
	assert_int_equal(rights(&models[0], 0, 0x8f000), DOMAIN_RW);
	assert_int_equal(rights(&models[0], 0, 0x90000), 0);
	assert_int_equal(rights(&models[0], 0, 0x91000), 0);
	root_low = 0;
}

static u64 told_address;

static void raise_fault(struct model *m, u32 type)
{
	*r32(m, FRO + 12) = 1u << 31 | type;
	*r32(m, 0x34) = 2;
}

/* While one looks nobody else does, not even who is told, though there is a fault more by then. */
static void told_of(const struct vtd_fault *fault)
{
	told_address = fault->address;
	if (fault->reason != 0xee)
		return;
	raise_fault(&models[0], 5);
	assert_int_equal(iommu_report_faults(told_of), 0);
}

static void faults(void **state)
{
	struct model *m = &models[0];

	(void)state;
	one_unit(GOOD_CAP, GOOD_ECAP | QI, "QRciT", "i");
	assert_int_equal(iommu_report_faults(NULL), 0);
	*r64(m, FRO) = 0x12345000;
	*r32(m, FRO + 8) = 3 << 8 | 0x1f << 3 | 7;
	*r32(m, FRO + 12) = 1u << 31 | 1u << 30 | 6;
	*r32(m, 0x34) = 3;
	assert_int_equal(iommu_report_faults(NULL), 1);
	assert_line("device 0000:03:1f.7 is kept from reading 0x12345000: no right to read (6)");
	assert_line("the IOMMU at 0xfed90000 had more faults than it can record");
	assert_int_equal(*r32(m, 0x34), 0);
	ticks_per_ms = BIT(40); /* the next look is far away */
	assert_int_equal(iommu_report_faults(NULL), 0);
	assert_false(iommu_look_is_due());
	assert_true(iommu_set(0x300000, 0x301000, 0));
	assert_true(iommu_flush());
	assert_true(iommu_look_is_due());
	raise_fault(m, 0xee);
	assert_int_equal(iommu_report_faults(told_of), 2);
	assert_int_equal(told_address, 0x12345000);
	assert_line("writing 0x12345000: another reason (238)");
	assert_false(iommu_look_is_due());
	ticks_per_ms = 100;
}

/* The queue's end is passed many times. */
static void many_flushes(void **state)
{
	(void)state;
	one_unit(GOOD_CAP, GOOD_ECAP | QI, "QRciT", "i");
	memset(models[0].told, 0, sizeof(models[0].told));
	for (u32 i = 0; i < 1000; i++) {
		assert_true(iommu_set(0x200000, 0x201000, i % 2 ? 0 : DOMAIN_RW));
		assert_true(iommu_flush());
	}
	assert_int_equal(strlen(models[0].told), 501); /* the losses, and the first grant, to a page that could be
	                                                  read */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options), cmocka_unit_test(no_answer), cmocka_unit_test(what_cannot_be_used),
		cmocka_unit_test(the_order), cmocka_unit_test(firmware_had_it_on), cmocka_unit_test(several_units),
		cmocka_unit_test(what_devices_reach), cmocka_unit_test(given_back), cmocka_unit_test(protected_ranges),
		cmocka_unit_test(registers_are_hidden),
		cmocka_unit_test(faults), cmocka_unit_test(many_flushes),
	};

	machine_direct_map = (u64)mmap(NULL, MACHINE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (machine_direct_map == (u64)MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("iommu", tests, NULL, NULL);
}
