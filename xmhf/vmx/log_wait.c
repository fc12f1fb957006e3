/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See log_wait.h. Only GUARD_LOG is remembered. The VMCS at hand changes, and VMCS02 is made anew whenever L1 likes, so
 * each entry looks at the two controls while lines wait. A partition has none of this: its time is bounded.
 */
#include "vmx/log_wait.h"

#include "cpu/clock.h"
#include "cpu/x86.h"
#include "nested/nested.h"
#include "report/log_output.h"
#include "vmx/vmx.h"
#include "vmx/vmx_insn.h"

#define LOOKS_PER_MS 10 /* a character takes 87 us at 115200 baud */

static u32 timer_start; /* constant after boot */

void log_wait_init(void)
{
	u64 units = clock_ticks_per_ms() / LOOKS_PER_MS >> (rdmsr(MSR_IA32_VMX_MISC) & VMX_MISC_TIMER_SHIFT);

	timer_start = (u32)MAX(units, 1ul);
}

static void set_timer(struct percpu *cpu, bool on)
{
	u64 pin = vmread(VMCS_PIN_CTLS), wanted = on ? pin | PIN_PREEMPTION_TIMER : pin & ~PIN_PREEMPTION_TIMER;

	if (wanted == pin || !(vmx_pin_caps.may & PIN_PREEMPTION_TIMER))
		return;
	if (cpu->world->mode == RUN_L2 && nested_uses_timer(cpu))
		return;
	vmwrite(VMCS_PIN_CTLS, wanted);
	if (on)
		vmwrite(VMCS_PREEMPTION_TIMER, timer_start);
}

/* Every port of the guest exits: no copy of its bitmaps has to be kept up to date for one bit. */
static void hold_ports(struct percpu *cpu, bool on)
{
	u64 usual = cpu->world->mode == RUN_L2 ? nested_io_controls(cpu) : PROC_IO_BITMAPS;
	u64 proc = vmread(VMCS_PROC_CTLS), others = proc & ~(PROC_IO_BITMAPS | PROC_UNCOND_IO_EXITING);
	u64 wanted = others | (on ? PROC_UNCOND_IO_EXITING : usual);

	if (wanted != proc)
		vmwrite(VMCS_PROC_CTLS, wanted);
}

void log_wait_at_entry(struct percpu *cpu)
{
	bool waiting = log_drain();

	if (cpu->world->mode != RUN_PARTITION) {
		set_timer(cpu, waiting);
		hold_ports(cpu, waiting);
	}
	if (!waiting)
		cpu->guard &= ~(u32)GUARD_LOG;
}

void log_wait_timer(struct percpu *cpu)
{
	cpu->guard |= GUARD_LOG;
}

void log_wait_for_guest(struct percpu *cpu)
{
	cpu->guard |= GUARD_LOG;
	log_flush_for_guest();
}
