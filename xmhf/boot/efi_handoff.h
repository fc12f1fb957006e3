/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xmhf.efi, the application that firmware starts, and the core tell each other. bridge_enter() lets the core start
 * its CPU, and the application goes on as a part of L1. All addresses are physical and below 4 GiB, which both map as
 * they are while the core starts.
 */
#ifndef XMHF_EFI_HANDOFF_H
#define XMHF_EFI_HANDOFF_H

/* Offsets in struct efi_cpu_state, for bridge.S and efi_entry.S; compared with the structure below. */
#define STATE_RSP 0
#define STATE_CR0 8
#define STATE_CR3 16
#define STATE_CR4 24
#define STATE_EFER 32
#define STATE_FS_BASE 40
#define STATE_GS_BASE 48
#define STATE_STACK 56
#define STATE_PERCPU 64
#define STATE_GDTR 72
#define STATE_IDTR 82
#define STATE_SEGMENTS 92

/* Order of the selectors in a state: as in the VMCS (vmx/vmx.h). */
#define STATE_ES 0
#define STATE_CS 1
#define STATE_SS 2
#define STATE_DS 3
#define STATE_FS 4
#define STATE_GS 5
#define STATE_TR 7 /* LDTR, 6, is none */

#ifndef __ASSEMBLER__

#include "boot/boot_info.h"

#define EFI_MAX_CPUS 64

/* EAX of the VMCALL by which the application tells that ExitBootServices() was called; none that hypapps can claim. */
#define EFI_HYPERCALL_EXIT 0xf0f

struct efi_table_register { u16 limit; u64 base; } __attribute__((packed));

/* A CPU as the firmware has it, in long mode. bridge_enter() saves it; VM entry or bridge_leave() goes on there. */
struct efi_cpu_state {
	u64 rsp, cr0, cr3, cr4, efer, fs_base, gs_base;
	u64 stack;  /* of the core for this CPU, and its struct percpu: addresses of the core */
	u64 percpu;
	struct efi_table_register gdtr, idtr;
	u16 segments[STATE_TR + 1];
	u8 reserved[4];
	u64 tr_base;
	u32 tr_limit;
	u32 apic_id;
} __attribute__((packed, aligned(8)));
#define STATE_IS(member, at) _Static_assert(offsetof(struct efi_cpu_state, member) == (at), "bridge.S")
STATE_IS(efer, STATE_EFER); STATE_IS(stack, STATE_STACK); STATE_IS(percpu, STATE_PERCPU);
STATE_IS(gdtr, STATE_GDTR); STATE_IS(idtr, STATE_IDTR); STATE_IS(segments, STATE_SEGMENTS);

/* Why bridge_enter() came back. */
enum efi_answer {
	EFI_ENTERED,      /* this CPU is a guest now */
	EFI_START_OTHERS, /* the firmware shall start the other CPUs; when they wait in `cpu`, enter `resume` */
	/* refusal[] tells why. The CPU is the firmware's as before. What stays until a reset: docs/install.md */
	EFI_REFUSED,
	EFI_PLANNED,      /* root_bytes tells what the core needs */
};

struct efi_handoff {
	/* The application's: */
	u64 app_cr3;           /* tables of the application, with the low 4 GiB as they are and the image */
	u64 image;             /* where the core's image is now, 2 MiB aligned */
	u64 bridge_leave, bridge_resumed; /* in bridge.S: goes back to the firmware; where a guest begins */
	u64 root, low;         /* pages that the firmware has reserved: root_bytes, 2 MiB aligned; ROOT_LOW_BYTES */
	u64 map, map_bytes, map_entry_bytes; /* GetMemoryMap() */
	struct boot_rsdp rsdp;
	struct boot_framebuffer framebuffer;
	char cmdline[CMDLINE_BYTES];
	u32 cpu_count;         /* the first is the boot CPU */
	u32 cpus_are_known;    /* 1: the firmware has MP services, and these are all CPUs that they know */
	/* The core's: */
	u64 root_bytes;
	char refusal[256];
	/* Both: */
	u64 cr3;               /* of tables with these addresses and the core's; at first app_cr3 */
	struct efi_cpu_state cpu[EFI_MAX_CPUS];
};

/*
 * First in the core's image: where bridge_enter() goes, as addresses of the core. RDI: state, RSI: struct efi_handoff.
 */
struct efi_core_entries {
	u64 plan;   /* fills root_bytes */
	u64 go;     /* with root and low: moves the image and starts the boot CPU up to EFI_START_OTHERS */
	u64 resume; /* and on to EFI_ENTERED */
	u64 cpu;    /* another CPU: waits for the boot CPU in `resume`, to EFI_ENTERED or EFI_REFUSED, like that one */
	u64 image_bytes, image_memory_bytes;
};

#endif
#endif
