/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See disk.h. A command reaches the drive with the registers that were judged, and no others:
 *
 * - Each register write is kept here, and goes to the drive only while that is idle. What a drive does with a write
 *   while it is busy is not defined: it may ignore it (then the copy would be wrong), or go on with the new address.
 * - A command writes all registers again before itself, under the lock that register writes take as well. So neither
 *   another CPU nor a transfer that counted the address on comes between judgement and command.
 * - A refused command is replaced by NOP, which a drive answers as one that it does not know: error, "aborted",
 *   interrupt.
 *
 * The terms are those of the ATA/ATAPI command set. Ports are 8 bits wide but for the data port.
 */
#include "disk.h"

enum { DATA = 0x1f0, COUNT = DISK_FIRST_PORT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, COMMAND, ALTERNATE_STATUS = 0x3f6,
       CONTROL = 0x3f6 };
enum { DEVICE_SECOND = 1 << 4, DEVICE_LBA = 1 << 6, STATUS_DRQ = 1 << 3, STATUS_BUSY = 1 << 7 };
enum { CONTROL_NO_INTERRUPT = 1 << 1, IDENTIFY_READS = 1000000 }; /* of the status, a microsecond or so each */
enum { NOP = 0x00, DEVICE_RESET = 0x08, IDENTIFY = 0xec };
#define OUTSIDE (~0ull)

/* Where a command's address is. One that is not listed is refused: what it reads or writes is not known. */
enum address { REFUSED, NO_ADDRESS, LBA28, LBA48 };

static const uint8_t addresses[256] = {
	[NOP] = NO_ADDRESS, [DEVICE_RESET] = NO_ADDRESS,
	[0x10] = NO_ADDRESS, /* RECALIBRATE */
	[0x90] = NO_ADDRESS, /* EXECUTE DEVICE DIAGNOSTIC */
	[0xa0] = NO_ADDRESS, [0xa1] = NO_ADDRESS, /* PACKET, IDENTIFY PACKET DEVICE: not for disks */
	[0xc6] = NO_ADDRESS, /* SET MULTIPLE MODE */
	[0xe0 ... 0xe3] = NO_ADDRESS, [0xe5] = NO_ADDRESS, [0xe6] = NO_ADDRESS, /* idle, CHECK POWER MODE, SLEEP */
	[0xe7] = NO_ADDRESS, [0xea] = NO_ADDRESS, /* FLUSH CACHE, EXT */
	[IDENTIFY] = NO_ADDRESS, [0xef] = NO_ADDRESS, /* IDENTIFY DEVICE, SET FEATURES */
	[0x27] = NO_ADDRESS, [0xf8] = NO_ADDRESS, /* READ NATIVE MAX ADDRESS EXT, and without EXT */
	[0x20] = LBA28, [0x21] = LBA28, [0xc4] = LBA28, [0xc8] = LBA28, [0xc9] = LBA28, /* READ SECTORS ... */
	[0x30] = LBA28, [0x31] = LBA28, [0xc5] = LBA28, [0xca] = LBA28, [0xcb] = LBA28, /* WRITE ... */
	[0x40] = LBA28, [0x41] = LBA28, /* READ VERIFY SECTORS */
	[0x24] = LBA48, [0x25] = LBA48, [0x29] = LBA48, /* READ SECTORS EXT, DMA EXT, MULTIPLE EXT */
	[0x34] = LBA48, [0x35] = LBA48, [0x39] = LBA48, [0x3d] = LBA48, [0xce] = LBA48, /* WRITE ..., with FUA */
	[0x42] = LBA48, /* READ VERIFY SECTORS EXT */
};

static bool limited;
static uint64_t first, last; /* the window */
static uint32_t heads, sectors; /* the drive's geometry, for commands by cylinder and head; 0: not known. No command
                                   changes it */
/* These are constant after disk_init(). */

static uint32_t locked;
/* What the guest wrote to COUNT ... DEVICE: the last value, and for 48-bit commands the one before. By `locked`. */
static struct { uint8_t now, before; } task[DEVICE - COUNT + 1];
#define TASK(port) task[(port) - COUNT]

/* No stop is asked for inside, so a CPU that waits here holds up nobody for longer than a few accesses take. */
static void lock(void)
{
	while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

static void unlock(void)
{
	__atomic_store_n(&locked, 0, __ATOMIC_RELEASE);
}

/* Without a drive the lines float, or are pulled down. */
static bool is_there(uint8_t status)
{
	return status != 0xff && status != 0x7f;
}

/* Of the drive that is selected. */
static bool busy(void)
{
	uint8_t status = port_in(ALTERNATE_STATUS);

	return status & (STATUS_BUSY | STATUS_DRQ) && is_there(status);
}

/* A drive needs 400 ns to show its status after it was selected: four reads. */
static bool select(uint8_t device)
{
	port_out(DEVICE, device);
	for (int i = 0; i < 3; i++)
		port_in(ALTERNATE_STATUS);
	return !busy();
}

static bool identify(uint16_t *words)
{
	if (!select(DEVICE_LBA) || !is_there(port_in(ALTERNATE_STATUS)))
		return false;
	port_out(COMMAND, IDENTIFY);
	for (uint32_t i = 0; i < IDENTIFY_READS && port_in(ALTERNATE_STATUS) & STATUS_BUSY; i++)
		;
	if ((port_in(COMMAND) & (STATUS_BUSY | STATUS_DRQ)) != STATUS_DRQ)
		return false;
	for (int i = 0; i < 256; i++)
		words[i] = port_in16(DATA);
	return true;
}

/*
 * Words 3 and 6 of IDENTIFY: heads and sectors at power-on; 53, bit 0, 55 and 56: as they are now. Only where these
 * agree they stay what they are: a reset may bring the former back, and what changes the latter is refused.
 */
static void read_geometry(void)
{
	uint16_t words[256];
	bool lasts;

	port_out(CONTROL, CONTROL_NO_INTERRUPT);
	lasts = identify(words) && words[53] & 1 && words[55] == words[3] && words[56] == words[6];
	heads = lasts ? words[3] : 0;
	sectors = lasts ? words[6] : 0;
	port_out(CONTROL, 0);
}

static const char *number(const char *text, uint64_t *value)
{
	const char *digit = text;

	for (*value = 0; *digit >= '0' && *digit <= '9' && *value < 1ull << 48; digit++)
		*value = *value * 10 + (uint64_t)(*digit - '0');
	return digit == text ? NULL : digit;
}

void disk_init(const char *window)
{
	const char *rest = window ? number(window, &first) : NULL;

	limited = window;
	if (limited)
		read_geometry();
	if (rest && *rest == '-')
		rest = number(rest + 1, &last);
	else
		rest = NULL;
	if (!limited || (rest && !*rest && first <= last))
		return;
	first = 1;
	last = 0;
	hypapi_log("lockdown: disk=%s is not FIRST-LAST: no sector can be used", window);
}

bool disk_is_limited(void)
{
	return limited;
}

/* By cylinder, head and sector; a sector that the geometry has not is outside. */
static uint64_t chs_to_lba(void)
{
	uint32_t cylinder = TASK(LBA_MID).now | TASK(LBA_HIGH).now << 8, head = TASK(DEVICE).now & 0xf;
	uint32_t sector = TASK(LBA_LOW).now;

	if (head >= heads || !sector || sector > sectors)
		return OUTSIDE;
	return ((uint64_t)cylinder * heads + head) * sectors + sector - 1;
}

static uint64_t lba28(void)
{
	if (!(TASK(DEVICE).now & DEVICE_LBA))
		return chs_to_lba();
	return TASK(LBA_LOW).now | TASK(LBA_MID).now << 8 | TASK(LBA_HIGH).now << 16 | (TASK(DEVICE).now & 0xf) << 24;
}

static uint64_t lba48(void)
{
	if (!(TASK(DEVICE).now & DEVICE_LBA))
		return OUTSIDE;
	return TASK(LBA_LOW).now | TASK(LBA_MID).now << 8 | TASK(LBA_HIGH).now << 16 |
	       (uint64_t)TASK(LBA_LOW).before << 24 |
	       (uint64_t)TASK(LBA_MID).before << 32 | (uint64_t)TASK(LBA_HIGH).before << 40;
}

static bool in_window(enum address kind)
{
	uint64_t lba = kind == LBA48 ? lba48() : lba28();
	uint64_t count = TASK(COUNT).now | (kind == LBA48 ? TASK(COUNT).before << 8 : 0);

	if (!count) /* stands for the most */
		count = kind == LBA48 ? 0x10000 : 0x100;
	return lba >= first && lba <= last && count - 1 <= last - lba;
}

static bool is_allowed(uint8_t command)
{
	enum address kind = addresses[command];

	return TASK(DEVICE).now & DEVICE_SECOND || kind == NO_ADDRESS || (kind != REFUSED && in_window(kind));
}

/* False: the drive got a NOP. One that is busy gets nothing, but for what may end its being busy. */
static bool write_command(uint8_t command)
{
	bool allowed = is_allowed(command);

	if (busy() || !select(TASK(DEVICE).now)) {
		if (command == DEVICE_RESET)
			port_out(COMMAND, command);
		return true;
	}
	for (uint16_t port = COUNT; port < DEVICE; port++) {
		port_out(port, TASK(port).before);
		port_out(port, TASK(port).now);
	}
	port_out(COMMAND, allowed ? command : NOP);
	return allowed;
}

static void write_register(uint16_t port, uint8_t value)
{
	if (busy())
		return;
	TASK(port).before = TASK(port).now;
	TASK(port).now = value;
	port_out(port, value);
}

enum hypapi_verdict disk_access(struct hypapi_port_io_args *io, uint64_t *refused)
{
	if (!limited || (io->port == DATA && io->size == 4)) /* 32 bits of data reach into the ports that are claimed */
		return HYPAPI_PASS;
	if (io->size > 1) { /* no driver does that, and chipsets differ in what they make of it */
		io->value = ~0ull;
		return HYPAPI_HANDLED;
	}
	if (io->in)
		return HYPAPI_PASS;
	lock();
	if (io->port != COMMAND)
		write_register(io->port, (uint8_t)io->value);
	else if (!write_command((uint8_t)io->value))
		++*refused;
	unlock();
	return HYPAPI_HANDLED;
}
