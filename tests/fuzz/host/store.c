/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instruction decoder: it reads no byte that is not there, and what it knows fits into what it was given. */
#include "target.h"

#include "apic/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned int sizes[] = { 16, 32, 64 };

	for (size_t i = 0; i < 3; i++) {
		struct store s = store_decode(data, (unsigned int)size, sizes[i]);

		MUST(s.len <= size && s.len <= STORE_MAX_INSN);
		if (!s.len)
			continue;
		MUST(s.size == 1 || s.size == 2 || s.size == 4 || s.size == 8);
		MUST(s.reg < 16 && s.segment < 6 && s.kind <= STORE_MOVS);
		MUST(s.address_size == 2 || s.address_size == 4 || s.address_size == 8);
		MUST(!s.high_byte || (s.size == 1 && s.reg < 4));
	}
	return 0;
}
