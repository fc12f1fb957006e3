/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See vtd.h. */
#include "iommu/vtd.h"

#include "cpu/clock.h"
#include "cpu/mmio.h"
#include "cpu/x86.h"
#include "mem/pages.h"
#include "report/log.h"

enum reg {
	VER = 0x00, CAP = 0x08, ECAP = 0x10, GCMD = 0x18, GSTS = 0x1c, RTADDR = 0x20, CCMD = 0x28, FSTS = 0x34,
	FECTL = 0x38, PMEN = 0x64, PLMBASE = 0x68, PLMLIMIT = 0x6c, PHMBASE = 0x70, PHMLIMIT = 0x78,
	IQH = 0x80, IQT = 0x88, IQA = 0x90,
};

#define CAP_RWBF BIT(4)
#define CAP_PLMR BIT(5)
#define CAP_PHMR BIT(6)
#define CAP_CM BIT(7)
#define CAP_LEVELS(cap) ((u32)((cap) >> 8 & 0x1f) << 2) /* a bit for each number of levels */
#define CAP_FRO(cap) ((u32)((cap) >> 24 & 0x3ff) * 16)
#define CAP_2M BIT(34)
#define CAP_1G BIT(35)
#define CAP_NFR(cap) ((u32)((cap) >> 40 & 0xff) + 1)
#define CAP_DWD BIT(54)
#define CAP_DRD BIT(55)
#define ECAP_C BIT(0)
#define ECAP_QI BIT(1)
#define ECAP_IRO(ecap) ((u32)((ecap) >> 8 & 0x3ff) * 16)

/* Of GCMD and GSTS. */
#define TRANSLATION BIT(31)
#define ROOT_POINTER BIT(30)
#define WRITE_BUFFER BIT(27)
#define QUEUE BIT(26)
#define INTERRUPTS BIT(25)
/* Commands that are states; the others happen once. */
#define KEPT (TRANSLATION | QUEUE | BIT(28) | INTERRUPTS | BIT(23))

#define RTADDR_MODE BITS(11, 10) /* 0: the tables used here */

#define CCMD_ICC BIT(63)
#define CCMD_GLOBAL (1ul << 61)
#define IOTLB_IVT BIT(63)
#define IOTLB_GLOBAL (1ul << 60)
#define IOTLB_DRAIN_READS BIT(49)
#define IOTLB_DRAIN_WRITES BIT(48)
#define IOTLB_DONE_AS BITS(58, 57)

#define FSTS_OVERFLOW BIT(0)
#define FSTS_PENDING BIT(1)
#define FSTS_QUEUE_ERRORS BITS(6, 4)
#define FECTL_MASKED BIT(31)
#define PMEN_ENABLED BIT(31)
#define PMEN_STATUS BIT(0)

#define QUEUE_ENTRIES (PAGE_SIZE / sizeof(struct vtd_descriptor))
#define QUEUE_INDEX BITS(18, 4) /* of IQH and IQT */
#define DESC_CONTEXT (1 | 1 << 4)
#define DESC_IOTLB (2 | 1 << 4)
#define DESC_IOTLB_DRAIN_WRITES BIT(6)
#define DESC_IOTLB_DRAIN_READS BIT(7)
#define DESC_WAIT (5 | BIT(5) | BIT(6)) /* write the status; not before all before it has ended */

#define FAULT_BYTES 16
#define FAULT_VALID BIT(31) /* of the last quarter */
#define FAULT_READ BIT(30)

static u32 read32(const struct vtd_unit *unit, u32 reg) { return mmio_read32(unit->regs + reg); }
static u64 read64(const struct vtd_unit *unit, u32 reg) { return mmio_read64(unit->regs + reg); }
static void write32(const struct vtd_unit *unit, u32 reg, u32 value) { mmio_write32(unit->regs + reg, value); }
static void write64(const struct vtd_unit *unit, u32 reg, u64 value) { mmio_write64(unit->regs + reg, value); }

static bool expired(u64 start)
{
	return rdtsc() - start > VTD_WAIT_MS * clock_ticks_per_ms();
}

/* The register is read once more when the time is over: what took it may have been something else than the unit. */
static bool wait_for(const struct vtd_unit *unit, u32 reg, u64 mask, u64 value, const char *what)
{
	u64 start = rdtsc();

	for (bool late = false;; late = expired(start)) {
		if ((read32(unit, reg) & mask) == value)
			return true;
		if (late)
			break;
		cpu_pause();
	}
	log_error("the IOMMU at 0x%lx does not answer within %u ms: %s", unit->base, VTD_WAIT_MS, what);
	return false;
}

static bool command(const struct vtd_unit *unit, u64 bit, bool on, const char *what)
{
	u64 value = read32(unit, GSTS) & KEPT & ~bit;

	write32(unit, GCMD, (u32)(value | (on ? bit : 0)));
	return wait_for(unit, GSTS, bit, on ? bit : 0, what);
}

/* Units that keep what was written to the tables in a buffer of the chipset. */
static bool flush_write_buffer(const struct vtd_unit *unit)
{
	if (!(unit->cap & CAP_RWBF))
		return true;
	write32(unit, GCMD, (u32)((read32(unit, GSTS) & KEPT) | WRITE_BUFFER));
	return wait_for(unit, GSTS, WRITE_BUFFER, 0, "flush of the write buffer");
}

static void queue_put(struct vtd_unit *unit, u64 low, u64 high)
{
	unit->queue[unit->tail] = (struct vtd_descriptor){ low, high };
	unit->tail = (unit->tail + 1) % QUEUE_ENTRIES;
}

/* One request, and the end of it: the queue is empty again. */
static bool by_queue(struct vtd_unit *unit, u64 request, const char *what)
{
	u64 start = rdtsc();

	unit->flushes++;
	queue_put(unit, request, 0);
	queue_put(unit, DESC_WAIT | (u64)unit->flushes << 32, virt_to_phys((const void *)unit->done).addr);
	atomic_thread_fence(memory_order_seq_cst);
	write32(unit, IQT, unit->tail << 4);
	for (bool late = false;; late = expired(start)) {
		if (*unit->done == unit->flushes)
			return true;
		if (late || (read32(unit, FSTS) & FSTS_QUEUE_ERRORS))
			break;
		cpu_pause();
	}
	log_error("the IOMMU at 0x%lx does not end this in its queue: %s (fault status 0x%x)", unit->base, what,
		  read32(unit, FSTS));
	return false;
}

static bool forget_contexts(struct vtd_unit *unit)
{
	const char *what = "context invalidation";

	if (unit->queue)
		return by_queue(unit, DESC_CONTEXT, what);
	write64(unit, CCMD, CCMD_ICC | CCMD_GLOBAL);
	return wait_for(unit, CCMD + 4, CCMD_ICC >> 32, 0, what);
}

static bool forget_translations(struct vtd_unit *unit)
{
	const char *what = "IOTLB invalidation";
	u32 iotlb = ECAP_IRO(unit->ecap) + 8;

	if (unit->queue)
		return by_queue(unit, DESC_IOTLB | DESC_IOTLB_DRAIN_WRITES | DESC_IOTLB_DRAIN_READS, what);
	write64(unit, iotlb, IOTLB_IVT | IOTLB_GLOBAL | IOTLB_DRAIN_READS | IOTLB_DRAIN_WRITES);
	if (!wait_for(unit, iotlb + 4, IOTLB_IVT >> 32, 0, what))
		return false;
	if (read64(unit, iotlb) & IOTLB_DONE_AS)
		return true;
	log_error("the IOMMU at 0x%lx refuses an IOTLB invalidation", unit->base);
	return false;
}

bool vtd_flush(struct vtd_unit *unit)
{
	return flush_write_buffer(unit) && forget_translations(unit);
}

const char *vtd_probe(struct vtd_unit *unit, volatile void *regs, u64 base, u16 segment)
{
	*unit = (struct vtd_unit){ .regs = regs, .base = base, .segment = segment };
	unit->cap = read64(unit, CAP);
	unit->ecap = read64(unit, ECAP);
	if (read32(unit, VER) == ~0u || !unit->cap || unit->cap == ~0ul)
		return "it does not answer";
	if (CAP_FRO(unit->cap) + CAP_NFR(unit->cap) * FAULT_BYTES > PAGE_SIZE || ECAP_IRO(unit->ecap) + 16 > PAGE_SIZE)
		return "it has registers outside of its first page";
	unit->levels = CAP_LEVELS(unit->cap) & VTD_LEVELS;
	unit->largest_leaf = !(unit->cap & CAP_2M) ? 1 : !(unit->cap & CAP_1G) ? 2 : 3;
	unit->is_coherent = unit->ecap & ECAP_C;
	unit->grants_flush = unit->cap & (CAP_CM | CAP_RWBF);
	if (!unit->levels)
		return "it has tables of neither three nor four levels";
	if ((read32(unit, GSTS) & TRANSLATION) && (read64(unit, RTADDR) & RTADDR_MODE))
		return "the firmware has it on in a mode that cannot be left under way";
	if (!(unit->cap & CAP_DWD) || !(unit->cap & CAP_DRD))
		return "it cannot wait for accesses that are under way";
	return NULL;
}

/* The firmware's queue, if it left one on, comes to its end first. */
static bool take_queue(struct vtd_unit *unit, void *queue, u32 *done)
{
	if (read32(unit, GSTS) & QUEUE)
		if (!wait_for(unit, IQH, QUEUE_INDEX, read32(unit, IQT) & QUEUE_INDEX, "end of the firmware's queue") ||
		    !command(unit, QUEUE, false, "end of queued invalidation"))
			return false;
	write32(unit, FSTS, FSTS_QUEUE_ERRORS | FSTS_OVERFLOW);
	if (!(unit->ecap & ECAP_QI))
		return true;
	unit->queue = queue;
	unit->done = done;
	write32(unit, IQT, 0);
	write64(unit, IQA, virt_to_phys(queue).addr);
	return command(unit, QUEUE, true, "start of queued invalidation");
}

static bool end_protected_ranges(const struct vtd_unit *unit)
{
	if (!(unit->cap & (CAP_PLMR | CAP_PHMR)) || !(read32(unit, PMEN) & (PMEN_ENABLED | PMEN_STATUS)))
		return true;
	write32(unit, PMEN, read32(unit, PMEN) & ~(u32)PMEN_ENABLED);
	return wait_for(unit, PMEN, PMEN_STATUS, 0, "end of the protected memory ranges");
}

/* Both ranges are on or off together: of the high one the end is below the start. */
bool vtd_protect(const struct vtd_unit *unit, u64 start, u64 end)
{
	if (!(unit->cap & CAP_PLMR))
		return true;
	if (!end_protected_ranges(unit))
		return false;
	write32(unit, PLMBASE, (u32)start);
	write32(unit, PLMLIMIT, (u32)(end - 1));
	if (unit->cap & CAP_PHMR) {
		write64(unit, PHMBASE, BITS(51, 21));
		write64(unit, PHMLIMIT, 0);
	}
	write32(unit, PMEN, read32(unit, PMEN) | PMEN_ENABLED);
	return wait_for(unit, PMEN, PMEN_STATUS, PMEN_STATUS, "start of the protected memory range");
}

/* An L1 that does not see the unit has no entries for its interrupts. */
static bool end_interrupt_remapping(const struct vtd_unit *unit)
{
	return !(read32(unit, GSTS) & INTERRUPTS) || command(unit, INTERRUPTS, false, "end of interrupt remapping");
}

/*
 * Where the firmware has translation on, it stays on: there is no moment without tables. With these in use protected
 * ranges would keep L1's devices from its memory.
 */
bool vtd_start(struct vtd_unit *unit, u64 root_table, void *queue, u32 *done)
{
	write32(unit, FECTL, FECTL_MASKED);
	if (!flush_write_buffer(unit) || !take_queue(unit, queue, done))
		return false;
	write64(unit, RTADDR, root_table);
	return command(unit, ROOT_POINTER, true, "load of the root table") && forget_contexts(unit) &&
	       forget_translations(unit) && command(unit, TRANSLATION, true, "start of translation") &&
	       end_protected_ranges(unit) && end_interrupt_remapping(unit);
}

bool vtd_stop(struct vtd_unit *unit)
{
	return command(unit, TRANSLATION, false, "end of translation") && end_protected_ranges(unit);
}

bool vtd_next_fault(struct vtd_unit *unit, struct vtd_fault *fault)
{
	if (!(read32(unit, FSTS) & FSTS_PENDING))
		return false;
	for (u32 i = 0; i < CAP_NFR(unit->cap); i++) {
		u32 record = CAP_FRO(unit->cap) + i * FAULT_BYTES, type = read32(unit, record + 12);

		if (!(type & FAULT_VALID))
			continue;
		*fault = (struct vtd_fault){ .segment = unit->segment, .source = (u16)read32(unit, record + 8),
					     .write = !(type & FAULT_READ), .reason = (u8)type,
					     .address = ALIGN_DOWN(read64(unit, record), PAGE_SIZE) };
		write32(unit, record + 12, FAULT_VALID);
		return true;
	}
	return false;
}

bool vtd_lost_faults(const struct vtd_unit *unit)
{
	if (!(read32(unit, FSTS) & FSTS_OVERFLOW))
		return false;
	write32(unit, FSTS, FSTS_OVERFLOW);
	return true;
}

const char *vtd_fault_reason(u8 reason)
{
	static const char *const names[] = {
		[1] = "no root entry", [2] = "no context entry", [3] = "a context entry that the unit does not know",
		[4] = "an address beyond the tables", [5] = "no right to write", [6] = "no right to read",
		[7] = "a page table that cannot be read", [8] = "a root table that cannot be read",
		[9] = "a context table that cannot be read", [10] = "reserved bits in the root entry",
		[11] = "reserved bits in the context entry", [12] = "reserved bits in a page table",
		[13] = "a translation of its own",
	};

	return reason < ARRAY_SIZE(names) && names[reason] ? names[reason] : "another reason";
}
