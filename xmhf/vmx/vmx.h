/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMX operation of the host CPU and VMCS01, the VMCS that runs L1. */
#ifndef XMHF_VMX_H
#define XMHF_VMX_H

#include <hypapi/event.h>

#include "cpu/percpu.h"
#include "vmx/vmx_insn.h"

/* This CPU has just entered VMX operation, and cpu->world is `w` already. */
static inline void world_first(const struct world *w)
{
	if (unlikely(!vmptrld(&w->vmcs)))
		world_refused();
}

/* `w` becomes the world at hand. In line, like the next one: each crossing has four of them. */
static inline void world_load(struct percpu *cpu, struct world *w)
{
	if (cpu->world == w)
		return;
	world_first(w);
	cpu->world = w;
}

/* And the CPU goes on there: from here on its guest uses the EPT of `w`. */
static inline void world_enter(struct percpu *cpu, struct world *w)
{
	world_load(cpu, w);
	percpu_use_ept(cpu, w->ept);
}

/* Control bits that this CPU allows to be 1 and those that it wants to be 1, from the (TRUE) capability MSRs. */
struct vmx_control_caps { u32 must, may; };
extern struct vmx_control_caps vmx_pin_caps, vmx_proc_caps, vmx_proc2_caps, vmx_exit_caps, vmx_entry_caps;
extern u64 vmx_basic, vmx_ept_vpid_cap;

/* Reads the capabilities; refuses, by one line that names what is missing, a CPU that will not do. Boot CPU, once. */
void vmx_check_features(void);

/*
 * Controls of every VMCS, whoever runs by it: NMIs are root's, and the MSRs that root has for itself are switched. And
 * for guests the exceptions that can be delivered for ever without an NMI getting in between (SDM vol. 3,
 * "Exceptions").
 */
#define VMX_PIN (PIN_NMI_EXITING | PIN_VIRTUAL_NMIS)
#define VMX_EXIT                                                                                                     \
	(EXITCTL_SAVE_DEBUG | EXITCTL_HOST_64 | EXITCTL_SAVE_PAT | EXITCTL_LOAD_PAT | EXITCTL_SAVE_EFER |            \
	 EXITCTL_LOAD_EFER)
#define VMX_ENTRY (ENTRYCTL_LOAD_DEBUG | ENTRYCTL_LOAD_PAT | ENTRYCTL_LOAD_EFER)
#define VMX_EXCEPTIONS (BIT(VEC_AC) | BIT(VEC_DB))

/* wanted, with what the CPU demands, less what it has not. */
u32 vmx_controls(const struct vmx_control_caps *caps, u64 wanted);

/* VMXON, and VMCS01 in the state after INIT. On each CPU. */
void vmx_start(struct percpu *cpu);

/* Host state of the current VMCS: where every exit lands. The same for VMCS01, VMCS02 and partitions. */
void vmx_set_host_state(struct percpu *cpu);

/* Guest state of the current VMCS as after INIT (SDM vol. 3, "Processor State After Reset"). */
void vmx_reset_guest(void);

/* Fields of the current VMCS, one after the other. */
struct vmx_value { u32 field; u64 value; };
void vmx_set_fields(const struct vmx_value *values, size_t count);

/* A segment register of the guest, by its number in the encodings of fields. ar: access rights. */
enum vmx_segment { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS, SEGMENT_LDTR, SEGMENT_TR,
		   SEGMENT_COUNT };
static always_inline void vmx_set_segment(enum vmx_segment segment, u64 selector, u64 base, u64 limit, u64 ar)
{
	u32 at = 2 * (u32)segment;

	vmwrite_row(VMCS_GUEST_ES_SEL + at, selector);
	vmwrite_row(VMCS_GUEST_ES_BASE + at, base);
	vmwrite_row(VMCS_GUEST_ES_LIMIT + at, limit);
	vmwrite_row(VMCS_GUEST_ES_AR + at, ar);
}

/* Enters the current VMCS. */
_Noreturn void vmx_run(struct percpu *cpu);

/* Bits of CR0 and CR4 that L1 does not own: VMX needs them, and L1 sees its own idea of them. */
#define VMX_CR0_MASK CR0_NE
#define VMX_CR4_MASK (CR4_VMXE | CR4_SMXE)

/* Bitmaps, shared by all CPUs, constant after boot. */
extern u8 *vmx_msr_bitmap, *vmx_io_bitmaps;
void vmx_bitmaps_init(void);
void vmx_intercept_port(u16 port);

/* The same for L2, where L1 itself does not intercept: L1's own bitmaps, or copies once a hypapp claims anything. */
extern u8 *vmx_msr_bitmap_l2, *vmx_io_bitmaps_l2;

/* A hypapp claims ports or MSRs at L1 or L2. At boot, after the core's own. */
void vmx_claim_ports(enum hypapi_level level, u32 first, u32 last);
void vmx_claim_msrs(enum hypapi_level level, u32 first, u32 last);

#define VPID_L1 1
#define VPID_L2 2
#define VPID_PARTITION 3

#endif
