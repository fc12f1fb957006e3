/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See screen.h. */
#include "report/screen.h"

#include <console_font.h>

#include "lib/string.h"

#define GLYPH_WIDTH 8u
#define GLYPH_HEIGHT 16u
#define COLUMNS_MAX 160u
#define ROWS_MAX 68u
#define ATTRIBUTE 0x0700 /* light grey on black */

/* Changed by the boot CPU, and in a panic. */
static volatile u8 *memory; /* of pixels, or of characters with attributes. NULL: there is no screen */
static struct { u32 pitch, pixel_bytes, white, scale; } format; /* scale: a pixel of a glyph has so many in a row */
static bool has_pixels;
static u32 columns, rows, column, row;
static u8 cells[ROWS_MAX][COLUMNS_MAX]; /* what is on the screen */

static void draw_pixel(u32 x, u32 y, u32 color)
{
	volatile u8 *at = memory + (u64)y * format.pitch + (u64)x * format.pixel_bytes;

	if (format.pixel_bytes == 4)
		*(volatile u32 *)at = color;
	else
		for (u32 i = 0; i < format.pixel_bytes; i++)
			at[i] = (u8)(color >> 8 * i);
}

static void draw_glyph(u32 x, u32 y, u8 c)
{
	const u8 *glyph = console_font[c - ' '];

	for (u32 dy = 0; dy < GLYPH_HEIGHT * format.scale; dy++)
		for (u32 dx = 0; dx < GLYPH_WIDTH * format.scale; dx++) {
			u32 bit = glyph[dy / format.scale] >> (GLYPH_WIDTH - 1 - dx / format.scale) & 1;

			draw_pixel(x + dx, y + dy, bit ? format.white : 0);
		}
}

static void draw(u32 at_row, u32 at_column, u8 c)
{
	if (cells[at_row][at_column] == c)
		return;
	cells[at_row][at_column] = c;
	if (has_pixels)
		draw_glyph(at_column * GLYPH_WIDTH * format.scale, at_row * GLYPH_HEIGHT * format.scale, c);
	else
		((volatile u16 *)memory)[at_row * columns + at_column] = ATTRIBUTE | c;
}

/* It has been cleared. */
static void begin(u32 new_columns, u32 new_rows)
{
	columns = MIN(new_columns, COLUMNS_MAX);
	rows = MIN(new_rows, ROWS_MAX);
	column = row = 0;
	memset(cells, ' ', sizeof(cells));
}

void screen_text(volatile u16 *at, u32 new_columns, u32 new_rows)
{
	memory = (volatile u8 *)at;
	has_pixels = false;
	begin(new_columns, new_rows);
	for (u32 i = 0; i < 2 * columns * rows; i++) /* a mode of twice the rows shows as much again */
		at[i] = ATTRIBUTE | ' ';
}

/* All bits of one color. */
static u64 mask(u32 lowest_bit, u32 bits)
{
	return bits <= 32 && lowest_bit < 32 ? (BIT(bits) - 1) << lowest_bit : ~0ul;
}

bool screen_pixels(volatile u8 *at, const struct boot_framebuffer *fb)
{
	u64 white = mask(fb->red.lowest_bit, fb->red.bits) | mask(fb->green.lowest_bit, fb->green.bits) |
		    mask(fb->blue.lowest_bit, fb->blue.bits);
	u32 bytes = (fb->bits_per_pixel + 7u) / 8;
	/* Not more columns than there is room for: so the text can be read on a screen of many small pixels. */
	u32 scale = 1 + (MAX(fb->width, 1u) - 1) / (COLUMNS_MAX * GLYPH_WIDTH);

	if (bytes < 2 || bytes > 4 || white >= BIT(8 * bytes) || fb->width < GLYPH_WIDTH ||
	    fb->height < GLYPH_HEIGHT * scale || (u64)fb->width * bytes > fb->pitch_bytes)
		return false;
	memory = at;
	has_pixels = true;
	format = (typeof(format)){ fb->pitch_bytes, bytes, (u32)white, scale };
	for (u32 y = 0; y < fb->height; y++)
		for (u32 x = 0; x < fb->width; x++)
			draw_pixel(x, y, 0);
	begin(fb->width / GLYPH_WIDTH / scale, fb->height / GLYPH_HEIGHT / scale);
	return true;
}

void screen_off(void)
{
	memory = NULL;
}

static void end_row(void)
{
	column = 0;
	if (row + 1 < rows) {
		row++;
		return;
	}
	for (u32 r = 0; r < rows; r++)
		for (u32 c = 0; c < columns; c++)
			draw(r, c, r + 1 < rows ? cells[r + 1][c] : ' ');
}

static u32 word_length(const char *text, const char *end)
{
	u32 count = 0;

	while (text + count < end && (u8)text[count] > ' ')
		count++;
	return count;
}

static void put(char c)
{
	if (column == columns)
		end_row();
	draw(row, column++, c >= ' ' && c <= '~' ? (u8)c : '?');
}

void screen_write(const char *text, size_t length)
{
	for (const char *at = text, *end = text + length; memory && at < end; at++) {
		bool is_blank = (u8)*at <= ' ';
		u32 word = at == text || (u8)at[-1] <= ' ' ? word_length(at, end) : 0;

		if (*at == '\n' || (word <= columns && column + word > columns))
			end_row();
		if (*at != '\n' && *at != '\r' && !(is_blank && column == columns))
			put(*at);
	}
}
