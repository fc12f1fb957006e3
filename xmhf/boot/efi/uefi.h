/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the application uses of UEFI (UEFI specification 2.10; PI specification, volume 2, "MP Services"). Members that
 * it does not use keep the place of those that it does.
 */
#ifndef XMHF_UEFI_H
#define XMHF_UEFI_H

#include "lib/base.h"

#define EFI __attribute__((ms_abi))

typedef u64 efi_status; /* 0: done */
#define EFI_NOT_FOUND (1ull << 63 | 14)
typedef void *efi_handle;
typedef struct { u32 a; u16 b, c; u8 d[8]; } efi_guid;

struct efi_text_output {
	void *reset;
	efi_status EFI (*output)(struct efi_text_output *self, const u16 *text);
};

enum { EFI_ALLOCATE_BELOW = 1, EFI_BY_PROTOCOL = 2 };
enum { EFI_TIMER = 0x80000000, EFI_NOTIFY_SIGNAL = 0x200, EFI_EXIT_BOOT_SERVICES = 0x201 }; /* types of events */
#define EFI_TIMER_PERIODIC 1
#define EFI_LEVEL_CALLBACK 8

struct efi_boot_services {
	u8 header[24];
	void *raise_tpl, *restore_tpl;
	efi_status EFI (*allocate_pages)(u32 how, u32 type, u64 pages, u64 *at);
	efi_status EFI (*free_pages)(u64 at, u64 pages);
	efi_status EFI (*get_memory_map)(u64 *bytes, void *map, u64 *key, u64 *entry_bytes, u32 *version);
	efi_status EFI (*allocate_pool)(u32 type, u64 bytes, void **at);
	efi_status EFI (*free_pool)(void *at);
	efi_status EFI (*create_event)(u32 type, u64 level, void EFI (*notify)(void *, void *), void *, void **event);
	efi_status EFI (*set_timer)(void *event, u32 type, u64 in_100_ns);
	void *wait_for_event, *signal_event;
	efi_status EFI (*close_event)(void *event);
	void *check_event, *install_protocol, *reinstall_protocol, *uninstall_protocol;
	efi_status EFI (*handle_protocol)(efi_handle handle, const efi_guid *protocol, void **interface);
	void *reserved, *register_notify, *locate_handle, *locate_device_path, *install_table;
	efi_status EFI (*load_image)(u8 boot_policy, efi_handle parent, const void *path, const void *source,
				     u64 bytes, efi_handle *image);
	efi_status EFI (*start_image)(efi_handle image, u64 *exit_bytes, u16 **exit_text);
	void *exit, *unload_image, *exit_boot_services, *get_next_count;
	efi_status EFI (*stall)(u64 us);
	void *set_watchdog, *connect, *disconnect, *open_protocol, *close_protocol, *open_information, *per_handle;
	efi_status EFI (*locate_handle_buffer)(u32 how, const efi_guid *protocol, void *key, u64 *count, void *handles);
	efi_status EFI (*locate_protocol)(const efi_guid *protocol, void *registration, void **interface);
};

struct efi_runtime_services {
	u8 header[24];
	void *get_time, *set_time, *get_wakeup, *set_wakeup, *set_virtual_map, *convert_pointer;
	efi_status EFI (*get_variable)(const u16 *name, const efi_guid *vendor, u32 *attributes, u64 *bytes, void *to);
};

struct efi_config_table { efi_guid guid; void *table; };

struct efi_system_table {
	u8 header[24];
	const u16 *vendor;
	u32 revision;
	void *console_in[2], *console_out_handle;
	struct efi_text_output *console_out;
	void *error[2];
	struct efi_runtime_services *runtime;
	struct efi_boot_services *boot;
	u64 config_count;
	struct efi_config_table *config;
};

struct efi_loaded_image {
	u32 revision;
	efi_handle parent;
	void *system;
	efi_handle device;
	void *path, *reserved;
	u32 options_bytes;
	void *options;
};

struct efi_file {
	u64 revision;
	efi_status EFI (*open)(struct efi_file *self, struct efi_file **file, const u16 *name, u64 mode, u64 how);
	efi_status EFI (*close)(struct efi_file *self);
	void *delete;
	efi_status EFI (*read)(struct efi_file *self, u64 *bytes, void *to);
};
#define EFI_FILE_READ 1

struct efi_file_system {
	u64 revision;
	efi_status EFI (*open_volume)(struct efi_file_system *self, struct efi_file **root);
};

struct efi_device_path { u8 type, subtype; u16 bytes; } __attribute__((packed));
struct efi_file_path { struct efi_device_path node; u16 name[]; } __attribute__((packed));
enum {
	EFI_PATH_MEDIA = 4, EFI_PATH_HARD_DRIVE = 1, EFI_PATH_FILE = 4, EFI_PATH_END = 0x7f, EFI_PATH_END_ENTIRE = 0xff,
};

struct efi_graphics_info { u32 version, width, height, format, red, green, blue, reserved, pixels_per_line; };
enum { EFI_PIXEL_RGB = 0, EFI_PIXEL_BGR = 1 };
struct efi_graphics_mode {
	u32 max_mode, mode;
	struct efi_graphics_info *info;
	u64 info_bytes, framebuffer, framebuffer_bytes;
};
struct efi_graphics { void *query_mode, *set_mode, *blt; struct efi_graphics_mode *mode; };

struct efi_processor { u64 id; u32 flags, location[9]; };
#define EFI_PROCESSOR_ENABLED 2
struct efi_mp {
	efi_status EFI (*count)(struct efi_mp *self, u64 *all, u64 *enabled);
	efi_status EFI (*info)(struct efi_mp *self, u64 number, struct efi_processor *info);
	efi_status EFI (*start_all)(struct efi_mp *self, void EFI (*procedure)(void *), u8 one_by_one, void *event,
				    u64 timeout_us, void *argument, u64 **failed);
	void *start_one, *switch_boot_cpu, *enable;
	efi_status EFI (*who_am_i)(struct efi_mp *self, u64 *number);
};

#endif
