/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event injection: what L2 receives, with which error code and return address; and events whose delivery in L2 is cut
 * short by a VM exit, which must come back in the IDT-vectoring fields and be injected again.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "test.h"

#define INJECT_HERE 0x55	/* RAX of the VMCALL at which L1 injects the next event */

extern const u8 l2_inject_at[];

/*
 * Reports, for each event, where it came: vector, error code, and how far its return address is from the VMCALL's end.
 */
static void l2_receive(void)
{
	struct cpu *cpu = this_cpu();

	for (;;) {
		u32 before = cpu->irq_count[VEC_TEST] + cpu->irq_count[VEC_NMI] * 0x100;

		fault_reset();
		asm volatile(MAY_FAULT("vmcall; l2_inject_at: nop; nop; nop; nop") :: "a"(INJECT_HERE) : "memory");
		if (cpu->fault.vector != NO_FAULT)
			l2_report(cpu->fault.vector | (u64)cpu->fault.error << 8 |
				  (cpu->fault.rip - (u64)l2_inject_at) << 40);
		else
			l2_report(cpu->irq_count[VEC_TEST] + cpu->irq_count[VEC_NMI] * 0x100 - before);
	}
}

static const struct injection {
	const char *what;
	u32 info, error, length;
} injections[] = {
	{ "#DE", INTR_HARD | VEC_DE, 0, 0 },
	{ "#DB", INTR_HARD | VEC_DB, 0, 0 },
	{ "#BP", INTR_SOFT_EXC | VEC_BP, 0, 1 },
	{ "#BP of length 2", INTR_SOFT_EXC | VEC_BP, 0, 2 },
	{ "#OF", INTR_SOFT_EXC | VEC_OF, 0, 1 },
	{ "#BR", INTR_HARD | VEC_BR, 0, 0 },
	{ "#UD", INTR_HARD | VEC_UD, 0, 0 },
	{ "#NM", INTR_HARD | VEC_NM, 0, 0 },
	{ "#DF", INTR_HARD | INTR_ERROR | VEC_DF, 0, 0 },
	{ "#TS", INTR_HARD | INTR_ERROR | VEC_TS, 0x28, 0 },
	{ "#NP", INTR_HARD | INTR_ERROR | VEC_NP, 0x30, 0 },
	{ "#SS", INTR_HARD | INTR_ERROR | VEC_SS, 0x38, 0 },
	{ "#GP", INTR_HARD | INTR_ERROR | VEC_GP, 0x40, 0 },
	{ "#PF", INTR_HARD | INTR_ERROR | VEC_PF, 6, 0 },
	{ "#MF", INTR_HARD | 16, 0, 0 },
	{ "#AC", INTR_HARD | INTR_ERROR | VEC_AC, 0, 0 },
	{ "#MC", INTR_HARD | 18, 0, 0 },
	{ "#XM", INTR_HARD | 19, 0, 0 },
	{ "INT1", INTR_PRIV | VEC_DB, 0, 1 },
	{ "NMI", INTR_NMI | VEC_NMI, 0, 0 },
	{ "interrupt", INTR_EXTERNAL | VEC_TEST, 0, 0 },
	{ "INT n", INTR_SOFT_INT | VEC_TEST, 0, 2 },
	{ "INT n for an exception's vector", INTR_SOFT_INT | VEC_UD, 0, 2 },
	{ "an exception bitmap bit does not matter", INTR_HARD | VEC_UD, 0, 0 },
};

static void inject(const struct injection *e)
{
	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | e->info);
	vmwrite(VMCS_ENTRY_ERROR_CODE, e->error);
	vmwrite(VMCS_ENTRY_INSN_LENGTH, e->length);
}

/* From one VMCALL(INJECT_HERE) to the next; L2 was left behind the first. */
static void to_next_point(const char *what, exit_handler handler)
{
	while (hv_run(&l2) == VMX_OK) {
		if (l2.exit.reason == EXIT_VMCALL && l2.regs[RAX] == INJECT_HERE) {
			hv_skip(&l2);
			return;
		}
		if (l2.exit.reason == EXIT_VMCALL) {
			print("T %s: L2 says %lx\n", what, l2.regs[RAX] & 0xffffffffffff);
			t_check("the event is no longer valid in the VMCS",
				!(vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID));
			hv_skip(&l2);
			continue;
		}
		t_exit(what, &l2);
		if (!handler || !handler(&l2))
			return;
	}
	t_result(what, VMX_FAIL_VALID);
}

static void injected_events(void)
{
	hv_init(&l2, HV_LONG64, l2_receive);
	to_next_point("start", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(injections); i++) {
		vmwrite(VMCS_EXCEPTION_BITMAP, i + 1 == ARRAY_SIZE(injections) ? BIT(VEC_UD) : 0);
		hv_set(VMCS_GUEST_RFLAGS, 0x200);
		inject(&injections[i]);
		to_next_point(injections[i].what, NULL);
	}
}

/* At CPL 3 the gate's DPL counts for INT n, not for hardware events. L1 intercepts the #GP. */
static void l2_user_loop(void)
{
	for (;;)
		l2_vmcall(INJECT_HERE);
}

static void injected_at_cpl3(void)
{
	static const struct injection events[] = {
		{ "cpl 3, INT n, DPL 0", INTR_SOFT_INT | VEC_TEST, 0, 2 },
		{ "cpl 3, interrupt", INTR_EXTERNAL | VEC_TEST, 0, 0 },
		{ "cpl 3, NMI", INTR_NMI | VEC_NMI, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		u32 before;

		hv_init(&l2, HV_USER64, l2_user_loop);
		hv_set(VMCS_GUEST_RFLAGS, 0x200);
		vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VEC_GP) | BIT(VEC_UD));
		before = l2.cpu->irq_count[VEC_TEST] + l2.cpu->irq_count[VEC_NMI];
		hv_run(&l2);
		hv_skip(&l2);
		inject(&events[i]);
		hv_run(&l2);
		t_exit(events[i].what, &l2);
		print("T   taken by L2: %u\n", l2.cpu->irq_count[VEC_TEST] + l2.cpu->irq_count[VEC_NMI] - before);
	}
}

/* ---- delivery that fails half-way: L2's IDT lies in a page that EPT12 does not map ---- */

static struct ept12 ept;
static u64 idt_copy;

static void map_idt(bool is_mapped)
{
	ept_map(&ept, idt_copy, idt_copy, EPT_4K, is_mapped ? EPT_RWX | EPT_WB : 0);
	ept_flush(&ept);
}

static bool map_and_inject_again(struct vcpu *v)
{
	struct vm_exit *e = &v->exit;

	if (e->reason != EXIT_EPT_VIOLATION || !(e->idt_info & INTR_VALID))
		return false;
	print("T   return address %ld bytes behind, length %lu\n", (long)(vmread(VMCS_GUEST_RIP) - (u64)l2_inject_at),
	      (e->idt_info & 0x700) == INTR_SOFT_INT ? vmread(VMCS_EXIT_INSN_LENGTH) : 0);
	map_idt(true);
	vmwrite(VMCS_ENTRY_INTR_INFO, e->idt_info & ~0x1000u);
	vmwrite(VMCS_ENTRY_ERROR_CODE, e->idt_error);
	vmwrite(VMCS_ENTRY_INSN_LENGTH, vmread(VMCS_EXIT_INSN_LENGTH));
	return true;
}

static void l2_raise(void)
{
	fault_reset();
	asm volatile(MAY_FAULT("ud2") ::);
	l2_report(last_fault());
	l2_vmcall(INJECT_HERE);
	asm volatile("int $0x42");
	l2_report(this_cpu()->irq_count[VEC_TEST]);
	l2_vmcall(INJECT_HERE);
	asm volatile(MAY_FAULT("movb (%0), %%al") :: "r"(NONCANONICAL) : "rax");
	l2_report(last_fault());
	l2_vmcall(INJECT_HERE);
	asm volatile(MAY_FAULT("int $0x43") ::);	/* its gate is not present */
	l2_report(last_fault() | this_cpu()->fault.error << 8);
	l2_vmcall(INJECT_HERE);
}

static bool inject_again(struct vcpu *v)
{
	if (v->exit.reason != EXIT_EXCEPTION_NMI)
		return map_and_inject_again(v);
	vmwrite(VMCS_ENTRY_INTR_INFO, v->exit.intr_info & ~0x1000u);
	vmwrite(VMCS_ENTRY_ERROR_CODE, v->exit.intr_error);
	return true;
}

static void use_own_idt(void)
{
	vmwrite(VMCS_EPTP, ept.eptp);
	vmwrite(VMCS_GUEST_IDTR_BASE, idt_copy);
	map_idt(false);
}

static void interrupted_deliveries(void)
{
	static const struct injection events[] = {
		{ "interrupt, IDT not mapped", INTR_EXTERNAL | VEC_TEST, 0, 0 },
		{ "INT n, IDT not mapped", INTR_SOFT_INT | VEC_TEST, 0, 2 },
		{ "NMI, IDT not mapped", INTR_NMI | VEC_NMI, 0, 0 },
		{ "#GP, IDT not mapped", INTR_HARD | INTR_ERROR | VEC_GP, 0x18, 0 },
		{ "#BP, IDT not mapped", INTR_SOFT_EXC | VEC_BP, 0, 1 },
		{ "INT1, IDT not mapped", INTR_PRIV | VEC_DB, 0, 1 },
	};

	ept_init(&ept);
	idt_copy = (u64)page_alloc_many(512, 512 * PAGE_SIZE);
	for (u64 at = 0; at < BIT(32); at += ept_leaf_size(EPT_2M))
		if (at != idt_copy)
			ept_map(&ept, at, at, EPT_2M, EPT_RWX | EPT_WB);
	ept_map_range(&ept, idt_copy + PAGE_SIZE, idt_copy + ept_leaf_size(EPT_2M), EPT_4K, EPT_RWX | EPT_WB);
	copy_bytes((void *)idt_copy, idt, sizeof(idt));
	((u64 *)idt_copy)[0x43 * 2] &= ~BIT(47);

	hv_init(&l2, HV_LONG64, l2_receive);
	use_own_idt();
	to_next_point("start", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		map_idt(false);
		hv_set(VMCS_GUEST_RFLAGS, 0x200);
		inject(&events[i]);
		to_next_point(events[i].what, map_and_inject_again);
	}
	hv_init(&l2, HV_LONG64, l2_raise);
	use_own_idt();
	l2.cpu->irq_count[VEC_TEST] = 0;
	to_next_point("#UD in L2", map_and_inject_again);
	map_idt(false);
	to_next_point("INT n in L2", map_and_inject_again);
	map_idt(false);
	to_next_point("#GP in L2", map_and_inject_again);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VEC_NP));
	to_next_point("INT n, gate not present", inject_again);
}

/* ---- what the hypervisor below makes up for L1: RF of faults, and NMIs that stay blocked ---- */

/* A WRMSR that L1 lets through and the CPU refuses, first taken by L2 itself, then by L1. */
static void l2_refused_wrmsr(void)
{
	try_wrmsr(0x3a, 7);
	l2_report(this_cpu()->fault.rflags >> 16 & 1);
	l2_vmcall(INJECT_HERE);
	try_wrmsr(0x3a, 7);
	l2_end();
}

static void resume_flag(void)
{
	hv_init(&l2, HV_LONG64, l2_refused_wrmsr);
	set_bytes(l2.msr_bitmap, 0, PAGE_SIZE);
	to_next_point("RF in L2's frame", NULL);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VEC_GP));
	hv_run(&l2);
	t_exit("#GP of L2", &l2);
	/* Bochs saves 0 (SDM vol. 3, "Saving Guest State": as the fault would have pushed it); it is not compared. */
	print("RF in the VMCS: %lu\n", vmread(VMCS_GUEST_RFLAGS) >> 16 & 1);
}

extern const u8 l2_iret[];
asm("l2_iret: movl %ss, %eax; pushq %rax; leaq 8(%rsp), %rax; pushq %rax; pushfq; movl %cs, %eax; pushq %rax\n"
    "leaq 1f(%rip), %rax; pushq %rax; iretq; 1: nop; movl $0xe0d, %eax; vmcall\n");

extern const u8 l2_nops[];
asm("l2_nops: nop; nop; nop; movl $0xe0d, %eax; vmcall\n");

/* Its IRET does not end the blocking; L1's does. */
static void blocked_nmis(void)
{
	static const struct { const char *what; u32 interruptibility, event; } cases[] = {
		{ "NMI exiting, not blocked", 0, 0 },
		{ "NMI exiting, blocked at the entry", BLOCK_NMI, 0 },
		{ "NMI exiting, NMI injected", 0, INTR_VALID | INTR_NMI | VEC_NMI },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 before;

		hv_init(&l2, HV_LONG64, l2_iret);
		hv_set(VMCS_PIN_CONTROLS, PIN_NMI);
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, cases[i].interruptibility);
		vmwrite(VMCS_ENTRY_INTR_INFO, cases[i].event);
		hv_run(&l2);
		t_exit(cases[i].what, &l2);
		before = this_cpu()->irq_count[VEC_NMI];
		print("T   interruptibility %lx", vmread(VMCS_GUEST_INTERRUPTIBILITY));
		send_nmi(0);
		print(", an NMI of L1 comes: %u", this_cpu()->irq_count[VEC_NMI] - before);
		asm volatile("int $0x42");
		print(", after an IRET: %u\n", this_cpu()->irq_count[VEC_NMI] - before);
	}
}

/*
 * ---- NMIs of L1 while L2 blocks virtual NMIs. On XMHF only: the emulator's entry does not end L1's own blocking ----
 */

static void run_nops(u32 pin, u32 interruptibility, u32 event)
{
	hv_init(&l2, HV_LONG64, l2_nops);
	hv_set(VMCS_PIN_CONTROLS, pin);
	hv_set(VMCS_GUEST_RFLAGS, 0x200);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, interruptibility);
	vmwrite(VMCS_ENTRY_INTR_INFO, event);
	if (hv_run(&l2) != VMX_OK)
		fail("entry refused");
}

/*
 * The first entry leaves NMIs blocked in L1, so that one waits there for the second. It is an exit before L2 could do
 * anything, and an event that was to be delivered is told, too.
 */
static void nmi_in_shadow(void)
{
	static const struct { const char *what; u32 interruptibility, event; } cases[] = {
		{ "no shadow", BLOCK_NMI, 0 },
		{ "shadow of STI", BLOCK_NMI | BLOCK_STI, 0 },
		{ "shadow of MOV SS", BLOCK_NMI | BLOCK_MOV_SS, 0 },
		{ "#UD injected", BLOCK_NMI, INTR_VALID | INTR_HARD | VEC_UD },
		{ "NMI injected", 0, INTR_VALID | INTR_NMI | VEC_NMI },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		run_nops(PIN_NMI, BLOCK_NMI, 0);
		send_nmi(0);
		run_nops(PIN_NMI | PIN_VIRTUAL_NMI, cases[i].interruptibility, cases[i].event);
		asm volatile("int $0x42");
		if (l2.exit.reason != EXIT_EXCEPTION_NMI || l2.exit.intr_info != (INTR_VALID | INTR_NMI | VEC_NMI))
			fail("NMI of L1, %s: exit %x", cases[i].what, l2.exit.reason);
		if (vmread(VMCS_GUEST_RIP) != (u64)l2_nops || l2.exit.idt_info != cases[i].event)
			fail("NMI of L1, %s: %ld bytes executed, event %x", cases[i].what,
			     vmread(VMCS_GUEST_RIP) - (u64)l2_nops, l2.exit.idt_info);
	}
}

/* ---- a fault of real mode, whose delivery is the first to touch its stack ---- */

/* An entry of the first page, which the compiler holds for a mistake. */
static void set_vector(u64 vector, u32 value)
{
	asm volatile("movl %1, (%0)" :: "r"(vector * 4), "r"(value) : "memory");
}

static u32 get_vector(u64 vector)
{
	u32 value;

	asm volatile("movl (%1), %0" : "=r"(value) : "r"(vector * 4) : "memory");
	return value;
}

/* SYSENTER is #GP there, without an error code. The emulator says with one where the delivery is an EPT violation. */
static void real_mode_fault(void)
{
	static const u8 code[] = { 0x0f, 0x34, 0x90, 0x90, 0x0f, 0x01, 0xc1 };
	static struct ept12 low;
	u32 before = get_vector(VEC_GP);

	ept_init(&low);
	ept_map_range(&low, 0, 0x10000, EPT_4K, EPT_RWX | EPT_WB);
	hv_init(&l2, HV_REAL16, hv_low_code(code, sizeof(code)));
	vmwrite(VMCS_EPTP, low.eptp);
	set_vector(VEC_GP, LOW_CODE + 4);
	t_result("#GP in real mode", hv_run(&l2));
	set_vector(VEC_GP, before);
	t_exit("#GP in real mode", &l2);
	print("T   bytes on the stack: %lu\n", LOW_STACK - vmread(VMCS_GUEST_RSP));
}

DEFINE_TEST(vmx_inject, "vmx-inject", "event injection, IDT-vectoring information, injecting again")
{
	if (!hv_supported())
		return;
	hv_on();
	injected_events();
	injected_at_cpl3();
	interrupted_deliveries();
	real_mode_fault();
	resume_flag();
	blocked_nmis();
	if (cpuid(TV_CPUID_LEAF, 0).eax == TV_CPUID_PRESENT)
		nmi_in_shadow();
	hv_off();
}
