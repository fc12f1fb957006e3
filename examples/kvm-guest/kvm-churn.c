/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm-churn: an L2 whose memory L1 keeps changing. Its two vCPUs walk over their pages, read one half and write to the
 * other, while the program gives pages back, forks, replaces pages and changes their protection: each time KVM has to
 * make L2's translations invalid. A round is these four changes, after each of which every vCPU finishes a walk that it
 * began after the change; where there are several CPUs they walk during the change, too. Prints what a round takes:
 * "B churn CPUs ticks".
 *
 * Exit code 0 if KVM_RUN never failed and L2's stores after each change are in the pages that the program has now.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE 4096u
#define VCPUS 2
#define CODE 0x1000u
#define MAILBOXES 0x2000u  /* a page for each vCPU: which walk is asked for, which one was answered */
#define READ_HALF 0x100000u
#define WRITE_HALF 0x200000u
#define MEMORY 0x300000u
#define AT ((void *)0x20000000ul) /* not where a random number puts it: what KVM drops depends on that */
#define CHANGED (16 * PAGE) /* by one operation */
#define ROUNDS 30          /* unless the variable `rounds` says otherwise */
#define WALKED 0x80        /* L2 stores to this port when it has done the walk that it was asked for */
#define KVM_TSS_ADDRESS 0xfffbd000ul

/* EBX: this vCPU's mailbox. 32-bit protected mode, flat, no paging. */
asm(".section .rodata\nl2_code: .code32\n"
    "1: movl (%ebx), %edx; movl $0x100000, %esi\n"
    "2: movl (%esi), %eax; addl $4096, %esi; cmpl $0x200000, %esi; jb 2b\n"
    "3: incl (%esi); addl $4096, %esi; cmpl $0x300000, %esi; jb 3b\n"
    "cmpl %edx, 4(%ebx); je 1b; movl %edx, 4(%ebx); outb %al, $0x80; jmp 1b\n"
    "l2_code_end: .code64\n.text\n");
extern const uint8_t l2_code[], l2_code_end[];

static int kvm, vm;
static uint8_t *memory;
static atomic_bool failed;
static sem_t walked, go_on[VCPUS];

static void die(const char *what)
{
	fprintf(stderr, "kvm-churn: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int check(int result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

/* ---- L2 ---- */

static void create_machine(void)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };

	kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	check(ioctl(vm, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS), "KVM_SET_TSS_ADDR");
	memory = mmap(AT, MEMORY, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED_NOREPLACE, -1, 0);
	if (memory == MAP_FAILED)
		die("memory");
	memcpy(memory + CODE, l2_code, (size_t)(l2_code_end - l2_code));
	region.userspace_addr = (uintptr_t)memory;
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void fail(const char *what, const char *why, uint32_t number)
{
	fprintf(stderr, "kvm-churn: %s: %s %u\n", what, why, number);
	failed = true;
}

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){ .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .db = 1,
				     .s = 1, .g = 1 };
}

/* At first, and until all have walked: where they share a CPU, nobody's turn is waited for. */
static void rest(uint32_t number)
{
	while (sem_wait(&go_on[number]) < 0)
		;
}

static void *vcpu_thread(void *argument)
{
	uint32_t number = (uint32_t)(uintptr_t)argument;
	int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, number), "KVM_CREATE_VCPU");
	/* Interrupts are on: with a guest's off the emulator does not exit for those of its host. */
	struct kvm_regs regs = { .rip = CODE, .rflags = 0x202, .rbx = MAILBOXES + number * PAGE };
	struct kvm_sregs sregs;
	const struct kvm_run *run;

	check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = flat(0x08, 11);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x10, 3);
	sregs.cr0 |= 1;
	check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	run = mmap(NULL, (size_t)check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE"),
		   PROT_READ, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		die("mmap of a vCPU");
	rest(number);
	while (!failed) {
		if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
			fail("KVM_RUN", strerror(errno), 0);
		else if (run->exit_reason == KVM_EXIT_IO && run->io.port == WALKED)
			sem_post(&walked), rest(number);
		else if (run->exit_reason != KVM_EXIT_INTR)
			fail("L2 exits", "reason", run->exit_reason);
	}
	sem_post(&walked);
	return NULL;
}

/* ---- L1 ---- */

static void give_back(uint8_t *at) { check(madvise(at, CHANGED, MADV_DONTNEED), "MADV_DONTNEED"); }

static void replace(uint8_t *at)
{
	if (mmap(at, CHANGED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
}

/* A fork copies no more than another operation changes. */
static void fork_once(uint8_t *at)
{
	check(madvise(memory, MEMORY, MADV_DONTFORK), "MADV_DONTFORK");
	check(madvise(at, CHANGED, MADV_DOFORK), "MADV_DOFORK");
	pid_t child = check(fork(), "fork");

	if (!child)
		_exit(0);
	check(waitpid(child, NULL, 0), "waitpid");
}

/* Of the half that L2 only reads. */
static void protect(uint8_t *at)
{
	at -= WRITE_HALF - READ_HALF;
	check(mprotect(at, CHANGED, PROT_READ), "mprotect");
	check(mprotect(at, CHANGED, PROT_READ | PROT_WRITE), "mprotect");
}

/* Returns when all vCPUs have walked over all pages as they are now. */
static void let_walk(void)
{
	static uint32_t walk;

	walk++;
	for (uint32_t i = 0; i < VCPUS; i++)
		*(volatile uint32_t *)(memory + MAILBOXES + i * PAGE) = walk;
	for (uint32_t i = 0; i < VCPUS && !failed; i++)
		sem_wait(&walked);
}

static void set_going(void)
{
	for (uint32_t i = 0; i < VCPUS; i++)
		sem_post(&go_on[i]);
}

/* In a page that L1 has given back or replaced a store of L2's shows. */
static void check_stores(const uint8_t *at)
{
	for (uint32_t i = 0; i < CHANGED; i += PAGE)
		if (!*(const volatile uint32_t *)(at + i))
			fail("no store of L2's", "in page", i / PAGE);
}

static void do_round(uint32_t round)
{
	static void (*const changes[])(uint8_t *) = { give_back, fork_once, replace, protect };
	uint8_t *at = memory + MEMORY - (1 + round % 8) * CHANGED;
	/* On one CPU a vCPU that is about to fault, and holds a lock, would be waited for at random. */
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (uint32_t i = 0; i < sizeof(changes) / sizeof(*changes) && !failed; i++) {
		if (cpus > 1)
			set_going();
		changes[i](at);
		if (cpus == 1)
			set_going();
		let_walk();
		check_stores(at);
	}
}

static void churn(void)
{
	const struct sched_param first = { .sched_priority = 1 };
	const char *wanted = getenv("rounds");
	uint32_t rounds = wanted ? (uint32_t)atoi(wanted) : ROUNDS;
	uint64_t start;

	/* Before L2's threads, or what a round takes would depend on the order in which they come to run. */
	check(sched_setscheduler(0, SCHED_FIFO, &first), "SCHED_FIFO");
	do_round(0);
	start = __rdtsc();
	for (uint32_t round = 1; round <= rounds; round++)
		do_round(round);
	printf("B churn %ld %llu\n", sysconf(_SC_NPROCESSORS_ONLN), (__rdtsc() - start) / rounds);
	printf("kvm-churn: %u rounds: %s\n", rounds, failed ? "FAILED" : "ok");
}

int main(void)
{
	pthread_t thread;

	create_machine();
	for (uint32_t i = 0; i < VCPUS; i++)
		if (pthread_create(&thread, NULL, vcpu_thread, (void *)(uintptr_t)i))
			die("thread");
	churn();
	return failed;
}
