/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See speculation.h: what the CPU is asked at boot, the options, and the thunks of indirect branches (thunks.S). Runs
 * before the image moves: the boot tables let text be written, root's own will not.
 */
#include "core/cmdline.h"
#include "cpu/speculation.h"
#include "cpu/x86.h"
#include "lib/printf.h"
#include "report/log.h"

#define EDX7_ARCH BIT(29)
#define LEAF_TOPOLOGY 0xb

extern u8 thunks_start[];

static const char *const names[SPEC_ACTIONS] = {
	[SPEC_THUNKS_PLAIN] = "plain-thunks", [SPEC_RSB_FILL] = "rsb-fill", [SPEC_RSB_ONE] = "rsb-one",
	[SPEC_CTRL_KEEP] = "ibrs-kept", [SPEC_CTRL_ALWAYS] = "ibrs-each-exit", [SPEC_BHI_DIS] = "bhi-dis",
	[SPEC_RRSBA_DIS] = "rrsba-dis", [SPEC_IBPB] = "ibpb", [SPEC_IBPB_TO_L1] = "ibpb-to-l1",
	[SPEC_L1D_FLUSH] = "l1d-flush", [SPEC_VERW] = "verw",
};

/* jmp *%reg; int3. Registers by their number; the thunk of RSP is never called. */
static void make_thunks_plain(void)
{
	for (u8 reg = 0; reg < GPR_COUNT; reg++) {
		u8 *thunk = thunks_start + reg * SPEC_THUNK_BYTES + SPEC_THUNK_BYTES / 2, *at = thunk;

		if (reg >= 8)
			*at++ = 0x41;
		*at++ = 0xff;
		*at++ = 0xe0 | (reg & 7);
		*at = 0xcc;
	}
}

static bool smt_is_on(void)
{
	return cpuid(0, 0).eax >= LEAF_TOPOLOGY && (cpuid(LEAF_TOPOLOGY, 0).ebx & 0xffff) > 1;
}

static void say(void)
{
	char line[192] = "";
	size_t used = 0;

	for (u32 action = 0; action < SPEC_ACTIONS; action++)
		if (speculation_does(action))
			used += format(line + used, sizeof(line) - used, " %s", names[action]);
	log_info("mitigations:%s", used ? line : " retpolines only");
	if (!speculation.spec_ctrl)
		log_warn("this CPU's microcode offers no control of speculation (docs/security.md)");
	if (smt_is_on())
		log_warn("hyperthreads are on: what runs beside a PAL or the core on the same core can watch them");
}

void speculation_init(void)
{
	static const struct cpuid_regs none;
	bool has_leaf7 = cpuid(0, 0).eax >= 7;
	struct cpuid_regs leaf7 = has_leaf7 ? cpuid(7, 0) : none;
	struct cpuid_regs leaf7_2 = has_leaf7 && leaf7.eax >= 2 ? cpuid(7, 2) : none;
	u64 arch = leaf7.edx & EDX7_ARCH ? rdmsr(MSR_ARCH_CAPABILITIES) : 0;

	if (cmdline_is("mitigations", "off")) {
		make_thunks_plain();
		return;
	}
	speculation_decide(&leaf7, &leaf7_2, arch, &speculation);
	if (cmdline_is("mitigations", "full")) {
		speculation.actions = (speculation.actions | (u32)BIT(SPEC_RSB_FILL)) & ~(u32)BIT(SPEC_THUNKS_PLAIN);
		speculation.exit |= SPEC_EXIT_RSB_FILL;
	}
	if (speculation_does(SPEC_THUNKS_PLAIN))
		make_thunks_plain();
	say();
}
