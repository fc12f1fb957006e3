/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See log_ring.h. What a format takes is read once and remembered, so that a line costs its caller little: a copy of
 * words. A format that was made at run time, more than eight words, and long strings are formatted at once. x86 keeps
 * stores in order among stores and loads among loads, so the fences bind the compiler only.
 */
#include "report/log_ring.h"

#include "lib/printf.h"

#define SHAPES 256u
#define SHAPE_KNOWN BIT(31)

const char log_left_out[] = "%u lines were left out, the like of which follow";

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
static __attribute__((noinline)) u32 read_shape(const char *format, _Atomic u64 *place)
{
	struct format_shape shape = format_shape(format);
	u32 found = MIN(shape.words, 255u) | (shape.strings & 0xff) << 8;

	atomic_store_explicit(place, (u64)format << 32 | SHAPE_KNOWN | found, memory_order_relaxed);
	return found;
}

static u32 shape_of(const char *format)
{
	_Atomic u64 *place = &shapes[((u64)format / 8) % SHAPES];
	u64 known = atomic_load_explicit(place, memory_order_relaxed);

	if (likely(known >> 32 == (u32)(u64)format && (known & SHAPE_KNOWN)))
		return (u32)known & 0xffff;
	return read_shape(format, place);
}

/* False: the strings of the line do not fit. */
static bool copy_strings(struct log_record *r, u32 strings)
{
	size_t used = 0;

	for (; strings; strings &= strings - 1) {
		u64 *word = &r->word[__builtin_ctz(strings)];
		const char *text = *word ? (const char *)*word : "(null)";
		char *to = r->string + used;
		size_t room = MIN(LOG_STRING_BYTES, sizeof(r->string) - used), n = 0;

		while (n < room && (to[n] = text[n]))
			n++;
		if (unlikely(n == room))
			return false;
		*word = used;
		used += n + 1;
	}
	return true;
}

static __attribute__((noinline)) void keep_text(struct log_record *r, const char *format, va_list args)
{
	r->format = NULL;
	format_va(r->text, sizeof(r->text), format, args);
}

/*
 * The words of a va_list, which stays as it is: first what was passed in registers, then what is on the stack, eight
 * bytes each (System V ABI for AMD64, "The va_list Type").
 */
static void copy_words(u64 *to, u32 count, va_list args)
{
	const u64 *from = (const u64 *)((const u8 *)args->reg_save_area + args->gp_offset);
	u64 *end = to + count, *passed = to + MIN(count, (6 * 8 - args->gp_offset) / 8);

	while (to < passed)
		*to++ = *from++;
	for (from = args->overflow_arg_area; to < end; to++)
		*to = *from++;
}

static void keep_words(struct log_record *r, const char *format, u32 shape, va_list args)
{
	r->format = format;
	r->strings = shape >> 8;
	copy_words(r->word, shape & 0xff, args);
	if (r->strings && unlikely(!copy_strings(r, r->strings)))
		keep_text(r, format, args);
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

/* Of lines that were left out before, or the one at hand. Returns how many lines this took; 0: there is no room. */
static __attribute__((noinline)) u32 left_out(struct log_ring *ring, u64 waiting, u64 tick)
{
	if (waiting + (ring->dropped != 0) >= LOG_LINES) {
		ring->dropped++;
		return 0;
	}
	struct log_record *r = begin(ring, tick, LOG_WARN);

	r->format = log_left_out;
	r->strings = 0;
	r->word[0] = ring->dropped;
	ring->dropped = 0;
	end(ring, r);
	return 1;
}

u32 log_ring_put(struct log_ring *ring, u64 tick, enum log_level level, const char *format, va_list args)
{
	u64 waiting = atomic_load_explicit(&ring->put, memory_order_relaxed) -
		      atomic_load_explicit(&ring->taken, memory_order_acquire);
	u32 shape, more = 1;

	if (unlikely(waiting >= LOG_LINES || ring->dropped)) {
		if (!left_out(ring, waiting, tick))
			return 0;
		more++;
	}
	struct log_record *r = begin(ring, tick, level);

	shape = is_constant(format) ? shape_of(format) : LOG_WORDS + 1;
	if (likely((shape & 0xff) <= LOG_WORDS))
		keep_words(r, format, shape, args);
	else
		keep_text(r, format, args);
	end(ring, r);
	return more;
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
