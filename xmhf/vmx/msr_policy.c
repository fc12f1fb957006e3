/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See msr_policy.h. Writes are denied by default, since a new CPU brings MSRs that no table knows, and some of them
 * hold physical addresses. Reads are passed by default. A row says why it is as it is; numbers by the SDM, vol. 4.
 */
#include "vmx/msr_policy.h"

#include "apic/apic_guard.h"
#include "cpu/speculation.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "mem/mtrr.h"
#include "nested/nested.h"

#define MSR_BIOS_SIGN_ID 0x8b
#define MSR_PLATFORM_INFO 0xce
#define MSR_CORE_CAPABILITIES 0xcf
#define MSR_MISC_ENABLE 0x1a0

#define TEST_CTRL_LOCK_FAULTS (BIT(28) | BIT(29)) /* #GP for a lock on uncacheable memory, #AC for a split one */
#define PLATFORM_INFO_CPUID_FAULTING BIT(31)
#define CORE_CAPABILITIES_LOCK_FAULTS (BIT(4) | BIT(5))
#define MISC_ENABLE_NO_DS (BIT(11) | BIT(12)) /* neither branch trace nor PEBS; read-only */
#define MISC_ENABLE_XD_DISABLE BIT(34)
#define MCU_OPT_RTM (BIT(1) | BIT(2))
#define PERF_CTL_RATIO (0xff00ul | BIT(32))
#define TEMPERATURE_TARGET_OFFSET 0x3f0000fful
#define POWER_CTL_C1E_AND_TURBO (BIT(1) | BIT(19) | BIT(20))

/* ---- rows with a function ---- */

static bool read_feature_control(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)cpu, (void)msr;
	*value = FEATURE_CONTROL_LOCK | (nested_enabled() ? FEATURE_CONTROL_VMX : 0);
	return true;
}

static bool read_vmx(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)cpu;
	return nested_read_msr(msr, value);
}

/* There is nothing to read, so msr_drop() would refuse. The operating system compares revisions and goes on. */
static bool ignore_microcode(struct percpu *cpu, u32 msr, u64 value)
{
	(void)cpu, (void)msr, (void)value;
	return true;
}

/* 0 is how software asks the next CPUID for the revision of the microcode. */
static bool write_bios_sign(struct percpu *cpu, u32 msr, u64 value)
{
	return value ? msr_drop(cpu, msr, "revision of the microcode") : wrmsr_safe(msr, 0);
}

/* What these two enumerate and the core does not offer. */
static bool read_less(struct percpu *cpu, u32 msr, u64 *value)
{
	bool there = rdmsr_safe(msr, value);

	(void)cpu;
	*value &= msr == MSR_PLATFORM_INFO ? ~PLATFORM_INFO_CPUID_FAULTING : ~CORE_CAPABILITIES_LOCK_FAULTS;
	return there;
}

static bool write_test_ctrl(struct percpu *cpu, u32 msr, u64 value)
{
	return !(value & TEST_CTRL_LOCK_FAULTS) && msr_drop(cpu, msr, "how locks behave, root's too");
}

/* Linux clears all of it at boot wherever it can be read. */
static bool write_misc_features(struct percpu *cpu, u32 msr, u64 value)
{
	(void)cpu;
	return !value && rdmsr_safe(msr, &value);
}

/*
 * XD disabled would make the core's own EFER.NXE reserved: L1 has the bit, its CPUID and its EFER follow, the CPU has
 * not. Since DS_AREA and PEBS_ENABLE cannot be written, what needs them is shown as absent.
 */
static bool read_misc_enable(struct percpu *cpu, u32 msr, u64 *value)
{
	if (!rdmsr_safe(msr, value))
		return false;
	*value |= MISC_ENABLE_NO_DS | (cpu->xd_disabled ? MISC_ENABLE_XD_DISABLE : 0);
	return true;
}

static bool write_misc_enable(struct percpu *cpu, u32 msr, u64 value)
{
	u64 old;

	if (!rdmsr_safe(msr, &old) ||
	    !wrmsr_safe(msr, (value & ~(MISC_ENABLE_XD_DISABLE | MISC_ENABLE_NO_DS)) | (old & MISC_ENABLE_NO_DS)))
		return false;
	cpu->xd_disabled = value & MISC_ENABLE_XD_DISABLE;
	return true;
}

/* By XRSTORS a guest loads every MSR of a component that is on here, past all bitmaps. */
static bool write_xss(struct percpu *cpu, u32 msr, u64 value)
{
	(void)cpu;
	return !(value & ~XSS_ALLOWED) && wrmsr_safe(msr, value);
}

/* ---- the table ---- */

#define ROW(first, last, read, write, why) { first, last, MSR_##read, MSR_##write, NULL, NULL, 0, why }
#define ROW_OWN(first, last, read, reader, write, writer, why) \
	{ first, last, MSR_##read, MSR_##write, reader, writer, 0, why }
#define ROW_MASK(msr, mask, why) { msr, msr, MSR_PASS, MSR_MASK, NULL, NULL, mask, why }
#define ROW_VMCS(first, last, why) { first, last, MSR_PASS, MSR_PASS, msr_read_vmcs, msr_write_vmcs, 0, why }

const struct msr_row msr_rows[] = {
	ROW(0x10, 0x10, PASS, PASS, "TSC: root measures only spans in which no guest of this CPU runs"),
	ROW(0x17, 0x17, PASS, REFUSE, "read-only"),
	ROW_OWN(MSR_APIC_BASE, MSR_APIC_BASE, OWN, apic_guard_read_base, OWN, apic_guard_write_base,
		"stops need the APIC"),
	ROW_OWN(0x33, 0x33, PASS, NULL, OWN, write_test_ctrl, "faults at root's locks"),
	ROW_OWN(0x3a, 0x3a, OWN, read_feature_control, REFUSE, NULL, "FEATURE_CONTROL: locked"),
	ROW(0x3b, 0x3b, PASS, PASS, "TSC_ADJUST: as the TSC"),
	ROW(0x40, 0x47, PASS, PASS, "branch records: stopped at each exit"),
	ROW_OWN(MSR_SPEC_CTRL, MSR_SPEC_CTRL, PASS, speculation_read_ctrl, PASS, speculation_write_ctrl,
		"hot; root may have its own"),
	ROW(MSR_PRED_CMD, MSR_PRED_CMD, PASS, PASS, "PRED_CMD: hot"),
	ROW(0x60, 0x67, PASS, PASS, "branch records: stopped at each exit"),
	ROW_OWN(0x79, 0x79, PASS, NULL, OWN, ignore_microcode, "microcode: is read by an address that no EPT checks"),
	ROW_OWN(MSR_BIOS_SIGN_ID, MSR_BIOS_SIGN_ID, PASS, NULL, OWN, write_bios_sign, "revision of the microcode"),
	ROW(0x8c, 0x8f, PASS, PASS, "SGX launch key hashes: no enclave is offered"),
	ROW(0x9b, 0x9b, REFUSE, REFUSE, "SMM_MONITOR_CTL: there is no dual monitor for L1"),
	ROW(0xc1, 0xc8, PASS, PASS, "counters"),
	ROW_OWN(MSR_PLATFORM_INFO, MSR_PLATFORM_INFO, OWN, read_less, DROP, NULL, "CPUID faulting is hidden"),
	ROW_OWN(MSR_CORE_CAPABILITIES, MSR_CORE_CAPABILITIES, OWN, read_less, REFUSE, NULL, "lock faults are hidden"),
	ROW(0xe1, 0xe2, PASS, PASS, "UMWAIT_CONTROL; C-state limits"),
	ROW(0xe7, 0xe8, PASS, PASS, "MPERF, APERF"),
	ROW(MSR_MTRRCAP, MSR_MTRRCAP, PASS, REFUSE, "read-only"),
	ROW_OWN(MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES, OWN, speculation_read_capabilities, REFUSE, NULL,
		"ARCH_CAPABILITIES: L1 reads that L0 flushes L1D"),
	ROW(0x10b, 0x10b, PASS, PASS, "FLUSH_CMD: hot"),
	ROW(0x122, 0x122, PASS, PASS, "TSX_CTRL"),
	ROW_MASK(0x123, MCU_OPT_RTM, "MCU_OPT_CTRL: the other bits turn off what keeps secrets of root and PALs in"),
	ROW_OWN(0x140, 0x140, PASS, NULL, OWN, write_misc_features, "CPUID faulting would hit PALs, and is hidden"),
	ROW(0x150, 0x150, PASS, DROP, "voltage"),
	ROW_VMCS(MSR_SYSENTER_CS, MSR_SYSENTER_EIP, "in the VMCS"),
	ROW(0x179, 0x179, PASS, REFUSE, "read-only"),
	ROW(0x17a, 0x17b, PASS, PASS, "machine check status and control"),
	ROW(0x186, 0x18d, PASS, PASS, "counters"),
	ROW(0x198, 0x198, PASS, REFUSE, "read-only"),
	ROW_MASK(0x199, PERF_CTL_RATIO, "PERF_CTL: P-states; other bits are voltages on old CPUs"),
	ROW(0x19a, 0x19c, PASS, PASS, "clock modulation, thermal interrupt and status"),
	ROW_OWN(MSR_MISC_ENABLE, MSR_MISC_ENABLE, OWN, read_misc_enable, OWN, write_misc_enable, "XD-disable bit"),
	ROW_MASK(0x1a2, TEMPERATURE_TARGET_OFFSET, "TEMPERATURE_TARGET: throttle earlier, never later"),
	ROW(0x1a4, 0x1a4, PASS, PASS, "prefetchers"),
	ROW(0x1a6, 0x1a7, PASS, PASS, "counters: off-core events"),
	ROW(0x1ad, 0x1ad, PASS, PASS, "turbo ratios"),
	ROW(0x1b0, 0x1b2, PASS, PASS, "energy bias, package thermal status and interrupt"),
	ROW(0x1c4, 0x1c5, PASS, PASS, "XFD, XFD_ERR: hot"),
	ROW(0x1c8, 0x1c9, PASS, PASS, "branch records: stopped at each exit"),
	ROW(0x1cc, 0x1d4, REFUSE, REFUSE, "FRED: hidden, root would have to switch it"),
	ROW_VMCS(MSR_DEBUGCTL, MSR_DEBUGCTL, "in the VMCS; off in root"),
	ROW_MASK(0x1fc, POWER_CTL_C1E_AND_TURBO, "POWER_CTL: C1E and energy-efficient turbo"),
	ROW_OWN(MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 31, OWN, mtrr_read_msr, OWN, mtrr_write_msr, "see mem/mtrr.h"),
	ROW_OWN(MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, OWN, mtrr_read_msr, OWN, mtrr_write_msr, "see mem/mtrr.h"),
	ROW_OWN(MSR_MTRR_FIX16K, MSR_MTRR_FIX16K + 1, OWN, mtrr_read_msr, OWN, mtrr_write_msr, "see mem/mtrr.h"),
	ROW_OWN(MSR_MTRR_FIX4K, MSR_MTRR_FIX4K + 7, OWN, mtrr_read_msr, OWN, mtrr_write_msr, "see mem/mtrr.h"),
	ROW_VMCS(MSR_PAT, MSR_PAT, "in the VMCS"),
	ROW(0x280, 0x29f, PASS, PASS, "corrected machine checks"),
	ROW_OWN(MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, OWN, mtrr_read_msr, OWN, mtrr_write_msr, "see mem/mtrr.h"),
	ROW(0x309, 0x30f, PASS, PASS, "counters"),
	ROW(0x329, 0x329, PASS, PASS, "counters: metrics"),
	ROW(0x345, 0x345, PASS, REFUSE, "read-only"),
	ROW(0x38d, 0x390, PASS, PASS, "counters"),
	ROW(0x391, 0x396, PASS, DROP, "uncore counters: of the package, not of a CPU"),
	ROW(0x3b0, 0x3cf, PASS, DROP, "uncore counters: of the package, not of a CPU"),
	ROW(0x3f1, 0x3f2, PASS, DROP, "PEBS: records are written by linear address, in root too"),
	ROW(0x3f4, 0x3f5, REFUSE, REFUSE, "architectural PEBS: hidden, its buffer has a linear address"),
	ROW(0x3f6, 0x3f7, PASS, PASS, "counters: latency and front-end events"),
	ROW(0x400, 0x47f, PASS, PASS, "machine check banks"),
	ROW_OWN(MSR_IA32_VMX_BASIC, MSR_IA32_VMX_EXIT_CTLS2, OWN, read_vmx, REFUSE, NULL, "VMX as L1 has it"),
	ROW(0x4c1, 0x4c8, PASS, PASS, "counters"),
	ROW(0x4d0, 0x4d0, PASS, PASS, "local machine checks"),
	ROW(0x560, 0x58f, REFUSE, REFUSE, "Intel PT: hidden, it writes to physical addresses"),
	ROW(0x600, 0x600, PASS, DROP, "DS_AREA: records are written by linear address, in root too"),
	ROW(0x610, 0x610, PASS, PASS, "power limits"),
	ROW(0x618, 0x618, PASS, PASS, "power limits"),
	ROW(0x638, 0x638, PASS, PASS, "power limits"),
	ROW(0x640, 0x640, PASS, PASS, "power limits"),
	ROW(0x680, 0x69f, PASS, PASS, "branch records: stopped at each exit"),
	ROW(0x6a0, 0x6a8, PASS, PASS, "shadow stacks: off in root"),
	ROW(0x6c0, 0x6df, PASS, PASS, "branch records: stopped at each exit"),
	ROW(0x6e0, 0x6e1, PASS, PASS, "TSC deadline, PKRS: hot"),
	ROW(0x700, 0x76f, PASS, DROP, "uncore counters: of the package, not of a CPU"),
	ROW(0x770, 0x777, PASS, PASS, "hardware P-states"),
	ROW(MSR_X2APIC_FIRST, MSR_X2APIC_LVT_CMCI - 1, PASS, PASS, "local APIC: hot"),
	ROW_OWN(MSR_X2APIC_LVT_CMCI, MSR_X2APIC_LVT_CMCI, PASS, NULL, PASS, apic_guard_write_lvt,
		"see msr_intercept_lvts()"),
	ROW_OWN(MSR_X2APIC_ICR, MSR_X2APIC_ICR, PASS, NULL, OWN, apic_guard_write_icr,
		"SMI, INIT and SIPI are the core's"),
	ROW(MSR_X2APIC_ICR + 1, MSR_X2APIC_LVT_THERMAL - 1, PASS, PASS, "local APIC: hot"),
	ROW_OWN(MSR_X2APIC_LVT_THERMAL, MSR_X2APIC_LVT_LINT1, PASS, NULL, PASS, apic_guard_write_lvt,
		"see msr_intercept_lvts()"),
	ROW(MSR_X2APIC_LVT_LINT1 + 1, 0x8ff, PASS, PASS, "local APIC: hot"),
	ROW(0x981, 0x984, REFUSE, REFUSE, "memory encryption: hidden"),
	ROW(0xc81, 0xc82, PASS, PASS, "cache allocation"),
	ROW(0xc8d, 0xc8f, PASS, PASS, "cache monitoring and allocation: hot"),
	ROW(0xc90, 0xd0f, PASS, PASS, "cache allocation"),
	ROW(0xd10, 0xd5f, PASS, PASS, "cache and memory bandwidth allocation"),
	ROW(0xd90, 0xd90, PASS, PASS, "BNDCFGS: root executes no bound checks"),
	ROW(0xd93, 0xd93, PASS, PASS, "PASID"),
	ROW_OWN(MSR_XSS, MSR_XSS, PASS, NULL, OWN, write_xss,
		"XRSTORS would load Intel PT, branch records, user interrupts"),
	ROW(0xdc0, 0xddf, PASS, PASS, "branch records: stopped at each exit"),
	ROW(0xe00, 0xeff, PASS, DROP, "uncore counters: of the package, not of a CPU"),
	ROW(0x1200, 0x121f, REFUSE, REFUSE, "architectural branch records: hidden, they would show root"),
	ROW(0x14ce, 0x14cf, REFUSE, REFUSE, "architectural branch records: hidden, they would show root"),
	ROW(0x1500, 0x151f, REFUSE, REFUSE, "architectural branch records: hidden, they would show root"),
	ROW(0x1600, 0x161f, REFUSE, REFUSE, "architectural branch records: hidden, they would show root"),
	ROW(0x17d0, 0x17d4, REFUSE, REFUSE, "hardware feedback: hidden, it writes to a physical address"),
	ROW(0x1900, 0x19ff, REFUSE, REFUSE, "counters by other numbers, with PEBS: hidden"),
	ROW(0x1b01, 0x1b01, PASS, PASS, "UARCH_MISC_CTL: timing that does not depend on data"),
	ROW_OWN(MSR_EFER, MSR_EFER, PASS, msr_read_vmcs, OWN, msr_write_vmcs,
		"in the VMCS; NXE goes by the XD-disable bit"),
	ROW(0xc0000081, 0xc0000084, PASS, PASS, "SYSCALL: hot"),
	ROW_VMCS(MSR_FS_BASE, MSR_GS_BASE, "in the VMCS: hot"),
	ROW(MSR_KERNEL_GS_BASE, 0xc0000103, PASS, PASS, "KERNEL_GS_BASE, TSC_AUX: hot"),
};
const u32 msr_row_count = ARRAY_SIZE(msr_rows);

static struct msr_row without_row = { .write = MSR_DROP, .why = "unknown" };
static const struct msr_row beyond = {
	.read = MSR_REFUSE, .write = MSR_REFUSE, .why = "of a hypervisor below, or of no CPU",
};

void msr_policy_strict(void)
{
	without_row.write = MSR_REFUSE;
}

const struct msr_row *msr_find(u32 msr)
{
	u32 low = 0, high = msr_row_count;

	if (!msr_in_bitmap(msr))
		return &beyond;
	while (low < high) {
		u32 middle = (low + high) / 2;

		if (msr > msr_rows[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	return low < msr_row_count && msr >= msr_rows[low].first ? &msr_rows[low] : &without_row;
}
