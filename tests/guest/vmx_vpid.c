/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VPIDs: two L2s with different page tables and VPIDs, or the same, or none, see their own memory; INVVPID of each type
 * leaves what L2 sees right after a change of its tables. Bochs 2.7 flushes at every entry and exit, so here only the
 * bookkeeping of a hypervisor below is tried, not a real TLB.
 */
#include "test.h"

#define SEEN 0x8000000000ull	/* linear address that each L2 maps to a page of its own */

struct address_space { u64 *pml4, *pdpt, *pd, *pt; u64 *data; };

static struct address_space spaces[2];
static struct vcpu vcpus[2];

static void l2_look(void)
{
	for (;;)
		l2_report(*(volatile u64 *)SEEN);
}

static void build_space(struct address_space *s, u64 value)
{
	const u64 *ours = (const u64 *)read_cr3();

	s->pml4 = page_alloc();
	s->pdpt = page_alloc();
	s->pd = page_alloc();
	s->pt = page_alloc();
	s->data = page_alloc();
	s->data[0] = value;
	s->data[1] = ~value;
	s->pml4[0] = ours[0];
	s->pml4[SEEN >> 39] = (u64)s->pdpt | 7;
	s->pdpt[0] = (u64)s->pd | 7;
	s->pd[0] = (u64)s->pt | 7;
	s->pt[0] = (u64)s->data | 7;
}

/* One look of one L2: its report. */
static u64 look(u32 which)
{
	struct vcpu *v = &vcpus[which];

	if (try_vmptrld(&v->vmcs) != VMX_OK || hv_run(v) != VMX_OK || v->exit.reason != EXIT_VMCALL)
		fail("L2 %u does not run", which);
	hv_skip(v);
	return v->regs[RAX] & 0xffff;
}

static void two_spaces(const char *what, u32 vpid0, u32 vpid1, bool uses_vpid)
{
	for (u32 i = 0; i < 2; i++) {
		hv_init(&vcpus[i], HV_LONG64, l2_look);
		vmwrite(VMCS_GUEST_CR3, (u64)spaces[i].pml4);
		vmwrite(VMCS_VPID, i ? vpid1 : vpid0);
		if (!uses_vpid)
			hv_clear(VMCS_CPU_CONTROLS2, CPU2_VPID);
	}
	print("T %s:", what);
	for (u32 i = 0; i < 6; i++) {
		struct inv_descriptor d = { i & 1 ? vpid1 : vpid0, 0 };

		/* Two users of one VPID have to flush between each other. */
		if (vpid0 == vpid1 && uses_vpid && try_invvpid(1, &d) != VMX_OK)
			fail("INVVPID");
		print(" %lx", look(i & 1));
	}
	print("\n");
}

static void changed_tables(void)
{
	static const struct { const char *what; u64 type; struct inv_descriptor d; } flushes[] = {
		{ "INVVPID address", 0, { 1, SEEN } }, { "INVVPID context", 1, { 1, 0 } },
		{ "INVVPID all", 2, { 0, 0 } },
		{ "INVVPID context but globals", 3, { 1, 0 } },
	};
	u64 *other = page_alloc();

	other[0] = 0x77;
	for (size_t i = 0; i < ARRAY_SIZE(flushes); i++) {
		spaces[0].pt[0] = (u64)spaces[0].data | 7;
		try_invvpid(2, &(struct inv_descriptor){ 0, 0 });
		print("T %s: %lx", flushes[i].what, look(0));
		spaces[0].pt[0] = (u64)other | 7;
		if (try_invvpid(flushes[i].type, &flushes[i].d) != VMX_OK)
			fail("%s", flushes[i].what);
		print(", then %lx\n", look(0));
	}
}

/* L2 changes its own tables and uses INVLPG, MOV CR3 and INVPCID; none of these exits. */
static void l2_flushes(void)
{
	volatile u64 *seen = (volatile u64 *)SEEN;
	u64 *pt = spaces[0].pt, first = (u64)spaces[0].data | 7, second = (u64)spaces[1].data | 7;

	pt[0] = first;
	l2_report(*seen);
	pt[0] = second;
	asm volatile("invlpg (%0)" :: "r"(SEEN) : "memory");
	l2_report(*seen);
	pt[0] = first;
	write_cr3(read_cr3());
	l2_report(*seen);
	pt[0] = second;
	asm volatile("invpcid (%0), %1" :: "r"(&(struct inv_descriptor){ 0, SEEN }), "r"(2ull) : "memory");
	l2_report(*seen);
	l2_end();
}

extern const u8 l2_moves_cr3[];
asm(".code32\n l2_moves_cr3: movl %ebx, %cr3; cpuid; movl (%esi), %edi; vmcall\n .code64\n");

/* PAE paging, with one page at 1 GiB. The answer: what CR3 wants. */
static u64 build_pae(u64 *first_gib, u32 value)
{
	u64 *pdpt = page_alloc(), *pd = page_alloc(), *pt = page_alloc(), *data = page_alloc();

	pdpt[0] = (u64)first_gib | 1;
	pdpt[1] = (u64)pd | 1;
	pd[0] = (u64)pt | 7;
	pt[0] = (u64)data | 7;
	*data = value;
	return (u64)pdpt;
}

/* L2 moves CR3 without an exit, and L1, which has no EPT, touches RIP only: the next entry loads the new PDPTEs. */
static void pae_without_ept(void)
{
	struct vcpu *v = &vcpus[0];
	u64 *first_gib = page_alloc();

	for (u32 i = 0; i < 512; i++)
		first_gib[i] = i << 21 | BIT(7) | 7;
	hv_init(v, HV_PROTECTED32, l2_moves_cr3);
	hv_clear(VMCS_CPU_CONTROLS2, CPU2_EPT | CPU2_UNRESTRICTED);
	hv_clear(VMCS_CPU_CONTROLS, CPU_CR3_LOAD);
	hv_set(VMCS_GUEST_CR0, CR0_PG);
	hv_set(VMCS_GUEST_CR4, CR4_PAE);
	vmwrite(VMCS_GUEST_CR3, build_pae(first_gib, 0x33));
	v->regs[RBX] = build_pae(first_gib, 0x44);
	v->regs[RSI] = 1u << 30;
	hv_run(v);
	t_exit("PAE without EPT", v);
	hv_skip(v);
	hv_run(v);
	t_exit("behind it", v);
	print("T   read %lx\n", v->regs[RDI]);
}

DEFINE_TEST(vmx_vpid, "vmx-vpid", "VPIDs and INVVPID")
{
	if (!hv_supported())
		return;
	hv_on();
	build_space(&spaces[0], 0x11);
	build_space(&spaces[1], 0x22);
	two_spaces("VPIDs 1 and 2", 1, 2, true);
	two_spaces("VPIDs 1 and 65535", 1, 0xffff, true);
	two_spaces("VPID 7 twice", 7, 7, true);
	two_spaces("no VPIDs", 0, 0, false);
	two_spaces("VPIDs 1 and 2", 1, 2, true);
	changed_tables();
	hv_init(&vcpus[0], HV_LONG64, l2_flushes);
	vmwrite(VMCS_GUEST_CR3, (u64)spaces[0].pml4);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_INVPCID);
	t_run("L2 flushes by itself", &vcpus[0], NULL);
	pae_without_ept();
	hv_off();
}
