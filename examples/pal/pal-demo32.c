/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit caller and a 32-bit PAL (pal32.S), which runs in compatibility mode: parameters on the stack, words of four
 * bytes. Exit code 0 only if every line is as it should be, 2 without TrustVisor.
 */
#include <stdio.h>

#include "../libtv/tv.h"

#define SECRET 0x5ec7e700u

TV_PAL_PAGES(1, 1);

extern uint32_t pal32_secret;
extern char pal32_add[], call32[], hypercall32[];
uint32_t run32(const void *function, uint32_t a, uint32_t b, uint32_t c, uint32_t d, void *stack_top);

static const struct tv_pal_params params = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_POINTER, .size = 2 } } };
static struct tv_pal_sections sections;
static uint32_t words[2];
static char stack[16384] __attribute__((aligned(16)));
static int failures;

static uint32_t low(const void *pointer)
{
	return (uint32_t)(uintptr_t)pointer;
}

static void report(bool ok, const char *what, const char *text)
{
	printf("%s: %s%s\n", what, text, ok ? "" : "  FAILED");
	failures += !ok;
}

static uint32_t hypercall(uint32_t command, const void *ecx, const void *esi, const void *edi)
{
	uint32_t base = tv_detect() == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0;

	return run32(hypercall32, base + command, low(ecx), low(esi), low(edi), stack + sizeof(stack));
}

int main(void)
{
	uint32_t result, sum;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (tv_detect() == TV_NONE) {
		puts("pal-demo32: no TrustVisor on this machine");
		return 2;
	}
	tv_own_sections(&sections);
	pal32_secret = SECRET;
	words[0] = 1;
	words[1] = 2;
	if (!tv_prepare(&sections)) {
		puts("pal-demo32: pages cannot be locked");
		return 1;
	}
	result = tv_finish(&sections, hypercall(TV_CMD_REGISTER, &sections, &params, pal32_add));
	report(result == TV_OK, "32-bit register", tv_result_text(result));
	if (result == TV_OK) {
		report(*(volatile uint32_t *)&pal32_secret == 0, "32-bit outside read", "zeros");
		sum = run32(call32, 40, low(words), 0, 0, stack + sizeof(stack));
		report(sum == SECRET + 41 && words[0] == SECRET + 41 && words[1] == SECRET + 42, "32-bit PAL result",
		       "both words, registers kept");
		result = hypercall(TV_CMD_UNREGISTER, pal32_add, NULL, NULL);
		report(result == TV_OK, "32-bit unregister", tv_result_text(result));
		sum = run32(call32, 40, low(words), 0, 0, stack + sizeof(stack));
		report(sum == (uint32_t)TV_NOT_IN_PAL && words[0] == SECRET + 41, "32-bit call of no PAL", "an error");
	}
	printf("pal-demo32: %s\n", failures ? "FAILED" : "ok");
	return failures != 0;
}
