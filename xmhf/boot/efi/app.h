/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of xmhf.efi, the application, share. */
#ifndef XMHF_EFI_APP_H
#define XMHF_EFI_APP_H

#include "boot/efi_handoff.h"
#include "boot/efi_map.h"
#include "uefi.h"

/* Found by their distance: the application is loaded anywhere. */
#pragma GCC visibility push(hidden)

extern struct efi_system_table *efi_table;
extern struct efi_boot_services *boot;
extern struct efi_loaded_image *self; /* this application */
extern const efi_guid efi_files_guid, efi_loaded_guid;

/* On the firmware's console, as printf(); \n also returns. */
void say(const char *f, ...) __attribute__((format(printf, 1, 2)));

/* ---- config.c ---- */
#define PATH_CHARS 128
extern char next_path[PATH_CHARS];       /* a file of the partition that this application came from; empty: the entry
					    of the boot menu that follows this application's */
extern char next_options[CMDLINE_BYTES]; /* its load options; empty: those of the entry */
/* The core's options; fills the two above. NULL, or what is wrong. */
const char *read_config(char cmdline[CMDLINE_BYTES]);

/* ---- next.c: what runs after XMHF ---- */
/* Comes back if nothing could be started, or if what was started came back. */
efi_status start_next(efi_handle image);
/* Text as the firmware has it, which returns to the first column at a line feed. How many bytes, with the zero. */
u64 widen(u16 *to, const char *text);

#pragma GCC visibility pop

#endif
