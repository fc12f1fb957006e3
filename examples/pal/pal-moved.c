/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pal-moved: what becomes of a registered PAL when Linux itself moves its pages to another node, compacts memory, or
 * merges them with equal ones (KSM). Its secret is never seen, a call is right or fails, and a page comes back when
 * Linux uses it again. Needs root, a kernel with these means, and two nodes. Exit code 0 only if every line is as it
 * should be, 2 without TrustVisor.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "frames.h"
#include "pal.h"

#define PAGE 4096ul
#define PAGES 4 /* of a PAL: one in each section, in this order */
#define CODE 1u
#define DATA 2u
#define STACK 8u
#define ALL 15u
#define MPOL_MF_MOVE 2 /* Linux, linux/mempolicy.h */
#define SECRET 0x5ec7e700ull
#define TRAPPED ((uint64_t)-2)
#define FAULTED ((uint64_t)-3)
#define ROUNDS 40 /* more than processes have PALs */
#define RACES 20

TV_PAL_PAGES(1, 1);

/* The program's own sections, so far above where they are linked. Those are a template, and never registered. */
struct pal {
	uint64_t distance;
	struct tv_pal_sections sections;
	uint64_t secret;
};

static const struct tv_pal_params two_integers = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } };
static struct pal moved = { .distance = 0x10000000, .secret = SECRET }, other = { .distance = 0x20000000, .secret = 7 };
static int failures;

static void report(bool ok, const char *what, const char *text)
{
	printf("%s: %s%s\n", what, text, ok ? "" : "  FAILED");
	failures += !ok;
}

/* ---- A PAL ---- */

static void *page(const struct pal *pal, unsigned int number)
{
	return (void *)(uintptr_t)pal->sections.sections[number].start_addr;
}

static void *in(const struct pal *pal, const void *in_template)
{
	return (void *)((uintptr_t)in_template + pal->distance);
}

static struct pal_data *data_of(const struct pal *pal)
{
	return in(pal, &pal_data);
}

/* New pages, with the template's content. What was there is Linux's again. */
static void fill(struct pal *pal)
{
	tv_own_sections(&pal->sections);
	for (unsigned int i = 0; i < PAGES; i++) {
		const void *from = page(pal, i);

		pal->sections.sections[i].start_addr += pal->distance;
		if (mmap(page(pal, i), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) != page(pal, i)) {
			perror("mmap");
			exit(1);
		}
		memcpy(page(pal, i), from, PAGE);
	}
	data_of(pal)->secret = pal->secret;
}

static bool start_filled(const struct pal *pal)
{
	return tv_register(&pal->sections, &two_integers, in(pal, pal_add)) == TV_OK;
}

static bool start(struct pal *pal)
{
	fill(pal);
	return start_filled(pal);
}

static uint32_t end(const struct pal *pal)
{
	return tv_unregister(&pal->sections, in(pal, pal_add));
}

static __thread sigjmp_buf back;

static void on_signal(int number)
{
	siglongjmp(back, number);
}

/* What a call answers; TRAPPED at an INT3, FAULTED at a fault. */
static uint64_t call(const struct pal *pal, uint64_t word)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = in(pal, pal_add);
	int number = sigsetjmp(back, 1);

	if (number)
		return number == SIGTRAP ? TRAPPED : FAULTED;
	return add(word, 1);
}

static bool is_error(uint64_t answer)
{
	return answer == TRAPPED || answer == FAULTED || answer == TV_NOT_IN_PAL;
}

static bool is_right(const struct pal *pal, uint64_t word)
{
	return call(pal, word) == word + 1 + pal->secret;
}

static volatile uint64_t *words_of(const struct pal *pal, unsigned int number)
{
	return page(pal, number);
}

/* From outside: INT3 in the code, zeros elsewhere. */
static bool shows_nothing(const struct pal *pal)
{
	for (unsigned int i = 0; i < PAGES; i++)
		for (unsigned int word = 0; word < PAGE / 8; word++)
			if (i == 0 ? !tv_reads_as_code(words_of(pal, i)[word], word) : words_of(pal, i)[word] != 0)
				return false;
	return true;
}

/* ---- Nodes ---- */

/* To which node the pages go (nodes), or where they are (NULL). */
static bool ask_nodes(const struct pal *pal, unsigned int count, const unsigned int *numbers, const int *nodes,
		      int *status)
{
	void *pages[PAGES];

	for (unsigned int i = 0; i < count; i++)
		pages[i] = page(pal, numbers[i]);
	return syscall(SYS_move_pages, 0, (unsigned long)count, pages, nodes, status, MPOL_MF_MOVE) == 0;
}

/* To the other node; true if Linux did it. */
static bool move(const struct pal *pal, unsigned int which)
{
	unsigned int numbers[PAGES], count = 0;
	int nodes[PAGES], status[PAGES];
	bool there;

	for (unsigned int i = 0; i < PAGES; i++)
		if (which & 1u << i)
			numbers[count++] = i;
	there = ask_nodes(pal, count, numbers, NULL, nodes);
	for (unsigned int i = 0; i < count; i++) {
		there &= nodes[i] >= 0;
		nodes[i] ^= 1;
	}
	there = there && ask_nodes(pal, count, numbers, nodes, status);
	for (unsigned int i = 0; there && i < count; i++)
		there = status[i] == nodes[i];
	return there;
}

static void move_pages(void)
{
	uint32_t round = 0;

	report(start(&moved) && is_right(&moved, 1), "register and call", "success");
	report(move(&moved, ALL), "move_pages", "all to the other node");
	report(shows_nothing(&moved), "what is there now", "INT3 and zeros");
	report(call(&moved, 2) == TRAPPED, "call after all moved", "a trap");
	report(end(&moved) == TV_E_NO_PAL, "unregister", "no such PAL");

	report(start(&moved) && move(&moved, STACK), "move_pages", "the stack");
	report(call(&moved, 3) == TV_NOT_IN_PAL && data_of(&moved)->secret == 0, "call after the stack moved",
	       "an error");

	report(start(&moved) && move(&moved, DATA), "move_pages", "the data");
	report(is_right(&moved, 4) && data_of(&moved)->secret == 0, "call after the data moved",
	       "the PAL has kept its own");
	report(end(&moved) == TV_OK && data_of(&moved)->secret == 0, "unregister", "success");

	while (round < ROUNDS && start(&moved) && move(&moved, ALL) && call(&moved, round) == TRAPPED)
		round++;
	printf("moved away: %u of %u PALs\n", round, ROUNDS);
	report(round == ROUNDS, "pages of PALs that moved away", "Linux has them again");
}

/* ---- Moved while it is called ---- */

static volatile uint32_t racing; /* atomic: the round, 0 between rounds and RACES + 1 at the end */
static uint32_t right, failed, wrong;

static void *call_until_it_fails(void *unused)
{
	for (uint32_t last = 0;;) {
		uint32_t round = __atomic_load_n(&racing, __ATOMIC_ACQUIRE);
		uint64_t answer;

		if (round > RACES)
			return unused;
		if (round == 0 || round == last)
			continue;
		while ((answer = call(&moved, round)) == round + 1 + moved.secret)
			__atomic_add_fetch(&right, 1, __ATOMIC_RELAXED);
		*(is_error(answer) ? &failed : &wrong) += 1;
		last = round;
		__atomic_store_n(&racing, 0, __ATOMIC_RELEASE);
	}
}

/* The PAL is called on one CPU, and moved by another one. */
static void move_under_calls(void)
{
	bool ok = true;
	pthread_t thread;

	if (pthread_create(&thread, NULL, call_until_it_fails, NULL))
		exit(1);
	for (uint32_t round = 1; round <= RACES; round++) {
		uint32_t before = __atomic_load_n(&right, __ATOMIC_RELAXED);

		ok &= start(&moved);
		__atomic_store_n(&racing, round, __ATOMIC_RELEASE);
		while (__atomic_load_n(&right, __ATOMIC_RELAXED) == before &&
		       __atomic_load_n(&racing, __ATOMIC_ACQUIRE))
			__builtin_ia32_pause();
		/* A page that a call holds at that moment stays. */
		while (__atomic_load_n(&racing, __ATOMIC_ACQUIRE))
			move(&moved, ALL);
	}
	__atomic_store_n(&racing, RACES + 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	printf("moved under calls: %u right, %u failed, %u wrong\n", right, failed, wrong);
	report(ok && right >= RACES && failed == RACES && wrong == 0, "moved under calls", "each right, then an error");
}

/* ---- Merged ---- */

static void mergeable(const struct pal *pal)
{
	for (unsigned int i = 0; i < PAGES; i++)
		madvise(page(pal, i), PAGE, MADV_MERGEABLE);
}

static bool merge_pages(unsigned int number, int max_tries)
{
	return merge((struct place){ getpid(), page(&moved, number) }, (struct place){ getpid(), page(&other, number) },
		     max_tries);
}

/* Without libtv, which would make the page its own. */
static uint32_t register_as_it_is(struct pal *pal)
{
	const struct tv_pal_sections sections = pal->sections;
	const struct tv_pal_params params = two_integers;

	return tv_hypercall(tv_detect() == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0, TV_CMD_REGISTER, (uintptr_t)&sections, 0,
			    (uintptr_t)&params, (uintptr_t)in(pal, pal_add));
}

static void merged_pages(void)
{
	uint64_t first, second;

	fill(&moved);
	fill(&other);
	mergeable(&moved);
	mergeable(&other);
	report(merge_pages(0, MERGE_TRIES), "KSM", "two functions are one page");
	report(register_as_it_is(&other) == TV_E_FAULT, "register a merged page", "refused");
	end(&other);
	report(start_filled(&moved) && start_filled(&other) && is_right(&moved, 1) && is_right(&other, 1), "libtv",
	       "registers what was merged");
	report(!merge_pages(0, MERGE_A_WHILE), "KSM", "leaves libtv's pages alone");
	report(end(&moved) == TV_OK && end(&other) == TV_OK, "unregister", "success");

	report(start(&moved) && start(&other) && is_right(&moved, 1) && is_right(&other, 1), "two PALs", "success");
	mergeable(&moved);
	mergeable(&other);
	report(merge_pages(3, MERGE_TRIES), "KSM", "the stacks of two PALs are one page");
	report(!merge_pages(0, MERGE_A_WHILE), "KSM", "their code does not look alike");
	report(shows_nothing(&moved) && shows_nothing(&other), "what is there now", "INT3 and zeros");
	/* One of them may have its pages still, as the pages of both. */
	first = call(&moved, 1);
	second = call(&other, 1);
	report((first == 2 + SECRET || is_error(first)) && is_error(first) + is_error(second) > 0 &&
	       (second == 2 + other.secret || is_error(second)), "calls of merged PALs", "an error, or by its own");
	end(&moved);
	end(&other);
}

/* ---- Compacted ---- */

static uint64_t frame(const struct pal *pal, unsigned int number)
{
	return frame_of(getpid(), page(pal, number));
}

static void compacted_pages(void)
{
	uint64_t before[PAGES];
	unsigned int which = 0;
	uint64_t answer;

	report(start(&moved) && is_right(&moved, 1), "register and call", "success");
	for (unsigned int i = 0; i < PAGES; i++)
		before[i] = frame(&moved, i);
	report(set_file("/proc/sys/vm/compact_memory", "1"), "compact_memory", "done");
	for (unsigned int i = 0; i < PAGES; i++)
		which |= (unsigned int)(frame(&moved, i) != before[i]) << i;
	printf("compact_memory: pages 0x%x moved\n", which);
	answer = call(&moved, 1);
	report(shows_nothing(&moved) || answer == TV_NOT_IN_PAL, "what is there now", "INT3 and zeros");
	report(which & CODE ? answer == TRAPPED : which & STACK ? answer == TV_NOT_IN_PAL : answer == SECRET + 2,
	       "call after compaction", "by what moved");
	end(&moved);
}

int main(void)
{
	const struct sigaction action = { .sa_handler = on_signal };

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (tv_detect() == TV_NONE) {
		puts("pal-moved: no TrustVisor on this machine");
		return 2;
	}
	sigaction(SIGTRAP, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	tv_pal_is_there = 1; /* in the template, for every copy */
	move_pages();
	report(start(&other) && is_right(&other, 5), "another PAL", "success");
	move_under_calls();
	report(is_right(&other, 6) && end(&other) == TV_OK, "the other PAL, untouched", "right, and ended");
	merged_pages();
	compacted_pages();
	report(start(&moved) && is_right(&moved, 9) && end(&moved) == TV_OK, "afterwards", "a PAL as ever");
	printf("pal-moved: %s\n", failures ? "FAILED" : "ok");
	return failures != 0;
}
