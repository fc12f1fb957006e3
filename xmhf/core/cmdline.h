/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Boot options of the core's own command line: NAME=VALUE or NAME, separated by spaces. An unknown one is refused. */
#ifndef XMHF_CMDLINE_H
#define XMHF_CMDLINE_H

#include "lib/base.h"

/* Splits the command line and refuses, by one line, an option that neither the core nor a linked hypapp has. Once. */
void cmdline_parse(const char *line);

/* The value of an option, "" if it has none, NULL if it is not there. */
const char *cmdline_get(const char *name);

/* The option as a decimal number from 1 to `max`; refuses what is none. */
u64 cmdline_number(const char *name, u64 fallback, u64 max);

/*
 * The option as a time, in milliseconds from 1 to `max`, after this prefix; refuses what is none. max: whole seconds.
 */
u64 cmdline_ms(const char *name, const char *prefix, u64 fallback, u64 max);

/* True if the option is `word`; refuses values other than those in the list that the core documents. */
bool cmdline_is(const char *name, const char *word);

#endif
