/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xmhf.efi starts when it is a guest itself: the file that its configuration names, or what the firmware's boot
 * menu has behind it (UEFI specification, "Boot Manager"). All that is read here is L1's, and so is this code by then.
 */
#include "app.h"

#include "lib/string.h"

#define OPTION_BYTES 2048
#define PATH_BYTES 1024
#define MAX_ORDER 64
#define OPTION_ACTIVE 1u
#define OPTION_CATEGORY 0x1f00u /* 0: an operating system, not a menu of the firmware */

static const efi_guid path_guid = { 0x09576e91, 0x6d3f, 0x11d2, { 0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static const efi_guid variables_guid = { 0x8be4df61, 0x93ca, 0x11d2, { 0xaa, 0x0d, 0, 0xe0, 0x98, 0x03, 0x2b, 0x8c } };

static u8 path[PATH_BYTES];
static const struct efi_device_path path_end = { EFI_PATH_END, EFI_PATH_END_ENTIRE, sizeof(path_end) };

/* EFI_LOAD_OPTION: then the text, the path, and the load options. */
struct load_option {
	u32 attributes;
	u16 path_bytes;
} __attribute__((packed));

/* ---- Device paths ---- */

static const struct efi_device_path *node_after(const struct efi_device_path *node)
{
	return (const void *)((const u8 *)node + node->bytes);
}

static u64 bytes_to_end(const struct efi_device_path *node)
{
	const u8 *start = (const u8 *)node;

	while (node->type != EFI_PATH_END)
		node = node_after(node);
	return (u64)((const u8 *)node - start);
}

/* Whether the path, which somebody may have written wrong, ends within `bytes`. */
static bool ends_within(const struct efi_device_path *node, u64 bytes)
{
	while (bytes >= sizeof(*node) && node->bytes >= sizeof(*node) && node->bytes <= bytes) {
		if (node->type == EFI_PATH_END)
			return true;
		bytes -= node->bytes;
		node = node_after(node);
	}
	return false;
}

/* The nodes of `device`, and then `rest` up to its end, in path[]. False: there is no room. */
static bool join(const struct efi_device_path *device, const void *rest, u64 rest_bytes)
{
	u64 bytes = bytes_to_end(device);

	if (bytes + rest_bytes > sizeof(path))
		return false;
	memcpy(path, device, bytes);
	memcpy(path + bytes, rest, rest_bytes);
	return true;
}

static u8 lower(u8 c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* FAT's names have no case. */
static bool same_node(const struct efi_device_path *a, const struct efi_device_path *b)
{
	const u8 *x = (const u8 *)a, *y = (const u8 *)b;
	bool is_file = a->type == EFI_PATH_MEDIA && a->subtype == EFI_PATH_FILE;

	for (u64 i = 0; i < a->bytes; i++)
		if (x[i] != y[i] && !(is_file && i >= sizeof(*a) && lower(x[i]) == lower(y[i])))
			return false;
	return true;
}

/* Whether path[] is this application's own. */
static bool is_own(void)
{
	const struct efi_device_path *node = (const void *)path, *parts[2] = { NULL, self->path };

	if (!self->path || boot->handle_protocol(self->device, &path_guid, (void **)&parts[0]))
		return false;
	for (u32 i = 0; i < 2; i++)
		for (; parts[i]->type != EFI_PATH_END; parts[i] = node_after(parts[i]), node = node_after(node))
			if (!same_node(parts[i], node))
				return false;
	return node->type == EFI_PATH_END;
}

static bool is_partition(const struct efi_device_path *node)
{
	return node->type == EFI_PATH_MEDIA && node->subtype == EFI_PATH_HARD_DRIVE;
}

static bool has_partition(const struct efi_device_path *node, const struct efi_device_path *partition)
{
	for (; node->type != EFI_PATH_END; node = node_after(node))
		if (is_partition(node) && node->bytes == partition->bytes &&
		    !memcmp(node, partition, node->bytes))
			return true;
	return false;
}

/* A boot entry's path may begin at the partition: then it is completed by that of the partition's device. */
static bool complete(const struct efi_device_path *entry)
{
	const struct efi_device_path *device;
	u64 count = 0, bytes = bytes_to_end(entry) + sizeof(*entry);
	efi_handle *handles;
	bool found = false;

	if (!is_partition(entry)) {
		if (bytes > sizeof(path))
			return false;
		memcpy(path, entry, bytes);
		return true;
	}
	if (boot->locate_handle_buffer(EFI_BY_PROTOCOL, &efi_files_guid, NULL, &count, &handles))
		return false;
	for (u64 i = 0; i < count && !found; i++)
		found = !boot->handle_protocol(handles[i], &path_guid, (void **)&device) &&
			has_partition(device, entry) && join(device, node_after(entry), bytes - entry->bytes);
	(void)boot->free_pool(handles);
	return found;
}

/* ---- Start ---- */

/* As the firmware has text. How many bytes, with the zero. */
static u64 widen(u16 *to, const char *text)
{
	u64 i = 0;

	do
		to[i] = (u8)text[i];
	while (text[i++]);
	return i * sizeof(*to);
}

/* Of path[], with the configured load options, or these. `failed`: nothing was started. */
static efi_status start(efi_handle image, void *options, u64 options_bytes, bool *failed)
{
	static u16 wide[CMDLINE_BYTES];
	struct efi_loaded_image *loaded;
	efi_handle next;
	efi_status status = boot->load_image(0, image, path, NULL, 0, &next);

	*failed = status;
	if (status)
		return status;
	if (next_options[0]) {
		options = wide;
		options_bytes = widen(wide, next_options);
	}
	if (options_bytes && !boot->handle_protocol(next, &efi_loaded_guid, (void **)&loaded)) {
		loaded->options = options;
		loaded->options_bytes = (u32)options_bytes;
	}
	return boot->start_image(next, NULL, NULL);
}

static efi_status start_file(efi_handle image)
{
	static struct { struct efi_device_path node; u16 name[PATH_CHARS]; struct efi_device_path end; } file;
	const u64 bytes = sizeof(file.node) + widen(file.name, next_path);
	const struct efi_device_path *device;
	bool failed;

	file.node = (struct efi_device_path){ EFI_PATH_MEDIA, EFI_PATH_FILE, (u16)bytes };
	memcpy((u8 *)&file + bytes, &path_end, sizeof(path_end));
	if (boot->handle_protocol(self->device, &path_guid, (void **)&device) ||
	    !join(device, &file, bytes + sizeof(path_end)))
		return EFI_NOT_FOUND;
	say("xmhf: starts %s\n", next_path);
	return start(image, NULL, 0, &failed);
}

/* ---- The boot menu ---- */

static u64 read_variable(const u16 *name, void *to, u64 room)
{
	u32 attributes;

	return efi_table->runtime->get_variable(name, &variables_guid, &attributes, &room, to) ? 0 : room;
}

static u8 entry[OPTION_BYTES] __attribute__((aligned(8)));
static u64 entry_bytes, options_at;

/* Its path is in path[] then. False: it is none that can be started. */
static bool read_entry(u16 number)
{
	static const char digits[] = "0123456789ABCDEF";
	const struct load_option *option = (const void *)entry;
	u64 at = sizeof(*option);
	u16 name[] = u"Boot0000";

	for (u32 i = 0; i < 4; i++)
		name[4 + i] = (u8)digits[number >> (12 - 4 * i) & 15];
	entry_bytes = read_variable(name, entry, OPTION_BYTES);
	if (entry_bytes < at || (option->attributes & (OPTION_ACTIVE | OPTION_CATEGORY)) != OPTION_ACTIVE)
		return false;
	while (at + 2 <= entry_bytes && *(const u16 *)(entry + at))
		at += 2;
	at += 2;
	options_at = at + option->path_bytes;
	return options_at <= entry_bytes && ends_within((const void *)(entry + at), option->path_bytes) &&
	       complete((const void *)(entry + at));
}

/* `failed`: the entry is none that can be started. */
static efi_status start_entry(efi_handle image, u16 number, bool *failed)
{
	const u16 *text = (const void *)(entry + sizeof(struct load_option));

	*failed = true;
	if (!read_entry(number) || is_own())
		return EFI_NOT_FOUND;
	say("xmhf: starts the boot entry ");
	(void)efi_table->console_out->output(efi_table->console_out, text);
	say("\n");
	return start(image, entry + options_at, entry_bytes - options_at, failed);
}

/*
 * The first that can be started behind the entry that was chosen, if that is this application's own. Else of all: a
 * menu of the firmware may have chosen it, or another loader's menu, such as GRUB's, which then comes again.
 */
static efi_status start_by_order(efi_handle image)
{
	u16 order[MAX_ORDER], chosen;
	u64 count = read_variable(u"BootOrder", order, sizeof(order)) / sizeof(order[0]), first = 0;
	efi_status status = EFI_NOT_FOUND;
	bool failed = true;

	if (read_variable(u"BootCurrent", &chosen, sizeof(chosen)) == sizeof(chosen) && read_entry(chosen) && is_own())
		for (u64 i = 0; i < count; i++)
			if (order[i] == chosen)
				first = i + 1;
	for (u64 i = first; i < count && failed; i++)
		status = start_entry(image, order[i], &failed);
	return status;
}

efi_status start_next(efi_handle image)
{
	return next_path[0] ? start_file(image) : start_by_order(image);
}
