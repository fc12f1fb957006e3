/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TrustVisor's guest interface: numbers and layouts that hypervisor and guest programs share.
 *
 * Everything here except result codes from 16 up and commands from 30 is fixed by existing guest programs. All numbers
 * are little-endian, all structs packed, all pointers are virtual addresses of the caller. Includes nothing but the
 * integer types, so that Linux programs and modules, bare-metal guests and the hypapp use the same file.
 */
#ifndef TRUSTVISOR_ABI_H
#define TRUSTVISOR_ABI_H

#ifdef __KERNEL__ /* Linux, whose modules have no <stdint.h> */
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* ---- Detection: CPUID with EAX = TV_CPUID_LEAF; ECX = 0 in L1, the L2 hypercall base in L2 ---- */

#define TV_CPUID_LEAF 0x7a567254u
#define TV_CPUID_PRESENT 0x7a767274u     /* EAX of the answer */
#define TV_CPUID_NO_PAL 0xffffffffu      /* EBX of the answer: no PAL runs on this CPU */
#define TV_CPUID_LONG_MODE (1u << 0)     /* ECX of the answer: the caller is 64-bit code */
#define TV_CPUID_EPT12 (1u << 1)         /* ECX of the answer: the caller's memory goes through an EPT12 */
#define TV_L2_BASE_DEFAULT 0x4c415000u   /* added to EAX of every VMCALL that is made in L2 */

/* ---- Commands: VMCALL with EAX = command (plus the base in L2), arguments in ECX, EDX, ESI, EDI ---- */

enum tv_command {
	TV_CMD_REGISTER = 1,   /* ECX: struct tv_pal_sections, EDX: 0 or struct tv_pal_options, ESI: struct
	                          tv_pal_params, EDI: entry point */
	TV_CMD_UNREGISTER = 2, /* ECX: entry point */
	TV_CMD_UTPM_SEAL_OLD = 3,
	TV_CMD_UTPM_UNSEAL_OLD = 4,
	TV_CMD_UTPM_QUOTE_OLD = 5,
	TV_CMD_SHARE = 6,      /* ECX: entry point, EDX: addresses, ESI: lengths in bytes, EDI: count of both arrays,
	                          whose elements are words of the caller's width; see TV_MAX_SHARED */
	TV_CMD_UTPM_PCRREAD = 7,
	TV_CMD_UTPM_PCREXTEND = 8,
	TV_CMD_UTPM_GENRAND = 9,
	TV_CMD_UTPM_SEAL = 10,
	TV_CMD_UTPM_UNSEAL = 11,
	TV_CMD_UTPM_QUOTE = 12,
	TV_CMD_UTPM_ID_GETPUB = 13,
	TV_CMD_NV_GETSIZE = 21,
	TV_CMD_NV_READALL = 22,
	TV_CMD_NV_WRITEALL = 23,
	TV_CMD_REGISTER_LIST = 30,   /* for kernels: see struct tv_list */
	TV_CMD_UNREGISTER_LIST = 31, /* for kernels: ECX, EDX: handle */
	TV_CMD_STATUS_LIST = 32,     /* for kernels: ECX, EDX: handle; answers in registers, see enum tv_why */
	TV_CMD_TEST = 255,     /* answers 0 */
};

/* Results in EAX. 1 to 15 are left to the micro-TPM, whose own codes are 1 to 4. */
enum tv_result {
	TV_OK = 0,
	TV_E_INVALID = 16,     /* a descriptor breaks a rule of this file: counts, types, alignment, overlap, no entry
	                          section */
	TV_E_FAULT = 17,       /* a descriptor or a page is not mapped, or the caller lacks a right that the PAL would
	                          get, or, unless it is L1's kernel, the right to write code */
	TV_E_OWNED = 18,       /* a page is used twice, or belongs to a PAL already, which stays, or to the hypervisor;
	                          by list in L2 also: L1 does not let it be written */
	TV_E_NO_PAL = 19,      /* unregister: no PAL of the caller's address space has this entry point */
	TV_E_BUSY = 20,        /* unregister: the PAL runs on another CPU */
	TV_E_NO_ROOM = 21,     /* no free PAL, or the hypervisor's tables are used up */
	TV_E_IN_PAL = 22,      /* not to be called by a PAL */
	TV_E_NOT_IN_PAL = 23,  /* only to be called by a PAL */
	TV_E_UNSUPPORTED = 24, /* a command of the interface that this version does not carry out */
	TV_E_UNKNOWN = 25,     /* no command has this number */
	TV_E_DENIED = 26,      /* the administrator's options do not allow it to this caller, or it is for kernels
	                          only */
};

/* ---- Descriptors of a PAL ---- */

#define TV_MAX_SECTIONS 10
#define TV_MAX_PARAMS 10
#define TV_MAX_PAGES 256 /* of all sections of a PAL together */
#define TV_MAX_SHARED 10 /* ranges of a PAL, by TV_CMD_SHARE; they do not overlap each other, nor pages of sections */
#define TV_MAX_SHARED_PAGES 16 /* that all of them touch, with those of shared code */

/*
 * What eight bytes of a registered PAL's code read as for everybody else; data, parameters and stack read as 0. The
 * last words of each page of code are the PAL's mark, of bytes 0xcc and 0xf1 (INT1, which traps too), so that no two
 * PALs look alike.
 */
#define TV_INT3_WORD 0xccccccccccccccccull
#define TV_MARK_WORDS 8

enum tv_section_type {
	TV_SECTION_CODE = 1,        /* read and execute; holds the entry point */
	TV_SECTION_DATA = 2,        /* read and write */
	TV_SECTION_PARAM = 3,       /* read and write; pointer parameters are copied here */
	TV_SECTION_STACK = 4,       /* read and write; the stack starts at its end */
	TV_SECTION_SHARED_CODE = 5, /* read and execute; a copy, measured: the page stays what it is for everybody else,
	                               another PAL too. The caller need not be able to write it */
};

struct tv_pal_section {
	uint32_t type;       /* enum tv_section_type */
	uint32_t page_num;   /* length in pages of 4 KiB, at least 1 */
	uint64_t start_addr; /* page-aligned */
} __attribute__((packed));

struct tv_pal_sections {
	uint32_t num_sections; /* 1 to TV_MAX_SECTIONS; no more array elements than this are read */
	uint32_t pad;
	struct tv_pal_section sections[TV_MAX_SECTIONS];
} __attribute__((packed));

enum tv_param_type {
	TV_PARAM_INTEGER = 1, /* handed over as it is */
	TV_PARAM_POINTER = 2, /* `size` words are copied in before the call and back after it */
};

struct tv_pal_param {
	uint32_t type; /* enum tv_param_type */
	uint32_t pad;
	uint64_t size; /* in words: 8 bytes for a 64-bit caller, 4 for a 32-bit one; of no meaning for an integer */
} __attribute__((packed));

struct tv_pal_params {
	uint32_t num_params; /* 0 to TV_MAX_PARAMS; no more array elements than this are read */
	uint32_t pad;
	struct tv_pal_param params[TV_MAX_PARAMS];
} __attribute__((packed));

/* What a PAL is registered with beside that. All of it is measured, and a quote has it (tpm.h). Since 1.3. */
enum tv_pal_flag {
	TV_PAL_DEBUG = 1u << 0, /* for debugging: its registers are in the log when it faults. It has no secrets */
	TV_PAL_FPU = 1u << 1,   /* it has FPU and SIMD registers of its own: follows TV_LIST_FPU, not given here */
	TV_PAL_FIXED = 1u << 2, /* its measurement is for the addresses at which it stands */
};

struct tv_pal_options {
	uint32_t flags;        /* enum tv_pal_flag */
	uint32_t reserved;     /* 0 */
	uint8_t owner_tag[32]; /* of the one whose secrets these are: keys depend on it; zeros: of nobody */
} __attribute__((packed));

/* ---- Registration by list: for CPL 0 of L1, and for CPL 0 of an L2 that has an EPT12. Since 1.3 ---- */

/*
 * The kernel names the pages by their physical addresses, and the linear ones at which a process has them. Processes
 * call the PAL, from CPL 3. TV_CMD_REGISTER_LIST takes in ECX the physical address of a struct tv_list, which fills
 * physical pages one after the other, from the first byte of one; all physical addresses are of the caller's level. It
 * answers a handle, which never comes again: its low half in ECX, its high half in EDX.
 *
 * TV_CMD_UNREGISTER_LIST answers TV_E_BUSY while a CPU runs the PAL, which ends with that call; ask again.
 */
#define TV_LIST_VERSION 1
#define TV_MAX_ENTRIES 8

#define TV_LIST_32BIT (1u << 0)  /* flag: callers and PAL are 32-bit code */
#define TV_LIST_ERRORS (1u << 1) /* flag: a call that fails returns TV_CALL_FAILED, where that is possible, not a #PF */
#define TV_LIST_FPU (1u << 2)    /* flag: the PAL has FPU and SIMD registers, its own; TV_E_UNSUPPORTED without XSAVE */
#define TV_LIST_FLAGS (TV_LIST_32BIT | TV_LIST_ERRORS | TV_LIST_FPU)
#define TV_CALL_FAILED ((uint64_t)-1)

/*
 * In lists: as TV_PARAM_POINTER, with `size` as the most. How many words a call hands over is its next parameter, which
 * is an integer; if it is more than `size`, the call fails.
 */
#define TV_PARAM_BUFFER 3

struct tv_list_entry {
	uint64_t address; /* linear, in a section of type code */
	struct tv_pal_params params;
} __attribute__((packed));

/* Neighbours of one type make a section: at most TV_MAX_SECTIONS of them. */
struct tv_list_page {
	uint64_t linear;   /* page-aligned */
	uint64_t physical; /* page-aligned, below 2^44; its low bits hold enum tv_section_type */
} __attribute__((packed));

struct tv_list {
	uint32_t version;     /* TV_LIST_VERSION */
	uint32_t flags;       /* TV_LIST_... */
	uint32_t entry_count; /* 1 to TV_MAX_ENTRIES; they share the sections */
	uint32_t page_count;  /* 1 to TV_MAX_PAGES; no more array elements than these are read */
	struct tv_pal_options options;
	struct tv_list_entry entries[TV_MAX_ENTRIES];
	struct tv_list_page pages[TV_MAX_PAGES];
} __attribute__((packed));

/*
 * TV_CMD_STATUS_LIST: why the PAL ended, or, if it is there, why its last failed call did. ECX: bits 7:0 are 1 if the
 * PAL is there, 15:8 are enum tv_why, 23:16 the vector of TV_WHY_FAULT. EDX: its error code. EBX: calls of the PAL so
 * far. ESI: address of the instruction in the PAL. EDI: address of a page fault. TV_E_NO_PAL: no such handle, or the
 * record of an ended PAL had to make room.
 */
enum tv_why {
	TV_WHY_NONE = 0,    /* no call has failed */
	TV_WHY_FAULT = 1,   /* an exception in the PAL */
	TV_WHY_EXIT = 2,    /* the PAL did what no PAL may */
	TV_WHY_TIME = 3,    /* it ran longer than `partition-time` */
	TV_WHY_WRITTEN = 4, /* ended: somebody outside wrote to its pages */
	TV_WHY_LOST = 5,    /* ended: it was called where its pages are no longer */
	TV_WHY_ENDED = 6,   /* ended: by its kernel, during a call */
	TV_WHY_CALLER = 7,  /* not ended: stack or parameters of a call could not be used */
};

#ifdef __cplusplus
#define TV_ASSERT(condition, text) static_assert(condition, text)
#else
#define TV_ASSERT(condition, text) _Static_assert(condition, text)
#endif
TV_ASSERT(sizeof(struct tv_list) == 16 + 40 + 8 * 176 + 256 * 16, "agreed with drivers");
TV_ASSERT(sizeof(struct tv_pal_section) == 16, "fixed by existing guest programs");
TV_ASSERT(sizeof(struct tv_pal_sections) == 168, "fixed by existing guest programs");
TV_ASSERT(sizeof(struct tv_pal_param) == 16, "fixed by existing guest programs");
TV_ASSERT(sizeof(struct tv_pal_params) == 168, "fixed by existing guest programs");

#endif
