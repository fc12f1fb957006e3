/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fake of the hypapi core for TrustVisor's unit tests: one vCPU with flat page tables, partitions, and a record of
 * what the hypapp asked for. It keeps the contracts of hypapi/calls.h as far as TrustVisor uses them.
 */
#ifndef TEST_FAKE_H
#define TEST_FAKE_H

#include <hypapi/hypapi.h>
#include <hypapi/lock.h>

#define FAKE_BASE 0x400000ull /* linear address of the first page */
#define FAKE_PAGES 160
#define FAKE_HPA 0x10000000ull
#define FAKE_PARTITIONS 80
#define FAKE_OWN 200 /* frames of the core's own, from FAKE_PAGES on; never given back */

struct fake_page {
	uint32_t rights;   /* of the guest; 0: not present */
	uint32_t frame;    /* index of the frame that it leads to */
};

struct fake_partition {
	bool exists, running, fpu;
	size_t count;
	uint64_t home;    /* linear address of the home page */
	uint32_t home_frame;
	struct { uint64_t gva; uint32_t frame, rights; } pages[512];
};

extern struct fake {
	struct fake_page pages[FAKE_PAGES];
	bool missing[FAKE_PAGES];          /* the page's frame in L2: L1 has not mapped it yet */
	uint8_t frames[FAKE_PAGES + FAKE_OWN][HYPAPI_PAGE_SIZE];
	uint64_t owner[FAKE_PAGES + FAKE_OWN];        /* partition id of each frame, 0: the guest */
	struct fake_partition partitions[FAKE_PARTITIONS]; /* id - 1 */
	uint64_t next_id;
	uint32_t own_used;
	uint64_t regs[HYPAPI_REG_COUNT], pal_regs[HYPAPI_REG_COUNT];
	uint64_t current;                  /* partition that runs here */
	uint8_t cpl;                       /* of the caller */
	int stops;                         /* hypapi_quiesce() calls */
	int quiesce_answer;
	int refusals;                      /* hypapi_may_stop() answers 0 so often */
	const char *share_user, *registering, *l2; /* the boot options trustvisor.share-user, .register and .l2 */
	bool no_ept12;                     /* L2 has its memory by shadow paging */
	uint64_t eptp12, vmcs12;           /* of L2, beside the first ones */
	int memory_answer;                 /* of hypapi_partition_add_memory() */
	int fpu_answer;                    /* of hypapi_partition_add_fpu() */
	int paged_in;                      /* pages that L1 has mapped for a hypapp */
	uint64_t l2_moved;                 /* L2's physical memory is so much higher in L1's */
	void (*on_quiesce)(void);          /* what another CPU does before this one gets its stop */
	void (*on_lock)(void);             /* what another CPU does before this one gets the next lock */
	void (*on_not_home)(void);         /* what another CPU does when this one has seen that a page is not home */
	int injected;                      /* vector, 0: none */
	uint32_t injected_code;
	uint64_t injected_cr2;
	uint8_t first_random[32];          /* what hypapi_random() gave first */
	int random_calls;
	bool no_random;                    /* hypapi_random() has none */
	int log_lines;
} fake;

void fake_reset(void);
/** Address of guest memory, for the test's own reads and writes; the range must lie in one page. */
void *fake_mem(uint64_t gva);
/** The same for memory of a partition. NULL if outside. */
void *fake_partition_mem(uint64_t id, uint64_t gva);
/** An event with its header filled in. */
struct hypapi_event fake_event(uint32_t type, uint32_t level);
/** Raises an event: calls the handler that the descriptor subscribes for it. */
enum hypapi_verdict fake_raise(const struct hypapp_descriptor *hypapp, struct hypapi_event *ev);

#endif
