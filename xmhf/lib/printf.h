/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formatting for the log: %d %u %x %s %c %p %%, the lengths l and z, a width, zero padding and '-'. */
#ifndef XMHF_PRINTF_H
#define XMHF_PRINTF_H

#include <stdarg.h>
#include <stddef.h>

#include "lib/base.h"

/* Writes at most size - 1 characters and NUL into buf. Returns the number of characters written, NUL not counted. */
size_t format_va(char *buf, size_t size, const char *format, va_list args);
/* The same with the arguments in an array, each in a word of its own. */
size_t format_words(char *buf, size_t size, const char *format, const u64 *words);

/* How many arguments a format takes, and which of the first 32 are strings. */
struct format_shape { u32 words, strings; };
struct format_shape format_shape(const char *format);

size_t format(char *buf, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
