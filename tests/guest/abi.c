/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XMHF with the objects of tests/abi/, of hypapi 1.0 to 1.2: they run at both levels, whatever was appended since. */
#include "test.h"

#define CALL 0x600u
#define L2_BASE 0x4c415000u

#define CALL_1_2 0x601u
#define PORT_1_1 0x612
#define CALL_1_1 0x602u
#define NOWHERE (1ul << 46)
#define NO_PAGE 2 /* HYPAPI_EFAULT, negated */
#define IN_PAGE 0x5au
#define WORK_CAME 256u

struct answer { u32 eax, ebx, ecx, edx; };

static struct answer l2_answer, l2_answer_1_2;
static u32 l2_port_1_1, l2_error_1_1;
static u8 page[4096] __attribute__((aligned(4096)));

static struct answer call(u32 number)
{
	struct answer a = { .eax = number };

	page[0] = IN_PAGE;
	asm volatile("vmcall" : "+a"(a.eax), "=b"(a.ebx), "=c"(a.ecx), "=d"(a.edx) : "S"(page) : "memory");
	return a;
}

static u32 port_1_1(void)
{
	u32 value;

	asm volatile("inl %w1, %0" : "=a"(value) : "Nd"(PORT_1_1));
	return value;
}

/* What hypapi_translate() answers to it for an address that the guest's page tables do not map. */
static u32 error_1_1(u32 base)
{
	u64 number = base + CALL_1_1, error;

	asm volatile("vmcall" : "+a"(number), "=b"(error) : "S"(NOWHERE) : "memory");
	return number ? 0 : (u32)error;
}

static void l2_call(void)
{
	l2_port_1_1 = port_1_1();
	l2_error_1_1 = error_1_1(L2_BASE);
	l2_answer = call(L2_BASE + CALL);
	l2_answer_1_2 = call(L2_BASE + CALL_1_2);
	l2_end();
}

static void judge(const char *what, const struct answer *a, u32 calls)
{
	bool ok = a->eax == 0 && a->ebx == calls && a->ecx > 0 && a->edx > 0;

	print(ok ? "T made for 1.0, called from %s: core 1.%u, %u bytes more\n" :
		   "T FAIL made for 1.0, called from %s: core 1.%u, %u bytes more\n", what, a->ecx, a->edx);
}

/* It has read the page in a partition, which was zeroed when that ended; its WORK comes after the first call. */
static void judge_1_2(const char *what, const struct answer *a, u32 calls)
{
	bool ok = a->eax == 0 && a->ebx == calls && a->ecx > 2 && a->edx == (IN_PAGE | (calls > 1 ? WORK_CAME : 0));

	print(ok && !page[0] ? "T made for 1.2, called from %s: core 1.%u, answer %x\n" :
			       "T FAIL made for 1.2, called from %s: core 1.%u, answer %x\n", what, a->ecx, a->edx);
}

static void judge_1_1(const char *what, u32 port, u32 error)
{
	print(port >> 16 > 1 && (port & 0xffff) > 0 && error == NO_PAGE ?
	      "T made for 1.1, called from %s: core 1.%u, %u bytes more, error -%u\n" :
	      "T FAIL made for 1.1, called from %s: core 1.%u, %u bytes more, error -%u\n", what, port >> 16,
	      port & 0xffff, error);
}

DEFINE_TEST(abi, "abi", "XMHF with hypapps that were compiled against hypapi 1.0, 1.1 and 1.2")
{
	struct answer a = call(CALL);

	judge_1_1("L1", port_1_1(), error_1_1(0));
	judge("L1", &a, 1);
	a = call(CALL_1_2);
	judge_1_2("L1", &a, 1);
	hv_on();
	hv_init(&l2, HV_LONG64, l2_call);
	if (hv_run(&l2) != VMX_OK || l2.exit.reason != EXIT_VMCALL || l2.regs[RAX] != L2_END)
		fail("L2 exits by reason %x", l2.exit.reason);
	judge("L2", &l2_answer, 2);
	judge_1_1("L2", l2_port_1_1, l2_error_1_1);
	judge_1_2("L2", &l2_answer_1_2, 2);
	hv_off();
}
