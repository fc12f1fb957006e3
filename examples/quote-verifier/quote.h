/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verifies quotes of TrustVisor on the remote side: struct tv_quote of include/trustvisor/tpm.h, by the documented
 * format alone. Links with BearSSL. tv-quote is the command on it, tv_quote.py the same in Python.
 */
#ifndef QUOTE_H
#define QUOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../hypapps/trustvisor/include/trustvisor/tpm.h"

/** What the verifier expects. */
struct quote_policy {
	uint8_t key[65];         /**< the identity key that is trusted, an uncompressed point of P-256 */
	uint8_t nonce[32];       /**< drawn by the verifier for this quote */
	uint8_t measurement[32]; /**< of the PAL */
	uint8_t owner_tag[32];   /**< zeros: a PAL of no owner */
	uint8_t level;           /**< 1 or 2 */
	const uint8_t *image;    /**< 32 bytes: of the hypervisor; NULL: any */
	const uint8_t *pcrs;     /**< 32 bytes: the digest of its PCRs; NULL: any */
	bool accept_debug;       /**< a PAL whose secrets its caller can see */
	bool accept_unmeasured;  /**< a hypervisor that no hardware has measured */
};

/**
 * @param quote  the bytes as they came; nothing of them is to be believed unless this answers NULL
 * @return NULL: it is right; else the reason why not, a constant text
 */
const char *quote_refused(const void *quote, size_t len_bytes, const struct quote_policy *policy);

#endif
