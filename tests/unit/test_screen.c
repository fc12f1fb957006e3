/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text on screens of all formats: what is drawn is read back, from text memory, and pixel by pixel. The memory of each
 * has its exact size, so that the sanitizer sees what is written beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../xmhf/report/screen.c"

static void say(const char *text)
{
	screen_write(text, strlen(text));
}

static void row_is(const u16 *text, u32 at, u32 width, const char *expected)
{
	for (u32 i = 0; i < width; i++)
		assert_int_equal(text[at * width + i], 0x700 | (i < strlen(expected) ? (u8)expected[i] : ' '));
}

static void test_words_and_scrolling(void **state)
{
	u16 *text = malloc(2 * 10 * 4 * sizeof(*text));

	(void)state;
	memset(text, 'o', 2 * 10 * 4 * sizeof(*text));
	screen_text(text, 10, 4);
	row_is(text, 7, 10, "");        /* that a mode of more rows shows */
	say("ab cd ef ijk\r\n");      /* a word begins a row */
	row_is(text, 0, 10, "ab cd ef");
	row_is(text, 1, 10, "ijk");
	say("0123456789\n");            /* a full row, and no empty one behind it */
	row_is(text, 2, 10, "0123456789");
	row_is(text, 3, 10, "");
	say("0123456789abc\n");         /* longer than a row: cut */
	row_is(text, 0, 10, "0123456789");
	row_is(text, 1, 10, "0123456789");
	row_is(text, 2, 10, "abc");
	row_is(text, 3, 10, "");
	say("a\x7f\xc3\x01z");          /* no such glyphs */
	row_is(text, 3, 10, "a???z");
	screen_off();
	say("nothing");
	row_is(text, 3, 10, "a???z");
	free(text);
}

static const struct boot_framebuffer formats[] = {
	{ 0, 32 * 4, 32, 40, 32, { 16, 8 }, { 8, 8 }, { 0, 8 } },
	{ 0, 40 * 4, 33, 47, 32, { 0, 8 }, { 8, 8 }, { 16, 8 } },
	{ 0, 32 * 3 + 5, 32, 40, 24, { 16, 8 }, { 8, 8 }, { 0, 8 } },
	{ 0, 32 * 2, 32, 40, 16, { 11, 5 }, { 5, 6 }, { 0, 5 } },
	{ 0, 32 * 2, 32, 40, 15, { 10, 5 }, { 5, 5 }, { 0, 5 } },
	{ 0, 1281 * 4, 1281, 64, 32, { 16, 8 }, { 8, 8 }, { 0, 8 } }, /* more than 160 columns: all twice as large */
};
static const u32 whites[] = { 0xffffff, 0xffffff, 0xffffff, 0xffff, 0x7fff, 0xffffff };

static u32 pixel(const u8 *memory, const struct boot_framebuffer *fb, u32 x, u32 y)
{
	u32 bytes = (fb->bits_per_pixel + 7) / 8, value = 0;

	memcpy(&value, memory + y * fb->pitch_bytes + x * bytes, bytes);
	return value;
}

static void glyph_is(const u8 *memory, const struct boot_framebuffer *fb, u32 scale, u32 at_row, u32 at_column, char c,
		     u32 white)
{
	for (u32 y = 0; y < 16 * scale; y++)
		for (u32 x = 0; x < 8 * scale; x++) {
			u32 bit = console_font[c - ' '][y / scale] >> (7 - x / scale) & 1;

			assert_int_equal(pixel(memory, fb, at_column * 8 * scale + x, at_row * 16 * scale + y),
					 bit ? white : 0);
		}
}

static void test_pixels(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		const struct boot_framebuffer *fb = &formats[i];
		u32 scale = fb->width > 1280 ? 2 : 1;
		u8 *memory = malloc((size_t)fb->pitch_bytes * fb->height);

		memset(memory, 0x55, (size_t)fb->pitch_bytes * fb->height);
		assert_true(screen_pixels(memory, fb));
		assert_int_equal(pixel(memory, fb, fb->width - 1, fb->height - 1), 0);
		say("Mg\n");
		glyph_is(memory, fb, scale, 0, 0, 'M', whites[i]);
		glyph_is(memory, fb, scale, 0, 1, 'g', whites[i]);
		say("a\n");
		glyph_is(memory, fb, scale, 0, 0, 'a', whites[i]); /* two rows, of which the second is empty now */
		glyph_is(memory, fb, scale, 0, 1, ' ', whites[i]);
		glyph_is(memory, fb, scale, 1, 0, ' ', whites[i]);
		if (fb->pitch_bytes > fb->width * ((fb->bits_per_pixel + 7) / 8)) /* what is not shown */
			assert_int_equal(memory[fb->pitch_bytes - 1], 0x55);
		free(memory);
	}
}

/* A loader's nonsense: nothing is written. */
static void test_formats_refused(void **state)
{
	static const struct boot_framebuffer wrong[] = {
		{ 0, 64, 64, 32, 8, { 0, 3 }, { 3, 3 }, { 6, 2 } },
		{ 0, 64 * 8, 64, 32, 64, { 0, 8 }, { 8, 8 }, { 16, 8 } },
		{ 0, 64 * 4 - 1, 64, 32, 32, { 16, 8 }, { 8, 8 }, { 0, 8 } },
		{ 0, ~0u, ~0u, 32, 32, { 16, 8 }, { 8, 8 }, { 0, 8 } },
		{ 0, 64 * 4, 64, 32, 32, { 16, 8 }, { 8, 8 }, { 30, 8 } },
		{ 0, 64 * 4, 64, 32, 32, { 16, 8 }, { 8, 255 }, { 0, 8 } },
		{ 0, 64 * 2, 64, 32, 16, { 16, 8 }, { 8, 8 }, { 0, 8 } },
		{ 0, 64 * 4, 64, 15, 32, { 16, 8 }, { 8, 8 }, { 0, 8 } },
		{ 0, 1281 * 4, 1281, 31, 32, { 16, 8 }, { 8, 8 }, { 0, 8 } },
		{ 0, 7 * 4, 7, 32, 32, { 16, 8 }, { 8, 8 }, { 0, 8 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(screen_pixels(NULL, &wrong[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_and_scrolling),
		cmocka_unit_test(test_pixels),
		cmocka_unit_test(test_formats_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
