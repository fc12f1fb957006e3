/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * helloworld: the shortest complete hypapp. Read it top to bottom, then copy it.
 *
 * It answers three hypercalls, from L1 and from L2 alike, and shows the three ways to treat the other CPUs: leave them
 * running, have them stopped before the handler starts over, or stop them in the middle of the handler.
 *
 *     EAX = 0x100 (L1) or L2 base + 0x100 (L2)   no stop
 *           0x101                                stop asked for by the event's flag
 *           0x102                                stop by hypapi_quiesce()
 *     answer: EAX = 0, EBX = number of such calls so far on all CPUs, this one included
 *
 * The last two are for the kernel of L1 (CPL 0): to others they answer EAX = 1, and do nothing. A stop costs all CPUs.
 */

/* Step 1: this header is all that a hypapp includes, apart from freestanding C. */
#include <hypapi/hypapi.h>

/* Claimed below: VMCALLs with other numbers never reach this file. */
enum { HELLO_RUNNING = 0x100, HELLO_STOP_BY_FLAG, HELLO_STOP_BY_CALL, HELLO_LAST = 0x10f };

/* Step 2: state. Callbacks run on all CPUs at once, so what they share is atomic, or is changed under a stop only. */
static uint32_t calls;

/* Step 3: who may do that? A hypapp asks where its callers could do harm. */
static enum hypapi_verdict refuse(struct hypapi_event *ev)
{
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 1);
	return HYPAPI_HANDLED;
}

static bool is_l1_kernel(const struct hypapi_event *ev)
{
	return ev->level == HYPAPI_L1 && ev->cpl == 0;
}

static enum hypapi_verdict answer(struct hypapi_event *ev)
{
	uint32_t count = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);

	/* Step 4: registers are those of whoever made the call, of L1's CPU or of L2's. No "am I nested" anywhere. */
	hypapi_reg_set(ev, HYPAPI_REG_RAX, 0);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, count);
	/* HANDLED: the core steps over the VMCALL and resumes the caller; L1 does not learn of an L2 call. */
	return HYPAPI_HANDLED;
}

/* Step 5: a handler. It looks at the event, does its work through hypapi calls, and returns a verdict. */
static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	switch (ev->args.hypercall.number) { /* the same number at both levels: the core took the L2 base off */
	case HELLO_RUNNING:
		return answer(ev);

	case HELLO_STOP_BY_FLAG:
		/*
		 * The event comes twice: at first with the CPUs running, and after RETRY with all others stopped. So a
		 * handler can decide cheaply whether it needs the stop. (With `.quiesce = true` in the subscription it
		 * would be stopped every time, before the first delivery.)
		 */
		if (!is_l1_kernel(ev))
			return refuse(ev);
		if (!ev->stopped) {
			ev->quiesce = true;
			return HYPAPI_RETRY;
		}
		return answer(ev);

	case HELLO_STOP_BY_CALL:
		/*
		 * Stop here and go on. An answer of 1 would mean that another CPU had its stop in between, so that what
		 * this handler read before must be read again; this one has read nothing yet.
		 */
		if (!is_l1_kernel(ev))
			return refuse(ev);
		if (hypapi_quiesce(ev) < 0)
			return HYPAPI_DENY;
		return answer(ev); /* the stop ends with the event */

	default:
		return HYPAPI_DENY; /* claimed, but not in use: #UD, as if there were nothing here */
	}
}

/* Called once at boot, before L1 starts. PASS, so that the next hypapp in the chain gets the event too. */
static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	(void)ev;
	hypapi_log("helloworld: hello, hypapi %u.%u; L2 adds 0x%x to hypercall numbers", hypapi_version() >> 16,
		   hypapi_version() & 0xffff, hypapi_l2_hypercall_base());
	return HYPAPI_PASS;
}

/*
 * Step 6: the descriptor. It names the hypapp, the groups of calls that it makes, the events that it wants and the
 * numbers that it claims. `./configure --with-hypapps=helloworld` links it; nothing else has to be edited.
 */
HYPAPP_DEFINE(helloworld,
	.priority = 1000, /* unique in the image; the smaller is asked first */
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST,
		  .first = HELLO_RUNNING, .last = HELLO_LAST },
	});
