/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=pal-sizes: PALs in memory that EPT12 maps by leaves of 4 KiB, 2 MiB or 1 GiB and EPT01 by leaves of 2 MiB, or of
 * 4 KiB, where another PAL is in the same 2 MiB already; registered by hypercall and by list, in L2, and in L1. Each
 * PAL lies across the end of a 2 MiB region. It answers, is not seen from either level, and its pages come back, as do
 * the bytes beside it, which L2 and L1 see all the time.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "test.h"

#define L2_BASE TV_L2_BASE_DEFAULT
#define WINDOW 0x80000000ull	/* L2 has its regions here: at L1's address + WINDOW, so that a 1 GiB leaf can map it */
#define REGION 0x200000ul
#define L2_LOOK 0x100c		/* RAX of the VMCALL that has L1 look at the PAL */
#define SECRET 0x5ec7e700ull
#define BESIDE 0xbe51deull
#define PAL_PAGES 4u		/* code, data | param, stack: the end of the region is in the middle */

/* Adds the word at the beginning of the page after this one. */
asm(".section .text\n"
    "sizes_pal: movq sizes_pal+4096(%rip), %rax; addq %rdi, %rax; ret\n"
    "sizes_pal_end:\n");
extern u8 sizes_pal[], sizes_pal_end[];

static struct tv_list list __attribute__((aligned(4096)));
static const struct tv_pal_params params = { .num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } };

/* The case at hand; L2 runs in our address space. */
static struct {
	u64 at;		/* the PAL's first page, for the level that has it */
	u64 at_l1;	/* the same for L1 */
	u32 base;	/* of hypercalls */
	bool by_list;
	u64 handle;
	const char *failed;	/* the first thing that was wrong */
} c;

static void expect(bool ok, const char *what)
{
	if (!ok && !c.failed)
		c.failed = what;
}

static volatile u64 *page(u64 start, u64 number)
{
	return (volatile u64 *)(start + number * PAGE_SIZE);
}

static u32 tv_call(u32 command, u64 *rcx, u64 rsi, u64 rdi)
{
	u32 eax = command + c.base;
	u64 rdx = command == TV_CMD_UNREGISTER_LIST ? *rcx >> 32 : 0;
	u64 low = command == TV_CMD_UNREGISTER_LIST ? (u32)*rcx : *rcx;

	asm volatile("vmcall" : "+a"(eax), "+c"(low), "+d"(rdx) : "S"(rsi), "D"(rdi) : "memory");
	*rcx = low | rdx << 32;
	return eax;
}

static struct tv_pal_sections sections_at(u64 at)
{
	return (struct tv_pal_sections){ .num_sections = PAL_PAGES, .sections = {
		{ TV_SECTION_CODE, 1, at }, { TV_SECTION_DATA, 1, at + PAGE_SIZE },
		{ TV_SECTION_PARAM, 1, at + 2 * PAGE_SIZE }, { TV_SECTION_STACK, 1, at + 3 * PAGE_SIZE } } };
}

static u32 register_at(u64 at, bool by_list)
{
	struct tv_pal_sections sections = sections_at(at);
	u64 rcx = by_list ? (u64)&list : (u64)&sections;
	u32 result;

	for (u64 i = 0; i < (u64)(sizes_pal_end - sizes_pal); i++)
		((volatile u8 *)at)[i] = sizes_pal[i];
	*page(at, 1) = SECRET;
	*page(at, 2) = *page(at, 3) = 1;
	if (!by_list)
		return tv_call(TV_CMD_REGISTER, &rcx, (u64)&params, at);
	list = (struct tv_list){ .version = TV_LIST_VERSION, .entry_count = 1, .entries = { { at, params } },
				 .page_count = PAL_PAGES };
	for (u32 i = 0; i < PAL_PAGES; i++)
		list.pages[i] = (struct tv_list_page){ at + i * PAGE_SIZE,
						       (at + i * PAGE_SIZE) | sections.sections[i].type };
	result = tv_call(TV_CMD_REGISTER_LIST, &rcx, 0, 0);
	c.handle = rcx;
	return result;
}

static u32 unregister_at(u64 at, bool by_list)
{
	u64 rcx = by_list ? c.handle : at;

	return tv_call(by_list ? TV_CMD_UNREGISTER_LIST : TV_CMD_UNREGISTER, &rcx, 0, 0);
}

/* ---- Calls ---- */

static u64 answer;

static void call_pal(void)
{
	u64 result = 0, at = c.at;

	fault_reset();
	asm volatile("movq %%rsp, %%rbx\n\t" MAY_FAULT("call *%2") "\n\tmovq %%rbx, %%rsp"
		     : "=a"(result) : "D"(7ull), "r"(at)
		     : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
	answer = last_fault() == NO_FAULT ? result : 0;
}

static void user_call_pal(void)
{
	call_pal();
	asm volatile("int $0x80");
}

/* By who may: a list's callers are at CPL 3. Interrupts open. */
static bool is_right(void)
{
	answer = 0;
	irq_on();
	if (c.by_list)
		user_run(user_call_pal);
	else
		call_pal();
	return answer == SECRET + 7;
}

/* ---- What is seen ---- */

static bool shows_nothing(u64 at)
{
	for (u32 i = 1; i < PAL_PAGES; i++)
		if (*page(at, i) || page(at, i)[511])
			return false;
	return *page(at, 0) == TV_INT3_WORD;
}

static bool is_beside(u64 at)
{
	return *page(at, -1) == BESIDE && *page(at, PAL_PAGES) == BESIDE;
}

/* ---- A case ---- */

static void look_from_l1(bool is_l2)
{
	if (is_l2)
		l2_vmcall(L2_LOOK);
}

/* Runs at the level that has the PAL. The second PAL on the same pages ends by a write. */
static void use_pal(bool is_l2)
{
	*page(c.at, -1) = *page(c.at, PAL_PAGES) = BESIDE;
	expect(register_at(c.at, c.by_list) == TV_OK, "register");
	expect(is_right() && is_right(), "call");
	expect(shows_nothing(c.at) && is_beside(c.at), "what its own level sees");
	look_from_l1(is_l2);
	expect(is_right(), "call after that");
	expect(unregister_at(c.at, c.by_list) == TV_OK && *page(c.at, 1) == 0, "unregister");
	expect(*(volatile u8 *)c.at == sizes_pal[0] && is_beside(c.at), "what is there afterwards");

	expect(register_at(c.at, c.by_list) == TV_OK && is_right(), "second PAL");
	*page(c.at, 3) = 4711;
	expect(*page(c.at, 1) == 0 && *page(c.at, 3) == 4711 && is_beside(c.at), "write from outside");
	for (u32 i = 0; i < PAL_PAGES; i++) {
		*page(c.at, i) = i;
		expect(*page(c.at, i) == i, "its pages afterwards");
	}
	/* By list its record is still there. */
	expect(unregister_at(c.at, c.by_list) == (c.by_list ? TV_OK : TV_E_NO_PAL), "unregister afterwards");
}

static void l2_use_pal(void)
{
	use_pal(true);
	l2_end();
}

static void run_in_l2(struct ept12 *ept)
{
	static struct vcpu v;
	u32 looks = 0;

	hv_init(&v, HV_LONG64, l2_use_pal);
	vmwrite(VMCS_EPTP, ept->eptp);
	hv_set(VMCS_GUEST_RFLAGS, 0x200);
	while (hv_run(&v) == VMX_OK && v.exit.reason == EXIT_VMCALL && v.regs[RAX] == L2_LOOK) {
		expect(shows_nothing(c.at_l1) && is_beside(c.at_l1), "what L1 sees");
		looks++;
		hv_skip(&v);
	}
	expect(v.exit.reason == EXIT_VMCALL && v.regs[RAX] == L2_END && looks == 1, "L2's run");
}

/* L2's memory: ours below WINDOW, and two regions of ours there, by leaves of that size. */
static void map_l2(struct ept12 *ept, u64 regions, int level)
{
	u64 size = ept_leaf_size(level), start = regions & ~(size - 1);

	ept_init(ept);
	ept_map_range(ept, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB);
	for (u64 at = start; at < regions + 2 * REGION; at += size)
		ept_map(ept, WINDOW + at, at, level, EPT_RWX | EPT_WB);
}

/* RAM past the page pool, which nobody has used: EPT01 has it in large leaves. */
static u64 next_regions = POOL_END;

/* level: of EPT12's leaves; 0: the PAL is L1's. is_split: a PAL of L1's is in each region meanwhile. */
static void run_case(int level, bool is_split, bool by_list)
{
	static const char *const names[] = { "L1", "L2, EPT12 4 KiB", "L2, EPT12 2 MiB", "L2, EPT12 1 GiB" };
	u64 regions = next_regions;
	u64 split = regions + 16 * PAGE_SIZE;
	struct ept12 ept;

	next_regions += 2 * REGION;
	c.failed = NULL;
	c.by_list = by_list;
	c.base = 0;
	c.at_l1 = regions + REGION - PAL_PAGES / 2 * PAGE_SIZE;
	c.at = c.at_l1 + (level ? WINDOW : 0);
	for (u32 i = 0; i < 2 && is_split; i++)
		expect(register_at(split + i * REGION, false) == TV_OK, "L1's own PAL");
	if (level) {
		c.base = L2_BASE;
		map_l2(&ept, regions, level);
		run_in_l2(&ept);
	} else {
		use_pal(false);
	}
	c.base = 0;
	for (u32 i = 0; i < 2 && is_split; i++)
		expect(unregister_at(split + i * REGION, false) == TV_OK, "the end of L1's own PAL");
	print("T %s%s over EPT01 %s, by %s: %s\n", c.failed ? "FAIL " : "", names[level],
	      is_split ? "4 KiB" : "2 MiB", by_list ? "list" : "hypercall", c.failed ? c.failed : "ok");
}

DEFINE_TEST(pal_sizes, "pal-sizes", "XMHF only: PALs in memory of each leaf size of EPT12 and EPT01")
{
	if (!hv_supported())
		return;
	hv_on();
	for (int level = 0; level <= EPT_1G; level++)
		for (u32 way = 0; way < 4; way++)
			run_case(level, way & 1, way & 2);
	hv_off();
}
