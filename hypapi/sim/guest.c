/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's code does: each call is an instruction, or the VM exit that it causes. An exit runs the core's own
 * vmx_handle_exit(), and what comes between it and the next VM entry is as in xmhf/vmx/entry.S. An instruction is done
 * when RIP has moved or an exception was delivered; else it is executed again, as hardware would after the entry.
 *
 * The C code of three worlds stands on one stack: L1's calls L2's (l2.c), and a partition's is called by whoever
 * entered it. After an exit another world may run than the one whose code is on top: guest_settle() sees to that.
 */
#include "hypapi/sim/machine.h"

#include <sched.h>

#include "core/config.h"
#include "cpu/x86.h"
#include "mem/guest.h"
#include "mem/pages.h"
#include "vmx/exit.h"

static sim_code *partition_code;
static void *partition_arg;

static u64 *field(struct sim_cpu *c, u32 name)
{
	return vmcs_field(c, name);
}

/* ---- From an exit to the next entry ---- */

/* The guest's handler of an interrupt ends at once, with its EOI. */
static void take_interrupt(struct sim_cpu *c)
{
	c->interrupts++;
	c->served_vector = 0;
}

/* What VM entry delivers (SDM vol. 3, "Event Injection"). A guest's NMI handler ends at once. */
static void deliver_event(struct sim_cpu *c)
{
	u64 *info = field(c, VMCS_ENTRY_INTR_INFO);

	if (!(*info & INTR_VALID))
		return;
	if ((*info & INTR_TYPE) == INTR_TYPE_NMI)
		c->guest_nmis++;
	else if ((*info & INTR_TYPE) == INTR_TYPE_EXTERNAL)
		take_interrupt(c);
	else if ((*info & INTR_TYPE) == INTR_TYPE_HW_EXCEPTION)
		c->exception = (struct sim_exception){ .vector = (int)(*info & INTR_VECTOR), .cr2 = c->cr[2],
						       .error_code = (u32)*field(c, VMCS_ENTRY_ERROR_CODE) };
	*info &= ~INTR_VALID;
}

static void raw_exit(struct sim_cpu *c, u32 reason, u64 qualification, u32 insn_len)
{
	*field(c, VMCS_EXIT_REASON) = reason;
	*field(c, VMCS_EXIT_QUALIFICATION) = qualification;
	*field(c, VMCS_EXIT_INSN_LEN) = insn_len;
	*field(c, VMCS_IDT_INFO) = 0;
	mmu_crossing(c);
	/* As entry.S does: the events of this exit do not lie where those of the one before did. */
	volatile char *place = __builtin_alloca((c->core->callbacks & CALLBACKS_PLACE) + 1);

	*place = 0;
	vmx_handle_exit(c->core);
	(void)*place; /* kept until here */
}

/* What of the core's making a CPU refuses to enter (SDM vol. 3, "VM Entries"). */
static const char *refusal(struct sim_cpu *c)
{
	u64 info = *field(c, VMCS_ENTRY_INTR_INFO), rflags = *field(c, VMCS_GUEST_RFLAGS);
	u64 shadow = *field(c, VMCS_GUEST_INTERRUPTIBILITY), pending = *field(c, VMCS_GUEST_PENDING_DEBUG);
	bool holds = (shadow & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)) ||
		     *field(c, VMCS_GUEST_ACTIVITY) == ACTIVITY_HLT;

	if ((info & INTR_VALID) && (info & INTR_ERROR_CODE) && *field(c, VMCS_ENTRY_ERROR_CODE) >> 16)
		return "an error code of more than 16 bits";
	if ((info & (INTR_VALID | INTR_TYPE)) == (INTR_VALID | INTR_TYPE_EXTERNAL) && !(rflags & RFLAGS_IF))
		return "an interrupt with IF clear";
	if ((shadow & INTERRUPTIBILITY_STI) && !(rflags & RFLAGS_IF))
		return "a shadow of STI with IF clear";
	if (holds && !(rflags & RFLAGS_TF) != !(pending & PENDING_DEBUG_BS))
		return "TF and no trap that waits, or the other way round";
	if (!guest_long_mode() && *field(c, VMCS_GUEST_RIP) >> 32)
		return "RIP above 4 GiB";
	return NULL;
}

static void judge_entry(struct sim_cpu *c)
{
	const char *why = refusal(c);

	if (why)
		sim_fault("CPU %u: no CPU enters a guest with %s", c->index, why);
}

/* Whether a window is asked for and open: the reason of that exit, which comes before an interrupt is taken. */
static bool window_is_open(struct sim_cpu *c, u32 *reason)
{
	const u64 shadow = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
	u64 proc = *field(c, VMCS_PROC_CTLS), blocked = *field(c, VMCS_GUEST_INTERRUPTIBILITY);
	bool nmi = (proc & PROC_NMI_WINDOW) && !(blocked & (shadow | INTERRUPTIBILITY_NMI));

	*reason = nmi ? EXIT_NMI_WINDOW : EXIT_INTR_WINDOW;
	return nmi || ((proc & PROC_INTR_WINDOW) && (*field(c, VMCS_GUEST_RFLAGS) & RFLAGS_IF) && !(blocked & shadow));
}

/* The way to the entry in entry.S, the entry, and exits that come before the first instruction. */
static void enter(struct sim_cpu *c)
{
	u32 reason;

	for (;;) {
		while (c->core->work)
			vmx_handle_work(c->core);
		mmu_crossing(c);
		mmu_judge_vmcs(c);
		judge_entry(c);
		deliver_event(c);
		if (!window_is_open(c, &reason))
			return;
		raw_exit(c, reason, 0, 0);
	}
}

void guest_exit(struct sim_cpu *c, u32 reason, u64 qualification, u32 insn_len)
{
	raw_exit(c, reason, qualification, insn_len);
	enter(c);
}

void guest_take_nmis(struct sim_cpu *c)
{
	while (atomic_load(&c->nmis)) {
		atomic_fetch_sub(&c->nmis, 1);
		*field(c, VMCS_EXIT_INTR_INFO) = INTR_VALID | INTR_TYPE_NMI | VEC_NMI;
		guest_exit(c, EXIT_EXCEPTION_NMI, 0, 0);
	}
}

/* Likewise an interrupt (SDM vol. 3, "External-Interrupt Exiting" and "Acknowledge Interrupt on Exit"). */
static void take_interrupts(struct sim_cpu *c)
{
	u32 vector, reason;

	while (window_is_open(c, &reason))
		guest_exit(c, reason, 0, 0);
	while ((vector = c->waiting_vector) != 0) {
		bool exits = *field(c, VMCS_PIN_CTLS) & PIN_INTR_EXITING;
		bool taken = exits ? *field(c, VMCS_EXIT_CTLS) & EXITCTL_ACK_INTR :
				     *field(c, VMCS_GUEST_RFLAGS) & RFLAGS_IF;

		if (!exits && !taken)
			return;
		c->waiting_vector = taken ? 0 : vector;
		c->served_vector = taken ? vector : 0;
		*field(c, VMCS_EXIT_INTR_INFO) = taken ? INTR_VALID | INTR_TYPE_EXTERNAL | (vector - 1) : 0;
		if (exits)
			guest_exit(c, EXIT_EXTERNAL_INTR, 0, 0);
		else
			take_interrupt(c);
		guest_settle(c);
	}
}

/* ---- Worlds ---- */

static int access(struct sim_cpu *c, u64 gva, void *buf, size_t len, u32 rights);

/* RET: the owner of the partition has left an address on its stack that exists nowhere, as a rule. */
static void partition_return(struct sim_cpu *c)
{
	u32 width = *field(c, VMCS_GUEST_CS_AR) & AR_L ? 8 : 4;
	u64 *rsp = field(c, VMCS_GUEST_RSP), to = 0;

	access(c, *rsp, &to, width, HYPAPI_R);
	*rsp += width;
	*field(c, VMCS_GUEST_RIP) = to;
	access(c, to, NULL, 1, HYPAPI_X);
	sim_fault("CPU %u: a partition's code returned to 0x%lx, which is a page of its own", c->index, to);
}

static void run_partition(struct sim_cpu *c)
{
	jmp_buf jump, *outer = c->partition_jump;
	enum sim_world caller = c->world;

	if (!partition_code)
		sim_fault("CPU %u enters a partition, and the test has no sim_partition_code()", c->index);
	c->world = WORLD_PARTITION;
	c->partition_jump = &jump;
	if (!setjmp(jump)) {
		partition_code(partition_arg);
		partition_return(c);
	}
	c->partition_jump = outer;
	c->world = caller;
}

void guest_settle(struct sim_cpu *c)
{
	if (c->world == WORLD_PARTITION && c->core->world->mode != RUN_PARTITION)
		longjmp(*c->partition_jump, 1);
	while (c->core->world->mode == RUN_PARTITION && c->world != WORLD_PARTITION)
		run_partition(c);
	while (c->world == WORLD_L2 && c->core->world->mode == RUN_L1)
		l1_answer(c);
}

struct sim_cpu *guest_begin(void)
{
	struct sim_cpu *c = sim_self;

	if (!c)
		sim_fault("guest code is called by a thread that is no CPU");
	if (c->core->dispatch)
		sim_fault("CPU %u: guest code is called by a hypapp", c->index);
	c->exception.vector = 0;
	guest_take_nmis(c);
	guest_settle(c);
	take_interrupts(c);
	return c;
}

/* After an exit: is the instruction done? *answer: what it answers then. */
static bool is_done(struct sim_cpu *c, u64 rip, int *answer)
{
	if (c->held_count)
		sim_fault("CPU %u goes on in the guest with %s held: a handler has returned with it", c->index,
			  c->held[0].name);
	guest_settle(c);
	*answer = c->exception.vector;
	if (*answer || *field(c, VMCS_GUEST_RIP) != rip)
		return true;
	guest_take_nmis(c);
	guest_settle(c);
	sched_yield(); /* tried again until somebody else has done something */
	return false;
}

/* An instruction that always exits. */
static int exiting(struct sim_cpu *c, u32 reason, u64 qualification, u32 insn_len)
{
	int answer;
	u64 rip;

	do {
		rip = *field(c, VMCS_GUEST_RIP);
		guest_exit(c, reason, qualification, insn_len);
	} while (!is_done(c, rip, &answer));
	return answer;
}

/*
 * An exception: an exit if the controls ask for it (SDM vol. 3, "Exception Bitmap"), else the guest's. True: its
 * instruction is done.
 */
static bool raise(struct sim_cpu *c, u32 vector, u32 error_code, u64 cr2, int *answer)
{
	bool exits = *field(c, VMCS_EXCEPTION_BITMAP) >> vector & 1;
	u64 rip = *field(c, VMCS_GUEST_RIP);

	if (vector == VEC_PF && (error_code & *field(c, VMCS_PF_ERROR_MASK)) != *field(c, VMCS_PF_ERROR_MATCH))
		exits = !exits;
	if (!exits) {
		c->cr[2] = vector == VEC_PF ? cr2 : c->cr[2];
		c->exception = (struct sim_exception){ (int)vector, error_code, c->cr[2] };
		*answer = (int)vector;
		return true;
	}
	*field(c, VMCS_EXIT_INTR_INFO) = vector | INTR_TYPE_HW_EXCEPTION | INTR_VALID |
					 (vector == VEC_GP || vector == VEC_PF ? INTR_ERROR_CODE : 0);
	*field(c, VMCS_EXIT_INTR_ERROR) = error_code;
	guest_exit(c, EXIT_EXCEPTION_NMI, vector == VEC_PF ? cr2 : 0, 0);
	return is_done(c, rip, answer);
}

/* ---- Memory ---- */

/* The guest's own loads and stores race by design: what another CPU of the guest does meanwhile is its business. */
__attribute__((no_sanitize("thread"))) static void move(u64 hpa, void *buf, size_t len, bool write)
{
	volatile u8 *memory = phys_to_virt(HPA(hpa)), *bytes = buf;

	for (size_t i = 0; i < len; i++)
		if (write)
			memory[i] = bytes[i];
		else
			bytes[i] = memory[i];
}

/* One access in one page; buf NULL: a fetch. True: the instruction ends with *answer, this part may not be done. */
static bool access_part(struct sim_cpu *c, u64 gva, void *buf, size_t len, u32 rights, int *answer)
{
	for (;;) {
		u64 rip = *field(c, VMCS_GUEST_RIP), hpa;
		struct mmu_fault fault;

		switch (mmu_translate(c, gva, rights, &hpa, &fault)) {
		case MMU_OK:
			if (buf && hpa < direct_map_end)
				move(hpa, buf, len, rights == HYPAPI_W);
			else if (buf && rights == HYPAPI_R)
				__builtin_memset(buf, 0xff, len); /* an empty bus */
			return false;
		case MMU_PAGE_FAULT:
			if (raise(c, VEC_PF, fault.error_code, gva, answer))
				return true;
			break;
		case MMU_VIOLATION:
			*field(c, VMCS_GUEST_PHYS_ADDR) = fault.gpa;
			*field(c, VMCS_GUEST_LINEAR_ADDR) = gva;
			guest_exit(c, EXIT_EPT_VIOLATION, fault.qualification, 0);
			if (is_done(c, rip, answer))
				return true;
			break;
		}
	}
}

static int access(struct sim_cpu *c, u64 gva, void *buf, size_t len, u32 rights)
{
	int answer = 0;

	for (size_t done = 0; done < len;) {
		u64 at = gva + done;
		size_t part = MIN(len - done, PAGE_SIZE - (at & (PAGE_SIZE - 1)));

		if (access_part(c, at, buf ? (u8 *)buf + done : NULL, part, rights, &answer))
			return answer;
		done += part;
	}
	return 0;
}

int sim_read(gva_t gva, void *dst, size_t len_bytes)
{
	return access(guest_begin(), gva.addr, dst, len_bytes, HYPAPI_R);
}

int sim_write(gva_t gva, const void *src, size_t len_bytes)
{
	return access(guest_begin(), gva.addr, (void *)src, len_bytes, HYPAPI_W);
}

uint64_t sim_read64(gva_t gva)
{
	uint64_t value = 0;
	int vector = sim_read(gva, &value, sizeof(value));

	if (vector)
		sim_fault("CPU %u: exception %d at a load of 0x%lx", sim_self->index, vector, gva.addr);
	return value;
}

void sim_write64(gva_t gva, uint64_t value)
{
	int vector = sim_write(gva, &value, sizeof(value));

	if (vector)
		sim_fault("CPU %u: exception %d at a store to 0x%lx", sim_self->index, vector, gva.addr);
}

int sim_call(gva_t target)
{
	struct sim_cpu *c = guest_begin();
	u32 width = *field(c, VMCS_GUEST_CS_AR) & AR_L ? 8 : 4;
	u64 rip = *field(c, VMCS_GUEST_RIP), rsp = *field(c, VMCS_GUEST_RSP), back = rip + 5;
	int answer = access(c, rsp - width, &back, width, HYPAPI_W);

	if (answer)
		return answer;
	*field(c, VMCS_GUEST_RSP) = rsp - width;
	*field(c, VMCS_GUEST_RIP) = target.addr;
	answer = access(c, target.addr, NULL, 1, HYPAPI_X);
	if (!answer && *field(c, VMCS_GUEST_RIP) == back)
		return 0;
	*field(c, VMCS_GUEST_RSP) = rsp;
	*field(c, VMCS_GUEST_RIP) = rip;
	return answer ? answer : SIM_NOT_A_CALL;
}

/* ---- Other instructions ---- */

#define XCR0_AVX 4

/* SDM vol. 2, "VEX-Encoded Instruction Exceptions": XCR0 decides, and CR0.EM does not for these. */
static bool simd_faults(struct sim_cpu *c, int *answer)
{
	while (!(*field(c, VMCS_GUEST_CR4) & CR4_OSXSAVE) || !(c->xcr0 & XCR0_AVX))
		if (raise(c, VEC_UD, 0, 0, answer))
			return true;
	return false;
}

int sim_simd_load(const uint64_t value[4], uint32_t mxcsr)
{
	struct sim_cpu *c = guest_begin();
	int answer;

	if (simd_faults(c, &answer))
		return answer;
	__builtin_memcpy(c->ymm0, value, sizeof(c->ymm0));
	c->mxcsr = mxcsr;
	return 0;
}

int sim_simd_store(uint64_t value[4], uint32_t *mxcsr)
{
	struct sim_cpu *c = guest_begin();
	int answer;

	if (simd_faults(c, &answer))
		return answer;
	__builtin_memcpy(value, c->ymm0, sizeof(c->ymm0));
	*mxcsr = c->mxcsr;
	return 0;
}

int sim_vmcall(void)
{
	return exiting(guest_begin(), EXIT_VMCALL, 0, 3);
}

int sim_hypercall(uint32_t number)
{
	struct sim_cpu *c = guest_begin();
	bool l2 = c->core->world->mode == RUN_L2 ||
		(c->core->world->mode == RUN_PARTITION && c->core->partition.caller->mode == RUN_L2);

	c->core->gpr[GPR_RAX] = number + (l2 ? CONFIG_L2_HYPERCALL_BASE : 0);
	return exiting(c, EXIT_VMCALL, 0, 3);
}

int sim_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct sim_cpu *c = guest_begin();

	c->core->gpr[GPR_RAX] = leaf;
	c->core->gpr[GPR_RCX] = subleaf;
	return exiting(c, EXIT_CPUID, 0, 2);
}

int sim_exit(uint32_t reason, uint64_t qualification)
{
	struct sim_cpu *c = guest_begin();
	u64 rip = *field(c, VMCS_GUEST_RIP);
	int answer;

	guest_exit(c, reason, qualification, 1);
	(void)is_done(c, rip, &answer);
	return answer;
}

static bool bitmap_has(u64 page, u32 bit)
{
	const u8 *bytes = phys_to_virt(HPA(page));

	return bytes[bit / 8] >> bit % 8 & 1;
}

static bool port_exits(struct sim_cpu *c, u16 port, u32 size)
{
	bool exits = *field(c, VMCS_PROC_CTLS) & PROC_UNCOND_IO_EXITING;

	for (u32 i = port; i < port + size && (*field(c, VMCS_PROC_CTLS) & PROC_IO_BITMAPS); i++)
		exits |= bitmap_has(*field(c, i & 0x8000 ? VMCS_IO_BITMAP_B : VMCS_IO_BITMAP_A), i & 0x7fff);
	return exits;
}

/* The core may answer an exit by opening the bitmap: then the instruction does not exit the next time. */
static int port_io(u16 port, u32 size, bool in, u32 *value)
{
	struct sim_cpu *c = guest_begin();
	u64 rip = *field(c, VMCS_GUEST_RIP);
	int answer;

	while (port_exits(c, port, size)) {
		c->core->gpr[GPR_RAX] = in ? 0 : *value;
		guest_exit(c, EXIT_IO, (u64)port << 16 | (in ? BIT(3) : 0) | (size - 1), 1);
		if (is_done(c, rip, &answer)) {
			*value = (u32)c->core->gpr[GPR_RAX];
			return answer;
		}
	}
	if (in)
		*value = machine_in(port, size);
	return 0;
}

int sim_in(uint16_t port, uint32_t size, uint32_t *value)
{
	return port_io(port, size, true, value);
}

int sim_out(uint16_t port, uint32_t size, uint32_t value)
{
	return port_io(port, size, false, &value);
}

static bool msr_exits(struct sim_cpu *c, u32 msr, bool write)
{
	u32 bit = (msr & 0x1fff) + (msr >= 0xc0000000 ? 8192 : 0) + (write ? 16384 : 0);

	return (msr & ~0xc0000000u) > 0x1fff || bitmap_has(*field(c, VMCS_MSR_BITMAP), bit);
}

static int msr_access(u32 msr, u64 *value, bool write)
{
	struct sim_cpu *c = guest_begin();
	u64 rip = *field(c, VMCS_GUEST_RIP);
	int answer;

	while (msr_exits(c, msr, write)) {
		c->core->gpr[GPR_RCX] = msr;
		c->core->gpr[GPR_RAX] = (u32)*value;
		c->core->gpr[GPR_RDX] = *value >> 32;
		guest_exit(c, write ? EXIT_WRMSR : EXIT_RDMSR, 0, 2);
		if (is_done(c, rip, &answer)) {
			*value = write ? *value : c->core->gpr[GPR_RDX] << 32 | (u32)c->core->gpr[GPR_RAX];
			return answer;
		}
	}
	if (write ? machine_wrmsr(msr, *value) : machine_rdmsr(msr, value))
		return 0;
	return raise(c, VEC_GP, 0, 0, &answer) ? answer : 0;
}

int sim_rdmsr(uint32_t msr, uint64_t *value)
{
	*value = 0;
	return msr_access(msr, value, false);
}

int sim_wrmsr(uint32_t msr, uint64_t value)
{
	return msr_access(msr, &value, true);
}

void sim_pause(void)
{
	guest_begin();
	sched_yield();
}

/* ---- Registers and state ---- */

static const u32 reg_fields[HYPAPI_REG_COUNT] = {
	[HYPAPI_REG_RSP] = VMCS_GUEST_RSP, [HYPAPI_REG_RIP] = VMCS_GUEST_RIP, [HYPAPI_REG_RFLAGS] = VMCS_GUEST_RFLAGS,
	[HYPAPI_REG_CR0] = VMCS_GUEST_CR0, [HYPAPI_REG_CR3] = VMCS_GUEST_CR3, [HYPAPI_REG_CR4] = VMCS_GUEST_CR4,
	[HYPAPI_REG_EFER] = VMCS_GUEST_EFER, [HYPAPI_REG_CS] = VMCS_GUEST_CS_SEL,
	[HYPAPI_REG_FS_BASE] = VMCS_GUEST_FS_BASE, [HYPAPI_REG_GS_BASE] = VMCS_GUEST_GS_BASE,
};

uint64_t sim_get(enum hypapi_reg reg)
{
	struct sim_cpu *c = sim_self;

	if (reg >= HYPAPI_REG_COUNT || (reg > HYPAPI_REG_R15 && !reg_fields[reg]))
		sim_fault("sim_get() of register %u", (u32)reg);
	return reg_fields[reg] ? *field(c, reg_fields[reg]) : c->core->gpr[reg];
}

/* MOV to a control register, as far as it does not exit. */
static void set_cr(struct sim_cpu *c, enum hypapi_reg reg, u64 value)
{
	u64 *at = field(c, reg_fields[reg]), changed = *at ^ value, gone = *at & ~value;

	if (reg == HYPAPI_REG_CR3)
		mmu_guest_drops(c, MMU_MOV_CR3, value);
	*at = reg == HYPAPI_REG_CR3 ? value & ~BIT(63) : value;
	if ((reg == HYPAPI_REG_CR0 && (gone & CR0_PG)) ||
	    (reg == HYPAPI_REG_CR4 && ((changed & CR4_PGE) || (gone & CR4_PCIDE))))
		mmu_guest_drops(c, MMU_EVERYTHING, 0);
	else if (reg == HYPAPI_REG_CR4 && (changed & (CR4_PAE | CR4_SMEP) & ~gone))
		mmu_guest_drops(c, MMU_THIS_PCID, 0);
}

void sim_set(enum hypapi_reg reg, uint64_t value)
{
	struct sim_cpu *c = sim_self;

	if (reg > HYPAPI_REG_RFLAGS && reg != HYPAPI_REG_CR0 && reg != HYPAPI_REG_CR3 && reg != HYPAPI_REG_CR4)
		sim_fault("sim_set() of register %u", (u32)reg);
	if (reg > HYPAPI_REG_RFLAGS)
		set_cr(c, reg, value);
	else if (!reg_fields[reg])
		c->core->gpr[reg] = value;
	else
		*field(c, reg_fields[reg]) = value;
}

void sim_invlpg(gva_t gva)
{
	mmu_guest_drops(guest_begin(), MMU_INVLPG, gva.addr);
}

void sim_set_mode(bool long_mode, uint32_t cpl)
{
	struct sim_cpu *c = sim_self;
	u64 dpl = (u64)cpl << AR_DPL_SHIFT;

	*field(c, VMCS_GUEST_CS_AR) = (long_mode ? 0xa09b : 0xc09b) | dpl;
	*field(c, VMCS_GUEST_SS_AR) = 0xc093 | dpl;
}

struct sim_exception sim_exception(void)
{
	return sim_self->exception;
}

void sim_interrupt(uint8_t vector)
{
	guest_begin()->waiting_vector = vector + 1u;
	guest_begin();
}

uint64_t sim_interrupts(void)
{
	return sim_self->interrupts;
}

void sim_send_nmi(uint32_t cpu)
{
	machine_nmi(cpu);
}

uint64_t sim_nmis(void)
{
	return sim_self->guest_nmis;
}

uint32_t sim_cpu_index(void)
{
	return sim_self->index;
}

void sim_partition_code(sim_code *code, void *arg)
{
	partition_code = code;
	partition_arg = arg;
}
