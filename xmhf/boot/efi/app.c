/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xmhf.efi: the core as an EFI application. It gives the core memory that the firmware keeps off, lets each CPU enter
 * the core and come back as a guest, and then, itself a guest, starts the operating system's loader. What is wrong is
 * said on the console, and the application returns with an error.
 */
#include "app.h"

#include "core/config.h"
#include "cpu/paging.h"
#include "cpu/x86.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mem/pages.h"

/* Of this application, so found by their distance: it is loaded anywhere. */
#pragma GCC visibility push(hidden)
extern const u8 core_image[], core_image_end[], bridge_start[], bridge_end[], bridge_leave[], bridge_resumed[];
u64 bridge_enter(struct efi_cpu_state *state, struct efi_handoff *handoff, u64 cr3, u64 target);
#pragma GCC visibility pop

#define PAGES(bytes) (ALIGN_UP(bytes, PAGE_SIZE) / PAGE_SIZE)
#define BELOW_4G 0xfffffffful
#define BELOW_1M 0x9fffful
#define MAP_BYTES 0x40000  /* more than 5,000 ranges; the core refuses 400 */
#define UNSUPPORTED (1ull << 63 | 3)
#define LOOK_100NS 100000 /* 10 ms */
#define LOOKS 500
#define GIVE_UP_US 60000000 /* longer than a CPU that does not come takes the core to refuse */

/* Page tables */
#define PTE_RW (PTE_P | PTE_W)
#define PTE_LEAF (PTE_RW | PTE_LARGE)
enum { TABLE_PML4, TABLE_PDPT, TABLE_PDPT_IMAGE, TABLE_PD_IMAGE, TABLE_PD, TABLES = TABLE_PD + 4 };
#define PML4_DIRECT 256
#define PDPT_OF_IMAGE 510

static const efi_guid mp_guid = { 0x3fdda605, 0xa76e, 0x4f46, { 0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 } };
static const efi_guid gop_guid = { 0x9042a9de, 0x23dc, 0x4a38, { 0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a } };
static const efi_guid acpi2_guid = { 0x8868e871, 0xe4f1, 0x11d3, { 0xbc, 0x22, 0, 0x80, 0xc7, 0x3c, 0x88, 0x81 } };
static const efi_guid acpi1_guid = { 0xeb9d2d30, 0x2d88, 0x11d3, { 0x9a, 0x16, 0, 0x90, 0x27, 0x3f, 0xc1, 0x4d } };

const efi_guid efi_loaded_guid = { 0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
const efi_guid efi_files_guid = { 0x964e5b22, 0x6459, 0x11d2, { 0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
struct efi_system_table *efi_table;
struct efi_boot_services *boot;
struct efi_loaded_image *self;

static struct efi_mp *mp;
static struct efi_handoff *handoff;
static const struct efi_core_entries *entries;
static u64 (*bridge)(struct efi_cpu_state *, struct efi_handoff *, u64, u64);

static struct efi_cpu_state *states[EFI_MAX_CPUS]; /* in the handoff, by the MP services' numbers */
static _Atomic u32 arrived; /* other CPUs that the firmware has started */
static u32 looks;           /* how often the boot CPU has looked for them */
static u64 answer;          /* of the core to the boot CPU */

/* ---- Text ---- */

void say(const char *f, ...)
{
	char text[512];
	u16 wide[2 * sizeof(text)];
	va_list args;

	va_start(args, f);
	(void)format_va(text, sizeof(text), f, args);
	va_end(args);
	(void)widen(wide, text);
	(void)efi_table->console_out->output(efi_table->console_out, wide);
}

/* ---- Memory ---- */

/* Pages below `end`, or 0. */
static u64 pages_below(u64 end, u32 type, u64 bytes)
{
	u64 at = end;

	return boot->allocate_pages(EFI_ALLOCATE_BELOW, type, PAGES(bytes), &at) ? 0 : at;
}

/* The same from a boundary of 2 MiB on: what is too much goes back, and never all, of which a timer could take some. */
static u64 large_below_4g(u32 type, u64 bytes)
{
	u64 at = pages_below(BELOW_4G, type, bytes + SIZE_2M), start = ALIGN_UP(at, SIZE_2M);

	if (start > at)
		(void)boot->free_pages(at, PAGES(start - at));
	if (at)
		(void)boot->free_pages(start + PAGES(bytes) * PAGE_SIZE, PAGES(at + SIZE_2M - start));
	return start;
}

/* The low 4 GiB as they are and at the core's direct map, and the image where it is linked. */
static u64 make_tables(u64 image)
{
	u64 at = pages_below(BELOW_4G, EFI_LOADER_DATA, TABLES * PAGE_SIZE);
	u64 (*table)[512] = (void *)at;

	if (!at)
		return 0;
	memset(table, 0, TABLES * PAGE_SIZE);
	table[TABLE_PML4][0] = table[TABLE_PML4][PML4_DIRECT] = (u64)table[TABLE_PDPT] | PTE_RW;
	table[TABLE_PML4][511] = (u64)table[TABLE_PDPT_IMAGE] | PTE_RW;
	table[TABLE_PDPT_IMAGE][PDPT_OF_IMAGE] = (u64)table[TABLE_PD_IMAGE] | PTE_RW;
	for (u64 i = 0; i < 4; i++)
		table[TABLE_PDPT][i] = (u64)table[TABLE_PD + i] | PTE_RW;
	for (u64 i = 0; i < 4 * 512; i++)
		table[TABLE_PD + i / 512][i % 512] = i * SIZE_2M | PTE_LEAF;
	for (u64 i = 0; i * SIZE_2M < entries->image_memory_bytes; i++)
		table[TABLE_PD_IMAGE][i] = (image + i * SIZE_2M) | PTE_LEAF;
	return at;
}

static bool take_memory_map(void)
{
	u64 key;
	u32 version;

	handoff->map = pages_below(BELOW_4G, EFI_LOADER_DATA, MAP_BYTES);
	handoff->map_bytes = MAP_BYTES;
	return handoff->map && !boot->get_memory_map(&handoff->map_bytes, (void *)handoff->map, &key,
						     &handoff->map_entry_bytes, &version);
}

/* ---- What the firmware tells ---- */

/* As operating systems, which take the new one where firmware gives both. Its revision tells what of it counts. */
static void take_rsdp(void)
{
	for (u64 i = 0; i < efi_table->config_count; i++) {
		const struct efi_config_table *entry = &efi_table->config[i];

		if (!memcmp(&entry->guid, &acpi2_guid, sizeof(efi_guid)) ||
		    (!memcmp(&entry->guid, &acpi1_guid, sizeof(efi_guid)) && !handoff->rsdp.signature[0]))
			handoff->rsdp = *(const struct boot_rsdp *)entry->table;
	}
}

static void take_framebuffer(void)
{
	struct efi_graphics *gop;
	const struct efi_graphics_info *info;
	u8 red;

	if (boot->locate_protocol(&gop_guid, NULL, (void **)&gop) || !gop->mode ||
	    gop->mode->info->format > EFI_PIXEL_BGR)
		return;
	info = gop->mode->info;
	red = info->format == EFI_PIXEL_RGB ? 0 : 16;
	handoff->framebuffer = (struct boot_framebuffer){
		gop->mode->framebuffer, info->pixels_per_line * 4, info->width, info->height, 32,
		{ red, 8 }, { 8, 8 }, { (u8)(16 - red), 8 },
	};
}

/*
 * The boot CPU and the others. One that is switched off waits in the firmware's code, and whoever switches it on would
 * have a CPU without the core; so would one that the firmware does not name: the core compares. NULL, or what is wrong.
 */
static const char *take_cpus(void)
{
	u64 all = 0, enabled, own;

	handoff->cpu_count = 1;
	handoff->cpus_are_known = !boot->locate_protocol(&mp_guid, NULL, (void **)&mp) &&
				  !mp->count(mp, &all, &enabled) && !mp->who_am_i(mp, &own);
	if (!handoff->cpus_are_known && all > 1)
		return "the firmware does not tell which of its CPUs has started XMHF";
	if (!handoff->cpus_are_known)
		say("xmhf: the firmware has no MP services, which start the other CPUs of a machine\n");
	for (u64 i = 0; handoff->cpus_are_known && i < all; i++) {
		struct efi_processor info;

		if (i == own)
			continue;
		if (mp->info(mp, i, &info) || !(info.flags & EFI_PROCESSOR_ENABLED))
			return "the firmware has a CPU that it does not use: switch it on, or the core off, in the "
			       "firmware's menu";
		if (handoff->cpu_count == EFI_MAX_CPUS)
			return "the machine has more than 64 CPUs: switch off cores or hyperthreads in the "
			       "firmware's menu";
		states[i] = &handoff->cpu[handoff->cpu_count++];
		states[i]->apic_id = (u32)info.id;
	}
	return NULL;
}

/* ---- Start ---- */

static u64 enter(struct efi_cpu_state *state, u64 target)
{
	return bridge(state, handoff, handoff->cr3, target);
}

/* Once a CPU, before the core has it: it stays with the core's task register. */
static void keep_task_register(struct efi_cpu_state *state)
{
	struct efi_table_register gdtr;
	u16 tr;

	asm volatile("sgdt %0; str %1" : "=m"(gdtr), "=r"(tr));
	state->segments[STATE_TR] = tr;
	state->tr_limit = 0xffff;
	if (tr) {
		const u64 *entry = (const u64 *)(gdtr.base + (tr & ~7u));

		state->tr_base = (entry[0] >> 16 & 0xffffff) | (entry[0] >> 56) << 24 | entry[1] << 32;
		state->tr_limit = (u32)((entry[0] & 0xffff) | (entry[0] >> 32 & 0xf0000));
	}
}

/* On another CPU. */
static void EFI start_cpu(void *argument)
{
	u64 number;

	(void)argument;
	if (mp->who_am_i(mp, &number) || number >= EFI_MAX_CPUS || !states[number])
		return;
	keep_task_register(states[number]);
	atomic_fetch_add(&arrived, 1);
	(void)enter(states[number], entries->cpu);
}

/*
 * The boot CPU goes to the core again when all others wait there, or some have not come. It is called by a timer while
 * start_all() waits: a procedure of theirs ends when its CPU is a guest, and none is before the boot CPU. Without
 * waiting start_all() could not be called, since firmware that boots something may refuse that (PI specification).
 */
static void EFI look_for_cpus(void *event, void *context)
{
	(void)event, (void)context;
	if (answer != EFI_START_OTHERS || (atomic_load(&arrived) < handoff->cpu_count - 1 && ++looks < LOOKS))
		return;
	answer = enter(&handoff->cpu[0], entries->resume);
	if (looks == LOOKS && answer != EFI_ENTERED)
		say("xmhf: a CPU does not start: if nothing follows in a minute, reset the machine, and start it "
		    "without XMHF\n");
}

static void start_others(void)
{
	void *timer;

	if (handoff->cpu_count > 1 && !boot->create_event(EFI_TIMER | EFI_NOTIFY_SIGNAL, EFI_LEVEL_CALLBACK,
							  look_for_cpus, NULL, &timer)) {
		if (!boot->set_timer(timer, EFI_TIMER_PERIODIC, LOOK_100NS))
			(void)mp->start_all(mp, start_cpu, false, NULL, GIVE_UP_US, NULL, NULL);
		(void)boot->close_event(timer);
	}
	/* If there are none, or the firmware did not start them. */
	looks = LOOKS - 1;
	look_for_cpus(NULL, NULL);
}

static const char *start_core(void)
{
	keep_task_register(&handoff->cpu[0]);
	answer = enter(&handoff->cpu[0], entries->plan);
	if (answer != EFI_PLANNED)
		return handoff->refusal;
	handoff->root = large_below_4g(EFI_RESERVED, handoff->root_bytes);
	handoff->low = pages_below(BELOW_1M, EFI_RESERVED, ROOT_LOW_BYTES);
	if (!handoff->root || !handoff->low)
		return "the firmware has no memory for the core";
	answer = enter(&handoff->cpu[0], entries->go);
	if (answer == EFI_START_OTHERS)
		start_others();
	return answer == EFI_ENTERED ? NULL : handoff->refusal;
}

static const char *prepare(efi_handle app)
{
	u64 image, block;

	if (boot->handle_protocol(app, &efi_loaded_guid, (void **)&self))
		return "the firmware does not tell what it loaded";
	if (read_cr4() & CR4_LA57)
		return "the firmware uses five-level page tables";
	entries = (const void *)core_image;
	/* Firmware may not let data be executed. */
	block = pages_below(BELOW_4G, EFI_LOADER_CODE, sizeof(*handoff) + PAGE_SIZE);
	image = large_below_4g(EFI_LOADER_DATA, entries->image_memory_bytes);
	if (!block || !image)
		return "the firmware has no memory for the core's image";
	handoff = (void *)(block + PAGE_SIZE);
	memset(handoff, 0, sizeof(*handoff));
	memcpy((void *)block, bridge_start, (u64)(bridge_end - bridge_start));
	bridge = (void *)(block + (u64)((const u8 *)bridge_enter - bridge_start));
	handoff->bridge_leave = block + (u64)(bridge_leave - bridge_start);
	handoff->bridge_resumed = block + (u64)(bridge_resumed - bridge_start);
	handoff->image = image;
	memset((void *)image, 0, entries->image_memory_bytes);
	memcpy((void *)image, core_image, (u64)(core_image_end - core_image));
	handoff->cr3 = handoff->app_cr3 = make_tables(image);
	take_rsdp();
	take_framebuffer();
	if (!handoff->cr3 || !take_memory_map())
		return "the firmware has no memory for the core's tables";
	return take_cpus();
}

/* The operating system takes the machine over from the firmware; both are L1 all the time. */
static void EFI tell_core(void *event, void *context)
{
	u64 rax = EFI_HYPERCALL_EXIT;

	(void)event, (void)context;
	asm volatile("vmcall" : "+a"(rax) : : "memory", "cc");
}

efi_status EFI efi_main(efi_handle image, struct efi_system_table *table)
{
	const char *wrong;
	efi_status status;
	void *exit_event;

	efi_table = table;
	boot = table->boot;
	say("xmhf: XMHF " CONFIG_VERSION ", a thin hypervisor\n");
	wrong = prepare(image);
	if (!wrong)
		wrong = read_config(handoff->cmdline);
	if (!wrong)
		wrong = start_core();
	if (wrong) {
		say("xmhf: error: %s\n", wrong);
		say("xmhf: XMHF is not started; the firmware goes on in 5 seconds\n");
		(void)boot->stall(5000000);
		return UNSUPPORTED;
	}
	say("xmhf: XMHF runs under this firmware, on %u CPUs\n", handoff->cpu_count);
	if (boot->create_event(EFI_EXIT_BOOT_SERVICES, EFI_LEVEL_CALLBACK, tell_core, NULL, &exit_event))
		exit_event = NULL;
	status = start_next(image);
	say("xmhf: it came back, or could not be started\n");
	if (exit_event)
		(void)boot->close_event(exit_event);
	return status;
}
