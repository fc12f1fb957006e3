/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypercall of checksum. */
#ifndef CHECKSUM_CALL_H
#define CHECKSUM_CALL_H

#include <hypapi/hypapi.h>

enum { CALL = 0x680 };

enum hypapi_verdict call(struct hypapi_event *ev);

#endif
