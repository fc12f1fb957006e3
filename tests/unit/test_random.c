/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hypapi_random() on mocks of a CPU: what its two sources give, what the health tests let pass and what they catch, and
 * that nothing is handed out after an alarm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cpu/x86_insn.h"

/* In place of RDSEED and RDRAND. */
static struct mock { bool present; bool (*read)(u64 *value); u32 reads; } seed, rand_;
static bool mock_seed(u64 *value) { seed.reads++; return seed.read(value); }
static bool mock_rand(u64 *value) { rand_.reads++; return rand_.read(value); }
#define rdseed mock_seed
#define rdrand mock_rand

#include "cpu/random.c"

static struct percpu cpu;
void percpu_locks_add(int count) { (void)count; }
void lock_taking(const void *taken, const char *name) { (void)taken, (void)name; }
void lock_left(const void *left) { (void)left; }
void machine_relax(void) { }
void *machine_self(void) { return &cpu; }
struct cpuid_regs machine_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	return (struct cpuid_regs){ .eax = 7, .ebx = leaf == 7 && seed.present ? LEAF7_EBX_RDSEED : 0,
				    .ecx = leaf == 1 && rand_.present ? LEAF1_ECX_RDRAND : 0 };
}

static u64 state;
static bool good(u64 *value)
{
	u64 mixed = (state += 0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
	*value = mixed ^ mixed >> 31;
	return true;
}

static bool nothing(u64 *value) { *value = 0; return false; }
static bool ones(u64 *value) { *value = ~0ull; return true; }
static bool zeros(u64 *value) { *value = 0; return true; }
/* No two words alike, and every second byte the same. */
static bool biased(u64 *value) { good(value); *value &= 0xff00ff00ff00ff00; return true; }
static bool seldom(u64 *value) { return good(value) && *value % 50 == 0; }
/* Good for a while: RDRAND of some CPUs after a sleep. */
static bool breaks(u64 *value) { good(value); *value = rand_.reads > 200 ? ~0ull : *value; return true; }

/* The same word twice, once: of all tests the first alone can see that. */
static bool stutters(u64 *value)
{
	state -= rand_.reads + seed.reads == STARTUP_WORDS ? 0x9e3779b97f4a7c15 : 0;
	return good(value);
}

static u8 out[MAX_BYTES + 1];

static int ask(size_t len, bool (*of_seed)(u64 *), bool (*of_rand)(u64 *))
{
	memset(&lock, 0, sizeof(lock));
	started = false;
	sources[0] = (struct source){ .read = mock_seed };
	sources[1] = (struct source){ .read = mock_rand };
	seed = (struct mock){ .present = of_seed, .read = of_seed };
	rand_ = (struct mock){ .present = of_rand, .read = of_rand };
	state = 1;
	memset(out, 0xa5, sizeof(out));
	return hypapi_random(out, len);
}

static void bytes_come(void **unused)
{
	u8 before[32];

	(void)unused;
	for (size_t len = 1; len <= MAX_BYTES; len++) {
		assert_int_equal(ask(len, good, good), HYPAPI_OK);
		assert_int_equal(out[len], 0xa5);
	}
	memcpy(before, out, 32);
	assert_int_equal(hypapi_random(out, 32), HYPAPI_OK);
	assert_memory_not_equal(before, out, 32);
	for (u32 i = 0; i < 20000; i++)
		assert_int_equal(hypapi_random(out, MAX_BYTES), HYPAPI_OK); /* 51 million words' bytes: no false
		                                                               alarm */
}

/* The exclusive or: what one source gives alone is not what both give. */
static void both_count(void **unused)
{
	u64 both, first, second;

	(void)unused;
	assert_int_equal(ask(8, good, good), HYPAPI_OK);
	memcpy(&both, out, 8);
	state = 1;
	for (u32 i = 0; i < 2 * STARTUP_WORDS; i++)
		good(&first);
	good(&first);
	good(&second);
	assert_true(both == (first ^ second));
}

static void lengths(void **unused)
{
	(void)unused;
	assert_int_equal(ask(0, good, good), HYPAPI_EINVAL);
	assert_int_equal(ask(MAX_BYTES + 1, good, good), HYPAPI_EINVAL);
	assert_int_equal(out[0], 0xa5);
}

static void one_is_enough(void **unused)
{
	(void)unused;
	assert_int_equal(ask(64, NULL, good), HYPAPI_OK);
	assert_int_equal(seed.reads, 0);
	assert_int_equal(ask(64, good, NULL), HYPAPI_OK);
	assert_int_equal(rand_.reads, 0);
	assert_int_equal(ask(64, nothing, good), HYPAPI_OK); /* RDSEED used up by others */
	assert_int_equal(ask(64, seldom, NULL), HYPAPI_OK);
}

static void refused(int wanted, bool (*of_seed)(u64 *), bool (*of_rand)(u64 *))
{
	assert_int_equal(ask(64, of_seed, of_rand), wanted);
	for (u32 i = 0; i < 64; i++)
		assert_int_equal(out[i], 0);
}

static void faults(void **unused)
{
	bool (*const bad[])(u64 *) = { ones, zeros, biased };

	(void)unused;
	refused(HYPAPI_ENOTSUP, NULL, NULL);
	refused(HYPAPI_EBUSY, nothing, nothing);
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		refused(HYPAPI_ERANDOM, bad[i], good);
		refused(HYPAPI_ERANDOM, good, bad[i]);
		refused(HYPAPI_ERANDOM, NULL, bad[i]);
	}
	refused(HYPAPI_ERANDOM, NULL, stutters);
	/* For ever, though the source is good again. */
	seed.read = rand_.read = good;
	assert_int_equal(hypapi_random(out, 8), HYPAPI_ERANDOM);
}

static void a_later_fault(void **unused)
{
	int rc = ask(256, good, breaks);

	(void)unused;
	for (u32 i = 0; i < 4 && rc == HYPAPI_OK; i++)
		rc = hypapi_random(out, 256);
	assert_int_equal(rc, HYPAPI_ERANDOM);
	for (u32 i = 0; i < 256; i++)
		assert_int_equal(out[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come), cmocka_unit_test(both_count), cmocka_unit_test(lengths),
		cmocka_unit_test(one_is_enough), cmocka_unit_test(faults), cmocka_unit_test(a_later_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
