/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * @file
 * Address spaces, rights and error numbers of hypapi.
 *
 * Four address spaces meet in a hypervisor under a hypervisor. Each has a C type of its own, a struct with one
 * member, so that handing an address of one space to a function of another does not compile.
 */
#ifndef HYPAPI_TYPES_H
#define HYPAPI_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Host-physical address, bytes: what EPT01, EPT02 and a partition's EPT lead to. @since 1.0 */
typedef struct { uint64_t addr; /**< bytes */ } hpa_t;
/** L1-physical address, bytes: what L1 takes for physical memory; input of EPT01, output of EPT12. @since 1.0 */
typedef struct { uint64_t addr; /**< bytes */ } gpa1_t;
/** L2-physical address, bytes: input of EPT12 and EPT02. @since 1.0 */
typedef struct { uint64_t addr; /**< bytes */ } gpa2_t;
/** Guest-virtual (linear) address, bytes, in the page tables of the level that it came from. @since 1.0 */
typedef struct { uint64_t addr; /**< bytes */ } gva_t;

#define HPA(a) ((hpa_t){ (a) })   /**< An hpa_t from a number. @since 1.0 */
#define GPA1(a) ((gpa1_t){ (a) }) /**< A gpa1_t from a number. @since 1.0 */
#define GPA2(a) ((gpa2_t){ (a) }) /**< A gpa2_t from a number. @since 1.0 */
#define GVA(a) ((gva_t){ (a) })   /**< A gva_t from a number. @since 1.0 */

#define HYPAPI_PAGE_SIZE 4096u /**< Bytes of a page, in all address spaces. @since 1.0 */
/** Ands an address down to its page. @since 1.0 */
#define HYPAPI_PAGE_MASK (~(uint64_t)(HYPAPI_PAGE_SIZE - 1))

/**
 * Rights to memory; the values are those of an EPT entry's low bits.
 * @since 1.0 (SDM volume 3, "Format of an EPT Page-Table Entry")
 */
enum hypapi_rights {
	HYPAPI_R = 1u << 0,
	HYPAPI_W = 1u << 1,
	HYPAPI_X = 1u << 2,
	HYPAPI_RW = HYPAPI_R | HYPAPI_W,
	HYPAPI_RX = HYPAPI_R | HYPAPI_X,
	HYPAPI_RWX = HYPAPI_R | HYPAPI_W | HYPAPI_X,
};

/** What a hypapi call answers when it did nothing: always negative. 0 is success. @since 1.0 */
enum hypapi_error {
	HYPAPI_OK = 0,
	HYPAPI_EINVAL = -1,  /**< an argument is out of the documented range */
	HYPAPI_EFAULT = -2,  /**< the guest's page tables or EPT12 do not allow this access */
	HYPAPI_EPERM = -3,   /**< the memory has another owner, or the capability was not declared */
	HYPAPI_ENOMEM = -4,  /**< a pool of the core is used up */
	HYPAPI_ESTALE = -5,  /**< a handle outlived its callback or its object */
	HYPAPI_EBUSY = -6,   /**< the object is in use on some CPU */
	HYPAPI_ENOTSUP = -7, /**< not at this level, in this event, or in this build */
	HYPAPI_ESTATE = -8,  /**< needs the other CPUs stopped, and they are not; or not at this point of the event */
	HYPAPI_EEXIST = -9,  /**< the claim or the object exists already */
	HYPAPI_ERANDOM = -10, /**< the CPU's random numbers failed a test, and are not used again. Since 1.3 */
	HYPAPI_EDMA = -11,   /**< an IOMMU does not answer, and so devices cannot be held back. Since 1.3 */
	HYPAPI_ENOTMAPPED = -12, /**< L1's EPT12 does not map the memory for L2 yet, or not with these rights,
	                              or its page-modification log has no room for a write:
	                              hypapi_page_in() makes L1 do so. Since 1.3; descriptors of before get
	                              HYPAPI_EPERM */
};

#endif
