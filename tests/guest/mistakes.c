/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF with hypapps/careless, hypapp-time=1ms and a short stop-bound: the mistakes of an author that show at run time,
 * one after the other; the case compares the line that each gets. The last two are handlers that never return, one for
 * a lock that nobody gives back, and are named by the stop that waits for their CPUs.
 */
#include "../../hypapps/careless/careless.h"
#include "test.h"

#define REPEATS 2001	/* the line comes after 2000 */
#define SLOW_TICKS 200000

static void call(u32 number, u64 rcx, u64 rdx, u32 expected)
{
	u64 rax = number;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(rax), "+c"(rcx), "+d"(rdx) :: "rbx", "memory");
	if (last_fault() != expected)
		print("T FAIL call 0x%x\n", number);
}

static volatile u32 ready;

static void endless(void *arg)
{
	(void)arg;
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	call(CARELESS_ENDLESS, 0, 0, NO_FAULT);
}

static void locked(void *arg)
{
	(void)arg;
	call(CARELESS_LOCKED, 0, 0, NO_FAULT);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	call(CARELESS_LOCKED, 0, 0, NO_FAULT);
}

DEFINE_TEST(mistakes, "mistakes", "XMHF with hypapps/careless: mistakes of an author, each with its line")
{
	volatile u64 *page = page_alloc();

	smp_start();
	call(CARELESS_NO_VERDICT, 0, 0, VEC_UD);
	call(CARELESS_ERROR_AS_VERDICT, 0, 0, VEC_UD);
	call(CARELESS_COPIED_EVENT, 0, 0, NO_FAULT);
	call(CARELESS_KEEP, 0, 0, NO_FAULT);
	print("T the event of the call before\n");
	call(CARELESS_KEPT_EVENT, 0, 0, NO_FAULT);
	call(CARELESS_NO_REGISTER, 0, 0, NO_FAULT);
	call(CARELESS_RETRY, REPEATS, 0, NO_FAULT);
	call(CARELESS_RESTRICT, (u64)page, REPEATS, NO_FAULT);
	*page = 1;
	call(CARELESS_SLOW, SLOW_TICKS, 0, NO_FAULT);
	print("T two handlers that never return\n");
	smp_run(1, endless, NULL);
	smp_run(2, locked, NULL);
	while (ready != 2)
		;
	for (volatile u32 i = 0; i < 1000000; i++)
		;
	call(CARELESS_GUARD, (u64)page, 0, NO_FAULT);
	fail("a stop without two CPUs");
}
