/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Microsoft's hypervisor asks of VMX when it starts, in that order, as docs/nested.md lists it with its sources:
 * it cannot be run here itself. Each step prints what it found; the bare machine is the oracle.
 */
#include "test.h"

#define MSR_APIC_BASE 0x1b
#define APIC_X2APIC BIT(10)
#define APIC_ENABLE BIT(11)
#define X2APIC_ICR 0x830
#define X2APIC_LVT_CMCI 0x82f
#define X2APIC_LVT_LINT1 0x836

/* ---- what it reads before it turns VMX on ---- */

static void capability_msrs(void)
{
	u64 value;

	print("T IA32_FEATURE_CONTROL, locked and VMX on: %lx\n", rdmsr(MSR_FEATURE_CONTROL) & 5);
	for (u32 msr = MSR_VMX_BASIC; msr <= MSR_VMX_TRUE_ENTRY; msr++)
		print("T capability MSR %x: %s\n", msr, vector_name(try_rdmsr(msr, &value)));
	print("T true controls: %lu, EPT with 2 MiB pages and INVEPT: %u, activity HLT: %lu\n",
	      rdmsr(MSR_VMX_BASIC) >> 55 & 1, (rdmsr(MSR_VMX_EPT_VPID) & 0x6110040) == 0x6110040,
	      rdmsr(MSR_VMX_MISC) >> 6 & 1);
}

static bool may_be_set(u32 msr, u32 bits)
{
	return (rdmsr(msr) >> 32 & bits) == bits;
}

static void required_controls(void)
{
	t_check("NMI exiting, virtual NMIs", may_be_set(MSR_VMX_TRUE_PIN, PIN_NMI | PIN_VIRTUAL_NMI));
	t_check("MSR bitmaps, I/O bitmaps, TPR shadow, windows",
		may_be_set(MSR_VMX_TRUE_CPU, CPU_MSR_BITMAP | CPU_IO_BITMAPS | CPU_TPR_SHADOW | CPU_NMI_WINDOW |
					     CPU_INTERRUPT_WINDOW | CPU_SECONDARY));
	t_check("EPT, VPID, unrestricted guest", may_be_set(MSR_VMX_CPU2, CPU2_EPT | CPU2_VPID | CPU2_UNRESTRICTED));
	t_check("EFER and PAT by entry and exit",
		may_be_set(MSR_VMX_TRUE_ENTRY, ENTRYC_LOAD_EFER | ENTRYC_LOAD_PAT) &&
		may_be_set(MSR_VMX_TRUE_EXIT, EXITC_LOAD_EFER | EXITC_SAVE_EFER | EXITC_ACK_INTERRUPT));
}

/* ---- its first virtual processors ---- */

/* A processor that starts as after SIPI: real mode, which unrestricted guest runs. */
static void unrestricted_guest(void)
{
	static const u8 code[] = { 0x0f, 0xa2, 0x0f, 0x01, 0xc1 };

	hv_init(&l2, HV_REAL16, hv_low_code(code, sizeof(code)));
	hv_run(&l2);
	t_exit("unrestricted guest, CPUID", &l2);
	hv_skip(&l2);
	hv_run(&l2);
	t_exit("unrestricted guest, VMCALL", &l2);
}

static void l2_msrs(void)
{
	rdmsr(0xc0000081);		/* passed */
	rdmsr(0x10);			/* intercepted */
	wrmsr(0xc0000081, 0x1234);	/* intercepted */
	l2_end();
}

static void msr_bitmap(void)
{
	hv_init(&l2, HV_LONG64, l2_msrs);
	set_bytes(l2.msr_bitmap, 0xff, PAGE_SIZE);
	l2.msr_bitmap[0x400 + 0x81 / 8] &= (u8)~BIT(1);
	t_run("MSR bitmap", &l2, NULL);
	set_bytes(l2.msr_bitmap, 0, PAGE_SIZE);
}

static void l2_lowers_tpr(void)
{
	write_cr8(9);
	l2_report(read_cr8());
	write_cr8(2);
	l2_report(read_cr8());
	l2_end();
}

static void tpr_shadow(void)
{
	u8 *page = page_alloc();

	hv_init(&l2, HV_LONG64, l2_lowers_tpr);
	page[0x80] = 0x50;
	hv_set(VMCS_CPU_CONTROLS, CPU_TPR_SHADOW);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, (u64)page);
	vmwrite(VMCS_TPR_THRESHOLD, 4);
	hv_run(&l2);
	t_exit("TPR shadow, above the threshold", &l2);
	hv_skip(&l2);
	hv_run(&l2);
	t_exit("TPR shadow, below it", &l2);
	print("T TPR in the virtual-APIC page: %x\n", page[0x80]);
}

extern const u8 l2_after_nmi[];
asm("l2_after_nmi: nop; nop; movl $0xe0d, %eax; vmcall\n");

/* An NMI is injected; the window opens behind L2's IRET. */
static void virtual_nmis(void)
{
	hv_init(&l2, HV_LONG64, l2_after_nmi);
	hv_set(VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMI);
	hv_set(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | INTR_NMI | VEC_NMI);
	hv_run(&l2);
	t_exit("virtual NMIs", &l2);
	print("T NMIs that L2 took: %u, blocking %lx\n", l2.cpu->irq_count[VEC_NMI],
	      vmread(VMCS_GUEST_INTERRUPTIBILITY));
}

/* ---- its local APIC ---- */

/* Between two entries, and while NMIs are blocked. */
static void self_nmi(void (*send)(void), const char *what)
{
	u32 before = this_cpu()->irq_count[VEC_NMI];

	hv_init(&l2, HV_LONG64, l2_end);
	hv_set(VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMI);
	hv_run(&l2);
	send();
	print("T %s: %u\n", what, this_cpu()->irq_count[VEC_NMI] - before);
}

static void send_by_xapic(void) { send_nmi(0); }
static void send_by_x2apic(void) { wrmsr(X2APIC_ICR, (u64)this_cpu()->apic_id << 32 | ICR_ASSERT | ICR_NMI); }

static void x2apic(void)
{
	u64 value;

	t_fault("x2APIC on", try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_X2APIC));
	t_fault("x2APIC to xAPIC", try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~APIC_X2APIC));
	t_fault("x2APIC without APIC", try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~APIC_ENABLE));
	t_fault("x2APIC again", try_wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE)));
	t_fault("CMCI in the LVT, masked", try_wrmsr(X2APIC_LVT_CMCI, BIT(16) | VEC_TEST));
	print("T CMCI reads: %s", vector_name(try_rdmsr(X2APIC_LVT_CMCI, &value)));
	print(" %lx\n", value);
	t_fault("LINT1 as NMI", try_wrmsr(X2APIC_LVT_LINT1, ICR_NMI));
	self_nmi(send_by_x2apic, "self-NMI by the x2APIC's ICR");
}

DEFINE_TEST(vmx_hyperv, "vmx-hyperv", "what Microsoft's hypervisor asks of VMX, in its order")
{
	if (!hv_supported())
		return;
	capability_msrs();
	required_controls();
	hv_on();
	unrestricted_guest();
	msr_bitmap();
	tpr_shadow();
	virtual_nmis();
	self_nmi(send_by_xapic, "self-NMI by ICR");
	x2apic();
	hv_off();
}
