/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * The calls that a hypapp may make. Unless a call says otherwise:
 *
 * - it is made inside a callback, on the CPU that runs it, with the event of that callback;
 * - it does not need the other CPUs stopped, and does not stop them;
 * - it returns HYPAPI_OK or a negative enum hypapi_error, and has done nothing when it returns an error;
 * - if it belongs to a group (enum hypapi_capability), it returns HYPAPI_EPERM, and one line in the log says why, where
 *   the descriptor does not name that group, this event withholds it, or the event is over;
 * - if it is about registers or memory of the guest that caused the event, that guest has to be at hand, else it
 *   returns HYPAPI_ENOTSUP. At level L0 no guest is at hand. L2 is not, once L1 has got an exit in its place, by
 *   hypapi_inject() or hypapi_page_in(). While a partition runs registers are its own, and for calls about memory no
 *   guest is at hand before hypapi_partition_leave();
 * - pointers to the hypapp's memory are read or written before the call returns and not kept.
 */
#ifndef HYPAPI_CALLS_H
#define HYPAPI_CALLS_H

#include <hypapi/event.h>

/** A call whose answer must be looked at: the compiler warns. @since 1.3 */
#define HYPAPI_CHECK __attribute__((warn_unused_result))

/* ---- Version ---- */

/**
 * Version of the core. Any CPU, any time.
 * @return major << 16 | minor
 * @since 1.0
 */
uint32_t hypapi_version(void);

/**
 * Features of the core. Any CPU, any time.
 * @return mask of enum hypapi_feature
 * @since 1.0
 */
uint32_t hypapi_features(void);

/* ---- Names, for hypapi_log() ---- */

/**
 * Name of an answer of a call. Any CPU, any time.
 * @param error  what a call answered
 * @return the name of the constant; "unknown" for what is no enum hypapi_error
 * @since 1.3
 */
const char *hypapi_error_name(int error);

/**
 * Name of an event, as the core's own lines have it. Any CPU, any time.
 * @param type  enum hypapi_event_type
 * @return "ept-violation", say; "unknown" for another number
 * @since 1.3
 */
const char *hypapi_event_name(uint32_t type);

/**
 * Name of a verdict, as the trace has it. Any CPU, any time.
 * @param verdict  enum hypapi_verdict
 * @return "handled", say; "unknown" for another number
 * @since 1.3
 */
const char *hypapi_verdict_name(uint32_t verdict);

/* ---- Quiesce ---- */

/**
 * Stops every other CPU, until the end of the event or hypapi_resume(). Use this when rights are taken away, or when a
 * check and the act that depends on it must not be separated.
 *
 * "Stopped" means that each CPU has acknowledged and sits at a safe point: it holds no lock, has no EPT walk half done,
 * or is parked. A CPU in L1, L2, a partition, HLT or wait-for-SIPI stops alike. Stops are counted: a call while stopped
 * costs nothing. If two CPUs ask at once, one of them serves the other's stop first. hypapi_may_stop() tells whether a
 * caller that nobody trusts may stop the CPUs now.
 *
 * @param ev  the event; `stopped` and `epoch` are updated in it
 * @return 0: stopped, and no other stop came between, so what the handler read in this event still holds;
 *         1: stopped, but another CPU's stop was served first: read and validate again;
 *         HYPAPI_EPERM: HYPAPI_CAP_QUIESCE was not declared
 * @since 1.0
 */
int hypapi_quiesce(struct hypapi_event *ev);

/**
 * May this event stop the other CPUs at once? Stops that L2 asks for, or L1 outside of its kernel (CPL 0), together may
 * take only a share of the machine's time (boot option `stop-share`). While that is used up the answer is 0, and a
 * handler of HYPERCALL, CPUID, EPT_VIOLATION, PORT_IO or MSR that has changed nothing yet answers HYPAPI_RETRY: the
 * guest executes its instruction again, with interrupts open, until its turn has come. The quiesce flag does that by
 * itself. A handler that calls hypapi_quiesce() without asking waits in it, for up to 10 ms, and the guest's interrupts
 * wait, too. In other events, and for the kernel of L1, the answer is always 1.
 *
 * @param ev  the event
 * @return 1: the next stop of this event begins without a wait; 0: not now; HYPAPI_EPERM: HYPAPI_CAP_QUIESCE was not
 *         declared
 * @since 1.3
 */
int hypapi_may_stop(struct hypapi_event *ev);

/**
 * Releases a stop before the event ends, when the count of hypapi_quiesce() calls is used up. The release carries the
 * flushes that changes of rights made necessary: each CPU performs them before it enters a guest.
 * @param ev  the event; `stopped` is updated in it
 * @return HYPAPI_OK; HYPAPI_ESTATE: this event holds no stop that it could release; HYPAPI_EPERM
 * @since 1.0
 */
int hypapi_resume(struct hypapi_event *ev);

/**
 * Stops those CPUs whose guest runs on one EPT, until the end of the event or hypapi_resume(), and no others. Use this
 * when one virtual machine is looked at, and the others shall go on. A CPU
 * that is about to begin to run on it waits. So nobody but this CPU uses that memory view; its memory may be reached
 * through other views all the same: L1 sees what its L2 has. Rights cannot be taken away under such a stop
 * (HYPAPI_ESTATE), which is for a consistent look at one virtual machine.
 *
 * A CPU in L1 runs on EPT01, and so does one in an L2 without EPT12; else L2 runs on EPT02; one in a partition or
 * parked runs on neither. Counted and released like a stop of all; hypapi_quiesce() inside of it stops the rest, too.
 *
 * @param ev   the event; `epoch` is updated in it, `stopped` is not
 * @param ept  ev->eptp01, or ev->eptp02: all CPUs whose L2 has the same EPT12, whatever its EPTP12 says of memory
 *             type and accessed and dirty flags
 * @return as hypapi_quiesce(); HYPAPI_ESTALE: the handle is of another callback, or none; HYPAPI_ESTATE: this event
 *         holds a stop of another EPT; in a stop of all: 0
 * @since 1.2
 */
int hypapi_quiesce_ept(struct hypapi_event *ev, hypapi_ept_t ept);

/* ---- Work on other CPUs, and outside of events ---- */

/**
 * Asks for HYPAPI_EV_WORK on some CPUs, each as soon as it is at a safe point: outside of any other event, before it
 * enters a guest. Use this when something has to be done on another CPU, or later, and nobody has to wait for it.
 * No CPU is stopped for it: the others are interrupted by one NMI each and go on. On this CPU it comes
 * after the event at hand. It is delivered to the calling hypapp alone, once for all calls that came before the
 * delivery. A stop that another CPU began first is served before: what this handler has read may be stale then.
 * @param ev    the event of this callback
 * @param cpus  mask: bit i for the CPU with index i
 * @param bits  not 0; what they mean is the hypapp's; ored with those that wait already
 * @return 0, or 1: posted, but another CPU's stop was served first; HYPAPI_EINVAL: no bit, or no such CPU;
 *         HYPAPI_ENOTSUP: no subscription to WORK; HYPAPI_EPERM: HYPAPI_CAP_WORK was not declared
 * @since 1.2
 */
int hypapi_post(struct hypapi_event *ev, uint64_t cpus, uint64_t bits);

/**
 * Storage of this hypapp for one CPU: `cpu_bytes` of its descriptor, zeroed at boot, aligned to a cache line, at the
 * same place for ever. The core does not guard it: a handler uses that of `ev->cpu` freely, that of others under a
 * stop.
 * @param ev   the event of this callback
 * @param cpu  index of a CPU that has had its CPU_INIT, or of this one
 * @return the storage; NULL: `cpu_bytes` is 0, or no such CPU
 * @since 1.2
 */
void *hypapi_cpu_storage(const struct hypapi_event *ev, uint32_t cpu);

/**
 * Name of a linked hypapp. Any CPU, any time.
 * @param number  its place in the chain, from 1
 * @return the name; NULL: there is no such number
 * @since 1.2
 */
const char *hypapi_hypapp_name(uint32_t number);

/** What hypapi_window() waits for. @since 1.2 */
enum hypapi_window_kind {
	HYPAPI_WINDOW_INTERRUPT = 1u << 0, /**< HYPAPI_EV_INTERRUPT_WINDOW */
	HYPAPI_WINDOW_NMI = 1u << 1,       /**< HYPAPI_EV_NMI_WINDOW */
};

/**
 * Asks for one INTERRUPT_WINDOW or NMI_WINDOW event on this CPU, the next time that the guest which runs now could take
 * an interrupt or an NMI. Forgotten when L1 and L2 change places before.
 * @param ev       the event of this callback
 * @param windows  mask of enum hypapi_window_kind; 0 takes the wish back
 * @return HYPAPI_OK; HYPAPI_EINVAL: another bit; HYPAPI_ENOTSUP: no guest is at hand, a partition runs, or there is no
 *         subscription to the event at this level; HYPAPI_EPERM: HYPAPI_CAP_INTERRUPTS was not declared
 * @since 1.2 (SDM volume 3, "Non-Register-State" and "Primary Processor-Based VM-Execution Controls")
 */
int hypapi_window(struct hypapi_event *ev, uint32_t windows);

/* ---- Registers at the event's level ---- */

/** Registers. The general ones have the numbers of the instruction encoding. @since 1.0 */
enum hypapi_reg {
	HYPAPI_REG_RAX, HYPAPI_REG_RCX, HYPAPI_REG_RDX, HYPAPI_REG_RBX,
	HYPAPI_REG_RSP, HYPAPI_REG_RBP, HYPAPI_REG_RSI, HYPAPI_REG_RDI,
	HYPAPI_REG_R8, HYPAPI_REG_R9, HYPAPI_REG_R10, HYPAPI_REG_R11,
	HYPAPI_REG_R12, HYPAPI_REG_R13, HYPAPI_REG_R14, HYPAPI_REG_R15,
	HYPAPI_REG_RIP, HYPAPI_REG_RFLAGS,
	HYPAPI_REG_CR0, HYPAPI_REG_CR3, HYPAPI_REG_CR4, HYPAPI_REG_EFER, /* read only, like all that follow */
	/* Since 1.2. PDPTEs are those in force, if the guest has PAE paging. */
	HYPAPI_REG_CS, HYPAPI_REG_FS_BASE, HYPAPI_REG_GS_BASE, HYPAPI_REG_TR_BASE,
	HYPAPI_REG_GDTR_BASE, HYPAPI_REG_GDTR_LIMIT, HYPAPI_REG_IDTR_BASE, HYPAPI_REG_IDTR_LIMIT,
	HYPAPI_REG_PDPTE0, HYPAPI_REG_PDPTE1, HYPAPI_REG_PDPTE2, HYPAPI_REG_PDPTE3,
	HYPAPI_REG_COUNT
};

/**
 * Reads a register of the code that caused the event: of the partition if one runs, else of L2's or L1's vCPU.
 * CR0 and CR4 are what the guest reads there.
 * @param ev   the event of this callback
 * @param reg  which one
 * @return the value; 0, and a line in the log, for a number out of range, where no guest is at hand, or without
 *         HYPAPI_CAP_REGISTERS: hypapi_reg_read() tells these apart
 * @since 1.0
 */
uint64_t hypapi_reg_get(const struct hypapi_event *ev, enum hypapi_reg reg);

/**
 * Reads a register as hypapi_reg_get() does, where the event may be one without a guest.
 * @param ev     the event of this callback
 * @param reg    which one
 * @param value  result, untouched after an error
 * @return HYPAPI_OK; HYPAPI_EINVAL: no such register; HYPAPI_ENOTSUP: no guest is at hand; but general registers other
 *         than RSP are there after an exit to L1, too; HYPAPI_EPERM
 * @since 1.3
 */
HYPAPI_CHECK
int hypapi_reg_read(const struct hypapi_event *ev, enum hypapi_reg reg, uint64_t *value);

/**
 * Writes a register of the same vCPU: a general one, RIP (canonical) or RFLAGS (reserved bits are kept).
 * RIP stands for the end of an instruction: blocking by STI or MOV SS ends, since 1.3; of other than 64-bit code it has
 * 32 bits. TF that is set ends such blocking, and HLT: the trap comes after the next instruction. IF stays as it is in
 * event INTERRUPT, while an interrupt is being delivered, and of a partition.
 * @param ev     the event of this callback
 * @param reg    which one
 * @param value  what it holds when the vCPU resumes
 * @return HYPAPI_OK; HYPAPI_EINVAL: not writable, or not canonical; HYPAPI_EPERM; HYPAPI_ENOTSUP as hypapi_reg_read()
 * @since 1.0
 */
int hypapi_reg_set(struct hypapi_event *ev, enum hypapi_reg reg, uint64_t value);

/**
 * Zeroes general registers of the same vCPU, as hypapi_reg_set() one by one would.
 * @param ev    the event of this callback
 * @param mask  bit i: the register with number i in enum hypapi_reg, 0 to 15 without RSP
 * @return HYPAPI_OK; HYPAPI_EINVAL: another bit is set; HYPAPI_EPERM; HYPAPI_ENOTSUP at level L0
 * @since 1.0
 */
int hypapi_regs_clear(struct hypapi_event *ev, uint32_t mask);

/**
 * Raises an exception in the vCPU of the event's level when it resumes; if L1 intercepts that exception of its L2,
 * L1 gets the exit, and no guest is at hand any more. No verdict counts now but HYPAPI_KILL: the vCPU resumes at the
 * current RIP with the exception, or L1 with its exit. A second call replaces the exception of the first.
 * @param ev          the event of this callback
 * @param vector      6 (#UD), 13 (#GP) or 14 (#PF)
 * @param error_code  as the SDM defines it for the vector, 16 bits; ignored for #UD
 * @param cr2         the address of a #PF
 * @return HYPAPI_OK; HYPAPI_EINVAL: another vector, an error code of more than 16 bits, or an event other than
 *         HYPERCALL, CPUID, EPT_VIOLATION, PARTITION_EXIT, PORT_IO and MSR; HYPAPI_EPERM, also for an entry of L1's
 *         MSR lists; HYPAPI_ESTATE while a partition runs or is about to, or L1 has got an exit in this event
 * @since 1.0 (SDM volume 3, "Event Injection")
 */
int hypapi_inject(struct hypapi_event *ev, uint32_t vector, uint32_t error_code, gva_t cr2);

/* ---- Guest memory ---- */

/** What a linear address leads to. @since 1.0 */
struct hypapi_page {
	hpa_t hpa;       /**< host-physical address of the byte */
	gpa1_t gpa1;     /**< L1-physical address of the byte */
	gpa2_t gpa2;     /**< L2-physical address of the byte, if the level is L2 */
	uint32_t rights; /**< enum hypapi_rights that the guest's page tables, EPT12 and EPT01 all allow at the caller's
	                      CPL */
};

/**
 * Translates a linear address of the caller: through its page tables, EPT12 (in L2) and EPT01. Never changes guest
 * memory (no accessed or dirty bit is set). Use this when the address is needed, for hypapi_memory_restrict() say; to
 * read or write memory use hypapi_copy_from() and hypapi_copy_to().
 * @param ev      the event of this callback
 * @param gva     linear address, any alignment
 * @param rights  enum hypapi_rights that must be allowed, at the caller's CPL
 * @param page    result; filled in for HYPAPI_OK, HYPAPI_EPERM and HYPAPI_ENOTMAPPED, untouched otherwise
 * @return HYPAPI_OK, also where the core's memory lies: L1 and L2 have a scratch page there;
 *         HYPAPI_EFAULT: the guest's page tables do not map it, or not with these rights;
 *         HYPAPI_ENOTSUP: no guest is at hand;
 *         HYPAPI_EPERM in one of these cases:
 *         - the page belongs to a partition: `page` tells which page it is, and its `rights` are 0;
 *         - a hypapp leaves the page fewer rights, or none: `page` tells these;
 *         - the capability was not declared: `page` is untouched;
 *         HYPAPI_ENOTMAPPED (1.3 descriptors, older ones get HYPAPI_EPERM): EPT12 does not map the address, or a page
 *         table on the way: `page` is all zero; or EPT12 leaves it fewer rights: `page` tells these
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_translate(const struct hypapi_event *ev, gva_t gva, uint32_t rights, struct hypapi_page *page);

/**
 * Copies from the caller's linear addresses, as its own loads would be allowed to.
 * Another CPU of the guest may change the memory meanwhile: copy once and check the copy.
 * @param ev         the event of this callback
 * @param dst        the hypapp's buffer, at least `len_bytes` long
 * @param src        linear address; may cross pages
 * @param len_bytes  0 to 1 MiB
 * @return as hypapi_translate(), but HYPAPI_EPERM for what is no RAM by the memory map of the boot: devices, reserved
 *         memory, the place of the core's memory; HYPAPI_EINVAL for a length out of range or an address that wraps.
 *         After an error the buffer's content is unspecified.
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_copy_from(const struct hypapi_event *ev, void *dst, gva_t src, size_t len_bytes);

/**
 * Copies to the caller's linear addresses, as its own stores would be allowed to; the whole range is checked before the
 * first byte is written. The pages' accessed and dirty bits are set, in the caller's page tables and in EPT12.
 * @param ev         the event of this callback
 * @param dst        linear address; may cross pages
 * @param src        the hypapp's buffer
 * @param len_bytes  0 to 1 MiB
 * @return as hypapi_copy_from()
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_copy_to(const struct hypapi_event *ev, gva_t dst, const void *src, size_t len_bytes);

/**
 * Makes the guest map what hypapi_translate() or a copy has missed: raises the fault that its own access there would,
 * and the guest executes its instruction again when it has seen to it. HYPAPI_EFAULT becomes a #PF, with the error code
 * of the access; HYPAPI_ENOTMAPPED the EPT violation by which L1 fills its EPT12 (a buffer that L2 has never touched,
 * or a page that L1 has swapped out), or the exit by which L1 empties its page-modification log. Then return with
 * nothing done: no verdict counts but HYPAPI_KILL, and the event comes again, from its beginning. What the guest's
 * kernel does not find there it treats as its program's wrong address.
 * @param ev      the event of this callback: HYPERCALL, CPUID, EPT_VIOLATION, PORT_IO or MSR
 * @param gva     linear address; one page a call
 * @param rights  enum hypapi_rights, not 0: what the hypapp wants to do there, at the caller's CPL
 * @return HYPAPI_OK: raised; 1: nothing to raise, the access is allowed by now; HYPAPI_EPERM: the page has another
 *         owner, whom no fault reaches, or the capability was not declared; HYPAPI_EINVAL: rights, or another event;
 *         HYPAPI_ENOTSUP: no guest is at hand
 * @since 1.3 (SDM volume 3, "EPT Violations", "Interrupt 14--Page-Fault Exception")
 */
HYPAPI_CHECK
int hypapi_page_in(struct hypapi_event *ev, gva_t gva, uint32_t rights);

/**
 * A number that stays the same as long as the level's memory is the same machine: EPT01 has one, each EPTP12 another.
 * An L2 without EPT12 has 0: its physical addresses are L1's, so none that its kernel names may be believed.
 * @param ev   the event of this callback
 * @param ept  ev->eptp01 or ev->eptp02
 * @param id   result
 * @return HYPAPI_OK; HYPAPI_ESTALE: the handle is of another callback, or none
 * @since 1.0
 */
int hypapi_ept_identity(const struct hypapi_event *ev, hypapi_ept_t ept, uint64_t *id);

/**
 * On which of its virtual CPUs L1's hypervisor runs this L2: a number that stays the same while L1 gives the machine
 * another EPTP12, and that no other virtual CPU has at the same time. It is the L1-physical address of the VMCS that is
 * current for L1; when L1 no longer needs that one, its address may become another virtual CPU's.
 * @param ev  the event of this callback
 * @param id  result; page-aligned
 * @return HYPAPI_OK; HYPAPI_ENOTSUP: the level is not L2, or the event is over
 * @since 1.3 (SDM volume 3, "Overview of Virtual Machine Control Structures")
 */
HYPAPI_CHECK
int hypapi_vcpu_identity(const struct hypapi_event *ev, uint64_t *id);

/* ---- Physical memory of L1 and L2 ---- */

/**
 * What an L2-physical address leads to, through EPT12 and EPT01, whether or not a linear address maps it.
 * @param ev      the event of this callback
 * @param gpa2    L2-physical address, any alignment
 * @param rights  enum hypapi_rights that EPT12 and EPT01 must both allow; of a partition's page, HYPAPI_W by EPT12
 * @param page    result as of hypapi_translate()
 * @return HYPAPI_OK; HYPAPI_EFAULT: EPT12 does not map it, or not with these rights; HYPAPI_EPERM as
 *         hypapi_translate(); HYPAPI_ENOTSUP: no L2 is at hand
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_translate_gpa2(const struct hypapi_event *ev, gpa2_t gpa2, uint32_t rights, struct hypapi_page *page);

/**
 * Copies from L1-physical memory that L1 owns, whatever rights a hypapp left it (see hypapi_memory_restrict()).
 * Another CPU of L1 may change the memory meanwhile.
 * @param ev         the event of this callback
 * @param dst        the hypapp's buffer, at least `len_bytes` long
 * @param src        L1-physical address; the range may cross pages
 * @param len_bytes  0 to 1 MiB
 * @return HYPAPI_OK; HYPAPI_EINVAL: length, or an address that wraps; HYPAPI_EPERM: a page of the range belongs to the
 *         core or to a partition, or is no RAM by the memory map of the boot (what lies before it may have been copied)
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_copy_from_gpa1(const struct hypapi_event *ev, void *dst, gpa1_t src, size_t len_bytes);
/**
 * The opposite direction of hypapi_copy_from_gpa1().
 * @param ev         the event of this callback
 * @param dst        L1-physical address; the range may cross pages
 * @param src        the hypapp's buffer
 * @param len_bytes  0 to 1 MiB
 * @return as hypapi_copy_from_gpa1(); HYPAPI_EPERM also where the core keeps something of a page: the ACPI tables that
 *         lead to the waking vectors, and these
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_copy_to_gpa1(const struct hypapi_event *ev, gpa1_t dst, const void *src, size_t len_bytes);

/**
 * Copies from L2-physical memory: EPT12 leads to L1's memory, which is read as by hypapi_copy_from_gpa1(), whatever
 * rights a hypapp left it. An L2 without EPT12 has L1's addresses.
 * @param ev         the event of this callback
 * @param dst        the hypapp's buffer, at least `len_bytes` long
 * @param src        L2-physical address; the range may cross pages
 * @param len_bytes  0 to 1 MiB
 * @return HYPAPI_OK; HYPAPI_EFAULT: EPT12 does not map a page of the range, or does not let L2 read it;
 *         HYPAPI_EINVAL and HYPAPI_EPERM as hypapi_copy_from_gpa1(); HYPAPI_ENOTSUP: no L2 is at hand. After an error
 *         what lies before it may have been copied
 * @since 1.3
 */
HYPAPI_CHECK
int hypapi_copy_from_gpa2(const struct hypapi_event *ev, void *dst, gpa2_t src, size_t len_bytes);
/**
 * The opposite direction of hypapi_copy_from_gpa2(). The accessed and dirty flags of EPT12 are set if L1 has them on.
 * @param ev         the event of this callback
 * @param dst        L2-physical address; the range may cross pages
 * @param src        the hypapp's buffer
 * @param len_bytes  0 to 1 MiB
 * @return HYPAPI_OK; HYPAPI_EFAULT: EPT12 does not map a page of the range, does not let L2 write it, or has no dirty
 *         flag for it yet while L1's page-modification log is full; HYPAPI_EINVAL and HYPAPI_EPERM as
 *         hypapi_copy_to_gpa1(); HYPAPI_ENOTSUP as hypapi_copy_from_gpa2(). After an error what lies before it may have
 *         been copied
 * @since 1.3
 */
HYPAPI_CHECK
int hypapi_copy_to_gpa2(const struct hypapi_event *ev, gpa2_t dst, const void *src, size_t len_bytes);

/**
 * Sets the most that L1, and L2 through EPT12, may do with pages of L1. Use this when the hypapp wants to see or to
 * forbid accesses, and the page stays L1's. An access beyond these rights raises HYPAPI_EV_EPT_VIOLATION for this
 * hypapp, with no partition as owner. All pages are checked before the first is changed. HYPAPI_RWX gives the pages
 * back.
 * The CPUs must be stopped if a right is taken away from any of the pages; rights may be granted at any time.
 * @param ev          the event of this callback
 * @param page        page-aligned L1-physical address; page_count pages from there
 * @param page_count  1 to 512
 * @param rights      0, or enum hypapi_rights ored, with HYPAPI_R among them; HYPAPI_X alone only where the CPU
 *                    has execute-only EPT entries
 * @return HYPAPI_OK; HYPAPI_EINVAL: not aligned, from 2^46 on, count, or rights; HYPAPI_ESTATE: would take rights away,
 *         and the CPUs are not stopped; HYPAPI_EPERM: a page belongs to the core, a partition or another hypapp, is the
 *         local APIC's, or lies above RAM and 4 GiB, or the core keeps something of it (see hypapi_copy_to_gpa1());
 *         HYPAPI_ENOMEM: no table page is free. INIT and CPU_INIT need no stop: no guest runs yet.
 *         HYPAPI_EDMA (since 1.3): done for L1 and L2, but devices may have the rights of before: an IOMMU does not
 *         answer, nor will it later
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_memory_restrict(struct hypapi_event *ev, gpa1_t page, size_t page_count, uint32_t rights);

/**
 * Takes pages of L1 from devices alone, or gives them back to these: L1 and L2 keep what they have. Use this for memory
 * that the CPU judges, and no device shall change behind its back. It stands beside hypapi_memory_restrict(): devices
 * have what both allow. Such a page cannot go to a partition. All pages are checked before the first is changed.
 * The CPUs must be stopped to take; INIT and CPU_INIT need no stop.
 * @param ev          the event of this callback
 * @param page        page-aligned L1-physical address; page_count pages from there
 * @param page_count  1 to 512
 * @param rights      0: no device reaches them; HYPAPI_RW: devices have what L1 has
 * @return HYPAPI_OK: transfers to a page that was taken have ended; HYPAPI_ENOTSUP: no DMA protection here (see
 *         HYPAPI_FEATURE_DMA); HYPAPI_EINVAL; HYPAPI_ESTATE: would take, and the CPUs are not stopped; HYPAPI_EPERM: no
 *         RAM, or not L1's, or another hypapp's; HYPAPI_ENOMEM: no table page is free; HYPAPI_EDMA: an IOMMU does not
 *         answer, so devices may have the rights of before
 * @since 1.3
 */
HYPAPI_CHECK
int hypapi_dma_restrict(struct hypapi_event *ev, gpa1_t page, size_t page_count, uint32_t rights);

/**
 * The most that L1 may do with a page.
 * @param ev      the event of this callback
 * @param page    L1-physical address of the page
 * @param rights  result: enum hypapi_rights; 0 for memory of the core, and for a partition's page, whatever reads see
 *                there
 * @return HYPAPI_OK; HYPAPI_EPERM without HYPAPI_CAP_MEMORY
 * @since 1.0
 */
int hypapi_memory_rights(const struct hypapi_event *ev, gpa1_t page, uint32_t *rights);

/**
 * Restricts the page of L1 to which EPT12 leads from a page of L2's, as hypapi_memory_restrict() does. Use it to guard
 * memory of an L2 that is known by its L2-physical address.
 *
 * What is guarded is the page of L1. It is guarded at each address that leads to it: L1's own, another L2-physical one
 * (an alias), another L2's. It is not guarded against L1's tables: if L1 lets EPT12 lead elsewhere later, L2 finds the
 * other page at its address, with all the rights that EPT12 gives, and `gpa1` stays restricted. The same holds where L1
 * has changed EPT12 before, but has not executed INVEPT yet: L2 may still reach the page that was there. EPT12 may give
 * L2 less rights than this call. Where one page serves several machines, all are restricted: hypapi_translate_gpa2()
 * with HYPAPI_W tells, under the same stop, whether this L2 may write it.
 *
 * The CPUs must be stopped, also for a grant. An L2 without EPT12 has L1's addresses.
 * @param ev      the event of this callback
 * @param page    page-aligned L2-physical address
 * @param rights  as of hypapi_memory_restrict()
 * @param gpa1    result: L1-physical address of the page. Keep it: an EPT_VIOLATION names it, and
 *                hypapi_memory_restrict() gives it back. Untouched after an error
 * @return HYPAPI_OK; HYPAPI_ENOTSUP: no L2 is at hand; HYPAPI_EINVAL: not aligned, or other rights; HYPAPI_ESTATE: the
 *         CPUs are not stopped; HYPAPI_EFAULT: EPT12 does not map the page; HYPAPI_EPERM, HYPAPI_ENOMEM and HYPAPI_EDMA
 *         as hypapi_memory_restrict(). `gpa1` is set with HYPAPI_EDMA, too
 * @since 1.3
 */
HYPAPI_CHECK
int hypapi_memory_restrict_gpa2(struct hypapi_event *ev, gpa2_t page, uint32_t rights, gpa1_t *gpa1);

/**
 * The most that L1 may do with the page to which EPT12 leads. Under a stop it stays true until the end of the stop.
 * What L2 itself may do is told by hypapi_translate_gpa2().
 * @param ev      the event of this callback
 * @param page    L2-physical address, any alignment
 * @param rights  result as of hypapi_memory_rights()
 * @param gpa1    result: L1-physical address of the same byte
 * @return HYPAPI_OK; HYPAPI_EFAULT: EPT12 does not map it; HYPAPI_ENOTSUP as hypapi_memory_restrict_gpa2();
 *         HYPAPI_EPERM without HYPAPI_CAP_MEMORY. Results are untouched after an error
 * @since 1.3
 */
int hypapi_memory_rights_gpa2(const struct hypapi_event *ev, gpa2_t page, uint32_t *rights, gpa1_t *gpa1);

/* ---- Secondary partitions ---- */

/**
 * May be added to the rights of a page: the caller must be allowed to write it now, though the partition may not. Pages
 * that the caller shares with others who trust their content (of the page cache, merged, for copy on write) are refused
 * so: HYPAPI_EFAULT where its page tables forbid the write, HYPAPI_EPERM where EPT12 or EPT01 does.
 * @since 1.3
 */
#define HYPAPI_CALLER_WRITES (1u << 3)

/**
 * May be added to the rights of one page, the last counts: the page by which hypapi_partition_at_home() knows the
 * caller's address space.
 * @since 1.3
 */
#define HYPAPI_HOME (1u << 4)

/**
 * May be added to the rights of a page: it is the page `frame` of the caller's physical memory, wherever its page
 * tables lead. They are not looked at, so this is for requests of the caller's kernel. What EPT12 and EPT01 allow
 * counts.
 * @since 1.3
 */
#define HYPAPI_FRAME (1u << 5)

/** A page to put into a partition. @since 1.0 */
struct hypapi_partition_page {
	gva_t gva;       /**< page-aligned linear address, both in the caller and in the partition; below 2^47 */
	uint32_t rights; /**< what the partition may do: HYPAPI_R, HYPAPI_RW or HYPAPI_RX; the caller must be allowed
	                      the same; HYPAPI_CALLER_WRITES, HYPAPI_HOME and HYPAPI_FRAME or not */
	uint32_t frame;  /**< with HYPAPI_FRAME: L1- or L2-physical address, by the event's level, divided by the page
	                      size; else not read. @since 1.3 */
};

/**
 * How many partitions there may be at a time, of all hypapps together: the boot option `partitions`, or by the amount
 * of RAM. Any CPU, any time.
 * @return 1 to 4096
 * @since 1.3
 */
uint32_t hypapi_partition_limit(void);

/**
 * Creates a partition from pages of the caller. Use this when code and data have to be out of reach of L1 and L2.
 * The pages leave L1 and L2 and form the partition's memory. Writes and fetches there raise HYPAPI_EV_EPT_VIOLATION
 * for the owner. Reads there see zeros. Where the partition may execute they see INT3 (0xCC) instead (since 1.3), so
 * that a copy of the code traps; the last 64 bytes of each such page are INT3 or INT1 (0xF1), in a pattern that no
 * other partition has. All pages are checked before the first is taken.
 * The CPUs must be stopped: rights are taken away.
 * @param ev          the event of this callback
 * @param pages       array of `page_count`, each linear page at most once
 * @param page_count  1 to 256
 * @param partition   result
 * @return HYPAPI_OK; HYPAPI_ESTATE: not stopped; HYPAPI_EINVAL: unaligned, twice, count or rights out of range;
 *         HYPAPI_EFAULT, HYPAPI_EPERM as hypapi_translate(), but what EPT12 does not map is HYPAPI_EPERM, too; for a
 *         frame HYPAPI_EPERM only; HYPAPI_ENOTSUP: no guest is at hand; HYPAPI_ENOMEM: no partition or table page is
 *         free; HYPAPI_EDMA (since 1.3): an IOMMU does not answer, and the pages are L1's as before
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_partition_create(struct hypapi_event *ev, const struct hypapi_partition_page *pages, size_t page_count,
			    hypapi_partition_t *partition);

/**
 * Whether the caller is in the address space from which the partition was made, or one that shares its home page: the
 * page is mapped at its linear address, and the caller may read it there, as far as its page tables say; and EPT12 lets
 * L2 write it, which L1 does not allow where it merged the page with those of others. Not CR3
 * and not EPTP12 are compared, which operating systems and hypervisors change for one address space. Cheaper than
 * hypapi_translate().
 * @param ev         the event of this callback
 * @param partition  one of this hypapp's own
 * @return HYPAPI_OK; HYPAPI_EFAULT: it is not there, or no page was made HYPAPI_HOME; HYPAPI_ESTALE;
 *         HYPAPI_ENOTSUP: no guest is at hand
 * @since 1.3
 */
HYPAPI_CHECK
int hypapi_partition_at_home(const struct hypapi_event *ev, hypapi_partition_t partition);

/**
 * Destroys a partition and gives its pages back to L1. Pages that the partition could write are zeroed first.
 * Stops the other CPUs for its own time if they are not stopped: they may hold translations to what reads as zeros. No
 * CPU may run the partition.
 * @param ev         the event of this callback
 * @param partition  one of this hypapp's own
 * @return HYPAPI_OK; HYPAPI_ESTALE; HYPAPI_EBUSY: it runs on some CPU
 * @since 1.0
 */
int hypapi_partition_destroy(struct hypapi_event *ev, hypapi_partition_t partition);

/**
 * Gives a partition FPU and SIMD registers of its own: x87, SSE, AVX and AVX-512, as far as the CPU has them, as after
 * a reset. What it leaves in them it finds at its next entry, and nobody else does. Without this call an FPU or SIMD
 * instruction is #UD there. Each entry and each exit to the caller then exchanges these registers (about 1,000 ticks
 * in all), and the caller's are whole afterwards. An exception of the FPU is the owner's to answer, as any other.
 * The CPUs must be stopped.
 * @param ev         the event of this callback
 * @param partition  one of this hypapp's own, which does not run. If it has the registers already, they stay as they
 *                   are
 * @return HYPAPI_OK; HYPAPI_EPERM; HYPAPI_ESTALE; HYPAPI_ESTATE: not stopped; HYPAPI_EBUSY: it runs on some CPU;
 *         HYPAPI_ENOTSUP: the CPU has no XSAVE; HYPAPI_ENOMEM: no page is free
 * @since 1.3
 */
int hypapi_partition_add_fpu(struct hypapi_event *ev, hypapi_partition_t partition);

/**
 * Adds zeroed memory of the core's own to a partition. It is nobody else's, and ends with the partition.
 * hypapi_partition_write() fills it, whatever the rights are. There is little of it, so a hypapp sets limits to those
 * that it gives it to. No CPU is stopped.
 * @param ev          the event of this callback
 * @param partition   one of this hypapp's own
 * @param pages       linear addresses of pages in the partition: page-aligned, below 2^47, none twice
 * @param page_count  1 to 256, together with those that the partition has
 * @param rights      what the partition may: HYPAPI_R, HYPAPI_RW or HYPAPI_RX
 * @return HYPAPI_OK; HYPAPI_EPERM; HYPAPI_ESTALE; HYPAPI_EINVAL: not aligned, too high, twice, there already, count,
 *         rights; HYPAPI_EBUSY: it runs on some CPU; HYPAPI_ENOMEM: no memory, or more than 256 pages in all. After an
 *         error nothing has been added
 * @since 1.3
 */
int hypapi_partition_add_memory(struct hypapi_event *ev, hypapi_partition_t partition, const gva_t *pages,
				size_t page_count, uint32_t rights);

/**
 * Reads memory of a partition by its own linear addresses, whatever its rights are.
 * @param ev         the event of this callback
 * @param partition  one of this hypapp's own
 * @param dst        the hypapp's buffer, at least `len_bytes` long
 * @param src        linear address in the partition
 * @param len_bytes  0 to 1 MiB; the range must lie in pages of the partition
 * @return HYPAPI_OK; HYPAPI_ESTALE; HYPAPI_EFAULT: outside its pages (nothing was copied)
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_partition_read(const struct hypapi_event *ev, hypapi_partition_t partition, void *dst, gva_t src,
			  size_t len_bytes);
/**
 * The opposite direction of hypapi_partition_read(). What is written to a page of L1's that the partition cannot write
 * is L1's to read when the partition ends: hypapi_partition_destroy() does not zero such a page.
 * @param ev         the event of this callback
 * @param partition  one of this hypapp's own
 * @param dst        linear address in the partition
 * @param src        the hypapp's buffer
 * @param len_bytes  0 to 1 MiB; the range must lie in pages of the partition
 * @return as hypapi_partition_read()
 * @since 1.0
 */
int hypapi_partition_write(const struct hypapi_event *ev, hypapi_partition_t partition, gva_t dst, const void *src,
			   size_t len_bytes);

/**
 * How a partition starts: CPL 3, flat segments, maskable interrupts off, registers as given, the rest zero. All that a
 * partition can do to a segment is to load the null selector into DS, ES, FS or GS. From 1.3 on it may find that again.
 * @since 1.0
 */
struct hypapi_partition_entry {
	uint64_t gpr[16]; /**< numbered as enum hypapi_reg; [HYPAPI_REG_RSP] is the stack pointer */
	uint64_t rip;     /**< linear address */
	bool long_mode;   /**< 64-bit code; else 32-bit code in compatibility mode */
};

/**
 * Enters a partition when the callback returns HYPAPI_HANDLED; after another verdict it is free again (before 1.3 it
 * stayed busy for ever). The caller's registers are kept by the core; its
 * FPU and SIMD state is not reachable (see hypapi_partition_add_fpu()), and nothing of VMCS01, VMCS02 or VMCS12 is in
 * force meanwhile.
 * Maskable interrupts stay pending.
 * @param ev         the event of this callback
 * @param partition  one of this hypapp's own
 * @param entry      how it starts; copied
 * @return HYPAPI_OK; HYPAPI_ESTALE; HYPAPI_EBUSY: another CPU runs it; HYPAPI_ESTATE: a partition runs here or is about
 *         to, hypapi_inject() or hypapi_page_in() was called in this event, or it is none of HYPERCALL, CPUID,
 *         EPT_VIOLATION and PARTITION_EXIT; HYPAPI_EINVAL: `rip` is not below 2^47, of 32-bit code not below 2^32;
 *         HYPAPI_EPERM
 * @since 1.0
 */
HYPAPI_CHECK
int hypapi_partition_enter(struct hypapi_event *ev, hypapi_partition_t partition,
			   const struct hypapi_partition_entry *entry);

/**
 * Leaves the partition that runs on this CPU: from now on the registers of the event are the caller's again, as they
 * were at hypapi_partition_enter(), and the callback's HYPAPI_HANDLED resumes the caller.
 * @param ev  the event; `partition`, `cpl` and `long_mode` are updated in it
 * @return HYPAPI_OK; HYPAPI_ESTATE: none runs
 * @since 1.0
 */
int hypapi_partition_leave(struct hypapi_event *ev);

/* ---- Boot options, log, random numbers ---- */

/**
 * Value of a boot option `NAME=VALUE`.
 * @param name  for a hypapp by custom "hypapp.option"
 * @return the value up to the next space, NUL-terminated, valid for ever; "" for an option without a value; NULL if
 *         absent
 * @since 1.0
 */
const char *hypapi_option(const char *name);

/**
 * What L2 adds to a hypercall number in EAX (`configure --with-l2-hypercall-base`). Any CPU, any time.
 * @return a multiple of 0x1000
 * @since 1.0
 */
uint32_t hypapi_l2_hypercall_base(void);

/**
 * Which image this is: core and hypapps. Any CPU, any time.
 * @param hash  result: SHA-256 of the image's file, with its own 32 bytes as zeros (`image-hash --print` prints it);
 *              zeros, if whoever linked the image did not write it
 * @since 1.3
 */
void hypapi_image_hash(uint8_t hash[32]);

/**
 * Random bytes for keys, from RDSEED and RDRAND, each tested as its words come (NIST SP 800-90B, section 4.4). Any CPU,
 * any time.
 * @param dst        the hypapp's buffer, at least `len_bytes` long; zeroed after an error
 * @param len_bytes  1 to 256
 * @return HYPAPI_OK; HYPAPI_EINVAL: length; HYPAPI_ENOTSUP: the CPU has neither instruction; HYPAPI_EBUSY: none has a
 *         number now, try again later; HYPAPI_ERANDOM: one has failed a test, and so will all later calls
 * @since 1.3 (SDM volume 1, "Random Number Generator Instructions")
 */
HYPAPI_CHECK
int hypapi_random(void *dst, size_t len_bytes);

/**
 * Writes one line to the serial log, at level info. The newline is added. Since guests cause such lines, a hypapp has
 * 256 of them at once and then 16 a second; the next line that comes says how many were left out.
 * @param format  as printf: d u x lx p s c, widths and zero padding; no floating point
 * @since 1.0
 */
void hypapi_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
