/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory invariant, checked at run time: no EPT leaf that a guest or a partition can reach leads to root memory or
 * to memory of another owner. In a build with --enable-audit all tables that a CPU can use are walked after each stop
 * that changed one, and its EPT02 after each EPT violation of L2; a breach panics. Callers ask CONFIG_AUDIT first.
 */
#ifndef XMHF_AUDIT_H
#define XMHF_AUDIT_H

#include "core/config.h"
#include "cpu/percpu.h"

void audit_ept02(struct percpu *cpu);
void audit_all(struct percpu *cpu);

#endif
