/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls of PALs: a fetch at the entry point goes in, a return to an address that exists nowhere comes out.
 *
 * No CPU is stopped here. A PAL is run by one CPU at a time (the state in pal.h); a second caller executes its fetch
 * again and again, with its interrupts open, until the PAL is free. What comes from the caller is read once. What goes
 * back to it is decided by what was read then, never by what stands in the PAL's memory, which the PAL can change.
 * What was copied through here is cleared when the copy has been used: what of it there was, no more, for it costs
 * time.
 */
#include "pal.h"
#include "tpm/tpm.h"

/*
 * The return addresses of PALs. No section can lie there or on the page before (register.c), so the RET that leaves the
 * PAL makes a page fault of a fetch with just this address, and nothing else does.
 */
#define RETURN_64 0xffffc0de00000000ull
#define RETURN_32 0xfffff000ull

#define RFLAGS_IF (1u << 9)
#define VECTOR_PF 14
#define PF_PRESENT (1u << 0)
#define PF_WRITE (1u << 1)
#define PF_USER (1u << 2)
#define PF_FETCH (1u << 4)

#define MAX_FAULT_LINES 64 /* faults are the guest's to make: it must not drown the log */

uint64_t tv_invocations, tv_returns;

/*
 * Calls at a command that takes long: where the PAL goes on, and whose call it is. If it has returned it does not go
 * on, and its answer is in RAX. Each belongs to who has the PAL.
 */
static struct paused {
	struct hypapi_partition_entry at;
	uint64_t caller_rsp, caller_space, fs_base, gs_base;
	bool told; /* once a PAL, that its own thread calls: a loop of that would take the lines of others */
} paused_calls[TV_MAX_PALS];
#define PAUSED_REGS (sizeof(paused_calls[0].at.gpr) / sizeof(paused_calls[0].at.gpr[0]))

static const uint8_t arg_regs[] = { HYPAPI_REG_RDI, HYPAPI_REG_RSI, HYPAPI_REG_RDX,
				    HYPAPI_REG_RCX, HYPAPI_REG_R8, HYPAPI_REG_R9 };
#define ARG_REGS (sizeof(arg_regs) / sizeof(arg_regs[0]))

/* What the PAL leaves in these the caller may not see: its ABI lets a function change them. The result stands apart. */
#define REG(name) (1u << HYPAPI_REG_##name)
#define SCRATCH_64 (REG(RCX) | REG(RDX) | REG(RSI) | REG(RDI) | REG(R8) | REG(R9) | REG(R10) | REG(R11))
#define SCRATCH_32 (REG(RCX) | REG(RDX))

/*
 * The fault of a jump to a page that may not be executed. Not the one of a page that is not there: an operating system
 * would find the page there, think that it has just been mended, and try again for ever.
 */
static enum hypapi_verdict refuse_fetch(struct hypapi_event *ev, gva_t gva, uint8_t cpl)
{
	hypapi_inject(ev, VECTOR_PF, PF_PRESENT | PF_FETCH | (cpl == 3 ? PF_USER : 0), gva);
	return HYPAPI_HANDLED;
}

/* Makes the caller's registers those after the return of an ordinary function. */
static void return_to_caller(struct hypapi_event *ev, const struct pal *pal, uint64_t result)
{
	uint64_t rsp = pal->caller_rsp + pal->word_bytes;

	hypapi_regs_clear(ev, pal->long_mode ? SCRATCH_64 : SCRATCH_32);
	hypapi_reg_set(ev, HYPAPI_REG_RAX, pal->long_mode ? result : (uint32_t)result);
	hypapi_reg_set(ev, HYPAPI_REG_RSP, pal->long_mode ? rsp : (uint32_t)rsp);
	hypapi_reg_set(ev, HYPAPI_REG_RIP, pal->return_address);
}

/*
 * The caller of this PAL, whose registers are the event's, gets that fault at the entry point; or, where the PAL was
 * registered so, an error from a call that came as far as its return address.
 */
static enum hypapi_verdict fail_call(struct hypapi_event *ev, const struct pal *pal)
{
	if (!(pal->flags & TV_LIST_ERRORS))
		return refuse_fetch(ev, pal->call->at, pal->cpl);
	return_to_caller(ev, pal, TV_CALL_FAILED);
	return HYPAPI_HANDLED;
}

/* The call is over: what the caller gave is not kept. */
static void forget_call(struct pal *pal)
{
	for (uint32_t i = 0; i < pal->call->params.num_params; i++)
		pal->args[i] = 0;
}

static void release(struct hypapi_event *ev, struct pal *pal)
{
	forget_call(pal);
	pal_let_go(ev, pal, PAL_READY);
}

/* ---- Into the PAL ---- */

#define WORD_SLACK sizeof(uint64_t) /* words are stored by eight bytes, however many of them count */

/* Stores a word of the caller's width, 8 or 4, with WORD_SLACK bytes of room; returns the width. */
static inline uint32_t put_word(uint8_t *at, uint64_t word, uint32_t word_bytes)
{
	__builtin_memcpy(at, &word, sizeof(word));
	return word_bytes;
}

static inline uint64_t get_word(const uint8_t *at, uint32_t word_bytes)
{
	uint64_t word;

	__builtin_memcpy(&word, at, sizeof(word));
	return word_bytes == sizeof(word) ? word : (uint32_t)word;
}

/* Writes the param section front to back, in pieces of a buffer. `error` sticks. */
struct param_stream {
	const struct hypapi_event *ev;
	const struct pal *pal;
	uint64_t position; /* linear address in the PAL that the buffer's first byte belongs to */
	int error;
	uint32_t used;
	uint8_t buffer[512 + WORD_SLACK];
};
#define STREAM_BYTES (sizeof(((struct param_stream *)0)->buffer) - WORD_SLACK)

static __attribute__((noinline)) void stream_flush(struct param_stream *stream)
{
	if (stream->error == HYPAPI_OK && stream->used > 0)
		stream->error = hypapi_partition_write(stream->ev, stream->pal->partition, GVA(stream->position),
						       stream->buffer, stream->used);
	stream->position += stream->used;
	stream->used = 0;
}

static __attribute__((noinline)) void stream_from_caller(struct param_stream *stream, uint64_t src, uint64_t len_bytes)
{
	while (stream->error == HYPAPI_OK && len_bytes > 0) {
		uint64_t len = STREAM_BYTES - stream->used;

		if (len > len_bytes)
			len = len_bytes;
		stream->error = hypapi_copy_from(stream->ev, &stream->buffer[stream->used], GVA(src), len);
		stream->used += (uint32_t)len;
		src += len;
		len_bytes -= len;
		if (stream->used == STREAM_BYTES)
			stream_flush(stream);
	}
}

static uint64_t pointed_bytes(const struct pal *pal, uint32_t i)
{
	const struct tv_pal_param *param = &pal->call->params.params[i];

	if (param->type == TV_PARAM_BUFFER)
		return pal->args[i + 1] * pal->word_bytes;
	return param->type == TV_PARAM_POINTER ? param->size * pal->word_bytes : 0;
}

/* The three words of a parameter, and what a pointer leads to. */
static inline void stream_param(struct param_stream *stream, const struct pal *pal, uint32_t i, uint32_t width)
{
	uint64_t type = pal->call->params.params[i].type, arg = pal->args[i], len = pointed_bytes(pal, i);
	uint64_t start = pal->call->copy_at[i] - 3 * width;
	uint8_t *at;

	if (stream->position + stream->used != start) { /* a buffer before this was not full */
		stream_flush(stream);
		stream->position = start;
	}
	if (STREAM_BYTES - stream->used < 3 * width)
		stream_flush(stream);
	at = &stream->buffer[stream->used];
	stream->used += 3 * width;
	at += put_word(at, type, width);
	at += put_word(at, type == TV_PARAM_INTEGER ? width : len, width);
	put_word(at, arg, width);
	if (len)
		stream_from_caller(stream, arg, len);
}

/* Shared ranges, which are where they are in the caller. */
static int fill_shared(const struct hypapi_event *ev, const struct pal *pal)
{
	const struct shared_range *ranges = share_ranges(pal);
	struct param_stream stream;

	stream.ev = ev;
	stream.pal = pal;
	stream.error = HYPAPI_OK;
	for (uint32_t i = 0; i < pal->shared_count; i++) {
		stream.used = 0;
		stream.position = ranges[i].start;
		stream_from_caller(&stream, ranges[i].start, ranges[i].len_bytes);
		stream_flush(&stream);
	}
	wipe(stream.buffer, sizeof(stream.buffer));
	return stream.error;
}

/* Fills the param section in the layout that register.c checked (place_params). */
static int fill_params(const struct hypapi_event *ev, const struct pal *pal)
{
	uint32_t width = pal->word_bytes, count = pal->call->params.num_params;
	struct param_stream stream;
	uint64_t used;

	if (pal->param_start == 0)
		return HYPAPI_OK;
	stream.ev = ev;
	stream.pal = pal;
	stream.position = pal->param_start;
	stream.error = HYPAPI_OK;
	stream.used = put_word(stream.buffer, count, width);
	while (count-- > 0)
		stream_param(&stream, pal, count, width);
	stream_flush(&stream);
	used = stream.position - pal->param_start;
	wipe(stream.buffer, used < STREAM_BYTES ? used : sizeof(stream.buffer));
	return stream.error;
}

/* What a caller's ABI has on the stack at a call: the return address, and parameters that found no register. */
static uint32_t frame_bytes(const struct pal *pal)
{
	uint32_t in_regs = pal->long_mode ? ARG_REGS : 0, count = pal->call->params.num_params;

	return (1 + (count > in_regs ? count - in_regs : 0)) * pal->word_bytes;
}

/* Reads return address and parameters from where the caller's ABI has them. */
static int read_args(const struct hypapi_event *ev, struct pal *pal)
{
	uint32_t in_regs = pal->long_mode ? ARG_REGS : 0;
	uint32_t count = pal->call->params.num_params, used = frame_bytes(pal);
	uint8_t stack[(1 + TV_MAX_PARAMS) * 8 + WORD_SLACK];
	uint64_t rsp = tv_arg(ev, HYPAPI_REG_RSP);
	int rc = hypapi_copy_from(ev, stack, GVA(rsp), used);

	if (rc != HYPAPI_OK)
		return rc;
	pal->caller_rsp = rsp;
	pal->return_address = get_word(stack, pal->word_bytes);
	for (uint32_t i = 0; i < count; i++)
		pal->args[i] = i < in_regs ? hypapi_reg_get(ev, arg_regs[i]) :
			       get_word(&stack[(1 + i - in_regs) * pal->word_bytes], pal->word_bytes);
	if (used > pal->word_bytes)
		wipe(stack, sizeof(stack));
	return is_canonical(pal->return_address) ? HYPAPI_OK : HYPAPI_EINVAL;
}

/*
 * All that pointers lead to must be writable now, since it is copied back: a caller whose page is not there yet, or is
 * shared for copy on write, gets the page fault of its own access, mends it and calls again; likewise L1, of what it
 * has not mapped for L2. Returns HYPAPI_OK; HYPAPI_EFAULT or HYPAPI_ENOTMAPPED with `*bad`; or another error.
 */
static int probe_range(const struct hypapi_event *ev, uint64_t at, uint64_t end, gva_t *bad)
{
	struct hypapi_page page;
	int rc = HYPAPI_OK;

	for (; at < end && rc == HYPAPI_OK; at = (at & HYPAPI_PAGE_MASK) + HYPAPI_PAGE_SIZE) {
		*bad = GVA(at);
		rc = hypapi_translate(ev, GVA(at), HYPAPI_RW, &page);
	}
	return rc;
}

static int probe_shared(const struct hypapi_event *ev, const struct pal *pal, gva_t *bad)
{
	const struct shared_range *ranges = share_ranges(pal);
	int rc = HYPAPI_OK;

	for (uint32_t i = 0; i < pal->shared_count && rc == HYPAPI_OK; i++)
		rc = probe_range(ev, ranges[i].start, ranges[i].start + ranges[i].len_bytes, bad);
	return rc;
}

static int probe_pointers(const struct hypapi_event *ev, const struct pal *pal, gva_t *bad)
{
	for (uint32_t i = 0; pal->call->pointer_count > 0 && i < pal->call->params.num_params; i++) {
		uint64_t at = pal->args[i];
		uint64_t end = at + pointed_bytes(pal, i);

		if (pal->call->params.params[i].type == TV_PARAM_BUFFER &&
		    pal->args[i + 1] > pal->call->params.params[i].size)
			return HYPAPI_EINVAL;
		if (end == at)
			continue; /* an integer, or nothing to copy */
		if (end < at || (!pal->long_mode && end > 1ull << 32) || !is_canonical(at) || !is_canonical(end))
			return HYPAPI_EINVAL;
		int rc = probe_range(ev, at, end, bad);

		if (rc != HYPAPI_OK)
			return rc;
	}
	return pal->shared_count ? probe_shared(ev, pal, bad) : HYPAPI_OK;
}

/* The PAL's first stack frame: what a call instruction would have left, aligned as the ABIs want it. */
static int build_frame(const struct hypapi_event *ev, const struct pal *pal, struct hypapi_partition_entry *entry)
{
	uint32_t in_regs = pal->long_mode ? ARG_REGS : 0;
	uint64_t return_address = pal->long_mode ? RETURN_64 : RETURN_32;
	uint8_t stack[(1 + TV_MAX_PARAMS) * 8 + WORD_SLACK];
	uint32_t used = put_word(stack, return_address, pal->word_bytes);
	int rc;

	*entry = (struct hypapi_partition_entry){ .rip = pal->call->at.addr, .long_mode = pal->long_mode };
	for (uint32_t i = 0; i < pal->call->params.num_params; i++) {
		bool pointer = pal->call->params.params[i].type != TV_PARAM_INTEGER;
		uint64_t value = pointer ? pal->call->copy_at[i] : pal->args[i];

		if (i < in_regs)
			entry->gpr[arg_regs[i]] = value;
		else
			used += put_word(&stack[used], value, pal->word_bytes);
	}
	/* The parameters begin at a multiple of 16, the return address stands below them. */
	entry->gpr[HYPAPI_REG_RSP] = ((pal->stack_end - (used - pal->word_bytes)) & ~15ull) - pal->word_bytes;
	rc = hypapi_partition_write(ev, pal->partition, GVA(entry->gpr[HYPAPI_REG_RSP]), stack, used);
	if (used > pal->word_bytes)
		wipe(stack, sizeof(stack));
	return rc;
}

static int enter(struct hypapi_event *ev, const struct pal *pal)
{
	struct hypapi_partition_entry entry;
	int rc = build_frame(ev, pal, &entry);

	if (rc == HYPAPI_OK)
		rc = hypapi_partition_enter(ev, pal->partition, &entry);
	for (uint32_t i = 0; i < ARG_REGS; i++)
		entry.gpr[arg_regs[i]] = 0;
	__asm__ volatile("" : : "r"(&entry) : "memory"); /* the compiler must not drop that */
	return rc;
}

/*
 * With the PAL owned: everything up to the entry. Anything but HYPAPI_OK leaves the caller at its fetch; with
 * HYPAPI_ENOTMAPPED it fetches again, when L1 has seen to the page.
 */
static int prepare_call(struct hypapi_event *ev, struct pal *pal)
{
	gva_t bad = GVA(0);
	int rc = read_args(ev, pal);

	if (rc == HYPAPI_ENOTMAPPED) {
		page_in(ev, tv_arg(ev, HYPAPI_REG_RSP), frame_bytes(pal), HYPAPI_R);
		return rc;
	}
	if (rc != HYPAPI_OK) {
		pal->why = TV_WHY_CALLER;
		refuse_fetch(ev, pal->call->at, pal->cpl);
		return rc;
	}
	rc = probe_pointers(ev, pal, &bad);
	if (rc == HYPAPI_EFAULT || rc == HYPAPI_ENOTMAPPED) {
		page_in(ev, bad.addr, 1, HYPAPI_RW);
		return rc;
	}
	if (rc == HYPAPI_OK)
		rc = fill_params(ev, pal);
	if (rc == HYPAPI_OK && pal->shared_count)
		rc = fill_shared(ev, pal);
	if (rc == HYPAPI_OK)
		rc = enter(ev, pal);
	if (rc != HYPAPI_OK && rc != HYPAPI_ENOTMAPPED) {
		pal->why = TV_WHY_CALLER;
		fail_call(ev, pal);
	}
	return rc;
}

/*
 * Only a jump to the entry point by a caller like the one that registered goes in. The instruction pointer is compared
 * too: an instruction that begins on the page before faults with the address of this page. With interrupts disabled the
 * caller could not be interrupted in the RETRY loop, so such calls are refused.
 */
static const struct pal_entry *called_entry(const struct hypapi_event *ev, const struct pal *pal)
{
	const struct hypapi_violation_args *violation = &ev->args.violation;
	const struct pal_entry *entry = pal->entries;

	while (entry->at.addr != violation->gva.addr)
		if (++entry == pal->entries + pal->entry_count)
			return NULL;
	if (violation->gva_valid && tv_arg(ev, HYPAPI_REG_RIP) == entry->at.addr &&
	    ev->level == pal->level && ev->cpl == pal->cpl && ev->long_mode == pal->long_mode &&
	    (hypapi_reg_get(ev, HYPAPI_REG_RFLAGS) & RFLAGS_IF))
		return entry;
	return NULL;
}

/*
 * The PAL ends, the guest goes on with its pages: it wrote to them (swapped or reused, or an attack), or somebody
 * fetches there who is not in the PAL's address space. The budget of stops is not asked: this ends what a registration
 * began, which did wait. Whoever comes here is a victim as often as not, and in the middle of an event's delivery,
 * which the CPU repeats before any other interrupt, waiting would hold back those of L1.
 */
static enum hypapi_verdict expel(struct hypapi_event *ev, struct pal *pal, uint32_t why)
{
	uint32_t state = pal_own(pal);

	if (state == PAL_FREE) {
		/* It runs on another CPU, which will destroy it at its end; the access is tried until then. */
		__atomic_store_n(&pal->doomed_why, why, __ATOMIC_RELAXED);
		pal_change_state(pal, PAL_RUNNING, PAL_DOOMED);
		return HYPAPI_RETRY;
	}
	if (pal_destroy(ev, pal, why) != HYPAPI_OK) {
		pal_let_go(ev, pal, state);
		return HYPAPI_DENY;
	}
	return HYPAPI_RETRY;
}

void call_forget(const struct pal *pal)
{
	wipe(&paused_calls[pal_number(pal)], sizeof(paused_calls[0]));
}

static enum hypapi_verdict begin_call(struct hypapi_event *ev, struct pal *pal, const struct pal_entry *entry)
{
	int rc;

	pal->call = entry;
	rc = prepare_call(ev, pal);
	if (rc != HYPAPI_OK)
		release(ev, pal);
	else
		__atomic_add_fetch(&tv_invocations, 1, __ATOMIC_RELAXED);
	return rc == HYPAPI_ENOTMAPPED ? HYPAPI_RETRY : HYPAPI_HANDLED;
}

/*
 * Of a process: where its page tables begin, without PCID; processes that share a PAL's memory have one stack pointer
 * after a fork. A kernel's stacks differ, whatever tables it has at the moment.
 */
static uint64_t caller_space(const struct hypapi_event *ev, const struct pal *pal)
{
	return pal->cpl == 0 ? 0 : tv_space(ev);
}

static bool is_paused_by(const struct hypapi_event *ev, const struct pal *pal)
{
	const struct paused *paused = &paused_calls[pal_number(pal)];

	return tv_arg(ev, HYPAPI_REG_RSP) == paused->caller_rsp && caller_space(ev, pal) == paused->caller_space;
}

/*
 * A thread of a process is told by FS or GS, where its operating system keeps what it is: of a thread that waits for
 * itself, in a signal handler, nobody would go on with the call. Threads without such a base wait.
 */
static bool is_same_thread(const struct hypapi_event *ev, const struct pal *pal)
{
	const struct paused *paused = &paused_calls[pal_number(pal)];
	uint64_t fs = hypapi_reg_get(ev, HYPAPI_REG_FS_BASE), gs = hypapi_reg_get(ev, HYPAPI_REG_GS_BASE);

	return pal->cpl == 3 && (fs || gs) && fs == paused->fs_base && gs == paused->gs_base &&
	       caller_space(ev, pal) == paused->caller_space;
}

/* Where the stack cannot be read now, it is told by its stack pointer alone. */
static bool is_same_call(const struct hypapi_event *ev, struct pal *pal)
{
	uint64_t args[TV_MAX_PARAMS], return_address = pal->return_address;
	bool same;

	__builtin_memcpy(args, pal->args, sizeof(args));
	same = read_args(ev, pal) != HYPAPI_OK ||
	       (pal->return_address == return_address && !__builtin_memcmp(args, pal->args, sizeof(args)));
	__builtin_memcpy(pal->args, args, sizeof(args));
	pal->return_address = return_address;
	wipe(args, sizeof(args));
	return same;
}

/* The PAL waits for its caller, whose registers are the event's, and who fetches again. */
static void pause_call(const struct hypapi_event *ev, const struct pal *pal)
{
	struct paused *paused = &paused_calls[pal_number(pal)];

	paused->caller_rsp = pal->caller_rsp;
	paused->caller_space = caller_space(ev, pal);
	paused->fs_base = hypapi_reg_get(ev, HYPAPI_REG_FS_BASE);
	paused->gs_base = hypapi_reg_get(ev, HYPAPI_REG_GS_BASE);
}

static void end_again(struct hypapi_event *ev, struct pal *pal);

/* The PAL begins again at its VMCALL, with the registers that it had there; or its call ends. */
static bool resume(struct hypapi_event *ev, struct pal *pal)
{
	struct paused *paused = &paused_calls[pal_number(pal)];

	if (pal->returned) {
		end_again(ev, pal);
		return true;
	}
	if (!tpm_slice(pal) || hypapi_partition_enter(ev, pal->partition, &paused->at) != HYPAPI_OK)
		return false;
	wipe(paused, offsetof(struct paused, told));
	return true;
}

static void tell_once(const struct pal *pal)
{
	struct paused *paused = &paused_calls[pal_number(pal)];

	if (!paused->told)
		hypapi_log("trustvisor: PAL %u: a thread calls it in the middle of its own call", pal_number(pal));
	paused->told = true;
}

/*
 * Not READY: it waits for its caller, perhaps; or it is not yet there; or another CPU has it, or has destroyed it. A
 * call that pauses is its caller's, whom stack pointer and address space tell from others: they wait as for any PAL
 * that runs. A thread that gave its call up and makes another, or makes one in a signal handler meanwhile, gets a
 * fault: the first one's result is not for it, nor its return address.
 */
static enum hypapi_verdict go_on(struct hypapi_event *ev, struct pal *pal, const struct pal_entry *entry)
{
	enum hypapi_verdict verdict = HYPAPI_RETRY;

	if (pal_state(pal) == PAL_MEASURING)
		return refuse_fetch(ev, entry->at, ev->cpl);
	if (!pal_change_state(pal, PAL_PAUSED, PAL_RUNNING))
		return HYPAPI_RETRY;
	if (is_paused_by(ev, pal)) {
		if (pal->call != entry || !is_same_call(ev, pal))
			verdict = refuse_fetch(ev, entry->at, ev->cpl);
		else if (resume(ev, pal))
			return HYPAPI_HANDLED;
	} else if (is_same_thread(ev, pal)) {
		tell_once(pal);
		verdict = refuse_fetch(ev, entry->at, ev->cpl);
	}
	pal_let_go(ev, pal, PAL_PAUSED);
	return verdict;
}

enum hypapi_verdict tv_pause(struct hypapi_event *ev, struct pal *pal)
{
	struct paused *paused = &paused_calls[pal_number(pal)];

	for (uint32_t i = 0; i < PAUSED_REGS; i++)
		paused->at.gpr[i] = hypapi_reg_get(ev, (enum hypapi_reg)i);
	paused->at.rip = hypapi_reg_get(ev, HYPAPI_REG_RIP);
	paused->at.long_mode = pal->long_mode;
	hypapi_partition_leave(ev);
	pause_call(ev, pal);
	pal_let_go(ev, pal, PAL_PAUSED);
	return HYPAPI_RETRY;
}

/*
 * L1 has taken the page that pal_is_callers() looks for from its L2, or the right to write it, and is asked for it: it
 * may be the same page again.
 */
__attribute__((noinline, cold)) bool pal_awaits_home(struct hypapi_event *ev, const struct pal *pal)
{
	uint64_t home = pal->stack_end - HYPAPI_PAGE_SIZE;
	struct hypapi_page page;

	if (hypapi_translate(ev, GVA(home), HYPAPI_RW, &page) != HYPAPI_ENOTMAPPED)
		return pal_is_callers(ev, pal); /* L1 may have mapped it since */
	page_in(ev, home, 1, HYPAPI_RW);
	return true;
}

/* No fault mends what pal_is_callers() misses else: where the stack is gone, so is the data. */
static enum hypapi_verdict call_pal(struct hypapi_event *ev, struct pal *pal)
{
	const struct pal_entry *entry;

	if (!pal_is_callers(ev, pal))
		return pal_awaits_home(ev, pal) ? HYPAPI_RETRY : expel(ev, pal, TV_WHY_LOST);
	entry = called_entry(ev, pal);
	if (!entry)
		return ev->args.violation.gva_valid ? refuse_fetch(ev, ev->args.violation.gva, ev->cpl) : HYPAPI_DENY;
	if (!pal_change_state(pal, PAL_READY, PAL_RUNNING))
		return go_on(ev, pal, entry);
	return begin_call(ev, pal, entry);
}
enum hypapi_verdict tv_on_violation(struct hypapi_event *ev)
{
	struct pal *pal = pal_by_partition(ev->args.violation.owner);

	if (!pal)
		return HYPAPI_PASS;
	if (ev->args.violation.access & HYPAPI_W)
		return expel(ev, pal, TV_WHY_WRITTEN);
	if (ev->args.violation.access & HYPAPI_X)
		return call_pal(ev, pal);
	return HYPAPI_PASS; /* reads see the core's stand-ins */
}

/* ---- Out of the PAL ---- */

/* What L1 has to map, or to log, is told to it at the caller's fetch; at the PAL's exit page_in() does nothing. */
static int copy_back_one(struct hypapi_event *ev, const struct pal *pal, uint64_t src, uint64_t dst, uint64_t len_bytes)
{
	uint64_t left = len_bytes;
	uint8_t buffer[512];
	int rc = HYPAPI_OK;

	while (rc == HYPAPI_OK && left > 0) {
		uint64_t len = left < sizeof(buffer) ? left : sizeof(buffer);

		rc = hypapi_partition_read(ev, pal->partition, buffer, GVA(src), len);
		if (rc == HYPAPI_OK)
			rc = hypapi_copy_to(ev, GVA(dst), buffer, len);
		if (rc == HYPAPI_ENOTMAPPED)
			page_in(ev, dst, len, HYPAPI_RW);
		src += len;
		dst += len;
		left -= len;
	}
	wipe(buffer, len_bytes < sizeof(buffer) ? len_bytes : sizeof(buffer));
	return rc;
}

static int copy_shared_back(struct hypapi_event *ev, const struct pal *pal)
{
	const struct shared_range *ranges = share_ranges(pal);
	int rc = HYPAPI_OK;

	for (uint32_t i = 0; i < pal->shared_count && rc == HYPAPI_OK; i++)
		rc = copy_back_one(ev, pal, ranges[i].start, ranges[i].start, ranges[i].len_bytes);
	return rc;
}

static int copy_back(struct hypapi_event *ev, const struct pal *pal)
{
	int rc = HYPAPI_OK;

	for (uint32_t i = 0; pal->call->pointer_count > 0 && i < pal->call->params.num_params && rc == HYPAPI_OK; i++) {
		uint64_t len_bytes = pointed_bytes(pal, i);

		if (len_bytes) /* an integer is nobody's address */
			rc = copy_back_one(ev, pal, pal->call->copy_at[i], pal->args[i], len_bytes);
	}
	return rc == HYPAPI_OK && pal->shared_count ? copy_shared_back(ev, pal) : rc;
}

/* It comes again if L1 has to see to a page first. `again`: the event's registers are L1's by now. */
static __attribute__((noinline, cold)) void end_later(struct hypapi_event *ev, struct pal *pal, uint64_t result, int rc,
						      bool again)
{
	if (rc == HYPAPI_ENOTMAPPED) {
		if (!again)
			pause_call(ev, pal);
		pal->returned = true;
		paused_calls[pal_number(pal)].at.gpr[HYPAPI_REG_RAX] = result;
		pal_let_go(ev, pal, PAL_PAUSED);
		return;
	}
	pal->why = TV_WHY_CALLER;
	fail_call(ev, pal); /* its buffer went away during the call */
	release(ev, pal);
}

/* The end of a call that has run, at the caller's fetch. */
static inline __attribute__((always_inline)) void end_call(struct hypapi_event *ev, struct pal *pal, uint64_t result,
							   bool again)
{
	int rc = copy_back(ev, pal);

	if (__builtin_expect(rc != HYPAPI_OK, false)) {
		end_later(ev, pal, result, rc, again);
		return;
	}
	return_to_caller(ev, pal, result);
	__atomic_add_fetch(&tv_returns, 1, __ATOMIC_RELAXED);
	release(ev, pal);
}

static void end_again(struct hypapi_event *ev, struct pal *pal)
{
	uint64_t *kept = &paused_calls[pal_number(pal)].at.gpr[HYPAPI_REG_RAX], result = *kept;

	*kept = 0;
	pal->returned = false;
	end_call(ev, pal, result, true);
}

static bool pal_returned(const struct hypapi_event *ev, const struct pal *pal)
{
	const struct hypapi_partition_exit_args *exit = &ev->args.partition_exit;
	uint64_t expected = pal->long_mode ? RETURN_64 : RETURN_32;

	return exit->reason == HYPAPI_PEXIT_EXCEPTION && exit->vector == VECTOR_PF && exit->address.addr == expected &&
	       (exit->error_code & PF_FETCH);
}

/* Of a PAL for debugging. */
static void log_registers(const struct hypapi_event *ev)
{
	static const char *const names[16] = { "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
					       "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15" };

	for (uint32_t i = 0; i < 16; i += 4)
		hypapi_log("trustvisor: %s 0x%lx, %s 0x%lx, %s 0x%lx, %s 0x%lx",
			   names[i], (unsigned long)hypapi_reg_get(ev, (enum hypapi_reg)i),
			   names[i + 1], (unsigned long)hypapi_reg_get(ev, (enum hypapi_reg)(i + 1)),
			   names[i + 2], (unsigned long)hypapi_reg_get(ev, (enum hypapi_reg)(i + 2)),
			   names[i + 3], (unsigned long)hypapi_reg_get(ev, (enum hypapi_reg)(i + 3)));
}

static void note_fault(const struct hypapi_event *ev, struct pal *pal)
{
	const struct hypapi_partition_exit_args *exit = &ev->args.partition_exit;
	static uint32_t lines;

	pal->vector = exit->vector;
	pal->error_code = exit->error_code;
	pal->address = exit->address.addr;
	pal->rip = hypapi_reg_get(ev, HYPAPI_REG_RIP);
	if (__atomic_fetch_add(&lines, 1, __ATOMIC_RELAXED) >= MAX_FAULT_LINES)
		return;
	hypapi_log("trustvisor: PAL %u destroyed: exit reason %u, exception %u (0x%x), address 0x%lx, RIP 0x%lx",
		   pal_number(pal), exit->exit_reason, exit->vector, exit->error_code,
		   (unsigned long)exit->address.addr, (unsigned long)pal->rip);
	if (pal->tpm_flags & TV_PAL_DEBUG)
		log_registers(ev);
}

static uint32_t why_of(uint32_t reason)
{
	return reason == HYPAPI_PEXIT_EXCEPTION ? TV_WHY_FAULT : reason == HYPAPI_PEXIT_TIME ? TV_WHY_TIME :
	       TV_WHY_EXIT;
}

enum hypapi_verdict tv_on_partition_exit(struct hypapi_event *ev)
{
	struct pal *pal = pal_by_partition(ev->partition);
	uint64_t result = hypapi_reg_get(ev, HYPAPI_REG_RAX);

	if (!pal)
		return HYPAPI_PASS;
	if (!pal_returned(ev, pal)) {
		uint32_t why = why_of(ev->args.partition_exit.reason);

		note_fault(ev, pal);
		hypapi_partition_leave(ev);
		forget_call(pal);
		pal_destroy(ev, pal, why);
		return fail_call(ev, pal);
	}
	/* From here on registers and memory are the caller's, which still stands at its fetch. */
	hypapi_partition_leave(ev);
	__atomic_store_n(&pal->calls, pal->calls + 1, __ATOMIC_RELAXED);
	end_call(ev, pal, result, false);
	return HYPAPI_HANDLED;
}
