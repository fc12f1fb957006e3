/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard of the wake. Whatever port put the machine to sleep, the firmware wakes it by the waking vectors in the
 * FACS (ACPI specification, "Firmware ACPI Control Structure"). They lead to a stub of the core, in a page that L1
 * never has; what L1 stores there is dropped, as are stores to the tables that lead to the FACS. All else of these
 * pages is L1's as before, the global lock that it shares with the firmware as well.
 */
#ifndef XMHF_WAKE_H
#define XMHF_WAKE_H

#include "cpu/percpu.h"
#include "events/taken.h"

/* Takes the stub's pages out of the memory map. At boot, before EPT01 is made. */
void wake_reserve(u64 low);

/* Writes the stub, and takes the right to write the FACS's page. At boot, after EPT01 is made. */
void wake_init(void);

/* Writes the vectors, in the firmware's memory. Not before it is sure that the guest starts. */
void wake_arm(void);

/* L1 stored where it may not. In such a page the store is taken: carried out, dropped, or faulted. */
must_check enum taken wake_guard_store(struct percpu *cpu, gpa1_t gpa1);

#endif
