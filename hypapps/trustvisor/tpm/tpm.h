/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The micro-TPM's files among each other, and what register.c, call.c and trustvisor.c ask of them. */
#ifndef TRUSTVISOR_TPM_INTERNAL_H
#define TRUSTVISOR_TPM_INTERNAL_H

#include "pal.h"

#include "include/trustvisor/tpm.h"
#include "sha256.h"

/* What has been hashed of a PAL. */
struct measuring {
	bool begun;
	uint32_t section; /* where it goes on: this section, */
	uint64_t at;      /* that byte of it */
	struct sha256 sha256;
};

/* What a PAL has of the micro-TPM. Belongs to the CPU that has the PAL (RUNNING). Zeros at first. */
struct tpm_pal {
	uint8_t measurement[32];
	union {
		struct measuring measuring; /* while the PAL is MEASURING */
		struct { uint8_t pcr1[TV_TPM_PCRS][20], pcr[TV_TPM_PCRS][32]; };
	};
};

/* secret.c: the master secret, and all that is drawn or derived */
void secret_init(void);
/** Is there a master secret? Without, whatever needs a key answers TV_TPM_NO_ENTROPY. */
bool secret_is_there(void);
/** HKDF-SHA256(master, salt, label and context): `len_bytes` up to 255 * 32. At most 128 bytes of context. */
void secret_derive(const char *label, const void *context, uint32_t context_len, const uint8_t salt[16], void *out,
		   uint32_t len_bytes);
/** 32 bytes, drawn at boot. Public. */
const uint8_t *secret_boot_nonce(void);
void secret_wipe(void);

/** SHA-256 of one piece. */
void sha256(uint8_t out[32], const void *data, uint32_t len_bytes);

/* vectors.c */
/** Runs the published test vectors: NULL, or the name of the first that fails. */
const char *vectors_failed(void);
/** The one of RSA, which takes a million instructions. */
bool vectors_rsa(void);

/* measure.c */
/** A slice of measuring the PAL of this CPU: TV_OK when it is done, TV_REPEAT, or TV_E_FAULT: a mistake of ours. */
uint32_t measure_slice(const struct hypapi_event *ev, const struct pal *pal);

/* tpm.c: commands of a running PAL */
/** What the micro-TPM has of a PAL. */
struct tpm_pal *tpm_of(const struct pal *pal);
/** Memory for a PAL's results: its data, parameters or stack. */
bool tpm_may_write(const struct pal *pal, uint64_t at, uint64_t len_bytes);
/** A command: enum tv_tpm_result, enum tv_result; or TPM_PAUSE: the caller must come again. */
uint32_t tpm_command(const struct hypapi_event *ev, struct pal *pal, uint32_t number);
/** Commands 21 to 23: one PAL's, which the administrator names by its measurement. */
uint32_t nv_command(const struct hypapi_event *ev, const struct pal *pal, uint32_t number);
#define TPM_PAUSE (UINT32_MAX - 1)
/** The PAL is gone. */
void tpm_forget(const struct pal *pal);
/** One more slice for a PAL that pauses. True: it can go on. */
bool tpm_slice(const struct pal *pal);
/** The machine ends: wipes all secrets. */
void tpm_end(void);

#endif
