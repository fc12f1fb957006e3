/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every MSR by every way that a guest has to it: L1's WRMSR and RDMSR past the MSR bitmap, L2's past the bitmap that
 * the core makes from L1's, which asks for nothing, and L1's lists. The machine is a mock in which all MSRs exist, so
 * that a write which gets through shows. CPUID is a mock in which all bits are set, so that one which is not hidden
 * shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "apic/apic_guard.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "mem/ept01.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/phys_bits.h"
#include "nested/state.h"
#include "report/log.h"
#include "vmx/cpuid.h"
#include "vmx/io.h"
#include "vmx/msr.h"
#include "vmx/msr_policy.h"
#include "vmx/vmx.h"

#define COUNT (2 * BITMAP_MSRS)
#define BEFORE 0x0000123456789a00ull
#define WRITTEN 0x0000000000000500ull /* a value that most MSRs take */

static struct percpu cpu;
static struct nested_cpu nested;
static u64 machine[COUNT], vmcs[0x8000];
static bool absent[COUNT], faulted, done, watching, strict, silent;
static u32 emulated, logged;
static u64 emulated_value;
static u8 bitmap[4096], l2_bitmap[4096], nothing[4096];
static struct msr_entry list;
static struct cpuid_regs below;

u8 *vmx_msr_bitmap = bitmap, *vmx_io_bitmaps, *vmx_msr_bitmap_l2 = bitmap, *vmx_io_bitmaps_l2;
enum log_level log_threshold = LOG_DEBUG;

/* ---- the machine ---- */

static u32 number_at(u32 place)
{
	return place < BITMAP_MSRS ? place : 0xc0000000 + place - BITMAP_MSRS;
}

bool rdmsr_safe(u32 msr, u64 *value)
{
	u32 place = msr_place(msr, false);

	assert_true(msr_in_bitmap(msr)); /* beyond, a hypervisor below would answer */
	*value = machine[place];
	return !absent[place];
}

bool wrmsr_safe(u32 msr, u64 value)
{
	u32 place = msr_place(msr, false);

	assert_true(msr_in_bitmap(msr));
	if (absent[place])
		return false;
	machine[place] = value;
	return true;
}

bool vmx_vmread(u32 field, u64 *value)
{
	*value = vmcs[field];
	return true;
}

bool vmx_vmwrite(u32 field, u64 value)
{
	vmcs[field] = value;
	return true;
}

struct cpuid_regs machine_cpuid(u32 leaf, u32 subleaf)
{
	(void)leaf, (void)subleaf;
	return below;
}

bool machine_rdmsr(u32 msr, u64 *value) { return rdmsr_safe(msr, value); }
bool machine_wrmsr(u32 msr, u64 value) { return wrmsr_safe(msr, value); }
void machine_verw(void) { }

void vmx_field_failed(const char *insn, u32 field, u64 value) { fail_msg("%s %x %lx", insn, field, value); abort(); }

/* ---- the rest of the core ---- */

static bool emulate(u32 msr, u64 value)
{
	emulated = msr;
	emulated_value = value;
	return true;
}

bool apic_guard_read_base(struct percpu *c, u32 msr, u64 *value) { *value = c->apic.base; return emulate(msr, 0); }
bool apic_guard_write_base(struct percpu *c, u32 msr, u64 value) { (void)c; return emulate(msr, value); }
bool apic_guard_write_icr(struct percpu *c, u32 msr, u64 value) { (void)c; return emulate(msr, value); }
bool apic_guard_write_lvt(struct percpu *c, u32 msr, u64 value) { (void)c; return emulate(msr, value); }
bool mtrr_read_msr(struct percpu *c, u32 msr, u64 *value) { (void)c; *value = 0; return emulate(msr, 0); }
bool mtrr_write_msr(struct percpu *c, u32 msr, u64 value) { (void)c; return emulate(msr, value); }
bool nested_read_msr(u32 msr, u64 *value) { *value = 0; return emulate(msr, 0); }
u32 phys_bits_known = 39;
u32 phys_bits_ask(void) { return phys_bits_known; }
bool nested_enabled(void) { return true; }
/* What is beyond the bitmaps always goes to L1, which lets L2 have #GP here. Its bitmap asks for nothing. */
void nested_reflect_hardware(struct percpu *c, u32 reason)
{
	if (msr_in_bitmap((u32)c->gpr[GPR_RCX]))
		fail_msg("exit %u goes to L1", reason);
	faulted = true;
}
void vmx_skip_instruction(void) { done = true; }
void vmx_raise(struct percpu *c, unsigned int vector, u32 error, gva_t cr2)
{
	(void)c, (void)error, (void)cr2;
	assert_int_equal(vector, VEC_GP);
	faulted = true;
}
enum taken event_msr(struct percpu *c, struct hypapi_msr_args *msr) { (void)c, (void)msr; return NOT_TAKEN; }
enum taken event_msr_list(struct percpu *c, struct hypapi_msr_args *msr) { (void)c, (void)msr; return NOT_TAKEN; }
bool event_claims_port(const struct percpu *c, u32 port, u32 size) { (void)c, (void)port, (void)size; return false; }
enum taken io_offer(struct percpu *c, struct io *io) { (void)c, (void)io; return NOT_TAKEN; }
void io_perform(struct percpu *c, struct io *io) { (void)c, (void)io; }
void io_complete(struct percpu *c, struct io *io) { (void)c, (void)io; }
void exit_io(struct percpu *c) { (void)c; }
bool ept01_read(gpa1_t gpa1, void *to, size_t len) { (void)gpa1; memcpy(to, &list, len); return true; }
bool ept01_write(gpa1_t gpa1, const void *from, size_t len) { (void)gpa1; memcpy(&list.value, from, len); return true; }
void *pages_boot_alloc(u64 count) { return calloc(count, PAGE_SIZE); }
bool cmdline_is(const char *name, const char *word)
{
	if (!strcmp(name, "announce"))
		return silent && !strcmp(word, "off");
	return !strcmp(name, "msr") && ((watching && !strcmp(word, "watch")) || (strict && !strcmp(word, "strict")));
}
bool log_allowed(struct log_limit *limit, unsigned int burst, unsigned int ms)
{
	(void)limit, (void)burst, (void)ms;
	return true;
}
static char log_text[200][80];
void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	(void)level;
	va_start(args, format);
	vsnprintf(log_text[logged++ % 200], 80, format, args);
	va_end(args);
}

void log_now(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(log_text[logged++ % 200], 80, format, args);
	va_end(args);
}

/* ---- the ways to an MSR ---- */

enum way { L1, L2, LIST, WAYS };

static void fresh_machine(void)
{
	for (u32 i = 0; i < COUNT; i++)
		machine[i] = BEFORE;
	memset(absent, 0, sizeof(absent));
	memset(vmcs, 0, sizeof(vmcs));
	vmcs[VMCS_GUEST_EFER] = EFER_LME | EFER_LMA;
	vmcs[VMCS_GUEST_CR0] = CR0_PG | CR0_PE;
	nested_close_all(&nested.msrs);
	cpu.apic.base = APIC_BASE_ENABLE;
	cpu.xd_disabled = false;
	emulated = 0;
}

static int fresh(void **state)
{
	(void)state;
	memset(bitmap, 0, sizeof(bitmap));
	memset(l2_bitmap, 0xff, sizeof(l2_bitmap));
	nested = (struct nested_cpu){ .msrs.bitmap = l2_bitmap, .current = &nested.active[0] };
	nested.active[0] = (struct active_vmcs){ .l2.mode = RUN_L2, .msr_bitmap12 = nothing };
	cpu.nested = &nested;
	watching = strict = false;
	logged = 0;
	msr_init();
	fresh_machine();
	return 0;
}

static bool exits(const u8 *in, u32 msr, bool write)
{
	u32 place = msr_place(msr, write);

	return !msr_in_bitmap(msr) || in[place / 8] >> (place % 8) & 1;
}

static const struct { u32 msr, field; } vmcs_msrs[] = {
	{ 0x174, VMCS_GUEST_SYSENTER_CS }, { 0x175, VMCS_GUEST_SYSENTER_ESP }, { 0x176, VMCS_GUEST_SYSENTER_EIP },
	{ 0x1d9, VMCS_GUEST_DEBUGCTL }, { 0x277, VMCS_GUEST_PAT }, { 0xc0000080, VMCS_GUEST_EFER },
	{ 0xc0000100, VMCS_GUEST_FS_BASE }, { 0xc0000101, VMCS_GUEST_GS_BASE },
};

/* Where the CPU keeps the guest's value while the guest runs. */
static u64 *place_in_cpu(u32 msr)
{
	for (size_t i = 0; i < ARRAY_SIZE(vmcs_msrs); i++)
		if (vmcs_msrs[i].msr == msr)
			return &vmcs[vmcs_msrs[i].field];
	return &machine[msr_place(msr, false)];
}

/* The instruction without an exit. */
static bool hardware(u32 msr, bool write, u64 *value)
{
	if (absent[msr_place(msr, false)])
		return false;
	if (write)
		*place_in_cpu(msr) = *value;
	else
		*value = *place_in_cpu(msr);
	return true;
}

/* A WRMSR or RDMSR: exits are handled until it goes through. True: no #GP. */
static bool instruction(enum way way, u32 msr, bool write, u64 *value)
{
	cpu.world = way == L1 ? &cpu.l1 : &nested.active[0].l2;
	for (u32 tries = 0; tries < 3; tries++) {
		faulted = done = false;
		if (!exits(way == L1 ? bitmap : l2_bitmap, msr, write))
			return hardware(msr, write, value);
		cpu.gpr[GPR_RCX] = msr;
		cpu.gpr[GPR_RAX] = (u32)*value;
		cpu.gpr[GPR_RDX] = *value >> 32;
		cpu.exit_reason = write ? EXIT_WRMSR : EXIT_RDMSR;
		if (way == L1)
			exit_msr(&cpu);
		else
			nested_msr_exit(&cpu);
		if (!write)
			*value = cpu.gpr[GPR_RDX] << 32 | (u32)cpu.gpr[GPR_RAX];
		if (done || faulted)
			return done;
	}
	fail_msg("MSR %x exits for ever", msr);
	return false;
}

static bool listed(u32 msr, bool write, u64 *value)
{
	cpu.world = &cpu.l1;
	list = (struct msr_entry){ .index = msr, .value = *value };
	bool ok = !(write ? msr_area_load(&cpu, 0, 1) : msr_area_store(&cpu, 0, 1));

	*value = list.value;
	return ok;
}

static bool access(enum way way, u32 msr, bool write, u64 *value)
{
	return way == LIST ? listed(msr, write, value) : instruction(way, msr, write, value);
}

static bool write_msr(enum way way, u32 msr, u64 value) { return access(way, msr, true, &value); }
static bool read_msr(enum way way, u32 msr, u64 *value) { *value = 0; return access(way, msr, false, value); }

/* Lists never reach these: SDM vol. 3, "Loading MSRs", "Saving MSRs". */
static bool never_in_list(u32 msr, bool write)
{
	bool no_load = msr == 0xc0000100 || msr == 0xc0000101 || msr == 0x79 || msr == 0x8b || msr == 0x9b;

	return (msr >= 0x800 && msr <= 0x8ff) || (write ? no_load : msr == 0x9e);
}

/* ---- what is expected, written down a second time; without a row: dropped ---- */

enum answer { PASS, MASK, DROP, REFUSE, VMCS, EMULATED, ACCEPT };

static const struct expected { u32 first, last; enum answer write; u64 mask; } expected[] = {
	{ 0x10, 0x10, PASS, 0 },
	{ 0x17, 0x17, REFUSE, 0 },
	{ 0x1b, 0x1b, EMULATED, 0 },
	{ 0x3a, 0x3a, REFUSE, 0 },
	{ 0x3b, 0x3b, PASS, 0 },
	{ 0x40, 0x49, PASS, 0 },
	{ 0x60, 0x67, PASS, 0 },
	{ 0x79, 0x79, ACCEPT, 0 },
	{ 0x8c, 0x8f, PASS, 0 },
	{ 0x9b, 0x9b, REFUSE, 0 },
	{ 0xc1, 0xc8, PASS, 0 },
	{ 0xcf, 0xcf, REFUSE, 0 },
	{ 0xe1, 0xe2, PASS, 0 },
	{ 0xe7, 0xe8, PASS, 0 },
	{ 0xfe, 0xfe, REFUSE, 0 },
	{ 0x10a, 0x10a, REFUSE, 0 },
	{ 0x10b, 0x10b, PASS, 0 },
	{ 0x122, 0x122, PASS, 0 },
	{ 0x123, 0x123, MASK, 0x6 },
	{ 0x140, 0x140, REFUSE, 0 },
	{ 0x174, 0x176, VMCS, 0 },
	{ 0x179, 0x179, REFUSE, 0 },
	{ 0x17a, 0x17b, PASS, 0 },
	{ 0x186, 0x18d, PASS, 0 },
	{ 0x198, 0x198, REFUSE, 0 },
	{ 0x199, 0x199, MASK, 0x10000ff00 },
	{ 0x19a, 0x19c, PASS, 0 },
	{ 0x1a0, 0x1a0, MASK, ~0x1800ull },
	{ 0x1a2, 0x1a2, MASK, 0x3f0000ff },
	{ 0x1a4, 0x1a4, PASS, 0 },
	{ 0x1a6, 0x1a7, PASS, 0 },
	{ 0x1ad, 0x1ad, PASS, 0 },
	{ 0x1b0, 0x1b2, PASS, 0 },
	{ 0x1c4, 0x1c5, PASS, 0 },
	{ 0x1c8, 0x1c9, PASS, 0 },
	{ 0x1cc, 0x1d4, REFUSE, 0 },
	{ 0x1d9, 0x1d9, VMCS, 0 },
	{ 0x1fc, 0x1fc, MASK, 0x180002 },
	{ 0x200, 0x21f, EMULATED, 0 },
	{ 0x250, 0x250, EMULATED, 0 },
	{ 0x258, 0x259, EMULATED, 0 },
	{ 0x268, 0x26f, EMULATED, 0 },
	{ 0x277, 0x277, VMCS, 0 },
	{ 0x280, 0x29f, PASS, 0 },
	{ 0x2ff, 0x2ff, EMULATED, 0 },
	{ 0x309, 0x30f, PASS, 0 },
	{ 0x329, 0x329, PASS, 0 },
	{ 0x345, 0x345, REFUSE, 0 },
	{ 0x38d, 0x390, PASS, 0 },
	{ 0x3f4, 0x3f5, REFUSE, 0 },
	{ 0x3f6, 0x3f7, PASS, 0 },
	{ 0x400, 0x47f, PASS, 0 },
	{ 0x480, 0x493, REFUSE, 0 },
	{ 0x4c1, 0x4c8, PASS, 0 },
	{ 0x4d0, 0x4d0, PASS, 0 },
	{ 0x560, 0x58f, REFUSE, 0 },
	{ 0x610, 0x610, PASS, 0 },
	{ 0x618, 0x618, PASS, 0 },
	{ 0x638, 0x638, PASS, 0 },
	{ 0x640, 0x640, PASS, 0 },
	{ 0x680, 0x69f, PASS, 0 },
	{ 0x6a0, 0x6a8, PASS, 0 },
	{ 0x6c0, 0x6df, PASS, 0 },
	{ 0x6e0, 0x6e1, PASS, 0 },
	{ 0x770, 0x777, PASS, 0 },
	{ 0x800, 0x82f, PASS, 0 },
	{ 0x830, 0x830, EMULATED, 0 },
	{ 0x831, 0x8ff, PASS, 0 },
	{ 0x981, 0x984, REFUSE, 0 },
	{ 0xc81, 0xc82, PASS, 0 },
	{ 0xc8d, 0xd5f, PASS, 0 },
	{ 0xd90, 0xd90, PASS, 0 },
	{ 0xd93, 0xd93, PASS, 0 },
	{ 0xda0, 0xda0, REFUSE, 0 },
	{ 0xdc0, 0xddf, PASS, 0 },
	{ 0x1200, 0x121f, REFUSE, 0 },
	{ 0x14ce, 0x14cf, REFUSE, 0 },
	{ 0x1500, 0x151f, REFUSE, 0 },
	{ 0x1600, 0x161f, REFUSE, 0 },
	{ 0x17d0, 0x17d4, REFUSE, 0 },
	{ 0x1900, 0x19ff, REFUSE, 0 },
	{ 0x1b01, 0x1b01, PASS, 0 },
	{ 0xc0000080, 0xc0000080, VMCS, 0 },
	{ 0xc0000081, 0xc0000084, PASS, 0 },
	{ 0xc0000100, 0xc0000101, VMCS, 0 },
	{ 0xc0000102, 0xc0000103, PASS, 0 },
};

static struct expected expect_of(u32 msr)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (msr >= expected[i].first && msr <= expected[i].last)
			return expected[i];
	return (struct expected){ msr, msr, DROP, 0 };
}

static void rows_are_sorted(void **state)
{
	(void)state;
	for (u32 i = 0; i < msr_row_count; i++) {
		const struct msr_row *row = &msr_rows[i];

		assert_true(row->first <= row->last && msr_in_bitmap(row->first) && msr_in_bitmap(row->last));
		assert_true(!i || row->first > msr_rows[i - 1].last);
		assert_true(row->why && *row->why);
		assert_int_equal(row->write == MSR_MASK, row->mask != 0);
		assert_true(row->read != MSR_OWN || row->reader);
		assert_true(row->write != MSR_OWN || row->writer);
		assert_true(row->read != MSR_MASK && row->read != MSR_DROP);
		assert_ptr_equal(msr_find(row->first), row);
		assert_ptr_equal(msr_find(row->last), row);
	}
}

/* One MSR by one way. */
static void check_write(enum way way, u32 msr)
{
	struct expected e = expect_of(msr);
	u64 *cell = place_in_cpu(msr), before = *cell, want = before;
	bool ok = write_msr(way, msr, WRITTEN), want_ok = e.write != REFUSE;

	if (way == LIST && never_in_list(msr, true)) {
		want_ok = false;
	} else if (e.write == PASS || e.write == VMCS) {
		want = WRITTEN;
	} else if (e.write == MASK) {
		want = (before & ~e.mask) | (WRITTEN & e.mask);
	} else if (e.write == EMULATED) {
		assert_int_equal(emulated, msr);
		assert_int_equal(emulated_value, WRITTEN);
	}
	if (ok != want_ok || *cell != want)
		fail_msg("way %u, MSR %x: answer %u, holds %lx, expected %u, %lx", way, msr, ok, *cell, want_ok, want);
	*cell = before;
}

static void every_write_by_every_way(void **state)
{
	(void)state;
	for (enum way way = L1; way < WAYS; way++)
		for (u32 place = 0; place < COUNT; place++)
			check_write(way, number_at(place));
}

/* What the CPU does not have is #GP, written or dropped; the answers that never come to the CPU stay. */
static void absent_msrs_fault(void **state)
{
	(void)state;
	memset(absent, 1, sizeof(absent));
	for (enum way way = L1; way < WAYS; way++)
		for (u32 place = 0; place < COUNT; place++) {
			u32 msr = number_at(place);
			enum answer answer = expect_of(msr).write;

			if (answer == EMULATED || answer == VMCS || answer == ACCEPT)
				continue;
			if (write_msr(way, msr, WRITTEN))
				fail_msg("way %u, MSR %x", way, msr);
		}
}

static bool is_refused_to_read(u32 msr)
{
	static const u32 ranges[][2] = {{ 0x9b, 0x9b },	  { 0x1cc, 0x1d4 },   { 0x3f4, 0x3f5 },   { 0x560, 0x58f },
					{ 0x981, 0x984 },	  { 0x1200, 0x121f }, { 0x14ce, 0x14cf },
					{ 0x1500, 0x151f },
					{ 0x1600, 0x161f }, { 0x17d0, 0x17d4 }, { 0x1900, 0x19ff }};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (msr >= ranges[i][0] && msr <= ranges[i][1])
			return true;
	return false;
}

static void every_read_by_every_way(void **state)
{
	(void)state;
	for (enum way way = L1; way < WAYS; way++)
		for (u32 place = 0; place < COUNT; place++) {
			u32 msr = number_at(place);
			bool want = !is_refused_to_read(msr) && !(way == LIST && never_in_list(msr, false));
			u64 value;

			if (read_msr(way, msr, &value) != want)
				fail_msg("way %u, MSR %x: expected %u", way, msr, want);
		}
}

/* Numbers beyond the bitmaps never get to the CPU, where rdmsr_safe() and wrmsr_safe() would complain. */
static void beyond_the_bitmaps(void **state)
{
	static const u32 msrs[] = {0x2000,     0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05,
				   0x4b564d08, 0x40000000, 0x40000001, 0x40000020, 0x40000021, 0x40000073, 0x400000f0,
				   0xbfffffff, 0xc0002000, 0xc0010015, 0xc0011029, 0xffffffff};
	u64 value;

	(void)state;
	for (enum way way = L1; way < WAYS; way++)
		for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
			assert_false(write_msr(way, msrs[i], 0x1001));
			assert_false(read_msr(way, msrs[i], &value));
		}
}

/* The list: what operating systems write all the time must not exit, and once opened, not in L2 either. */
static void hot_msrs_do_not_exit(void **state)
{
	static const u32 hot[] = {0x10,	      0x48,	  0x49,	      0x10b, 0x174,	 0x175,	     0x176,
				  0x1c4,      0x1c5,	  0x6a0,      0x6a2, 0x6a4,	 0x6a8,	     0x6e0,
				  0x6e1,      0xe1,	  0xc8d,      0xc8f, 0xc0000081, 0xc0000084, 0xc0000100,
				  0xc0000101, 0xc0000102, 0xc0000103, 0x808, 0x80b,	 0x838,	     0x83f,
				  0xc1,	      0xc8,	  0x186,      0x18d, 0x309,	 0x30c,	     0x38d,
				  0x38f,      0x390,	  0x4c1,      0x4c8, 0x1a6,	 0x1a7};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hot); i++) {
		assert_false(exits(bitmap, hot[i], true));
		assert_false(exits(bitmap, hot[i], false));
		assert_true(write_msr(L2, hot[i], WRITTEN));
		assert_false(exits(l2_bitmap, hot[i], true));
	}
}

/* No value of these reaches the CPU by any way. */
static void dangerous_bits(void **state)
{
	static const struct { u32 msr; u64 value; bool fault;
	} writes[] = {
		{ 0x33, BIT(29), true },	{ 0x33, BIT(28), true },	{ 0x33, BIT(31), false },
		{ 0x33, 0, false },
		{ 0x140, 1, true },	{ 0x140, 2, true },	{ 0x140, 0, false },	{ 0x150, ~0ull, false },
		{ 0x17d0, 0x1001, true }, { 0x17d1, 1, true },	{ 0x3f1, 1, false },	{ 0x3f4, 0x1001, true },
		{ 0x600, 0x1000, false }, { 0x1903, ~0ull, true },	{ 0x982, 3, true },	{ 0x560, 0x1000, true },
		{ 0x570, 1, true },	{ 0x3a, 5, true },	{ 0x9b, 1, true },	{ 0x1f2, 0x1000, false },
		{ 0x391, 1, false },	{ 0x8b, 5, false },	{ 0xda0, BIT(8), true },
		{ 0xda0, BIT(14), true },
		{ 0xda0, BIT(15), true }, { 0xda0, BIT(63), true },
	};

	(void)state;
	for (enum way way = L1; way < WAYS; way++)
		for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
			bool fault = writes[i].fault || (way == LIST && never_in_list(writes[i].msr, true));

			if (write_msr(way, writes[i].msr, writes[i].value) == fault)
				fail_msg("way %u, MSR %x, value %lx: fault %u expected", way, writes[i].msr,
					 writes[i].value, fault);
			assert_int_equal(machine[msr_place(writes[i].msr, false)], BEFORE);
		}
	assert_true(write_msr(L1, 0xda0, BIT(11) | BIT(12)));
	assert_int_equal(machine[0xda0], BIT(11) | BIT(12));
	assert_true(write_msr(L1, 0x8b, 0));
	assert_int_equal(machine[0x8b], 0);
}

static void masked_bits(void **state)
{
	static const struct {
		u32 msr;
		u64 may;
	} rows[] = {{ 0x123, 6 }, { 0x199, 0x10000ff00 }, { 0x1a2, 0x3f0000ff }, { 0x1fc, 0x180002 }};

	(void)state;
	for (enum way way = L1; way < WAYS; way++)
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			for (u32 ones = 0; ones < 2; ones++) {
				machine[rows[i].msr] = BEFORE;
				assert_true(write_msr(way, rows[i].msr, ones ? ~0ull : 0));
				assert_int_equal(machine[rows[i].msr],
						 ones ? BEFORE | rows[i].may : BEFORE & ~rows[i].may);
			}
}

/* ---- XD, the APIC, and what CPUID says of that ---- */

static struct cpuid_regs guest_cpuid(u32 leaf, u32 subleaf)
{
	cpu.gpr[GPR_RAX] = leaf;
	cpu.gpr[GPR_RCX] = subleaf;
	cpuid_emulate(&cpu);
	return (struct cpuid_regs){(u32)cpu.gpr[GPR_RAX], (u32)cpu.gpr[GPR_RBX], (u32)cpu.gpr[GPR_RCX],
				   (u32)cpu.gpr[GPR_RDX]};
}

static const struct cpuid_regs all_bits = { ~0u, ~0u, ~0u, ~0u };

static void xd_disable_is_the_guests_alone(void **state)
{
	u64 value;

	(void)state;
	below = all_bits;
	for (enum way way = L1; way < WAYS; way++) {
		fresh_machine();
		assert_true(guest_cpuid(0x80000001, 0).edx & BIT(20));
		assert_true(write_msr(way, 0xc0000080, EFER_LME | EFER_LMA | EFER_NXE));
		assert_true(write_msr(way, 0x1a0, BIT(34) | 1));
		assert_int_equal(machine[0x1a0], (BEFORE & 0x1800) | 1);
		assert_true(read_msr(way, 0x1a0, &value));
		assert_int_equal(value, BIT(34) | 0x1801); /* and neither branch trace nor PEBS */
		assert_false(guest_cpuid(0x80000001, 0).edx & BIT(20));
		assert_false(write_msr(way, 0xc0000080, EFER_LME | EFER_LMA | EFER_NXE));
		assert_true(write_msr(way, 0xc0000080, EFER_LME | EFER_LMA));
		assert_true(write_msr(way, 0x1a0, 1));
		assert_true(guest_cpuid(0x80000001, 0).edx & BIT(20));
		assert_true(write_msr(way, 0xc0000080, EFER_LME | EFER_LMA | EFER_NXE));
	}
}

static void cpuid_follows_the_apic(void **state)
{
	(void)state;
	below = all_bits;
	assert_true(guest_cpuid(1, 0).edx & BIT(9));
	cpu.apic.base = 0;
	assert_false(guest_cpuid(1, 0).edx & BIT(9));
}

/* "#GP only where what enumerates it is hidden too". */
static void what_is_refused_is_hidden(void **state)
{
	u64 value;

	(void)state;
	below = all_bits;
	assert_false(guest_cpuid(1, 0).ecx & BIT(6));                            /* SMX */
	assert_false(guest_cpuid(6, 0).eax & (BIT(19) | BIT(23)));               /* 0x17d0 */
	assert_int_equal(guest_cpuid(6, 0).edx, 0);
	assert_true(guest_cpuid(6, 0).eax & BIT(7));                             /* HWP stays */
	assert_false(guest_cpuid(7, 0).ebx & BIT(25));                           /* 0x560 */
	assert_false(guest_cpuid(7, 0).edx & (BIT(5) | BIT(18) | BIT(19)));      /* XSS[14], 0x14ce */
	assert_false(guest_cpuid(7, 0).ecx & BIT(13));                           /* 0x981 */
	assert_int_equal(guest_cpuid(0x80000008, 0).eax & 0xff, 39);
	assert_true(guest_cpuid(7, 0).edx & BIT(26));                            /* SPEC_CTRL stays */
	assert_false(guest_cpuid(7, 1).eax & (BIT(8) | BIT(17) | BIT(27)));      /* 0x19xx, 0x1cc, WRMSRLIST */
	assert_false(guest_cpuid(7, 1).ecx & BIT(5));                            /* WRMSRNS with an immediate */
	assert_false(guest_cpuid(7, 1).edx & BIT(15));                           /* UWRMSR */
	assert_int_equal(guest_cpuid(0xd, 1).ecx, BIT(10) | BIT(11) | BIT(12) | BIT(16));
	assert_int_equal(guest_cpuid(0xd, 1).edx, 0);
	assert_int_equal(guest_cpuid(0xa, 0).eax & 0xff, 5);
	for (size_t i = 0; i < 3; i++) {
		struct cpuid_regs r = guest_cpuid((u32[]){ 0x14, 0x1c, 0x23 }[i], (u32)i);

		assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	}
	machine[0xce] = machine[0xcf] = ~0ull;
	for (enum way way = L1; way < WAYS; way++) {
		assert_true(read_msr(way, 0xce, &value));                        /* 0x140 */
		assert_int_equal(value, ~BIT(31));
		assert_true(read_msr(way, 0xcf, &value));                        /* 0x33 */
		assert_int_equal(value, ~(BIT(4) | BIT(5)));
	}
}

static void leaves_of_hypervisors_are_empty(void **state)
{
	static const u32 leaves[] = { 0x40000000, 0x40000001, 0x40000010, 0x40000100, 0x4000ffff };

	(void)state;
	below = all_bits;
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct cpuid_regs r = guest_cpuid(leaves[i], 0);

		assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	}
	assert_int_equal(guest_cpuid(0x40010000, 0).eax, ~0u);
	assert_int_equal(guest_cpuid(0x20000000, 0).eax, ~0u);
}

/* Each level fills the next register; what stands in the others is nobody's. */
static void levels_announce_themselves(void **state)
{
	const u32 x = 0x46484d58;

	(void)state;
	below = (struct cpuid_regs){ 0xdac, x, 0x64, x };
	for (u32 level = 1; level <= 5; level++) {
		struct cpuid_regs r = guest_cpuid(x, level);

		assert_int_equal(r.eax, x);
		assert_int_equal(r.ebx, level >= 2 ? x : 0);
		assert_int_equal(r.ecx, level >= 3 ? x : 0);
		assert_int_equal(r.edx, level >= 4 ? x : 0);
		below = r;
	}
	/* Without a word of this level, those of the levels below stand. */
	silent = true;
	below = (struct cpuid_regs){ x, 0, 0, 0 };
	assert_int_equal(guest_cpuid(x, 0).ebx, 0);
	below = (struct cpuid_regs){ 0xdac, 0xfa0, 0x64, 0 };
	assert_int_equal(guest_cpuid(x, 0).eax, 0xdac);
	silent = false;
}

/* ---- options and the log ---- */

static void said_once(void **state)
{
	(void)state;
	u32 before = logged;

	for (u32 i = 0; i < 5; i++)
		for (enum way way = L1; way < WAYS; way++)
			assert_true(write_msr(way, 0x1e55, i)); /* said in every_write_by_every_way() */
	assert_int_equal(logged, before);
}

static void strict_refuses_what_has_no_row(void **state)
{
	(void)state;
	strict = true;
	msr_init();
	for (enum way way = L1; way < WAYS; way++) {
		assert_false(write_msr(way, 0x1e56, 1));
		assert_true(write_msr(way, 0x150, 1));  /* has a row: dropped */
		assert_true(write_msr(way, 0x48, 1));
	}
}

static void watch_notes_every_write(void **state)
{
	(void)state;
	watching = true;
	memset(bitmap, 0, sizeof(bitmap));
	msr_init();
	assert_true(write_msr(L1, 0x48, 1) && write_msr(L2, 0xc0000100, 1) && write_msr(L2, 0xc0000100, 2) &&
		    write_msr(LIST, 0x150, 1));
	assert_int_equal(vmcs[VMCS_GUEST_FS_BASE], 2);
	logged = 0;
	msr_log_watched();
	assert_int_equal(logged, 3);
	assert_string_equal(log_text[0], "stat msr L1 0x48 pass");
	assert_string_equal(log_text[1], "stat msr L2 0xc0000100 pass");
	assert_string_equal(log_text[2], "stat msr list 0x150 drop");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_sorted),
		cmocka_unit_test_setup(every_write_by_every_way, fresh),
		cmocka_unit_test_setup(said_once, fresh),
		cmocka_unit_test_setup(absent_msrs_fault, fresh),
		cmocka_unit_test_setup(every_read_by_every_way, fresh),
		cmocka_unit_test_setup(beyond_the_bitmaps, fresh),
		cmocka_unit_test_setup(hot_msrs_do_not_exit, fresh),
		cmocka_unit_test_setup(dangerous_bits, fresh),
		cmocka_unit_test_setup(masked_bits, fresh),
		cmocka_unit_test_setup(xd_disable_is_the_guests_alone, fresh),
		cmocka_unit_test_setup(cpuid_follows_the_apic, fresh),
		cmocka_unit_test_setup(what_is_refused_is_hidden, fresh),
		cmocka_unit_test_setup(leaves_of_hypervisors_are_empty, fresh),
		cmocka_unit_test_setup(levels_announce_themselves, fresh),
		cmocka_unit_test_setup(watch_notes_every_write, fresh),
		/* The last: nothing takes it back. */
		cmocka_unit_test_setup(strict_refuses_what_has_no_row, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
