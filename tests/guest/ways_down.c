/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=ways-down: each boot ends the machine in another way, with a PAL's secret in memory of L1, in memory of L2
 * and, of two CPUs, in the registers of a PAL that the first one runs. One CPU takes other ways than two, because
 * Bochs' clock stands still once the first of two CPUs has reset the machine. first=N: begins with way N.
 * tests/boot/scan.S, which the BIOS starts before, looks for them in the next boot, and finds a mark in L1's own
 * memory alone. CMOS memory, which a reset keeps, counts the boots. Secrets are made in registers and left nowhere
 * else by this program.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "test.h"

#define CMOS_BOOTS 0x6e
#define L2_BASE TV_L2_BASE_DEFAULT
#define PM_BASE 0xb000u		/* where Bochs' BIOS has it */
#define OTHER_PM_BASE 0xd000u
#define PM1_CNT 4u
#define S3 0x2400u
#define PIIX4_PM 0x80000b00u	/* device 1, function 3 */

static u8 cmos_read(u8 index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void cmos_write(u8 index, u8 value)
{
	outb(0x70, index);
	outb(0x71, value);
}

static void outw(u16 port, u16 value) { asm volatile("outw %0, %1" :: "a"(value), "d"(port)); }
static void outl(u16 port, u32 value) { asm volatile("outl %0, %1" :: "a"(value), "d"(port)); }

static u32 inl(u16 port)
{
	u32 value;

	asm volatile("inl %1, %0" : "=a"(value) : "d"(port));
	return value;
}

static void delay(u64 ticks)
{
	for (u64 start = rdtsc(); rdtsc() - start < ticks;)
		pause();
}

/* ---- Secrets ---- */

enum { MARK, OF_L1, OF_L2 };

/* Fills a page with the words that scan.S knows; nothing of them stays in a register. */
static void fill(void *page, u64 id)
{
	u64 count = PAGE_SIZE / 8;

	asm volatile("movl $0x6e91d4ff, %%eax; subl %k2, %%eax; notl %%eax; shlq $32, %%rax\n\t"
		     "movl $0xa5173c29, %%edx; notl %%edx; orq %%rdx, %%rax; rep stosq\n\t"
		     "xorl %%eax, %%eax; xorl %%edx, %%edx"
		     : "+D"(page), "+c"(count) : "r"(id) : "rax", "rdx", "memory", "cc");
}

/* A PAL that has its secret in all registers: one returns, one stays. */
#define HOLD(data) "movq " data "(%rip), %rax; movq %rax, %rcx; movq %rax, %rdx; movq %rax, %rbx; movq %rax, %rbp\n" \
		   "movq %rax, %rsi; movq %rax, %rdi; movq %rax, %r8; movq %rax, %r9; movq %rax, %r10\n" \
		   "movq %rax, %r11\n" \
		   "movq %rax, %r12; movq %rax, %r13; movq %rax, %r14; movq %rax, %r15; pushq %rax; popq %rax\n"
asm(".section .text\n.balign 4096\n"
    "pal_l1: pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n" HOLD("data_l1")
    "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx; xorl %eax, %eax; ret\n"
    ".balign 4096\npal_l2: " HOLD("data_l2") "1: pause; jmp 1b\n"
    ".balign 4096\n.data\n.balign 4096\ndata_l1: .skip 4096\ndata_l2: .skip 4096\n.text\n");
extern u8 pal_l1[], pal_l2[], data_l1[], data_l2[];

static const struct tv_pal_params params;

static u32 call(u32 number, u64 c, u64 si, u64 di)
{
	u32 a = number;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(a) : "b"(0), "c"(c), "d"(0), "S"(si), "D"(di) : "memory");
	return last_fault() == NO_FAULT ? a : ~0u;
}

static bool register_pal(u32 base, u8 *code, u8 *data, u64 id)
{
	static struct tv_pal_sections of_level[2];
	static const u32 types[] = { TV_SECTION_CODE, TV_SECTION_DATA, TV_SECTION_PARAM, TV_SECTION_STACK };
	struct tv_pal_sections *s = &of_level[base != 0];
	u64 pages[] = { (u64)code, (u64)data, (u64)page_alloc(), (u64)page_alloc() };

	fill(data, id);
	s->num_sections = ARRAY_SIZE(types);
	for (u32 i = 0; i < ARRAY_SIZE(types); i++)
		s->sections[i] = (struct tv_pal_section){ types[i], 1, pages[i] };
	return call(base + TV_CMD_REGISTER, (u64)s, (u64)&params, (u64)code) == TV_OK;
}

static volatile bool l2_registered;

static void l2_has_pal(void)
{
	l2_registered = register_pal(L2_BASE, pal_l2, data_l2, OF_L2);
	irq_on();
	if (l2_registered && cpu_count > 1)
		asm volatile("call pal_l2" ::: "rax", "rcx", "rdx", "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11",
			     "r12", "r13",
			     "r14", "r15", "memory", "cc");
	l2_end();
}

static void make_secrets_of_l2(void)
{
	static struct vcpu v;

	hv_on();
	hv_init(&v, HV_LONG64, l2_has_pal);
	hv_run(&v);
	if (cpu_count > 1 || !l2_registered)
		fail("the PAL of L2: exit %u", v.exit.reason);
	hv_off();
}

static void make_secrets_of_l1(void)
{
	fill(page_alloc(), MARK);
	if (!register_pal(0, pal_l1, data_l1, OF_L1))
		fail("no PAL in L1");
	irq_on();	/* TrustVisor wants it */
	asm volatile("call pal_l1" ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	irq_off();
}

/* ---- Ways ---- */

/* Where the firmware is told to wake us: real mode, at a paragraph below 1 MiB. */
extern const u8 wake_code[], wake_code_end[];
asm(".section .text\n.code16\n"
    "wake_code: cli; movw $0x3f8, %dx; movw %cs, %ax; movw %ax, %ds; movw $(wake_text - wake_code), %si\n"
    "1: lodsb; testb %al, %al; jz 2f; outb %al, %dx; movw $2000, %cx; 3: loop 3b; jmp 1b\n2: hlt; jmp 2b\n"
    "wake_text: .asciz \"\\nT FAIL L1 was woken without XMHF\\n\"\nwake_code_end:\n.code64\n");

static u8 *table_of(u32 signature)
{
	for (u8 *at = (u8 *)0xe0000; at < (u8 *)0x100000; at += 16) {
		if (*(u64 *)at != 0x2052545020445352ull)	/* "RSD PTR " */
			continue;
		u8 *rsdt = (u8 *)(u64)*(u32 *)(at + 16);

		for (u32 i = 36; i < *(u32 *)(rsdt + 4); i += 4)
			if (*(u32 *)(u64)*(u32 *)(rsdt + i) == signature)
				return (u8 *)(u64)*(u32 *)(rsdt + i);
	}
	fail("no ACPI table");
}

/* All stores to the FACS and around it that an operating system makes go on working, but for those to the vectors. */
static void use_facs(u8 *facs)
{
	static u8 copy[64];
	volatile u32 *lock = (u32 *)(facs + 16), *vector = (u32 *)(facs + 12), *signature = (u32 *)(facs + 8);
	u32 found = *lock + 1, ours = *vector;
	bool same;

	*lock = 0;
	asm volatile("lock cmpxchgl %3, %1; sete %2" : "+a"(found), "+m"(*lock), "=r"(same) : "r"(2) : "cc");
	t_check("a global lock of another value", !same && !found && !*lock);
	asm volatile("lock cmpxchgl %3, %1; sete %2" : "+a"(found), "+m"(*lock), "=r"(same) : "r"(2) : "cc");
	t_check("the global lock is taken", same && !found && *lock == 2);
	found = 3;
	asm volatile("xchgl %0, %1" : "+r"(found), "+m"(*lock));
	t_check("and exchanged", found == 2 && *lock == 3);
	*(volatile u16 *)(facs + 18) = 0x1234;
	*(volatile u8 *)(facs + 17) = 0x56;
	t_check("and written by parts", *lock == 0x12345603);
	*(volatile u64 *)signature = 0x77777777abcdef01;
	t_check("a store that meets the vector is cut", *signature == 0xabcdef01 && *vector == ours);
	copy_bytes(copy, facs, sizeof(copy));
	set_bytes(facs + 8, 0x55, 56);
	t_check("STOS", *lock == 0x55555555 && facs[63] == 0x55 && *vector == ours);
	copy_bytes(facs, copy, sizeof(copy));
	t_check("MOVS", *lock == 0x12345603 && *signature == 0xabcdef01 && *vector == ours);
	fault_reset();
	asm volatile(MAY_FAULT("addl $1, %0") : "+m"(*vector));
	t_check("an instruction that is not known", last_fault() == VEC_GP && *vector == ours);
	*lock = 0;
}

/*
 * A firmware that looks for the FACS anew must not find one of ours, and what the vector leads to is not ours to
 * change.
 */
static void lead_astray(u8 *facs)
{
	u8 *fadt = table_of(0x50434146), *fake = page_alloc();

	if (*(volatile u32 *)(facs + 12))
		set_bytes((void *)(u64)*(volatile u32 *)(facs + 12), 0xf4, 2 * PAGE_SIZE);
	copy_bytes(fake, facs, 64);
	*(u32 *)(fake + 12) = LOW_CODE;
	*(volatile u32 *)(fadt + 36) = (u32)(u64)fake;
	for (u32 reg = 0x58; reg <= 0x5c; reg += 4) {	/* the 440FX's registers of who writes the BIOS's copy in RAM */
		outl(0xcf8, 0x80000000 | reg);
		u32 before = inl(0xcfc);

		outl(0xcfc, 0x33333333);
		t_check("shadow RAM stays as it is", inl(0xcfc) == before && before != 0x33333333);
	}
	t_check("the way to the FACS stays", *(volatile u32 *)(fadt + 36) == (u32)(u64)facs);
}

static void set_waking_vector(void)
{
	u8 *facs = (u8 *)(u64)*(u32 *)(table_of(0x50434146) + 36);	/* "FACP", FIRMWARE_CTRL */

	use_facs(facs);
	lead_astray(facs);
	copy_bytes((void *)LOW_CODE, wake_code, (size_t)(wake_code_end - wake_code));
	*(volatile u32 *)(facs + 12) = LOW_CODE;
}

static void by_chipset(void) { outb(0xcf9, 6); }
static void by_pulse(void) { outb(0x64, 0xfe); }
static void by_fast_a20(void) { outb(0x92, 1); }
static void by_init(void) { lapic_icr(cpus[0].apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL); }

static void by_output_port(void)
{
	outb(0x64, 0xd1);
	delay(10000);
	outb(0x60, 0xfe);
}

static void by_triple_fault(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) nothing = { 0, 0 };

	asm volatile("lidt %0; ud2" :: "m"(nothing));
}

static void by_sleep(void)
{
	set_waking_vector();
	outw(PM_BASE + PM1_CNT, S3);
}

static void by_moved_sleep(void)
{
	set_waking_vector();
	outl(0xcf8, PIIX4_PM | 0x40);
	if ((inl(0xcfc) & 0xffc0) != PM_BASE)
		fail("the PM base is at %x", inl(0xcfc));
	outl(0xcfc, OTHER_PM_BASE | 1);
	outw(OTHER_PM_BASE + PM1_CNT, S3);
}

static const struct way { const char *name; void (*go)(void); } ways[2][5] = {
	{ { "INIT for the boot CPU", by_init }, { "S3", by_sleep }, { "S3 at a moved port", by_moved_sleep } },
	{ { "port 0xCF9", by_chipset }, { "keyboard controller, pulse", by_pulse }, { "port 0x92", by_fast_a20 },
	  { "keyboard controller, output port", by_output_port }, { "triple fault", by_triple_fault } },
};

static void go(void *argument)
{
	const struct way *way = argument;

	while (!l2_registered)
		pause();
	delay(100000);		/* it is in its PAL by now */
	print("T way %s\n", way->name);
	way->go();
	delay(100000000);
	fail("the machine goes on");
}

DEFINE_TEST(ways_down, "ways-down", "XMHF only: each boot ends in another way, and leaves no secret")
{
	u8 boot = (u8)(cmos_read(CMOS_BOOTS) + option_number("first", 0));
	const struct way *way = &ways[cpu_count > 1][boot];

	if (boot >= ARRAY_SIZE(ways[0]) || !way->name)
		return;
	cmos_write(CMOS_BOOTS, cmos_read(CMOS_BOOTS) + 1);
	smp_start();
	hv_identity_ept();
	make_secrets_of_l1();
	if (cpu_count > 1)
		smp_run(1, go, (void *)way);
	make_secrets_of_l2();
	go((void *)way);
}
