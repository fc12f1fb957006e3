/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/trustvisor: what a program asks of the driver. Included by the driver and by libtv. Numbers are little-endian
 * and of one size for 32-bit and 64-bit programs.
 *
 * One open file is one PAL: CREATE says what sections it has, write() fills its pages (offset: bytes from the
 * first page of the first section, sections one after the other), mmap() shows each section at its address
 * (offset of its first page; all of it; MAP_SHARED; not of shared code, which stays the process's), REGISTER makes it a
 * PAL. After UNREGISTER it can be filled and registered again. Every struct begins with its own size: that is its
 * version. Later versions append members; the driver takes the size of each version, with zeros for what it lacks, and
 * refuses every other. The requests' numbers stay those of the first version.
 *
 * ioctl() answers 0, or enum tv_result of the hypervisor (above 0), or -1 with errno: EFAULT (pointer), EINVAL (size,
 * lengths, or the wrong order), EPERM (another process than the one that made CREATE), EBUSY (registered, or mapped
 * twice), ENOMEM, EDQUOT (more than a user may have), ENOTTY (no such request).
 */
#ifndef TRUSTVISOR_IOCTL_H
#define TRUSTVISOR_IOCTL_H

#include <linux/ioctl.h>

#include <trustvisor/abi.h>

#define TV_DEVICE "/dev/trustvisor"

struct tv_ioc_create {
	uint32_t size;
	uint32_t num_sections; /* 1 to TV_MAX_SECTIONS */
	struct tv_pal_section sections[TV_MAX_SECTIONS];
} __attribute__((packed));

struct tv_ioc_register {
	uint32_t size;
	uint32_t flags;       /* TV_LIST_... */
	uint32_t entry_count; /* 1 to TV_MAX_ENTRIES */
	uint32_t pad;         /* 0 */
	struct tv_list_entry entries[TV_MAX_ENTRIES];
	/* Since the second version: flags that are measured, and the owner tag. */
	struct tv_pal_options options;
} __attribute__((packed));

#define TV_IOC_REGISTER_SIZE_1 1424
TV_ASSERT(sizeof(struct tv_ioc_register) == TV_IOC_REGISTER_SIZE_1 + 40, "agreed with programs");

/* Why the PAL ended, or why its last failed call did: TV_CMD_STATUS_LIST. It stays until the next REGISTER. */
struct tv_ioc_status {
	uint32_t size;       /* in */
	uint32_t present;    /* 1: registered, and not ended */
	uint32_t why;        /* enum tv_why */
	uint32_t vector;     /* of TV_WHY_FAULT */
	uint32_t error_code;
	uint32_t calls;
	uint64_t rip;        /* in the PAL */
	uint64_t address;    /* of a page fault */
} __attribute__((packed));

#define TV_IOC_MAGIC 0xbc
#define TV_IOC_CREATE _IOW(TV_IOC_MAGIC, 1, struct tv_ioc_create)
#define TV_IOC_REGISTER _IOC(_IOC_WRITE, TV_IOC_MAGIC, 2, TV_IOC_REGISTER_SIZE_1)
#define TV_IOC_UNREGISTER _IO(TV_IOC_MAGIC, 3)
#define TV_IOC_STATUS _IOWR(TV_IOC_MAGIC, 4, struct tv_ioc_status)

#endif
