/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What loader and firmware tell, and what boot_info makes of it: multiboot information of both versions, RSDPs by the
 * loader and in a BIOS's memory, and memory maps as no firmware should make them. The machine's memory is an array.
 * boot_refuse() leaves by longjmp().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static uint64_t machine_memory;
#define DIRECT_MAP machine_memory
#include "../../hypapi/sim/machine/cpu/x86_insn.h"

u32 machine_in(u16 port, u32 size) { (void)port, (void)size; return ~0u; }
void machine_out(u16 port, u32 size, u32 value) { (void)port, (void)size, (void)value; }
void *machine_self(void) { return NULL; }
void machine_relax(void) { }

#include "../../xmhf/boot/firmware.c"
#undef BASE_MEMORY_END
#define physical multiboot_physical
#include "../../xmhf/boot/multiboot.c"
#undef physical
#include "../../xmhf/boot/memory_map.c"
#include "../../xmhf/boot/efi_map.c"

#define BYTES (1ul << 20)
#define INFO 0x90000u
#define TEXT 0x9f000u
#define EBDA 0x9fc00ul
#define ROM_RSDP 0xf1230ul

enum log_level log_threshold;
void log_line(enum log_level level, const char *f, ...) { (void)level, (void)f; }
void percpu_locks_add(int n) { (void)n; }
_Atomic bool quiesce_given_up;

static jmp_buf refused;
static const char *refusal;

void boot_refuse(const char *f, ...)
{
	refusal = f;
	longjmp(refused, 1);
}

#define assert_refuses(text, call)                                                             \
	do {                                                                                   \
		refusal = "";                                                                  \
		if (!setjmp(refused))                                                          \
			call;                                                                  \
		if (!strstr(refusal, text))                                                    \
			fail_msg("wanted \"%s\", got \"%s\"", text, refusal);                  \
	} while (0)

static int begin(void **state)
{
	(void)state;
	memset(physical_at(0), 0, BYTES);
	memset(&boot_info, 0, sizeof(boot_info));
	return 0;
}

/* ---- Memory maps ---- */

/* The invariant, and the same answer address by address as from the entries themselves. */
static void assert_map(const struct memory_range *told, u32 count, u64 step, u64 end)
{
	const struct memory_range *map = boot_info.memory;

	for (u32 i = 0; i < boot_info.memory_count; i++) {
		assert_true(map[i].size > 0 && map[i].start + map[i].size > map[i].start);
		if (i)
			assert_true(map[i - 1].start + map[i - 1].size <= map[i].start);
		if (i && map[i - 1].start + map[i - 1].size == map[i].start)
			assert_int_not_equal(map[i - 1].type, map[i].type);
	}
	for (u64 at = 0; at < end; at += step) {
		u32 wanted = 0, found = 0;

		for (u32 i = 0; i < count; i++)
			if (at >= told[i].start && at - told[i].start < told[i].size &&
			    (!wanted || rank(told[i].type) > rank(wanted)))
				wanted = told[i].type;
		for (u32 i = 0; i < boot_info.memory_count; i++)
			if (at >= map[i].start && at - map[i].start < map[i].size)
				found = map[i].type;
		assert_int_equal(found, wanted);
		assert_int_equal(memory_map_is_ram(at, at + step), wanted == MEMORY_RAM || wanted == MEMORY_ACPI);
	}
}

static void add(const struct memory_range *told, u32 count)
{
	for (u32 i = 0; i < count; i++)
		memory_map_add(told[i].start, told[i].size, told[i].type);
}

/* Entries in any order, one inside another, empty ones, and some that leave the address space. */
static void maps_that_firmware_makes(void **state)
{
	static const struct memory_range told[] = {
		{ 0x3000, 0x1000, MEMORY_RAM }, { 0x1000, 0x2000, MEMORY_RAM }, { 0x4000, 0x4000, MEMORY_ACPI },
		{ 0x6000, 0x1000, MEMORY_RESERVED }, { 0x10000, -0x8000ull, MEMORY_RAM }, { 0x20000, 0, MEMORY_RAM },
		{ 1ull << 52, 0x1000, MEMORY_RAM }, { ~0ull, ~0ull, MEMORY_RAM },
	};

	(void)state;
	add(told, 4);
	assert_map(told, 4, 0x1000, 0x10000);
	add(told + 4, ARRAY_SIZE(told) - 4);
	assert_map(told, 4, 0x1000, 0x40000);
	assert_int_equal(boot_info.memory_count, 4);
	assert_int_equal(memory_map_is_ram(0x1000, 0x6000), 1);
	assert_int_equal(memory_map_is_ram(0x1000, 0x8000), -1);
	assert_int_equal(memory_map_is_ram(0, 0x2000), -1);
	assert_int_equal(memory_map_is_ram(0x6000, 0x7000), 0); /* disputed */
	assert_int_equal(memory_map_top(), 0x4000);
	memory_map_add(0x30000, ~0ull, MEMORY_RESERVED);
	assert_int_equal(memory_map_is_ram(0x30000, 0x31000), 0);
	assert_int_equal(boot_info.memory[4].start + boot_info.memory[4].size, 1ull << 52);
}

/* 320 ranges that join, told backwards: one is left. As many that do not join stay. */
static void many_ranges(void **state)
{
	struct memory_range told[320];

	(void)state;
	for (u32 i = 0; i < 320; i++)
		told[319 - i] = (struct memory_range){ i * 0x1000ul, 0x1000, MEMORY_RAM };
	add(told, 320);
	assert_int_equal(boot_info.memory_count, 1);
	assert_map(told, 320, 0x1000, 0x150000);
	begin(NULL);
	for (u32 i = 0; i < 320; i++)
		told[(i * 7) % 320] = (struct memory_range){ i * 0x1000ul, 0x1000, i % 2 ? MEMORY_NVS : MEMORY_RAM };
	add(told, 320);
	assert_int_equal(boot_info.memory_count, 320);
	assert_map(told, 320, 0x1000, 0x150000);
	assert_int_equal(memory_map_find(0x1000, 0x1000, 0, 0x150000), 318 * 0x1000);
}

/* Every order and overlap of small ranges, by chance, types among them that nobody knows. */
static void random_maps(void **state)
{
	static const u32 types[] = { MEMORY_RAM, MEMORY_RESERVED, MEMORY_ACPI, MEMORY_NVS, MEMORY_BAD, 7, 0xf0000000 };
	struct memory_range told[24];

	(void)state;
	srand(1);
	for (int round = 0; round < 3000; round++) {
		u32 count = 1 + (u32)rand() % ARRAY_SIZE(told);

		boot_info.memory_count = 0;
		for (u32 i = 0; i < count; i++)
			told[i] = (struct memory_range){ (u64)rand() % 64, (u64)rand() % 24,
							 types[(size_t)rand() % ARRAY_SIZE(types)] };
		add(told, count);
		assert_map(told, count, 1, 100);

		u64 start = (u64)rand() % 64, end = start + 1 + (u64)rand() % 16;

		memory_map_set(start, end, MEMORY_RESERVED);
		assert_int_equal(memory_map_is_ram(start, end), 0);
		assert_map(boot_info.memory, boot_info.memory_count, 1, 100);
	}
}

static void too_many_ranges(void **state)
{
	(void)state;
	for (u32 i = 0; i < MAX_MEMORY_RANGES; i++)
		memory_map_add(i * 0x2000ul, 0x1000, MEMORY_RAM);
	assert_int_equal(boot_info.memory_count, MAX_MEMORY_RANGES);
	assert_refuses("the memory map has more than", memory_map_add(0x1f00000, 0x1000, MEMORY_RAM));
}

/* ---- What the loader tells ---- */

static u32 tags; /* bytes of multiboot 2 information so far */

static void begin_tags(void)
{
	begin(NULL);
	tags = 8;
}

static void *add_tag(u32 type, const void *data, u32 bytes)
{
	u8 *at = physical_at(INFO + tags);

	*(struct mb2_tag *)at = (struct mb2_tag){ type, 8 + bytes };
	memcpy(at + 8, data, bytes);
	tags += ALIGN_UP(8 + bytes, 8u);
	return at + 8;
}

static void add_map_tag(u32 entry_bytes, u32 count)
{
	u8 data[8 + 320 * 24] = { 0 };

	memcpy(data, &entry_bytes, 4);
	for (u32 i = 0; i < count; i++)
		*(struct mb2_mmap_entry *)(data + 8 + i * 24) = (struct mb2_mmap_entry){ i * 0x1000, 0x1000, 1 + i % 2,
											 0 };
	add_tag(MB2_MMAP, data, 8 + count * 24);
}

static void parse(void)
{
	add_tag(MB2_END, "", 0);
	*(u32 *)physical_at(INFO) = tags;
	multiboot_parse(MB2_LOADER_MAGIC, INFO);
	firmware_complete();
}

static struct boot_rsdp rsdp_of(u8 revision, u32 rsdt, u64 xsdt)
{
	struct boot_rsdp r = { .signature = "RSD PTR ", .revision = revision, .rsdt = rsdt, .length = 36,
			       .xsdt = xsdt };
	u8 sum = 0;

	for (size_t i = 0; i < RSDP_OLD_BYTES; i++)
		sum += ((const u8 *)&r)[i];
	r.checksum = (u8)-sum;
	sum = 0;
	for (size_t i = 0; i < sizeof(r); i++)
		sum += ((const u8 *)&r)[i];
	r.extended_checksum = (u8)-sum;
	return r;
}

static void put16(u64 at, u16 value)
{
	memcpy(physical_at(at), &value, sizeof(value));
}

static void put_rsdp(u64 at, u32 rsdt)
{
	*(struct boot_rsdp *)physical_at(at) = rsdp_of(0, rsdt, 0);
}

static void from_a_bios(void **state)
{
	const struct boot_rsdp loaders = rsdp_of(2, 0x1111, 0x2222);

	(void)state;
	begin_tags();
	add_map_tag(24, 320);
	add_tag(MB2_CMDLINE, "log=debug", 10);
	add_tag(MB2_ACPI_NEW, &loaders, sizeof(loaders));
	put_rsdp(ROM_RSDP, 0x3333);
	put16(BDA_BASE_KIB, 639);
	parse();
	assert_int_equal(boot_info.firmware, FIRMWARE_BIOS);
	assert_int_equal(boot_info.memory_count, 320);
	assert_string_equal(boot_info.cmdline, "log=debug");
	assert_int_equal(boot_info.rsdp.rsdt, 0x3333); /* by which the BIOS wakes */
	assert_int_equal(boot_info.rsdp_addr, ROM_RSDP);
	assert_int_equal(boot_info.base_memory_end, 639 << 10);
	assert_int_equal(boot_info.framebuffer.width, 0);
}

/* A BIOS whose pointer is somewhere else, or in the EBDA, and base memory that cannot be. */
static void from_odd_bioses(void **state)
{
	const struct boot_rsdp loaders = rsdp_of(0, 0x1111, 0);

	(void)state;
	begin_tags();
	add_map_tag(24, 1);
	add_tag(MB2_ACPI_OLD, &loaders, RSDP_OLD_BYTES);
	put16(BDA_BASE_KIB, 3);
	parse();
	assert_int_equal(boot_info.rsdp.rsdt, 0x1111);
	assert_int_equal(boot_info.rsdp_addr, 0);
	assert_int_equal(boot_info.base_memory_end, 0xa0000);

	begin_tags();
	add_map_tag(24, 1);
	put16(BDA_EBDA, EBDA >> 4);
	put_rsdp(EBDA + 0x40, 0x4444);
	put_rsdp(ROM_RSDP, 0x3333);
	parse();
	assert_int_equal(boot_info.rsdp.rsdt, 0x4444);
	assert_int_equal(boot_info.rsdp_addr, 0);
}

/* EFI tells by tags; nothing is looked for in memory, where there may be anything. */
static void from_efi(void **state)
{
	static const u8 framebuffer[] = { 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 32, MB2_RGB,
					  0, 0,
					  16, 8, 8, 8, 0, 8 };
	const struct boot_rsdp old = rsdp_of(2, 0x1111, 0x2222), new = rsdp_of(2, 0x5555, 0x6666);

	(void)state;
	begin_tags();
	add_map_tag(24, 1);
	add_tag(MB2_ACPI_NEW, &new, sizeof(new));
	add_tag(MB2_ACPI_OLD, &old, RSDP_OLD_BYTES);
	add_tag(MB2_EFI64, "\0\0\0\0\0\0\0\1", 8);
	add_tag(MB2_FRAMEBUFFER, framebuffer, sizeof(framebuffer));
	put_rsdp(ROM_RSDP, 0x3333);
	put16(BDA_BASE_KIB, 500);
	parse();
	assert_int_equal(boot_info.firmware, FIRMWARE_EFI);
	assert_int_equal(boot_info.rsdp.xsdt, 0x6666);
	assert_int_equal(boot_info.rsdp_addr, 0);
	assert_int_equal(boot_info.base_memory_end, 0xa0000);
	assert_int_equal(boot_info.framebuffer.addr, 0xc0000000);
	assert_int_equal(boot_info.framebuffer.pitch_bytes, 0x1000);
	assert_int_equal(boot_info.framebuffer.width, 1024);
	assert_int_equal(boot_info.framebuffer.height, 768);
	assert_int_equal(boot_info.framebuffer.red.lowest_bit, 16);
	assert_int_equal(boot_info.framebuffer.blue.bits, 8);
}

/* An RSDP with one wrong byte is none; of one whose new part alone is wrong the old part is taken. */
static void broken_rsdps(void **state)
{
	const struct boot_rsdp good = rsdp_of(2, 0x1111, 0x2222);

	(void)state;
	for (size_t i = 0; i < sizeof(good); i++) {
		struct boot_rsdp bad = good;

		((u8 *)&bad)[i] ^= 0x10;
		begin(NULL);
		assert_int_equal(firmware_take_rsdp(&bad, sizeof(bad)), i >= RSDP_OLD_BYTES);
		assert_int_equal(boot_info.rsdp.rsdt, i >= RSDP_OLD_BYTES ? 0x1111 : 0);
		assert_int_equal(boot_info.rsdp.xsdt, 0);
	}
	for (size_t bytes = 0; bytes < sizeof(good); bytes++)
		assert_int_equal(firmware_take_rsdp(&good, bytes), bytes >= RSDP_OLD_BYTES);
}

/* Information that would have the parser run for ever, or that tells nothing. */
static void broken_information(void **state)
{
	struct mb1_info *mb1 = physical_at(INFO);

	(void)state;
	begin_tags();
	add_map_tag(0, 3);
	assert_refuses("entries of %u bytes", parse());
	begin_tags();
	assert_refuses("no memory map", parse());
	begin(NULL);
	mb1->flags = MB1_HAS_MMAP;
	mb1->mmap_addr = TEXT;
	mb1->mmap_length = 48;
	*(struct mb1_mmap *)physical_at(TEXT) = (struct mb1_mmap){ 20, 0x1000, 0x1000, MEMORY_RAM };
	*(struct mb1_mmap *)physical_at(TEXT + 24) = (struct mb1_mmap){ -4u, 0x8000, 0x1000, MEMORY_RAM };
	multiboot_parse(MB1_LOADER_MAGIC, INFO);
	assert_int_equal(boot_info.memory_count, 2);
	assert_refuses("not started by a multiboot loader", multiboot_parse(0, INFO));
}

/* ---- The firmware's own map, for Linux ---- */

#define ENTRY_BYTES 48u /* longer than what is known of an entry */

static struct efi_memory *efi_entry(u32 i)
{
	return (struct efi_memory *)(boot_info.efi.map + i * ENTRY_BYTES);
}

static void add_efi_entry(u32 type, u64 start, u64 pages)
{
	*efi_entry(boot_info.efi.map_bytes / ENTRY_BYTES) = (struct efi_memory){ type, 0, start, 0, pages, 0xf };
	boot_info.efi.map_bytes += ENTRY_BYTES;
	boot_info.efi.entry_bytes = ENTRY_BYTES;
}

/* Of the page at `at`; ~0: the map has it not, or twice. */
static u32 efi_type_at(u64 at)
{
	u32 count = 0, type = ~0u;

	for (u32 i = 0; i < boot_info.efi.map_bytes / ENTRY_BYTES; i++) {
		const struct efi_memory *m = efi_entry(i);

		assert_true(m->pages > 0 && m->attributes == 0xf);
		if (at < m->start || at >= m->start + m->pages * PAGE_SIZE)
			continue;
		type = m->type;
		count++;
	}
	return count == 1 ? type : ~0u;
}

/* Root memory is in no entry of free memory, and no other page becomes something else. */
static void root_in_efi_map(void **state)
{
	static const u64 ranges[][2] = { { 0, 16 }, { 2, 4 }, { 3, 5 }, { 4, 8 }, { 5, 7 }, { 3, 13 }, { 12, 20 },
					 { 20, 24 } };
	static const u32 types[] = { EFI_BOOT_CODE, EFI_BOOT_CODE, EFI_BOOT_CODE, EFI_BOOT_CODE, EFI_CONVENTIONAL,
				     EFI_CONVENTIONAL, EFI_CONVENTIONAL, EFI_CONVENTIONAL, EFI_CONVENTIONAL, 5, 5,
				     EFI_CONVENTIONAL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		begin(NULL);
		add_efi_entry(EFI_CONVENTIONAL, 4 * PAGE_SIZE, 5);
		add_efi_entry(EFI_BOOT_CODE, 0, 4);
		add_efi_entry(5, 9 * PAGE_SIZE, 2);
		add_efi_entry(EFI_CONVENTIONAL, 11 * PAGE_SIZE, 1);
		assert_true(efi_map_reserve(&boot_info.efi, ranges[i][0] * PAGE_SIZE, ranges[i][1] * PAGE_SIZE));
		for (u64 page = 0; page < ARRAY_SIZE(types); page++)
			assert_int_equal(efi_type_at(page * PAGE_SIZE),
					 page >= ranges[i][0] && page < ranges[i][1] ? EFI_RESERVED : types[page]);
	}
}

/* What the firmware has left in its boot services' memory stays as long as there is other memory. */
static void boot_services_are_spared(void **state)
{
	(void)state;
	memory_map_add(0, 64 * PAGE_SIZE, MEMORY_RAM);
	add_efi_entry(EFI_BOOT_DATA, 60 * PAGE_SIZE, 4);
	add_efi_entry(EFI_CONVENTIONAL, 30 * PAGE_SIZE, 30);
	add_efi_entry(EFI_BOOT_CODE, 50 * PAGE_SIZE, 1);
	assert_int_equal(memory_map_find(9 * PAGE_SIZE, PAGE_SIZE, 0, SIZE_2M), 51 * PAGE_SIZE);
	assert_int_equal(memory_map_find(16 * PAGE_SIZE, PAGE_SIZE, 0, SIZE_2M), 34 * PAGE_SIZE);
	assert_int_equal(memory_map_find(50 * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, SIZE_2M), 14 * PAGE_SIZE);
}

/* No room for the pieces, and entries that are none. */
static void broken_efi_maps(void **state)
{
	(void)state;
	assert_false(efi_map_reserve(&boot_info.efi, 0, PAGE_SIZE));
	for (u32 i = 0; i < EFI_MAP_BYTES / ENTRY_BYTES - 1; i++)
		add_efi_entry(EFI_CONVENTIONAL, i * SIZE_2M, 512);
	assert_false(efi_map_reserve(&boot_info.efi, PAGE_SIZE, 2 * PAGE_SIZE));
	assert_true(boot_info.efi.map_bytes <= EFI_MAP_BYTES);
	boot_info.efi.entry_bytes = -8u;
	assert_true(efi_map_reserve(&boot_info.efi, PAGE_SIZE, 2 * PAGE_SIZE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(maps_that_firmware_makes, begin),
		cmocka_unit_test_setup(many_ranges, begin),
		cmocka_unit_test_setup(random_maps, begin),
		cmocka_unit_test_setup(too_many_ranges, begin),
		cmocka_unit_test_setup(from_a_bios, begin),
		cmocka_unit_test_setup(from_odd_bioses, begin),
		cmocka_unit_test_setup(from_efi, begin),
		cmocka_unit_test_setup(broken_rsdps, begin),
		cmocka_unit_test_setup(broken_information, begin),
		cmocka_unit_test_setup(root_in_efi_map, begin),
		cmocka_unit_test_setup(boot_services_are_spared, begin),
		cmocka_unit_test_setup(broken_efi_maps, begin),
	};

	machine_memory = (u64)mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
