/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page-modification logging as L1 sees it: which writes of L2 are logged, where, and what a full log does. L2 writes to
 * a window of guest-physical addresses; its own code, stack and tables are dirty from the start. The emulator looks at
 * the index at each walk, the manual lets it look only where a flag has to be set: so the log becomes full in the
 * middle of a run, and at an access whose flag is not set yet.
 */
#include "test.h"

#define WINDOW 0x80000000ull
#define WALKED 0x8000000000ull		/* linear address whose page tables lie in the window */
#define PAGES 8
#define DIRTY_LEAF (EPT_RWX | EPT_WB | EPT_ACCESSED | EPT_DIRTY)

enum { PML_INDEX = 0x0812, PML_ADDR = 0x200e };

static struct ept12 ept;
static u8 *page;		/* 2 MiB, aligned */
static u64 *log;

/* RCX accesses from RSI on, RDX bytes from one to the next. The second part interrupts itself, the third returns. */
extern const u8 l2_writes[], l2_reads[], l2_interrupts[], l2_irets[];
asm("l2_writes: 1: incb (%rsi); add %rdx, %rsi; decl %ecx; jnz 1b; movl $0xe0d, %eax; vmcall\n"
    "l2_reads: 1: movb (%rsi), %dil; add %rdx, %rsi; decl %ecx; jnz 1b; movl $0xe0d, %eax; vmcall\n"
    "l2_interrupts: incb (%rsi); mov %rbx, %rsp; int $0x42; vmcall\n"
    "l2_irets: incb (%rsi); mov %rbx, %rsp; iretq\n");

/* The window maps PAGES pages, clean, or one large leaf; nothing but the index and the flags has changed afterwards. */
static void new_window(int level, u64 bits)
{
	ept_init(&ept);
	ept.eptp |= EPTP_AD;
	ept_map_range(&ept, 0, WINDOW, EPT_2M, DIRTY_LEAF);
	for (u32 i = 0; i < (level == EPT_4K ? PAGES : 1); i++)
		ept_map(&ept, WINDOW + i * PAGE_SIZE, (u64)page + i * PAGE_SIZE, level, bits);
	for (u32 i = 0; i < 512; i++)
		log[i] = ~0ull;
}

static void clear_pages(void)
{
	for (u32 i = 0; i < PAGES * PAGE_SIZE / 8; i++)
		((u64 *)page)[i] = 0;
}

static u64 *leaf(u32 i) { return ept_entry(&ept, WINDOW + i * PAGE_SIZE, EPT_4K); }

static void prepare(const void *code, u64 index)
{
	hv_init(&l2, HV_LONG64, code);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_PML);
	vmwrite(VMCS_EPTP, ept.eptp);
	vmwrite(PML_ADDR, (u64)log);
	vmwrite(PML_INDEX, index);
}

static void aim(u64 address, u64 step, u64 count)
{
	l2.regs[RSI] = address;
	l2.regs[RDX] = step;
	l2.regs[RCX] = count;
}

/* The emulator logs the address of the byte, the manual says of the page. */
static void t_log(const char *what)
{
	print("T %s: index %lx\n", what, vmread(PML_INDEX));
	for (u32 i = 512; i-- > 0;)
		if (log[i] != ~0ull)
			print("T   entry %u: %lx\n", i, log[i] & ~(u64)(PAGE_SIZE - 1));
}

static void t_go(const char *what)
{
	vmx_result result = hv_run(&l2);

	if (result != VMX_OK)
		t_result(what, result);
	else
		t_exit(what, &l2);
	t_log(what);
}

static void t_flags(const char *what)
{
	for (u32 i = 0; i < PAGES; i++)
		print("T %s, page %u: accessed %u dirty %u\n", what, i, !!(*leaf(i) & EPT_ACCESSED),
		      !!(*leaf(i) & EPT_DIRTY));
}

static void run(const char *what, const void *code, u64 index, u64 address, u64 step, u64 count)
{
	prepare(code, index);
	aim(address, step, count);
	t_go(what);
}

static void what_is_logged(void)
{
	new_window(EPT_4K, EPT_RWX | EPT_WB);
	run("reads", l2_reads, 511, WINDOW, PAGE_SIZE, 3);
	run("writes", l2_writes, 511, WINDOW + 0x123, PAGE_SIZE, 5);
	run("writes again", l2_writes, 100, WINDOW, PAGE_SIZE, 5);
	*leaf(1) &= ~(u64)EPT_DIRTY;
	*leaf(3) &= ~(u64)(EPT_ACCESSED | EPT_DIRTY);
	ept_flush(&ept);
	run("two are clean again", l2_writes, 200, WINDOW + 8, PAGE_SIZE, 6);
	t_flags("two are clean again");
	new_window(EPT_2M, EPT_RWX | EPT_WB);
	run("a large leaf", l2_writes, 300, WINDOW + 5 * PAGE_SIZE + 8, 2 * PAGE_SIZE, 4);
	new_window(EPT_4K, EPT_R | EPT_WB);
	run("not writable", l2_writes, 511, WINDOW, PAGE_SIZE, 1);
	*leaf(0) |= EPT_W;
	t_go("made writable");
}

/* With the flags in use, the CPU's walks of L2's page tables count as writes to them. */
static void tables_are_logged(void)
{
	new_window(EPT_4K, EPT_RWX | EPT_WB);
	prepare(l2_reads, 511);
	clear_pages();
	((u64 *)page)[0] = *(const u64 *)read_cr3();
	for (u32 i = 0; i < 4; i++)
		((u64 *)(page + i * PAGE_SIZE))[i ? 0 : WALKED >> 39 & 511] = (WINDOW + (i + 1) * PAGE_SIZE) | 7;
	vmwrite(VMCS_GUEST_CR3, WINDOW);
	aim(WALKED, 1, 1);
	t_go("L2's tables");
	t_flags("L2's tables");
}

static void full_log(void)
{
	static const u64 behind[] = { 512, 513, 0x8000, 0xffff };

	new_window(EPT_4K, EPT_RWX | EPT_WB);
	clear_pages();
	run("full in the middle", l2_writes, 1, WINDOW, PAGE_SIZE, 4);
	t_flags("full in the middle");
	print("T full in the middle: written %x%x%x%x, %lu to go, at %ld\n", page[0], page[PAGE_SIZE],
	      page[2 * PAGE_SIZE], page[3 * PAGE_SIZE], l2.regs[RCX], vmread(VMCS_GUEST_RIP) - (u64)l2_writes);
	vmwrite(PML_INDEX, 511);
	t_go("emptied");
	for (u32 i = 0; i < ARRAY_SIZE(behind); i++) {
		new_window(EPT_4K, EPT_RWX | EPT_WB);
		*ept_entry(&ept, (u64)l2_reads, EPT_2M) &= ~(u64)EPT_ACCESSED;
		run("full, and an accessed flag to set", l2_reads, behind[i], WINDOW, PAGE_SIZE, 1);
		print("T   accessed %u\n", !!(*ept_entry(&ept, (u64)l2_reads, EPT_2M) & EPT_ACCESSED));
	}
	new_window(EPT_4K, EPT_RWX | EPT_WB);
	prepare(l2_interrupts, 0);
	aim(WINDOW, 0, 0);
	l2.regs[RBX] = WINDOW + 2 * PAGE_SIZE;
	t_go("full while an interrupt is delivered");
	new_window(EPT_4K, EPT_RWX | EPT_WB);
	prepare(l2_irets, 0);
	hv_set(VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMI);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, BLOCK_NMI);
	aim(WINDOW, 0, 0);
	l2.regs[RBX] = WINDOW + PAGE_SIZE;
	t_go("full at an IRET that ends NMI blocking");
}

static void not_in_use(void)
{
	new_window(EPT_4K, EPT_RWX | EPT_WB);
	prepare(l2_writes, 0xffff);
	hv_clear(VMCS_CPU_CONTROLS2, CPU2_PML);
	aim(WINDOW, PAGE_SIZE, 2);
	t_go("not enabled");
	new_window(EPT_4K, EPT_RWX | EPT_WB);
	ept.eptp &= ~(u64)EPTP_AD;
	run("no flags in use", l2_writes, 0xffff, WINDOW, PAGE_SIZE, 2);
}

static void addresses(void)
{
	static const u64 bad[] = { 8, 0x800, BIT(51), BIT(63) };

	new_window(EPT_4K, EPT_RWX | EPT_WB);
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		prepare(l2_writes, 511);
		vmwrite(PML_ADDR, (u64)log | bad[i]);
		t_go("bad address");
	}
	prepare(l2_writes, 511);
	hv_clear(VMCS_CPU_CONTROLS2, CPU2_EPT | CPU2_UNRESTRICTED);
	t_go("without EPT");
	prepare(l2_writes, 511);
	vmwrite(PML_ADDR, 0xe0000000);
	aim(WINDOW, PAGE_SIZE, 3);
	t_go("a log in a hole");
	/* L2 writes to the page that the log is in, and the log is in it afterwards. */
	ept_map(&ept, WINDOW + 4 * PAGE_SIZE, (u64)log, EPT_4K, EPT_RWX | EPT_WB);
	run("the log's own page", l2_writes, 40, WINDOW + 4 * PAGE_SIZE, 8, 1);
}

DEFINE_TEST(vmx_pml, "vmx-pml", "page-modification logging: what is logged, a full log, addresses")
{
	if (!hv_supported())
		return;
	hv_on();
	if (rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_PML) {
		page = page_alloc_many(512, 512 * PAGE_SIZE);
		log = page_alloc();
		what_is_logged();
		tables_are_logged();
		full_log();
		not_in_use();
		addresses();
	} else {
		print("T no page-modification logging\n");
	}
	hv_off();
}
