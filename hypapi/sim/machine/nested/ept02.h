/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's own, but that what drops leaves can be left out: see hypapi/sim/flushes.h. */
#ifndef HYPAPI_SIM_EPT02_H
#define HYPAPI_SIM_EPT02_H

#include "hypapi/sim/flushes.h"
#include "xmhf/nested/ept02.h"

#ifndef SIM_FILE_ept02 /* which defines them */
#define ept02_invalidate(ept, eptp12, roots)                                                                         \
	(FLUSH_REMOVED("ept02_invalidate(" #ept ", " #eptp12 ", " #roots ")") ?                                      \
	 (*(roots) = 0, true) : (ept02_invalidate)(ept, eptp12, roots))
#define ept02_invalidate_all(ept)                                                                                    \
	(FLUSH_REMOVED("ept02_invalidate_all(" #ept ")") ? (void)0 : (ept02_invalidate_all)(ept))
#define ept02_revalidate(ept, change)                                                                                 \
	(FLUSH_REMOVED("ept02_revalidate(" #ept ", " #change ")") ? (void)0 : (ept02_revalidate)(ept, change))
#endif

#endif
