/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What self-test images share: core_main() prepares the CPU as the core does, calls selftest(), and ends QEMU by its
 * isa-debug-exit device at port 0xf4. Checks are counted; each prints one line.
 */
#ifndef SELFTEST_H
#define SELFTEST_H

#include "lib/base.h"
#include "report/log.h"

/* The test itself: one an image, on the boot CPU, without VMX. */
void selftest(void);

/* One line, "ok" or "NO"; answers whether it holds. */
bool check_that(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
