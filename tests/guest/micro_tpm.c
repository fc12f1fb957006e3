/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=micro-tpm: a PAL of L1 and one of L2 use both banks of TrustVisor's micro-TPM, the RSA key included, which takes
 * a billion instructions. The PAL carries out a list of commands in its data; its answer is how many of them did not
 * succeed. How long a slice of that took at most is in TrustVisor's line at the end.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "../../hypapps/trustvisor/include/trustvisor/tpm.h"
#include "test.h"

#define L2_BASE TV_L2_BASE_DEFAULT
#define TAG_LEN (88 + 100 + 16) /* of a blob with 100 bytes */

struct step { u64 number, c, d, si, di, expected; };

/* Everything of the PAL's data: two pages. */
static struct pal_data {
	struct step steps[16]; /* the first that has no number ends it */
	struct tv_tpm_seal seal, unseal;
	struct tv_tpm_quote quote;
	struct tv_tpm_counter counter;
	struct tv_tpm_info info;
	struct tv_quote quoted;
	u8 plain[128], blob[512], back[256], random[64], pcr[32], modulus[256], pcr_info[43];
	u32 random_len, blob_len, back_len, modulus_len;
	u64 words[4][2];
} data __attribute__((aligned(PAGE_SIZE)));
_Static_assert(sizeof(data) <= 2 * PAGE_SIZE, "its section");

asm(".section .text\n.balign 4096\n"
    "micro_tpm_pal: pushq %rbx; pushq %r12; movq %rdi, %r12; xorl %ebx, %ebx\n"
    "1: movq (%r12), %rax; testq %rax, %rax; jz 3f; movq 8(%r12), %rcx; movq 16(%r12), %rdx\n"
    "movq 24(%r12), %rsi; movq 32(%r12), %rdi; vmcall; cmpq %rax, 40(%r12); je 2f; incl %ebx\n"
    "2: addq $48, %r12; jmp 1b\n"
    "3: movl %ebx, %eax; popq %r12; popq %rbx; ret\n"
    ".balign 4096\n");
extern u8 micro_tpm_pal[];

static u8 stack[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE))), param[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static u8 code[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void pair(u32 i, const void *first, u64 second)
{
	data.words[i][0] = (u64)first;
	data.words[i][1] = second;
}

static void write_list(u64 base)
{
	const struct step steps[] = {
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
		{ base + TV_CMD_UTPM_ID_GETPUB, (u64)data.modulus, (u64)&data.modulus_len, 0, 0, 0 },
		{ base + TV_CMD_NV_READALL, (u64)&data, 0, 0, 0, TV_E_DENIED },
		{ base + TV_CMD_REGISTER, 0, 0, 0, 0, TV_E_IN_PAL },
	};

	for (u32 i = 0; i < ARRAY_SIZE(steps); i++)
		data.steps[i] = steps[i];
	data.random_len = sizeof(data.random);
	data.modulus_len = sizeof(data.modulus);
	/* 100 bytes, with a selection of no PCR: IV 16, 3 + 4 + 100 up to 112, HMAC 20. */
	pair(0, data.plain, 100);
	pair(1, data.blob, (u64)&data.blob_len);
	pair(2, data.blob, 148);
	pair(3, data.back, (u64)&data.back_len);
	data.seal = (struct tv_tpm_seal){ .in = (u64)data.plain, .out = (u64)data.blob, .in_len = 100,
		.out_len = sizeof(data.blob), .pcr_mask = 1, .flags = TV_TPM_SEAL_NOW };
	data.unseal = (struct tv_tpm_seal){ .in = (u64)data.blob, .out = (u64)data.back, .in_len = TAG_LEN,
		.out_len = sizeof(data.back) };
	data.quote = (struct tv_tpm_quote){ (u64)data.plain, (u64)data.plain, (u64)&data.quoted, 1, 0 };
	data.counter.op = TV_TPM_COUNTER_ADD;
}

/* Answers how many commands failed, or what failed before. */
static u64 use(u64 base)
{
	static const struct tv_pal_params params = { .num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } };
	static struct tv_pal_sections sections;
	u64 list = (u64)&data, failed = (u64)code;
	u32 eax = (u32)base + TV_CMD_REGISTER;

	for (u32 i = 0; i < PAGE_SIZE; i++)
		code[i] = micro_tpm_pal[i];
	write_list(base);
	sections = (struct tv_pal_sections){ .num_sections = 4, .sections = { { TV_SECTION_CODE, 1, (u64)code },
		{ TV_SECTION_DATA, 2, (u64)&data }, { TV_SECTION_PARAM, 1, (u64)param },
		{ TV_SECTION_STACK, 1, (u64)stack } } };
	asm volatile("vmcall" : "+a"(eax) : "c"(&sections), "d"(0), "S"(&params), "D"(code) : "memory");
	if (eax != TV_OK)
		return 1000 + eax;
	irq_on(); /* TrustVisor wants it */
	asm volatile("call *%1" : "+D"(list), "+a"(failed) : : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory");
	irq_off();
	eax = (u32)base + TV_CMD_UNREGISTER;
	asm volatile("vmcall" : "+a"(eax) : "c"(code), "d"(0) : "memory");
	return eax == TV_OK ? failed : 2000 + eax;
}

static void use_in_l2(void)
{
	l2_report(use(L2_BASE));
	l2_end();
}

DEFINE_TEST(micro_tpm, "micro-tpm", "XMHF only: PALs of L1 and L2 use both banks of the micro-TPM")
{
	if (!hv_supported())
		return;
	print("T L1: %lu commands failed\n", use(0));
	hv_on();
	t_l2("L2", HV_LONG64, use_in_l2, NULL, NULL);
	hv_off();
	/* TrustVisor's lines come when the machine is powered off. */
	asm volatile("outw %0, %1" :: "a"((u16)0x2000), "d"((u16)0xb004));
}
