/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See serial.h. Reading LCR and LSR changes nothing that a guest's driver needs; reading IIR would. */
#include "report/serial.h"

#include "cpu/x86.h"

#define COM1 0x3f8
#define LCR 3
#define LCR_DIVISOR 0x80
#define LSR 5
#define LSR_THR_EMPTY 0x20
#define LSR_ALL_SENT 0x40
#define SCRATCH 7        /* keeps what is written */
#define SCRATCH_VALUE 0x5a
#define NOTHING_THERE 0xff
#define MAX_SPINS 100000 /* a machine without a UART reads all ones and never waits; a broken one does not hang us */
#define SLOW_SPINS 100   /* for each character after one that was waited for in vain */

static struct serial_place place; /* constant after boot */
u16 serial_data_port;

/* Where there is no port, all has been sent. */
static u8 get(u8 reg)
{
	if (place.registers)
		return place.stride == 4 ? (u8)((volatile u32 *)place.registers)[reg] : place.registers[reg];
	return place.port ? inb(place.port + reg) : LSR_THR_EMPTY | LSR_ALL_SENT;
}

static void set(u8 reg, u8 value)
{
	if (place.registers && place.stride == 4)
		((volatile u32 *)place.registers)[reg] = value;
	else if (place.registers)
		place.registers[reg] = value;
	else if (place.port)
		outb(place.port + reg, value);
}

void serial_use(const struct serial_place *at)
{
	place = *at;
	serial_data_port = at->port;
}

void serial_use_com1(void)
{
	static const struct { u8 reg, value; } setup[] = {
		{ 1, 0x00 }, { 3, 0x80 }, { 0, 0x01 }, { 1, 0x00 }, { 3, 0x03 }, { 2, 0xc7 }, { 4, 0x0b },
	};

	serial_use(&(struct serial_place){ .port = COM1 });
	for (size_t i = 0; i < ARRAY_SIZE(setup); i++)
		set(setup[i].reg, setup[i].value);
}

bool serial_answers(void)
{
	set(SCRATCH, SCRATCH_VALUE);
	return get(SCRATCH) == SCRATCH_VALUE;
}

bool serial_is_set_up(void)
{
	u8 lcr = get(LCR);

	return lcr != NOTHING_THERE && (lcr & LCR_DIVISOR);
}

bool serial_ready(void)
{
	return !serial_is_set_up() && (get(LSR) & LSR_THR_EMPTY);
}

void serial_take(void)
{
	if (serial_is_set_up())
		set(LCR, get(LCR) & (u8)~LCR_DIVISOR);
}

/* The guest may have set the UART to a character in six seconds: the log is not worth a machine that stands still. */
static void wait(u8 status)
{
	static bool slow;
	unsigned int most = slow ? SLOW_SPINS : MAX_SPINS, spins = 0;

	for (; spins < most && !(get(LSR) & status); spins++)
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
	set(0, (u8)c);
}
