/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ports that end the machine. power_port_write() is in power.h. */
#ifndef XMHF_POWER_PORTS_H
#define XMHF_POWER_PORTS_H

#include "lib/base.h"

#define PORT_KBC_COMMAND 0x64
#define PORT_FAST_A20 0x92
#define PORT_RESET 0xcf9

/* Intercepts the ports that are always there and those that ACPI names. */
void ports_init(void);

/* Writes 1, 2 or 4 bytes. */
void ports_write(u16 port, unsigned int size, u32 value);

/* Intercepts a PM1 control register; 0: none. At boot, and under a stop. */
void ports_intercept_pm1(u16 control);

#endif
