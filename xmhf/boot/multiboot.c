/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot 1 and 2: the loader's information into boot_info. Runs once, before the core moves; the pointers in the
 * information are physical and below 4 GiB, where the boot tables map memory as it is.
 */
#include "boot/boot_info.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "report/log.h"

#define MB1_LOADER_MAGIC 0x2badb002
#define MB2_LOADER_MAGIC 0x36d76289

struct mb1_info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
} __attribute__((packed)); /* where a loader puts it is its own affair */
#define MB1_HAS_CMDLINE BIT(2)
#define MB1_HAS_MODS BIT(3)
#define MB1_HAS_MMAP BIT(6)

struct mb1_module { u32 start, end, cmdline, reserved; } __attribute__((packed));
struct mb1_mmap { u32 size; u64 start, length; u32 type; } __attribute__((packed));

struct mb2_tag { u32 type, size; };
struct mb2_module { struct mb2_tag tag; u32 start, end; char cmdline[]; };
struct mb2_mmap { struct mb2_tag tag; u32 entry_size, entry_version; };
struct mb2_mmap_entry { u64 start, length; u32 type, reserved; };
struct mb2_framebuffer {
	struct mb2_tag tag;
	u64 addr;
	u32 pitch_bytes, width, height;
	u8 bits_per_pixel, type;
	u16 reserved;
	u8 color[6]; /* of MB2_RGB: lowest bit and bits of red, green, blue */
} __attribute__((packed));
#define MB2_RGB 1
enum {
	MB2_END = 0, MB2_CMDLINE = 1, MB2_MODULE = 3, MB2_MMAP = 6, MB2_FRAMEBUFFER = 8, MB2_EFI32 = 11, MB2_EFI64 = 12,
	MB2_ACPI_OLD = 14, MB2_ACPI_NEW = 15, MB2_EFI_MMAP = 17, MB2_EFI_SERVICES = 18,
};

struct mb2_efi64 { struct mb2_tag tag; u64 table; };
struct mb2_efi_map { struct mb2_tag tag; u32 entry_bytes, entry_version; u8 map[]; };

struct boot_info boot_info;

static void set_cmdline(char *dst, const char *src)
{
	if (string_copy(dst, src, CMDLINE_BYTES) >= CMDLINE_BYTES)
		boot_refuse("a boot command line is longer than %u characters", CMDLINE_BYTES - 1);
}

static void add_module(u64 start, u64 end, const char *cmdline)
{
	struct boot_module *module = &boot_info.modules[boot_info.module_count];

	if (boot_info.module_count == MAX_MODULES)
		boot_refuse("more than %u modules were loaded", MAX_MODULES);
	module->start = start;
	module->end = end;
	set_cmdline(module->cmdline, cmdline);
	boot_info.module_count++;
}

static void parse_multiboot1(const struct mb1_info *info)
{
	if (info->flags & MB1_HAS_CMDLINE)
		set_cmdline(boot_info.cmdline, physical_at(info->cmdline));
	if (info->flags & MB1_HAS_MODS) {
		const struct mb1_module *module = physical_at(info->mods_addr);

		for (u32 i = 0; i < info->mods_count; i++)
			add_module(module[i].start, module[i].end,
				   module[i].cmdline ? physical_at(module[i].cmdline) : "");
	}
	if (info->flags & MB1_HAS_MMAP)
		for (u64 at = 0; at < info->mmap_length;) {
			const struct mb1_mmap *entry = physical_at(info->mmap_addr + (u32)at);

			memory_map_add(entry->start, entry->length, entry->type);
			at += entry->size + 4ul;
		}
}

/* The string at the end of a tag. A tag that is too short, or does not end in 0, has an empty one. */
static const char *mb2_string(const struct mb2_tag *tag, size_t offset)
{
	return tag->size > offset && !((const char *)tag)[tag->size - 1] ? (const char *)tag + offset : "";
}

static void parse_mb2_map(const struct mb2_mmap *mmap)
{
	const char *entry = (const char *)(mmap + 1), *end = (const char *)mmap + mmap->tag.size;

	if (mmap->tag.size < sizeof(*mmap))
		return;
	if (mmap->entry_size < sizeof(struct mb2_mmap_entry) || mmap->entry_size % 8)
		boot_refuse("the boot loader's memory map has entries of %u bytes", mmap->entry_size);
	for (; entry + sizeof(struct mb2_mmap_entry) <= end; entry += mmap->entry_size) {
		const struct mb2_mmap_entry *e = (const void *)entry;

		memory_map_add(e->start, e->length, e->type);
	}
}

static void parse_mb2_framebuffer(const struct mb2_framebuffer *fb)
{
	if (fb->tag.size >= sizeof(*fb) && fb->type == MB2_RGB)
		boot_info.framebuffer = (struct boot_framebuffer){
			fb->addr, fb->pitch_bytes, fb->width, fb->height, fb->bits_per_pixel,
			{ fb->color[0], fb->color[1] }, { fb->color[2], fb->color[3] }, { fb->color[4], fb->color[5] },
		};
}

static void parse_mb2_efi(const struct mb2_tag *tag)
{
	const struct mb2_efi64 *services = (const void *)tag;
	const struct mb2_efi_map *map = (const void *)tag;
	struct boot_efi *efi = &boot_info.efi;

	boot_info.firmware = FIRMWARE_EFI;
	if (tag->type == MB2_EFI64 && tag->size >= sizeof(*services))
		efi->table = services->table;
	if (tag->type != MB2_EFI_MMAP || tag->size < sizeof(*map) || tag->size - sizeof(*map) > sizeof(efi->map))
		return;
	efi->entry_bytes = map->entry_bytes;
	efi->entry_version = map->entry_version;
	efi->map_bytes = tag->size - (u32)sizeof(*map);
	memcpy(efi->map, map->map, efi->map_bytes);
}

static void parse_mb2_text(const struct mb2_tag *tag)
{
	const struct mb2_module *module = (const void *)tag;

	if (tag->type == MB2_CMDLINE)
		set_cmdline(boot_info.cmdline, mb2_string(tag, sizeof(*tag)));
	else if (tag->type == MB2_MODULE && tag->size >= sizeof(*module))
		add_module(module->start, module->end, mb2_string(tag, sizeof(*module)));
}

static void parse_mb2_machine(const struct mb2_tag *tag)
{
	switch (tag->type) {
	case MB2_MMAP:
		parse_mb2_map((const void *)tag);
		break;
	case MB2_FRAMEBUFFER:
		parse_mb2_framebuffer((const void *)tag);
		break;
	case MB2_EFI32: case MB2_EFI64: case MB2_EFI_MMAP: case MB2_EFI_SERVICES:
		parse_mb2_efi(tag);
		break;
	case MB2_ACPI_OLD: case MB2_ACPI_NEW:
		if (!boot_info.rsdp.xsdt) /* the new one has more; loaders may give both */
			(void)firmware_take_rsdp(tag + 1, tag->size - sizeof(*tag));
		break;
	}
}

static void each_mb2_tag(const char *info, void (*parse)(const struct mb2_tag *tag))
{
	const char *end = info + *(const u32 *)info;

	for (info += 8; info + sizeof(struct mb2_tag) <= end;) {
		const struct mb2_tag *tag = (const void *)info;

		if (tag->type == MB2_END || tag->size < sizeof(*tag) || tag->size > (size_t)(end - info))
			break;
		parse(tag);
		info += ALIGN_UP(tag->size, 8u);
	}
}

/* First the machine: a refusal of the rest is for its screen. */
static void parse_multiboot2(const char *info)
{
	each_mb2_tag(info, parse_mb2_machine);
	each_mb2_tag(info, parse_mb2_text);
}

void multiboot_parse(u32 magic, u32 info)
{
	if (magic == MB1_LOADER_MAGIC)
		parse_multiboot1(physical_at(info));
	else if (magic == MB2_LOADER_MAGIC)
		parse_multiboot2(physical_at(info));
	else
		boot_refuse("not started by a multiboot loader: EAX is 0x%x", magic);
	if (!boot_info.memory_count)
		boot_refuse("the boot loader gave no memory map");
}
