/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of partitions; see partition.h and partition_state.h, and vmx/partition_run.c for how they run. The page
 * tables of a partition lie in root memory, mapped read-only in its EPT, with accessed and dirty bits set beforehand,
 * so the CPU never writes them. What is made is remembered by pointers to the entries, so that nothing is searched
 * when it goes.
 */
#include "mem/partition.h"

#include "cpu/paging.h"
#include "cpu/x86.h"
#include "boot/boot_info.h"
#include "core/cmdline.h"
#include "lib/string.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/page_copy.h"
#include "mem/pages.h"
#include "mem/partition_state.h"

#define PT_LEVELS 4

/* One for so much of RAM, within bounds; then two stand-ins, what make_frame() makes, and a share of EPT01's tables. */
#define RAM_PER_PARTITION (8ul << 20)
#define PARTITIONS_AT_LEAST 64ul
#define PARTITIONS_BY_RAM 512ul
#define PARTITIONS_MAX 4096
#define ROOT_PER_PARTITION (20 * PAGE_SIZE)

u32 partition_limit;
static struct partition *partitions; /* partition_limit; changed under a stop; `runner` by atomic exchange */
static u32 first_free; /* none is free below; changed under a stop */
static u64 serial; /* in handles: none comes twice */

u64 partition_plan(void)
{
	u64 by_ram = MIN(MAX(memory_map_top() / RAM_PER_PARTITION, PARTITIONS_AT_LEAST), PARTITIONS_BY_RAM);

	partition_limit = (u32)cmdline_number("partitions", by_ram, PARTITIONS_MAX);
	return partition_limit * ROOT_PER_PARTITION;
}

void partition_init(void)
{
	partitions = pages_boot_alloc(ALIGN_UP(partition_limit * sizeof(*partitions), PAGE_SIZE) / PAGE_SIZE);
	fpu_init();
}

static u32 number_of(const struct partition *p)
{
	return (u32)(p - partitions + 1);
}

static struct partition *slot(u32 number)
{
	return number - 1 < partition_limit ? &partitions[number - 1] : NULL;
}

struct partition *partition_get(u64 handle, const struct hypapp_descriptor *owner)
{
	struct partition *p = slot(partition_number(handle));

	return p && p->app == owner && p->handle == handle ? p : NULL;
}

hypapi_partition_t partition_by_number(u32 number, const struct hypapp_descriptor **app)
{
	const struct partition *p = slot(number);

	if (!p || !p->app)
		return (hypapi_partition_t){ HYPAPI_NONE };
	*app = p->app;
	return (hypapi_partition_t){ p->handle };
}

const u64 *partition_ept_root(u32 number)
{
	return slot(number)->app ? slot(number)->ept_root : NULL;
}

static void *frame_memory(u64 ept_entry)
{
	return phys_to_virt(HPA(ept_entry & EPT_ADDR));
}

static u64 table_address(u32 number)
{
	return PARTITION_TABLES + number * PAGE_SIZE;
}

/* The page table that an entry of the one above leads to. */
static u64 *table_below(const struct partition *p, u64 entry)
{
	return frame_memory(p->table_frames[((entry & EPT_ADDR) - PARTITION_TABLES) / PAGE_SIZE]);
}

/* What every partition has, made when a slot is used first and kept. */
static bool make_frame(struct partition *p)
{
	void *pages[8];
	u64 *pdpt, *pd;

	if (likely(p->ept_root))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = page_alloc();
		if (pages[i])
			continue;
		while (i--)
			page_free(pages[i]);
		return false;
	}
	p->ept_root = pages[0];
	pdpt = pages[1];
	pd = pages[2];
	p->page_frames = pages[3];
	p->table_frames = pages[4];
	p->page_tables = pages[5];
	p->mappings = pages[6];
	p->parents = pages[7];
	p->ept_root[0] = virt_to_phys(pdpt).addr | EPT_RIGHTS;
	pdpt[0] = virt_to_phys(pd).addr | EPT_RIGHTS;
	pd[0] = virt_to_phys(p->page_frames).addr | EPT_RIGHTS;
	pd[1] = virt_to_phys(p->table_frames).addr | EPT_RIGHTS;
	p->table_frames[0] = virt_to_phys(p->page_tables).addr | HYPAPI_R | EPT_WB;
	p->table_count = 1;
	return true;
}

/* Makes *entry lead to a new page table. */
static bool add_table(struct partition *p, u64 *entry)
{
	u32 number = p->table_count;

	if (number == PARTITION_MAX_TABLES)
		return false;
	if (!p->table_frames[number]) {
		void *table = page_alloc();

		if (!table)
			return false;
		p->table_frames[number] = virt_to_phys(table).addr | HYPAPI_R | EPT_WB;
	}
	*entry = table_address(number) | PTE_P | PTE_W | PTE_U | PTE_A;
	p->parents[number] = entry;
	p->table_count++;
	return true;
}

/* The leaf entry for gva in the partition's page tables; makes the tables on the way if asked to. NULL: none. */
static u64 *leaf_entry(struct partition *p, u64 gva, bool make)
{
	u64 *table = p->page_tables;

	for (unsigned int level = PT_LEVELS; level > 1; level--) {
		u64 *entry = &table[ept_index(gva, level)];

		if (!(*entry & PTE_P) && !(make && add_table(p, entry)))
			return NULL;
		table = table_below(p, *entry);
	}
	return &table[ept_index(gva, 1)];
}

/* The same for the page that is added next, which often follows in the page table of the one before. */
static u64 *next_leaf_entry(struct partition *p, u64 gva)
{
	const struct partition_mapping *last = &p->mappings[p->page_count - 1];

	if (p->page_count && !((gva ^ last->gva) & ~(SIZE_2M - 1)))
		return last->entry + ((long)(gva - last->gva) >> PAGE_SHIFT);
	return leaf_entry(p, gva, true);
}

/* An entry for gva that nothing is mapped by. */
static int free_entry(struct partition *p, u64 gva, u64 **entry)
{
	*entry = next_leaf_entry(p, gva);
	if (!*entry)
		return HYPAPI_ENOMEM;
	return **entry & PTE_P ? HYPAPI_EINVAL : HYPAPI_OK;
}

static void map_page(struct partition *p, u64 gva, u64 *entry, u64 frame, u64 rights)
{
	u32 number = p->page_count++;

	*entry = number * PAGE_SIZE | PTE_P | PTE_U | PTE_A | PTE_D | (rights & HYPAPI_W ? PTE_W : 0) |
		 (rights & HYPAPI_X ? 0 : PTE_NX);
	p->page_frames[number] = frame | rights | EPT_WB;
	p->mappings[number] = (struct partition_mapping){ gva, entry };
}

static int add_page(struct partition *p, const struct partition_page *page)
{
	u64 gva = page->gva & ~EPT_RIGHTS, *entry;
	int error = free_entry(p, gva, &entry);

	if (!error)
		error = ept01_claim(GPA1(page->gpa1));
	if (!error)
		map_page(p, gva, entry, page->gpa1, page->gva & EPT_RIGHTS);
	return error;
}

/* The last `count` pages, of root memory, which are zero: wipe_pages(), or nobody has had them yet. */
static void remove_own(struct partition *p, size_t count)
{
	for (; count; count--) {
		u32 last = --p->page_count;

		p->own_count--;
		page_free(frame_memory(p->page_frames[last]));
		*p->mappings[last].entry = 0;
		p->page_frames[last] = 0;
	}
}

/* Empties the slot, complete or not. Table pages are left as clean as they came, by what is known to be in them. */
static void unbuild(struct partition *p)
{
	remove_own(p, p->own_count);
	for (u32 i = 0; i < p->page_count; i++) {
		*p->mappings[i].entry = 0;
		p->page_frames[i] = 0;
	}
	for (u32 i = p->table_count; i-- > 1;) {
		*p->parents[i] = 0;
		if (i >= PARTITION_KEPT_TABLES) {
			page_free(frame_memory(p->table_frames[i]));
			p->table_frames[i] = 0;
		}
	}
	p->page_count = 0;
	p->table_count = 1;
	if (unlikely(p->fpu.own))
		fpu_free(&p->fpu);
}

static struct partition *find_free(void)
{
	while (first_free < partition_limit && partitions[first_free].app)
		first_free++;
	return slot(first_free + 1);
}

int partition_create(const struct hypapp_descriptor *owner, const struct partition_page *pages, size_t count,
		     const struct partition_home *home, u64 *handle)
{
	struct partition *p = find_free();

	if (!p || !make_frame(p))
		return HYPAPI_ENOMEM;
	/* Everything that may fail; claims change nothing that L1 can see. */
	for (size_t i = 0; i < count; i++) {
		int error = add_page(p, &pages[i]);

		if (likely(!error))
			continue;
		ept01_unclaim(p->page_frames, p->page_count);
		unbuild(p);
		return error;
	}
	ept01_mark_traps(number_of(p), ++serial);
	int error = ept01_take(number_of(p), p->page_frames, p->page_count);

	if (error) {
		unbuild(p);
		return error;
	}
	p->handle = *handle = serial << 16 | number_of(p);
	p->app = owner;
	p->home = *home;
	return HYPAPI_OK;
}

/*
 * The page is a partition's, so the walk says that it is not the guest's, and which page it is. A page that L1 merged
 * with one of another machine looks like the home of both. L1 lets neither write it (`watched`), so it is no home.
 */
static __attribute__((noinline)) bool walk_home(struct partition *p, struct guest_walk *w, bool record)
{
	struct guest_page page = { .gpa1 = GPA1(~0ull) }; /* no page: stays so where a table is not mapped */
	u32 pkru = w->pkru;

	w->pkru = 0; /* nothing is read there: a key that a thread has laid aside does not make it another process */
	enum guest_access_result result = guest_walk_page(w, GVA(p->home.path.gva), HYPAPI_R, &page, NULL);

	w->pkru = pkru;
	if (result != GUEST_NOT_OWNED || page.gpa1.addr != p->home.gpa1 || page.watched)
		return false;
	if (record)
		guest_path_record(&p->home.path, w);
	return true;
}

int partition_at_home(u64 handle, const struct hypapp_descriptor *owner, struct guest_walk *w)
{
	struct partition *p = partition_get(handle, owner);

	if (unlikely(!p))
		return HYPAPI_ESTALE;
	bool mine = !atomic_exchange(&p->home_busy, true);
	bool found = (mine && likely(guest_path_holds(&p->home.path, w))) || walk_home(p, w, mine);

	if (mine)
		atomic_store_explicit(&p->home_busy, false, memory_order_release);
	return found ? HYPAPI_OK : HYPAPI_EFAULT;
}

/* In memory, too, and not in the caches alone: a device need not look there, nor a reset that nobody sees. */
static void wipe_page(u64 *words)
{
#pragma GCC unroll 32
	for (u32 i = 0; i < PAGE_SIZE / sizeof(*words); i++)
		movnti(&words[i], 0);
}

/* What it can write, and all root memory, which its owner fills: that goes back to the pool, where pages are zero. */
static void wipe_pages(const struct partition *p)
{
	u32 own = p->page_count - p->own_count;

	for (u32 i = 0; i < p->page_count; i++)
		if (i >= own || p->page_frames[i] & HYPAPI_W)
			wipe_page(frame_memory(p->page_frames[i]));
	sfence();
}

void partition_wipe_all(void)
{
	for (u32 number = 1; number <= partition_limit; number++)
		if (slot(number)->app) {
			wipe_pages(slot(number));
			fpu_wipe(&slot(number)->fpu);
		}
}

static void give_back(const struct partition *p)
{
	wipe_pages(p);
	ept01_give(p->page_frames, p->page_count - p->own_count);
}

int partition_destroy(struct percpu *cpu, struct partition *p)
{
	u64 handle = p->handle;
	int error = HYPAPI_OK;

	if (atomic_load(&p->runner))
		return HYPAPI_EBUSY;
	(void)!quiesce_begin(&cpu->quiesce);
	if (!p->app || p->handle != handle)
		error = HYPAPI_ESTALE; /* somebody else's stop came first */
	else if (atomic_load(&p->runner))
		error = HYPAPI_EBUSY;
	if (!error) {
		p->app = NULL;
		first_free = MIN(first_free, number_of(p) - 1);
		give_back(p); /* owes the INVEPT by which all CPUs forget this EPT, too */
		unbuild(p);
	}
	quiesce_end(&cpu->quiesce);
	return error;
}

bool partition_destroy_all(struct percpu *cpu, const struct hypapp_descriptor *owner)
{
	bool all = true;

	(void)!quiesce_begin(&cpu->quiesce);
	for (struct partition *p = partitions; p < partitions + partition_limit; p++)
		if (p->app == owner)
			all &= partition_destroy(cpu, p) == HYPAPI_OK;
	quiesce_end(&cpu->quiesce);
	return all;
}

static int add_own(struct partition *p, u64 gva, u32 rights)
{
	u64 *entry;
	int error = free_entry(p, gva, &entry);
	void *page = error ? NULL : page_alloc();

	if (!page)
		return error ? error : HYPAPI_ENOMEM;
	map_page(p, gva, entry, virt_to_phys(page).addr, rights);
	p->own_count++;
	return HYPAPI_OK;
}

int partition_add_memory(struct partition *p, const gva_t *pages, size_t count, u32 rights)
{
	int error = count > PARTITION_MAX_PAGES - p->page_count ? HYPAPI_ENOMEM : HYPAPI_OK;
	size_t added = 0;

	while (!error && added < count) {
		error = add_own(p, pages[added].addr, rights);
		added += !error;
	}
	if (error)
		remove_own(p, added);
	return error;
}

bool partition_has_own(u32 number, u64 gpa)
{
	const struct partition *p = slot(number);
	u64 i = gpa / PAGE_SIZE;

	return i < p->page_count && i >= p->page_count - p->own_count;
}

int partition_add_fpu(struct partition *p)
{
	if (atomic_load(&p->runner))
		return HYPAPI_EBUSY;
	if (!fpu_is_there())
		return HYPAPI_ENOTSUP;
	if (p->fpu.own)
		return HYPAPI_OK;
	/* Some may hold its state without an FPU. */
	for (u32 i = 0; i < cpu_count; i++)
		if (cpus[i]->partition.handle == p->handle)
			cpus[i]->partition.handle = 0;
	return fpu_alloc(&p->fpu) ? HYPAPI_OK : HYPAPI_ENOMEM;
}

/* The partition's memory at gva, or NULL: not a page of it. Data and stack are mostly near the last page. */
static inline u8 *memory_at(struct partition *p, u64 gva)
{
	const struct partition_mapping *last = &p->mappings[p->page_count - 1];
	const u64 *entry;

	if (likely(!((gva ^ last->gva) & ~(SIZE_2M - 1))))
		entry = last->entry + ((long)(ALIGN_DOWN(gva, PAGE_SIZE) - last->gva) >> PAGE_SHIFT);
	else
		entry = gva < BIT(47) ? leaf_entry(p, gva, false) : NULL;
	if (!entry || !(*entry & PTE_P))
		return NULL;
	return (u8 *)frame_memory(p->page_frames[(*entry & EPT_ADDR) / PAGE_SIZE]) + (gva & (PAGE_SIZE - 1));
}

/* All of the range is checked before the first byte moves. */
static __attribute__((noinline)) int copy_pages(struct partition *p, u64 gva, void *buf, size_t len, bool write)
{
	for_each_page_part(checked, length, gva, len)
		if (!memory_at(p, gva + checked))
			return HYPAPI_EFAULT;
	for_each_page_part(done, part, gva, len)
		copy_part(memory_at(p, gva + done), (u8 *)buf + done, part, write);
	return HYPAPI_OK;
}

int partition_copy(u64 handle, const struct hypapp_descriptor *owner, u64 gva, void *buf, size_t len, bool write)
{
	struct partition *p = partition_get(handle, owner);

	if (unlikely(!p))
		return HYPAPI_ESTALE;
	if (unlikely(!len || len > page_part(gva, len)))
		return copy_pages(p, gva, buf, len, write);
	u8 *memory = memory_at(p, gva);

	if (!memory)
		return HYPAPI_EFAULT;
	copy_part(memory, buf, len, write);
	return HYPAPI_OK;
}

int partition_claim(u64 handle, const struct hypapp_descriptor *owner, struct percpu *cpu, struct partition **p)
{
	u32 nobody = 0;

	*p = partition_get(handle, owner);
	if (!*p)
		return HYPAPI_ESTALE;
	return atomic_compare_exchange_strong(&(*p)->runner, &nobody, cpu->index + 1) ? HYPAPI_OK : HYPAPI_EBUSY;
}

void partition_release(struct partition *p)
{
	atomic_store(&p->runner, 0);
}
