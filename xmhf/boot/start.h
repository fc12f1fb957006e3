/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seam between the start, which every image has, and what an image is for. */
#ifndef XMHF_START_H
#define XMHF_START_H

/* From boot/entry.S: the loader's magic, and the address of its information. */
_Noreturn void boot_main(unsigned int magic, unsigned int info);

/*
 * The parts of a start, for each way in, once boot_info has what loader and firmware told: the options and ACPI tables;
 * how much root memory the core needs, a multiple of 2 MiB; and the move from `loaded`, a physical address, to root
 * memory at `root`, 2 MiB aligned and below 4 GiB. `low`: ROOT_LOW_BYTES below 1 MiB, 0: as the memory map has them.
 */
void boot_read_options(void);
unsigned long boot_root_bytes(void);
_Noreturn void boot_move(unsigned long loaded, unsigned long root, unsigned long bytes, unsigned long low);

/*
 * What the image is for, on root's own page tables and with the boot stack: core/main.c, or the main() of a self-test
 * (tests/selftest). There are no traps yet and no struct percpu.
 */
_Noreturn void core_main(void);

#endif
