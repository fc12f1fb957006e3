/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See guest_start.h. */
#include "boot/guest_start.h"

#include "boot/efi.h"
#include "core/cmdline.h"
#include "report/log.h"

void guest_start(struct percpu *cpu)
{
	if (efi_stays()) {
		efi_guest(cpu);
		boot_way_back = NULL; /* what comes now is the guest */
		return;
	}

	bool chain = cmdline_is("boot", "chain") || (!boot_info.module_count && !cmdline_is("boot", "linux"));

	if (chain && boot_info.firmware != FIRMWARE_BIOS)
		boot_refuse("boot=chain needs a BIOS, not EFI; give a bzImage as the first module");
	if (chain)
		guest_start_chain(cpu);
	else if (boot_info.module_count)
		guest_start_linux(cpu);
	else
		boot_refuse("boot=linux needs a bzImage as the first module");
}
