/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replays the trace of a serial log on the simulator, for machines with TrustVisor and helloworld.
 *
 *     build/sim/replay build/run.log
 *
 * Exit status: 0: everything came as recorded; 1: something did not, by name; 2: there is nothing to replay.
 */
#include <stdio.h>
#include <stdlib.h>

#include "replay.h"

/* NULL: not readable. */
static char *read_file(const char *name)
{
	FILE *file = fopen(name, "rb");
	size_t used = 0, size = 1 << 20, got;
	char *text = malloc(size);

	while (file && text && (got = fread(text + used, 1, size - used - 1, file)) > 0) {
		used += got;
		if (used == size - 1)
			text = realloc(text, size *= 2);
	}
	if (file)
		fclose(file);
	/* What a serial line garbles must not end the text. */
	for (size_t i = 0; text && i < used; i++)
		text[i] = text[i] ? text[i] : ' ';
	if (text)
		text[used] = 0;
	return file ? text : NULL;
}

int main(int argc, char **argv)
{
	struct sim_replay_result result;
	char *log = argc == 2 ? read_file(argv[1]) : NULL;

	if (!log) {
		fprintf(stderr, "usage: %s SERIAL_LOG (of a machine with trace=on)\n", argv[0]);
		return 2;
	}
	int error = sim_replay(log, replay_hypapps, &result);

	free(log);
	if (error) {
		fprintf(stderr, "replay: %s\n", result.difference);
		return 2;
	}
	printf("replay: %u deliveries recorded, %u left out, %u the same, %u different\n", result.recorded,
	       result.left_out, result.same, result.different);
	if (result.different)
		printf("replay: the first difference: %s\n", result.difference);
	return result.different != 0;
}
