/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=bench: what single operations cost, in ticks between two RDTSCs, less the cost of the pair. Each line "B name
 * cpus ticks" gives the median of SAMPLES after WARM_UP rounds, or "-" where the machine has no such operation (no
 * hypervisor below, or no TrustVisor in it). With more than one CPU only the operations that stop the other CPUs are
 * measured, while those run in L1. Lines "X ..." are further figures for whoever looks for the reason of a cost.
 *
 * With pals=1 also what PALs of more pages cost, and those that are registered by list.
 *
 * test=bench stopper=1 and test=throughput need an image with tests/bench/stopper.c: each form of a stop, and how many
 * hypercalls the CPUs in L2 make together.
 *
 * On a core that counts its VMX instructions (configure --enable-insn-counts) the same rounds give the counts instead:
 * "C name cpus vmreads vmwrites vmptrlds vmclears invepts invvpids ipis exits ibpbs
 * ibpbs-to-l1 flushes flushes-to-l2", medians, for one operation.
 */
#include "../../hypapps/trustvisor/include/trustvisor/tpm.h"
#include "test.h"

/* helloworld's calls; hypapps/helloworld/helloworld.c says what they do. L2 adds the base. */
#define HELLO_RUNNING 0x100u
#define HELLO_STOP_BY_FLAG 0x101u
#define L2_BASE TV_L2_BASE_DEFAULT

#define WARM_UP 16u
#define SAMPLES 128u
#define ROUNDS (WARM_UP + SAMPLES)

static u64 ticks[5][ROUNDS];	/* one row an operation that is measured together with others */
static u64 overhead;
static u32 call_base;		/* 0 in L1, L2_BASE in L2: what runs on both levels adds it */
static bool is_wrong;

static inline u64 stamp(void)
{
	u64 now;

	asm volatile("rdtsc; shlq $32, %%rdx; orq %%rdx, %%rax" : "=a"(now) :: "rdx", "memory");
	return now;
}

/* xmhf/report/insn_counts.h says what the leaf gives. */
#define COUNTS_LEAF 0x78696e73u
#define COUNTERS 12u
#define EXITS 7u /* the one that the reading itself moves */

static bool is_counting;
static u64 counts[5][COUNTERS][ROUNDS];

struct counts { u32 of[COUNTERS]; };

static struct counts counts_now(void)
{
	struct cpuid a = cpuid(COUNTS_LEAF, 0), b = cpuid(COUNTS_LEAF, 1), c = cpuid(COUNTS_LEAF, 2);

	return (struct counts){ { a.eax, a.ebx, a.ecx, a.edx, b.eax, b.ebx, b.ecx, b.edx, c.eax, c.ebx, c.ecx,
				  c.edx } };
}

/* What counts_now() itself adds, which differs between L1 and L2, is the difference of the first two. */
static void counts_store(u32 row, u32 i, const struct counts *first, const struct counts *second)
{
	struct counts last = counts_now();

	for (u32 c = 0; c < COUNTERS; c++)
		counts[row][c][i] = (u32)(last.of[c] - 2 * second->of[c] + first->of[c]);
}

#define MEASURE(row, i, operation)                                                                                    \
	do {                                                                                                          \
		if (is_counting) {                                                                                    \
			struct counts first_ = counts_now(), second_ = counts_now();                                  \
			operation;                                                                                    \
			counts_store(row, i, &first_, &second_);                                                      \
			break;                                                                                        \
		}                                                                                                     \
		u64 start_ = stamp();                                                                                 \
		operation;                                                                                            \
		ticks[row][i] = stamp() - start_;                                                                     \
	} while (0)

/* Of the samples after the warm-up, which it sorts. */
static u64 middle(u64 *samples)
{
	u64 *s = samples + WARM_UP;

	for (u32 i = 1; i < SAMPLES; i++)
		for (u32 j = i; j && s[j - 1] > s[j]; j--) {
			u64 t = s[j];

			s[j] = s[j - 1];
			s[j - 1] = t;
		}
	return s[SAMPLES / 2];
}

static u64 median(u64 *samples)
{
	u64 m = middle(samples);

	return m > overhead ? m - overhead : 0;
}

static void counts_line(const char *name, u32 row)
{
	print("C %s %u", name, cpu_count);
	for (u32 c = 0; c < COUNTERS; c++)
		print(" %lu", middle(counts[row][c]));
	print("\n");
}

static void result(const char *kind, const char *name, u32 row)
{
	if (is_counting)
		counts_line(name, row);
	else
		print("%s %s %u %lu\n", kind, name, cpu_count, median(ticks[row]));
}

static void line(const char *name, u32 row) { result("B", name, row); }
static void extra(const char *name, u32 row) { result("X", name, row); }

static void no_line(const char *name)
{
	if (!is_counting)
		print("B %s %u -\n", name, cpu_count);
}

static void measure_overhead(void)
{
	if (is_counting)
		return;
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, );
	overhead = middle(ticks[0]);
}

static u32 hello(u32 number)
{
	u32 eax = number;

	asm volatile("vmcall" : "+a"(eax) :: "rbx", "memory");
	return eax;
}

static bool has_hello(void)
{
	u32 eax = HELLO_RUNNING;

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(eax) :: "rbx", "memory");
	return last_fault() == NO_FAULT && eax == 0;
}

static bool has_trustvisor(void)
{
	return cpuid(TV_CPUID_LEAF, 0).eax == TV_CPUID_PRESENT;
}

/* ---- L1 alone ---- */

static void bench_cpuid(void)
{
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, cpuid(0, 0));
	line("l1-cpuid", 0);
}

static void bench_hello(const char *name, u32 number)
{
	if (!has_hello())
		return no_line(name);
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, hello(number));
	line(name, 0);
}

static void bench_mtrr(void)
{
	u64 value = rdmsr(0x20e);

	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, wrmsr(0x20e, value));
	extra("l1-mtrr-write", 0);
}

/* In xAPIC mode, as at the end of each interrupt. */
static void bench_apic(void)
{
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, lapic_write(LAPIC_EOI, 0));
	extra("l1-apic-store", 0);
}

/*
 * A change of memory types by a variable range that is in use, with MTRRs on: an address that no memory has, so that
 * nothing else depends on it.
 */
static void bench_mtrr_change(void)
{
	u64 base = rdmsr(0x20e), mask = rdmsr(0x20f), width = cpuid(0x80000008, 0).eax & 0xff;

	wrmsr(0x20f, 0);
	wrmsr(0x20e, 0xc0000000);
	wrmsr(0x20f, (BIT(width) - BIT(28)) | BIT(11));
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, wrmsr(0x20e, i & 1 ? 0xc0000000 : 0xc0000001));
	extra("l1-mtrr-change", 0);
	wrmsr(0x20f, 0);
	wrmsr(0x20e, base);
	wrmsr(0x20f, mask);
}

/* ---- VMX instructions ---- */

static void bench_vmx(void)
{
	static struct vcpu a, b;
	struct inv_descriptor d;

	hv_init(&a, HV_LONG64, l2_end);
	hv_init(&b, HV_LONG64, l2_end);
	for (u32 i = 0; i < ROUNDS; i++) {
		MEASURE(0, i, vmread(VMCS_GUEST_RIP));
		MEASURE(1, i, vmwrite(VMCS_GUEST_RIP, i));
		MEASURE(2, i, asm volatile("vmptrld %0" :: "m"(b.vmcs) : "cc", "memory"));
	}
	line("l1-vmread", 0);
	line("l1-vmwrite", 1);
	line("l1-vmptrld", 2);
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, asm volatile("vmptrld %0" :: "m"(i & 1 ? a.vmcs : b.vmcs) : "cc", "memory"));
	extra("l1-vmptrld-two-in-turn", 0);
	d = (struct inv_descriptor){ a.ept->eptp, 0 };
	for (u32 i = 0; i < ROUNDS; i++) {
		MEASURE(3, i, hv_init(&a, HV_LONG64, l2_end));
		MEASURE(2, i, hv_enter(&a));
		MEASURE(0, i, asm volatile("vmclear %0" :: "m"(a.vmcs) : "cc", "memory"));
		MEASURE(1, i, asm volatile("invept %0, %1" :: "m"(d), "r"(1ull) : "cc", "memory"));
	}
	line("l1-vmclear", 0);
	line("l1-invept", 1);
	extra("l1-vmcs-setup", 3);
	extra("l1-vmlaunch-and-exit", 2);
}

/* ---- L2 ---- */

static void l2_cpuid_for_ever(void)
{
	for (;;)
		cpuid(0, 0);
}

/* Two vCPUs of L1 in turn on one CPU: each round one of them gets to its next exit. */
static void bench_l2_switch(void)
{
	static struct vcpu vcpus[2];

	for (u32 i = 0; i < 2; i++) {
		hv_init(&vcpus[i], HV_LONG64, l2_cpuid_for_ever);
		hv_run(&vcpus[i]);
		hv_skip(&vcpus[i]);
	}
	for (u32 i = 0; i < ROUNDS; i++) {
		struct vcpu *v = &vcpus[i & 1];

		MEASURE(0, i, asm volatile("vmptrld %0" :: "m"(v->vmcs) : "cc", "memory"); hv_enter(v));
		vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSN_LENGTH));
	}
	line("l2-switch", 0);
}

static void l2_hello(u32 number)
{
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, hello(L2_BASE + number));
	l2_end();
}

static void l2_hello_running(void) { l2_hello(HELLO_RUNNING); }

static bool run_l2_code(void (*code)(void))
{
	static struct vcpu v;

	hv_init(&v, HV_LONG64, code);
	hv_set(VMCS_GUEST_RFLAGS, 0x200);	/* TrustVisor refuses calls with interrupts off */
	return hv_run(&v) == VMX_OK && v.exit.reason == EXIT_VMCALL && v.regs[RAX] == L2_END;
}

static void bench_l2_hello(const char *name, void (*code)(void))
{
	if (has_hello() && run_l2_code(code))
		line(name, 0);
	else
		no_line(name);
}

static void l2_cpuid(void)
{
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, cpuid(0, 0));
	l2_end();
}

static void bench_l2_cpuid(void)
{
	static struct vcpu v;

	hv_init(&v, HV_LONG64, l2_cpuid);
	hv_run(&v);
	hv_skip(&v);
	while (hv_enter(&v) == VMX_OK && vmread(VMCS_EXIT_REASON) == EXIT_CPUID)
		vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSN_LENGTH));
	line("l2-cpuid-reflected", 0);
}

#define TOUCHED 0x60000000ull /* 2.25 GiB from here are below 4 GiB */
static u64 touch_stride;

static void l2_touch(void)
{
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, *(volatile u8 *)(TOUCHED + i * touch_stride));
	l2_end();
}

/*
 * L2 touches ROUNDS new leaves, `apart` leaves from each other: so far that a miss does not fill the next one with it,
 * or L1 maps each only when L2 has missed it (is_lazy).
 */
static void bench_touch(const char *name, int level, u32 apart, bool is_lazy)
{
	static struct vcpu v;
	struct ept12 ept;
	u64 page = (u64)page_alloc_many(512, 512 * PAGE_SIZE);

	ept_init(&ept);
	ept_map_range(&ept, 0, TOUCHED, EPT_2M, EPT_RWX | EPT_WB);
	touch_stride = apart * ept_leaf_size(level);
	for (u32 i = 0; i < ROUNDS; i++)
		ept_map(&ept, TOUCHED + i * touch_stride, page + (level == EPT_4K ? i * PAGE_SIZE : 0), level,
			is_lazy ? 0 : EPT_RWX | EPT_WB);
	hv_init(&v, HV_LONG64, l2_touch);
	vmwrite(VMCS_EPTP, ept.eptp);
	while (hv_enter(&v) == VMX_OK && vmread(VMCS_EXIT_REASON) == EXIT_EPT_VIOLATION) {
		u64 gpa = vmread(VMCS_GUEST_PHYSICAL_ADDR);

		*ept_entry(&ept, gpa, level) = (page + (gpa & 0x1ff000)) | EPT_RWX | EPT_WB;
		v.launched = 1;
	}
	line(name, 0);
}

/* ---- PALs ---- */

/* Two integers come in; the time stamp goes out, so that entry and return can be told apart. */
asm(".section .text\n.balign 4096\n"
    "pal_code: rdtsc; shlq $32, %rdx; orq %rdx, %rax; ret\n"
    /* A command of the micro-TPM, and the address of its structure. */
    "tpm_code: movl %edi, %eax; movq %rsi, %rcx; vmcall; ret\n"
    ".balign 4096\n");
extern u8 pal_code[], tpm_code[];

static struct tv_pal_sections sections;
static struct tv_pal_params params = {
	.num_params = 2, .params = { { .type = TV_PARAM_INTEGER, .size = 1 }, { .type = TV_PARAM_INTEGER, .size = 1 } },
};
static struct tv_list list __attribute__((aligned(4096)));	/* the same */

/*
 * Register, invoke, return, unregister, and a whole call of the PAL that ran last on this CPU, twice or more; in L1 and
 * in L2.
 */
#define PAL_ROWS 5
#define PAL_NAMES(form) { { "pal-register" form "-l1", "pal-invoke" form "-l1", "pal-return" form "-l1",              \
			    "pal-unregister" form "-l1", "pal-call-again" form "-l1" },                               \
			  { "pal-register" form "-l2", "pal-invoke" form "-l2", "pal-return" form "-l2",              \
			    "pal-unregister" form "-l2", "pal-call-again" form "-l2" } }

#define PAL_PAGES 4u		/* code, data, param, stack */
#define MIN_PAL_PAGES 2u	/* code and stack, which every PAL needs; no parameters */
#define MAX_PAL_PAGES 64u
static const struct pal_form {
	bool by_list;		/* by CPL 0 for CPL 3; else by a hypercall of CPL 0 for itself */
	u32 pages;		/* from four on, all but three are of the param section, which is not measured */
	const char *names[2][PAL_ROWS];
} pal_forms[] = {
	{ false, PAL_PAGES, PAL_NAMES("") },
	{ false, MIN_PAL_PAGES, PAL_NAMES("-2") },
	{ false, 16, PAL_NAMES("-16") },
	{ false, MAX_PAL_PAGES, PAL_NAMES("-64") },
	{ true, MIN_PAL_PAGES, PAL_NAMES("-list-2") },
	{ true, PAL_PAGES, PAL_NAMES("-list") },
	{ true, 16, PAL_NAMES("-list-16") },
	{ true, MAX_PAL_PAGES, PAL_NAMES("-list-64") },
};

static void fill_list(void)
{
	u32 page = 0;

	list.version = TV_LIST_VERSION;
	list.entry_count = 1;
	list.entries[0] = (struct tv_list_entry){ (u64)pal_code, params };
	for (u32 s = 0; s < sections.num_sections; s++)
		for (u32 i = 0; i < sections.sections[s].page_num; i++, page++) {
			u64 at = sections.sections[s].start_addr + i * PAGE_SIZE;

			list.pages[page] = (struct tv_list_page){ at, at | sections.sections[s].type };
		}
	list.page_count = page;
}

static void prepare_pal(u32 pages)
{
	static const u32 types[] = { TV_SECTION_CODE, TV_SECTION_DATA, TV_SECTION_PARAM, TV_SECTION_STACK };
	const u32 counts_of[] = { 1, pages > 2 ? 1 : 0, pages > 3 ? pages - 3 : 0, 1 };
	static u8 *own;
	u64 at;

	if (!own)
		own = page_alloc_many(MAX_PAL_PAGES, PAGE_SIZE);
	at = (u64)own;
	params.num_params = pages > 3 ? 2 : 0;
	sections.num_sections = 0;
	for (u32 i = 0; i < ARRAY_SIZE(types); i++) {
		struct tv_pal_section section = { types[i], counts_of[i], i ? at : (u64)pal_code };

		if (!section.page_num)
			continue;
		sections.sections[sections.num_sections++] = section;
		at += i ? section.page_num * PAGE_SIZE : 0;
	}
	fill_list();
}

static u32 tv_call(u32 command, const void *c, const void *s, const void *d)
{
	u32 eax = command + call_base;

	asm volatile("vmcall" : "+a"(eax) : "c"(c), "d"(0), "S"(s), "D"(d) : "memory");
	return eax;
}

static u32 tv_call_list(u32 command, u64 *handle)
{
	u32 eax = command + call_base;
	u64 low = command == TV_CMD_REGISTER_LIST ? (u64)&list : (u32)*handle, high = *handle >> 32;

	asm volatile("vmcall" : "+a"(eax), "+c"(low), "+d"(high) :: "memory");
	*handle = low | high << 32;
	return eax;
}

/* Calls the PAL; a fault in the call is caught, with the stack put right. */
static u64 call_pal(void)
{
	u64 result = 0;

	fault_reset();
	asm volatile("movq %%rsp, %%rbx\n\t" MAY_FAULT("call pal_code") "\n\tmovq %%rbx, %%rsp"
		     : "=a"(result) : "D"(3), "S"(4)
		     : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
	return last_fault() == NO_FAULT ? result : 0;
}

static u32 pal_round;
static u64 pal_inside;

static void pal_calls(void)
{
	u64 before, after;
	u32 i = pal_round;

	/* The counts are those of the whole call. */
	if (is_counting)
		MEASURE(1, i, pal_inside = call_pal());
	before = stamp();
	pal_inside = call_pal();
	after = stamp();
	ticks[1][i] = pal_inside - before;
	ticks[2][i] = after - pal_inside;
	pal_inside = call_pal(); /* the caller's stack is read the second time, and known from here on */
	MEASURE(4, i, pal_inside = call_pal());
}

static void user_pal_calls(void)
{
	pal_calls();
	asm volatile("int $0x80");
}

/* Runs in L1 and in L2. */
static void pal_rounds(bool by_list)
{
	for (u32 i = 0; i < ROUNDS && !is_wrong; i++) {
		u64 handle = 0;
		u32 result;

		pal_round = i;
		pal_inside = 0;
		MEASURE(0, i, result = by_list ? tv_call_list(TV_CMD_REGISTER_LIST, &handle) :
				       tv_call(TV_CMD_REGISTER, &sections, &params, pal_code));
		if (result) {
			print("register: %u\n", result);
			is_wrong = true;
			return;
		}
		if (by_list)
			user_run(user_pal_calls);
		else
			pal_calls();
		irq_on();
		MEASURE(3, i, result = by_list ? tv_call_list(TV_CMD_UNREGISTER_LIST, &handle) :
				       tv_call(TV_CMD_UNREGISTER, pal_code, NULL, NULL));
		if (!pal_inside || result) {
			print("invoke: %s(%x), unregister: %u\n", vector_name(last_fault()), this_cpu()->fault.error,
				result);
			is_wrong = true;
		}
	}
}

static void l2_pal_rounds(void)
{
	pal_rounds(false);
	l2_end();
}

static void l2_list_rounds(void)
{
	pal_rounds(true);
	l2_end();
}

static void bench_pal(const struct pal_form *form, bool is_l2)
{
	is_wrong = !has_trustvisor();
	call_base = is_l2 ? L2_BASE : 0;
	prepare_pal(form->pages);
	if (!is_wrong && is_l2) {
		is_wrong |= !run_l2_code(form->by_list ? l2_list_rounds : l2_pal_rounds);
	} else if (!is_wrong) {
		irq_on();
		pal_rounds(form->by_list);
		irq_off();
	}
	for (u32 i = 0; i < PAL_ROWS; i++) {
		if (is_wrong || (is_counting && i == 2))
			no_line(form->names[is_l2][i]);
		else
			line(form->names[is_l2][i], i);
	}
}

/* Both ways to register, and more pages, only where they are asked for: they take time. */
static void bench_pals(void)
{
	u32 count = option_number("pals", 0) ? ARRAY_SIZE(pal_forms) : 1;

	for (u32 i = 0; i < count; i++) {
		bench_pal(&pal_forms[i], false);
		bench_pal(&pal_forms[i], true);
	}
}

/* ---- the micro-TPM: whole calls of a PAL that gives one command, of 1 KiB ---- */

#define TPM_BYTES 1024u

static struct tpm_data { /* in the PAL's data */
	struct tv_tpm_seal seal, unseal;
	struct tv_tpm_quote quote;
	struct tv_quote quoted;
	u8 plain[TPM_BYTES], blob[sizeof(struct tv_blob) + TPM_BYTES + TV_BLOB_TAG_BYTES], back[TPM_BYTES];
} *tpm_data;
_Static_assert(sizeof(*tpm_data) <= PAGE_SIZE, "its section");

static void use_tpm(u32 row, u32 i, u32 command, const void *request)
{
	u64 result = 1;

	fault_reset();
	MEASURE(row, i, asm volatile("movq %%rsp, %%rbx\n\t" MAY_FAULT("call tpm_code") "\n\tmovq %%rbx, %%rsp"
				     : "=a"(result) : "D"((u64)command), "S"(request)
				     : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc"));
	is_wrong |= last_fault() != NO_FAULT || (u32)result != TV_TPM_OK;
}

static void prepare_tpm(void)
{
	prepare_pal(PAL_PAGES);
	tpm_data = (void *)sections.sections[1].start_addr;
	tpm_data->seal = (struct tv_tpm_seal){ .in = (u64)tpm_data->plain, .out = (u64)tpm_data->blob,
		.in_len = TPM_BYTES, .out_len = sizeof(tpm_data->blob), .pcr_mask = 1, .flags = TV_TPM_SEAL_NOW };
	tpm_data->unseal = (struct tv_tpm_seal){ .in = (u64)tpm_data->blob, .out = (u64)tpm_data->back,
		.in_len = sizeof(tpm_data->blob), .out_len = TPM_BYTES };
	tpm_data->quote = (struct tv_tpm_quote){ (u64)tpm_data->plain, (u64)tpm_data->plain, (u64)&tpm_data->quoted, 1,
		0 };
}

static void bench_tpm(void)
{
	static const char *const names[] = { "tpm-seal-l1", "tpm-unseal-l1", "tpm-quote-l1" };

	call_base = 0;
	is_wrong = !has_trustvisor();
	prepare_tpm();
	is_wrong |= is_wrong || tv_call(TV_CMD_REGISTER, &sections, &params, tpm_code) != TV_OK;
	irq_on();
	for (u32 i = 0; i < ROUNDS && !is_wrong; i++) {
		use_tpm(0, i, TV_CMD_TPM_SEAL, &tpm_data->seal);
		use_tpm(1, i, TV_CMD_TPM_UNSEAL, &tpm_data->unseal);
		use_tpm(2, i, TV_CMD_TPM_QUOTE, &tpm_data->quote);
	}
	irq_off();
	for (u32 i = 0; i < ARRAY_SIZE(names); i++)
		if (is_wrong)
			no_line(names[i]);
		else
			line(names[i], i);
	if (has_trustvisor())
		tv_call(TV_CMD_UNREGISTER, tpm_code, NULL, NULL);
}

/* ---- asking hypapps: tests/bench/passer.c, in images of their own ---- */

#define PASSER_CALL 0x700u
#define PASSER_LEAF 0x700u

static void refused_call(u32 number)
{
	asm volatile(MAY_FAULT("vmcall") :: "a"(number) : "memory");
}

static void l2_passer(void)
{
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, hello(L2_BASE + PASSER_CALL));
	l2_end();
}

static void bench_passers(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		MEASURE(0, i, refused_call(PASSER_CALL + 1));
		MEASURE(1, i, refused_call(PASSER_CALL));
	}
	line("hypercall-unclaimed", 0);
	line("hypercall-passed", 1);
	if (run_l2_code(l2_passer))
		line("l2-exit202", 0);
	cpuid(PASSER_LEAF, 0); /* the hypapp tells what a line of its own took */
}

/* ---- forms of stops, and work: tests/bench/stopper.c, in an image of its own ---- */

enum { CALL_NOTHING = 0x720, CALL_STOP, CALL_EARLY, CALL_NESTED, CALL_FLUSH, CALL_EPT01, CALL_EPT02, CALL_POST,
       CALL_LATER };

static u32 stopper(u32 number, u64 rcx)
{
	u32 eax = number;

	asm volatile("vmcall" : "+a"(eax) : "c"(rcx) : "memory");
	return eax;
}

static void l2_stops_of(u32 number)
{
	for (u32 i = 0; i < ROUNDS; i++)
		MEASURE(0, i, stopper(L2_BASE + number, 0));
	l2_end();
}

static void l2_stop_ept02(void) { l2_stops_of(CALL_EPT02); }
static void l2_stop_call(void) { l2_stops_of(CALL_STOP); }

/* The other CPUs run in L1: a stop of EPT01 is of all of them, one of EPT02 of none. */
static void bench_stopper(void)
{
	const struct { const char *name; u32 number; u64 rcx; } forms[] = {
		{ "stop-call", CALL_STOP, 0 }, { "stop-early", CALL_EARLY, 0 }, { "stop-nested", CALL_NESTED, 0 },
		{ "stop-flush", CALL_FLUSH, (u64)page_alloc() }, { "stop-ept01", CALL_EPT01, 0 },
		{ "work-post", CALL_POST, cpu_count > 1 ? 2 : 1 }, { "work-stop", CALL_LATER, 0 },
	};

	for (u32 f = 0; f < ARRAY_SIZE(forms); f++) {
		for (u32 i = 0; i < ROUNDS; i++)
			MEASURE(0, i, stopper(forms[f].number, forms[f].rcx));
		line(forms[f].name, 0);
	}
	if (run_l2_code(l2_stop_ept02))
		line("stop-ept02", 0);
	if (run_l2_code(l2_stop_call))
		line("l2-hypercall-stop", 0);
}

/* ---- throughput ---- */

#define WINDOW_TICKS 1000000ul

static struct caller {
	struct vcpu v;
	u64 calls;		/* in the window */
} __attribute__((aligned(64))) callers[MAX_CPUS];
static u32 call_number, callers_wanted, callers_ready;
static volatile u64 window_start;	/* 0: not all are ready */

static void l2_calls(void)
{
	struct caller *c = &callers[this_cpu()->index];
	u64 end;

	if (__atomic_add_fetch(&callers_ready, 1, __ATOMIC_SEQ_CST) == callers_wanted)
		window_start = stamp() + 10000;
	while (!window_start || stamp() < window_start)
		;
	for (end = window_start + WINDOW_TICKS; stamp() < end; c->calls++)
		stopper(L2_BASE + call_number, 0);
	l2_end();
}

static void call_in_window(void *unused)
{
	struct caller *c = &callers[this_cpu()->index];

	(void)unused;
	hv_on();
	hv_init(&c->v, HV_LONG64, l2_calls);
	c->v.cpu->index = this_cpu()->index;
	c->calls = 0;
	hv_run(&c->v);
	hv_off();
}

/* CPUs 0 to count - 1 make calls. Those of all of them together, and of the one with the fewest. */
static u64 calls_of(u32 count, u32 number, u64 *fewest)
{
	u64 sum = 0;

	window_start = callers_ready = 0;
	call_number = number;
	callers_wanted = count;
	for (u32 i = 1; i < count; i++)
		smp_run(i, call_in_window, NULL);
	call_in_window(NULL);
	*fewest = ~0ull;
	for (u32 i = 0; i < count; i++) {
		if (i)
			smp_wait(i);
		sum += callers[i].calls;
		*fewest = callers[i].calls < *fewest ? callers[i].calls : *fewest;
	}
	return sum;
}

static void judge(const char *what, bool ok)
{
	print(ok ? "T %s: ok\n" : "T FAIL %s\n", what);
}

DEFINE_TEST(throughput, "throughput", "XMHF only: hypercalls that all CPUs in L2 make together in a million ticks")
{
	u64 fewest, one, all, stops;

	if (!hv_supported())
		return;
	hv_identity_ept();
	smp_start();
	one = calls_of(1, CALL_NOTHING, &fewest);
	all = calls_of(cpu_count, CALL_NOTHING, &fewest);
	print("B l2-calls-per-mtick 1 %lu\nB l2-calls-per-mtick %u %lu\n", one, cpu_count, all);
	judge("hypercalls without a stop: eight CPUs make 7.5 times what one makes, others likewise",
	      all * 16 >= one * cpu_count * 15);
	stops = calls_of(cpu_count, CALL_STOP, &fewest);
	print("B l2-stops-per-mtick %u %lu\n", cpu_count, stops);
	print("B l2-stop-lost %u %lu\n", cpu_count, cpu_count * WINDOW_TICKS / stops - WINDOW_TICKS / one);
	print("fewest stops of a CPU: %lu\n", fewest);
	judge("with a stop on each every CPU makes progress", fewest > 0);
}

/* ---- all of it ---- */

static void spin_for_ever(void *unused)
{
	(void)unused;
	for (;;)
		pause();
}

static void bench_one_cpu(void)
{
	bench_cpuid();
	bench_hello("l1-hypercall", HELLO_RUNNING);
	bench_l2_hello("l2-hypercall", l2_hello_running);
	bench_l2_cpuid();
	bench_l2_switch();
	bench_vmx();
	bench_touch("ept02-fill-4k", EPT_4K, 128, false);
	bench_touch("ept02-fill-2m", EPT_2M, 8, false);
	bench_touch("ept12-violation", EPT_4K, 1, true);
	bench_mtrr();
	bench_mtrr_change();
	bench_apic();
	bench_pals();
	bench_tpm();
}

DEFINE_TEST(bench, "bench", "ticks of single operations; lines \"B name cpus ticks\"")
{
	if (!hv_supported())
		return;
	smp_start();
	for (u32 i = 1; i < cpu_count; i++)
		smp_run(i, spin_for_ever, NULL);
	hv_on();
	is_counting = counts_now().of[EXITS] != counts_now().of[EXITS];
	measure_overhead();
	if (option_number("passers", 0)) {
		bench_passers();
		hv_off();
		return;
	}
	if (option_number("stopper", 0)) {
		bench_stopper();
		hv_off();
		return;
	}
	print("overhead %lu ticks\n", overhead);
	bench_hello("l1-hypercall-stop", HELLO_STOP_BY_FLAG);
	if (cpu_count == 1)
		bench_one_cpu();
	hv_off();
}
