/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The boot-time check of hypapp descriptors; pure, so that it is tested on the host. */
#ifndef XMHF_HYPAPPS_CHECK_H
#define XMHF_HYPAPPS_CHECK_H

#include <hypapi/hypapp.h>

/* The shortest descriptor: that of 1.0. */
#define HYPAPP_SIZE_1_0 offsetof(struct hypapp_descriptor, cpu_bytes)

/* Number i of all subscriptions, or claims: those in the descriptor, then those beside it. NULL: there are no more. */
const struct hypapi_subscription *hypapp_subscription(const struct hypapp_descriptor *app, uint32_t i);
const struct hypapi_claim *hypapp_claim(const struct hypapp_descriptor *app, uint32_t i);

/*
 * apps: `count` descriptors in priority order. features: mask of enum hypapi_feature that hypapps may need. False:
 * `message` says in one line what is wrong, and names the hypapp, or both of them and the claim.
 */
bool hypapps_check(const struct hypapp_descriptor *const *apps, size_t count, uint32_t features, char *message,
		   size_t size);

#endif
