/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libtv's own: PALs by way of the driver, /dev/trustvisor. Callers: tv.c. */
#ifndef TV_DEVICE_H
#define TV_DEVICE_H

#include "tv.h"

/** Whether there is a driver, which then is the only way; also if this process may not open it. */
bool tv_device_is_there(void);

/**
 * As tv_register_options(). With the first registration the sections become pages of the driver, with what they hold.
 */
uint32_t tv_device_register(const struct tv_pal_sections *sections, const struct tv_list_entry *entries, uint32_t count,
			    uint32_t flags, const struct tv_pal_options *options);
/** As tv_unregister(); TV_E_NO_PAL also if the sections are not the driver's. */
uint32_t tv_device_unregister(const struct tv_pal_sections *sections);
bool tv_device_status(const struct tv_pal_sections *sections, struct tv_status *status);

#endif
