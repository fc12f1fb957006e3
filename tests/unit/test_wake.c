/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of ACPI tables are guarded. Root carries out what L1 stores there, so none of root's own may be among
 * them, whatever the firmware has told of its memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t machine_memory;
#define DIRECT_MAP machine_memory
#include "../../hypapi/sim/machine/cpu/x86_insn.h"
#include "../../xmhf/power/wake.c"

#define BYTES (1ul << 20)
#define TABLES 0x80000ul
#define FACS_BYTES 64

struct boot_info boot_info;
struct acpi_info acpi_info;
u64 root_start, root_end, root_low = 0x90000;
enum log_level log_threshold;

/* A stub of 64 bytes. */
asm(".section .rodata\n"
    ".global wake_stub, wake_stub_end, wake_gdtr_base, wake_far, wake_code32, wake_gdt, wake_pdpt, wake_ranges\n"
    "wake_stub: wake_gdtr_base: wake_code32: wake_gdt: .skip 8\nwake_far: .skip 8\nwake_pdpt: .skip 8\n"
    "wake_ranges: .skip 40\nwake_stub_end:\n"
    ".previous");

static u64 guarded[64];
static u32 guarded_pages;

void ept01_guard_page(gpa1_t page) { guarded[guarded_pages++] = page.addr; }
bool memory_map_is_usable(const struct memory_range *r) { (void)r; return false; }
void log_line(enum log_level level, const char *f, ...) { (void)level, (void)f; }
void boot_refuse(const char *f, ...) { fail_msg("%s", f); abort(); }

static u32 vector(u64 i)
{
	return *(u32 *)physical_at(TABLES + i * PAGE_SIZE + FACS_VECTOR);
}

/* Two FACS and four tables that lead there, a page each. How many pages are guarded while root has [start, end)? */
static u32 guarded_with_root_at(u64 start, u64 end)
{
	memset(physical_at(0), 0, BYTES);
	guarded_pages = kept_count = 0;
	root_start = start;
	root_end = end;
	for (u64 i = 0; i < 2; i++) {
		acpi_info.facs[i] = TABLES + i * PAGE_SIZE;
		*(u32 *)physical_at(acpi_info.facs[i] + FACS_LENGTH) = FACS_BYTES;
		*(u32 *)physical_at(acpi_info.facs[i] + FACS_VECTOR) = ~0u;
	}
	acpi_info.way_count = ACPI_WAY_MAX;
	for (u64 i = 0; i < ACPI_WAY_MAX; i++)
		acpi_info.way_to_facs[i] = (struct acpi_place){ TABLES + (2 + i) * PAGE_SIZE + 0xfe0, 0x20 };
	wake_init();
	for (u32 i = 0; i < guarded_pages; i++)
		assert_false(is_root_memory(guarded[i]));
	/* A start that refuses leaves the firmware its own. */
	assert_true(vector(0) == ~0u && vector(1) == ~0u);
	wake_arm();
	return guarded_pages;
}

static void no_page_of_root(void **state)
{
	(void)state;
	assert_int_equal(guarded_with_root_at(0x40000, 0x50000), 2 * 2 + ACPI_WAY_MAX);
	assert_int_equal(vector(0), root_low);
	assert_int_equal(vector(1), root_low);
	/* The second FACS and the first table are where root is by now. */
	assert_int_equal(guarded_with_root_at(TABLES + PAGE_SIZE, TABLES + 3 * PAGE_SIZE), 2 + ACPI_WAY_MAX - 1);
	assert_int_equal(vector(0), root_low);
	assert_int_equal(vector(1), ~0u);
	assert_int_equal(guarded_with_root_at(TABLES, TABLES + 16 * PAGE_SIZE), 0);
	assert_int_equal(vector(0), ~0u);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(no_page_of_root) };

	machine_memory = (u64)aligned_alloc(PAGE_SIZE, BYTES);
	return cmocka_run_group_tests_name("wake", tests, NULL, NULL);
}
