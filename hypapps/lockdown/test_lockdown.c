/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lockdown on the host: a core that grants what it is asked for, and a drive with the registers of one. The drive
 * ignores register writes while it is busy, and its registers count on during a transfer, as those of real ones may.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <lockdown/abi.h>

#include "disk.h"

extern const struct hypapp_descriptor hypapp_lockdown;
const char HYPAPI_VERSION_SYMBOL[] = "fake";

enum { CPUS = 3, FRAME = 0x5000, IDLE = 0x50, DRQ = 0x58, BSY = 0xd0, IDENTIFY = 0xec, NO_COMMAND = 0x100 };

static struct {
	const char *option;
	uint64_t regs[HYPAPI_REG_COUNT];
	_Alignas(8) uint8_t storage[CPUS][64];
	int stops, translate, dma_warnings;
	uint32_t features;
	uint32_t rights; /* that the caller has to every page */
	uint32_t restricted;
	gpa1_t restricted_page;
} fake;
static struct { uint8_t now, before; } drive_regs[6];
static struct { uint8_t status; uint32_t command, words_read; uint16_t identity[256]; } drive;

/* ---- hypapi ---- */

const char *hypapi_option(const char *name)
{
	assert_string_equal(name, "lockdown.disk");
	return fake.option;
}

void hypapi_log(const char *format, ...) { fake.dma_warnings += strstr(format, "no DMA protection") != NULL; }
uint32_t hypapi_features(void) { return fake.features; }
uint64_t hypapi_reg_get(const struct hypapi_event *ev, enum hypapi_reg reg) { (void)ev; return fake.regs[reg]; }

int hypapi_reg_set(struct hypapi_event *ev, enum hypapi_reg reg, uint64_t value)
{
	(void)ev;
	fake.regs[reg] = value;
	return HYPAPI_OK;
}

int hypapi_quiesce(struct hypapi_event *ev)
{
	fake.stops++;
	ev->stopped = true;
	return 0;
}

void *hypapi_cpu_storage(const struct hypapi_event *ev, uint32_t cpu)
{
	assert_true(cpu == ev->cpu || ev->stopped);
	assert_true(hypapp_lockdown.cpu_bytes <= sizeof(fake.storage[0]));
	return cpu < CPUS ? fake.storage[cpu] : NULL;
}

int hypapi_translate(const struct hypapi_event *ev, gva_t gva, uint32_t rights, struct hypapi_page *page)
{
	assert_true(ev->stopped);
	page->gpa1 = GPA1(FRAME + gva.addr % HYPAPI_PAGE_SIZE);
	return rights & ~fake.rights ? HYPAPI_EPERM : fake.translate;
}

int hypapi_memory_restrict(struct hypapi_event *ev, gpa1_t page, size_t page_count, uint32_t rights)
{
	assert_true(ev->stopped);
	assert_int_equal(page_count, 1);
	fake.restricted = rights;
	fake.restricted_page = page;
	return page.addr % HYPAPI_PAGE_SIZE ? HYPAPI_EINVAL : HYPAPI_OK;
}

/* ---- The drive ---- */

uint8_t port_in(uint16_t port)
{
	assert_true(port == 0x3f6 || port == 0x1f7);
	return drive.status;
}

uint16_t port_in16(uint16_t port)
{
	assert_int_equal(port, 0x1f0);
	assert_int_equal(drive.status, DRQ);
	if (drive.words_read == 255)
		drive.status = IDLE;
	return drive.identity[drive.words_read++ % 256];
}

void port_out(uint16_t port, uint8_t value)
{
	if (port == 0x3f6)
		return;
	assert_in_range(port, DISK_FIRST_PORT, DISK_LAST_PORT);
	if (port == DISK_LAST_PORT) {
		drive.command = value;
		if (value == IDENTIFY && !drive.words_read)
			drive.status = DRQ;
	} else if (drive.status == IDLE) {
		drive_regs[port - DISK_FIRST_PORT].before = drive_regs[port - DISK_FIRST_PORT].now;
		drive_regs[port - DISK_FIRST_PORT].now = value;
	}
}

/* ---- Events ---- */

static struct hypapi_event event(uint32_t type, uint32_t level)
{
	return (struct hypapi_event){ .size = sizeof(struct hypapi_event), .type = type, .level = level,
				      .long_mode = true };
}

static enum hypapi_verdict deliver(struct hypapi_event *ev)
{
	for (const struct hypapi_subscription *s = hypapp_lockdown.subscriptions; s->handler; s++)
		if (s->type == ev->type)
			return s->handler(ev);
	fail_msg("nobody subscribed to event %u", ev->type);
	return HYPAPI_PASS;
}

static void boot_with(const char *disk, uint32_t features)
{
	struct hypapi_event ev = event(HYPAPI_EV_INIT, HYPAPI_L0);

	memset(&fake, 0, sizeof(fake));
	fake.features = features;
	fake.option = disk;
	fake.rights = HYPAPI_RWX;
	drive.status = IDLE;
	drive.words_read = 0;
	assert_int_equal(deliver(&ev), HYPAPI_PASS);
	assert_int_equal(drive.words_read, disk ? 256 : 0);
	drive.command = NO_COMMAND;
}

static void boot(const char *disk)
{
	boot_with(disk, 0);
}

/* What IDENTIFY says of heads and sectors, at power-on and now. */
static void set_geometry(uint16_t heads, uint16_t sectors, bool valid, uint16_t heads_now, uint16_t sectors_now)
{
	drive.identity[3] = heads;
	drive.identity[6] = sectors;
	drive.identity[53] = valid;
	drive.identity[55] = heads_now;
	drive.identity[56] = sectors_now;
}

static enum hypapi_verdict access_port(uint16_t port, uint8_t size, bool in, uint64_t *value)
{
	struct hypapi_event ev = event(HYPAPI_EV_PORT_IO, HYPAPI_L2);
	enum hypapi_verdict verdict;

	ev.cpu = 1;
	ev.args.port_io = (struct hypapi_port_io_args){ .port = port, .size = size, .in = in, .value = *value,
							.count = 1 };
	verdict = deliver(&ev);
	*value = ev.args.port_io.value;
	return verdict;
}

static void out(uint16_t port, uint8_t byte)
{
	uint64_t value = byte;

	assert_int_equal(access_port(port, 1, false, &value), HYPAPI_HANDLED);
}

static void set_task(uint64_t lba, uint32_t count, uint8_t device)
{
	for (int i = 0; i < 3; i++) {
		out((uint16_t)(0x1f3 + i), (uint8_t)(lba >> (24 + 8 * i)));
		out((uint16_t)(0x1f3 + i), (uint8_t)(lba >> 8 * i));
	}
	out(0x1f2, (uint8_t)(count >> 8));
	out(0x1f2, (uint8_t)count);
	out(0x1f6, device);
}

/* What the drive gets when the guest gives this command. */
static uint32_t command(uint8_t byte)
{
	drive.command = NO_COMMAND;
	out(0x1f7, byte);
	return drive.command;
}

static uint32_t command_at(uint64_t lba, uint32_t count, uint8_t byte)
{
	set_task(lba, count, 0xe0);
	return command(byte);
}

static uint32_t call(uint32_t number, uint32_t level, uint8_t cpl, uint64_t rcx, enum hypapi_verdict wanted)
{
	struct hypapi_event ev = event(HYPAPI_EV_HYPERCALL, level);

	ev.cpl = cpl;
	ev.args.hypercall.number = number;
	fake.regs[HYPAPI_REG_RCX] = rcx;
	fake.regs[HYPAPI_REG_RAX] = 0x1234;
	assert_int_equal(deliver(&ev), wanted);
	return (uint32_t)fake.regs[HYPAPI_REG_RAX];
}

/* Accesses, commands refused, fetches refused. */
static void assert_counts(uint64_t accesses, uint64_t commands, uint64_t fetches)
{
	int stops = fake.stops;

	assert_int_equal(call(LOCKDOWN_COUNTS, HYPAPI_L1, 0, 0, HYPAPI_HANDLED), LOCKDOWN_OK);
	assert_int_equal(fake.stops, stops + 1);
	assert_int_equal(fake.regs[HYPAPI_REG_RBX], accesses);
	assert_int_equal(fake.regs[HYPAPI_REG_RCX], commands);
	assert_int_equal(fake.regs[HYPAPI_REG_RDX], fetches);
}

/* ---- Tests ---- */

static void without_a_window_all_passes(void **state)
{
	uint64_t value = 0x20;

	(void)state;
	boot(NULL);
	assert_int_equal(access_port(0x1f7, 1, false, &value), HYPAPI_PASS);
	assert_int_equal(access_port(0x1f0, 4, true, &value), HYPAPI_PASS);
	assert_int_equal(drive.command, NO_COMMAND);
	assert_counts(2, 0, 0);
}

static void sectors_of_the_window(void **state)
{
	static const struct { uint64_t lba; uint32_t count; uint8_t command; bool allowed; } cases[] = {
		{ 100, 1, 0x20, true }, { 99, 1, 0x20, false }, { 199, 1, 0x30, true }, { 200, 1, 0x30, false },
		{ 100, 100, 0xc8, true }, { 100, 101, 0xca, false }, { 0, 100, 0xc4, false }, { 150, 0, 0x20, false },
		{ 100, 100, 0x25, true }, { 100, 0, 0x25, false }, { 100 | 1ull << 32, 1, 0x24, false },
		{ 100 | 1ull << 24, 1, 0x34, false }, { 100 | 1ull << 40, 1, 0x35, false }, { 100, 0x101, 0x39, false },
		{ 100 | 1ull << 16, 1, 0x40, false }, { 0, 0, 0xec, true }, { 0, 0, 0xe7, true },
		{ 100, 1, 0x22, false }, { 100, 1, 0xb0, false }, { 100, 1, 0xf4, false }, { 100, 1, 0xff, false },
	};
	uint64_t refused = 0;

	(void)state;
	boot("100-199");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (command_at(cases[i].lba, cases[i].count, cases[i].command) !=
		    (cases[i].allowed ? cases[i].command : 0))
			fail_msg("case %zu: the drive got %x", i, drive.command);
		refused += !cases[i].allowed;
	}
	assert_counts(10 * sizeof(cases) / sizeof(cases[0]), refused, 0);
}

static void bits_of_the_device_register(void **state)
{
	(void)state;
	boot("100-199");
	set_task(100, 1, 0xe1); /* LBA 27 to 24 */
	assert_int_equal(command(0x20), 0);
	set_task(5, 1, 0xf0); /* the second drive is not ours to judge */
	assert_int_equal(command(0x22), 0x22);
}

static void cylinder_head_and_sector(void **state)
{
	(void)state;
	set_geometry(16, 63, true, 16, 63);
	boot("63-1070"); /* cylinder 0 from head 1 on, cylinder 1 to head 0 */
	set_task(1, 1, 0xa1);
	assert_int_equal(command(0x20), 0x20);
	set_task(63, 1, 0xa0);
	assert_int_equal(command(0x20), 0);
	set_task(63 | 1 << 8, 1, 0xa0);
	assert_int_equal(command(0x20), 0x20);
	set_task(63 | 1 << 8, 2, 0xa0);
	assert_int_equal(command(0x20), 0);
	set_task(0, 1, 0xa1); /* sectors count from 1 */
	assert_int_equal(command(0x20), 0);
	set_task(64, 1, 0xa1);
	assert_int_equal(command(0x20), 0);
	set_task(1, 1, 0xa1); /* 48-bit commands have no such address */
	assert_int_equal(command(0x24), 0);
	assert_int_equal(command(0x91), 0); /* another geometry */
	set_geometry(16, 63, true, 8, 63);
	boot("63-1070");
	set_task(1, 1, 0xa1);
	assert_int_equal(command(0x20), 0);
	set_geometry(16, 63, false, 16, 63);
	boot("63-1070");
	set_task(1, 1, 0xa1);
	assert_int_equal(command(0x20), 0);
}

/* The registers that were judged, whatever has become of the drive's own since. */
static void the_command_comes_with_its_registers(void **state)
{
	(void)state;
	boot("100-199");
	set_task(150, 2, 0xe0);
	memset(drive_regs, 0xa5, sizeof(drive_regs));
	assert_int_equal(command(0x24), 0x24);
	assert_int_equal(drive_regs[0].now, 2);
	assert_int_equal(drive_regs[0].before, 0);
	assert_int_equal(drive_regs[1].now, 150);
	assert_int_equal(drive_regs[1].before, 0);
	assert_int_equal(drive_regs[2].now | drive_regs[2].before | drive_regs[3].now | drive_regs[3].before, 0);
	assert_int_equal(drive_regs[4].now, 0xe0);
}

/* Registers written to a busy drive would be forgotten by it, but not here. */
static void a_busy_drive_gets_nothing(void **state)
{
	static const uint8_t busy[] = { BSY, DRQ };

	(void)state;
	boot("100-199");
	for (size_t i = 0; i < 2; i++) {
		set_task(5, 1, 0xe0);
		drive.status = busy[i];
		set_task(100, 1, 0xe0);
		assert_int_equal(command(0x20), NO_COMMAND);
		assert_int_equal(command(0x08), 0x08);
		drive.status = IDLE;
		assert_int_equal(drive_regs[1].now, 5);
		assert_int_equal(command(0x20), 0);
	}
	drive.status = 0xff; /* no drive there: selecting another must be possible */
	out(0x1f6, 0xe0);
	drive.status = IDLE;
	assert_int_equal(command_at(100, 1, 0x20), 0x20);
}

static void wide_accesses(void **state)
{
	uint64_t value = 0x2001;

	(void)state;
	boot("100-199");
	set_task(100, 1, 0xe0);
	assert_int_equal(access_port(0x1f6, 2, false, &value), HYPAPI_HANDLED);
	assert_int_equal(access_port(0x1f1, 2, false, &value), HYPAPI_HANDLED);
	assert_int_equal(drive.command, NO_COMMAND);
	assert_int_equal(drive_regs[4].now, 0xe0);
	value = 0;
	assert_int_equal(access_port(0x1f4, 4, true, &value), HYPAPI_HANDLED);
	assert_int_equal((uint32_t)value, ~0u);
	assert_int_equal(access_port(0x1f0, 4, true, &value), HYPAPI_PASS);
	assert_int_equal(access_port(0x1f7, 1, true, &value), HYPAPI_PASS);
}

static void what_is_no_window_leaves_nothing(void **state)
{
	static const char *const options[] = { "", "100", "100-", "-5", "9-8", "0x10-0x20", "1-2-3",
					       "1-99999999999999999999" };

	(void)state;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		boot(options[i]);
		assert_int_equal(command_at(1, 1, 0x20), 0);
		assert_int_equal(command_at(0, 1, 0x20), 0);
	}
	boot("0-0");
	assert_int_equal(command_at(0, 1, 0x20), 0x20);
}

static void the_limits_of_a_window_are_told(void **state)
{
	(void)state;
	boot_with("10-20", 0);
	assert_int_equal(fake.dma_warnings, 1);
	boot_with("10-20", HYPAPI_FEATURE_DMA);
	assert_int_equal(fake.dma_warnings, 0);
	boot_with(NULL, 0);
	assert_int_equal(fake.dma_warnings, 0);
}

static void status_and_switch(void **state)
{
	(void)state;
	boot(NULL);
	assert_int_equal(call(LOCKDOWN_STATUS, HYPAPI_L2, 3, 0, HYPAPI_HANDLED), LOCKDOWN_OK);
	assert_int_equal(fake.regs[HYPAPI_REG_RBX], LOCKDOWN_RED);
	assert_int_equal(fake.regs[HYPAPI_REG_RCX], 1);
	assert_int_equal(fake.regs[HYPAPI_REG_RDX], LOCKDOWN_VERSION);
	assert_int_equal(call(LOCKDOWN_SWITCH, HYPAPI_L1, 0, LOCKDOWN_GREEN, HYPAPI_HANDLED), LOCKDOWN_E_ABSENT);
	assert_int_equal(call(LOCKDOWN_SWITCH, HYPAPI_L1, 0, LOCKDOWN_RED, HYPAPI_HANDLED), LOCKDOWN_OK);
	assert_int_equal(call(LOCKDOWN_SWITCH, HYPAPI_L2, 0, LOCKDOWN_RED, HYPAPI_HANDLED), LOCKDOWN_E_LEVEL);
	call(LOCKDOWN_SWITCH, HYPAPI_L1, 3, LOCKDOWN_GREEN, HYPAPI_DENY);
	call(LOCKDOWN_COUNTS, HYPAPI_L1, 3, 0, HYPAPI_DENY);
	call(LOCKDOWN_LAST, HYPAPI_L1, 0, 0, HYPAPI_DENY);
	assert_int_equal(fake.stops, 0);
}

/* A page that many machines share is read-only to each: none of them may take it from the others. */
static void who_may_only_read_guards_nothing(void **state)
{
	(void)state;
	boot(NULL);
	fake.rights = HYPAPI_RX;
	assert_int_equal(call(LOCKDOWN_GUARD, HYPAPI_L2, 0, 0x7123, HYPAPI_HANDLED), LOCKDOWN_E_FAULT);
	assert_int_equal(fake.restricted_page.addr, 0);
	fake.rights = HYPAPI_RW;
	assert_int_equal(call(LOCKDOWN_GUARD, HYPAPI_L2, 0, 0x7123, HYPAPI_HANDLED), LOCKDOWN_OK);
}

static void guarded_pages_run_no_code(void **state)
{
	struct hypapi_event ev = event(HYPAPI_EV_EPT_VIOLATION, HYPAPI_L1);

	(void)state;
	boot(NULL);
	assert_int_equal(call(LOCKDOWN_GUARD, HYPAPI_L2, 0, 0x7123, HYPAPI_HANDLED), LOCKDOWN_OK);
	assert_int_equal(fake.restricted, HYPAPI_RW);
	assert_int_equal(fake.restricted_page.addr, FRAME);
	call(LOCKDOWN_GUARD, HYPAPI_L1, 3, 0x7123, HYPAPI_DENY);
	fake.translate = HYPAPI_EFAULT;
	assert_int_equal(call(LOCKDOWN_GUARD, HYPAPI_L1, 0, 0x7123, HYPAPI_HANDLED), LOCKDOWN_E_FAULT);
	ev.args.violation.access = HYPAPI_X;
	assert_int_equal(deliver(&ev), HYPAPI_DENY);
	ev.args.violation.access = HYPAPI_W;
	assert_int_equal(deliver(&ev), HYPAPI_PASS);
	assert_counts(0, 0, 1);
}

static void counts_of_all_cpus(void **state)
{
	struct hypapi_event ev = event(HYPAPI_EV_PORT_IO, HYPAPI_L1);

	(void)state;
	boot(NULL);
	for (ev.cpu = 0; ev.cpu < CPUS; ev.cpu++)
		for (uint32_t i = 0; i <= ev.cpu; i++)
			deliver(&ev);
	assert_counts(1 + 2 + 3, 0, 0);
}

static enum hypapi_verdict sleep_in(uint32_t phase)
{
	struct hypapi_event ev = event(HYPAPI_EV_SLEEP, HYPAPI_L0);

	ev.phase = phase;
	return deliver(&ev);
}

static void no_sleep_with_a_window(void **state)
{
	(void)state;
	boot(NULL);
	assert_int_equal(sleep_in(HYPAPI_PREPARE), HYPAPI_PASS);
	assert_int_equal(sleep_in(HYPAPI_COMMIT), HYPAPI_PASS);
	boot("100-199");
	assert_int_equal(sleep_in(HYPAPI_PREPARE), HYPAPI_DENY);
	assert_int_equal(sleep_in(HYPAPI_ABORT), HYPAPI_PASS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_window_all_passes), cmocka_unit_test(sectors_of_the_window),
		cmocka_unit_test(bits_of_the_device_register), cmocka_unit_test(the_command_comes_with_its_registers),
		cmocka_unit_test(a_busy_drive_gets_nothing), cmocka_unit_test(wide_accesses),
		cmocka_unit_test(cylinder_head_and_sector),
		cmocka_unit_test(what_is_no_window_leaves_nothing), cmocka_unit_test(the_limits_of_a_window_are_told),
		cmocka_unit_test(status_and_switch),
		cmocka_unit_test(guarded_pages_run_no_code), cmocka_unit_test(who_may_only_read_guards_nothing),
		cmocka_unit_test(counts_of_all_cpus),
		cmocka_unit_test(no_sleep_with_a_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
