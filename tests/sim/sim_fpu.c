/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FPU and SIMD registers of partitions: own ones, as after a reset at first, kept from call to call; nothing of the
 * caller's is seen in them, nor of theirs by the caller, whatever the caller's XCR0 says; without them #UD. The pages
 * that hold them come back, wiped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "cpu/fpu.h"
#include "cpu/percpu.h"
#include "mem/pages.h"
#include "mem/partition.h"
#include "vmx/exit.h"

enum { CREATE = 0x10, ADD, ENTER, DESTROY };
enum { PARTITIONS = 2, XSETBV = 55, XCR0_SSE = 3, XCR0_AVX = 7, MXCSR_RESET = 0x1f80, MXCSR_OTHER = 0x1fa0 };
enum { CR4_OSXSAVE = 1 << 18, SLP_EN = 1 << 13 };

static hypapi_partition_t partitions[PARTITIONS];
static gpa1_t pages[PARTITIONS]; /* code, then stack */
static uint32_t ended_by; /* vector */
static bool init_comes;   /* for this CPU, while it begins to enter */
static _Atomic bool init_came;
static bool stays; /* the owner does not leave the partition */

static int create(struct hypapi_event *ev, uint64_t i)
{
	const struct hypapi_partition_page list[] = {
		{ .gva = GVA(pages[i].addr), .rights = HYPAPI_RX },
		{ .gva = GVA(pages[i].addr + HYPAPI_PAGE_SIZE), .rights = HYPAPI_RW },
	};

	return hypapi_partition_create(ev, list, 2, &partitions[i]);
}

static int enter(struct hypapi_event *ev, uint64_t i)
{
	struct hypapi_partition_entry entry = { .rip = pages[i].addr, .long_mode = true };

	entry.gpr[HYPAPI_REG_RSP] = pages[i].addr + 2 * HYPAPI_PAGE_SIZE - 8;
	return hypapi_partition_enter(ev, partitions[i], &entry);
}

/* RBX: which partition. */
static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint64_t i = hypapi_reg_get(ev, HYPAPI_REG_RBX);
	uint32_t number = ev->args.hypercall.number;
	int result = number == ENTER ? enter(ev, i) : hypapi_quiesce(ev);

	switch (number) {
	case CREATE: result = create(ev, i); break;
	case ADD: result = hypapi_partition_add_fpu(ev, partitions[i]); break;
	case DESTROY: result = hypapi_partition_destroy(ev, partitions[i]); break;
	}
	if (number == ENTER && init_comes)
		exit_init(this_cpu());
	init_comes &= number != ENTER;
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)result);
	return HYPAPI_HANDLED;
}

/* RET to address 0, or a fault. */
static enum hypapi_verdict on_partition_exit(struct hypapi_event *ev)
{
	ended_by = ev->args.partition_exit.vector;
	init_came |= ev->args.partition_exit.reason == HYPAPI_PEXIT_INIT;
	if (!stays)
		hypapi_partition_leave(ev);
	return HYPAPI_HANDLED;
}

HYPAPP_DEFINE(fpu,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_PARTITIONS,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = on_partition_exit },
	},
	.claims = { { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CREATE,
		      .last = DESTROY } });

/* ---- Guests ---- */

static const uint64_t callers[4] = { 0xca11e4001, 0xca11e4002, 0xca11e4003, 0xca11e4004 };
static const uint64_t own[4] = { 0x04e5001, 0x04e5002, 0x04e5003, 0x04e5004 };
static uint64_t found[4];
static uint32_t found_mxcsr;

static void partition_code(void *arg)
{
	(void)arg;
	if (sim_simd_store(found, &found_mxcsr) == 0)
		sim_simd_load(own, MXCSR_OTHER);
}

static int call(uint32_t number, uint64_t i)
{
	sim_set(HYPAPI_REG_RBX, i);
	sim_assert(sim_hypercall(number) == 0);
	return (int)sim_get(HYPAPI_REG_RAX);
}

static void set_xcr0(uint64_t value)
{
	sim_set(HYPAPI_REG_RCX, 0);
	sim_set(HYPAPI_REG_RAX, value);
	sim_set(HYPAPI_REG_RDX, 0);
	sim_assert(sim_exit(XSETBV, 0) == 0);
}

/* The caller has these before the call and after it, and the partition finds what it left. */
static void runs(uint64_t i, uint64_t xcr0, const uint64_t finds[4], uint32_t mxcsr)
{
	uint64_t value[4];
	uint32_t control;

	set_xcr0(XCR0_AVX);
	sim_assert(sim_simd_load(callers, MXCSR_RESET | 0x40) == 0);
	set_xcr0(xcr0);
	sim_assert(call(ENTER, i) == HYPAPI_OK && ended_by == 14);
	sim_assert(!memcmp(found, finds, sizeof(found)) && found_mxcsr == mxcsr);
	set_xcr0(XCR0_AVX);
	sim_assert(sim_simd_store(value, &control) == 0);
	sim_assert(!memcmp(value, callers, sizeof(value)) && control == (MXCSR_RESET | 0x40));
}

/* Whether any quadword of root memory has one of these values, which are neighbours. Many: not for the sanitizer. */
__attribute__((no_sanitize("thread", "address"))) static bool root_has(const uint64_t values[4])
{
	for (uint64_t at = root_start; at < root_end; at += PAGE_SIZE) {
		const uint64_t *page = sim_ram(HPA(at));

		for (uint32_t i = 0; i < PAGE_SIZE / sizeof(*page); i++)
			if (page[i] - values[0] < 4)
				return true;
	}
	return false;
}

static void make(uint64_t i)
{
	sim_assert(call(CREATE, i) == HYPAPI_OK);
}

/* XCR0 is the caller's again, too: without AVX there the registers are out of reach. */
static void keeps_xcr0(void)
{
	uint64_t value[4];
	uint32_t mxcsr;

	set_xcr0(XCR0_SSE);
	sim_assert(call(ENTER, 0) == HYPAPI_OK);
	sim_assert(sim_simd_store(value, &mxcsr) == 6);
}

/* What the core does before a reset that may leave registers as they are. */
static void clears_registers(void)
{
	static const uint64_t zeros[4];
	uint64_t value[4];
	uint32_t mxcsr;

	set_xcr0(XCR0_AVX);
	sim_assert(sim_simd_load(callers, MXCSR_OTHER) == 0);
	fpu_clear();
	sim_assert(sim_simd_store(value, &mxcsr) == 0);
	sim_assert(!memcmp(value, zeros, sizeof(value)) && mxcsr == MXCSR_RESET);
}

static void uses(void)
{
	static const uint64_t zeros[4];

	make(0);
	make(1);
	sim_assert(call(ENTER, 0) == HYPAPI_OK && ended_by == 6);
	sim_assert(call(ADD, 0) == HYPAPI_OK);
	runs(0, XCR0_AVX, zeros, MXCSR_RESET);
	runs(0, XCR0_AVX, own, MXCSR_OTHER);
	runs(0, XCR0_SSE, own, MXCSR_OTHER);
	keeps_xcr0();
	sim_assert(call(ENTER, 1) == HYPAPI_OK && ended_by == 6);
	runs(0, XCR0_AVX, own, MXCSR_OTHER);
	sim_assert(root_has(own) && !root_has(callers));
	sim_assert(call(DESTROY, 0) == HYPAPI_OK);
	sim_assert(!root_has(own));
	make(0);
	sim_assert(call(ENTER, 0) == HYPAPI_OK && ended_by == 6);
	sim_assert(call(ADD, 0) == HYPAPI_OK);
	runs(0, XCR0_AVX, zeros, MXCSR_RESET);
	sim_assert(root_has(own));
	partition_wipe_all(); /* what a fault of its owner's ends in */
	sim_assert(!root_has(own));
	sim_assert(call(DESTROY, 0) == HYPAPI_OK && call(DESTROY, 1) == HYPAPI_OK);
	clears_registers();
}

static void in_l2(void *arg)
{
	(void)arg;
	sim_set(HYPAPI_REG_CR4, sim_get(HYPAPI_REG_CR4) | CR4_OSXSAVE);
	uses();
}

static bool answer(struct sim_l2 *l2, const struct sim_l2_exit *exit, void *arg)
{
	(void)l2;
	(void)arg;
	if (exit->reason != XSETBV)
		return false;
	set_xcr0(exit->gpr[0]);
	sim_l2_skip(exit);
	return true;
}

static void in_l1(void *arg)
{
	size_t left;

	(void)arg;
	sim_set(HYPAPI_REG_CR4, sim_get(HYPAPI_REG_CR4) | CR4_OSXSAVE);
	for (uint64_t i = 0; i < PARTITIONS; i++)
		pages[i] = sim_memory(2 * HYPAPI_PAGE_SIZE);
	uses();
	left = pages_left();
	uses();
	sim_assert(pages_left() == left);
}

static void of_l2(void *arg)
{
	struct sim_l2 *l2 = sim_l2_create(1 << 20);

	(void)arg;
	sim_set(HYPAPI_REG_CR4, sim_get(HYPAPI_REG_CR4) | CR4_OSXSAVE);
	pages[0] = GPA1(0x10000);
	pages[1] = GPA1(0x20000);
	sim_assert(sim_l2_run(l2, in_l2, NULL, answer) == 12);
}

/* ---- A machine that was to be switched off, and goes on ---- */

enum { NOT_YET, IN_PARTITION, AWAKE };
enum { GP = 13 };
static _Atomic int sleep_state;

static void partition_at_sleep(void *arg)
{
	(void)arg;
	sim_assert(sim_simd_load(own, MXCSR_OTHER) == 0);
	sleep_state = IN_PARTITION;
	while (sleep_state != AWAKE)
		sim_assert(sim_cpuid(0, 0) == 0); /* where this CPU is stopped, and the partition ends */
	sim_assert(false);
}

/*
 * The caller has its registers, whatever was wiped of the partition's, and no page has those. The partition has got
 * #GP, and its caller where the owner does nothing.
 */
static void calls_at_sleep(void *arg)
{
	uint64_t value[4];
	uint32_t mxcsr;

	stays = arg;
	sim_set(HYPAPI_REG_CR4, sim_get(HYPAPI_REG_CR4) | CR4_OSXSAVE);
	pages[0] = sim_memory(2 * HYPAPI_PAGE_SIZE);
	make(0);
	sim_assert(call(ADD, 0) == HYPAPI_OK);
	set_xcr0(XCR0_AVX);
	sim_assert(sim_simd_load(callers, MXCSR_RESET | 0x40) == 0);
	sim_set(HYPAPI_REG_RBX, 0);
	sim_assert(sim_hypercall(ENTER) == (stays ? GP : 0) && ended_by == GP);
	sim_assert(sim_simd_store(value, &mxcsr) == 0);
	sim_assert(!memcmp(value, callers, sizeof(value)) && mxcsr == (MXCSR_RESET | 0x40));
	sim_assert(!root_has(own) && !root_has(callers));
	sim_assert(call(DESTROY, 0) == HYPAPI_OK);
}

static void sleeps(void *arg)
{
	(void)arg;
	while (sleep_state != IN_PARTITION)
		sim_assert(sim_cpuid(0, 0) == 0);
	sim_assert(sim_out(SIM_PM1_PORT, 2, SLP_EN | SIM_POWER_OFF << 10) == 0);
	sleep_state = AWAKE;
}

/* ---- An INIT that comes before the first partition of a CPU has begun to run ---- */

enum { APIC_BASE = 0x1b, X2APIC_MODE = 1 << 10, X2APIC_ICR = 0x830, SIPI = 0x4608 };

static void use_x2apic(void)
{
	uint64_t base;

	sim_assert(sim_rdmsr(APIC_BASE, &base) == 0 && sim_wrmsr(APIC_BASE, base | X2APIC_MODE) == 0);
}

static void starts_anew(void *arg)
{
	static const uint64_t zeros[4];

	(void)arg;
	use_x2apic();
	pages[0] = sim_memory(2 * HYPAPI_PAGE_SIZE);
	make(0);
	sim_assert(call(ADD, 0) == HYPAPI_OK);
	init_comes = true;
	sim_set(HYPAPI_REG_RBX, 0);
	(void)sim_hypercall(ENTER);
	sim_assert(init_came && !cpus[1]->partition.world.launched);
	sim_start_again();
	sim_set(HYPAPI_REG_CR4, sim_get(HYPAPI_REG_CR4) | CR4_OSXSAVE);
	runs(0, XCR0_AVX, zeros, MXCSR_RESET);
}

static void sends_sipi(void *arg)
{
	(void)arg;
	use_x2apic();
	while (!init_came)
		sim_pause();
	sim_assert(sim_wrmsr(X2APIC_ICR, 1ull << 32 | SIPI) == 0);
}

static const struct hypapp_descriptor *const hypapps[] = { &hypapp_fpu, NULL };

static void run(sim_code *code)
{
	sim_boot(hypapps, &(struct sim_options){ .cpus = 1 }); /* root memory is looked at, too */
	sim_partition_code(partition_code, NULL);
	sim_run(0, code, NULL);
}

static void l1_and_its_partitions(void **state) { (void)state; run(in_l1); }
static void l2_and_its_partitions(void **state) { (void)state; run(of_l2); }

static void init_before_the_first_entry(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 2 });
	sim_partition_code(partition_code, NULL);
	sim_start(1, starts_anew, NULL);
	sim_start(0, sends_sipi, NULL);
	sim_wait();
}

static void sleep_fails(void *owner_stays)
{
	sim_boot(hypapps, &(struct sim_options){ .cpus = 2 });
	sim_partition_code(partition_at_sleep, NULL);
	sim_start(0, sleeps, NULL);
	sim_start(1, calls_at_sleep, owner_stays);
	sim_wait();
}

static void sleep_that_fails(void **state) { (void)state; sleep_fails(NULL); }
static void sleep_whose_owner_stays(void **state) { (void)state; sleep_fails(&stays); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(l1_and_its_partitions), sim_test(l2_and_its_partitions), sim_test(sleep_that_fails),
		sim_test(sleep_whose_owner_stays), sim_test(init_before_the_first_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
