/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The few facts that the core takes from ACPI tables. Lengths in the tables are not trusted. */
#ifndef XMHF_ACPI_H
#define XMHF_ACPI_H

#include "boot/aml.h"
#include "cpu/percpu.h"

struct acpi_info {
	u32 apic_ids[MAX_CPUS]; /* of enabled CPUs, in MADT order */
	u32 cpu_count;
	u16 pm1_cnt[2];         /* I/O ports of the PM1a and PM1b control blocks, 0: none */
	struct aml_package s5;  /* their SLP_TYP for power-off */
	u16 reset_port;         /* likewise */
	u8 reset_value;
};

extern struct acpi_info acpi_info;

/* Once, after boot_info is filled. A machine without ACPI has one CPU and no power ports. */
void acpi_parse(void);

#endif
