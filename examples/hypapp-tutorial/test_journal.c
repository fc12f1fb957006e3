/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host test of journal.c: what happens when the journal is full. Stands in for the core by the few calls that it needs. */
#include <hypapi/hypapi.h>

#include <assert.h>
#include <string.h>

enum { APPEND = 0x301, READ, CLEAR, FULL = 64, NOTE_BYTES = 56 };

const char HYPAPI_VERSION_SYMBOL[] = "host test";
extern const struct hypapp_descriptor hypapp_journal;
static uint64_t regs[HYPAPI_REG_COUNT];
static int stops;
static bool other_cpu_is_first;

static int call(uint32_t number, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
	struct hypapi_event ev = { .type = HYPAPI_EV_HYPERCALL, .level = HYPAPI_L1, .long_mode = true,
				   .args.hypercall.number = number };
	const struct hypapi_subscription *s = hypapp_journal.subscriptions;

	while (s->type != HYPAPI_EV_HYPERCALL)
		s++;
	regs[HYPAPI_REG_RBX] = rbx;
	regs[HYPAPI_REG_RCX] = rcx;
	regs[HYPAPI_REG_RDX] = rdx;
	if (s->handler(&ev) == HYPAPI_RETRY) {
		assert(ev.quiesce);
		ev.stopped = true;
		assert(s->handler(&ev) == HYPAPI_HANDLED);
	}
	return (int)regs[HYPAPI_REG_RAX];
}

uint64_t hypapi_reg_get(const struct hypapi_event *ev, enum hypapi_reg reg) { return (void)ev, regs[reg]; }
int hypapi_reg_set(struct hypapi_event *ev, enum hypapi_reg reg, uint64_t value) { return (void)ev, regs[reg] = value, 0; }
void hypapi_log(const char *format, ...) { (void)format; }

int hypapi_copy_from(const struct hypapi_event *ev, void *dst, gva_t src, size_t len_bytes)
{
	(void)ev;
	memcpy(dst, (const void *)src.addr, len_bytes);
	return HYPAPI_OK;
}

int hypapi_copy_to(const struct hypapi_event *ev, gva_t dst, const void *src, size_t len_bytes)
{
	(void)ev;
	memcpy((void *)dst.addr, src, len_bytes);
	return HYPAPI_OK;
}

int hypapi_quiesce(struct hypapi_event *ev)
{
	ev->stopped = true;
	stops++;
	if (other_cpu_is_first)
		call(CLEAR, 0, 0, 0);
	return other_cpu_is_first;
}

int hypapi_resume(struct hypapi_event *ev)
{
	ev->stopped = false;
	return HYPAPI_OK;
}

static int count_notes(uint8_t *last)
{
	int count = 0;

	while (call(READ, (uint64_t)count, (uint64_t)last, 1) == HYPAPI_OK)
		count++;
	return count;
}

static void append(uint8_t text, int expected_count)
{
	uint8_t last = 0;

	assert(call(APPEND, (uint64_t)&text, 1, 0) == HYPAPI_OK);
	assert(count_notes(&last) == expected_count && last == text);
}

int main(void)
{
	uint8_t long_text[NOTE_BYTES + 1] = { 0 };

	for (int count = 1; count <= FULL; count++)
		append((uint8_t)count, count);
	assert(stops == 0);
	append(100, FULL / 2 + 1); /* the older half went */
	assert(stops == 1);
	for (int count = FULL / 2 + 2; count <= FULL; count++)
		append((uint8_t)count, count);
	other_cpu_is_first = true;
	append(101, 1); /* it removed all notes, and nothing more was removed after that */
	assert(stops == 2);
	assert(call(APPEND, (uint64_t)long_text, sizeof(long_text), 0) == HYPAPI_EINVAL);
	return 0;
}
