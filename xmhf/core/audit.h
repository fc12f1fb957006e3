/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory invariant, checked at run time: no EPT leaf that a guest or a partition can reach leads to root memory or to
 * memory of another owner. In a build with --enable-audit every exit that can change a table is followed by a walk of all
 * tables that this CPU can use; a breach panics. Otherwise it costs nothing.
 */
#ifndef XMHF_AUDIT_H
#define XMHF_AUDIT_H

#include "core/config.h"
#include "cpu/percpu.h"

void audit_walk(struct percpu *cpu);

static inline void audit(struct percpu *cpu)
{
	if (CONFIG_AUDIT)
		audit_walk(cpu);
}

#endif
