/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct start's way with kernels that are no good: cut off, or made for memory that is not free. Each is refused
 * before anything is written where it would run.
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
#include "../../xmhf/boot/guest_linux.c"

#define BYTES (16ul << 20)
#define MODULE 0x800000ul
#define ENTRY 0x200000ul
#define KERNEL_BYTES 0x4000u
#define SETUP_SECTORS 4u
#define FILL 0x90

struct boot_info boot_info;
u64 root_start = 0xc00000, root_end = 0xe00000, root_low = 0x90000;
enum log_level log_threshold;
void log_line(enum log_level level, const char *f, ...) { (void)level, (void)f; }
u64 machine_ticks(void) { return 0; }

static jmp_buf refused;
static char why[256];

void boot_refuse(const char *f, ...)
{
	va_list args;

	va_start(args, f);
	vsnprintf(why, sizeof(why), f, args);
	va_end(args);
	longjmp(refused, 1);
}

/* What is refused of a kernel of so many bytes that wants to run there; "" if it is loaded. */
static const char *loads(u64 bytes, u64 entry, u32 init_bytes)
{
	u8 *image = physical_at(MODULE);

	memset(physical_at(0), 0, BYTES);
	memset(image, FILL, KERNEL_BYTES);
	memset(image, 0, (SETUP_SECTORS + 1) * 512);
	image[P_SETUP_SECTS] = SETUP_SECTORS;
	image[P_HEADER_LEN] = 0x6a;
	memcpy(image + P_MAGIC, "HdrS", 4);
	image[P_VERSION] = 0xc, image[P_VERSION + 1] = 2;
	*(u64 *)(image + P_PREF_ADDRESS) = entry;
	set32(image, P_INIT_SIZE, init_bytes);
	boot_info = (struct boot_info){ .module_count = 1 };
	boot_info.modules[0] = (struct boot_module){ .start = MODULE, .end = MODULE + bytes };
	memory_map_add(0, 0xa0000, MEMORY_RAM);
	memory_map_add(0x100000, BYTES - 0x100000, MEMORY_RAM);
	memory_map_set(root_start, root_end, MEMORY_RESERVED);
	memory_map_set(0x400000, 0x401000, MEMORY_NVS);
	why[0] = 0;
	if (!setjmp(refused))
		assert_int_equal(guest_linux_load(), entry);
	return why;
}

static void cut_off(void **state)
{
	const u32 setup = (SETUP_SECTORS + 1) * 512;

	(void)state;
	assert_string_equal(loads(KERNEL_BYTES, ENTRY, 0x100000), "");
	for (u32 i = 0; i < KERNEL_BYTES - setup; i++)
		assert_int_equal(*(u8 *)physical_at(ENTRY + i), FILL);
	assert_int_equal(*(u8 *)physical_at(ENTRY + KERNEL_BYTES - setup), 0);
	assert_string_equal(loads(0xfff, ENTRY, 0x100000), "the first module is no Linux bzImage");
	/* Four KiB are more than the header, and less than these sectors. */
	((u8 *)physical_at(MODULE))[P_SETUP_SECTS] = 255;
	boot_info.modules[0].end = MODULE + 0x1000;
	why[0] = 0;
	if (!setjmp(refused))
		(void)guest_linux_load();
	assert_non_null(strstr(why, "is cut off"));
}

static void memory_that_is_not_free(void **state)
{
	static const struct { u64 entry; u32 bytes; } places[] = {
		{ 0, 0x1000 }, { 0xff000, 0x1000 }, { 0x380000, 0x100000 }, { 0x400000, 0x1000 },
		{ 0xb80000, 0x100000 }, { 0xc00000, 0x1000 }, { 0xe00000, 0x1000 }, { BYTES, 0x1000 },
		{ BIT(32) + ENTRY, 0x1000 }, { ~0ull - 0x2000, 0x100000 }, { ~0ull, ~0u },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		assert_non_null(strstr(loads(KERNEL_BYTES, places[i].entry, places[i].bytes), "which is not free"));
	assert_string_equal(loads(KERNEL_BYTES, 0x300000, 0x100000), "");
	assert_string_equal(loads(KERNEL_BYTES, 0xb00000, 0x100000), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(cut_off), cmocka_unit_test(memory_that_is_not_free) };

	machine_memory = (u64)aligned_alloc(PAGE_SIZE, BYTES);
	return cmocka_run_group_tests_name("guest_linux", tests, NULL, NULL);
}
