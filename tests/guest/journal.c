/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=journal: the hypapp of docs/tutorial.md, as it is at the end, under callers of each kind: L1's kernel and
 * programs, L2, and all CPUs at once on both levels with a journal that is always full. Each line says "good", or
 * begins with "T FAIL", which fails the case.
 */
#include "test.h"

#define L2_BASE 0x4c415000u
#define NOTE_COUNT 64u
#define NOTE_BYTES 56u
#define ROUNDS 500u			/* notes of each CPU and level: the journal is full many times over */
#define FAULTED 1
enum { COUNT = 0x300, APPEND, READ, CLEAR, UNUSED };
enum { EINVAL = -1, EFAULT = -2, EPERM = -3 };

/* What a note looks like; the level is told apart from what the hypapp says it was. */
struct text { u32 level, cpu, round, sum; };

static void judge(const char *what, bool is_good)
{
	print(is_good ? "T %s: good\n" : "T FAIL %s\n", what);
}

/* RAX, or FAULTED. */
static int call(u32 number, u64 *rbx, u64 *rcx, u64 rdx)
{
	u64 rax = number;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(rax), "+b"(*rbx), "+c"(*rcx) : "d"(rdx) : "memory");
	return last_fault() == NO_FAULT ? (int)rax : FAULTED;
}

static int append(u32 base, const void *text, u64 len_bytes)
{
	u64 rbx = (u64)text;

	return call(base + APPEND, &rbx, &len_bytes, 0);
}

static int append_text(u32 base, u32 level, u32 cpu, u32 round)
{
	struct text text = { level, cpu, round, level ^ cpu ^ round };

	return append(base, &text, sizeof(text));
}

/* Reads a note; *level is what the hypapp says. */
static int read(u32 base, u32 number, struct text *text, u64 *level)
{
	u64 rbx = number, rcx = (u64)text;
	int result = call(base + READ, &rbx, &rcx, sizeof(*text));

	*level = rcx;
	return result || rbx == sizeof(*text) ? result : EINVAL;
}

static bool is_note(u32 base, u32 number, u32 level, u32 round)
{
	struct text text;
	u64 said;

	return read(base, number, &text, &said) == 0 && said == level && text.level == level && text.round == round;
}

static int clear(u32 base)
{
	u64 rbx = 0, rcx = 0;

	return call(base + CLEAR, &rbx, &rcx, 0);
}

static void user_clears(void)
{
	asm volatile("movl $0x303, %%eax; vmcall; cmpl $-3, %%eax; jne 1f; int $0x80; 1: ud2" ::: "eax", "memory");
}

/* ---- one CPU ---- */

static bool l2_read, l2_append, l2_clear, l2_bad;

static void l2_code(void)
{
	l2_read = is_note(L2_BASE, 0, 1, 7);
	l2_append = append_text(L2_BASE, 2, 0, 8) == 0 && is_note(L2_BASE, 1, 2, 8);
	l2_clear = clear(L2_BASE) == EPERM;
	l2_bad = append(L2_BASE, UNMAPPED, 8) == EFAULT;
	l2_end();
}

static void one_cpu(void)
{
	u64 rbx = 0, rcx = 0, before = 0, level;
	u8 long_text[NOTE_BYTES + 1];
	struct text text;

	judge("a new journal is empty", read(0, 0, &text, &level) == EINVAL);
	judge("count", call(COUNT, &before, &rcx, 0) == 0);
	judge("append and read", append_text(0, 1, 0, 7) == 0 && is_note(0, 0, 1, 7));
	judge("three calls were counted", call(COUNT, &rbx, &rcx, 0) == 0 && rbx == before + 3 && rcx == 0);
	judge("no text, a text too long",
	      append(0, &text, 0) == EINVAL && append(0, long_text, sizeof(long_text)) == EINVAL);
	judge("addresses that are not mapped",
	      append(0, UNMAPPED, 8) == EFAULT && append(0, NONCANONICAL, 8) == EFAULT);
	judge("no such note", read(0, NOTE_COUNT, &text, &level) == EINVAL && read(0, 1, &text, &level) == EINVAL);
	judge("a number without a meaning is #UD", call(UNUSED, &rbx, &rcx, 0) == FAULTED && last_fault() == VEC_UD);
	judge("a program of L1 cannot clear", user_run(user_clears).vector == NO_FAULT);
	hv_on();
	hv_init(&l2, HV_LONG64, l2_code);
	judge("L2 runs to its end", hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMCALL && l2.regs[RAX] == L2_END);
	hv_off();
	judge("L2 reads L1's note", l2_read);
	judge("L2 appends", l2_append && is_note(0, 1, 2, 8));
	judge("L2 cannot clear", l2_clear);
	judge("L2's address that is not mapped", l2_bad);
	judge("L1's kernel clears", clear(0) == 0 && read(0, 0, &text, &level) == EINVAL);
}

/* ---- all CPUs ---- */

static struct vcpu vcpus[MAX_CPUS];
static volatile u32 wrong;

static void append_many(u32 base, u32 level)
{
	u32 cpu = this_cpu()->index;

	for (u32 round = 0; round < ROUNDS; round++)
		if (append_text(base, level, cpu, round))
			__atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
}

static void l2_append_many(void)
{
	append_many(L2_BASE, 2);
	l2_end();
}

static void append_on_both_levels(void *unused)
{
	struct vcpu *v = &vcpus[this_cpu()->index];

	(void)unused;
	append_many(0, 1);
	hv_on();
	hv_init(v, HV_LONG64, l2_append_many);
	if (hv_run(v) != VMX_OK || v->exit.reason != EXIT_VMCALL || v->regs[RAX] != L2_END)
		__atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
	hv_off();
}

/* No note is torn, and what the hypapp says of its writer is what the writer wrote. */
static bool are_whole(u32 *count)
{
	struct text text;
	u64 level;

	for (*count = 0; *count < NOTE_COUNT && read(0, *count, &text, &level) == 0; ++*count)
		if (text.level != level || text.sum != (text.level ^ text.cpu ^ text.round))
			return false;
	return true;
}

static void all_cpus(void)
{
	u64 l1 = 0, l2 = 0, l1_after = 0, l2_after = 0;
	u32 count;

	call(COUNT, &l1, &l2, 0);
	smp_start();
	for (u32 i = 1; i < cpu_count; i++)
		smp_run(i, append_on_both_levels, NULL);
	append_on_both_levels(NULL);
	for (u32 i = 1; i < cpu_count; i++)
		smp_wait(i);
	call(COUNT, &l1_after, &l2_after, 0);
	judge("every append of every CPU", wrong == 0);
	judge("they were counted by level",
	      l1_after - l1 == ROUNDS * cpu_count + 1 && l2_after - l2 == ROUNDS * cpu_count);
	judge("notes are whole", are_whole(&count));
	judge("at least the newer half is there", count >= NOTE_COUNT / 2 && count <= NOTE_COUNT);
}

DEFINE_TEST(journal, "journal", "XMHF with the tutorial's hypapp: its calls from L1, L2, and all CPUs at once")
{
	if (!hv_supported())
		return;
	hv_identity_ept();
	one_cpu();
	all_cpus();
}
