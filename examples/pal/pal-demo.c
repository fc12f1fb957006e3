/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls the example PAL from Linux user space (L1, or a Linux in L2), and tries to get at its memory while it is
 * registered: from this CPU and from another one. Exit code 0 only if every line is as it should be, 2 without
 * TrustVisor.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "pal.h"

#define SECRET 0x5ec7e75ec7e75ec7ull

TV_PAL_PAGES(1, 1);

static const struct tv_pal_params two_integers = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } };
static const struct tv_pal_params integer_and_buffer = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER },
				     { .type = TV_PARAM_POINTER, .size = PAL_BUFFER_WORDS } } };
static struct tv_pal_sections sections;
static int failures;

static void report(bool ok, const char *what, const char *text)
{
	printf("%s: %s%s\n", what, text, ok ? "" : "  FAILED");
	failures += !ok;
}

/* ---- What others try ---- */

static sigjmp_buf after_fault;

static void on_fault(int number)
{
	siglongjmp(after_fault, number);
}

/* Runs `act` and says whether it ended in SIGSEGV. */
static bool faults(void (*act)(void))
{
	if (sigsetjmp(after_fault, 1) != 0)
		return true;
	act();
	return false;
}

static void jump_past_entry(void)
{
	uint64_t (*volatile wrong)(uint64_t, uint64_t) = (void *)((uintptr_t)pal_add + 1);

	wrong(1, 2);
}

/* Whether all code in the PAL's sections reads as INT3, and everything else as zero. */
static bool reads_nothing(void)
{
	for (uint32_t i = 0; i < sections.num_sections; i++) {
		const volatile uint64_t *words = (const void *)(uintptr_t)sections.sections[i].start_addr;
		bool code = sections.sections[i].type == TV_SECTION_CODE;

		for (size_t j = 0; j < sections.sections[i].page_num * 512u; j++)
			if (code ? !tv_reads_as_code(words[j], j % 512) : words[j] != 0)
				return false;
	}
	return true;
}

static void write_outside(void)
{
	*(volatile uint64_t *)&pal_data.calls = 4711;
}

struct visit {
	int cpu;
	bool write, nothing, pinned;
};

static void *visit_from_cpu(void *argument)
{
	struct visit *visit = argument;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(visit->cpu, &set);
	visit->pinned = sched_setaffinity(0, sizeof(set), &set) == 0;
	if (visit->write)
		write_outside();
	else
		visit->nothing = reads_nothing();
	return NULL;
}

static struct visit visit_from(int cpu, bool write)
{
	struct visit visit = { .cpu = cpu, .write = write };
	pthread_t thread;

	if (pthread_create(&thread, NULL, visit_from_cpu, &visit) == 0)
		pthread_join(thread, NULL);
	return visit;
}

/* ---- The steps ---- */

static bool start_pal(const struct tv_pal_params *params, const void *entry)
{
	uint32_t result;

	pal_data.secret = SECRET;
	pal_data.calls = 0;
	result = tv_register(&sections, params, entry);
	report(result == TV_OK, "register", tv_result_text(result));
	return result == TV_OK;
}

static void end_pal(const void *entry, uint32_t expected)
{
	uint32_t result = tv_unregister(&sections, entry);

	report(result == expected, "unregister", tv_result_text(result));
}

static void call_add(uint64_t a, uint64_t b)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = pal_add;
	uint64_t sum = add(a, b);
	char text[80];

	snprintf(text, sizeof(text), "%" PRIu64 " + %" PRIu64 " + secret = 0x%" PRIx64, a, b, sum);
	report(sum == a + b + SECRET, "PAL result", text);
}

/* The code is there again, its data is not: it must not compute. */
static void call_of_no_pal(void)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = pal_add;

	report(add(1, 2) == TV_NOT_IN_PAL, "call of no PAL", "an error");
}

static void look_from_outside(int cpus)
{
	report(reads_nothing(), "outside read", "zeros and INT3");
	if (cpus > 1) {
		struct visit visit = visit_from(1, false);

		report(visit.pinned && visit.nothing, "outside read from CPU 1", "zeros and INT3");
	}
	report(faults(jump_past_entry), "wrong entry", "fault");
}

/* The first one stays, by whatever entry point one tries. */
static void register_twice(void)
{
	uint32_t again = tv_register(&sections, &two_integers, pal_add);
	uint32_t other = tv_register(&sections, &two_integers, pal_misuse);

	report(again == TV_E_OWNED && other == TV_E_OWNED, "register again", tv_result_text(again));
}

/* A write from outside is the end of the PAL; what it kept is gone before the writer's access takes place. */
static void write_from_outside(int cpu)
{
	char what[40];

	if (!start_pal(&two_integers, pal_add))
		return;
	call_add(1, (uint64_t)cpu);
	visit_from(cpu, true);
	snprintf(what, sizeof(what), "outside write from CPU %d", cpu);
	report(pal_data.secret == 0 && pal_data.calls == 4711, what, "PAL destroyed, secret gone");
	call_of_no_pal();
	end_pal(pal_add, TV_E_NO_PAL);
}

static void call_crypt(void)
{
	uint64_t (*volatile crypt)(uint64_t, uint64_t *) = pal_crypt;
	uint64_t words[PAL_BUFFER_WORDS], counts[3] = { 0, 0, 0 };
	bool changed, restored = true;

	if (!start_pal(&integer_and_buffer, pal_crypt))
		return;
	for (uint64_t i = 0; i < PAL_BUFFER_WORDS; i++)
		words[i] = i;
	counts[0] = crypt(99, words);
	changed = words[0] == ((PAL_BUFFER_WORDS - 1) ^ SECRET ^ 99);
	report(reads_nothing(), "outside read after a call", "zeros and INT3");
	counts[1] = crypt(99, words);
	for (uint64_t i = 0; i < PAL_BUFFER_WORDS; i++)
		restored &= words[i] == i;
	counts[2] = crypt(99, words);
	report(changed && restored, "PAL result", "buffer encrypted and decrypted");
	report(counts[0] == 1 && counts[1] == 2 && counts[2] == 3, "PAL result", "calls counted in the PAL's data");
	end_pal(pal_crypt, TV_OK);
	report(pal_data.secret == 0 && pal_data.calls == 0, "after unregister", "PAL data zeroed");
}

/* ---- A PAL that does what it should not; the others, and this process, go on ---- */

static uint64_t misuse;

static void call_misuse(void)
{
	uint64_t (*volatile call)(uint64_t, uint64_t) = pal_misuse;

	misuse = call(misuse, 0);
}

/* Returns how many ticks that took. */
static uint64_t ends_badly(enum pal_misuse how, const char *what)
{
	uint64_t start = 0;

	if (!start_pal(&two_integers, pal_misuse))
		return 0;
	misuse = how;
	/* The PAL holds interrupts back, the serial line's too; the hypervisor's log would come between. */
	tcdrain(STDOUT_FILENO);
	start = read_ticks();
	report(faults(call_misuse), what, "the PAL is destroyed, its caller faults");
	start = read_ticks() - start;
	end_pal(pal_misuse, TV_E_NO_PAL);
	return start;
}

/* The time that a PAL may hold interrupts back is the CPU's, whoever spends it: the PAL, or the hypervisor for it. */
static void endless_loops(void)
{
	uint64_t plain = ends_badly(PAL_LOOP, "endless loop");
	uint64_t exits = ends_badly(PAL_LOOP_OF_EXITS, "endless loop of CPUID");

	report(exits < 2 * plain, "time of that loop", "not twice that of the first one");
}

static void misuse_pals(void)
{
	if (start_pal(&two_integers, pal_misuse)) {
		misuse = PAL_NULL_SEGMENTS;
		call_misuse();
		report(misuse == PAL_NULL_SEGMENTS, "null segments", "the PAL returns");
		end_pal(pal_misuse, TV_OK);
	}
	if (start_pal(&two_integers, pal_add)) {
		call_add(1, 2);
		end_pal(pal_add, TV_OK);
	}
	ends_badly(PAL_HALT, "HLT");
	ends_badly(PAL_FPU, "FPU instruction");
	endless_loops();
	if (start_pal(&two_integers, pal_add)) {
		call_add(3, 4);
		end_pal(pal_add, TV_OK);
	}
}

/* Without an argument: what a PAL is for. With one: what it is not for; that takes as long as `partition-time` says. */
int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = on_fault };
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGSEGV, &action, NULL);
	if (tv_detect() == TV_NONE) {
		puts("pal-demo: no TrustVisor on this machine");
		return 2;
	}
	printf("pal-demo: TrustVisor serves L%d, %d CPUs\n", (int)tv_detect(), cpus);
	report(true, "way to register", access("/dev/trustvisor", F_OK) ? "hypercall" : "the driver");
	report(tv_test() == TV_OK, "test", "success");
	tv_own_sections(&sections);

	if (argc > 1 && !strcmp(argv[1], "misuse")) {
		misuse_pals();
		return failures != 0;
	}
	if (start_pal(&two_integers, pal_add)) {
		call_add(40, 2);
		look_from_outside(cpus);
		register_twice();
		call_add(0xffffffffffffffff, 1);
		end_pal(pal_add, TV_OK);
		call_of_no_pal();
	}
	for (int cpu = 0; cpu < cpus && cpu < 2; cpu++)
		write_from_outside(cpu);
	call_crypt();

	printf("pal-demo: %s\n", failures ? "FAILED" : "ok");
	return failures != 0;
}
