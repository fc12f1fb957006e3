/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of xmhf.efi, the application, share. */
#ifndef XMHF_EFI_APP_H
#define XMHF_EFI_APP_H

#include "boot/efi_handoff.h"
#include "uefi.h"

/* Found by their distance: the application is loaded anywhere. */
#pragma GCC visibility push(hidden)

extern struct efi_system_table *efi_table;
extern struct efi_boot_services *boot;
extern struct efi_loaded_image *self; /* this application */
extern const efi_guid efi_files_guid, efi_loaded_guid;

/* On the firmware's console, which is a terminal: \n also returns. */
void say(const char *text);
void copy(void *to, const void *from, u64 bytes);
void clear(void *at, u64 bytes);
bool same_bytes(const void *a, const void *b, u64 bytes);

/* ---- next.c: what runs after XMHF, by its configuration ---- */
#define PATH_CHARS 128
extern char next_path[PATH_CHARS];       /* a file of the partition that this application came from; empty: the entry
					    of the boot menu that follows this application's */
extern char next_options[CMDLINE_BYTES]; /* its load options; empty: those of the entry */
/* Comes back if nothing could be started, or if what was started came back. */
efi_status start_next(efi_handle image);

#pragma GCC visibility pop

#endif
