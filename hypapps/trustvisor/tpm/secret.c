/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one door to the master secret: from here it comes, as keys derived for one purpose, and nowhere else does it
 * stand. Today it is drawn at boot, so that what is sealed lives as long as the boot, and a quote says so
 * (TV_TPM_MASTER_PERSISTENT is clear). A measured launch will bring it here instead.
 */
#include "tpm.h"

#include <bearssl.h>

static uint8_t master[32], boot_nonce[32];
static bool there;

void secret_init(void)
{
	const char *wrong;
	int rc;

	sha256_init();
	wrong = vectors_failed();
	rc = wrong ? HYPAPI_ENOTSUP : hypapi_random(master, sizeof(master));

	if (rc == HYPAPI_OK)
		rc = hypapi_random(boot_nonce, sizeof(boot_nonce));
	there = rc == HYPAPI_OK;
	if (wrong)
		hypapi_log("trustvisor: no secrets: the test vector of %s fails", wrong);
	else if (!there)
		hypapi_log("trustvisor: no secrets: the CPU gives no random numbers (error %d)", rc);
}

bool secret_is_there(void)
{
	return there;
}

void secret_derive(const char *label, const void *context, uint32_t context_len, const uint8_t salt[16], void *out,
		   uint32_t len_bytes)
{
	uint8_t info[32 + 128];
	uint32_t label_len = (uint32_t)__builtin_strlen(label) + 1;
	br_hkdf_context hkdf;

	__builtin_memcpy(info, label, label_len);
	__builtin_memcpy(info + label_len, context, context_len);
	br_hkdf_init(&hkdf, &br_sha256_vtable, salt, 16);
	br_hkdf_inject(&hkdf, master, sizeof(master));
	br_hkdf_flip(&hkdf);
	br_hkdf_produce(&hkdf, info, label_len + context_len, out, len_bytes);
	wipe(&hkdf, sizeof(hkdf));
}

const uint8_t *secret_boot_nonce(void)
{
	return boot_nonce;
}

void secret_wipe(void)
{
	there = false;
	wipe(master, sizeof(master));
}

void sha256(uint8_t out[32], const void *data, uint32_t len_bytes)
{
	br_sha256_context sha;

	br_sha256_init(&sha);
	br_sha256_update(&sha, data, len_bytes);
	br_sha256_out(&sha, out);
	wipe(&sha, sizeof(sha));
}
