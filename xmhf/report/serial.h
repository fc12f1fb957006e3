/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log's serial port, a 16550: COM1, or another (report/console.h). The guest uses it, too, and may
 * set it as it likes: nothing here waits for ever, and nothing is written while the guest has the divisor in the place
 * of the data. Callers hold the log's output lock.
 */
#ifndef XMHF_SERIAL_H
#define XMHF_SERIAL_H

#include "lib/base.h"

/* Its registers: from `port` on, or in mapped memory, `stride` (1 or 4) bytes each. Neither: there is no port. */
struct serial_place {
	u16 port;
	volatile u8 *registers;
	u8 stride;
};

/* As it is; COM1, set up. At boot. */
void serial_use(const struct serial_place *at);
void serial_use_com1(void);

/* There is one, by its scratch register. At boot. */
bool serial_answers(void);

/* The port of the data register; 0: none. Constant after boot. */
extern u16 serial_data_port;

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
