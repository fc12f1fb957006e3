/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * careless: a hypapp for tests, that makes on request the mistakes of an author, and faults; careless.h lists them. It
 * says that it is droppable. It belongs in no image but those of the tests.
 */
#include <hypapi/hypapi.h>
#include <hypapi/lock.h>

#include "careless.h"

#ifdef HYPAPI_SIM
#include <hypapi/sim.h>
#endif

static struct hypapi_event *kept;
static struct hypapi_lock lock;
static hypapi_partition_t partition;
static gva_t code, data;
static uint64_t wrong_left, guarded; /* violations that are answered wrongly; the page that nobody writes to */
static volatile uint32_t armed_type = HYPAPI_EV_COUNT, armed_fault;
static bool spins = true; /* CPUs look at it and change it at any time */
static uint64_t stays; /* at its partition's exits: enum careless_stay */

/* ---- Faults ---- */

#ifdef HYPAPI_SIM
static void page_fault(void) { sim_crash(); }
static void divide(void) { sim_crash(); }
static void undefined(void) { sim_crash(); }
static void undeclared(struct hypapi_event *ev) { hypapi_window(ev, HYPAPI_WINDOW_NMI); }
#else
static void undeclared(struct hypapi_event *ev) { (void)ev; } /* no image links with such a call */
static void page_fault(void) { asm volatile("movl $0, 0x10" : : : "memory"); }
static void divide(void) { asm volatile("xorl %%ecx, %%ecx; divl %%ecx" : : : "eax", "ecx", "edx", "cc"); }

/* With registers that the core wants back, and the flag that functions find clear. */
static void undefined(void)
{
	asm volatile("xorl %%ebx, %%ebx; xorl %%r12d, %%r12d; xorl %%r13d, %%r13d; xorl %%r14d, %%r14d;"
		     "xorl %%r15d, %%r15d; std; ud2" : : : "rbx", "r12", "r13", "r14", "r15", "cc");
}
#endif

/* Twice what the root stack holds, in frames that are not larger than the page under it. */
static __attribute__((noinline)) uint64_t overflow(uint32_t frames)
{
	volatile uint8_t frame[900];

	frame[0] = (uint8_t)frames;
	return frames ? overflow(frames - 1) + frame[0] : 0;
}

static void open_page(struct hypapi_event *ev, uint64_t gpa1)
{
	hypapi_quiesce(ev);
	(void)!hypapi_memory_restrict(ev, GPA1(gpa1), 1, HYPAPI_RWX);
}

/* A handler that is in the middle when another CPU drops its hypapp: calls are refused by then. */
bool careless_waits;
static void wait_for_refusal(struct hypapi_event *ev)
{
	__atomic_store_n(&careless_waits, true, __ATOMIC_RELEASE);
	while (hypapi_may_stop(ev) != HYPAPI_EPERM)
		__builtin_ia32_pause();
}

static __attribute__((noinline)) void fault(struct hypapi_event *ev, uint64_t kind)
{
	void (*volatile nowhere)(void) = NULL;

	__atomic_store_n(&spins, kind == WAIT_FOR_REFUSAL, __ATOMIC_RELAXED);
	switch (kind) {
	case WAIT_FOR_REFUSAL: wait_for_refusal(ev); break;
	case FAULT_PF: page_fault(); break;
	case FAULT_DE: divide(); break;
	case FAULT_UD: undefined(); break;
	case FAULT_STOPPED: hypapi_quiesce(ev); undefined(); break;
	case FAULT_OVERFLOW: (void)overflow(2 * 16384 / 900); break;
	case FAULT_IN_CALL: (void)!hypapi_copy_from_gpa1(ev, NULL, GPA1(0x1000), 8); break;
	case FAULT_LOCKED: hypapi_lock(&lock); page_fault(); hypapi_unlock(&lock); break;
	case FAULT_INJECTED: hypapi_inject(ev, 13, 0, GVA(0)); page_fault(); break;
	case FAULT_JUMP: nowhere(); break;
	case FAULT_OPENED: open_page(ev, guarded); undefined(); break;
	}
}

static void fault_if_armed(struct hypapi_event *ev)
{
	if (armed_type != ev->type)
		return;
	armed_type = HYPAPI_EV_COUNT;
	fault(ev, armed_fault);
}

/* ---- Mistakes ---- */

/* The guest's word at RSI, whatever L1 has done with its page meanwhile. */
static enum hypapi_verdict read_fresh(struct hypapi_event *ev)
{
	gva_t at = GVA(hypapi_reg_get(ev, HYPAPI_REG_RSI));
	uint64_t word = 0;
	int error = hypapi_copy_from(ev, &word, at, sizeof(word));

	if (error == HYPAPI_ENOTMAPPED || error == HYPAPI_EFAULT)
		return hypapi_page_in(ev, at, HYPAPI_R) >= 0 ? HYPAPI_RETRY : HYPAPI_DENY;
	hypapi_reg_set(ev, HYPAPI_REG_RBX, error ? (uint64_t)error : word);
	return HYPAPI_HANDLED;
}

static void use_kept(void)
{
	struct hypapi_page page;

	hypapi_reg_set(kept, HYPAPI_REG_RAX, 0);
	(void)!hypapi_translate_gpa2(kept, GPA2(0), HYPAPI_R, &page);
}

static void be_slow(uint64_t ticks)
{
	uint64_t start = __builtin_ia32_rdtsc();

	while (__builtin_ia32_rdtsc() - start < ticks)
		__builtin_ia32_pause();
}

static enum hypapi_verdict retry(uint64_t count)
{
	static uint64_t tries;

	return count && tries++ >= count ? HYPAPI_HANDLED : HYPAPI_RETRY;
}

static enum hypapi_verdict restrict_page(struct hypapi_event *ev, uint64_t gpa1)
{
	return hypapi_quiesce(ev) < 0 || hypapi_memory_restrict(ev, GPA1(gpa1), 1, HYPAPI_R) ? HYPAPI_DENY :
											       HYPAPI_HANDLED;
}

/* ---- What it is good for ---- */

static enum hypapi_verdict make_partition(struct hypapi_event *ev, uint64_t at)
{
	const struct hypapi_partition_page pages[] = {
		{ .gva = GVA(at), .rights = HYPAPI_RX }, { .gva = GVA(at + HYPAPI_PAGE_SIZE), .rights = HYPAPI_RW },
	};

	code = pages[0].gva;
	data = pages[1].gva;
	return hypapi_quiesce(ev) < 0 || hypapi_partition_create(ev, pages, 2, &partition) ? HYPAPI_DENY :
											     HYPAPI_HANDLED;
}

static enum hypapi_verdict enter(struct hypapi_event *ev, uint64_t answer)
{
	const struct hypapi_partition_entry entry = { .rip = code.addr, .long_mode = true,
						      .gpr[HYPAPI_REG_RAX] = CARELESS_ENTER_AGAIN };

	if (hypapi_partition_enter(ev, partition, &entry))
		return HYPAPI_DENY;
	return answer ? (enum hypapi_verdict)(answer - 1) : HYPAPI_HANDLED;
}

/* In an event of a partition: its caller does not run in between. */
static enum hypapi_verdict enter_again(struct hypapi_event *ev)
{
	return hypapi_partition_leave(ev) ? HYPAPI_DENY : enter(ev, 0);
}

static enum hypapi_verdict peek(struct hypapi_event *ev)
{
	uint64_t word = 0;

	if (hypapi_partition_read(ev, partition, &word, data, sizeof(word)))
		return HYPAPI_DENY;
	hypapi_reg_set(ev, HYPAPI_REG_RBX, word);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint64_t rcx = hypapi_reg_get(ev, HYPAPI_REG_RCX), rdx = hypapi_reg_get(ev, HYPAPI_REG_RDX);
	struct hypapi_event copy = *ev;

	fault_if_armed(ev);
	switch (ev->args.hypercall.number) {
	case CARELESS_NO_VERDICT: return (enum hypapi_verdict)7;
	case CARELESS_ERROR_AS_VERDICT: return (enum hypapi_verdict)HYPAPI_EPERM;
	case CARELESS_KEEP: kept = ev; break;
	case CARELESS_KEPT_EVENT: use_kept(); break;
	case CARELESS_COPIED_EVENT: hypapi_reg_set(&copy, HYPAPI_REG_RAX, 0); break;
	case CARELESS_NO_REGISTER: (void)hypapi_reg_get(ev, HYPAPI_REG_COUNT); break;
	case CARELESS_NO_CAPABILITY: undeclared(ev); break;
	case CARELESS_RETRY: return retry(rcx);
	case CARELESS_RESTRICT: wrong_left = rdx ? rdx : ~0ull; return restrict_page(ev, rcx);
	case CARELESS_SLOW: be_slow(rcx); break;
	case CARELESS_ENDLESS: be_slow(~0ull); break;
	case CARELESS_LOCKED: hypapi_lock(&lock); break;
	case CARELESS_FRESH: return read_fresh(ev);
	case CARELESS_STAY: stays = rdx; break;
	case CARELESS_GUARD: guarded = rcx; return restrict_page(ev, rcx);
	case CARELESS_PARTITION: return make_partition(ev, rcx);
	case CARELESS_ENTER: return enter(ev, rdx);
	case CARELESS_ENTER_AGAIN: return enter_again(ev);
	case CARELESS_PEEK: return peek(ev);
	case CARELESS_POST: hypapi_post(ev, rcx, 1); break;
	case CARELESS_FAULT: fault(ev, rcx); break;
	case CARELESS_ARM: armed_fault = (uint32_t)rdx; armed_type = (uint32_t)rcx; break;
	case CARELESS_SPIN:
		while (__atomic_load_n(&spins, __ATOMIC_RELAXED))
			__builtin_ia32_pause();
		break;
	default: return HYPAPI_DENY;
	}
	return HYPAPI_HANDLED;
}

/* Grants nothing, and says that it did. */
static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	gpa1_t page = GPA1(ev->args.violation.gpa1.addr & HYPAPI_PAGE_MASK);

	fault_if_armed(ev);
	if (page.addr == guarded)
		return HYPAPI_DENY;
	if (!wrong_left || !--wrong_left)
		(void)!hypapi_memory_restrict(ev, page, 1, HYPAPI_RWX);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_cpuid(struct hypapi_event *ev)
{
	fault_if_armed(ev);
	if (stays == STAY_BY_CPUID)
		return enter_again(ev);
	hypapi_reg_set(ev, HYPAPI_REG_RAX, CARELESS_WORD);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_msr(struct hypapi_event *ev)
{
	fault_if_armed(ev);
	ev->args.msr.value = CARELESS_WORD;
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_exit(struct hypapi_event *ev)
{
	fault_if_armed(ev);
	if (stays == STAY_BY_ENTERING)
		return enter_again(ev);
	return stays == STAY_AND_DO_NOTHING ? HYPAPI_HANDLED : HYPAPI_PASS;
}

/* WORK, and what it takes part in or is only told. */
static enum hypapi_verdict on_other(struct hypapi_event *ev)
{
	fault_if_armed(ev);
	return HYPAPI_PASS;
}

static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	uint64_t value;

	kept = ev;
	if (hypapi_reg_get(ev, HYPAPI_REG_RAX) || hypapi_reg_read(ev, HYPAPI_REG_RAX, &value) != HYPAPI_ENOTSUP)
		hypapi_log("careless: FAULT: a register in INIT");
	return HYPAPI_PASS;
}

static enum hypapi_verdict on_reset(struct hypapi_event *ev)
{
	(void)ev;
	hypapi_log("careless: reset");
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(careless,
	.priority = 9000,
	.droppable = true,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_PARTITIONS |
			HYPAPI_CAP_WORK,
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .quiesce = true,
		  .handler = on_violation },
		{ .type = HYPAPI_EV_CPUID, .levels = HYPAPI_LEVELS_GUEST, .handler = on_cpuid },
		{ .type = HYPAPI_EV_MSR, .levels = HYPAPI_LEVELS_GUEST, .handler = on_msr },
		{ .type = HYPAPI_EV_WORK, .handler = on_other },
		{ .type = HYPAPI_EV_MTRR, .two_phase = true, .handler = on_other },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = on_exit },
		{ .type = HYPAPI_EV_RESET, .handler = on_reset },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CARELESS_NO_VERDICT,
		  .last = CARELESS_LAST },
		{ .kind = HYPAPI_CLAIM_CPUID, .levels = HYPAPI_LEVELS_GUEST, .first = CARELESS_LEAF,
		  .last = CARELESS_LEAF },
		{ .kind = HYPAPI_CLAIM_MSR, .levels = HYPAPI_LEVELS_GUEST, .first = CARELESS_MSR,
		  .last = CARELESS_MSR },
	});
