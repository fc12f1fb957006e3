/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which page frames Linux gave a process, and KSM, which merges pages of equal content into one; these for root only.
 * How much memory is free. Used by the PAL programs and kvm-guest.
 */
#ifndef EXAMPLE_FRAMES_H
#define EXAMPLE_FRAMES_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define FRAME_BITS ((1ull << 55) - 1) /* Linux, Documentation/admin-guide/mm/pagemap.rst */
#define FRAME_PRESENT (1ull << 63)
#define MERGE_PAUSE_US 10000
#define MERGE_TRIES 1000 /* ten seconds */
#define MERGE_A_WHILE 50 /* several scans */

/** Writes a text to a file of /proc or /sys. */
static inline bool set_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	bool written = file && fputs(text, file) >= 0;

	return file && fclose(file) == 0 && written;
}

/** Number of the page frame at an address of a process, 0 if there is none or it is not shown. */
static inline uint64_t frame_of(pid_t process, const volatile void *at)
{
	char path[40];
	uint64_t entry = 0;
	int file;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)process);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return 0;
	if (pread(file, &entry, sizeof(entry), (off_t)((uintptr_t)at / 4096 * sizeof(entry))) != sizeof(entry))
		entry = 0;
	close(file);
	return entry & FRAME_PRESENT ? entry & FRAME_BITS : 0;
}

/** Free memory of the machine in KiB, 0 if it is not known. Linux counts what was freed just now a little late. */
static inline unsigned long free_kib(void)
{
	unsigned long kib = 0;
	char line[100];
	FILE *file = fopen("/proc/meminfo", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %lu", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib;
}

struct place {
	pid_t process;
	const volatile void *at;
};

/**
 * Lets KSM run until two places are one frame. Their memory must be MADV_MERGEABLE. Afterwards KSM rests, and what is
 * merged stays so.
 * @return whether they became one, within so many pauses
 */
static inline bool merge(struct place one, struct place other, int max_tries)
{
	bool merged = false;

	if (!set_file("/sys/kernel/mm/ksm/pages_to_scan", "1000") ||
	    !set_file("/sys/kernel/mm/ksm/sleep_millisecs", "5") || !set_file("/sys/kernel/mm/ksm/run", "1"))
		return false;
	for (int tries = 0; tries < max_tries && !merged; tries++) {
		uint64_t frame = frame_of(one.process, one.at);

		merged = frame && frame == frame_of(other.process, other.at);
		if (!merged)
			usleep(MERGE_PAUSE_US);
	}
	return set_file("/sys/kernel/mm/ksm/run", "0") && merged;
}

#endif
