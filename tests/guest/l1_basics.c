/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an operating system does without VMX, one CPU: CPUID, control registers, XCR0, MSRs, single steps over
 * instructions that a hypervisor emulates, interrupts and timers, SSE state, and the memory map. Where a hypervisor
 * below gets one of these wrong, a line of the transcript differs from the bare machine's.
 */
#include "test.h"

static void t_value(const char *what, u64 value) { print("T %s: %lx\n", what, value); }

/* ---- CPUID ---- */

static void cpuid_leaves(void)
{
	static const u32 leaves[] = { 0, 1, 2, 7, 0xd, 0x80000000, 0x80000001, 0x80000002, 0x80000008, 0x11112222 };
	u32 unstable = 0;

	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct cpuid first = cpuid(leaves[i], 0);

		if (leaves[i] == 1)
			first.ebx &= 0xffff;		/* not the APIC number and CPU count */
		print("T cpuid %x: %x %x %x %x\n", leaves[i], first.eax, first.ebx, first.ecx, first.edx);
		for (u32 n = 0; n < 100; n++)
			unstable += cpuid(leaves[i], 0).eax != first.eax;
	}
	print("T cpuid that changed: %u\n", unstable);
	write_cr4(read_cr4() & ~(u64)CR4_OSXSAVE);
	t_check("CPUID.OSXSAVE follows CR4, off", !(cpuid(1, 0).ecx & BIT(27)));
	write_cr4(read_cr4() | CR4_OSXSAVE);
	t_check("CPUID.OSXSAVE follows CR4, on", cpuid(1, 0).ecx & BIT(27));
}

/* ---- control registers ---- */

static void control_registers(void)
{
	static const struct { const char *what; u8 number; u64 set, clear; } writes[] = {
		{ "CR0.TS on", 0, CR0_TS, 0 }, { "CR0.TS off", 0, 0, CR0_TS },
		{ "CR0.MP on", 0, CR0_MP, 0 }, { "CR0.EM on", 0, CR0_EM, 0 }, { "CR0.EM off", 0, 0, CR0_EM },
		{ "CR0.NE off", 0, 0, CR0_NE }, { "CR0.NE on", 0, CR0_NE, 0 },
		{ "CR0.WP off", 0, 0, CR0_WP }, { "CR0.WP on", 0, CR0_WP, 0 },
		{ "CR0.AM on", 0, CR0_AM, 0 }, { "CR0.AM off", 0, 0, CR0_AM },
		{ "CR0.CD on", 0, CR0_CD, 0 }, { "CR0.CD and NW on", 0, CR0_CD | CR0_NW, 0 },
		{ "CR0.CD off, NW on", 0, CR0_NW, CR0_CD }, { "CR0.CD and NW off", 0, 0, CR0_CD | CR0_NW },
		{ "CR0.PG off in 64-bit mode", 0, 0, CR0_PG }, { "CR0.PE off", 0, 0, CR0_PE },
		{ "CR0 bit 32", 0, BIT(32), 0 }, { "CR0 bit 6", 0, BIT(6), 0 },
		{ "CR4.TSD on", 4, CR4_TSD, 0 }, { "CR4.TSD off", 4, 0, CR4_TSD },
		{ "CR4.DE on", 4, CR4_DE, 0 }, { "CR4.PSE on", 4, CR4_PSE, 0 }, { "CR4.PSE off", 4, 0, CR4_PSE },
		{ "CR4.PGE on", 4, CR4_PGE, 0 }, { "CR4.PGE off", 4, 0, CR4_PGE },
		{ "CR4.PAE off in 64-bit mode", 4, 0, CR4_PAE },
		{ "CR4.VMXE on", 4, CR4_VMXE, 0 }, { "CR4.VMXE off", 4, 0, CR4_VMXE },
		{ "CR4.FSGSBASE on", 4, CR4_FSGSBASE, 0 }, { "CR4.FSGSBASE off", 4, 0, CR4_FSGSBASE },
		{ "CR4.PCIDE on", 4, CR4_PCIDE, 0 }, { "CR4.PCIDE off", 4, 0, CR4_PCIDE },
		{ "CR4.SMXE on", 4, BIT(14), 0 }, { "CR4.LA57 on in 64-bit mode", 4, BIT(12), 0 },
		{ "CR4 bit 31", 4, BIT(31), 0 }, { "CR4 bit 63", 4, BIT(63), 0 },
	};
	u64 cr0 = read_cr0(), cr4 = read_cr4();

	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		u64 value = writes[i].number ? read_cr4() : read_cr0();
		u32 vector;

		value = (value | writes[i].set) & ~writes[i].clear;
		vector = writes[i].number ? try_write_cr4(value) : try_write_cr0(value);
		print("T %s: %s, reads %lx\n", writes[i].what, vector_name(vector),
			writes[i].number ? read_cr4() : read_cr0());
	}
	write_cr0(cr0);
	write_cr4(cr4);
}

/* The same through the other register operands, and CR3 and CR8. */
static void more_control_registers(void)
{
	u64 cr3 = read_cr3(), value;

	asm volatile("movq %%cr0, %%r8; movq %%r8, %%cr0; movq %%cr4, %%r15; movq %%r15, %%cr4; movq %%r15, %0"
		     : "=r"(value) :: "r8", "r15", "memory");
	t_value("CR4 through R15", value);
	asm volatile("movl $0xe, %%eax; lmsw %%ax; smsw %%eax" : "=a"(value));
	t_value("LMSW cannot clear PE", value & 0xffff);
	asm volatile("clts");
	t_value("CLTS", read_cr0() & 0xf);
	write_cr0(read_cr0() & ~(u64)(CR0_EM | CR0_MP));
	t_fault("CR3 bit 51", try_write_cr3(cr3 | BIT(51)));
	t_fault("CR3 PWT and PCD", try_write_cr3(cr3 | 0x18));
	t_value("CR3 low bits", read_cr3() & 0xfff);
	write_cr4(read_cr4() & ~(u64)CR4_PCIDE);
	t_fault("CR4.PCIDE with PCID bits in CR3", (write_cr3(cr3 | 8), try_write_cr4(read_cr4() | CR4_PCIDE)));
	write_cr3(cr3);
	t_fault("CR4.PCIDE", try_write_cr4(read_cr4() | CR4_PCIDE));
	t_fault("CR3 with PCID 5 and no flush", try_write_cr3(cr3 | 5 | BIT(63)));
	t_value("CR3 low bits", read_cr3() & 0xfff);
	t_check("CR3 reads no bit 63", !(read_cr3() & BIT(63)));
	write_cr3(cr3);
	write_cr4(read_cr4() & ~(u64)CR4_PCIDE);
	write_cr8(5);
	t_value("CR8", read_cr8());
	t_value("TPR", lapic_read(LAPIC_TPR));
	write_cr8(0);
	t_fault("CR8 16", try_write_cr8(16));
}

/* The flags that a fault pushes have RF set, also where a hypervisor below injects it. */
static void resume_flag(void)
{
	t_fault("CR4.SMXE", try_write_cr4(read_cr4() | BIT(14)));
	t_value("RF in its frame", this_cpu()->fault.rflags >> 16 & 1);
	t_fault("WRMSR of a locked IA32_FEATURE_CONTROL", try_wrmsr(0x3a, 7));
	t_value("RF in its frame", this_cpu()->fault.rflags >> 16 & 1);
	fault_reset();
	asm volatile(MAY_FAULT("vmxoff") ::);
	t_fault("VMXOFF outside of VMX operation", last_fault());
	t_value("RF in its frame", this_cpu()->fault.rflags >> 16 & 1);
	fault_reset();
	asm volatile(MAY_FAULT("int3") ::);
	t_fault("INT3", last_fault());
	t_value("RF in its frame", this_cpu()->fault.rflags >> 16 & 1);
}

static void user_xsetbv(void)
{
	asm volatile("xorl %%ecx, %%ecx; xorl %%edx, %%edx; movl $1, %%eax; xsetbv; int $0x80" ::: "memory");
}

static void user_vmcall(void) { asm volatile("movl $0x12345678, %%eax; vmcall; int $0x80" ::: "memory"); }
static void user_cpuid(void) { asm volatile("xorl %%eax, %%eax; cpuid; int $0x80" ::: "rbx", "memory"); }
static void user_rdmsr(void) { asm volatile("movl $0x10, %%ecx; rdmsr; int $0x80" ::: "memory"); }
static void user_invd(void) { asm volatile("invd; int $0x80" ::: "memory"); }
static void user_wbinvd(void) { asm volatile("wbinvd; int $0x80" ::: "memory"); }
static void user_cr0(void) { asm volatile("movq %%cr0, %%rax; int $0x80" ::: "rax", "memory"); }
static void user_port(void) { asm volatile("inb $0x80, %%al; int $0x80" ::: "rax", "memory"); }
static void user_int_42(void) { asm volatile("int $0x42; int $0x80" ::: "memory"); }

static void at_cpl3(void)
{
	static const struct { const char *what; void (*code)(void); } cases[] = {
		{ "xsetbv", user_xsetbv }, { "vmcall", user_vmcall }, { "cpuid", user_cpuid }, { "rdmsr", user_rdmsr },
		{ "invd", user_invd }, { "wbinvd", user_wbinvd }, { "mov cr0", user_cr0 }, { "in", user_port },
		{ "int 0x42", user_int_42 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fault f = user_run(cases[i].code);

		print("T cpl 3, %s: %s\n", cases[i].what, vector_name(f.vector));
		if (f.vector != NO_FAULT && f.error)
			print("T   error code %x\n", f.error);
	}
}

static void extended_state(void)
{
	static const struct { u32 index; u64 value; } cases[] = {
		{ 0, 1 }, { 0, 3 }, { 0, 7 }, { 0, 0 }, { 0, 2 }, { 0, 5 }, { 0, BIT(62) | 1 }, { 1, 1 }, { 0, 3 },
	};

	write_cr4(read_cr4() & ~(u64)CR4_OSXSAVE);
	t_fault("XSETBV with CR4.OSXSAVE = 0", try_xsetbv(0, 1));
	write_cr4(read_cr4() | CR4_OSXSAVE);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 vector = try_xsetbv(cases[i].index, cases[i].value);

		print("T XSETBV %u %lx: %s, XCR0 %lx\n", cases[i].index, cases[i].value, vector_name(vector),
			xgetbv(0));
	}
}

/* ---- MSRs ---- */

static void msrs(void)
{
	enum { R = 1, W = 2, SAME = 4 };	/* read, write the value, write back what was read */
	static const struct { u32 msr; u8 how; u64 value; } cases[] = {
		{ 0x1b, SAME, 0 }, { 0x1b, W, BIT(51) }, { 0x1b, W, 0xfee00900 }, { 0x3a, R | W, 7 }, { 0xfe, R, 0 },
		{ 0x174, W | R, 0x1234 }, { 0x175, W | R, BIT(63) }, { 0x175, W | R, 0x5678 }, { 0x176, W | R, 0x9abc },
		{ 0x277, R, 0 }, { 0x277, W, 2 }, { 0x277, W, 0x0606060606060606 },
		{ 0x277, W | R, 0x0007040600070406 },
		{ MSR_EFER, R, 0 }, { MSR_EFER, W, BIT(1) }, { MSR_EFER, W | R, EFER_LME | EFER_LMA | EFER_SCE },
		{ MSR_EFER, W | R, EFER_LMA }, { MSR_EFER, W | R, EFER_LME | EFER_LMA | EFER_NXE },
		{ MSR_EFER, W | R, EFER_LME }, { MSR_EFER, R, 0 },
		{ 0xc0000081, W | R, 0x1122334455667788 }, { 0xc0000082, W, BIT(63) }, { 0xc0000082, W | R, 0x4444 },
		{ 0xc0000084, W | R, 0x200 }, { 0xc0000100, W, BIT(63) }, { 0xc0000100, W | R, 0x7777 },
		{ 0xc0000102, W, BIT(63) }, { 0xc0000102, W | R, 0x8888 }, { 0xc0000103, W | R, 0x99 },
		{ 0x2ff, R, 0 }, { 0x2ff, W, 2 }, { 0x200, W, 2 }, { 0x20e, W | R, 0 }, { 0x250, W, 2 }, { 0xfe, W, 0 },
		{ 0x480, W, 0 }, { 0x48d, W, 0 }, { 0x802, R, 0 }, { 0x830, W, 0 }, { 0x2000, R | W, 0 },
		{ 0x40000000, R | W, 0 },
		{ 0x4b564d00, R | W, 0 }, { 0xc0002000, R | W, 0 }, { 0xffffffff, R | W, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 value = 0;

		if (cases[i].how & SAME) {
			try_rdmsr(cases[i].msr, &value);
			print("T wrmsr %x same: %s\n", cases[i].msr, vector_name(try_wrmsr(cases[i].msr, value)));
		}
		if (cases[i].how & W)
			print("T wrmsr %x %lx: %s\n", cases[i].msr, cases[i].value,
			      vector_name(try_wrmsr(cases[i].msr, cases[i].value)));
		if (cases[i].how & R) {
			u32 vector = try_rdmsr(cases[i].msr, &value);

			print("T rdmsr %x: %s %lx\n", cases[i].msr, vector_name(vector), value);
		}
	}
	wrmsr(0xc0000100, 0);
	wrmsr(MSR_EFER, EFER_LME | EFER_LMA);
}

static void time_stamp(void)
{
	u64 value;

	wrmsr(0x10, BIT(40));
	value = rdtsc();
	t_check("TSC counts on from what was written", value >= BIT(40) && value < BIT(40) + 1000000);
	wrmsr(0xc0000103, 0x55);
	asm volatile("rdtscp" : "=c"(value) :: "rax", "rdx");
	t_value("RDTSCP's ECX", value);
}

/* ---- emulated instructions and the traps around them ---- */

#define STEP(name, text, setup) \
	do { \
		u64 at_; \
		fault_reset(); \
		asm volatile(setup "pushq $0x102; movq $772f, %%gs:8; popfq; " text "; 773: nop; nop\n" \
			     "772: movq $0, %%gs:8; leaq 773b(%%rip), %0" \
			     : "=r"(at_) :: "rax", "rbx", "rcx", "rdx", "memory", "cc"); \
		print("T single step over " name ": %s, %ld bytes behind it\n", vector_name(last_fault()), \
		      (long)(this_cpu()->fault.rip - at_)); \
	} while (0)

static void single_steps(void)
{
	STEP("cpuid", "cpuid", "xorl %%eax, %%eax;");
	STEP("rdmsr", "rdmsr", "movl $0x1b, %%ecx;");
	STEP("rdtsc", "rdtsc", "");
	STEP("wbinvd", "wbinvd", "");
	STEP("invd", "invd", "");
	STEP("xsetbv", "xsetbv", "xorl %%ecx, %%ecx; xorl %%edx, %%edx; movl $3, %%eax;");
	STEP("movq rax, cr4", "movq %%rax, %%cr4", "movq %%cr4, %%rax;");
	STEP("inb $0x64, al", "inb $0x64, %%al", "");
}

static u64 interrupted_at;

static void note_interrupt(struct trap_frame *f)
{
	interrupted_at = f->rip;
}

/*
 * An interrupt waits behind STI; it must come after exactly one more instruction, even one that a hypervisor emulates.
 */
static void sti_shadow(void)
{
	u64 behind;

	irq_hook = note_interrupt;
	lapic_icr(this_cpu()->apic_id, ICR_FIXED | ICR_ASSERT | VEC_TEST);
	asm volatile("xorl %%eax, %%eax; sti; cpuid; 1: nop; nop; cli; leaq 1b(%%rip), %0"
		     : "=r"(behind) :: "rax", "rbx", "rcx", "rdx", "memory");
	print("T interrupt after STI and CPUID: %ld bytes behind\n", (long)(interrupted_at - behind));
	irq_hook = NULL;
}

static void debug_registers(void)
{
	static u64 watched;
	u64 dr6;

	asm volatile("movq %0, %%dr0; movq %1, %%dr7; movq %2, %%dr6" :: "r"(&watched), "r"(0xd0402ull), "r"(0ull));
	cpuid(0, 0);
	t_value("DR7 after CPUID", read_dr7());
	fault_reset();
	asm volatile(MAY_FAULT("movq $5, %0; nop") : "=m"(watched));
	asm volatile("movq %%dr6, %0" : "=r"(dr6));
	print("T data breakpoint: %s, DR6 %lx\n", vector_name(last_fault()), dr6 & 0xf00f);
	asm volatile("movq %0, %%dr7" :: "r"(0x400ull));
}

static void sse_state(void)
{
	u64 value = 0x123456789abcdef0, back[2];

	write_cr4(read_cr4() | CR4_OSFXSR);
	asm volatile("movq %2, %%xmm5; movq %2, %%xmm15; xorl %%eax, %%eax; cpuid; movq %%xmm5, %0; movq %%xmm15, %1"
		     : "=m"(back[0]), "=m"(back[1]) : "r"(value) : "rax", "rbx", "rcx", "rdx");
	t_check("SSE registers after CPUID", back[0] == value && back[1] == value);
}

/* ---- interrupts, timers, the APIC ---- */

static void interrupts(void)
{
	volatile u32 *count = this_cpu()->irq_count;

	for (u32 i = 0; i < 20; i++) {
		timer_arm(5000);
		while (count[VEC_TIMER] <= i)
			sti_hlt_cli();
	}
	print("T timer interrupts out of HLT: %u\n", count[VEC_TIMER]);
	send_ipi(0, VEC_IPI);
	send_ipi(0, VEC_IPI + 0x20);
	irq_window();
	irq_window();
	print("T IPIs to itself: %u %u\n", count[VEC_IPI], count[VEC_IPI + 0x20]);
	lapic_write(LAPIC_TPR, 0x60);
	send_ipi(0, VEC_IPI);
	irq_window();
	print("T IPI below the TPR: %u\n", count[VEC_IPI]);
	lapic_write(LAPIC_TPR, 0);
	irq_window();
	print("T after TPR = 0: %u\n", count[VEC_IPI]);
	lapic_write(LAPIC_ICR_HIGH, 0x05000000);
	cpuid(0, 0);
	t_value("ICR high half", lapic_read(LAPIC_ICR_HIGH));
}

/* ---- stores to the APIC page by code that changes: in its page, by its page tables, by CR3 ---- */

#define APIC_TPR 0xfee00080ul
#define CODE_AT (BIT(40) + 0x10) /* linear; a place of PML4 that nobody else uses */

static void put_code(u8 *page, const void *code, u32 bytes)
{
	__builtin_memcpy(page + 0x10, code, bytes);
}

static u64 *code_table(u8 *page)
{
	u64 *table = page_alloc();

	table[0] = (u64)page | 3;
	return table;
}

static void t_store(const char *what, u32 value)
{
	u64 code = CODE_AT;
	u32 result = value;

	asm volatile("call *%2" : "+a"(result) : "D"(APIC_TPR), "r"(code) : "memory");
	print("T %s: TPR %x, EAX %x\n", what, *(volatile u32 *)APIC_TPR, result);
}

static void apic_store_code(void)
{
	u8 *mov = page_alloc(), *xchg = page_alloc();
	u64 *pml4 = (u64 *)(read_cr3() & ~0xffful), *pdpt = page_alloc(), *pd = page_alloc(), *table = code_table(mov);
	u64 *other_pml4 = page_alloc(), *other_pdpt = page_alloc(), *other_pd = page_alloc();

	put_code(mov, "\x89\x07\xc3", 3);
	put_code(xchg, "\x87\x07\xc3", 3);
	pml4[2] = (u64)pdpt | 3;
	pdpt[0] = (u64)pd | 3;
	pd[0] = (u64)table | 3;
	__builtin_memcpy(other_pml4, pml4, PAGE_SIZE);
	other_pml4[2] = (u64)other_pdpt | 3;
	other_pdpt[0] = (u64)other_pd | 3;
	other_pd[0] = (u64)code_table(xchg) | 3;
	for (u32 i = 1; i < 4; i++)
		t_store("MOV", i << 4);
	put_code(mov, "\xc7\x07\x40\x00\x00\x00\xc3", 7);
	t_store("other bytes", 0x50);
	table[0] = (u64)xchg | 3;
	asm volatile("invlpg (%0)" :: "r"(CODE_AT) : "memory");
	t_store("another page", 0x60);
	t_store("the same again", 0x70);
	pd[0] = (u64)code_table(mov) | 3;
	write_cr3(read_cr3());
	t_store("another table", 0x80);
	write_cr3((u64)other_pml4);
	t_store("another CR3", 0x90);
	write_cr3((u64)pml4);
	t_store("and back", 0xa0);
	pml4[2] = 0;
	write_cr3(read_cr3());
	lapic_write(LAPIC_TPR, 0);
}

static u32 nested_nmis;

static void nmi_in_nmi(struct trap_frame *f)
{
	if (f->vector != VEC_NMI || nested_nmis++)
		return;
	send_nmi(0);		/* blocked until this handler's IRET; two become one */
	send_nmi(0);
	cpuid(0, 0);
	print("T NMIs while one is handled: %u\n", nested_nmis - 1);
}

static void nmis(void)
{
	volatile u32 *count = this_cpu()->irq_count;

	for (u32 i = 0; i < 10; i++)
		send_nmi(0);
	print("T NMIs to itself: %u\n", count[VEC_NMI]);
	irq_hook = nmi_in_nmi;
	send_nmi(0);
	irq_hook = NULL;
	print("T NMIs after the handler: %u\n", count[VEC_NMI]);
}

/* ---- memory map: under a hypervisor that hides memory it differs, but must stay sane ---- */

static void memory_map(void)
{
	u32 overlaps = 0, empty = 0;
	bool is_image_ram = false;

	for (u32 i = 0; i < e820_count; i++) {
		const struct e820_entry *a = &e820_map[i];

		print("E820 %lx %lx %u\n", a->addr, a->addr + a->size, a->type);
		empty += a->size == 0;
		is_image_ram |= a->type == 1 && a->addr <= 0x100000 && a->addr + a->size >= POOL_END;
		for (u32 j = 0; j < i; j++)
			overlaps += a->addr < e820_map[j].addr + e820_map[j].size &&
				e820_map[j].addr < a->addr + a->size;
	}
	print("T memory map: overlaps %u, empty %u\n", overlaps, empty);
	t_check("the guest's memory is RAM", is_image_ram);
}

DEFINE_TEST(l1_basics, "l1-basics", "an operating system's use of one CPU: registers, MSRs, traps, interrupts")
{
	cpuid_leaves();
	control_registers();
	more_control_registers();
	resume_flag();
	extended_state();
	at_cpl3();
	msrs();
	time_stamp();
	single_steps();
	sti_shadow();
	debug_registers();
	sse_state();
	interrupts();
	nmis();
	memory_map();
}

DEFINE_TEST(apic_store, "apic-store", "stores to the APIC page by code that changes")
{
	apic_store_code();
}
