/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See power.h. A reset through the keyboard controller or port 0x92 is carried out by port 0xCF9, because a reset
 * without the chipset's leaves IA32_FEATURE_CONTROL locked, on which some firmware stumbles.
 */
#include "vmx/power.h"

#include "boot/acpi.h"
#include "core/events.h"
#include "core/log.h"
#include "core/stats.h"
#include "core/trace.h"
#include "cpu/x86.h"
#include "vmx/vmx.h"
#include "vmx/vmx_insn.h"

#define PORT_KBC_DATA 0x60
#define PORT_KBC_COMMAND 0x64
#define PORT_PCI_ADDRESS 0xcf8
#define PORT_FAST_A20 0x92
#define PORT_RESET 0xcf9
#define KBC_WRITE_OUTPUT_PORT 0xd1
#define SLP_EN BIT(13)
#define SLP_TYP(v) ((v) >> 10 & 7)

static void intercept_pm1(u16 control)
{
	if (control) {
		vmx_intercept_port(control);
		vmx_intercept_port(control + 1);
	}
}

void power_init(void)
{
	vmx_intercept_port(PORT_KBC_DATA);
	vmx_intercept_port(PORT_KBC_COMMAND);
	if (acpi_info.reset_port)
		vmx_intercept_port(acpi_info.reset_port);
	vmx_intercept_port(PORT_FAST_A20);
	vmx_intercept_port(PORT_RESET);
	for (unsigned int i = 0; i < ARRAY_SIZE(acpi_info.pm1_cnt); i++)
		intercept_pm1(acpi_info.pm1_cnt[i]);
}

static void stop_others(struct percpu *cpu)
{
	if (cpu->quiesce.online)
		(void)!quiesce_begin(&cpu->quiesce);
}

static void go_down(struct percpu *cpu, enum hypapi_event_type event)
{
	stop_others(cpu);
	event_notify(cpu, event);
	stats_log();
	trace_log();
	log_flush();
}

static _Noreturn void chipset_reset(void)
{
	wbinvd();
	outb(PORT_RESET, 0x02);
	outb(PORT_RESET, 0x06);
	for (;;)
		asm volatile("hlt");
}

void power_reset(struct percpu *cpu)
{
	log_info("the guest resets the machine");
	go_down(cpu, HYPAPI_EV_RESET);
	chipset_reset();
}

void power_triple_fault(struct percpu *cpu)
{
	log_warn("CPU %u: triple fault in L1 at RIP %lx, CR3 %lx: the machine is reset, as the bare one would be", cpu->index,
		 vmread(VMCS_GUEST_RIP), vmread(VMCS_GUEST_CR3));
	go_down(cpu, HYPAPI_EV_TRIPLE_FAULT);
	event_notify(cpu, HYPAPI_EV_RESET);
	chipset_reset();
}

/* One byte that reaches a port. */
static bool is_reset_byte(u16 port, u8 value)
{
	static bool output_port_next; /* keyboard controller: the next data byte is its output port. The guest's locking is ours */
	bool output_port = output_port_next;

	if (acpi_info.reset_port && port == acpi_info.reset_port && value == acpi_info.reset_value)
		return true;
	switch (port) {
	case PORT_KBC_COMMAND:
		output_port_next = value == KBC_WRITE_OUTPUT_PORT;
		/* 0xf0 to 0xff pulse output lines whose bit is 0; bit 0 is the reset line */
		return (value & 0xf1) == 0xf0;
	case PORT_KBC_DATA:
		output_port_next = false;
		return output_port && !(value & 1);
	case PORT_FAST_A20:
		return value & 1;
	case PORT_RESET:
		return value & 4;
	default:
		return false;
	}
}

/* A 32-bit write to 0xcf8 is a PCI configuration address, although it covers 0xcf9. */
static bool is_reset(u16 port, unsigned int size, u32 value)
{
	bool reset = false;

	if (port == PORT_PCI_ADDRESS && size == 4)
		return false;
	for (unsigned int i = 0; i < size; i++)
		reset |= is_reset_byte((u16)(port + i), (u8)(value >> 8 * i));
	return reset;
}

static bool is_pm1(u16 port, unsigned int size, u16 control)
{
	return control && port <= control + 1 && port + size > control + 1u;
}

/* What of a write lands in the 16-bit control register: it may begin before it, or at its high byte. */
static u32 pm1_value(u16 port, u32 value, u16 control)
{
	return port < control ? value >> 8 * (control - port) : value << 8 * (port - control);
}

/* SLP_EN is written to control block 0 or 1. False: a hypapp denies it. */
static bool go_to_sleep(struct percpu *cpu, u32 type, unsigned int block)
{
	const struct aml_package *s5 = &acpi_info.s5;
	bool power_off = !s5->found || type == s5->values[block];

	log_info("the guest asks for sleep type %u%s", type, power_off ? "" : ", which is not power-off");
	stop_others(cpu);
	if (!power_off) {
		if (!event_sleep_prepare(cpu, type)) {
			quiesce_end(&cpu->quiesce);
			return false;
		}
		event_sleep(cpu, type);
	}
	go_down(cpu, HYPAPI_EV_SHUTDOWN);
	quiesce_end(&cpu->quiesce);
	quiesce_end(&cpu->quiesce);
	return true;
}

bool power_port_write(struct percpu *cpu, u16 port, unsigned int size, u32 value)
{
	unsigned int block = 0;

	if (is_reset(port, size, value))
		power_reset(cpu);
	while (!is_pm1(port, size, acpi_info.pm1_cnt[block]))
		if (++block == ARRAY_SIZE(acpi_info.pm1_cnt))
			return false;
	u32 control = pm1_value(port, value, acpi_info.pm1_cnt[block]);

	return (control & SLP_EN) && !go_to_sleep(cpu, SLP_TYP(control), block);
}
