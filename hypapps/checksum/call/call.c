/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypercall of checksum. */
#include "call/call.h"

#include <adler32.h>

enum hypapi_verdict call(struct hypapi_event *ev)
{
	const uint64_t bytes = hypapi_reg_get(ev, HYPAPI_REG_RBX);

	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, answer(&bytes, sizeof(bytes), 0));
	return HYPAPI_HANDLED;
}
