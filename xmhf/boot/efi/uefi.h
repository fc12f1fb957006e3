/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the application uses of UEFI (UEFI specification 2.10; PI specification, volume 2, "MP Services"). Members that
 * it does not use keep the place of those that it does.
 */
#ifndef XMHF_UEFI_H
#define XMHF_UEFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EFI __attribute__((ms_abi))

typedef uint64_t efi_status; /* 0: done */
typedef void *efi_handle;
typedef struct { uint32_t a; uint16_t b, c; uint8_t d[8]; } efi_guid;

struct efi_text_output {
	void *reset;
	efi_status EFI (*output)(struct efi_text_output *self, const uint16_t *text);
};

struct efi_memory_descriptor { uint32_t type; uint64_t start, virtual, pages, attributes; };
enum { EFI_ALLOCATE_ANY, EFI_ALLOCATE_BELOW, EFI_ALLOCATE_AT };
enum { EFI_RESERVED = 0, EFI_LOADER_CODE = 1, EFI_LOADER_DATA = 2 };
enum { EFI_BY_PROTOCOL = 2 };
#define EFI_EXIT_BOOT_SERVICES 0x201 /* a type of event */
#define EFI_LEVEL_CALLBACK 8

struct efi_boot_services {
	uint8_t header[24];
	void *raise_tpl, *restore_tpl;
	efi_status EFI (*allocate_pages)(uint32_t how, uint32_t type, uint64_t pages, uint64_t *at);
	efi_status EFI (*free_pages)(uint64_t at, uint64_t pages);
	efi_status EFI (*get_memory_map)(uint64_t *bytes, void *map, uint64_t *key, uint64_t *entry_bytes,
					 uint32_t *version);
	efi_status EFI (*allocate_pool)(uint32_t type, uint64_t bytes, void **at);
	efi_status EFI (*free_pool)(void *at);
	efi_status EFI (*create_event)(uint32_t type, uint64_t level, void EFI (*notify)(void *event, void *context),
				       void *context, void **event);
	void *set_timer, *wait_for_event, *signal_event;
	efi_status EFI (*close_event)(void *event);
	void *check_event;
	void *install_protocol, *reinstall_protocol, *uninstall_protocol;
	efi_status EFI (*handle_protocol)(efi_handle handle, const efi_guid *protocol, void **interface);
	void *reserved, *register_notify, *locate_handle, *locate_device_path, *install_table;
	efi_status EFI (*load_image)(uint8_t boot_policy, efi_handle parent, const void *path, const void *source,
				     uint64_t bytes, efi_handle *image);
	efi_status EFI (*start_image)(efi_handle image, uint64_t *exit_bytes, uint16_t **exit_text);
	void *exit, *unload_image, *exit_boot_services, *get_next_count;
	efi_status EFI (*stall)(uint64_t us);
	void *set_watchdog, *connect, *disconnect, *open_protocol, *close_protocol, *open_information;
	void *protocols_per_handle;
	efi_status EFI (*locate_handle_buffer)(uint32_t how, const efi_guid *protocol, void *key, uint64_t *count,
					       efi_handle **handles);
	efi_status EFI (*locate_protocol)(const efi_guid *protocol, void *registration, void **interface);
};

struct efi_runtime_services {
	uint8_t header[24];
	void *get_time, *set_time, *get_wakeup, *set_wakeup, *set_virtual_map, *convert_pointer;
	efi_status EFI (*get_variable)(const uint16_t *name, const efi_guid *vendor, uint32_t *attributes,
				       uint64_t *bytes, void *data);
};

struct efi_config_table { efi_guid guid; void *table; };

struct efi_system_table {
	uint8_t header[24];
	const uint16_t *vendor;
	uint32_t revision;
	efi_handle console_in_handle;
	void *console_in;
	efi_handle console_out_handle;
	struct efi_text_output *console_out;
	efi_handle error_handle;
	struct efi_text_output *error;
	struct efi_runtime_services *runtime;
	struct efi_boot_services *boot;
	uint64_t config_count;
	struct efi_config_table *config;
};

struct efi_loaded_image {
	uint32_t revision;
	efi_handle parent;
	struct efi_system_table *system;
	efi_handle device;
	void *path, *reserved;
	uint32_t options_bytes;
	void *options;
	void *base;
	uint64_t bytes;
};

struct efi_file {
	uint64_t revision;
	efi_status EFI (*open)(struct efi_file *self, struct efi_file **file, const uint16_t *name, uint64_t mode,
			       uint64_t attributes);
	efi_status EFI (*close)(struct efi_file *self);
	void *delete;
	efi_status EFI (*read)(struct efi_file *self, uint64_t *bytes, void *to);
};
#define EFI_FILE_READ 1

struct efi_file_system {
	uint64_t revision;
	efi_status EFI (*open_volume)(struct efi_file_system *self, struct efi_file **root);
};

struct efi_device_path { uint8_t type, subtype; uint16_t bytes; } __attribute__((packed));
enum {
	EFI_PATH_MEDIA = 4, EFI_PATH_HARD_DRIVE = 1, EFI_PATH_FILE = 4, EFI_PATH_END = 0x7f, EFI_PATH_END_ENTIRE = 0xff,
};

struct efi_graphics_mode_info {
	uint32_t version, width, height, format, red, green, blue, reserved, pixels_per_line;
};
enum { EFI_PIXEL_RGB = 0, EFI_PIXEL_BGR = 1, EFI_PIXEL_MASKS = 2 };
struct efi_graphics_mode {
	uint32_t max_mode, mode;
	struct efi_graphics_mode_info *info;
	uint64_t info_bytes, framebuffer, framebuffer_bytes;
};
struct efi_graphics { void *query_mode, *set_mode, *blt; struct efi_graphics_mode *mode; };

struct efi_processor { uint64_t id; uint32_t flags, location[9]; };
#define EFI_PROCESSOR_ENABLED 2
#define EFI_PROCESSOR_BOOT 1
struct efi_mp {
	efi_status EFI (*count)(struct efi_mp *self, uint64_t *all, uint64_t *enabled);
	efi_status EFI (*info)(struct efi_mp *self, uint64_t number, struct efi_processor *info);
	efi_status EFI (*start_all)(struct efi_mp *self, void EFI (*procedure)(void *), uint8_t one_by_one, void *event,
				    uint64_t timeout_us, void *argument, uint64_t **failed);
	void *start_one, *switch_boot_cpu;
	efi_status EFI (*enable)(struct efi_mp *self, uint64_t number, uint8_t enabled, uint32_t *health);
};

#endif
