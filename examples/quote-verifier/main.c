/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tv-quote: the options are those of tv_quote.py. Exit status 0: the quote is right; 1, and the reason: it is not; 2:
 * usage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quote.h"

static _Noreturn void usage(void)
{
	fputs("usage: tv-quote --key HEX --nonce HEX --measurement HEX [--image HEX] [--pcrs HEX] [--owner HEX]\n"
	      "                [--level N] [--accept-debug] [--accept-unmeasured] QUOTE\n", stderr);
	exit(2);
}

static void read_hex(const char *text, uint8_t *to, size_t len)
{
	if (!text || strlen(text) != 2 * len || strspn(text, "0123456789abcdefABCDEF") != 2 * len)
		usage();
	for (size_t i = 0; i < len; i++) {
		const char digits[] = { text[2 * i], text[2 * i + 1], 0 };

		to[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
}

int main(int argc, char **argv)
{
	static uint8_t image[32], pcrs[32], quote[sizeof(struct tv_quote) + 1];
	struct quote_policy policy = { .level = 1 };
	struct { const char *name; uint8_t *to; size_t len; const uint8_t **named; bool given, needed; } options[] = {
		{ "--key", policy.key, 65, NULL, false, true }, { "--nonce", policy.nonce, 32, NULL, false, true },
		{ "--measurement", policy.measurement, 32, NULL, false, true },
		{ "--owner", policy.owner_tag, 32, NULL, false, false },
		{ "--image", image, 32, &policy.image, false, false },
		{ "--pcrs", pcrs, 32, &policy.pcrs, false, false } };
	const size_t count = sizeof(options) / sizeof(options[0]);
	const char *path = NULL, *refused;
	size_t len;
	FILE *file;

	for (int i = 1; i < argc; i++) {
		size_t o = 0;

		while (o < count && strcmp(argv[i], options[o].name))
			o++;
		if (o < count) {
			read_hex(argv[++i], options[o].to, options[o].len); /* the last argument is followed by NULL */
			options[o].given = true;
			if (options[o].named)
				*options[o].named = options[o].to;
		} else if (!strcmp(argv[i], "--level") && i + 1 < argc) {
			const char *level = argv[++i];

			if ((*level != '1' && *level != '2') || level[1])
				usage();
			policy.level = (uint8_t)(*level - '0');
		} else if (!strcmp(argv[i], "--accept-debug")) {
			policy.accept_debug = true;
		} else if (!strcmp(argv[i], "--accept-unmeasured")) {
			policy.accept_unmeasured = true;
		} else if (argv[i][0] == '-' || path) {
			usage();
		} else {
			path = argv[i];
		}
	}
	for (size_t o = 0; o < count; o++)
		if (options[o].needed && !options[o].given)
			usage();
	file = path ? fopen(path, "rb") : NULL;
	if (!file)
		usage();
	len = fread(quote, 1, sizeof(quote), file);
	fclose(file);
	refused = quote_refused(quote, len, &policy);
	if (refused)
		printf("refused: %s\n", refused);
	return refused != NULL;
}
