/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX on two CPUs at once: each runs its own L2, VMCSs move from CPU to CPU, EPT12 changes under a running L2, and NMIs
 * and interrupts reach a CPU that runs L2, by exit or by L2's own IDT as its controls say. Nothing is lost or doubled.
 */
#include "test.h"

static struct vcpu vcpus[2];
static volatile u32 counted[2];		/* exits or events that each CPU saw; written by that CPU */
static volatile u32 l2_rounds[2];	/* written by L2 */
static volatile bool stop;

static bool wait_for(const volatile u32 *counter, u32 value)
{
	for (u64 start = rdtsc(); *counter < value;) {
		if (rdtsc() - start > 50000000)
			return false;
		pause();
	}
	return true;
}

static void l2_cpuid_500(void)
{
	for (u32 i = 0; i < 500; i++)
		cpuid(i, 0);
	l2_end();
}

/* Runs its CPU's vcpu to the end, counting CPUID exits and checking their order. */
static void run_to_end(void *which)
{
	u32 n = (u32)(u64)which;
	struct vcpu *v = &vcpus[n];

	counted[n] = 0;
	while (hv_run(v) == VMX_OK && v->exit.reason == EXIT_CPUID) {
		if ((u32)v->regs[RAX] != counted[n])
			fail("cpu %u: CPUID %u out of order", n, (u32)v->regs[RAX]);
		counted[n]++;
		hv_skip(v);
	}
}

static void init_and_run(void *which)
{
	hv_init(&vcpus[(u64)which], HV_LONG64, l2_cpuid_500);
	run_to_end(which);
}

static void vmx_on(void *unused) { (void)unused; hv_on(); }
static void vmx_off(void *unused) { (void)unused; hv_off(); }

static void on_cpu1(void (*work)(void *), u64 argument)
{
	smp_run(1, work, (void *)argument);
	smp_wait(1);
}

static void both_at_once(void)
{
	smp_run(1, init_and_run, (void *)1);
	init_and_run((void *)0);
	smp_wait(1);
	print("T both at once: %u and %u exits\n", counted[0], counted[1]);
}

/* ---- a VMCS that changes its CPU ---- */

static void l2_count(void)
{
	for (u64 i = 1;; i++)
		l2_report(i);
}

static void adopt(void *unused)
{
	struct vcpu *v = &vcpus[0];
	struct cpu *cpu = this_cpu();

	(void)unused;
	if (try_vmptrld(&v->vmcs) != VMX_OK)
		fail("VMPTRLD on another CPU");
	vmwrite(VMCS_HOST_GS_BASE, (u64)cpu);
	vmwrite(VMCS_HOST_TR_BASE, (u64)cpu->tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (u64)cpu->gdt);
	v->launched = 0;
	v->host_rsp = 0;
	print("T moved %lu times\n", vmread(VMCS_GUEST_SYSENTER_EIP));
	vmwrite(VMCS_GUEST_SYSENTER_EIP, vmread(VMCS_GUEST_SYSENTER_EIP) + 1);
	for (u32 i = 0; i < 3; i++) {
		if (hv_run(v) != VMX_OK)
			fail("the VMCS does not run on CPU %u: %u", cpu->index, v->insn_error);
		print("T L2 on CPU %u says %lx\n", cpu->index, v->regs[RAX] & 0xffff);
		hv_skip(v);
	}
	if (try_vmclear(&v->vmcs) != VMX_OK)
		fail("VMCLEAR");
}

static void moving_vmcs(void)
{
	hv_init(&vcpus[0], HV_LONG64, l2_count);
	try_vmclear(&vcpus[0].vmcs);
	for (u32 i = 0; i < 3; i++) {
		adopt(NULL);
		on_cpu1(adopt, 0);
	}
}

/* ---- EPT12 changes while the other CPU runs L2 ---- */

#define WINDOW 0x80000000ull

static struct ept12 ept;
static volatile u64 seen;

static void l2_watch(void)
{
	while (!stop) {
		seen = *(volatile u64 *)WINDOW;
		l2_rounds[1]++;
		pause();
	}
	l2_end();
}

/*
 * Exits on an interrupt, which is how the other CPU asks for the INVEPT; in root it stays pending, since IF is 0 there.
 */
static void run_watch(void *unused)
{
	struct vcpu *v = &vcpus[1];

	(void)unused;
	hv_init(v, HV_LONG64, l2_watch);
	vmwrite(VMCS_EPTP, ept.eptp);
	hv_set(VMCS_PIN_CONTROLS, PIN_INTERRUPT);
	hv_set(VMCS_EXIT_CONTROLS, EXITC_ACK_INTERRUPT);
	hv_set(VMCS_GUEST_RFLAGS, 0x200);
	irq_off();
	for (;;) {
		if (hv_run(v) != VMX_OK || (v->exit.reason != EXIT_INTERRUPT && v->exit.reason != EXIT_VMCALL))
			fail("watching L2: exit %x qualification %lx", v->exit.reason, v->exit.qualification);
		if (v->exit.reason == EXIT_VMCALL)
			return;
		ept_flush(&ept);
		lapic_write(LAPIC_EOI, 0);
		counted[1]++;
	}
}

static void changing_ept(void)
{
	u64 *pages[2] = { page_alloc(), page_alloc() };
	u32 wrong = 0;

	pages[0][0] = 0x1111;
	pages[1][0] = 0x2222;
	ept_init(&ept);
	ept_map_range(&ept, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB);
	ept_map(&ept, WINDOW, (u64)pages[0], EPT_4K, EPT_RWX | EPT_WB);
	stop = false;
	counted[1] = 0;
	l2_rounds[1] = 0;
	smp_run(1, run_watch, NULL);
	wait_for(&l2_rounds[1], 10);
	for (u32 i = 1; i <= 20; i++) {
		ept_map(&ept, WINDOW, (u64)pages[i & 1], EPT_4K, EPT_RWX | EPT_WB);
		send_ipi(1, VEC_TEST);
		wrong += !wait_for(&counted[1], i);
		wrong += !wait_for(&l2_rounds[1], l2_rounds[1] + 3);
		wrong += seen != pages[i & 1][0];
	}
	stop = true;
	smp_wait(1);
	print("T changes of EPT12 under a running L2: %u, wrong %u\n", counted[1], wrong);
}

/* ---- NMIs and interrupts that reach a CPU in L2 ---- */

static void l2_spin(void)
{
	while (!stop) {
		l2_rounds[1]++;
		pause();
	}
	l2_end();
}

static void l2_cpuids(void)
{
	while (!stop) {
		l2_rounds[1]++;
		cpuid(0, 0);
	}
	l2_end();
}

static void l2_halt(void)
{
	while (!stop) {
		l2_rounds[1]++;
		halt();
	}
	l2_end();
}

struct event_case {
	const char *what;
	void (*code)(void);
	u32 pin, exit_controls;
	bool is_nmi;		/* else an interrupt of vector VEC_TEST */
	bool exits;		/* else L2 takes it by its own IDT */
};

static const struct event_case event_cases[] = {
	{ "NMI exiting, L2 spins", l2_spin, PIN_NMI, 0, true, true },
	{ "NMI exiting, L2 exits all the time", l2_cpuids, PIN_NMI, 0, true, true },
	{ "NMI exiting, L2 halts", l2_halt, PIN_NMI, 0, true, true },
	{ "virtual NMIs, L2 spins", l2_spin, PIN_NMI | PIN_VIRTUAL_NMI, 0, true, true },
	{ "no NMI exiting, L2 spins", l2_spin, 0, 0, true, false },
	{ "no NMI exiting, L2 halts", l2_halt, 0, 0, true, false },
	{ "interrupt exiting, L2 spins", l2_spin, PIN_INTERRUPT, EXITC_ACK_INTERRUPT, false, true },
	{ "interrupt exiting without acknowledge", l2_spin, PIN_INTERRUPT, 0, false, true },
	{ "interrupt exiting, L2 halts", l2_halt, PIN_INTERRUPT, EXITC_ACK_INTERRUPT, false, true },
	{ "no interrupt exiting, L2 spins", l2_spin, 0, 0, false, false },
	{ "no interrupt exiting, L2 halts", l2_halt, 0, 0, false, false },
};

/*
 * One exit of the case's event, treated as a hypervisor does: the handler of L1 runs. NMIs are counted there, because
 * one that arrives while its CPU is not in L2 comes to the handler without an exit.
 */
static void take_event(const struct event_case *c, struct vcpu *v)
{
	if (c->is_nmi) {
		if (v->exit.intr_info != (INTR_VALID | INTR_NMI | VEC_NMI))
			fail("%s: interruption information %x", c->what, v->exit.intr_info);
		asm volatile("int $2");		/* its IRET ends the blocking of NMIs, too */
		/* Bochs 2.7 saves the exit's own blocking for L2 where the NMI came in it. */
		hv_clear(VMCS_GUEST_INTERRUPTIBILITY, BLOCK_NMI);
	} else if (c->exit_controls & EXITC_ACK_INTERRUPT) {
		if (v->exit.intr_info != (INTR_VALID | VEC_TEST))
			fail("%s: interruption information %x", c->what, v->exit.intr_info);
		lapic_write(LAPIC_EOI, 0);
	} else {
		irq_window();
	}
	vmwrite(VMCS_GUEST_ACTIVITY, 0);
	counted[1]++;
}

static void run_event_case(void *which)
{
	const struct event_case *c = which;
	struct vcpu *v = &vcpus[1];

	hv_init(v, HV_LONG64, c->code);
	hv_set(VMCS_PIN_CONTROLS, c->pin);
	hv_set(VMCS_EXIT_CONTROLS, c->exit_controls);
	hv_clear(VMCS_CPU_CONTROLS, CPU_HLT);
	hv_set(VMCS_GUEST_RFLAGS, 0x200);
	irq_off();
	for (;;) {
		if (hv_run(v) != VMX_OK)
			fail("%s: entry failed", c->what);
		if (v->exit.reason == EXIT_CPUID)
			hv_skip(v);
		else if (v->exit.reason == EXIT_VMCALL)
			return;
		else if (c->exits && v->exit.reason == (c->is_nmi ? EXIT_EXCEPTION_NMI : EXIT_INTERRUPT))
			take_event(c, v);
		else
			fail("%s: exit %x", c->what, v->exit.reason);
	}
}

static void send_event(const struct event_case *c)
{
	if (c->is_nmi)
		send_nmi(1);
	else
		send_ipi(1, VEC_TEST);
}

static void event_case(const struct event_case *c)
{
	u32 vector = c->is_nmi ? VEC_NMI : VEC_TEST, lost = 0, before, total = 30, more = 0;
	const volatile u32 *counter;

	stop = false;
	counted[1] = l2_rounds[1] = 0;
	/* a fresh VMX session each: the vcpu's counters exist after the first hv_init() */
	on_cpu1(vmx_off, 0);
	on_cpu1(vmx_on, 0);
	counter = !c->exits ? &vcpus[1].cpu->irq_count[vector] : c->is_nmi ? &cpus[1].irq_count[vector] : &counted[1];
	before = *counter;
	smp_run(1, run_event_case, (void *)c);
	wait_for(&l2_rounds[1], 1);
	for (u32 i = 1; i <= total && !lost; i++) {
		for (u32 n = 0; n < 100; n++)
			pause();
		send_event(c);
		lost += !wait_for(counter, before + i);
	}
	stop = true;
	/* out of a last HLT, again where one came between L2's look at `stop` and its HLT; they are not counted */
	for (u64 start = rdtsc(), sent = 0; cpus[1].work && rdtsc() - start < 50000000;) {
		if (rdtsc() - start >= sent * 10000000) {
			send_event(c);
			sent++;
			more++;
		}
		pause();
	}
	print("T %s: %u lost\n", c->what, lost);
	if (*counter - before < total || *counter - before > total + more)
		print("T   events %u of %u\n", *counter - before, total);
	if (cpus[1].work)
		fail("CPU 1 does not come back");
}

/* ---- NMIs while the other CPU runs VMX instructions: none may be lost in the hypervisor below ---- */

static void vmx_instructions(void *unused)
{
	static u64 pointers[2];
	u64 value;

	(void)unused;
	if (!pointers[0]) {
		pointers[0] = hv_vmcs_alloc();
		pointers[1] = hv_vmcs_alloc();
	}
	while (!stop) {
		for (u32 i = 0; i < 2; i++) {
			try_vmclear(&pointers[i]);
			try_vmptrld(&pointers[i]);
			try_vmwrite(VMCS_GUEST_RIP, 0x1234 + i);
			try_vmread(VMCS_GUEST_RIP, &value);
			if (value != 0x1234 + i)
				fail("VMREAD gives %lx", value);
		}
		l2_rounds[1]++;
	}
}

static void nmis_in_root(void)
{
	volatile u32 *count = &cpus[1].irq_count[VEC_NMI];
	u32 before = *count, lost = 0;

	stop = false;
	l2_rounds[1] = 0;
	smp_run(1, vmx_instructions, NULL);
	wait_for(&l2_rounds[1], 1);
	for (u32 i = 1; i <= 100 && !lost; i++) {
		send_nmi(1);
		lost += !wait_for(count, before + i);
	}
	stop = true;
	smp_wait(1);
	print("T NMIs during VMX instructions: %u, %u lost\n", *count - before, lost);
}

/* ---- INIT for a CPU in VMX operation: held back in root, an exit of L2 ---- */

static void count_in_root(void *unused)
{
	(void)unused;
	while (!stop) {
		l2_rounds[1]++;
		pause();
	}
}

static void send_init(u32 index)
{
	lapic_icr(cpus[index].apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	lapic_icr(cpus[index].apic_id, ICR_INIT | ICR_LEVEL);
}

static void run_until_exit(void *unused)
{
	(void)unused;
	hv_init(&vcpus[1], HV_LONG64, l2_spin);
	hv_run(&vcpus[1]);
	t_exit("INIT while L2 runs", &vcpus[1]);
	counted[1] = 1;
}

static void init_in_vmx(void)
{
	u32 seen;

	stop = false;
	l2_rounds[1] = 0;
	smp_run(1, count_in_root, NULL);
	wait_for(&l2_rounds[1], 1);
	send_init(1);
	seen = l2_rounds[1];
	t_check("INIT in VMX root operation is held back", wait_for(&l2_rounds[1], seen + 1000));
	stop = true;
	/* What becomes of it at VMXOFF differs by emulator; started anew the CPU is as before. */
	for (u64 start = rdtsc(); cpus[1].work && rdtsc() - start < 50000000;)
		pause();
	smp_run(1, vmx_off, NULL);
	for (u64 start = rdtsc(); cpus[1].work && rdtsc() - start < 1000000;)
		pause();
	t_check("the CPU starts again", smp_start_one(1));
	on_cpu1(vmx_on, 0);
	stop = false;
	counted[1] = l2_rounds[1] = 0;
	smp_run(1, run_until_exit, NULL);
	wait_for(&l2_rounds[1], 1);
	send_init(1);
	t_check("INIT ends L2", wait_for(&counted[1], 1));
}

DEFINE_TEST(vmx_smp, "vmx-smp", "VMX on two CPUs: L2 on both, moving VMCSs, EPT changes, NMIs and interrupts")
{
	if (!hv_supported())
		return;
	smp_start();
	if (cpu_count < 2) {
		print("T needs two CPUs\n");
		return;
	}
	hv_identity_ept();
	hv_on();
	on_cpu1(vmx_on, 0);
	both_at_once();
	both_at_once();
	moving_vmcs();
	changing_ept();
	for (size_t i = 0; i < ARRAY_SIZE(event_cases); i++)
		event_case(&event_cases[i]);
	nmis_in_root();
	init_in_vmx();
	hv_off();
}
