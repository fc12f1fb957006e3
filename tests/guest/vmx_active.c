/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCSs that stay active while others are current. A hypervisor below may keep them anywhere until VMCLEAR; what each
 * holds must not mix with the others', and VMCLEAR must forget what was kept. vmx_insn.c has more than may be kept.
 */
#include "test.h"

#define WINDOW 0x80000000ull

static struct vcpu a, b, c;

/* Each CPUID of L2 leaves another limit of the GDTR, which an exit to L1 need not read at once. */
static void l2_lowers_gdtr(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) gdtr;

	for (;;) {
		asm volatile("sgdt %0" : "=m"(gdtr));
		gdtr.limit -= 8;
		asm volatile("lgdt %0" :: "m"(gdtr));
		cpuid(0, 0);
	}
}

/* One round: to L2's next CPUID. */
static void turn(const char *what, struct vcpu *v)
{
	t_result(what, try_vmptrld(&v->vmcs));
	t_result(what, hv_run(v));
	t_exit(what, v);
	if (v->exit.reason == EXIT_VMCALL)
		print("T %s says %lx\n", what, v->regs[RAX] & 0xffff);
	hv_skip(v);
}

static void print_state(const char *what, struct vcpu *v)
{
	t_result(what, try_vmptrld(&v->vmcs));
	print("T %s: RSP %lx, GDTR limit %lx, SYSENTER_EIP %lx\n", what, vmread(VMCS_GUEST_RSP) & 0xfff,
		vmread(VMCS_GUEST_GDTR_LIMIT), vmread(VMCS_GUEST_SYSENTER_EIP));
}

/* Fields that a hypervisor below may let L1 write without an exit, and others. */
static void write_state(struct vcpu *v, u64 value)
{
	t_result("vmptrld", try_vmptrld(&v->vmcs));
	vmwrite(VMCS_GUEST_RSP, (v->stack_top & ~0xfffull) + value * 16);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, value);
}

static void in_turn(void)
{
	print("T -- two in turn\n");
	hv_init(&a, HV_LONG64, l2_lowers_gdtr);
	hv_init(&b, HV_LONG64, l2_lowers_gdtr);
	for (u32 i = 0; i < 3; i++) {
		turn("a", &a);
		if (i)
			turn("b", &b);
	}
	print_state("a", &a);
	print_state("b", &b);
}

static void written_and_left(void)
{
	print("T -- written, and another one made current\n");
	write_state(&a, 3);
	write_state(&b, 5);
	print_state("a", &a);
	print_state("b", &b);
	write_state(&a, 7);
	write_state(&b, 9);
	t_result("vmclear of a, which is not current", try_vmclear(&a.vmcs));
	print_state("b", &b);
	print_state("a", &a);
	t_result("vmresume of a", try_vmresume());
	a.launched = a.host_rsp = 0;
	turn("a", &a);
}

/* After VMCLEAR the region is L1's: with an older image in it the VMCS is the older one. */
static void region_rewritten(void)
{
	u8 *image = page_alloc();

	print("T -- a region that L1 rewrites\n");
	write_state(&a, 1);
	try_vmclear(&a.vmcs);
	copy_bytes(image, (void *)a.vmcs, PAGE_SIZE);
	write_state(&a, 2);
	a.launched = a.host_rsp = 0;
	turn("a", &a);
	try_vmclear(&a.vmcs);
	copy_bytes((void *)a.vmcs, image, PAGE_SIZE);
	print_state("a", &a);
	t_result("vmresume", try_vmresume());
	try_vmclear(&a.vmcs);
}

/* c takes a's region for a VMCS of its own. */
static void region_reused(void)
{
	print("T -- a region that becomes another VMCS\n");
	hv_init(&c, HV_LONG64, l2_lowers_gdtr);
	try_vmclear(&c.vmcs);
	a.launched = a.host_rsp = 0;
	turn("a", &a);
	write_state(&a, 8);
	turn("b", &b);
	try_vmclear(&a.vmcs);
	set_bytes((void *)a.vmcs, 0, PAGE_SIZE);
	*(u32 *)a.vmcs = rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
	c.vmcs = a.vmcs;
	hv_init(&c, HV_LONG64, l2_lowers_gdtr);
	print("T c: SYSENTER_EIP %lx\n", vmread(VMCS_GUEST_SYSENTER_EIP));
	turn("c", &c);
	print_state("c", &c);
	print_state("b", &b);
}

static void l2_reads_window(void)
{
	for (;;)
		l2_report(*(volatile u64 *)WINDOW);
}

static void make_window(struct ept12 *ept, u64 value)
{
	u64 *page = page_alloc();

	*page = value;
	ept_init(ept);
	ept_map_range(ept, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB);
	ept_map(ept, WINDOW, (u64)page, EPT_4K, EPT_RWX | EPT_WB);
}

/* b goes through more EPTs than any CPU keeps apart; a, which is left alone, sees its own memory afterwards. */
static void many_epts(void)
{
	static struct ept12 of_a, of_b[6];

	print("T -- an EPT each, and many more\n");
	make_window(&of_a, 0xa);
	hv_init(&a, HV_LONG64, l2_reads_window);
	vmwrite(VMCS_EPTP, of_a.eptp);
	turn("a", &a);
	hv_init(&b, HV_LONG64, l2_reads_window);
	for (u32 i = 0; i < ARRAY_SIZE(of_b); i++) {
		make_window(&of_b[i], 0xb0 + i);
		t_result("vmptrld", try_vmptrld(&b.vmcs));
		vmwrite(VMCS_EPTP, of_b[i].eptp);
		turn("b", &b);
	}
	turn("a", &a);
	turn("b", &b);
	t_result("vmclear", try_vmclear(&a.vmcs));
	turn("b", &b);
}

/* With them goes the EPT: the window is an address of L1's then, where nothing is. */
static void secondary_off_and_on(void)
{
	static struct ept12 ept;

	print("T -- a primary control turns the secondary ones off and on\n");
	make_window(&ept, 0xa);
	hv_init(&a, HV_LONG64, l2_reads_window);
	vmwrite(VMCS_EPTP, ept.eptp);
	turn("on", &a);
	hv_clear(VMCS_CPU_CONTROLS, CPU_SECONDARY);
	turn("off", &a);
	hv_set(VMCS_CPU_CONTROLS, CPU_SECONDARY);
	turn("on again", &a);
	hv_clear(VMCS_CPU_CONTROLS, CPU_SECONDARY);
	try_vmclear(&a.vmcs);
	a.launched = a.host_rsp = 0;
	turn("launched when off", &a);
	hv_set(VMCS_CPU_CONTROLS, CPU_SECONDARY);
	turn("on", &a);
}

/* VMXOFF with VMCSs active: they are L1's own memory again, once VMX is on. */
static void vmxoff_and_on(void)
{
	print("T -- VMXOFF with active VMCSs\n");
	hv_init(&a, HV_LONG64, l2_lowers_gdtr);
	hv_init(&b, HV_LONG64, l2_lowers_gdtr);
	turn("a", &a);
	turn("b", &b);
	write_state(&a, 4);
	write_state(&b, 6);
	try_vmclear(&a.vmcs);
	try_vmclear(&b.vmcs);
	hv_off();
	hv_on();
	print_state("a", &a);
	print_state("b", &b);
	try_vmclear(&a.vmcs);
	try_vmclear(&b.vmcs);
	t_result("vmread without a current VMCS", try_vmread(VMCS_GUEST_RSP, &(u64){ 0 }));
	t_result("vmwrite without a current VMCS", try_vmwrite(VMCS_GUEST_RSP, 0));
}

/* Lowers the limit of its GDTR, and reports what it was before. */
static void l2_reports_gdtr(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) gdtr;
	u16 found;

	for (;;) {
		asm volatile("sgdt %0" : "=m"(gdtr));
		found = gdtr.limit;
		gdtr.limit -= 8;
		asm volatile("lgdt %0" :: "m"(gdtr));
		l2_report(found);
	}
}

/* More fields than one for which a hypervisor below that takes each at an exit would look for a better way. */
static void write_many(u64 value)
{
	vmwrite(VMCS_GUEST_SYSENTER_CS, value);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, value << 8);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, value << 16);
	vmwrite(VMCS_GUEST_ES_SEL, 0);
	vmwrite(VMCS_GUEST_LDTR_BASE, value);
	vmwrite(VMCS_TSC_OFFSET, value << 20);
	vmwrite(VMCS_TSC_OFFSET | 1, value);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, value);
	vmwrite(VMCS_EXIT_QUALIFICATION, value << 24);
}

static void print_many(const char *what)
{
	print("T %s: SYSENTER %lx, %lx, %lx, ES %lx, LDTR %lx, TSC offset %lx, %lx, GDTR limit %lx, "
	      "qualification %lx\n", what,
	      vmread(VMCS_GUEST_SYSENTER_CS), vmread(VMCS_GUEST_SYSENTER_ESP), vmread(VMCS_GUEST_SYSENTER_EIP),
	      vmread(VMCS_GUEST_ES_SEL), vmread(VMCS_GUEST_LDTR_BASE), vmread(VMCS_TSC_OFFSET),
	      vmread(VMCS_TSC_OFFSET | 1), vmread(VMCS_GUEST_GDTR_LIMIT), vmread(VMCS_EXIT_QUALIFICATION));
}

/* Written at once, as by a hypervisor whose guest is one, too, and left in the middle. */
static void many_fields(void)
{
	u64 cr4;

	print("T -- many fields between two exits\n");
	hv_init(&b, HV_LONG64, l2_reports_gdtr);
	hv_init(&a, HV_LONG64, l2_reports_gdtr);
	cr4 = vmread(VMCS_GUEST_CR4);
	write_many(0x1ff);
	turn("a", &a);
	print_many("a, read");
	write_many(0x1ff); /* the same: not what L2 has left */
	turn("a", &a);
	write_many(0x1ef);
	t_result("vmlaunch of a launched VMCS", try_vmlaunch());
	print_many("a, refused");
	write_many(0x1df);
	t_result("b", try_vmptrld(&b.vmcs));
	write_many(0x17f);
	t_result("a", try_vmptrld(&a.vmcs));
	print_many("a, after b");
	write_many(0x1cf);
	t_result("vmclear of b", try_vmclear(&b.vmcs));
	print_many("a, b cleared");
	t_result("b", try_vmptrld(&b.vmcs));
	print_many("b");
	turn("b", &b);
	turn("a", &a);
	write_many(0x1bf);
	vmwrite(VMCS_GUEST_CR4, cr4 | BIT(31));
	turn("a, wrong CR4", &a);
	print_many("a, failed");
	vmwrite(VMCS_GUEST_CR4, cr4);
	turn("a", &a);
	try_vmclear(&a.vmcs);
	try_vmclear(&b.vmcs);
}

/*
 * Has other page tables and another CR4 at each store to what is no memory. The store is of three bytes; cache bits of
 * CR3 mean nothing here.
 */
static void l2_stores_to_device(void)
{
	u64 cr3, cr4;

	for (;;) {
		asm volatile("mov %%cr3, %0" : "=r"(cr3));
		asm volatile("mov %0, %%cr3" :: "r"(cr3 ^ BIT(3)) : "memory");
		asm volatile("mov %%cr4, %0" : "=r"(cr4));
		asm volatile("mov %0, %%cr4" :: "r"(cr4 ^ BIT(8)) : "memory");
		asm volatile("mov %%rax, (%%rbx)" :: "b"(WINDOW), "a"(cr3) : "memory");
		cpuid(0, 0);
	}
}

static void print_walk(const char *what, u64 cr3)
{
	print("T %s: CR3 %lx, CR4 %lx\n", what, vmread(VMCS_GUEST_CR3) ^ cr3, vmread(VMCS_GUEST_CR4));
}

static void at_device(struct vcpu *v, u64 cr3)
{
	t_result("vmptrld", try_vmptrld(&v->vmcs));
	t_result("device", hv_run(v));
	t_exit("device", v);
	print_walk("at the device", cr3);
}

/* A hypervisor that finds a store to a device of its own walks L2's tables, and a lower one may foresee that. */
static void devices(void)
{
	static struct ept12 ept;
	u64 cr3;

	print("T -- stores to a device\n");
	make_window(&ept, 0);
	ept_map(&ept, WINDOW, 0, EPT_4K, EPT_W);
	hv_init(&b, HV_LONG64, l2_stores_to_device);
	vmwrite(VMCS_EPTP, ept.eptp);
	hv_init(&a, HV_LONG64, l2_stores_to_device);
	vmwrite(VMCS_EPTP, ept.eptp);
	cr3 = vmread(VMCS_GUEST_CR3);
	for (u32 i = 0; i < 3; i++) {
		at_device(&a, cr3);
		vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + 3);
		turn("a", &a);
		print_walk("at CPUID", cr3);
	}
	/* Written, left and come back to; many others written on top; an entry that is refused. */
	at_device(&a, cr3);
	vmwrite(VMCS_GUEST_CR3, cr3 ^ BIT(4));
	print_walk("written", cr3);
	t_result("vmlaunch of a launched VMCS", try_vmlaunch());
	print_walk("refused", cr3);
	at_device(&b, cr3);
	t_result("a", try_vmptrld(&a.vmcs));
	print_walk("a, after b", cr3);
	write_many(0x1ff);
	print_walk("a, many written", cr3);
	print_many("a");
	vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + 3);
	turn("a", &a);
	print_walk("a", cr3);
	at_device(&a, cr3);
	try_vmclear(&a.vmcs);
	t_result("b", try_vmptrld(&b.vmcs));
	print_walk("b, a cleared", cr3);
	t_result("a", try_vmptrld(&a.vmcs));
	print_walk("a, cleared", cr3);
	try_vmclear(&b.vmcs);
	try_vmclear(&a.vmcs);
}

DEFINE_TEST(vmx_active, "vmx-active", "VMCSs that are active while others are current")
{
	if (!hv_supported())
		return;
	hv_on();
	in_turn();
	written_and_left();
	region_rewritten();
	region_reused();
	many_epts();
	secondary_off_and_on();
	many_fields();
	devices();
	vmxoff_and_on();
	hv_off();
}
