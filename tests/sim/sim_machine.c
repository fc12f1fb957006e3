/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulator itself: what its machine does without a hypapp, and that each kind of event reaches one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

enum { UD = 6, GP = 13, PF = 14, EXIT_CPUID = 10, EXIT_HLT = 12, EXIT_VIOLATION = 48, ALL = HYPAPI_RWX };
enum { EXIT_VMFUNC = 59, PROC2_VMFUNC = 1 << 13, VMFUNC_EPTP_SWITCHING = 1 };
enum { PORT = 0x510, MSR = 0x1234, LEAF = 0x40000123, OFFER = 5000 };
enum { NUMBER = 0x77, KILL, DENY, WINDOWS, POST, STOP_EPT, COPY_TO, COPY_FROM, COPY_TO_GPA1, GUARD, SHUT, COPY_TWICE,
       COPY_MOVED, PAGE_IN, TWO_NMIS };
enum { VECTOR_TAKEN = 0x41, SLP_EN = 1 << 13, S3 = 3 };
#define MTRR_DEF_TYPE 0x2ff
#define VMCS_EPTP 0x201a
#define VMCS_VM_FUNCTION_CONTROLS 0x2018
#define VMCS_EPTP_LIST_ADDR 0x2024
#define VMCS_PROC_CTLS 0x4002
#define PROC_SECONDARY (1u << 31)
#define VMCS_PROC2_CTLS 0x401e
#define VMCS_GUEST_CR3 0x6802
#define VMCS_EXIT_INSN_INFO 0x440e
#define VMCS_GUEST_LINEAR_ADDR 0x640a
#define EPTP_WB 6
#define EPTP_AD (1 << 6)

/* ---- A hypapp that answers everything it claims with a mark ---- */

static uint32_t told[HYPAPI_EV_COUNT]; /* atomic */

static enum hypapi_verdict on_any(struct hypapi_event *ev)
{
	__atomic_add_fetch(&told[ev->type], 1, __ATOMIC_RELAXED);
	return HYPAPI_PASS;
}

static uint64_t rip_at_root[HYPAPI_MAX_CPUS]; /* of each CPU, at the newest EPT02_ROOT */

static enum hypapi_verdict on_root(struct hypapi_event *ev)
{
	rip_at_root[ev->cpu] = hypapi_reg_get(ev, HYPAPI_REG_RIP);
	return on_any(ev);
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	on_any(ev);
	hypapi_reg_set(ev, HYPAPI_REG_RAX, ev->level);
	return ev->args.hypercall.number == KILL ? HYPAPI_KILL : ev->args.hypercall.number == DENY ? HYPAPI_DENY :
	       HYPAPI_HANDLED;
}

static enum hypapi_verdict on_interrupt(struct hypapi_event *ev)
{
	on_any(ev);
	if (ev->args.interrupt.vector == VECTOR_TAKEN)
		return HYPAPI_HANDLED;
	hypapi_reg_set(ev, HYPAPI_REG_RFLAGS, 0); /* IF stays: the guest has to take it */
	return HYPAPI_PASS;
}

static enum hypapi_verdict on_sleep(struct hypapi_event *ev)
{
	on_any(ev);
	return ev->phase == HYPAPI_PREPARE ? HYPAPI_DENY : HYPAPI_PASS;
}

static enum hypapi_verdict on_cpuid(struct hypapi_event *ev)
{
	on_any(ev);
	hypapi_reg_set(ev, HYPAPI_REG_RAX, OFFER + ev->level);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_port(struct hypapi_event *ev)
{
	on_any(ev);
	ev->args.port_io.value = OFFER + ev->level;
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict on_msr(struct hypapi_event *ev)
{
	on_any(ev);
	ev->args.msr.value = OFFER + ev->level;
	return ev->args.msr.write ? HYPAPI_DENY : HYPAPI_HANDLED;
}

HYPAPP_DEFINE(probe,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_any },
		{ .type = HYPAPI_EV_CPU_INIT, .handler = on_any },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_CPUID, .levels = HYPAPI_LEVELS_GUEST, .handler = on_cpuid },
		{ .type = HYPAPI_EV_PORT_IO, .levels = HYPAPI_LEVELS_GUEST, .handler = on_port },
		{ .type = HYPAPI_EV_MSR, .levels = HYPAPI_LEVELS_GUEST, .handler = on_msr },
		{ .type = HYPAPI_EV_MTRR, .handler = on_any },
		{ .type = HYPAPI_EV_EXIT102, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = on_any },
		{ .type = HYPAPI_EV_EXIT201, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L1), .handler = on_any },
		{ .type = HYPAPI_EV_EXIT202, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = on_any },
		{ .type = HYPAPI_EV_EPT02_ROOT, .levels = HYPAPI_LEVEL_BIT(HYPAPI_L2), .handler = on_root },
		{ .type = HYPAPI_EV_RESET, .handler = on_any },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = NUMBER, .last = DENY },
		{ .kind = HYPAPI_CLAIM_CPUID, .levels = HYPAPI_LEVELS_GUEST, .first = LEAF, .last = LEAF },
		{ .kind = HYPAPI_CLAIM_PORT, .levels = HYPAPI_LEVELS_GUEST, .first = PORT, .last = PORT },
		{ .kind = HYPAPI_CLAIM_MSR, .levels = HYPAPI_LEVELS_GUEST, .first = MSR, .last = MSR },
	});

static uint64_t posted; /* bits that came with WORK, atomic */
static uint32_t starts; /* INIT and CPU_INIT, in which the CPUs count as stopped */

static enum hypapi_verdict on_start(struct hypapi_event *ev)
{
	starts += ev->stopped && !hypapi_quiesce(ev) && !hypapi_quiesce_ept(ev, ev->eptp01) && ev->stopped &&
		  !hypapi_memory_restrict(ev, GPA1(0x1000), 1, HYPAPI_R) &&
		  !hypapi_memory_restrict(ev, GPA1(0x1000), 1, HYPAPI_RWX);
	return HYPAPI_PASS;
}

/* There is no L2 to the event, though the CPU may have been taken out of one. */
static enum hypapi_verdict on_work(struct hypapi_event *ev)
{
	struct hypapi_page page;

	on_any(ev);
	if (hypapi_translate_gpa2(ev, GPA2(0), HYPAPI_R, &page) != HYPAPI_ENOTSUP)
		return HYPAPI_KILL;
	__atomic_fetch_or(&posted, ev->args.work.bits << 8 * ev->cpu, __ATOMIC_RELAXED);
	return HYPAPI_PASS;
}

/* RBX: L1-physical address of a word that other CPUs of this L2 change. RAX: whether it stood still. */
static void stop_one_ept(struct hypapi_event *ev)
{
	gpa1_t at = GPA1(hypapi_reg_get(ev, HYPAPI_REG_RBX));
	uint64_t first = 0, now = 0;
	bool still = hypapi_quiesce_ept(ev, ev->eptp02) >= 0 && !hypapi_copy_from_gpa1(ev, &first, at, 8);

	for (uint32_t i = 0; i < 200 && still; i++) {
		usleep(10); /* lets the other CPU's thread run, if it may */
		still = !hypapi_copy_from_gpa1(ev, &now, at, 8) && now == first;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, still);
}

/* Eight bytes at RBX; what was read to RDX. */
static void copy(struct hypapi_event *ev)
{
	gva_t at = GVA(hypapi_reg_get(ev, HYPAPI_REG_RBX));
	uint64_t value = 77;
	int error = ev->args.hypercall.number == COPY_TO_GPA1 ?
		hypapi_copy_to_gpa1(ev, GPA1(at.addr), &value, sizeof(value)) :
		    ev->args.hypercall.number == COPY_TO ? hypapi_copy_to(ev, at, &value, sizeof(value)) :
							   hypapi_copy_from(ev, &value, at, sizeof(value));

	if (ev->args.hypercall.number == COPY_FROM)
		hypapi_reg_set(ev, HYPAPI_REG_RDX, value);
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)error);
}

void ept01_guard_page(gpa1_t page); /* xmhf/mem/ept01.h */

/* As the core does at boot with the page at RBX. */
static void guard(struct hypapi_event *ev)
{
	int stopped = hypapi_quiesce(ev);

	ept01_guard_page(GPA1(hypapi_reg_get(ev, HYPAPI_REG_RBX)));
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)(stopped < 0 ? stopped : HYPAPI_OK));
}

/* The page at RBX is L1's to read. */
static void shut(struct hypapi_event *ev)
{
	int error = hypapi_quiesce(ev);

	if (error >= 0)
		error = hypapi_memory_restrict(ev, GPA1(hypapi_reg_get(ev, HYPAPI_REG_RBX)), 1, HYPAPI_R);
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)error);
}

/* Eight bytes at RBX, and again when L1 has lost the page at RDX, where the page table is. */
static void copy_twice(struct hypapi_event *ev)
{
	gpa1_t table = GPA1(hypapi_reg_get(ev, HYPAPI_REG_RDX));

	copy(ev);
	if (hypapi_reg_get(ev, HYPAPI_REG_RAX) || hypapi_quiesce(ev) < 0 || hypapi_memory_restrict(ev, table, 1, 0))
		hypapi_reg_set(ev, HYPAPI_REG_RAX, 1);
	else
		copy(ev);
}

static struct sim_l2 *l2;
static gpa2_t moved; /* a page of L2's */
static gpa1_t moved_to;

/* From RBX; then, when another CPU of L1 has put another page at `moved`, to RBX. */
static void copy_moved(struct hypapi_event *ev)
{
	gva_t at = GVA(hypapi_reg_get(ev, HYPAPI_REG_RBX));
	uint64_t value = 0;
	int error = hypapi_copy_from(ev, &value, at, sizeof(value));

	sim_l2_map(l2, moved, moved_to, HYPAPI_RWX);
	if (!error)
		error = hypapi_copy_to(ev, at, &value, sizeof(value));
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)error);
}

/* Another CPU of L1 maps `moved` when this one has seen that it is not mapped. */
static _Atomic bool mapped_late;

struct guest_walk;
struct guest_page;
struct guest_fault;
int __real_guest_walk_read(struct guest_walk *w, void *dst, gva_t src, size_t len, struct guest_fault *pf);
int __wrap_guest_walk_read(struct guest_walk *w, void *dst, gva_t src, size_t len, struct guest_fault *pf);
int __real_guest_walk_page(struct guest_walk *w, gva_t gva, uint32_t rights, struct guest_page *page,
			   struct guest_fault *pf);
int __wrap_guest_walk_page(struct guest_walk *w, gva_t gva, uint32_t rights, struct guest_page *page,
			   struct guest_fault *pf);

static int maps_late(int result)
{
	if (mapped_late) {
		sim_l2_map(l2, moved, moved_to, HYPAPI_RWX);
		mapped_late = false;
	}
	return result;
}

int __wrap_guest_walk_read(struct guest_walk *w, void *dst, gva_t src, size_t len, struct guest_fault *pf)
{
	return maps_late(__real_guest_walk_read(w, dst, src, len, pf));
}

int __wrap_guest_walk_page(struct guest_walk *w, gva_t gva, uint32_t rights, struct guest_page *page,
			   struct guest_fault *pf)
{
	return maps_late(__real_guest_walk_page(w, gva, rights, page, pf));
}

static uint32_t nmis_to_take; /* by the hypapp, before it passes them */

static enum hypapi_verdict on_nmi(struct hypapi_event *ev)
{
	on_any(ev);
	return nmis_to_take && nmis_to_take-- ? HYPAPI_HANDLED : HYPAPI_PASS;
}

void machine_relax(void); /* NMIs find root mode */

static struct hypapi_dma_fault_args fault;

static enum hypapi_verdict on_fault(struct hypapi_event *ev)
{
	on_any(ev);
	fault = ev->args.dma_fault;
	return HYPAPI_PASS;
}

static enum hypapi_verdict on_others(struct hypapi_event *ev)
{
	if (ev->args.hypercall.number == WINDOWS)
		hypapi_window(ev, HYPAPI_WINDOW_INTERRUPT | HYPAPI_WINDOW_NMI);
	else if (ev->args.hypercall.number == POST)
		hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)hypapi_post(ev, 3, 4));
	else if (ev->args.hypercall.number == GUARD)
		guard(ev);
	else if (ev->args.hypercall.number == SHUT)
		shut(ev);
	else if (ev->args.hypercall.number == COPY_TWICE)
		copy_twice(ev);
	else if (ev->args.hypercall.number == COPY_MOVED)
		copy_moved(ev);
	else if (ev->args.hypercall.number == PAGE_IN)
		hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)hypapi_page_in(ev, GVA(hypapi_reg_get(ev, HYPAPI_REG_RBX)),
									    HYPAPI_RW));
	else if (ev->args.hypercall.number == TWO_NMIS)
		sim_send_nmi(ev->cpu), sim_send_nmi(ev->cpu), machine_relax();
	else if (ev->args.hypercall.number >= COPY_TO)
		copy(ev);
	else
		stop_one_ept(ev);
	return HYPAPI_HANDLED;
}

HYPAPP_DEFINE(second,
	.priority = 2,
	.capabilities = HYPAPI_CAP_INTERRUPTS | HYPAPI_CAP_WORK | HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY |
			HYPAPI_CAP_QUIESCE,
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_start },
		{ .type = HYPAPI_EV_CPU_INIT, .handler = on_start },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_others },
		{ .type = HYPAPI_EV_WORK, .handler = on_work },
		{ .type = HYPAPI_EV_DMA_FAULT, .handler = on_fault },
		{ .type = HYPAPI_EV_INTERRUPT, .levels = HYPAPI_LEVELS_GUEST, .handler = on_interrupt },
		{ .type = HYPAPI_EV_NMI, .levels = HYPAPI_LEVELS_GUEST, .handler = on_nmi },
		{ .type = HYPAPI_EV_INTERRUPT_WINDOW, .levels = HYPAPI_LEVELS_GUEST, .handler = on_any },
		{ .type = HYPAPI_EV_NMI_WINDOW, .levels = HYPAPI_LEVELS_GUEST, .handler = on_any },
		{ .type = HYPAPI_EV_SLEEP, .two_phase = true, .handler = on_sleep },
		{ .type = HYPAPI_EV_SHUTDOWN, .handler = on_any },
	},
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = WINDOWS, .last = TWO_NMIS },
	});

HYPAPP_DEFINE(rival,
	.priority = 1,
	.subscriptions = { { .type = HYPAPI_EV_INIT, .handler = on_any } });

static const struct hypapp_descriptor *const hypapps[] = { &hypapp_second, &hypapp_probe, NULL };
static const struct hypapp_descriptor *const rivals[] = { &hypapp_probe, &hypapp_rival, NULL };

static void boot(void)
{
	sim_boot(hypapps, NULL);
	l2 = sim_l2_create(1 << 20);
}

/* ---- Events ---- */

/* `arg`: the level. */
static void each_event(void *arg)
{
	uint32_t level = *(uint32_t *)arg, value;
	uint64_t wide;

	sim_assert(sim_hypercall(NUMBER) == 0 && sim_get(HYPAPI_REG_RAX) == level);
	sim_assert(sim_hypercall(DENY) == UD);
	sim_assert(sim_cpuid(LEAF, 0) == 0 && sim_get(HYPAPI_REG_RAX) == OFFER + level);
	sim_assert(sim_in(PORT, 4, &value) == 0 && value == OFFER + level);
	sim_assert(sim_in(PORT + 16, 1, &value) == 0 && value == 0xff);
	sim_assert(sim_out(PORT, 2, 1) == 0);
	sim_assert(sim_rdmsr(MSR, &wide) == 0 && wide == OFFER + level);
	sim_assert(sim_wrmsr(MSR, 1) == GP);
	sim_assert(sim_rdmsr(MSR + 1, &wide) == GP);
}

static void each_event_in_both(void *arg)
{
	uint32_t level = HYPAPI_L1;

	(void)arg;
	each_event(&level);
	level = HYPAPI_L2;
	sim_assert(sim_l2_run(l2, each_event, &level, NULL) == EXIT_HLT);
}

static void events_reach_the_hypapp(void **state)
{
	static const struct { uint32_t type, count; } want[] = {
		{ HYPAPI_EV_INIT, 1 }, { HYPAPI_EV_CPU_INIT, 2 }, { HYPAPI_EV_HYPERCALL, 4 }, { HYPAPI_EV_CPUID, 2 },
		{ HYPAPI_EV_PORT_IO, 4 }, { HYPAPI_EV_MSR, 4 }, { HYPAPI_EV_EXIT102, 1 }, { HYPAPI_EV_EXIT201, 1 },
		{ HYPAPI_EV_EPT02_ROOT, 1 },
	};

	(void)state;
	boot();
	sim_run(1, each_event_in_both, NULL);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(told[want[i].type], want[i].count);
	assert_in_range(told[HYPAPI_EV_EXIT202], 7, 20);
	assert_int_equal(starts, 3);
}

static void change_types(void *arg)
{
	(void)arg;
	sim_assert(sim_wrmsr(MTRR_DEF_TYPE, 0x800) == 0);
	sim_assert(sim_wrmsr(MTRR_DEF_TYPE, 0xfff) == GP);
}

static void stay(void *arg)
{
	gva_t page = GVA(sim_memory(4096).addr);

	while (!__atomic_load_n((uint32_t *)arg, __ATOMIC_ACQUIRE))
		sim_write64(page, 1);
}

static void finish(void *arg)
{
	change_types(NULL);
	__atomic_store_n((uint32_t *)arg, 1, __ATOMIC_RELEASE);
}

static void memory_types_change_under_a_stop(void **state)
{
	uint32_t done = 0;

	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 3 });
	sim_start(1, stay, &done);
	sim_start(0, finish, &done);
	sim_wait();
	assert_int_equal(told[HYPAPI_EV_MTRR], 1);
}

static void kill(void *arg)
{
	(void)arg;
	sim_hypercall(KILL);
}

static void was_told(void)
{
	sim_assert(told[HYPAPI_EV_RESET] == 1);
}

static void kills(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .on_reset = was_told });
	sim_run(0, kill, NULL);
}

static void refuses_rivals(void **state)
{
	(void)state;
	sim_boot(rivals, NULL);
}

/* ---- Memory ---- */

static void no_such_page(void *arg)
{
	uint64_t at = 5ull << 32, value;

	(void)arg;
	sim_assert(sim_read(GVA(at), &value, 8) == PF);
	sim_assert(sim_exception().vector == PF && sim_exception().cr2 == at && sim_exception().error_code == 0);
	sim_set_mode(true, 3);
	sim_assert(sim_write(GVA(at), &value, 8) == PF && sim_exception().error_code == 6);
	sim_assert(sim_hypercall(NUMBER) == 0);
}

static void faults_of_page_tables(void **state)
{
	(void)state;
	boot();
	sim_run(0, no_such_page, NULL);
}

/* L2's page 5 leads to page 6 after L1 has changed EPT12 and told the CPU, and not before. */
static void l2_reads(void *arg)
{
	uint64_t *seen = arg;

	seen[0] = sim_read64(GVA(0x5000));
	sim_assert(sim_cpuid(1, 0) == 0);
	seen[1] = sim_read64(GVA(0x5000));
	sim_assert(sim_cpuid(2, 0) == 0);
	seen[2] = sim_read64(GVA(0x5000));
	sim_write64(GVA(0x7000), 9);
	seen[3] = sim_get(HYPAPI_REG_R12);
}

static bool l1_answers(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)arg;
	if (exit->reason == EXIT_VIOLATION) {
		sim_assert(exit->gpa2 == 0x7000);
		sim_l2_map(of, GPA2(0x7000), sim_l2_memory(of, GPA2(0x7000)), ALL);
		return true;
	}
	sim_assert(exit->reason == EXIT_CPUID);
	if (exit->gpr[HYPAPI_REG_RAX] == 1)
		sim_l2_map(of, GPA2(0x5000), sim_l2_memory(of, GPA2(0x6000)), ALL);
	else
		sim_l2_invept(of);
	exit->gpr[HYPAPI_REG_R12] = 12;
	sim_l2_skip(exit);
	return true;
}

static void l1_changes_ept12(void *arg)
{
	sim_write64(GVA(sim_l2_memory(l2, GPA2(0x5000)).addr), 5);
	sim_write64(GVA(sim_l2_memory(l2, GPA2(0x6000)).addr), 6);
	sim_l2_map(l2, GPA2(0x7000), GPA1(0), 0);
	sim_assert(sim_l2_run(l2, l2_reads, arg, l1_answers) == EXIT_HLT);
	sim_assert(sim_read64(GVA(sim_l2_memory(l2, GPA2(0x7000)).addr)) == 9);
}

static void translations_last_until_invept(void **state)
{
	uint64_t seen[4];

	(void)state;
	boot();
	sim_run(1, l1_changes_ept12, seen);
	assert_int_equal(seen[0], 5);
	assert_int_equal(seen[1], 5);
	assert_int_equal(seen[2], 6);
	assert_int_equal(seen[3], 12);
}

/*
 * Between L1's INVEPT and L2's next access a page loses the right to write. That access fills in again what L2 used
 * before, and not that right.
 */
static void l2_goes_on(void *arg)
{
	uint64_t value = 3;

	(void)arg;
	for (uint64_t at = 0x4000; at < 0x7000; at += 0x1000)
		sim_write64(GVA(at), 2);
	sim_assert(sim_cpuid(1, 0) == 0);
	sim_write64(GVA(0x4000), 3);
	sim_assert(sim_read64(GVA(0x5000)) == 2 && sim_write(GVA(0x5000), &value, 8) == GP);
	sim_write64(GVA(0x6000), 3);
}

static bool l1_invalidates_and_loses(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)arg;
	sim_l2_invept(of);
	sim_set(HYPAPI_REG_RBX, sim_l2_memory(of, GPA2(0x5000)).addr);
	sim_assert(sim_hypercall(SHUT) == 0 && sim_get(HYPAPI_REG_RAX) == HYPAPI_OK);
	sim_l2_skip(exit);
	return true;
}

static void loses_between(void *arg)
{
	sim_assert(sim_l2_run(l2, l2_goes_on, arg, l1_invalidates_and_loses) == EXIT_HLT);
	sim_assert(sim_read64(GVA(sim_l2_memory(l2, GPA2(0x5000)).addr)) == 2);
}

static void a_loss_between_invept_and_access(void **state)
{
	(void)state;
	boot();
	sim_run(0, loses_between, NULL);
}

/* ---- Interrupts ---- */

static void count_nmis(void *arg)
{
	uint64_t *want = arg;

	while (sim_nmis() < *want)
		sim_pause();
	sim_interrupt(0x40);
	sim_assert(sim_interrupts() > 0);
}

static void nmis_in_l2(void *arg)
{
	sim_assert(sim_l2_run(l2, count_nmis, arg, NULL) == EXIT_HLT);
}

static void nmis_arrive(void **state)
{
	uint64_t want = 1;

	(void)state;
	boot();
	sim_send_nmi(1); /* idle */
	sim_run(1, count_nmis, &want);
	want = 2;
	sim_start(1, count_nmis, &want);
	sim_send_nmi(1);
	sim_wait();
	want = 3;
	sim_start(1, nmis_in_l2, &want);
	sim_send_nmi(1);
	sim_wait();
}

static void interrupts_and_windows(void *arg)
{
	(void)arg;
	sim_interrupt(0x40);
	sim_assert(sim_interrupts() == 1);
	sim_interrupt(VECTOR_TAKEN);
	sim_assert(sim_interrupts() == 1);
	sim_set(HYPAPI_REG_RFLAGS, 2);
	sim_interrupt(0x40);
	sim_assert(sim_interrupts() == 1);
	sim_set(HYPAPI_REG_RFLAGS, 0x202);
	sim_pause();
	sim_assert(sim_interrupts() == 2);
	sim_assert(sim_hypercall(WINDOWS) == 0);
	sim_pause();
}

static void interrupts_can_be_taken(void **state)
{
	(void)state;
	boot();
	sim_run(0, interrupts_and_windows, NULL);
	assert_int_equal(told[HYPAPI_EV_INTERRUPT], 3);
	assert_int_equal(told[HYPAPI_EV_INTERRUPT_WINDOW], 1);
	assert_int_equal(told[HYPAPI_EV_NMI_WINDOW], 1);
}

static void sleeps(void *arg)
{
	(void)arg;
	sim_assert(sim_out(SIM_PM1_PORT, 2, SLP_EN | S3 << 10) == 0);
	sim_assert(told[HYPAPI_EV_SLEEP] == 1 && told[HYPAPI_EV_SHUTDOWN] == 0);
	sim_assert(sim_out(SIM_PM1_PORT, 2, SLP_EN | SIM_POWER_OFF << 10) == 0);
	sim_assert(told[HYPAPI_EV_SLEEP] == 1 && told[HYPAPI_EV_SHUTDOWN] == 1);
}

static void sleep_can_be_denied(void **state)
{
	(void)state;
	boot();
	sim_run(1, sleeps, NULL);
}

static void post(void *arg)
{
	(void)arg;
	sim_assert(sim_hypercall(POST) == 0 && sim_get(HYPAPI_REG_RAX) == 0);
}

static void post_from_l2(void *arg) { sim_assert(sim_l2_run(l2, post, arg, NULL) == EXIT_HLT); }

static void nothing(void *arg)
{
	(void)arg;
}

static void work_comes_to_every_cpu(void **state)
{
	(void)state;
	boot();
	sim_run(0, post, NULL);
	sim_run_all(nothing, NULL); /* an idle CPU has had its work by the end of its next job, if not before */
	sim_run(1, post_from_l2, NULL);
	sim_run_all(nothing, NULL);
	assert_int_equal(told[HYPAPI_EV_WORK], 4);
	assert_int_equal(posted, 4 | 4 << 8);
}

static void device_writes(void *arg)
{
	sim_set(HYPAPI_REG_RBX, 0x5000);
	sim_assert(sim_hypercall(SHUT) == 0 && sim_get(HYPAPI_REG_RAX) == 0);
	sim_assert(sim_device(GPA1(0x5008), HYPAPI_R) && !sim_device(GPA1(0x5008), HYPAPI_RW));
	post(arg);
}

static void fault_of_a_device_is_told(void **state)
{
	(void)state;
	boot();
	sim_run(0, device_writes, NULL);
	sim_run_all(nothing, NULL);
	assert_int_equal(told[HYPAPI_EV_DMA_FAULT], 1);
	assert_int_equal(fault.address, 0x5000);
	assert_int_equal(fault.bus << 8 | fault.device << 3 | fault.function, SIM_DEVICE);
	assert_true(fault.write && fault.reason == 5 && !fault.segment);
}

/* MOV [RAX], ECX to the EOI register, which exits: the page is read-only. `arg`: its address. */
static void end_interrupt_at(void *arg)
{
	const uint64_t eoi = *(uint64_t *)arg + 0xb0;
	const uint32_t zero = 0;

	sim_write64(GVA(0x6000), 0x0889);
	sim_set(HYPAPI_REG_RIP, 0x6000);
	sim_set(HYPAPI_REG_RAX, eoi);
	sim_set(HYPAPI_REG_RCX, zero);
	sim_assert(!sim_write(GVA(eoi), &zero, sizeof(zero)) && sim_get(HYPAPI_REG_RIP) == 0x6002);
}

static void end_interrupt(void *arg)
{
	uint64_t page = 0xfee00000;

	(void)arg;
	end_interrupt_at(&page);
}

static void end_interrupt_of_l2(void *arg)
{
	uint64_t page = 0x9000;

	(void)arg;
	sim_l2_map(l2, GPA2(page), GPA1(0xfee00000), HYPAPI_RWX);
	sim_assert(sim_l2_run(l2, end_interrupt_at, &page, NULL) == EXIT_HLT);
}

static void stop(void *arg)
{
	(void)arg;
	sim_set(HYPAPI_REG_RBX, 0x7000);
	sim_assert(sim_hypercall(SHUT) == 0 && sim_get(HYPAPI_REG_RAX) == 0);
}

/* Not at any exit, but at the end of an interrupt. */
static void faults_on_this_cpu(void *arg)
{
	static sim_code *const looks[] = { end_interrupt, end_interrupt_of_l2 };

	for (unsigned int i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		stop(arg);
		sim_assert(!sim_device(GPA1(0x7000), HYPAPI_W));
		sim_assert(sim_cpuid(0, 0) == 0 && told[HYPAPI_EV_DMA_FAULT] == i);
		looks[i](arg);
		sim_assert(told[HYPAPI_EV_DMA_FAULT] == i + 1 && fault.address == 0x7000);
	}
}

/* Any CPU may tell of them, at a stop too: there is one. */
static void when_faults_are_looked_for(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 1 });
	l2 = sim_l2_create(1 << 20);
	sim_run(0, faults_on_this_cpu, NULL);
}

static uint32_t stopper_done; /* atomic */

static void change_word(void *arg)
{
	(void)arg;
	for (uint64_t i = 0; !__atomic_load_n(&stopper_done, __ATOMIC_ACQUIRE); i++)
		sim_write64(GVA(0x5000), i);
}

static void stop_the_l2(void *arg)
{
	(void)arg;
	while (!sim_read64(GVA(0x5000)))
		sim_pause(); /* the other CPU is not there yet */
	for (uint32_t i = 0; i < 10; i++) {
		sim_set(HYPAPI_REG_RBX, sim_l2_memory(l2, GPA2(0x5000)).addr);
		sim_assert(sim_hypercall(STOP_EPT) == 0 && sim_get(HYPAPI_REG_RAX) == 1);
	}
	__atomic_store_n(&stopper_done, 1, __ATOMIC_RELEASE);
}

static void changer(void *arg) { sim_assert(sim_l2_run(l2, change_word, arg, NULL) == EXIT_HLT); }
static void stopper(void *arg) { sim_assert(sim_l2_run(l2, stop_the_l2, arg, NULL) == EXIT_HLT); }

static void one_ept_stands_still(void **state)
{
	(void)state;
	boot();
	sim_start(1, changer, NULL);
	sim_start(0, stopper, NULL);
	sim_wait();
}

/* The same EPT12 by another EPTP12: uncacheable tables. Its CPU must not go on while the others stand still. */
static void changer_by_other_eptp12(void *arg)
{
	sim_l2_vmwrite(l2, VMCS_EPTP, sim_l2_vmread(l2, VMCS_EPTP) & ~7ull);
	changer(arg);
}

static void one_ept_has_one_name(void **state)
{
	(void)state;
	boot();
	sim_start(1, changer_by_other_eptp12, NULL);
	sim_start(0, stopper, NULL);
	sim_wait();
}

/* The CPU comes to the EPT12 by VMFUNC, from another one. */
static void change_after_vmfunc(void *arg)
{
	sim_set(HYPAPI_REG_RAX, 0);
	sim_set(HYPAPI_REG_RCX, 3);
	sim_assert(sim_exit(EXIT_VMFUNC, 0) == 0);
	sim_assert(rip_at_root[sim_cpu_index()] == sim_get(HYPAPI_REG_RIP));
	change_word(arg);
}

static void changer_by_vmfunc(void *arg)
{
	uint64_t list = sim_memory(HYPAPI_PAGE_SIZE).addr;
	struct sim_l2 *other = sim_l2_create(1 << 20);

	((uint64_t *)sim_ram(HPA(list)))[3] = sim_l2_vmread(l2, VMCS_EPTP);
	sim_l2_vmwrite(l2, VMCS_EPTP, sim_l2_vmread(other, VMCS_EPTP));
	sim_l2_vmwrite(l2, VMCS_PROC2_CTLS, sim_l2_vmread(l2, VMCS_PROC2_CTLS) | PROC2_VMFUNC);
	sim_l2_vmwrite(l2, VMCS_VM_FUNCTION_CONTROLS, VMFUNC_EPTP_SWITCHING);
	sim_l2_vmwrite(l2, VMCS_EPTP_LIST_ADDR, list);
	sim_assert(sim_l2_run(l2, change_after_vmfunc, arg, NULL) == EXIT_HLT);
}

static void who_comes_by_vmfunc_stands_still(void **state)
{
	(void)state;
	boot();
	sim_start(1, changer_by_vmfunc, NULL);
	sim_start(0, stopper, NULL);
	sim_wait();
}

/* `arg`: what the L2 that runs has there. */
static void reads_own_memory(void *arg)
{
	sim_assert(sim_read64(GVA(0x5000)) == *(uint64_t *)arg);
}

/* While the first L2's secondary controls are off, as many EPTP12 of the other one are used as EPT02 has roots. */
static void loses_its_root(void *arg)
{
	struct sim_l2 *other = sim_l2_create(1 << 20);
	uint64_t mine = 1, others = 2, proc = sim_l2_vmread(l2, VMCS_PROC_CTLS);
	uint64_t eptp = sim_l2_vmread(other, VMCS_EPTP) & ~7ull;
	const uint64_t eptps[] = { eptp, eptp | EPTP_WB, eptp | EPTP_AD, eptp | EPTP_AD | EPTP_WB };

	(void)arg;
	sim_write64(GVA(sim_l2_memory(l2, GPA2(0x5000)).addr), mine);
	sim_write64(GVA(sim_l2_memory(other, GPA2(0x5000)).addr), others);
	sim_assert(sim_l2_run(l2, reads_own_memory, &mine, NULL) == EXIT_HLT);
	sim_l2_vmwrite(l2, VMCS_PROC_CTLS, proc & ~(uint64_t)PROC_SECONDARY);
	for (size_t i = 0; i < sizeof(eptps) / sizeof(eptps[0]); i++) {
		sim_l2_vmwrite(other, VMCS_EPTP, eptps[i]);
		sim_assert(sim_l2_run(other, reads_own_memory, &others, NULL) == EXIT_HLT);
	}
	sim_l2_vmwrite(l2, VMCS_PROC_CTLS, proc);
	sim_assert(sim_l2_run(l2, reads_own_memory, &mine, NULL) == EXIT_HLT);
}

static void secondary_controls_come_back_to_another_root(void **state)
{
	(void)state;
	sim_boot(hypapps, &(struct sim_options){ .cpus = 1, .options = "ept02-pages=64" });
	l2 = sim_l2_create(1 << 20);
	sim_run(0, loses_its_root, NULL);
}

/* ---- Accessed and dirty flags ---- */

enum { PTE = 7, PTE_AD = 0x60, EPT_A = 1 << 8, EPT_D = 1 << 9 };
#define PAGE 0x1000ull
#define WINDOW (1ull << 39) /* linear; the guests' own tables end below it */

static uint64_t *ram(uint64_t hpa) { return sim_ram(HPA(hpa)); }

/*
 * Maps WINDOW to the fourth page from `tables` on. base: where the guest's physical address 0 lies. The page's entry.
 */
static uint64_t *window(uint64_t base, uint64_t pml4, uint64_t tables)
{
	ram(base + pml4)[WINDOW >> 39] = tables | PTE;
	ram(base + tables)[0] = (tables + PAGE) | PTE;
	ram(base + tables + PAGE)[0] = (tables + 2 * PAGE) | PTE;
	ram(base + tables + 2 * PAGE)[0] = (tables + 3 * PAGE) | PTE;
	return ram(base + tables + 2 * PAGE);
}

static int copies(uint32_t number)
{
	sim_assert(sim_hypercall(number) == 0);
	return (int)sim_get(HYPAPI_REG_RAX);
}

static void copy_to_window(void *arg)
{
	uint64_t *entry = arg;

	sim_set(HYPAPI_REG_RBX, WINDOW + 8);
	sim_assert(copies(COPY_FROM) == HYPAPI_OK && !(*entry & PTE_AD));
	sim_assert(copies(COPY_TO) == HYPAPI_OK && (*entry & PTE_AD) == PTE_AD);
	sim_assert(sim_read64(GVA(WINDOW + 8)) == 77);
	/* An address that is too wide for the CPU is none. */
	*entry |= 1ull << 51;
	sim_assert(copies(COPY_TO) == HYPAPI_EFAULT && copies(COPY_FROM) == HYPAPI_EFAULT);
	*entry &= ~(1ull << 51);
	/* A page that may not be written gets no flag. */
	*entry &= ~(uint64_t)(PTE_AD | 2);
	sim_set_mode(true, 3);
	sim_assert(copies(COPY_TO) == HYPAPI_EFAULT && !(*entry & PTE_AD));
	sim_set_mode(true, 0);
}

static uint64_t *ept12_leaf(uint64_t gpa2)
{
	uint64_t table = sim_l2_vmread(l2, VMCS_EPTP);

	for (uint32_t shift = 39;; shift -= 9) {
		uint64_t *entry = ram(table & 0xffffffffff000) + (gpa2 >> shift & 511);

		if (shift == 12 || (*entry & 1 << 7))
			return entry;
		table = *entry;
	}
}

static void copies_in_l1_and_l2(void *arg)
{
	uint64_t base = sim_l2_memory(l2, GPA2(0)).addr, tables2 = 0x80000;

	(void)arg;
	copy_to_window(window(0, sim_get(HYPAPI_REG_CR3), sim_memory(4 * PAGE).addr));
	sim_l2_vmwrite(l2, VMCS_EPTP, sim_l2_vmread(l2, VMCS_EPTP) | EPTP_AD);
	uint64_t *entry = window(base, sim_l2_vmread(l2, VMCS_GUEST_CR3), tables2);

	sim_assert(!(*ept12_leaf(tables2 + 3 * PAGE) & EPT_D) && !(*ept12_leaf(tables2 + 2 * PAGE) & EPT_D));
	sim_assert(sim_l2_run(l2, copy_to_window, entry, NULL) == EXIT_HLT);
	sim_assert((*ept12_leaf(tables2 + 3 * PAGE) & (EPT_A | EPT_D)) == (EPT_A | EPT_D));
	sim_assert((*ept12_leaf(tables2 + 2 * PAGE) & (EPT_A | EPT_D)) == (EPT_A | EPT_D));
}

/* A page table in a page that L1 may only read, as that of the FACS: neither a walk nor a hypapp writes to it. */
static void copy_by_a_guarded_table(void *arg)
{
	uint64_t tables = sim_memory(4 * PAGE).addr, *entry = window(0, sim_get(HYPAPI_REG_CR3), tables);

	(void)arg;
	sim_set(HYPAPI_REG_RBX, tables + 2 * PAGE + 8);
	sim_assert(copies(COPY_TO_GPA1) == HYPAPI_OK);
	sim_set(HYPAPI_REG_RBX, tables + 2 * PAGE);
	sim_assert(copies(GUARD) == HYPAPI_OK);
	sim_set(HYPAPI_REG_RBX, tables + 2 * PAGE + 8);
	sim_assert(copies(COPY_TO_GPA1) == HYPAPI_EPERM);
	sim_set(HYPAPI_REG_RBX, WINDOW + 8);
	sim_assert(copies(COPY_TO) == HYPAPI_OK && !(*entry & PTE_AD));
	sim_assert(sim_read64(GVA(WINDOW + 8)) == 77);
}

static void no_flag_is_set_in_a_guarded_page(void **state)
{
	(void)state;
	boot();
	sim_run(0, copy_by_a_guarded_table, NULL);
}

static void copy_by_a_lost_table(void *arg)
{
	uint64_t tables = sim_memory(4 * PAGE).addr;

	(void)arg;
	window(0, sim_get(HYPAPI_REG_CR3), tables);
	sim_set(HYPAPI_REG_RBX, WINDOW + 8);
	sim_set(HYPAPI_REG_RDX, tables + 2 * PAGE);
	sim_assert(copies(COPY_TWICE) == HYPAPI_EPERM);
}

static void a_walk_ends_with_a_loss(void **state)
{
	(void)state;
	boot();
	sim_run(0, copy_by_a_lost_table, NULL);
}

/* ---- Pages that the core has read before ---- */

static uint64_t copied(uint64_t at)
{
	sim_set(HYPAPI_REG_RBX, at);
	sim_assert(copies(COPY_FROM) == HYPAPI_OK);
	return sim_get(HYPAPI_REG_RDX);
}

/* The third time by what is known. */
static bool is_known(uint64_t at, uint64_t value)
{
	return copied(at) == value && copied(at) == value && copied(at) == value;
}

/* Each as if it had not: by the page tables, the privilege and the rights of L1 of that moment. */
static void read_a_known_page(void *arg)
{
	uint64_t tables = sim_memory(4 * PAGE).addr, other = sim_memory(PAGE).addr;
	uint64_t *entry = window(0, sim_get(HYPAPI_REG_CR3), tables), first = *entry;

	(void)arg;
	sim_write64(GVA(tables + 3 * PAGE), 1);
	sim_write64(GVA(other), 2);
	sim_assert(is_known(WINDOW, 1));
	*entry = other | PTE;
	sim_assert(is_known(WINDOW, 2));
	*entry = first & ~4ull; /* the kernel's */
	sim_assert(is_known(WINDOW, 1));
	sim_set_mode(true, 3);
	sim_assert(copies(COPY_FROM) == HYPAPI_EFAULT);
	sim_set_mode(true, 0);
	sim_assert(is_known(WINDOW, 1));
	sim_set(HYPAPI_REG_RDX, tables + 3 * PAGE);
	sim_assert(copies(COPY_TWICE) == HYPAPI_EPERM);
	sim_assert(copies(COPY_FROM) == HYPAPI_EPERM);
}

static void a_known_page_is_asked_for_again(void **state)
{
	(void)state;
	boot();
	sim_run(0, read_a_known_page, NULL);
}

/* L1 has merged the page at 0x5000 with another one's: L2's write gets it a page of its own, and L1 tells no cache. */
static void read_a_parted_page(void *arg)
{
	(void)arg;
	sim_assert(is_known(0x5000, 5));
	sim_write64(GVA(0x5008), 9);
	sim_assert(is_known(0x5000, 6));
	sim_assert(sim_cpuid(1, 0) == 0);
	sim_assert(copied(0x5000) == 7);
}

static bool l1_parts_pages(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)arg;
	if (exit->reason == EXIT_VIOLATION) {
		sim_l2_map(of, GPA2(0x5000), sim_l2_memory(of, GPA2(0x6000)), ALL);
		return true;
	}
	sim_l2_map(of, GPA2(0x5000), sim_l2_memory(of, GPA2(0x7000)), ALL);
	sim_l2_invept(of);
	sim_l2_skip(exit);
	return true;
}

static void parts_pages(void *arg)
{
	gpa1_t merged = sim_l2_memory(l2, GPA2(0x5000));

	for (uint64_t page = 5; page < 8; page++)
		sim_write64(GVA(sim_l2_memory(l2, GPA2(page * PAGE)).addr), page);
	sim_l2_map(l2, GPA2(0x5000), merged, HYPAPI_R);
	sim_assert(sim_l2_run(l2, read_a_parted_page, arg, l1_parts_pages) == EXIT_HLT);
	sim_assert(sim_read64(GVA(merged.addr + 8)) == 0);
}

static void a_known_page_ends_with_a_violation(void **state)
{
	(void)state;
	boot();
	sim_run(0, parts_pages, NULL);
}

/*
 * L1 moves a page on L2's way to WINDOW, or the page itself, and invalidates nothing. While a CPU's caches might have
 * the old one, the core keeps it, and that without EPT02, where the page is not dirty or may not be written.
 */
enum { TABLES = 0x80000, TABLE = TABLES + 2 * PAGE, DATA = TABLES + 3 * PAGE, OTHER_TABLE = 0x90000,
       OTHER_DATA = OTHER_TABLE + PAGE, BY_INVEPT = 2 };

struct move {
	uint64_t ad;                 /* EPTP_AD */
	uint32_t tables;             /* tables of the window, from the top, that L2 has written before */
	uint32_t data_rights;        /* in EPT12 at first */
	bool data_read;              /* by L2 itself, before */
	uint64_t from, to;           /* L2-physical */
	bool writes;                 /* L2 itself, after that */
	uint64_t after;              /* what the core reads then: 1 before, 2 where it leads now */
};

static void reads_what_moves(void *arg)
{
	const struct move *m = arg;

	for (uint32_t i = 0; i < m->tables; i++)
		sim_write64(GVA(i ? TABLES + (i - 1) * PAGE + 16 : sim_get(HYPAPI_REG_CR3) + 16), 0);
	if (m->data_read)
		sim_read64(GVA(DATA));
	sim_assert(is_known(WINDOW, 1));
	sim_assert(sim_cpuid(1, 0) == 0);
	if (m->writes)
		sim_write64(GVA(WINDOW + 8), 9);
	sim_assert_equal(copied(WINDOW), m->after);
	sim_assert(sim_cpuid(BY_INVEPT, 0) == 0);
	sim_assert(copied(WINDOW) == 2);
}

static bool l1_moves(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	const struct move *m = arg;

	if (exit->gpr[HYPAPI_REG_RAX] == BY_INVEPT)
		sim_l2_invept(of);
	else
		sim_l2_map(of, GPA2(m->from), sim_l2_memory(of, GPA2(m->to)), ALL);
	sim_l2_skip(exit);
	return true;
}

static void moves_a_page(void *arg)
{
	const struct move *m = arg;
	uint64_t base = sim_l2_memory(l2, GPA2(0)).addr;

	window(base, sim_l2_vmread(l2, VMCS_GUEST_CR3), TABLES);
	*ram(base + OTHER_TABLE) = OTHER_DATA | PTE;
	*ram(base + DATA) = 1;
	*ram(base + OTHER_DATA) = 2;
	sim_l2_map(l2, GPA2(DATA), GPA1(base + DATA), m->data_rights);
	sim_l2_vmwrite(l2, VMCS_EPTP, sim_l2_vmread(l2, VMCS_EPTP) | m->ad);
	sim_assert(sim_l2_run(l2, reads_what_moves, arg, l1_moves) == EXIT_HLT);
}

enum { ALL_TABLES = 4 };

static void check_move(struct move m)
{
	boot();
	sim_run(0, moves_a_page, &m);
}

static void a_known_page_ends_with_invept(void **state)
{
	(void)state;
	check_move((struct move){ 0, 0, HYPAPI_R, false, DATA, OTHER_DATA, false, 1 });
}

static void a_known_page_ends_when_l2_sees_another(void **state)
{
	(void)state;
	check_move((struct move){ 0, 0, HYPAPI_R, false, DATA, OTHER_DATA, true, 2 });
}

static void an_accessed_page_is_known(void **state)
{
	(void)state;
	check_move((struct move){ EPTP_AD, ALL_TABLES, ALL, true, DATA, OTHER_DATA, false, 1 });
}

static void a_page_that_is_not_accessed_is_not_known(void **state)
{
	(void)state;
	check_move((struct move){ EPTP_AD, ALL_TABLES, ALL, false, DATA, OTHER_DATA, false, 2 });
}

static void no_page_is_known_by_a_table_that_is_not_dirty(void **state)
{
	(void)state;
	check_move((struct move){ EPTP_AD, ALL_TABLES - 1, ALL, true, TABLE, OTHER_TABLE, false, 2 });
}

static void copy_by_moved_table(void *arg)
{
	(void)arg;
	sim_set(HYPAPI_REG_RBX, WINDOW + 8);
	sim_assert(copies(COPY_MOVED) == HYPAPI_OK);
}

/* L2's page table is in a page that L1 may only read, and L1 puts one that it may write in its place meanwhile. */
static void copy_by_a_restricted_table(void *arg)
{
	uint64_t base = sim_l2_memory(l2, GPA2(0)).addr, tables2 = 0x80000;
	uint64_t *entry = window(base, sim_l2_vmread(l2, VMCS_GUEST_CR3), tables2);

	(void)arg;
	moved = GPA2(tables2 + 2 * PAGE);
	moved_to = GPA1(sim_memory(PAGE).addr);
	sim_set(HYPAPI_REG_RBX, sim_l2_memory(l2, moved).addr);
	sim_assert(copies(SHUT) == HYPAPI_OK);
	sim_assert(sim_l2_run(l2, copy_by_moved_table, NULL, NULL) == EXIT_HLT);
	sim_assert(!(*entry & PTE_AD));
}

static void no_flag_is_set_in_a_restricted_page(void **state)
{
	(void)state;
	boot();
	sim_run(0, copy_by_a_restricted_table, NULL);
}

static void wants_what_is_mapped_late(void *arg)
{
	sim_set(HYPAPI_REG_RBX, *(uint64_t *)arg);
	mapped_late = true;
	sim_assert(copies(COPY_FROM) == HYPAPI_ENOTMAPPED && !mapped_late);
	sim_assert(copies(COPY_FROM) == HYPAPI_OK);
	sim_l2_map(l2, moved, moved_to, 0);
	mapped_late = true;
	sim_assert(copies(PAGE_IN) == 1 && !mapped_late);
}

/* The page itself, and the page table that CR3 names. */
static void run_with_a_late_page(void *arg)
{
	uint64_t at = 0x5000, late[] = { at, sim_l2_vmread(l2, VMCS_GUEST_CR3) };

	(void)arg;
	for (size_t i = 0; i < 2; i++) {
		moved = GPA2(late[i]);
		moved_to = sim_l2_memory(l2, moved);
		sim_l2_map(l2, moved, moved_to, 0);
		sim_l2_invept(l2);
		sim_assert(sim_l2_run(l2, wants_what_is_mapped_late, &at, NULL) == EXIT_HLT);
	}
}

static void a_page_that_is_mapped_late_is_there(void **state)
{
	(void)state;
	boot();
	sim_run(0, run_with_a_late_page, NULL);
}

static void copies_make_pages_dirty(void **state)
{
	(void)state;
	boot();
	sim_run(0, copies_in_l1_and_l2, NULL);
}

/* ---- The memory operands of INS and OUTS ---- */

struct sim_cpu;
extern _Thread_local struct sim_cpu *sim_self;
uint64_t *vmcs_field(struct sim_cpu *c, uint32_t field);

enum { EXIT_IO = 30, INSW = 1 | 1 << 3 | 1 << 4, OUTSW = 1 | 1 << 4, ADDRESS_64 = 2 << 7 };
#define NO_RAM 0xf0000000

static int string_io(uint32_t form, uint64_t at)
{
	*vmcs_field(sim_self, VMCS_GUEST_LINEAR_ADDR) = at;
	*vmcs_field(sim_self, VMCS_EXIT_INSN_INFO) = ADDRESS_64;
	return sim_exit(EXIT_IO, (uint64_t)PORT << 16 | form);
}

static int insw(uint64_t to) { return string_io(INSW, to); }
static int outsw(uint64_t from) { return string_io(OUTSW, from); }

static void ins_to_memory_and_none(void *arg)
{
	uint64_t at = sim_memory(HYPAPI_PAGE_SIZE).addr;

	(void)arg;
	sim_assert(insw(at) == 0 && told[HYPAPI_EV_PORT_IO] == 1);
	sim_assert(*(uint16_t *)sim_ram(HPA(at)) == OFFER + HYPAPI_L1);
	sim_assert(insw(NO_RAM) == GP && told[HYPAPI_EV_PORT_IO] == 1);
}

/* #GP comes before the port is read, and before its owner is asked. */
static void no_port_is_read_for_no_memory(void **state)
{
	(void)state;
	boot();
	sim_run(0, ins_to_memory_and_none, NULL);
}

/* ---- The same in L2, whose L1 keeps a log of the pages that become dirty ---- */

enum { EXIT_MISCONFIG = 49, EXIT_LOG_FULL = 62, PROC2_PML = 1 << 17, LOG_IS_FULL = 0xffff, LOG_IS_EMPTY = 511 };
#define VMCS_PML_INDEX 0x0812
#define VMCS_PML_ADDR 0x200e

static uint32_t exits_seen[64];

/* L1 makes room, or maps what is missing. */
static bool l1_serves(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)arg;
	bool maps = exit->reason == EXIT_VIOLATION || exit->reason == EXIT_MISCONFIG;

	exits_seen[exit->reason]++;
	if (exit->reason == EXIT_LOG_FULL)
		sim_l2_vmwrite(of, VMCS_PML_INDEX, LOG_IS_EMPTY);
	else if (maps)
		sim_l2_map(of, GPA2(exit->gpa2 & ~(PAGE - 1)), sim_l2_memory(of, GPA2(exit->gpa2 & ~(PAGE - 1))), ALL);
	return exit->reason == EXIT_LOG_FULL || maps;
}

/* INS of two bytes to `to`, which exits for `reason` first; the port is not asked before that is mended. */
static void insw_exits_once(uint64_t to, uint32_t reason)
{
	uint32_t before = told[HYPAPI_EV_PORT_IO], exits = exits_seen[reason];

	sim_assert(insw(to) == 0 && exits_seen[reason] == exits + 1 && told[HYPAPI_EV_PORT_IO] == before);
	sim_assert(insw(to) == 0 && exits_seen[reason] == exits + 1 && told[HYPAPI_EV_PORT_IO] == before + 1);
}

/* The first entry of the log is the page table, for its flags. */
static void ins_in_l2(void *arg)
{
	uint64_t *log = arg, base = sim_l2_memory(l2, GPA2(0)).addr;

	insw_exits_once(0x5000, EXIT_LOG_FULL);
	sim_assert(*(uint16_t *)ram(base + 0x5000) == OFFER + HYPAPI_L2 && log[LOG_IS_EMPTY - 1] == 0x5000);
	insw_exits_once(0x6fff, EXIT_VIOLATION);
	sim_assert(((uint8_t *)ram(base + 0x6000))[PAGE - 1] == (uint8_t)(OFFER + HYPAPI_L2));
	sim_assert(exits_seen[EXIT_LOG_FULL] == 1 && log[LOG_IS_EMPTY - 3] == 0x7000);
	insw_exits_once(0x8004, EXIT_MISCONFIG);
	sim_assert(exits_seen[EXIT_VIOLATION] == 1);
}

static void ins_to_dirty_memory(void *arg)
{
	uint32_t before = told[HYPAPI_EV_PORT_IO];

	(void)arg;
	sim_assert(insw(0x5010) == 0 && told[HYPAPI_EV_PORT_IO] == before + 1);
	sim_set(HYPAPI_REG_RBX, 0x5018);
	sim_assert(copies(PAGE_IN) == 1 && copies(COPY_TO) == HYPAPI_OK);
}

/* A log with room for one of two pages: the port is asked when both are dirty. */
static void ins_to_two_pages(void *arg)
{
	uint64_t *log = arg;

	insw_exits_once(0x9fff, EXIT_LOG_FULL);
	sim_assert(log[0] == 0x9000 && log[LOG_IS_EMPTY] == 0xa000);
}

/* OUTS reads: accessed, and not dirty, are its page and what maps it in L2's tables. */
static void outs_in_l2(void *arg)
{
	enum { ACCESSED = 1 << 8, DIRTY = 1 << 9, PTE_ACCESSED = 1 << 5, PTE_DIRTY = 1 << 6 };
	uint64_t *leaf = (uint64_t *)arg + 0xb, *large = ram(sim_l2_memory(l2, GPA2(sim_get(HYPAPI_REG_CR3))).addr);
	uint32_t before = told[HYPAPI_EV_PORT_IO];

	large += 2 * PAGE / sizeof(*large);
	*large &= ~(uint64_t)(PTE_ACCESSED | PTE_DIRTY);
	sim_assert(outsw(0xb008) == 0 && told[HYPAPI_EV_PORT_IO] == before + 1);
	sim_assert((*leaf & (ACCESSED | DIRTY)) == ACCESSED);
	sim_assert((*large & (PTE_ACCESSED | PTE_DIRTY)) == PTE_ACCESSED);
}

/* An accessed flag takes no entry of the log, and waits all the same. */
static void outs_with_a_full_log(void *arg)
{
	uint32_t before = told[HYPAPI_EV_PORT_IO], exits = exits_seen[EXIT_LOG_FULL];

	(void)arg;
	sim_assert(outsw(0xc008) == 0 && exits_seen[EXIT_LOG_FULL] == exits + 1);
	sim_assert(told[HYPAPI_EV_PORT_IO] == before);
	sim_assert(outsw(0xc008) == 0 && exits_seen[EXIT_LOG_FULL] == exits + 1);
	sim_assert(told[HYPAPI_EV_PORT_IO] == before + 1);
}

/* EPT12's table of small pages at 0. */
static uint64_t *first_table12(void)
{
	uint64_t table = sim_l2_vmread(l2, VMCS_EPTP);

	for (uint32_t level = 4; level > 1; level--)
		table = *ram(table & 0xffffffffff000);
	return ram(table & 0xffffffffff000);
}

/* The port is asked once, after L1 has had the exit that the memory operand is for. */
static void l2_strings_with_a_log(void *arg)
{
	uint64_t log = sim_memory(PAGE).addr;

	(void)arg;
	sim_l2_vmwrite(l2, VMCS_EPTP, sim_l2_vmread(l2, VMCS_EPTP) | EPTP_AD);
	sim_l2_vmwrite(l2, VMCS_PROC2_CTLS, sim_l2_vmread(l2, VMCS_PROC2_CTLS) | PROC2_PML);
	sim_l2_vmwrite(l2, VMCS_PML_ADDR, log);
	sim_l2_vmwrite(l2, VMCS_PML_INDEX, LOG_IS_FULL);
	sim_l2_map(l2, GPA2(0x7000), GPA1(0), 0);
	sim_l2_map(l2, GPA2(0x8000), GPA1(0), HYPAPI_W); /* no entry may say that */
	sim_assert(sim_l2_run(l2, ins_in_l2, ram(log), l1_serves) == EXIT_HLT);
	/* What is dirty already takes no entry. */
	sim_l2_vmwrite(l2, VMCS_PML_INDEX, LOG_IS_FULL);
	uint32_t exits = exits_seen[EXIT_LOG_FULL];

	sim_assert(sim_l2_run(l2, ins_to_dirty_memory, NULL, l1_serves) == EXIT_HLT);
	sim_assert(exits_seen[EXIT_LOG_FULL] == exits);
	sim_l2_vmwrite(l2, VMCS_PML_INDEX, 0);
	sim_assert(sim_l2_run(l2, ins_to_two_pages, ram(log), l1_serves) == EXIT_HLT);
	sim_l2_vmwrite(l2, VMCS_PML_INDEX, LOG_IS_EMPTY);
	sim_assert(sim_l2_run(l2, outs_in_l2, first_table12(), l1_serves) == EXIT_HLT);
	sim_l2_vmwrite(l2, VMCS_PML_INDEX, LOG_IS_FULL);
	sim_assert(sim_l2_run(l2, outs_with_a_full_log, NULL, l1_serves) == EXIT_HLT);
}

static void no_port_is_read_before_l1_has_made_room(void **state)
{
	(void)state;
	boot();
	sim_run(0, l2_strings_with_a_log, NULL);
}

/* ---- Two NMIs at once in an L2 that blocks them ---- */

enum { NMI_EXITING = 1 << 3, VIRTUAL_NMIS = 1 << 5, BLOCKED_BY_NMI = 1 << 3 };
#define VMCS_PIN_CTLS 0x4000
#define VMCS_GUEST_INTERRUPTIBILITY 0x4824

static bool l1_counts(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)of, (void)arg;
	exits_seen[exit->reason]++;
	return exit->reason == 0;
}

/* Its own NMIs: one of them is kept until it is ready. */
static void two_for_itself(void *arg)
{
	uint64_t before = sim_nmis();

	(void)arg;
	copies(TWO_NMIS);
	sim_assert(sim_nmis() == before && !exits_seen[0]);
	*vmcs_field(sim_self, VMCS_GUEST_INTERRUPTIBILITY) = 0;
	copies(COPY_FROM);
	copies(COPY_FROM);
	sim_assert(sim_nmis() == before + 1 && !exits_seen[0]);
}

/* The hypapp takes the first, L1 has an exit by the second: virtual NMIs hold neither back. */
static void two_at_once(void *arg)
{
	(void)arg;
	told[HYPAPI_EV_NMI] = 0;
	nmis_to_take = 1;
	copies(TWO_NMIS);
	sim_assert(exits_seen[0] == 1 && told[HYPAPI_EV_NMI] == 2);
}

static void l2_with_two_nmis(void *arg)
{
	(void)arg;
	sim_l2_vmwrite(l2, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
	sim_assert(sim_l2_run(l2, two_for_itself, NULL, l1_counts) == EXIT_HLT);
	sim_l2_vmwrite(l2, VMCS_PIN_CTLS, sim_l2_vmread(l2, VMCS_PIN_CTLS) | NMI_EXITING | VIRTUAL_NMIS);
	sim_l2_vmwrite(l2, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_BY_NMI);
	sim_assert(sim_l2_run(l2, two_at_once, NULL, l1_counts) == EXIT_HLT);
}

static void l1_does_not_wait_for_a_second_nmi(void **state)
{
	(void)state;
	boot();
	sim_run(0, l2_with_two_nmis, NULL);
}

static void fails(void *arg)
{
	(void)arg;
	sim_assert(sim_cpu_index() == 0);
}

static void assertions_are_faults(void **state)
{
	(void)state;
	boot();
	sim_run_all(fails, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(events_reach_the_hypapp),
		sim_test(memory_types_change_under_a_stop),
		sim_test_reset(kills),
		sim_test_fault(refuses_rivals, "boot: "),
		sim_test(faults_of_page_tables),
		sim_test(translations_last_until_invept),
		sim_test(a_loss_between_invept_and_access),
		sim_test(nmis_arrive),
		sim_test(interrupts_can_be_taken),
		sim_test(sleep_can_be_denied),
		sim_test(work_comes_to_every_cpu),
		sim_test(fault_of_a_device_is_told), sim_test(when_faults_are_looked_for),
		sim_test(one_ept_stands_still),
		sim_test(one_ept_has_one_name), sim_test(who_comes_by_vmfunc_stands_still),
		sim_test(no_port_is_read_for_no_memory), sim_test(no_port_is_read_before_l1_has_made_room),
		sim_test(l1_does_not_wait_for_a_second_nmi),
		sim_test(secondary_controls_come_back_to_another_root),
		sim_test(copies_make_pages_dirty), sim_test(a_walk_ends_with_a_loss),
		sim_test(a_known_page_is_asked_for_again), sim_test(a_known_page_ends_with_a_violation),
		sim_test(a_known_page_ends_with_invept), sim_test(a_known_page_ends_when_l2_sees_another),
		sim_test(an_accessed_page_is_known), sim_test(a_page_that_is_not_accessed_is_not_known),
		sim_test(no_page_is_known_by_a_table_that_is_not_dirty),
		sim_test(no_flag_is_set_in_a_guarded_page), sim_test(no_flag_is_set_in_a_restricted_page),
		sim_test(a_page_that_is_mapped_late_is_there),
		sim_test_fault(assertions_are_faults, "sim_cpu_index() == 0"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
