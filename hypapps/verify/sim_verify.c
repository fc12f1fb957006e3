/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verify on the simulator: those of the documented answers that a guest cannot bring about with verify alone. They
 * take a hypapp without subscriptions, a CPU in a partition while another one asks, a hole in EPT12, or a pool that is
 * used up. tests/run/calls_of_verify reads the checks here, too: which call, and what it must answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "verify.h"

enum { UD = 6, GP = 13, PF = 14, EXCEPTION = 0, HLT = 12, PORT = 0x5d00, VMCS_EXCEPTION_BITMAP = 0x4004 };
#define PAGE 0x1000ull
#define REGION 0x200000ull
#define FREE_PAGE GPA1(0x2000000) /* RAM that nobody uses, nor the 2 MiB around it and after */
#define L2_HOLE GVA(0x200000)     /* L2's page tables map it, EPT12 does not */
#define L2_READ_ONLY 0x8000ull    /* the other way round: in EPT12 it has no W */
#define L2_PAGE 0x9000ull
#define L2_ALIAS 0xa000ull        /* of the same page of L1 */
#define L2_FREE 0xb000ull         /* a page where EPT01 has no table */
#define L2_CODE 0xc000ull         /* L2 may only execute it */

#define expect(call, wanted)                                                                                      \
	do {                                                                                                      \
		int64_t got_ = (int64_t)(call);                                                                   \
		if (got_ != (int64_t)(wanted))                                                                    \
			sim_fault("%s:%d: %s: %d", __FILE__, __LINE__, #call, (int)got_);                         \
	} while (0)

static struct { hypapi_partition_t partition; uint64_t page; uint32_t step, late; } shared; /* the last two atomic */

/* ---- The hypapp: all capabilities, and hardly a subscription ---- */

static int create(struct hypapi_event *ev, uint64_t at)
{
	const struct hypapi_partition_page page = { .gva = GVA(at), .rights = HYPAPI_RX };

	return hypapi_partition_create(ev, &page, 1, &shared.partition);
}

static int enter(struct hypapi_event *ev)
{
	const struct hypapi_partition_entry entry = { .rip = shared.page, .long_mode = true };

	return hypapi_partition_enter(ev, shared.partition, &entry);
}

/* Its only window is that of L1's NMIs. */
static void unsubscribed(struct hypapi_event *ev)
{
	expect(hypapi_post(ev, 1, 1), HYPAPI_ENOTSUP);
	expect(hypapi_window(ev, HYPAPI_WINDOW_INTERRUPT), HYPAPI_ENOTSUP);
	expect(hypapi_window(ev, HYPAPI_WINDOW_NMI), ev->level == HYPAPI_L1 ? HYPAPI_OK : HYPAPI_ENOTSUP);
	expect(hypapi_window(ev, 0), HYPAPI_OK);
	expect(hypapi_cpu_storage(ev, ev->cpu) == NULL, true);
}

/* A page that verify has left L1 to read. */
static void others_page(struct hypapi_event *ev)
{
	struct hypapi_page page;

	expect(hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_RWX), HYPAPI_EPERM);
	expect(hypapi_translate(ev, GVA(FREE_PAGE.addr), HYPAPI_R, &page), HYPAPI_OK);
	expect(page.rights, HYPAPI_R);
	expect(hypapi_translate(ev, GVA(FREE_PAGE.addr), HYPAPI_RW, &page), HYPAPI_EPERM);
	expect(page.rights, HYPAPI_R);
	expect(hypapi_copy_to(ev, GVA(FREE_PAGE.addr), &page, 1), HYPAPI_EPERM);
	expect(hypapi_copy_to_gpa1(ev, FREE_PAGE, &page, 1), HYPAPI_OK);
}

static void inject(struct hypapi_event *ev)
{
	expect(hypapi_inject(ev, GP, 8, GVA(0)), HYPAPI_OK);
	expect(enter(ev), HYPAPI_ESTATE);
}

/* Of an L2 whose L1 wants that exception: what is at hand then is L1, which has caused nothing. */
static void exit_to_l1(struct hypapi_event *ev)
{
	struct hypapi_page page;
	uint64_t value = 0;

	expect(hypapi_inject(ev, UD, 0, GVA(0)), HYPAPI_OK); /* L2's own, which gives way */
	expect(hypapi_inject(ev, GP, 0, GVA(0)), HYPAPI_OK);
	expect(hypapi_inject(ev, GP, 0, GVA(0)), HYPAPI_ESTATE);
	expect(enter(ev), HYPAPI_ESTATE);
	expect(hypapi_copy_to(ev, GVA(shared.page), &value, 1), HYPAPI_ENOTSUP);
	expect(hypapi_copy_from(ev, &value, GVA(shared.page), 1), HYPAPI_ENOTSUP);
	expect(hypapi_translate(ev, GVA(shared.page), HYPAPI_R, &page), HYPAPI_ENOTSUP);
	expect(hypapi_page_in(ev, GVA(0), HYPAPI_R), HYPAPI_ENOTSUP);
	expect(hypapi_reg_set(ev, HYPAPI_REG_RIP, 0), HYPAPI_ENOTSUP);
	expect(hypapi_reg_read(ev, HYPAPI_REG_RIP, &value), HYPAPI_ENOTSUP);
	expect(hypapi_reg_get(ev, HYPAPI_REG_RIP), 0);
	expect(hypapi_reg_read(ev, HYPAPI_REG_RAX, &value), HYPAPI_OK);
}

/* Above 4 GiB the guest's page tables have nothing. */
static void page_in(struct hypapi_event *ev)
{
	expect(hypapi_page_in(ev, GVA(1ull << 32), HYPAPI_W), HYPAPI_OK);
}

static void start_partition(struct hypapi_event *ev)
{
	expect(hypapi_quiesce(ev), 0);
	expect(create(ev, shared.page), HYPAPI_OK);
	expect(hypapi_resume(ev), HYPAPI_OK);
	expect(enter(ev), HYPAPI_OK);
	expect(hypapi_inject(ev, GP, 0, GVA(0)), HYPAPI_ESTATE);
}

/* On another CPU, while it runs. */
static void use_what_runs(struct hypapi_event *ev)
{
	char byte;

	expect(enter(ev), HYPAPI_EBUSY);
	expect(hypapi_partition_destroy(ev, shared.partition), HYPAPI_EBUSY);
	expect(hypapi_partition_read(ev, shared.partition, &byte, GVA(shared.page), 1), HYPAPI_OK);
	expect(hypapi_quiesce(ev), 0);
	expect(enter(ev), HYPAPI_EBUSY);
	expect(hypapi_partition_destroy(ev, shared.partition), HYPAPI_EBUSY);
}

static void use_what_is_gone(struct hypapi_event *ev)
{
	expect(enter(ev), HYPAPI_ESTALE);
	expect(hypapi_partition_destroy(ev, shared.partition), HYPAPI_ESTALE);
}

static enum hypapi_verdict on_exit(struct hypapi_event *ev)
{
	expect(hypapi_partition_leave(ev), HYPAPI_OK);
	expect(hypapi_partition_destroy(ev, shared.partition), HYPAPI_OK);
	return HYPAPI_HANDLED;
}

/* No event to enter a partition in. */
static enum hypapi_verdict on_port(struct hypapi_event *ev)
{
	expect(hypapi_quiesce(ev), 0);
	expect(create(ev, shared.page), HYPAPI_OK);
	expect(enter(ev), HYPAPI_ESTATE);
	expect(hypapi_partition_destroy(ev, shared.partition), HYPAPI_OK);
	return HYPAPI_HANDLED;
}

/* L2's memory as EPT12 has it. */
static void hole(struct hypapi_event *ev)
{
	struct hypapi_page page = { HPA(1), GPA1(1), GPA2(1), HYPAPI_R };
	gpa1_t gpa1 = GPA1(1);
	uint32_t rights = 8;
	char byte = 0;

	expect(hypapi_translate(ev, L2_HOLE, HYPAPI_R, &page), HYPAPI_ENOTMAPPED);
	expect(page.hpa.addr | page.gpa1.addr | page.gpa2.addr | page.rights, 0);
	expect(hypapi_copy_from(ev, &byte, L2_HOLE, 1), HYPAPI_ENOTMAPPED);
	expect(hypapi_copy_to(ev, L2_HOLE, &byte, 1), HYPAPI_ENOTMAPPED);
	expect(hypapi_translate_gpa2(ev, GPA2(L2_HOLE.addr), HYPAPI_R, &page), HYPAPI_EFAULT);
	expect(hypapi_translate_gpa2(ev, GPA2(L2_READ_ONLY), HYPAPI_R, &page), HYPAPI_OK);
	expect(page.rights, HYPAPI_R);
	expect(hypapi_translate_gpa2(ev, GPA2(L2_READ_ONLY), HYPAPI_RW, &page), HYPAPI_EFAULT);
	expect(hypapi_translate(ev, GVA(L2_READ_ONLY), HYPAPI_RW, &page), HYPAPI_ENOTMAPPED);
	expect(page.rights, HYPAPI_R);
	expect(hypapi_copy_from_gpa2(ev, &byte, GPA2(L2_HOLE.addr), 1), HYPAPI_EFAULT);
	expect(hypapi_copy_to_gpa2(ev, GPA2(L2_HOLE.addr - 1), &byte, 2), HYPAPI_EFAULT);
	expect(hypapi_copy_from_gpa2(ev, &byte, GPA2(L2_READ_ONLY), 1), HYPAPI_OK);
	expect(hypapi_copy_to_gpa2(ev, GPA2(L2_READ_ONLY), &byte, 1), HYPAPI_EFAULT);
	expect(hypapi_copy_from_gpa2(ev, &byte, GPA2(L2_CODE), 1), HYPAPI_EFAULT);
	expect(hypapi_memory_rights_gpa2(ev, GPA2(L2_HOLE.addr), &rights, &gpa1), HYPAPI_EFAULT);
	expect(hypapi_memory_rights_gpa2(ev, GPA2(L2_READ_ONLY), &rights, &gpa1), HYPAPI_OK);
	expect(rights, HYPAPI_RWX);
	expect(hypapi_memory_restrict_gpa2(ev, GPA2(L2_PAGE), HYPAPI_RWX, &gpa1), HYPAPI_ESTATE);
	expect(hypapi_quiesce(ev), 0);
	expect(hypapi_memory_restrict_gpa2(ev, GPA2(L2_HOLE.addr), 0, &gpa1), HYPAPI_EFAULT);
	expect(create(ev, L2_HOLE.addr), HYPAPI_EPERM);
	expect(create(ev, L2_PAGE), HYPAPI_OK);
	gpa1 = GPA1(1);
	expect(hypapi_memory_restrict_gpa2(ev, GPA2(L2_PAGE), HYPAPI_RWX, &gpa1), HYPAPI_EPERM);
	expect(gpa1.addr, 1);
	expect(hypapi_memory_rights_gpa2(ev, GPA2(L2_PAGE), &rights, &gpa1), HYPAPI_OK);
	expect(rights, 0);
	expect(gpa1.addr, shared.page);
	expect(hypapi_copy_from_gpa2(ev, &byte, GPA2(L2_ALIAS), 1), HYPAPI_EPERM);
	expect(hypapi_copy_to_gpa2(ev, GPA2(L2_ALIAS), &byte, 1), HYPAPI_EPERM);
	expect(hypapi_translate_gpa2(ev, GPA2(L2_PAGE), HYPAPI_R, &page), HYPAPI_EPERM);
	expect(page.rights, 0);
	expect(page.gpa1.addr, shared.page);
	expect(hypapi_partition_destroy(ev, shared.partition), HYPAPI_OK);
}

/* EPT01 takes a page for each GiB that is asked for first, above RAM too. */
static void use_up_pages(struct hypapi_event *ev)
{
	gpa1_t last = GPA1(FREE_PAGE.addr + REGION - PAGE);
	uint32_t rights = HYPAPI_RWX;

	expect(hypapi_quiesce(ev), 0);
	expect(hypapi_memory_restrict(ev, last, 1, HYPAPI_R), HYPAPI_OK);
	expect(hypapi_memory_restrict(ev, last, 1, HYPAPI_RWX), HYPAPI_OK);
	expect(create(ev, ev->level == HYPAPI_L2 ? L2_PAGE : shared.page), HYPAPI_OK);
	for (uint64_t at = 1ull << 40; at < 1ull << 46 && rights; at += 1ull << 30)
		expect(hypapi_memory_rights(ev, GPA1(at), &rights), HYPAPI_OK);
	expect(rights, 0);
	expect(hypapi_partition_add_fpu(ev, shared.partition), HYPAPI_ENOMEM);
	/* The second page needs a table. */
	expect(hypapi_memory_restrict(ev, last, 2, HYPAPI_R), HYPAPI_ENOMEM);
	expect(hypapi_dma_restrict(ev, last, 2, 0), HYPAPI_ENOMEM);
	expect(hypapi_memory_rights(ev, last, &rights), HYPAPI_OK);
	expect(rights, HYPAPI_RWX);
	expect(hypapi_memory_restrict(ev, last, 1, HYPAPI_R), HYPAPI_OK);
	if (ev->level == HYPAPI_L2)
		expect(hypapi_memory_restrict_gpa2(ev, GPA2(L2_FREE), HYPAPI_R, &last), HYPAPI_ENOMEM);
	else
		expect(create(ev, FREE_PAGE.addr), HYPAPI_ENOMEM);
	expect(hypapi_memory_rights(ev, FREE_PAGE, &rights), HYPAPI_OK);
	expect(rights, HYPAPI_RWX);
}

/* An IOMMU that does not answer: no partition is made, and a restriction holds for L1 and L2. */
static void silent_iommu(struct hypapi_event *ev)
{
	uint32_t rights = 0;
	gpa1_t gpa1 = GPA1(1);

	expect(hypapi_quiesce(ev), 0);
	sim_set_iommu(SIM_IOMMU_SILENT);
	if (ev->level == HYPAPI_L2) {
		expect(hypapi_memory_restrict_gpa2(ev, GPA2(L2_FREE), HYPAPI_R, &gpa1), HYPAPI_EDMA);
		expect(gpa1.addr != 1, true);
	} else {
		gpa1 = FREE_PAGE;
		expect(create(ev, gpa1.addr), HYPAPI_EDMA);
		expect(hypapi_memory_rights(ev, gpa1, &rights), HYPAPI_OK);
		expect(rights, HYPAPI_RWX);
		expect(hypapi_memory_restrict(ev, gpa1, 1, HYPAPI_R), HYPAPI_EDMA);
	}
	expect(hypapi_memory_rights(ev, gpa1, &rights), HYPAPI_OK);
	expect(rights, HYPAPI_R);
	sim_set_iommu(SIM_IOMMU_ON);
	expect(hypapi_memory_restrict(ev, gpa1, 1, HYPAPI_RWX), HYPAPI_OK);
	expect(sim_device(gpa1, HYPAPI_RW), true);
}

/* What is taken from devices alone. */
static void devices(struct hypapi_event *ev)
{
	uint32_t rights = 0;

	expect(hypapi_dma_restrict(ev, FREE_PAGE, 2, HYPAPI_RW), HYPAPI_OK);
	expect(hypapi_dma_restrict(ev, FREE_PAGE, 2, 0), HYPAPI_ESTATE);
	expect(sim_device(FREE_PAGE, HYPAPI_RW), true);
	expect(hypapi_quiesce(ev), 0);
	sim_set_iommu(SIM_IOMMU_NONE);
	expect(hypapi_dma_restrict(ev, FREE_PAGE, 2, 0), HYPAPI_ENOTSUP);
	sim_set_iommu(SIM_IOMMU_SILENT);
	expect(hypapi_dma_restrict(ev, FREE_PAGE, 2, 0), HYPAPI_EDMA);
	sim_set_iommu(SIM_IOMMU_ON);
	expect(hypapi_dma_restrict(ev, GPA1(0xfee00000), 1, 0), HYPAPI_EPERM);
	expect(hypapi_dma_restrict(ev, FREE_PAGE, 2, HYPAPI_RW), HYPAPI_OK);
	expect(hypapi_dma_restrict(ev, FREE_PAGE, 2, 0), HYPAPI_OK);
	expect(sim_device(FREE_PAGE, HYPAPI_R) || sim_device(GPA1(FREE_PAGE.addr + PAGE), HYPAPI_W), false);
	expect(sim_device(GPA1(FREE_PAGE.addr + 2 * PAGE), HYPAPI_RW), true);
	expect(hypapi_memory_rights(ev, FREE_PAGE, &rights), HYPAPI_OK);
	expect(rights, HYPAPI_RWX);
	expect(hypapi_dma_restrict(ev, FREE_PAGE, 2, HYPAPI_RW), HYPAPI_OK);
	expect(sim_device(FREE_PAGE, HYPAPI_RW), true);
}

/* A CPU without XSAVE. */
static void no_xsave(struct hypapi_event *ev)
{
	expect(hypapi_quiesce(ev), 0);
	expect(create(ev, shared.page), HYPAPI_OK);
	expect(hypapi_partition_add_fpu(ev, shared.partition), HYPAPI_ENOTSUP);
}

/* All CPUs want a stop at once: one of them has it first. */
static void meet(struct hypapi_event *ev)
{
	__atomic_fetch_add(&shared.late, (uint32_t)hypapi_quiesce(ev), __ATOMIC_RELAXED);
}

static void meet_at_ept(struct hypapi_event *ev)
{
	__atomic_fetch_add(&shared.late, (uint32_t)hypapi_quiesce_ept(ev, ev->eptp01), __ATOMIC_RELAXED);
}

enum { UNSUBSCRIBED = 0x300, OTHERS, INJECT, START, BUSY, GONE, HOLE, USE_UP, MEET, MEET_AT_EPT, SILENT,
       DEVICES, NO_XSAVE, PAGE_IN, EXIT_TO_L1, LAST = EXIT_TO_L1 };
static void (*const calls[])(struct hypapi_event *) = {
	unsubscribed, others_page, inject, start_partition, use_what_runs, use_what_is_gone, hole, use_up_pages, meet,
	meet_at_ept, silent_iommu, devices, no_xsave, page_in, exit_to_l1,
};

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint32_t number = ev->args.hypercall.number;

	calls[number - UNSUBSCRIBED](ev);
	/* After an exception the verdict does not matter: this one would raise another. */
	return number == INJECT || number == EXIT_TO_L1 ? HYPAPI_DENY : HYPAPI_HANDLED;
}

/* No guest runs yet, so rights may go without a stop. */
static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	expect(!!(hypapi_features() & HYPAPI_FEATURE_DMA), true); /* the simulator has an IOMMU */
	expect(hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_R), HYPAPI_OK);
	expect(hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_RWX), HYPAPI_OK);
	return HYPAPI_PASS;
}

static enum hypapi_verdict on_window(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(loner,
	.priority = 2600,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_QUIESCE |
			HYPAPI_CAP_WORK | HYPAPI_CAP_INTERRUPTS,
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_PORT_IO, .levels = HYPAPI_LEVELS_GUEST, .handler = on_port },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = on_exit },
		{ .type = HYPAPI_EV_NMI_WINDOW, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .handler = on_window },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = UNSUBSCRIBED, .last = LAST },
		{ .kind = HYPAPI_CLAIM_PORT, .levels = HYPAPI_LEVELS_GUEST, .first = PORT, .last = PORT },
	});

/* ---- Guests ---- */

static void call(void *number)
{
	uint32_t call = *(const uint32_t *)number;

	sim_assert(sim_hypercall(call) == (call == INJECT ? GP : call == PAGE_IN ? PF : 0));
}

static void reach(uint32_t step)
{
	__atomic_store_n(&shared.step, step, __ATOMIC_RELEASE);
}

static void wait_for(uint32_t step)
{
	while (__atomic_load_n(&shared.step, __ATOMIC_ACQUIRE) < step)
		sim_pause();
}

static void verify_itself(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++) {
		sim_assert(sim_hypercall(VERIFY_ERRORS) == 0);
		sim_assert(sim_get(HYPAPI_REG_RBX) == 0);
	}
}

static void restrict_by_verify(void *arg)
{
	(void)arg;
	sim_set(HYPAPI_REG_RCX, FREE_PAGE.addr);
	sim_set(HYPAPI_REG_RDX, HYPAPI_R);
	sim_assert(sim_hypercall(VERIFY_RESTRICT) == 0);
	sim_assert(sim_get(HYPAPI_REG_RBX) == 0);
}

static void port(void *arg)
{
	(void)arg;
	sim_assert(sim_out(PORT, 1, 0) == 0);
}

/* The partition: until the other CPU has tried. */
static void partition(void *arg)
{
	(void)arg;
	reach(1);
	wait_for(2);
}

static void run_partition(void *arg)
{
	(void)arg;
	sim_assert(sim_hypercall(START) == 0);
	sim_assert(sim_hypercall(GONE) == 0);
}

static void look_on(void *arg)
{
	(void)arg;
	wait_for(1);
	sim_assert(sim_hypercall(BUSY) == 0);
	reach(2);
}

static void call_together(void *number)
{
	__atomic_add_fetch(&shared.step, 1, __ATOMIC_ACQ_REL);
	wait_for(2);
	call(number);
}

/*
 * Rights by L2-physical address: they are the page's, at its alias, too, and stay with it when L1 maps another one.
 * verify gives a page back at the first violation.
 */
static uint64_t ask(uint32_t number, uint64_t rcx, uint64_t rdx)
{
	sim_set(HYPAPI_REG_RCX, rcx);
	sim_set(HYPAPI_REG_RDX, rdx);
	sim_assert(sim_hypercall(number) == 0);
	return sim_get(HYPAPI_REG_RBX);
}

static void write_and_count(uint64_t at, uint64_t violations)
{
	uint64_t before = ask(VERIFY_VIOLATIONS, 0, 0);

	sim_write64(GVA(at), at);
	sim_assert(ask(VERIFY_VIOLATIONS, 0, 0) == before + violations);
	sim_assert(!violations || sim_get(HYPAPI_REG_RDX) == (shared.page | HYPAPI_W));
}

static void guard(void *arg)
{
	(void)arg;
	write_and_count(L2_PAGE, 0);
	write_and_count(L2_ALIAS, 0);
	sim_assert(ask(VERIFY_RESTRICT_GPA2, L2_PAGE, HYPAPI_R) == HYPAPI_OK);
	sim_assert(sim_get(HYPAPI_REG_RDX) == shared.page);
	sim_assert(ask(VERIFY_RIGHTS_GPA2, L2_ALIAS, 0) == HYPAPI_OK);
	sim_assert(sim_get(HYPAPI_REG_RDX) == (shared.page | HYPAPI_R));
	sim_assert(sim_read64(GVA(L2_PAGE)) == L2_ALIAS);
	write_and_count(L2_ALIAS, 1);
	sim_assert(ask(VERIFY_RESTRICT_GPA2, L2_ALIAS, HYPAPI_R) == HYPAPI_OK);
	write_and_count(L2_PAGE, 1);
	sim_assert(ask(VERIFY_RESTRICT_GPA2, L2_PAGE, HYPAPI_R) == HYPAPI_OK);
	sim_assert(ask(VERIFY_WRITE_GPA2, L2_PAGE, 5) == HYPAPI_OK && ask(VERIFY_READ_GPA2, L2_ALIAS, 0) == HYPAPI_OK);
	sim_assert(sim_get(HYPAPI_REG_RDX) == 5);
}

static void use_what_is_mapped_anew(void *arg)
{
	(void)arg;
	write_and_count(L2_PAGE, 0);
	write_and_count(L2_ALIAS, 1);
}

static void guard_and_remap(void *l2)
{
	sim_assert(sim_l2_run(l2, guard, NULL, NULL) == HLT);
	sim_l2_map(l2, GPA2(L2_PAGE), FREE_PAGE, HYPAPI_RWX);
	sim_l2_invept(l2);
	sim_assert(sim_l2_run(l2, use_what_is_mapped_anew, NULL, NULL) == HLT);
	sim_assert(sim_read64(GVA(FREE_PAGE.addr)) == L2_PAGE && sim_read64(GVA(shared.page)) == L2_ALIAS);
}

static uint32_t in_l2;

static void call_in_l2(void *l2)
{
	sim_assert(sim_l2_run(l2, call, &in_l2, NULL) == HLT);
}

static void has_no_exception(void *arg)
{
	(void)arg;
	sim_assert(sim_exception().vector == 0);
}

/* L1's page lies where L2's would be. */
static void intercept_in_l2(void *l2)
{
	const uint64_t word = 0x600d;

	in_l2 = EXIT_TO_L1;
	sim_write64(GVA(shared.page), word);
	sim_l2_vmwrite(l2, VMCS_EXCEPTION_BITMAP, 1u << GP);
	sim_assert(sim_l2_run(l2, call, &in_l2, NULL) == EXCEPTION);
	sim_assert(sim_exception().vector == 0);
	sim_assert(sim_read64(GVA(shared.page)) == word);
	sim_assert(sim_l2_run(l2, has_no_exception, NULL, NULL) == HLT);
}

/* ---- Tests ---- */

extern const struct hypapp_descriptor hypapp_verify;
static const struct hypapp_descriptor *const hypapps[] = { &hypapp_verify, &hypapp_loner, NULL };

static void boot_with(bool no_xsave)
{
	sim_boot(hypapps, &(struct sim_options){ .options = "verify.word=hello", .log = true, .no_xsave = no_xsave });
	shared.page = sim_memory(PAGE).addr;
}

static void boot(void)
{
	boot_with(false);
}

static void run(uint32_t number)
{
	sim_run(0, call, &number);
}

static struct sim_l2 *make_l2(void)
{
	struct sim_l2 *l2 = sim_l2_create(1 << 20);

	sim_l2_map(l2, GPA2(L2_READ_ONLY), sim_memory(PAGE), HYPAPI_R);
	sim_l2_map(l2, GPA2(L2_PAGE), GPA1(shared.page), HYPAPI_RWX);
	sim_l2_map(l2, GPA2(L2_ALIAS), GPA1(shared.page), HYPAPI_RWX);
	sim_l2_map(l2, GPA2(L2_FREE), GPA1(FREE_PAGE.addr + REGION), HYPAPI_RWX);
	sim_l2_map(l2, GPA2(L2_CODE), sim_memory(PAGE), HYPAPI_X);
	return l2;
}

static void run_in_l2(uint32_t number)
{
	in_l2 = number;
	sim_run(1, call_in_l2, make_l2());
}

static void what_verify_asks(void **state) { (void)state; boot(); sim_run(1, verify_itself, NULL); }
static void no_subscription(void **state) { (void)state; boot(); run(UNSUBSCRIBED); run_in_l2(UNSUBSCRIBED); }
static void exception(void **state) { (void)state; boot(); run(INJECT); }
static void exception_for_l1(void **state) { (void)state; boot(); sim_run(0, intercept_in_l2, make_l2()); }
static void page_fault(void **state) { (void)state; boot(); run(PAGE_IN); }
static void event_that_enters_none(void **state) { (void)state; boot(); sim_run(0, port, NULL); }
static void hole_in_ept12(void **state) { (void)state; boot(); run_in_l2(HOLE); }
static void no_page_left(void **state) { (void)state; boot(); run(USE_UP); }
static void no_page_left_in_l2(void **state) { (void)state; boot(); run_in_l2(USE_UP); }
static void without_xsave(void **state) { (void)state; boot_with(true); run(NO_XSAVE); }
static void iommu_that_is_silent(void **state) { (void)state; boot(); run(SILENT); run_in_l2(SILENT); }
static void devices_alone(void **state) { (void)state; boot(); run(DEVICES); run_in_l2(DEVICES); }
static void rights_by_l2_address(void **state) { (void)state; boot(); sim_run(1, guard_and_remap, make_l2()); }

static void page_of_another(void **state)
{
	(void)state;
	boot();
	sim_run(0, restrict_by_verify, NULL);
	run(OTHERS);
}

static void partition_that_runs(void **state)
{
	(void)state;
	boot();
	sim_partition_code(partition, NULL);
	sim_start(0, run_partition, NULL);
	sim_start(1, look_on, NULL);
	sim_wait();
}

static void stops_that_meet(uint32_t number)
{
	sim_boot(hypapps, &(struct sim_options){ .collide = true });
	sim_run_all(call_together, &number);
	assert_int_equal(shared.late, 1);
}

static void late_for_a_stop(void **state) { (void)state; stops_that_meet(MEET); }
static void late_for_a_stop_of_an_ept(void **state) { (void)state; stops_that_meet(MEET_AT_EPT); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(what_verify_asks),
		sim_test(no_subscription),
		sim_test(exception),
		sim_test(exception_for_l1),
		sim_test(page_fault),
		sim_test(event_that_enters_none),
		sim_test(hole_in_ept12),
		sim_test(iommu_that_is_silent),
		sim_test(devices_alone),
		sim_test(without_xsave),
		sim_test(no_page_left),
		sim_test(no_page_left_in_l2),
		sim_test(rights_by_l2_address),
		sim_test(page_of_another),
		sim_test(partition_that_runs),
		sim_test(late_for_a_stop),
		sim_test(late_for_a_stop_of_an_ept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
