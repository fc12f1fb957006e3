/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mistakes of a hypapp's author that show at run time, each with the line that it gets: in the core's log, which is the
 * same on the machine, or from the simulator. Those that are found before are in tests/mistakes/build.py. And what
 * 1.3 has to make up for one: hypapi_page_in().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <time.h>
#include <unistd.h>

#include <hypapi/lock.h>
#include <hypapi/sim_cmocka.h>

enum { NO_VERDICT = 0x10, ERROR_AS_VERDICT, KEPT_EVENT, COPIED_EVENT, NO_REGISTER, NO_CAPABILITY, RETRY, RESTRICT, SLOW,
       ENDLESS, LOCKED, FRESH, NO_WINDOW, LAST = NO_WINDOW, UD = 6, PF = 14, HLT = 12, EPT_VIOLATION = 48 };

static struct hypapi_event *kept;
static struct hypapi_lock lock;

/* ---- The hypapp ---- */

/* The guest's word at RSI, whatever L1 has done with its page meanwhile. */
static enum hypapi_verdict read_fresh(struct hypapi_event *ev)
{
	gva_t at = GVA(hypapi_reg_get(ev, HYPAPI_REG_RSI));
	uint64_t word = 0;
	int error = hypapi_copy_from(ev, &word, at, sizeof(word));

	if (error == HYPAPI_ENOTMAPPED || error == HYPAPI_EFAULT)
		return hypapi_page_in(ev, at, HYPAPI_R) >= 0 ? HYPAPI_RETRY : HYPAPI_DENY;
	hypapi_reg_set(ev, HYPAPI_REG_RBX, error ? (uint64_t)error : word);
	return HYPAPI_HANDLED;
}

static void be_slow(void)
{
	struct timespec end, now;

	clock_gettime(CLOCK_MONOTONIC, &end);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - end.tv_sec) * 1000000000 + now.tv_nsec - end.tv_nsec < 3000000);
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	static volatile bool forever = true;
	struct hypapi_event copy = *ev;

	switch (ev->args.hypercall.number) {
	case NO_VERDICT: return (enum hypapi_verdict)7;
	case ERROR_AS_VERDICT: return (enum hypapi_verdict)HYPAPI_EPERM;
	case KEPT_EVENT: hypapi_reg_set(kept, HYPAPI_REG_RAX, 0); break;
	case COPIED_EVENT: hypapi_reg_set(&copy, HYPAPI_REG_RAX, 0); break;
	case NO_REGISTER: (void)hypapi_reg_get(ev, HYPAPI_REG_COUNT); break;
	case NO_CAPABILITY: hypapi_post(ev, 1, 1); break;
	case RETRY: return HYPAPI_RETRY;
	case RESTRICT:
		hypapi_quiesce(ev);
		return hypapi_memory_restrict(ev, GPA1(hypapi_reg_get(ev, HYPAPI_REG_RBX)), 1, HYPAPI_R) ?
		       HYPAPI_DENY : HYPAPI_HANDLED;
	case SLOW: be_slow(); break;
	case ENDLESS:
		while (forever)
			usleep(1000);
		break;
	case LOCKED: hypapi_lock(&lock); break;
	case FRESH: return read_fresh(ev);
	}
	return HYPAPI_HANDLED;
}

/* Grants nothing, and says that it did. */
static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	uint64_t value;

	kept = ev;
	if (hypapi_reg_get(ev, HYPAPI_REG_RAX) || hypapi_reg_read(ev, HYPAPI_REG_RAX, &value) != HYPAPI_ENOTSUP)
		sim_fault("a register in INIT");
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(careless,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = NO_VERDICT, .last = LAST },
	});

static const struct hypapp_descriptor *const hypapps[] = { &hypapp_careless, NULL };

/* ---- Guests ---- */

struct row {
	uint32_t call;
	int answer;       /* of the call: 0 or a vector */
	const char *line; /* what standard error must have */
	const char *options;
	bool fault;       /* the simulator ends the run */
};

static void call(void *arg)
{
	const struct row *row = arg;

	sim_assert(sim_hypercall(row->call) == row->answer);
}

/* A page that may only be read, written: a violation that comes again for ever. */
static void restrict_and_write(void *arg)
{
	gpa1_t page = sim_memory(HYPAPI_PAGE_SIZE);

	sim_set(HYPAPI_REG_RBX, page.addr);
	call(arg);
	sim_write64(GVA(page.addr), 1);
}

static int run_row(void *arg)
{
	struct row *row = arg;

	sim_boot(hypapps, &(struct sim_options){ .options = row->options, .seconds = 3 });
	sim_run(0, row->call == RESTRICT ? restrict_and_write : call, row);
	return 0;
}

/* What a process has written to standard error while it ran. */
static int run_and_read(int (*run)(void *arg), void *arg, char *text, size_t size)
{
	FILE *file = tmpfile();
	int old = dup(2), status;
	char fault[SIM_FAULT_BYTES];

	fflush(stderr);
	dup2(fileno(file), 2);
	status = sim_isolated(run, arg, fault);
	dup2(old, 2);
	close(old);
	rewind(file);
	text[fread(text, 1, size - 1, file)] = 0;
	fclose(file);
	return status;
}

static void each_mistake_has_its_line(void **state)
{
	static const struct row rows[] = {
		{ .call = NO_VERDICT, .answer = UD,
		  .line = "xmhf: warning: hypapp careless answers event hypercall with 7 (unknown), which is no "
		  "verdict: taken for deny" },
		{ .call = ERROR_AS_VERDICT, .answer = UD,
		  .line = "answers event hypercall with -3 (HYPAPI_EPERM), which is no verdict" },
		{ .call = KEPT_EVENT, .answer = 0,
		  .line = "xmhf: warning: hypapp careless: hypapi_reg_set() with an event that is not the one at "
		  "hand: an event is valid until its handler returns" },
		{ .call = COPIED_EVENT, .answer = 0,
		  .line = "hypapi_reg_set() with an event that is not the one at hand" },
		{ .call = NO_REGISTER, .answer = 0,
		  .line = "hypapi_reg_get() of register 34 in event hypercall answers 0: there is none" },
		{ .call = NO_REGISTER, .answer = 0,
		  .line = "hypapi_reg_get() of register 0 in event init answers 0: no guest caused it" },
		{ .call = NO_CAPABILITY, .answer = 0,
		  .line = "hypapp careless: hypapi_post() in event hypercall: add HYPAPI_CAP_WORK to "
		  ".capabilities" },
		{ .call = RETRY, .answer = 0,
		  .line = "hypapp careless: event hypercall of L1 at RIP 0x1000, address 0x0 has come 2000 times in a "
		  "row: the guest makes no progress", .fault = true },
		{ .call = RETRY, .answer = 0,
		  .line = "sim: CPU 0: event hypercall at RIP 0x1000, address 0x0 came ", .fault = true },
		{ .call = RESTRICT, .answer = 0,
		  .line = "hypapp careless: event ept-violation of L1 at RIP ", .fault = true },
		{ .call = SLOW, .answer = 0,
		  .line = " ticks for event hypercall of L1", .options = "hypapp-time=1ms" },
		{ .call = ENDLESS, .answer = 0,
		  .line = "sim: CPU 0: hypapp careless, in its handler of event hypercall", .fault = true },
		{ .call = LOCKED, .answer = 0,
		  .line = "sim: FAULT: CPU 0 goes on in the guest with &lock held", .fault = true },
	};
	static char text[1 << 16];
	int failed = 0;
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status = run_and_read(run_row, (void *)&rows[i], text, sizeof(text));

		if (strstr(text, rows[i].line) && status == (rows[i].fault ? SIM_FAULT_STATUS : 0))
			continue;
		print_error("call 0x%x: status %d, no \"%s\" in:\n%s", rows[i].call, status, rows[i].line, text);
		failed++;
	}
	assert_int_equal(failed, 0);
}

/* ---- A buffer that L2 has never touched ---- */

#define WORD 0x600dull
static struct sim_l2 *l2;
static unsigned violations;

static void call_fresh(void *arg)
{
	sim_set(HYPAPI_REG_RSI, *(const uint64_t *)arg);
	sim_assert(sim_hypercall(FRESH) == 0);
	sim_assert(sim_get(HYPAPI_REG_RBX) == WORD);
}

/* L1 maps what L2 misses, as a hypervisor does that gives memory on demand. */
static bool map_missed(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	uint64_t page = exit->gpa2 & HYPAPI_PAGE_MASK;

	sim_assert(exit->reason == EPT_VIOLATION && (exit->qualification & 7) == HYPAPI_R);
	sim_assert(page == (*(const uint64_t *)arg & HYPAPI_PAGE_MASK));
	sim_l2_map(of, GPA2(page), sim_l2_memory(of, GPA2(page)), HYPAPI_RWX);
	violations++;
	return true;
}

static void run_l2(void *arg)
{
	gpa2_t page = GPA2(*(const uint64_t *)arg & HYPAPI_PAGE_MASK);

	sim_write64(GVA(sim_l2_memory(l2, page).addr + (*(const uint64_t *)arg & 4095)), WORD);
	sim_l2_map(l2, page, sim_l2_memory(l2, page), 0);
	sim_l2_invept(l2);
	sim_assert(sim_l2_run(l2, call_fresh, arg, map_missed) == HLT);
}

static void fresh_buffer_of_l2(void **state)
{
	uint64_t at = 0x5008;
	(void)state;

	sim_boot(hypapps, NULL);
	l2 = sim_l2_create(1 << 20);
	sim_run(0, run_l2, &at);
	assert_int_equal(violations, 1);
}

/* L1's own page tables do not map it: a #PF with its address. */
static void call_unmapped(void *arg)
{
	(void)arg;
	sim_set(HYPAPI_REG_RSI, 1ull << 40);
	sim_assert(sim_hypercall(FRESH) == PF);
	sim_assert(sim_exception().cr2 == 1ull << 40 && !(sim_exception().error_code & 1));
}

static void unmapped_buffer_of_l1(void **state)
{
	(void)state;
	sim_boot(hypapps, NULL);
	sim_run(0, call_unmapped, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_mistake_has_its_line), sim_test(fresh_buffer_of_l2),
		sim_test(unmapped_buffer_of_l1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
