/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Long work in slices: a job has a stack of its own, and pauses when it has run for JOB_SLICE_TICKS. Its work is a pure
 * computation on its own buffer, so that it may go on on another CPU, or begin again. What the cryptographic library
 * does is slow enough, and asks often enough (each of its functions calls job_breathe()), for a slice to end in time.
 *
 * A job belongs to a PAL, by the number of its partition. There are fewer jobs than PALs: one that nobody has come for
 * in JOB_IDLE_TICKS is taken by whoever needs one, and its owner begins again. Each slice gives back JOB_EARNED_TICKS
 * of that time, no more: who comes just often enough to be there would else hold a job for hours. So a caller that
 * never comes back, or seldom, holds nothing, and one that comes back makes progress.
 *
 * Who finds no job waits in a queue, in which each PAL has one place, kept as long as it asks again in JOB_IDLE_TICKS.
 * A job goes to the class of callers that has the fewest, in it to the caller that has the fewest, and then to who came
 * first: so no number of PALs or threads of one caller makes another one wait for more than a job's end.
 */
#ifndef TRUSTVISOR_JOB_H
#define TRUSTVISOR_JOB_H

#include <stdbool.h>
#include <stdint.h>

#define JOB_SLICE_TICKS 60000u
#define JOB_IDLE_TICKS (1u << 28) /* a tenth of a second: longer than an operating system keeps a thread waiting */
#define JOB_EARNED_TICKS (JOB_IDLE_TICKS / 64)
#define JOB_DATA_BYTES 8192

/* Whose a job is: a PAL, by the number of its partition, and who shares with whom. */
struct job_owner {
	uint64_t id;     /* never 0 */
	uint64_t caller; /* those of one process have the same */
	uint32_t class;
};

struct job;
typedef void job_work(void *data);

/**
 * The job of this owner, or a fresh one with zeroed data; the caller has it until job_put() or job_end(). NULL: it is
 * not its turn, come again.
 * @param fresh  result: it has no work yet
 */
struct job *job_get(const struct job_owner *owner, bool *fresh);
/** Its data, JOB_DATA_BYTES, aligned to 16. */
void *job_data(struct job *job);
/** Gives a fresh job its work. */
void job_begin(struct job *job, job_work *work);
/** Nothing is left to run: its work is done, or it has none yet. */
bool job_is_ready(const struct job *job);
/** Runs it for a slice. True: the work is done. */
bool job_run(struct job *job);
/** Leaves it for the owner's next slice. */
void job_put(struct job *job);
/** It is over: everything in it is wiped. */
void job_end(struct job *job);
/** The owner is gone, or all are (0). Nobody runs the job: the owner's PAL is this CPU's, or the CPUs are stopped. */
void job_forget(uint64_t id);
/** In a job: pauses, if the slice is over. Elsewhere it does nothing. */
void job_breathe(void);
/** For tests: most bytes of a stack that any job has used since job_measure_stacks(). */
void job_measure_stacks(void);
uint32_t job_stack_used(void);
/** Slices that were run, and the longest in ticks; for the log. */
extern uint64_t job_slices, job_longest;

#endif
