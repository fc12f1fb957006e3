/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The boot-time check of hypapp descriptors; pure, so that it is tested on the host. */
#ifndef XMHF_HYPAPPS_CHECK_H
#define XMHF_HYPAPPS_CHECK_H

#include <hypapi/hypapp.h>

/*
 * apps: `count` descriptors in priority order. False: `message` says in one line what is wrong, and names the hypapp, or
 * both of them and the claim.
 */
bool hypapps_check(const struct hypapp_descriptor *const *apps, size_t count, char *message, size_t size);

#endif
