/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=vmx-diff seed=N count=M: see diff.h. One line a seed, its hash and the exits; with verbose=1 each part of the
 * hash is shown, so that the first difference between two machines can be found. show=N: of this seed alone, with those
 * before it told, too. interfere=1, with two CPUs: see diff_interfere.c.
 */
#include "diff.h"

#define STEPS 8
#define TIMER 20000

bool diff_tells;
static u64 state, apart, start, hash;
static u32 reasons[STEPS], steps;
static u32 excluded, entered, refused;

void diff_seed(u64 seed)
{
	state = (seed + 1) * 0x9e3779b97f4a7c15ull | 1;
	for (u32 i = 0; i < 4; i++)
		diff_random();
	start = state;
	apart = diff_aside(100) | 1;
}

u64 diff_aside(u64 which)
{
	u64 x = start + which * 0xbf58476d1ce4e5b9ull;

	x = (x ^ x >> 31) * 0x94d049bb133111ebull;
	return x ^ x >> 29;
}

static u64 next_of(u64 *sequence)
{
	*sequence ^= *sequence << 13;
	*sequence ^= *sequence >> 7;
	*sequence ^= *sequence << 17;
	return *sequence;
}

u64 diff_random(void)
{
	return next_of(&state);
}

u64 diff_apart(void)
{
	return next_of(&apart);
}

static void note(const char *what, u64 value)
{
	hash = (hash ^ value) * 0x100000001b3ull;
	hash ^= hash >> 29;
	if (diff_tells)
		print("%s %lx\n", what, value);
}

/* ---- what L1 sees ---- */

static u64 sum_of(const void *page, size_t bytes)
{
	u64 sum = 0;

	for (size_t i = 0; i < bytes / 8; i++)
		sum = (sum ^ ((const u64 *)page)[i]) * 0x100000001b3ull + (sum >> 31);
	return sum;
}

#define FIELD_ROW(name, encoding) { #name, encoding },
static const struct { const char *name; u16 encoding; } fields[] = { VMCS_FIELDS(FIELD_ROW) };
#undef FIELD_ROW

/* Guest state, but for the timer's. PDPTEs are saved in PAE paging only. */
static void note_guest_state(u32 reason)
{
	bool pae = (vmread(VMCS_GUEST_CR4) & CR4_PAE) && (vmread(VMCS_GUEST_CR0) & CR0_PG) &&
		   !(vmread(VMCS_ENTRY_CONTROLS) & ENTRYC_GUEST_64);

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		u16 field = fields[i].encoding;

		if ((field >> 10 & 3) != 2 || field == VMCS_PREEMPTION_TIMER)
			continue;
		if (field >= VMCS_GUEST_PDPTE0 && field <= VMCS_GUEST_PDPTE3 && !pae)
			continue;
		note(fields[i].name, vmread(field) & ~diff_ignored(field, reason));
	}
	note("entry controls", vmread(VMCS_ENTRY_CONTROLS));
	note("event", vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID);
}

/* The time stamp may stand in RAX and RDX where L2 was stopped before it had cleared them behind RDTSC or RDTSCP. */
static bool has_read_time(void)
{
	const u8 *code = diff_world.code;
	u64 rip = vmread(VMCS_GUEST_RIP) & 0xfff;

	for (u64 at = rip < 12 ? 0 : rip - 12; rip < 0x600 && at < rip; at++)
		if (code[at] == 0x0f && (code[at + 1] == 0x31 || (code[at + 1] == 1 && code[at + 2] == 0xf9)))
			return true;
	return false;
}

static void note_l2(void)
{
	struct world *w = &diff_world;
	bool time = has_read_time();

	for (u32 i = 0; i < 16; i++)
		if (i != RSP_UNUSED && !(time && (i == RAX || i == RDX)))
			note("register", w->v.regs[i]);
	diff_note_logs(note);
	diff_note_switch(note);
	diff_note_shadow(note);
	note("stack", sum_of(w->stack, PAGE_SIZE));
	note("play", sum_of(w->play, PLAY_PAGES * PAGE_SIZE));
	note("virtual APIC", sum_of(w->virtual_apic, 256));
	note("stored", sum_of(w->lists + 8, 8 * sizeof(struct msr_entry)));
	if (vmread(VMCS_EPTP) & EPTP_AD)
		for (u64 i = 0; i < PLAY_PAGES; i++)
			note("EPT entry", *ept_entry(&w->ept, (u64)w->play + i * PAGE_SIZE, EPT_4K));
}

static void note_l1(void)
{
	u64 dr6;

	asm volatile("movq %%dr6, %0" : "=r"(dr6));
	note("CR0", read_cr0());
	note("CR2", read_cr2());
	note("CR4", read_cr4());
	note("DR6", dr6);
	note("DR7", read_dr7());
	note("EFER", rdmsr(MSR_EFER));
	note("PAT", rdmsr(0x277));
	note("FS base", rdmsr(0xc0000100));
	for (const u32 *msr = diff_msrs; *msr; msr++)
		note("MSR", rdmsr(*msr));
}

static void note_exit(const struct vm_exit *e)
{
	note("exit", e->reason);
	reasons[steps++] = e->reason;
	if (!(e->reason & EXIT_ENTRY_FAILED))
		t_note_exit(e, note);
	else	/* the other fields are not written, the manual says; Bochs clears some */
		note("qualification", diff_order_is_free() ? 0 : e->qualification);
}

/* ---- the story ---- */

static void reset_l1(void)
{
	for (const u32 *msr = diff_msrs; *msr; msr++)
		wrmsr(*msr, 0x1000 + (*msr & 0xff));
	wrmsr(0x277, 0x0007040600070406);
	wrmsr(0xc0000100, 0);
	wrmsr(MSR_EFER, EFER_LME | EFER_LMA);
	write_cr0((read_cr0() | CR0_WP) & ~(u64)(CR0_TS | CR0_EM | CR0_MP));
	write_cr8(0);
	asm volatile("movq %0, %%cr2; movq %0, %%dr6; movq %0, %%dr0; movq %1, %%dr7" :: "r"(0ull), "r"(0x400ull));
}

static void set_registers(void)
{
	struct world *w = &diff_world;
	const u64 values[] = { 0, 1, ~0ull, (u64)w->play, (u64)w->play + PAGE_SIZE - 2,
		(u64)w->play + 2 * PAGE_SIZE + 8,
			       (u64)w->stack + 0x100, 0x42, 0x80, BIT(63), BIT(47), 0x80050033, diff_random() };

	for (u32 i = 0; i < 16; i++)
		w->v.regs[i] = values[diff_below(ARRAY_SIZE(values))];
	w->v.regs[RDI] = (u64)w->play + diff_below(PLAY_PAGES) * PAGE_SIZE + diff_below(0xfff);
	w->v.regs[RSI] = (u64)w->play + diff_below(PLAY_PAGES) * PAGE_SIZE + diff_below(0xfff);
}

/*
 * Bochs never ends blocking of virtual NMIs but by an IRET of L2: after a story in which there were NMIs one is
 * executed, so that a story does not depend on the one before.
 */
static bool had_nmis;

static void end_nmi_blocking(void)
{
	extern const u8 diff_iret[], diff_iret_end[];
	struct world *w = &diff_world;

	diff_world_reset(MODE_64);
	copy_bytes(w->code, diff_iret, (size_t)(diff_iret_end - diff_iret));
	hv_set(VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMI);
	if ((hv_run(&w->v) != VMX_OK || w->v.exit.reason != EXIT_VMCALL) && !option_number("interfere", 0))
		fail("no IRET: exit %x", w->v.exit.reason);
	asm volatile("int $0x42");
	had_nmis = false;
}

asm("diff_iret: movl %ss, %eax; pushq %rax; leaq 8(%rsp), %rax; pushq %rax; pushfq; movl %cs, %eax; pushq %rax\n"
    "leaq 1f(%rip), %rax; pushq %rax; iretq; 1: vmcall; diff_iret_end:\n");

/* Something of the story so far may have blocked NMIs. */
static void look_for_nmis(void)
{
	had_nmis |= (vmread(VMCS_ENTRY_INTR_INFO) & 0x700) == INTR_NMI ||
		(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCK_NMI);
}

static enum diff_mode begin(void)
{
	enum diff_mode mode = diff_below(MODES);

	if (had_nmis)
		end_nmi_blocking();

	diff_world_reset(mode);
	reset_l1();
	diff_load_code(mode);
	vmwrite(VMCS_PREEMPTION_TIMER, TIMER);
	set_registers();
	diff_vary_controls();
	if (diff_one_in(3))
		diff_vary_event();
	if (diff_one_in(3))
		diff_vary_lists();
	for (u32 n = diff_one_in(2) ? 0 : 1 + diff_below(8); n; n--)
		diff_move_field();
	if (diff_one_in(4)) {
		diff_edit_ept();
		ept_flush(diff_ept());
	}
	diff_vary_logs();
	diff_vary_switch();
	diff_vary_shadow();
	return mode;
}

/*
 * Where an event comes before the access that L1 has mended EPT12 for, the access may never come again. XMHF has set
 * its accessed flag, as a CPU may (vol. 3, "Accessed and Dirty Flags for EPT"); the emulator has not.
 */
static u64 mended;

static void mark_mended(void)
{
	u64 at = mended - (u64)diff_world.play;

	if (mended && at < PLAY_PAGES * PAGE_SIZE && (vmread(VMCS_ENTRY_INTR_INFO) & INTR_VALID))
		*ept_entry(diff_ept(), mended, EPT_4K) |= EPT_ACCESSED;
	mended = 0;
}

/* What L1 does about an exit. False: the story ends. */
static bool answer(void)
{
	struct vcpu *v = &diff_world.v;
	const struct vm_exit *e = &v->exit;

	if (e->reason & EXIT_ENTRY_FAILED)
		return false;
	switch (e->reason) {
	case EXIT_EXCEPTION_NMI:
		if (diff_one_in(2) || (e->intr_info & 0x700) == INTR_NMI)
			return false;
		if ((e->intr_info & 0x700) == INTR_HARD && (e->intr_info & 0xff) != VEC_DB)
			hv_set(VMCS_GUEST_RFLAGS, BIT(16)); /* see diff_ignored() */
		vmwrite(VMCS_ENTRY_INTR_INFO, e->intr_info & ~0x1000u);
		vmwrite(VMCS_ENTRY_ERROR_CODE, e->intr_error);
		vmwrite(VMCS_ENTRY_INSN_LENGTH, e->length);
		return true;
	case EXIT_EPT_VIOLATION:
	case EXIT_EPT_MISCONFIG:
		diff_mend_ept();
		mended = vmread(VMCS_GUEST_PHYSICAL_ADDR);
		if (!(e->idt_info & INTR_VALID))
			hv_set(VMCS_GUEST_RFLAGS, BIT(16));
		vmwrite(VMCS_ENTRY_INTR_INFO, e->idt_info & ~0x1000u);
		vmwrite(VMCS_ENTRY_ERROR_CODE, e->idt_error);
		vmwrite(VMCS_ENTRY_INSN_LENGTH, e->length);
		return true;
	case EXIT_INTERRUPT_WINDOW:
		hv_clear(VMCS_CPU_CONTROLS, CPU_INTERRUPT_WINDOW);
		return true;
	case EXIT_NMI_WINDOW:
		hv_clear(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
		return true;
	case EXIT_VMCALL:
		if ((u32)v->regs[RAX] == DIFF_END || (v->regs[RAX] & ~0xffull) == DIFF_TRAP)
			return false;
		break;
	case EXIT_RDTSC:
	case EXIT_RDMSR:
		v->regs[RAX] = v->regs[RDX] = 0;
		break;
	}
	if (!t_has_length(e->reason))
		return false;
	hv_skip(v);
	return true;
}

/* Between two entries. */
static void meanwhile(void)
{
	struct vcpu *v = &diff_world.v;
	struct inv_descriptor everything = { 0, 0 };

	vmwrite(VMCS_PREEMPTION_TIMER, TIMER);
	if (diff_one_in(4)) {
		diff_edit_ept();
		ept_flush(diff_ept());
	}
	if (diff_one_in(8)) {
		if (try_vmclear(&v->vmcs) != VMX_OK || try_vmptrld(&v->vmcs) != VMX_OK)
			fail("VMCLEAR and VMPTRLD");
		v->launched = 0;
	}
	if (diff_one_in(8))
		note("INVVPID", try_invvpid(2, &everything));
	if (diff_one_in(8))
		note("INVEPT", try_invept(2, &everything));
	if (diff_one_in(6))
		diff_move_field();
	if (diff_one_in(8))
		diff_vary_event();
	diff_change_switch();
	diff_change_shadow();
}

/* False: the story ends. */
static bool step(void)
{
	struct vcpu *v = &diff_world.v;
	const char *rule = diff_excluded();

	if (rule) {
		excluded++;
		note(rule, 0);
		return false;
	}
	look_for_nmis();
	mark_mended();
	diff_before_entry();
	vmx_result result = hv_run(v);

	look_for_nmis();
	note("entry", result);
	if (result != VMX_OK) {
		refused++;
		note("error", result == VMX_FAIL_VALID ? v->insn_error : 0);
		return false;
	}
	entered++;
	note_exit(&v->exit);
	note_l1();
	/* Where the timer ends L2 nobody can say. */
	if (v->exit.reason == EXIT_PREEMPTION_TIMER)
		return false;
	note_guest_state(v->exit.reason);
	note_l2();
	return answer();
}

/* What there is to see of the story before it is told. */
static void show(void)
{
	static const u16 shown[] = { VMCS_PIN_CONTROLS, VMCS_CPU_CONTROLS, VMCS_CPU_CONTROLS2, VMCS_EXIT_CONTROLS,
				     VMCS_ENTRY_CONTROLS, VMCS_ENTRY_INTR_INFO, VMCS_ENTRY_INSN_LENGTH,
					VMCS_EXCEPTION_BITMAP,
				     VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_EXIT_MSR_STORE_COUNT,
				     VMCS_EXIT_MSR_LOAD_COUNT, VMCS_GUEST_RFLAGS };

	for (size_t i = 0; diff_tells && i < ARRAY_SIZE(shown); i++)
		print("field %x: %lx\n", shown[i], vmread(shown[i]));
	for (u32 i = 0; diff_tells && i < 96; i++)
		print(i % 32 ? " %02x" : "\ncode %02x", diff_world.code[i]);
	for (u32 i = 0; diff_tells && i < 24; i++)
		print(i % 8 ? " %x" : "\ncode list %x", diff_world.lists[i].index);
	if (diff_tells)
		print("\n");
}

static void story(u64 seed)
{
	diff_tells = seed == option_number("show", ~0ull) || option_number("verbose", 0);
	diff_seed(seed);
	hash = 0xcbf29ce484222325ull;
	note("mode", begin());
	show();
	steps = 0;
	mended = 0;
	for (u32 i = 0; i < STEPS && step(); i++)
		meanwhile();
	print("T seed %lu %lx", seed, hash);
	for (u32 i = 0; i < steps; i++)
		print(" %x", reasons[i]);
	print("\n");
}

DEFINE_TEST(vmx_diff, "vmx-diff", "differential fuzzing, see diff.h: seed=N count=M verbose=1")
{
	u64 first = option_number("seed", 0), count = option_number("count", 100);

	diff_tells = option_number("verbose", 0);
	if (!hv_supported())
		return;
	hv_on();
	if (option_number("interfere", 0)) {
		smp_start();
		diff_world_reset(MODE_64);
		diff_interfere(true);
	}
	for (u64 seed = first; seed < first + count; seed++)
		story(seed);
	if (option_number("interfere", 0))
		diff_interfere(false);
	hv_off();
	print("entries %u, refused %u, excluded %u\n", entered, refused, excluded);
}
