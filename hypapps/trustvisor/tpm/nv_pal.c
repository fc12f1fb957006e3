/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands 21 to 23: memory of the one PAL whose measurement the boot option trustvisor.nv-pal names. It is nv.c's, and
 * lives for one boot.
 */
#include "nv.h"
#include "op.h"

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 64 hexadecimal digits, as the script that measures files prints them. */
static bool is_nv_pal(const struct pal *pal)
{
	const char *text = hypapi_option("trustvisor.nv-pal");

	if (!text)
		return false;
	for (uint32_t i = 0; i < 32; i++, text += 2) {
		int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);

		if (low < 0 || tpm_of(pal)->measurement[i] != (high << 4 | low))
			return false;
	}
	return *text == 0;
}

uint32_t nv_command(const struct hypapi_event *ev, const struct pal *pal, uint32_t number)
{
	uint64_t at = tv_arg(ev, HYPAPI_REG_RCX);
	const uint32_t size = NV_BYTES;
	uint32_t result;
	uint8_t *memory;

	if (!is_nv_pal(pal))
		return TV_E_DENIED;
	if (number == TV_CMD_NV_GETSIZE)
		return op_write(ev, pal, at, &size, sizeof(size));
	memory = nv_take();
	result = number == TV_CMD_NV_READALL ? op_write(ev, pal, at, memory, NV_BYTES) :
		 op_read(ev, pal, memory, at, NV_BYTES);
	nv_give_back();
	return result;
}
