/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that implement hypapi's calls share: whose call it is, and whether it may. */
#ifndef XMHF_CALLS_H
#define XMHF_CALLS_H

#include "events/dispatch.h"

#define MAX_COPY_BYTES (1ul << 20)

/* One line that says why `call` is refused. */
__attribute__((cold)) void calls_refuse(const struct hypapi_event *ev, u32 capability, const char *call);

/*
 * The delivery that `ev` belongs to, or NULL: a stale pointer, or a capability (0: none is needed) that the hypapp did
 * not declare. A hypapp runs in deliveries only, so there is always one. call: for the line that says so.
 */
static inline struct dispatch *delivery_for(const struct hypapi_event *ev, u32 capability, const char *call)
{
	struct dispatch *d = this_cpu()->dispatch;

	/* Not link_now(), which would take an instruction more: the test reads the word once. */
	if (likely(ev == &d->ev && (d->link->capabilities & capability) == capability))
		return d;
	calls_refuse(ev, capability, call);
	return NULL;
}
#define delivery(ev, capability) delivery_for(ev, capability, __func__)

static inline bool in_guest(const struct dispatch *d)
{
	return d->ev.level != HYPAPI_L0;
}

/*
 * The guest that caused the event runs here: no partition, and no L1 in place of its L2, which has exited by the
 * exception or the violation that a hypapp has raised in it.
 */
_Static_assert(RUN_L1 + 1 == HYPAPI_L1 && RUN_L2 + 1 == HYPAPI_L2, "one comparison");
static inline bool runs_guest(const struct dispatch *d)
{
	return this_cpu()->world->mode + 1u == (u32)d->ev.level;
}

/* The same for calls that look at memory of the guest that caused the event; `l2`: an L2. */
static inline int guest_delivery_for(const struct hypapi_event *ev, u32 capability, bool l2, struct dispatch **d,
				     const char *call)
{
	*d = delivery_for(ev, capability, call);
	if (!*d)
		return HYPAPI_EPERM;
	return runs_guest(*d) && (!l2 || (*d)->ev.level == HYPAPI_L2) ? HYPAPI_OK : HYPAPI_ENOTSUP;
}
#define guest_delivery(ev, capability, l2, d) guest_delivery_for(ev, capability, l2, d, __func__)

/* What an access to a guest's memory came to, as a call tells it. */
static inline int result_of(enum guest_access_result result)
{
	return result == GUEST_OK ? HYPAPI_OK : result == GUEST_PAGE_FAULT ? HYPAPI_EFAULT : HYPAPI_EPERM;
}

#endif
