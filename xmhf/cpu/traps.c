/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Root-mode IDT. The NMI handler writes no VMCS field and takes no lock: it classifies the NMI, leaves a note in this
 * CPU's structure, and moves an interrupted restartable sequence back to its check.
 */
#include "cpu/traps.h"

#include "cpu/percpu.h"
#include "cpu/x86.h"
#include "report/fault.h"
#include "vmx/vmcs.h"

struct gate { u16 offset_low, selector; u8 ist, type; u16 offset_mid; u32 offset_high, zero; };

extern const char trap_stubs[], catch_stubs[], trap_nmi[];
extern const char vmx_enter_check[], vmx_enter_end[], vmx_guarded_check[], vmx_guarded_end[], park_check[], park_end[];

static struct gate idt[32];
/* While an interrupt is caught: any vector may come, those of exceptions too, since the guest chooses them. */
static struct gate catch_idt[256];
const struct { u16 limit; u64 base; } __attribute__((packed)) trap_idtr = { sizeof(idt) - 1, (u64)idt },
	catch_idtr = { sizeof(catch_idt) - 1, (u64)catch_idt };

/* Filled by FAULTS_TO(): instructions that may raise an exception, and where to go on then. */
extern const struct fixup { u64 rip, target; } fixups_start[], fixups_end[];

static void set_gate(struct gate *gate, const char *entry, u8 ist)
{
	u64 addr = (u64)entry;

	*gate = (struct gate){ .offset_low = (u16)addr, .selector = SEL_CODE, .ist = ist, .type = 0x8e,
				     .offset_mid = (u16)(addr >> 16), .offset_high = (u32)(addr >> 32) };
}

void traps_init(void)
{
	for (unsigned int vector = 0; vector < ARRAY_SIZE(idt); vector++)
		set_gate(&idt[vector], trap_stubs + vector * 16, IST_FAULT);
	set_gate(&idt[VEC_NMI], trap_nmi, IST_NMI);
}

void traps_catch_init(void)
{
	for (unsigned int vector = 0; vector < ARRAY_SIZE(catch_idt); vector++)
		set_gate(&catch_idt[vector], catch_stubs + vector * 8, 0);
	catch_idt[VEC_NMI] = idt[VEC_NMI];
}

u64 traps_idt_base(void)
{
	return (u64)idt;
}

void traps_load(void)
{
	asm volatile("lidt %0" : : "m"(trap_idtr));
}

void trap_exception(struct trap_frame *frame)
{
	for (const struct fixup *f = fixups_start; f < fixups_end; f++)
		if (f->rip == frame->rip) {
			frame->rip = f->target;
			return;
		}
	fault_in_root(frame);
}

static void restart(u64 *rip, const char *start, const char *end)
{
	if (*rip >= (u64)start && *rip < (u64)end)
		*rip = (u64)start;
}

void trap_nmi_handler(u64 *rip)
{
	struct percpu *cpu = this_cpu();

	percpu_take_nmi(cpu);
	restart(rip, vmx_enter_check, vmx_enter_end);
	restart(rip, vmx_guarded_check, vmx_guarded_end);
	restart(rip, park_check, park_end);
}

/* The NMI handler sets work; if it ran between the check and HLT it came back to the check. */
void traps_halt(void)
{
	asm volatile(".globl park_check, park_end\n"
		     "park_check: cmpl $0, %%gs:%c0\n"
		     "jne park_end\n"
		     "hlt\n"
		     "park_end:" : : "i"(PERCPU_WORK) : "memory", "cc");
}

#define FAULTS_TO(label)                                                                       \
	".pushsection .fixups, \"a\"\n"                                                 \
	".quad 1b, " label "\n"                                                                \
	".popsection\n"

bool rdmsr_safe(u32 msr, u64 *value)
{
	u32 low = 0, high = 0;
	u8 ok = 0;

	asm volatile("1: rdmsr\n movb $1, %0\n 2:\n" FAULTS_TO("2b")
		     : "+q"(ok), "+a"(low), "+d"(high) : "c"(msr));
	*value = (u64)high << 32 | low;
	return ok;
}

bool wrmsr_safe(u32 msr, u64 value)
{
	u8 ok = 0;

	asm volatile("1: wrmsr\n movb $1, %0\n 2:\n" FAULTS_TO("2b")
		     : "+q"(ok) : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
	return ok;
}

bool xsetbv_safe(u32 index, u64 value)
{
	u8 ok = 0;

	asm volatile("1: xsetbv\n movb $1, %0\n 2:\n" FAULTS_TO("2b")
		     : "+q"(ok) : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
	return ok;
}
