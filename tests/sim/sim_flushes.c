/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each flush of the core is needed: the test beside it in the table of rows passes, and fails once that flush is left
 * out (hypapi/sim/flushes.h). A flush without a row fails the check, and so does a row without a flush. Most tests ask
 * whether a guest sees what it must see after it has invalidated, as it would on hardware; some of them a CPU would
 * pass by luck, which forgets more than it must. The simulator's forgets nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "hypapi/sim/flushes.h"

enum { TAKE = 0x10, CREATE, DESTROY, ENTER, LEAVE, EXIT_CPUID = 10, EXIT_HLT = 12, GP = 13 };
enum { ENTRY_FAILED = (int)0x80000021 }; /* by the guest state */
enum { ADDR, SINGLE, ALL, GLOBALS }; /* types of INVVPID; of INVEPT: 1 and 2 */
enum { /* VMCS fields */
	VMCS_VPID = 0, VMCS_VIRTUAL_APIC = 0x2012, VMCS_EPTP = 0x201a, VMCS_PROC = 0x4002, VMCS_PROC2 = 0x401e,
	VMCS_GUEST_CR3 = 0x6802, VMCS_GUEST_CR4 = 0x6804, VMCS_GUEST_RFLAGS = 0x6820, VMCS_HOST_CR3 = 0x6c02,
	VMCS_HOST_CR4 = 0x6c04,
};
enum { PROC_TPR_SHADOW = 1 << 21, PROC2_VPID = 1 << 5, MTRR_DEF_TYPE = 0x2ff, APIC_BASE = 0x1b };
enum { X2APIC_ICR = 0x830, INIT = 0x4500, SIPI = 0x4608 };
enum { PTE = 7, PTE_GLOBAL = 1 << 8, PTE_LARGE = 1 << 7, CR0_PG = 1u << 31, CR4_PGE = 1 << 7, CR4_LA57 = 1 << 12 };

#define PAGE 0x1000ull
#define SIZE_2M 0x200000ull
#define WINDOW (1ull << 39)  /* linear; the guests' own tables end below it */
#define WINDOW57 (1ull << 52) /* not canonical with four levels */

/* ---- A hypapp that takes pages ---- */

static hypapi_partition_t partition;

static int create(struct hypapi_event *ev, gva_t at)
{
	const struct hypapi_partition_page page = { .gva = at, .rights = HYPAPI_RW };

	return hypapi_partition_create(ev, &page, 1, &partition);
}

static int enter(struct hypapi_event *ev, uint64_t at)
{
	struct hypapi_partition_entry entry = { .rip = at, .long_mode = true };

	entry.gpr[HYPAPI_REG_RSP] = at + HYPAPI_PAGE_SIZE - 16;
	return hypapi_partition_enter(ev, partition, &entry);
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint32_t number = ev->args.hypercall.number;
	uint64_t at = hypapi_reg_get(ev, HYPAPI_REG_RBX);
	int result = number < ENTER ? hypapi_quiesce(ev) : 0;

	switch (number) {
	case TAKE: result = hypapi_memory_restrict(ev, GPA1(at), 1, 0); break;
	case CREATE: result = create(ev, GVA(at)); break;
	case DESTROY: result = hypapi_partition_destroy(ev, partition); break;
	case ENTER: result = enter(ev, at); break;
	case LEAVE: result = hypapi_partition_leave(ev); break;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)result);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_DENY;
}

static enum hypapi_verdict on_partition_exit(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(taker,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_PARTITIONS,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = on_partition_exit },
	},
	.claims = { { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = TAKE, .last = LEAVE } });

static const struct hypapp_descriptor *const hypapps[] = { &hypapp_taker, NULL };
static struct sim_l2 *l2;

static void boot(void)
{
	sim_boot(hypapps, &(struct sim_options){ .seconds = 60 });
	l2 = sim_l2_create(1 << 20);
}

/* ---- Windows: a page of a guest's linear addresses, whose page-table entry the test changes ---- */

static uint64_t *ram(uint64_t hpa) { return sim_ram(HPA(hpa)); }

/* base: where the guest's physical address 0 lies. tables: guest-physical, three pages. The entry for linear `at`. */
static uint64_t *window(uint64_t base, uint64_t pml4, uint64_t tables, uint64_t at)
{
	ram(base + pml4)[at >> 39 & 511] = tables | PTE;
	ram(base + tables)[0] = (tables + PAGE) | PTE;
	ram(base + tables + PAGE)[0] = (tables + 2 * PAGE) | PTE;
	return ram(base + tables + 2 * PAGE);
}

static uint64_t l2_base(void) { return sim_l2_memory(l2, GPA2(0)).addr; }

/* A window of this CPU's L1 onto two pages with 1 and 2 in them. */
struct l1_window { uint64_t *entry, page; };

static struct l1_window l1_window(void)
{
	uint64_t at = sim_memory(5 * PAGE).addr;

	*ram(at) = 1;
	*ram(at + PAGE) = 2;
	return (struct l1_window){ window(0, sim_get(HYPAPI_REG_CR3), at + 2 * PAGE, WINDOW), at };
}

/* ---- L1 and L2 without VPIDs: each crossing drops what was cached ---- */

static void without_vpid(void)
{
	sim_l2_vmwrite(l2, VMCS_PROC2, sim_l2_vmread(l2, VMCS_PROC2) & ~(uint64_t)PROC2_VPID);
	sim_l2_vmwrite(l2, VMCS_VPID, 0);
}

static void nothing(void *arg) { (void)arg; }

static void l1_changes_its_table(void *arg)
{
	struct l1_window w = l1_window();

	(void)arg;
	without_vpid();
	*w.entry = w.page | PTE;
	sim_assert(sim_read64(GVA(WINDOW)) == 1);
	*w.entry = (w.page + PAGE) | PTE;
	sim_assert(sim_l2_run(l2, nothing, NULL, NULL) == EXIT_HLT);
	sim_assert(sim_read64(GVA(WINDOW)) == 2);
}

static void exit_to_l1_without_vpid(void)
{
	boot();
	sim_run(0, l1_changes_its_table, NULL);
}

/* The entry fails with L1's host state loaded, which is an exit, too: RFLAGS of 0 are no guest's. */
static void l1_fails_to_enter(void *arg)
{
	struct l1_window w = l1_window();

	(void)arg;
	without_vpid();
	sim_l2_vmwrite(l2, VMCS_GUEST_RFLAGS, 0);
	*w.entry = w.page | PTE;
	sim_assert(sim_read64(GVA(WINDOW)) == 1);
	*w.entry = (w.page + PAGE) | PTE;
	sim_assert(sim_l2_run(l2, nothing, NULL, NULL) == (uint32_t)ENTRY_FAILED);
	sim_assert(sim_read64(GVA(WINDOW)) == 2);
}

static void failed_entry_without_vpid(void)
{
	boot();
	sim_run(0, l1_fails_to_enter, NULL);
}

/* L2 changes its table and comes to L1 by CPUID, which does what the test says and lets it go on. */
static void l2_changes_its_table(void *arg)
{
	uint64_t at = *(const uint64_t *)arg, cr3 = sim_get(HYPAPI_REG_CR3) & ~(PAGE - 1), *entry;

	if (sim_get(HYPAPI_REG_CR4) & CR4_LA57) {
		ram(l2_base() + cr3)[at >> 48 & 511] = 0xb000 | PTE;
		cr3 = 0xb000;
	}
	entry = window(l2_base(), cr3, 0x8000, at);
	*ram(l2_base() + 0x5000) = 1;
	*ram(l2_base() + 0x6000) = 2;
	*entry = 0x5000 | PTE;
	sim_invlpg(GVA(at));
	sim_assert(sim_read64(GVA(at)) == 1);
	*entry = 0x6000 | PTE;
	sim_assert(sim_cpuid(1, 0) == 0);
	sim_assert(sim_read64(GVA(at)) == 2);
}

static bool l1_does(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	uint32_t type = ((const uint64_t *)arg)[1];

	(void)of;
	sim_assert(exit->reason == EXIT_CPUID);
	if (type <= GLOBALS)
		sim_invvpid(type, type == ALL ? 0 : 1, GVA(*(const uint64_t *)arg));
	sim_l2_skip(exit);
	return true;
}

static void entry_without_vpid_code(void *arg)
{
	(void)arg;
	without_vpid();
	sim_assert(sim_l2_run(l2, l2_changes_its_table, (uint64_t[]){ WINDOW, -1ull }, l1_does) == EXIT_HLT);
}

static void entry_without_vpid(void)
{
	boot();
	sim_run(0, entry_without_vpid_code, NULL);
}

/* ---- INVVPID and INVEPT of L1 ---- */

static void invvpid_code(void *arg)
{
	sim_assert(sim_l2_run(l2, l2_changes_its_table, (uint64_t[]){ WINDOW, *(uint64_t *)arg }, l1_does) == EXIT_HLT);
}

static void invvpid_one_vpid(void)
{
	boot();
	for (uint64_t type = ADDR; type <= GLOBALS; type++)
		if (type != ALL)
			sim_run(0, invvpid_code, &type);
}

static void invvpid_all(void)
{
	uint64_t type = ALL;

	boot();
	sim_run(0, invvpid_code, &type);
}

/* L1 and L2 page by five levels, which only a CPU in root with five would take in INVVPID of one address. */
static void invvpid_of_57_bits_code(void *arg)
{
	uint64_t cr3 = sim_get(HYPAPI_REG_CR3), pml5 = sim_memory(PAGE).addr;

	(void)arg;
	*ram(pml5) = cr3 | PTE;
	sim_set(HYPAPI_REG_CR4, sim_get(HYPAPI_REG_CR4) | CR4_LA57);
	sim_set(HYPAPI_REG_CR3, pml5);
	*ram(l2_base() + 0xc000) = sim_l2_vmread(l2, VMCS_GUEST_CR3) | PTE;
	sim_l2_vmwrite(l2, VMCS_GUEST_CR3, 0xc000);
	sim_l2_vmwrite(l2, VMCS_GUEST_CR4, sim_l2_vmread(l2, VMCS_GUEST_CR4) | CR4_LA57);
	sim_l2_vmwrite(l2, VMCS_HOST_CR3, pml5);
	sim_l2_vmwrite(l2, VMCS_HOST_CR4, sim_l2_vmread(l2, VMCS_HOST_CR4) | CR4_LA57);
	sim_assert(sim_l2_run(l2, l2_changes_its_table, (uint64_t[]){ WINDOW57, ADDR }, l1_does) == EXIT_HLT);
}

static void invvpid_of_57_bits(void)
{
	boot();
	sim_run(0, invvpid_of_57_bits_code, NULL);
}

static void l2_reads_twice(void *arg)
{
	(void)arg;
	sim_assert(sim_read64(GVA(0x5000)) == 1);
	sim_assert(sim_cpuid(1, 0) == 0);
	sim_assert(sim_read64(GVA(0x5000)) == 2);
}

static bool l1_moves_a_page(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	sim_l2_map(of, GPA2(0x5000), sim_l2_memory(of, GPA2(0x6000)), HYPAPI_RWX);
	sim_invept(*(uint32_t *)arg, sim_l2_vmread(of, VMCS_EPTP));
	sim_l2_skip(exit);
	return true;
}

static void invept_code(void *arg)
{
	*ram(l2_base() + 0x5000) = 1;
	*ram(l2_base() + 0x6000) = 2;
	sim_assert(sim_l2_run(l2, l2_reads_twice, arg, l1_moves_a_page) == EXIT_HLT);
}

static void invept_single(void)
{
	uint32_t type = SINGLE;

	boot();
	sim_run(0, invept_code, &type);
}

static void invept_all(void)
{
	uint32_t type = ALL;

	boot();
	sim_run(0, invept_code, &type);
}

/* ---- EPT02: roots and pages that are used again ---- */

static void l2_reads_its_number(void *arg) { sim_assert(sim_read64(GVA(0x5000)) == *(uint64_t *)arg); }

static void more_l2s_than_roots(void *arg)
{
	(void)arg;
	for (uint64_t i = 0; i < 6; i++) {
		struct sim_l2 *one = sim_l2_create(1 << 20);

		*ram(sim_l2_memory(one, GPA2(0x5000)).addr) = i;
		sim_assert(sim_l2_run(one, l2_reads_its_number, &i, NULL) == EXIT_HLT);
	}
}

static void ept02_roots_change_hands(void)
{
	boot();
	sim_run(0, more_l2s_than_roots, NULL);
}

/* Two pages of each of so many 2 MiB that EPT02 has not as many tables; each page with a number of its own. */
#define REGIONS 300ull

static uint64_t number_of(uint64_t region, uint64_t page) { return region * 2 + page; }

static void l2_touches_all(void *arg)
{
	uint64_t *pd = ram(l2_base() + (sim_get(HYPAPI_REG_CR3) & ~(PAGE - 1)) + 2 * PAGE);

	(void)arg;
	for (uint64_t i = 1; i <= REGIONS; i++)
		pd[i] = i * SIZE_2M | PTE_LARGE | PTE;
	for (uint64_t i = 1; i <= REGIONS; i++)
		sim_assert(sim_read64(GVA(i * SIZE_2M)) == number_of(i, 0));
	for (uint64_t i = REGIONS; i; i--)
		sim_assert(sim_read64(GVA(i * SIZE_2M + PAGE)) == number_of(i, 1));
}

static void scattered_l2(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i <= REGIONS; i++)
		for (uint64_t page = 0; page < 2; page++) {
			gpa1_t at = sim_memory(PAGE);

			*ram(at.addr) = number_of(i, page);
			sim_l2_map(l2, GPA2(i * SIZE_2M + page * PAGE), at, HYPAPI_RWX);
		}
	sim_assert(sim_l2_run(l2, l2_touches_all, NULL, NULL) == EXIT_HLT);
}

static void ept02_pages_change_hands(void)
{
	boot();
	sim_run(0, scattered_l2, NULL);
}

/* ---- Pages taken and given back, and types changed, while another CPU has them cached ---- */

static uint32_t progress; /* atomic; the two CPUs take turns */
static gpa1_t page;

static void wait_for(uint32_t step)
{
	while (__atomic_load_n(&progress, __ATOMIC_ACQUIRE) < step)
		sim_pause();
}

static void reach(uint32_t step)
{
	__atomic_store_n(&progress, step, __ATOMIC_RELEASE);
}

static void call(uint32_t number)
{
	sim_set(HYPAPI_REG_RBX, page.addr);
	sim_assert(sim_hypercall(number) == 0 && sim_get(HYPAPI_REG_RAX) == 0);
}

static void two_cpus(sim_code *changer, sim_code *user)
{
	boot();
	page = sim_memory(PAGE);
	*ram(page.addr) = 5;
	sim_start(1, user, NULL);
	sim_start(0, changer, NULL);
	sim_wait();
}

static void takes(void *arg) { (void)arg; wait_for(1); call(TAKE); reach(2); }

static void loses(void *arg)
{
	uint64_t value;

	(void)arg;
	sim_assert(sim_read64(GVA(page.addr)) == 5);
	reach(1);
	wait_for(2);
	sim_assert(sim_read(GVA(page.addr), &value, 8) == GP);
}

static void rights_are_taken(void) { two_cpus(takes, loses); }

/* The same page of an L2: which runs meanwhile, or has run before. */
static void l2_uses(void *arg) { (void)arg; sim_assert(sim_read64(GVA(0x5000)) == 5); }

static void l2_loses(void *arg)
{
	uint64_t value;

	(void)arg;
	sim_assert(sim_read(GVA(0x5000), &value, 8) == GP);
}

static void l2_uses_and_loses(void *arg)
{
	l2_uses(arg);
	reach(1);
	wait_for(2);
	l2_loses(arg);
}

static void loses_in_l2(void *arg)
{
	sim_l2_map(l2, GPA2(0x5000), page, HYPAPI_RWX);
	sim_assert(sim_l2_run(l2, l2_uses_and_loses, arg, NULL) == EXIT_HLT);
}

static void loses_before_l2(void *arg)
{
	sim_l2_map(l2, GPA2(0x5000), page, HYPAPI_RWX);
	sim_assert(sim_l2_run(l2, l2_uses, arg, NULL) == EXIT_HLT);
	reach(1);
	wait_for(2);
	sim_assert(sim_l2_run(l2, l2_loses, arg, NULL) == EXIT_HLT);
}

static void rights_are_taken_in_l2(void) { two_cpus(takes, loses_in_l2); }
static void rights_are_taken_before_l2(void) { two_cpus(takes, loses_before_l2); }

static void makes_partition(void *arg) { (void)arg; wait_for(1); call(CREATE); reach(2); }

static void sees_zeros(void *arg)
{
	(void)arg;
	sim_assert(sim_read64(GVA(page.addr)) == 5);
	reach(1);
	wait_for(2);
	sim_assert(sim_read64(GVA(page.addr)) == 0);
}

static void partition_takes(void) { two_cpus(makes_partition, sees_zeros); }

static void l2_goes_on(void *arg)
{
	(void)arg;
	reach(1);
	wait_for(2);
	sim_pause();
}

/* The CPU writes to L1's virtual-APIC page by the address in VMCS02, past every EPT. */
static void has_virtual_apic(void *arg)
{
	sim_l2_vmwrite(l2, VMCS_PROC, sim_l2_vmread(l2, VMCS_PROC) | PROC_TPR_SHADOW);
	sim_l2_vmwrite(l2, VMCS_VIRTUAL_APIC, page.addr);
	sim_assert(sim_l2_run(l2, l2_goes_on, arg, NULL) == EXIT_HLT);
}

static void partition_takes_virtual_apic(void) { two_cpus(makes_partition, has_virtual_apic); }

static void ends_partition(void *arg)
{
	(void)arg;
	call(CREATE);
	reach(1);
	wait_for(2);
	call(DESTROY);
	*ram(page.addr) = 6;
	reach(3);
}

static void sees_it_again(void *arg)
{
	(void)arg;
	wait_for(1);
	sim_assert(sim_read64(GVA(page.addr)) == 0);
	reach(2);
	wait_for(3);
	sim_assert(sim_read64(GVA(page.addr)) == 6);
}

static void partition_gives_back(void) { two_cpus(ends_partition, sees_it_again); }

/* The same for a device, which remembers rights as well as none. */
static void device_is_kept_out(void *arg)
{
	(void)arg;
	sim_assert(sim_device(page, HYPAPI_RW));
	reach(1);
	wait_for(2);
	sim_assert(!sim_device(page, HYPAPI_R) && !sim_device(page, HYPAPI_W));
	sim_assert(sim_device(GPA1(page.addr + PAGE), HYPAPI_RW) && sim_device(GPA1(page.addr - PAGE), HYPAPI_RW));
}

static void device_comes_back(void *arg)
{
	(void)arg;
	wait_for(1);
	sim_assert(!sim_device(page, HYPAPI_R));
	reach(2);
	wait_for(3);
	sim_assert(sim_device(page, HYPAPI_RW));
}

static void rights_are_taken_from_devices(void) { two_cpus(takes, device_is_kept_out); }
static void partition_takes_from_devices(void) { two_cpus(makes_partition, device_is_kept_out); }
static void partition_gives_back_to_devices(void) { two_cpus(ends_partition, device_comes_back); }

static uint64_t seen; /* by the partition, in its page */

static void partition_code(void *arg)
{
	(void)arg;
	seen = sim_read64(GVA(page.addr));
	sim_hypercall(LEAVE);
}

static void makes_two_partitions(void *arg)
{
	(void)arg;
	call(CREATE);
	reach(1);
	wait_for(2);
	call(DESTROY);
	page = sim_memory(PAGE);
	*ram(page.addr) = 6;
	call(CREATE);
	reach(3);
}

static void runs_them(void *arg)
{
	(void)arg;
	wait_for(1);
	call(ENTER);
	sim_assert(seen == 5);
	reach(2);
	wait_for(3);
	call(ENTER);
	sim_assert(seen == 6);
}

/* The second has the EPT root of the first, and nothing is flushed when it is entered. */
static void partitions_follow_each_other(void)
{
	sim_partition_code(partition_code, NULL);
	two_cpus(makes_two_partitions, runs_them);
}

static void changes_types(void *arg)
{
	(void)arg;
	wait_for(1);
	sim_assert(sim_wrmsr(MTRR_DEF_TYPE, 0x800) == 0);
	reach(2);
}

static void uses_types(void *arg)
{
	(void)arg;
	sim_read64(GVA(page.addr));
	reach(1);
	wait_for(2);
	sim_read64(GVA(page.addr));
}

static void types_change(void) { two_cpus(changes_types, uses_types); }

/* ---- CPUs that start ---- */

static void send(uint64_t icr)
{
	sim_assert(sim_wrmsr(X2APIC_ICR, 1ull << 32 | icr) == 0);
}

static void use_x2apic(void)
{
	uint64_t base;

	sim_assert(sim_rdmsr(APIC_BASE, &base) == 0 && sim_wrmsr(APIC_BASE, base | 1 << 10) == 0);
}

static void sends_init(void *arg)
{
	(void)arg;
	use_x2apic();
	wait_for(1);
	send(INIT);
	send(SIPI);
}

/* A global page, which MOV to CR3 does not drop; INIT does. */
static void is_started_anew(void *arg)
{
	struct l1_window w = l1_window();

	(void)arg;
	use_x2apic();
	sim_set(HYPAPI_REG_CR4, sim_get(HYPAPI_REG_CR4) | CR4_PGE);
	*w.entry = w.page | PTE | PTE_GLOBAL;
	sim_assert(sim_read64(GVA(WINDOW)) == 1);
	*w.entry = (w.page + PAGE) | PTE | PTE_GLOBAL;
	reach(1);
	while (sim_get(HYPAPI_REG_CR0) & CR0_PG)
		sim_pause();
	sim_start_again();
	sim_assert(sim_read64(GVA(WINDOW)) == 2);
}

static void init_drops_all(void) { two_cpus(sends_init, is_started_anew); }

static void reads(void *arg) { (void)arg; sim_assert(sim_read64(GVA(page.addr)) == 5); }

/* What the firmware, or another hypervisor before us, has left in a CPU. */
static void nothing_is_left_from_before(void) { two_cpus(nothing, reads); }

/* ---- The table ---- */

static const struct row {
	const char *file, *function, *call;
	const char *name;
	void (*test)(void);
} rows[] = {
#define ROW(file, function, call, test) { "xmhf/" file, function, call, #test, test }
	ROW("mem/ept01.c", "owe_flush", "quiesce_add_work(work)", rights_are_taken),
	ROW("mem/ept01.c", "owe_flush", "quiesce_add_work(work)", partition_takes),
	ROW("mem/ept01.c", "owe_flush", "quiesce_add_work(work)", partition_gives_back),
	ROW("mem/ept01.c", "owe_flush", "quiesce_add_work(work)", partitions_follow_each_other),
	ROW("mem/ept01.c", "owe_flush", "quiesce_add_work(work)", types_change),
	ROW("mem/ept01.c", "restrict_pages", "iommu_flush()", rights_are_taken_from_devices),
	ROW("mem/ept01.c", "ept01_take", "iommu_flush()", partition_takes_from_devices),
	ROW("mem/ept01.c", "ept01_give", "iommu_flush()", partition_gives_back_to_devices),
	ROW("quiesce/quiesce_hooks.c", "quiesce_hook_flush", "flush_ept(INVEPT_ALL, 0)", rights_are_taken),
	ROW("quiesce/quiesce_hooks.c", "quiesce_hook_flush", "flush_ept(INVEPT_ALL, 0)", partitions_follow_each_other),
	ROW("apic/smp.c", "start_at", "flush_vpid(INVVPID_SINGLE, VPID_L1)", init_drops_all),
	ROW("nested/ept02_use.c", "nested_select_ept02",
	    "flush_ept(INVEPT_SINGLE, ept02_pointer(&n->ept02, a->root))", ept02_roots_change_hands),
	ROW("nested/ept02_use.c", "nested_invept", "ept02_invalidate(ept, eptp12, &roots)", invept_single),
	ROW("nested/ept02_use.c", "nested_invept", "ept02_invalidate_all(ept)", invept_all),
	ROW("nested/ept02_use.c", "revalidated", "ept02_revalidate(&n->ept02, &change)", rights_are_taken_in_l2),
	ROW("nested/ept02_use.c", "nested_drop_ept02", "ept02_invalidate_all(&n->ept02)", rights_are_taken_before_l2),
	ROW("nested/ept02_use.c", "nested_drop_ept02", "vmcs02_retranslate(cpu)", partition_takes_virtual_apic),
	ROW("nested/ept02_use.c", "nested_invept", "flush_ept(INVEPT_ALL, 0)", invept_all),
	ROW("nested/ept02_use.c", "nested_invept",
	    "flush_ept(INVEPT_SINGLE, ept02_pointer(ept, (u32)__builtin_ctz(roots)))", invept_single),
	ROW("nested/ept02_fault.c", "fill", "flush_ept(INVEPT_ALL, 0)", ept02_pages_change_hands),
	ROW("nested/host_state.c", "nested_resume_l1", "flush_vpid(INVVPID_SINGLE, VPID_L1)",
	    failed_entry_without_vpid),
	ROW("nested/host_state.c", "nested_resume_l1", "flush_vpid(INVVPID_SINGLE, VPID_L1)", exit_to_l1_without_vpid),
	ROW("nested/insn.c", "invvpid_of_l1", "invvpid(type, 0, 0)", invvpid_all),
	ROW("nested/insn.c", "invvpid_of_l1", "invvpid(type, vpid02, d->high)", invvpid_one_vpid),
	ROW("nested/insn.c", "invvpid_of_l1", "invvpid(INVVPID_SINGLE, vpid02, 0)", invvpid_of_57_bits),
	ROW("nested/vmcs02.c", "vmcs02_merge", "flush_vpid(INVVPID_SINGLE, a->vpid02)", entry_without_vpid),
	ROW("vmx/vmx.c", "vmx_start", "flush_ept(INVEPT_ALL, 0)", nothing_is_left_from_before),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* How often the sources of the core flush, by file: counted in the text, also of files that are not simulated. */
static const struct { const char *file; size_t count; } sources[] = {
#include "flush_counts.inc"
};

static struct flush_site *site_of(const struct row *row)
{
	for (size_t i = 0; i < sim_flush_count(); i++) {
		struct flush_site *site = sim_flush_site(i);

		if (!strcmp(site->file, row->file) && !strcmp(site->function, row->function) &&
		    !strcmp(site->call, row->call))
			return site;
	}
	return NULL;
}

static size_t count_sites(const char *file)
{
	size_t count = 0;

	for (size_t i = 0; i < sim_flush_count(); i++)
		count += !strcmp(sim_flush_site(i)->file, file);
	return count;
}

static void every_flush_has_a_test(void **state)
{
	size_t missing = 0, known = 0;

	(void)state;
	for (size_t i = 0; i < sim_flush_count(); i++) {
		bool found = false;

		for (size_t r = 0; r < ROWS; r++)
			found |= site_of(&rows[r]) == sim_flush_site(i);
		known += found;
		if (!found)
			print_error("%s: %s(): %s has no test\n", sim_flush_site(i)->file, sim_flush_site(i)->function,
				    sim_flush_site(i)->call);
	}
	for (size_t r = 0; r < ROWS; r++)
		if (!site_of(&rows[r])) {
			print_error("%s: %s(): %s is not there\n", rows[r].file, rows[r].function, rows[r].call);
			missing++;
		}
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (count_sites(sources[i].file) != sources[i].count) {
			print_error("%s flushes %zu times, of which the simulator knows %zu\n", sources[i].file,
				    sources[i].count, count_sites(sources[i].file));
			missing++;
		}
	assert_int_equal(known, sim_flush_count());
	assert_int_equal(missing, 0);
}

static int run_whole(void *arg)
{
	const struct row *row = arg;

	row->test();
	return site_of(row)->reached ? 0 : 1;
}

static int run_without(void *arg)
{
	const struct row *row = arg;

	sim_flush_remove(site_of(row));
	row->test();
	return 0;
}

static void is_needed(void **state)
{
	const struct row *row = *state;
	char fault[SIM_FAULT_BYTES];

	assert_non_null(site_of(row));
	assert_int_equal(sim_isolated(run_whole, *state, fault), 0);
	assert_int_equal(sim_isolated(run_without, *state, fault), SIM_FAULT_STATUS);
	if (strstr(fault, "makes no progress") || strstr(fault, "panic"))
		fail_msg("%s without its flush: %s", row->name, fault);
}

/* What a partition costs in flushes of devices: one when it is made, one at its end, and none for its runs. */
static void counts_flushes(void *arg)
{
	uint64_t before = sim_device_flushes();

	(void)arg;
	call(CREATE);
	sim_assert(sim_device_flushes() == before + 1);
	for (int i = 0; i < 100; i++)
		call(ENTER);
	sim_assert(sim_device_flushes() == before + 1);
	call(DESTROY);
	sim_assert(sim_device_flushes() == before + 2);
	call(TAKE);
	sim_assert(sim_device_flushes() == before + 3);
}

static int run_partition(void *arg)
{
	sim_partition_code(partition_code, NULL);
	boot();
	page = sim_memory(PAGE);
	sim_run(0, counts_flushes, arg);
	return 0;
}

static void partitions_run_without(void **state)
{
	char fault[SIM_FAULT_BYTES];

	if (sim_isolated(run_partition, *state, fault))
		fail_msg("%s", fault);
}

int main(void)
{
	struct CMUnitTest tests[ROWS + 2] = {
		cmocka_unit_test(every_flush_has_a_test), cmocka_unit_test(partitions_run_without),
	};

	for (size_t r = 0; r < ROWS; r++)
		tests[r + 2] = (struct CMUnitTest){ rows[r].call, is_needed, NULL, NULL, (void *)&rows[r] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
