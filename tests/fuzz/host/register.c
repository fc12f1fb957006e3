/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to TrustVisor of a hostile process: section lists, parameters, entry points, registers, on the fake core of
 * its unit tests, which checks the calls. Whatever is asked, the answer is a number or a fault, and at the end of all
 * PALs no page has an owner.
 */
#include "target.h"

#include "../../../hypapps/trustvisor/test_fake.h"
#include "../../../hypapps/trustvisor/include/trustvisor/abi.h"

extern const struct hypapp_descriptor hypapp_trustvisor;

#define CALLS 4

static void raise_plain(uint32_t type)
{
	struct hypapi_event ev = fake_event(type, HYPAPI_L0);

	fake.current = 0;
	(void)fake_raise(&hypapp_trustvisor, &ev);
}

static void call(uint32_t number, bool l2, bool long_mode)
{
	enum hypapi_verdict verdict = HYPAPI_RETRY;

	for (int i = 0; i < 1000 && verdict == HYPAPI_RETRY; i++) {
		struct hypapi_event ev = fake_event(HYPAPI_EV_HYPERCALL, l2 ? HYPAPI_L2 : HYPAPI_L1);

		ev.long_mode = long_mode;
		ev.args.hypercall.number = number;
		verdict = fake_raise(&hypapp_trustvisor, &ev);
	}
	MUST(verdict == HYPAPI_HANDLED || verdict == HYPAPI_PASS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct { uint8_t number, flags; uint16_t cx, dx, si, di; } c;

	raise_plain(HYPAPI_EV_SHUTDOWN);
	fake_reset();
	raise_plain(HYPAPI_EV_INIT);
	for (uint32_t i = 0; i < CALLS && size; i++) {
		take(&data, &size, &c, sizeof(c));
		for (uint32_t page = 0; page < 2; page++)
			take(&data, &size, fake_mem(FAKE_BASE + (8 + page) * HYPAPI_PAGE_SIZE), 256);
		fake.cpl = c.flags & 1 ? 3 : 0;
		fake.regs[HYPAPI_REG_RCX] = FAKE_BASE + c.cx * 16ull;
		fake.regs[HYPAPI_REG_RDX] = c.dx ? FAKE_BASE + c.dx * 16ull : 0;
		fake.regs[HYPAPI_REG_RSI] = FAKE_BASE + c.si * 16ull;
		fake.regs[HYPAPI_REG_RDI] = FAKE_BASE + c.di * 16ull;
		call(c.number, c.flags & 2, c.flags & 4);
	}
	raise_plain(HYPAPI_EV_SHUTDOWN);
	for (uint32_t i = 0; i < FAKE_PAGES; i++)
		MUST(!fake.owner[i]);
	return 0;
}
