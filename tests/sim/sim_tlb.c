/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulator's TLB keeps what a CPU may keep, and drops what it must drop: L1 moves a page in its own tables, and
 * sees that only after what the SDM says it must do (vol. 3, "Operations that Invalidate TLBs and Paging-Structure
 * Caches"). What a hypervisor must do is for sim_flushes.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

static const struct hypapp_descriptor *const no_hypapps[] = { NULL };

enum { CR4_PGE = 1 << 7, CR4_PCIDE = 1 << 17, PTE_GLOBAL = 1 << 8 };
#define WINDOW (1ull << 39)
#define KEEP_PCID (1ull << 63)

static uint64_t *window_entry, window_pages;

static uint64_t *ram(uint64_t hpa) { return sim_ram(HPA(hpa)); }

static void make_window(void)
{
	uint64_t at = window_pages = sim_memory(5 * 4096).addr;

	*ram(at) = 1;
	*ram(at + 4096) = 2;
	for (uint64_t i = 2; i < 4; i++)
		*ram(at + i * 4096) = (at + (i + 1) * 4096) | 7;
	ram(sim_get(HYPAPI_REG_CR3))[WINDOW >> 39] = (at + 2 * 4096) | 7;
	window_entry = ram(at + 4 * 4096);
}

/* The first page is cached, then the entry leads to the second. */
static void cache_first(uint64_t flags)
{
	*window_entry = window_pages | 7 | flags;
	sim_invlpg(GVA(WINDOW));
	sim_assert(sim_read64(GVA(WINDOW)) == 1);
	*window_entry = (window_pages + 4096) | 7 | flags;
	sim_assert(sim_read64(GVA(WINDOW)) == 1);
}

static void sees(uint64_t number) { sim_assert(sim_read64(GVA(WINDOW)) == number); }
static void flip_cr4(uint64_t bits) { sim_set(HYPAPI_REG_CR4, sim_get(HYPAPI_REG_CR4) ^ bits); }

static void without_pcids(uint64_t cr3)
{
	cache_first(0);
	sim_invlpg(GVA(WINDOW + 4096));
	sees(1);
	sim_invlpg(GVA(WINDOW + 8));
	sees(2);
	cache_first(0);
	sim_set(HYPAPI_REG_CR3, cr3);
	sees(2);
	flip_cr4(CR4_PGE);
	cache_first(PTE_GLOBAL);
	sim_set(HYPAPI_REG_CR3, cr3);
	sees(1);
	flip_cr4(CR4_PGE);
	sees(2);
}

static void with_pcids(uint64_t cr3)
{
	flip_cr4(CR4_PCIDE);
	cache_first(0);
	sim_set(HYPAPI_REG_CR3, cr3 | 1);
	sees(2);
	sim_set(HYPAPI_REG_CR3, cr3 | KEEP_PCID);
	sim_assert(sim_get(HYPAPI_REG_CR3) == cr3);
	sees(1);
	sim_set(HYPAPI_REG_CR3, cr3);
	sees(2);
	cache_first(0);
	flip_cr4(CR4_PCIDE);
	sees(2);
}

static void moves_a_page(void *arg)
{
	(void)arg;
	make_window();
	without_pcids(sim_get(HYPAPI_REG_CR3));
	with_pcids(sim_get(HYPAPI_REG_CR3));
}

static void l1_keeps_what_it_may(void **state)
{
	(void)state;
	sim_boot(no_hypapps, NULL);
	sim_run(1, moves_a_page, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { sim_test(l1_keeps_what_it_may) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
