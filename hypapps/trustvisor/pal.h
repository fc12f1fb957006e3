/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of registered PALs, and what the files of TrustVisor offer each other.
 *
 * Several CPUs use the table at once, without a lock. A slot is filled (registration) and emptied by unregister only
 * while all other CPUs are stopped, and a handler that does not stop the CPUs is never interrupted by somebody else's
 * stop; so such a handler may read every member of a slot. Its `state` is the exception: it is atomic, and whoever
 * brings it from READY to RUNNING owns the PAL until he sets it back:
 *
 *     FREE -> READY       register (under the stop)
 *     READY -> RUNNING    the CPU that calls the PAL, or that is about to destroy it
 *     RUNNING -> READY    the same CPU, when the PAL returned
 *     RUNNING -> DOOMED   any CPU: destroy the PAL instead of making it READY again
 *     READY, RUNNING, DOOMED -> FREE   unregister (READY only, under the stop); else the CPU that owns the PAL
 */
#ifndef TRUSTVISOR_PAL_H
#define TRUSTVISOR_PAL_H

#include <hypapi/hypapi.h>

#include "include/trustvisor/abi.h"

#define TV_MAX_PALS 63 /* as many as the core has partitions */

enum pal_state { PAL_FREE = 0, PAL_READY, PAL_RUNNING, PAL_DOOMED };

struct pal {
	/* Constant from registration on. */
	hypapi_partition_t partition; /* stays in a FREE slot: its number is never used again */
	gva_t entry;                  /* with level and address space: the PAL's identity */
	uint32_t level;               /* of the callers, HYPAPI_L1 or HYPAPI_L2 */
	uint8_t cpl;                  /* of the callers */
	bool long_mode;               /* 64-bit callers and PAL; else both are 32-bit */
	uint32_t word_bytes;          /* 8 or 4 */
	uint64_t stack_end;           /* linear address past the stack section */
	uint64_t param_start;         /* of the param section; 0 if the PAL has none */
	uint32_t pointer_count;       /* of the parameters, how many are pointers */
	uint64_t copy_at[TV_MAX_PARAMS]; /* pointer parameter: linear address of its copy */
	struct tv_pal_sections sections;
	struct tv_pal_params params;

	uint32_t state;               /* enum pal_state, atomic */

	/* The call in progress; belong to the CPU that brought the state to RUNNING. */
	uint64_t args[TV_MAX_PARAMS]; /* as the caller gave them, read once */
	uint64_t return_address;      /* the caller's, read once */
};

/* trustvisor.c: the table */

/** The slot whose partition this is or was, or NULL. */
struct pal *pal_by_partition(hypapi_partition_t partition);
/** The PAL of the caller's address space with this entry point, or NULL. */
struct pal *pal_by_entry(const struct hypapi_event *ev, gva_t entry);
/**
 * Is the caller of this event in the address space that registered the PAL, or one that shares its stack? Judged by the
 * last page of the stack section: CR3 and EPTP12 change at the operating system's pleasure.
 */
static inline bool pal_is_callers(const struct hypapi_event *ev, const struct pal *pal)
{
	return hypapi_partition_at_home(ev, pal->partition) == HYPAPI_OK;
}
/** A FREE slot, or NULL. It stays free only under the stop. */
struct pal *pal_free_slot(void);
/** Number of the PAL, as CPUID shows it. */
uint32_t pal_number(const struct pal *pal);

uint32_t pal_state(const struct pal *pal);
void pal_set_state(struct pal *pal, uint32_t state);
/** Takes the PAL from one state to another if it is in the first. */
bool pal_change_state(struct pal *pal, uint32_t from, uint32_t to);
/** Destroys the partition of a PAL that the caller owns (RUNNING or DOOMED by this CPU, or any under the stop). */
int pal_destroy(struct hypapi_event *ev, struct pal *pal);

/** An argument of a hypercall: 32 bits of the register for a 32-bit caller. */
uint64_t tv_arg(const struct hypapi_event *ev, enum hypapi_reg reg);

/** Clears a copy of a caller's or a PAL's data: a store that no compiler leaves out, though nobody reads it. */
static inline void wipe(void *at, uint64_t len_bytes)
{
	__builtin_memset(at, 0, len_bytes);
	__asm__ volatile("" : : "r"(at) : "memory");
}

/** In place of an answer of a command: the caller executes its instruction again. */
#define TV_REPEAT UINT32_MAX

/** Whether the address is one that a 64-bit CPU accepts: its upper bits copy bit 47. */
static inline bool is_canonical(uint64_t addr)
{
	return (uint64_t)((int64_t)(addr << 16) >> 16) == addr;
}

/* limits.c: what one caller may take from the others */
void limits_init(void);
/** Whether the share of its caller has room for one more PAL like this. It stays so only under the stop. */
bool limits_have_room(const struct pal *pal);
/** A PAL has come, under the stop; one has gone. */
void limits_take(const struct pal *pal);
void limits_give(const struct pal *pal);
/** A registration failed under the stop: the next ones are looked at before. */
void limits_failed(const struct pal *pal);
/**
 * Would the pages be accepted now, as far as that is looked at? HYPAPI_OK or the error. Without a stop: it serves to
 * refuse.
 */
int limits_foresee(const struct hypapi_event *ev, const struct pal *pal);
/** Bytes of each CPU that limits_foresee() uses. */
#define LIMITS_CPU_BYTES (TV_MAX_PAGES * sizeof(uint64_t))

/* register.c: commands that change the table; answer enum tv_result or TV_REPEAT */
uint32_t tv_register(struct hypapi_event *ev);
uint32_t tv_unregister(struct hypapi_event *ev);

/* call.c: handlers */
enum hypapi_verdict tv_on_violation(struct hypapi_event *ev);
enum hypapi_verdict tv_on_partition_exit(struct hypapi_event *ev);
/** Calls entered and calls returned since boot, on all CPUs; atomic. */
extern uint64_t tv_invocations, tv_returns;

#endif
