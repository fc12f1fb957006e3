/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes a CPU's structure and its stacks, and loads what lets C code and NMIs run on it: GDT, IDT, TSS, GS base. NMIs
 * and exceptions have stacks of their own, so that an overflow of the main stack can be reported.
 */
#include "cpu/percpu.h"

#include "cpu/fpu.h"
#include "cpu/speculation.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "mem/pages.h"
#include "mem/root_map.h"
#include "report/log_output.h"

u32 cpu_count;
struct percpu *cpus[MAX_CPUS];

static bool gs_is_loaded; /* of the boot CPU; the others have it before they take a lock */

void percpu_locks_add(int n)
{
	if (gs_is_loaded)
		this_cpu()->locks_held += (u32)n;
}

static void fill_gdt(struct percpu *cpu)
{
	u64 tss = (u64)cpu->tss;

	cpu->gdt[SEL_CODE / 8] = 0x00af9b000000ffff;
	cpu->gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
	cpu->gdt[SEL_TSS / 8] = tss_descriptor(tss, sizeof(cpu->tss) - 1);
	cpu->gdt[SEL_TSS / 8 + 1] = tss >> 32;
}

static void set_ist(struct percpu *cpu, unsigned int ist, u64 top)
{
	u32 *at = &cpu->tss[9 + 2 * (ist - 1)]; /* SDM vol. 3, "64-Bit TSS Format" */

	at[0] = (u32)top;
	at[1] = (u32)(top >> 32);
}

struct percpu *percpu_create(u32 apic_id)
{
	struct percpu *cpu = pages_boot_alloc(ALIGN_UP(sizeof(*cpu), PAGE_SIZE) / PAGE_SIZE);

	cpu->self = cpu;
	cpu->world = &cpu->l1;
	cpu->index = cpu_count;
	cpu->apic_id = apic_id;
	cpu->log = (struct log_ring *)log_ring_of(0, cpu->index);
	cpu->stack_top = root_map_stack(cpu->index, ROOT_STACK_MAIN);
	set_ist(cpu, IST_NMI, root_map_stack(cpu->index, ROOT_STACK_NMI));
	set_ist(cpu, IST_FAULT, root_map_stack(cpu->index, ROOT_STACK_FAULT));
	cpus[cpu_count++] = cpu;
	return cpu;
}

void percpu_load_tables(struct percpu *cpu)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) gdtr = { sizeof(cpu->gdt) - 1, (u64)cpu->gdt };

	fill_gdt(cpu);
	asm volatile("lgdt %0" : : "m"(gdtr));
	asm volatile("push %0; lea 1f(%%rip), %%rax; push %%rax; lretq; 1:" : : "i"(SEL_CODE) : "rax", "memory");
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" : : "r"(SEL_DATA));
	asm volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
	asm volatile("ltr %w0" : : "r"(SEL_TSS));
	wrmsr(MSR_GS_BASE, (u64)cpu);
	traps_load();
}

void percpu_load(struct percpu *cpu)
{
	percpu_load_tables(cpu);
	speculation_cpu_init(cpu);
	fpu_cpu_init();
	gs_is_loaded = true;
}
