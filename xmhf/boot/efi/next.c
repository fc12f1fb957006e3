/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xmhf.efi starts when it is a guest itself: the file that its configuration names, or what the firmware's boot
 * menu has behind it (UEFI specification, "Boot Manager"). All that is read here is L1's, and so is this code by then.
 */
#include "app.h"

#include "lib/string.h"

#define VARIABLE_BYTES 0x10000u /* no firmware keeps a longer one */
#define PATH_BYTES 0x1000
#define OPTION_ACTIVE 1u
#define OPTION_CATEGORY 0x1f00u /* 0: an operating system, not a menu of the firmware */

static const efi_guid path_guid = { 0x09576e91, 0x6d3f, 0x11d2, { 0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static const efi_guid variables_guid = { 0x8be4df61, 0x93ca, 0x11d2, { 0xaa, 0x0d, 0, 0xe0, 0x98, 0x03, 0x2b, 0x8c } };

#define REMOVABLE u"\\EFI\\BOOT\\BOOTX64.EFI"
static const struct { struct efi_device_path node; u16 name[sizeof(REMOVABLE) / 2]; struct efi_device_path end; }
	removable = { { EFI_PATH_MEDIA, EFI_PATH_FILE, sizeof(removable.node) + sizeof(REMOVABLE) }, REMOVABLE,
		      { EFI_PATH_END, EFI_PATH_END_ENTIRE, sizeof(removable.end) } };

/* EFI_LOAD_OPTION: then the text, the path, and the load options. */
struct load_option {
	u32 attributes;
	u16 path_bytes;
} __attribute__((packed));

/* ---- Device paths ---- */

/* Of all instances of the path: between two of them is an end of another kind (UEFI specification, "Device Path"). */
static bool is_end(const struct efi_device_path *node)
{
	return node->type == EFI_PATH_END && node->subtype == EFI_PATH_END_ENTIRE;
}

static const struct efi_device_path *node_after(const struct efi_device_path *node)
{
	return (const void *)((const u8 *)node + node->bytes);
}

/* With its end. 0: the path, which somebody may have written wrong, has none within `room`. */
static u64 path_bytes(const struct efi_device_path *node, u64 room)
{
	u64 bytes = 0;

	while (bytes + sizeof(*node) <= room && node->bytes >= sizeof(*node) && bytes + node->bytes <= room) {
		bytes += node->bytes;
		if (is_end(node))
			return bytes;
		node = node_after(node);
	}
	return 0;
}

static bool same_node(const struct efi_device_path *a, const struct efi_device_path *b)
{
	return a->bytes == b->bytes && !memcmp(a, b, a->bytes);
}

/*
 * What a boot entry's path means on this partition, the partition's own nodes apart: a file. An entry may begin at the
 * partition, and one that ends before or at it means the file that firmware starts from a removable disk. NULL: it
 * leads to another device.
 */
static const struct efi_device_path *file_on(const struct efi_device_path *device, const struct efi_device_path *entry)
{
	if (entry->type == EFI_PATH_MEDIA && entry->subtype == EFI_PATH_HARD_DRIVE)
		for (; !same_node(entry, device); device = node_after(device))
			if (is_end(device))
				return NULL;
	for (; !is_end(device) && !is_end(entry); device = node_after(device), entry = node_after(entry))
		if (!same_node(entry, device))
			return NULL;
	return is_end(entry) ? &removable.node : entry;
}

/*
 * The name that a file's nodes make together: GRUB gives a folder and its file a node each. FAT's names have no case.
 * `to` has VARIABLE_BYTES, and so has the path at most.
 */
static u16 *join(u16 *to, const struct efi_device_path *file)
{
	u64 n = 0;

	memset(to, 0, VARIABLE_BYTES);
	for (; !is_end(file); file = node_after(file)) {
		const struct efi_file_path *f = (const void *)file;

		if (!n || to[n - 1] != '\\')
			to[n++] = '\\';
		for (u64 i = 0; sizeof(*f) + 2 * i + 1 < file->bytes && f->name[i]; i++)
			if (f->name[i] != '\\' || to[n - 1] != '\\')
				to[n++] = f->name[i] >= 'A' && f->name[i] <= 'Z' ? f->name[i] | 0x20 : f->name[i];
	}
	return to;
}

/* Whether the entry's path, if there is one, leads to this application. */
static bool is_own(const struct efi_device_path *entry)
{
	static u16 names[2][VARIABLE_BYTES / sizeof(u16)];
	const struct efi_device_path *device, *file, *own = self->path;

	if (!entry || !own || !path_bytes(own, VARIABLE_BYTES) ||
	    boot->handle_protocol(self->device, &path_guid, (void **)&device))
		return false;
	file = file_on(device, entry);
	return file && !memcmp(join(names[0], own), join(names[1], file), VARIABLE_BYTES);
}

/* ---- Start ---- */

/* Of a file, up to its end, on the partition with this path. */
static efi_status load_from(const struct efi_device_path *device, const struct efi_device_path *file,
			    efi_handle image, efi_handle *next)
{
	static u8 path[PATH_BYTES];
	u64 bytes = path_bytes(device, PATH_BYTES), file_bytes = path_bytes(file, PATH_BYTES);

	if (!bytes || !file_bytes || bytes + file_bytes > PATH_BYTES)
		return EFI_NOT_FOUND;
	memcpy(path, device, bytes);
	memcpy(path + bytes - sizeof(*device), file, file_bytes);
	return boot->load_image(0, image, path, NULL, 0, next);
}

/*
 * From where the path of a boot entry leads by itself, as the firmware's boot manager would have it: so also from a
 * network. Or else from the first partition where it finds its file.
 */
static efi_status load(const struct efi_device_path *entry, efi_handle image, efi_handle *next)
{
	efi_status status = boot->load_image(1, image, entry, NULL, 0, next);
	const struct efi_device_path *device, *file;
	efi_handle *handles;
	u64 count = 0;

	if (!status || boot->locate_handle_buffer(EFI_BY_PROTOCOL, &efi_files_guid, NULL, &count, &handles))
		return status;
	for (u64 i = 0; i < count && status; i++)
		if (!boot->handle_protocol(handles[i], &path_guid, (void **)&device) &&
		    (file = file_on(device, entry)))
			status = load_from(device, file, image, next);
	(void)boot->free_pool(handles);
	return status;
}

u64 widen(u16 *to, const char *text)
{
	u64 chars = 0;

	do {
		if (*text == '\n')
			to[chars++] = '\r';
		to[chars++] = (u8)*text;
	} while (*text++);
	return chars * sizeof(*to);
}

/* With the configured load options, or these. */
static efi_status start(efi_handle next, void *options, u64 options_bytes)
{
	static u16 wide[CMDLINE_BYTES];
	struct efi_loaded_image *loaded;

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
	efi_handle next;

	file.node = (struct efi_device_path){ EFI_PATH_MEDIA, EFI_PATH_FILE, (u16)bytes };
	memcpy((u8 *)&file + bytes, &removable.end, sizeof(removable.end));
	if (boot->handle_protocol(self->device, &path_guid, (void **)&device) ||
	    load_from(device, &file.node, image, &next))
		return EFI_NOT_FOUND;
	say("xmhf: starts %s\n", next_path);
	return start(next, NULL, 0);
}

/* ---- The boot menu ---- */

static u64 read_variable(const u16 *name, void *to, u64 room)
{
	u32 attributes;

	return efi_table->runtime->get_variable(name, &variables_guid, &attributes, &room, to) ? 0 : room;
}

static u8 entry[VARIABLE_BYTES] __attribute__((aligned(8)));
static u64 entry_bytes, options_at;

/* Its path. NULL: it is none that can be started. */
static const struct efi_device_path *read_entry(u16 number)
{
	const struct load_option *option = (const void *)entry;
	const struct efi_device_path *path;
	u64 at = sizeof(*option);
	u16 name[] = u"Boot0000";

	for (u32 i = 0; i < 4; i++)
		name[4 + i] = (u8)"0123456789ABCDEF"[number >> (12 - 4 * i) & 15];
	entry_bytes = read_variable(name, entry, sizeof(entry));
	if (entry_bytes < at || (option->attributes & (OPTION_ACTIVE | OPTION_CATEGORY)) != OPTION_ACTIVE)
		return NULL;
	while (at + 2 <= entry_bytes && *(const u16 *)(entry + at))
		at += 2;
	path = (const void *)(entry + at + 2);
	options_at = at + 2 + option->path_bytes;
	if (options_at > entry_bytes || !path_bytes(path, option->path_bytes) || is_end(path))
		return NULL;
	return path;
}

static efi_status start_entry(efi_handle image, u16 number)
{
	const u16 *text = (const void *)(entry + sizeof(struct load_option));
	const struct efi_device_path *path = read_entry(number);
	efi_handle next;

	if (!path || is_own(path) || load(path, image, &next))
		return EFI_NOT_FOUND;
	say("xmhf: starts the boot entry ");
	(void)efi_table->console_out->output(efi_table->console_out, text);
	say("\n");
	return start(next, entry + options_at, entry_bytes - options_at);
}

/*
 * As the firmware would go on: the entries behind the one that was chosen, if that is this application's own, and then
 * those before it, until one does not come back with an error. Else all: a menu of the firmware may have chosen it, or
 * another loader's menu, such as GRUB's, which then comes again.
 */
static efi_status start_by_order(efi_handle image)
{
	static u16 order[VARIABLE_BYTES / sizeof(u16)];
	u64 count = read_variable(u"BootOrder", order, sizeof(order)) / sizeof(order[0]), first = 0;
	efi_status status = EFI_NOT_FOUND;
	u16 chosen;

	if (read_variable(u"BootCurrent", &chosen, sizeof(chosen)) == sizeof(chosen) && is_own(read_entry(chosen)))
		for (u64 i = 0; i < count; i++)
			if (order[i] == chosen)
				first = i + 1;
	for (u64 i = 0; i < count && status; i++)
		status = start_entry(image, order[(first + i) % count]);
	return status;
}

efi_status start_next(efi_handle image)
{
	return next_path[0] ? start_file(image) : start_by_order(image);
}
