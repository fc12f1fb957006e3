/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seam between the start, which every image has, and what an image is for. */
#ifndef XMHF_START_H
#define XMHF_START_H

/* From boot/entry.S: the loader's magic, and the address of its information. */
_Noreturn void boot_main(unsigned int magic, unsigned int info);

/*
 * What the image is for, on root's own page tables and with the boot stack: core/main.c, or the main() of a self-test
 * (tests/selftest). There are no traps yet and no struct percpu.
 */
_Noreturn void core_main(void);

#endif
