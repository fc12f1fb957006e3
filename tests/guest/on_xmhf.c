/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests that have a sense on XMHF only, with TrustVisor and helloworld in it. They judge themselves: each line says
 * "good" or "BAD", and a BAD line begins with "T FAIL", which fails the case. test=hypercalls: who may call what.
 * test=stops: all CPUs ask for stops at once, then run L2 among those of others, while NMIs fly. test=attack: every
 * address that L1 can hand to the hypervisor points at its memory or at a PAL's, and the PAL's secret stays in the PAL.
 * test=no-exits: what nobody claims does not exit.
 */
#include "../../hypapps/trustvisor/include/trustvisor/abi.h"
#include "test.h"

#define HELLO_RUNNING 0x100u
#define HELLO_STOP_BY_FLAG 0x101u
#define HELLO_STOP_BY_CALL 0x102u
#define HELLO_UNUSED 0x10fu		/* claimed, without a meaning */
#define L2_BASE TV_L2_BASE_DEFAULT
#define WINDOW 0x80000000ull

static void judge(const char *what, bool is_good)
{
	print(is_good ? "T %s: good\n" : "T FAIL %s: BAD\n", what);
}

/* VMCALL that may fault: the vector, or NO_FAULT with the answer in *eax and *ebx. */
static u32 call(u32 number, u64 c, u64 d, u64 si, u64 di, u32 *eax, u32 *ebx)
{
	u32 a = number, b = 0;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(a), "+b"(b) : "c"(c), "d"(d), "S"(si), "D"(di) : "memory");
	*eax = a;
	*ebx = b;
	return last_fault();
}

static bool answers(u32 number, u32 expected)
{
	u32 eax, ebx;

	return call(number, 0, 0, 0, 0, &eax, &ebx) == NO_FAULT && eax == expected;
}

static bool is_undefined(u32 number)
{
	u32 eax, ebx;

	return call(number, 0, 0, 0, 0, &eax, &ebx) == VEC_UD;
}

static bool is_xmhf(void)
{
	struct cpuid r = cpuid(TV_CPUID_LEAF, 0);

	if (r.eax != TV_CPUID_PRESENT)
		print("T FAIL no TrustVisor here\n");
	return r.eax == TV_CPUID_PRESENT;
}

/* ---- hypercalls ---- */

static void user_test_call(void) { asm volatile("movl $255, %%eax; vmcall; int $0x80" ::: "memory"); }
static void user_stop_call(void)
{
	asm volatile("movl $0x101, %%eax; vmcall; cmpl $1, %%eax; jne 1f; int $0x80; 1: ud2" ::: "memory");
}
static void user_unknown_call(void) { asm volatile("movl $0x7777, %%eax; vmcall; int $0x80" ::: "memory"); }

extern const u8 compat_test_call[];
asm(".code32\ncompat_test_call: movl $255, %eax; vmcall; testl %eax, %eax; jnz 1f; int $0x80\n1: ud2\n.code64\n");

static u32 l2_answers[6];

static void l2_calls(void)
{
	struct cpuid r = cpuid(TV_CPUID_LEAF, L2_BASE);
	u32 ebx;

	l2_answers[0] = r.eax;
	l2_answers[1] = r.ecx;
	l2_answers[2] = call(L2_BASE + TV_CMD_TEST, 0, 0, 0, 0, &l2_answers[3], &ebx);
	call(L2_BASE + 99, 0, 0, 0, 0, &l2_answers[4], &ebx);
	call(L2_BASE + HELLO_RUNNING, 0, 0, 0, 0, &l2_answers[5], &ebx);
	call(TV_CMD_TEST, 0, 0, 0, 0, &ebx, &ebx);		/* L1's range, from L2: an exit to L1 */
	call(L2_BASE + 0x7777, 0, 0, 0, 0, &ebx, &ebx);		/* nobody's */
	l2_end();
}

DEFINE_TEST(hypercalls, "hypercalls",
	"XMHF only: hypercalls from both levels, known and unknown, at each privilege level")
{
	struct cpuid r = cpuid(TV_CPUID_LEAF, 0), other = cpuid(TV_CPUID_LEAF, 5);
	u32 eax, ebx, exits = 0;

	if (!is_xmhf() || !hv_supported())
		return;
	judge("CPUID leaf", r.ebx == TV_CPUID_NO_PAL && r.ecx == TV_CPUID_LONG_MODE && r.edx == 0);
	judge("CPUID leaf with another ECX is the CPU's own", other.eax != TV_CPUID_PRESENT);
	judge("test command", answers(TV_CMD_TEST, 0));
	judge("unknown command of TrustVisor", call(99, 0, 0, 0, 0, &eax, &ebx) == NO_FAULT && eax != 0);
	judge("numbers beside its commands", call(0, 0, 0, 0, 0, &eax, &ebx) == NO_FAULT && eax == TV_E_UNKNOWN &&
		call(0x110, 0, 0, 0, 0, &eax, &ebx) == NO_FAULT && eax == TV_E_UNKNOWN &&
		call(0x1ff, 0, 0, 0, 0, &eax, &ebx) == NO_FAULT && eax == TV_E_UNKNOWN);
	judge("helloworld", answers(HELLO_RUNNING, 0) && answers(HELLO_STOP_BY_FLAG, 0) &&
		answers(HELLO_STOP_BY_CALL, 0));
	judge("claimed but unused number", is_undefined(HELLO_UNUSED));
	judge("unclaimed numbers", is_undefined(0x7777) && is_undefined(0x5ff) && is_undefined(~0u) &&
		is_undefined(L2_BASE + 255));
	judge("CPL 3, known", user_run(user_test_call).vector == NO_FAULT);
	judge("CPL 3, a stop of helloworld", user_run(user_stop_call).vector == NO_FAULT);
	judge("CPL 3, unknown", user_run(user_unknown_call).vector == VEC_UD);
	judge("32-bit code", user_run32(compat_test_call, (u32)(u64)page_alloc() + 0xff0).vector == NO_FAULT);
	judge("register with bad pointers",
	      call(TV_CMD_REGISTER, (u64)UNMAPPED, 0, (u64)UNMAPPED, 0, &eax, &ebx) == NO_FAULT &&
						    eax == TV_E_FAULT);
	judge("register with pointers that are not canonical",
	      call(TV_CMD_REGISTER, BIT(63), 0, BIT(63), 0, &eax, &ebx) == NO_FAULT && eax != 0);
	judge("unregister of no PAL", call(TV_CMD_UNREGISTER, 0x100000, 0, 0, 0, &eax, &ebx) == NO_FAULT &&
		eax == TV_E_NO_PAL);
	hv_on();
	hv_init(&l2, HV_LONG64, l2_calls);
	while (hv_run(&l2) == VMX_OK && !(l2.exit.reason == EXIT_VMCALL && l2.regs[RAX] == L2_END)) {
		if (l2.exit.reason == EXIT_VMCALL)
			exits += l2.regs[RAX] == TV_CMD_TEST ? 1 : l2.regs[RAX] == L2_BASE + 0x7777 ? 0x10 : 0x100;
		hv_skip(&l2);
	}
	judge("CPUID leaf in L2", l2_answers[0] == TV_CPUID_PRESENT &&
		l2_answers[1] == (TV_CPUID_LONG_MODE | TV_CPUID_EPT12));
	judge("test command in L2", l2_answers[2] == NO_FAULT && l2_answers[3] == 0);
	judge("unknown command in L2", l2_answers[4] != 0 && l2_answers[4] != L2_BASE + 99);
	judge("helloworld in L2", l2_answers[5] == 0);
	judge("other VMCALLs of L2 are exits to L1", exits == 0x11);
	hv_off();
}

/* ---- stops ---- */

#define ROUNDS 300u

static struct vcpu vcpus[MAX_CPUS];
static volatile u32 failures, finished;

static void ask(u32 i, u32 base, u32 expected)
{
	u32 number = i % 3 == 0 ? HELLO_RUNNING : i % 3 == 1 ? HELLO_STOP_BY_FLAG : HELLO_STOP_BY_CALL;

	if (!answers(base + number, i % 3 ? expected : 0))
		__atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST);
}

/* L2 is stopped by others, and may not stop them itself. */
static void l2_ask_for_stops(void)
{
	for (u32 i = 0; i < ROUNDS; i++)
		ask(i, L2_BASE, 1);
	l2_end();
}

/* Half of the rounds in L1, then in L2; between its own calls each CPU serves the stops of the others. */
static void ask_on_both_levels(void *unused)
{
	struct vcpu *v = &vcpus[this_cpu()->index];

	(void)unused;
	for (u32 i = 0; i < ROUNDS; i++)
		ask(i, 0, 0);
	hv_on();
	hv_init(v, HV_LONG64, l2_ask_for_stops);
	if (hv_run(v) != VMX_OK || v->exit.reason != EXIT_VMCALL || v->regs[RAX] != L2_END)
		__atomic_fetch_add(&failures, 1, __ATOMIC_SEQ_CST);
	hv_off();
	__atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
}

/* One CPU sends NMIs to another, each after the one before has been handled, until all others have finished. */
static u32 send_nmis(u32 to)
{
	volatile u32 *count = &cpus[to].irq_count[VEC_NMI];
	u32 sent = 0;

	while (finished < cpu_count - 1 && cpus[to].work) {
		u32 before = *count;
		u64 start = rdtsc();

		send_nmi(to);
		sent++;
		while (*count == before) {
			u32 in_l2 = vcpus[to].cpu ? vcpus[to].cpu->irq_count[VEC_NMI] : 0;
			static u32 seen_in_l2;

			if (in_l2 != seen_in_l2) {	/* L2 took it by its own IDT */
				seen_in_l2 = in_l2;
				break;
			}
			if (rdtsc() - start > 100000000) {
				judge("an NMI arrives among the stops", false);
				return sent;
			}
			pause();
		}
	}
	return sent;
}

static u32 hello_count(void)
{
	u32 eax, ebx;

	call(HELLO_RUNNING, 0, 0, 0, 0, &eax, &ebx);
	return ebx;
}

DEFINE_TEST(stops, "stops", "XMHF only: every CPU asks for stops at once in L1, or runs L2 meanwhile, with NMIs on top")
{
	u32 before, sent = 0;

	if (!is_xmhf() || !hv_supported())
		return;
	hv_identity_ept();
	answers(HELLO_STOP_BY_FLAG, 0);		/* the other CPUs wait for SIPI */
	judge("a stop while the others wait for SIPI", answers(HELLO_STOP_BY_CALL, 0));
	smp_start();
	judge("a stop while the others are in HLT", answers(HELLO_STOP_BY_FLAG, 0));
	before = hello_count();
	for (u32 i = 1; i < cpu_count; i++)
		smp_run(i, ask_on_both_levels, NULL);
	if (cpu_count > 1)
		sent = send_nmis(1);
	for (u32 i = 1; i < cpu_count; i++)
		smp_wait(i);
	ask_on_both_levels(NULL);
	print("NMIs sent meanwhile: %u\n", sent);
	judge("all answers", failures == 0);
	judge("helloworld's count", hello_count() == before + (ROUNDS + ROUNDS / 3) * cpu_count + 1);
}

/* ---- attacks ---- */

#define SECRET 0x5ec2e7u

asm(".section .text\n.balign 4096\n"
    "attack_pal: movq %rdi, %rax; addl attack_pal_data(%rip), %eax; ret\n"
    ".balign 4096\n.data\n.balign 4096\nattack_pal_data: .skip 4096\n.text\n");
extern u8 attack_pal[];
extern u32 attack_pal_data[1024];

static struct tv_pal_sections sections;
static const struct tv_pal_params params = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER, .size = 1 }, { .type = TV_PARAM_INTEGER, .size = 1 } },
};

static u32 ask_to_register(void)
{
	u32 eax, ebx;

	call(TV_CMD_REGISTER, (u64)&sections, 0, (u64)&params, (u64)attack_pal, &eax, &ebx);
	return eax;
}

static u32 register_pal(void)
{
	attack_pal_data[0] = SECRET;
	return ask_to_register();
}

static u32 unregister_pal(void)
{
	u32 eax, ebx;

	call(TV_CMD_UNREGISTER, (u64)attack_pal, 0, 0, 0, &eax, &ebx);
	return eax;
}

static u64 call_pal(u64 argument)
{
	u64 result;

	irq_on();
	fault_reset();
	asm volatile("movq %%rsp, %%rbx\n\t" MAY_FAULT("call attack_pal") "\n\tmovq %%rbx, %%rsp"
		     : "=a"(result), "+D"(argument) : "S"(0ull)
		     : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
	irq_off();
	return last_fault() == NO_FAULT ? result : 0;
}

static void judge_pal(const char *what)
{
	judge(what, call_pal(16) == SECRET + 16);
}

static volatile u64 seen;
static u64 look_at;

static void look(void *unused)
{
	(void)unused;
	seen = *(volatile u32 *)look_at;
}

static void l2_look(void)
{
	look(NULL);
	l2_end();
}

static struct ept12 ept;

/* What L2 sees at the guest-physical address through a 4 KiB leaf in the window; ~0 where it does not get there. */
static u64 l2_sees(u64 gpa1)
{
	ept_map(&ept, WINDOW, gpa1, EPT_4K, EPT_RWX | EPT_WB);
	ept_flush(&ept);
	hv_init(&l2, HV_LONG64, l2_look);
	vmwrite(VMCS_EPTP, ept.eptp);
	look_at = WINDOW;
	seen = ~0ull;
	return hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMCALL ? seen : ~0ull;
}

/* What everybody sees of a PAL's page: INT3 instead of code, else zeros. */
static void look_from_everywhere(u64 address)
{
	u64 value = l2_sees(address), nothing = address == (u64)attack_pal ? (u32)TV_INT3_WORD : 0;

	judge("L2 through EPT12 sees nothing", value == nothing || value == ~0ull);
	look_at = address;
	look(NULL);
	judge("L1 sees nothing", seen == nothing);
	if (cpu_count > 1) {
		seen = 1;
		smp_run(1, look, NULL);
		smp_wait(1);
		judge("the other CPU sees nothing", seen == nothing);
	}
}

enum { VMREAD_BITMAP = 0x2026, VMWRITE_BITMAP = 0x2028 };

/*
 * Fields that hold an address, each with the control that makes it count. Not the lists of VM exit: where one cannot be
 * used, the exit becomes a VMX abort, which ends the machine, on XMHF as on the bare one.
 */
static const struct { const char *what; u16 field, control; u64 bits; } pointers[] = {
	{ "MSR bitmap", VMCS_MSR_BITMAP, VMCS_CPU_CONTROLS, CPU_MSR_BITMAP },
	{ "I/O bitmap A", VMCS_IO_BITMAP_A, VMCS_CPU_CONTROLS, CPU_IO_BITMAPS },
	{ "I/O bitmap B", VMCS_IO_BITMAP_B, VMCS_CPU_CONTROLS, CPU_IO_BITMAPS },
	{ "virtual-APIC page", VMCS_VIRTUAL_APIC_ADDR, VMCS_CPU_CONTROLS, CPU_TPR_SHADOW | CPU_CR8_LOAD },
	{ "entry MSR-load list", VMCS_ENTRY_MSR_LOAD_ADDR, VMCS_ENTRY_MSR_LOAD_COUNT, 2 },
	{ "EPT12 root", VMCS_EPTP, VMCS_ENTRY_INTR_INFO, 0 },
	{ "link pointer", VMCS_LINK_POINTER, VMCS_ENTRY_INTR_INFO, 0 },
	{ "link pointer, shadow VMCS", VMCS_LINK_POINTER, VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS },
	{ "VMREAD bitmap", VMREAD_BITMAP, VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS },
	{ "VMWRITE bitmap", VMWRITE_BITMAP, VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS },
};

static void l2_touch_all(void)
{
	asm volatile("movl $0x10, %%ecx; rdmsr; inb $0x80, %%al; movw $0x9000, %%dx; inb %%dx, %%al\n"
		     "movq %%cr8, %%rax; movq %%rax, %%cr8\n"
		     "movl $0x681e, %%eax; vmread %%rax, %%rcx; vmwrite %%rcx, %%rax"
		     ::: "rax", "rcx", "rdx", "memory", "cc");
	l2_end();
}

/* The outcome is free: a failed entry, exits, or L2 running on what the hypervisor shows instead. L1 must go on. */
static void point_at(u64 address)
{
	for (size_t i = 0; i < ARRAY_SIZE(pointers); i++) {
		vmx_result result;

		hv_init(&l2, HV_LONG64, l2_touch_all);
		vmwrite(pointers[i].field, address | (pointers[i].field == VMCS_EPTP ? EPTP_WB_4_LEVELS : 0));
		hv_set(pointers[i].control, pointers[i].bits);
		result = hv_run(&l2);
		print("%s at %lx: result %u, exit %x\n", pointers[i].what, address, result, l2.exit.reason);
	}
}

static void vmx_pointers(u64 address)
{
	u64 own = hv_vmcs_alloc();
	vmx_result loaded = try_vmptrld(&address), cleared = try_vmclear(&address);

	print("vmptrld of %lx: %u, vmclear: %u\n", address, loaded, cleared);
	if (loaded == VMX_OK) {		/* it must be somebody else's memory that is written then */
		try_vmptrld(&address);
		try_vmwrite(VMCS_GUEST_RIP, 0x4141414141414141);
		try_vmclear(&address);
	}
	judge("a good VMCS still loads", try_vmclear(&own) == VMX_OK && try_vmptrld(&own) == VMX_OK);
}

/* The first range that the memory map leaves out below other RAM: the hypervisor. 0: not found. */
static u64 hypervisor_memory(void)
{
	for (u32 i = 0; i < e820_count; i++)
		for (u32 j = 0; j < e820_count; j++)
			if (e820_map[i].type != 1 && e820_map[i].addr > 0x100000 && e820_map[j].type == 1 &&
			    e820_map[j].addr == e820_map[i].addr + e820_map[i].size)
				return e820_map[i].addr;
	return 0;
}

/* ---- L1's shadow VMCS, which L1 changes and gives away while L2 uses it ---- */

static u8 *shadow_pages[3];	/* VMREAD bitmap, VMWRITE bitmap, shadow VMCS */
static volatile bool l2_runs, scribble;
static volatile u32 registered;

static u64 next_number(u64 *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 16;
}

/* Any encoding, so any bit of the bitmaps, of fields that exist more often than not. */
static void l2_any_field(void)
{
	static const u32 some[] = { VMCS_GUEST_RIP, VMCS_HOST_RIP, VMCS_EPTP, VMCS_MSR_BITMAP, VMCS_LINK_POINTER,
				    VMCS_HOST_RIP, VMCS_PIN_CONTROLS, VMCS_GUEST_ES_SEL, VMCS_HOST_RIP | 1 };
	u64 state = 1, value;

	for (u32 i = 0; i < 3000; i++) {
		u64 number = next_number(&state), field = number & 1 ? number >> 8 & 0xffff : some[(number >> 8) % 9];

		if (number & 2)
			try_vmread(field, &value);
		else
			try_vmwrite(field, number);
	}
	l2_end();
}

static void scribble_on_shadow(void *arg)
{
	u64 state = 7;

	(void)arg;
	while (scribble) {
		u64 number = next_number(&state);
		u64 *page = (u64 *)shadow_pages[(number >> 9) % 3];

		page[number & 511] = number & 1024 ? number << 20 ^ number : 0;
	}
}

static void link_shadow(void (*code)(void), u64 region)
{
	*(u32 *)region = (u32)rdmsr(MSR_VMX_BASIC) | (u32)BIT(31);
	hv_init(&l2, HV_LONG64, code);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_SHADOW_VMCS);
	vmwrite(VMREAD_BITMAP, (u64)shadow_pages[0]);
	vmwrite(VMWRITE_BITMAP, (u64)shadow_pages[1]);
	vmwrite(VMCS_LINK_POINTER, region);
}

static void shadow_under_scribbler(void)
{
	u32 exits[2] = { 0 };

	link_shadow(l2_any_field, (u64)shadow_pages[2]);
	u64 eptp = vmread(VMCS_EPTP);

	scribble = true;
	smp_run(1, scribble_on_shadow, NULL);
	while (hv_run(&l2) == VMX_OK && l2.exit.reason != EXIT_VMCALL) {
		exits[0] += l2.exit.reason == EXIT_VMREAD || l2.exit.reason == EXIT_VMWRITE;
		exits[1] += l2.exit.reason == (EXIT_ENTRY_FAILED | 33); /* by its revision identifier */
		*(u32 *)shadow_pages[2] = (u32)rdmsr(MSR_VMX_BASIC) | (u32)BIT(31);
		if (!(l2.exit.reason & EXIT_ENTRY_FAILED))
			hv_skip(&l2);
	}
	scribble = false;
	smp_wait(1);
	print("shadow VMCS and bitmaps that change: %u exits, %u entries failed\n", exits[0], exits[1]);
	judge("L2's fields stay out of its own VMCS", vmread(VMCS_EPTP) == eptp && vmread(VMCS_LINK_POINTER) ==
		(u64)shadow_pages[2]);
	judge("L2 came to an end", l2.exit.reason == EXIT_VMCALL && exits[0]);
}

/* The page becomes a PAL's while L2 reads there. */
static void l2_until_taken(void)
{
	l2_runs = true;
	while (vmread(VMCS_GUEST_RIP) != ~0ull)
		;
	vmwrite(VMCS_GUEST_RIP, 0x4141414141414141);
	vmwrite(VMCS_VPID, 0x4141);
	l2_end();
}

static void register_meanwhile(void *arg)
{
	(void)arg;
	while (!l2_runs)
		;
	registered = register_pal();
}

static void shadow_becomes_a_pal(void)
{
	set_bytes(attack_pal_data, 0, PAGE_SIZE);
	set_bytes(shadow_pages[0], 0, PAGE_SIZE);
	set_bytes(shadow_pages[1], 0, PAGE_SIZE);
	link_shadow(l2_until_taken, (u64)attack_pal_data);
	smp_run(1, register_meanwhile, NULL);
	judge("L2 reads all ones where a PAL is", hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMCALL);
	smp_wait(1);
	judge("register beside it", registered == TV_OK);
	judge_pal("what L2 wrote went nowhere");
	judge("no entry with it", hv_run(&l2) == VMX_OK && l2.exit.reason == (EXIT_ENTRY_FAILED | 33));
	judge("unregister", unregister_pal() == TV_OK);
}

static void attack_by_shadow(void)
{
	if (!(rdmsr(MSR_VMX_CPU2) >> 32 & CPU2_SHADOW_VMCS))
		return;
	for (u32 i = 0; i < ARRAY_SIZE(shadow_pages); i++)
		shadow_pages[i] = page_alloc();
	shadow_under_scribbler();
	shadow_becomes_a_pal();
}

static void attack_pal_memory(void)
{
	judge("register", register_pal() == TV_OK);
	judge_pal("the PAL uses its secret");
	look_from_everywhere((u64)attack_pal_data);
	look_from_everywhere((u64)attack_pal);
	judge_pal("after looking");
	judge("register again", ask_to_register() == TV_E_OWNED);
	point_at((u64)attack_pal_data);
	vmx_pointers((u64)attack_pal_data);
	print("call after the attacks: %lx\n", call_pal(16));
	look_from_everywhere((u64)attack_pal_data);
	print("unregister: %u\n", unregister_pal());
	judge("after unregister the secret is gone", attack_pal_data[0] != SECRET);
	judge("register once more", register_pal() == TV_OK);
	attack_pal_data[1] = 7;		/* a write from outside destroys the PAL */
	judge("after a write the secret is gone", attack_pal_data[0] == 0 && call_pal(16) != SECRET + 16);
	judge("unregister finds no PAL", unregister_pal() == TV_E_NO_PAL);
	judge("a new PAL works", register_pal() == TV_OK && call_pal(16) == SECRET + 16 && unregister_pal() == TV_OK);
}

/* Stores of other widths than 32 bits do nothing. (The bare emulator gives up there.) */
static void narrow_stores(void)
{
	u8 *tpr = (u8 *)(0xfee00000ul + LAPIC_TPR);

	lapic_write(LAPIC_TPR, 0x30);
	fault_reset();
	asm volatile(MAY_FAULT("movb $0x50, (%0)") :: "r"(tpr) : "memory");
	judge("a store of a byte to the APIC", last_fault() == NO_FAULT && lapic_read(LAPIC_TPR) == 0x30);
	asm volatile(MAY_FAULT("movw %%ax, (%0)") :: "r"(tpr), "a"(0x60) : "memory");
	judge("and of two bytes", last_fault() == NO_FAULT && lapic_read(LAPIC_TPR) == 0x30);
	asm volatile(MAY_FAULT("movq %1, (%0)") :: "r"(tpr), "r"(0x70ul) : "memory");
	judge("and of eight", last_fault() == NO_FAULT && lapic_read(LAPIC_TPR) == 0x30);
	lapic_write(LAPIC_TPR, 0);
}

static volatile bool go_on;

static void vmx_on_and_off(void *unused)
{
	(void)unused;
	hv_on();
	go_on = false;
	while (!go_on)
		pause();
	hv_off();
}

/* An INIT that came in VMX operation takes effect at VMXOFF: the CPU waits for SIPI. */
static void held_init(void)
{
	go_on = true;
	smp_run(1, vmx_on_and_off, NULL);
	while (go_on)
		pause();
	lapic_icr(cpus[1].apic_id, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	lapic_icr(cpus[1].apic_id, ICR_SIPI | ICR_ASSERT | 0xff);	/* finds no CPU that waits for it */
	go_on = true;
	for (u64 start = rdtsc(); cpus[1].work && rdtsc() - start < 10000000;)
		pause();
	judge("an INIT in VMX operation takes effect at VMXOFF", cpus[1].work != NULL);
	judge("and the CPU waits for SIPI", smp_start_one(1));
}

DEFINE_TEST(attack, "attack", "XMHF only: pointers into the hypervisor and into a PAL")
{
	static const u32 types[] = { TV_SECTION_CODE, TV_SECTION_DATA, TV_SECTION_PARAM, TV_SECTION_STACK };
	u64 hidden = hypervisor_memory();

	if (!is_xmhf() || !hv_supported())
		return;
	smp_start();
	sections.num_sections = ARRAY_SIZE(types);
	for (u32 i = 0; i < ARRAY_SIZE(types); i++)
		sections.sections[i] = (struct tv_pal_section){
			types[i], 1, i == 0 ? (u64)attack_pal : i == 1 ? (u64)attack_pal_data : (u64)page_alloc() };
	ept_init(&ept);
	ept_map_range(&ept, 0, WINDOW, EPT_2M, EPT_RWX | EPT_WB);
	hv_on();
	judge("the hypervisor's memory is left out of the map", hidden != 0);
	for (u64 at = hidden; at < hidden + 0x200000; at += 0x40000) {
		point_at(at);
		vmx_pointers(at);
	}
	judge("L1 goes on", answers(TV_CMD_TEST, 0));
	attack_by_shadow();
	attack_pal_memory();
	hv_off();
	narrow_stores();
	held_init();
}

/* ---- no exits ---- */

#define LOOPS 1000u

#define TICKS_OF(operation)                                                                                           \
	({                                                                                                            \
		u64 start_ = rdtsc();                                                                                 \
		for (u32 i_ = 0; i_ < LOOPS; i_++)                                                                    \
			operation;                                                                                    \
		rdtsc() - start_;                                                                                     \
	})

/*
 * What no hypapp claims does not exit: a loop of it costs a fraction of one of CPUID, which does. With off=1 the
 * machine is powered off, for the core's own count of exits.
 */
DEFINE_TEST(no_exits, "no-exits", "XMHF only: RDMSR, WRMSR, IN and OUT that nobody claims do not exit")
{
	u64 star = rdmsr(0xc0000081), exits = TICKS_OF(cpuid(0, 0));

	judge("CPUID exits", exits > 50 * LOOPS);
	judge("RDMSR", TICKS_OF(rdmsr(0xc0000081)) < exits / 4);
	judge("WRMSR", TICKS_OF(wrmsr(0xc0000081, star)) < exits / 4);
	judge("IN", TICKS_OF(inb(0x80)) < exits / 4);
	judge("OUT", TICKS_OF(outb(0x80, 0)) < exits / 4);
	if (option_number("off", 0))
		asm volatile("outw %0, %1" :: "a"((u16)0x2000), "d"((u16)0xb004));
}
