/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See log_output.h. The rings lie at the beginning of what root memory has behind the image, in two banks: this boot's,
 * and that of the boot before. Where the same image boots on the same machine they are found again, if firmware and
 * loader have left RAM as it was.
 */
#include "report/log_output.h"

#include "cpu/spinlock.h"
#include "cpu/x86.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "report/screen.h"
#include "report/serial.h"

#define LINE_BYTES 256
#define AT_A_TIME 16
/* The UART takes nothing for so many looks: what waits is left for the next line, so that nobody looks for ever. */
#define MAX_VAIN_LOOKS 5000
#define AREA_MAGIC 0x676f6c2066686d78ul
#define AREA_HEADER 4096ul

/* What the image is, so that no line of another one is read by its formats. */
struct area {
	u64 magic, image_sum;
	u32 bank, cpu_count; /* of the newest boot */
};

extern const char text_start[], rodata_end[];

static struct area *area;
static u32 ring_count;
static bool has_boot_before;

static struct spinlock output;
_Atomic u32 log_waiting;
/* Under the output lock, but for a panic: then two CPUs may write here, so that `at` can pass `length`. */
static struct { char text[LINE_BYTES + 2]; size_t at, length; } at_hand;
static u32 vain_looks;

static const char *const prefix[] = { "error: ", "warning: ", "", "debug: " };

/* ---- The rings ---- */

static size_t bank_bytes(u32 count)
{
	return count * sizeof(struct log_ring);
}

size_t log_bytes(u32 cpu_count)
{
	return ALIGN_UP(AREA_HEADER + 2 * bank_bytes(cpu_count), PAGE_SIZE);
}

const struct log_ring *log_ring_of(u32 boots_ago, u32 cpu_index)
{
	if (!area || cpu_index >= ring_count || boots_ago > 1 || (boots_ago && !has_boot_before))
		return NULL;
	return (const struct log_ring *)((u8 *)area + AREA_HEADER + bank_bytes(ring_count) * (area->bank ^ boots_ago)) +
	       cpu_index;
}

static u64 sum_of_image(void)
{
	u64 sum = 0;

	for (const u64 *at = (const u64 *)text_start; at < (const u64 *)rodata_end; at++)
		sum = (sum << 1 | sum >> 63) ^ *at;
	return sum;
}

void log_init(void *memory, u32 cpu_count)
{
	u64 sum = sum_of_image();

	log_ring_constants(text_start, rodata_end);
	area = memory;
	ring_count = cpu_count;
	has_boot_before = area->magic == AREA_MAGIC && area->image_sum == sum && area->cpu_count == cpu_count &&
			  area->bank <= 1;
	*area = (struct area){ AREA_MAGIC, sum, has_boot_before ? area->bank ^ 1 : 0, cpu_count };
	memset((void *)log_ring_of(0, 0), 0, bank_bytes(cpu_count));
}

void log_tell_before(void)
{
	struct log_record line;
	u32 count = 0;

	for (u32 i = 0; has_boot_before && i < ring_count; i++)
		for (u32 place = 0; place < LOG_LINES; place++)
			count += log_ring_copy(log_ring_of(1, i), place, &line);
	if (count)
		log_info("RAM has kept %u lines of the boot before (xmhfctl log --before)", count);
}

/* ---- Output ---- */

static void begin_line(const char *first, const char *second)
{
	at_hand.at = 0;
	at_hand.length = format(at_hand.text, LINE_BYTES, "xmhf: %s%s", first, second);
}

static void end_line(void)
{
	at_hand.text[at_hand.length++] = '\r';
	at_hand.text[at_hand.length++] = '\n';
	screen_write(at_hand.text, at_hand.length);
}

static struct log_ring *oldest(void)
{
	struct log_ring *found = NULL;
	u64 tick = 0;

	for (u32 i = 0; i < ring_count; i++) {
		struct log_ring *ring = (struct log_ring *)log_ring_of(0, i);
		const struct log_record *next = log_ring_next(ring);

		if (next && (!found || (long)(next->tick - tick) < 0)) {
			found = ring;
			tick = next->tick;
		}
	}
	return found;
}

/* The next line comes to hand. False: there is none. */
static bool next_line(void)
{
	struct log_ring *ring = area ? oldest() : NULL;

	if (!ring)
		return false;
	struct log_record line = *log_ring_next(ring);

	log_ring_take(ring);
	begin_line("", prefix[line.level % ARRAY_SIZE(prefix)]);
	at_hand.length += log_ring_format(&line, at_hand.text + at_hand.length, LINE_BYTES - at_hand.length);
	end_line();
	return true;
}

/* False: nothing is left. */
static bool write_character(void)
{
	if (at_hand.at >= at_hand.length && !next_line())
		return false;
	serial_put(at_hand.text[at_hand.at++]);
	if (at_hand.at >= at_hand.length)
		atomic_fetch_sub_explicit(&log_waiting, 1, memory_order_relaxed);
	return true;
}

bool log_drain(void)
{
	bool moved = false, vain;

	if (!spin_trylock(&output))
		return atomic_load_explicit(&log_waiting, memory_order_relaxed);
	for (u32 i = 0; i < AT_A_TIME && serial_ready() && write_character(); i++)
		moved = true;
	vain_looks = moved ? 0 : vain_looks + 1;
	vain = vain_looks > MAX_VAIN_LOOKS;
	spin_unlock(&output);
	return atomic_load_explicit(&log_waiting, memory_order_relaxed) && !vain;
}

static void write_all(void)
{
	do {
		serial_wait_ready();
	} while (write_character());
}

void log_drain_unlocked(void)
{
	serial_take();
	write_all();
}

void log_flush(void)
{
	spin_lock(&output);
	log_drain_unlocked();
	vain_looks = 0;
	serial_wait_sent();
	spin_unlock(&output);
}

void log_flush_for_guest(void)
{
	spin_lock(&output);
	if (!serial_is_set_up())
		write_all();
	spin_unlock(&output);
}

void log_write_unlocked(const char *first, const char *f, va_list args)
{
	serial_take();
	write_all();
	begin_line(first, "");
	at_hand.length += format_va(at_hand.text + at_hand.length, LINE_BYTES - at_hand.length, f, args);
	end_line();
	atomic_fetch_add_explicit(&log_waiting, 1, memory_order_relaxed);
	write_all();
}

void log_write_now(enum log_level level, const char *f, va_list args)
{
	spin_lock(&output);
	log_write_unlocked(prefix[level], f, args);
	spin_unlock(&output);
}
