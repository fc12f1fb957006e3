/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal: keeps the last notes of programs in L1 and L2 where none of them can change a note: in root memory.
 * Callers: programs of any privilege level, by VMCALL.
 */
#include <hypapi/hypapi.h>

enum { JOURNAL_COUNT = 0x300, JOURNAL_APPEND, JOURNAL_READ, JOURNAL_CLEAR, JOURNAL_LAST = 0x30f };

#define NOTE_COUNT 64
#define NOTE_BYTES 56

struct note {
	uint32_t len_bytes; /* 0: nothing in it yet */
	uint32_t level;     /* enum hypapi_level: who wrote it */
	uint8_t text[NOTE_BYTES];
};

static struct note notes[NOTE_COUNT]; /* the oldest first */

static uint32_t taken; /* how many of them are in use; grows by an atomic exchange, shrinks under a stop only */

/* Removes the oldest notes. The CPUs are stopped, so none is half way through a note. */
static void forget(uint32_t count)
{
	for (uint32_t i = 0; i < NOTE_COUNT; i++)
		notes[i] = i + count < taken ? notes[i + count] : (struct note){ .len_bytes = 0 };
	taken -= count;
}

/* A register of the caller. The upper half of it means nothing in 32-bit code. */
static uint64_t argument(const struct hypapi_event *ev, enum hypapi_reg reg)
{
	uint64_t value = hypapi_reg_get(ev, reg);

	return ev->long_mode ? value : (uint32_t)value;
}

/* A note that nobody else has, or NULL: all are in use. */
static struct note *take_note(void)
{
	uint32_t n = __atomic_load_n(&taken, __ATOMIC_RELAXED);

	do {
		if (n == NOTE_COUNT)
			return NULL;
	} while (!__atomic_compare_exchange_n(&taken, &n, n + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return &notes[n];
}

/* Removes the older half of a full journal. The caller has no note taken. */
static int make_room(struct hypapi_event *ev)
{
	int late = hypapi_quiesce(ev);

	if (late < 0)
		return late;
	/* `taken` shrinks under a stop only, so if there was none before ours (0) it is still full; else look again. */
	if (!late || taken == NOTE_COUNT)
		forget(NOTE_COUNT / 2);
	return hypapi_resume(ev); /* nothing below needs the stop, so it ends before the event does */
}

/* RBX: address, RCX: length in bytes. */
static int append(struct hypapi_event *ev)
{
	uint64_t len_bytes = argument(ev, HYPAPI_REG_RCX);
	uint8_t text[NOTE_BYTES] = { 0 };
	struct note *note;
	int error;

	if (!len_bytes || len_bytes > NOTE_BYTES)
		return HYPAPI_EINVAL;
	/* First what may fail. Once copied, the text is ours: another CPU of the guest cannot change it any more. */
	error = hypapi_copy_from(ev, text, GVA(argument(ev, HYPAPI_REG_RBX)), len_bytes);
	if (error)
		return error;
	while (!(note = take_note())) {
		error = make_room(ev);
		if (error)
			return error;
	}
	__builtin_memcpy(note->text, text, NOTE_BYTES);
	note->level = ev->level;
	/* The length comes last: a reader that sees it sees the text, too. */
	__atomic_store_n(&note->len_bytes, (uint32_t)len_bytes, __ATOMIC_RELEASE);
	return HYPAPI_OK;
}

static uint32_t calls[HYPAPI_L2 + 1]; /* by level; atomic */

/* The end of each call: RAX is 0 or negative, an enum hypapi_error. */
static enum hypapi_verdict answer(struct hypapi_event *ev, int result)
{
	__atomic_add_fetch(&calls[ev->level], 1, __ATOMIC_RELAXED);
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)(int64_t)result);
	return HYPAPI_HANDLED;
}

/* RBX: number, RCX: buffer, RDX: its size in bytes. */
static int give(struct hypapi_event *ev)
{
	uint64_t number = argument(ev, HYPAPI_REG_RBX);
	uint32_t len_bytes;
	int error;

	if (number >= NOTE_COUNT)
		return HYPAPI_EINVAL;
	len_bytes = __atomic_load_n(&notes[number].len_bytes, __ATOMIC_ACQUIRE);
	if (!len_bytes || len_bytes > argument(ev, HYPAPI_REG_RDX))
		return HYPAPI_EINVAL;
	error = hypapi_copy_to(ev, GVA(argument(ev, HYPAPI_REG_RCX)), notes[number].text, len_bytes);
	if (error)
		return error;
	hypapi_reg_set(ev, HYPAPI_REG_RBX, len_bytes);
	hypapi_reg_set(ev, HYPAPI_REG_RCX, notes[number].level);
	return HYPAPI_OK;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	switch (ev->args.hypercall.number) {
	case JOURNAL_COUNT:
		hypapi_reg_set(ev, HYPAPI_REG_RBX, calls[HYPAPI_L1]);
		hypapi_reg_set(ev, HYPAPI_REG_RCX, calls[HYPAPI_L2]);
		return answer(ev, HYPAPI_OK);
	case JOURNAL_APPEND:
		return answer(ev, append(ev));
	case JOURNAL_READ:
		return answer(ev, give(ev));
	case JOURNAL_CLEAR:
		if (ev->level != HYPAPI_L1 || ev->cpl != 0)
			return answer(ev, HYPAPI_EPERM);
		if (!ev->stopped) {
			ev->quiesce = true;
			return HYPAPI_RETRY;
		}
		forget(taken);
		return answer(ev, HYPAPI_OK);
	default:
		return HYPAPI_DENY; /* claimed, but without a meaning: #UD, as if nobody were here */
	}
}

/* Called once at boot, before L1 starts. */
static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	(void)ev;
	hypapi_log("journal: ready");
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(journal,
	.priority = 200,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST,
		  .first = JOURNAL_COUNT, .last = JOURNAL_LAST },
	});
