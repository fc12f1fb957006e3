/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The new bank: SHA-256, AES-256-GCM, ECDSA P-256. Formats: include/trustvisor/tpm.h. */
#include "op.h"

#include <bearssl.h>

#include "nv.h"

/* The command's structure, at the address in ECX. */
static uint32_t read_request(const struct hypapi_event *ev, const struct pal *pal, struct op *op, void *to,
			     uint32_t len_bytes)
{
	op->request_at = tv_arg(ev, HYPAPI_REG_RCX);
	return op_read(ev, pal, to, op->request_at, len_bytes);
}

/* The digest of selected PCRs, as they are now. */
static void pcr_digest(const struct pal *pal, uint32_t mask, uint8_t digest[32])
{
	br_sha256_context sha;

	__builtin_memset(digest, 0, 32);
	if (!mask)
		return;
	br_sha256_init(&sha);
	br_sha256_update(&sha, &mask, sizeof(mask));
	for (uint32_t i = 0; i < TV_TPM_PCRS; i++)
		if (mask & 1u << i)
			br_sha256_update(&sha, tpm_of(pal)->pcr[i], 32);
	br_sha256_out(&sha, digest);
}

static bool is_mask(uint32_t mask)
{
	return mask < 1u << TV_TPM_PCRS;
}

static uint32_t flags_of(const struct pal *pal)
{
	return pal->tpm_flags | (hypapi_features() & HYPAPI_FEATURE_DMA ? TV_TPM_DMA : 0) |
	       (nv_is_persistent() ? TV_TPM_NV_PERSISTENT : 0);
}

/* ---- Facts ---- */

static uint32_t info_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	op->request_at = tv_arg(ev, HYPAPI_REG_RCX);
	return tpm_may_write(pal, op->request_at, sizeof(struct tv_tpm_info)) ? TV_TPM_OK : TV_TPM_BAD_PARAMETER;
}

static void info_work(void *data)
{
	struct op *op = data;
	struct tv_tpm_info *info = (void *)op->made;

	op->result = keys_public_p256(info->identity, op->scratch) ? TV_TPM_OK : TV_TPM_FAILED;
}

static uint32_t info_finish(const struct hypapi_event *ev, const struct pal *pal, struct op *op)
{
	struct tv_tpm_info *info = (void *)op->made;

	info->version = 1;
	info->flags = flags_of(pal);
	__builtin_memcpy(info->measurement, op->whose.measurement, 32);
	__builtin_memcpy(info->owner_tag, op->whose.owner_tag, 32);
	__builtin_memcpy(info->boot_nonce, secret_boot_nonce(), 32);
	hypapi_image_hash(info->image_hash);
	return op_write(ev, pal, op->request_at, info, sizeof(*info));
}

/* ---- PCRs ---- */

static uint32_t pcr_read(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	struct tv_tpm_pcr pcr;
	uint32_t result = read_request(ev, pal, op, &pcr, sizeof(pcr));

	if (result != TV_TPM_OK)
		return result;
	if (pcr.index >= TV_TPM_PCRS)
		return TV_TPM_PCR_RANGE;
	__builtin_memcpy(pcr.value, tpm_of(pal)->pcr[pcr.index], 32);
	return op_write(ev, pal, op->request_at, &pcr, sizeof(pcr));
}

static uint32_t pcr_extend(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	struct tv_tpm_pcr pcr;
	uint32_t result = read_request(ev, pal, op, &pcr, sizeof(pcr));
	uint8_t both[64];

	if (result != TV_TPM_OK)
		return result;
	if (pcr.index >= TV_TPM_PCRS)
		return TV_TPM_PCR_RANGE;
	__builtin_memcpy(both, tpm_of(pal)->pcr[pcr.index], 32);
	__builtin_memcpy(both + 32, pcr.value, 32);
	sha256(tpm_of(pal)->pcr[pcr.index], both, sizeof(both));
	return TV_TPM_OK;
}

/* ---- Random bytes ---- */

static uint32_t random_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	struct tv_tpm_buffer buffer;
	uint32_t result = read_request(ev, pal, op, &buffer, sizeof(buffer));

	if (result != TV_TPM_OK)
		return result;
	op->out = buffer.out;
	op->out_len = buffer.out_len;
	if (op->out_len == 0 || op->out_len > TV_TPM_MAX_DATA || !tpm_may_write(pal, op->out, op->out_len))
		return TV_TPM_BAD_PARAMETER;
	return op_random(op->in, OP_SEED_BYTES);
}

static uint32_t random_finish(const struct hypapi_event *ev, const struct pal *pal, struct op *op)
{
	return op_write(ev, pal, op->out, op->made, op->out_len);
}

/* ---- Seal and unseal ---- */

struct gcm_scratch { br_aes_ct64_ctr_keys aes; br_gcm_context gcm; };
_Static_assert(sizeof(struct gcm_scratch) <= KEYS_SCRATCH_BYTES, "op->scratch");

/* With a key for this blob alone, so the IV may be 0: one pass over `text`, which is encrypted or plain then. */
static br_gcm_context *run_gcm(struct op *op, const struct tv_blob *head, uint8_t *text, uint32_t len, bool encrypt)
{
	struct gcm_scratch *scratch = (void *)op->scratch;
	static const uint8_t iv[12];
	uint8_t key[32];

	secret_derive("seal SHA-256", &op->whose, sizeof(op->whose), head->salt, key, sizeof(key));
	br_aes_ct64_ctr_init(&scratch->aes, key, sizeof(key));
	wipe(key, sizeof(key));
	br_gcm_init(&scratch->gcm, &scratch->aes.vtable, br_ghash_ctmul64);
	br_gcm_reset(&scratch->gcm, iv, sizeof(iv));
	br_gcm_aad_inject(&scratch->gcm, head, sizeof(*head));
	br_gcm_flip(&scratch->gcm);
	br_gcm_run(&scratch->gcm, encrypt, text, len);
	return &scratch->gcm;
}

static uint32_t read_seal(const struct hypapi_event *ev, struct pal *pal, struct op *op, uint32_t min, uint32_t max)
{
	struct tv_tpm_seal *seal = &op->request.seal;
	uint32_t result = read_request(ev, pal, op, seal, sizeof(*seal));

	if (result != TV_TPM_OK)
		return result;
	if (seal->in_len < min || seal->in_len > max)
		return TV_TPM_BAD_PARAMETER;
	return op_read(ev, pal, op->in, seal->in, seal->in_len);
}

static uint32_t seal_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	struct tv_tpm_seal *seal = &op->request.seal;
	uint32_t result = read_seal(ev, pal, op, 0, TV_TPM_MAX_DATA);
	struct tv_blob *head = (void *)op->made;

	if (result != TV_TPM_OK)
		return result;
	op->out_len = (uint32_t)sizeof(*head) + seal->in_len + TV_BLOB_TAG_BYTES;
	if (!is_mask(seal->pcr_mask) || seal->flags & ~TV_TPM_SEAL_NOW || op->out_len > seal->out_len ||
	    !tpm_may_write(pal, seal->out, op->out_len))
		return TV_TPM_BAD_PARAMETER;
	head->magic = TV_BLOB_MAGIC;
	head->pcr_mask = seal->pcr_mask;
	pcr_digest(pal, seal->pcr_mask, head->creation);
	__builtin_memcpy(head->release, seal->flags & TV_TPM_SEAL_NOW ? head->creation : seal->release, 32);
	return op_random(head->salt, sizeof(head->salt));
}

static void seal_work(void *data)
{
	struct op *op = data;
	struct tv_blob *head = (void *)op->made;
	uint8_t *text = op->made + sizeof(*head);
	uint32_t len = op->request.seal.in_len;

	__builtin_memcpy(text, op->in, len);
	br_gcm_get_tag(run_gcm(op, head, text, len, true), text + len);
	op->result = TV_TPM_OK;
}

static uint32_t write_seal(const struct hypapi_event *ev, const struct pal *pal, struct op *op, const void *from)
{
	struct tv_tpm_seal *seal = &op->request.seal;
	uint32_t result = op_write(ev, pal, seal->out, from, op->out_len);

	seal->out_len = op->out_len;
	return result == TV_TPM_OK ? op_write(ev, pal, op->request_at, seal, sizeof(*seal)) : result;
}

static uint32_t seal_finish(const struct hypapi_event *ev, const struct pal *pal, struct op *op)
{
	return write_seal(ev, pal, op, op->made);
}

#define MIN_BLOB (sizeof(struct tv_blob) + TV_BLOB_TAG_BYTES)

static uint32_t unseal_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	struct tv_tpm_seal *seal = &op->request.seal;
	uint32_t result = read_seal(ev, pal, op, MIN_BLOB, MIN_BLOB + TV_TPM_MAX_DATA);

	if (result != TV_TPM_OK)
		return result;
	op->out_len = seal->in_len - (uint32_t)MIN_BLOB;
	return op->out_len <= seal->out_len && (op->out_len == 0 || tpm_may_write(pal, seal->out, op->out_len)) ?
	       TV_TPM_OK : TV_TPM_BAD_PARAMETER;
}

/* The tag decides whether anything that stands in the blob is looked at. */
static void unseal_work(void *data)
{
	struct op *op = data;
	struct tv_blob *head = (void *)op->in;
	uint8_t *text = op->in + sizeof(*head);
	br_gcm_context *gcm = run_gcm(op, head, text, op->out_len, false);

	op->result = br_gcm_check_tag(gcm, text + op->out_len) ? TV_TPM_OK : TV_TPM_FAILED;
}

static uint32_t unseal_finish(const struct hypapi_event *ev, const struct pal *pal, struct op *op)
{
	const struct tv_blob *head = (const void *)op->in;
	struct tv_tpm_seal *seal = &op->request.seal;
	uint8_t now[32];

	if (head->magic != TV_BLOB_MAGIC || !is_mask(head->pcr_mask))
		return TV_TPM_FAILED;
	pcr_digest(pal, head->pcr_mask, now);
	if (head->pcr_mask && __builtin_memcmp(now, head->release, sizeof(now)))
		return TV_TPM_FAILED;
	seal->pcr_mask = head->pcr_mask;
	__builtin_memcpy(seal->release, head->release, 32);
	__builtin_memcpy(seal->creation, head->creation, 32);
	return write_seal(ev, pal, op, op->in + sizeof(*head));
}

/* ---- Quote ---- */

static uint32_t quote_prepare(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	struct tv_quote *quote = (void *)op->made;
	struct tv_tpm_quote request;
	uint32_t result = read_request(ev, pal, op, &request, sizeof(request));

	if (result != TV_TPM_OK)
		return result;
	op->out = request.out;
	if (!is_mask(request.pcr_mask) || !tpm_may_write(pal, op->out, sizeof(*quote)))
		return TV_TPM_BAD_PARAMETER;
	*quote = (struct tv_quote){ .magic = TV_QUOTE_MAGIC, .version = 1, .bank = 2, .level = (uint8_t)pal->level,
		.cpl = pal->cpl, .width = (uint8_t)(pal->word_bytes * 8), .flags = flags_of(pal),
		.pcr_mask = request.pcr_mask };
	__builtin_memcpy(quote->measurement, op->whose.measurement, 32);
	__builtin_memcpy(quote->owner_tag, op->whose.owner_tag, 32);
	__builtin_memcpy(quote->boot_nonce, secret_boot_nonce(), 32);
	hypapi_image_hash(quote->image_hash);
	pcr_digest(pal, request.pcr_mask, quote->pcr_digest);
	result = op_read(ev, pal, quote->nonce, request.nonce, sizeof(quote->nonce));
	return result != TV_TPM_OK ? result : op_read(ev, pal, quote->data, request.data, sizeof(quote->data));
}

static void quote_work(void *data)
{
	struct op *op = data;
	struct tv_quote *quote = (void *)op->made;
	uint8_t hash[32];

	sha256(hash, quote, offsetof(struct tv_quote, signature));
	op->result = keys_sign_p256(hash, quote->signature, op->scratch) ? TV_TPM_OK : TV_TPM_FAILED;
}

static uint32_t quote_finish(const struct hypapi_event *ev, const struct pal *pal, struct op *op)
{
	return op_write(ev, pal, op->out, op->made, sizeof(struct tv_quote));
}

/* ---- Counters ---- */

static uint32_t counter(const struct hypapi_event *ev, struct pal *pal, struct op *op)
{
	struct tv_tpm_counter request;
	uint32_t result = read_request(ev, pal, op, &request, sizeof(request));
	uint64_t value;

	if (result != TV_TPM_OK)
		return result;
	if (request.op > TV_TPM_COUNTER_ADD || request.flags & ~TV_TPM_MUST_PERSIST ||
	    !tpm_may_write(pal, op->request_at, sizeof(request)))
		return TV_TPM_BAD_PARAMETER;
	if (request.flags & TV_TPM_MUST_PERSIST && !nv_is_persistent())
		return TV_E_UNSUPPORTED;
	if (!nv_counter(&op->whose, sizeof(op->whose), request.op == TV_TPM_COUNTER_ADD, &value))
		return TV_E_NO_ROOM;
	request.value = value;
	return op_write(ev, pal, op->request_at, &request, sizeof(request));
}

#define ROW(command) [TV_CMD_TPM_##command - OP_NEW_FIRST]
const struct op_row ops_new[OP_NEW_LAST - OP_NEW_FIRST + 1] = {
	ROW(INFO) = { info_prepare, info_work, info_finish },
	ROW(PCR_READ) = { pcr_read, NULL, NULL },
	ROW(PCR_EXTEND) = { pcr_extend, NULL, NULL },
	ROW(RANDOM) = { random_prepare, op_generate, random_finish },
	ROW(SEAL) = { seal_prepare, seal_work, seal_finish },
	ROW(UNSEAL) = { unseal_prepare, unseal_work, unseal_finish },
	ROW(QUOTE) = { quote_prepare, quote_work, quote_finish },
	ROW(COUNTER) = { counter, NULL, NULL },
};
