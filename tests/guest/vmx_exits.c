/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every exit reason that L2 can cause on the supported CPUs, with what the exit fields say of it; and what L1 finds in
 * its own state after an exit. Each scenario is one L2 function, one preparation of the VMCS and, where needed, one
 * handler.
 */
#include "test.h"

#define X86(text) asm volatile(text ::: "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r15", "memory", "cc")

static u64 buffer[8] __attribute__((aligned(64)));

/* ---- instructions that exit because L1 asked for it; the default handler skips each ---- */

static void l2_unconditional(void)
{
	X86("cpuid");
	X86("invd");
	X86("xorl %%ecx, %%ecx; xgetbv; xsetbv");
	X86("vmclear (%%rsp)");
	X86("vmptrld 0x12345678(%%rsp)");
	X86("vmptrst (%%rsp, %%rbx, 4)");
	X86("vmread %%rax, %%r9");
	X86("vmread %%rbx, 8(%%rsp)");
	X86("vmwrite %%r8, %%rdx");
	X86("vmlaunch");
	X86("vmresume");
	X86("vmxoff");
	X86("vmxon (%%rsp)");
	X86("invept (%%rsp), %%rsi");
	X86("invvpid (%%rsp), %%r15");
	X86("movl $7, %%eax; vmcall");
	l2_end();
}

static void allow_xsave(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_GUEST_CR4, CR4_OSXSAVE);
}

static void l2_controlled(void)
{
	X86("invlpg 0x5000");
	X86("invlpg (%%rsp)");
	X86("xorl %%ecx, %%ecx; rdpmc");
	X86("rdtsc");
	X86("rdtscp");
	X86("movq %%rsp, %%rax; xorl %%ecx, %%ecx; xorl %%edx, %%edx; monitor");
	X86("xorl %%eax, %%eax; xorl %%ecx, %%ecx; mwait");
	X86("pause");
	X86("wbinvd");
	X86("hlt");
	l2_end();
}

static void exit_on_instructions(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_CPU_CONTROLS, CPU_INVLPG | CPU_MWAIT | CPU_RDPMC | CPU_RDTSC | CPU_MONITOR | CPU_PAUSE);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_WBINVD | CPU2_RDTSCP);
}

static void l2_no_controls(void)
{
	X86("invlpg 0x5000");
	X86("rdtsc");
	X86("pause");
	X86("wbinvd");
	X86("movl $0x10, %%ecx; rdmsr");
	X86("movw $0x80, %%dx; inb %%dx, %%al");
	l2_report(read_cr3() != 0);
	fault_reset();
	asm volatile(MAY_FAULT("rdtscp") ::: "eax", "ecx", "edx");
	l2_report(last_fault());
	l2_end();
}

static void no_rdtscp(struct vcpu *v)
{
	(void)v;
	hv_clear(VMCS_CPU_CONTROLS2, CPU2_RDTSCP);
}

static void l2_descriptor_tables(void)
{
	X86("sgdt (%%rsp)");
	X86("sidt 0x40(%%rsp)");
	X86("lgdt (%%rsp, %%rcx)");
	X86("lidt (%%rsp)");
	X86("sldt %%ax");
	X86("str %%ecx");
	X86("str (%%rsp)");
	X86("lldt %%ax");
	X86("ltr %%bx");
	l2_end();
}

static void exit_on_descriptor_tables(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_CPU_CONTROLS2, CPU2_DESCRIPTOR_TABLE);
}

/* ---- control and debug registers ---- */

static void l2_control_registers(void)
{
	X86("movq %%cr3, %%rax; movq %%rax, %%cr3");
	X86("movq %%cr3, %%r15");
	X86("movq %%cr8, %%rbx; movq %%r9, %%cr8");
	X86("movq %%cr0, %%rax; xorq $8, %%rax; movq %%rax, %%cr0");
	X86("clts");
	X86("movw $9, %%ax; lmsw %%ax");
	asm volatile("movq $9, (%0); lmsw (%0)" :: "r"(buffer) : "memory");
	X86("movq %%cr4, %%r8; xorq $4, %%r8; movq %%r8, %%cr4");
	X86("movq %%dr7, %%rax");
	X86("movq %%rcx, %%dr0");
	X86("movq %%r15, %%dr3");
	X86("movq %%dr6, %%rdx");
	l2_end();
}

static void exit_on_registers(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_CPU_CONTROLS, CPU_CR3_LOAD | CPU_CR3_STORE | CPU_CR8_LOAD | CPU_CR8_STORE | CPU_MOV_DR);
	vmwrite(VMCS_CR0_MASK, CR0_TS | CR0_NE | CR0_PE);
	vmwrite(VMCS_CR4_MASK, CR4_VMXE | CR4_TSD);
}

/* Bits that L1 owns read from the shadow; the others are L2's own and do not exit. */
static void l2_masked_registers(void)
{
	l2_report(read_cr0() & (CR0_TS | CR0_MP | CR0_AM));
	write_cr0((read_cr0() | CR0_MP) & ~(u64)CR0_AM);
	l2_report(read_cr0() & (CR0_TS | CR0_MP | CR0_AM));
	l2_report(read_cr4() & (CR4_DE | CR4_TSD | CR4_VMXE | CR4_OSFXSR));
	write_cr4(read_cr4() | CR4_DE);
	l2_report(read_cr4() & (CR4_DE | CR4_TSD | CR4_VMXE | CR4_OSFXSR));
	write_cr3(read_cr3());
	write_cr3(read_cr3() | 0x18);
	l2_end();
}

static void mask_registers(struct vcpu *v)
{
	(void)v;
	vmwrite(VMCS_CR0_MASK, CR0_TS);
	vmwrite(VMCS_CR0_SHADOW, CR0_TS);
	vmwrite(VMCS_CR4_MASK, CR4_TSD | CR4_VMXE);
	vmwrite(VMCS_CR4_SHADOW, CR4_TSD);
	hv_set(VMCS_CPU_CONTROLS, CPU_CR3_LOAD);
	vmwrite(VMCS_CR3_TARGET_COUNT, 2);
	vmwrite(VMCS_CR3_TARGET0, 0x1234000);
	vmwrite(VMCS_CR3_TARGET1, vmread(VMCS_GUEST_CR3));
}

static void print_registers(void)
{
	print("T guest CR0 in the VMCS: TS %u MP %u\n", !!(vmread(VMCS_GUEST_CR0) & CR0_TS),
		!!(vmread(VMCS_GUEST_CR0) & CR0_MP));
	print("T guest CR4 in the VMCS: DE %u VMXE %u\n", !!(vmread(VMCS_GUEST_CR4) & CR4_DE),
	      !!(vmread(VMCS_GUEST_CR4) & CR4_VMXE));
}

/* ---- MSRs ---- */

static void l2_msrs(void)
{
	u64 value;

	rdmsr(0x10);
	wrmsr(0x174, 0x10);
	rdmsr(MSR_EFER);
	wrmsr(MSR_EFER, EFER_LMA | EFER_LME);
	rdmsr(0xc0000100);
	wrmsr(0x175, 0x1111);
	wrmsr(0x176, 0x2222);
	l2_report(rdmsr(0x175) | rdmsr(0x176) << 16);
	wrmsr(0xc0000100, 0x3333);
	l2_report(rdmsr(0xc0000100));
	try_rdmsr(0x2000, &value);		/* outside both halves of the bitmap: always exits */
	try_wrmsr(0xc0002000, 0);
	try_rdmsr(0x40000000, &value);
	l2_report(last_fault());
	l2_end();
}

static void msr_bits(struct vcpu *v)
{
	static const struct { u32 msr; bool is_write; } intercepted[] = {
		{ 0x10, false }, { 0x174, true }, { MSR_EFER, true }, { 0xc0000100, false },
	};

	set_bytes(v->msr_bitmap, 0, PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(intercepted); i++) {
		u32 msr = intercepted[i].msr;
		u32 byte = (msr & 0x1fff) / 8 + (msr >> 31) * 0x400 + intercepted[i].is_write * 0x800;

		v->msr_bitmap[byte] |= 1 << (msr & 7);
	}
}

static void no_msr_bits(struct vcpu *v)
{
	set_bytes(v->msr_bitmap, 0, PAGE_SIZE);
}

static void no_msr_bitmap(struct vcpu *v)
{
	(void)v;
	hv_clear(VMCS_CPU_CONTROLS, CPU_MSR_BITMAP);
}

static bool print_msr(struct vcpu *v)
{
	if (v->exit.reason != EXIT_RDMSR && v->exit.reason != EXIT_WRMSR)
		return false;
	print("T   msr %x\n", (u32)v->regs[RCX]);
	v->regs[RAX] = v->regs[RDX] = 0;
	return false;
}

/* ---- ports ---- */

static void l2_ports(void)
{
	X86("inb $0x80, %%al");
	X86("outb %%al, $0x80");
	X86("movw $0x80, %%dx; inb %%dx, %%al");
	X86("movw $0x80, %%dx; inw %%dx, %%ax");
	X86("movw $0x80, %%dx; inl %%dx, %%eax");
	X86("movw $0x80, %%dx; outl %%eax, %%dx");
	X86("movw $0x7e, %%dx; inl %%dx, %%eax");
	X86("movw $0x7fff, %%dx; inw %%dx, %%ax");
	X86("movw $0xffff, %%dx; inw %%dx, %%ax");
	X86("movw $0x84, %%dx; inl %%dx, %%eax");
	asm volatile("movw $0x80, %%dx; insb" : : "D"(buffer) : "rdx", "memory");
	asm volatile("movw $0x80, %%dx; movl $4, %%ecx; rep outsb" : : "S"(buffer) : "rcx", "rdx", "memory");
	asm volatile("movw $0x80, %%dx; movl $2, %%ecx; rep insl" : : "D"(buffer) : "rcx", "rdx", "memory");
	asm volatile("movw $0x80, %%dx; fs outsw" : : "S"(buffer) : "rdx", "memory");
	asm volatile("movw $0x80, %%dx; addr32 outsb" : : "S"(buffer) : "rdx", "memory");
	l2_end();
}

static void exit_on_all_ports(struct vcpu *v)
{
	(void)v;
	hv_clear(VMCS_CPU_CONTROLS, CPU_IO_BITMAPS);
	hv_set(VMCS_CPU_CONTROLS, CPU_IO);
}

/* Bits for 0x81 and 0x8000 only: wide accesses that touch them exit, the others do not. */
static void some_ports(struct vcpu *v)
{
	v->io_bitmap_a[0x81 / 8] = 1 << 1;
	v->io_bitmap_b[0] = 1;
}

static void no_ports(struct vcpu *v)
{
	v->io_bitmap_a[0x81 / 8] = 0;
	v->io_bitmap_b[0] = 0;
}

/* ---- CPL 3: faults come before most exits ---- */

static void l2_user(void)
{
	X86("cpuid");
	X86("movl $8, %%eax; vmcall");
	X86("vmread %%rax, %%rax");
	X86("vmxoff");
	X86("vmptrld (%%rsp)");
	X86("hlt");
	X86("movl $0x10, %%ecx; rdmsr");
	X86("movw $0x80, %%dx; inb %%dx, %%al");
	X86("movq %%cr0, %%rax");
	X86("invd");
	X86("wbinvd");
	X86("movq %%dr7, %%rax");
	X86("clts");
	l2_end();
}

static void user_controls(struct vcpu *v)
{
	exit_on_instructions(v);
	exit_on_all_ports(v);
	no_msr_bitmap(v);
	hv_set(VMCS_CPU_CONTROLS, CPU_MOV_DR);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VEC_GP) | BIT(VEC_UD));
}

/* A faulting instruction of l2_user() is passed by its known length. */
static bool skip_faulting(struct vcpu *v)
{
	const u8 *at = (const u8 *)vmread(VMCS_GUEST_RIP);

	if (v->exit.reason != EXIT_EXCEPTION_NMI)
		return false;
	vmwrite(VMCS_GUEST_RIP, (u64)at + (at[0] != 0x0f ? 1 : at[1] >= 0x20 && at[1] <= 0x23 ? 3 : 2));
	return true;
}

/* ---- exceptions ---- */

static void l2_exceptions(void)
{
	static u8 *const hole = (u8 *)UNMAPPED;

	fault_reset();
	asm volatile(MAY_FAULT("ud2") ::);
	l2_report(last_fault());
	asm volatile(MAY_FAULT("int3") ::);
	l2_report(last_fault());
	asm volatile(MAY_FAULT("int $3") ::);
	l2_report(last_fault());
	asm volatile(MAY_FAULT("int1") ::);		/* a fault-like #DB with no DR6 bit */
	l2_report(last_fault());
	asm volatile(MAY_FAULT("divl %%ecx") : : "a"(1), "c"(0), "d"(0) : "cc");
	l2_report(last_fault());
	asm volatile(MAY_FAULT("movb (%0), %%al") : : "r"(NONCANONICAL) : "rax");
	l2_report(last_fault());
	asm volatile(MAY_FAULT("movb (%0), %%al") : : "r"(hole) : "rax");
	l2_report(last_fault() | this_cpu()->fault.error << 8);
	asm volatile(MAY_FAULT("movb %%al, (%0)") : : "r"(hole) : "memory");
	l2_report(last_fault() | this_cpu()->fault.error << 8);
	asm volatile(MAY_FAULT("movw %w0, %%fs") : : "r"(0xffc8));
	l2_report(last_fault() | this_cpu()->fault.error << 8);
	asm volatile(MAY_FAULT("pushq $0x102; popfq; nop") ::);	/* single step */
	l2_report(last_fault());
	l2_end();
}

/* Gives L2 what it would have got without us, as every hypervisor does. */
static bool reinject(struct vcpu *v)
{
	struct vm_exit *e = &v->exit;

	if (e->reason != EXIT_EXCEPTION_NMI)
		return false;
	if ((e->intr_info & 0xff) == VEC_PF)
		asm volatile("movq %0, %%cr2" :: "r"(e->qualification));
	vmwrite(VMCS_ENTRY_INTR_INFO, e->intr_info & ~0x1000u);
	vmwrite(VMCS_ENTRY_ERROR_CODE, e->intr_error);
	vmwrite(VMCS_ENTRY_INSN_LENGTH, vmread(VMCS_EXIT_INSN_LENGTH));
	return true;
}

static void all_exceptions(struct vcpu *v)
{
	(void)v;
	vmwrite(VMCS_EXCEPTION_BITMAP, 0xffffffff);
}

/* #PF exits where (error & mask) == match has the sense of the bitmap's bit 14. */
static void write_faults_only(struct vcpu *v)
{
	(void)v;
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VEC_PF));
	vmwrite(VMCS_PF_ERROR_MASK, 2);
	vmwrite(VMCS_PF_ERROR_MATCH, 2);
}

static void all_but_write_faults(struct vcpu *v)
{
	(void)v;
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	vmwrite(VMCS_PF_ERROR_MASK, 2);
	vmwrite(VMCS_PF_ERROR_MATCH, 2);
}

/* ---- triple fault ---- */

static void l2_undefined(void)
{
	X86("ud2");
}

static void no_idt(struct vcpu *v)
{
	(void)v;
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0);
}

/* ---- windows and timers ---- */

extern const u8 l2_sti[], l2_sti_at[], l2_iret_at[], l2_spin[];
asm("l2_sti: nop; sti; nop\n"
    "l2_sti_at: nop; movl $0xe0d, %eax; vmcall\n"
    "l2_spin: pause; jmp l2_spin\n");

static void interrupt_window(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
}

static bool at_interrupt_window(struct vcpu *v)
{
	if (v->exit.reason != EXIT_INTERRUPT_WINDOW)
		return false;
	print("T   %ld bytes from the end of STI's shadow, interruptibility %lx, IF %lu\n",
	      (long)(vmread(VMCS_GUEST_RIP) - (u64)l2_sti_at), vmread(VMCS_GUEST_INTERRUPTIBILITY),
	      vmread(VMCS_GUEST_RFLAGS) >> 9 & 1);
	hv_clear(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
	return true;
}

static void interrupt_window_open(struct vcpu *v)
{
	interrupt_window(v);
	hv_set(VMCS_GUEST_RFLAGS, 0x200);
}

static void nmi_window(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMI);
	hv_set(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
}

/* The injected NMI blocks further ones until L2's IRET; only then does the window open. */
static void nmi_window_after_nmi(struct vcpu *v)
{
	nmi_window(v);
	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_NMI | VEC_NMI);
}

static bool at_nmi_window(struct vcpu *v)
{
	if (v->exit.reason != EXIT_NMI_WINDOW)
		return false;
	print("T   NMIs that L2 took: %u, blocking %lx\n", v->cpu->irq_count[VEC_NMI],
		vmread(VMCS_GUEST_INTERRUPTIBILITY));
	hv_clear(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
	return true;
}

static void timer_zero(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	hv_set(VMCS_EXIT_CONTROLS, EXITC_SAVE_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER, 0);
}

static void timer_short(struct vcpu *v)
{
	timer_zero(v);
	vmwrite(VMCS_PREEMPTION_TIMER, 500);
}

static void timer_long(struct vcpu *v)
{
	timer_zero(v);
	vmwrite(VMCS_PREEMPTION_TIMER, 1 << 30);
}

static bool at_timer(struct vcpu *v)
{
	if (v->exit.reason != EXIT_PREEMPTION_TIMER)
		return false;
	print("T   timer value saved: %lu\n", vmread(VMCS_PREEMPTION_TIMER));
	print("T   L2 ran: %u\n", vmread(VMCS_GUEST_RIP) != (u64)l2_sti);
	hv_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	hv_clear(VMCS_EXIT_CONTROLS, EXITC_SAVE_TIMER);
	vmwrite(VMCS_GUEST_RIP, (u64)l2_end);
	return true;
}

static bool timer_left(struct vcpu *v)
{
	u64 value = vmread(VMCS_PREEMPTION_TIMER);

	if (v->exit.reason != EXIT_CPUID)
		return false;
	t_check("the timer ran, and not to its end", value < 1 << 30 && value > 1 << 29);
	return false;
}

static void l2_cpuid_once(void)
{
	for (volatile int i = 0; i < 1000; i++)
		;
	X86("cpuid");
	l2_end();
}

/* ---- external interrupts ---- */

static void timer_interrupt(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_PIN_CONTROLS, PIN_INTERRUPT);
	hv_set(VMCS_GUEST_RFLAGS, 0x200);
	timer_arm(20000);
}

static void timer_interrupt_ack(struct vcpu *v)
{
	timer_interrupt(v);
	hv_set(VMCS_EXIT_CONTROLS, EXITC_ACK_INTERRUPT);
}

static void timer_in_hlt(struct vcpu *v)
{
	timer_interrupt_ack(v);
	vmwrite(VMCS_GUEST_ACTIVITY, 1);
}

static bool at_interrupt(struct vcpu *v)
{
	u32 before = this_cpu()->irq_count[VEC_TIMER];

	if (v->exit.reason != EXIT_INTERRUPT)
		return false;
	if (v->exit.intr_info & INTR_VALID)
		lapic_write(LAPIC_EOI, 0);
	irq_window();
	print("T   L1 then takes %u, activity %lu\n", this_cpu()->irq_count[VEC_TIMER] - before,
		vmread(VMCS_GUEST_ACTIVITY));
	vmwrite(VMCS_GUEST_RIP, (u64)l2_end);
	vmwrite(VMCS_GUEST_ACTIVITY, 0);
	return true;
}

/* No exit: L2 takes the interrupt by its own IDT and writes EOI to the real APIC. */
static void l2_takes_interrupt(void)
{
	for (volatile u32 *count = &this_cpu()->irq_count[VEC_TIMER]; !*count;)
		pause();
	l2_report(this_cpu()->irq_count[VEC_TIMER]);
	timer_arm(20000);
	while (this_cpu()->irq_count[VEC_TIMER] < 2)
		sti_hlt_cli();
	l2_report(this_cpu()->irq_count[VEC_TIMER]);
	l2_end();
}

static void own_interrupts(struct vcpu *v)
{
	v->cpu->irq_count[VEC_TIMER] = 0;
	hv_set(VMCS_GUEST_RFLAGS, 0x200);
	hv_clear(VMCS_CPU_CONTROLS, CPU_HLT);
	timer_arm(20000);
}

static void nmi_exiting(struct vcpu *v)
{
	(void)v;
	hv_set(VMCS_PIN_CONTROLS, PIN_NMI);
	hv_clear(VMCS_CPU_CONTROLS, CPU_HLT);
}

/* ---- time ---- */

static void l2_tsc(void)
{
	l2_report(rdtsc() >> 48);
	l2_report(rdmsr(0x10) >> 48);
	l2_end();
}

static void tsc_offset(struct vcpu *v)
{
	no_msr_bits(v);
	hv_set(VMCS_CPU_CONTROLS, CPU_TSC_OFFSET);
	vmwrite(VMCS_TSC_OFFSET, 0x1234ull << 48);
}

static const struct scenario {
	const char *what;
	void (*code)(void);
	void (*prepare)(struct vcpu *);
	exit_handler handler;
	enum hv_mode mode;
	void (*after)(void);
} scenarios[] = {
	{ "unconditional", l2_unconditional, allow_xsave, NULL, 0, NULL },
	{ "controlled", l2_controlled, exit_on_instructions, NULL, 0, NULL },
	{ "no controls", l2_no_controls, no_rdtscp, NULL, 0, NULL },
	{ "descriptor tables", l2_descriptor_tables, exit_on_descriptor_tables, NULL, 0, NULL },
	{ "registers", l2_control_registers, exit_on_registers, NULL, 0, NULL },
	{ "masked registers", l2_masked_registers, mask_registers, NULL, 0, print_registers },
	{ "MSR bitmap, some", l2_msrs, msr_bits, print_msr, 0, NULL },
	{ "MSR bitmap, none", l2_msrs, no_msr_bits, print_msr, 0, NULL },
	{ "no MSR bitmap", l2_msrs, no_msr_bitmap, print_msr, 0, NULL },
	{ "all ports", l2_ports, exit_on_all_ports, NULL, 0, NULL },
	{ "ports 81 and 8000", l2_ports, some_ports, NULL, 0, NULL },
	{ "no port", l2_ports, no_ports, NULL, 0, NULL },
	{ "cpl 3", l2_user, user_controls, skip_faulting, HV_USER64, NULL },
	{ "all exceptions", l2_exceptions, all_exceptions, reinject, 0, NULL },
	{ "no exception", l2_exceptions, NULL, NULL, 0, NULL },
	{ "write faults", l2_exceptions, write_faults_only, reinject, 0, NULL },
	{ "all but write faults", l2_exceptions, all_but_write_faults, reinject, 0, NULL },
	{ "triple fault", l2_undefined, no_idt, NULL, 0, NULL },
	{ "interrupt window", (void (*)(void))l2_sti, interrupt_window, at_interrupt_window, 0, NULL },
	{ "interrupt window, open", (void (*)(void))l2_sti, interrupt_window_open, at_interrupt_window, 0, NULL },
	{ "NMI window", (void (*)(void))l2_sti, nmi_window, at_nmi_window, 0, NULL },
	{ "NMI window after an NMI", (void (*)(void))l2_sti, nmi_window_after_nmi, at_nmi_window, 0, NULL },
	{ "preemption timer 0", (void (*)(void))l2_sti, timer_zero, at_timer, 0, NULL },
	{ "preemption timer short", (void (*)(void))l2_spin, timer_short, at_timer, 0, NULL },
	{ "preemption timer long", l2_cpuid_once, timer_long, timer_left, 0, NULL },
	{ "interrupt", (void (*)(void))l2_spin, timer_interrupt, at_interrupt, 0, NULL },
	{ "interrupt, acknowledged", (void (*)(void))l2_spin, timer_interrupt_ack, at_interrupt, 0, NULL },
	{ "interrupt in HLT", (void (*)(void))l2_spin, timer_in_hlt, at_interrupt, 0, NULL },
	{ "interrupts without exits", l2_takes_interrupt, own_interrupts, NULL, 0, NULL },
	{ "TSC offset", l2_tsc, tsc_offset, NULL, 0, NULL },
};

/* ---- what L1 finds after an exit (Intel SDM vol. 3, "Loading Host State") ---- */

struct table_register { u16 limit; u64 base; } __attribute__((packed));

static void l1_state_after_exit(void)
{
	struct table_register gdtr, idtr;
	u32 rights;

	hv_init(&l2, HV_LONG64, l2_end);
	vmwrite(VMCS_HOST_FS_SEL, SEL_DATA);
	vmwrite(VMCS_HOST_FS_BASE, 0x123456);
	vmwrite(VMCS_HOST_SYSENTER_CS, 0x77);
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0x888);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0x999);
	vmwrite(VMCS_HOST_PAT, 0x0006040106060401);
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	asm volatile("movq %0, %%dr7" :: "r"(0x755ull));
	hv_run(&l2);
	asm volatile("sgdt %0; sidt %1" : "=m"(gdtr), "=m"(idtr));
	asm volatile("lar %1, %0" : "=r"(rights) : "r"(SEL_TSS));
	t_exit("exit to a marked host state", &l2);
	print("T DR7 %lx\n", read_dr7());
	print("T GDTR limit %x IDTR limit %x, TR rights %x\n", gdtr.limit, idtr.limit, rights & 0xff00);
	print("T FS base %lx SYSENTER %lx %lx %lx\n", rdmsr(0xc0000100), rdmsr(0x174), rdmsr(0x175), rdmsr(0x176));
	print("T PAT %lx EFER %lx\n", rdmsr(0x277), rdmsr(MSR_EFER));
	t_check("GDTR and IDTR bases", gdtr.base == (u64)this_cpu()->gdt && idtr.base == (u64)idt);
	wrmsr(0x277, 0x0007040600070406);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_SCE);
	wrmsr(0xc0000100, 0);
}

/* ---- what L2 keeps: all registers over an exit ---- */

extern const u8 l2_keeps[];
asm("l2_keeps: movq $0x1111, %rbx; movq $0x2222, %rbp; movq $0x3333, %rsi; movq $0x4444, %rdi\n"
    "movq $0x5555, %r8; movq $0x6666, %r9; movq $0x7777, %r10; movq $0x8888, %r11; movq $0x9999, %r12\n"
    "movq $0xaaaa, %r13; movq $0xbbbb, %r14; movq $0xcccc, %r15; xorl %ecx, %ecx; movq $0xd5, %rdx\n"
    "pushq $0x8d7; popfq\n"
    "movl $0x77, %eax; vmcall\n"
    "pushfq; popq %rax; addq %rbx, %rax; addq %rbp, %rax; addq %rsi, %rax; addq %rdi, %rax; addq %r8, %rax\n"
    "addq %r9, %rax; addq %r10, %rax; addq %r11, %rax; addq %r12, %rax; addq %r13, %rax; addq %r14, %rax\n"
    "addq %r15, %rax; addq %rcx, %rax; addq %rdx, %rax\n"
    "movq $0x1000000000000, %rcx; orq %rcx, %rax; vmcall\n"
    "movl $0xe0d, %eax; vmcall\n");

static void l2_registers(void)
{
	static const u8 order[] = { RBX, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, RDX };

	hv_init(&l2, HV_LONG64, l2_keeps);
	hv_run(&l2);
	print("T registers at the exit:");
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		print(" %lx", l2.regs[order[i]]);
	print(" flags %lx\n", vmread(VMCS_GUEST_RFLAGS));
	hv_skip(&l2);
	t_run("registers after the entry", &l2, NULL);
}

DEFINE_TEST(vmx_exits, "vmx-exits", "VM exits: every reason, its qualification, and the state on both sides")
{
	if (!hv_supported())
		return;
	hv_on();
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		const struct scenario *s = &scenarios[i];

		print("T %s: %s\n", s->what,
		      t_l2(s->what, s->mode, s->code, s->prepare, s->handler) ? "L2 came to its end" : "L2 was left");
		if (s->after)
			s->after();
	}
	t_l2("NMI exiting, no NMI", HV_LONG64, l2_cpuid_once, nmi_exiting, NULL);
	l1_state_after_exit();
	l2_registers();
	hv_off();
}
