/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens between entry.S and the program: boot_params are read once (the loader's copy may lie where we work
 * later), the CPU and the APIC are set up, and the program that `test=NAME` names runs. Pages come from a fixed range
 * above the image that every supported machine has as RAM, and are never given back.
 */
#include "guest.h"

struct e820_entry e820_map[128];
u32 e820_count;
char command_line[256];

extern const struct test *const tests_start[], *const tests_end[];
void guest_start(const u8 *boot_params);

static u64 pool_next = POOL_START;

bool same_string(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* Offsets: Linux/x86 boot protocol, "struct boot_params" and the setup header. */
static void read_boot_params(const u8 *bp)
{
	const char *line = (const char *)(u64) * (const u32 *)(bp + 0x228);

	e820_count = bp[0x1e8];
	copy_bytes(e820_map, bp + 0x2d0, e820_count * sizeof(e820_map[0]));
	for (size_t i = 0; line && line[i] && i + 1 < sizeof(command_line); i++)
		command_line[i] = line[i];
}

bool option(const char *name, char *value, size_t size)
{
	for (const char *at = command_line; *at; at++) {
		const char *n = name, *p = at;
		size_t i = 0;

		if (at != command_line && at[-1] != ' ')
			continue;
		while (*n && *n == *p)
			n++, p++;
		if (*n || *p++ != '=')
			continue;
		for (; *p && *p != ' ' && i + 1 < size; i++)
			value[i] = *p++;
		value[i] = 0;
		return true;
	}
	return false;
}

u64 option_number(const char *name, u64 otherwise)
{
	char text[24];
	u64 value = 0;
	const char *p = text;
	u32 base = 10;

	if (!option(name, text, sizeof(text)))
		return otherwise;
	if (p[0] == '0' && p[1] == 'x') {
		base = 16;
		p += 2;
	}
	for (;; p++) {
		u32 digit = *p >= 'a' ? (u32)(*p - 'a') + 10 : (u32)(*p - '0');

		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

void *page_alloc_many(size_t count, size_t align)
{
	u64 size = count * PAGE_SIZE;
	u64 at, next = __atomic_load_n(&pool_next, __ATOMIC_SEQ_CST);

	do {
		at = (next + align - 1) & ~(align - 1);
		if (at + size > POOL_END)
			fail("out of pages");
	} while (!__atomic_compare_exchange_n(&pool_next, &next, at + size, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	return (void *)at;
}

void *page_alloc(void)
{
	return set_bytes(page_alloc_many(1, PAGE_SIZE), 0, PAGE_SIZE);
}

static void run_selected(void)
{
	char name[32] = "";

	option("test", name, sizeof(name));
	for (const struct test *const *t = tests_start; t < tests_end; t++) {
		if (!same_string((*t)->name, name))
			continue;
		print("T test %s\n", name);
		(*t)->run();
		print("T end %s\n", name);
		return;
	}
	print("T FAIL test=%s is none of:\n", name);
	for (const struct test *const *t = tests_start; t < tests_end; t++)
		print("  %s  %s\n", (*t)->name, (*t)->about);
}

void guest_start(const u8 *boot_params)
{
	serial_init();
	read_boot_params(boot_params);
	outb(0x21, 0xff);	/* the 8259s stay silent: all interrupts come from the local APIC */
	outb(0xa1, 0xff);
	smp_discover();
	cpu_init(&cpus[0], (u64)page_alloc() + PAGE_SIZE);
	lapic_enable();
	print("guest: %u CPUs, command line \"%s\"\n", cpu_count, command_line);
	run_selected();
	guest_done();
}
