/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xmhf.efi: the core as an EFI application. It gives the core memory that the firmware keeps off, lets each CPU enter
 * the core and come back as a guest, and then, itself a guest, starts the operating system's loader. What is wrong is
 * said on the console, and the application returns with an error.
 */
#include "app.h"
#include "boot/efi_handoff.h"

/* Of this application, so found by their distance: it is loaded anywhere. */
#pragma GCC visibility push(hidden)
extern const u8 core_image[], core_image_end[], bridge_start[], bridge_end[], bridge_leave[], bridge_resumed[];
u64 bridge_enter(struct efi_cpu_state *state, struct efi_handoff *handoff, u64 cr3, u64 target);
#pragma GCC visibility pop

#define BELOW_4G 0xfffffffful
#define BELOW_1M 0x9fffful
#define LOW_BYTES 0x2000ul /* ROOT_LOW_BYTES */
#define MAP_SLACK 4096     /* for what the map gains by being asked for */
#define UNSUPPORTED (1ull << 63 | 3)
#define CONFIG_BYTES 4096

/* Page tables */
#define CR4_LA57 BIT(12)
#define PTE_RW 3ul
#define PTE_LEAF 0x83ul
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

/* ---- Text ---- */

void say(const char *text)
{
	uint16_t wide[2] = { 0, 0 };

	for (; *text; text++) {
		wide[0] = (uint16_t)*text;
		if (*text == '\n')
			(void)efi_table->console_out->output(efi_table->console_out, (const uint16_t[]){ '\r', 0 });
		(void)efi_table->console_out->output(efi_table->console_out, wide);
	}
}

static void say_number(u64 number)
{
	char digits[21], *at = digits + sizeof(digits) - 1;

	*at = 0;
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	say(at);
}

static efi_status refuse(const char *why)
{
	say("xmhf: error: ");
	say(why);
	/* An operating system would start CPUs that are guests of a core which has no boot CPU. */
	if (handoff && handoff->joined) {
		say("\nxmhf: other CPUs run under XMHF already: reset the machine, and start it without XMHF\n");
		for (;;)
			(void)boot->stall(1000000);
	}
	say("\nxmhf: XMHF is not started; the firmware goes on in 5 seconds\n");
	(void)boot->stall(5000000);
	return UNSUPPORTED;
}

static bool same_guid(const efi_guid *a, const efi_guid *b)
{
	return same_bytes(a, b, sizeof(*a));
}

/* ---- Memory ---- */

/* Pages below `end`, or 0. */
static u64 pages_below(u64 end, u32 type, u64 bytes)
{
	u64 at = end;

	return boot->allocate_pages(EFI_ALLOCATE_BELOW, type, (bytes + PAGE_SIZE - 1) / PAGE_SIZE, &at) ? 0 : at;
}

/* The same from a boundary of 2 MiB on; the rest goes back. */
static u64 large_below_4g(u32 type, u64 bytes)
{
	u64 used = ALIGN_UP(bytes, PAGE_SIZE), all = used + SIZE_2M;
	u64 at = pages_below(BELOW_4G, type, all), start = ALIGN_UP(at, SIZE_2M), end = start + used;

	if (!at)
		return 0;
	if (start > at)
		(void)boot->free_pages(at, (start - at) / PAGE_SIZE);
	if (at + all > end)
		(void)boot->free_pages(end, (at + all - end) / PAGE_SIZE);
	return start;
}

void copy(void *to, const void *from, u64 bytes)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

void clear(void *at, u64 bytes)
{
	asm volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(0) : "memory");
}

bool same_bytes(const void *a, const void *b, u64 bytes)
{
	for (u64 i = 0; i < bytes; i++)
		if (((const u8 *)a)[i] != ((const u8 *)b)[i])
			return false;
	return true;
}

/* The low 4 GiB as they are and at the core's direct map, and the image where it is linked. */
static u64 make_tables(u64 image)
{
	u64 at = pages_below(BELOW_4G, EFI_LOADER_DATA, TABLES * PAGE_SIZE);
	u64 (*table)[512] = (void *)at;

	if (!at)
		return 0;
	clear(table, TABLES * PAGE_SIZE);
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
	u64 bytes = 0, key;
	u32 version;

	(void)boot->get_memory_map(&bytes, NULL, &key, &handoff->map_entry_bytes, &version);
	bytes += MAP_SLACK;
	handoff->map = pages_below(BELOW_4G, EFI_LOADER_DATA, bytes);
	if (!handoff->map || boot->get_memory_map(&bytes, (void *)handoff->map, &key, &handoff->map_entry_bytes,
						  &version))
		return false;
	handoff->map_bytes = bytes;
	return true;
}

/* ---- What the firmware tells ---- */

static void take_rsdp(void)
{
	const struct boot_rsdp *old = NULL, *new = NULL;

	for (u64 i = 0; i < efi_table->config_count; i++) {
		if (same_guid(&efi_table->config[i].guid, &acpi2_guid))
			new = efi_table->config[i].table;
		else if (same_guid(&efi_table->config[i].guid, &acpi1_guid))
			old = efi_table->config[i].table;
	}
	if (new)
		handoff->rsdp = *new;
	else if (old)
		copy(&handoff->rsdp, old, offsetof(struct boot_rsdp, length));
}

static void take_framebuffer(void)
{
	struct efi_graphics *gop;
	const struct efi_graphics_mode_info *info;
	u8 red;

	if (boot->locate_protocol(&gop_guid, NULL, (void **)&gop) || !gop->mode)
		return;
	info = gop->mode->info;
	if (info->format != EFI_PIXEL_RGB && info->format != EFI_PIXEL_BGR)
		return;
	red = info->format == EFI_PIXEL_RGB ? 0 : 16;
	handoff->framebuffer = (struct boot_framebuffer){
		gop->mode->framebuffer, info->pixels_per_line * 4, info->width, info->height, 32,
		{ red, 8 }, { 8, 8 }, { (u8)(16 - red), 8 },
	};
}

static u32 own_apic_id(void)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return ebx >> 24;
}

/*
 * The boot CPU and the others. One that is switched off waits in the firmware's code, and whoever switches it on would
 * have a CPU without the core. NULL, or what is wrong.
 */
static const char *take_cpus(void)
{
	struct efi_processor info;
	u64 all = 1, enabled;

	handoff->cpu[handoff->cpu_count++].apic_id = own_apic_id();
	if (boot->locate_protocol(&mp_guid, NULL, (void **)&mp) || mp->count(mp, &all, &enabled))
		mp = NULL;
	for (u64 i = 0; mp && i < all; i++) {
		clear(&info, sizeof(info));
		if (!mp->info(mp, i, &info) && (info.flags & EFI_PROCESSOR_BOOT))
			continue;
		if (!(info.flags & EFI_PROCESSOR_ENABLED))
			return "the firmware has a CPU that it does not use: switch it on, or the core off, in the "
			       "firmware's menu";
		if (handoff->cpu_count == EFI_MAX_CPUS)
			return "the machine has more than 64 CPUs: switch off cores or hyperthreads in the "
			       "firmware's menu";
		if (info.id > 0xfe)
			return "a CPU has an APIC id above 254: switch off x2APIC mode, or cores, in the "
			       "firmware's menu";
		handoff->cpu[handoff->cpu_count++].apic_id = (u32)info.id;
	}
	return NULL;
}

/* ---- Options: the load options, or the first line of a file ---- */

static u64 read_file(const uint16_t *name, char *to, u64 bytes)
{
	struct efi_file_system *system_of_files;
	struct efi_file *root, *file;

	if (boot->handle_protocol(self->device, &efi_files_guid, (void **)&system_of_files) ||
	    system_of_files->open_volume(system_of_files, &root))
		return 0;
	if (root->open(root, &file, name, EFI_FILE_READ, 0))
		bytes = 0;
	else {
		if (file->read(file, &bytes, to))
			bytes = 0;
		(void)file->close(file);
	}
	(void)root->close(root);
	return bytes;
}

/* If the line begins with `key`, and there is room, its rest into `to`. */
static bool take_line(const char *line, u64 length, const char *key, char *to, u64 room)
{
	u64 at = 0;

	for (; key[at]; at++)
		if (at >= length || line[at] != key[at])
			return false;
	if (length - at >= room)
		return false;
	copy(to, line + at, length - at);
	to[length - at] = 0;
	return true;
}

static const char *read_config(void)
{
	static char text[CONFIG_BYTES];
	u64 bytes = read_file(u"\\EFI\\xmhf\\xmhf.conf", text, sizeof(text)), start = 0;

	if (bytes == sizeof(text))
		return "\\EFI\\xmhf\\xmhf.conf is longer than 4095 bytes";
	for (u64 i = 0; i <= bytes; i++) {
		if (i < bytes && text[i] != '\n')
			continue;
		u64 length = i - start - (i > start && text[i - 1] == '\r');

		if (length && text[start] != '#' &&
		    !take_line(text + start, length, "options ", handoff->cmdline, sizeof(handoff->cmdline)) &&
		    !take_line(text + start, length, "next ", next_path, sizeof(next_path)) &&
		    !take_line(text + start, length, "next-options ", next_options, sizeof(next_options)))
			return "\\EFI\\xmhf\\xmhf.conf: a line is none of options, next, next-options, or too long";
		start = i + 1;
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
	u32 id = own_apic_id();

	(void)argument;
	for (u32 i = 1; i < handoff->cpu_count; i++)
		if (handoff->cpu[i].apic_id == id) {
			keep_task_register(&handoff->cpu[i]);
			(void)enter(&handoff->cpu[i], entries->cpu);
		}
}

static efi_status start_core(void)
{
	u64 answer;

	keep_task_register(&handoff->cpu[0]);
	answer = enter(&handoff->cpu[0], entries->plan);

	if (answer != EFI_PLANNED)
		return refuse(handoff->refusal);
	handoff->root = large_below_4g(EFI_RESERVED, handoff->root_bytes);
	handoff->low = pages_below(BELOW_1M, EFI_RESERVED, LOW_BYTES);
	if (!handoff->root || !handoff->low)
		return refuse("the firmware has no memory for the core");
	answer = enter(&handoff->cpu[0], entries->go);
	if (answer != EFI_START_OTHERS)
		return refuse(handoff->refusal);
	if (handoff->cpu_count > 1)
		(void)mp->start_all(mp, start_cpu, true, NULL, 0, NULL, NULL);
	answer = enter(&handoff->cpu[0], entries->resume);
	return answer == EFI_ENTERED ? 0 : refuse(handoff->refusal);
}

static bool has_five_levels(void)
{
	u64 cr4;

	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	return cr4 & CR4_LA57;
}

static const char *prepare(void)
{
	u64 image, block;

	if (has_five_levels())
		return "the firmware uses five-level page tables";
	entries = (const void *)core_image;
	/* Firmware may not let data be executed. */
	block = pages_below(BELOW_4G, EFI_LOADER_CODE, sizeof(*handoff) + PAGE_SIZE);
	image = large_below_4g(EFI_LOADER_DATA, entries->image_memory_bytes);
	if (!block || !image)
		return "the firmware has no memory for the core's image";
	handoff = (void *)(block + PAGE_SIZE);
	clear(handoff, sizeof(*handoff));
	copy((void *)block, bridge_start, (u64)(bridge_end - bridge_start));
	bridge = (void *)(block + (u64)((const u8 *)bridge_enter - bridge_start));
	handoff->bridge_leave = block + (u64)(bridge_leave - bridge_start);
	handoff->bridge_resumed = block + (u64)(bridge_resumed - bridge_start);
	handoff->image = image;
	clear((void *)image, entries->image_memory_bytes);
	copy((void *)image, core_image, (u64)(core_image_end - core_image));
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

efi_status EFI efi_main(efi_handle image, struct efi_system_table *table);
efi_status EFI efi_main(efi_handle image, struct efi_system_table *table)
{
	const char *wrong;
	efi_status status;
	void *exit_event;

	efi_table = table;
	boot = table->boot;
	if (boot->handle_protocol(image, &efi_loaded_guid, (void **)&self))
		return refuse("the firmware does not tell what it loaded");
	wrong = prepare();
	if (!wrong)
		wrong = read_config();
	if (wrong)
		return refuse(wrong);
	status = start_core();
	if (status)
		return status;
	say("xmhf: XMHF runs under this firmware, on ");
	say_number(handoff->cpu_count);
	say(" CPUs\n");
	if (boot->create_event(EFI_EXIT_BOOT_SERVICES, EFI_LEVEL_CALLBACK, tell_core, NULL, &exit_event))
		exit_event = NULL;
	status = start_next(image);
	say("xmhf: it came back, or could not be started\n");
	if (exit_event)
		(void)boot->close_event(exit_event);
	return status;
}
