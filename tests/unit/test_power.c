/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports that belong together, with a second CPU that slips in wherever the core lets it: the keyboard controller's
 * command and byte, PCI configuration's address and data. The devices are models; the core's files are the real ones.
 * What must hold: the controller never pulls the reset line, and the machine is never put to sleep, without the core's
 * knowledge; and nobody switches address line 20 off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../hypapi/sim/machine/cpu/x86_insn.h"

/* In place of xmhf/cpu/spinlock.h. */
#define XMHF_SPINLOCK_H
struct spinlock { bool held; };
static bool any_lock;
static void spin_lock(struct spinlock *lock)
{
	assert_false(lock->held);
	lock->held = any_lock = true;
}
static void spin_unlock(struct spinlock *lock)
{
	lock->held = any_lock = false;
}

#include "../../xmhf/boot/pci.c"
#include "../../xmhf/power/pm_base.c"
#include "../../xmhf/power/ports.c"

#define ROUNDS 200000
#define PIIX4_PM 0x80000b00u
#define BASE 0xb000u
#define GUARDED_BYTE 0x72u

static u8 l1_bitmap[8192], l2_bitmap[8192];
u8 *vmx_io_bitmaps = l1_bitmap, *vmx_io_bitmaps_l2 = l2_bitmap;
struct acpi_info acpi_info;
struct percpu *cpus[MAX_CPUS];
u32 cpu_count;

static struct percpu cpu_a = { .quiesce.online = true }, cpu_b = { .quiesce.online = true };
static bool stopped, slipping; /* the other CPU stands still; or it is just slipping in */
static u32 resets_seen, sleeps_seen, slips;
static void (*other_cpu)(void);

void log_line(enum log_level level, const char *f, ...) { (void)level, (void)f; }
enum log_level log_threshold;

bool log_allowed(struct log_limit *limit, unsigned int burst, unsigned int interval_ms)
{
	(void)limit, (void)burst, (void)interval_ms;
	return false;
}

void panic(const char *f, ...) { fail_msg("%s", f); abort(); }
void nested_close_ports(struct percpu *cpu) { (void)cpu; }

void vmx_intercept_port(u16 port)
{
	l1_bitmap[port / 8] |= (u8)BIT(port % 8);
	l2_bitmap[port / 8] |= (u8)BIT(port % 8);
}

static jmp_buf slip_jump;
static bool at_safe_point;

/*
 * The other CPU does something, if nothing holds it. A stop that it asks for comes only when this CPU is at a safe
 * point: else it waits, and has done nothing yet.
 */
static void slip_in(bool safe_point)
{
	if (any_lock || stopped || slipping || !other_cpu || rand() % 2)
		return;
	slipping = true;
	at_safe_point = safe_point;
	slips++;
	if (!setjmp(slip_jump))
		other_cpu();
	slipping = false;
}

bool quiesce_begin(struct quiesce_cpu *self)
{
	(void)self;
	assert_false(any_lock);
	if (slipping && !at_safe_point)
		longjmp(slip_jump, 1);
	slip_in(true);
	stopped = true;
	return true;
}

bool quiesce_end(struct quiesce_cpu *self)
{
	(void)self;
	stopped = false;
	return true;
}

static jmp_buf reset_jump;
void power_reset(struct percpu *cpu)
{
	(void)cpu;
	resets_seen++;
	longjmp(reset_jump, 1);
}

void power_sleep(struct percpu *cpu, const struct power_sleep *sleep)
{
	(void)cpu;
	sleeps_seen++;
	ports_write(sleep->port, sleep->size, sleep->value);
}

/* ---- The devices ---- */

static bool kbc_expects_output_port;
static bool a20_off;
static u32 resets_done, sleeps_done, pci_address;
static u8 config[2][256]; /* of the host bridge and of the power management function */

/* As QEMU has it: the address keeps its lowest bits, which are ORed to those of the data port. */
static u8 *selected_config(void)
{
	if (!(pci_address & 0x80000000))
		return NULL;
	if ((pci_address & 0xffff00) == 0)
		return config[0];
	return (pci_address & 0xffff00) == (PIIX4_PM & 0xffff00) ? config[1] : NULL;
}

static u16 model_control(void)
{
	return config[1][0x80] & 1 ? (u16)(((config[1][0x41] << 8 | config[1][0x40]) & 0xffc0) + 4) : 0;
}

u32 machine_in(u16 port, u32 size)
{
	u32 value = ~0u;

	if (port == 0x64)
		return 0;
	if (port == PCI_ADDRESS_PORT && size == 4)
		return pci_address;
	if (port >= PCI_DATA_PORT && port < PCI_DATA_PORT + 4 && selected_config())
		memcpy(&value, selected_config() + ((pci_address & 0xff) | (port & 3)), size);
	return value;
}

static void kbc_out(u16 port, u8 value)
{
	bool expected = kbc_expects_output_port;

	kbc_expects_output_port = port == 0x64 && value == 0xd1;
	a20_off |= port == 0x64 ? value == 0xdd : expected && !(value & 2);
	if (port == 0x64 ? (value & 0xf1) == 0xf0 : expected && !(value & 1))
		resets_done++;
}

void machine_out(u16 port, u32 size, u32 value)
{
	/* The exit has been judged; before the write takes effect the other CPU writes, if it can. */
	slip_in(false);
	if (port == 0x60 || port == 0x64)
		kbc_out(port, (u8)value);
	else if (port <= 0x92 && 0x92 < port + size)
		a20_off |= !(value >> 8 * (0x92 - port) & 2);
	else if (port == PCI_ADDRESS_PORT && size == 4)
		pci_address = value;
	else if (port >= PCI_DATA_PORT && port < PCI_DATA_PORT + 4 && selected_config())
		memcpy(selected_config() + ((pci_address & 0xff) | (port & 3)), &value, size);
	else if (model_control() && port == model_control() && value & 0x2000)
		sleeps_done++;
}

/* ---- The guest ---- */

static void guest_out(struct percpu *cpu, u16 port, u32 size, u32 value)
{
	bool exits = false;

	slip_in(true);
	for (u32 i = 0; i < size; i++)
		exits |= l1_bitmap[(port + i) / 8] >> ((port + i) % 8) & 1;
	if (exits)
		power_port_write(cpu, port, size, value);
	else
		machine_out(port, size, value);
}

static const u8 kbc_bytes[] = { 0xd1, 0xd1, 0xdf, 0xdd, 0x01, 0xfe, 0x02, 0xf4, 0xaa };

static void write_kbc(struct percpu *cpu)
{
	u8 value = kbc_bytes[(u32)rand() % ARRAY_SIZE(kbc_bytes)];
	u16 port = rand() % 2 ? 0x60 : 0x64;

	if (port == 0x64 && value == 0xfe)
		return; /* that one would end each round at once */
	if (rand() % 8)
		guest_out(cpu, port, 1, value);
	else
		guest_out(cpu, port, 2, value | 0x5500);
}

static void other_writes_kbc(void)
{
	write_kbc(&cpu_b);
}

static void the_reset_line_is_never_pulled_unseen(void **state)
{
	(void)state;
	ports_init();
	other_cpu = other_writes_kbc;
	resets_seen = resets_done = 0;
	for (int i = 0; i < ROUNDS; i++) {
		if (setjmp(reset_jump)) {
			/* The machine is a new one. */
			any_lock = slipping = kbc_lock.held = kbc_expects_output_port = output_port_next = false;
			continue;
		}
		write_kbc(&cpu_a);
		assert_int_equal(resets_done, 0);
		assert_false(a20_off);
	}
	assert_true(resets_seen > ROUNDS / 100);
}

static void other_writes_config(void);

static void write_config(struct percpu *cpu)
{
	static const u32 addresses[] = {
		PIIX4_PM | 0x40, PIIX4_PM | 0x80, PIIX4_PM | 0x04, 0x80000070, 0x80000072, 0x80000058, 0x80001000,
	};
	static const u16 bases[] = { 0xb001, 0xc001, 0xd001, 0xb101 };

	switch (rand() % 8) {
	case 0 ... 2:
		guest_out(cpu, PCI_ADDRESS_PORT, 4, addresses[(u32)rand() % ARRAY_SIZE(addresses)]);
		break;
	case 3:
		guest_out(cpu, PCI_DATA_PORT, 4, bases[(u32)rand() % ARRAY_SIZE(bases)]);
		break;
	case 4:
		guest_out(cpu, PCI_DATA_PORT + 2, 2, (u32)rand() & 0xffff);
		break;
	case 5:
		guest_out(cpu, PCI_DATA_PORT + (u32)rand() % 4, 1, (u32)rand() & 0xff);
		break;
	case 6:
		guest_out(cpu, bases[(u32)rand() % ARRAY_SIZE(bases)] + 3, 2, 0x2400);
		break;
	case 7:
		guest_out(cpu, model_control(), 2, 0x2400);
		break;
	}
}

static void other_writes_config(void)
{
	write_config(&cpu_b);
}

static void no_sleep_at_a_moved_base_is_unseen(void **state)
{
	static const u8 id[] = { 0x86, 0x80, 0x13, 0x71 };
	u8 guarded_value = 0x5a;

	(void)state;
	other_cpu = NULL;
	memcpy(config[1], id, sizeof(id));
	memset(config[0], 0x11, sizeof(config[0]));
	config[0][GUARDED_BYTE] = guarded_value;
	config[1][0x40] = 1;
	config[1][0x41] = BASE >> 8;
	config[1][0x80] = 1;
	pm_base_init();
	pm_base_guard(PCI_ADDRESS(0, 0, 0, GUARDED_BYTE));
	assert_int_equal(pm_base_control(), BASE + 4);
	other_cpu = other_writes_config;
	slips = 0;
	for (int i = 0; i < ROUNDS; i++) {
		u16 control;

		write_config(&cpu_a);
		control = model_control();
		assert_true(sleeps_done <= sleeps_seen);
		assert_int_equal(config[0][GUARDED_BYTE], guarded_value);
		assert_int_equal(pm_base_control(), control);
		if (control)
			assert_true(l1_bitmap[(control + 1) / 8] >> ((control + 1) % 8) & 1);
	}
	assert_true(slips > ROUNDS / 100 && sleeps_done > ROUNDS / 100);
}

/* The firmware's last access was to a guarded byte, and the guest's first one selects nothing. */
static void what_the_firmware_selected_is_closed(void **state)
{
	(void)state;
	other_cpu = NULL;
	config[0][GUARDED_BYTE] = 0x5a;
	guarded_count = 0;
	pci_address = PCI_ADDRESS(0, 0, 0, GUARDED_BYTE & ~3u) | (u32)PCI_ENABLE;
	selected = false;
	memset(l1_bitmap, 0, sizeof(l1_bitmap));
	ports_init();
	pm_base_init();
	pm_base_guard(PCI_ADDRESS(0, 0, 0, GUARDED_BYTE));
	guest_out(&cpu_a, PCI_DATA_PORT + (GUARDED_BYTE & 3), 1, 0xff);
	assert_int_equal(config[0][GUARDED_BYTE], 0x5a);
	guest_out(&cpu_a, PCI_ADDRESS_PORT, 4, PCI_ADDRESS(0, 0, 0, GUARDED_BYTE & ~3u) | (u32)PCI_ENABLE);
	guest_out(&cpu_a, PCI_DATA_PORT + (GUARDED_BYTE & 3), 1, 0xff);
	assert_int_equal(config[0][GUARDED_BYTE], 0x5a);
}

static void parts_of_a_write_are_judged(void **state)
{
	static const struct { u16 port; u8 size; u32 value; bool reset; } writes[] = {
		{ 0xcf9, 1, 6, true }, { 0xcf9, 1, 2, false }, { 0xcf8, 2, 0x0600, true },
		{ 0xcf8, 4, 0x80000600, false },
		{ 0xcf7, 4, 0x00060000, true }, { 0x92, 1, 1, true }, { 0x92, 1, 2, false }, { 0x92, 1, 0, false },
		{ 0x8f, 4, 0, false }, { 0x91, 2, 0x0100, true },
		{ 0x64, 1, 0xfe, true }, { 0x63, 2, 0xfe00, true }, { 0x64, 2, 0x00fe, true }, { 0x64, 1, 0xff, false },
		{ 0x1234, 1, 0x99, true }, { 0x1234, 1, 0x98, false }, { 0x1233, 2, 0x9900, true },
	};

	(void)state;
	other_cpu = NULL;
	acpi_info.reset = (struct acpi_register){ ACPI_IO, 0x1234 };
	acpi_info.reset_value = 0x99;
	ports_init();
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		resets_seen = 0;
		if (!setjmp(reset_jump))
			guest_out(&cpu_a, writes[i].port, writes[i].size, writes[i].value);
		assert_false(a20_off);
		any_lock = kbc_lock.held = false;
		if (resets_seen != writes[i].reset)
			fail_msg("row %zu", i);
	}
}

static void sleeps_are_found_in_all_registers(void **state)
{
	static const struct { u16 port; u8 size; u32 value; int type, block; } writes[] = {
		{ 0x404, 2, 0x2400, 1, 0 }, { 0x405, 1, 0x24, 1, 0 }, { 0x402, 4, 0x24000000, 1, 0 },
		{ 0x404, 2, 0x0400, -1, 0 },
		{ 0x504, 2, 0x3c00, 7, 1 }, { 0x604, 4, 0x2000, 0, 0 }, { 0x704, 2, 0x2800, 2, 1 },
		{ 0x800, 1, 0x34, 5, 0 }, { 0x800, 1, 0x14, -1, 0 }, { 0x7ff, 2, 0x3400, 5, 0 },
	};

	(void)state;
	other_cpu = NULL;
	memcpy(acpi_info.pm1_cnt, (const u16[]){ 0x404, 0x504, 0x604, 0x704 }, sizeof(acpi_info.pm1_cnt));
	acpi_info.sleep_control = (struct acpi_register){ ACPI_IO, 0x800 };
	ports_init();
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		struct power_sleep s = { .port = writes[i].port, .size = writes[i].size, .value = writes[i].value };

		bool found = is_sleep(&s), same = (int)s.type == writes[i].type && (int)s.block == writes[i].block;

		if (found != (writes[i].type >= 0) || (found && !same))
			fail_msg("row %zu", i);
		assert_true(l1_bitmap[(writes[i].port + writes[i].size - 1) / 8] || l1_bitmap[writes[i].port / 8]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reset_line_is_never_pulled_unseen),
		cmocka_unit_test(no_sleep_at_a_moved_base_is_unseen),
		cmocka_unit_test(what_the_firmware_selected_is_closed),
		cmocka_unit_test(parts_of_a_write_are_judged),
		cmocka_unit_test(sleeps_are_found_in_all_registers),
	};

	return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
