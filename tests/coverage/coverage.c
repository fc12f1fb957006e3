/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells on the log how often each arc of the core's own code was taken, for report.py. The compiler counts, and the
 * linker puts the counters side by side, in an image with this hypapp only. When L1 is about to end the machine, by the
 * emulator's port or by ACPI, those that are not 0 are logged: sixteen a line, behind the place of the
 * first.
 */
#include <hypapi/hypapi.h>

enum { EMULATOR_PORT = 0x8900, POWER_PORT = 0xb004, SLEEP_ENABLE = 0x2000, A_LINE = 16 };
enum { L1_ONLY = HYPAPI_LEVEL_BIT(HYPAPI_L1) };

extern const volatile uint64_t coverage_start[], coverage_end[];

/* " " and the low 32 bits in hexadecimal, without leading zeros. */
static char *put_number(char *at, uint32_t value)
{
	uint32_t shift = 28;

	while (shift && !(value >> shift))
		shift -= 4;
	*at++ = ' ';
	for (shift += 4; shift; shift -= 4)
		*at++ = "0123456789abcdef"[value >> (shift - 4) & 15];
	return at;
}

static void log_from(const volatile uint64_t *c)
{
	char text[A_LINE * 9 + 1], *at = text;
	uint64_t any = 0;

	for (uint32_t i = 0; i < A_LINE; i++) {
		any |= c[i];
		at = put_number(at, (uint32_t)c[i]);
	}
	*at = 0;
	if (any)
		hypapi_log("coverage: %lx:%s", (c - coverage_start) * sizeof(*c), text);
}

/* Fewer lines than the 256 that a hypapp may log at a time. */
static void log_counters(void)
{
	for (const volatile uint64_t *c = coverage_start; c < coverage_end; c += A_LINE)
		log_from(c);
	hypapi_log("coverage: end");
}

static enum hypapi_verdict on_port(struct hypapi_event *ev)
{
	const struct hypapi_port_io_args *io = &ev->args.port_io;
	bool ends = io->port == EMULATOR_PORT ? io->value == 'S' : !!(io->value & SLEEP_ENABLE);

	if (!io->in && ends)
		log_counters();
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(coverage,
	.priority = 900,
	.subscriptions = { { .type = HYPAPI_EV_PORT_IO, .levels = L1_ONLY, .handler = on_port } },
	.claims = {
		{ .kind = HYPAPI_CLAIM_PORT, .levels = L1_ONLY, .first = EMULATOR_PORT, .last = EMULATOR_PORT },
		{ .kind = HYPAPI_CLAIM_PORT, .levels = L1_ONLY, .first = POWER_PORT, .last = POWER_PORT },
	});
