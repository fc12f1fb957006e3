/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=micro-tpm: PALs of L1 and of L2, of 64 and of 32 bits, use both banks of TrustVisor's micro-TPM, the RSA key
 * included, which takes a billion instructions. The PAL carries out a list of commands in its data; its answer is how
 * many of them did not succeed. How long a slice of that took at most is in TrustVisor's line at the end; and while the
 * key is made, the other CPU stops all CPUs again and again, and tells how long the slowest stop took.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "../../hypapps/trustvisor/include/trustvisor/tpm.h"
#include "test.h"

#define L2_BASE TV_L2_BASE_DEFAULT
#define HELLO_STOP_BY_CALL 0x102u
#define STOPS 2000u
#define BETWEEN_STOPS 20011u /* ticks: no divisor of a slice */
#define TAG_LEN (88 + 100 + 16) /* of a blob with 100 bytes */

struct step { u64 number, c, d, si, di, expected; };
struct step32 { u32 number, c, d, si, di, expected; };

/* Everything of the PAL's data: two pages. */
static struct pal_data {
	union {
		struct step steps[16]; /* the first that has no number ends it */
		struct step32 steps32[16];
	};
	struct tv_tpm_seal seal, unseal;
	struct tv_tpm_quote quote;
	struct tv_tpm_counter counter;
	struct tv_tpm_info info;
	struct tv_quote quoted;
	u8 plain[128], blob[512], back[256], random[64], pcr[32], modulus[256], pcr_info[43];
	u8 signature[256], composite[64];
	u32 signature_len, composite_len, random_len, blob_len, back_len, modulus_len;
	u64 words[6][2];
} data __attribute__((aligned(PAGE_SIZE)));
_Static_assert(sizeof(data) <= 2 * PAGE_SIZE, "its section");

asm(".section .text\n.balign 4096\n"
    "micro_tpm_pal: pushq %rbx; pushq %r12; movq %rdi, %r12; xorl %ebx, %ebx\n"
    "1: movq (%r12), %rax; testq %rax, %rax; jz 3f; movq 8(%r12), %rcx; movq 16(%r12), %rdx\n"
    "movq 24(%r12), %rsi; movq 32(%r12), %rdi; vmcall; cmpq %rax, 40(%r12); je 2f; incl %ebx\n"
    "2: addq $48, %r12; jmp 1b\n"
    "3: movl %ebx, %eax; popq %r12; popq %rbx; ret\n"
    ".balign 4096\n.code32\n"
    "micro_tpm_pal32: pushl %ebx; pushl %ebp; pushl %esi; pushl %edi; movl 20(%esp), %ebp; xorl %ebx, %ebx\n"
    "1: movl (%ebp), %eax; testl %eax, %eax; jz 3f; movl 4(%ebp), %ecx; movl 8(%ebp), %edx\n"
    "movl 12(%ebp), %esi; movl 16(%ebp), %edi; vmcall; cmpl %eax, 20(%ebp); je 2f; incl %ebx\n"
    "2: addl $24, %ebp; jmp 1b\n"
    "3: movl %ebx, %eax; popl %edi; popl %esi; popl %ebp; popl %ebx; ret\n"
    ".balign 4096\n"
    /* A VMCALL, and a call of ECX with EDI as its parameter, of 32-bit code. */
    "vmcall32: vmcall; ret\n"
    "call32: pushl %edi; call *%ecx; addl $4, %esp; ret\n"
    ".code64\n"
    /* u32 run32(function, const u32 *registers): EAX, ECX, EDX, ESI, EDI. All of it lies below 4 GiB. */
    "run32: pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15; movl %edi, %ebp; movl %esi, %ebx\n"
    "pushq $0x18; pushq $1f; lretq\n"
    ".code32\n"
    "1: movl $0x10, %eax; movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
    "movl (%ebx), %eax; movl 4(%ebx), %ecx; movl 8(%ebx), %edx; movl 12(%ebx), %esi; movl 16(%ebx), %edi; call *%ebp\n"
    "ljmp $0x08, $2f\n"
    ".code64\n"
    "2: movl %eax, %eax; popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx; ret\n");
_Static_assert(SEL_CODE32 == 0x18 && SEL_DATA == 0x10 && SEL_CODE64 == 0x08, "written as numbers above");
extern u8 micro_tpm_pal[], micro_tpm_pal32[];
extern void vmcall32(void), call32(void);
extern u32 run32(void (*function)(void), const u32 *registers);

static u8 stack[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE))), param[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static u8 code[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

/* Two words of the PAL's width. */
static void pair(bool wide, u32 i, const void *first, u64 second)
{
	data.words[i][0] = wide ? (u64)first : (u64)first | second << 32;
	data.words[i][1] = second;
}

static void write_list(u64 base, bool wide)
{
	const struct step steps[] = {
		{ base + TV_CMD_UTPM_ID_GETPUB, (u64)data.modulus, (u64)&data.modulus_len, 0, 0, 0 }, /* the longest */
		{ base + TV_CMD_TPM_INFO, (u64)&data.info, 0, 0, 0, 0 },
		{ base + TV_CMD_UTPM_PCRREAD, 0, (u64)data.pcr, 0, 0, 0 },
		{ base + TV_CMD_UTPM_PCREXTEND, 1, (u64)data.pcr, 0, 0, 0 },
		{ base + TV_CMD_UTPM_PCRREAD, 8, (u64)data.pcr, 0, 0, TV_TPM_PCR_RANGE },
		{ base + TV_CMD_UTPM_GENRAND, (u64)data.random, (u64)&data.random_len, 0, 0, 0 },
		{ base + TV_CMD_UTPM_SEAL, (u64)data.words[0], (u64)data.pcr_info, (u64)data.words[1], 0, 0 },
		{ base + TV_CMD_UTPM_UNSEAL, (u64)data.words[2], (u64)data.words[3], (u64)data.pcr, 0, 0 },
		{ base + TV_CMD_TPM_SEAL, (u64)&data.seal, 0, 0, 0, 0 },
		{ base + TV_CMD_TPM_UNSEAL, (u64)&data.unseal, 0, 0, 0, 0 },
		{ base + TV_CMD_TPM_QUOTE, (u64)&data.quote, 0, 0, 0, 0 },
		{ base + TV_CMD_TPM_COUNTER, (u64)&data.counter, 0, 0, 0, 0 },
		{ base + TV_CMD_UTPM_QUOTE, (u64)data.pcr_info, (u64)data.words[4], (u64)data.plain,
		  (u64)data.words[5], 0 },
		{ base + TV_CMD_NV_READALL, (u64)&data, 0, 0, 0, TV_E_DENIED },
		{ base + TV_CMD_REGISTER, 0, 0, 0, 0, TV_E_IN_PAL },
	};

	for (u32 i = 0; i < PAGE_SIZE * 2; i++)
		((u8 *)&data)[i] = 0;
	for (u32 i = 0; i < ARRAY_SIZE(steps); i++)
		if (wide)
			data.steps[i] = steps[i];
		else
			data.steps32[i] = (struct step32){ (u32)steps[i].number, (u32)steps[i].c, (u32)steps[i].d,
				(u32)steps[i].si, (u32)steps[i].di, (u32)steps[i].expected };
	data.random_len = sizeof(data.random);
	data.modulus_len = sizeof(data.modulus);
	/* 100 bytes, with a selection of no PCR: IV 16, 3 + 4 + 100 up to 112, HMAC 20. */
	pair(wide, 0, data.plain, 100);
	pair(wide, 1, data.blob, (u64)&data.blob_len);
	pair(wide, 2, data.blob, 148);
	pair(wide, 3, data.back, (u64)&data.back_len);
	/* The signature; the composite, of no PCR. */
	pair(wide, 4, data.signature, (u64)&data.signature_len);
	pair(wide, 5, data.composite, (u64)&data.composite_len);
	data.seal = (struct tv_tpm_seal){ .in = (u64)data.plain, .out = (u64)data.blob, .in_len = 100,
		.out_len = sizeof(data.blob), .pcr_mask = 1, .flags = TV_TPM_SEAL_NOW };
	data.unseal = (struct tv_tpm_seal){ .in = (u64)data.blob, .out = (u64)data.back, .in_len = TAG_LEN,
		.out_len = sizeof(data.back) };
	data.quote = (struct tv_tpm_quote){ (u64)data.plain, (u64)data.plain, (u64)&data.quoted, 1, 0 };
	data.counter.op = TV_TPM_COUNTER_ADD;
}

static u32 hypercall(bool wide, u32 eax, const void *c, const void *si, const void *di)
{
	const u32 registers[] = { eax, (u32)(u64)c, 0, (u32)(u64)si, (u32)(u64)di };

	if (!wide)
		return run32(vmcall32, registers);
	asm volatile("vmcall" : "+a"(eax) : "c"(c), "d"(0), "S"(si), "D"(di) : "memory");
	return eax;
}

static u64 call_pal(bool wide)
{
	const u32 registers[] = { 0, (u32)(u64)code, 0, 0, (u32)(u64)&data };
	u64 list = (u64)&data, failed = (u64)code;

	if (!wide)
		return run32(call32, registers);
	asm volatile("call *%1" : "+D"(list), "+a"(failed) : : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory");
	return failed;
}

/* Answers how many commands failed, or what failed before. */
static u64 use(u64 base, bool wide)
{
	static const struct tv_pal_params params = { .num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } };
	static struct tv_pal_sections sections;
	u64 failed;
	u32 eax;

	for (u32 i = 0; i < PAGE_SIZE; i++)
		code[i] = (wide ? micro_tpm_pal : micro_tpm_pal32)[i];
	write_list(base, wide);
	sections = (struct tv_pal_sections){ .num_sections = 4, .sections = { { TV_SECTION_CODE, 1, (u64)code },
		{ TV_SECTION_DATA, 2, (u64)&data }, { TV_SECTION_PARAM, 1, (u64)param },
		{ TV_SECTION_STACK, 1, (u64)stack } } };
	eax = hypercall(wide, (u32)base + TV_CMD_REGISTER, &sections, &params, code);
	if (eax != TV_OK)
		return 1000 + eax;
	irq_on(); /* TrustVisor wants it */
	failed = call_pal(wide);
	irq_off();
	eax = hypercall(wide, (u32)base + TV_CMD_UNREGISTER, code, NULL, NULL);
	return eax == TV_OK ? failed : 2000 + eax;
}

static void use_in_l2(void)
{
	l2_report(0x64000 + use(L2_BASE, true));
	l2_report(0x32000 + use(L2_BASE, false));
	l2_end();
}

static u64 slowest;

/* How long this CPU waits for a stop while the other one is at the longest operation there is. */
static void stop_others(void *unused)
{
	(void)unused;
	for (u32 i = 0; i < STOPS; i++) {
		u64 start = rdtsc(), taken;
		u32 eax = HELLO_STOP_BY_CALL;

		asm volatile("vmcall" : "+a"(eax) : : "rbx", "rcx", "rdx", "memory");
		taken = rdtsc() - start;
		slowest = taken > slowest ? taken : slowest;
		while (rdtsc() - start - taken < BETWEEN_STOPS)
			pause();
	}
}

DEFINE_TEST(micro_tpm, "micro-tpm", "XMHF only: PALs of L1 and L2 use both banks of the micro-TPM")
{
	if (!hv_supported())
		return;
	smp_start();
	smp_run(1, stop_others, NULL);
	print("T L1: %lu commands failed\n", use(0, true));
	smp_wait(1);
	print("T the slowest stop meanwhile took %lu ticks\n", slowest);
	print("T L1, 32 bits: %lu commands failed\n", use(0, false));
	hv_on();
	t_l2("L2", HV_LONG64, use_in_l2, NULL, NULL);
	hv_off();
	/* TrustVisor's lines come when the machine is powered off. */
	asm volatile("outw %0, %1" :: "a"((u16)0x2000), "d"((u16)0xb004));
}
