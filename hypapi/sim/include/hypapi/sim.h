/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * The simulator of hypapi: a hypapp runs on the core's own code in an ordinary Linux program.
 *
 * A CPU is a thread, and physical memory is memory of the process, behind the core's EPT01, EPT02 and partitions' EPTs,
 * which are walked in software; translations stay in a TLB for each CPU until the core flushes them. The test plays the
 * guests: C functions that execute instructions by the calls below. See docs/simulator.md.
 *
 * Unless a call says otherwise it is *guest code*: it may be made by a function that sim_start() runs, on its CPU, and
 * means an instruction of the level that runs there: L1, L2 (in the code of sim_l2_run()) or a partition (in the code
 * of sim_partition_code()). An instruction answers 0, or the vector of the exception that the guest got for it (6: #UD,
 * 13: #GP, 14: #PF). What the simulator finds wrong ends the process with exit status SIM_FAULT_STATUS and one line
 * "sim: FAULT: ..." on standard error; sim_isolated() makes that a result.
 *
 * Other calls are the *test's*: by the thread that called sim_boot(), and no other.
 */
#ifndef HYPAPI_SIM_H
#define HYPAPI_SIM_H

#include <hypapi/control.h>
#include <hypapi/hypapi.h>

#define SIM_FAULT_STATUS 97  /**< exit status after a fault that the simulator found. @since 1.2 */
#define SIM_RESET_STATUS 98  /**< exit status after a reset of the machine. @since 1.2 */
#define SIM_FAULT_BYTES 512  /**< room for the text of a fault. @since 1.2 */
#define SIM_PM1_PORT 0x604u  /**< ACPI's PM1a control register: SLP_EN is bit 13, SLP_TYP 12:10. @since 1.2 */
#define SIM_POWER_OFF 5u     /**< its SLP_TYP for power-off; the machine goes on all the same. @since 1.2 */
#define SIM_NOT_A_CALL (-1)  /**< sim_call(): the page is an ordinary one. @since 1.2 */

/* ---- The machine ---- */

/** The machine to build. Zeroed members have the default. @since 1.2 */
struct sim_options {
	uint32_t cpus;         /**< 1 to 16; default 2 */
	uint32_t memory_mib;   /**< RAM in MiB, 64 to 2048; the core takes the upper 32 MiB of it; default 128 */
	const char *options;   /**< the core's boot options, as in docs/options.md; default none. stop-share is 100
	                            here */
	bool collide;          /**< stops meet: a CPU that asks for one waits until another one asks, too, or none else
	                            has code to run. So hypapi_quiesce() answers 1 as often as can be */
	bool log;              /**< the core's log on standard error; errors and warnings are there always */
	void (*on_reset)(void); /**< called on the CPU that resets the machine, others stopped: to look at sim_ram() */
	uint32_t seconds;      /**< after this time the run is a fault (a deadlock); default 20. CPU time of the
	                            process; where all CPUs sleep, 30 times as much of the host's clock */
	bool no_xsave;         /**< the CPUs have no XSAVE. @since 1.3 */
};

/**
 * The test's. Builds the machine and boots the core with these hypapps: INIT, then CPU_INIT on each CPU. L1 then runs
 * in 64-bit mode at CPL 0, with interrupts enabled, all of the low 4 GiB mapped at its own address, on every CPU. A
 * conflict of hypapps is a fault with the core's own line. Once in a process: see sim_isolated().
 * @param hypapps  descriptors, NULL at the end
 * @param options  NULL: all defaults; copied
 * @since 1.2
 */
void sim_boot(const struct hypapp_descriptor *const *hypapps, const struct sim_options *options);

/** Guest code. @param arg  as given to sim_start() @since 1.2 */
typedef void sim_code(void *arg);

/**
 * The test's. Lets a CPU run guest code, in L1; it must be idle.
 * @param cpu   index, below the number of CPUs
 * @param code  returns when the CPU is idle again
 * @param arg   for `code`
 * @since 1.2
 */
void sim_start(uint32_t cpu, sim_code *code, void *arg);
/** The test's. Waits until all CPUs are idle. @since 1.2 */
void sim_wait(void);
/** The test's. sim_start() and sim_wait(). @param cpu  index @param code  guest code @param arg  for it @since 1.2 */
void sim_run(uint32_t cpu, sim_code *code, void *arg);
/** The test's. sim_start() on all CPUs, and sim_wait(). @param code  guest code @param arg  for it @since 1.2 */
void sim_run_all(sim_code *code, void *arg);

/** Index of this CPU. @return 0 to cpus - 1 @since 1.2 */
uint32_t sim_cpu_index(void);

/**
 * Any thread. RAM of L1 for the test's use, zeroed, page-aligned, never given back.
 * @param bytes  rounded up to pages
 * @return L1-physical address, which is the linear address in L1, too; a fault if there is no more
 * @since 1.2
 */
gpa1_t sim_memory(size_t bytes);

/**
 * Any thread. What the memory chips hold, past every EPT.
 * @param hpa  host-physical address below 4 GiB
 * @return pointer; good to the end of its page
 * @since 1.2
 */
void *sim_ram(hpa_t hpa);

/**
 * Any thread. Whether a device reaches L1-physical memory by DMA. Devices remember what they found until the core has
 * them flushed, as an IOMMU may. If not, a CPU raises HYPAPI_EV_DMA_FAULT when it has other work at a safe point.
 * @param gpa1    below 4 GiB
 * @param rights  HYPAPI_R, HYPAPI_W, or both
 * @return whether the device has them all
 * @since 1.3
 */
bool sim_device(gpa1_t gpa1, uint32_t rights);
#define SIM_DEVICE 0x1a2u /**< The bus (1), device (20) and function (2) of that device. @since 1.3 */

/** What the core finds of an IOMMU. @since 1.3 */
enum sim_iommu {
	SIM_IOMMU_ON = 0, /**< it does what it is told, as from the start */
	SIM_IOMMU_SILENT, /**< it does not answer when it shall flush */
	SIM_IOMMU_NONE,   /**< there is none: devices reach all memory */
};

/**
 * While nothing runs, or in a callback under a stop. Another IOMMU; what devices have lost stays lost.
 * @param iommu  which
 * @since 1.3
 */
void sim_set_iommu(enum sim_iommu iommu);

/**
 * While nothing runs.
 * @return how often the core has had devices flushed
 * @since 1.3
 */
uint64_t sim_device_flushes(void);

/** Ends the process by a fault: a finding of the test's own. Any thread. @param format  of the text @since 1.2 */
_Noreturn void sim_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** Guest code's assertion; those of a test framework belong into the test's thread. @since 1.2 */
#define sim_assert(condition) \
	((condition) ? (void)0 : sim_fault("%s:%d: false: %s", __FILE__, __LINE__, #condition))
/** The same for two integers: the fault shows their values. @since 1.3 */
#define sim_assert_equal(a, b) sim_compare((uint64_t)(a), (uint64_t)(b), __FILE__, __LINE__, #a, #b)
/** @cond */
static inline void sim_compare(uint64_t a, uint64_t b, const char *file, int line, const char *text_a,
			       const char *text_b)
{
	if (a != b)
		sim_fault("%s:%d: %s is %ld (0x%lx), and %s is %ld (0x%lx)", file, line, text_a, (long)a,
			  (unsigned long)a, text_b, (long)b, (unsigned long)b);
}
/** @endcond */

/**
 * Runs a function in a process of its own, so that each test has a new machine, and a fault or a deadlock is a result.
 * The test's, before sim_boot().
 * @param run    its answer is the exit status of that process
 * @param arg    for `run`
 * @param fault  becomes the text of the fault, or empty
 * @return the exit status; 128 + signal if a signal ended it
 * @since 1.2
 */
int sim_isolated(int (*run)(void *arg), void *arg, char fault[SIM_FAULT_BYTES]);

/* ---- Registers of the guest that runs on this CPU ---- */

/** @param reg  any that hypapi_reg_get() knows @return its value @since 1.2 */
uint64_t sim_get(enum hypapi_reg reg);
/**
 * @param reg  a general one, RIP, RFLAGS, CR3, CR0 or CR4; what MOV to a control register drops of the TLB,
 *             this drops (CR3: bit 63 and PCIDs with CR4.PCIDE)
 * @param value  new
 * @since 1.2
 */
void sim_set(enum hypapi_reg reg, uint64_t value);
/** The mode that the guest goes on in. @param long_mode  64-bit code; else 32-bit code @param cpl  0 or 3 @since 1.2 */
void sim_set_mode(bool long_mode, uint32_t cpl);

/** The exception that an instruction was answered by. @since 1.2 */
struct sim_exception {
	int vector;          /**< 0: none */
	uint32_t error_code; /**< if the vector has one */
	uint64_t cr2;        /**< of a #PF: linear address */
};
/** The newest exception of the guest on this CPU. @return it, vector 0 if there was none @since 1.2 */
struct sim_exception sim_exception(void);

/* ---- Instructions ---- */

/** VMCALL with the registers as they are. @return 0 or a vector @since 1.2 */
int sim_vmcall(void);
/**
 * VMCALL of a hypapp's hypercall: EAX is the number, plus the base in L2.
 * @param number  as claimed
 * @return 0 or a vector; the hypapp's answer is in the registers
 * @since 1.2
 */
int sim_hypercall(uint32_t number);
/** CPUID. @param leaf  EAX @param subleaf  ECX @return 0 or a vector @since 1.2 */
int sim_cpuid(uint32_t leaf, uint32_t subleaf);
/**
 * IN, OUT. A port that nobody claims reads as ones.
 * @param port  number
 * @param size  1, 2 or 4 bytes
 * @param value  result of IN
 * @return 0 or a vector
 * @since 1.2
 */
int sim_in(uint16_t port, uint32_t size, uint32_t *value);
/** @param port  number @param size  1, 2 or 4 bytes @param value  for OUT @return 0 or a vector @since 1.2 */
int sim_out(uint16_t port, uint32_t size, uint32_t value);
/** @param msr  number @param value  result @return 0 or a vector @since 1.2 */
int sim_rdmsr(uint32_t msr, uint64_t *value);
/** @param msr  number @param value  for WRMSR @return 0 or a vector @since 1.2 */
int sim_wrmsr(uint32_t msr, uint64_t value);

/** Loads. @param gva  linear address @param dst  buffer @param len_bytes  any @return 0 or a vector @since 1.2 */
int sim_read(gva_t gva, void *dst, size_t len_bytes);
/** Stores. @param gva  linear address @param src  buffer @param len_bytes  any @return 0 or a vector @since 1.2 */
int sim_write(gva_t gva, const void *src, size_t len_bytes);
/** A load of eight bytes; an exception is a fault. @param gva  linear address @return what is there @since 1.2 */
uint64_t sim_read64(gva_t gva);
/**
 * A store of eight bytes; an exception is a fault.
 * @param gva  linear address
 * @param value  what to store
 * @since 1.2
 */
void sim_write64(gva_t gva, uint64_t value);

/**
 * CALL of a linear address: the return address goes to the stack, and the first byte is fetched. If a hypapp makes a
 * partition of it, that runs, and the call returns when its owner lets the guest go on at the return address.
 * @param target  linear address
 * @return 0: it has returned, see the registers; a vector; SIM_NOT_A_CALL: it is an ordinary page, where no code is
 * @since 1.2
 */
int sim_call(gva_t target);

/**
 * VMOVDQU and VLDMXCSR: loads YMM0 and MXCSR, which stand here for all FPU and SIMD registers of this CPU. Needs
 * CR4.OSXSAVE, and AVX in XCR0 (XSETBV: sim_exit(55, 0)).
 * @param value  four quadwords of YMM0, the lowest first
 * @param mxcsr  new
 * @return 0 or a vector
 * @since 1.3
 */
int sim_simd_load(const uint64_t value[4], uint32_t mxcsr);
/** The other direction. @param value  result @param mxcsr  result @return 0 or a vector @since 1.3 */
int sim_simd_store(uint64_t value[4], uint32_t *mxcsr);

/** INVLPG. @param gva  linear address @since 1.2 */
void sim_invlpg(gva_t gva);

/** PAUSE: nothing but the moment at which an NMI arrives. Waiting loops of guest code need it. @since 1.2 */
void sim_pause(void);
/**
 * An exit of any other reason.
 * @param reason  of the SDM
 * @param qualification  of it
 * @return 0 or a vector
 * @since 1.2
 */
int sim_exit(uint32_t reason, uint64_t qualification);

/**
 * An external interrupt arrives at this CPU, whose guest has them enabled.
 * @param vector  of the local APIC
 * @since 1.2
 */
void sim_interrupt(uint8_t vector);
/** External interrupts that the guest on this CPU has got. @return count since boot @since 1.2 */
uint64_t sim_interrupts(void);

/**
 * L1's code after a SIPI has started this CPU anew, in real mode without paging (its general registers then show it,
 * and CR0): it comes to the state in which sim_boot() leaves a CPU.
 * @since 1.2
 */
void sim_start_again(void);

/** Any thread. Sends an NMI, as a device or another CPU of the guest would. @param cpu  index @since 1.2 */
void sim_send_nmi(uint32_t cpu);
/** NMIs that the guest on this CPU has got. @return count since boot @since 1.2 */
uint64_t sim_nmis(void);

/**
 * In a handler of a hypapp: an instruction that faults. With the boot option hypapp-fault=drop a droppable hypapp is
 * left, as on the machine, if it is in the state for that; else the run ends with one line that says why not.
 * @since 1.3
 */
void sim_crash(void);

/* ---- Partitions ---- */

/**
 * Any thread, while no partition runs. The code of all partitions: called when a CPU enters one, with its registers.
 * When it returns, the partition executes RET. RIP tells which it is.
 * @param code  instructions in it are the partition's
 * @param arg   for `code`
 * @since 1.2
 */
void sim_partition_code(sim_code *code, void *arg);

/* ---- L1 as a hypervisor ---- */

/** An L2: its memory, with an EPT12 of L1's that maps it. May run on several CPUs at once. @since 1.2 */
struct sim_l2;

/**
 * Any thread. Makes an L2 whose memory is a block of L1's, mapped by 4 KiB pages from L2-physical address 0. It has
 * page tables that map its memory at the same linear addresses; they and its stacks lie in the upper 128 KiB.
 * @param bytes  a multiple of 4 KiB, 256 KiB to 64 MiB
 * @return never NULL
 * @since 1.2
 */
struct sim_l2 *sim_l2_create(size_t bytes);
/**
 * Any thread. Where an L2-physical address lies.
 * @param l2  an L2
 * @param gpa2  below its size
 * @return L1-physical
 * @since 1.2
 */
gpa1_t sim_l2_memory(const struct sim_l2 *l2, gpa2_t gpa2);
/**
 * L1's store to its EPT12; nothing is invalidated.
 * @param l2      an L2
 * @param gpa2    page, below its size
 * @param gpa1    page that it leads to
 * @param rights  enum hypapi_rights; 0: not present
 * @since 1.2
 */
void sim_l2_map(struct sim_l2 *l2, gpa2_t gpa2, gpa1_t gpa1, uint32_t rights);
/** L1 executes INVEPT, single-context, for this L2. @param l2  an L2 @since 1.2 */
void sim_l2_invept(struct sim_l2 *l2);

/**
 * L1 executes INVEPT.
 * @param type  of the SDM: 1 single-context, 2 all
 * @param eptp12  for type 1
 * @since 1.2
 */
void sim_invept(uint32_t type, uint64_t eptp12);
/**
 * L1 executes INVVPID.
 * @param type  of the SDM: 0 one address, 1 single-context, 2 all, 3 single-context without globals
 * @param vpid12  not 0, but for type 2
 * @param gva  for type 0
 * @since 1.2
 */
void sim_invvpid(uint32_t type, uint16_t vpid12, gva_t gva);
/**
 * L1, outside of L2's code: VMREAD of an L2's VMCS of this CPU, which is made at first.
 * @param l2     an L2
 * @param field  encoding
 * @return its value
 * @since 1.2
 */
uint64_t sim_l2_vmread(struct sim_l2 *l2, uint32_t field);
/**
 * L1, outside of L2's code: VMWRITE, likewise.
 * @param l2     an L2
 * @param field  encoding
 * @param value  new
 * @since 1.2
 */
void sim_l2_vmwrite(struct sim_l2 *l2, uint32_t field, uint64_t value);

/** An exit of L2 that L1 sees. @since 1.2 */
struct sim_l2_exit {
	uint32_t reason;        /**< of the SDM */
	uint64_t qualification; /**< of it */
	uint64_t gpa2;          /**< of an EPT violation */
	uint64_t *gpr;          /**< L2's general registers, by enum hypapi_reg; L1 may change them */
	uint32_t insn_len;      /**< of the instruction, bytes */
};
/**
 * L1's answer to an exit of L2; L1's code, on the CPU that exited. Who answers an instruction, CPUID say, calls
 * sim_l2_skip() as well, and who answers an EPT violation sim_l2_map(): else L2 exits there again.
 * @return true: VMRESUME; false: L2's code ends here
 * @since 1.2
 */
typedef bool sim_l2_handler(struct sim_l2 *l2, const struct sim_l2_exit *exit, void *arg);

/**
 * Enters an L2 on this CPU, by VMLAUNCH or VMRESUME, and leaves it by HLT when its code returns. In 64-bit mode, CPL 0.
 * @param l2       an L2; not on this CPU already
 * @param code     L2's
 * @param arg      for `code` and `handler`
 * @param handler  L1's; NULL: every exit ends L2's code
 * @return reason of the exit that ended it: 12 (HLT) if the code returned; bit 31 is set if the entry itself failed
 * @since 1.2
 */
uint32_t sim_l2_run(struct sim_l2 *l2, sim_code *code, void *arg, sim_l2_handler *handler);
/** L1, in its handler: L2 goes on behind the instruction that exited. @param exit  the exit @since 1.2 */
void sim_l2_skip(const struct sim_l2_exit *exit);

/* ---- What happened ---- */

/**
 * The test's, while all CPUs are idle, with the boot option trace=on: the deliveries to hypapps on a CPU, oldest first.
 * @param cpu      index
 * @param entries  result
 * @param max      room in it, entries
 * @return how many there are, at most `max`
 * @since 1.2
 */
size_t sim_trace(uint32_t cpu, struct hypapi_trace_entry *entries, size_t max);

#endif
