/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See log_ring.h. What a format takes is read once and remembered, so that a line costs its caller little: a copy of
 * words. A format that was made at run time, more than eight words, and long strings are formatted at once. x86 keeps
 * stores in order among stores and loads among loads, so the fences bind the compiler only.
 */
#include "report/log_ring.h"

#include "lib/printf.h"
#include "lib/string.h"

#define SHAPES 256u
#define SHAPE_KNOWN BIT(31)

static const char *constants_start, *constants_end;
/* By a format's address: its low half, above its shape. Written by any CPU, each time as a whole. */
static _Atomic u64 shapes[SHAPES];

void log_ring_constants(const char *start, const char *end)
{
	constants_start = start;
	constants_end = end;
}

static bool is_constant(const char *format)
{
	return format >= constants_start && format < constants_end;
}

/* Words in bits 7:0, strings in bits 15:8. Addresses of the image differ in their low half. */
static u32 shape_of(const char *format)
{
	u64 key = (u64)format << 32;
	_Atomic u64 *place = &shapes[((u64)format >> 2 ^ (u64)format >> 10) % SHAPES];
	u64 known = atomic_load_explicit(place, memory_order_relaxed);

	if (likely((known ^ key) >> 32 == 0 && (known & SHAPE_KNOWN)))
		return (u32)known & 0xffff;
	struct format_shape shape = format_shape(format);
	u32 found = MIN(shape.words, 255u) | (shape.strings & 0xff) << 8;

	atomic_store_explicit(place, key | SHAPE_KNOWN | found, memory_order_relaxed);
	return found;
}

/* Returns the bytes used with this string, 0: it does not fit. */
static size_t copy_string(struct log_record *r, size_t used, const char *text)
{
	size_t most = MIN(used + LOG_STRING_BYTES, sizeof(r->string));

	if (!text)
		text = "(null)";
	for (; used < most; used++, text++) {
		r->string[used] = *text;
		if (!*text)
			return used + 1;
	}
	return 0;
}

/* False: the line is none that can be kept as words. */
static bool keep_words(struct log_record *r, const char *format, va_list args)
{
	u32 shape = is_constant(format) ? shape_of(format) : LOG_WORDS + 1, words = shape & 0xff;
	size_t used = 0;

	if (words > LOG_WORDS)
		return false;
	r->format = format;
	r->strings = shape >> 8;
	for (u32 i = 0, strings = r->strings; i < words; i++, strings >>= 1) {
		r->word[i] = va_arg(args, u64);
		if (likely(!(strings & 1)))
			continue;
		const char *text = (const char *)r->word[i];

		r->word[i] = used;
		used = copy_string(r, used, text);
		if (!used)
			return false;
	}
	return true;
}

static struct log_record *begin(struct log_ring *ring, u64 tick, enum log_level level)
{
	struct log_record *r = &ring->line[atomic_load_explicit(&ring->put, memory_order_relaxed) % LOG_LINES];

	*(volatile u64 *)&r->serial = 0;
	atomic_signal_fence(memory_order_release);
	r->tick = tick;
	r->level = (u8)level;
	return r;
}

static void end(struct log_ring *ring, struct log_record *r)
{
	u64 serial = atomic_load_explicit(&ring->put, memory_order_relaxed) + 1;

	atomic_signal_fence(memory_order_release);
	*(volatile u64 *)&r->serial = serial;
	atomic_store_explicit(&ring->put, serial, memory_order_release);
}

static void tell_dropped(struct log_ring *ring, u64 tick)
{
	struct log_record *r = begin(ring, tick, LOG_WARN);

	r->format = log_left_out;
	r->strings = 0;
	r->word[0] = ring->dropped;
	ring->dropped = 0;
	end(ring, r);
}

u32 log_ring_put(struct log_ring *ring, u64 tick, enum log_level level, const char *format, va_list args)
{
	u64 waiting = atomic_load_explicit(&ring->put, memory_order_relaxed) -
		      atomic_load_explicit(&ring->taken, memory_order_acquire);
	u32 told = ring->dropped != 0;
	va_list again;

	if (unlikely(waiting + told >= LOG_LINES)) {
		ring->dropped++;
		return 0;
	}
	if (unlikely(told))
		tell_dropped(ring, tick);
	struct log_record *r = begin(ring, tick, level);

	va_copy(again, args);
	if (unlikely(!keep_words(r, format, args))) {
		r->format = NULL;
		format_va(r->text, sizeof(r->text), format, again);
	}
	va_end(again);
	end(ring, r);
	return told + 1;
}

const struct log_record *log_ring_next(const struct log_ring *ring)
{
	u64 taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);

	return taken == atomic_load_explicit(&ring->put, memory_order_acquire) ? NULL : &ring->line[taken % LOG_LINES];
}

void log_ring_take(struct log_ring *ring)
{
	u64 taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);

	atomic_store_explicit(&ring->taken, taken + 1, memory_order_release);
}

bool log_ring_copy(const struct log_ring *ring, u32 place, struct log_record *copy)
{
	const volatile u64 *serial = &ring->line[place % LOG_LINES].serial;
	u64 before = *serial;

	atomic_signal_fence(memory_order_acquire);
	*copy = ring->line[place % LOG_LINES];
	atomic_signal_fence(memory_order_acquire);
	return before && *serial == before;
}

/* A record of the boot before may say anything: no string goes beyond its end, and no word is followed. */
size_t log_ring_format(struct log_record *line, char *buf, size_t size)
{
	struct format_shape shape = { .words = LOG_WORDS + 1 };

	line->text[LOG_TEXT_BYTES - 1] = 0;
	if (!line->format)
		return format(buf, size, "%s", line->text);
	if (is_constant(line->format))
		shape = format_shape(line->format);
	if (shape.words > LOG_WORDS)
		return format(buf, size, "?");
	for (u32 i = 0; i < shape.words; i++)
		if (shape.strings >> i & 1)
			line->word[i] = (u64)(line->string + MIN(line->word[i], sizeof(line->string) - 1));
	return format_words(buf, size, line->format, line->word);
}
