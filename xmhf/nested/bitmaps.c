/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSR and I/O bitmaps of L1. Nothing of them is copied into VMCS02: its own bitmaps are all ones, L1's are looked at
 * when an exit comes, and a bit that nobody asks for is opened then, so that the next access of L2 does not exit.
 * Before each entry the open bits are compared with L1's bitmap again. L1's page is read as it is at that moment, like
 * hardware does.
 */
#include "cpu/x86.h"
#include "events/events.h"
#include "nested/state.h"
#include "vmx/io.h"
#include "vmx/msr.h"
#include "vmx/msr_policy.h"
#include "vmx/vmx.h"

static bool bit_of(const u8 *bitmap, u32 bit)
{
	return bitmap[bit / 8] >> (bit % 8) & 1;
}

static void open_bit(struct open_bits *open, u32 bit)
{
	if (open->count == OPEN_MAX)
		nested_close_all(open);
	open->bit[open->count++] = (u16)bit;
	open->bitmap[bit / 8] &= (u8)~BIT(bit % 8);
}

static void close_bit(struct open_bits *open, u32 i)
{
	u32 bit = open->bit[i];

	open->bitmap[bit / 8] |= (u8)BIT(bit % 8);
	open->bit[i] = open->bit[--open->count];
}

void nested_close_all(struct open_bits *open)
{
	while (open->count)
		close_bit(open, 0);
}

void nested_close_ports(struct percpu *cpu)
{
	if (cpu->nested)
		nested_close_all(&cpu->nested->ports);
}

/* L1's page for a bit of the I/O bitmaps: A has the ports below 0x8000, B the others. */
static bool l1_io_bit(const struct nested_cpu *n, u32 port)
{
	const u8 *bitmap = n->current->io_bitmap12[port >> 15];

	return !bitmap || bit_of(bitmap, port & 0x7fff);
}

#define NO_BIT (~0u)

/* NO_BIT: beyond the bitmaps, always exits. */
static u32 msr_bit(u32 msr, bool write)
{
	return msr_in_bitmap(msr) ? msr_place(msr, write) : NO_BIT;
}

static bool l1_wants_msr(const struct nested_cpu *n, u32 bit)
{
	const u8 *bitmap = n->current->msr_bitmap12;

	return bit == NO_BIT || !bitmap || bit_of(bitmap, bit);
}

void nested_recheck_open(struct nested_cpu *n)
{
	for (u32 i = n->msrs.count; i-- > 0;)
		if (l1_wants_msr(n, n->msrs.bit[i]))
			close_bit(&n->msrs, i);
	for (u32 i = n->ports.count; i-- > 0;)
		if (l1_io_bit(n, n->ports.bit[i]))
			close_bit(&n->ports, i);
}

/* What L1 lets through, so do we, unless L1 itself may not touch it. */
void nested_msr_exit(struct percpu *cpu)
{
	struct hypapi_msr_args msr = msr_args(cpu);
	u32 bit = msr_bit(msr.msr, msr.write);
	enum taken answer = event_msr(cpu, &msr);

	if (answer == TAKEN)
		return;
	if (answer == ANSWERED)
		msr_perform(cpu, &msr, true);
	else if (l1_wants_msr(cpu->nested, bit))
		nested_reflect_hardware(cpu, cpu->exit_reason);
	else if (bit_of(vmx_msr_bitmap_l2, bit))
		msr_perform(cpu, &msr, false);
	else
		open_bit(&cpu->nested->msrs, bit);
}

struct io_access {
	u32 port, size;
};

static struct io_access io_access(void)
{
	u64 qualification = vmread(VMCS_EXIT_QUALIFICATION);

	return (struct io_access){ qualification >> 16 & 0xffff, (qualification & 7) + 1 };
}

/* An access that wraps around port 0xffff exits whatever the bitmaps say. */
static bool l1_wants_io(const struct nested_cpu *n, struct io_access io)
{
	u32 proc = n->current->vmcs12.proc_ctls;

	if (!(proc & PROC_IO_BITMAPS))
		return proc & PROC_UNCOND_IO_EXITING;
	if (io.port + io.size > 0x10000)
		return true;
	for (u32 i = 0; i < io.size; i++)
		if (l1_io_bit(n, io.port + i))
			return true;
	return false;
}

/* Neither a hypapp nor L1 wants it. */
static void let_through(struct percpu *cpu, struct io_access io)
{
	bool ours = cpu->guard & GUARD_LOG;

	for (u32 i = 0; i < io.size; i++)
		ours |= bit_of(vmx_io_bitmaps_l2, (io.port + i) & 0xffff);
	if (ours || !(vmcs12_of(cpu)->proc_ctls & PROC_IO_BITMAPS)) {
		exit_io(cpu);
		return;
	}
	cpu->guard |= GUARD_LOG; /* VMCS02 may have been left with every port closed, see vmx/log_wait.h */
	if (cpu->nested->ports.count + io.size > OPEN_MAX)
		nested_close_all(&cpu->nested->ports);
	for (u32 i = 0; i < io.size; i++)
		if (bit_of(cpu->nested->ports.bitmap, io.port + i))
			open_bit(&cpu->nested->ports, io.port + i);
}

/*
 * Hypapps that claim a port are asked before L1. The memory operand is fetched for them; that it faults matters only if
 * the exit is not L1's, which comes before the fault.
 */
void nested_io_exit(struct percpu *cpu)
{
	struct io_access access = io_access();
	enum taken answer = NOT_TAKEN;
	struct io io;
	bool claimed = event_claims_port(cpu, access.port, access.size);

	if (claimed)
		answer = io_offer(cpu, &io);
	if (answer == ANSWERED)
		io_complete(cpu, &io);
	else if (answer == NOT_TAKEN && l1_wants_io(cpu->nested, access))
		nested_reflect_hardware(cpu, EXIT_IO);
	else if (answer == NOT_TAKEN && claimed)
		io_perform(cpu, &io);
	else if (answer == NOT_TAKEN)
		let_through(cpu, access);
}
