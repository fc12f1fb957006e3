/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An intercepted IN, OUT, INS or OUTS is carried out for the guest, one element an exit for the string forms (the
 * instruction stays where it is until its count is used up), after hypapps that claim the port and the power module
 * have seen what is written. Memory is read once: what they saw is what the port gets.
 */
#include "vmx/io.h"

#include "cpu/x86.h"
#include "events/events.h"
#include "mem/guest.h"
#include "nested/nested.h"
#include "power/power.h"
#include "report/serial.h"
#include "vmx/log_wait.h"

/* Exit qualification for I/O instructions */
#define IO_SIZE(q) ((unsigned int)((q) & 7) + 1)
#define IO_IN BIT(3)
#define IO_STRING BIT(4)
#define IO_REP BIT(5)
#define IO_PORT(q) ((u16)((q) >> 16))

static u64 port_read(u16 port, unsigned int size)
{
	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

/*
 * The memory operand of INS or OUTS; the linear address comes with the exit. What would fault, or has to wait for room
 * in L1's log, must not have touched the port: like the CPU it sets the flags first.
 */
static void fetch_string(struct percpu *cpu, struct io *io)
{
	struct hypapi_port_io_args *a = &io->args;

	io->mask = guest_address_mask(vmread(VMCS_EXIT_INSN_INFO));
	a->gva = GVA(vmread(VMCS_GUEST_LINEAR_ADDR));
	a->count = a->rep ? cpu->gpr[GPR_RCX] & io->mask : 1;
	io->result = GUEST_OK;
	if (a->count)
		io->result = guest_begin_access(cpu, a->gva, a->size, a->in ? HYPAPI_W : HYPAPI_R, &io->fault);
	if (a->count && !a->in && io->result == GUEST_OK)
		io->result = guest_read(cpu, &a->value, a->gva, a->size, &io->fault);
}

static void fetch(struct percpu *cpu, struct io *io)
{
	u64 q = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned int size = IO_SIZE(q);

	*io = (struct io){ .args = { .port = IO_PORT(q), .size = (u8)size, .in = q & IO_IN, .string = q & IO_STRING,
				     .rep = q & IO_REP, .count = 1 },
			   .mask = size == 4 ? 0xffffffff : BIT(8 * size) - 1, .result = GUEST_OK };
	if (io->args.string)
		fetch_string(cpu, io);
	else if (!io->args.in)
		io->args.value = cpu->gpr[GPR_RAX] & io->mask;
}

/* The element is done: registers step, and at the last one the instruction is complete. */
static void step_string(struct percpu *cpu, const struct io *io)
{
	u64 step = vmread(VMCS_GUEST_RFLAGS) & BIT(10) ? -(u64)io->args.size : io->args.size;

	if (io->args.count) {
		guest_step_reg(&cpu->gpr[io->args.in ? GPR_RDI : GPR_RSI], io->mask, step);
		if (io->args.rep)
			guest_step_reg(&cpu->gpr[GPR_RCX], io->mask, ~0ull);
	}
	if (io->args.count <= 1)
		vmx_skip_instruction();
}

void io_complete(struct percpu *cpu, struct io *io)
{
	struct hypapi_port_io_args *a = &io->args;

	if (a->string) {
		if (a->in && a->count)
			io->result = guest_write(cpu, a->gva, &a->value, a->size, &io->fault);
		if (io->result == GUEST_OK)
			step_string(cpu, io);
		else
			guest_raise(cpu, io->result, &io->fault);
		return;
	}
	if (a->in)
		cpu->gpr[GPR_RAX] = a->size == 4 ? (u32)a->value :
						   (cpu->gpr[GPR_RAX] & ~io->mask) | (a->value & io->mask);
	vmx_skip_instruction();
}

/* The guest's fault, or L1's exit for L2's access; neither if L1 has mapped the memory since: it comes again. */
static void operand_failed(struct percpu *cpu, struct io *io)
{
	const struct hypapi_port_io_args *a = &io->args;

	if (io->result == GUEST_NOT_OWNED && cpu->world->mode == RUN_L2) {
		if (nested_missed(cpu, a->gva, a->size, a->in ? HYPAPI_W : HYPAPI_R))
			return;
		fetch_string(cpu, io);
	}
	if (io->result != GUEST_OK)
		guest_raise(cpu, io->result, &io->fault);
}

void io_perform(struct percpu *cpu, struct io *io)
{
	struct hypapi_port_io_args *a = &io->args;

	if (io->result != GUEST_OK) {
		operand_failed(cpu, io);
		return;
	}
	if (unlikely(a->port == serial_data_port && !a->in))
		log_wait_for_guest(cpu);
	if (a->in && a->count)
		a->value = port_read(a->port, a->size);
	else if (a->count)
		power_port_write(cpu, a->port, a->size, (u32)a->value);
	io_complete(cpu, io);
}

enum taken io_offer(struct percpu *cpu, struct io *io)
{
	fetch(cpu, io);
	return io->result == GUEST_OK && io->args.count ? event_port_io(cpu, &io->args) : NOT_TAKEN;
}

void exit_io(struct percpu *cpu)
{
	struct io io;
	enum taken answer = io_offer(cpu, &io);

	if (answer == ANSWERED)
		io_complete(cpu, &io);
	else if (answer == NOT_TAKEN)
		io_perform(cpu, &io);
}
