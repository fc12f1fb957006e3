/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What devices may reach: a model of xmhf/iommu behind its seam. It remembers for each page what a device found when it
 * came there first, rights or none, and forgets nothing but by a flush. Changed as the seam says, looked at by any
 * thread.
 */
#include "hypapi/sim/machine.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "xmhf/iommu/iommu.h"
#include "xmhf/iommu/vtd.h"

#define PAGES (SIZE_1G * 4 / PAGE_SIZE)
#define KNOWN 4u
#define FAULTS 8u

static u8 taken[PAGES];      /* HYPAPI_R, HYPAPI_W: devices have not that right */
static u8 remembered[PAGES]; /* KNOWN and the rights, or 0 */
static bool any_remembered;
static bool owed;
static u64 flushes;
static struct vtd_fault faults[FAULTS]; /* what finds no place is lost */
static u32 fault_count;
static pthread_mutex_t faults_mutex = PTHREAD_MUTEX_INITIALIZER;
static enum sim_iommu iommu;

static u8 rights_of(u64 page)
{
	u8 all = is_root_memory(page) ? 0 : HYPAPI_RW;

	return all & (u8)~__atomic_load_n(&taken[page / PAGE_SIZE], __ATOMIC_ACQUIRE);
}

bool iommu_set(u64 start, u64 end, u64 rights)
{
	for (u64 page = start; page < MIN(end, PAGES * PAGE_SIZE); page += PAGE_SIZE) {
		owed |= rights_of(page) != rights;
		__atomic_store_n(&taken[page / PAGE_SIZE], (u8)(HYPAPI_RW & ~rights), __ATOMIC_RELEASE);
	}
	return true;
}

bool iommu_is_on(void)
{
	return iommu != SIM_IOMMU_NONE;
}

bool iommu_prepare(u64 page)
{
	(void)page;
	return true;
}

bool iommu_flush(void)
{
	bool some;

	if (owed && iommu == SIM_IOMMU_SILENT)
		return false;
	some = owed && __atomic_exchange_n(&any_remembered, false, __ATOMIC_ACQ_REL);

	for (u64 i = 0; some && i < PAGES; i++)
		if (__atomic_load_n(&remembered[i], __ATOMIC_RELAXED))
			__atomic_store_n(&remembered[i], 0, __ATOMIC_RELEASE);
	flushes += owed;
	owed = false;
	return true;
}

static void record_fault(u64 page, bool write)
{
	pthread_mutex_lock(&faults_mutex);
	if (fault_count < FAULTS)
		faults[fault_count++] = (struct vtd_fault){ .source = SIM_DEVICE, .write = write, .address = page,
							    .reason = write ? 5 : 6 };
	pthread_mutex_unlock(&faults_mutex);
}

static bool next_fault(struct vtd_fault *fault)
{
	pthread_mutex_lock(&faults_mutex);
	bool some = fault_count;

	if (some)
		*fault = faults[--fault_count];
	pthread_mutex_unlock(&faults_mutex);
	return some;
}

bool iommu_look_is_due(void)
{
	pthread_mutex_lock(&faults_mutex);
	bool due = fault_count;

	pthread_mutex_unlock(&faults_mutex);
	return due;
}

u32 iommu_report_faults(void (*tell)(const struct vtd_fault *fault))
{
	struct vtd_fault fault;
	u32 count = 0;

	for (; next_fault(&fault); count++)
		tell(&fault);
	return count;
}

bool sim_device(gpa1_t gpa1, uint32_t rights)
{
	u64 page = gpa1.addr / PAGE_SIZE;
	u8 found, empty = 0;

	if (page >= PAGES)
		return false;
	if (iommu == SIM_IOMMU_NONE)
		return true;
	found = KNOWN | rights_of(page * PAGE_SIZE);
	if (!__atomic_compare_exchange_n(&remembered[page], &empty, found, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		found = empty;
	__atomic_store_n(&any_remembered, true, __ATOMIC_RELEASE);
	if (rights & ~found)
		record_fault(page * PAGE_SIZE, rights & ~found & HYPAPI_W);
	return (found & rights) == rights;
}

void sim_set_iommu(enum sim_iommu other)
{
	iommu = other;
}

uint64_t sim_device_flushes(void)
{
	return flushes;
}
