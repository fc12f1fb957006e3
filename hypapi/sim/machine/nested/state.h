/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's own, but that the renewal of VMCS02's addresses can be left out: see hypapi/sim/flushes.h. */
#ifndef HYPAPI_SIM_NESTED_STATE_H
#define HYPAPI_SIM_NESTED_STATE_H

#include "hypapi/sim/flushes.h"
#include "xmhf/nested/state.h"

#ifndef SIM_FILE_vmcs02 /* which defines it */
#define vmcs02_retranslate(cpu)                                                                                      \
	(FLUSH_REMOVED("vmcs02_retranslate(" #cpu ")") ? (void)0 : (vmcs02_retranslate)(cpu))
#endif

#endif
