/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a registration may cost others. Three kinds of callers, L1's kernel, L1's processes and L2, have a share of PALs
 * and of pages each, so that one of them cannot take all; and pages are looked at before the CPUs are stopped, since a
 * stop that ends in an error is a weapon. That look only refuses: what holds is checked under the stop, by
 * hypapi_partition_create(). It costs up to 700 ticks a page in L2, so it begins when a registration of somebody who is
 * not trusted has failed under the stop, and lasts for the next WARY_FOR that succeed: of all their stops at most one
 * in that many ends in an error.
 *
 * Each virtual machine has a share of L2's, so that one does not live at the cost of the others. A machine is what runs
 * on one of L1's virtual CPUs, or in one EPT12: its hypervisor gives it a new EPTP12 when its memory is laid out anew,
 * which a guest can bring about, and a machine has several virtual CPUs. So a PAL is known by both; who comes on a
 * virtual CPU that had another EPT12 takes over all that this EPT12 had. What L1 mixes up counts as one machine.
 *
 * Counts grow under the stop only, so a share that has room then has it until the PAL is in. They shrink at any time.
 */
#include "pal.h"

static struct share {
	const char *option; /* PALS,PAGES */
	uint32_t eighths;   /* of all PALs, without the option */
	uint32_t pal_pages; /* for each of those; many are small */
	uint32_t max_pals, max_pages;
	uint32_t max_shared;  /* pages of root memory for shared ranges */
	uint32_t pals, pages, shared; /* in use; atomic */
} shares[] = {
	{ .option = "trustvisor.share-kernel", .eighths = 8, .pal_pages = TV_MAX_PAGES },
	/* Both together leave a quarter of the PALs to the kernel. */
	{ .option = "trustvisor.share-user", .eighths = 3, .pal_pages = 43 },
	{ .option = "trustvisor.share-l2", .eighths = 3, .pal_pages = 43 },
};
#define SHARE_COUNT (sizeof(shares) / sizeof(shares[0]))
#define SHARE_OF_KERNEL (&shares[0])
#define SHARE_OF_L2 (&shares[2])

static struct { uint32_t max_pals, max_pages, max_shared; } machine; /* of each */

#define SHARED_PAGES_PER_PAL 2 /* on average: root memory has some 10 pages for each partition beside its tables */

#define WARY_FOR 64
static uint32_t wary; /* so many registrations more are looked at before their stop; atomic */

static bool kernel_only; /* trustvisor.register=kernel */
static bool no_l2;       /* trustvisor.l2=off */

/* What a kernel of L1 registers for its processes counts as the kernel's, which parts it among them. */
static struct share *share_of(const struct pal *pal)
{
	return &shares[pal->level == HYPAPI_L2 ? 2 : pal->cpl != 0 && !pal->by_list];
}

uint32_t limits_class(const struct pal *pal)
{
	return (uint32_t)(share_of(pal) - shares);
}

/* ---- Shares ---- */

/* A decimal number up to a million; NULL if there is none. */
static const char *read_number(const char *at, uint32_t *number)
{
	const char *start = at;

	for (*number = 0; *at >= '0' && *at <= '9' && *number <= 100000; at++)
		*number = *number * 10 + (uint32_t)(*at - '0');
	return at == start ? NULL : at;
}

/* An option that says nothing allows nothing: an error must not open what was to be closed. */
static void read_share(struct share *share)
{
	const char *text = hypapi_option(share->option), *rest;

	share->max_pals = pal_limit() * share->eighths / 8;
	share->max_pages = share->max_pals * share->pal_pages;
	share->max_shared = pal_limit() * share->eighths / 8 * SHARED_PAGES_PER_PAL;
	share->pals = share->pages = share->shared = 0;
	if (!text)
		return;
	rest = read_number(text, &share->max_pals);
	if (rest && *rest == ',')
		rest = read_number(rest + 1, &share->max_pages);
	else
		rest = NULL;
	if (rest && !*rest)
		return;
	share->max_pals = share->max_pages = 0;
	hypapi_log("%s=%s: not PALS,PAGES: no PAL is registered for these callers", share->option, text);
}

static bool is_text(const char *text, const char *expected)
{
	while (*text && *text == *expected)
		text++, expected++;
	return *text == *expected;
}

static void read_register(void)
{
	const char *text = hypapi_option("trustvisor.register");

	kernel_only = text && !is_text(text, "any");
	if (kernel_only && !is_text(text, "kernel"))
		hypapi_log("trustvisor.register=%s: neither any nor kernel: taken as kernel", text);
}

/* share=N or share=N,M, in percent of all PALs and pages: of all machines together, and of each. */
static bool read_percents(const char *text)
{
	uint32_t all = 0, each;
	const char *name = "share=", *rest;

	for (; *name && *text == *name; name++)
		text++;
	rest = *name ? NULL : read_number(text, &all);
	each = (all + 1) / 2;
	if (rest && *rest == ',')
		rest = read_number(rest + 1, &each);
	if (!rest || *rest || all > 100 || each > 100)
		return false;
	SHARE_OF_L2->max_pals = pal_limit() * all / 100;
	SHARE_OF_L2->max_pages = pal_limit() * TV_MAX_PAGES * all / 100;
	machine.max_pals = (pal_limit() * each + 99) / 100;
	machine.max_pages = pal_limit() * TV_MAX_PAGES * each / 100;
	return true;
}

/* Without a word on it, two machines share evenly. */
static void read_l2(void)
{
	const char *text = hypapi_option("trustvisor.l2");

	machine.max_pals = (SHARE_OF_L2->max_pals + 1) / 2;
	machine.max_pages = (SHARE_OF_L2->max_pages + 1) / 2;
	machine.max_shared = (SHARE_OF_L2->max_shared + 1) / 2;
	no_l2 = text && !read_percents(text);
	if (!no_l2)
		return;
	if (!is_text(text, "off"))
		hypapi_log("trustvisor.l2=%s: neither off nor share=PERCENT: taken as off", text);
}

void limits_init(void)
{
	for (size_t i = 0; i < SHARE_COUNT; i++)
		read_share(&shares[i]);
	read_register();
	read_l2();
	wary = 0;
}

uint32_t limits_allow(const struct hypapi_event *ev, bool by_list)
{
	bool refused = (kernel_only && !by_list && !is_l1_kernel(ev)) || (no_l2 && ev->level == HYPAPI_L2);

	return refused ? TV_E_DENIED : TV_OK;
}

/* ---- Virtual machines ---- */

#define EPT_ROOT (((1ull << 52) - 1) & HYPAPI_PAGE_MASK) /* of EPTP12, whose low bits say how it is walked */
#define NO_EPT12 1u

static uint64_t machine_of(const struct pal *pal)
{
	return __atomic_load_n(&pal->machine, __ATOMIC_RELAXED);
}

/* A virtual CPU without EPT12 is a machine by itself. */
void limits_name(const struct hypapi_event *ev, struct pal *pal)
{
	uint64_t eptp12 = 0;

	if (hypapi_vcpu_identity(ev, &pal->vcpu) != HYPAPI_OK ||
	    hypapi_ept_identity(ev, ev->eptp02, &eptp12) != HYPAPI_OK)
		return; /* L1 */
	pal->machine = eptp12 ? eptp12 & EPT_ROOT : pal->vcpu | NO_EPT12;
}

bool limits_are_from(const struct hypapi_event *ev, const struct pal *pal)
{
	struct pal *now = &own_cpu(ev)->pal;

	now->machine = 0;
	limits_name(ev, now);
	return pal->space == tv_space(ev) && machine_of(pal) == now->machine;
}

struct usage { uint32_t pals, pages, shared; bool other_name; };

static bool counts_for_l2(const struct pal *pal)
{
	return pal_state(pal) > PAL_ENDED && pal->level == HYPAPI_L2;
}

/* As what else the machine of this PAL is known: by a PAL of its virtual CPU, at most one name. */
static uint64_t other_name(const struct pal *pal)
{
	for (uint32_t i = 0; i < pal_limit(); i++) {
		const struct pal *other = pal_at(i);

		if (counts_for_l2(other) && other->vcpu == pal->vcpu && machine_of(other) != machine_of(pal))
			return machine_of(other);
	}
	return machine_of(pal);
}

/*
 * While PALs are renamed, and while those of a machine are counted: two names at once would part the machine, and who
 * counts in the middle would find a part of it.
 */
static struct hypapi_lock naming;

/* All PALs of its machine get the name that it has now. */
static void settle_name(const struct pal *pal)
{
	uint64_t from = other_name(pal);

	for (uint32_t i = 0; i < pal_limit(); i++)
		__atomic_compare_exchange_n(&pal_at(i)->machine, &(uint64_t){ from }, machine_of(pal), false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* `other_name`: some PAL of its virtual CPU has one. */
static struct usage usage_of_machine(const struct pal *pal)
{
	struct usage used = { 0, 0, 0, false };

	for (uint32_t i = 0; i < pal_limit(); i++) {
		const struct pal *one = pal_at(i);

		if (!counts_for_l2(one))
			continue;
		if (machine_of(one) != machine_of(pal)) {
			used.other_name |= one->vcpu == pal->vcpu;
			continue;
		}
		used.pals++;
		used.pages += one->page_count;
		used.shared += __atomic_load_n(&one->shared_pages, __ATOMIC_SEQ_CST);
	}
	return used;
}

static bool machine_has_room(const struct pal *pal)
{
	hypapi_lock(&naming);
	struct usage used = usage_of_machine(pal);

	if (used.other_name) {
		settle_name(pal);
		used = usage_of_machine(pal);
	}
	hypapi_unlock(&naming);
	return used.pals < machine.max_pals && used.pages + pal->page_count <= machine.max_pages &&
	       used.shared + pal->copied_count <= machine.max_shared;
}

/* ---- Shares in use ---- */

bool limits_have_room(const struct pal *pal)
{
	const struct share *share = share_of(pal);

	if (share == SHARE_OF_L2 && !machine_has_room(pal))
		return false;
	return __atomic_load_n(&share->pals, __ATOMIC_RELAXED) < share->max_pals &&
	       __atomic_load_n(&share->pages, __ATOMIC_RELAXED) + pal->page_count <= share->max_pages &&
	       __atomic_load_n(&share->shared, __ATOMIC_RELAXED) + pal->copied_count <= share->max_shared;
}

void limits_take(const struct pal *pal)
{
	__atomic_add_fetch(&share_of(pal)->pals, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&share_of(pal)->pages, pal->page_count, __ATOMIC_RELAXED);
	if (wary && share_of(pal) != SHARE_OF_KERNEL)
		__atomic_sub_fetch(&wary, 1, __ATOMIC_RELAXED);
}

void limits_give(const struct pal *pal)
{
	__atomic_sub_fetch(&share_of(pal)->pals, 1, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&share_of(pal)->pages, pal->page_count, __ATOMIC_RELAXED);
}

/* Two CPUs may do that at once: each counts its own pages first, and then all, so that not both find the last room. */
bool limits_take_shared(struct pal *pal, uint32_t page_count)
{
	struct share *share = share_of(pal);
	struct usage of_machine = { 0, 0, 0, false };
	uint32_t of_all = __atomic_add_fetch(&share->shared, page_count, __ATOMIC_RELAXED);

	__atomic_add_fetch(&pal->shared_pages, page_count, __ATOMIC_SEQ_CST);
	if (share == SHARE_OF_L2) {
		hypapi_lock(&naming);
		of_machine = usage_of_machine(pal);
		hypapi_unlock(&naming);
	}
	if (of_all <= share->max_shared && of_machine.shared <= machine.max_shared)
		return true;
	limits_give_shared(pal, page_count);
	return false;
}

void limits_give_shared(struct pal *pal, uint32_t page_count)
{
	__atomic_sub_fetch(&share_of(pal)->shared, page_count, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&pal->shared_pages, page_count, __ATOMIC_RELAXED);
}

/* ---- Pages, before the stop ---- */

void limits_failed(const struct pal *pal)
{
	if (share_of(pal) != SHARE_OF_KERNEL)
		__atomic_store_n(&wary, WARY_FOR, __ATOMIC_RELAXED);
}

bool limits_are_wary(const struct pal *pal)
{
	/* The kernel may stop the machine; and it need not be able to write what it registers. */
	return share_of(pal) != SHARE_OF_KERNEL && __atomic_load_n(&wary, __ATOMIC_RELAXED);
}

/* One page: there with the rights that it needs, nobody else's, and not among those before it. */
static int foresee_page(struct hypapi_event *ev, gva_t gva, const struct tv_list_page *listed, uint32_t rights,
			uint64_t *frames, uint32_t count)
{
	struct hypapi_page page;
	int rc = listed ? hypapi_translate_gpa2(ev, GPA2(listed->physical & HYPAPI_PAGE_MASK), rights, &page) :
			  hypapi_translate(ev, gva, rights, &page);

	if (rc == HYPAPI_ENOTMAPPED && !ev->stopped)
		page_in(ev, gva.addr, 1, rights);
	if (rc != HYPAPI_OK)
		return rc;
	for (uint32_t i = 0; i < count; i++)
		if (frames[i] == page.hpa.addr)
			return HYPAPI_EPERM;
	frames[count] = page.hpa.addr;
	return HYPAPI_OK;
}

int limits_foresee(struct hypapi_event *ev, const struct pal *pal, const struct tv_list_page *pages)
{
	uint64_t *frames = own_cpu(ev)->frames; /* the list of pages so far */
	uint32_t count = 0;

	for (uint32_t i = 0; i < pal->sections.num_sections; i++) {
		const struct tv_pal_section *section = &pal->sections.sections[i];
		bool shared = section->type == TV_SECTION_SHARED_CODE;
		uint32_t copied = pages ? HYPAPI_R : HYPAPI_RX;
		uint32_t rights = shared ? copied : section_is_code(section) ? HYPAPI_RWX : HYPAPI_RW;

		for (uint32_t n = 0; n < section->page_num; n++, count++) {
			gva_t gva = GVA(section->start_addr + n * HYPAPI_PAGE_SIZE);
			/* What is copied may be a page of the PAL's, too, and stand there again. */
			int rc = foresee_page(ev, gva, pages ? &pages[count] : NULL, rights,
					      shared ? frames + count : frames, shared ? 0 : count);

			if (rc != HYPAPI_OK)
				return rc;
			if (shared)
				frames[count] = 1; /* no page's */
		}
	}
	return HYPAPI_OK;
}
