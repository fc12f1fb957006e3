/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that devices reach: L1's by identity, less what was taken. This is all that the rest of the core needs to know
 * of Intel VT-d. Rights are lost when iommu_flush() has returned. One CPU at a time; L1 runs nowhere while they are
 * lost.
 */
#ifndef XMHF_IOMMU_H
#define XMHF_IOMMU_H

#include "lib/base.h"

/*
 * Boot: finds the units by the ACPI table, makes tables for the memory map (usable memory, and what the firmware's
 * devices go on to use) less root memory, turns them on, and hides the table. x2apic: the CPUs are in that mode. False:
 * a line says why, and no page can be taken. By the option "iommu" the units stay off, or that is a refusal.
 */
bool iommu_start(bool x2apic);

/* Of a core that goes back to the firmware: the units are off, and the table shows them. Boot CPU, before its guest. */
void iommu_end(void);

/* The units' registers are not L1's, nor L2's: they find scratch memory there. At boot, when EPT01 stands. */
void iommu_hide_registers(void);

/* Whether iommu_start() has done its work. */
bool iommu_is_on(void);

/*
 * Rights of devices, HYPAPI_R and HYPAPI_W ored, for [start, end) of host-physical addresses, whole pages. False: the
 * pool has no page for a table; then a range of one page is unchanged.
 */
bool iommu_set(u64 start, u64 end, u64 rights);

/*
 * Makes the tables that iommu_set() of this page needs: it cannot fail from then on, until it has given the page all
 * rights. False: the pool has no page for a table.
 */
must_check bool iommu_prepare(u64 page);

/*
 * Makes what iommu_set() did true for all devices. False: a unit does not answer, and a line says which. Some devices
 * may have their old rights then, and each later flush fails at once.
 */
must_check bool iommu_flush(void);

/* Whether it is time to look for faults: once in 10 ms, and after a flush. Any CPU; cheap. */
bool iommu_look_is_due(void);

/*
 * Takes the faults that units have recorded, names each in the log, limited in rate, and hands it to `tell`, unless
 * NULL. Their number; 0 while another CPU is at it. Any CPU.
 */
struct vtd_fault;
u32 iommu_report_faults(void (*tell)(const struct vtd_fault *fault));

#endif
