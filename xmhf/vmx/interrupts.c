/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See interrupts.h. An interrupt for L1 stays in its controller until L1 can take it; then it is acknowledged here, in
 * root, and either injected at once or a hypapp's. So task priorities count as on the bare CPU, nothing waits in the
 * core, and INIT and L2 find nothing left over: an interrupt that comes while L1 has interrupts off and enters L2 is
 * L2's exit.
 */
#include "vmx/interrupts.h"

#include "cpu/lapic.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "events/events.h"
#include "events/hypapps.h"
#include "report/log.h"
#include "vmx/vmx.h"

u64 interrupts_pin;

void interrupts_init(void)
{
	const struct chain *chain = hypapps_chain(HYPAPI_EV_INTERRUPT, HYPAPI_L1);

	if (!chain->count)
		return;
	if (!(vmx_pin_caps.may & PIN_INTR_EXITING))
		boot_refuse("hypapp %s subscribes to event interrupt, and this CPU has no external-interrupt exiting",
			    chain->first->app->name);
	interrupts_pin = PIN_INTR_EXITING;
	traps_catch_init();
}

enum taken interrupt_offer(struct percpu *cpu, bool acknowledged, u8 vector)
{
	/*
	 * One that is not in service there came from the legacy controller, whose end of interrupt is not ours to give.
	 */
	struct hypapi_interrupt_args args = { .acknowledged = acknowledged && lapic_in_service(vector) };

	args.vector = args.acknowledged ? vector : 0;
	if (event_interrupt(cpu, &args) == NOT_TAKEN)
		return NOT_TAKEN;
	lapic_eoi();
	return TAKEN;
}

/* Interrupt exits off and the window on, or the other way. */
static void wait_for_window(bool wait)
{
	u64 pin = vmread(VMCS_PIN_CTLS) & ~PIN_INTR_EXITING, proc = vmread(VMCS_PROC_CTLS) & ~PROC_INTR_WINDOW;

	vmwrite(VMCS_PIN_CTLS, wait ? pin : pin | interrupts_pin);
	vmwrite(VMCS_PROC_CTLS, wait ? proc | PROC_INTR_WINDOW : proc);
}

static bool can_take_interrupt(void)
{
	return (vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF) &&
	       !(vmread(VMCS_GUEST_INTERRUPTIBILITY) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

void exit_interrupt(struct percpu *cpu)
{
	if (!can_take_interrupt()) {
		wait_for_window(true);
		return;
	}
	int vector = traps_catch_interrupt();

	if (vector < 0 || interrupt_offer(cpu, true, (u8)vector) == TAKEN)
		return;
	vmwrite(VMCS_ENTRY_INTR_INFO, (u64)vector | INTR_TYPE_EXTERNAL | INTR_VALID);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
}

void exit_interrupt_window(struct percpu *cpu)
{
	wait_for_window(false);
	event_window(cpu, HYPAPI_EV_INTERRUPT_WINDOW);
}

void exit_nmi_window(struct percpu *cpu)
{
	vmwrite(VMCS_PROC_CTLS, vmread(VMCS_PROC_CTLS) & ~PROC_NMI_WINDOW);
	cpu->work = 1;
	event_window(cpu, HYPAPI_EV_NMI_WINDOW);
}

u64 window_controls(const struct percpu *cpu)
{
	return (cpu->windows[0] ? PROC_INTR_WINDOW : 0) | (cpu->windows[1] ? PROC_NMI_WINDOW : 0);
}

/* A control that is no longer needed goes with its next exit. */
void window_request(struct percpu *cpu, u32 app, u32 kinds)
{
	hypapp_mask bit = (hypapp_mask)BIT(app - 1);

	for (u32 i = 0; i < ARRAY_SIZE(cpu->windows); i++)
		cpu->windows[i] = kinds >> i & 1 ? cpu->windows[i] | bit : cpu->windows[i] & (hypapp_mask)~bit;
	vmwrite(VMCS_PROC_CTLS, vmread(VMCS_PROC_CTLS) | window_controls(cpu));
}
_Static_assert(HYPAPI_WINDOW_INTERRUPT == BIT(0) && HYPAPI_WINDOW_NMI == BIT(1), "places in cpu->windows");
