/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text on a screen, of which it knows the memory: VGA's text mode, or a linear framebuffer. The font is one of Linux's
 * console (tools/font). Nothing of a screen is read: what is on it is remembered. Pure, so that it is tested on the
 * host; which screen there is, and when it is written to, is report/display.c's.
 */
#ifndef XMHF_SCREEN_H
#define XMHF_SCREEN_H

#include "boot/boot_info.h"

/*
 * Clears it and begins at the top. `columns` and `rows` of characters with attributes, and memory for as many rows
 * again, which are cleared, too; or the framebuffer `fb` at `pixels`. False: it has a format that is not known, and
 * nothing was written.
 */
void screen_text(volatile u16 *characters, u32 columns, u32 rows);
bool screen_pixels(volatile u8 *pixels, const struct boot_framebuffer *fb);

/* No screen any more: screen_write() has no effect. */
void screen_off(void);

/*
 * Writes characters, and scrolls. A word that does not fit in its row begins another one. A line feed ends the row, a
 * carriage return is left out.
 */
void screen_write(const char *text, size_t length);

#endif
