/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=pal-armed: L1 has every exit of its L2 armed, and L2 calls a PAL. No exit reaches L1 until the PAL has returned;
 * then each arrives: the interrupt and the NMI that came meanwhile, both windows, the preemption timer, and what L2
 * executes next. Then PALs that execute what they may not: L1 sees their caller's #PF, and nothing else.
 *
 * L1 enters L2 at the PAL's entry point, blocked by STI and by NMI: so what is due already waits for one instruction.
 * That is the call.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "test.h"

#define L2_BASE TV_L2_BASE_DEFAULT
#define READY 0x5ead		/* RAX of the VMCALL with which L2 says that the PAL is registered, or not */
#define PAL_TICKS 600000ull	/* how long the PAL runs; below `partition-time` */
#define TIMER_COUNT 400000	/* of the bus, one a tick: when the interrupt comes */
#define PREEMPTION_TICKS 50
#define RFLAGS_OPEN 0x202

/* RDI: a kind of bad PAL, below its count, or the tick at which it returns. RSI: set to 1. Answers its last tick. */
asm(".section .text\n.balign 4096\n"
    "armed_pal: cmpq $8, %rdi\n ja 9f\n leaq 8f(%rip), %rax\n movslq (%rax,%rdi,4), %rdi\n addq %rdi, %rax\n"
    "jmp *%rax\n"
    "8: .long 0f-8b, 1f-8b, 2f-8b, 3f-8b, 4f-8b, 5f-8b, 6f-8b, 7f-8b, 10f-8b\n"
    "0: hlt\n 1: outb %al, $0x80\n 2: movl $0x10, %ecx\n rdmsr\n 3: ud2\n 4: int3\n 5: movq %cr8, %rax\n"
    "6: rdpmc\n 7: xorl %eax, %eax\n movl (%rax), %eax\n 10: invd\n"
    "9: pushq %rbx\n 11: pause\n movl $0x7a567254, %eax\n movl $0x4c415000, %ecx\n cpuid\n"
    "rdtsc\n shlq $32, %rdx\n orq %rdx, %rax\n cmpq %rdi, %rax\n jb 11b\n"
    "popq %rbx\n movq $1, (%rsi)\n ret\n"
    ".balign 4096\n"
    ".data\n.balign 4096\narmed_param: .skip 4096\narmed_stack: .skip 4096\n.text\n");
extern u8 armed_pal[], armed_param[], armed_stack[];

/* What L2 executes after the call: IRET ends the blocking of NMIs; the loop lets its preemption timer run out. */
asm("armed_after: movq %rax, armed_last_tick(%rip)\n"
    "movq %rsp, %rax\n movl %ss, %ecx\n pushq %rcx\n pushq %rax\n pushfq\n movl %cs, %ecx\n pushq %rcx\n"
    "leaq 1f(%rip), %rcx\n pushq %rcx\n iretq\n"
    "1: movl $100000, %ecx\n 2: loop 2b\n"
    "armed_in_turn: pause\n hlt\n outb %al, $0x80\n movl $0x10, %ecx\n rdmsr\n rdtsc\n ud2\n"
    "movl $0xe0d, %eax\n vmcall\n");
extern const u8 armed_after[], armed_in_turn[];

u64 armed_last_tick;
static volatile u64 pal_done;
static volatile u64 nmi_at, nmi_sent; /* ticks; the second by the other CPU */

static const u8 in_turn[] = { EXIT_PAUSE, EXIT_HLT, EXIT_IO, EXIT_RDMSR, EXIT_RDTSC, EXIT_EXCEPTION_NMI, EXIT_VMCALL };

static void judge(const char *what, bool is_good)
{
	print(is_good ? "T %s: good\n" : "T FAIL %s: BAD\n", what);
}

/* ---- L2 ---- */

static void l2_register(void)
{
	static const struct tv_pal_params params = { .num_params = 2, .params = {
		{ .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_POINTER, .size = 1 } } };
	static struct tv_pal_sections sections;
	u32 eax = L2_BASE + TV_CMD_UNREGISTER; /* the one before, if it has not ended */

	asm volatile("vmcall" : "+a"(eax) : "c"(armed_pal) : "memory");
	eax = L2_BASE + TV_CMD_REGISTER;

	sections = (struct tv_pal_sections){ .num_sections = 3, .sections = {
		{ TV_SECTION_CODE, 1, (u64)armed_pal }, { TV_SECTION_PARAM, 1, (u64)armed_param },
		{ TV_SECTION_STACK, 1, (u64)armed_stack } } };
	asm volatile("vmcall" : "+a"(eax) : "c"(&sections), "d"(0), "S"(&params), "D"(armed_pal) : "memory");
	l2_vmcall(eax == TV_OK ? READY : eax);
}

/* ---- L1 ---- */

static void arm(void)
{
	hv_set(VMCS_PIN_CONTROLS, PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI | PIN_PREEMPTION_TIMER);
	hv_set(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW | CPU_NMI_WINDOW | CPU_HLT | CPU_INVLPG | CPU_MWAIT |
	       CPU_RDPMC | CPU_RDTSC | CPU_CR3_LOAD | CPU_CR3_STORE | CPU_CR8_LOAD | CPU_CR8_STORE | CPU_MOV_DR |
	       CPU_IO | CPU_MONITOR | CPU_PAUSE);
	hv_clear(VMCS_CPU_CONTROLS, CPU_MSR_BITMAP | CPU_IO_BITMAPS);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_DESCRIPTOR_TABLE | CPU2_WBINVD);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0xffffffff);
	vmwrite(VMCS_PREEMPTION_TIMER, PREEMPTION_TICKS);
}

/* L2 has registered the PAL, and stands before its call. */
static bool stand_at_call(u64 first, u64 blocking)
{
	u64 *stack;

	hv_init(&l2, HV_LONG64, l2_register);
	if (hv_run(&l2) != VMX_OK || l2.exit.reason != EXIT_VMCALL || l2.regs[RAX] != READY) {
		print("T FAIL the PAL is not registered: exit %u, %lx\n", l2.exit.reason, l2.regs[RAX]);
		return false;
	}
	arm();
	stack = (u64 *)(vmread(VMCS_GUEST_RSP) & ~15ull) - 1;
	*stack = (u64)armed_after;
	vmwrite(VMCS_GUEST_RSP, (u64)stack);
	vmwrite(VMCS_GUEST_RIP, (u64)armed_pal);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_OPEN);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocking);
	pal_done = 0;
	l2.regs[RDI] = first;
	l2.regs[RSI] = (u64)&pal_done;
	return true;
}

/* What comes once and whenever it likes. */
enum { INTERRUPT = 1, NMI = 2, WINDOW = 4, NMI_WINDOW = 8, TIMER = 16, ALL = 31 };

static u32 asynchronous(const struct vcpu *v)
{
	switch (v->exit.reason) {
	case EXIT_INTERRUPT:
		irq_on();
		asm volatile("nop");
		irq_off();
		return INTERRUPT;
	case EXIT_EXCEPTION_NMI:
		return (v->exit.intr_info & 0x700) == INTR_NMI ? NMI : 0;
	case EXIT_INTERRUPT_WINDOW:
		hv_clear(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
		return WINDOW;
	case EXIT_NMI_WINDOW:
		hv_clear(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
		return NMI_WINDOW;
	case EXIT_PREEMPTION_TIMER:
		hv_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
		return TIMER;
	}
	return 0;
}

/* Every exit to the end. The asynchronous ones that came, each once; *next: how many of the others came in turn. */
static u32 collect(size_t *next)
{
	u32 came = 0;

	for (*next = 0; *next < ARRAY_SIZE(in_turn); ) {
		u32 kind = asynchronous(&l2);

		print("exit %u at +%lx, NMI or vector %x\n", l2.exit.reason, vmread(VMCS_GUEST_RIP) - (u64)armed_after,
		      l2.exit.intr_info);
		if (kind & came)
			return 0;
		came |= kind;
		if (!kind && l2.exit.reason != in_turn[*next])
			return 0;
		if (!kind) {
			++*next;
			vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) +
				(l2.exit.reason == EXIT_EXCEPTION_NMI ? 2 : l2.exit.length)); /* UD2 */
		}
		if (*next < ARRAY_SIZE(in_turn) && hv_run(&l2) != VMX_OK)
			return 0;
	}
	return came;
}

static void send_nmi_in_time(void *unused)
{
	(void)unused;
	while (rdtsc() < nmi_at)
		pause();
	send_nmi(0);
	nmi_sent = rdtsc();
}

static void every_exit_waits(void)
{
	u64 start = rdtsc() + 200000;
	u32 interrupts = this_cpu()->irq_count[VEC_TIMER], came;
	size_t next;

	if (!stand_at_call(start + PAL_TICKS, BLOCK_STI | BLOCK_NMI))
		return;
	nmi_at = start + PAL_TICKS / 2;
	nmi_sent = 0;
	smp_run(1, send_nmi_in_time, NULL);
	timer_arm(TIMER_COUNT);
	if (hv_run(&l2) != VMX_OK)
		fail("L2 is not entered");
	print("first exit %u, the PAL has returned: %lu\n", l2.exit.reason, pal_done);
	judge("no exit before the PAL has returned",
	      pal_done == 1 && vmread(VMCS_GUEST_RIP) == (u64)armed_after);
	smp_wait(1);
	came = collect(&next);
	judge("what was due meanwhile arrives once", came == ALL);
	judge("what L2 executes then arrives in turn", next == ARRAY_SIZE(in_turn));
	judge("the PAL ran for its time", armed_last_tick >= start + PAL_TICKS && nmi_sent &&
	      nmi_sent < armed_last_tick);
	judge("one timer interrupt", this_cpu()->irq_count[VEC_TIMER] == interrupts + 1);
	judge("no NMI of L1's own", this_cpu()->irq_count[VEC_NMI] == 0);
}

static void bad_pals(void)
{
	static const char *const kinds[] = { "HLT", "OUT", "RDMSR", "UD2", "INT3", "MOV from CR8", "RDPMC",
					     "a load from address 0", "INVD" };

	for (u64 i = 0; i < ARRAY_SIZE(kinds); i++) {
		/* Without a window, since the fault leaves L2 where it is, and no longer blocked by STI. */
		if (!stand_at_call(i, BLOCK_STI))
			return;
		hv_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
		hv_clear(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
		if (hv_run(&l2) != VMX_OK)
			fail("L2 is not entered");
		print("exit %u, vector %x, address %lx\n", l2.exit.reason, l2.exit.intr_info, l2.exit.qualification);
		judge(kinds[i], l2.exit.reason == EXIT_EXCEPTION_NMI && (l2.exit.intr_info & 0xff) == VEC_PF &&
		      l2.exit.qualification == (u64)armed_pal && !pal_done);
	}
}

DEFINE_TEST(pal_armed, "pal-armed", "XMHF only: no exit reaches L1 while a PAL of its L2 runs")
{
	if (!hv_supported())
		return;
	smp_start();
	hv_on();
	every_exit_waits();
	bad_pals();
	hv_off();
}
