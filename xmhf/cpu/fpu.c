/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See fpu.h. The images are those of XSAVE in its standard format (SDM vol. 1, "XSAVE Area"). */
#include "cpu/fpu.h"

#include "cpu/traps.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"

#define CR0_TS BIT(3)
#define LEAF_XSTATE 0xd
#define ECX1_XSAVE BIT(26)

#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 (BIT(5) | BIT(6) | BIT(7)) /* all or none */
#define FIRST_EXTENDED 2

#define AREA_FCW 0
#define AREA_MXCSR 24
#define AREA_FIXED_BYTES 576 /* x87, SSE, header */
#define FCW_RESET 0x37f
#define MXCSR_RESET 0x1f80

/* Constant after boot. */
static u64 components; /* XCR0 of partitions; 0: no XSAVE */
static u32 area_bytes;

void fpu_init(void)
{
	u64 has = cpuid(0, 0).eax >= LEAF_XSTATE && cpuid(1, 0).ecx & ECX1_XSAVE ? cpuid(LEAF_XSTATE, 0).eax : 0;
	u32 bytes = AREA_FIXED_BYTES;

	has &= XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
	if ((has & XCR0_AVX512) != XCR0_AVX512)
		has &= ~XCR0_AVX512;
	for (u32 i = FIRST_EXTENDED; has >> i; i++) {
		struct cpuid_regs place = cpuid(LEAF_XSTATE, i); /* EAX: bytes; EBX: where */

		if (has & BIT(i))
			bytes = MAX(bytes, place.eax + place.ebx);
	}
	if ((has & XCR0_SSE) && bytes <= PAGE_SIZE) {
		components = has;
		area_bytes = bytes;
	}
}

void fpu_cpu_init(void)
{
	write_cr0(read_cr0() & ~(CR0_EM | CR0_TS));
	write_cr4(read_cr4() | CR4_OSFXSR);
}

bool fpu_is_there(void)
{
	return components;
}

/* XRSTOR takes MXCSR from the image also where its header says that all is as after a reset. */
static void reset_image(u8 *area)
{
	memset(area, 0, area_bytes);
	*(u16 *)&area[AREA_FCW] = FCW_RESET;
	*(u32 *)&area[AREA_MXCSR] = MXCSR_RESET;
}

bool fpu_alloc(struct fpu *f)
{
	f->own = page_alloc();
	f->callers = f->own ? page_alloc() : NULL;
	if (!f->callers) {
		fpu_free(f);
		return false;
	}
	reset_image(f->own);
	return true;
}

void fpu_wipe_own(struct fpu *f)
{
	if (f->own)
		reset_image(f->own);
}

void fpu_wipe(struct fpu *f)
{
	fpu_wipe_own(f);
	if (f->callers)
		reset_image(f->callers);
}

static void free_image(u8 *area)
{
	if (!area)
		return;
	memset(area, 0, area_bytes);
	page_free(area);
}

void fpu_free(struct fpu *f)
{
	free_image(f->own);
	free_image(f->callers);
	*f = (struct fpu){ NULL };
}

/* Of an image whose header says so XRSTOR reads no more than that and MXCSR. */
void fpu_clear(void)
{
	static _Alignas(64) u8 blank[AREA_FIXED_BYTES] = {
		[AREA_MXCSR] = MXCSR_RESET & 0xff, [AREA_MXCSR + 1] = MXCSR_RESET >> 8,
	};

	if (components && xsetbv_safe(0, components)) /* it may be before VMX is on, and CR4.OSXSAVE with it */
		xrstor(blank, components, true);
}

void fpu_enter(struct fpu *f, bool wide)
{
	f->caller_xcr0 = xgetbv(0);
	if (f->caller_xcr0 != components)
		xsetbv(0, components);
	xsave(f->callers, components, wide);
	xrstor(f->own, components, wide);
}

void fpu_leave(struct fpu *f, bool wide)
{
	xsave(f->own, components, wide);
	xrstor(f->callers, components, wide);
	memset(f->callers, 0, area_bytes);
	if (f->caller_xcr0 != components)
		xsetbv(0, f->caller_xcr0);
}
