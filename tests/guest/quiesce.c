/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF with hypapps/quiesce: every CPU, in L1 and in L2 by turns, asks for random mixes of stops, uses pages whose
 * rights are taken away under it, and sends NMIs to the others. The hypapp checks what holds under a stop; here is
 * checked that memory keeps what is written, that no NMI is invented, and that every CPU makes progress. rounds=N:
 * events to cause, in all; seed=N: other random numbers. The long run, after `make check-files`:
 *
 *	tools/mkiso.py -o build/torture.iso --loader syslinux --xmhf build/audit/xmhf.elf \
 *		--kernel-file build/guest/test.bzimage --append "test=quiesce rounds=1000000 seed=2"
 *	tests/run/emulator.py --image build/torture.iso --cpus 8 --timeout 36000 --show \
 *		--expect '^T end quiesce' --fail '^T FAIL' --fail '^xmhf: quiesce: FAULT' --fail '^xmhf: PANIC'
 */
#include "test.h"

#define L2_BASE 0x4c415000u
#define L2_PAUSE 0xe0eu			/* RAX of the VMCALL with which L2 lets L1 run for a while */
#define LEAF 0x51554945u
#define BATCH 40u			/* rounds at one level before the other has its turn */
#define WORDS (PAGE_SIZE / sizeof(u64))
enum { SETUP = 0x300, MIX, END };

/* [0] counts rounds, [1] NMIs, of all CPUs and not atomically: only that they move matters. */
static volatile u64 *counters;
static volatile u64 *pages;		/* four; each CPU has a word of its own in each */
static u64 wanted, done;
static volatile u32 ready;		/* CPUs that are: preparing takes long while others stop all the time */

/* Of one CPU, for both of its levels. */
static struct worker {
	struct vcpu v;
	u64 random, faults;
	u32 rounds[2];			/* in L1, in L2 */
	u32 sent, wrong;
} workers[MAX_CPUS];

static void judge(const char *what, bool ok)
{
	print(ok ? "T %s: ok\n" : "T FAIL %s\n", what);
}

static u64 next_random(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random * 0x2545f4914f6cdd1d;
}

static u64 call(u32 number, u64 rcx, u64 rdx)
{
	u64 rax = number, faults;

	asm volatile("vmcall" : "+a"(rax), "=b"(faults) : "c"(rcx), "d"(rdx) : "memory");
	return rax ? ~0ull : faults;
}

static void count_nmi(struct trap_frame *f)
{
	if (f->vector == VEC_NMI)
		counters[1]++;
}

static void use_page(struct worker *w, u64 random)
{
	volatile u64 *word = pages + (random & 3) * WORDS + (w - workers);

	*word = random;
	if (*word != random)
		w->wrong++;
}

static void one_round(struct worker *w, u32 base)
{
	u64 random = next_random(w);

	counters[0]++;
	if (random >> 61 == 0)
		cpuid(LEAF, (u32)random);
	else if (random >> 61 <= 2)
		use_page(w, random);
	else
		w->faults = call(base + MIX, random, 0);
}

/* False: all CPUs together have done what was wanted. */
static bool batch(struct worker *w, u32 base)
{
	for (u32 i = 0; i < BATCH; i++) {
		if (__atomic_fetch_add(&done, 1, __ATOMIC_RELAXED) >= wanted)
			return false;
		one_round(w, base);
		w->rounds[base != 0]++;
	}
	return true;
}

static void l2_work(void)
{
	struct worker *w = &workers[this_cpu()->index];

	while (batch(w, L2_BASE))
		l2_vmcall(L2_PAUSE);
	l2_end();
}

static void nmi_to_another(struct worker *w)
{
	u32 self = (u32)(w - workers), to = (u32)(next_random(w) >> 32) % cpu_count;

	if (to == self)
		return;
	send_nmi(to);
	w->sent++;
}

static bool run_l2(struct worker *w)
{
	if (hv_run(&w->v) != VMX_OK || w->v.exit.reason != EXIT_VMCALL)
		fail("L2 of CPU %u: exit %x", (u32)(w - workers), w->v.exit.reason);
	hv_skip(&w->v);
	return w->v.regs[RAX] == L2_PAUSE;
}

/* NMIs are sent by L1, so they meet the others wherever those are, L2 included. */
static void work(void *unused)
{
	struct worker *w = &workers[this_cpu()->index];

	(void)unused;
	hv_on();
	hv_init(&w->v, HV_LONG64, l2_work);
	w->v.cpu->index = this_cpu()->index;
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (ready < cpu_count)
		pause();
	while (batch(w, 0)) {
		nmi_to_another(w);
		if (!run_l2(w))
			break;
		nmi_to_another(w);
	}
	hv_off();
}

static void judge_progress(void)
{
	u32 sent = 0, taken = 0, wrong = 0, slow = 0;
	u64 fair = wanted / cpu_count / 4;

	for (u32 i = 0; i < cpu_count; i++) {
		struct worker *w = &workers[i];
		u32 nmis = cpus[i].irq_count[VEC_NMI] + w->v.cpu->irq_count[VEC_NMI];

		print("CPU %u: %u rounds in L1, %u in L2, %u NMIs sent, %u taken\n", i, w->rounds[0], w->rounds[1],
		      w->sent, nmis);
		sent += w->sent;
		taken += nmis;
		wrong += w->wrong;
		slow += w->rounds[0] < fair / 2 || w->rounds[1] < fair / 2;
	}
	judge("memory keeps what is written", wrong == 0);
	judge("every CPU makes progress at both levels", slow == 0);
	/* Some merge with others, as on the bare machine. */
	judge("NMIs arrive, and none is invented", taken <= sent && (cpu_count == 1 || taken > sent / 4));
}

/* The core's statistics, which the case compares with the hypapp's counts, are logged at power-off. */
static void power_off(void)
{
	while (!(inb(0x3fd) & 0x40))
		pause();
	asm volatile("outw %0, %1" :: "a"((u16)0x2000), "d"((u16)0xb004));
	fail("no power-off");
}

DEFINE_TEST(quiesce, "quiesce", "XMHF with hypapps/quiesce: random mixes of stops on all CPUs in L1 and L2, with NMIs")
{
	u64 seed = option_number("seed", 1);

	if (!hv_supported())
		return;
	wanted = option_number("rounds", 20000);
	counters = page_alloc();
	pages = page_alloc_many(4, PAGE_SIZE);
	set_bytes((void *)pages, 0, 4 * PAGE_SIZE);
	hv_identity_ept();
	smp_start();
	judge("the hypapp is there", call(SETUP, (u64)counters, (u64)pages) == 0);
	irq_hook = count_nmi;
	for (u32 i = 0; i < cpu_count; i++)
		workers[i].random = seed * 0x9e3779b97f4a7c15 + i + 1;
	for (u32 i = 1; i < cpu_count; i++)
		smp_run(i, work, NULL);
	work(NULL);
	for (u32 i = 1; i < cpu_count; i++)
		smp_wait(i);
	judge_progress();
	judge("the hypapp finds no fault", call(END, 0, 0) == 0);
	print("T end quiesce\n");
	power_off();
}
