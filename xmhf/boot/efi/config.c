/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user wants: the load options, which a boot entry or a shell gives, and \EFI\xmhf\xmhf.conf. The core's
 * options of the first go before those of the second, and of an option that is there twice the core takes the first.
 * Nothing here trusts a length or a character. Unit-tested.
 */
#include "app.h"

#include "lib/printf.h"
#include "lib/string.h"

#define FILE_NAME "\\EFI\\xmhf\\xmhf.conf"
#define FILE_BYTES 4096

char next_path[PATH_CHARS], next_options[CMDLINE_BYTES];

/* *bytes: for how many there is room, and then how many were read: none where there is no such file, no error. */
static efi_status read_file(const u16 *name, char *to, u64 *bytes)
{
	struct efi_file_system *files;
	struct efi_file *root, *file;
	efi_status status;
	u64 room = *bytes;

	*bytes = 0;
	if (boot->handle_protocol(self->device, &efi_files_guid, (void **)&files))
		return 0;
	status = files->open_volume(files, &root);
	if (status)
		return status;
	status = root->open(root, &file, name, EFI_FILE_READ, 0);
	if (!status) {
		*bytes = room;
		status = file->read(file, bytes, to) != 0; /* whatever it is: it is there */
		(void)file->close(file);
	}
	(void)root->close(root);
	return status == EFI_NOT_FOUND ? 0 : status;
}

/*
 * Firmware and other loaders have also put bytes of their own there: what does not begin as text is none. What does is
 * read to its end, or refused.
 */
static const char *read_load_options(char *to)
{
	const u8 *at = self->options;
	u64 chars = at ? self->options_bytes / sizeof(u16) : 0, n = 0;

	for (u32 c; n < chars && (c = at[2 * n] | (u32)at[2 * n + 1] << 8); n++) {
		if ((c < ' ' || c > '~') && !n) {
			say("xmhf: the load options are no UCS-2 text, and are not used\n");
			break;
		}
		if (c < ' ' || c > '~')
			return "the load options have a character that no option has";
		if (n + 1 == CMDLINE_BYTES)
			return "the load options are longer than 1023 characters";
		to[n] = (char)c;
	}
	to[n] = 0;
	return NULL;
}

static bool take_line(const char *line, char *options)
{
	const struct { const char *key; char *to; u64 room; } known[] = {
		{ "options ", options, CMDLINE_BYTES },
		{ "next ", next_path, sizeof(next_path) },
		{ "next-options ", next_options, sizeof(next_options) },
	};

	for (u32 i = 0; i < ARRAY_SIZE(known); i++) {
		u64 length = strlen(known[i].key);

		if (!strncmp(line, known[i].key, length))
			return !*known[i].to && string_copy(known[i].to, line + length, known[i].room) < known[i].room;
	}
	return !*line || *line == '#';
}

static const char *read_lines(char *options)
{
	static char text[FILE_BYTES + 1];
	u64 bytes = FILE_BYTES;

	/* Else an option like smm=require would be lost. */
	if (read_file(u"" FILE_NAME, text, &bytes))
		return FILE_NAME " cannot be read";
	if (bytes >= FILE_BYTES)
		return FILE_NAME " is longer than 4095 bytes";
	text[bytes] = '\n';
	for (char *line = text, *stop; line < text + bytes; line = stop + 1) {
		for (stop = line; *stop != '\n'; stop++)
			if (!*stop)
				return FILE_NAME " has a zero in it: it is no text";
		*stop = 0;
		if (stop > line && stop[-1] == '\r')
			stop[-1] = 0;
		if (!take_line(line, options))
			return FILE_NAME ": a line is none of options, next, next-options, or too long, or there twice";
	}
	return NULL;
}

const char *read_config(char cmdline[CMDLINE_BYTES])
{
	char first[CMDLINE_BYTES] = "", second[CMDLINE_BYTES] = "";
	const char *wrong = read_load_options(first);

	if (!wrong)
		wrong = read_lines(second);
	if (!wrong && strlen(first) + 1 + strlen(second) >= CMDLINE_BYTES)
		wrong = "the load options and those of " FILE_NAME " together are longer than 1023 characters";
	(void)format(cmdline, CMDLINE_BYTES, "%s %s", first, second);
	return wrong;
}
