/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring 0 part of the L2 kernel: TSS, IDT, exceptions, PALs by list for ring 3, one for each vCPU. Each vCPU comes
 * here once from l2-start.S and goes on to ring 3.
 */
#include "l2-kernel.h"

#include <stdbool.h>

#define STACK_BYTES 8192
#define TSS_SELECTOR 0x28
#define KERNEL_CODE 0x08
#define USER_CPL 3
#define VECTOR_BP 3
#define VECTOR_PF 14
#define VECTORS 32

struct tss {
	uint32_t reserved;
	uint64_t rsp[3];
	uint64_t ist[8];
	uint64_t reserved2;
	uint16_t reserved3, io_map;
} __attribute__((packed));

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
} __attribute__((packed));

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* As exception_common pushes it. */
struct trap {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code, rip, cs, rflags, rsp, ss;
};

extern uint64_t gdt[];
extern uint8_t kernel_stacks[L2_MAX_VCPUS][STACK_BYTES];
extern uint8_t exception_entries[VECTORS][16];
extern uint8_t user_stacks[L2_MAX_VCPUS][STACK_BYTES]; /* in l2-user.c */
void enter_user(uint32_t vcpu, uint32_t vcpus, uint32_t rounds, uint8_t *stack_top);
void kernel_main(uint32_t vcpu, uint32_t vcpus, uint32_t rounds);
void on_exception(struct trap *trap);

static struct tss tss[L2_MAX_VCPUS];
static struct gate idt[VECTORS];

static void load_tss(uint32_t vcpu)
{
	uint64_t base = (uint64_t)&tss[vcpu];
	uint64_t *descriptor = &gdt[TSS_SELECTOR / 8 + 2 * vcpu];

	tss[vcpu].rsp[0] = (uint64_t)&kernel_stacks[vcpu][STACK_BYTES];
	tss[vcpu].io_map = sizeof(struct tss);
	descriptor[0] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	descriptor[1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR + 16 * vcpu));
}

/* Both vCPUs fill the table, with the same content. */
static void load_idt(void)
{
	const struct table_pointer pointer = { sizeof(idt) - 1, (uint64_t)idt };

	for (uint32_t i = 0; i < VECTORS; i++) {
		uint64_t entry = (uint64_t)exception_entries[i];
		bool for_user = i == L2_VECTOR || i == VECTOR_BP;

		idt[i] = (struct gate){ .selector = KERNEL_CODE, .type = for_user ? 0xee : 0x8e,
					.offset_low = (uint16_t)entry,
					.offset_middle = (uint16_t)(entry >> 16),
					.offset_high = (uint32_t)(entry >> 32) };
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static uint32_t this_vcpu(void)
{
	uint16_t selector;

	__asm__ volatile("str %0" : "=r"(selector));
	return (selector - TSS_SELECTOR) / 16u;
}

static void put_hex(char *text, uint64_t value)
{
	for (int i = 15; i >= 0; i--, value >>= 4)
		text[i] = "0123456789abcdef"[value & 15];
}

static void give_up(const struct trap *trap, uint64_t cr2)
{
	char text[] = "L2 kernel: exception ................, RIP ................, CR2 ................";

	put_hex(&text[21], trap->vector);
	put_hex(&text[43], trap->rip);
	put_hex(&text[65], cr2);
	outl(L2_PORT_PRINT, (uint32_t)(uint64_t)text);
	outl(L2_PORT_EXIT, 1);
}

/* ---- PALs by list ---- */

static struct own_list {
	struct tv_list list;
} __attribute__((aligned(4096))) lists[L2_MAX_VCPUS];
static uint64_t handles[L2_MAX_VCPUS];

/* Memory is mapped one to one. What ring 3 says is not trusted by TrustVisor, and nobody else's here. */
static uint32_t register_list(uint32_t vcpu, uint64_t area, const struct tv_list_entry *entry)
{
	struct tv_list *list = &lists[vcpu].list;
	uint64_t eax = TV_L2_BASE_DEFAULT + TV_CMD_REGISTER_LIST, low = (uint64_t)list, high = 0;

	list->version = TV_LIST_VERSION;
	list->entry_count = 1;
	list->entries[0] = *entry;
	list->page_count = L2_LOOK_PAGES;
	for (uint32_t i = 0; i < L2_LOOK_PAGES; i++)
		list->pages[i] = (struct tv_list_page){ area + i * 4096, (area + i * 4096) | (TV_SECTION_CODE + i) };
	__asm__ volatile("vmcall" : "+a"(eax), "+c"(low), "+d"(high) : : "memory", "cc");
	handles[vcpu] = (uint32_t)low | high << 32;
	return (uint32_t)eax;
}

static uint64_t call_by_handle(uint32_t vcpu, uint32_t command, uint64_t *rcx)
{
	uint64_t eax = TV_L2_BASE_DEFAULT + command, rdx = handles[vcpu] >> 32, rbx = 0, rsi = 0, rdi = 0;

	*rcx = (uint32_t)handles[vcpu];
	__asm__ volatile("vmcall" : "+a"(eax), "+b"(rbx), "+c"(*rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi) : : "memory",
			 "cc");
	return (uint32_t)eax;
}

static uint64_t serve(uint32_t vcpu, const struct trap *trap)
{
	uint64_t rcx, result;

	switch (trap->rax) {
	case L2_CALL_REGISTER:
		return register_list(vcpu, trap->rdi, (const struct tv_list_entry *)trap->rsi);
	case L2_CALL_UNREGISTER:
		return call_by_handle(vcpu, TV_CMD_UNREGISTER_LIST, &rcx);
	case L2_CALL_STATUS:
		result = call_by_handle(vcpu, TV_CMD_STATUS_LIST, &rcx);
		return result ? result : (rcx >> 8 & 0xff) + (rcx & 1 ? 256 : 0);
	default:
		return TV_E_UNKNOWN;
	}
}

void on_exception(struct trap *trap)
{
	struct recovery *saved = &recovery[this_vcpu()];
	uint64_t cr2;

	if (trap->vector == L2_VECTOR) {
		trap->rax = serve(this_vcpu(), trap);
		return;
	}
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	if ((trap->vector != VECTOR_PF && trap->vector != VECTOR_BP) || (trap->cs & 3) != USER_CPL || saved->rip == 0) {
		give_up(trap, cr2);
		return;
	}
	saved->cr2 = cr2;
	saved->error_code = trap->error_code;
	trap->rip = saved->rip;
	trap->rsp = saved->rsp;
	trap->rax = 1;
	saved->rip = 0;
}

void kernel_main(uint32_t vcpu, uint32_t vcpus, uint32_t rounds)
{
	load_tss(vcpu);
	load_idt();
	enter_user(vcpu, vcpus, rounds, &user_stacks[vcpu][STACK_BYTES]);
}
