/* SPDX-License-Identifier: GPL-2.0-or-later */
/* struct partition, for the two files that implement partitions and for nobody else. */
#ifndef XMHF_PARTITION_STATE_H
#define XMHF_PARTITION_STATE_H

#include "mem/ept.h"
#include "mem/partition.h"

struct partition {
	const struct hypapp_descriptor *app; /* owner; NULL: free. Changed under a stop */
	u64 serial;                          /* different for each partition ever made */
	struct ept ept;
	u64 *page_tables;
	struct partition_page *pages;        /* one page of root memory: PARTITION_MAX_PAGES */
	void **tables;                       /* one page: all table pages, to be freed */
	u32 page_count, table_count;
	_Atomic u32 runner;                  /* CPU index + 1; 0: does not run */
};

_Static_assert(PARTITION_MAX_PAGES * sizeof(struct partition_page) <= 4096, "the list is one page");

u64 partition_handle_of(const struct partition *p);

#endif
