/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which serial port the log goes to: the option console, none, com1 (default), acpi, mmio:ADDRESS, mmio32:ADDRESS or
 * pci:BUS:DEVICE.FUNCTION. Only COM1 is set up; another one is used as the firmware has left it. What is not understood
 * is refused. At boot; callers: boot/start.c, boot_refuse().
 */
#ifndef XMHF_CONSOLE_H
#define XMHF_CONSOLE_H

/* When the options are known; and, for what the firmware's tables say, when these are. */
void console_choose(void);
void console_choose_by_acpi(void);

/* COM1, if none has been chosen: for a refusal. */
void console_default(void);

#endif
