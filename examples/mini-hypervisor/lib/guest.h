/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small framework for programs that run on the bare machine, or as the guest of a hypervisor that boots a bzImage.
 * It gives: 64-bit mode with one address space (the first 4 GiB, one to one, usable from CPL 3), printing on the first
 * serial port, exceptions that a program may expect, the boot command line, the other CPUs, pages, and time stamps.
 *
 * Output rule: a line that begins with "T " belongs to the transcript, which must be the same on the bare machine and
 * under a hypervisor. Never put ticks, raw addresses or capability values into it. Other lines are free.
 * All memory is shared by all CPUs; struct cpu is written by its own CPU only, except the mailbox (smp.c).
 */
#ifndef GUEST_H
#define GUEST_H

#include "layout.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define BIT(n) (1ull << (n))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE_SIZE 4096ul
#define MAX_CPUS 64
#define NO_FAULT 0xffffffffu

enum vector {
	VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7, VEC_DF = 8,
	VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_AC = 17, VEC_MC = 18,
	VEC_TIMER = 0x40, VEC_IPI = 0x41, VEC_TEST = 0x42, VEC_USER_DONE = 0x80, VEC_WAKE = 0xf0, VEC_SPURIOUS = 0xff,
};

/* What the last fault was; vector is NO_FAULT where none came. */
struct fault {
	u32 vector;
	u32 error;
	u64 rip;
	u64 cr2;
	u64 rflags;
};

/* One a CPU, found through GS. The first three members have fixed offsets: layout.h. */
struct cpu {
	struct cpu *self;
	u64 fixup;		/* where an expected fault continues; 0: no fault is expected */
	u64 user_return_rsp;	/* user_enter()'s frame */
	struct fault fault;
	u32 index;		/* 0 is the boot CPU */
	u32 apic_id;
	volatile u32 irq_count[256];
	volatile bool online;
	void (*volatile work)(void *);	/* mailbox: written by smp_run(), cleared by the owner when done */
	void *volatile work_arg;
	u64 gdt[12];
	u32 tss[26];
};

struct trap_frame {
	u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

extern struct cpu cpus[MAX_CPUS];

static inline struct cpu *this_cpu(void)
{
	struct cpu *cpu;

	asm("movq %%gs:0, %0" : "=r"(cpu));
	return cpu;
}

/* print.c: serial port 1 at 115,200 baud. One call prints one piece: lines of two CPUs mix only between calls. */
void serial_init(void);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Names a vector as the manual does, "#GP" for 13; for interrupts a number. */
const char *vector_name(u32 vector);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the end mark and stops the emulator; on other machines halts. */
_Noreturn void guest_done(void);
/* Sends what was printed and powers off (ACPI S5, at the port that Bochs has it). */
_Noreturn void machine_off(void);

/* cpu.c: descriptor tables, faults, CPL 3. */
void cpu_init(struct cpu *cpu, u64 trap_stack_top);
/* The same for a virtual CPU of ours that shares this address space: fills tables, loads nothing. */
void cpu_fill(struct cpu *cpu, u64 trap_stack_top);
extern u64 idt[512];
/* Runs rip at CPL 3 on a stack of its own until INT 0x80 (reported as NO_FAULT) or an exception. */
struct fault user_run(void (*code)(void));
struct fault user_run32(const void *code, u32 stack_top);
/* Called for each interrupt of vector >= 32, and NMI, when set. */
extern void (*volatile irq_hook)(struct trap_frame *frame);

/* Wraps the text of one instruction so that a fault in it continues behind it; ask last_fault() then. */
#define MAY_FAULT(insn) "movq $771f, %%gs:8\n\t" insn "\n771:\tmovq $0, %%gs:8"

static inline void fault_reset(void)
{
	this_cpu()->fault.vector = NO_FAULT;
}

static inline u32 last_fault(void)
{
	asm volatile("" ::: "memory");
	return this_cpu()->fault.vector;
}

/* boot.c */
extern struct e820_entry { u64 addr, size; u32 type; } __attribute__((packed)) e820_map[128];
extern u32 e820_count;
extern char command_line[256];
/* The value of name=VALUE on the command line, as a string that ends at a blank; false: not there. */
bool option(const char *name, char *value, size_t size);
u64 option_number(const char *name, u64 otherwise);	/* decimal, or 0x and small letters */
void *page_alloc(void);				/* zeroed; never freed */
void *page_alloc_many(size_t count, size_t align);	/* contiguous; not zeroed, so that 2 MiB cost nothing */

/* smp.c: the local APIC is used in xAPIC mode by plain 32-bit loads and stores. */
extern u32 cpu_count;
extern void (*volatile ap_hook)(void);		/* a started CPU calls it, if set, before it enables its local APIC */
void smp_discover(void);			/* reads the MADT; fills cpu_count and cpus[].apic_id */
void smp_start(void);				/* INIT-SIPI-SIPI to all others; returns when each is online */
bool smp_start_one(u32 index);
void smp_run(u32 index, void (*work)(void *), void *arg);
void smp_wait(u32 index);			/* until the work given to that CPU is done */
u32 lapic_read(u32 reg);
void lapic_write(u32 reg, u32 value);
void lapic_enable(void);
void lapic_icr(u32 apic_id, u32 low);
void send_nmi(u32 index);
void send_ipi(u32 index, u8 vector);
void timer_arm(u32 count);			/* one interrupt VEC_TIMER after `count` bus clocks divided by 1 */

enum lapic_reg {
	LAPIC_ID = 0x20, LAPIC_VERSION = 0x30, LAPIC_TPR = 0x80, LAPIC_EOI = 0xb0, LAPIC_SVR = 0xf0, LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310, LAPIC_LVT_TIMER = 0x320, LAPIC_TIMER_INITIAL = 0x380, LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
};

enum icr {
	ICR_FIXED = 0, ICR_NMI = 0x400, ICR_INIT = 0x500, ICR_SIPI = 0x600, ICR_ASSERT = 0x4000, ICR_LEVEL = 0x8000,
	ICR_PENDING = 0x1000, ICR_SELF = 0x40000, ICR_ALL = 0x80000, ICR_OTHERS = 0xc0000,
};

/* A named program; `test=NAME` on the command line selects it. */
struct test {
	const char *name;
	void (*run)(void);
	const char *about;
};

#define DEFINE_TEST(id, name_text, about_text)                                                                        \
	static void id(void);                                                                                         \
	static const struct test test_##id = { name_text, id, about_text };                                           \
	static const struct test *const test_pointer_##id __attribute__((section(".tests"), used)) = &test_##id;      \
	static void id(void)

/* Small helpers for what C has no word for. */
struct cpuid { u32 eax, ebx, ecx, edx; };

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

static inline u64 rdtsc(void)
{
	u32 low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) :: "memory");
	return low | (u64)high << 32;
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (u64)high << 32;
}

static inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" :: "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

/* The same where #GP is a possible answer; each returns the vector or NO_FAULT. */
static inline u32 try_rdmsr(u32 msr, u64 *value)
{
	u32 low = 0, high = 0;

	fault_reset();
	asm volatile(MAY_FAULT("rdmsr") : "+a"(low), "+d"(high) : "c"(msr) : "memory");
	*value = low | (u64)high << 32;
	return last_fault();
}

static inline u32 try_wrmsr(u32 msr, u64 value)
{
	fault_reset();
	asm volatile(MAY_FAULT("wrmsr") :: "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
	return last_fault();
}

static inline u32 try_xsetbv(u32 index, u64 value)
{
	fault_reset();
	asm volatile(MAY_FAULT("xsetbv") :: "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
	return last_fault();
}

#define DEFINE_CR(n)                                                                                                  \
	static inline u64 read_cr##n(void)                                                                            \
	{                                                                                                             \
		u64 value;                                                                                            \
		asm volatile("movq %%cr" #n ", %0" : "=r"(value) :: "memory");                                        \
		return value;                                                                                         \
	}                                                                                                             \
	static inline void write_cr##n(u64 value)                                                                     \
	{                                                                                                             \
		asm volatile("movq %0, %%cr" #n :: "r"(value) : "memory");                                            \
	}                                                                                                             \
	static inline u32 try_write_cr##n(u64 value)                                                                  \
	{                                                                                                             \
		fault_reset();                                                                                        \
		asm volatile(MAY_FAULT("movq %0, %%cr" #n) :: "r"(value) : "memory");                                 \
		return last_fault();                                                                                  \
	}
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
DEFINE_CR(8)

static inline u64 read_dr7(void)
{
	u64 value;

	asm volatile("movq %%dr7, %0" : "=r"(value));
	return value;
}

static inline u64 xgetbv(u32 index)
{
	u32 low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return low | (u64)high << 32;
}

static inline void outb(u16 port, u8 value) { asm volatile("outb %0, %1" :: "a"(value), "Nd"(port) : "memory"); }
static inline u8 inb(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void pause(void) { asm volatile("pause" ::: "memory"); }
static inline void halt(void) { asm volatile("hlt" ::: "memory"); }
static inline void irq_on(void) { asm volatile("sti" ::: "memory"); }
static inline void irq_off(void) { asm volatile("cli" ::: "memory"); }
/* Opens interrupts for exactly one instruction boundary: what is pending comes in. */
static inline void irq_window(void) { asm volatile("sti; nop; nop; cli" ::: "memory"); }
static inline void sti_hlt_cli(void) { asm volatile("sti; hlt; cli" ::: "memory"); }

static inline void *set_bytes(void *to, int value, size_t count)
{
	void *at = to;

	asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
	return to;
}

static inline void *copy_bytes(void *to, const void *from, size_t count)
{
	void *at = to;

	asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) :: "memory");
	return to;
}

bool same_string(const char *a, const char *b);

#endif
