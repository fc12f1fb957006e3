/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=smm: L1 sends SMIs in every way it has, with a handler of its own where a CPU looks for one after a reset
 * (0x38000), and in SMRAM (0xa8000), which it tries to open. The handler counts, and reads a byte of root memory. On
 * XMHF it never runs; CPUs and stops go on. With open=1 (XMHF has smm=off) CPUs are not closed, so that only what the
 * core drops or masks is tried. Each line says "good" or "T FAIL".
 */
#include "test.h"

#define SMBASE_RESET 0x30000ul
#define SMRAM 0xa0000ul
#define HANDLER 0x8000ul
#define ICR_SMI 0x200u
#define LVT_SMI 0x200u
#define LVT_MASKED 0x10000u
#define MSR_APIC_BASE 0x1b
#define MSR_X2APIC_LVT_THERMAL 0x833
#define MSR_X2APIC_ICR 0x830
#define APIC_BASE_X2APIC BIT(10)
#define HELLO_RUNNING 0x100u	/* helloworld's hypercall with a stop */
#define HELLO_STOP_BY_CALL 0x102u
#define IOAPIC 0xfec00000ul
#define BRIDGE_SMRAM 0x72	/* of the 440FX */
#define SPARE 0xe0		/* nobody's */
enum { D_OPEN = 0x40, D_LOCK = 0x10, G_SMRAME = 8 };

/* Real mode, data segments based at 0: counts, and reads a word. Its first instruction has a struct note's address. */
asm(".section .rodata\n.code16\nsmi_handler:\n"
    "movl $0, %esi\n"
    "lock incl (%esi)\n"
    "movl 4(%esi), %edi\n"
    "movl (%edi), %eax\n"
    "movl %eax, 8(%esi)\n"
    "rsm\n"
    "smi_handler_end:\n.code64\n.text\n");
extern const u8 smi_handler[], smi_handler_end[];
#define NOTE_ADDRESS 2		/* in the first instruction */

static volatile struct note { u32 runs, address, value; } at_reset, in_smram;

static u64 secret;	/* an address in root memory */
static u32 ran_before;

static void judge(const char *what, bool is_good)
{
	print(is_good ? "T %s: good\n" : "T FAIL %s: BAD\n", what);
}

static void put_handler(u64 smbase, volatile struct note *note)
{
	note->address = (u32)secret;
	copy_bytes((void *)(smbase + HANDLER), smi_handler, (size_t)(smi_handler_end - smi_handler));
	*(volatile u32 *)(smbase + HANDLER + NOTE_ADDRESS) = (u32)(u64)note;
}

/* Waits as long as any SMI takes; then the handler must not have run since the last look. */
static void judge_quiet(const char *what)
{
	for (u64 start = rdtsc(); rdtsc() - start < 20000;)
		pause();
	if (at_reset.runs != ran_before)
		print("the handler ran %u times, and read %x from root memory\n", at_reset.runs - ran_before,
		      at_reset.value);
	judge(what, at_reset.runs == ran_before);
	ran_before = at_reset.runs;
}

static bool hypercall(u32 number)
{
	u32 eax = number, ebx;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(eax), "=b"(ebx) : "c"(0), "d"(0), "S"(0), "D"(0) : "memory");
	return last_fault() == NO_FAULT && eax == 0;
}

static void touch(void *done) { *(volatile u32 *)done = 1; }

static void judge_alive(const char *what)
{
	volatile u32 done = 0;

	if (cpu_count > 1) {
		smp_run(1, touch, (void *)&done);
		smp_wait(1);
	}
	judge(what, (cpu_count == 1 || done) && hypercall(HELLO_RUNNING) && hypercall(HELLO_STOP_BY_CALL));
}

static void by_icr(void)
{
	lapic_icr(cpus[0].apic_id, ICR_SMI | ICR_ASSERT);
	judge_quiet("SMI to this CPU");
	if (cpu_count > 1) {
		lapic_icr(cpus[1].apic_id, ICR_SMI | ICR_ASSERT);
		judge_quiet("SMI to the other CPU");
	}
	lapic_icr(0, ICR_SMI | ICR_ASSERT | ICR_OTHERS);
	lapic_icr(0xff, ICR_SMI | ICR_ASSERT);
	asm volatile("xchgl %0, (%1)" :: "r"((u32)(ICR_SMI | ICR_ASSERT | ICR_ALL)), "r"(0xfee00300ul) : "memory");
	judge_quiet("SMIs to all CPUs");
}

/* ---- From L2, which has the APIC's page and MSRs ---- */

static void l2_store(void)
{
	lapic_icr(cpus[cpu_count - 1].apic_id, ICR_SMI | ICR_ASSERT);
	l2_end();
}

static void l2_wrmsr(void)
{
	wrmsr(MSR_X2APIC_ICR, (u64)cpus[cpu_count - 1].apic_id << 32 | ICR_SMI | ICR_ASSERT);
	l2_end();
}

static void by_l2(const char *what, void (*code)(void))
{
	hv_on();
	hv_init(&l2, HV_LONG64, code);
	judge("L2 ends", hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMCALL && l2.regs[RAX] == L2_END);
	hv_off();
	judge_quiet(what);
}

/* ---- The local vector table: nothing here makes one of its entries fire, so what is stored is looked at ---- */

static const u16 lvts[] = { 0x330, 0x340, 0x350, 0x360 };

static void by_lvt(bool open)
{
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(lvts); i++) {
		u32 before = lapic_read(lvts[i]);

		lapic_write(lvts[i], LVT_SMI);
		good &= lapic_read(lvts[i]) == (LVT_SMI | (open ? LVT_MASKED : 0));
		lapic_write(lvts[i], before);
		good &= lapic_read(lvts[i]) == before;
	}
	judge(open ? "LVT entries with SMIs are masked" : "LVT entries with SMIs are the firmware's", good);
}

static void by_x2apic_lvt(bool open)
{
	wrmsr(MSR_X2APIC_LVT_THERMAL, LVT_SMI);
	judge("the same by x2APIC", rdmsr(MSR_X2APIC_LVT_THERMAL) == (LVT_SMI | (open ? LVT_MASKED : 0)));
	wrmsr(MSR_X2APIC_LVT_THERMAL, LVT_MASKED);
}

/* ---- Devices: what they send reaches the CPU, where it must do no harm ---- */

static void ioapic_write(u32 index, u32 value)
{
	*(volatile u32 *)IOAPIC = index;
	*(volatile u32 *)(IOAPIC + 0x10) = value;
}

/* The interval timer, at inputs 0 and 2 of the I/O APIC, sends SMIs to a CPU. */
static void by_ioapic(u32 cpu)
{
	static const u8 inputs[] = { 0, 2 };
	u32 stops = 0;

	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		ioapic_write(0x11 + 2u * inputs[i], cpus[cpu].apic_id << 24);
		ioapic_write(0x10 + 2u * inputs[i], ICR_SMI);
	}
	outb(0x43, 0x34);
	outb(0x40, 0x80);
	outb(0x40, 0);		/* 107 microseconds */
	for (u64 start = rdtsc(); rdtsc() - start < 100000;)
		stops += hypercall(HELLO_RUNNING);
	judge("stops among SMIs", stops > 10);
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++)
		ioapic_write(0x10 + 2u * inputs[i], LVT_MASKED);
	judge_quiet(cpu ? "SMIs of the I/O APIC to the other CPU" : "SMIs of the I/O APIC");
}

static u8 config(u8 at)
{
	asm volatile("outl %0, %1" :: "a"((u32)(BIT(31) | (at & 0xfcu))), "d"((u16)0xcf8) : "memory");
	return inb((u16)(0xcfc + (at & 3)));
}

static void config_write(u8 at, u8 value)
{
	config(at);
	outb((u16)(0xcfc + (at & 3)), value);
}

static void config_write32(u8 at, u32 value)
{
	config(at);
	asm volatile("outl %0, %1" :: "a"(value), "d"((u16)0xcfc) : "memory");
}

/* One CPU selects SMRAM's register and another one in turn, while this one writes to whatever is selected. */
static void select_in_turn(void *unused)
{
	(void)unused;
	for (u32 i = 0; i < 200; i++)
		config(i & 1 ? SPARE : BRIDGE_SMRAM);
}

static void race(void)
{
	u32 before = config(BRIDGE_SMRAM), hits = 0;

	smp_run(1, select_in_turn, NULL);
	while (cpus[1].work) {
		outb(0xcfe, D_OPEN);
		hits++;
	}
	judge("SMRAM as it was after a race", hits > 100 && config(BRIDGE_SMRAM) == before);
	judge("writes to another register in the race", config(SPARE + 2) == D_OPEN);
}

/* Port 0xb2 sends the boot CPU an SMI, which runs what is in SMRAM at 0xa8000. */
static void by_smram(void)
{
	u8 before = config(BRIDGE_SMRAM);

	config_write(BRIDGE_SMRAM, (u8)((before | D_OPEN) & ~D_LOCK));
	judge("SMRAM stays closed", !(config(BRIDGE_SMRAM) & D_OPEN));
	config_write(BRIDGE_SMRAM, (u8)(before & ~G_SMRAME));	/* an SMI would fetch from the display's memory */
	config_write32(BRIDGE_SMRAM, 0);
	judge("SMRAM stays enabled", config(BRIDGE_SMRAM) & G_SMRAME);
	config_write(BRIDGE_SMRAM + 1, 0x40);
	judge("its neighbours can be written", config(BRIDGE_SMRAM + 1) == 0x40);
	if (cpu_count > 1)
		race();
	put_handler(SMRAM, &in_smram);
	config_write(BRIDGE_SMRAM, before);
	outb(0xb2, 0);
	for (u64 start = rdtsc(); rdtsc() - start < 20000;)
		pause();
	if (in_smram.runs)
		print("the handler in SMRAM read %x from root memory\n", in_smram.value);
	judge("SMI by port 0xb2", !in_smram.runs);
}

/* The first range that the memory map leaves out below other RAM: the hypervisor. */
static u64 root_memory(void)
{
	for (u32 i = 0; i < e820_count; i++)
		for (u32 j = 0; j < e820_count; j++)
			if (e820_map[i].type != 1 && e820_map[i].addr > 0x100000 && e820_map[j].type == 1 &&
			    e820_map[j].addr == e820_map[i].addr + e820_map[i].size)
				return e820_map[i].addr;
	return 0;
}

DEFINE_TEST(smm, "smm", "XMHF only: SMIs by ICR, LVT, I/O APIC and port 0xb2; SMRAM opened by PCI configuration")
{
	bool open = option_number("open", 0);

	smp_start();
	secret = root_memory();
	judge("root memory is found", secret != 0);
	put_handler(SMBASE_RESET, &at_reset);
	by_icr();
	by_l2("SMI by a store of L2", l2_store);
	by_lvt(open);
	if (!open) {
		by_ioapic(0);
		if (cpu_count > 1)
			by_ioapic(1);
		by_smram();
	}
	judge_alive("CPUs and stops go on");
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	wrmsr(MSR_X2APIC_ICR, (u64)cpus[0].apic_id << 32 | ICR_SMI | ICR_ASSERT);
	wrmsr(MSR_X2APIC_ICR, (u64)cpus[cpu_count - 1].apic_id << 32 | ICR_SMI | ICR_ASSERT);
	judge_quiet("SMIs by x2APIC");
	by_l2("SMI by WRMSR of L2", l2_wrmsr);
	by_x2apic_lvt(open);
	judge("stops in x2APIC mode", hypercall(HELLO_RUNNING) && hypercall(HELLO_STOP_BY_CALL));
}
