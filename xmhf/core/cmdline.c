/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See cmdline.h. The table is the documentation of the core's options, too: it is printed when one is wrong. */
#include "core/cmdline.h"

#include "boot/boot_info.h"
#include "events/hypapps.h"
#include "lib/string.h"
#include "report/log.h"

#define MAX_OPTIONS 32

static const struct option {
	const char *name, *values; /* values: those allowed, between '|'; NULL: any */
} known[] = {
	{ "log", "|error|warn|info|debug|" },
	{ "log-output", "|wait|once|" },
	{ "console", NULL },                  /* the serial port of the log: see report/console.h */
	{ "panic-screen", "|on|off|" },       /* a panic is shown on the screen, though the guest has it */
	{ "boot", "|linux|chain|" },          /* a bzImage module, or the boot drive's first sector */
	{ "drive", NULL },                    /* BIOS drive number for boot=chain, hexadecimal; 80 */
	{ "twice", "|on|off|" },              /* xmhf.efi: also where XMHF runs already, as its guest */
	{ "nested", "|on|off|" },
	{ "shadow-vmcs", "|on|off|" },
	{ "ept02-pages", NULL },              /* of each CPU, for L2's tables */
	{ "mitigations", "|auto|off|full|" }, /* against speculation; full: also what the CPU does not ask for */
	{ "trace", "|on|off|" },
	{ "msr", "|drop|strict|watch|" },     /* writes of unknown MSRs; watch: as drop, and the log tells of all */
	{ "announce", "|on|off|" },           /* CPUID 0x46484d58 */
	{ "smm", "|probe|require|off|" },     /* see cpu/smm.h; require: refuse a machine where it is not closed */
	{ "iommu", "|auto|require|off|" },    /* see iommu/iommu.h */
	{ "control", "|on|values|off|" },     /* the core's own hypercalls; values: with those of the trace */
	{ "partitions", NULL },               /* how many there may be at a time */
	{ "partition-time", NULL },           /* how long a PAL may run at a stretch; times are "50ms" or "10s" */
	{ "hypapp-fault", "|reset|drop|" },   /* see events/drop.h */
	{ "hypapp-time", NULL },              /* a handler that takes longer is named */
	{ "stop-share", NULL },               /* percent of the time that stops of others than L1's kernel may take */
	{ "stop-bound", NULL },               /* a CPU that takes longer to stop is named */
	{ "stop-timeout", NULL },             /* wait, or reset:TIME: then the machine is reset */
};

static char text[CMDLINE_BYTES];
static struct { const char *name, *value; } options[MAX_OPTIONS];
static u32 option_count;

static bool value_allowed(const char *values, const char *value)
{
	size_t len = strlen(value);

	for (const char *v = values; v && v[1]; v++)
		if (*v == '|' && !strncmp(v + 1, value, len) && v[1 + len] == '|')
			return true;
	return !values;
}

/* "hypapp.option" belongs to that hypapp, if it is linked. */
static bool is_hypapp_option(const char *name)
{
	for (size_t len = 0; name[len]; len++)
		if (name[len] == '.')
			return hypapps_find(name, len);
	return false;
}

/* The first `len` characters are the name of an option, or, up to a dot, of a hypapp. */
static bool is_option_name(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(known[i].name, name, len) && !known[i].name[len])
			return true;
	return is_hypapp_option(name);
}

static void check(const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(known[i].name, name))
			continue;
		if (!value_allowed(known[i].values, value))
			boot_refuse("option %s=%s: the value is none of %s (see docs/options.md)", name, value,
				    known[i].values);
		return;
	}
	if (!is_hypapp_option(name))
		boot_refuse("unknown option \"%s\": take it out of the boot loader's entry or xmhf.conf, or mend it "
			    "(see docs/options.md)", name);
}

static char *next_word(char **at)
{
	char *word = *at;

	while (*word == ' ')
		word++;
	*at = word;
	while (**at && **at != ' ')
		(*at)++;
	if (**at)
		*(*at)++ = 0;
	return word;
}

static char *split(char *word)
{
	for (; *word; word++)
		if (*word == '=') {
			*word = 0;
			return word + 1;
		}
	return word;
}

static inline bool is_slash(char c)
{
	return c == '/' || c == '\\';
}

/*
 * Loaders and the firmware's shell put the file's name first: /boot/xmhf, fs0:\xmhf, xmhf.efi. But smm/require and
 * /smm=require are options that are wrong, and must not be lost.
 */
static bool is_file_name(const char *word)
{
	const char *name = word;
	size_t len = 0;

	while (is_slash(*name))
		name++;
	while (name[len] && name[len] != '=' && !is_slash(name[len]))
		len++;
	if (name > word)
		return name[len] != '=' || !is_option_name(name, len);
	if (is_slash(name[len]))
		return !is_option_name(name, len);
	const char *ending = name + MAX(len, 4u) - 4;

	return !name[len] && (!strcmp(ending, ".elf") || !strcmp(ending, ".efi") || !strcmp(ending, ".EFI"));
}

void cmdline_parse(const char *line)
{
	char *at = text, *word;
	bool first = *line != ' '; /* before a blank there is no file name */

	string_copy(text, line, sizeof(text));
	for (; *(word = next_word(&at)); first = false) {
		bool skip = first && is_file_name(word);
		char *value = split(word);

		if (skip)
			continue;
		if (option_count == MAX_OPTIONS)
			boot_refuse("more than %u boot options", MAX_OPTIONS);
		check(word, value);
		options[option_count].name = word;
		options[option_count++].value = value;
	}
}

const char *cmdline_get(const char *name)
{
	for (u32 i = 0; i < option_count; i++)
		if (!strcmp(options[i].name, name))
			return options[i].value;
	return NULL;
}

/* Decimal digits, until the value passes `max`; answers what follows them. */
static const char *parse_digits(const char *at, u64 max, u64 *value)
{
	for (*value = 0; *at >= '0' && *at <= '9' && *value <= max; at++)
		*value = *value * 10 + (u64)(*at - '0');
	return at;
}

u64 cmdline_number(const char *name, u64 fallback, u64 max)
{
	const char *text = cmdline_get(name), *at;
	u64 value;

	if (!text)
		return fallback;
	at = parse_digits(text, max, &value);
	if (*at || at == text || !value || value > max)
		boot_refuse("option %s=%s: not a decimal number from 1 to %lu", name, text, max);
	return value;
}

/* "50ms" or "10s", at most `max` ms, into *ms. */
static bool parse_time(const char *at, u64 max, u64 *ms)
{
	const char *digits = at;
	u64 value, unit;

	at = parse_digits(at, max, &value);
	unit = !strcmp(at, "ms") ? 1 : !strcmp(at, "s") ? 1000 : 0;
	*ms = value * unit;
	return at != digits && *ms >= 1 && *ms <= max;
}

u64 cmdline_ms(const char *name, const char *prefix, u64 fallback, u64 max)
{
	const char *text = cmdline_get(name);
	size_t len = strlen(prefix);
	u64 ms;

	if (!text)
		return fallback;
	if (strncmp(text, prefix, len) || !parse_time(text + len, max, &ms))
		boot_refuse("option %s=%s: not %sTIME, where TIME is like 50ms or 10s, from 1ms to %lus", name, text,
			    prefix, max / 1000);
	return ms;
}

bool cmdline_is(const char *name, const char *word)
{
	const char *value = cmdline_get(name);

	return value && !strcmp(value, word);
}
