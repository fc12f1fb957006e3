/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmx-legacy: VMREAD and VMWRITE of an L1 that is no 64-bit one, on fields by chance: operands have 32 bits, a write
 * clears the upper half of a field of natural width, and 64-bit fields have two encodings. So many in a row that XMHF
 * gives L1 a wide shadow VMCS, which the CPU reads and writes by itself then. test=vmx-legacy seed=N count=M
 */
#include "lib/layout.h"
#include "test.h"

#define STRING(x) #x
#define NUMBER(x) STRING(x)

enum { WRITE = 1, MEMORY = 2, COUNT = 120 };
static struct access { u32 op, encoding, value, flags; } accesses[COUNT];

/* 32-bit paging by pages of 4 MiB, one to one. VMX operation begins behind the switch: in it CR0.PG stays 1. */
u32 legacy_pd[1024] __attribute__((aligned(4096)));
u64 legacy_saved[3];		/* RSP, CR3, CR4 */
void legacy_accesses(struct access *list, u64 count, const u64 *vmcs, const u64 *vmxon);
asm("legacy_accesses: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushfq; cli\n"
    "mov %rsp, legacy_saved; mov %cr3, %rax; mov %rax, legacy_saved + 8; mov %cr4, %rax; mov %rax, legacy_saved + 16\n"
    "mov %edx, %ebx; mov %ecx, %ebp; pushq $" NUMBER(SEL_CODE32) "; pushq $1f; lretq\n"
    ".code32\n1: mov $" NUMBER(SEL_DATA) ", %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "mov %cr0, %eax; and $~" NUMBER(CR0_PG) ", %eax; mov %eax, %cr0\n"
    "mov $" NUMBER(MSR_EFER) ", %ecx; rdmsr; and $~" NUMBER(EFER_LME) ", %eax; wrmsr\n"
    "mov %cr4, %eax; and $~" NUMBER(CR4_PAE) ", %eax; or $(" NUMBER(CR4_PSE) " | " NUMBER(CR4_VMXE) "), %eax\n"
    "mov %eax, %cr4; mov $legacy_pd, %eax; mov %eax, %cr3\n"
    "mov %cr0, %eax; or $" NUMBER(CR0_PG) ", %eax; mov %eax, %cr0; vmxon (%ebp); vmptrld (%ebx)\n"
    "2: mov 4(%edi), %eax; testl $1, (%edi); jnz 4f; testl $2, (%edi); jnz 3f\n"
    "mov 8(%edi), %ecx; vmread %eax, %ecx; mov %ecx, 8(%edi); jmp 6f\n"
    "3: vmread %eax, 8(%edi); jmp 6f\n"
    "4: testl $2, (%edi); jnz 5f; mov 8(%edi), %ecx; vmwrite %ecx, %eax; jmp 6f\n"
    "5: vmwrite 8(%edi), %eax\n"
    "6: pushf; popl 12(%edi); add $16, %edi; dec %esi; jnz 2b; vmclear (%ebx); vmxoff\n"
    "mov %cr0, %eax; and $~" NUMBER(CR0_PG) ", %eax; mov %eax, %cr0; mov legacy_saved + 16, %eax; mov %eax, %cr4\n"
    "mov $" NUMBER(MSR_EFER) ", %ecx; rdmsr; or $" NUMBER(EFER_LME) ", %eax; wrmsr\n"
    "mov legacy_saved + 8, %eax; mov %eax, %cr3; mov %cr0, %eax; or $" NUMBER(CR0_PG) ", %eax; mov %eax, %cr0\n"
    "ljmp $" NUMBER(SEL_CODE64) ", $7f\n"
    ".code64\n7: mov legacy_saved, %rsp; popfq; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

#define FIELD_ROW(name, encoding) encoding,
static const u16 fields[] = { VMCS_FIELDS(FIELD_ROW) };
static u64 state;

static u64 random_number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* XMHF does not have it for L1. */
static bool is_hidden(u16 field)
{
	return field == VMCS_APIC_ACCESS_ADDR;
}

static u16 some_field(void)
{
	u16 field;

	do
		field = fields[random_number() % ARRAY_SIZE(fields)];
	while (is_hidden(field));
	return field;
}

static void choose(struct access *a)
{
	u16 field = some_field();

	a->op = (u32)random_number() % 4;
	a->encoding = field | ((field >> 13 & 3) == 1 && random_number() % 2);
	if (random_number() % 32 == 0)
		a->encoding = random_number() % 2 ? 0x7ffe : field | (u32)BIT(16);
	a->value = (u32)random_number();
}

static void print_accesses(void)
{
	for (u32 i = 0; i < COUNT; i++)
		print("T %s%s %x: %x, flags %x\n", accesses[i].op & WRITE ? "write" : "read",
		      accesses[i].op & MEMORY ? ", memory" : "", accesses[i].encoding, accesses[i].value,
		      accesses[i].flags & 0x41);
}

/* All of its fields, by an L1 of 64 bits: written before, read afterwards. */
static void with_64_bits(u64 vmcs, bool write)
{
	hv_on();
	try_vmptrld(&vmcs);
	for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
		if (is_hidden(fields[i]))
			continue;
		else if (write)
			try_vmwrite(fields[i], random_number());
		else
			print("T field %x: %lx\n", fields[i], vmread(fields[i]));
	try_vmclear(&vmcs);
	hv_off();
}

DEFINE_TEST(vmx_legacy, "vmx-legacy", "VMREAD and VMWRITE of a 32-bit L1: seed=N count=M")
{
	u64 count = option_number("count", 3), vmcs = hv_vmcs_alloc(), vmxon = hv_vmcs_alloc();

	if (!hv_supported())
		return;
	state = option_number("seed", 1) * 0x9e3779b97f4a7c15ull | 1;
	for (u32 i = 0; i < 1024; i++)
		legacy_pd[i] = i << 22 | 0x83;
	for (u64 round = 0; round < count; round++) {
		with_64_bits(vmcs, true);
		for (u32 i = 0; i < COUNT; i++)
			choose(&accesses[i]);
		legacy_accesses(accesses, COUNT, &vmcs, &vmxon);
		print_accesses();
		with_64_bits(vmcs, false);
	}
}
