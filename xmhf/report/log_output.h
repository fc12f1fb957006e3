/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of log lines from the rings of all CPUs to the UART, the oldest first. Whoever takes lines out holds the
 * output lock. A line that has begun is finished before another one begins, whichever CPU does it; a guest's characters
 * may come in between on other CPUs only (vmx/log_wait.c).
 */
#ifndef XMHF_LOG_OUTPUT_H
#define XMHF_LOG_OUTPUT_H

#include "report/log_ring.h"

/* Root memory for the rings of so many CPUs, of this boot and of the one before. */
size_t log_bytes(u32 cpu_count);

/* Takes that memory, which begins at the same address in every boot of an image. Before the image is moved. */
void log_init(void *memory, u32 cpu_count);

/* A line that tells how much there is of the boot before, if anything. */
void log_tell_before(void);

/* Writes what the UART takes at once. True: there are lines that wait. */
bool log_drain(void);

/* Writes all, at once, ahead of a character of the guest, which can be written then. */
void log_flush_for_guest(void);

/* Lines in all rings, and the one that is being written. Who puts a line in its ring adds it. */
extern _Atomic u32 log_waiting;

/* Formats a line and writes it at once, after those that wait. */
void log_write_now(enum log_level level, const char *format, va_list args);

/* For panic(), whoever holds the lock: all that waits, then a line that begins so. */
void log_write_unlocked(const char *first, const char *format, va_list args);
void log_drain_unlocked(void);

/* A line for `xmhfctl log`: of this boot (0) or of the one before (1). NULL: no such ring. */
const struct log_ring *log_ring_of(u32 boots_ago, u32 cpu_index);

#endif
