/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every VMCS field that the library or the tests name, one row each: name, encoding. The encoding itself tells width
 * and kind (Intel SDM vol. 3, "VMCS Component Encoding"): bits 14:13 width, bits 11:10 kind, bit 0 the high half.
 */
#ifndef HV_FIELDS_H
#define HV_FIELDS_H

#define VMCS_FIELDS(F)                                                                                                \
	F(VPID, 0x0000) F(GUEST_ES_SEL, 0x0800) F(GUEST_CS_SEL, 0x0802) F(GUEST_SS_SEL, 0x0804)                       \
	F(GUEST_DS_SEL, 0x0806) F(GUEST_FS_SEL, 0x0808) F(GUEST_GS_SEL, 0x080a) F(GUEST_LDTR_SEL, 0x080c)             \
	F(GUEST_TR_SEL, 0x080e)                                                                                       \
	F(HOST_ES_SEL, 0x0c00) F(HOST_CS_SEL, 0x0c02) F(HOST_SS_SEL, 0x0c04) F(HOST_DS_SEL, 0x0c06)                   \
	F(HOST_FS_SEL, 0x0c08) F(HOST_GS_SEL, 0x0c0a) F(HOST_TR_SEL, 0x0c0c)                                          \
	F(IO_BITMAP_A, 0x2000) F(IO_BITMAP_B, 0x2002) F(MSR_BITMAP, 0x2004) F(EXIT_MSR_STORE_ADDR, 0x2006)            \
	F(EXIT_MSR_LOAD_ADDR, 0x2008) F(ENTRY_MSR_LOAD_ADDR, 0x200a) F(TSC_OFFSET, 0x2010)                            \
	F(VIRTUAL_APIC_ADDR, 0x2012) F(APIC_ACCESS_ADDR, 0x2014) F(EPTP, 0x201a)                                      \
	F(GUEST_PHYSICAL_ADDR, 0x2400)                                                                                \
	F(LINK_POINTER, 0x2800) F(GUEST_DEBUGCTL, 0x2802) F(GUEST_PAT, 0x2804) F(GUEST_EFER, 0x2806)                  \
	F(GUEST_PDPTE0, 0x280a) F(GUEST_PDPTE1, 0x280c) F(GUEST_PDPTE2, 0x280e) F(GUEST_PDPTE3, 0x2810)               \
	F(HOST_PAT, 0x2c00) F(HOST_EFER, 0x2c02)                                                                      \
	F(PIN_CONTROLS, 0x4000) F(CPU_CONTROLS, 0x4002) F(EXCEPTION_BITMAP, 0x4004) F(PF_ERROR_MASK, 0x4006)          \
	F(PF_ERROR_MATCH, 0x4008) F(CR3_TARGET_COUNT, 0x400a) F(EXIT_CONTROLS, 0x400c)                                \
	F(EXIT_MSR_STORE_COUNT, 0x400e) F(EXIT_MSR_LOAD_COUNT, 0x4010) F(ENTRY_CONTROLS, 0x4012)                      \
	F(ENTRY_MSR_LOAD_COUNT, 0x4014) F(ENTRY_INTR_INFO, 0x4016) F(ENTRY_ERROR_CODE, 0x4018)                        \
	F(ENTRY_INSN_LENGTH, 0x401a) F(TPR_THRESHOLD, 0x401c) F(CPU_CONTROLS2, 0x401e)                                \
	F(INSN_ERROR, 0x4400) F(EXIT_REASON, 0x4402) F(EXIT_INTR_INFO, 0x4404) F(EXIT_ERROR_CODE, 0x4406)             \
	F(IDT_VECTORING_INFO, 0x4408) F(IDT_VECTORING_ERROR, 0x440a) F(EXIT_INSN_LENGTH, 0x440c)                      \
	F(EXIT_INSN_INFO, 0x440e)                                                                                     \
	F(GUEST_ES_LIMIT, 0x4800) F(GUEST_CS_LIMIT, 0x4802) F(GUEST_SS_LIMIT, 0x4804) F(GUEST_DS_LIMIT, 0x4806)       \
	F(GUEST_FS_LIMIT, 0x4808) F(GUEST_GS_LIMIT, 0x480a) F(GUEST_LDTR_LIMIT, 0x480c) F(GUEST_TR_LIMIT, 0x480e)     \
	F(GUEST_GDTR_LIMIT, 0x4810) F(GUEST_IDTR_LIMIT, 0x4812) F(GUEST_ES_RIGHTS, 0x4814)                            \
	F(GUEST_CS_RIGHTS, 0x4816) F(GUEST_SS_RIGHTS, 0x4818) F(GUEST_DS_RIGHTS, 0x481a) F(GUEST_FS_RIGHTS, 0x481c)   \
	F(GUEST_GS_RIGHTS, 0x481e) F(GUEST_LDTR_RIGHTS, 0x4820) F(GUEST_TR_RIGHTS, 0x4822)                            \
	F(GUEST_INTERRUPTIBILITY, 0x4824) F(GUEST_ACTIVITY, 0x4826) F(GUEST_SMBASE, 0x4828)                           \
	F(GUEST_SYSENTER_CS, 0x482a) F(PREEMPTION_TIMER, 0x482e) F(HOST_SYSENTER_CS, 0x4c00)                          \
	F(CR0_MASK, 0x6000) F(CR4_MASK, 0x6002) F(CR0_SHADOW, 0x6004) F(CR4_SHADOW, 0x6006)                           \
	F(CR3_TARGET0, 0x6008) F(CR3_TARGET1, 0x600a) F(CR3_TARGET2, 0x600c) F(CR3_TARGET3, 0x600e)                   \
	F(EXIT_QUALIFICATION, 0x6400) F(IO_RCX, 0x6402) F(IO_RSI, 0x6404) F(IO_RDI, 0x6406) F(IO_RIP, 0x6408)         \
	F(GUEST_LINEAR_ADDR, 0x640a)                                                                                  \
	F(GUEST_CR0, 0x6800) F(GUEST_CR3, 0x6802) F(GUEST_CR4, 0x6804) F(GUEST_ES_BASE, 0x6806)                       \
	F(GUEST_CS_BASE, 0x6808) F(GUEST_SS_BASE, 0x680a) F(GUEST_DS_BASE, 0x680c) F(GUEST_FS_BASE, 0x680e)           \
	F(GUEST_GS_BASE, 0x6810) F(GUEST_LDTR_BASE, 0x6812) F(GUEST_TR_BASE, 0x6814) F(GUEST_GDTR_BASE, 0x6816)       \
	F(GUEST_IDTR_BASE, 0x6818) F(GUEST_DR7, 0x681a) F(GUEST_RSP, 0x681c) F(GUEST_RIP, 0x681e)                     \
	F(GUEST_RFLAGS, 0x6820) F(GUEST_PENDING_DEBUG, 0x6822) F(GUEST_SYSENTER_ESP, 0x6824)                          \
	F(GUEST_SYSENTER_EIP, 0x6826)                                                                                 \
	F(HOST_CR0, 0x6c00) F(HOST_CR3, 0x6c02) F(HOST_CR4, 0x6c04) F(HOST_FS_BASE, 0x6c06) F(HOST_GS_BASE, 0x6c08)   \
	F(HOST_TR_BASE, 0x6c0a) F(HOST_GDTR_BASE, 0x6c0c) F(HOST_IDTR_BASE, 0x6c0e) F(HOST_SYSENTER_ESP, 0x6c10)      \
	F(HOST_SYSENTER_EIP, 0x6c12) F(HOST_RSP, 0x6c14) F(HOST_RIP, 0x6c16)

#define FIELD_ENUM(name, encoding) VMCS_##name = encoding,
enum vmcs_field { VMCS_FIELDS(FIELD_ENUM) };
#undef FIELD_ENUM

enum exit_reason {
	EXIT_EXCEPTION_NMI = 0, EXIT_INTERRUPT = 1, EXIT_TRIPLE_FAULT = 2, EXIT_INIT = 3, EXIT_SIPI = 4,
	EXIT_INTERRUPT_WINDOW = 7, EXIT_NMI_WINDOW = 8, EXIT_TASK_SWITCH = 9, EXIT_CPUID = 10, EXIT_HLT = 12,
	EXIT_INVD = 13, EXIT_INVLPG = 14, EXIT_RDPMC = 15, EXIT_RDTSC = 16, EXIT_VMCALL = 18, EXIT_VMCLEAR = 19,
	EXIT_VMLAUNCH = 20, EXIT_VMPTRLD = 21, EXIT_VMPTRST = 22, EXIT_VMREAD = 23, EXIT_VMRESUME = 24,
	EXIT_VMWRITE = 25,
	EXIT_VMXOFF = 26, EXIT_VMXON = 27, EXIT_CR_ACCESS = 28, EXIT_DR_ACCESS = 29, EXIT_IO = 30, EXIT_RDMSR = 31,
	EXIT_WRMSR = 32, EXIT_BAD_GUEST_STATE = 33, EXIT_BAD_MSR_LOAD = 34, EXIT_MWAIT = 36, EXIT_MONITOR = 39,
	EXIT_PAUSE = 40, EXIT_TPR_THRESHOLD = 43, EXIT_APIC_ACCESS = 44, EXIT_GDTR_IDTR = 46, EXIT_LDTR_TR = 47,
	EXIT_EPT_VIOLATION = 48, EXIT_EPT_MISCONFIG = 49, EXIT_INVEPT = 50, EXIT_RDTSCP = 51,
	EXIT_PREEMPTION_TIMER = 52,
	EXIT_INVVPID = 53, EXIT_WBINVD = 54, EXIT_XSETBV = 55, EXIT_RDRAND = 57, EXIT_INVPCID = 58, EXIT_RDSEED = 61,
	EXIT_PML_FULL = 62, EXIT_XSAVES = 63, EXIT_ENTRY_FAILED = 0x80000000,
};

enum pin_control { PIN_INTERRUPT = 1 << 0, PIN_NMI = 1 << 3, PIN_VIRTUAL_NMI = 1 << 5, PIN_PREEMPTION_TIMER = 1 << 6 };

enum cpu_control {
	CPU_INTERRUPT_WINDOW = 1 << 2, CPU_TSC_OFFSET = 1 << 3, CPU_HLT = 1 << 7, CPU_INVLPG = 1 << 9,
	CPU_MWAIT = 1 << 10,
	CPU_RDPMC = 1 << 11, CPU_RDTSC = 1 << 12, CPU_CR3_LOAD = 1 << 15, CPU_CR3_STORE = 1 << 16,
	CPU_CR8_LOAD = 1 << 19,
	CPU_CR8_STORE = 1 << 20, CPU_TPR_SHADOW = 1 << 21, CPU_NMI_WINDOW = 1 << 22, CPU_MOV_DR = 1 << 23,
	CPU_IO = 1 << 24,
	CPU_IO_BITMAPS = 1 << 25, CPU_MSR_BITMAP = 1 << 28, CPU_MONITOR = 1 << 29, CPU_PAUSE = 1 << 30,
};
#define CPU_SECONDARY 0x80000000u

enum cpu_control2 {
	CPU2_APIC_ACCESS = 1 << 0, CPU2_EPT = 1 << 1, CPU2_DESCRIPTOR_TABLE = 1 << 2, CPU2_RDTSCP = 1 << 3,
	CPU2_X2APIC = 1 << 4, CPU2_VPID = 1 << 5, CPU2_WBINVD = 1 << 6, CPU2_UNRESTRICTED = 1 << 7,
	CPU2_PAUSE_LOOP = 1 << 10, CPU2_INVPCID = 1 << 12, CPU2_VMFUNC = 1 << 13, CPU2_SHADOW_VMCS = 1 << 14,
	CPU2_PML = 1 << 17, CPU2_EPT_VE = 1 << 18, CPU2_XSAVES = 1 << 20,
};

enum exit_control {
	EXITC_SAVE_DEBUG = 1 << 2, EXITC_HOST_64 = 1 << 9, EXITC_ACK_INTERRUPT = 1 << 15, EXITC_SAVE_PAT = 1 << 18,
	EXITC_LOAD_PAT = 1 << 19, EXITC_SAVE_EFER = 1 << 20, EXITC_LOAD_EFER = 1 << 21, EXITC_SAVE_TIMER = 1 << 22,
};

enum entry_control {
	ENTRYC_LOAD_DEBUG = 1 << 2, ENTRYC_GUEST_64 = 1 << 9, ENTRYC_SMM = 1 << 10, ENTRYC_DUAL_MONITOR = 1 << 11,
	ENTRYC_LOAD_PAT = 1 << 14, ENTRYC_LOAD_EFER = 1 << 15,
};

/* Interruption information: valid bit, types, error-code bit. */
#define INTR_VALID 0x80000000u
#define INTR_ERROR 0x800u
enum intr_type { INTR_EXTERNAL = 0, INTR_NMI = 2 << 8, INTR_HARD = 3 << 8, INTR_SOFT_INT = 4 << 8, INTR_PRIV = 5 << 8,
		 INTR_SOFT_EXC = 6 << 8 };

enum interruptibility { BLOCK_STI = 1, BLOCK_MOV_SS = 2, BLOCK_SMI = 4, BLOCK_NMI = 8 };

#define MSR_FEATURE_CONTROL 0x3a
#define MSR_VMX_BASIC 0x480
#define MSR_VMX_PIN 0x481
#define MSR_VMX_CPU 0x482
#define MSR_VMX_EXIT 0x483
#define MSR_VMX_ENTRY 0x484
#define MSR_VMX_MISC 0x485
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_CPU2 0x48b
#define MSR_VMX_EPT_VPID 0x48c
#define MSR_VMX_TRUE_PIN 0x48d
#define MSR_VMX_TRUE_CPU 0x48e
#define MSR_VMX_TRUE_EXIT 0x48f
#define MSR_VMX_TRUE_ENTRY 0x490

#endif
