/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSR and I/O bitmaps, of L1 and of what L1 lets L2 do: see vmx.h. */
#include <hypapi/hypapp.h>

#include "lib/string.h"
#include "mem/pages.h"
#include "vmx/msr_policy.h"
#include "vmx/vmx.h"

u8 *vmx_msr_bitmap, *vmx_io_bitmaps, *vmx_msr_bitmap_l2, *vmx_io_bitmaps_l2;

void vmx_bitmaps_init(void)
{
	vmx_msr_bitmap = vmx_msr_bitmap_l2 = pages_boot_alloc(1);
	vmx_io_bitmaps = vmx_io_bitmaps_l2 = pages_boot_alloc(2);
}

void vmx_intercept_port(u16 port)
{
	vmx_io_bitmaps[port / 8] |= (u8)BIT(port % 8);
	vmx_io_bitmaps_l2[port / 8] |= (u8)BIT(port % 8);
}

/* Before the first claim: L2 gets a bitmap of its own. It begins with what L1's has so far, which the core has set. */
static void split(u8 *of_l1, u8 **of_l2, u32 page_count)
{
	if (*of_l2 == of_l1)
		*of_l2 = memcpy(pages_boot_alloc(page_count), of_l1, page_count * PAGE_SIZE);
}

static void set_bits(u8 *bitmap, u32 first, u32 last)
{
	for (u32 bit = first; bit <= last; bit++)
		bitmap[bit / 8] |= (u8)BIT(bit % 8);
}

void vmx_claim_ports(enum hypapi_level level, u32 first, u32 last)
{
	split(vmx_io_bitmaps, &vmx_io_bitmaps_l2, 2);
	set_bits(level == HYPAPI_L2 ? vmx_io_bitmaps_l2 : vmx_io_bitmaps, first, last);
}

void vmx_claim_msrs(enum hypapi_level level, u32 first, u32 last)
{
	split(vmx_msr_bitmap, &vmx_msr_bitmap_l2, 1);
	u8 *bitmap = level == HYPAPI_L2 ? vmx_msr_bitmap_l2 : vmx_msr_bitmap;

	for (u32 write = 0; write < 2; write++)
		set_bits(bitmap, msr_place(first, write), msr_place(last, write));
}
