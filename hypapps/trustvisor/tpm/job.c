/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See job.h. A switch of stacks is a call to whoever makes it, so only the registers that a function keeps are saved.
 * NMIs have a stack of their own. Which job runs is told by the stack pointer alone: a job has one room, aligned to its
 * size.
 */
#include "job.h"

#include <hypapi/hypapi.h>
#include <hypapi/lock.h>

#include "pal.h"

#define JOB_COUNT 8
#define ROOM_BYTES 32768ul
#define CANARY 0x6a6f622d656e6421ull

enum job_state { JOB_FREE = 0, JOB_WAITING, JOB_RUNNING };

struct job {
	struct job_owner owner; /* this and `state` are guarded by `lock` */
	uint32_t state;       /* enum job_state; who made it RUNNING has all that follows */
	uint64_t kept_until;  /* then it is for others; in ticks, which may differ a little from CPU to CPU */
	job_work *work;
	void *stack, *caller; /* stack pointers of those who do not run */
	uint64_t slice_began;
	uint32_t breaths;
	bool done;
#ifdef __SANITIZE_THREAD__
	void *fiber, *caller_fiber;
#endif
};

static union room {
	struct {
		struct job job;
		uint8_t data[JOB_DATA_BYTES] __attribute__((aligned(16)));
		uint64_t canary;
		uint8_t stack[];
	};
	uint8_t bytes[ROOM_BYTES];
} rooms[JOB_COUNT] __attribute__((aligned(ROOM_BYTES)));

/* Who waits for a job, in the order in which they came; guarded by `lock`. */
static struct place {
	struct job_owner owner;
	uint64_t kept_until; /* who does not ask again until then loses it */
} queue[TV_MAX_PALS];
static uint32_t queue_len;

static struct hypapi_lock lock;
/* For tests: to look through a stack takes more than most commands. */
static bool measures_stacks;
static uint32_t stack_used;
uint64_t job_slices, job_longest;

static union room *room_of(const struct job *job)
{
	return (union room *)((uint64_t)job & ~(ROOM_BYTES - 1));
}

static inline uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

/* ---- Stacks ---- */

/* Saves what a C function keeps and the stack pointer in *RDI, and goes on where RSI was saved. */
void job_switch(void **save, void *to);
__asm__(".pushsection .text\n"
	".local job_switch\n"
	".type job_switch, @function\n"
	"job_switch:\n"
	"	push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
	"	ret\n"
	".popsection\n");

/* The sanitizers have to be told: of frames that are given up, and of the other stack. */
#ifdef __SANITIZE_ADDRESS__
void __asan_unpoison_memory_region(const volatile void *at, size_t len_bytes);
#else
#define __asan_unpoison_memory_region(at, len_bytes) ((void)0)
#endif
#ifdef __SANITIZE_THREAD__
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned int flags);
void __tsan_switch_to_fiber(void *fiber, unsigned int flags);
#define NO_SANITIZER __attribute__((no_sanitize("thread"), noinline))
static NO_SANITIZER void into_fiber(struct job *job)
{
	if (!job->fiber)
		job->fiber = __tsan_create_fiber(0);
	job->caller_fiber = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(job->fiber, 0);
}
static NO_SANITIZER void out_of_fiber(struct job *job)
{
	__tsan_switch_to_fiber(job->caller_fiber, 0);
}
#else
#define NO_SANITIZER __attribute__((no_sanitize("address"), noinline))
static void into_fiber(struct job *job) { (void)job; }
static void out_of_fiber(struct job *job) { (void)job; }
#endif

/* The job on whose stack this is, or NULL. */
static inline struct job *here(void)
{
	uint64_t offset = (uint64_t)__builtin_frame_address(0) - (uint64_t)rooms;

	return offset < sizeof(rooms) ? &rooms[offset / ROOM_BYTES].job : NULL;
}

static NO_SANITIZER void pause_job(struct job *job)
{
	out_of_fiber(job);
	job_switch(&job->stack, job->caller);
}

static NO_SANITIZER void first_frame(void)
{
	struct job *job = here();

	job->work(job_data(job));
	job->done = true;
	pause_job(job);
	__builtin_trap(); /* a job that is done is not run again */
}

/* Which of its calls look at the time does not depend on secrets: each fourth. */
NO_SANITIZER void job_breathe(void)
{
	struct job *job = here();

	if (job && ++job->breaths % 4 == 0 && ticks() - job->slice_began >= JOB_SLICE_TICKS)
		pause_job(job);
}

/* Each function of the library calls these (-finstrument-functions). */
void __cyg_profile_func_enter(void *function, void *site);
void __cyg_profile_func_exit(void *function, void *site);
NO_SANITIZER void __cyg_profile_func_enter(void *function, void *site)
{
	(void)function, (void)site;
	job_breathe();
}

NO_SANITIZER void __cyg_profile_func_exit(void *function, void *site)
{
	(void)function, (void)site;
}

/* ---- Jobs ---- */

void *job_data(struct job *job)
{
	return room_of(job)->data;
}

static NO_SANITIZER uint32_t bytes_used(const union room *room)
{
	uint32_t at = 0, size = (uint32_t)(room->bytes + ROOM_BYTES - room->stack);

	while (at < size && room->stack[at] == 0)
		at++;
	return size - at;
}

static void wipe_job(struct job *job)
{
	union room *room = room_of(job);

	__asan_unpoison_memory_region(room, ROOM_BYTES);
	wipe(room->data, ROOM_BYTES - (uint64_t)(room->data - room->bytes));
	job->work = NULL;
	job->stack = job->caller = NULL;
	job->done = false;
	job->owner = (struct job_owner){ 0 };
}

/* Not if the counter was set back: nothing is kept for longer than JOB_IDLE_TICKS. */
static bool is_in_time(uint64_t until, uint64_t now)
{
	return until - now < 2ul * JOB_IDLE_TICKS;
}

static bool is_held(const struct job *job, uint64_t now)
{
	return job->state == JOB_RUNNING || (job->state == JOB_WAITING && is_in_time(job->kept_until, now));
}

static struct job *job_of(uint64_t id)
{
	for (union room *room = rooms; room < rooms + JOB_COUNT; room++)
		if (room->job.owner.id == id)
			return &room->job;
	return NULL;
}

/* A free one, or the one whose time was over first; and how many there are. */
static struct job *find_free(uint64_t now, uint32_t *count)
{
	struct job *best = NULL;

	*count = 0;
	for (union room *room = rooms; room < rooms + JOB_COUNT; room++) {
		struct job *job = &room->job;

		if (is_held(job, now))
			continue;
		++*count;
		if (!best || (best->state != JOB_FREE &&
			      (job->state == JOB_FREE || job->kept_until < best->kept_until)))
			best = job;
	}
	return best;
}

/* ---- The queue ---- */

/* Jobs that the class has, and the caller. */
struct share { uint32_t of_class, of_caller; };

static struct share share_of(const struct job_owner *owner, uint64_t now)
{
	struct share share = { 0, 0 };

	for (const union room *room = rooms; room < rooms + JOB_COUNT; room++)
		if (is_held(&room->job, now) && room->job.owner.class == owner->class) {
			share.of_class++;
			share.of_caller += room->job.owner.caller == owner->caller;
		}
	return share;
}

static void leave_queue(uint32_t at)
{
	queue_len--;
	for (; at < queue_len; at++)
		queue[at] = queue[at + 1];
}

/* The place of an owner, who may be new; those that nobody keeps are gone. TV_MAX_PALS: there is none. */
static uint32_t enter_queue(const struct job_owner *owner, uint64_t now)
{
	uint32_t own = TV_MAX_PALS, kept = 0;

	for (uint32_t i = 0; i < queue_len; i++) {
		if (queue[i].owner.id == owner->id)
			own = kept;
		else if (!is_in_time(queue[i].kept_until, now))
			continue;
		if (kept != i)
			queue[kept] = queue[i];
		kept++;
	}
	if (own == TV_MAX_PALS && kept < TV_MAX_PALS) {
		own = kept++;
		queue[own].owner = *owner;
	}
	queue_len = kept;
	if (own < TV_MAX_PALS)
		queue[own].kept_until = now + JOB_IDLE_TICKS;
	return own;
}

/*
 * Whether one of `free` jobs is for this owner. Of those who wait, first come those whose class has the fewest jobs; in
 * it those whose caller has the fewest; of these, who came first.
 */
static bool is_turn(const struct job_owner *owner, uint32_t free, uint64_t now)
{
	uint32_t own = enter_queue(owner, now), before = 0;
	struct share mine = share_of(owner, now);

	for (uint32_t i = 0; i < queue_len && before < free; i++) {
		struct share its = share_of(&queue[i].owner, now);

		if (its.of_class != mine.of_class)
			before += its.of_class < mine.of_class;
		else if (its.of_caller != mine.of_caller)
			before += its.of_caller < mine.of_caller;
		else
			before += i < own;
	}
	if (before >= free || own == TV_MAX_PALS)
		return false;
	leave_queue(own);
	return true;
}

static struct job *take_free(const struct job_owner *owner, uint64_t now)
{
	uint32_t free;
	struct job *job = find_free(now, &free);

	if (!is_turn(owner, free, now))
		return NULL;
	wipe_job(job);
	job->owner = *owner;
	job->kept_until = now + JOB_IDLE_TICKS;
	return job;
}

struct job *job_get(const struct job_owner *owner, bool *fresh)
{
	uint64_t now = ticks();
	struct job *job;

	hypapi_lock(&lock);
	job = job_of(owner->id);
	*fresh = !job;
	if (!job)
		job = take_free(owner, now);
	else if (job->state == JOB_RUNNING)
		job = NULL;
	if (job)
		job->state = JOB_RUNNING;
	hypapi_unlock(&lock);
	return job;
}

void job_begin(struct job *job, job_work *work)
{
	union room *room = room_of(job);
	void **top = (void **)(room->bytes + ROOM_BYTES);

	/* As if first_frame() had made a switch as its first act: six registers, and where to return. */
	top[-2] = (void *)first_frame;
	job->stack = top - 8;
	job->work = work;
	room->canary = CANARY;
}

bool job_is_ready(const struct job *job)
{
	return job->done || !job->work;
}

NO_SANITIZER bool job_run(struct job *job)
{
	uint64_t now;

	if (job->done)
		return true;
	job->slice_began = ticks();
	into_fiber(job);
	job_switch(&job->caller, job->stack);
	now = ticks() - job->slice_began;
	__atomic_add_fetch(&job_slices, 1, __ATOMIC_RELAXED);
	if (now > __atomic_load_n(&job_longest, __ATOMIC_RELAXED))
		__atomic_store_n(&job_longest, now, __ATOMIC_RELAXED);
	if (room_of(job)->canary != CANARY)
		__builtin_trap(); /* overflow: what lies below is this program's data */
	return job->done;
}

void job_put(struct job *job)
{
	uint64_t now = ticks();
	int64_t left = (int64_t)(job->kept_until - now);

	left = (left > 0 ? left : 0) + JOB_EARNED_TICKS;
	hypapi_lock(&lock);
	job->kept_until = now + (left < JOB_IDLE_TICKS ? (uint64_t)left : JOB_IDLE_TICKS);
	job->state = JOB_WAITING;
	hypapi_unlock(&lock);
}

void job_end(struct job *job)
{
	uint32_t used = measures_stacks ? bytes_used(room_of(job)) : 0;

	if (used > __atomic_load_n(&stack_used, __ATOMIC_RELAXED))
		__atomic_store_n(&stack_used, used, __ATOMIC_RELAXED);
	hypapi_lock(&lock);
	wipe_job(job);
	job->state = JOB_FREE;
	hypapi_unlock(&lock);
}

void job_forget(uint64_t id)
{
	hypapi_lock(&lock);
	for (union room *room = rooms; room < rooms + JOB_COUNT; room++)
		if (room->job.owner.id && (room->job.owner.id == id || id == 0)) {
			wipe_job(&room->job);
			room->job.state = JOB_FREE;
		}
	for (uint32_t i = queue_len; i-- > 0;)
		if (queue[i].owner.id == id || id == 0)
			leave_queue(i);
	hypapi_unlock(&lock);
}

void job_measure_stacks(void)
{
	measures_stacks = true;
}

uint32_t job_stack_used(void)
{
	return stack_used;
}
