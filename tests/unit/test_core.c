/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The core's pure logic on the host: formatting, the guest's memory map, boot options, descriptors of hypapps, EPTs as
 * data. boot_refuse() and panic() leave by longjmp(), so that a test sees the line that they would have printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot/boot_info.h"
#include "core/cmdline.h"
#include "events/hypapps.h"
#include "events/hypapps_check.h"
#include "lib/printf.h"
#include "report/log.h"

/* The C library has these: only the ones of the core's own that it has not are declared here. */
int strcmp(const char *, const char *);
char *strstr(const char *, const char *);
void *memset(void *, int, size_t);

struct boot_info boot_info;
enum log_level log_threshold;
static jmp_buf refused;
static char refusal[256];

void boot_refuse(const char *f, ...)
{
	va_list args;

	va_start(args, f);
	format_va(refusal, sizeof(refusal), f, args);
	va_end(args);
	longjmp(refused, 1);
}

bool hypapps_find(const char *name, size_t len)
{
	return len == 5 && name[0] == 'h' && name[4] == 'o';
}

#define assert_refuses(text, call)                                                             \
	do {                                                                                   \
		refusal[0] = 0;                                                                \
		if (!setjmp(refused))                                                          \
			call;                                                                  \
		if (!strstr(refusal, text))                                                    \
			fail_msg("wanted \"%s\", got \"%s\"", text, refusal);                  \
	} while (0)

/* ---- printf ---- */

static void test_format(void **state)
{
	char buf[64];
	(void)state;

	format(buf, sizeof(buf), "%d %u %x|%5u|%-5u|%05x", -7, 7u, 0xabcu, 42u, 42u, 0xfu);
	assert_string_equal(buf, "-7 7 abc|   42|42   |0000f");
	format(buf, sizeof(buf), "%lx %lu %ld %s %c%%", ~0ul, ~0ul, -1l, "text", 'c');
	assert_string_equal(buf, "ffffffffffffffff 18446744073709551615 -1 text c%");
	format(buf, sizeof(buf), "%ld", (long)(1ul << 63));
	assert_string_equal(buf, "-9223372036854775808");
}

static void test_format_is_bounded(void **state)
{
	char buf[8] = "xxxxxxx";
	(void)state;

	assert_int_equal(format(buf, 5, "%s", "longer than that"), 4);
	assert_string_equal(buf, "long");
	assert_int_equal(buf[5], 'x');
}

/* ---- memory map ---- */

static void set_map(const struct memory_range *map, u32 count)
{
	memset(&boot_info, 0, sizeof(boot_info));
	for (u32 i = 0; i < count; i++)
		boot_info.memory[i] = map[i];
	boot_info.memory_count = count;
}

static const struct memory_range pc_map[] = {
	{ 0, 0x9f000, MEMORY_RAM }, { 0x9f000, 0x1000, MEMORY_RESERVED }, { 0x100000, 0x3ff00000, MEMORY_RAM },
	{ 0x100000000, 0x40000000, MEMORY_RAM },
};

static u64 ram_bytes(void)
{
	u64 sum = 0;

	for (u32 i = 0; i < boot_info.memory_count; i++)
		sum += boot_info.memory[i].type == MEMORY_RAM ? boot_info.memory[i].size : 0;
	return sum;
}

static void test_map_hides_a_range(void **state)
{
	(void)state;
	set_map(pc_map, 4);
	u64 before = ram_bytes();

	memory_map_set(0x3f000000, 0x3f800000, MEMORY_RESERVED);
	assert_int_equal(ram_bytes(), before - 0x800000);
	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];

		if (r->type == MEMORY_RAM)
			assert_true(r->start + r->size <= 0x3f000000 || r->start >= 0x3f800000);
	}
}

static void test_map_over_several_entries(void **state)
{
	(void)state;
	set_map(pc_map, 4);
	memory_map_set(0x9e000, 0x101000, MEMORY_NVS);
	u32 found = 0;

	for (u32 i = 0; i < boot_info.memory_count; i++)
		found += boot_info.memory[i].type == MEMORY_NVS && boot_info.memory[i].start == 0x9e000 &&
			 boot_info.memory[i].size == 0x101000 - 0x9e000;
	assert_int_equal(found, 1);
}

static void test_find_is_highest_and_avoids_modules(void **state)
{
	(void)state;
	set_map(pc_map, 4);
	assert_int_equal(memory_map_find(0x800000, 0x200000, 0x2000000, 1ul << 32), 0x3f800000);
	boot_info.modules[0].start = 0x3fa00000;
	boot_info.modules[0].end = 0x3fb00000;
	boot_info.module_count = 1;
	assert_int_equal(memory_map_find(0x800000, 0x200000, 0x2000000, 1ul << 32), 0x3f200000);
	assert_int_equal(memory_map_find(1ul << 40, 0x200000, 0, ~0ul), 0);
	assert_int_equal(memory_map_find(0x1000, 0x1000, 0x9f000, 0x100000), 0);
}

static void test_map_too_long(void **state)
{
	(void)state;
	memset(&boot_info, 0, sizeof(boot_info));
	for (u32 i = 0; i < MAX_MEMORY_RANGES; i++)
		boot_info.memory[boot_info.memory_count++] = (struct memory_range){ i * 0x10000ul, 0x8000, MEMORY_RAM };
	assert_refuses("memory map has more than", memory_map_set(0x1000, 0x2000, MEMORY_RESERVED));
}

/* ---- boot options ---- */

static void test_cmdline(void **state)
{
	(void)state;
	/* The shell of a UEFI firmware puts a path first; of an option that is there twice the first counts. */
	cmdline_parse("fs0:\\XMHF.EFI  log=debug nested=on hello.name=value boot=chain log=info ");
	assert_string_equal(cmdline_get("log"), "debug");
	assert_string_equal(cmdline_get("hello.name"), "value");
	assert_null(cmdline_get("drive"));
	assert_true(cmdline_is("boot", "chain"));
	assert_false(cmdline_is("boot", "cha"));
}

static void test_cmdline_refuses(void **state)
{
	(void)state;
	assert_refuses("unknown option \"logg\"", cmdline_parse("logg=debug"));
	assert_refuses("option log=loud", cmdline_parse("log=loud"));
	assert_refuses("option log=: the value", cmdline_parse("log="));
	assert_refuses("unknown option \"other.x\"", cmdline_parse("other.x=1"));
	/* Not the file's name, which may come first. */
	assert_refuses("unknown option \"smm/require\"", cmdline_parse(" smm/require"));
	assert_refuses("unknown option \"smm\\require\"", cmdline_parse("smm\\require log=info"));
	assert_refuses("unknown option \"/smm\"", cmdline_parse("/smm=require"));
	assert_refuses("unknown option \"some/file\"", cmdline_parse(" some/file"));
	static const char *const names[] = { "/boot/xmhf", "fs0:\\EFI\\xmhf\\xmhf", "EFI\\xmhf\\xmhf", ".\\xmhf",
					     "(hd0,0)/boot/xmhf", "http://h/xmhf", "build/xmhf", "xmhf.efi" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		cmdline_parse(names[i]);
	assert_refuses("unknown option \"/boot/xmhf\"", cmdline_parse("log=info /boot/xmhf"));
}

static void test_cmdline_times(void **state)
{
	static const char *const wrong[] = { "", "5", "ms", "-1ms", "0ms", "0s", "1m", "1msx", "1.5s", "60001ms", "61s",
					     "18446744073709551617ms", "0x10ms", "wait" };
	char line[512], name[16];
	/* Parsed a second time, so names of the first time must not stand where they stood. */
	size_t at = format(line, sizeof(line),
			   "build/xmhf.elf%200s partition-time=7ms stop-bound=60s stop-timeout=reset:10s", "");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		at += format(line + at, sizeof(line) - at, " hello.%c=%s", (int)('a' + i), wrong[i]);
	cmdline_parse(line);
	assert_int_equal(cmdline_ms("partition-time", "", 50, 60000), 7);
	assert_int_equal(cmdline_ms("stop-bound", "", 50, 60000), 60000);
	assert_int_equal(cmdline_ms("stop-timeout", "reset:", 0, 60000), 10000);
	assert_refuses("stop-timeout=reset:10s: not TIME", cmdline_ms("stop-timeout", "", 0, 60000));
	assert_refuses("stop-bound=60s: not reset:TIME", cmdline_ms("stop-bound", "reset:", 0, 60000));
	assert_int_equal(cmdline_ms("shadow-vmcs", "", 50, 60000), 50);
	for (volatile size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		format(name, sizeof(name), "hello.%c", (int)('a' + i));
		assert_string_equal(cmdline_get(name), wrong[i]);
		assert_refuses("where TIME is like", cmdline_ms(name, "", 50, 60000));
	}
	assert_refuses("unknown option \"partition-ticks\"", cmdline_parse("partition-ticks=5"));
}

/* ---- descriptors ---- */

static enum hypapi_verdict handler(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_PASS;
}

#define APP(name_, priority_, ...)                                                             \
	{ .magic = HYPAPP_MAGIC, .size = sizeof(struct hypapp_descriptor),                     \
	  .major = HYPAPI_MAJOR, .minor = HYPAPI_MINOR, .name = name_, .priority = priority_, __VA_ARGS__ }

static uint32_t features = HYPAPI_FEATURE_NESTED | HYPAPI_FEATURE_PARTITIONS;

static char warnings[1024];

static void warn(const char *message)
{
	size_t len = 0;

	while (warnings[len])
		len++;
	format(warnings + len, sizeof(warnings) - len, "%s\n", message);
}

static void check(const struct hypapp_descriptor *a, const struct hypapp_descriptor *b, const char *want)
{
	const struct hypapp_descriptor *list[] = { a, b };
	char message[256] = "";
	const struct hypapps_report report = { message, sizeof(message), warn };

	warnings[0] = 0;
	bool ok = hypapps_check(list, b ? 2 : 1, features, &report);

	assert_int_equal(ok, want == NULL);
	if (want && strcmp(message, want))
		fail_msg("wanted \"%s\", got \"%s\"", want, message);
}

#define HYPERCALLS(first_, last_) { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = 6, .first = first_, .last = last_ }
#define ON(event) { .type = HYPAPI_EV_##event, .levels = 6, .handler = handler }

static void test_descriptors(void **state)
{
	struct hypapp_descriptor a = APP("a", 1, .claims = { HYPERCALLS(0x10, 0x1f) },
					 .subscriptions = { ON(HYPERCALL) });
	struct hypapp_descriptor b = APP("b", 2, .claims = { HYPERCALLS(0x20, 0x2f) },
					 .subscriptions = { ON(HYPERCALL) });
	(void)state;

	check(&a, &b, NULL);
	b.priority = 1;
	check(&a, &b, "hypapps a and b have the same priority 1");
	b.priority = 2;
	b.claims[0].first = 0x1f;
	check(&a, &b, "hypapps a and b both claim hypercalls 0x1f to 0x1f");
	b.claims[0].levels = b.subscriptions[0].levels = HYPAPI_LEVEL_BIT(HYPAPI_L1);
	a.claims[0].levels = a.subscriptions[0].levels = HYPAPI_LEVEL_BIT(HYPAPI_L2);
	check(&a, &b, NULL);
	b.name = "a";
	check(&a, &b, "two hypapps have the name a");
}

static void test_claims(void **state)
{
	struct hypapp_descriptor a = APP("a", 1, .claims = { { HYPAPI_CLAIM_PORT, 6, 0x60, 0x64 },
							     { HYPAPI_CLAIM_MSR, 6, 0, 0x1fff } },
					 .subscriptions = { ON(PORT_IO), ON(MSR) });
	struct hypapp_descriptor b = APP("b", 2, .claims = { { HYPAPI_CLAIM_PORT, 6, 0x65, 0xffff },
							     { HYPAPI_CLAIM_MSR, 6, 0xc0000000, 0xc0001fff } },
					 .subscriptions = { ON(PORT_IO), ON(MSR) });
	struct hypapp_descriptor older = APP("older", 3);
	(void)state;

	check(&a, &b, NULL);
	b.claims[0].first = 0x64;
	check(&a, &b, "hypapps a and b both claim ports 0x64 to 0x64");
	b.claims[0].first = 0x65;
	b.claims[1].first = 0x10;
	b.claims[1].last = 0x10;
	check(&a, &b, "hypapps a and b both claim MSRs 0x10 to 0x10");
	b.claims[1].kind = HYPAPI_CLAIM_CPUID;
	b.subscriptions[1].type = HYPAPI_EV_CPUID;
	check(&a, &b, NULL);
	older.minor = 0;
	check(&older, &a, NULL);
	older.size = HYPAPP_SIZE_1_0;
	check(&older, &a, NULL);
	older.size--;
	check(&older, NULL, "hypapp older: its descriptor is not one of hypapi: make it by HYPAPP_DEFINE()");
}

/*
 * An event that one hypapp may take from the guest has one owner at each level; changes in two phases may have several.
 */
static void test_owners(void **state)
{
	struct hypapp_descriptor a = APP("a", 1, .capabilities = HYPAPI_CAP_INTERRUPTS, .subscriptions = {
		{ .type = HYPAPI_EV_SLEEP, .two_phase = true, .handler = handler },
		{ .type = HYPAPI_EV_INTERRUPT, .levels = 2, .handler = handler } });
	struct hypapp_descriptor b = APP("b", 2, .capabilities = HYPAPI_CAP_INTERRUPTS, .subscriptions = {
		{ .type = HYPAPI_EV_SLEEP, .two_phase = true, .handler = handler },
		{ .type = HYPAPI_EV_INTERRUPT, .levels = 4, .handler = handler },
		{ .type = HYPAPI_EV_NMI, .levels = 2, .handler = handler } });
	(void)state;

	check(&a, &b, NULL);
	b.subscriptions[1].levels = 6;
	check(&a, &b, "hypapps a and b both own event interrupt");
}

/* Beside the descriptor: counted, checked and compared as in it. */
static void test_more(void **state)
{
	static struct hypapi_subscription subscriptions[] = {
		ON(PORT_IO), { .type = 1000, .handler = handler } };
	static const struct hypapi_claim claims[] = { { HYPAPI_CLAIM_PORT, 6, 0x60, 0x64 } };
	struct hypapp_descriptor a = APP("a", 1, .claims = { { HYPAPI_CLAIM_PORT, 6, 0, 0x1f } });
	struct hypapp_descriptor b = APP("b", 2, .claims = { { HYPAPI_CLAIM_PORT, 6, 0x64, 0x64 } },
					 .subscriptions = { ON(PORT_IO) });
	(void)state;

	a.more_subscriptions = subscriptions;
	check(&a, NULL, "hypapp a: .more_subscriptions and .more_claims each need the array and its count");
	a.more_subscription_count = 2;
	check(&a, NULL, "hypapp a subscribes to event 1000, which this core does not raise");
	a.more_subscription_count = 1;
	check(&a, &b, NULL);
	assert_ptr_equal(hypapp_subscription(&a, 0), subscriptions);
	assert_null(hypapp_subscription(&a, 1));
	a.more_claims = claims;
	a.more_claim_count = 1;
	check(&a, &b, "hypapps a and b both claim ports 0x64 to 0x64");
	check(&b, &a, "hypapps b and a both claim ports 0x64 to 0x64");
	assert_ptr_equal(hypapp_claim(&a, 1), claims);
	a.more_claim_count = HYPAPI_MAX_CLAIMS + 1;
	check(&a, NULL, "hypapp a: .more_subscription_count is 1 and .more_claim_count is 17, the most is 16 each");
	a.more_claim_count = 1;
	subscriptions[0].handler = NULL;
	check(&a, NULL, "hypapp a: .more_subscriptions[0], of event port-io, has no .handler");
}

/* A machine with an IOMMU has what one without it has not. */
static void test_needs(void **state)
{
	const struct hypapp_descriptor a = APP("a", 1, .needs = HYPAPI_FEATURE_DMA | HYPAPI_FEATURE_PARTITIONS);
	(void)state;

	check(&a, NULL, "hypapp a: .needs has HYPAPI_FEATURE_DMA, which this machine or core has not");
	features |= HYPAPI_FEATURE_DMA;
	check(&a, NULL, NULL);
	features &= ~(uint32_t)HYPAPI_FEATURE_DMA;
}

static void test_bad_descriptors(void **state)
{
	static const struct {
		struct hypapp_descriptor app;
		const char *want;
	} cases[] = {
		{ { .magic = 1, .name = "x" },
		  "hypapp x: its descriptor is not one of hypapi: make it by HYPAPP_DEFINE()" },
		{ APP("x", 1, .capabilities = 0x101),
		  "hypapp x: .capabilities has 0x100, which is no capability of hypapi" },
		{ APP("x", 1, .needs = 0x10), "hypapp x: .needs has 0x10, which is no feature of hypapi" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_EPT02_ROOT, .levels = 2, .handler = handler } }),
		  "hypapp x: the subscription to event ept02-root has no .levels of L2, where it occurs" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_INIT_SIGNAL, .handler = handler } }),
		  "hypapp x: the subscription to event init-signal has no .levels of L1, where it occurs" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_RESET, .two_phase = true, .handler = handler } }),
		  "hypapp x: the subscription to event reset has .two_phase, and the event has one phase" },
		{ APP("x", 1, .subscriptions = { ON(NMI) }),
		  "hypapp x subscribes to event nmi: add HYPAPI_CAP_INTERRUPTS to .capabilities" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_EXIT102, .levels = 2, .handler = handler } }),
		  "hypapp x: the subscription to event exit-102 has no .levels of L2, where it occurs" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_EXIT201, .levels = 4, .handler = handler } }),
		  "hypapp x: the subscription to event exit-201 has no .levels of L1, where it occurs" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_EXIT202, .handler = handler } }),
		  "hypapp x: the subscription to event exit-202 has no .levels of L2, where it occurs" },
		{ APP("x", 1, .subscriptions = { { .type = 1000, .handler = handler } }),
		  "hypapp x subscribes to event 1000, which this core does not raise" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_CPUID, .levels = 2, .quiesce = true,
						   .handler = handler } }),
		  "hypapp x: the subscription to event cpuid has .quiesce: add HYPAPI_CAP_QUIESCE to .capabilities" },
		{ APP("x", 1, .cpu_bytes = 65537), "hypapp x: .cpu_bytes is 65537, the most is 65536" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_MSR + 1, 2, 1, 2 } }),
		  "hypapp x: claims of kind 5 are not supported by this core" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_PORT, 2, 0xffff, 0x10000 } }),
		  "hypapp x: the claim of ports 0xffff to 0x10000 is out of range" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_PORT, 2, 2, 1 } }),
		  "hypapp x: the claim of ports 0x2 to 0x1 is out of range" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_MSR, 2, 0x1fff, 0x2000 } }),
		  "hypapp x: the claim of MSRs 0x1fff to 0x2000 is out of range" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_MSR, 2, 0x10, 0xc0000080 } }),
		  "hypapp x: the claim of MSRs 0x10 to 0xc0000080 is out of range" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_MSR, 2, 0xbfffffff, 0xc0000000 } }),
		  "hypapp x: the claim of MSRs 0xbfffffff to 0xc0000000 is out of range" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_MSR, 2, 0xc0000000, 0xc0002000 } }),
		  "hypapp x: the claim of MSRs 0xc0000000 to 0xc0002000 is out of range" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_CPUID, 2, 3, 2 } }),
		  "hypapp x: the claim of CPUID leaves 0x3 to 0x2 is out of range" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_HYPERCALL, 2, 0, 0x1000 } }),
		  "hypapp x: the claim of hypercalls 0x0 to 0x1000 is out of range" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_HYPERCALL, 2, 0xf0f, 0xf10 } }),
		  "hypapp x: hypercalls 0xf00 to 0xf0f are the core's own" },
	};
	struct hypapp_descriptor newer = APP("x", 1);
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check(&cases[i].app, NULL, cases[i].want);
	newer.minor = HYPAPI_MINOR + 1;
	check(&newer, NULL, "hypapp x needs hypapi 1.4, the core has 1.3");
}

/* What was silent before 1.3: refused in a descriptor of 1.3, the same line as a warning in one of before. */
static void test_new_mistakes(void **state)
{
	static const struct {
		struct hypapp_descriptor app;
		const char *want;
	} cases[] = {
		{ APP("x", 0), "hypapp x: .priority is not given: choose one that is not 0 and unique in the image" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_SLEEP } }),
		  "hypapp x: .subscriptions[0], of event sleep, has no .handler" },
		{ APP("x", 1, .subscriptions = { [2] = { .type = HYPAPI_EV_SLEEP, .handler = handler } }),
		  "hypapp x: .subscriptions[2], of event sleep, lies behind an empty entry, which ends the list: "
		  "close the gap" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_HYPERCALL, .handler = handler } }),
		  "hypapp x: the subscription to event hypercall has no .levels of L1 and L2: it is never asked" },
		{ APP("x", 1, .subscriptions = { ON(HYPERCALL) }),
		  "hypapp x: the subscription to event hypercall in L1 and L2 needs a claim of hypercalls there" },
		{ APP("x", 1, .subscriptions = { ON(HYPERCALL) },
		      .claims = { { HYPAPI_CLAIM_HYPERCALL, 2, 0x10, 0x1f } }),
		  "hypapp x: the subscription to event hypercall in L2 needs a claim of hypercalls there" },
		{ APP("x", 1, .claims = { HYPERCALLS(0x10, 0x1f) }),
		  "hypapp x: the claim of hypercalls 0x10 to 0x1f in L1 and L2 needs a subscription to event "
		  "hypercall there" },
		{ APP("x", 1, .claims = { { HYPAPI_CLAIM_PORT, 0, 1, 2 } }),
		  "hypapp x: the claim of ports 0x1 to 0x2 has no .levels of L1 and L2: it is never asked" },
		{ APP("x", 1, .claims = { { 0, 6, 1, 2 } }), "hypapp x: .claims[0], 0x1 to 0x2, has no .kind" },
		{ APP("x", 1, .subscriptions = { ON(HYPERCALL) }, .claims = { [1] = HYPERCALLS(1, 2) }),
		  "hypapp x: .claims[1], 0x1 to 0x2, lies behind an empty entry, which ends the list: close the gap" },
		{ APP("x", 1, .subscriptions = { { .type = HYPAPI_EV_WORK, .handler = handler } }),
		  "hypapp x subscribes to event work, which never comes without HYPAPI_CAP_WORK in .capabilities" },
		{ APP("x", 1, .subscriptions = { ON(EPT_VIOLATION) }),
		  "hypapp x subscribes to event ept-violation, which never comes without HYPAPI_CAP_MEMORY or "
		  "HYPAPI_CAP_PARTITIONS in .capabilities" },
		{ APP("x", 1, .subscriptions = { ON(HYPERCALL), ON(HYPERCALL) }, .claims = { HYPERCALLS(1, 2) }),
		  "hypapp x subscribes to event hypercall twice at one level: the second handler is never called" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hypapp_descriptor app = cases[i].app;

		check(&app, NULL, cases[i].want);
		app.minor = 2;
		check(&app, NULL, NULL);
		if (!strstr(warnings, cases[i].want))
			fail_msg("wanted a warning \"%s\", got \"%s\"", cases[i].want, warnings);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_format_is_bounded),
		cmocka_unit_test(test_map_hides_a_range),
		cmocka_unit_test(test_map_over_several_entries),
		cmocka_unit_test(test_find_is_highest_and_avoids_modules),
		cmocka_unit_test(test_map_too_long),
		cmocka_unit_test(test_cmdline),
		cmocka_unit_test(test_cmdline_refuses),
		cmocka_unit_test(test_cmdline_times),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_more), cmocka_unit_test(test_needs),
		cmocka_unit_test(test_bad_descriptors),
		cmocka_unit_test(test_new_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
