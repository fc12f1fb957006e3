/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The micro-TPM: what its two banks have in common. A command that computes is a job (job.h): when a slice is over, the
 * PAL leaves its CPU (call.c), and its VMCALL begins again when the work is done; so the memory of the PAL is read in
 * `prepare`, before the work, and written in `finish`, after it, each with the PAL standing at that VMCALL.
 */
#include "tpm.h"

#include "nv.h"
#include "op.h"

#include <bearssl.h>

static struct tpm_pal tpms[TV_MAX_PALS];

struct tpm_pal *tpm_of(const struct pal *pal)
{
	return &tpms[pal_number(pal)];
}

bool tpm_may_write(const struct pal *pal, uint64_t at, uint64_t len_bytes)
{
	for (uint32_t i = 0; i < pal->sections.num_sections; i++) {
		const struct tv_pal_section *section = &pal->sections.sections[i];
		uint64_t size = (uint64_t)section->page_num * HYPAPI_PAGE_SIZE, offset = at - section->start_addr;

		if (section->type != TV_SECTION_CODE && section->type != TV_SECTION_SHARED_CODE && offset < size)
			return len_bytes <= size - offset;
	}
	return false;
}

uint32_t op_read(const struct hypapi_event *ev, const struct pal *pal, void *to, uint64_t from, uint64_t len_bytes)
{
	int rc = hypapi_partition_read(ev, pal->partition, to, GVA(from), len_bytes);

	return rc == HYPAPI_OK ? TV_TPM_OK : TV_TPM_BAD_PARAMETER;
}

uint32_t op_write(const struct hypapi_event *ev, const struct pal *pal, uint64_t to, const void *from,
		  uint64_t len_bytes)
{
	if (!tpm_may_write(pal, to, len_bytes))
		return TV_TPM_BAD_PARAMETER;
	return hypapi_partition_write(ev, pal->partition, GVA(to), from, len_bytes) == HYPAPI_OK ? TV_TPM_OK :
	       TV_TPM_BAD_PARAMETER;
}

uint32_t op_random(void *to, uint32_t len_bytes)
{
	return hypapi_random(to, len_bytes) == HYPAPI_OK ? TV_TPM_OK : TV_TPM_NO_ENTROPY;
}

void op_generate(void *data)
{
	struct op *op = data;
	br_hmac_drbg_context drbg;

	br_hmac_drbg_init(&drbg, &br_sha256_vtable, op->in, OP_SEED_BYTES);
	br_hmac_drbg_generate(&drbg, op->made, op->out_len);
	wipe(&drbg, sizeof(drbg));
	op->result = TV_TPM_OK;
}

static const struct op_row *row_of(uint32_t number)
{
	const struct op_row *row = number >= OP_NEW_FIRST ? &ops_new[number - OP_NEW_FIRST] :
				   &ops_old[number - OP_OLD_FIRST];

	return row->prepare ? row : NULL;
}

static uint32_t begin(const struct hypapi_event *ev, struct pal *pal, struct op *op, const struct op_row *row,
		      uint32_t number)
{
	op->number = number;
	__builtin_memcpy(op->whose.measurement, tpm_of(pal)->measurement, sizeof(op->whose.measurement));
	__builtin_memcpy(op->whose.owner_tag, pal->owner_tag, sizeof(op->whose.owner_tag));
	return row->prepare(ev, pal, op);
}

static struct job_owner owner_of(const struct pal *pal)
{
	return (struct job_owner){ pal->partition.id, pal->caller, limits_class(pal) };
}

/*
 * A PAL that comes with another command than the one that it left cannot be: it stood still. It would begin anew, as
 * with a job that it has waited for (number 0).
 */
static bool is_new(const struct op *op, uint32_t number, bool fresh)
{
	return fresh || op->number != number;
}

uint32_t tpm_command(const struct hypapi_event *ev, struct pal *pal, uint32_t number)
{
	const struct op_row *row = row_of(number);
	struct job_owner owner = owner_of(pal);
	uint32_t result = TV_TPM_OK;
	struct job *job;
	struct op *op;
	bool fresh, done;

	if (!row)
		return TV_E_UNKNOWN;
	if (!secret_is_there())
		return TV_TPM_NO_ENTROPY;
	job = job_get(&owner, &fresh);
	if (!job)
		return TPM_PAUSE;
	op = job_data(job);
	if (is_new(op, number, fresh)) {
		result = begin(ev, pal, op, row, number);
		if (result == TV_TPM_OK && row->work)
			job_begin(job, row->work);
	}
	done = result != TV_TPM_OK || !row->work || job_run(job);
	if (!done) {
		job_put(job);
		return TPM_PAUSE;
	}
	if (result == TV_TPM_OK && row->work)
		result = op->result != TV_TPM_OK ? op->result : row->finish(ev, pal, op);
	job_end(job);
	return result;
}

/*
 * The PAL is away from its CPU: one more slice of what it waits for. It goes on in the step after the last slice, or
 * after it has got a job, where it has waited for one or lost it: what it does first may be a slice, too, and
 * interrupts are open between.
 */
bool tpm_slice(const struct pal *pal)
{
	struct job_owner owner = owner_of(pal);
	bool fresh, ready;
	struct job *job = job_get(&owner, &fresh);

	if (!job)
		return false;
	ready = job_is_ready(job);
	if (!ready)
		job_run(job);
	job_put(job);
	return ready;
}

void tpm_forget(const struct pal *pal)
{
	wipe(tpm_of(pal), sizeof(struct tpm_pal));
}

void tpm_end(void)
{
	job_forget(0);
	keys_wipe();
	nv_wipe();
	secret_wipe();
	wipe(tpms, sizeof(tpms));
}
