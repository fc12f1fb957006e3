/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secondary partitions: pages taken from a guest, with an EPT and page tables of their own, run through each CPU's
 * partition VMCS. Nothing of VMCS01, VMCS02 or VMCS12 is in force meanwhile.
 *
 * Invariants: a page belongs to L1 or to one partition; a partition runs on one CPU at a time; partitions are made and
 * destroyed under a stop only.
 */
#ifndef XMHF_PARTITION_H
#define XMHF_PARTITION_H

#include "events/hypapps.h"
#include "events/taken.h"
#include "mem/guest.h"

#define PARTITION_MAX_PAGES 256

/*
 * How many there may be at a time, by the option "partitions" or the amount of RAM; their numbers begin with 1.
 * Constant after boot.
 */
extern u32 partition_limit;

/* Boot: sets that; bytes of root memory to be kept for so many. Then the table of them, when root memory is there. */
u64 partition_plan(void);
void partition_init(void);

/* A checked request: what each page leads to is already known. */
struct partition_page {
	u64 gva;  /* page-aligned, rights (enum hypapi_rights) in the low bits */
	u64 gpa1; /* page-aligned */
};

/* The page by which the caller's address space is known. */
struct partition_home {
	struct guest_path path; /* gva is constant */
	u64 gpa1;               /* page-aligned; constant. PARTITION_NO_HOME: none was named */
};
#define PARTITION_NO_HOME (~0ull)

/*
 * Takes the pages. The CPUs are stopped, the caller's rights are checked. HYPAPI_EPERM: a page is not L1's, or there
 * twice.
 */
int partition_create(const struct hypapp_descriptor *owner, const struct partition_page *pages, size_t count,
		     const struct partition_home *home, u64 *handle);

/*
 * Calls of a hypapp by its handle. HYPAPI_ESTALE: the partition is gone, or another hypapp's.
 */

/* HYPAPI_OK: the guest of this walk has the home page, readable, at its address; else HYPAPI_EFAULT. */
int partition_at_home(u64 handle, const struct hypapp_descriptor *owner, struct guest_walk *w);
/* Claims the partition for this CPU; HYPAPI_EBUSY. Undone by partition_leave() or partition_release(). */
int partition_claim(u64 handle, const struct hypapp_descriptor *owner, struct percpu *cpu, struct partition **p);
void partition_release(struct partition *p);
/* Copies between a buffer and the partition's memory by its linear addresses; gva + len does not wrap. */
int partition_copy(u64 handle, const struct hypapp_descriptor *owner, u64 gva, void *buf, size_t len, bool write);
/*
 * Adds zeroed pages of root memory at these linear addresses, all or none. The caller has claimed the partition.
 * HYPAPI_EINVAL: a page is there already; HYPAPI_ENOMEM.
 */
int partition_add_memory(struct partition *p, const gva_t *pages, size_t count, u32 rights);
/* NULL instead of that error. */
struct partition *partition_get(u64 handle, const struct hypapp_descriptor *owner);
/* HYPAPI_EBUSY: it runs. HYPAPI_ESTALE: it was destroyed before the stop began. */
int partition_destroy(struct percpu *cpu, struct partition *p);

/* Destroys all of a hypapp's, wiped; false: some run, or are about to. At a safe point. */
bool partition_destroy_all(struct percpu *cpu, const struct hypapp_descriptor *owner);

/* Gives it FPU and SIMD registers of its own. The CPUs are stopped. HYPAPI_EBUSY, HYPAPI_ENOTSUP, HYPAPI_ENOMEM. */
int partition_add_fpu(struct partition *p);

const struct hypapp_descriptor *partition_owner(const struct percpu *cpu); /* of the one that runs here */
u64 partition_handle(const struct percpu *cpu); /* of the one that runs here, or HYPAPI_NONE */
hypapi_partition_t partition_by_number(u32 number, const struct hypapp_descriptor **app);
static inline u32 partition_number(u64 handle) { return handle & 0xffff; }

/* For the audit: the level-4 table of a partition's EPT, NULL if there is no such partition. */
const u64 *partition_ept_root(u32 number);
/* Likewise: whether the page at this address in its EPT is root memory that it may have. */
bool partition_has_own(u32 number, u64 gpa);

/* Switches this CPU to the claimed partition, and back to its caller. The entry's registers are used up: zeros. */
void partition_enter(struct percpu *cpu, struct partition *p, struct hypapi_partition_entry *entry);
void partition_leave(struct percpu *cpu);
/* How long a partition may run at a stretch, TSC ticks. Once, at boot. */
void partition_set_time(u64 ticks);

/*
 * The machine is about to end: wipes the registers of the one that runs on this CPU, which is stopped. A machine that
 * goes on all the same ends it at the CPU's next safe point: it gets #GP, and its caller where the owner stays in it.
 */
void partition_wipe(struct percpu *cpu);
void partition_end_wiped(struct percpu *cpu);
/* It does end: those of the caller, too. */
void partition_wipe_caller(struct percpu *cpu);

/* The owner of the one that runs here is gone: it ends, and its caller gets #GP. At a safe point. */
void partition_end_orphan(struct percpu *cpu);

/* INIT for this CPU: the owner is told, and the partition left. */
void partition_abort(struct percpu *cpu);

/* VM exit while a partition runs. */
void partition_exit(struct percpu *cpu, u32 reason);

/* An exception raised by the core in the partition that runs: goes to its owner. NOT_TAKEN: none runs. */
enum taken partition_raise(struct percpu *cpu, unsigned int vector);

/*
 * Zeroes the pages that partitions can write, those of root memory, and FPU registers. All other CPUs are stopped, and
 * the machine is about to end.
 */
void partition_wipe_all(void);

#endif
