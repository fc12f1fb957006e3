/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * COM1. The guest uses it, too, and may set it as it likes: nothing here waits for ever, and nothing is written while
 * the guest has the divisor in the place of the data. Callers hold the log's output lock.
 */
#ifndef XMHF_SERIAL_H
#define XMHF_SERIAL_H

#include "lib/base.h"

#define SERIAL_DATA 0x3f8 /* port of the data register */

void serial_init(void);

/* A character can be written at once. True as well where there is no UART: what is written goes nowhere. */
bool serial_ready(void);

/* Takes the divisor out of the way of the data: only where the guest does not go on. */
void serial_take(void);

/* The guest has the divisor where the data was. */
bool serial_is_set_up(void);

/* Until a character can be written, or has been waited for too long; until all are on the line. */
void serial_wait_ready(void);
void serial_wait_sent(void);

void serial_put(char c);

#endif
