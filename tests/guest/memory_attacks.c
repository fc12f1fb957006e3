/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On XMHF only; they judge themselves, and a "T FAIL" line fails the case. test=device-memory: each address that L1 can
 * hand to the core points at a device, whose registers root must not touch (Bochs stops where it reads the I/O APIC by
 * eight bytes). test=delivery-fault: events whose delivery ends at a page that is not the guest's. test=table-pool:
 * PALs whose pages lie in 246 regions of 2 MiB, in others each time.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "test.h"

#define IO_APIC 0xfec00000ull
#define APIC_STACK 0xfee00ff8ull	/* pushes go to the local APIC's page, which is read-only */

static void judge(const char *what, bool is_good)
{
	print(is_good ? "T %s: good\n" : "T FAIL %s: BAD\n", what);
}

/* ---- Device memory ---- */

static struct ept12 ept;

static void pointers_of_instructions(void)
{
	const u64 device = IO_APIC, *at_device = (const u64 *)IO_APIC;
	u64 own = hv_vmcs_alloc();

	judge("VMPTRLD of a device", try_vmptrld(&device) != VMX_OK);
	judge("VMCLEAR of a device", try_vmclear(&device) == VMX_OK);
	judge("VMPTRLD, operand at a device", try_vmptrld(at_device) != VMX_OK);
	judge("own VMCS", try_vmclear(&own) == VMX_OK && try_vmptrld(&own) == VMX_OK);
	judge("VMPTRST to a device", try_vmptrst((u64 *)IO_APIC) == VMX_OK);
	judge("VMREAD to a device", try_vmread(VMCS_LINK_POINTER, (u64 *)IO_APIC) == VMX_OK);
	judge("INVEPT, operand at a device", try_invept(1, (const struct inv_descriptor *)IO_APIC) != VMX_OK);
	try_vmxoff();
	judge("VMXON of a device", try_vmxon(&device) == VMX_FAIL_INVALID);
	judge("VMXON, operand at a device", try_vmxon(at_device) == VMX_FAIL_INVALID);
	hv_on();
}

static void l2_touches(void)
{
	asm volatile("movl $0x10, %%ecx; rdmsr; inb $0x80, %%al; movq %%cr8, %%rax; movq %%rax, %%cr8"
		     ::: "rax", "rcx", "rdx", "memory");
	l2_end();
}

static void l2_reads_vmcs(void)
{
	(void)vmread(VMCS_GUEST_RIP);
	l2_end();
}

static const struct { const char *what; u16 field, control; u64 bits, low; u32 reason; } fields[] = {
	{ "MSR list at entry", VMCS_ENTRY_MSR_LOAD_ADDR, VMCS_ENTRY_MSR_LOAD_COUNT, 2, 0, EXIT_ENTRY_FAILED | 34 },
	{ "EPT12 root", VMCS_EPTP, VMCS_ENTRY_INTR_INFO, 0, EPTP_WB_4_LEVELS, 49 },
	{ "link pointer", VMCS_LINK_POINTER, VMCS_ENTRY_INTR_INFO, 0, 0, EXIT_ENTRY_FAILED | 33 },
	{ "MSR bitmap", VMCS_MSR_BITMAP, VMCS_CPU_CONTROLS, CPU_MSR_BITMAP, 0, 31 }, /* as all ones */
	{ "I/O bitmap", VMCS_IO_BITMAP_A, VMCS_CPU_CONTROLS, CPU_IO_BITMAPS, 0, 30 },
	{ "virtual-APIC page", VMCS_VIRTUAL_APIC_ADDR, VMCS_CPU_CONTROLS, CPU_TPR_SHADOW, 0, 18 },
};

static void pointers_in_a_vmcs(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		hv_init(&l2, HV_LONG64, l2_touches);
		hv_set(fields[i].control, fields[i].bits);
		vmwrite(fields[i].field, IO_APIC | fields[i].low);
		vmx_result result = hv_run(&l2);

		print("%s: result %u, exit %x\n", fields[i].what, result, l2.exit.reason);
		judge(fields[i].what, result == VMX_OK && l2.exit.reason == fields[i].reason);
	}
}

/* What only a VMCS with VMCS shadowing has, and that a shadow VMCS cannot be entered, which Bochs does not refuse. */
static void shadow_vmcs(void)
{
	enum { VMREAD_BITMAP = 0x2026 };
	u64 region = hv_vmcs_alloc();

	if (!(rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_SHADOW_VMCS))
		return;
	*(u32 *)region |= (u32)BIT(31);
	judge("VMPTRLD of a shadow VMCS", try_vmclear(&region) == VMX_OK && try_vmptrld(&region) == VMX_OK);
	judge("entry of a shadow VMCS", try_vmlaunch() == VMX_FAIL_INVALID && try_vmresume() == VMX_FAIL_INVALID);
	judge("its error field", try_vmwrite(VMCS_INSN_ERROR, 0) != VMX_OK || vmread(VMCS_INSN_ERROR) == 0);
	try_vmclear(&region);
	hv_init(&l2, HV_LONG64, l2_reads_vmcs);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS);
	vmwrite(VMCS_LINK_POINTER, IO_APIC);
	judge("link pointer, with VMCS shadowing", hv_run(&l2) == VMX_OK && l2.exit.reason == (EXIT_ENTRY_FAILED | 33));
	vmwrite(VMCS_LINK_POINTER, region);
	vmwrite(VMREAD_BITMAP, IO_APIC);
	judge("VMREAD bitmap", hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMREAD); /* as all ones */
}

/* L2's page tables, and an EPT12 below its root. */
static void tables(void)
{
	hv_init(&l2, HV_LONG64, l2_touches);
	*ept_entry(&ept, 0, 4) = IO_APIC | EPT_RWX;
	vmwrite(VMCS_EPTP, ept.eptp);
	judge("an EPT12 table", hv_run(&l2) == VMX_OK && l2.exit.reason == 49);
}

static void hypercall_arguments(void)
{
	u32 eax = TV_CMD_REGISTER;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(eax) : "b"(0), "c"(IO_APIC), "d"(0), "S"(IO_APIC),
		     "D"(IO_APIC) : "memory");
	judge("a hypercall's arguments", last_fault() != NO_FAULT || (eax != TV_CMD_REGISTER && eax != TV_OK));
	/* The port is a reset port, which exits; all ones from the device would be a reset. */
	fault_reset();
	asm volatile(MAY_FAULT("outsb") :: "S"(IO_APIC), "d"(0x92) : "memory");
	judge("OUTS", last_fault() == VEC_GP);
}

DEFINE_TEST(device_memory, "device-memory", "XMHF only: pointers into a device")
{
	if (!hv_supported())
		return;
	ept_init(&ept);
	hv_on();
	pointers_of_instructions();
	pointers_in_a_vmcs();
	shadow_vmcs();
	tables();
	hv_off();
	hypercall_arguments();
}

/* ---- Table pages ---- */

#define WINDOW 0x180000000ull		/* linear; behind what is mapped one to one */
#define SMALL_PALS 0x1e00000ull		/* their memory */
#define FIRST_REGION 0x2000000ull
#define REGION 0x200000ull
#define PAGES 246u
#define ROUNDS 4u

extern u64 page_pml4[512];

static u64 *window_table(void)
{
	u64 *table = page_alloc(), *directory = page_alloc(), *pdpt = (u64 *)(page_pml4[0] & EPT_ADDRESS);

	pdpt[WINDOW >> 30] = (u64)directory | 7;
	directory[WINDOW >> 21 & 511] = (u64)table | 7;
	return table;
}

/* One page each of code, stack and parameters, and the rest data. */
static u32 pal_register(u64 at, u32 pages)
{
	static const struct tv_pal_params params;
	const struct tv_pal_sections sections = { .num_sections = 4, .sections = {
		{ TV_SECTION_CODE, 1, at }, { TV_SECTION_STACK, 1, at + PAGE_SIZE },
		{ TV_SECTION_PARAM, 1, at + 2 * PAGE_SIZE },
		{ TV_SECTION_DATA, pages - 3, at + 3 * PAGE_SIZE } } };
	u32 eax = TV_CMD_REGISTER;

	asm volatile("vmcall" : "+a"(eax) : "b"(0), "c"(&sections), "d"(0), "S"(&params), "D"(at) : "memory");
	return eax;
}

static u32 pal_unregister(u64 at)
{
	u32 eax = TV_CMD_UNREGISTER;

	asm volatile("vmcall" : "+a"(eax) : "b"(0), "c"(at), "d"(0) : "memory");
	return eax;
}

/* As many at a time as L1's kernel can have: each keeps some pages of the core's. */
static void small_pals(u64 *table)
{
	u32 made = 0, gone = 0;

	for (u32 i = 256; i < 384; i++)
		table[i] = (SMALL_PALS + (i - 256) * PAGE_SIZE) | 7;
	for (u64 at = WINDOW + 256 * PAGE_SIZE; at < WINDOW + 384 * PAGE_SIZE; at += 4 * PAGE_SIZE)
		made += pal_register(at, 4) == TV_OK;
	for (u64 at = WINDOW + 256 * PAGE_SIZE; at < WINDOW + 384 * PAGE_SIZE; at += 4 * PAGE_SIZE)
		gone += pal_unregister(at) == TV_OK;
	judge("small PALs", made == 32 && gone == 32);
}

DEFINE_TEST(table_pool, "table-pool", "XMHF only: PALs of scattered pages do not use up the core's table pages")
{
	u64 *table = window_table(), at = FIRST_REGION;

	small_pals(table);
	for (u32 round = 0; round < ROUNDS; round++) {
		for (u32 i = 0; i < PAGES; i++, at += REGION)
			table[i] = (at + (i + round) % 512 * PAGE_SIZE) | 7;
		write_cr3(read_cr3());
		u32 made = pal_register(WINDOW, PAGES), gone = pal_unregister(WINDOW);

		print("round %u: registered %u, unregistered %u\n", round, made, gone);
		judge("a round", made == TV_OK && gone == TV_OK);
	}
	/* A device that nobody has used yet. */
	table[0] = BIT(38) | 7;
	write_cr3(read_cr3());
	fault_reset();
	asm volatile(MAY_FAULT("movl (%0), %%eax") :: "r"(WINDOW) : "rax", "memory");
	judge("a device", last_fault() == NO_FAULT);
}

/* ---- Faults in the delivery of events ---- */

static const u8 double_fault_ist = 1;

/* #DF on a stack of its own, or not. */
static void double_fault_stack(struct cpu *cpu, bool own)
{
	static u8 *stack;

	stack = stack ? stack : page_alloc();
	u64 top = (u64)stack + PAGE_SIZE;

	cpu->tss[9] = (u32)top;
	cpu->tss[10] = (u32)(top >> 32);
	idt[VEC_DF * 2] = (idt[VEC_DF * 2] & ~(7ull << 32)) | (own ? (u64)double_fault_ist << 32 : 0);
}

/* An event on a stack that cannot be written. `insn` may take RAX for a pointer to the APIC's task priority. */
#define ON_BAD_STACK(insn)                                                                                            \
	({                                                                                                            \
		fault_reset();                                                                                        \
		asm volatile("movq %%rsp, %%rbx\n\t" MAY_FAULT("movq %0, %%rsp\n\t" insn) "\n\tmovq %%rbx, %%rsp"      \
			     :: "r"(APIC_STACK), "a"(0xfee00080ull), "c"(0x55) : "rbx", "memory", "cc");              \
		last_fault();                                                                                         \
	})

/* RFLAGS.TF set by an IRET that goes on, on the bad stack, at a store to the APIC: #DB comes after a NOP, before it. */
static u32 step_before_store(void)
{
	fault_reset();
	asm volatile("movq %%rsp, %%rbx\n\tmovq $772f, %%gs:8\n\t"
		     "pushq %3; pushq %0; pushfq; orl $0x100, (%%rsp); pushq %4; pushq $771f; iretq\n"
		     "771:\tnop; movl %%ecx, (%%rax)\n"
		     "772:\tmovq $0, %%gs:8\n\tmovq %%rbx, %%rsp"
		     :: "r"(APIC_STACK), "a"(0xfee00080ull), "c"(0x55), "i"(SEL_DATA), "i"(SEL_CODE64)
		     : "rbx", "memory", "cc");
	return last_fault();
}

static volatile u32 l2_saw;

static void l2_on_bad_stack(void)
{
	l2_saw = ON_BAD_STACK("ud2");
	l2_end();
}

static void in_l2(bool own_stack, u32 wanted, const char *what)
{
	hv_init(&l2, HV_LONG64, l2_on_bad_stack);
	double_fault_stack(l2.cpu, own_stack);
	vmwrite(VMCS_EXCEPTION_BITMAP, wanted);
	l2_saw = NO_FAULT;
	vmx_result result = hv_run(&l2);

	print("%s: result %u, exit %x, event %x error %x during %x\n", what, result, l2.exit.reason, l2.exit.intr_info,
	      l2.exit.intr_error, l2.exit.idt_info);
}

/* The APIC's register that the pushes and the instructions below would write. */
static bool apic_untouched(void)
{
	return lapic_read(LAPIC_TPR) == 0;
}

extern u64 page_pd[];	/* of the first 4 GiB, by 2 MiB */

/* 32-bit code whose store to the APIC ends at 4 GiB: RIP goes on at 0, where a far return is. A bare CPU's does. */
static void store_before_4g(void)
{
	static const struct { u32 offset; u16 selector; } __attribute__((packed)) store = { 0xfffffffd, SEL_CODE32 };
	u64 before = page_pd[2047], size = 512 * PAGE_SIZE;
	u8 *code = page_alloc_many(512, size);

	code[size - 3] = 0x89;	/* mov %ecx, 0(%eax) */
	code[size - 2] = 0x48;
	code[size - 1] = 0;
	page_pd[2047] = (u64)code | 0x83;
	asm volatile("invlpg (%0); movb (%1), %%bl; movb $0xcb, (%1); lcalll *%2; movb %%bl, (%1)"
		     :: "r"(0xffe00000ul), "r"(0ul), "m"(store), "a"(0xfee00080), "c"(0x10) : "rbx", "memory");
	page_pd[2047] = before;
	asm volatile("invlpg (%0)" :: "r"(0xffe00000ul) : "memory");
	judge("L1, a store that ends at 4 GiB", lapic_read(LAPIC_TPR) == 0x10);
	lapic_write(LAPIC_TPR, 0);
}

static void serial_divisor(u16 divisor)
{
	outb(0x3fb, 0x83);
	outb(0x3f8, (u8)divisor);
	outb(0x3f9, (u8)(divisor >> 8));
	outb(0x3fb, 0x03);
}

/* The core says that it refuses, by 100 ms a character. */
static void line_on_a_slow_port(void)
{
	u64 base = rdmsr(0x1b), start;

	serial_divisor(1200);
	start = rdtsc();
	fault_reset();
	asm volatile(MAY_FAULT("wrmsr") :: "c"(0x1b), "a"((u32)base ^ BIT(12)), "d"((u32)(base >> 32)) : "memory");
	u64 ticks = rdtsc() - start;

	serial_divisor(1);
	print("a line on a slow serial port: fault %u, %lu ticks\n", last_fault(), ticks);
	judge("L1, a line on a slow serial port", last_fault() == VEC_GP && ticks < 10000000);
}

DEFINE_TEST(delivery_fault, "delivery-fault", "XMHF only: events whose delivery cannot be finished")
{
	lapic_write(LAPIC_TPR, 0);
	double_fault_stack(this_cpu(), true);
	judge("L1, #UD becomes #DF", ON_BAD_STACK("ud2") == VEC_DF);
	judge("L1, INT3 becomes #DF", ON_BAD_STACK("int3") == VEC_DF);
	/* The event's delivery stores, and not the instruction at RIP, which would be a good store to the APIC. */
	judge("L1, an interrupt before a store", ON_BAD_STACK("int $0x42; movl %%ecx, (%%rax)") == VEC_DF);
	judge("L1, a single step before a store", step_before_store() == VEC_DF);
	judge("L1, a push", ON_BAD_STACK("pushq %%rcx") == VEC_DF);
	judge("the APIC is as it was", apic_untouched());
	store_before_4g();
	line_on_a_slow_port();
	for (u32 i = 0; i < 200; i++)
		(void)ON_BAD_STACK("ud2");
	if (!hv_supported())
		return;
	hv_on();
	in_l2(true, 0, "L2");
	judge("L2, #UD becomes #DF", l2.exit.reason == EXIT_VMCALL && l2_saw == VEC_DF);
	in_l2(true, BIT(VEC_GP), "L2, #GP is L1's");
	judge("L2, #GP is L1's, and tells of #UD", l2.exit.reason == 0 && (l2.exit.intr_info & 0xff) == VEC_GP &&
	      l2.exit.intr_error == 1 && l2.exit.idt_info == (BIT(31) | 0x300 | VEC_UD));
	in_l2(true, BIT(VEC_DF), "L2, #DF is L1's");
	judge("L2, #DF is L1's", l2.exit.reason == 0 && (l2.exit.intr_info & 0xff) == VEC_DF && !l2.exit.intr_error &&
	      !(l2.exit.idt_info & BIT(31)));
	in_l2(false, 0, "L2, no stack");
	judge("L2, a triple fault is L1's exit", l2.exit.reason == 2 && !(l2.exit.idt_info & BIT(31)));
	hv_off();
	double_fault_stack(this_cpu(), true);
	judge("L1 goes on", ON_BAD_STACK("ud2") == VEC_DF);
}

/* ---- Address line 20 ---- */

#define LOW_WORD ((volatile u32 *)0x3000)
#define ITS_ALIAS ((volatile u32 *)0x103000)

static void by_fast_a20(void) { outb(0x92, inb(0x92) & 0xfc); }
static void by_wide_write(void) { asm volatile("outw %0, %1" :: "a"((u16)0), "d"((u16)0x91)); }

static void kbc(u16 port, u8 value)
{
	while (inb(0x64) & 2)
		pause();
	outb(port, value);
}

static void by_output_port(void)
{
	kbc(0x64, 0xd1);
	kbc(0x60, 0xdd);
}

static void by_command(void) { kbc(0x64, 0xdd); }

static const struct { const char *what; void (*off)(void); } a20_ways[] = {
	{ "port 0x92", by_fast_a20 }, { "ports 0x91 and 0x92", by_wide_write },
	{ "the keyboard controller's output port", by_output_port }, { "its command", by_command },
};

/* Where it goes off, root and this program lose half of their memory. */
DEFINE_TEST(a20, "a20", "XMHF only: address line 20 switched off")
{
	for (size_t i = 0; i < ARRAY_SIZE(a20_ways); i++) {
		print("T off by %s\n", a20_ways[i].what);
		a20_ways[i].off();
		*LOW_WORD = ~*ITS_ALIAS;
		judge("memory above 1 MiB is its own", *LOW_WORD != *ITS_ALIAS);
	}
}
