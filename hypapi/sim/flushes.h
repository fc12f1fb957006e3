/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each place of the core that flushes, or owes a flush to a stop, puts itself on a list, and one of them can be
 * removed: a test must fail then (tests/sim/sim_flushes.c). The places are the calls of invept(), invvpid(),
 * flush_ept(), flush_vpid(), quiesce_add_work(), iommu_flush(), of what drops leaves of EPT02, and of
 * vmcs02_retranslate(). All of them are macros here, in the headers of hypapi/sim/machine.
 */
#ifndef HYPAPI_SIM_FLUSHES_H
#define HYPAPI_SIM_FLUSHES_H

#include <stdbool.h>
#include <stddef.h>

struct flush_site {
	const char *file, *function, *call; /* the call as it is written */
	bool reached;                       /* in this process */
};

/* True: leave it out. */
bool machine_flush_removed(struct flush_site *site);

#define FLUSH_REMOVED(call)                                                                                          \
	({                                                                                                           \
		static struct flush_site site_ = { __FILE__, __func__, call, false };                                \
		static struct flush_site *const listed_ __attribute__((section("flush_sites"), used)) = &site_;      \
		machine_flush_removed(&site_);                                                                       \
	})

/* For tests: all of them, by number; and the one to remove from now on, NULL for none. */
size_t sim_flush_count(void);
struct flush_site *sim_flush_site(size_t i);
void sim_flush_remove(const struct flush_site *site);

#endif
