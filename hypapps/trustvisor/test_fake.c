/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake core of test_fake.h. */
#include "test_fake.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

const char HYPAPI_VERSION_SYMBOL[] = "fake";
uint32_t hypapi_partition_limit(void) { return 64; }
void hypapi_sim_unlock(struct hypapi_lock *lock) { lock->next = 0; }
struct fake fake;

void fake_reset(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.next_id = 1;
	fake.cpl = 3;
	for (uint32_t i = 0; i < FAKE_PAGES; i++)
		fake.pages[i] = (struct fake_page){ .rights = HYPAPI_RWX, .frame = i };
	fake.regs[HYPAPI_REG_RFLAGS] = 0x202;
}

void hypapi_sim_lock(struct hypapi_lock *lock, const char *name)
{
	void (*other)(void) = fake.on_lock;

	assert_non_null(name);
	assert_int_equal(lock->next, 0);
	fake.on_lock = NULL;
	if (other)
		other();
	lock->next = 1;
}

static struct fake_page *page_at(uint64_t gva)
{
	uint64_t index = (gva - FAKE_BASE) / HYPAPI_PAGE_SIZE;

	return gva >= FAKE_BASE && index < FAKE_PAGES ? &fake.pages[index] : NULL;
}

void *fake_mem(uint64_t gva)
{
	struct fake_page *page = page_at(gva);

	assert_non_null(page);
	return &fake.frames[page->frame][gva % HYPAPI_PAGE_SIZE];
}

static struct fake_partition *partition_of(hypapi_partition_t handle)
{
	if (handle.id == 0 || handle.id >= fake.next_id)
		return NULL;
	return fake.partitions[handle.id - 1].exists ? &fake.partitions[handle.id - 1] : NULL;
}

void *fake_partition_mem(uint64_t id, uint64_t gva)
{
	struct fake_partition *partition = partition_of((hypapi_partition_t){ id });

	for (size_t i = 0; partition && i < partition->count; i++)
		if (partition->pages[i].gva == (gva & HYPAPI_PAGE_MASK))
			return &fake.frames[partition->pages[i].frame][gva % HYPAPI_PAGE_SIZE];
	return NULL;
}

struct hypapi_event fake_event(uint32_t type, uint32_t level)
{
	return (struct hypapi_event){ .size = sizeof(struct hypapi_event), .major = HYPAPI_MAJOR, .type = type,
		.level = level, .long_mode = true, .cpl = fake.cpl, .eptp02.id = level == HYPAPI_L2 ? 7 : 0,
		.partition.id = fake.current };
}

enum hypapi_verdict fake_raise(const struct hypapp_descriptor *hypapp, struct hypapi_event *ev)
{
	for (int i = 0; i < HYPAPI_MAX_SUBSCRIPTIONS && hypapp->subscriptions[i].handler; i++)
		if (hypapp->subscriptions[i].type == ev->type) {
			ev->quiesce = ev->stopped = hypapp->subscriptions[i].quiesce;
			return hypapp->subscriptions[i].handler(ev);
		}
	fail_msg("nobody subscribed to event %u", ev->type);
	return HYPAPI_PASS;
}

/* ---- The calls ---- */

uint32_t hypapi_l2_hypercall_base(void)
{
	return 0x4c415000;
}

void hypapi_log(const char *format, ...)
{
	(void)format;
	fake.log_lines++;
}

uint32_t hypapi_features(void)
{
	return HYPAPI_FEATURE_PARTITIONS;
}

/* Other numbers in each test run would hide what a test finds once; other numbers in each call are what it is for. */
int hypapi_random(void *dst, size_t len_bytes)
{
	static uint64_t state = 1;

	assert_in_range(len_bytes, 1, 256);
	if (fake.no_random)
		return HYPAPI_ENOTSUP;
	for (size_t i = 0; i < len_bytes; i++) {
		state = state * 6364136223846793005 + 1442695040888963407;
		((uint8_t *)dst)[i] = (uint8_t)(state >> 33);
	}
	if (!fake.random_calls++ && len_bytes == sizeof(fake.first_random))
		memcpy(fake.first_random, dst, len_bytes);
	return HYPAPI_OK;
}

void hypapi_image_hash(uint8_t hash[32])
{
	memset(hash, 0x1a, 32);
}

int hypapi_quiesce(struct hypapi_event *ev)
{
	fake.stops++;
	ev->stopped = true;
	if (fake.on_quiesce)
		fake.on_quiesce();
	return fake.quiesce_answer;
}

int hypapi_may_stop(struct hypapi_event *ev)
{
	(void)ev;
	return fake.refusals == 0 || fake.refusals-- == 0;
}

const char *hypapi_option(const char *name)
{
	if (strcmp(name, "trustvisor.register") == 0)
		return fake.registering;
	if (strcmp(name, "trustvisor.l2") == 0)
		return fake.l2;
	return strcmp(name, "trustvisor.share-user") == 0 ? fake.share_user : NULL;
}

void *hypapi_cpu_storage(const struct hypapi_event *ev, uint32_t cpu)
{
	static _Alignas(16) uint8_t storage[HYPAPI_MAX_CPU_BYTES];

	(void)ev;
	assert_int_equal(cpu, 0);
	return storage;
}

uint64_t hypapi_reg_get(const struct hypapi_event *ev, enum hypapi_reg reg)
{
	(void)ev;
	return fake.current ? fake.pal_regs[reg] : fake.regs[reg];
}

int hypapi_reg_set(struct hypapi_event *ev, enum hypapi_reg reg, uint64_t value)
{
	(void)ev;
	if (reg == HYPAPI_REG_RIP)
		assert_true((uint64_t)((int64_t)(value << 16) >> 16) == value);
	*(fake.current ? &fake.pal_regs[reg] : &fake.regs[reg]) = value;
	return HYPAPI_OK;
}

int hypapi_regs_clear(struct hypapi_event *ev, uint32_t mask)
{
	assert_int_equal(mask & ~(0xffffu & ~(1u << HYPAPI_REG_RSP)), 0);
	for (int i = 0; i < 16; i++)
		if (mask >> i & 1)
			hypapi_reg_set(ev, (enum hypapi_reg)i, 0);
	return HYPAPI_OK;
}

int hypapi_inject(struct hypapi_event *ev, uint32_t vector, uint32_t error_code, gva_t cr2)
{
	(void)ev;
	assert_int_equal(fake.current, 0);
	assert_int_equal(fake.injected, 0);
	fake.injected = (int)vector;
	fake.injected_code = error_code;
	fake.injected_cr2 = cr2.addr;
	return HYPAPI_OK;
}

int hypapi_translate(const struct hypapi_event *ev, gva_t gva, uint32_t rights, struct hypapi_page *page)
{
	struct fake_page *found = page_at(gva.addr);

	assert_int_equal(fake.current, 0);
	if (!found || (found->rights & rights) != rights || !found->rights)
		return HYPAPI_EFAULT;
	if (ev->level == HYPAPI_L2 && fake.missing[found->frame])
		return HYPAPI_ENOTMAPPED;
	page->hpa = HPA(FAKE_HPA + found->frame * HYPAPI_PAGE_SIZE + gva.addr % HYPAPI_PAGE_SIZE);
	page->rights = found->rights;
	return fake.owner[found->frame] ? HYPAPI_EPERM : HYPAPI_OK;
}

/* L1 maps what it is asked for at once; a fault is noted, and the guest does nothing about it. */
int hypapi_page_in(struct hypapi_event *ev, gva_t gva, uint32_t rights)
{
	struct hypapi_page page;
	int rc = hypapi_translate(ev, gva, rights, &page);

	assert_false(ev->stopped);
	if (ev->type == HYPAPI_EV_PARTITION_EXIT)
		return HYPAPI_EINVAL;
	if (rc == HYPAPI_EPERM)
		return rc;
	if (rc == HYPAPI_OK)
		return 1;
	if (rc == HYPAPI_EFAULT)
		return hypapi_inject(ev, 14, (rights & HYPAPI_W ? 2 : 0) | (ev->cpl == 3 ? 4 : 0) |
				     (hypapi_translate(ev, gva, HYPAPI_R, &page) == HYPAPI_OK), gva);
	fake.missing[page_at(gva.addr)->frame] = false;
	fake.paged_in++;
	return HYPAPI_OK;
}

/*
 * Physical addresses of both levels are the frames', at FAKE_HPA; at L2 with the rights of the page with that number.
 */
static int frame_at(const struct hypapi_event *ev, uint64_t physical, uint32_t rights, uint32_t *frame)
{
	uint64_t index = (physical - FAKE_HPA) / HYPAPI_PAGE_SIZE;

	if (physical < FAKE_HPA || index >= FAKE_PAGES)
		return HYPAPI_EFAULT;
	if (ev->level == HYPAPI_L2 && (fake.pages[index].rights & rights) != rights)
		return HYPAPI_EFAULT;
	*frame = (uint32_t)index;
	return fake.owner[index] ? HYPAPI_EPERM : HYPAPI_OK;
}

int hypapi_ept_identity(const struct hypapi_event *ev, hypapi_ept_t ept, uint64_t *id)
{
	assert_int_equal(ept.id, ev->eptp02.id);
	*id = fake.no_ept12 ? 0 : 0x101e + fake.eptp12;
	return HYPAPI_OK;
}

int hypapi_vcpu_identity(const struct hypapi_event *ev, uint64_t *id)
{
	if (ev->level != HYPAPI_L2)
		return HYPAPI_ENOTSUP;
	*id = 0x7000 + fake.vmcs12;
	return HYPAPI_OK;
}

int hypapi_translate_gpa2(const struct hypapi_event *ev, gpa2_t gpa2, uint32_t rights, struct hypapi_page *page)
{
	uint32_t frame;
	int rc = frame_at(ev, gpa2.addr, rights, &frame);

	assert_int_equal(ev->level, HYPAPI_L2);
	if (rc != HYPAPI_EFAULT)
		*page = (struct hypapi_page){ .hpa = HPA(gpa2.addr), .gpa1 = GPA1(gpa2.addr + fake.l2_moved),
					      .gpa2 = gpa2 };
	return rc;
}

int hypapi_copy_from_gpa1(const struct hypapi_event *ev, void *dst, gpa1_t src, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i++) {
		uint32_t frame;

		if (frame_at(ev, src.addr + i, 0, &frame) != HYPAPI_OK)
			return HYPAPI_EPERM;
		((uint8_t *)dst)[i] = fake.frames[frame][(src.addr + i) % HYPAPI_PAGE_SIZE];
	}
	return HYPAPI_OK;
}

static int copy(const struct hypapi_event *ev, uint64_t gva, uint8_t *bytes, size_t len, uint32_t rights)
{
	struct hypapi_page page;

	if (gva + len < gva || len > 1 << 20)
		return HYPAPI_EINVAL;
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < len; i++) {
			int rc = hypapi_translate(ev, GVA(gva + i), rights, &page);

			if (rc != HYPAPI_OK)
				return rc;
			if (pass == 1 && rights == HYPAPI_R)
				bytes[i] = *(uint8_t *)fake_mem(gva + i);
			else if (pass == 1)
				*(uint8_t *)fake_mem(gva + i) = bytes[i];
		}
	return HYPAPI_OK;
}

int hypapi_copy_from(const struct hypapi_event *ev, void *dst, gva_t src, size_t len_bytes)
{
	return copy(ev, src.addr, dst, len_bytes, HYPAPI_R);
}

int hypapi_copy_to(const struct hypapi_event *ev, gva_t dst, const void *src, size_t len_bytes)
{
	return copy(ev, dst.addr, (uint8_t *)src, len_bytes, HYPAPI_W);
}

int hypapi_partition_add_memory(struct hypapi_event *ev, hypapi_partition_t partition, const gva_t *pages,
				size_t page_count, uint32_t rights)
{
	struct fake_partition *p = partition_of(partition);

	(void)ev;
	assert_non_null(p);
	assert_false(p->running);
	for (size_t i = 0; i < page_count; i++)
		if (fake_partition_mem(partition.id, pages[i].addr))
			return HYPAPI_EINVAL;
	if (fake.memory_answer != HYPAPI_OK)
		return fake.memory_answer;
	assert_in_range(fake.own_used + page_count, 1, FAKE_OWN);
	for (size_t i = 0; i < page_count; i++, p->count++) {
		p->pages[p->count].gva = pages[i].addr;
		p->pages[p->count].rights = rights;
		p->pages[p->count].frame = FAKE_PAGES + fake.own_used++;
	}
	return HYPAPI_OK;
}

int hypapi_partition_add_fpu(struct hypapi_event *ev, hypapi_partition_t partition)
{
	if (!ev->stopped)
		return HYPAPI_ESTATE;
	assert_true(fake.partitions[partition.id - 1].exists);
	fake.partitions[partition.id - 1].fpu = fake.fpu_answer == HYPAPI_OK;
	return fake.fpu_answer;
}

int hypapi_partition_create(struct hypapi_event *ev, const struct hypapi_partition_page *pages, size_t page_count,
			    hypapi_partition_t *partition)
{
	struct fake_partition *made = &fake.partitions[fake.next_id - 1];

	if (!ev->stopped)
		return HYPAPI_ESTATE;
	assert_in_range(page_count, 1, 512);
	assert_true(fake.next_id <= FAKE_PARTITIONS);
	for (size_t i = 0; i < page_count; i++) {
		uint32_t rights = pages[i].rights & HYPAPI_RWX;
		uint32_t needed = rights | (pages[i].rights & HYPAPI_CALLER_WRITES ? HYPAPI_W : 0), frame;
		struct hypapi_page page;
		int rc;

		if (pages[i].rights & HYPAPI_FRAME) {
			page.hpa = HPA((uint64_t)pages[i].frame * HYPAPI_PAGE_SIZE);
			rc = frame_at(ev, page.hpa.addr, needed, &frame) ? HYPAPI_EPERM : HYPAPI_OK;
		} else {
			rc = hypapi_translate(ev, pages[i].gva, needed, &page);
		}
		if (rc != HYPAPI_OK)
			return rc == HYPAPI_ENOTMAPPED ? HYPAPI_EPERM : rc;
		made->pages[i].gva = pages[i].gva.addr;
		made->pages[i].rights = rights;
		if (pages[i].rights & HYPAPI_HOME) {
			made->home = pages[i].gva.addr;
			made->home_frame = (uint32_t)((page.hpa.addr - FAKE_HPA) / HYPAPI_PAGE_SIZE);
		}
		made->pages[i].frame = (uint32_t)((page.hpa.addr - FAKE_HPA) / HYPAPI_PAGE_SIZE);
		for (size_t j = 0; j < i; j++)
			if (made->pages[j].frame == made->pages[i].frame)
				return HYPAPI_EPERM;
	}
	made->count = page_count;
	made->exists = true;
	partition->id = fake.next_id++;
	for (size_t i = 0; i < page_count; i++)
		fake.owner[made->pages[i].frame] = partition->id;
	return HYPAPI_OK;
}

static bool is_home(const struct hypapi_event *ev, const struct fake_partition *partition)
{
	struct hypapi_page page;

	return partition->home && hypapi_translate(ev, GVA(partition->home), HYPAPI_R, &page) == HYPAPI_EPERM &&
	       page.hpa.addr == FAKE_HPA + partition->home_frame * HYPAPI_PAGE_SIZE;
}

int hypapi_partition_at_home(const struct hypapi_event *ev, hypapi_partition_t handle)
{
	const struct fake_partition *partition = partition_of(handle);

	if (!partition)
		return HYPAPI_ESTALE;
	if (is_home(ev, partition))
		return HYPAPI_OK;
	if (fake.on_not_home)
		fake.on_not_home();
	return HYPAPI_EFAULT;
}

int hypapi_partition_destroy(struct hypapi_event *ev, hypapi_partition_t handle)
{
	struct fake_partition *partition = partition_of(handle);

	(void)ev;
	if (!partition)
		return HYPAPI_ESTALE;
	if (partition->running)
		return HYPAPI_EBUSY;
	for (size_t i = 0; i < partition->count; i++) {
		if (partition->pages[i].rights & HYPAPI_W)
			memset(fake.frames[partition->pages[i].frame], 0, HYPAPI_PAGE_SIZE);
		fake.owner[partition->pages[i].frame] = 0;
	}
	partition->exists = false;
	return HYPAPI_OK;
}

int hypapi_partition_read(const struct hypapi_event *ev, hypapi_partition_t partition, void *dst, gva_t src,
			  size_t len_bytes)
{
	(void)ev;
	for (size_t i = 0; i < len_bytes; i++) {
		uint8_t *at = fake_partition_mem(partition.id, src.addr + i);

		if (!at)
			return HYPAPI_EFAULT;
		((uint8_t *)dst)[i] = *at;
	}
	return HYPAPI_OK;
}

int hypapi_partition_write(const struct hypapi_event *ev, hypapi_partition_t partition, gva_t dst, const void *src,
			   size_t len_bytes)
{
	(void)ev;
	for (size_t i = 0; i < len_bytes; i++) {
		uint8_t *at = fake_partition_mem(partition.id, dst.addr + i);

		if (!at)
			return HYPAPI_EFAULT;
		*at = ((const uint8_t *)src)[i];
	}
	return HYPAPI_OK;
}

int hypapi_partition_enter(struct hypapi_event *ev, hypapi_partition_t handle,
			   const struct hypapi_partition_entry *entry)
{
	struct fake_partition *partition = partition_of(handle);

	if (!partition)
		return HYPAPI_ESTALE;
	assert_false(partition->running);
	assert_int_equal(fake.current, 0);
	partition->running = true;
	fake.current = handle.id;
	ev->partition = handle;
	memset(fake.pal_regs, 0, sizeof(fake.pal_regs));
	memcpy(fake.pal_regs, entry->gpr, sizeof(entry->gpr));
	fake.pal_regs[HYPAPI_REG_RIP] = entry->rip;
	return HYPAPI_OK;
}

int hypapi_partition_leave(struct hypapi_event *ev)
{
	if (!fake.current)
		return HYPAPI_ESTATE;
	fake.partitions[fake.current - 1].running = false;
	fake.current = 0;
	ev->partition.id = 0;
	return HYPAPI_OK;
}
