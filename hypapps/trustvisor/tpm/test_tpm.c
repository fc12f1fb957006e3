/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The micro-TPM on the fake core: PALs of one page of each section that call both banks. What comes out is checked by
 * tests/run/tpm_values.py, with another library, from the formats of include/trustvisor/tpm.h and the master secret
 * that the fake core gave. And what must fail does: for each other PAL, and for each byte of a blob.
 */
#include "test_fake.h"
#include "tpm/job.h"
#include "tpm/keys.h"
#include "tpm/tpm.h"

#include <bearssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

extern const struct hypapp_descriptor hypapp_trustvisor;
int run_tpm_tests(void);

#define PAGE(n) (FAKE_BASE + (n) * 0x1000ull)
#define CODE PAGE(0)
#define DATA PAGE(1)
#define PARAM PAGE(2)
#define STACK PAGE(3)
#define ENTRY (CODE + 0x40)
#define REQUEST PAGE(8)
#define CALLER_STACK (PAGE(9) + 0x800)
/* Within the PAL's data. */
#define IN (DATA + 0x100)
#define OUT (DATA + 0x400)
#define STRUCT (DATA + 0xd00)
#define WORDS (DATA + 0xe00)
#define LEN (DATA + 0xe80)
#define INFO (DATA + 0xf00)

static struct tv_pal_sections sections;
static struct tv_pal_params params;
static struct tv_pal_options options;
static bool long_mode;
static uint32_t level, pauses;
static uint8_t code_byte;

/* ---- The guest ---- */

static int setup(void **state)
{
	struct hypapi_event ev;

	(void)state;
	fake.current = 0;
	for (size_t i = 0; i < FAKE_PARTITIONS; i++)
		fake.partitions[i].running = false;
	ev = fake_event(HYPAPI_EV_SHUTDOWN, HYPAPI_L0);
	fake_raise(&hypapp_trustvisor, &ev);
	fake_reset();
	ev = fake_event(HYPAPI_EV_INIT, HYPAPI_L0);
	fake_raise(&hypapp_trustvisor, &ev);
	sections = (struct tv_pal_sections){ .num_sections = 4, .sections = {
		{ TV_SECTION_CODE, 1, CODE }, { TV_SECTION_DATA, 1, DATA },
		{ TV_SECTION_PARAM, 1, PARAM }, { TV_SECTION_STACK, 1, STACK } } };
	params = (struct tv_pal_params){ .num_params = 2, .params = {
		{ .type = TV_PARAM_INTEGER, .size = 77 }, { .type = TV_PARAM_POINTER, .size = 3 } } };
	memset(&options, 0, sizeof(options));
	long_mode = true;
	level = HYPAPI_L1;
	code_byte = 0x11;
	return 0;
}

static struct hypapi_event event(uint32_t type)
{
	struct hypapi_event ev = fake_event(type, level);

	ev.long_mode = long_mode;
	return ev;
}

static uint32_t outside(uint32_t number)
{
	enum hypapi_verdict verdict = HYPAPI_RETRY;

	for (int i = 0; i < 1000 && verdict == HYPAPI_RETRY; i++) {
		struct hypapi_event ev = event(HYPAPI_EV_HYPERCALL);

		ev.args.hypercall.number = number;
		verdict = fake_raise(&hypapp_trustvisor, &ev);
	}
	assert_int_equal(verdict, HYPAPI_HANDLED);
	return (uint32_t)fake.regs[HYPAPI_REG_RAX];
}

static enum hypapi_verdict fetch_once(void)
{
	struct hypapi_event ev = event(HYPAPI_EV_EPT_VIOLATION);

	ev.args.violation = (struct hypapi_violation_args){ .gva = GVA(ENTRY), .gva_valid = true, .access = HYPAPI_X,
		.hpa = HPA(FAKE_HPA + 0x40), .owner = { fake.owner[0] } };
	return fake_raise(&hypapp_trustvisor, &ev);
}

/* Fetches at the entry point until the PAL runs. Returns how often that took. */
static uint32_t fetch(void)
{
	for (uint32_t count = 1; count < 200000; count++) {
		enum hypapi_verdict verdict = fetch_once();

		if (verdict == HYPAPI_HANDLED)
			return count;
		assert_int_equal(verdict, HYPAPI_RETRY);
		assert_int_equal(fake.current, 0);
	}
	fail_msg("the PAL never runs");
	return 0;
}

static void call(void)
{
	memset(fake_mem(CALLER_STACK), 0, 16);
	memcpy(fake_mem(CALLER_STACK), &(uint64_t){ 0x408765 }, long_mode ? 8 : 4);
	if (!long_mode)
		memcpy(fake_mem(CALLER_STACK + 8), &(uint32_t){ PAGE(10) }, 4);
	fake.regs[HYPAPI_REG_RSP] = CALLER_STACK;
	fake.regs[HYPAPI_REG_RIP] = ENTRY;
	fake.regs[HYPAPI_REG_RSI] = PAGE(10);
	fetch();
	assert_int_not_equal(fake.current, 0);
}

/* Registers the PAL of `sections`, `params`, `options`, `code_byte`, and calls it. */
static void start(void)
{
	for (uint64_t i = 0; i < 0x1000; i++) {
		*(uint8_t *)fake_mem(CODE + i) = (uint8_t)(i * 7);
		*(uint8_t *)fake_mem(DATA + i) = (uint8_t)(i * 5);
		*(uint8_t *)fake_mem(STACK + i) = (uint8_t)rand();
		*(uint8_t *)fake_mem(PARAM + i) = (uint8_t)rand();
	}
	*(uint8_t *)fake_mem(CODE + 0xabc) = code_byte;
	memcpy(fake_mem(REQUEST), &sections, sizeof(sections));
	memcpy(fake_mem(REQUEST + 0x400), &params, sizeof(params));
	memcpy(fake_mem(REQUEST + 0x800), &options, sizeof(options));
	fake.regs[HYPAPI_REG_RCX] = REQUEST;
	fake.regs[HYPAPI_REG_RDX] = REQUEST + 0x800;
	fake.regs[HYPAPI_REG_RSI] = REQUEST + 0x400;
	fake.regs[HYPAPI_REG_RDI] = ENTRY;
	assert_int_equal(outside(TV_CMD_REGISTER), TV_OK);
	call();
}

/* The PAL returns, and goes. */
static void stop(void)
{
	struct hypapi_event ev = event(HYPAPI_EV_PARTITION_EXIT);
	uint64_t to = 0;

	memcpy(&to, fake_partition_mem(fake.current, fake.pal_regs[HYPAPI_REG_RSP]), long_mode ? 8 : 4);
	fake.pal_regs[HYPAPI_REG_RIP] = to;
	ev.args.partition_exit = (struct hypapi_partition_exit_args){ .reason = HYPAPI_PEXIT_EXCEPTION, .vector = 14,
		.error_code = 0x14, .address = GVA(to) }; /* a fetch of CPL 3 */
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_HANDLED);
	fake.regs[HYPAPI_REG_RCX] = ENTRY;
	assert_int_equal(outside(TV_CMD_UNREGISTER), TV_OK);
}

static void again(void)
{
	stop();
	start();
}

/* ---- The PAL ---- */

static void *at(uint64_t gva)
{
	return fake_partition_mem(fake.current, gva);
}

/* A command of the PAL, whatever time it takes. */
static uint32_t tpm(uint32_t number, uint64_t rcx, uint64_t rdx, uint64_t rsi, uint64_t rdi)
{
	for (;;) {
		struct hypapi_event ev = event(HYPAPI_EV_HYPERCALL);
		enum hypapi_verdict verdict;

		fake.pal_regs[HYPAPI_REG_RAX] = number;
		fake.pal_regs[HYPAPI_REG_RCX] = rcx;
		fake.pal_regs[HYPAPI_REG_RDX] = rdx;
		fake.pal_regs[HYPAPI_REG_RSI] = rsi;
		fake.pal_regs[HYPAPI_REG_RDI] = rdi;
		fake.pal_regs[HYPAPI_REG_RBX] = 0xb0b;
		fake.pal_regs[HYPAPI_REG_R15] = 0xf15;
		fake.pal_regs[HYPAPI_REG_RIP] = CODE + 0x222;
		ev.args.hypercall.number = number;
		verdict = fake_raise(&hypapp_trustvisor, &ev);
		if (verdict == HYPAPI_HANDLED)
			return (uint32_t)fake.pal_regs[HYPAPI_REG_RAX];
		/* It pauses: nothing of it is the caller's to see, and it goes on as it was. */
		assert_int_equal(verdict, HYPAPI_RETRY);
		assert_int_equal(fake.current, 0);
		assert_int_equal(fake.regs[HYPAPI_REG_RIP], ENTRY);
		pauses += fetch();
		assert_int_equal(fake.pal_regs[HYPAPI_REG_RCX], rcx);
		assert_int_equal(fake.pal_regs[HYPAPI_REG_RBX], 0xb0b);
		assert_int_equal(fake.pal_regs[HYPAPI_REG_R15], 0xf15);
		assert_int_equal(fake.pal_regs[HYPAPI_REG_RIP], CODE + 0x222);
	}
}

static uint32_t tpm_new(uint32_t number, void *request, size_t size)
{
	uint32_t result;

	memcpy(at(STRUCT), request, size);
	result = tpm(number, STRUCT, 0, 0, 0);
	memcpy(request, at(STRUCT), size);
	return result;
}

static uint32_t put_words(uint64_t where, uint64_t first, uint64_t second)
{
	uint32_t width = long_mode ? 8 : 4;

	memcpy(at(where), &first, width);
	memcpy((uint8_t *)at(where) + width, &second, width);
	return (uint32_t)where;
}

/* ---- The record for the script ---- */

static FILE *record;

static void note(const char *name, const void *bytes, size_t len)
{
	fprintf(record, "%s ", name);
	for (size_t i = 0; i < len; i++)
		fprintf(record, "%02x", ((const uint8_t *)bytes)[i]);
	fprintf(record, "\n");
}

static void note_number(const char *name, uint64_t value)
{
	fprintf(record, "%s %llu\n", name, (unsigned long long)value);
}

static void note_pal(const char *name)
{
	uint8_t page[0x1000];

	fprintf(record, "pal %s\n", name);
	note_number("level", level);
	note_number("width", long_mode ? 64 : 32);
	note("options", &options, sizeof(options));
	note("sections", &sections, sizeof(sections));
	note("params", &params, sizeof(params));
	note_number("entry", ENTRY);
	for (uint64_t i = 0; i < 0x1000; i++)
		page[i] = (uint8_t)(i * 7);
	page[0xabc] = code_byte;
	note("code", page, sizeof(page));
	for (uint64_t i = 0; i < 0x1000; i++)
		page[i] = (uint8_t)(i * 5);
	note("data", page, sizeof(page));
}

static struct tv_tpm_info info(void)
{
	struct tv_tpm_info info;

	assert_int_equal(tpm(TV_CMD_TPM_INFO, INFO - 0x200, 0, 0, 0), TV_TPM_OK);
	memcpy(&info, at(INFO - 0x200), sizeof(info));
	return info;
}

/* Everything that has a value, in both banks, of one PAL. */
static void use_all(const char *name)
{
	struct tv_tpm_pcr pcr = { .index = 0 };
	struct tv_tpm_seal seal = { .in = IN, .out = OUT, .in_len = 100, .out_len = 0x800, .pcr_mask = 5,
				    .flags = TV_TPM_SEAL_NOW };
	struct tv_tpm_quote quote = { .nonce = IN, .data = IN + 32, .out = OUT, .pcr_mask = 3 };
	struct tv_tpm_info facts;
	uint8_t plain[100], digest[20];
	uint32_t len;

	note_pal(name);
	facts = info();
	note("info", &facts, sizeof(facts));
	assert_int_equal(tpm_new(TV_CMD_TPM_PCR_READ, &pcr, sizeof(pcr)), TV_TPM_OK);
	note("pcr0", pcr.value, 32);
	assert_int_equal(tpm(TV_CMD_UTPM_PCRREAD, 0, OUT, 0, 0), TV_TPM_OK);
	note("old_pcr0", at(OUT), 20);
	memset(at(IN), 0x3c, 20);
	assert_int_equal(tpm(TV_CMD_UTPM_PCREXTEND, 1, IN, 0, 0), TV_TPM_OK);
	assert_int_equal(tpm(TV_CMD_UTPM_PCRREAD, 1, OUT, 0, 0), TV_TPM_OK);
	note("old_pcr1", at(OUT), 20);
	pcr.index = 2;
	memset(pcr.value, 0x3d, 32);
	assert_int_equal(tpm_new(TV_CMD_TPM_PCR_EXTEND, &pcr, sizeof(pcr)), TV_TPM_OK);
	assert_int_equal(tpm_new(TV_CMD_TPM_PCR_READ, &pcr, sizeof(pcr)), TV_TPM_OK);
	note("pcr2", pcr.value, 32);

	memset(plain, 0x77, sizeof(plain));
	memcpy(at(IN), plain, sizeof(plain));
	assert_int_equal(tpm_new(TV_CMD_TPM_SEAL, &seal, sizeof(seal)), TV_TPM_OK);
	note("plain", plain, sizeof(plain));
	note("blob", at(OUT), seal.out_len);
	memcpy(at(INFO), (uint8_t[]){ 1, 0, 1 }, 3); /* TPM_PCR_INFO: PCR 0, as it is */
	assert_int_equal(tpm(TV_CMD_UTPM_PCRREAD, 0, INFO + 3, 0, 0), TV_TPM_OK);
	note_number("old_index", 0);
	/* The digest of the composite is not the PCR: computed by the script's formula, which this checks. */
	memcpy(digest, at(INFO + 3), 20);
	memset(at(INFO + 2), 0, 1); /* no PCR */
	put_words(WORDS, IN, sizeof(plain));
	put_words(WORDS + 0x20, OUT, LEN);
	assert_int_equal(tpm(TV_CMD_UTPM_SEAL, WORDS, INFO, WORDS + 0x20, 0), TV_TPM_OK);
	memcpy(&len, at(LEN), 4);
	note("old_blob", at(OUT), len);

	assert_int_equal(tpm_new(TV_CMD_TPM_QUOTE, &quote, sizeof(quote)), TV_TPM_OK);
	note("quote", at(OUT), sizeof(struct tv_quote));
	memcpy(at(INFO), (uint8_t[]){ 1, 0, 3 }, 3);
	memset(at(IN), 0x99, 20);
	put_words(WORDS, OUT, LEN);
	put_words(WORDS + 0x20, OUT + 0x200, LEN + 8);
	assert_int_equal(tpm(TV_CMD_UTPM_QUOTE, INFO, WORDS, IN, WORDS + 0x20), TV_TPM_OK);
	memcpy(&len, at(LEN), 4);
	assert_int_equal(len, 256);
	note("old_signature", at(OUT), 256);
	memcpy(&len, at(LEN + 8), 4);
	note("old_composite", at(OUT + 0x200), len);
	memcpy(at(LEN), &(uint32_t){ 256 }, 4);
	assert_int_equal(tpm(TV_CMD_UTPM_ID_GETPUB, OUT, LEN, 0, 0), TV_TPM_OK);
	note("old_modulus", at(OUT), 256);
}

static void values_of_another_library(void **state)
{
	const char *script = getenv("TPM_VALUES") ? getenv("TPM_VALUES") : "tests/run/tpm_values.py";
	char command[300], path[] = "/tmp/tpm.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	job_measure_stacks(); /* stacks_suffice() */
	assert_true(fd >= 0);
	record = fdopen(fd, "w");
	note("master", fake.first_random, 32);
	pauses = 0;
	start();
	use_all("64 in L1");
	assert_true(pauses > 10);
	stop();
	long_mode = false;
	level = HYPAPI_L2;
	memset(options.owner_tag, 0xaa, sizeof(options.owner_tag));
	start();
	use_all("32 in L2");
	stop();
	options.flags = TV_TPM_FIXED;
	start();
	use_all("fixed, 32 in L2");
	stop();
	options.flags = TV_PAL_DEBUG;
	start();
	use_all("for debugging, 32 in L2");
	fclose(record);
	snprintf(command, sizeof(command), "python3 %s %s", script, path);
	assert_int_equal(system(command), 0);
	remove(path);
}

/* ---- What must fail ---- */

static uint8_t blob[2048], old_blob[2048];
static uint32_t blob_len, old_len;

static void seal_both(void)
{
	struct tv_tpm_seal seal = { .in = IN, .out = OUT, .in_len = 32, .out_len = 0x800 };

	memset(at(IN), 0x55, 32);
	assert_int_equal(tpm_new(TV_CMD_TPM_SEAL, &seal, sizeof(seal)), TV_TPM_OK);
	blob_len = seal.out_len;
	memcpy(blob, at(OUT), blob_len);
	memset(at(INFO), 0, 43);
	put_words(WORDS, IN, 32);
	put_words(WORDS + 0x20, OUT, LEN);
	assert_int_equal(tpm(TV_CMD_UTPM_SEAL, WORDS, INFO, WORDS + 0x20, 0), TV_TPM_OK);
	memcpy(&old_len, at(LEN), 4);
	memcpy(old_blob, at(OUT), old_len);
}

static uint32_t unseal_new(void)
{
	struct tv_tpm_seal seal = { .in = IN, .out = OUT, .in_len = blob_len, .out_len = 0x800 };
	uint32_t result;

	memcpy(at(IN), blob, blob_len);
	memset(at(OUT), 0, 64);
	result = tpm_new(TV_CMD_TPM_UNSEAL, &seal, sizeof(seal));
	assert_int_equal(*(uint8_t *)at(OUT), result == TV_TPM_OK ? 0x55 : 0);
	assert_true(result != TV_TPM_OK || seal.out_len == 32);
	return result;
}

static uint32_t unseal_old(void)
{
	uint32_t result, len = 0;

	memcpy(at(IN), old_blob, old_len);
	memset(at(OUT), 0, 64);
	memset(at(LEN), 0, 4);
	put_words(WORDS, IN, old_len);
	put_words(WORDS + 0x20, OUT, LEN);
	result = tpm(TV_CMD_UTPM_UNSEAL, WORDS, WORDS + 0x20, INFO, 0);
	memcpy(&len, at(LEN), 4);
	assert_int_equal(len, result == TV_TPM_OK ? 32 : 0);
	assert_int_equal(*(uint8_t *)at(OUT), result == TV_TPM_OK ? 0x55 : 0);
	return result;
}

static void a_changed_blob(void **state)
{
	(void)state;
	start();
	seal_both();
	assert_int_equal(unseal_new(), TV_TPM_OK);
	assert_int_equal(unseal_old(), TV_TPM_OK);
	for (uint32_t i = 0; i < blob_len; i++) {
		blob[i] ^= 1 << i % 8;
		assert_int_equal(unseal_new(), TV_TPM_FAILED);
		blob[i] ^= 1 << i % 8;
	}
	for (uint32_t i = 0; i < old_len; i++) {
		old_blob[i] ^= 1 << i % 8;
		assert_int_equal(unseal_old(), TV_TPM_FAILED);
		old_blob[i] ^= 1 << i % 8;
	}
	blob_len--;
	assert_int_equal(unseal_new(), TV_TPM_FAILED);
	blob_len++;
	assert_int_equal(unseal_new(), TV_TPM_OK);
	assert_int_equal(unseal_old(), TV_TPM_OK);
}

static void another_pal(void **state)
{
	(void)state;
	start();
	seal_both();
#define FAILS(change, back) do { change; again(); assert_int_equal(unseal_new(), TV_TPM_FAILED); \
		assert_int_equal(unseal_old(), TV_TPM_FAILED); back; } while (0)
	FAILS(code_byte ^= 1, code_byte ^= 1);
	FAILS(params.params[1].size = 4, params.params[1].size = 3);
	FAILS(params.num_params = 1, params.num_params = 2);
	FAILS(options.flags = TV_TPM_FIXED, options.flags = 0);
	FAILS(options.flags = TV_PAL_DEBUG, options.flags = 0);
	FAILS(options.owner_tag[31] = 1, options.owner_tag[31] = 0);
	sections.sections[4].type = TV_SECTION_STACK, sections.sections[4].page_num = 1;
	sections.sections[4].start_addr = PAGE(20);
	FAILS(sections.num_sections = 5, sections.num_sections = 4);
	stop();
	level = HYPAPI_L2;
	start();
	assert_int_equal(unseal_new(), TV_TPM_FAILED);
	stop();
	level = HYPAPI_L1;
	params.params[0].size = 5; /* of an integer: it says nothing */
	start();
	assert_int_equal(unseal_new(), TV_TPM_OK);
	assert_int_equal(unseal_old(), TV_TPM_OK);
}

static void another_boot(void **state)
{
	start();
	seal_both();
	setup(state);
	start();
	assert_int_equal(unseal_new(), TV_TPM_FAILED);
	assert_int_equal(unseal_old(), TV_TPM_FAILED);
}

/* The PCRs that a blob names decide. */
static void other_pcrs(void **state)
{
	struct tv_tpm_seal seal = { .in = IN, .out = OUT, .in_len = 32, .out_len = 0x800, .pcr_mask = 1 << 3,
				    .flags = TV_TPM_SEAL_NOW };
	struct tv_tpm_pcr pcr = { .index = 3 };

	(void)state;
	start();
	memset(at(IN), 0x55, 32);
	assert_int_equal(tpm_new(TV_CMD_TPM_SEAL, &seal, sizeof(seal)), TV_TPM_OK);
	blob_len = seal.out_len;
	memcpy(blob, at(OUT), blob_len);
	assert_int_equal(unseal_new(), TV_TPM_OK);
	assert_int_equal(tpm_new(TV_CMD_TPM_PCR_EXTEND, &pcr, sizeof(pcr)), TV_TPM_OK);
	assert_int_equal(unseal_new(), TV_TPM_FAILED);
}

static void parameters(void **state)
{
	struct tv_tpm_seal seal = { .in = IN, .out = CODE, .in_len = 32, .out_len = 0x800 };
	struct tv_tpm_quote quote = { .nonce = IN, .data = IN, .out = DATA + 0xf00 };
	struct tv_tpm_buffer buffer = { .out = OUT, .out_len = TV_TPM_MAX_DATA + 1 };
	struct tv_tpm_counter counter = { .op = TV_TPM_COUNTER_ADD };
	struct tv_tpm_pcr pcr = { .index = TV_TPM_PCRS };

	(void)state;
	start();
	assert_int_equal(tpm_new(TV_CMD_TPM_SEAL, &seal, sizeof(seal)), TV_TPM_BAD_PARAMETER); /* into its code */
	seal.out = PAGE(30); /* somebody else's */
	assert_int_equal(tpm_new(TV_CMD_TPM_SEAL, &seal, sizeof(seal)), TV_TPM_BAD_PARAMETER);
	assert_int_equal(tpm_new(TV_CMD_TPM_QUOTE, &quote, sizeof(quote)), TV_TPM_BAD_PARAMETER); /* past its end */
	assert_int_equal(tpm_new(TV_CMD_TPM_RANDOM, &buffer, sizeof(buffer)), TV_TPM_BAD_PARAMETER);
	assert_int_equal(tpm_new(TV_CMD_TPM_PCR_READ, &pcr, sizeof(pcr)), TV_TPM_PCR_RANGE);
	assert_int_equal(tpm(TV_CMD_UTPM_PCRREAD, 8, OUT, 0, 0), TV_TPM_PCR_RANGE);
	assert_int_equal(tpm(TV_CMD_UTPM_PCRREAD, 0, CODE, 0, 0), TV_TPM_BAD_PARAMETER);
	assert_int_equal(tpm(TV_CMD_TPM_INFO, CODE, 0, 0, 0), TV_TPM_BAD_PARAMETER);
	for (uint64_t i = 1; i < 4; i++) {
		assert_int_equal(tpm_new(TV_CMD_TPM_COUNTER, &counter, sizeof(counter)), TV_TPM_OK);
		assert_int_equal(counter.value, i);
	}
	counter.flags = TV_TPM_MUST_PERSIST;
	assert_int_equal(tpm_new(TV_CMD_TPM_COUNTER, &counter, sizeof(counter)), TV_E_UNSUPPORTED);
	fake.no_random = true;
	buffer.out_len = 32;
	assert_int_equal(tpm_new(TV_CMD_TPM_RANDOM, &buffer, sizeof(buffer)), TV_TPM_NO_ENTROPY);
}

/* ---- Calls that pause ---- */

static void nobody_comes_back(void **state)
{
	struct hypapi_event ev;

	start();
	memcpy(at(LEN), &(uint32_t){ 256 }, 4);
	fake.pal_regs[HYPAPI_REG_RCX] = OUT;
	fake.pal_regs[HYPAPI_REG_RDX] = LEN;
	ev = event(HYPAPI_EV_HYPERCALL);
	ev.args.hypercall.number = TV_CMD_UTPM_ID_GETPUB; /* makes the RSA key */
	assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
	assert_int_equal(fake.current, 0);
	/* Another thread waits, and does not go on with it. */
	fake.regs[HYPAPI_REG_RSP] = CALLER_STACK - 64;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(fetch_once(), HYPAPI_RETRY);
		assert_int_equal(fake.current, 0);
	}
	/* Nor does one of another process that has the same stack pointer, as after a fork. */
	fake.regs[HYPAPI_REG_RSP] = CALLER_STACK;
	fake.regs[HYPAPI_REG_CR3] = 0x5000;
	assert_int_equal(fetch_once(), HYPAPI_RETRY);
	fake.regs[HYPAPI_REG_CR3] = 0;
	/* A thread that gave the call up, and makes another: it would get the answer of the first, at its call site. */
	fake.regs[HYPAPI_REG_RSI] = PAGE(11);
	assert_int_equal(fetch_once(), HYPAPI_HANDLED);
	assert_int_equal(fake.current, 0);
	assert_int_equal(fake.injected, 14);
	fake.injected = 0;
	fake.regs[HYPAPI_REG_RSI] = PAGE(10);
	memcpy(fake_mem(CALLER_STACK), &(uint64_t){ 0x408769 }, 8);
	assert_int_equal(fetch_once(), HYPAPI_HANDLED);
	assert_int_equal(fake.injected, 14);
	assert_int_equal(fake.current, 0);
	fake.injected = 0;
	memcpy(fake_mem(CALLER_STACK), &(uint64_t){ 0x408765 }, 8);
	assert_int_equal(fetch_once(), HYPAPI_RETRY); /* the first one's slice */
	/* The PAL can be ended all the same, more often than there are jobs. */
	for (int i = 0; i < 20; i++) {
		fake.regs[HYPAPI_REG_RCX] = ENTRY;
		assert_int_equal(outside(TV_CMD_UNREGISTER), TV_OK);
		assert_int_equal(fake.owner[0], 0);
		start();
		memcpy(at(LEN), &(uint32_t){ 256 }, 4);
		fake.pal_regs[HYPAPI_REG_RCX] = OUT;
		fake.pal_regs[HYPAPI_REG_RDX] = LEN;
		ev = event(HYPAPI_EV_HYPERCALL);
		ev.args.hypercall.number = TV_CMD_UTPM_ID_GETPUB;
		assert_int_equal(fake_raise(&hypapp_trustvisor, &ev), HYPAPI_RETRY);
	}
	setup(state);
	start(); /* nothing is left of it */
	assert_int_equal(tpm(TV_CMD_UTPM_PCRREAD, 0, OUT, 0, 0), TV_TPM_OK);
}

static void for_ever(void *data)
{
	(void)data;
	for (;;)
		job_breathe();
}

static bool asks(uint64_t id, uint32_t class, uint64_t caller)
{
	struct job_owner owner = { id, caller, class };
	bool fresh;
	struct job *job = job_get(&owner, &fresh);

	if (job && fresh)
		job_begin(job, for_ever);
	if (job && !job_run(job))
		job_put(job);
	return job != NULL;
}

static bool slice_of(uint64_t id)
{
	return asks(id, 0, 0);
}

/* Who has all jobs, and comes for each just before it would be taken back, gets no more than a few rounds of that. */
static void callers_that_seldom_come(void **state)
{
	bool taken = false;

	(void)state;
	for (uint64_t owner = 1001; owner <= 1008; owner++)
		assert_true(slice_of(owner));
	assert_false(slice_of(1009)); /* they have just come */
	for (int round = 0; round < 40 && !taken; round++) {
		for (uint64_t began = __builtin_ia32_rdtsc(); __builtin_ia32_rdtsc() - began < JOB_IDLE_TICKS / 4;)
			;
		for (uint64_t owner = 1001; owner <= 1008; owner++)
			slice_of(owner);
		for (uint64_t began = __builtin_ia32_rdtsc(); __builtin_ia32_rdtsc() - began < JOB_IDLE_TICKS / 4;)
			;
		taken = slice_of(1009);
	}
	assert_true(taken);
	job_forget(0);
}

static enum hypapi_verdict pcr_read_once(void)
{
	struct hypapi_event ev = event(HYPAPI_EV_HYPERCALL);

	fake.pal_regs[HYPAPI_REG_RCX] = 0;
	fake.pal_regs[HYPAPI_REG_RDX] = OUT;
	ev.args.hypercall.number = TV_CMD_UTPM_PCRREAD;
	return fake_raise(&hypapp_trustvisor, &ev);
}

/* Others have all jobs: a PAL leaves its CPU, comes again when it has one, and nobody takes that between. */
static void a_pal_waits_for_a_job(void **state)
{
	enum hypapi_verdict first, second, third;
	uint64_t began;

	(void)state;
	start();
	do {
		job_forget(0);
		if (!fake.current)
			fetch();
		began = __builtin_ia32_rdtsc();
		for (uint64_t id = 1001; id <= 1008; id++)
			asks(id, 2, 100);
		first = pcr_read_once();
		second = fetch_once();
		job_forget(1001);
		asks(1001, 2, 100); /* not its turn */
		third = fetch_once();
		for (uint64_t id = 1009; id <= 1020; id++)
			asks(id, 3, id);
	} while (__builtin_ia32_rdtsc() - began > JOB_IDLE_TICKS / 2);
	assert_int_equal(first, HYPAPI_RETRY);
	assert_int_equal(second, HYPAPI_RETRY);
	assert_int_equal(third, HYPAPI_HANDLED);
	assert_int_not_equal(fake.current, 0);
	assert_int_equal(pcr_read_once(), HYPAPI_HANDLED);
	job_forget(0);
}

static void ends(uint64_t id)
{
	struct job_owner owner = { id, 0, 0 };
	bool fresh;
	struct job *job = job_get(&owner, &fresh);

	if (job)
		job_end(job);
}

/*
 * Threads of one process have all jobs, and more of them wait; then one of another process, and one of another class.
 * Each job that ends goes to who has least. The number of the first step that is wrong, or 0.
 */
static uint32_t go_round(void)
{
	uint32_t wrong = 0;

#define STEP(n, condition) (wrong = wrong || (condition) ? wrong : (n))
	for (uint64_t id = 1; id <= 8; id++)
		STEP(1, asks(id, 1, 100));
	STEP(2, !asks(9, 1, 100) && !asks(10, 1, 100) && !asks(11, 1, 200) && !asks(12, 2, 100));
	ends(1);
	STEP(3, !asks(1, 1, 100) && !asks(9, 1, 100) && !asks(11, 1, 200) && asks(12, 2, 100));
	ends(2);
	STEP(4, !asks(2, 1, 100) && !asks(10, 1, 100) && !asks(9, 1, 100) && asks(11, 1, 200));
	ends(3);
	STEP(5, !asks(1, 1, 100) && !asks(10, 1, 100) && asks(9, 1, 100));
	ends(4);
	STEP(6, !asks(2, 1, 100) && !asks(1, 1, 100) && asks(10, 1, 100));
	/* Two at once: nobody holds both up. */
	ends(5), ends(6);
	STEP(7, asks(2, 1, 100) && asks(1, 1, 100));
	/* One whose PAL is gone waits no more. */
	STEP(8, !asks(13, 3, 300));
	job_forget(13);
	ends(7);
	STEP(9, asks(7, 1, 100));
	return wrong;
}

/* For as long as nobody's time is over; on a busy machine that takes another try. */
static void jobs_go_round(void **state)
{
	uint64_t began;
	uint32_t wrong;

	(void)state;
	do {
		job_forget(0);
		began = __builtin_ia32_rdtsc();
		wrong = go_round();
	} while (__builtin_ia32_rdtsc() - began > JOB_IDLE_TICKS / 2);
	assert_int_equal(wrong, 0);
	job_forget(0);
}

/* Who waits and does not come again holds nobody up for longer than JOB_IDLE_TICKS. */
static void a_place_is_lost(void **state)
{
	uint64_t began = __builtin_ia32_rdtsc();

	(void)state;
	for (uint64_t id = 1; id <= 8; id++)
		asks(id, 1, 100);
	for (uint64_t id = 20; id < 30; id++)
		asks(id, 2, id);
	while (__builtin_ia32_rdtsc() - began < JOB_IDLE_TICKS + JOB_IDLE_TICKS / 8)
		for (uint64_t id = 1; id <= 8; id++)
			asks(id, 1, 100);
	ends(1);
	assert_true(asks(1, 1, 100));
	job_forget(0);
}

static void stacks_suffice(void **state)
{
	(void)state;
	assert_in_range(job_stack_used(), 1000, 20000);
}

static void vectors(void **state)
{
	(void)state;
	assert_null(vectors_failed());
	assert_true(vectors_rsa());
}

/* In place of the library's, with which the quotes of other tests are made, too: its key can have a fault. */
static bool fault_in_p;
uint32_t br_rsa_pkcs1_sig_pad(const unsigned char *oid, const unsigned char *hash, size_t hash_len, uint32_t n_bitlen,
			      unsigned char *x);
uint32_t br_rsa_i62_pkcs1_sign(const unsigned char *oid, const unsigned char *hash, size_t hash_len,
			       const br_rsa_private_key *key, unsigned char *x)
{
	br_rsa_private_key used = *key;
	uint8_t dp[256];

	memcpy(dp, key->dp, key->dplen);
	dp[key->dplen - 1] ^= fault_in_p ? 2 : 0;
	used.dp = dp;
	return br_rsa_pkcs1_sig_pad(oid, hash, hash_len, key->n_bitlen, x) && br_rsa_i62_private(x, &used);
}

/* The library's, with a fault at its end. */
static bool fault_in_r;
size_t __real_br_ecdsa_i31_sign_raw(const br_ec_impl *impl, const br_hash_class *class, const void *hash,
				    const br_ec_private_key *key, void *signature);
size_t __wrap_br_ecdsa_i31_sign_raw(const br_ec_impl *impl, const br_hash_class *class, const void *hash,
				    const br_ec_private_key *key, void *signature);
size_t __wrap_br_ecdsa_i31_sign_raw(const br_ec_impl *impl, const br_hash_class *class, const void *hash,
				    const br_ec_private_key *key, void *signature)
{
	size_t len = __real_br_ecdsa_i31_sign_raw(impl, class, hash, key, signature);

	((uint8_t *)signature)[5] ^= fault_in_r ? 2 : 0;
	return len;
}

static uint32_t old_quote(void)
{
	memset(at(OUT), 0, 256);
	memset(at(INFO), 0, 3);
	put_words(WORDS, OUT, LEN);
	put_words(WORDS + 0x20, OUT + 0x200, LEN + 8);
	return tpm(TV_CMD_UTPM_QUOTE, INFO, WORDS, IN, WORDS + 0x20);
}

static void a_fault_gives_no_signature(void **state)
{
	static const uint8_t zeros[256];

	(void)state;
	start();
	assert_int_equal(old_quote(), TV_TPM_OK);
	fault_in_p = true;
	assert_int_equal(old_quote(), TV_TPM_FAILED);
	assert_memory_equal(at(OUT), zeros, sizeof(zeros));
	assert_false(vectors_rsa());
	fault_in_p = false;
	assert_int_equal(old_quote(), TV_TPM_OK);
	assert_memory_not_equal(at(OUT), zeros, sizeof(zeros));

	static uint8_t scratch[KEYS_SCRATCH_BYTES] __attribute__((aligned(16)));
	uint8_t hash[32] = { 1 }, signature[KEYS_P256_BYTES];

	for (int fault = 0; fault < 2; fault++) {
		fault_in_r = fault;
		assert_int_equal(keys_sign_p256(hash, signature, scratch), !fault);
		assert_int_equal(memcmp(signature, zeros, sizeof(signature)) == 0, fault);
	}
	fault_in_r = false;
	keys_wipe();
}

typedef void blocks_function(struct sha256 *sha, const void *blocks, uint32_t count);

/* FIPS 180-2, the third example: too long for a boot. */
static void hash_a_million_a(blocks_function *blocks)
{
	static const uint8_t expected[32] = {
		0xcd, 0xc7, 0x6e, 0x5c, 0x99, 0x14, 0xfb, 0x92, 0x81, 0xa1, 0xc7, 0xe2, 0x84, 0xd7, 0x3e, 0x67,
		0xf1, 0x80, 0x9a, 0x48, 0xa4, 0x97, 0x20, 0x0e, 0x04, 0x6d, 0x39, 0xcc, 0xc7, 0x11, 0x2c, 0xd0 };
	uint8_t text[64], out[32];
	struct sha256 sha;

	memset(text, 'a', sizeof(text));
	sha256_begin(&sha);
	for (int i = 0; i < 1000000 / 64; i++)
		blocks(&sha, text, 1);
	sha256_end(&sha, out);
	assert_memory_equal(out, expected, sizeof(expected));
}

static void a_million_a(void **state)
{
	(void)state;
	sha256_init();
	hash_a_million_a(sha256_blocks);
	hash_a_million_a(sha256_blocks_plain);
}

/* Both ways of any number of blocks, at any place. Where the CPU has no such instruction there is one way. */
static void instruction_or_not(void **state)
{
	uint8_t text[20 * 64 + 16];

	(void)state;
	sha256_init();
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 167 + i / 13);
	for (uint32_t count = 0; count <= 20; count++) {
		struct sha256 plain, other;

		sha256_begin(&plain);
		other = plain;
		sha256_blocks_plain(&plain, text + count % 16, count);
		sha256_blocks(&other, text + count % 16, count);
		assert_memory_equal(&plain, &other, sizeof(plain));
	}
	assert_true(sha256_insns_a_byte() == 45 || __builtin_cpu_supports("sse4.1"));
}

int run_tpm_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors), cmocka_unit_test(a_million_a),
		cmocka_unit_test(instruction_or_not),
		cmocka_unit_test_setup(values_of_another_library, setup),
		cmocka_unit_test_setup(a_changed_blob, setup), cmocka_unit_test_setup(another_pal, setup),
		cmocka_unit_test_setup(another_boot, setup), cmocka_unit_test_setup(other_pcrs, setup),
		cmocka_unit_test_setup(parameters, setup), cmocka_unit_test_setup(a_fault_gives_no_signature, setup),
		cmocka_unit_test_setup(nobody_comes_back, setup),
		cmocka_unit_test_setup(callers_that_seldom_come, setup),
		cmocka_unit_test_setup(a_pal_waits_for_a_job, setup), cmocka_unit_test(jobs_go_round),
		cmocka_unit_test(a_place_is_lost), cmocka_unit_test(stacks_suffice),
	};

	return cmocka_run_group_tests_name("micro-TPM", tests, NULL, NULL);
}
