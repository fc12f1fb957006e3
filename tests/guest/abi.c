/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XMHF with the object of tests/abi/, compiled against hypapi 1.0: it runs at both levels, whatever was appended since. */
#include "test.h"

#define CALL 0x600u
#define L2_BASE 0x4c415000u

struct answer { u32 eax, ebx, ecx, edx; };

static struct answer l2_answer;

static struct answer call(u32 base)
{
	struct answer a = { .eax = base + CALL };

	asm volatile("vmcall" : "+a"(a.eax), "=b"(a.ebx), "=c"(a.ecx), "=d"(a.edx) :: "memory");
	return a;
}

static void l2_call(void)
{
	l2_answer = call(L2_BASE);
	l2_end();
}

static void judge(const char *what, const struct answer *a, u32 calls)
{
	bool ok = a->eax == 0 && a->ebx == calls && a->ecx > 0 && a->edx > 0;

	print(ok ? "T made for 1.0, called from %s: core 1.%u, %u bytes more\n" :
		   "T FAIL made for 1.0, called from %s: core 1.%u, %u bytes more\n", what, a->ecx, a->edx);
}

DEFINE_TEST(abi, "abi", "XMHF with a hypapp that was compiled against hypapi 1.0")
{
	struct answer a = call(0);

	judge("L1", &a, 1);
	hv_on();
	hv_init(&l2, HV_LONG64, l2_call);
	if (hv_run(&l2) != VMX_OK || l2.exit.reason != EXIT_VMCALL || l2.regs[RAX] != L2_END)
		fail("L2 exits by reason %x", l2.exit.reason);
	judge("L2", &l2_answer, 2);
	hv_off();
}
