/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=lockdown: XMHF with hypapps/lockdown: its calls, guarded code and the disk, from L1 and from L2. The disk is the
 * first one of the machine; `window=yes`: XMHF has lockdown.disk=16-63, and the sectors outside of it are tried in all
 * ways that a register can lead there; else they can be used. `sleep=yes`: S3 is asked
 * for, in the end where nothing refuses it. L2 shares our memory, so it notes what
 * it found for L1 to print. Each line says "ok", or "T FAIL", which fails the case.
 */
#include "../../hypapps/lockdown/include/lockdown/abi.h"
#include "test.h"

#define L2_BASE 0x4c415000u
enum { DATA = 0x1f0, ERROR, COUNT, LBA_LOW, LBA_MID, LBA_HIGH, DEVICE, COMMAND, CONTROL = 0x3f6 };
enum { BSY = 0x80, DRQ = 8, ERR = 1, ABRT = 4, LBA_MODE = 0xe0 };
enum { READ = 0x20, READ_EXT = 0x24, WRITE = 0x30, READ_VERIFY = 0x40, IDENTIFY = 0xec };
enum { FIRST = 16, LAST = 63, WORDS = 256 };

struct answer { u32 vector; u64 rax, rbx, rcx, rdx; };

static u32 base;	/* of the level that runs */
static bool window;
static u16 sectors[2][WORDS];

static struct { const char *what; bool ok; } notes[64];
static u32 note_count;

static void note(const char *what, bool ok)
{
	notes[note_count].what = what;
	notes[note_count++].ok = ok;
}

static void print_notes(const char *where)
{
	for (u32 i = 0; i < note_count; i++)
		print(notes[i].ok ? "T %s, %s: ok\n" : "T FAIL %s, %s\n", where, notes[i].what);
	note_count = 0;
}

static struct answer call(u32 number, u64 argument)
{
	struct answer a = { .rax = base + number, .rcx = argument };

	fault_reset();
	asm volatile(MAY_FAULT("vmcall") : "+a"(a.rax), "+b"(a.rbx), "+c"(a.rcx), "+d"(a.rdx) :: "memory");
	a.vector = last_fault();
	return a;
}

static void use_calls(void)
{
	struct answer status = call(LOCKDOWN_STATUS, 0);
	u32 expected = base ? LOCKDOWN_E_LEVEL : LOCKDOWN_E_ABSENT;

	note("status",
	     status.vector == NO_FAULT && status.rax == LOCKDOWN_OK && status.rbx == LOCKDOWN_RED && status.rcx == 1 &&
	     status.rdx == LOCKDOWN_VERSION);
	note("switch to green", call(LOCKDOWN_SWITCH, LOCKDOWN_GREEN).rax == expected);
	note("an unused number", call(LOCKDOWN_LAST, 0).vector == VEC_UD);
	note("guard of nothing", call(LOCKDOWN_GUARD, (u64)UNMAPPED).rax == LOCKDOWN_E_FAULT);
}

static void user_status(void) { asm volatile("movl $0x400, %%eax; vmcall; int $0x80" ::: "memory"); }
static void user_switch(void) { asm volatile("movl $0x401, %%eax; vmcall; int $0x80" ::: "memory"); }
static void user_guard(void) { asm volatile("movl $0x402, %%eax; vmcall; int $0x80" ::: "memory"); }

static void use_as_user(void)
{
	note("status at CPL 3", user_run(user_status).vector == NO_FAULT);
	note("the others at CPL 3", user_run(user_switch).vector == VEC_UD && user_run(user_guard).vector == VEC_UD);
}

/* ---- Code ---- */

/* Jumps to code that jumps back by RAX. */
static u32 run(const void *code)
{
	fault_reset();
	asm volatile(MAY_FAULT("leaq 772f(%%rip), %%rax\n\tjmp *%0\n772:") :: "r"(code) : "rax", "memory");
	return last_fault();
}

static volatile u8 *code;	/* a page */

static void use_guard(void)
{
	u64 before = call(LOCKDOWN_COUNTS, 0).rdx;

	code[0] = 0xff;
	code[1] = 0xe0;
	note("code before", run((void *)code) == NO_FAULT);
	note("guard", call(LOCKDOWN_GUARD, (u64)code + 5).rax == LOCKDOWN_OK);
	note("guarded code does not run", run((void *)code) == VEC_GP && run((void *)code) == VEC_GP);
	code[2] = 0x55;
	note("it can be written and read", code[2] == 0x55 && code[0] == 0xff);
	note("fetches are counted", call(LOCKDOWN_COUNTS, 0).rdx == before + 2);
}

/* ---- Disk ---- */

static u8 wait_ready(void)
{
	u8 status = inb(COMMAND);

	for (u32 i = 0; status & BSY && i < 1000000; i++)
		status = inb(COMMAND);
	return status;
}

static void set_task(u64 lba, u32 count, u8 device)
{
	outb(DEVICE, device);
	outb(COUNT, (u8)(count >> 8));
	outb(COUNT, (u8)count);
	for (u16 i = 0; i < 3; i++) {
		outb(LBA_LOW + i, (u8)(lba >> (24 + 8 * i)));
		outb(LBA_LOW + i, (u8)(lba >> 8 * i));
	}
}

static u8 start(u8 command)
{
	outb(COMMAND, command);
	return wait_ready();
}

static void transfer(u16 *words, bool out)
{
	u64 at = (u64)words, count = WORDS;

	if (out)
		asm volatile("rep outsw" : "+S"(at), "+c"(count) : "d"(DATA) : "memory");
	else
		asm volatile("rep insw" : "+D"(at), "+c"(count) : "d"(DATA) : "memory");
}

/* One sector. */
static bool reads(u64 lba, u8 command)
{
	set_task(lba, 1, LBA_MODE);
	if ((start(command) & (DRQ | ERR)) != DRQ)
		return false;
	transfer(sectors[0], false);
	return !(wait_ready() & (DRQ | ERR));
}

static bool writes(u64 lba, u16 mark)
{
	for (u32 i = 0; i < WORDS; i++)
		sectors[0][i] = (u16)(mark + i);
	set_task(lba, 1, LBA_MODE);
	if ((start(WRITE) & (DRQ | ERR)) != DRQ)
		return false;
	transfer(sectors[0], true);
	return !(wait_ready() & (DRQ | ERR));
}

static bool holds(const u16 *words, u16 mark)
{
	return words[0] == mark && words[WORDS - 1] == (u16)(mark + WORDS - 1);
}

/* The drive's own answer to a command that it does not know. */
static bool aborts(u64 lba, u32 count, u8 device, u8 command)
{
	set_task(lba, count, device);
	return (start(command) & (DRQ | ERR)) == ERR && inb(ERROR) & ABRT;
}

static void use_window(void)
{
	note("IDENTIFY", reads(0, IDENTIFY));
	note("write", writes(FIRST + 1, 0x1100) && writes(FIRST, 0x1000) && writes(LAST, 0x1200));
	note("read", reads(FIRST, READ) && holds(sectors[0], 0x1000) && reads(LAST, READ) && holds(sectors[0], 0x1200));
	set_task(FIRST + 1, 1, 0xa0);	/* sectors of cylinder 0, head 0 count from 1 */
	note("read by cylinder and head",
	     start(READ) & DRQ && (transfer(sectors[0], false), holds(sectors[0], 0x1000)) &&
	     !(wait_ready() & (DRQ | ERR)));
	note("read, 48-bit", reads(FIRST + 1, READ_EXT) && holds(sectors[0], 0x1100));
}

/* Registers written while the drive transfers must not lead that elsewhere, nor the next command. */
static void redirect(void)
{
	bool ok;

	set_task(FIRST, 2, LBA_MODE);
	ok = start(READ) & DRQ;
	set_task(0, 2, LBA_MODE);
	transfer(sectors[0], false);
	ok &= (wait_ready() & (DRQ | ERR)) == DRQ;
	transfer(sectors[1], false);
	note("registers changed in a transfer", ok && holds(sectors[0], 0x1000) && holds(sectors[1], 0x1100));
	set_task(0, 1, LBA_MODE);
	outb(COMMAND, IDENTIFY);
	wait_ready();
	set_task(FIRST, 1, LBA_MODE);
	transfer(sectors[0], false);
	note("registers changed before a command", (start(READ) & (DRQ | ERR)) == ERR);
}

static void leave_window(void)
{
	u64 before = call(LOCKDOWN_COUNTS, 0).rcx;

	note("refused below", aborts(FIRST - 1, 1, LBA_MODE, READ) && aborts(0, 1, LBA_MODE, WRITE));
	note("refused above", aborts(LAST + 1, 1, LBA_MODE, READ) && aborts(LAST, 2, LBA_MODE, READ_VERIFY));
	note("refused, 256 sectors", aborts(FIRST, 0, LBA_MODE, READ));
	note("refused, 48-bit",
	     aborts(FIRST | BIT(32), 1, LBA_MODE, READ_EXT) && aborts(FIRST, 0x101, LBA_MODE, READ_EXT));
	note("refused, LBA 27 to 24", aborts(FIRST, 1, LBA_MODE | 1, READ));
	note("refused, cylinder and head", aborts(FIRST, 1, 0xa0, READ));
	note("refused, another command", aborts(FIRST, 1, LBA_MODE, 0xb0));
	redirect();
	note("refusals are counted", call(LOCKDOWN_COUNTS, 0).rcx == before + 11);
	use_window();
}

static void use_disk(void)
{
	u64 before = call(LOCKDOWN_COUNTS, 0).rbx;

	outb(CONTROL, 2);	/* no interrupts */
	use_window();
	if (window)
		leave_window();
	else
		note("all sectors",
		     reads(0, READ) && writes(LAST + 1, 0x1300) && reads(LAST + 1, READ) && holds(sectors[0], 0x1300) &&
		     call(LOCKDOWN_COUNTS, 0).rcx == 0);
	note("accesses are counted", call(LOCKDOWN_COUNTS, 0).rbx >= before + 50);
}

/* ---- Levels and CPUs ---- */

static void use_all(void)
{
	use_calls();
	use_guard();
	use_disk();
}

static void l2_use_all(void)
{
	use_all();
	l2_end();
}

static void in_l2(void)
{
	bool ended;

	hv_init(&l2, HV_LONG64, l2_use_all);
	base = L2_BASE;
	ended = hv_run(&l2) == VMX_OK && l2.exit.reason == EXIT_VMCALL && l2.regs[RAX] == L2_END;
	base = 0;
	note("no exit to L1", ended);
}

static void look_at_drive(void *unused)
{
	(void)unused;
	for (u32 i = 0; i < 7; i++)
		inb(COMMAND);
}

static void on_both_cpus(void)
{
	u64 before = call(LOCKDOWN_COUNTS, 0).rbx;

	smp_run(1, look_at_drive, NULL);
	look_at_drive(NULL);
	smp_wait(1);
	note("counts of both CPUs", call(LOCKDOWN_COUNTS, 0).rbx == before + 14);
}

static volatile bool racing;

static void lead_astray(void *unused)
{
	(void)unused;
	while (racing) {
		outb(LBA_LOW, 0);
		for (u32 i = rdtsc() >> 3 & 0x3fff; i; i--)
			pause();
	}
}

/* Another CPU changes the address all the while: the drive reads the sector that is allowed, or none. */
static void race(void)
{
	u32 read = 0, refused = 0, wrong = 0;

	racing = true;
	smp_run(1, lead_astray, NULL);
	for (u32 i = 0; i < 300; i++) {
		set_task(FIRST, 1, LBA_MODE);
		if (!(start(READ) & DRQ)) {
			refused++;
			continue;
		}
		transfer(sectors[0], false);
		read++;
		wrong += !holds(sectors[0], 0x1000);
	}
	racing = false;
	smp_wait(1);
	print("%u reads, %u refused, %u wrong\n", read, refused, wrong);
	note("registers changed by another CPU", read && refused && !wrong);
}

static void sleep_s3(void)
{
	asm volatile("outw %0, %1" :: "a"((u16)0x2400), "d"((u16)0xb004));
}

DEFINE_TEST(lockdown, "lockdown", "XMHF with hypapps/lockdown: calls, guarded code, the disk, sleep")
{
	char text[8];
	bool sleep = option("sleep", text, sizeof(text));

	window = option("window", text, sizeof(text));
	code = page_alloc();
	smp_start();
	use_all();
	use_as_user();
	on_both_cpus();
	if (window)
		race();
	if (window && sleep)
		sleep_s3();	/* refused */
	print_notes("L1");
	code = page_alloc();
	hv_on();
	in_l2();
	hv_off();
	print_notes("L2");
	if (sleep)
		sleep_s3();
}
