/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L1's MSR lists (Intel SDM vol. 3, "Loading MSRs", "Saving MSRs"). VMCS02 has none: each entry is copied, checked,
 * and carried out as L1's own RDMSR or WRMSR would be, so that a list reaches no MSR that L1 may not reach. Values
 * that live in a VMCS go to the current one: VMCS02 at an entry, and at an exit VMCS02 for the store, VMCS01 for the
 * load.
 */
#include "events/events.h"
#include "mem/ept01.h"
#include "nested/state.h"
#include "vmx/msr.h"

/* IA32_VMX_MISC bits 27:25 are 0 for L1: 512 entries are the most that it may rely on. The rest fails. */
#define MSR_AREA_MAX 512

static bool store(struct percpu *cpu, struct msr_entry *entry)
{
	struct hypapi_msr_args msr = { .msr = entry->index, .list = true };
	enum taken answer = event_msr_list(cpu, &msr);

	entry->value = msr.value;
	return answer == ANSWERED || (answer == NOT_TAKEN && msr_read(cpu, entry->index, &entry->value));
}

static bool load(struct percpu *cpu, struct msr_entry *entry)
{
	struct hypapi_msr_args msr = { .msr = entry->index, .list = true, .write = true, .value = entry->value };
	enum taken answer = event_msr_list(cpu, &msr);

	if (answer != NOT_TAKEN)
		return answer == ANSWERED;
	msr_watch(MSR_BY_LIST, entry->index);
	return msr_write(cpu, entry->index, entry->value);
}

static bool read_entry(u64 gpa1, u32 i, struct msr_entry *entry)
{
	return i < MSR_AREA_MAX && ept01_read(GPA1(gpa1 + i * sizeof(*entry)), entry, sizeof(*entry));
}

u32 msr_area_load(struct percpu *cpu, u64 gpa1, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		struct msr_entry entry;

		if (!read_entry(gpa1, i, &entry) || !msr_load_entry_ok(&entry) || !load(cpu, &entry))
			return i + 1;
	}
	return 0;
}

u32 msr_area_store(struct percpu *cpu, u64 gpa1, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		struct msr_entry entry;
		gpa1_t value = GPA1(gpa1 + i * sizeof(entry) + offsetof(struct msr_entry, value));

		if (!read_entry(gpa1, i, &entry) || !msr_store_entry_ok(&entry) ||
		    !store(cpu, &entry) || !ept01_write(value, &entry.value, sizeof(entry.value)))
			return i + 1;
	}
	return 0;
}
