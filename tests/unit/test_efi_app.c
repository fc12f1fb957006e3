/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xmhf.efi asks the firmware for, against a firmware of this file: which CPUs it takes, memory that begins at
 * 2 MiB, ACPI's root pointer and the screen; and what it says of CPUs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../hypapi/sim/machine/cpu/x86_insn.h"
#include "../../xmhf/boot/efi/app.c"

/* What the application links. */
const u8 core_image[1], core_image_end[1], bridge_start[1], bridge_end[1], bridge_leave[1], bridge_resumed[1];
char next_path[PATH_CHARS], next_options[CMDLINE_BYTES];
u64 bridge_enter(struct efi_cpu_state *s, struct efi_handoff *h, u64 cr3, u64 to)
{
	(void)s, (void)h, (void)cr3, (void)to;
	return 0;
}
const char *read_config(char cmdline[CMDLINE_BYTES]) { (void)cmdline; return NULL; }
efi_status start_next(efi_handle image) { (void)image; return 0; }
static char said[1024];
u64 widen(u16 *to, const char *text)
{
	(void)to;
	strcat(said, text);
	return 0;
}
u64 *machine_cr(u32 number) { static u64 cr[9]; return &cr[number]; }

#define NO 1

/* ---- CPUs ---- */

#define IS_BOOT 1
#define IS_ON EFI_PROCESSOR_ENABLED
static u32 flags[80];
static u64 all, own;
static enum { NOTHING, COUNT, WHO, INFO } fails;

static efi_status EFI count(struct efi_mp *s, u64 *to, u64 *enabled)
{
	(void)s;
	if (fails != COUNT)
		*to = *enabled = all;
	return fails == COUNT ? NO : 0;
}

static efi_status EFI who(struct efi_mp *s, u64 *number)
{
	(void)s;
	if (fails != WHO)
		*number = own;
	return fails == WHO ? NO : 0;
}

static efi_status EFI info(struct efi_mp *s, u64 number, struct efi_processor *to)
{
	(void)s;
	*to = (struct efi_processor){ .id = 10 + number, .flags = flags[number] };
	return number < all && fails != INFO ? 0 : NO;
}
static struct efi_mp services = { .count = count, .info = info, .who_am_i = who };

static efi_status EFI locate(const efi_guid *protocol, void *registration, void **interface);
static struct efi_boot_services firmware = { .locate_protocol = locate };

static efi_status EFI output(struct efi_text_output *o, const u16 *text) { (void)o, (void)text; return 0; }
static struct efi_text_output console = { .output = output };
static struct efi_system_table system_table = { .console_out = &console };

static const char *taken(u64 cpus, u64 number)
{
	static struct efi_handoff told;

	memset(&told, 0, sizeof(told));
	memset(states, 0, sizeof(states));
	memset(said, 0, sizeof(said));
	efi_table = &system_table;
	handoff = &told;
	boot = &firmware;
	all = cpus;
	own = number;
	return take_cpus();
}

static void set_all(u32 value)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		flags[i] = value;
}

static void all_cpus_but_this(void **state)
{
	(void)state;
	set_all(IS_ON);
	flags[1] = IS_ON | IS_BOOT;
	assert_null(taken(3, 1));
	assert_int_equal(handoff->cpu_count, 3);
	assert_int_equal(handoff->cpu[1].apic_id, 10);
	assert_int_equal(handoff->cpu[2].apic_id, 12);
	assert_null(states[1]);
	/* One that the firmware calls a boot CPU, too, is another one all the same. */
	flags[0] = IS_ON | IS_BOOT;
	assert_null(taken(3, 1));
	assert_int_equal(handoff->cpu_count, 3);
	assert_ptr_equal(states[0], &handoff->cpu[1]);
}

static void cpus_refused(void **state)
{
	(void)state;
	set_all(IS_ON);
	assert_null(taken(EFI_MAX_CPUS, 0));
	assert_non_null(strstr(taken(EFI_MAX_CPUS + 1, 0), "more than 64 CPUs"));
	flags[2] = 0;
	assert_non_null(strstr(taken(3, 0), "does not use"));
	assert_null(taken(2, 0));
}

/* Where a CPU may be that is not named, that is no machine of one CPU. */
static void errors_of_the_services(void **state)
{
	(void)state;
	set_all(IS_ON);
	fails = INFO;
	assert_string_equal(taken(4, 0), "the firmware has a CPU that it does not use: switch it on, or the core off, "
			    "in the firmware's menu");
	fails = WHO;
	const char *wrong = taken(4, 0);

	assert_non_null(wrong);
	assert_non_null(strstr(wrong, "does not tell which"));
	assert_string_equal(said, "");
	for (; fails != NOTHING; fails = fails == WHO ? COUNT : NOTHING) {
		assert_null(taken(fails == COUNT ? 4 : 1, 0)); /* the core asks the tables, and the CPU */
		assert_false(handoff->cpus_are_known);
		assert_int_equal(handoff->cpu_count, 1);
		assert_non_null(strstr(said, "no MP services"));
	}
}

static enum efi_answer core_answer;
static u64 core(struct efi_cpu_state *s, struct efi_handoff *h, u64 cr3, u64 to)
{
	(void)s, (void)h, (void)cr3, (void)to;
	return core_answer;
}

/* One of two has not come in time. The core, which waits on, may see it come. */
static void a_cpu_that_is_late(void **state)
{
	static const struct efi_core_entries none;

	(void)state;
	entries = &none;
	bridge = core;
	for (core_answer = EFI_ENTERED; core_answer <= EFI_REFUSED; core_answer += EFI_REFUSED) {
		set_all(IS_ON);
		assert_null(taken(2, 0));
		answer = EFI_START_OTHERS;
		looks = LOOKS - 2;
		look_for_cpus(NULL, NULL);
		assert_int_equal(answer, EFI_START_OTHERS);
		look_for_cpus(NULL, NULL);
		assert_int_equal(answer, core_answer);
		assert_int_equal(!strstr(said, "a CPU does not start"), core_answer == EFI_ENTERED);
	}
}

/* ---- Memory ---- */

static struct { u64 at, pages; } blocks[8]; /* allocated */
static u64 highest;
static bool is_taken;

static efi_status EFI allocate(u32 how, u32 type, u64 pages, u64 *at)
{
	size_t i = 0;

	(void)type;
	while (blocks[i].pages)
		i++;
	if (how == EFI_ALLOCATE_BELOW)
		*at = highest - pages * PAGE_SIZE;
	if (highest < pages * PAGE_SIZE || is_taken)
		return NO;
	blocks[i].at = *at;
	blocks[i].pages = pages;
	return 0;
}

/* The begin or the end of a block, or all of it. Then a timer of the firmware takes a page, if all is free. */
static efi_status EFI release(u64 at, u64 pages)
{
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		u64 end = blocks[i].at + blocks[i].pages * PAGE_SIZE;

		if (!pages || at < blocks[i].at || at + pages * PAGE_SIZE > end ||
		    (at != blocks[i].at && at + pages * PAGE_SIZE != end))
			continue;
		if (at == blocks[i].at)
			blocks[i].at += pages * PAGE_SIZE;
		blocks[i].pages -= pages;
		is_taken |= !blocks[i].pages;
		return 0;
	}
	return NO;
}

static void large_memory(void **state)
{
	(void)state;
	boot = &firmware;
	firmware.allocate_pages = allocate;
	firmware.free_pages = release;
	for (u64 end = 0x7f000000; end < 0x7f400000; end += 0x7f000) {
		highest = end;
		u64 at = large_below_4g(EFI_RESERVED, 3 * SIZE_2M + 1);

		assert_int_equal(at % SIZE_2M, 0);
		assert_in_range(at, end - 4 * SIZE_2M - PAGE_SIZE, end - 3 * SIZE_2M - PAGE_SIZE);
		/* And that is all that is taken. */
		assert_int_equal(release(at, 3 * 512 + 1), 0);
		is_taken = false;
		for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
			assert_int_equal(blocks[i].pages, 0);
	}
	highest = SIZE_2M;
	assert_int_equal(large_below_4g(EFI_RESERVED, SIZE_2M), 0);
}

/* ---- ACPI's root pointer ---- */

/* That of ACPI 2 where there is one, in whatever order, and though it has no XSDT. */
static void pointers(void **state)
{
	static struct boot_rsdp old = { .signature = "RSD PTR ", .revision = 2, .rsdt = 1, .xsdt = 11 };
	static struct boot_rsdp new = { .signature = "RSD PTR ", .revision = 2, .rsdt = 2 };
	struct efi_config_table config[] = { { acpi2_guid, &new }, { acpi1_guid, &old }, { acpi2_guid, &new } };
	struct efi_system_table table = { .config = config };

	(void)state;
	efi_table = &table;
	for (u32 first = 0; first < 2; first++) {
		struct efi_handoff told = { 0 };

		handoff = &told;
		table.config = config + first;
		table.config_count = 2;
		take_rsdp();
		assert_int_equal(told.rsdp.rsdt, 2);
	}
	struct efi_handoff told = { 0 };

	handoff = &told;
	table.config = config + 1;
	table.config_count = 1;
	take_rsdp();
	assert_int_equal(told.rsdp.rsdt, 1);
	assert_int_equal(told.rsdp.xsdt, 11); /* as its revision says */
}

/* ---- The screen ---- */

static struct efi_graphics_info screen = { .width = 1366, .height = 768, .pixels_per_line = 1376 };
static struct efi_graphics_mode mode = { .info = &screen, .framebuffer = 0x4000000000 };
static struct efi_graphics graphics = { .mode = &mode };

static efi_status EFI locate(const efi_guid *protocol, void *registration, void **interface)
{
	(void)registration;
	*interface = protocol == &gop_guid ? (void *)&graphics : protocol == &mp_guid ? (void *)&services : NULL;
	return *interface ? 0 : NO;
}

static void framebuffers(void **state)
{
	static const struct { u32 format; u8 red, blue; } formats[] = { { 0, 0, 16 }, { 1, 16, 0 } };
	struct efi_handoff told;

	(void)state;
	boot = &firmware;
	handoff = &told;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		screen.format = formats[i].format;
		take_framebuffer();
		assert_int_equal(told.framebuffer.addr, 0x4000000000);
		assert_int_equal(told.framebuffer.pitch_bytes, 5504);
		assert_int_equal(told.framebuffer.red.lowest_bit, formats[i].red);
		assert_int_equal(told.framebuffer.blue.lowest_bit, formats[i].blue);
	}
	/* By masks, or not to be written at all. */
	for (screen.format = 2; screen.format < 4; screen.format++) {
		memset(&told, 0, sizeof(told));
		take_framebuffer();
		assert_int_equal(told.framebuffer.addr, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_cpus_but_this),
		cmocka_unit_test(cpus_refused),
		cmocka_unit_test(errors_of_the_services),
		cmocka_unit_test(a_cpu_that_is_late),
		cmocka_unit_test(large_memory),
		cmocka_unit_test(pointers),
		cmocka_unit_test(framebuffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
