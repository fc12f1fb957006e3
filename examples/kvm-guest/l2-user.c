/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring 3 program of the L2 kernel. vCPU 0 measures the port round trip, then registers the example PAL, calls it,
 * and has everybody look at its memory: itself, vCPU 1, and L1. At last all vCPUs do stress rounds, each with its own
 * PAL.
 * Compiled without SIMD; everything here lies in pages that ring 3 may use.
 */
#include "l2-kernel.h"

#include <stdbool.h>
#include <stddef.h>

#include "../pal/pal.h"

#define PAGE 4096
#define CALLS_PER_ROUND 4
#define SECRET 0x5ec7e75ec7e75ec7ull

struct recovery recovery[L2_MAX_VCPUS];
TV_PAL_DATA uint64_t tv_pal_is_there = 1; /* of the template: every copy begins ready to be registered */
uint8_t user_stacks[L2_MAX_VCPUS][8192] __attribute__((aligned(16)));

/* A vCPU's own PAL: copies of the template's pages, then the param and the stack section. */
struct pal_area {
	uint8_t code[PAGE], data[PAGE], param[PAGE], stack[PAGE];
};
_Static_assert(sizeof(struct pal_area) == L2_LOOK_PAGES * PAGE, "what L1 looks at");
static struct pal_area areas[L2_MAX_VCPUS] __attribute__((aligned(4096)));
extern uint8_t pal_template[], pal_template_data[], pal_template_end[];

static const struct tv_pal_params two_integers = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } };
static const struct tv_pal_params integer_and_buffer = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER },
				     { .type = TV_PARAM_POINTER, .size = PAL_BUFFER_WORDS } } };

static uint32_t failures; /* atomic */

/* ---- Text ---- */

struct line {
	size_t used;
	char text[120];
};

static void put(struct line *line, const char *text)
{
	while (*text && line->used < sizeof(line->text) - 1)
		line->text[line->used++] = *text++;
	line->text[line->used] = 0;
}

static void put_number(struct line *line, uint64_t value, uint32_t base)
{
	char digits[21];
	int at = 20;

	digits[20] = 0;
	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	put(line, base == 16 ? "0x" : "");
	put(line, &digits[at]);
}

static void print(const struct line *line)
{
	outl(L2_PORT_PRINT, (uint32_t)(uintptr_t)line->text);
}

static void report(bool ok, const char *what, const char *text)
{
	struct line line = { .used = 0 };

	put(&line, "L2 ");
	put(&line, what);
	put(&line, ": ");
	put(&line, text);
	put(&line, ok ? "" : "  FAILED");
	print(&line);
	if (!ok)
		__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
}

/* ---- Exits ---- */

static void print_median(const char *name, const uint64_t *sorted)
{
	struct line line = { .used = 0 };

	put(&line, name);
	put(&line, " 1 ");
	put_number(&line, sorted[BENCH_SAMPLES / 2], 10);
	print(&line);
}

static void measure_exits(void)
{
	uint64_t samples[BENCH_SAMPLES];

	for (int i = -BENCH_WARM_UP; i < BENCH_SAMPLES; i++) {
		uint64_t start = read_ticks();

		outl(L2_PORT_PING, 0);
		if (i >= 0)
			bench_insert(samples, i, read_ticks() - start);
	}
	print_median("B linux-l2-exit", samples);
}

/* ---- The PAL ---- */

static void *in_area(struct pal_area *area, const void *in_template)
{
	return (uint8_t *)area + ((const uint8_t *)in_template - pal_template);
}

static struct pal_data *data_of(struct pal_area *area)
{
	return in_area(area, &pal_data);
}

static void fill_pal(struct pal_area *area, uint64_t secret)
{
	size_t template_words = (size_t)(pal_template_end - pal_template) / 8;

	for (size_t i = 0; i < sizeof(*area) / 8; i++)
		((volatile uint64_t *)area)[i] = i < template_words ? ((const uint64_t *)pal_template)[i] : 0;
	data_of(area)->secret = secret;
}

static bool by_list; /* the kernel registers PALs, for which each vCPU has but one; else ring 3 itself */
static bool measures;

static uint64_t ask_kernel(enum l2_call what, const struct pal_area *area, const struct tv_list_entry *entry)
{
	uint64_t rax = what;

	__asm__ volatile("int %1" : "+a"(rax) : "i"(L2_VECTOR), "D"(area), "S"(entry) : "memory");
	return rax;
}

static uint32_t register_by_kernel(struct pal_area *area, const struct tv_pal_params *params, const void *entry)
{
	const struct tv_list_entry listed = { (uintptr_t)in_area(area, entry), *params };

	return (uint32_t)ask_kernel(L2_CALL_REGISTER, area, &listed);
}

static uint32_t register_pal(struct pal_area *area, const struct tv_pal_params *params, const void *entry)
{
	if (by_list)
		return register_by_kernel(area, params, entry);

	const struct tv_pal_sections sections = { .num_sections = 4, .sections = {
		{ TV_SECTION_CODE, 1, (uintptr_t)area->code }, { TV_SECTION_DATA, 1, (uintptr_t)area->data },
		{ TV_SECTION_PARAM, 1, (uintptr_t)area->param }, { TV_SECTION_STACK, 1, (uintptr_t)area->stack } } };
	return tv_hypercall(TV_L2_BASE_DEFAULT, TV_CMD_REGISTER, (uintptr_t)&sections, 0, (uintptr_t)params,
			    (uintptr_t)in_area(area, entry));
}

/* Fills a PAL's pages and registers it with one of the template's entry points. */
static uint32_t start_pal(struct pal_area *area, const struct tv_pal_params *params, const void *entry, uint64_t secret)
{
	fill_pal(area, secret);
	return register_pal(area, params, entry);
}

static uint32_t end_pal(struct pal_area *area, const void *entry)
{
	if (by_list)
		return (uint32_t)ask_kernel(L2_CALL_UNREGISTER, area, NULL);
	return tv_hypercall(TV_L2_BASE_DEFAULT, TV_CMD_UNREGISTER, (uintptr_t)in_area(area, entry), 0, 0, 0);
}

/* Code, which is the area's first page, reads as INT3, everything else as zeros. */
static bool reads_nothing(const struct pal_area *area)
{
	const volatile uint64_t *words = (const void *)area;

	for (size_t i = 0; i < sizeof(*area) / 8; i++)
		if (i < sizeof(area->code) / 8 ? !tv_reads_as_code(words[i], i) : words[i] != 0)
			return false;
	return true;
}

/* ---- What vCPU 1 does for vCPU 0 ---- */

enum errand { WAIT, LOOK, SPOIL, STRESS };
static uint32_t errand; /* atomic; vCPU 1 sets it back to WAIT when it is done */
static bool errand_saw_nothing;

static void send(enum errand what)
{
	__atomic_store_n(&errand, what, __ATOMIC_RELEASE);
	while (__atomic_load_n(&errand, __ATOMIC_ACQUIRE) == what)
		__builtin_ia32_pause();
}

/* ---- Attacks ---- */

/* Calls `target`; true if that ended in a page fault. Registers that a function may change are free in between. */
static bool call_faults(uint32_t vcpu, const void *target)
{
	uint64_t faulted = 0;
	struct recovery *saved = &recovery[vcpu];

	__asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
			 "mov %%rcx, 0(%1)\n\t"
			 "mov %%rsp, 8(%1)\n\t"
			 "xor %%eax, %%eax\n\t"
			 "call *%2\n\t"
			 "xor %%eax, %%eax\n"
			 "1:"
			 : "=&a"(faulted) : "b"(saved), "r"(target)
			 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	saved->rip = 0;
	return faulted;
}

static void attack_reads(struct pal_area *area, uint32_t vcpus)
{
	report(reads_nothing(area), "outside read", "zeros and INT3");
	outl(L2_PORT_LOOK, (uint32_t)(uintptr_t)area);
	report(inl(L2_PORT_LOOK) == 0, "outside read from L1", "zeros and INT3");
	if (vcpus > 1) {
		send(LOOK);
		report(errand_saw_nothing, "outside read from vCPU 1", "zeros and INT3");
	}
	report(call_faults(0, (const uint8_t *)in_area(area, pal_add) + 1), "wrong entry", "fault");
	report(recovery[0].cr2 == (uintptr_t)in_area(area, pal_add) + 1, "fault address", "the one jumped to");
}

enum writer { WRITE_HERE, WRITE_L1, WRITE_VCPU1 };

static void attack_write(struct pal_area *area, enum writer writer)
{
	static const char *const names[] = { "outside write", "outside write from L1", "outside write from vCPU 1" };
	const volatile struct pal_data *data = data_of(area);
	uint32_t result = start_pal(area, &two_integers, pal_add, SECRET);

	if (writer == WRITE_HERE)
		*(volatile uint64_t *)&data_of(area)->calls = L2_SPOILED;
	else if (writer == WRITE_L1)
		outl(L2_PORT_SPOIL, (uint32_t)(uintptr_t)&data->calls);
	else
		send(SPOIL);
	report(result == TV_OK && data->secret == 0 && data->calls == L2_SPOILED, names[writer],
	       "PAL destroyed, secret gone");
	report(((uint64_t (*)(uint64_t, uint64_t))in_area(area, pal_add))(1, 2) == TV_NOT_IN_PAL, "call of no PAL",
	       "an error");
	if (by_list)
		report(ask_kernel(L2_CALL_STATUS, area, NULL) == TV_WHY_WRITTEN, "status", "somebody wrote to it");
	/* By list its record is there until then. */
	report(end_pal(area, pal_add) == (by_list ? TV_OK : TV_E_NO_PAL), "unregister afterwards", "no such PAL");
}

/* ---- Calls ---- */

static void call_add(struct pal_area *area)
{
	uint64_t (*add)(uint64_t, uint64_t) = in_area(area, pal_add);
	uint64_t sum = add(40, 2);
	struct line text = { .used = 0 };

	put(&text, "40 + 2 + secret = ");
	put_number(&text, sum, 16);
	report(sum == 42 + SECRET, "PAL result", text.text);
}

static void call_crypt(struct pal_area *area)
{
	uint64_t (*crypt)(uint64_t, uint64_t *) = in_area(area, pal_crypt);
	uint64_t words[PAL_BUFFER_WORDS];
	bool changed, restored = true;

	for (uint64_t i = 0; i < PAL_BUFFER_WORDS; i++)
		words[i] = i;
	if (start_pal(area, &integer_and_buffer, pal_crypt, SECRET) != TV_OK) {
		report(false, "register with a pointer", "refused");
		return;
	}
	changed = crypt(99, words) == 1 && words[0] == ((PAL_BUFFER_WORDS - 1) ^ SECRET ^ 99);
	restored = crypt(99, words) == 2;
	for (uint64_t i = 0; i < PAL_BUFFER_WORDS; i++)
		restored &= words[i] == i;
	report(changed && restored, "PAL result", "buffer encrypted and decrypted, calls counted");
	report(end_pal(area, pal_crypt) == TV_OK && data_of(area)->secret == 0, "unregister",
	       "success, PAL data zeroed");
}

/* The template's pages are read again in every round, since unregister zeroes those that the PAL can write. */
static void measure_pal(struct pal_area *area)
{
	static const char *const names[BENCH_PARTS] = { "B pal-register-l2", "B pal-invoke-l2", "B pal-return-l2",
							"B pal-unregister-l2" };
	static uint64_t samples[BENCH_PARTS][BENCH_SAMPLES];
	uint64_t (*time)(uint64_t, uint64_t) = in_area(area, pal_time);
	bool right = true;

	for (int i = -BENCH_WARM_UP; i < BENCH_SAMPLES; i++) {
		uint64_t at[BENCH_PARTS + 1];

		fill_pal(area, SECRET);
		at[0] = read_ticks();
		right &= register_pal(area, &two_integers, pal_time) == TV_OK;
		at[1] = read_ticks();
		at[2] = time(1, 2);
		at[3] = read_ticks();
		right &= end_pal(area, pal_time) == TV_OK;
		at[4] = read_ticks();
		for (int part = 0; i >= 0 && part < BENCH_PARTS; part++)
			bench_insert(samples[part], i, at[part + 1] - at[part]);
	}
	report(right, "measured", "rounds of register, call, unregister");
	for (int part = 0; part < BENCH_PARTS; part++)
		print_median(names[part], samples[part]);
}

static void stress(uint32_t vcpu, uint32_t rounds)
{
	struct pal_area *area = &areas[vcpu];
	uint64_t (*add)(uint64_t, uint64_t) = in_area(area, pal_add);
	struct line text = { .used = 0 };
	bool right = true;
	uint32_t round;

	for (round = 1; round <= rounds && right; round++) {
		uint64_t secret = SECRET * round + vcpu;

		right &= start_pal(area, &two_integers, pal_add, secret) == TV_OK;
		for (uint64_t i = 0; i < CALLS_PER_ROUND && right; i++)
			right &= add(round, i) == round + i + secret;
		right &= end_pal(area, pal_add) == TV_OK && data_of(area)->secret == 0;
	}
	put(&text, "vCPU ");
	put_number(&text, vcpu, 10);
	put(&text, right ? ": all right, rounds: " : ": wrong in round ");
	put_number(&text, round - 1, 10);
	report(right, "stress", text.text);
}

/* ---- Two machines, whose equal pages L1 merges ---- */

static void meet(void)
{
	outl(L2_PORT_MEET, 0);
}

/* Until the page is one with the other machine's; or not, after a while. */
static void merge(const uint8_t *page, bool will, const char *text)
{
	outl(L2_PORT_MERGE, (uint32_t)(uintptr_t)page + !will);
	report(inl(L2_PORT_MERGE) == will, will ? "merged by L1" : "not merged by L1", text);
}

/* Nobody has registered it for this machine: it computes with this machine's data. */
static void call_unregistered(struct pal_area *area, uint64_t secret, const char *text)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = in_area(area, pal_add);

	report(add(1, 2) == 3 + secret, "own function", text);
}

/* All but the code's page becomes this machine's own; the code can be read and executed. */
static uint32_t register_merged_code(struct pal_area *area, uint64_t secret)
{
	(void)*(volatile uint8_t *)area->code;
	data_of(area)->secret = secret;
	*(volatile uint8_t *)area->param = *(volatile uint8_t *)area->stack = 0;
	return register_pal(area, &two_integers, pal_add);
}

/* A function that is one page in both machines belongs to neither PAL: who registers it gets a page of its own. */
static void go_for_function(struct pal_area *area, enum l2_role role, uint64_t secret)
{
	fill_pal(area, secret);
	merge(area->code, true, "the code of two machines is one page");
	if (role == L2_ATTACKER)
		report(register_merged_code(area, secret) == TV_OK, "register a merged page", "L1 parts it");
	meet();
	if (role == L2_VICTIM)
		call_unregistered(area, secret, "its own answer while another machine goes for it");
	meet();
	if (role == L2_ATTACKER) {
		end_pal(area, pal_add);
		report(start_pal(area, &two_integers, pal_add, secret) == TV_OK, "register an own page", "success");
	}
	meet();
	if (role == L2_VICTIM)
		call_unregistered(area, secret, "its own answer beside the other machine's PAL");
	meet();
	if (role == L2_ATTACKER)
		report(end_pal(area, pal_add) == TV_OK, "unregister", "success");
}

static void use_merged(struct pal_area *area, enum l2_role role)
{
	uint64_t secret = SECRET + role;
	uint64_t (*volatile add)(uint64_t, uint64_t) = in_area(area, pal_add);

	go_for_function(area, role, secret);
	report(start_pal(area, &two_integers, pal_add, secret) == TV_OK && add(1, 2) == 3 + secret,
	       "PAL of two machines", "each has its own");
	merge(area->stack, true, "the stacks of two PALs are one page");
	merge(area->code, false, "the code of two PALs");
	report(reads_nothing(area), "outside read", "zeros and INT3");
	outl(L2_PORT_LOOK, (uint32_t)(uintptr_t)area);
	report(inl(L2_PORT_LOOK) == 0, "outside read from L1", "zeros and INT3");
	meet();
	report(add(1, 2) == TV_NOT_IN_PAL, "call of a merged PAL", "an error");
	report(end_pal(area, pal_add) == TV_E_NO_PAL, "unregister", "no such PAL");
	meet();
	report(start_pal(area, &two_integers, pal_add, secret) == TV_OK && add(3, 4) == 7 + secret &&
	       end_pal(area, pal_add) == TV_OK, "afterwards", "a PAL as ever");
}

/* ---- What L1's Linux does behind L2's back ---- */

/* False: it trapped. */
static bool call_or_trap(const void *target, uint64_t a, uint64_t b, uint64_t *answer)
{
	struct recovery *saved = &recovery[0];
	uint64_t trapped;

	__asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
			 "mov %%rcx, 0(%2)\n\t"
			 "mov %%rsp, 8(%2)\n\t"
			 "call *%3\n\t"
			 "mov %%rax, %%rdx\n\t"
			 "xor %%eax, %%eax\n"
			 "1:"
			 : "=&a"(trapped), "=&d"(*answer), "+b"(saved) : "r"(target), "D"(a), "S"(b)
			 : "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
	recovery[0].rip = 0;
	return !trapped;
}

/* A page of a PAL: the call is right or fails, nothing is seen, and the next PAL is one as ever. */
static void disturb(struct pal_area *area, enum l2_disturbance how, uint32_t number)
{
	static const char *const names[] = { "", "moved to another node", "collapsed into a huge page", "paged out" };
	const void *add = in_area(area, pal_add);
	uint64_t answer = 0;
	bool returns;

	report(start_pal(area, &two_integers, pal_add, SECRET) == TV_OK && call_or_trap(add, 1, 2, &answer) &&
	       answer == 3 + SECRET, "PAL", "registered and called");
	outl(L2_PORT_DISTURB, (uint32_t)(uintptr_t)(area->code + number * PAGE) + how);
	report(inl(L2_PORT_DISTURB) == 1, "page of it", names[how]);
	report(reads_nothing(area), "outside read", "zeros and INT3");
	returns = call_or_trap(add, 3, 4, &answer);
	report(!returns || answer == 7 + SECRET || answer == TV_NOT_IN_PAL, "call after that",
	       !returns ? "a trap" : answer == TV_NOT_IN_PAL ? "an error" : "right");
	end_pal(area, pal_add);
	report(data_of(area)->secret == 0, "its data afterwards", "zero");
}

static void disturb_all(struct pal_area *area)
{
	for (uint32_t how = L2_MOVE; how < L2_DISTURBANCES; how++)
		for (uint32_t number = 0; number < (how == L2_COLLAPSE ? 1 : L2_LOOK_PAGES); number++)
			disturb(area, how, number);
}

/* ---- A machine that is killed ---- */

/* Says nothing but what is wrong, and ends then: there are many of these machines. */
static void must(bool right, const char *what)
{
	if (right)
		return;
	report(false, what, "in a machine that is to be killed");
	outl(L2_PORT_EXIT, 1);
}

static void await_death(struct pal_area *area, enum l2_last last)
{
	const void *entry = last == L2_IN_PAL ? (void *)pal_misuse : (void *)pal_add;
	uint64_t (*volatile call)(uint64_t, uint64_t) = in_area(area, entry);

	/* L1 maps the page of the descriptors when it is touched first; TrustVisor does not make it do so. */
	(void)*(const volatile uint32_t *)&two_integers.num_params;
	while (last == L2_REGISTERS) {
		outl(L2_PORT_LAST, (uint32_t)(uintptr_t)area);
		must(start_pal(area, &two_integers, entry, SECRET) == TV_OK && end_pal(area, entry) == TV_OK,
		     "register and unregister");
	}
	must(start_pal(area, &two_integers, entry, SECRET) == TV_OK, "register");
	outl(L2_PORT_LAST, (uint32_t)(uintptr_t)area);
	if (last == L2_IN_PAL)
		call(PAL_LOOP, 0);
	while (last == L2_CALLS)
		must(call(1, 2) == 3 + SECRET, "call");
	for (;;)
		__builtin_ia32_pause();
}

/* ---- Roles ---- */

static void serve_errands(uint32_t rounds)
{
	for (;;) {
		switch (__atomic_load_n(&errand, __ATOMIC_ACQUIRE)) {
		case LOOK:
			errand_saw_nothing = reads_nothing(&areas[0]);
			break;
		case SPOIL:
			*(volatile uint64_t *)&data_of(&areas[0])->calls = L2_SPOILED;
			break;
		case STRESS:
			stress(1, rounds);
			break;
		default:
			__builtin_ia32_pause();
			continue;
		}
		__atomic_store_n(&errand, WAIT, __ATOMIC_RELEASE);
	}
}

/* For vCPU 0's PAL. Which the machine allows is its administrator's to say. */
static void refuse_other_way(struct pal_area *area)
{
	uint32_t result;

	by_list = false;
	result = start_pal(area, &two_integers, pal_add, SECRET);
	if (result == TV_OK)
		end_pal(area, pal_add);
	else
		report(result == TV_E_DENIED, "register by ring 3", "not allowed here");
	by_list = true;
}

static void use_pal(uint32_t vcpus)
{
	struct pal_area *area = &areas[0];

	report(true, "way to register", by_list ? "its kernel's list" : "hypercall");
	if (by_list)
		refuse_other_way(area);
	report(tv_hypercall(TV_L2_BASE_DEFAULT, TV_CMD_TEST, 0, 0, 0, 0) == TV_OK, "test", "success");
	if (start_pal(area, &two_integers, pal_add, SECRET) != TV_OK) {
		report(false, "register", "refused");
		return;
	}
	report(true, "register", "success");
	call_add(area);
	attack_reads(area, vcpus);
	call_add(area);
	report(end_pal(area, pal_add) == TV_OK && data_of(area)->secret == 0, "unregister", "success, PAL data zeroed");
	attack_write(area, WRITE_HERE);
	attack_write(area, WRITE_L1);
	if (vcpus > 1)
		attack_write(area, WRITE_VCPU1);
	call_crypt(area);
	if (measures)
		measure_pal(area);
}

static void stress_all(uint32_t vcpus, uint32_t rounds)
{
	if (vcpus > 1)
		__atomic_store_n(&errand, STRESS, __ATOMIC_RELEASE);
	stress(0, rounds);
	while (__atomic_load_n(&errand, __ATOMIC_ACQUIRE) != WAIT)
		__builtin_ia32_pause();
}

void user_main(uint32_t vcpu, uint32_t vcpus, uint32_t rounds)
{
	enum l2_role role = inl(L2_PORT_ROLE);
	enum l2_last last = inl(L2_PORT_LAST);
	uint32_t way = inl(L2_PORT_WAY);

	by_list = way & L2_WAY_LIST;
	measures = way == 0;
	if (way & L2_WAY_DISTURB) {
		disturb_all(&areas[0]);
		outl(L2_PORT_EXIT, failures != 0);
	}
	if (vcpu != 0)
		serve_errands(rounds);
	if (last != L2_LIVES)
		await_death(&areas[0], last);
	if (role != L2_ALONE) {
		use_merged(&areas[0], role);
		outl(L2_PORT_EXIT, failures != 0);
	}
	if (measures)
		measure_exits();
	if (tv_present(TV_L2_BASE_DEFAULT, NULL, NULL)) {
		use_pal(vcpus);
		if (rounds)
			stress_all(vcpus, rounds);
	} else {
		report(true, "PAL", "skipped, no TrustVisor below");
	}
	outl(L2_PORT_EXIT, failures != 0);
	for (;;)
		__builtin_ia32_pause();
}
