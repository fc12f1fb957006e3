/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See trace.h. An entry's serial number is taken away before its other members are written, and given after: a reader
 * that finds the same number before and after its copy has a whole entry. x86 keeps stores in order among stores, and
 * loads among loads (Intel SDM vol. 3, "Memory Ordering"), so the fences below bind the compiler only.
 */
#include "report/trace.h"

#include "core/cmdline.h"
#include "mem/pages.h"
#include "report/log.h"

size_t trace_bytes(void)
{
	return cmdline_is("trace", "on") ? ALIGN_UP(sizeof(struct trace), PAGE_SIZE) : 0;
}

void trace_cpu_init(struct percpu *cpu)
{
	if (!cpu->trace && trace_bytes())
		cpu->trace = pages_boot_alloc(trace_bytes() / PAGE_SIZE);
}

static volatile u64 *serial_of(const struct hypapi_trace_entry *entry)
{
	return (volatile u64 *)&entry->serial;
}

void trace_put(struct trace *t, const struct hypapi_trace_entry *entry)
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

static u32 number_of(const struct hypapi_event *ev)
{
	switch (ev->type) {
	case HYPAPI_EV_HYPERCALL: return ev->args.hypercall.number;
	case HYPAPI_EV_CPUID: return ev->args.cpuid.leaf;
	case HYPAPI_EV_PARTITION_EXIT: return ev->args.partition_exit.reason;
	default: return 0;
	}
}

void trace_delivery(const struct percpu *cpu, const struct dispatch *d, u64 start, u64 now, enum hypapi_verdict verdict)
{
	struct trace *t = cpu->trace;

	_Static_assert(MAX_HYPAPPS <= 256 && HYPAPI_EV_COUNT <= 256, "bytes of an entry");
	bool partition = d->progress.enters || (cpu->world->mode == RUN_PARTITION && d->ev.level != HYPAPI_L0);

	trace_put(t, &(struct hypapi_trace_entry){
		.start = start, .ticks = now - start, .number = number_of(&d->ev), .type = (u8)d->ev.type,
		.level = (u8)d->ev.level, .hypapp = (u8)(hypapps_number(d->link->app) - 1), .verdict = (u8)verdict,
		.stopped = d->ev.stopped && !t->pending.stops,
		.next = partition ? HYPAPI_TRACE_PARTITION : (u8)d->ev.level,
	});
}

static void log_entry(u32 cpu, const struct hypapi_trace_entry *e)
{
	log_now("trace %u %lu %lu %lu %u %u %u %u 0x%x %u %u %u %lu %lu %lu", cpu, e->serial, e->start, e->ticks,
		 e->type, e->level, e->hypapp, e->verdict, e->number, e->next, e->stopped, e->stops, e->stop_epoch,
		 e->stop_start, e->stop_ticks);
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
