/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where one world follows another on a CPU, the core does what the decision about speculation asks for: a barrier of
 * indirect branches around a partition and from L2 to L1, a note that secrets were touched, a flush of L1D before L2;
 * and nothing of the caller stays in root behind a partition. The decision is the test's, since the simulated CPU needs
 * none. What a partition leaves in the VMCS stays there for itself, which saves writes, and for no other one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hypapi/sim_cmocka.h>

#include "apic/guest_store.h"
#include "cpu/paging.h"
#include "cpu/speculation.h"
#include "cpu/x86.h"
#include "hypapi/sim/machine.h"
#include "mem/guest.h"
#include "mem/phys_bits.h"
#include "nested/operand.h"
#include "vmx/vmx_insn.h"

enum { CREATE = 0x10, ENTER, READ, LEAVE, CREATE_OTHER, ENTER_OTHER, DESTROY, RESTRICT, WRAP, SET_IF,
       NO_KEY_BUT_HOME, AT_HOME, WRITE_OTHER, COPY };
enum { EXIT_HLT_REASON = 12 };

static hypapi_partition_t partition, other;
static gpa1_t page, other_page;
static struct sim_l2 *l2;
static uint32_t barriers, writes;

bool __real_machine_wrmsr(u32 msr, u64 value);
bool __wrap_machine_wrmsr(u32 msr, u64 value);

bool __wrap_machine_wrmsr(u32 msr, u64 value)
{
	if (msr != MSR_PRED_CMD)
		return __real_machine_wrmsr(msr, value);
	barriers++;
	return true;
}

bool __real_vmx_vmwrite(u32 field, u64 value);
bool __wrap_vmx_vmwrite(u32 field, u64 value);

bool __wrap_vmx_vmwrite(u32 field, u64 value)
{
	writes++;
	return __real_vmx_vmwrite(field, value);
}

static bool lost; /* the next operand: at the first look */

void *__real_operand_at(struct percpu *cpu, u32 info, bool long_mode, size_t len, bool write);
void *__wrap_operand_at(struct percpu *cpu, u32 info, bool long_mode, size_t len, bool write);

void *__wrap_operand_at(struct percpu *cpu, u32 info, bool long_mode, size_t len, bool write)
{
	return lost ? NULL : __real_operand_at(cpu, info, long_mode, len, write);
}

enum guest_access_result __real_guest_read(struct percpu *cpu, void *dst, gva_t src, size_t len,
					   struct guest_fault *fault);
enum guest_access_result __wrap_guest_read(struct percpu *cpu, void *dst, gva_t src, size_t len,
					   struct guest_fault *fault);

enum guest_access_result __wrap_guest_read(struct percpu *cpu, void *dst, gva_t src, size_t len,
					   struct guest_fault *fault)
{
	if (!lost)
		return __real_guest_read(cpu, dst, src, len, fault);
	lost = false;
	return GUEST_NOT_OWNED;
}

static int create(struct hypapi_event *ev, gpa1_t at, hypapi_partition_t *which)
{
	const struct hypapi_partition_page only = { .gva = GVA(at.addr), .rights = HYPAPI_RW | HYPAPI_HOME };

	return hypapi_quiesce(ev) < 0 ? -1 : hypapi_partition_create(ev, &only, 1, which);
}

static int enter(struct hypapi_event *ev, hypapi_partition_t which, uint64_t at)
{
	struct hypapi_partition_entry entry = { .rip = at, .long_mode = true };

	entry.gpr[HYPAPI_REG_RSP] = at + HYPAPI_PAGE_SIZE - 16;
	return hypapi_partition_enter(ev, which, &entry);
}

static int write_other(struct hypapi_event *ev, uint64_t word)
{
	return hypapi_partition_write(ev, other, GVA(other_page.addr), &word, sizeof(word));
}

/* What is at RBX, to RDX. */
static int copy(struct hypapi_event *ev)
{
	uint64_t word = 0;
	int error = hypapi_copy_from(ev, &word, GVA(hypapi_reg_get(ev, HYPAPI_REG_RBX)), sizeof(word));

	hypapi_reg_set(ev, HYPAPI_REG_RDX, word);
	return error;
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint64_t word;
	int result = 0;

	switch (ev->args.hypercall.number) {
	case CREATE: result = create(ev, page, &partition); break;
	case CREATE_OTHER: result = create(ev, other_page, &other); break;
	case ENTER: result = enter(ev, partition, page.addr); break;
	case ENTER_OTHER: result = enter(ev, other, other_page.addr); break;
	case DESTROY: result = hypapi_quiesce(ev) < 0 ? -1 : hypapi_partition_destroy(ev, partition); break;
	case READ: result = hypapi_partition_read(ev, partition, &word, GVA(page.addr), sizeof(word)); break;
	case LEAVE: result = hypapi_partition_leave(ev); break;
	case RESTRICT: result = hypapi_quiesce(ev) < 0 ? -1 : hypapi_memory_restrict(ev, page, 1, HYPAPI_R); break;
	case WRAP: result = hypapi_reg_set(ev, HYPAPI_REG_RIP, hypapi_reg_get(ev, HYPAPI_REG_RIP) | 1ull << 32); break;
	case NO_KEY_BUT_HOME: result = hypapi_copy_from(ev, &word, GVA(other_page.addr), 1) == HYPAPI_EFAULT ?
					       hypapi_partition_at_home(ev, partition) : -1; break;
	case AT_HOME: result = hypapi_partition_at_home(ev, partition); break;
	case WRITE_OTHER: result = write_other(ev, hypapi_reg_get(ev, HYPAPI_REG_RBX)); break;
	case COPY: result = copy(ev); break;
	case SET_IF: result = hypapi_reg_set(ev, HYPAPI_REG_RFLAGS, RFLAGS_IF); break;
	}
	hypapi_reg_set(ev, HYPAPI_REG_RAX, (uint64_t)result);
	return HYPAPI_HANDLED;
}

static uint64_t flags; /* what a violation sets */

static enum hypapi_verdict on_violation(struct hypapi_event *ev)
{
	sim_assert(hypapi_memory_restrict(ev, page, 1, HYPAPI_RWX) == HYPAPI_OK);
	sim_assert(hypapi_reg_set(ev, HYPAPI_REG_RFLAGS, flags) == HYPAPI_OK);
	return HYPAPI_HANDLED;
}

static enum hypapi_verdict pass(struct hypapi_event *ev)
{
	(void)ev;
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(worlds,
	.priority = 1,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_QUIESCE | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_MEMORY,
	.subscriptions = {
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = on_violation },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = pass },
	},
	.claims = { { .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = CREATE,
		      .last = COPY } });

static const struct hypapp_descriptor *const hypapps[] = { &hypapp_worlds, NULL };

static void call(uint32_t number)
{
	sim_assert(sim_hypercall(number) == 0 && sim_get(HYPAPI_REG_RAX) == 0);
}

static void start_anew(void)
{
	barriers = 0;
	cpus[0]->guard = 0;
}

static const char *options;

static void boot(sim_code *code)
{
	sim_boot(hypapps, &(struct sim_options){ .seconds = 10, .options = options });
	l2 = sim_l2_create(1 << 20);
	page = sim_memory(HYPAPI_PAGE_SIZE);
	other_page = sim_memory(HYPAPI_PAGE_SIZE);
	speculation = (struct speculation){ .actions = BIT(SPEC_IBPB) | BIT(SPEC_IBPB_TO_L1), .touched = GUARD_VERW,
					    .to_l2 = GUARD_L1D };
	sim_start(0, code, NULL);
	sim_wait();
}

static void in_partition(void *arg)
{
	(void)arg;
	sim_assert(barriers == 1);
	sim_assert(cpus[0]->partition.caller_gpr[GPR_RBX] == 0x5ec2e7);
	sim_hypercall(LEAVE);
}

static void uses_partition(void *arg)
{
	(void)arg;
	call(CREATE);
	start_anew();
	sim_set(HYPAPI_REG_RBX, 0x5ec2e7);
	call(ENTER);
	sim_assert(barriers == 2);
	sim_assert(cpus[0]->guard == GUARD_VERW);
	for (int i = 0; i < GPR_COUNT; i++)
		sim_assert(cpus[0]->partition.caller_gpr[i] == 0);
}

static void around_a_partition(void **state)
{
	(void)state;
	sim_partition_code(in_partition, NULL);
	boot(uses_partition);
}

static void copies(void *arg)
{
	(void)arg;
	call(CREATE);
	start_anew();
	sim_hypercall(LEAVE); /* refused: there is nothing to leave */
	sim_assert(cpus[0]->guard == 0);
	call(READ);
	sim_assert(cpus[0]->guard == GUARD_VERW && barriers == 0);
}

static void copies_from_a_partition(void **state)
{
	(void)state;
	boot(copies);
}

static void in_l2(void *arg)
{
	(void)arg;
	sim_assert(barriers == 0);
	sim_assert(cpus[0]->guard == GUARD_L1D);
}

static void runs_l2(void *arg)
{
	(void)arg;
	start_anew();
	sim_assert(sim_l2_run(l2, in_l2, NULL, NULL) == EXIT_HLT_REASON);
	sim_assert(barriers == 1);
}

static void between_l1_and_l2(void **state)
{
	(void)state;
	boot(runs_l2);
}

/* What code at CPL 3 can do to the fields of its VMCS, as a CPU does it; and what it is told about that afterwards. */
static const struct { u32 field; u64 left; } left_behind[] = {
	{ VMCS_GUEST_DS_SEL, 0 }, { VMCS_GUEST_DS_AR, AR_UNUSABLE }, { VMCS_GUEST_ES_SEL, 0 },
	{ VMCS_GUEST_ES_AR, AR_UNUSABLE },
	{ VMCS_GUEST_FS_SEL, 0 }, { VMCS_GUEST_FS_BASE, 0x5ec2e7 }, { VMCS_GUEST_FS_LIMIT, 0x5ec },
	{ VMCS_GUEST_GS_SEL, 0 },
	{ VMCS_GUEST_GS_BASE, 0x5ec2e7 }, { VMCS_GUEST_GS_AR, AR_UNUSABLE },
	{ VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS },
	{ VMCS_GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_AC | RFLAGS_TF | BIT(10) },
};
static bool leaves, expects_own;
static uint32_t writes_in;

static void looks_and_leaves(void *arg)
{
	(void)arg;
	writes_in = writes;
	sim_assert(vmread(VMCS_GUEST_RFLAGS) == RFLAGS_FIXED1);
	for (size_t i = 0; i + 1 < sizeof(left_behind) / sizeof(left_behind[0]); i++) {
		if ((vmread(left_behind[i].field) == left_behind[i].left) != expects_own)
			sim_fault("field 0x%x is %lx", left_behind[i].field, vmread(left_behind[i].field));
	}
	for (size_t i = 0; leaves && i < sizeof(left_behind) / sizeof(left_behind[0]); i++)
		(void)!__real_vmx_vmwrite(left_behind[i].field, left_behind[i].left);
	sim_hypercall(LEAVE);
}

static void runs(uint32_t number, bool spoils, bool finds_own)
{
	leaves = spoils;
	expects_own = finds_own;
	writes = 0;
	call(number);
}

static void one_after_another(void *arg)
{
	(void)arg;
	call(CREATE);
	call(CREATE_OTHER);
	runs(ENTER, true, false);
	runs(ENTER, true, true);
	sim_assert(writes_in <= 6); /* RIP, RSP, RFLAGS, and the step over this hypercall */
	runs(ENTER_OTHER, false, false);
	runs(ENTER, true, false);
	call(DESTROY);
	call(CREATE); /* in the slot of the one that is gone, with its EPT root */
	runs(ENTER, false, false);
}

static void nothing_left_in_the_vmcs(void **state)
{
	(void)state;
	sim_partition_code(looks_and_leaves, NULL);
	boot(one_after_another);
}

/* ---- What L1 is told of L2 at an exit is what the next entry makes true ---- */

enum { NMI_EXITING = 1 << 3, VIRTUAL_NMIS = 1 << 5, BLOCKED = 1 << 3, UD_EVENT = 0x80000306 };

static uint32_t reason = ~0u;

static bool resumes(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)of, (void)arg;
	reason = exit->reason;
	return true;
}

static bool makes_them_virtual(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)arg;
	sim_l2_vmwrite(of, VMCS_PIN_CTLS, NMI_EXITING | VIRTUAL_NMIS);
	sim_l2_skip(exit);
	return true;
}

static void finds_no_event(void *arg)
{
	(void)arg;
	sim_assert(sim_exception().vector == 0);
}

static void ends_before_the_event(void *arg)
{
	(void)arg;
	sim_l2_vmwrite(l2, VMCS_PIN_CTLS, NMI_EXITING | VIRTUAL_NMIS);
	sim_l2_vmwrite(l2, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED);
	sim_l2_vmwrite(l2, VMCS_ENTRY_INTR_INFO, UD_EVENT);
	cpus[0]->guest_nmis = 1;
	sim_assert(sim_l2_run(l2, finds_no_event, NULL, resumes) == EXIT_HLT_REASON);
	sim_assert(reason == 0 && !cpus[0]->guest_nmis);
}

/* An exit comes before the event that the entry was to deliver. L1 does not ask for it again, and it does not come. */
static void an_event_told_is_not_delivered(void **state)
{
	(void)state;
	boot(ends_before_the_event);
}

static void unblocks_nmis(void *arg)
{
	(void)arg;
	(void)!__real_vmx_vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0); /* IRET */
	sim_assert(sim_cpuid(1, 0) == 0);
	sim_assert(vmread(VMCS_GUEST_INTERRUPTIBILITY) == BLOCKED);
}

static void gets_virtual_nmis(void *arg)
{
	(void)arg;
	sim_l2_vmwrite(l2, VMCS_PIN_CTLS, NMI_EXITING);
	sim_l2_vmwrite(l2, VMCS_GUEST_INTERRUPTIBILITY, BLOCKED);
	sim_assert(sim_l2_run(l2, unblocks_nmis, NULL, makes_them_virtual) == EXIT_HLT_REASON);
}

/* L2's IRET ends the blocking of VMCS02, not that of NMIs which L1 has exit; then L1 makes them virtual. */
static void nmis_stay_blocked_as_told(void **state)
{
	(void)state;
	boot(gets_virtual_nmis);
}

/*
 * Outside of VMX operation L1 leaves 64-bit mode. The same VMCS, in the same place, has the wrong host size then, as
 * hardware says, too.
 */
static void does_nothing(void *arg) { (void)arg; }

static void comes_back_in_32_bits(void *arg)
{
	uint64_t at = sim_memory(2 * HYPAPI_PAGE_SIZE).addr, *operand = sim_ram(HPA(at));

	(void)arg;
	sim_assert(sim_l2_run(l2, does_nothing, NULL, NULL) == EXIT_HLT_REASON);
	*operand = at + HYPAPI_PAGE_SIZE;
	sim_assert(sim_rdmsr(MSR_IA32_VMX_BASIC, operand + HYPAPI_PAGE_SIZE / 8) == 0);
	operand[HYPAPI_PAGE_SIZE / 8] &= VMX_BASIC_REVISION;
	sim_assert(sim_exit(EXIT_VMXOFF, 0) == 0);
	/* The operand: an address, no register. */
	*vmcs_field(sim_self, VMCS_EXIT_INSN_INFO) = BIT(27) | BIT(22) | 3u << 15 | 2u << 7;
	sim_assert(sim_exit(EXIT_VMXON, at) == 0);
	sim_assert(!(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_CF));
	*vmcs_field(sim_self, VMCS_ENTRY_CTLS) &= ~(u64)ENTRYCTL_IA32E;
	*vmcs_field(sim_self, VMCS_GUEST_DS_AR) = 0xc093;
	*vmcs_field(sim_self, VMCS_GUEST_DS_LIMIT) = 0xffffffff;
	sim_l2_run(l2, does_nothing, NULL, NULL);
}

static void host_size_is_checked_after_vmxon(void **state)
{
	(void)state;
	boot(comes_back_in_32_bits);
}

/* VMPTRLD reads its operand. */
static void loads_what_comes_back(void *arg)
{
	(void)arg;
	sim_assert(sim_l2_run(l2, does_nothing, NULL, NULL) == EXIT_HLT_REASON);
	lost = true;
	sim_assert(sim_l2_vmread(l2, VMCS_LINK_POINTER) == ~0ull && !lost);
}

static void operands_come_back_meanwhile(void **state)
{
	(void)state;
	boot(loads_what_comes_back);
}

/* ---- What a hypapp may set is a state that the CPU enters: the simulator judges each entry ---- */

enum { IF = 1 << 9, TF = 1 << 8 };

struct odd { uint64_t flags, shadow, activity, pending; };

static void set_state(const struct odd *state)
{
	*vmcs_field(sim_self, VMCS_GUEST_RFLAGS) = RFLAGS_FIXED1 | state->flags;
	*vmcs_field(sim_self, VMCS_GUEST_INTERRUPTIBILITY) = state->shadow;
	*vmcs_field(sim_self, VMCS_GUEST_ACTIVITY) = state->activity;
	*vmcs_field(sim_self, VMCS_GUEST_PENDING_DEBUG) = state->pending;
}

/* A violation in one state, at which a hypapp sets flags, leads to another one. */
static void becomes(struct odd before, uint64_t set, struct odd after)
{
	call(RESTRICT);
	set_state(&before);
	flags = set;
	sim_write64(GVA(page.addr), 1);
	sim_assert(vmread(VMCS_GUEST_RFLAGS) == (RFLAGS_FIXED1 | after.flags));
	sim_assert(vmread(VMCS_GUEST_INTERRUPTIBILITY) == after.shadow);
	sim_assert(vmread(VMCS_GUEST_ACTIVITY) == after.activity);
	sim_assert(vmread(VMCS_GUEST_PENDING_DEBUG) == after.pending);
	set_state(&(struct odd){ .flags = IF });
}

static void sets_odd_flags(void *arg)
{
	const uint64_t sti = INTERRUPTIBILITY_STI, mov_ss = INTERRUPTIBILITY_MOV_SS, step = PENDING_DEBUG_BS;

	(void)arg;
	becomes((struct odd){ IF, sti, 0, 0 }, 0, (struct odd){ 0, 0, 0, 0 });
	becomes((struct odd){ IF, sti, 0, 0 }, IF, (struct odd){ IF, sti, 0, 0 });
	becomes((struct odd){ IF, mov_ss, 0, 0 }, 0, (struct odd){ 0, mov_ss, 0, 0 });
	becomes((struct odd){ IF, mov_ss, 0, 0 }, IF | TF, (struct odd){ IF | TF, 0, 0, 0 });
	becomes((struct odd){ IF | TF, mov_ss, 0, step }, IF | TF, (struct odd){ IF | TF, mov_ss, 0, step });
	becomes((struct odd){ IF | TF, mov_ss, 0, step }, IF, (struct odd){ IF, mov_ss, 0, 0 });
	becomes((struct odd){ IF, 0, ACTIVITY_HLT, 0 }, IF | TF, (struct odd){ IF | TF, 0, ACTIVITY_ACTIVE, 0 });
}

static void wraps_at_4_gib(void *arg)
{
	(void)arg;
	*vmcs_field(sim_self, VMCS_GUEST_CS_AR) = 0xc09b;
	call(WRAP);
	*vmcs_field(sim_self, VMCS_GUEST_CS_AR) = 0xa09b;
}

/* Outside of IA-32e mode CS.L means nothing. */
static void steps_over_4_gib(void *arg)
{
	u64 controls = vmread(VMCS_ENTRY_CTLS);

	(void)arg;
	*vmcs_field(sim_self, VMCS_GUEST_CS_AR) = 0xe09b;
	*vmcs_field(sim_self, VMCS_ENTRY_CTLS) &= ~(u64)ENTRYCTL_IA32E;
	*vmcs_field(sim_self, VMCS_GUEST_RIP) = 0xffffffff;
	sim_cpuid(0, 0);
	sim_assert(vmread(VMCS_GUEST_RIP) == 1);
	call(WRAP);
	*vmcs_field(sim_self, VMCS_ENTRY_CTLS) = controls;
	*vmcs_field(sim_self, VMCS_GUEST_CS_AR) = 0xa09b;
}

static void sets_if_in_a_partition(void *arg)
{
	(void)arg;
	sim_assert(sim_hypercall(SET_IF) == 0 && !(vmread(VMCS_GUEST_RFLAGS) & IF));
	sim_hypercall(LEAVE);
}

static void enters_to_set_if(void *arg)
{
	(void)arg;
	call(CREATE);
	call(ENTER);
}

static void flags_that_no_entry_takes(void **state) { (void)state; boot(sets_odd_flags); }
static void rip_of_32_bit_code(void **state) { (void)state; boot(wraps_at_4_gib); }
static void rip_of_legacy_code(void **state) { (void)state; boot(steps_over_4_gib); }

static void no_interrupts_in_a_partition(void **state)
{
	(void)state;
	sim_partition_code(sets_if_in_a_partition, NULL);
	boot(enters_to_set_if);
}

/* ---- A partition's home is where the page tables lead, whatever a protection key takes ---- */

static void is_at_home_without_the_key(void *arg)
{
	(void)arg;
	call(CREATE);
	*vmcs_field(sim_self, VMCS_GUEST_CR4) |= CR4_PKE;
	sim_self->pkru = 1;
	call(NO_KEY_BUT_HOME);
}

static bool is_at_home(void)
{
	sim_assert(sim_hypercall(AT_HOME) == 0);
	return sim_get(HYPAPI_REG_RAX) == HYPAPI_OK;
}

static bool is_at_home_with(uint64_t word)
{
	sim_set(HYPAPI_REG_RBX, word);
	call(WRITE_OTHER);
	return is_at_home();
}

#define WINDOW BIT(39) /* nothing is mapped from here on */
enum { PDPT, PD, PT, HOME, PAGES };

/* Maps WINDOW to the page HOME, by the tables before it. Its entry. */
static uint64_t *window(uint64_t pml4, uint64_t first)
{
	uint64_t *entry = NULL, *table = sim_ram(HPA(pml4));

	for (uint32_t i = PDPT; i <= HOME; i++) {
		entry = &table[i == PDPT ? WINDOW >> 39 : 0];
		*entry = (first + i * PAGE_SIZE) | PTE_P | PTE_W | PTE_U;
		table = sim_ram(HPA(first + i * PAGE_SIZE));
	}
	return entry;
}

/* A kernel gives away a table on the way to the home, and guesses what its new owner keeps in place of the entry. */
static void guesses_a_word(void *arg)
{
	uint64_t first = sim_memory(PAGES * PAGE_SIZE).addr;
	uint64_t *entry = window(sim_get(HYPAPI_REG_CR3), first), word = *entry;

	(void)arg;
	page = GPA1(WINDOW);
	call(CREATE);
	sim_assert(is_at_home() && is_at_home());
	*entry = 0;
	sim_assert(!is_at_home());
	other_page = GPA1(first + PT * PAGE_SIZE);
	call(CREATE_OTHER);
	sim_assert(!is_at_home_with(0) && !is_at_home_with(word));
}

static void a_key_takes_no_home(void **state) { (void)state; boot(is_at_home_without_the_key); }
static void no_way_through_a_partition(void **state) { (void)state; boot(guesses_a_word); }

/* L1 moves the home of L2's partition and invalidates nothing: a cache may have had the page before, or none can. */
enum { MOVED_TO = 0x7000, IN_L2 = 0x5000 };
static bool was_accessed;

static bool moves_the_home(struct sim_l2 *of, const struct sim_l2_exit *exit, void *arg)
{
	(void)arg;
	sim_l2_map(of, GPA2(IN_L2), sim_l2_memory(of, GPA2(MOVED_TO)), HYPAPI_RWX);
	sim_l2_skip(exit);
	return true;
}

static void has_a_home(void *arg)
{
	uint64_t *pml4 = arg;

	page = GPA1(IN_L2);
	for (uint64_t table = 0; table < 3; table++) /* those of L2 are a row, and no cache is to want their flags */
		sim_write64(GVA((uint64_t)pml4 + table * PAGE_SIZE + PAGE_SIZE / 2), 0);
	if (was_accessed)
		sim_read64(GVA(page.addr));
	call(CREATE);
	sim_assert(is_at_home() && is_at_home());
	sim_assert(sim_cpuid(1, 0) == 0);
	sim_assert_equal(is_at_home(), was_accessed);
}

static void runs_an_l2_with_a_home(void *arg)
{
	(void)arg;
	sim_l2_vmwrite(l2, VMCS_EPTP, sim_l2_vmread(l2, VMCS_EPTP) | EPTP_AD);
	sim_assert(sim_l2_run(l2, has_a_home, (void *)sim_l2_vmread(l2, VMCS_GUEST_CR3), moves_the_home) ==
		   EXIT_HLT_REASON);
}

static void home_without_accessed_flag(void **state) { (void)state; boot(runs_an_l2_with_a_home); }

static void home_with_accessed_flag(void **state)
{
	(void)state;
	was_accessed = true;
	boot(runs_an_l2_with_a_home);
}

/* ---- A page that the core knows is asked for again in the mode of that moment ---- */

static bool reads(uint64_t value)
{
	sim_set(HYPAPI_REG_RBX, WINDOW);
	sim_assert(sim_hypercall(COPY) == 0);
	return sim_get(HYPAPI_REG_RAX) == HYPAPI_OK && sim_get(HYPAPI_REG_RDX) == value;
}

static bool reads_nothing(void)
{
	sim_set(HYPAPI_REG_RBX, WINDOW);
	sim_assert(sim_hypercall(COPY) == 0);
	return (int)sim_get(HYPAPI_REG_RAX) == HYPAPI_EFAULT;
}

/* The third time by what is known. */
static bool knows(uint64_t value) { return reads(value) && reads(value) && reads(value); }

/* Known, and not to be read once the bits of this field are others. */
static void ends_with(uint32_t field, uint64_t bits)
{
	sim_assert(knows(1));
	*vmcs_field(sim_self, field) ^= bits;
	sim_assert(reads_nothing());
	*vmcs_field(sim_self, field) ^= bits;
	sim_assert(knows(1));
}

static void comes_by_other_tables(uint64_t cr3, uint64_t value)
{
	uint64_t tables = sim_memory((1 + PAGES) * PAGE_SIZE).addr, *first = sim_ram(HPA(cr3));

	*(uint64_t *)sim_ram(HPA(tables)) = *first;
	window(tables, tables + PAGE_SIZE);
	sim_write64(GVA(tables + (1 + HOME) * PAGE_SIZE), value);
	sim_assert(knows(1));
	sim_set(HYPAPI_REG_CR3, tables);
	sim_assert(knows(value));
	sim_set(HYPAPI_REG_CR3, cr3);
	sim_assert(knows(1));
}

static void changes_its_mode(void *arg)
{
	uint64_t first = sim_memory(PAGES * PAGE_SIZE).addr, cr3 = sim_get(HYPAPI_REG_CR3);
	uint64_t *entry = window(cr3, first);

	(void)arg;
	sim_write64(GVA(first + HOME * PAGE_SIZE), 1);
	comes_by_other_tables(cr3, 2);
	ends_with(VMCS_GUEST_CR4, CR4_SMAP);
	*entry |= PTE_NX;
	ends_with(VMCS_GUEST_EFER, EFER_NXE);
	sim_set_mode(true, 3);
	*vmcs_field(sim_self, VMCS_GUEST_CR4) |= CR4_PKE;
	sim_assert(knows(1));
	sim_self->pkru = 1;
	sim_assert(reads_nothing());
}

static void known_in_one_mode(void **state) { (void)state; boot(changes_its_mode); }

/* ---- A partition's time ---- */

enum { MS = 1000000, PARTITION_TIME = 50 * MS };
static u64 stands_at; /* the machine's clock; 0: it runs. Atomic */

u64 __real_machine_ticks(void);
u64 __wrap_machine_ticks(void);

u64 __wrap_machine_ticks(void)
{
	u64 at = __atomic_load_n(&stands_at, __ATOMIC_RELAXED);

	return at ? at : __real_machine_ticks();
}

static void passes(u64 ticks) { __atomic_fetch_add(&stands_at, ticks, __ATOMIC_RELAXED); }

static u64 left_after_an_exit(void)
{
	sim_assert(sim_cpuid(0, 0) == 0);
	return vmread(VMCS_PREEMPTION_TIMER);
}

static uint32_t spent; /* how often a partition had all of its time */

/* The last exit comes too late. */
static void spends_its_time(void *arg)
{
	(void)arg;
	sim_assert_equal(vmread(VMCS_PREEMPTION_TIMER), PARTITION_TIME);
	passes(30 * MS);
	sim_assert_equal(left_after_an_exit(), 20 * MS);
	passes(100 * MS);
	cpus[0]->quiesce.count.ticks_stopped += 100 * MS; /* by others */
	sim_assert_equal(left_after_an_exit(), 20 * MS);
	passes(20 * MS);
	sim_assert_equal(left_after_an_exit(), 0);
	passes(1);
	spent++;
	left_after_an_exit();
	sim_fault("a partition has more than its time");
}

static void has_a_bound(void *arg)
{
	(void)arg;
	call(CREATE);
	__atomic_store_n(&stands_at, __real_machine_ticks(), __ATOMIC_RELAXED);
	for (uint32_t i = 1; i <= 2; i++)
		sim_assert(sim_hypercall(ENTER) == VEC_GP && spent == i);
	__atomic_store_n(&stands_at, 0, __ATOMIC_RELAXED);
}

static void time_of_its_own(void **state)
{
	(void)state;
	options = "partition-time=50ms";
	sim_partition_code(spends_its_time, NULL);
	boot(has_a_bound);
}

/* ---- 32-bit paging: which bits of a 4 MiB page are reserved depends on the CPU's address bits ---- */

enum { PAGE_4M = PTE_P | PTE_W | PTE_LARGE, LOWEST = 13, HIGHEST = 21 };

static bool is_refused(u64 table, u32 bit)
{
	struct guest_walk walk;
	struct guest_page found;

	*(u32 *)sim_ram(HPA(table)) = PAGE_4M | 1u << bit;
	guest_walk_begin(&walk, sim_self->core, 0);
	return guest_walk_page(&walk, GVA(0), HYPAPI_R, &found, NULL) == GUEST_PAGE_FAULT;
}

static void walks_4_mib_pages(void *arg)
{
	static const struct { u32 width, first_reserved; } rows[] = { { 36, 17 }, { 39, 20 }, { 40, 21 }, { 46, 21 } };
	u64 table = sim_memory(HYPAPI_PAGE_SIZE).addr;
	u32 width = phys_bits();

	(void)arg;
	*vmcs_field(sim_self, VMCS_GUEST_CR0) |= CR0_PG;
	*vmcs_field(sim_self, VMCS_GUEST_CR4) |= CR4_PSE;
	*vmcs_field(sim_self, VMCS_GUEST_CR4) &= ~(u64)CR4_PAE;
	*vmcs_field(sim_self, VMCS_GUEST_EFER) = 0;
	*vmcs_field(sim_self, VMCS_GUEST_CR3) = table;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		phys_bits_known = rows[i].width;
		for (u32 bit = LOWEST; bit <= HIGHEST; bit++)
			sim_assert(is_refused(table, bit) == (bit >= rows[i].first_reserved));
	}
	phys_bits_known = width;
	sim_assert(!is_refused(table, 22));
}

static void address_bits_of_4_mib_pages(void **state) { (void)state; boot(walks_4_mib_pages); }

/* ---- What the core keeps of an instruction that stores to the APIC ---- */

/* MOV to memory, in what is one page of the window at `entry`. */
static void put_store(uint64_t *entry, bool user)
{
	uint8_t *code = sim_ram(HPA(*entry & PTE_ADDR));

	code[0] = 0x89;
	code[1] = 0x07;
	if (!user)
		*entry &= ~PTE_U;
}

/* Length of the instruction that the core finds there; 0: none. */
static unsigned int store_at(uint64_t rip)
{
	uint64_t before = *vmcs_field(sim_self, VMCS_GUEST_RIP);

	*vmcs_field(sim_self, VMCS_GUEST_RIP) = rip;
	unsigned int len = guest_store_fetch(sim_self->core, 64)->len;

	*vmcs_field(sim_self, VMCS_GUEST_RIP) = before;
	return len;
}

/*
 * A's page table becomes a partition's. B, of which no way is kept, takes A's place; then no address is known, least
 * of all if a word of the partition's is what A's entry was.
 */
static void store_behind_a_lost_table(void *arg)
{
	uint64_t cr3 = sim_get(HYPAPI_REG_CR3), *pml4 = sim_ram(HPA(cr3));
	uint64_t first = sim_memory(PAGES * PAGE_SIZE).addr, second = sim_memory(PAGES * PAGE_SIZE).addr;
	uint64_t *b = window(cr3, second), below_b = pml4[1], *a = window(cr3, first);

	(void)arg;
	pml4[2] = below_b;
	put_store(a, false);
	put_store(b, true);
	uint64_t word = *a;

	*vmcs_field(sim_self, VMCS_GUEST_CR4) |= CR4_SMAP;
	*vmcs_field(sim_self, VMCS_GUEST_RFLAGS) |= RFLAGS_AC;
	sim_assert(store_at(WINDOW) == 2);
	other_page = GPA1(first + PT * PAGE_SIZE);
	call(CREATE_OTHER);
	for (int guess_is_right = 0; guess_is_right < 2; guess_is_right++) {
		sim_assert(store_at(2 * WINDOW) == 2);
		sim_set(HYPAPI_REG_RBX, guess_is_right ? word : word ^ 1u << 20);
		call(WRITE_OTHER);
		sim_assert(store_at(~0ull) == 0);
	}
}

static void no_store_behind_a_lost_table(void **state) { (void)state; boot(store_behind_a_lost_table); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(around_a_partition), sim_test(copies_from_a_partition), sim_test(between_l1_and_l2),
		sim_test(nothing_left_in_the_vmcs), sim_test(an_event_told_is_not_delivered),
		sim_test(flags_that_no_entry_takes), sim_test(rip_of_32_bit_code),
		sim_test(no_store_behind_a_lost_table),
		sim_test(rip_of_legacy_code), sim_test(address_bits_of_4_mib_pages),
		sim_test(no_interrupts_in_a_partition), sim_test(a_key_takes_no_home),
		sim_test(no_way_through_a_partition),
		sim_test(home_without_accessed_flag), sim_test(home_with_accessed_flag),
		sim_test(known_in_one_mode), sim_test(time_of_its_own),
		sim_test(nmis_stay_blocked_as_told), sim_test(operands_come_back_meanwhile),
		sim_test_fault(host_size_is_checked_after_vmxon, "VMRESUME of L1 fails"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
