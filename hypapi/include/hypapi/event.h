/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * The event descriptor: the one structure that every callback of a hypapp gets, and the verdict that it returns.
 *
 * A hypapp reads what happened, at which level, and may write `quiesce` and, in PORT_IO and MSR, the `value` that the
 * guest reads. Everything else it does through the calls of hypapi/calls.h, which take the event as their context.
 */
#ifndef HYPAPI_EVENT_H
#define HYPAPI_EVENT_H

#include <hypapi/types.h>

/** Who caused an event. Usable as a bit mask with HYPAPI_LEVEL_BIT(). @since 1.0 */
enum hypapi_level {
	HYPAPI_L0 = 0, /**< the core itself (initialisation) */
	HYPAPI_L1 = 1, /**< the operating system under which XMHF booted */
	HYPAPI_L2 = 2, /**< a virtual machine of L1's hypervisor */
};
#define HYPAPI_LEVEL_BIT(level) (1u << (level)) /**< A level in a mask of levels. @since 1.0 */
/** The mask of both guest levels. @since 1.0 */
#define HYPAPI_LEVELS_GUEST (HYPAPI_LEVEL_BIT(HYPAPI_L1) | HYPAPI_LEVEL_BIT(HYPAPI_L2))

/**
 * Every event. One that a core of an older minor version does not raise is refused there at boot, by name.
 * @since 1.0
 */
enum hypapi_event_type {
	HYPAPI_EV_INIT = 0,      /**< once, on the boot CPU, before L1 starts; level L0; the other CPUs do not run
	                              guests yet */
	HYPAPI_EV_CPU_INIT,      /**< once on each CPU before it enters L1 for the first time; level L0 */
	HYPAPI_EV_HYPERCALL,     /**< VMCALL with a number that the hypapp claims; L1, L2, or a partition that runs */
	HYPAPI_EV_CPUID,         /**< CPUID of a leaf that the hypapp claims; L1, L2, or a partition that runs */
	HYPAPI_EV_EPT_VIOLATION, /**< access to memory whose owner is a hypapp; L1, L2. In L2 only after EPT12 allowed
	                              it */
	HYPAPI_EV_PARTITION_EXIT,/**< a partition did what only its owner can answer: a fault, an instruction that
	                              exits; L1, L2 */
	HYPAPI_EV_PORT_IO,       /**< IN, OUT, INS, OUTS on a claimed port; L1, L2. Since 1.1 */
	HYPAPI_EV_MSR,           /**< RDMSR, WRMSR of a claimed MSR; L1, L2. Since 1.1 */
	HYPAPI_EV_MTRR,          /**< L1 changes the memory types; level L0; two-phase. Since 1.1 */
	HYPAPI_EV_EXIT102,       /**< L1 enters L2: L2 goes on next, level L2; the verdict is ignored. Since 1.1 */
	HYPAPI_EV_EXIT201,       /**< L2 exits to L1: L1 goes on next, level L1; the verdict is ignored. Since 1.1 */
	HYPAPI_EV_EXIT202,       /**< L0 handled an exit of L2: L2 goes on next, level L2; the verdict is ignored.
	                              Since 1.1 */
	HYPAPI_EV_EPT02_ROOT,    /**< L2 goes on with the EPT02 of another EPTP12 than this CPU's L2 before; level L2;
	                              the verdict is ignored. Since 1.2 */
	HYPAPI_EV_EPT02_FLUSH,   /**< EPT02 was dropped: L1 executed INVEPT (level L1), or the core ran out of its pages
	                              (level L2); the verdict is ignored. Since 1.2 */
	HYPAPI_EV_INTERRUPT,     /**< an external interrupt, in L1 as soon as L1 can take it, in L2 where L1 intercepts
	                              it; L1, L2; one hypapp an image and level. Since 1.2 */
	HYPAPI_EV_NMI,           /**< an NMI of the guest's, about to be delivered; L1, L2; one hypapp an image and
	                              level. Since 1.2 */
	HYPAPI_EV_INTERRUPT_WINDOW, /**< the guest can take an interrupt, as asked for by hypapi_window(); L1, L2; the
	                              verdict is ignored. Since 1.2 */
	HYPAPI_EV_SHUTDOWN,      /**< L1 powers the machine off: wipe secrets; level L0; the verdict is ignored */
	HYPAPI_EV_RESET,         /**< L1 resets the machine: wipe secrets; level L0; the verdict is ignored */
	HYPAPI_EV_INIT_SIGNAL,   /**< INIT for a CPU of L1 that does not wait for SIPI, on that CPU, before anything of
	                              it changes: L2 or a partition may run, so calls on registers, memory, partitions
	                              and windows answer as without their capability; level L1. Since 1.2 */
	HYPAPI_EV_TRIPLE_FAULT,  /**< L1 shut a CPU down by a triple fault; the machine is reset next; level L0; the
	                              verdict is ignored */
	HYPAPI_EV_SLEEP,         /**< L1 asks for a sleep state other than power-off; level L0; two-phase. SHUTDOWN
	                              follows, and then the sleep. The CPUs are stopped. Since 1.2 */
	HYPAPI_EV_NMI_WINDOW,    /**< the guest can take an NMI, as asked for by hypapi_window(); L1, L2; the verdict is
	                              ignored. Since 1.2 */
	HYPAPI_EV_WORK,          /**< what hypapi_post() asked for, outside of any other event; level L0; the verdict is
	                              ignored. Since 1.2 */
	HYPAPI_EV_DMA_FAULT,     /**< an IOMMU has kept a device from memory; level L0; the verdict is ignored.
	                              Since 1.3 */
	HYPAPI_EV_COUNT
};

/**
 * What a callback answers. The chain asks the hypapps by priority; the first answer other than PASS decides. A number
 * that is none of these is logged and taken for DENY. After hypapi_inject() or hypapi_page_in() only KILL counts.
 * @since 1.0
 */
enum hypapi_verdict {
	HYPAPI_PASS = 0, /**< not mine: the next hypapp, and at last the core's default */
	HYPAPI_HANDLED,  /**< done. The core steps over the instruction for HYPERCALL, CPUID, PORT_IO and MSR;
	                      INTERRUPT, NMI and INIT_SIGNAL are the hypapp's, and the guest gets nothing; resumes as is
	                      for the rest */
	HYPAPI_DENY,     /**< the architectural fault: #UD for HYPERCALL; #GP(0) for CPUID, EPT_VIOLATION, PORT_IO,
	                      MSR */
	HYPAPI_RETRY,    /**< with `quiesce` set and the CPUs running: stop them and deliver this event to me again
	                      (if hypapi_may_stop() would answer 0, later);
	                      otherwise: let the guest execute the same instruction again */
	HYPAPI_KILL,     /**< a policy of the hypapp: raise RESET for all hypapps, so that secrets are wiped, and
	                      reset */
};

/**
 * Events that change the machine come in two phases to a subscription that says `two_phase`: all are asked to PREPARE,
 * by priority; then either all COMMIT, or, if one has answered DENY, those that had prepared ABORT and nothing changes.
 * Other subscriptions get COMMIT alone, and every other event is COMMIT.
 * @since 1.2
 */
enum hypapi_phase {
	HYPAPI_COMMIT = 0, /**< it takes place: SLEEP, right before; MTRR, right after. The verdict is ignored */
	HYPAPI_PREPARE,    /**< nothing has changed yet. HYPAPI_DENY refuses the change; other verdicts count as PASS.
	                        L1 gets #GP for the WRMSR, or its entry with the MSR list fails; its write that asks for
	                        sleep is dropped, so an operating system that expects to sleep may wait for ever */
	HYPAPI_ABORT,      /**< what was prepared does not take place, since `decided_by` has denied it. The verdict is
	                        ignored */
};

/**
 * Opaque handle of an EPT: of EPT01, or of this CPU's EPT02. Valid inside the callback only. {0} is none. @since 1.0
 */
typedef struct { uint64_t id; /**< the core's own */ } hypapi_ept_t;
/** Opaque handle of a secondary partition, valid until it is destroyed. {0} is none. @since 1.0 */
typedef struct { uint64_t id; /**< the core's own; different for each partition ever made */ } hypapi_partition_t;

#define HYPAPI_NONE 0u /**< `id` of a handle that stands for nothing. @since 1.0 */

/** Why a partition exited; argument of HYPAPI_EV_PARTITION_EXIT. @since 1.0 */
enum hypapi_partition_exit {
	HYPAPI_PEXIT_EXCEPTION = 1, /**< an exception: `vector`, `error_code`, and `address` for #PF */
	HYPAPI_PEXIT_EPT,           /**< an access outside the partition's memory that its page tables allow; cannot
	                                 happen while the core builds the page tables, and is reported for
	                                 completeness */
	HYPAPI_PEXIT_INSTRUCTION,   /**< an instruction that a partition may not execute (HLT, I/O, RDMSR ...) */
	HYPAPI_PEXIT_TIME,          /**< it ran longer than the boot option `partition-time` allows, with interrupts
	                                 held back; if its owner does not leave it, the core does, and its caller
	                                 gets #GP */
	HYPAPI_PEXIT_INIT,          /**< INIT for its CPU: the owner leaves the partition, and nothing of its caller
	                                 goes on */
};

/** Arguments of HYPAPI_EV_HYPERCALL. The registers are read with hypapi_reg_get(). @since 1.0 */
struct hypapi_hypercall_args {
	uint32_t number; /**< EAX, less the L2 hypercall base when the level is L2: the claimed number at both levels */
};

/** Arguments of HYPAPI_EV_CPUID: the input. The handler writes RAX, RBX, RCX and RDX. @since 1.0 */
struct hypapi_cpuid_args {
	uint32_t leaf;    /**< EAX */
	uint32_t subleaf; /**< ECX */
};

/** Arguments of HYPAPI_EV_EPT_VIOLATION. @since 1.0 */
struct hypapi_violation_args {
	hpa_t hpa;                /**< host-physical address of the byte accessed, as it was before the page was
	                               taken */
	gpa1_t gpa1;              /**< the same in L1-physical */
	gpa2_t gpa2;              /**< the same in L2-physical; only if the level is L2 */
	gva_t gva;                /**< linear address, if `gva_valid` */
	hypapi_partition_t owner; /**< the partition that owns the page, or none */
	uint32_t access;          /**< enum hypapi_rights: what was tried */
	bool gva_valid;           /**< false for accesses by the CPU's own page walk */
};

/** Arguments of HYPAPI_EV_PARTITION_EXIT. @since 1.0 */
struct hypapi_partition_exit_args {
	uint32_t reason;     /**< enum hypapi_partition_exit */
	uint32_t vector;     /**< exception vector, 0 to 31 */
	uint32_t error_code; /**< of the exception, 0 where it has none */
	uint32_t exit_reason;/**< basic exit reason of the SDM, for messages */
	gva_t address;       /**< CR2 of a #PF */
};

/** Arguments of HYPAPI_EV_CPU_INIT. @since 1.0 */
struct hypapi_cpu_init_args {
	uint32_t cpu_count; /**< CPUs that the core brought up */
};

/** Arguments of HYPAPI_EV_PORT_IO: one access. A string form with REP raises one event an element. @since 1.1 */
struct hypapi_port_io_args {
	uint16_t port;  /**< its first port; it may begin below the claimed range, or end above it */
	uint8_t size;   /**< 1, 2 or 4 bytes */
	bool in;        /**< IN or INS; else OUT or OUTS */
	bool string;    /**< INS or OUTS: the other operand is memory, at `gva` */
	bool rep;       /**< with a REP prefix */
	uint64_t value; /**< OUT, OUTS: what is written, read from memory once. IN, INS: 0, and the handler writes the
	                     result here before it answers HANDLED; the core puts the low `size` bytes where the
	                     instruction wants them */
	gva_t gva;      /**< linear address of the element, if `string` */
	uint64_t count; /**< elements to go, this one included; 1 without REP */
};

/** Arguments of HYPAPI_EV_MSR. @since 1.1 */
struct hypapi_msr_args {
	uint32_t msr;   /**< ECX, or the index in a list */
	bool write;     /**< WRMSR, or loaded from a list; else RDMSR, or stored to a list */
	bool list;      /**< not by an instruction: by an MSR list of L1 at a VM entry or exit of its L2 */
	uint64_t value; /**< written: the new value. Read: 0, and the handler writes the result here before it answers
	                     HANDLED */
};

/** Arguments of HYPAPI_EV_MTRR: the write that puts a change into force. @since 1.1 */
struct hypapi_mtrr_args {
	uint32_t msr;   /**< the MTRR that is written last */
	uint64_t value; /**< what it holds then */
};

/** Arguments of HYPAPI_EV_EXIT102, HYPAPI_EV_EXIT201 and HYPAPI_EV_EXIT202. @since 1.1 */
struct hypapi_exit_args {
	uint32_t reason;        /**< exit reason of the SDM. EXIT102: of L1's instruction, 20 (VMLAUNCH) or 24
	                             (VMRESUME). EXIT201: what L1 reads in its VMCS, bit 31 for an entry that failed.
	                             EXIT202: of L2's exit */
	uint64_t qualification; /**< exit qualification, where the SDM defines one for the reason; else 0, and in
	                             EXIT102 */
};

/** Arguments of HYPAPI_EV_EPT02_ROOT. @since 1.2 */
struct hypapi_ept02_root_args {
	uint64_t eptp12;     /**< EPTP of L1's VMCS for the L2 that goes on; 0: L2 runs without EPT12, and so on
	                          EPT01 */
	uint64_t old_eptp12; /**< of the L2 that ran on this CPU before; 0: none, or without EPT12 */
	bool made;           /**< there was no EPT02 for `eptp12` on this CPU: an empty one was made */
};

/** Why EPT02 was dropped. @since 1.2 */
enum hypapi_flush_cause {
	HYPAPI_FLUSH_INVEPT = 1, /**< L1 executed INVEPT */
	HYPAPI_FLUSH_POOL,       /**< the pages for EPT02 of this CPU were used up */
};

/** Arguments of HYPAPI_EV_EPT02_FLUSH. @since 1.2 */
struct hypapi_ept02_flush_args {
	uint64_t eptp12; /**< whose EPT02; 0: all of this CPU */
	uint32_t cause;  /**< enum hypapi_flush_cause */
};

/** Arguments of HYPAPI_EV_INTERRUPT. @since 1.2 */
struct hypapi_interrupt_args {
	uint32_t vector;   /**< 0 to 255, if `acknowledged`; else 0 */
	bool acknowledged; /**< the local APIC has it in service, and HYPAPI_HANDLED takes it from the guest: the core
	                        ends it there. False in L2 if L1 does not acknowledge interrupts on exit, and for one of
	                        the legacy interrupt controller: then the event only tells */
};

/** Arguments of HYPAPI_EV_SLEEP. @since 1.2 */
struct hypapi_sleep_args {
	uint32_t type; /**< SLP_TYP, 0 to 7; the firmware chooses which value means which sleep state */
};

/** Arguments of HYPAPI_EV_WORK. @since 1.2 */
struct hypapi_work_args {
	uint64_t bits; /**< of all hypapi_post() calls for this CPU since the last such event, ored */
};

/** Arguments of HYPAPI_EV_DMA_FAULT. @since 1.3 */
struct hypapi_dma_fault_args {
	uint64_t address; /**< the page that the device named: L1-physical, unless it lies above all memory */
	uint16_t segment; /**< PCI segment of the device */
	uint8_t bus;      /**< its bus, as it names itself in its requests */
	uint8_t device;   /**< 0 to 31 */
	uint8_t function; /**< 0 to 7 */
	uint8_t reason;   /**< fault reason of the VT-d specification: 5, no right to write; 6, no right to read */
	bool write;       /**< it wanted to write; else to read */
};

/**
 * One event. Lives on the stack of the CPU that raised it, for the time of the callback.
 *
 * `size` and `minor` come first and never move; a later minor version only appends to the end of `args` and to the end
 * of the structure. A hypapp reads a member that came later only if `size` covers it.
 * @since 1.0
 */
struct hypapi_event {
	uint32_t size;        /**< sizeof(struct hypapi_event) of the core, bytes */
	uint16_t major;       /**< HYPAPI_MAJOR of the core */
	uint16_t minor;       /**< HYPAPI_MINOR of the core */
	uint32_t type;        /**< enum hypapi_event_type */
	uint32_t level;       /**< enum hypapi_level: who caused it; for a partition, the level of the partition's
	                           caller; in EXIT102, EXIT201 and EXIT202 who goes on */
	uint32_t cpu;         /**< index of this CPU, 0 to cpu_count - 1; also the index of the vCPU: L1's CPUs are
	                           pinned */
	bool quiesce;         /**< the hypapp's to write: stop the other CPUs (see HYPAPI_RETRY); starts as
	                           subscribed */
	bool stopped;         /**< the other CPUs are stopped now; always so in INIT and CPU_INIT, when none runs a
	                           guest */
	bool long_mode;       /**< the caller runs 64-bit code: CS.L, which a guest leaves clear outside of
	                           IA-32e mode */
	uint8_t cpl;          /**< current privilege level of the caller, 0 to 3 */
	uint64_t epoch;       /**< number of the stop while `stopped`, then of the last one of this event; 0 before. The
	                           next stop of any CPU has the next number, so e + 1 after e: no other CPU's came
	                           between */
	hypapi_ept_t eptp01;  /**< handle of EPT01 */
	hypapi_ept_t eptp02;  /**< handle of this CPU's EPT02; none unless the level is L2 */
	hypapi_partition_t partition; /**< the partition that runs on this CPU, or none */
	union {
		struct hypapi_cpu_init_args cpu_init;
		struct hypapi_hypercall_args hypercall;
		struct hypapi_cpuid_args cpuid;
		struct hypapi_violation_args violation;
		struct hypapi_partition_exit_args partition_exit;
		struct hypapi_port_io_args port_io; /**< @since 1.1 */
		struct hypapi_msr_args msr;         /**< @since 1.1 */
		struct hypapi_mtrr_args mtrr;       /**< @since 1.1 */
		struct hypapi_exit_args exit;       /**< of EXIT102, EXIT201 and EXIT202. @since 1.1 */
		struct hypapi_ept02_root_args ept02_root;   /**< @since 1.2 */
		struct hypapi_ept02_flush_args ept02_flush; /**< @since 1.2 */
		struct hypapi_interrupt_args interrupt;     /**< @since 1.2 */
		struct hypapi_sleep_args sleep;             /**< @since 1.2 */
		struct hypapi_work_args work;               /**< @since 1.2 */
		struct hypapi_dma_fault_args dma_fault;     /**< @since 1.3 */
		uint64_t reserved[16];
	} args; /**< the event's own arguments: the member that is named after the type */
	uint32_t phase;      /**< enum hypapi_phase. @since 1.2 */
	uint32_t decided_by; /**< ABORT: number of the hypapp that denied, for hypapi_hypapp_name(); else 0. @since
	                          1.2 */
};

_Static_assert(offsetof(struct hypapi_event, type) == 8, "size, major and minor stay in front");
_Static_assert(offsetof(struct hypapi_event, args) == 56, "frozen since 1.0");
_Static_assert(offsetof(struct hypapi_event, phase) == 56 + 16 * sizeof(uint64_t), "the end of 1.0 and of 1.1");
_Static_assert(sizeof(struct hypapi_event) == 56 + 17 * sizeof(uint64_t), "1.2");
_Static_assert(offsetof(struct hypapi_port_io_args, value) == 8 && offsetof(struct hypapi_port_io_args, count) == 24,
	       "frozen since 1.1");
_Static_assert(offsetof(struct hypapi_msr_args, value) == 8 && offsetof(struct hypapi_mtrr_args, value) == 8 &&
	       offsetof(struct hypapi_exit_args, qualification) == 8, "frozen since 1.1");

#endif
