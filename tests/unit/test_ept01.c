/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT01 with its own files: what addresses there are, what of them is RAM, and where its table pages go. The machine
 * is a memory map; memory types are what `types` says.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "boot/boot_info.h"
#include "cpu/percpu.h"
#include "cpu/spinlock.h"
#include "iommu/iommu.h"
#include "mem/ept01.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/phys_bits.h"
#include "report/log.h"
#include "vmx/vmx.h"

#define RAM_END SIZE_1G
#define POOL_BYTES (8ul << 20)
#define DEVICE 0xfee00000ul /* no RAM, and below 4 GiB */

u64 machine_direct_map, vmx_ept_vpid_cap;
struct boot_info boot_info;
static _Thread_local struct percpu self;
static u32 width = 52;
static u64 tme_activate;
static int device_type;
static u64 odd_page; /* uncached RAM; 0: none */

/* ---- The machine ---- */

struct cpuid_regs machine_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	return (struct cpuid_regs){ .eax = leaf == 0x80000008 ? width : 0, .ecx = leaf == 7 ? BIT(13) : 0 };
}

bool rdmsr_safe(u32 msr, u64 *value)
{
	*value = tme_activate;
	return msr == 0x982;
}

int mtrr_type(u64 start, u64 size)
{
	if (odd_page && start <= odd_page && odd_page < start + size)
		return size > PAGE_SIZE ? -1 : 0;
	if (start < RAM_END)
		return start + size <= RAM_END ? MTRR_WB : -1;
	return device_type;
}

void *machine_self(void) { return &self; }
void percpu_locks_add(int change) { self.locks_held += (u32)change; }
void machine_relax(void) { }
void lock_taking(const void *lock, const char *name) { (void)lock, (void)name; }
void lock_left(const void *lock) { (void)lock; }
void panic(const char *f, ...) { fail_msg("panic: %s", f); abort(); }
bool machine_flush_removed(struct flush_site *site) { (void)site; return false; }
void boot_refuse(const char *f, ...) { fail_msg("refused: %s", f); abort(); }

/* ---- What devices have: after boot only what was made ready changes, and nothing counts before a flush ---- */

static u8 devices[RAM_END / PAGE_SIZE], before_flush[RAM_END / PAGE_SIZE];
static bool ready[RAM_END / PAGE_SIZE], no_device_tables, silent_unit;
static u64 changed_from = RAM_END, changed_to;

bool iommu_prepare(u64 page)
{
	ready[page / PAGE_SIZE] = true;
	return !no_device_tables;
}

bool iommu_set(u64 start, u64 end, u64 rights)
{
	for (u64 page = start / PAGE_SIZE; page < MIN(end, RAM_END) / PAGE_SIZE; page++) {
		assert_true(devices[page] == rights || ready[page] || !self.quiesce.online);
		ready[page] &= devices[page] == rights || rights != HYPAPI_RW;
		if (devices[page] != rights) {
			changed_from = MIN(changed_from, page);
			changed_to = MAX(changed_to, page + 1);
		}
		devices[page] = (u8)rights;
	}
	return true;
}

bool (iommu_flush)(void)
{
	if (!silent_unit && changed_from < changed_to) {
		memcpy(before_flush + changed_from, devices + changed_from, changed_to - changed_from);
		changed_from = RAM_END;
		changed_to = 0;
	}
	return !silent_unit;
}

/* By the tables, and that these count. */
static u32 device_rights(u64 page)
{
	assert_int_equal(devices[page / PAGE_SIZE], before_flush[page / PAGE_SIZE]);
	return devices[page / PAGE_SIZE];
}

static u32 owed; /* to the stop in which the test runs, once EPT01 is made */

void (quiesce_add_work)(struct quiesce_cpu *quiesce, u32 work)
{
	assert_ptr_equal(quiesce, &self.quiesce);
	owed |= work;
}

/* Since this was asked last. */
static u32 owes(u32 work)
{
	u32 had = owed;

	owed = 0;
	return had & work;
}

static int boot(void **state)
{
	static const struct memory_range map[] = {
		{ 0x100000, RAM_END - 0x100000, MEMORY_RAM }, { 0, 0x9fc00, MEMORY_RAM },
		{ 0x9fc00, 0x60400, MEMORY_RESERVED }, { RAM_END - 0x20000, 0x10000, MEMORY_ACPI },
		{ RAM_END - 0x10000, 0x10000, MEMORY_NVS }, { 0xf0000000, 0x10000000, MEMORY_RESERVED },
	};

	(void)state;
	if (!machine_direct_map)
		machine_direct_map = (u64)mmap(NULL, 4 * SIZE_1G, PROT_READ | PROT_WRITE,
					       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	boot_info.memory_count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		memory_map_add(map[i].start, map[i].size, map[i].type);
	/* A range of its own each time: what was freed before belongs to the boot before. */
	root_end = root_start ? root_start : RAM_END / 2;
	root_start = root_end - POOL_BYTES;
	memory_map_set(root_start, root_end, MEMORY_RESERVED);
	pages_init(HPA(root_start));
	self.quiesce.online = false;
	memset(devices, HYPAPI_RW, sizeof(devices));
	memcpy(before_flush, devices, sizeof(devices));
	memset(ready, 0, sizeof(ready));
	ept01_init(9);
	ept01_map_all(RAM_END);
	ept01_set_apic_page(GPA1(DEVICE));
	self.quiesce.online = true;
	self.quiesce.depth = 1;
	return 0;
}

static void take(gpa1_t page, bool code)
{
	assert_int_equal(ept01_take(5, &(u64){ page.addr | (code ? HYPAPI_X : 0) }, 1), HYPAPI_OK);
}
static void restrict_page(u64 page, u32 rights)
{

	assert_int_equal(ept01_check_restrict(GPA1(page), 1), HYPAPI_OK);
	assert_int_equal(ept01_restrict(GPA1(page), 1, rights, 1), HYPAPI_OK);
}
static void give(gpa1_t page) { ept01_give(&page.addr, 1); }
static void unclaim(gpa1_t page) { ept01_unclaim(&page.addr, 1); }

/* ---- Addresses ---- */

static void assert_nothing_at(u64 addr)
{
	struct ept01_leaf leaf = { .rights = HYPAPI_RWX };
	u64 word;

	assert_false(ept01_lookup(GPA1(addr), &leaf));
	assert_int_equal(leaf.rights, 0);
	assert_int_equal(ept01_entry(GPA1(addr)), 0);
	assert_false(ept01_touch(GPA1(addr), HYPAPI_R));
	assert_false(ept01_still_backs(GPA1(addr), 1));
	assert_false(ept01_read(GPA1(addr), &word, sizeof(word)));
	assert_int_equal(ept01_claim(GPA1(addr)), HYPAPI_EPERM);
	assert_int_equal(ept01_check_restrict(GPA1(addr), 1), HYPAPI_EPERM);
}

/* An EPT12 may name any of these: whoever remembered what 2^48 + X leads to would keep X when a PAL takes it. */
static void no_address_wraps(void **state)
{
	(void)state;
	for (u32 bit = 46; bit < 52; bit++) {
		assert_nothing_at(BIT(bit));
		assert_nothing_at(BIT(bit) + 5 * SIZE_2M);
		assert_nothing_at(BIT(bit) + root_start);
	}
	assert_nothing_at(~0ul & ~0xffful);
}

/* Above RAM there are devices, which can be used and not be taken. */
static void devices_cannot_be_taken(void **state)
{
	struct ept01_leaf leaf;

	(void)state;
	for (u64 addr = 5 * SIZE_1G; addr < BIT(45); addr *= 2) {
		assert_true(ept01_lookup(GPA1(addr), &leaf));
		assert_int_equal(leaf.hpa.addr, addr);
		assert_int_equal(leaf.rights, HYPAPI_RWX);
		assert_int_equal(leaf.ram, 0);
		assert_int_equal(ept01_claim(GPA1(addr)), HYPAPI_EPERM);
		assert_int_equal(ept01_check_restrict(GPA1(addr), 1), HYPAPI_EPERM);
	}
}

/* IA32_TME_ACTIVATE: locked, enabled, six of the upper address bits are the key's. */
static void key_bits_are_no_address(void **state)
{
	(void)state;
	assert_int_equal(phys_bits_without_keys(46, 0), 46);
	assert_int_equal(phys_bits_without_keys(46, 6ull << 32 | 1), 46); /* not enabled */
	assert_int_equal(phys_bits_without_keys(46, 6ull << 32 | 3), 40);
	assert_int_equal(phys_bits(), 45);
	assert_nothing_at(BIT(45) + 5 * SIZE_2M);
}

/* ---- RAM ---- */

static bool is_ram(u64 addr)
{
	struct ept01_leaf leaf;
	u32 word = 0;
	bool looked_up = ept01_lookup(GPA1(addr), &leaf) && leaf.ram;

	assert_int_equal(looked_up, (ept01_entry(GPA1(addr)) & EPT01_RAM) != 0);
	assert_int_equal(looked_up, ept01_memory(ept01_entry(GPA1(addr)), addr) != NULL);
	assert_int_equal(looked_up, ept01_read(GPA1(addr), &word, sizeof(word)));
	assert_int_equal(looked_up, ept01_write(GPA1(addr), &word, sizeof(word)));
	return looked_up;
}

static void ram_is_what_the_boot_map_says(void **state)
{
	static const struct { u64 addr; bool ram; } places[] = {
		{ 0, true }, { 0x9e000, true }, { 0x9f000, false }, { 0xa0000, false }, { 0xf0000, false },
		{ 0x100000, true },
		{ RAM_END - 0x20000, true }, { RAM_END - 0x21000, true }, { RAM_END - 0x10000, false },
		{ RAM_END - 0x200000, true }, { RAM_END, false }, { 0xd0000000, false }, { DEVICE, false },
		{ DEVICE + 0x1000, false }, { 0x100000000, false },
	};

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(places); i++)
			assert_int_equal(is_ram(places[i].addr), places[i].ram);
		/* All write-back now, in L1's MTRRs. */
		device_type = MTRR_WB;
		ept01_retype(EPT01_EVERYWHERE);
	}
	device_type = 0;
	assert_int_equal(ept01_claim(GPA1(0xd0000000)), HYPAPI_EPERM);
	assert_int_equal(ept01_claim(GPA1(RAM_END - 0x10000)), HYPAPI_EPERM);
}

/* Neither root memory nor a partition's page; again L1's afterwards. A restriction leaves RAM what it is. */
static void ram_that_is_not_l1s(void **state)
{
	u64 page = 7 * SIZE_2M + 0x3000;

	(void)state;
	assert_false(is_ram(root_start) || is_ram(root_end - 1));
	assert_int_equal(ept01_claim(GPA1(page)), HYPAPI_OK);
	take(GPA1(page), false);
	assert_false(is_ram(page));
	assert_true(is_ram(page + PAGE_SIZE));
	give(GPA1(page));
	assert_true(is_ram(page));
	assert_int_equal(ept01_check_restrict(GPA1(page), 1), HYPAPI_OK);
	restrict_page(page, 0);
	assert_int_equal(ept01_entry(GPA1(page)) & (EPT_RIGHTS | EPT_ADDR | EPT01_RAM), EPT01_RAM);
	restrict_page(page, HYPAPI_RWX);
	assert_true(is_ram(page));
	/* A device's page can be restricted and stays a device's. */
	assert_int_equal(ept01_check_restrict(GPA1(0xd0000000), 1), HYPAPI_OK);
	restrict_page(0xd0000000, HYPAPI_R);
	assert_false(is_ram(0xd0000000));
}

/* An EPT02 keeps what it has of regions in which nothing moved, so they stay known as remembered. */
static void what_moved_is_forgotten_only(void **state)
{
	u64 one = 20 * SIZE_2M, two = 21 * SIZE_2M, since;
	struct ept01_leaf leaf;

	(void)state;
	assert_true(ept01_lookup(GPA1(one), &leaf) && ept01_lookup(GPA1(two), &leaf));
	for (u64 i = 0; i < 2; i++) {
		since = ept01_generation;
		assert_int_equal(ept01_claim(GPA1(one + i * PAGE_SIZE)), HYPAPI_OK);
		take(GPA1(one + i * PAGE_SIZE), false);
		assert_true(ept01_changed[20] > since && ept01_changed[21] <= since);
		assert_true(ept01_few_losses(since));
		assert_int_equal(ept01_losses[ept01_generation % EPT01_LOSSES], one + i * PAGE_SIZE);
		assert_ptr_equal(ept01_look_again(GPA1(two), since), EPT01_UNCHANGED);
		assert_false(ept01_backs(ept01_level1(GPA1(one))[i], one + i * PAGE_SIZE));
		assert_true(ept01_backs(ept01_level1(GPA1(one))[2], one + 2 * PAGE_SIZE));
		/* The second time nobody has looked at the region again. */
		assert_int_equal(owes(QUIESCE_FLUSH_EPT02), i ? 0 : QUIESCE_FLUSH_EPT02);
	}
	assert_int_equal(ept01_claim(GPA1(two)), HYPAPI_OK);
	take(GPA1(two), true);
	assert_int_equal(owes(QUIESCE_FLUSH_EPT02), QUIESCE_FLUSH_EPT02);
	assert_true(ept01_lookup(GPA1(two), &leaf));
	since = ept01_generation;
	give(GPA1(two));
	assert_true(ept01_changed[21] > since);
	assert_int_equal(owes(QUIESCE_FLUSH_EPT02), QUIESCE_FLUSH_EPT02);
	since = ept01_generation;
	restrict_page(two + PAGE_SIZE, HYPAPI_R);
	assert_true(ept01_changed[21] > since);
	assert_int_equal(owes(QUIESCE_FLUSH_EPT), QUIESCE_FLUSH_EPT);
	since = ept01_generation;
	ept01_retype(EPT01_EVERYWHERE);
	assert_true(ept01_changed[20] <= since && !owes(QUIESCE_FLUSH_EPT));
	assert_true(ept01_lookup(GPA1(one + 5 * PAGE_SIZE), &leaf));
	odd_page = one + 5 * PAGE_SIZE;
	ept01_retype(EPT01_EVERYWHERE);
	odd_page = 0;
	assert_true(ept01_changed[20] > since && ept01_changed[21] <= since);
	assert_int_equal(owes(QUIESCE_FLUSH_EPT02), QUIESCE_FLUSH_EPT02);
	/* Whoever looks at a region again remembers it. */
	since = ept01_generation - 1;
	assert_ptr_equal(ept01_look_again(GPA1(one), since), NULL);
	(void)ept01_entry(GPA1(one));
	assert_non_null(ept01_level1(GPA1(one)));
	assert_ptr_equal(ept01_look_again(GPA1(one), since), ept01_level1(GPA1(one)));
	restrict_page(one + 7 * PAGE_SIZE, HYPAPI_R);
	assert_int_equal(owes(QUIESCE_FLUSH_EPT02), QUIESCE_FLUSH_EPT02);
	restrict_page(one + 7 * PAGE_SIZE, 0);
	assert_int_equal(owes(QUIESCE_FLUSH_EPT02), 0);
	ept01_remember(one);
	restrict_page(one + 8 * PAGE_SIZE, 0);
	assert_int_equal(owes(QUIESCE_FLUSH_EPT02), QUIESCE_FLUSH_EPT02);
	for (u32 i = 0; i < EPT01_LOSSES; i++)
		restrict_page(one + 9 * PAGE_SIZE, i & 1 ? HYPAPI_RWX : 0);
	assert_true(ept01_few_losses(ept01_generation - EPT01_LOSSES));
	assert_false(ept01_few_losses(ept01_generation - EPT01_LOSSES - 1));
}

/* Rights that come back need no flush, but are looked for again; what is taken a second time is lost. */
static void grants_owe_nothing(void **state)
{
	u64 page = 30 * SIZE_2M, since;
	static const struct { u32 rights; bool loses; } steps[] = {
		{ HYPAPI_R, true }, { HYPAPI_RX, false }, { HYPAPI_RW, true }, { 0, true }, { HYPAPI_RWX, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		since = ept01_generation;
		(void)owes(0);
		restrict_page(page, steps[i].rights);
		assert_int_equal(owes(QUIESCE_FLUSH_EPT), steps[i].loses ? QUIESCE_FLUSH_EPT : 0);
		assert_true(ept01_generation > since && ept01_changed[30] > since);
	}
}

/* A device's memory type may have changed when EPT02 is told to drop what changed; only RAM is kept. */
static void only_ram_is_kept(void **state)
{
	(void)state;
	assert_true(ept01_still_backs(GPA1(30 * SIZE_2M), 2));
	assert_false(ept01_still_backs(GPA1(0xd0000000), 2));
	assert_false(ept01_still_backs(GPA1(0xb8000), 1));
}

/* ---- Table pages ---- */

#define ROUNDS 40
#define SCATTERED 250

static gpa1_t scattered(u64 round, u64 i)
{
	return GPA1((1 + i) * SIZE_2M + (round * 7 + i) % 512 * PAGE_SIZE);
}

/*
 * Partitions whose pages lie in a region of 2 MiB each, as an operating system hands them out when it has run a while.
 */
static void scattered_pages_come_back(void **state)
{
	size_t at_first = pages_left();

	(void)state;
	for (u64 round = 0; round < ROUNDS; round++) {
		for (u64 i = 0; i < SCATTERED; i++)
			if (scattered(round, i).addr < root_start)
				assert_int_equal(ept01_claim(scattered(round, i)), HYPAPI_OK);
		for (u64 i = 0; i < SCATTERED; i++)
			if (scattered(round, i).addr < root_start)
				take(scattered(round, i), i & 1);
		assert_int_equal(owes(QUIESCE_FLUSH_EPT), QUIESCE_FLUSH_EPT);
		for (u64 i = 0; i < SCATTERED; i++)
			if (scattered(round, i).addr < root_start)
				give(scattered(round, i));
		assert_int_equal(owes(QUIESCE_FLUSH_EPT), QUIESCE_FLUSH_EPT);
		assert_true(pages_left() + 40 > at_first);
		for (u64 i = 0; i < SCATTERED; i++)
			if (scattered(round, i).addr < root_start)
				assert_true(is_ram(scattered(round, i).addr));
	}
	assert_int_equal(owes(QUIESCE_FLUSH_EPT), 0);
}

/* Claims that fail leave split tables, too; what is taken in a region keeps its table, and restrictions count. */
static void tables_in_use_stay(void **state)
{
	u64 region = 5 * SIZE_2M;

	(void)state;
	assert_int_equal(ept01_claim(GPA1(region)), HYPAPI_OK);
	assert_int_equal(ept01_claim(GPA1(region + PAGE_SIZE)), HYPAPI_OK);
	take(GPA1(region), false);
	unclaim(GPA1(region + PAGE_SIZE));
	assert_int_equal(ept01_check_restrict(GPA1(region + 2 * PAGE_SIZE), 1), HYPAPI_OK);
	restrict_page(region + 2 * PAGE_SIZE, HYPAPI_R);
	give(GPA1(region));
	size_t before = pages_left();

	(void)owes(0); /* what is owed from here on is for tables that went */
	for (u64 i = 10; i < 110; i++) {
		assert_int_equal(ept01_claim(GPA1(i * SIZE_2M)), HYPAPI_OK);
		unclaim(GPA1(i * SIZE_2M));
	}
	assert_int_equal(owes(QUIESCE_FLUSH_EPT), QUIESCE_FLUSH_EPT);
	assert_true(pages_left() + 33 > before);
	assert_int_equal(ept01_entry(GPA1(region + 2 * PAGE_SIZE)) & EPT_RIGHTS, HYPAPI_R);
	assert_true(is_ram(region));
	restrict_page(region + 2 * PAGE_SIZE, HYPAPI_RWX);
	assert_int_equal(ept01_entry(GPA1(region + 2 * PAGE_SIZE)) & EPT_RIGHTS, HYPAPI_RWX);
}

/* L1 plays with its MTRRs: what was split for types that are one again is merged. */
static void types_that_change_back(void **state)
{
	size_t before = pages_left();

	(void)state;
	for (u64 i = 0; i < 100; i++) {
		odd_page = (20 + i) * SIZE_2M + 0x5000;
		ept01_retype(EPT01_EVERYWHERE);
		assert_int_equal(ept01_entry(GPA1(odd_page)) & EPT_TYPE, 0);
		assert_int_equal(ept01_entry(GPA1(odd_page + PAGE_SIZE)) & EPT_TYPE, EPT_WB);
	}
	odd_page = 0;
	ept01_retype(EPT01_EVERYWHERE);
	assert_true(pages_left() + 2 > before);
	/* Of a range what meets it, and nothing else; the look-ups find it. */
	odd_page = 40 * SIZE_2M + 0x5000;
	assert_int_equal(ept01_entry(GPA1(odd_page)) & EPT_TYPE, EPT_WB);
	ept01_retype(39 * SIZE_2M, 40 * SIZE_2M);
	ept01_retype(odd_page, odd_page + PAGE_SIZE);
	assert_int_equal(ept01_entry(GPA1(odd_page)) & EPT_TYPE, 0);
	odd_page = 0;
	ept01_retype(41 * SIZE_2M, 1ul << 32);
	assert_int_equal(ept01_entry(GPA1(40 * SIZE_2M + 0x5000)) & EPT_TYPE, 0);
	ept01_retype(40 * SIZE_2M + 0x5000, 40 * SIZE_2M + 0x5001);
	assert_int_equal(ept01_entry(GPA1(40 * SIZE_2M + 0x5000)) & EPT_TYPE, EPT_WB);
}

/* Two CPUs give different rights to one page. What the second one gave alone would take what the first one gave. */
static void no_loss_without_a_stop(void **state)
{
	const u64 page = 9 * SIZE_2M + 3 * PAGE_SIZE;

	(void)state;
	restrict_page(page, HYPAPI_R);
	self.quiesce.depth = 0;
	(void)owes(~0u);
	assert_int_equal(ept01_check_restrict(GPA1(page), 1), HYPAPI_OK);
	restrict_page(page, HYPAPI_RX); /* the other CPU */
	assert_int_equal(ept01_restrict(GPA1(page), 1, HYPAPI_RW, 1), HYPAPI_ESTATE);
	assert_int_equal(ept01_entry(GPA1(page)) & EPT_RIGHTS, HYPAPI_RX);
	assert_int_equal(owes(~0u), 0);
	self.quiesce.depth = 1;
	restrict_page(page, HYPAPI_RW);
	assert_int_equal(ept01_entry(GPA1(page)) & EPT_RIGHTS, HYPAPI_RW);
	assert_int_not_equal(owes(~0u), 0);
}

/* ---- Other CPUs ---- */

#define SPLIT_FIRST 270ul
#define SPLIT_END 500ul
static _Atomic bool splits_done;
static u32 misread; /* read after the thread has ended */

/* A CPU that walks while another one splits: it sees the large leaf or a table that is full. */
static void *walk_around(void *arg)
{
	struct ept01_leaf leaf;

	(void)arg;
	do {
		for (u64 page = SPLIT_FIRST * SIZE_2M + 511 * PAGE_SIZE; page < SPLIT_END * SIZE_2M; page += SIZE_2M) {
			misread += !ept01_lookup(GPA1(page), &leaf) || leaf.hpa.addr != page ||
				   leaf.rights != HYPAPI_RWX;
			misread += ept01_entry(GPA1(page)) != (page | EPT_RIGHTS | EPT_WB | EPT01_RAM);
		}
	} while (!splits_done);
	return NULL;
}

static void splits_are_seen_whole(void **state)
{
	pthread_t walker;

	(void)state;
	assert_int_equal(pthread_create(&walker, NULL, walk_around, NULL), 0);
	for (u64 region = SPLIT_FIRST; region < SPLIT_END; region++)
		assert_int_equal(ept01_check_restrict(GPA1(region * SIZE_2M), 1), HYPAPI_OK);
	splits_done = true;
	pthread_join(walker, NULL);
	assert_int_equal(misread, 0);
}

/* Partitions take what they can get; L1 still reaches a device that it has not used before. */
static void pages_kept_for_l1(void **state)
{
	struct ept01_leaf leaf;
	u64 i;

	(void)state;
	while (page_alloc())
		;
	assert_int_equal(ept01_claim(GPA1(9 * SIZE_2M)), HYPAPI_ENOMEM);
	for (i = 0; i < 30; i++)
		assert_true(ept01_lookup(GPA1(BIT(40) + i * SIZE_1G), &leaf));
	/* With leaves of 1 GiB L1 cannot use them up by looking around. */
	vmx_ept_vpid_cap = EPTCAP_1G;
	for (; i < 3000; i++)
		assert_true(ept01_lookup(GPA1(BIT(40) + i * SIZE_1G), &leaf));
	vmx_ept_vpid_cap = 0;
}

/* Registers that root keeps: L1 finds scratch memory there, whatever it does with memory types; beside them devices. */
static void hidden_registers(void **state)
{
	static const u64 pages[] = { 0xfed90000, 64 * SIZE_1G + 0xfed90000 };
	struct ept01_leaf leaf, other;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(pages); i++)
		ept01_hide_page(GPA1(pages[i]));
	ept01_hide_page(GPA1(BIT(50)));
	for (u32 round = 0; round < 2; round++, ept01_retype(EPT01_EVERYWHERE))
		for (u32 i = 0; i < ARRAY_SIZE(pages); i++) {
			assert_true(ept01_lookup(GPA1(pages[i] + 0x18), &leaf));
			assert_true(is_root_memory(leaf.hpa.addr));
			assert_true(ept01_is_stand_in(leaf.hpa.addr & ~0xfffull, leaf.rights));
			assert_int_equal(leaf.rights, HYPAPI_RW);
			assert_false(leaf.ram);
			for (int side = -1; side <= 1; side += 2) {
				assert_true(ept01_lookup(GPA1(pages[i] + (u64)side * PAGE_SIZE), &other));
				assert_int_equal(other.hpa.addr, pages[i] + (u64)side * PAGE_SIZE);
			}
			assert_int_equal(ept01_check_restrict(GPA1(pages[i]), 1), HYPAPI_EPERM);
			assert_int_equal(ept01_claim(GPA1(pages[i])), HYPAPI_EPERM);
		}
}

/* Of RAM devices have what L1 has, and of what is none what the firmware's devices have always had. */
static void devices_have_what_l1_has(void **state)
{
	const u64 page = 7 * SIZE_2M + 5 * PAGE_SIZE, acpi = RAM_END - 0x20000, nvs = RAM_END - 0x10000;
	static const u32 rights[] = { HYPAPI_R, 0, HYPAPI_RX, HYPAPI_RWX };

	(void)state;
	assert_int_equal(ept01_claim(GPA1(page)), HYPAPI_OK);
	assert_int_equal(device_rights(page), HYPAPI_RW);
	take(GPA1(page), false);
	assert_int_equal(device_rights(page), 0);
	assert_int_equal(device_rights(page + PAGE_SIZE), HYPAPI_RW);
	ept01_retype(EPT01_EVERYWHERE);
	assert_int_equal(device_rights(page), 0);
	give(GPA1(page));
	assert_int_equal(device_rights(page), HYPAPI_RW);
	for (u32 i = 0; i < ARRAY_SIZE(rights); i++) {
		assert_int_equal(ept01_check_restrict(GPA1(page), 1), HYPAPI_OK);
		restrict_page(page, rights[i]);
		assert_int_equal(device_rights(page), rights[i] & HYPAPI_RW);
		ept01_retype(EPT01_EVERYWHERE);
		assert_int_equal(device_rights(page), rights[i] & HYPAPI_RW);
	}
	self.quiesce.online = false; /* guarded at boot */
	ept01_guard_page(GPA1(acpi));
	ept01_guard_page(GPA1(nvs));
	self.quiesce.online = true;
	(void)!iommu_flush();
	assert_int_equal(device_rights(acpi), HYPAPI_R);
	assert_int_equal(device_rights(nvs), HYPAPI_RW); /* no RAM */
}

/* A hypapp keeps devices from a page that L1 has, whatever becomes of L1's rights. */
static void devices_alone_lose(void **state)
{
	const u64 page = 7 * SIZE_2M + 5 * PAGE_SIZE, whole = ept01_entry(GPA1(page));

	(void)state;
	assert_int_equal(ept01_check_restrict(GPA1(page), 3), HYPAPI_OK);
	assert_int_equal(ept01_restrict_dma(GPA1(page), 1, false, 3), HYPAPI_OK);
	assert_int_equal(device_rights(page), 0);
	assert_int_equal(device_rights(page + PAGE_SIZE), HYPAPI_RW);
	assert_int_equal(ept01_entry(GPA1(page)) & (EPT_RIGHTS | EPT_ADDR), page | HYPAPI_RWX);
	assert_int_equal(ept01_claim(GPA1(page)), HYPAPI_EPERM);
	ept01_retype(EPT01_EVERYWHERE);
	assert_int_equal(device_rights(page), 0);
	assert_int_equal(ept01_check_restrict(GPA1(page), 4), HYPAPI_EPERM);
	assert_int_equal(ept01_restrict(GPA1(page), 1, 0, 3), HYPAPI_OK);
	assert_int_equal(ept01_entry(GPA1(page)) & (EPT_RIGHTS | EPT_ADDR), 0);
	assert_int_equal(ept01_restrict(GPA1(page), 1, HYPAPI_RWX, 3), HYPAPI_OK);
	assert_int_equal(device_rights(page), 0);
	assert_int_equal(ept01_restrict(GPA1(page), 1, HYPAPI_R, 3), HYPAPI_OK);
	assert_int_equal(ept01_restrict_dma(GPA1(page), 1, true, 3), HYPAPI_OK);
	assert_int_equal(device_rights(page), HYPAPI_R);
	assert_int_equal(ept01_restrict(GPA1(page), 1, HYPAPI_RWX, 3), HYPAPI_OK);
	assert_int_equal(device_rights(page), HYPAPI_RW);
	assert_int_equal(ept01_entry(GPA1(page)), whole);
}

/* No page for the devices' tables, or a unit that does not answer: the page stays L1's, and devices' too. */
static void devices_that_cannot_be_held(void **state)
{
	const u64 page = 7 * SIZE_2M + 5 * PAGE_SIZE;

	(void)state;
	no_device_tables = true;
	assert_int_equal(ept01_claim(GPA1(page)), HYPAPI_ENOMEM);
	assert_int_equal(ept01_check_restrict(GPA1(page), 1), HYPAPI_ENOMEM);
	no_device_tables = false;
	silent_unit = true;
	assert_int_equal(ept01_claim(GPA1(page)), HYPAPI_OK);
	assert_int_equal(ept01_take(5, &page, 1), HYPAPI_EDMA);
	assert_int_equal(devices[page / PAGE_SIZE], HYPAPI_RW);
	assert_int_equal(ept01_owner(GPA1(page)), 0);
	assert_true(ept01_entry(GPA1(page)) & EPT01_RAM);
	assert_int_equal(ept01_claim(GPA1(page)), HYPAPI_OK);
	unclaim(GPA1(page));
	assert_int_equal(ept01_check_restrict(GPA1(page), 1), HYPAPI_OK);
	assert_int_equal(ept01_restrict(GPA1(page), 1, HYPAPI_R, 1), HYPAPI_EDMA);
	assert_int_equal(ept01_entry(GPA1(page)) & HYPAPI_RWX, HYPAPI_R);
	silent_unit = false;
	restrict_page(page, HYPAPI_RWX);
	assert_int_equal(device_rights(page), HYPAPI_RW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_address_wraps, boot),
		cmocka_unit_test_setup(devices_cannot_be_taken, boot), cmocka_unit_test_setup(hidden_registers, boot),
		cmocka_unit_test_setup(devices_have_what_l1_has, boot),
		cmocka_unit_test_setup(devices_alone_lose, boot),
		cmocka_unit_test_setup(devices_that_cannot_be_held, boot),
		cmocka_unit_test_setup(ram_is_what_the_boot_map_says, boot),
		cmocka_unit_test_setup(ram_that_is_not_l1s, boot),
		cmocka_unit_test_setup(what_moved_is_forgotten_only, boot),
		cmocka_unit_test_setup(grants_owe_nothing, boot),
		cmocka_unit_test_setup(no_loss_without_a_stop, boot),
		cmocka_unit_test_setup(only_ram_is_kept, boot),
		cmocka_unit_test_setup(scattered_pages_come_back, boot),
		cmocka_unit_test_setup(tables_in_use_stay, boot),
		cmocka_unit_test_setup(types_that_change_back, boot),
		cmocka_unit_test_setup(key_bits_are_no_address, boot),
		cmocka_unit_test_setup(splits_are_seen_whole, boot),
		cmocka_unit_test_setup(pages_kept_for_l1, boot), /* the last: nothing is left */
	};

	/* phys_bits() is asked once a boot: 52 bits less seven of keys. */
	tme_activate = 7ull << 32 | 3;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
