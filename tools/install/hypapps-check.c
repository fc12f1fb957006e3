/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypapps-check IMAGE [FILE...]: what the core checks about its hypapps at boot, when they are linked; and whether the
 * objects and archives that they came in call what their descriptors do not allow.
 *
 * All pointers of a linked image are known, so its list of hypapps and their descriptors can be read out of the file;
 * the core's own hypapps_check() judges copies of them. A program of the host, called by hypapp-link and the Makefile.
 * Exit status: 0, perhaps with warnings; or 1 and one line that names the hypapps; or 2: a file is not what it should
 * be.
 */
#include "events/hypapps_check.h"
#include "events/names.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_FEATURES (HYPAPI_FEATURE_NESTED | HYPAPI_FEATURE_PARTITIONS | HYPAPI_FEATURE_DMA)
#define MAX_APPS 64
#define AR_MAGIC "!<arch>\n"
#define AR_HEADER 60 /* bytes before each member; its size, in decimal, at 48 */

/* A file, or a member of an archive. */
struct elf {
	const char *name;
	const unsigned char *data;
	size_t size;
};

static const struct hypapp_descriptor *apps[MAX_APPS];
static size_t app_count;

/* Which calls belong to which capability: the first row whose name the call begins with. */
static const struct { const char *begin; uint32_t capability; } calls[] = {
	{ "hypapi_partition_limit", 0 }, { "hypapi_partition_", HYPAPI_CAP_PARTITIONS },
	{ "hypapi_reg", HYPAPI_CAP_REGISTERS }, { "hypapi_inject", HYPAPI_CAP_REGISTERS },
	{ "hypapi_copy_", HYPAPI_CAP_MEMORY }, { "hypapi_translate", HYPAPI_CAP_MEMORY },
	{ "hypapi_memory_", HYPAPI_CAP_MEMORY }, { "hypapi_dma_", HYPAPI_CAP_MEMORY },
	{ "hypapi_page_in", HYPAPI_CAP_MEMORY },
	{ "hypapi_quiesce", HYPAPI_CAP_QUIESCE }, { "hypapi_may_stop", HYPAPI_CAP_QUIESCE },
	{ "hypapi_resume", HYPAPI_CAP_QUIESCE }, { "hypapi_post", HYPAPI_CAP_WORK },
	{ "hypapi_window", HYPAPI_CAP_INTERRUPTS },
};

static void die(const char *file, const char *what)
{
	fprintf(stderr, "hypapps-check: %s: %s\n", file, what);
	exit(2);
}

static void warn(const char *message)
{
	fprintf(stderr, "warning: %s\n", message);
}

/* ---- ELF ---- */

static const void *at_offset(const struct elf *e, uint64_t offset, uint64_t size)
{
	if (offset > e->size || size > e->size - offset)
		die(e->name, "is cut off");
	return e->data + offset;
}

static const Elf64_Ehdr *header(const struct elf *e)
{
	return at_offset(e, 0, sizeof(Elf64_Ehdr));
}

static const Elf64_Shdr *section(const struct elf *e, unsigned i)
{
	return at_offset(e, header(e)->e_shoff + i * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr));
}

static bool is_elf(const struct elf *e)
{
	return e->size >= sizeof(Elf64_Ehdr) && !memcmp(e->data, ELFMAG, SELFMAG) && e->data[EI_CLASS] == ELFCLASS64;
}

/* use(symbol, its name, where) for each symbol of the file. */
static void for_symbols(const struct elf *e, void (*use)(const struct elf *e, const Elf64_Sym *s, const char *name))
{
	for (unsigned i = 0; i < header(e)->e_shnum; i++) {
		const Elf64_Shdr *table = section(e, i);

		if (table->sh_type != SHT_SYMTAB)
			continue;
		const Elf64_Sym *symbols = at_offset(e, table->sh_offset, table->sh_size);

		for (size_t j = 0; j < table->sh_size / sizeof(*symbols); j++)
			use(e, &symbols[j],
			    at_offset(e, section(e, table->sh_link)->sh_offset + symbols[j].st_name, 1));
	}
}

/* ---- The image ---- */

static uint64_t list_address;

static void find_list(const struct elf *e, const Elf64_Sym *s, const char *name)
{
	(void)e;
	if (!strcmp(name, "hypapps_linked"))
		list_address = s->st_value;
}

/* `size` bytes at a virtual address of the image. */
static const void *at_address(const struct elf *e, uint64_t address, uint64_t size)
{
	const Elf64_Phdr *p = at_offset(e, header(e)->e_phoff, header(e)->e_phnum * sizeof(*p));

	for (unsigned i = 0; i < header(e)->e_phnum; i++)
		if (address >= p[i].p_vaddr && address - p[i].p_vaddr < p[i].p_filesz &&
		    size <= p[i].p_filesz - (address - p[i].p_vaddr))
			return at_offset(e, p[i].p_offset + (address - p[i].p_vaddr), size);
	die(e->name, "a pointer of a descriptor leads nowhere");
	return NULL;
}

/* `count` elements at an address of the image; NULL stays NULL, and what is too many is refused by the check. */
static const void *array_at(const struct elf *e, const void *address, uint32_t count, size_t element)
{
	return address && count && count <= HYPAPI_MAX_CLAIMS ? at_address(e, (uintptr_t)address, count * element) :
								address;
}

/* A copy whose pointers can be followed here. An older, shorter descriptor reads as zero at its end. */
static const struct hypapp_descriptor *copy_descriptor(const struct elf *e, uint64_t address)
{
	struct hypapp_descriptor *copy = calloc(1, sizeof(*copy));
	uint32_t size;

	if (!copy)
		die(e->name, "no memory");
	memcpy(&size, at_address(e, address + offsetof(struct hypapp_descriptor, size), sizeof(size)), sizeof(size));
	if (size > sizeof(*copy))
		size = sizeof(*copy);
	memcpy(copy, at_address(e, address, size), size);
	copy->name = at_address(e, (uintptr_t)copy->name, 1);
	copy->more_subscriptions = array_at(e, copy->more_subscriptions, copy->more_subscription_count,
					    sizeof(*copy->more_subscriptions));
	copy->more_claims = array_at(e, copy->more_claims, copy->more_claim_count, sizeof(*copy->more_claims));
	return copy;
}

static void read_image(const struct elf *e)
{
	if (!is_elf(e))
		die(e->name, "is not a 64-bit ELF file");
	for_symbols(e, find_list);
	if (!list_address)
		die(e->name, "has no list of hypapps");
	for (uint64_t entry = list_address, app;; entry += sizeof(app)) {
		memcpy(&app, at_address(e, entry, sizeof(app)), sizeof(app));
		if (!app)
			break;
		if (app_count == MAX_APPS)
			die(e->name, "has more than 64 hypapps");
		apps[app_count++] = copy_descriptor(e, app);
	}
}

/* ---- What a file calls ---- */

static size_t own[MAX_APPS], own_count; /* the hypapps in the file at hand, as indices of apps */
static bool refused;

static void find_own(const struct elf *e, const Elf64_Sym *s, const char *name)
{
	(void)e;
	for (size_t i = 0; i < app_count && s->st_shndx != SHN_UNDEF && own_count < MAX_APPS; i++)
		if (!strncmp(name, "hypapp_", 7) && !strcmp(name + 7, apps[i]->name))
			own[own_count++] = i;
}

/* A call that no hypapp of the file may make; all of the image are asked for a file without any. */
static void check_call(const struct elf *e, const Elf64_Sym *s, const char *name)
{
	uint32_t capability = 0;
	bool strict = true;

	if (refused || s->st_shndx != SHN_UNDEF || strncmp(name, "hypapi_", 7))
		return;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strncmp(name, calls[i].begin, strlen(calls[i].begin))) {
			capability = calls[i].capability;
			break;
		}
	for (size_t i = 0; i < (own_count ? own_count : app_count); i++) {
		const struct hypapp_descriptor *app = apps[own_count ? own[i] : i];

		if (!capability || (app->capabilities & capability))
			return;
		strict &= app->minor >= 3;
	}
	fprintf(stderr, "%s%s %s calls %s(): add %s to .capabilities\n", strict ? "" : "warning: ",
		own_count ? "hypapp" : "the file", own_count ? apps[own[0]]->name : e->name, name,
		capability_names(capability, " | ").text);
	refused |= strict;
}

/* Functions that a program's start would call: nobody does so in an image. */
static void check_constructors(const struct elf *e)
{
	for (unsigned i = 0; i < header(e)->e_shnum; i++)
		if (section(e, i)->sh_type == SHT_INIT_ARRAY && section(e, i)->sh_size) {
			fprintf(stderr, "%s %s has a constructor, which nobody calls: use HYPAPI_EV_INIT\n",
				own_count ? "hypapp" : "the file", own_count ? apps[own[0]]->name : e->name);
			refused = true;
		}
}

/* judge(e) for the file, or for each object in an archive. */
static void for_objects(const struct elf *file, void (*judge)(const struct elf *e))
{
	if (is_elf(file)) {
		judge(file);
		return;
	}
	if (file->size < strlen(AR_MAGIC) || memcmp(file->data, AR_MAGIC, strlen(AR_MAGIC)))
		die(file->name, "not an object file or an archive");
	for (size_t at = strlen(AR_MAGIC); at + AR_HEADER <= file->size;) {
		struct elf member = { file->name, file->data + at + AR_HEADER,
				      strtoul((const char *)file->data + at + 48, NULL, 10) };

		if (member.size > file->size - at - AR_HEADER)
			die(file->name, "is cut off");
		if (is_elf(&member))
			judge(&member);
		at += AR_HEADER + member.size + (member.size & 1);
	}
}

static void judge_own(const struct elf *e)
{
	for_symbols(e, find_own);
}

static void judge_calls(const struct elf *e)
{
	if (!refused)
		check_constructors(e);
	for_symbols(e, check_call);
}

static struct elf read_file(const char *name)
{
	FILE *f = fopen(name, "rb");
	unsigned char *data;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0)
		die(name, "cannot be read");
	rewind(f);
	/* A NUL behind the file ends every string in it. */
	data = calloc(1, size + 1);
	if (!data || fread(data, 1, size, f) != (size_t)size)
		die(name, "cannot be read");
	fclose(f);
	return (struct elf){ name, data, size };
}

int main(int argc, char **argv)
{
	char message[256];
	const struct hypapps_report report = { message, sizeof(message), warn };

	if (argc < 2)
		die("usage", "hypapps-check IMAGE [FILE...]");
	const struct elf image = read_file(argv[1]);

	read_image(&image);
	/* What the machine has is seen at its boot. */
	if (!hypapps_check(apps, app_count, ALL_FEATURES, &report)) {
		fprintf(stderr, "%s\n", message);
		return 1;
	}
	for (size_t i = 0; i < app_count; i++)
		if (apps[i]->droppable && !apps[i]->text_end) {
			fprintf(stderr, "hypapp %s: .droppable needs the bounds of its code: link its objects with "
				"hypapp.lds, as hypapp.mk does\n", apps[i]->name);
			return 1;
		}
	for (int i = 2; i < argc && !refused; i++) {
		const struct elf file = read_file(argv[i]);

		own_count = 0;
		for_objects(&file, judge_own);
		for_objects(&file, judge_calls);
	}
	return refused;
}
