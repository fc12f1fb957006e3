/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS shadowing (Intel SDM vol. 3, "VMCS Types: Ordinary and Shadow"): the life of a shadow VMCS, what an entry wants
 * of it, and L2's VMREAD and VMWRITE, which go there, fail, fault or exit. The bare run is the oracle; a CPU without
 * VMCS shadowing has no shadow VMCS either.
 */
#include "test.h"

enum { VMREAD_BITMAP = 0x2026, VMWRITE_BITMAP = 0x2028 };
#define SHADOW BIT(31)
/* Linear and L2-physical: one page that L2 may read, one that it may write, nothing, and what is malformed. */
#define WINDOW 0x80000000ull

static u64 shadow;		/* a shadow VMCS */
static u8 *vmread_bitmap, *vmwrite_bitmap;
static struct ept12 ept;

static bool has_shadowing(void)
{
	return rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_SHADOW_VMCS;
}

static u64 shadow_alloc(void)
{
	u64 vmcs = hv_vmcs_alloc();

	*(u32 *)vmcs |= (u32)SHADOW;
	try_vmclear(&vmcs);
	return vmcs;
}

/* ---- As L1 sees it ---- */

static void life(void)
{
	u64 region = shadow_alloc(), value = 0;

	print("T -- a shadow VMCS of L1\n");
	t_result("vmptrld", try_vmptrld(&region));
	if (!has_shadowing())
		return;
	t_result("vmwrite", try_vmwrite(VMCS_GUEST_RIP, 0x1234));
	t_result("vmwrite of a bitmap's address", try_vmwrite(VMREAD_BITMAP, 0x5000));
	/* VMfailInvalid by the manual, which device-memory wants; Bochs 2.7 goes on and refuses the controls. */
	t_check("vmlaunch is refused", try_vmlaunch() != VMX_OK && try_vmresume() != VMX_OK);
	t_result("vmclear", try_vmclear(&region));
	t_result("vmread after it", try_vmread(VMCS_GUEST_RIP, &value));
	*(u32 *)region ^= 1;
	t_result("vmptrld, wrong revision", try_vmptrld(&region));
	*(u32 *)region ^= 1;
	t_result("vmptrld", try_vmptrld(&region));
	print("T RIP %lx, bitmap %lx\n", vmread(VMCS_GUEST_RIP), vmread(VMREAD_BITMAP));
	try_vmclear(&region);
	/* The same memory as an ordinary VMCS. */
	*(u32 *)region ^= (u32)SHADOW;
	t_result("vmptrld as an ordinary one", try_vmptrld(&region));
	t_result("vmresume", try_vmresume());
	print("T error %lu\n", vmread(VMCS_INSN_ERROR));
	try_vmclear(&region);
}

/* ---- Entries ---- */

static void l2_stops(void)
{
	for (;;)
		l2_end();
}

static void with_shadowing(enum hv_mode mode, const void *code)
{
	hv_init(&l2, mode, code);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS);
	vmwrite(VMREAD_BITMAP, (u64)vmread_bitmap);
	vmwrite(VMWRITE_BITMAP, (u64)vmwrite_bitmap);
	vmwrite(VMCS_LINK_POINTER, shadow);
	vmwrite(VMCS_EPTP, ept.eptp);
}

static void entries(u64 ordinary)
{
	const struct { const char *what; u64 field, value, off; } rows[] = {
		{ "a good one", VMCS_LINK_POINTER, shadow, 0 },
		{ "no link", VMCS_LINK_POINTER, ~0ull, 0 },
		{ "VMREAD bitmap unaligned", VMREAD_BITMAP, 0x1008, 0 },
		{ "VMREAD bitmap too wide", VMREAD_BITMAP, BIT(51), 0 },
		{ "VMWRITE bitmap unaligned", VMWRITE_BITMAP, 0x1800, 0 },
		{ "VMWRITE bitmap too wide", VMWRITE_BITMAP, BIT(51), 0 },
		{ "VMREAD bitmap bad, but not used", VMREAD_BITMAP, ~0ull, 2 },
		{ "link to an ordinary VMCS", VMCS_LINK_POINTER, ordinary, 0 },
		{ "link to an ordinary VMCS, shadowing off", VMCS_LINK_POINTER, ordinary, 1 },
		{ "link to a shadow VMCS, shadowing off", VMCS_LINK_POINTER, shadow, 1 },
		{ "link unaligned", VMCS_LINK_POINTER, shadow + 8, 0 },
		{ "link too wide", VMCS_LINK_POINTER, shadow | BIT(51), 0 },
		{ "link to no memory", VMCS_LINK_POINTER, 0xe0000000, 0 },
		{ "link to other memory", VMCS_LINK_POINTER, (u64)vmread_bitmap, 0 },
		{ "link to itself", VMCS_LINK_POINTER, 0, 0 },
	};

	print("T -- entries\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		with_shadowing(HV_LONG64, l2_stops);
		if (rows[i].off)
			hv_clear(VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS);
		if (rows[i].off == 2)
			vmwrite(VMCS_LINK_POINTER, ~0ull);
		vmwrite((u32)rows[i].field, rows[i].value ? rows[i].value : l2.vmcs);
		vmx_result result = hv_run(&l2);

		if (result == VMX_OK)
			t_exit(rows[i].what, &l2);
		else
			print("T %s: refused with %u\n", rows[i].what, l2.insn_error);
	}
}

/* ---- L2's VMREAD and VMWRITE ---- */

enum form { READ_REG, READ_MEM, WRITE_REG, WRITE_MEM };

static struct attempt {
	const char *what;
	enum form form;
	u64 encoding, value;
	u64 *at;		/* of a memory operand; NULL: value */
	vmx_result result;
} now;

static vmx_result read_to_register(u64 encoding, u64 *value)
{
	u8 cf = 0, zf = 0;

	fault_reset();
	asm volatile("test %%rsp, %%rsp\n\t" MAY_FAULT("vmread %3, %0")
		     : "+r"(*value), "=@ccc"(cf), "=@ccz"(zf) : "r"(encoding) : "memory");
	return vmx_result_of(cf, zf);
}

static void attempt(void)
{
	u64 *at = now.at ? now.at : &now.value;

	switch (now.form) {
	case READ_REG: now.result = read_to_register(now.encoding, &now.value); break;
	case READ_MEM: now.result = try_vmread(now.encoding, at); break;
	case WRITE_REG: now.result = try_vmwrite(now.encoding, now.value); break;
	case WRITE_MEM: now.result = TRY_VMX("vmwrite (%3), %2", "r"(now.encoding), "r"(at)); break;
	}
}

static void l2_attempts(void)
{
	for (;;) {
		attempt();
		l2_end();
	}
}

static void map_windows(void)
{
	static u8 *pages;

	if (!pages)
		pages = page_alloc(), page_alloc();
	ept_map(&ept, WINDOW, (u64)pages, EPT_4K, EPT_R | EPT_WB);
	ept_map(&ept, WINDOW + PAGE_SIZE, (u64)pages, EPT_4K, EPT_RWX | EPT_WB);
	*ept_entry(&ept, WINDOW + 2 * PAGE_SIZE, EPT_4K) = 0;
	*ept_entry(&ept, WINDOW + 3 * PAGE_SIZE, EPT_4K) = (u64)pages | EPT_RWX | 7 << 3;
	ept_flush(&ept);
}

/* One attempt of L2, which goes on whatever comes of it. */
static void try_in_l2(const struct attempt *a)
{
	now = *a;
	now.result = 0x77;
	vmwrite(VMCS_INSN_ERROR, 0);
	while (hv_run(&l2) == VMX_OK && l2.exit.reason != EXIT_VMCALL) {
		t_exit(a->what, &l2);
		if (l2.exit.reason == EXIT_EPT_VIOLATION || l2.exit.reason == EXIT_EPT_MISCONFIG) {
			print("T   at %lx, linear %lx\n", vmread(VMCS_GUEST_PHYSICAL_ADDR),
			      l2.exit.reason == EXIT_EPT_MISCONFIG ? 0 : vmread(VMCS_GUEST_LINEAR_ADDR));
			now.at = NULL;	/* the operand is in a register: the next one */
			vmwrite(VMCS_GUEST_RIP, (u64)l2_attempts);
		} else {
			hv_skip(&l2);
		}
	}
	hv_skip(&l2);
	t_result(a->what, now.result);
	if (now.result == VMX_FAIL_VALID)
		print("T   error %lu\n", vmread(VMCS_INSN_ERROR));
	else if (a->form <= READ_MEM && now.result == VMX_OK)
		print("T   value %lx\n", now.value);
}

#define READ_TO(what, encoding, at) { what, READ_MEM, encoding, 0x5555, (u64 *)(at), 0 }
static const struct attempt attempts[] = {
	{ "read of a natural-width field", READ_REG, VMCS_GUEST_RIP, 0x5555, NULL, 0 },
	{ "read of 16 bits to memory", READ_MEM, VMCS_GUEST_ES_SEL, ~0ull, NULL, 0 },
	{ "read of 32 bits", READ_REG, VMCS_GUEST_CS_LIMIT, ~0ull, NULL, 0 },
	{ "read of 64 bits to memory", READ_MEM, VMCS_TSC_OFFSET, 0, NULL, 0 },
	{ "read of the high half", READ_REG, VMCS_TSC_OFFSET | 1, 0, NULL, 0 },
	{ "read of exit information", READ_REG, VMCS_EXIT_REASON, 0, NULL, 0 },
	{ "read, bit set", READ_REG, VMCS_GUEST_CR3, 0, NULL, 0 },
	{ "write, bit of the other bitmap set", WRITE_REG, VMCS_GUEST_CR3, 0x3000, NULL, 0 },
	{ "write, bit set", WRITE_REG, VMCS_GUEST_CR4, 0x4000, NULL, 0 },
	{ "read, bit of the other bitmap set", READ_MEM, VMCS_GUEST_CR4, 0, NULL, 0 },
	{ "read of no field", READ_REG, 0x7ffe, 0, NULL, 0 },
	{ "read of no field, bit set", READ_MEM, 0x7ffc, 0, NULL, 0 },
	{ "read of the high half of 32 bits", READ_REG, VMCS_EXIT_REASON | 1, 0, NULL, 0 },
	{ "read, bit 15", READ_REG, VMCS_GUEST_RIP | BIT(15), 0, NULL, 0 },
	{ "read, bit 16", READ_MEM, VMCS_GUEST_RIP | BIT(16), 0, NULL, 0 },
	{ "write, bit 40", WRITE_REG, VMCS_GUEST_RIP | BIT(40), 0, NULL, 0 },
	{ "write of 64 bits", WRITE_REG, VMCS_GUEST_RIP, 0xffff800012345678, NULL, 0 },
	{ "read again", READ_REG, VMCS_GUEST_RIP, 0, NULL, 0 },
	{ "write of 16 bits", WRITE_MEM, VMCS_GUEST_ES_SEL, ~0ull, NULL, 0 },
	{ "read again", READ_MEM, VMCS_GUEST_ES_SEL, 0, NULL, 0 },
	{ "its neighbour", READ_MEM, VMCS_GUEST_CS_SEL, 0, NULL, 0 },
	{ "write of the high half", WRITE_MEM, VMCS_TSC_OFFSET | 1, 0xabcdef01, NULL, 0 },
	{ "read again", READ_MEM, VMCS_TSC_OFFSET, 0, NULL, 0 },
	{ "write of exit information", WRITE_REG, VMCS_EXIT_REASON, 0x77, NULL, 0 },
	{ "read again", READ_REG, VMCS_EXIT_REASON, 0, NULL, 0 },
	{ "write of the link pointer", WRITE_REG, VMCS_LINK_POINTER, 0x1000, NULL, 0 },
	{ "write of no field", WRITE_REG, 0x7ffe, 0, NULL, 0 },
	READ_TO("read to unmapped memory", VMCS_GUEST_RIP, UNMAPPED),
	READ_TO("read of no field to unmapped memory", 0x7ffe, UNMAPPED),
	READ_TO("read to no canonical address", VMCS_GUEST_RIP, NONCANONICAL),
	{ "write from unmapped memory", WRITE_MEM, VMCS_GUEST_RIP, 0, UNMAPPED, 0 },
	{ "write of no field from unmapped memory", WRITE_MEM, 0x7ffe, 0, UNMAPPED, 0 },
	{ "write from no canonical address", WRITE_MEM, VMCS_GUEST_RIP, 0, NONCANONICAL, 0 },
	READ_TO("read to what EPT12 lets L2 read", VMCS_GUEST_RIP, WINDOW),
	READ_TO("read to what it lets L2 write", VMCS_GUEST_RIP, WINDOW + PAGE_SIZE),
	READ_TO("read across its end", VMCS_GUEST_RIP, WINDOW + 2 * PAGE_SIZE - 3),
	READ_TO("read to nothing", VMCS_GUEST_RIP, WINDOW + 2 * PAGE_SIZE),
	{ "write from what it lets L2 read", WRITE_MEM, VMCS_GUEST_RSP, 0, (u64 *)WINDOW, 0 },
	{ "write from nothing", WRITE_MEM, VMCS_GUEST_RSP, 0, (u64 *)(WINDOW + 2 * PAGE_SIZE + 8), 0 },
	READ_TO("read to a malformed entry", VMCS_GUEST_RIP, WINDOW + 3 * PAGE_SIZE),
	READ_TO("read of no field to it", 0x7ffe, WINDOW + 3 * PAGE_SIZE),
	{ "write from a malformed entry", WRITE_MEM, VMCS_GUEST_RSP, 0, (u64 *)(WINDOW + 3 * PAGE_SIZE), 0 },
	{ "read, at the end", READ_REG, VMCS_GUEST_RIP, 0, NULL, 0 },
};

static void fill_shadow(u64 vmcs, u64 salt)
{
	try_vmptrld(&vmcs);
	vmwrite(VMCS_GUEST_RIP, 0x1122334455667788 + salt);
	vmwrite(VMCS_GUEST_ES_SEL, 0x1234 + salt);
	vmwrite(VMCS_GUEST_CS_SEL, 0x4321 + salt);
	vmwrite(VMCS_GUEST_CS_LIMIT, 0x89abcdef + salt);
	vmwrite(VMCS_TSC_OFFSET, 0xfedcba9876543210 + salt);
	vmwrite(VMCS_GUEST_CR3, 0xc3000 + salt);
	vmwrite(VMCS_GUEST_CR4, 0xc4000 + salt);
	vmwrite(VMCS_LINK_POINTER, 0xf000 + salt);
	try_vmwrite(VMCS_EXIT_REASON, 0);
	try_vmclear(&vmcs);
}

/* Makes the shadow VMCS current, and l2's own one again. */
static void print_shadow(const char *what)
{
	try_vmptrld(&shadow);
	print("T %s: RIP %lx, RSP %lx, ES %lx, CS %lx, offset %lx, CR3 %lx, CR4 %lx, link %lx\n", what,
	      vmread(VMCS_GUEST_RIP), vmread(VMCS_GUEST_RSP), vmread(VMCS_GUEST_ES_SEL), vmread(VMCS_GUEST_CS_SEL),
	      vmread(VMCS_TSC_OFFSET), vmread(VMCS_GUEST_CR3), vmread(VMCS_GUEST_CR4), vmread(VMCS_LINK_POINTER));
	try_vmclear(&shadow);
	try_vmptrld(&l2.vmcs);
}

static void set_bit(u8 *bitmap, u32 field)
{
	bitmap[field / 8] |= (u8)BIT(field % 8);
}

static void accesses(void)
{
	print("T -- VMREAD and VMWRITE of L2\n");
	fill_shadow(shadow, 0);
	set_bit(vmread_bitmap, VMCS_GUEST_CR3);
	set_bit(vmread_bitmap, 0x7ffc);
	set_bit(vmwrite_bitmap, VMCS_GUEST_CR4);
	map_windows();
	with_shadowing(HV_LONG64, l2_attempts);
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		try_in_l2(&attempts[i]);
	print_shadow("the shadow afterwards");
	print("T the VMCS itself: offset %lx, ES %lx\n", vmread(VMCS_TSC_OFFSET), vmread(VMCS_GUEST_ES_SEL));
}

/* Accessed and dirty flags of the operand's page, and what a log has of it. */
static void flags_of_operands(void)
{
	static const struct attempt rows[] = {
		{ "write from memory, flags in use", WRITE_MEM, VMCS_GUEST_RSP, 0, (u64 *)(WINDOW + PAGE_SIZE), 0 },
		{ "write from two pages", WRITE_MEM, VMCS_GUEST_RSP, 0, (u64 *)(WINDOW + PAGE_SIZE - 4), 0 },
		READ_TO("read to memory, flags in use", VMCS_GUEST_RIP, WINDOW + PAGE_SIZE),
	};

	print("T -- flags of operands\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		map_windows();
		with_shadowing(HV_LONG64, l2_attempts);
		vmwrite(VMCS_EPTP, ept.eptp | EPTP_AD);
		try_in_l2(&rows[i]);
		for (u64 page = 0; page < 2; page++) {
			u64 entry = *ept_entry(&ept, WINDOW + page * PAGE_SIZE, EPT_4K);

			print("T   page %lu: accessed %u, dirty %u\n", page, !!(entry & EPT_ACCESSED),
			      !!(entry & EPT_DIRTY));
		}
	}
}

extern const u8 l2_stores_and_vmwrites[];
asm("l2_stores_and_vmwrites: incb (%rsi); vmwrite (%rbx), %rdx; vmcall\n");

static void t_stopped(const char *what)
{
	hv_run(&l2);
	t_exit(what, &l2);
	print("T   at %ld, accessed %u\n", vmread(VMCS_GUEST_RIP) - (u64)l2_stores_and_vmwrites,
	      !!(*ept_entry(&ept, WINDOW, EPT_4K) & EPT_ACCESSED));
}

/* A store of L2's fills the log, so that the accessed flag of the operand's page has to wait. */
static void operand_waits_for_the_log(void)
{
	enum { PML_INDEX = 0x0812, PML_ADDR = 0x200e };

	if (!(rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_PML))
		return;
	print("T -- an operand and a full log\n");
	map_windows();
	ept_map_range(&ept, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB | EPT_ACCESSED | EPT_DIRTY);
	with_shadowing(HV_LONG64, l2_stores_and_vmwrites);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_PML);
	vmwrite(VMCS_EPTP, ept.eptp | EPTP_AD);
	vmwrite(PML_ADDR, (u64)page_alloc());
	vmwrite(PML_INDEX, 0);
	l2.regs[RSI] = WINDOW + PAGE_SIZE;
	l2.regs[RBX] = WINDOW;
	l2.regs[RDX] = VMCS_GUEST_RSP;
	t_stopped("full behind the store");
	vmwrite(PML_INDEX, 511);
	t_stopped("emptied");
}

static const struct attempt reads_rip = { "read", READ_REG, VMCS_GUEST_RIP, 0, NULL, 0 };
static const struct attempt writes_rip = { "write", WRITE_REG, VMCS_GUEST_RIP, 0x7654321, NULL, 0 };

static void changes_between(void)
{
	u64 other = shadow_alloc();

	print("T -- changes while L2 does not run\n");
	with_shadowing(HV_LONG64, l2_attempts);
	set_bit(vmread_bitmap, VMCS_GUEST_RIP);
	try_in_l2(&reads_rip);
	set_bytes(vmread_bitmap, 0, PAGE_SIZE);
	try_in_l2(&reads_rip);
	fill_shadow(other, 1);
	try_vmptrld(&l2.vmcs);
	vmwrite(VMCS_LINK_POINTER, other);
	try_in_l2(&reads_rip);
	try_in_l2(&writes_rip);
	vmwrite(VMCS_LINK_POINTER, ~0ull);
	try_in_l2(&reads_rip);
	try_in_l2(&writes_rip);
	vmwrite(VMCS_LINK_POINTER, shadow);
	try_in_l2(&reads_rip);
	/* Written by L1 and left active, and L2 enters. */
	try_vmptrld(&shadow);
	vmwrite(VMCS_GUEST_RIP, 0x999);
	try_vmptrld(&l2.vmcs);
	try_in_l2(&reads_rip);
	try_in_l2(&writes_rip);
	print_shadow("what L2 wrote");
	/* The one that is linked is cleared. */
	t_result("vmclear of the linked one", try_vmclear(&shadow));
	try_in_l2(&reads_rip);
	hv_clear(VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS);
	vmwrite(VMCS_LINK_POINTER, ~0ull);
	try_in_l2(&reads_rip);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS);
	vmwrite(VMCS_LINK_POINTER, shadow);
	hv_clear(VMCS_CPU_CONTROLS, CPU_SECONDARY);
}

/* ---- Other modes ---- */

static void l2_user(void)
{
	asm volatile("movl $0x681e, %%eax; vmread %%rax, %%rcx; vmcall" ::: "rax", "rcx");
}

extern const u8 l2_shadow_32[];
asm(".code32\n l2_shadow_32: movl $0x681e, %eax; vmread %eax, %ebx; movl $0xffff, %eax; vmread %eax, %ecx\n"
    "movl $0x2011, %eax; vmread %eax, %edx; movl $0x2010, %eax; vmwrite %ebx, %eax; movl $0x2010, %eax\n"
    "vmread %eax, %esi; vmcall\n .code64\n");

static void other_modes(void)
{
	print("T -- other modes\n");
	with_shadowing(HV_USER64, l2_user);
	hv_set(VMCS_EXCEPTION_BITMAP, BIT(VEC_GP));
	hv_run(&l2);
	t_exit("CPL 3", &l2);
	set_bit(vmread_bitmap, VMCS_GUEST_RIP);
	hv_run(&l2);
	t_exit("CPL 3, bit set", &l2);
	set_bytes(vmread_bitmap, 0, PAGE_SIZE);

	fill_shadow(shadow, 2);
	with_shadowing(HV_PROTECTED32, l2_shadow_32);
	hv_run(&l2);
	t_exit("32 bits, encoding of 16 bits", &l2);
	hv_skip(&l2);
	hv_run(&l2);
	t_exit("32 bits, the end", &l2);
	print("T   reads %lx, %lx, %lx\n", l2.regs[RBX], l2.regs[RDX], l2.regs[RSI]);
	print_shadow("written with 32 bits");
}

extern const u8 l2_shadow_to_memory[];
asm(".code32\n l2_shadow_to_memory: movl $0x681e, %eax; vmread %eax, (%esi); vmcall\n .code64\n");

/* Where an operand lies in legacy paging: PDPTEs are registers, whatever CR3 leads to, and CR3 has 32 bits. */
static void legacy_paging(void)
{
	const bool pae[] = { true, false };
	u64 *wide = page_alloc(), *zeros = page_alloc();
	u32 *narrow = page_alloc(), *value = page_alloc();

	print("T -- operands in legacy paging\n");
	for (u32 i = 0; i < 512; i++)
		wide[i] = i << 21 | BIT(7) | 7;
	for (u32 i = 0; i < 1024; i++)
		narrow[i] = i << 22 | BIT(7) | 7;
	for (size_t i = 0; i < ARRAY_SIZE(pae); i++) {
		*value = 0;
		with_shadowing(HV_PROTECTED32, l2_shadow_to_memory);
		hv_set(VMCS_GUEST_CR0, CR0_PG);
		hv_set(VMCS_GUEST_CR4, pae[i] ? CR4_PAE : CR4_PSE);
		vmwrite(VMCS_GUEST_CR3, pae[i] ? (u64)zeros : (u64)narrow | BIT(32));
		vmwrite(VMCS_GUEST_PDPTE0, (u64)wide | 1);
		for (u32 field = VMCS_GUEST_PDPTE1; field <= VMCS_GUEST_PDPTE3; field += 2)
			vmwrite(field, 0);
		l2.regs[RSI] = (u64)value;
		hv_run(&l2);
		t_exit(pae[i] ? "PAE" : "32 bits", &l2);
		print("T   value %x\n", *value);
	}
}

/* Two VMCSs with one shadow, in turn. */
static void shared_by_two(void)
{
	static struct vcpu second;
	u64 first = l2.vmcs;

	print("T -- one shadow, two VMCSs\n");
	with_shadowing(HV_LONG64, l2_attempts);
	try_in_l2(&writes_rip);
	second = l2;
	l2.vmcs = hv_vmcs_alloc();
	with_shadowing(HV_LONG64, l2_attempts);
	try_in_l2(&reads_rip);
	try_in_l2(&(struct attempt){ "write", WRITE_REG, VMCS_GUEST_RIP, 0x222, NULL, 0 });
	try_vmclear(&l2.vmcs);
	l2 = second;
	try_vmptrld(&first);
	try_in_l2(&reads_rip);
	print_shadow("at the end");
}

DEFINE_TEST(vmx_shadow, "vmx-shadow", "VMCS shadowing: shadow VMCSs, entries, L2's VMREAD and VMWRITE")
{
	if (!hv_supported())
		return;
	hv_on();
	t_check("VMCS shadowing", has_shadowing());
	life();
	if (has_shadowing()) {
		shadow = shadow_alloc();
		vmread_bitmap = page_alloc();
		vmwrite_bitmap = page_alloc();
		ept_init(&ept);
		ept_map_range(&ept, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB);
		entries(hv_vmcs_alloc());
		accesses();
		flags_of_operands();
		operand_waits_for_the_log();
		changes_between();
		other_modes();
		legacy_paging();
		shared_by_two();
	}
	hv_off();
}
