/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypapps-check IMAGE: what the core checks about its hypapps at boot, when they are linked. All pointers of a linked
 * image are known, so its list of hypapps and their descriptors can be read out of the file; the core's own
 * hypapps_check() judges copies of them. A program of the host, called by hypapp-link.
 * Exit status: 0, or 1 and one line that names the hypapps, or 2: the file is no such image.
 */
#include "events/hypapps_check.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_FEATURES (HYPAPI_FEATURE_NESTED | HYPAPI_FEATURE_PARTITIONS | HYPAPI_FEATURE_DMA)

static const char *image_name;
static unsigned char *file;
static size_t file_size;

static void die(const char *what)
{
	fprintf(stderr, "hypapps-check: %s: %s\n", image_name, what);
	exit(2);
}

static const void *at_offset(uint64_t offset, uint64_t size)
{
	if (offset > file_size || size > file_size - offset)
		die("is cut off");
	return file + offset;
}

/* `size` bytes at a virtual address of the image. */
static const void *at_address(uint64_t address, uint64_t size)
{
	const Elf64_Ehdr *elf = at_offset(0, sizeof(*elf));
	const Elf64_Phdr *p = at_offset(elf->e_phoff, elf->e_phnum * sizeof(*p));

	for (unsigned i = 0; i < elf->e_phnum; i++)
		if (address >= p[i].p_vaddr && address - p[i].p_vaddr < p[i].p_filesz &&
		    size <= p[i].p_filesz - (address - p[i].p_vaddr))
			return at_offset(p[i].p_offset + (address - p[i].p_vaddr), size);
	die("a pointer of a descriptor leads nowhere");
	return NULL;
}

static uint64_t symbol_address(const char *name)
{
	const Elf64_Ehdr *elf = at_offset(0, sizeof(*elf));
	const Elf64_Shdr *s = at_offset(elf->e_shoff, elf->e_shnum * sizeof(*s));

	for (unsigned i = 0; i < elf->e_shnum; i++) {
		const Elf64_Sym *symbols = s[i].sh_type == SHT_SYMTAB ? at_offset(s[i].sh_offset, s[i].sh_size) : NULL;

		for (size_t j = 0; symbols && j < s[i].sh_size / sizeof(*symbols); j++)
			if (!strcmp(at_offset(s[s[i].sh_link].sh_offset + symbols[j].st_name, 1), name))
				return symbols[j].st_value;
	}
	die("has no list of hypapps");
	return 0;
}

/* What `count` elements at an address of the image are here; NULL stays NULL. */
static const void *array_at(const void *address, uint32_t count, size_t element)
{
	return address && count ? at_address((uintptr_t)address, count * element) : address;
}

/* A copy whose pointers can be followed here. An older, shorter descriptor reads as zero at its end. */
static const struct hypapp_descriptor *copy_descriptor(uint64_t address)
{
	struct hypapp_descriptor *copy = calloc(1, sizeof(*copy));
	uint32_t size;

	if (!copy)
		die("no memory");
	memcpy(&size, at_address(address + offsetof(struct hypapp_descriptor, size), sizeof(size)), sizeof(size));
	if (size > sizeof(*copy))
		size = sizeof(*copy);
	memcpy(copy, at_address(address, size), size);
	copy->name = at_address((uintptr_t)copy->name, 1);
	copy->more_subscriptions = array_at(copy->more_subscriptions, copy->more_subscription_count,
					    sizeof(*copy->more_subscriptions));
	copy->more_claims = array_at(copy->more_claims, copy->more_claim_count, sizeof(*copy->more_claims));
	return copy;
}

static void read_image(void)
{
	FILE *f = fopen(image_name, "rb");
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0)
		die("cannot be read");
	rewind(f);
	/* A NUL behind the file ends every string in it. */
	file = calloc(1, size + 1);
	if (!file || fread(file, 1, size, f) != (size_t)size)
		die("cannot be read");
	fclose(f);
	file_size = size;
	if (file_size < sizeof(Elf64_Ehdr) || memcmp(file, ELFMAG, SELFMAG) || file[EI_CLASS] != ELFCLASS64)
		die("is not a 64-bit ELF file");
}

int main(int argc, char **argv)
{
	const struct hypapp_descriptor *apps[64];
	char message[256];
	size_t count = 0;

	image_name = argc == 2 ? argv[1] : "usage: hypapps-check IMAGE";
	read_image();
	for (uint64_t entry = symbol_address("hypapps_linked"), app;; entry += sizeof(app), count++) {
		memcpy(&app, at_address(entry, sizeof(app)), sizeof(app));
		if (!app)
			break;
		if (count == sizeof(apps) / sizeof(apps[0]))
			die("has more than 64 hypapps");
		apps[count] = copy_descriptor(app);
	}
	/* What the machine has is seen at its boot. */
	if (hypapps_check(apps, count, ALL_FEATURES, message, sizeof(message)))
		return 0;
	fprintf(stderr, "%s\n", message);
	return 1;
}
