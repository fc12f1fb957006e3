/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The check of hypapp descriptors, at boot and when an image is linked; pure, so that it is tested on the host. Each
 * mistake is one line that names the hypapp, the member and the remedy.
 */
#ifndef XMHF_HYPAPPS_CHECK_H
#define XMHF_HYPAPPS_CHECK_H

#include <hypapi/hypapp.h>

/* The shortest descriptor: that of 1.0. */
#define HYPAPP_SIZE_1_0 offsetof(struct hypapp_descriptor, cpu_bytes)

/* Number i of all subscriptions, or claims: those in the descriptor, then those beside it. NULL: there are no more. */
const struct hypapi_subscription *hypapp_subscription(const struct hypapp_descriptor *app, uint32_t i);
const struct hypapi_claim *hypapp_claim(const struct hypapp_descriptor *app, uint32_t i);

/* By kind: what is claimed, and the event by which its owner is asked. */
extern const struct hypapp_claim_kind { const char *name; uint32_t event; } hypapp_claim_kinds[HYPAPI_CLAIM_MSR + 1];

/* What is wrong: one line in `message`, `size` bytes. Where it is accepted all the same, warn() gets that line. */
struct hypapps_report {
	char *message;
	size_t size;
	void (*warn)(const char *message);
};

/*
 * apps: `count` descriptors in priority order. features: mask of enum hypapi_feature that hypapps may need. False:
 * `message` names the hypapp, or both of them and the claim. Mistakes that no version before 1.3 refused are warnings
 * in descriptors of before.
 */
bool hypapps_check(const struct hypapp_descriptor *const *apps, size_t count, uint32_t features,
		   const struct hypapps_report *report);

#endif
