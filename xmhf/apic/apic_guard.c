/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See apic_guard.h. In xAPIC mode the page is read-only: loads go to the device, a store exits and is decoded and carried
 * out here. In x2APIC mode only WRMSR of the ICR exits. IA32_APIC_BASE is a shadow as far as the enable bit goes: the
 * hardware APIC stays enabled (Bochs could not even enable it again), and it stays where it is.
 */
#include "apic/apic_guard.h"

#include "cpu/lapic.h"
#include "cpu/smm.h"
#include "apic/smp.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "report/log.h"
#include "vmx/exit.h"

#define LAPIC_ID 0x20
#define MAX_INSN 15

struct store {
	u32 value;
	unsigned int len;  /* of the instruction, bytes; 0: not a store that we know */
	int swap_reg;      /* XCHG: register that takes the old value; -1 otherwise */
};

void apic_guard_init(void)
{
	ept01_set_apic_page(GPA1(LAPIC_BASE));
}

static u64 gpr_read(const struct percpu *cpu, unsigned int reg)
{
	return reg == GPR_RSP ? vmread(VMCS_GUEST_RSP) : cpu->gpr[reg];
}

/* Bytes of ModRM, SIB and displacement (Intel SDM vol. 2, "Addressing-Mode Encoding of ModR/M and SIB Bytes"); 32- and 64-bit. */
static unsigned int modrm_len(const u8 *insn)
{
	unsigned int mod = insn[0] >> 6, rm = insn[0] & 7, len = 1;

	if (rm == 4) {
		len++;
		if (mod == 0 && (insn[1] & 7) == 5)
			len += 4;
	} else if (rm == 5 && mod == 0) {
		len += 4;
	}
	return len + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

/* 32-bit stores: MOV r/m32 from register or immediate, MOV moffs from EAX, XCHG. The address is known from the exit. */
static struct store decode(const struct percpu *cpu, const u8 *insn, bool long_mode)
{
	struct store s = { .swap_reg = -1 };
	unsigned int at = 0, rex = 0, reg;

	while (insn[at] == 0x2e || insn[at] == 0x36 || insn[at] == 0x3e || insn[at] == 0x26 || insn[at] == 0x64 || insn[at] == 0x65)
		if (++at == MAX_INSN - 12)
			return s;
	if (long_mode && (insn[at] & 0xf0) == 0x40)
		rex = insn[at++];
	reg = (insn[at + 1] >> 3 & 7) | (rex & 4 ? 8 : 0);
	switch (insn[at]) {
	case 0x87:
		s.swap_reg = (int)reg;
		/* fall through */
	case 0x89:
		s.value = (u32)gpr_read(cpu, reg);
		s.len = at + 1 + modrm_len(insn + at + 1);
		break;
	case 0xc7:
		s.len = at + 1 + modrm_len(insn + at + 1);
		s.value = *(const u32 *)(insn + s.len);
		s.len += 4;
		break;
	case 0xa3:
		s.value = (u32)gpr_read(cpu, GPR_RAX);
		s.len = at + (long_mode ? 9 : 5);
		break;
	}
	return s;
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
		smp_guest_init(icr, dest);
		return true;
	case ICR_STARTUP:
		smp_guest_sipi(icr, dest);
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
		cpu->logical_id = value >> 24;
	if (has_delivery_mode(offset))
		value = smm_filter_lvt(cpu, value);
	if (offset != LAPIC_ICR_LOW || !took_icr(value, lapic_read(LAPIC_ICR_HIGH) >> 24))
		lapic_write(offset, value);
}

/* Reads up to MAX_INSN bytes; fewer where the instruction ends before an unmapped page. */
static bool fetch(struct percpu *cpu, u8 *insn)
{
	gva_t rip = GVA(vmread(VMCS_GUEST_CS_BASE) + vmread(VMCS_GUEST_RIP));
	size_t in_page = PAGE_SIZE - (rip.addr & (PAGE_SIZE - 1));

	if (guest_read(cpu, insn, rip, MIN(in_page, (size_t)MAX_INSN), NULL) != GUEST_OK)
		return false;
	return in_page >= MAX_INSN || guest_read(cpu, insn, rip, MAX_INSN, NULL) == GUEST_OK || in_page >= 3;
}

enum taken apic_guard_store(struct percpu *cpu, gpa1_t gpa1, u64 qualification)
{
	u8 insn[MAX_INSN + 9] = { 0 };
	u32 offset = gpa1.addr & (PAGE_SIZE - 1);

	if (!(qualification & EPT_QUAL_WRITE))
		return NOT_TAKEN;
	const u64 insn_store = EPT_QUAL_GLA_VALID | EPT_QUAL_GLA_FINAL;
	struct store s = { 0 };

	/* Neither the push of an event's delivery nor a page walk: that is no store of the instruction at RIP. */
	if ((qualification & insn_store) == insn_store && !(vmread(VMCS_IDT_INFO) & INTR_VALID) && fetch(cpu, insn))
		s = decode(cpu, insn, guest_long_mode());
	if (!s.len) {
		log_limited(LOG_WARN, "CPU %u: a store to the local APIC by no 32-bit MOV or XCHG: #GP", cpu->index);
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
		return TAKEN;
	}
	/* In x2APIC mode nothing decodes the page. */
	if (cpu->apic_base & APIC_BASE_X2APIC) {
		vmx_skip_bytes(s.len);
		return TAKEN;
	}
	if (s.swap_reg >= 0 && s.swap_reg != GPR_RSP)
		cpu->gpr[s.swap_reg] = lapic_read(offset);
	if (offset % 16 == 0)
		store_register(cpu, offset, s.value);
	vmx_skip_bytes(s.len);
	return TAKEN;
}

bool apic_guard_read_base(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)msr;
	*value = cpu->apic_base;
	return true;
}

/*
 * Legal mode changes: SDM vol. 3, "x2APIC State Transitions". One that is legal is refused, too: out of x2APIC mode, for
 * which the hardware APIC would have to be disabled, and stops would be lost meanwhile.
 */
bool apic_guard_write_base(struct percpu *cpu, u32 msr, u64 value)
{
	u64 mode = value & (APIC_BASE_ENABLE | APIC_BASE_X2APIC), old = cpu->apic_base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC);

	if ((value & ~(APIC_BASE_ADDR | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC)) || mode == APIC_BASE_X2APIC ||
	    (old & ~mode & APIC_BASE_X2APIC) || (!old && mode & APIC_BASE_X2APIC) || ((value ^ cpu->apic_base) & APIC_BASE_BSP))
		return false;
	if ((value ^ cpu->apic_base) & APIC_BASE_ADDR) {
		log_limited(LOG_WARN, "CPU %u: the guest tries to move its local APIC to 0x%lx: #GP", cpu->index,
			    value & APIC_BASE_ADDR);
		return false;
	}
	if ((mode & APIC_BASE_X2APIC) && !(old & APIC_BASE_X2APIC) && !wrmsr_safe(msr, value))
		return false;
	cpu->apic_base = value;
	return true;
}

bool apic_guard_write_icr(struct percpu *cpu, u32 msr, u64 value)
{
	if (!(cpu->apic_base & APIC_BASE_X2APIC) || value & 0xfff32000)
		return false;
	return took_icr((u32)value, (u32)(value >> 32)) || wrmsr_safe(msr, value);
}

bool apic_guard_write_lvt(struct percpu *cpu, u32 msr, u64 value)
{
	return wrmsr_safe(msr, (value & ~BITS(31, 0)) | smm_filter_lvt(cpu, (u32)value));
}
