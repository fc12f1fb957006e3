/* SPDX-License-Identifier: GPL-2.0-or-later */
/* External interrupts of L1 that a hypapp subscribes to, and the windows that hypapps wait for. */
#ifndef XMHF_INTERRUPTS_H
#define XMHF_INTERRUPTS_H

#include <hypapi/calls.h>

#include "events/taken.h"
#include "vmx/exit.h"

/* Pin-based controls of VMCS01 for it; 0: nobody subscribes, and interrupts go straight to L1. Constant after boot. */
extern u64 interrupts_pin;

/* Sets that by the chains of hypapps; a CPU that cannot is a refusal. Boot, before vmx_start(). */
void interrupts_init(void);

/* L1's exits: an interrupt has come; L1 can take one; L1 can take an NMI. */
exit_handler exit_interrupt, exit_interrupt_window, exit_nmi_window;

/* Asks a hypapp about an interrupt, of which the vector is known if it was acknowledged. TAKEN ends it. */
must_check enum taken interrupt_offer(struct percpu *cpu, bool acknowledged, u8 vector);

/* Which windows (mask of enum hypapi_window_kind) hypapp number `app` waits for from now on, in the guest that runs. */
void window_request(struct percpu *cpu, u32 app, u32 kinds);

/* Controls that the requests need. */
u64 window_controls(const struct percpu *cpu);

#endif
