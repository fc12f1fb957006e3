/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An intercepted IN, OUT, INS or OUTS is carried out for the guest, one element an exit for the string forms (the
 * instruction stays where it is until its count is used up), after the power module has seen what is written.
 */
#include "vmx/io.h"

#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/guest.h"
#include "vmx/power.h"

/* Exit qualification for I/O instructions */
#define IO_SIZE(q) ((unsigned int)((q) & 7) + 1)
#define IO_IN BIT(3)
#define IO_STRING BIT(4)
#define IO_REP BIT(5)
#define IO_PORT(q) ((u16)((q) >> 16))

/* Instruction information of INS and OUTS */
#define ADDRESS_SIZE(info) ((info) >> 7 & 7)

static u32 port_read(u16 port, unsigned int size)
{
	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

static void port_write(struct percpu *cpu, u16 port, unsigned int size, u32 value)
{
	if (power_port_write(cpu, port, size, value))
		return;
	if (size == 1)
		outb(port, (u8)value);
	else if (size == 2)
		outw(port, (u16)value);
	else
		outl(port, value);
}

static u64 address_mask(void)
{
	static const u64 masks[] = { 0xffff, 0xffffffff, ~0ull };

	return masks[MIN(ADDRESS_SIZE(vmread(VMCS_EXIT_INSN_INFO)), 2u)];
}

static void add_masked(u64 *reg, u64 mask, u64 delta)
{
	u64 sum = (*reg + delta) & mask;

	*reg = mask == 0xffff ? (*reg & ~mask) | sum : sum;
}

/* One element of INS or OUTS; the linear address comes with the exit. True: the instruction is complete. */
static bool string_step(struct percpu *cpu, u64 qualification)
{
	unsigned int size = IO_SIZE(qualification);
	gva_t at = GVA(vmread(VMCS_GUEST_LINEAR_ADDR));
	u64 mask = address_mask(), step = vmread(VMCS_GUEST_RFLAGS) & BIT(10) ? -(u64)size : size;
	bool in = qualification & IO_IN;
	struct guest_fault fault;
	u32 value = 0;

	if ((qualification & IO_REP) && !(cpu->gpr[GPR_RCX] & mask))
		return true;
	if (in)
		value = port_read(IO_PORT(qualification), size);
	enum guest_access_result result = in ? guest_write(cpu, at, &value, size, &fault) : guest_read(cpu, &value, at, size, &fault);

	if (result != GUEST_OK) {
		if (result == GUEST_PAGE_FAULT)
			vmx_raise(cpu, VEC_PF, fault.error_code, fault.gva);
		else
			vmx_raise(cpu, VEC_GP, 0, GVA(0));
		return false;
	}
	if (!in)
		port_write(cpu, IO_PORT(qualification), size, value);
	add_masked(&cpu->gpr[in ? GPR_RDI : GPR_RSI], mask, step);
	if (!(qualification & IO_REP))
		return true;
	add_masked(&cpu->gpr[GPR_RCX], mask, ~0ull);
	return !(cpu->gpr[GPR_RCX] & mask);
}

void exit_io(struct percpu *cpu)
{
	u64 qualification = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned int size = IO_SIZE(qualification);
	u64 mask = size == 4 ? 0xffffffff : BIT(8 * size) - 1;

	if (qualification & IO_STRING) {
		if (string_step(cpu, qualification))
			vmx_skip_instruction();
		return;
	}
	if (qualification & IO_IN) {
		u64 value = port_read(IO_PORT(qualification), size);

		cpu->gpr[GPR_RAX] = size == 4 ? value : (cpu->gpr[GPR_RAX] & ~mask) | value;
	} else {
		port_write(cpu, IO_PORT(qualification), size, (u32)(cpu->gpr[GPR_RAX] & mask));
	}
	vmx_skip_instruction();
}
