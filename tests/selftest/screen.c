/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The screen until the guest starts, and afterwards: tests/run/screen.py looks at it. It ends in a panic. */
#include "selftest.h"

#include "report/display.h"
#include "report/log.h"

void selftest(void)
{
	log_info("the screen is the core's");
	display_close();
	log_info("for nobody");
	panic("for the screen");
}
