/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu/smm.c with CPUs of this file, which take SMIs as the manuals say: they write a save map of Intel's or of AMD's
 * form, run the very bytes of the stub, and read SMBASE back at RSM. What lies at 0x30000 must be the same
 * afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define XMHF_X86_INSN_H /* in place of the real instructions */
#include "lib/base.h"

static u8 memory[8 << 20] __attribute__((aligned(4096)));
#define DIRECT_MAP ((u64)memory)

struct cpuid_regs { u32 eax, ebx, ecx, edx; };
static void *read_gs_self(void) { return NULL; }
static inline void cpu_pause(void) { }

#include "../../xmhf/cpu/smm.c"

#define POOL 0x400000u
#define FIRMWARE_BASE 0x100000u

/* A CPU as SMM sees it. */
struct machine_cpu {
	struct percpu percpu;
	u32 base, revision, slot; /* slot: where its save map has SMBASE */
	bool deaf, fixed;         /* takes no SMI; does not relocate */
	u32 lose_from;            /* this SMI and later ones are lost; 0: none */
	u32 smis;
};

struct acpi_info acpi_info;
u32 cpu_count;
static struct machine_cpu machine[MAX_CPUS];
static u64 next_page;
static size_t freed;
static const char *option;
static bool has_ram, bridge_locked, intercepted;
static u32 lvt[64];
static jmp_buf refused;

bool chipset_lock(void) { return bridge_locked; }
bool cmdline_is(const char *name, const char *word) { (void)name; return option && !strcmp(option, word); }
int memory_map_is_ram(u64 start, u64 end) { return start == 0x30000 && end == 0x40000 && has_ram; }
void smp_delay_us(u32 us) { (void)us; }
void msr_intercept_lvts(void) { intercepted = true; }
void log_line(enum log_level level, const char *format, ...) { (void)level, (void)format; }
enum log_level log_threshold = LOG_INFO;
void boot_refuse(const char *format, ...) { (void)format; longjmp(refused, 1); }
u32 lapic_read(u32 offset) { return offset == LAPIC_VERSION ? 6 << 16 : lvt[offset / 16]; }
void lapic_write(u32 offset, u32 value) { lvt[offset / 16] = value; }

void *pages_boot_alloc(size_t pages)
{
	void *at = memory + next_page;

	next_page += pages * PAGE_SIZE;
	return at;
}

void page_free(void *page)
{
	for (size_t i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(((u8 *)page)[i], 0);
	freed++;
}

/* ---- SMIs ---- */

static u32 *word(u32 at)
{
	assert_true(at + 4 <= sizeof(memory));
	return (u32 *)(memory + at);
}

static u32 place(const u32 *reg, u8 modrm, const u8 **code)
{
	u32 at = reg[modrm & 7];

	assert_true(modrm >> 6 < 2);
	return modrm >> 6 ? at + (u32)(signed char)*(*code)++ : at;
}

/* The instructions of the stub and no others, in real mode with operand and address prefixes. */
static void run(u32 base)
{
	const u8 *code = memory + base + 0x8000;
	u32 reg[8] = { 0 };
	bool zero = false;

	for (int steps = 0; steps < 100; steps++) {
		u8 op = *code++, modrm;

		if (op == 0x66 || op == 0x67)
			continue;
		if (op == 0x0f && *code == 0xaa)
			return;
		if (op == 0xbe) {
			memcpy(&reg[6], code, 4);
			code += 4;
			continue;
		}
		modrm = *code++;
		switch (op) {
		case 0x8b: reg[modrm >> 3 & 7] = *word(place(reg, modrm, &code)); break;
		case 0x89: *word(place(reg, modrm, &code)) = reg[modrm >> 3 & 7]; break;
		case 0x85: zero = !reg[modrm & 7]; break;
		case 0x74: code += zero ? (signed char)modrm : 0; break;
		case 0xff: assert_int_equal(modrm >> 3 & 7, 0); ++*word(place(reg, modrm, &code)); break;
		default: fail_msg("opcode 0x%x", op);
		}
	}
	fail_msg("no RSM");
}

static void take_smi(struct machine_cpu *c)
{
	u32 base = c->base;

	c->smis++;
	if (c->deaf || (c->lose_from && c->smis >= c->lose_from))
		return;
	memset(memory + base + 0xfc00, 0x5a, 0x400); /* registers */
	*word(base + 0xfef8) = 0;
	*word(base + 0xff00) = 0;
	*word(base + 0xfefc) = c->revision;
	*word(base + c->slot) = base;
	run(base);
	if (!c->fixed)
		c->base = *word(base + c->slot);
}

void lapic_send(u32 apic_id, u32 icr_low)
{
	assert_int_equal(icr_low & (ICR_MODE | ICR_VECTOR | ICR_SHORTHAND), ICR_SMI);
	for (u32 i = 0; i < cpu_count; i++)
		if (machine[i].percpu.apic_id == apic_id)
			take_smi(&machine[i]);
}

/* ---- tests ---- */

static void set_up(u32 cpus_there, u32 revision, u32 slot)
{
	memset(machine, 0, sizeof(machine));
	memset(lvt, 0, sizeof(lvt));
	memset(count, 0, sizeof(count));
	memset(memory + POOL, 0, sizeof(memory) - POOL);
	for (u32 i = 0; i < POOL; i++)
		memory[i] = (u8)(i * 7 + i / 256);
	memcpy(memory + FIRMWARE_BASE + 0x8000, "\x0f\xaa", 2);
	next_page = POOL;
	cpu_count = acpi_info.cpu_count = cpus_there;
	has_ram = bridge_locked = true;
	intercepted = false;
	option = NULL;
	saved = NULL;
	freed = 0;
	for (u32 i = 0; i < cpus_there; i++)
		machine[i] = (struct machine_cpu){ .base = 0x30000, .revision = revision, .slot = slot,
						   .percpu = { .index = i, .apic_id = 2 * i } };
}

static void probe_all(void)
{
	static u8 before[0x10000];

	memcpy(before, memory + 0x30000, sizeof(before));
	smm_init();
	for (u32 i = 0; i < cpu_count; i++)
		smm_probe(&machine[i].percpu);
	assert_memory_equal(before, memory + 0x30000, sizeof(before));
}

static bool refuses(void)
{
	if (setjmp(refused))
		return true;
	smm_finish();
	return false;
}

static void check_relocated(u32 revision, u32 slot)
{
	set_up(2, revision, slot);
	probe_all();
	for (u32 i = 0; i < 2; i++) {
		assert_true(machine[i].percpu.smm_closed);
		assert_true(machine[i].base + 0x8000 >= POOL && machine[i].base != machine[1 - i].base);
	}
	assert_int_equal(count[SMM_OURS], 2);
	assert_false(intercepted);
	option = "require";
	assert_false(refuses());
	assert_int_equal(freed, 16);
	/* SMIs of L1 afterwards: SMBASE stays, and nothing of L1's is touched. */
	static u8 before[POOL];

	memcpy(before, memory, sizeof(before));
	for (u32 i = 0, base; i < 2; i++) {
		base = machine[i].base;
		take_smi(&machine[i]);
		assert_int_equal(machine[i].base, base);
		memset(machine[i].percpu.smm_map, 0, SMM_MAP_BYTES);
	}
	/* So all that they left could be found, and wiped. */
	for (u32 at = POOL; at < sizeof(memory); at++)
		assert_int_not_equal(memory[at], 0x5a);
	assert_memory_equal(before, memory, sizeof(before));
}

static void intel_64_bit_map(void **state) { (void)state; check_relocated(0x00030101, 0xfef8); }
static void intel_32_bit_map(void **state) { (void)state; check_relocated(0x00030000, 0xfef8); }
static void amd_64_bit_map(void **state) { (void)state; check_relocated(0x00030064, 0xff00); }
static void map_of_bochs(void **state) { (void)state; check_relocated(0x00020064, 0xff00); }

static void the_firmware_has_done_it(void **state)
{
	(void)state;
	set_up(2, 0x30101, 0xfef8);
	machine[0].base = FIRMWARE_BASE;
	probe_all();
	assert_int_equal(machine[0].base, FIRMWARE_BASE);
	assert_int_equal(count[SMM_FIRMWARE], 1);
	assert_int_equal(count[SMM_OURS], 1);
	assert_true(machine[0].percpu.smm_closed && machine[1].percpu.smm_closed);
}

/* A start that refuses gives SMM back: the next must not call closed what L1 can write by then. */
static void given_back(void **state)
{
	static const u32 kinds[][2] = { { 0x30101, 0xfef8 }, { 0x30064, 0xff00 } };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		set_up(3, kinds[k][0], kinds[k][1]);
		machine[2].base = FIRMWARE_BASE;
		probe_all();
		take_smi(&machine[1]);
		for (u32 i = 0; i < 3; i++)
			smm_give_back(&machine[i].percpu);
		assert_int_equal(machine[0].base, 0x30000);
		assert_int_equal(machine[1].base, 0x30000);
		assert_int_equal(machine[2].base, FIRMWARE_BASE);
		memset(count, 0, sizeof(count));
		probe_all();
		assert_int_equal(count[SMM_OURS], 2);
		assert_int_equal(count[SMM_FIRMWARE], 1);
	}
	/* Before the probe there is nothing to give back. */
	set_up(1, 0x30101, 0xfef8);
	handlers = NULL;
	smm_give_back(&machine[0].percpu);
	assert_int_equal(machine[0].smis, 0);
}

static void check_open(void)
{
	lvt[LAPIC_LVT_THERMAL / 16] = LVT_SMI;
	lvt[LAPIC_LVT_LINT1 / 16] = 4 << 8;
	probe_all();
	assert_false(machine[0].percpu.smm_closed);
	assert_true(intercepted);
	/* What the firmware has there it has until its CPU is a guest: it may come back. */
	assert_int_equal(lvt[LAPIC_LVT_THERMAL / 16], LVT_SMI);
	smm_mask_lvts(&machine[0].percpu);
	assert_int_equal(lvt[LAPIC_LVT_THERMAL / 16], LVT_SMI | LVT_MASKED);
	assert_int_equal(lvt[LAPIC_LVT_LINT1 / 16], 4 << 8);
	assert_false(refuses());
	option = "require";
	assert_true(refuses());
}

static void what_stays_open(void **state)
{
	(void)state;
	set_up(1, 0x30101, 0xff00); /* a map of nobody's: SMBASE is not where it should be */
	check_open();
	assert_int_equal(machine[0].smis, 1);
	set_up(1, 0x30101, 0xfef8);
	machine[0].fixed = true; /* SMBASE cannot be moved: the stub runs once more */
	check_open();
	set_up(1, 0x30101, 0xfef8);
	machine[0].lose_from = 2;
	check_open();
	set_up(1, 0x30101, 0xfef8);
	machine[0].lose_from = 3; /* nothing shows that it is in its new place */
	check_open();
	set_up(1, 0x30101, 0xfef8);
	has_ram = false;
	check_open();
	assert_int_equal(machine[0].smis, 0);
}

static void off_sends_no_smi(void **state)
{
	(void)state;
	set_up(2, 0x30101, 0xfef8);
	option = "off";
	probe_all();
	assert_int_equal(machine[0].smis + machine[1].smis, 0);
	assert_true(intercepted && !machine[0].percpu.smm_closed);
}

static void require_refuses_what_is_not_known(void **state)
{
	(void)state;
	set_up(2, 0x30101, 0xfef8);
	bridge_locked = false;
	probe_all();
	option = "require";
	assert_true(refuses());
	set_up(2, 0x30101, 0xfef8);
	probe_all();
	option = "require";
	cpu_count = 1; /* the other one did not start */
	assert_true(refuses());
}

static void lvt_entries(void **state)
{
	struct percpu closed = { .smm_closed = true }, open = { .smm_closed = false };

	(void)state;
	assert_int_equal(smm_filter_lvt(&closed, LVT_SMI), LVT_SMI);
	assert_int_equal(smm_filter_lvt(&open, LVT_SMI), LVT_SMI | LVT_MASKED);
	assert_int_equal(smm_filter_lvt(&open, 0x4fe), 0x4fe); /* NMI */
	assert_int_equal(smm_filter_lvt(&open, 0x0fe), 0x0fe);
}

/* 64 CPUs in SMM at once: each writes its last KiB below SMBASE + 64 KiB, and runs code that nobody else writes to. */
static void no_two_cpus_share(void **state)
{
	static u8 owner[sizeof(memory)];

	(void)state;
	set_up(MAX_CPUS, 0x30101, 0xfef8);
	probe_all();
	memset(owner, 0, sizeof(owner));
	for (u32 i = 0; i < MAX_CPUS; i++) {
		u32 base = machine[i].base, code = base + 0x8000;

		assert_true(code >= POOL && base + 0x10000 <= POOL + (MAX_CPUS + HANDLER_TO_MAP) * PAGE_SIZE);
		for (u32 at = code; at < code + MAILBOXES + 2 * sizeof(struct smm_mailbox); at++)
			assert_int_equal(owner[at]++, 0);
		for (u32 at = base + 0xfc00; at < base + 0x10000; at++)
			assert_int_equal(owner[at]++, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intel_64_bit_map),
		cmocka_unit_test(intel_32_bit_map),
		cmocka_unit_test(amd_64_bit_map),
		cmocka_unit_test(map_of_bochs),
		cmocka_unit_test(the_firmware_has_done_it),
		cmocka_unit_test(given_back),
		cmocka_unit_test(what_stays_open),
		cmocka_unit_test(off_sends_no_smi),
		cmocka_unit_test(require_refuses_what_is_not_known),
		cmocka_unit_test(lvt_entries),
		cmocka_unit_test(no_two_cpus_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
