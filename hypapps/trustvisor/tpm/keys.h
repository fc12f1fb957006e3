/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The identity keys, which sign quotes. They are derived from the master secret, so whoever comes first makes one, two
 * at a time make the same, and one that was given up is made again. For jobs only: making the RSA key takes a billion
 * instructions.
 */
#ifndef TRUSTVISOR_KEYS_H
#define TRUSTVISOR_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#define KEYS_RSA_BYTES 256
#define KEYS_P256_BYTES 64
#define KEYS_SCRATCH_BYTES 2048

/** ECDSA P-256 signature of a SHA-256 hash: r, s. */
bool keys_sign_p256(const uint8_t hash[32], uint8_t signature[KEYS_P256_BYTES], void *scratch);
/** The public key: an uncompressed point. */
bool keys_public_p256(uint8_t point[65], void *scratch);
/** RSA-2048, PKCS#1 v1.5 signature of a SHA-1 hash. */
bool keys_sign_rsa(const uint8_t hash[20], uint8_t signature[KEYS_RSA_BYTES], void *scratch);
/** The modulus, big-endian; the exponent is 65537. */
bool keys_public_rsa(uint8_t modulus[KEYS_RSA_BYTES], void *scratch);
void keys_wipe(void);

#endif
