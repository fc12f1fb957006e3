/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checksum's library on the host, against values that zlib's adler32() gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <adler32.h>
#include <hypapi/hypapi.h>

/* What the hypapp calls; this test does not get there. */
const char HYPAPI_VERSION_SYMBOL[] = "fake";
void hypapi_log(const char *format, ...) { (void)format; }
uint64_t hypapi_reg_get(const struct hypapi_event *ev, enum hypapi_reg reg) { (void)ev; (void)reg; return 0; }

int hypapi_reg_set(struct hypapi_event *ev, enum hypapi_reg reg, uint64_t value)
{
	(void)ev;
	(void)reg;
	(void)value;
	return HYPAPI_OK;
}

static void sums(void **state)
{
	static uint8_t large[70000];

	(void)state;
	assert_int_equal(answer("", 0, 0), 1);
	assert_int_equal(answer("Adler-32", 8, 0), 0x0c34027b);
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = 0xff;
	assert_int_equal(answer(large, sizeof(large), 0), 0x2a286e81);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sums) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
