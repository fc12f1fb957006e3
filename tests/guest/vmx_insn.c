/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each VMX instruction by itself: which fault or VMfail number it gives in which state (Intel SDM vol. 3, "VMX
 * Instruction Reference" and "VM Instruction Error Numbers"), and the life cycle of VMCSs.
 */
#include "test.h"

static u64 scratch[2] __attribute__((aligned(16)));
static const struct inv_descriptor no_descriptor;

/* One VMX instruction each, at CPL 3; INT 0x80 where it did not fault. */
#define USER_CODE(name, text)                                                                                         \
	static void name(void) { asm volatile(text "; int $0x80" ::: "rax", "rcx", "memory"); }
USER_CODE(user_vmxon, "vmxon (%%rsp)")
USER_CODE(user_vmxoff, "vmxoff")
USER_CODE(user_vmclear, "vmclear (%%rsp)")
USER_CODE(user_vmptrld, "vmptrld (%%rsp)")
USER_CODE(user_vmptrst, "vmptrst (%%rsp)")
USER_CODE(user_vmread, "xorl %%eax, %%eax; vmread %%rax, %%rcx")
USER_CODE(user_vmwrite, "movl $0x681e, %%eax; vmwrite %%rcx, %%rax")
USER_CODE(user_vmlaunch, "vmlaunch")
USER_CODE(user_vmresume, "vmresume")
USER_CODE(user_invept, "movl $2, %%eax; invept (%%rsp), %%rax")
USER_CODE(user_invvpid, "movl $2, %%eax; invvpid (%%rsp), %%rax")

static const struct { const char *name; void (*code)(void); } user_cases[] = {
	{ "vmxon", user_vmxon }, { "vmxoff", user_vmxoff }, { "vmclear", user_vmclear }, { "vmptrld", user_vmptrld },
	{ "vmptrst", user_vmptrst }, { "vmread", user_vmread }, { "vmwrite", user_vmwrite },
	{ "vmlaunch", user_vmlaunch },
	{ "vmresume", user_vmresume }, { "invept", user_invept }, { "invvpid", user_invvpid },
};

static void at_cpl3(const char *state)
{
	for (size_t i = 0; i < ARRAY_SIZE(user_cases); i++) {
		struct fault f = user_run(user_cases[i].code);

		print("T cpl 3, %s, %s: %s\n", state, user_cases[i].name, vector_name(f.vector));
	}
}

/* All of them where only a fault is possible: VMX off. VMXON only where it would not succeed. */
static void without_vmx(const char *state)
{
	print("T -- %s\n", state);
	if (!(read_cr4() & CR4_VMXE))
		t_result("vmxon", try_vmxon(scratch));
	t_result("vmxoff", try_vmxoff());
	t_result("vmclear", try_vmclear(scratch));
	t_result("vmptrld", try_vmptrld(scratch));
	t_result("vmptrst", try_vmptrst(scratch));
	t_result("vmread", try_vmread(VMCS_GUEST_RIP, scratch));
	t_result("vmwrite", try_vmwrite(VMCS_GUEST_RIP, 0));
	t_result("vmlaunch", try_vmlaunch());
	t_result("vmresume", try_vmresume());
	t_result("vmcall", try_vmcall(0x12345678));
	t_result("invept", try_invept(2, &no_descriptor));
	t_result("invvpid", try_invvpid(2, &no_descriptor));
}

static u64 too_wide(void)
{
	return BIT(cpuid(0x80000008, 0).eax & 0xff);
}

static void vmxon_operands(u64 region)
{
	u32 revision = *(u32 *)region;
	u64 pointer = region + 8;

	print("T -- vmxon operands\n");
	t_result("unaligned", try_vmxon(&pointer));
	pointer = region | too_wide();
	t_result("too wide", try_vmxon(&pointer));
	pointer = region;
	*(u32 *)region = revision ^ 1;
	t_result("wrong revision", try_vmxon(&pointer));
	*(u32 *)region = revision | BIT(31);
	t_result("shadow bit", try_vmxon(&pointer));
	*(u32 *)region = revision;
	t_result("operand not mapped", try_vmxon(UNMAPPED));
	t_result("operand not canonical", try_vmxon(NONCANONICAL));
	t_result("good", try_vmxon(&pointer));
}

static void control_registers_in_vmx(void)
{
	print("T -- control registers in VMX operation\n");
	t_fault("CR4.VMXE = 0", try_write_cr4(read_cr4() & ~(u64)CR4_VMXE));
	t_fault("CR0.NE = 0", try_write_cr0(read_cr0() & ~(u64)CR0_NE));
	t_fault("CR0.PG = 0", try_write_cr0(read_cr0() & ~(u64)CR0_PG));
	t_fault("CR0.TS = 1", try_write_cr0(read_cr0() | CR0_TS));
	t_fault("CR0.TS = 0", try_write_cr0(read_cr0() & ~(u64)CR0_TS));
	t_check("CR4.VMXE still set", read_cr4() & CR4_VMXE);
}

static void no_current_vmcs(u64 vmxon_region, u64 vmcs)
{
	u64 pointer = vmxon_region;

	print("T -- no current VMCS\n");
	t_result("vmptrst", try_vmptrst(scratch));
	t_check("the pointer is all ones", scratch[0] == ~0ull);
	t_result("vmxon again", try_vmxon(&pointer));
	t_result("vmread", try_vmread(VMCS_GUEST_RIP, scratch));
	t_result("vmread of no field", try_vmread(0x7ffe, scratch));
	t_result("vmwrite", try_vmwrite(VMCS_GUEST_RIP, 0));
	t_result("vmlaunch", try_vmlaunch());
	t_result("vmresume", try_vmresume());
	t_result("vmcall", try_vmcall(0x12345678));
	t_result("vmclear of the VMXON region", try_vmclear(&pointer));
	t_result("vmptrld of the VMXON region", try_vmptrld(&pointer));
	t_result("invept of no type", try_invept(7, &no_descriptor));
	pointer = vmcs + 0x10;
	t_result("vmclear unaligned", try_vmclear(&pointer));
	t_result("vmptrld unaligned", try_vmptrld(&pointer));
	t_result("vmclear good", try_vmclear(&vmcs));
	t_result("vmptrld good", try_vmptrld(&vmcs));
	t_result("vmptrst", try_vmptrst(scratch));
	t_check("the pointer comes back", scratch[0] == vmcs);
}

static void pointers(u64 vmxon_region, u64 vmcs)
{
	u64 other = hv_vmcs_alloc(), pointer = vmxon_region;

	print("T -- pointers, with a current VMCS\n");
	t_result("vmxon again", try_vmxon(&pointer));
	/* No VMCALL here: with a current VMCS, Bochs 2.7 looks for the dual-monitor treatment of SMM and panics. */
	t_result("vmclear of the VMXON region", try_vmclear(&pointer));
	t_result("vmptrld of the VMXON region", try_vmptrld(&pointer));
	pointer = other + 1;
	t_result("vmclear unaligned", try_vmclear(&pointer));
	t_result("vmptrld unaligned", try_vmptrld(&pointer));
	pointer = other | too_wide();
	t_result("vmclear too wide", try_vmclear(&pointer));
	t_result("vmptrld too wide", try_vmptrld(&pointer));
	*(u32 *)other ^= 1;
	t_result("vmptrld wrong revision", try_vmptrld(&other));
	*(u32 *)other ^= 1;
	pointer = 0xe0000000;		/* a hole below the PCI devices: reads as all ones */
	t_result("vmptrld of no memory", try_vmptrld(&pointer));
	t_result("vmclear, operand not mapped", try_vmclear(UNMAPPED));
	t_result("vmptrld, operand not mapped", try_vmptrld(UNMAPPED));
	t_check("CR2", this_cpu()->fault.cr2 == (u64)UNMAPPED);
	t_result("vmptrst, operand not mapped", try_vmptrst(UNMAPPED));
	t_result("vmptrst, operand not canonical", try_vmptrst(NONCANONICAL));
	t_result("vmptrst", try_vmptrst(scratch));
	t_check("still the first VMCS", scratch[0] == vmcs);
	t_result("vmclear of the current VMCS", try_vmclear(&vmcs));
	t_result("vmptrst", try_vmptrst(scratch));
	t_check("no current VMCS", scratch[0] == ~0ull);
	t_result("vmptrld", try_vmptrld(&vmcs));
}

/*
 * Operands behind page-table entries with reserved bits or protection keys. VMPTRST writes there and VMPTRLD reads;
 * both go twice, so that nothing is remembered that must not be.
 */
#define BEHIND (3 * BIT(39))	/* linear; a place of PML4 that nobody else uses */
enum { NXE = 1 << 11, PKE = 1 << 22, MSR_EFER_NXE = 0xc0000080 };

static u64 *entries[5];		/* by level, of BEHIND */

static void wrpkru(u32 pkru) { asm volatile(".byte 0x0f, 0x01, 0xef" :: "a"(pkru), "c"(0), "d"(0) : "memory"); }

static void reach_with(const char *what, u32 level, u64 bits)
{
	u64 old = *entries[level];

	print("T %s, level %u\n", what, level);
	*entries[level] |= bits;
	write_cr3(read_cr3());
	for (u32 i = 0; i < 2; i++) {
		t_result("write", try_vmptrst((u64 *)BEHIND));
		t_result("read", try_vmptrld((u64 *)BEHIND));
	}
	*entries[level] = old;
}

/* Accessed and dirty, bits 5 and 6. */
static void t_flags(const char *what, bool write)
{
	*entries[1] &= ~0x60ull;
	write_cr3(read_cr3());
	t_result(what, write ? try_vmptrst((u64 *)BEHIND) : try_vmptrld((u64 *)BEHIND));
	print("T   flags %lx\n", *entries[1] & 0x60);
}

/* What was read while bit 63 had a meaning is not believed when it is reserved. */
static void reach_without_nxe(u32 level, u64 efer)
{
	u64 old = *entries[level];

	print("T EFER.NXE goes, level %u\n", level);
	wrmsr(MSR_EFER_NXE, efer | NXE);
	*entries[level] |= BIT(63);
	for (u32 i = 0; i < 2; i++) {
		write_cr3(read_cr3());
		t_result("write", try_vmptrst((u64 *)BEHIND));
		t_result("read", try_vmptrld((u64 *)BEHIND));
		wrmsr(MSR_EFER_NXE, efer & ~(u64)NXE);
	}
	*entries[level] = old;
	wrmsr(MSR_EFER_NXE, efer);
}

/* Bochs 2.7 takes no access of a supervisor's away, and asks keys of supervisor pages, too: such rows are left out. */
static void reach_by_keys(void)
{
	const u64 key = BIT(59);

	if (!(cpuid(7, 0).ecx & BIT(3))) {
		print("T no protection keys\n");
		return;
	}
	reach_with("a key without CR4.PKE", 1, key);
	write_cr4(read_cr4() | PKE);
	wrpkru(0xf0);
	reach_with("no access by other keys", 1, key);
	wrpkru(8);
	reach_with("no write", 1, key);
	reach_with("key 0", 1, 0);
	write_cr0(read_cr0() & ~(u64)CR0_WP);
	reach_with("no write without CR0.WP", 1, key);
	write_cr0(read_cr0() | CR0_WP);
	reach_with("no write again", 1, key);
	wrpkru(0);
	reach_with("no key takes anything", 1, key);
	write_cr4(read_cr4() & ~(u64)PKE);
}

static void operands_behind_entries(u64 vmcs)
{
	u64 efer = rdmsr(MSR_EFER_NXE), *table = (u64 *)(read_cr3() & ~0xffful);

	print("T -- operands behind entries\n");
	try_vmptrld(&vmcs);
	for (u32 level = 4; level > 0; level--) {
		entries[level] = &table[level == 4 ? BEHIND >> 39 : 0];
		table = page_alloc();
		*entries[level] = (u64)table | 7;
	}
	for (u32 level = 1; level <= 4; level++) {
		reach_with("too wide", level, too_wide());
		wrmsr(MSR_EFER_NXE, efer & ~(u64)NXE);
		reach_with("bit 63 without EFER.NXE", level, BIT(63));
		wrmsr(MSR_EFER_NXE, efer | NXE);
		reach_with("bit 63", level, BIT(63));
		wrmsr(MSR_EFER_NXE, efer);
		reach_without_nxe(level, efer);
		reach_with("ignored bits", level, 0x7ull << 52 | 7ull << 9);
	}
	t_flags("read", false);
	t_flags("write", true);
	reach_with("large, not aligned", 2, BIT(7) | BIT(13));
	reach_with("large, not aligned", 3, BIT(7) | BIT(13));
	reach_with("bit 7", 4, BIT(7));
	reach_by_keys();
	*entries[4] = 0;
	write_cr3(read_cr3());
	try_vmptrst(scratch);
	t_check("still the same VMCS", scratch[0] == vmcs);
}

/* Newer CPUs let VMWRITE change exit information and say so; a hypervisor may hide that. */
static void read_only_field(u32 field)
{
	bool is_writable = rdmsr(MSR_VMX_MISC) & BIT(29);
	vmx_result result = try_vmwrite(field, 0);

	t_check("vmwrite of exit information does what IA32_VMX_MISC says",
		is_writable ? result == VMX_OK : result == VMX_FAIL_VALID && vmread(VMCS_INSN_ERROR) == 13);
}

static void bad_fields(void)
{
	print("T -- fields\n");
	t_result("vmread of no field", try_vmread(0x7ffe, scratch));
	t_result("vmread of a reserved encoding", try_vmread(VMCS_GUEST_RIP | 0x10000, scratch));
	t_result("vmread, field number wider than 32 bits", try_vmread(VMCS_GUEST_RIP | BIT(40), scratch));
	t_result("vmread, high half of a 32-bit field", try_vmread(VMCS_EXIT_REASON | 1, scratch));
	t_result("vmwrite of no field", try_vmwrite(0x7ffe, 0));
	t_result("vmwrite, field number wider than 32 bits", try_vmwrite(VMCS_GUEST_RIP | BIT(40), 0));
	read_only_field(VMCS_EXIT_REASON);
	read_only_field(VMCS_EXIT_QUALIFICATION);
	read_only_field(VMCS_GUEST_PHYSICAL_ADDR);
	t_result("vmread to unmapped memory", try_vmread(VMCS_GUEST_RIP, UNMAPPED));
	t_result("vmread to a non-canonical address", try_vmread(VMCS_GUEST_RIP, NONCANONICAL));
	t_result("vmread of no field to unmapped memory", try_vmread(0x7ffe, UNMAPPED));
	t_result("vmwrite from unmapped memory",
		 TRY_VMX("vmwrite (%3), %2", "r"((u64)VMCS_GUEST_RIP), "r"(UNMAPPED)));
	t_result("vmwrite of no field from unmapped memory", TRY_VMX("vmwrite (%3), %2", "r"(0x7ffeull),
		"r"(UNMAPPED)));
}

/* Fields that keep any value of their width: they exist everywhere, have no reserved bits, are not read-only. */
static bool keeps_any_value(u32 field)
{
	u32 kind = field >> 10 & 3;

	if (kind == 1)
		return false;		/* exit information */
	if (field == VMCS_APIC_ACCESS_ADDR)
		return false;		/* there only with a feature that a hypervisor may hide */
	return field != VMCS_GUEST_ACTIVITY && field != VMCS_GUEST_INTERRUPTIBILITY;
}

static u64 width_mask(u32 field)
{
	static const u64 masks[] = { 0xffff, ~0ull, 0xffffffff, ~0ull };

	return masks[field >> 13 & 3];
}

#define FIELD_ROW(name, encoding) encoding,
static const u16 all_fields[] = { VMCS_FIELDS(FIELD_ROW) };

/* CPUs keep only the defined bits of access rights (SDM: may or may not); those are not compared. */
static bool is_rights(u32 field)
{
	return field >= VMCS_GUEST_ES_RIGHTS && field <= VMCS_GUEST_TR_RIGHTS;
}

/* A value of its own for each field. */
static u64 pattern(u32 field, u64 salt)
{
	u64 value = (field * 0x9e3779b97f4a7c15ull ^ salt) & width_mask(field);

	return is_rights(field) ? value & 0x1f0ff : value;
}

static u32 write_all(u64 salt)
{
	u32 count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all_fields); i++)
		if (keeps_any_value(all_fields[i]))
			count += try_vmwrite(all_fields[i], pattern(all_fields[i], salt)) == VMX_OK;
	return count;
}

static u32 count_wrong(u64 salt)
{
	u32 wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all_fields); i++) {
		u64 value = 0;

		if (!keeps_any_value(all_fields[i]))
			continue;
		if (try_vmread(all_fields[i], &value) != VMX_OK || value != pattern(all_fields[i], salt)) {
			print("field %x holds %lx, not %lx\n", all_fields[i], value, pattern(all_fields[i], salt));
			wrong++;
		}
	}
	return wrong;
}

static void field_values(u64 vmcs)
{
	u64 other = hv_vmcs_alloc(), high = 0;

	print("T -- field values\n");
	print("T fields written: %u\n", write_all(1));
	print("T fields wrong: %u\n", count_wrong(1));
	try_vmclear(&other);
	try_vmptrld(&other);
	write_all(2);
	try_vmptrld(&vmcs);
	print("T fields wrong after another VMCS: %u\n", count_wrong(1));
	try_vmclear(&vmcs);
	try_vmptrld(&other);
	print("T fields wrong in the other: %u\n", count_wrong(2));
	try_vmclear(&other);
	try_vmptrld(&vmcs);
	print("T fields wrong after VMCLEAR: %u\n", count_wrong(1));
	t_result("vmread, high half of a 64-bit field", try_vmread(VMCS_TSC_OFFSET | 1, &high));
	t_check("the value", high == pattern(VMCS_TSC_OFFSET, 1) >> 32);
	t_result("vmwrite, high half", try_vmwrite(VMCS_TSC_OFFSET | 1, 0x12345678));
	t_check("both halves", vmread(VMCS_TSC_OFFSET) == (0x12345678ull << 32 | (u32)pattern(VMCS_TSC_OFFSET, 1)));
	try_vmwrite(VMCS_VPID, 0xffffffffffff1234);
	t_check("a 16-bit field keeps 16 bits", vmread(VMCS_VPID) == 0x1234);
	try_vmwrite(VMCS_EXCEPTION_BITMAP, 0xffffffff00000005);
	t_check("a 32-bit field keeps 32 bits", vmread(VMCS_EXCEPTION_BITMAP) == 5);
}

static void l2_cpuid(void)
{
	for (;;)
		cpuid(0, 0);
}

static void launch_state(void)
{
	static struct vcpu v;

	print("T -- launch state\n");
	hv_init(&v, HV_LONG64, l2_cpuid);
	t_result("vmresume of a clear VMCS", try_vmresume());
	t_result("vmlaunch", hv_run(&v));
	t_exit("vmlaunch", &v);
	t_result("vmlaunch of a launched VMCS", try_vmlaunch());
	hv_skip(&v);
	t_result("vmresume", hv_run(&v));
	t_result("vmptrld of the current VMCS", try_vmptrld(&v.vmcs));
	t_result("vmlaunch after it", try_vmlaunch());
	hv_skip(&v);
	t_result("vmresume after it", hv_run(&v));
	t_result("vmclear", try_vmclear(&v.vmcs));
	t_result("vmptrld", try_vmptrld(&v.vmcs));
	t_result("vmresume after vmclear", try_vmresume());
	v.launched = 0;
	hv_skip(&v);
	t_result("vmlaunch after vmclear", hv_run(&v));
	t_exit("vmlaunch after vmclear", &v);
	asm volatile("mov %0, %%ss; vmlaunch" :: "r"(SEL_DATA) : "cc", "memory");
	print("T vmlaunch after MOV SS: error %lu\n", vmread(VMCS_INSN_ERROR));
	try_vmclear(&v.vmcs);
}

/* More VMCSs at once than a hypervisor may expect: each keeps its own state and runs on. */
static void many_vmcs(void)
{
	static struct vcpu many[12];
	u32 wrong = 0;

	print("T -- 12 active VMCSs\n");
	for (u32 i = 0; i < ARRAY_SIZE(many); i++) {
		hv_init(&many[i], HV_LONG64, l2_cpuid);
		vmwrite(VMCS_GUEST_SYSENTER_EIP, i * 0x1000);
	}
	for (u32 round = 0; round < 3; round++) {
		for (u32 i = 0; i < ARRAY_SIZE(many); i++) {
			try_vmptrld(&many[i].vmcs);
			wrong += hv_run(&many[i]) != VMX_OK || many[i].exit.reason != EXIT_CPUID;
			wrong += vmread(VMCS_GUEST_SYSENTER_EIP) != i * 0x1000 + round;
			vmwrite(VMCS_GUEST_SYSENTER_EIP, i * 0x1000 + round + 1);
			hv_skip(&many[i]);
		}
	}
	print("T wrong: %u\n", wrong);
	for (u32 i = 0; i < ARRAY_SIZE(many); i++)
		wrong += try_vmclear(&many[i].vmcs) != VMX_OK;
	for (u32 i = 0; i < ARRAY_SIZE(many); i++) {
		wrong += try_vmptrld(&many[i].vmcs) != VMX_OK || vmread(VMCS_GUEST_SYSENTER_EIP) != i * 0x1000 + 3;
		try_vmclear(&many[i].vmcs);
	}
	print("T wrong after vmclear: %u\n", wrong);
}

/* A type above 2^32 is left out: Bochs 2.7 looks at the low half only. */
static const struct invalidation {
	const char *what;
	bool is_vpid;
	u64 type;
	struct inv_descriptor d;
} invalidations[] = {
	{ "invept type 0", false, 0, { 0x1e, 0 } },
	{ "invept type 1", false, 1, { 0x100001e, 0 } },
	{ "invept type 1, memory type 3", false, 1, { 0x100001b, 0 } },
	{ "invept type 1, 2 levels", false, 1, { 0x100000e, 0 } },
	{ "invept type 1, reserved bit", false, 1, { 0x1000f1e, 0 } },
	{ "invept type 2", false, 2, { 0, 0 } },
	{ "invept type 2, bad EPTP is not looked at", false, 2, { 0xfff, 0 } },
	{ "invept type 3", false, 3, { 0x1e, 0 } },
	{ "invvpid type 0", true, 0, { 1, 0x1000 } },
	{ "invvpid type 0, not canonical", true, 0, { 1, BIT(63) } },
	{ "invvpid type 0, VPID 0", true, 0, { 0, 0x1000 } },
	{ "invvpid type 1", true, 1, { 1, 0 } },
	{ "invvpid type 1, VPID 0", true, 1, { 0, 0 } },
	{ "invvpid type 1, reserved bits", true, 1, { 0x10001, 0 } },
	{ "invvpid type 2", true, 2, { 0, 0 } },
	{ "invvpid type 3", true, 3, { 1, 0 } },
	{ "invvpid type 3, VPID 0", true, 3, { 0, 0 } },
	{ "invvpid type 4", true, 4, { 1, 0 } },
};

static void invalidate(u64 vmcs)
{
	const struct inv_descriptor *unmapped = (const struct inv_descriptor *)UNMAPPED;

	print("T -- invept, invvpid\n");
	try_vmptrld(&vmcs);
	for (size_t i = 0; i < ARRAY_SIZE(invalidations); i++) {
		const struct invalidation *c = &invalidations[i];

		t_result(c->what, c->is_vpid ? try_invvpid(c->type, &c->d) : try_invept(c->type, &c->d));
	}
	t_result("invept, operand not mapped", try_invept(1, unmapped));
	t_result("invvpid, operand not mapped", try_invvpid(1, unmapped));
}

/* The same in compatibility mode at CPL 3, where VMX instructions do not exist. */
extern const u8 compat_vmread[], compat_vmxoff[], compat_vmptrld[];
asm(".code32\n"
    "compat_vmread: xorl %eax, %eax; vmread %eax, %ecx; int $0x80\n"
    "compat_vmxoff: vmxoff; int $0x80\n"
    "compat_vmptrld: vmptrld (%esp); int $0x80\n"
    ".code64\n");

static void compatibility_mode(void)
{
	u32 stack = (u32)(u64)page_alloc() + 0xff0;

	print("T compatibility mode, vmread: %s\n", vector_name(user_run32(compat_vmread, stack).vector));
	print("T compatibility mode, vmxoff: %s\n", vector_name(user_run32(compat_vmxoff, stack).vector));
	print("T compatibility mode, vmptrld: %s\n", vector_name(user_run32(compat_vmptrld, stack).vector));
}

static void vmx_off_and_on(u64 region, u64 vmcs)
{
	print("T -- vmxoff\n");
	t_result("vmptrld", try_vmptrld(&vmcs));
	t_result("vmxoff", try_vmxoff());
	without_vmx("after vmxoff");
	t_result("vmxon", try_vmxon(&region));
	try_vmptrst(scratch);
	t_check("no current VMCS", scratch[0] == ~0ull);
	t_result("vmread", try_vmread(VMCS_GUEST_RIP, scratch));
	t_result("vmclear", try_vmclear(&vmcs));
	t_result("vmptrld", try_vmptrld(&vmcs));
	t_result("vmxoff", try_vmxoff());
}

DEFINE_TEST(vmx_insn, "vmx-insn", "faults and VMfail numbers of each VMX instruction, VMCS life cycle")
{
	u64 region = hv_vmcs_alloc(), vmcs = hv_vmcs_alloc();

	if (!hv_supported())
		return;
	without_vmx("CR4.VMXE = 0");
	at_cpl3("CR4.VMXE = 0");
	write_cr4(read_cr4() | CR4_VMXE);
	without_vmx("CR4.VMXE = 1, VMX off");
	at_cpl3("VMX off");
	vmxon_operands(region);
	control_registers_in_vmx();
	no_current_vmcs(region, vmcs);
	pointers(region, vmcs);
	at_cpl3("VMX on");
	compatibility_mode();
	bad_fields();
	field_values(vmcs);
	launch_state();
	many_vmcs();
	invalidate(vmcs);
	operands_behind_entries(vmcs);
	vmx_off_and_on(region, vmcs);
}
