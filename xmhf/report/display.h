/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's screen, for people without a serial line: the log is written there, too, from the loader's information
 * on until the guest starts, and afterwards in a panic alone, if the option panic-screen is on. Under xmhf.efi the
 * firmware's own console has the screen, and tells a refusal; there the core writes in a panic only.
 */
#ifndef XMHF_DISPLAY_H
#define XMHF_DISPLAY_H

/* Boot CPU: when boot_info has the framebuffer. A second call does nothing; nor does one where no screen is known. */
void display_open(void);

/* The guest starts, and has the screen. */
void display_close(void);

/* Opens it once more, if that is allowed. */
void display_for_panic(void);

#endif
