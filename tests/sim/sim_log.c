/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the core writes to L1's memory in L2's name, where a hypapp has a say: the page-modification log and the
 * information area of #VE. A log in a page that a hypapp lets L1 only read, or that a partition owns, is not written,
 * and no violation becomes #VE by such an area; what a hypapp copies into L2 is logged; and where the log is full, the
 * hypapp waits until L1 has emptied it. The log holds addresses of pages, which the emulator's does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

enum { SHUT = 0x20, OPEN, OWN, COPY, PAGE_IN, EXIT_HLT = 12, EXIT_VIOLATION = 48, EXIT_LOG_FULL = 62, VE = 20 };
enum { PROC2_PML = 1 << 17, PROC2_VE = 1 << 18, EPTP_AD = 1 << 6, EPT_D = 1 << 9, FULL = 0xffff };
enum { VMCS_EPTP_INDEX = 4, VMCS_VE_INFORMATION = 0x202a, VMCS_PML_INDEX = 0x812, VMCS_PML_ADDR = 0x200e };
enum { VMCS_EPTP = 0x201a, VMCS_PROC2_CTLS = 0x401e };

static struct sim_l2 *l2;
static uint64_t log_page, eptp12;
static uint32_t full_exits;

static int restrict_to(struct hypapi_event *ev, uint32_t rights)
{
	int stopped = hypapi_quiesce(ev);

	return stopped < 0 ? stopped : hypapi_memory_restrict(ev, GPA1(log_page), 1, rights);
}

static int own(struct hypapi_event *ev)
{
	const struct hypapi_partition_page only = { .gva = GVA(log_page), .rights = HYPAPI_RW };
	hypapi_partition_t which;
	int stopped = hypapi_quiesce(ev);

	return stopped < 0 ? stopped : hypapi_partition_create(ev, &only, 1, &which);
}

/* RBX: an address. RAX: the result. */
static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	gva_t at = GVA(hypapi_reg_get(ev, HYPAPI_REG_RBX));
	uint64_t value = 77;
	int result = 0;

	switch (ev->args.hypercall.number) {
	case SHUT: result = restrict_to(ev, HYPAPI_R); break;
	case OPEN: result = restrict_to(ev, HYPAPI_RWX); break;
	case OWN: result = own(ev); break;
	case COPY: result = hypapi_copy_to(ev, at, &value, sizeof(value)); break;
	case PAGE_IN: result = hypapi_page_in(ev, at, HYPAPI_RW); break;
	}
	if (ev->args.hypercall.number == PAGE_IN && !result)
		return HYPAPI_RETRY;
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)result);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict pass(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(log,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_PARTITIONS,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = pass },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = SHUT, .last = PAGE_IN },
	});

static const struct hypapp_descriptor *const hypapps[] = { &hypapp_log, NULL };

static int call(uint32_t number, uint64_t address)
{
	sim_set(HYPAPI_REG_RBX, address);
	sim_assert(sim_hypercall(number) == 0);
	return (int)sim_get(HYPAPI_REG_RAX);
}

static const uint64_t *log_entries(void) { return sim_ram(HPA(log_page)); }

static uint32_t times_logged(uint64_t page)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < 512; i++)
		count += log_entries()[i] == page;
	return count;
}

static uint64_t *leaf(uint64_t gpa2)
{
	uint64_t table = eptp12;

	for (uint32_t shift = 39;; shift -= 9) {
		uint64_t *entry = (uint64_t *)sim_ram(HPA(table & 0xffffffffff000)) + (gpa2 >> shift & 511);

		if (shift == 12)
			return entry;
		table = *entry;
	}
}

/* L1 empties the log; L2, or the hypapp, tries again. */
static bool empties(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)arg;
	if (exit->reason != EXIT_LOG_FULL)
		return false;
	full_exits++;
	sim_l2_vmwrite(of, VMCS_PML_INDEX, 511);
	return true;
}

static void run(sim_code *code, uint64_t index)
{
	sim_l2_vmwrite(l2, VMCS_PML_INDEX, index);
	sim_assert(sim_l2_run(l2, code, NULL, empties) == EXIT_HLT);
}

static void prepare(void)
{
	log_page = sim_memory(HYPAPI_PAGE_SIZE).addr;
	eptp12 = sim_l2_vmread(l2, VMCS_EPTP) | EPTP_AD;
	sim_l2_vmwrite(l2, VMCS_EPTP, eptp12);
	sim_l2_vmwrite(l2, VMCS_PROC2_CTLS, sim_l2_vmread(l2, VMCS_PROC2_CTLS) | PROC2_PML);
	sim_l2_vmwrite(l2, VMCS_PML_ADDR, log_page);
}

static void write_5(void *arg) { (void)arg, sim_write64(GVA(0x5008), 1); }
static void write_6(void *arg) { (void)arg, sim_write64(GVA(0x6ff8), 1); }
static void write_7(void *arg) { (void)arg, sim_write64(GVA(0x7008), 1); }
static void write_8(void *arg) { (void)arg, sim_write64(GVA(0x8008), 1); }

static void pages_are_logged(void *arg)
{
	(void)arg;
	prepare();
	run(write_5, 511);
	sim_assert(times_logged(0x5000) == 1 && !times_logged(0x6000) && log_entries()[511]);
	for (uint32_t i = 0; i < 512; i++)
		sim_assert(!(log_entries()[i] & (HYPAPI_PAGE_SIZE - 1)));
	/* By a hypapp that lets L1 only read it. */
	sim_assert(call(SHUT, 0) == HYPAPI_OK);
	run(write_6, 300);
	sim_assert(!times_logged(0x6000) && sim_l2_vmread(l2, VMCS_PML_INDEX) < 300);
	sim_assert(*leaf(0x6000) & EPT_D);
	sim_assert(call(OPEN, 0) == HYPAPI_OK);
	/* A partition's: neither it nor what stands for it is L1's to write. */
	sim_assert(call(OWN, 0) == HYPAPI_OK);
	run(write_7, 300);
	sim_assert(!times_logged(0x7000) && sim_l2_vmread(l2, VMCS_PML_INDEX) < 300 && !full_exits);
}

static void copies_too(void *arg)
{
	(void)arg;
	sim_assert(call(COPY, 0x6008) == HYPAPI_OK && times_logged(0x6000) == 1);
}

static void waits_for_room(void *arg)
{
	(void)arg;
	sim_assert(call(COPY, 0x7008) == HYPAPI_ENOTMAPPED && !(*leaf(0x7000) & EPT_D) && !times_logged(0x7000));
	sim_assert(call(PAGE_IN, 0x7008) == 1 && full_exits == 1);
	sim_assert(call(COPY, 0x7008) == HYPAPI_OK && (*leaf(0x7000) & EPT_D) && times_logged(0x7000) == 1);
	sim_assert(call(PAGE_IN, 0x7008) == 1 && full_exits == 1);
}

/* With room for one of two pages nothing is written before L1 has made more. */
static void waits_for_more_room(void *arg)
{
	uint64_t at = sim_l2_memory(l2, GPA2(0xaffc)).addr;

	(void)arg;
	sim_assert(call(COPY, 0xaffc) == HYPAPI_ENOTMAPPED && !*(uint32_t *)sim_ram(HPA(at)));
	sim_assert(call(PAGE_IN, 0xb000) == 1 && full_exits == 2);
	sim_assert(call(COPY, 0xaffc) == HYPAPI_OK && *(uint32_t *)sim_ram(HPA(at)) == 77);
	sim_assert(times_logged(0xa000) == 1 && times_logged(0xb000) == 1);
}

static void copies_are_logged(void *arg)
{
	(void)arg;
	prepare();
	run(copies_too, 511);
	sim_assert(!full_exits);
	run(write_8, FULL);
	sim_assert(full_exits && times_logged(0x8000) == 1);
	full_exits = 0;
	sim_l2_vmwrite(l2, VMCS_PML_INDEX, 511);
	run(write_5, 511); /* whatever flags L2's code, stack and tables still want */
	run(waits_for_room, FULL);
	run(waits_for_more_room, 0);
}

/* ---- #VE ---- */

static struct ve { uint32_t reason, busy; uint64_t qualification, linear, physical; uint16_t index; } *area;

static void faults(void *arg)
{
	const uint64_t value = 1;

	(void)arg;
	sim_assert(sim_write(GVA(0x9008), &value, sizeof(value)) == VE);
	sim_assert(area->reason == EXIT_VIOLATION && area->busy == ~0u && area->index == 0x1207);
	sim_assert(area->linear == 0x9008 && area->physical == 0x9008 && (area->qualification & 0x1bf) == 0x182);
}

/* A hypapp that wants the page in is no other than an access of L2's. */
static void pages_in(void *arg)
{
	(void)arg;
	area->busy = 0;
	sim_set(HYPAPI_REG_RBX, 0x9010);
	sim_assert(sim_hypercall(PAGE_IN) == VE && area->busy && area->physical == 0x9010);
}

static void exits(void *arg)
{
	const uint64_t value = 1;

	(void)arg;
	sim_write(GVA(0x9008), &value, sizeof(value));
	sim_assert(false);
}

static void violations_become_ve(void *arg)
{
	(void)arg;
	prepare();
	area = sim_ram(HPA(log_page));
	sim_l2_vmwrite(l2, VMCS_PROC2_CTLS, (sim_l2_vmread(l2, VMCS_PROC2_CTLS) & ~(uint64_t)PROC2_PML) | PROC2_VE);
	sim_l2_vmwrite(l2, VMCS_VE_INFORMATION, log_page);
	sim_l2_vmwrite(l2, VMCS_EPTP_INDEX, 0x1207);
	*leaf(0x9000) = 0;
	sim_l2_invept(l2);
	sim_assert(sim_l2_run(l2, faults, NULL, NULL) == EXIT_HLT);
	sim_assert(sim_l2_run(l2, pages_in, NULL, NULL) == EXIT_HLT);
	area->busy = 0;
	sim_assert(call(SHUT, 0) == HYPAPI_OK);
	sim_assert(sim_l2_run(l2, exits, NULL, NULL) == EXIT_VIOLATION && !area->busy);
	sim_assert(call(OPEN, 0) == HYPAPI_OK && call(OWN, 0) == HYPAPI_OK);
	sim_assert(sim_l2_run(l2, exits, NULL, NULL) == EXIT_VIOLATION && !area->busy);
}

/* ---- Tests ---- */

static void area_is_l1s_to_write(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 1 });
	l2 = sim_l2_create(1 << 20);
	sim_run(0, violations_become_ve, NULL);
}

static void log_is_l1s_to_write(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 1 });
	l2 = sim_l2_create(1 << 20);
	sim_run(0, pages_are_logged, NULL);
}

static void log_knows_what_hypapps_write(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 1 });
	l2 = sim_l2_create(1 << 20);
	sim_run(0, copies_are_logged, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(log_is_l1s_to_write), sim_test(log_knows_what_hypapps_write),
		sim_test(area_is_l1s_to_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
