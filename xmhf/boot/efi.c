/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See efi.h. */
#include "boot/efi.h"

#include "boot/acpi.h"
#include "boot/efi_handoff.h"
#include "boot/efi_map.h"
#include "boot/start.h"
#include "core/cmdline.h"
#include "cpu/clock.h"
#include "cpu/lapic.h"
#include "cpu/smm.h"
#include "cpu/smp_boot.h"
#include "cpu/speculation.h"
#include "cpu/x86.h"
#include "iommu/iommu.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "mem/root_map.h"
#include "report/display.h"
#include "report/log.h"
#include "vmx/cpuid.h"
#include "vmx/vmcs.h"
#include "vmx/vmx.h"
#include "vmx/vmx_insn.h"

static struct efi_handoff *handoff; /* in the application's memory; not used after the start */

#define EDX1_HTT BIT(28) /* there may be more CPUs in the package */

#define START_TIMEOUT_MS 10000ul /* an SMI of its probe may take a CPU to firmware that waits for all CPUs */
#define TURN_NOBODY 0u /* the boot CPU is still in the firmware, which starts the others */
#define TURN_BACK ~0u  /* for good: one has refused, and all go back */

static _Atomic u32 turn;   /* index of the CPU that joins, or one of the two */
static _Atomic u32 joined; /* how many have */
static _Atomic u32 refusals;

void efi_switch(u64 answer, u64 state, u64 cr3, u64 leave);
_Noreturn void efi_leave(u64 answer, u64 state, u64 cr3, u64 leave);

bool efi_stays(void)
{
	return handoff;
}

/* Those that are not here are reserved. */
static const u8 memory_types[] = {
	[EFI_LOADER_CODE] = MEMORY_RAM, [EFI_LOADER_DATA] = MEMORY_RAM, [EFI_BOOT_CODE] = MEMORY_RAM,
	[EFI_BOOT_DATA] = MEMORY_RAM, [EFI_CONVENTIONAL] = MEMORY_RAM, [EFI_UNUSABLE] = MEMORY_BAD,
	[EFI_ACPI] = MEMORY_ACPI, [EFI_NVS] = MEMORY_NVS,
};

static void take_memory_map(void)
{
	const char *at = physical_at(handoff->map), *end = at + handoff->map_bytes;

	if (handoff->map_entry_bytes < sizeof(struct efi_memory))
		boot_refuse("the firmware's memory map has entries of %lu bytes", handoff->map_entry_bytes);
	for (; at + sizeof(struct efi_memory) <= end; at += handoff->map_entry_bytes) {
		const struct efi_memory *m = (const void *)at;
		u32 type = m->type < ARRAY_SIZE(memory_types) ? memory_types[m->type] : 0;

		memory_map_add(m->start, m->pages * PAGE_SIZE, type ? type : MEMORY_RESERVED);
	}
}

static u32 place_of(u32 apic_id)
{
	u32 i = 0;

	while (i < handoff->cpu_count && handoff->cpu[i].apic_id != apic_id)
		i++;
	return i;
}

/*
 * The firmware starts the CPUs that its MP services know. Of one more, L1 would make a CPU without the core: the ACPI
 * tables tell it, or, where a firmware has neither, the CPU that it is not the only one in its package.
 */
static void take_cpus(void)
{
	for (u32 i = 0; i < acpi_info.cpu_count; i++)
		if (place_of(acpi_info.apic_ids[i]) == handoff->cpu_count)
			boot_refuse("the CPU with APIC id %u is in the firmware's tables, but its MP services do not "
				    "start it: switch off cores and hyperthreads in the firmware's menu",
				    acpi_info.apic_ids[i]);
	if (!acpi_info.cpu_count && !handoff->cpus_are_known && cpuid(1, 0).edx & EDX1_HTT)
		boot_refuse("the firmware has neither MP services nor a table of the CPUs, and this CPU is perhaps not "
			    "the only one: switch off cores and hyperthreads in the firmware's menu");
	acpi_info.cpu_count = 0;
	for (u32 i = 0; i < handoff->cpu_count; i++)
		acpi_info.apic_ids[acpi_info.cpu_count++] = handoff->cpu[i].apic_id;
}

/*
 * TR as the firmware has it, by a table of this one entry: in the firmware's own the entry is busy. 0, which cannot be
 * loaded, becomes the core's; only an interrupt that changes stack or privilege would use it, and its entry's firmware
 * loads another before.
 */
static void give_back_task_register(const struct efi_cpu_state *s)
{
	const u16 tr = s->segments[STATE_TR] & ~7u;
	const u64 entry[2] = { tss_descriptor(s->tr_base, s->tr_limit), s->tr_base >> 32 };
	const struct efi_table_register gdtr = { (u16)(tr + sizeof(entry) - 1), (u64)entry - tr };

	if (tr)
		asm volatile("lgdt %0; ltr %1" : : "m"(gdtr), "r"(tr), "m"(entry));
}

/*
 * This CPU alone. The application's tables map the image where it was before the move: the same text at the same
 * addresses. Another CPU's stack is on root's tables alone. Root memory stays reserved.
 */
static _Noreturn void leave_for_firmware(u32 i)
{
	/* By its place: a CPU that has not joined has the firmware's GS. */
	if (i < cpu_count) {
		if (cpus[i]->world->vmcs.addr)
			asm volatile("vmxoff" : : : "memory", "cc");
		smm_give_back(cpus[i]);
		speculation_enter_guest(cpus[i]);
		give_back_task_register(&handoff->cpu[i]);
	}
	write_cr4(read_cr4() & ~CR4_VMXE);
	efi_leave(EFI_REFUSED, virt_to_phys(&handoff->cpu[i]).addr, i ? handoff->cr3 : handoff->app_cr3,
		  handoff->bridge_leave);
}

/*
 * CPU i refuses. The others leave by themselves, the boot CPU by a refusal: none is a guest yet. The first reason is
 * told, and is complete when it can be read: of another CPU's, the boot CPU's, which is because of it, says less.
 */
static _Noreturn void refuse(u32 i, const char *why)
{
	if (!atomic_fetch_add(&refusals, 1)) {
		string_copy(handoff->refusal, why, sizeof(handoff->refusal));
		atomic_store(&turn, TURN_BACK);
	}
	while (atomic_load(&turn) != TURN_BACK)
		cpu_pause();
	if (!i)
		iommu_end();
	leave_for_firmware(i);
}

/* A CPU that has not loaded its structure refuses by itself, or is the boot CPU. */
static void back_to_firmware(const char *why)
{
	refuse(cpu_count ? this_cpu()->index : 0, why);
}

/* From efi_core_entries: on the application's stack and tables. */
_Noreturn void efi_plan(u64 state, u64 handoff_at);
_Noreturn void efi_plan(u64 state, u64 handoff_at)
{
	handoff = physical_at(handoff_at);
	boot_way_back = back_to_firmware;
	boot_info.firmware = FIRMWARE_EFI;
	atomic_store(&boot_info.boot_services, 1);
	take_memory_map();
	boot_info.framebuffer = handoff->framebuffer;
	boot_info.rsdp = handoff->rsdp; /* as operating systems take it from EFI: checksums do not count */
	memcpy(boot_info.cmdline, handoff->cmdline, CMDLINE_BYTES);
	firmware_complete();
	display_open();
	boot_read_options();
	if (cpuid(XMHF_LEAF, 0).eax == XMHF_LEAF && !cmdline_is("twice", "on"))
		boot_refuse("XMHF runs on this machine already: nothing is started twice without the option twice=on");
	handoff->cpu[0].apic_id = lapic_boot_id();
	take_cpus();
	handoff->root_bytes = boot_root_bytes();
	efi_leave(EFI_PLANNED, state, handoff->app_cr3, handoff->bridge_leave);
}

/* efi_plan() has the handoff. */
_Noreturn void efi_boot(void);
_Noreturn void efi_boot(void)
{
	boot_move(handoff->image, handoff->root, handoff->root_bytes, handoff->low);
}

static bool has_passed(u64 since, u64 ms)
{
	cpu_pause();
	return rdtsc() - since > ms * clock_ticks_per_ms();
}

/* One after the other, as by INIT and SIPI: CPU_INIT's handlers never run at once. */
static void let_join(u32 i)
{
	u64 since = rdtsc();
	u32 before = i - 1;

	(void)atomic_compare_exchange_strong(&turn, &before, i); /* not from TURN_BACK */
	while (atomic_load(&joined) < i) {
		if (atomic_load(&turn) == TURN_BACK)
			boot_refuse("the CPU with APIC id %u cannot be used", cpus[i]->apic_id);
		if (has_passed(since, START_TIMEOUT_MS))
			boot_refuse("the firmware does not start the CPU with APIC id %u", cpus[i]->apic_id);
	}
}

void efi_start_others(void)
{
	struct percpu *self = this_cpu();
	u64 cr0 = read_cr0(), cr4 = read_cr4(), efer = rdmsr(MSR_EFER);
	struct efi_cpu_state *state = &handoff->cpu[0];
	u64 ne = state->cr0 & CR0_NE, vmxe = state->cr4 & CR4_VMXE;

	handoff->cr3 = root_map_low_cr3(1ul << 32);
	for (u32 i = 1; i < handoff->cpu_count; i++) {
		struct percpu *cpu = percpu_create(handoff->cpu[i].apic_id);

		handoff->cpu[i].percpu = (u64)cpu;
		handoff->cpu[i].stack = cpu->stack_top;
	}
	efi_switch(EFI_START_OTHERS, virt_to_phys(state).addr, handoff->cr3, handoff->bridge_leave);
	/* Meanwhile the firmware had these two, as VMX operation needs. */
	state->cr0 = (state->cr0 & ~CR0_NE) | ne;
	state->cr4 = (state->cr4 & ~CR4_VMXE) | vmxe;
	write_cr0(cr0);
	write_cr4(cr4);
	wrmsr(MSR_EFER, efer);
	percpu_load_tables(self);
	for (u32 i = 1; i < cpu_count; i++)
		let_join(i);
}

/* Its guest begins when the boot CPU's does: before, a stop's NMI would reach that CPU in the firmware. */
_Noreturn void efi_cpu_main(struct percpu *cpu);
_Noreturn void efi_cpu_main(struct percpu *cpu)
{
	u64 since = rdtsc();
	u32 now;

	while ((now = atomic_load(&turn)) != cpu->index) {
		if (now == TURN_BACK)
			leave_for_firmware(cpu->index);
		if (has_passed(since, START_TIMEOUT_MS) && now == TURN_NOBODY)
			refuse(cpu->index, "the firmware keeps the boot CPU while it starts the others");
	}
	smp_join(cpu);
	efi_guest(cpu);
	atomic_fetch_add(&joined, 1);
	while (!atomic_load(&smp_work_began)) {
		if (atomic_load(&turn) == TURN_BACK)
			leave_for_firmware(cpu->index);
		quiesce_poll(&cpu->quiesce);
		cpu_pause();
	}
	smm_mask_lvts(cpu); /* no INIT has masked what the firmware left, whose code alone runs until then */
	vmx_run(cpu);
}

/* ---- The guest ---- */

_Static_assert((u32)STATE_CS == SEGMENT_CS && (u32)STATE_TR == SEGMENT_TR, "the same order");

/* Flat, as in long mode. */
static void guest_segments(const struct efi_cpu_state *s)
{
	const u16 *selectors = s->segments;

	for (u32 i = SEGMENT_ES; i <= SEGMENT_GS; i++)
		vmx_set_segment(i, selectors[i], i == SEGMENT_FS ? s->fs_base : i == SEGMENT_GS ? s->gs_base : 0,
				0xffffffff,
				!selectors[i] ? AR_UNUSABLE : i == SEGMENT_CS ? AR_FLAT_CODE_64 : AR_FLAT_DATA);
	vmx_set_segment(SEGMENT_LDTR, 0, 0, 0, AR_UNUSABLE);
	vmx_set_segment(SEGMENT_TR, selectors[SEGMENT_TR], s->tr_base, s->tr_limit, AR_TSS_BUSY);
	vmwrite(VMCS_GUEST_GDTR_BASE, s->gdtr.base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, s->gdtr.limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, s->idtr.base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, s->idtr.limit);
}

void efi_guest(struct percpu *cpu)
{
	const struct efi_cpu_state *s = &handoff->cpu[cpu->index];

	guest_segments(s);
	vmwrite(VMCS_GUEST_CR0, s->cr0 | CR0_NE);
	vmwrite(VMCS_CR0_SHADOW, s->cr0);
	vmwrite(VMCS_GUEST_CR3, s->cr3);
	vmwrite(VMCS_GUEST_CR4, s->cr4 | CR4_VMXE);
	vmwrite(VMCS_CR4_SHADOW, s->cr4 & ~CR4_VMXE);
	vmwrite(VMCS_GUEST_EFER, s->efer);
	vmwrite(VMCS_ENTRY_CTLS, vmread(VMCS_ENTRY_CTLS) | ENTRYCTL_IA32E);
	vmwrite(VMCS_GUEST_RSP, s->rsp);
	vmwrite(VMCS_GUEST_RIP, handoff->bridge_resumed);
	world_enter(cpu, &cpu->l1);
}
