/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT-violation #VE as L1 sees it: which violations become exceptions of L2, by bit 63 of the entry of EPT12 that
 * counts, and what stands in the information area; and which stay exits.
 */
#include "test.h"

#define WINDOW 0x80000000ull
#define WALKED 0x8000000000ull		/* linear address whose page tables lie in the window */
#define SUPPRESS BIT(63)
#define LEAF (EPT_RWX | EPT_WB)
#define NO_PAGE 0xf000			/* of real mode */

enum { VEC_VE = 20, EPTP_INDEX = 0x0004, VE_INFORMATION = 0x202a, VM_FUNCTIONS = 0x2018, EPTP_LIST = 0x2024 };
/* Bits 5:0, 7, 8 and 12 of a violation's qualification: what every CPU with EPT defines. */
#define QUALIFICATION 0x11bful

static struct ept12 ept, other;
static u8 *page;
static volatile struct {
	u32 reason, busy;
	u64 qualification, linear, physical;
	u16 index;
} *area;

static u64 address;	/* L2's */
static bool switches;	/* L2 goes to the second EPTP first */

static void l2_says(void)
{
	struct fault *f = &this_cpu()->fault;

	l2_report(f->vector == NO_FAULT ? 0 : f->vector | (f->rflags & BIT(16)));
	l2_end();
}

static void l2_reads(void)
{
	if (switches)
		asm volatile(".byte 0x0f, 0x01, 0xd4" :: "a"(0), "c"(1) : "memory");
	fault_reset();
	asm volatile(MAY_FAULT("movb (%0), %%dl") :: "r"(address) : "rdx", "memory");
	l2_says();
}

static void l2_writes(void)
{
	fault_reset();
	asm volatile(MAY_FAULT("movb $1, (%0)") :: "r"(address) : "memory");
	l2_says();
}

extern const u8 l2_interrupt[], l2_iret[], real_read[], real_read_end[];
asm("l2_interrupt: mov %rbx, %rsp; int $0x42; vmcall\n"
    "l2_iret: mov %rbx, %rsp; iretq\n"
    ".code16; real_read: movb 0xf000, %al; movl $0xe0d, %eax; vmcall; real_read_end: .code64\n");

static void new_ept(void)
{
	ept_init(&ept);
	ept_map_range(&ept, 0, WINDOW, EPT_2M, LEAF);
	address = WINDOW + 0x123;
	switches = false;
	area->busy = 0;
}

/* The window's one entry of that level. */
static void entry(int level, u64 value) { *ept_entry(&ept, WINDOW, level) = value; }

static void prepare(const void *code)
{
	hv_init(&l2, HV_LONG64, code);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_EPT_VE);
	vmwrite(VMCS_EPTP, ept.eptp);
	vmwrite(VE_INFORMATION, (u64)area);
	vmwrite(EPTP_INDEX, 0); /* the emulator takes none but that of EPTP switching */
}

static void t_area(const char *what)
{
	if (area->busy)
		print("T %s: reason %u busy %x qual %lx linear %lx physical %lx index %x\n", what, area->reason,
		      area->busy, area->qualification & QUALIFICATION, area->linear, area->physical, area->index);
}

static void t_go(const char *what)
{
	area->index = 0xeeee;
	t_run(what, &l2, NULL);
	t_area(what);
}

static void run(const char *what, const void *code)
{
	prepare(code);
	t_go(what);
}

/* ---- Which entry counts ---- */

static void leaves(int level)
{
	static const struct { const char *what; u64 bits; const void *code; } cases[] = {
		{ "absent", 0, l2_reads }, { "absent, suppressed", SUPPRESS, l2_reads },
		{ "absent, other bits", BIT(62) | 0x500, l2_reads }, { "read-only", EPT_R | EPT_WB, l2_writes },
		{ "read-only, suppressed", EPT_R | EPT_WB | SUPPRESS, l2_writes },
		{ "malformed", EPT_RWX | 7 << 3, l2_reads }, { "all rights", LEAF, l2_writes },
		{ "all rights, suppressed", LEAF | SUPPRESS, l2_writes },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		new_ept();
		entry(level, cases[i].bits & EPT_RWX ? (u64)page | cases[i].bits | (level > EPT_4K ? EPT_LARGE : 0) :
						       cases[i].bits);
		print("T -- level %d\n", level);
		run(cases[i].what, cases[i].code);
	}
}

static void tables(void)
{
	new_ept();
	entry(EPT_4K, 0);
	*ept_entry(&ept, WINDOW, EPT_2M) |= SUPPRESS;
	run("bit 63 of a table's entry", l2_reads);
	new_ept();
	entry(EPT_4K, SUPPRESS);
	run("bit 63 of the page's entry alone", l2_reads);
	for (u32 i = 0; i < 2; i++) {
		new_ept();
		entry(EPT_4K, (u64)page | LEAF | (i ? SUPPRESS : 0));
		*ept_entry(&ept, WINDOW, EPT_2M) &= ~(u64)EPT_W;
		run(i ? "table without write, page suppressed" : "table without write", l2_writes);
	}
	new_ept();
	entry(EPT_1G, 0);
	run("PDPTE absent", l2_reads);
	new_ept();
	entry(EPT_1G, SUPPRESS);
	run("PDPTE absent, suppressed", l2_reads);
}

static void guest_walk(void)
{
	new_ept();
	entry(EPT_4K, (u64)page | LEAF);
	for (u32 i = 0; i < 512; i++)
		((u64 *)page)[i] = 0;
	((u64 *)page)[0] = *(const u64 *)read_cr3();
	((u64 *)page)[WALKED >> 39 & 511] = (WINDOW + PAGE_SIZE) | 7;
	address = WALKED + 0x456;
	prepare(l2_reads);
	vmwrite(VMCS_GUEST_CR3, WINDOW);
	t_go("in L2's page walk");
}

/* ---- What keeps a violation an exit ---- */

static void stays_an_exit(void)
{
	new_ept();
	entry(EPT_4K, 0);
	run("first", l2_reads);
	run("still busy", l2_reads);
	area->busy = BIT(31);
	run("one bit of busy", l2_reads);
	area->busy = 0;
	prepare(l2_reads);
	hv_clear(VMCS_CPU_CONTROLS2, CPU2_EPT_VE);
	t_go("not enabled");
	prepare(l2_reads);
	vmwrite(VE_INFORMATION, 0xe0000000);
	t_go("area in a hole");
	prepare(l2_reads);
	hv_set(VMCS_EXCEPTION_BITMAP, BIT(VEC_VE));
	t_go("L1 wants the exception");
	t_check("at the access", *(const u8 *)vmread(VMCS_GUEST_RIP) == 0x8a);
	new_ept();
	prepare(l2_interrupt);
	l2.regs[RBX] = WINDOW + 0x100;
	t_go("delivery of an interrupt");
	ept_init(&ept);
	ept_map_range(&ept, 0, 0x200000, EPT_4K, LEAF);
	*ept_entry(&ept, NO_PAGE, EPT_4K) = 0;
	hv_init(&l2, HV_REAL16, hv_low_code(real_read, (size_t)(real_read_end - real_read)));
	hv_set(VMCS_CPU_CONTROLS2, CPU2_EPT_VE);
	vmwrite(VMCS_EPTP, ept.eptp);
	vmwrite(VE_INFORMATION, (u64)area);
	t_go("real mode");
}

/* The stack of an IRET: its exception cannot be delivered there, and is told with the exit. */
static void nmi_unblocking(void)
{
	for (u32 i = 0; i < 2; i++) {
		new_ept();
		prepare(l2_iret);
		hv_set(VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMI);
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCK_NMI);
		vmwrite(VMCS_EXCEPTION_BITMAP, i ? BIT(VEC_VE) : 0);
		l2.regs[RBX] = WINDOW + 0x100;
		t_go("IRET that ends NMI blocking");
		print("T   interruption information %x, blocking %lx\n", l2.exit.intr_info & (i ? ~0u : 0),
		      vmread(VMCS_GUEST_INTERRUPTIBILITY));
	}
}

static void addresses(void)
{
	static const u64 bad[] = { 8, 0x800, BIT(51), BIT(63) };

	new_ept();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		prepare(l2_reads);
		vmwrite(VE_INFORMATION, (u64)area | bad[i]);
		t_result("bad address", hv_run(&l2));
	}
}

/* EPTP switching leaves its index for the information area. */
static void index_of_switch(void)
{
	u64 *list = page_alloc();

	if (!(rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_VMFUNC))
		return;
	new_ept();
	other = ept;
	new_ept();
	list[0] = ept.eptp;
	list[1] = other.eptp;
	prepare(l2_reads);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_VMFUNC);
	vmwrite(VM_FUNCTIONS, 1);
	vmwrite(EPTP_LIST, (u64)list);
	switches = true;
	t_go("after EPTP switching");
	print("T   field %lx\n", vmread(EPTP_INDEX));
}

DEFINE_TEST(vmx_ve, "vmx-ve", "EPT-violation #VE: which violations, the information area, what stays an exit")
{
	if (!hv_supported())
		return;
	hv_on();
	if (rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_EPT_VE) {
		page = page_alloc_many(512, 512 * PAGE_SIZE);
		area = page_alloc();
		leaves(EPT_4K);
		leaves(EPT_2M);
		tables();
		guest_walk();
		stays_an_exit();
		nmi_unblocking();
		addresses();
		index_of_switch();
	} else {
		print("T no #VE\n");
	}
	hv_off();
}
