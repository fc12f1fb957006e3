/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT02 by random work, against a model of what the manual lets a CPU do: an access goes by EPT12 as it was at some
 * moment since the last INVEPT, with the flags that it had then, and by EPT01 as it is now. From the violation on the
 * core's own code runs; the machine is L1's memory, hardware's walk of EPT02, and a TLB that forgets when told to.
 *
 * Usage: nested_ept02_model [SEEDS [FIRST]]
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot/boot_info.h"
#include "cpu/spinlock.h"
#include "iommu/iommu.h"
#include "mem/ept01.h"
#include "mem/mtrr.h"
#include "mem/pages.h"
#include "mem/phys_bits.h"
#include "nested/state.h"
#include "report/log.h"
#include "vmx/vmx.h"

#define SEEDS 64
#define STEPS 4000
#define RAM_END (64ul << 20)
#define POOL_BYTES (8ul << 20)
#define POOL_PAGES 13 /* of EPT02: four roots, and fewer tables than L2's pages want */
#define OWNER 5       /* the partition that takes pages */
#define APP 1         /* the hypapp that restricts them */

/* L2's pages and those of L1 that they lead to: in four regions of 2 MiB each, at these places. */
enum { REGIONS = 4, PLACES = 8, PAGES = REGIONS * PLACES };
static const u64 places[PLACES] = { 0, 1, 2, 30, 31, 32, 200, 511 };

/* EPT12s in L1's memory, and the tables of one: of level 4, of level 3, two of level 2, four of level 1. */
enum { SPACES = 5, TABLES = 8, LEVEL3 = 1, LEVEL2 = 2, LEVEL1 = 4 };
#define EPT12_AT (16ul << 20)
#define LOG_AT (12ul << 20)
#define DATA_AT (32ul << 20)

u64 machine_direct_map, vmx_ept_vpid_cap = EPTCAP_EXEC_ONLY | EPTCAP_2M;
struct boot_info boot_info;
struct nested_caps nested_caps;
static struct percpu self;
static struct nested_cpu nested;
static struct vmcs12 *const v = &nested.active[0].vmcs12;
static struct world l1 = { .mode = RUN_L1 };
static struct ept02_used used[POOL_PAGES];
static u32 seed, step;

static _Noreturn void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("seed %u, step %u: ", seed, step);
	vprintf(format, arguments);
	printf("\n");
	exit(1);
}

#define expect(condition, ...) ((condition) ? (void)0 : fail(__VA_ARGS__))

static u32 pick(u32 count)
{
	return (u32)random() % count;
}

/* ---- The machine ---- */

/* What the CPU may keep: leaves of 4 KiB, and where the tables of such leaves are; 0: nothing. */
static u64 tlb[EPT02_ROOTS][PAGES], ways[EPT02_ROOTS][REGIONS];
static u64 missed_gpa2, missed_qualification;
enum outcome { AGAIN = 1000, NOT_L1S };
static u32 outcome; /* one of these, or the reason of an exit to L1 */

struct cpuid_regs machine_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	return (struct cpuid_regs){ .eax = leaf == 0x80000008 ? 46 : 0 };
}

bool vmx_vmread(u32 field, u64 *value)
{
	*value = field == VMCS_GUEST_PHYS_ADDR ? missed_gpa2 :
		 field == VMCS_EXIT_QUALIFICATION ? missed_qualification : 0;
	return true;
}

bool machine_invept(enum invept_type type, u64 eptp)
{
	for (u32 root = 0; root < nested.ept02.root_count; root++)
		if (type == INVEPT_ALL || !((ept02_pointer(&nested.ept02, root) ^ eptp) & EPT_ADDR)) {
			memset(tlb[root], 0, sizeof(tlb[root]));
			memset(ways[root], 0, sizeof(ways[root]));
		}
	return true;
}

void world_set_ept(struct world *w, u64 eptp, u64 ept)
{
	w->eptp = eptp;
	w->ept = ept;
}

int mtrr_type(u64 start, u64 size) { return start + size <= RAM_END ? MTRR_WB : start < RAM_END ? -1 : 0; }
bool rdmsr_safe(u32 msr, u64 *value) { return *value = msr, false; }
void *machine_self(void) { return &self; }
void machine_relax(void) { }
void percpu_locks_add(int change) { (void)change; }
void lock_taking(const void *lock, const char *name) { (void)lock, (void)name; }
void lock_left(const void *lock) { (void)lock; }
bool machine_flush_removed(struct flush_site *site) { return (void)site, false; }
bool iommu_prepare(u64 page) { return page; }
bool iommu_set(u64 start, u64 end, u64 rights) { return (void)start, (void)end, (void)rights, true; }
bool (iommu_flush)(void) { return true; }
void (quiesce_add_work)(struct quiesce_cpu *quiesce, u32 work) { quiesce->work |= work; }
void panic(const char *format, ...) { fail("panic: %s", format); }
void boot_refuse(const char *format, ...) { fail("refused: %s", format); }
void nested_reflect(struct percpu *cpu) { (void)cpu, outcome = v->exit_reason; }
void nested_reflect_hardware(struct percpu *cpu, u32 reason) { (void)cpu, outcome = reason; }
void vmx_requeue_access(u64 qualification) { (void)qualification, outcome = AGAIN; }
void vmx_violation(struct percpu *cpu, gpa1_t gpa1, gpa2_t gpa2, u64 qualification)
{
	(void)cpu, (void)gpa1, (void)gpa2, (void)qualification;
	outcome = NOT_L1S;
}

/*
 * The leaf of EPT02 for a page of L2, as one of 4 KiB; 0: none. With flags in use the CPU sets them in it. Half of the
 * walks begin at what is kept for the region, which a violation drops.
 */
static u64 hardware_walk(u32 root, u64 gpa2, u64 *way, u32 want)
{
	u64 entry = ept02_pointer(&nested.ept02, root) | EPT_RIGHTS, rights = EPT_RIGHTS;
	unsigned int level = EPT_LEVELS + 1;

	if (*way && pick(2))
		entry = *way, level = 2;
	else
		*way = 0;
	do {
		u64 *at = (u64 *)phys_to_virt(HPA(entry & EPT_ADDR)) + ept_index(gpa2, --level);

		rights &= entry = *at;
		if ((rights & want) != want)
			return *way = 0;
		if (v->eptp & EPTP_AD)
			*at |= EPT_ACCESSED;
		if (level == 2 && !(entry & EPT_LARGE))
			*way = entry;
	} while (level > 1 && !(entry & EPT_LARGE));
	u64 offset = LEVEL_SIZE(level) - 1;

	return (entry & EPT_ADDR & ~offset) | (gpa2 & offset) | (entry & (EPT_TYPE | EPT_IGNORE_PAT)) | rights;
}

/* ---- The model of EPT12 ---- */

enum found { MAPPED, ABSENT, MALFORMED };

/* What the walk of a page came to, at some moment. */
struct seen {
	u64 page, type;
	u32 rights;
	bool accessed, dirty;
};

struct way {
	u64 *at[EPT_LEVELS];
	u32 depth;
};

/* All that the walks of a page came to since the last INVEPT. */
enum { DEEP = 16 };
static struct { struct seen seen[DEEP]; u32 count; } past[SPACES][PAGES];

static u64 gpa2_of(u32 page)
{
	u32 region = page / PLACES;

	return region / 2 * SIZE_1G + DATA_AT + region % 2 * SIZE_2M + places[page % PLACES] * PAGE_SIZE;
}

static u64 data_page(u32 page)
{
	return DATA_AT + page / PLACES * SIZE_2M + places[page % PLACES] * PAGE_SIZE;
}

static u64 table_at(u32 space, u32 table)
{
	return EPT12_AT + (space * TABLES + table) * PAGE_SIZE;
}

static u64 *table_of(u32 space, u32 table)
{
	return phys_to_virt(HPA(table_at(space, table)));
}

static bool is_malformed(u64 entry, bool leaf, unsigned int level)
{
	u64 type = (entry & EPT_TYPE) >> EPT_TYPE_SHIFT;

	if ((entry & EPT_RIGHTS) == HYPAPI_W || (entry & EPT_RIGHTS) == (HYPAPI_W | HYPAPI_X))
		return true;
	if (!leaf)
		return entry & BITS(7, 3);
	return type == 2 || type == 3 || type == 7 || (entry & EPT_ADDR & (LEVEL_SIZE(level) - 1));
}

static enum found walk(u32 space, u32 page, struct seen *s, struct way *way)
{
	u64 gpa2 = gpa2_of(page), *table = table_of(space, 0);

	memset(s, 0, sizeof(*s)); /* what is between the members is compared, too */
	s->accessed = true;
	s->rights = EPT_RIGHTS;
	way->depth = 0;
	for (unsigned int level = EPT_LEVELS;; level--) {
		u64 *at = &table[ept_index(gpa2, level)], entry = *at, offset = LEVEL_SIZE(level) - 1;
		bool leaf = level == 1 || (level < 4 && (entry & EPT_LARGE));

		way->at[way->depth++] = at;
		s->rights &= (u32)(entry & EPT_RIGHTS);
		s->accessed &= (entry & EPT_ACCESSED) != 0;
		if (!(entry & EPT_RIGHTS))
			return ABSENT;
		if (is_malformed(entry, leaf, level))
			return MALFORMED;
		if (leaf) {
			s->page = (entry & EPT_ADDR) | (gpa2 & offset);
			s->type = entry & (EPT_TYPE | EPT_IGNORE_PAT);
			s->dirty = entry & EPT_DIRTY;
			return MAPPED;
		}
		table = phys_to_virt(HPA(entry & EPT_ADDR));
	}
}

static void forget(u32 space)
{
	for (u32 page = 0; page < PAGES; page++)
		past[space][page].count = 0;
}

static void invept_one(u32 space);

/* After each change of EPT12, whoever made it. */
static void note(u32 space)
{
	bool full = false;

	for (u32 page = 0; page < PAGES; page++) {
		struct seen *seen = past[space][page].seen, now;
		u32 count = past[space][page].count;
		struct way way;

		if (walk(space, page, &now, &way) != MAPPED ||
		    (count && !memcmp(&seen[count - 1], &now, sizeof(now))))
			continue;
		seen[count] = now;
		past[space][page].count = count + 1;
		full |= count + 1 == DEEP;
	}
	if (full)
		invept_one(space);
}

static void invept_one(u32 space)
{
	(void)nested_invept(&self, INVEPT_SINGLE, table_at(space, 0) | EPTP_WALK_4 | EPT_TYPE_WB);
	forget(space);
	note(space);
}

static void invept_every(void)
{
	(void)nested_invept(&self, INVEPT_ALL, 0);
	for (u32 space = 0; space < SPACES; space++) {
		forget(space);
		note(space);
	}
}

/* ---- The model of EPT01: what L1 has of its data pages ---- */

static struct { u32 rights; bool taken; } own[PAGES];

static u32 number_of(u64 page)
{
	for (u32 i = 0; i < PAGES; i++)
		if (data_page(i) == page)
			return i;
	fail("page 0x%lx is no data", page);
}

static u64 leads_to(u64 page)
{
	return own[number_of(page)].taken ? ept01_stand_ins + (2 * OWNER - 1) * PAGE_SIZE : page;
}

static void change01(u32 page)
{
	static const u32 rights[] = { 0, HYPAPI_R, HYPAPI_RW, HYPAPI_RX, HYPAPI_RWX, HYPAPI_RWX };
	u64 at = data_page(page);

	if (own[page].taken) {
		ept01_give(&at, 1);
		own[page].taken = false;
		own[page].rights = HYPAPI_RWX;
	} else if (own[page].rights == HYPAPI_RWX && pick(2)) {
		expect(ept01_claim(GPA1(at)) == HYPAPI_OK && ept01_take(OWNER, &at, 1) == HYPAPI_OK, "no take");
		own[page].taken = true;
		own[page].rights = HYPAPI_R;
	} else {
		own[page].rights = rights[pick(ARRAY_SIZE(rights))];
		expect(ept01_check_restrict(GPA1(at), APP) == HYPAPI_OK &&
		       ept01_restrict(GPA1(at), 1, own[page].rights, APP) == HYPAPI_OK, "no restriction");
	}
}

/* As quiesce_hook_flush() has it; while L2 runs here, or L1. */
static void stop(void)
{
	self.quiesce.depth = 1;
	for (u32 changes = pick(16) ? 1 + pick(3) : 2 * EPT01_LOSSES; changes; changes--)
		change01(pick(PAGES));
	self.quiesce.depth = 0;
	self.world = pick(4) ? &nested.current->l2 : &l1;
	nested.current->pages_since = ept01_generation;
	if (self.quiesce.work & QUIESCE_FLUSH_EPT02)
		nested_drop_ept02(&self);
	if (self.quiesce.work)
		flush_ept(INVEPT_ALL, 0);
	self.quiesce.work = 0;
	self.world = &nested.current->l2;
}

/* ---- L1 ---- */

static u64 some_flags(void)
{
	static const u64 flags[] = { 0, EPT_ACCESSED, EPT_ACCESSED | EPT_DIRTY, EPT_ACCESSED | EPT_DIRTY };

	return flags[pick(ARRAY_SIZE(flags))];
}

static u64 some_rights(void)
{
	static const u8 rights[] = { HYPAPI_R, HYPAPI_RX, HYPAPI_RW, HYPAPI_X, HYPAPI_W, 0 };

	return pick(3) ? HYPAPI_RWX : rights[pick(ARRAY_SIZE(rights))];
}

static u64 some_leaf(u64 page)
{
	u64 type = pick(8) ? EPT_WB : (u64)pick(8) << EPT_TYPE_SHIFT;

	return page | some_rights() | type | (pick(8) ? 0 : EPT_IGNORE_PAT) | some_flags();
}

static u64 to_table(u32 space, u32 table)
{
	return table_at(space, table) | (pick(8) ? HYPAPI_RWX : some_rights()) | some_flags();
}

/* Pages that are in a row, as most are. */
static void map_row(u32 space, u32 table, u32 region)
{
	for (u32 i = 0; i < PLACES; i++)
		table_of(space, table)[places[i]] = data_page(region * PLACES + i) | HYPAPI_RWX | EPT_WB |
						    EPT_ACCESSED | EPT_DIRTY;
}

static void edit(u32 space)
{
	u64 *small = &table_of(space, LEVEL1 + pick(4))[places[pick(PLACES)]];
	u64 *middle = &table_of(space, LEVEL2 + pick(2))[DATA_AT / SIZE_2M + pick(2)];

	switch (pick(10)) {
	case 0: *small = 0; break;
	case 1: *small ^= some_flags(); break;
	case 2: *middle ^= some_flags() & EPT_ACCESSED; break;
	case 3: *middle = some_leaf(DATA_AT + pick(REGIONS) * SIZE_2M) | EPT_LARGE; break;
	case 4: *middle = to_table(space, LEVEL1 + pick(4)); break;
	case 5: map_row(space, LEVEL1 + pick(4), pick(REGIONS)); break;
	case 6:
		table_of(space, LEVEL3)[pick(2)] = pick(4) ? to_table(space, LEVEL2 + pick(2)) :
							     some_leaf(0) | EPT_LARGE;
		break;
	case 7: table_of(space, 0)[0] = to_table(space, LEVEL3); break;
	default: *small = some_leaf(data_page(pick(PAGES)));
	}
	note(space);
}

static void build(u32 space)
{
	memset(table_of(space, 0), 0, TABLES * PAGE_SIZE);
	table_of(space, 0)[0] = table_at(space, LEVEL3) | HYPAPI_RWX;
	for (u32 i = 0; i < 2; i++)
		table_of(space, LEVEL3)[i] = table_at(space, LEVEL2 + i) | HYPAPI_RWX;
	for (u32 i = 0; i < REGIONS; i++) {
		table_of(space, LEVEL2 + i / 2)[DATA_AT / SIZE_2M + i % 2] = table_at(space, LEVEL1 + i) | HYPAPI_RWX;
		map_row(space, LEVEL1 + i, i);
	}
	forget(space);
	note(space);
}

/* Some space, with flags in its odd ones, and in the first one at times. */
static void enter(void)
{
	u32 space = pick(SPACES);

	v->eptp = table_at(space, 0) | EPTP_WALK_4 | EPT_TYPE_WB | (space % 2 || (!space && pick(2)) ? EPTP_AD : 0);
	v->proc2_ctls = PROC2_EPT | (pick(2) ? PROC2_PML : 0);
	v->pml_index = (u16)(pick(4) ? pick(PML_ENTRIES) : pick(2) - 1);
	nested_select_ept02(&self);
}

/* ---- L2 ---- */

static u32 space_now(void)
{
	return (u32)(((v->eptp & EPT_ADDR) - EPT12_AT) / PAGE_SIZE / TABLES);
}

/* What L0 may have written meanwhile: flags on the way to a page, and in the log what became dirty. */
struct before {
	u64 tables[TABLES * 512];
	u16 index;
};

static void remember(struct before *b)
{
	memcpy(b->tables, table_of(space_now(), 0), sizeof(b->tables));
	b->index = v->pml_index;
}

static void look_for_writes(struct before *b, u32 page, bool accessed, bool dirty)
{
	u64 *tables = table_of(space_now(), 0), *log = phys_to_virt(HPA(LOG_AT));
	bool logged = false;
	struct seen s;
	struct way way;

	(void)walk(space_now(), page, &s, &way);
	for (u32 i = 0; i < way.depth && (v->eptp & EPTP_AD); i++) {
		u64 *old = &b->tables[way.at[i] - tables], set = *way.at[i] & ~*old;

		logged |= (set & EPT_DIRTY) && vmcs12_logs_writes(v);
		*old |= set & ((accessed ? EPT_ACCESSED : 0) | (dirty && i == way.depth - 1 ? EPT_DIRTY : 0));
	}
	expect(!memcmp(b->tables, tables, sizeof(b->tables)), "page %u: EPT12 was written", page);
	expect(v->pml_index == (u16)(b->index - logged), "page %u: index of the log 0x%x", page, v->pml_index);
	expect(!logged || log[b->index] == gpa2_of(page), "page %u is not in the log", page);
	note(space_now());
}

static bool may_be(const struct seen *s, u32 want, u64 got)
{
	if ((s->rights & want) != want || s->type != (got & (EPT_TYPE | EPT_IGNORE_PAT)))
		return false;
	if ((v->eptp & EPTP_AD) && (!s->accessed || ((want & HYPAPI_W) && !s->dirty)))
		return false;
	return leads_to(s->page) == (got & EPT_ADDR) && (own[number_of(s->page)].rights & want) == want;
}

static void judge_access(u32 page, u32 want, u64 got)
{
	u32 space = space_now();

	for (u32 i = past[space][page].count; i--;)
		if (may_be(&past[space][page].seen[i], want, got))
			return;
	fail("page %u: access %u by 0x%lx, EPTP12 0x%lx", page, want, got, v->eptp);
}

static void judge_exit(u32 page, u32 want)
{
	enum found found;
	struct seen s;
	struct way way;

	found = walk(space_now(), page, &s, &way);
	bool allowed = found == MAPPED && (s.rights & want) == want;
	bool unset = (v->eptp & EPTP_AD) && (!s.accessed || ((want & HYPAPI_W) && !s.dirty));
	bool right = outcome == EXIT_EPT_VIOLATION ? found == ABSENT || (found == MAPPED && !allowed) :
		     outcome == EXIT_EPT_MISCONFIG ? found == MALFORMED :
		     outcome == EXIT_PML_FULL ? allowed && unset && v->pml_index >= PML_ENTRIES :
		     allowed && (own[number_of(s.page)].rights & want) != want;

	expect(right, "page %u: access %u came to %u, EPTP12 0x%lx", page, want, outcome, v->eptp);
}

static void violation(u32 page, u32 want)
{
	missed_gpa2 = gpa2_of(page);
	missed_qualification = want;
	self.exit_reason = EXIT_EPT_VIOLATION;
	nested_ept_fault(&self);
}

static void touch(u32 page, u32 want)
{
	u32 root = nested.current->root;
	u64 *cached = &tlb[root][page];
	static struct before before;

	remember(&before);
	outcome = AGAIN;
	for (u32 tries = 0; outcome == AGAIN; tries++) {
		expect(tries < 3, "page %u: access %u comes again and again", page, want);
		if ((*cached & want) != want || !pick(8))
			*cached = hardware_walk(root, gpa2_of(page), &ways[root][page / PLACES], want);
		if (*cached) {
			look_for_writes(&before, page, true, want & HYPAPI_W);
			judge_access(page, want, *cached);
			return;
		}
		violation(page, want);
	}
	judge_exit(page, want);
	look_for_writes(&before, page, false, false);
}

/* L1 has had its exit; it may have mended EPT12. */
static void refill(void)
{
	static struct before before;

	remember(&before);
	for (u32 page = 0; page < PAGES && nested.missed.access; page++)
		if (gpa2_of(page) == nested.missed.gpa2.addr) {
			nested_refill(&self);
			look_for_writes(&before, page, true, false);
		}
}

/* ---- Stories ---- */

static void boot(void)
{
	machine_direct_map = (u64)mmap(NULL, RAM_END, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	memory_map_add(0, RAM_END, MEMORY_RAM);
	root_end = RAM_END;
	root_start = RAM_END - POOL_BYTES;
	memory_map_set(root_start, root_end, MEMORY_RESERVED);
	pages_init(HPA(root_start));
	ept01_init(OWNER);
	ept01_map_all(RAM_END);
	self.quiesce.online = true;
	self.nested = &nested;
	self.world = &nested.active[0].l2;
	NESTED_CAP(&nested_caps, EPT_VPID_CAP) = EPTCAP_EXEC_ONLY | EPTCAP_2M | EPTCAP_1G | EPTCAP_AD;
	nested_caps.phys_reserved = BITS(51, 46);
	nested.current = &nested.active[0];
	nested.active[0].l2.mode = RUN_L2;
	nested.ept02_since = ept01_generation;
	ept02_init(&nested.ept02, pages_boot_alloc(POOL_PAGES), used, POOL_PAGES);
	v->proc_ctls = PROC_SECONDARY;
	v->pml_addr = LOG_AT;
}

static void story(void)
{
	static const u32 wants[] = { HYPAPI_R, HYPAPI_W, HYPAPI_X };
	u32 region = 0, emptied = 0;

	boot();
	srandom(seed);
	for (u32 space = 0; space < SPACES; space++)
		build(space);
	for (u32 page = 0; page < PAGES; page++)
		own[page].rights = HYPAPI_RWX;
	enter();
	for (step = 0; step < STEPS; step++) {
		u32 what = pick(100);

		if (what < 65)
			touch(region * PLACES + pick(PLACES), wants[pick(3)]);
		else if (what < 72)
			region = pick(REGIONS);
		else if (what < 82)
			edit(pick(2) ? space_now() : pick(SPACES));
		else if (what < 88)
			invept_one(pick(2) ? space_now() : pick(SPACES));
		else if (what < 89)
			invept_every();
		else if (what < 93)
			stop();
		else if (what < 97)
			enter();
		else
			refill();
		emptied += nested.pool_emptied;
		nested.pool_emptied = false;
	}
	expect(emptied > 3, "the pool started over %u times", emptied);
}

/* A process each, so that a story is the same whichever were told before. */
int main(int argc, char **argv)
{
	u32 count = argc > 1 ? (u32)atoi(argv[1]) : SEEDS, first = argc > 2 ? (u32)atoi(argv[2]) : 1;
	int status;

	for (seed = first; seed < first + count; seed++) {
		pid_t child = fork();

		if (!child) {
			story();
			_exit(0);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status) {
			printf("seed %u failed; again: %s 1 %u\n", seed, argv[0], seed);
			return 1;
		}
	}
	printf("%u seeds of %u steps\n", count, STEPS);
	return 0;
}
