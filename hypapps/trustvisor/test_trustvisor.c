/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of TrustVisor on a host, against the fake core of test_fake.c. Everything goes through the descriptor's
 * handlers, as the core would call them; the tests named vuln_* repeat holes that an earlier TrustVisor had.
 */
#include "pal.h"
#include "test_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "include/trustvisor/abi.h"
#include "include/trustvisor/tpm.h"

extern const struct hypapp_descriptor hypapp_trustvisor;
int run_tpm_tests(void); /* tpm/test_tpm.c */

/* The PAL of most tests: one page each of code, data, param and stack, then ordinary pages of the caller. */
#define PAGE(n) (FAKE_BASE + (n) * 0x1000ull)
#define CODE PAGE(0)
#define DATA PAGE(1)
#define PARAM PAGE(2)
#define STACK PAGE(3)
#define ENTRY (CODE + 0x123)
#define SECTIONS PAGE(8) /* descriptors */
#define PARAMS (SECTIONS + 0x800)
#define CALLER_STACK (PAGE(9) + 0x800)
#define BUFFER PAGE(10)
#define RETURN_TO 0x408765ull
#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_I 16u

static struct tv_pal_sections sections;
static struct tv_pal_params params;
static uint64_t entry;
static uint32_t level;
static bool long_mode;

static int setup(void **state)
{
	struct hypapi_event end;

	(void)state;
	/* The hypapp's own table outlives a test: end every PAL of the one before. */
	fake.current = 0;
	for (size_t i = 0; i < FAKE_PARTITIONS; i++)
		fake.partitions[i].running = false;
	end = fake_event(HYPAPI_EV_SHUTDOWN, HYPAPI_L0);
	fake_raise(&hypapp_trustvisor, &end);
	fake_reset();
	end = fake_event(HYPAPI_EV_INIT, HYPAPI_L0);
	fake_raise(&hypapp_trustvisor, &end);
	fake.log_lines = 0;

	sections = (struct tv_pal_sections){ .num_sections = 4, .sections = {
		{ TV_SECTION_CODE, 1, CODE }, { TV_SECTION_DATA, 1, DATA },
		{ TV_SECTION_PARAM, 1, PARAM }, { TV_SECTION_STACK, 1, STACK } } };
	params = (struct tv_pal_params){ .num_params = 2, .params = {
		{ .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } };
	entry = ENTRY;
	level = HYPAPI_L1;
	long_mode = true;
	return 0;
}

/* ---- What a guest does ---- */

static enum hypapi_verdict hypercall_once(uint32_t number)
{
	struct hypapi_event ev = fake_event(HYPAPI_EV_HYPERCALL, level);

	ev.long_mode = long_mode;
	ev.args.hypercall.number = number;
	return fake_raise(&hypapp_trustvisor, &ev);
}

/* Repeated as long as it is answered so; each stop that it takes is followed by one repetition at least. */
static uint32_t hypercall(uint32_t number)
{
	enum hypapi_verdict verdict = HYPAPI_RETRY;

	for (int i = 0; i < 1000 && verdict == HYPAPI_RETRY; i++)
		verdict = hypercall_once(number);
	assert_int_equal(verdict, HYPAPI_HANDLED);
	return (uint32_t)(fake.current ? fake.pal_regs : fake.regs)[HYPAPI_REG_RAX];
}

static uint32_t register_pal(void)
{
	memcpy(fake_mem(SECTIONS), &sections, sizeof(sections));
	memcpy(fake_mem(PARAMS), &params, sizeof(params));
	fake.regs[HYPAPI_REG_RCX] = SECTIONS;
	fake.regs[HYPAPI_REG_RDX] = 0;
	fake.regs[HYPAPI_REG_RSI] = PARAMS;
	fake.regs[HYPAPI_REG_RDI] = entry;
	return hypercall(TV_CMD_REGISTER);
}

static uint32_t unregister_pal(void)
{
	fake.regs[HYPAPI_REG_RCX] = entry;
	return hypercall(TV_CMD_UNREGISTER);
}

static struct hypapi_event violation(uint64_t gva, uint32_t access)
{
	struct hypapi_event ev = fake_event(HYPAPI_EV_EPT_VIOLATION, level);
	uint32_t frame = fake.pages[(gva - FAKE_BASE) / 0x1000].frame;

	ev.long_mode = long_mode;
	ev.args.violation = (struct hypapi_violation_args){ .gva = GVA(gva), .gva_valid = true, .access = access,
		.hpa = HPA(FAKE_HPA + frame * 0x1000ull + gva % 0x1000), .owner = { fake.owner[frame] } };
	return ev;
}

/* A call instruction to `gva`, with the return address at CALLER_STACK. */
static enum hypapi_verdict call_at(uint64_t gva)
{
	struct hypapi_event ev = violation(gva, HYPAPI_X);
	uint64_t return_to = RETURN_TO;

	memcpy(fake_mem(CALLER_STACK), &return_to, long_mode ? 8 : 4);
	fake.regs[HYPAPI_REG_RSP] = CALLER_STACK;
	fake.regs[HYPAPI_REG_RIP] = gva;
	return fake_raise(&hypapp_trustvisor, &ev);
}

static enum hypapi_verdict pal_exit(uint64_t rip, uint64_t address)
{
	struct hypapi_event ev = fake_event(HYPAPI_EV_PARTITION_EXIT, level);

	fake.pal_regs[HYPAPI_REG_RIP] = rip;
	/* An instruction that begins elsewhere reads there, perhaps: no fetch. */
	ev.args.partition_exit = (struct hypapi_partition_exit_args){ .reason = HYPAPI_PEXIT_EXCEPTION, .vector = 14,
		.error_code = rip == address ? PF_U | PF_I : PF_U, .address = GVA(address) };
	return fake_raise(&hypapp_trustvisor, &ev);
}

/* The PAL executes RET. */
static enum hypapi_verdict pal_return(uint64_t result)
{
	uint64_t to = 0;

	memcpy(&to, fake_partition_mem(fake.current, fake.pal_regs[HYPAPI_REG_RSP]), long_mode ? 8 : 4);
	fake.pal_regs[HYPAPI_REG_RAX] = result;
	return pal_exit(to, to);
}

static void assert_injected(uint32_t code, uint64_t cr2)
{
	assert_int_equal(fake.injected, 14);
	assert_int_equal(fake.injected_code, code);
	assert_int_equal(fake.injected_cr2, cr2);
	fake.injected = 0;
}

/* The PAL can be called, and returns. */
static void assert_pal_works(void)
{
	fake.injected = 0;
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	assert_int_equal(fake.injected, 0);
	assert_int_not_equal(fake.current, 0);
	assert_int_equal(pal_return(0x77), HYPAPI_HANDLED);
	assert_int_equal(fake.current, 0);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], 0x77);
}

static void pointer_param(uint64_t words)
{
	params.num_params = 1;
	params.params[0] = (struct tv_pal_param){ .type = TV_PARAM_POINTER, .size = words };
}

/* ---- Registration ---- */

static void registers_and_unregisters(void **state)
{
	(void)state;
	strcpy(fake_mem(DATA), "secret");
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(fake.stops, 1);
	assert_int_equal(fake.partitions[0].count, 4);
	assert_int_equal(fake.partitions[0].pages[0].rights, HYPAPI_RX);
	for (int i = 1; i < 4; i++)
		assert_int_equal(fake.partitions[0].pages[i].rights, HYPAPI_RW);
	assert_int_equal(unregister_pal(), TV_OK);
	assert_int_equal(fake.stops, 2);
	assert_int_equal(*(char *)fake_mem(DATA), 0);
	assert_int_equal(unregister_pal(), TV_E_NO_PAL);
	assert_int_equal(fake.stops, 2);
}

static struct tv_pal_section *second = &sections.sections[1];
static struct tv_pal_param *last_param = &params.params[1];

static void bad_no_sections(void) { sections.num_sections = 0; }
static void bad_many_sections(void) { sections.num_sections = 11; }
static void bad_section_type(void) { second->type = 6; }
static void bad_section_type_zero(void) { second->type = 0; }
static void bad_no_pages(void) { second->page_num = 0; }
static void bad_page_count(void) { second->page_num = 0xffffffff; }
static void bad_page_sum(void) { *second = (struct tv_pal_section){ TV_SECTION_DATA, TV_MAX_PAGES - 2, PAGE(200) }; }
static void bad_alignment(void) { second->start_addr++; }
static void bad_wrap(void) { *second = (struct tv_pal_section){ TV_SECTION_DATA, 2, 0xfffffffffffff000 }; }
static void bad_upper_half(void) { *second = (struct tv_pal_section){ TV_SECTION_DATA, 2, 0x7ffffffff000 }; }
static void bad_null_page(void) { sections.sections[2].start_addr = 0; } /* which would count as no parameters */
static void bad_overlap(void) { sections.sections[3].start_addr = DATA; }
static void bad_entry_in_data(void) { entry = DATA + 8; }
static void bad_entry_in_shared(void) { sections.sections[0].type = TV_SECTION_SHARED_CODE; }
static void bad_entry_past_end(void) { entry = CODE + 0x1000; }
static void bad_no_stack(void) { sections.num_sections = 3; }
static void bad_no_param_section(void) { sections.sections[2].type = TV_SECTION_DATA; }
static void bad_many_params(void) { params.num_params = 11; }
static void bad_param_type(void) { last_param->type = 3; }
/* 8 + 2 * 24 + 8 * 505 = one page exactly: one word more does not fit. */
static void bad_param_room(void) { *last_param = (struct tv_pal_param){ .type = TV_PARAM_POINTER, .size = 506 }; }
static void bad_param_overflow(void) { *last_param = (struct tv_pal_param){ TV_PARAM_POINTER, 0, 1ull << 61 }; }
static void bad_code_not_executable(void) { fake.pages[0].rights = HYPAPI_RW; }
static void bad_descriptor_unmapped(void) { fake.pages[8].rights = 0; }

static void bad_requests_cost_no_stop(void **state)
{
	static const struct { const char *name; void (*spoil)(void); uint32_t result; } cases[] = {
#define CASE(name, result) { #name, name, result }
		CASE(bad_no_sections, TV_E_INVALID), CASE(bad_many_sections, TV_E_INVALID),
		CASE(bad_section_type, TV_E_INVALID), CASE(bad_section_type_zero, TV_E_INVALID),
		CASE(bad_no_pages, TV_E_INVALID), CASE(bad_page_count, TV_E_INVALID),
		CASE(bad_page_sum, TV_E_INVALID), CASE(bad_alignment, TV_E_INVALID), CASE(bad_wrap, TV_E_INVALID),
		CASE(bad_upper_half, TV_E_INVALID), CASE(bad_null_page, TV_E_INVALID), CASE(bad_overlap, TV_E_INVALID),
		CASE(bad_entry_in_data, TV_E_INVALID), CASE(bad_entry_in_shared, TV_E_INVALID),
		CASE(bad_entry_past_end, TV_E_INVALID), CASE(bad_no_stack, TV_E_INVALID),
		CASE(bad_no_param_section, TV_E_INVALID), CASE(bad_many_params, TV_E_INVALID),
		CASE(bad_param_type, TV_E_INVALID), CASE(bad_param_room, TV_E_INVALID),
		CASE(bad_param_overflow, TV_E_INVALID), CASE(bad_code_not_executable, TV_E_FAULT),
		CASE(bad_descriptor_unmapped, TV_E_FAULT),
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t result;

		setup(state);
		cases[i].spoil();
		result = register_pal();
		if (result != cases[i].result || fake.stops != 0 || fake.next_id != 1)
			fail_msg("%s: result %u, %d stops", cases[i].name, result, fake.stops);
	}
	setup(state);
	params.params[1] = (struct tv_pal_param){ .type = TV_PARAM_POINTER, .size = 505 };
	assert_int_equal(register_pal(), TV_OK);
}

/* Descriptors may end with the caller's page: no element past the count is read. */
static void descriptors_are_read_up_to_their_count(void **state)
{
	(void)state;
	params.num_params = 0;
	memcpy(fake_mem(SECTIONS), &sections, 8 + 4 * 16);
	memcpy(fake_mem(PAGE(11) - 8), &params, 8);
	fake.pages[11].rights = 0;
	fake.regs[HYPAPI_REG_RCX] = SECTIONS;
	fake.regs[HYPAPI_REG_RSI] = PAGE(11) - 8;
	fake.regs[HYPAPI_REG_RDI] = ENTRY;
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_OK);
}

/* Wherever a page ends in a descriptor, it is the same descriptor. */
static void descriptors_may_cross_pages(void **state)
{
	for (uint64_t before = 1; before < sizeof(sections); before++) {
		setup(state);
		memcpy(fake_mem(PAGE(11) - before), &sections, before);
		memcpy(fake_mem(PAGE(11)), (uint8_t *)&sections + before, sizeof(sections) - before);
		memcpy(fake_mem(PARAMS), &params, sizeof(params));
		fake.regs[HYPAPI_REG_RCX] = PAGE(11) - before;
		fake.regs[HYPAPI_REG_RSI] = PARAMS;
		fake.regs[HYPAPI_REG_RDI] = ENTRY;
		assert_int_equal(hypercall(TV_CMD_REGISTER), TV_OK);
		assert_int_equal(fake.partitions[0].count, 4);
		assert_int_equal(fake.partitions[0].pages[3].gva, STACK);
	}
}

/* A page that the caller may only read must not become writable by being named a data section. */
static void vuln_4_read_only_page_as_data(void **state)
{
	(void)state;
	fake.pages[1].rights = HYPAPI_R;
	assert_int_equal(register_pal(), TV_E_FAULT);
	assert_int_equal(fake.next_id, 1);
}

static void pages_with_two_names_are_refused(void **state)
{
	(void)state;
	fake.pages[3].frame = 1; /* stack and data: one physical page */
	assert_int_equal(register_pal(), TV_E_OWNED);
	setup(state);
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(register_pal(), TV_E_OWNED);
}

/* Right to read and execute is everybody's who maps the same file: it makes no page the caller's own. */
static void code_must_be_the_callers_to_write(void **state)
{
	(void)state;
	fake.pages[0].rights = HYPAPI_RX;
	assert_int_equal(register_pal(), TV_E_FAULT);
	assert_int_equal(fake.stops, 0);
	level = HYPAPI_L2;
	fake.cpl = 0; /* nor is L2's kernel one to trust: L1 may have merged its page with another machine's */
	assert_int_equal(register_pal(), TV_E_FAULT);
	level = HYPAPI_L1;
	fake.cpl = 1;
	assert_int_equal(register_pal(), TV_E_FAULT);
	fake.cpl = 0; /* L1's kernel: all memory is its own */
	assert_int_equal(register_pal(), TV_OK);
}

/* The same for a page that the entry point is not on. */
static void all_code_must_be_the_callers_to_write(void **state)
{
	(void)state;
	sections.sections[4] = (struct tv_pal_section){ TV_SECTION_CODE, 1, PAGE(4) };
	sections.num_sections = 5;
	fake.pages[4].rights = HYPAPI_RX;
	assert_int_equal(register_pal(), TV_E_FAULT);
	assert_int_equal(fake.next_id, 1);
	fake.pages[4].rights = HYPAPI_RWX;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(fake.partitions[0].pages[4].rights, HYPAPI_RX);
}

/*
 * Shared code is copied, from a page that the caller need not be able to write: who has it goes on with it, another PAL
 * has a copy of its own, and what becomes of the page is of no matter.
 */
static void shared_code_is_a_copy(void **state)
{
	const struct tv_pal_section own = sections.sections[0];

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		sections.num_sections = 3;
		sections.sections[0] = (struct tv_pal_section){ TV_SECTION_CODE, 1, PAGE(60 + 2 * i) };
		sections.sections[1] = (struct tv_pal_section){ TV_SECTION_SHARED_CODE, 2, PAGE(80) };
		sections.sections[2] = (struct tv_pal_section){ TV_SECTION_STACK, 1, PAGE(61 + 2 * i) };
		params.num_params = 0;
		entry = PAGE(60 + 2 * i);
		fake.pages[80].rights = HYPAPI_RX;
		*(uint32_t *)fake_mem(PAGE(80)) = 0xc0de + i;
		*(uint32_t *)fake_mem(PAGE(81)) = 0xc1de;
		fake.pages[81].rights = HYPAPI_R;
		assert_int_equal(register_pal(), TV_E_FAULT); /* what it could not execute */
		fake.pages[81].rights = HYPAPI_RWX;
		assert_int_equal(register_pal(), TV_OK);
	}
	*(uint32_t *)fake_mem(PAGE(80)) = 0xbad;
	for (uint32_t id = 1; id <= 2; id++) {
		assert_int_equal(*(uint32_t *)fake_partition_mem(id, PAGE(80)), 0xc0dd + id);
		assert_int_equal(*(uint32_t *)fake_partition_mem(id, PAGE(81)), 0xc1de);
		assert_int_equal(fake.partitions[id - 1].pages[2].rights, HYPAPI_RX);
	}
	assert_int_equal(fake.owner[80], 0);
	sections.sections[0] = own;
}

/* There are 16 pages of it, which count with those of shared ranges, and come back. */
static void shared_code_is_limited(void **state)
{
	(void)state;
	sections.sections[4] = (struct tv_pal_section){ TV_SECTION_SHARED_CODE, 17, PAGE(80) };
	sections.num_sections = 5;
	assert_int_equal(register_pal(), TV_E_INVALID);
	sections.sections[4].page_num = 16;
	for (int round = 0; round < 4; round++) { /* 48 pages are L1's processes' */
		assert_int_equal(register_pal(), TV_OK);
		assert_int_equal(unregister_pal(), TV_OK);
	}
	fake.memory_answer = HYPAPI_ENOMEM;
	for (int round = 0; round < 4; round++)
		assert_int_equal(register_pal(), TV_E_NO_ROOM);
	fake.memory_answer = HYPAPI_OK;
	assert_int_equal(fake.owner[0], 0);
	assert_int_equal(register_pal(), TV_OK);
}

static void other_thread_shares_the_code(void)
{
	fake.pages[0].rights = HYPAPI_RX;
}

/* What was writable before the stop counts for nothing. */
static void code_must_be_writable_under_the_stop(void **state)
{
	for (uint32_t i = 0; i < 3; i++) {
		setup(state);
		level = i ? HYPAPI_L2 : HYPAPI_L1;
		fake.cpl = i == 2 ? 0 : 3;
		fake.on_quiesce = other_thread_shares_the_code;
		assert_int_equal(register_pal(), TV_E_FAULT);
		assert_int_equal(fake.stops, 1);
		assert_int_equal(fake.next_id, 1);
	}
}

static void other_thread_moves_the_code(void)
{
	fake.pages[0].frame = 20;
}

static void other_thread_moves_the_stack(void)
{
	fake.pages[3].frame++;
}

/* Page tables change without a stop, so what is recorded is what was so under it. */
static void records_what_is_so_under_the_stop(void **state)
{
	static void (*const moves[])(void) = { other_thread_moves_the_code, other_thread_moves_the_stack };

	for (size_t i = 0; i < 2; i++) {
		setup(state);
		fake.pages[3].frame = 30;
		fake.on_quiesce = moves[i];
		assert_int_equal(register_pal(), TV_OK);
		fake.on_quiesce = NULL;
		assert_pal_works();
		assert_int_equal(unregister_pal(), TV_OK);
		assert_int_equal(register_pal(), TV_OK);
		fake.on_quiesce = other_thread_moves_the_stack;
		assert_int_equal(unregister_pal(), TV_E_NO_PAL);
	}
}

static void other_cpu_takes_the_code(void)
{
	fake.owner[0] = 99;
}

/* Another CPU's stop was served first: what was checked before it is checked again. */
static void checks_again_after_a_foreign_stop(void **state)
{
	(void)state;
	fake.quiesce_answer = 1;
	fake.on_quiesce = other_cpu_takes_the_code;
	assert_int_equal(register_pal(), TV_E_OWNED);
	assert_int_equal(fake.next_id, 1);
	fake.owner[0] = 0;
	fake.on_quiesce = NULL;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(unregister_pal(), TV_OK);
}

static void boot(void)
{
	struct hypapi_event ev = fake_event(HYPAPI_EV_INIT, HYPAPI_L0);

	fake_raise(&hypapp_trustvisor, &ev);
}

/* The i-th of many PALs of two pages; around the caller's own pages. */
static uint32_t register_small(uint32_t i)
{
	uint64_t code = i < 4 ? PAGE(2 * i) : PAGE(2 * i + 12);

	params.num_params = 0;
	sections.num_sections = 2;
	sections.sections[0].start_addr = entry = code;
	sections.sections[1] = (struct tv_pal_section){ TV_SECTION_STACK, 1, code + 0x1000 };
	return register_pal();
}

/* Processes and L2 come to the end of their shares, and leave 16 of 64 to the kernel. No refusal stops the CPUs. */
static void table_full(void **state)
{
	static const struct { uint32_t level; uint8_t cpl; uint32_t pals; } callers[] = {
		{ HYPAPI_L1, 3, 24 }, { HYPAPI_L2, 0, 12 }, { HYPAPI_L2, 0, 12 }, { HYPAPI_L1, 0, 16 },
	};
	uint32_t i = 0;

	(void)state;
	for (size_t c = 0; c < sizeof(callers) / sizeof(callers[0]); c++) {
		level = callers[c].level;
		fake.cpl = callers[c].cpl;
		fake.eptp12 = fake.vmcs12 = c * 0x1000; /* two machines, which have a half of L2's share each */
		for (uint32_t n = 0; n < callers[c].pals; n++)
			assert_int_equal(register_small(i++), TV_OK);
		assert_int_equal(register_small(i), TV_E_NO_ROOM);
	}
	assert_int_equal(i, 64);
	assert_int_equal(fake.stops, 64);
	entry = PAGE(0);
	fake.cpl = 3;
	assert_int_equal(unregister_pal(), TV_OK);
	assert_int_equal(register_small(0), TV_OK);
	assert_int_equal(register_small(i), TV_E_NO_ROOM);
	level = HYPAPI_L2; /* at another privilege level: the same share */
	assert_int_equal(register_small(i), TV_E_NO_ROOM);
}

/* Registers small PALs until there is no more room, and no more than `most` of them. */
static uint32_t fill_up(uint32_t *next, uint64_t eptp12, uint64_t vmcs12, uint32_t most)
{
	uint32_t count = 0;

	fake.eptp12 = eptp12 * 0x1000;
	fake.vmcs12 = vmcs12 * 0x1000;
	while (count < most && register_small(*next) == TV_OK)
		*next += 1, count++;
	return count;
}

/* Of 64 PALs L2 has 32, and each machine 8. A machine is known by EPTP12 and by its virtual CPUs. */
static void each_machine_has_a_share(void **state)
{
	uint32_t next = 0;

	(void)state;
	fake.l2 = "share=50,12";
	boot();
	level = HYPAPI_L2;
	assert_int_equal(fill_up(&next, 0, 0, 5), 5);
	assert_int_equal(fill_up(&next, 0, 1, 99), 3); /* another virtual CPU of it */
	assert_int_equal(fill_up(&next, 1, 1, 99), 0); /* which has a new EPTP12: all has gone over */
	assert_int_equal(fill_up(&next, 1, 2, 99), 0); /* so that a third one has nothing either */
	assert_int_equal(fill_up(&next, 1, 0, 99), 0);
	assert_int_equal(fill_up(&next, 0x200, 0x200, 99), 8); /* another machine */
	assert_int_equal(fill_up(&next, 0x201, 0x201, 99), 8);
	fake.no_ept12 = true; /* by itself, whatever runs beside it */
	assert_int_equal(fill_up(&next, 0, 0x300, 7), 7);
	assert_int_equal(fill_up(&next, 0, 0x301, 99), 1); /* L2 has no more */
	fake.no_ept12 = false;
	entry = PAGE(0);
	fake.vmcs12 = 0;
	assert_int_equal(unregister_pal(), TV_OK);
	assert_int_equal(fill_up(&next, 1, 5, 99), 1); /* who gives one back gets one again */
}

/* Another virtual CPU of the machine comes with a third EPTP12, while the first comes with a second one. */
static void second_cpu_renames(void)
{
	static uint8_t storage[HYPAPI_MAX_CPU_BYTES];
	static struct fake before;
	struct hypapi_event ev = fake_event(HYPAPI_EV_HYPERCALL, level);
	uint32_t next = 30;

	before = fake;
	memcpy(storage, hypapi_cpu_storage(&ev, 0), sizeof(storage));
	assert_int_equal(fill_up(&next, 3, 1, 99), 0);
	memcpy(hypapi_cpu_storage(&ev, 0), storage, sizeof(storage));
	fake = before;
}

/* Both names at once must not part it: nothing is found in the table before this CPU's turn. */
static void two_cpus_rename_a_machine(void **state)
{
	uint32_t next = 0;

	(void)state;
	fake.l2 = "share=50,12";
	boot();
	level = HYPAPI_L2;
	assert_int_equal(fill_up(&next, 0, 0, 4), 4);
	assert_int_equal(fill_up(&next, 0, 1, 4), 4);
	fake.on_lock = second_cpu_renames;
	assert_int_equal(fill_up(&next, 2, 0, 99), 0);
	assert_null(fake.on_lock);
	assert_int_equal(fake.stops, 8);
	assert_int_equal(fill_up(&next, 2, 2, 99), 0);
	assert_int_equal(fill_up(&next, 3, 3, 99), 8); /* nothing of the machine is known by that name */
}

static void each_machine_has_pages(void **state)
{
	(void)state;
	fake.share_user = "9,9";
	fake.l2 = "share=2,1"; /* of 64 times 256 pages: 327 and 163; PALs: one */
	boot();
	level = HYPAPI_L2;
	sections.sections[1].page_num = 163;
	sections.sections[1].start_addr = 0x40000000; /* its pages are not looked at */
	assert_int_equal(register_pal(), TV_E_NO_ROOM);
	sections.sections[1].page_num = 100;
	assert_int_not_equal(register_pal(), TV_E_NO_ROOM);
}

static void shares_count_pages(void **state)
{
	struct hypapi_event ev;

	(void)state;
	fake.share_user = "9,5";
	boot();
	assert_int_equal(register_pal(), TV_OK); /* four pages */
	assert_int_equal(register_small(4), TV_E_NO_ROOM);
	fake.cpl = 0;
	assert_int_equal(register_small(4), TV_OK);
	fake.cpl = 3;
	ev = violation(DATA, HYPAPI_W); /* a PAL that is destroyed gives back what it had */
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
	assert_int_equal(register_small(5), TV_OK);
	assert_int_equal(register_small(6), TV_OK);
	assert_int_equal(register_small(7), TV_E_NO_ROOM);
}

static void a_wrong_share_allows_nothing(void **state)
{
	static const char *const wrong[] = { "", "5", "5,", ",5", "5,5,", "5;5", "all", "-1,5", "5,x", "5, 5" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		fake.share_user = wrong[i];
		boot();
		assert_int_equal(register_small((uint32_t)i), TV_E_NO_ROOM);
		fake.cpl = 0;
		assert_int_equal(register_small((uint32_t)i), TV_OK);
		fake.cpl = 3;
	}
}

static void doom_page_twice(void) { fake.pages[3].frame = 1; }
static void doom_code_twice(void) { fake.pages[2].frame = 0; }
static void doom_data_unmapped(void) { fake.pages[1].rights = 0; }
static void doom_stack_read_only(void) { fake.pages[3].rights = HYPAPI_R; }
static void doom_data_owned(void) { fake.owner[1] = 77; }
static void doom_second_code_page(void)
{
	sections.sections[0].page_num = 2;
	sections.sections[1].start_addr = PAGE(12);
	fake.pages[1].rights = HYPAPI_RX;
}

/* Registrations that always fail do not stop the CPUs as often as one likes: one stop, and then none. */
static void doomed_registrations_cost_one_stop(void **state)
{
	static void (*const doom[])(void) = { doom_page_twice, doom_code_twice, doom_data_unmapped,
					      doom_stack_read_only,
					      doom_data_owned, doom_second_code_page };

	for (size_t i = 0; i < 2 * sizeof(doom) / sizeof(doom[0]); i++) {
		setup(state);
		level = i % 2 ? HYPAPI_L2 : HYPAPI_L1;
		doom[i / 2]();
		for (int n = 0; n < 10; n++)
			if (register_pal() == TV_OK || fake.stops > 1)
				fail_msg("doomed registration %zu: %d stops", i / 2, fake.stops);
	}
}

/* At most one failure under the stop for 64 successes; the kernel's count for nothing. */
static void wary_for_a_while(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		fake.next_id = 1;
		doom_page_twice();
		assert_int_equal(register_pal(), TV_E_OWNED);
		fake.pages[3].frame = 3;
		for (int i = 0; i < 64; i++) {
			int stops = fake.stops;

			doom_page_twice();
			assert_int_equal(register_pal(), TV_E_OWNED);
			assert_int_equal(fake.stops, stops);
			fake.pages[3].frame = 3;
			fake.cpl = 0;
			assert_int_equal(register_pal(), TV_OK);
			assert_int_equal(unregister_pal(), TV_OK);
			fake.cpl = 3;
			assert_int_equal(register_pal(), TV_OK);
			assert_int_equal(unregister_pal(), TV_OK);
			fake.next_id = 1;
		}
		assert_int_equal(fake.stops, (round + 1) * (1 + 64 * 4));
	}
}

/* L1 maps pages of its L2 when it has to: descriptors and the PAL, and what a call reads and writes. */
static void l1_maps_what_l2_registers_and_calls_with(void **state)
{
	static const uint64_t of_registration[] = { SECTIONS, CODE, DATA, STACK }, of_call[] = { CALLER_STACK, BUFFER };

	(void)state;
	level = HYPAPI_L2;
	pointer_param(2);
	for (size_t i = 0; i < 4; i++)
		fake.missing[(of_registration[i] - FAKE_BASE) / 0x1000] = true;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(fake.paged_in, 4);
	assert_int_equal(fake.stops, 2); /* the first one found that data or stack are missing */
	fake.regs[HYPAPI_REG_RDI] = BUFFER;
	for (size_t i = 0; i < 2; i++) {
		fake.missing[(of_call[i] - FAKE_BASE) / 0x1000] = true;
		assert_int_equal(call_at(ENTRY), HYPAPI_RETRY);
		assert_int_equal(fake.current | fake.injected, 0);
	}
	assert_int_equal(fake.paged_in, 6);
	assert_pal_works();
	/* Its own page tables are the program's affair: an error, no fault. */
	assert_int_equal(unregister_pal(), TV_OK);
	fake.pages[1].rights = 0;
	assert_int_equal(register_pal(), TV_E_FAULT);
	assert_int_equal(fake.injected, 0);
}

/* L1 takes the page by which the callers are known, and gives it back: the PAL is there still. */
static void l1_takes_the_home_page_for_a_while(void **state)
{
	(void)state;
	level = HYPAPI_L2;
	assert_int_equal(register_pal(), TV_OK);
	fake.missing[(STACK - FAKE_BASE) / 0x1000] = true;
	assert_int_equal(call_at(ENTRY), HYPAPI_RETRY);
	assert_int_equal(fake.paged_in, 1);
	assert_int_equal(fake.current | fake.injected, 0);
	assert_pal_works();
	assert_int_equal(unregister_pal(), TV_OK);
}

static void home_is_mapped(void)
{
	fake.missing[(STACK - FAKE_BASE) / 0x1000] = false;
}

/* It is given back between the look that misses it and the question why: the call comes again, and finds its PAL. */
static void l1_gives_the_home_page_back_meanwhile(void **state)
{
	(void)state;
	level = HYPAPI_L2;
	assert_int_equal(register_pal(), TV_OK);
	fake.missing[(STACK - FAKE_BASE) / 0x1000] = true;
	fake.on_not_home = home_is_mapped;
	assert_int_equal(call_at(ENTRY), HYPAPI_RETRY);
	fake.on_not_home = NULL;
	assert_int_equal(fake.current | fake.injected | fake.paged_in, 0);
	assert_pal_works();
	assert_int_equal(unregister_pal(), TV_OK);
}

/* The call has run: it ends when L1 has given the buffer back, and runs no second time. */
static void l1_takes_a_buffer_during_a_call(void **state)
{
	uint64_t word = 77;

	(void)state;
	level = HYPAPI_L2;
	pointer_param(2);
	assert_int_equal(register_pal(), TV_OK);
	fake.regs[HYPAPI_REG_RDI] = BUFFER;
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_true(fake.current != 0);
	memcpy(fake_partition_mem(fake.current, fake.pal_regs[HYPAPI_REG_RDI]), &word, sizeof(word));
	fake.missing[(BUFFER - FAKE_BASE) / 0x1000] = true;
	assert_int_equal(pal_return(5), HYPAPI_HANDLED);
	assert_int_equal(fake.current | fake.injected | fake.paged_in, 0);
	assert_int_equal(fake.regs[HYPAPI_REG_RIP], ENTRY);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_int_equal(fake.regs[HYPAPI_REG_RIP], ENTRY);
	assert_int_equal(fake.paged_in, 1);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_int_equal(fake.current | fake.injected, 0);
	assert_int_equal(fake.regs[HYPAPI_REG_RIP], RETURN_TO);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], 5);
	assert_memory_equal(fake_mem(BUFFER), &word, sizeof(word));
	fake.regs[HYPAPI_REG_RDI] = BUFFER;
	assert_pal_works();
}

/*
 * A signal handler that calls the PAL while the call of its thread waits: nobody would go on with that, so it gets a
 * fault. One line for each PAL says so. Another thread waits.
 */
static void a_thread_does_not_wait_for_itself(void **state)
{
	static const enum hypapi_reg bases[] = { HYPAPI_REG_FS_BASE, HYPAPI_REG_GS_BASE };

	(void)state;
	level = HYPAPI_L2;
	pointer_param(2);
	assert_int_equal(register_pal(), TV_OK);
	for (size_t i = 0; i < 2; i++) {
		fake.regs[HYPAPI_REG_FS_BASE] = fake.regs[HYPAPI_REG_GS_BASE] = 0;
		fake.regs[bases[i]] = 0x7000;
		fake.regs[HYPAPI_REG_RDI] = BUFFER;
		assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
		fake.missing[(BUFFER - FAKE_BASE) / 0x1000] = true;
		assert_int_equal(pal_return(5), HYPAPI_HANDLED);

		struct hypapi_event ev = violation(ENTRY, HYPAPI_X);

		fake.regs[HYPAPI_REG_RSP] -= 0x80;
		fake.regs[bases[i]] = 0x8000;
		assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
		assert_int_equal(fake.injected, 0);
		fake.regs[bases[i]] = 0; /* no thread that can be told from others */
		assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
		fake.regs[bases[i]] = 0x7000;
		fake.log_lines = 0;
		for (int j = 0; j < 3; j++) {
			assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
			assert_injected(PF_P | PF_I | PF_U, ENTRY);
		}
		assert_int_equal(fake.log_lines, i == 0 ? 1 : 0);
		fake.regs[HYPAPI_REG_RSP] += 0x80;
		for (int j = 0; j < 2; j++)
			assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
		assert_int_equal(fake.regs[HYPAPI_REG_RAX], 5);
		assert_int_equal(fake.regs[HYPAPI_REG_RIP], RETURN_TO);
		fake.injected = 0;
	}
}

static void unregister_of_a_running_pal_costs_no_stop(void **state)
{
	uint64_t running;

	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	running = fake.current;
	fake.current = 0;
	assert_int_equal(unregister_pal(), TV_E_BUSY);
	assert_int_equal(fake.stops, 1);
	fake.current = running;
	assert_int_equal(pal_return(0), HYPAPI_HANDLED);
}

static void repeats(uint32_t command)
{
	struct hypapi_event ev = fake_event(HYPAPI_EV_HYPERCALL, level);
	int stops = fake.stops;

	ev.args.hypercall.number = command;
	fake.regs[HYPAPI_REG_RAX] = 0x1234;
	fake.refusals = 3;
	for (int i = 0; i < 3; i++)
		assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], 0x1234);
	assert_int_equal(fake.stops, stops);
	assert_int_equal(hypercall(command), TV_OK);
	assert_int_equal(fake.stops, stops + 1);
}

/* Without budget the instruction is executed again, and nothing has happened. */
static void an_empty_budget_repeats(void **state)
{
	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(unregister_pal(), TV_OK);
	fake.regs[HYPAPI_REG_RCX] = SECTIONS; /* the others are still those of register_pal() */
	repeats(TV_CMD_REGISTER);
	fake.regs[HYPAPI_REG_RCX] = entry;
	repeats(TV_CMD_UNREGISTER);
}

/* The pages are taken at once; the answer comes when they are measured, and until then there is nothing to call. */
static void begin_registration(void)
{
	long_mode = true;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(unregister_pal(), TV_OK);
	fake.regs[HYPAPI_REG_RCX] = SECTIONS; /* the others are still those of register_pal() */
	for (int i = 0; i < 2; i++)
		assert_int_equal(hypercall_once(TV_CMD_REGISTER), HYPAPI_RETRY);
	assert_int_equal(fake.stops, 3);
	assert_int_not_equal(fake.owner[0], 0);
}

static void registration_is_repeated_until_measured(void **state)
{
	(void)state;
	begin_registration();
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_U | PF_I, ENTRY);
	memset(fake_mem(SECTIONS), 0, sizeof(sections)); /* what it said is not read again */
	fake.pages[4].rights = 0;
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_OK);
	fake.pages[4].rights = HYPAPI_RWX;
	assert_int_equal(fake.stops, 3);
	assert_int_equal(register_pal(), TV_E_OWNED);
	assert_pal_works();
}

/* Whoever is not the caller, or asks for something else, does not go on with it, nor is told that it is there. */
static void another_request_is_not_a_repetition(void **state)
{
	static const enum hypapi_reg regs[] = { HYPAPI_REG_RCX, HYPAPI_REG_RDX, HYPAPI_REG_RSI, HYPAPI_REG_RDI };

	(void)state;
	begin_registration();
	memset(fake_mem(PAGE(11)), 0, sizeof(struct tv_pal_options));
	memcpy(fake_mem(PAGE(12)), &sections, sizeof(sections));
	memcpy(fake_mem(PAGE(13)), &params, sizeof(params));
	for (size_t i = 0; i < 4; i++) {
		const uint64_t others[] = { PAGE(12), PAGE(11), PAGE(13), ENTRY + 1 };
		uint64_t before = fake.regs[regs[i]];

		fake.regs[regs[i]] = others[i];
		for (int j = 0; j < 3; j++)
			assert_int_equal(hypercall(TV_CMD_REGISTER), TV_E_OWNED);
		fake.regs[regs[i]] = before;
	}
	level = HYPAPI_L2;
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_E_OWNED);
	level = HYPAPI_L1;
	fake.cpl = 0;
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_E_OWNED);
	fake.cpl = 3;
	fake.pages[3].frame = 20; /* another process */
	fake.regs[HYPAPI_REG_CR3] += 0x8000;
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_E_OWNED);
	fake.regs[HYPAPI_REG_CR3] -= 0x8000;
	fake.pages[3].frame = 3;
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_OK);
	assert_pal_works();
}

/* L1 takes the page by which the caller is known: it maps it again, and the registration goes on. */
static void l1_takes_the_home_page_of_a_registration(void **state)
{
	(void)state;
	level = HYPAPI_L2;
	begin_registration();
	fake.missing[(STACK - FAKE_BASE) / 0x1000] = true;
	assert_int_equal(hypercall_once(TV_CMD_REGISTER), HYPAPI_RETRY);
	assert_int_equal(fake.paged_in, 1);
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_OK);
	assert_int_equal(fake.stops, 3);
	assert_pal_works();
}

/* Another page is there for good: the registration fails, and nothing is left of it. */
static void a_registration_loses_its_home(void **state)
{
	(void)state;
	for (uint32_t at = HYPAPI_L1; at <= HYPAPI_L2; at++) {
		level = at;
		fake.stops = 0;
		begin_registration();
		fake.pages[3].frame = 20;
		fake.vmcs12 = 0x100; /* another virtual CPU of the same machine */
		assert_int_equal(hypercall_once(TV_CMD_REGISTER), HYPAPI_HANDLED);
		assert_int_equal(fake.regs[HYPAPI_REG_RAX], TV_E_FAULT);
		for (uint32_t i = 0; i < FAKE_PAGES; i++)
			assert_int_equal(fake.owner[i], 0);
		fake.pages[3].frame = 3;
		assert_int_equal(register_pal(), TV_OK);
		assert_pal_works();
		assert_int_equal(unregister_pal(), TV_OK);
	}
}

/* A process of another virtual machine that has the same numbers does not end it. */
static void a_registration_is_its_machines(void **state)
{
	(void)state;
	level = HYPAPI_L2;
	begin_registration();
	fake.pages[3].frame = 20;
	fake.eptp12 = 0x5000;
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_E_OWNED);
	fake.pages[3].frame = 3;
	fake.eptp12 = 0;
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_OK);
	assert_pal_works();
}

/* Nor does another process whose page tables lie beside those of the first. */
static void a_registration_is_its_process(void **state)
{
	static const struct { uint64_t efer, apart; } beside[] = { { 1 << 10, 0x1000 }, { 0, 0x20 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		fake.regs[HYPAPI_REG_EFER] = beside[i].efer;
		fake.stops = 0;
		begin_registration();
		fake.pages[3].frame = 20;
		fake.regs[HYPAPI_REG_CR3] ^= beside[i].apart;
		assert_int_equal(hypercall(TV_CMD_REGISTER), TV_E_OWNED);
		fake.pages[3].frame = 3;
		fake.regs[HYPAPI_REG_CR3] ^= beside[i].apart;
		assert_int_equal(hypercall(TV_CMD_REGISTER), TV_OK);
		assert_pal_works();
		assert_int_equal(unregister_pal(), TV_OK);
	}
}

/* Nobody comes back: it goes as any PAL, and nothing of it is left for the next one with the same request. */
static void a_registration_given_up(void **state)
{
	struct hypapi_event ev;

	(void)state;
	begin_registration();
	assert_int_equal(unregister_pal(), TV_OK);
	assert_int_equal(fake.owner[0], 0);
	assert_int_equal(register_pal(), TV_OK);
	assert_pal_works();
	assert_int_equal(unregister_pal(), TV_OK);
	for (uint32_t way = 0; way < 2; way++) {
		fake.stops = 0;
		begin_registration();
		fake.pages[3].frame = 20; /* the process is dead, another one has its pages */
		ev = violation(CODE, way ? HYPAPI_X : HYPAPI_W);
		assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
		assert_int_equal(fake.owner[0], 0);
		fake.pages[3].frame = 3;
	}
	assert_int_equal(register_pal(), TV_OK);
	assert_pal_works();
}

/*
 * It may be in the middle of the delivery of an interrupt, which holds all others back; and the registration has
 * waited.
 */
static void a_destruction_does_not_wait(void **state)
{
	static const uint32_t access[] = { HYPAPI_W, HYPAPI_X };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct hypapi_event ev;

		assert_int_equal(register_pal(), TV_OK);
		fake.pages[3].frame = 20; /* another address space, which fetches or writes */
		fake.refusals = 1000;
		ev = violation(CODE, access[i]);
		assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
		assert_int_equal(fake.owner[0], 0);
		fake.refusals = 0;
		fake.pages[3].frame = 3;
	}
}

static void unregister_knows_the_whole_identity(void **state)
{
	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	entry = ENTRY + 1;
	assert_int_equal(unregister_pal(), TV_E_NO_PAL);
	entry = ENTRY;
	level = HYPAPI_L2;
	assert_int_equal(unregister_pal(), TV_E_NO_PAL);
	level = HYPAPI_L1;
	fake.pages[3].frame = 20; /* another process */
	assert_int_equal(unregister_pal(), TV_E_NO_PAL);
	fake.pages[3] = (struct fake_page){ .frame = 3 };
	assert_int_equal(unregister_pal(), TV_E_NO_PAL);
	assert_int_equal(fake.stops, 1);
	fake.pages[3].rights = HYPAPI_R;
	assert_int_equal(unregister_pal(), TV_OK);
}

/* ---- Calls ---- */

static void passes_integers_and_hides_registers(void **state)
{
	uint64_t sp;

	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	for (int i = 0; i < 16; i++)
		fake.regs[i] = 0xabc00 + (uint64_t)i;
	fake.regs[HYPAPI_REG_RDI] = 40;
	fake.regs[HYPAPI_REG_RSI] = 0xfffffffffffffffe;
	fake.stops = 0;
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	sp = fake.pal_regs[HYPAPI_REG_RSP];
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RIP], ENTRY);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RDI], 40);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RSI], 0xfffffffffffffffe);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RBX], 0);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_R15], 0);
	assert_int_equal((sp + 8) % 16, 0);
	assert_true(sp >= STACK && sp + 8 <= STACK + 0x1000);

	fake.pal_regs[HYPAPI_REG_RCX] = 0x5ec7e7; /* vuln 6: what a PAL leaves in registers */
	assert_int_equal(pal_return(38), HYPAPI_HANDLED);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], 38);
	assert_int_equal(fake.regs[HYPAPI_REG_RIP], RETURN_TO);
	assert_int_equal(fake.regs[HYPAPI_REG_RSP], CALLER_STACK + 8);
	assert_int_equal(fake.regs[HYPAPI_REG_RCX] | fake.regs[HYPAPI_REG_RDX] | fake.regs[HYPAPI_REG_RSI] |
			 fake.regs[HYPAPI_REG_RDI] | fake.regs[HYPAPI_REG_R8] | fake.regs[HYPAPI_REG_R9] |
			 fake.regs[HYPAPI_REG_R10] | fake.regs[HYPAPI_REG_R11], 0);
	assert_int_equal(fake.regs[HYPAPI_REG_RBX], 0xabc00 + HYPAPI_REG_RBX);
	assert_int_equal(fake.regs[HYPAPI_REG_RBP], 0xabc00 + HYPAPI_REG_RBP);
	assert_int_equal(fake.regs[HYPAPI_REG_R12], 0xabc00 + HYPAPI_REG_R12);
	assert_int_equal(fake.stops, 0);
}

static void passes_eight_integers(void **state)
{
	static const uint64_t on_stack[2] = { 0x1111111111111111, 0x2222222222222222 };
	uint64_t sp;

	(void)state;
	params.num_params = 8;
	for (int i = 0; i < 8; i++)
		params.params[i].type = TV_PARAM_INTEGER;
	assert_int_equal(register_pal(), TV_OK);
	memcpy(fake_mem(CALLER_STACK + 8), on_stack, sizeof(on_stack));
	fake.regs[HYPAPI_REG_R9] = 6;
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	sp = fake.pal_regs[HYPAPI_REG_RSP];
	assert_int_equal(fake.pal_regs[HYPAPI_REG_R9], 6);
	assert_int_equal((sp + 8) % 16, 0);
	assert_memory_equal(fake_partition_mem(fake.current, sp + 8), on_stack, sizeof(on_stack));
	pal_return(0);
}

/* The layout of the param section, byte by byte, and the way back. */
static void copies_pointed_words_in_and_out(void **state)
{
	uint64_t expected[9] = { 2, TV_PARAM_POINTER, 16, BUFFER + 0xff8, 0x1122334455667788, 0x99aabbccddeeff00,
				 TV_PARAM_INTEGER, 8, 5 };
	uint64_t *copy;

	(void)state;
	params.params[1] = (struct tv_pal_param){ .type = TV_PARAM_POINTER, .size = 2 };
	assert_int_equal(register_pal(), TV_OK);
	memcpy(fake_mem(BUFFER + 0xff8), &expected[4], 8); /* crosses a page */
	memcpy(fake_mem(BUFFER + 0x1000), &expected[5], 8);
	fake.regs[HYPAPI_REG_RDI] = 5;
	fake.regs[HYPAPI_REG_RSI] = BUFFER + 0xff8;
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_memory_equal(fake_partition_mem(fake.current, PARAM), expected, sizeof(expected));
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RSI], PARAM + 4 * 8);

	copy = fake_partition_mem(fake.current, PARAM);
	copy[3] = CALLER_STACK; /* a PAL that edits its copy of the pointer must not redirect the copying */
	copy[2] = 0x1000;
	copy[4] = 1;
	copy[5] = 2;
	assert_int_equal(pal_return(0), HYPAPI_HANDLED);
	assert_int_equal(*(uint64_t *)fake_mem(BUFFER + 0xff8), 1);
	assert_int_equal(*(uint64_t *)fake_mem(BUFFER + 0x1000), 2);
	assert_int_equal(*(uint64_t *)fake_mem(CALLER_STACK), RETURN_TO);
	assert_int_equal(*(uint64_t *)fake_mem(BUFFER + 0x1008), 0);
}

/* More than the copying buffer holds, at an odd address. */
static void copies_large_buffers(void **state)
{
	uint8_t *bytes;

	(void)state;
	pointer_param(400);
	assert_int_equal(register_pal(), TV_OK);
	for (uint64_t i = 0; i < 3200; i++)
		*(uint8_t *)fake_mem(BUFFER + 0x801 + i) = (uint8_t)(i * 7);
	fake.regs[HYPAPI_REG_RDI] = BUFFER + 0x801;
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	bytes = fake_partition_mem(fake.current, fake.pal_regs[HYPAPI_REG_RDI]);
	for (uint64_t i = 0; i < 3200; i++) {
		assert_int_equal(bytes[i], (uint8_t)(i * 7));
		bytes[i]++;
	}
	pal_return(0);
	for (uint64_t i = 0; i < 3200; i++)
		assert_int_equal(*(uint8_t *)fake_mem(BUFFER + 0x801 + i), (uint8_t)(i * 7 + 1));
}

static void unwritable_pointer_faults_as_its_own_access(void **state)
{
	(void)state;
	pointer_param(1000 / 8);
	assert_int_equal(register_pal(), TV_OK);
	fake.regs[HYPAPI_REG_RDI] = BUFFER + 0xff8;
	fake.pages[11].rights = HYPAPI_R; /* shared for copy on write */
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_W | PF_U, BUFFER + 0x1000);
	fake.pages[11].rights = 0; /* not there */
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_injected(PF_W | PF_U, BUFFER + 0x1000);
	assert_int_equal(fake.regs[HYPAPI_REG_RIP], ENTRY);
	fake.pages[11].rights = HYPAPI_RW; /* mended */
	assert_pal_works();
}

static void hopeless_pointers_are_refused_at_the_entry(void **state)
{
	static const uint64_t pointers[] = { DATA, 0xfffffffffffffff8, 0x7ffffffffff8, 0x800000000000 };

	(void)state;
	pointer_param(2);
	assert_int_equal(register_pal(), TV_OK);
	for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		fake.regs[HYPAPI_REG_RDI] = pointers[i];
		assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
		assert_injected(PF_P | PF_U | PF_I, ENTRY);
	}
	fake.regs[HYPAPI_REG_RDI] = BUFFER;
	assert_pal_works();
}

static void copy_back_failure_leaves_a_ready_pal(void **state)
{
	(void)state;
	pointer_param(1);
	assert_int_equal(register_pal(), TV_OK);
	fake.regs[HYPAPI_REG_RDI] = BUFFER;
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	fake.pages[10].rights = HYPAPI_R; /* by another CPU, meanwhile */
	assert_int_equal(pal_return(1), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_U | PF_I, ENTRY);
	assert_int_equal(fake.current, 0);
	assert_int_equal(fake.regs[HYPAPI_REG_RIP], ENTRY);
	assert_int_equal(fake.regs[HYPAPI_REG_RSP], CALLER_STACK);
	fake.pages[10].rights = HYPAPI_RW;
	assert_pal_works();
}

static void assert_refused_at(uint64_t gva)
{
	assert_int_equal(call_at(gva), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_U | PF_I, gva);
}

static void only_the_entry_point_enters(void **state)
{
	struct hypapi_event ev;

	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	assert_refused_at(ENTRY + 1);
	assert_refused_at(CODE);
	assert_refused_at(DATA);
	level = HYPAPI_L2;
	assert_refused_at(ENTRY);
	level = HYPAPI_L1;
	long_mode = false;
	assert_refused_at(ENTRY);
	long_mode = true;
	fake.regs[HYPAPI_REG_RFLAGS] = 2; /* interrupts disabled */
	assert_refused_at(ENTRY);
	fake.regs[HYPAPI_REG_RFLAGS] = 0x202;

	ev = violation(ENTRY, HYPAPI_X);
	ev.cpl = 0;
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_I, ENTRY);
	ev = violation(ENTRY, HYPAPI_X);
	fake.regs[HYPAPI_REG_RIP] = ENTRY - 2; /* an instruction that reaches into the page */
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_U | PF_I, ENTRY);
	fake.regs[HYPAPI_REG_RIP] = ENTRY;
	ev = violation(ENTRY, HYPAPI_X);
	ev.args.violation.gva = GVA(ENTRY + 0x100000); /* the page under another address */
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_U | PF_I, ENTRY + 0x100000);
	ev = violation(ENTRY, HYPAPI_X);
	ev.args.violation.gva_valid = false;
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_DENY);
	assert_int_equal(fake.stops, 1);
	assert_pal_works();
}

static void bad_caller_stack_is_refused(void **state)
{
	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	for (int i = 0; i < 2; i++) {
		struct hypapi_event ev = violation(ENTRY, HYPAPI_X);

		*(uint64_t *)fake_mem(CALLER_STACK) = 0x8000000000000000; /* not an address */
		fake.regs[HYPAPI_REG_RIP] = ENTRY;
		fake.regs[HYPAPI_REG_RSP] = i ? CALLER_STACK : 0x1000;
		assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
		assert_injected(PF_P | PF_U | PF_I, ENTRY);
	}
	assert_pal_works();
}

/* The view of a second CPU: there, no partition runs. */
static void second_caller_retries(void **state)
{
	uint64_t running;

	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	running = fake.current;
	fake.current = 0;
	assert_int_equal(call_at(ENTRY), HYPAPI_RETRY);
	assert_int_equal(fake.injected, 0);
	assert_int_equal(unregister_pal(), TV_E_BUSY);
	fake.current = running;
	assert_int_equal(pal_return(1), HYPAPI_HANDLED);
	assert_int_equal(unregister_pal(), TV_OK);
}

static void faulting_pal_is_destroyed(void **state)
{
	(void)state;
	strcpy(fake_mem(DATA), "secret");
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	/* it reads at the address that only a return may touch */
	assert_int_equal(pal_exit(ENTRY, 0xffffc0de00000000), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_U | PF_I, ENTRY);
	assert_int_equal(fake.current, 0);
	assert_false(fake.partitions[0].exists);
	assert_int_equal(*(char *)fake_mem(DATA), 0);
	assert_int_equal(unregister_pal(), TV_E_NO_PAL);
	strcpy(fake_mem(DATA), "again");
	assert_int_equal(register_pal(), TV_OK);
	assert_pal_works();
}

/* ---- The outside ---- */

static void outside_write_destroys(void **state)
{
	struct hypapi_event ev;

	(void)state;
	strcpy(fake_mem(DATA), "secret");
	assert_int_equal(register_pal(), TV_OK);
	ev = violation(DATA, HYPAPI_W);
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
	assert_int_equal(fake.owner[1], 0);
	assert_int_equal(*(char *)fake_mem(DATA), 0);
	/* a second CPU's violation on the same page, raised before and delivered after: just try again */
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
	assert_int_equal(unregister_pal(), TV_E_NO_PAL);
	assert_int_equal(fake.stops, 1);
}

static void outside_write_to_a_running_pal(void **state)
{
	struct hypapi_event ev;
	uint64_t running;

	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	running = fake.current;
	fake.current = 0;
	ev = violation(DATA, HYPAPI_RW);
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
	assert_true(fake.partitions[0].exists);
	fake.current = running;
	assert_int_equal(pal_return(9), HYPAPI_HANDLED);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], 9);
	assert_false(fake.partitions[0].exists);
}

/* Whoever fetches in a PAL's pages without its stack is of another address space: his function is no PAL. */
static void fetch_of_another_address_space_destroys(void **state)
{
	static const struct fake_page stacks[] = { { HYPAPI_RWX, 20 }, { 0, 3 }, { HYPAPI_RWX, 1 } };

	for (size_t i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++)
		for (uint64_t at = ENTRY; at <= ENTRY + 1; at++) {
			setup(state);
			strcpy(fake_mem(DATA), "secret");
			assert_int_equal(register_pal(), TV_OK);
			fake.pages[3] = stacks[i];
			assert_int_equal(call_at(at), HYPAPI_RETRY);
			assert_int_equal(fake.current, 0);
			assert_int_equal(fake.injected, 0);
			assert_int_equal(fake.owner[0], 0);
			assert_int_equal(*(char *)fake_mem(DATA), 0);
		}
}

static void foreign_fetch_while_a_pal_runs(void **state)
{
	uint64_t running;

	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	running = fake.current;
	fake.current = 0;
	fake.pages[3].frame = 20;
	fake.regs[HYPAPI_REG_RFLAGS] = 2; /* he is not a caller: nothing is refused him */
	assert_int_equal(call_at(ENTRY), HYPAPI_RETRY);
	assert_true(fake.partitions[0].exists);
	fake.current = running;
	assert_int_equal(pal_return(9), HYPAPI_HANDLED);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], 9);
	assert_false(fake.partitions[0].exists);
}

static void memory_of_others_is_passed_on(void **state)
{
	struct hypapi_event ev = violation(PAGE(30), HYPAPI_W);

	(void)state;
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_PASS);
	ev.args.violation.owner.id = 4711;
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_PASS);
}

static void vuln_3_shutdown_wipes(void **state)
{
	struct hypapi_event ev;

	(void)state;
	strcpy(fake_mem(DATA), "secret");
	strcpy(fake_mem(STACK), "secret");
	strcpy(fake_mem(CODE), "code");
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED); /* a stopped CPU is in the PAL */
	fake.current = 0;
	ev = fake_event(HYPAPI_EV_RESET, HYPAPI_L1);
	fake_raise(&hypapp_trustvisor, &ev);
	assert_true(ev.quiesce);
	assert_int_equal(*(char *)fake_mem(DATA), 0);
	assert_int_equal(*(char *)fake_mem(STACK), 0);
	assert_string_equal(fake_mem(CODE), "code");
}

/* ---- 32-bit callers ---- */

static void serves_32_bit_callers(void **state)
{
	static const uint32_t on_stack[2] = { 7, (uint32_t)BUFFER };
	const uint32_t expected[5] = { 2, TV_PARAM_POINTER, 4, (uint32_t)BUFFER, 0xcafe };
	uint64_t sp;

	(void)state;
	long_mode = false;
	params.params[1] = (struct tv_pal_param){ .type = TV_PARAM_POINTER, .size = 1 };
	fake.regs[HYPAPI_REG_RBP] = 0xbbb;
	assert_int_equal(register_pal(), TV_OK);
	memcpy(fake_mem(CALLER_STACK + 4), on_stack, sizeof(on_stack));
	*(uint32_t *)fake_mem(BUFFER) = 0xcafe;
	*(uint32_t *)fake_mem(BUFFER + 4) = 0xdead;
	fake.regs[HYPAPI_REG_RSI] = 0x51;
	fake.regs[HYPAPI_REG_RDX] = 0xd;
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	sp = fake.pal_regs[HYPAPI_REG_RSP];
	assert_int_equal((sp + 4) % 16, 0);
	assert_int_equal(*(uint32_t *)fake_partition_mem(fake.current, sp + 4), 7);
	assert_int_equal(*(uint32_t *)fake_partition_mem(fake.current, sp + 8), PARAM + 16);
	assert_memory_equal(fake_partition_mem(fake.current, PARAM), expected, sizeof(expected));
	*(uint32_t *)fake_partition_mem(fake.current, PARAM + 16) = 0xf00d;
	assert_int_equal(pal_return(0x1234567800000005), HYPAPI_HANDLED);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], 5);
	assert_int_equal(fake.regs[HYPAPI_REG_RSP], CALLER_STACK + 4);
	assert_int_equal(fake.regs[HYPAPI_REG_RDX], 0);
	assert_int_equal(fake.regs[HYPAPI_REG_RSI], 0x51); /* callee-saved in this ABI */
	assert_int_equal(*(uint32_t *)fake_mem(BUFFER), 0xf00d);
	assert_int_equal(*(uint32_t *)fake_mem(BUFFER + 4), 0xdead);
	fake.regs[HYPAPI_REG_RCX] = 0x5500000000 + ENTRY; /* upper halves do not count */
	assert_int_equal(hypercall(TV_CMD_UNREGISTER), TV_OK);
}

/* ---- Commands and detection ---- */

static bool is_claimed(uint32_t number)
{
	bool found = false;

	for (int i = 0; i < HYPAPI_MAX_CLAIMS; i++) {
		const struct hypapi_claim *claim = &hypapp_trustvisor.claims[i];

		found |= claim->kind == HYPAPI_CLAIM_HYPERCALL && claim->first <= number && number <= claim->last;
	}
	return found;
}

/* ---- Shared ranges ---- */

#define ARRAYS PAGE(14)
#define SHARED PAGE(20)

static uint32_t share(uint64_t count, const uint64_t *at, const uint64_t *lengths)
{
	uint32_t width = long_mode ? 8 : 4;

	for (uint64_t i = 0; i < count && i < 16; i++) {
		memcpy(fake_mem(ARRAYS + i * width), &at[i], width);
		memcpy(fake_mem(ARRAYS + 0x800 + i * width), &lengths[i], width);
	}
	fake.regs[HYPAPI_REG_RCX] = entry;
	fake.regs[HYPAPI_REG_RDX] = ARRAYS;
	fake.regs[HYPAPI_REG_RSI] = ARRAYS + 0x800;
	fake.regs[HYPAPI_REG_RDI] = count;
	return hypercall(TV_CMD_SHARE);
}

static uint32_t share_one(uint64_t at, uint64_t len)
{
	return share(1, &at, &len);
}

/* A call that finds `before` there, and leaves one more. */
static void assert_shares(uint64_t at, uint32_t before)
{
	uint32_t *pals;

	*(uint32_t *)fake_mem(at) = before;
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	assert_int_equal(fake.injected, 0);
	pals = fake_partition_mem(fake.current, at);
	assert_non_null(pals);
	assert_int_equal(*pals, before);
	assert_ptr_not_equal(pals, fake_mem(at));
	*pals = before + 1;
	assert_int_equal(pal_return(1), HYPAPI_HANDLED);
	assert_int_equal(fake.injected, 0);
	assert_int_equal(*(uint32_t *)fake_mem(at), before + 1);
}

static void shared_ranges_are_where_they_are(void **state)
{
	static const uint64_t at[] = { SHARED + 0xff8, SHARED + 0x100, SHARED + 0x3000 }, lengths[] = { 0x1010, 8, 4 };

	for (int bits = 64; bits >= 32; bits -= 32) {
		setup(state);
		long_mode = bits == 64;
		assert_int_equal(share_one(SHARED, 8), TV_E_NO_PAL);
		assert_int_equal(register_pal(), TV_OK);
		assert_int_equal(share(3, at, lengths), TV_OK);
		assert_int_equal(fake.partitions[0].count, 4 + 4);
		for (int i = 0; i < 3; i++) {
			assert_shares(at[i], 5);
			assert_shares(at[i] + lengths[i] - 4, 9);
		}
		/* What lies beside a range is not the PAL's to see, nor to change. */
		strcpy(fake_mem(SHARED + 0x200), "caller");
		assert_int_equal(call_at(entry), HYPAPI_HANDLED);
		assert_int_equal(*(char *)fake_partition_mem(fake.current, SHARED + 0x200), 0);
		strcpy(fake_partition_mem(fake.current, SHARED + 0x200), "pal");
		assert_int_equal(pal_return(1), HYPAPI_HANDLED);
		assert_string_equal(fake_mem(SHARED + 0x200), "caller");
		/* A further range in a page that is there. */
		assert_int_equal(share_one(SHARED + 0x300, 4), TV_OK);
		assert_int_equal(fake.partitions[0].count, 4 + 4);
		assert_shares(SHARED + 0x300, 1);
		/* They end with the PAL. */
		assert_int_equal(unregister_pal(), TV_OK);
		assert_int_equal(register_pal(), TV_OK);
		assert_int_equal(call_at(entry), HYPAPI_HANDLED);
		assert_null(fake_partition_mem(fake.current, SHARED));
		assert_int_equal(pal_return(1), HYPAPI_HANDLED);
	}
}

static void bad_shared_ranges(void **state)
{
	static const struct { uint64_t at, len; uint32_t result; } bad[] = {
		{ SHARED, 0, TV_E_INVALID }, { 0, 8, TV_E_INVALID }, { 8, 8, TV_E_INVALID },
		{ 0xfff, 8, TV_E_INVALID }, { 1ull << 47, 8, TV_E_INVALID },
		{ (1ull << 47) - 4, 8, TV_E_INVALID }, { -8ull, 16, TV_E_INVALID }, { 0x1000, -8ull, TV_E_INVALID },
		{ SHARED, 16 * 0x1000 + 1, TV_E_INVALID }, { PAGE(40) + 1, 16 * 0x1000, TV_E_NO_ROOM },
		{ DATA, 8, TV_E_INVALID }, { STACK - 8, 16, TV_E_INVALID }, { SHARED + 0x7ff8, 16, TV_E_INVALID },
	};
	uint64_t many[16] = { 0 }, at = SHARED + 0x8000, len = 8;

	(void)state;
	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(share(1, &at, &len), TV_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(share_one(bad[i].at, bad[i].len), bad[i].result);
		assert_int_equal(fake.partitions[0].count, 5);
	}
	assert_int_equal(share(0, many, many), TV_E_INVALID);
	assert_int_equal(share(10, many, many), TV_E_INVALID);
	assert_int_equal(share(-1ull, many, many), TV_E_INVALID);
	fake.pages[14].rights = 0;
	fake.regs[HYPAPI_REG_RCX] = entry;
	fake.regs[HYPAPI_REG_RDI] = 1;
	assert_int_equal(hypercall(TV_CMD_SHARE), TV_E_FAULT);
	fake.pages[14].rights = HYPAPI_RWX;
	fake.memory_answer = HYPAPI_ENOMEM;
	assert_int_equal(share_one(SHARED, 8), TV_E_NO_ROOM);
	fake.memory_answer = HYPAPI_OK;
	fake.cpl = 0; /* registered from CPL 3 */
	assert_int_equal(share_one(SHARED, 8), TV_E_NO_PAL);
	fake.cpl = 3;
	/* The write fault of the caller's own, which mends it. */
	fake.pages[28].rights = HYPAPI_R;
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_W | PF_U, SHARED + 0x8000);
	assert_int_equal(fake.current, 0);
	fake.pages[28].rights = HYPAPI_RWX;
	assert_shares(SHARED + 0x8000, 3);
	/* While it runs nothing is added. */
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	assert_int_equal(share_one(SHARED, 8), TV_E_IN_PAL);
}

/* There is room for 48 pages of L1's processes: 16 a PAL, and all come back. */
static void shared_pages_are_limited(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 4; i++) {
			sections.num_sections = 2;
			sections.sections[0] = (struct tv_pal_section){ TV_SECTION_CODE, 1, PAGE(60 + 2 * i) };
			sections.sections[1] = (struct tv_pal_section){ TV_SECTION_STACK, 1, PAGE(61 + 2 * i) };
			params.num_params = 0;
			entry = PAGE(60 + 2 * i);
			assert_int_equal(register_pal(), TV_OK);
			assert_int_equal(share_one(PAGE(80), 16 * 0x1000), i < 3 ? TV_OK : TV_E_NO_ROOM);
		}
		for (uint32_t i = 0; i < 4; i++) {
			entry = PAGE(60 + 2 * i);
			assert_int_equal(unregister_pal(), TV_OK);
		}
	}
}

/* Without room for its copies a registration takes no page and stops nobody, of L1 and of a machine of L2's. */
static void shared_code_needs_room(void **state)
{
	static const struct { uint32_t level, with_room; } callers[] = { { HYPAPI_L1, 3 }, { HYPAPI_L2, 1 } };

	for (size_t c = 0; c < sizeof(callers) / sizeof(callers[0]); c++) {
		setup(state);
		level = callers[c].level;
		for (uint32_t i = 0; i < callers[c].with_room + 5; i++) {
			bool room = i < callers[c].with_room;
			int stops = fake.stops;

			sections.num_sections = 3;
			sections.sections[0] = (struct tv_pal_section){ TV_SECTION_CODE, 1, PAGE(40 + 2 * i) };
			sections.sections[1] = (struct tv_pal_section){ TV_SECTION_STACK, 1, PAGE(41 + 2 * i) };
			sections.sections[2] = (struct tv_pal_section){ TV_SECTION_SHARED_CODE, 16, PAGE(80) };
			params.num_params = 0;
			entry = PAGE(40 + 2 * i);
			*(uint32_t *)fake_mem(PAGE(41 + 2 * i)) = 7;
			assert_int_equal(register_pal(), room ? TV_OK : TV_E_NO_ROOM);
			assert_int_equal(fake.stops, stops + room);
			assert_true(room || *(uint32_t *)fake_mem(PAGE(41 + 2 * i)) == 7);
		}
	}
}

static void each_machine_has_shared_pages(void **state)
{
	(void)state;
	level = HYPAPI_L2;
	for (uint32_t i = 0; i < 4; i++) { /* there is room for 48, and for 24 of each: 16 of a PAL */
		fake.eptp12 = fake.vmcs12 = i / 2 * 0x1000;
		assert_int_equal(register_small(i), TV_OK);
		assert_int_equal(share_one(PAGE(120), 16 * 0x1000), i % 2 ? TV_E_NO_ROOM : TV_OK);
	}
	assert_int_equal(share_one(PAGE(120), 8 * 0x1000), TV_OK);
	assert_int_equal(unregister_pal(), TV_OK);
	assert_int_equal(register_small(3), TV_OK);
	assert_int_equal(share_one(PAGE(120), 9 * 0x1000), TV_E_NO_ROOM);
}

static void rename_ends(void) { pal_at(1)->machine = pal_at(0)->machine; }

/* Another CPU is in the middle of renaming the machine's PALs: who counts them waits for its end. */
static void a_rename_hides_no_shared_pages(void **state)
{
	(void)state;
	level = HYPAPI_L2;
	assert_int_equal(register_small(0), TV_OK);
	assert_int_equal(share_one(PAGE(120), 16 * 0x1000), TV_OK);
	assert_int_equal(register_small(1), TV_OK);
	pal_at(0)->machine += 0x1000;
	fake.on_lock = rename_ends;
	assert_int_equal(share_one(PAGE(120), 16 * 0x1000), TV_E_NO_ROOM);
}

static void answers_every_command(void **state)
{
	static const uint32_t utpm[] = { TV_CMD_UTPM_PCRREAD, TV_CMD_UTPM_GENRAND, TV_CMD_UTPM_SEAL,
					 TV_CMD_NV_READALL };
	uint32_t known = 0;

	(void)state;
	assert_int_equal(hypercall(TV_CMD_TEST), TV_OK);
	assert_int_equal(hypercall(TV_CMD_UTPM_SEAL_OLD), TV_E_UNSUPPORTED);
	assert_int_equal(hypercall(100), TV_E_UNKNOWN);
	assert_int_equal(hypercall(0), TV_E_UNKNOWN);
	assert_int_equal(hypercall(256), TV_E_UNKNOWN);
	assert_true(is_claimed(0) && is_claimed(1) && is_claimed(255) && is_claimed(0x110) && !is_claimed(0x100));
	for (uint32_t i = 24; i < 255; i++)
		known += hypercall(i) != TV_E_UNKNOWN;
	assert_int_equal(known, 3 + 8); /* those of lists, and of the micro-TPM's new bank */
	for (size_t i = 0; i < sizeof(utpm) / sizeof(utpm[0]); i++)
		assert_int_equal(hypercall(utpm[i]), TV_E_NOT_IN_PAL);

	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_int_equal(hypercall(TV_CMD_TEST), TV_OK);
	assert_int_equal(hypercall(TV_CMD_REGISTER), TV_E_IN_PAL);
	assert_int_equal(hypercall(TV_CMD_UNREGISTER), TV_E_IN_PAL);
	assert_int_equal(hypercall(0), TV_E_UNKNOWN);
	assert_int_equal(hypercall(0x110), TV_E_UNKNOWN);
	for (size_t i = 0; i < sizeof(utpm) / sizeof(utpm[0]); i++)
		assert_int_equal(hypercall(utpm[i]), utpm[i] == TV_CMD_NV_READALL ? TV_E_DENIED : TV_TPM_BAD_PARAMETER);
	assert_int_equal(fake.stops, 1);
}

static void detection(void **state)
{
	struct hypapi_event ev = fake_event(HYPAPI_EV_CPUID, HYPAPI_L1);

	(void)state;
	ev.args.cpuid = (struct hypapi_cpuid_args){ TV_CPUID_LEAF, 0 };
	fake.regs[HYPAPI_REG_RDX] = 1;
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], TV_CPUID_PRESENT);
	assert_int_equal(fake.regs[HYPAPI_REG_RBX], TV_CPUID_NO_PAL);
	assert_int_equal(fake.regs[HYPAPI_REG_RCX], TV_CPUID_LONG_MODE);
	assert_int_equal(fake.regs[HYPAPI_REG_RDX], 0);
	ev.args.cpuid.subleaf = TV_L2_BASE_DEFAULT;
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_PASS);

	ev = fake_event(HYPAPI_EV_CPUID, HYPAPI_L2);
	ev.args.cpuid = (struct hypapi_cpuid_args){ TV_CPUID_LEAF, 0 };
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_PASS);
	ev.args.cpuid.subleaf = TV_L2_BASE_DEFAULT;
	ev.long_mode = false;
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
	assert_int_equal(fake.regs[HYPAPI_REG_RCX], TV_CPUID_EPT12);

	assert_int_equal(register_pal(), TV_OK);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	ev = fake_event(HYPAPI_EV_CPUID, HYPAPI_L1);
	ev.args.cpuid = (struct hypapi_cpuid_args){ TV_CPUID_LEAF, 0 };
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RBX], 0); /* the first slot */
}

/* ---- Registration by list ---- */

#define LIST PAGE(11) /* two pages */
#define FRAME_OF(page) (FAKE_HPA + ((page) - FAKE_BASE))
static uint64_t handle;
static struct tv_list list;

/* The PAL of the other tests, by a kernel; its second entry takes a buffer. */
static void make_list(void)
{
	static const uint32_t types[] = { TV_SECTION_CODE, TV_SECTION_DATA, TV_SECTION_PARAM, TV_SECTION_STACK };

	list = (struct tv_list){ .version = TV_LIST_VERSION, .entry_count = 2, .page_count = 4 };
	list.entries[0] = (struct tv_list_entry){ .address = entry, .params = params };
	list.entries[1] = (struct tv_list_entry){ .address = entry + 8, .params = { .num_params = 2, .params = {
		{ .type = TV_PARAM_BUFFER, .size = 16 }, { .type = TV_PARAM_INTEGER } } } };
	for (uint32_t i = 0; i < 4; i++)
		list.pages[i] = (struct tv_list_page){ PAGE(i), FRAME_OF(PAGE(i)) | types[i] };
}

static uint32_t by_kernel(uint32_t command, uint64_t first, uint64_t second)
{
	uint32_t result;

	fake.cpl = 0;
	fake.regs[HYPAPI_REG_RCX] = first;
	fake.regs[HYPAPI_REG_RDX] = second;
	result = hypercall(command);
	fake.cpl = 3;
	return result;
}

static uint32_t register_list(void)
{
	uint32_t result;

	memcpy(fake_mem(LIST), &list, 0x1000);
	memcpy(fake_mem(LIST + 0x1000), (uint8_t *)&list + 0x1000, sizeof(list) - 0x1000);
	result = by_kernel(TV_CMD_REGISTER_LIST, FRAME_OF(LIST), 0);
	handle = fake.regs[HYPAPI_REG_RCX] | fake.regs[HYPAPI_REG_RDX] << 32;
	return result;
}

/* PCR 0 of a PAL that was registered by the list: what it was measured as. */
static void listed_pcr(uint8_t value[32])
{
	struct tv_tpm_pcr pcr = { .index = 0 };

	assert_int_equal(register_list(), TV_OK);
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	memcpy(fake_partition_mem(fake.current, DATA), &pcr, sizeof(pcr));
	fake.pal_regs[HYPAPI_REG_RCX] = DATA;
	assert_int_equal(hypercall(TV_CMD_TPM_PCR_READ), TV_TPM_OK);
	memcpy(&pcr, fake_partition_mem(fake.current, DATA), sizeof(pcr));
	assert_int_equal(pal_return(0), HYPAPI_HANDLED);
	assert_int_equal(by_kernel(TV_CMD_UNREGISTER_LIST, (uint32_t)handle, handle >> 32), TV_OK);
	memcpy(value, pcr.value, 32);
}

static void a_list_has_options(void **state)
{
	uint8_t without[32], with[32];

	(void)state;
	make_list();
	listed_pcr(without);
	listed_pcr(with);
	assert_memory_equal(without, with, 32);
	list.options.owner_tag[0] = 1;
	listed_pcr(with);
	assert_memory_not_equal(without, with, 32);
	list.options.flags = TV_PAL_FIXED;
	listed_pcr(without);
	assert_memory_not_equal(without, with, 32);
	list.flags = TV_LIST_FPU;
	listed_pcr(with);
	assert_memory_not_equal(without, with, 32);
	list.options.flags = TV_PAL_FPU;
	assert_int_equal(register_list(), TV_E_INVALID);
	list.options.flags = 1u << 8;
	assert_int_equal(register_list(), TV_E_INVALID);
	list.options.flags = 0;
	list.options.reserved = 1;
	assert_int_equal(register_list(), TV_E_INVALID);
}

/* Nobody executes it where a list names it, and it may be a page of the PAL's; looked at before the stop or not. */
static void a_listed_copy_is_only_read(void **state)
{
	for (int wary = 0; wary < 2; wary++) {
		setup(state);
		level = HYPAPI_L2;
		make_list();
		if (wary) {
			list.pages[1].physical = FRAME_OF(PAGE(2)) | TV_SECTION_DATA;
			assert_int_equal(register_list(), TV_E_OWNED);
			list.pages[1].physical = FRAME_OF(PAGE(1)) | TV_SECTION_DATA;
		}
		list.pages[4] = (struct tv_list_page){ PAGE(80), FRAME_OF(PAGE(80)) | TV_SECTION_SHARED_CODE };
		list.pages[5] = (struct tv_list_page){ PAGE(81), FRAME_OF(PAGE(1)) | TV_SECTION_SHARED_CODE };
		list.page_count = 6;
		fake.pages[80].rights = HYPAPI_R;
		assert_int_equal(register_list(), TV_OK);
		fake.pages[80].rights = HYPAPI_RWX;
	}
}

/* A registration by list that is being measured; it has gone to its end once before. */
static void begin_list(void)
{
	make_list();
	assert_int_equal(register_list(), TV_OK);
	assert_int_equal(by_kernel(TV_CMD_UNREGISTER_LIST, (uint32_t)handle, handle >> 32), TV_OK);
	fake.cpl = 0;
	fake.regs[HYPAPI_REG_RCX] = FRAME_OF(LIST);
	fake.regs[HYPAPI_REG_RDX] = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(hypercall_once(TV_CMD_REGISTER_LIST), HYPAPI_RETRY);
}

/* As of command 1: whoever asks for the same list goes on. */
static void a_list_is_repeated_until_measured(void **state)
{
	(void)state;
	begin_list();
	memset(fake_mem(LIST), 0, 0x1000); /* not read again */
	assert_int_equal(fake.regs[HYPAPI_REG_RCX], FRAME_OF(LIST));
	fake.cpl = 3;
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_U | PF_I, entry);
	assert_int_equal(hypercall(TV_CMD_REGISTER_LIST), TV_E_DENIED);
	assert_int_equal(register_pal(), TV_E_OWNED);
	level = HYPAPI_L2;
	assert_int_equal(by_kernel(TV_CMD_REGISTER_LIST, FRAME_OF(LIST), 0), TV_E_INVALID);
	level = HYPAPI_L1;
	assert_int_equal(by_kernel(TV_CMD_REGISTER_LIST, FRAME_OF(LIST), 0), TV_OK);
	handle = fake.regs[HYPAPI_REG_RCX] | fake.regs[HYPAPI_REG_RDX] << 32;
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	assert_int_not_equal(fake.current, 0);
	assert_int_equal(pal_return(0), HYPAPI_HANDLED);
}

/* The kernel of an L2 whose L1 takes the home page: it asks again when the page is back; another page there ends it. */
static void a_list_loses_its_home(void **state)
{
	(void)state;
	level = HYPAPI_L2;
	begin_list();
	fake.pages[3].rights = HYPAPI_R;
	assert_int_equal(hypercall(TV_CMD_REGISTER_LIST), TV_E_FAULT);
	fake.pages[3].rights = HYPAPI_RWX;
	fake.l2_moved = 0x100000;
	assert_int_equal(hypercall(TV_CMD_REGISTER_LIST), TV_E_FAULT);
	fake.l2_moved = 0;
	for (uint32_t i = 0; i < FAKE_PAGES; i++)
		assert_int_equal(fake.owner[i], 0);
	assert_int_equal(register_list(), TV_OK);
	assert_pal_works();
}

static uint32_t unregister_list(void)
{
	return by_kernel(TV_CMD_UNREGISTER_LIST, (uint32_t)handle, handle >> 32);
}

/* enum tv_why, and whether the PAL is there. */
static uint32_t status(bool *there)
{
	assert_int_equal(by_kernel(TV_CMD_STATUS_LIST, (uint32_t)handle, handle >> 32), TV_OK);
	*there = fake.regs[HYPAPI_REG_RCX] & 1;
	return fake.regs[HYPAPI_REG_RCX] >> 8 & 0xff;
}

static void assert_status(bool there, uint32_t why)
{
	bool is_there;

	assert_int_equal(status(&is_there), why);
	assert_int_equal(is_there, there);
}

static void a_kernel_registers_for_its_processes(void **state)
{
	for (level = HYPAPI_L1; level <= HYPAPI_L2; level++) {
		uint32_t at = level;

		setup(state);
		level = at;
		make_list();
		strcpy(fake_mem(DATA), "secret");
		assert_int_equal(register_list(), TV_OK);
		assert_int_equal(handle, fake.next_id - 1);
		assert_int_equal(fake.partitions[handle - 1].pages[0].rights, HYPAPI_RX);
		assert_pal_works();
		assert_status(true, TV_WHY_NONE);
		assert_int_equal(fake.regs[HYPAPI_REG_RBX], 1);
		/* It is not its caller's, and not the other level's. */
		assert_int_equal(unregister_pal(), TV_E_NO_PAL);
		level = at == HYPAPI_L1 ? HYPAPI_L2 : HYPAPI_L1;
		assert_int_equal(unregister_list(), TV_E_NO_PAL);
		level = at;
		fake.cpl = 0;
		assert_int_equal(call_at(entry), HYPAPI_HANDLED); /* the kernel is no caller of it */
		assert_injected(PF_P | PF_I, entry);
		fake.cpl = 3;
		assert_int_equal(unregister_list(), TV_OK);
		assert_int_equal(*(char *)fake_mem(DATA), 0);
		assert_int_equal(unregister_list(), TV_E_NO_PAL);
	}
}

static void lists_are_for_kernels(void **state)
{
	(void)state;
	make_list();
	assert_int_equal(register_list(), TV_OK);
	for (uint32_t command = TV_CMD_REGISTER_LIST; command <= TV_CMD_STATUS_LIST; command++)
		for (fake.cpl = 1; fake.cpl <= 3; fake.cpl++) {
			fake.regs[HYPAPI_REG_RCX] = command == TV_CMD_REGISTER_LIST ? FRAME_OF(LIST) : handle;
			fake.regs[HYPAPI_REG_RDX] = 0;
			assert_int_equal(hypercall(command), TV_E_DENIED);
		}
	assert_int_equal(unregister_list(), TV_OK);
}

static void no_page_table_is_walked(void **state)
{
	(void)state;
	make_list();
	memcpy(fake_mem(LIST), &list, 0x1000);
	memcpy(fake_mem(LIST + 0x1000), (uint8_t *)&list + 0x1000, sizeof(list) - 0x1000);
	for (int i = 0; i < FAKE_PAGES; i++)
		fake.pages[i].rights = 0;
	assert_int_equal(by_kernel(TV_CMD_REGISTER_LIST, FRAME_OF(LIST), 0), TV_OK);
	for (int i = 0; i < FAKE_PAGES; i++)
		fake.pages[i].rights = HYPAPI_RWX;
	assert_pal_works();
}

static struct tv_list_page *page_1 = &list.pages[1];
static void bad_version(void) { list.version++; }
static void bad_flags(void) { list.flags = 1u << 3; }
static void bad_no_entry(void) { list.entry_count = 0; }
static void bad_many_entries(void) { list.entry_count = TV_MAX_ENTRIES + 1; }
static void bad_entries_huge(void) { list.entry_count = 0xffffffff; }
static void bad_list_no_pages(void) { list.page_count = 0; }
static void bad_many_pages(void) { list.page_count = TV_MAX_PAGES + 1; }
static void bad_pages_huge(void) { list.page_count = 0x10000004; }
static void bad_same_entry(void) { list.entries[1].address = entry; }
static void bad_entry_outside(void) { list.entries[1].address = DATA; }
static void bad_params(void) { list.entries[1].params.num_params = 0xffffffff; }
static void bad_buffer_last(void) { list.entries[1].params.num_params = 1; }
static void bad_buffer_length(void) { list.entries[1].params.params[1].type = TV_PARAM_POINTER; }
static void bad_buffer_room(void) { list.entries[1].params.params[0].size = 506; }
static void bad_type(void) { page_1->physical |= 0xff0; }
static void bad_physical(void) { page_1->physical = 1ull << 44 | TV_SECTION_DATA; }
static void bad_linear(void) { page_1->linear = 1ull << 47; }
static void bad_linear_unaligned(void) { page_1->linear++; }
static void bad_linear_wrap(void) { page_1->linear = -0x1000ull; }
static void bad_linear_zero(void) { page_1->linear = 0; }
static void bad_linear_twice(void) { page_1->linear = STACK; }
static void bad_32_bit(void) { list.flags = TV_LIST_32BIT, page_1->linear = 0xfffff000; }
static void bad_sections(void)
{
	list.page_count = 14;
	for (uint32_t i = 4; i < 14; i++)
		list.pages[i] = (struct tv_list_page){ PAGE(20 + 2 * i), FRAME_OF(PAGE(20 + i)) | TV_SECTION_DATA };
}
static void bad_frame_twice(void) { page_1->physical = FRAME_OF(STACK) | TV_SECTION_DATA; }
static void bad_frame_nowhere(void) { page_1->physical = (1ull << 43) | TV_SECTION_DATA; }
static void bad_frame_owned(void) { fake.owner[1] = 99; }

/* By itself wrong: no stop. Wrong because of the pages: nothing was taken. */
static void bad_lists_are_refused(void **state)
{
	static const struct { const char *name; void (*spoil)(void); uint32_t result; int stops; } cases[] = {
#define BAD(name) { #name, name, TV_E_INVALID, 0 }
		BAD(bad_version), BAD(bad_flags), BAD(bad_no_entry), BAD(bad_many_entries), BAD(bad_entries_huge),
		BAD(bad_list_no_pages), BAD(bad_many_pages), BAD(bad_pages_huge), BAD(bad_same_entry),
		BAD(bad_entry_outside), BAD(bad_params), BAD(bad_buffer_last), BAD(bad_buffer_length),
		BAD(bad_buffer_room), BAD(bad_type), BAD(bad_physical), BAD(bad_linear), BAD(bad_linear_unaligned),
		BAD(bad_linear_wrap), BAD(bad_linear_zero), BAD(bad_linear_twice), BAD(bad_32_bit), BAD(bad_sections),
		{ "frame twice", bad_frame_twice, TV_E_OWNED, 1 }, { "nowhere", bad_frame_nowhere, TV_E_OWNED, 1 },
		{ "owned", bad_frame_owned, TV_E_OWNED, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t result;

		setup(state);
		make_list();
		cases[i].spoil();
		result = register_list();
		if (result != cases[i].result || fake.next_id != 1 || fake.stops != cases[i].stops)
			fail_msg("%s: result %u, %d stops", cases[i].name, result, fake.stops);
	}
}

static void the_request_itself_may_lie_badly(void **state)
{
	static const uint64_t at[] = { FAKE_HPA + 8, 1, 0, 1ull << 44, -0x1000ull,
				       FAKE_HPA + (FAKE_PAGES - 1) * 0x1000ull };

	(void)state;
	make_list();
	memcpy(fake_mem(PAGE(FAKE_PAGES - 1)), &list, 0x1000); /* goes on where there is nothing */
	for (level = HYPAPI_L1; level <= HYPAPI_L2; level++)
		for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
			if (by_kernel(TV_CMD_REGISTER_LIST, at[i], 0) == TV_OK && i < 5)
				fail_msg("a request at 0x%lx", (unsigned long)at[i]);
	level = HYPAPI_L1;
	fake.owner[11] = 99; /* in a PAL */
	assert_int_equal(register_list(), TV_E_OWNED);
}

/* At L2 what EPT12 does not let it write may be another machine's, too. */
static void a_list_of_l2_must_be_l2s_to_write(void **state)
{
	(void)state;
	make_list();
	level = HYPAPI_L2;
	fake.pages[0].rights = HYPAPI_RX;
	assert_int_equal(register_list(), TV_E_OWNED);
	level = HYPAPI_L1;
	assert_int_equal(register_list(), TV_OK);
}

/* Without EPT12 L2's physical addresses are L1's, which its kernel must not name; its own machine may. */
static void without_ept12_l2_names_no_pages(void **state)
{
	(void)state;
	make_list();
	fake.no_ept12 = true;
	level = HYPAPI_L2;
	assert_int_equal(register_list(), TV_E_DENIED);
	assert_int_equal(fake.stops, 0);
	fake.no_ept12 = false;
	assert_int_equal(register_list(), TV_OK);
	fake.no_ept12 = true;
	assert_int_equal(by_kernel(TV_CMD_STATUS_LIST, (uint32_t)handle, handle >> 32), TV_E_DENIED);
	assert_int_equal(unregister_list(), TV_E_DENIED);
	level = HYPAPI_L1;
	handle = 0;
	assert_int_equal(unregister_list(), TV_E_NO_PAL);
}

/* A home page that this machine may not write may be another one's, by a merge of L1's. */
static void a_handle_needs_a_home_of_its_own(void **state)
{
	(void)state;
	make_list();
	level = HYPAPI_L2;
	assert_int_equal(register_list(), TV_OK);
	fake.pages[3].rights = HYPAPI_R;
	assert_int_equal(by_kernel(TV_CMD_STATUS_LIST, (uint32_t)handle, handle >> 32), TV_E_NO_PAL);
	assert_int_equal(unregister_list(), TV_E_NO_PAL);
	fake.pages[3].rights = HYPAPI_RWX;
	assert_int_equal(unregister_list(), TV_OK);
}

static void several_entries_share_the_data(void **state)
{
	uint64_t *words = fake_mem(BUFFER), *param;

	(void)state;
	make_list();
	assert_int_equal(register_list(), TV_OK);
	assert_pal_works();
	words[0] = 5, words[2] = 7, words[3] = 8;
	fake.regs[HYPAPI_REG_RDI] = BUFFER;
	fake.regs[HYPAPI_REG_RSI] = 3; /* words of at most 16 */
	assert_int_equal(call_at(entry + 8), HYPAPI_HANDLED);
	assert_int_not_equal(fake.current, 0);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RIP], entry + 8);
	param = fake_partition_mem(fake.current, PARAM);
	assert_int_equal(param[0], 2);
	assert_int_equal(param[1], TV_PARAM_INTEGER);
	assert_int_equal(param[4], TV_PARAM_BUFFER);
	assert_int_equal(param[5], 24);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RDI], PARAM + 7 * 8);
	assert_int_equal(param[7], 5);
	assert_int_equal(param[9], 7);
	assert_int_equal(param[10], 0); /* no more than asked for */
	param[7] = 6, param[10] = 9;
	assert_int_equal(pal_return(1), HYPAPI_HANDLED);
	assert_int_equal(words[0], 6);
	assert_int_equal(words[3], 8);
	fake.regs[HYPAPI_REG_RSI] = 17;
	assert_int_equal(call_at(entry + 8), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_I | PF_U, entry + 8);
	fake.regs[HYPAPI_REG_RSI] = -1ull;
	assert_int_equal(call_at(entry + 8), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_I | PF_U, entry + 8);
	assert_status(true, TV_WHY_CALLER);
	fake.regs[HYPAPI_REG_RSI] = 0;
	assert_int_equal(call_at(entry + 8), HYPAPI_HANDLED);
	assert_int_equal(pal_return(1), HYPAPI_HANDLED);
	assert_pal_works();
}

static void buffers_lie_where_they_would_if_they_were_full(void **state)
{
	uint64_t *param;

	(void)state;
	make_list();
	list.entries[1].params = (struct tv_pal_params){ .num_params = 4, .params = {
		{ .type = TV_PARAM_BUFFER, .size = 16 }, { .type = TV_PARAM_INTEGER },
		{ .type = TV_PARAM_BUFFER, .size = 100 }, { .type = TV_PARAM_INTEGER } } };
	assert_int_equal(register_list(), TV_OK);
	*(uint64_t *)fake_mem(BUFFER) = 77;
	fake.regs[HYPAPI_REG_RDI] = fake.regs[HYPAPI_REG_RDX] = BUFFER;
	fake.regs[HYPAPI_REG_RSI] = fake.regs[HYPAPI_REG_RCX] = 1;
	assert_int_equal(call_at(entry + 8), HYPAPI_HANDLED);
	param = fake_partition_mem(fake.current, PARAM);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RDX], PARAM + 8 * 7);
	assert_int_equal(fake.pal_regs[HYPAPI_REG_RDI], PARAM + 8 * (7 + 100 + 3 + 3));
	assert_int_equal(param[7], 77);
	assert_int_equal(param[113], 77);
	assert_int_equal(param[112], BUFFER);
	assert_int_equal(pal_return(1), HYPAPI_HANDLED);
}

static void a_listed_pal_shares(void **state)
{
	(void)state;
	make_list();
	assert_int_equal(register_list(), TV_OK);
	fake.cpl = 0;
	assert_int_equal(share_one(SHARED, 8), TV_E_NO_PAL); /* the kernel is no caller of it */
	fake.cpl = 3;
	assert_int_equal(share_one(SHARED, 8), TV_OK);
	assert_shares(SHARED, 4);
	entry += 8; /* by any entry point */
	assert_int_equal(share_one(SHARED + 0x1000, 8), TV_OK);
	entry -= 8;
	assert_shares(SHARED + 0x1004, 4);
	assert_int_equal(unregister_list(), TV_OK);
}

/* The PAL ends, and its caller goes on with an error. */
static void errors_instead_of_faults(void **state)
{
	(void)state;
	make_list();
	list.flags = TV_LIST_ERRORS;
	assert_int_equal(register_list(), TV_OK);
	assert_pal_works();
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	assert_int_equal(pal_exit(CODE + 0x222, 0x1234), HYPAPI_HANDLED);
	assert_int_equal(fake.injected, 0);
	assert_true(fake.regs[HYPAPI_REG_RAX] == TV_CALL_FAILED);
	assert_int_equal(fake.regs[HYPAPI_REG_RIP], RETURN_TO);
	assert_int_equal(fake.regs[HYPAPI_REG_RSP], CALLER_STACK + 8);
	assert_status(false, TV_WHY_FAULT);
	assert_int_equal(fake.regs[HYPAPI_REG_RCX] >> 16, 14);
	assert_int_equal(fake.regs[HYPAPI_REG_RSI], CODE + 0x222);
	assert_int_equal(fake.regs[HYPAPI_REG_RDI], 0x1234);
	assert_int_equal(unregister_list(), TV_OK);
	assert_int_equal(unregister_list(), TV_E_NO_PAL);

	/* A caller without a return address cannot be given one. */
	assert_int_equal(register_list(), TV_OK);
	fake.pages[9].rights = 0;
	fake.regs[HYPAPI_REG_RSP] = CALLER_STACK;
	fake.regs[HYPAPI_REG_RIP] = entry;
	struct hypapi_event ev = violation(entry, HYPAPI_X);
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
	assert_injected(PF_P | PF_I | PF_U, entry);
	fake.pages[9].rights = HYPAPI_RWX;
	/* Parameters that cannot be used. */
	fake.regs[HYPAPI_REG_RDI] = BUFFER;
	fake.regs[HYPAPI_REG_RSI] = 17;
	assert_int_equal(call_at(entry + 8), HYPAPI_HANDLED);
	assert_int_equal(fake.injected, 0);
	assert_true(fake.regs[HYPAPI_REG_RAX] == TV_CALL_FAILED);
	assert_pal_works();
}

static void fpu_where_it_is_asked_for(void **state)
{
	static const struct { int answer; uint32_t result; } failures[] = {
		{ HYPAPI_ENOTSUP, TV_E_UNSUPPORTED }, { HYPAPI_ENOMEM, TV_E_NO_ROOM },
	};

	(void)state;
	make_list();
	assert_int_equal(register_list(), TV_OK);
	assert_false(fake.partitions[handle - 1].fpu);
	assert_int_equal(unregister_list(), TV_OK);
	list.flags = TV_LIST_FPU;
	assert_int_equal(register_list(), TV_OK);
	assert_true(fake.partitions[handle - 1].fpu);
	assert_pal_works();
	assert_int_equal(unregister_list(), TV_OK);
	/* The pages are the guest's again, and the share is not used up. */
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		fake.fpu_answer = failures[i].answer;
		assert_int_equal(register_list(), failures[i].result);
		assert_int_equal(fake.owner[0] | fake.owner[1] | fake.owner[2] | fake.owner[3], 0);
	}
	fake.fpu_answer = HYPAPI_OK;
	assert_int_equal(register_list(), TV_OK);
}

static void status_tells_who_ended_it(void **state)
{
	struct hypapi_event ev;

	(void)state;
	make_list();
	assert_int_equal(register_list(), TV_OK);
	ev = violation(DATA, HYPAPI_W);
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
	assert_status(false, TV_WHY_WRITTEN);
	assert_int_equal(unregister_list(), TV_OK);
	assert_int_equal(register_list(), TV_OK);
	fake.pages[3].frame = 40;
	assert_int_equal(call_at(entry), HYPAPI_RETRY);
	assert_status(false, TV_WHY_LOST);
	fake.pages[3].frame = 3;
	/* What has ended counts in no share, and its record makes room when room is needed. */
	for (uint32_t i = 0; i < 64; i++) {
		fake.cpl = 0;
		assert_int_equal(register_small(i), TV_OK);
	}
	assert_int_equal(by_kernel(TV_CMD_STATUS_LIST, (uint32_t)handle, handle >> 32), TV_E_NO_PAL);
}

/* A PAL that ran too long, and one that executed what no PAL may. */
static void status_tells_how_it_ended(void **state)
{
	static const struct { uint32_t reason, why; } ends[] = {
		{ HYPAPI_PEXIT_TIME, TV_WHY_TIME }, { HYPAPI_PEXIT_INSTRUCTION, TV_WHY_EXIT },
		{ HYPAPI_PEXIT_EPT, TV_WHY_EXIT },
	};

	(void)state;
	make_list();
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct hypapi_event ev;

		assert_int_equal(register_list(), TV_OK);
		assert_int_equal(call_at(entry), HYPAPI_HANDLED);
		fake.pal_regs[HYPAPI_REG_RIP] = CODE + 0x222;
		ev = fake_event(HYPAPI_EV_PARTITION_EXIT, level);
		ev.args.partition_exit = (struct hypapi_partition_exit_args){ .reason = ends[i].reason };
		assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
		assert_injected(PF_P | PF_I | PF_U, entry);
		assert_status(false, ends[i].why);
		assert_int_equal(fake.regs[HYPAPI_REG_RSI], CODE + 0x222);
		assert_int_equal(unregister_list(), TV_OK);
	}
}

/* Its kernel wants it back while another CPU runs it. */
static void unregister_ends_what_runs(void **state)
{
	uint64_t running;

	(void)state;
	make_list();
	assert_int_equal(register_list(), TV_OK);
	assert_int_equal(call_at(entry), HYPAPI_HANDLED);
	running = fake.current;
	fake.current = 0;
	assert_int_equal(unregister_list(), TV_E_BUSY);
	assert_int_equal(unregister_list(), TV_E_BUSY);
	assert_int_equal(fake.stops, 1);
	fake.current = running;
	assert_int_equal(pal_return(5), HYPAPI_HANDLED);
	assert_int_equal(fake.regs[HYPAPI_REG_RAX], 5);
	assert_status(false, TV_WHY_ENDED);
	assert_int_equal(unregister_list(), TV_OK);
	assert_int_equal(fake.owner[1], 0);
}

/* Another virtual machine that learns a handle has another page there. */
static void a_handle_is_of_one_machine(void **state)
{
	(void)state;
	level = HYPAPI_L2;
	make_list();
	assert_int_equal(register_list(), TV_OK);
	fake.l2_moved = 0x1000;
	assert_int_equal(unregister_list(), TV_E_NO_PAL);
	fake.l2_moved = 0;
	assert_int_equal(unregister_list(), TV_OK);
}

static void only_kernels_register(void **state)
{
	static const struct { uint32_t level; uint8_t cpl; const char *option; uint32_t result; } cases[] = {
		{ HYPAPI_L1, 3, "kernel", TV_E_DENIED }, { HYPAPI_L1, 1, "kernel", TV_E_DENIED },
		{ HYPAPI_L2, 3, "kernel", TV_E_DENIED }, { HYPAPI_L2, 0, "kernel", TV_E_DENIED },
		{ HYPAPI_L1, 0, "kernel", TV_OK }, { HYPAPI_L1, 3, "any", TV_OK }, { HYPAPI_L2, 0, "any", TV_OK },
		{ HYPAPI_L1, 3, "", TV_E_DENIED }, { HYPAPI_L1, 3, "anyone", TV_E_DENIED },
		{ HYPAPI_L1, 3, "an", TV_E_DENIED }, { HYPAPI_L1, 3, NULL, TV_OK },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup(state);
		fake.registering = cases[i].option;
		boot();
		level = cases[i].level;
		fake.cpl = cases[i].cpl;
		if (register_pal() != cases[i].result || unregister_pal() != cases[i].result)
			fail_msg("register=%s, L%u, CPL %u", cases[i].option, level, cases[i].cpl);
		make_list();
		assert_int_equal(register_list(), TV_OK);
	}
}

static void l2_may_be_shut_out(void **state)
{
	static const struct { const char *option; uint32_t result, lines; } cases[] = {
		{ "off", TV_E_DENIED, 0 }, { "share=0", TV_E_NO_ROOM, 0 }, { "share=1", TV_E_NO_ROOM, 0 },
		{ "share=2", TV_OK, 0 }, { "share=100", TV_OK, 0 }, { "share=101", TV_E_DENIED, 1 },
		{ "share=", TV_E_DENIED, 1 }, { "share", TV_E_DENIED, 1 }, { "", TV_E_DENIED, 1 },
		{ "on", TV_E_DENIED, 1 }, { "share=5x", TV_E_DENIED, 1 }, { NULL, TV_OK, 0 },
		{ "share=2,1", TV_OK, 0 }, { "share=2,0", TV_E_NO_ROOM, 0 }, { "share=9,101", TV_E_DENIED, 1 },
		{ "share=9,", TV_E_DENIED, 1 }, { "share=,9", TV_E_DENIED, 1 }, { "share=9,9,9", TV_E_DENIED, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t lines;

		setup(state);
		fake.l2 = cases[i].option;
		boot();
		lines = (uint32_t)fake.log_lines - 1;
		level = HYPAPI_L2;
		if (register_pal() != cases[i].result || lines != cases[i].lines)
			fail_msg("l2=%s", cases[i].option);
		if (cases[i].result == TV_OK)
			assert_int_equal(unregister_pal(), TV_OK);
		make_list();
		assert_int_equal(register_list(), cases[i].result);
		level = HYPAPI_L1;
		list.pages[0].physical = FRAME_OF(PAGE(50)) | TV_SECTION_CODE;
		assert_int_equal(register_pal(), cases[i].result == TV_OK ? TV_E_OWNED : TV_OK);
	}
}

/* ---- What stays behind ---- */

#define SECRET_WORDS 400 /* more than a buffer of the copies holds */
#define SECRET(i) (0x5ec2e70000000000ull + (i))

/* How many words of a call's data lie in what is free of the stack now: what was called before has left them there. */
__attribute__((noinline, no_sanitize("address", "undefined"))) static int left_on_stack(void)
{
	const volatile uint64_t *word = __builtin_frame_address(0);
	int found = 0;

	for (int i = 2; i < 4096; i++)
		found += (word[-i] ^ SECRET(0)) < 4096;
	return found;
}

static void no_copies_are_left(void **state)
{
	uint64_t *caller = fake_mem(BUFFER), *stack = fake_mem(CALLER_STACK), *copy;

	(void)state;
	params.num_params = 8;
	params.params[0] = (struct tv_pal_param){ .type = TV_PARAM_POINTER, .size = SECRET_WORDS };
	for (int i = 1; i < 8; i++)
		params.params[i] = (struct tv_pal_param){ .type = TV_PARAM_INTEGER };
	assert_int_equal(register_pal(), TV_OK);
	for (uint64_t i = 0; i < SECRET_WORDS; i++)
		caller[i] = SECRET(i);
	fake.regs[HYPAPI_REG_RDI] = BUFFER;
	fake.regs[HYPAPI_REG_RSI] = fake.regs[HYPAPI_REG_RDX] = fake.regs[HYPAPI_REG_RCX] = SECRET(1000);
	fake.regs[HYPAPI_REG_R8] = fake.regs[HYPAPI_REG_R9] = SECRET(1001);
	stack[1] = stack[2] = SECRET(1002);
	assert_int_equal(left_on_stack(), 0);
	assert_int_equal(call_at(ENTRY), HYPAPI_HANDLED);
	assert_int_not_equal(fake.current, 0);
	assert_int_equal(left_on_stack(), 0);

	copy = fake_partition_mem(fake.current, fake.pal_regs[HYPAPI_REG_RDI]);
	assert_true(copy[SECRET_WORDS - 1] == SECRET(SECRET_WORDS - 1));
	assert_int_equal(pal_return(7), HYPAPI_HANDLED);
	assert_int_equal(fake.current, 0);
	assert_int_equal(left_on_stack(), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(registers_and_unregisters), TEST(bad_requests_cost_no_stop),
		TEST(descriptors_are_read_up_to_their_count), TEST(descriptors_may_cross_pages),
		TEST(vuln_4_read_only_page_as_data),
		TEST(pages_with_two_names_are_refused), TEST(checks_again_after_a_foreign_stop), TEST(table_full),
		TEST(each_machine_has_a_share), TEST(each_machine_has_pages), TEST(two_cpus_rename_a_machine),
		TEST(each_machine_has_shared_pages), TEST(a_rename_hides_no_shared_pages),
		TEST(shares_count_pages), TEST(a_wrong_share_allows_nothing), TEST(doomed_registrations_cost_one_stop),
		TEST(wary_for_a_while), TEST(l1_maps_what_l2_registers_and_calls_with),
		TEST(l1_takes_the_home_page_for_a_while), TEST(l1_gives_the_home_page_back_meanwhile),
		TEST(l1_takes_a_buffer_during_a_call),
		TEST(unregister_of_a_running_pal_costs_no_stop),
		TEST(an_empty_budget_repeats),
		TEST(registration_is_repeated_until_measured), TEST(another_request_is_not_a_repetition),
		TEST(l1_takes_the_home_page_of_a_registration), TEST(a_registration_loses_its_home),
		TEST(a_registration_is_its_machines), TEST(a_registration_is_its_process),
		TEST(a_thread_does_not_wait_for_itself),
		TEST(a_registration_given_up),
		TEST(a_destruction_does_not_wait),
		TEST(unregister_knows_the_whole_identity), TEST(passes_integers_and_hides_registers),
		TEST(passes_eight_integers), TEST(copies_pointed_words_in_and_out), TEST(copies_large_buffers),
		TEST(unwritable_pointer_faults_as_its_own_access), TEST(hopeless_pointers_are_refused_at_the_entry),
		TEST(copy_back_failure_leaves_a_ready_pal), TEST(only_the_entry_point_enters),
		TEST(bad_caller_stack_is_refused), TEST(second_caller_retries), TEST(faulting_pal_is_destroyed),
		TEST(outside_write_destroys), TEST(fetch_of_another_address_space_destroys),
		TEST(foreign_fetch_while_a_pal_runs), TEST(code_must_be_the_callers_to_write),
		TEST(code_must_be_writable_under_the_stop),
		TEST(all_code_must_be_the_callers_to_write),
		TEST(shared_code_is_a_copy), TEST(shared_code_is_limited),
		TEST(records_what_is_so_under_the_stop),
		TEST(outside_write_to_a_running_pal), TEST(memory_of_others_is_passed_on),
		TEST(vuln_3_shutdown_wipes), TEST(serves_32_bit_callers), TEST(answers_every_command), TEST(detection),
		TEST(no_copies_are_left),
		TEST(shared_ranges_are_where_they_are), TEST(bad_shared_ranges), TEST(shared_pages_are_limited),
		TEST(shared_code_needs_room),
		TEST(a_kernel_registers_for_its_processes), TEST(lists_are_for_kernels), TEST(no_page_table_is_walked),
		TEST(bad_lists_are_refused), TEST(the_request_itself_may_lie_badly),
		TEST(a_list_of_l2_must_be_l2s_to_write), TEST(a_list_has_options),
		TEST(a_listed_copy_is_only_read),
		TEST(a_list_is_repeated_until_measured), TEST(a_list_loses_its_home),
		TEST(several_entries_share_the_data),
		TEST(without_ept12_l2_names_no_pages), TEST(several_entries_share_the_data),
		TEST(a_handle_needs_a_home_of_its_own), TEST(several_entries_share_the_data),
		TEST(buffers_lie_where_they_would_if_they_were_full), TEST(errors_instead_of_faults),
		TEST(fpu_where_it_is_asked_for), TEST(a_listed_pal_shares),
		TEST(status_tells_who_ended_it), TEST(status_tells_how_it_ended), TEST(unregister_ends_what_runs),
		TEST(a_handle_is_of_one_machine),
		TEST(only_kernels_register), TEST(l2_may_be_shut_out),
	};

	return run_tpm_tests() + cmocka_run_group_tests(tests, NULL, NULL);
}
