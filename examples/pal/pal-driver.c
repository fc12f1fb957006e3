/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pal-driver: PALs by the driver, and what else reaches pages of a process: direct I/O, io_uring, pipes, virtual
 * machines, other processes, debuggers, fork, migration, huge pages, swapping, death, and hostile requests. Each attack
 * is also tried on ordinary memory, where it must succeed, or the test would show nothing. For root, on Debian's kernel
 * with the module trustvisor, and, but for the short form, brd and two nodes. `pal-driver short` leaves out what needs
 * those, and most of the deaths. Exit code 0 only if every line is as it should be, 2 without the driver.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../hypapps/trustvisor/include/trustvisor/tpm.h"
#include "../linux-driver/trustvisor_ioctl.h"
#include "frames.h"
#include "pal.h"

TV_PAL_PAGES(1, 1);

#define PAGE 4096ul
#define AREA 0x10000000ul /* code, data, param and stack */
#define DATA ((volatile uint64_t *)(AREA + PAGE))
#define SECRET 0x5ec7e700ull
#define NOBODY 65534
#define DISK "/dev/ram0"
#define SWAP "/dev/ram1"
#define COLLAPSE 25 /* MADV_COLLAPSE, which Debian's C library does not know yet */

/*
 * The first adds a word of the page after it; without one it is not in its PAL. The second, 64 bytes on, never ends
 * while that word is there. The third makes that hypercall for struct tv_tpm_info, and returns the first word of the
 * owner tag there. The fourth adds the word to what shared code, 16 pages on, makes of its parameter.
 */
extern char pal_code[], pal_code_end[];
__asm__(".text\n"
	"pal_code: mov pal_code+4096(%rip), %rax; test %rax, %rax; jz 1f; add %rdi, %rax; ret\n"
	"1: mov $-1, %rax; ret\n"
	".balign 64\n"
	"2: pause; cmpq $0, pal_code+4096(%rip); jne 2b; jmp 1b\n"
	".balign 64\n"
	"mov %edi, %eax; lea pal_code+4096+64(%rip), %rcx; vmcall; mov pal_code+4096+64+40(%rip), %rax; ret\n"
	".balign 64\n"
	"call pal_code+16*4096; add pal_code+4096(%rip), %rax; ret\n"
	"pal_code_end:\n");

static uint64_t (*volatile call_area)(uint64_t) = (void *)AREA;
static uint64_t call_at(unsigned long at, uint64_t number)
{
	uint64_t (*volatile function)(uint64_t) = (void *)at;

	return function(number);
}

static char *ordinary; /* a page of this process */
static int failures;
static bool is_short;
static volatile uint32_t *step; /* shared with children */

static void report(bool ok, const char *what, const char *text)
{
	printf("%s: %s%s\n", what, text, ok ? "" : "  FAILED");
	failures += !ok;
}

/* An attempt that must end in this error. */
static void refused(long result, int error, const char *what)
{
	int found = result < 0 ? errno : 0;

	printf("%s: %s%s\n", what, found ? strerror(found) : "accepted", found == error ? "" : "  FAILED");
	failures += found != error;
}

/*
 * True once the condition holds, asked for two seconds. For what the kernel does to ordinary memory when it can: a page
 * that waits in another CPU's batch is not moved, collapsed or swapped, and freed pages are counted late.
 */
#define IN_TIME(condition) \
	({ \
		int tries = 40; \
		while (!(condition) && tries) \
			tries -= usleep(50000) == 0; \
		tries > 0; \
	})

/* Runs it in a process of its own; true: it returned 0. */
static bool in_child(int (*act)(void))
{
	int status = 0;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		int result = act();

		fflush(stdout);
		_exit(result);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static sigjmp_buf after_fault;

static void on_fault(int number)
{
	siglongjmp(after_fault, number);
}

static bool call_faults(void)
{
	if (sigsetjmp(after_fault, 1) != 0)
		return true;
	call_area(1);
	return false;
}

static int lines_of_pals(const char *state)
{
	FILE *file = fopen("/sys/class/misc/trustvisor/pals", "r");
	char line[200];
	int lines = 0;

	while (file && fgets(line, sizeof(line), file))
		lines += strstr(line, state) != NULL;
	if (file)
		fclose(file);
	return file ? lines : -1;
}

/* ---- A PAL by the driver's own requests ---- */

static uint32_t stack_pages = 1;

static struct tv_ioc_create sections_at(unsigned long at)
{
	return (struct tv_ioc_create){ .size = sizeof(struct tv_ioc_create), .num_sections = 4, .sections = {
		{ TV_SECTION_CODE, 1, at }, { TV_SECTION_DATA, 1, at + PAGE },
		{ TV_SECTION_PARAM, 1, at + 2 * PAGE }, { TV_SECTION_STACK, stack_pages, at + 3 * PAGE } } };
}

#define ENTRIES 4

static struct tv_ioc_register one_entry(void)
{
	struct tv_ioc_register request = { .size = TV_IOC_REGISTER_SIZE_1, .entry_count = ENTRIES };

	for (uint32_t i = 0; i < ENTRIES; i++)
		request.entries[i] = (struct tv_list_entry){ .address = AREA + 64 * i, .params = {
			.num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } } };
	return request;
}

static int open_device(void)
{
	int file = open(TV_DEVICE, O_RDWR); /* no O_CLOEXEC: children shall have it */

	if (file < 0)
		perror(TV_DEVICE);
	return file;
}

static bool fill(int file)
{
	const uint64_t secret = SECRET;
	ssize_t len = pal_code_end - pal_code;

	return pwrite(file, pal_code, (size_t)len, 0) == len && pwrite(file, &secret, 8, PAGE) == 8;
}

/* Its result as that of a system call: 0, or -1 with errno. */
static long map_result(const void *mapped)
{
	return mapped == MAP_FAILED ? -1 : 0;
}

static void *map_page(int file, unsigned int page, unsigned long at, int rights)
{
	return mmap((void *)at, PAGE, rights, MAP_SHARED | MAP_FIXED_NOREPLACE, file, (off_t)(page * PAGE));
}

static bool map_all(int file)
{
	bool mapped = map_page(file, 0, AREA, PROT_READ | PROT_EXEC) != MAP_FAILED;

	for (unsigned int i = 1; i < 3; i++)
		mapped &= map_page(file, i, AREA + i * PAGE, PROT_READ | PROT_WRITE) != MAP_FAILED;
	return mapped && mmap((void *)(AREA + 3 * PAGE), stack_pages * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED_NOREPLACE, file, 3 * PAGE) != MAP_FAILED;
}

static bool start_pal(int file)
{
	struct tv_ioc_create sections = sections_at(AREA);
	struct tv_ioc_register request = one_entry();

	return file >= 0 && ioctl(file, TV_IOC_CREATE, &sections) == 0 && fill(file) && map_all(file) &&
	       ioctl(file, TV_IOC_REGISTER, &request) == TV_OK;
}

static void end_area(int file)
{
	close(file);
	for (unsigned int i = 0; i < 3; i++)
		munmap((void *)(AREA + i * PAGE), PAGE);
	munmap((void *)(AREA + 3 * PAGE), stack_pages * PAGE);
}

/* The PAL is there, and outside nothing is. */
static void still_there(const char *after)
{
	bool there = call_area(7) == SECRET + 7 && *DATA == 0;

	report(there, after, "the PAL is there, its secret is not seen");
}

/* ---- Attacks on a registered PAL ---- */

static void direct_io(void)
{
	int disk = open(DISK, O_RDWR | O_DIRECT);
	ssize_t done = pwrite(disk, ordinary, PAGE, 0);

	report(done == (ssize_t)PAGE, "O_DIRECT write of ordinary memory", "done");
	refused(pwrite(disk, (void *)DATA, PAGE, 0), EFAULT, "O_DIRECT write of a PAL's page");
	refused(pread(disk, (void *)DATA, PAGE, 0), EFAULT, "O_DIRECT read to a PAL's page");
	close(disk);
	still_there("direct I/O");
}

/* By the kernel's own copy: it may read what everybody reads. */
static void copied_io(void)
{
	uint64_t word = 1;
	int pipes[2];

	if (pipe(pipes) == 0)
		report(write(pipes[1], (void *)DATA, 8) == 8 && read(pipes[0], &word, 8) == 8 && word == 0,
		       "write of a PAL's page to a pipe", "zeros");
	close(pipes[0]);
	close(pipes[1]);
	still_there("copied I/O");
}

static void fixed_buffers(void)
{
	struct io_uring_params params = { 0 };
	struct iovec good = { ordinary, PAGE }, bad = { (void *)DATA, PAGE };
	int ring = (int)syscall(SYS_io_uring_setup, 2, &params);

	report(ring >= 0 && syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &good, 1) == 0,
	       "io_uring buffer in ordinary memory", "registered");
	syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	refused(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &bad, 1), EFAULT,
		"io_uring buffer in a PAL");
	close(ring);
	still_there("io_uring");
}

static void spliced(void)
{
	struct iovec good = { ordinary, PAGE }, bad = { (void *)DATA, PAGE };
	int pipes[2];

	if (pipe(pipes))
		return report(false, "pipe", "");
	report(vmsplice(pipes[1], &good, 1, 0) == (ssize_t)PAGE, "vmsplice of ordinary memory", "done");
	refused(vmsplice(pipes[1], &bad, 1, 0), EFAULT, "vmsplice of a PAL's page");
	close(pipes[0]);
	close(pipes[1]);
	still_there("vmsplice");
}

/* Real mode, in its second page: mov eax, [0]; hlt. */
static const uint8_t l2_reads[] = { 0x66, 0xa1, 0x00, 0x00, 0xf4 };

/* What a virtual machine reads whose first page is this one; KVM takes frames of PFN mappings, too. */
static bool read_by_vm(volatile void *page, uint64_t *word)
{
	struct kvm_userspace_memory_region regions[] = {
		{ .slot = 0, .guest_phys_addr = 0, .memory_size = PAGE, .userspace_addr = (uintptr_t)page },
		{ .slot = 1, .guest_phys_addr = PAGE, .memory_size = PAGE, .userspace_addr = (uintptr_t)ordinary } };
	struct kvm_regs regs = { .rip = PAGE, .rflags = 2 };
	struct kvm_sregs sregs;
	int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0), cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	bool ran;

	memcpy(ordinary, l2_reads, sizeof(l2_reads));
	ran = ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) == 0 &&
	      ioctl(vm, KVM_SET_USER_MEMORY_REGION, &regions[0]) == 0 &&
	      ioctl(vm, KVM_SET_USER_MEMORY_REGION, &regions[1]) == 0 && ioctl(cpu, KVM_GET_SREGS, &sregs) == 0;
	sregs.cs.base = sregs.cs.selector = 0;
	ran = ran && ioctl(cpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(cpu, KVM_SET_REGS, &regs) == 0 &&
	      ioctl(cpu, KVM_RUN, 0) == 0 && ioctl(cpu, KVM_GET_REGS, &regs) == 0 &&
	      regs.rip == PAGE + sizeof(l2_reads);
	*word = (uint32_t)regs.rax;
	close(cpu);
	close(vm);
	close(kvm);
	return ran;
}

static void virtual_machine(void)
{
	uint64_t *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), word = 0;

	*other = SECRET;
	report(read_by_vm(other, &word) && word == SECRET, "a machine with ordinary memory", "reads it");
	report(!read_by_vm(DATA, &word) || word == 0, "a machine with a PAL's page", "reads nothing");
	munmap(other, PAGE);
	still_there("virtual machine");
}

static int read_parent(void)
{
	uint64_t word = 0;
	struct iovec to = { &word, 8 }, good = { ordinary, 8 }, bad = { (void *)DATA, 8 };
	int before = failures;

	report(process_vm_readv(getppid(), &to, 1, &good, 1, 0) == 8, "process_vm_readv of ordinary memory", "done");
	refused(process_vm_readv(getppid(), &to, 1, &bad, 1, 0), EFAULT, "process_vm_readv of a PAL");
	refused(process_vm_writev(getppid(), &to, 1, &bad, 1, 0), EFAULT, "process_vm_writev of a PAL");
	return failures - before;
}

static int trace_parent(void)
{
	pid_t parent = getppid();
	char path[40];
	uint64_t word = 0;
	int before = failures, mem;

	if (ptrace(PTRACE_ATTACH, parent, NULL, NULL) || waitpid(parent, NULL, 0) != parent)
		return 1;
	errno = 0;
	ptrace(PTRACE_PEEKDATA, parent, ordinary, NULL);
	report(errno == 0, "ptrace of ordinary memory", "read");
	errno = 0;
	refused(ptrace(PTRACE_PEEKDATA, parent, (void *)DATA, NULL), EIO, "ptrace of a PAL, read");
	refused(ptrace(PTRACE_POKEDATA, parent, (void *)DATA, (void *)1), EIO, "ptrace of a PAL, write");
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)parent);
	mem = open(path, O_RDWR);
	report(pread(mem, &word, 8, (off_t)(uintptr_t)ordinary) == 8, "/proc/PID/mem of ordinary memory", "read");
	refused(pread(mem, &word, 8, (off_t)(uintptr_t)DATA), EIO, "/proc/PID/mem of a PAL");
	ptrace(PTRACE_DETACH, parent, NULL, NULL);
	return failures - before;
}

static void other_processes(void)
{
	report(in_child(read_parent), "another process that copies", "done");
	report(in_child(trace_parent), "another process that debugs", "done");
	still_there("other processes");
}

static int call_in_fork(void)
{
	return !call_faults();
}

static int execute(void)
{
	execl("/proc/self/exe", "pal-driver", "bystander", NULL);
	return 1;
}

static void forks(void)
{
	report(in_child(call_in_fork), "call by a forked child", "SIGSEGV");
	report(in_child(execute), "child that executes a program", "done");
	refused(madvise((void *)DATA, PAGE, MADV_DOFORK), EINVAL, "MADV_DOFORK");
	refused(madvise((void *)DATA, PAGE, MADV_DODUMP), EINVAL, "MADV_DODUMP");
	still_there("fork");
}

static int status_after_move(void *page)
{
	int node = 1, status = -1;

	syscall(SYS_move_pages, 0, 1ul, &page, &node, &status, 2 /* MPOL_MF_MOVE */);
	return status;
}

/* Whether KSM looks at the mapping that begins there: "mg" among its flags. */
static bool is_mergeable(const volatile void *start)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long from = 0;
	char line[300];
	bool marked = false;

	while (file && fgets(line, sizeof(line), file)) {
		if (strstr(line, "VmFlags:") && from == (uintptr_t)start)
			marked = strstr(line, " mg") != NULL;
		else if (strchr(line, '-'))
			from = strtoul(line, NULL, 16);
	}
	if (file)
		fclose(file);
	return marked;
}

static void merging(void)
{
	volatile char *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	report(madvise((void *)other, PAGE, MADV_MERGEABLE) == 0 && is_mergeable(other),
	       "MADV_MERGEABLE of ordinary memory", "marked");
	madvise((void *)DATA, PAGE, MADV_MERGEABLE); /* Linux 6.1 answers 0 */
	report(!is_mergeable(DATA), "MADV_MERGEABLE of a PAL", "without effect");
	munmap((void *)other, PAGE);
	still_there("merging");
}

static void moves(void)
{
	char *huge = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start = (char *)(((uintptr_t)huge + (2 << 20) - 1) & ~((2ul << 20) - 1));

	*(volatile char *)ordinary = 1;
	report(IN_TIME(status_after_move(ordinary) == 1), "move_pages of ordinary memory", "moved");
	report(status_after_move((void *)DATA) < 0, "move_pages of a PAL", "refused");
	madvise(start, 2 << 20, MADV_NOHUGEPAGE);
	memset(start, 1, 2 << 20);
	madvise(start, 2 << 20, MADV_HUGEPAGE);
	report(IN_TIME(madvise(start, 2 << 20, COLLAPSE) == 0), "MADV_COLLAPSE of ordinary memory", "done");
	refused(madvise((void *)AREA, 4 * PAGE, COLLAPSE), EINVAL, "MADV_COLLAPSE of a PAL");
	refused(madvise((void *)DATA, PAGE, MADV_DONTNEED), EINVAL, "MADV_DONTNEED");
	munmap(huge, 4 << 20);
	still_there("migration and huge pages");
}

/* ---- Swapping ---- */

/* The first page of a swap area (Linux, include/linux/swap.h, union swap_header). */
static bool make_swap(void)
{
	union {
		char bytes[PAGE];
		struct { char boot[1024]; uint32_t version, last_page, bad_pages; } info;
	} header = { 0 };
	int disk = open(SWAP, O_RDWR);
	off_t len = lseek(disk, 0, SEEK_END);
	bool made;

	header.info.version = 1;
	header.info.last_page = (uint32_t)(len / (off_t)PAGE) - 1;
	memcpy(&header.bytes[PAGE - 10], "SWAPSPACE2", 10);
	made = pwrite(disk, &header, PAGE, 0) == (ssize_t)PAGE && fsync(disk) == 0;
	close(disk);
	return made && swapon(SWAP, 0) == 0;
}

static bool is_swapped(const volatile void *at)
{
	uint64_t entry = 0;
	int file = open("/proc/self/pagemap", O_RDONLY);
	ssize_t len = pread(file, &entry, 8, (off_t)((uintptr_t)at / PAGE * 8));

	close(file);
	return len == 8 && entry >> 62 & 1;
}

#define LIMIT (4ul << 20)

/* More memory than the group may have: all that can be swapped is. */
static int under_pressure(void)
{
	volatile char *much = mmap(NULL, 2 * LIMIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = open_device(), swapped = 0;
	char text[20];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	if (!set_file("/sys/fs/cgroup/pal/cgroup.procs", text) || !start_pal(file))
		return 1;
	for (int round = 0; round < 2; round++)
		for (unsigned long at = 0; at < 2 * LIMIT; at += PAGE)
			much[at] = 1;
	for (unsigned long at = 0; at < 2 * LIMIT; at += PAGE)
		swapped += is_swapped(&much[at]);
	report(swapped > 100, "memory pressure", "ordinary pages are swapped out");
	still_there("memory pressure");
	return failures;
}

static void swapping(void)
{
	report(make_swap(), "swap area", "on");
	*(volatile char *)ordinary = 1;
	report(IN_TIME(madvise(ordinary, PAGE, MADV_PAGEOUT) == 0 && is_swapped(ordinary)),
	       "MADV_PAGEOUT of ordinary memory", "swapped out");
	refused(madvise((void *)DATA, PAGE, MADV_PAGEOUT), EINVAL, "MADV_PAGEOUT of a PAL");
	still_there("MADV_PAGEOUT");
}

static void pressure(void)
{
	mkdir("/sys/fs/cgroup/pal", 0755);
	report(mount("cgroup", "/sys/fs/cgroup", "cgroup2", 0, NULL) == 0 &&
	       set_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory") && mkdir("/sys/fs/cgroup/pal", 0755) == 0 &&
	       set_file("/sys/fs/cgroup/pal/memory.max", "4194304"), "memory control group", "made");
	report(in_child(under_pressure), "PAL under memory pressure", "done");
	swapoff(SWAP);
}

/* ---- Mappings and files ---- */

static int the_file; /* of the PAL that children go for */

static int close_it(void)
{
	return close(the_file);
}

static int use_it(void)
{
	struct tv_ioc_register request = one_entry();
	struct tv_ioc_status status = { .size = sizeof(status) };
	int before = failures;

	refused(ioctl(the_file, TV_IOC_STATUS, &status), EPERM, "STATUS by another process");
	refused(map_result(map_page(the_file, 1, AREA + 64 * PAGE, PROT_READ)), EPERM, "mmap by another process");
	refused(ioctl(the_file, TV_IOC_REGISTER, &request), EPERM, "REGISTER by another process");
	refused(ioctl(the_file, TV_IOC_UNREGISTER), EPERM, "UNREGISTER by another process");
	return failures - before;
}

static int close_at(void *file)
{
	return close((int)(uintptr_t)file);
}

static int left_open = -1;

/* A process that shares something else with this one than threads do closes a copy of the file. */
static void closed_by(int flags, int file, const char *who)
{
	static char stack[16 * PAGE] __attribute__((aligned(16)));
	int copy = dup(file), status = -1;
	pid_t child = clone(close_at, stack + sizeof(stack), flags | SIGCHLD, (void *)(uintptr_t)copy);

	report(child > 0 && waitpid(child, &status, 0) == child && status == 0, who, "has closed a copy of the file");
	still_there(who);
	if (!(flags & CLONE_FILES))
		left_open = copy; /* to close it here would end the PAL */
}

static void mappings(int file)
{
	the_file = file;
	report(in_child(use_it), "another process that has the file", "done");
	report(in_child(close_it), "close by another process", "done");
	still_there("another process's close");
	closed_by(CLONE_VM | CLONE_VFORK, file, "a child of vfork()");
	closed_by(CLONE_FILES, file, "a process with the same table of files");
	refused(map_result(map_page(file, 1, AREA + 64 * PAGE, PROT_READ)), EINVAL, "mmap at another address");
	refused(map_result(map_page(file, 1, AREA + PAGE, PROT_READ)), EEXIST, "mmap of what is mapped");
	refused(mprotect((void *)AREA, PAGE, PROT_READ | PROT_WRITE), EACCES, "mprotect: code writable");
	refused(mprotect((void *)DATA, PAGE, PROT_READ | PROT_EXEC), EACCES, "mprotect: data executable");
	refused(pwrite(file, "x", 1, PAGE), EBUSY, "write() to a registered PAL");
	still_there("mappings");
}

/* Whatever takes a mapping away ends the PAL, and what it knew is gone before. */
static void ends_by(const char *what, uint32_t why, void (*act)(int file))
{
	int file = open_device();
	struct tv_ioc_status status = { .size = sizeof(status) };

	report(start_pal(file) && call_area(1) == SECRET + 1, what, "before: the PAL is there");
	act(file);
	report(*DATA == 0 && call_area(1) == TV_NOT_IN_PAL, what, "after: its secret is gone");
	report(ioctl(file, TV_IOC_STATUS, &status) == -1 || (!status.present && status.why == why), what,
	       tv_why_text(why));
	end_area(file);
}

static void by_close(int file) { close(file); }
static void by_dup(int file) { close(dup(file)); }
static void *close_own_copy(void *file)
{
	return (void *)(uintptr_t)(unshare(CLONE_FILES) || close_at(file));
}

static void by_unshared_close(int file)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, close_own_copy, (void *)(uintptr_t)file) == 0)
		pthread_join(thread, NULL);
}

/*
 * Another thread is in a call that does not end by itself: who takes the mapping away waits for the end of that call,
 * which comes when the PAL has run for partition-time. Then the call fails, and the pages go back.
 */
static void *call_that_lasts(void *result)
{
	*step = 1;
	*(uint64_t *)result = call_at(AREA + 64, 1);
	return NULL;
}

static uint64_t ms_now(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void munmap_in_a_call(void)
{
	struct tv_ioc_create sections = sections_at(AREA);
	struct tv_ioc_register request = one_entry();
	int file = open_device();
	uint64_t result = 0, began;
	pthread_t thread;

	*step = 0;
	request.flags = TV_LIST_ERRORS;
	report(ioctl(file, TV_IOC_CREATE, &sections) == 0 && fill(file) && map_all(file) &&
	       ioctl(file, TV_IOC_REGISTER, &request) == TV_OK &&
	       pthread_create(&thread, NULL, call_that_lasts, &result) == 0, "munmap in a call: before", "a PAL");
	while (*step == 0)
		;
	usleep(2000);
	began = ms_now();
	munmap((void *)(AREA + 2 * PAGE), PAGE);
	began = ms_now() - began;
	pthread_join(thread, NULL);
	report(result == TV_CALL_FAILED && began < 5000, "munmap in a call", "the call has failed, in time");
	printf("munmap in a call: %lu ms\n", (unsigned long)began);
	end_area(file);
	report(lines_of_pals("registered") == 0, "munmap in a call: PALs that /sys shows", "none");
}

static void by_munmap(int file) { (void)file; munmap((void *)(AREA + 2 * PAGE), PAGE); }
static void by_second_mmap(int file)
{
	mmap((void *)(AREA + 2 * PAGE), PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 2 * PAGE);
}

static void by_unregister(int file) { ioctl(file, TV_IOC_UNREGISTER); }
static void by_write(int file) { (void)file; *(volatile char *)(AREA + 2 * PAGE) = 1; }
static void by_mremap(int file)
{
	void *to = (void *)(AREA + 64 * PAGE);

	(void)file;
	if (mremap((void *)(AREA + 2 * PAGE), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to)
		munmap(to, PAGE);
}

/* ---- Hostile requests ---- */

static void create_with(const char *what, int error, void (*spoil)(struct tv_ioc_create *))
{
	struct tv_ioc_create request = sections_at(AREA);
	int file = open_device();

	spoil(&request);
	refused(ioctl(file, TV_IOC_CREATE, &request), error, what);
	close(file);
}

static void bad_size(struct tv_ioc_create *r) { r->size++; }
static void size_zero(struct tv_ioc_create *r) { r->size = 0; }
static void size_huge(struct tv_ioc_create *r) { r->size = 0xffffffff; }
static void no_sections(struct tv_ioc_create *r) { r->num_sections = 0; }
static void many_sections(struct tv_ioc_create *r) { r->num_sections = TV_MAX_SECTIONS + 1; }
static void huge_sections(struct tv_ioc_create *r) { r->num_sections = 0xffffffff; }
static void no_pages(struct tv_ioc_create *r) { r->sections[1].page_num = 0; }
static void huge_pages(struct tv_ioc_create *r) { r->sections[1].page_num = 0xffffffff; }
static void many_pages(struct tv_ioc_create *r) { r->sections[1].page_num = TV_MAX_PAGES - 2; }
static void odd_address(struct tv_ioc_create *r) { r->sections[1].start_addr++; }
static void kernel_address(struct tv_ioc_create *r) { r->sections[1].start_addr = 0xffff888000000000; }
static void bad_type(struct tv_ioc_create *r) { r->sections[1].type = 6; }

static void register_with(const char *what, int error, int file, void (*spoil)(struct tv_ioc_register *))
{
	struct tv_ioc_register request = one_entry();
	int result;

	spoil(&request);
	result = ioctl(file, TV_IOC_REGISTER, &request);
	if (error)
		refused(result, error, what);
	else
		report(result == TV_E_INVALID, what, "refused by TrustVisor");
}

static void second_version(struct tv_ioc_register *r) { r->size = sizeof(*r); }
static void between_versions(struct tv_ioc_register *r) { r->size = sizeof(*r) - 4; }
static void future_version(struct tv_ioc_register *r) { r->size = sizeof(*r) + 4; }
static void huge_size(struct tv_ioc_register *r) { r->size = 0xffffffff; }
static void no_size(struct tv_ioc_register *r) { r->size = 0; }
static void bad_options(struct tv_ioc_register *r) { second_version(r), r->options.flags = 1u << 31; }
static void fpu_option(struct tv_ioc_register *r) { second_version(r), r->options.flags = TV_PAL_FPU; }
static void reserved_option(struct tv_ioc_register *r) { second_version(r), r->options.reserved = 1; }
static void as_it_is(struct tv_ioc_register *r) { (void)r; }
static void register_size(struct tv_ioc_register *r) { r->size--; }
static void no_entries(struct tv_ioc_register *r) { r->entry_count = 0; }
static void many_entries(struct tv_ioc_register *r) { r->entry_count = TV_MAX_ENTRIES + 1; }
static void huge_entries(struct tv_ioc_register *r) { r->entry_count = 0x80000001; }
static void bad_flags(struct tv_ioc_register *r) { r->flags = ~TV_LIST_FLAGS; }
static void bad_pad(struct tv_ioc_register *r) { r->pad = 1; }
static void huge_params(struct tv_ioc_register *r) { r->entries[0].params.num_params = 0xffffffff; }
static void entry_outside(struct tv_ioc_register *r) { r->entries[1].address = 0xffffffff81000000; }

/* The first version is not read past its end; and what lies past the end of memory is no second version. */
static void at_the_end_of_memory(int file)
{
	char *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct tv_ioc_register *request = (void *)(two + PAGE - TV_IOC_REGISTER_SIZE_1), whole = one_entry();

	munmap(two + PAGE, PAGE);
	memcpy(request, &whole, TV_IOC_REGISTER_SIZE_1);
	request->flags = ~TV_LIST_FLAGS;
	refused(ioctl(file, TV_IOC_REGISTER, request), EINVAL, "REGISTER, first version at the end of memory");
	request->size = sizeof(whole);
	refused(ioctl(file, TV_IOC_REGISTER, request), EFAULT, "REGISTER, second version at the end of memory");
	munmap(two, PAGE);
}

static void hostile_requests(void)
{
	struct tv_ioc_create sections = sections_at(AREA);
	char *last_page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = open_device();

	munmap(last_page + PAGE, PAGE);
	*(uint32_t *)(void *)(last_page + PAGE - sizeof(sections) + 4) = sizeof(sections);
	create_with("CREATE, size", EINVAL, bad_size);
	create_with("CREATE, size 0", EINVAL, size_zero);
	create_with("CREATE, 4 G of size", EINVAL, size_huge);
	create_with("CREATE, no sections", EINVAL, no_sections);
	create_with("CREATE, many sections", EINVAL, many_sections);
	create_with("CREATE, 4 G sections", EINVAL, huge_sections);
	create_with("CREATE, no pages", EINVAL, no_pages);
	create_with("CREATE, 4 G pages", EINVAL, huge_pages);
	create_with("CREATE, many pages", EINVAL, many_pages);
	create_with("CREATE, unaligned", EINVAL, odd_address);
	create_with("CREATE, in the kernel's half", EINVAL, kernel_address);
	create_with("CREATE, type", EINVAL, bad_type);
	refused(ioctl(file, TV_IOC_CREATE, NULL), EFAULT, "CREATE, no pointer");
	refused(ioctl(file, TV_IOC_CREATE, (void *)0xffff888000000000), EFAULT, "CREATE, the kernel's pointer");
	/* The page after it is not mapped. */
	refused(ioctl(file, TV_IOC_CREATE, last_page + PAGE - sizeof(sections) + 4), EFAULT, "CREATE, cut off");
	refused(ioctl(file, _IOW(TV_IOC_MAGIC, _IOC_NR(TV_IOC_CREATE), char[8])), ENOTTY, "CREATE, another length");
	refused(ioctl(file, TV_IOC_REGISTER, NULL), EFAULT, "REGISTER, no pointer");
	refused(ioctl(file, _IO(TV_IOC_MAGIC, 99)), ENOTTY, "an unknown request");
	register_with("REGISTER before CREATE", EINVAL, file, as_it_is);
	refused(pwrite(file, "x", 1, 0), EPERM, "write() before CREATE");
	report(ioctl(file, TV_IOC_CREATE, &sections) == 0 && fill(file), "CREATE", "done");
	refused(ioctl(file, TV_IOC_CREATE, &sections), EBUSY, "CREATE twice");
	refused(pwrite(file, "x", 1, 4 * PAGE), EINVAL, "write() past the end");
	refused(pwrite(file, "x", 1, 1l << 62), EINVAL, "write() far past the end");
	refused(map_result(mmap((void *)AREA, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0)), EINVAL,
		"mmap of several sections");
	refused(map_result(map_page(file, 1, AREA + PAGE, PROT_READ | PROT_EXEC)), EACCES, "mmap: data executable");
	register_with("REGISTER before mmap", EINVAL, file, as_it_is);
	report(map_all(file), "mmap", "done");
	register_with("REGISTER, size", EINVAL, file, register_size);
	register_with("REGISTER, no size", EINVAL, file, no_size);
	register_with("REGISTER, between two versions", EINVAL, file, between_versions);
	register_with("REGISTER, a later version", EINVAL, file, future_version);
	register_with("REGISTER, 4 GiB", EINVAL, file, huge_size);
	register_with("REGISTER, unknown options", 0, file, bad_options);
	register_with("REGISTER, FPU as an option", 0, file, fpu_option);
	register_with("REGISTER, reserved option", 0, file, reserved_option);
	at_the_end_of_memory(file);
	register_with("REGISTER, no entries", EINVAL, file, no_entries);
	register_with("REGISTER, many entries", EINVAL, file, many_entries);
	register_with("REGISTER, 2 G entries", EINVAL, file, huge_entries);
	register_with("REGISTER, flags", EINVAL, file, bad_flags);
	register_with("REGISTER, pad", EINVAL, file, bad_pad);
	register_with("REGISTER, 4 G parameters", 0, file, huge_params);
	register_with("REGISTER, an entry outside", 0, file, entry_outside);
	report(call_area(5) == SECRET + 5, "call of no PAL", "runs as ordinary code, on the driver's pages");
	end_area(file);
}

/* ---- Shared code ---- */

/* A function that this process and a PAL at that address both have: it doubles. */
static const uint8_t twice[] = { 0x48, 0x8d, 0x04, 0x3f, 0xc3 }; /* lea (%rdi,%rdi), %rax; ret */
static const uint8_t thrice[] = { 0x48, 0x8d, 0x04, 0x7f, 0xc3 };

static void *shared_page(unsigned long pal)
{
	void *at = mmap((void *)(pal + 16 * PAGE), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (at != MAP_FAILED)
		memcpy(at, twice, sizeof(twice));
	return at;
}

static void shared_code(void)
{
	struct tv_ioc_create sections = sections_at(AREA);
	struct tv_ioc_register request = one_entry();
	void *shared = shared_page(AREA);
	int file = open_device();

	sections.sections[sections.num_sections++] = (struct tv_pal_section){ TV_SECTION_SHARED_CODE, 1,
									      AREA + 16 * PAGE };
	report(ioctl(file, TV_IOC_CREATE, &sections) == 0 && fill(file) && map_all(file) &&
	       pwrite(file, twice, sizeof(twice), 4 * PAGE) == sizeof(twice), "shared code: CREATE", "done");
	refused(map_result(mmap(shared, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, file, 4 * PAGE)), EINVAL,
		"shared code: mmap");
	shared_page(AREA); /* if that took the page away */
	report(ioctl(file, TV_IOC_REGISTER, &request) == TV_OK, "shared code: REGISTER", "done");
	report(call_at(AREA + 192, 21) == SECRET + 42 && call_at(AREA + 16 * PAGE, 21) == 42, "shared code",
	       "the PAL calls it, and this process as well");
	memset(shared, 0xcc, sizeof(twice));
	report(call_at(AREA + 192, 4) == SECRET + 8, "shared code that is changed", "is as it was for the PAL");
	end_area(file);
	munmap(shared, PAGE);
}

/* ---- Owner tags ---- */

#define TAG 0x7a67616e6d000001ull

static uint64_t own_tag(unsigned long at)
{
	uint64_t (*volatile ask)(uint64_t) = (void *)(at + 128);

	return ask(TV_CMD_TPM_INFO + (tv_detect() == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0));
}

/* The tag that comes to a PAL is the one of its registration, by the driver's requests and by libtv. */
static void owner_tags(void)
{
	struct tv_pal_sections sections = { .num_sections = 4 };
	struct tv_ioc_register request = one_entry();
	struct tv_pal_options options = { .flags = TV_PAL_FIXED };
	const struct tv_ioc_create other = sections_at(AREA + 1024 * PAGE);
	char *at = mmap((void *)(AREA + 1024 * PAGE), 4 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	struct tv_list_entry *entry = &request.entries[2];
	void *shared = shared_page(AREA + 1024 * PAGE);
	int file = open_device();

	report(start_pal(file) && own_tag(AREA) == 0, "a PAL of the first version", "has no owner");
	request.size = sizeof(request);
	memcpy(request.options.owner_tag, &(uint64_t){ TAG }, 8);
	report(ioctl(file, TV_IOC_UNREGISTER) == 0 && fill(file) &&
	       ioctl(file, TV_IOC_REGISTER, &request) == TV_OK && own_tag(AREA) == TAG,
	       "a PAL of the second", "has its own");
	end_area(file);
	memcpy(at, pal_code, (size_t)(pal_code_end - pal_code));
	memcpy(sections.sections, other.sections, sizeof(sections.sections));
	memcpy(options.owner_tag, &(uint64_t){ TAG + 1 }, 8);
	sections.sections[sections.num_sections++] = (struct tv_pal_section){ TV_SECTION_SHARED_CODE, 1,
									      (uintptr_t)shared };
	entry[0].address = AREA + 1024 * PAGE + 128;
	entry[1].address = entry[0].address + 64;
	report(tv_register_options(&sections, entry, 2, 0, &options) == TV_OK &&
	       own_tag(AREA + 1024 * PAGE) == TAG + 1,
	       "libtv: owner tag", "the PAL has it");
	memset(shared, 0xcc, sizeof(twice));
	report(call_at(entry[1].address, 5) == 10, "libtv: shared code", "the PAL has it");
	tv_unregister(&sections, at);
	memcpy(shared, thrice, sizeof(thrice));
	report(tv_register_options(&sections, entry, 2, 0, &options) == TV_OK && call_at(entry[1].address, 5) == 15,
	       "libtv: shared code, registered again", "the PAL has what is there now");
	tv_unregister(&sections, at);
	options.flags = TV_PAL_FPU;
	report(tv_register_options(&sections, entry, 1, 0, &options) == TV_E_INVALID, "libtv: bad options", "refused");
}

/* ---- Users ---- */

static int as_nobody(void)
{
	if (setgid(NOBODY) || setuid(NOBODY))
		return 1;
	refused(open(TV_DEVICE, O_RDWR), EACCES, "open by a user");
	return failures;
}

static int use_up(void)
{
	struct tv_ioc_create sections = sections_at(AREA);
	int made = 0;

	if (setgid(NOBODY) || setuid(NOBODY))
		return 1;
	while (made < 100 && ioctl(open(TV_DEVICE, O_RDWR), TV_IOC_CREATE, &sections) == 0)
		made++;
	report(made == 16 && errno == EDQUOT, "a user's PALs", "16, then an error");
	return failures;
}

static void users(void)
{
	const struct tv_pal_params params = { .num_params = 1, .params = { { .type = TV_PARAM_INTEGER } } };
	struct tv_pal_sections sections = { .num_sections = 2, .sections = {
		{ TV_SECTION_CODE, 1, AREA }, { TV_SECTION_STACK, 1, AREA + PAGE } } };

	report(in_child(as_nobody), "a user without permission", "done");
	chmod(TV_DEVICE, 0666);
	report(in_child(use_up), "a user with permission", "done");
	chmod(TV_DEVICE, 0600);
	report(tv_hypercall(tv_detect() == TV_IN_L2 ? TV_L2_BASE_DEFAULT : 0, TV_CMD_REGISTER, (uintptr_t)&sections, 0,
			    (uintptr_t)&params, AREA) == TV_E_DENIED, "register by hypercall", "denied");
}

/* ---- Deaths ---- */

static int call_for_ever(void)
{
	if (!start_pal(open_device()))
		return 1;
	for (*step = 1;; *step += 1)
		if (call_area(*step) != SECRET + *step)
			return 2;
}

static int never_return(void)
{
	uint64_t (*volatile never)(uint64_t) = (void *)(AREA + 64);

	if (!start_pal(open_device()))
		return 1;
	signal(SIGSEGV, SIG_DFL);
	*step = 1;
	never(1);
	return 2;
}

/* Kills it with SIGKILL, so many microseconds after its first call. It ended by a signal, not by itself. */
static bool killed(int (*act)(void), unsigned int us)
{
	int status = 0;
	pid_t child;

	*step = 0;
	child = fork();
	if (child == 0)
		_exit(act());
	while (*step == 0 && waitpid(child, &status, WNOHANG) == 0)
		usleep(100);
	usleep(us);
	kill(child, SIGKILL);
	if (*step)
		waitpid(child, &status, 0);
	return *step && WIFSIGNALED(status);
}

static void deaths(void)
{
	unsigned long before;
	unsigned int right = 0, rounds = is_short ? 10 : 40;

	stack_pages = 61; /* of 64 in all */
	killed(call_for_ever, 0);
	before = free_kib();
	for (unsigned int i = 0; i < rounds; i++)
		right += killed(call_for_ever, i * 37 % 500);
	report(right == rounds, "kill -9 between and in calls", "each process is gone");
	report(killed(never_return, 10000), "kill -9 in a call that does not end", "the process is gone");
	/* 41 PALs have had 10 MiB. */
	printf("memory before %lu KiB, after %lu KiB\n", before, free_kib());
	report(IN_TIME(free_kib() + 3000 > before), "after that", "their pages are back");
	stack_pages = 1;
}

static void largest(void)
{
	int file = open_device();

	stack_pages = TV_MAX_PAGES - 3;
	report(start_pal(file) && call_area(7) == SECRET + 7 && *DATA == 0, "a PAL of 256 pages", "the PAL is there");
	report(ioctl(file, TV_IOC_UNREGISTER) == 0 && *DATA == 0, "a PAL of 256 pages", "its secret is gone");
	end_area(file);
	stack_pages = 1;
}

static bool file_says(const char *path, bool (*right)(unsigned long))
{
	unsigned long number = 0;
	FILE *file = fopen(path, "r");
	bool read = file && fscanf(file, "%lu", &number) == 1;

	if (file)
		fclose(file);
	return read && right(number);
}

static bool positive(unsigned long number) { return number > 0; }

/* More lines than a page holds. */
static void many_are_shown(void)
{
	enum { MANY = 120 };
	struct tv_ioc_create sections = sections_at(AREA);
	int files[MANY], before = lines_of_pals("pages");

	for (int i = 0; i < MANY; i++) {
		files[i] = open_device();
		if (ioctl(files[i], TV_IOC_CREATE, &sections))
			report(false, "CREATE of many", "done");
	}
	report(lines_of_pals(" pages ") == before + MANY, "PALs that /sys shows of many", "all");
	for (int i = 0; i < MANY; i++)
		close(files[i]);
}

static void shown(void)
{
	many_are_shown();
	report(lines_of_pals("registered") == 0 && lines_of_pals("pages") == 2, "PALs that /sys shows at the end",
	       "none, and the pages that libtv keeps");
	report(file_says("/sys/class/misc/trustvisor/calls", positive), "calls that it shows", "some");
	report(file_says("/sys/class/misc/trustvisor/faults", positive), "faults that it shows", "some");
}

/* ---- libtv ---- */

static const struct tv_list_entry entries[] = {
	{ .params = { .num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } } },
	{ .params = { .num_params = 2, .params = { { .type = TV_PARAM_INTEGER },
						   { .type = TV_PARAM_POINTER, .size = PAL_BUFFER_WORDS } } } },
	{ .params = { .num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } } },
};

static bool register_library(const struct tv_pal_sections *sections)
{
	struct tv_list_entry own[3] = { entries[0], entries[1], entries[2] };

	own[0].address = (uintptr_t)pal_add;
	own[1].address = (uintptr_t)pal_crypt;
	own[2].address = (uintptr_t)pal_misuse;
	pal_data.secret = SECRET;
	pal_data.calls = 0;
	return tv_register_entries(sections, own, 3, TV_LIST_ERRORS) == TV_OK;
}

static void fails_by(const struct tv_pal_sections *sections, uint64_t how, uint32_t why, const char *what)
{
	uint64_t (*volatile misuse)(uint64_t, uint64_t) = pal_misuse;
	struct tv_status status = { 0 };
	uint64_t start = sections->sections[0].start_addr, len = sections->sections[0].page_num * PAGE;
	bool right;

	report(register_library(sections), what, "registered");
	right = misuse(how, 0) == TV_CALL_FAILED && tv_status(sections, &status) && status.why == why &&
		!status.present;
	report(right, what, tv_why_text(status.why));
	report(why != TV_WHY_FAULT || (status.vector != 0 && status.rip - start < len), what, "status tells where");
	report(tv_unregister(sections, pal_misuse) == TV_E_NO_PAL, what, "it is gone");
}

/* ---- One PAL, two CPUs ---- */

#define CALLS 300

/* The PAL counts without a lock: if two ran in it at once, counts would get lost. */
static void *call_from(void *cpu)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = pal_add;
	uint64_t right = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(uintptr_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return NULL;
	for (uint64_t i = 0; i < CALLS; i++)
		right += add(i, 1) == i + 1 + SECRET;
	return (void *)(uintptr_t)right;
}

static void two_cpus(const struct tv_pal_sections *sections)
{
	uint64_t (*volatile crypt)(uint64_t, uint64_t *) = pal_crypt;
	uint64_t words[PAL_BUFFER_WORDS] = { 0 };
	void *one = NULL, *other;
	pthread_t thread;

	report(register_library(sections), "two CPUs: register", "done");
	if (pthread_create(&thread, NULL, call_from, (void *)1))
		return report(false, "two CPUs: thread", "");
	other = call_from((void *)0);
	pthread_join(thread, &one);
	report((uintptr_t)one == CALLS && (uintptr_t)other == CALLS, "two CPUs: calls of one PAL", "all are right");
	report(crypt(0, words) == 2 * CALLS + 1, "two CPUs: its own count", "none was lost");
	report(tv_unregister(sections, pal_add) == TV_OK, "two CPUs: unregister", "done");
}

static void library(void)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = pal_add, (*volatile crypt)(uint64_t, uint64_t *) = pal_crypt;
	uint64_t words[PAL_BUFFER_WORDS] = { 1 };
	struct tv_pal_sections sections;
	struct tv_status status = { 0 };
	const struct tv_list_entry again = { .address = (uintptr_t)pal_add };

	tv_own_sections(&sections);
	report(register_library(&sections), "libtv: register", "three entry points");
	report(add(1, 2) == SECRET + 3 && crypt(5, words) == 2 && words[0] != 1 && add(1, 1) == SECRET + 2 &&
	       crypt(5, words) == 4 && words[0] == 1, "libtv: calls", "one state for all");
	report(tv_status(&sections, &status) && status.present && status.calls == 4, "libtv: status", "four calls");
	report(tv_register_entries(&sections, &again, 1, 0) == TV_E_OWNED && add(1, 2) == SECRET + 3,
	       "libtv: registered twice", "refused, and the PAL goes on");
	report(lines_of_pals("registered") == 1, "libtv: PALs that /sys shows", "one");
	report(pal_data.secret == 0, "libtv: data from outside", "zeros");
	report(tv_unregister(&sections, pal_add) == TV_OK && pal_data.secret == 0, "libtv: unregister", "data is gone");
	report(add(1, 2) == TV_NOT_IN_PAL, "libtv: call of no PAL", "an error");
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		two_cpus(&sections);
	fails_by(&sections, PAL_HALT, TV_WHY_FAULT, "libtv: HLT");
	fails_by(&sections, PAL_FPU, TV_WHY_FAULT, "libtv: FPU instruction");
	fails_by(&sections, PAL_LOOP, TV_WHY_TIME, "libtv: endless loop");
}

int main(int argc, char **argv)
{
	const struct sigaction action = { .sa_handler = on_fault };
	int file;

	is_short = argc > 1 && !strcmp(argv[1], "short");
	if (argc > 1 && !is_short) /* what a child executes */
		return 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGSEGV, &action, NULL);
	ordinary = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	step = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	file = open_device();
	if (file < 0 || tv_detect() == TV_NONE)
		return 2;
	hostile_requests();
	owner_tags();
	shared_code();
	users();
	report(start_pal(file) && call_area(1) == SECRET + 1, "register", "the PAL is there");
	if (!is_short)
		direct_io();
	copied_io();
	fixed_buffers();
	spliced();
	if (access("/dev/kvm", F_OK) == 0)
		virtual_machine();
	other_processes();
	forks();
	if (!is_short) {
		moves();
		merging();
		swapping();
	}
	mappings(file);
	end_area(file);
	close(left_open);
	if (!is_short)
		pressure();
	ends_by("close", TV_WHY_NONE, by_close);
	ends_by("close of a copy", TV_WHY_NONE, by_dup);
	ends_by("close by a thread with a table of files of its own", TV_WHY_NONE, by_unshared_close);
	ends_by("munmap", TV_WHY_NONE, by_munmap);
	ends_by("mremap", TV_WHY_NONE, by_mremap);
	ends_by("a second mmap", TV_WHY_NONE, by_second_mmap);
	ends_by("UNREGISTER", TV_WHY_NONE, by_unregister);
	ends_by("write from outside", TV_WHY_WRITTEN, by_write);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		munmap_in_a_call();
	if (!is_short)
		largest();
	deaths();
	library();
	end_area(-1);
	shown();
	printf("pal-driver: %s\n", failures ? "FAILED" : "ok");
	return failures != 0;
}
