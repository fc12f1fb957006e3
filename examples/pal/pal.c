/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The example PAL (pal.h). Nothing here may reach outside the PAL's sections: no library, no constants in .rodata.
 * Compiled with PAL_CFLAGS of examples.mk.
 */
#include "pal.h"

TV_PAL_DATA struct pal_data pal_data = { 0, 0 };

TV_PAL_ENTRY(pal_add, (uint64_t a, uint64_t b), (a, b))
{
	pal_data.calls++;
	return a + b + pal_data.secret;
}

/* The same for both ends of the buffer, so that reversing twice meets the same key. */
static inline __attribute__((always_inline)) uint64_t key(uint64_t number, uint64_t place)
{
	return (pal_data.secret ^ number) * (2 * place + 1);
}

TV_PAL_ENTRY(pal_crypt, (uint64_t number, uint64_t *words), (number, words))
{
	for (uint64_t i = 0; i < PAL_BUFFER_WORDS / 2; i++) {
		uint64_t *low = &words[i], *high = &words[PAL_BUFFER_WORDS - 1 - i];
		uint64_t swapped = *low ^ key(number, i);

		*low = *high ^ key(number, i);
		*high = swapped;
	}
	return ++pal_data.calls;
}

TV_PAL_ENTRY(pal_time, (uint64_t a, uint64_t b), (a, b))
{
	(void)a;
	(void)b;
	return read_ticks();
}

/* CPUID exits to the hypervisor, which answers. */
static inline __attribute__((always_inline)) void ask_cpu(void)
{
	uint32_t eax = 0, ebx, ecx = 0, edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
}

TV_PAL_ENTRY(pal_misuse, (uint64_t how, uint64_t unused), (how, unused))
{
	(void)unused;
	if (how == PAL_LOOP)
		for (;;)
			__asm__ volatile("pause");
	if (how == PAL_LOOP_OF_EXITS)
		for (;;)
			ask_cpu();
	if (how == PAL_NULL_SEGMENTS)
		__asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" : : "r"(0));
	if (how == PAL_HALT)
		__asm__ volatile("hlt");
	if (how == PAL_FPU)
		__asm__ volatile("fninit");
	return how;
}
