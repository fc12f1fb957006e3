/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xmhf.efi's configuration and what it starts next, against a firmware of this file: load options of all kinds, the
 * file, and boot menus in which XMHF is first, twice, or not at all, or which are long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/efi/app.h"

const efi_guid efi_loaded_guid = { .a = 1 }, efi_files_guid = { .a = 2 };
struct efi_system_table *efi_table;
struct efi_boot_services *boot;
struct efi_loaded_image *self;

static char said[4096];

void say(const char *f, ...)
{
	va_list args;
	size_t used = strlen(said);

	va_start(args, f);
	vsnprintf(said + used, sizeof(said) - used, f, args);
	va_end(args);
}

/* ---- The firmware ---- */

#define NO 1
#define DISK_GUID 7
static struct efi_loaded_image own, started;
static const char *file_text;
static u64 file_bytes;
static efi_status open_error, read_error;

static efi_status EFI open_file(struct efi_file *at, struct efi_file **file, const uint16_t *name, uint64_t mode,
				uint64_t attributes)
{
	(void)name, (void)mode, (void)attributes;
	*file = at;
	return open_error ? open_error : file_text ? 0 : EFI_NOT_FOUND;
}

static efi_status EFI close_file(struct efi_file *file) { (void)file; return 0; }

static efi_status EFI read_text(struct efi_file *file, uint64_t *bytes, void *to)
{
	(void)file;
	if (read_error)
		return read_error;
	*bytes = MIN(*bytes, file_bytes);
	memcpy(to, file_text, *bytes);
	return 0;
}

static struct efi_file the_file = { .open = open_file, .close = close_file, .read = read_text };

static efi_status EFI open_volume(struct efi_file_system *system, struct efi_file **root)
{
	(void)system;
	*root = &the_file;
	return 0;
}

static struct efi_file_system files = { .open_volume = open_volume };

/* Two partitions: handles 1 and 2. A path is its bytes. */
#define ROOT "\2\1\10\0\1\2\3\4"
#define PARTITION(n) "\4\1\10\0" n "\0\0\0"
#define END "\x7f\xff\4\0"
#define END_OF_INSTANCE "\x7f\1\4\0"
#define NODE(bytes, text) "\4\4" bytes "\0" text
static const char device_paths[2][21] = { ROOT PARTITION("\1") END, ROOT PARTITION("\2") END };

static efi_status EFI handle_protocol(efi_handle handle, const efi_guid *protocol, void **interface)
{
	u64 h = (u64)handle;

	if (protocol == &efi_files_guid)
		*interface = &files;
	else if (protocol == &efi_loaded_guid)
		*interface = &started;
	else if (h == 1 || h == 2)
		*interface = (void *)device_paths[h - 1];
	else
		return NO;
	return 0;
}

static efi_status EFI locate_handles(uint32_t how, const efi_guid *protocol, void *key, uint64_t *count,
				     void *handles)
{
	static efi_handle all[] = { (efi_handle)1, (efi_handle)2 };

	(void)how, (void)protocol, (void)key;
	*count = 2;
	*(efi_handle **)handles = all;
	return 0;
}

static efi_status EFI free_pool(void *at) { (void)at; return 0; }

/*
 * A file can be loaded if its path is a whole one and its name does not end in 'o', and \EFI\BOOT\BOOTX64.EFI from the
 * second partition alone. What has been loaded: the first letter of its name. 'Z' comes back with an error.
 */
static char loaded[16];
static bool is_boot_selection; /* so that firmware may load it from a network (UEFI specification, LoadImage()) */

static efi_status EFI load_image(uint8_t policy, efi_handle parent, const void *path, const void *source,
				 uint64_t bytes, efi_handle *image)
{
	const struct efi_device_path *node = path;

	(void)parent, (void)source, (void)bytes;
	is_boot_selection = policy;
	if (node->type != 2)
		return NO;
	while (node->subtype != EFI_PATH_END_ENTIRE && (node->type != EFI_PATH_MEDIA || node->subtype != EFI_PATH_FILE))
		node = (const void *)((const u8 *)node + node->bytes);
	const char *name = (const char *)(node + 1);

	if (node->type == EFI_PATH_END || (node->bytes > 6 && name[2] == 'o') ||
	    (name[0] == '\\' && name[2] == 'E' && ((const char *)path)[12] != 2))
		return NO;
	loaded[strlen(loaded)] = name[0] == '\\' ? name[2] : name[0];
	*image = (efi_handle)3;
	return 0;
}

static efi_status EFI start_image(efi_handle image, uint64_t *bytes, uint16_t **text)
{
	(void)image, (void)bytes, (void)text;
	return *loaded && loaded[strlen(loaded) - 1] == 'Z' ? NO : 0;
}

static efi_status EFI output(struct efi_text_output *o, const uint16_t *text) { (void)o, (void)text; return 0; }

static struct { uint16_t name[16]; u8 data[4096]; u64 bytes; } variables[12];
static u32 variable_count;

static efi_status EFI get_variable(const uint16_t *name, const efi_guid *vendor, uint32_t *attributes, uint64_t *bytes,
				   void *data)
{
	(void)vendor, (void)attributes;
	for (u32 i = 0; i < variable_count; i++) {
		u32 c = 0;

		while (name[c] && name[c] == variables[i].name[c])
			c++;
		if (name[c] != variables[i].name[c] || *bytes < variables[i].bytes)
			continue;
		*bytes = variables[i].bytes;
		memcpy(data, variables[i].data, *bytes);
		return 0;
	}
	return NO;
}

static void set_variable(const uint16_t *name, const void *data, u64 bytes)
{
	for (u32 c = 0; name[c]; c++)
		variables[variable_count].name[c] = name[c];
	memcpy(variables[variable_count].data, data, bytes);
	variables[variable_count++].bytes = bytes;
}

static int begin(void **state)
{
	static struct efi_boot_services services = {
		.handle_protocol = handle_protocol, .locate_handle_buffer = locate_handles, .free_pool = free_pool,
		.load_image = load_image, .start_image = start_image,
	};
	static struct efi_runtime_services runtime = { .get_variable = get_variable };
	static struct efi_text_output console = { .output = output };
	static struct efi_system_table table = { .runtime = &runtime, .console_out = &console };

	(void)state;
	boot = &services;
	efi_table = &table;
	own = (struct efi_loaded_image){ .device = (efi_handle)1, .path = (void *)NODE("\10", "X\0\0\0") END };
	self = &own;
	file_text = NULL;
	file_bytes = 0;
	memset(variables, 0, sizeof(variables));
	variable_count = 0;
	memset(loaded, 0, sizeof(loaded));
	memset(said, 0, sizeof(said));
	memset(next_path, 0, sizeof(next_path));
	memset(next_options, 0, sizeof(next_options));
	return 0;
}

/* ---- Configuration ---- */

static char cmdline[CMDLINE_BYTES];

/* What a function before has left there. */
static __attribute__((noinline)) void fill_stack(void)
{
	volatile char bytes[3 * CMDLINE_BYTES];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = '?';
}

static const char *configured(const void *options, u64 options_bytes, const char *text)
{
	own.options = malloc(MAX(options_bytes, 1ul)); /* so that a byte too much is seen */
	memcpy(own.options, options, options_bytes);
	own.options_bytes = (u32)options_bytes;
	file_text = text;
	file_bytes = text ? strlen(text) : 0;
	fill_stack();
	const char *wrong = read_config(cmdline);

	free(own.options);
	own.options = NULL;
	return wrong;
}

static void load_options_go_first(void **state)
{
	(void)state;
	assert_null(configured(u"fs0:\\xmhf.efi log=debug", 46, "options log=info smm=off\n"));
	assert_string_equal(cmdline, "fs0:\\xmhf.efi log=debug log=info smm=off");
	assert_null(configured(u"log=warn", 18, NULL)); /* with its zero, and without a file */
	assert_string_equal(cmdline, "log=warn ");
	assert_null(configured("", 0, "# none\r\n\r\nnext \\a.efi\r\nnext-options quiet"));
	assert_string_equal(cmdline, " ");
	assert_string_equal(next_path, "\\a.efi");
	assert_string_equal(next_options, "quiet");
}

static const struct { const char *bytes; u64 count; bool is_refused; } no_options[] = {
	{ "\1\0\0\0\x5c\0", 6, false },          /* a whole boot entry */
	{ "\x4e\xac\x08\x81\x11\x9f\x59\x4d", 8, false },  /* a GUID */
	{ "log=info", 8, false },                /* characters of a byte */
	{ "l", 1, false },                       /* half of one */
	{ "l\0o\0\n\0", 6, true },
	{ "l\0o\0g\0\xe4\0", 8, true },
	{ "l\0o\0\1\2", 6, true },
};

static void what_is_no_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(no_options); i++) {
		memset(said, 0, sizeof(said));
		const char *wrong = configured(no_options[i].bytes, no_options[i].count, "options smm=off");

		if (no_options[i].is_refused) {
			assert_non_null(strstr(wrong, "a character that no option has"));
			assert_null(strchr(cmdline, '?'));
			continue;
		}
		assert_null(wrong);
		assert_string_equal(cmdline, " smm=off");
		assert_int_equal(!strstr(said, "no UCS-2 text"), no_options[i].count < 2);
	}
}

static void too_long(void **state)
{
	static uint16_t wide[2000];
	static char text[5000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wide); i++)
		wide[i] = 'a';
	assert_null(configured(wide, 2 * 1022, NULL));
	assert_int_equal(strlen(cmdline), 1023);
	assert_non_null(strstr(configured(wide, 2 * 1023, NULL), "together are longer"));
	assert_non_null(strstr(configured(wide, 2 * 1024, NULL), "longer than 1023"));
	assert_non_null(strstr(configured(wide, sizeof(wide), NULL), "longer than 1023"));
	assert_non_null(strstr(configured(wide, 2 * 1020, "options x=y\n"), "together are longer"));
	memset(text, '#', 4095);
	assert_null(configured("", 0, text));
	memset(text, '#', 4096);
	assert_non_null(strstr(configured("", 0, text), "longer than 4095"));
	memset(text, 0, sizeof(text));
	memset(text, 'a', 1100);
	memcpy(text, "options ", 8);
	assert_non_null(strstr(configured("", 0, text), "too long"));
	memcpy(text, "next ", 5);
	text[5 + 127] = 0;
	assert_null(configured("", 0, text));
	text[5 + 127] = 'a';
	text[5 + 128] = 0;
	assert_non_null(strstr(configured("", 0, text), "too long"));
}

static void lines_that_are_none(void **state)
{
	static const char *const lines[] = { "option log=info", "options", " options a=b", "\xef\xbb\xbfoptions a" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_non_null(strstr(configured("", 0, lines[i]), "a line is none of"));
	own.options = NULL;
	own.options_bytes = 100;
	file_text = "options a\0b";
	file_bytes = 11;
	assert_non_null(strstr(read_config(cmdline), "has a zero in it"));
}

/* Of two equal lines one would win in silence. A file that is not read is not one that is not there. */
static void no_line_is_lost(void **state)
{
	(void)state;
	assert_non_null(strstr(configured("", 0, "options smm=require\noptions log=info"), "there twice"));
	begin(NULL);
	assert_non_null(strstr(configured("", 0, "next \\a.efi\nnext \\b.efi"), "there twice"));
	begin(NULL);
	for (int i = 0; i < 2; i++) {
		read_error = i ? EFI_NOT_FOUND : NO;
		assert_non_null(strstr(configured("", 0, "options smm=require"), "cannot be read"));
	}
	read_error = 0;
	open_error = NO;
	assert_non_null(strstr(configured("", 0, "options smm=require"), "cannot be read"));
	open_error = EFI_NOT_FOUND;
	assert_null(configured("", 0, NULL));
	open_error = 0;
}

/* ---- The boot menu ---- */

#define ACTIVE "\1\0\0\0"
static void set_entry(const uint16_t *name, const char *attributes, const char *path, u64 path_bytes)
{
	u8 data[128] = { 0 };

	memcpy(data, attributes, 4);
	data[4] = (u8)path_bytes;
	data[6] = 'T'; /* the text "T" */
	memcpy(data + 10, path, path_bytes);
	set_variable(name, data, 10 + path_bytes);
}
#define ENTRY(number, path) set_entry(u"Boot000" number, ACTIVE, path, sizeof(path) - 1)
#define FILE_OF(name) NODE("\10", name "\0\0\0") END

#define REMOVABLE "\\\0E\0F\0I\0\\\0B\0O\0O\0T\0\\\0B\0O\0O\0T\0X\0" "6\0" "4\0.\0E\0F\0I\0\0\0"

/*
 * The menu: 1 and 4 are XMHF, as it was loaded and by a short path; 2 cannot be loaded, 3 and 5 can. 6 is the disk, 7
 * the second partition of it by a short path, 8 has a path of two instances, of which the second is XMHF's, and 9 comes
 * back with an error.
 */
static void set_menu(const uint16_t *order, u32 count, u32 current)
{
	begin(NULL);
	ENTRY("1", ROOT PARTITION("\1") FILE_OF("X"));
	ENTRY("2", PARTITION("\1") NODE("\12", "x\0o\0\0\0") END);
	ENTRY("3", PARTITION("\2") FILE_OF("X")); /* of the other partition */
	ENTRY("4", PARTITION("\1") FILE_OF("x"));
	ENTRY("5", PARTITION("\1") FILE_OF("Y"));
	ENTRY("6", ROOT END);
	ENTRY("7", PARTITION("\2") END);
	ENTRY("8", ROOT END_OF_INSTANCE ROOT PARTITION("\1") FILE_OF("X"));
	ENTRY("9", PARTITION("\1") FILE_OF("Z"));
	set_variable(u"BootOrder", order, count * sizeof(*order));
	if (current)
		set_variable(u"BootCurrent", (const uint16_t[]){ (u16)current }, 2);
}

static void own_path_is_skipped(void **state)
{
	static const struct { u16 order[5]; u32 count, current; const char *loads; } cases[] = {
		{ { 1, 5 }, 2, 1, "Y" },
		{ { 1, 5 }, 2, 9, "Y" },             /* BootCurrent is not in BootOrder */
		{ { 1, 5 }, 2, 0, "Y" },             /* there is none */
		{ { 1, 4, 2, 5, 3 }, 5, 9, "Y" },    /* by either path, with other letters */
		{ { 1, 4, 2, 5, 3 }, 5, 1, "Y" },
		{ { 1, 3, 5 }, 3, 1, "X" },          /* the same name on another partition is another file */
		{ { 5, 1 }, 2, 1, "Y" },             /* behind the last comes the first */
		{ { 5, 1, 3 }, 3, 1, "X" },
		{ { 1, 4 }, 2, 9, "" },              /* XMHF alone: nothing is started */
		{ { 3, 1, 5 }, 3, 1, "Y" },
		{ { 3, 1, 5 }, 3, 4, "X" },          /* chosen was an entry of its that is not in BootOrder */
		{ { 3, 5, 1 }, 3, 3, "X" },          /* another loader was, which started XMHF: it comes again */
		{ { 3, 5, 1 }, 3, 5, "X" },
		{ { 9, 5, 3 }, 3, 1, "ZY" },         /* as the firmware goes on after an error, and not after none */
		{ { 9, 1, 9 }, 3, 1, "ZZ" },
		{ { 6, 5 }, 2, 6, "E" },             /* the file that a disk without a file in its path means */
		{ { 7, 5 }, 2, 6, "E" },
		{ { 8, 5 }, 2, 1, "X" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		set_menu(cases[i].order, cases[i].count, cases[i].current);
		(void)start_next(NULL);
		assert_string_equal(loaded, cases[i].loads);
	}
	/* As GRUB tells it, a node for the folder and one for the file; and what is not the same. */
	static const struct { const char *path; bool is_own; } paths[] = {
		{ NODE("\14", "\\\0A\0b\0\0\0") NODE("\12", "x\0y\0\0\0") END, true },
		{ NODE("\12", "\\\0A\0b\0") NODE("\12", "\\\0x\0y\0") END, true },
		{ NODE("\6", "\0\0") NODE("\20", "a\0B\0\\\0x\0Y\0\0\0") END, true }, /* in the root */
		{ NODE("\12", "\\\0A\0\0\0") NODE("\14", "b\0x\0y\0\0\0") END, false },
		{ NODE("\14", "\\\0A\0b\0\0\0") END, false },
		{ NODE("\4", "") END, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		set_menu((const u16[]){ 0xa, 5 }, 2, 0);
		ENTRY("A", PARTITION("\1") NODE("\22", "\\\0a\0B\0\\\0x\0Y\0\0\0") END);
		own.path = (void *)paths[i].path;
		(void)start_next(NULL);
		assert_string_equal(loaded, paths[i].is_own ? "Y" : "a");
	}
	set_menu((const u16[]){ 1 }, 1, 0);
	own.path = NULL; /* a firmware that does not tell it */
	(void)start_next(NULL);
	assert_string_equal(loaded, "X");
	assert_true(is_boot_selection);
}

/* From a stick: its entry names no file, and is XMHF's own all the same. */
static void own_entry_is_a_disk(void **state)
{
	static const struct { u16 order[3]; u32 count, current; const char *loads; } cases[] = {
		{ { 6, 5 }, 2, 6, "Y" }, { { 5, 6 }, 2, 6, "Y" }, { { 3, 6, 5 }, 3, 6, "Y" }, { { 3, 5 }, 2, 6, "X" },
		{ { 6 }, 1, 6, "" }, { { 6, 7, 5 }, 3, 6, "E" }, { { 6, 5 }, 2, 0, "Y" }, { { 8, 5 }, 2, 6, "X" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		set_menu(cases[i].order, cases[i].count, cases[i].current);
		own.path = (void *)NODE("\60", REMOVABLE) END;
		(void)start_next(NULL);
		assert_string_equal(loaded, cases[i].loads);
	}
}

static void entries_that_lie(void **state)
{
	static const char path[] = PARTITION("\1") FILE_OF("Y");
	u8 entry[10 + sizeof(path) - 1] = { 1, 0, 0, 0, sizeof(path) - 1, 0, 'T' };

	(void)state;
	memcpy(entry + 10, path, sizeof(path) - 1);
	/* Each length that an entry can have, and each byte of it another. */
	for (u32 length = 0; length <= sizeof(entry); length++) {
		begin(NULL);
		set_variable(u"BootOrder", (const u16[]){ 0xa }, 2);
		set_variable(u"Boot000A", entry, length);
		(void)start_next(NULL);
		assert_string_equal(loaded, length == sizeof(entry) ? "Y" : "");
	}
	for (u32 at = 0; at < sizeof(entry); at++)
		for (u32 value = 0; value < 256; value++) {
			u8 changed[sizeof(entry)];

			memcpy(changed, entry, sizeof(entry));
			changed[at] = (u8)value;
			begin(NULL);
			set_variable(u"BootOrder", (const u16[]){ 0xa }, 2);
			set_variable(u"Boot000A", changed, sizeof(changed));
			(void)start_next(NULL);
		}
	/* Not active; a menu of the firmware. */
	for (u32 i = 0; i < 2; i++) {
		begin(NULL);
		set_variable(u"BootOrder", (const u16[]){ 1 }, 2);
		set_entry(u"Boot0001", i ? "\1\1\0\0" : "\0\0\0\0", path, sizeof(path) - 1);
		(void)start_next(NULL);
		assert_string_equal(loaded, "");
	}
}

/* As Windows' entry has them: bytes, of which the loader knows what they mean. */
static void options_of_the_entry(void **state)
{
	static const char path[] = PARTITION("\1") FILE_OF("Y"), options[] = "WINDOWS\0\1\0\0\0\x88\0\0\0x\0B\0";
	u8 data[3000] = { 1, 0, 0, 0, sizeof(path) - 1, 0, 'T' };

	(void)state;
	memcpy(data + 10, path, sizeof(path) - 1);
	memcpy(data + 10 + sizeof(path) - 1, options, sizeof(options));
	set_variable(u"BootOrder", (const u16[]){ 1 }, 2);
	set_variable(u"Boot0001", data, 10 + sizeof(path) - 1 + sizeof(options));
	assert_int_equal(start_next(NULL), 0);
	assert_string_equal(loaded, "Y");
	assert_int_equal(started.options_bytes, sizeof(options));
	assert_memory_equal(started.options, options, sizeof(options));
	/* Long ones, in a long order: a machine with many disks and networks. */
	u16 order[100] = { 0 };

	begin(NULL);
	order[99] = 1;
	set_variable(u"BootOrder", order, sizeof(order));
	set_variable(u"Boot0001", data, sizeof(data));
	assert_int_equal(start_next(NULL), 0);
	assert_string_equal(loaded, "Y");
	assert_int_equal(started.options_bytes, sizeof(data) - 10 - (sizeof(path) - 1));
}

static void a_file_of_this_partition(void **state)
{
	(void)state;
	strcpy(next_path, "\\y.efi");
	strcpy(next_options, "quiet");
	assert_int_equal(start_next(NULL), 0);
	assert_string_equal(loaded, "y");
	assert_int_equal(started.options_bytes, 12);
	assert_non_null(strstr(said, "starts \\y.efi"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(load_options_go_first, begin),
		cmocka_unit_test_setup(what_is_no_text, begin),
		cmocka_unit_test_setup(too_long, begin),
		cmocka_unit_test_setup(lines_that_are_none, begin),
		cmocka_unit_test_setup(no_line_is_lost, begin),
		cmocka_unit_test_setup(own_path_is_skipped, begin),
		cmocka_unit_test_setup(own_entry_is_a_disk, begin),
		cmocka_unit_test_setup(entries_that_lie, begin),
		cmocka_unit_test_setup(options_of_the_entry, begin),
		cmocka_unit_test_setup(a_file_of_this_partition, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
