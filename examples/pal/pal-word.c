/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pal-word: a PAL by libtv in a program of either width; the images have it as a 32-bit program, on Debian's 64-bit
 * kernel. Words are uintptr_t. With the driver also what only the driver has. Exit code 0 only if every line is as it
 * should be, 2 without TrustVisor.
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

TV_PAL_ENTRY(word_fail, (uintptr_t unused), (unused))
{
	__asm__ volatile("ud2");
	return unused;
}

static uintptr_t (*volatile add)(uintptr_t, uintptr_t) = word_add;
static uintptr_t (*volatile mask)(uintptr_t *, uintptr_t) = word_mask;
static uintptr_t (*volatile fail)(uintptr_t) = word_fail;
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
	if (driver && !failures)
		several_entries();
	else if (!failures)
		report(register_all() == TV_E_UNSUPPORTED, "several entry points without the driver", "not supported");
	printf("pal-word: %s\n", failures ? "FAILED" : "ok");
	return failures != 0;
}
