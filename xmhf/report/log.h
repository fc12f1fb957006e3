/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log, by levels, and panic(). Any CPU at any time, with any lock held. A line costs its caller about two hundred
 * instructions: it goes to a ring of this CPU, and on to the serial port when there is time (log_output.h), or at once
 * until the guest starts and when the machine ends. Lines of two CPUs do not mix.
 */
#ifndef XMHF_LOG_H
#define XMHF_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

extern enum log_level log_threshold; /* set once at boot by the option "log" */

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_line_va(enum log_level level, const char *format, va_list args);

/* Out at once and not to the ring: tables at the end of the machine, of which the ring could hold a part only. */
void log_now(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* So many lines were left out: told with the next line of this CPU, together with those that its ring had no room for.
 */
void log_dropped(uint32_t count);

/* What tells that: %u. */
extern const char log_left_out[];

#define log_at(level, ...)                                                                     \
	do {                                                                                   \
		if ((level) <= log_threshold)                                                  \
			log_line(level, __VA_ARGS__);                                          \
	} while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* For lines that a guest can cause, as often as it likes: at first `burst` of them, then one in `interval_ms`. */
struct log_limit {
	uint64_t due;     /* both changed by atomic operations */
	uint32_t dropped; /* since the last line that was written */
};
bool log_allowed(struct log_limit *limit, unsigned int burst, unsigned int interval_ms);

#define log_limited(level, ...)                                                                \
	do {                                                                                   \
		static struct log_limit limit_;                                                \
		if ((level) <= log_threshold && log_allowed(&limit_, 8, 1000))                 \
			log_line(level, __VA_ARGS__);                                          \
	} while (0)

/* Lines like those of panic(), after which the caller ends the machine: at once, whoever holds the lock. */
void panic_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A broken invariant of the core: prints the message and what the VMCS says, and halts. No guest may reach one. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * The machine or the boot command line will not do: one clear line, and a halt, or the way back to whoever started the
 * core and goes on without it. Before the guest starts only.
 */
extern void (*boot_way_back)(const char *why); /* NULL: there is none */
_Noreturn void boot_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes all that waits, and returns when the line has taken the last character. */
void log_flush(void);

/*
 * Writes all that waits. From here on lines go out at once: while the core starts and when the machine ends; or, false,
 * they wait for the UART: the guest runs. The first call is when this_cpu() works: lines go to the rings of CPUs then.
 */
void log_at_once(bool now);

#endif
