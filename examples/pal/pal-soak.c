/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pal-soak SECONDS [SEED]: random work with PALs for so long. On each CPU a process, and in two KVM guests (kvm-guest),
 * register, call and end PALs of random size in random ways; some of the processes and guests are killed at a random
 * moment, others leave PALs behind; one process takes and gives back memory all the time. Every result is checked, and
 * that fresh memory is zero and keeps what is written there. In the end as many PALs fit in as at the beginning: no
 * page and no place has got lost. (For that processes may have all PALs: trustvisor.share-user.) Exit code 0 only if
 * nothing was wrong, 2 without TrustVisor.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"
#include "pal.h"

TV_PAL_PAGES(1, 1);

#define PAGE 4096ul
#define PAGES 4                  /* of the template: code, data, param, stack */
#define DISTANCE 0x10000000ul    /* from the template, which is never registered, to the copy */
#define MORE 0x40000000ul        /* further pages of data */
#define MAX_MORE 28
#define GUESTS 2
#define MAX_CPUS 8
#define MAX_ROOM 512
#define LIFE_ROUNDS 8
#define SETTLE_TRIES 10
#define HANGS_SECONDS 60
#define KEPT_BYTES (16ul << 20) /* Linux needs some itself */
#define LOGS "/tmp/soak-guest.%d"

static const struct tv_pal_params two_integers = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER }, { .type = TV_PARAM_INTEGER } } };
static const struct tv_pal_params integer_and_buffer = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER },
				     { .type = TV_PARAM_POINTER, .size = PAL_BUFFER_WORDS } } };

/* Of all processes; atomic. */
static struct totals {
	uint64_t rounds, calls, abandoned, no_room, lives, kills, guests, guest_kills, memory, wrong;
} *totals;
static time_t end_time;
static uint64_t seed;

#define COUNT(what) __atomic_add_fetch(&totals->what, 1, __ATOMIC_RELAXED)

static void wrong(const char *what)
{
	COUNT(wrong);
	printf("pal-soak: %s: WRONG\n", what);
}

static void check(bool right, const char *what)
{
	if (!right)
		wrong(what);
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* splitmix64; each process has a state of its own. */
static uint64_t next_random(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t bound)
{
	return next_random() % bound;
}

/* ---- One PAL ---- */

static struct tv_pal_sections sections;

static void *in_copy(const void *in_template)
{
	return (void *)((uintptr_t)in_template + DISTANCE);
}

static void *fresh(uint64_t at, uint64_t pages)
{
	void *memory = mmap((void *)at, pages * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		_exit(3);
	return memory;
}

static void unmap_all(void)
{
	for (uint32_t i = 0; i < sections.num_sections; i++)
		munmap((void *)(uintptr_t)sections.sections[i].start_addr, sections.sections[i].page_num * PAGE);
}

/* A copy of the template, and more pages of data. */
static void fill(uint64_t secret, uint32_t more)
{
	tv_own_sections(&sections);
	for (unsigned int i = 0; i < PAGES; i++) {
		struct tv_pal_section *section = &sections.sections[i];
		const void *from = (void *)(uintptr_t)section->start_addr;

		section->start_addr += DISTANCE;
		memcpy(fresh(section->start_addr, 1), from, PAGE);
	}
	if (more) {
		sections.sections[PAGES] = (struct tv_pal_section){ TV_SECTION_DATA, more, MORE };
		sections.num_sections = PAGES + 1;
		memset(fresh(MORE, more), (int)secret | 1, more * PAGE);
	}
	((struct pal_data *)in_copy(&pal_data))->secret = secret;
}

/* From outside: nothing of it, also of what it could write when it is gone. */
static bool data_is_zero(void)
{
	for (uint32_t i = 1; i < sections.num_sections; i++) {
		const volatile uint64_t *words = (void *)(uintptr_t)sections.sections[i].start_addr;

		for (uint64_t word = 0; word < sections.sections[i].page_num * PAGE / 8; word++)
			if (words[word])
				return false;
	}
	return true;
}

static void call_add(uint64_t secret)
{
	uint64_t (*volatile add)(uint64_t, uint64_t) = in_copy(pal_add);

	for (uint64_t i = below(6); i > 0; i--) {
		uint64_t a = next_random(), b = next_random();

		check(add(a, b) == a + b + secret, "sum");
		COUNT(calls);
	}
}

static void call_crypt(void)
{
	uint64_t (*volatile crypt)(uint64_t, uint64_t *) = in_copy(pal_crypt);
	uint64_t words[PAL_BUFFER_WORDS], kept[PAL_BUFFER_WORDS], number = next_random();

	for (uint32_t i = 0; i < PAL_BUFFER_WORDS; i++)
		words[i] = kept[i] = next_random();
	check(crypt(number, words) == 1 && memcmp(words, kept, sizeof(words)), "encryption");
	check(crypt(number, words) == 2 && !memcmp(words, kept, sizeof(words)), "decryption");
	COUNT(calls);
	COUNT(calls);
}

enum ending { UNREGISTER, WRITE, UNMAP, LEAVE, ENDINGS };

/* True: the process goes on. */
static bool end_pal(const void *entry, uint64_t secret)
{
	volatile struct pal_data *data = in_copy(&pal_data);

	switch (below(8) < 5 ? UNREGISTER : below(ENDINGS)) {
	case UNREGISTER:
		check(tv_unregister(&sections, entry) == TV_OK, "unregister");
		check(data_is_zero(), "data after unregister");
		return true;
	case WRITE:
		data->calls = secret;
		check(data->secret == 0 && data->calls == secret, "data after a write from outside");
		check(tv_unregister(&sections, entry) == TV_E_NO_PAL, "unregister after a write");
		return true;
	case UNMAP:
		COUNT(abandoned);
		unmap_all();
		return true;
	default:
		COUNT(abandoned);
		return false;
	}
}

static bool one_round(void)
{
	bool sum = below(3);
	const void *entry = in_copy(sum ? (void *)pal_add : (void *)pal_crypt);
	uint64_t secret = next_random() | 1;
	uint32_t result;

	fill(secret, below(2) ? (uint32_t)below(MAX_MORE) : 0);
	result = tv_register(&sections, sum ? &two_integers : &integer_and_buffer, entry);
	if (result == TV_E_NO_ROOM) {
		COUNT(no_room); /* until Linux uses again what others have left */
		return false;
	}
	if (result != TV_OK) {
		printf("pal-soak: register: %s\n", tv_result_text(result));
		wrong("register");
		return false;
	}
	COUNT(rounds);
	check(data_is_zero(), "data from outside");
	if (sum)
		call_add(secret);
	else
		call_crypt();
	return end_pal(entry, secret);
}

static int live(void)
{
	for (uint64_t i = 1 + below(LIFE_ROUNDS); i > 0 && now() < end_time; i--)
		if (!one_round())
			break;
	return 0;
}

/* ---- Memory ---- */

static uint64_t taken_bytes = 8 << 20;

/* Fresh memory is zero, and keeps what is written there: no page of it is a PAL's still. */
static int take_memory(void)
{
	uint64_t words = taken_bytes / 8, key = next_random();
	volatile uint64_t *memory = mmap(NULL, taken_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					 0);
	bool zero = true, kept = true;

	if (memory == MAP_FAILED)
		return 3;
	for (uint64_t i = 0; i < words; i += 64) {
		zero &= memory[i] == 0 && memory[i + 63] == 0;
		memory[i] = key ^ i;
	}
	for (uint64_t i = 0; i < words; i += 64)
		kept &= memory[i] == (key ^ i);
	check(zero, "fresh memory is zero");
	check(kept, "memory keeps what is written");
	COUNT(memory);
	return 0;
}

/* ---- Room ---- */

/* mov $number, %eax; ret */
static void write_answer(uint64_t at, uint32_t number)
{
	uint8_t code[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	memcpy(&code[1], &number, sizeof(number));
	memcpy((void *)at, code, sizeof(code));
}

/* How many PALs there can be: registers until it is refused, calls each of them, and ends them all. */
static unsigned int room(void)
{
	unsigned int count = 0;
	static struct tv_pal_sections all[MAX_ROOM];

	while (count < MAX_ROOM) {
		uint64_t at = MORE + count * 2 * PAGE;
		struct tv_pal_sections *s = &all[count];

		*s = (struct tv_pal_sections){ .num_sections = 2, .sections = {
			{ TV_SECTION_CODE, 1, at }, { TV_SECTION_STACK, 1, at + PAGE } } };
		fresh(at, 2);
		write_answer(at, count);
		if (tv_register(s, &(struct tv_pal_params){ .num_params = 0 }, (void *)at) != TV_OK)
			break;
		count++;
	}
	for (unsigned int i = 0; i < count; i++) {
		uint64_t (*volatile answer)(void) = (void *)(uintptr_t)all[i].sections[0].start_addr;

		check(answer() == i, "one of all PALs");
	}
	for (unsigned int i = 0; i < count; i++) {
		void *at = (void *)(uintptr_t)all[i].sections[0].start_addr;

		check(tv_unregister(&all[i], at) == TV_OK, "unregister all");
		munmap(at, 2 * PAGE);
	}
	return count;
}

/* ---- Processes ---- */

/* A child of `act` with a random sequence of its own, on that CPU, if any. */
static pid_t start(int (*act)(void), int cpu)
{
	uint64_t childs = next_random();
	pid_t child = fork();
	cpu_set_t set;

	if (child)
		return child;
	seed = childs;
	CPU_ZERO(&set);
	CPU_SET((size_t)(cpu < 0 ? 0 : cpu), &set);
	if (cpu >= 0 && sched_setaffinity(0, sizeof(set), &set))
		_exit(3);
	_exit(act());
}

/* One that does not end is named, with what its threads do, and killed. */
static void wait_for(pid_t child, int *status, const char *what)
{
	char command[120];
	time_t start = now();

	while (waitpid(child, status, WNOHANG) == 0) {
		usleep(5000);
		if (now() - start < HANGS_SECONDS)
			continue;
		wrong("a process that does not end");
		snprintf(command, sizeof(command), "cat /proc/%d/status /proc/%d/task/*/syscall",
			 (int)child, (int)child);
		printf("pal-soak: %s, process %d\n", what, (int)child);
		fflush(stdout);
		if (system(command))
			puts("pal-soak: nothing is known of it");
		kill(child, SIGKILL);
		waitpid(child, status, 0);
		return;
	}
}

/* Waits for it, or, one time in so many, kills it before; true: it ended by itself. */
static bool await(pid_t child, uint64_t killed_of, uint64_t max_ms, const char *what)
{
	bool kills = below(killed_of) == 0;
	int status = 0;

	if (child < 0) {
		wrong("fork");
		return false;
	}
	if (kills) {
		usleep((useconds_t)below(max_ms * 1000));
		kill(child, SIGKILL);
	}
	wait_for(child, &status, what);
	if (kills && WIFSIGNALED(status))
		return false;
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		printf("pal-soak: %s: status 0x%x\n", what, (unsigned int)status);
		wrong(what);
	}
	return true;
}

static int this_cpu = -1; /* of a manager of processes */

static int manage_lives(void)
{
	while (now() < end_time) {
		COUNT(lives);
		if (!await(start(live, this_cpu), 2, 300, "process"))
			COUNT(kills);
	}
	return 0;
}

static int manage_memory(void)
{
	while (now() < end_time)
		await(start(take_memory, -1), 1000, 100, "memory");
	return 0;
}

static int guest_number;

static void show_failures(const char *path)
{
	char line[200];
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "FAILED") || strstr(line, "exception") || strstr(line, "kvm-guest:"))
			fputs(line, stdout);
	if (file)
		fclose(file);
}

static int guest(void)
{
	char rounds[8], path[40];
	const char *vcpus = below(2) ? "1" : "2";

	snprintf(rounds, sizeof(rounds), "%d", 1 + (int)below(20));
	snprintf(path, sizeof(path), LOGS, guest_number);
	if (!freopen(path, "w", stdout))
		return 3;
	if (below(2))
		execlp("kvm-guest", "kvm-guest", "-q", "-k", "-c", vcpus, "-s", rounds, NULL);
	else
		execlp("kvm-guest", "kvm-guest", "-q", "-c", vcpus, "-s", rounds, NULL);
	return 3;
}

static int manage_guests(void)
{
	while (now() < end_time) {
		uint64_t before = totals->wrong;
		char path[40];

		COUNT(guests);
		if (!await(start(guest, -1), 3, 3000, "guest"))
			COUNT(guest_kills);
		snprintf(path, sizeof(path), LOGS, guest_number);
		if (totals->wrong != before)
			show_failures(path);
	}
	return 0;
}

static void run(int cpus)
{
	int managers = 0, status;

	for (this_cpu = 0; this_cpu < cpus; this_cpu++, managers++)
		start(manage_lives, -1);
	for (guest_number = 0; guest_number < GUESTS; guest_number++, managers++)
		start(manage_guests, -1);
	start(manage_memory, -1);
	for (managers++; managers > 0 && wait(&status) > 0; managers--)
		check(status == 0, "a manager of processes");
}

/* Linux uses free memory again, which ends what was left behind there. What it keeps free is other pages each time. */
static unsigned int room_afterwards(unsigned int before)
{
	unsigned int after = room();

	for (int tries = 0; tries < SETTLE_TRIES && after != before; tries++) {
		taken_bytes = (free_kib() << 10) - KEPT_BYTES;
		await(start(take_memory, -1), ~0ull, 1, "all memory");
		after = room();
	}
	return after;
}

static int report(unsigned int before, unsigned int after, uint64_t first_seed)
{
	const struct totals *t = totals;
	bool ok = before == after && before > 0 && !t->wrong && t->rounds && t->calls && t->kills && t->guests;

	printf("pal-soak: seed %lu: %lu PALs, %lu calls, %lu left behind, %lu without room; %lu processes, %lu killed; "
	       "%lu guests, %lu killed; memory taken %lu times\n", first_seed, t->rounds, t->calls, t->abandoned,
	       t->no_room, t->lives, t->kills, t->guests, t->guest_kills, t->memory);
	printf("pal-soak: %lu wrong results, room for %u PALs before and for %u after: %s\n", t->wrong, before, after,
	       ok ? "ok" : "FAILED");
	return !ok;
}

int main(int argc, char **argv)
{
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	time_t seconds = argc > 1 ? atol(argv[1]) : 10;
	uint64_t first_seed = argc > 2 ? strtoull(argv[2], NULL, 0) : read_ticks();
	unsigned int before;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (tv_detect() == TV_NONE) {
		puts("pal-soak: no TrustVisor on this machine");
		return 2;
	}
	totals = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (totals == MAP_FAILED)
		return 1;
	tv_pal_is_there = 1; /* in the template, for every copy */
	seed = first_seed;
	before = room();
	printf("pal-soak: %ld seconds, seed %lu, room for %u PALs\n", (long)seconds, first_seed, before);
	end_time = now() + seconds;
	run(cpus < MAX_CPUS ? cpus : MAX_CPUS);
	return report(before, room_afterwards(before), first_seed);
}
