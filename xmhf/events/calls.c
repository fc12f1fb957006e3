/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypapi's calls: each checks its arguments and the capability, and hands over to the module that does the work. The
 * event that a hypapp passes is only compared with the one that this CPU delivers; nothing is read from it.
 */
#include <hypapi/hypapi.h>

#include "core/cmdline.h"
#include "core/config.h"
#include "cpu/paging.h"
#include "cpu/speculation.h"
#include "cpu/x86.h"
#include "events/calls.h"
#include "events/drop.h"
#include "events/event_info.h"
#include "events/names.h"
#include "iommu/iommu.h"
#include "mem/ept01.h"
#include "mem/guest.h"
#include "mem/partition.h"
#include "nested/nested.h"
#include "report/log.h"
#include "report/stats.h"
#include "report/trace.h"
#include "vmx/exit.h"
#include "vmx/interrupts.h"

void calls_refuse(const struct hypapi_event *ev, u32 capability, const char *call)
{
	const struct dispatch *d = this_cpu()->dispatch;
	const struct hypapp_descriptor *app = d->link->app;

	if (ev != &d->ev)
		log_limited(LOG_WARN, "hypapp %s: %s() with an event that is not the one at hand: an event is valid "
			    "until its handler returns", app->name, call);
	else if (drop_is_dropped(app))
		log_limited(LOG_WARN, "hypapp %s: %s() after it was dropped", app->name, call);
	else if (app->capabilities & capability)
		log_limited(LOG_WARN, "hypapp %s: %s() is not for event %s", app->name, call,
			    hypapi_event_name(d->ev.type));
	else
		log_limited(LOG_WARN, "hypapp %s: %s() in event %s: add %s to .capabilities", app->name, call,
			    hypapi_event_name(d->ev.type), capability_names(capability, " | ").text);
}

/* One line: there is no guest, or no such register. In line it would have each hypapi_reg_get() save registers. */
static __attribute__((noinline, cold)) void name_no_register(const struct dispatch *d, u32 reg)
{
	log_limited(LOG_WARN, "hypapp %s: hypapi_reg_get() of register %u in event %s answers 0: %s",
		    d->link->app->name, reg, hypapi_event_name(d->ev.type),
		    !in_guest(d) ? "no guest caused it" : reg < HYPAPI_REG_COUNT ? "L1 has got an exit by now" :
		    "there is none");
}

uint32_t hypapi_version(void)
{
	return HYPAPI_MAJOR << 16 | HYPAPI_MINOR;
}

uint32_t hypapi_features(void)
{
	return HYPAPI_FEATURE_PARTITIONS | (nested_enabled() ? HYPAPI_FEATURE_NESTED : 0) |
	       (iommu_is_on() ? HYPAPI_FEATURE_DMA : 0);
}

int hypapi_quiesce(struct hypapi_event *ev)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_QUIESCE);

	if (!d)
		return HYPAPI_EPERM;
	/* While this CPU starts there is nobody to stop. */
	return this_cpu()->quiesce.online && dispatch_stop(d, DISPATCH_STOP_ALL);
}

int hypapi_may_stop(struct hypapi_event *ev)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_QUIESCE);

	return d ? dispatch_may_stop(d) : HYPAPI_EPERM;
}

int hypapi_resume(struct hypapi_event *ev)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_QUIESCE);

	if (!d)
		return HYPAPI_EPERM;
	if (!d->progress.stops)
		return HYPAPI_ESTATE;
	dispatch_end_stop(d);
	ev->stopped = quiesce_owned(&this_cpu()->quiesce);
	return HYPAPI_OK;
}

/* Is it a handle that this callback was given? */
static bool is_current(hypapi_ept_t ept)
{
	return (ept.id & -DISPATCH_CALLBACK) == this_cpu()->callbacks;
}

int hypapi_quiesce_ept(struct hypapi_event *ev, hypapi_ept_t ept)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_QUIESCE);
	const struct quiesce_cpu *quiesce = &this_cpu()->quiesce;

	if (!d)
		return HYPAPI_EPERM;
	if (!is_current(ept))
		return HYPAPI_ESTALE;
	u64 use = (ept.id & 3) == HYPAPI_L2 ? nested_ept_key(this_cpu()) : QUIESCE_EPT01;
	u64 held = quiesce_holds(quiesce);

	if (!quiesce_owned(quiesce) && held != QUIESCE_NOT_HELD && held != use)
		return HYPAPI_ESTATE;
	return quiesce->online && dispatch_stop(d, use);
}

_Static_assert(MAX_CPUS == HYPAPI_MAX_CPUS && MAX_CPUS <= 64, "hypapi_post() has a bit for each");

/* CPUs that can be asked for work: before this one takes part in stops, itself alone. */
static u64 cpus_with_mail(const struct percpu *self)
{
	return self->quiesce.online ? ~0ull >> (64 - cpu_count) : BIT(self->index);
}

int hypapi_post(struct hypapi_event *ev, uint64_t cpu_mask, uint64_t bits)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_WORK);
	struct percpu *self = this_cpu();
	u64 kick = 0;

	if (!d)
		return HYPAPI_EPERM;
	if (!bits || !cpu_mask || (cpu_mask & ~cpus_with_mail(self)))
		return HYPAPI_EINVAL;
	if (!hypapps_link_of(d->link->app, HYPAPI_EV_WORK, HYPAPI_L0))
		return HYPAPI_ENOTSUP;
	u32 i = hypapps_number(d->link->app) - 1;

	if (cpu_mask & BIT(self->index))
		self->work = 1;
	for (u64 left = cpu_mask; left; left &= left - 1) {
		struct percpu *to = cpus[__builtin_ctzll(left)];

		atomic_fetch_or(&to->mail[i], bits);
		/* Who left the first mail has called that CPU, or is about to: it has not looked yet. */
		if (!(atomic_fetch_or(&to->mail_for, BIT(i)) & BIT(i)))
			kick |= BIT(to->index);
	}
	/* Not itself: a CPU that starts could not call anybody. */
	bool stale = quiesce_kick(&self->quiesce, kick & ~BIT(self->index));

	if (kick & ~BIT(self->index))
		dispatch_count_kick(d);
	return stale;
}

void *hypapi_cpu_storage(const struct hypapi_event *ev, uint32_t cpu)
{
	const struct dispatch *d = delivery(ev, 0);

	return d && cpu < cpu_count ? hypapps_storage(d->link->app, cpus[cpu]) : NULL;
}

const char *hypapi_hypapp_name(uint32_t number)
{
	return number - 1 < hypapps_count() ? hypapps_get(number - 1)->name : NULL;
}

int hypapi_window(struct hypapi_event *ev, uint32_t windows)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_INTERRUPTS);
	struct percpu *cpu = this_cpu();
	static const u8 types[] = { HYPAPI_EV_INTERRUPT_WINDOW, HYPAPI_EV_NMI_WINDOW };

	if (!d)
		return HYPAPI_EPERM;
	if (windows & ~(u32)(HYPAPI_WINDOW_INTERRUPT | HYPAPI_WINDOW_NMI))
		return HYPAPI_EINVAL;
	if (cpu->world->mode != (d->ev.level == HYPAPI_L2 ? RUN_L2 : RUN_L1) || !in_guest(d))
		return HYPAPI_ENOTSUP;
	for (u32 i = 0; i < ARRAY_SIZE(types); i++)
		if ((windows >> i & 1) && !hypapps_link_of(d->link->app, types[i], d->ev.level))
			return HYPAPI_ENOTSUP;
	window_request(cpu, hypapps_number(d->link->app), windows);
	return HYPAPI_OK;
}

static const u32 reg_fields[HYPAPI_REG_COUNT] = {
	[HYPAPI_REG_RSP] = VMCS_GUEST_RSP, [HYPAPI_REG_RIP] = VMCS_GUEST_RIP, [HYPAPI_REG_RFLAGS] = VMCS_GUEST_RFLAGS,
	[HYPAPI_REG_CR3] = VMCS_GUEST_CR3, [HYPAPI_REG_EFER] = VMCS_GUEST_EFER, [HYPAPI_REG_CS] = VMCS_GUEST_CS_SEL,
	[HYPAPI_REG_FS_BASE] = VMCS_GUEST_FS_BASE, [HYPAPI_REG_GS_BASE] = VMCS_GUEST_GS_BASE,
	[HYPAPI_REG_TR_BASE] = VMCS_GUEST_TR_BASE,
	[HYPAPI_REG_GDTR_BASE] = VMCS_GUEST_GDTR_BASE, [HYPAPI_REG_GDTR_LIMIT] = VMCS_GUEST_GDTR_LIMIT,
	[HYPAPI_REG_IDTR_BASE] = VMCS_GUEST_IDTR_BASE, [HYPAPI_REG_IDTR_LIMIT] = VMCS_GUEST_IDTR_LIMIT,
	[HYPAPI_REG_PDPTE0] = VMCS_GUEST_PDPTE0, [HYPAPI_REG_PDPTE1] = VMCS_GUEST_PDPTE0 + 2,
	[HYPAPI_REG_PDPTE2] = VMCS_GUEST_PDPTE0 + 4, [HYPAPI_REG_PDPTE3] = VMCS_GUEST_PDPTE0 + 6,
};

/* A register that lies in this CPU's structure, of an event that has such; what hypapps use most. */
static inline bool is_gpr(const struct dispatch *d, enum hypapi_reg reg)
{
	return likely(reg <= HYPAPI_REG_R15 && reg != HYPAPI_REG_RSP && in_guest(d));
}

/* The VMCS at hand has the registers of who caused the event. */
static inline bool has_vmcs(const struct dispatch *d)
{
	return runs_guest(d) || (in_guest(d) && this_cpu()->world->mode == RUN_PARTITION);
}

static bool has_reg(const struct dispatch *d, enum hypapi_reg reg)
{
	return has_vmcs(d) && reg < HYPAPI_REG_COUNT;
}

static __attribute__((noinline)) u64 get_control_reg(enum hypapi_reg reg)
{
	u64 mask;

	if (reg == HYPAPI_REG_CR0) {
		mask = vmread(VMCS_CR0_MASK);
		return (vmread(VMCS_CR0_SHADOW) & mask) | (vmread(VMCS_GUEST_CR0) & ~mask);
	}
	mask = vmread(VMCS_CR4_MASK);
	return (vmread(VMCS_CR4_SHADOW) & mask) | (vmread(VMCS_GUEST_CR4) & ~mask);
}

static inline u64 get_vmcs_reg(enum hypapi_reg reg)
{
	return likely(reg_fields[reg]) ? vmread(reg_fields[reg]) : get_control_reg(reg);
}

uint64_t hypapi_reg_get(const struct hypapi_event *ev, enum hypapi_reg reg)
{
	const struct dispatch *d = delivery(ev, HYPAPI_CAP_REGISTERS);

	if (unlikely(!d))
		return 0;
	if (is_gpr(d, reg))
		return this_cpu()->gpr[reg];
	if (has_reg(d, reg))
		return get_vmcs_reg(reg);
	name_no_register(d, reg);
	return 0;
}

int hypapi_reg_read(const struct hypapi_event *ev, enum hypapi_reg reg, uint64_t *value)
{
	const struct dispatch *d = delivery(ev, HYPAPI_CAP_REGISTERS);

	if (!d)
		return HYPAPI_EPERM;
	if (!is_gpr(d, reg) && !has_reg(d, reg))
		return has_vmcs(d) ? HYPAPI_EINVAL : HYPAPI_ENOTSUP;
	*value = is_gpr(d, reg) ? this_cpu()->gpr[reg] : get_vmcs_reg(reg);
	return HYPAPI_OK;
}

#define RFLAGS_WRITABLE (RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_IF | BIT(10) | RFLAGS_RF | RFLAGS_AC)

/* IF stays while an interrupt is on its way into the guest, which has to take it; a partition takes none. */
static u64 writable_flags(const struct dispatch *d)
{
	u64 event = vmread(VMCS_ENTRY_INTR_INFO) & (INTR_VALID | INTR_TYPE);
	bool stays = this_cpu()->world->mode == RUN_PARTITION || d->ev.type == HYPAPI_EV_INTERRUPT ||
		     event == (INTR_VALID | INTR_TYPE_EXTERNAL);

	return stays ? RFLAGS_WRITABLE & ~RFLAGS_IF : RFLAGS_WRITABLE;
}

/*
 * No state that the CPU refuses to enter (SDM vol. 3, "Checks on Guest Non-Register State"): in a shadow of STI IF is
 * set; in any shadow and in HLT a trap waits exactly if TF is set. Who begins to step ends the one and the other.
 */
static void set_flags(const struct dispatch *d, u64 value)
{
	u64 old = vmread(VMCS_GUEST_RFLAGS), writable = writable_flags(d);

	value = (old & ~writable) | (value & writable);
	if ((value & ~old & RFLAGS_TF) ||
	    (!(value & RFLAGS_IF) && (vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_STI)))
		vmx_end_interrupt_shadow();
	if (value & ~old & RFLAGS_TF)
		vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	else if (old & ~value & RFLAGS_TF)
		vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) & ~PENDING_DEBUG_BS);
	vmwrite(VMCS_GUEST_RFLAGS, value);
}

/* Registers that need more than a store to this CPU's structure. Not in line: a mere store would save registers. */
static __attribute__((noinline)) int set_vmcs_reg(struct dispatch *d, enum hypapi_reg reg, u64 value)
{
	if (!has_vmcs(d))
		return HYPAPI_ENOTSUP;
	switch (reg) {
	case HYPAPI_REG_RIP:
		if (!is_canonical(value, LINEAR_BITS))
			return HYPAPI_EINVAL;
		vmx_end_interrupt_shadow(); /* the instruction is over */
		if (value >> 32 && !guest_long_mode())
			value = (u32)value;
		break;
	case HYPAPI_REG_RFLAGS:
		set_flags(d, value);
		return HYPAPI_OK;
	case HYPAPI_REG_RSP:
		break;
	default:
		return HYPAPI_EINVAL;
	}
	vmwrite(reg_fields[reg], value);
	return HYPAPI_OK;
}

int hypapi_reg_set(struct hypapi_event *ev, enum hypapi_reg reg, uint64_t value)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_REGISTERS);

	if (unlikely(!d))
		return HYPAPI_EPERM;
	if (!is_gpr(d, reg))
		return set_vmcs_reg(d, reg, value);
	this_cpu()->gpr[reg] = value;
	return HYPAPI_OK;
}

int hypapi_regs_clear(struct hypapi_event *ev, uint32_t mask)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_REGISTERS);

	if (!d)
		return HYPAPI_EPERM;
	if (mask & ~(0xffffu & ~BIT(HYPAPI_REG_RSP)))
		return HYPAPI_EINVAL;
	if (!in_guest(d))
		return HYPAPI_ENOTSUP;
	for (u64 *gpr = this_cpu()->gpr; mask; mask &= mask - 1)
		gpr[__builtin_ctz(mask)] = 0;
	return HYPAPI_OK;
}

/* What the next entry was to deliver. Where L1 has an exit instead it would stay in VMCS02, and come unasked. */
static void forget_delivery(void)
{
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
}

int hypapi_inject(struct hypapi_event *ev, uint32_t vector, uint32_t error_code, gva_t cr2)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_REGISTERS);

	if (!d)
		return HYPAPI_EPERM;
	if (!event_info[d->ev.type].raises || (vector != VEC_UD && vector != VEC_GP && vector != VEC_PF))
		return HYPAPI_EINVAL;
	if (vector != VEC_UD && (error_code & BITS(31, 16))) /* the CPU would refuse the entry */
		return HYPAPI_EINVAL;
	if (!runs_guest(d) || d->progress.enters)
		return HYPAPI_ESTATE;
	if (unlikely(d->progress.raised))
		forget_delivery();
	vmx_raise(this_cpu(), vector, error_code, cr2);
	d->progress.moved = true;
	d->progress.raised = true;
	return HYPAPI_OK;
}

/* Ready to walk the memory of this event's caller, as the event tells its privilege. */
static struct guest_walk *walk_of(struct dispatch *d)
{
	u32 stamp = guest_walk_stamp(this_cpu());

	if (d->progress.walked != stamp)
		guest_walk_begin(&d->walk, this_cpu(), d->ev.cpl);
	d->progress.walked = stamp;
	return &d->walk;
}

/* L1 has to make room in its page-modification log before anything is written in L2's name. */
static bool awaits_log(u32 rights)
{
	return (rights & HYPAPI_W) && this_cpu()->world->mode == RUN_L2 && nested_log_full(this_cpu());
}

/* The error of an access to some pages that was GUEST_NOT_OWNED. */
static __attribute__((noinline)) int why_not_owned(struct dispatch *d, gva_t gva, size_t len, u32 rights)
{
	u64 end = gva.addr + len, page = gva.addr;
	enum guest_access_result now;
	struct guest_page found;
	struct guest_miss miss;

	while ((now = guest_walk_page(walk_of(d), GVA(page), rights, &found, NULL)) == GUEST_OK && found.memory &&
	       (page & HYPAPI_PAGE_MASK) + PAGE_SIZE < end)
		page = (page & HYPAPI_PAGE_MASK) + PAGE_SIZE;
	if (now == GUEST_PAGE_FAULT) /* the guest has changed its tables since */
		return result_of(now);
	/* L1 has mapped it since, or has to empty its log. */
	if (now == GUEST_OK && found.memory && this_cpu()->world->mode == RUN_L2)
		return HYPAPI_ENOTMAPPED;
	return nested_misses(walk_of(d), GVA(page), rights, &miss) ? HYPAPI_ENOTMAPPED : HYPAPI_EPERM;
}

/* The error of an access to some pages. Who was built before 1.3 does not know ENOTMAPPED. */
static int access_error(struct dispatch *d, enum guest_access_result result, gva_t gva, size_t len, u32 rights)
{
	if (likely(result != GUEST_NOT_OWNED) || d->link->app->minor < 3)
		return result_of(result);
	return why_not_owned(d, gva, len, rights);
}

int hypapi_page_in(struct hypapi_event *ev, gva_t gva, uint32_t rights)
{
	struct guest_fault fault;
	struct guest_page found;
	struct guest_miss miss;
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_MEMORY, false, &d);

	if (error)
		return error;
	if (!event_info[d->ev.type].repeats || !rights || (rights & ~(u32)HYPAPI_RWX))
		return HYPAPI_EINVAL;
	enum guest_access_result result = guest_walk_page(walk_of(d), gva, rights, &found, &fault);

	if (result == GUEST_OK && !awaits_log(rights))
		return 1;
	if (result == GUEST_PAGE_FAULT)
		forget_delivery(), vmx_raise(this_cpu(), VEC_PF, fault.error_code, fault.gva);
	else if (nested_misses(walk_of(d), gva, rights, &miss))
		forget_delivery(), nested_page_in(this_cpu(), gva, &miss);
	else /* L1 may have mapped it since */
		return guest_walk_page(walk_of(d), gva, rights, &found, NULL) == GUEST_OK ? 1 : HYPAPI_EPERM;
	d->progress.moved = true;
	d->progress.raised = true;
	return HYPAPI_OK;
}

int hypapi_translate(const struct hypapi_event *ev, gva_t gva, uint32_t rights, struct hypapi_page *page)
{
	struct guest_page found = { 0 };
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_MEMORY, false, &d);

	if (error)
		return error;
	rights &= HYPAPI_RWX;
	error = access_error(d, guest_walk_page(walk_of(d), gva, rights, &found, NULL), gva, 1, rights);
	if (!error || error == HYPAPI_EPERM || error == HYPAPI_ENOTMAPPED)
		*page = (struct hypapi_page){ .hpa = found.hpa, .gpa1 = found.gpa1, .gpa2 = found.gpa2,
					      .rights = found.rights };
	return error;
}

static int range_call(const struct hypapi_event *ev, gva_t gva, size_t len, struct dispatch **d, const char *call)
{
	int error = guest_delivery_for(ev, HYPAPI_CAP_MEMORY, false, d, call);

	if (error)
		return error;
	return len > MAX_COPY_BYTES || gva.addr + len < gva.addr ? HYPAPI_EINVAL : HYPAPI_OK;
}

int hypapi_copy_from(const struct hypapi_event *ev, void *dst, gva_t src, size_t len_bytes)
{
	struct dispatch *d;
	int error = range_call(ev, src, len_bytes, &d, __func__);

	if (error)
		return error;
	return access_error(d, guest_walk_read(walk_of(d), dst, src, len_bytes, NULL), src, len_bytes, HYPAPI_R);
}

int hypapi_copy_to(const struct hypapi_event *ev, gva_t dst, const void *src, size_t len_bytes)
{
	struct dispatch *d;
	int error = range_call(ev, dst, len_bytes, &d, __func__);

	if (error)
		return error;
	return access_error(d, guest_walk_write(walk_of(d), dst, src, len_bytes, NULL), dst, len_bytes, HYPAPI_W);
}

int hypapi_ept_identity(const struct hypapi_event *ev, hypapi_ept_t ept, uint64_t *id)
{
	struct dispatch *d = delivery(ev, 0);

	if (!d || !is_current(ept))
		return HYPAPI_ESTALE;
	*id = (ept.id & 3) == HYPAPI_L2 ? nested_eptp12(this_cpu()) : ept01_pointer;
	return HYPAPI_OK;
}

int hypapi_vcpu_identity(const struct hypapi_event *ev, uint64_t *id)
{
	struct dispatch *d = delivery(ev, 0);

	if (!d || d->ev.level != HYPAPI_L2)
		return HYPAPI_ENOTSUP;
	*id = nested_vmcs12(this_cpu());
	return HYPAPI_OK;
}

static bool partition_rights_ok(u32 rights)
{
	return rights == HYPAPI_R || rights == HYPAPI_RW || rights == HYPAPI_RX;
}

static bool page_request_ok(const struct hypapi_partition_page *page)
{
	u32 rights = page->rights & ~(HYPAPI_CALLER_WRITES | HYPAPI_HOME | HYPAPI_FRAME);

	return partition_rights_ok(rights) && !(page->gva.addr & (HYPAPI_PAGE_SIZE - 1)) && page->gva.addr < BIT(47);
}

/* Which page of L1 a request means, if the caller has these rights to it. */
static int find_page(struct dispatch *d, const struct hypapi_partition_page *page, u32 needed, gpa1_t *gpa1)
{
	struct guest_page found;
	enum guest_access_result result = GUEST_NOT_OWNED;

	if (!page_request_ok(page))
		return HYPAPI_EINVAL;
	if (!(page->rights & HYPAPI_FRAME))
		result = guest_walk_page(walk_of(d), page->gva, needed, &found, NULL);
	else if (guest_physical_page(this_cpu(), (u64)page->frame << PAGE_SHIFT, &found) &&
		 (found.rights & needed) == needed)
		result = GUEST_OK;
	*gpa1 = found.gpa1;
	return result_of(result);
}

uint32_t hypapi_partition_limit(void)
{
	return partition_limit;
}

/* All pages of a request, and the last of them that is to be the home. */
static int find_pages(struct dispatch *d, const struct hypapi_partition_page *pages, size_t page_count,
		      struct partition_page *list, struct partition_home *home)
{
	home->gpa1 = PARTITION_NO_HOME;
	home->path.levels = GUEST_NO_PATH;
	for (size_t i = 0; i < page_count; i++) {
		u32 rights = pages[i].rights & HYPAPI_RWX;
		u32 needed = rights | (pages[i].rights & HYPAPI_CALLER_WRITES ? HYPAPI_W : 0);
		gpa1_t gpa1;
		int error = find_page(d, &pages[i], needed, &gpa1);

		if (error)
			return error;
		list[i] = (struct partition_page){ pages[i].gva.addr | rights, gpa1.addr };
		if (!(pages[i].rights & HYPAPI_HOME))
			continue;
		home->gpa1 = gpa1.addr;
		home->path.gva = pages[i].gva.addr;
	}
	return HYPAPI_OK;
}

int hypapi_partition_create(struct hypapi_event *ev, const struct hypapi_partition_page *pages, size_t page_count,
			    hypapi_partition_t *partition)
{
	/* Used under a stop only, so one list serves all CPUs. */
	static struct partition_page list[PARTITION_MAX_PAGES];
	static struct partition_home home;
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_PARTITIONS, false, &d);

	if (error)
		return error;
	if (!quiesce_owned(&this_cpu()->quiesce))
		return HYPAPI_ESTATE;
	if (!page_count || page_count > PARTITION_MAX_PAGES)
		return HYPAPI_EINVAL;
	error = find_pages(d, pages, page_count, list, &home);

	if (!error)
		error = partition_create(d->link->app, list, page_count, &home, &partition->id);
	return error;
}

int hypapi_partition_at_home(const struct hypapi_event *ev, hypapi_partition_t partition)
{
	struct dispatch *d;
	int error = guest_delivery(ev, HYPAPI_CAP_PARTITIONS, false, &d);

	return error ? error : partition_at_home(partition.id, d->link->app, walk_of(d));
}

int hypapi_partition_destroy(struct hypapi_event *ev, hypapi_partition_t partition)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_PARTITIONS);
	struct partition *p = d ? partition_get(partition.id, d->link->app) : NULL;

	if (!p)
		return d ? HYPAPI_ESTALE : HYPAPI_EPERM;
	u64 before = this_cpu()->quiesce.count.owned;
	int error = partition_destroy(this_cpu(), p);

	if (this_cpu()->quiesce.count.owned != before)
		dispatch_count_stop(d, true); /* somebody's creation caused it, whoever brought about the end */
	return error;
}

int hypapi_partition_add_fpu(struct hypapi_event *ev, hypapi_partition_t partition)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_PARTITIONS);
	struct partition *p = d ? partition_get(partition.id, d->link->app) : NULL;

	if (!p)
		return d ? HYPAPI_ESTALE : HYPAPI_EPERM;
	return quiesce_owned(&this_cpu()->quiesce) ? partition_add_fpu(p) : HYPAPI_ESTATE;
}

int hypapi_partition_add_memory(struct hypapi_event *ev, hypapi_partition_t partition, const gva_t *pages,
				size_t page_count, uint32_t rights)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_PARTITIONS);
	struct partition *p;

	if (!d)
		return HYPAPI_EPERM;
	if (!page_count || page_count > PARTITION_MAX_PAGES || !partition_rights_ok(rights))
		return HYPAPI_EINVAL;
	for (size_t i = 0; i < page_count; i++)
		if (pages[i].addr & (PAGE_SIZE - 1) || pages[i].addr >= BIT(47))
			return HYPAPI_EINVAL;
	int error = partition_claim(partition.id, d->link->app, this_cpu(), &p);

	if (error)
		return error;
	error = partition_add_memory(p, pages, page_count, rights);
	partition_release(p);
	return error;
}

static int partition_access(const struct hypapi_event *ev, hypapi_partition_t partition, gva_t gva, void *buf,
			    size_t len, bool write, const char *call)
{
	struct dispatch *d = delivery_for(ev, HYPAPI_CAP_PARTITIONS, call);

	if (!d)
		return HYPAPI_EPERM;
	if (len > MAX_COPY_BYTES || gva.addr + len < gva.addr)
		return HYPAPI_EFAULT;
	speculation_touched(this_cpu());
	return partition_copy(partition.id, d->link->app, gva.addr, buf, len, write);
}

int hypapi_partition_read(const struct hypapi_event *ev, hypapi_partition_t partition, void *dst, gva_t src,
			  size_t len_bytes)
{
	return partition_access(ev, partition, src, dst, len_bytes, false, __func__);
}

int hypapi_partition_write(const struct hypapi_event *ev, hypapi_partition_t partition, gva_t dst, const void *src,
			   size_t len_bytes)
{
	return partition_access(ev, partition, dst, (void *)src, len_bytes, true, __func__);
}

int hypapi_partition_enter(struct hypapi_event *ev, hypapi_partition_t partition,
			   const struct hypapi_partition_entry *entry)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_PARTITIONS);

	if (!d)
		return HYPAPI_EPERM;
	if (!event_info[d->ev.type].enters || !runs_guest(d) || d->progress.enters || d->progress.raised)
		return HYPAPI_ESTATE;
	if (entry->rip >= (entry->long_mode ? BIT(47) : BIT(32)))
		return HYPAPI_EINVAL;
	int error = partition_claim(partition.id, d->link->app, this_cpu(), &d->enter);

	if (error)
		return error;
	d->progress.enters = true;
	d->entry = *entry;
	this_cpu()->partition.caller_mode = (struct guest_mode){ d->ev.cpl, d->ev.long_mode };
	return HYPAPI_OK;
}

int hypapi_partition_leave(struct hypapi_event *ev)
{
	struct dispatch *d = delivery(ev, HYPAPI_CAP_PARTITIONS);

	if (!d)
		return HYPAPI_EPERM;
	if (!in_guest(d) || this_cpu()->world->mode != RUN_PARTITION)
		return HYPAPI_ESTATE;
	partition_leave(this_cpu());
	d->progress.moved = true;
	ev->partition.id = HYPAPI_NONE;
	ev->cpl = this_cpu()->partition.caller_mode.cpl;
	ev->long_mode = this_cpu()->partition.caller_mode.long_mode;
	return HYPAPI_OK;
}

const char *hypapi_option(const char *name)
{
	return cmdline_get(name);
}

uint32_t hypapi_l2_hypercall_base(void)
{
	return CONFIG_L2_HYPERCALL_BASE;
}

void hypapi_log(const char *format, ...)
{
	static struct log_limit limits[MAX_HYPAPPS + 1]; /* [0]: outside of all deliveries */
	const struct dispatch *d = this_cpu()->dispatch;
	va_list args;

	va_start(args, format);
	/* A guest makes a hypapp log, too: what makes one silent must not make the others. */
	if (log_threshold >= LOG_INFO && log_allowed(&limits[d ? hypapps_number(d->link->app) : 0], 256, 64))
		log_line_va(LOG_INFO, format, args);
	va_end(args);
}
