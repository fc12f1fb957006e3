/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The old bank, for programs of the predecessor: SHA-1, AES-128-CBC with HMAC-SHA1, RSA-2048. Its 32-bit forms are
 * theirs; a 64-bit PAL has words of 8 bytes in the same places. Where only a length goes out, nothing is read there:
 * their programs leave it unset.
 *
 * A blob: IV (the salt of its keys), then encrypted: the selection and, if it selects a PCR, digestAtRelease and
 * digestAtCreation; the length of the data in 4 bytes; the data; zeros up to 16; then the HMAC of all that. Beyond what
 * the predecessor did, its keys are the PAL's own (its measurement and owner tag are part of them), so a blob that
 * selects no PCR is this PAL's alone, too.
 */
#include "op.h"

#include <bearssl.h>

#include "nv.h"

#define DIGEST 20
#define IV_BYTES 16
#define SELECTION_BYTES 3 /* u16 sizeOfSelect, then one byte */
#define INFO_BYTES (SELECTION_BYTES + 2 * DIGEST)
#define MAX_BLOB 2048
#define MIN_BLOB (IV_BYTES + 16 + DIGEST)

/* ---- What the calls have in common ---- */

static uint64_t word(const struct pal *pal, const uint8_t *at)
{
	uint64_t value = 0;

	__builtin_memcpy(&value, at, pal->word_bytes);
	return value;
}

/* Two words at an address: of a buffer and its length, or of a buffer and where its length is. */
static uint32_t read_pair(const struct hypapi_event *ev, const struct pal *pal, uint64_t at, uint64_t *first,
			  uint64_t *second)
{
	uint8_t words[16];
	uint32_t result = op_read(ev, pal, words, at, 2 * pal->word_bytes);

	*first = word(pal, words);
	*second = word(pal, words + pal->word_bytes);
	return result;
}

static uint32_t read_selection(const struct hypapi_event *ev, const struct pal *pal, uint64_t at, uint8_t *selection)
{
	uint8_t bytes[SELECTION_BYTES];
	uint32_t result = op_read(ev, pal, bytes, at, sizeof(bytes));
	uint16_t size;

	__builtin_memcpy(&size, bytes, sizeof(size));
	*selection = size ? bytes[2] : 0;
	return result != TV_TPM_OK ? result : size <= 1 ? TV_TPM_OK : TV_TPM_BAD_PARAMETER;
}

/* Lengths have four bytes in both widths. */
static uint32_t write_with_length(const struct hypapi_event *ev, const struct pal *pal, const struct op *op,
				  const void *from)
{
	uint32_t result = op_write(ev, pal, op->out, from, op->out_len);

	return result == TV_TPM_OK ? op_write(ev, pal, op->out_len_at, &op->out_len, sizeof(op->out_len)) : result;
}

static void sha1(uint8_t out[DIGEST], const void *data, uint32_t len_bytes)
{
	br_sha1_context sha;

	br_sha1_init(&sha);
	br_sha1_update(&sha, data, len_bytes);
	br_sha1_out(&sha, out);
}

/* TPM_PCR_COMPOSITE: the selection, the size of the values in 4 bytes, the values. Returns its length. */
static uint32_t composite(const struct pal *pal, uint8_t selection, uint8_t *to)
{
	const uint8_t head[SELECTION_BYTES] = { 1, 0, selection };
	uint32_t size = 0, start = SELECTION_BYTES + sizeof(size);

	for (uint32_t i = 0; i < TV_TPM_PCRS; i++)
		if (selection & 1u << i) {
			__builtin_memcpy(to + start + size, tpm_of(pal)->pcr1[i], DIGEST);
			size += DIGEST;
		}
	__builtin_memcpy(to, head, sizeof(head));
	__builtin_memcpy(to + sizeof(head), &size, sizeof(size));
	return start + size;
}
#define MAX_COMPOSITE (SELECTION_BYTES + 4 + TV_TPM_PCRS * DIGEST)

static void composite_digest(const struct pal *pal, uint8_t selection, uint8_t digest[DIGEST])
{
	uint8_t bytes[MAX_COMPOSITE];

	sha1(digest, bytes, composite(pal, selection, bytes));
}

/* ---- PCRs and random bytes ---- */

static uint32_t pcr_read(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	uint64_t index = tv_arg(ev, HYPAPI_REG_RCX);

	(void)op;
	if (index >= TV_TPM_PCRS)
		return TV_TPM_PCR_RANGE;
	return op_write(ev, pal, tv_arg(ev, HYPAPI_REG_RDX), tpm_of(pal)->pcr1[index], DIGEST);
}

static uint32_t pcr_extend(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	uint64_t index = tv_arg(ev, HYPAPI_REG_RCX);
	uint8_t both[2 * DIGEST];
	uint32_t result;

	(void)op;
	if (index >= TV_TPM_PCRS)
		return TV_TPM_PCR_RANGE;
	__builtin_memcpy(both, tpm_of(pal)->pcr1[index], DIGEST);
	result = op_read(ev, pal, both + DIGEST, tv_arg(ev, HYPAPI_REG_RDX), DIGEST);
	if (result == TV_TPM_OK)
		sha1(tpm_of(pal)->pcr1[index], both, sizeof(both));
	return result;
}

/* A length that comes in and goes out: more than there is at once is cut. */
static uint32_t random_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	uint32_t result;

	op->out = tv_arg(ev, HYPAPI_REG_RCX);
	op->out_len_at = tv_arg(ev, HYPAPI_REG_RDX);
	result = op_read(ev, pal, &op->out_len, op->out_len_at, sizeof(op->out_len));
	if (op->out_len > TV_TPM_MAX_DATA)
		op->out_len = TV_TPM_MAX_DATA;
	if (result != TV_TPM_OK || !op->out_len || !tpm_may_write(pal, op->out, op->out_len))
		return TV_TPM_BAD_PARAMETER;
	return op_random(op->in, OP_SEED_BYTES);
}

static uint32_t made_finish(const struct hypapi_event *ev, const struct pal *pal, struct op *op)
{
	return write_with_length(ev, pal, op, op->made);
}

/* ---- Seal and unseal ---- */

/* AES key, then HMAC key. */
static void seal_keys(const struct op *op, const uint8_t iv[IV_BYTES], uint8_t keys[16 + DIGEST])
{
	secret_derive("seal SHA-1", &op->whose, sizeof(op->whose), iv, keys, 16 + DIGEST);
}

static void seal_hmac(const uint8_t *key, const uint8_t *blob, uint32_t len, uint8_t out[DIGEST])
{
	br_hmac_key_context key_context;
	br_hmac_context hmac;

	br_hmac_key_init(&key_context, &br_sha1_vtable, key, DIGEST);
	br_hmac_init(&hmac, &key_context, 0);
	br_hmac_update(&hmac, blob, len);
	br_hmac_out(&hmac, out);
	wipe(&key_context, sizeof(key_context));
	wipe(&hmac, sizeof(hmac));
}

static uint8_t *put(uint8_t *at, const void *from, uint32_t len_bytes)
{
	__builtin_memcpy(at, from, len_bytes);
	return at + len_bytes;
}

/* All of the blob as it is before encryption; the length without the HMAC. */
static uint32_t seal_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	uint64_t in, in_len, info = tv_arg(ev, HYPAPI_REG_RDX);
	uint8_t *at = op->made + IV_BYTES, *selection = &op->request.old.selection;
	uint32_t result = read_pair(ev, pal, tv_arg(ev, HYPAPI_REG_RCX), &in, &in_len);
	uint32_t result2 = read_pair(ev, pal, tv_arg(ev, HYPAPI_REG_RSI), &op->out, &op->out_len_at);
	uint32_t result3 = read_selection(ev, pal, info, selection), len;
	uint8_t digest[DIGEST];

	if (result || result2 || result3 || in_len > MAX_BLOB)
		return TV_TPM_BAD_PARAMETER;
	at = put(at, (const uint8_t[]){ 1, 0, *selection }, SELECTION_BYTES);
	if (*selection) {
		if (op_read(ev, pal, at, info + SELECTION_BYTES, DIGEST) != TV_TPM_OK)
			return TV_TPM_BAD_PARAMETER;
		composite_digest(pal, *selection, digest);
		at = put(at + DIGEST, digest, DIGEST);
	}
	len = (uint32_t)in_len;
	at = put(at, &len, sizeof(len));
	op->in_len = (uint32_t)(at - op->made) + len;
	op->in_len = (op->in_len + 15) & ~15u;
	op->out_len = op->in_len + DIGEST;
	if (op->out_len > MAX_BLOB || !tpm_may_write(pal, op->out, op->out_len) ||
	    op_read(ev, pal, at, in, len) != TV_TPM_OK)
		return TV_TPM_BAD_PARAMETER;
	return op_random(op->made, IV_BYTES);
}

static void seal_work(void *data)
{
	struct op *op = data;
	br_aes_ct64_cbcenc_keys *aes = (void *)op->scratch;
	uint8_t keys[16 + DIGEST], iv[IV_BYTES];

	__builtin_memcpy(iv, op->made, IV_BYTES);
	seal_keys(op, iv, keys);
	br_aes_ct64_cbcenc_init(aes, keys, 16);
	br_aes_ct64_cbcenc_run(aes, iv, op->made + IV_BYTES, op->in_len - IV_BYTES);
	seal_hmac(keys + 16, op->made, op->in_len, op->made + op->in_len);
	wipe(keys, sizeof(keys));
	op->result = TV_TPM_OK;
}

static uint32_t unseal_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	uint64_t in, in_len;

	if (read_pair(ev, pal, tv_arg(ev, HYPAPI_REG_RCX), &in, &in_len) != TV_TPM_OK ||
	    read_pair(ev, pal, tv_arg(ev, HYPAPI_REG_RDX), &op->out, &op->out_len_at) != TV_TPM_OK)
		return TV_TPM_BAD_PARAMETER;
	op->composite = tv_arg(ev, HYPAPI_REG_RSI); /* digestAtCreation goes there */
	if (in_len < MIN_BLOB || in_len > MAX_BLOB || (in_len - DIGEST) % 16)
		return TV_TPM_BAD_PARAMETER;
	op->in_len = (uint32_t)in_len - DIGEST;
	return op_read(ev, pal, op->in, in, in_len);
}

/* The HMAC decides whether anything is decrypted. All of it is compared, whatever differs. */
static void unseal_work(void *data)
{
	struct op *op = data;
	br_aes_ct64_cbcdec_keys *aes = (void *)op->scratch;
	uint8_t keys[16 + DIGEST], iv[IV_BYTES], hmac[DIGEST], difference = 0;

	__builtin_memcpy(iv, op->in, IV_BYTES);
	seal_keys(op, iv, keys);
	seal_hmac(keys + 16, op->in, op->in_len, hmac);
	for (uint32_t i = 0; i < DIGEST; i++)
		difference |= hmac[i] ^ op->in[op->in_len + i];
	op->result = difference ? TV_TPM_FAILED : TV_TPM_OK;
	if (!difference) {
		br_aes_ct64_cbcdec_init(aes, keys, 16);
		br_aes_ct64_cbcdec_run(aes, iv, op->in + IV_BYTES, op->in_len - IV_BYTES);
	}
	wipe(keys, sizeof(keys));
}

static uint32_t unseal_finish(const struct hypapi_event *ev, const struct pal *pal, struct op *op)
{
	const uint8_t *info = op->in + IV_BYTES, *length = info + (info[2] ? INFO_BYTES : SELECTION_BYTES);
	uint8_t digest[DIGEST] = { 0 };
	uint32_t result = TV_TPM_OK;

	if (info[2]) {
		composite_digest(pal, info[2], digest);
		if (__builtin_memcmp(digest, info + SELECTION_BYTES, DIGEST))
			return TV_TPM_FAILED;
		__builtin_memcpy(digest, info + SELECTION_BYTES + DIGEST, DIGEST);
	}
	__builtin_memcpy(&op->out_len, length, sizeof(op->out_len));
	if (op->out_len > op->in_len - (uint64_t)(length + 4 - op->in))
		return TV_TPM_FAILED; /* only a mistake of seal could make it so */
	if (op->composite)
		result = op_write(ev, pal, op->composite, digest, DIGEST);
	return result == TV_TPM_OK ? write_with_length(ev, pal, op, length + 4) : result;
}

/* ---- Quote, and the key that it verifies with ---- */

#define QUOTE_INFO_BYTES (8 + 2 * DIGEST)

/* op->in: TPM_QUOTE_INFO, then the composite. */
static uint32_t quote_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	uint8_t selection, *nonce = put(op->in, "\1\1\0\0QUOT", 8) + DIGEST;
	uint32_t result = read_selection(ev, pal, tv_arg(ev, HYPAPI_REG_RCX), &selection);

	if (result || read_pair(ev, pal, tv_arg(ev, HYPAPI_REG_RDX), &op->out, &op->out_len_at) ||
	    read_pair(ev, pal, tv_arg(ev, HYPAPI_REG_RDI), &op->composite, &op->composite_len_at) ||
	    op_read(ev, pal, nonce, tv_arg(ev, HYPAPI_REG_RSI), DIGEST))
		return TV_TPM_BAD_PARAMETER;
	op->in_len = composite(pal, selection, op->in + QUOTE_INFO_BYTES);
	sha1(op->in + 8, op->in + QUOTE_INFO_BYTES, op->in_len);
	op->out_len = KEYS_RSA_BYTES;
	return tpm_may_write(pal, op->out, op->out_len) && tpm_may_write(pal, op->composite, op->in_len) ?
	       TV_TPM_OK : TV_TPM_BAD_PARAMETER;
}

static void quote_work(void *data)
{
	struct op *op = data;
	uint8_t hash[DIGEST];

	sha1(hash, op->in, QUOTE_INFO_BYTES);
	op->result = keys_sign_rsa(hash, op->made, op->scratch) ? TV_TPM_OK : TV_TPM_FAILED;
}

static uint32_t quote_finish(const struct hypapi_event *ev, const struct pal *pal, struct op *op)
{
	uint32_t result = op_write(ev, pal, op->composite, op->in + QUOTE_INFO_BYTES, op->in_len);

	if (result == TV_TPM_OK)
		result = op_write(ev, pal, op->composite_len_at, &op->in_len, sizeof(op->in_len));
	return result == TV_TPM_OK ? write_with_length(ev, pal, op, op->made) : result;
}

static uint32_t id_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	uint32_t room, result;

	op->out = tv_arg(ev, HYPAPI_REG_RCX);
	op->out_len_at = tv_arg(ev, HYPAPI_REG_RDX);
	op->out_len = KEYS_RSA_BYTES;
	result = op_read(ev, pal, &room, op->out_len_at, sizeof(room));
	return result || room < op->out_len || !tpm_may_write(pal, op->out, op->out_len) ? TV_TPM_BAD_PARAMETER :
	       TV_TPM_OK;
}

static void id_work(void *data)
{
	struct op *op = data;

	op->result = keys_public_rsa(op->made, op->scratch) ? TV_TPM_OK : TV_TPM_FAILED;
}

#define ROW(command) [TV_CMD_UTPM_##command - OP_OLD_FIRST]
const struct op_row ops_old[OP_OLD_LAST - OP_OLD_FIRST + 1] = {
	ROW(PCRREAD) = { pcr_read, NULL, NULL },
	ROW(PCREXTEND) = { pcr_extend, NULL, NULL },
	ROW(GENRAND) = { random_prepare, op_generate, made_finish },
	ROW(SEAL) = { seal_prepare, seal_work, made_finish },
	ROW(UNSEAL) = { unseal_prepare, unseal_work, unseal_finish },
	ROW(QUOTE) = { quote_prepare, quote_work, quote_finish },
	ROW(ID_GETPUB) = { id_prepare, id_work, made_finish },
};
