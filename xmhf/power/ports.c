/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's writes to the intercepted ports mean, and carrying them out. Invariant: what is judged is what the
 * port gets. A device with a command port and a data port is therefore judged and written under one lock, so that no
 * other CPU comes between the judgement and the write: the keyboard controller here, PCI configuration in pm_base.c.
 */
#include "power/ports.h"

#include "boot/acpi.h"
#include "boot/pci.h"
#include "cpu/spinlock.h"
#include "cpu/x86.h"
#include "power/pm_base.h"
#include "power/power.h"
#include "report/log.h"
#include "vmx/vmx.h"

#define PORT_KBC_DATA 0x60
#define KBC_WRITE_OUTPUT_PORT 0xd1
#define KBC_DISABLE_A20 0xdd
#define KBC_INPUT_FULL BIT(1)
#define KBC_MAX_POLLS 20000 /* of about a microsecond */
#define A20 BIT(1) /* of the controller's output port, and of port 0x92 */
#define PM1_SLP_EN BIT(13)
#define PM1_SLP_TYP(v) ((v) >> 10 & 7)
#define SLEEP_CONTROL_EN BIT(5)
#define SLEEP_CONTROL_TYP(v) ((v) >> 2 & 7)

static struct spinlock kbc_lock;
static bool output_port_next; /* kbc_lock: the command for the output port waits here for its byte */

static void watch_register(const char *name, const struct acpi_register *r)
{
	if (r->addr && r->space == ACPI_IO)
		vmx_intercept_port((u16)r->addr);
	else if (r->addr)
		log_warn("ACPI: the %s register at 0x%lx in space %u is not watched", name, r->addr, r->space);
}

void ports_init(void)
{
	static const u16 always[] = { PORT_KBC_DATA, PORT_KBC_COMMAND, PORT_FAST_A20, PORT_RESET };

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		vmx_intercept_port(always[i]);
	for (size_t i = 0; i < ARRAY_SIZE(acpi_info.pm1_cnt); i++)
		ports_intercept_pm1(acpi_info.pm1_cnt[i]);
	watch_register("reset", &acpi_info.reset);
	watch_register("sleep control", &acpi_info.sleep_control);
}

void ports_intercept_pm1(u16 control)
{
	if (control) {
		vmx_intercept_port(control);
		vmx_intercept_port((u16)(control + 1));
	}
}

void ports_write(u16 port, unsigned int size, u32 value)
{
	if (size == 1)
		outb(port, (u8)value);
	else if (size == 2)
		outw(port, (u16)value);
	else
		outl(port, value);
}

/* ---- The keyboard controller ---- */

static bool kbc_takes_input(void)
{
	for (u32 polls = 0; polls < KBC_MAX_POLLS; polls++)
		if (!(inb(PORT_KBC_COMMAND) & KBC_INPUT_FULL))
			return true;
	return false;
}

/* Both or none, each when the controller can take it: else it might take the byte for the wrong thing. */
static void write_output_port(u8 value)
{
	if (!kbc_takes_input())
		return;
	outb(PORT_KBC_COMMAND, KBC_WRITE_OUTPUT_PORT);
	if (kbc_takes_input())
		outb(PORT_KBC_DATA, value);
}

/*
 * True: this byte resets the machine, and was not written. Nobody switches address line 20 off, here or at port 0x92: a
 * CPU in VMX operation does not look at it (SDM vol. 3, "Restrictions on VMX Operation"), but an emulator may, and then
 * the addresses that EPT has allowed are not those that memory gets, nor are root's.
 */
static bool kbc_write(u16 port, u8 value)
{
	bool reset = false;

	spin_lock(&kbc_lock);
	if (port == PORT_KBC_COMMAND) {
		output_port_next = value == KBC_WRITE_OUTPUT_PORT;
		/* 0xf0 to 0xff pulse output lines whose bit is 0; bit 0 is the reset line */
		reset = (value & 0xf1) == 0xf0;
		if (!output_port_next && !reset && value != KBC_DISABLE_A20)
			outb(port, value);
	} else if (output_port_next) {
		output_port_next = false;
		reset = !(value & 1);
		if (!reset)
			write_output_port(value | (u8)A20);
	} else {
		outb(port, value);
	}
	spin_unlock(&kbc_lock);
	return reset;
}

static bool is_kbc(u16 port)
{
	return port == PORT_KBC_DATA || port == PORT_KBC_COMMAND;
}

/* ---- Resets ---- */

/* One byte that reaches a port of no pair. */
static bool is_reset_byte(u16 port, u8 value)
{
	if (acpi_info.reset.addr == port && acpi_info.reset.space == ACPI_IO && value == acpi_info.reset_value)
		return true;
	if (port == PORT_FAST_A20)
		return value & 1;
	return port == PORT_RESET && (value & 4);
}

/* A 32-bit write to 0xcf8 is a PCI configuration address, although it covers 0xcf9. */
static bool is_reset(u16 port, unsigned int size, u32 value)
{
	bool reset = false;

	if (port == PCI_ADDRESS_PORT && size == 4)
		return false;
	for (unsigned int i = 0; i < size; i++)
		reset |= is_reset_byte((u16)(port + i), (u8)(value >> 8 * i));
	return reset;
}

/* ---- Sleep ---- */

/* Whether a write covers the byte at `at`. */
static bool covers(u16 port, unsigned int size, u32 at)
{
	return port <= at && at < port + size;
}

/* What of a write lands in a 16-bit register: it may begin before it, or at its high byte. */
static u32 part_of(u16 port, u32 value, u16 reg)
{
	return port < reg ? value >> 8 * (reg - port) : value << 8 * (port - reg);
}

static bool is_pm1_sleep(struct power_sleep *s, u16 control, unsigned int block)
{
	if (!control || !covers(s->port, s->size, control + 1u))
		return false;
	u32 value = part_of(s->port, s->value, control);

	if (!(value & PM1_SLP_EN))
		return false;
	s->type = PM1_SLP_TYP(value);
	s->block = block;
	return true;
}

static bool is_sleep(struct power_sleep *s)
{
	const struct acpi_register *r = &acpi_info.sleep_control;

	for (unsigned int i = 0; i < ARRAY_SIZE(acpi_info.pm1_cnt); i++)
		if (is_pm1_sleep(s, acpi_info.pm1_cnt[i], i % ACPI_PM1_BLOCKS))
			return true;
	if (is_pm1_sleep(s, pm_base_control(), 0))
		return true;
	if (!r->addr || r->space != ACPI_IO || !covers(s->port, s->size, (u32)r->addr))
		return false;
	u32 value = part_of(s->port, s->value, (u16)r->addr);

	s->type = SLEEP_CONTROL_TYP(value);
	return value & SLEEP_CONTROL_EN;
}

static u32 with_a20(u16 port, unsigned int size, u32 value)
{
	return covers(port, size, PORT_FAST_A20) ? value | (u32)A20 << 8 * (PORT_FAST_A20 - port) : value;
}

void power_port_write(struct percpu *cpu, u16 port, unsigned int size, u32 value)
{
	struct power_sleep sleep = { .port = port, .size = (u8)size, .value = value };

	/* A controller on the old bus gets bytes, whatever the size of the write. */
	for (unsigned int i = 0; i < size && size > 1; i++) {
		if (!is_kbc((u16)(port + i)))
			continue;
		for (i = 0; i < size; i++)
			power_port_write(cpu, (u16)(port + i), 1, (u8)(value >> 8 * i));
		return;
	}
	if (is_kbc(port) ? kbc_write(port, (u8)value) : is_reset(port, size, value))
		power_reset(cpu);
	if (is_kbc(port) || pm_base_takes(cpu, port, size, value) == TAKEN)
		return;
	if (is_sleep(&sleep))
		power_sleep(cpu, &sleep);
	else
		ports_write(port, size, with_a20(port, size, value));
}
