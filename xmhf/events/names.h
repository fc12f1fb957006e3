/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for lines that a hypapp's author reads, as hypapi's headers write them; pure. See hypapi_event_name(), too. */
#ifndef XMHF_NAMES_H
#define XMHF_NAMES_H

#include <hypapi/calls.h>
#include <hypapi/hypapp.h>

#define ALL_CAPABILITIES ((1u << 6) - 1)
_Static_assert(ALL_CAPABILITIES == 2 * HYPAPI_CAP_INTERRUPTS - 1, "the last one");

struct names { char text[144]; };

/* The constants of a mask; what has no name stays a number. Between two: `between`, or " | ". */
struct names capability_names(uint32_t mask, const char *between);
struct names feature_names(uint32_t mask);
/* "L1", "L2", "L1 and L2"; of guests only. */
const char *level_names(uint32_t levels);

#endif
