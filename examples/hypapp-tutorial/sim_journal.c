/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal on the simulator: a full journal, from both levels, and two CPUs that find it full at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

enum { APPEND = 0x301, READ, FULL = 64, NOTE_BYTES = 56, HLT = 12 };

extern const struct hypapp_descriptor hypapp_journal;
static const struct hypapp_descriptor *const hypapps[] = { &hypapp_journal, NULL };

/* Guest code. The text is the first `len_bytes` at an address of the level that runs. */
static int append(gva_t text, size_t len_bytes)
{
	sim_set(HYPAPI_REG_RBX, text.addr);
	sim_set(HYPAPI_REG_RCX, len_bytes);
	sim_assert(sim_hypercall(APPEND) == 0);
	return (int)sim_get(HYPAPI_REG_RAX);
}

/* Guest code. How many notes there are; what the newest says is at `buffer` then. */
static int count_notes(gva_t buffer)
{
	for (int number = 0;; number++) {
		sim_set(HYPAPI_REG_RBX, (uint64_t)number);
		sim_set(HYPAPI_REG_RCX, buffer.addr);
		sim_set(HYPAPI_REG_RDX, NOTE_BYTES);
		sim_assert(sim_hypercall(READ) == 0);
		if (sim_get(HYPAPI_REG_RAX))
			return number;
	}
}

/* What a guest does at one level, in memory of its own. */
struct job {
	gva_t memory;
	int notes;    /* to append */
	int found;    /* how many there are then */
};

static void append_notes(void *arg)
{
	struct job *job = arg;

	for (int i = 1; i <= job->notes; i++) {
		sim_write64(job->memory, (uint64_t)i);
		sim_assert(append(job->memory, sizeof(uint64_t)) == HYPAPI_OK);
	}
	sim_assert(append(job->memory, NOTE_BYTES + 1) == HYPAPI_EINVAL);
	job->found = count_notes(job->memory);
	sim_assert(!job->notes || sim_read64(job->memory) == (uint64_t)job->notes);
}

static void append_in_l2(void *arg)
{
	sim_assert(sim_l2_run(sim_l2_create(1 << 20), append_notes, arg, NULL) == HLT);
}

static void forgets_the_older_half(void **state)
{
	struct job l1 = { .notes = FULL }, l2 = { .memory = GVA(0x1000), .notes = 1 };

	(void)state;
	sim_boot(hypapps, NULL);
	l1.memory = GVA(sim_memory(HYPAPI_PAGE_SIZE).addr);
	sim_run(0, append_notes, &l1);
	assert_int_equal(l1.found, FULL);
	sim_run(1, append_in_l2, &l2);
	assert_int_equal(l2.found, FULL / 2 + 1);
}

static void append_one(void *arg)
{
	struct job *jobs = arg;

	sim_assert(append(jobs[sim_cpu_index()].memory, 1) == HYPAPI_OK);
}

/* Both ask for a stop. The second one gets its own with the answer 1, and must see that there is room by now. */
static void forgets_once_for_two(void **state)
{
	struct job jobs[2] = { { .notes = FULL }, { .notes = 0 } };

	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .collide = true });
	for (int cpu = 0; cpu < 2; cpu++) {
		jobs[cpu].memory = GVA(sim_memory(HYPAPI_PAGE_SIZE).addr);
		sim_run(0, append_notes, &jobs[cpu]);
	}
	sim_run_all(append_one, jobs);
	jobs[0].notes = 0;
	sim_run(0, append_notes, &jobs[0]);
	assert_int_equal(jobs[0].found, FULL / 2 + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { sim_test(forgets_the_older_half), sim_test(forgets_once_for_two) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
