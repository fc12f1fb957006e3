/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm-guest [-c VCPUS] [-s ROUNDS] [-k] [-q] [-m] [-d] [-x MACHINES]: the smallest hypervisor on /dev/kvm. It starts
 * the L2 kernel of this folder, prints what that reports, and plays the curious L1: it looks into and writes to memory
 * that L2 made a PAL. With -k the L2 kernel registers PALs, by list, and not its program; with -q nothing is measured.
 * With -m there are two such machines, in two processes, and L1 merges their memory (KSM, which needs root). With -d L1
 * moves pages of a PAL to another node, collapses them into a huge page, and swaps them out (root, two nodes, swap
 * space). With -x there are so many machines, one after the other, and each is killed while its PAL is registered,
 * rests or runs.
 *
 * Without TrustVisor below, L2 measures its exits and says that it skipped the rest. Exit code 0 if nothing went wrong.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../libtv/tv_hypercall.h"
#include "../pal/frames.h"
#include "l2.h"

#define PAGE 4096u
#define HUGE 0x200000ul
#define COLLAPSE 25 /* MADV_COLLAPSE, which Debian's C library does not know yet */
#define MAX_CPUID_ENTRIES 128
#define KVM_TSS_ADDRESS 0xfffbd000ul /* three pages that KVM wants somewhere outside the guest's memory */

extern const uint8_t l2_image[], l2_image_end[];

static int kvm, vm;
static uint8_t *memory;
static uint32_t vcpus = 1, rounds;
static bool by_list, is_quick, disturbs;

/* Of two machines; shared by their processes. The arrays have a place for each role. */
static enum l2_role role = L2_ALONE;
static struct meeting {
	pthread_barrier_t barrier;
	pid_t process[3];
	uint8_t *memory[3];
	bool merged;
} *meeting;

static void die(const char *what)
{
	fprintf(stderr, "kvm-guest: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int check(int result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

/* Of a machine that is killed: what it is at then, and where its PAL is; the latter shared with who kills it. */
static enum l2_last last;
static uint32_t *last_pal;

/* ---- Machine ---- */

static uint8_t *map_memory(size_t bytes, int sharing)
{
	void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);

	if (mapped == MAP_FAILED)
		die("memory");
	return mapped;
}

/* In memory of its own, unless there is some already. */
static void create_machine(void)
{
	struct kvm_userspace_memory_region region = { .memory_size = L2_MEMORY };

	kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	check(ioctl(vm, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS), "KVM_SET_TSS_ADDR");
	if (!memory)
		memory = (uint8_t *)(((uintptr_t)map_memory(L2_MEMORY + HUGE, MAP_PRIVATE) + HUGE - 1) & ~(HUGE - 1));
	/* There must be pages to collapse, or to merge. */
	madvise(memory, L2_MEMORY, disturbs || role != L2_ALONE ? MADV_NOHUGEPAGE : MADV_NORMAL);
	memset(memory, 0, L2_MEMORY);
	memcpy(memory + L2_LOAD, l2_image, (size_t)(l2_image_end - l2_image));
	region.userspace_addr = (uintptr_t)memory;
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void set_cpuid(int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		die("cpuid");
	cpuid->nent = MAX_CPUID_ENTRIES;
	check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
	check(ioctl(vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	free(cpuid);
}

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){ .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .db = 1,
				     .s = 1, .g = 1 };
}

/* The state that l2.h promises. */
static void set_start_state(int vcpu, uint32_t number)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = L2_LOAD, .rflags = 2, .rbx = number, .rsi = vcpus, .rdi = rounds };

	check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = flat(0x08, 11);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x10, 3);
	sregs.cr0 |= 1;
	check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* ---- Ports ---- */

/* A PAL's pages, code first: is there more to see than INT3 in the first one, zeros in the others? */
static bool pages_have_content(uint32_t address)
{
	if (address > L2_MEMORY - L2_LOOK_PAGES * PAGE)
		return true;
	for (uint32_t i = 0; i < L2_LOOK_PAGES * PAGE / sizeof(uint64_t); i++) {
		uint64_t word = ((volatile uint64_t *)(memory + address))[i];

		if (i < PAGE / sizeof(word) ? !tv_reads_as_code(word, i) : word != 0)
			return true;
	}
	return false;
}

static void print_line(uint32_t address)
{
	static const char *const names[] = { "", "victim: ", "attacker: " };

	if (address < L2_MEMORY && memchr(memory + address, 0, L2_MEMORY - address))
		printf("%s%s\n", names[role], (char *)memory + address);
}

/* ---- Two machines ---- */

#define ALIVE_SECONDS 120 /* a machine that is left alone ends */

static void meet(void)
{
	if (meeting)
		pthread_barrier_wait(&meeting->barrier);
}

static struct place place_in(enum l2_role machine, uint32_t offset)
{
	return (struct place){ meeting->process[machine], meeting->memory[machine] + offset };
}

/* The victim's process does it for both. */
static void merge_machines(uint32_t address, int max_tries)
{
	if (!meeting || address > L2_MEMORY - PAGE)
		return;
	madvise(memory + address, PAGE, MADV_MERGEABLE);
	meeting->process[role] = getpid();
	meeting->memory[role] = memory;
	meet();
	if (role == L2_VICTIM)
		meeting->merged = merge(place_in(L2_VICTIM, address), place_in(L2_ATTACKER, address), max_tries);
	meet();
}

/* The attacker in a child. Returns in both; the victim's process ends after it. */
static void start_two(void)
{
	pthread_barrierattr_t shared;

	meeting = (struct meeting *)(void *)map_memory(sizeof(*meeting), MAP_SHARED);
	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&meeting->barrier, &shared, 2);
	role = check(fork(), "fork") ? L2_VICTIM : L2_ATTACKER;
	alarm(ALIVE_SECONDS);
}

static void end_machine(bool failed)
{
	int status = 0;

	if (role == L2_VICTIM && (wait(&status) < 0 || status != 0))
		failed = true;
	printf("kvm-guest: %u vCPUs: %s\n", vcpus, failed ? "FAILED" : "ok");
	exit(failed);
}

/* ---- One machine, whose pages L1's Linux takes elsewhere ---- */

static void move_page(uint8_t *page)
{
	int node = 0, status = -1;
	void *at = page;

	syscall(SYS_move_pages, 0, 1ul, &at, NULL, &node, 0);
	node = node == 0;
	syscall(SYS_move_pages, 0, 1ul, &at, &node, &status, 2 /* MPOL_MF_MOVE */);
}

static bool disturb(uint32_t offset, uint32_t how)
{
	uint8_t *page = memory + offset, *huge = memory + (offset & ~(HUGE - 1));
	uint64_t before = frame_of(getpid(), page);

	/* A page that waits in another CPU's batch is let alone. */
	for (int tries = 0; tries < 40 && frame_of(getpid(), page) == before; tries++) {
		if (tries)
			usleep(50000);
		if (how == L2_MOVE) {
			move_page(page);
		} else if (how == L2_COLLAPSE) {
			madvise(huge, HUGE, MADV_HUGEPAGE);
			madvise(huge, HUGE, COLLAPSE);
			madvise(huge, HUGE, MADV_NOHUGEPAGE);
		} else {
			madvise(page, PAGE, MADV_PAGEOUT);
		}
	}
	return before && frame_of(getpid(), page) != before;
}

/* ---- All ports ---- */

/* Whether the last look saw content, and whether the page was taken elsewhere; for the IN that follows, of vCPU 0. */
static uint32_t look_answer, disturb_answer;

/* One 32-bit access; returns the answer of an IN. */
static uint32_t port_access(uint16_t port, uint32_t value, bool in)
{
	switch (port) {
	case L2_PORT_PRINT:
		print_line(value);
		break;
	case L2_PORT_LOOK:
		if (in)
			return look_answer;
		look_answer = pages_have_content(value);
		break;
	case L2_PORT_SPOIL:
		if (value <= L2_MEMORY - sizeof(uint64_t))
			*(volatile uint64_t *)(memory + value) = L2_SPOILED;
		break;
	case L2_PORT_ROLE:
		return role;
	case L2_PORT_WAY:
		return (by_list ? L2_WAY_LIST : 0) | (is_quick ? L2_WAY_QUICK : 0) | (disturbs ? L2_WAY_DISTURB : 0);
	case L2_PORT_DISTURB:
		if (in)
			return disturb_answer;
		if (disturbs && value < L2_MEMORY)
			disturb_answer = disturb(value & ~(PAGE - 1), value & (PAGE - 1));
		break;
	case L2_PORT_LAST:
		if (in)
			return last;
		if (last_pal)
			__atomic_store_n(last_pal, value, __ATOMIC_RELEASE);
		break;
	case L2_PORT_MEET:
		meet();
		break;
	case L2_PORT_MERGE:
		if (in)
			return meeting && meeting->merged;
		merge_machines(value & ~1u, value & 1 ? MERGE_A_WHILE : MERGE_TRIES);
		break;
	case L2_PORT_EXIT:
		end_machine(value != 0);
	}
	return 0;
}

static void run(int vcpu, struct kvm_run *state)
{
	for (;;) {
		uint32_t *data;

		if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
			die("KVM_RUN");
		data = (uint32_t *)((uint8_t *)state + state->io.data_offset);
		if (state->exit_reason == KVM_EXIT_IO && state->io.size == 4 && state->io.count == 1) {
			bool in = state->io.direction == KVM_EXIT_IO_IN;
			uint32_t answer = port_access(state->io.port, *data, in);

			if (in)
				*data = answer;
		} else if (state->exit_reason != KVM_EXIT_INTR) {
			struct kvm_regs regs = { .rip = 0 };

			ioctl(vcpu, KVM_GET_REGS, &regs);
			printf("kvm-guest: unexpected exit %u at RIP 0x%llx\n", state->exit_reason, regs.rip);
			exit(1);
		}
	}
}

static void *vcpu_thread(void *argument)
{
	uint32_t number = (uint32_t)(uintptr_t)argument;
	int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, number), "KVM_CREATE_VCPU");
	int size = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *state = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

	if (state == MAP_FAILED)
		die("vCPU state");
	set_cpuid(vcpu);
	set_start_state(vcpu, number);
	run(vcpu, state);
	return NULL;
}

static void run_machine(void)
{
	pthread_t thread;

	create_machine();
	for (uint32_t i = 1; i < vcpus; i++)
		if (pthread_create(&thread, NULL, vcpu_thread, (void *)(uintptr_t)i))
			die("thread");
	vcpu_thread(0);
}

/* ---- Machines that are killed ---- */

#define KILLED_AFTER_US 25000u /* about what a registration takes on a slow machine */
#define KILLED_SLACK_KIB 6144u /* one machine has 4 MiB */
#define KILLED_TRIES 40

/*
 * Its PAL is still closed, though there is nobody any more whose it is; a write ends it, and all is L1's again. One
 * that was being registered may not have been one yet, and one that ran was ended by its time, perhaps.
 */
static bool is_closed_till_written(uint32_t pal)
{
	volatile uint64_t *data = (void *)(memory + pal + PAGE);
	bool right = last == L2_REGISTERS || last == L2_IN_PAL || !pages_have_content(pal);

	data[1] = L2_SPOILED;
	for (uint32_t i = 0; i < PAGE / 8 && last != L2_REGISTERS; i++)
		right &= data[i] == (i == 1 ? L2_SPOILED : 0);
	memset(memory, 0x5a, L2_MEMORY);
	for (uint32_t i = 0; i < L2_MEMORY; i += 64)
		right &= memory[i] == 0x5a;
	return right;
}

/* A machine that is at its last act; false: it ended before. */
static bool start_and_kill(uint32_t after_us)
{
	int status = 0;
	pid_t child;

	*last_pal = 0;
	child = check(fork(), "fork");
	if (child == 0) {
		alarm(ALIVE_SECONDS);
		run_machine();
	}
	while (!__atomic_load_n(last_pal, __ATOMIC_ACQUIRE))
		if (waitpid(child, &status, WNOHANG) == 0)
			usleep(1000);
		else
			return false;
	usleep(after_us);
	kill(child, SIGKILL);
	return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* Each second four have memory that another process has, too, and so outlives them. */
static bool kill_machine(uint32_t number)
{
	bool outlived = number / (L2_LASTS - 1) % 2, killed, right = true;

	last = L2_REGISTERS + number % (L2_LASTS - 1);
	memory = outlived ? map_memory(L2_MEMORY, MAP_SHARED) : NULL;
	killed = start_and_kill(number * 7919 % KILLED_AFTER_US);
	if (outlived) {
		right = is_closed_till_written(*last_pal);
		munmap(memory, L2_MEMORY);
	}
	if (!killed || !right)
		printf("machine %u, last act %d: %s  FAILED\n", number, (int)last,
		       killed ? "its memory is not L1's as it should be" : "it ended by itself");
	return killed && right;
}

/* More machines than there may be PALs of L2: the last ones have room only if those of the dead are gone. */
static bool kill_machines(uint32_t count)
{
	unsigned long before = 0;
	uint32_t right = 0;
	int tries = 0;
	bool ok;

	last_pal = (uint32_t *)(void *)map_memory(PAGE, MAP_SHARED);
	for (uint32_t i = 0; i < count; i++) {
		right += kill_machine(i);
		if (i == 0)
			before = free_kib();
	}
	while (free_kib() + KILLED_SLACK_KIB < before && tries++ < KILLED_TRIES)
		usleep(50000);
	ok = right == count && tries < KILLED_TRIES;
	printf("kvm-guest: %u of %u killed machines as they should be; memory before %lu KiB, after %lu KiB: %s\n",
	       right, count, before, free_kib(), ok ? "ok" : "FAILED");
	return ok;
}

int main(int argc, char **argv)
{
	uint32_t killed = 0;
	int option;
	bool two = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((option = getopt(argc, argv, "c:s:kqmdx:")) != -1) {
		if (option == 'c')
			vcpus = (uint32_t)atoi(optarg);
		else if (option == 's')
			rounds = (uint32_t)atoi(optarg);
		else if (option == 'k')
			by_list = true;
		else if (option == 'q')
			is_quick = true;
		else if (option == 'd')
			disturbs = true;
		else if (option == 'm')
			two = true;
		else if (option == 'x')
			killed = (uint32_t)atoi(optarg);
		else
			return 1;
	}
	if (vcpus < 1 || vcpus > L2_MAX_VCPUS) {
		fprintf(stderr, "kvm-guest: 1 to %d vCPUs\n", L2_MAX_VCPUS);
		return 1;
	}
	if (killed)
		return !kill_machines(killed);
	if (two)
		start_two();
	run_machine();
	return 0;
}
