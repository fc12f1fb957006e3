/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF with hypapps/verify: hypapi's errors, rights to L1's memory seen from L1 and L2, and physical access from both levels.
 * Each line says "ok", or "T FAIL", which fails the case.
 */
#include "test.h"

#define L2_BASE 0x4c415000u
enum { RESTRICT = 0x200, RIGHTS, VIOLATIONS, READ, WRITE, TRANSLATE, ERRORS };
enum { R = 1, W = 2, RWX = 7 };

struct answer { u64 returned, result; };

static struct answer call(u32 base, u32 number, u64 rcx, u64 rdx)
{
	struct answer a = { .result = rdx };
	u64 rax = base + number;

	asm volatile("vmcall" : "+a"(rax), "=b"(a.returned), "+d"(a.result) : "c"(rcx) : "memory");
	return a;
}

static void judge(const char *what, bool ok)
{
	print(ok ? "T %s: ok\n" : "T FAIL %s\n", what);
}

static u64 violation_count(void)
{
	return call(0, VIOLATIONS, 0, 0).returned;
}

/* What reads, writes and the hypapp see of one page; base: of the level that runs. */
static void use_page(u32 base, volatile u64 *page, const char *what)
{
	u64 at = (u64)page, before = call(base, VIOLATIONS, 0, 0).returned;
	struct answer last;
	bool ok = true;

	page[0] = 0x1234;
	ok &= call(base, RESTRICT, at, R).returned == 0 && call(base, RIGHTS, at, 0).result == R;
	ok &= page[0] == 0x1234 && call(base, VIOLATIONS, 0, 0).returned == before;
	ok &= call(base, WRITE, at, 0x5678).returned == 0 && page[0] == 0x5678;
	page[0] = 0x9abc;
	last = call(base, VIOLATIONS, 0, 0);
	ok &= last.returned == before + 1 && (last.result & ~0xfffull) == at && last.result & W;
	ok &= page[0] == 0x9abc && call(base, RIGHTS, at, 0).result == RWX;
	ok &= call(base, RESTRICT, at, 0).returned == 0 && call(base, RIGHTS, at, 0).result == 0;
	ok &= call(base, READ, at, 0).result == 0x9abc && call(base, VIOLATIONS, 0, 0).returned == before + 1;
	ok &= page[0] == 0x9abc && call(base, VIOLATIONS, 0, 0).returned == before + 2;
	/* judged by L1 in the end: printing is L1's */
	*(volatile u64 *)(at + 8) = ok;
	if (base == 0)
		judge(what, ok);
}

static volatile u64 *shared;

static void l2_use(void)
{
	use_page(L2_BASE, shared, "");
	shared[2] = call(L2_BASE, TRANSLATE, (u64)shared + 5, R | W).result;
	shared[3] = call(L2_BASE, TRANSLATE, HIGH_GPA, R).returned;
	shared[4] = call(L2_BASE, ERRORS, 0, 0).returned;
	l2_end();
}

DEFINE_TEST(verify, "verify", "XMHF with hypapps/verify: hypapi's calls and errors, rights to memory in L1 and L2")
{
	u64 before;

	shared = page_alloc();
	judge("documented errors in L1", call(0, ERRORS, 0, 0).returned == 0);
	use_page(0, shared, "rights to a page, from L1");
	judge("EPT12 in L1", (long)call(0, TRANSLATE, 0x1000, R).returned == -7);
	hv_on();
	hv_init(&l2, HV_LONG64, l2_use);
	if (hv_run(&l2) != VMX_OK || l2.exit.reason != EXIT_VMCALL || l2.regs[RAX] != L2_END)
		fail("L2 exits by reason %x", l2.exit.reason);
	judge("rights to a page, from L2", shared[1] == 1);
	judge("L2-physical to L1-physical", shared[2] == (u64)shared + 5 && (long)shared[3] == -2);
	judge("documented errors in L2", shared[4] == 0);
	/* L1 takes a page from itself while L2 has used it, and L2's tables follow. */
	before = violation_count();
	judge("restricted by L1", call(0, RESTRICT, (u64)shared, R).returned == 0);
	shared[0] = 1;
	judge("seen once", violation_count() == before + 1);
	hv_off();
}
