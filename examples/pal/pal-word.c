/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pal-word: a PAL by libtv in a program of either width; the image of Debian's 64-bit kernel has it as both. Words are
 * uintptr_t. With the driver also what only the driver has: several entry points, errors, FPU and SIMD. Exit code 0
 * only if every line is as it should be, 2 without TrustVisor.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../libtv/tv.h"

#define SECRET 0x5ec7e700u
#define WORDS 5

TV_PAL_PAGES(1, 1);
TV_PAL_DATA static struct { uintptr_t secret, calls; } data = { 0, 0 };

TV_PAL_ENTRY(word_add, (uintptr_t a, uintptr_t b), (a, b))
{
	data.calls++;
	return a + b + data.secret;
}

TV_PAL_ENTRY(word_mask, (uintptr_t *words, uintptr_t count), (words, count))
{
	for (uintptr_t i = 0; i < count; i++)
		words[i] ^= data.secret + i;
	return ++data.calls;
}

/* Its parameter is an integer: it leads to shared memory. */
TV_PAL_ENTRY(word_shared, (uintptr_t at), (at))
{
	*(uintptr_t *)at += data.secret;
	return ++data.calls;
}

/* What is in a SIMD register, and then the number. */
TV_PAL_ENTRY(word_simd, (uintptr_t number), (number))
{
	uint32_t found;

	__asm__ volatile("movd %%xmm7, %0; movd %1, %%xmm7" : "=&r"(found) : "r"((uint32_t)number));
	return found;
}

TV_PAL_ENTRY(word_fail, (uintptr_t unused), (unused))
{
	__asm__ volatile("ud2");
	return unused;
}

static uintptr_t (*volatile add)(uintptr_t, uintptr_t) = word_add;
static uintptr_t (*volatile mask)(uintptr_t *, uintptr_t) = word_mask;
static uintptr_t (*volatile fail)(uintptr_t) = word_fail;
static uintptr_t (*volatile add_to_shared)(uintptr_t) = word_shared;
static uintptr_t (*volatile simd)(uintptr_t) = word_simd;
static struct tv_pal_sections sections;
static int failures;

static void report(bool ok, const char *what, const char *text)
{
	printf("%d-bit %s: %s%s\n", (int)sizeof(void *) * 8, what, text, ok ? "" : "  FAILED");
	failures += !ok;
}

static const struct tv_list_entry listed[] = {
	{ .params = { .num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } } },
	{ .params = { .num_params = 2, .params = { { .type = TV_PARAM_BUFFER, .size = 2 * WORDS },
						   { .type = TV_PARAM_INTEGER } } } },
	{ .params = { .num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } } },
};

static void one_entry(void)
{
	uint32_t result;

	data.secret = SECRET;
	data.calls = 0;
	result = tv_register(&sections, &listed[0].params, word_add);
	report(result == TV_OK, "register", tv_result_text(result));
	if (result != TV_OK)
		return;
	report(*(volatile uintptr_t *)&data.secret == 0, "data from outside", "zeros");
	report(add(40, 2) == SECRET + 42 && add((uintptr_t)-1, 1) == SECRET, "PAL result", "its own sum");
	result = tv_unregister(&sections, word_add);
	report(result == TV_OK && *(volatile uintptr_t *)&data.secret == 0, "unregister", tv_result_text(result));
	report(add(1, 2) == TV_NOT_IN_PAL, "call of no PAL", "an error");
}

static volatile uintptr_t outside[2]; /* of the PAL's sections */

/* Memory that the PAL finds at its caller's address, because tv_share() has named it. */
static void shared_memory(void)
{
	const uintptr_t address = (uintptr_t)&outside[1], len = sizeof(outside[1]);
	const struct tv_pal_params integer = { .num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } };

	data.secret = SECRET;
	data.calls = 0;
	outside[0] = outside[1] = 5;
	report(tv_register(&sections, &integer, word_shared) == TV_OK, "register for shared memory", "success");
	report(tv_share(word_shared, &address, &len, 1) == TV_OK &&
	       add_to_shared(address) == 1 && outside[1] == SECRET + 5 && add_to_shared(address) == 2 &&
	       outside[1] == (uintptr_t)SECRET * 2 + 5 && outside[0] == 5, "shared memory", "the PAL adds to it");
	report(tv_unregister(&sections, word_shared) == TV_OK, "unregister", "success");
}

/* Both have a SIMD register in use, and each finds its own. The compiler has none here (-mgeneral-regs-only). */
static bool finds_simd(uintptr_t number, uint32_t found)
{
	uint32_t before = 0xca11e4, after = 0;
	uintptr_t result;

	__asm__ volatile("movd %0, %%xmm7" : : "r"(before));
	result = simd(number);
	__asm__ volatile("movd %%xmm7, %0" : "=r"(after));
	return result == found && after == before;
}

static void own_simd(void)
{
	const struct tv_list_entry entry = { .address = (uintptr_t)word_simd, .params = {
		.num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } } };
	struct tv_status status = { .present = false };
	bool fails;

	report(tv_register_entries(&sections, &entry, 1, TV_LIST_FPU) == TV_OK, "register with SIMD", "success");
	report(finds_simd(7, 0), "SIMD, first call", "zero, and the caller's is whole");
	report(finds_simd(8, 7), "SIMD, second call", "what the first left");
	report(tv_unregister(&sections, word_simd) == TV_OK, "unregister", "success");
	fails = tv_register_entries(&sections, &entry, 1, TV_LIST_ERRORS) == TV_OK &&
		simd(9) == (uintptr_t)TV_CALL_FAILED && tv_status(&sections, &status) && status.why == TV_WHY_FAULT;
	report(fails, "SIMD, without the flag", tv_why_text(status.why));
	tv_unregister(&sections, word_simd);
}

static uint32_t register_all(void)
{
	struct tv_list_entry entries[3];

	memcpy(entries, listed, sizeof(entries));
	entries[0].address = (uintptr_t)word_add;
	entries[1].address = (uintptr_t)word_mask;
	entries[2].address = (uintptr_t)word_fail;
	data.secret = SECRET;
	data.calls = 0;
	return tv_register_entries(&sections, entries, 3, TV_LIST_ERRORS);
}

static void on_fault(int number)
{
	_exit(number);
}

/*
 * The child ends in a handler, not by its fault: its way out of the kernel must not be the parent's, to which Bochs'
 * SYSRET would give the SS of a fault, with 16-bit addresses. Hardware sets its attributes.
 */
static void call_in_child(void)
{
	int status = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		signal(SIGSEGV, on_fault);
		add(1, 2);
		_exit(0);
	}
	report(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == SIGSEGV, "call by a forked child", "SIGSEGV");
}

static void several_entries(void)
{
	uintptr_t words[2 * WORDS] = { 1, 2, 3, 4, 5, 6 };
	struct tv_status status = { .present = false };
	bool right = true;

	report(register_all() == TV_OK, "register", "three entry points");
	report(add(1, 2) == SECRET + 3 && mask(words, WORDS) == 2, "calls", "one state for all");
	for (uintptr_t i = 0; i < WORDS; i++)
		right &= words[i] == ((i + 1) ^ (SECRET + i));
	report(right && words[WORDS] == WORDS + 1, "buffer", "as long as the call says");
	report(tv_status(&sections, &status) && status.present && status.calls == 2, "status", "two calls");
	right = mask(words, 2 * WORDS + 1) == (uintptr_t)TV_CALL_FAILED && tv_status(&sections, &status);
	report(right && status.present && status.why == TV_WHY_CALLER, "too long a buffer", tv_why_text(status.why));
	call_in_child();
	report(add(1, 3) == SECRET + 4, "call after that", "the PAL is there");
	right = fail(1) == (uintptr_t)TV_CALL_FAILED && tv_status(&sections, &status);
	report(right && !status.present && status.why == TV_WHY_FAULT && status.vector == 6 &&
	       status.rip - sections.sections[0].start_addr < 4096, "UD2 in the PAL", tv_why_text(status.why));
	report(tv_unregister(&sections, word_fail) == TV_E_NO_PAL, "unregister", "it is gone");
}

int main(void)
{
	bool driver = access("/dev/trustvisor", F_OK) == 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (tv_detect() == TV_NONE) {
		puts("pal-word: no TrustVisor on this machine");
		return 2;
	}
	report(tv_test() == TV_OK, "way to register", driver ? "the driver" : "hypercall");
	tv_own_sections(&sections);
	one_entry();
	if (!failures)
		shared_memory();
	if (driver && !failures) {
		several_entries();
		own_simd();
	} else if (!failures)
		report(register_all() == TV_E_UNSUPPORTED, "several entry points without the driver", "not supported");
	printf("pal-word: %s\n", failures ? "FAILED" : "ok");
	return failures != 0;
}
