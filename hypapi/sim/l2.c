/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L1 as a hypervisor, as small as can be: it executes the VMX instructions as the core's nested VMX expects them of a
 * real one, exits with operands in memory, and so everything between is the core's own: vmcs12, entry checks, VMCS02,
 * EPT02. Of L2's memory the lower part is for tests; page tables and a stack for each CPU lie at the end.
 */
#include "hypapi/sim/machine.h"

#include <stdlib.h>

#include "cpu/x86.h"
#include "mem/ept.h"
#include "mem/pages.h"

#define L2_RESERVED (128ul << 10)
#define L2_TABLES (3 * PAGE_SIZE)
#define OPERAND_MEMORY (BIT(27) | BIT(22) | 3u << 15 | 2u << 7) /* DS, 64-bit address, no base, no index */
#define OPERAND_REGS (BIT(10) | GPR_RCX << 28 | GPR_RAX << 3)   /* value in RAX, field or type in RCX */

struct sim_l2 {
	struct sim_l2 *next;
	u64 bytes, base;       /* L1-physical address of L2-physical 0 */
	u64 ept12;             /* EPTP12 */
	u64 vmcs[MAX_CPUS];    /* regions, 0: none yet; each its CPU's */
	bool launched[MAX_CPUS];
	bool launching[MAX_CPUS]; /* the newest entry was VMLAUNCH */
	bool running[MAX_CPUS];
	sim_l2_handler *handler[MAX_CPUS];
	void *handler_arg[MAX_CPUS];
};

static _Atomic(struct sim_l2 *) all; /* they live as long as the machine */

static u64 *l1_page_at(u64 gpa1)
{
	return sim_ram(HPA(gpa1)); /* L1's addresses are the host's */
}

/* ---- EPT12, by L1's stores ---- */

static u64 *ept12_entry(struct sim_l2 *l2, u64 gpa2)
{
	u64 *table = l1_page_at(l2->ept12 & EPT_ADDR);

	for (unsigned int level = EPT_LEVELS; level > 1; level--) {
		u64 *entry = &table[ept_index(gpa2, level)];

		if (!*entry)
			*entry = sim_memory(PAGE_SIZE).addr | HYPAPI_RWX;
		table = l1_page_at(*entry & EPT_ADDR);
	}
	return &table[ept_index(gpa2, 1)];
}

void sim_l2_map(struct sim_l2 *l2, gpa2_t gpa2, gpa1_t gpa1, uint32_t rights)
{
	__atomic_store_n(ept12_entry(l2, gpa2.addr), rights ? gpa1.addr | rights | EPT_WB : 0, __ATOMIC_RELEASE);
}

gpa1_t sim_l2_memory(const struct sim_l2 *l2, gpa2_t gpa2)
{
	return GPA1(l2->base + gpa2.addr);
}

/* L2's page tables: the first 64 MiB at their own address, by large pages. */
static void make_page_tables(struct sim_l2 *l2)
{
	const u64 flags = 7; /* present, writable, user */
	u64 at = l2->bytes - L2_TABLES;
	u64 *pml4 = l1_page_at(l2->base + at), *pdpt = pml4 + 512, *pd = pdpt + 512;

	pml4[0] = (at + PAGE_SIZE) | flags;
	pdpt[0] = (at + 2 * PAGE_SIZE) | flags;
	for (u64 i = 0; i < 32; i++)
		pd[i] = i * SIZE_2M | EPT_LARGE | flags;
}

struct sim_l2 *sim_l2_create(size_t bytes)
{
	struct sim_l2 *l2 = calloc(1, sizeof(*l2));

	if (bytes < 2 * L2_RESERVED || bytes > 64ul << 20 || (bytes & (PAGE_SIZE - 1)))
		sim_fault("sim_l2_create() of %zu bytes", bytes);
	for (l2->next = all; !atomic_compare_exchange_weak(&all, &l2->next, l2);)
		;
	l2->bytes = bytes;
	l2->base = sim_memory(bytes).addr;
	l2->ept12 = sim_memory(PAGE_SIZE).addr | EPTP_WALK_4 | EPT_TYPE_WB;
	for (u64 at = 0; at < bytes; at += PAGE_SIZE)
		sim_l2_map(l2, GPA2(at), GPA1(l2->base + at), HYPAPI_RWX);
	make_page_tables(l2);
	return l2;
}

/* ---- VMX instructions of L1 ---- */

static void check_success(struct sim_cpu *c, const char *insn)
{
	if (c->exception.vector)
		sim_fault("CPU %u: %s of L1 raises exception %d", c->index, insn, c->exception.vector);
	if (vmread(VMCS_GUEST_RFLAGS) & (RFLAGS_CF | RFLAGS_ZF) && c->core->world->mode == RUN_L1)
		sim_fault("CPU %u: %s of L1 fails", c->index, insn);
}

static void l1_insn(struct sim_cpu *c, u32 reason, u64 qualification, u32 info, const char *name)
{
	*vmcs_field(c, VMCS_EXIT_INSN_INFO) = info;
	guest_exit(c, reason, qualification, 4);
	check_success(c, name);
}

/* Each CPU has a page of L1's memory for operands, and one for VMXON, from the first it runs an L2. */
static u64 operand_page(struct sim_cpu *c)
{
	static u64 pages[MAX_CPUS];

	if (!pages[c->index])
		pages[c->index] = sim_memory(2 * PAGE_SIZE).addr;
	return pages[c->index];
}

static void l1_pointer_insn(struct sim_cpu *c, u32 reason, u64 pointer, const char *name)
{
	*l1_page_at(operand_page(c)) = pointer;
	l1_insn(c, reason, operand_page(c), OPERAND_MEMORY, name);
}

static void l1_vmwrite(struct sim_cpu *c, u32 field, u64 value)
{
	c->core->gpr[GPR_RCX] = field;
	c->core->gpr[GPR_RAX] = value;
	l1_insn(c, EXIT_VMWRITE, 0, OPERAND_REGS, "VMWRITE");
}

static u64 l1_vmread(struct sim_cpu *c, u32 field)
{
	c->core->gpr[GPR_RCX] = field;
	l1_insn(c, EXIT_VMREAD, 0, OPERAND_REGS, "VMREAD");
	return c->core->gpr[GPR_RAX];
}

static void l1_vmxon(struct sim_cpu *c)
{
	u64 region = operand_page(c) + PAGE_SIZE;

	c->core->gpr[GPR_RAX] = vmread(VMCS_GUEST_CR4) | CR4_VMXE;
	guest_exit(c, EXIT_CR_ACCESS, GPR_RAX << 8 | 4, 3);
	*(u32 *)l1_page_at(region) = 1; /* the revision that L1 reads in IA32_VMX_BASIC */
	uint64_t basic;

	if (sim_rdmsr(MSR_IA32_VMX_BASIC, &basic))
		sim_fault("L1 has no VMX");
	*(u32 *)l1_page_at(region) = (u32)(basic & VMX_BASIC_REVISION);
	l1_pointer_insn(c, EXIT_VMXON, region, "VMXON");
	c->in_vmx = true;
}

/* What is not 0 in a VMCS that L1 has just cleared. */
#define CR0_ON (CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP)
#define EFER_ON (EFER_LME | EFER_LMA | EFER_NXE)
static const struct { u32 field; u64 value; } constant_fields[] = {
	{ VMCS_PROC_CTLS, PROC_SECONDARY | PROC_HLT_EXITING | PROC_MSR_BITMAPS | PROC_IO_BITMAPS },
	{ VMCS_PROC2_CTLS, PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED },
	{ VMCS_EXIT_CTLS, EXITCTL_HOST_64 | EXITCTL_LOAD_EFER | EXITCTL_SAVE_EFER },
	{ VMCS_ENTRY_CTLS, ENTRYCTL_IA32E | ENTRYCTL_LOAD_EFER },
	{ VMCS_VPID, 1 }, { VMCS_LINK_POINTER, ~0ull },
	{ VMCS_GUEST_CR0, CR0_ON }, { VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE }, { VMCS_GUEST_EFER, EFER_ON },
	{ VMCS_GUEST_CS_SEL, 0x08 }, { VMCS_GUEST_CS_AR, 0xa09b }, { VMCS_GUEST_CS_LIMIT, 0xffffffff },
	{ VMCS_GUEST_SS_SEL, 0x10 }, { VMCS_GUEST_SS_AR, 0xc093 }, { VMCS_GUEST_SS_LIMIT, 0xffffffff },
	{ VMCS_GUEST_DS_SEL, 0x10 }, { VMCS_GUEST_DS_AR, 0xc093 }, { VMCS_GUEST_DS_LIMIT, 0xffffffff },
	{ VMCS_GUEST_ES_AR, AR_UNUSABLE }, { VMCS_GUEST_FS_AR, AR_UNUSABLE }, { VMCS_GUEST_GS_AR, AR_UNUSABLE },
	{ VMCS_GUEST_LDTR_AR, AR_UNUSABLE }, { VMCS_GUEST_TR_SEL, 0x18 }, { VMCS_GUEST_TR_AR, 0x8b },
	{ VMCS_GUEST_TR_LIMIT, 0x67 }, { VMCS_GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_IF }, { VMCS_GUEST_DR7, 0x400 },
	{ VMCS_GUEST_RIP, 0x1000 },
	{ VMCS_HOST_CR0, CR0_ON }, { VMCS_HOST_CR4, CR4_PAE | CR4_VMXE }, { VMCS_HOST_EFER, EFER_ON },
	{ VMCS_HOST_CS_SEL, 0x08 }, { VMCS_HOST_SS_SEL, 0x10 }, { VMCS_HOST_TR_SEL, 0x18 },
};

static void fill_vmcs(struct sim_cpu *c, struct sim_l2 *l2)
{
	u64 bitmaps = sim_memory(3 * PAGE_SIZE).addr;

	for (size_t i = 0; i < ARRAY_SIZE(constant_fields); i++)
		l1_vmwrite(c, constant_fields[i].field, constant_fields[i].value);
	l1_vmwrite(c, VMCS_EPTP, l2->ept12);
	l1_vmwrite(c, VMCS_IO_BITMAP_A, bitmaps);
	l1_vmwrite(c, VMCS_IO_BITMAP_B, bitmaps + PAGE_SIZE);
	l1_vmwrite(c, VMCS_MSR_BITMAP, bitmaps + 2 * PAGE_SIZE);
	l1_vmwrite(c, VMCS_GUEST_CR3, l2->bytes - L2_TABLES);
	l1_vmwrite(c, VMCS_GUEST_RSP, l2->bytes - L2_TABLES - PAGE_SIZE * (c->index + 1) + PAGE_SIZE - 64);
	l1_vmwrite(c, VMCS_HOST_CR3, vmread(VMCS_GUEST_CR3));
	l1_vmwrite(c, VMCS_HOST_RSP, vmread(VMCS_GUEST_RSP));
	l1_vmwrite(c, VMCS_HOST_RIP, vmread(VMCS_GUEST_RIP));
}

static void load_vmcs(struct sim_cpu *c, struct sim_l2 *l2)
{
	u64 *region = &l2->vmcs[c->index];
	bool fresh = !*region;

	if (!c->in_vmx)
		l1_vmxon(c);
	if (fresh) {
		*region = sim_memory(PAGE_SIZE).addr;
		*(u32 *)l1_page_at(*region) = *(u32 *)l1_page_at(operand_page(c) + PAGE_SIZE);
		l1_pointer_insn(c, EXIT_VMCLEAR, *region, "VMCLEAR");
	}
	l1_pointer_insn(c, EXIT_VMPTRLD, *region, "VMPTRLD");
	if (fresh)
		fill_vmcs(c, l2);
}

static void l1_enter(struct sim_cpu *c, struct sim_l2 *l2)
{
	bool launched = l2->launched[c->index];

	l2->launching[c->index] = !launched;
	l2->launched[c->index] = true;
	l1_insn(c, launched ? EXIT_VMRESUME : EXIT_VMLAUNCH, 0, 0, launched ? "VMRESUME" : "VMLAUNCH");
}

static void l1_invalidate(u32 reason, u32 type, u64 low, u64 high, const char *name)
{
	struct sim_cpu *c = guest_begin();
	u64 rcx = c->core->gpr[GPR_RCX], *operand = l1_page_at(operand_page(c));

	if (!c->in_vmx)
		l1_vmxon(c);
	operand[0] = low;
	operand[1] = high;
	c->core->gpr[GPR_RCX] = type;
	l1_insn(c, reason, operand_page(c), OPERAND_MEMORY | GPR_RCX << 28, name);
	c->core->gpr[GPR_RCX] = rcx;
}

void sim_invept(uint32_t type, uint64_t eptp12) { l1_invalidate(EXIT_INVEPT, type, eptp12, 0, "INVEPT"); }
void sim_l2_invept(struct sim_l2 *l2) { sim_invept(INVEPT_SINGLE, l2->ept12); }

void sim_invvpid(uint32_t type, uint16_t vpid12, gva_t gva)
{
	l1_invalidate(EXIT_INVVPID, type, vpid12, gva.addr, "INVVPID");
}

uint64_t sim_l2_vmread(struct sim_l2 *l2, uint32_t field)
{
	load_vmcs(guest_begin(), l2);
	return l1_vmread(sim_self, field);
}

void sim_l2_vmwrite(struct sim_l2 *l2, uint32_t field, uint64_t value)
{
	load_vmcs(guest_begin(), l2);
	l1_vmwrite(sim_self, field, value);
}

/* ---- Exits of L2 ---- */

/* After an exit to L1 its registers are those of the exit, with interrupts off. */
static void l1_after_exit(void)
{
	vmwrite(VMCS_GUEST_RFLAGS, vmread(VMCS_GUEST_RFLAGS) | RFLAGS_IF);
}

/* Without a step over the instruction, or a right that was missing, the same exit comes again. */
static void count_resume(struct sim_cpu *c, const struct sim_l2_exit *exit)
{
	u64 rip = l1_vmread(c, VMCS_GUEST_RIP);

	if (c->resumed.rip != rip || c->resumed.gpa2 != exit->gpa2 || c->resumed.reason != exit->reason) {
		c->resumed.rip = rip;
		c->resumed.gpa2 = exit->gpa2;
		c->resumed.reason = exit->reason;
		c->resumed.count = 0;
	}
	c->resumed.count++;
}

void l1_answer(struct sim_cpu *c)
{
	struct sim_l2 *l2 = c->l2;
	u64 gpr[GPR_COUNT];
	bool resume = false;

	c->world = WORLD_L1;
	l1_after_exit();
	__builtin_memcpy(gpr, c->core->gpr, sizeof(gpr));
	struct sim_l2_exit exit = { .gpr = gpr };

	exit.reason = (u32)l1_vmread(c, VMCS_EXIT_REASON);
	exit.qualification = l1_vmread(c, VMCS_EXIT_QUALIFICATION);
	exit.gpa2 = l1_vmread(c, VMCS_GUEST_PHYS_ADDR);
	exit.insn_len = (u32)l1_vmread(c, VMCS_EXIT_INSN_LEN);
	if (exit.reason & EXIT_REASON_ENTRY_FAILED)
		l2->launched[c->index] &= !l2->launching[c->index];
	else if (l2->handler[c->index])
		resume = l2->handler[c->index](l2, &exit, l2->handler_arg[c->index]);
	if (!resume) {
		c->core->gpr[GPR_RAX] = exit.reason;
		longjmp(*c->l2_jump, 1);
	}
	count_resume(c, &exit);
	__builtin_memcpy(c->core->gpr, gpr, sizeof(gpr));
	c->exception.vector = 0;
	l1_enter(c, l2);
	c->world = WORLD_L2;
}

void sim_l2_skip(const struct sim_l2_exit *exit)
{
	struct sim_cpu *c = sim_self;

	l1_vmwrite(c, VMCS_GUEST_RIP, l1_vmread(c, VMCS_GUEST_RIP) + exit->insn_len);
}

uint32_t sim_l2_run(struct sim_l2 *l2, sim_code *code, void *arg, sim_l2_handler *handler)
{
	struct sim_cpu *c = guest_begin();
	jmp_buf jump;
	u32 reason;

	if (c->world != WORLD_L1 || l2->running[c->index])
		sim_fault("CPU %u: sim_l2_run() where L1 cannot", c->index);
	load_vmcs(c, l2);
	l2->running[c->index] = true;
	l2->handler[c->index] = handler;
	l2->handler_arg[c->index] = arg;
	c->l2 = l2;
	c->l2_jump = &jump;
	if (!setjmp(jump)) {
		l1_enter(c, l2);
		c->world = WORLD_L2;
		guest_settle(c);
		code(arg);
		guest_begin();
		c->world = WORLD_L1;
		guest_exit(c, EXIT_HLT, 0, 1);
		l1_after_exit();
		reason = EXIT_HLT;
	} else {
		reason = (u32)c->core->gpr[GPR_RAX];
	}
	c->world = WORLD_L1;
	l2->running[c->index] = false;
	return reason;
}
