/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Double faults: the SDM's table of classes, written out as it stands there, against every pair of vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "vmx/double_fault.h"

enum class { BENIGN, CONTRIBUTORY, PAGE };

static enum class class_of(u32 vector)
{
	switch (vector) {
	case 0: case 10: case 11: case 12: case 13: case 21: return CONTRIBUTORY;
	case 14: case 20: return PAGE;
	default: return BENIGN;
	}
}

/* Rows: first event; columns: second exception. */
static const bool doubles[3][3] = { { false, false, false }, { false, true, false }, { false, true, true } };

static void every_pair_of_exceptions(void **state)
{
	(void)state;
	for (u32 first = 0; first < 32; first++)
		for (u32 second = 0; second < 32; second++) {
			u32 info = (u32)(INTR_VALID | INTR_TYPE_HW_EXCEPTION) | first, expected = second;

			if (first == 8 && class_of(second) != BENIGN)
				expected = SHUTDOWN;
			else if (first != 8 && doubles[class_of(first)][class_of(second)])
				expected = 8;
			assert_int_equal(double_fault(info, second), expected);
			assert_int_equal(double_fault(info | INTR_ERROR_CODE, second), expected);
			assert_int_equal(double_fault(info & ~(u32)INTR_VALID, second), second);
		}
}

/* Interrupts, NMIs and what the program asks for are benign, whatever the vector's number. */
static void what_is_no_exception(void **state)
{
	static const u32 types[] = { INTR_TYPE_EXTERNAL, INTR_TYPE_NMI, INTR_TYPE_SW_INTR, INTR_TYPE_PRIV_SW_EXCEPTION,
				     INTR_TYPE_SW_EXCEPTION };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		for (u32 vector = 0; vector < 256; vector++)
			assert_int_equal(double_fault((u32)INTR_VALID | types[i] | vector, VEC_GP), VEC_GP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_of_exceptions),
		cmocka_unit_test(what_is_no_exception),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
