/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See smm.h. Each CPU's handler and save map lie in pages of their own: those of CPU i at SMBASE + i pages, the
 * handler at the begin of a page and the save map in the last KiB of another, so that no two meet however many CPUs
 * are in SMM at once.
 */
#include "cpu/smm.h"

#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "boot/chipset.h"
#include "core/cmdline.h"
#include "cpu/lapic.h"
#include "cpu/smp_boot.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "report/log.h"
#include "vmx/msr.h"

#define SMBASE_RESET 0x30000u
#define SMM_ENTRY 0x8000u
/* Pages from the handler's to that of its save map, which ends 64 KiB above SMBASE. */
#define HANDLER_TO_MAP 7
#define SMI_WAIT_US 1000

/* Offsets from SMBASE. Intel: SDM vol. 3, "SMRAM State Save Map"; AMD: APM vol. 2, "SMM State-Save Area". */
#define MAP_REVISION 0xfefc
#define MAP_BASE_INTEL 0xfef8
#define MAP_BASE_AMD 0xff00
#define REVISION_AMD 0x64

extern const char smm_stub[], smm_stub_mailbox[], smm_stub_end[];

/* In the page of a CPU's handler, behind the code: the mailbox of the stub that probes it, and that of the handler. */
#define MAILBOXES 0x100

static u8 *saved;        /* what lies at SMBASE_RESET otherwise; NULL: there is no probe */
static u8 *handlers;     /* page i: handler of CPU i */
static bool smram_locked;
static u32 count[SMM_STATE_COUNT];

u64 smm_bytes(u32 cpu_count)
{
	return (cpu_count + HANDLER_TO_MAP) * PAGE_SIZE + SMM_SEGMENT_BYTES;
}

void smm_init(void)
{
	smram_locked = chipset_lock();
	if (cmdline_is("smm", "off"))
		return;
	if (memory_map_is_ram(SMBASE_RESET, SMBASE_RESET + SMM_SEGMENT_BYTES) != 1) {
		log_warn("SMM: no RAM at 0x%x, so that CPUs cannot be probed", SMBASE_RESET);
		return;
	}
	handlers = pages_boot_alloc(MAX(acpi_info.cpu_count, 1u) + HANDLER_TO_MAP);
	saved = pages_boot_alloc(SMM_SEGMENT_BYTES / PAGE_SIZE);
}

/* Where the save map in the 64 KiB at SMBASE keeps SMBASE, or 0 if it is none that we know. */
static u32 smm_base_slot(const u8 *segment, u32 base)
{
	u32 slot = *(const u16 *)(segment + MAP_REVISION) == REVISION_AMD ? MAP_BASE_AMD : MAP_BASE_INTEL;

	return *(const u32 *)(segment + slot) == base ? slot : 0;
}

/* Sends an SMI to this CPU. True when `*mark` becomes `value`; a CPU takes the SMI within a few instructions. */
static bool smi_gives(struct percpu *cpu, const volatile u32 *mark, u32 value)
{
	lapic_send(cpu->apic_id, ICR_ASSERT | ICR_SMI);
	for (u32 us = 0; us < SMI_WAIT_US && *mark != value; us++)
		smp_delay_us(1);
	return *mark == value;
}

static void install_stub(u8 *at, const volatile struct smm_mailbox *mailbox)
{
	u32 address = (u32)virt_to_phys((const void *)mailbox).addr;

	memcpy(at, smm_stub, (size_t)(smm_stub_end - smm_stub));
	memcpy(at + (smm_stub_mailbox - smm_stub), &address, sizeof(address));
}

static enum smm_state probe(struct percpu *cpu, u8 *segment)
{
	u8 *handler = handlers + cpu->index * PAGE_SIZE;
	volatile struct smm_mailbox *stub = (void *)(handler + MAILBOXES), *stays = stub + 1;

	install_stub(segment + SMM_ENTRY, stub);
	install_stub(handler, stays);
	if (!smi_gives(cpu, &stub->runs, 1))
		return SMM_FIRMWARE;
	u32 slot = smm_base_slot(segment, SMBASE_RESET);

	if (!slot)
		return SMM_OPEN;
	stub->new_base = (u32)virt_to_phys(handler).addr - SMM_ENTRY;
	stub->slot = SMBASE_RESET + slot;
	/* The second run moves SMBASE; then it is the handler that runs, and not the stub. */
	if (!smi_gives(cpu, &stub->runs, 2) || !smi_gives(cpu, &stays->runs, 1))
		return SMM_OPEN;
	cpu->smm_map = handler - SMM_ENTRY + SMM_SEGMENT_BYTES - SMM_MAP_BYTES;
	return SMM_OURS;
}

void smm_give_back(struct percpu *cpu)
{
	if (!cpu->smm_map)
		return;
	u8 *handler = handlers + cpu->index * PAGE_SIZE;
	volatile struct smm_mailbox *stays = (volatile struct smm_mailbox *)(handler + MAILBOXES) + 1;
	u32 base = (u32)virt_to_phys(handler).addr - SMM_ENTRY, slot = smm_base_slot(handler - SMM_ENTRY, base);

	stays->new_base = SMBASE_RESET;
	stays->slot = slot ? base + slot : 0;
	if (!smi_gives(cpu, &stays->runs, stays->runs + 1) || !slot)
		log_warn("CPU %u: SMM stays closed: no later start can judge it before a reset", cpu->index);
	cpu->smm_map = NULL;
}

void smm_mask_lvts(const struct percpu *cpu)
{
	for (u32 i = 0, lvt; !cpu->smm_closed && (lvt = lapic_mode_lvt(i)); i++)
		lapic_write(lvt, smm_filter_lvt(cpu, lapic_read(lvt)));
}

void smm_probe(struct percpu *cpu)
{
	u8 *segment = phys_to_virt(HPA(SMBASE_RESET));
	enum smm_state state = SMM_OPEN;

	if (saved) {
		memcpy(saved, segment, SMM_SEGMENT_BYTES);
		state = probe(cpu, segment);
		memcpy(segment, saved, SMM_SEGMENT_BYTES);
	}
	count[state]++;
	cpu->smm_closed = state != SMM_OPEN;
	if (cpu->smm_closed)
		return;
	msr_intercept_lvts();
	log_warn("CPU %u: SMM is open: an SMI that L1 makes a device send runs L1's code past the core", cpu->index);
}

void smm_finish(void)
{
	u32 silent = MAX(acpi_info.cpu_count, 1u) - cpu_count;

	for (size_t page = 0; saved && page < SMM_SEGMENT_BYTES / PAGE_SIZE; page++)
		page_free(memset(saved + page * PAGE_SIZE, 0, PAGE_SIZE));
	saved = NULL;
	log_info("SMM: closed by the firmware on %u CPUs, by the core on %u", count[SMM_FIRMWARE], count[SMM_OURS]);
	if (cmdline_is("smm", "require") && (count[SMM_OPEN] || silent || !smram_locked))
		boot_refuse("smm=require: open on %u CPUs, %u more did not start, SMRAM is %slocked", count[SMM_OPEN],
			    silent, smram_locked ? "" : "not known to be ");
}
