/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See keys.h. */
#include "keys.h"

#include <hypapi/lock.h>

#include "tpm.h"

#include <bearssl.h>

#define RSA_BITS 2048
#define RSA_EXPONENT 65537 /* 01 00 01 */

/* Written once, under the lock, and read when `ready` says so. */
static struct p256 { bool ready; uint8_t secret[32], point[65]; } p256;
static struct rsa {
	bool ready;
	uint8_t secret[BR_RSA_KBUF_PRIV_SIZE(RSA_BITS)], modulus[BR_RSA_KBUF_PUB_SIZE(RSA_BITS)];
	br_rsa_private_key key; /* its pointers lead into `secret` */
} rsa;
static struct hypapi_lock lock;

/* Where they are made. */
struct p256_scratch { br_hmac_drbg_context drbg; struct p256 made; };
struct rsa_scratch { br_hmac_drbg_context drbg; struct rsa made; };
_Static_assert(sizeof(struct rsa_scratch) <= KEYS_SCRATCH_BYTES && sizeof(struct p256_scratch) <= KEYS_SCRATCH_BYTES,
	       "the buffer that the caller gives");

static void seed(br_hmac_drbg_context *drbg, const char *label)
{
	static const uint8_t no_salt[16];
	uint8_t bytes[48];

	secret_derive(label, "", 0, no_salt, bytes, sizeof(bytes));
	br_hmac_drbg_init(drbg, &br_sha256_vtable, bytes, sizeof(bytes));
	wipe(bytes, sizeof(bytes));
}

static bool make_p256(void *scratch)
{
	br_hmac_drbg_context *drbg = &((struct p256_scratch *)scratch)->drbg;
	struct p256 *made = &((struct p256_scratch *)scratch)->made;
	br_ec_private_key key;

	if (__atomic_load_n(&p256.ready, __ATOMIC_ACQUIRE))
		return true;
	seed(drbg, "identity P-256");
	if (br_ec_keygen(&drbg->vtable, &br_ec_p256_m31, &key, made->secret, BR_EC_secp256r1) != sizeof(made->secret) ||
	    br_ec_compute_pub(&br_ec_p256_m31, NULL, made->point, &key) != sizeof(made->point))
		return false;
	hypapi_lock(&lock);
	if (!p256.ready) {
		__builtin_memcpy(&p256.secret, made->secret, sizeof(p256.secret));
		__builtin_memcpy(&p256.point, made->point, sizeof(p256.point));
		__atomic_store_n(&p256.ready, true, __ATOMIC_RELEASE);
	}
	hypapi_unlock(&lock);
	return true;
}

/* One that a fault of memory or CPU made wrong can give the key away: none leaves that is not verified. */
bool keys_sign_p256(const uint8_t hash[32], uint8_t signature[KEYS_P256_BYTES], void *scratch)
{
	const br_ec_private_key key = { .curve = BR_EC_secp256r1, .x = p256.secret, .xlen = sizeof(p256.secret) };
	const br_ec_public_key public = { .curve = BR_EC_secp256r1, .q = p256.point, .qlen = sizeof(p256.point) };

	if (!make_p256(scratch))
		return false;
	if (br_ecdsa_i31_sign_raw(&br_ec_p256_m31, &br_sha256_vtable, hash, &key, signature) == KEYS_P256_BYTES &&
	    br_ecdsa_i31_vrfy_raw(&br_ec_p256_m31, hash, 32, &public, signature, KEYS_P256_BYTES))
		return true;
	wipe(signature, KEYS_P256_BYTES);
	return false;
}

bool keys_public_p256(uint8_t point[65], void *scratch)
{
	if (!make_p256(scratch))
		return false;
	__builtin_memcpy(point, p256.point, sizeof(p256.point));
	return true;
}

/* The pointers of the copy lead into the copy. */
static void publish_rsa(const struct rsa *made)
{
	const br_rsa_private_key *key = &made->key;

	hypapi_lock(&lock);
	if (!rsa.ready) {
		__builtin_memcpy(rsa.secret, made->secret, sizeof(rsa.secret));
		__builtin_memcpy(rsa.modulus, made->modulus, sizeof(rsa.modulus));
		rsa.key = *key;
		rsa.key.p = rsa.secret + (key->p - made->secret);
		rsa.key.q = rsa.secret + (key->q - made->secret);
		rsa.key.dp = rsa.secret + (key->dp - made->secret);
		rsa.key.dq = rsa.secret + (key->dq - made->secret);
		rsa.key.iq = rsa.secret + (key->iq - made->secret);
		__atomic_store_n(&rsa.ready, true, __ATOMIC_RELEASE);
	}
	hypapi_unlock(&lock);
}

static bool make_rsa(void *scratch)
{
	br_hmac_drbg_context *drbg = &((struct rsa_scratch *)scratch)->drbg;
	struct rsa *made = &((struct rsa_scratch *)scratch)->made;
	br_rsa_public_key public;

	if (__atomic_load_n(&rsa.ready, __ATOMIC_ACQUIRE))
		return true;
	if (!vectors_rsa())
		return false;
	seed(drbg, "identity RSA-2048");
	if (!br_rsa_i62_keygen(&drbg->vtable, &made->key, made->secret, &public, made->modulus, RSA_BITS, RSA_EXPONENT))
		return false;
	publish_rsa(made);
	return true;
}

/*
 * A signature in which one half of the CRT went wrong, by a fault of memory or CPU, gives the factors away: it is
 * verified, and none that is wrong leaves.
 */
bool keys_sign_rsa(const uint8_t hash[20], uint8_t signature[KEYS_RSA_BYTES], void *scratch)
{
	static const uint8_t exponent[] = { 1, 0, 1 };
	const br_rsa_public_key public = { rsa.modulus, KEYS_RSA_BYTES, (uint8_t *)exponent, sizeof(exponent) };
	uint8_t signed_hash[20];

	if (!make_rsa(scratch))
		return false;
	if (br_rsa_i62_pkcs1_sign(BR_HASH_OID_SHA1, hash, 20, &rsa.key, signature) &&
	    br_rsa_i62_pkcs1_vrfy(signature, KEYS_RSA_BYTES, BR_HASH_OID_SHA1, 20, &public, signed_hash) &&
	    !__builtin_memcmp(signed_hash, hash, sizeof(signed_hash)))
		return true;
	wipe(signature, KEYS_RSA_BYTES);
	return false;
}

bool keys_public_rsa(uint8_t modulus[KEYS_RSA_BYTES], void *scratch)
{
	if (!make_rsa(scratch))
		return false;
	__builtin_memcpy(modulus, rsa.modulus, KEYS_RSA_BYTES);
	return true;
}

void keys_wipe(void)
{
	wipe(&p256, sizeof(p256));
	wipe(&rsa, sizeof(rsa));
}
