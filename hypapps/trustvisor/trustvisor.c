/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TrustVisor: runs pieces of guest programs (PALs) isolated from the rest of the guest, on hypapi.
 *
 * This file: the descriptor, detection by CPUID, the table of commands, the table of PALs, and the wiping of all PALs
 * before the machine ends. register.c and list.c change the table, call.c runs PALs. The guest's side of all this is
 * include/trustvisor/abi.h; README.md tells what a caller observes.
 */
#include "pal.h"
#include "tpm/job.h"
#include "tpm/tpm.h"

static struct pal pals[TV_MAX_PALS];
static uint32_t limit; /* of them are used; constant after INIT */
static uint16_t last_of[TV_MAX_PALS]; /* by a partition's low bits: where its PAL is likely to be; atomic */

/* ---- The table of PALs ---- */

uint32_t pal_limit(void)
{
	return limit;
}

static uint16_t *likely_slot(hypapi_partition_t partition)
{
	return &last_of[partition.id % TV_MAX_PALS];
}

struct pal *pal_at(uint32_t number)
{
	return &pals[number];
}

struct pal *pal_by_partition(hypapi_partition_t partition)
{
	struct pal *pal = &pals[__atomic_load_n(likely_slot(partition), __ATOMIC_RELAXED)];

	if (partition.id == HYPAPI_NONE)
		return NULL;
	if (pal->partition.id == partition.id)
		return pal;
	for (uint32_t i = 0; i < limit; i++)
		if (pals[i].partition.id == partition.id) {
			__atomic_store_n(likely_slot(partition), (uint16_t)i, __ATOMIC_RELAXED);
			return &pals[i];
		}
	return NULL;
}

struct pal *pal_by_entry(const struct hypapi_event *ev, gva_t entry)
{
	for (uint32_t i = 0; i < limit; i++) {
		struct pal *pal = &pals[i];

		if (pal_state(pal) != PAL_FREE && !pal->by_list && pal->entries[0].at.addr == entry.addr &&
		    pal->level == ev->level && pal_is_callers(ev, pal))
			return pal;
	}
	return NULL;
}

static bool has_entry(const struct pal *pal, gva_t at)
{
	for (uint32_t i = 0; i < pal->entry_count; i++)
		if (pal->entries[i].at.addr == at.addr)
			return true;
	return false;
}

struct pal *pal_of_caller(const struct hypapi_event *ev, gva_t entry)
{
	for (uint32_t i = 0; i < limit; i++) {
		struct pal *pal = &pals[i];

		if (pal_state(pal) >= PAL_RUNNING && has_entry(pal, entry) && pal->level == ev->level &&
		    pal->cpl == ev->cpl && pal->long_mode == ev->long_mode && pal_is_callers(ev, pal))
			return pal;
	}
	return NULL;
}

struct pal *pal_by_request(const struct hypapi_event *ev, bool by_list)
{
	uint64_t request[4];

	pal_note_request(ev, by_list, request);
	for (uint32_t i = 0; i < limit; i++) {
		struct pal *pal = &pals[i];

		if (pal_state(pal) != PAL_MEASURING || __builtin_memcmp(pal->request, request, sizeof(request)) ||
		    pal->by_list != by_list || pal->level != ev->level)
			continue;
		if (!by_list && (pal->cpl != ev->cpl || pal->long_mode != ev->long_mode))
			continue;
		if (pal_has_owner(ev, pal) || limits_are_from(ev, pal))
			return pal;
	}
	return NULL;
}

struct pal *pal_free_slot(void)
{
	struct pal *ended = NULL;

	for (uint32_t i = 0; i < limit; i++)
		if (pal_state(&pals[i]) == PAL_FREE)
			return &pals[i];
		else if (!ended && pal_state(&pals[i]) == PAL_ENDED)
			ended = &pals[i];
	return ended;
}

uint32_t pal_number(const struct pal *pal)
{
	return (uint32_t)(pal - pals);
}

void pal_let_go(struct hypapi_event *ev, struct pal *pal, uint32_t state)
{
	if (!pal_change_state(pal, PAL_RUNNING, state))
		pal_destroy(ev, pal, __atomic_load_n(&pal->doomed_why, __ATOMIC_RELAXED));
}

int pal_destroy(struct hypapi_event *ev, struct pal *pal, uint32_t why)
{
	int rc = hypapi_partition_destroy(ev, pal->partition);

	if (rc == HYPAPI_OK) {
		job_forget(pal->partition.id);
		tpm_forget(pal);
		call_forget(pal);
		share_forget(pal);
		limits_give(pal);
		pal->why = why;
		pal_set_state(pal, pal->by_list ? PAL_ENDED : PAL_FREE);
	}
	return rc;
}

/* ---- Commands ---- */

static uint32_t test(struct hypapi_event *ev)
{
	(void)ev;
	return TV_OK;
}

static uint32_t unsupported(struct hypapi_event *ev)
{
	(void)ev;
	return TV_E_UNSUPPORTED;
}

static uint32_t utpm(struct hypapi_event *ev)
{
	struct pal *pal = pal_by_partition(ev->partition);

	return pal ? tpm_command(ev, pal, ev->args.hypercall.number) : TV_E_NOT_IN_PAL;
}

static uint32_t nv(struct hypapi_event *ev)
{
	struct pal *pal = pal_by_partition(ev->partition);

	return pal ? nv_command(ev, pal, ev->args.hypercall.number) : TV_E_NOT_IN_PAL;
}

enum command_place { OUTSIDE = 1, INSIDE = 2, ANYWHERE = OUTSIDE | INSIDE };

static const struct command {
	const char *name;
	uint32_t (*run)(struct hypapi_event *ev);
	uint32_t place; /* enum command_place: may be called outside, or by a PAL */
} commands[] = {
	[TV_CMD_REGISTER] = { "register", tv_register, OUTSIDE },
	[TV_CMD_UNREGISTER] = { "unregister", tv_unregister, OUTSIDE },
	[TV_CMD_UTPM_SEAL_OLD] = { "seal (old)", unsupported, ANYWHERE },
	[TV_CMD_UTPM_UNSEAL_OLD] = { "unseal (old)", unsupported, ANYWHERE },
	[TV_CMD_UTPM_QUOTE_OLD] = { "quote (old)", unsupported, ANYWHERE },
	[TV_CMD_SHARE] = { "share", tv_share, OUTSIDE },
	[TV_CMD_UTPM_PCRREAD] = { "pcrread", utpm, INSIDE },
	[TV_CMD_UTPM_PCREXTEND] = { "pcrextend", utpm, INSIDE },
	[TV_CMD_UTPM_GENRAND] = { "genrand", utpm, INSIDE },
	[TV_CMD_UTPM_SEAL] = { "seal", utpm, INSIDE },
	[TV_CMD_UTPM_UNSEAL] = { "unseal", utpm, INSIDE },
	[TV_CMD_UTPM_QUOTE] = { "quote", utpm, INSIDE },
	[TV_CMD_UTPM_ID_GETPUB] = { "id getpub", utpm, INSIDE },
	[TV_CMD_NV_GETSIZE] = { "nv getsize", nv, INSIDE },
	[TV_CMD_NV_READALL] = { "nv readall", nv, INSIDE },
	[TV_CMD_NV_WRITEALL] = { "nv writeall", nv, INSIDE },
	[TV_CMD_REGISTER_LIST] = { "register list", tv_register_list, OUTSIDE },
	[TV_CMD_UNREGISTER_LIST] = { "unregister list", tv_unregister_list, OUTSIDE },
	[TV_CMD_STATUS_LIST] = { "status list", tv_status_list, OUTSIDE },
	[TV_CMD_TPM_INFO] = { "tpm info", utpm, INSIDE },
	[TV_CMD_TPM_PCR_READ] = { "tpm pcr read", utpm, INSIDE },
	[TV_CMD_TPM_PCR_EXTEND] = { "tpm pcr extend", utpm, INSIDE },
	[TV_CMD_TPM_RANDOM] = { "tpm random", utpm, INSIDE },
	[TV_CMD_TPM_SEAL] = { "tpm seal", utpm, INSIDE },
	[TV_CMD_TPM_UNSEAL] = { "tpm unseal", utpm, INSIDE },
	[TV_CMD_TPM_QUOTE] = { "tpm quote", utpm, INSIDE },
	[TV_CMD_TPM_COUNTER] = { "tpm counter", utpm, INSIDE },
	[TV_CMD_TEST] = { "test", test, ANYWHERE },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static uint64_t command_calls[COMMAND_COUNT]; /* atomic */

static uint32_t run_command(struct hypapi_event *ev)
{
	uint32_t number = ev->args.hypercall.number;

	if (number >= COMMAND_COUNT || !commands[number].run)
		return TV_E_UNKNOWN;
	if (ev->partition.id != HYPAPI_NONE && !(commands[number].place & INSIDE))
		return TV_E_IN_PAL;
	if (ev->partition.id == HYPAPI_NONE && !(commands[number].place & OUTSIDE))
		return TV_E_NOT_IN_PAL;
	return commands[number].run(ev);
}

static enum hypapi_verdict on_hypercall(struct hypapi_event *ev)
{
	uint32_t result = run_command(ev), number = ev->args.hypercall.number;

	if (result == TV_REPEAT)
		return HYPAPI_RETRY;
	if (result == TPM_PAUSE)
		return tv_pause(ev, pal_by_partition(ev->partition));
	if (number < COMMAND_COUNT)
		__atomic_add_fetch(&command_calls[number], 1, __ATOMIC_RELAXED);
	hypapi_reg_set(ev, HYPAPI_REG_RAX, result);
	return HYPAPI_HANDLED;
}

/* ---- Detection ---- */

static enum hypapi_verdict on_cpuid(struct hypapi_event *ev)
{
	uint32_t expected = ev->level == HYPAPI_L2 ? hypapi_l2_hypercall_base() : 0;
	const struct pal *pal = pal_by_partition(ev->partition);

	if (ev->args.cpuid.subleaf != expected)
		return HYPAPI_PASS; /* the CPU's own leaf */
	hypapi_reg_set(ev, HYPAPI_REG_RAX, TV_CPUID_PRESENT);
	hypapi_reg_set(ev, HYPAPI_REG_RBX, pal ? pal_number(pal) : TV_CPUID_NO_PAL);
	hypapi_reg_set(ev, HYPAPI_REG_RCX, (ev->long_mode ? TV_CPUID_LONG_MODE : 0) |
		       (ev->eptp02.id != HYPAPI_NONE ? TV_CPUID_EPT12 : 0));
	hypapi_reg_set(ev, HYPAPI_REG_RDX, 0);
	return HYPAPI_HANDLED;
}

/* ---- Beginning and end ---- */

static enum hypapi_verdict on_init(struct hypapi_event *ev)
{
	(void)ev;
	limit = hypapi_partition_limit() < TV_MAX_PALS ? hypapi_partition_limit() : TV_MAX_PALS;
	limits_init();
	secret_init();
	hypapi_log("trustvisor: room for %u PALs of up to %u pages", limit, TV_MAX_PAGES);
	return HYPAPI_PASS;
}

/* A PAL that a stopped CPU is running cannot be destroyed, but nobody will run it again: zeros over its secrets do. */
static void wipe_in_place(const struct hypapi_event *ev, const struct pal *pal)
{
	static const uint8_t zeros[HYPAPI_PAGE_SIZE];

	for (uint32_t i = 0; i < pal->sections.num_sections; i++) {
		const struct tv_pal_section *section = &pal->sections.sections[i];

		if (section_is_code(section))
			continue;
		for (uint64_t page = 0; page < section->page_num; page++)
			hypapi_partition_write(ev, pal->partition, GVA(section->start_addr + page * HYPAPI_PAGE_SIZE),
					       zeros, sizeof(zeros));
	}
}

static void wipe_shared(const struct hypapi_event *ev, const struct pal *pal)
{
	static const uint8_t zeros[HYPAPI_PAGE_SIZE];
	const struct shared_range *ranges = share_ranges(pal);

	for (uint32_t i = 0; i < pal->shared_count; i++)
		for (uint64_t done = 0; done < ranges[i].len_bytes; done += sizeof(zeros)) {
			uint64_t left = ranges[i].len_bytes - done;

			hypapi_partition_write(ev, pal->partition, GVA(ranges[i].start + done), zeros,
					       left < sizeof(zeros) ? left : sizeof(zeros));
		}
}

/* The machine ends (the CPUs are stopped): secrets must not stay in memory for whoever boots next. */
static enum hypapi_verdict on_end(struct hypapi_event *ev)
{
	for (uint32_t i = 0; i < limit; i++) {
		uint32_t state = pal_state(&pals[i]);

		if (state != PAL_FREE && state != PAL_ENDED && pal_destroy(ev, &pals[i], TV_WHY_ENDED) != HYPAPI_OK)
			wipe_in_place(ev, &pals[i]), wipe_shared(ev, &pals[i]);
		pal_change_state(&pals[i], PAL_ENDED, PAL_FREE);
	}

	tpm_end();
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (commands[i].run && command_calls[i])
			hypapi_log("trustvisor: %s: %lu calls", commands[i].name, (unsigned long)command_calls[i]);
	hypapi_log("trustvisor: PALs: %lu calls, %lu returns", (unsigned long)tv_invocations,
		   (unsigned long)tv_returns);
	if (job_slices)
		hypapi_log("trustvisor: %lu slices of long work, the longest of %lu ticks", (unsigned long)job_slices,
			   (unsigned long)job_longest);
	return HYPAPI_PASS;
}

HYPAPP_DEFINE(trustvisor,
	.priority = 100,
	.capabilities = HYPAPI_CAP_REGISTERS | HYPAPI_CAP_MEMORY | HYPAPI_CAP_PARTITIONS | HYPAPI_CAP_QUIESCE,
	.needs = HYPAPI_FEATURE_PARTITIONS,
	.cpu_bytes = sizeof(struct pal_cpu),
	.subscriptions = {
		{ .type = HYPAPI_EV_INIT, .handler = on_init },
		{ .type = HYPAPI_EV_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .handler = on_hypercall },
		{ .type = HYPAPI_EV_CPUID, .levels = HYPAPI_LEVELS_GUEST, .handler = on_cpuid },
		{ .type = HYPAPI_EV_EPT_VIOLATION, .levels = HYPAPI_LEVELS_GUEST, .handler = tv_on_violation },
		{ .type = HYPAPI_EV_PARTITION_EXIT, .levels = HYPAPI_LEVELS_GUEST, .handler = tv_on_partition_exit },
		{ .type = HYPAPI_EV_SHUTDOWN, .quiesce = true, .handler = on_end },
		{ .type = HYPAPI_EV_RESET, .quiesce = true, .handler = on_end },
		{ .type = HYPAPI_EV_TRIPLE_FAULT, .quiesce = true, .handler = on_end },
	},
	/*
	 * More than there are commands: a number that a guest gets wrong is answered, not #UD. 0x100 is helloworld's.
	 */
	.claims = {
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = 0, .last = 0xff },
		{ .kind = HYPAPI_CLAIM_HYPERCALL, .levels = HYPAPI_LEVELS_GUEST, .first = 0x110, .last = 0x1ff },
		{ .kind = HYPAPI_CLAIM_CPUID, .levels = HYPAPI_LEVELS_GUEST,
		  .first = TV_CPUID_LEAF, .last = TV_CPUID_LEAF },
	});
