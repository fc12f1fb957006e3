/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See console.h. */
#include "report/console.h"

#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "boot/pci.h"
#include "core/cmdline.h"
#include "lib/string.h"
#include "mem/phys_bits.h"
#include "mem/root_map.h"
#include "report/log.h"
#include "report/serial.h"

#define UART_REGISTERS 8u
#define PCI_SERIAL 0x0700 /* class of a 16550 with registers of a byte; others have registers of 4 */
#define PCI_COMMAND 0x04u
#define PCI_CLASS 0x08u
#define PCI_BAR 0x10u
#define BAR_IS_PORT BIT(0)
#define BAR_IS_64(bar) (((bar) >> 1 & 3) == 2)
enum { COMMAND_PORTS = 1, COMMAND_MEMORY = 2 };
enum { SPCR_16550 = 0, SPCR_16450 = 1, SPCR_16550_WIDE = 0x12 };

static const char *option = "com1";
static bool chosen;

static void use(u16 port, volatile u8 *registers, u8 stride)
{
	serial_use(&(struct serial_place){ port, registers, stride });
	if (!serial_answers())
		boot_refuse("console=%s: no serial port answers there", option);
	chosen = true;
}

static void use_memory(u64 addr, u8 stride)
{
	u64 bytes = UART_REGISTERS * stride;

	if (!addr || addr % stride || addr >= BIT(phys_bits()) - bytes ||
	    memory_map_is_ram(ALIGN_DOWN(addr, PAGE_SIZE), ALIGN_UP(addr + bytes, PAGE_SIZE)))
		boot_refuse("console=%s: registers at 0x%lx cannot be: that is RAM, or no address", option, addr);
	use(0, root_map_window(ROOT_WINDOW_CONSOLE, addr, bytes), stride);
}

static void use_port(u64 port)
{
	if (!port || port > 0xffff - UART_REGISTERS)
		boot_refuse("console=%s: there is no port 0x%lx for registers", option, port);
	use((u16)port, NULL, 1);
}

static void use_pci(u32 address)
{
	u32 bar = pci_read32(address | PCI_BAR), command = pci_read32(address | PCI_COMMAND);
	bool is_port = bar & BAR_IS_PORT;
	u64 high = !is_port && BAR_IS_64(bar) ? pci_read32(address | (PCI_BAR + 4)) : 0;

	if (pci_read32(address) == ~0u)
		boot_refuse("console=%s: there is no such PCI device", option);
	if (!(command & (is_port ? COMMAND_PORTS : COMMAND_MEMORY)))
		boot_refuse("console=%s: the firmware has not switched on the registers of that PCI device", option);
	if (is_port)
		use_port(bar & 0xfffc);
	else
		use_memory(high << 32 | (bar & ~0xfu), pci_read32(address | PCI_CLASS) >> 16 == PCI_SERIAL ? 1 : 4);
}

static bool begins(const char **at, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(*at, word, length))
		return false;
	*at += length;
	return true;
}

static void use_place(const char *at)
{
	u64 addr, bus, device, function;

	if (begins(&at, "mmio:") && string_take_hex(&at, 0, BIT(52), &addr))
		use_memory(addr, 1);
	else if (begins(&at, "mmio32:") && string_take_hex(&at, 0, BIT(52), &addr))
		use_memory(addr, 4);
	else if (begins(&at, "pci:") && string_take_hex(&at, ':', 255, &bus) &&
		 string_take_hex(&at, '.', 31, &device) && string_take_hex(&at, 0, 7, &function))
		use_pci(PCI_ADDRESS(bus, device, function, 0));
	else
		boot_refuse("option console=%s: none of none, com1, acpi, mmio:ADDRESS, mmio32:ADDRESS, "
			    "pci:BUS:DEVICE.FUNCTION (numbers are hexadecimal)", option);
}

void console_default(void)
{
	if (!chosen)
		serial_use_com1();
	chosen = true;
}

void console_choose(void)
{
	const char *text = cmdline_get("console");

	option = text ? text : option;
	if (!strcmp(option, "none")) {
		serial_use(&(struct serial_place){ 0 });
		chosen = true;
	} else if (!strcmp(option, "com1")) {
		console_default();
	} else if (strcmp(option, "acpi")) {
		use_place(option);
	}
}

/* Bytes from one register to the next; 0: not understood. */
static u8 stride_of(const struct acpi_spcr *spcr)
{
	u32 bits = spcr->access ? 4u << MIN(spcr->access, 4) : spcr->width;

	return bits == 32 ? 4 : bits <= 8 ? 1 : 0;
}

void console_choose_by_acpi(void)
{
	const struct acpi_spcr *spcr = &acpi_info.spcr;

	if (chosen)
		return;
	if (!spcr->found)
		boot_refuse("console=acpi: the firmware has no table SPCR; name the port, or take com1 or none");
	if (spcr->type != SPCR_16550 && spcr->type != SPCR_16450 && spcr->type != SPCR_16550_WIDE)
		boot_refuse("console=acpi: the table SPCR names a serial port of type %u, which is no 16550",
			    spcr->type);
	if (spcr->is_pci && (spcr->pci_segment || pci_read32(spcr->pci_address) != spcr->pci_id))
		boot_refuse("console=acpi: the PCI device of the table SPCR is not there");
	if (!spcr->at.addr && spcr->is_pci)
		use_pci(spcr->pci_address);
	else if (spcr->at.space == ACPI_IO)
		use_port(spcr->at.addr);
	else if (spcr->at.space == ACPI_MEMORY && stride_of(spcr))
		use_memory(spcr->at.addr, stride_of(spcr));
	else
		boot_refuse("console=acpi: registers in space %u of %u bits, access %u, are not known", spcr->at.space,
			    spcr->width, spcr->access);
}
