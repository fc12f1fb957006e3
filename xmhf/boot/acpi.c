/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From boot_info.rsdp to RSDT or XSDT, MADT and FADT (ACPI specification, "System Description Tables"). The core guards
 * what an operating system will use: so a table with a wrong checksum is used, as Linux does, and what cannot be read
 * may not be the FADT. Every table is checked to be a sane length below 4 GiB before it is read; an entry that leaves
 * its table ends the reading. All of it is before a CPU has a guest. Of a table's length, which devices and firmware
 * may still change, the core has its own copy from then on.
 */
#include "boot/acpi.h"

#include "boot/boot_info.h"
#include "cpu/lapic.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "report/log.h"

#define MAX_TABLE_BYTES (1u << 20)
#define READABLE_END ((1ull << 32) - MAX_TABLE_BYTES)

/* A table whose length was sane. bytes 0: there is none, or it cannot be read; at NULL: nor can its signature. */
struct table { const u8 *at; u32 bytes; };

/* Offsets in the header of all tables. */
enum { SDT_LENGTH = 4, SDT_CHECKSUM = 9, SDT_BYTES = 36 };
/*
 * Offsets in the FADT. Those of GAS_BYTES are generic address structures: space, width, offset, access size, address.
 */
enum {
	FADT_FACS = 36, FADT_DSDT = 40, FADT_PM1A_CNT = 64, FADT_PM1B_CNT = 68, FADT_FLAGS = 112, FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128, FADT_X_FACS = 132, FADT_X_DSDT = 140, FADT_X_PM1A_CNT = 172, FADT_X_PM1B_CNT = 184,
	FADT_SLEEP_CONTROL = 244, GAS_BYTES = 12,
};
#define FADT_HAS_RESET BIT(10)
#define FADT_HARDWARE_REDUCED BIT(20) /* there is no FACS */
/* Offsets in the SPCR (Microsoft, "Serial Port Console Redirection Table"). */
enum {
	SPCR_TYPE = 36, SPCR_ADDRESS = 40, SPCR_WIDTH = 41, SPCR_ACCESS = 43, SPCR_PCI_ID = 64, SPCR_PCI_BUS = 68,
	SPCR_PCI_DEVICE = 69, SPCR_PCI_FUNCTION = 70, SPCR_PCI_SEGMENT = 75, SPCR_BYTES = 76,
};
#define NO_PCI_ID 0xffff
#define FACS_BYTES 64
#define MADT_ENTRIES 44
enum { MADT_LAPIC = 0, MADT_X2APIC = 9 };

struct acpi_info acpi_info;

/* In the list that operating systems walk. */
static struct {
	bool is_left_out; /* a table that cannot be read */
	bool has_madt;
	struct { struct table table; bool are_two; } fadts[2]; /* with a wrong checksum, with a right one */
} found;

/* Of one that does not count, or was told of before, the log does not tell. */
static struct table quiet_table_at(u64 addr)
{
	struct table t = { NULL, 0 };

	if (!addr || addr >= READABLE_END)
		return t;
	t.at = physical_at(addr);
	t.bytes = (u32)number_at(t.at + SDT_LENGTH, 4);
	if (t.bytes < SDT_BYTES || t.bytes > MAX_TABLE_BYTES)
		t.bytes = 0;
	return t;
}

static struct table table_at(u64 addr)
{
	struct table t = quiet_table_at(addr);

	if (addr && !t.bytes) {
		log_warn("an ACPI table at 0x%lx has a bad length, or is above 4 GiB, and is left out", addr);
		found.is_left_out = true;
	} else if (!acpi_checksum_ok(t.at, t.bytes)) {
		log_warn("the ACPI table at 0x%lx has a wrong checksum; it is used, as operating systems do", addr);
	}
	return t;
}

static bool is_table(const struct table *t, const char signature[4])
{
	return t->bytes && !memcmp(t->at, signature, 4);
}

static void note_way(const void *at, u32 bytes)
{
	if (bytes && acpi_info.way_count < ACPI_WAY_MAX)
		acpi_info.way_to_facs[acpi_info.way_count++] = (struct acpi_place){ virt_to_phys(at).addr, bytes };
}

/* `broadcast`: by this id an entry says that it is none. An interrupt to it, an INIT, would reach all CPUs. */
static void add_cpu(u32 apic_id, u32 broadcast, u32 flags)
{
	if (!(flags & 1) || apic_id == broadcast)
		return;
	/* Some firmware has a CPU in entries of both kinds. It is started once. */
	for (u32 i = 0; i < acpi_info.cpu_count; i++)
		if (acpi_info.apic_ids[i] == apic_id)
			return;
	if (acpi_info.cpu_count == MAX_CPUS)
		boot_refuse("the machine has more than %u CPUs: switch off cores or hyperthreads in the firmware's "
			    "menu", MAX_CPUS);
	acpi_info.apic_ids[acpi_info.cpu_count++] = apic_id;
}

static void parse_madt(const struct table *madt)
{
	const u8 *at = madt->at + MADT_ENTRIES, *end = madt->at + madt->bytes;

	if (found.has_madt) /* as operating systems, which take the first */
		return;
	found.has_madt = true;
	for (; at + 2 <= end && at[1] >= 2 && at + at[1] <= end; at += at[1]) {
		if (at[0] == MADT_LAPIC && at[1] >= 8)
			add_cpu(at[3], 0xff, (u32)number_at(at + 4, 4));
		else if (at[0] == MADT_X2APIC && at[1] >= 16)
			add_cpu((u32)number_at(at + 4, 4), ~0u, (u32)number_at(at + 8, 4));
	}
	/* Some firmware forgets the CPU that it has started. Root memory is planned for these CPUs and no more. */
	if (acpi_info.cpu_count)
		add_cpu(lapic_boot_id(), ~0u, 1);
}

/* A field of a table; 0 where the table ends before it. */
static u64 table_field(const struct table *table, u32 offset, u32 bytes)
{
	return offset + bytes <= table->bytes ? number_at(table->at + offset, bytes) : 0;
}

static struct acpi_register table_register(const struct table *table, u32 offset)
{
	return (struct acpi_register){ (u8)table_field(table, offset, 1),
				       table_field(table, offset + 4, GAS_BYTES - 4) };
}

/* What S5 is: the machine's power-off; without it every sleep counts as that. */
static void parse_dsdt(const struct table *fadt)
{
	u64 addr = table_field(fadt, FADT_DSDT, 4);
	struct table dsdt = table_at(addr ? addr : table_field(fadt, FADT_X_DSDT, 8));

	if (dsdt.bytes)
		acpi_info.s5 = aml_find_package(dsdt.at + SDT_BYTES, dsdt.bytes - SDT_BYTES, "_S5_");
}

/* It has no checksum. One of the old field and one of the new may differ: firmware wakes by either. */
static u64 facs_at(u64 addr)
{
	if (!addr || addr % FACS_BYTES || addr >= (1ull << 32) - FACS_BYTES)
		return 0;
	return memcmp(physical_at(addr), "FACS", 4) ? 0 : addr;
}

static void parse_pm1(const struct table *fadt)
{
	static const u32 old[] = { FADT_PM1A_CNT, FADT_PM1B_CNT }, extended[] = { FADT_X_PM1A_CNT, FADT_X_PM1B_CNT };

	for (u32 i = 0; i < ACPI_PM1_BLOCKS; i++) {
		struct acpi_register x = table_register(fadt, extended[i]);

		acpi_info.pm1_cnt[i] = (u16)table_field(fadt, old[i], 4);
		if (x.space == ACPI_IO && x.addr != acpi_info.pm1_cnt[i])
			acpi_info.pm1_cnt[ACPI_PM1_BLOCKS + i] = (u16)x.addr;
		else if (x.addr && x.space != ACPI_IO)
			log_warn("ACPI: PM1 control block %u at 0x%lx in space %u is not watched", i, x.addr, x.space);
	}
}

static void find_fadt(const struct table *table)
{
	bool is_sound = acpi_checksum_ok(table->at, table->bytes);

	if (found.fadts[is_sound].table.bytes && found.fadts[is_sound].table.at != table->at)
		found.fadts[is_sound].are_two = true;
	found.fadts[is_sound].table = *table;
}

static void parse_fadt(const struct table *fadt)
{
	u64 flags = table_field(fadt, FADT_FLAGS, 4);

	acpi_info.fadt = fadt->at;
	note_way(fadt->at, fadt->bytes);
	parse_pm1(fadt);
	parse_dsdt(fadt);
	acpi_info.facs[0] = facs_at(table_field(fadt, FADT_FACS, 4));
	acpi_info.facs[1] = facs_at(table_field(fadt, FADT_X_FACS, 8));
	if (!acpi_info.facs[0] && table_field(fadt, FADT_X_FACS, 8) >= 1ull << 32 && !(flags & FADT_HARDWARE_REDUCED))
		boot_refuse("the ACPI table FACS is above 4 GiB: the core cannot guard the wake from a sleep");
	acpi_info.sleep_control = table_register(fadt, FADT_SLEEP_CONTROL);
	if (flags & FADT_HAS_RESET) {
		acpi_info.reset = table_register(fadt, FADT_RESET_REG);
		acpi_info.reset_value = (u8)table_field(fadt, FADT_RESET_VALUE, 1);
	}
}

/* In each of the two words of its PCI identity, 0xffff says that it is no PCI device. */
static void parse_spcr(const struct table *spcr)
{
	u32 id = (u32)table_field(spcr, SPCR_PCI_ID, 4);
	bool is_pci = (u16)id != NO_PCI_ID && id >> 16 != NO_PCI_ID;

	acpi_info.spcr = (struct acpi_spcr){
		.found = spcr->bytes >= SPCR_BYTES,
		.type = (u8)table_field(spcr, SPCR_TYPE, 1),
		.at = table_register(spcr, SPCR_ADDRESS),
		.width = (u8)table_field(spcr, SPCR_WIDTH, 1),
		.access = (u8)table_field(spcr, SPCR_ACCESS, 1),
		.is_pci = is_pci,
		/* device first there, vendor first in configuration space */
		.pci_id = id << 16 | id >> 16,
		.pci_segment = (u8)table_field(spcr, SPCR_PCI_SEGMENT, 1),
		.pci_address = PCI_ADDRESS(table_field(spcr, SPCR_PCI_BUS, 1),
					   table_field(spcr, SPCR_PCI_DEVICE, 1) & 31,
					   table_field(spcr, SPCR_PCI_FUNCTION, 1) & 7, 0),
	};
}

/*
 * There is one (ACPI specification). Of two an operating system may take either, and its sleeps go past the core; but
 * one with a wrong checksum beside a right one is an old copy.
 */
static void parse_found_fadt(void)
{
	bool is_sound = found.fadts[true].table.bytes;

	if (found.fadts[is_sound].are_two)
		boot_refuse("the firmware has two ACPI tables FADT, and it is not known which one an operating system "
			    "takes");
	if (found.fadts[is_sound].table.bytes)
		parse_fadt(&found.fadts[is_sound].table);
	else if (found.is_left_out)
		boot_refuse("the firmware's ACPI tables cannot all be read, and no FADT is in those that can: sleeps "
			    "would go past the core");
}

static void parse_table(const struct table *table)
{
	if (table->at && !table->bytes && !memcmp(table->at, "FACP", 4))
		boot_refuse("an ACPI table FADT has a bad length: sleeps would go past the core");
	else if (is_table(table, "APIC"))
		parse_madt(table);
	else if (is_table(table, "FACP"))
		find_fadt(table);
	else if (is_table(table, "DMAR") && !acpi_info.dmar)
		acpi_info.dmar = table->at, acpi_info.dmar_bytes = table->bytes;
	else if (is_table(table, "SPCR"))
		parse_spcr(table);
}

static void note_code(struct table table)
{
	if (!table.bytes)
		return;
	if (acpi_info.code_count < ACPI_CODE_MAX)
		acpi_info.code[acpi_info.code_count++] =
			(struct acpi_place){ virt_to_phys(table.at).addr, table.bytes };
	else
		log_warn("ACPI: more than %u tables of byte code: a sleep may stay offered", ACPI_CODE_MAX);
}

/* One that is in both lists is noted twice, which does no harm. */
static void note_code_of(const struct table *table)
{
	if (is_table(table, "FACP")) {
		u64 old = table_field(table, FADT_DSDT, 4), extended = table_field(table, FADT_X_DSDT, 8);

		note_code(quiet_table_at(old));
		note_code(old && extended != old ? table_at(extended) : quiet_table_at(extended));
	} else if (is_table(table, "SSDT") || is_table(table, "PSDT")) {
		note_code(*table);
	}
}

static void each_table(const struct table *root, u32 entry_bytes, struct table (*read)(u64 addr),
		       void (*use)(const struct table *table))
{
	for (u32 at = SDT_BYTES; at + entry_bytes <= root->bytes; at += entry_bytes) {
		struct table table = read(table_field(root, at, entry_bytes));

		use(&table);
	}
}

/* An operating system does not look at an RSDT beside an XSDT: its address may lead anywhere. */
static struct table root_at(u64 addr, const char signature[4], bool is_used)
{
	struct table root = is_used ? table_at(addr) : quiet_table_at(addr);

	if (!is_table(&root, signature)) {
		root.bytes = 0;
		found.is_left_out |= is_used && addr;
	}
	return root;
}

void acpi_parse(void)
{
	/* An old pointer ends before that field. */
	const u64 rsdt_at = boot_info.rsdp.rsdt, xsdt_at = boot_info.rsdp.revision < RSDP_NEW ? 0 : boot_info.rsdp.xsdt;
	const struct table rsdt = root_at(rsdt_at, "RSDT", !xsdt_at), xsdt = root_at(xsdt_at, "XSDT", true);

	if (!rsdt_at && !xsdt_at) {
		log_warn("no ACPI tables: one CPU is used");
		return;
	}
	if (boot_info.rsdp_addr)
		note_way(physical_at(boot_info.rsdp_addr),
			 xsdt_at ? sizeof(boot_info.rsdp) : offsetof(struct boot_rsdp, length));
	note_way(rsdt.at, rsdt.bytes);
	note_way(xsdt.at, xsdt.bytes);
	each_table(xsdt_at ? &xsdt : &rsdt, xsdt_at ? 8 : 4, table_at, parse_table);
	parse_found_fadt();
	each_table(&rsdt, 4, quiet_table_at, note_code_of);
	each_table(&xsdt, 8, quiet_table_at, note_code_of);
}

/* ---- Sleep ---- */

/*
 * By its first character the name is another: an operating system finds no such sleep. A firmware's table may be in
 * ROM.
 */
static void hide_in(const struct acpi_place *place)
{
	static const char names[][5] = { "_S2_", "_S3_" };
	u8 *table = physical_at(place->addr), *code = table + SDT_BYTES;
	u32 bytes = (u32)place->bytes - SDT_BYTES;

	if (meets_root_memory(place->addr, place->addr + place->bytes))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		u32 count = aml_rename_packages(code, bytes, names[i], 'X');
		/* A core below this one knows stores by MOV. */
		volatile u8 *checksum = table + SDT_CHECKSUM;
		u8 mended = (u8)(*checksum - count * ('X' - '_'));

		*checksum = mended;
		if (aml_find_package(code, bytes, names[i]).found)
			log_warn("ACPI: the table at 0x%lx cannot be changed: %s stays offered", place->addr, names[i]);
		else if (count)
			log_info("ACPI: %s is not offered", names[i]);
	}
}

void acpi_hide_sleep(void)
{
	for (u32 i = 0; i < acpi_info.code_count; i++)
		hide_in(&acpi_info.code[i]);
}
