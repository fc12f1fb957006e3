/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xmhfctl: what the XMHF below this Linux (L1) has done. Needs the boot options control=on, and trace=on for `trace`.
 * A static program; any user may run it. `xmhfctl --help` lists the commands, docs/trace.md says what is shown.
 */
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hypapi/control.h>

static const char *const verdicts[] = { "pass", "handled", "deny", "retry", "kill" };
static const char *const levels[] = { "L0", "L1", "L2", "PAL" };
#define NAME_IN(list, i) ((i) < sizeof(list) / sizeof((list)[0]) ? (list)[i] : "?")

static struct hypapi_control_version version;

static void no_xmhf(int signal)
{
	static const char text[] = "xmhfctl: there is no XMHF with control=on below\n";

	(void)signal;
	_exit(write(2, text, sizeof(text) - 1) < 0 ? 3 : 2);
}

/* One record. The buffer is written first, so that its pages are there: the core does not wait for Linux to map one. */
static bool get(enum hypapi_control command, uint64_t index, void *record, size_t size)
{
	int64_t result = command;

	memset(record, 0, size);
	__asm__ volatile("vmcall" : "+a"(result) : "b"(record), "c"(size), "d"(index) : "memory", "cc");
	if (result < 0) {
		fprintf(stderr, "xmhfctl: command 0x%x: error %ld\n", command, (long)result);
		exit(1);
	}
	return result == 1;
}

static const char *event_name(uint32_t type)
{
	static struct hypapi_control_name name;

	return get(HYPAPI_CONTROL_EVENT, type, &name, sizeof(name)) ? name.name : "?";
}

static const char *hypapp_name(uint32_t index)
{
	static struct hypapi_control_hypapp hypapp;

	return get(HYPAPI_CONTROL_HYPAPP, index, &hypapp, sizeof(hypapp)) ? hypapp.name.name : "?";
}

static void show_version(void)
{
	printf("xmhf %s, hypapi %u.%u, %u CPUs, %u hypapps, %u trace entries per CPU\n", version.version.name,
	       version.major, version.minor, version.cpu_count, version.hypapp_count, version.trace_entries);
}

static void show_hypapps(void)
{
	struct hypapi_control_hypapp h;

	for (uint32_t i = 0; get(HYPAPI_CONTROL_HYPAPP, i, &h, sizeof(h)); i++)
		printf("%s priority %d hypapi %u.%u capabilities 0x%x\n", h.name.name, h.priority, h.major, h.minor,
		       h.capabilities);
}

static void show_stat(void)
{
	struct hypapi_control_stat s;

	for (uint64_t i = 0; get(HYPAPI_CONTROL_STAT, i, &s, sizeof(s)); i++)
		if (s.count)
			printf("%s %s L%u count %lu stops %lu ticks %lu ticks-stopped %lu\n", hypapp_name(s.hypapp),
			       event_name(s.type), s.level, s.count, s.stops, s.ticks, s.ticks_stopped);
}

/* What the number, the access, the address and the value of an entry are; NULL: it has none. As in timeline.py. */
static const struct subject {
	const char *event, *number, *access, *address, *value;
} subjects[] = {
	{ "hypercall", "number", NULL, NULL, NULL },
	{ "cpuid", "leaf", NULL, NULL, "subleaf" },
	{ "ept-violation", NULL, "access", "address", "linear" },
	{ "partition-exit", "reason", "vector", "address", "error-code" },
	{ "port-io", "port", "access", "linear", "value" },
	{ "msr", "msr", "access", NULL, "value" },
	{ "mtrr", "msr", NULL, NULL, "value" },
	{ "exit-102", "reason", NULL, NULL, NULL },
	{ "exit-201", "reason", NULL, NULL, "qualification" },
	{ "exit-202", "reason", NULL, NULL, "qualification" },
	{ "ept02-root", NULL, NULL, "eptp12", "eptp12-before" },
	{ "ept02-flush", "cause", NULL, "eptp12", NULL },
	{ "interrupt", "vector", NULL, NULL, NULL },
	{ "sleep", "type", NULL, NULL, NULL },
	{ "work", NULL, NULL, NULL, "bits" },
	{ "dma-fault", "reason", "access", "address", "device" },
};

static const char *access_words(const char *event, uint32_t access)
{
	static char words[32];

	if (!strcmp(event, "ept-violation"))
		snprintf(words, sizeof(words), "%s%s%s", access & 1 ? "+read" : "", access & 2 ? "+write" : "",
			 access & 4 ? "+execute" : "");
	else if (!strcmp(event, "port-io"))
		snprintf(words, sizeof(words), "+%s-%u%s", access & HYPAPI_TRACE_IN ? "in" : "out", access & 7,
			 access & HYPAPI_TRACE_STRING ? "-string" : "");
	else
		snprintf(words, sizeof(words), "+%s%s", access & HYPAPI_TRACE_WRITE ? "write" : "read",
			 access & HYPAPI_TRACE_LIST ? "-list" : "");
	return *words ? words + 1 : words;
}

/* Each member by its name; `format` takes both as text. Addresses and values only if the core tells them. */
static void show_subject(const struct hypapi_trace_entry *e, const char *format)
{
	const char *event = event_name(e->type);
	const struct subject *s = subjects, *end = subjects + sizeof(subjects) / sizeof(subjects[0]);
	bool values = version.flags & HYPAPI_CONTROL_VALUES;
	char text[32];

	while (s < end && strcmp(s->event, event))
		s++;
	if (s == end)
		return;
	const struct { const char *name; uint64_t value; } members[] = {
		{ s->number, e->number }, { s->access, e->access },
		{ values ? s->address : NULL, e->address }, { values ? s->value : NULL, e->value },
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		snprintf(text, sizeof(text), "0x%lx", members[i].value);
		if (members[i].name)
			printf(format, members[i].name,
			       strcmp(members[i].name, "access") ? text : access_words(event, e->access));
	}
}

static void show_entry(uint32_t cpu, const struct hypapi_trace_entry *e)
{
	printf("cpu %u at %lu %s 0x%x %s from L%u %s ticks %lu stops %u", cpu, e->start, event_name(e->type), e->number,
	       hypapp_name(e->hypapp), e->level, NAME_IN(verdicts, e->verdict), e->ticks, e->stops);
	if (e->stops)
		printf(" epoch %lu for %lu", e->stop_epoch, e->stop_ticks);
	printf("%s then %s:", e->stopped ? " stopped-before" : "", NAME_IN(levels, e->next));
	show_subject(e, " %s %s");
	printf("\n");
}

static void chrome_slice(uint32_t cpu, const char *name, const char *category, uint64_t start, uint64_t ticks)
{
	printf(",\n{\"ph\":\"X\",\"pid\":0,\"tid\":%u,\"name\":\"%s\",\"cat\":\"%s\","
	       "\"ts\":%lu.%03lu,\"dur\":%lu.%03lu",
	       cpu, name, category, start / 1000, start % 1000, ticks / 1000, ticks % 1000);
}

/* What ran since the last entry, the delivery, and the stop inside it. The format counts in us: 1,000 ticks are one. */
static void chrome_entry(uint32_t cpu, const struct hypapi_trace_entry *last, const struct hypapi_trace_entry *e)
{
	uint64_t since = last ? last->start + last->ticks : 0;
	char name[64];

	if (last && last->serial + 1 == e->serial && e->start > since) {
		chrome_slice(cpu, NAME_IN(levels, last->next), "guest", since, e->start - since);
		printf("}");
	}
	snprintf(name, sizeof(name), "%s 0x%x", event_name(e->type), e->number);
	chrome_slice(cpu, name, "event", e->start, e->ticks);
	printf(",\"args\":{\"hypapp\":\"%s\",\"level\":\"L%u\",\"verdict\":\"%s\",\"stops\":%u,\"stopped-before\":%u,"
	       "\"next\":\"%s\"", hypapp_name(e->hypapp), e->level, NAME_IN(verdicts, e->verdict), e->stops,
	       e->stopped, NAME_IN(levels, e->next));
	show_subject(e, ",\"%s\":\"%s\"");
	printf("}}");
	if (e->stops) {
		chrome_slice(cpu, "stop", "stop", e->stop_start, e->stop_ticks);
		printf(",\"args\":{\"epoch\":%lu}}", e->stop_epoch);
	}
}

static int by_serial(const void *a, const void *b)
{
	const struct hypapi_trace_entry *x = a, *y = b;

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static void show_cpu(uint32_t cpu, bool as_json)
{
	struct hypapi_trace_entry *ring = calloc(version.trace_entries, sizeof(*ring));

	if (!ring)
		exit(1);
	for (uint32_t i = 0; i < version.trace_entries; i++)
		get(HYPAPI_CONTROL_TRACE, (uint64_t)cpu << 32 | i, &ring[i], sizeof(*ring));
	qsort(ring, version.trace_entries, sizeof(*ring), by_serial);
	for (uint32_t i = 0; i < version.trace_entries; i++)
		if (ring[i].serial && as_json)
			chrome_entry(cpu, i ? &ring[i - 1] : NULL, &ring[i]);
		else if (ring[i].serial)
			show_entry(cpu, &ring[i]);
	free(ring);
}

static bool chrome;

static void show_trace(void)
{
	if (!version.trace_entries) {
		fprintf(stderr, "xmhfctl: XMHF was booted without trace=on\n");
		exit(1);
	}
	if (chrome)
		printf("{\"traceEvents\":[\n"
		       "{\"ph\":\"M\",\"pid\":0,\"name\":\"process_name\",\"args\":{\"name\":\"XMHF\"}}");
	for (uint32_t cpu = 0; cpu < version.cpu_count; cpu++) {
		if (chrome)
			printf(",\n{\"ph\":\"M\",\"pid\":0,\"tid\":%u,\"name\":\"thread_name\","
			       "\"args\":{\"name\":\"CPU %u\"}}", cpu, cpu);
		show_cpu(cpu, chrome);
	}
	if (chrome)
		printf("\n]}\n");
}

/* ---- log ---- */

static bool before, follow;

/* The lines of all CPUs that are newer than those shown before, by tick. */
static struct hypapi_control_log *lines;
static uint64_t *shown; /* serial of the newest one, for each CPU */

static int by_tick(const void *a, const void *b)
{
	const struct hypapi_control_log *x = a, *y = b;

	return x->tick < y->tick ? -1 : x->tick > y->tick;
}

static size_t new_lines(uint32_t cpu, struct hypapi_control_log *to)
{
	uint64_t newest = shown[cpu], base = (before ? HYPAPI_LOG_BEFORE : 0) | (uint64_t)cpu << 32;
	size_t count = 0;

	for (uint32_t i = 0; i < HYPAPI_LOG_LINES; i++) {
		if (!get(HYPAPI_CONTROL_LOG, base | i, &to[count], sizeof(*to))) {
			fprintf(stderr, "xmhfctl: there is no log%s\n", before ? " of the boot before" : "");
			exit(1);
		}
		if (to[count].serial <= shown[cpu])
			continue;
		newest = to[count].serial > newest ? to[count].serial : newest;
		count++;
	}
	shown[cpu] = newest;
	return count;
}

static void show_log(void)
{
	static const char *const levels_of_lines[] = { "error: ", "warning: ", "", "debug: " };

	lines = calloc(version.cpu_count * HYPAPI_LOG_LINES, sizeof(*lines));
	shown = calloc(version.cpu_count, sizeof(*shown));
	if (!lines || !shown)
		exit(1);
	do {
		size_t count = 0;

		for (uint32_t cpu = 0; cpu < version.cpu_count; cpu++)
			count += new_lines(cpu, lines + count);
		qsort(lines, count, sizeof(*lines), by_tick);
		for (size_t i = 0; i < count; i++)
			printf("%lu %s%.*s\n", lines[i].tick, NAME_IN(levels_of_lines, lines[i].level),
			       (int)sizeof(lines[i].text), lines[i].text);
		fflush(stdout);
	} while (follow && !usleep(200000));
}

static const struct command {
	const char *name, *does;
	void (*show)(void);
} commands[] = {
	{ "version", "show the versions of XMHF and hypapi, and how many CPUs and hypapps there are", show_version },
	{ "hypapps", "show the hypapps in the order in which they are asked", show_hypapps },
	{ "stat", "show counts, stops and ticks of each hypapp, event and level", show_stat },
	{ "log", "show the last lines of XMHF's log; with --follow go on, with --before those of the boot before",
	  show_log },
	{ "trace", "show the last events of each CPU; with --chrome as JSON for Perfetto", show_trace },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *to)
{
	fprintf(to,
		"Usage: xmhfctl [OPTION]... COMMAND\nShows what the XMHF below this Linux has done.\n\nCommands:\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].does);
	fprintf(to, "\nOptions:\n"
		"  -b, --before   of log: the lines of the boot before, if RAM has kept them\n"
		"  -f, --follow   of log: go on with new lines until the end\n"
		"  -c, --chrome   of trace: write JSON for Perfetto or chrome://tracing\n"
		"  -h, --help     show this text\n"
		"  -V, --version  show the version of this program\n\n"
		"XMHF must have been booted with control=on, for trace also with trace=on.\n"
		"Exit status: 0; 1 if XMHF refuses the command; 2 for a wrong call, or if there is no such XMHF.\n");
	return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "before", no_argument, NULL, 'b' },
		{ "follow", no_argument, NULL, 'f' },
		{ "chrome", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	size_t i = 0;
	int o;

	while ((o = getopt_long(argc, argv, "bcfhV", options, NULL)) != -1)
		switch (o) {
		case 'b': before = true; break;
		case 'f': follow = true; break;
		case 'c': chrome = true; break;
		case 'h': return usage(stdout);
		case 'V': puts("xmhfctl (XMHF) " XMHF_VERSION); return 0;
		default: return usage(stderr);
		}
	while (optind < argc && i < COMMANDS && strcmp(argv[optind], commands[i].name))
		i++;
	if (optind + 1 != argc || i == COMMANDS || (chrome && commands[i].show != show_trace) ||
	    ((before || follow) && commands[i].show != show_log))
		return usage(stderr);
	signal(SIGILL, no_xmhf);
	signal(SIGSEGV, no_xmhf);
	if (!get(HYPAPI_CONTROL_VERSION, 0, &version, sizeof(version)))
		no_xmhf(0);
	commands[i].show();
	return 0;
}
