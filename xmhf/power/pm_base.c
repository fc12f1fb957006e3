/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See pm_base.h. Writes of the address port exit anyway, because of the reset port among its bytes. The data port
 * exits only while the address selects a register that moves the base. Invariant: the address port changes between
 * such a register and others only under a stop, in which the intercept of the data port changes with it, so that no
 * other CPU can use the one without the other. A scan of the bus costs nothing more, but two stops for each such
 * register.
 */
#include "power/pm_base.h"

#include "boot/pci.h"
#include "cpu/x86.h"
#include "nested/nested.h"
#include "power/ports.h"
#include "report/log.h"
#include "vmx/vmx.h"

#define DATA_PORTS 4
#define PM1_CNT 4 /* behind the base */

/* Registers: PIIX4, "Power Management Base Address" and "PMREGMISC"; ICH9, "PMBASE" and "ACPI_CNTL". */
static const struct chip {
	const char *name;
	u32 id, id_mask;
	u8 first_device, last_device, function;
	u8 base_reg, enable_reg, enable_bit;
	u16 base_mask;
} chips[] = {
	{ "PIIX4", 0x71138086, 0xffffffff, 0, 31, 3, 0x40, 0x80, 0, 0xffc0 },
	{ "ICH9", 0x29108086, 0xfff0ffff, 31, 31, 0, 0x40, 0x44, 7, 0xff80 },
};

/* All changed under a stop only, but at boot. */
static const struct chip *chip;
static u32 function_address;
static u16 control;
static bool selected;                            /* the address port selects the base, its switch, or a guarded byte */
static u32 guarded[PM_BASE_MAX_GUARDED];         /* addresses with PCI_ENABLE. Constant after boot */
static u32 guarded_count;
static u8 bits_before[2];                        /* of the data ports in L1's and L2's bitmap */

static void read_base(void)
{
	u32 base = pci_read32(function_address | chip->base_reg),
		enable = pci_read32(function_address | chip->enable_reg);
	u16 now = enable >> chip->enable_bit & 1 ? (u16)((base & chip->base_mask) + PM1_CNT) : 0;

	if (now == control)
		return;
	control = now;
	ports_intercept_pm1(now);
	for (u32 i = 0; i < cpu_count; i++)
		nested_close_ports(cpus[i]);
	log_limited(LOG_INFO, "%s: the PM1 control register is at port 0x%x", chip->name, now);
}

static bool find(const struct chip *c)
{
	for (u32 device = c->first_device; device <= c->last_device; device++) {
		u32 address = PCI_ADDRESS(0, device, c->function, 0);

		if ((pci_read32(address) & c->id_mask) != c->id)
			continue;
		chip = c;
		function_address = address;
		return true;
	}
	return false;
}

void pm_base_init(void)
{
	/* The firmware may have left a register of ours selected. Nothing is, until the guest selects. */
	outl(PCI_ADDRESS_PORT, 0);
	for (size_t i = 0; i < ARRAY_SIZE(chips); i++) {
		if (find(&chips[i])) {
			read_base();
			return;
		}
	}
	log_info("chipset not known: a move of the PM base is not seen, and a sleep there raises no event");
}

void pm_base_guard(u32 address)
{
	if (guarded_count == PM_BASE_MAX_GUARDED)
		panic("more than %u bytes of PCI configuration are to be guarded", PM_BASE_MAX_GUARDED);
	guarded[guarded_count++] = address | (u32)PCI_ENABLE;
}

u16 pm_base_control(void)
{
	return control;
}

/* One of these data ports is a guarded byte. */
static bool meets_guarded(u32 address, u16 port, unsigned int size)
{
	for (u32 i = 0; i < guarded_count; i++) {
		u32 byte = PCI_DATA_PORT + (guarded[i] & 3);

		if (!((address ^ guarded[i]) & (PCI_ENABLE | 0x00fffffc)) && port <= byte && byte < port + size)
			return true;
	}
	return false;
}

static bool selects(u32 address)
{
	u32 reg = address & 0xfc;

	if (meets_guarded(address, PCI_DATA_PORT, DATA_PORTS))
		return true;
	return chip && (address & PCI_ENABLE) && (address & 0x00ffff00) == function_address &&
	       (reg == chip->base_reg || reg == chip->enable_reg);
}

/* Chipsets do not have bits 1:0; QEMU keeps them, and by them the first data port would lead to another byte. */
static void write_address(u32 value)
{
	spin_lock(&pci_lock);
	outl(PCI_ADDRESS_PORT, value & ~3u);
	spin_unlock(&pci_lock);
}

/* Intercepts the data ports, or no longer. */
static void set_intercept(bool on)
{
	u8 *const bitmaps[] = { vmx_io_bitmaps, vmx_io_bitmaps_l2 },
		mask = (u8)(BITS(DATA_PORTS - 1, 0) << PCI_DATA_PORT % 8);

	for (size_t i = 0; i < ARRAY_SIZE(bitmaps); i++) {
		u8 *bits = &bitmaps[i][PCI_DATA_PORT / 8];

		if (i && bitmaps[1] == bitmaps[0])
			break;
		if (on)
			bits_before[i] = *bits;
		*bits = on ? *bits | mask : bits_before[i];
	}
	for (u32 i = 0; i < cpu_count; i++)
		nested_close_ports(cpus[i]);
	selected = on;
}

static void guest_selects(struct percpu *cpu, u32 address)
{
	bool now = selects(address);

	if (now == selected) {
		write_address(address);
		return;
	}
	(void)!quiesce_begin(&cpu->quiesce);
	/* Another CPU's stop may have come first, with an address of its own. */
	if (now != selected)
		set_intercept(now);
	write_address(address);
	quiesce_end(&cpu->quiesce);
}

/*
 * The register that is selected may be one of ours; if another CPU has selected one meanwhile, this write is to that.
 */
static void guest_writes(struct percpu *cpu, u16 port, unsigned int size, u32 value)
{
	(void)!quiesce_begin(&cpu->quiesce);
	if (meets_guarded(inl(PCI_ADDRESS_PORT), port, size))
		log_debug("CPU %u: a write of a guarded register of the host bridge is dropped", cpu->index);
	else
		ports_write(port, size, value);
	if (chip)
		read_base();
	quiesce_end(&cpu->quiesce);
}

enum taken pm_base_takes(struct percpu *cpu, u16 port, unsigned int size, u32 value)
{
	if ((!chip && !guarded_count) || !cpu->quiesce.online)
		return NOT_TAKEN;
	if (port == PCI_ADDRESS_PORT && size == 4) {
		guest_selects(cpu, value);
		return TAKEN;
	}
	if (!selected || port + size <= PCI_DATA_PORT || port >= PCI_DATA_PORT + DATA_PORTS)
		return NOT_TAKEN;
	guest_writes(cpu, port, size, value);
	return TAKEN;
}
