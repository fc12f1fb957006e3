/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TrustVisor on the simulator: a PAL's life in L1 and in L2, seen from all sides at once. The core's own EPT01, EPT02,
 * partitions and stops are in force, so what a CPU may still read after a registration is what the tests are about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "include/trustvisor/abi.h"

extern const struct hypapp_descriptor hypapp_trustvisor;
static const struct hypapp_descriptor *const hypapps[] = { &hypapp_trustvisor, NULL };

enum { UD = 6, GP = 13, PF = 14, HLT = 12, BUFFER_WORDS = 4 };
#define PAGES(n) ((n) * 0x1000ull)
#define SECRET 0x5ec2e75ec2e7ull
#define IN_L2 PAGES(4) /* where L2's PAL begins, L2-physical and linear */

/* A PAL, six pages from `base` in its caller's address space; the two last are the caller's. */
static struct place {
	uint64_t base;
	uint64_t gpa1; /* of the same */
	struct sim_l2 *l2;
} place;

static uint64_t code_at(void) { return place.base; }
static uint64_t data_at(void) { return place.base + PAGES(1); }
static uint64_t param_at(void) { return place.base + PAGES(2); }
static uint64_t stack_at(void) { return place.base + PAGES(3); }
static uint64_t request_at(void) { return place.base + PAGES(4); }
static uint64_t buffer_at(void) { return place.base + PAGES(5); }
static uint64_t entry(void) { return code_at() + 0x40; }

/* Memory of the PAL as the memory chips have it. */
static uint64_t *chips(uint64_t page)
{
	return sim_ram(HPA(place.gpa1 + PAGES(page)));
}

/* ---- The caller: L1's code or L2's ---- */

static uint32_t command(uint32_t number)
{
	sim_assert(sim_hypercall(number) == 0);
	return (uint32_t)sim_get(HYPAPI_REG_RAX);
}

static void write_request(void)
{
	const struct tv_pal_sections sections = { .num_sections = 4, .sections = {
		{ TV_SECTION_CODE, 1, code_at() }, { TV_SECTION_DATA, 1, data_at() },
		{ TV_SECTION_PARAM, 1, param_at() }, { TV_SECTION_STACK, 1, stack_at() } } };
	const struct tv_pal_params params = { .num_params = 2, .params = {
		{ .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_POINTER, .size = BUFFER_WORDS } } };

	sim_assert(!sim_write(GVA(request_at()), &sections, sizeof(sections)));
	sim_assert(!sim_write(GVA(request_at() + 0x800), &params, sizeof(params)));
}

static uint32_t register_written(void)
{
	sim_set(HYPAPI_REG_RCX, request_at());
	sim_set(HYPAPI_REG_RDX, 0);
	sim_set(HYPAPI_REG_RSI, request_at() + 0x800);
	sim_set(HYPAPI_REG_RDI, entry());
	return command(TV_CMD_REGISTER);
}

static uint32_t register_pal(void)
{
	write_request();
	return register_written();
}

static uint32_t unregister_pal(void)
{
	sim_set(HYPAPI_REG_RCX, entry());
	return command(TV_CMD_UNREGISTER);
}

/* Calls the PAL with two arguments; the answer is RAX. */
static uint64_t call_pal(uint64_t integer)
{
	sim_set(HYPAPI_REG_RDI, integer);
	sim_set(HYPAPI_REG_RSI, buffer_at());
	sim_set(HYPAPI_REG_R11, 77);
	sim_assert(sim_call(GVA(entry())) == 0);
	sim_assert(sim_get(HYPAPI_REG_R11) == 0);
	return sim_get(HYPAPI_REG_RAX);
}

/* ---- The PAL: adds its integer to each word of the buffer and to a secret in its data, which is the answer ---- */

static void pal(void *arg)
{
	uint64_t integer = sim_get(HYPAPI_REG_RDI), buffer = sim_get(HYPAPI_REG_RSI);

	(void)arg;
	sim_assert(sim_get(HYPAPI_REG_RIP) == entry());
	sim_assert(sim_get(HYPAPI_REG_R11) == 0);
	for (uint32_t i = 0; i < BUFFER_WORDS; i++)
		sim_write64(GVA(buffer + 8 * i), sim_read64(GVA(buffer + 8 * i)) + integer);
	sim_write64(GVA(data_at()), sim_read64(GVA(data_at())) + integer);
	sim_assert(command(TV_CMD_TEST) == TV_OK);
	sim_assert(command(TV_CMD_UNREGISTER) == TV_E_IN_PAL);
	sim_assert(!sim_cpuid(TV_CPUID_LEAF, place.l2 ? hypapi_l2_hypercall_base() : 0));
	sim_assert(sim_get(HYPAPI_REG_RBX) == 0);
	sim_set(HYPAPI_REG_RAX, sim_read64(GVA(data_at())));
	sim_set(HYPAPI_REG_R11, SECRET);
}

/* A PAL that reaches for its caller's memory. */
static void pal_that_looks_out(void *arg)
{
	(void)arg;
	sim_read64(GVA(buffer_at()));
	sim_fault("a PAL reads its caller's memory");
}

/* ---- One life ---- */

static void life(void *arg)
{
	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	for (uint32_t i = 0; i < BUFFER_WORDS; i++)
		sim_write64(GVA(buffer_at() + 8 * i), i);
	sim_assert(register_pal() == TV_OK);
	sim_assert(register_pal() == TV_E_OWNED);
	sim_assert(*chips(1) == SECRET);
	sim_assert(sim_read64(GVA(data_at())) == 0);
	sim_assert(sim_read64(GVA(code_at())) == TV_INT3_WORD);
	sim_assert(call_pal(5) == SECRET + 5);
	sim_assert(call_pal(6) == SECRET + 11);
	for (uint32_t i = 0; i < BUFFER_WORDS; i++)
		sim_assert(sim_read64(GVA(buffer_at() + 8 * i)) == i + 11);
	sim_assert(sim_call(GVA(entry() + 1)) == PF);
	sim_assert(sim_read64(GVA(data_at())) == 0);
	sim_assert(sim_read64(GVA(stack_at())) == 0);
	sim_assert(unregister_pal() == TV_OK);
	sim_assert(unregister_pal() == TV_E_NO_PAL);
	sim_assert(*chips(1) == 0 && *chips(3) == 0);
	*chips(3) = 3;
	sim_assert(sim_read64(GVA(stack_at())) == 3);
	sim_write64(GVA(data_at()), 1);
	sim_assert(*chips(1) == 1);
	sim_assert(sim_call(GVA(entry())) == SIM_NOT_A_CALL);
}

/*
 * Its process dies without unregistering, and the operating system has a device read a file into its pages: that is
 * blocked, and the PAL keeps what it has. The page is the machine's for devices, too, once the PAL is gone.
 */
static void forgotten(void *arg)
{
	const gpa1_t data = GPA1(place.gpa1 + PAGES(1)), behind = GPA1(place.gpa1 + PAGES(4));

	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	sim_assert(sim_device(data, HYPAPI_RW)); /* the unit remembers that */
	sim_assert(register_pal() == TV_OK);
	for (uint64_t page = 0; page < 4; page++) {
		gpa1_t at = GPA1(place.gpa1 + PAGES(page));

		sim_assert(!sim_device(at, HYPAPI_R) && !sim_device(at, HYPAPI_W));
	}
	sim_assert(sim_device(behind, HYPAPI_RW));
	sim_assert(call_pal(1) == SECRET + 1);
	sim_assert(unregister_pal() == TV_OK);
	sim_assert(sim_device(data, HYPAPI_RW) && *chips(1) == 0);
}

static void forgotten_in_l2(void *arg)
{
	sim_assert(sim_l2_run(place.l2, forgotten, arg, NULL) == HLT);
}

/* Merged with nobody else's: no two look alike. */
static void looks(void *arg)
{
	uint64_t mark = code_at() + PAGES(1) - TV_MARK_WORDS * 8, first;

	(void)arg;
	sim_assert(register_pal() == TV_OK);
	first = sim_read64(GVA(mark));
	sim_assert(sim_read64(GVA(mark - 8)) == TV_INT3_WORD && first != TV_INT3_WORD);
	sim_assert(unregister_pal() == TV_OK);
	sim_assert(register_pal() == TV_OK);
	sim_assert(sim_read64(GVA(mark)) != first);
	sim_assert(unregister_pal() == TV_OK);
}

/* ---- Shared ranges: the PAL adds to what it finds at its caller's address ---- */

static uint64_t shared_at(void) { return request_at() + 0xff8; } /* and in the page after it */

static uint32_t share_two_words(void)
{
	const uint64_t at = shared_at(), len = 16;

	sim_assert(!sim_write(GVA(request_at() + 0xa00), &at, sizeof(at)));
	sim_assert(!sim_write(GVA(request_at() + 0xa08), &len, sizeof(len)));
	sim_set(HYPAPI_REG_RCX, entry());
	sim_set(HYPAPI_REG_RDX, request_at() + 0xa00);
	sim_set(HYPAPI_REG_RSI, request_at() + 0xa08);
	sim_set(HYPAPI_REG_RDI, 1);
	return command(TV_CMD_SHARE);
}

static void pal_that_shares(void *arg)
{
	(void)arg;
	for (uint64_t at = shared_at(); at < shared_at() + 16; at += 8)
		sim_write64(GVA(at), sim_read64(GVA(at)) + 1);
	sim_assert(sim_read64(GVA(shared_at() - 8)) != 5); /* beside the range */
	sim_write64(GVA(shared_at() - 8), SECRET);
	sim_assert(share_two_words() == TV_E_IN_PAL);
}

static void shares_until(uint32_t (*end)(void))
{
	sim_write64(GVA(shared_at() - 8), 5);
	sim_assert(share_two_words() == TV_OK);
	for (uint64_t i = 0; i < 3; i++) {
		sim_write64(GVA(shared_at()), 10 * i);
		sim_write64(GVA(shared_at() + 8), 20 * i);
		sim_set(HYPAPI_REG_RDI, 0);
		sim_set(HYPAPI_REG_RSI, buffer_at() + 0x100);
		sim_assert(sim_call(GVA(entry())) == 0);
		sim_assert(sim_read64(GVA(shared_at())) == 10 * i + 1);
		sim_assert(sim_read64(GVA(shared_at() + 8)) == 20 * i + 1);
		sim_assert(sim_read64(GVA(shared_at() - 8)) == 5);
	}
	sim_assert(end() == TV_OK);
	sim_assert(share_two_words() == TV_E_NO_PAL);
}

static void shares(void *arg)
{
	(void)arg;
	sim_assert(share_two_words() == TV_E_NO_PAL);
	sim_assert(register_pal() == TV_OK);
	shares_until(unregister_pal);
}

static void shares_in_l2(void *arg)
{
	sim_assert(sim_l2_run(place.l2, shares, arg, NULL) == HLT);
}

static void life_in_l2(void *arg)
{
	sim_assert(sim_l2_run(place.l2, life, arg, NULL) == HLT);
}

/* ---- By list: the kernel registers, its process calls ---- */

static uint32_t register_list(uint64_t *handle)
{
	static const uint32_t types[] = { TV_SECTION_CODE, TV_SECTION_DATA, TV_SECTION_PARAM, TV_SECTION_STACK };
	struct tv_list list = { .version = TV_LIST_VERSION, .entry_count = 1, .page_count = 4, .entries = { {
		.address = entry(), .params = { .num_params = 2, .params = {
			{ .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_POINTER, .size = BUFFER_WORDS } } } } } };
	uint32_t result;

	/* Identity: linear and physical addresses of a level are the same here. */
	for (uint32_t i = 0; i < 4; i++)
		list.pages[i] = (struct tv_list_page){ place.base + PAGES(i), (place.base + PAGES(i)) | types[i] };
	sim_assert(!sim_write(GVA(request_at()), &list, offsetof(struct tv_list, pages) + 4 * sizeof(list.pages[0])));
	sim_set(HYPAPI_REG_RCX, request_at());
	result = command(TV_CMD_REGISTER_LIST);
	*handle = sim_get(HYPAPI_REG_RCX) | sim_get(HYPAPI_REG_RDX) << 32;
	return result;
}

static uint32_t by_handle(uint32_t number, uint64_t handle)
{
	sim_set(HYPAPI_REG_RCX, (uint32_t)handle);
	sim_set(HYPAPI_REG_RDX, handle >> 32);
	return command(number);
}

static void listed(void *arg)
{
	uint64_t handle, second;

	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	sim_set_mode(true, 3);
	sim_assert(register_list(&handle) == TV_E_DENIED);
	sim_set_mode(true, 0);
	sim_assert(register_list(&handle) == TV_OK);
	sim_assert(register_list(&second) == TV_E_OWNED);
	sim_assert(*chips(1) == SECRET && sim_read64(GVA(data_at())) == 0);
	sim_assert(sim_call(GVA(entry())) == PF);
	sim_set_mode(true, 3);
	sim_assert(call_pal(5) == SECRET + 5);
	sim_assert(call_pal(6) == SECRET + 11);
	sim_assert(unregister_pal() == TV_E_NO_PAL);
	sim_assert(by_handle(TV_CMD_UNREGISTER_LIST, handle) == TV_E_DENIED);
	sim_set_mode(true, 0);
	sim_assert(by_handle(TV_CMD_STATUS_LIST, handle) == TV_OK);
	sim_assert(sim_get(HYPAPI_REG_RCX) == 1 && sim_get(HYPAPI_REG_RBX) == 2);
	sim_assert(by_handle(TV_CMD_UNREGISTER_LIST, handle) == TV_OK);
	sim_assert(*chips(1) == 0 && *chips(3) == 0);
	sim_assert(by_handle(TV_CMD_UNREGISTER_LIST, handle) == TV_E_NO_PAL);
	sim_assert(register_list(&second) == TV_OK && second != handle);
	sim_write64(GVA(data_at()), 1);
	sim_assert(*chips(1) == 1);
	sim_assert(by_handle(TV_CMD_STATUS_LIST, second) == TV_OK);
	sim_assert(sim_get(HYPAPI_REG_RCX) == TV_WHY_WRITTEN << 8);
	sim_assert(by_handle(TV_CMD_UNREGISTER_LIST, second) == TV_OK);
}

static void listed_in_l2(void *arg)
{
	sim_assert(sim_l2_run(place.l2, listed, arg, NULL) == HLT);
}

/* ---- Many CPUs ---- */

static uint32_t progress; /* atomic */

static void wait_for(uint32_t step)
{
	while (__atomic_load_n(&progress, __ATOMIC_ACQUIRE) < step)
		sim_pause();
}

static void reach(uint32_t step)
{
	__atomic_store_n(&progress, step, __ATOMIC_RELEASE);
}

/* Has the page in its TLB before it is taken, and looks again after each step. Address: of whoever looks. */
static void look(void *arg)
{
	gva_t data = *(const gva_t *)arg;

	wait_for(1);
	sim_assert(sim_read64(data) == SECRET);
	reach(2);
	wait_for(3);
	sim_assert(sim_read64(data) == 0);
	reach(4);
	wait_for(5);
	sim_write64(data, 7);
	sim_assert(sim_read64(data) == 7);
	sim_assert(*chips(1) == 7);
	reach(6);
}

static void look_from_l2(void *arg)
{
	sim_assert(sim_l2_run(place.l2, look, arg, NULL) == HLT);
}

/* Another CPU's write destroys the PAL: it is told of no fault, and finds no secret. */
static void own(void *arg)
{
	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	reach(1);
	wait_for(2);
	sim_assert(register_pal() == TV_OK);
	reach(3);
	wait_for(4);
	sim_assert(call_pal(1) == SECRET + 1);
	reach(5);
	wait_for(6);
	sim_assert(sim_call(GVA(entry())) == SIM_NOT_A_CALL);
	sim_assert(sim_read64(GVA(data_at())) == 7);
	sim_assert(unregister_pal() == TV_E_NO_PAL);
}

static void own_in_l2(void *arg)
{
	sim_assert(sim_l2_run(place.l2, own, arg, NULL) == HLT);
}

/* Registers and ends PALs of its own again and again, while the other CPUs do the same. */
static void stress(void *arg)
{
	uint64_t base = *(const uint64_t *)arg + PAGES(8) * sim_cpu_index();
	struct tv_pal_sections sections = { .num_sections = 3, .sections = { { TV_SECTION_CODE, 1, base },
		{ TV_SECTION_DATA, 1, base + PAGES(1) }, { TV_SECTION_STACK, 1, base + PAGES(4) } } };
	struct tv_pal_params params = { 0 };

	for (uint64_t i = 1; i <= 5; i++) {
		sim_write64(GVA(base + PAGES(1)), i);
		sim_assert(!sim_write(GVA(base + PAGES(2)), &sections, sizeof(sections)));
		sim_assert(!sim_write(GVA(base + PAGES(3)), &params, sizeof(params)));
		sim_set(HYPAPI_REG_RCX, base + PAGES(2));
		sim_set(HYPAPI_REG_RDX, 0);
		sim_set(HYPAPI_REG_RSI, base + PAGES(3));
		sim_set(HYPAPI_REG_RDI, base);
		sim_assert(command(TV_CMD_REGISTER) == TV_OK);
		sim_assert(sim_read64(GVA(base + PAGES(1))) == 0);
		sim_assert(sim_call(GVA(base)) == 0);
		sim_assert(sim_get(HYPAPI_REG_RAX) == i);
		sim_set(HYPAPI_REG_RCX, base);
		sim_assert(command(TV_CMD_UNREGISTER) == TV_OK);
	}
}

/* Its answer is the first word of its data, and its code is that of every CPU. */
static void stress_pal(void *arg)
{
	(void)arg;
	sim_set(HYPAPI_REG_RAX, sim_read64(GVA(sim_get(HYPAPI_REG_RIP) + PAGES(1))));
}

static void stress_in_both(void *arg)
{
	uint64_t in_l2 = IN_L2;

	stress(arg);
	sim_assert(sim_l2_run(place.l2, stress, &in_l2, NULL) == HLT);
	stress(arg);
}

/* ---- L1 shares pages of L2: as KSM does, read-only, and between two machines ---- */

#define PAGE_TABLE (IN_L2 + PAGES(10))
/* What L2 asks of L1, by hypercalls that are nobody's. */
enum { MERGE_CODE = 0x7000, MERGE_STACK, TAKE_ALL, TAKE_BUFFER, TAKE_STACK, FILL_LOG, VMCALL = 18, EPT_VIOLATION = 48,
       LOG_FULL = 62 };
/* Of L1's page-modification log. */
enum { VMCS_PML_INDEX = 0x812, VMCS_PML_ADDR = 0x200e, VMCS_EPTP = 0x201a, VMCS_PROC2_CTLS = 0x401e };
enum { PROC2_PML = 1 << 17, EPTP_AD = 1 << 6, PML_EMPTY = 511 };
static unsigned mapped; /* pages, by L1, since L2 missed them */
static unsigned emptied; /* how often L1 has emptied its page-modification log */
static gpa1_t parted;   /* what L1 has for the stack page that was merged; 0: the page that L2 had */

/* As a CPU tells it: what is not allowed yet, and no fetch that writes. KVM takes such a fetch for a success. */
static bool l1_maps(struct sim_l2 *l2, gpa2_t page, uint64_t qualification)
{
	uint64_t access = qualification & 7, allowed = qualification >> 3 & 7;

	sim_assert(access && !(access & allowed) && (access & (HYPAPI_W | HYPAPI_X)) != (HYPAPI_W | HYPAPI_X));
	sim_l2_map(l2, page, parted.addr && page.addr == stack_at() ? parted : sim_l2_memory(l2, page), HYPAPI_RWX);
	mapped++;
	return true;
}

static bool l1_merges(struct sim_l2 *l2, const struct sim_l2_exit *exit, void *arg)
{
	const gpa1_t *other = arg;

	if (exit->reason == EPT_VIOLATION)
		return l1_maps(l2, GPA2(exit->gpa2 & HYPAPI_PAGE_MASK), exit->qualification);
	if (exit->reason == LOG_FULL) {
		sim_l2_vmwrite(l2, VMCS_PML_INDEX, PML_EMPTY);
		emptied++;
		return true;
	}
	if (exit->reason != VMCALL)
		return false;
	switch (exit->gpr[HYPAPI_REG_RAX] - hypapi_l2_hypercall_base()) {
	case MERGE_CODE:
		sim_l2_map(l2, GPA2(code_at()), GPA1(place.gpa1), HYPAPI_RX);
		break;
	case TAKE_ALL:
		for (uint64_t page = 0; page < 6; page++)
			sim_l2_map(l2, GPA2(place.base + PAGES(page)), GPA1(0), 0);
		break;
	case FILL_LOG: /* the buffer is clean */
		sim_l2_map(l2, GPA2(buffer_at()), sim_l2_memory(l2, GPA2(buffer_at())), HYPAPI_RWX);
		sim_l2_vmwrite(l2, VMCS_PML_INDEX, 0xffff);
		break;
	case TAKE_STACK:
		sim_l2_map(l2, GPA2(stack_at()), GPA1(0), 0);
		break;
	case TAKE_BUFFER:
		sim_l2_map(l2, GPA2(buffer_at()), GPA1(0), 0);
		break;
	default:
		parted = *other;
		sim_l2_map(l2, GPA2(stack_at()), *other, HYPAPI_RX);
		break;
	}
	sim_l2_invept(l2);
	sim_l2_skip(exit);
	return true;
}

static void merged(void *arg)
{
	(void)arg;
	parted = GPA1(0);
	sim_write64(GVA(data_at()), SECRET);
	sim_hypercall(MERGE_CODE);
	mapped = 0;
	sim_assert(register_pal() == TV_OK);
	sim_assert(mapped == 1); /* L1 gives L2 a page of its own for what it may write */
	sim_assert(sim_read64(GVA(code_at())) == TV_INT3_WORD);
	sim_assert(call_pal(5) == SECRET + 5);
	sim_hypercall(MERGE_STACK);
	sim_assert(unregister_pal() == TV_E_NO_PAL);
	sim_assert(*chips(1) == SECRET + 5);
	sim_assert(sim_call(GVA(entry())) == SIM_NOT_A_CALL);
	sim_assert(*chips(1) == 0);
}

/* L1 has swapped it all out: it comes back at the registration, and the caller's at the call. */
static void swapped(void *arg)
{
	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	write_request();
	sim_hypercall(TAKE_ALL);
	mapped = 0;
	sim_assert(register_written() == TV_OK);
	sim_assert(mapped == 5);
	sim_hypercall(TAKE_BUFFER);
	sim_assert(call_pal(5) == SECRET + 5);
	sim_assert(mapped == 6);
	sim_hypercall(TAKE_STACK);
	sim_assert(call_pal(6) == SECRET + 11); /* its callers are known by that page, which is the same again */
	sim_assert(mapped == 7);
	sim_assert(unregister_pal() == TV_OK);
}

/* L1 logs what L2 writes, and its log is full when the PAL returns: the call ends later, and the PAL runs once. */
static void logged(void *arg)
{
	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	sim_assert(register_pal() == TV_OK);
	sim_assert(call_pal(5) == SECRET + 5); /* the caller's stack is dirty from now on */
	sim_hypercall(FILL_LOG);
	emptied = 0;
	sim_assert(call_pal(6) == SECRET + 11);
	sim_assert(emptied == 1);
	sim_assert(sim_read64(GVA(buffer_at())) == 11);
	sim_assert(unregister_pal() == TV_OK);
}

/* L2's own page tables map its memory at the same addresses, by large pages: the first of them becomes a table. */
static void split_page_table(void)
{
	uint64_t pdpt = sim_read64(GVA(sim_get(HYPAPI_REG_CR3))) & HYPAPI_PAGE_MASK;
	uint64_t pd = sim_read64(GVA(pdpt)) & HYPAPI_PAGE_MASK;

	for (uint64_t i = 0; i < 512; i++)
		sim_write64(GVA(PAGE_TABLE + 8 * i), PAGES(i) | 7);
	sim_write64(GVA(pd), PAGE_TABLE | 7);
}

static void remap(uint64_t gva, uint64_t to)
{
	sim_write64(GVA(PAGE_TABLE + gva / PAGES(1) * 8), to | 7);
}

/* As when another process runs on the same tables, where CR3 says nothing. */
static void remapped_in_l2(void *arg)
{
	(void)arg;
	split_page_table();
	sim_write64(GVA(data_at()), SECRET);
	sim_assert(register_pal() == TV_OK);
	sim_assert(call_pal(5) == SECRET + 5);
	remap(stack_at(), IN_L2 + PAGES(9));
	sim_assert(unregister_pal() == TV_E_NO_PAL);
	remap(stack_at(), stack_at());
	sim_assert(call_pal(5) == SECRET + 10);
	remap(stack_at(), IN_L2 + PAGES(9));
	sim_assert(sim_call(GVA(entry())) == SIM_NOT_A_CALL);
	sim_assert(*chips(1) == 0);
}

static void remap_stack(void *arg)
{
	sim_assert(sim_l2_run(place.l2, remapped_in_l2, arg, NULL) == HLT);
}

static void merged_in_l2(void *arg)
{
	sim_assert(sim_l2_run(place.l2, merged, arg, l1_merges) == HLT);
}

static void register_and_call(void *arg)
{
	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	sim_assert(register_pal() == TV_OK);
	sim_assert(call_pal(5) == SECRET + 5);
}

/* Another machine, with the same code page, may not end the PAL by asking; its own function stays its own. */
static void be_another(void *arg)
{
	(void)arg;
	sim_assert(unregister_pal() == TV_E_NO_PAL);
	sim_assert(*chips(1) == SECRET + 5);
	sim_assert(sim_call(GVA(entry())) == SIM_NOT_A_CALL);
	sim_assert(*chips(1) == 0);
}

static void two_machines(void *arg)
{
	struct sim_l2 *other = arg;

	sim_l2_map(other, GPA2(code_at()), GPA1(place.gpa1), HYPAPI_RWX);
	sim_assert(sim_l2_run(place.l2, register_and_call, NULL, NULL) == HLT);
	sim_assert(sim_l2_run(other, be_another, NULL, NULL) == HLT);
}

/*
 * Both have registered the same program's PAL, and what L1 sees of the two, INT3 and zeros, it merges into the pages of
 * one of them, read-only. The other one's calls must not go there, nor its unregister.
 */
static void two_merged_machines(void *arg)
{
	struct sim_l2 *other = arg;

	sim_l2_map(other, GPA2(code_at()), GPA1(place.gpa1), HYPAPI_RX);
	sim_l2_map(other, GPA2(stack_at()), GPA1(place.gpa1 + PAGES(3)), HYPAPI_RX);
	sim_assert(sim_l2_run(place.l2, register_and_call, NULL, NULL) == HLT);
	parted = GPA1(0);
	sim_assert(sim_l2_run(other, be_another, NULL, l1_merges) == HLT); /* which parts them at the call */
}

/* The same by list. A handle can be guessed; the other one's kernel names the same page by it, at the same address. */
static uint64_t listed_handle;

static void register_by_list(void *arg)
{
	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	sim_assert(register_list(&listed_handle) == TV_OK);
}

static void guess_the_handle(void *arg)
{
	(void)arg;
	sim_assert(by_handle(TV_CMD_STATUS_LIST, listed_handle) == TV_E_NO_PAL);
	sim_assert(by_handle(TV_CMD_UNREGISTER_LIST, listed_handle) == TV_E_NO_PAL);
	sim_assert(*chips(1) == SECRET);
}

static void two_merged_kernels(void *arg)
{
	struct sim_l2 *other = arg;

	sim_assert(sim_l2_run(place.l2, register_by_list, NULL, NULL) == HLT);
	sim_l2_map(other, GPA2(stack_at()), GPA1(place.gpa1 + PAGES(3)), HYPAPI_R);
	sim_assert(sim_l2_run(other, guess_the_handle, NULL, NULL) == HLT);
}

/* ---- Tests ---- */

static void boot(uint32_t cpus, bool collide, bool in_l2)
{
	sim_boot(hypapps, &(struct sim_options){ .cpus = cpus, .collide = collide });
	place.l2 = sim_l2_create(1 << 20);
	place.gpa1 = in_l2 ? sim_l2_memory(place.l2, GPA2(IN_L2)).addr : sim_memory(PAGES(6)).addr;
	place.base = in_l2 ? IN_L2 : place.gpa1;
	place.l2 = in_l2 ? place.l2 : NULL;
	sim_partition_code(pal, NULL);
}

static void lives_in_l1(void **state)
{
	(void)state;
	boot(2, false, false);
	sim_run(1, life, NULL);
}

static void shares_ranges(void **state)
{
	(void)state;
	boot(1, false, false);
	sim_partition_code(pal_that_shares, NULL);
	sim_run(0, shares, NULL);
}

static void shares_ranges_in_l2(void **state)
{
	(void)state;
	boot(1, false, true);
	sim_partition_code(pal_that_shares, NULL);
	sim_run(0, shares_in_l2, NULL);
}

static void lists_in_l1(void **state)
{
	(void)state;
	boot(2, false, false);
	sim_partition_code(pal, NULL);
	sim_run(0, listed, NULL);
}

static void lists_in_l2(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_partition_code(pal, NULL);
	sim_run(0, listed_in_l2, NULL);
}

static void forgotten_pages(void **state)
{
	(void)state;
	boot(2, false, false);
	sim_run(0, forgotten, NULL);
}

static void forgotten_pages_of_l2(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_run(0, forgotten_in_l2, NULL);
}

static void no_two_look_alike(void **state)
{
	(void)state;
	boot(1, false, false);
	sim_run(0, looks, NULL);
}

static void lives_in_l2(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_run(0, life_in_l2, NULL);
	sim_run(1, life_in_l2, NULL);
}

/* Owner and onlooker in each pair of worlds; L1 sees L2's memory at its own address. */
static void seen_by_others(bool owner_in_l2, bool looker_in_l2)
{
	gva_t data;

	boot(2, false, owner_in_l2);
	data = GVA(looker_in_l2 ? data_at() : place.gpa1 + PAGES(1));
	sim_start(1, looker_in_l2 ? look_from_l2 : look, &data);
	sim_start(0, owner_in_l2 ? own_in_l2 : own, NULL);
	sim_wait();
}

static void pal_of_l1_seen_by_l1(void **state) { (void)state; seen_by_others(false, false); }
static void pal_of_l2_seen_by_l1(void **state) { (void)state; seen_by_others(true, false); }
static void pal_of_l2_seen_by_l2(void **state) { (void)state; seen_by_others(true, true); }

static void all_cpus(bool collide)
{
	uint64_t base;

	boot(3, collide, true);
	base = sim_memory(PAGES(8 * 3)).addr;
	sim_partition_code(stress_pal, NULL);
	sim_run_all(stress_in_both, &base);
}

static void on_all_cpus(void **state) { (void)state; all_cpus(false); }
static void on_all_cpus_when_stops_meet(void **state) { (void)state; all_cpus(true); }

static void merged_pages(void **state)
{
	gpa1_t other;

	(void)state;
	boot(2, false, true);
	other = sim_memory(PAGES(1));
	sim_run(0, merged_in_l2, &other);
}

static void swapped_in_l2(void *arg)
{
	sim_assert(sim_l2_run(place.l2, swapped, arg, l1_merges) == HLT);
}

static void swapped_pages(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_run(0, swapped_in_l2, NULL);
}

static void logged_in_l2(void *arg)
{
	struct sim_l2 *l2 = place.l2;

	sim_l2_vmwrite(l2, VMCS_EPTP, sim_l2_vmread(l2, VMCS_EPTP) | EPTP_AD);
	sim_l2_vmwrite(l2, VMCS_PROC2_CTLS, sim_l2_vmread(l2, VMCS_PROC2_CTLS) | PROC2_PML);
	sim_l2_vmwrite(l2, VMCS_PML_ADDR, sim_memory(HYPAPI_PAGE_SIZE).addr);
	sim_l2_vmwrite(l2, VMCS_PML_INDEX, PML_EMPTY);
	sim_assert(sim_l2_run(l2, logged, arg, l1_merges) == HLT);
}

static void full_log(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_run(0, logged_in_l2, NULL);
}

static void remapped_stack(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_run(0, remap_stack, NULL);
}

static void shared_between_machines(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_run(0, two_machines, sim_l2_create(1 << 20));
}

static void merged_between_machines(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_run(0, two_merged_machines, sim_l2_create(1 << 20));
}

static void handle_between_merged_machines(void **state)
{
	(void)state;
	boot(2, false, true);
	sim_run(0, two_merged_kernels, sim_l2_create(1 << 20));
}

static void call_that_ends(void *arg)
{
	(void)arg;
	sim_assert(register_pal() == TV_OK);
	sim_set(HYPAPI_REG_RSI, buffer_at());
	sim_assert(sim_call(GVA(entry())) == PF);
	sim_assert(sim_exception().cr2 == entry());
	sim_assert(sim_call(GVA(entry())) == SIM_NOT_A_CALL);
}

static void ends_a_pal_that_looks_out(void **state)
{
	(void)state;
	boot(2, false, false);
	sim_partition_code(pal_that_looks_out, NULL);
	sim_run(0, call_that_ends, NULL);
}

static void reset(void *arg)
{
	(void)arg;
	sim_write64(GVA(data_at()), SECRET);
	sim_assert(register_pal() == TV_OK);
	sim_out(0xcf9, 1, 6);
	sim_fault("the machine is not reset");
}

static void secret_is_gone(void)
{
	sim_assert(*chips(1) == 0);
}

static void resets(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .on_reset = secret_is_gone });
	place.gpa1 = place.base = sim_memory(PAGES(6)).addr;
	sim_run(0, reset, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(lives_in_l1),
		sim_test(lives_in_l2),
		sim_test(shares_ranges),
		sim_test(shares_ranges_in_l2),
		sim_test(lists_in_l1),
		sim_test(lists_in_l2),
		sim_test(forgotten_pages),
		sim_test(forgotten_pages_of_l2),
		sim_test(no_two_look_alike),
		sim_test(pal_of_l1_seen_by_l1),
		sim_test(pal_of_l2_seen_by_l1),
		sim_test(pal_of_l2_seen_by_l2),
		sim_test(on_all_cpus),
		sim_test(on_all_cpus_when_stops_meet),
		sim_test(merged_pages),
		sim_test(swapped_pages),
		sim_test(full_log),
		sim_test(remapped_stack),
		sim_test(shared_between_machines),
		sim_test(merged_between_machines),
		sim_test(handle_between_merged_machines),
		sim_test(ends_a_pal_that_looks_out),
		sim_test_reset(resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
