/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot/chipset.c against host bridges of this file, which keep their locks as the datasheets say, or do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../xmhf/boot/chipset.c"

static u8 config[256];
static bool lying; /* the bridge has no lock, whatever it reads as */
static const struct bridge *model;
static u32 writes, guarded;
static jmp_buf refused;

u64 root_start = 0x3f000000, root_end = 0x3fe00000;
enum log_level log_threshold = LOG_DEBUG;
static char lines[2000];

void log_line(enum log_level level, const char *format, ...)
{
	size_t used = strlen(lines);
	va_list args;

	va_start(args, format);
	used += (size_t)snprintf(lines + used, sizeof(lines) - used, "%s", level == LOG_WARN ? "warning: " : "");
	vsnprintf(lines + used, sizeof(lines) - used, format, args);
	va_end(args);
	strcat(lines, "\n");
}

void boot_refuse(const char *format, ...)
{
	(void)format;
	longjmp(refused, 1);
}

static bool is_locked_register(u8 at)
{
	for (size_t i = 0; model && i < ARRAY_SIZE(model->locks) && model->locks[i]; i++)
		if ((at & 0xfc) == model->locks[i] && config[at & 0xfc] & 1)
			return true;
	return false;
}

void pm_base_guard(u32 at)
{
	guarded = guarded ? guarded : at; /* the registers of shadow RAM follow */
}

static u64 uncached_start, uncached_end;
void mtrr_keep_uncached(u64 start, u64 end)
{
	uncached_start = start;
	uncached_end = end;
}

u32 pci_read32(u32 at)
{
	u32 value;

	assert_true(at < sizeof(config));
	memcpy(&value, config + (at & ~3u), 4);
	return value;
}

static void write8(u8 at, u8 value)
{
	writes++;
	if (model && at == model->smram && config[at] & SMRAM_LOCK && !lying) {
		u8 fixed = model->smram_fixed | SMRAM_LOCK;

		config[at] = (u8)((config[at] & fixed & ~SMRAM_OPEN) | (value & ~fixed));
	} else if (!is_locked_register(at)) {
		config[at] = value;
	}
}

void pci_write8(u32 at, u8 value)
{
	assert_true(at < sizeof(config));
	write8((u8)at, value);
}

static void set(u8 at, u64 value, unsigned int bytes)
{
	memcpy(config + at, &value, bytes);
}

static void set_up(u16 device, const struct bridge *b, u8 smram)
{
	memset(config, 0, sizeof(config));
	set(0, 0x8086 | (u32)device << 16, 4);
	model = b;
	if (b)
		config[b->smram] = smram;
	lying = false;
	writes = guarded = 0;
	lines[0] = 0;
}

static bool refuses(void)
{
	if (setjmp(refused))
		return true;
	(void)chipset_lock();
	return false;
}

/* Every row: what the firmware left open, closed, or locked. */
static void smram_is_locked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const struct bridge *b = known[i].bridge;
		u8 at = b->smram;

		for (u32 left = 0; left < 3; left++) {
			set_up(known[i].device, b, left == 0 ? 0x0a : left == 1 ? 0x4a : 0x1a);
			assert_true(chipset_lock());
			assert_int_equal(config[at], 0x1a);
			assert_int_equal(guarded, known[i].device == 0x1237 ? 0x72 : 0);
			/* What L1 would do. */
			write8(at, 0x4a);
			assert_int_equal(config[at] & (SMRAM_OPEN | SMRAM_LOCK), SMRAM_LOCK);
			assert_null(strstr(lines, "warning"));
			assert_non_null(strstr(lines, "SMRAM is locked"));
		}
	}
}

static void a_lock_that_does_not_hold(void **state)
{
	(void)state;
	set_up(0x29c0, &q35, 0x0a);
	lying = true;
	assert_false(chipset_lock());
	assert_int_equal(config[0x9d] & SMRAM_OPEN, 0); /* closed again, at least */
	assert_int_equal(config[0x9d] & SMRAM_ENABLE, SMRAM_ENABLE);
	assert_non_null(strstr(lines, "warning: host bridge Q35: SMRAM is NOT locked"));
	/* QEMU's 440FX: the guard of its port does instead. */
	set_up(0x1237, &i440fx, 0x4a);
	lying = true;
	assert_true(chipset_lock());
	assert_int_equal(guarded, 0x72);
	assert_int_equal(config[0x72] & (SMRAM_OPEN | SMRAM_ENABLE), SMRAM_ENABLE);
}

static void an_unknown_bridge(void **state)
{
	(void)state;
	set_up(0x4660, NULL, 0);
	assert_false(chipset_lock());
	assert_int_equal(writes, 0);
	assert_non_null(strstr(lines, "warning: host bridge 8086:4660 is not known"));
	memset(config, 0xff, sizeof(config)); /* no PCI at all */
	assert_false(chipset_lock());
	assert_int_equal(writes, 0);
}

static void registers_are_locked(void **state)
{
	static const u8 at[] = { 0x90, 0x98, 0xa0, 0xa8, 0xb8, 0xbc };

	(void)state;
	set_up(0x191f, &client, 0x0a);
	set(0xbc, 0x80000000, 4);
	assert_true(chipset_lock());
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		u8 before = config[at[i] + 3];

		assert_int_equal(config[at[i]] & 1, 1);
		write8((u8)(at[i] + 3), (u8)~before);
		assert_int_equal(config[at[i] + 3], before);
	}
	assert_int_equal(config[0xbf], 0x80);
	assert_non_null(strstr(lines, "memory map is locked"));
	set_up(0x29c0, &q35, 0x0a);
	assert_true(chipset_lock());
	assert_non_null(strstr(lines, "memory map is not"));
}

static void root_memory_is_ram(void **state)
{
	(void)state;
	set_up(0x191f, &client, 0x1a);
	set(0xbc, 0x40000001, 4);    /* TOLUD: 1 GiB, locked */
	set(0xb8, 0x3fe00001, 4);    /* TSEG */
	set(0x90, 0xffff00001, 8);   /* remapping is off: the base is above the limit */
	assert_false(refuses());
	assert_true(uncached_start == 0x3fe00000 && uncached_end == 0x40000000);
	set(0xb8, 0x3f800001, 4);    /* TSEG begins in root memory */
	assert_true(refuses());
	set(0xb8, 0, 4);
	set(0xbc, 0x3fd00001, 4);    /* RAM ends in it */
	assert_true(refuses());
	set(0xbc, 0x40000001, 4);
	set(0x90, 0x100000001, 8);   /* 4 GiB to 4 GiB + 1 MiB, as it should be */
	set(0x98, 0x100000001, 8);
	assert_false(refuses());
	set(0x90, 0x3fd00001, 8);    /* its last MiB is remapped */
	assert_true(refuses());
	set_up(0x29c0, &q35, 0x1a);
	set(0xb0, 0x4000, 2);
	assert_false(refuses());
	set(0xb0, 0x3f00, 2);
	assert_true(refuses());
	set(0xb0, 0, 2);             /* never set up */
	set(0x98, 0x0f, 2);          /* 0x3c000000 to 0x3fffffff */
	set(0x9a, 0x0f, 2);
	assert_true(refuses());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smram_is_locked),
		cmocka_unit_test(a_lock_that_does_not_hold),
		cmocka_unit_test(an_unknown_bridge),
		cmocka_unit_test(registers_are_locked),
		cmocka_unit_test(root_memory_is_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
