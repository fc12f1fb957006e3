/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mistakes of a hypapp's author that show at run time, each with the line that it gets: in the core's log, which is the
 * same on the machine, or from the simulator. Those that are found before are in tests/mistakes/build.py. And what
 * 1.3 has to make up for one: hypapi_page_in().
 */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <unistd.h>

#include <hypapi/sim_cmocka.h>

#include "careless.h"

enum { UD = 6, GP = 13, PF = 14, HLT = 12, EPT_VIOLATION = 48 };

extern const struct hypapp_descriptor hypapp_careless;
static const struct hypapp_descriptor *const hypapps[] = { &hypapp_careless, NULL };

/* ---- Guests ---- */

struct row {
	uint32_t call;
	uint64_t rcx;
	int answer;       /* of the call: 0 or a vector */
	const char *line, *also; /* what standard error must have; also: NULL: nothing else */
	const char *options;
	bool fault;       /* the simulator ends the run */
	sim_code *code;   /* of L1; NULL: the call alone */
	sim_code *partition; /* NULL: it faults */
};

static void call(void *arg)
{
	const struct row *row = arg;

	if (row->call == CARELESS_KEPT_EVENT)
		sim_hypercall(CARELESS_KEEP);
	sim_set(HYPAPI_REG_RCX, row->rcx);
	sim_set(HYPAPI_REG_RDX, 0);
	sim_assert(sim_hypercall(row->call) == row->answer);
}

/* A page that may only be read, written: a violation that comes again for ever. */
static void restrict_and_write(void *arg)
{
	struct row row = *(const struct row *)arg;
	gpa1_t page = sim_memory(HYPAPI_PAGE_SIZE);

	row.rcx = page.addr;
	call(&row);
	sim_write64(GVA(page.addr), 1);
}

/* L1 as a hypervisor that resumes its L2 and has done nothing. */
static bool do_nothing(struct sim_l2 *l2, const struct sim_l2_exit *exit, void *arg)
{
	(void)l2, (void)exit, (void)arg;
	return true;
}

static void execute_cpuid(void *arg)
{
	(void)arg;
	sim_cpuid(0, 0);
}

static void write_unmapped(void *arg)
{
	(void)arg;
	sim_write64(GVA(0x5000), 1);
}

static void cpuid_in_l2(void *arg)
{
	sim_l2_run(sim_l2_create(1 << 20), execute_cpuid, arg, do_nothing);
}

static void violation_in_l2(void *arg)
{
	struct sim_l2 *l2 = sim_l2_create(1 << 20);

	sim_l2_map(l2, GPA2(0x5000), GPA1(0), 0);
	sim_l2_run(l2, write_unmapped, arg, do_nothing);
}

static void fault_in_partition(void *arg)
{
	(void)arg;
	sim_read64(GVA(1ull << 40));
}

static void hypercall_in_partition(void *arg)
{
	(void)arg;
	for (;;)
		sim_hypercall(CARELESS_ENTER_AGAIN);
}

static void cpuid_in_partition(void *arg)
{
	(void)arg;
	for (;;)
		sim_cpuid(CARELESS_LEAF, 0);
}

/* A partition that is not left for its caller to go on. */
static void stay_in_partition(const struct row *row, enum careless_stay how)
{
	sim_set(HYPAPI_REG_RCX, sim_memory(2 * HYPAPI_PAGE_SIZE).addr);
	sim_assert(sim_hypercall(CARELESS_PARTITION) == 0);
	sim_set(HYPAPI_REG_RDX, how);
	sim_assert(sim_hypercall(CARELESS_STAY) == 0);
	sim_set(HYPAPI_REG_RDX, 0);
	sim_assert(sim_hypercall(row->call) == row->answer);
}

static void leave_nothing(void *arg) { stay_in_partition(arg, STAY_AND_DO_NOTHING); }
static void enter_again(void *arg) { stay_in_partition(arg, STAY_BY_ENTERING); }
static void enter_by_cpuid(void *arg) { stay_in_partition(arg, STAY_BY_CPUID); }
static void enter_by_hypercall(void *arg) { stay_in_partition(arg, STAY_NOT); }

static int run_row(void *arg)
{
	struct row *row = arg;

	sim_boot(hypapps, &(struct sim_options){ .options = row->options, .seconds = 3 });
	sim_partition_code(row->partition ? row->partition : fault_in_partition, NULL);
	sim_run(0, row->code ? row->code : call, row);
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
		{ .call = CARELESS_NO_VERDICT, .answer = UD,
		  .line = "xmhf: warning: hypapp careless answers event hypercall with 7 (unknown), which is no "
		  "verdict: taken for deny" },
		{ .call = CARELESS_ERROR_AS_VERDICT, .answer = UD,
		  .line = "answers event hypercall with -3 (HYPAPI_EPERM), which is no verdict" },
		{ .call = CARELESS_KEPT_EVENT, .answer = 0,
		  .line = "xmhf: warning: hypapp careless: hypapi_reg_set() with an event that is not the one at "
		  "hand: an event is valid until its handler returns",
		  .also = "hypapp careless: hypapi_translate_gpa2() with an event that is not the one at hand" },
		{ .call = CARELESS_COPIED_EVENT, .answer = 0,
		  .line = "hypapi_reg_set() with an event that is not the one at hand" },
		{ .call = CARELESS_NO_REGISTER, .answer = 0,
		  .line = "hypapi_reg_get() of register 34 in event hypercall answers 0: there is none" },
		{ .call = CARELESS_NO_REGISTER, .answer = 0,
		  .line = "hypapi_reg_get() of register 0 in event init answers 0: no guest caused it" },
		{ .call = CARELESS_NO_CAPABILITY, .answer = 0,
		  .line = "hypapp careless: hypapi_window() in event hypercall: add HYPAPI_CAP_INTERRUPTS to "
		  ".capabilities" },
		{ .call = CARELESS_RETRY, .answer = 0, .fault = true,
		  .line = "hypapp careless: event hypercall of L1 at RIP 0x1000, address 0x0 has come 2000 times in a "
		  "row: the guest makes no progress",
		  .also = " times in a row, for its handler answers HYPAPI_RETRY, which repeats the instruction: "
		  "HYPAPI_HANDLED steps over it\n" },
		{ .call = CARELESS_RESTRICT, .answer = 0, .code = restrict_and_write, .fault = true,
		  .line = "hypapp careless: event ept-violation of L1 at RIP ",
		  .also = " times in a row, for its handler answers without the right that is missing: call "
		  "hypapi_memory_restrict() first, or answer HYPAPI_DENY\n" },
		{ .code = cpuid_in_l2, .fault = true,
		  .line = "3 seconds are over; CPU 0: exit 10 of L2 at RIP 0x1000 came ",
		  .also = " times in a row, for L1's handler answers true without a step over the instruction: call "
		  "sim_l2_skip() first, or answer false\n" },
		{ .code = violation_in_l2, .fault = true,
		  .line = "3 seconds are over; CPU 0: exit 48 of L2 at RIP 0x1000 came ",
		  .also = " times in a row, for L1's handler answers true without the right that is missing: call "
		  "sim_l2_map() first, or answer false\n" },
		{ .call = CARELESS_SLOW, .rcx = 20000000, .answer = 0,
		  .line = " ticks for event hypercall of L1", .options = "hypapp-time=1ms" },
		{ .call = CARELESS_ENTER, .answer = GP, .code = leave_nothing, .options = "partition-time=100ms",
		  .line = "hypapp careless does not leave a partition whose time is over: its caller gets #GP" },
		{ .call = CARELESS_ENTER, .answer = GP, .code = enter_again, .options = "partition-time=100ms",
		  .line = "hypapp careless does not leave a partition whose time is over: its caller gets #GP" },
		{ .call = CARELESS_ENTER, .answer = GP, .code = enter_by_cpuid, .partition = cpuid_in_partition,
		  .options = "partition-time=100ms",
		  .line = "a partition's exit 52, vector 0: its caller gets #GP" },
		{ .call = CARELESS_ENTER, .answer = GP, .code = enter_by_hypercall, .partition = hypercall_in_partition,
		  .options = "partition-time=100ms",
		  .line = "a partition's exit 52, vector 0: its caller gets #GP" },
		{ .call = CARELESS_ENDLESS, .answer = 0,
		  .line = "sim: CPU 0: hypapp careless, in its handler of event hypercall", .fault = true },
		{ .call = CARELESS_LOCKED, .answer = 0,
		  .line = "sim: FAULT: CPU 0 goes on in the guest with &lock held", .fault = true },
	};
	static char text[1 << 16];
	int failed = 0;
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status = run_and_read(run_row, (void *)&rows[i], text, sizeof(text));

		if (strstr(text, rows[i].line) && (!rows[i].also || strstr(text, rows[i].also)) &&
		    status == (rows[i].fault ? SIM_FAULT_STATUS : 0))
			continue;
		/* Not by print_error(), which cuts long texts. */
		fprintf(stderr, "call 0x%x: status %d, no \"%s\" or no \"%s\" in:\n%s\n", rows[i].call, status,
			rows[i].line, rows[i].also, text);
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
	sim_assert(sim_hypercall(CARELESS_FRESH) == 0);
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

static int run_fresh(void *options)
{
	enum { MOST = 100 };
	static struct hypapi_trace_entry entries[MOST];
	uint64_t at = 0x5008;

	sim_boot(hypapps, &(struct sim_options){ .options = options });
	l2 = sim_l2_create(1 << 20);
	sim_run(0, run_l2, &at);
	for (size_t i = 0, count = sim_trace(0, entries, MOST); i < count; i++)
		sim_assert(entries[i].verdict <= HYPAPI_KILL);
	return violations != 1;
}

/* With the trace, too: the delivery takes another way, on which the raised fault is no verdict. */
static void fresh_buffer_of_l2(void **state)
{
	static char text[1 << 16];
	(void)state;

	assert_int_equal(run_and_read(run_fresh, "", text, sizeof(text)), 0);
	assert_int_equal(run_and_read(run_fresh, "trace=on", text, sizeof(text)), 0);
	assert_null(strstr(text, "no verdict"));
}

/* L1's own page tables do not map it: a #PF with its address. */
static void call_unmapped(void *arg)
{
	(void)arg;
	sim_set(HYPAPI_REG_RSI, 1ull << 40);
	sim_assert(sim_hypercall(CARELESS_FRESH) == PF);
	sim_assert(sim_exception().cr2 == 1ull << 40 && !(sim_exception().error_code & 1));
}

static void unmapped_buffer_of_l1(void **state)
{
	(void)state;
	sim_boot(hypapps, NULL);
	sim_run(0, call_unmapped, NULL);
}

/* ---- A stop by the flag, and no capability ---- */

enum { FLAG_CALL = 0x300 };

static enum hypapi_verdict stop_by_flag(struct hypapi_event *ev)
{
	ev->quiesce = true;
	return ev->stopped ? HYPAPI_HANDLED : HYPAPI_RETRY;
}

HYPAPP_DEFINE(flag,
	.priority = 9001,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = stop_by_flag },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = FLAG_CALL,
		  .last = FLAG_CALL },
	});

struct flag_run {
	struct hypapp_descriptor app;
	const char *options;
};

static void call_flag(void *arg)
{
	const struct flag_run *run = arg;

	sim_assert_equal(sim_hypercall(FLAG_CALL), run->app.minor < 3 ? 0 : UD);
}

static int run_flag(void *arg)
{
	struct flag_run *run = arg;
	const struct hypapp_descriptor *const apps[] = { &run->app, NULL };

	sim_boot(apps, &(struct sim_options){ .options = run->options });
	sim_run(0, call_flag, run);
	return 0;
}

/* Denied, and what was compiled before 1.3 goes on as ever; both with one line, by both ways of a delivery. */
static void flag_without_capability(void **state)
{
	static const char line[] = "hypapp flag sets the quiesce flag in event hypercall: add HYPAPI_CAP_QUIESCE to "
				   ".capabilities";
	static const char *const options[] = { "", "trace=on" };
	static char text[1 << 16];

	(void)state;
	for (uint16_t minor = 2; minor <= 3; minor++)
		for (size_t i = 0; i < 2; i++) {
			struct flag_run run = { hypapp_flag, options[i] };
			const char *at;

			run.app.minor = minor;
			assert_int_equal(run_and_read(run_flag, &run, text, sizeof(text)), 0);
			at = strstr(text, line);
			assert_non_null(at);
			assert_null(strstr(at + 1, line));
		}
}

/* ---- hypapp-fault=drop ---- */

static atomic_bool runs;
static gpa1_t guarded, pages;

static void run_for_ever(void *arg)
{
	(void)arg;
	runs = true;
	for (;;)
		sim_pause();
}

static uint32_t fault_with(uint32_t fault)
{
	sim_set(HYPAPI_REG_RCX, fault);
	return (uint32_t)sim_hypercall(CARELESS_FAULT);
}

/* This CPU's next exception is its partition's end. */
static _Thread_local bool enters;

hypapi_partition_t partition_by_number(uint32_t number, const struct hypapp_descriptor **app);
void __real_vmx_raise(void *cpu, unsigned int vector, uint32_t error_code, gva_t cr2);
void __wrap_vmx_raise(void *cpu, unsigned int vector, uint32_t error_code, gva_t cr2);

/* L1 and other hypapps may learn of the exception at once: the partition that it is for is gone before. */
void __wrap_vmx_raise(void *cpu, unsigned int vector, uint32_t error_code, gva_t cr2)
{
	const struct hypapp_descriptor *app;

	sim_assert(!enters || partition_by_number(1, &app).id == HYPAPI_NONE);
	__real_vmx_raise(cpu, vector, error_code, cr2);
}

/* Its partition ends here, in the middle. */
static void enter_partition(void *arg)
{
	(void)arg;
	enters = true;
	sim_assert(sim_hypercall(CARELESS_ENTER) == GP);
}

/* This handler goes on to its end. */
static void be_inside(void *arg)
{
	(void)arg;
	runs = true;
	sim_assert(sim_hypercall(CARELESS_SPIN) == 0);
}

static void prepare(void *arg)
{
	uint64_t word = 1;
	(void)arg;

	guarded = sim_memory(HYPAPI_PAGE_SIZE);
	pages = sim_memory(2 * HYPAPI_PAGE_SIZE);
	sim_write64(GVA(pages.addr + HYPAPI_PAGE_SIZE), 7);
	sim_set(HYPAPI_REG_RCX, pages.addr);
	sim_assert(sim_hypercall(CARELESS_PARTITION) == 0);
	sim_set(HYPAPI_REG_RCX, guarded.addr);
	sim_assert(sim_hypercall(CARELESS_GUARD) == 0);
	sim_assert(sim_write(GVA(guarded.addr), &word, 8) == GP);
}

static void meet_fault(void *arg)
{
	uint64_t word = 1;

	while (!runs)
		sim_pause();
	sim_assert(fault_with(*(uint32_t *)arg) == UD);
	sim_assert(sim_hypercall(CARELESS_KEEP) == UD);
	sim_assert(sim_write(GVA(guarded.addr), &word, 8) == GP);
}

static void data_is_zero(void *arg)
{
	(void)arg;
	sim_assert(sim_read64(GVA(pages.addr + HYPAPI_PAGE_SIZE)) == 0);
	sim_write64(GVA(pages.addr + HYPAPI_PAGE_SIZE), 1);
}

static void drop_while(sim_code *second, uint32_t fault)
{
	sim_boot(hypapps, &(struct sim_options){ .cpus = 2, .options = "hypapp-fault=drop" });
	sim_partition_code(run_for_ever, NULL);
	sim_run(0, prepare, NULL);
	sim_start(1, second, NULL);
	sim_start(0, meet_fault, &fault);
	sim_wait();
	sim_run(0, data_is_zero, NULL);
}

static void dropped_while_a_partition_runs(void **state)
{
	(void)state;
	drop_while(enter_partition, FAULT_PF);
}

static void dropped_in_a_stop(void **state)
{
	(void)state;
	drop_while(enter_partition, FAULT_STOPPED);
}

static void dropped_while_another_cpu_is_inside(void **state)
{
	(void)state;
	drop_while(be_inside, FAULT_UD);
}

/* ---- In an entry of L1's MSR list, whose calls are fewer ---- */

enum { ENTRY_MSR_LOAD_ADDRESS = 0x200a, ENTRY_MSR_LOAD_COUNT = 0x4014 };

static void nothing(void *arg)
{
	(void)arg;
}

static void load_list(void *arg)
{
	gpa1_t list = sim_memory(HYPAPI_PAGE_SIZE);
	struct sim_l2 *machine = sim_l2_create(1 << 20);
	(void)arg;

	sim_write64(GVA(list.addr), CARELESS_MSR);
	sim_l2_vmwrite(machine, ENTRY_MSR_LOAD_ADDRESS, list.addr);
	sim_l2_vmwrite(machine, ENTRY_MSR_LOAD_COUNT, 1);
	sim_set(HYPAPI_REG_RCX, HYPAPI_EV_MSR);
	sim_set(HYPAPI_REG_RDX, WAIT_FOR_REFUSAL);
	sim_assert(sim_hypercall(CARELESS_ARM) == 0);
	sim_assert(sim_l2_run(machine, nothing, NULL, NULL) == HLT);
}

static void fault_meanwhile(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&careless_waits, __ATOMIC_ACQUIRE))
		sim_pause();
	sim_assert(fault_with(FAULT_UD) == UD);
}

static void dropped_while_a_list_is_loaded(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 2, .options = "hypapp-fault=drop", .seconds = 20 });
	sim_start(1, load_list, NULL);
	sim_start(0, fault_meanwhile, NULL);
	sim_wait();
}

/* ---- The same on a CPU that waits for a SIPI, in an event that it was sent ---- */

enum { APIC_BASE = 0x1b, X2APIC_MODE = 1 << 10, X2APIC_ICR = 0x830, INIT = 0x4500, SIPI = 0x4608, PAGING = 1u << 31 };

static void use_x2apic(void)
{
	uint64_t base;

	sim_assert(sim_rdmsr(APIC_BASE, &base) == 0 && sim_wrmsr(APIC_BASE, base | X2APIC_MODE) == 0);
}

static void send_to_second(uint64_t icr)
{
	sim_assert(sim_wrmsr(X2APIC_ICR, 1ull << 32 | icr) == 0);
}

static void be_started_anew(void *arg)
{
	(void)arg;
	use_x2apic();
	runs = true;
	while (sim_get(HYPAPI_REG_CR0) & PAGING)
		sim_pause();
	sim_start_again();
}

static void let_the_second_fault(void *arg)
{
	uint64_t word = 1;
	(void)arg;

	use_x2apic();
	while (!runs)
		sim_pause();
	send_to_second(INIT);
	sim_set(HYPAPI_REG_RCX, HYPAPI_EV_WORK);
	sim_set(HYPAPI_REG_RDX, FAULT_UD);
	sim_assert(sim_hypercall(CARELESS_ARM) == 0);
	sim_set(HYPAPI_REG_RCX, 1 << 1);
	sim_assert(sim_hypercall(CARELESS_POST) == 0);
	while (sim_write(GVA(pages.addr + HYPAPI_PAGE_SIZE), &word, 8) == GP)
		sim_pause();
	send_to_second(SIPI);
}

static void dropped_by_a_parked_cpu(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 2, .options = "hypapp-fault=drop", .seconds = 10 });
	sim_partition_code(run_for_ever, NULL);
	sim_run(0, prepare, NULL);
	sim_start(1, be_started_anew, NULL);
	sim_start(0, let_the_second_fault, NULL);
	sim_wait();
}

/* Each ends the run, and says why. */
static int meet_refusal(void *arg)
{
	const char *options = *(uint32_t *)arg == FAULT_PF ? NULL : "hypapp-fault=drop";

	sim_boot(hypapps, &(struct sim_options){ .options = options });
	runs = true;
	sim_run(0, prepare, NULL);
	sim_run(0, meet_fault, arg);
	return 0;
}

static void not_dropped(void **state)
{
	static const struct { uint32_t fault; const char *why; } rows[] = {
		{ FAULT_LOCKED, "which is not dropped: a lock is held" },
		{ FAULT_INJECTED, "which is not dropped: it has injected an exception" },
		{ FAULT_OPENED, "which is not dropped: it has given rights to memory" },
		{ FAULT_PF, "which is not dropped: it is not droppable, or the option" },
	};
	static char text[1 << 16];
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(run_and_read(meet_refusal, (void *)&rows[i].fault, text, sizeof(text)),
				 SIM_FAULT_STATUS);
		assert_non_null(strstr(text, rows[i].why));
	}
}

/* ---- A partition that is not entered after all ---- */

static uint32_t enter_and_answer(uint32_t verdict)
{
	sim_set(HYPAPI_REG_RDX, verdict + 1);
	return (uint32_t)sim_hypercall(CARELESS_ENTER);
}

static void end_at_once(void *arg)
{
	(void)arg;
	sim_hypercall(0xfff); /* nobody's, so this is an exit of the partition */
}

static void enter_by_and_by(void *arg)
{
	(void)arg;
	sim_assert(enter_and_answer(HYPAPI_PASS) == UD);
	sim_assert(enter_and_answer(HYPAPI_DENY) == UD);
	sim_assert(enter_and_answer(HYPAPI_HANDLED) == GP);
}

/* Its claim is given back, so that it can be entered, and destroyed. */
static void not_handled_is_not_entered(void **state)
{
	(void)state;
	sim_boot(hypapps, NULL);
	sim_partition_code(end_at_once, NULL);
	sim_run(0, prepare, NULL);
	sim_run(0, enter_by_and_by, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(dropped_while_a_partition_runs), sim_test(dropped_in_a_stop),
		sim_test(dropped_while_another_cpu_is_inside), sim_test(dropped_while_a_list_is_loaded),
		sim_test(dropped_by_a_parked_cpu),
		cmocka_unit_test(not_dropped), sim_test(not_handled_is_not_entered),
		cmocka_unit_test(each_mistake_has_its_line), sim_test(fresh_buffer_of_l2),
		sim_test(unmapped_buffer_of_l1), cmocka_unit_test(flag_without_capability),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
