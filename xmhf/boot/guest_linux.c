/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct start by the Linux boot protocol (Documentation/arch/x86/boot.rst, "32-bit boot protocol"): boot_params and
 * the command line in low memory, the kernel where it prefers to be, the initrd high, and the guest in flat protected
 * mode.
 */
#include "boot/efi_map.h"
#include "boot/guest_start.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "report/log.h"
#include "vmx/vmx.h"
#include "vmx/vmx_insn.h"

#define LOW_CMDLINE (GUEST_LINUX_PARAMS + PAGE_SIZE) /* behind the page of boot_params, one page */
#define LOW_E820 (LOW_CMDLINE + PAGE_SIZE) /* the rest of the memory map */
#define LOW_RSDP (LOW_E820 + 2 * PAGE_SIZE)
#define LOW_EFI_MAP (LOW_RSDP + PAGE_SIZE)
#define LOW_END (LOW_EFI_MAP + EFI_MAP_BYTES)
_Static_assert(MAX_MEMORY_RANGES * sizeof(struct memory_range) < 2 * PAGE_SIZE, "LOW_RSDP");
#define SETUP_HEADER 0x1f1
#define MAX_E820 128
#define MIN_VERSION 0x020c

/* Offsets in boot_params, as the protocol numbers them. */
enum {
	P_RSDP = 0x70, P_EFI_INFO = 0x1c0, P_E820_ENTRIES = 0x1e8,
	P_SETUP_SECTS = 0x1f1, P_HEADER_LEN = 0x201, P_MAGIC = 0x202, P_VERSION = 0x206,
	P_LOADER = 0x210, P_LOADFLAGS = 0x211, P_CODE32_START = 0x214, P_RAMDISK = 0x218, P_RAMDISK_SIZE = 0x21c,
	P_CMDLINE = 0x228, P_INITRD_MAX = 0x22c, P_SETUP_DATA = 0x250, P_PREF_ADDRESS = 0x258, P_INIT_SIZE = 0x260,
	P_E820 = 0x2d0,
};

/* What setup_data points to: a list, here of one. */
struct setup_data {
	u64 next;
	u32 type, len;
	struct memory_range e820[];
};
#define SETUP_E820_EXT 1

/* The first of boot_params; and what is at P_EFI_INFO. */
struct screen_info {
	u8 before[6], mode, columns, between[6], lines, kind;
	u16 points, width, height, bits_per_pixel;
	u32 addr, bytes, reserved;
	u16 pitch_bytes;
	struct { u8 bits, lowest_bit; } red, green, blue, rest;
	u16 interface[4];
	u32 flags, addr_high;
} __attribute__((packed));
_Static_assert(offsetof(struct screen_info, addr_high) == 0x3a, "screen_info");
struct efi_info {
	u32 signature, table, entry_bytes, entry_version, map, map_bytes, table_high, map_high;
};
#define VIDEO_VGA 1
#define VIDEO_EFI 0x70
#define EFI64_SIGNATURE 0x34364c45 /* "EL64" */
#define FB_HAS_ADDR_HIGH BIT(1)

static u32 get32(const u8 *p, u32 offset)
{
	return (u32)number_at(p + offset, 4);
}

static void set32(u8 *p, u32 offset, u64 value)
{
	*(u32 *)(p + offset) = (u32)value;
}

/* Of real mode, before what is loaded. */
static u64 setup_bytes(const u8 *image)
{
	return ((image[P_SETUP_SECTS] ? image[P_SETUP_SECTS] : 4) + 1) * 512ul;
}

static void check_kernel(const u8 *image, u64 size)
{
	if (size < 0x1000 || get32(image, P_MAGIC) != 0x53726448)
		boot_refuse("the first module is no Linux bzImage");
	if (*(const u16 *)(image + P_VERSION) < MIN_VERSION)
		boot_refuse("the kernel's boot protocol %x is older than %x", *(const u16 *)(image + P_VERSION),
			    MIN_VERSION);
	if (size <= setup_bytes(image))
		boot_refuse("the kernel, the first module, is cut off: it has %lu bytes", size);
}

static void fill_e820(u8 *params)
{
	struct setup_data *more = physical_at(LOW_E820);
	u32 count = MIN(boot_info.memory_count, (u32)MAX_E820), rest = boot_info.memory_count - count;

	memcpy(params + P_E820, boot_info.memory, count * sizeof(boot_info.memory[0]));
	params[P_E820_ENTRIES] = (u8)count;
	if (!rest)
		return;
	*more = (struct setup_data){ 0, SETUP_E820_EXT, rest * (u32)sizeof(boot_info.memory[0]) };
	memcpy(more->e820, boot_info.memory + count, more->len);
	*(u64 *)(params + P_SETUP_DATA) = LOW_E820;
}

/*
 * The runtime services go on; the loader has ended the others. The decompressor of a kernel with KASLR looks for its
 * place in the firmware's map and not in the E820 map.
 */
static void fill_efi(u8 *params)
{
	struct boot_efi *efi = &boot_info.efi;

	if (!efi->table || !efi->map_bytes || !efi_map_reserve(efi, root_start, root_end) ||
	    !efi_map_reserve(efi, root_low, root_low + ROOT_LOW_BYTES)) {
		log_warn("the boot loader does not tell where the firmware's runtime services are: Linux has none");
		return;
	}
	memcpy(physical_at(LOW_EFI_MAP), efi->map, efi->map_bytes);
	*(struct efi_info *)(params + P_EFI_INFO) = (struct efi_info){
		EFI64_SIGNATURE, (u32)efi->table, efi->entry_bytes, efi->entry_version, LOW_EFI_MAP, efi->map_bytes,
		(u32)(efi->table >> 32), 0,
	};
}

/* What a BIOS lets the kernel find by itself, and other firmware does not. */
static void fill_firmware(u8 *params)
{
	const struct boot_framebuffer *fb = &boot_info.framebuffer;

	if (boot_info.rsdp.signature[0]) {
		memcpy(physical_at(LOW_RSDP), &boot_info.rsdp, sizeof(boot_info.rsdp));
		*(u64 *)(params + P_RSDP) = LOW_RSDP;
	}
	if (fb->width)
		*(struct screen_info *)params = (struct screen_info){
			.kind = VIDEO_EFI, .flags = FB_HAS_ADDR_HIGH,
			.width = (u16)fb->width, .height = (u16)fb->height, .bits_per_pixel = fb->bits_per_pixel,
			.addr = (u32)fb->addr, .addr_high = (u32)(fb->addr >> 32),
			.bytes = fb->pitch_bytes * fb->height, .pitch_bytes = (u16)fb->pitch_bytes,
			.red = { fb->red.bits, fb->red.lowest_bit }, .green = { fb->green.bits, fb->green.lowest_bit },
			.blue = { fb->blue.bits, fb->blue.lowest_bit },
		};
}

static void fill_params(u8 *params, const u8 *image)
{
	memset(params, 0, PAGE_SIZE);
	memcpy(params + SETUP_HEADER, image + SETUP_HEADER, (size_t)P_MAGIC + image[P_HEADER_LEN] - SETUP_HEADER);
	*(struct screen_info *)params = (struct screen_info){
		.mode = 3, .columns = 80, .lines = 25, .kind = VIDEO_VGA, .points = 16 };
	if (boot_info.firmware != FIRMWARE_BIOS) {
		fill_efi(params);
		fill_firmware(params);
	}
	params[P_LOADER] = 0xff;
	set32(params, P_CMDLINE, LOW_CMDLINE);
	fill_e820(params);
}

/* Out of the kernel's way: [kernel, kernel_end) will be overwritten. */
static void place_initrd(u8 *params, u64 kernel_end)
{
	const struct boot_module *initrd = &boot_info.modules[1];
	u64 size = initrd->end - initrd->start, limit = (u64)get32(params, P_INITRD_MAX) + 1;
	u64 at = memory_map_find(size, PAGE_SIZE, kernel_end, limit);

	if (!at)
		boot_refuse("no room for the initrd of %lu KiB", size >> 10);
	memcpy(physical_at(at), physical_at(initrd->start), size);
	set32(params, P_RAMDISK, at);
	set32(params, P_RAMDISK_SIZE, size);
}

/* Some loaders put the file's name, a path, before the module's command line. */
static const char *kernel_cmdline(const char *text)
{
	if (*text != '/')
		return text;
	while (*text && *text != ' ')
		text++;
	return *text ? text + 1 : text;
}

u64 guest_linux_load(void)
{
	const struct boot_module *kernel = &boot_info.modules[0];
	const u8 *image = physical_at(kernel->start);
	u64 file_size = kernel->end - kernel->start;
	u8 *params = physical_at(GUEST_LINUX_PARAMS);

	check_kernel(image, file_size);
	if (memory_map_is_ram(GUEST_LINUX_PARAMS, LOW_END) != 1)
		boot_refuse("the memory at %lx, for Linux' parameters, is not free", GUEST_LINUX_PARAMS);
	fill_params(params, image);
	string_copy(physical_at(LOW_CMDLINE), kernel_cmdline(kernel->cmdline), PAGE_SIZE);

	u64 entry = *(u64 *)(params + P_PREF_ADDRESS), room = MAX((u64)get32(params, P_INIT_SIZE), file_size);

	if (entry < 0x100000 || entry >= root_start || memory_map_is_ram(entry, entry + room) != 1)
		boot_refuse("the kernel wants to run at %lx, which is not free", entry);
	if (boot_info.module_count > 1)
		place_initrd(params, entry + room);
	memmove(physical_at(entry), image + setup_bytes(image), file_size - setup_bytes(image));
	set32(params, P_CODE32_START, entry);
	log_info("starts Linux at %lx, with%s an initrd, tick %lu", entry, boot_info.module_count > 1 ? "" : "out",
		 rdtsc());
	return entry;
}

void guest_start_linux(struct percpu *cpu)
{
	u64 entry = guest_linux_load();

	vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_ET | CR0_NE);
	for (u32 i = SEGMENT_ES; i <= SEGMENT_DS; i++)
		vmx_set_segment(i, 0x18, 0, 0xffffffff, AR_FLAT_DATA);
	vmx_set_segment(SEGMENT_CS, 0x10, 0, 0xffffffff, AR_FLAT_CODE_32);
	vmwrite(VMCS_GUEST_RIP, entry);
	cpu->gpr[GPR_RSI] = GUEST_LINUX_PARAMS;
}
