/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a loader hands over, of both versions. The input is the information; a byte before it says which. Addresses in
 * it may lead anywhere below 4 GiB, where all but itself is zero; lengths that would only take time are cut.
 */
#include "memory.h"

#include "../../../xmhf/boot/firmware.c"
#undef BASE_MEMORY_END
#define physical multiboot_physical
#include "../../../xmhf/boot/multiboot.c"
#undef physical
#include "../../../xmhf/boot/memory_map.c"

static u32 cut(u32 value)
{
	return value & 0xffff;
}

static void check(void)
{
	MUST(boot_info.module_count <= MAX_MODULES);
	for (u32 i = 0; i < boot_info.module_count; i++)
		MUST(memchr(boot_info.modules[i].cmdline, 0, CMDLINE_BYTES));
	MUST(memchr(boot_info.cmdline, 0, CMDLINE_BYTES));
	for (u32 i = 0; i + 1 < boot_info.memory_count; i++)
		MUST(boot_info.memory[i].start + boot_info.memory[i].size <= boot_info.memory[i + 1].start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t info[4096];
	u8 version;

	memory_make();
	memset(&boot_info, 0, sizeof(boot_info));
	take(&data, &size, &version, 1);
	size = size < sizeof(info) ? size : sizeof(info);
	memset(info, 0, sizeof(info));
	memcpy(info, data, size);
	if (version & 1) {
		struct mb1_info *one = (void *)info;

		one->mods_count = cut(one->mods_count);
		one->mmap_length = cut(one->mmap_length);
		size = size < sizeof(*one) ? sizeof(*one) : size;
	} else {
		size = ALIGN_UP(size < 16 ? 16 : size, 8u);
		*(u32 *)info = (u32)size;
	}
	u32 at = (u32)memory_put(0, info, size);

	if (version & 1) /* it leads anywhere, and has no end that a reader could know */
		memory_open(0);
	if (!setjmp(refused))
		multiboot_parse(version & 1 ? MB1_LOADER_MAGIC : MB2_LOADER_MAGIC, at);
	check();
	return 0;
}
