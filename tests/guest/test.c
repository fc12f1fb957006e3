/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Printing and running for the VMX tests; see test.h. The table below says which exit fields have a meaning when. */
#include "test.h"

struct vcpu l2;

enum { QUAL = 1, LEN = 2, INFO = 4, INTR = 8, GPA = 16 };

static const struct shape { const char *name; u8 fields; } shapes[] = {
	[EXIT_EXCEPTION_NMI] = { "exception", QUAL | INTR },
	[EXIT_INTERRUPT] = { "interrupt", INTR },
	[EXIT_TRIPLE_FAULT] = { "triple-fault", 0 },
	[EXIT_INTERRUPT_WINDOW] = { "interrupt-window", 0 },
	[EXIT_NMI_WINDOW] = { "nmi-window", 0 },
	[EXIT_TASK_SWITCH] = { "task-switch", QUAL },
	[EXIT_CPUID] = { "cpuid", LEN },
	[EXIT_HLT] = { "hlt", LEN },
	[EXIT_INVD] = { "invd", LEN },
	[EXIT_INVLPG] = { "invlpg", QUAL | LEN },
	[EXIT_RDPMC] = { "rdpmc", LEN },
	[EXIT_RDTSC] = { "rdtsc", LEN },
	[EXIT_VMCALL] = { "vmcall", LEN },
	[EXIT_VMCLEAR] = { "vmclear", QUAL | LEN | INFO },
	[EXIT_VMLAUNCH] = { "vmlaunch", LEN },
	[EXIT_VMPTRLD] = { "vmptrld", QUAL | LEN | INFO },
	[EXIT_VMPTRST] = { "vmptrst", QUAL | LEN | INFO },
	[EXIT_VMREAD] = { "vmread", QUAL | LEN | INFO },
	[EXIT_VMRESUME] = { "vmresume", LEN },
	[EXIT_VMWRITE] = { "vmwrite", QUAL | LEN | INFO },
	[EXIT_VMXOFF] = { "vmxoff", LEN },
	[EXIT_VMXON] = { "vmxon", QUAL | LEN | INFO },
	[EXIT_CR_ACCESS] = { "cr", QUAL | LEN },
	[EXIT_DR_ACCESS] = { "dr", QUAL | LEN },
	[EXIT_IO] = { "io", QUAL | LEN },
	[EXIT_RDMSR] = { "rdmsr", LEN },
	[EXIT_WRMSR] = { "wrmsr", LEN },
	[EXIT_BAD_GUEST_STATE] = { "bad-guest-state", QUAL },
	[EXIT_BAD_MSR_LOAD] = { "bad-msr-load", QUAL },
	[EXIT_MWAIT] = { "mwait", LEN },
	[EXIT_MONITOR] = { "monitor", LEN },
	[EXIT_PAUSE] = { "pause", LEN },
	[EXIT_TPR_THRESHOLD] = { "tpr-threshold", 0 },
	[EXIT_GDTR_IDTR] = { "gdtr-idtr", QUAL | LEN | INFO },
	[EXIT_LDTR_TR] = { "ldtr-tr", QUAL | LEN | INFO },
	[EXIT_EPT_VIOLATION] = { "ept-violation", QUAL | GPA },
	[EXIT_EPT_MISCONFIG] = { "ept-misconfig", GPA },
	[EXIT_INVEPT] = { "invept", QUAL | LEN | INFO },
	[EXIT_RDTSCP] = { "rdtscp", LEN },
	[EXIT_PREEMPTION_TIMER] = { "preemption-timer", 0 },
	[EXIT_INVVPID] = { "invvpid", QUAL | LEN | INFO },
	[EXIT_WBINVD] = { "wbinvd", LEN },
	[EXIT_XSETBV] = { "xsetbv", LEN },
	[EXIT_RDRAND] = { "rdrand", LEN | INFO },
	[EXIT_INVPCID] = { "invpcid", QUAL | LEN | INFO },
	[EXIT_RDSEED] = { "rdseed", LEN | INFO },
	[EXIT_PML_FULL] = { "log-full", QUAL },
};

/* Bits 5:0, 7 and 8: what every CPU with EPT defines. */
#define EPT_QUALIFICATION 0x1bfull

static const struct shape *shape_of(u32 reason)
{
	u32 basic = reason & 0xffff;

	return basic < ARRAY_SIZE(shapes) && shapes[basic].name ? &shapes[basic] : NULL;
}

void t_result(const char *what, vmx_result result)
{
	if (result == VMX_OK)
		print("T %s: ok\n", what);
	else if (result == VMX_FAIL_INVALID)
		print("T %s: VMfailInvalid\n", what);
	else if (result == VMX_FAIL_VALID)
		print("T %s: VMfail %lu\n", what, vmread(VMCS_INSN_ERROR));
	else
		t_fault(what, result - VMX_FAULT);
}

void t_fault(const char *what, u32 vector)
{
	if (vector == NO_FAULT)
		print("T %s: ok\n", what);
	else
		print("T %s: %s(%x)\n", what, vector_name(vector), this_cpu()->fault.error);
}

void t_check(const char *what, bool is_true)
{
	print("T %s: %s\n", what, is_true ? "yes" : "NO");
}

static void print_interruption(const char *label, u32 info, u32 error)
{
	if (!(info & INTR_VALID))
		return;
	print(" %s %08x", label, info & ~0x1000u);	/* bit 12 is undefined except after IRET */
	if (info & INTR_ERROR)
		print("/%x", error);
}

/*
 * Whether the qualification is defined: of exceptions for #DB and #PF, of instructions where the operand is in memory;
 * for one in a register the emulator leaves what it decoded in that place before.
 */
static bool is_qualified(const struct vm_exit *e)
{
	u32 vector = e->intr_info & 0xff;

	switch (e->reason) {
	case EXIT_EXCEPTION_NMI: return vector == VEC_DB || vector == VEC_PF;
	case EXIT_VMREAD:
	case EXIT_VMWRITE:
	case EXIT_LDTR_TR: return !(e->insn_info & BIT(10));
	default: return true;
	}
}

void t_exit(const char *what, const struct vcpu *v)
{
	const struct vm_exit *e = &v->exit;
	const struct shape *shape = shape_of(e->reason);
	u64 qualification = e->reason == EXIT_EPT_VIOLATION ? e->qualification & EPT_QUALIFICATION : e->qualification;

	if (!shape) {
		print("T %s: exit %x\n", what, e->reason);
		return;
	}
	print("T %s: exit %s%s", what, shape->name, e->reason & EXIT_ENTRY_FAILED ? " at entry" : "");
	if (shape->fields & QUAL && is_qualified(e))
		print(" qual %lx", qualification);
	if (shape->fields & LEN)
		print(" len %u", e->length);
	if (shape->fields & INFO || (e->reason == EXIT_IO && e->qualification & 0x10))
		print(" info %x", e->insn_info);
	if (shape->fields & INTR)
		print_interruption("intr", e->intr_info, e->intr_error);
	if (shape->fields & GPA)
		print(" gpa %lx", vmread(VMCS_GUEST_PHYSICAL_ADDR));
	if (e->reason == EXIT_EPT_VIOLATION && qualification & 0x80)
		print(" gla %lx", vmread(VMCS_GUEST_LINEAR_ADDR));
	print_interruption("idt", e->idt_info, e->idt_error);
	print("\n");
}

bool t_has_length(u32 reason)
{
	const struct shape *shape = shape_of(reason);

	return shape && (shape->fields & LEN);
}

static void note_interruption(u32 info, u32 error, void (*note)(const char *, u64))
{
	note("interruption", info & INTR_VALID ? info & ~0x1000u : 0);
	if ((info & INTR_VALID) && (info & INTR_ERROR))
		note("error code", error);
}

void t_note_exit(const struct vm_exit *e, void (*note)(const char *what, u64 value))
{
	const struct shape *shape = shape_of(e->reason);
	u32 fields = shape ? shape->fields : 0;
	u64 qualification = e->reason == EXIT_EPT_VIOLATION ? e->qualification & EPT_QUALIFICATION : e->qualification;

	if (fields & QUAL && is_qualified(e))
		note("qualification", qualification);
	if (fields & LEN)
		note("length", e->length);
	if (fields & INFO || (e->reason == EXIT_IO && e->qualification & 0x10))
		note("information", e->insn_info);
	if (fields & INTR)
		note_interruption(e->intr_info, e->intr_error, note);
	if (fields & GPA)
		note("gpa", vmread(VMCS_GUEST_PHYSICAL_ADDR));
	if (e->reason == EXIT_EPT_VIOLATION && qualification & 0x80)
		note("gla", vmread(VMCS_GUEST_LINEAR_ADDR));
	note_interruption(e->idt_info, e->idt_error, note);
}

bool t_run(const char *what, struct vcpu *v, exit_handler handler)
{
	for (;;) {
		vmx_result result = hv_run(v);
		const struct shape *shape = shape_of(v->exit.reason);
		bool is_call = v->exit.reason == EXIT_VMCALL;

		if (result != VMX_OK) {
			t_result(what, result);
			return false;
		}
		if (is_call && v->regs[RAX] == L2_END)
			return true;
		if (is_call && v->regs[RAX] >> 48)
			print("T %s: L2 says %lx\n", what, v->regs[RAX] & 0xffffffffffff);
		else
			t_exit(what, v);
		if (!is_call && handler && handler(v))
			continue;
		if (!shape || !(shape->fields & LEN))
			return false;
		hv_skip(v);
	}
}

bool t_l2(const char *what, enum hv_mode mode, const void *code, void (*prepare)(struct vcpu *), exit_handler handler)
{
	hv_init(&l2, mode, code);
	if (prepare)
		prepare(&l2);
	return t_run(what, &l2, handler);
}
