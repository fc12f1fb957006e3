/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor tables of each CPU, the one handler behind all vectors, and trips to CPL 3. The handler knows three kinds
 * of exception: one that CPL 3 raised (back to user_enter()'s caller), one that the program expects (on at the fixup),
 * and any other, which ends the program with a report. Interrupts are counted per CPU and acknowledged.
 */
#include "guest.h"

u64 idt[512] __attribute__((aligned(16)));
void (*volatile irq_hook)(struct trap_frame *frame);

extern const u64 boot_gdt[];
extern const u8 trap_stubs[], user_return[];
void user_enter(u64 rip, u64 rsp, u64 cs);
void trap_handler(struct trap_frame *f);

_Static_assert(offsetof(struct cpu, fixup) == CPU_FIXUP, "layout.h");
_Static_assert(offsetof(struct cpu, user_return_rsp) == CPU_USER_RETURN_RSP, "layout.h");

struct table_pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));

static void fill_idt(void)
{
	for (u32 vector = 0; vector < 256; vector++) {
		u64 at = (u64)trap_stubs + vector * 16;
		u64 type = vector == VEC_USER_DONE || vector == VEC_BP ? 0xee : 0x8e;	/* gates that CPL 3 may use */

		idt[vector * 2] = (at & 0xffff) | SEL_CODE64 << 16 | type << 40 | (at >> 16 & 0xffff) << 48;
		idt[vector * 2 + 1] = at >> 32;
	}
}

void cpu_fill(struct cpu *cpu, u64 trap_stack_top)
{
	u64 tss = (u64)cpu->tss;

	cpu->self = cpu;
	copy_bytes(cpu->gdt, boot_gdt, 9 * 8);
	cpu->gdt[SEL_TSS / 8] = (sizeof(cpu->tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 |
				(tss >> 24 & 0xff) << 56;
	cpu->gdt[SEL_TSS / 8 + 1] = tss >> 32;
	cpu->tss[1] = (u32)trap_stack_top;		/* RSP0 */
	cpu->tss[2] = (u32)(trap_stack_top >> 32);
	cpu->tss[25] = sizeof(cpu->tss) << 16;		/* no I/O bitmap */
}

void cpu_init(struct cpu *cpu, u64 trap_stack_top)
{
	struct table_pointer gdtr = { sizeof(cpu->gdt) - 1, (u64)cpu->gdt };
	struct table_pointer idtr = { sizeof(idt) - 1, (u64)idt };

	if (!idt[0])
		fill_idt();
	cpu_fill(cpu, trap_stack_top);
	wrmsr(0xc0000101, (u64)cpu);			/* IA32_GS_BASE */
	asm volatile("lgdt %0; lidt %1; ltr %w2" :: "m"(gdtr), "m"(idtr), "r"(SEL_TSS) : "memory");
}

static void record_fault(struct cpu *cpu, const struct trap_frame *f)
{
	cpu->fault = (struct fault){ (u32)f->vector, (u32)f->error, f->rip, f->vector == VEC_PF ? read_cr2() : 0,
				      f->rflags };
}

static void leave_user(struct cpu *cpu, struct trap_frame *f)
{
	f->rip = (u64)user_return;
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rsp = cpu->user_return_rsp;
	f->rflags = 2;
}

static void count_interrupt(struct cpu *cpu, struct trap_frame *f)
{
	cpu->irq_count[f->vector]++;
	if (irq_hook)
		irq_hook(f);
	if (f->vector >= 32 && f->vector != VEC_SPURIOUS)
		lapic_write(LAPIC_EOI, 0);
}

void trap_handler(struct trap_frame *f)
{
	struct cpu *cpu = this_cpu();

	if (f->vector == VEC_USER_DONE && (f->cs & 3)) {
		cpu->fault.vector = NO_FAULT;
		leave_user(cpu, f);
	} else if (f->vector >= 32 || f->vector == VEC_NMI) {
		count_interrupt(cpu, f);
	} else if (f->cs & 3) {
		record_fault(cpu, f);
		leave_user(cpu, f);
	} else if (cpu->fixup) {
		record_fault(cpu, f);
		f->rip = cpu->fixup;
		f->rflags &= ~0x100ull;		/* an expected single step is one step */
		cpu->fixup = 0;
	} else {
		fail("cpu %u: unexpected %s error 0x%lx rip 0x%lx cr2 0x%lx rsp 0x%lx", cpu->index,
		     vector_name((u32)f->vector), f->error, f->rip, read_cr2(), f->rsp);
	}
}

struct fault user_run(void (*code)(void))
{
	static u8 *stacks[MAX_CPUS];
	struct cpu *cpu = this_cpu();

	if (!stacks[cpu->index])
		stacks[cpu->index] = page_alloc();
	fault_reset();
	user_enter((u64)code, (u64)stacks[cpu->index] + PAGE_SIZE - 8, SEL_USER_CODE64);
	return cpu->fault;
}

struct fault user_run32(const void *code, u32 stack_top)
{
	fault_reset();
	user_enter((u64)code, stack_top, SEL_USER_CODE32);
	return this_cpu()->fault;
}
