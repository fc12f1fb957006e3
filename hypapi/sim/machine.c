/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The privileged instructions as the core executes them: VMCSs, MSRs, CPUID, ports, control registers, NMIs. In place
 * of the files of xmhf/cpu that drive silicon. Called on CPU threads only, but for machine_nmi().
 */
#include "hypapi/sim/machine.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "boot/acpi.h"
#include "cpu/lapic.h"
#include "apic/smp.h"
#include "cpu/traps.h"
#include "events/drop.h"
#include "cpu/x86.h"
#include "mem/pages.h"
#include "power/reset.h"
#include "power/wake.h"
#include "report/log.h"
#include "vmx/vmx.h"

_Thread_local struct sim_cpu *sim_self;
struct acpi_info acpi_info = { .pm1_cnt = { SIM_PM1_PORT }, .s5 = { .found = true, .values = { SIM_POWER_OFF } } };
u32 cpu_count;
struct percpu *cpus[MAX_CPUS];
/* The host RIP of every VMCS: nothing jumps there. */
const char vmx_exit_entry[1], vmx_exit_partition[1], vmx_exit_guarded[1];

/* ---- VMCSs, found by the address of their region ---- */

/* Index 0 to 31 in each of the 16 classes of width and type; bit 0 of an encoding is the upper half. */
#define VMCS_SLOTS 512
#define VMCS_SLOT(e) (((e) >> 1 & 31) | ((e) >> 5 & 0x60) | ((e) >> 6 & 0x180))

struct machine_vmcs {
	u64 hpa;
	struct machine_vmcs *next;
	u64 field[VMCS_SLOTS];
};

static struct machine_vmcs *vmcss;
static pthread_mutex_t vmcss_mutex = PTHREAD_MUTEX_INITIALIZER;

static struct machine_vmcs *vmcs_at(hpa_t region)
{
	struct machine_vmcs *v;

	pthread_mutex_lock(&vmcss_mutex);
	for (v = vmcss; v && v->hpa != region.addr; v = v->next)
		;
	if (!v) {
		v = calloc(1, sizeof(*v));
		v->hpa = region.addr;
		v->next = vmcss;
		vmcss = v;
	}
	pthread_mutex_unlock(&vmcss_mutex);
	return v;
}

static bool has_revision(hpa_t region)
{
	return *(const u32 *)phys_to_virt(region) == (vmx_basic & VMX_BASIC_REVISION);
}

bool vmxon(const hpa_t *region)
{
	return has_revision(*region);
}

bool vmclear(const hpa_t *region)
{
	return vmcs_at(*region);
}

bool vmptrld(const hpa_t *region)
{
	sim_self->vmcs = vmcs_at(*region);
	return has_revision(*region);
}

/*
 * Fields whose index is above 31 are none that the core uses: HIDDEN ones of newer CPUs. Of the CR3 targets this CPU
 * has two, as IA32_VMX_MISC says.
 */
u64 *vmcs_field(struct sim_cpu *c, u32 field)
{
	if (!c->vmcs || field == VMCS_CR3_TARGET_2 || field == VMCS_CR3_TARGET_3 || VMCS_ENC_INDEX(field) > 31 ||
	    field & (VMCS_ENC_RESERVED | VMCS_ENC_HIGH))
		return NULL;
	return &c->vmcs->field[VMCS_SLOT(field)];
}

bool vmx_vmread(u32 field, u64 *value)
{
	u64 *at = vmcs_field(sim_self, field);

	*value = at ? *at : 0;
	return at;
}

bool vmx_vmwrite(u32 field, u64 value)
{
	u64 *at = VMCS_ENC_TYPE(field) == VMCS_TYPE_RO ? NULL : vmcs_field(sim_self, field);

	if (at)
		*at = VMCS_ENC_WIDTH(field) == VMCS_WIDTH_16 ? (u16)value :
		      VMCS_ENC_WIDTH(field) == VMCS_WIDTH_32 ? (u32)value : value;
	return at;
}

bool machine_invept(enum invept_type type, u64 eptp)
{
	mmu_invept(sim_self, type == INVEPT_ALL, eptp);
	return true;
}

/* The address must be canonical for the paging of root, which has four levels. */
bool machine_invvpid(enum invvpid_type type, u16 vpid, u64 linear)
{
	if ((type != INVVPID_ALL && !vpid) || (type == INVVPID_ADDR && (u64)((int64_t)(linear << 16) >> 16) != linear))
		return false;
	mmu_drop_linear(sim_self, &(struct tlb_drop){ .every_vpid = type == INVVPID_ALL, .every_pcid = true,
						       .globals = type != INVVPID_GLOBALS,
						       .one = type == INVVPID_ADDR, .vpid = vpid, .gva = linear });
	return true;
}

/* ---- The core's flushes, to be removed one at a time ---- */

extern struct flush_site *const __start_flush_sites[] __attribute__((weak, visibility("hidden")));
extern struct flush_site *const __stop_flush_sites[] __attribute__((weak, visibility("hidden")));
static const struct flush_site *removed_site;

bool machine_flush_removed(struct flush_site *site)
{
	__atomic_store_n(&site->reached, true, __ATOMIC_RELAXED);
	return site == removed_site;
}

size_t sim_flush_count(void)
{
	return (size_t)(__stop_flush_sites - __start_flush_sites);
}

struct flush_site *sim_flush_site(size_t i)
{
	return __start_flush_sites[i];
}

void sim_flush_remove(const struct flush_site *site)
{
	removed_site = site;
}

/* The same numbers in every run, and no two alike. */
bool machine_rdrand(u64 *value)
{
	static u64 count;
	u64 mixed = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	*value = mixed ^ mixed >> 31;
	return true;
}

/* ---- FPU and SIMD registers: the offsets are those of the SDM, vol. 1, "XSAVE Area" ---- */

enum { XSTATE_MXCSR = 24, XSTATE_XMM = 160, XSTATE_IN_USE = 512, XSTATE_AVX = 576, XSTATE_BYTES = 832 };
enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4 };

u32 machine_pkru(void)
{
	return sim_self->pkru;
}

u64 *machine_xcr0(void)
{
	return &sim_self->xcr0;
}

void machine_xsave(u8 *area, u64 components)
{
	struct sim_cpu *c = sim_self;
	u64 set = components & c->xcr0;

	if (set & (XCR0_SSE | XCR0_AVX))
		memcpy(&area[XSTATE_MXCSR], &c->mxcsr, sizeof(c->mxcsr));
	if (set & XCR0_SSE)
		memcpy(&area[XSTATE_XMM], &c->ymm0[0], 16);
	if (set & XCR0_AVX)
		memcpy(&area[XSTATE_AVX], &c->ymm0[2], 16);
	area[XSTATE_IN_USE] = (u8)((area[XSTATE_IN_USE] & ~set) | set);
}

static void load_component(u64 *reg, const u8 *from, bool in_use)
{
	memset(reg, 0, 16);
	if (in_use)
		memcpy(reg, from, 16);
}

void machine_xrstor(const u8 *area, u64 components)
{
	struct sim_cpu *c = sim_self;
	u64 set = components & c->xcr0;

	if (set & (XCR0_SSE | XCR0_AVX))
		memcpy(&c->mxcsr, &area[XSTATE_MXCSR], sizeof(c->mxcsr));
	if (set & XCR0_SSE)
		load_component(&c->ymm0[0], &area[XSTATE_XMM], area[XSTATE_IN_USE] & XCR0_SSE);
	if (set & XCR0_AVX)
		load_component(&c->ymm0[2], &area[XSTATE_AVX], area[XSTATE_IN_USE] & XCR0_AVX);
}

/* ---- CPUID, MSRs, control registers, ports, time ---- */

/* XSAVE's components: x87, SSE, and AVX at its fixed place. */
static struct cpuid_regs cpuid_xstate(u32 subleaf)
{
	switch (subleaf) {
	case 0: return (struct cpuid_regs){ .eax = 7, .ecx = XSTATE_BYTES };
	case 2: return (struct cpuid_regs){ .eax = XSTATE_BYTES - XSTATE_AVX, .ebx = XSTATE_AVX };
	default: return (struct cpuid_regs){ 0 };
	}
}

struct cpuid_regs machine_cpuid(u32 leaf, u32 subleaf)
{
	switch (leaf) {
	case 0: return (struct cpuid_regs){ .eax = 0xd };
	case 1: return (struct cpuid_regs){ .eax = 0x506e3,
					    .ecx = BIT(5) | (machine_options.no_xsave ? 0 : BIT(26)) | BIT(30),
					    .ebx = sim_self->index << 24 };
	case 0xd: return cpuid_xstate(subleaf);
	case 7: return (struct cpuid_regs){ .ebx = BIT(18), .ecx = BIT(16) };
	case 0x80000000: return (struct cpuid_regs){ .eax = 0x80000008 };
	case 0x80000001: return (struct cpuid_regs){ .edx = BIT(11) | BIT(20) | BIT(29) };
	case 0x80000008: return (struct cpuid_regs){ .eax = 57 << 8 | 46 };
	default: return (struct cpuid_regs){ 0 };
	}
}

/* A CPU that has what the core needs and what nested VMX offers, but no VMCS shadowing: L1's VMREADs exit. */
#define ALL_CTLS (~0ull << 32)
static const struct { u32 first, last; u64 value; } msr_reset[] = {
	{ MSR_APIC_BASE, MSR_APIC_BASE, LAPIC_BASE | APIC_BASE_ENABLE },
	{ MSR_IA32_FEATURE_CONTROL, MSR_IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX },
	{ MSR_MTRRCAP, MSR_MTRRCAP, 0x508 },
	{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 15, 0 },
	{ MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, 0x0606060606060606 },
	{ MSR_MTRR_FIX16K, MSR_MTRR_FIX16K + 1, 0x0606060606060606 },
	{ MSR_MTRR_FIX4K, MSR_MTRR_FIX4K + 7, 0x0606060606060606 },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, 0x806 }, /* enabled, write-back */
	{ MSR_PAT, MSR_PAT, 0x0007040600070406 },
	{ MSR_IA32_VMX_BASIC, MSR_IA32_VMX_BASIC, 1 | PAGE_SIZE << VMX_BASIC_SIZE_SHIFT |
	  (u64)EPT_TYPE_WB << VMX_BASIC_TYPE_SHIFT | VMX_BASIC_TRUE_CTLS | VMX_BASIC_INS_OUTS },
	{ MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_ENTRY_CTLS, ALL_CTLS },
	{ MSR_IA32_VMX_MISC, MSR_IA32_VMX_MISC, 2 << VMX_MISC_CR3_TARGETS_SHIFT | VMX_MISC_ACT_HLT },
	{ MSR_IA32_VMX_CR0_FIXED0, MSR_IA32_VMX_CR0_FIXED0, CR0_PE | CR0_PG | CR0_NE },
	{ MSR_IA32_VMX_CR0_FIXED1, MSR_IA32_VMX_CR0_FIXED1, 0xffffffff },
	{ MSR_IA32_VMX_CR4_FIXED0, MSR_IA32_VMX_CR4_FIXED0, CR4_VMXE },
	{ MSR_IA32_VMX_CR4_FIXED1, MSR_IA32_VMX_CR4_FIXED1, 0x3737ff },
	{ MSR_IA32_VMX_VMCS_ENUM, MSR_IA32_VMX_VMCS_ENUM, 0x2e },
	{ MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_PROCBASED_CTLS2, ALL_CTLS & ~((u64)PROC2_SHADOW_VMCS << 32) },
	{ MSR_IA32_VMX_EPT_VPID_CAP, MSR_IA32_VMX_EPT_VPID_CAP,
	  EPTCAP_EXEC_ONLY | EPTCAP_WALK_4 | EPTCAP_UC | EPTCAP_WB | EPTCAP_2M | EPTCAP_AD | EPTCAP_INVEPT |
	  EPTCAP_INVEPT_SINGLE | EPTCAP_INVEPT_ALL | EPTCAP_INVVPID | EPTCAP_INVVPID_ADDR | EPTCAP_INVVPID_SINGLE |
	  EPTCAP_INVVPID_ALL | EPTCAP_INVVPID_GLOBALS },
	{ MSR_IA32_VMX_TRUE_PINBASED_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS, ALL_CTLS },
	{ MSR_IA32_VMX_VMFUNC, MSR_IA32_VMX_VMFUNC, VMFUNC_EPTP_SWITCHING },
};

void machine_init_cpu(struct sim_cpu *c)
{
	u32 count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(msr_reset); i++)
		for (u32 msr = msr_reset[i].first; msr <= msr_reset[i].last; msr++) {
			c->msrs[count].number = msr;
			c->msrs[count++].value = msr_reset[i].value;
		}
	c->cr[0] = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP;
	c->cr[4] = CR4_PAE;
	c->xcr0 = XCR0_X87;
	c->mxcsr = 0x1f80;
}

static u64 *msr_at(u32 msr)
{
	for (u32 i = 0; i < MACHINE_MSRS; i++)
		if (sim_self->msrs[i].number == msr)
			return &sim_self->msrs[i].value;
	return NULL;
}

void machine_verw(void) { }

bool machine_rdmsr(u32 msr, u64 *value)
{
	const u64 *at = msr_at(msr);

	*value = at ? *at : 0;
	return at;
}

bool machine_wrmsr(u32 msr, u64 value)
{
	u64 *at = msr_at(msr);

	if (at)
		*at = value;
	return at;
}

bool rdmsr_safe(u32 msr, u64 *value) { return machine_rdmsr(msr, value); }
bool wrmsr_safe(u32 msr, u64 value) { return machine_wrmsr(msr, value); }

bool xsetbv_safe(u32 index, u64 value)
{
	bool valid = index == 0 && (value & XCR0_X87) && value <= 7 && (value & XCR0_SSE || !(value & XCR0_AVX));

	if (valid)
		sim_self->xcr0 = value;
	return valid;
}

void traps_unblock_nmi(void) { }
u64 traps_idt_base(void) { return 0; }

u64 *machine_cr(u32 number)
{
	return &sim_self->cr[number];
}

u64 machine_ticks(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

u32 machine_in(u16 port, u32 size)
{
	(void)port;
	return size == 4 ? ~0u : (1u << 8 * size) - 1;
}

#define PORT_RESET 0xcf9

void machine_out(u16 port, u32 size, u32 value)
{
	if (port != PORT_RESET || size != 1 || !(value & 4))
		return;
	if (machine_options.on_reset)
		machine_options.on_reset();
	machine_end(SIM_RESET_STATUS);
}

/* In place of xmhf/power/reset.c: here a process ends. */
_Atomic bool reset_is_near;

void reset_end_cpu(struct percpu *cpu)
{
	(void)cpu;
	abort();
}

void reset_machine(struct percpu *cpu)
{
	(void)cpu;
	outb(PORT_RESET, 6);
	abort();
}

void reset_wait_ms(u32 ms)
{
	(void)ms;
}

/* In place of xmhf/power/wake.c: there is no firmware. */
void wake_init(void)
{
}

enum taken wake_guard_store(struct percpu *cpu, gpa1_t gpa1)
{
	(void)cpu;
	(void)gpa1;
	return NOT_TAKEN;
}

/* ---- This CPU, and interrupts of others ---- */

void *machine_self(void)
{
	return sim_self->core;
}

void percpu_locks_add(int n)
{
	if (sim_self && sim_self->core)
		sim_self->core->locks_held += (u32)n;
}

/* An NMI that finds root mode; what xmhf/cpu/traps.c does there. */
static void nmi_in_root(struct percpu *cpu)
{
	percpu_take_nmi(cpu);
}

void machine_wbinvd(void)
{
}

void machine_movnti(u64 *at, u64 value)
{
	*at = value;
}

void machine_relax(void)
{
	while (atomic_load(&sim_self->nmis)) {
		atomic_fetch_sub(&sim_self->nmis, 1);
		nmi_in_root(sim_self->core);
	}
	sched_yield();
}

void machine_nmi(u32 index)
{
	struct sim_cpu *c = machine_cpus[index];

	atomic_fetch_add(&c->nmis, 1);
	pthread_mutex_lock(&c->mutex);
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->mutex);
}

void lapic_send(u32 apic_id, u32 icr_low)
{
	bool others = icr_low & ICR_SHORTHAND;

	for (u32 i = 0; i < machine_cpu_count && (icr_low & ICR_MODE) == ICR_NMI; i++)
		if (others ? i != sim_self->index : i == apic_id)
			machine_nmi(i);
}

int traps_catch_interrupt(void)
{
	u32 vector = sim_self->waiting_vector;

	sim_self->served_vector = vector;
	sim_self->waiting_vector = 0;
	return (int)vector - 1;
}

bool lapic_in_service(u8 vector) { return sim_self->served_vector == vector + 1u; }
void lapic_reset(void) { }
void lapic_eoi(void) { sim_self->served_vector = 0; }
void traps_catch_init(void) { }

u32 lapic_id(void) { return sim_self->index; }
u32 lapic_read(u32 offset) { return (void)offset, 0; }
void lapic_write(u32 offset, u32 value) { (void)offset, (void)value; }

void traps_halt(void)
{
	struct sim_cpu *c = sim_self;

	pthread_mutex_lock(&c->mutex);
	while (!atomic_load(&c->nmis) && !c->core->work)
		pthread_cond_wait(&c->wake, &c->mutex);
	pthread_mutex_unlock(&c->mutex);
	machine_relax();
}

/* ---- Faults of hypapps ---- */

enum hypapi_verdict guard_call(hypapi_handler *handler, struct hypapi_event *ev, u64 *rsp)
{
	jmp_buf back;

	*rsp = (u64)&back;
	return setjmp(back) ? HYPAPI_PASS : handler(ev);
}

void sim_crash(void)
{
	struct percpu *cpu = sim_self->core;
	const char *obstacle = sim_self->held_count ? "a lock is held" : drop_obstacle(cpu, true);

	if (obstacle)
		sim_fault("a fault of a hypapp on CPU %u, which is not dropped: %s", cpu->index, obstacle);
	log_error("hypapp %s is dropped", cpu->dispatch->link->app->name);
	cpu->handler_guard->dropped = true;
	longjmp(*(jmp_buf *)cpu->handler_guard->rsp, 1);
}
