/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of xmhf/cpu/x86_insn.h: the instructions of the host CPU, carried out by hypapi/sim/machine.c. */
#ifndef XMHF_X86_INSN_H
#define XMHF_X86_INSN_H

#include "lib/base.h"

struct cpuid_regs { u32 eax, ebx, ecx, edx; };

struct cpuid_regs machine_cpuid(u32 leaf, u32 subleaf);
bool machine_rdmsr(u32 msr, u64 *value);  /* false: there is no such MSR */
bool machine_wrmsr(u32 msr, u64 value);
u64 machine_ticks(void);
u64 *machine_cr(u32 number);              /* of this CPU */
u32 machine_in(u16 port, u32 size);
void machine_out(u16 port, u32 size, u32 value);
bool machine_rdrand(u64 *value);          /* and RDSEED: false, none at the moment */
void machine_verw(void);                  /* clears buffers */
void machine_wbinvd(void);                /* caches are not modelled */
void machine_movnti(u64 *at, u64 value);
void machine_relax(void);                 /* takes NMIs, and lets other threads run */
u64 *machine_xcr0(void);                  /* of this CPU */
u32 machine_pkru(void);                   /* its guests' own accesses do not ask it */
void machine_xsave(u8 *area, u64 components);  /* YMM0 and MXCSR stand for all registers */
void machine_xrstor(const u8 *area, u64 components);
void *machine_self(void);                 /* struct percpu of this thread's CPU */

static inline struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
	return machine_cpuid(leaf, subleaf);
}

static inline u64 rdmsr(u32 msr)
{
	u64 value = 0;

	return machine_rdmsr(msr, &value) ? value : 0;
}

static inline void wrmsr(u32 msr, u64 value) { (void)machine_wrmsr(msr, value); }
static inline u64 rdtsc(void) { return machine_ticks(); }
static inline u32 rdtsc_low(void) { return (u32)machine_ticks(); }
static inline void *read_gs_self(void) { return machine_self(); }
static inline void cpu_pause(void) { machine_relax(); }
static inline bool rdrand(u64 *value) { return machine_rdrand(value); }
static inline bool rdseed(u64 *value) { return machine_rdrand(value); }
static inline u32 rdpkru(void) { return machine_pkru(); }
static inline u64 xgetbv(u32 index) { (void)index; return *machine_xcr0(); }
static inline void xsetbv(u32 index, u64 value) { (void)index; *machine_xcr0() = value; }
static inline void xsave(u8 *area, u64 set, bool wide) { (void)wide; machine_xsave(area, set); }
static inline void xrstor(u8 *area, u64 set, bool wide) { (void)wide; machine_xrstor(area, set); }
static inline void wbinvd(void) { machine_wbinvd(); }
static inline void movnti(u64 *at, u64 value) { machine_movnti(at, value); }
static inline void lfence(void) { }
static inline void sfence(void) { }
static inline void verw(void) { machine_verw(); }
static inline void reset_debug_registers(void) { }

#define X86_CR(n)                                                                              \
	static inline u64 read_cr##n(void) { return *machine_cr(n); }                          \
	static inline void write_cr##n(u64 v) { *machine_cr(n) = v; }
X86_CR(0)
X86_CR(2)
X86_CR(3)
X86_CR(4)

#define X86_PORT(suffix, type, size)                                                           \
	static inline type in##suffix(u16 port) { return (type)machine_in(port, size); }       \
	static inline void out##suffix(u16 port, type v) { machine_out(port, size, v); }
X86_PORT(b, u8, 1)
X86_PORT(w, u16, 2)
X86_PORT(l, u32, 4)

#endif
