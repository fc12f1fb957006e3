/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables of a firmware that lies, the AML in its DSDT, and the sleep hidden in it. The input is up to eight
 * tables, each with a length before it; lengths in their heads are theirs, checksums are made right, so that the fuzzer
 * gets behind them.
 */
#include "memory.h"

u32 lapic_boot_id(void)
{
	return 0;
}

#include "../../../xmhf/boot/acpi.c"

struct boot_info boot_info;
u64 root_start, root_end, root_low;

#define TABLES 8

/* Its own length, where that is not more than what is there: a lie about more is found by the sum. */
static void make_sum_right(uint8_t *table, size_t size)
{
	u32 length;
	u8 sum = 0;

	if (size < SDT_BYTES)
		return;
	memcpy(&length, table + 4, sizeof(length));
	if (length > size || length < SDT_BYTES)
		length = (u32)size;
	memcpy(table + 4, &length, sizeof(length));
	table[9] = 0;
	for (u32 i = 0; i < length; i++)
		sum += table[i];
	table[9] = (u8)-sum;
}

static uint64_t put_table(unsigned int piece, const uint8_t **data, size_t *size, u16 *table_size)
{
	static uint8_t table[2048];
	u16 length;

	take(data, size, &length, sizeof(length));
	/* A head is read wherever it is said to be. */
	length = (u16)(SDT_BYTES + length % (sizeof(table) - SDT_BYTES));
	take(data, size, table, length);
	*table_size = length;
	make_sum_right(table, length);
	return memory_put(piece, table, length);
}

static void check(void)
{
	MUST(acpi_info.cpu_count <= MAX_CPUS && acpi_info.way_count <= ACPI_WAY_MAX);
	for (u32 i = 0; i < 2; i++)
		MUST(acpi_info.facs[i] % FACS_BYTES == 0);
	MUST(!acpi_info.dmar || acpi_checksum_ok(acpi_info.dmar, acpi_info.dmar_bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u64 root[TABLES];
	u16 sizes[TABLES];
	struct { char signature[4]; u32 length; u8 rest[SDT_BYTES - 8]; u64 entries[TABLES]; } __attribute__((packed))
		xsdt = { .signature = { 'X', 'S', 'D', 'T' }, .length = sizeof(xsdt) };

	memory_make();
	memset(&acpi_info, 0, sizeof(acpi_info));
	memset(&found, 0, sizeof(found));
	for (u32 i = 0; i < TABLES; i++)
		root[i] = put_table(i, &data, &size, &sizes[i]);
	(void)aml_find_package(data, size, "_S5_");
	/* The last one is the DSDT of the others where they say so: its address has no low bits to be guessed. */
	memcpy(xsdt.entries, root, sizeof(root));
	for (u32 i = 0; i < TABLES; i++) {
		u8 *fadt = physical_at(root[i]);
		u32 length = sizes[i] < SDT_BYTES ? 0 : *(const u32 *)(fadt + 4);

		if (length >= FADT_DSDT + 4u && !memcmp(fadt, "FACP", 4)) {
			memcpy(fadt + FADT_DSDT, &root[TABLES - 1], 4);
			make_sum_right(fadt, length);
		}
	}
	make_sum_right((uint8_t *)&xsdt, sizeof(xsdt));
	boot_info.rsdp.xsdt = memory_put(TABLES, (const uint8_t *)&xsdt, sizeof(xsdt));
	boot_info.rsdp.revision = RSDP_NEW;
	boot_info.rsdp.rsdt = 0;
	if (setjmp(refused))
		return 0; /* L1 never runs */
	acpi_parse();
	check();
	acpi_hide_sleep();
	check();
	for (u32 i = 0; i < TABLES; i++) {
		const struct table ssdt = table_at(root[i]);

		if (is_table(&ssdt, "SSDT"))
			MUST(!aml_find_package(ssdt.at + SDT_BYTES, ssdt.bytes - SDT_BYTES, "_S3_").found);
	}
	return 0;
}
