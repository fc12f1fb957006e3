/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pal-owner: whose PAL it is. A process tries to take over functions of another one, by a page of the program's file
 * that both execute, and by memory that both may write; others call and unregister its PALs; PALs' pages are copied, as
 * by fork() and by an operating system that moves them; page tables change while a registration is made. Raw hypercalls
 * on pages that may be read, written and executed, as programs from before libtv use them. Exit code 0 only if every
 * line is as it should be, 2 without TrustVisor.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../libtv/tv.h"

#define PAGE 4096ul
#define AREA 0x10000000ul /* code, data, param and stack, at the same place in every process */
#define DATA ((volatile uint64_t *)(AREA + PAGE))
#define STACK (AREA + 3 * PAGE)
#define KEPT (16 * PAGE) /* from a page of the area to where it is kept when a copy takes its place */
#define SECRET 0x5ec7e700ull
#define ROUNDS 300

/* Adds a word of the page after it; without one it is not in its PAL. */
extern char pal_code[], pal_code_end[];
__asm__(".text\n"
	"pal_code: mov pal_code+4096(%rip), %rax; test %rax, %rax; jz 1f; add %rdi, %rax; ret\n"
	"1: mov $-1, %rax; ret\n"
	"pal_code_end:\n");

/* A function of the program, alone in its page: is this the password? The page is the file's, in every process. */
extern uint64_t victim(uint64_t word);
__asm__(".text\n.balign 4096\nvictim: xor %eax, %eax; cmp %rdi, password(%rip); sete %al; ret\n.balign 4096\n");
uint64_t password[PAGE / 8] __attribute__((aligned(4096), used)) = { 4711 };
static char own_pages[2 * PAGE] __attribute__((aligned(4096)));

static const struct tv_pal_params one_integer = { .num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } };
static uint64_t (*volatile call_area)(uint64_t) = (void *)AREA;
static uint64_t (*volatile call_victim)(uint64_t) = victim;
static uint32_t base;
static int failures;

static void report(bool ok, const char *what, const char *text)
{
	printf("%s: %s%s\n", what, text, ok ? "" : "  FAILED");
	failures += !ok;
}

/* ---- PALs ---- */

static uint32_t register_at(const void *code, const void *data, const void *param, const void *stack)
{
	const struct tv_pal_sections sections = { .num_sections = 4, .sections = {
		{ TV_SECTION_CODE, 1, (uintptr_t)code }, { TV_SECTION_DATA, 1, (uintptr_t)data },
		{ TV_SECTION_PARAM, 1, (uintptr_t)param }, { TV_SECTION_STACK, 1, (uintptr_t)stack } } };
	const struct tv_pal_params params = one_integer;

	return tv_hypercall(base, TV_CMD_REGISTER, (uintptr_t)&sections, 0, (uintptr_t)&params, (uintptr_t)code);
}

static uint32_t register_area(void)
{
	return register_at((void *)AREA, (void *)(AREA + PAGE), (void *)(AREA + 2 * PAGE), (void *)STACK);
}

static uint32_t unregister(const void *code)
{
	return tv_hypercall(base, TV_CMD_UNREGISTER, (uintptr_t)code, 0, 0, 0);
}

static void map(unsigned long at, size_t len_bytes, int fd, off_t offset)
{
	int flags = MAP_FIXED | MAP_POPULATE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);

	if (mmap((void *)at, len_bytes, PROT_READ | PROT_WRITE | PROT_EXEC, flags, fd, offset) != (void *)at) {
		perror("mmap");
		exit(1);
	}
}

/* The four pages, this process's own. */
static void fill_area(uint64_t secret)
{
	map(AREA, 4 * PAGE, -1, 0);
	memcpy((void *)AREA, pal_code, (size_t)(pal_code_end - pal_code));
	memset((void *)(AREA + PAGE), 0, 3 * PAGE);
	*DATA = secret;
}

/* ---- Two processes, in turns ---- */

static volatile uint32_t *turn; /* shared: steps done, by both */

static void wait_turn(uint32_t step)
{
	while (__atomic_load_n(turn, __ATOMIC_ACQUIRE) < step)
		sched_yield();
}

static void end_turn(void)
{
	__atomic_add_fetch(turn, 1, __ATOMIC_RELEASE);
}

/* In a child; it begins at once. */
static pid_t start(void (*act)(void))
{
	pid_t child;

	*turn = 0;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		failures = 0;
		act();
		fflush(stdout);
		_exit(failures);
	}
	return child;
}

static void join(pid_t child)
{
	int status = 0;

	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status))
		report(false, "other process", "");
}

/* ---- The program's file: everybody executes the same page ---- */

static void take_over_file(void)
{
	password[0] = 1; /* in this process's copy */
	memset(own_pages, 0, sizeof(own_pages));
	report(register_at(victim, password, own_pages, own_pages + PAGE) == TV_E_FAULT, "register the program's page",
	       "refused");
	end_turn();
	wait_turn(2);
}

static void attack_by_file(void)
{
	pid_t attacker;

	call_victim(1); /* its page is there */
	attacker = start(take_over_file);
	wait_turn(1);
	report(call_victim(1) == 0 && call_victim(4711) == 1, "victim's function", "its own answers");
	end_turn();
	join(attacker);
}

/* ---- Memory that both may write: only the code is at stake, the other pages are each one's own ---- */

static int shared;

static void fill_shared_area(uint64_t secret)
{
	fill_area(secret);
	map(AREA, PAGE, shared, 0);
}

static void take_over_shared(void)
{
	fill_shared_area(SECRET);
	report(register_area() == TV_OK && call_area(1) == SECRET + 1, "PAL in shared memory", "registered");
	end_turn();
	wait_turn(2);
	report(call_area(2) == SECRET + 2, "after a foreign unregister", "the PAL is there");
	end_turn();
	wait_turn(4);
	report(call_area(3) == TV_NOT_IN_PAL && *DATA == 0, "after a foreign call", "the PAL is gone, calls fail");
	report(unregister((void *)AREA) == TV_E_NO_PAL, "unregister", "no such PAL");
	end_turn();
}

static void attack_by_shared_memory(void)
{
	pid_t attacker;

	shared = memfd_create("code", 0);
	if (shared < 0 || ftruncate(shared, 2 * PAGE) ||
	    pwrite(shared, pal_code, (size_t)(pal_code_end - pal_code), 0) < 0 ||
	    pwrite(shared, pal_code, (size_t)(pal_code_end - pal_code), PAGE) < 0) {
		perror("memfd");
		exit(1);
	}
	fill_shared_area(7);
	attacker = start(take_over_shared);
	wait_turn(1);
	report(unregister((void *)AREA) == TV_E_NO_PAL, "unregister another process's PAL", "no such PAL");
	end_turn();
	wait_turn(3);
	report(call_area(1) == 8, "victim's function in shared memory", "its own answer");
	end_turn();
	wait_turn(5);
	join(attacker);
}

/* ---- Copies ---- */

static void call_in_copy(void)
{
	report(call_area(1) == SECRET + 1, "child's call", "by its parent's PAL, whose pages it still has");
	*(volatile char *)STACK = 1; /* copies the page, which reads as zeros */
	report(call_area(1) == TV_NOT_IN_PAL && *DATA == 0, "child's call with a stack of its own", "an error");
}

static void run_another(void)
{
	execl("/proc/self/exe", "pal-owner", "bystander", NULL);
}

static void copies_by_fork(void)
{
	fill_area(SECRET);
	report(register_area() == TV_OK, "register", "success");
	join(start(run_another));
	report(call_area(5) == SECRET + 5, "call after a child's exec", "the PAL's answer");
	join(start(call_in_copy));
	report(call_area(5) == TV_NOT_IN_PAL, "call after a child's copy", "an error");
	report(unregister((void *)AREA) == TV_E_NO_PAL, "unregister", "no such PAL");
}

static pid_t trapped;

static void call_and_trap(void)
{
	call_area(1);
}

static bool call_traps(void)
{
	int status = 0;

	trapped = start(call_and_trap);
	return waitpid(trapped, &status, 0) == trapped && WIFSIGNALED(status) && WTERMSIG(status) == SIGTRAP;
}

/* As an operating system moves a page (for that itself see pal-moved): maps a copy of what it sees in its place. */
static void move(unsigned long at)
{
	void *kept = (void *)(at + KEPT);

	if (mremap((void *)at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, kept) != kept)
		exit(1);
	map(at, PAGE, -1, 0);
	memcpy((void *)at, kept, PAGE);
}

static void copies_by_moving(void)
{
	fill_area(SECRET);
	report(register_area() == TV_OK, "register", "success");
	move(STACK);
	report(call_area(1) == TV_NOT_IN_PAL && *DATA == 0, "call after the stack moved", "an error");
	report(unregister((void *)AREA) == TV_E_NO_PAL, "unregister", "no such PAL");

	fill_area(SECRET);
	report(register_area() == TV_OK, "register", "success");
	move(AREA + PAGE);
	report(call_area(1) == SECRET + 1, "call after data moved", "the PAL has kept its own");
	move(AREA);
	report(call_traps(), "call after the code moved", "a trap");
}

/* ---- Registrations while another thread changes the page tables ---- */

static volatile uint32_t flipping; /* atomic */
static pthread_barrier_t round_begins, round_ends;

/* Two pages with the same code take turns at the entry point. */
static void *flip(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&round_begins);
		for (unsigned int n = 0; __atomic_load_n(&flipping, __ATOMIC_ACQUIRE); n ^= 1)
			map(AREA, PAGE, shared, n * PAGE);
		pthread_barrier_wait(&round_ends);
	}
	return unused;
}

/* Under one of the two pages the PAL is there, and works. */
static bool is_found(void)
{
	for (off_t offset = 0; offset <= (off_t)PAGE; offset += PAGE) {
		map(AREA, PAGE, shared, offset);
		if (call_area(1) != SECRET + 1 || *DATA != 0)
			continue;
		return unregister((void *)AREA) == TV_OK && *DATA == 0;
	}
	return false;
}

static void racing_registrations(void)
{
	uint32_t registered = 0, found = 0;
	pthread_t thread;

	fill_shared_area(SECRET);
	pthread_barrier_init(&round_begins, NULL, 2);
	pthread_barrier_init(&round_ends, NULL, 2);
	if (pthread_create(&thread, NULL, flip, NULL))
		exit(1);
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t result = TV_E_FAULT;

		*DATA = SECRET;
		*(volatile char *)(AREA + 2 * PAGE) = *(volatile char *)STACK = 0;
		__atomic_store_n(&flipping, 1, __ATOMIC_RELEASE);
		pthread_barrier_wait(&round_begins);
		/* The page is away for moments. */
		for (int tries = 0; tries < 100 && result == TV_E_FAULT; tries++)
			result = register_area();
		__atomic_store_n(&flipping, 0, __ATOMIC_RELEASE);
		pthread_barrier_wait(&round_ends);
		registered += result == TV_OK;
		found += result == TV_OK && is_found();
	}
	pthread_join(thread, NULL);
	printf("racing registrations: %u of %d, %u found again\n", registered, ROUNDS, found);
	report(registered > ROUNDS / 2 && found == registered, "racing registrations", "each called and unregistered");
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) /* what a child executes: the same program at the same addresses */
		return call_victim(4711) != 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (tv_detect() == TV_NONE) {
		puts("pal-owner: no TrustVisor on this machine");
		return 2;
	}
	base = tv_detect() == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0;
	turn = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (turn == MAP_FAILED)
		return 1;
	attack_by_file();
	attack_by_shared_memory();
	copies_by_fork();
	copies_by_moving();
	racing_registrations();
	printf("pal-owner: %s\n", failures ? "FAILED" : "ok");
	return failures != 0;
}
