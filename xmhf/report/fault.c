/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fault.h. Nothing is trusted but this CPU's structure and the tables in read-only data. There are no frame
 * pointers: the back trace is what on the stack looks like the return address of a call, so that it may show one that
 * is left over from a call before.
 */
#include "report/fault.h"

#include "cpu/x86.h"
#include "events/drop.h"
#include "events/event_info.h"
#include "mem/root_map.h"
#include "power/power.h"
#include "power/reset.h"
#include "report/log.h"
#include "report/symbols.h"

#define MAX_CALLERS 16
#define CALL_BYTES 5
#define CALL_OPCODE 0xe8

extern const char text_start[], text_end[];

/* The hypapp is dropped and the log goes on; or these are the last lines. */
#define tell(drop, ...)                                                                                \
	do {                                                                                           \
		if (drop)                                                                              \
			log_error(__VA_ARGS__);                                                        \
		else                                                                                   \
			panic_line(__VA_ARGS__);                                                       \
	} while (0)

static const char *vector_name(u64 vector)
{
	static const char *const names[] = {
		[VEC_DE] = "#DE", [VEC_DB] = "#DB", [VEC_BP] = "#BP", [VEC_UD] = "#UD", [VEC_DF] = "#DF",
		[VEC_GP] = "#GP", [VEC_PF] = "#PF",
	};

	return vector < ARRAY_SIZE(names) && names[vector] ? names[vector] : "exception";
}

static void place(bool drop, const char *what, u64 address)
{
	struct symbol s;

	if (!symbol_find(address, &s))
		tell(drop, "%s 0x%lx", what, address);
	else if (s.first_line)
		tell(drop, "%s 0x%lx: %s+0x%lx, %s, lines %u to %u", what, address, s.name, address - s.start, s.file,
		     s.first_line, s.last_line);
	else
		tell(drop, "%s 0x%lx: %s+0x%lx", what, address, s.name, address - s.start);
}

/* Not into a ring that L1 may read when the machine goes on: they may hold what is not for it. CR2 may be a guest's. */
static void registers(void (*line)(const char *format, ...), const struct trap_frame *f)
{
	line("rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	line("rsi %016lx rdi %016lx rbp %016lx rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
	line("r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
	line("r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
	line("cr2 %016lx", read_cr2());
}

static bool is_return_address(u64 word)
{
	return word >= (u64)text_start + CALL_BYTES && word < (u64)text_end &&
	       *((const u8 *)word - CALL_BYTES) == CALL_OPCODE;
}

static void back_trace(bool drop, const struct percpu *cpu, u64 rsp)
{
	u64 bottom = cpu->stack_top - root_map_stack_bytes(ROOT_STACK_MAIN), last = 0;
	u32 callers = 0, again = 0;

	for (u64 at = ALIGN_UP(MAX(rsp, bottom), 8ul); at < cpu->stack_top && callers < MAX_CALLERS; at += 8) {
		u64 word = *(const u64 *)at;

		if (!is_return_address(word))
			continue;
		if (word == last) {
			again++;
			continue;
		}
		if (again)
			tell(drop, "and %u times more from there", again);
		place(drop, "called from", word - 1);
		last = word;
		again = 0;
		callers++;
	}
}

/* A store below a root stack: #PF, or #DF where the CPU could not even report that. */
static void name_overflow(bool drop, const struct trap_frame *f)
{
	const char *stack = NULL;
	u32 index;

	if (f->vector == VEC_PF || f->vector == VEC_DF)
		stack = root_map_guard(read_cr2(), &index);
	if (stack)
		tell(drop, "root stack overflow on CPU %u: its %s, RIP %lx, RSP %lx", index, stack, f->rip, f->rsp);
}

static void name_hypapp(bool drop, const struct dispatch *d)
{
	struct symbol handler;

	tell(drop, "hypapp %s, event %s from L%u, handler %s", d->link->app->name,
		   d->ev.type < HYPAPI_EV_COUNT ? event_info[d->ev.type].name : "?", d->ev.level,
		   symbol_find((u64)d->link->handler, &handler) ? handler.name : "?");
}

/* The main stack from its top on: what stood there has been told. */
static _Noreturn void go_on_at(void (*where)(struct percpu *), struct percpu *cpu)
{
	asm volatile("movq %0, %%rsp; xorl %%ebp, %%ebp; pushq $0; pushq %1; ret"
		     : : "r"(cpu->stack_top), "r"(where), "D"(cpu) : "memory");
	__builtin_unreachable();
}

/* One CPU wipes and resets. Its own next fault resets at once; another CPU's must not cut its wiping short. */
static _Noreturn void wipe_and_reset(struct percpu *cpu)
{
	static _Atomic u32 who;
	u32 first = 0;

	if (atomic_compare_exchange_strong(&who, &first, cpu->index + 1))
		go_on_at(power_fault, cpu);
	if (first == cpu->index + 1)
		go_on_at(reset_machine, cpu);
	halt();
}

/* All that is known of a fault. Without a delivery it is the core's own. */
static void tell_all(bool drop, const struct percpu *cpu, const struct trap_frame *f)
{
	name_overflow(drop, f);
	if (cpu->dispatch)
		name_hypapp(drop, cpu->dispatch);
	tell(drop, "%s (%lu), error code 0x%lx, on CPU %u", vector_name(f->vector), f->vector, f->error_code,
	     cpu->index);
	place(drop, "at", f->rip);
	registers(drop ? log_now : panic_line, f);
	back_trace(drop, cpu, f->rsp);
}

/* Back to the guard; flags are as functions want them. */
static void drop_hypapp(struct percpu *cpu, struct trap_frame *f)
{
	tell_all(true, cpu, f);
	log_error("hypapp %s is dropped: what it has restricted stays refused, its partitions end, and the machine "
		  "goes on without it", cpu->dispatch->link->app->name);
	cpu->handler_guard->dropped = true;
	f->rip = (u64)guard_return;
	f->rsp = cpu->handler_guard->rsp;
	f->rflags = RFLAGS_FIXED1;
}

void fault_in_root(struct trap_frame *f)
{
	static _Atomic u32 faults;
	struct percpu *cpu = this_cpu();
	/* What is no fault of an instruction leaves nothing to rely on. */
	const char *obstacle = f->vector == VEC_DF || f->vector == VEC_MC ? "this exception is an abort" :
			       drop_obstacle(cpu, drop_is_own_text(cpu, f->rip));

	if (!obstacle) {
		drop_hypapp(cpu, f);
		return;
	}
	u32 before = atomic_fetch_add(&faults, 1);

	/* A fault in what follows is not reported for ever. */
	if (before > cpu_count)
		halt();
	log_at_once(true);
	tell_all(false, cpu, f);
	if (!cpu->dispatch && !before)
		panic("exception %lu in root, error code 0x%lx, RIP %lx, RSP %lx, CR2 %lx", f->vector, f->error_code,
		      f->rip, f->rsp, read_cr2());
	if (cpu->dispatch && cpu->dispatch->link->droppable)
		panic_line("not dropped: %s", obstacle);
	panic_line("the memory of partitions is wiped, and the machine reset");
	cpu->dispatch = NULL;
	cpu->handler_guard = NULL;
	wipe_and_reset(cpu);
}
