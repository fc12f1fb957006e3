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
};
#define MB1_HAS_CMDLINE BIT(2)
#define MB1_HAS_MODS BIT(3)
#define MB1_HAS_MMAP BIT(6)

struct mb1_module { u32 start, end, cmdline, reserved; };
struct mb1_mmap { u32 size; u64 start, length; u32 type; } __attribute__((packed));

struct mb2_tag { u32 type, size; };
struct mb2_module { struct mb2_tag tag; u32 start, end; char cmdline[]; };
struct mb2_mmap { struct mb2_tag tag; u32 entry_size, entry_version; };
struct mb2_mmap_entry { u64 start, length; u32 type, reserved; };
enum { MB2_END = 0, MB2_CMDLINE = 1, MB2_MODULE = 3, MB2_MMAP = 6 };

struct boot_info boot_info;

static void *physical(u32 addr)
{
	return phys_to_virt(HPA(addr));
}

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

static void add_memory(u64 start, u64 size, u32 type)
{
	if (boot_info.memory_count == MAX_MEMORY_RANGES)
		boot_refuse("the memory map has more than %u entries", MAX_MEMORY_RANGES);
	if (size)
		boot_info.memory[boot_info.memory_count++] = (struct memory_range){ start, size, type };
}

static void parse_multiboot1(const struct mb1_info *info)
{
	if (info->flags & MB1_HAS_CMDLINE)
		set_cmdline(boot_info.cmdline, physical(info->cmdline));
	if (info->flags & MB1_HAS_MODS) {
		const struct mb1_module *module = physical(info->mods_addr);

		for (u32 i = 0; i < info->mods_count; i++)
			add_module(module[i].start, module[i].end, module[i].cmdline ? physical(module[i].cmdline) : "");
	}
	if (info->flags & MB1_HAS_MMAP)
		for (u32 at = 0; at < info->mmap_length;) {
			const struct mb1_mmap *entry = physical(info->mmap_addr + at);

			add_memory(entry->start, entry->length, entry->type);
			at += entry->size + 4;
		}
}

static void parse_mb2_tag(const struct mb2_tag *tag)
{
	if (tag->type == MB2_CMDLINE) {
		set_cmdline(boot_info.cmdline, (const char *)(tag + 1));
	} else if (tag->type == MB2_MODULE) {
		const struct mb2_module *module = (const void *)tag;

		add_module(module->start, module->end, module->cmdline);
	} else if (tag->type == MB2_MMAP) {
		const struct mb2_mmap *mmap = (const void *)tag;
		const char *entry = (const char *)(mmap + 1), *end = (const char *)tag + tag->size;

		for (; entry + sizeof(struct mb2_mmap_entry) <= end; entry += mmap->entry_size) {
			const struct mb2_mmap_entry *e = (const void *)entry;

			add_memory(e->start, e->length, e->type);
		}
	}
}

static void parse_multiboot2(const char *info)
{
	const char *end = info + *(const u32 *)info;

	for (info += 8; info + sizeof(struct mb2_tag) <= end;) {
		const struct mb2_tag *tag = (const void *)info;

		if (tag->type == MB2_END || tag->size < sizeof(*tag))
			break;
		parse_mb2_tag(tag);
		info += ALIGN_UP(tag->size, 8u);
	}
}

void multiboot_parse(u32 magic, u32 info)
{
	if (magic == MB1_LOADER_MAGIC)
		parse_multiboot1(physical(info));
	else if (magic == MB2_LOADER_MAGIC)
		parse_multiboot2(physical(info));
	else
		boot_refuse("not started by a multiboot loader: EAX is 0x%x", magic);
	if (!boot_info.memory_count)
		boot_refuse("the boot loader gave no memory map");
}
