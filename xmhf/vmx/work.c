/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What waits for a CPU's next VM entry: stops, the guest's INIT, mail for hypapps, faults of devices, NMIs for the
 * guest. cpu->work says that there is something. Callers: vmx/entry.S, NMI exits.
 */
#include "apic/smp.h"
#include "cpu/traps.h"
#include "events/drop.h"
#include "events/events.h"
#include "iommu/iommu.h"
#include "mem/partition.h"
#include "nested/nested.h"
#include "power/power.h"
#include "report/log.h"
#include "vmx/exit.h"

void vmx_take_nmi_exit(struct percpu *cpu)
{
	/* First whose it is, then the IRET that lets the next one in. */
	percpu_take_nmi(cpu);
	traps_unblock_nmi();
}

/* Injects one of the guest's NMIs, or asks for the NMI window. VMCS01 is current. */
static void inject_pending_nmi(struct percpu *cpu)
{
	u64 blocked = INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS | INTERRUPTIBILITY_STI;
	u64 now = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (unlikely(cpu->stale_nmi_block) && now & INTERRUPTIBILITY_NMI) {
		now &= ~(u64)INTERRUPTIBILITY_NMI;
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, now);
	}
	/* While a handler runs, a bare CPU keeps one NMI for later, however many come. */
	if (now & INTERRUPTIBILITY_NMI)
		cpu->guest_nmis = 1;
	if ((now & blocked) || (vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID)) {
		vmwrite(VMCS_PROC_CTLS, vmread(VMCS_PROC_CTLS) | PROC_NMI_WINDOW);
		return;
	}
	if (unlikely(event_nmi(cpu) == TAKEN)) {
		if (__atomic_sub_fetch(&cpu->guest_nmis, 1, __ATOMIC_RELAXED))
			cpu->work = 1;
		return;
	}
	cpu->stale_nmi_block = false;
	vmwrite(VMCS_ENTRY_INTR_INFO, VEC_NMI | INTR_TYPE_NMI | INTR_VALID);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	if (__atomic_sub_fetch(&cpu->guest_nmis, 1, __ATOMIC_RELAXED))
		vmwrite(VMCS_PROC_CTLS, vmread(VMCS_PROC_CTLS) | PROC_NMI_WINDOW);
}

/*
 * VMX root operation blocks INIT (SDM vol. 3, "Restrictions on VMX Operation"), and a SIPI after it finds no CPU that
 * waits. While a partition runs nothing is decided: partition_leave() sets work again.
 */
static bool held_back(struct percpu *cpu)
{
	if (!nested_in_vmx(cpu) || cpu->world->mode == RUN_L2)
		return false;
	if (cpu->world->mode == RUN_L1) {
		atomic_store(&cpu->apic.request, REQUEST_NONE);
		nested_hold_init(cpu);
	}
	return true;
}

/* INIT, or INIT and already the SIPI after it. */
static void handle_init(struct percpu *cpu)
{
	if (held_back(cpu))
		return;
	if (event_init_signal(cpu) == TAKEN) {
		atomic_store(&cpu->apic.request, REQUEST_NONE);
		return;
	}
	if (cpu->world->mode == RUN_L2) {
		atomic_store(&cpu->apic.request, REQUEST_NONE);
		nested_reflect_init(cpu);
		return;
	}
	/* On the bare machine the firmware would start again. The boot CPU never parks: one always runs. */
	if (cpu->index == 0) {
		log_warn("INIT for the boot CPU: the machine is reset");
		power_reset(cpu);
	}
	if (cpu->world->mode == RUN_PARTITION)
		partition_abort(cpu);
	nested_teardown(cpu);
	cpu->windows[0] = cpu->windows[1] = 0;
	smp_park(cpu);
}

void vmx_handle_work(struct percpu *cpu)
{
	cpu->work = 0;
	quiesce_poll(&cpu->quiesce);
	if (unlikely(cpu->partition.wiped))
		partition_end_wiped(cpu);
	if (atomic_load(&cpu->apic.request))
		handle_init(cpu);
	if (cpu->world->mode == RUN_L2)
		nested_work(cpu);
	if (atomic_load(&cpu->mail_for))
		event_work(cpu);
	if (iommu_look_is_due())
		event_dma_faults();
	if (unlikely(atomic_load(&drop_dropped)))
		drop_work(cpu);
	if (!cpu->guest_nmis)
		return;
	if (cpu->world->mode == RUN_L1)
		inject_pending_nmi(cpu);
	else if (cpu->world->mode == RUN_L2)
		nested_pending_nmi(cpu);
	/* A partition takes no NMI: partition_leave() sets work again. */
}
