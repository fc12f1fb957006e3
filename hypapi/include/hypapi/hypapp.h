/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * How a hypapp presents itself: one constant descriptor, which the build names to the core.
 *
 *     static enum hypapi_verdict on_hypercall(struct hypapi_event *ev) { ... }
 *
 *     HYPAPP_DEFINE(hello,
 *             .priority = 100,
 *             .capabilities = HYPAPI_CAP_REGISTERS,
 *             .subscriptions = {
 *                     { .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
 *             },
 *             .claims = {
 *                     { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = 0x100, .last = 0x10f },
 *             });
 *
 * Naming the hypapp on the configure line is all that links it. Descriptors are checked when an image is linked, and at
 * boot: two hypapps with one name or priority, overlapping claims, a subscription that no event ever reaches, a call
 * whose capability is missing. Each is refused by one line that names hypapp, member and remedy. Mistakes that hypapi
 * before 1.3 accepted are warnings in what was compiled then.
 *
 * Callbacks run on the core's stack, which has 16 KiB: keep large buffers in static memory or in cpu_bytes. hypapp.mk
 * and hypapp-link refuse a frame of more than 1 KiB, and an overflow ends the machine with one line that names the CPU.
 */
#ifndef HYPAPI_HYPAPP_H
#define HYPAPI_HYPAPP_H

#include <hypapi/event.h>

#define HYPAPI_MAJOR 1 /**< Major version of this interface: another one does not link. */
#define HYPAPI_MINOR 3 /**< Minor version: only appends. */

#define HYPAPP_MAGIC 0x50415048u /**< "HPAP": begins each descriptor. @since 1.0 */
#define HYPAPI_MAX_SUBSCRIPTIONS 16 /**< Subscriptions in a descriptor; as many may lie beside it. @since 1.0 */
#define HYPAPI_MAX_CLAIMS 16        /**< Claims in a descriptor; as many may lie beside it. @since 1.0 */
#define HYPAPI_MAX_CPU_BYTES 65536u /**< Most that hypapi_cpu_storage() gives. @since 1.2 */
#define HYPAPI_MAX_CPUS 64          /**< CPUs that a core ever brings up, at most. @since 1.2 */

/**
 * Hypercall numbers that may be claimed are 0 to this. EAX is the number in L1; the L2 base plus it in L2. @since 1.0
 */
#define HYPAPI_HYPERCALL_MAX 0xfffu

#define HYPAPI_PORT_MAX 0xffffu /**< I/O ports that may be claimed are 0 to this. @since 1.1 */
#define HYPAPI_MSR_LOW_MAX 0x1fffu /**< MSRs that may be claimed are 0 to this, and the high ones. @since 1.1 */
#define HYPAPI_MSR_HIGH_MIN 0xc0000000u /**< The first of the high MSRs. @since 1.1 */
#define HYPAPI_MSR_HIGH_MAX 0xc0001fffu /**< The last of the high MSRs. @since 1.1 */

/** Groups of calls; a call of a group that the descriptor does not name answers HYPAPI_EPERM. @since 1.0 */
enum hypapi_capability {
	HYPAPI_CAP_REGISTERS = 1u << 0,  /**< hypapi_reg_*(), hypapi_inject() */
	HYPAPI_CAP_MEMORY = 1u << 1,     /**< hypapi_copy_*(), hypapi_translate*(), hypapi_memory_*(),
	                                      hypapi_dma_restrict(), hypapi_page_in() */
	HYPAPI_CAP_PARTITIONS = 1u << 2, /**< hypapi_partition_*() */
	HYPAPI_CAP_QUIESCE = 1u << 3,    /**< hypapi_quiesce(), hypapi_quiesce_ept(), hypapi_may_stop(),
	                                      hypapi_resume(), the quiesce flag: without it,
	                                      HYPAPI_RETRY with the flag is logged and taken for HYPAPI_DENY; 1.2
	                                      and before get the stop, and the line */
	HYPAPI_CAP_WORK = 1u << 4,       /**< hypapi_post(). Since 1.2 */
	HYPAPI_CAP_INTERRUPTS = 1u << 5, /**< subscriptions to INTERRUPT and NMI, hypapi_window(). Since 1.2 */
};

/** Features of a core, apart from its version: hypapi_features(), and `needs` in a descriptor. @since 1.0 */
enum hypapi_feature {
	HYPAPI_FEATURE_NESTED = 1u << 0,     /**< L1 may be a hypervisor: level L2 occurs */
	HYPAPI_FEATURE_PARTITIONS = 1u << 1, /**< secondary partitions */
	HYPAPI_FEATURE_DMA = 1u << 2,        /**< rights taken from L1 are taken from devices too: this
	                                          machine has an IOMMU that the core uses. Raised since 1.3 */
};

/**
 * A callback. Runs on the CPU that raised the event, in root mode, NMIs open, no lock held.
 * @param ev  the event; valid until the callback returns
 * @return enum hypapi_verdict
 * @since 1.0
 */
typedef enum hypapi_verdict hypapi_handler(struct hypapi_event *ev);

/** One subscription: an event at some levels. @since 1.0 */
struct hypapi_subscription {
	uint32_t type;            /**< enum hypapi_event_type */
	uint32_t levels;          /**< mask of HYPAPI_LEVEL_BIT(); 0 for the events of level L0 */
	bool quiesce;             /**< initial value of ev->quiesce: true stops the CPUs before the handler runs */
	bool two_phase;           /**< MTRR, SLEEP: PREPARE and ABORT as well; see enum hypapi_phase. @since 1.2 */
	hypapi_handler *handler;  /**< not NULL; NULL ends the list */
};

/** What a claim is about. @since 1.0 */
enum hypapi_claim_kind {
	HYPAPI_CLAIM_NONE = 0,  /**< ends the list */
	HYPAPI_CLAIM_HYPERCALL, /**< hypercall numbers, 0 to HYPAPI_HYPERCALL_MAX */
	HYPAPI_CLAIM_CPUID,     /**< CPUID leaves */
	HYPAPI_CLAIM_PORT,      /**< I/O ports, 0 to HYPAPI_PORT_MAX; accepted since 1.1 */
	HYPAPI_CLAIM_MSR,       /**< MSRs, within one of the two ranges below; accepted since 1.1 */
};

/** A range that the hypapp owns alone at the levels named. Both ends belong to it. @since 1.0 */
struct hypapi_claim {
	uint32_t kind;   /**< enum hypapi_claim_kind */
	uint32_t levels; /**< mask of HYPAPI_LEVEL_BIT() */
	uint32_t first;  /**< first number, leaf, port or MSR */
	uint32_t last;   /**< last one, not below `first` */
};

/** The descriptor. Written by HYPAPP_DEFINE(), read by the core at boot. @since 1.0 */
struct hypapp_descriptor {
	uint32_t magic;        /**< HYPAPP_MAGIC */
	uint32_t size;         /**< sizeof of the hypapp's time; what lies past it reads as zero */
	uint16_t major;        /**< HYPAPI_MAJOR of the hypapp's time; another one does not link */
	uint16_t minor;        /**< HYPAPI_MINOR of the hypapp's time; a newer one than the core's is refused at boot */
	int32_t priority;      /**< unique in the image, and not 0; the smaller is asked first */
	const char *name;      /**< for logs and conflicts */
	uint32_t capabilities; /**< mask of enum hypapi_capability */
	uint32_t needs;        /**< mask of enum hypapi_feature that the core must have */
	struct hypapi_subscription subscriptions[HYPAPI_MAX_SUBSCRIPTIONS]; /**< ended by a NULL handler, unless full */
	struct hypapi_claim claims[HYPAPI_MAX_CLAIMS];                      /**< ended by HYPAPI_CLAIM_NONE, unless
	                                                                         full */
	uint32_t cpu_bytes; /**< size of hypapi_cpu_storage(), 0 to HYPAPI_MAX_CPU_BYTES. @since 1.2 */
	uint32_t reserved;  /**< 0. @since 1.2 */
	const struct hypapi_subscription *more_subscriptions; /**< a constant array, for when those above do not do;
	                                                           they are asked first. @since 1.3 */
	const struct hypapi_claim *more_claims;               /**< the same for claims. @since 1.3 */
	uint32_t more_subscription_count; /**< 0 to HYPAPI_MAX_SUBSCRIPTIONS, each with a handler. @since 1.3 */
	uint32_t more_claim_count;        /**< 0 to HYPAPI_MAX_CLAIMS. @since 1.3 */
	bool droppable; /**< after a fault in its own code the machine may go on without this hypapp, with the boot
	                     option hypapp-fault=drop: what it restricted stays refused, its partitions are wiped,
	                     its claims are nobody's. @since 1.3 */
	uint8_t reserved_1_3[7];            /**< 0. @since 1.3 */
	const char *text_start;             /**< its code, by HYPAPP_DEFINE() and hypapp.mk: first byte, or NULL: not
	                                         known. @since 1.3 */
	const char *text_end;               /**< the byte behind. @since 1.3 */
	const uint32_t *locks_held;         /**< by HYPAPP_DEFINE() and hypapi/lock.h, or NULL: it has no lock.
	                                         @since 1.3 */
};

_Static_assert(offsetof(struct hypapi_subscription, two_phase) == 9 && sizeof(struct hypapi_subscription) == 24,
	       "two_phase lies where 1.0 had padding");
_Static_assert(offsetof(struct hypapp_descriptor, cpu_bytes) == 672, "the end of 1.0 and of 1.1");
_Static_assert(offsetof(struct hypapp_descriptor, more_subscriptions) == 680, "the end of 1.2");
_Static_assert(sizeof(struct hypapp_descriptor) == 736, "1.3");

/** @cond */
#define HYPAPI_CONCAT_(a, b, c) a##b##c
#define HYPAPI_CONCAT(a, b, c) HYPAPI_CONCAT_(a, b, c)
/** A symbol that only a core of the same major version defines: another one fails to link, by name. */
#define HYPAPI_VERSION_SYMBOL HYPAPI_CONCAT(hypapi_major_, HYPAPI_MAJOR, _is_required)
extern const char HYPAPI_VERSION_SYMBOL[];
/* The hypapp's own, if it is linked by hypapp.mk, and if it includes hypapi/lock.h. */
extern const char hypapp_text_start[] __attribute__((weak)), hypapp_text_end[] __attribute__((weak));
extern uint32_t hypapi_locks_held __attribute__((weak));
/** @endcond */

/**
 * Defines the hypapp `name_`. Members of struct hypapp_descriptor follow as designated initialisers.
 * @since 1.0
 */
#define HYPAPP_DEFINE(name_, ...)                                                                          \
	const char *const hypapp_##name_##_version __attribute__((used)) = HYPAPI_VERSION_SYMBOL;          \
	extern const struct hypapp_descriptor hypapp_##name_;                                              \
	const struct hypapp_descriptor hypapp_##name_                                                      \
		__attribute__((used, aligned(8), section(".hypapps"))) = {                                 \
			.magic = HYPAPP_MAGIC, .size = sizeof(struct hypapp_descriptor),                   \
			.major = HYPAPI_MAJOR, .minor = HYPAPI_MINOR, .name = #name_,                     \
			.text_start = hypapp_text_start, .text_end = hypapp_text_end,                      \
			.locks_held = &hypapi_locks_held, __VA_ARGS__ }

#endif
