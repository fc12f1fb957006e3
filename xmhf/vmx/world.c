/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See world.h. */
#include "vmx/world.h"

#include "cpu/percpu.h"
#include "mem/pages.h"
#include "report/log.h"
#include "vmx/vmx.h"
#include "vmx/vmx_insn.h"

void world_init(struct world *w, enum run_mode mode)
{
	u32 *region = pages_boot_alloc(1);

	region[0] = vmx_basic & VMX_BASIC_REVISION;
	*w = (struct world){ .mode = mode, .vmcs = virt_to_phys(region) };
	if (!vmclear(&w->vmcs))
		panic("VMCLEAR of a new VMCS failed");
}

void world_refused(void)
{
	panic("VMPTRLD failed");
}

void world_set_ept(struct world *w, u64 eptp, u64 ept)
{
	if (w->eptp != eptp)
		vmwrite(VMCS_EPTP, eptp);
	w->eptp = eptp;
	w->ept = ept;
}
