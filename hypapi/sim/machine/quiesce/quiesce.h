/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's own, but that work left out can be told: see hypapi/sim/flushes.h. */
#ifndef HYPAPI_SIM_QUIESCE_H
#define HYPAPI_SIM_QUIESCE_H

#include "hypapi/sim/flushes.h"
#include "xmhf/quiesce/quiesce.h"

#ifndef SIM_FILE_quiesce /* which defines it */
#define quiesce_add_work(self, work)                                                                                 \
	(FLUSH_REMOVED("quiesce_add_work(" #work ")") ? (void)0 : (quiesce_add_work)(self, work))
#endif

#endif
