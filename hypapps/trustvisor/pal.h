/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of registered PALs, and what the files of TrustVisor offer each other.
 *
 * Several CPUs use the table at once, without a lock. A slot is filled (registration) and emptied by unregister only
 * while all other CPUs are stopped, and a handler that does not stop the CPUs is never interrupted by somebody else's
 * stop; so such a handler may read every member of a slot. Its `state` is the exception: it is atomic, and whoever
 * brings it from READY to RUNNING owns the PAL until he sets it back:
 *
 *     FREE -> MEASURING                 register (under the stop)
 *     MEASURING, PAUSED, READY -> RUNNING  the CPU that measures or calls the PAL, or is about to destroy it
 *     RUNNING -> MEASURING              the same CPU, when a slice of measuring is over
 *     RUNNING -> PAUSED                 the same, when the PAL is at a command that takes long, or has returned and
 *                                       L1 must see to a page of the caller's first
 *     RUNNING -> READY                  the same, when the PAL is measured, or returned
 *     RUNNING -> DOOMED                 any CPU: destroy the PAL instead of making it anything else again
 *     all but ENDED -> FREE             unregister (not RUNNING or DOOMED; under the stop); else the CPU that owns it
 *
 * MEASURING: whoever registered the PAL repeats that command, which hashes a slice each time, and is told that the PAL
 * is there only when it is measured. Until then a call of it faults, as if it were not registered. PAUSED: who made the
 * call comes again for each slice, or for its end.
 *
 * A PAL that was registered by list becomes ENDED, not FREE: the slot keeps its status until the kernel unregisters it,
 * or until it is needed for another PAL. It counts in no share.
 */
#ifndef TRUSTVISOR_PAL_H
#define TRUSTVISOR_PAL_H

#include <hypapi/hypapi.h>
#include <hypapi/lock.h>

#include "include/trustvisor/abi.h"
#include "include/trustvisor/tpm.h"

#define TV_MAX_PALS 512 /* or as many as the core has partitions */

#define TV_LIMIT_64 (1ull << 47)  /* end of the lower half of the address space */
#define TV_LIMIT_32 0xffffe000ull /* the address that ends a 32-bit PAL lies behind it, and no code before (call.c) */

enum pal_state { PAL_FREE = 0, PAL_ENDED, PAL_RUNNING, PAL_DOOMED, PAL_MEASURING, PAL_PAUSED, PAL_READY };

/* Where a PAL is entered, and with what. Constant. */
struct pal_entry {
	gva_t at;
	uint32_t pointer_count;          /* of the parameters, how many are pointers */
	uint64_t copy_at[TV_MAX_PARAMS]; /* pointer parameter: linear address of its copy */
	struct tv_pal_params params;
};

struct pal {
	/* Constant from registration on. */
	hypapi_partition_t partition; /* stays in a FREE slot: its number is never used again */
	uint32_t level;               /* of the callers, HYPAPI_L1 or HYPAPI_L2 */
	uint8_t cpl;                  /* of the callers */
	bool long_mode;               /* 64-bit callers and PAL; else both are 32-bit */
	uint32_t word_bytes;          /* 8 or 4 */
	uint64_t stack_end;           /* linear address past the stack section */
	uint64_t param_start;         /* of the param section; 0 if the PAL has none */
	uint32_t page_count;          /* of all sections */
	uint32_t copied_count;        /* of them, those of shared code */
	uint64_t machine, vcpu;       /* L2: see limits.c; `machine` is atomic */
	uint32_t shared_pages;        /* atomic: page_count of limits_take_shared() */
	struct tv_pal_sections sections;
	bool by_list;
	uint32_t flags;               /* TV_LIST_..., of a list */
	uint64_t home_physical;       /* list: physical address of the page that holds the end of the stack */
	gpa1_t home_gpa1;             /* the same as L1-physical address */
	uint32_t tpm_flags;           /* enum tv_pal_flag */
	uint8_t owner_tag[32];        /* measured; zeros: none */
	uint64_t caller;              /* the process: whose page tables were loaded when it registered */
	uint64_t space;               /* the same exactly */
	uint64_t request[4];          /* of its registration: registers, by which a repetition of it is known */

	uint32_t state;               /* enum pal_state, atomic */
	uint32_t doomed_why;          /* enum tv_why, atomic: of who brought the state to DOOMED */

	/* The call in progress; belong to the CPU that brought the state to RUNNING. */
	const struct pal_entry *call;
	uint64_t args[TV_MAX_PARAMS]; /* as the caller gave them, read once */
	uint64_t return_address;      /* the caller's, read once, */
	uint64_t caller_rsp;          /* and where it stands */
	bool returned;                /* PAUSED: the PAL is at its end, and what it has written waits for L1 */

	uint32_t shared_count;        /* of shared ranges, see share.c; the same CPU's */

	/* What STATUS_LIST answers; written by the same CPU, read by any. */
	uint32_t calls, why, vector, error_code;
	uint64_t rip, address;

	uint32_t entry_count;         /* constant, like the array: with level and address space the PAL's identity */
	struct pal_entry entries[TV_MAX_ENTRIES]; /* at the end: no more than entry_count are copied */
};

/* Of each CPU: what its registration needs beside the stack. */
struct pal_cpu {
	uint64_t frames[TV_MAX_PAGES]; /* limits_foresee(); measure_slice(): what is being hashed */
	struct tv_list list;           /* the caller's request, copied once */
	struct pal pal;                /* what is made of it, too large for the stack */
};

/* trustvisor.c: the table */

/** How many PALs there may be; constant. */
uint32_t pal_limit(void);
/** The slot whose partition this is or was, or NULL. */
struct pal *pal_by_partition(hypapi_partition_t partition);
/** The slot with this number, below pal_limit(). */
struct pal *pal_at(uint32_t number);
/** The PAL of the caller's address space with this entry point, not registered by list, or NULL. */
struct pal *pal_by_entry(const struct hypapi_event *ev, gva_t entry);
/**
 * Is the caller of this event in the address space that registered the PAL, or one that shares its stack? Judged by the
 * last page of the stack section: CR3 and EPTP12 change at the operating system's pleasure.
 */
static inline bool pal_is_callers(const struct hypapi_event *ev, const struct pal *pal)
{
	return hypapi_partition_at_home(ev, pal->partition) == HYPAPI_OK;
}
/** The same, registered either way, for callers like those of the PAL. */
struct pal *pal_of_caller(const struct hypapi_event *ev, gva_t entry);
/** Linear addresses of a PAL end here. */
static inline uint64_t pal_address_limit(const struct pal *pal)
{
	return pal->long_mode ? TV_LIMIT_64 : TV_LIMIT_32;
}
/**
 * The PAL that is MEASURING whose registration this command repeats, or NULL. Its home may have gone: then the caller
 * is known by its page tables.
 */
struct pal *pal_by_request(const struct hypapi_event *ev, bool by_list);
/** A FREE slot, else an ENDED one, or NULL. It stays free only under the stop. */
struct pal *pal_free_slot(void);
/** Number of the PAL, as CPUID shows it. */
uint32_t pal_number(const struct pal *pal);

static inline uint32_t pal_state(const struct pal *pal)
{
	return __atomic_load_n(&pal->state, __ATOMIC_ACQUIRE);
}

static inline void pal_set_state(struct pal *pal, uint32_t state)
{
	__atomic_store_n(&pal->state, state, __ATOMIC_RELEASE);
}

/** Takes the PAL from one state to another if it is in the first. */
static inline bool pal_change_state(struct pal *pal, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&pal->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/** It is there, and no CPU has it. */
static inline bool pal_is_at_rest(const struct pal *pal)
{
	return pal_state(pal) >= PAL_MEASURING;
}

/** Brings a PAL at rest to RUNNING, and returns its state before; PAL_FREE: another CPU has it, or it is gone. */
static inline uint32_t pal_own(struct pal *pal)
{
	uint32_t state = pal_state(pal);

	return state >= PAL_MEASURING && pal_change_state(pal, state, PAL_RUNNING) ? state : PAL_FREE;
}

/** Gives up the PAL that is this CPU's (RUNNING); if somebody doomed it meanwhile, that is carried out now. */
void pal_let_go(struct hypapi_event *ev, struct pal *pal, uint32_t state);
/**
 * Destroys the partition of a PAL that the caller owns (RUNNING or DOOMED by this CPU, or any under the stop).
 * @param why  enum tv_why; TV_WHY_FAULT to TV_WHY_TIME have been recorded already
 */
int pal_destroy(struct hypapi_event *ev, struct pal *pal, uint32_t why);

/** An argument of a hypercall: 32 bits of the register for a 32-bit caller. */
static inline uint64_t tv_arg(const struct hypapi_event *ev, enum hypapi_reg reg)
{
	uint64_t value = hypapi_reg_get(ev, reg);

	return ev->long_mode ? value : (uint32_t)value;
}

/** Clears a copy of a caller's or a PAL's data: a store that no compiler leaves out, though nobody reads it. */
static inline void wipe(void *at, uint64_t len_bytes)
{
	__builtin_memset(at, 0, len_bytes);
	__asm__ volatile("" : : "r"(at) : "memory");
}

/** Page tables of an event's caller, as a number: a kernel that has two sets for a process keeps them side by side. */
static inline uint64_t tv_caller(const struct hypapi_event *ev)
{
	return hypapi_reg_get(ev, HYPAPI_REG_CR3) & ((1ull << 52) - 2 * HYPAPI_PAGE_SIZE);
}

/** The same exactly, but for PCID. Of PAE paging those of many processes lie in a page. */
static inline uint64_t tv_space(const struct hypapi_event *ev)
{
	bool lma = hypapi_reg_get(ev, HYPAPI_REG_EFER) & 1 << 10;

	return hypapi_reg_get(ev, HYPAPI_REG_CR3) & ((1ull << 52) - (lma ? HYPAPI_PAGE_SIZE : 32));
}

/** In place of an answer of a command: the caller executes its instruction again. */
#define TV_REPEAT UINT32_MAX

/** Whether the address is one that a 64-bit CPU accepts: its upper bits copy bit 47. */
static inline bool is_canonical(uint64_t addr)
{
	return (uint64_t)((int64_t)(addr << 16) >> 16) == addr;
}

static inline bool is_kernel(const struct hypapi_event *ev)
{
	return ev->cpl == 0;
}

static inline bool is_l1_kernel(const struct hypapi_event *ev)
{
	return ev->level == HYPAPI_L1 && is_kernel(ev);
}

static inline bool section_is_code(const struct tv_pal_section *section)
{
	return section->type == TV_SECTION_CODE || section->type == TV_SECTION_SHARED_CODE;
}

static inline uint64_t section_end(const struct tv_pal_section *section)
{
	return section->start_addr + (uint64_t)section->page_num * HYPAPI_PAGE_SIZE;
}

/* limits.c: what one caller may take from the others */
void limits_init(void);
/** The number of the share that a PAL counts in. */
uint32_t limits_class(const struct pal *pal);
/** May the caller register at all? TV_OK or TV_E_DENIED. @param by_list  by way of a kernel */
uint32_t limits_allow(const struct hypapi_event *ev, bool by_list);
/** Notes in a PAL that shall be registered whose it will be. */
void limits_name(const struct hypapi_event *ev, struct pal *pal);
/** Is the caller on the machine that the PAL was last known to be of, with the page tables of its registration? */
bool limits_are_from(const struct hypapi_event *ev, const struct pal *pal);
/** Whether the share of its caller has room for one more PAL like this. It stays so only under the stop. */
bool limits_have_room(const struct pal *pal);
/** A PAL has come, under the stop; one has gone. */
void limits_take(const struct pal *pal);
void limits_give(const struct pal *pal);
/** A registration failed under the stop: the next ones are looked at before. */
void limits_failed(const struct pal *pal);
bool limits_are_wary(const struct pal *pal);
/**
 * Would the pages be accepted now, as far as that is looked at? HYPAPI_OK or the error. Without a stop it serves to
 * refuse, and has L1 map what it has not mapped yet: HYPAPI_ENOTMAPPED.
 * @param pages  of a list, in the order of the sections; NULL: those that the caller's page tables lead to
 */
int limits_foresee(struct hypapi_event *ev, const struct pal *pal, const struct tv_list_page *pages);

/**
 * Of so many pages that the core gives to a PAL for shared ranges: whether there is room for them, and then they are
 * counted. They end with the PAL.
 */
bool limits_take_shared(struct pal *pal, uint32_t page_count);
void limits_give_shared(struct pal *pal, uint32_t page_count);

/* share.c: ranges of the caller's memory that a PAL finds at their addresses */
struct shared_range { uint64_t start, len_bytes; };
/** Adds ranges to a PAL of the caller's address space. */
uint32_t tv_share(struct hypapi_event *ev);
/** Those of a PAL that this CPU has, `shared_count` of them. */
const struct shared_range *share_ranges(const struct pal *pal);
/**
 * Under the stop: what the caller's shared code is, if it may read and execute it; and, for a PAL that has been taken
 * since, copies of that. HYPAPI_OK or the error; share_forget() undoes what has been added.
 */
int share_read_code(const struct hypapi_event *ev, const struct pal *pal, const struct tv_list_page *listed);
int share_add_code(struct hypapi_event *ev, struct pal *pal);
/** The PAL is gone. */
void share_forget(struct pal *pal);

/* register.c: commands that change the table; answer enum tv_result or TV_REPEAT */
uint32_t tv_register(struct hypapi_event *ev);
uint32_t tv_unregister(struct hypapi_event *ev);
/** Whose home is not where it was cannot be finished: ends a PAL of pal_by_request(). TV_E_FAULT, or TV_REPEAT. */
uint32_t pal_abandon(struct hypapi_event *ev, struct pal *pal);
/** This CPU's, for the callback at hand. */
static inline struct pal_cpu *own_cpu(const struct hypapi_event *ev)
{
	return hypapi_cpu_storage(ev, ev->cpu);
}
/** Zeroes all but the array of entries. */
void pal_clear(struct pal *pal);
/** Whether these are options that there are; takes them over. */
bool pal_set_options(struct pal *pal, const struct tv_pal_options *options);
/** Whether a request says nothing wrong by itself; completes what follows from sections and parameters. */
bool pal_is_valid(struct pal *pal);
/**
 * Stops the CPUs and takes the pages of a valid request. TV_REPEAT: they are taken, and are measured after the stop.
 * @param pages  as limits_foresee()
 */
uint32_t pal_take(struct hypapi_event *ev, struct pal *pal, const struct tv_list_page *pages);
/** A slice of measuring a PAL of pal_by_request(): TV_OK when it is measured, TV_REPEAT, or the error. */
uint32_t pal_measure(struct hypapi_event *ev, struct pal *pal);
/** The registers of a command that tell one registration from another; a list has one. */
void pal_note_request(const struct hypapi_event *ev, bool by_list, uint64_t request[4]);
/** Stops the CPUs for a command. TV_OK, TV_REPEAT, or the error. */
uint32_t tv_stop(struct hypapi_event *ev);
/** enum tv_result of an enum hypapi_error, TV_REPEAT for what L1 has not mapped yet. */
uint32_t tv_result_of(int error);
/** Not under a stop: has L1 map the first page of a range that its L2 misses. */
void page_in(struct hypapi_event *ev, uint64_t at, uint64_t len_bytes, uint32_t rights);
/** hypapi_copy_from(); has L1 map what HYPAPI_ENOTMAPPED is about. */
int copy_in(struct hypapi_event *ev, void *dst, uint64_t src, size_t len_bytes);

/* list.c: registration by a kernel, for its processes */
uint32_t tv_register_list(struct hypapi_event *ev);
uint32_t tv_unregister_list(struct hypapi_event *ev);
uint32_t tv_status_list(struct hypapi_event *ev);
/** Reads what lies one physical page after the other at the caller's level. */
int list_read_physical(const struct hypapi_event *ev, void *dst, uint64_t src, size_t len_bytes);
/** Where the page is that a physical address of the caller leads to, be it the caller's or a PAL's; false: nowhere. */
bool list_find_home(const struct hypapi_event *ev, uint64_t physical, gpa1_t *gpa1);

/** Is the caller, a kernel, the one whose PAL this is? */
bool list_is_owner(const struct hypapi_event *ev, const struct pal *pal);

/** Is the PAL's home where the caller of a command has it? */
static inline bool pal_has_owner(const struct hypapi_event *ev, const struct pal *pal)
{
	return pal->by_list ? list_is_owner(ev, pal) : pal_is_callers(ev, pal);
}

/* call.c: handlers */
enum hypapi_verdict tv_on_violation(struct hypapi_event *ev);
enum hypapi_verdict tv_on_partition_exit(struct hypapi_event *ev);
/** The PAL's home is not the caller's. True: it may be again when the instruction has come again. */
bool pal_awaits_home(struct hypapi_event *ev, const struct pal *pal);
/** The PAL is gone, perhaps with a call that pauses. */
void call_forget(const struct pal *pal);
/** In a command of a running PAL that takes long: it leaves its CPU, and its caller comes again. */
enum hypapi_verdict tv_pause(struct hypapi_event *ev, struct pal *pal);
/** Calls entered and calls returned since boot, on all CPUs; atomic. */
extern uint64_t tv_invocations, tv_returns;

#endif
