/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=pal-fpu: a PAL with FPU and SIMD registers of its own, of L1 and of L2. A kernel registers it by list, CPL 3
 * calls it. The caller has every ZMM register, MXCSR and an x87 register in use. Each line says "good", or "T FAIL".
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "test.h"

#define XCR0_AVX512 0xe7
#define MXCSR_RESET 0x1f80
#define MXCSR_OWN 0x1fa0
#define FCW_RESET 0x37f
#define FSW_ONE 0x3800 /* one register in use */

#define EACH(insn) ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n" \
	insn "\n .endr\n"

/*
 * The PAL answers the sum of what it finds: all quadwords of ZMM0 to ZMM31, MXCSR, control and status word. Then it
 * leaves ones in all of them, MXCSR_OWN, and an x87 register in use.
 */
asm(".section .text\n.balign 4096\n"
    "fpu_pal:\n"
    EACH("vmovdqu64 %zmm\\i, fpu_pal_data+64*\\i(%rip)")
    "stmxcsr fpu_pal_data+2048(%rip)\n fnstcw fpu_pal_data+2052(%rip)\n fnstsw fpu_pal_data+2054(%rip)\n"
    "movl fpu_pal_data+2048(%rip), %eax\n movzwl fpu_pal_data+2052(%rip), %edx\n addq %rdx, %rax\n"
    "movzwl fpu_pal_data+2054(%rip), %edx\n addq %rdx, %rax\n"
    "leaq fpu_pal_data(%rip), %rdx\n movl $256, %ecx\n 1: addq (%rdx), %rax\n addq $8, %rdx\n loop 1b\n"
    EACH("vpternlogd $255, %zmm\\i, %zmm\\i, %zmm\\i")
    "movl $0x1fa0, fpu_pal_data+2048(%rip)\n ldmxcsr fpu_pal_data+2048(%rip)\n fninit\n fld1\n ret\n"
    /* Without the registers this is where it ends. */
    ".balign 4096\n"
    ".data\n.balign 4096\nfpu_pal_data: .skip 4096\nfpu_pal_stack: .skip 4096\n.text\n");
extern u8 fpu_pal[], fpu_pal_data[], fpu_pal_stack[];

/* At CPL 3: loads, calls, stores. */
asm("fpu_user:\n"
    EACH("vmovdqu64 fpu_before+64*\\i(%rip), %zmm\\i")
    "ldmxcsr fpu_before+2048(%rip)\n fninit\n fldpi\n fldcw fpu_before+2052(%rip)\n"
    "call fpu_pal\n movq %rax, fpu_result(%rip)\n"
    EACH("vmovdqu64 %zmm\\i, fpu_after+64*\\i(%rip)")
    "stmxcsr fpu_after+2048(%rip)\n fnstcw fpu_after+2052(%rip)\n fstpt fpu_after+2054(%rip)\n"
    "int $0x80\n");
extern void fpu_user(void);

struct registers { u64 zmm[256]; u32 mxcsr; u16 fcw; u8 st0[10]; } __attribute__((packed));
struct registers fpu_before, fpu_after;
volatile u64 fpu_result;

static struct tv_list list __attribute__((aligned(PAGE_SIZE)));
static u64 handle;

static u32 hypercall(u32 number, u64 *c, u64 *d)
{
	u32 eax = number;

	asm volatile("vmcall" : "+a"(eax), "+c"(*c), "+d"(*d) : : "rbx", "rsi", "rdi", "memory");
	return eax;
}

static u32 register_pal(u32 base, u32 flags)
{
	static u8 *const places[] = { fpu_pal, fpu_pal_data, fpu_pal_stack };
	static const u32 types[] = { TV_SECTION_CODE, TV_SECTION_DATA, TV_SECTION_STACK };
	u64 c = (u64)&list, d = 0;
	u32 result;

	list.version = TV_LIST_VERSION;
	list.flags = flags;
	list.entry_count = 1;
	list.page_count = 3;
	list.entries[0].address = (u64)fpu_pal;
	for (u32 i = 0; i < 3; i++)
		list.pages[i] = (struct tv_list_page){ (u64)places[i], (u64)places[i] | types[i] };
	result = hypercall(base + TV_CMD_REGISTER_LIST, &c, &d);
	handle = (u32)c | d << 32;
	return result;
}

static u32 unregister_pal(u32 base)
{
	u64 c = (u32)handle, d = handle >> 32;

	return hypercall(base + TV_CMD_UNREGISTER_LIST, &c, &d);
}

static void prepare_caller(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(fpu_before.zmm); i++)
		fpu_before.zmm[i] = 0xca11e40000000000 + i;
	fpu_before.mxcsr = 0x1fc0;
	fpu_before.fcw = 0x27f;
	write_cr0(read_cr0() & ~(u64)(CR0_EM | CR0_TS));
	write_cr4(read_cr4() | CR4_OSXSAVE | CR4_OSFXSR);
	try_xsetbv(0, XCR0_AVX512);
}

/* π, as FLDPI has it. */
static bool caller_is_whole(void)
{
	static const u8 pi[10] = { 0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40 };
	bool whole = fpu_after.mxcsr == fpu_before.mxcsr && fpu_after.fcw == fpu_before.fcw &&
		     xgetbv(0) == XCR0_AVX512;

	for (u32 i = 0; i < ARRAY_SIZE(fpu_before.zmm); i++)
		whole &= fpu_after.zmm[i] == fpu_before.zmm[i];
	for (u32 i = 0; i < sizeof(pi); i++)
		whole &= fpu_after.st0[i] == pi[i];
	return whole;
}

static u32 call_pal(void)
{
	u32 vector;

	fpu_after = (struct registers){ .mxcsr = 0 };
	fpu_result = 0;
	irq_on();
	vector = user_run(fpu_user).vector;
	irq_off();
	return vector;
}

static bool finds(u64 sum)
{
	return call_pal() == NO_FAULT && fpu_result == sum && caller_is_whole();
}

#define FRESH (MXCSR_RESET + FCW_RESET)
#define LEFT (MXCSR_OWN + FCW_RESET + FSW_ONE - 256ull)

/* A bit for each that is wrong. */
static u64 lives(u32 base)
{
	u64 wrong = 0;

	prepare_caller();
	wrong |= (register_pal(base, TV_LIST_FPU) != TV_OK) << 0;
	wrong |= !finds(FRESH) << 1;
	wrong |= !finds(LEFT) << 2;
	wrong |= (unregister_pal(base) != TV_OK) << 3;
	wrong |= (register_pal(base, TV_LIST_FPU) != TV_OK) << 4;
	wrong |= !finds(FRESH) << 5;
	wrong |= (unregister_pal(base) != TV_OK) << 6;
	/* Without the flag: the PAL's first such instruction ends it. */
	wrong |= (register_pal(base, 0) != TV_OK) << 7;
	wrong |= (call_pal() != VEC_PF) << 8;
	wrong |= (unregister_pal(base) != TV_OK) << 9;
	return wrong;
}

static u64 l2_wrong;

static void lives_in_l2(void)
{
	l2_wrong = lives(TV_L2_BASE_DEFAULT);
	l2_end();
}

/* XSETBV exits. */
static bool carry_out(struct vcpu *v)
{
	if (v->exit.reason == EXIT_XSETBV)
		try_xsetbv((u32)v->regs[RCX], (u32)v->regs[RAX]);
	return false;
}

DEFINE_TEST(pal_fpu, "pal-fpu", "XMHF only: PALs of L1 and L2 with FPU and SIMD registers of their own")
{
	u64 wrong;

	if (!hv_supported())
		return;
	wrong = lives(0);
	print(wrong ? "T FAIL L1: %lx\n" : "T L1: good\n", wrong);
	hv_on();
	l2_wrong = ~0ull;
	t_l2("L2", HV_LONG64, lives_in_l2, NULL, carry_out);
	print(l2_wrong ? "T FAIL L2: %lx\n" : "T L2: good\n", l2_wrong);
	hv_off();
}
