/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify: a hypapp for tests, that makes hypapi's calls on request of a guest and reports what they answer. It gives a
 * guest power over itself, so it belongs in no image but those of the tests. hypapps/bystander is a second one beside
 * it.
 *
 *     EAX    RCX, RDX              answers: EAX 0; RBX what the call returned, RDX its result
 *     0x200  gpa1, rights          hypapi_memory_restrict() of one page, under a stop
 *     0x201  gpa1                  hypapi_memory_rights()
 *     0x202                        RBX: violations so far, RDX: the last one's gpa1 | access
 *     0x203  gpa1                  hypapi_copy_from_gpa1() of 8 bytes
 *     0x204  gpa1, value           hypapi_copy_to_gpa1() of 8 bytes
 *     0x205  gpa2, rights          hypapi_translate_gpa2(): RDX is the gpa1
 *     0x206                        RBX: how many of the documented answers came out wrong so far
 *     0x207  which                 RBX: how many of those events came, RDX: the last one's arguments.
 *                                  which: type | level << 8 | hypapp << 16 | phase << 20; hypapp 1 is bystander
 *     0x208  which, verdict        the answer to those events from now on
 *     0x209  windows               hypapi_window()
 *     0x20a  register              RDX: hypapi_reg_get()
 *     0x20b  vector, number        hypapi_inject(), where the number is error code and address
 *     0x20c  mask                  hypapi_regs_clear(), and no answer
 *     0x20d  gva                   64 pages there as partitions: see partition.c
 *     0x20f  gpa2, rights          hypapi_memory_restrict_gpa2() under a stop: RDX is the gpa1
 *     0x210  gpa2                  hypapi_memory_rights_gpa2(): RDX is gpa1 | rights
 *     0x211  gpa2                  hypapi_copy_from_gpa2() of 8 bytes
 *     0x212  gpa2, value           hypapi_copy_to_gpa2() of 8 bytes
 *     0x213  kind, stopped         a fault of this hypapp: 0 #PF, 1 #DE, 2 #UD, 3 #PF in a call of hypapi
 *
 * It claims ports and MSRs that no machine has, with a meaning for each (enum below), and TSC_AUX, which it passes on.
 */
#include "verify.h"

static uint64_t violations, last_violation; /* written under a stop */

/* Ports: a store, refused, nobody's after all, and a store that wants the CPUs stopped. */
enum { PORT_FIRST = 0x5c00, PORT_DENIED = 0x5c08, PORT_PASSED = 0x5c0a, PORT_STOPPED = 0x5c0c, PORT_LAST = 0x5c0f };
/* MSRs: a store, refused, nobody's after all (so it does not exist). */
enum { MSR_FIRST = 0x1f00, MSR_DENIED, MSR_PASSED, MSR_LAST = MSR_PASSED, MSR_TSC_AUX = 0xc0000103 };

static uint64_t port_store, msr_store;
struct seen verify_seen[APPS][HYPAPI_ABORT + 1][HYPAPI_EV_COUNT][HYPAPI_L2 + 1];
uint8_t verify_answers[APPS][HYPAPI_EV_COUNT][HYPAPI_L2 + 1];

enum hypapi_verdict verify_note(const struct hypapi_event *ev, uint32_t app, uint64_t arguments)
{
	struct seen *seen = &verify_seen[app][ev->phase][ev->type][ev->level];

	__atomic_fetch_add(&seen->count, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&seen->last, arguments, __ATOMIC_RELAXED);
	return (enum hypapi_verdict)__atomic_load_n(&verify_answers[app][ev->type][ev->level], __ATOMIC_RELAXED);
}

static void note(const struct hypapi_event *ev, uint64_t arguments)
{
	(void)verify_note(ev, VERIFY, arguments);
}

static enum hypapi_verdict on_port(struct hypapi_event *ev)
{
	struct hypapi_port_io_args *io = &ev->args.port_io;

	if (io->port >= PORT_STOPPED && !ev->stopped) {
		ev->quiesce = true;
		return HYPAPI_RETRY;
	}
	note(ev, io->port | (uint64_t)io->size << 16 | (uint64_t)io->in << 20 | (uint64_t)io->string << 21 |
		 (uint64_t)io->rep << 22 | io->count << 24);
	if (io->port >= PORT_DENIED && io->port < PORT_STOPPED)
		return io->port < PORT_PASSED ? HYPAPI_DENY : HYPAPI_PASS;
	if (io->in)
		io->value = port_store;
	else
		port_store = io->value;
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_msr(struct hypapi_event *ev)
{
	struct hypapi_msr_args *msr = &ev->args.msr;

	note(ev, msr->msr | (uint64_t)msr->write << 32 | (uint64_t)msr->list << 33);
	if (msr->list && hypapi_reg_get(ev, HYPAPI_REG_RFLAGS))
		hypapi_log("verify: registers in an event of an MSR list");
	if (msr->msr != MSR_FIRST)
		return msr->msr == MSR_DENIED ? HYPAPI_DENY : HYPAPI_PASS;
	if (msr->write)
		msr_store = msr->value;
	else
		msr->value = msr_store;
	return HYPAPI_HANDLED;
}

/* Two-phase events: the last ABORT tells who denied. */
static enum hypapi_verdict on_change(struct hypapi_event *ev)
{
	uint64_t argument = ev->type == HYPAPI_EV_MTRR ? ev->args.mtrr.msr : ev->args.sleep.type;
	const char *denier = hypapi_hypapp_name(ev->decided_by);

	verify_expect("who denied", denier && denier[0] == 'b', ev->phase == HYPAPI_ABORT);
	verify_errors_l0(ev);
	if (ev->type == HYPAPI_EV_SLEEP)
		hypapi_log("sleep type %u: %s", ev->args.sleep.type,
			   ev->phase == HYPAPI_PREPARE ? "prepare" : ev->phase == HYPAPI_ABORT ? "abort" : "commit");
	return ev->phase == HYPAPI_PREPARE ? verify_note(ev, VERIFY, argument) : (note(ev, argument), HYPAPI_DENY);
}

static enum hypapi_verdict on_work(struct hypapi_event *ev)
{
	return verify_note(ev, VERIFY, ev->args.work.bits);
}

static enum hypapi_verdict on_interrupt(struct hypapi_event *ev)
{
	const struct hypapi_interrupt_args *interrupt = &ev->args.interrupt;

	return verify_note(ev, VERIFY, interrupt->vector | (uint64_t)interrupt->acknowledged << 8);
}

static enum hypapi_verdict on_signal(struct hypapi_event *ev)
{
	verify_expect("inject in a signal", hypapi_inject(ev, 13, 0, GVA(0)), HYPAPI_EINVAL);
	return verify_note(ev, VERIFY, hypapi_reg_get(ev, HYPAPI_REG_RFLAGS) >> 9 & 1);
}

static enum hypapi_verdict on_init_signal(struct hypapi_event *ev)
{
	verify_errors_no_guest(ev);
	return verify_note(ev, VERIFY, 0);
}

static enum hypapi_verdict on_crossing(struct hypapi_event *ev)
{
	if (hypapi_inject(ev, 13, 0, GVA(0)) != HYPAPI_EINVAL)
		hypapi_log("verify: an exception in an event that only tells");
	note(ev, ev->args.exit.reason);
	return HYPAPI_DENY; /* is ignored */
}

static int restrict_page(struct hypapi_event *ev, gpa1_t page, uint32_t rights)
{
	if (hypapi_quiesce(ev) < 0)
		return HYPAPI_EPERM;
	return hypapi_memory_restrict(ev, page, 1, rights);
}

/* The guest did what it may not: noted, and given back, so that the access goes through when it is tried again. */
static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	if (!ev->stopped) {
		ev->quiesce = true;
		return HYPAPI_RETRY;
	}
	violations++;
	last_violation = ev->args.violation.gpa1.addr | ev->args.violation.access;
	return hypapi_memory_restrict(ev, GPA1(ev->args.violation.gpa1.addr & HYPAPI_PAGE_MASK), 1, HYPAPI_RWX) ?
	       HYPAPI_DENY : HYPAPI_RETRY;
}

void verify_answer(struct hypapi_event *ev, int64_t returned, uint64_t result)
{
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, (uint64_t)returned);
	hypapi_reg_set(ev, HYPAPI_REG_RDX, result);
}

/* What `which` names is there. */
static bool split(uint64_t which, uint32_t *app, uint32_t *phase, uint32_t *type, uint32_t *level)
{
	*app = which >> 16 & 15;
	*phase = (uint32_t)(which >> 20);
	*type = which & 0xff;
	*level = which >> 8 & 0xff;
	return *app < APPS && *phase <= HYPAPI_ABORT && *type < HYPAPI_EV_COUNT && *level <= HYPAPI_L2;
}

/*
 * Twice what the root stack holds, in frames as large as the build allows at most: the page under it is hit, not
 * jumped.
 */
static __attribute__((noinline)) uint64_t overflow(uint32_t frames)
{
	volatile uint8_t frame[900];

	frame[0] = (uint8_t)frames;
	return frames ? overflow(frames - 1) + frame[0] : 0;
}

/* ---- Requests: what each answers in RBX; what RDX shall hold, which is there unless it is set ---- */

#define REFUSED INT64_MIN
#define NO_ANSWER (INT64_MIN + 1)

static int64_t do_restrict(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)result;
	return restrict_page(ev, GPA1(rcx), (uint32_t)rdx);
}

static int64_t do_rights(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	uint32_t rights = 0;
	int error = hypapi_memory_rights(ev, GPA1(rcx), &rights);

	(void)rdx;
	*result = rights;
	return error;
}

static int64_t do_violations(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)ev, (void)rcx, (void)rdx;
	*result = last_violation;
	return (int64_t)violations;
}

static int64_t do_read(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)rdx;
	return hypapi_copy_from_gpa1(ev, result, GPA1(rcx), sizeof(*result));
}

static int64_t do_write(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)result;
	return hypapi_copy_to_gpa1(ev, GPA1(rcx), &rdx, sizeof(rdx));
}

static int64_t do_translate(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	struct hypapi_page page = { .gpa1 = GPA1(0) };
	int error = hypapi_translate_gpa2(ev, GPA2(rcx), (uint32_t)rdx, &page);

	*result = page.gpa1.addr;
	return error;
}

static int64_t do_restrict_gpa2(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	gpa1_t page = GPA1(0);
	int error = hypapi_quiesce(ev) < 0 ? HYPAPI_EPERM :
					     hypapi_memory_restrict_gpa2(ev, GPA2(rcx), (uint32_t)rdx, &page);

	*result = page.addr;
	return error;
}

static int64_t do_rights_gpa2(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	uint32_t rights = 0;
	gpa1_t page = GPA1(0);
	int error = hypapi_memory_rights_gpa2(ev, GPA2(rcx), &rights, &page);

	(void)rdx;
	*result = page.addr | rights;
	return error;
}

static int64_t do_read_gpa2(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)rdx;
	return hypapi_copy_from_gpa2(ev, result, GPA2(rcx), sizeof(*result));
}

static int64_t do_write_gpa2(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)result;
	return hypapi_copy_to_gpa2(ev, GPA2(rcx), &rdx, sizeof(rdx));
}

static int64_t do_errors(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)rcx, (void)rdx, (void)result;
	return (int64_t)verify_errors(ev);
}

static int64_t do_events(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	uint32_t app, phase, type, level;

	(void)ev, (void)rdx;
	if (!split(rcx, &app, &phase, &type, &level))
		return REFUSED;
	*result = verify_seen[app][phase][type][level].last;
	return (int64_t)verify_seen[app][phase][type][level].count;
}

static int64_t do_answer(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	uint32_t app, phase, type, level;

	(void)ev, (void)result;
	if (!split(rcx, &app, &phase, &type, &level) || rdx > HYPAPI_DENY)
		return REFUSED;
	verify_answers[app][type][level] = (uint8_t)rdx;
	return 0;
}

static int64_t do_window(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)rdx, (void)result;
	return hypapi_window(ev, (uint32_t)rcx);
}

static int64_t do_register(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)rdx;
	*result = hypapi_reg_get(ev, (enum hypapi_reg)rcx);
	return 0;
}

static int64_t do_inject(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)result;
	return hypapi_inject(ev, (uint32_t)rcx, (uint32_t)rdx, GVA(rdx)) ? REFUSED : NO_ANSWER;
}

static int64_t do_clear(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)rdx, (void)result;
	return hypapi_regs_clear(ev, (uint32_t)rcx) ? REFUSED : NO_ANSWER;
}

static int64_t do_partition(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)rdx, (void)result;
	return verify_partition(ev, rcx) ? NO_ANSWER : 1;
}

static int64_t do_overflow(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	(void)ev, (void)rcx, (void)rdx;
	*result = overflow(32 * 1024 / 900);
	return 0;
}

#define NOWHERE 0x10ul /* no page of root's */

static __attribute__((noinline)) void fault(struct hypapi_event *ev, uint64_t kind)
{
	switch (kind) {
	case 0:
		__asm__ volatile("movq $1, (%0)" : : "r"(NOWHERE) : "memory");
		break;
	case 1:
		__asm__ volatile("divl %0" : : "r"(0), "a"(1), "d"(0));
		break;
	case 2:
		__asm__ volatile("ud2");
		break;
	default:
		(void)!hypapi_copy_from(ev, (void *)NOWHERE, GVA(hypapi_reg_get(ev, HYPAPI_REG_RSP)), 8);
	}
}

static int64_t do_fault(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result)
{
	if (rdx)
		hypapi_quiesce(ev);
	fault(ev, rcx);
	*result = 0;
	return 0;
}

static int64_t (*const requests[])(struct hypapi_event *ev, uint64_t rcx, uint64_t rdx, uint64_t *result) = {
	[VERIFY_RESTRICT - VERIFY_RESTRICT] = do_restrict,
	[VERIFY_RIGHTS - VERIFY_RESTRICT] = do_rights,
	[VERIFY_VIOLATIONS - VERIFY_RESTRICT] = do_violations,
	[VERIFY_READ - VERIFY_RESTRICT] = do_read,
	[VERIFY_WRITE - VERIFY_RESTRICT] = do_write,
	[VERIFY_TRANSLATE - VERIFY_RESTRICT] = do_translate,
	[VERIFY_ERRORS - VERIFY_RESTRICT] = do_errors,
	[VERIFY_EVENTS - VERIFY_RESTRICT] = do_events,
	[VERIFY_ANSWER - VERIFY_RESTRICT] = do_answer,
	[VERIFY_WINDOW - VERIFY_RESTRICT] = do_window,
	[VERIFY_REGISTER - VERIFY_RESTRICT] = do_register,
	[VERIFY_INJECT - VERIFY_RESTRICT] = do_inject,
	[VERIFY_CLEAR - VERIFY_RESTRICT] = do_clear,
	[VERIFY_PARTITION - VERIFY_RESTRICT] = do_partition,
	[VERIFY_OVERFLOW - VERIFY_RESTRICT] = do_overflow,
	[VERIFY_RESTRICT_GPA2 - VERIFY_RESTRICT] = do_restrict_gpa2,
	[VERIFY_RIGHTS_GPA2 - VERIFY_RESTRICT] = do_rights_gpa2,
	[VERIFY_READ_GPA2 - VERIFY_RESTRICT] = do_read_gpa2,
	[VERIFY_WRITE_GPA2 - VERIFY_RESTRICT] = do_write_gpa2,
	[VERIFY_FAULT - VERIFY_RESTRICT] = do_fault,
};
_Static_assert(sizeof(requests) / sizeof(requests[0]) == VERIFY_LAST - VERIFY_RESTRICT + 1, "a row for each request");

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint64_t rcx = hypapi_reg_get(ev, HYPAPI_REG_RCX), rdx = hypapi_reg_get(ev, HYPAPI_REG_RDX), result = rdx;
	int64_t returned = requests[ev->args.hypercall.number - VERIFY_RESTRICT](ev, rcx, rdx, &result);

	if (returned == REFUSED)
		return HYPAPI_DENY;
	if (returned != NO_ANSWER)
		verify_answer(ev, returned, result);
	return HYPAPI_HANDLED;
}

HYPAPP_DEFINE(verify,
	.priority = 2000,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_QUIESCE |
			HYPAPI_CAP_WORK | HYPAPI_CAP_INTERRUPTS,
	.cpu_bytes = 100,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
		{ .type = HYPAPI_EV_PORT_IO, .levels = HYPAPI_LEVELS_GUEST, .handler = on_port },
		{ .type = HYPAPI_EV_MSR, .levels = HYPAPI_LEVELS_GUEST, .handler = on_msr },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = verify_partition_exit },
		{ .type = HYPAPI_EV_MTRR, .two_phase = true, .handler = on_change },
		{ .type = HYPAPI_EV_SLEEP, .two_phase = true, .handler = on_change },
		{ .type = HYPAPI_EV_WORK, .handler = on_work },
		{ .type = HYPAPI_EV_INTERRUPT, .levels = HYPAPI_LEVELS_GUEST, .handler = on_interrupt },
		{ .type = HYPAPI_EV_NMI, .levels = HYPAPI_LEVELS_GUEST, .handler = on_signal },
		{ .type = HYPAPI_EV_INTERRUPT_WINDOW, .levels = HYPAPI_LEVELS_GUEST, .handler = on_signal },
		{ .type = HYPAPI_EV_NMI_WINDOW, .levels = HYPAPI_LEVELS_GUEST, .handler = on_signal },
		{ .type = HYPAPI_EV_INIT_SIGNAL, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .handler = on_init_signal },
		{ .type = HYPAPI_EV_EXIT102, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = on_crossing },
		{ .type = HYPAPI_EV_EXIT201, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .handler = on_crossing },
		{ .type = HYPAPI_EV_EXIT202, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = on_crossing },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = VERIFY_RESTRICT,
		  .last = VERIFY_LAST },
		{ .kind = HYPAPI_CLAIM_PORT, .levels = HYPAPI_LEVELS_GUEST, .first = PORT_FIRST, .last = PORT_LAST },
		{ .kind = HYPAPI_CLAIM_MSR, .levels = HYPAPI_LEVELS_GUEST, .first = MSR_FIRST, .last = MSR_LAST },
		{ .kind = HYPAPI_CLAIM_MSR, .levels = HYPAPI_LEVELS_GUEST, .first = MSR_TSC_AUX, .last = MSR_TSC_AUX },
	});
