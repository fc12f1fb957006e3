/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chain start: placeholder until the stub is in. */
#include "boot/guest_start.h"
#include "core/log.h"

void guest_start_chain(struct percpu *cpu)
{
	(void)cpu;
	boot_refuse("boot=chain is not there yet");
}
