/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See display.h. */
#include "report/display.h"

#include "boot/boot_info.h"
#include "core/cmdline.h"
#include "core/config.h"
#include "mem/pages.h"
#include "mem/phys_bits.h"
#include "mem/root_map.h"
#include "report/log.h"
#include "report/screen.h"

/* BIOS data area: the video mode, and how wide it is */
#define BDA_MODE 0x449ul
#define BDA_COLUMNS 0x44aul
#define MODE_COLOR_80 3 /* so is 2 */
#define TEXT_MEMORY 0xb8000ul
#define TEXT_COLUMNS 80
#define TEXT_ROWS 25 /* at least */

static const char banner[] = "XMHF " CONFIG_VERSION ", a thin hypervisor\n";

static enum { UNKNOWN, CLOSED, MAPPED, USED } state;
static bool has_pixels;
static void *memory;

/* Not in an operating system's memory: the firmware may be wrong. */
static bool framebuffer_is_sane(const struct boot_framebuffer *fb)
{
	u64 bytes = (u64)fb->pitch_bytes * fb->height;

	return fb->width && bytes <= ROOT_WINDOW_BYTES - SIZE_2M && fb->addr < BIT(phys_bits()) - bytes &&
	       memory_map_is_ram(fb->addr, fb->addr + bytes) == 0;
}

static bool is_text_mode(void)
{
	const volatile u8 *bda = phys_to_virt(HPA(0));

	return boot_info.firmware == FIRMWARE_BIOS && (bda[BDA_MODE] | 1) == MODE_COLOR_80 &&
	       bda[BDA_COLUMNS] == TEXT_COLUMNS;
}

static void map(void)
{
	const struct boot_framebuffer *fb = &boot_info.framebuffer;

	has_pixels = framebuffer_is_sane(fb);
	if (has_pixels)
		memory = root_map_window(ROOT_WINDOW_SCREEN, fb->addr, (u64)fb->pitch_bytes * fb->height);
	else if (is_text_mode())
		memory = phys_to_virt(HPA(TEXT_MEMORY)); /* a page of a window would have RAM in it, too */
	state = memory ? MAPPED : CLOSED;
}

static void use(void)
{
	state = USED; /* first, since a fault in here is a panic, too */
	if (has_pixels)
		(void)screen_pixels(memory, &boot_info.framebuffer);
	else
		screen_text(memory, TEXT_COLUMNS, TEXT_ROWS);
	screen_write(banner, sizeof(banner) - 1);
}

void display_open(void)
{
	if (state != UNKNOWN)
		return;
	map();
	if (state == MAPPED && !boot_way_back)
		use();
}

void display_close(void)
{
	screen_off();
	if (state != UNKNOWN && !cmdline_is("panic-screen", "on"))
		root_map_window_close(ROOT_WINDOW_SCREEN);
	state = memory && cmdline_is("panic-screen", "on") ? MAPPED : CLOSED;
}

void display_for_panic(void)
{
	if (state == MAPPED)
		use();
}
