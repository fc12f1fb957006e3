/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm-churn [-c VCPUS]: an L2 whose memory L1 keeps changing. L2 walks over its pages, reads one half and writes to the
 * other, while the program gives pages back, replaces them, forks and changes their protection: each time KVM has to
 * make L2's translations invalid. Prints how long a walk of 512 pages takes meanwhile: "B churn CPUs ticks".
 *
 * Exit code 0 if KVM_RUN never failed and L2 got on after each change.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE 4096u
#define MAX_VCPUS 2
#define CODE 0x1000u
#define COUNTERS 0x2000u   /* a page for each vCPU */
#define READ_HALF 0x100000u
#define WRITE_HALF 0x200000u
#define MEMORY 0x300000u
#define CHANGED (16 * PAGE) /* by one operation */
#define WINDOW 100000000ull /* ticks */
#define KVM_TSS_ADDRESS 0xfffbd000ul

/* EBX: this vCPU's counter. 32-bit protected mode, flat, no paging. */
asm(".section .rodata\nl2_code: .code32\n"
    "1: movl $0x100000, %esi\n"
    "2: movl (%esi), %eax; addl $4096, %esi; cmpl $0x200000, %esi; jb 2b\n"
    "3: incl (%esi); addl $4096, %esi; cmpl $0x300000, %esi; jb 3b\n"
    "incl (%ebx); jmp 1b\n"
    "l2_code_end: .code64\n.text\n");
extern const uint8_t l2_code[], l2_code_end[];

static int kvm, vm;
static uint8_t *memory;
static atomic_bool failed;

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
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		die("memory");
	memcpy(memory + CODE, l2_code, (size_t)(l2_code_end - l2_code));
	region.userspace_addr = (uintptr_t)memory;
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	/* A fork copies no more than another operation changes. */
	check(madvise(memory, MEMORY - CHANGED, MADV_DONTFORK), "MADV_DONTFORK");
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

static void *vcpu_thread(void *argument)
{
	uint32_t number = (uint32_t)(uintptr_t)argument;
	int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, number), "KVM_CREATE_VCPU");
	/* Interrupts are on: with a guest's off the emulator does not exit for those of its host. */
	struct kvm_regs regs = { .rip = CODE, .rflags = 0x202, .rbx = COUNTERS + number * PAGE };
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
	while (!failed) {
		if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
			fail("KVM_RUN", strerror(errno), 0);
		else if (run->exit_reason != KVM_EXIT_INTR)
			fail("L2 exits", "reason", run->exit_reason);
	}
	return NULL;
}

/* ---- L1 ---- */

static void give_back(uint8_t *at) { check(madvise(at, CHANGED, MADV_DONTNEED), "MADV_DONTNEED"); }

static void replace(uint8_t *at)
{
	if (mmap(at, CHANGED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("mmap");
}

static void fork_once(uint8_t *at)
{
	pid_t child = check(fork(), "fork");

	(void)at;
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

static uint32_t walks(uint32_t vcpus)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < vcpus; i++)
		sum += *(volatile uint32_t *)(memory + COUNTERS + i * PAGE);
	return sum;
}

static void churn(uint32_t vcpus)
{
	static void (*const operations[])(uint8_t *) = { give_back, fork_once, replace, protect };
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint32_t before, done, changes = 0;
	uint64_t start;

	while (walks(vcpus) < vcpus * 4 && !failed)
		nanosleep(&pause, NULL);
	start = __rdtsc();
	before = walks(vcpus);
	for (; __rdtsc() - start < WINDOW && !failed; changes++) {
		/* The last pages are those that a fork copies. */
		operations[changes % 4](memory + MEMORY - (1 + changes / 4 % 8) * CHANGED);
		nanosleep(&pause, NULL);
	}
	done = walks(vcpus) - before;
	failed = failed || !done;
	if (done)
		printf("B churn %ld %llu\n", sysconf(_SC_NPROCESSORS_ONLN), (__rdtsc() - start) / done);
	printf("kvm-churn: %u changes: %s\n", changes, failed ? "FAILED" : "ok");
}

int main(int argc, char **argv)
{
	uint32_t vcpus = 1;
	pthread_t thread;

	if (argc == 3 && !strcmp(argv[1], "-c"))
		vcpus = (uint32_t)atoi(argv[2]);
	if (argc == 2 || argc > 3 || vcpus < 1 || vcpus > MAX_VCPUS) {
		fprintf(stderr, "usage: kvm-churn [-c VCPUS], 1 to %d\n", MAX_VCPUS);
		return 1;
	}
	create_machine();
	for (uint32_t i = 0; i < vcpus; i++)
		if (pthread_create(&thread, NULL, vcpu_thread, (void *)(uintptr_t)i))
			die("thread");
	churn(vcpus);
	return failed;
}
