/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nested paging as L1 sees it: violations and misconfigurations of EPT12 with their qualification, all leaf sizes,
 * changes followed by INVEPT, many tables, and leaves that point at no memory. L2 looks at a window of guest-physical
 * addresses from WINDOW on, which L1 maps to pages of its pool as each case needs.
 */
#include "test.h"

#define WINDOW 0x80000000ull		/* above the RAM of the machines in use: L2's own mappings stay apart */
#define WALKED 0x8000000000ull		/* linear address whose page tables lie in the window */

enum command { READ, WRITE, EXECUTE, EXCHANGE };

/* Performs one access after the other: L1 puts the command in RBX and the address in RSI, and gets the value in RDI. */
static void l2_access(void)
{
	asm volatile("1: movl $0x55, %%eax; vmcall\n"
		     "cmpl $1, %%ebx; jb 2f; je 3f; cmpl $3, %%ebx; je 4f\n"
		     "call *%%rsi; jmp 1b\n"
		     "2: movzbl (%%rsi), %%edi; jmp 1b\n"
		     "3: movb %%dil, (%%rsi); jmp 1b\n"
		     "4: xchgb %%dil, (%%rsi); movzbl %%dil, %%edi; jmp 1b\n"
		     ::: "memory", "rax", "rbx", "rsi", "rdi");
}

static struct ept12 ept;
static u8 *page;		/* 2 MiB aligned, with 2 MiB behind it; its bytes are 0xc3 (RET) and page numbers */

/* The function above has a prologue of unknown length, so L2 restarts where it first called. */
static u64 loop_start;

static void start_l2(void)
{
	hv_init(&l2, HV_LONG64, l2_access);
	vmwrite(VMCS_EPTP, ept.eptp);
	hv_run(&l2);
	loop_start = vmread(VMCS_GUEST_RIP);
}

/* True: done, with the value in *value. False: another exit than the VMCALL came, see l2.exit. */
static bool l2_do(enum command command, u64 address, u8 *value)
{
	l2.regs[RBX] = command;
	l2.regs[RSI] = address;
	l2.regs[RDI] = *value;
	vmwrite(VMCS_GUEST_RIP, loop_start + 3);
	vmwrite(VMCS_GUEST_RSP, l2.stack_top - 128);
	if (hv_run(&l2) != VMX_OK)
		fail("entry failed: %u", l2.insn_error);
	*value = (u8)l2.regs[RDI];
	return l2.exit.reason == EXIT_VMCALL;
}

static const char *const command_names[] = { "read", "write", "execute", "exchange" };

static void t_access(const char *what, enum command command, u64 address)
{
	u8 value = 0x5a;

	if (l2_do(command, address, &value))
		print("T %s, %s: done %x\n", what, command_names[command], value);
	else
		t_exit(what, &l2);
}

/*
 * EPT12 has just granted it, without INVEPT: a CPU may first use the rights that it has cached, a violation drops them.
 */
static void t_granted(const char *what, enum command command, u64 address)
{
	u8 value = 0x5a;

	if (l2_do(command, address, &value) ||
	    (l2.exit.reason == EXIT_EPT_VIOLATION && l2_do(command, address, &value)))
		print("T %s, %s: done %x\n", what, command_names[command], value);
	else
		t_exit(what, &l2);
}

static void map_window(u64 offset, u64 hpa, int level, u64 bits)
{
	ept_map(&ept, WINDOW + offset, hpa, level, bits);
	ept_flush(&ept);
}

/* A fresh EPT: our own memory and devices one to one, the window empty. */
static void new_ept(void)
{
	ept_init(&ept);
	ept_map_range(&ept, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB);
	ept_map_range(&ept, 0xfe000000, BIT(32), EPT_2M, EPT_RWX | EPT_UC);
}

static void fill_page(void)
{
	page = page_alloc_many(1024, 512 * PAGE_SIZE);
	for (u32 i = 0; i < 1024; i++) {
		page[i * PAGE_SIZE] = 0xc3;
		page[i * PAGE_SIZE + 1] = (u8)i;
		page[i * PAGE_SIZE + 2] = (u8)(i >> 8);
	}
}

/* ---- rights and misconfigurations, for each leaf size ---- */

static const struct { const char *what; u64 bits; } leaves[] = {
	{ "---", 0 | EPT_WB }, { "r--", EPT_R | EPT_WB }, { "rw-", EPT_R | EPT_W | EPT_WB },
	{ "r-x", EPT_R | EPT_X | EPT_WB },
	{ "rwx", EPT_RWX | EPT_WB }, { "--x", EPT_X | EPT_WB }, { "-w-", EPT_W | EPT_WB },
	{ "-wx", EPT_W | EPT_X | EPT_WB },
	{ "uncacheable", EPT_RWX | EPT_UC }, { "memory type 2", EPT_RWX | 2 << 3 },
	{ "memory type 3", EPT_RWX | 3 << 3 },
	{ "memory type 7", EPT_RWX | 7 << 3 }, { "ignore PAT", EPT_RWX | EPT_WB | EPT_IGNORE_PAT },
	{ "address too wide", EPT_RWX | EPT_WB | BIT(51) }, { "ignored bits 52-62", EPT_RWX | EPT_WB | 0x3ffull << 52 },
};

static void rights(int level)
{
	static const char *const names[] = { "", "4K", "2M", "1G" };
	u64 base = (u64)page & ~(ept_leaf_size(level) - 1);
	u64 address = WINDOW + ((u64)page - base);

	new_ept();
	start_l2();
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		print("T -- %s %s\n", names[level], leaves[i].what);
		map_window(0, base, level, leaves[i].bits);
		for (enum command c = READ; c <= EXCHANGE; c++) {
			page[0] = 0xc3;
			t_access(leaves[i].what, c, address);
		}
	}
}

/* A table entry, one a level, that is absent, lacks a right or is malformed. */
static void upper_levels(void)
{
	static const struct { const char *what; int level; u64 clear, set; } cases[] = {
		{ "PDE absent", 2, ~0ull, 0 }, { "PDPTE absent", 3, ~0ull, 0 },
		{ "PDE without write", 2, EPT_W, 0 }, { "PDPTE without execute", 3, EPT_X, 0 },
		{ "PDE write without read", 2, EPT_R, 0 }, { "PDPTE reserved bit 3", 3, 0, BIT(3) },
		{ "PDE reserved bit 6", 2, 0, BIT(6) }, { "PML4E reserved bit 7", 4, 0, BIT(7) },
		{ "PML4E reserved bit 3", 4, 0, BIT(3) }, { "PDE address too wide", 2, 0, BIT(51) },
		{ "PML4E ignored bits", 4, 0, 7ull << 9 | 0x7ffull << 52 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 *entry;

		new_ept();
		start_l2();
		map_window(0, (u64)page, EPT_4K, EPT_RWX | EPT_WB);
		entry = ept_entry(&ept, WINDOW, cases[i].level);
		if (cases[i].level == 4) {
			u64 *low = ept_entry(&ept, 0, 4);

			/* L2's own code runs under the same PML4E: its first fetch meets the damage. */
			*low = (*low & ~cases[i].clear) | cases[i].set;
		} else {
			*entry = (*entry & ~cases[i].clear) | cases[i].set;
		}
		ept_flush(&ept);
		for (enum command c = READ; c <= EXECUTE; c++) {
			page[0] = 0xc3;
			t_access(cases[i].what, c, WINDOW);
		}
	}
}

/* ---- violations while the CPU walks L2's page tables ---- */

static u64 *walked_tables[4];	/* PML4, PDPT, PD, PT: the upper bound of what is in the window */

static void build_walked_tables(void)
{
	const u64 *ours = (const u64 *)read_cr3();
	u64 gpa[4];

	for (u32 i = 0; i < 4; i++) {
		walked_tables[i] = page_alloc();
		gpa[i] = WINDOW + 0x100000 + i * PAGE_SIZE;
		map_window(0x100000 + i * PAGE_SIZE, (u64)walked_tables[i], EPT_4K, EPT_RWX | EPT_WB);
	}
	walked_tables[0][0] = ours[0];
	walked_tables[0][WALKED >> 39 & 511] = gpa[1] | 7;
	walked_tables[1][0] = gpa[2] | 7;
	walked_tables[2][0] = gpa[3] | 7;
	walked_tables[3][0] = WINDOW | 7;
	walked_tables[3][1] = (WINDOW + 0x300000) | 7;
}

static void guest_walks(void)
{
	static const char *const names[] = { "walk, PML4", "walk, PDPT", "walk, PD", "walk, PT" };

	print("T -- violations in L2's page walk\n");
	for (u32 i = 1; i < 4; i++) {
		new_ept();
		start_l2();
		map_window(0, (u64)page, EPT_4K, EPT_RWX | EPT_WB);
		build_walked_tables();
		vmwrite(VMCS_GUEST_CR3, WINDOW + 0x100000);
		t_access("walk, all there", READ, WALKED);
		t_access("walk, page itself missing", WRITE, WALKED + PAGE_SIZE + 0x123);
		map_window(0x100000 + i * PAGE_SIZE, 0, EPT_4K, 0);
		t_access(names[i], READ, WALKED);
		t_access(names[i], WRITE, WALKED);
		t_access(names[i], EXECUTE, WALKED);
		map_window(0x100000 + i * PAGE_SIZE, (u64)walked_tables[i], EPT_4K, EPT_W | EPT_WB);
		t_access(names[i], READ, WALKED);
		map_window(0x100000 + i * PAGE_SIZE, (u64)walked_tables[i], EPT_4K, EPT_RWX | EPT_WB);
		t_access(names[i], READ, WALKED);
		print("T accessed and dirty bits in L2's PTE: %lx\n", walked_tables[3][0] & 0x60);
	}
}

/* ---- changes of EPT12 ---- */

static u64 table_of(u64 *entry) { return *entry & EPT_ADDRESS; }

static void changes(void)
{
	static struct ept12 first, second;

	print("T -- changes\n");
	new_ept();
	start_l2();
	map_window(0, (u64)page + PAGE_SIZE, EPT_4K, EPT_RWX | EPT_WB);
	t_access("page 1", READ, WINDOW + 1);
	map_window(0, (u64)page + 2 * PAGE_SIZE, EPT_4K, EPT_RWX | EPT_WB);
	t_access("moved to page 2", READ, WINDOW + 1);
	map_window(0, (u64)page + 2 * PAGE_SIZE, EPT_4K, EPT_R | EPT_WB);
	t_access("write right gone", WRITE, WINDOW + 1);
	t_access("write right gone", READ, WINDOW + 1);
	*ept_entry(&ept, WINDOW, EPT_4K) |= EPT_W;
	t_granted("write right back, no INVEPT", EXCHANGE, WINDOW + 0x800);
	*ept_entry(&ept, WINDOW, EPT_2M) = 0;
	ept_flush(&ept);
	t_access("table gone", READ, WINDOW + 1);
	map_window(0, (u64)page, EPT_2M, EPT_RWX | EPT_WB);
	t_access("2M leaf in its place", READ, WINDOW + 3 * PAGE_SIZE + 1);
	*ept_entry(&ept, WINDOW, EPT_2M) = 0;
	map_window(3 * PAGE_SIZE, (u64)page + 7 * PAGE_SIZE, EPT_4K, EPT_RWX | EPT_WB);
	t_access("4K leaf in its place", READ, WINDOW + 3 * PAGE_SIZE + 1);
	t_access("4K leaf in its place, neighbour", READ, WINDOW + 4 * PAGE_SIZE + 1);

	/* Two roots, same guest-physical address. */
	first = ept;
	new_ept();
	second = ept;
	ept_map(&second, WINDOW, (u64)page + 9 * PAGE_SIZE, EPT_4K, EPT_RWX | EPT_WB);
	ept_map(&first, WINDOW, (u64)page + 8 * PAGE_SIZE, EPT_4K, EPT_RWX | EPT_WB);
	for (u32 i = 0; i < 4; i++) {
		vmwrite(VMCS_EPTP, i & 1 ? second.eptp : first.eptp);
		t_access(i & 1 ? "second root" : "first root", READ, WINDOW + 1);
	}

	/* The same frame first as a page table, then as a page directory: its entries get another meaning. */
	ept = second;
	*ept_entry(&ept, WINDOW + 512 * PAGE_SIZE, EPT_2M) = 0;
	vmwrite(VMCS_EPTP, ept.eptp);
	t_access("frame as page table", READ, WINDOW + 1);
	*(u64 *)table_of(ept_entry(&ept, WINDOW, EPT_2M)) = (u64)page | EPT_RWX | EPT_WB | EPT_LARGE;
	*ept_entry(&ept, WINDOW, EPT_1G) = table_of(ept_entry(&ept, WINDOW, EPT_2M)) | EPT_RWX;
	ept_flush(&ept);
	t_access("the same frame as page directory", READ, WINDOW + 11 * PAGE_SIZE + 1);
}

/* INVEPT of all contexts, and of another root: neither may leave the changed leaf behind, nor break what stays. */
static void global_flush(void)
{
	struct inv_descriptor none = { 0, 0 };

	new_ept();
	start_l2();
	map_window(0, (u64)page + PAGE_SIZE, EPT_4K, EPT_RWX | EPT_WB);
	t_access("before", READ, WINDOW + 1);
	ept_map(&ept, WINDOW, (u64)page + 5 * PAGE_SIZE, EPT_4K, EPT_RWX | EPT_WB);
	try_invept(2, &none);
	t_access("after global INVEPT", READ, WINDOW + 1);
}

/* ---- every leaf size with data at many offsets ---- */

static void page_sizes(void)
{
	static const char *const names[] = { "", "4K leaves", "2M leaves", "1G leaf" };

	print("T -- leaf sizes\n");
	for (int level = EPT_4K; level <= EPT_1G; level++) {
		u64 base = (u64)page & ~(ept_leaf_size(level) - 1);
		u32 wrong = 0;

		new_ept();
		start_l2();
		for (u64 at = base; at < (u64)page + 0x400000; at += ept_leaf_size(level))
			ept_map(&ept, WINDOW + at, at, level, EPT_RWX | EPT_WB);
		if (level == EPT_1G)
			ept_map(&ept, WINDOW, 0, level, EPT_RWX | EPT_WB);
		ept_flush(&ept);
		for (u32 i = 0; i < 1024; i += 31) {
			u8 value = 0;

			if (!l2_do(READ, WINDOW + (u64)page + i * PAGE_SIZE + 1, &value) || value != (u8)i)
				wrong++;
			value = (u8)~i;
			if (!l2_do(WRITE, WINDOW + (u64)page + i * PAGE_SIZE + 77, &value))
				wrong++;
			if (page[i * PAGE_SIZE + 77] != (u8)~i)
				wrong++;
			page[i * PAGE_SIZE + 77] = 0;
		}
		print("T %s: wrong %u\n", names[level], wrong);
	}
}

/* ---- more tables than a hypervisor has room for ---- */

#define REGIONS 1000

static u32 many_sum;

static void l2_many(void)
{
	u32 sum = 0;

	for (u32 round = 0; round < 2; round++)
		for (u64 i = 0; i < REGIONS; i++)
			sum += *(volatile u8 *)(WINDOW + i * 0x200000 + (i & 511) * PAGE_SIZE + 1);
	many_sum = sum;
	l2_end();
}

static void many_tables(void)
{
	u32 expected = 0;

	new_ept();
	for (u64 i = 0; i < REGIONS; i++) {
		ept_map(&ept, WINDOW + i * 0x200000 + (i & 511) * PAGE_SIZE, (u64)page + i % 1024 * PAGE_SIZE, EPT_4K,
			EPT_R | EPT_WB);
		expected += 2 * (u8)(i % 1024);
	}
	hv_init(&l2, HV_LONG64, l2_many);
	vmwrite(VMCS_EPTP, ept.eptp);
	print("T %u tables: %s\n", REGIONS, t_run("many tables", &l2, NULL) ? "L2 came to its end" : "L2 was left");
	t_check("the sum", many_sum == expected);
}

/* ---- leaves that point at no RAM ---- */

static void no_memory(void)
{
	static const struct { const char *what; u64 hpa; } targets[] = {
		{ "hole below 4 GiB", 0xe0000000 }, { "far above RAM", 0x800000000 }, { "BIOS", 0xff000 },
	};
	u8 version = 0;

	print("T -- leaves without RAM\n");
	new_ept();
	start_l2();
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		map_window(0, targets[i].hpa, EPT_4K, EPT_RWX | EPT_UC);
		t_access(targets[i].what, READ, WINDOW + 0xff0);
	}
	map_window(0, 0xfee00000, EPT_4K, EPT_R | EPT_W | EPT_UC);
	t_check("the local APIC through EPT12", l2_do(READ, WINDOW + LAPIC_VERSION, &version) &&
					       version == (u8)lapic_read(LAPIC_VERSION));
	vmwrite(VMCS_EPTP, 0xe0000000 | EPTP_WB_4_LEVELS);
	t_access("EPT12 root in a hole", READ, WINDOW);
}

/* ---- under a hypervisor only: its own memory ---- */

/*
 * Ranges that the map does not give as RAM although RAM lies above them, from 1 MiB on: a hypervisor below hides itself
 * so, the bare machine has none. L2 looks at one page in sixteen through EPT12 leaves that point there, and tries to
 * write. No line of this is in the transcript.
 */
static u8 at_hidden(u64 hpa, enum command command, u8 value, u32 *exits)
{
	map_window(0, hpa, EPT_4K, EPT_RWX | EPT_WB);
	if (!l2_do(command, WINDOW + 8, &value)) {
		if (!(*exits)++)
			print("first exit: reason %x qualification %lx\n", l2.exit.reason, l2.exit.qualification);
		return 0xff;
	}
	return value;
}

static void look_at_hidden(u64 start, u64 end)
{
	const u64 step = 16 * PAGE_SIZE;
	u32 exits = 0, data = 0, kept = 0;

	for (u64 at = start; at < end; at += step) {
		u8 value = at_hidden(at, READ, 0, &exits);

		data += value != 0 && value != 0xff;
	}
	/* Different values, so that one page that stands for all of them is not taken for the real ones. */
	for (u64 at = start; at < end; at += step)
		at_hidden(at, WRITE, (u8)(at / step % 251 + 1), &exits);
	for (u64 at = start; at < end; at += step)
		kept += at_hidden(at, READ, 0, &exits) == (u8)(at / step % 251 + 1);
	print("hidden memory %lx to %lx: exits %u, pages with data %u, pages that keep what is written %u: %s\n",
		start, end,
	      exits, data, kept, data || kept > 1 ? "NOT PROTECTED" : "protected");
}

static u64 next_ram(u64 at)
{
	u64 next = ~0ull;

	for (u32 i = 0; i < e820_count; i++)
		if (e820_map[i].type == 1 && e820_map[i].addr >= at && e820_map[i].addr < next)
			next = e820_map[i].addr;
	return next;
}

static void hidden_memory(void)
{
	new_ept();
	start_l2();
	for (u32 i = 0; i < e820_count; i++) {
		u64 end = e820_map[i].addr + e820_map[i].size;

		if (e820_map[i].type == 1 && end > 0x100000 && end < BIT(32) && next_ram(end) < BIT(32) &&
			next_ram(end) > end)
			look_at_hidden(end, next_ram(end));
	}
}

/* ---- entries beside each other: what an access to one of them may tell of the others ---- */

#define BESIDE 64

static u64 *window_entry(u32 i) { return ept_entry(&ept, WINDOW + i * PAGE_SIZE, EPT_4K); }

static void t_read_all(const char *what)
{
	for (u32 i = 0; i < BESIDE; i++) {
		u8 value = 0;

		if (l2_do(READ, WINDOW + i * PAGE_SIZE + 1, &value))
			print("T %s, page %u: %u\n", what, i, value);
		else
			t_exit(what, &l2);
	}
}

/* Leaves of all kinds, malformed ones as KVM makes of devices among them, in one table with ordinary ones. */
static void neighbours(void)
{
	new_ept();
	for (u32 i = 0; i < BESIDE; i++)
		ept_map(&ept, WINDOW + i * PAGE_SIZE, (u64)page + i * PAGE_SIZE, EPT_4K,
			i % 3 == 1 ? leaves[i / 3 % ARRAY_SIZE(leaves)].bits : EPT_RWX | EPT_WB);
	start_l2();
	t_access("beside others", READ, WINDOW + 9 * PAGE_SIZE);
	t_read_all("beside others");
	for (u32 i = 1; i < BESIDE; i += 3) {
		t_access(leaves[i / 3 % ARRAY_SIZE(leaves)].what, WRITE, WINDOW + i * PAGE_SIZE + 8);
		t_access(leaves[i / 3 % ARRAY_SIZE(leaves)].what, EXECUTE, WINDOW + i * PAGE_SIZE);
	}
	/* Other pages, in another order, some of them twice, and holes; then the table is another one. */
	for (u32 i = 0; i < BESIDE; i++)
		*window_entry(i) = i % 7 == 3 ? 0 : ((u64)page + (200 - i % 50) * PAGE_SIZE) | EPT_RWX | EPT_WB;
	ept_flush(&ept);
	t_read_all("other pages");
	*ept_entry(&ept, WINDOW, EPT_2M) = 0;
	for (u32 i = 0; i < BESIDE; i++)
		*window_entry(i) = ((u64)page + i * PAGE_SIZE) | EPT_R | EPT_WB;
	ept_flush(&ept);
	t_read_all("another table");
	t_access("another table", WRITE, WINDOW + 12 * PAGE_SIZE);
	/* A table that maps itself, and L2 that reads its own EPT12 there. */
	*window_entry(2) = (*ept_entry(&ept, WINDOW, EPT_2M) & EPT_ADDRESS) | EPT_R | EPT_WB;
	ept_flush(&ept);
	t_read_all("a table that maps itself");
	/* Large pages that are all the same one. */
	for (u32 i = 0; i < 8; i++)
		ept_map(&ept, WINDOW + BIT(30) + i * ept_leaf_size(EPT_2M), (u64)page, EPT_2M, EPT_RWX | EPT_WB);
	ept_flush(&ept);
	for (u32 i = 0; i < 8; i++)
		t_access("large pages", i & 1 ? WRITE : READ, WINDOW + BIT(30) + i * ept_leaf_size(EPT_2M) + 0x5008);
}

static void t_flags(const char *what)
{
	u64 accessed = 0, dirty = 0;

	for (u32 i = 0; i < BESIDE; i++) {
		accessed |= *window_entry(i) & EPT_ACCESSED ? BIT(i) : 0;
		dirty |= *window_entry(i) & EPT_DIRTY ? BIT(i) : 0;
	}
	print("T %s: accessed %lx dirty %lx\n", what, accessed, dirty);
}

/* An access sets the flags of its own entry, and those that are set elsewhere do not make it forget. */
static void neighbours_flags(void)
{
	static const u64 flags[] = { 0, EPT_ACCESSED, EPT_ACCESSED | EPT_DIRTY, EPT_DIRTY };

	for (u32 i = 0; i < BESIDE; i++)
		ept_map(&ept, WINDOW + i * PAGE_SIZE, (u64)page + i * PAGE_SIZE, EPT_4K,
			EPT_RWX | EPT_WB | flags[i % 4]);
	ept_flush(&ept);
	t_flags("beside others, nothing yet");
	t_access("beside others", READ, WINDOW + 5 * PAGE_SIZE);
	t_flags("one read");
	for (u32 i = 8; i < 16; i++)
		t_access("beside others", i < 12 ? WRITE : READ, WINDOW + i * PAGE_SIZE);
	t_flags("some written");
	for (u32 i = 0; i < BESIDE; i++)
		*window_entry(i) &= ~(u64)(i & 8 ? EPT_DIRTY : EPT_ACCESSED | EPT_DIRTY);
	ept_flush(&ept);
	t_access("cleared", READ, WINDOW + 3 * PAGE_SIZE);
	t_flags("cleared, one read");
	t_access("cleared", WRITE, WINDOW + 9 * PAGE_SIZE);
	t_access("cleared", WRITE, WINDOW + 3 * PAGE_SIZE);
	t_flags("cleared, then written");
}

DEFINE_TEST(vmx_ept, "vmx-ept", "EPT12: rights, misconfigurations, page walks, changes, sizes, many tables")
{
	if (!hv_supported())
		return;
	hv_on();
	fill_page();
	rights(EPT_4K);
	rights(EPT_2M);
	rights(EPT_1G);
	neighbours();
	upper_levels();
	guest_walks();
	changes();
	global_flush();
	page_sizes();
	many_tables();
	no_memory();
	hidden_memory();
	hv_off();
}

/* Accessed and dirty flags are a feature that a hypervisor may hide, so they have a test of their own. */
DEFINE_TEST(vmx_ept_ad, "vmx-ept-ad", "accessed and dirty flags in EPT12")
{
	static const struct { const char *what; enum command command; } steps[] = {
		{ "nothing yet", EXCHANGE + 1 }, { "after a read", READ }, { "after a write", WRITE },
	};
	u64 *leaf;

	if (!hv_supported())
		return;
	hv_on();
	fill_page();
	new_ept();
	ept.eptp |= EPTP_AD;
	start_l2();
	for (int level = EPT_4K; level <= EPT_2M; level++) {
		*ept_entry(&ept, WINDOW, EPT_2M) = 0;
		map_window(0, (u64)page, level, EPT_RWX | EPT_WB);
		leaf = ept_entry(&ept, WINDOW, level);
		for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
			if (steps[i].command <= EXCHANGE)
				t_access(steps[i].what, steps[i].command, WINDOW);
			print("T level %d, %s: accessed %u dirty %u\n", level, steps[i].what, !!(*leaf & EPT_ACCESSED),
			      !!(*leaf & EPT_DIRTY));
		}
		*leaf &= ~(u64)(EPT_ACCESSED | EPT_DIRTY);
		ept_flush(&ept);
		t_access("cleared, then a read", READ, WINDOW);
		print("T level %d: accessed %u dirty %u\n", level, !!(*leaf & EPT_ACCESSED), !!(*leaf & EPT_DIRTY));
		t_access("then an exchange", EXCHANGE, WINDOW);
		print("T level %d: accessed %u dirty %u\n", level, !!(*leaf & EPT_ACCESSED), !!(*leaf & EPT_DIRTY));
	}
	*ept_entry(&ept, WINDOW, EPT_2M) = 0;
	neighbours_flags();
	hv_off();
}
