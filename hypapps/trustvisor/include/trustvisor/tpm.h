/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The new bank of TrustVisor's micro-TPM, for PALs of any width: SHA-256, AES-256-GCM, ECDSA P-256. And the formats
 * that others read: what a measurement is of, and a quote.
 *
 * Each command is a VMCALL of a running PAL: EAX: command (plus the base in L2), ECX: address of the command's
 * structure here, in the PAL's memory. EAX answers 0, enum tv_tpm_result, or enum tv_result of abi.h. Addresses have 64
 * bits in both widths. All numbers are little-endian. A command may take long: the PAL stands at its VMCALL then, while
 * its caller repeats the call with interrupts open. Flags and other registers than EAX: those of the arithmetic are
 * lost.
 */
#ifndef TRUSTVISOR_TPM_H
#define TRUSTVISOR_TPM_H

#include "abi.h"

enum tv_tpm_command {
	TV_CMD_TPM_INFO = 40,       /* struct tv_tpm_info */
	TV_CMD_TPM_PCR_READ = 41,   /* struct tv_tpm_pcr */
	TV_CMD_TPM_PCR_EXTEND = 42, /* struct tv_tpm_pcr */
	TV_CMD_TPM_RANDOM = 43,     /* struct tv_tpm_buffer: `out` */
	TV_CMD_TPM_SEAL = 44,       /* struct tv_tpm_seal */
	TV_CMD_TPM_UNSEAL = 45,     /* struct tv_tpm_seal */
	TV_CMD_TPM_QUOTE = 46,      /* struct tv_tpm_quote */
	TV_CMD_TPM_COUNTER = 48,    /* struct tv_tpm_counter */
};

/* Of both banks. */
enum tv_tpm_result {
	TV_TPM_OK = 0,
	TV_TPM_BAD_PARAMETER = 1, /* a length, a selection, or memory that is not the PAL's to read or write */
	TV_TPM_PCR_RANGE = 2,     /* no such PCR */
	TV_TPM_NO_ENTROPY = 3,    /* the CPU gives no random numbers, or none that pass their tests */
	TV_TPM_FAILED = 4,        /* unseal: not sealed for this PAL here, or changed, or the PCRs are not those */
};

#define TV_TPM_PCRS 8
#define TV_TPM_MAX_DATA 2048 /* bytes that can be sealed, or drawn at once */

/* ---- What is true of a PAL and of the machine; in struct tv_tpm_info and, signed, in struct tv_quote ---- */

enum tv_tpm_flag {
	TV_TPM_DEBUG = TV_PAL_DEBUG,        /* those that it was registered with, */
	TV_TPM_FPU = TV_PAL_FPU,            /* all of them measured */
	TV_TPM_FIXED = TV_PAL_FIXED,
	TV_TPM_DMA = 1u << 8,               /* devices cannot reach the PAL's memory */
	TV_TPM_LAUNCH_MEASURED = 1u << 9,   /* the image was measured by hardware as it started */
	TV_TPM_MASTER_PERSISTENT = 1u << 10,/* the master secret outlives a boot; else sealed data does not either */
	TV_TPM_NV_PERSISTENT = 1u << 11,    /* counters and NVRAM outlive a boot */
};

struct tv_tpm_info {
	uint32_t version; /* 1 */
	uint32_t flags;   /* enum tv_tpm_flag */
	uint8_t measurement[32];
	uint8_t owner_tag[32];  /* of the registration; zeros: none */
	uint8_t boot_nonce[32]; /* drawn at boot: two quotes with the same one are of the same boot */
	uint8_t image_hash[32]; /* of the hypervisor with its hypapps: SHA-256 of the file, see docs/secrets.md */
	uint8_t identity[65];   /* the public key that quotes verify with: an uncompressed point of P-256 */
	uint8_t reserved[3];
} __attribute__((packed));

struct tv_tpm_pcr {
	uint32_t index; /* 0 to TV_TPM_PCRS - 1 */
	uint32_t reserved;
	uint8_t value[32]; /* read: the result. Extend: what is appended, PCR = SHA-256(PCR, value) */
} __attribute__((packed));

struct tv_tpm_buffer {
	uint64_t out;     /* where the bytes go */
	uint32_t out_len; /* 1 to TV_TPM_MAX_DATA */
	uint32_t reserved;
} __attribute__((packed));

#define TV_TPM_SEAL_NOW (1u << 0) /* in `flags`: for the PCRs as they are now, instead of `release` */

struct tv_tpm_seal {
	uint64_t in, out;
	uint32_t in_len;     /* seal: 0 to TV_TPM_MAX_DATA. unseal: of the blob */
	uint32_t out_len;    /* room at `out`; when the command succeeds: bytes there */
	uint32_t pcr_mask;   /* seal: PCRs that decide at unseal; unseal: result */
	uint32_t flags;
	uint8_t release[32]; /* seal: digest of those PCRs (see struct tv_quote) that must be in force at unseal */
	uint8_t creation[32];/* unseal: result, the digest of those PCRs when it was sealed */
} __attribute__((packed));

/* What seal makes: this head, then the ciphertext of AES-256-GCM, as long as the data, then 16 bytes of its tag. */
struct tv_blob {
	uint32_t magic;       /* TV_BLOB_MAGIC */
	uint32_t pcr_mask;
	uint8_t salt[16];     /* the key is HKDF-SHA256(master secret, salt, "seal" and whose it is): IV 0 */
	uint8_t release[32];
	uint8_t creation[32]; /* the head is authenticated as well */
} __attribute__((packed));
#define TV_BLOB_MAGIC 0x32425654u /* "TVB2" */
#define TV_BLOB_TAG_BYTES 16

struct tv_tpm_quote {
	uint64_t nonce;    /* 32 bytes, the verifier's */
	uint64_t data;     /* 64 bytes, the PAL's own */
	uint64_t out;      /* struct tv_quote goes here */
	uint32_t pcr_mask; /* PCRs in the digest */
	uint32_t reserved;
} __attribute__((packed));

/* A quote: what the hypervisor says of the PAL that asked. The signature is of all that stands before it. */
struct tv_quote {
	uint32_t magic;   /* TV_QUOTE_MAGIC */
	uint16_t version; /* 1 */
	uint16_t bank;    /* 2: SHA-256 */
	uint8_t level;    /* whose program called: 1 of the operating system, 2 of a virtual machine of it */
	uint8_t cpl;      /* at which privilege level it registered, 0 or 3 */
	uint8_t width;    /* 32 or 64 */
	uint8_t reserved;
	uint32_t flags;   /* enum tv_tpm_flag */
	uint8_t measurement[32];
	uint8_t owner_tag[32];
	uint8_t boot_nonce[32];
	uint8_t image_hash[32];
	uint8_t nonce[32];
	uint32_t pcr_mask;
	uint8_t pcr_digest[32]; /* SHA-256 of pcr_mask (4 bytes) and its PCRs, from the lowest up; no PCR: zeros */
	uint8_t data[64];
	uint8_t signature[64];  /* ECDSA P-256 with SHA-256: r, s, big-endian */
} __attribute__((packed));
#define TV_QUOTE_MAGIC 0x31515654u /* "TVQ1" */

#define TV_TPM_MUST_PERSIST (1u << 0) /* in `flags`: refuse (TV_E_UNSUPPORTED) unless it outlives this boot */
enum tv_tpm_counter_op { TV_TPM_COUNTER_READ = 0, TV_TPM_COUNTER_ADD = 1 };

struct tv_tpm_counter {
	uint32_t op;    /* enum tv_tpm_counter_op: ADD adds one, and answers what it is then */
	uint32_t flags;
	uint64_t value; /* result: of the counter of this measurement and owner tag */
} __attribute__((packed));

/*
 * ---- Measurement: SHA-256 of struct tv_measured, then of a struct tv_measured_entry for each entry point in the order
 * of the registration, then of all pages of code, shared code and data in the order of the sections. The old bank's is
 * SHA-1 of that.
 */

struct tv_measured_section {
	uint32_t type, page_num;
	int64_t offset; /* of its first byte from the first byte of the section with the first entry point */
} __attribute__((packed));

struct tv_measured_param {
	uint32_t type, reserved; /* 0 */
	uint64_t size; /* in words of the caller's width; 0 of an integer */
} __attribute__((packed));

struct tv_measured_entry {
	int64_t offset; /* of the address, as that of a section */
	uint32_t num_params, reserved;
	struct tv_measured_param params[10]; /* unused ones are zero */
	uint8_t zero[16]; /* blocks of the hash are 64 bytes */
} __attribute__((packed));

struct tv_measured {
	uint32_t magic;   /* TV_MEASURED_MAGIC */
	uint32_t level;   /* 1 or 2 */
	uint32_t width;   /* 32 or 64 */
	uint32_t flags;   /* the first eight of enum tv_tpm_flag */
	uint64_t base;    /* TV_TPM_FIXED: address of the section with the first entry point; else 0 */
	uint8_t owner_tag[32];
	uint32_t num_sections, num_entries;
	struct tv_measured_section sections[10]; /* unused ones are zero */
	uint8_t zero[32];
} __attribute__((packed));
#define TV_MEASURED_MAGIC 0x314d5654u /* "TVM1" */

#ifdef __cplusplus
#define TV_TPM_ASSERT(condition, text) static_assert(condition, text)
#else
#define TV_TPM_ASSERT(condition, text) _Static_assert(condition, text)
#endif
TV_TPM_ASSERT(sizeof(struct tv_blob) == 88 && sizeof(struct tv_quote) == 16 + 5 * 32 + 36 + 128,
	      "formats that others read");
TV_TPM_ASSERT(sizeof(struct tv_measured) == 4 * 64 && sizeof(struct tv_measured_entry) == 3 * 64 &&
	       sizeof(struct tv_tpm_info) == 8 + 4 * 32 + 68, "and these");

#endif
