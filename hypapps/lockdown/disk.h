/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk of an environment: the first drive of the primary ATA channel, of which the boot option
 * lockdown.disk=FIRST-LAST leaves the environment the sectors FIRST to LAST.
 */
#ifndef LOCKDOWN_DISK_H
#define LOCKDOWN_DISK_H

#include <hypapi/hypapi.h>

/*
 * The ports to claim: sector count, LBA, device, command. Not the data port and the error register before them, and
 * not 0x3f6: they carry no address, and a claim of the error register would make an event of each 16 bits of data.
 */
#define DISK_FIRST_PORT 0x1f2u
#define DISK_LAST_PORT 0x1f7u

/* What a boot option says; NULL: all sectors. A text that is not FIRST-LAST leaves none. Before any guest runs. */
void disk_init(const char *window);
bool disk_is_limited(void);
/* An access to a claimed port, on any CPU. `refused` counts commands that the drive did not get. */
enum hypapi_verdict disk_access(struct hypapi_port_io_args *io, uint64_t *refused);

/* port.S; a test brings its own drive. */
uint8_t port_in(uint16_t port);
uint16_t port_in16(uint16_t port);
void port_out(uint16_t port, uint8_t value);

#endif
