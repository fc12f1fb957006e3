/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMCS in names: field encodings, control bits, exit reasons, and the layouts of what the fields hold.
 * Constants only, from the Intel SDM vol. 3 ("Virtual Machine Control Structures" and the appendices "VMX Capability
 * Reporting Facility", "Field Encoding in VMCS", "VMX Basic Exit Reasons"). Used by the core, nested VMX and tests.
 */
#ifndef XMHF_VMX_VMCS_H
#define XMHF_VMX_VMCS_H

#include "lib/base.h"

enum vmcs_field {
#define FIELD(NAME, member, encoding, width, access, role, group, needs) VMCS_##NAME = (encoding),
#include "vmx/vmcs_fields.def"
#undef FIELD
};

/* SDM vol. 3, appendix "Field Encoding in VMCS": bit 0 access type, 9:1 index, 11:10 type, 14:13 width. */
enum vmcs_width { VMCS_WIDTH_16 = 0, VMCS_WIDTH_64 = 1, VMCS_WIDTH_32 = 2, VMCS_WIDTH_NAT = 3 };
enum vmcs_type { VMCS_TYPE_CONTROL = 0, VMCS_TYPE_RO = 1, VMCS_TYPE_GUEST = 2, VMCS_TYPE_HOST = 3 };
#define VMCS_ACCESS_RW 0
#define VMCS_ACCESS_RO 1
#define VMCS_ENC_HIGH BIT(0)
#define VMCS_ENC_INDEX(e) (((e) >> 1) & 0x1ff)
#define VMCS_ENC_TYPE(e) (((e) >> 10) & 3)
#define VMCS_ENC_WIDTH(e) (((e) >> 13) & 3)
#define VMCS_ENC_RESERVED (BIT(12) | BITS(63, 15))

#define FIELD(NAME, member, encoding, width, access, role, group, needs)                                             \
	_Static_assert(VMCS_ENC_WIDTH(encoding) == VMCS_WIDTH_##width && !((encoding) & VMCS_ENC_HIGH) &&            \
			       (VMCS_ENC_TYPE(encoding) == VMCS_TYPE_RO) == VMCS_ACCESS_##access &&                  \
			       !((encoding) & VMCS_ENC_RESERVED),                                                    \
		       #NAME ": width or access is not what the encoding says");
#include "vmx/vmcs_fields.def"
#undef FIELD

/* Pin-based VM-execution controls */
#define PIN_INTR_EXITING BIT(0)
#define PIN_NMI_EXITING BIT(3)
#define PIN_VIRTUAL_NMIS BIT(5)
#define PIN_PREEMPTION_TIMER BIT(6)
#define PIN_POSTED_INTR BIT(7)

/* Primary processor-based VM-execution controls */
#define PROC_INTR_WINDOW BIT(2)
#define PROC_TSC_OFFSETTING BIT(3)
#define PROC_HLT_EXITING BIT(7)
#define PROC_INVLPG_EXITING BIT(9)
#define PROC_MWAIT_EXITING BIT(10)
#define PROC_RDPMC_EXITING BIT(11)
#define PROC_RDTSC_EXITING BIT(12)
#define PROC_CR3_LOAD_EXITING BIT(15)
#define PROC_CR3_STORE_EXITING BIT(16)
#define PROC_TERTIARY BIT(17)
#define PROC_CR8_LOAD_EXITING BIT(19)
#define PROC_CR8_STORE_EXITING BIT(20)
#define PROC_TPR_SHADOW BIT(21)
#define PROC_NMI_WINDOW BIT(22)
#define PROC_MOV_DR_EXITING BIT(23)
#define PROC_UNCOND_IO_EXITING BIT(24)
#define PROC_IO_BITMAPS BIT(25)
#define PROC_MONITOR_TRAP BIT(27)
#define PROC_MSR_BITMAPS BIT(28)
#define PROC_MONITOR_EXITING BIT(29)
#define PROC_PAUSE_EXITING BIT(30)
#define PROC_SECONDARY BIT(31)

/* Secondary processor-based VM-execution controls */
#define PROC2_APIC_ACCESS BIT(0)
#define PROC2_EPT BIT(1)
#define PROC2_DESC_TABLE_EXITING BIT(2)
#define PROC2_RDTSCP BIT(3)
#define PROC2_X2APIC BIT(4)
#define PROC2_VPID BIT(5)
#define PROC2_WBINVD_EXITING BIT(6)
#define PROC2_UNRESTRICTED BIT(7)
#define PROC2_APIC_REGISTERS BIT(8)
#define PROC2_VIRT_INTR_DELIVERY BIT(9)
#define PROC2_PAUSE_LOOP_EXITING BIT(10)
#define PROC2_RDRAND_EXITING BIT(11)
#define PROC2_INVPCID BIT(12)
#define PROC2_VMFUNC BIT(13)
#define VMFUNC_EPTP_SWITCHING BIT(0) /* of the VM-function controls */
#define PROC2_SHADOW_VMCS BIT(14)
#define PROC2_ENCLS_EXITING BIT(15)
#define PROC2_RDSEED_EXITING BIT(16)
#define PROC2_PML BIT(17)
#define PROC2_EPT_VE BIT(18)
#define PROC2_PT_CONCEAL BIT(19)
#define PROC2_XSAVES BIT(20)
#define PROC2_PASID BIT(21)
#define PROC2_MBEC BIT(22)
#define PROC2_SPP BIT(23)
#define PROC2_PT_GPA BIT(24)
#define PROC2_TSC_SCALING BIT(25)
#define PROC2_USER_WAIT BIT(26)
#define PROC2_PCONFIG BIT(27)
#define PROC2_ENCLV_EXITING BIT(28)
#define PROC2_BUS_LOCK BIT(30)
#define PROC2_INSN_TIMEOUT BIT(31)

/* VM-exit controls */
#define EXITCTL_SAVE_DEBUG BIT(2)
#define EXITCTL_HOST_64 BIT(9)
#define EXITCTL_LOAD_PERF BIT(12)
#define EXITCTL_ACK_INTR BIT(15)
#define EXITCTL_SAVE_PAT BIT(18)
#define EXITCTL_LOAD_PAT BIT(19)
#define EXITCTL_SAVE_EFER BIT(20)
#define EXITCTL_LOAD_EFER BIT(21)
#define EXITCTL_SAVE_TIMER BIT(22)
#define EXITCTL_CLEAR_BNDCFGS BIT(23)
#define EXITCTL_PT_CONCEAL BIT(24)
#define EXITCTL_CLEAR_RTIT BIT(25)
#define EXITCTL_CLEAR_LBR BIT(26)
#define EXITCTL_CLEAR_UINV BIT(27)
#define EXITCTL_LOAD_CET BIT(28)
#define EXITCTL_LOAD_PKRS BIT(29)
#define EXITCTL_SAVE_PERF BIT(30)
#define EXITCTL_SECONDARY BIT(31)

/* VM-entry controls */
#define ENTRYCTL_LOAD_DEBUG BIT(2)
#define ENTRYCTL_IA32E BIT(9)
#define ENTRYCTL_SMM BIT(10)
#define ENTRYCTL_DUAL_MONITOR_OFF BIT(11)
#define ENTRYCTL_LOAD_PERF BIT(13)
#define ENTRYCTL_LOAD_PAT BIT(14)
#define ENTRYCTL_LOAD_EFER BIT(15)
#define ENTRYCTL_LOAD_BNDCFGS BIT(16)
#define ENTRYCTL_PT_CONCEAL BIT(17)
#define ENTRYCTL_LOAD_RTIT BIT(18)
#define ENTRYCTL_LOAD_UINV BIT(19)
#define ENTRYCTL_LOAD_CET BIT(20)
#define ENTRYCTL_LOAD_LBR BIT(21)
#define ENTRYCTL_LOAD_PKRS BIT(22)

/* Basic exit reasons (SDM vol. 3, appendix "VMX Basic Exit Reasons") */
enum exit_reason {
	EXIT_EXCEPTION_NMI = 0,
	EXIT_EXTERNAL_INTR = 1,
	EXIT_TRIPLE_FAULT = 2,
	EXIT_INIT = 3,
	EXIT_SIPI = 4,
	EXIT_IO_SMI = 5,
	EXIT_OTHER_SMI = 6,
	EXIT_INTR_WINDOW = 7,
	EXIT_NMI_WINDOW = 8,
	EXIT_TASK_SWITCH = 9,
	EXIT_CPUID = 10,
	EXIT_GETSEC = 11,
	EXIT_HLT = 12,
	EXIT_INVD = 13,
	EXIT_INVLPG = 14,
	EXIT_RDPMC = 15,
	EXIT_RDTSC = 16,
	EXIT_RSM = 17,
	EXIT_VMCALL = 18,
	EXIT_VMCLEAR = 19,
	EXIT_VMLAUNCH = 20,
	EXIT_VMPTRLD = 21,
	EXIT_VMPTRST = 22,
	EXIT_VMREAD = 23,
	EXIT_VMRESUME = 24,
	EXIT_VMWRITE = 25,
	EXIT_VMXOFF = 26,
	EXIT_VMXON = 27,
	EXIT_CR_ACCESS = 28,
	EXIT_MOV_DR = 29,
	EXIT_IO = 30,
	EXIT_RDMSR = 31,
	EXIT_WRMSR = 32,
	EXIT_BAD_GUEST_STATE = 33,
	EXIT_BAD_MSR_LOAD = 34,
	EXIT_MWAIT = 36,
	EXIT_MONITOR_TRAP = 37,
	EXIT_MONITOR = 39,
	EXIT_PAUSE = 40,
	EXIT_ENTRY_MCE = 41,
	EXIT_TPR_BELOW = 43,
	EXIT_APIC_ACCESS = 44,
	EXIT_EOI = 45,
	EXIT_GDTR_IDTR = 46,
	EXIT_LDTR_TR = 47,
	EXIT_EPT_VIOLATION = 48,
	EXIT_EPT_MISCONFIG = 49,
	EXIT_INVEPT = 50,
	EXIT_RDTSCP = 51,
	EXIT_PREEMPTION_TIMER = 52,
	EXIT_INVVPID = 53,
	EXIT_WBINVD = 54,
	EXIT_XSETBV = 55,
	EXIT_APIC_WRITE = 56,
	EXIT_RDRAND = 57,
	EXIT_INVPCID = 58,
	EXIT_VMFUNC = 59,
	EXIT_ENCLS = 60,
	EXIT_RDSEED = 61,
	EXIT_PML_FULL = 62,
	EXIT_XSAVES = 63,
	EXIT_XRSTORS = 64,
	EXIT_PCONFIG = 65,
	EXIT_SPP = 66,
	EXIT_UMWAIT = 67,
	EXIT_TPAUSE = 68,
	EXIT_LOADIWKEY = 69,
	EXIT_ENCLV = 70,
	EXIT_ENQCMD_PASID = 72,
	EXIT_ENQCMDS_PASID = 73,
	EXIT_BUS_LOCK = 74,
	EXIT_INSN_TIMEOUT = 75,
	EXIT_SEAMCALL = 76,
	EXIT_TDCALL = 77,
	EXIT_RDMSRLIST = 78,
	EXIT_WRMSRLIST = 79,
	EXIT_REASON_COUNT = 80,
};
#define EXIT_REASON_BASIC 0xffffu
#define EXIT_REASON_ENTRY_FAILED BIT(31)

/* Exit qualification of EXIT_BAD_GUEST_STATE (SDM vol. 3, "VM-Entry Failures During or After Loading Guest State") */
#define BAD_GUEST_OTHER 0
#define BAD_GUEST_PDPTE 2
#define BAD_GUEST_NMI 3
#define BAD_GUEST_LINK 4

/* Interruption information: VM-entry, VM-exit and IDT-vectoring share the layout */
#define INTR_VECTOR 0xffu
#define INTR_TYPE (7u << 8)
#define INTR_ERROR_CODE BIT(11)
#define INTR_NMI_UNBLOCK BIT(12) /* VM-exit information only: NMI unblocking due to IRET */
#define ERROR_CODE_EXT BIT(0) /* of a fault in the delivery of what the program did not ask for */
#define INTR_RESERVED BITS(30, 12)
#define INTR_VALID BIT(31)
enum intr_type {
	INTR_TYPE_EXTERNAL = 0u << 8,
	INTR_TYPE_NMI = 2u << 8,
	INTR_TYPE_HW_EXCEPTION = 3u << 8,
	INTR_TYPE_SW_INTR = 4u << 8,
	INTR_TYPE_PRIV_SW_EXCEPTION = 5u << 8,
	INTR_TYPE_SW_EXCEPTION = 6u << 8,
	INTR_TYPE_OTHER = 7u << 8,
};

/* Exception vectors */
enum vector {
	VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7, VEC_DF = 8,
	VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16, VEC_AC = 17, VEC_MC = 18,
	VEC_XM = 19, VEC_VE = 20, VEC_CP = 21,
};

/* Guest non-register state */
#define INTERRUPTIBILITY_STI BIT(0)
#define INTERRUPTIBILITY_MOV_SS BIT(1)
#define INTERRUPTIBILITY_SMI BIT(2)
#define INTERRUPTIBILITY_NMI BIT(3)
#define INTERRUPTIBILITY_ENCLAVE BIT(4)
#define INTERRUPTIBILITY_RESERVED BITS(31, 5)
enum activity { ACTIVITY_ACTIVE = 0, ACTIVITY_HLT = 1, ACTIVITY_SHUTDOWN = 2, ACTIVITY_WAIT_SIPI = 3 };
#define PENDING_DEBUG_B0_B3 BITS(3, 0)
#define PENDING_DEBUG_BUS_LOCK BIT(11)
#define PENDING_DEBUG_ENABLED BIT(12)
#define PENDING_DEBUG_BS BIT(14)
#define PENDING_DEBUG_RTM BIT(16)

/* Segment access rights */
#define AR_TYPE 0xfu
#define AR_ACCESSED BIT(0)
#define AR_WRITABLE BIT(1) /* data; readable for code */
#define AR_CONFORMING BIT(2) /* code; expand-down for data */
#define AR_CODE BIT(3)
#define AR_IS_NONCONFORMING(ar) (((ar) & (AR_CODE | AR_CONFORMING)) == AR_CODE)
#define AR_S BIT(4)
#define AR_DPL_SHIFT 5
#define AR_DPL(ar) (((ar) >> AR_DPL_SHIFT) & 3)
#define AR_P BIT(7)
#define AR_AVL BIT(12)
#define AR_L BIT(13)
#define AR_DB BIT(14)
#define AR_G BIT(15)
#define AR_UNUSABLE BIT(16)
#define AR_RESERVED (BITS(31, 17) | BITS(11, 8))
#define AR_TYPE_LDT 2
#define AR_TYPE_TSS16_BUSY 3
#define AR_TYPE_TSS_BUSY 11
/* Whole access rights: flat segments of a kernel, and its TSS. */
#define AR_FLAT_CODE_64 0xa09b
#define AR_FLAT_CODE_32 0xc09b
#define AR_FLAT_DATA 0xc093
#define AR_TSS_BUSY 0x8b

/* Exit qualification of an EPT violation */
#define EPT_QUAL_READ BIT(0)
#define EPT_QUAL_WRITE BIT(1)
#define EPT_QUAL_FETCH BIT(2)
#define EPT_QUAL_ACCESS BITS(2, 0)
#define EPT_QUAL_RIGHTS_SHIFT 3
#define EPT_QUAL_RIGHTS BITS(5, 3)
#define EPT_QUAL_GLA_VALID BIT(7)
#define EPT_QUAL_GLA_FINAL BIT(8) /* access to the translation of the linear address, not to a paging structure */
#define EPT_QUAL_NMI_UNBLOCK BIT(12)

/* EPT pointer */
#define EPTP_TYPE BITS(2, 0)
#define EPTP_WALK_4 (3u << 3)
#define EPTP_WALK BITS(5, 3)
#define EPTP_AD BIT(6)
#define EPT_TYPE_UC 0
#define EPT_TYPE_WB 6

/* IA32_VMX_EPT_VPID_CAP */
#define EPTCAP_EXEC_ONLY BIT(0)
#define EPTCAP_WALK_4 BIT(6)
#define EPTCAP_WALK_5 BIT(7)
#define EPTCAP_UC BIT(8)
#define EPTCAP_WB BIT(14)
#define EPTCAP_2M BIT(16)
#define EPTCAP_1G BIT(17)
#define EPTCAP_INVEPT BIT(20)
#define EPTCAP_AD BIT(21)
#define EPTCAP_ADVANCED_INFO BIT(22)
#define EPTCAP_INVEPT_SINGLE BIT(25)
#define EPTCAP_INVEPT_ALL BIT(26)
#define EPTCAP_INVVPID BIT(32)
#define EPTCAP_INVVPID_ADDR BIT(40)
#define EPTCAP_INVVPID_SINGLE BIT(41)
#define EPTCAP_INVVPID_ALL BIT(42)
#define EPTCAP_INVVPID_GLOBALS BIT(43)
enum invept_type { INVEPT_SINGLE = 1, INVEPT_ALL = 2 };
enum invvpid_type { INVVPID_ADDR = 0, INVVPID_SINGLE = 1, INVVPID_ALL = 2, INVVPID_GLOBALS = 3 };

/* VMX MSRs */
enum vmx_msr {
	MSR_IA32_FEATURE_CONTROL = 0x3a,
	MSR_IA32_VMX_BASIC = 0x480,
	MSR_IA32_VMX_PINBASED_CTLS = 0x481,
	MSR_IA32_VMX_PROCBASED_CTLS = 0x482,
	MSR_IA32_VMX_EXIT_CTLS = 0x483,
	MSR_IA32_VMX_ENTRY_CTLS = 0x484,
	MSR_IA32_VMX_MISC = 0x485,
	MSR_IA32_VMX_CR0_FIXED0 = 0x486,
	MSR_IA32_VMX_CR0_FIXED1 = 0x487,
	MSR_IA32_VMX_CR4_FIXED0 = 0x488,
	MSR_IA32_VMX_CR4_FIXED1 = 0x489,
	MSR_IA32_VMX_VMCS_ENUM = 0x48a,
	MSR_IA32_VMX_PROCBASED_CTLS2 = 0x48b,
	MSR_IA32_VMX_EPT_VPID_CAP = 0x48c,
	MSR_IA32_VMX_TRUE_PINBASED_CTLS = 0x48d,
	MSR_IA32_VMX_TRUE_PROCBASED_CTLS = 0x48e,
	MSR_IA32_VMX_TRUE_EXIT_CTLS = 0x48f,
	MSR_IA32_VMX_TRUE_ENTRY_CTLS = 0x490,
	MSR_IA32_VMX_VMFUNC = 0x491,
	MSR_IA32_VMX_PROCBASED_CTLS3 = 0x492,
	MSR_IA32_VMX_EXIT_CTLS2 = 0x493,
};
#define FEATURE_CONTROL_LOCK BIT(0)
#define FEATURE_CONTROL_VMX_IN_SMX BIT(1)
#define FEATURE_CONTROL_VMX BIT(2)
#define VMX_BASIC_REVISION BITS(30, 0)
#define VMX_BASIC_SIZE_SHIFT 32
#define VMX_BASIC_ADDR_32 BIT(48)
#define VMX_BASIC_DUAL_MONITOR BIT(49)
#define VMX_BASIC_TYPE_SHIFT 50
#define VMX_BASIC_INS_OUTS BIT(54)
#define VMX_BASIC_TRUE_CTLS BIT(55)
#define VMX_BASIC_ANY_ERROR_CODE BIT(56)
#define VMX_MISC_TIMER_SHIFT BITS(4, 0)
#define VMX_MISC_EFER_LMA BIT(5)
#define VMX_MISC_ACT_HLT BIT(6)
#define VMX_MISC_ACT_SHUTDOWN BIT(7)
#define VMX_MISC_ACT_WAIT_SIPI BIT(8)
#define VMX_MISC_CR3_TARGETS_SHIFT 16
#define VMX_MISC_CR3_TARGETS BITS(24, 16)
#define VMX_MISC_MSR_LIST_SHIFT 25
#define VMX_MISC_MSR_LIST BITS(27, 25)
#define VMX_MISC_VMWRITE_ALL BIT(29)
#define VMX_MISC_ZERO_LEN_EVENT BIT(30)

/* First two words of a VMCS region */
#define VMCS_REGION_SHADOW BIT(31)

/* VM-instruction error numbers (SDM vol. 3, "VM Instruction Error Numbers") */
enum vmx_error {
	VMXERR_NONE = 0,
	VMXERR_VMCALL_IN_ROOT = 1,
	VMXERR_VMCLEAR_BAD_ADDR = 2,
	VMXERR_VMCLEAR_VMXON_PTR = 3,
	VMXERR_VMLAUNCH_NOT_CLEAR = 4,
	VMXERR_VMRESUME_NOT_LAUNCHED = 5,
	VMXERR_VMRESUME_AFTER_VMXOFF = 6,
	VMXERR_BAD_CONTROLS = 7,
	VMXERR_BAD_HOST = 8,
	VMXERR_VMPTRLD_BAD_ADDR = 9,
	VMXERR_VMPTRLD_VMXON_PTR = 10,
	VMXERR_VMPTRLD_BAD_REVISION = 11,
	VMXERR_BAD_FIELD = 12,
	VMXERR_READ_ONLY_FIELD = 13,
	VMXERR_VMXON_IN_ROOT = 15,
	VMXERR_MOV_SS = 26,
	VMXERR_BAD_INVALIDATE = 28,
};

#endif
