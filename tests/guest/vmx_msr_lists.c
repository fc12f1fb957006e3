/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The three MSR lists (load at entry, store and load at exit): values arrive on the right side, each forbidden entry
 * stops the entry with exit 34 and its number, and nothing of a failed entry stays behind. L2 is the identity-mapped
 * usual one; the MSRs used are those whose values no hypervisor needs for itself.
 * Left out: the TSC in a store list (Bochs 2.7 stores it with L2's offset), and failing loads at exit, which shut down.
 */
#include "test.h"

struct entry { u32 index, reserved; u64 value; };

#define STAR 0xc0000081u
#define LSTAR 0xc0000082u
#define FMASK 0xc0000084u
#define KERNEL_GS 0xc0000102u
#define PAT 0x277u
#define TSC_AUX 0xc0000103u

static struct entry *list_at_entry, *store_at_exit, *load_at_exit;

static void l2_read_msrs(void)
{
	l2_report(rdmsr(STAR));
	l2_report(rdmsr(LSTAR));
	l2_report(rdmsr(KERNEL_GS));
	wrmsr(STAR, 0x1111);
	wrmsr(LSTAR, 0x2222);
	wrmsr(KERNEL_GS, 0x3333);
	l2_end();
}

static void use_lists(u32 at_entry, u32 stored, u32 loaded)
{
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, (u64)list_at_entry);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, at_entry);
	vmwrite(VMCS_EXIT_MSR_STORE_ADDR, (u64)store_at_exit);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, stored);
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDR, (u64)load_at_exit);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, loaded);
}

static void print_own(const char *what)
{
	print("T %s: STAR %lx LSTAR %lx KERNEL_GS %lx\n", what, rdmsr(STAR), rdmsr(LSTAR), rdmsr(KERNEL_GS));
}

static void prepare(struct vcpu *v)
{
	(void)v;
	wrmsr(STAR, 0xa);
	wrmsr(LSTAR, 0xb);
	wrmsr(KERNEL_GS, 0xc);
	list_at_entry[0] = (struct entry){ STAR, 0, 0x101 };
	list_at_entry[1] = (struct entry){ LSTAR, 0, 0x102 };
	list_at_entry[2] = (struct entry){ KERNEL_GS, 0, 0x103 };
	store_at_exit[0] = (struct entry){ STAR, 0, 0 };
	store_at_exit[1] = (struct entry){ LSTAR, 0, 0 };
	store_at_exit[2] = (struct entry){ KERNEL_GS, 0, 0 };
	load_at_exit[0] = (struct entry){ STAR, 0, 0x201 };
	load_at_exit[1] = (struct entry){ LSTAR, 0, 0x202 };
	load_at_exit[2] = (struct entry){ KERNEL_GS, 0, 0x203 };
}

static void no_lists(struct vcpu *v) { prepare(v); use_lists(0, 0, 0); }
static void all_lists(struct vcpu *v) { prepare(v); use_lists(3, 3, 3); }
static void entry_list(struct vcpu *v) { prepare(v); use_lists(3, 0, 0); }
static void store_list(struct vcpu *v) { prepare(v); use_lists(0, 2, 0); }
static void exit_list(struct vcpu *v) { prepare(v); use_lists(0, 0, 1); }

static void good_lists(void)
{
	static const struct { const char *what; void (*prepare)(struct vcpu *); } cases[] = {
		{ "no lists", no_lists }, { "all lists", all_lists }, { "entry list", entry_list },
		{ "exit store list", store_list }, { "exit load list", exit_list },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		t_l2(cases[i].what, HV_LONG64, l2_read_msrs, cases[i].prepare, NULL);
		print_own(cases[i].what);
		print("T %s: stored %lx %lx %lx\n", cases[i].what, store_at_exit[0].value, store_at_exit[1].value,
		      store_at_exit[2].value);
	}
}

/* Each must fail the entry as entry number 2 of the list; the first was loaded and is not undone by hardware. */
static const struct entry bad_entries[] = {
	{ 0xc0000100, 0, 0 },		/* FS_BASE and GS_BASE: loaded from the VMCS only */
	{ 0xc0000101, 0, 0 },
	{ 0x802, 0, 0 },		/* x2APIC registers */
	{ 0x830, 0, 0 },
	{ 0x2000, 0, 0 },		/* no such MSR */
	{ 0x40000000, 0, 0 },
	{ MSR_VMX_BASIC, 0, 0 },	/* read-only */
	{ LSTAR, 0, BIT(63) },		/* a value that WRMSR refuses */
	{ 0x277, 0, 2 },
	{ LSTAR, 1, 0x5555 },		/* reserved bits of the entry */
	{ 0x9b, 0, 0 },			/* IA32_SMM_MONITOR_CTL outside SMM */
};

static void bad_lists(void)
{
	u32 wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad_entries); i++) {
		struct vcpu *v = &l2;

		hv_init(v, HV_LONG64, l2_end);
		prepare(v);
		list_at_entry[1] = bad_entries[i];
		use_lists(3, 0, 0);
		hv_run(v);
		print("T entry %x %x %lx\n", bad_entries[i].index, bad_entries[i].reserved, bad_entries[i].value);
		t_exit("bad entry", v);
		wrong += rdmsr(MSR_EFER) != (EFER_LME | EFER_LMA) || rdmsr(LSTAR) != 0xb || rdmsr(KERNEL_GS) != 0xc;
		use_lists(0, 0, 0);
		v->regs[RAX] = 0;
		wrong += hv_run(v) != VMX_OK || v->exit.reason != EXIT_VMCALL;
	}
	print("T wrong after bad entries: %u\n", wrong);
}

/* The list comes behind the rest of L2's state: EFER and PAT, which the host state leaves alone, are L2's. */
static void kept_after_bad_list(void)
{
	u64 efer = rdmsr(MSR_EFER), pat = rdmsr(PAT);

	hv_init(&l2, HV_LONG64, l2_end);
	prepare(&l2);
	list_at_entry[1] = bad_entries[0];
	use_lists(3, 0, 0);
	vmwrite(VMCS_ENTRY_CONTROLS, vmread(VMCS_ENTRY_CONTROLS) | ENTRYC_LOAD_EFER | ENTRYC_LOAD_PAT);
	vmwrite(VMCS_EXIT_CONTROLS, vmread(VMCS_EXIT_CONTROLS) & ~(u64)(EXITC_LOAD_EFER | EXITC_LOAD_PAT));
	vmwrite(VMCS_GUEST_EFER, efer ^ EFER_SCE);
	vmwrite(VMCS_GUEST_PAT, pat ^ 1);
	hv_run(&l2);
	print("T kept after a bad list: EFER %lx PAT %lx\n", rdmsr(MSR_EFER) ^ efer, rdmsr(PAT) ^ pat);
	wrmsr(MSR_EFER, efer);
	wrmsr(PAT, pat);
}

/* A list that crosses a page, of more entries than most hypervisors use at once. */
static void long_lists(void)
{
	u32 count = 400;

	hv_init(&l2, HV_LONG64, l2_read_msrs);
	prepare(&l2);
	for (u32 i = 0; i < count; i++) {
		list_at_entry[i] = (struct entry){ i & 1 ? STAR : LSTAR, 0, 0x1000 + i };
		store_at_exit[i] = (struct entry){ i & 1 ? STAR : LSTAR, 0, 0 };
	}
	use_lists(count, count, 3);
	t_run("long lists", &l2, NULL);
	print("T long lists: stored %lx %lx at the end\n", store_at_exit[count - 1].value,
		store_at_exit[count - 2].value);
	print_own("long lists");
}

DEFINE_TEST(vmx_msr_lists, "vmx-msr-lists", "MSR lists of VM entry and exit")
{
	if (!hv_supported())
		return;
	hv_on();
	list_at_entry = page_alloc_many(3, PAGE_SIZE);
	store_at_exit = set_bytes(page_alloc_many(3, PAGE_SIZE), 0, 3 * PAGE_SIZE);
	load_at_exit = page_alloc_many(3, PAGE_SIZE);
	good_lists();
	bad_lists();
	kept_after_bad_list();
	long_lists();
	hv_off();
}
