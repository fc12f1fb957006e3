/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other CPUs: found in the ACPI MADT, started by INIT-SIPI-SIPI, then waiting for work in HLT. Work is posted by
 * one CPU at a time into the target's mailbox (struct cpu, work and work_arg) and a wake interrupt follows; the target
 * clears `work` when it is done. The local APIC is reached by plain 32-bit MOVs only, as most operating systems do.
 */
#include "guest.h"

#define LAPIC_BASE 0xfee00000ul

struct cpu cpus[MAX_CPUS];
u32 cpu_count = 1;
volatile u32 ap_start_stack;
void (*volatile ap_hook)(void);

static volatile u32 ap_start_index;
extern const u8 ap_trampoline[], ap_trampoline_end[];
void ap_start(void);

u32 lapic_read(u32 reg)
{
	u32 value;

	asm volatile("movl (%1), %0" : "=r"(value) : "r"(LAPIC_BASE + reg) : "memory");
	return value;
}

void lapic_write(u32 reg, u32 value)
{
	asm volatile("movl %0, (%1)" :: "r"(value), "r"(LAPIC_BASE + reg) : "memory");
}

void lapic_enable(void)
{
	lapic_write(LAPIC_SVR, 0x100 | VEC_SPURIOUS);
	lapic_write(LAPIC_TPR, 0);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb);	/* by 1 */
}

void lapic_icr(u32 apic_id, u32 low)
{
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR, low);
	while (lapic_read(LAPIC_ICR) & ICR_PENDING)
		pause();
}

void send_nmi(u32 index) { lapic_icr(cpus[index].apic_id, ICR_NMI | ICR_ASSERT); }
void send_ipi(u32 index, u8 vector) { lapic_icr(cpus[index].apic_id, ICR_FIXED | ICR_ASSERT | vector); }

void timer_arm(u32 count)
{
	lapic_write(LAPIC_LVT_TIMER, VEC_TIMER);
	lapic_write(LAPIC_TIMER_INITIAL, count);
}

static bool is_sum_zero(const u8 *at, size_t size)
{
	u8 sum = 0;

	while (size--)
		sum += *at++;
	return sum == 0;
}

static const u8 *find_rsdp(void)
{
	for (const u8 *at = (const u8 *)0xe0000; at < (const u8 *)0x100000; at += 16)
		if (*(const u64 *)at == 0x2052545020445352ull && is_sum_zero(at, 20))	/* "RSD PTR " */
			return at;
	return NULL;
}

static const u8 *find_table(u32 signature)
{
	const u8 *rsdp = find_rsdp();
	const u8 *rsdt;

	if (!rsdp)
		return NULL;
	rsdt = (const u8 *)(u64) * (const u32 *)(rsdp + 16);
	for (u32 at = 36; at < *(const u32 *)(rsdt + 4); at += 4) {
		const u8 *table = (const u8 *)(u64) * (const u32 *)(rsdt + at);

		if (*(const u32 *)table == signature)
			return table;
	}
	return NULL;
}

void smp_discover(void)
{
	const u8 *madt = find_table(0x43495041);	/* "APIC" */
	u32 own = lapic_read(LAPIC_ID) >> 24;

	cpus[0].apic_id = own;
	if (!madt)
		return;
	for (const u8 *e = madt + 44; e < madt + *(const u32 *)(madt + 4); e += e[1]) {
		if (e[0] != 0 || !(e[4] & 1) || e[3] == own || cpu_count == MAX_CPUS)	/* enabled local APICs */
			continue;
		cpus[cpu_count].apic_id = e[3];
		cpus[cpu_count].index = cpu_count;
		cpu_count++;
	}
}

/* A started CPU arrives here from entry.S. */
void ap_start(void)
{
	struct cpu *cpu = &cpus[ap_start_index];

	cpu_init(cpu, ap_start_stack - 2 * PAGE_SIZE);
	if (ap_hook)
		ap_hook();
	lapic_enable();
	cpu->online = true;
	for (;;) {
		if (cpu->work) {
			cpu->work(cpu->work_arg);
			__atomic_store_n(&cpu->work, NULL, __ATOMIC_RELEASE);
		}
		irq_off();
		if (!cpu->work)
			sti_hlt_cli();
	}
}

static void delay(u64 ticks)
{
	for (u64 start = rdtsc(); rdtsc() - start < ticks;)
		pause();
}

bool smp_start_one(u32 index)
{
	struct cpu *cpu = &cpus[index];

	copy_bytes((void *)AP_TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	ap_start_index = index;
	ap_start_stack = (u32)((u64)page_alloc_many(4, PAGE_SIZE) + 4 * PAGE_SIZE);	/* the lowest page: traps */
	cpu->online = false;
	cpu->work = NULL;
	lapic_icr(cpu->apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	lapic_icr(cpu->apic_id, ICR_INIT | ICR_LEVEL);
	delay(10000);
	for (int i = 0; i < 2; i++) {
		lapic_icr(cpu->apic_id, ICR_SIPI | ICR_ASSERT | AP_TRAMPOLINE >> 12);
		for (u64 start = rdtsc(); !cpu->online && rdtsc() - start < 200000;)
			pause();
	}
	for (u64 start = rdtsc(); !cpu->online && rdtsc() - start < 100000000;)
		pause();
	return cpu->online;
}

void smp_start(void)
{
	for (u32 i = 1; i < cpu_count; i++)
		if (!smp_start_one(i))
			fail("cpu %u does not start", i);
}

void smp_run(u32 index, void (*work)(void *), void *arg)
{
	cpus[index].work_arg = arg;
	__atomic_store_n(&cpus[index].work, work, __ATOMIC_RELEASE);
	send_ipi(index, VEC_WAKE);
}

void smp_wait(u32 index)
{
	while (cpus[index].work)
		pause();
}
