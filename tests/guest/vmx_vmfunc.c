/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM functions as L1 sees them (Intel SDM vol. 3, "VM Functions", "EPTP Switching"): L2 chooses among the EPTPs of
 * L1's list by VMFUNC, without an exit; what is no such choice is an exit, or #UD. Two EPT12 differ in what they map at
 * WINDOW. What a hypapp's rights become is in verify.c, what the index in vmx_ve.c.
 */
#include "test.h"

#define WINDOW 0x80000000ull
#define LIST_WINDOW (WINDOW + PAGE_SIZE)	/* the list of EPTPs, in both */
#define LEAF (EPT_RWX | EPT_WB)

enum { VM_FUNCTIONS = 0x2018, EPTP_LIST = 0x2024, EXIT_BY_VMFUNC = 59, MSR_VM_FUNCTIONS = 0x491 };

static struct ept12 ept, other, third;
static u8 *page;		/* their first bytes are page numbers */
static u64 *list;

extern const u8 l2_vmfunc[], l2_stores[], l2_steps[], l2_sti[], l2_mov_ss[], real_vmfunc[], real_end[];
asm("l2_stores: movq %rdx, (%rbx)\n"
    "l2_vmfunc: .byte 0x0f, 0x01, 0xd4; movzbl (%rsi), %edi; movl $0x55, %eax; vmcall\n"
    "l2_steps: pushq $0x102; popfq; .byte 0x0f, 0x01, 0xd4; nop; vmcall\n"
    "l2_sti: sti; .byte 0x0f, 0x01, 0xd4; vmcall\n"
    "l2_mov_ss: movl %ss, %edx; movl %edx, %ss; .byte 0x0f, 0x01, 0xd4; vmcall\n"
    ".code16; real_vmfunc: .byte 0x0f, 0x01, 0xd4; movl $0xe0d, %eax; vmcall; real_end: .code64\n");

static void new_ept(struct ept12 *at, u64 window)
{
	ept_init(at);
	ept_map_range(at, 0, WINDOW, EPT_2M, LEAF);
	ept_map(at, WINDOW, (u64)page + window * PAGE_SIZE, EPT_4K, LEAF);
	ept_map(at, LIST_WINDOW, (u64)list, EPT_4K, LEAF);
}

static void new_world(void)
{
	new_ept(&ept, 1);
	new_ept(&other, 2);
	new_ept(&third, 3);
	set_bytes(list, 0, PAGE_SIZE);
	list[0] = ept.eptp;
	list[1] = list[511] = other.eptp;
	list[2] = (other.eptp & ~7ull) | 1;
	list[3] = other.eptp | BIT(11);
	list[5] = other.eptp ^ 1 << 3;
	list[6] = other.eptp | BIT(51);
	list[7] = other.eptp | EPTP_AD;
}

static void prepare(enum hv_mode mode, const void *code)
{
	hv_init(&l2, mode, code);
	hv_set(VMCS_EXCEPTION_BITMAP, BIT(VEC_UD));
	vmwrite(VMCS_EPTP, list[0]);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_VMFUNC);
	vmwrite(VM_FUNCTIONS, 1);
	vmwrite(EPTP_LIST, (u64)list);
	l2.regs[RAX] = 0;
	l2.regs[RCX] = 1;
	l2.regs[RSI] = WINDOW;
}

static void t_go(const char *what, const u8 *code)
{
	u64 eptp;

	if (hv_run(&l2) != VMX_OK) {
		print("T %s: refused with %u\n", what, l2.insn_error);
		return;
	}
	if (l2.exit.reason == EXIT_BY_VMFUNC)
		print("T %s: exit VMFUNC, length %u\n", what, l2.exit.length);
	else
		t_exit(what, &l2);
	eptp = vmread(VMCS_EPTP);
	print("T   reads %lx, at %ld, blocked %lx, EPTP %s%s\n", l2.exit.reason == EXIT_VMCALL ? l2.regs[RDI] : 0,
	      vmread(VMCS_GUEST_RIP) - (u64)code, vmread(VMCS_GUEST_INTERRUPTIBILITY),
	      eptp == ept.eptp ? "the first" : (eptp & EPT_ADDRESS) == (u64)other.root ? "the second" : "another",
	      eptp & EPTP_AD ? " with flags" : "");
}

/* ---- What VMFUNC asks for ---- */

static const struct row {
	const char *what;
	u64 functions;		/* VM-function controls */
	u64 function, index;	/* RAX and RCX of VMFUNC */
	bool is_off;		/* the secondary control */
} rows[] = {
	{ "to another EPTP", 1, 0, 1, false },	     { "to the same", 1, 0, 0, false },
	{ "the last one", 1, 0, 511, false },	     { "behind the list", 1, 0, 512, false },
	{ "far behind it", 1, 0, 0xffffffff, false },
	{ "bad memory type", 1, 0, 2, false },	     { "reserved bit", 1, 0, 3, false },
	{ "no entry", 1, 0, 4, false },		     { "other depth of walk", 1, 0, 5, false },
	{ "address too wide", 1, 0, 6, false },	     { "with flags", 1, 0, 7, false },
	{ "upper halves of registers", 1, BIT(32), BIT(32) | 1, false },
	{ "function 1", 1, 1, 1, false },	     { "function 63", 1, 63, 1, false },
	{ "function 64", 1, 64, 1, false },	     { "function 0xffffffff", 1, 0xffffffff, 1, false },
	{ "function not allowed", 0, 0, 1, false },  { "function 1 not allowed", 0, 1, 1, false },
	{ "no VM functions", 1, 0, 1, true },	     { "no VM functions, function 1", 1, 1, 1, true },
	{ "reserved function", 2, 0, 1, false },     { "reserved functions", ~0ull, 0, 1, false },
};

static void go_row(const struct row *row)
{
	prepare(HV_LONG64, l2_vmfunc);
	if (row->is_off)
		hv_clear(VMCS_CPU_CONTROLS2, CPU2_VMFUNC);
	vmwrite(VM_FUNCTIONS, row->functions);
	l2.regs[RAX] = row->function;
	l2.regs[RCX] = row->index;
	t_go(row->what, l2_vmfunc);
}

static void modes(void)
{
	const u8 *low = hv_low_code(real_vmfunc, (size_t)(real_end - real_vmfunc));
	static const struct { const char *what; enum hv_mode mode; const u8 *code; } cases[] = {
		{ "CPL 3", HV_USER64, l2_vmfunc }, { "protected mode", HV_PROTECTED32, l2_vmfunc },
		{ "single step", HV_LONG64, l2_steps },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		prepare(cases[i].mode, cases[i].code);
		hv_set(VMCS_EXCEPTION_BITMAP, BIT(VEC_DB));
		t_go(cases[i].what, cases[i].code);
		prepare(cases[i].mode, cases[i].code);
		hv_clear(VMCS_CPU_CONTROLS2, CPU2_VMFUNC);
		t_go("the same without VM functions", cases[i].code);
	}
	prepare(HV_REAL16, low);
	t_go("real mode", low);
	/* An exit finds what the instruction before has blocked. */
	for (u32 i = 0; i < 2; i++) {
		const u8 *code = i ? l2_mov_ss : l2_sti;

		prepare(HV_LONG64, code);
		l2.regs[RCX] = 4;
		t_go(i ? "behind MOV SS" : "behind STI", code);
		prepare(HV_LONG64, code);
		t_go("the same, and it switches", code);
	}
}

static void in_root(const char *where)
{
	t_result(where, TRY_VMX(".byte 0x0f, 0x01, 0xd4", "a"(0), "c"(0)));
}

/* ---- Entries ---- */

static void entries(void)
{
	static const u64 bad[] = { 8, 0x800, BIT(51), BIT(63) };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (u64 functions = 0; functions < 2; functions++) {
			prepare(HV_LONG64, l2_vmfunc);
			vmwrite(VM_FUNCTIONS, functions);
			vmwrite(EPTP_LIST, (u64)list | bad[i]);
			t_go(functions ? "bad address of the list" : "the same, not used", l2_vmfunc);
		}
	prepare(HV_LONG64, l2_vmfunc);
	hv_clear(VMCS_CPU_CONTROLS2, CPU2_EPT | CPU2_UNRESTRICTED);
	t_go("without EPT", l2_vmfunc);
	prepare(HV_LONG64, l2_vmfunc);
	vmwrite(EPTP_LIST, 0xe0000000);
	t_go("list in a hole", l2_vmfunc);
}

/* ---- What the list and the tables say by now ---- */

static void list_changes(void)
{
	list[1] = third.eptp;
	go_row(&rows[0]);
	list[1] = other.eptp | BIT(63);
	go_row(&rows[0]);
	list[1] = other.eptp;
	go_row(&rows[0]);
	/* L2 writes where EPT12 shows it the list. */
	prepare(HV_LONG64, l2_stores);
	l2.regs[RBX] = LIST_WINDOW + 8 * sizeof(u64);
	l2.regs[RDX] = other.eptp;
	l2.regs[RCX] = 8;
	t_go("an entry that L2 has made", l2_stores);
	prepare(HV_LONG64, l2_stores);
	l2.regs[RBX] = LIST_WINDOW + sizeof(u64);
	t_go("an entry that L2 has cleared", l2_stores);
	list[1] = other.eptp;
	/* Away and back: what each maps is seen at once, and a change of the one that is not in force after INVEPT. */
	ept_map(&other, WINDOW, (u64)page + 4 * PAGE_SIZE, EPT_4K, LEAF);
	ept_flush(&other);
	go_row(&rows[0]);
	go_row(&rows[1]);
}

static void switch_to(u64 index)
{
	asm volatile(".byte 0x0f, 0x01, 0xd4" :: "a"(0), "c"(index) : "memory");
}

/* Forth and back while L2 runs; it writes by each, too. */
static void l2_walks(void)
{
	for (u64 i = 0; i < 7; i++) {
		switch_to(i % 2);
		l2_report(*(volatile u8 *)WINDOW);
		*(volatile u8 *)(WINDOW + 8 + i) = (u8)i;
	}
	switch_to(7);
	l2_report(*(volatile u8 *)WINDOW);
	*(volatile u8 *)WINDOW = 0x77;
	switch_to(1);
	l2_report(*(volatile u8 *)WINDOW);
	l2_end();
}

static void t_flags(const char *what, struct ept12 *of)
{
	u64 entry = *ept_entry(of, WINDOW, EPT_4K);

	print("T   %s: accessed %u, dirty %u\n", what, !!(entry & EPT_ACCESSED), !!(entry & EPT_DIRTY));
}

static void back_and_forth(void)
{
	for (u16 vpid = 0; vpid < 8; vpid += 7) {
		new_world();
		prepare(HV_LONG64, l2_walks);
		hv_clear(VMCS_CPU_CONTROLS2, vpid ? 0 : CPU2_VPID);
		vmwrite(VMCS_VPID, vpid);
		t_run(vpid ? "back and forth with a VPID" : "back and forth", &l2, NULL);
		print("T   VPID %lx, written %lx and %lx\n", vmread(VMCS_VPID), ((u64 *)(page + PAGE_SIZE))[1],
		      ((u64 *)(page + 2 * PAGE_SIZE))[1]);
		t_flags("the first", &ept);
		t_flags("the second", &other);
		page[2 * PAGE_SIZE] = 2;
	}
}

/* The next instruction is fetched by the new tables, the exit comes behind VMFUNC; L1 repairs it and L2 goes on. */
static void nothing_there(void)
{
	new_world();
	*ept_entry(&other, (u64)l2_vmfunc, EPT_2M) = 0;
	ept_flush(&other);
	go_row(&rows[0]);
	ept_map(&other, (u64)l2_vmfunc & ~(ept_leaf_size(EPT_2M) - 1), (u64)l2_vmfunc & ~(ept_leaf_size(EPT_2M) - 1),
		EPT_2M, LEAF);
	t_go("mended", l2_vmfunc);
	*ept_entry(&other, WINDOW, EPT_4K) = 0;
	ept_flush(&other);
	go_row(&rows[0]);
	ept_map(&other, WINDOW, (u64)page + 5 * PAGE_SIZE, EPT_4K, LEAF | 7 << 3);
	go_row(&rows[0]);
}

DEFINE_TEST(vmx_vmfunc, "vmx-vmfunc", "VM functions: EPTP switching, what is refused, modes, the list, A/D, VPID")
{
	if (!hv_supported())
		return;
	in_root("VMFUNC before VMXON");
	hv_on();
	in_root("VMFUNC in VMX root operation");
	if ((rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_VMFUNC) && (rdmsr(MSR_VM_FUNCTIONS) & 1)) {
		page = page_alloc_many(8, PAGE_SIZE);
		for (u32 i = 0; i < 8; i++)
			page[i * PAGE_SIZE] = (u8)i;
		list = page_alloc();
		new_world();
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			go_row(&rows[i]);
		modes();
		entries();
		list_changes();
		back_and_forth();
		nothing_there();
	} else {
		print("T no VM functions\n");
	}
	hv_off();
}
