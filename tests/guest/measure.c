/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=measure: TrustVisor measures a PAL while its caller has values in all SIMD registers, and the other CPU stops
 * all CPUs by NMI all the time. The measurement is computed here, too, without the CPU's SHA instructions. Where the
 * CPU has these, TrustVisor uses them: the registers must be whole, and the time tells. Each line says "good", or "T
 * FAIL".
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "../../hypapps/trustvisor/include/trustvisor/tpm.h"
#include "../../hypapps/trustvisor/tpm/sha256.h"
#include "test.h"

#define DATA_PAGES 4u
#define ROUNDS 10u
#define HELLO_STOP_BY_CALL 0x102u
#define XCR0_AVX 7
#define YMM_WORDS (16 * 4)

#define EACH(insn) ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" insn "\n .endr\n"

asm(".section .text\n.balign 4096\n"
    "measured_pal: movl $40, %eax; movq %rdi, %rcx; vmcall; ret\n"
    ".balign 4096\n"
    /* u32 register_with_simd(sections, params, code, const u64 ymm[YMM_WORDS], u64 after[YMM_WORDS]) */
    "register_with_simd: pushq %rbx; pushq %r12; movq %rcx, %rbx; movq %r8, %r12\n"
    EACH("vmovdqu 32*\\i(%rbx), %ymm\\i")
    "movq %rdi, %rcx; movq %rdx, %rdi; xorl %edx, %edx; movl $1, %eax; vmcall\n"
    EACH("vmovdqu %ymm\\i, 32*\\i(%r12)")
    "popq %r12; popq %rbx; ret\n");
_Static_assert(TV_CMD_TPM_INFO == 40 && TV_CMD_REGISTER == 1, "written as numbers above");
extern u8 measured_pal[];
extern u32 register_with_simd(const void *sections, const void *params, const void *code, const u64 *ymm, u64 *after);

static u8 data[DATA_PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static u8 param[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE))), stack[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
#define INFO_WORDS 32u
static const struct tv_pal_params params = { .num_params = 1,
					     .params = { { .type = TV_PARAM_POINTER, .size = INFO_WORDS } } };
static struct tv_pal_sections sections;
static volatile bool storm;

static void prepare(void)
{
	for (u32 i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7 + i / 251);
	sections = (struct tv_pal_sections){ .num_sections = 4, .sections = {
		{ TV_SECTION_CODE, 1, (u64)measured_pal }, { TV_SECTION_DATA, DATA_PAGES, (u64)data },
		{ TV_SECTION_PARAM, 1, (u64)param }, { TV_SECTION_STACK, 1, (u64)stack } } };
}

/* What tpm.h of the interface says. */
static void measure_here(u8 measurement[32])
{
	struct tv_measured head = { .magic = TV_MEASURED_MAGIC, .level = 1, .width = 64, .num_sections = 4,
				    .num_entries = 1 };
	struct tv_measured_entry entry = { .num_params = 1,
					   .params = { { .type = TV_PARAM_POINTER, .size = INFO_WORDS } } };
	struct sha256 sha;

	for (u32 i = 0; i < 4; i++)
		head.sections[i] = (struct tv_measured_section){ sections.sections[i].type,
			sections.sections[i].page_num, (int64_t)(sections.sections[i].start_addr - (u64)measured_pal) };
	sha256_begin(&sha);
	sha256_blocks_plain(&sha, &head, sizeof(head) / SHA256_BLOCK);
	sha256_blocks_plain(&sha, &entry, sizeof(entry) / SHA256_BLOCK);
	sha256_blocks_plain(&sha, measured_pal, PAGE_SIZE / SHA256_BLOCK);
	sha256_blocks_plain(&sha, data, sizeof(data) / SHA256_BLOCK);
	sha256_end(&sha, measurement);
}

static u32 unregister_pal(void)
{
	u32 eax = TV_CMD_UNREGISTER;

	asm volatile("vmcall" : "+a"(eax) : "c"(measured_pal) : "memory");
	return eax;
}

static bool same(const void *a, const void *b, u32 len)
{
	const u8 *x = a, *y = b;
	u8 difference = 0;

	while (len--)
		difference |= *x++ ^ *y++;
	return !difference;
}

/* The PAL says what it was measured as. */
static bool says(const u8 measurement[32])
{
	static union { u64 words[INFO_WORDS]; struct tv_tpm_info info; } out;
	u64 at = (u64)&out, answer = (u64)measured_pal;

	out.words[1] = 0;
	irq_on();
	asm volatile("call *%1" : "+D"(at), "+a"(answer) : : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory");
	irq_off();
	return (u32)answer == TV_TPM_OK && same(out.info.measurement, measurement, 32);
}

static void stop_others(void *unused)
{
	(void)unused;
	while (storm) {
		u32 eax = HELLO_STOP_BY_CALL;

		asm volatile("vmcall" : "+a"(eax) : : "rbx", "rcx", "rdx", "memory");
	}
}

static void in_use(void)
{
	u64 before[YMM_WORDS], after[YMM_WORDS], taken = ~0ull;
	u8 measurement[32];
	bool good = true, whole = true;

	write_cr0(read_cr0() & ~(u64)(CR0_EM | CR0_TS));
	write_cr4(read_cr4() | CR4_OSXSAVE | CR4_OSFXSR);
	try_xsetbv(0, XCR0_AVX);
	for (u32 round = 0; round < ROUNDS; round++) {
		u64 start;

		prepare();
		measure_here(measurement);
		for (u32 i = 0; i < YMM_WORDS; i++) {
			before[i] = 0x5ec2e70000000000 + (round << 16) + i;
			after[i] = 0;
		}
		start = rdtsc();
		good &= register_with_simd(&sections, &params, measured_pal, before, after) == TV_OK;
		taken = rdtsc() - start < taken ? rdtsc() - start : taken;
		whole &= same(before, after, sizeof(before));
		good &= says(measurement);
		good &= unregister_pal() == TV_OK;
	}
	print("T measured: %s\n", good ? "good" : "FAIL");
	print("T SIMD registers: %s\n", whole ? "good" : "FAIL");
	print("T registration of %u bytes: %lu ticks\n", (u32)(PAGE_SIZE + sizeof(data)), taken);
}

/* The guest's own registers say that there is neither FPU nor SSE: they are not root's. */
static void turned_off(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();
	u32 eax = TV_CMD_REGISTER;
	u8 measurement[32];
	bool good;

	prepare();
	measure_here(measurement);
	write_cr0(cr0 | CR0_EM | CR0_TS);
	write_cr4(cr4 & ~(u64)(CR4_OSFXSR | CR4_OSXSAVE));
	asm volatile("vmcall" : "+a"(eax) : "c"(&sections), "d"(0), "S"(&params), "D"(measured_pal) : "memory");
	good = eax == TV_OK && says(measurement) && unregister_pal() == TV_OK;
	write_cr0(cr0);
	write_cr4(cr4);
	print("T measured without FPU and SSE: %s\n", good ? "good" : "FAIL");
}

DEFINE_TEST(measure, "measure", "XMHF only: TrustVisor measures a PAL while SIMD registers are in use")
{
	if (!hv_supported())
		return;
	smp_start();
	storm = true;
	smp_run(1, stop_others, NULL);
	in_use();
	turned_off();
	storm = false;
	smp_wait(1);
}
