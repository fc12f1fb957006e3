/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the calls answer: each documented result and error that can be had without the guest's help, call by call.
 * 0x300000 is a page of the test guest's own that it does not use.
 */
#include "verify.h"

#define FREE_PAGE GPA1(0x300000)
#define NOWHERE GVA(0x700000000000)
#define APIC_PAGE GVA(0xfee00000) /* mapped one to one, as all of the low 4 GiB */

static uint64_t total;

uint64_t verify_expect(const char *what, int64_t got, int64_t wanted)
{
	if (got == wanted)
		return 0;
	hypapi_log("verify: %s: %ld, not %ld", what, got, wanted);
	return __atomic_add_fetch(&total, 1, __ATOMIC_RELAXED) != 0;
}
#define expect(what, got, wanted) ((void)verify_expect(what, got, wanted))

/* The first page of the core's, below 1 GiB; L1 and L2 of the tests have all of that one to one. */
static uint64_t root_page(const struct hypapi_event *ev)
{
	uint32_t rights = HYPAPI_RWX;
	uint64_t at = 16ull << 20;

	while (at < 1ull << 30 && !hypapi_memory_rights(ev, GPA1(at), &rights) && rights)
		at += 2ull << 20;
	return at;
}

static void versions(struct hypapi_event *ev)
{
	const char *word = hypapi_option("verify.word");

	(void)ev;
	expect("version", hypapi_version(), HYPAPI_MAJOR << 16 | HYPAPI_MINOR);
	expect("features", hypapi_features() & ~(uint32_t)HYPAPI_FEATURE_DMA,
	       HYPAPI_FEATURE_NESTED | HYPAPI_FEATURE_PARTITIONS);
	expect("partitions", hypapi_partition_limit() >= 64 && hypapi_partition_limit() <= 4096, true);
	expect("L2 base", hypapi_l2_hypercall_base() & 0xfff, 0);
	expect("an option that is absent", hypapi_option("verify.absent") == NULL, true);
	expect("an option", word && word[0] == 'h' && word[4] == 'o' && !word[5], true);
}

static bool strings_differ(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a != *b;
}

static void storage(struct hypapi_event *ev)
{
	uint64_t *mine = hypapi_cpu_storage(ev, ev->cpu);
	const char *name = NULL;
	uint32_t number = 0;

	expect("storage, aligned", mine && !((uint64_t)mine & 63), true);
	expect("storage, zeroed and kept", mine ? (int64_t)(mine[0] ^ (mine[1] * 3)) : -1, 0);
	if (mine)
		mine[0] = ++mine[1] * 3;
	expect("storage of no CPU", hypapi_cpu_storage(ev, HYPAPI_MAX_CPUS) == NULL, true);
	while ((name = hypapi_hypapp_name(++number)) && (name[0] != 'v' || name[5] != 'y'))
		;
	expect("a name", name != NULL, true);
	expect("name of an error", !strings_differ(hypapi_error_name(HYPAPI_ENOTMAPPED), "HYPAPI_ENOTMAPPED"), true);
	expect("name of no error", !strings_differ(hypapi_error_name(1), "unknown"), true);
	expect("name of an event", !strings_differ(hypapi_event_name(HYPAPI_EV_WORK), "work"), true);
	expect("name of no event", !strings_differ(hypapi_event_name(HYPAPI_EV_COUNT), "unknown"), true);
	expect("name of a verdict", !strings_differ(hypapi_verdict_name(HYPAPI_KILL), "kill"), true);
	expect("name of no verdict", !strings_differ(hypapi_verdict_name(5), "unknown"), true);
	expect("name of number 0", hypapi_hypapp_name(0) == NULL, true);
	expect("name of number 99", hypapi_hypapp_name(99) == NULL, true);
}

static void random_bytes(struct hypapi_event *ev)
{
	uint8_t first[256] = { 0 }, second[9] = { 0 };
	uint32_t same = 0, alike = 0;

	(void)ev;
	expect("random bytes", hypapi_random(first, sizeof(first)), HYPAPI_OK);
	expect("more of them", hypapi_random(second, sizeof(second) - 1), HYPAPI_OK);
	expect("no byte too many", second[8], 0);
	for (uint32_t i = 0; i < 8; i++)
		same += first[i] == second[i];
	expect("other bytes", same < 8, true);
	hypapi_image_hash(first);
	hypapi_image_hash(first + 32);
	for (uint32_t i = 0; i < 32; i++)
		alike += first[i] == first[32 + i];
	expect("the image's hash", alike, 32);
	expect("no random bytes", hypapi_random(first, 0), HYPAPI_EINVAL);
	expect("too many random bytes", hypapi_random(first, sizeof(first) + 1), HYPAPI_EINVAL);
}

static void registers(struct hypapi_event *ev)
{
	uint64_t rflags = hypapi_reg_get(ev, HYPAPI_REG_RFLAGS), r9 = hypapi_reg_get(ev, HYPAPI_REG_R9), value = 0;

	expect("register out of range", hypapi_reg_set(ev, HYPAPI_REG_COUNT, 0), HYPAPI_EINVAL);
	expect("register out of range, read", (int64_t)hypapi_reg_get(ev, HYPAPI_REG_COUNT), 0);
	expect("register out of range, told", hypapi_reg_read(ev, HYPAPI_REG_COUNT, &value), HYPAPI_EINVAL);
	expect("RFLAGS", hypapi_reg_read(ev, HYPAPI_REG_RFLAGS, &value), HYPAPI_OK);
	expect("the same RFLAGS", value == rflags, true);
	expect("R9 read", hypapi_reg_read(ev, HYPAPI_REG_R9, &value), HYPAPI_OK);
	expect("the same R9", value == r9, true);
	expect("CR3 written", hypapi_reg_set(ev, HYPAPI_REG_CR3, 0), HYPAPI_EINVAL);
	expect("CS written", hypapi_reg_set(ev, HYPAPI_REG_CS, 0), HYPAPI_EINVAL);
	expect("RIP not canonical", hypapi_reg_set(ev, HYPAPI_REG_RIP, 1ull << 63), HYPAPI_EINVAL);
	expect("RFLAGS written", hypapi_reg_set(ev, HYPAPI_REG_RFLAGS, rflags | 3ull << 20), HYPAPI_OK);
	expect("its reserved bits", (int64_t)hypapi_reg_get(ev, HYPAPI_REG_RFLAGS), (int64_t)rflags);
	expect("RSP cleared", hypapi_regs_clear(ev, 1u << HYPAPI_REG_RSP), HYPAPI_EINVAL);
	expect("RIP cleared", hypapi_regs_clear(ev, 1u << HYPAPI_REG_RIP), HYPAPI_EINVAL);
	expect("R9 cleared", hypapi_regs_clear(ev, 1u << HYPAPI_REG_R9), HYPAPI_OK);
	expect("R9", (int64_t)hypapi_reg_get(ev, HYPAPI_REG_R9), 0);
	expect("R9 written", hypapi_reg_set(ev, HYPAPI_REG_R9, r9), HYPAPI_OK);
	expect("inject #DE", hypapi_inject(ev, 0, 0, GVA(0)), HYPAPI_EINVAL);
	expect("inject a long error code", hypapi_inject(ev, 13, 1u << 16, GVA(0)), HYPAPI_EINVAL);
	expect("an unknown window", hypapi_window(ev, 4), HYPAPI_EINVAL);
	expect("no window", hypapi_window(ev, 0), HYPAPI_OK);
}

/* The caller's stack is memory that it may write. */
static void linear_memory(struct hypapi_event *ev)
{
	uint64_t rsp = hypapi_reg_get(ev, HYPAPI_REG_RSP), value = 0, same = 1;
	gva_t at = GVA(rsp - 64), root = GVA(root_page(ev));
	struct hypapi_page page = { .rights = 0 };
	char byte;

	expect("translate", hypapi_translate(ev, at, HYPAPI_RW, &page), HYPAPI_OK);
	expect("rights", page.rights & HYPAPI_RW, HYPAPI_RW);
	expect("translate nothing", hypapi_translate(ev, NOWHERE, HYPAPI_R, &page), HYPAPI_EFAULT);
	expect("copy", hypapi_copy_from(ev, &value, at, 8), HYPAPI_OK);
	expect("physical copy", hypapi_copy_from_gpa1(ev, &same, page.gpa1, 8), HYPAPI_OK);
	expect("the same", value == same, true);
	expect("copy back", hypapi_copy_to(ev, at, &value, 8), HYPAPI_OK);
	expect("physical copy back", hypapi_copy_to_gpa1(ev, page.gpa1, &value, 8), HYPAPI_OK);
	expect("copy nothing", hypapi_copy_from(ev, &byte, NOWHERE, 0), HYPAPI_OK);
	expect("copy too long", hypapi_copy_from(ev, &byte, GVA(0), (1u << 20) + 1), HYPAPI_EINVAL);
	expect("copy that wraps", hypapi_copy_from(ev, &byte, GVA(~0ull), 2), HYPAPI_EINVAL);
	expect("copy to what wraps", hypapi_copy_to(ev, GVA(~0ull), &byte, 2), HYPAPI_EINVAL);
	expect("copy from nowhere", hypapi_copy_from(ev, &byte, NOWHERE, 1), HYPAPI_EFAULT);
	expect("copy to nowhere", hypapi_copy_to(ev, NOWHERE, &byte, 1), HYPAPI_EFAULT);
	expect("page in what is there", hypapi_page_in(ev, at, HYPAPI_RW), 1);
	expect("page in with no right", hypapi_page_in(ev, at, 0), HYPAPI_EINVAL);
	expect("copy not canonical", hypapi_copy_from(ev, &byte, GVA(1ull << 63), 1), HYPAPI_EFAULT);
	/* What L1 has there is not the core's memory, and no RAM. */
	expect("translate where the core is", hypapi_translate(ev, root, HYPAPI_R, &page), HYPAPI_OK);
	expect("copy to where the core is", hypapi_copy_to(ev, root, &value, 8), HYPAPI_EPERM);
	expect("copy from there", hypapi_copy_from(ev, &same, root, 8), HYPAPI_EPERM);
	expect("copy from a device", hypapi_copy_from(ev, &same, APIC_PAGE, 8), HYPAPI_EPERM);
	expect("copy to a device", hypapi_copy_to(ev, APIC_PAGE, &value, 8), HYPAPI_EPERM);
	expect("translate a device", hypapi_translate(ev, APIC_PAGE, HYPAPI_R, &page), HYPAPI_OK);
}

static void physical_memory(struct hypapi_event *ev)
{
	gpa1_t root = GPA1(root_page(ev));
	struct hypapi_page page;
	uint32_t rights = 0;
	uint64_t id = 0;
	char byte;

	expect("physical copy that wraps", hypapi_copy_from_gpa1(ev, &byte, GPA1(~0ull), 2), HYPAPI_EINVAL);
	expect("physical copy too long", hypapi_copy_to_gpa1(ev, FREE_PAGE, &byte, (1u << 20) + 1), HYPAPI_EINVAL);
	expect("physical copy from nowhere", hypapi_copy_from_gpa1(ev, &byte, GPA1(1ull << 45), 1), HYPAPI_EPERM);
	expect("physical copy from a device", hypapi_copy_from_gpa1(ev, &byte, GPA1(APIC_PAGE.addr), 1), HYPAPI_EPERM);
	expect("physical copy from the core", hypapi_copy_from_gpa1(ev, &byte, root, 1), HYPAPI_EPERM);
	expect("physical copy to the core", hypapi_copy_to_gpa1(ev, root, &byte, 1), HYPAPI_EPERM);
	expect("L2-physical", hypapi_translate_gpa2(ev, GPA2(0x300000), HYPAPI_RW, &page),
	       ev->level == HYPAPI_L2 ? HYPAPI_OK : HYPAPI_ENOTSUP);
	expect("L2-physical, nowhere", hypapi_translate_gpa2(ev, GPA2(1ull << 40), HYPAPI_R, &page),
	       ev->level == HYPAPI_L2 ? HYPAPI_EFAULT : HYPAPI_ENOTSUP);
	expect("rights of a page", hypapi_memory_rights(ev, FREE_PAGE, &rights), HYPAPI_OK);
	expect("what they are", rights, HYPAPI_RWX);
	expect("identity of EPT01", hypapi_ept_identity(ev, ev->eptp01, &id), HYPAPI_OK);
	expect("which is a number", id != 0, true);
	expect("identity of EPT02", hypapi_ept_identity(ev, ev->eptp02, &id),
	       ev->level == HYPAPI_L2 ? HYPAPI_OK : HYPAPI_ESTALE);
	expect("identity of a virtual CPU", hypapi_vcpu_identity(ev, &id),
	       ev->level == HYPAPI_L2 ? HYPAPI_OK : HYPAPI_ENOTSUP);
	expect("a stale EPT handle", hypapi_ept_identity(ev, (hypapi_ept_t){ ev->eptp01.id - 4 }, &id), HYPAPI_ESTALE);
}

/* By L2-physical address: in L2, which has the low 1 GiB one to one; nothing of it in L1. */
static void l2_physical(struct hypapi_event *ev)
{
	bool l2 = ev->level == HYPAPI_L2;
	gpa2_t at = GPA2(FREE_PAGE.addr), nowhere = GPA2(1ull << 40), root = GPA2(root_page(ev));
	gpa1_t gpa1 = GPA1(1);
	uint32_t rights = 8;
	char byte;

	expect("L2 copy", hypapi_copy_from_gpa2(ev, &byte, at, 1), l2 ? HYPAPI_OK : HYPAPI_ENOTSUP);
	expect("L2 copy back", hypapi_copy_to_gpa2(ev, at, &byte, 1), l2 ? HYPAPI_OK : HYPAPI_ENOTSUP);
	expect("L2 rights", hypapi_memory_rights_gpa2(ev, GPA2(at.addr + 5), &rights, &gpa1),
	       l2 ? HYPAPI_OK : HYPAPI_ENOTSUP);
	expect("which are", rights, l2 ? HYPAPI_RWX : 8);
	expect("of the byte at", (int64_t)gpa1.addr, l2 ? (int64_t)at.addr + 5 : 1);
	expect("restrict in L1", hypapi_memory_restrict_gpa2(ev, at, HYPAPI_R, &gpa1),
	       l2 ? HYPAPI_ESTATE : HYPAPI_ENOTSUP);
	if (!l2)
		return;
	expect("L2 copy that wraps", hypapi_copy_from_gpa2(ev, &byte, GPA2(~0ull), 2), HYPAPI_EINVAL);
	expect("L2 copy too long", hypapi_copy_to_gpa2(ev, at, &byte, (1u << 20) + 1), HYPAPI_EINVAL);
	expect("L2 copy from nowhere", hypapi_copy_from_gpa2(ev, &byte, nowhere, 1), HYPAPI_EFAULT);
	expect("L2 copy to nowhere", hypapi_copy_to_gpa2(ev, nowhere, &byte, 1), HYPAPI_EFAULT);
	expect("L2 copy from the core", hypapi_copy_from_gpa2(ev, &byte, root, 1), HYPAPI_EPERM);
	expect("L2 copy to the core", hypapi_copy_to_gpa2(ev, root, &byte, 1), HYPAPI_EPERM);
	expect("L2 rights nowhere", hypapi_memory_rights_gpa2(ev, nowhere, &rights, &gpa1), HYPAPI_EFAULT);
	expect("grant without a stop", hypapi_memory_restrict_gpa2(ev, at, HYPAPI_RWX, &gpa1), HYPAPI_ESTATE);
	expect("W without R", hypapi_memory_restrict_gpa2(ev, at, HYPAPI_W, &gpa1), HYPAPI_EINVAL);
	expect("an odd address", hypapi_memory_restrict_gpa2(ev, GPA2(at.addr + 1), HYPAPI_R, &gpa1), HYPAPI_EINVAL);
}

/* The same, with the others stopped. */
static void l2_restriction(struct hypapi_event *ev)
{
	gpa2_t at = GPA2(FREE_PAGE.addr), nowhere = GPA2(1ull << 40), root = GPA2(root_page(ev));
	struct hypapi_page page = { .rights = 0 };
	gpa1_t gpa1 = GPA1(1);
	uint32_t rights = 0;

	expect("restrict nowhere", hypapi_memory_restrict_gpa2(ev, nowhere, HYPAPI_R, &gpa1), HYPAPI_EFAULT);
	expect("restrict the core", hypapi_memory_restrict_gpa2(ev, root, HYPAPI_R, &gpa1), HYPAPI_EPERM);
	expect("untouched", (int64_t)gpa1.addr, 1);
	expect("restrict", hypapi_memory_restrict_gpa2(ev, at, HYPAPI_R, &gpa1), HYPAPI_OK);
	expect("which page", (int64_t)gpa1.addr, (int64_t)FREE_PAGE.addr);
	expect("its rights", hypapi_memory_rights(ev, FREE_PAGE, &rights), HYPAPI_OK);
	expect("are", rights, HYPAPI_R);
	expect("translate it", hypapi_translate_gpa2(ev, at, HYPAPI_R, &page), HYPAPI_OK);
	expect("L2 has", page.rights, HYPAPI_R);
	expect("L2 copy all the same", hypapi_copy_to_gpa2(ev, at, &rights, 4), HYPAPI_OK);
	expect("give it back", hypapi_memory_restrict_gpa2(ev, at, HYPAPI_RWX, &gpa1), HYPAPI_OK);
}

static void restriction(struct hypapi_event *ev)
{
	expect("devices, an odd address", hypapi_dma_restrict(ev, GPA1(0x300001), 1, 0), HYPAPI_EINVAL);
	expect("devices, no page", hypapi_dma_restrict(ev, FREE_PAGE, 0, 0), HYPAPI_EINVAL);
	expect("devices, half", hypapi_dma_restrict(ev, FREE_PAGE, 1, HYPAPI_R), HYPAPI_EINVAL);
	expect("restrict without a stop", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_R), HYPAPI_ESTATE);
	expect("grant without a stop", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_RWX), HYPAPI_OK);
	expect("W without R", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_W), HYPAPI_EINVAL);
	expect("another right", hypapi_memory_restrict(ev, FREE_PAGE, 1, 8), HYPAPI_EINVAL);
	expect("restrict no page", hypapi_memory_restrict(ev, FREE_PAGE, 0, HYPAPI_R), HYPAPI_EINVAL);
	expect("restrict one page too many", hypapi_memory_restrict(ev, FREE_PAGE, 513, 0), HYPAPI_EINVAL);
	expect("restrict an odd address", hypapi_memory_restrict(ev, GPA1(0x300001), 1, HYPAPI_R), HYPAPI_EINVAL);
	expect("restrict the APIC page", hypapi_memory_restrict(ev, GPA1(0xfee00000), 1, HYPAPI_RWX), HYPAPI_EPERM);
	expect("restrict the core", hypapi_memory_restrict(ev, GPA1(root_page(ev)), 1, HYPAPI_RWX), HYPAPI_EPERM);
	expect("restrict above RAM", hypapi_memory_restrict(ev, GPA1(1ull << 45), 1, HYPAPI_RWX), HYPAPI_EPERM);
}

static void no_partition(struct hypapi_event *ev)
{
	struct hypapi_partition_page page = { .gva = GVA(0x1000), .rights = HYPAPI_RW };
	struct hypapi_partition_entry entry = { .rip = 0x1000, .long_mode = true };
	hypapi_partition_t none = { 0x1234 };
	char byte;

	expect("create without a stop", hypapi_partition_create(ev, &page, 1, &none), HYPAPI_ESTATE);
	expect("destroy no partition", hypapi_partition_destroy(ev, none), HYPAPI_ESTALE);
	expect("memory of no partition", hypapi_partition_add_memory(ev, none, &page.gva, 1, HYPAPI_RW), HYPAPI_ESTALE);
	expect("FPU of no partition", hypapi_partition_add_fpu(ev, none), HYPAPI_ESTALE);
	expect("at home of no partition", hypapi_partition_at_home(ev, none), HYPAPI_ESTALE);
	expect("read no partition", hypapi_partition_read(ev, none, &byte, GVA(0), 1), HYPAPI_ESTALE);
	expect("write no partition", hypapi_partition_write(ev, none, GVA(0), &byte, 1), HYPAPI_ESTALE);
	expect("enter no partition", hypapi_partition_enter(ev, none, &entry), HYPAPI_ESTALE);
	entry = (struct hypapi_partition_entry){ .rip = 1ull << 32 };
	expect("enter 32-bit code above 4 GiB", hypapi_partition_enter(ev, none, &entry), HYPAPI_EINVAL);
	expect("leave no partition", hypapi_partition_leave(ev), HYPAPI_ESTATE);
}

/* One page with a fault, or two. */
static int create(struct hypapi_event *ev, gva_t gva, uint32_t rights, size_t count)
{
	struct hypapi_partition_page page = { .gva = gva, .rights = rights }, pages[2] = { page, page };
	hypapi_partition_t made;

	return hypapi_partition_create(ev, pages, count, &made);
}

/* A page of physical memory, at an address where page tables may map nothing; destroyed if it is made. */
static int create_of_frame(struct hypapi_event *ev, uint64_t physical, uint32_t rights)
{
	struct hypapi_partition_page page = { .gva = NOWHERE, .rights = rights | HYPAPI_FRAME,
					      .frame = (uint32_t)(physical / HYPAPI_PAGE_SIZE) };
	hypapi_partition_t made;
	int error = hypapi_partition_create(ev, &page, 1, &made);

	return error ? error : hypapi_partition_destroy(ev, made);
}

/* With the others stopped. */
static void stops(struct hypapi_event *ev)
{
	struct hypapi_event copy = *ev;
	uint64_t epoch = ev->epoch;

	expect("resume without a stop", hypapi_resume(ev), HYPAPI_ESTATE);
	expect("a copied event", hypapi_quiesce(&copy), HYPAPI_EPERM);
	expect("may a copied event stop", hypapi_may_stop(&copy), HYPAPI_EPERM);
	if (ev->level == HYPAPI_L1 && ev->cpl == 0)
		expect("may the kernel stop", hypapi_may_stop(ev), 1);
	else
		expect("may others stop", hypapi_may_stop(ev) < 0, false);
	expect("quiesce", hypapi_quiesce(ev) < 0, false);
	expect("stopped", ev->stopped && ev->epoch > epoch, true);
	expect("quiesce again", hypapi_quiesce(ev), 0);
	expect("may what is stopped stop", hypapi_may_stop(ev), 1);
	expect("resume of one of two", hypapi_resume(ev), HYPAPI_OK);
	expect("still stopped", ev->stopped, true);
	expect("create at an odd address", create(ev, GVA(0x1001), HYPAPI_RW, 1), HYPAPI_EINVAL);
	expect("create above 2^47", create(ev, GVA(1ull << 47), HYPAPI_RW, 1), HYPAPI_EINVAL);
	expect("create with all rights", create(ev, GVA(0x300000), HYPAPI_RWX, 1), HYPAPI_EINVAL);
	expect("create with an unknown right", create(ev, GVA(0x300000), HYPAPI_RX | 1u << 6, 1), HYPAPI_EINVAL);
	expect("restrict what the caller must write", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_RX), HYPAPI_OK);
	expect("create with it", create(ev, GVA(0x300000), HYPAPI_RX | HYPAPI_CALLER_WRITES, 1), HYPAPI_EPERM);
	expect("give it back", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_RWX), HYPAPI_OK);
	expect("create with a page twice", create(ev, GVA(0x300000), HYPAPI_RW, 2), HYPAPI_EINVAL);
	expect("create from nowhere", create(ev, NOWHERE, HYPAPI_RW, 1), HYPAPI_EFAULT);
	expect("create from the core", create(ev, GVA(root_page(ev)), HYPAPI_RW, 1), HYPAPI_EPERM);
	expect("create of a frame", create_of_frame(ev, 0x300000, HYPAPI_RW), HYPAPI_OK);
	expect("create of no frame", create_of_frame(ev, 1ull << 43, HYPAPI_RW), HYPAPI_EPERM);
	expect("create of the core's frame", create_of_frame(ev, root_page(ev), HYPAPI_RW), HYPAPI_EPERM);
	expect("create of a device's frame", create_of_frame(ev, APIC_PAGE.addr, HYPAPI_RW), HYPAPI_EPERM);
	expect("create of a frame with all rights", create_of_frame(ev, 0x300000, HYPAPI_RWX), HYPAPI_EINVAL);
	expect("create without pages", create(ev, GVA(0x300000), HYPAPI_RW, 0), HYPAPI_EINVAL);
	expect("create with too many", create(ev, GVA(0x300000), HYPAPI_RW, 257), HYPAPI_EINVAL);
	if (ev->level == HYPAPI_L2)
		l2_restriction(ev);
	expect("resume", hypapi_resume(ev), HYPAPI_OK);
	expect("no longer stopped", ev->stopped, false);
}

/* Of one EPT: this event's. */
static void stops_of_ept(struct hypapi_event *ev)
{
	hypapi_ept_t own = ev->level == HYPAPI_L2 ? ev->eptp02 : ev->eptp01, stale = { ev->eptp01.id - 4 };

	expect("stop of a stale EPT", hypapi_quiesce_ept(ev, stale), HYPAPI_ESTALE);
	expect("stop of no EPT", hypapi_quiesce_ept(ev, (hypapi_ept_t){ HYPAPI_NONE }), HYPAPI_ESTALE);
	expect("stop of an EPT", hypapi_quiesce_ept(ev, own) < 0, false);
	expect("not a stop of all", ev->stopped, false);
	expect("rights under it", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_R), HYPAPI_ESTATE);
	expect("stop of it again", hypapi_quiesce_ept(ev, own), 0);
	if (ev->level == HYPAPI_L2)
		expect("stop of another EPT", hypapi_quiesce_ept(ev, ev->eptp01), HYPAPI_ESTATE);
	expect("resume", hypapi_resume(ev), HYPAPI_OK);
	expect("stop of all inside", hypapi_quiesce(ev) < 0, false);
	expect("stop of an EPT in one of all", hypapi_quiesce_ept(ev, ev->eptp01), 0);
	for (int i = 0; i < 3; i++)
		expect("resume", hypapi_resume(ev), HYPAPI_OK);
	expect("resume once more", hypapi_resume(ev), HYPAPI_ESTATE);
}

/* The next call sees what has come of it. */
static void posts(struct hypapi_event *ev)
{
	static uint64_t posted;
	const struct seen *work = &verify_seen[VERIFY][HYPAPI_COMMIT][HYPAPI_EV_WORK][HYPAPI_L0];

	expect("posts that came", (int64_t)work->count, (int64_t)posted);
	expect("what was posted", (int64_t)work->last, posted ? 5 : 0);
	expect("post nothing", hypapi_post(ev, 1ull << ev->cpu, 0), HYPAPI_EINVAL);
	expect("post to nobody", hypapi_post(ev, 0, 1), HYPAPI_EINVAL);
	expect("post to no CPU", hypapi_post(ev, 1ull << 63, 1), HYPAPI_EINVAL);
	expect("post", hypapi_post(ev, 1ull << ev->cpu, 4) < 0, false);
	expect("post more", hypapi_post(ev, 1ull << ev->cpu, 1) < 0, false);
	posted++;
}

uint64_t verify_errors(struct hypapi_event *ev)
{
	versions(ev);
	storage(ev);
	random_bytes(ev);
	registers(ev);
	linear_memory(ev);
	physical_memory(ev);
	l2_physical(ev);
	restriction(ev);
	no_partition(ev);
	stops(ev);
	stops_of_ept(ev);
	posts(ev);
	return __atomic_load_n(&total, __ATOMIC_RELAXED);
}

void verify_errors_l0(struct hypapi_event *ev)
{
	struct hypapi_page page;
	uint64_t value;
	char byte;

	expect("L0, register", (int64_t)hypapi_reg_get(ev, HYPAPI_REG_RIP), 0);
	expect("L0, register written", hypapi_reg_set(ev, HYPAPI_REG_RAX, 0), HYPAPI_ENOTSUP);
	expect("L0, registers cleared", hypapi_regs_clear(ev, 1), HYPAPI_ENOTSUP);
	expect("L0, inject", hypapi_inject(ev, 13, 0, GVA(0)), HYPAPI_EINVAL);
	expect("L0, window", hypapi_window(ev, HYPAPI_WINDOW_INTERRUPT), HYPAPI_ENOTSUP);
	expect("L0, translate", hypapi_translate(ev, GVA(0x1000), HYPAPI_R, &page), HYPAPI_ENOTSUP);
	expect("L0, register", hypapi_reg_read(ev, HYPAPI_REG_RAX, &value), HYPAPI_ENOTSUP);
	expect("L0, page in", hypapi_page_in(ev, GVA(0x1000), HYPAPI_R), HYPAPI_ENOTSUP);
	expect("L0, copy from", hypapi_copy_from(ev, &byte, GVA(0x1000), 1), HYPAPI_ENOTSUP);
	expect("L0, copy to", hypapi_copy_to(ev, GVA(0x1000), &byte, 1), HYPAPI_ENOTSUP);
	expect("L0, L2-physical", hypapi_translate_gpa2(ev, GPA2(0x1000), HYPAPI_R, &page), HYPAPI_ENOTSUP);
	expect("L0, L2 copy from", hypapi_copy_from_gpa2(ev, &byte, GPA2(0x1000), 1), HYPAPI_ENOTSUP);
	expect("L0, create", create(ev, GVA(0x300000), HYPAPI_RW, 1), HYPAPI_ENOTSUP);
	expect("L0, physical copy", hypapi_copy_from_gpa1(ev, &byte, FREE_PAGE, 1), HYPAPI_OK);
}

void verify_errors_no_guest(struct hypapi_event *ev)
{
	struct hypapi_partition_entry entry = { .rip = 0x1000 };
	hypapi_partition_t none = { 1 };
	struct hypapi_page page;
	uint64_t value;
	uint32_t rights;
	gpa1_t gpa1;
	char byte;

	expect("bare, window", hypapi_window(ev, 0), HYPAPI_EPERM);
	expect("bare, register", (int64_t)hypapi_reg_get(ev, HYPAPI_REG_RIP), 0);
	expect("bare, register told", hypapi_reg_read(ev, HYPAPI_REG_RIP, &value), HYPAPI_EPERM);
	expect("bare, page in", hypapi_page_in(ev, GVA(0x1000), HYPAPI_R), HYPAPI_EPERM);
	expect("bare, register written", hypapi_reg_set(ev, HYPAPI_REG_RAX, 0), HYPAPI_EPERM);
	expect("bare, registers cleared", hypapi_regs_clear(ev, 1), HYPAPI_EPERM);
	expect("bare, inject", hypapi_inject(ev, 13, 0, GVA(0)), HYPAPI_EPERM);
	expect("bare, translate", hypapi_translate(ev, GVA(0x1000), HYPAPI_R, &page), HYPAPI_EPERM);
	expect("bare, copy from", hypapi_copy_from(ev, &byte, GVA(0x1000), 1), HYPAPI_EPERM);
	expect("bare, copy to", hypapi_copy_to(ev, GVA(0x1000), &byte, 1), HYPAPI_EPERM);
	expect("bare, L2-physical", hypapi_translate_gpa2(ev, GPA2(0x1000), HYPAPI_R, &page), HYPAPI_EPERM);
	expect("bare, physical copy from", hypapi_copy_from_gpa1(ev, &byte, FREE_PAGE, 1), HYPAPI_EPERM);
	expect("bare, physical copy to", hypapi_copy_to_gpa1(ev, FREE_PAGE, &byte, 1), HYPAPI_EPERM);
	expect("bare, devices", hypapi_dma_restrict(ev, FREE_PAGE, 1, HYPAPI_RW), HYPAPI_EPERM);
	expect("bare, restrict", hypapi_memory_restrict(ev, FREE_PAGE, 1, HYPAPI_RWX), HYPAPI_EPERM);
	expect("bare, rights", hypapi_memory_rights(ev, FREE_PAGE, &rights), HYPAPI_EPERM);
	expect("bare, L2 copy from", hypapi_copy_from_gpa2(ev, &byte, GPA2(0x1000), 1), HYPAPI_EPERM);
	expect("bare, L2 copy to", hypapi_copy_to_gpa2(ev, GPA2(0x1000), &byte, 1), HYPAPI_EPERM);
	expect("bare, L2 restrict", hypapi_memory_restrict_gpa2(ev, GPA2(0x1000), HYPAPI_R, &gpa1), HYPAPI_EPERM);
	expect("bare, L2 rights", hypapi_memory_rights_gpa2(ev, GPA2(0x1000), &rights, &gpa1), HYPAPI_EPERM);
	expect("bare, create", create(ev, GVA(0x300000), HYPAPI_RW, 1), HYPAPI_EPERM);
	expect("bare, at home", hypapi_partition_at_home(ev, none), HYPAPI_EPERM);
	expect("bare, memory", hypapi_partition_add_memory(ev, none, &(gva_t){ 0x1000 }, 1, HYPAPI_RW), HYPAPI_EPERM);
	expect("bare, FPU", hypapi_partition_add_fpu(ev, none), HYPAPI_EPERM);
	expect("bare, destroy", hypapi_partition_destroy(ev, none), HYPAPI_EPERM);
	expect("bare, read", hypapi_partition_read(ev, none, &byte, GVA(0x1000), 1), HYPAPI_EPERM);
	expect("bare, write", hypapi_partition_write(ev, none, GVA(0x1000), &byte, 1), HYPAPI_EPERM);
	expect("bare, enter", hypapi_partition_enter(ev, none, &entry), HYPAPI_EPERM);
	expect("bare, leave", hypapi_partition_leave(ev), HYPAPI_EPERM);
}

void verify_errors_bare(struct hypapi_event *ev)
{
	expect("bare, quiesce", hypapi_quiesce(ev), HYPAPI_EPERM);
	expect("bare, resume", hypapi_resume(ev), HYPAPI_EPERM);
	expect("bare, stop of an EPT", hypapi_quiesce_ept(ev, ev->eptp01), HYPAPI_EPERM);
	expect("bare, post", hypapi_post(ev, 1, 1), HYPAPI_EPERM);
	expect("bare, storage", hypapi_cpu_storage(ev, 0) == NULL, true);
	verify_errors_no_guest(ev);
}
