/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hundreds of partitions at a time: each page is known as its owner's, L1 reads stand-ins without a violation, and all
 * of it comes back, table pages included. The core's own audit judges on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "cpu/percpu.h"
#include "mem/pages.h"
#include "report/audit.h"

enum { CREATE = 0x10, DESTROY, COMPARE, AUDIT, ADD };
#define OWN_PAGES 2
#define FAR_AWAY 0x10000000ull /* from a partition's pages: memory that it gets from the core */
enum { COUNT = 300, ROUNDS = 3 };
#define INT3S 0xccccccccccccccccull

/* ---- Stores that reach memory past the caches ---- */

static gpa1_t watched; /* a page */
static uint32_t stored;

void __real_machine_movnti(u64 *at, u64 value);
void __wrap_machine_movnti(u64 *at, u64 value);

void __wrap_machine_movnti(u64 *at, u64 value)
{
	stored += (u64)at - (u64)sim_ram(HPA(watched.addr)) < HYPAPI_PAGE_SIZE;
	__real_machine_movnti(at, value);
}

/* ---- A hypapp with so many partitions ---- */

static hypapi_partition_t partitions[COUNT + 1];
static gpa1_t pages[COUNT + 1]; /* code, then data */
static uint64_t violations, violation_owner;

static int create(struct hypapi_event *ev, uint64_t i, uint64_t at)
{
	const struct hypapi_partition_page list[] = {
		{ .gva = GVA(at), .rights = HYPAPI_RX }, { .gva = GVA(at + HYPAPI_PAGE_SIZE), .rights = HYPAPI_RW },
	};

	return hypapi_partition_create(ev, list, 2, &partitions[i]);
}

/* Whether the partition has the number that L1 put into its data. */
static int compare(struct hypapi_event *ev, uint64_t i, uint64_t at)
{
	uint64_t number;
	int error = hypapi_partition_read(ev, partitions[i], &number, GVA(at + HYPAPI_PAGE_SIZE), sizeof(number));

	return error ? error : number == i + 1 ? HYPAPI_OK : HYPAPI_EINVAL;
}

/* Memory of the core's, zeroed whoever had it before, and whatever that one could do with it. */
static int add(struct hypapi_event *ev, uint64_t i, uint64_t at)
{
	gva_t own[OWN_PAGES];
	uint64_t word = 0, secret = 0x5ec2e7;
	uint32_t rights = i % 20 ? HYPAPI_RX : HYPAPI_RW;
	int error;

	for (uint32_t page = 0; page < OWN_PAGES; page++)
		own[page] = GVA(at + FAR_AWAY + page * HYPAPI_PAGE_SIZE);
	error = hypapi_partition_add_memory(ev, partitions[i], own, OWN_PAGES, rights);
	for (uint32_t page = 0; page < OWN_PAGES && !error; page++) {
		own[page].addr += 0x800;
		error = hypapi_partition_read(ev, partitions[i], &word, own[page], sizeof(word));
		if (!error && word)
			error = HYPAPI_EPERM;
		if (!error)
			error = hypapi_partition_write(ev, partitions[i], own[page], &secret, sizeof(secret));
	}
	return error;
}

/* RBX: number of the partition; RCX: its code page. */
static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint64_t i = hypapi_reg_get(ev, HYPAPI_REG_RBX), at = hypapi_reg_get(ev, HYPAPI_REG_RCX);
	int result = hypapi_quiesce(ev);

	switch (ev->args.hypercall.number) {
	case CREATE: result = create(ev, i, at); break;
	case DESTROY: result = hypapi_partition_destroy(ev, partitions[i]); break;
	case COMPARE: result = compare(ev, i, at); break;
	case ADD: result = add(ev, i, at); break;
	case AUDIT: audit_all(this_cpu()); break;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)result);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	violations++;
	violation_owner = ev->args.violation.owner.id;
	return HYPAPI_DENY;
}

HYPAPP_DEFINE(many,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_PARTITIONS,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
	},
	.claims = { { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CREATE,
		      .last = ADD } });

/* ---- L1 ---- */

static int call(uint32_t number, uint64_t i)
{
	sim_set(HYPAPI_REG_RBX, i);
	sim_set(HYPAPI_REG_RCX, pages[i].addr);
	sim_assert(sim_hypercall(number) == 0);
	return (int)sim_get(HYPAPI_REG_RAX);
}

static void make_all(void)
{
	for (uint64_t i = 0; i < COUNT; i++) {
		*(uint64_t *)sim_ram(HPA(pages[i].addr)) = 7;
		*(uint64_t *)sim_ram(HPA(pages[i].addr + HYPAPI_PAGE_SIZE)) = i + 1;
		sim_assert(call(CREATE, i) == HYPAPI_OK);
		if (i % 10 == 0)
			sim_assert(call(ADD, i) == HYPAPI_OK && call(ADD, i) == HYPAPI_EINVAL);
	}
}

/* Reads and a write of L1, of pages that are not its own any more. */
static void look_at_all(void)
{
	uint64_t value = 5;

	violations = 0;
	for (uint64_t i = 0; i < COUNT; i++) {
		sim_assert(sim_read64(GVA(pages[i].addr)) == INT3S);
		sim_assert(sim_read64(GVA(pages[i].addr + HYPAPI_PAGE_SIZE)) == 0);
		sim_assert(violations == 2 * i);
		for (uint64_t page = 0; page < 2; page++) {
			sim_assert(sim_write(GVA(pages[i].addr + page * HYPAPI_PAGE_SIZE), &value, 8) != 0);
			sim_assert(violation_owner == partitions[i].id);
		}
		sim_assert(call(COMPARE, i) == HYPAPI_OK);
	}
}

/* What it could write is zero in memory as well. */
static void destroy(uint64_t i)
{
	watched.addr = pages[i].addr + HYPAPI_PAGE_SIZE;
	stored = 0;
	sim_assert(call(DESTROY, i) == HYPAPI_OK);
	sim_assert(stored == HYPAPI_PAGE_SIZE / sizeof(u64));
}

static void code(void *arg)
{
	size_t left = 0;

	(void)arg;
	for (uint64_t i = 0; i <= COUNT; i++)
		pages[i] = sim_memory(2 * HYPAPI_PAGE_SIZE);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		make_all();
		sim_assert(call(CREATE, COUNT) == HYPAPI_ENOMEM);
		look_at_all();
		sim_assert(call(AUDIT, 0) == HYPAPI_OK);
		for (uint64_t i = 0; i < COUNT; i++) /* in another order than they came */
			destroy(i * 7 % COUNT);
		sim_assert(call(AUDIT, 0) == HYPAPI_OK);
		for (uint64_t i = 0; i < COUNT; i++) {
			sim_assert(sim_read64(GVA(pages[i].addr)) == 7);
			sim_assert(sim_read64(GVA(pages[i].addr + HYPAPI_PAGE_SIZE)) == 0);
		}
		sim_assert(!round || pages_left() == left);
		left = pages_left();
	}
}

static void three_hundred_partitions(void **state)
{
	static const struct hypapp_descriptor *const hypapps[] = { &hypapp_many, NULL };

	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .options = "partitions=300", .memory_mib = 256, .seconds = 60 });
	sim_run(0, code, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { sim_test(three_hundred_partitions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
