/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz target without libFuzzer: `make check` needs no clang. First the corpus as it is, then so many inputs
 * made from it by a fixed generator: bits, boundary values, lengths, pieces of another file. The same inputs each
 * time.
 *
 * usage: PROGRAM RUNS FILE...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 8192
#define MAX_FILES 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct { uint8_t *bytes; size_t size; } corpus[MAX_FILES];
static size_t files;
static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t random_number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void load(const char *name)
{
	FILE *file = fopen(name, "rb");

	if (!file || files == MAX_FILES)
		exit(2);
	corpus[files].bytes = malloc(MAX_BYTES);
	corpus[files].size = fread(corpus[files].bytes, 1, MAX_BYTES, file);
	files++;
	fclose(file);
}

/* In a buffer of its own size, so that the sanitizer sees a byte read behind it. */
static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	memcpy(exact, bytes, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static void mutate(uint8_t *bytes, size_t *size)
{
	static const uint64_t values[] = { 0, 1, ~0ull, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		1ull << 63,
					   1ull << 32, 1ull << 51, 4096 };
	size_t at = *size ? random_number() % *size : 0, len = 1ull << random_number() % 4;
	uint64_t value = values[random_number() % (sizeof(values) / sizeof(values[0]))];

	switch (random_number() % 5) {
	case 0:
		if (*size)
			bytes[at] ^= (uint8_t)(1u << random_number() % 8);
		break;
	case 1:
		memcpy(bytes + at, &value, at + len <= *size ? len : 0);
		break;
	case 2:
		*size = at;
		break;
	case 3:
		if (*size)
			bytes[at] = (uint8_t)random_number();
		break;
	default: {
		size_t other = random_number() % files,
			from = corpus[other].size ? random_number() % corpus[other].size : 0;
		size_t take = corpus[other].size - from;

		if (at + take > MAX_BYTES)
			take = MAX_BYTES - at;
		memcpy(bytes + at, corpus[other].bytes + from, take);
		*size = at + take > *size ? at + take : *size;
	}
	}
}

int main(int argc, char **argv)
{
	static uint8_t bytes[MAX_BYTES + 8];
	unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;

	for (int i = 2; i < argc; i++)
		load(argv[i]);
	if (!files)
		return 2;
	for (size_t i = 0; i < files; i++)
		run(corpus[i].bytes, corpus[i].size);
	for (unsigned long i = 0; i < runs; i++) {
		size_t from = random_number() % files, size = corpus[from].size;

		memcpy(bytes, corpus[from].bytes, size);
		for (uint64_t n = 1 + random_number() % 6; n; n--)
			mutate(bytes, &size);
		run(bytes, size);
	}
	printf("%zu files, %lu inputs made from them\n", files, runs);
	return 0;
}
