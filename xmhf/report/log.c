/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See log.h: where a line goes, and the lines after which the machine halts. */
#include "report/log.h"

#include "cpu/percpu.h"
#include "cpu/x86.h"
#include "lib/printf.h"
#include "report/console.h"
#include "report/display.h"
#include "report/log_output.h"
#include "report/serial.h"
#include "vmx/vmx_insn.h"

enum log_level log_threshold = LOG_INFO;

/* EARLY: there are no rings. AT_ONCE: what goes to a ring goes out at once. */
static enum { EARLY, AT_ONCE, WAITING } phase;

void log_at_once(bool now)
{
	phase = now ? AT_ONCE : WAITING;
	log_flush();
}

void log_line_va(enum log_level level, const char *f, va_list args)
{
	if (unlikely(phase == EARLY || !this_cpu()->log)) {
		log_write_now(level, f, args);
		return;
	}
	struct percpu *cpu = this_cpu();

	atomic_fetch_add_explicit(&log_waiting, log_ring_put(cpu->log, rdtsc(), level, f, args), memory_order_relaxed);
	if (likely(phase == WAITING))
		cpu->guard |= GUARD_LOG;
	else
		log_flush();
}

void log_dropped(u32 count)
{
	struct percpu *cpu = phase == EARLY ? NULL : this_cpu();

	if (cpu && cpu->log)
		cpu->log->dropped += count;
	else
		log_now(log_left_out, count);
}

void log_line(enum log_level level, const char *f, ...)
{
	va_list args;

	va_start(args, f);
	log_line_va(level, f, args);
	va_end(args);
}

void log_now(const char *f, ...)
{
	va_list args;

	va_start(args, f);
	log_write_now(LOG_INFO, f, args);
	va_end(args);
}

void panic_line(const char *f, ...)
{
	va_list args;

	display_for_panic();
	va_start(args, f);
	log_write_unlocked("PANIC: ", f, args);
	va_end(args);
}

void panic(const char *f, ...)
{
	static const u32 fields[] = { VMCS_EXIT_REASON, VMCS_EXIT_QUALIFICATION, VMCS_INSN_ERROR, VMCS_GUEST_RIP,
				      VMCS_GUEST_RSP, VMCS_GUEST_CR0, VMCS_GUEST_CR3, VMCS_GUEST_CR4,
				      VMCS_GUEST_RFLAGS };
	va_list args;

	/* No lock: the CPU that holds it may be the one that panics. */
	display_for_panic();
	log_drain_unlocked();
	serial_wait_ready();
	serial_put('\n');
	va_start(args, f);
	log_write_unlocked("PANIC: ", f, args);
	va_end(args);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		u64 value;

		if (vmx_is_on() && vmx_vmread(fields[i], &value))
			panic_line("vmcs %04x = %016lx", fields[i], value);
	}
	halt();
}

void (*boot_way_back)(const char *why);

void boot_refuse(const char *f, ...)
{
	char why[256];
	va_list args;

	display_open();
	console_default();
	va_start(args, f);
	format_va(why, sizeof(why), f, args);
	va_end(args);
	log_line(LOG_ERROR, "%s", why);
	if (boot_way_back)
		boot_way_back(why);
	log_line(LOG_ERROR, "the machine is halted; nothing was changed on it: switch it off, or press its reset "
		 "button");
	halt();
}
