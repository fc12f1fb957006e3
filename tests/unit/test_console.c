/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which serial port the option console and the table SPCR lead to, what is refused and with which words, and the
 * registers of each kind: ports, bytes, and words of 4 bytes in memory. PCI is a table here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../hypapi/sim/machine/cpu/x86_insn.h"

static u8 ports[0x10000];
static bool is_absent;

u32 machine_in(u16 port, u32 size) { (void)size; return is_absent ? 0 : ports[port]; }
void machine_out(u16 port, u32 size, u32 value) { (void)size; ports[port] = (u8)value; }
void machine_relax(void) { }
void *machine_self(void) { return NULL; }
void percpu_locks_add(int n) { (void)n; }
_Atomic bool quiesce_given_up;

#include "../../xmhf/report/console.c"
#include "../../xmhf/report/serial.c"

struct acpi_info acpi_info;
struct boot_info boot_info;
static const char *console;
const char *cmdline_get(const char *name) { return strcmp(name, "console") ? NULL : console; }
/* RAM ends at 2 GiB. */
int memory_map_is_ram(u64 start, u64 end) { (void)end; return start < (1ul << 31); }

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

u32 phys_bits_known = 46;
u32 phys_bits_ask(void) { return phys_bits_known; }
static u64 mapped;
static union { u8 bytes[32]; u32 words[8]; } memory;
void *root_map_window(enum root_window window, u64 physical, u64 bytes)
{
	assert_int_equal(window, ROOT_WINDOW_CONSOLE);
	assert_true(bytes == 8 || bytes == 32);
	mapped = physical;
	return &memory;
}

#define AT(bus, device, function) PCI_ADDRESS(bus, device, function, 0)
static const struct { u32 address, id, command, class, bar, high; } pci[] = {
	{ AT(0, 4, 0), 0x00021b36, 7, 0x07000201, 0xc041, 0 },
	{ AT(0, 5, 0), 0x00021b36, 2, 0x07000201, 0xc041, 0 },              /* ports are off */
	{ AT(2, 3, 1), 0x0d9a8086, 6, 0x07000200, 0xfe100000, 0 },
	{ AT(0, 0x1e, 0), 0xa0a88086, 6, 0x11800000, 0xd0000004, 0x40 },    /* 64-bit, registers of 4 bytes */
	{ AT(0, 6, 0), 0x12348086, 7, 0x07000200, 1, 0 },                   /* no address */
	{ AT(0, 7, 0), 0x12348086, 7, 0x07000200, 0x10000, 0 },             /* in RAM */
};
u32 pci_read32(u32 address)
{
	for (size_t i = 0; i < ARRAY_SIZE(pci); i++)
		if (pci[i].address == (address & ~0xffu))
			switch (address & 0xff) {
			case 0: return pci[i].id;
			case PCI_COMMAND: return pci[i].command;
			case PCI_CLASS: return pci[i].class;
			case PCI_BAR: return pci[i].bar;
			case PCI_BAR + 4: return pci[i].high;
			}
	return ~0u;
}

/* Of each case: a port, or an address and the bytes of a register; or words of a refusal. */
struct result { u16 port; u64 addr; u8 stride; const char *refusal; };

static void choose(const char *text, const struct result *expected)
{
	console = text;
	chosen = false;
	option = "com1";
	why[0] = 0;
	mapped = 0;
	memset(&place, 0, sizeof(place));
	if (!setjmp(refused)) {
		console_choose();
		console_choose_by_acpi();
	}
	if (expected->refusal ? !strstr(why, expected->refusal) : why[0])
		fail_msg("console=%s: \"%s\"", text ? text : "", why);
	if (expected->refusal)
		return;
	assert_int_equal(place.port, expected->port);
	assert_int_equal(serial_data_port, expected->port);
	assert_int_equal(mapped, expected->addr);
	assert_int_equal(place.registers ? place.stride : 0, expected->stride);
	assert_true(chosen);
}

static void test_options(void **state)
{
	static const struct { const char *text; struct result result; } cases[] = {
		{ NULL, { .port = 0x3f8 } },
		{ "com1", { .port = 0x3f8 } },
		{ "none", { .port = 0 } },
		{ "mmio:fe001000", { .addr = 0xfe001000, .stride = 1 } },
		{ "mmio32:FE001000", { .addr = 0xfe001000, .stride = 4 } },
		{ "mmio32:4017000000", { .addr = 0x4017000000, .stride = 4 } },
		{ "pci:0:4.0", { .port = 0xc040 } },
		{ "pci:2:3.1", { .addr = 0xfe100000, .stride = 1 } },
		{ "pci:0:1e.0", { .addr = 0x40d0000000, .stride = 4 } },
		{ "pci:0:5.0", { .refusal = "not switched on" } },
		{ "pci:0:6.0", { .refusal = "no port 0x0" } },
		{ "pci:0:7.0", { .refusal = "registers at 0x10000 cannot be" } },
		{ "pci:0:8.0", { .refusal = "no such PCI device" } },
		{ "pci:0:20.0", { .refusal = "none of none, com1" } },
		{ "pci:0:4", { .refusal = "none of none, com1" } },
		{ "pci:0:4.0.", { .refusal = "none of none, com1" } },
		{ "mmio:", { .refusal = "none of none, com1" } },
		{ "mmio:xyz", { .refusal = "none of none, com1" } },
		{ "mmio:0", { .refusal = "cannot be" } },
		{ "mmio:1000", { .refusal = "cannot be" } },
		{ "mmio32:fe001002", { .refusal = "cannot be" } },
		{ "mmio:fffffffffffff", { .refusal = "cannot be" } },
		{ "mmio:3ffffffffff0", { .addr = 0x3ffffffffff0, .stride = 1 } },
		{ "mmio:400000000000", { .refusal = "cannot be" } }, /* wider than this CPU's addresses */
		{ "mmio:fffffffffffffffffffff", { .refusal = "none of none, com1" } },
		{ "com2", { .refusal = "none of none, com1" } },
		{ "", { .refusal = "none of none, com1" } },
		{ "acpi", { .refusal = "no table SPCR" } },
	};

	(void)state;
	memset(&acpi_info, 0, sizeof(acpi_info));
	memset(ports, 0x60, sizeof(ports));
	memset(&memory, 0x60, sizeof(memory));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		choose(cases[i].text, &cases[i].result);
}

static void test_spcr(void **state)
{
	static const struct { struct acpi_spcr spcr; struct result result; } cases[] = {
		{ { true, 0, { ACPI_IO, 0x2f8 }, 8, 1, false, 0, 0, 0 }, { .port = 0x2f8 } },
		{ { true, 1, { ACPI_MEMORY, 0xfe030000 }, 8, 1, false, 0, 0, 0 },
		  { .addr = 0xfe030000, .stride = 1 } },
		{ { true, 0x12, { ACPI_MEMORY, 0xfe030000 }, 32, 3, false, 0, 0, 0 },
		  { .addr = 0xfe030000, .stride = 4 } },
		{ { true, 0, { ACPI_MEMORY, 0xfe030000 }, 32, 0, false, 0, 0, 0 },
		  { .addr = 0xfe030000, .stride = 4 } },
		{ { true, 0, { ACPI_MEMORY, 0xfe030000 }, 0, 0, false, 0, 0, 0 },
		  { .addr = 0xfe030000, .stride = 1 } },
		{ { true, 0, { ACPI_MEMORY, 0 }, 8, 0, true, 0x0d9a8086, AT(2, 3, 1), 0 },
		  { .addr = 0xfe100000, .stride = 1 } },
		{ { true, 0, { ACPI_MEMORY, 0xfe100000 }, 32, 3, true, 0x0d9a8086, AT(2, 3, 1), 0 },
		  { .addr = 0xfe100000, .stride = 4 } },
		{ { true, 0, { ACPI_MEMORY, 0 }, 8, 0, true, 0x0d9a8087, AT(2, 3, 1), 0 },
		  { .refusal = "is not there" } },
		{ { true, 0, { ACPI_MEMORY, 0 }, 8, 0, true, 0x0d9a8086, AT(2, 3, 1), 1 },
		  { .refusal = "is not there" } },
		{ { true, 3, { ACPI_MEMORY, 0xfe030000 }, 32, 3, false, 0, 0, 0 },
		  { .refusal = "of type 3, which is no 16550" } },
		{ { true, 0, { ACPI_MEMORY, 0xfe030000 }, 16, 2, false, 0, 0, 0 },
		  { .refusal = "of 16 bits, access 2" } },
		{ { true, 0, { 3, 0xfe030000 }, 8, 1, false, 0, 0, 0 }, { .refusal = "in space 3" } },
		{ { true, 0, { ACPI_IO, 0x102f8 }, 8, 1, false, 0, 0, 0 }, { .refusal = "no port 0x102f8" } },
		{ { true, 0, { ACPI_MEMORY, 0x5000 }, 8, 1, false, 0, 0, 0 }, { .refusal = "cannot be" } },
		{ { true, 0, { ACPI_MEMORY, ~0ul }, 8, 1, false, 0, 0, 0 }, { .refusal = "cannot be" } },
	};

	(void)state;
	memset(ports, 0x60, sizeof(ports));
	memset(&memory, 0x60, sizeof(memory));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		acpi_info.spcr = cases[i].spcr;
		choose("acpi", &cases[i].result);
	}
}

/* Characters go to the data register, a divisor of the guest's is taken away; nothing else is written. */
static void test_registers(void **state)
{
	(void)state;
	memset(&memory, 0, sizeof(memory));
	serial_use(&(struct serial_place){ 0, memory.bytes, 4 });
	memory.words[LSR] = 0xabcd60;
	memory.words[LCR] = 0x83;
	assert_true(serial_answers() && serial_is_set_up() && !serial_ready());
	serial_take();
	assert_int_equal(memory.words[LCR], 3);
	assert_true(serial_ready());
	serial_put('x');
	assert_int_equal(memory.words[0], 'x');
	serial_use(&(struct serial_place){ 0, memory.bytes, 1 });
	memset(&memory, 0, sizeof(memory));
	memory.bytes[LSR] = 0x40;
	assert_false(serial_ready());
	memory.bytes[LSR] = 0x20;
	assert_true(serial_ready());
	serial_put('y');
	assert_int_equal(memory.bytes[0], 'y');
	/* No port: all is sent at once, to nobody. */
	memset(ports, 0x11, sizeof(ports));
	serial_use(&(struct serial_place){ 0 });
	assert_true(serial_ready());
	serial_wait_sent();
	serial_put('z');
	for (size_t i = 0; i < sizeof(ports); i++)
		assert_int_equal(ports[i], 0x11);
	/* Nobody answers: a refusal, and its words go to COM1. */
	is_absent = true;
	choose("pci:0:4.0", &(struct result){ .refusal = "no serial port answers" });
	is_absent = false;
	console_default();
	assert_int_equal(serial_data_port, 0x3f8);
	assert_int_equal(ports[0x3f8 + LCR], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_spcr),
		cmocka_unit_test(test_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
