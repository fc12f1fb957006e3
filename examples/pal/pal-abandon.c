/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pal-abandon PROCESSES: one process after the other registers the example PAL, calls it, and ends without
 * unregistering it, every second one by a signal. The kernel uses the pages again, which ends the PALs: the machine
 * must go on, and there must be room for the next one. Exit code 0 only if every process had its PAL, 2 without
 * TrustVisor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pal.h"

#define SECRET 77
#define REUSE_BYTES (32ul << 20) /* of fresh memory in the end, which takes up pages that dead processes left */

TV_PAL_PAGES(1, 1);

static const struct tv_pal_params params = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } };

enum end { BY_EXIT, BY_SIGNAL };

static _Noreturn void abandon(enum end end)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = pal_add;
	struct tv_pal_sections sections;
	uint32_t result;

	tv_own_sections(&sections);
	pal_data.secret = SECRET;
	result = tv_register(&sections, &params, pal_add);
	if (result != TV_OK) {
		printf("pal-abandon: register: %s\n", tv_result_text(result));
		_exit(1);
	}
	if (add(1, 2) != SECRET + 3)
		_exit(1);
	if (end == BY_SIGNAL)
		abort();
	_exit(0);
}

static bool one_process(enum end end)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		abandon(end);
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	return end == BY_SIGNAL ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Whether fresh memory is zero, as the kernel promises: it was zeroed through the PALs' ends. */
static bool reuse_memory(void)
{
	unsigned char *memory = mmap(NULL, REUSE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool zero = memory != MAP_FAILED;

	for (size_t i = 0; zero && i < REUSE_BYTES; i += 4096) {
		memory[i + 1] = 1;
		zero = memory[i] == 0 && memory[i + 4095] == 0;
	}
	return zero;
}

int main(int argc, char **argv)
{
	int processes = argc > 1 ? atoi(argv[1]) : 100, right = 0;
	bool zero;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (tv_detect() == TV_NONE) {
		puts("pal-abandon: no TrustVisor on this machine");
		return 2;
	}
	for (int i = 0; i < processes; i++)
		right += one_process(i & 1 ? BY_SIGNAL : BY_EXIT);
	zero = reuse_memory();
	printf("pal-abandon: %d of %d processes had their PAL, fresh memory is %s: %s\n", right, processes,
	       zero ? "zero" : "NOT zero", right == processes && zero ? "ok" : "FAILED");
	return right != processes || !zero;
}
