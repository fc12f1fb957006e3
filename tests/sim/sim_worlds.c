/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where one world follows another on a CPU, the core does what the decision about speculation asks for: a barrier of
 * indirect branches around a partition and from L2 to L1, a note that secrets were touched, a flush of L1D before L2;
 * and nothing of the caller stays in root behind a partition. The decision is the test's, since the simulated CPU needs
 * none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "cpu/speculation.h"
#include "cpu/x86.h"

enum { CREATE = 0x10, ENTER, READ, LEAVE, EXIT_HLT_REASON = 12 };

static hypapi_partition_t partition;
static gpa1_t page;
static struct sim_l2 *l2;
static uint32_t barriers;

bool __real_machine_wrmsr(u32 msr, u64 value);
bool __wrap_machine_wrmsr(u32 msr, u64 value);

bool __wrap_machine_wrmsr(u32 msr, u64 value)
{
	if (msr != MSR_PRED_CMD)
		return __real_machine_wrmsr(msr, value);
	barriers++;
	return true;
}

static int enter(struct hypapi_event *ev, uint64_t at)
{
	struct hypapi_partition_entry entry = { .rip = at, .long_mode = true };

	entry.gpr[HYPAPI_REG_RSP] = at + HYPAPI_PAGE_SIZE - 16;
	return hypapi_partition_enter(ev, partition, &entry);
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	const struct hypapi_partition_page only = { .gva = GVA(page.addr), .rights = HYPAPI_RW };
	uint64_t word;
	int result = 0;

	switch (ev->args.hypercall.number) {
	case CREATE: result = hypapi_quiesce(ev) < 0 ? -1 : hypapi_partition_create(ev, &only, 1, &partition); break;
	case ENTER: result = enter(ev, page.addr); break;
	case READ: result = hypapi_partition_read(ev, partition, &word, GVA(page.addr), sizeof(word)); break;
	case LEAVE: result = hypapi_partition_leave(ev); break;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)result);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict pass(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(worlds,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_PARTITIONS,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .handler = pass },
	},
	.claims = { { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CREATE, .last = LEAVE } });

static const struct hypapp_descriptor *const hypapps[] = { &hypapp_worlds, NULL };

static void call(uint32_t number)
{
	sim_assert(sim_hypercall(number) == 0 && sim_get(HYPAPI_REG_RAX) == 0);
}

static void start_anew(void)
{
	barriers = 0;
	cpus[0]->guard = 0;
}

static void boot(sim_code *code)
{
	sim_boot(hypapps, &(struct sim_options){ .seconds = 10 });
	l2 = sim_l2_create(1 << 20);
	page = sim_memory(HYPAPI_PAGE_SIZE);
	speculation = (struct speculation){ .actions = BIT(SPEC_IBPB) | BIT(SPEC_IBPB_TO_L1), .touched = GUARD_VERW,
					    .to_l2 = GUARD_L1D };
	sim_start(0, code, NULL);
	sim_wait();
}

static void in_partition(void *arg)
{
	(void)arg;
	sim_assert(barriers == 1);
	sim_assert(cpus[0]->caller_gpr[GPR_RBX] == 0x5ec2e7);
	sim_hypercall(LEAVE);
}

static void uses_partition(void *arg)
{
	(void)arg;
	call(CREATE);
	start_anew();
	sim_set(HYPAPI_REG_RBX, 0x5ec2e7);
	call(ENTER);
	sim_assert(barriers == 2);
	sim_assert(cpus[0]->guard == GUARD_VERW);
	for (int i = 0; i < GPR_COUNT; i++)
		sim_assert(cpus[0]->caller_gpr[i] == 0);
}

static void around_a_partition(void **state)
{
	(void)state;
	sim_partition_code(in_partition, NULL);
	boot(uses_partition);
}

static void copies(void *arg)
{
	(void)arg;
	call(CREATE);
	start_anew();
	sim_hypercall(LEAVE); /* refused: there is nothing to leave */
	sim_assert(cpus[0]->guard == 0);
	call(READ);
	sim_assert(cpus[0]->guard == GUARD_VERW && barriers == 0);
}

static void copies_from_a_partition(void **state)
{
	(void)state;
	boot(copies);
}

static void in_l2(void *arg)
{
	(void)arg;
	sim_assert(barriers == 0);
	sim_assert(cpus[0]->guard == GUARD_L1D);
}

static void runs_l2(void *arg)
{
	(void)arg;
	start_anew();
	sim_assert(sim_l2_run(l2, in_l2, NULL, NULL) == EXIT_HLT_REASON);
	sim_assert(barriers == 1);
}

static void between_l1_and_l2(void **state)
{
	(void)state;
	boot(runs_l2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(around_a_partition), sim_test(copies_from_a_partition), sim_test(between_l1_and_l2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
