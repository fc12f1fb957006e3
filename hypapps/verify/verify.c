/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify: a hypapp for tests, that makes hypapi's calls on request of a guest and reports what they answer. It gives a guest
 * power over itself, so it belongs in no image but those of the tests.
 *
 *     EAX    RCX, RDX              answers: EAX 0; RBX what the call returned, RDX its result
 *     0x200  gpa1, rights          hypapi_memory_restrict() of one page, under a stop
 *     0x201  gpa1                  hypapi_memory_rights()
 *     0x202                        RBX: violations so far, RDX: the last one's gpa1 | access
 *     0x203  gpa1                  hypapi_copy_from_gpa1() of 8 bytes
 *     0x204  gpa1, value           hypapi_copy_to_gpa1() of 8 bytes
 *     0x205  gpa2, rights          hypapi_translate_gpa2(): RDX is the gpa1
 *     0x206                        RBX: how many of the documented errors came out wrong
 *     0x207  type | level << 8     RBX: how many events of that type and level, RDX: the last one's arguments
 *
 * It claims ports and MSRs that no machine has, with a meaning for each (enum below), and TSC_AUX, which it passes on.
 */
#include <hypapi/hypapi.h>

enum {
	VERIFY_RESTRICT = 0x200, VERIFY_RIGHTS, VERIFY_VIOLATIONS, VERIFY_READ, VERIFY_WRITE, VERIFY_TRANSLATE, VERIFY_ERRORS,
	VERIFY_EVENTS,
	VERIFY_LAST = 0x20f
};

static uint64_t violations, last_violation; /* written under a stop */

/* Ports: a store, refused, nobody's after all, and a store that wants the CPUs stopped. */
enum { PORT_FIRST = 0x5c00, PORT_DENIED = 0x5c08, PORT_PASSED = 0x5c0a, PORT_STOPPED = 0x5c0c, PORT_LAST = 0x5c0f };
/* MSRs: a store, refused, nobody's after all (so it does not exist). */
enum { MSR_FIRST = 0x1f00, MSR_DENIED, MSR_PASSED, MSR_LAST = MSR_PASSED, MSR_TSC_AUX = 0xc0000103 };

static uint64_t port_store, msr_store;
static struct { uint64_t count, last; } seen[HYPAPI_EV_COUNT][HYPAPI_L2 + 1];

static void note(const struct hypapi_event *ev, uint64_t arguments)
{
	__atomic_fetch_add(&seen[ev->type][ev->level].count, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&seen[ev->type][ev->level].last, arguments, __ATOMIC_RELAXED);
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

static enum hypapi_verdict on_mtrr(struct hypapi_event *ev)
{
	note(ev, ev->args.mtrr.msr);
	return HYPAPI_DENY; /* is ignored */
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
	hypapi_memory_restrict(ev, GPA1(ev->args.violation.gpa1.addr & HYPAPI_PAGE_MASK), 1, HYPAPI_RWX);
	return HYPAPI_RETRY;
}

static uint64_t wrong(const char *what, int got, int wanted)
{
	if (got != wanted)
		hypapi_log("verify: %s answers %d, not %d", what, got, wanted);
	return got != wanted;
}

/* Each documented error that can be had without help of the guest. */
static uint64_t count_wrong_errors(struct hypapi_event *ev)
{
	struct hypapi_partition_page page = { .gva = GVA(0x1001), .rights = HYPAPI_RW };
	struct hypapi_partition_entry entry = { .rip = 0x1000, .long_mode = true };
	hypapi_partition_t none = { 0x1234 };
	struct hypapi_event copy = *ev;
	uint64_t count = 0, id;
	uint32_t rights;
	char byte;

	count += wrong("resume without a stop", hypapi_resume(ev), HYPAPI_ESTATE);
	count += wrong("a copied event", hypapi_quiesce(&copy), HYPAPI_EPERM);
	count += wrong("create without a stop", hypapi_partition_create(ev, &page, 1, &none), HYPAPI_ESTATE);
	count += wrong("restrict without a stop", hypapi_memory_restrict(ev, GPA1(0x300000), 1, HYPAPI_R), HYPAPI_ESTATE);
	count += wrong("grant without a stop", hypapi_memory_restrict(ev, GPA1(0x300000), 1, HYPAPI_RWX), HYPAPI_OK);
	count += wrong("W without R", hypapi_memory_restrict(ev, GPA1(0x300000), 1, HYPAPI_W), HYPAPI_EINVAL);
	count += wrong("restrict no page", hypapi_memory_restrict(ev, GPA1(0x300000), 0, HYPAPI_R), HYPAPI_EINVAL);
	count += wrong("restrict an odd address", hypapi_memory_restrict(ev, GPA1(0x300001), 1, HYPAPI_R), HYPAPI_EINVAL);
	count += wrong("restrict the APIC page", hypapi_memory_restrict(ev, GPA1(0xfee00000), 1, HYPAPI_RWX), HYPAPI_EPERM);
	count += wrong("rights", hypapi_memory_rights(ev, GPA1(0x300000), &rights), HYPAPI_OK);
	count += wrong("rights of L1's page", (int)rights, HYPAPI_RWX);
	count += wrong("register out of range", hypapi_reg_set(ev, HYPAPI_REG_COUNT, 0), HYPAPI_EINVAL);
	count += wrong("CR3 written", hypapi_reg_set(ev, HYPAPI_REG_CR3, 0), HYPAPI_EINVAL);
	count += wrong("RIP not canonical", hypapi_reg_set(ev, HYPAPI_REG_RIP, 1ull << 63), HYPAPI_EINVAL);
	count += wrong("inject #DE", hypapi_inject(ev, 0, 0, GVA(0)), HYPAPI_EINVAL);
	count += wrong("copy too long", hypapi_copy_from(ev, &byte, GVA(0), (1u << 20) + 1), HYPAPI_EINVAL);
	count += wrong("copy that wraps", hypapi_copy_from(ev, &byte, GVA(~0ull), 2), HYPAPI_EINVAL);
	count += wrong("copy from nowhere", hypapi_copy_from(ev, &byte, GVA(0x700000000000), 1), HYPAPI_EFAULT);
	count += wrong("copy not canonical", hypapi_copy_from(ev, &byte, GVA(1ull << 63), 1), HYPAPI_EFAULT);
	count += wrong("physical copy that wraps", hypapi_copy_from_gpa1(ev, &byte, GPA1(~0ull), 2), HYPAPI_EINVAL);
	count += wrong("physical copy from nowhere", hypapi_copy_from_gpa1(ev, &byte, GPA1(1ull << 45), 1), HYPAPI_EPERM);
	count += wrong("identity of EPT01", hypapi_ept_identity(ev, ev->eptp01, &id), HYPAPI_OK);
	count += wrong("a stale EPT handle", hypapi_ept_identity(ev, (hypapi_ept_t){ ev->eptp01.id - 4 }, &id), HYPAPI_ESTALE);
	count += wrong("destroy no partition", hypapi_partition_destroy(ev, none), HYPAPI_ESTALE);
	count += wrong("read no partition", hypapi_partition_read(ev, none, &byte, GVA(0), 1), HYPAPI_ESTALE);
	count += wrong("enter no partition", hypapi_partition_enter(ev, none, &entry), HYPAPI_ESTALE);
	count += wrong("leave no partition", hypapi_partition_leave(ev), HYPAPI_ESTATE);
	if (hypapi_quiesce(ev) < 0)
		return count + 1;
	count += wrong("create at an odd address", hypapi_partition_create(ev, &page, 1, &none), HYPAPI_EINVAL);
	page.gva = GVA(0x700000000000);
	count += wrong("create from nowhere", hypapi_partition_create(ev, &page, 1, &none), HYPAPI_EFAULT);
	count += wrong("create without pages", hypapi_partition_create(ev, &page, 0, &none), HYPAPI_EINVAL);
	count += wrong("restrict below 1 page too many", hypapi_memory_restrict(ev, GPA1(0x300000), 513, 0), HYPAPI_EINVAL);
	count += wrong("resume", hypapi_resume(ev), HYPAPI_OK);
	return count;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint64_t rcx = hypapi_reg_get(ev, HYPAPI_REG_RCX), rdx = hypapi_reg_get(ev, HYPAPI_REG_RDX), result = rdx;
	struct hypapi_page page = { .gpa1 = GPA1(0) };
	uint32_t rights = 0;
	int64_t answer = 0;

	switch (ev->args.hypercall.number) {
	case VERIFY_RESTRICT:
		answer = restrict_page(ev, GPA1(rcx), (uint32_t)rdx);
		break;
	case VERIFY_RIGHTS:
		answer = hypapi_memory_rights(ev, GPA1(rcx), &rights);
		result = rights;
		break;
	case VERIFY_VIOLATIONS:
		answer = (int64_t)violations;
		result = last_violation;
		break;
	case VERIFY_READ:
		answer = hypapi_copy_from_gpa1(ev, &result, GPA1(rcx), sizeof(result));
		break;
	case VERIFY_WRITE:
		answer = hypapi_copy_to_gpa1(ev, GPA1(rcx), &rdx, sizeof(rdx));
		break;
	case VERIFY_TRANSLATE:
		answer = hypapi_translate_gpa2(ev, GPA2(rcx), (uint32_t)rdx, &page);
		result = page.gpa1.addr;
		break;
	case VERIFY_ERRORS:
		answer = (int64_t)count_wrong_errors(ev);
		break;
	case VERIFY_EVENTS:
		if ((rcx & 0xff) >= HYPAPI_EV_COUNT || rcx >> 8 > HYPAPI_L2)
			return HYPAPI_DENY;
		answer = (int64_t)seen[rcx & 0xff][rcx >> 8].count;
		result = seen[rcx & 0xff][rcx >> 8].last;
		break;
	default:
		return HYPAPI_DENY;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, (uint64_t)answer);
	hypapi_reg_set(ev, HYPAPI_REG_RDX, result);
	return HYPAPI_HANDLED;
}

HYPAPP_DEFINE(verify,
	.priority = 2000,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
		{ .type = HYPAPI_EV_PORT_IO, .levels = HYPAPI_LEVELS_GUEST, .handler = on_port },
		{ .type = HYPAPI_EV_MSR, .levels = HYPAPI_LEVELS_GUEST, .handler = on_msr },
		{ .type = HYPAPI_EV_MTRR, .handler = on_mtrr },
		{ .type = HYPAPI_EV_EXIT102, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = on_crossing },
		{ .type = HYPAPI_EV_EXIT201, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .handler = on_crossing },
		{ .type = HYPAPI_EV_EXIT202, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = on_crossing },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = VERIFY_RESTRICT, .last = VERIFY_LAST },
		{ .kind = HYPAPI_CLAIM_PORT, .levels = HYPAPI_LEVELS_GUEST, .first = PORT_FIRST, .last = PORT_LAST },
		{ .kind = HYPAPI_CLAIM_MSR, .levels = HYPAPI_LEVELS_GUEST, .first = MSR_FIRST, .last = MSR_LAST },
		{ .kind = HYPAPI_CLAIM_MSR, .levels = HYPAPI_LEVELS_GUEST, .first = MSR_TSC_AUX, .last = MSR_TSC_AUX },
	});
