/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See apic_guard.h. In xAPIC mode the page is read-only: loads go to the device, a store exits and is decoded and
 * carried out here. In x2APIC mode only WRMSR of the ICR exits. IA32_APIC_BASE is a shadow as far as the enable bit
 * goes: the hardware APIC stays enabled (Bochs could not even enable it again), and it stays where it is.
 */
#include "apic/apic_guard.h"

#include "apic/guest_store.h"
#include "cpu/lapic.h"
#include "cpu/smm.h"
#include "apic/smp.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "iommu/iommu.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "report/log.h"
#include "vmx/exit.h"

#define LAPIC_ID 0x20

void apic_guard_init(void)
{
	ept01_set_apic_page(GPA1(LAPIC_BASE));
}

/*
 * False: the ICR's delivery mode is not the core's business, and the write is still to be done. An SMI is dropped: it
 * is the firmware's to send, and what it would run is not under the core.
 */
static bool took_icr(u32 icr, u32 dest)
{
	switch (icr & ICR_MODE) {
	case ICR_SMI:
		return true;
	case ICR_INIT:
		/* INIT level de-assert does nothing on a CPU since the Pentium 4. */
		if ((icr & (ICR_LEVEL | ICR_ASSERT)) != ICR_LEVEL)
			smp_post(icr, dest, REQUEST_INIT);
		return true;
	case ICR_STARTUP:
		smp_post(icr, dest, REQUEST_SIPI | (icr & ICR_VECTOR) << 8);
		return true;
	default:
		return false;
	}
}

static bool has_delivery_mode(u32 offset)
{
	return offset == LAPIC_LVT_CMCI || (offset >= LAPIC_LVT_THERMAL && offset <= LAPIC_LVT_LINT1);
}

static void store_register(struct percpu *cpu, u32 offset, u32 value)
{
	/* By its ID a CPU is called for a stop, and would not hear it. Newer CPUs ignore the store themselves. */
	if (offset == LAPIC_ID)
		return;
	if (offset == LAPIC_LDR)
		cpu->apic.logical_id = value >> 24;
	if (has_delivery_mode(offset))
		value = smm_filter_lvt(cpu, value);
	if (offset != LAPIC_ICR_LOW || !took_icr(value, lapic_read(LAPIC_ICR_HIGH) >> 24))
		lapic_write(offset, value);
}

enum taken apic_guard_store(struct percpu *cpu, gpa1_t gpa1, u64 qualification)
{
	u32 offset = gpa1.addr & (PAGE_SIZE - 1);

	if (!(qualification & EPT_QUAL_WRITE))
		return NOT_TAKEN;
	const u64 insn_store = EPT_QUAL_GLA_VALID | EPT_QUAL_GLA_FINAL;
	const struct store *s = NULL;

	/* Neither the push of an event's delivery nor a page walk: that is no store of the instruction at RIP. */
	if ((qualification & insn_store) == insn_store && !(vmread(VMCS_IDT_INFO) & INTR_VALID))
		s = guest_store_fetch(cpu, guest_code_size());
	if (!s || !s->len || (s->kind != STORE_MOV && (s->kind != STORE_XCHG || s->size != 4))) {
		log_limited(LOG_WARN, "CPU %u: a store to the local APIC by no MOV or 32-bit XCHG: #GP", cpu->index);
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
		return TAKEN;
	}
	/* In x2APIC mode nothing decodes the page. The manual gives no meaning to other widths. */
	if ((cpu->apic.base & APIC_BASE_X2APIC) || s->size != 4) {
		vmx_skip_bytes(s->len);
		return TAKEN;
	}
	u32 value = (u32)guest_store_value(cpu, s);

	if (s->kind == STORE_XCHG)
		guest_store_put(cpu, s, s->reg, lapic_read(offset));
	if (offset % 16 == 0)
		store_register(cpu, offset, value);
	vmx_skip_bytes(s->len);
	/* Every CPU comes by here at the end of an interrupt, as a rule: devices' faults need no exits of their own. */
	if (iommu_look_is_due())
		cpu->work = 1;
	return TAKEN;
}

bool apic_guard_read_base(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)msr;
	*value = cpu->apic.base;
	return true;
}

/*
 * Legal mode changes: SDM vol. 3, "x2APIC State Transitions". One that is legal is refused, too: out of x2APIC mode,
 * for which the hardware APIC would have to be disabled, and stops would be lost meanwhile.
 */
bool apic_guard_write_base(struct percpu *cpu, u32 msr, u64 value)
{
	u64 mode = value & (APIC_BASE_ENABLE | APIC_BASE_X2APIC),
		old = cpu->apic.base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC);

	if ((value & ~(APIC_BASE_ADDR | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC)) ||
	    mode == APIC_BASE_X2APIC || (old & ~mode & APIC_BASE_X2APIC) || (!old && mode & APIC_BASE_X2APIC) ||
	    ((value ^ cpu->apic.base) & APIC_BASE_BSP))
		return false;
	if ((value ^ cpu->apic.base) & APIC_BASE_ADDR) {
		log_limited(LOG_WARN, "CPU %u: the guest tries to move its local APIC to 0x%lx: #GP", cpu->index,
			    value & APIC_BASE_ADDR);
		return false;
	}
	if ((mode & APIC_BASE_X2APIC) && !(old & APIC_BASE_X2APIC) && !wrmsr_safe(msr, value))
		return false;
	cpu->apic.base = value;
	return true;
}

bool apic_guard_write_icr(struct percpu *cpu, u32 msr, u64 value)
{
	if (!(cpu->apic.base & APIC_BASE_X2APIC) || value & 0xfff32000)
		return false;
	return took_icr((u32)value, (u32)(value >> 32)) || wrmsr_safe(msr, value);
}

bool apic_guard_write_lvt(struct percpu *cpu, u32 msr, u64 value)
{
	return wrmsr_safe(msr, (value & ~BITS(31, 0)) | smm_filter_lvt(cpu, (u32)value));
}
