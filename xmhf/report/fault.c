/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fault.h. Nothing is trusted but this CPU's structure and the tables in read-only data. There are no frame
 * pointers: the back trace is what on the stack looks like the return address of a call, so that it may show one that
 * is left over from a call before.
 */
#include "report/fault.h"

#include "cpu/x86.h"
#include "events/dispatch.h"
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

static const char *vector_name(u64 vector)
{
	static const char *const names[] = {
		[VEC_DE] = "#DE", [VEC_DB] = "#DB", [VEC_BP] = "#BP", [VEC_UD] = "#UD", [VEC_DF] = "#DF",
		[VEC_GP] = "#GP", [VEC_PF] = "#PF",
	};

	return vector < ARRAY_SIZE(names) && names[vector] ? names[vector] : "exception";
}

static void place(const char *what, u64 address)
{
	struct symbol s;

	if (!symbol_find(address, &s))
		panic_line("%s 0x%lx", what, address);
	else if (s.first_line)
		panic_line("%s 0x%lx: %s+0x%lx, %s, lines %u to %u", what, address, s.name, address - s.start, s.file,
			   s.first_line, s.last_line);
	else
		panic_line("%s 0x%lx: %s+0x%lx", what, address, s.name, address - s.start);
}

static void registers(const struct trap_frame *f)
{
	panic_line("rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	panic_line("rsi %016lx rdi %016lx rbp %016lx rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
	panic_line("r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
	panic_line("r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
}

static bool is_return_address(u64 word)
{
	return word >= (u64)text_start + CALL_BYTES && word < (u64)text_end &&
	       *((const u8 *)word - CALL_BYTES) == CALL_OPCODE;
}

static void back_trace(const struct percpu *cpu, u64 rsp)
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
			panic_line("and %u times more from there", again);
		place("called from", word - 1);
		last = word;
		again = 0;
		callers++;
	}
}

/* A store below a root stack: #PF, or #DF where the CPU could not even report that. */
static void name_overflow(const struct trap_frame *f)
{
	const char *stack = NULL;
	u32 index;

	if (f->vector == VEC_PF || f->vector == VEC_DF)
		stack = root_map_guard(read_cr2(), &index);
	if (stack)
		panic_line("root stack overflow on CPU %u: its %s, RIP %lx, RSP %lx", index, stack, f->rip, f->rsp);
}

static void name_hypapp(const struct dispatch *d)
{
	struct symbol handler;

	panic_line("hypapp %s, event %s from L%u, handler %s", d->link->app->name,
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
	for (;;)
		asm volatile("cli; hlt");
}

void fault_in_root(const struct trap_frame *f)
{
	static _Atomic u32 faults;
	u32 before = atomic_fetch_add(&faults, 1);
	struct percpu *cpu = this_cpu();

	/* A fault in what follows is not reported for ever. */
	if (before > cpu_count)
		for (;;)
			asm volatile("cli; hlt");
	log_end(true);
	name_overflow(f);
	if (cpu->dispatch)
		name_hypapp(cpu->dispatch);
	panic_line("%s (%lu), error code 0x%lx, CR2 0x%lx, on CPU %u", vector_name(f->vector), f->vector, f->error_code,
		   read_cr2(), cpu->index);
	place("at", f->rip);
	registers(f);
	back_trace(cpu, f->rsp);
	if (!cpu->dispatch && !before)
		panic("exception %lu in root, error code 0x%lx, RIP %lx, RSP %lx, CR2 %lx", f->vector, f->error_code,
		      f->rip, f->rsp, read_cr2());
	panic_line("the memory of partitions is wiped, and the machine reset");
	cpu->dispatch = NULL;
	wipe_and_reset(cpu);
}
