/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests: OVMF takes its ACPI tables from QEMU, so in Bochs it has none. This EFI application installs small ones
 * (MADT, FADT, DSDT with _S3_ and _S5_), for the CPUs that the firmware knows, and starts \xmhf.efi or, without it,
 * \next.efi. Ports are those that OVMF gives Bochs' PIIX4. With LOCK_OTHERS VMX is off on the other CPUs before, with
 * DISABLE_OTHERS these are, with NO_MP nothing starts them, with LOSE_OTHERS they do not come when they are started,
 * and with X2APIC all CPUs are in x2APIC mode, as a firmware may leave them. With STOP_OTHERS the firmware's code asks
 * hypapps/quiesce for a stop on each of them as soon as it has the CPU back from xmhf.efi. Under XMHF, which starts it
 * as an operating system's loader, it only says what it is told.
 */
#include "uefi.h"

#define ACPI_MEMORY 9
#define MAX_CPUS 8
#define PM_BASE 0xb000

struct header {
	char signature[4];
	uint32_t bytes;
	uint8_t revision, checksum;
	char oem[6], table[8];
	uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

static struct {
	struct {
		char signature[8];
		uint8_t checksum;
		char oem[6];
		uint8_t revision;
		uint32_t rsdt, bytes;
		uint64_t xsdt;
		uint8_t checksum_of_all, reserved[3];
	} __attribute__((packed)) rsdp;
	struct { struct header header; uint64_t tables[2]; } __attribute__((packed)) xsdt;
	struct {
		struct header header;
		uint32_t facs, dsdt;
		uint8_t model, profile;
		uint16_t sci;
		uint32_t smi_port;
		uint8_t smi_values[4];
		uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe[2];
		uint8_t pm1_event_bytes, pm1_control_bytes, pm2_bytes, pm_timer_bytes, rest[20];
		uint32_t flags;
	} __attribute__((packed)) fadt;
	struct { struct header header; uint8_t aml[24]; } __attribute__((packed)) dsdt;
	struct {
		struct header header;
		uint32_t local_apic, flags;
		struct { uint8_t type, bytes, id, apic_id; uint32_t flags; } __attribute__((packed)) cpus[MAX_CPUS];
		struct { uint8_t type, bytes, id, zero; uint32_t address, first; } __attribute__((packed)) io_apic;
		struct {
			uint8_t type, bytes, bus, irq;
			uint32_t pin;
			uint16_t flags;
		} __attribute__((packed)) overrides[5];
	} __attribute__((packed)) madt;
} tables = {
	.rsdp = { .signature = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' }, .revision = 2, .bytes = 36 },
	.xsdt.header = { .signature = { 'X', 'S', 'D', 'T' } },
	.fadt = {
		.header = { .signature = { 'F', 'A', 'C', 'P' }, .revision = 1 },
		.sci = 9, .pm1a_event = PM_BASE, .pm1a_control = PM_BASE + 4, .pm_timer = PM_BASE + 8,
		.pm1_event_bytes = 4, .pm1_control_bytes = 2, .pm_timer_bytes = 4, .flags = 1,
	},
	/* Name (_S3_, Package () { 1, 1, 0, 0 }), Name (_S5_, Package () { 0, 0, 0, 0 }) */
	.dsdt = {
		.header = { .signature = { 'D', 'S', 'D', 'T' } },
		.aml = { 0x08, '_', 'S', '3', '_', 0x12, 0x06, 0x04, 0x01, 0x01, 0x00, 0x00,
			 0x08, '_', 'S', '5', '_', 0x12, 0x06, 0x04, 0x00, 0x00, 0x00, 0x00 },
	},
	.madt = {
		.header = { .signature = { 'A', 'P', 'I', 'C' } }, .local_apic = 0xfee00000, .flags = 1,
		.io_apic = { 1, 12, 0, 0, 0xfec00000, 0 },
		.overrides = { { 2, 10, 0, 0, 2, 0 }, { 2, 10, 0, 5, 5, 13 }, { 2, 10, 0, 9, 9, 13 },
			       { 2, 10, 0, 10, 10, 13 }, { 2, 10, 0, 11, 11, 13 } },
	},
};

static const efi_guid mp_guid = { 0x3fdda605, 0xa76e, 0x4f46, { 0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 } };
static const efi_guid loaded_guid = { 0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static const efi_guid path_guid = { 0x09576e91, 0x6d3f, 0x11d2, { 0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static const efi_guid files_guid = { 0x964e5b22, 0x6459, 0x11d2, { 0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static const efi_guid acpi_guid = { 0x8868e871, 0xe4f1, 0x11d3, { 0xbc, 0x22, 0, 0x80, 0xc7, 0x3c, 0x88, 0x81 } };

static uint8_t sum(const void *from, uint32_t bytes)
{
	const uint8_t *at = from;
	uint8_t total = 0;

	while (bytes--)
		total += *at++;
	return (uint8_t)-total;
}

static uint64_t finish(struct header *table, uint64_t bytes)
{
	table->bytes = (uint32_t)bytes;
	table->checksum = 0;
	table->checksum = sum(table, table->bytes);
	return (uint64_t)table;
}

static void fill(struct efi_boot_services *boot, __typeof__(tables) *t)
{
	struct efi_mp *mp;
	uint64_t all = 1, enabled = 1;

	if (boot->locate_protocol(&mp_guid, NULL, (void **)&mp) || mp->count(mp, &all, &enabled))
		enabled = 1;
	for (uint8_t i = 0; i < MAX_CPUS; i++)
		t->madt.cpus[i] = (__typeof__(t->madt.cpus[0])){ 0, 8, i, i, i < enabled };
	t->madt.io_apic.id = (uint8_t)enabled;
	t->fadt.dsdt = (uint32_t)finish(&t->dsdt.header, sizeof(t->dsdt));
	t->xsdt.tables[0] = finish(&t->fadt.header, sizeof(t->fadt));
	t->xsdt.tables[1] = finish(&t->madt.header, sizeof(t->madt));
	t->rsdp.xsdt = finish(&t->xsdt.header, sizeof(t->xsdt));
	t->rsdp.checksum = sum(&t->rsdp, 20);
	t->rsdp.checksum_of_all = sum(&t->rsdp, 36);
}

/* The file beside this application's device: a full path of it, made here. */
static efi_status start(struct efi_boot_services *boot, efi_handle image, const uint16_t *name)
{
	static uint8_t path[512];
	struct efi_loaded_image *self;
	struct efi_device_path *node;
	efi_handle next;
	uint16_t at = 0, chars = 0;

	if (boot->handle_protocol(image, &loaded_guid, (void **)&self) ||
	    boot->handle_protocol(self->device, &path_guid, (void **)&node))
		return 1;
	for (; node->type != EFI_PATH_END; node = (void *)((uint8_t *)node + node->bytes))
		for (uint16_t i = 0; i < node->bytes; i++)
			path[at++] = ((uint8_t *)node)[i];
	node = (void *)(path + at);
	while (name[chars++])
		((uint16_t *)(node + 1))[chars - 1] = name[chars - 1];
	*node = (struct efi_device_path){ EFI_PATH_MEDIA, EFI_PATH_FILE, (uint16_t)(4 + 2 * chars) };
	node = (void *)((uint8_t *)node + node->bytes);
	*node = (struct efi_device_path){ EFI_PATH_END, EFI_PATH_END_ENTIRE, 4 };
	if (boot->load_image(0, image, path, NULL, 0, &next))
		return 1;
	return boot->start_image(next, NULL, NULL);
}

#if defined(DISABLE_OTHERS)
static void treat_others(struct efi_boot_services *boot)
{
	efi_status EFI (*enable)(struct efi_mp *, uint64_t, uint8_t, uint32_t *);
	struct efi_mp *mp;

	if (boot->locate_protocol(&mp_guid, NULL, (void **)&mp))
		return;
	enable = mp->enable;
	(void)enable(mp, 1, false, NULL);
}
#elif defined(NO_MP)
static void treat_others(struct efi_boot_services *boot)
{
	efi_status EFI (*uninstall)(efi_handle, const efi_guid *, void *) = boot->uninstall_protocol;
	efi_handle *handles;
	uint64_t count = 0;
	struct efi_mp *mp;

	if (!boot->locate_protocol(&mp_guid, NULL, (void **)&mp) &&
	    !boot->locate_handle_buffer(EFI_BY_PROTOCOL, &mp_guid, NULL, &count, &handles))
		(void)uninstall(handles[0], &mp_guid, mp);
}
#elif defined(LOCK_OTHERS)
#define HAS_TASK_REGISTER
static uint16_t task_register(void)
{
	uint16_t tr;

	asm volatile("str %0" : "=r"(tr));
	return tr;
}

/* OVMF has none. A table of this application's, with the entries of OVMF's and then a TSS. */
static uint16_t load_task_register(void)
{
	static uint64_t gdt[64], tss[13];
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) gdtr;
	uint64_t at = (uint64_t)tss;
	uint16_t count;

	asm volatile("sgdt %0" : "=m"(gdtr));
	count = (uint16_t)((gdtr.limit + 1) / 8);
	for (uint16_t i = 0; i < count && i < 62; i++)
		gdt[i] = ((const uint64_t *)gdtr.base)[i];
	gdt[count] = (sizeof(tss) - 1) | (at & 0xffffff) << 16 | 0x89ull << 40 | (at >> 24 & 0xff) << 56;
	gdt[count + 1] = at >> 32;
	gdtr.base = (uint64_t)gdt;
	gdtr.limit += 16;
	asm volatile("lgdt %0; ltr %1" : : "m"(gdtr), "r"((uint16_t)(count * 8)) : "memory");
	return (uint16_t)(count * 8);
}

static void EFI lock_vmx(void *argument)
{
	(void)argument;
	asm volatile("wrmsr" : : "c"(0x3a), "a"(1), "d"(0)); /* IA32_FEATURE_CONTROL: locked */
}

static void treat_others(struct efi_boot_services *boot)
{
	struct efi_mp *mp;

	if (!boot->locate_protocol(&mp_guid, NULL, (void **)&mp))
		(void)mp->start_all(mp, lock_vmx, true, NULL, 0, NULL, NULL);
}
#elif defined(X2APIC)
static void EFI enter_x2apic(void *argument)
{
	uint32_t low, high;

	(void)argument;
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0x1b));
	asm volatile("wrmsr" : : "c"(0x1b), "a"(low | 0xc00), "d"(high)); /* IA32_APIC_BASE: EN, EXTD */
}

static void treat_others(struct efi_boot_services *boot)
{
	struct efi_mp *mp;

	if (!boot->locate_protocol(&mp_guid, NULL, (void **)&mp))
		(void)mp->start_all(mp, enter_x2apic, true, NULL, 0, NULL, NULL);
	enter_x2apic(NULL);
}
#elif defined(LOSE_OTHERS) || defined(STOP_OTHERS)
static __typeof__(((struct efi_mp *)0)->start_all) first_start_all;

#ifdef LOSE_OTHERS
static void EFI never_come(void *argument)
{
	(void)argument;
	for (;;)
		asm volatile("pause");
}

static efi_status EFI start_all(struct efi_mp *self, void EFI (*procedure)(void *), uint8_t one_by_one, void *event,
				uint64_t timeout_us, void *argument, uint64_t **failed)
{
	(void)procedure;
	return first_start_all(self, never_come, one_by_one, event, timeout_us, argument, failed);
}
#else
static void EFI (*first_procedure)(void *);

static void EFI ask_for_stops(void *argument)
{
	uint32_t eax, ebx, ecx, edx;

	first_procedure(argument);
	for (uint32_t i = 0; i < 1000; i++)
		asm volatile("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "0"(0x51554945), "2"(0));
}

static efi_status EFI start_all(struct efi_mp *self, void EFI (*procedure)(void *), uint8_t one_by_one, void *event,
				uint64_t timeout_us, void *argument, uint64_t **failed)
{
	first_procedure = procedure;
	return first_start_all(self, ask_for_stops, one_by_one, event, timeout_us, argument, failed);
}
#endif

static void treat_others(struct efi_boot_services *boot)
{
	struct efi_mp *mp;

	if (boot->locate_protocol(&mp_guid, NULL, (void **)&mp))
		return;
	first_start_all = mp->start_all;
	mp->start_all = start_all;
}
#else
static void treat_others(struct efi_boot_services *boot) { (void)boot; }
#endif

/* By these a loader finds the rest of its files, and itself. */
static bool knows_device_and_file(struct efi_system_table *system, efi_handle image)
{
	static const struct { struct efi_device_path node; uint16_t name[22]; } own = {
		{ EFI_PATH_MEDIA, EFI_PATH_FILE, sizeof(own) }, u"\\EFI\\BOOT\\BOOTX64.EFI" };
	struct efi_boot_services *boot = system->boot;
	struct efi_loaded_image *self;
	void *found;

	if (boot->handle_protocol(image, &loaded_guid, (void **)&self) || !self->parent || self->system != system ||
	    boot->handle_protocol(self->device, &path_guid, &found) ||
	    boot->handle_protocol(self->device, &files_guid, &found))
		return false;
	for (uint32_t i = 0; i < sizeof(own); i++)
		if (((const uint8_t *)self->path)[i] != ((const uint8_t *)&own)[i])
			return false;
	return true;
}

static efi_status say_what_is_told(struct efi_system_table *system, efi_handle image)
{
	uint32_t low, high;

	if (knows_device_and_file(system, image))
		(void)system->console_out->output(system->console_out, u"device and file are told\r\n");
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0x1b)); /* IA32_APIC_BASE */
	if (low >> 10 & 1)
		(void)system->console_out->output(system->console_out, u"x2APIC mode under XMHF\r\n");
	return 1;
}

efi_status EFI efi_main(efi_handle image, struct efi_system_table *system);
efi_status EFI efi_main(efi_handle image, struct efi_system_table *system)
{
	efi_status EFI (*install)(const efi_guid *, void *) = system->boot->install_table;
	uint64_t at = 0xffffffff;
	uint32_t leaf = 0x46484d58, ebx, ecx, edx;
	uint8_t *to;

	asm volatile("cpuid" : "+a"(leaf), "=b"(ebx), "=c"(ecx), "=d"(edx));
	if (leaf == 0x46484d58)
		return say_what_is_told(system, image);
	if (system->boot->allocate_pages(EFI_ALLOCATE_BELOW, ACPI_MEMORY, 1, &at))
		return 1;
	to = (void *)at;
	for (uint32_t i = 0; i < sizeof(tables); i++)
		to[i] = ((uint8_t *)&tables)[i];
	fill(system->boot, (void *)to);
	(void)install(&acpi_guid, to);
	treat_others(system->boot);
#ifdef HAS_TASK_REGISTER
	uint16_t tr = load_task_register();

	if (start(system->boot, image, u"\\xmhf.efi") && task_register() == tr)
		(void)system->console_out->output(system->console_out, u"TR is as before\r\n");
	return 1;
#endif
	if (start(system->boot, image, u"\\xmhf.efi"))
		return start(system->boot, image, u"\\next.efi");
	return 0;
}
