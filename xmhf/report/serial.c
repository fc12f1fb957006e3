/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See serial.h. Reading LCR and LSR changes nothing that a guest's driver needs; reading IIR would. */
#include "report/serial.h"

#include "cpu/x86.h"

#define LCR 3
#define LCR_DIVISOR 0x80
#define LSR 5
#define LSR_THR_EMPTY 0x20
#define LSR_ALL_SENT 0x40
#define NOTHING_THERE 0xff
#define MAX_SPINS 100000 /* a machine without a UART reads all ones and never waits; a broken one does not hang us */
#define SLOW_SPINS 100   /* for each character after one that was waited for in vain */

void serial_init(void)
{
	static const struct { u8 reg, value; } setup[] = {
		{ 1, 0x00 }, { 3, 0x80 }, { 0, 0x01 }, { 1, 0x00 }, { 3, 0x03 }, { 2, 0xc7 }, { 4, 0x0b },
	};

	for (size_t i = 0; i < ARRAY_SIZE(setup); i++)
		outb(SERIAL_DATA + setup[i].reg, setup[i].value);
}

bool serial_is_set_up(void)
{
	u8 lcr = inb(SERIAL_DATA + LCR);

	return lcr != NOTHING_THERE && (lcr & LCR_DIVISOR);
}

bool serial_ready(void)
{
	return !serial_is_set_up() && (inb(SERIAL_DATA + LSR) & LSR_THR_EMPTY);
}

void serial_take(void)
{
	if (serial_is_set_up())
		outb(SERIAL_DATA + LCR, inb(SERIAL_DATA + LCR) & (u8)~LCR_DIVISOR);
}

/* The guest may have set the UART to a character in six seconds: the log is not worth a machine that stands still. */
static void wait(u8 status)
{
	static bool slow;
	unsigned int most = slow ? SLOW_SPINS : MAX_SPINS, spins = 0;

	for (; spins < most && !(inb(SERIAL_DATA + LSR) & status); spins++)
		cpu_pause();
	slow = spins == most;
}

void serial_wait_ready(void)
{
	wait(LSR_THR_EMPTY);
}

void serial_wait_sent(void)
{
	wait(LSR_ALL_SENT);
}

void serial_put(char c)
{
	outb(SERIAL_DATA, (u8)c);
}
