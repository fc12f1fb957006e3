/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring of a CPU's log lines, as they were asked for: the format's address, its words, copies of its strings.
 * Invariants: the owner CPU alone puts lines in, and never waits; one reader at a time, who holds the log's output
 * lock, takes them out, in order; a line that finds no place is counted, and the next one that does tells how many. A
 * line stays readable until another one needs its place, also in the next boot.
 */
#ifndef XMHF_LOG_RING_H
#define XMHF_LOG_RING_H

#include <stdarg.h>

#include "lib/base.h"
#include "report/log.h"

#define LOG_LINES 128u
#define LOG_WORDS 8u
#define LOG_STRING_BYTES 64u
#define LOG_TEXT_BYTES 224u

struct log_record {
	u64 serial;         /* counts this ring's lines, from 1; 0 while it is written */
	u64 tick;           /* of the owner's TSC */
	const char *format; /* constant text of the image; NULL: `text` is the line */
	u32 strings;        /* bit for each word that is a string: its place in `string` */
	u8 level;
	u8 reserved[3];
	union {
		struct {
			u64 word[LOG_WORDS];
			char string[LOG_TEXT_BYTES - 8 * LOG_WORDS];
		};
		char text[LOG_TEXT_BYTES];
	};
};
_Static_assert(sizeof(struct log_record) == 256, "four cache lines");

struct log_ring {
	_Atomic u64 put;    /* serial of the newest line; owner writes */
	u32 dropped;        /* lines without a place, not told yet; owner */
	line_aligned _Atomic u64 taken; /* serial of the last one that was taken out; under the output lock */
	line_aligned struct log_record line[LOG_LINES];
};

/* Formats that are constant lie in [start, end): of these the address is kept. Before the first line. */
void log_ring_constants(const char *start, const char *end);

/* Owner. Returns how many lines are in the ring more than before: 0 (dropped), 1, or 2 (with one about others). */
u32 log_ring_put(struct log_ring *ring, u64 tick, enum log_level level, const char *format, va_list args);

/* The oldest line that was not taken out, NULL if there is none. It stays where it is until log_ring_take(). */
const struct log_record *log_ring_next(const struct log_ring *ring);
void log_ring_take(struct log_ring *ring);

/* Copies the line in this place, 0 .. LOG_LINES - 1; false: none, or it is being written. Anybody at any time. */
bool log_ring_copy(const struct log_ring *ring, u32 place, struct log_record *copy);

/* The text of a line, without level, of a copy, which this changes. Whatever the record says. Returns its length. */
size_t log_ring_format(struct log_record *line, char *buf, size_t size);

#endif
