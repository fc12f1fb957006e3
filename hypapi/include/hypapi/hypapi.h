/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * hypapi, the interface between the XMHF core and hypapps: all that a hypapp includes.
 *
 * Read event.h first (what comes), then hypapp.h (how to subscribe), then calls.h (what you can do).
 * A minor version only appends: to enums, to structures (each carries its size) and to the calls.
 */
#ifndef HYPAPI_HYPAPI_H
#define HYPAPI_HYPAPI_H

#include <hypapi/calls.h>
#include <hypapi/event.h>
#include <hypapi/hypapp.h>
#include <hypapi/types.h>

#endif
