/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An operation of the micro-TPM, in three steps: `prepare` reads all that the PAL gives, `work` computes from that
 * alone (in a job, so perhaps long after, and on another CPU), `finish` writes to the PAL what came out. tpm_old.c and
 * tpm_new.c have one row for each command.
 */
#ifndef TRUSTVISOR_OP_H
#define TRUSTVISOR_OP_H

#include "job.h"
#include "keys.h"
#include "tpm.h"

#define OP_BUFFER_BYTES 2304 /* of the longest blob: data, and what either bank puts around it */

/* Whose secrets: what keys are bound to. */
struct whose {
	uint8_t measurement[32], owner_tag[32];
};

struct op {
	uint32_t number, result; /* enum tv_tpm_result of `work` */
	struct whose whose;
	uint64_t out, out_len_at, composite, composite_len_at; /* in the PAL */
	uint64_t request_at;
	union {
		struct tv_tpm_seal seal;
		struct { uint8_t selection, digest[20]; } old;
	} request;
	uint32_t in_len, out_len;
	uint8_t salt[16];
	uint8_t in[OP_BUFFER_BYTES], made[OP_BUFFER_BYTES] __attribute__((aligned(8)));
	uint64_t scratch[KEYS_SCRATCH_BYTES / sizeof(uint64_t)];
};
_Static_assert(sizeof(struct op) <= JOB_DATA_BYTES, "the data of a job");

struct op_row {
	uint32_t (*prepare)(const struct hypapi_event *ev, struct pal *pal, struct op *op);
	job_work *work; /* NULL: `prepare` does all of it */
	uint32_t (*finish)(const struct hypapi_event *ev, const struct pal *pal, struct op *op);
};

#define OP_OLD_FIRST TV_CMD_UTPM_PCRREAD
#define OP_OLD_LAST TV_CMD_UTPM_ID_GETPUB
#define OP_NEW_FIRST TV_CMD_TPM_INFO
#define OP_NEW_LAST TV_CMD_TPM_COUNTER
extern const struct op_row ops_old[OP_OLD_LAST - OP_OLD_FIRST + 1], ops_new[OP_NEW_LAST - OP_NEW_FIRST + 1];

/* tpm.c: what both banks use */
/** Copies from a PAL's memory; enum tv_tpm_result. */
uint32_t op_read(const struct hypapi_event *ev, const struct pal *pal, void *to, uint64_t from, uint64_t len_bytes);
/** Copies to a PAL's data, parameters or stack. */
uint32_t op_write(const struct hypapi_event *ev, const struct pal *pal, uint64_t to, const void *from,
		  uint64_t len_bytes);
/** Random bytes for salts, at most 256. */
uint32_t op_random(void *to, uint32_t len_bytes);
/** Work: fills op->made with op->out_len bytes from a generator with the seed in op->in. */
void op_generate(void *data);
/** Bytes of the seed. */
#define OP_SEED_BYTES 48

#endif
