/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One partition from its creation to its end, and as many as there are: what the calls answer on the way. */
#include "verify.h"

#define PAGES 304 /* more than the case has partitions */

static struct { hypapi_partition_t partition; uint64_t wrong; int64_t caller; } run; /* one test at a time */

static int create(struct hypapi_event *ev, uint64_t gva, hypapi_partition_t *partition)
{
	const struct hypapi_partition_page page = { .gva = GVA(gva), .rights = HYPAPI_RX | HYPAPI_HOME };

	return hypapi_partition_create(ev, &page, 1, partition);
}

/* Partitions until none is free, and away with them. */
static uint64_t use_up(struct hypapi_event *ev, uint64_t pages)
{
	static hypapi_partition_t all[PAGES];
	uint32_t count = 0;
	uint64_t wrong;
	int error;

	while (!(error = create(ev, pages + count * HYPAPI_PAGE_SIZE, &all[count])) && count < PAGES - 1)
		count++;
	wrong = verify_expect("one partition too many", error, HYPAPI_ENOMEM);
	wrong += verify_expect("how many there are", count, hypapi_partition_limit());
	while (count--)
		wrong += verify_expect("destroy", hypapi_partition_destroy(ev, all[count]), HYPAPI_OK);
	return wrong;
}

/* One that nobody's page is the home of. */
static uint64_t use_homeless(struct hypapi_event *ev, uint64_t at)
{
	const struct hypapi_partition_page page = { .gva = GVA(at), .rights = HYPAPI_RW };
	hypapi_partition_t homeless = { 0 };
	uint64_t wrong = verify_expect("create without a home", hypapi_partition_create(ev, &page, 1, &homeless),
				       HYPAPI_OK);

	wrong += verify_expect("at no home", hypapi_partition_at_home(ev, homeless), HYPAPI_EFAULT);
	return wrong + verify_expect("destroy it", hypapi_partition_destroy(ev, homeless), HYPAPI_OK);
}

static uint64_t use_memory(struct hypapi_event *ev, hypapi_partition_t p, uint64_t at)
{
	uint8_t code[2] = { 0 }, other = 0x90;
	struct hypapi_page page = { .rights = HYPAPI_RWX };
	uint64_t wrong = 0;

	wrong += verify_expect("read", hypapi_partition_read(ev, p, code, GVA(at), 2), HYPAPI_OK);
	wrong += verify_expect("what was read", code[0] << 8 | code[1], 0x0f0b);
	wrong += verify_expect("write", hypapi_partition_write(ev, p, GVA(at + 2), &other, 1), HYPAPI_OK);
	wrong += verify_expect("read outside", hypapi_partition_read(ev, p, code, GVA(at + 4095), 2), HYPAPI_EFAULT);
	wrong += verify_expect("write outside", hypapi_partition_write(ev, p, GVA(at - 1), code, 1), HYPAPI_EFAULT);
	wrong += verify_expect("at home", hypapi_partition_at_home(ev, p), HYPAPI_OK);
	wrong += verify_expect("taken again", create(ev, at, &p), HYPAPI_EPERM);
	wrong += verify_expect("translate it", hypapi_translate(ev, GVA(at), HYPAPI_R, &page), HYPAPI_EPERM);
	wrong += verify_expect("its rights", page.rights, 0);
	wrong += verify_expect("which page it is", page.gpa1.addr == at, true);
	wrong += verify_expect("copy from it", hypapi_copy_from(ev, code, GVA(at), 1), HYPAPI_EPERM);
	wrong += verify_expect("copy to it", hypapi_copy_to(ev, GVA(at), code, 1), HYPAPI_EPERM);
	wrong += verify_expect("physical copy from it", hypapi_copy_from_gpa1(ev, code, GPA1(at), 1), HYPAPI_EPERM);
	wrong += verify_expect("restrict it", hypapi_memory_restrict(ev, GPA1(at), 1, HYPAPI_RWX), HYPAPI_EPERM);
	return wrong;
}

static uint64_t use_own_memory(struct hypapi_event *ev, hypapi_partition_t p, uint64_t at)
{
	const gva_t pages[] = { GVA(at - HYPAPI_PAGE_SIZE), GVA(at + HYPAPI_PAGE_SIZE), GVA(at) };
	const gva_t high = GVA(1ull << 47);
	static gva_t many[256];
	uint64_t word = 1, wrong = 0;

	wrong += verify_expect("memory, none", hypapi_partition_add_memory(ev, p, pages, 0, HYPAPI_RW), HYPAPI_EINVAL);
	wrong += verify_expect("memory, high", hypapi_partition_add_memory(ev, p, &high, 1, HYPAPI_RW), HYPAPI_EINVAL);
	wrong += verify_expect("memory where its page is",
			       hypapi_partition_add_memory(ev, p, pages, 3, HYPAPI_RW), HYPAPI_EINVAL);
	for (uint32_t i = 0; i < 256; i++)
		many[i] = GVA(at + (i + 1) * HYPAPI_PAGE_SIZE);
	wrong += verify_expect("more than 256",
			       hypapi_partition_add_memory(ev, p, many, 256, HYPAPI_RW), HYPAPI_ENOMEM);
	wrong += verify_expect("read none", hypapi_partition_read(ev, p, &word, pages[0], 8), HYPAPI_EFAULT);
	wrong += verify_expect("memory", hypapi_partition_add_memory(ev, p, pages, 2, HYPAPI_RW), HYPAPI_OK);
	wrong += verify_expect("memory, rights",
			       hypapi_partition_add_memory(ev, p, pages, 1, HYPAPI_RWX), HYPAPI_EINVAL);
	wrong += verify_expect("read memory", hypapi_partition_read(ev, p, &word, pages[1], 8), HYPAPI_OK);
	wrong += verify_expect("zeros", (int64_t)word, 0);
	wrong += verify_expect("write memory", hypapi_partition_write(ev, p, pages[1], &wrong, 8), HYPAPI_OK);
	return wrong;
}

bool verify_partition(struct hypapi_event *ev, uint64_t pages)
{
	struct hypapi_partition_entry entry = { .rip = 1ull << 47, .long_mode = true };

	run.caller = ev->cpl * 2 + ev->long_mode;
	run.wrong = verify_expect("quiesce", hypapi_quiesce(ev) < 0, 0);
	run.wrong += use_up(ev, pages);
	run.wrong += use_homeless(ev, pages + HYPAPI_PAGE_SIZE);
	run.wrong += verify_expect("create", create(ev, pages, &run.partition), HYPAPI_OK);
	run.wrong += use_memory(ev, run.partition, pages);
	run.wrong += use_own_memory(ev, run.partition, pages);
	run.wrong += verify_expect("add FPU", hypapi_partition_add_fpu(ev, run.partition), HYPAPI_OK);
	run.wrong += verify_expect("add FPU again", hypapi_partition_add_fpu(ev, run.partition), HYPAPI_OK);
	run.wrong += verify_expect("resume", hypapi_resume(ev), HYPAPI_OK);
	run.wrong += verify_expect("add FPU late", hypapi_partition_add_fpu(ev, run.partition), HYPAPI_ESTATE);
	run.wrong += verify_expect("enter nowhere", hypapi_partition_enter(ev, run.partition, &entry), HYPAPI_EINVAL);
	entry.rip = pages;
	run.wrong += verify_expect("enter", hypapi_partition_enter(ev, run.partition, &entry), HYPAPI_OK);
	run.wrong += verify_expect("enter twice", hypapi_partition_enter(ev, run.partition, &entry), HYPAPI_ESTATE);
	return !run.wrong;
}

/* Its UD2: calls while it runs, and its end. */
enum hypapi_verdict verify_partition_exit(struct hypapi_event *ev)
{
	struct hypapi_partition_entry entry = { .rip = 0x1000 };
	struct hypapi_page page;
	uint64_t wrong = 0, rip = hypapi_reg_get(ev, HYPAPI_REG_RIP);

	wrong += verify_expect("why it exits", ev->args.partition_exit.reason, HYPAPI_PEXIT_EXCEPTION);
	wrong += verify_expect("its vector", ev->args.partition_exit.vector, 6);
	wrong += verify_expect("its level", ev->cpl, 3);
	wrong += verify_expect("its handle", ev->partition.id == run.partition.id, true);
	wrong += verify_expect("translate in a partition", hypapi_translate(ev, GVA(rip), HYPAPI_R, &page),
			       HYPAPI_ENOTSUP);
	wrong += verify_expect("copy in a partition", hypapi_copy_from(ev, &page, GVA(rip), 1), HYPAPI_ENOTSUP);
	wrong += verify_expect("at home in a partition", hypapi_partition_at_home(ev, run.partition), HYPAPI_ENOTSUP);
	wrong += verify_expect("create in a partition", create(ev, rip, &run.partition), HYPAPI_ENOTSUP);
	wrong += verify_expect("inject in a partition", hypapi_inject(ev, 6, 0, GVA(0)), HYPAPI_ESTATE);
	wrong += verify_expect("window in a partition", hypapi_window(ev, HYPAPI_WINDOW_NMI), HYPAPI_ENOTSUP);
	wrong += verify_expect("enter in a partition", hypapi_partition_enter(ev, run.partition, &entry),
			       HYPAPI_ESTATE);
	wrong += verify_expect("destroy what runs", hypapi_partition_destroy(ev, run.partition), HYPAPI_EBUSY);
	wrong += verify_expect("stop", hypapi_quiesce(ev) < 0, 0);
	wrong += verify_expect("add FPU to what runs", hypapi_partition_add_fpu(ev, run.partition), HYPAPI_EBUSY);
	wrong += verify_expect("resume", hypapi_resume(ev), HYPAPI_OK);
	wrong += verify_expect("add memory to what runs", hypapi_partition_add_memory(ev, run.partition,
			       &(gva_t){ 0x1000 }, 1, HYPAPI_RW), HYPAPI_EBUSY);
	wrong += verify_expect("leave", hypapi_partition_leave(ev), HYPAPI_OK);
	wrong += verify_expect("its caller's mode", ev->cpl * 2 + ev->long_mode, run.caller);
	wrong += verify_expect("leave twice", hypapi_partition_leave(ev), HYPAPI_ESTATE);
	wrong += verify_expect("destroy", hypapi_partition_destroy(ev, run.partition), HYPAPI_OK);
	wrong += verify_expect("destroy twice", hypapi_partition_destroy(ev, run.partition), HYPAPI_ESTALE);
	verify_answer(ev, (int64_t)(run.wrong + wrong), 0);
	return HYPAPI_HANDLED;
}
