/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Formatted output on the first serial port, polled. Knows %d %u %x %s %c %%, the l modifier, width and zero padding.
 * A ticket lock keeps the pieces of several CPUs apart; fail() ignores it, so a CPU that dies while printing is heard.
 */
#include "guest.h"

#define COM1 0x3f8

static volatile u32 ticket_next, ticket_serving;

void serial_init(void)
{
	static const u8 setup[][2] = { { 1, 0 }, { 3, 0x80 }, { 0, 1 }, { 1, 0 }, { 3, 3 }, { 2, 7 }, { 4, 3 } };

	for (size_t i = 0; i < ARRAY_SIZE(setup); i++)
		outb(COM1 + setup[i][0], setup[i][1]);
}

static void put(char c)
{
	if (c == '\n')
		put('\r');
	while (!(inb(COM1 + 5) & 0x20))
		pause();
	outb(COM1, (u8)c);
}

static void put_number(u64 value, u32 base, bool is_negative, int width, char pad)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (is_negative)
		digits[n++] = '-';
	for (int i = n; i < width; i++)
		put(pad);
	while (n)
		put(digits[--n]);
}

static void put_string(const char *text, int width)
{
	for (; *text; text++, width--)
		put(*text);
	for (; width > 0; width--)
		put(' ');
}

static u64 next_number(va_list *args, bool is_long, bool is_signed)
{
	if (is_long)
		return va_arg(*args, u64);
	return is_signed ? (u64)(int64_t)va_arg(*args, int) : va_arg(*args, u32);
}

static const char *put_conversion(const char *f, va_list *args)
{
	char pad = ' ';
	int width = 0;
	bool is_long = false;

	if (*f == '-')
		f++;
	if (*f == '0')
		pad = *f++;
	for (; *f >= '0' && *f <= '9'; f++)
		width = width * 10 + *f - '0';
	for (; *f == 'l'; f++)
		is_long = true;
	if (*f == 'd') {
		int64_t value = (int64_t)next_number(args, is_long, true);

		put_number(value < 0 ? -(u64)value : (u64)value, 10, value < 0, width, pad);
	} else if (*f == 'u' || *f == 'x') {
		put_number(next_number(args, is_long, false), *f == 'x' ? 16 : 10, false, width, pad);
	} else if (*f == 's') {
		put_string(va_arg(*args, const char *), width);
	} else if (*f == 'c') {
		put((char)va_arg(*args, int));
	} else {
		put(*f);
	}
	return f + 1;
}

static void print_args(const char *f, va_list *args)
{
	while (*f) {
		if (*f != '%')
			put(*f++);
		else
			f = put_conversion(f + 1, args);
	}
}

void print(const char *format, ...)
{
	va_list args;
	u32 ticket = __atomic_fetch_add(&ticket_next, 1, __ATOMIC_SEQ_CST);

	while (ticket_serving != ticket)
		pause();
	va_start(args, format);
	print_args(format, &args);
	va_end(args);
	__atomic_store_n(&ticket_serving, ticket + 1, __ATOMIC_RELEASE);
}

void fail(const char *format, ...)
{
	va_list args;

	irq_off();
	put_string("\nT FAIL ", 0);
	va_start(args, format);
	print_args(format, &args);
	va_end(args);
	put('\n');
	guest_done();
}

/* Until the transmitter is empty, so that nothing is lost. */
static void drain(void)
{
	while (!(inb(COM1 + 5) & 0x40))
		pause();
}

void machine_off(void)
{
	drain();
	asm volatile("outw %0, %1" :: "a"((u16)0x2000), "d"((u16)0xb004));
	fail("no power-off");
}

void guest_done(void)
{
	put_string("GUEST DONE\n", 0);
	drain();
	for (const char *text = "Shutdown"; *text; text++)
		outb(0x8900, (u8)*text);
	for (;;)
		asm volatile("cli; hlt");
}

const char *vector_name(u32 vector)
{
	static const char *const names[] = {
		"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9", "#TS", "#NP", "#SS", "#GP",
		"#PF", "15",
		"#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
	};

	if (vector == NO_FAULT)
		return "none";
	return vector < ARRAY_SIZE(names) ? names[vector] : "interrupt";
}
