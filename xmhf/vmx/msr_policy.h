/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What L1 and L2 may do to each MSR: one row for a range, sorted by number. Everybody who reads or writes an MSR for a
 * guest goes by it: exits of both levels, MSR lists, and the MSR bitmap. A write without a row is dropped; see
 * msr_find().
 */
#ifndef XMHF_MSR_POLICY_H
#define XMHF_MSR_POLICY_H

#include "cpu/percpu.h"

#define BITMAP_MSRS 0x2000 /* numbers in each half of an MSR bitmap: from 0 and from 0xc0000000 */

enum msr_answer {
	MSR_PASS,   /* the CPU's own, without an exit */
	MSR_MASK,   /* only the bits of `mask` change, the others keep the CPU's value. Writes only */
	MSR_DROP,   /* the write is lost, with one line on the log for each MSR; #GP if the CPU has no such MSR. Writes
	               only */
	MSR_REFUSE, /* #GP. Only where what enumerates the MSR is hidden too, or where the CPU itself would refuse */
	MSR_OWN,    /* exits, and the row's function does it */
};

typedef bool msr_reader(struct percpu *cpu, u32 msr, u64 *value);
typedef bool msr_writer(struct percpu *cpu, u32 msr, u64 value);

struct msr_row {
	u32 first, last;
	u8 read, write; /* enum msr_answer */
	/* False: #GP. With MSR_PASS: for what comes here without an exit of L1, as by a list. NULL: the CPU's MSR. */
	msr_reader *reader;
	msr_writer *writer;
	u64 mask;
	const char *why;
};

extern const struct msr_row msr_rows[];
extern const u32 msr_row_count;

/* The row for an MSR; never NULL. */
const struct msr_row *msr_find(u32 msr);

/* Option msr=strict: MSRs without a row are refused. At boot. */
void msr_policy_strict(void);

/*
 * Whether the MSR bitmap has bits for it (SDM vol. 3, "MSR-Bitmap Address"). The others always exit, and do not exist.
 */
static inline bool msr_in_bitmap(u32 msr)
{
	return (msr & ~0xc0001fffu) == 0 && (msr >> 30 == 0 || msr >> 30 == 3);
}

/* Its bit: in the half of the bitmap page for reads, or for writes. */
static inline u32 msr_place(u32 msr, bool write)
{
	return (msr & (BITMAP_MSRS - 1)) + (msr >> 31 ? BITMAP_MSRS : 0) + (write ? 2 * BITMAP_MSRS : 0);
}

/* Bits of IA32_XSS that a guest may set; CPUID leaf 0xd shows no others. */
#define XSS_CET (BIT(11) | BIT(12))
#define XSS_PASID BIT(10)
#define XSS_HWP BIT(16)
#define XSS_ALLOWED (XSS_PASID | XSS_CET | XSS_HWP)

/* ---- for the rows ---- */

/* MSRs that live in the VMCS while a guest runs: those of the current one. */
msr_reader msr_read_vmcs;
msr_writer msr_write_vmcs;

/* The write is lost, said once for each MSR. False if the CPU has no such MSR. */
bool msr_drop(const struct percpu *cpu, u32 msr, const char *why);

#endif
