/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See wake.h. Invariant: no store of L1 reaches a waking vector, nor a table that leads to it, by
 * whatever instruction; so stores to these pages that are not known are refused, and a store is cut where it meets
 * what is kept.
 */
#include "power/wake.h"

#include "apic/guest_store.h"
#include "boot/acpi.h"
#include "boot/boot_info.h"
#include "lib/string.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "mem/pages.h"
#include "report/log.h"
#include "vmx/exit.h"
#include "vmx/vmcs.h"
#include "vmx/vmx_insn.h"

#define LOW_START 0x10000ul
#define PTE_RW_LARGE 0x83
#define PDPT_PRESENT 1

/* The FACS */
#define FACS_LENGTH 4
#define FACS_VECTOR 12
#define FACS_X_VECTOR 24
#define FACS_X_END 32

extern const char wake_stub[], wake_stub_end[], wake_gdtr_base[], wake_far[], wake_code32[], wake_gdt[], wake_pdpt[],
	wake_ranges[];

/* Where stores of L1 have no effect. Constant after boot. */
static struct { u64 start, end; } kept[2 * ARRAY_SIZE(acpi_info.facs) + ACPI_WAY_MAX];
static u32 kept_count;

void wake_reserve(u64 low)
{
	u64 at = low ? low : memory_map_find(ROOT_LOW_BYTES, PAGE_SIZE, LOW_START, boot_info.base_memory_end);
	u64 end = at + ROOT_LOW_BYTES;

	if (!at)
		boot_refuse("no %lu bytes of free RAM below 1 MiB for the core", ROOT_LOW_BYTES);
	/* Less than a page above it is of no use to anybody; base memory ends below, in a chain start. */
	while (!low && end < at + ROOT_LOW_BYTES + PAGE_SIZE && memory_map_is_ram(end, end + SIZE_1K) > 0)
		end += SIZE_1K;
	root_low = at;
	memory_map_set(at, end, MEMORY_RESERVED);
}

static void *in_stub(const char *symbol)
{
	return physical_at(root_low + (u64)(symbol - wake_stub));
}

/* All that may be used as RAM by the map, and root memory, which the map does not have. */
static void fill_ranges(void)
{
	struct { u64 start, end; } *to = in_stub(wake_ranges);
	size_t room = (PAGE_SIZE - (size_t)(wake_ranges - wake_stub)) / sizeof(*to), count = 0;

	to[count].start = root_start;
	to[count++].end = root_end;
	for (u32 i = 0; i < boot_info.memory_count; i++) {
		const struct memory_range *r = &boot_info.memory[i];

		if (!memory_map_is_usable(r))
			continue;
		if (count + 1 == room)
			boot_refuse("the memory map has more than %zu ranges of RAM", room - 2);
		to[count].start = ALIGN_UP(r->start, 4ul);
		to[count++].end = ALIGN_DOWN(r->start + r->size, 4ul);
	}
}

static void install_stub(void)
{
	u64 *directory = physical_at(root_low + PAGE_SIZE);

	memset(physical_at(root_low), 0, ROOT_LOW_BYTES);
	memcpy(physical_at(root_low), wake_stub, (size_t)(wake_stub_end - wake_stub));
	*(u32 *)in_stub(wake_gdtr_base) = (u32)(root_low + (u64)(wake_gdt - wake_stub));
	*(u32 *)in_stub(wake_far) = (u32)(root_low + (u64)(wake_code32 - wake_stub));
	*(u64 *)in_stub(wake_pdpt) = (root_low + PAGE_SIZE) | PDPT_PRESENT;
	directory[0] = PTE_RW_LARGE;
	fill_ranges();
}

static void guard(u64 start, u64 end)
{
	kept[kept_count].start = start;
	kept[kept_count++].end = end;
	for (u64 page = ALIGN_DOWN(start, PAGE_SIZE); page < end; page += PAGE_SIZE)
		ept01_guard_page(GPA1(page));
}

static void guard_facs(u64 addr)
{
	u32 length = *(u32 *)physical_at(addr + FACS_LENGTH);

	guard(addr + FACS_VECTOR, addr + FACS_VECTOR + 4);
	if (length >= FACS_X_END)
		guard(addr + FACS_X_VECTOR, addr + FACS_X_END);
	log_info("the wake is guarded: FACS at 0x%lx, stub at 0x%lx", addr, root_low);
}

/* What L1 stores to a guarded page the core stores: that page is never root's, though the firmware called it free. */
static bool is_lost(u64 start, u64 bytes)
{
	bool lost = meets_root_memory(start, start + bytes);

	if (lost)
		log_warn("an ACPI table at 0x%lx lay in memory that the firmware calls free: no wake finds it", start);
	return lost;
}

void wake_init(void)
{
	install_stub();
	for (size_t i = 0; i < ARRAY_SIZE(acpi_info.facs); i++)
		if (acpi_info.facs[i] && (!i || acpi_info.facs[i] != acpi_info.facs[0]) &&
		    !is_lost(acpi_info.facs[i], FACS_X_END))
			guard_facs(acpi_info.facs[i]);
	if (!kept_count) {
		log_info("no FACS: no wake to be guarded");
		return;
	}
	/*
	 * Some firmware looks for the FACS anew, on the way that the tables show. A root table of many pages is not
	 * one's.
	 */
	for (u32 i = 0; i < acpi_info.way_count; i++) {
		const struct acpi_place *way = &acpi_info.way_to_facs[i];

		if (way->bytes < PAGE_SIZE && !is_lost(way->addr, way->bytes))
			guard(way->addr, way->addr + way->bytes);
	}
}

static bool meets_kept(u64 addr, unsigned int size)
{
	for (u32 i = 0; i < kept_count; i++)
		if (addr < kept[i].end && addr + size > kept[i].start)
			return true;
	return false;
}

void wake_arm(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(acpi_info.facs); i++) {
		u64 addr = acpi_info.facs[i];

		if (meets_kept(addr + FACS_VECTOR, 4))
			*(volatile u32 *)physical_at(addr + FACS_VECTOR) = (u32)root_low;
		if (meets_kept(addr + FACS_X_VECTOR, 8))
			*(volatile u64 *)physical_at(addr + FACS_X_VECTOR) = 0;
	}
}

/* ---- Stores ---- */

static void store(u64 addr, unsigned int size, u64 value)
{
	volatile void *at = physical_at(addr);

	if (meets_kept(addr, size)) {
		for (unsigned int i = 0; i < size; i++)
			if (!meets_kept(addr + i, 1))
				((volatile u8 *)at)[i] = (u8)(value >> 8 * i);
		return;
	}
	switch (size) {
	case 1: *(volatile u8 *)at = (u8)value; break;
	case 2: *(volatile u16 *)at = (u16)value; break;
	case 4: *(volatile u32 *)at = (u32)value; break;
	case 8: *(volatile u64 *)at = value; break;
	}
}

/*
 * One atomic step, as the firmware sees it; where bytes are kept nothing is stored. *expected becomes what was there.
 */
#define COMPARE_EXCHANGE(type)                                                                                      \
	{                                                                                                           \
		type old = (type)*expected;                                                                         \
		bool same = __atomic_compare_exchange_n((type *)at, &old, (type)value, false, __ATOMIC_SEQ_CST,     \
							__ATOMIC_SEQ_CST);                                          \
		*expected = old;                                                                                    \
		return same;                                                                                        \
	}
static bool compare_exchange(u64 addr, unsigned int size, u64 *expected, u64 value)
{
	void *at = physical_at(addr);

	if (meets_kept(addr, size)) {
		u64 mask = size == 8 ? ~0ull : BIT(8 * size) - 1, old = 0;

		memcpy(&old, at, size);
		bool same = old == (*expected & mask);

		*expected = old;
		return same;
	}
	switch (size) {
	case 1: COMPARE_EXCHANGE(u8)
	case 2: COMPARE_EXCHANGE(u16)
	case 4: COMPARE_EXCHANGE(u32)
	default: COMPARE_EXCHANGE(u64)
	}
}

static void do_xchg(struct percpu *cpu, const struct store *s, u64 addr)
{
	u64 old = 0, value = guest_store_value(cpu, s);

	while (!compare_exchange(addr, s->size, &old, value))
		;
	guest_store_put(cpu, s, s->reg, old);
}

/* Flags of a comparison of a and b (SDM vol. 1, "Status Flags"). */
static u64 compare_flags(u64 a, u64 b, unsigned int size)
{
	u64 top = BIT(8 * size - 1), mask = top | (top - 1), r;

	a &= mask;
	b &= mask;
	r = (a - b) & mask;
	return (a < b ? RFLAGS_CF : 0) | (__builtin_parity((u8)r) ? 0 : RFLAGS_PF) | ((a ^ b ^ r) & RFLAGS_AF) |
	       (r ? 0 : RFLAGS_ZF) | (r & top ? RFLAGS_SF : 0) | ((a ^ b) & (a ^ r) & top ? RFLAGS_OF : 0);
}

static void do_cmpxchg(struct percpu *cpu, const struct store *s, u64 addr)
{
	struct store accumulator = *s;
	u64 expected = cpu->gpr[GPR_RAX], found = expected;

	accumulator.high_byte = false;
	if (!compare_exchange(addr, s->size, &found, guest_store_value(cpu, s)))
		guest_store_put(cpu, &accumulator, GPR_RAX, found);
	vmwrite(VMCS_GUEST_RFLAGS,
		(vmread(VMCS_GUEST_RFLAGS) & ~RFLAGS_ARITHMETIC) | compare_flags(expected, found, s->size));
}

static u64 segment_base(const struct store *s, bool long_mode)
{
	return long_mode && s->segment < 4 ? 0 : vmread(VMCS_GUEST_ES_BASE + 2u * s->segment);
}

/* One element. False: its source faults. Answers in *again whether the instruction goes on. */
static bool do_string(struct percpu *cpu, const struct store *s, u64 addr, bool long_mode, bool *again)
{
	u64 by = vmread(VMCS_GUEST_RFLAGS) & BIT(10) ? -(u64)s->size : s->size, value = cpu->gpr[GPR_RAX];
	u64 mask = s->address_size == 8 ? ~0ull : BIT(8 * s->address_size) - 1;
	struct guest_fault fault;

	if (s->kind == STORE_MOVS) {
		gva_t from = GVA(segment_base(s, long_mode) + (cpu->gpr[GPR_RSI] & mask));
		enum guest_access_result result = guest_read(cpu, &value, from, s->size, &fault);

		if (result != GUEST_OK) {
			guest_raise(cpu, result, &fault);
			return false;
		}
		guest_step_reg(&cpu->gpr[GPR_RSI], mask, by);
	}
	store(addr, s->size, value);
	guest_step_reg(&cpu->gpr[GPR_RDI], mask, by);
	if (s->rep)
		guest_step_reg(&cpu->gpr[GPR_RCX], mask, ~0ull);
	*again = s->rep && (cpu->gpr[GPR_RCX] & mask);
	return true;
}

static void carry_out(struct percpu *cpu, const struct store *s, u64 addr, bool long_mode)
{
	bool again = false;

	switch (s->kind) {
	case STORE_MOV:
		store(addr, s->size, guest_store_value(cpu, s));
		break;
	case STORE_XCHG:
		do_xchg(cpu, s, addr);
		break;
	case STORE_CMPXCHG:
		do_cmpxchg(cpu, s, addr);
		break;
	default:
		if (!do_string(cpu, s, addr, long_mode, &again))
			return;
	}
	if (!again)
		vmx_skip_bytes(s->len);
}

enum taken wake_guard_store(struct percpu *cpu, gpa1_t gpa1)
{
	u64 page = gpa1.addr & HYPAPI_PAGE_MASK;
	unsigned int code_size = guest_code_size();

	if (!ept01_is_guarded(page))
		return NOT_TAKEN;
	const struct store *s = guest_store_fetch(cpu, code_size);

	/*
	 * An event's delivery that pushes there, and a store that leaves the page, are no use of an operating
	 * system's.
	 */
	if (!s->len || gpa1.addr + s->size > page + PAGE_SIZE || vmread(VMCS_IDT_INFO) & INTR_VALID) {
		log_limited(LOG_WARN,
			    "CPU %u: a store to a page of ACPI tables by an instruction that is not known: #GP",
			    cpu->index);
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
		return TAKEN;
	}
	carry_out(cpu, s, gpa1.addr, code_size == 64);
	return TAKEN;
}
