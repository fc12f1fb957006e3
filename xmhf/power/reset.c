/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See reset.h. Port 0xCF9 comes first, whatever the guest has chosen: a reset without the chipset's leaves
 * IA32_FEATURE_CONTROL locked, on which some firmware stumbles. A way that does nothing within its time is followed
 * by the next one; the last is a triple fault, which no chipset ignores.
 */
#include "power/reset.h"

#include "boot/acpi.h"
#include "boot/pci.h"
#include "cpu/clock.h"
#include "cpu/fpu.h"
#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"
#include "mem/partition.h"
#include "mem/root_map.h"
#include "power/ports.h"

#define KBC_PULSE_RESET 0xfe
#define WAY_MS 50
#define END_MS 100
#define RED_ZONE_BYTES 256 /* of this function's own frame and those below it */

_Atomic bool reset_is_near;
static _Atomic u32 ended_cpus;

void reset_wait_ms(u32 ms)
{
	u64 start = rdtsc(), ticks = ms * clock_ticks_per_ms();

	while (rdtsc() - start < ticks)
		cpu_pause();
}

static void by_chipset(void)
{
	outb(PORT_RESET, 0x02);
	outb(PORT_RESET, 0x06);
}

static void by_acpi_register(void)
{
	const struct acpi_register *r = &acpi_info.reset;

	if (r->addr && r->space == ACPI_IO)
		outb((u16)r->addr, acpi_info.reset_value);
	else if (r->addr && r->space == ACPI_MEMORY && r->addr < direct_map_end)
		*(volatile u8 *)phys_to_virt(HPA(r->addr)) = acpi_info.reset_value;
	else if (r->addr && r->space == ACPI_PCI)
		pci_write8(acpi_pci_address(r), acpi_info.reset_value);
}

static void by_keyboard_controller(void)
{
	outb(PORT_KBC_COMMAND, KBC_PULSE_RESET);
}

static void by_fast_a20(void)
{
	u8 value = inb(PORT_FAST_A20);

	outb(PORT_FAST_A20, value & (u8)~1);
	outb(PORT_FAST_A20, value | 1);
}

static void by_triple_fault(void)
{
	static const struct { u16 limit; u64 base; } __attribute__((packed)) nothing = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(nothing));
}

static void (*const ways[])(void) = {
	by_chipset, by_acpi_register, by_keyboard_controller, by_fast_a20, by_triple_fault,
};

static void wipe_registers(struct percpu *cpu)
{
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	partition_wipe_caller(cpu);
}

/* No return, so the stack is wiped from under our feet. */
_Noreturn void reset_end_cpu(struct percpu *cpu)
{
	u64 bytes = root_map_stack_bytes(ROOT_STACK_MAIN);

	wipe_registers(cpu);
	fpu_clear(); /* INIT, which a reset may be, would leave them */
	asm volatile("cld; rep stosb; wbinvd; lock incl %2\n"
		     "1: cli; hlt; jmp 1b"
		     : : "D"(cpu->stack_top - bytes), "c"(bytes), "m"(ended_cpus), "a"(0) : "memory");
	__builtin_unreachable();
}

/* The others are all in a loop that looks at the flag. One that does not end in time has a stack that is not wiped. */
static void end_others(u32 count)
{
	u64 start = rdtsc(), ticks = END_MS * clock_ticks_per_ms();

	atomic_store(&reset_is_near, true);
	while (atomic_load(&ended_cpus) < count && rdtsc() - start < ticks)
		cpu_pause();
}

static __attribute__((noinline)) void wipe_below(const struct percpu *cpu)
{
	u64 bottom = cpu->stack_top - root_map_stack_bytes(ROOT_STACK_MAIN);
	u64 here = (u64)__builtin_frame_address(0) - RED_ZONE_BYTES;

	if (here > bottom && here < cpu->stack_top)
		memset((void *)bottom, 0, here - bottom);
}

_Noreturn void reset_machine(struct percpu *cpu)
{
	end_others(cpu->quiesce.online ? cpu_count - 1 : 0);
	for (u32 i = 0; i < cpu_count; i++) {
		wipe_registers(cpus[i]);
		root_map_wipe_stack(i, ROOT_STACK_NMI);
		root_map_wipe_stack(i, ROOT_STACK_FAULT);
	}
	wipe_below(cpu);
	fpu_clear();
	wbinvd();
	for (size_t i = 0;; i = (i + 1) % ARRAY_SIZE(ways)) {
		ways[i]();
		reset_wait_ms(WAY_MS);
	}
}
