/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * The core's own hypercalls, by which L1 reads statistics and the event trace; xmhfctl uses them. Not for hypapps.
 *
 * They exist only under the boot option control=on or control=values (else the VMCALL is invalid), for 64-bit code of
 * L1 at any privilege level. VMCALL with EAX: enum hypapi_control; RBX: linear address of a buffer; RCX: its size in
 * bytes; RDX: index of the record wanted. RAX answers 1: the buffer holds the record; 0: there is no record of that
 * index; or a negative enum hypapi_error. A record is cut to the size of the buffer, for minor versions append to it.
 * No other register changes.
 */
#ifndef HYPAPI_CONTROL_H
#define HYPAPI_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#define HYPAPI_CONTROL_FIRST 0xf00u /**< First hypercall number that no hypapp can claim. @since 1.0 */
#define HYPAPI_CONTROL_LAST 0xf0fu  /**< Last hypercall number that no hypapp can claim. @since 1.0 */

/** What to read, and what the index means. @since 1.0 */
enum hypapi_control {
	HYPAPI_CONTROL_VERSION = HYPAPI_CONTROL_FIRST, /**< struct hypapi_control_version; 0 */
	HYPAPI_CONTROL_HYPAPP, /**< struct hypapi_control_hypapp; place in the chain, from 0 */
	HYPAPI_CONTROL_EVENT,  /**< struct hypapi_control_name of an event; enum hypapi_event_type */
	HYPAPI_CONTROL_STAT,   /**< struct hypapi_control_stat; counts up from 0, most have a count of 0 */
	HYPAPI_CONTROL_TRACE,  /**< struct hypapi_trace_entry; CPU << 32 | place in its ring, from 0, in no order */
	HYPAPI_CONTROL_LOG,    /**< struct hypapi_control_log; HYPAPI_LOG_BEFORE or 0 | CPU << 32 | place in its ring,
	                            from 0, in no order. @since 1.3 */
};

#define HYPAPI_LOG_BEFORE (1ull << 63) /**< the boot before, if RAM has kept its rings. @since 1.3 */
#define HYPAPI_LOG_LINES 128u          /**< places of a CPU's ring of log lines. @since 1.3 */

/** A line of the log. @since 1.3 */
struct hypapi_control_log {
	uint64_t serial;   /**< counts this CPU's lines, from 1; 0: the place is empty */
	uint64_t tick;     /**< of that CPU's TSC */
	uint32_t level;    /**< 0 error, 1 warning, 2 information, 3 debug */
	uint32_t reserved; /**< 0 */
	char text[232];    /**< the line without its level, 0 at the end */
};

/** @since 1.0 */
struct hypapi_control_name {
	char name[24]; /**< text, 0 at the end */
};

/** The core. @since 1.0 */
struct hypapi_control_version {
	struct hypapi_control_name version; /**< of XMHF */
	uint32_t major;         /**< of hypapi */
	uint32_t minor;         /**< of hypapi */
	uint32_t cpu_count;     /**< CPUs that run */
	uint32_t hypapp_count;  /**< hypapps linked in */
	uint32_t trace_entries; /**< places of a CPU's ring; 0 without the boot option trace=on */
	uint32_t flags;         /**< enum hypapi_control_flags; 0 before 1.3 */
};

/** @since 1.3 */
enum hypapi_control_flags {
	HYPAPI_CONTROL_VALUES = 1, /**< records of the trace have addresses and values: boot option control=values */
};

/** A hypapp. @since 1.0 */
struct hypapi_control_hypapp {
	struct hypapi_control_name name; /**< as linked */
	int32_t priority;       /**< its place in the chain */
	uint32_t major;         /**< hypapi that it was built against */
	uint32_t minor;         /**< hypapi that it was built against */
	uint32_t capabilities;  /**< that it declared: mask of enum hypapi_capability */
};

/** Deliveries of one event type from one level to one hypapp, on all CPUs. @since 1.0 */
struct hypapi_control_stat {
	uint32_t hypapp;        /**< index for HYPAPI_CONTROL_HYPAPP */
	uint32_t type;          /**< enum hypapi_event_type */
	uint32_t level;         /**< enum hypapi_level */
	uint32_t reserved;      /**< 0 */
	uint64_t count;         /**< deliveries */
	uint64_t stops;         /**< stops of the other CPUs that they began */
	uint64_t ticks;         /**< of the TSC in the hypapp, waits for stops included */
	uint64_t ticks_stopped; /**< for which they had other CPUs stopped. @since 1.2 */
};

#define HYPAPI_TRACE_PARTITION 3u /**< hypapi_trace_entry.next: a secondary partition. @since 1.0 */

/** One delivery of an event to a hypapp. Times are ticks of that CPU's TSC. @since 1.0 */
struct hypapi_trace_entry {
	uint64_t serial;        /**< counts this CPU's deliveries, from 1; 0: the place is empty */
	uint64_t start;         /**< when the hypapp was asked */
	uint64_t ticks;         /**< until it had answered */
	uint64_t stop_epoch;    /**< of the last stop that the delivery began, 0 if it began none */
	uint64_t stop_start;    /**< when that stop was asked for */
	uint64_t stop_ticks;    /**< from then until the others were let go */
	uint32_t number;        /**< hypercall number, CPUID leaf, enum hypapi_partition_exit. Since 1.3 also: port,
	                             MSR (of MTRR, too), exit reason, enum hypapi_flush_cause, vector, sleep type, fault
	                             reason of DMA_FAULT. Else 0 */
	uint8_t type;           /**< enum hypapi_event_type */
	uint8_t level;          /**< enum hypapi_level */
	uint8_t hypapp;         /**< index for HYPAPI_CONTROL_HYPAPP */
	uint8_t verdict;        /**< enum hypapi_verdict, the last one */
	uint8_t stops;          /**< stops that it began */
	uint8_t stopped;        /**< 1: the other CPUs were stopped already */
	uint8_t next;           /**< what the CPU goes on with: enum hypapi_level, or HYPAPI_TRACE_PARTITION */
	uint8_t access;         /**< EPT_VIOLATION: enum hypapi_rights; PORT_IO: its bytes, and HYPAPI_TRACE_IN,
	                             HYPAPI_TRACE_STRING; MSR: HYPAPI_TRACE_WRITE, HYPAPI_TRACE_LIST;
	                             DMA_FAULT: HYPAPI_TRACE_WRITE; PARTITION_EXIT: vector; else 0.
	                             @since 1.3 */
	uint8_t reserved[4];    /**< 0 */
	uint64_t address;       /**< EPT_VIOLATION: L1-physical; PARTITION_EXIT: CR2 of a #PF; PORT_IO: linear address
	                             of an INS or OUTS; EPT02_ROOT, EPT02_FLUSH: EPTP12; DMA_FAULT: the page; else 0, as
	                             without control=values. @since 1.3 */
	uint64_t value;         /**< PORT_IO, MSR, MTRR: the value, after the handler; EPT_VIOLATION: linear address, 0
	                             if unknown; CPUID: subleaf; PARTITION_EXIT: error code; EXIT102, EXIT201, EXIT202:
	                             exit qualification; EPT02_ROOT: the EPTP12 before; WORK: its bits; DMA_FAULT:
	                             segment << 16 | bus << 8 | device << 3 | function; else 0, as without
	                             control=values. @since 1.3 */
};

/** Bits of hypapi_trace_entry.access. @since 1.3 */
enum hypapi_trace_access {
	HYPAPI_TRACE_WRITE = 1,     /**< MSR, DMA_FAULT: it was written; else read */
	HYPAPI_TRACE_LIST = 2,      /**< MSR: by an MSR list */
	HYPAPI_TRACE_STRING = 0x40, /**< PORT_IO: INS or OUTS */
	HYPAPI_TRACE_IN = 0x80,     /**< PORT_IO: IN or INS; else OUT or OUTS */
};

_Static_assert(offsetof(struct hypapi_trace_entry, address) == 64, "the end of 1.0 to 1.2");
_Static_assert(sizeof(struct hypapi_trace_entry) == 80, "1.3");

#endif
