/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the core takes from the FADT: old and new fields, tables of every length, and firmware that lies about them; and
 * the sleep that it hides. The machine's memory is an array that ends in a page which nobody may touch.
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

static u32 boot_cpu_id = 5;
u32 lapic_boot_id(void) { return boot_cpu_id; }

#include "../../xmhf/boot/acpi.c"

#define BYTES (1ul << 20)
#define RSDP_AT 0xf0000ul
#define RSDT_AT 0x80000ul
#define FADT_AT 0x81000ul
#define FACS_AT 0x82000ul
#define X_FACS_AT 0x82040ul
#define DSDT_AT 0x83000ul
#define X_DSDT_AT 0x84000ul
#define SSDT_AT 0x85000ul
#define XSDT_AT 0x86000ul
#define FADT_BYTES 268

struct boot_info boot_info;
u64 root_start, root_end, root_low;
enum log_level log_threshold;
static u32 lines;
void log_line(enum log_level level, const char *f, ...) { (void)level, (void)f, lines++; }
static jmp_buf *refused;
void boot_refuse(const char *f, ...)
{
	if (refused)
		longjmp(*refused, 1);
	fail_msg("%s", f);
	abort();
}
void percpu_locks_add(int n) { (void)n; }
_Atomic bool quiesce_given_up;

static void put(u64 at, u64 value, unsigned int bytes)
{
	memcpy(physical_at(at), &value, bytes);
}

static void put_register(u64 at, u8 space, u64 addr)
{
	put(at, space, 1);
	put(at + 4, addr, 8);
}

static void end_table(u64 at, const char *signature, u32 length)
{
	u8 sum = 0;

	memcpy(physical_at(at), signature, 4);
	put(at + 4, length, 4);
	put(at + 9, 0, 1);
	for (u32 i = 0; i < length; i++)
		sum += *(u8 *)physical_at(at + i);
	put(at + 9, (u8)-sum, 1);
}

/* All fields filled, and then cut to a length. */
static void make(u32 fadt_bytes)
{
	memset(physical_at(0), 0, BYTES);
	memset(&acpi_info, 0, sizeof(acpi_info));
	memset(&found, 0, sizeof(found));
	boot_info.rsdp = (struct boot_rsdp){ .revision = 2, .rsdt = RSDT_AT };
	boot_info.rsdp_addr = RSDP_AT;
	put(RSDT_AT + 36, FADT_AT, 4);
	end_table(RSDT_AT, "RSDT", 40);
	put(FADT_AT + 36, FACS_AT, 4);
	put(FADT_AT + 64, 0x404, 4);
	put(FADT_AT + 68, 0x504, 4);
	put(FADT_AT + 112, BIT(10), 4);
	put_register(FADT_AT + 116, ACPI_IO, 0xcf9);
	put(FADT_AT + 128, 6, 1);
	put(FADT_AT + 132, X_FACS_AT, 8);
	put_register(FADT_AT + 172, ACPI_IO, 0x604);
	put_register(FADT_AT + 184, ACPI_IO, 0x504);
	put_register(FADT_AT + 244, ACPI_IO, 0x700);
	memcpy(physical_at(FACS_AT), "FACS", 4);
	memcpy(physical_at(X_FACS_AT), "FACS", 4);
	end_table(FADT_AT, "FACP", fadt_bytes);
}

static bool is_refused(void)
{
	jmp_buf here;
	bool answer = true;

	refused = &here;
	if (!setjmp(here)) {
		acpi_parse();
		answer = false;
	}
	refused = NULL;
	return answer;
}

static void old_and_new_fields(void **state)
{
	(void)state;
	make(FADT_BYTES);
	acpi_parse();
	assert_int_equal(acpi_info.pm1_cnt[0], 0x404);
	assert_int_equal(acpi_info.pm1_cnt[1], 0x504);
	assert_int_equal(acpi_info.pm1_cnt[2], 0x604);
	assert_int_equal(acpi_info.pm1_cnt[3], 0); /* the same as the old one */
	assert_int_equal(acpi_info.reset.addr, 0xcf9);
	assert_int_equal(acpi_info.reset_value, 6);
	assert_int_equal(acpi_info.sleep_control.addr, 0x700);
	assert_int_equal(acpi_info.facs[0], FACS_AT);
	assert_int_equal(acpi_info.facs[1], X_FACS_AT);
	assert_int_equal(acpi_info.way_count, 3);
	assert_int_equal(acpi_info.way_to_facs[0].addr, RSDP_AT);
	assert_int_equal(acpi_info.way_to_facs[2].addr, FADT_AT);
	assert_int_equal(acpi_info.way_to_facs[2].bytes, FADT_BYTES);
}

/* A field that the table does not wholly have is not there. */
static void every_length(void **state)
{
	(void)state;
	for (u32 bytes = 36; bytes <= FADT_BYTES; bytes++) {
		make(bytes);
		acpi_parse();
		assert_int_equal(acpi_info.facs[0], bytes >= 40 ? FACS_AT : 0);
		assert_int_equal(acpi_info.pm1_cnt[0], bytes >= 68 ? 0x404 : 0);
		assert_int_equal(acpi_info.pm1_cnt[1], bytes >= 72 ? 0x504 : 0);
		assert_int_equal(acpi_info.reset.addr, bytes >= 128 ? 0xcf9 : 0);
		assert_int_equal(acpi_info.facs[1], bytes >= 140 ? X_FACS_AT : 0);
		assert_int_equal(acpi_info.pm1_cnt[2], bytes >= 184 ? 0x604 : 0);
		assert_int_equal(acpi_info.sleep_control.addr, bytes >= 256 ? 0x700 : 0);
	}
}

static void lies(void **state)
{
	static const u64 facs[] = { 1, FACS_AT + 4, FACS_AT + 0x100, BIT(32) - 32, BIT(32), BIT(52), ~0ull };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(facs); i++) {
		make(FADT_BYTES);
		put(FADT_AT + 132, facs[i], 8);
		end_table(FADT_AT, "FACP", FADT_BYTES);
		acpi_parse();
		assert_int_equal(acpi_info.facs[1], 0);
		assert_int_equal(acpi_info.facs[0], FACS_AT);
	}
	make(FADT_BYTES);
	put(FADT_AT + 36, 0, 4);
	put(FADT_AT + 132, BIT(32), 8);
	end_table(FADT_AT, "FACP", FADT_BYTES);
	assert_true(is_refused());
}

/* An operating system may find the FADT where the core cannot: a length below the header's, or without end; no RAM. */
static void tables_that_cannot_be_read(void **state)
{
	(void)state;
	for (u32 length = 0; length <= 36; length++) {
		make(FADT_BYTES);
		put(FADT_AT + 4, length < 36 ? length : ~0u, 4);
		assert_true(is_refused());
		make(FADT_BYTES);
		put(RSDT_AT + 4, length < 36 ? length : ~0u, 4);
		assert_true(is_refused());
	}
	make(FADT_BYTES);
	put(XSDT_AT + 36, BIT(32) + FADT_AT, 8);
	end_table(XSDT_AT, "XSDT", 44);
	boot_info.rsdp.xsdt = XSDT_AT;
	assert_true(is_refused());
	/* Another table may be left out. */
	put(XSDT_AT + 44, FADT_AT, 8);
	end_table(XSDT_AT, "XSDT", 52);
	assert_false(is_refused());
	assert_int_equal(acpi_info.pm1_cnt[0], 0x404);
	/* The RSDT is not taken instead. */
	make(FADT_BYTES);
	boot_info.rsdp.xsdt = BIT(32) + XSDT_AT;
	assert_true(is_refused());
	make(FADT_BYTES);
	memcpy(physical_at(FADT_AT), "NONE", 4);
	assert_false(is_refused());
}

/* Linux uses such tables. One line of the log tells of each. */
static void wrong_checksums(void **state)
{
	static const u64 tables[] = { RSDT_AT, FADT_AT, SSDT_AT, DSDT_AT };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		make(FADT_BYTES);
		put(SSDT_AT + 44, 0x107000800, 8); /* CPU 0 with APIC id 7 */
		end_table(SSDT_AT, "APIC", 52);
		put(RSDT_AT + 40, SSDT_AT, 4);
		end_table(RSDT_AT, "RSDT", 44);
		end_table(DSDT_AT, "DSDT", 36);
		put(FADT_AT + 40, DSDT_AT, 4);
		put(FADT_AT + 140, DSDT_AT, 8);
		end_table(FADT_AT, "FACP", FADT_BYTES);
		++*(u8 *)physical_at(tables[i] + 9);
		lines = 0;
		acpi_parse();
		assert_int_equal(lines, 1);
		assert_int_equal(acpi_info.facs[0], FACS_AT);
		assert_int_equal(acpi_info.apic_ids[0], 7);
	}
}

/* Name(_S3_, Package { 1, 1 }), a use of that name, and Name(_S5_, ...). */
static const u8 sleep_aml[] = { 0x08, '_', 'S', '3', '_', 0x12, 0x06, 0x02, 0x0a, 0x01, 0x0a, 0x01,
				0x70, '_', 'S', '3', '_', 0x60, 0x08, '_', 'S', '5', '_', 0x12, 0x04, 0x01, 0x00 };
#define AML_TABLE_BYTES (36 + sizeof(sleep_aml))

static void put_aml(u64 at, const char *signature)
{
	memcpy(physical_at(at + 36), sleep_aml, sizeof(sleep_aml));
	end_table(at, signature, AML_TABLE_BYTES);
}

static void is_hidden(u64 at, bool hidden)
{
	u8 expect[sizeof(sleep_aml)];

	memcpy(expect, sleep_aml, sizeof(expect));
	expect[1] = hidden ? 'X' : '_';
	assert_memory_equal(physical_at(at + 36), expect, sizeof(expect));
	assert_true(acpi_checksum_ok(physical_at(at), AML_TABLE_BYTES));
}

/* In both DSDTs, and in SSDTs of the old and of the new root; once more it does nothing. Never in root memory. */
static void sleep_is_hidden(void **state)
{
	(void)state;
	make(FADT_BYTES);
	put_aml(DSDT_AT, "DSDT");
	put_aml(X_DSDT_AT, "DSDT");
	put_aml(SSDT_AT, "SSDT");
	put_aml(SSDT_AT + 0x100, "SSDT");
	put_aml(SSDT_AT + 0x200, "OEM1");
	put_aml(SSDT_AT + 0x300, "SSDT");
	put(FADT_AT + 40, DSDT_AT, 4);
	put(FADT_AT + 140, X_DSDT_AT, 8);
	end_table(FADT_AT, "FACP", FADT_BYTES);
	put(RSDT_AT + 40, SSDT_AT, 4);
	end_table(RSDT_AT, "RSDT", 44);
	put(XSDT_AT + 36, FADT_AT, 8);
	put(XSDT_AT + 44, SSDT_AT + 0x100, 8);
	put(XSDT_AT + 52, SSDT_AT + 0x200, 8);
	put(XSDT_AT + 60, SSDT_AT + 0x300, 8);
	end_table(XSDT_AT, "XSDT", 68);
	boot_info.rsdp.xsdt = XSDT_AT;
	root_start = SSDT_AT + 0x300 + AML_TABLE_BYTES - 1;
	root_end = root_start + 0x1000;
	acpi_parse();
	assert_true(acpi_info.s5.found);
	for (int i = 0; i < 2; i++) {
		acpi_hide_sleep();
		is_hidden(DSDT_AT, true);
		is_hidden(X_DSDT_AT, true);
		is_hidden(SSDT_AT, true);
		is_hidden(SSDT_AT + 0x100, true);
		is_hidden(SSDT_AT + 0x200, false);
		is_hidden(SSDT_AT + 0x300, false);
	}
}

/* Beside a good one it is a refusal, too: an operating system may take either. */
static void a_fadt_that_cannot_be_read(void **state)
{
	(void)state;
	for (u32 length = 35; length <= 36; length++) {
		make(FADT_BYTES);
		end_table(SSDT_AT, "FACP", 36);
		put(SSDT_AT + 4, length, 4);
		put(RSDT_AT + 36, SSDT_AT, 4);
		if (length == 36)
			put(RSDT_AT + 36, BIT(32) - 4096, 4); /* where no signature can be read */
		put(RSDT_AT + 40, FADT_AT, 4);
		end_table(RSDT_AT, "RSDT", 44);
		assert_int_equal(is_refused(), length == 35);
	}
}

static void put_xsdt(void)
{
	put(XSDT_AT + 36, FADT_AT, 8);
	end_table(XSDT_AT, "XSDT", 44);
	boot_info.rsdp.xsdt = XSDT_AT;
}

/* What is no list is neither walked nor guarded: beside an XSDT in silence. */
static void lists_without_a_signature(void **state)
{
	static const u32 lengths[] = { 0, 35, 40, ~0u };

	(void)state;
	make(FADT_BYTES);
	memcpy(physical_at(RSDT_AT), "NONE", 4);
	assert_true(is_refused());
	make(FADT_BYTES);
	put_xsdt();
	memcpy(physical_at(XSDT_AT), "NONE", 4);
	assert_true(is_refused());
	for (size_t i = 0; i < 2 * ARRAY_SIZE(lengths); i++) {
		make(FADT_BYTES);
		put_xsdt();
		put_aml(SSDT_AT, "SSDT");
		put(RSDT_AT + 36, SSDT_AT, 4);
		put(RSDT_AT + 4, lengths[i / 2], 4);
		memcpy(physical_at(RSDT_AT), i % 2 ? "RSDT" : "NONE", 4);
		bool is_list = i % 2 && lengths[i / 2] == 40;

		lines = 0;
		assert_false(is_refused());
		assert_int_equal(lines, 0);
		assert_int_equal(acpi_info.facs[0], FACS_AT);
		assert_int_equal(acpi_info.way_count, is_list ? 4 : 3);
		assert_int_equal(acpi_info.code_count, is_list);
	}
}

/* A pointer of ACPI 1 ends before the XSDT's field: what is behind it may be anything. */
static void pointers_of_each_revision(void **state)
{
	(void)state;
	for (u8 revision = 0; revision < 4; revision++) {
		make(FADT_BYTES);
		put_xsdt();
		boot_info.rsdp.revision = revision;
		if (revision < 2)
			boot_info.rsdp.xsdt = 0x4142434445464748;
		else
			boot_info.rsdp.rsdt = 0;
		assert_false(is_refused());
		assert_int_equal(acpi_info.facs[0], FACS_AT);
		assert_int_equal(acpi_info.way_to_facs[0].bytes, revision < 2 ? 20 : 36);
		assert_int_equal(acpi_info.way_to_facs[1].addr, revision < 2 ? RSDT_AT : XSDT_AT);
	}
}

static void no_facs_on_reduced_hardware(void **state)
{
	(void)state;
	for (u32 is_reduced = 0; is_reduced < 2; is_reduced++) {
		make(FADT_BYTES);
		put(FADT_AT + 36, 0, 4);
		put(FADT_AT + 112, is_reduced ? BIT(20) : 0, 4);
		put(FADT_AT + 132, BIT(32), 8);
		end_table(FADT_AT, "FACP", FADT_BYTES);
		assert_int_equal(is_refused(), !is_reduced);
	}
}

/* Operating systems take the first. */
static void second_tables(void **state)
{
	const u64 first = SSDT_AT, second = SSDT_AT + 0x100;

	(void)state;
	for (u32 is_empty = 0; is_empty < 2; is_empty++) {
		make(FADT_BYTES);
		put(first + 44, 0x107000800 - ((u64)is_empty << 32), 8); /* CPU 0 with APIC id 7, or switched off */
		put(second + 44, 0x109000800, 8);
		end_table(first, "APIC", 52);
		end_table(second, "APIC", 52);
		put(RSDT_AT + 40, first, 4);
		put(RSDT_AT + 44, second, 4);
		end_table(RSDT_AT, "RSDT", 48);
		acpi_parse();
		assert_int_equal(acpi_info.cpu_count, is_empty ? 0 : 2); /* with the one that runs */
		assert_int_equal(acpi_info.apic_ids[0], is_empty ? 0 : 7);
	}
	make(FADT_BYTES);
	end_table(first, "DMAR", 52);
	end_table(second, "DMAR", 53);
	put(RSDT_AT + 40, first, 4);
	put(RSDT_AT + 44, second, 4);
	end_table(RSDT_AT, "RSDT", 48);
	acpi_parse();
	assert_ptr_equal(acpi_info.dmar, physical_at(first));
	assert_int_equal(acpi_info.dmar_bytes, 52);
}

/* One that is in the list twice is one. Of two the one with the right checksum counts, if that tells them apart. */
static void two_fadts(void **state)
{
	(void)state;
	for (u32 other = 0; other < 2; other++) {
		make(FADT_BYTES);
		memcpy(physical_at(SSDT_AT), physical_at(FADT_AT), FADT_BYTES);
		put(RSDT_AT + 40, other ? SSDT_AT : FADT_AT, 4);
		end_table(RSDT_AT, "RSDT", 44);
		assert_int_equal(is_refused(), other);
	}
	for (u32 wrong = 0; wrong < 4; wrong++) {
		make(FADT_BYTES);
		memcpy(physical_at(SSDT_AT), physical_at(FADT_AT), FADT_BYTES);
		put(SSDT_AT + 64, 0x808, 4);
		end_table(SSDT_AT, "FACP", FADT_BYTES);
		*(u8 *)physical_at(FADT_AT + 9) += wrong & 1;
		*(u8 *)physical_at(SSDT_AT + 9) += wrong >> 1;
		put(RSDT_AT + 40, SSDT_AT, 4);
		end_table(RSDT_AT, "RSDT", 44);
		assert_int_equal(is_refused(), wrong == 0 || wrong == 3);
		assert_int_equal(acpi_info.pm1_cnt[0], wrong == 1 ? 0x808 : wrong == 2 ? 0x404 : 0);
	}
}

/* What was read at the start counts: afterwards a CPU that is a guest already may change each head and each list. */
static void changed_after_the_start(void **state)
{
	(void)state;
	make(FADT_BYTES);
	put_aml(DSDT_AT, "DSDT");
	put_aml(X_DSDT_AT, "DSDT");
	put_aml(DSDT_AT + AML_TABLE_BYTES, "SSDT"); /* behind the other, and in no list */
	put(FADT_AT + 40, DSDT_AT, 4);
	end_table(FADT_AT, "FACP", FADT_BYTES);
	root_low = SSDT_AT;
	put_aml(SSDT_AT + 0x100, "SSDT");
	put(RSDT_AT + 40, SSDT_AT + 0x100, 4);
	end_table(RSDT_AT, "RSDT", 44);
	acpi_parse();
	put(FADT_AT + 40, X_DSDT_AT, 4);
	end_table(FADT_AT, "FACP", FADT_BYTES);
	put(DSDT_AT + 4, 0x1000, 4);
	acpi_hide_sleep();
	is_hidden(X_DSDT_AT, false);
	is_hidden(DSDT_AT + AML_TABLE_BYTES, false);
	is_hidden(SSDT_AT + 0x100, false); /* root's memory below 1 MiB */
	assert_int_equal(*(u8 *)physical_at(DSDT_AT + 37), 'X');
	root_low = 0;
}

/* Entries of both kinds, enabled ones alone, each CPU once; ids of 32 bits; one that leaves the table ends it. */
static void cpus_of_the_madt(void **state)
{
	static const u8 entries[] = {
		0, 8, 0, 5, 1, 0, 0, 0,  0, 8, 1, 6, 0, 0, 0, 0,  1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
		9, 16, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,  9, 16, 0, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
		0, 8, 2, 7, 1, 0, 0, 0,
	};

	(void)state;
	for (u32 cut = 0; cut < 8; cut++) {
		make(FADT_BYTES);
		memset(physical_at(SSDT_AT), 0, 0x100);
		memcpy(physical_at(SSDT_AT + 44), entries, sizeof(entries));
		put(RSDT_AT + 40, SSDT_AT, 4);
		end_table(SSDT_AT, "APIC", 44 + sizeof(entries) - cut);
		end_table(RSDT_AT, "RSDT", 44);
		acpi_parse();
		assert_int_equal(acpi_info.cpu_count, cut ? 2 : 3);
		assert_int_equal(acpi_info.apic_ids[0], 5);
		assert_int_equal(acpi_info.apic_ids[1], 0x12c);
		assert_int_equal(acpi_info.apic_ids[2], cut ? 0 : 7);
	}
}

/* The CPU that runs is one of them, though its firmware forgets it; an id that means all CPUs is none. */
static void the_boot_cpu_and_nobody(void **state)
{
	static const u8 entries[] = {
		0, 8, 0, 0xff, 1, 0, 0, 0,  0, 8, 1, 3, 1, 0, 0, 0,
		9, 16, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0,
		9, 16, 0, 0, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, /* 255 is a CPU's in x2APIC mode */
	};

	(void)state;
	make(FADT_BYTES);
	memset(physical_at(SSDT_AT), 0, 0x100);
	memcpy(physical_at(SSDT_AT + 44), entries, sizeof(entries));
	put(RSDT_AT + 40, SSDT_AT, 4);
	end_table(SSDT_AT, "APIC", 44 + sizeof(entries));
	end_table(RSDT_AT, "RSDT", 44);
	boot_cpu_id = 0x100;
	acpi_parse();
	boot_cpu_id = 5;
	assert_int_equal(acpi_info.cpu_count, 3);
	assert_int_equal(acpi_info.apic_ids[0], 3);
	assert_int_equal(acpi_info.apic_ids[1], 255);
	assert_int_equal(acpi_info.apic_ids[2], 0x100);
}

static void spcr_of_every_length(void **state)
{
	(void)state;
	for (u32 bytes = 36; bytes <= 80; bytes++) {
		make(FADT_BYTES);
		memset(physical_at(SSDT_AT), 0, 0x100);
		put(SSDT_AT + 36, 0x12, 1);
		put_register(SSDT_AT + 40, ACPI_MEMORY, 0xfe030000);
		put(SSDT_AT + 41, 32, 1);
		put(SSDT_AT + 43, 3, 1);
		put(SSDT_AT + 64, 0x80860d9a, 4);
		put(SSDT_AT + 68, 0x010302, 3);
		put(RSDT_AT + 40, SSDT_AT, 4);
		end_table(SSDT_AT, "SPCR", bytes);
		end_table(RSDT_AT, "RSDT", 44);
		acpi_parse();
		assert_int_equal(acpi_info.spcr.found, bytes >= 76);
		if (bytes < 76)
			continue;
		assert_int_equal(acpi_info.spcr.type, 0x12);
		assert_int_equal(acpi_info.spcr.at.addr, 0xfe030000);
		assert_int_equal(acpi_info.spcr.width, 32);
		assert_int_equal(acpi_info.spcr.access, 3);
		assert_true(acpi_info.spcr.is_pci);
		assert_int_equal(acpi_info.spcr.pci_id, 0x0d9a8086);
		assert_int_equal(acpi_info.spcr.pci_address, PCI_ADDRESS(2, 3, 1, 0));
	}
	/* No PCI device. */
	put(SSDT_AT + 64, ~0u, 4);
	end_table(SSDT_AT, "SPCR", 80);
	acpi_parse();
	assert_false(acpi_info.spcr.is_pci);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_and_new_fields), cmocka_unit_test(every_length), cmocka_unit_test(lies),
		cmocka_unit_test(tables_that_cannot_be_read), cmocka_unit_test(wrong_checksums),
		cmocka_unit_test(sleep_is_hidden),
		cmocka_unit_test(a_fadt_that_cannot_be_read),
		cmocka_unit_test(lists_without_a_signature),
		cmocka_unit_test(pointers_of_each_revision),
		cmocka_unit_test(no_facs_on_reduced_hardware),
		cmocka_unit_test(second_tables),
		cmocka_unit_test(two_fadts),
		cmocka_unit_test(changed_after_the_start),
		cmocka_unit_test(cpus_of_the_madt),
		cmocka_unit_test(the_boot_cpu_and_nobody),
		cmocka_unit_test(spcr_of_every_length),
	};

	log_threshold = LOG_DEBUG;
	/* 4 GiB and a page of addresses, of which the first MiB is memory. */
	machine_memory = (u64)mmap(NULL, (1ul << 32) + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				   0);
	if (machine_memory == (u64)MAP_FAILED || mprotect((void *)machine_memory, BYTES, PROT_READ | PROT_WRITE))
		return 1;
	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
