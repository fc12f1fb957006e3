/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The serial log. A line is formatted into a buffer on the stack first and then written under the log lock, so lines do
 * not mix and a formatting error cannot hold the lock. The lock is never held across a stop (see cpu/spinlock.h).
 */
#include "report/log.h"

#include "cpu/spinlock.h"
#include "cpu/x86.h"
#include "lib/printf.h"
#include "vmx/vmx_insn.h"

#define COM1 0x3f8
#define LSR 5
#define LSR_THR_EMPTY 0x20
#define LSR_ALL_SENT 0x40
#define MAX_SPINS 100000 /* a machine without a UART reads all ones and never waits; a broken one does not hang us */
#define SLOW_SPINS 100   /* for each character after one that was waited for in vain */
#define LINE_BYTES 256

enum log_level log_threshold = LOG_INFO;

static struct spinlock log_lock;
static const char *const prefix[] = { "xmhf: error: ", "xmhf: warning: ", "xmhf: ", "xmhf: debug: " };

void serial_init(void)
{
	static const struct { u8 reg, value; } setup[] = {
		{ 1, 0x00 }, { 3, 0x80 }, { 0, 0x01 }, { 1, 0x00 }, { 3, 0x03 }, { 2, 0xc7 }, { 4, 0x0b },
	};

	for (size_t i = 0; i < ARRAY_SIZE(setup); i++)
		outb(COM1 + setup[i].reg, setup[i].value);
}

/* The guest may have set the UART to a character in six seconds: the log is not worth a machine that stands still. */
static void serial_wait(u8 status)
{
	static bool slow;
	unsigned int most = slow ? SLOW_SPINS : MAX_SPINS, spins = 0;

	for (; spins < most && !(inb(COM1 + LSR) & status); spins++)
		cpu_pause();
	slow = spins == most;
}

static void serial_put(char c)
{
	serial_wait(LSR_THR_EMPTY);
	outb(COM1, (u8)c);
}

void log_flush(void)
{
	serial_wait(LSR_ALL_SENT);
}

static void serial_write(const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			serial_put('\r');
		serial_put(*text);
	}
}

void log_line_va(enum log_level level, const char *f, va_list args)
{
	char line[LINE_BYTES];
	size_t used = format(line, sizeof(line) - 1, "%s", prefix[level]);

	used += format_va(line + used, sizeof(line) - 1 - used, f, args);
	line[used] = '\n';
	line[used + 1] = 0;
	spin_lock(&log_lock);
	serial_write(line);
	spin_unlock(&log_lock);
}

void log_line(enum log_level level, const char *f, ...)
{
	va_list args;

	va_start(args, f);
	log_line_va(level, f, args);
	va_end(args);
}

static _Noreturn void halt(void)
{
	for (;;)
		asm volatile("cli; hlt");
}

void panic(const char *f, ...)
{
	static const u32 fields[] = { VMCS_EXIT_REASON, VMCS_EXIT_QUALIFICATION, VMCS_INSN_ERROR, VMCS_GUEST_RIP,
				      VMCS_GUEST_RSP, VMCS_GUEST_CR0, VMCS_GUEST_CR3, VMCS_GUEST_CR4,
				      VMCS_GUEST_RFLAGS };
	char line[LINE_BYTES];
	va_list args;

	va_start(args, f);
	format_va(line, sizeof(line), f, args);
	va_end(args);
	/* No lock: the CPU that holds it may be the one that panics. */
	serial_write("\nxmhf: PANIC: ");
	serial_write(line);
	serial_write("\n");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		u64 value;

		if (vmx_is_on() && vmx_vmread(fields[i], &value)) {
			format(line, sizeof(line), "xmhf: PANIC: vmcs %04x = %016lx\n", fields[i], value);
			serial_write(line);
		}
	}
	halt();
}

void boot_refuse(const char *f, ...)
{
	va_list args;

	va_start(args, f);
	log_line_va(LOG_ERROR, f, args);
	va_end(args);
	log_line(LOG_ERROR, "the machine is halted; nothing was changed on it");
	halt();
}
