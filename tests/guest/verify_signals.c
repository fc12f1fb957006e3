/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=verify-signals: interrupts, NMIs and their windows, INIT, and changes of EPT02, as hypapps/verify sees and takes
 * them, in L1 and in L2. test=verify-sleep: a sleep that is denied, and one that is not. Interrupts are sent to
 * oneself.
 */
#include "verify.h"

#define ACKNOWLEDGED 0x100u
#define WINDOW_INTERRUPT 1u
#define WINDOW_NMI 2u
#define GUEST_PHYSICAL_WINDOW 0x80000000ull
#define MIB_2 0x200000ull

static void send_self(void)
{
	lapic_write(LAPIC_ICR, VEC_TEST | ICR_ASSERT | ICR_SELF);
}

static bool in_service(void)
{
	return lapic_read(0x100 + VEC_TEST / 32 * 16) >> VEC_TEST % 32 & 1;
}

static u32 taken(void)
{
	return this_cpu()->irq_count[VEC_TEST];
}

static void open_interrupts(void)
{
	asm volatile("sti; nop; nop; nop; cli" ::: "memory");
}

/* ---- L1 ---- */

static void interrupts(void)
{
	struct events before = events(INTERRUPT, 1);
	u32 start = taken();

	irq_on();
	send_self();
	for (u64 from = rdtsc(); taken() == start && rdtsc() - from < 100000;)
		pause();
	irq_off();
	note("interrupt", taken() == start + 1 && came(INTERRUPT, 1, &before, 1, VEC_TEST | ACKNOWLEDGED));
	send_self();
	note("not while interrupts are off",
	     taken() == start + 1 && came(INTERRUPT, 1, &before, 1, VEC_TEST | ACKNOWLEDGED));
	open_interrupts();
	note("once they are on", taken() == start + 2 && came(INTERRUPT, 1, &before, 2, VEC_TEST | ACKNOWLEDGED));
	send_self();
	asm volatile("sti; hlt; cli" ::: "memory");
	note("in HLT", taken() == start + 3 && came(INTERRUPT, 1, &before, 3, VEC_TEST | ACKNOWLEDGED));
	answer_with(INTERRUPT, 1, HANDLED);
	send_self();
	open_interrupts();
	note("taken by the hypapp", taken() == start + 3 && !in_service() &&
	     came(INTERRUPT, 1, &before, 4, VEC_TEST | ACKNOWLEDGED));
	answer_with(INTERRUPT, 1, PASS);
	/* The task priority holds it back, whatever is asked of the core. */
	lapic_write(LAPIC_TPR, 0xff);
	send_self();
	open_interrupts();
	note("not below the task priority", came(INTERRUPT, 1, &before, 4, VEC_TEST | ACKNOWLEDGED));
	lapic_write(LAPIC_TPR, 0);
	open_interrupts();
	note("above it again", taken() == start + 4 && came(INTERRUPT, 1, &before, 5, VEC_TEST | ACKNOWLEDGED));
}

#define PIC_COMMAND 0x20
#define PIC_DATA 0x21
#define VEC_PIC 0x48
#define LAPIC_LVT_LINT0 0x350
#define LVT_EXTINT 0x700

static bool pic_interrupt(void)
{
	u32 start = this_cpu()->irq_count[VEC_PIC];

	outb(PIC_DATA, 0xfe);
	irq_on();
	for (u64 from = rdtsc(); this_cpu()->irq_count[VEC_PIC] == start && rdtsc() - from < 20000000;)
		pause();
	irq_off();
	outb(PIC_DATA, 0xff);
	outb(PIC_COMMAND, 0x20);
	return this_cpu()->irq_count[VEC_PIC] == start + 1;
}

/*
 * The timer of the PC by the legacy controller, which the BIOS has left running. The hypapp is told, and cannot take
 * it.
 */
static void legacy_interrupts(void)
{
	static const u8 init[] = { VEC_PIC, 4, 1, 0xff };	/* vector, slave's line, 8086 mode, mask */
	struct events before = events(INTERRUPT, 1);
	bool ok;

	lapic_write(LAPIC_LVT_LINT0, LVT_EXTINT);
	outb(PIC_COMMAND, 0x11);
	for (size_t i = 0; i < ARRAY_SIZE(init); i++)
		outb(PIC_DATA, init[i]);
	ok = pic_interrupt();
	note("legacy interrupt", ok && came(INTERRUPT, 1, &before, 1, 0));
	answer_with(INTERRUPT, 1, HANDLED);
	ok = pic_interrupt();
	note("which cannot be taken", ok && came(INTERRUPT, 1, &before, 2, 0));
	answer_with(INTERRUPT, 1, PASS);
}

static void nmi_to_self(void)
{
	lapic_icr(this_cpu()->apic_id, ICR_NMI | ICR_ASSERT);
	for (u64 from = rdtsc(); rdtsc() - from < 20000;)
		pause();
}

static void nmis(void)
{
	struct events before = events(NMI, 1);
	u32 start = this_cpu()->irq_count[VEC_NMI];

	nmi_to_self();
	note("NMI", this_cpu()->irq_count[VEC_NMI] == start + 1 && came(NMI, 1, &before, 1, 0));
	answer_with(NMI, 1, HANDLED);
	nmi_to_self();
	note("NMI taken by the hypapp", this_cpu()->irq_count[VEC_NMI] == start + 1 && came(NMI, 1, &before, 2, 0));
	answer_with(NMI, 1, PASS);
	nmi_to_self();
	note("NMI again", this_cpu()->irq_count[VEC_NMI] == start + 2 && came(NMI, 1, &before, 3, 0));
}

static void windows(u64 level)
{
	struct events interrupt = events(INTERRUPT_WINDOW, level), nmi = events(NMI_WINDOW, level);

	note("ask for a window", verify_call(WINDOW, WINDOW_INTERRUPT, 0).returned == 0);
	note("closed", came(INTERRUPT_WINDOW, level, &interrupt, 0, 0));
	open_interrupts();
	note("opened once", came(INTERRUPT_WINDOW, level, &interrupt, 1, 1));
	open_interrupts();
	note("not twice", came(INTERRUPT_WINDOW, level, &interrupt, 1, 1));
	verify_call(WINDOW, WINDOW_INTERRUPT, 0);
	verify_call(WINDOW, 0, 0);
	open_interrupts();
	note("taken back", came(INTERRUPT_WINDOW, level, &interrupt, 1, 1));
	verify_call(WINDOW, WINDOW_NMI, 0);
	note("NMI window", came(NMI_WINDOW, level, &nmi, 1, 0));
}

/* ---- L2 ---- */

static bool acknowledges;

static void with_interrupts(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_PIN_CONTROLS, PIN_INTERRUPT);
	if (acknowledges)
		hv_set(VMCS_EXIT_CONTROLS, EXITC_ACK_INTERRUPT);
	hv_set(VMCS_GUEST_RFLAGS, 0x200);
}

/* One interrupt that waits when L2 is entered. True: L1 got the exit, false: L2 went on to its end. */
static bool interrupted(u32 *info)
{
	u32 reason;

	hv_init(&l2, HV_LONG64, (void *)l2_end);
	with_interrupts(&l2);
	send_self();
	if (hv_run(&l2) != VMX_OK)
		fail("no entry");
	reason = l2.exit.reason;
	*info = l2.exit.intr_info;
	if (reason == EXIT_INTERRUPT && !acknowledges)
		open_interrupts();
	else if (reason == EXIT_INTERRUPT)
		lapic_write(LAPIC_EOI, 0);
	return reason == EXIT_INTERRUPT;
}

static void l2_interrupts(void)
{
	struct events before = events(INTERRUPT, 2), l1 = events(INTERRUPT, 1);
	u32 start = taken(), info;

	acknowledges = true;
	note("interrupt", interrupted(&info) && (u8)info == VEC_TEST && info >> 31 &&
	     came(INTERRUPT, 2, &before, 1, VEC_TEST | ACKNOWLEDGED));
	answer_with(INTERRUPT, 2, HANDLED);
	note("taken by the hypapp", !interrupted(&info) && !in_service() &&
	     came(INTERRUPT, 2, &before, 2, VEC_TEST | ACKNOWLEDGED));
	acknowledges = false;
	note("not acknowledged by L1: only told",
	     interrupted(&info) && !(info >> 31) && came(INTERRUPT, 2, &before, 3, 0) &&
	     taken() == start + 1 && came(INTERRUPT, 1, &l1, 1, VEC_TEST | ACKNOWLEDGED));
	answer_with(INTERRUPT, 2, PASS);
}

static void l2_windows(void)
{
	irq_off();
	windows(2);
	l2_end();
}

static void as_it_is(struct vcpu *v) { (void)v; }

/* Both want the window: first the hypapp has its event, then L1 its exit. */
static void l2_ask(void)
{
	irq_off();
	verify_call(WINDOW, WINDOW_INTERRUPT, 0);
	open_interrupts();
	l2_end();
}

static void both_want(void)
{
	struct events before = events(INTERRUPT_WINDOW, 2);
	bool ok;

	hv_init(&l2, HV_LONG64, l2_ask);
	hv_set(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
	running = 2;
	ok = hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_INTERRUPT_WINDOW;
	running = 1;
	note("L1's exit", ok && came(INTERRUPT_WINDOW, 2, &before, 1, 1));
	hv_clear(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
	note("L2 goes on", hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMCALL && l2.regs[RAX] == L2_END);
}

/* A window of L1's that it enters L2 with is forgotten, and one of L2's is when it exits. */
static void l2_ask_and_end(void)
{
	verify_call(WINDOW, WINDOW_INTERRUPT | WINDOW_NMI, 0);
	l2_end();
	open_interrupts();
	l2_end();
}

static void forgotten(void)
{
	struct events in_l1 = events(INTERRUPT_WINDOW, 1), in_l2 = events(INTERRUPT_WINDOW, 2),
		nmi = events(NMI_WINDOW, 2);
	bool ok;

	verify_call(WINDOW, WINDOW_INTERRUPT, 0);
	ok = l2_runs(l2_ask_and_end, as_it_is);
	open_interrupts();
	hv_skip(&l2);
	ok &= hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMCALL && l2.regs[RAX] == L2_END;
	/* The NMI window opens at once, before L2's end. */
	note("L1's and L2's windows are forgotten", ok && came(INTERRUPT_WINDOW, 1, &in_l1, 0, 0) &&
	     came(INTERRUPT_WINDOW, 2, &in_l2, 0, 0) && came(NMI_WINDOW, 2, &nmi, 1, 0));
}

static void l2_nmis(void)
{
	struct events before = events(NMI, 2);
	struct cpu *cpu = this_cpu();
	u32 start = cpu->irq_count[VEC_NMI];

	lapic_icr(cpus[0].apic_id, ICR_NMI | ICR_ASSERT);
	for (u64 from = rdtsc(); rdtsc() - from < 20000;)
		pause();
	note("NMI", cpu->irq_count[VEC_NMI] == start + 1 && came(NMI, 2, &before, 1, 0));
	answer_with(NMI, 2, HANDLED);
	lapic_icr(cpus[0].apic_id, ICR_NMI | ICR_ASSERT);
	for (u64 from = rdtsc(); rdtsc() - from < 20000;)
		pause();
	note("NMI taken by the hypapp", cpu->irq_count[VEC_NMI] == start + 1 && came(NMI, 2, &before, 2, 0));
	answer_with(NMI, 2, PASS);
	l2_end();
}

/* ---- EPT02 ---- */

static struct ept12 ept;

static void on_other_ept(struct vcpu *v) { (void)v; vmwrite(VMCS_EPTP, ept.eptp); }
static void without_ept(struct vcpu *v) { (void)v; hv_clear(VMCS_CPU_CONTROLS2, CPU2_EPT | CPU2_UNRESTRICTED); }

static bool root_came(const struct events *before, u64 count, u64 now, u64 old, bool made)
{
	return came(EPT02_ROOT, BYSTANDER | 2, before, count, (now & ~0xfffull) | (old & ~0xfffull) << 32 | made);
}

static void roots(void)
{
	struct events before = events(EPT02_ROOT, BYSTANDER | 2);
	u64 identity = hv_identity_ept()->eptp;

	l2_runs((void *)l2_end, as_it_is);
	note("the same root", root_came(&before, 0, 0, 0, false));
	l2_runs((void *)l2_end, on_other_ept);
	note("another root", root_came(&before, 1, ept.eptp, identity, true));
	l2_runs((void *)l2_end, as_it_is);
	note("back", root_came(&before, 2, identity, ept.eptp, false));
	l2_runs((void *)l2_end, without_ept);
	note("without EPT12", root_came(&before, 3, 0, identity, false));
	l2_runs((void *)l2_end, on_other_ept);
	note("and with it", root_came(&before, 4, ept.eptp, 0, false));
}

/* A page in each of many regions, so that a table is needed for each. */
static void l2_touch(void)
{
	for (u64 i = 0; i < 300; i++)
		*(volatile u64 *)(GUEST_PHYSICAL_WINDOW + i * MIB_2) = i;
	l2_end();
}

static void flushes(void)
{
	struct events invept = events(EPT02_FLUSH, BYSTANDER | 1), pool = events(EPT02_FLUSH, BYSTANDER | 2);
	u64 page = (u64)page_alloc();

	for (u64 i = 0; i < 300; i++)
		ept_map(&ept, GUEST_PHYSICAL_WINDOW + i * MIB_2, page, EPT_4K, EPT_RWX | EPT_WB);
	ept_flush(&ept);
	note("INVEPT", came(EPT02_FLUSH, BYSTANDER | 1, &invept, 1, (ept.eptp & ~0xfffull) | 1));
	note("its end", l2_runs(l2_touch, on_other_ept));
	note("the pages used up", came(EPT02_FLUSH, BYSTANDER | 2, &pool, 1, 2));
	note("no INVEPT", came(EPT02_FLUSH, BYSTANDER | 1, &invept, 1, (ept.eptp & ~0xfffull) | 1));
}

/* ---- INIT ---- */

static volatile u64 beats;

static void beat(void *unused)
{
	(void)unused;
	for (;;)
		beats++;
}

static bool lives(void)
{
	u64 before = beats;

	for (u64 from = rdtsc(); beats == before && rdtsc() - from < 200000;)
		pause();
	return beats != before;
}

static void send_init(u32 index)
{
	lapic_icr(cpus[index].apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	for (u64 from = rdtsc(); rdtsc() - from < 50000;)
		pause();
}

static void inits(void)
{
	struct events before = events(INIT_SIGNAL, BYSTANDER | 1);

	if (cpu_count < 2)
		return;
	smp_run(1, beat, NULL);
	note("the other CPU runs", lives());
	answer_with(INIT_SIGNAL, BYSTANDER | 1, HANDLED);
	send_init(1);
	note("INIT, dropped", lives() && came(INIT_SIGNAL, BYSTANDER | 1, &before, 1, 0));
	answer_with(INIT_SIGNAL, BYSTANDER | 1, PASS);
	send_init(1);
	note("INIT", !lives() && came(INIT_SIGNAL, BYSTANDER | 1, &before, 2, 0));
	send_init(1);
	note("INIT for a CPU that waits", came(INIT_SIGNAL, BYSTANDER | 1, &before, 2, 0));
	note("started again", smp_start_one(1));
}

DEFINE_TEST(verify_signals, "verify-signals",
	    "XMHF with hypapps/verify: interrupts, NMIs, windows, INIT, changes of EPT02")
{
	smp_start();
	interrupts();
	legacy_interrupts();
	nmis();
	windows(1);
	inits();
	print_notes("L1");
	ept_init(&ept);
	ept_map_range(&ept, 0, GUEST_PHYSICAL_WINDOW, EPT_2M, EPT_RWX | EPT_WB);
	hv_on();
	l2_interrupts();
	l2_runs(l2_windows, as_it_is);
	both_want();
	forgotten();
	l2_runs(l2_nmis, as_it_is);
	print_notes("L2");
	roots();
	flushes();
	print_notes("EPT02");
	hv_off();
}

/* ---- Sleep ---- */

#define PM1A_CNT 0xb004u
#define S3 0x2400u

static void sleep(void)
{
	asm volatile("outw %0, %1" :: "a"((u16)S3), "d"((u16)PM1A_CNT));
}

DEFINE_TEST(verify_sleep, "verify-sleep", "XMHF with hypapps/verify: S3, denied and allowed")
{
	struct events asked = events(SLEEP, PREPARE), aborted = events(SLEEP, ABORT), before = events(SLEEP, 0);

	answer_with(SLEEP, BYSTANDER, DENY);
	sleep();
	note("denied",
	     came(SLEEP, PREPARE, &asked, 1, 1) && came(SLEEP, ABORT, &aborted, 1, 1) && came(SLEEP, 0, &before, 0, 0));
	print_notes("S3");
	answer_with(SLEEP, BYSTANDER, PASS);
	print("T end verify-sleep\n");
	while (!(inb(0x3fd) & 0x40))
		pause();
	sleep();
}
