/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See quote.h. The signature comes first: before it holds, no field says anything. */
#include "quote.h"

#include <string.h>

#include <bearssl.h>

static bool is_signed(const struct tv_quote *quote, const struct quote_policy *policy)
{
	uint8_t hash[32], point[sizeof(policy->key)];
	br_ec_public_key key = { .curve = BR_EC_secp256r1, .q = point, .qlen = sizeof(point) };
	br_sha256_context sha;

	memcpy(point, policy->key, sizeof(point));
	br_sha256_init(&sha);
	br_sha256_update(&sha, quote, offsetof(struct tv_quote, signature));
	br_sha256_out(&sha, hash);
	return br_ecdsa_i31_vrfy_raw(&br_ec_p256_m31, hash, sizeof(hash), &key, quote->signature,
				     sizeof(quote->signature)) == 1;
}

static bool differ(const uint8_t *a, const uint8_t *b)
{
	return b && memcmp(a, b, 32) != 0;
}

const char *quote_refused(const void *bytes, size_t len_bytes, const struct quote_policy *policy)
{
	struct tv_quote quote;

	if (len_bytes != sizeof(quote))
		return "the quote has another length";
	memcpy(&quote, bytes, sizeof(quote));
	if (!is_signed(&quote, policy))
		return "the signature is not of this key";
	if (quote.magic != TV_QUOTE_MAGIC || quote.version != 1 || quote.bank != 2)
		return "it is of another format";
	if (differ(quote.nonce, policy->nonce))
		return "it is of another nonce";
	if (differ(quote.measurement, policy->measurement))
		return "it is of another PAL";
	if (differ(quote.owner_tag, policy->owner_tag))
		return "it is of another owner";
	if (quote.level != policy->level)
		return "its PAL is of another level";
	if (differ(quote.image_hash, policy->image))
		return "it is of another hypervisor";
	if (differ(quote.pcr_digest, policy->pcrs))
		return "its PCRs are others";
	if (quote.flags & TV_TPM_DEBUG && !policy->accept_debug)
		return "its PAL is for debugging";
	if (!(quote.flags & TV_TPM_LAUNCH_MEASURED) && !policy->accept_unmeasured)
		return "no hardware has measured its hypervisor";
	return NULL;
}
