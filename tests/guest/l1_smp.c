/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several CPUs without VMX: start by INIT-SIPI-SIPI, the state a started CPU begins with, restarts out of every state,
 * NMIs and IPIs from one to another with none lost and none added. Runs with any number of CPUs from two on.
 */
#include "test.h"

static volatile u32 progress;	/* counted up by the CPU under test */
static volatile bool stop;

static void wait_ticks(u64 count)
{
	for (u64 start = rdtsc(); rdtsc() - start < count;)
		pause();
}

/* Waits until *counter reaches `value`; false after a long time. */
static bool wait_for(const volatile u32 *counter, u32 value)
{
	for (u64 start = rdtsc(); *counter < value;) {
		if (rdtsc() - start > 50000000)
			return false;
		pause();
	}
	return true;
}

static void first_state(void)
{
	const volatile u32 *state = (const volatile u32 *)AP_FIRST_STATE;

	print("T a started CPU: CR0 %x CS %x FLAGS %x\n", state[0], state[2] & 0xffff, state[2] >> 16);
	print("its EDX %x\n", state[1]);
}

/* ---- what CPU 1 does while it is under test ---- */

static void count_up(void *unused)
{
	(void)unused;
	for (;;) {
		progress++;
		pause();
	}
}

static void count_up_open(void *unused)
{
	irq_on();
	count_up(unused);
}

static void halt_closed(void *unused)
{
	(void)unused;
	irq_off();
	for (;;) {
		progress++;
		halt();
	}
}

static void spin_until_stop(void *unused)
{
	(void)unused;
	while (!stop)
		pause();
}

static void emulated_until_stop(void *unused)
{
	(void)unused;
	while (!stop)
		cpuid(0, 0);
}

static void halt_until_stop(void *unused)
{
	(void)unused;
	while (!stop)
		halt();		/* only NMIs wake it */
}

/* ---- NMIs and IPIs ---- */

static void nmis_to(const char *what, void (*work)(void *), u32 rounds)
{
	volatile u32 *count = &cpus[1].irq_count[VEC_NMI];
	u32 before = *count, lost = 0;

	stop = false;
	smp_run(1, work, NULL);
	wait_ticks(20000);
	for (u32 i = 0; i < rounds && !lost; i++) {
		send_nmi(1);
		lost += !wait_for(count, before + i + 1);
	}
	stop = true;
	if (work == halt_until_stop)
		send_nmi(1);	/* out of its last HLT; not counted, it may come too late */
	smp_wait(1);
	print("T %s: %u lost\n", what, lost);
}

static void echo_ipi(struct trap_frame *f)
{
	if (f->vector == VEC_IPI && this_cpu()->index == 1)
		send_ipi(0, VEC_TEST);
}

static void ipis(void)
{
	volatile u32 *count = &cpus[0].irq_count[VEC_TEST];
	u32 before = *count, lost = 0;

	irq_hook = echo_ipi;
	for (u32 i = 0; i < 100 && !lost; i++) {
		send_ipi(1, VEC_IPI);	/* CPU 1 is idle in HLT */
		irq_on();
		lost += !wait_for(count, before + i + 1);
		irq_off();
	}
	irq_hook = NULL;
	print("T IPIs and echoes: %u, %u lost\n", *count - before, lost);
}

/* Both CPUs send NMIs to each other at the same time, each waiting for its own to have arrived. */
static u32 send_many(u32 to, u32 rounds)
{
	volatile u32 *count = &cpus[to].irq_count[VEC_NMI];
	u32 before = *count;

	for (u32 i = 0; i < rounds; i++) {
		send_nmi(to);
		if (!wait_for(count, before + i + 1))
			return i;
	}
	return rounds;
}

static void send_back(void *result) { *(u32 *)result = send_many(0, 100); }

static void nmis_both_ways(void)
{
	static u32 back;
	u32 there;

	smp_run(1, send_back, &back);
	there = send_many(1, 100);
	smp_wait(1);
	print("T NMIs both ways: %u and %u of 100\n", there, back);
}

static void broadcasts(void)
{
	u32 wrong = 0;

	for (u32 round = 0; round < 10; round++) {
		u32 before[MAX_CPUS];

		for (u32 i = 0; i < cpu_count; i++)
			before[i] = cpus[i].irq_count[VEC_NMI];
		lapic_write(LAPIC_ICR, ICR_OTHERS | ICR_NMI | ICR_ASSERT);
		for (u32 i = 1; i < cpu_count; i++)
			wrong += !wait_for(&cpus[i].irq_count[VEC_NMI], before[i] + 1);
		wait_ticks(20000);
		for (u32 i = 0; i < cpu_count; i++)
			wrong += cpus[i].irq_count[VEC_NMI] != before[i] + (i != 0);
	}
	print("T NMI broadcasts: wrong %u\n", wrong);
}

/* ---- INIT and SIPI ---- */

static void restart(const char *what, void (*work)(void *))
{
	u32 wrong = 0;

	for (u32 round = 0; round < 5; round++) {
		u32 seen;

		progress = 0;
		smp_run(1, work, NULL);
		wrong += !wait_for(&progress, 1);
		lapic_icr(cpus[1].apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
		lapic_icr(cpus[1].apic_id, ICR_INIT | ICR_LEVEL);
		wait_ticks(100000);
		seen = progress;
		wait_ticks(100000);
		wrong += progress != seen;	/* it must not run between INIT and SIPI */
		wrong += !smp_start_one(1);
		wrong += this_cpu()->index != 0;
	}
	print("T restart %s: wrong %u\n", what, wrong);
}

static void init_in_nmi_handler(struct trap_frame *f)
{
	if (f->vector == VEC_NMI && this_cpu()->index == 1)
		count_up(NULL);
}

/* INIT ends the blocking of NMIs. */
static void restart_in_nmi(void)
{
	u32 before;

	progress = 0;
	irq_hook = init_in_nmi_handler;
	send_nmi(1);
	t_check("CPU 1 sits in its NMI handler", wait_for(&progress, 1));
	irq_hook = NULL;
	t_check("it starts again", smp_start_one(1));
	before = cpus[1].irq_count[VEC_NMI];
	send_nmi(1);
	t_check("and takes NMIs", wait_for(&cpus[1].irq_count[VEC_NMI], before + 1));
}

/* What CPU 1 leaves in its local APIC: an interrupt in service, a timer that runs, all else not as INIT leaves it. */
static const struct { u32 reg, value; } apic_before[] = {
	{ 0x80, 0x50 }, { 0xd0, 0x04000000 }, { 0xe0, 0x0fffffff }, { 0xf0, 0x1ef }, { 0x310, 0x07000000 },
	{ 0x320, 0x20041 }, { 0x330, 0x10042 }, { 0x340, 0x10043 }, { 0x350, 0x10044 }, { 0x360, 0x10045 },
	{ 0x370, 0x46 }, { 0x3e0, 0x3 }, { 0x380, 0x4000000 },
};
static u32 apic_after[ARRAY_SIZE(apic_before)], in_service_after;

static void leave_apic_so(struct trap_frame *f)
{
	if (f->vector != VEC_WAKE || this_cpu()->index != 1)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(apic_before); i++)
		lapic_write(apic_before[i].reg, apic_before[i].value);
	count_up(NULL);
}

static void look_at_apic(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(apic_before); i++)
		apic_after[i] = lapic_read(apic_before[i].reg);
	in_service_after = 0;
	for (u32 reg = 0x100; reg < 0x180; reg += 16)
		in_service_after |= lapic_read(reg);
}

static void apic_after_init(void)
{
	progress = 0;
	irq_hook = leave_apic_so;
	ap_hook = look_at_apic;
	send_ipi(1, VEC_WAKE);
	t_check("CPU 1 has an interrupt in service", wait_for(&progress, 1));
	irq_hook = NULL;
	t_check("it starts again", smp_start_one(1));
	ap_hook = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(apic_before); i++)
		print("T APIC register %x after INIT: %x\n", apic_before[i].reg, apic_after[i]);
	print("T in service after INIT: %x\n", in_service_after);
}

static void needless_sipi(void)
{
	u32 seen;

	progress = 0;
	smp_run(1, count_up, NULL);
	wait_for(&progress, 1);
	cpus[1].online = false;
	lapic_icr(cpus[1].apic_id, ICR_SIPI | ICR_ASSERT | AP_TRAMPOLINE >> 12);
	seen = progress;
	t_check("SIPI to a running CPU does nothing", wait_for(&progress, seen + 1000) && !cpus[1].online);
	t_check("INIT twice, SIPI once", (lapic_icr(cpus[1].apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL),
		smp_start_one(1)));
}

/* All others by shorthand: only one CPU at a time fits the trampoline, so two CPUs in all. */
static void restart_by_shorthand(void)
{
	if (cpu_count != 2)
		return;
	lapic_write(LAPIC_ICR, ICR_OTHERS | ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	wait_ticks(50000);
	cpus[1].online = false;
	cpus[1].work = NULL;
	lapic_write(LAPIC_ICR, ICR_OTHERS | ICR_SIPI | ICR_ASSERT | AP_TRAMPOLINE >> 12);
	for (u64 start = rdtsc(); !cpus[1].online && rdtsc() - start < 50000000;)
		pause();
	t_check("restart by shorthand", cpus[1].online);
}

/* ---- each CPU has its own registers and MSRs ---- */

static void set_own(void *value)
{
	wrmsr(0xc0000103, (u64)value);
	wrmsr(0x176, (u64)value * 3);
	asm volatile("movq %0, %%dr0" :: "r"(value));
}

static void check_own(void *value)
{
	u64 dr0;

	asm volatile("movq %%dr0, %0" : "=r"(dr0));
	progress += rdmsr(0xc0000103) != (u64)value || rdmsr(0x176) != (u64)value * 3 || dr0 != (u64)value;
}

static void own_state(void)
{
	progress = 0;
	set_own((void *)100);
	for (u32 i = 1; i < cpu_count; i++) {
		smp_run(i, set_own, (void *)(u64)(100 + i));
		smp_wait(i);
	}
	check_own((void *)100);
	for (u32 i = 1; i < cpu_count; i++) {
		smp_run(i, check_own, (void *)(u64)(100 + i));
		smp_wait(i);
	}
	print("T CPUs that lost their own registers: %u\n", progress);
}

DEFINE_TEST(l1_smp, "l1-smp", "several CPUs: start, restart, NMIs and IPIs")
{
	print("T %u CPUs\n", cpu_count);
	smp_start();
	print("T all started\n");
	if (cpu_count == 1)
		return;
	first_state();
	own_state();
	nmis_to("spinning", spin_until_stop, 50);
	nmis_to("emulated instructions", emulated_until_stop, 50);
	nmis_to("halted", halt_until_stop, 50);
	ipis();
	nmis_both_ways();
	broadcasts();
	restart("while running", count_up);
	restart("while running with interrupts on", count_up_open);
	restart("in HLT", halt_closed);
	restart_in_nmi();
	apic_after_init();
	needless_sipi();
	restart_by_shorthand();
	first_state();
}
