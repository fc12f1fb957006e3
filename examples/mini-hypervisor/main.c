/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mini-hypervisor at work: the same loop runs L2 code in 64-bit ring 0, in 64-bit ring 3, in 32-bit protected mode
 * and in real mode. Each piece of L2 code asks for CPUID (which always exits), reports a number by VMCALL, and halts.
 */
#include "hv/hv.h"

extern const u8 l2_protected32[], l2_real16[], l2_real16_end[];

static void l2_long64(void)
{
	l2_vmcall(cpuid(0x11110000, 0).eax + 64);
	halt();
}

static void l2_user64(void)
{
	l2_vmcall(cpuid(0x11110000, 0).eax + 3);
	/* HLT is privileged, but its VM exit has the lower priority: #GP, unexpected, and L2 dies of it */
	halt();
}

/* The whole of a hypervisor's work: look why L2 stopped, do it for L2, go on. */
static void run_to_end(const char *name, enum hv_mode mode, const void *code)
{
	static struct vcpu v;

	hv_init(&v, mode, code);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VEC_GP));
	for (;;) {
		vmx_result result = hv_run(&v);

		if (result != VMX_OK)
			fail("%s: entry failed, %u, error %u", name, result, v.insn_error);
		switch (v.exit.reason) {
		case EXIT_CPUID:
			v.regs[RAX] = 1000;
			hv_skip(&v);
			break;
		case EXIT_VMCALL:
			print("T %s: VMCALL %u\n", name, (u32)v.regs[RAX]);
			hv_skip(&v);
			break;
		case EXIT_HLT:
			print("T %s: halted\n", name);
			return;
		case EXIT_EXCEPTION_NMI:
			print("T %s: %s\n", name, vector_name(v.exit.intr_info & 0xff));
			return;
		default:
			fail("%s: exit %u qualification 0x%lx", name, v.exit.reason, v.exit.qualification);
		}
	}
}

DEFINE_TEST(mini, "mini", "the mini-hypervisor example: L2 in four modes")
{
	if (!hv_supported())
		return;
	hv_on();
	run_to_end("64-bit ring 0", HV_LONG64, l2_long64);
	run_to_end("64-bit ring 3", HV_USER64, l2_user64);
	run_to_end("32-bit", HV_PROTECTED32, l2_protected32);
	run_to_end("real mode", HV_REAL16, hv_low_code(l2_real16, (size_t)(l2_real16_end - l2_real16)));
	hv_off();
}
