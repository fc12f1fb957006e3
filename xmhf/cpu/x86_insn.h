/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions of the host CPU. Every function is one instruction or a few, so that the simulator (hypapi/sim) has
 * another file in place of this one.
 */
#ifndef XMHF_X86_INSN_H
#define XMHF_X86_INSN_H

#include "lib/base.h"

struct cpuid_regs { u32 eax, ebx, ecx, edx; };

static inline struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid_regs r;

	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

/* The local APIC's id of this CPU since reset: of 32 bits where the CPU tells it (SDM vol. 2A, CPUID leaf 0BH). */
static inline u32 initial_apic_id(void)
{
	bool is_wide = cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx & 0xffff;

	return is_wide ? cpuid(0xb, 0).edx : cpuid(1, 0).ebx >> 24;
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

/* As INIT leaves them. */
static inline void reset_debug_registers(void)
{
	asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3; mov %1, %%dr6"
		     : : "r"(0ul), "r"(0xffff0ff0ul));
}

static inline u64 rdtsc(void)
{
	u64 low, high; /* the instruction clears the upper halves */

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return high << 32 | low;
}

/* Modulo 2^32, for short times: two instructions less. */
static inline u32 rdtsc_low(void)
{
	u32 low;

	asm volatile("rdtsc" : "=a"(low) : : "rdx", "memory");
	return low;
}

#define X86_CR(n)                                                                              \
	static inline u64 read_cr##n(void)                                                     \
	{                                                                                      \
		u64 v;                                                                         \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory");                     \
		return v;                                                                      \
	}                                                                                      \
	static inline void write_cr##n(u64 v)                                                  \
	{                                                                                      \
		asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                         \
	}
X86_CR(0)
X86_CR(2)
X86_CR(3)
X86_CR(4)

/* CR4.PKE is 1. */
static inline u32 rdpkru(void)
{
	u32 pkru, zero;

	asm volatile(".byte 0x0f, 0x01, 0xee" : "=a"(pkru), "=d"(zero) : "c"(0));
	return pkru;
}

#define X86_PORT(name, suffix, type)                                                           \
	static inline type in##suffix(u16 port)                                                \
	{                                                                                      \
		type v;                                                                        \
		asm volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port));                   \
		return v;                                                                      \
	}                                                                                      \
	static inline void out##suffix(u16 port, type v)                                       \
	{                                                                                      \
		asm volatile("out" #suffix " %0, %1" : : "a"(v), "Nd"(port));                  \
	}
X86_PORT(byte, b, u8)
X86_PORT(word, w, u16)
X86_PORT(dword, l, u32)

/* The first word of what GS leads to: this CPU's structure. Not volatile, as it never changes. */
static inline void *read_gs_self(void)
{
	void *self;

	asm("movq %%gs:0, %0" : "=r"(self));
	return self;
}

/* False: there is no number at the moment. */
#define X86_RANDOM(name)                                                                       \
	static inline bool name(u64 *value)                                                    \
	{                                                                                      \
		bool ok;                                                                       \
		asm volatile(#name " %0" : "=r"(*value), "=@ccc"(ok));                         \
		return ok;                                                                     \
	}
X86_RANDOM(rdrand)
X86_RANDOM(rdseed)

/* Extended control registers, and the images of FPU and SIMD registers that they turn on. Callers: cpu/fpu.c. */
static inline u64 xgetbv(u32 index)
{
	u32 low, high;

	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (u64)high << 32 | low;
}

static inline void xsetbv(u32 index, u64 value)
{
	asm volatile("xsetbv" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

#define X86_XSTATE(name)                                                                       \
	static inline void name(u8 *area, u64 components, bool wide)                           \
	{                                                                                      \
		u32 low = (u32)components, high = (u32)(components >> 32);                     \
		if (wide)                                                                      \
			asm volatile(#name "64 (%0)" : : "r"(area), "a"(low), "d"(high) : "memory"); \
		else                                                                           \
			asm volatile(#name " (%0)" : : "r"(area), "a"(low), "d"(high) : "memory"); \
	}
X86_XSTATE(xsave)
X86_XSTATE(xrstor)

/* For ever. */
static inline _Noreturn void halt(void)
{
	for (;;)
		asm volatile("cli; hlt");
}

static inline void cpu_pause(void)
{
	asm volatile("pause" : : : "memory");
}

static inline void lfence(void)
{
	asm volatile("lfence" : : : "memory");
}

/* Clears the CPU's buffers, where it says MD_CLEAR; the selector is that of root's data. */
static inline void verw(void)
{
	static const u16 selector = 0x10;

	asm volatile("verw %0" : : "m"(selector) : "memory", "cc");
}

static inline void clflush(const void *at)
{
	asm volatile("clflush %0" : : "m"(*(const char *)at) : "memory");
}

/* A store that no cache keeps from memory, once sfence() is over. */
static inline void movnti(u64 *at, u64 value)
{
	asm volatile("movnti %1, %0" : "=m"(*at) : "r"(value));
}

static inline void sfence(void)
{
	asm volatile("sfence" : : : "memory");
}

static inline void mfence(void)
{
	asm volatile("mfence" : : : "memory");
}

static inline void wbinvd(void)
{
	asm volatile("wbinvd" : : : "memory");
}

#endif
