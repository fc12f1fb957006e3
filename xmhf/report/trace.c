/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See trace.h. An entry's serial number is taken away before its other members are written, and given after: a reader
 * that finds the same number before and after its copy has a whole entry. x86 keeps stores in order among stores, and
 * loads among loads (Intel SDM vol. 3, "Memory Ordering"), so the fences below bind the compiler only.
 */
#include "report/trace.h"

#include "core/cmdline.h"
#include "events/event_info.h"
#include "mem/pages.h"
#include "report/log.h"

size_t trace_bytes(void)
{
	return cmdline_is("trace", "on") ? ALIGN_UP(sizeof(struct trace), PAGE_SIZE) : 0;
}

void trace_cpu_init(struct percpu *cpu)
{
	if (cpu->trace || !trace_bytes())
		return;
	cpu->trace = pages_boot_alloc(trace_bytes() / PAGE_SIZE);
	/* For who can look into the machine's memory, when the guest does not end. */
	log_info("trace ring of CPU %u at 0x%lx", cpu->index, virt_to_phys(cpu->trace).addr);
}

static volatile u64 *serial_of(const struct hypapi_trace_entry *entry)
{
	return (volatile u64 *)&entry->serial;
}

/*
 * Writes an entry, all but its serial number and its stop, which come from the ring. In line, its fences would end the
 * build with GCC's thread sanitizer: a warning that is silent in a system header's macro alone.
 */
static __attribute__((noinline)) void put(struct trace *t, const struct hypapi_trace_entry *entry)
{
	u64 serial = t->serial + 1;
	struct hypapi_trace_entry *place = &t->ring[t->serial % TRACE_ENTRIES], whole = *entry;

	whole.serial = 0;
	whole.stops = t->pending.stops;
	whole.stop_epoch = t->pending.stop_epoch;
	whole.stop_start = t->pending.stop_start;
	whole.stop_ticks = t->pending.stop_ticks;
	t->pending = (struct hypapi_trace_entry){ 0 };
	*serial_of(place) = 0;
	atomic_thread_fence(memory_order_release);
	*place = whole;
	atomic_thread_fence(memory_order_release);
	*serial_of(place) = serial;
	t->serial = serial;
}

void trace_get(const struct trace *t, u32 place, struct hypapi_trace_entry *entry)
{
	u64 serial = *serial_of(&t->ring[place]);

	atomic_thread_fence(memory_order_acquire);
	*entry = t->ring[place];
	atomic_thread_fence(memory_order_acquire);
	entry->serial = *serial_of(&t->ring[place]) == serial ? serial : 0;
}

void trace_stop(struct percpu *cpu, u64 start, u64 now)
{
	struct hypapi_trace_entry *pending = &cpu->trace->pending;

	pending->stops++;
	pending->stop_epoch = cpu->quiesce.epoch;
	pending->stop_start = start;
	pending->stop_ticks = now - start;
}

/* What an event was about, by its row in events/event_info.c. */
static u64 member_of(const struct hypapi_event *ev, struct event_member m)
{
	u32 unused = 64 - 8 * m.bytes;
	u64 value;

	__builtin_memcpy(&value, (const u8 *)ev + m.at, sizeof(value)); /* eight bytes more are behind all arguments */
	return m.bytes ? value << unused >> unused : 0;
}

static u64 access_of(const struct hypapi_event *ev, const struct event_info *info)
{
	u64 access = member_of(ev, info->access);

	for (u32 i = 0; i < ARRAY_SIZE(info->flags); i++)
		if (((const u8 *)ev)[info->flags[i].at])
			access |= info->flags[i].bit;
	return access;
}

/* No member alone: which device it was, and a linear address that may not count. */
static u64 value_of(const struct hypapi_event *ev, const struct event_info *info)
{
	const struct hypapi_dma_fault_args *a = &ev->args.dma_fault;

	if (ev->type == HYPAPI_EV_DMA_FAULT)
		return (u64)a->segment << 16 | (u64)a->bus << 8 | (u64)a->device << 3 | a->function;
	if (ev->type == HYPAPI_EV_EPT_VIOLATION && !ev->args.violation.gva_valid)
		return 0;
	return member_of(ev, info->value);
}

void trace_delivery(const struct percpu *cpu, const struct dispatch *d, u64 start, u64 now, enum hypapi_verdict verdict)
{
	struct trace *t = cpu->trace;
	const struct event_info *info = &event_info[d->ev.type];

	_Static_assert(MAX_HYPAPPS <= 256 && HYPAPI_EV_COUNT <= 256, "bytes of an entry");
	bool partition = d->progress.enters || (cpu->world->mode == RUN_PARTITION && d->ev.level != HYPAPI_L0);

	put(t, &(struct hypapi_trace_entry){
		.start = start, .ticks = now - start, .type = (u8)d->ev.type, .level = (u8)d->ev.level,
		.hypapp = (u8)(hypapps_number(d->link->app) - 1), .verdict = (u8)verdict,
		.stopped = d->ev.stopped && !t->pending.stops,
		.number = (u32)member_of(&d->ev, info->number), .access = (u8)access_of(&d->ev, info),
		.address = member_of(&d->ev, info->address), .value = value_of(&d->ev, info),
		.next = partition ? HYPAPI_TRACE_PARTITION : (u8)d->ev.level,
	});
}

static void log_entry(u32 cpu, const struct hypapi_trace_entry *e)
{
	log_now("trace %u %lu %lu %lu %u %u %u %u 0x%x %u %u %u %lu %lu %lu %u 0x%lx 0x%lx", cpu, e->serial, e->start,
		e->ticks, e->type, e->level, e->hypapp, e->verdict, e->number, e->next, e->stopped, e->stops,
		e->stop_epoch, e->stop_start, e->stop_ticks, e->access, e->address, e->value);
}

void trace_log(void)
{
	struct hypapi_trace_entry entry;

	for (u32 i = 0; i < cpu_count; i++)
		for (u32 n = 0; cpus[i]->trace && n < TRACE_ENTRIES; n++) {
			trace_get(cpus[i]->trace, (u32)((cpus[i]->trace->serial + n) % TRACE_ENTRIES), &entry);
			if (entry.serial)
				log_entry(i, &entry);
		}
}
