/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * note [TEXT [L2-BASE]]: adds a note to the journal, prints all. In L2, L2-BASE is 0x4c415000 unless configured
 * otherwise.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOURNAL_APPEND = 0x301, JOURNAL_READ = 0x302 };

static int journal(uint32_t number, uint64_t *rbx, uint64_t rcx, uint64_t rdx)
{
	uint64_t rax = number;

	__asm__ volatile("vmcall" : "+a"(rax), "+b"(*rbx), "+c"(rcx) : "d"(rdx) : "memory");
	return (int)rax;
}

int main(int argc, char **argv)
{
	uint32_t base = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 0;
	char text[56] = "";

	if (argc > 1) {
		uint64_t address = (uint64_t)text;

		strncpy(text, argv[1], sizeof(text) - 1);
		if (journal(base + JOURNAL_APPEND, &address, strlen(text), 0) < 0)
			return 1;
	}
	for (uint64_t i = 0; i < 64; i++) {
		uint64_t rbx = i;

		if (journal(base + JOURNAL_READ, &rbx, (uint64_t)text, sizeof(text)) < 0)
			break;
		printf("%.*s\n", (int)rbx, text);
	}
	return 0;
}
